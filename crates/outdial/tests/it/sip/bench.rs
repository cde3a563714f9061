//! A server with SIP trunks, and the calls of one case.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::seen::{attempts, every_answer_acknowledged, one_invite_each};
use super::sipp::{Sipp, free_port};
use crate::harness::{Home, Server, records};

/// How long a case may take, that has no wait of its own.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The next number that is called, and the next that calls. No person is called twice at once.
static CALLED: AtomicU64 = AtomicU64::new(12_125_550_000);
static CALLING: AtomicU64 = AtomicU64::new(13_025_550_000);
static TRUNK: AtomicU64 = AtomicU64::new(1);

/// A home whose servers speak SIP at a port of their own, the same in each life.
pub(crate) fn home(more: &[(&str, &str)]) -> Home {
    let mut home = Home::new(more);
    home.set("OUTDIAL_SIP_LISTEN", &format!("127.0.0.1:{}", free_port()));
    // Several servers at once: the system knows which ports are free.
    home.set("OUTDIAL_SIP_RTP_PORTS", "0");
    home.set("OUTDIAL_LOG_FILTER", "info,outdial_telephony=debug");
    home
}

/// One case: its name, and what it does.
pub(crate) type Case = (&'static str, fn(&Bench<'_>));

/// The cases of a test, each on a thread: most of a case is waiting.
pub(crate) fn all_at_once(home: &Home, server: &Server<'_>, cases: &[Case]) {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let started: Vec<_> = cases
            .iter()
            .map(|(name, case)| {
                let bench = Bench { home, server };
                let thread = std::thread::Builder::new().name((*name).to_owned());
                (*name, thread.spawn_scoped(scope, move || case(&bench)).unwrap())
            })
            .collect();
        started.into_iter().filter_map(|(name, t)| t.join().is_err().then_some(name)).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// What a case works at.
pub(crate) struct Bench<'a> {
    pub(crate) home: &'a Home,
    pub(crate) server: &'a Server<'a>,
}

