//! Malformed messages in the manner of RFC 4475, generated, while a call goes on.

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::store::Transport;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use crate::stranger::{Message, Stranger};
use crate::world::{World, end, next, spec};

/// What tortures a parser, put in place of something sound.
const TORTURE: &[&str] = &[
    "",
    "\u{0}",
    "\r\n\r\n",
    "\r\n \r\n",
    "\n\n",
    ";;;;",
    ",,,,",
    "<<<>>>",
    "\"unclosed",
    "%00%0d%0a",
    "[::1",
    "99999999999999999999999999",
    "-1",
    "4294967296",
    "z9hG4bK",
    "sip:sip:sip:",
    "SIP/7.0",
    "SIP/2.0/UDP",
    "\u{202e}\u{fffd}",
    "a;tag=a;tag=b",
    "=",
    "?&?&",
];

/// A message of the call that goes on, with some of its pieces replaced, cut or doubled.
fn broken(sound: String) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8);
    prop::collection::vec(change, 1..6).prop_map(move |changes| {
        let mut bytes = sound.clone().into_bytes();
        for (at, what, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let torture = TORTURE[what.index(TORTURE.len())].as_bytes();
            match how {
                0 => bytes.truncate(at),
                1 => bytes[at] = bytes[at].wrapping_add(128),
                2 => drop(bytes.splice(at..at, torture.iter().copied())),
                3 => {
                    let to = (at + 1 + what.index(20)).min(bytes.len());
                    drop(bytes.splice(at..to, torture.iter().copied()));
                }
                _ => {
                    let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
                    let doubled = bytes[line..at].repeat(40);
                    drop(bytes.splice(at..at, doubled));
                }
            }
        }
        bytes
    })
}

fn many(sound: &[String], count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let one = prop::sample::select(sound.to_vec()).prop_flat_map(broken);
    (0..count).map(|_| one.new_tree(&mut runner).unwrap().current()).collect()
}

/// Sound messages that know nothing of the call.
fn of_strangers(invite: &Message) -> Vec<String> {
    let foreign = invite.text.replace(invite.get("Call-ID"), "foreign");
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKq\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: q\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:c@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n";
    vec![foreign.clone(), foreign.replace("INVITE", "BYE"), answer.to_owned()]
}

#[tokio::test]
async fn a_call_goes_on_whatever_comes() {
    let mut peer = Stranger::udp().await;
    let world = World::new(spec(peer.addr, Transport::Udp));
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.answer(&invite, 180, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Ringing);
    let us = world.carrier.udp_addr().unwrap();

    // From somewhere else, over UDP and TCP: this is no call's, and mostly no SIP. The trunk's own
    // address is trusted: nothing of this is slowed.
    let noise = many(&of_strangers(&invite), 3000);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (n, bytes) in noise.iter().enumerate() {
        let bytes = &bytes[..bytes.len().min(60_000)];
        socket.send_to(bytes, us).await.unwrap();
        if n % 50 == 0 {
            let mut stream = TcpStream::connect(us).await.unwrap();
            // It may be closed under our hands.
            let _ = stream.write_all(bytes).await;
            tokio::task::yield_now().await;
        }
    }
    // In the call's own name, from the trunk itself: bytes that are no text are no message of it.
    let own = [
        peer.answer_text(&invite, 180, "a", "", ""),
        peer.answer_text(&invite, 100, "", "", "").replace("Whatever", "Trying"),
    ];
    for bytes in many(&own, 1000) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60_000)]).into_owned();
        // What would be a sound final answer of this call is not noise.
        if !text.starts_with("SIP/2.0 1") {
            continue;
        }
        peer.send(&text).await;
    }
    world.until("seen", |w| w.counted("malformed") > 500).await;

    peer.accept(&invite, "a").await;
    let answered = loop {
        match next(&mut call).await {
            CallEvent::Ringing => {}
            other => break other,
        }
    };
    assert_eq!(answered, CallEvent::Answered);
    call.control.is_stored();
    assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
    peer.ask("BYE", &invite, "a", "").await;
    assert!(peer.next_of("BYE").await.is("200"));
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}
