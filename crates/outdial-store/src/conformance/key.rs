//! API keys: until when they are good, their successors, when they were used.

use std::time::Duration;

use outdial_core::id::KeyId;
use outdial_ports::store::{KEY_USE_EVERY, KeyError, KeyRotation, NewKey, Scope};

use super::Factory;
use super::world::{World, bytes, new_key, workspace};

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    async fn is_good(&self, n: u64) -> bool {
        self.store.key_authenticate(bytes(n)).await.unwrap().is_some()
    }

    async fn rotate(&self, key: KeyId, n: u64, old_for: Duration) -> Result<KeyId, KeyError> {
        let (hash, hint) = (bytes(n), n.to_string());
        let rotation = KeyRotation { hash, hint, expires_at: None, old_for };
        self.store.key_rotate(self.ws, key, rotation).await.map(|made| made.id)
    }
}

pub(super) async fn keys_expire(f: &dyn Factory) {
    let w = World::new(f).await;
    let expires_at = Some(w.now().after(Duration::from_secs(10)));
    let made = w.store.key_create(w.ws, NewKey { expires_at, ..new_key(3) }).await.unwrap();
    assert_eq!(made.expires_at, expires_at);
    assert_eq!(w.store.key_list(w.ws).await.unwrap()[1], made);
    w.advance_s(9);
    assert!(w.is_good(3).await);
    w.advance_s(1);
    assert!(!w.is_good(3).await, "not at the instant itself");
    assert!(w.db.process().key_authenticate(bytes(3)).await.unwrap().is_none());
    assert_eq!(w.rotate(made.id, 4, HOUR).await, Err(KeyError::Over));
    assert!(w.store.key_revoke(w.ws, made.id).await.unwrap(), "to be on the safe side");
}

pub(super) async fn keys_are_rotated(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await;
    let scopes = vec![Scope::CallsRead];
    let first = NewKey { scopes: scopes.clone(), ..new_key(3) };
    let first = w.store.key_create(w.ws, first).await.unwrap();

    let before = w.version().await;
    w.advance_s(1);
    let (hash, hint) = (bytes(4), "abcd".to_owned());
    let expires_at = Some(w.now().after(48 * HOUR));
    let rotation = KeyRotation { hash, hint, expires_at, old_for: HOUR };
    let theirs = w.store.key_rotate(other.workspace, first.id, rotation.clone()).await;
    assert_eq!(theirs, Err(KeyError::NotFound), "another's key");
    let forged = KeyId::from_parts(first.id.seconds() + 1, first.id.seq());
    let made_up = w.store.key_rotate(w.ws, forged, rotation.clone()).await;
    assert_eq!(made_up, Err(KeyError::NotFound), "a made-up id");
    assert_eq!(w.version().await, before);
    let second = w.store.key_rotate(w.ws, first.id, rotation).await.unwrap();
    assert_eq!(w.version().await, before + 1);
    assert_eq!((&second.name, &second.scopes), (&first.name, &scopes));
    assert_eq!((second.replaces, second.expires_at), (Some(first.id), expires_at));
    assert_eq!((second.created_at, second.hint.as_str()), (w.now(), "abcd"));
    let listed = w.store.key_list(w.ws).await.unwrap();
    assert_eq!(listed[2], second);
    assert_eq!(listed[1].expires_at, Some(w.now().after(HOUR)));
    assert!(w.is_good(3).await && w.is_good(4).await, "two at once");

    // One successor at a time.
    let again = w.rotate(first.id, 5, HOUR).await;
    assert_eq!(again, Err(KeyError::HasSuccessor(second.id)));
    assert!(!w.is_good(5).await);
    // The successor's successor ends what is older: never three.
    let third = w.rotate(second.id, 6, 2 * HOUR).await.unwrap();
    assert!(!w.is_good(3).await && w.is_good(4).await && w.is_good(6).await);
    assert_eq!(w.store.key_list(w.ws).await.unwrap()[1].revoked_at, Some(w.now()));
    assert_eq!(w.rotate(first.id, 7, HOUR).await, Err(KeyError::Over));
    w.advance_s(2 * 3600);
    assert!(!w.is_good(4).await && w.is_good(6).await);

    // A successor that was revoked is none; what ends sooner than asked still does.
    let short = Some(w.now().after(HOUR));
    let made = w.store.key_create(w.ws, NewKey { expires_at: short, ..new_key(8) }).await.unwrap();
    let lost = w.rotate(made.id, 9, 9 * HOUR).await.unwrap();
    assert!(w.store.key_revoke(w.ws, lost).await.unwrap());
    w.rotate(made.id, 10, 9 * HOUR).await.unwrap();
    let listed = w.store.key_list(w.ws).await.unwrap();
    assert_eq!(listed.iter().find(|k| k.id == made.id).unwrap().expires_at, short);
    // At once.
    w.rotate(third, 11, Duration::ZERO).await.unwrap();
    assert!(!w.is_good(6).await && w.is_good(11).await);
}

pub(super) async fn keys_tell_when_they_were_used(f: &dyn Factory) {
    let w = World::new(f).await;
    let made = w.store.key_create(w.ws, new_key(3)).await.unwrap();
    let used = async || {
        let known = w.store.key_authenticate(bytes(3)).await.unwrap().unwrap().last_used_at;
        assert_eq!(w.store.key_list(w.ws).await.unwrap()[1].last_used_at, known);
        known
    };
    assert_eq!(used().await, None, "to look is not to use");
    let forged = KeyId::from_parts(made.id.seconds() + 1, made.id.seq());
    let first = w.now();
    let version = w.version().await;
    assert_eq!(w.store.key_touch(vec![made.id]).await.unwrap(), 1);
    assert_eq!(used().await, Some(first));
    w.advance_s(KEY_USE_EVERY.as_secs() - 1);
    assert_eq!(w.db.process().key_touch(vec![made.id]).await.unwrap(), 0, "once a minute");
    assert_eq!(used().await, Some(first));
    w.advance_s(1);
    assert_eq!(w.store.key_touch(vec![made.id, forged]).await.unwrap(), 1);
    assert_eq!(used().await, Some(w.now()));
    w.advance_s(KEY_USE_EVERY.as_secs());
    assert_eq!(w.store.key_touch(vec![forged]).await.unwrap(), 0, "a made-up id");
    assert_eq!(w.store.key_touch(Vec::new()).await.unwrap(), 0);
    assert_eq!(w.version().await, version, "no plan is disturbed");
}
