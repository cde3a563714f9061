//! One call as the callee plays it, step by step; no socket, no clock.

use outdial_core::phone::PhoneNumber;

use super::*;
use crate::sip::message::{Method, RequestBuilder, SipMessage, name_addr, parse};

const CALLER: &str = "192.0.2.1:4000";

fn at(ms: u64) -> Monotonic {
    Monotonic(Duration::from_millis(ms))
}

fn request(method: &Method, branch: &str, cseq: u32, to_tag: Option<&str>, body: Bytes) -> Request {
    let uri = SipUri::new(Some("12125551000"), "192.0.2.9", None).unwrap();
    let from = SipUri::new(Some("12125550000"), "192.0.2.1", None).unwrap();
    let mut builder = RequestBuilder::new(method, &uri)
        .header("Via", format_args!("SIP/2.0/UDP 192.0.2.1:5060;branch={branch}"))
        .header("From", name_addr(&from, Some("theirs")))
        .header("To", name_addr(&uri, to_tag))
        .header("Call-ID", "c1")
        .header("CSeq", format_args!("{cseq} {method}"))
        .header("Contact", "<sip:o@192.0.2.1:5070>")
        .header("Record-Route", "<sip:p@192.0.2.7;lr>")
        .header("Supported", "timer");
    if !body.is_empty() {
        builder = builder.body(sdp::CONTENT_TYPE, body);
    }
    match parse(&builder.build().unwrap()).unwrap() {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => unreachable!(),
    }
}

fn offer() -> Bytes {
    sdp::offer(1, 1, CALLER.parse().unwrap())
}

fn part(ending: Ending) -> Part {
    Part {
        invite: request(&Method::Invite, "z9hG4bKinvite", 1, None, offer()),
        ending,
        speed: 1.0,
        tag: "ours".into(),
        contact: "<sip:callee@192.0.2.9>".into(),
        via: "SIP/2.0/UDP 192.0.2.9:5060".into(),
        is_reliable: false,
        local: "192.0.2.9:6000".parse().unwrap(),
        session: 7,
        early_media: false,
        session_expires: None,
        timers: Timers::default(),
    }
}

fn script(ending: u64, before: u32) -> Script {
    Script::of(PhoneNumber::from_digits(12_125_551_000 + ending), before, 0)
}

fn plays(ending: u64) -> Ending {
    Ending::Plays(script(ending, 0))
}

/// What it says, in short: `200 INVITE`, `BYE`, `media`, `over`.
fn short(outputs: &[Output]) -> Vec<String> {
    let one = |output: &Output| match output {
        Output::ToCaller(bytes) | Output::Back(bytes) => match parse(bytes).unwrap() {
            SipMessage::Response(r) => format!("{} {}", r.status, r.head.method),
            SipMessage::Request(_) => panic!("a request as an answer"),
        },
        Output::Next(_, bytes) => match parse(bytes).unwrap() {
            SipMessage::Request(r) => r.method.to_string(),
            SipMessage::Response(_) => panic!("an answer as a request"),
        },
        Output::Media(_) => "media".into(),
        Output::Stands(Standing::Talking) => "talking".into(),
        Output::Stands(Standing::Over) => "over".into(),
        Output::Stands(Standing::Calling) => "calling".into(),
    };
    outputs.iter().map(one).collect()
}

fn response(output: &Output) -> Response {
    let (Output::ToCaller(bytes) | Output::Back(bytes)) = output else { panic!("{output:?}") };
    match parse(bytes).unwrap() {
        SipMessage::Response(response) => response,
        SipMessage::Request(_) => panic!("a request"),
    }
}

/// Lets time pass up to `end`; what was said, and when.
fn run(play: &mut Play, end: u64) -> Vec<(u128, String)> {
    let mut all = Vec::new();
    while let Some(next) = play.deadline().filter(|next| *next <= at(end)) {
        let outputs = play.handle(next, Input::Tick);
        all.extend(short(&outputs).into_iter().map(|word| (next.0.as_millis(), word)));
        assert!(all.len() < 1_000, "it does not end: {all:?}");
    }
    all
}

