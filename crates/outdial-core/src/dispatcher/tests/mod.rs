//! Goal: whatever the view, a plan keeps every limit, calls only what is due and inside hours,
//! shares by weight, and says when to look again, and what holds the rest back. Method: small
//! worlds and random ones.

mod basics;
mod failover;
mod fairness;
mod gates;
mod limits;
mod model;

use std::sync::Arc;

use super::*;
use crate::batch::{BatchSettings, PauseReason};
use crate::call::CallFacts;
use crate::id::{PhoneId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::zone::{Class, Zone};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn turn(turn_limit: u32) -> Turn {
    Turn { now: NOW, lead: Duration::from_millis(50), node_free: 10_000, turn_limit }
}

fn batch_id(n: u64) -> BatchId {
    BatchId::from_parts(1, n)
}

fn batch_head(n: u64, settings: BatchSettings, numbers: &[u64]) -> BatchHead {
    BatchHead {
        id: batch_id(n),
        settings: Arc::new(settings),
        numbers: numbers.iter().map(|n| PhoneId::from_parts(1, *n)).collect(),
        lane: None,
        live: 0,
        spent: crate::budget::Spend::NONE,
        spent_by_day: Vec::new(),
        pulse: crate::brake::Pulse::default(),
        pulse_ever: crate::brake::Pulse::default(),
        brake: Default::default(),
    }
}

fn number(n: u64, limits: LineLimits) -> NumberHead {
    NumberHead {
        id: PhoneId::from_parts(1, n),
        number: PhoneNumber::from_digits(n),
        trunks: vec![TrunkId::from_parts(1, 1)],
        limits,
        live: 0,
        slots: Vec::new(),
        price: None,
        placed_by_day: Vec::new(),
    }
}

fn head(batches: Vec<BatchHead>, numbers: Vec<NumberHead>, trunk: LineLimits) -> Head {
    let id = TrunkId::from_parts(1, 1);
    Head {
        workspace: WorkspaceId::from_parts(1, 1),
        version: 1,
        clock: NOW,
        concurrency: None,
        live: 0,
        rules: crate::settings::CallingRules::Off,
        zone: Zone::utc(),
        attempts_24h: None,
        brakes: crate::brake::BrakeSettings::default(),
        batches,
        numbers,
        trunks: vec![TrunkHead {
            id,
            limits: trunk,
            live: 0,
            slots: vec![],
            paused_until: None,
            is_down: false,
            max_call_s: None,
        }],
    }
}

fn group(batch: u64, is_retry: bool, zones: &Class) -> Group {
    Group {
        key: GroupKey { batch: batch_id(batch), lane: 0, class: 1, is_retry },
        zones: Arc::new(zones.clone()),
        next_due: NOW,
    }
}

/// A store with `waiting` due calls in every group.
fn answer(asks: &[Ask], waiting: u64) -> Vec<Candidate> {
    let mut found = Vec::new();
    for ask in asks {
        let base = ask.group.batch.seq() * 1_000_000 + u64::from(ask.group.is_retry) * 500_000;
        let after = ask.after.map_or(0, |(_, call)| call.seq() - base + 1);
        for n in (after..waiting).take(ask.limit as usize) {
            found.push(Candidate {
                group: ask.group,
                call: CallId::from_parts(1, base + n),
                callee: PhoneNumber::from_digits(base + n),
                not_before: NOW,
                facts: CallFacts { round: 1, ..CallFacts::default() },
            });
        }
    }
    found
}

fn run(d: &mut Dispatcher, head: &Head, groups: &[Group], turn: &Turn, waiting: u64) -> Plan {
    let asks = d.ask(head, groups, turn);
    let candidates = answer(&asks, waiting);
    d.plan(head, groups, &asks, &candidates, turn)
}

fn utc() -> Class {
    Class::new([Zone::utc()])
}
