//! Three nodes call one list over one trunk, while one is killed, one stands still for longer than
//! a lease, and one loses sight of the database for as long: everybody is called once, the trunk's
//! limits hold to the call, and everything ends.
//!
//! `OUTDIAL_CLUSTER_CONTACTS` says how many are called: 20,000 for an evening.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::{Node, freeze, kill, make_sip_number, nodes, states, thaw, wait_state};
use super::phones::{LONGEST, Phones, longest_silence, tightest, times_called};
use crate::harness::{PATIENCE, Server, monotonic, records, wait_for};
use crate::postgres::Postgres;

/// A lease is 30 s.
const AWAY: Duration = Duration::from_secs(40);
/// Few enough that faults are met while calls wait.
const CONTACTS: u64 = 1_500;
/// A node that is started again has joined and dials within this.
const BACK: Duration = Duration::from_secs(20);
const FIRST: u64 = 12_125_550_000;

/// What the trunk takes.
#[derive(Clone, Copy)]
struct Limits {
    calls_per_second: usize,
    channels: usize,
}

#[test]
fn three_nodes_call_everybody_once_whatever_becomes_of_them() {
    let contacts = std::env::var("OUTDIAL_CLUSTER_CONTACTS").ok().and_then(|n| n.parse().ok());
    let contacts: u64 = contacts.unwrap_or(CONTACTS);
    let limits = match contacts > CONTACTS {
        true => Limits { calls_per_second: 40, channels: 30 },
        false => Limits { calls_per_second: 16, channels: 14 },
    };
    let postgres = Postgres::start(&[]);
    let phones = Phones::start();
    let three = nodes(&postgres, 3, &[("OUTDIAL_LOG_FILTER", "info,outdial_engine=debug")]);
    let mut servers: Vec<Server<'_>> = three.iter().map(|node| node.home.serve()).collect();
    let batch = fill(&three, &servers, &phones, limits, contacts);

    let begun = monotonic();
    let mut bound = 0;
    let mut rounds = 0;
    let left = |phones: &Phones| contacts.saturating_sub(phones.invites().len() as u64);
    let needed = u64::try_from(limits.calls_per_second).unwrap() * 45;
    // Each suffers each, where there is enough to call.
    while rounds == 0 || (rounds < 3 && left(&phones) > 2 * needed) {
        // Who suffers what goes round.
        let who = [rounds % 3, (rounds + 1) % 3, (rounds + 2) % 3];
        bound += suffer(&three, &mut servers, &phones, limits, who);
        rounds += 1;
    }
    let server = &servers[0];
    server.wait_completed(&batch, Duration::from_secs(150) + Duration::from_secs(contacts / 8));
    let took = monotonic() - begun;

    let unknown = judge(server, &batch, &phones, limits, contacts);
    let bound = u64::try_from(bound).unwrap();
    let silence = longest_silence(&phones.invites());
    println!(
        "{contacts} contacts in {took:?}, {rounds} rounds of faults; called by {:?}; \
         {unknown} unknown (at most {bound}); most live {} of {}; {} + 1 calls within {:?}; \
         longest silence {:?} at {:?}",
        shares(&three, &phones),
        phones.most_live(),
        limits.channels,
        limits.calls_per_second,
        tightest(&phones.invites(), limits.calls_per_second),
        silence.0,
        silence.1,
    );
    assert!(unknown <= bound, "{unknown} unknown, at most {bound} could be under way");
    let shares = shares(&three, &phones);
    let least = usize::try_from(contacts / 20).unwrap();
    assert!(shares.values().all(|n| *n > least), "a node that hardly calls: {shares:?}");
    // Lives that were killed are listed, too, as over.
    wait_for("all three are alive, and nobody is missed", PATIENCE, || {
        let states = states(server);
        let alive = states.iter().filter(|(_, state)| state == "alive").count();
        (alive == 3 && states.iter().all(|(_, state)| state != "gone")).then_some(())
    });
}

