//! The webhook sender: takes deliveries that are due from the store, signs them, hands them to the
//! courier and records what came of it.
//!
//! When to try again and whom to give up is `outdial_core::webhook`'s; who is sent to now is
//! [`desk`]'s. At least once: a delivery whose record was lost is sent again, with the same id. It
//! must never send what is not numbered, nor let one endpoint keep another waiting.

mod desk;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outdial_core::id::WebhookId;
use outdial_core::time::Timestamp;
use outdial_core::webhook::{
    Answered, DeliveryStep, EndpointStep, after_try, arrived, endpoint_after,
};
use outdial_ports::store::{DeliveryJob, DeliveryNext, DeliveryTry, StoreError};
use outdial_ports::{Courier, CourierError, Parcel, Reply};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::tasks::{guarded, note};
use desk::Desk;

/// Deliveries are not claimed more often than this.
const GAP: Duration = Duration::from_millis(20);
/// Of an answer, the delivery log keeps so much.
const ANSWER_KEPT_BYTES: usize = 1 << 10;
/// So often it is tried to record what came of a delivery; after that it is sent again.
const RECORD_TRIES: u32 = 5;
/// Between two tries to record.
const RECORD_GAP: Duration = Duration::from_secs(1);

/// After so long here, an endpoint is read again before something leaves for it.
const FRESH: Duration = Duration::from_secs(1);

/// Settings of the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// How long one try may take, in milliseconds; at most 20 s.
    pub timeout_ms: u64,
    /// Most deliveries of this process on their way at once.
    pub in_flight: usize,
    /// Most of them to one endpoint.
    pub in_flight_per_endpoint: usize,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { timeout_ms: 10_000, in_flight: 64, in_flight_per_endpoint: 4 }
    }
}

/// What the sender works with.
pub(crate) struct Sender {
    pub(crate) ctx: Arc<Context>,
    pub(crate) courier: Arc<dyn Courier>,
    pub(crate) config: WebhookConfig,
}

/// How a try ended, as far as the desk is concerned.
struct Ended {
    webhook: WebhookId,
    arrived: bool,
    disabled: bool,
    took: Duration,
}

/// Delivers for ever.
pub(crate) async fn keep_delivering(sender: Arc<Sender>) {
    let (ctx, config) = (&sender.ctx, &sender.config);
    let period = Duration::from_millis(ctx.config.supervise_ms);
    let mut desk = Desk::new(config.in_flight, config.in_flight_per_endpoint);
    let mut going: JoinSet<Ended> = JoinSet::new();
    loop {
        let claimed = claim(ctx, &mut desk).await;
        note(ctx, "deliver_webhooks", claimed);
        let began = ctx.clock.monotonic();
        desk.forget(began);
        let idle_until = desk.next_rested(began).unwrap_or(began.after(period));
        let mut look_at = idle_until.min(began.after(period));
        loop {
            for (job, waited) in desk.start(ctx.clock.monotonic()) {
                going.spawn(deliver(Arc::clone(&sender), job, waited));
            }
            tokio::select! {
                biased;
                () = ctx.clock.sleep_until(look_at.max(began.after(GAP))) => break,
                () = ctx.numbered.notified() => look_at = began,
                Some(ended) = going.join_next() => {
                    settle(ctx, &mut desk, ended);
                    look_at = began;
                }
            }
        }
    }
}

/// Claims what there is room for.
async fn claim(ctx: &Arc<Context>, desk: &mut Desk) -> Result<u32, crate::tasks::Broken> {
    let mut claimed = 0;
    for careful in [false, true] {
        let ask = match careful {
            false => desk.ask_quick(),
            true => desk.ask_careful(ctx.clock.monotonic()),
        };
        let Some(ask) = ask else { continue };
        // Before the store is asked: the lease begins no earlier.
        let now = ctx.clock.monotonic();
        let store = Arc::clone(&ctx.store);
        let jobs =
            guarded(
                async move { store.delivery_claim(ask.per_endpoint, ask.limit, &ask.busy).await },
            )
            .await?;
        claimed += u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        desk.take(jobs, now);
    }
    Ok(claimed)
}

