//! Connections: who is let in, for how long, and how they end.
//!
//! One accept loop, HTTP/1.1 alone. An error of accepting never ends the loop: somebody who has
//! opened all files there are must not take the server down. What is asked is none of its business.

mod framing;
mod link;
mod networks;
mod pace;
mod roster;
mod socket;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use outdial_ports::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::App;
use crate::config::ConnectionConfig;
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::wire::envelope::Refusal;
use framing::Fault;
use link::{Answering, Ending, Link};
pub use networks::Networks;
pub(crate) use networks::{client, group};
pub(crate) use pace::{Pace, TooSlow};
use roster::{Refused, Roster, Slot};
use socket::Socket;

/// How long a connection that we end may go on sending, so that it can read why.
const LINGER: Duration = Duration::from_secs(2);
/// And how many bytes of that are read.
const LINGER_MAX_BYTES: usize = 256 << 10;
/// Refusals that are being told at once; more are not told.
const REFUSALS_AT_ONCE: usize = 64;
/// Seconds after which somebody who was not let in comes again.
const REFUSED_RETRY_S: u32 = 5;
/// The pause after accepting has failed, and its longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Least bytes of a head that the HTTP library can be told to take.
const LIBRARY_BUFFER_MIN_BYTES: usize = 8 << 10;

/// Where a request came from; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until `stop` resolves; then takes no new connections and lets requests end, for at most
/// `drain`. Returns how many connections were cut then.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> usize {
    let (stopping, stopped) = watch::channel(false);
    let config = &app.config.connections;
    let hall = Arc::new(Hall {
        roster: Roster::new(config.connections_max, config.connections_per_address_max),
        refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
        library: library(config),
        router,
        stopped,
        app,
    });
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let mut pause = PAUSE;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // Those that have ended are forgotten.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE;
                hall.clone().let_in(stream, peer, &mut connections);
            }
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                // Mostly: no file can be opened. One that nobody uses makes room.
                let made_room = hall.roster.make_room();
                tracing::error!(error = %e, made_room, "a connection cannot be accepted");
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _late = tokio::time::timeout(drain, ended).await;
    connections.len()
}

/// The HTTP library with our limits; those of time are the socket's.
fn library(config: &ConnectionConfig) -> http1::Builder {
    let mut library = http1::Builder::new();
    let buffer = config.head_max_bytes.saturating_mul(2).max(LIBRARY_BUFFER_MIN_BYTES);
    library.header_read_timeout(None).max_headers(config.head_fields_max).max_buf_size(buffer);
    library
}

/// Nothing is wrong with us: this one has gone again.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// An answer on its way.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Answering>, Infallible>> + Send>>;

/// What every connection needs.
struct Hall {
    roster: Arc<Roster>,
    refusals: Arc<Semaphore>,
    library: http1::Builder,
    router: Router,
    stopped: watch::Receiver<bool>,
    app: Arc<App>,
}

impl Hall {
    fn let_in(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        // Small answers and events are to leave at once. Refused, it has gone; reading tells.
        let _gone = stream.set_nodelay(true);
        let config = &self.app.config.connections;
        let address = peer.ip().to_canonical();
        let is_counted = !config.unlimited_addresses.contains(address)
            && !config.trusted_proxies.contains(address);
        match self.roster.admit(is_counted.then(|| group(address))) {
            Ok(slot) => {
                connections.spawn(self.attend(stream, address, slot));
            }
            Err(refused) => {
                let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
                connections.spawn(async move {
                    refuse(stream, refused, &self.app.request_ids).await;
                    drop(permit);
                });
            }
        }
    }

