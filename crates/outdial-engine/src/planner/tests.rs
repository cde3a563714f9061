//! Planning with a dispatcher that panics at what a test names; never what the core decides.

use std::cell::RefCell;
use std::sync::Arc;

use outdial_core::batch::BatchSettings;
use outdial_core::brake::{BrakeSettings, BrakeState, Pulse};
use outdial_core::budget::Spend;
use outdial_core::call::CallFacts;
use outdial_core::dispatcher::{BatchHead, LineLimits, NumberHead, TrunkHead};
use outdial_core::id::{BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Zone};
use proptest::prelude::*;

use super::*;

/// What panics.
#[derive(Default)]
struct Defects {
    calls: BTreeSet<u64>,
    classes: BTreeSet<u32>,
    /// The class only once there is somebody to plan.
    classes_at_plan: BTreeSet<u32>,
    pair: Option<(u64, u64)>,
    everything: bool,
}

thread_local! {
    static DEFECTS: RefCell<Defects> = RefCell::default();
}

fn break_by(defects: Defects) {
    DEFECTS.set(defects);
}

/// The dispatcher with these defects.
#[derive(Default)]
struct Touchy(Dispatcher);

impl Decide for Touchy {
    fn ask(&mut self, head: &Head, groups: &[Group], turn: &Turn) -> Vec<Ask> {
        DEFECTS.with_borrow(|d| {
            assert!(!d.everything, "everything");
            assert!(!groups.iter().any(|g| d.classes.contains(&g.key.class)), "class");
        });
        self.0.ask(head, groups, turn)
    }

    fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
    ) -> Plan {
        let has = |n: u64| candidates.iter().any(|c| c.call.seq() == n);
        DEFECTS.with_borrow(|d| {
            assert!(!d.everything, "everything");
            assert!(!groups.iter().any(|g| d.classes.contains(&g.key.class)), "class");
            let of = |c: &Candidate| d.classes_at_plan.contains(&c.group.class);
            assert!(!candidates.iter().any(of), "class at plan");
            assert!(!d.calls.iter().any(|n| has(*n)), "call");
            assert!(!d.pair.is_some_and(|(a, b)| has(a) && has(b)), "pair");
        });
        self.0.plan(head, groups, asks, candidates, turn)
    }

    fn forget_cursors(&mut self) {
        self.0.forget_cursors();
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_772_463_600_000);
const TURN: Turn =
    Turn { now: NOW, lead: Duration::from_millis(10), node_free: 900, turn_limit: 900 };

fn secs(s: u64) -> Monotonic {
    Monotonic(Duration::from_secs(s))
}

fn batch() -> BatchId {
    BatchId::from_parts(1, 1)
}

fn head() -> Head {
    let (trunk, number) = (TrunkId::from_parts(1, 1), PhoneId::from_parts(1, 1));
    let batch = BatchHead {
        id: batch(),
        settings: Arc::new(BatchSettings::default()),
        numbers: vec![number],
        lane: None,
        live: 0,
        spent: Spend::NONE,
        spent_by_day: vec![],
        pulse: Pulse::default(),
        pulse_ever: Pulse::default(),
        brake: BrakeState::default(),
    };
    let number = NumberHead {
        id: number,
        number: PhoneNumber::from_digits(12_125_550_000),
        trunks: vec![trunk],
        limits: LineLimits::default(),
        live: 0,
        slots: vec![],
        price: None,
        placed_by_day: vec![],
    };
    let limits = LineLimits::default();
    Head {
        workspace: WorkspaceId::from_parts(1, 1),
        version: 1,
        clock: NOW,
        concurrency: None,
        live: 0,
        rules: CallingRules::Off,
        zone: Zone::utc(),
        attempts_24h: None,
        brakes: BrakeSettings::default(),
        batches: vec![batch],
        numbers: vec![number],
        trunks: vec![TrunkHead {
            id: trunk,
            limits,
            live: 0,
            slots: vec![],
            paused_until: None,
            is_down: false,
            max_call_s: None,
        }],
    }
}

