//! What `cargo xtask bench ingest` compares with: the same rows into the same tables in a bare
//! loop. Not for use: it keeps none of the store's rules.

pub mod postgres;

use std::path::Path;

use rusqlite::params;

use crate::sqlite::{Role, connect, sql};

/// Inserts new calls of `batch`, each (phone, fields), in transactions of `chunk` rows, with the
/// store's settings and statements. The database must have been opened as a store before, and the
/// batch must not have these numbers. Several may run at once, like any writers of SQLite.
pub fn bare_insert_loop(
    path: &Path,
    batch: i64,
    rows: &[(u64, &str)],
    chunk: usize,
) -> Result<(), rusqlite::Error> {
    let mut conn = connect(path, Role::Writer)?;
    for rows in rows.chunks(chunk) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut call = tx.prepare_cached(sql!("call/insert"))?;
        let mut call_fields = tx.prepare_cached(sql!("call/insert_fields"))?;
        for (phone, fields) in rows {
            let phone = i64::try_from(*phone).unwrap_or(i64::MAX);
            call.execute(params![batch, phone, 1, 0, 1_747_319_400_000_i64, 1, 1])?;
            call_fields.execute(params![tx.last_insert_rowid(), fields])?;
        }
        drop((call, call_fields));
        tx.commit()?;
    }
    Ok(())
}
