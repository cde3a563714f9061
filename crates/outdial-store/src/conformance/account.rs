//! Workspaces, keys, settings, agents, calling numbers.

use outdial_core::id::{AgentId, KeyId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::{
    AgentError, Integration, NewKey, NewPhone, PhoneError, PhonePatch, Scope,
};

use super::Factory;
use super::world::{World, agent_spec, bytes, new_key, phone, workspace};

pub(super) async fn workspaces_and_keys(f: &dyn Factory) {
    let w = World::new(f).await;
    w.store.ping().await.unwrap();
    let secret = w.store.secret_fetch().await.unwrap();
    assert_ne!(secret, [0; 32]);
    assert_eq!(w.db.process().secret_fetch().await.unwrap(), secret);

    let second = workspace(&*w.store, "second", 2).await;
    let names: Vec<_> =
        w.store.workspace_list().await.unwrap().into_iter().map(|ws| (ws.id, ws.name)).collect();
    assert_eq!(names, [(w.ws, "first".to_owned()), (second.workspace, "second".to_owned())]);

    let found = w.store.key_authenticate(bytes(2)).await.unwrap().unwrap();
    assert_eq!(
        (found.workspace, found.user, found.key),
        (second.workspace, second.user, second.key)
    );
    assert_eq!(found.scopes, Scope::ALL);
    assert_eq!(w.store.key_authenticate(bytes(3)).await.unwrap(), None);

    w.advance_s(1);
    let made = NewKey { scopes: vec![Scope::CallsRead], ..new_key(3) };
    let made = w.store.key_create(w.ws, made).await.unwrap();
    assert_eq!(
        w.store.key_authenticate(bytes(3)).await.unwrap().unwrap().scopes,
        [Scope::CallsRead]
    );
    let listed = w.store.key_list(w.ws).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1], made);

    let before = w.version().await;
    assert!(!w.store.key_revoke(second.workspace, made.id).await.unwrap(), "another's key");
    let forged = KeyId::from_parts(made.id.seconds() + 1, made.id.seq());
    assert!(!w.store.key_revoke(w.ws, forged).await.unwrap(), "a made-up id");
    assert!(w.store.key_revoke(w.ws, made.id).await.unwrap());
    assert!(!w.store.key_revoke(w.ws, made.id).await.unwrap(), "twice");
    assert_eq!(w.version().await, before + 1);
    assert_eq!(w.store.key_authenticate(bytes(3)).await.unwrap(), None);
    assert_eq!(w.store.key_list(w.ws).await.unwrap()[1].revoked_at, Some(w.now()));
}

pub(super) async fn settings(f: &dyn Factory) {
    let w = World::new(f).await;
    let first = w.store.settings_fetch(w.ws).await.unwrap();
    assert_eq!(first.concurrency, Some(7));
    let before = w.version().await;
    let changed = WorkspaceSettings { timezone: "Asia/Tokyo".to_owned(), ..first };
    w.store.settings_update(w.ws, None, changed.clone()).await.unwrap();
    assert_eq!(w.store.settings_fetch(w.ws).await.unwrap(), changed);
    assert_eq!(w.version().await, before + 1);
    let nobody = WorkspaceId::from_parts(1, 1);
    assert!(w.store.settings_fetch(nobody).await.is_err());
    assert!(w.store.settings_update(nobody, None, changed).await.is_err());
}