fn key(class: u32) -> GroupKey {
    GroupKey { batch: batch(), lane: 0, class, is_retry: false }
}

fn group(class: u32) -> Group {
    Group { key: key(class), zones: Arc::new(Class::new([Zone::utc()])), next_due: NOW }
}

fn contact(class: u32, n: u64) -> Candidate {
    Candidate {
        group: key(class),
        call: CallId::from_parts(1, n),
        callee: PhoneNumber::from_digits(12_125_550_000 + n),
        not_before: NOW,
        facts: CallFacts { round: 1, ..CallFacts::default() },
    }
}

/// What a turn at `at` places of these contacts of these classes.
fn placed(
    planner: &mut Planner<Touchy>,
    groups: &[Group],
    contacts: &[Candidate],
    at: Monotonic,
) -> Vec<u64> {
    let head = head();
    planner.forget_cursors();
    let asks = planner.ask(&head, groups, &TURN, at).unwrap();
    let read: Vec<Candidate> =
        contacts.iter().filter(|c| asks.iter().any(|a| a.group == c.group)).copied().collect();
    let plan = planner.plan(&head, groups, &asks, &read, &TURN, at).unwrap();
    plan.intents.iter().map(|i| i.call.seq()).collect()
}

fn contacts(class: u32, all: impl Iterator<Item = u64>) -> Vec<Candidate> {
    all.map(|n| contact(class, n)).collect()
}