impl Bench<'_> {
    /// A trunk that leads to a SIPp: its id. `more` are further fields.
    pub(crate) fn trunk(&self, callee: &Sipp, more: &Value) -> String {
        let transport = if callee.tcp { "tcp" } else { "udp" };
        self.trunk_to(callee.port, &with(json!({ "transport": transport }), more))
    }

    /// A trunk that leads to a port of this machine.
    pub(crate) fn trunk_to(&self, port: u16, more: &Value) -> String {
        let name = format!("trunk {}", TRUNK.fetch_add(1, Ordering::Relaxed));
        let trunk = json!({
            "name": name, "host": "127.0.0.1", "port": port, "callsPerSecond": 50, "channels": 50,
            "keepAliveSeconds": 0, "ringTimeoutMs": 20_000,
        });
        let made = self.server.post("/api/trunks", &with(trunk, more)).expect(201);
        made["data"]["_id"].as_str().unwrap().to_owned()
    }

    /// How a trunk is.
    pub(crate) fn trunk_now(&self, trunk: &str) -> Value {
        self.server.get(&format!("/api/trunks/{trunk}")).expect(200)["data"].clone()
    }

    /// A calling number over these trunks, in their order: its id.
    pub(crate) fn number(&self, trunks: &[&str]) -> String {
        let agent = json!({
            "name": "Caller", "languages": ["en-US"],
            "connection": { "type": "announcement", "text": "Hello" },
        });
        let agent = self.server.post("/api/agents", &agent).expect(201)["data"]["_id"].clone();
        let number = CALLING.fetch_add(1, Ordering::Relaxed).to_string();
        let phone = json!({
            "userId": self.home.user, "phoneNumber": number, "integration": "sip",
            "trunkId": trunks[0], "failoverTrunkIds": trunks[1..], "agentId": agent,
        });
        let phone = self.server.post("/api/call/add-phone", &phone).expect(201);
        phone["data"]["_id"].as_str().unwrap().to_owned()
    }

    /// Calls one person over a SIPp: the batch.
    pub(crate) fn call(&self, callee: &Sipp, trunk: &Value) -> String {
        self.call_over(&[&self.trunk(callee, trunk)], &json!({}))
    }

    /// Calls one person over these trunks: the batch. `more` are further fields of the batch.
    pub(crate) fn call_over(&self, trunks: &[&str], more: &Value) -> String {
        self.call_many(trunks, 1, more)
    }

    /// Calls several.
    pub(crate) fn call_many(&self, trunks: &[&str], count: u64, more: &Value) -> String {
        let batch = self.server.make_batch(&self.number(trunks), more);
        let body = json!({ "batchId": batch, "call_data": numbers(count) });
        let added = self.server.post("/api/call/addCallsToBatch", &body).expect(200);
        assert_eq!(added["data"]["added"], count);
        batch
    }

    /// The only call of a batch, with its history, as it is now.
    pub(crate) fn now(&self, batch: &str) -> Value {
        let calls = self.server.all_calls(batch);
        let [call] = &calls[..] else { panic!("{} calls", calls.len()) };
        self.details(call)
    }

    /// A call with its history, but for attempts that missed their slot because the machine was
    /// busy: those say nothing of SIP.
    fn details(&self, call: &Value) -> Value {
        let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
        let mut details = self.server.get(&path).expect(200)["data"].clone();
        let attempts = details["attempts"].as_array_mut().expect("a history");
        let is_late = |a: &Value| a["state"] == "not_sent" && a["reason"] == "late";
        for late in attempts.iter().filter(|a| is_late(a)) {
            assert!(late["sentAt"].is_null() && late["charged"] == false, "{late}");
        }
        attempts.retain(|a| !is_late(a));
        details
    }

    /// The only call of a batch, when it is over; its peers saw what they may see.
    pub(crate) fn over(&self, batch: &str, peers: &[&Sipp]) -> Value {
        self.all_over(batch, peers);
        self.now(batch)
    }

    /// Waits until a batch is completed, and proves by the peers' logs that no attempt had two
    /// INVITEs, that none was sent that is not in a history, and that every answer was
    /// acknowledged.
    pub(crate) fn all_over(&self, batch: &str, peers: &[&Sipp]) {
        self.server.wait_completed(batch, LIMIT);
        let mut seen = Vec::new();
        for peer in peers {
            let log = peer.log();
            one_invite_each(&log);
            every_answer_acknowledged(&log);
            seen.extend(attempts(&log));
        }
        for call in self.server.all_calls(batch) {
            let details = self.details(&call);
            let number = call["phoneNumber"].as_str().unwrap();
            let placed = seen.iter().filter(|(_, n)| n == number).count();
            let sent = sent(&details);
            assert_eq!(placed, sent, "INVITEs seen, attempts sent: {details}");
        }
    }
}

/// `call_data` of people whom nobody else calls.
pub(crate) fn numbers(count: u64) -> Vec<Value> {
    records(CALLED.fetch_add(count, Ordering::Relaxed), count)
}

/// How many attempts of a call left: those that reached somebody, or whom somebody refused.
pub(crate) fn sent(details: &Value) -> usize {
    let attempts = details["attempts"].as_array().unwrap();
    attempts.iter().filter(|a| a["charged"] == true || a["sipStatus"].is_u64()).count()
}

/// The last attempt of a call.
pub(crate) fn last_attempt(details: &Value) -> &Value {
    details["attempts"].as_array().unwrap().last().expect("an attempt")
}

/// That `ms` is what was seen, but for so many milliseconds.
#[track_caller]
pub(crate) fn assert_near(ms: u64, seen: Duration, margin: u64, call: &Value) {
    let seen = u64::try_from(seen.as_millis()).unwrap();
    assert!(ms.abs_diff(seen) < margin, "{ms} ms, {seen} seen: {call}");
}

/// That the call was sent once, and ended so.
#[track_caller]
pub(crate) fn ended(details: &Value, disposition: &str, reason: &str) {
    assert_eq!(details["callStatus"], disposition, "{details}");
    let logs = details["phoneLogs"].as_array().unwrap();
    assert_eq!(logs.len(), 1, "{details}");
    assert_eq!(logs[0]["callStatus"], disposition, "{details}");
    assert_eq!(last_attempt(details)["reason"], reason, "{details}");
}

/// `base` with the fields of `more` over it.
pub(crate) fn with(mut base: Value, more: &Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}
