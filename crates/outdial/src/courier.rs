//! The courier: one POST to a receiver of events, over HTTP/1.1.
//!
//! A name is looked up once, and the connection goes to one of the very addresses that were looked
//! at: none but public ones, unless the operator allows others. No redirect is followed, no proxy
//! asked; of an answer 64 KiB are read at most. It must never tell the owner of an endpoint what is
//! on the network behind this server.

mod connect;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use outdial_core::webhook::{Reach, WebhookUrl};
use outdial_ports::{
    Clock, Courier, CourierError, CourierErrorKind, Monotonic, Parcel, REPLY_READ_MAX, Reply,
};
use tokio::task::AbortHandle;

use connect::{Resolver, Tls};

/// Once the status is there, the rest of an answer may take so long.
const BODY_LIMIT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is not used again.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// Idle connections to one receiver, and to all.
const IDLE_EACH: usize = 4;
const IDLE_ALL: usize = 256;

/// Posts to receivers.
pub(crate) struct HttpCourier {
    reach: Reach,
    resolver: Resolver,
    tls: Tls,
    clock: Arc<dyn Clock>,
    idle: Mutex<BTreeMap<String, Vec<Idle>>>,
}

/// A connection, driven by a task of its own; closed when dropped.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Idle {
    line: Line,
    since: Monotonic,
}

impl HttpCourier {
    /// One that goes where `reach` allows, and believes the machine's certificates and those of
    /// `ca_file`.
    pub(crate) fn new(reach: Reach, ca_file: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let (resolver, tls) = (Resolver::System, Tls::new(ca_file));
        Self { reach, resolver, tls, clock, idle: Mutex::default() }
    }

    async fn exchange(&self, url: &WebhookUrl, parcel: &Parcel) -> Result<Reply, CourierError> {
        let name = format!("{}:{}:{}", url.is_https, url.host, url.port);
        if let Some(mut line) = self.take_idle(&name)
            && let Ok(answer) = line.sender.send_request(request(url, parcel)?).await
        {
            return Ok(self.read(name, line, answer).await);
        }
        // It may have been closed just as the request left: a new one, with the same id.
        let mut line = self.open(url).await?;
        let answer = line.sender.send_request(request(url, parcel)?).await;
        let answer = answer.map_err(|e| broken(&e))?;
        Ok(self.read(name, line, answer).await)
    }

    async fn open(&self, url: &WebhookUrl) -> Result<Line, CourierError> {
        let addresses = self.resolver.lookup(&url.host, url.port, self.reach.private).await?;
        let stream = connect::tcp(&addresses).await?;
        if url.is_https {
            let stream = self.tls.handshake(&url.host, stream).await?;
            hello(stream).await
        } else {
            hello(stream).await
        }
    }

    /// Reads the beginning of an answer, and keeps the connection if it was read to its end.
    async fn read(&self, name: String, line: Line, answer: Response<Incoming>) -> Reply {
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(seconds);
        let mut body_head = BytesMut::new();
        let mut body = answer.into_body();
        let whole = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                let Some(data) = frame.data_ref() else { continue };
                let left = REPLY_READ_MAX - body_head.len();
                body_head.extend_from_slice(&data[..data.len().min(left)]);
                if data.len() >= left {
                    return false;
                }
            }
            true
        };
        let is_whole = tokio::time::timeout(BODY_LIMIT, whole).await.unwrap_or(false);
        if is_whole {
            self.keep_idle(name, line);
        }
        Reply { status, body_head: body_head.freeze(), retry_after }
    }

    fn take_idle(&self, name: &str) -> Option<Line> {
        let now = self.clock.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = idle.get_mut(name)?;
        lines.retain(|i| now < i.since.after(IDLE_LIMIT) && i.line.sender.is_ready());
        let found = lines.pop();
        if lines.is_empty() {
            idle.remove(name);
        }
        found.map(|i| i.line)
    }

    fn keep_idle(&self, name: String, line: Line) {
        let now = self.clock.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, lines| {
            lines.retain(|i| now < i.since.after(IDLE_LIMIT) && !i.line.sender.is_closed());
            !lines.is_empty()
        });
        if idle.values().map(Vec::len).sum::<usize>() < IDLE_ALL {
            let lines = idle.entry(name).or_default();
            if lines.len() < IDLE_EACH {
                lines.push(Idle { line, since: now });
            }
        }
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, parcel: Parcel) -> Result<Reply, CourierError> {
        let url = WebhookUrl::parse(&parcel.url, self.reach)
            .map_err(|e| failed(CourierErrorKind::Forbidden, e.to_string()))?;
        match tokio::time::timeout(parcel.timeout, self.exchange(&url, &parcel)).await {
            Ok(reply) => reply,
            Err(_) => {
                let text = format!("no answer within {} ms", parcel.timeout.as_millis());
                Err(failed(CourierErrorKind::Timeout, text))
            }
        }
    }
}

fn request(url: &WebhookUrl, parcel: &Parcel) -> Result<Request<Full<Bytes>>, CourierError> {
    let agent = concat!("Outdial/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.target.as_str())
        .header(HOST, url.authority())
        .header(USER_AGENT, agent)
        .header(CONTENT_LENGTH, parcel.body.len());
    for (name, value) in &parcel.headers {
        let value = HeaderValue::from_str(value)
            .map_err(|e| failed(CourierErrorKind::Forbidden, e.to_string()))?;
        request = request.header(HeaderName::from_static(name), value);
    }
    let request = request.body(Full::new(parcel.body.clone()));
    request.map_err(|e| failed(CourierErrorKind::Forbidden, format!("the URL: {e}")))
}

async fn hello(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<Line, CourierError> {
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(REPLY_READ_MAX)
        .handshake(io)
        .await
        .map_err(|e| broken(&e))?;
    let driver = tokio::spawn(async move {
        // What goes wrong is told to whoever waits for an answer.
        let _ended = connection.await;
    });
    Ok(Line { sender, driver: driver.abort_handle() })
}

/// `Retry-After` in seconds; its other form, a date, is left alone.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn failed(kind: CourierErrorKind, text: impl Into<String>) -> CourierError {
    CourierError { kind, text: text.into() }
}

fn broken(error: &hyper::Error) -> CourierError {
    failed(CourierErrorKind::Broken, error.to_string())
}