#[test]
fn a_contact_that_panics_alone_is_left_out_and_hopeless_the_third_time() {
    break_by(Defects { calls: BTreeSet::from([7]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let all = contacts(1, 0..40);
    let others: Vec<u64> = (0..40).filter(|n| *n != 7).collect();
    for turn in 0..3 {
        assert!(planner.hopeless().is_empty(), "{turn}");
        let at = secs(5 * turn);
        assert_eq!(placed(&mut planner, &[group(1)], &all, at), others);
        // Within the next seconds it is not tried, and does not count again.
        assert_eq!(placed(&mut planner, &[group(1)], &all, secs(5 * turn + 4)), others);
    }
    assert_eq!(planner.hopeless(), [CallId::from_parts(1, 7)]);
    assert_eq!(placed(&mut planner, &[group(1)], &all, secs(100)), others);
    planner.given_up(CallId::from_parts(1, 7));
    assert!(planner.hopeless().is_empty());
}

#[test]
fn who_is_planned_after_all_is_not_to_blame() {
    break_by(Defects { calls: BTreeSet::from([7]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let all = contacts(1, 0..10);
    for at in [0, 5] {
        assert_eq!(placed(&mut planner, &[group(1)], &all, secs(at)).len(), 9);
    }
    break_by(Defects::default());
    assert_eq!(placed(&mut planner, &[group(1)], &all, secs(10)).len(), 10);
    break_by(Defects { calls: BTreeSet::from([7]), ..Defects::default() });
    assert_eq!(placed(&mut planner, &[group(1)], &all, secs(15)).len(), 9);
    assert!(planner.hopeless().is_empty(), "it is the first time again");
}

#[test]
fn the_only_one_of_its_group_is_given_up_too() {
    break_by(Defects { calls: BTreeSet::from([7]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    for at in [0, 5, 10] {
        assert!(placed(&mut planner, &[group(1)], &[contact(1, 7)], secs(at)).is_empty());
    }
    assert_eq!(planner.hopeless().len(), 1);
}

#[test]
fn a_group_that_panics_waits_a_minute_and_its_contacts_are_not_given_up() {
    for at_plan in [false, true] {
        let of = |yes: bool| BTreeSet::from_iter(yes.then_some(2));
        let defects = || Defects {
            classes: of(!at_plan),
            classes_at_plan: of(at_plan),
            ..Defects::default()
        };
        break_by(defects());
        let mut planner = Planner::<Touchy>::default();
        let groups = [group(1), group(2), group(3)];
        // The dispatcher asks for two groups of a batch at once.
        let all: Vec<Candidate> = (1..=3)
            .flat_map(|class| contacts(class, (0..5).map(|n| n * 10 + u64::from(class))))
            .collect();
        let mut seen = BTreeSet::new();
        for second in 0..60 {
            seen.extend(placed(&mut planner, &groups, &all, secs(second)).iter().map(|n| n % 10));
            let left = all.iter().filter(|c| !seen.contains(&(c.call.seq() % 10)));
            if left.clone().all(|c| c.group.class == 2) {
                break;
            }
        }
        assert!(!seen.contains(&2) && seen.contains(&1), "{at_plan} {seen:?}");
        assert!(planner.hopeless().is_empty());
        break_by(Defects::default());
        let two = contacts(2, (0..5).map(|n| n * 10 + 2));
        assert!(placed(&mut planner, &[group(2)], &two, secs(59)).is_empty());
        assert_eq!(placed(&mut planner, &[group(2)], &two, secs(120)).len(), 5);
    }
}

#[test]
fn two_that_panic_only_together_are_both_planned_in_time() {
    break_by(Defects { pair: Some((3, 4)), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let all = contacts(1, 0..10);
    let first = placed(&mut planner, &[group(1)], &all, secs(0));
    assert_eq!(first.len(), 9);
    let left: Vec<Candidate> = all.into_iter().filter(|c| !first.contains(&c.call.seq())).collect();
    assert_eq!(placed(&mut planner, &[group(1)], &left, secs(0)).len(), 1);
    assert!(planner.hopeless().is_empty());
}

#[test]
fn nobody_is_blamed_for_a_view_that_panics() {
    break_by(Defects { everything: true, ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    assert!(planner.ask(&head(), &[group(1)], &TURN, secs(0)).is_err());
    let all = contacts(1, 0..10);
    assert!(planner.plan(&head(), &[group(1)], &[], &all, &TURN, secs(0)).is_err());
    break_by(Defects::default());
    assert_eq!(placed(&mut planner, &[group(1)], &all, secs(0)).len(), 10);
}

#[test]
fn a_group_with_one_left_out_is_read_on_not_taken_for_empty() {
    break_by(Defects { calls: BTreeSet::from([0]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let (head, groups) = (head(), [group(1)]);
    let all = contacts(1, 0..2000);
    let asks = planner.ask(&head, &groups, &TURN, secs(0)).unwrap();
    let limit = asks[0].limit as usize;
    assert!(limit < all.len());
    let plan = planner.plan(&head, &groups, &asks, &all[..limit], &TURN, secs(0)).unwrap();
    assert_eq!(plan.intents.len(), limit - 1);
    let asks = planner.ask(&head, &groups, &TURN, secs(0)).unwrap();
    assert_eq!(asks[0].after, Some((NOW, all[limit - 1].call)));
}

/// What turn after turn places of these contacts, one call at a time, as a store reads them: so
/// many as are asked for, behind the cursor. Each turn `step` seconds after the one before.
fn placed_one_by_one(
    planner: &mut Planner<Touchy>,
    contacts: &mut Vec<Candidate>,
    (from, step, turns): (u64, u64, u64),
) -> Vec<u64> {
    let (head, turn) = (head(), Turn { node_free: 1, ..TURN });
    let mut placed = Vec::new();
    for n in 0..turns {
        let at = secs(from + step * n);
        planner.forget_cursors();
        let asks = planner.ask(&head, &[group(1)], &turn, at).unwrap();
        let mut read = Vec::new();
        for ask in &asks {
            let behind = |c: &&Candidate| ask.after.is_none_or(|a| (c.not_before, c.call) > a);
            read.extend(contacts.iter().filter(behind).take(ask.limit as usize).copied());
        }
        let plan = planner.plan(&head, &[group(1)], &asks, &read, &turn, at).unwrap();
        for intent in &plan.intents {
            contacts.retain(|c| c.call != intent.call);
            placed.push(intent.call.seq());
        }
    }
    placed
}

#[test]
fn who_is_left_out_is_read_past_where_there_is_room_for_one() {
    break_by(Defects { calls: BTreeSet::from([0, 1, 5]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let mut all = contacts(1, 0..10);
    // All of it before any of them is tried again.
    let placed = placed_one_by_one(&mut planner, &mut all, (0, 0, 20));
    assert_eq!(placed, [2, 3, 4, 6, 7, 8, 9]);
}

/// They are what is left when all others have been called.
#[test]
fn several_that_panic_are_given_up_though_nobody_else_of_their_group_is_left() {
    break_by(Defects { calls: BTreeSet::from([3, 4, 5]), ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let mut all = contacts(1, 0..10);
    for at in [0, 5, 10] {
        assert!(planner.hopeless().is_empty(), "{at}");
        let placed = placed(&mut planner, &[group(1)], &all, secs(at));
        all.retain(|c| !placed.contains(&c.call.seq()));
        assert_eq!(all.len(), 3, "{at}");
    }
    assert_eq!(planner.hopeless().len(), 3);
}

#[test]
fn contacts_of_a_group_that_panics_are_not_given_up_where_there_is_room_for_one() {
    let classes_at_plan = BTreeSet::from([1]);
    break_by(Defects { classes_at_plan, ..Defects::default() });
    let mut planner = Planner::<Touchy>::default();
    let mut all = contacts(1, 0..10);
    for from in 0..120 {
        assert!(placed_one_by_one(&mut planner, &mut all, (from, 1, 1)).is_empty());
        assert!(planner.hopeless().is_empty(), "after {from} s");
    }
}

#[test]
fn a_dispatcher_that_panicked_is_made_anew_though_nothing_could_be_planned() {
    let mut planner = Planner::<Touchy>::default();
    let (head, turn) = (head(), Turn { node_free: 5, ..TURN });
    let all = contacts(1, 0..10);
    let asked =
        |planner: &mut Planner<Touchy>| planner.ask(&head, &[group(1)], &turn, secs(0)).unwrap();
    let asks = asked(&mut planner);
    let read = &all[..asks[0].limit as usize];
    drop(planner.plan(&head, &[group(1)], &asks, read, &turn, secs(0)).unwrap());
    let asks = asked(&mut planner);
    assert!(asks[0].after.is_some());
    break_by(Defects { everything: true, ..Defects::default() });
    assert!(planner.plan(&head, &[group(1)], &asks, &all, &turn, secs(0)).is_err());
    break_by(Defects::default());
    assert_eq!(asked(&mut planner)[0].after, None, "it remembers nothing");
}

proptest! {
    /// Whatever of them is bad: no good one is called bad, what is called good passes, and of few
    /// bad ones all are found.
    #[test]
    fn what_is_bad_is_found(
        bad in proptest::collection::btree_set(0_u32..500, 0..40),
        n in 0_u32..500,
    ) {
        let items: Vec<u32> = (0..n).collect();
        let mut tries = 0;
        let sifted = sift(&items, &mut |some: &[u32]| {
            tries += 1;
            !some.iter().any(|item| bad.contains(item))
        });
        let sifted = sifted.unwrap();
        prop_assert!(sifted.bad.iter().all(|item| bad.contains(item)));
        prop_assert!(!sifted.good.iter().any(|item| bad.contains(item)));
        prop_assert!(tries <= TRIES + 1);
        let present = bad.iter().filter(|b| **b < n).count();
        if present <= 3 {
            prop_assert_eq!(sifted.bad.len(), present);
            prop_assert_eq!(sifted.good.len(), items.len() - present);
        }
        prop_assert!(present == 0 || !sifted.bad.is_empty());
    }
}
