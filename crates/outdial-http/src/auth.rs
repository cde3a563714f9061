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
use crate::keys;

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
    access: PhantomData<A>,
}

impl<A> Caller<A> {
    /// Its workspace.
    pub(crate) fn workspace(&self) -> WorkspaceId {
        self.principal.workspace
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
        let principal = match (api_key, bearer) {
            (None, None) => {
                return Err(refused("missing API key: send it as x-api-key or as bearer token"));
            }
            (Some(key), None) => lookup(app, Some(key)).await?,
            (None, Some(value)) => lookup(app, bearer_token(value)).await?,
            (Some(key), Some(value)) => {
                let by_key = lookup(app, Some(key)).await?;
                let by_bearer = lookup(app, bearer_token(value)).await?;
                by_key.filter(|k| by_bearer.is_some_and(|b| b.workspace == k.workspace))
            }
        };
        let principal = principal.ok_or_else(|| refused("invalid API key"))?;
        if let Some(scope) = A::SCOPE.filter(|s| !principal.scopes.contains(s)) {
            let why = format!("this key lacks the scope {}", scope.as_str());
            return Err(ApiError::new(StatusCode::FORBIDDEN, why));
        }
        Ok(Self { principal, access: PhantomData })
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

async fn lookup(app: &App, key: Option<&[u8]>) -> ApiResult<Option<Principal>> {
    let Some(key) = key.and_then(|k| std::str::from_utf8(k).ok()) else { return Ok(None) };
    if !keys::is_well_formed(key) {
        return Ok(None);
    }
    Ok(app.store.key_authenticate(keys::hash(&app.secret, key)).await?)
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