fn send(play: &mut Play, now: u64, request: Request) -> Vec<Output> {
    play.handle(at(now), Input::Request(request))
}

fn ack(play: &mut Play, now: u64, branch: &str) {
    assert_eq!(send(play, now, request(&Method::Ack, branch, 1, Some("ours"), Bytes::new())), []);
}

/// A call that talks, confirmed at once; when it was answered.
fn talking() -> (Play, u64) {
    let (mut play, _) = Play::new(part(plays(0)), at(0));
    let answered = 2_200;
    let said = run(&mut play, answered);
    assert_eq!(said.last().unwrap(), &(2_200, "talking".to_owned()), "{said:?}");
    ack(&mut play, answered, "z9hG4bKack");
    (play, answered)
}

#[test]
fn rings_answers_talks_and_hangs_up() {
    let (mut play, first) = Play::new(part(plays(0)), at(0));
    assert_eq!(short(&first), ["100 INVITE"]);
    let said = run(&mut play, 2_300);
    let wanted = [(200, "180 INVITE"), (2_200, "200 INVITE"), (2_200, "media"), (2_200, "talking")];
    assert_eq!(said, wanted.map(|(ms, word)| (ms, word.to_owned())));
    // The answer is repeated until its ACK.
    assert_eq!(run(&mut play, 3_800), [(2_700, "200 INVITE".into()), (3_700, "200 INVITE".into())]);
    ack(&mut play, 3_900, "z9hG4bKack");
    let said = run(&mut play, 6_000);
    assert_eq!(said[0], (5_200, "BYE".into()));
    assert_eq!(said[1], (5_200, "over".into()));
    assert_eq!(said[2], (5_700, "BYE".into()));

    let ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKours\r\n\
              From: <sip:a@h>;tag=ours\r\n\
              To: <sip:b@h>;tag=theirs\r\nCall-ID: c1\r\nCSeq: 1 BYE\r\n\r\n";
    let Ok(SipMessage::Response(ok)) = parse(ok.as_bytes()) else { panic!() };
    assert_eq!(play.handle(at(6_000), Input::Response(ok)), []);
    assert_eq!(run(&mut play, 100_000), []);
    assert_eq!(play.deadline(), None);
}

#[test]
fn our_bye_goes_where_the_dialog_says() {
    let (mut play, _) = talking();
    let Some(next) = play.deadline() else { panic!() };
    let out = play.handle(next, Input::Tick);
    let Output::Next(hop, bytes) = &out[0] else { panic!("{out:?}") };
    assert_eq!(hop.as_str(), "sip:p@192.0.2.7;lr");
    let Ok(SipMessage::Request(bye)) = parse(bytes) else { panic!() };
    assert_eq!(bye.uri.as_str(), "sip:o@192.0.2.1:5070");
    assert_eq!(bye.head.list("Route"), ["<sip:p@192.0.2.7;lr>"]);
    assert_eq!(bye.head.from.tag.as_deref(), Some("ours"));
    assert_eq!(bye.head.to.tag.as_deref(), Some("theirs"));
    assert_eq!(bye.head.to.uri.digits().as_deref(), Some("12125550000"));
}

#[test]
fn no_bye_before_the_ack_and_one_if_there_is_none() {
    let (mut play, _) = Play::new(part(plays(0)), at(0));
    let said = run(&mut play, 34_100);
    assert_eq!(said.iter().filter(|(_, word)| word == "BYE").count(), 0, "{said:?}");
    let said = run(&mut play, 34_200);
    assert_eq!(said.last(), Some(&(34_200, "over".into())), "{said:?}");
    assert_eq!(said.iter().filter(|(_, word)| word == "BYE").count(), 1);
}

