//! F11: the connection ends at a COMMIT, and the client cannot know whether it was done. Nothing
//! that was acknowledged is missing, nothing is stored twice, nobody is called for it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::nodes::{Node, nodes};
use super::proxy::Lose;
use crate::evidence::{check_dialed, ids_of, placed};
use crate::faulty_disk::talkers;
use crate::harness::{PATIENCE, Server, lines_in, wait_for};
use crate::postgres::Postgres;

/// What stands in the SQL of a chunk alone, and in that of a plan's intents.
const CHUNK: &str = "INTO call_fields";
const INTENTS: &str = "INTO attempt (";
const STORED: u64 = 5_000;
const DIALED: u64 = 400;

#[test]
fn a_chunk_whose_commit_has_no_answer_is_stored_once_and_told_truthfully() {
    let postgres = Postgres::start(&[]);
    let nodes = nodes(&postgres, 1, &[]);
    let Node { home, proxy, .. } = &nodes[0];
    let server = home.serve();
    let number = server.make_number();
    for (n, lose) in [(1, Lose::Answer), (2, Lose::Wish), (3, Lose::Answer)] {
        let batch = server.make_batch(&number, &json!({}));
        let stop = json!({ "batchId": batch, "userId": home.user });
        server.post("/api/call/stop-calling", &stop).expect(200);
        let lost = proxy.lost();
        proxy.lose(lose, CHUNK, n);
        let people = crate::harness::records(13_105_500_000, STORED);
        let body = json!({ "batchId": batch, "call_data": people });
        let first = add(&server, &batch, &body);
        assert_eq!(proxy.lost() - lost, n, "no commit was lost");
        let (status, data) = (first["status"].as_u64().unwrap(), &first["body"]["data"]);
        println!("{lose:?} × {n}: {status}, {} added, {}", data["added"], data["failedChunks"]);
        let there = server.all_calls(&batch);
        let acknowledged = ids(data);
        // The database could be asked, so what it has was told, no more and no less.
        assert_eq!(
            acknowledged.iter().cloned().collect::<BTreeSet<_>>(),
            ids_of(&there),
            "{lose:?}"
        );
        assert_eq!(data["added"].as_u64().unwrap(), there.len() as u64);
        match lose {
            Lose::Answer => assert_eq!(status, 200, "it was committed"),
            Lose::Wish => assert!(status == 200 || status == 207, "{status}"),
        }

        let again = add(&server, &batch, &body);
        assert_eq!(again["status"], 200, "{again}");
        let whole = ids(&again["body"]["data"]);
        assert_eq!(whole.len() as u64, STORED);
        let mut rest = whole.iter();
        assert!(acknowledged.iter().all(|id| rest.any(|other| other == id)), "other ids, or moved");
        assert_eq!(server.all_calls(&batch).len() as u64, STORED);
    }
}

/// Adds the list under the batch's own key: status and body.
fn add(server: &Server<'_>, batch: &str, body: &Value) -> Value {
    let headers = [("idempotency-key", batch)];
    let body = body.to_string().into_bytes();
    let answer = server.try_send("POST", "/api/call/addCallsToBatch", &headers, body).unwrap();
    json!({ "status": answer.status, "body": answer.body })
}

fn ids(data: &Value) -> Vec<String> {
    let ids = data["callIds"].as_array().into_iter().flatten();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_whose_commit_has_no_answer_places_no_call_and_loses_none() {
    let postgres = Postgres::start(&[]);
    let nodes = nodes(&postgres, 1, &[("OUTDIAL_SIMULATED_SPEED", "20")]);
    let Node { home, proxy, .. } = &nodes[0];
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 15 }));
    let people = talkers(12_125_550_000, DIALED);
    let total = people.len() as u64;
    let body = json!({ "batchId": batch, "call_data": people });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    let log = || lines_in(&home.carrier_log()).len();
    for (n, lose) in (1..).zip([Lose::Answer, Lose::Wish, Lose::Answer, Lose::Wish]) {
        let placed = log();
        wait_for("calls go out", PATIENCE, || (log() >= placed + 20).then_some(()));
        proxy.lose(lose, INTENTS, 1);
        wait_for("a plan's commit is lost", PATIENCE, || (proxy.lost() == n).then_some(()));
    }
    server.wait_completed(&batch, PATIENCE * 2);
    let unknown = check_dialed(&server, &batch, home, total, 0);
    // What was committed after all is given back, for this process knows that it did not leave.
    assert_eq!(unknown, 0, "it is known that nothing of those plans left");
    assert_eq!(placed(home).len() as u64, total, "everybody was called");
    let tried: usize = server
        .all_calls(&batch)
        .iter()
        .map(|call| {
            let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
            server.get(&path).expect(200)["data"]["attempts"].as_array().unwrap().len()
        })
        .sum();
    println!("{total} people, {tried} attempts: {} did not leave", tried as u64 - total);
    assert!(tried as u64 > total, "no plan was committed without its answer");
}
