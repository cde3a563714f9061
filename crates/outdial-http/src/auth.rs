//! Who is asking: API keys in `x-api-key` or as a bearer token.
//!
//! Either header is taken on every endpoint. Both at once must each be good and of one workspace;
//! the scopes are then those of `x-api-key`. Never looks at the query string.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use outdial_core::id::WorkspaceId;
use outdial_ports::store::{Principal, Scope};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::grant::Grant;
use crate::keys;
use crate::rates::Client;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What an endpoint asks of a caller.
pub(crate) trait Access: Send + Sync {
    /// The scope that is needed; none: every good key will do.
    const SCOPE: Option<Scope>;
    /// How bad credentials are answered.
    const REFUSED: StatusCode = StatusCode::UNAUTHORIZED;
}

/// Any good key.
pub(crate) struct Anyone;
/// `calls:read`.
pub(crate) struct Reads;
/// `calls:write`.
pub(crate) struct Writes;
/// `calls:write`; bad credentials are answered 403, as documented for `createBatch` and
/// `addCallsToBatch`.
pub(crate) struct Submits;
/// `admin`.
pub(crate) struct Administers;

impl Access for Anyone {
    const SCOPE: Option<Scope> = None;
}
impl Access for Reads {
    const SCOPE: Option<Scope> = Some(Scope::CallsRead);
}
impl Access for Writes {
    const SCOPE: Option<Scope> = Some(Scope::CallsWrite);
}
impl Access for Submits {
    const SCOPE: Option<Scope> = Some(Scope::CallsWrite);
    const REFUSED: StatusCode = StatusCode::FORBIDDEN;
}
impl Access for Administers {
    const SCOPE: Option<Scope> = Some(Scope::Admin);
}

/// The caller of an endpoint that asks for `A`; an argument of every handler but the health ones.
pub(crate) struct Caller<A> {
    /// Who.
    pub(crate) principal: Principal,
    grant: Grant,
    access: PhantomData<A>,
}

impl<A> Caller<A> {
    /// Its workspace.
    pub(crate) fn workspace(&self) -> WorkspaceId {
        self.principal.workspace
    }

    /// That it may go on: for what outlives the moment in which the request was let in.
    pub(crate) fn grant(&self) -> Grant {
        self.grant.clone()
    }

    /// Checks a `userId` that the request names: the caller's own, or it does not exist. Absent is
    /// fine where the documented API does not ask for it.
    pub(crate) fn check_user(&self, user: &str) -> ApiResult<()> {
        let id: outdial_core::id::UserId =
            user.parse().map_err(|e| ApiError::bad(format!("userId: {e}")))?;
        if id == self.principal.user { Ok(()) } else { Err(ApiError::not_found("user")) }
    }
}

impl<A: Access> FromRequestParts<Arc<App>> for Caller<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let api_key = only(&parts.headers, &API_KEY)?;
        let bearer = only(&parts.headers, &header::AUTHORIZATION)?;
        let refused = |why| ApiError::new(A::REFUSED, why);
        if api_key.is_none() && bearer.is_none() {
            return Err(refused("missing API key: send it as x-api-key or as bearer token"));
        }
        let client = parts.extensions.get().copied().unwrap_or(Client(None));
        // Wrong keys are answered so, and not for ever.
        let bad = || app.rates.failed(client).err().unwrap_or_else(|| refused("invalid API key"));
        let mut hashes = Vec::new();
        let mut principal: Option<Principal> = None;
        for key in [api_key.map(Some), bearer.map(bearer_token)].into_iter().flatten() {
            let hash = key.and_then(|key| hash_of(app, key)).ok_or_else(bad)?;
            app.rates.attempt(client, &hash)?;
            let Some(found) = app.store.key_authenticate(hash).await? else {
                app.rates.forget(&hash);
                return Err(bad());
            };
            if principal.as_ref().is_some_and(|first| first.workspace != found.workspace) {
                return Err(bad());
            }
            app.key_use.note(&found);
            app.rates.succeeded(hash)?;
            hashes.push(hash);
            principal = principal.or(Some(found));
        }
        let principal = principal.ok_or_else(bad)?;
        if let Some(scope) = A::SCOPE.filter(|s| !principal.scopes.contains(s)) {
            let why = format!("this key lacks the scope {}", scope.as_str());
            return Err(ApiError::new(StatusCode::FORBIDDEN, why));
        }
        let grant = Grant::new(app, hashes, A::REFUSED);
        // For whatever reads the body.
        parts.extensions.insert(grant.clone());
        Ok(Self { principal, grant, access: PhantomData })
    }
}

/// The only value of a header. Twice the same header is refused rather than picked from: a proxy in
/// front may have picked the other.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> ApiResult<Option<&'a [u8]>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad(format!("the header {name} is there more than once")));
    }
    Ok(first.map(|v| v.as_bytes()))
}

fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// What the store knows of a key, if it looks like one.
fn hash_of(app: &App, key: &[u8]) -> Option<[u8; 32]> {
    let key = std::str::from_utf8(key).ok().filter(|key| keys::is_well_formed(key))?;
    Some(keys::hash(&app.secret, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens() {
        assert_eq!(bearer_token(b"Bearer od_1"), Some(&b"od_1"[..]));
        assert_eq!(bearer_token(b"bearer  od_1 "), Some(&b"od_1"[..]));
        for bad in [&b"Basic od_1"[..], b"Bearer", b"od_1", b""] {
            assert_eq!(bearer_token(bad), None);
        }
    }
}
