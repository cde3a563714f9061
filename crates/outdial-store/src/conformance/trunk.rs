//! SIP trunks: what they are, which numbers go out over them, how they are, and what is kept of the
//! calls on them.

use std::time::Duration;

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::batch::BatchSettings;
use outdial_core::dispatcher::{Head, LineLimits};
use outdial_core::id::{BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    BatchStart, CallerIdIn, Committed, Integration, NewPhone, PhoneError, PhonePatch, PhoneRecord,
    Secret, Settle, SipSpec, Transport, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    TrunkState,
};

use super::Factory;
use super::world::{World, phone, workspace};

const PASSWORD: &str = "correct horse";

/// A trunk of which only what must be said is said.
fn plain(name: &str) -> TrunkSpec {
    TrunkSpec {
        name: name.to_owned(),
        sip: SipSpec {
            host: "sip.example.net".to_owned(),
            port: None,
            transport: Transport::Udp,
            username: None,
            password: None,
            from_domain: None,
            proxy: None,
            register: false,
            keep_alive: None,
            caller_id: CallerIdIn::From,
            plus: false,
            verify_tls: true,
        },
        limits: LineLimits::default(),
        ring_timeout: None,
        max_call_s: None,
    }
}

/// A trunk of which everything is said.
fn full(name: &str) -> TrunkSpec {
    TrunkSpec {
        name: name.to_owned(),
        sip: SipSpec {
            host: "2001:db8::7".to_owned(),
            port: Some(65_535),
            transport: Transport::Tls,
            username: Some("ada".to_owned()),
            password: Some(Secret(PASSWORD.to_owned())),
            from_domain: Some("example.org".to_owned()),
            proxy: Some("edge.example.net:5080".to_owned()),
            register: true,
            keep_alive: Some(Duration::from_millis(30_500)),
            caller_id: CallerIdIn::PAssertedIdentity,
            plus: true,
            verify_tls: false,
        },
        limits: LineLimits {
            calls_per_second: Some(0.5),
            channels: Some(u32::MAX),
            calls_per_day: None,
        },
        ring_timeout: Some(Duration::from_millis(45_250)),
        max_call_s: Some(900),
    }
}

async fn made(w: &World, name: &str) -> TrunkRecord {
    w.store.trunk_create(w.ws, plain(name)).await.unwrap()
}

fn new_number(number: u64, integration: Integration, trunks: &[TrunkId]) -> NewPhone {
    let number = PhoneNumber::from_digits(number);
    NewPhone { number, integration, trunks: trunks.to_vec(), agent: None }
}

async fn number_over(w: &World, number: u64, trunks: &[TrunkId]) -> PhoneRecord {
    let new = new_number(number, Integration::Sip, trunks);
    w.store.phone_create(w.ws, new).await.unwrap()
}

fn over(trunks: &[TrunkId]) -> PhonePatch {
    PhonePatch { trunks: Some(trunks.to_vec()), ..PhonePatch::default() }
}

async fn trunk(w: &World, id: TrunkId) -> TrunkRecord {
    w.store.trunk_list(w.ws).await.unwrap().into_iter().find(|t| t.id == id).unwrap()
}

async fn ids(w: &World, ws: WorkspaceId) -> Vec<TrunkId> {
    w.store.trunk_list(ws).await.unwrap().into_iter().map(|t| t.id).collect()
}

/// An active batch over these numbers.
async fn batch_over(w: &World, numbers: &[PhoneId]) -> BatchId {
    let batch = w.batch_with(BatchSettings::default()).await;
    let start = BatchStart { numbers: Some(numbers.to_vec()), call_data_lane: None };
    w.store.batch_start(w.ws, batch, start).await.unwrap();
    batch
}

/// Calls this number from `caller`, over `trunk`.
async fn dial(w: &World, callee: u64, caller: PhoneId, trunk: TrunkId) -> Committed {
    let batch = batch_over(w, &[caller]).await;
    w.add_numbers(batch, &[callee]).await;
    let due = w.due().await;
    let mut intent = w.intent(due.iter().find(|c| c.callee.digits() == callee).unwrap());
    (intent.intent.caller, intent.intent.trunk) = (caller, trunk);
    w.commit(vec![intent]).await.committed.remove(0)
}

