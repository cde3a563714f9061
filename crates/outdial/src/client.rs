//! A client of Outdial's HTTP API: what `outdial batch` and `outdial demo` speak. It knows the
//! documented requests and nothing of the server's inside.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use outdial_core::outcome::Disposition;
use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

/// How much of a body is handed to the network at a time.
const PIECE_BYTES: usize = 64 << 10;
/// First wait before a request is sent again; doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a request is sent at most.
const TRIES: u32 = 8;

/// An answer that says no.
#[derive(Debug, Error)]
#[error("the server answered {status}: {message}")]
pub(crate) struct Refused {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// What it said, for people.
    pub(crate) message: String,
    /// `data` of the answer: for bad records, `errors` and `errorCount`.
    pub(crate) data: Value,
    /// When to come again, if it said so.
    retry_after: Option<Duration>,
}

/// Envelope of almost every answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_message: String,
    #[serde(default)]
    data: Value,
}

/// Who the key belongs to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    /// Whom the documented requests call `userId`.
    pub(crate) user_id: String,
}

/// How far a batch is.
#[derive(Debug)]
pub(crate) struct BatchProgress {
    /// `queue_status`.
    pub(crate) status: String,
    /// Why, of one that is `paused`.
    pub(crate) pause_reason: Option<String>,
    /// All its calls.
    pub(crate) total: u64,
    /// Pending or on the phone.
    pub(crate) unfinished: u64,
}

/// A client with a server and a key.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// A request body and how much of it has left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<AtomicU64>);

impl Sent {
    /// Bytes handed to the network so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Client {
    /// For the server at `url`, `http://host:port`.
    pub(crate) fn new(url: &str, key: &str) -> Result<Self> {
        if url.starts_with("https://") {
            bail!(
                "this version speaks http:// only; where the server is behind TLS, reach it \
                 through a tunnel or on its own machine"
            );
        }
        if !url.starts_with("http://") {
            bail!("--url must begin with http://, not `{url}`");
        }
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// Who the key belongs to.
    pub(crate) async fn me(&self) -> Result<Me> {
        Ok(serde_json::from_value(self.get("/api/me", &[]).await?)?)
    }

    /// GET; `data` of the answer.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.base))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(Method::GET, url, None).await
    }

