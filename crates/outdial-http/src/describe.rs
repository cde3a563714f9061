//! What the OpenAPI document says of every endpoint alike: how it refuses, and the documented
//! examples. The examples stand in `examples.json`, by operation.

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{
    Content, ContentBuilder, Object, ObjectBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Schema,
};

use crate::wire::envelope::Refusal;

const EXAMPLES: &str = include_str!("examples.json");

/// Completes a document.
pub(crate) fn complete(api: &mut OpenApi) {
    let examples: Value = serde_json::from_str(EXAMPLES).expect("examples.json is JSON");
    for schema in api.components.iter_mut().flat_map(|c| c.schemas.values_mut()) {
        narrow_ids(schema);
    }
    for item in api.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            narrow(operation);
            refusals(operation);
            let name = operation.operation_id.as_deref().unwrap_or_default();
            show(operation, &examples[name].clone());
        }
    }
}

/// Says of parameters that are alike everywhere what may stand there.
fn narrow(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let schema = match (&parameter.parameter_in, parameter.name.as_str()) {
            (ParameterIn::Path, _) => text(ID),
            (ParameterIn::Header, "Idempotency-Key") => text(KEY),
            (ParameterIn::Query, "page") => whole(u32::MAX),
            (ParameterIn::Query, "limit") => whole(100),
            (ParameterIn::Query, "batchId") => text(ID),
            (ParameterIn::Query, "days") => whole(366),
            (ParameterIn::Query, "state") => ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(["pending", "delivered", "given_up"]))
                .build(),
            _ => continue,
        };
        parameter.schema = Some(RefOr::T(Schema::Object(schema)));
    }
}

/// Says of ids in bodies that they are ids.
fn narrow_ids(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for (name, member) in &mut object.properties {
        if let RefOr::T(Schema::Object(member)) = member
            && IDS.contains(&name.as_str())
        {
            member.pattern = Some(ID.to_owned());
        }
    }
}

/// 24 hexadecimal digits.
const ID: &str = "^[0-9a-fA-F]{24}$";
/// Members of bodies that are such.
const IDS: [&str; 5] = ["agentId", "batchId", "callId", "trunkId", "userId"];
/// What an `Idempotency-Key` is made of.
const KEY: &str = "^[!-~]{1,255}$";

fn text(pattern: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// From 1.
fn whole(max: u32) -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    number.minimum(Some(1.0)).maximum(Some(f64::from(max))).build()
}

/// Adds how it refuses, where it does not say so itself.
fn refusals(operation: &mut Operation) {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let is_in = |place: fn(&ParameterIn) -> bool| {
        parameters.iter().any(|p| matches!(p, RefOr::T(p) if place(&p.parameter_in)))
    };
    let in_path = is_in(|place| matches!(place, ParameterIn::Path));
    let in_query = is_in(|place| matches!(place, ParameterIn::Query));
    let has_body = operation.request_body.is_some();
    let is_open = operation.operation_id.as_deref().is_some_and(|id| OPEN.contains(&id));
    let table = [
        (
            "400",
            "Something in the request is not as it must be",
            in_path || in_query || has_body || !is_open,
        ),
        ("404", "There is no such thing in this workspace", in_path || has_body),
        ("408", "The body came too slowly", has_body),
        (
            "409",
            "It is as it must not be for this, or a request with this key is at work",
            has_body,
        ),
        ("413", "The body is too large", has_body),
        ("415", "The body is of another type, or its encoding is not known", has_body),
        ("422", "The key was used with another body, or the content cannot be used", has_body),
        ("429", "Too many requests; `Retry-After` says when", true),
        ("500", "A fault on our side", true),
        ("503", "Not now; `Retry-After` says when", true),
        ("507", "The disk of the database is full; `Retry-After` says when", has_body),
    ];
    let responses = &mut operation.responses.responses;
    for (status, text, applies) in table {
        if applies && !responses.contains_key(status) {
            responses.insert(status.to_owned(), refusal(text));
        }
    }
    responses
        .entry("default".to_owned())
        .or_insert_with(|| refusal("Refused; `errorMessage` says why"));
}

/// Endpoints that look at nothing of the request.
const OPEN: [&str; 5] = ["healthz", "readyz", "openapi", "docs", "metrics"];

fn refusal(text: &str) -> RefOr<utoipa::openapi::Response> {
    let body = ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name(Refusal::name()))))
        .build();
    ResponseBuilder::new().description(text).content("application/json", body).build().into()
}

/// Puts the documented examples where they belong.
fn show(operation: &mut Operation, examples: &Value) {
    if let (Some(example), Some(body)) = (examples.get("request"), &mut operation.request_body)
        && let RefOr::T(body) = body
    {
        illustrate(body.content.values_mut(), example);
    }
    let Some(answers) = examples.get("responses").and_then(Value::as_object) else { return };
    for (status, example) in answers {
        if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
            illustrate(response.content.values_mut(), example);
        }
    }
}

fn illustrate<'a>(contents: impl Iterator<Item = &'a mut RefOr<Content>>, example: &Value) {
    for content in contents {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_has_its_place() {
        let api: Value = serde_json::from_str(&crate::openapi()).unwrap();
        let examples: Value = serde_json::from_str(EXAMPLES).unwrap();
        for (name, example) in examples.as_object().unwrap() {
            let paths = api["paths"].as_object().unwrap().values();
            let mut operations = paths.flat_map(|item| item.as_object().unwrap().values());
            let found = operations.find(|o| o["operationId"] == name.as_str());
            let found = found.unwrap_or_else(|| panic!("no operation {name}"));
            if let Some(request) = example.get("request") {
                assert_eq!(
                    &found["requestBody"]["content"]["application/json"]["example"],
                    request
                );
            }
            for (status, answer) in example["responses"].as_object().unwrap() {
                let content = &found["responses"][status]["content"]["application/json"];
                assert_eq!(&content["example"], answer, "{name} {status}");
            }
        }
    }
}