pub(super) async fn create_and_update(f: &dyn Factory) {
    let w = World::new(f).await;
    w.advance_s(1);
    let small = made(&w, "small").await;
    assert_eq!((small.workspace, small.integration), (w.ws, Integration::Sip));
    assert_eq!((small.spec, small.limits), (Some(plain("small")), LineLimits::default()));
    assert_eq!((small.paused_until, small.health), (None, TrunkHealth::default()));
    assert_eq!((small.created_at, small.updated_at), (w.now(), w.now()));
    let large = w.store.trunk_create(w.ws, full("large")).await.unwrap();
    assert_eq!((large.spec.as_ref(), large.limits), (Some(&full("large")), full("large").limits));
    assert!(!format!("{large:?}").contains(PASSWORD), "no log shows it");

    // The workspace's simulated one is listed before them, with no settings of its own.
    let listed = w.store.trunk_list(w.ws).await.unwrap();
    assert_eq!(listed.iter().map(|t| t.id).collect::<Vec<_>>(), [w.trunk, small.id, large.id]);
    assert_eq!(listed[2], large);
    assert_eq!((listed[0].integration, listed[0].spec.as_ref()), (Integration::Simulated, None));
    assert_eq!(listed[0].limits.channels, Some(500));

    // Everything can be changed, into and out of nothing.
    for (id, spec) in [(small.id, full("changed")), (large.id, plain("large"))] {
        w.advance_s(1);
        let before = w.version().await;
        let changed = w.store.trunk_update(w.ws, id, spec.clone()).await.unwrap();
        assert_eq!((changed.id, &changed.spec), (id, &Some(spec.clone())));
        assert_eq!((changed.limits, changed.updated_at), (spec.limits, w.now()));
        assert_eq!(changed.created_at, small.created_at);
        assert_eq!(w.version().await, before + 1);
        assert_eq!(trunk(&w, id).await, changed);
    }

    // A name is one trunk's.
    let twice = w.store.trunk_create(w.ws, full("changed")).await;
    assert_eq!(twice, Err(TrunkError::Duplicate));
    let before = w.version().await;
    let taken = w.store.trunk_update(w.ws, large.id, plain("changed")).await;
    assert_eq!(taken, Err(TrunkError::Duplicate));
    assert_eq!(w.version().await, before, "a refusal changes nothing");
    assert_eq!(trunk(&w, large.id).await.spec, Some(plain("large")));
    let other = workspace(&*w.store, "other", 2).await.workspace;
    w.store.trunk_create(other, plain("changed")).await.unwrap();
}

pub(super) async fn isolation_and_deleting(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let (a, b) = (made(&w, "a").await.id, made(&w, "b").await.id);
    let theirs = w.store.trunk_create(other, plain("a")).await.unwrap().id;
    assert_eq!(ids(&w, other).await, [theirs]);
    let all: Vec<_> =
        w.store.trunk_list_all().await.unwrap().into_iter().map(|t| (t.id, t.workspace)).collect();
    let mut expected = [(a, w.ws), (b, w.ws), (theirs, other)];
    expected.sort_unstable();
    assert_eq!(all, expected, "the simulated ones are not a carrier's");

    let versions = w.store.dispatch_versions().await.unwrap();
    let forged = TrunkId::from_parts(a.seconds() + 1, a.seq());
    // Nor is the simulated one anybody's to change.
    for (ws, id) in [(other, a), (w.ws, theirs), (w.ws, forged), (w.ws, w.trunk)] {
        let changed = w.store.trunk_update(ws, id, plain("c")).await;
        assert_eq!(changed, Err(TrunkError::NotFound));
        assert_eq!(w.store.trunk_delete(ws, id).await, Err(TrunkError::NotFound));
    }
    assert_eq!(w.store.dispatch_versions().await.unwrap(), versions);
    assert_eq!(ids(&w, w.ws).await, [w.trunk, a, b]);

    let before = w.version().await;
    w.store.trunk_delete(w.ws, a).await.unwrap();
    assert_eq!(w.version().await, before + 1);
    assert_eq!(ids(&w, w.ws).await, [w.trunk, b]);
    assert!(w.store.trunk_list_all().await.unwrap().iter().all(|t| t.id != a));
    assert_eq!(w.store.trunk_delete(w.ws, a).await, Err(TrunkError::NotFound));
    let gone = w.store.trunk_update(w.ws, a, plain("a")).await;
    assert_eq!(gone, Err(TrunkError::NotFound));
    // Its name is free, the other workspace's trunk of that name is as it was.
    assert_ne!(made(&w, "a").await.id, a);
    assert_eq!(ids(&w, other).await, [theirs]);
}