#[test]
fn refusals_say_why() {
    for (ending, status, q850, retry_after) in [
        (80, 486, Some(17), None),
        (85, 603, Some(21), None),
        (93, 503, None, None),
        (95, 503, None, Some(1)),
        (96, 404, Some(1), None),
    ] {
        let (mut play, _) = Play::new(part(plays(ending)), at(0));
        let mut all = Vec::new();
        while play.standing == Standing::Calling {
            let next = play.deadline().unwrap();
            all.extend(play.handle(next, Input::Tick));
        }
        let [.., refusal, Output::Stands(Standing::Over)] = &all[..] else { panic!("{all:?}") };
        let refusal = response(refusal);
        assert_eq!((refusal.status, refusal.head.q850()), (status, q850));
        assert_eq!(refusal.head.retry_after(), retry_after.map(Duration::from_secs));
        assert_eq!(refusal.head.to.tag.as_deref(), Some("ours"));
        // It is said again until it is heard.
        assert!(run(&mut play, 5_000).len() >= 2);
        let invite = play.part.invite.clone();
        assert_eq!(short(&send(&mut play, 5_000, invite)), [format!("{status} INVITE")]);
        ack(&mut play, 5_000, "z9hG4bKinvite");
        assert_eq!(run(&mut play, 60_000), []);
        assert_eq!(play.deadline(), None);
    }
}

#[test]
fn taken_back_while_it_rings() {
    let (mut play, _) = Play::new(part(plays(70)), at(0));
    assert_eq!(run(&mut play, 5_000), [(200, "180 INVITE".into())]);
    let cancel = || request(&Method::Cancel, "z9hG4bKinvite", 1, None, Bytes::new());
    assert_eq!(short(&send(&mut play, 5_000, cancel())), ["200 CANCEL"]);
    // Again: answered again, decided once.
    assert_eq!(short(&send(&mut play, 5_020, cancel())), ["200 CANCEL"]);
    let said = run(&mut play, 5_400);
    assert_eq!(said, [(5_050, "487 INVITE".into()), (5_050, "over".into())]);
    ack(&mut play, 5_400, "z9hG4bKinvite");
    assert_eq!(short(&send(&mut play, 5_500, cancel())), ["200 CANCEL"]);
    assert_eq!(run(&mut play, 60_000), []);
    assert_eq!(play.deadline(), None);
}

#[test]
fn answers_just_after_being_cancelled() {
    let (mut play, _) = Play::new(part(plays(98)), at(0));
    run(&mut play, 5_000);
    let cancel = request(&Method::Cancel, "z9hG4bKinvite", 1, None, Bytes::new());
    assert_eq!(short(&send(&mut play, 5_000, cancel)), ["200 CANCEL"]);
    let words: Vec<_> = run(&mut play, 5_100).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["200 INVITE", "media", "talking"]);
    ack(&mut play, 5_200, "z9hG4bKack");
    let bye = request(&Method::Bye, "z9hG4bKbye", 2, Some("ours"), Bytes::new());
    assert_eq!(short(&send(&mut play, 5_300, bye.clone())), ["200 BYE", "over"]);
    assert_eq!(short(&send(&mut play, 5_400, bye)), ["200 BYE"]);
    assert_eq!(run(&mut play, 100_000), []);
    assert_eq!(play.deadline(), None);
}

#[test]
fn silence_is_silence() {
    let (mut play, first) = Play::new(part(plays(97)), at(0));
    assert_eq!(first, []);
    let invite = play.part.invite.clone();
    assert_eq!(send(&mut play, 500, invite), []);
    let cancel = request(&Method::Cancel, "z9hG4bKinvite", 1, None, Bytes::new());
    assert_eq!(send(&mut play, 600, cancel), []);
    assert_eq!(run(&mut play, 600_000), [(36_000, "over".into())]);
    assert_eq!(play.deadline(), None);
}

#[test]
fn who_rings_for_ever_gives_up_at_last() {
    let (mut play, _) = Play::new(part(plays(70)), at(0));
    let said = run(&mut play, 600_000);
    assert_eq!(said[1..], [(600_000, "480 INVITE".into()), (600_000, "over".into())]);
}

#[test]
fn time_passes_faster() {
    let mut fast = part(plays(0));
    fast.speed = 10.0;
    let (mut play, _) = Play::new(fast, at(0));
    let said = run(&mut play, 230);
    assert_eq!((said[0].0, said[1].0), (20, 220));
    ack(&mut play, 230, "z9hG4bKack");
    assert_eq!(run(&mut play, 530)[0], (520, "BYE".into()));
}

