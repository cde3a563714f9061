//! I9 for every endpoint that `openapi.json` names: in every place where an id may stand, an id of
//! another workspace is answered like one that nobody has, with the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outdial_http::{HttpConfig, RateConfig};
use outdial_ports::Clock as _;
use outdial_ports::store::{DeliveryNext, DeliveryTry};
use serde_json::{Value, json};

use crate::described::{Operation, Slot, Values, operations, sent};
use crate::support::{Tenant, World};

/// A word in everything of the other's.
const THEIRS: &str = "tulip";

/// Where the documented API says 403 to an id of somebody else's.
const SAYS_FORBIDDEN: [(&str, &str); 4] = [
    ("addCallsToBatch", "/batchId"),
    ("createBatch", "/callingNumbers"),
    ("createBatch", "/callingNumbers/0"),
    ("deleteDnc", "id"),
];

/// Requests as fast as they come.
pub(crate) fn without_rates() -> HttpConfig {
    let most = u32::MAX;
    HttpConfig {
        rates: RateConfig {
            key_requests_per_s: most,
            key_requests_burst: most,
            address_requests_per_s: most,
            address_requests_burst: most,
            address_failures_per_s: most,
            address_failures_burst: most,
        },
        ..HttpConfig::default()
    }
}

/// One of everything, made by `world`'s own; `word` stands in all of it.
async fn one_of_each(world: &World, word: &str, digit: u8) -> Values {
    let agent = json!({"name": word, "languages": ["en-US"], "variables": []});
    let agent = world.post("/api/agents", agent.to_string()).send().await.made_id();
    let trunk = json!({"name": word, "host": format!("{word}.example.com")});
    let trunk = world.post("/api/trunks", trunk.to_string()).send().await.made_id();
    let key = json!({"name": word, "scopes": ["calls:read"]});
    let key = world.post("/api/keys", key.to_string()).send().await.made_id();
    let phone = world.phone(&format!("1212555800{digit}"), Some(&agent)).await;
    let hook = json!({"url": format!("https://hooks.example.com/{word}"), "description": word});
    let hook = world.post("/api/webhooks", hook.to_string()).send().await.made_id();
    let create = json!({"batchName": word, "callingNumbers": [phone]});
    let made = world.post("/api/call/createBatch", create.to_string()).send().await;
    let batch = made.json()["data"].as_str().unwrap().to_owned();
    let numbers = [1, 2, 3].map(|n| format!("1212555{digit}10{n}"));
    let records = numbers.each_ref().map(|n| json!({"phoneNumber": n, "note": word}).to_string());
    world.add(&batch, &records.each_ref().map(String::as_str)).send().await;
    let mut called = Vec::new();
    for token in [[digit; 16], [digit + 16; 16]] {
        let attempt = world.dial_as(token).await;
        world.hang_up(attempt, Duration::from_secs(5)).await;
    }
    let mut pending = None;
    for record in world.records(&batch).await {
        match record["phoneLogs"][0]["requestUUID"].as_str() {
            Some(uuid) => called.push((record["phoneNumber"].clone(), uuid.to_owned())),
            None => pending = record["_id"].as_str().map(ToOwned::to_owned),
        }
    }
    let [(listed, of_listed), (called, uuid)] = &called[..] else { panic!("two were called") };
    let dnc = json!({"phoneNumber": listed, "batchId": batch, "requestUUID": of_listed,
        "type": word});
    assert_eq!(world.post("/api/dnc/add", dnc.to_string()).send().await.status, 200);
    let dnc = world.get("/api/dnc/list").send().await.json();
    let dnc = dnc["data"]["dncList"][0]["_id"].as_str().unwrap().to_owned();
    let mut values = Values::from([
        ("workspace", world.own.workspace.to_string()),
        ("user", world.own.user.to_string()),
        ("agent", agent),
        ("trunk", trunk),
        ("key", key),
        ("phone", phone),
        ("batch", batch),
        ("call", pending.expect("one waits")),
        ("dnc", dnc),
        ("called", called.as_str().unwrap().to_owned()),
        ("requestUUID", uuid.clone()),
        ("webhook", hook.clone()),
    ]);
    values.extend(delivered(world, &hook).await);
    values
}

