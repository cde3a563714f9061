//! Bodies of requests: what is taken at all, and how it is read.
//!
//! Content type and encoding are checked before size, and size before the first byte is read: a
//! client that waits for `100 Continue` gets its refusal instead.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use outdial_ports::Clock;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::connections::{Pace, TooSlow};
use crate::encoding::{Encoding, Inflater};
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;

/// A small JSON object of known shape. When it has come, the caller's key is still good.
pub(crate) struct JsonBody<T> {
    /// The object.
    pub(crate) value: T,
    /// Of the bytes as they were before any compression; the identity of the body for repeats.
    pub sha256: [u8; 32],
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        check_json(&parts.headers)?;
        let mut reader = BodyReader::open(app, &parts.headers, body, app.config.body_max_bytes)?;
        let mut bytes = Vec::new();
        while let Some(part) = reader.next().await? {
            bytes.extend_from_slice(&part);
        }
        if let Some(grant) = parts.extensions.get::<Grant>() {
            grant.clone().confirm(app).await?;
        }
        Ok(Self { value: parse_object(&bytes, "the body")?, sha256: Sha256::digest(&bytes).into() })
    }
}

/// Refuses what is not JSON in UTF-8, or is encoded in a way that is not undone here: 415.
pub(crate) fn check_json(headers: &HeaderMap) -> ApiResult<()> {
    let refused = |why: &str| ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if !content_type.is_some_and(is_json) {
        return Err(refused("send the body as Content-Type: application/json"));
    }
    Encoding::of(headers).map(|_| ())
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/json"))
        && parts.filter(|p| !p.is_empty()).all(|p| match p.split_once('=') {
            Some((key, value)) if key.trim().eq_ignore_ascii_case("charset") => {
                let value = value.trim().trim_matches('"');
                ["utf-8", "utf8", "us-ascii"].iter().any(|ok| value.eq_ignore_ascii_case(ok))
            }
            Some(_) => true,
            None => false,
        })
}

/// The length of the body as it comes, as the client declares it.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body piece by piece, undoes its compression, up to a limit, and not for ever. Only the
/// time that the client takes is counted, not ours.
pub(crate) struct BodyReader {
    body: Body,
    inflater: Option<Inflater>,
    declared: Option<u64>,
    /// As they came.
    came: u64,
    /// As they are handed on.
    read: u64,
    limit: u64,
    idle: Duration,
    most: Duration,
    waited: Duration,
    pace: Pace,
    min_rate_bytes_per_s: u64,
    clock: Arc<dyn Clock>,
}

impl BodyReader {
    /// 415 for an encoding that is not known, 413 at once when the declared length is over `limit`
    /// bytes.
    pub(crate) fn open(app: &App, headers: &HeaderMap, body: Body, limit: u64) -> ApiResult<Self> {
        let config = &app.config;
        let encoding = Encoding::of(headers)?;
        let declared = declared_length(headers);
        if declared.is_some_and(|n| n > limit) {
            return Err(too_large(limit));
        }
        let inflater =
            (encoding == Encoding::Gzip).then(|| Inflater::new(config.body_expansion_max));
        Ok(Self {
            body,
            declared: declared.filter(|_| inflater.is_none()),
            inflater,
            came: 0,
            read: 0,
            limit,
            idle: Duration::from_millis(config.body_idle_timeout_ms),
            most: Duration::from_millis(config.body_timeout_ms),
            waited: Duration::ZERO,
            pace: Pace::new(config.body_min_rate_bytes_per_s),
            min_rate_bytes_per_s: config.body_min_rate_bytes_per_s,
            clock: app.clock.clone(),
        })
    }

    /// How long what is handed on will be; none: nobody knows.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// The next piece; none at the end. Pieces are small, however much a few bytes stand for.
    pub(crate) async fn next(&mut self) -> ApiResult<Option<Bytes>> {
        loop {
            if let Some(inflater) = &mut self.inflater
                && let Some(piece) = inflater.next()?
            {
                // Much work may come of few bytes; the others want their turn.
                tokio::task::yield_now().await;
                return self.hand_on(piece).map(Some);
            }
            let Some(came) = self.wait().await? else {
                let Some(mut inflater) = self.inflater.take() else { return Ok(None) };
                let Some(last) = inflater.finish()? else { return Ok(None) };
                return self.hand_on(last).map(Some);
            };
            match &mut self.inflater {
                Some(inflater) => inflater.feed(came),
                None => return self.hand_on(came).map(Some),
            }
        }
    }

