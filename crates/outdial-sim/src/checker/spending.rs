//! Budgets: what was used and what is reserved never exceed the budget in force when more is
//! reserved. Reckoned from what was committed and from what the carrier saw, in a book of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::id::{AttemptId, BatchId};
use outdial_core::time::Timestamp;

use super::Violation;

/// Seconds of talk, and millionths of money.
pub type Sum = (u64, u64);

/// A budget; none: as much as it takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// Seconds of talk.
    pub seconds: Option<u64>,
    /// Millionths.
    pub micros: Option<u64>,
    /// Every day anew.
    pub per_day: bool,
}

/// The book of all batches.
#[derive(Debug, Default)]
pub struct Spending {
    /// Used and reserved, by batch and day.
    books: BTreeMap<(BatchId, i32), Sum>,
    open: BTreeMap<AttemptId, Open>,
}

/// An attempt that is not settled.
#[derive(Debug)]
struct Open {
    batch: BatchId,
    day: i32,
    seconds: u64,
    price: u64,
    answered: Option<Timestamp>,
    talk: Duration,
}

impl Spending {
    /// An intent was committed: `seconds` at `price` a minute are reserved, within the budget.
    pub fn reserved(
        &mut self,
        attempt: AttemptId,
        (batch, day): (BatchId, i32),
        (seconds, price): (u64, u64),
        most: Most,
    ) -> Result<(), Violation> {
        let open = Open { batch, day, seconds, price, answered: None, talk: Duration::ZERO };
        self.open.insert(attempt, open);
        let book = self.books.entry((batch, day)).or_default();
        *book = (book.0 + seconds, book.1 + money(seconds, price));
        let (used, cost) = if most.per_day { *book } else { self.spent(batch) };
        let over = |used, most: Option<u64>| most.is_some_and(|most| used > most);
        if over(used, most.seconds) || over(cost, most.micros) {
            let what =
                format!("batch {batch} used and reserved {used} s, {cost} on day {day}: {most:?}");
            return Err(Violation::new("budget", what));
        }
        Ok(())
    }

    /// Somebody or something answered.
    pub fn answered(&mut self, attempt: AttemptId, at: Timestamp) {
        if let Some(open) = self.open.get_mut(&attempt) {
            open.answered = Some(at);
        }
    }

    /// The call is over.
    pub fn over(&mut self, attempt: AttemptId, at: Timestamp) {
        if let Some(open) = self.open.get_mut(&attempt) {
            open.talk = open.answered.map_or(Duration::ZERO, |from| at.since(from));
        }
    }

    /// The end was recorded; `unknown` counts in full, `not_sent` not at all. What it used.
    pub fn settled(&mut self, attempt: AttemptId, unknown: bool, not_sent: bool) -> Sum {
        let Some(open) = self.open.remove(&attempt) else { return (0, 0) };
        let talk = open.talk.as_millis().div_ceil(1_000);
        let seconds = match (not_sent, unknown) {
            (true, _) => 0,
            (_, true) => open.seconds,
            _ => u64::try_from(talk).unwrap_or(u64::MAX),
        };
        let book = self.books.entry((open.batch, open.day)).or_default();
        let used = (seconds, money(seconds, open.price));
        book.0 = book.0 + used.0 - open.seconds;
        book.1 = book.1 + used.1 - money(open.seconds, open.price);
        used
    }

    /// Used and reserved by a batch, over all days.
    pub fn spent(&self, batch: BatchId) -> Sum {
        let books = self.books.range((batch, i32::MIN)..=(batch, i32::MAX));
        books.fold((0, 0), |sum, (_, book)| (sum.0 + book.0, sum.1 + book.1))
    }

    /// Used and reserved by a batch on a day.
    pub fn spent_on(&self, batch: BatchId, day: i32) -> Sum {
        self.books.get(&(batch, day)).copied().unwrap_or_default()
    }
}

/// Fractions of a millionth count as one.
fn money(seconds: u64, price: u64) -> u64 {
    (seconds * price).div_ceil(60)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    fn attempt(n: u64) -> AttemptId {
        placed(n, 0).attempt
    }

    #[test]
    fn reservations_and_use_never_exceed_the_budget() {
        let batch = placed(1, 0).batch;
        let most = Most { seconds: Some(100), micros: None, per_day: false };
        let mut book = Spending::default();
        book.reserved(attempt(1), (batch, 7), (60, 0), most).unwrap();
        assert!(book.reserved(attempt(2), (batch, 8), (60, 0), most).is_err());
        assert_eq!(book.settled(attempt(2), false, true), (0, 0));
        book.answered(attempt(1), at(0));
        book.over(attempt(1), at(4_001));
        assert_eq!(book.settled(attempt(1), false, false), (5, 0));
        book.reserved(attempt(3), (batch, 8), (95, 0), most).unwrap();
        assert_eq!((book.spent(batch), book.spent_on(batch, 8)), ((100, 0), (95, 0)));
    }

    #[test]
    fn a_day_has_its_own_and_unknown_counts_in_full() {
        let batch = placed(1, 0).batch;
        let most = Most { seconds: None, micros: Some(21), per_day: true };
        let mut book = Spending::default();
        book.reserved(attempt(1), (batch, 7), (61, 20), most).unwrap();
        book.over(attempt(1), at(4_001));
        assert_eq!(book.settled(attempt(1), true, false), (61, 21));
        book.reserved(attempt(2), (batch, 8), (61, 20), most).unwrap();
        assert!(book.reserved(attempt(3), (batch, 7), (1, 1), most).is_err());
    }
}