pub(super) async fn numbers(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b, c) = (made(&w, "a").await.id, made(&w, "b").await.id, made(&w, "c").await.id);
    let number = number_over(&w, 4_930_222, &[b, a]).await;
    assert_eq!((number.integration, &*number.trunks), (Integration::Sip, &[b, a][..]));
    let listed = w.store.phone_list(w.ws).await.unwrap();
    assert_eq!((listed[0].trunks.as_slice(), &listed[1]), (&[w.trunk][..], &number));

    // A number of the same workspace that is simulated stays on the simulated trunk.
    let simulated = phone(&*w.store, w.ws, 4_930_333, None).await;
    assert_eq!(simulated.trunks, [w.trunk]);

    for id in [a, b] {
        assert_eq!(w.store.trunk_delete(w.ws, id).await, Err(TrunkError::InUse));
    }
    let before = w.version().await;
    let changed = w.store.phone_update(w.ws, number.id, over(&[a, c, b])).await.unwrap();
    assert_eq!(changed, PhoneRecord { trunks: vec![a, c, b], ..number.clone() });
    assert_eq!(w.version().await, before + 1);
    assert_eq!(w.store.phone_list(w.ws).await.unwrap()[1], changed);
    w.store.phone_update(w.ws, number.id, over(&[c])).await.unwrap();
    // What nobody goes out over any more can go.
    w.store.trunk_delete(w.ws, b).await.unwrap();
    assert_eq!(w.store.trunk_delete(w.ws, c).await, Err(TrunkError::InUse));
    let channels = PhonePatch { channels: Some(Some(3)), ..PhonePatch::default() };
    let same = w.store.phone_update(w.ws, number.id, channels).await.unwrap();
    assert_eq!((&*same.trunks, same.limits.channels), (&[c][..], Some(3)));

    // A deleted number does not go out at all.
    w.store.phone_delete(w.ws, number.id).await.unwrap();
    w.store.trunk_delete(w.ws, c).await.unwrap();
    number_over(&w, 4_930_222, &[a]).await;
}

pub(super) async fn numbers_refused(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let (a, gone) = (made(&w, "a").await.id, made(&w, "gone").await.id);
    let theirs = w.store.trunk_create(other, plain("a")).await.unwrap().id;
    w.store.trunk_delete(w.ws, gone).await.unwrap();
    let forged = TrunkId::from_parts(a.seconds() + 1, a.seq());
    let number = number_over(&w, 4_930_222, &[a]).await;
    let before = (w.version().await, w.store.phone_list(w.ws).await.unwrap());

    let no_sip: [&[TrunkId]; 6] = [&[], &[theirs], &[gone], &[forged], &[w.trunk], &[a, theirs]];
    for trunks in no_sip {
        let new = new_number(4_930_333, Integration::Sip, trunks);
        let made = w.store.phone_create(w.ws, new).await;
        assert_eq!(made, Err(PhoneError::NoSuchTrunk), "{trunks:?}");
        let changed = w.store.phone_update(w.ws, number.id, over(trunks)).await;
        assert_eq!(changed, Err(PhoneError::NoSuchTrunk), "{trunks:?}");
    }
    let new = new_number(4_930_333, Integration::Simulated, &[a]);
    assert_eq!(w.store.phone_create(w.ws, new).await, Err(PhoneError::NoSuchTrunk));
    let changed = w.store.phone_update(w.ws, w.phone, over(&[a])).await;
    assert_eq!(changed, Err(PhoneError::NoSuchTrunk));
    assert_eq!((w.version().await, w.store.phone_list(w.ws).await.unwrap()), before);
    // In the other workspace nothing was made either, not even a simulated trunk.
    assert_eq!(ids(&w, other).await, [theirs]);
}

pub(super) async fn head_in_order(f: &dyn Factory) {
    let w = World::new(f).await;
    let first = w.store.trunk_create(w.ws, full("first")).await.unwrap().id;
    let (second, idle) = (made(&w, "second").await.id, made(&w, "idle").await.id);
    let one = number_over(&w, 4_930_222, &[second, first]).await.id;
    let two = number_over(&w, 4_930_333, &[first, second]).await.id;
    number_over(&w, 4_930_444, &[idle]).await;
    // Two numbers share trunks, two batches share numbers.
    batch_over(&w, &[one, two]).await;
    batch_over(&w, &[two, one]).await;
    dial(&w, 49_301, one, first).await;
    let live = dial(&w, 49_302, two, first).await;

    let head = w.head().await;
    let listed: Vec<_> = head.numbers.iter().map(|n| (n.id, &*n.trunks, n.live)).collect();
    assert_eq!(listed, [(one, &[second, first][..], 1), (two, &[first, second], 1)]);
    let lines = |head: &Head| {
        let lines = head.trunks.iter().map(|t| (t.id, t.limits, t.live, t.is_down, t.max_call_s));
        lines.collect::<Vec<_>>()
    };
    let busy = |live| (first, full("first").limits, live, false, Some(900));
    let free = (second, LineLimits::default(), 0, false, None);
    assert_eq!(lines(&head), [busy(2), free], "none that no number here goes out over");

    w.complete(&live).await;
    w.store.phone_update(w.ws, one, over(&[first])).await.unwrap();
    w.store.phone_update(w.ws, two, over(&[first])).await.unwrap();
    let head = w.head().await;
    assert!(head.numbers.iter().all(|n| n.trunks == [first]));
    assert_eq!(lines(&head), [busy(1)]);
}