fn settle(ctx: &Context, desk: &mut Desk, ended: Result<Ended, tokio::task::JoinError>) {
    match ended {
        Ok(Ended { webhook, arrived, disabled, took }) => {
            let random = ctx.entropy.next_u64();
            desk.ended(webhook, arrived, took, ctx.clock.monotonic(), random);
            if disabled {
                desk.drop_queue(webhook);
            }
        }
        Err(error) => tracing::error!(%error, "a delivery broke down"),
    }
}

/// One try, to its record.
async fn deliver(sender: Arc<Sender>, job: DeliveryJob, waited: Duration) -> Ended {
    let webhook = job.webhook.id;
    let began = sender.ctx.clock.monotonic();
    let tried = guarded(try_once(Arc::clone(&sender), job, waited)).await;
    let took = sender.ctx.clock.monotonic().since(began);
    let (arrived, disabled) = match tried {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(%webhook, %error, "what came of a delivery is not recorded");
            (false, false)
        }
    };
    Ended { webhook, arrived, disabled, took }
}

/// Whether it arrived, and whether the endpoint is disabled.
async fn try_once(
    sender: Arc<Sender>,
    job: DeliveryJob,
    waited: Duration,
) -> Result<(bool, bool), StoreError> {
    let Sender { ctx, courier, config } = &*sender;
    let Some(job) = as_it_is_now(ctx, job, waited).await? else { return Ok((false, true)) };
    let (at, began) = (ctx.clock.now(), ctx.clock.monotonic());
    let said = match parcel(&job, at, config) {
        Some(parcel) => courier.post(parcel).await.map_err(|e| error_of(&e)),
        None => Err("the secret of this endpoint is not one: rotate it".to_owned()),
    };
    let answered = match &said {
        Ok(reply) => Answered { status: Some(reply.status), retry_after: reply.retry_after },
        Err(_) => Answered::default(),
    };
    let took_ms = u32::try_from(ctx.clock.monotonic().since(began).as_millis()).unwrap_or(u32::MAX);
    let tried = DeliveryTry {
        at,
        took_ms,
        status: answered.status,
        error: said.as_ref().err().cloned(),
        answer: said.as_ref().ok().and_then(answer_of),
    };
    let next = next_of(ctx, &job, answered);
    record(ctx, &job, tried, next).await?;
    let has_arrived = arrived(answered);
    let disabled = !has_arrived && disable_if_over(ctx, &job, answered, at).await?;
    Ok((has_arrived, disabled))
}

/// What waited here is for the address and the secrets that its endpoint has by now. None: it gets
/// nothing any more.
async fn as_it_is_now(
    ctx: &Context,
    mut job: DeliveryJob,
    waited: Duration,
) -> Result<Option<DeliveryJob>, StoreError> {
    if waited < FRESH {
        return Ok(Some(job));
    }
    let found = ctx.store.webhook_fetch(job.webhook.workspace, job.webhook.id).await?;
    Ok(found.filter(|w| w.disabled.is_none()).map(|webhook| {
        job.webhook = webhook;
        job
    }))
}

fn parcel(job: &DeliveryJob, at: Timestamp, config: &WebhookConfig) -> Option<Parcel> {
    let (id, body) = (job.event.id.to_string(), sign::body(job));
    let seconds = at.as_seconds();
    let signature = sign::signature(&sign::secrets(job, at), &id, seconds, &body)?;
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature),
    ];
    let timeout = Duration::from_millis(config.timeout_ms);
    Some(Parcel { url: job.webhook.spec.url.clone(), headers, body: Bytes::from(body), timeout })
}

fn error_of(error: &CourierError) -> String {
    error.to_string()
}

/// The beginning of the answer as text; a database takes no NUL.
fn answer_of(reply: &Reply) -> Option<String> {
    let head = &reply.body_head[..reply.body_head.len().min(ANSWER_KEPT_BYTES)];
    let mut text = String::from_utf8_lossy(head).replace('\0', "\u{fffd}");
    // What is no UTF-8 grows.
    text.truncate(text.floor_char_boundary(ANSWER_KEPT_BYTES));
    (!text.is_empty()).then_some(text)
}

fn next_of(ctx: &Context, job: &DeliveryJob, answered: Answered) -> DeliveryNext {
    let (now, random) = (ctx.clock.now(), ctx.entropy.next_u64());
    let tries = job.tries.saturating_add(1);
    // By a clock that jumped lately nothing is given up.
    let first_at = if ctx.clocks_agree() { job.first_at } else { now };
    match after_try(answered, tries, first_at, now, random) {
        DeliveryStep::Delivered => DeliveryNext::Delivered,
        DeliveryStep::Again(at) => DeliveryNext::Again(at),
        DeliveryStep::GivenUp => {
            let (delivery, webhook) = (job.delivery, job.webhook.id);
            tracing::warn!(%delivery, %webhook, "given up after a day of tries");
            DeliveryNext::GivenUp
        }
    }
}

