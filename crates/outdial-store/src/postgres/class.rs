//! Classes: the texts of `outdial_core::zone::Class`, interned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_core::zone::Class;
use outdial_ports::store::StoreError;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;

/// What a process knows of classes, on whichever connection. A row, once committed, never changes;
/// none is kept that this process has made in a transaction that may yet be rolled back.
#[derive(Default)]
pub(super) struct Classes(Mutex<Known>);

#[derive(Default)]
struct Known {
    ids: BTreeMap<Arc<str>, i64>,
    zones: BTreeMap<i64, Arc<Class>>,
}

impl Classes {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change of it is one insert, so it is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PgTx<'_> {
    /// The numbers of these classes; makes those that nobody has made. Once in a transaction.
    pub(super) async fn classes_intern(
        &self,
        texts: BTreeSet<&Arc<str>>,
    ) -> Result<BTreeMap<Arc<str>, i64>, StoreError> {
        let mut found = BTreeMap::new();
        let mut unknown = Vec::new();
        {
            let known = self.classes().known();
            for text in texts {
                match known.ids.get(text) {
                    Some(id) => drop(found.insert(Arc::clone(text), *id)),
                    None => unknown.push(&**text),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let there = self.classes_by_text(&unknown).await?;
        self.classes().known().ids.extend(there.iter().map(|(t, id)| (Arc::clone(t), *id)));
        unknown.retain(|text| !there.contains_key(*text));
        found.extend(there);
        if !unknown.is_empty() {
            // Whoever makes the same waits for the other, and finds it then.
            self.exec(pg!("class/insert"), params![unknown]).await?;
            let made = self.classes_by_text(&unknown).await?;
            if made.len() < unknown.len() {
                return Err(corrupt("lack of a class"));
            }
            found.extend(made);
        }
        Ok(found)
    }

    async fn classes_by_text(&self, texts: &[&str]) -> Result<BTreeMap<Arc<str>, i64>, StoreError> {
        let rows = self
            .all(pg!("class/by_text"), params![texts], |r| Ok((r.text(0)?.into(), r.int(1)?)))
            .await?;
        Ok(rows.into_iter().collect())
    }

    /// The zones of all these classes.
    pub(super) async fn class_zones_of(
        &self,
        ids: &[i64],
    ) -> Result<BTreeMap<i64, Arc<Class>>, StoreError> {
        let mut found = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        {
            let known = self.classes().known();
            for &id in ids {
                match known.zones.get(&id) {
                    Some(class) => drop(found.insert(id, Arc::clone(class))),
                    None => drop(unknown.insert(id)),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let wanted = Vec::from_iter(unknown);
        let parse = |text: &str| text.parse::<Class>().ok();
        let rows = self
            .all(pg!("class/by_id"), params![wanted], |r| {
                Ok((r.int(0)?, Arc::new(r.word(1, parse)?)))
            })
            .await?;
        if rows.len() < wanted.len() {
            return Err(corrupt("class"));
        }
        self.classes().known().zones.extend(rows.iter().map(|(id, c)| (*id, Arc::clone(c))));
        found.extend(rows);
        Ok(found)
    }
}
