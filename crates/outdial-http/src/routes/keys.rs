//! API keys. A secret is shown once, in the answer that made it; so these `POST`s keep no answer
//! for repeats, and take no `Idempotency-Key`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use outdial_core::id::KeyId;
use outdial_ports::store::{KeyError, KeyRotation, NewKey};

use super::{Segment, id};
use crate::app::App;
use crate::auth::{Administers, Caller};
use crate::body::JsonBody;
use crate::error::{ApiError, ApiResult};
use crate::keys;
use crate::wire::envelope::{Done, Envelope};
use crate::wire::key::{CreateKey, Key, KeyWish, Keys, RotateKey};

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
    let KeyWish { name, scopes, expires_at } = body.value.parse(app.clock.now())?;
    let secret = keys::mint(app.entropy.as_ref());
    let (hash, hint) = (keys::hash(&app.secret, &secret), keys::hint(&secret));
    let new = NewKey { hash, hint, name, scopes, expires_at };
    let key = app.store.key_create(caller.workspace(), new).await?;
    Ok(Envelope::created("Key created successfully", Key::of(key, Some(secret))))
}

/// Makes the successor of a key, with its name and scopes; its secret is shown this once. The old
/// key stays good for `oldKeyHours`, and two of a line are good at most: what the old one is the
/// successor of is revoked.
#[utoipa::path(post, path = "/api/keys/{id}/rotate", operation_id = "rotateKey",
    tag = "keys", request_body = RotateKey,
    params(("id" = String, Path, description = "Which key")),
    responses((status = 201, body = Envelope<Key>),
        (status = 409, description = "It is no longer good, or has a successor already")))]
pub(super) async fn rotate(
    caller: Caller<Administers>,
    State(app): State<Arc<App>>,
    Segment(key): Segment,
    body: JsonBody<RotateKey>,
) -> ApiResult<Envelope<Key>> {
    let (ws, id): (_, KeyId) = (caller.workspace(), id("id", &key)?);
    let (known, now) = (app.store.key_list(ws).await?, app.clock.now());
    let end = keys::successor_expiry(&known, id, now);
    let (old_for, expires_at) = body.value.parse(end, now)?;
    let secret = keys::mint(app.entropy.as_ref());
    let (hash, hint) = (keys::hash(&app.secret, &secret), keys::hint(&secret));
    let rotation = KeyRotation { hash, hint, expires_at, old_for };
    let made = app.store.key_rotate(ws, id, rotation).await.map_err(|e| match e {
        KeyError::NotFound => ApiError::not_found("key"),
        KeyError::Over => ApiError::new(StatusCode::CONFLICT, e.to_string()),
        KeyError::HasSuccessor(_) => {
            let why = format!("{e}: rotate that one, or revoke it");
            ApiError::new(StatusCode::CONFLICT, why)
        }
        KeyError::Store(e) => e.into(),
    })?;
    Ok(Envelope::created("Key rotated successfully", Key::of(made, Some(secret))))
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
