//! Who is asking.

use outdial_ports::store::Scope;

use crate::auth::{Anyone, Caller};
use crate::wire::envelope::Envelope;
use crate::wire::key::Me;

/// The workspace, user and scopes of the key.
#[utoipa::path(get, path = "/api/me", operation_id = "me",
    tag = "account",
    responses((status = 200, body = Envelope<Me>)))]
pub(super) async fn me(caller: Caller<Anyone>) -> Envelope<Me> {
    let p = caller.principal;
    Envelope::ok(
        "Key fetched successfully",
        Me {
            workspace_id: p.workspace.to_string(),
            user_id: p.user.to_string(),
            scopes: p.scopes.into_iter().map(Scope::as_str).collect(),
        },
    )
}