/// All events of a webhook were delivered: the ids of one of them.
async fn delivered(world: &World, hook: &str) -> Values {
    while world.store.event_number(1000).await.unwrap() > 0 {}
    let mut values = Values::new();
    for job in world.store.delivery_claim(1000, 1000, &[]).await.unwrap() {
        assert_eq!(job.webhook.id.to_string(), hook);
        values.insert("delivery", job.delivery.to_string());
        values.insert("event", job.event.id.to_string());
        let at = world.clock.now();
        let tried = DeliveryTry { at, took_ms: 1, status: Some(200), error: None, answer: None };
        let next = DeliveryNext::Delivered;
        assert!(world.store.delivery_record(job.delivery, tried, next).await.unwrap());
    }
    assert_eq!(values.len(), 2, "something was delivered");
    values
}

/// A world with somebody else in it, who has one of everything too; it is the own of the world that
/// asks.
async fn two() -> (World, Tenant, Values, Values) {
    let mut world = World::with(without_rates(), |store| store).await;
    let other = world.own.clone();
    let theirs = one_of_each(&world, THEIRS, 3).await;
    // Ids of two kinds may be the same, but not if they are made at different times.
    world.clock.advance(Duration::from_secs(600));
    world.own = world.stranger().await;
    let own = one_of_each(&world, "daisy", 4).await;
    (world, other, theirs, own)
}

/// A number that was not used yet.
fn fresh(values: &mut Values, n: &mut u32) {
    *n += 1;
    values.insert("fresh", format!("1212556{n:04}"));
}

/// What the other sees of its own.
async fn all_of(world: &World, of: &Tenant, values: &Values) -> Vec<Value> {
    let mut seen = Vec::new();
    for op in operations().iter().filter(|op| op.method == "GET" && op.scope.is_some()) {
        if op.name == "streamEvents" {
            continue;
        }
        let (status, body) = sent(world, op.filled(values, None).request(world).by(of)).await;
        assert_eq!(status, 200, "{}: {body}", op.line());
        // To ask is to use the key.
        let lines = body.split(',').filter(|part| !part.contains("lastUsedAt"));
        seen.push(json!([op.line(), lines.collect::<Vec<_>>()]));
    }
    seen
}

#[tokio::test]
async fn ids_of_another_are_ids_that_nobody_has() {
    let all = operations();
    let (world, other, theirs, mut own) = two().await;
    let before = all_of(&world, &other, &theirs).await;
    let mut n = 0;
    let (mut asked, mut forbidden) = (0, BTreeSet::new());
    for op in all.iter().filter(|op| op.scope.is_some()) {
        fresh(&mut own, &mut n);
        for slot in op.slots(&own) {
            for (kind, id) in &theirs {
                if *kind == "called" {
                    continue;
                }
                let nobody = like(id);
                let mut answers = Vec::new();
                // What changes with every request is asked for on both sides of it.
                for id in [&nobody, id, &nobody] {
                    fresh(&mut own, &mut n);
                    let request = op.filled(&own, Some((&slot, id))).request(&world);
                    let (status, body) = sent(&world, request).await;
                    assert!(status < 500, "{} {slot:?}: {body}", op.line());
                    answers.push((status, error_of(&body).replace(id, "<id>"), body));
                    asked += 1;
                }
                let (status, text, body) = &answers[1];
                let what = format!("{} {slot:?} with their {kind}: {body}", op.line());
                assert!(!body.contains(THEIRS), "{what}");
                // What was sent as a text comes back.
                let told = theirs
                    .values()
                    .find(|other| *status >= 400 && *other != id && body.contains(*other));
                assert_eq!(told, None, "{what}");
                if *status == 403 {
                    assert!(answers[0].0 == 404 && answers[2].0 == 404, "{what}");
                    let (Slot::Path(name) | Slot::Query(name) | Slot::Body(name, _)) = &slot;
                    forbidden.insert((op.name.clone(), name.clone()));
                    continue;
                }
                let same = |of: &(u16, String, String)| (of.0, &of.1) == (*status, text);
                assert!(same(&answers[0]) || same(&answers[2]), "{what}, but {answers:?}");
            }
        }
    }
    let documented = SAYS_FORBIDDEN.map(|(op, slot)| (op.to_owned(), slot.to_owned()));
    assert_eq!(forbidden, BTreeSet::from(documented));
    assert_eq!(all_of(&world, &other, &theirs).await, before, "nothing of theirs has changed");
    assert!(asked > 1000, "{asked}");
}

