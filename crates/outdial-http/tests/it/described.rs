//! What `openapi.json` describes, and requests made from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Req, World};

/// Ids and other values by their kind: `batch`, `agent`, `number` …
pub(crate) type Values = BTreeMap<&'static str, String>;

/// One endpoint with its method.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names of what stands in the query.
    pub(crate) query: Vec<String>,
    /// Media type, schema, example.
    pub(crate) body: Option<(String, Value, Value)>,
    /// `x-required-scope`; none: it asks for no credentials.
    pub(crate) scope: Option<String>,
}

/// All of them.
pub(crate) fn operations() -> Vec<Operation> {
    let api: Value = serde_json::from_str(&outdial_http::openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, op) in item.as_object().unwrap() {
            let params = op["parameters"].as_array().cloned().unwrap_or_default();
            let query = params.iter().filter(|p| p["in"] == "query");
            let body = op["requestBody"]["content"].as_object().map(|content| {
                let (media, body) = content.iter().next().unwrap();
                (media.clone(), resolved(&api, &body["schema"]), body["example"].clone())
            });
            all.push(Operation {
                name: op["operationId"].as_str().expect("a name").to_owned(),
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                query: query.map(|p| p["name"].as_str().unwrap().to_owned()).collect(),
                body,
                scope: op["x-required-scope"].as_str().map(ToOwned::to_owned),
            });
        }
    }
    all
}

fn resolved(api: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(name) => api.pointer(name.trim_start_matches('#')).expect("it is there").clone(),
        None => schema.clone(),
    }
}

/// A place in a request that may hold an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Path(String),
    Query(String),
    /// A JSON pointer; true: a list of ids.
    Body(String, bool),
}

impl Operation {
    /// As the golden lists have it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The request with these values, one slot filled with something else.
    pub(crate) fn filled(&self, values: &Values, other: Option<(&Slot, &str)>) -> Made {
        let mut path = String::new();
        for part in self.path.trim_start_matches('/').split('/') {
            let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                path = format!("{path}/{part}");
                continue;
            };
            let value = match other {
                Some((Slot::Path(slot), value)) if slot == name => value.to_owned(),
                _ => values[self.kind_of(name)].clone(),
            };
            path = format!("{path}/{value}");
        }
        let mut query: Vec<String> =
            self.base_query(values).iter().map(|(k, v)| format!("{k}={v}")).collect();
        if let Some((Slot::Query(slot), value)) = other {
            query.retain(|pair| !pair.starts_with(&format!("{slot}=")));
            query.push(format!("{slot}={value}"));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let body = self.body.as_ref().map(|(media, ..)| {
            let mut body = self.base_body(values);
            if let Some((Slot::Body(at, is_list), value)) = other {
                let list = json!([value]);
                // The parts of a form are texts; lists are JSON in one.
                let is_text = self.is_form() && at == "/callingNumbers";
                put(
                    &mut body,
                    at,
                    match is_list {
                        true => list,
                        false if is_text => json!(list.to_string()),
                        false => json!(value),
                    },
                );
            }
            (media.clone(), body)
        });
        Made { method: self.method.clone(), path, body }
    }

