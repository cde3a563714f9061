//! One client's stream: from where it left off, then live. A slow client holds up itself alone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use outdial_core::id::WorkspaceId;
use tokio::sync::mpsc;

use super::feed::{Feeds, Found, STREAMS_MAX, Seat};
use super::frame;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;

/// A silent stream says so often that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// The key is asked for so often, whether the client reads or not.
const KEY_EVERY: Duration = Duration::from_millis(600);
/// Events of one question to the store.
const PAGE: u32 = 64;
/// Texts on their way to the client.
const BUFFER: usize = 8;

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens from now on.
    Live,
    /// After this position.
    After(u64),
    /// The client named a place that there is not.
    Unknown,
}

/// Opens a stream.
pub(crate) async fn open(
    app: Arc<App>,
    workspace: WorkspaceId,
    grant: Grant,
    start: Start,
) -> ApiResult<Response> {
    let seat = Feeds::take_seat(&app, workspace).await?.ok_or_else(|| {
        let text = format!("the workspace has {STREAMS_MAX} streams open: close one first");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(5)
    })?;
    let (send, texts) = mpsc::channel(BUFFER);
    let stream = Stream { app, workspace, seat, send, position: 0, progress: 0 };
    tokio::spawn(stream.run(start, grant));
    let mut response = Response::new(Body::new(Texts(texts)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Else nginx keeps events back until it has some kilobytes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Stream {
    app: Arc<App>,
    workspace: WorkspaceId,
    seat: Seat,
    send: mpsc::Sender<Bytes>,
    /// What the client has.
    position: u64,
    /// Which of the feed's changes it was told of.
    progress: u64,
}

/// The stream is over.
struct Over;

impl Stream {
    async fn run(mut self, start: Start, grant: Grant) {
        let app = Arc::clone(&self.app);
        let mut closing = app.feeds.closing();
        let send = self.send.clone();
        tokio::select! {
            _ = closing.wait_for(|closed| *closed) => {}
            () = send.closed() => {}
            () = until_revoked(&app, grant) => {}
            Err(Over) = self.tell(start) => {}
        }
    }

    async fn tell(&mut self, start: Start) -> Result<std::convert::Infallible, Over> {
        let mut changed = self.seat.feed.watch();
        self.begin(start).await?;
        let mut spoken = self.app.clock.monotonic();
        loop {
            changed.mark_unchanged();
            if self.tell_news().await? {
                spoken = self.app.clock.monotonic();
            }
            let clock = Arc::clone(&self.app.clock);
            let silent_at = spoken.after(HEARTBEAT_EVERY);
            tokio::select! {
                changed = changed.changed() => changed.map_err(|_| Over)?,
                () = clock.sleep_until(silent_at) => {
                    self.say(frame::HEARTBEAT).await?;
                    spoken = clock.monotonic();
                }
            }
        }
    }

    async fn begin(&mut self, start: Start) -> Result<(), Over> {
        // The feed may know of fewer events than there are.
        let page = self.app.store.event_list(self.workspace, 0, 1).await.map_err(|_| Over)?;
        match start {
            Start::After(position) if position <= page.latest && position + 1 >= page.oldest => {
                self.position = position;
                self.say(frame::beginning(position)).await
            }
            Start::Live => {
                self.position = page.latest;
                self.say(frame::beginning(page.latest)).await
            }
            Start::After(_) | Start::Unknown => self.reset(page.oldest, page.latest).await,
        }
    }

    async fn reset(&mut self, oldest: u64, latest: u64) -> Result<(), Over> {
        self.position = latest;
        self.say(frame::reset(oldest, latest)).await
    }

    /// Tells what there is; whether there was anything.
    async fn tell_news(&mut self) -> Result<bool, Over> {
        let mut spoken = false;
        loop {
            match self.seat.feed.after(self.position) {
                Found::Events(events) if events.is_empty() => break,
                Found::Events(events) => {
                    for (position, text) in events {
                        self.say(text).await?;
                        self.position = position;
                    }
                }
                Found::Behind => self.tell_stored().await?,
            }
            spoken = true;
        }
        let (batches, change) = self.seat.feed.progress_since(self.progress);
        self.progress = change;
        for text in batches {
            self.say(text).await?;
            spoken = true;
        }
        Ok(spoken)
    }

    async fn tell_stored(&mut self) -> Result<(), Over> {
        let page = self.app.store.event_list(self.workspace, self.position, PAGE).await;
        // The client comes again, and goes on where it was.
        let page = page.map_err(|_| Over)?;
        let is_next = page.events.first().is_some_and(|e| e.position == self.position + 1);
        if !is_next {
            return self.reset(page.oldest, page.latest).await;
        }
        for event in page.events {
            self.say(frame::event(&event)).await?;
            self.position = event.position;
        }
        Ok(())
    }

    async fn say(&self, text: Bytes) -> Result<(), Over> {
        self.send.send(text).await.map_err(|_| Over)
    }
}

/// Returns when the key is no longer good, also while the client has much to catch up with.
async fn until_revoked(app: &App, mut grant: Grant) {
    loop {
        app.clock.sleep_until(app.clock.monotonic().after(KEY_EVERY)).await;
        // A store that does not answer says nothing of the key.
        if matches!(grant.is_good(app).await, Ok(false)) {
            return;
        }
    }
}

/// The texts as a body.
struct Texts(mpsc::Receiver<Bytes>);

impl http_body::Body for Texts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|text| text.map(|t| Ok(Frame::data(t))))
    }
}
