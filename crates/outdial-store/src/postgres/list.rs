//! Pages of a batch's calls.
//!
//! Nothing of ours runs in the server: what is in a contact's fields is looked at here, row by row
//! as it comes, after the server has left out what cannot match.

use std::cmp::Ordering;

use outdial_core::id::BatchId;
use outdial_ports::store::{CallList, CallQuery, CallSort, StoreError};

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::common::offset;
use crate::text::{Matcher, field_text};

/// What a page is ordered by. Absent comes first; then as numbers, or byte by byte.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Absent,
    Number(i64),
    Text(String),
}

/// A part of a batch's sequence numbers.
struct Run {
    /// Place of its first call among those of the batch.
    before: i64,
    first_seq: i64,
    span: i64,
    count: i64,
}

impl PgTx<'_> {
    pub(super) async fn call_list(
        &self,
        batch: BatchId,
        query: &CallQuery,
    ) -> Result<CallList, StoreError> {
        let key = params![batch.seq64(), batch.secs()];
        let all: i64 = self.one(pg!("call/count_all"), key, |r| r.int(0)).await?.unwrap_or(0);
        if all == 0 {
            return Ok(CallList { calls: Vec::new(), total: 0 });
        }
        let (batch, down) = (batch.seq64(), query.descending);
        let (seqs, total) = match (Matcher::of(query), &query.sort) {
            (None, CallSort::CreatedAt) => (self.page_by_age(batch, query, all).await?, all),
            (None, CallSort::PhoneNumber) if down => {
                (self.page_read(pg!("call/page_phone_desc"), batch, query).await?, all)
            }
            (None, CallSort::PhoneNumber) => {
                (self.page_read(pg!("call/page_phone_asc"), batch, query).await?, all)
            }
            (None, CallSort::UpdatedAt) if down => {
                (self.page_read(pg!("call/page_updated_desc"), batch, query).await?, all)
            }
            (None, CallSort::UpdatedAt) => {
                (self.page_read(pg!("call/page_updated_asc"), batch, query).await?, all)
            }
            (matcher, _) => self.page_by_scan(batch, query, matcher.as_ref()).await?,
        };
        let calls = self.call_views(&seqs).await?;
        Ok(CallList { calls, total: total.unsigned_abs() })
    }

    /// A page of all, in an order that the server makes.
    async fn page_read(
        &self,
        text: &str,
        batch: i64,
        query: &CallQuery,
    ) -> Result<Vec<i64>, StoreError> {
        let page = params![batch, query.limit, offset(query.page, query.limit)];
        self.all(text, page, |r| r.int(0)).await
    }

    /// A page in the order of `seq`, which is that of creation: read off the batch's runs. Costs as
    /// much as there are runs, a small part of its calls.
    async fn page_by_age(
        &self,
        batch: i64,
        query: &CallQuery,
        total: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let from = offset(query.page, query.limit).min(total);
        let to = (from + i64::from(query.limit)).min(total);
        let (from, to) = if query.descending { (total - to, total - from) } else { (from, to) };
        if from == to {
            return Ok(Vec::new());
        }
        let runs = self
            .all(pg!("call/runs_at"), params![batch, from, to], |r| {
                Ok(Run {
                    before: r.int(0)?,
                    first_seq: r.int(1)?,
                    span: r.int(2)?,
                    count: r.int(3)?,
                })
            })
            .await?;
        let mut seqs = Vec::new();
        for run in runs {
            let (skipped, end) = ((from - run.before).max(0), (to - run.before).min(run.count));
            if run.span == run.count {
                seqs.extend(run.first_seq + skipped..run.first_seq + end);
            } else {
                let page = params![run.first_seq, run.span, end - skipped, skipped];
                seqs.extend(self.all(pg!("call/in_run"), page, |r| r.int::<i64>(0)).await?);
            }
        }
        if i64::try_from(seqs.len()).unwrap_or(i64::MAX) != to - from {
            return Err(corrupt("gap in the runs of a batch"));
        }
        if query.descending {
            seqs.reverse();
        }
        Ok(seqs)
    }

    /// A page of those that match, and how many they are: reads the whole batch.
    async fn page_by_scan(
        &self,
        batch: i64,
        query: &CallQuery,
        matcher: Option<&Matcher>,
    ) -> Result<(Vec<i64>, i64), StoreError> {
        let from = usize::try_from(offset(query.page, query.limit)).unwrap_or(usize::MAX);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut best = Best::new(from.saturating_add(limit), query.descending);
        let mut total = 0;
        let mut statuses = matcher.and_then(Matcher::statuses);
        let phones = matcher.and_then(Matcher::phones);
        let search = matcher.and_then(Matcher::search);
        // No text that is stored has a NUL, and the server does not take one.
        if search.is_some_and(|s| s.contains('\0')) {
            return Ok((Vec::new(), 0));
        }
        if let Some(statuses) = &mut statuses {
            statuses.retain(|s| !s.contains('\0'));
        }
        self.each(pg!("call/scan"), params![batch, statuses, phones, search], |r| {
            let (phone, status, fields): (i64, &str, &str) = (r.col(1)?, r.col(3)?, r.col(4)?);
            if matcher.is_some_and(|m| !m.matches(&phone.to_string(), fields, status)) {
                return Ok(());
            }
            total += 1;
            let key = match &query.sort {
                CallSort::CreatedAt => Key::Absent,
                CallSort::UpdatedAt => Key::Number(r.int(2)?),
                CallSort::PhoneNumber => Key::Number(phone),
                CallSort::CallStatus => Key::Text(status.to_owned()),
                CallSort::Contact(field) => match field_text(fields, field) {
                    Some(text) => Key::Text(text.into_owned()),
                    None => Key::Absent,
                },
            };
            best.push(key, r.int(0)?);
            Ok(())
        })
        .await?;
        Ok((best.into_page(from), total))
    }
}

/// The first so many of rows that come in no order.
struct Best {
    rows: Vec<(Key, i64)>,
    wanted: usize,
    descending: bool,
}

impl Best {
    fn new(wanted: usize, descending: bool) -> Self {
        Self { rows: Vec::new(), wanted, descending }
    }

    fn push(&mut self, key: Key, seq: i64) {
        self.rows.push((key, seq));
        // Now and then, so that a page at the front costs no memory.
        if self.rows.len() >= self.wanted.saturating_mul(2).saturating_add(1000) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let descending = self.descending;
        let order = |a: &(Key, i64), b: &(Key, i64)| -> Ordering {
            if descending { b.cmp(a) } else { a.cmp(b) }
        };
        self.rows.sort_unstable_by(order);
        self.rows.truncate(self.wanted);
    }

    fn into_page(mut self, from: usize) -> Vec<i64> {
        self.cut();
        self.rows.into_iter().skip(from).map(|(_, seq)| seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_a_whole_sort() {
        let key = |n: i64| match n % 7 {
            0 => Key::Absent,
            1..=3 => Key::Text(format!("{:03}", n * 37 % 101)),
            _ => Key::Number(n * 53 % 89),
        };
        for descending in [false, true] {
            let mut best = Best::new(30, descending);
            let mut all: Vec<(Key, i64)> = (0..5000).map(|n| (key(n), n)).collect();
            (0..5000).for_each(|n| best.push(key(n), n));
            assert!(best.rows.len() < 1100);
            all.sort();
            if descending {
                all.reverse();
            }
            let page: Vec<i64> = all[20..30].iter().map(|r| r.1).collect();
            assert_eq!(best.into_page(20), page);
        }
    }
}
