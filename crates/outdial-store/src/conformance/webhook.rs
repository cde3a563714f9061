//! Webhook endpoints and deliveries: who gets what, who has it, how often, and what is kept.

use std::time::Duration;

use outdial_core::id::{DeliveryId, WebhookId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    DELIVERY_KEPT_MS, DELIVERY_LEASE_MS, DeliveryJob, DeliveryNext, DeliveryQuery, DeliveryRecord,
    DeliveryState, DeliveryTry, EVENT_KEPT_MS, EventKind, NewWebhook, Replay, Secret, WEBHOOKS_MAX,
    WebhookError, WebhookPatch, WebhookSpec,
};

use super::Factory;
use super::event::{data, numbered};
use super::world::{World, workspace};

pub(super) fn new_webhook(name: &str, events: Option<Vec<EventKind>>) -> NewWebhook {
    let url = format!("https://{name}.example/in");
    let spec = WebhookSpec { url, description: name.to_owned(), events };
    NewWebhook { spec, secret: Secret(format!("whsec_{name}")) }
}

fn tried(at: Timestamp, status: Option<u16>) -> DeliveryTry {
    let answer = Some("not\0now".to_owned()).filter(|_| status.is_some());
    DeliveryTry { at, took_ms: 12, status, error: None, answer }
}

/// A world with an endpoint, and so many events of calls in one batch for it.
async fn with_events(f: &dyn Factory, count: u64) -> (World, WebhookId) {
    let w = World::new(f).await;
    let only = Some(vec![EventKind::CallFinished]);
    let hook = w.store.webhook_create(w.ws, new_webhook("a", only)).await.unwrap().id;
    let batch = w.batch().await;
    for call in w.add_numbers(batch, &(49_301..49_301 + count).collect::<Vec<_>>()).await {
        w.store.call_cancel(w.ws, call).await.unwrap();
    }
    numbered(&w, 0).await;
    (w, hook)
}

async fn claim(w: &World) -> Vec<DeliveryJob> {
    w.store.delivery_claim(4, 64, &[]).await.unwrap()
}

async fn list(w: &World, hook: WebhookId) -> Vec<DeliveryRecord> {
    let query = DeliveryQuery { page: 1, limit: 100, state: None };
    w.store.delivery_list(w.ws, hook, query).await.unwrap().unwrap().deliveries
}

async fn record(w: &World, delivery: DeliveryId, next: DeliveryNext) -> bool {
    w.store.delivery_record(delivery, tried(w.now(), Some(500)), next).await.unwrap()
}

pub(super) async fn endpoints(f: &dyn Factory) {
    let w = World::new(f).await;
    let made = w.store.webhook_create(w.ws, new_webhook("a", None)).await.unwrap();
    assert_eq!(made.spec, new_webhook("a", None).spec);
    assert_eq!((made.secret.clone(), made.old_secret.clone()), (Secret("whsec_a".into()), None));
    let other = workspace(&*w.store, "second", 77).await.workspace;
    assert_eq!(w.store.webhook_fetch(other, made.id).await.unwrap(), None);
    let patch = WebhookPatch {
        events: Some(Some(vec![EventKind::BatchPaused, EventKind::DncAdded])),
        ..WebhookPatch::default()
    };
    let refused = w.store.webhook_update(other, made.id, patch.clone()).await;
    assert_eq!(refused, Err(WebhookError::NotFound));
    w.advance_s(1);
    let changed = w.store.webhook_update(w.ws, made.id, patch).await.unwrap();
    assert_eq!(changed.spec.events.as_ref().unwrap().len(), 2);
    assert_eq!((&changed.spec.url, changed.updated_at), (&made.spec.url, w.now()));
    let until = w.now().after(Duration::from_secs(60));
    let fresh = Secret("whsec_x".to_owned());
    let refused = w.store.webhook_rotate(other, made.id, fresh.clone(), until).await;
    assert_eq!(refused, Err(WebhookError::NotFound));
    let rotated = w.store.webhook_rotate(w.ws, made.id, fresh.clone(), until).await.unwrap();
    assert_eq!(rotated.secret, fresh);
    assert_eq!(rotated.old_secret, Some((made.secret, until)));
    assert_eq!(w.store.webhook_fetch(w.ws, made.id).await.unwrap(), Some(rotated.clone()));
    for n in 1..WEBHOOKS_MAX {
        w.store.webhook_create(w.ws, new_webhook(&n.to_string(), None)).await.unwrap();
    }
    let refused = w.store.webhook_create(w.ws, new_webhook("more", None)).await;
    assert_eq!(refused, Err(WebhookError::TooMany));
    w.store.webhook_create(other, new_webhook("theirs", None)).await.unwrap();
    let all = w.store.webhook_list(w.ws).await.unwrap();
    assert_eq!((all.len(), &all[0]), (WEBHOOKS_MAX, &rotated));
    assert!(!w.store.webhook_delete(other, made.id).await.unwrap());
    assert!(w.store.webhook_delete(w.ws, made.id).await.unwrap());
    assert!(!w.store.webhook_delete(w.ws, made.id).await.unwrap());
    assert_eq!(w.store.webhook_fetch(w.ws, made.id).await.unwrap(), None);
    let query = DeliveryQuery { page: 1, limit: 10, state: None };
    assert_eq!(w.store.delivery_list(w.ws, made.id, query).await.unwrap(), None);
    assert_eq!(w.store.delivery_replay(w.ws, made.id, Replay::Failed).await.unwrap(), None);
    w.store.webhook_create(w.ws, new_webhook("more", None)).await.unwrap();
}

