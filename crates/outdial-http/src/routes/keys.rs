//! API keys. A secret is shown once, in the answer that made it; so this `POST` keeps no answer
//! for repeats, and takes no `Idempotency-Key`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use outdial_ports::store::{NewKey, Scope};

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Administers, Caller};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::keys;
use crate::wire::envelope::{Done, Envelope};
use crate::wire::faults::Faults;
use crate::wire::key::{CreateKey, Key, Keys};

/// All keys, revoked ones too, without their secrets.
#[utoipa::path(get, path = "/api/keys", operation_id = "listKeys",
    tag = "keys",
    responses((status = 200, body = Envelope<Keys>)))]
pub(super) async fn list(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
) -> ApiResult<Envelope<Keys>> {
    let keys = app.store.key_list(caller.workspace()).await?;
    let keys = keys.into_iter().map(|k| Key::of(k, None)).collect();
    Ok(Envelope::ok("Keys fetched successfully", Keys { keys }))
}

/// Makes a key; its secret is shown this once.
#[utoipa::path(post, path = "/api/keys", operation_id = "createKey",
    tag = "keys", request_body = CreateKey,
    responses((status = 201, body = Envelope<Key>)))]
pub(super) async fn create(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    body: JsonBody<CreateKey>,
) -> ApiResult<Envelope<Key>> {
    let mut faults = Faults::default();
    let name = faults.name("name", body.value.name.as_deref());
    let mut scopes = BTreeSet::new();
    match &body.value.scopes {
        None => scopes.extend([Scope::CallsRead, Scope::CallsWrite]),
        Some(words) if words.is_empty() => faults.add("scopes", "name at least one"),
        Some(words) => {
            for (i, word) in words.iter().enumerate() {
                match Scope::parse(word) {
                    Some(scope) => _ = scopes.insert(scope),
                    None => faults.add(
                        format!("scopes[{i}]"),
                        "write \"calls:read\", \"calls:write\" or \"admin\"",
                    ),
                }
            }
        }
    }
    faults.finish()?;
    let secret = keys::mint(app.entropy.as_ref());
    let new = NewKey {
        hash: keys::hash(&app.secret, &secret),
        hint: keys::hint(&secret),
        name,
        scopes: scopes.into_iter().collect(),
        expires_at: None,
    };
    let key = app.store.key_create(caller.workspace(), new).await?;
    Ok(Envelope::created("Key created successfully", Key::of(key, Some(secret))))
}

/// Revokes a key; it may be the caller's own.
#[utoipa::path(delete, path = "/api/keys/{id}", operation_id = "revokeKey",
    tag = "keys",
    params(("id" = String, Path, description = "Which key")),
    responses((status = 200, body = Done)))]
pub(super) async fn revoke(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(key): Segment,
) -> ApiResult<axum::Json<Done>> {
    if app.store.key_revoke(caller.workspace(), id("id", &key)?).await? {
        Ok(Done::ok("Key revoked successfully"))
    } else {
        Err(ApiError::not_found("key"))
    }
}
