//! Edits that go by what their caller has seen: none overwrites what somebody else wrote meanwhile.

use outdial_core::batch::BatchSettings;
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::{AgentError, BatchPatch, BatchUpdateError, TrunkError, TrunkSpec};

use super::Factory;
use super::trunk::plain;
use super::world::{World, agent_spec};

pub(super) async fn settings(f: &dyn Factory) {
    let w = World::new(f).await;
    let seen = w.store.settings_fetch(w.ws).await.unwrap();
    let other = WorkspaceSettings { concurrency: Some(3), ..seen.clone() };
    let update = |was: &WorkspaceSettings, to| w.store.settings_update(w.ws, Some(was.clone()), to);
    assert_eq!(update(&seen, other.clone()).await, Ok(true));
    let before = w.version().await;
    let late = WorkspaceSettings { concurrency: Some(4), ..seen.clone() };
    assert_eq!(update(&seen, late.clone()).await, Ok(false));
    assert_eq!(w.store.settings_fetch(w.ws).await.unwrap(), other);
    assert_eq!(w.version().await, before, "a refusal changes nothing");
    assert_eq!(update(&other, late).await, Ok(true));
    assert_eq!(w.version().await, before + 1);
}

pub(super) async fn agents(f: &dyn Factory) {
    let w = World::new(f).await;
    let agent = w.store.agent_create(w.ws, agent_spec("Bob")).await.unwrap();
    let update = |version, name| w.store.agent_update(w.ws, agent.id, version, agent_spec(name));
    assert_eq!(update(Some(1), "first").await.unwrap().version, 2);
    assert_eq!(update(Some(1), "second").await, Err(AgentError::Changed));
    assert_eq!(w.store.agent_fetch(w.ws, agent.id).await.unwrap().unwrap().spec.name, "first");
    assert_eq!(update(Some(2), "third").await.unwrap().version, 3);
    assert_eq!(update(None, "whatever it is").await.unwrap().version, 4);
}

pub(super) async fn trunks(f: &dyn Factory) {
    let w = World::new(f).await;
    let trunk = w.store.trunk_create(w.ws, plain("a")).await.unwrap();
    let update = |at, spec: TrunkSpec| w.store.trunk_update(w.ws, trunk.id, at, spec);
    // Two changes at one instant differ all the same.
    let first = update(Some(trunk.updated_at), plain("b")).await.unwrap();
    let before = w.version().await;
    let late = update(Some(trunk.updated_at), plain("c")).await;
    assert_eq!(late, Err(TrunkError::Changed));
    assert_eq!(w.version().await, before, "a refusal changes nothing");
    let second = update(Some(first.updated_at), plain("d")).await.unwrap();
    assert_eq!(second.spec, Some(plain("d")));
    assert!(first.updated_at < second.updated_at);
}

pub(super) async fn batches(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let seen = w.store.batch_fetch(batch).await.unwrap().unwrap().settings;
    let patch = |was: &BatchSettings, retry| BatchPatch {
        name: Some(format!("retry {retry}")),
        settings: Some(BatchSettings { retry, ..was.clone() }),
        was: Some(was.clone()),
        numbers: None,
    };
    let first = w.store.batch_update(w.ws, batch, patch(&seen, 4)).await.unwrap();
    let before = w.version().await;
    let late = w.store.batch_update(w.ws, batch, patch(&seen, 5)).await;
    assert_eq!(late, Err(BatchUpdateError::Changed));
    assert_eq!(w.store.batch_fetch(batch).await.unwrap(), Some(first.clone()));
    assert_eq!(w.version().await, before, "a refusal changes nothing");
    let again = w.store.batch_update(w.ws, batch, patch(&first.settings, 6)).await.unwrap();
    assert_eq!((again.name.as_str(), again.settings.retry), ("retry 6", 6));
    // A name alone contradicts nobody.
    let renamed = BatchPatch { name: Some("June".to_owned()), ..BatchPatch::default() };
    assert_eq!(w.store.batch_update(w.ws, batch, renamed).await.unwrap().name, "June");
}