#[test]
fn rings_with_sound() {
    let mut early = part(plays(70));
    early.early_media = true;
    let (mut play, _) = Play::new(early, at(0));
    let out = play.handle(at(200), Input::Tick);
    assert_eq!(short(&out), ["183 INVITE", "media"]);
    assert!(sdp::read_answer(&response(&out[0]).body).is_some());
}

#[test]
fn an_offer_that_cannot_be_used() {
    let mut bad = part(plays(0));
    bad.invite.body = Bytes::from_static(b"v=0\r\n");
    let (mut play, _) = Play::new(bad, at(0));
    let words: Vec<_> = run(&mut play, 2_200).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["180 INVITE", "488 INVITE", "over"]);
    // None at all: ours.
    let mut none = part(plays(0));
    none.invite.body = Bytes::new();
    let (mut play, _) = Play::new(none, at(0));
    run(&mut play, 2_199);
    let out = play.handle(at(2_200), Input::Tick);
    assert_eq!(short(&out), ["200 INVITE", "talking"]);
    assert!(sdp::read_answer(&response(&out[0]).body).is_some());
}

#[test]
fn the_session_changes_and_is_refreshed() {
    let (mut play, now) = talking();
    play.part.session_expires = Some(90);
    let held = String::from_utf8(offer().to_vec()).unwrap().replace("sendrecv", "sendonly");
    let change = request(&Method::Invite, "z9hG4bKre", 2, Some("ours"), held.into());
    let out = send(&mut play, now + 100, change);
    assert_eq!(short(&out), ["200 INVITE", "media"]);
    let answer = response(&out[0]);
    assert_eq!(answer.head.session_expires().map(|(seconds, _)| seconds), Some(90));
    assert!(String::from_utf8(answer.body.to_vec()).unwrap().contains("a=recvonly"));
    // Repeated until its own ACK.
    let again = play.handle(at(now + 600), Input::Tick);
    assert_eq!(short(&again), ["200 INVITE"]);
    let ack = request(&Method::Ack, "z9hG4bKre2", 2, Some("ours"), Bytes::new());
    assert_eq!(send(&mut play, now + 700, ack), []);
    assert_eq!(play.handle(at(now + 2_000), Input::Tick), []);

    let update = request(&Method::Update, "z9hG4bKup", 3, Some("ours"), Bytes::new());
    let out = send(&mut play, now + 2_100, update);
    assert_eq!(short(&out), ["200 UPDATE"]);
    assert!(response(&out[0]).body.is_empty());
    let bad = request(&Method::Update, "z9hG4bKup2", 4, Some("ours"), "v=0\r\n".into());
    assert_eq!(short(&send(&mut play, now + 2_200, bad)), ["488 UPDATE"]);
}

#[test]
fn what_does_not_belong_to_the_dialog_is_refused() {
    let (mut play, now) = talking();
    let mut nth = 0;
    let mut ask = |play: &mut Play, method: Method, cseq, tag: &str| {
        nth += 1;
        let branch = format!("z9hG4bK{nth}");
        short(&send(play, now + nth, request(&method, &branch, cseq, Some(tag), Bytes::new())))
    };
    assert_eq!(ask(&mut play, Method::Bye, 2, "stranger"), ["481 BYE"]);
    assert_eq!(ask(&mut play, Method::Options, 5, "ours"), ["200 OPTIONS"]);
    assert_eq!(ask(&mut play, Method::Info, 4, "ours"), ["500 INFO"]);
    assert_eq!(ask(&mut play, Method::Refer, 6, "ours"), ["405 REFER"]);
    assert_eq!(ask(&mut play, Method::Other("X".into()), 7, "ours"), ["405 X"]);
    assert_eq!(ask(&mut play, Method::Bye, 8, "ours"), ["200 BYE", "over"]);
    assert_eq!(ask(&mut play, Method::Bye, 9, "ours"), ["481 BYE"]);
}
