//! `outdial simulate`, and what a forecast promises about hours.

use std::time::Duration;

use outdial_core::forecast::{Assumptions, Ending, Input, run_watched};
use outdial_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Home, outdial, stderr_of, stdout_of};
use crate::thirty_zones::{Judge, batch, people, settings, workspace};

/// A batch of New Yorkers and Londoners, some with a zone of their own.
fn file(contacts: u64) -> Value {
    let record = |n: u64| match n % 2 {
        0 => json!({ "phoneNumber": format!("{}", 12_125_550_000 + n), "name": "Ann" }),
        _ => json!({ "phoneNumber": format!("{}", 442_079_460_000 + n), "name": "Bo" }),
    };
    json!({
        "batchName": "May",
        "callingHour": { "start": "09:00", "end": "17:00" },
        "allowedDays": [1, 2, 3, 4, 5],
        "retry": 1, "delay": 3600,
        "numbers": ["12025550143", { "phoneNumber": "442079460958", "callsPerDay": 500 }],
        "trunk": { "callsPerSecond": 2, "channels": 20 },
        "workspace": { "timezone": "America/New_York", "callingRules": "off" },
        "call_data": (0..contacts).map(record).collect::<Vec<_>>(),
    })
}

const MONDAY: &str = "2026-06-01T12:00:00Z";

#[test]
fn a_file_is_forecast_without_a_server() {
    let home = Home::at(tempfile::tempdir().unwrap());
    let path = home.write("may.json", &file(200).to_string());
    let path = path.to_str().unwrap();
    let args = ["simulate", path, "--start", MONDAY, "--answer-rate", "0.5"];
    let text = stdout_of(outdial().args(args));
    for part in [
        "May: 200 contacts from Mon 2026-06-01 08:00; times are America/New_York",
        "done ",
        "attempts per hour",
        "peak channels  20 (the trunk has 2 calls per second and 20 channels)",
        "never reached",
        "the last attempt ended as",
        "50 % are answered by a person",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let line = stdout_of(outdial().args(args).arg("--json"));
    assert_eq!(line.lines().count(), 1);
    let data: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&data["calls"], &data["ending"]), (&json!(200), &json!("done")));
    let sum = data["reached"].as_u64().unwrap() + data["neverReached"].as_u64().unwrap();
    assert_eq!(sum, 200);
    // London is open at noon UTC, New York from 13:00 on.
    assert_eq!(&data["firstAttemptAt"].as_str().unwrap()[..16], "2026-06-01T12:00");
    assert_eq!(data["perHour"][0]["start"], "2026-06-01T12:00:00.000Z");
    assert_eq!(stdout_of(outdial().args(args).arg("--json")), line, "the same, the same");
}

#[test]
fn what_is_wrong_with_a_file_is_said_as_the_api_says_it() {
    let home = Home::at(tempfile::tempdir().unwrap());
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut wrong = file(3);
        change(&mut wrong);
        let path = home.write("wrong.json", &wrong.to_string());
        stderr_of(outdial().args(["simulate", path.to_str().unwrap(), "--start", MONDAY]))
    };
    let error = refused(&|f| f["call_data"][1]["phoneNumber"] = json!("12"));
    assert!(error.contains("record 2") && error.contains("invalid_phone_number"), "{error}");
    assert!(error.contains("1 of 3 records"), "{error}");
    let error = refused(&|f| f["numbers"] = json!(["12025550143"]));
    assert!(error.contains("country_not_allowed"), "{error}");
    let error = refused(&|f| f["numbers"] = json!([]));
    assert!(error.contains("numbers: name a calling number"), "{error}");
    let error = refused(&|f| {
        f["retry"] = json!(11);
        f["callingHour"]["end"] = json!("9");
    });
    assert!(error.contains("retry: 11") && error.contains("callingHour"), "{error}");
    let error = refused(&|f| f["retrys"] = json!(1));
    assert!(error.contains("retrys: is not known; a file has allowedDays, "), "{error}");
    let error = refused(&|f| f["trunk"] = json!([1, 10]));
    assert!(error.contains("trunk: invalid type: array, expected an object"), "{error}");
    let error = refused(&|f| f["retry"] = json!("1"));
    assert!(error.contains("retry: ") && error.contains("expected a whole number"), "{error}");
    let error = refused(&|f| f["trunk"]["callsPerSecond"] = json!(10_001));
    assert!(error.contains("trunk.callsPerSecond: write more than 0, at most 10000"), "{error}");
    let error = refused(&|f| f["budget"] = json!({ "money": 5 }));
    assert!(error.contains("give one of `numbers` a pricePerMinute"), "{error}");
    let error = refused(&|f| f["trunk"]["channels"] = json!(0));
    assert!(error.contains("trunk.channels"), "{error}");
    let error = refused(&|f| f["workspace"]["timezone"] = json!("Mars/X"));
    assert!(error.contains("Mars/X"), "{error}");
    let path = home.write("good.json", &file(1).to_string());
    let args = ["simulate", path.to_str().unwrap(), "--answer-rate", "2"];
    let error = stderr_of(outdial().args(args));
    assert!(error.contains("answer rate: write a number from 0 to 1"), "{error}");
}