    fn hand_on(&mut self, piece: Bytes) -> ApiResult<Bytes> {
        self.read += piece.len() as u64;
        if self.read > self.limit { Err(too_large(self.limit)) } else { Ok(piece) }
    }

    /// Bytes as they come.
    async fn wait(&mut self) -> ApiResult<Option<Bytes>> {
        loop {
            let since = self.clock.monotonic().0;
            let frame = tokio::time::timeout(self.idle, self.body.frame()).await.map_err(|_| {
                late(format!("nothing came for {} s after {} bytes", self.idle_s(), self.came))
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|e| {
                ApiError::bad(format!("the body stopped after {} bytes", self.came))
                    .because(e.to_string())
            })?;
            let Ok(data) = frame.into_data() else { continue };
            self.came += data.len() as u64;
            self.judge(self.clock.monotonic().0.saturating_sub(since), data.len() as u64)?;
            if self.came > self.limit {
                return Err(too_large(self.limit));
            }
            return Ok(Some(data));
        }
    }

    /// A body that drips holds its part of the budget for hours; whoever sends nothing at all is
    /// found by the idle timeout.
    fn judge(&mut self, waited: Duration, bytes: u64) -> ApiResult<()> {
        self.waited += waited;
        if self.waited > self.most {
            let took = self.waited.as_secs();
            return Err(late(format!("the body has been coming for {took} s: send less at once")));
        }
        self.pace.note(waited, bytes).map_err(|TooSlow { moved, waited }| {
            late(format!(
                "{moved} bytes came in {} s: send at least {} bytes a second",
                waited.as_secs(),
                self.min_rate_bytes_per_s
            ))
        })
    }

    fn idle_s(&self) -> f32 {
        self.idle.as_secs_f32()
    }
}

fn late(why: String) -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, why)
}

fn too_large(limit: u64) -> ApiError {
    let why = format!("the body is larger than {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why)
}

/// An object of known shape; the refusal names the field, and what it should be. `what` the bytes
/// are, for people.
pub(crate) fn parse_object<T: DeserializeOwned>(bytes: &[u8], what: &str) -> ApiResult<T> {
    match bytes.trim_ascii_start().first() {
        None => return Err(ApiError::bad(format!("{what} is empty: send a JSON object"))),
        Some(b'{') => {}
        Some(_) => return Err(ApiError::bad(format!("{what} must be a JSON object"))),
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        if inner.is_data() && path != "." {
            ApiError::bad(format!("{path}: {}", in_words_of_json(&inner.to_string())))
        } else if inner.is_data() {
            ApiError::bad(in_words_of_json(&inner.to_string()))
        } else {
            ApiError::bad(format!("{what} is not JSON: {inner}"))
        }
    })?;
    deserializer.end().map_err(|e| ApiError::bad(format!("{what} is not JSON: {e}")))?;
    Ok(value)
}

/// serde speaks of Rust's types; clients do not.
fn in_words_of_json(text: &str) -> String {
    text.replace("expected i64", "expected a whole number")
        .replace("expected f64", "expected a number")
        .replace("expected a sequence", "expected an array")
        .replace("invalid type: sequence", "invalid type: array")
        .replace("invalid type: map", "invalid type: object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf8_only() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/jsonx", "application/json; charset=latin1", ""] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn faults_name_the_field() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code)]
        struct T {
            days: Vec<i64>,
        }
        let fault = |text: &str| {
            format!("{:?}", parse_object::<T>(text.as_bytes(), "the body").map(|_| ()).unwrap_err())
        };
        assert!(fault(r#"{"days":[1,"x"]}"#).contains("days[1]: "), "{}", fault("{}"));
        assert!(fault(r#"{"days":[1.5]}"#).contains("expected a whole number"));
        assert!(fault("[]").contains("must be a JSON object"));
        assert!(fault("").contains("empty"));
        assert!(fault("{").contains("not JSON"));
        assert!(fault(r#"{"days":[]} x"#).contains("not JSON"));
    }
}
