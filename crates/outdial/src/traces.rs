//! OpenTelemetry: spans of requests, chunks, turns of the dispatcher and attempts, sent to where
//! the configuration says; nowhere, if it does not.
//!
//! Only spans of our own target leave: they carry ids and words, never a number, a contact or a
//! secret. Events of the log stay in the log.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::config::MonitoringConfig;

/// Of our spans.
pub(crate) const TARGET: &str = "outdial::span";

/// How long a receiver may take.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the last spans may take to leave at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// A tracer, if the configuration names a receiver.
pub(crate) fn tracer(config: &MonitoringConfig, runtime: &Handle) -> Result<Option<SdkTracer>> {
    let Some(endpoint) = &config.traces_endpoint else { return Ok(None) };
    let client = reqwest::Client::builder()
        .timeout(SEND_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .context("a client for traces")?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender { client, runtime: runtime.clone() })
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(|e| anyhow!("monitoring.traces_endpoint `{endpoint}`: {e}"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            config.traces_ratio,
        ))))
        .with_resource(Resource::builder_empty().with_service_name("outdial").build())
        .build();
    let provider = PROVIDER.get_or_init(|| provider);
    Ok(Some(provider.tracer("outdial")))
}

/// Sends what is left. Blocks, so not on a thread of the runtime.
pub(crate) fn flush() {
    if let Some(provider) = PROVIDER.get() {
        let _too_late = provider.shutdown_with_timeout(FLUSH_WITHIN);
    }
}

/// The exporter has a thread of its own; connections live on the runtime.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), reqwest::Request::try_from(request)?);
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request).await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