#[test]
fn who_can_never_be_called_is_skipped_as_at_import() {
    let home = Home::at(tempfile::tempdir().unwrap());
    let mut mixed = file(1);
    // Toll-free: somewhere from Newfoundland to Guam, where nine to five never is at once.
    let toll_free = json!({ "phoneNumber": "18005550100" });
    mixed["call_data"].as_array_mut().unwrap().push(toll_free);
    mixed["trunk"] = json!({ "callsPerSecond": 5000, "channels": 1 });
    let path = home.write("mixed.json", &mixed.to_string());
    let args = ["simulate", path.to_str().unwrap(), "--start", MONDAY, "--json"];
    let data: Value = serde_json::from_str(&stdout_of(outdial().args(args))).unwrap();
    assert_eq!((&data["ending"], &data["calls"]), (&json!("done"), &json!(2)), "{data}");
    let never = data["never"].as_array().unwrap();
    let skipped = never.iter().find(|n| n["reason"] == "no_common_hours").unwrap();
    assert_eq!(skipped["calls"], 1);
}

#[test]
fn the_example_is_forecast() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/campaign.json");
    let args = ["simulate", example, "--start", MONDAY];
    let text = stdout_of(outdial().args(args));
    assert!(text.contains("Reminders: 24 contacts from Mon 2026-06-01 08:00"), "{text}");
    assert!(text.contains("\n  done           "), "{text}");
    // Other hours, not other people: somebody on the West Coast is called later than New York.
    let data: Value = serde_json::from_str(&stdout_of(outdial().args(args).arg("--json"))).unwrap();
    assert_eq!(data["ending"], "done", "{data}");
    assert!(data["perHour"].as_array().unwrap().len() > 1, "{data}");
}

/// `cargo xtask bench forecast` does this for a year of 100,000 contacts.
#[test]
fn a_month_over_thirty_zones_has_no_attempt_outside_hours_and_rules() {
    // Winter time ends in most places, and begins in some; Good Friday is on 3 April.
    let from: Timestamp = "2026-03-06T00:00:00Z".parse().unwrap();
    let until = from.after(Duration::from_secs(31 * 86_400));
    let (waiting, zones) = people(3000);
    assert!(zones >= 30, "{zones}");
    let judge = Judge::new(&waiting, from, until);
    let classes = waiting.len();
    let input = Input {
        head: workspace(24, settings(), from),
        waiting,
        batch: batch(),
        assumes_start: false,
        assume: Assumptions::default(),
        until,
        turns_max: u64::MAX,
    };
    let (mut outside, mut attempts) = (Vec::new(), 0);
    let mut called = std::collections::BTreeSet::new();
    let forecast = run_watched(input, &mut |attempt| {
        attempts += 1;
        called.insert(attempt.class.clone());
        if !judge.may_leave(attempt.class, attempt.at) {
            outside.push((attempt.class.to_string(), attempt.at));
        }
    });
    assert_eq!(outside, [], "{attempts} attempts");
    assert!(attempts > 5000, "{attempts}: {:?}", forecast.never);
    assert!(called.len() > classes / 2, "{} of {classes} kinds of people", called.len());
    let far = forecast.ending == Ending::Horizon
        || forecast.to > from.after(Duration::from_secs(25 * 86_400));
    assert!(far, "{:?} at {}", forecast.ending, forecast.to);
}
