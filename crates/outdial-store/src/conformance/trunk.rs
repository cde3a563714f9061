//! SIP trunks: what they are, and which numbers go out over them.

use std::time::Duration;

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{TrunkId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_ports::store::{
    CallerIdIn, Integration, NewPhone, PhoneError, PhonePatch, PhoneRecord, Secret, SipSpec,
    Transport, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
};

use super::Factory;
use super::world::{World, phone, workspace};

const PASSWORD: &str = "correct horse";

/// A trunk of which only what must be said is said.
pub(super) fn plain(name: &str) -> TrunkSpec {
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
pub(super) fn full(name: &str) -> TrunkSpec {
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

pub(super) async fn made(w: &World, name: &str) -> TrunkRecord {
    w.store.trunk_create(w.ws, plain(name)).await.unwrap()
}

fn new_number(number: u64, integration: Integration, trunks: &[TrunkId]) -> NewPhone {
    let number = PhoneNumber::from_digits(number);
    NewPhone { number, integration, trunks: trunks.to_vec(), agent: None }
}

pub(super) async fn number_over(w: &World, number: u64, trunks: &[TrunkId]) -> PhoneRecord {
    let new = new_number(number, Integration::Sip, trunks);
    w.store.phone_create(w.ws, new).await.unwrap()
}

pub(super) fn over(trunks: &[TrunkId]) -> PhonePatch {
    PhonePatch { trunks: Some(trunks.to_vec()), ..PhonePatch::default() }
}

pub(super) async fn trunk(w: &World, id: TrunkId) -> TrunkRecord {
    w.store.trunk_list(w.ws).await.unwrap().into_iter().find(|t| t.id == id).unwrap()
}

async fn ids(w: &World, ws: WorkspaceId) -> Vec<TrunkId> {
    w.store.trunk_list(ws).await.unwrap().into_iter().map(|t| t.id).collect()
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
        let changed = w.store.trunk_update(w.ws, id, None, spec.clone()).await.unwrap();
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
    let taken = w.store.trunk_update(w.ws, large.id, None, plain("changed")).await;
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
    let mut expected = [(w.trunk, w.ws), (a, w.ws), (b, w.ws), (theirs, other)];
    expected.sort_unstable();
    assert_eq!(all, expected);

    let versions = w.versions([w.ws, other]).await;
    let forged = TrunkId::from_parts(a.seconds() + 1, a.seq());
    // Nor is the simulated one anybody's to change.
    for (ws, id) in [(other, a), (w.ws, theirs), (w.ws, forged), (w.ws, w.trunk)] {
        let changed = w.store.trunk_update(ws, id, None, plain("c")).await;
        assert_eq!(changed, Err(TrunkError::NotFound));
        assert_eq!(w.store.trunk_delete(ws, id).await, Err(TrunkError::NotFound));
    }
    assert_eq!(w.versions([w.ws, other]).await, versions);
    assert_eq!(ids(&w, w.ws).await, [w.trunk, a, b]);

    let before = w.version().await;
    w.store.trunk_delete(w.ws, a).await.unwrap();
    assert_eq!(w.version().await, before + 1);
    assert_eq!(ids(&w, w.ws).await, [w.trunk, b]);
    assert!(w.store.trunk_list_all().await.unwrap().iter().all(|t| t.id != a));
    assert_eq!(w.store.trunk_delete(w.ws, a).await, Err(TrunkError::NotFound));
    let gone = w.store.trunk_update(w.ws, a, None, plain("a")).await;
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
