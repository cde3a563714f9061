//! A receiver that fails for days. The database is told that the days are over.

use super::*;

const DATABASE: &str = "webhooks";

#[test]
fn after_a_day_deliveries_are_given_up_and_after_three_the_endpoint() {
    let postgres = Postgres::start(&[]);
    postgres.psql("CREATE DATABASE webhooks");
    let home = Home::on_postgres(&postgres.url_of(DATABASE), &OPEN);
    let server = home.serve();
    let receiver = Receiver::start(&home, &[SECRET]);
    let finished = json!({ "events": ["call.finished"] });
    let hook = make_webhook(&server, &receiver.url("/fails"), &finished);
    let told = json!({ "events": ["webhook.disabled"] });
    make_webhook(&server, &receiver.url("/told"), &told);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 2);
    server.wait_completed(&batch, LONG);
    let log = format!("/api/webhooks/{hook}/deliveries");
    let total = |state: &str| {
        let page = server.query(&log, &[("state", state)]).expect(200);
        page["data"]["pagination"]["total"].as_u64().unwrap()
    };
    wait_for("everything is tried", LONG, || {
        let page = server.get(&log).expect(200)["data"].clone();
        let all = page["deliveries"].as_array().unwrap().iter();
        (all.filter(|d| d["tries"][0]["status"] == 500).count() == 2).then_some(())
    });
    assert!(webhook(&server, &hook)["failingSince"].is_string());

    postgres.psql_on(
        DATABASE,
        "UPDATE delivery SET tries = 20, first_at = first_at - 25 * 3600000,
         next_at = CASE WHEN owner IS NULL THEN 0 ELSE next_at END WHERE state = 0",
    );
    wait_for("all are given up", LONG, || (total("given_up") == 2).then_some(()));
    assert_eq!(webhook(&server, &hook)["enabled"], true);

    postgres.psql_on(
        DATABASE,
        "UPDATE webhook SET failing_since = failing_since - 73 * 3600000
         WHERE failing_since IS NOT NULL",
    );
    let replay = format!("/api/webhooks/{hook}/replay");
    let replayed = server.post(&replay, &json!({ "failed": true })).expect(200);
    assert_eq!(replayed["data"]["replayed"], 2);
    let came = receiver.wait_for("the event about it", "/told", |came| !came.is_empty());
    assert_eq!(came[0].body["data"]["webhookId"], hook.as_str());
    let shown = webhook(&server, &hook);
    assert_eq!(shown["enabled"], false);
    assert!(shown["disabledReason"].as_str().unwrap().contains("72 hours"), "{shown}");

    let shown = patch(&server, &hook, &json!({ "url": receiver.url("/again"), "enabled": true }));
    assert_eq!((&shown["enabled"], shown.get("failingSince")), (&json!(true), None));
    let came = receiver.wait_for("what waited", "/again", |came| {
        came.iter().map(Came::sequence).collect::<BTreeSet<_>>().len() == 2
    });
    check_whole(&came);
}
