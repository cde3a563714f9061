//! What somebody writes into a record or a setting never becomes a header.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::{Bench, all_at_once, ended, home, numbers, with};
use super::seen::Seen;
use super::sipp::{Play, Sipp};

/// What nobody may find in a message, whatever the letters' case.
const MARK: &str = "injected";
/// Beginnings of header lines, and ends of what stands around a value.
const POISON: [&str; 8] = [
    "\r\nX-Injected: yes",
    "\nX-Injected: yes",
    "\rX-Injected: yes",
    "\r\n\r\ninjected body",
    "\" <sip:injected@127.0.0.1>;x=\"",
    ">\r\nRoute: <sip:injected@127.0.0.1;lr>\r\nX: <",
    "\u{85}X-Injected: yes\u{2028}X-Injected: yes",
    "%0d%0aX-Injected: yes",
];

#[test]
fn sip_nothing_that_is_written_becomes_a_header() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("fields of a contact", fields),
            ("phone numbers", phone_numbers),
            ("who calls", callers),
            ("settings of a trunk", settings),
            ("credentials", credentials),
        ],
    );
}

/// Names and other fields may hold anything: nothing of them is in a message.
fn fields(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(100).start();
    let number = bench.number(&[&bench.trunk(&callee, &json!({}))]);
    let named = json!({ "batchName": "injected \" <sip:injected@127.0.0.1>" });
    let batch = bench.server.make_batch(&number, &named);
    let mut records = numbers(POISON.len() as u64);
    for (record, poison) in records.iter_mut().zip(POISON) {
        record["name"] = json!(format!("Ann \"{poison}"));
        record["callerId"] = json!(poison);
        record["From"] = json!(poison);
    }
    let body = json!({ "batchId": batch, "call_data": records });
    bench.server.post("/api/call/addCallsToBatch", &body).expect(200);
    bench.all_over(&batch, &[&callee]);
    assert_eq!(bench.server.count(&batch, &["completed"]), POISON.len() as u64);
    for call in bench.server.all_calls(&batch) {
        assert!(call["name"].as_str().unwrap().starts_with("Ann \""), "kept as written: {call}");
    }
    clean(&callee, POISON.len());
    callee.went_as_written();
}

/// A record whose number is more than a number is refused by name, and nobody is called.
fn phone_numbers(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(100).start();
    let batch =
        bench.server.make_batch(&bench.number(&[&bench.trunk(&callee, &json!({}))]), &json!({}));
    let more = ["@127.0.0.1", ";phone-context=injected", "?X-Injected=yes", "\t", "\u{661}", "\0"];
    let suffixes: Vec<&str> = POISON.into_iter().chain(more).collect();
    for suffix in &suffixes {
        for spelled in [format!("12125558888{suffix}"), format!("{suffix}12125558888")] {
            let records = json!([{ "phoneNumber": spelled }]);
            let body = json!({ "batchId": batch, "call_data": records });
            let answer = bench.server.post("/api/call/addCallsToBatch", &body).expect(400);
            let fault = &answer["data"]["errors"][0];
            assert_eq!(fault["field"], "phoneNumber", "{spelled:?}: {answer}");
            let is_text = !spelled.contains('\0');
            let code = if is_text { "invalid_phone_number" } else { "invalid_text" };
            assert_eq!(fault["code"], code, "{spelled:?}: {answer}");
        }
    }
    // With what people do write into one, it is a number.
    let Value::String(plain) = numbers(1)[0]["phoneNumber"].clone() else { panic!() };
    let spelled = format!("+1 ({}) {}-{}", &plain[1..4], &plain[4..7], &plain[7..]);
    let body = json!({ "batchId": batch, "call_data": [{ "phoneNumber": spelled }] });
    bench.server.post("/api/call/addCallsToBatch", &body).expect(200);
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    assert_eq!(callee.wait_for("INVITE").number("To"), plain);
    clean(&callee, 1);
    callee.went_as_written();
}