    /// POST of a JSON body; `data` of the answer. It is sent once.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        let url = reqwest::Url::parse(&format!("{}{path}", self.base))?;
        self.send(Method::POST, url, Some(serde_json::to_vec(body)?)).await
    }

    /// Adds calls to a batch. Sent again with the same key while the server is in trouble or some
    /// chunks failed, so that nobody is added twice. `again` is told why before each wait.
    pub(crate) async fn add_calls(
        &self,
        body: Vec<u8>,
        idempotency_key: &str,
        sent: &Sent,
        mut again: impl FnMut(&str),
    ) -> Result<Value> {
        let body = Bytes::from(body);
        let mut wait = FIRST_WAIT;
        for tries in 1.. {
            sent.0.store(0, Ordering::Relaxed);
            let (why, at_least) = match self.add_once(body.clone(), idempotency_key, sent).await {
                Ok(data) if data.get("failedChunks").is_none() || tries == TRIES => {
                    return Ok(data);
                }
                Ok(_) => ("some chunks were not stored".to_owned(), None),
                Err(error) if tries < TRIES && may_pass(&error) => {
                    let refused = error.downcast_ref::<Refused>();
                    (format!("{error:#}"), refused.and_then(|r| r.retry_after))
                }
                Err(error) => return Err(error),
            };
            let this = wait.max(at_least.unwrap_or_default());
            again(&format!("{why}; once more in {} s", this.as_secs_f32()));
            tokio::time::sleep(this).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        unreachable!("the loop ends at the last try");
    }

    /// How far a batch is.
    pub(crate) async fn progress(&self, batch: &str) -> Result<BatchProgress> {
        let unfinished = ["pending", "dialing", "ringing", "in-progress"];
        let all = self.details(batch, None).await?;
        let open = self.details(batch, Some(json!(unfinished))).await?;
        let status = open["batchStatus"].as_str().unwrap_or_default();
        let pause_reason = match status {
            "paused" => {
                let shown = self.get(&format!("/api/call/batch/{batch}"), &[]).await?;
                shown["pauseReason"].as_str().map(ToOwned::to_owned)
            }
            _ => None,
        };
        Ok(BatchProgress {
            status: status.to_owned(),
            pause_reason,
            total: total_of(&all)?,
            unfinished: total_of(&open)?,
        })
    }

    /// How many of a batch's calls have which disposition; those that none has are left out.
    pub(crate) async fn dispositions(&self, batch: &str) -> Result<Vec<(Disposition, u64)>> {
        let mut counts = Vec::new();
        for disposition in Disposition::ALL {
            let found = self.details(batch, Some(json!(disposition.as_str()))).await?;
            match total_of(&found)? {
                0 => {}
                count => counts.push((disposition, count)),
            }
        }
        Ok(counts)
    }

    async fn details(&self, batch: &str, call_status: Option<Value>) -> Result<Value> {
        let filter = call_status.map(|status| json!({ "callStatus": status }).to_string());
        let mut query = vec![("limit", "1")];
        query.extend(filter.as_deref().map(|f| ("filter", f)));
        self.get(&format!("/api/call/batch-details/{batch}"), &query).await
    }

    async fn add_once(&self, body: Bytes, idempotency_key: &str, sent: &Sent) -> Result<Value> {
        let length = body.len();
        let stream = Pieces { rest: body, sent: sent.clone() };
        let request = self
            .http
            .post(format!("{}/api/call/addCallsToBatch", self.base))
            .header("x-api-key", &self.key)
            .header("idempotency-key", idempotency_key)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(stream));
        self.answer(request).await
    }

    async fn send(
        &self,
        method: Method,
        url: reqwest::Url,
        body: Option<Vec<u8>>,
    ) -> Result<Value> {
        let mut request = self.http.request(method, url).header("x-api-key", &self.key);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        self.answer(request).await
    }

    /// GET of what is no envelope, as it comes.
    pub(crate) async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<reqwest::Response> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.base))?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).header("x-api-key", &self.key);
        let response = self.sent(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let said = Self::envelope(response).await?;
        bail!("the server's answer is no file: {said}")
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        Self::envelope(self.sent(request).await?).await
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let sent = request.send().await;
        sent.with_context(|| format!("no answer from {}: is the server running?", self.base))
    }

    async fn envelope(response: reqwest::Response) -> Result<Value> {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = response.bytes().await.context("the answer broke off")?;
        let envelope: Result<Envelope, _> = serde_json::from_slice(&body);
        match envelope {
            Ok(envelope) if status.is_success() => Ok(envelope.data),
            Ok(Envelope { message, error_message, data }) => {
                let message = if error_message.is_empty() { message } else { error_message };
                Err(Refused { status, message, data, retry_after }.into())
            }
            Err(_) => {
                let text = String::from_utf8_lossy(&body).chars().take(200).collect();
                Err(Refused { status, message: text, data: Value::Null, retry_after }.into())
            }
        }
    }
}

/// Whether the same request may fare better later. Without an answer it may have been done or not:
/// only a request that is safe to repeat may go by this.
pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_none_or(|refused| {
        let passing =
            [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
        refused.status.is_server_error() || passing.contains(&refused.status)
    })
}

fn total_of(details: &Value) -> Result<u64> {
    details["total"].as_u64().context("the server's answer has no total")
}

/// A body in pieces, counted as they leave.
struct Pieces {
    rest: Bytes,
    sent: Sent,
}

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.sent.0.fetch_add(length as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(piece)))
    }
}
