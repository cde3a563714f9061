//! F36: a contact whose call kills the process each time. What stops it is the retry limit: each
//! death leaves an attempt that is charged, also when `unknown` is redialed.

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
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let deadly = [("OUTDIALTEST_KILL_AT", "engine.placed:1")];
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
    assert_eq!(placed(&home)[&POISON.to_string()].len(), 2, "retry + 1");
    assert!(!server.is_gone());
}
