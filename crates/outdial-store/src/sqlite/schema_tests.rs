//! The schema: a database of every earlier version goes on with its data, and every statement that
//! runs often finds its rows by an index.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::BatchSettings;
use outdial_core::budget::{Day, Spend};
use outdial_core::call::{CallNext, WaitReason};
use outdial_core::dispatcher::{Ask, Intent, LineLimits};
use outdial_core::id::{AgentId, AttemptId, BatchId, PhoneId, RequestId, TrunkId, WorkspaceId};
use outdial_core::outcome::{Disposition, Fault, Outcome, RetryClass};
use outdial_core::pacing::SLOT;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallerIdIn, ChunkAdd, ChunkLane, ChunkRecord, DncListQuery, DropReason, EventKind,
    FinishResult, Integration, NewDnc, NewIntent, NewPhone, NewPlan, Secret, Settle, SipSpec,
    Transport, TrunkHealth, TrunkSpec,
};
use outdial_ports::{Clock as _, Store};

use super::open::{Role, connect, make_at};
use super::{OpenMode, SqliteStore, sql};
use crate::conformance::{TestClock, TestEntropy};

/// When the rows of the fixture were made: an hour before the clock stands.
const MADE: i64 = 1_747_315_800_000;
const SECS: u32 = 1_747_315_800;

/// A workspace at work: a call that was made, one on the phone, one that waits; a batch without
/// numbers; a request that is not answered.
fn fill_v1(path: &Path) {
    make_at(path, 1);
    let conn = connect(path, Role::Writer).unwrap();
    let settings = r#"{"timezone":"Europe/Berlin","calling_rules":"off","concurrency":9}"#;
    let batch = r#"{"retry":2,"delay_s":60,"weight":3}"#;
    conn.execute_batch(&format!(
        "INSERT INTO meta VALUES (1, zeroblob(32));
         INSERT INTO workspace VALUES (1, {MADE}, 'w', '{settings}');
         INSERT INTO workspace_user VALUES (1, {MADE}, 1);
         INSERT INTO dispatch VALUES (1, 41);
         INSERT INTO agent VALUES (1, {MADE}, {MADE}, 1, 1, 'Ada', '[]', '{{}}', NULL);
         INSERT INTO trunk VALUES (1, {MADE}, 1, 'simulated', NULL, 500, NULL);
         INSERT INTO phone VALUES (1, {MADE}, 1, 4930111, 'simulated', 1, 1, 2.5, 7, NULL);
         INSERT INTO batch VALUES (1, {MADE}, {MADE}, 1, 'b', '{batch}', 'active', NULL, NULL, 1);
         INSERT INTO batch VALUES
           (2, {MADE}, {MADE}, 1, 'lost', '{batch}', 'paused', 'no_numbers', NULL, 1);
         INSERT INTO batch_number VALUES (1, 0, 1);
         INSERT INTO batch_total VALUES (1, 0, 3, 1, 1, 1, 1, 1), (2, 0, 0, 0, 0, 0, 0, 0);
         INSERT INTO class VALUES (1, 'Europe/Berlin');
         INSERT INTO call VALUES
           (1, 1, 49301, 1, 0, 2, 0, 1, 1, 0, 1, 0, NULL, 'completed', NULL, 1, 1, 1, {MADE},
            {MADE}),
           (2, 1, 49302, 1, 0, 1, 0, 1, 0, 0, 1, 0, NULL, NULL, NULL, 0, 1, 1, {MADE}, {MADE}),
           (3, 1, 49303, 1, 0, 0, 0, 1, 0, 0, 0, 0, NULL, NULL, NULL, 0, 1, 1, {MADE}, {MADE});
         INSERT INTO call_fields VALUES (1, '{{}}'), (2, '{{}}'), (3, '{{}}');
         INSERT INTO call_run VALUES (1, 0, 1, 3);
         INSERT INTO attempt VALUES
           (1, {MADE}, 1, 1, 1, 4, 7, x'0101', 1, 1, {MADE}, {MADE}, {MADE}, NULL, {MADE}, {MADE},
            'completed', 'none', 'talk_over', NULL, 1),
           (2, {MADE}, 2, 1, 1, 3, 7, zeroblob(16), 1, 1, {MADE}, {MADE}, {MADE}, NULL, {MADE},
            NULL, NULL, NULL, NULL, NULL, 0);
         UPDATE attempt SET token = x'01010101010101010101010101010101' WHERE seq = 1;
         INSERT INTO live VALUES (1, 49302, 1, 2, 1, 1, 7);
         INSERT INTO request VALUES
           (1, {MADE}, 1, 's', 'k', zeroblob(32), '', 7, 0, {MADE} + 900000000, 0, 0, NULL, NULL);
         INSERT INTO request_chunk VALUES (1, 1, 2, 1, 'active', NULL, x'');"
    ))
    .unwrap();
}