/// Ids that belong together open nothing either.
#[tokio::test]
async fn all_ids_of_another_at_once() {
    let (world, other, mut theirs, _) = two().await;
    let before = all_of(&world, &other, &theirs).await;
    let mut nobodys = theirs.clone();
    nobodys.iter_mut().filter(|(kind, _)| **kind != "called").for_each(|(_, id)| *id = like(id));
    let (mut n, mut asked) = (0, 0);
    for op in operations().iter().filter(|op| op.scope.is_some()) {
        fresh(&mut theirs, &mut n);
        nobodys.insert("fresh", theirs["fresh"].clone());
        let made = [&theirs, &nobodys].map(|values| op.filled(values, None));
        if format!("{:?}", made[0]) == format!("{:?}", made[1]) {
            continue;
        }
        let mut answers = Vec::new();
        for (made, values) in made.iter().zip([&theirs, &nobodys]) {
            let (status, body) = sent(&world, made.request(&world)).await;
            assert!(
                (400..500).contains(&status) && !body.contains(THEIRS),
                "{}: {body}",
                op.line()
            );
            let text = values.values().fold(error_of(&body), |text, id| text.replace(id, "<id>"));
            answers.push((status, text));
        }
        asked += 1;
        let is_documented = SAYS_FORBIDDEN.iter().any(|(name, _)| *name == op.name);
        if is_documented && answers[0].0 == 403 && answers[1].0 == 404 {
            continue;
        }
        assert_eq!(answers[0], answers[1], "{}", op.line());
    }
    theirs.remove("fresh");
    assert_eq!(all_of(&world, &other, &theirs).await, before, "nothing of theirs has changed");
    assert!(asked > 20, "{asked}");
}

/// The requests of the tests above are such that only the id is wrong.
#[tokio::test]
async fn with_ids_of_its_own_every_request_is_taken() {
    let all = operations();
    let (world, _, _, mut own) = two().await;
    let mut n = 0;
    // What others rest on goes last.
    let last = ["deleteDnc", "deleteBatch", "deletePhone", "deleteAgent", "deleteTrunk"];
    let place = |op: &&Operation| match last.iter().position(|name| *name == op.name) {
        Some(at) => at + 2,
        None => usize::from(op.method == "DELETE"),
    };
    let mut in_order: Vec<_> = all.iter().filter(|op| op.scope.is_some()).collect();
    in_order.sort_by_key(place);
    let mut refused = BTreeMap::new();
    for op in in_order {
        fresh(&mut own, &mut n);
        if op.name == "deleteAgent" {
            release(&world).await;
        }
        let (status, body) = sent(&world, op.filled(&own, None).request(&world)).await;
        if !(200..300).contains(&status) {
            refused.insert(op.line(), body);
        }
    }
    assert!(refused.is_empty(), "say in described.rs what they take: {refused:#?}");
}

/// No number is bound to an agent.
async fn release(world: &World) {
    let phones = world.get("/api/phones").send().await.json();
    for phone in phones["data"]["phones"].as_array().unwrap() {
        let path = format!("/api/phones/{}", phone["_id"].as_str().unwrap());
        let freed = world.patch(&path, r#"{"agentId":null}"#).send().await;
        assert_eq!(freed.status, 200, "{}", freed.text());
    }
}

/// An id that nobody has and that differs in one digit, for a refusal may say which letter of it
/// is wrong.
fn like(id: &str) -> String {
    let at = id.find(|c: char| c.is_ascii_digit()).expect("ids have digits");
    let other = if &id[at..=at] == "5" { "4" } else { "5" };
    format!("{}{other}{}", &id[..at], &id[at + 1..])
}

fn error_of(body: &str) -> String {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return String::new() };
    let words = [&body["errorMessage"], &body["message"]];
    words.map(|text| text.as_str().unwrap_or_default()).join("; ")
}
