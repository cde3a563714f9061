//! What a PostgreSQL is like to stand on: how far away, how far its clock is off, and whether it
//! keeps what it has acknowledged.

use std::time::Duration;

use anyhow::Result;
use outdial_ports::store::NodeRecord;
use outdial_ports::{Clock, Store};
use outdial_store::postgres::{PgClock, PgFacts, PostgresStore, facts};

use super::Report;
use crate::clock::SystemClock;
use crate::config::{Config, PostgresUrl};

/// So often the way there and back is measured; the shortest counts.
const TRIES: usize = 7;
/// Every dispatch and every chunk waits for several of these.
const FAR: Duration = Duration::from_millis(20);
/// A node whose clock is further off stops dialing.
const APART: Duration = Duration::from_secs(2);

/// Looks at the server behind the store, and at the nodes that share it.
pub(super) async fn look(
    store: &PostgresStore,
    url: &PostgresUrl,
    config: &Config,
    report: &mut Report,
) {
    match facts(url.secret()).await {
        Ok(found) => {
            report.tell("server", Ok(server(&found, config)));
            report.tell("durable", durable(&found));
        }
        Err(error) => report.tell("server", Err(error.to_string())),
    }
    match distance(url).await {
        Ok((way, apart)) => {
            report.tell("distance", near(way));
            report.tell("apart", together(apart));
        }
        Err(error) => report.tell("distance", Err(error.to_string())),
    }
    match store.node_list().await {
        Ok(nodes) => report.tell("nodes", Ok(shown(&nodes))),
        Err(error) => report.tell("nodes", Err(error.to_string())),
    }
}

fn server(facts: &PgFacts, config: &Config) -> String {
    let way = match facts.is_pooled {
        true => "through a pooler that gives every transaction another connection",
        false => "directly, or through a pooler that keeps connections apart",
    };
    format!(
        "{}, reached {way}; it takes {} connections, a node up to {}",
        facts.version, facts.max_connections, config.database.pool
    )
}

/// An acknowledged commit must outlive a crash of the server.
fn durable(facts: &PgFacts) -> Result<String, String> {
    if facts.is_replica {
        return Err("it is a replica and takes no writes: name the primary".to_owned());
    }
    let loses = [
        ("fsync", facts.fsync == "off"),
        ("full_page_writes", facts.full_page_writes == "off"),
        ("synchronous_commit", facts.synchronous_commit == "off"),
    ];
    let wrong: Vec<&str> = loses.iter().filter(|(_, off)| *off).map(|(name, _)| *name).collect();
    match wrong[..] {
        [] => Ok(format!(
            "fsync={}, synchronous_commit={}, full_page_writes={}, synchronous replicas {}",
            facts.fsync,
            facts.synchronous_commit,
            facts.full_page_writes,
            match facts.synchronous_standby_names.as_str() {
                "" => "none: a failover may lose the latest commits",
                names => names,
            }
        )),
        _ => Err(format!(
            "{} off: what was acknowledged is lost when the server crashes, and people may be \
             called twice; switch {} on",
            wrong.join(" and "),
            if wrong.len() == 1 { "it" } else { "them" }
        )),
    }
}

/// The way there and back at its shortest, and how far the database's clock is ahead of ours, in
/// milliseconds.
async fn distance(url: &PostgresUrl) -> Result<(Duration, i64)> {
    let server = PgClock::open(url.secret()).await?;
    let clock = SystemClock::new();
    let mut nearest: Option<(Duration, i64)> = None;
    for _ in 0..TRIES {
        let (from, wall) = (clock.monotonic(), clock.now());
        let theirs = server.now().await?;
        let way = clock.monotonic().since(from);
        let half = i64::try_from(way.as_millis() / 2).unwrap_or(i64::MAX);
        let apart = theirs.as_millis() - wall.as_millis() - half;
        if nearest.is_none_or(|(shortest, _)| way < shortest) {
            nearest = Some((way, apart));
        }
    }
    Ok(nearest.expect("it was tried"))
}

fn near(way: Duration) -> Result<String, String> {
    let ms = format!("{:.1} ms there and back", way.as_secs_f64() * 1000.0);
    match way <= FAR {
        true => Ok(ms),
        false => Err(format!(
            "{ms}: every turn of the dispatcher takes several of these, so few calls a second can \
             be placed; run the nodes near the database"
        )),
    }
}

fn together(apart_ms: i64) -> Result<String, String> {
    match Duration::from_millis(apart_ms.unsigned_abs()) <= APART {
        true => Ok(format!("the database's clock is {apart_ms} ms ahead of ours")),
        false => Err(format!(
            "the database's clock is {apart_ms} ms ahead of ours; a node more than {} s off does \
             not dial: let one service set both",
            APART.as_secs()
        )),
    }
}

fn shown(nodes: &[NodeRecord]) -> String {
    let alive: Vec<String> = nodes
        .iter()
        .filter(|node| node.is_alive)
        .map(|node| match &node.beat.not_dialing {
            None => format!("{} ({})", node.spec.name, node.spec.role),
            Some(why) => format!("{} ({}; {why})", node.spec.name, node.spec.role),
        })
        .collect();
    match alive[..] {
        [] => "none is alive".to_owned(),
        _ => format!("alive: {}", alive.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> PgFacts {
        PgFacts {
            version: "PostgreSQL 17.2".to_owned(),
            fsync: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_standby_names: String::new(),
            max_connections: "100".to_owned(),
            is_replica: false,
            is_pooled: false,
        }
    }

    #[test]
    fn a_server_that_loses_what_it_acknowledged_is_a_finding() {
        assert!(durable(&sound()).is_ok());
        let local = PgFacts { synchronous_commit: "local".to_owned(), ..sound() };
        assert!(durable(&local).is_ok(), "it is on the disk of the primary");
        for (loses, name) in [
            (PgFacts { fsync: "off".to_owned(), ..sound() }, "fsync"),
            (PgFacts { synchronous_commit: "off".to_owned(), ..sound() }, "synchronous_commit"),
            (PgFacts { full_page_writes: "off".to_owned(), ..sound() }, "full_page_writes"),
            (PgFacts { is_replica: true, ..sound() }, "replica"),
        ] {
            let found = durable(&loses).unwrap_err();
            assert!(found.contains(name), "{found}");
        }
    }

    #[test]
    fn far_and_apart() {
        assert!(near(Duration::from_millis(3)).is_ok() && near(Duration::from_millis(80)).is_err());
        assert!(together(-1_900).is_ok() && together(2_100).is_err() && together(-2_100).is_err());
    }
}
