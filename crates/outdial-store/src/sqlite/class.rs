//! Classes: the texts of `outdial_core::zone::Class`, interned.

use std::collections::HashMap;
use std::sync::Arc;

use outdial_core::zone::Class;
use outdial_ports::store::StoreError;
use rusqlite::Connection;

use super::db::SqliteDb;
use super::error::{corrupt, store_error};
use super::{rows::RowExt, sql};

/// What a connection knows of classes. A row, once committed, never changes; one that may have been
/// made in a transaction that is rolled back is forgotten with it.
#[derive(Default)]
pub(super) struct Classes {
    ids: HashMap<Arc<str>, i64>,
    zones: HashMap<i64, Arc<Class>>,
    /// Interned since the last commit.
    fresh: Vec<Arc<str>>,
}

impl Classes {
    /// After a commit.
    pub(super) fn keep(&mut self) {
        self.fresh.clear();
    }

    /// After a rollback.
    pub(super) fn forget(&mut self) {
        for text in self.fresh.drain(..) {
            if let Some(id) = self.ids.remove(&text) {
                self.zones.remove(&id);
            }
        }
    }

    /// The number of a class; makes one if it is new.
    pub(super) fn intern(&mut self, conn: &Connection, text: &Arc<str>) -> Result<i64, StoreError> {
        if let Some(id) = self.ids.get(text) {
            return Ok(*id);
        }
        let id = Self::find_or_make(conn, text).map_err(|e| store_error(&e))?;
        self.ids.insert(Arc::clone(text), id);
        self.fresh.push(Arc::clone(text));
        Ok(id)
    }

    fn find_or_make(conn: &Connection, text: &str) -> rusqlite::Result<i64> {
        conn.prepare_cached(sql!("class/insert"))?.execute([text])?;
        conn.prepare_cached(sql!("class/by_text"))?.query_row([text], |r| r.get(0))
    }
}

impl SqliteDb {
    /// The zones of a class.
    pub(super) fn class_zones(&mut self, id: i64) -> Result<Arc<Class>, StoreError> {
        if let Some(class) = self.classes.zones.get(&id) {
            return Ok(Arc::clone(class));
        }
        let parse = |text: &str| text.parse::<Class>().ok();
        let class = self
            .one(sql!("class/by_id"), [id], |r| r.word(0, parse))?
            .ok_or_else(|| corrupt("class"))?;
        let class = Arc::new(class);
        self.classes.zones.insert(id, Arc::clone(&class));
        Ok(class)
    }
}
