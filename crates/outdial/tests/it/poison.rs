//! F36: a contact whose call kills the process each time. What stops it is the retry limit: each
//! death leaves an attempt that is charged, also when `unknown` is redialed. And one whose decision
//! panics: it is left out, and given up the third time.

use std::time::Duration;

use serde_json::json;

use crate::evidence::placed;
use crate::faulty_disk::{add, list, talkers};
use crate::harness::{Home, PATIENCE, wait_for};

const POISON: u64 = 12_125_550_001;
const OTHERS: u64 = 12_125_550_100;
/// Until `unknown` is redialed, and some more.
const REDIAL: Duration = Duration::from_secs(90);

#[test]
fn a_call_that_kills_the_process_is_given_up_and_the_batch_goes_on() {
    // Before it leaves, while it rings, and when it is over; mostly waiting, so all at once.
    std::thread::scope(|scope| {
        for (name, placed) in [("engine.committed", 0), ("engine.placed", 2), ("engine.over", 2)] {
            scope.spawn(move || given_up(name, placed));
        }
    });
}

fn given_up(name: &str, placed_in_all: usize) {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let at = format!("{name}:1");
    let deadly = [("OUTDIALTEST_KILL_AT", at.as_str())];
    let (mut server, _) = home.serve_with(&deadly);
    let number = server.make_number();
    let more = json!({ "redialUnknown": true, "retry": 1, "delay": 0 });
    let batch = server.make_batch(&number, &more);
    add(&server, "poison", &list(&batch, &talkers(POISON, 1))).unwrap().expect(200);
    wait_for("it dies of it", PATIENCE, || server.is_gone().then_some(()));
    drop(server);

    // While it waits to be redialed the others are called.
    let server = home.serve();
    add(&server, "others", &list(&batch, &talkers(OTHERS, 20))).unwrap().expect(200);
    wait_for("the batch goes on", PATIENCE, || {
        (server.count(&batch, &["completed"]) == 20).then_some(())
    });
    assert_eq!(server.count(&batch, &["pending"]), 1);
    server.kill9();

    let (mut server, _) = home.serve_with(&deadly);
    wait_for("it dies of it again", REDIAL, || server.is_gone().then_some(()));
    drop(server);

    // Armed, too: a third time would be seen.
    let (mut server, _) = home.serve_with(&deadly);
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(server.count(&batch, &["unknown"]), 1);
    let number = POISON.to_string();
    let times = placed(&home).get(&number).map_or(0, Vec::len);
    assert_eq!(times, placed_in_all, "{name}");
    let details = server.all_calls(&batch);
    let poison = details.iter().find(|c| c["phoneNumber"] == number.as_str()).unwrap();
    let path = format!("/api/call/call-details/{}", poison["_id"].as_str().unwrap());
    let details = server.get(&path).expect(200);
    // One that missed its slot on a busy machine is not charged.
    let attempts = details["data"]["attempts"].as_array().unwrap();
    let charged = attempts.iter().filter(|a| a["charged"] == true).count();
    assert_eq!(charged, 2, "retry + 1: {details}");
    assert!(!server.is_gone());
}

#[test]
fn a_contact_that_nobody_can_decide_about_is_given_up_and_the_batch_goes_on() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let of = format!("engine.deciding:{POISON}");
    let (mut server, _) = home.serve_with(&[("OUTDIALTEST_PANIC_OF", of.as_str())]);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "retry": 0 }));
    let mut everybody = talkers(POISON, 1);
    everybody.extend(talkers(OTHERS, 20));
    add(&server, "poison", &list(&batch, &everybody)).unwrap().expect(200);
    wait_for("the batch goes on", PATIENCE, || {
        (server.count(&batch, &["completed"]) == 20).then_some(())
    });
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(server.count(&batch, &["failed"]), 1);
    let number = POISON.to_string();
    assert!(!placed(&home).contains_key(&number));
    let details = server.all_calls(&batch);
    let poison = details.iter().find(|c| c["phoneNumber"] == number.as_str()).unwrap();
    let path = format!("/api/call/call-details/{}", poison["_id"].as_str().unwrap());
    let details = server.get(&path).expect(200);
    assert_eq!(details["data"]["reason"], "internal_error", "{details}");
    assert_eq!(details["data"]["attempts"], json!([]), "{details}");
    // It is told by its id, never by its number.
    let log = std::fs::read_to_string(home.path("server.log")).unwrap();
    let told = log.matches("this contact is left out").count();
    assert_eq!(told, 1, "{log}");
    assert!(log.contains(poison["_id"].as_str().unwrap()) && !log.contains(&number), "{log}");
    assert!(!server.is_gone());
}
