//! I12: one request of 100,000 records takes no more memory than it is allowed to, and a bomb none.

use std::process::Command;

use crate::harness::{Home, Server, records};
use serde_json::json;

#[test]
fn a_hundred_thousand_records_in_one_request() {
    let home = Home::new(&[]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    // Stopped, so that what is measured is taking them in.
    let stop = json!({ "batchId": batch, "userId": home.user });
    server.post("/api/call/stop-calling", &stop).expect(200);

    let body = json!({ "batchId": batch, "call_data": records(13_105_500_000, 100_000) });
    let body = body.to_string().into_bytes();
    let body_kib = body.len() as u64 / 1024;
    let before = server.memory_kib("VmHWM:");
    let answer = server.try_send("POST", "/api/call/addCallsToBatch", &[], body).unwrap();
    let data = answer.expect(200)["data"].clone();
    let growth = server.memory_kib("VmHWM:").saturating_sub(before);

    assert_eq!(data["added"], 100_000);
    assert_eq!(data["callIds"].as_array().unwrap().len(), 100_000);
    assert_eq!(server.count(&batch, &["pending"]), 100_000);
    let allowed = body_kib * 12 / 10 + 64 * 1024;
    println!("body {body_kib} KiB, growth {growth} KiB of {allowed} KiB over {before} KiB");
    assert!(growth <= allowed, "body {body_kib} KiB, growth {growth} KiB, allowed {allowed} KiB");
}

/// F41: whatever limit it hits, it was never in memory.
#[test]
fn a_gigabyte_of_nothing_in_a_megabyte() {
    let zeros = "head -c 268435456 /dev/zero | gzip";
    let quarter = Command::new("sh").args(["-c", zeros]).output().unwrap().stdout;
    let bomb = quarter.repeat(4);
    assert!((100_000..2_000_000).contains(&bomb.len()), "{}", bomb.len());
    let post = |server: &Server<'_>, why: &str| {
        let before = server.memory_kib("VmHWM:");
        let headers = [("content-encoding", "gzip")];
        let path = "/api/call/addCallsToBatch";
        let answer = server.try_send("POST", path, &headers, bomb.clone()).unwrap();
        let text = answer.expect(413).to_string();
        assert!(text.contains(why), "{text}");
        let growth = server.memory_kib("VmHWM:").saturating_sub(before);
        println!("{why}: growth {growth} KiB over {before} KiB");
        assert!(growth <= 64 * 1024, "{growth} KiB");
    };
    let home = Home::new(&[]);
    post(&home.serve(), "200 times");
    let home = Home::new(&[("OUTDIAL_SERVER_BODY_EXPANSION_MAX", "100000")]);
    post(&home.serve(), "536870912 bytes");
}