/// A batch over one trunk; each node takes in a third of the list at the same time.
fn fill(
    three: &[Node],
    servers: &[Server<'_>],
    phones: &Phones,
    limits: Limits,
    contacts: u64,
) -> String {
    let trunk = json!({ "callsPerSecond": limits.calls_per_second, "channels": limits.channels });
    let number = make_sip_number(&servers[0], &three[0].home.user, phones.port(), &trunk);
    let batch = servers[0].make_batch(&number, &json!({ "retry": 0 }));
    let third = contacts.div_ceil(3);
    std::thread::scope(|scope| {
        for (server, part) in servers.iter().zip(0..) {
            let (first, batch) = (FIRST + part * third, &batch);
            let count = third.min(contacts - part * third);
            scope.spawn(move || {
                let body = json!({ "batchId": batch, "call_data": records(first, count) });
                let answer = server.post("/api/call/addCallsToBatch", &body).expect(200);
                assert_eq!(answer["data"]["added"], count);
            });
        }
    });
    batch
}

/// One is killed and comes back; then one stands still and one cannot reach the database, both for
/// longer than a lease. How many calls may end as unknown for it.
fn suffer<'a>(
    three: &'a [Node],
    servers: &mut [Server<'a>],
    phones: &Phones,
    limits: Limits,
    [killed, frozen, cut_off]: [usize; 3],
) -> usize {
    // F4: what is committed and has not left, beside what is on the phone.
    let ahead = limits.calls_per_second.div_ceil(4).max(1);
    let at_stake =
        |n: usize| ahead + phones.called_lately(three[n].sip_port, LONGEST + LONGEST / 2);
    let called = phones.invites().len();
    let more = |count: usize| {
        wait_for("calls go out", BACK * 3, || {
            (phones.invites().len() >= called + count).then_some(())
        });
    };
    more(limits.calls_per_second * 3);
    let mut bound = at_stake(killed);
    kill(&mut servers[killed]);
    servers[killed] = three[killed].home.serve();
    let port = three[killed].sip_port;
    wait_for("the killed one dials again", BACK * 3, || {
        (phones.called_lately(port, Duration::from_millis(500)) > 0).then_some(())
    });

    bound += at_stake(frozen) + at_stake(cut_off);
    freeze(&servers[frozen]);
    three[cut_off].proxy.hold();
    let since = monotonic();
    let witness = &servers[killed];
    wait_state(witness, &format!("node-{}", frozen + 1), "gone", AWAY);
    wait_state(witness, &format!("node-{}", cut_off + 1), "gone", AWAY);
    let before = phones.invites().len();
    wait_for("the time is over", AWAY * 2, || (monotonic() - since >= AWAY).then_some(()));
    assert!(phones.invites().len() > before, "nobody dialed while two of three were away");
    thaw(&servers[frozen]);
    three[cut_off].proxy.pass();
    // Both have lost their attempts to others, and go on.
    for n in [frozen, cut_off] {
        wait_state(witness, &format!("node-{}", n + 1), "alive", BACK * 2);
    }
    bound
}

/// Everything that must be so at the end; how many calls are unknown.
fn judge(server: &Server<'_>, batch: &str, phones: &Phones, limits: Limits, contacts: u64) -> u64 {
    let invites = phones.invites();
    let times = times_called(&invites);
    let twice: Vec<_> = times.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "called twice: {twice:?}");
    let tightest = tightest(&invites, limits.calls_per_second);
    assert!(tightest >= Duration::from_secs(1), "a call too many within {tightest:?}");
    let most = phones.most_live();
    assert!(most <= limits.channels, "{most} calls at once");
    assert_eq!(phones.unended(), 0, "a line is open");

    let calls = server.all_calls(batch);
    assert_eq!(calls.len() as u64, contacts);
    let mut numbers: BTreeMap<u64, &Value> = BTreeMap::new();
    for call in &calls {
        numbers.insert(call["phoneNumber"].as_str().unwrap().parse().unwrap(), call);
    }
    assert_eq!(numbers.len() as u64, contacts, "a number twice");
    let mut unknown = 0;
    for (number, call) in &numbers {
        let status = call["callStatus"].as_str().unwrap();
        let called = times.get(number).copied().unwrap_or_default();
        match status {
            "completed" | "busy" => assert_eq!(called, 1, "{call}"),
            // A call whose node was gone was taken back, or its end is not known; it may be that
            // it never left.
            "unknown" | "canceled" => {
                unknown += 1;
                assert_reason(server, call);
            }
            other => panic!("{other}: {call}"),
        }
    }
    unknown
}

/// What became of it is not known: the history says why.
fn assert_reason(server: &Server<'_>, call: &Value) {
    let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
    let details = server.get(&path).expect(200)["data"].clone();
    let last = details["attempts"].as_array().unwrap().last().cloned().unwrap_or_default();
    assert!(last["reason"].as_str().is_some_and(|r| !r.is_empty()), "no reason: {details}");
}

/// How many INVITEs each node sent.
fn shares(three: &[Node], phones: &Phones) -> BTreeMap<u16, usize> {
    let invites = phones.invites();
    let of = |port: u16| invites.iter().filter(|seen| seen.peer.port() == port).count();
    three.iter().map(|node| (node.sip_port, of(node.sip_port))).collect()
}
