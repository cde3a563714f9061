//! Planning that survives a panic in a decision. The core is asked inside `catch_unwind`; what
//! panics alone is found by planning with less, and set aside: a contact for a few seconds, and for
//! ever the third time; a group for a minute. Everybody else is planned.
//!
//! Decides nothing but whom to leave out. A dispatcher that panicked is never asked again: it is
//! made anew, which is always safe.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use outdial_core::dispatcher::{Ask, Candidate, Dispatcher, Group, GroupKey, Head, Plan, Turn};
use outdial_core::id::CallId;
use outdial_ports::store::StoreError;
use outdial_ports::{Monotonic, failpoint_of};

/// A contact whose decision panicked so often is given up.
const TIMES_MAX: u32 = 3;
/// Left out for so long, so that three times are not three tries of one moment.
const CONTACT_ASIDE: Duration = Duration::from_secs(5);
/// A group whose decision panics is left out for so long. It is never given up: its contacts are
/// not to blame.
const GROUP_ASIDE: Duration = Duration::from_secs(60);
/// What has not panicked for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// One turn tries so many plans to find what panics; what it has not looked at waits for the next.
const TRIES: u32 = 64;
/// Where somebody is left out, so many more are read: others to go on with, and to compare with.
const BESIDE: u32 = 16;

/// Whoever decides: the dispatcher, but for tests.
pub(crate) trait Decide: Default {
    fn ask(&mut self, head: &Head, groups: &[Group], turn: &Turn) -> Vec<Ask>;
    fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
    ) -> Plan;
    fn forget_cursors(&mut self);
}

impl Decide for Dispatcher {
    fn ask(&mut self, head: &Head, groups: &[Group], turn: &Turn) -> Vec<Ask> {
        Self::ask(self, head, groups, turn)
    }

    fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
    ) -> Plan {
        for candidate in candidates {
            failpoint_of("engine.deciding", || candidate.callee.to_string());
        }
        Self::plan(self, head, groups, asks, candidates, turn)
    }

    fn forget_cursors(&mut self) {
        Self::forget_cursors(self);
    }
}

/// The planner of one workspace: a dispatcher, and whom it is not asked about.
#[derive(Default)]
pub(crate) struct Planner<D = Dispatcher> {
    dispatcher: D,
    contacts: BTreeMap<(GroupKey, CallId), Aside>,
    groups: BTreeMap<GroupKey, Aside>,
}

/// Something whose decision panicked.
struct Aside {
    /// How often.
    times: u32,
    /// Left out until then.
    until: Monotonic,
    /// Of a contact: another of its group could be planned when it could not.
    proved: bool,
}

impl Aside {
    fn is_forgotten(&self, at: Monotonic) -> bool {
        at >= self.until.after(FORGOTTEN)
    }
}

/// It panics whoever is left out.
#[derive(Debug)]
pub(crate) struct Unplannable;

impl From<Unplannable> for StoreError {
    fn from(Unplannable: Unplannable) -> Self {
        Self::Internal("planning panics, whoever is left out".to_owned())
    }
}

impl<D: Decide> Planner<D> {
    /// As of [`Dispatcher::forget_cursors`].
    pub(crate) fn forget_cursors(&mut self) {
        self.dispatcher.forget_cursors();
    }

    /// As of [`Dispatcher::ask`], at the instant `at`.
    pub(crate) fn ask(
        &mut self,
        head: &Head,
        groups: &[Group],
        turn: &Turn,
        at: Monotonic,
    ) -> Result<Vec<Ask>, Unplannable> {
        let mut groups = self.groups_left(groups, at);
        if let Some(asks) = self.decide(|d| d.ask(head, &groups, turn)) {
            return Ok(self.widened(asks));
        }
        let asks = |d: &mut D, some: &[Group]| d.ask(head, some, turn);
        groups = self.sift_groups(&groups, at, asks)?.into();
        let asks = self.decide(|d| d.ask(head, &groups, turn)).ok_or(Unplannable)?;
        Ok(self.widened(asks))
    }