    /// One connection, to its end.
    async fn attend(self: Arc<Self>, stream: TcpStream, address: IpAddr, slot: Arc<Slot>) {
        let link = Link::new(slot.clone());
        let clock: Arc<dyn Clock> = self.app.clock.clone();
        let socket = Socket::new(stream, link.clone(), clock, &self.app.config.connections);
        let service = service_fn(|request: Request<Incoming>| self.answer(&link, address, request));
        let mut connection = self.library.serve_connection(TokioIo::new(socket), service);
        let mut stopped = self.stopped.clone();
        let mut is_stopping = false;
        loop {
            let done = poll_fn(|cx| connection.poll_without_shutdown(cx));
            tokio::select! {
                ended = done => {
                    // Not all that it cannot read does the library answer.
                    if ended.is_err_and(|e| e.is_parse()) {
                        link.end(Ending::Fault(link::own_fault(b"")));
                    }
                    break;
                }
                // An error: the loop is gone, which asks for the same.
                _stop = stopped.wait_for(|stop| *stop), if !is_stopping => {
                    is_stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = slot.asked_to_go() => {
                    if link.waits() {
                        return;
                    }
                }
            }
        }
        let (stream, has_more) = connection.into_parts().io.into_inner().into_stream();
        self.part(stream, &link, has_more).await;
    }

    fn answer(&self, link: &Arc<Link>, address: IpAddr, request: Request<Incoming>) -> Answer {
        let exchange = link.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(address));
        let service = TowerToHyperService::new(self.router.clone());
        let answer = hyper::service::Service::call(&service, request);
        Box::pin(async move { Ok(answer.await?.map(|body| exchange.body(body))) })
    }

    /// The end of a connection: says why, if nothing else is being said.
    async fn part(&self, mut stream: TcpStream, link: &Link, has_more: bool) {
        match link.ending() {
            None => {}
            Some(Ending::Idle) => return,
            Some(Ending::SlowReader) => {
                tracing::debug!("a client does not take its answer: cut");
                return;
            }
            Some(Ending::Fault(fault)) => {
                tracing::debug!(status = fault.status.as_u16(), why = fault.why, "cut");
                if link.waits() {
                    let bytes = refusal(fault, None, &self.app.request_ids);
                    let _gone = tokio::time::timeout(LINGER, stream.write_all(&bytes)).await;
                }
            }
        }
        if has_more {
            linger(stream).await;
        } else {
            let _gone = stream.shutdown().await;
        }
    }
}

/// Tells somebody who is not let in.
async fn refuse(mut stream: TcpStream, refused: Refused, ids: &RequestIds) {
    let (status, why) = match refused {
        Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "too many connections: come again"),
        Refused::TooManyFromAddress => {
            (StatusCode::TOO_MANY_REQUESTS, "too many connections from your address: come again")
        }
    };
    tracing::debug!(?refused, "a connection was not let in");
    let bytes = refusal(Fault { status, why }, Some(REFUSED_RETRY_S), ids);
    let _gone = tokio::time::timeout(LINGER, stream.write_all(&bytes)).await;
    linger(stream).await;
}

/// Closing a socket with unread bytes in it destroys what the client has not read yet. So they are
/// read first, within limits.
async fn linger(mut stream: TcpStream) {
    let read = async {
        stream.shutdown().await?;
        let mut part = [0; 4096];
        let mut left = LINGER_MAX_BYTES;
        while left > 0 {
            match stream.read(&mut part).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        io::Result::Ok(())
    };
    let _gone = tokio::time::timeout(LINGER, read).await;
}

/// A whole answer, after which the connection ends.
fn refusal(fault: Fault, retry_after_s: Option<u32>, ids: &RequestIds) -> Vec<u8> {
    let Fault { status, why } = fault;
    let reason = status.canonical_reason().unwrap_or("Error");
    let body = Refusal {
        message: reason.to_owned(),
        status: false,
        code: status.as_u16(),
        error_message: why.to_owned(),
        data: None,
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    let mut field = |name: HeaderName, value: &[u8]| {
        head.push_str(name.as_str());
        head.push_str(": ");
        head.push_str(&String::from_utf8_lossy(value));
        head.push_str("\r\n");
    };
    field(header::CONTENT_TYPE, b"application/json");
    field(header::CONTENT_LENGTH, body.len().to_string().as_bytes());
    field(header::CONNECTION, b"close");
    field(REQUEST_ID, ids.make().as_bytes());
    if let Some(seconds) = retry_after_s {
        field(header::RETRY_AFTER, HeaderValue::from(seconds).as_bytes());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend(body);
    bytes
}