    /// Everywhere where an id may stand, or a text.
    pub(crate) fn slots(&self, values: &Values) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self
            .path
            .split('/')
            .filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| Slot::Path(name.to_owned()))
            .collect();
        slots.extend(self.query.iter().map(|name| Slot::Query(name.clone())));
        let Some((_, schema, _)) = &self.body else { return slots };
        let mut in_body = Vec::new();
        leaves("", &self.base_body(values), &mut in_body);
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            let is = |of: &Value, word: &str| {
                of["type"] == word
                    || of["type"].as_array().is_some_and(|t| t.contains(&json!(word)))
            };
            if is(of, "string") {
                in_body.push(Slot::Body(format!("/{name}"), false));
            } else if is(of, "array") && is(&of["items"], "string") {
                in_body.push(Slot::Body(format!("/{name}"), true));
            }
        }
        in_body.sort();
        in_body.dedup();
        slots.extend(in_body);
        slots
    }

    fn is_form(&self) -> bool {
        self.body.as_ref().is_some_and(|(media, ..)| media == "multipart/form-data")
    }

    /// What an id in the path is the id of.
    fn kind_of(&self, name: &str) -> &'static str {
        let (before, _) = self.path.split_once(&format!("/{{{name}}}")).unwrap();
        match (name, before.rsplit('/').next().unwrap()) {
            ("id", "agents") => "agent",
            ("id", "trunks") => "trunk",
            ("id", "keys") => "key",
            ("id", "phones") | ("phoneId", _) => "phone",
            ("id", "webhooks") | ("webhookId", _) => "webhook",
            ("id", "batch" | "batch-details") | ("batchId", _) => "batch",
            ("id", "delete") if self.path.starts_with("/api/dnc/") => "dnc",
            ("callId", _) => "call",
            ("userId", _) => "user",
            _ => panic!("say here of what kind {{{name}}} of {} is", self.path),
        }
    }

    fn base_query(&self, values: &Values) -> Vec<(&'static str, String)> {
        let names = [("batchId", "batch")].into_iter();
        let named = names.filter(|(name, _)| self.query.iter().any(|known| known == name));
        named.map(|(name, kind)| (name, values[kind].clone())).collect()
    }

    /// A body that is taken. Operations that stand here for nothing take what their example says,
    /// or nothing at all.
    fn base_body(&self, values: &Values) -> Value {
        let own = |kind: &str| values[kind].clone();
        match self.name.as_str() {
            "createAgent" => json!({"name": "x", "languages": ["en-US"], "variables": []}),
            "updateAgent" => json!({"name": "x"}),
            "addPhone" => json!({"userId": own("user"), "phoneNumber": own("fresh"),
                "integration": "simulated", "agentId": own("agent")}),
            "updatePhone" => json!({"agentId": own("agent")}),
            "createBatch" => json!({"batchName": "x", "callingNumbers": [own("phone")]}),
            "updateBatch" => json!({"batchName": "x", "callingNumbers": [own("phone")]}),
            "addCallsToBatch" => json!({"batchId": own("batch"),
                "call_data": [{"phoneNumber": own("fresh"), "name": "x"}]}),
            "startCalling" => json!({"batchId": own("batch"), "userId": own("user"),
                "callingNumbers": [own("phone")], "uuid": "x"}),
            "stopCalling" => json!({"batchId": own("batch"), "userId": own("user")}),
            "cancelCall" => json!({"callId": own("call")}),
            "addDnc" => json!({"phoneNumber": own("called"), "batchId": own("batch"),
                "requestUUID": own("requestUUID"), "type": "x"}),
            "switchDnc" => json!({"enable": true}),
            "createTrunk" => json!({"name": "x", "host": "sip.example.com"}),
            "updateTrunk" => json!({"host": "sip.example.com"}),
            "updateSettings" => json!({"timezone": "Europe/Berlin"}),
            "createKey" => json!({"name": "x"}),
            "rotateKey" => json!({}),
            "replayWebhook" => json!({"deliveryId": own("delivery")}),
            _ if self.is_form() => json!({"userId": own("user"), "batchName": "x",
                "callingNumbers": json!([own("phone")]).to_string(),
                "file": format!("phoneNumber,name\r\n{},x\r\n", own("fresh"))}),
            _ => {
                let (_, _, example) = self.body.as_ref().expect("it takes a body");
                if example.is_object() { example.clone() } else { json!({}) }
            }
        }
    }
}

/// Strings inside `value`, by their JSON pointers.
fn leaves(at: &str, value: &Value, out: &mut Vec<Slot>) {
    match value {
        Value::String(_) => out.push(Slot::Body(at.to_owned(), false)),
        Value::Array(all) => {
            for (i, one) in all.iter().enumerate() {
                leaves(&format!("{at}/{i}"), one, out);
            }
        }
        Value::Object(all) => {
            for (name, one) in all {
                leaves(&format!("{at}/{name}"), one, out);
            }
        }
        _ => (),
    }
}

fn put(body: &mut Value, at: &str, value: Value) {
    if let Some(place) = body.pointer_mut(at) {
        *place = value;
    } else {
        let name = at.trim_start_matches('/').to_owned();
        body.as_object_mut().expect("only fields of the body itself may lack").insert(name, value);
    }
}

/// A request as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    method: String,
    path: String,
    body: Option<(String, Value)>,
}

impl Made {
    /// To be sent by `world`'s own, unless somebody else is named.
    pub(crate) fn request<'a>(&self, world: &'a World) -> Req<'a> {
        let request = match self.method.as_str() {
            "GET" => world.get(&self.path),
            "DELETE" => world.delete(&self.path),
            "POST" => world.post(&self.path, ""),
            "PATCH" => world.patch(&self.path, ""),
            other => panic!("unexpected method {other}"),
        };
        match &self.body {
            None if matches!(self.method.as_str(), "POST" | "PATCH") => request.body("{}"),
            None => request,
            Some((media, body)) if media == "multipart/form-data" => {
                let kind = format!("{media}; boundary={BOUNDARY}");
                request.header("content-type", &kind).body(multipart(body))
            }
            Some((_, body)) => request.body(body.to_string()),
        }
    }
}

const BOUNDARY: &str = "rrrrrrrrrrrrrrrrrrrr";

fn multipart(body: &Value) -> String {
    let mut text = String::new();
    for (name, value) in body.as_object().unwrap() {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let file = if name == "file" { "; filename=\"contacts.csv\"" } else { "" };
        let head = format!("Content-Disposition: form-data; name=\"{name}\"{file}");
        write!(text, "--{BOUNDARY}\r\n{head}\r\n\r\n{value}\r\n").unwrap();
    }
    format!("{text}--{BOUNDARY}--\r\n")
}

/// What came back: the status and the body; of a stream that does not end, none.
pub(crate) async fn sent(world: &World, request: Req<'_>) -> (u16, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        let _ = stream.write_all(&request.bytes()).await;
        let (mut bytes, mut part) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(n) => bytes.extend_from_slice(&part[..n]),
            }
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if text.contains("\r\n\r\n") && text.contains("content-type: text/event-stream") {
                break;
            }
        }
        bytes
    };
    let bytes = tokio::time::timeout(crate::support::DEADLINE, exchange).await.expect("in time");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
