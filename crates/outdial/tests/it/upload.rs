//! Uploads to the real process: killed while it imports, and fed with more than it may hold.
//! `OUTDIAL_UPLOAD_MB=1000` makes the files as large as may be.

use crate::harness::Home;
use crate::uploading::{rows, upload};

const FIRST: u64 = 12_125_550_000;
/// What taking a file in may add to a process, whatever the file: the chunks in flight, a portion
/// of rows, the numbers seen, and what the database's writer keeps.
const GROWTH_MAX_KIB: u64 = 160 * 1024;

fn small(first: u64, count: u64) -> (u64, std::iter::Once<Vec<u8>>) {
    let text = rows(first, count);
    (text.len() as u64, std::iter::once(text))
}

#[test]
fn memory_does_not_follow_the_file() {
    let megabytes = std::env::var("OUTDIAL_UPLOAD_MB").ok().and_then(|n| n.parse().ok());
    let (rows, line) = megabytes.map_or((60_000, 300), |n: u64| (n * 1_000 / 2, n));
    let home = Home::new(&[]);
    let server = home.serve();
    let number = server.make_number();
    let first = upload(&server, &home, &number, "small", small(FIRST, 20)).expect("an answer");
    first.expect(200);
    let before = server.memory_kib("VmHWM:");
    // Rows of 2 kB, 120 MB of them.
    let row = |n: u64| format!("{},N {n},{}\n", FIRST + n, "é".repeat(1000)).into_bytes();
    let head = b"phoneNumber,name,note\n".to_vec();
    let bytes = head.len() as u64 + (0..rows).map(|n| row(n).len() as u64).sum::<u64>();
    let pieces = std::iter::once(head).chain((0..rows).map(row));
    let answer = upload(&server, &home, &number, "large", (bytes, pieces)).expect("an answer");
    assert_eq!(answer.expect(200)["batch"]["totalCalls"], rows);
    // One line of 300 MiB, in a quote that is never closed, and a million columns.
    for begin in ["phoneNumber,name\n12125550001,\"", "phoneNumber\n", "a,"] {
        let pieces = std::iter::once(begin.as_bytes().to_vec());
        let pieces = pieces.chain((0..line).map(|_| vec![b','; 1 << 20]));
        let bytes = begin.len() as u64 + (line << 20);
        let answer = upload(&server, &home, &number, begin, (bytes, pieces)).expect("an answer");
        assert!([400, 413, 422].contains(&answer.status), "{}", answer.body);
    }
    let growth = server.memory_kib("VmHWM:").saturating_sub(before);
    println!("growth {growth} KiB over {before} KiB");
    assert!(growth <= GROWTH_MAX_KIB, "growth {growth} KiB");
}

#[cfg(feature = "failpoints")]
mod killed {
    use std::time::Duration;

    use serde_json::json;

    use super::{FIRST, small};
    use crate::harness::{Home, wait_for};
    use crate::uploading::upload;

    const LIMIT: Duration = Duration::from_secs(120);

    #[test]
    fn killed_while_it_imports_there_is_nothing_and_the_repeat_makes_it() {
        const ROWS: u64 = 5_500;
        for (name, passes) in [
            ("http.request_begun", 1),
            ("store.chunk_applied", 2),
            ("http.chunk_stored", 3),
            ("http.chunks_stored", 1),
            ("store.import_finished", 1),
            ("http.answer_kept", 1),
        ] {
            let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
            let server = home.serve();
            let number = server.make_number();
            server.terminate();
            assert!(server.wait().success());
            let at = format!("{name}:{passes}");
            let (mut server, _) = home.serve_with(&[("OUTDIALTEST_KILL_AT", &at)]);
            let answered = upload(&server, &home, &number, "k", small(FIRST, ROWS));
            assert_eq!(answered, None, "{name}");
            wait_for(&format!("killed at {name}"), LIMIT, || server.is_gone().then_some(()));
            drop(server);

            let server = home.serve();
            let batches = || {
                let answer = server.get(&format!("/api/call/batches/{}", home.user));
                if answer.status == 404 {
                    0
                } else {
                    answer.expect(200)["data"]["pagination"]["total"].as_u64().unwrap()
                }
            };
            // Only after the last transaction there is anything to see.
            assert_eq!(batches(), u64::from(name == "http.answer_kept"), "{name}");
            let answer =
                upload(&server, &home, &number, "k", small(FIRST, ROWS)).expect("an answer");
            let made = answer.expect(200);
            assert_eq!(made["batch"]["totalCalls"], ROWS, "{name}");
            assert_eq!(batches(), 1, "{name}");
            let batch = made["batch"]["_id"].as_str().unwrap();
            assert_eq!(server.count(batch, &["pending"]), ROWS, "{name}");
            let again =
                upload(&server, &home, &number, "k", small(FIRST, ROWS)).expect("an answer");
            assert_eq!(again.expect(200), made, "{name}");
            // What was dropped is taken away: neither its calls nor its batch are left.
            let left = || {
                let database = rusqlite::Connection::open(home.path("outdial.db")).unwrap();
                let count =
                    |sql: &str| database.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
                let all =
                    count("SELECT count(*) FROM call") + count("SELECT count(*) FROM call_fields");
                (u64::try_from(all) == Ok(2 * ROWS) && count("SELECT count(*) FROM batch") == 1)
                    .then_some(())
            };
            wait_for(&format!("{name}: what was dropped is taken away"), LIMIT, left);
            let start = json!({ "batchId": batch, "userId": home.user });
            server.post("/api/call/start-calling", &start).expect(200);
        }
    }
}