fn health(state: TrunkState, detail: &str, since: Timestamp) -> TrunkHealth {
    TrunkHealth { state, detail: Some(detail.to_owned()), since: Some(since) }
}

pub(super) async fn reports(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (made(&w, "a").await, made(&w, "b").await);
    let number = number_over(&w, 4_930_222, &[a.id, b.id]).await.id;
    batch_over(&w, &[number]).await;
    let report = async |of: &TrunkRecord, health: TrunkHealth| {
        w.store.trunk_report(vec![(of.id, of.updated_at, health)]).await.unwrap();
        (w.version().await, w.head().await.trunks.iter().map(|t| t.is_down).collect::<Vec<_>>())
    };
    let v = w.version().await;
    let now = w.now();
    // What was not known and what works are both dialed; only `down` makes a difference.
    let up = health(TrunkState::Up, "200 OK", now);
    assert_eq!(report(&a, up.clone()).await, (v, vec![false, false]));
    assert_eq!(trunk(&w, a.id).await, TrunkRecord { health: up.clone(), ..a.clone() });
    assert_eq!(report(&a, up.clone()).await, (v, vec![false, false]));
    let down = health(TrunkState::Down, "no answer", now);
    assert_eq!(report(&a, down.clone()).await, (v + 1, vec![true, false]));
    let worse = health(TrunkState::Down, "503", now);
    assert_eq!(report(&a, worse.clone()).await, (v + 1, vec![true, false]));
    assert_eq!(trunk(&w, a.id).await.health, worse, "remembered all the same");
    assert_eq!(report(&a, TrunkHealth::default()).await, (v + 2, vec![false, false]));
    assert_eq!(trunk(&w, a.id).await.health, TrunkHealth::default());
    assert_eq!(report(&b, down.clone()).await, (v + 3, vec![false, true]));

    // A change begins anew, and what was found before it is nobody's, though no time has passed.
    let changed = w.store.trunk_update(w.ws, b.id, full("b")).await.unwrap();
    assert_eq!(changed.health, TrunkHealth::default());
    assert!(changed.updated_at > b.updated_at);
    assert_eq!(report(&b, down.clone()).await, (v + 4, vec![false, false]));
    assert_eq!(trunk(&w, b.id).await, changed);
    assert_eq!(report(&changed, down.clone()).await, (v + 5, vec![false, true]));
    reports_of_several(&w, &a, down).await;
}

async fn reports_of_several(w: &World, a: &TrunkRecord, down: TrunkHealth) {
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let theirs = w.store.trunk_create(other, plain("a")).await.unwrap();
    let gone = made(w, "gone").await;
    w.store.trunk_delete(w.ws, gone.id).await.unwrap();
    let nobody = TrunkId::from_parts(1, 1);
    let versions = w.store.dispatch_versions().await.unwrap();
    let of = |t: &TrunkRecord| (t.id, t.updated_at, down.clone());
    let found = vec![of(&gone), (nobody, w.now(), down.clone())];
    w.store.trunk_report(found).await.unwrap();
    w.store.trunk_report(Vec::new()).await.unwrap();
    assert_eq!(w.store.dispatch_versions().await.unwrap(), versions, "of nobody that is there");

    let found = vec![of(&gone), of(&theirs), of(a)];
    w.store.trunk_report(found).await.unwrap();
    let now = w.store.dispatch_versions().await.unwrap();
    let grown = |ws| versions.iter().find(|(id, _)| *id == ws).map(|(id, v)| (*id, v + 1)).unwrap();
    assert_eq!(now, [grown(w.ws), grown(other)], "each its own");
    assert_eq!(trunk(w, a.id).await.health, down);
    assert_eq!(w.store.trunk_list(other).await.unwrap()[0].health, down);
}

