//! What an endpoint asks of its caller, as `openapi.json` says it: read from the type that enforces
//! it, so that the two cannot differ and neither can be forgotten. A handler whose first argument
//! is no guard does not compile as an endpoint.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::MethodRouter;
use outdial_ports::store::Scope;
use utoipa::ToSchema as _;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::app::App;
use crate::auth::{Access, Caller};
use crate::wire::envelope::Refusal;

/// What is asked of whoever calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Demand {
    /// Nothing.
    Nothing,
    /// A good key.
    Key {
        /// Which scope it must have; none: any key will do.
        scope: Option<Scope>,
        /// How bad credentials are answered.
        refused: StatusCode,
    },
}

/// The first argument of a handler: lets in whom it should.
pub(crate) trait Guard {
    /// Whom.
    const DEMAND: Demand;
}

impl<A: Access> Guard for Caller<A> {
    const DEMAND: Demand = Demand::Key { scope: A::SCOPE, refused: A::REFUSED };
}

/// The guard of what everybody may see.
pub(crate) struct Open;

impl Guard for Open {
    const DEMAND: Demand = Demand::Nothing;
}

impl FromRequestParts<Arc<App>> for Open {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// A handler with a guard.
#[diagnostic::on_unimplemented(
    message = "an endpoint's first argument is its guard",
    note = "write `caller: Caller<…>`, or `_: Open` if everybody may call it"
)]
pub(crate) trait Guarded<Arguments> {
    /// What the guard asks.
    const DEMAND: Demand;
}

macro_rules! guarded {
    ($($argument:ident)*) => {
        impl<F, G, $($argument,)* Out> Guarded<(G, $($argument,)*)> for F
        where
            F: Fn(G, $($argument),*) -> Out,
            Out: Future,
            G: Guard,
        {
            const DEMAND: Demand = G::DEMAND;
        }
    };
}
guarded!();
guarded!(A1);
guarded!(A1 A2);
guarded!(A1 A2 A3);
guarded!(A1 A2 A3 A4);
guarded!(A1 A2 A3 A4 A5);
guarded!(A1 A2 A3 A4 A5 A6);

/// One endpoint or several of one path, each with what it asks of its caller.
macro_rules! routes {
    ($($handler:path),+ $(,)?) => {
        $crate::declared::together([
            $($crate::declared::declare(&$handler, utoipa_axum::routes!($handler))),+
        ])
    };
}
pub(crate) use routes;

/// Endpoints as the router takes them.
pub(crate) type Endpoints = UtoipaMethodRouter<Arc<App>>;

/// Says in the description of an endpoint what its handler asks.
pub(crate) fn declare<H: Guarded<Arguments>, Arguments>(_: &H, mut one: Endpoints) -> Endpoints {
    for item in one.1.paths.values_mut() {
        let methods = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
            &mut item.head,
            &mut item.options,
            &mut item.trace,
        ];
        for operation in methods.into_iter().flatten() {
            say(operation, H::DEMAND);
        }
    }
    one
}

/// Endpoints of one path.
pub(crate) fn together<const N: usize>(all: [Endpoints; N]) -> Endpoints {
    let mut merged = (Vec::new(), Paths::new(), MethodRouter::new());
    for (schemas, paths, methods) in all {
        merged.0.extend(schemas);
        merged.2 = merged.2.merge(methods);
        for (path, item) in paths.paths {
            match merged.1.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => _ = merged.1.paths.insert(path, item),
            }
        }
    }
    merged
}

fn say(operation: &mut Operation, demand: Demand) {
    let Demand::Key { scope, refused } = demand else {
        operation.security = Some(Vec::new());
        return;
    };
    let roles = || scope.into_iter().map(Scope::as_str);
    let with = |scheme: &str| SecurityRequirement::new(scheme, roles());
    operation.security = Some(vec![with("apiKey"), with("bearer")]);
    let word = scope.map_or("any", Scope::as_str);
    let word = ExtensionsBuilder::new().add("x-required-scope", word).build();
    operation.extensions.get_or_insert_default().merge(word);
    let lacks = scope.map(|s| format!("the key lacks the scope `{}`", s.as_str()));
    match (refused, lacks) {
        (StatusCode::FORBIDDEN, Some(lacks)) => {
            answers(operation, refused, &format!("No good API key, or {lacks}"));
        }
        (_, Some(lacks)) => {
            answers(operation, refused, "No good API key");
            answers(operation, StatusCode::FORBIDDEN, &format!("Refused: {lacks}"));
        }
        (_, None) => answers(operation, refused, "No good API key"),
    }
}

/// A status that is answered besides what the handler says itself.
fn answers(operation: &mut Operation, status: StatusCode, why: &str) {
    let said = operation.responses.responses.get_mut(status.as_str());
    if let Some(RefOr::T(said)) = said {
        let own = said.description.trim_end_matches('.');
        said.description = if own.is_empty() { why.to_owned() } else { format!("{why}. {own}") };
        return;
    }
    let schema = RefOr::Ref(Ref::from_schema_name(Refusal::name()));
    let refusal = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(why).content("application/json", refusal);
    operation.responses.responses.insert(status.as_str().to_owned(), response.build().into());
}
