//! What is to be looked at though the records were stored: people who can never be called, calling
//! rules that allow less than the batch's hours, and a batch that has expired.
//!
//! A batch without hours of its own asks for nothing that a rule could narrow, so it is not warned
//! about rules.

use std::collections::BTreeMap;

use outdial_core::contact::{Checker, ClassId, Never};
use outdial_core::rules::{self, Rule};
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Place};

use super::answer::Warning;
use super::terms::Terms;

/// Most classes that are compared with the rules; a list has dozens, and each costs up to some
/// milliseconds where a person may be anywhere in a continent.
const COMPARED_MAX: usize = 1000;

/// The warnings about these records, counted by class; `closed`: the classes never called.
pub(crate) fn warnings(
    records: &BTreeMap<ClassId, u64>,
    closed: &BTreeMap<ClassId, Never>,
    checker: &Checker,
    terms: &Terms,
) -> Vec<Warning> {
    let mut never: BTreeMap<Never, u64> = BTreeMap::new();
    for (class, count) in records {
        if let Some(why) = closed.get(class) {
            *never.entry(*why).or_default() += count;
        }
    }
    let never = never.into_iter().map(|(why, count)| Warning {
        code: why.as_str(),
        count,
        message: why.advice().to_owned(),
        place: None,
    });
    let open = records.iter().filter(|(class, _)| !closed.contains_key(class));
    let narrowed = narrowed(open, checker, terms);
    let narrowed = narrowed.into_values().map(|(rule, count)| Warning {
        code: "calling_rules",
        count,
        message: message(rule, terms.at),
        place: Some(rule.place().to_string()),
    });
    never.chain(narrowed).chain(expired(records, closed, terms)).collect()
}

/// That the batch has expired: whoever is not skipped ends as `expired`.
fn expired(
    records: &BTreeMap<ClassId, u64>,
    closed: &BTreeMap<ClassId, Never>,
    terms: &Terms,
) -> Option<Warning> {
    let expired_at = terms.expires_at.filter(|at| *at <= terms.at)?;
    let open = records.iter().filter(|(class, _)| !closed.contains_key(class));
    let count: u64 = open.map(|(_, count)| count).sum();
    let message = format!(
        "the batch expired at {expired_at}: these calls end as `expired`, nobody is called; PATCH \
         /api/call/batch/{{id}} with a later expiresAt, or null, and add them again"
    );
    (count > 0).then_some(Warning { code: "expired", count, message, place: None })
}

/// The rules that allow less than the batch's hours, and for how many records.
fn narrowed<'a>(
    records: impl Iterator<Item = (&'a ClassId, &'a u64)>,
    checker: &Checker,
    terms: &Terms,
) -> BTreeMap<Place, (&'static Rule, u64)> {
    let mut found: BTreeMap<Place, (&'static Rule, u64)> = BTreeMap::new();
    if terms.calling_rules == CallingRules::Off || terms.hours.is_always() {
        return found;
    }
    for (id, count) in records.take(COMPARED_MAX) {
        let Ok(class) = checker.class_text(*id).parse::<Class>() else { continue };
        for rule in rules::narrowing(&terms.hours, &class, terms.at) {
            found.entry(rule.place()).or_insert((rule, 0)).1 += count;
        }
    }
    found
}

fn message(rule: &Rule, at: Timestamp) -> String {
    let citations: Vec<&str> = rule.citations().iter().map(|c| c.text.as_str()).collect();
    format!(
        "{}: the calling rules allow less than the batch's hours: {} ({}); these calls wait for \
         the hours that both allow",
        rule.name(),
        rule.hours_at(at),
        citations.join("; ")
    )
}