    /// As of [`Dispatcher::plan`], at the instant `at`.
    pub(crate) fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
        at: Monotonic,
    ) -> Result<Plan, Unplannable> {
        let mut groups = self.groups_left(groups, at);
        let mut left = self.candidates_left(candidates, at);
        let read = without(asks, candidates, &left);
        if let Some(plan) = self.decide(|d| d.plan(head, &groups, &read, &left, turn)) {
            self.forget(&plan);
            return Ok(plan);
        }
        let nobody = |d: &mut D, some: &[Group]| d.plan(head, some, &[], &[], turn);
        groups = self.sift_groups(&groups, at, nobody)?.into();
        let mut plans = |some: &[Candidate]| {
            caught(|| D::default().plan(head, &groups, asks, some, turn)).is_some()
        };
        let sifted = sift(&left, &mut plans)?;
        self.blame(&sifted, at, &mut plans);
        left = self.candidates_left(&sifted.good, at).into_owned().into();
        let read = without(asks, candidates, &left);
        self.decide(|d| d.plan(head, &groups, &read, &left, turn)).ok_or(Unplannable)
    }

    /// Contacts that are to be given up: nobody will ever be able to decide about them.
    pub(crate) fn hopeless(&self) -> Vec<CallId> {
        let hopeless = self.contacts.iter().filter(|(_, aside)| aside.times >= TIMES_MAX);
        hopeless.map(|((_, call), _)| *call).collect()
    }

    /// One of them is given up.
    pub(crate) fn given_up(&mut self, call: CallId) {
        self.contacts.retain(|(_, known), _| *known != call);
    }

    /// What the dispatcher says, unless it panics: then there is another one.
    fn decide<T>(&mut self, asked: impl FnOnce(&mut D) -> T) -> Option<T> {
        let said = caught(|| asked(&mut self.dispatcher));
        if said.is_none() {
            self.dispatcher = D::default();
        }
        said
    }

    /// Who is left out is read past: else a group of which one contact is read at a time would wait
    /// for that one.
    fn widened(&self, mut asks: Vec<Ask>) -> Vec<Ask> {
        for ask in asks.iter_mut().filter(|_| !self.contacts.is_empty()) {
            let known = self.contacts.keys().filter(|(group, _)| *group == ask.group).count();
            if known > 0 {
                let more = u32::try_from(known).unwrap_or(u32::MAX).saturating_add(BESIDE);
                ask.limit = ask.limit.saturating_add(more);
            }
        }
        asks
    }

    fn groups_left<'g>(&self, groups: &'g [Group], at: Monotonic) -> Cow<'g, [Group]> {
        let is_aside = |key| self.groups.get(key).is_some_and(|aside| at < aside.until);
        if self.groups.is_empty() || !groups.iter().any(|g| is_aside(&g.key)) {
            return Cow::Borrowed(groups);
        }
        groups.iter().filter(|g| !is_aside(&g.key)).cloned().collect()
    }

    fn candidates_left<'c>(&self, all: &'c [Candidate], at: Monotonic) -> Cow<'c, [Candidate]> {
        let is_aside = |c: &Candidate| {
            let contact = self.contacts.get(&(c.group, c.call));
            let group = self.groups.get(&c.group);
            contact.is_some_and(|a| at < a.until || a.times >= TIMES_MAX)
                || group.is_some_and(|a| at < a.until)
        };
        if (self.contacts.is_empty() && self.groups.is_empty()) || !all.iter().any(is_aside) {
            return Cow::Borrowed(all);
        }
        all.iter().filter(|c| !is_aside(c)).copied().collect()
    }

    /// Those groups about which `asked` can be asked; the others are set aside.
    fn sift_groups<T>(
        &mut self,
        groups: &[Group],
        at: Monotonic,
        asked: impl Fn(&mut D, &[Group]) -> T,
    ) -> Result<Vec<Group>, Unplannable> {
        let mut passes = |some: &[Group]| caught(|| asked(&mut D::default(), some)).is_some();
        let sifted = sift(groups, &mut passes)?;
        for group in sifted.bad {
            self.set_group_aside(group.key, at);
        }
        Ok(sifted.good)
    }

    /// Sets aside what is to blame: a contact that panics alone; but its group, if of several that
    /// are not known to be to blame nobody can be planned alone.
    fn blame(
        &mut self,
        sifted: &Sifted<Candidate>,
        at: Monotonic,
        plans: &mut impl FnMut(&[Candidate]) -> bool,
    ) {
        let mut suspects: BTreeMap<GroupKey, Vec<CallId>> = BTreeMap::new();
        for bad in &sifted.bad {
            // Together with others only: it has its turn without them.
            if !plans(std::slice::from_ref(bad)) {
                suspects.entry(bad.group).or_default().push(bad.call);
            }
        }
        for (group, calls) in suspects {
            let another = sifted.good.iter().find(|c| c.group == group);
            let proved = another.is_some_and(|another| plans(std::slice::from_ref(another)));
            let doubtful = self.doubtful(group, calls.iter().copied(), at);
            if !proved && doubtful + usize::from(another.is_some()) > 1 {
                self.set_group_aside(group, at);
                continue;
            }
            for call in calls {
                self.set_contact_aside(call, group, proved, at);
            }
        }
    }

    /// How many of a group have panicked alone, now (these) or lately, of whom it is not known
    /// whether they are to blame or their group is.
    fn doubtful(&self, group: GroupKey, now: impl Iterator<Item = CallId>, at: Monotonic) -> usize {
        let of_group = self.contacts.iter().filter(|((of, _), _)| *of == group);
        let (mut proved, mut doubtful) = (BTreeSet::new(), now.collect::<BTreeSet<CallId>>());
        for ((_, call), aside) in of_group {
            if aside.proved {
                proved.insert(*call);
            } else if !aside.is_forgotten(at) {
                doubtful.insert(*call);
            }
        }
        doubtful.difference(&proved).count()
    }

    fn set_contact_aside(&mut self, call: CallId, group: GroupKey, proved: bool, at: Monotonic) {
        let aside = set_aside(&mut self.contacts, (group, call), at, CONTACT_ASIDE);
        aside.proved |= proved;
        let (batch, times) = (group.batch, aside.times);
        match times {
            1 => tracing::error!(%call, %batch, "a decision panics: this contact is left out"),
            _ => tracing::debug!(%call, %batch, times, "a decision panics again"),
        }
    }

    fn set_group_aside(&mut self, group: GroupKey, at: Monotonic) {
        let times = set_aside(&mut self.groups, group, at, GROUP_ASIDE).times;
        let GroupKey { batch, lane, class, is_retry } = group;
        match times {
            1 => tracing::error!(%batch, lane, class, is_retry,
                "a decision panics: the contacts of this class wait for a minute, again and again"),
            _ => tracing::debug!(%batch, lane, class, is_retry, times, "a decision panics again"),
        }
    }

    /// Whom a plan places is not to blame.
    fn forget(&mut self, plan: &Plan) {
        if !self.contacts.is_empty() {
            let placed: BTreeSet<CallId> = plan.intents.iter().map(|i| i.call).collect();
            self.contacts.retain(|(_, call), _| !placed.contains(call));
        }
    }
}

