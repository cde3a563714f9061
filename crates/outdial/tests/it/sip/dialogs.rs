//! Requests inside a call: hold, questions, refreshes.

use serde_json::json;

use super::bench::{Bench, all_at_once, ended, home};
use super::sipp::Play;

#[test]
fn sip_dialogs() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("hold, questions, nonsense", in_dialog),
            ("the session is refreshed", refreshed),
            ("audio", audio),
        ],
    );
}

fn in_dialog(bench: &Bench<'_>) {
    let callee = Play::of("in-dialog").hold(300).start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

/// RFC 4028: at half of 90 s, by a re-INVITE, as the callee allows no UPDATE.
fn refreshed(bench: &Bench<'_>) {
    let callee = Play::of("timer").start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let invites = callee.requests("INVITE");
    let [first, refresh] = &invites[..] else { panic!("{} INVITEs", invites.len()) };
    assert!(first.all("Supported").iter().any(|v| v.contains("timer")), "{}", first.text);
    assert!(!first.header("Session-Expires").is_empty());
    assert_eq!(refresh.tag("To"), "callee-1");
    assert!((30..=60).contains(&(refresh.at - first.at).as_secs()));
    callee.went_as_written();
}

/// Audio flows from the answer to the end: 50 packets a second, to where the callee said.
fn audio(bench: &Bench<'_>) {
    let ear = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_nonblocking(true).unwrap();
    let port = ear.local_addr().unwrap().port().to_string();
    let callee = Play::of("answer-bye").hold(2_000).fill("rtp", port).start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let mut packets = Vec::new();
    let mut buffer = [0; 2_048];
    while let Ok((length, _)) = ear.recv_from(&mut buffer) {
        packets.push(buffer[..length].to_vec());
    }
    // 100 are right; a busy machine may be late, but makes none up.
    assert!((60..=110).contains(&packets.len()), "{} packets in 2 s", packets.len());
    for pair in packets.windows(2) {
        let number = |p: &[u8]| u16::from_be_bytes([p[2], p[3]]);
        let time = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
        assert_eq!(number(&pair[1]), number(&pair[0]).wrapping_add(1));
        assert!(time(&pair[1]).wrapping_sub(time(&pair[0])) >= 160);
        assert_eq!(pair[0][8..12], pair[1][8..12], "one source");
    }
    for packet in &packets {
        assert_eq!((packet[0] >> 6, packet[1] & 0x7f, packet.len()), (2, 0, 172), "PCMU, 20 ms");
    }
    callee.went_as_written();
}