/// As `fill_v1`, updated; and what only version 2 has: limits by day, prices, reserves, a listed
/// number. Besides, a calling number that is deleted, and a trunk that is left alone for a while.
fn fill_v2(path: &Path) {
    fill_v1(path);
    make_at(path, 2);
    let conn = connect(path, Role::Writer).unwrap();
    conn.execute_batch(&format!(
        "UPDATE phone SET calls_per_day = 40, price = 12000 WHERE seq = 1;
         UPDATE trunk SET paused_until = {MADE} + 9000;
         UPDATE live SET reserve_s = 600, reserve_micros = 300000, price = 30000, day = 20223;
         INSERT INTO phone VALUES
           (2, {MADE}, 1, 4930222, 'simulated', 1, NULL, NULL, NULL, {MADE}, NULL, NULL),
           (3, {MADE}, 1, 4930222, 'simulated', 1, NULL, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO batch_number VALUES (1, 1, 3);
         INSERT INTO workspace VALUES (2, {MADE}, 'other', '{{}}', 1);
         INSERT INTO workspace_user VALUES (2, {MADE}, 2);
         INSERT INTO dispatch VALUES (2, 5);
         INSERT INTO dnc VALUES (1, {MADE}, 1, 49309, 1, zeroblob(16), NULL, NULL, NULL);"
    ))
    .unwrap();
}

fn fill_v4(path: &Path) {
    fill_v2(path);
    make_at(path, 4);
}

fn id<T>(of: fn(u32, u64) -> T, seq: u64) -> T {
    of(SECS, seq)
}

#[test]
fn a_database_of_version_1_goes_on() {
    updated(fill_v1, async |store, clock, _| goes_on_from_v1(store, clock).await);
}

#[test]
fn a_database_of_version_2_goes_on() {
    updated(fill_v2, async |store, _, _| goes_on_from_v2(store).await);
}

#[test]
fn a_database_of_version_4_goes_on() {
    updated(fill_v4, async |store, clock, _| goes_on_from_v4(store, clock).await);
}

/// A password goes with its trunk, and what ends a call with the call.
#[test]
fn nothing_is_kept_that_nobody_needs() {
    updated(fill_v1, async |store, clock, path| {
        let conn = connect(path, Role::Writer).unwrap();
        let count = |table: &str| {
            let text = format!("SELECT count(*) FROM {table}");
            conn.query_row(&text, [], |r| r.get::<_, i64>(0)).unwrap()
        };
        let ws = id(WorkspaceId::from_parts, 1);
        let trunk = store.trunk_create(ws, spec()).await.unwrap();
        store.trunk_update(ws, trunk.id, None, spec()).await.unwrap();
        assert_eq!(count("trunk_sip"), 1);
        store.trunk_delete(ws, trunk.id).await.unwrap();
        assert_eq!(count("trunk_sip"), 0);
        assert_eq!(count("trunk"), 2, "an attempt may name it");

        conn.execute("INSERT INTO attempt_dialog VALUES (2, 'd')", []).unwrap();
        let open = store.attempt_list_orphaned(10).await.unwrap().remove(0);
        assert_eq!(open.dialog.as_deref(), Some("d"));
        end_lost(store, open.attempt, clock).await;
        assert_eq!(count("attempt_dialog"), 0);
    });
}

fn spec() -> TrunkSpec {
    TrunkSpec {
        name: "t".into(),
        sip: SipSpec {
            host: "192.0.2.1".into(),
            port: None,
            transport: Transport::Tcp,
            username: Some("u".into()),
            password: Some(Secret("p".into())),
            from_domain: None,
            proxy: None,
            register: false,
            keep_alive: None,
            caller_id: CallerIdIn::From,
            plus: false,
            verify_tls: true,
        },
        limits: LineLimits::default(),
        ring_timeout: None,
        max_call_s: None,
    }
}

/// A database that was filled by an earlier version, opened by this one.
fn updated(fill: fn(&Path), work: impl AsyncFnOnce(&SqliteStore, &TestClock, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outdial.db");
    fill(&path);
    let clock = Arc::new(TestClock::default());
    let open = || {
        let clock: Arc<TestClock> = Arc::clone(&clock);
        SqliteStore::open(&path, OpenMode::Serve, clock, &TestEntropy::default())
    };
    drop(open().unwrap());
    let store = open().expect("twice: there is nothing left to change");
    let work = work(&store, &clock, &path);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    let conn = connect(&path, Role::Writer).unwrap();
    let broken = conn.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap();
    assert!(!broken, "a row names another that is not there");
}

async fn goes_on_from_v1(store: &SqliteStore, clock: &TestClock) {
    let (ws, batch) = (id(WorkspaceId::from_parts, 1), id(BatchId::from_parts, 1));
    let settings = store.settings_fetch(ws).await.unwrap();
    assert!(settings.do_not_call && settings.concurrency == Some(9));
    let record = store.batch_fetch(batch).await.unwrap().unwrap();
    let expected = BatchSettings { retry: 2, delay_s: 60, weight: 3, ..BatchSettings::default() };
    assert_eq!(record.settings, expected);
    let phone = store.phone_list(ws).await.unwrap().remove(0);
    assert_eq!(
        (phone.limits.channels, phone.limits.calls_per_day, phone.price),
        (Some(7), None, None)
    );
    let head = store.dispatch_head(ws, None).await.unwrap();
    assert_eq!((head.version, head.live, head.batches[0].spent), (41, 1, Spend::NONE));

    // Who was on the phone when the old version went away.
    let open = store.attempt_list_orphaned(10).await.unwrap().remove(0);
    assert_eq!((open.callee.digits(), open.reserve, open.price), (49_302, Spend::NONE, 0));
    end_lost(store, open.attempt, clock).await;

    // Both were called an hour ago, and that counts.
    let records = [49_301, 49_302].map(|n| ChunkRecord {
        phone: PhoneNumber::from_digits(n),
        class: Arc::from("Europe/Berlin"),
        fields: "{}".into(),
        blocked: None,
    });
    let chunk = ChunkAdd {
        request: id(RequestId::from_parts, 1),
        chunk_num: 1,
        batch,
        agent: (id(AgentId::from_parts, 1), 1),
        lane: ChunkLane::Current,
        auto_start: true,
        records: records.into(),
    };
    let old = store.call_add_chunk(chunk.clone()).await.unwrap();
    assert_eq!((old.updated, old.deferred, old.do_not_call), (2, 1, 0), "as version 1 stored it");
    store.call_add_chunk(ChunkAdd { chunk_num: 2, ..chunk }).await.unwrap();
    commit_one_per_day(store, ws).await;

    let new = NewDnc { phone: PhoneNumber::from_digits(49_301), batch, token: [1; 16], kind: None };
    store.dnc_add(ws, new).await.unwrap();
    let totals = store.batch_fetch(batch).await.unwrap().unwrap().totals;
    assert_eq!((totals.pending, totals.live, totals.finished), (1, 1, 1));
    assert_eq!(store.batch_close_due(10).await.unwrap(), [id(BatchId::from_parts, 2)]);
    assert_eq!(store.batch_expire_due(10).await.unwrap(), 0);
    assert_eq!(store.limits_prune(10).await.unwrap(), 0);
}

async fn goes_on_from_v2(store: &SqliteStore) {
    let (ws, trunk) = (id(WorkspaceId::from_parts, 1), id(TrunkId::from_parts, 1));
    let phones = store.phone_list(ws).await.unwrap();
    let kept: Vec<_> = phones.iter().map(|p| (p.id.seq(), &*p.trunks, p.price)).collect();
    assert_eq!(kept, [(1, &[trunk][..], Some(12_000)), (3, &[trunk], None)]);
    assert_eq!(phones[0].agent, Some(id(AgentId::from_parts, 1)));
    assert_eq!(
        (phones[0].limits.calls_per_second, phones[0].limits.channels),
        (Some(2.5), Some(7))
    );
    assert_eq!(phones[0].limits.calls_per_day, Some(40));

    let until = Timestamp::from_millis(MADE + 9000);
    let trunks = store.trunk_list(ws).await.unwrap();
    assert_eq!(trunks.len(), 1);
    assert_eq!((trunks[0].id, trunks[0].integration), (trunk, Integration::Simulated));
    assert_eq!((trunks[0].limits.channels, trunks[0].paused_until), (Some(500), Some(until)));
    assert_eq!((&trunks[0].spec, trunks[0].created_at), (&None, trunks[0].updated_at));
    assert_eq!(trunks[0].health, TrunkHealth::default());
    let trunks = store.trunk_list_all().await.unwrap();
    assert!(trunks.iter().all(|trunk| trunk.integration == Integration::Simulated));
    let head = store.dispatch_head(ws, None).await.unwrap();
    assert_eq!((head.version, head.live, head.numbers.len()), (41, 1, 2));
    assert!(head.numbers.iter().all(|n| n.trunks == [trunk]));
    let line = &head.trunks[0];
    assert_eq!((line.live, line.is_down, line.paused_until), (1, false, Some(until)));

    let open = store.attempt_list_orphaned(10).await.unwrap().remove(0);
    assert_eq!((open.trunk, open.integration, open.trunks), (trunk, Integration::Simulated, 1));
    assert_eq!((open.caller.digits(), open.send_by), (4_930_111, Timestamp::from_millis(MADE)));
    assert_eq!((open.ring_timeout, open.dialog), (None, None));
    assert_eq!((open.reserve.seconds, open.price), (600, 30_000));
    let listed =
        store.dnc_list(ws, DncListQuery { page: 1, limit: 9, search: None }).await.unwrap();
    assert_eq!(listed.entries.len(), 1);

    let other = id(WorkspaceId::from_parts, 2);
    // A workspace that had no trunk gets its simulated one, the other keeps its own.
    for (ws, number, has_trunk) in [(ws, 4_930_333, true), (other, 4_930_111, false)] {
        let number = PhoneNumber::from_digits(number);
        let integration = Integration::Simulated;
        let new = NewPhone { number, integration, trunks: Vec::new(), agent: None };
        let made = store.phone_create(ws, new).await.unwrap();
        assert_eq!(made.trunks.len(), 1);
        assert_eq!(made.trunks[0] == trunk, has_trunk);
    }
}

/// Nobody is told of what was before; what comes is told.
async fn goes_on_from_v4(store: &SqliteStore, clock: &TestClock) {
    let ws = id(WorkspaceId::from_parts, 1);
    assert_eq!(store.event_number(10).await.unwrap(), 0);
    let open = store.attempt_list_orphaned(10).await.unwrap().remove(0);
    end_lost(store, open.attempt, clock).await;
    assert_eq!(store.event_number(10).await.unwrap(), 2);
    let page = store.event_list(ws, 0, 10).await.unwrap();
    let kinds: Vec<_> = page.events.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [EventKind::CallAttempted, EventKind::CallFinished]);
    assert_eq!((page.oldest, page.latest), (1, 2));
    assert!(page.events[1].data.contains(&format!(r#""callId":"{}""#, open.call)));
    assert!(store.webhook_list(ws).await.unwrap().is_empty());
}

/// Ends an attempt of which nobody knows more.
async fn end_lost(store: &SqliteStore, attempt: AttemptId, clock: &TestClock) {
    let outcome = Outcome {
        disposition: Disposition::Unknown,
        fault: Fault::Local,
        retry: RetryClass::Never,
        reason: "process_died",
        charged: true,
        picked: false,
    };
    let end = AttemptEnd {
        state: AttemptState::Unknown,
        outcome,
        sip_status: None,
        sent_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at: clock.now(),
    };
    let next = CallNext::Finished(Disposition::Unknown);
    let done = store.attempt_finish(attempt, end, next, Settle::default()).await.unwrap();
    assert_eq!(done, FinishResult::Applied);
}

/// Whoever waits is called, but nobody twice a day.
async fn commit_one_per_day(store: &SqliteStore, ws: WorkspaceId) {
    let head = store.dispatch_head(ws, None).await.unwrap();
    let group = store.dispatch_groups(ws, None).await.unwrap()[0].key;
    let due = store.dispatch_candidates(&[Ask { group, limit: 9, after: None }]).await.unwrap();
    let intents = due.iter().map(|c| NewIntent {
        intent: Intent {
            call: c.call,
            batch: group.batch,
            callee: c.callee,
            facts: c.facts,
            lane: c.group.lane,
            class: c.group.class,
            caller: id(PhoneId::from_parts, 1),
            trunk: id(TrunkId::from_parts, 1),
            send_at: head.clock,
            send_by: head.clock,
            open_until: Timestamp::MAX,
            max_call_s: 600,
            day: Day(20_223),
            reserve: Spend { seconds: 600, micros: 5 },
            price: 3,
            attempts_24h: Some(1),
        },
        token: [2; 16],
    });
    let plan = NewPlan { intents: intents.collect(), ..NewPlan::default() };
    let out = store.attempt_commit_intents(ws, head.version, plan).await.unwrap();
    let callees: Vec<_> = out.committed.iter().map(|c| c.intent.intent.callee.digits()).collect();
    assert_eq!(callees, [49_303]);
    assert_eq!(out.dropped.len(), 2);
    assert!(out.dropped.iter().all(|d| d.reason == DropReason::AttemptsPerDay));
    let (_, call) = store.call_fetch(ws, out.dropped[0].call).await.unwrap().unwrap();
    let waiting = call.waiting.unwrap();
    let day = Duration::from_secs(24 * 3600) + SLOT;
    assert_eq!(waiting.not_before, Timestamp::from_millis(MADE).after(day));
    assert_eq!(waiting.reason, WaitReason::AttemptsPerDay);
}

/// Statements by name.
macro_rules! statements {
    ($($name:literal)*) => { [$(($name, sql!($name))),*] };
}

/// Every turn, every commit, every end of a call, every record of a chunk, every housekeeping.
#[test]
fn what_runs_often_is_found_by_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outdial.db");
    let clock = Arc::new(TestClock::default());
    drop(SqliteStore::open(&path, OpenMode::Tool, clock, &TestEntropy::default()).unwrap());
    let conn = connect(&path, Role::Reader).unwrap();
    let scans = |text: &str| {
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let lines = plan.raw_query().mapped(|r| r.get::<_, String>(3));
        lines.map(Result::unwrap).filter(|l| l.starts_with("SCAN")).collect::<Vec<_>>()
    };
    for (name, text) in statements! {
        "dispatch/head" "dispatch/batches" "dispatch/lanes" "dispatch/numbers" "dispatch/slots"
        "dispatch/live" "dispatch/used" "dispatch/pulses" "dispatch/placed" "dispatch/candidates"
        "dispatch/next_group" "dispatch/waiting" "dispatch/bump" "dispatch/bump_if"
        "attempt/batch_of_intent" "attempt/call_of_intent" "attempt/is_busy" "attempt/put_off"
        "attempt/go_live" "attempt/to_finish" "attempt/settings_of_batch" "attempt/finish"
        "attempt/release_number" "attempt/call_pending" "attempt/call_finished" "attempt/cancel"
        "attempt/open"
        "attempt/is_known" "attempt/record" "dnc/watch" "dnc/is_listed" "dnc/pending"
        "dnc/attempt_of" "dnc/list"
        "limits/person_after" "limits/person_prune"
        "dnc/count" "dnc/owner" "dnc/delete" "limits/person_nth" "limits/person_delete"
        "limits/number_give_back" "limits/pulse_clear" "limits/ever_resume" "limits/use_prune"
        "limits/pulse_prune" "limits/number_prune" "batch/expiring" "batch/some_pending"
        "batch/pause" "batch/lock" "call/finish_pending" "call/existing" "call/take_deferred"
        "call/give_up_retries" "call/shift_retries" "limits/end_rests" "batch/set_brake"
        "batch/clear_brake" "dispatch/trunks" "attempt/keep_dialog" "attempt/forget_dialog"
        "trunk/fetch" "trunk/list" "trunk/named" "trunk/has_number" "trunk/set_health"
        "phone/trunks" "phone/drop_trunks"
        "outbox/finished" "outbox/batch" "event/call" "event/latest" "event/list" "event/old"
        "event/alone" "event/pruned" "webhook/endpoints" "webhook/count" "webhook/list"
        "webhook/fetch" "delivery/sequence" "delivery/due" "delivery/job" "delivery/record"
        "delivery/list" "delivery/count" "delivery/tries" "delivery/replay" "delivery/over"
        "delivery/of_the_gone" "delivery/insert_try" "batch/active"
        "import/fetch" "import/drop_of_request" "import/open_request" "import/prune_fields"
        "import/prune_calls" "call/runs_after"
    } {
        let scans = scans(text);
        let no_table = |l: &String| l == "SCAN q" || l == "SCAN CONSTANT ROW";
        assert!(scans.iter().all(no_table), "{name}: {scans:?}");
    }
    // What these read whole is small: what is on the phone, what is open, the first few rows.
    for (name, text, read) in [
        ("attempt/recalled", sql!("attempt/recalled"), "SCAN l"),
        ("attempt/orphaned", sql!("attempt/orphaned"), "SCAN a USING INDEX attempt_open"),
        ("batch/closable", sql!("batch/closable"), "SCAN b USING INDEX batch_closable"),
        ("trunk/list_all", sql!("trunk/list_all"), "SCAN t"),
        ("outbox/take", sql!("outbox/take"), "SCAN o"),
    ] {
        assert_eq!(scans(text), [read], "{name}");
    }
    // All endpoints, whether by an index or not, and of each the first.
    for (name, text) in statements! {
        "delivery/waiting" "delivery/oldest_due" "delivery/nobodys"
    } {
        let scans = scans(text);
        assert!(scans.iter().all(|l| l.starts_with("SCAN w")), "{name}: {scans:?}");
    }
}