/// Once more.
fn set_aside<K: Ord>(
    all: &mut BTreeMap<K, Aside>,
    key: K,
    at: Monotonic,
    lasts: Duration,
) -> &mut Aside {
    all.retain(|_, aside| !aside.is_forgotten(at));
    let aside = all.entry(key).or_insert(Aside { times: 0, until: at, proved: false });
    aside.times += 1;
    aside.until = at.after(lasts);
    aside
}

/// What was asked, less what was read and left out: else a group would seem to have no more due.
fn without<'a>(asks: &'a [Ask], read: &[Candidate], left: &[Candidate]) -> Cow<'a, [Ask]> {
    if read.len() == left.len() {
        return Cow::Borrowed(asks);
    }
    let count = |of: &[Candidate], ask: &Ask| of.iter().filter(|c| c.group == ask.group).count();
    let less = |ask: &Ask| {
        let out = count(read, ask).saturating_sub(count(left, ask));
        let out = u32::try_from(out).unwrap_or(u32::MAX);
        Ask { limit: ask.limit.saturating_sub(out), ..*ask }
    };
    asks.iter().map(less).collect()
}

/// What passed together, and what did not beside it.
struct Sifted<T> {
    good: Vec<T>,
    bad: Vec<T>,
}

/// Finds what does not pass, by halves. What is not reached within [`TRIES`] is in neither.
fn sift<T: Clone>(
    items: &[T],
    passes: &mut impl FnMut(&[T]) -> bool,
) -> Result<Sifted<T>, Unplannable> {
    if !passes(&[]) {
        return Err(Unplannable);
    }
    let mut sifted = Sifted { good: Vec::new(), bad: Vec::new() };
    // The last is looked at next.
    let mut parts = vec![items];
    for _ in 0..TRIES {
        let Some(part) = parts.pop() else { break };
        let known = sifted.good.len();
        sifted.good.extend_from_slice(part);
        if passes(&sifted.good) {
            continue;
        }
        sifted.good.truncate(known);
        match part {
            [] => {}
            [one] => sifted.bad.push(one.clone()),
            more => {
                let (first, second) = more.split_at(more.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok(sifted)
}

/// What `work` says, unless it panics; the panic hook tells where.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves half is a dispatcher, which is not asked again.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests;
