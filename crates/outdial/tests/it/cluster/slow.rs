//! F13: every question to the database takes two seconds. No call leaves late, and what was not
//! called meanwhile is not made up for in a burst.

use std::time::Duration;

use outdial_core::time::Timestamp;
use serde_json::{Value, json};

use super::nodes::{Node, make_sip_number, nodes};
use super::phones::{Phones, tightest, times_called};
use crate::harness::{PATIENCE, monotonic, records, wait_for};
use crate::postgres::Postgres;

const SLOW: Duration = Duration::from_secs(2);
/// How long it is slow.
const LASTS: Duration = Duration::from_secs(20);
const CALLS_PER_SECOND: usize = 10;
const PEOPLE: u64 = 250;
/// A slot lasts so long; what is not sent by then is not sent.
const SLOT: Duration = Duration::from_millis(100);
/// How late this process may have read a message that came in time.
const READING: Duration = Duration::from_millis(150);

#[test]
fn a_slow_database_makes_no_late_call_and_no_burst() {
    let postgres = Postgres::start(&[]);
    let phones = Phones::start();
    let nodes = nodes(&postgres, 1, &[]);
    let Node { home, proxy, .. } = &nodes[0];
    let server = home.serve();
    let limits = json!({ "callsPerSecond": CALLS_PER_SECOND, "channels": 40 });
    let number = make_sip_number(&server, &home.user, phones.port(), &limits);
    let batch = server.make_batch(&number, &json!({}));
    let people = records(12_125_550_000, PEOPLE);
    let body = json!({ "batchId": batch, "call_data": people });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    wait_for("calls go out", PATIENCE, || (phones.invites().len() >= 50).then_some(()));

    proxy.delay(SLOW);
    let (since, before) = (monotonic(), phones.invites().len());
    wait_for("the time is over", LASTS * 2, || (monotonic() - since >= LASTS).then_some(()));
    let meanwhile = phones.invites().len() - before;
    proxy.pass();
    let (healed, before) = (monotonic(), phones.invites().len());
    let resumed = wait_for("calls go out again", PATIENCE, || {
        (phones.invites().len() > before).then(|| monotonic() - healed)
    });
    server.wait_completed(&batch, PATIENCE * 2);

    let invites = phones.invites();
    let tightest = tightest(&invites, CALLS_PER_SECOND);
    assert!(times_called(&invites).values().all(|n| *n == 1));
    assert_eq!(invites.len() as u64, PEOPLE);
    let mut not_sent = 0;
    let mut latest = Duration::ZERO;
    for call in server.all_calls(&batch) {
        let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
        let details = server.get(&path).expect(200)["data"].clone();
        let attempts = details["attempts"].as_array().unwrap();
        let (last, earlier) = attempts.split_last().unwrap();
        not_sent += earlier.len();
        let number: u64 = details["phoneNumber"].as_str().unwrap().parse().unwrap();
        let seen = invites.iter().find(|seen| seen.to == Some(number)).unwrap();
        let (slot, came) = (instant(&last["sendAt"]), phones.wall(seen));
        latest = latest.max(came.since(slot));
        assert!(came.since(slot) <= SLOT + READING, "{:?} late: {details}", came.since(slot));
    }
    println!(
        "{meanwhile} calls in {LASTS:?} of {SLOW:?} a question, {not_sent} not sent; on again \
         after {resumed:?}; the latest {latest:?} after its slot began; {} calls within \
         {tightest:?}",
        CALLS_PER_SECOND + 1
    );
    assert!(tightest >= Duration::from_secs(1), "a call too many within {tightest:?}");
    assert!(resumed <= Duration::from_secs(10), "on again after {resumed:?}");
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}