pub(super) async fn claiming(f: &dyn Factory) {
    let (mut w, hook) = with_events(f, 6).await;
    let second = w.store.webhook_create(w.ws, new_webhook("b", None)).await.unwrap().id;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301]).await;
    numbered(&w, 7).await;
    let backlog = w.store.event_backlog().await.unwrap();
    assert_eq!(backlog.oldest_due, Some(w.now()));
    assert_eq!(w.store.delivery_claim(4, 64, &[hook, second]).await.unwrap(), []);
    let jobs = w.store.delivery_claim(4, 2, &[second]).await.unwrap();
    assert_eq!(jobs.iter().map(|j| j.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((jobs[0].tries, jobs[0].first_at), (0, w.now()));
    assert_eq!(jobs[0].webhook, w.store.webhook_fetch(w.ws, hook).await.unwrap().unwrap());
    let page = w.store.event_list(w.ws, 1, 1).await.unwrap();
    assert_eq!(jobs[0].event, page.events[0]);
    let more = claim(&w).await;
    let of = |id| more.iter().filter(|j| j.webhook.id == id).count();
    assert_eq!((of(hook), of(second)), (4, 1));
    assert_eq!(claim(&w).await, []);
    assert_eq!(w.store.event_backlog().await.unwrap().oldest_due, None);

    // A lease that lapsed is anybody's; one whose process is gone too, at once.
    w.advance_s(DELIVERY_LEASE_MS.unsigned_abs() / 1000);
    assert_eq!(w.store.delivery_claim(9, 64, &[second]).await.unwrap().len(), 6);
    let old = std::mem::replace(&mut w.store, w.db.process());
    let again = w.store.delivery_claim(9, 64, &[second]).await.unwrap();
    assert_eq!(again.len(), 6);
    let late = |d, next| old.delivery_record(d, tried(w.now(), None), next);
    assert!(!late(again[0].delivery, DeliveryNext::GivenUp).await.unwrap());
    let soon = DeliveryNext::Again(w.now());
    assert!(!late(again[0].delivery, soon).await.unwrap());
    assert!(late(again[0].delivery, DeliveryNext::Delivered).await.unwrap(), "it has arrived");
    assert!(!record(&w, again[0].delivery, DeliveryNext::Delivered).await, "it is over");
    assert_eq!(list(&w, hook).await.last().unwrap().tries.len(), 1);
}

pub(super) async fn trying(f: &dyn Factory) {
    let (w, hook) = with_events(f, 3).await;
    let jobs = claim(&w).await;
    let [a, b, c] = [0, 1, 2].map(|i| jobs[i].delivery);
    let began = w.now();
    let failing = async || w.store.webhook_fetch(w.ws, hook).await.unwrap().unwrap().failing_since;
    let later = w.now().after(Duration::from_secs(30));
    assert!(record(&w, a, DeliveryNext::Again(later)).await);
    assert!(record(&w, b, DeliveryNext::GivenUp).await);
    w.advance_s(1);
    assert!(!record(&w, b, DeliveryNext::GivenUp).await);
    assert_eq!(failing().await, Some(began));
    assert_eq!(claim(&w).await, []);
    w.advance_s(29);
    let again = claim(&w).await;
    assert_eq!((again[0].delivery, again[0].tries, again[0].sequence), (a, 1, 1));
    assert_eq!(again[0].event, jobs[0].event);
    assert!(record(&w, a, DeliveryNext::Again(later)).await);
    assert_eq!(failing().await, Some(began));
    assert!(record(&w, c, DeliveryNext::Delivered).await);
    assert_eq!(failing().await, None);

    let shown = list(&w, hook).await;
    let states: Vec<_> = shown.iter().map(|d| d.state).collect();
    use DeliveryState::{Delivered, GivenUp, Pending};
    assert_eq!(states, [Delivered, GivenUp, Pending]);
    assert_eq!((shown[2].next_at, shown[1].next_at), (Some(later), None));
    assert_eq!(shown[2].tries.len(), 2);
    let first = &shown[2].tries[0];
    assert_eq!((first.at, first.took_ms, first.status), (began, 12, Some(500)));
    assert_eq!(first.answer.as_deref(), Some("not\u{fffd}now"));
    let query = DeliveryQuery { page: 2, limit: 1, state: None };
    let page = w.store.delivery_list(w.ws, hook, query).await.unwrap().unwrap();
    assert_eq!((page.total, &page.deliveries[..]), (3, &shown[1..2]));
    let query = DeliveryQuery { page: 1, limit: 9, state: Some(GivenUp) };
    let page = w.store.delivery_list(w.ws, hook, query).await.unwrap().unwrap();
    assert_eq!((page.total, page.deliveries.len()), (1, 1));
    let other = workspace(&*w.store, "second", 77).await.workspace;
    let query = DeliveryQuery { page: 1, limit: 9, state: None };
    assert_eq!(w.store.delivery_list(other, hook, query).await.unwrap(), None);

    // Another receiver has not failed yet.
    assert_eq!(claim(&w).await[0].delivery, a);
    assert!(record(&w, a, DeliveryNext::Again(later)).await);
    let url = w.store.webhook_fetch(w.ws, hook).await.unwrap().unwrap().spec.url;
    for (url, since) in [(url, Some(w.now())), ("https://b.example/".to_owned(), None)] {
        let patch = WebhookPatch { url: Some(url), ..WebhookPatch::default() };
        w.store.webhook_update(w.ws, hook, patch).await.unwrap();
        assert_eq!(failing().await, since);
    }
}

pub(super) async fn replaying(f: &dyn Factory) {
    let (w, hook) = with_events(f, 4).await;
    let jobs = claim(&w).await;
    for (job, next) in jobs.iter().zip([
        DeliveryNext::Delivered,
        DeliveryNext::GivenUp,
        DeliveryNext::Delivered,
        DeliveryNext::Again(Timestamp::MAX),
    ]) {
        assert!(record(&w, job.delivery, next).await);
    }
    w.advance_s(10);
    let replay = |what| w.store.delivery_replay(w.ws, hook, what);
    assert_eq!(replay(Replay::Since(w.now())).await.unwrap(), Some(0));
    assert_eq!(replay(Replay::Failed).await.unwrap(), Some(1));
    assert_eq!(replay(Replay::Failed).await.unwrap(), Some(0), "it is pending");
    assert_eq!(replay(Replay::One(jobs[0].delivery)).await.unwrap(), Some(1));
    let made_up = DeliveryId::from_parts(1, jobs[2].delivery.seq());
    assert_eq!(replay(Replay::One(made_up)).await.unwrap(), Some(0));
    let again = claim(&w).await;
    assert_eq!(again.len(), 2);
    for (job, was) in again.iter().zip([&jobs[0], &jobs[1]]) {
        let id = |j: &DeliveryJob| (j.delivery, j.event.clone(), j.sequence);
        assert_eq!(id(job), id(was));
        assert_eq!((job.tries, job.first_at), (0, w.now()));
    }
    assert!(record(&w, again[0].delivery, DeliveryNext::Delivered).await);
    assert_eq!(list(&w, hook).await[3].tries.len(), 2, "the tries before are shown too");
    let since = w.now().before(Duration::from_secs(10));
    assert_eq!(replay(Replay::Since(since)).await.unwrap(), Some(2));
}

pub(super) async fn disabling(f: &dyn Factory) {
    let (w, hook) = with_events(f, 1).await;
    let all = w.store.webhook_create(w.ws, new_webhook("all", None)).await.unwrap().id;
    assert!(w.store.webhook_disable(hook, "gone".to_owned()).await.unwrap());
    assert!(!w.store.webhook_disable(hook, "gone".to_owned()).await.unwrap());
    let shown = w.store.webhook_fetch(w.ws, hook).await.unwrap().unwrap();
    assert_eq!(shown.disabled, Some((w.now(), "gone".to_owned())));
    let batch = w.batch().await;
    let call = w.add_numbers(batch, &[49_301]).await[0];
    w.store.call_cancel(w.ws, call).await.unwrap();
    let events = numbered(&w, 2).await;
    assert_eq!(events[0].kind, EventKind::WebhookDisabled);
    let told = data(&events[0]);
    assert_eq!(
        (told["webhookId"].as_str(), told["reason"].as_str()),
        (Some(&*hook.to_string()), Some("gone"))
    );
    let jobs = claim(&w).await;
    assert!(jobs.iter().all(|j| j.webhook.id == all) && jobs.len() == 3);
    assert_eq!((jobs[0].event.batch, jobs[0].sequence), (None, 1));
    // Enabled again it gets what waited, and what comes; not what was in between.
    let enable = WebhookPatch { enabled: Some(true), ..WebhookPatch::default() };
    let shown = w.store.webhook_update(w.ws, hook, enable).await.unwrap();
    assert_eq!((shown.disabled, shown.failing_since), (None, None));
    let jobs = claim(&w).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].webhook.id, jobs[0].sequence), (hook, 1));
    let disable = WebhookPatch { enabled: Some(false), ..WebhookPatch::default() };
    let shown = w.store.webhook_update(w.ws, hook, disable).await.unwrap();
    assert_eq!(shown.disabled, Some((w.now(), "user".to_owned())));
    assert_eq!(numbered(&w, 5).await, []);
}