/// A trunk that is left alone for a while is so by whatever number, and whatever else changes.
pub(super) async fn pauses(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (made(&w, "a").await.id, made(&w, "b").await.id);
    let one = number_over(&w, 4_930_222, &[a, b]).await.id;
    let two = number_over(&w, 4_930_333, &[b]).await.id;
    batch_over(&w, &[one, two]).await;
    let live = dial(&w, 49_301, one, b).await;
    let until = w.now().after(Duration::from_secs(9));
    let settle = Settle { trunk_paused_until: Some(until), ..Settle::default() };
    w.settle(&live, settle).await;
    let paused: Vec<_> = w.head().await.trunks.iter().map(|t| (t.id, t.paused_until)).collect();
    assert_eq!(paused, [(a, None), (b, Some(until))]);
    assert_eq!(trunk(&w, b).await.paused_until, Some(until));
    let changed = w.store.trunk_update(w.ws, b, full("b")).await.unwrap();
    assert_eq!(changed.paused_until, Some(until));
}

pub(super) async fn open_attempts(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let a = w.store.trunk_create(w.ws, full("a")).await.unwrap().id;
    let b = made(&w, "b").await.id;
    let number = number_over(&w, 4_930_222, &[a, b]).await.id;
    let live = dial(&w, 49_301, number, a).await;
    w.advance_s(1);
    let open = w.store.attempt_fetch(live.attempt).await.unwrap().unwrap();
    assert_eq!((open.trunk, open.integration, open.trunks), (a, Integration::Sip, 2));
    assert_eq!(open.ring_timeout, full("a").ring_timeout);
    assert_eq!((open.caller.digits(), open.send_by), (4_930_222, live.intent.intent.send_by));
    assert_eq!(open.dialog, None);

    // As many trunks as it has now; and a trunk that is gone is still the attempt's.
    w.store.phone_update(w.ws, number, over(&[b])).await.unwrap();
    w.store.trunk_delete(w.ws, a).await.unwrap();
    let open = w.store.attempt_fetch(live.attempt).await.unwrap().unwrap();
    assert_eq!((open.trunk, open.integration, open.trunks), (a, Integration::Sip, 1));
    // So is a number that is gone.
    w.store.phone_delete(w.ws, number).await.unwrap();
    w.store = w.db.process();
    let orphans = w.store.attempt_list_orphaned(10).await.unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!((orphans[0].attempt, orphans[0].trunk), (live.attempt, a));
    assert_eq!((orphans[0].caller.digits(), orphans[0].trunks), (4_930_222, 0));
    let until = w.now().after(Duration::from_secs(9));
    w.settle(&live, Settle { trunk_paused_until: Some(until), ..Settle::default() }).await;
    let (_, call) = w.store.call_fetch(w.ws, live.intent.intent.call).await.unwrap().unwrap();
    assert_eq!((call.attempts[0].id, call.attempts[0].caller), (live.attempt, number));
}

pub(super) async fn dialogs(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let a = made(&w, "a").await.id;
    let number = number_over(&w, 4_930_222, &[a]).await.id;
    let (one, two) = (dial(&w, 49_301, number, a).await, dial(&w, 49_302, number, a).await);
    let record = async |c: &Committed, state, dialog: Option<&str>| {
        let progress = AttemptProgress { state, at: w.now() };
        let dialog = dialog.map(str::to_owned);
        w.store.attempt_record(c.attempt, progress, dialog).await.unwrap()
    };
    assert!(record(&one, AttemptState::Ringing, None).await);
    let dialog = "{\"route\":[\"<sip:é;lr>\"],\n\"cseq\":1}";
    assert!(record(&one, AttemptState::Answered, Some(dialog)).await);
    assert!(!record(&one, AttemptState::Answered, Some("late")).await);
    // An answer with nothing to keep.
    assert!(record(&two, AttemptState::Answered, None).await);
    let kept = async |store: &dyn outdial_ports::Store, c: &Committed| {
        store.attempt_fetch(c.attempt).await.unwrap().unwrap().dialog
    };
    assert_eq!(kept(&*w.store, &one).await.as_deref(), Some(dialog));
    assert_eq!(kept(&*w.store, &two).await, None);

    // Another process finds it.
    w.store = w.db.process();
    let orphans = w.store.attempt_list_orphaned(10).await.unwrap();
    let found: Vec<_> = orphans.iter().map(|o| (o.attempt, o.dialog.as_deref())).collect();
    assert_eq!(found, [(one.attempt, Some(dialog)), (two.attempt, None)]);
    w.complete(&one).await;
    let progress = AttemptProgress { state: AttemptState::Answered, at: w.now() };
    let late = w.store.attempt_record(one.attempt, progress, Some("late".to_owned())).await;
    assert_eq!(late, Ok(false));
    assert_eq!(w.store.attempt_list_orphaned(10).await.unwrap().len(), 1);
}
