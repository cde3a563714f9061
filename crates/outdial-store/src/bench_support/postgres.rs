//! What `cargo xtask bench ingest --database postgres` compares with: the same arrays into the same
//! tables by the store's own statements in a bare loop, and the engine's own bulk load.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, NoTls};

use crate::postgres::pg;

/// An instant.
const AT: i64 = 1_747_319_400_000;
const BLOCK: &str = "SELECT nextval(pg_get_serial_sequence('call', 'seq'))";

/// Inserts new calls of `batch`, each (phone, fields), in transactions of `chunk` rows. The
/// database must have been opened as a store before, and the batch must not have these numbers.
/// Several may run at once.
pub async fn bare_upsert_loop(
    url: &str,
    batch: i64,
    rows: &[(u64, &str)],
    chunk: usize,
) -> Result<(), Error> {
    let client = connect(url).await?;
    for rows in rows.chunks(chunk) {
        client.batch_execute("BEGIN").await?;
        let (seqs, phones, fields) = columns(block(&client).await?, rows);
        let classes = vec![1_i64; rows.len()];
        let none: Vec<Option<&str>> = vec![None; rows.len()];
        // BIGINT, as the store binds every whole number.
        let one = |n: &'static i64| -> (&(dyn ToSql + Sync), Type) { (n, Type::INT8) };
        client
            .execute_typed(
                pg!("call/insert"),
                &[
                    (&batch, Type::INT8),
                    one(&1),
                    one(&AT),
                    one(&1),
                    one(&1),
                    (&seqs, Type::INT8_ARRAY),
                    (&phones, Type::INT8_ARRAY),
                    (&classes, Type::INT8_ARRAY),
                    (&none, Type::TEXT_ARRAY),
                    (&none, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        client
            .execute_typed(
                pg!("call/insert_fields"),
                &[(&seqs, Type::INT8_ARRAY), (&fields, Type::TEXT_ARRAY)],
            )
            .await?;
        client.batch_execute("COMMIT").await?;
    }
    Ok(())
}

/// The same rows by COPY, likewise in transactions of `chunk` rows.
pub async fn copy_loop(
    url: &str,
    batch: i64,
    rows: &[(u64, &str)],
    chunk: usize,
) -> Result<(), Error> {
    let client = connect(url).await?;
    for rows in rows.chunks(chunk) {
        client.batch_execute("BEGIN").await?;
        let (seqs, phones, fields) = columns(block(&client).await?, rows);
        let (mut calls, mut texts) = (String::new(), String::new());
        for ((seq, phone), fields) in seqs.iter().zip(&phones).zip(&fields) {
            // Writing to a string does not fail.
            let _written = writeln!(
                calls,
                "{seq}\t{batch}\t{phone}\t1\t1\t{AT}\t1\t1\t{AT}\t{AT}\t1\t0\t0\t0\t0\tf\tf"
            );
            let fields = fields.replace('\\', "\\\\");
            let _written = writeln!(texts, "{seq}\t{fields}");
        }
        const CALLS: &str = "COPY call (seq, batch, phone, class, lane, not_before, agent, \
            agent_version, created_at, updated_at, round, charged, uncharged, attempts, state, \
            is_retry, picked) FROM STDIN";
        for (statement, text) in [(CALLS, calls), ("COPY call_fields FROM STDIN", texts)] {
            let mut sink = std::pin::pin!(client.copy_in::<_, Bytes>(statement).await?);
            sink.send(Bytes::from(text)).await?;
            sink.close().await?;
        }
        client.batch_execute("COMMIT").await?;
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A block of sequence numbers, as a chunk takes it (`batch/for_chunk`).
async fn block(client: &Client) -> Result<i64, Error> {
    let rows = client.query_typed(BLOCK, &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

fn columns<'a>(first: i64, rows: &[(u64, &'a str)]) -> (Vec<i64>, Vec<i64>, Vec<&'a str>) {
    let seqs = (first..).take(rows.len()).collect();
    let phones = rows.iter().map(|(phone, _)| i64::try_from(*phone).unwrap_or(i64::MAX));
    (seqs, phones.collect(), rows.iter().map(|(_, fields)| *fields).collect())
}