pub(super) async fn forgetting(f: &dyn Factory) {
    let (w, hook) = with_events(f, 4).await;
    let jobs = claim(&w).await;
    let day = 86_400;
    assert!(record(&w, jobs[0].delivery, DeliveryNext::Delivered).await);
    assert!(record(&w, jobs[1].delivery, DeliveryNext::GivenUp).await);
    assert!(record(&w, jobs[2].delivery, DeliveryNext::Delivered).await);
    w.advance_s(EVENT_KEPT_MS.unsigned_abs() / 1000);
    // The batch's own event, which nobody was sent; two deliveries with theirs.
    while w.store.event_prune(1).await.unwrap() > 0 {}
    assert_eq!(list(&w, hook).await.len(), 2);
    let page = w.store.event_list(w.ws, 0, 10).await.unwrap();
    assert_eq!((page.oldest, page.latest), (5, 5));
    let again = claim(&w).await;
    assert_eq!((again.len(), again[0].sequence), (1, 4), "it waits for as long as it takes");
    assert!(record(&w, again[0].delivery, DeliveryNext::GivenUp).await);
    w.advance_s(DELIVERY_KEPT_MS.unsigned_abs() / 1000);
    while w.store.event_prune(10).await.unwrap() > 0 {}
    assert_eq!(list(&w, hook).await, []);
    // Sequences and positions go on behind what is forgotten.
    let (batch, call) = (jobs[0].event.batch.unwrap(), 49_399);
    let added = w.add_numbers(batch, &[call]).await[0];
    w.store.call_cancel(w.ws, added).await.unwrap();
    numbered(&w, 5).await;
    assert_eq!(claim(&w).await[0].sequence, 5);

    // Of an endpoint that is disabled for long, and of one that is deleted, nothing is kept.
    w.store.webhook_disable(hook, "failing".to_owned()).await.unwrap();
    w.advance_s(DELIVERY_KEPT_MS.unsigned_abs() / 1000 - day);
    w.store.event_prune(10).await.unwrap();
    assert_eq!(list(&w, hook).await.len(), 1);
    w.advance_s(day);
    while w.store.event_prune(10).await.unwrap() > 0 {}
    assert_eq!(list(&w, hook).await, []);
    let all = w.store.webhook_create(w.ws, new_webhook("all", None)).await.unwrap().id;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301]).await;
    while w.store.event_number(10).await.unwrap() > 0 {}
    let latest = w.store.event_list(w.ws, 0, 100).await.unwrap().latest;
    assert!(w.store.webhook_delete(w.ws, all).await.unwrap());
    assert_eq!(claim(&w).await, []);
    assert!(w.store.event_prune(10).await.unwrap() > 0);
    let page = w.store.event_list(w.ws, latest - 1, 10).await.unwrap();
    assert_eq!(page.events.len(), 1, "who reads events has it still");
    w.advance_s(EVENT_KEPT_MS.unsigned_abs() / 1000);
    while w.store.event_prune(10).await.unwrap() > 0 {}
    assert_eq!(w.store.event_list(w.ws, 0, 10).await.unwrap().oldest, latest + 1);
}