pub(super) async fn agents(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    w.advance_s(1);
    let made = w.store.agent_create(w.ws, agent_spec("Bob")).await.unwrap();
    assert_eq!((made.version, &made.spec), (1, &agent_spec("Bob")));
    assert_eq!(w.store.agent_fetch(w.ws, made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(w.store.agent_fetch(other, made.id).await.unwrap(), None);
    let names: Vec<_> =
        w.store.agent_list(w.ws).await.unwrap().into_iter().map(|a| a.spec.name).collect();
    assert_eq!(names, ["Ada", "Bob"]);

    w.advance_s(1);
    let mut spec = agent_spec("Bobby");
    spec.variables.clear();
    let changed = w.store.agent_update(w.ws, made.id, None, spec.clone()).await.unwrap();
    assert_eq!((changed.version, &changed.spec), (2, &spec));
    assert_eq!((changed.created_at, changed.updated_at), (made.created_at, w.now()));
    assert_eq!(w.store.agent_fetch(w.ws, made.id).await.unwrap(), Some(changed));
    let theirs = w.store.agent_update(other, made.id, None, spec).await;
    assert_eq!(theirs, Err(AgentError::NotFound));

    assert_eq!(w.store.agent_delete(w.ws, w.agent).await, Err(AgentError::InUse));
    assert_eq!(w.store.agent_delete(other, made.id).await, Err(AgentError::NotFound));
    w.store.agent_delete(w.ws, made.id).await.unwrap();
    assert_eq!(w.store.agent_delete(w.ws, made.id).await, Err(AgentError::NotFound));
    assert_eq!(w.store.agent_list(w.ws).await.unwrap().len(), 1);
}

pub(super) async fn phones(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    w.advance_s(1);
    let second = phone(&*w.store, w.ws, 4_930_222, None).await;
    assert_eq!(second.trunks, [w.trunk], "one simulated trunk per workspace");
    let theirs = phone(&*w.store, other, 4_930_222, None).await;
    assert_ne!(theirs.trunks, second.trunks);
    let listed = w.store.phone_list(w.ws).await.unwrap();
    assert_eq!(listed.iter().map(|p| p.id).collect::<Vec<_>>(), [w.phone, second.id]);
    assert_eq!(listed[1], second);

    let new = |number, agent| NewPhone {
        number: PhoneNumber::from_digits(number),
        integration: Integration::Simulated,
        trunks: Vec::new(),
        agent,
    };
    let twice = w.store.phone_create(w.ws, new(4_930_222, None)).await;
    assert_eq!(twice, Err(PhoneError::Duplicate));
    let nobody = AgentId::from_parts(1, 1);
    let lost = w.store.phone_create(w.ws, new(4_930_333, Some(nobody))).await;
    assert_eq!(lost, Err(PhoneError::NoSuchAgent));

    let before = w.version().await;
    let patch = PhonePatch {
        agent: Some(Some(w.agent)),
        calls_per_second: Some(Some(0.5)),
        channels: Some(Some(3)),
        calls_per_day: Some(Some(40)),
        price: Some(Some(12_000)),
        ..PhonePatch::default()
    };
    let changed = w.store.phone_update(w.ws, second.id, patch.clone()).await.unwrap();
    assert_eq!((changed.agent, changed.limits.channels), (Some(w.agent), Some(3)));
    assert_eq!(changed.limits.calls_per_second, Some(0.5));
    assert_eq!((changed.limits.calls_per_day, changed.price), (Some(40), Some(12_000)));
    assert_eq!(w.store.phone_list(w.ws).await.unwrap()[1], changed);
    assert_eq!(w.version().await, before + 1);
    let same = w.store.phone_update(w.ws, second.id, PhonePatch::default()).await.unwrap();
    assert_eq!(same, changed);
    assert_eq!(w.store.phone_update(other, second.id, patch).await, Err(PhoneError::NotFound));
    let lost = PhonePatch { agent: Some(Some(nobody)), ..PhonePatch::default() };
    assert_eq!(w.store.phone_update(w.ws, second.id, lost).await, Err(PhoneError::NoSuchAgent));

    assert_eq!(w.store.phone_delete(other, second.id).await, Err(PhoneError::NotFound));
    w.store.phone_delete(w.ws, second.id).await.unwrap();
    assert_eq!(w.store.phone_delete(w.ws, second.id).await, Err(PhoneError::NotFound));
    let forged = PhoneId::from_parts(w.phone.seconds() + 1, w.phone.seq());
    assert_eq!(w.store.phone_delete(w.ws, forged).await, Err(PhoneError::NotFound));
    // The number is free again.
    phone(&*w.store, w.ws, 4_930_222, None).await;
}