/// The number that calls is a number, and its agent's name a line; neither name is sent.
fn callers(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(100).start();
    let trunk = bench.trunk(&callee, &json!({ "callerId": "pAssertedIdentity" }));
    let agent = |name: &str| {
        let connection = json!({ "type": "announcement", "text": name });
        let agent = json!({ "name": name, "languages": ["en-US"], "connection": connection });
        bench.server.post("/api/agents", &agent)
    };
    let quoted = "Ann \"injected\" <sip:injected@127.0.0.1>;x=\"";
    let agent_id = agent(quoted).expect(201)["data"]["_id"].clone();
    let phone = |number: &str| {
        let phone = json!({
            "userId": bench.home.user, "phoneNumber": number, "integration": "sip",
            "trunkId": trunk, "agentId": agent_id,
        });
        bench.server.post("/api/call/add-phone", &phone)
    };
    for poison in POISON {
        if poison.contains(char::is_control) {
            let named = agent(&format!("Ann{poison}Lee")).expect(400);
            assert!(named["errorMessage"].as_str().unwrap().contains("name"), "{named}");
        }
        let refused = phone(&format!("13015550199{poison}")).expect(400);
        assert!(refused["errorMessage"].as_str().unwrap().contains("phoneNumber"), "{refused}");
    }
    let calling = phone("13015550199").expect(201)["data"]["_id"].clone();
    let batch = bench.server.make_batch(calling.as_str().unwrap(), &json!({}));
    let body = json!({ "batchId": batch, "call_data": numbers(1) });
    bench.server.post("/api/call/addCallsToBatch", &body).expect(200);
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    clean(&callee, 1);
    callee.went_as_written();
}

/// What of a trunk's settings stands in messages is refused by name if it could end a line or a
/// URI there.
fn settings(bench: &Bench<'_>) {
    let more = [" ", ";injected", "@injected", "?injected", "/injected", "\0"];
    for field in ["host", "fromDomain", "outboundProxy", "username", "password"] {
        for poison in POISON.into_iter().chain(more) {
            let is_credential = matches!(field, "username" | "password");
            if is_credential && !poison.contains(char::is_control) {
                continue;
            }
            let trunk = json!({ "name": "T", "host": "127.0.0.1", "transport": "udp" });
            // Both or none.
            let account = json!({ "username": "u", "password": "p" });
            let trunk = if is_credential { with(trunk, &account) } else { trunk };
            let trunk = with(trunk, &json!({ field: format!("sip.example.com{poison}") }));
            let refused = bench.server.post("/api/trunks", &trunk).expect(400);
            let said = refused["errorMessage"].as_str().unwrap();
            assert!(said.contains(field), "{field} {poison:?}: {said}");
        }
    }
}

/// Quotes and backslashes in an account's name are quoted where it is sent.
fn credentials(bench: &Bench<'_>) {
    let username = "ann\", realm=\"injected\", x=\\\"";
    let callee = Play::of("auth")
        .fill("status", "401 Unauthorized")
        .fill("first", "WWW-Authenticate: Digest realm=\"sip\", nonce=\"n\", algorithm=MD5")
        .fill("second", "Server: sipp")
        .start();
    let account = json!({ "username": username, "password": "secret" });
    let batch = bench.call(&callee, &account);
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let invites = callee.requests("INVITE");
    let proof = invites[1].header("Authorization");
    let quoted = username.replace('\\', "\\\\").replace('"', "\\\"");
    assert!(proof.contains(&format!("username=\"{quoted}\", ")), "{proof}");
    assert_eq!(proof.matches("realm=\"sip\"").count(), 1, "{proof}");
    callee.went_as_written();
}

/// It saw so many calls; no message has a header that we do not write, a mark, or a line that ends
/// otherwise than lines do.
fn clean(callee: &Sipp, calls: usize) {
    const OURS: &str = "via max-forwards from to call-id cseq contact route allow supported \
                        session-expires min-se user-agent p-asserted-identity content-type \
                        content-length";
    let ours: BTreeSet<&str> = OURS.split(' ').collect();
    assert_eq!(callee.calls(), calls);
    let log = callee.log();
    for Seen { text, .. } in log.iter().filter(|m| m.received) {
        assert!(!text.to_ascii_lowercase().contains(MARK), "{text}");
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{text:?}");
        for line in head.split("\r\n").skip(1) {
            let name = line.split_once(':').unwrap().0.trim().to_ascii_lowercase();
            assert!(ours.contains(name.as_str()), "{name:?} in {text}");
        }
    }
}