async fn record(
    ctx: &Context,
    job: &DeliveryJob,
    tried: DeliveryTry,
    next: DeliveryNext,
) -> Result<(), StoreError> {
    for left in (0..RECORD_TRIES).rev() {
        match ctx.store.delivery_record(job.delivery, tried.clone(), next).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                tracing::debug!(delivery = %job.delivery, "it was over, or another's");
                return Ok(());
            }
            Err(error) if left == 0 => return Err(error),
            Err(_) => ctx.sleep(RECORD_GAP).await,
        }
    }
    Ok(())
}

/// Disables the endpoint if it is to be given up, by what is stored of it and not by what was when
/// the delivery was claimed.
async fn disable_if_over(
    ctx: &Context,
    job: &DeliveryJob,
    answered: Answered,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let old = &job.webhook;
    let seems = endpoint_after(answered, old.failing_since, at);
    if seems == EndpointStep::Stays || !ctx.clocks_agree() {
        return Ok(false);
    }
    let Some(webhook) = ctx.store.webhook_fetch(old.workspace, old.id).await? else {
        return Ok(true);
    };
    let EndpointStep::Disabled(reason) = endpoint_after(answered, webhook.failing_since, at) else {
        return Ok(false);
    };
    // Whoever has just given it another address means another receiver.
    if webhook.spec.url != old.spec.url {
        return Ok(false);
    }
    if ctx.store.webhook_disable(old.id, reason.to_owned()).await? {
        tracing::warn!(webhook = %old.id, workspace = %old.workspace, reason, "disabled");
        ctx.facts.notify_one();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use outdial_core::id::{DeliveryId, EventId, WorkspaceId};
    use outdial_ports::store::{EventKind, EventRecord, Secret, WebhookRecord, WebhookSpec};

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_000);

    /// The endpoint of this number.
    pub(super) fn id(endpoint: u64) -> WebhookId {
        WebhookId::new(AT, endpoint)
    }

    /// A delivery to it.
    pub(super) fn job(endpoint: u64, event: u64) -> DeliveryJob {
        let workspace = WorkspaceId::new(AT, 1);
        let spec = WebhookSpec {
            url: "https://example.com/".into(),
            description: String::new(),
            events: None,
        };
        let webhook = WebhookRecord {
            id: id(endpoint),
            workspace,
            spec,
            secret: Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
            old_secret: None,
            disabled: None,
            failing_since: None,
            created_at: AT,
            updated_at: AT,
        };
        let event = EventRecord {
            id: EventId::new(AT, event),
            workspace,
            position: event,
            kind: EventKind::CallFinished,
            batch: None,
            at: AT,
            data: "{}".into(),
        };
        let delivery = DeliveryId::new(AT, event.position);
        DeliveryJob { delivery, webhook, event, sequence: 1, tries: 0, first_at: AT }
    }

    #[test]
    fn a_parcel_has_what_the_specification_asks_for() {
        let parcel = parcel(&job(1, 2), AT, &WebhookConfig::default()).unwrap();
        let names: Vec<&str> = parcel.headers.iter().map(|(name, _)| *name).collect();
        let asked = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];
        assert_eq!(names, asked);
        assert_eq!(parcel.headers[1].1, EventId::new(AT, 2).to_string());
        assert_eq!(parcel.headers[2].1, "1");
        assert!(parcel.headers[3].1.starts_with("v1,"));
    }

    #[test]
    fn answers_are_kept_short_and_clean() {
        let kept = |body: Vec<u8>| {
            let body_head = Bytes::from(body);
            answer_of(&Reply { status: 200, body_head, retry_after: None })
        };
        assert_eq!(kept(Vec::new()), None);
        assert_eq!(kept(b"a\0b".to_vec()).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(kept(vec![b'x'; 5_000]).unwrap().len(), 1_024);
        let odd = kept(vec![0xff; 5_000]).unwrap();
        assert!(odd.len() <= 1_024 && odd.len() > 1_000);
    }
}
