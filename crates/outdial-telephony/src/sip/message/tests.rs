//! Messages as carriers write them, as attackers write them, and as chance writes them.

use std::time::Duration;

use proptest::prelude::*;

use super::head::Via;
use super::*;

/// A request like those of carriers, with every trick that is legal.
const INVITE: &str = "INVITE sip:+12125551234;npdi@192.0.2.9:5080;user=phone SIP/2.0\r\n\
    v: SIP/2.0/TCP proxy.example:5061 ;branch=z9hG4bKtop;rport , \
    SIP / 2.0 / UDP [2001:db8::5]:5060;branch=z9hG4bKold;received=192.0.2.200\r\n\
    Via: SIP/2.0/UDP first.example;branch=0\r\n\
    Max-Forwards: 68\r\n\
    f: \"A \\\"<sip:no@x>\\\" B\" <sip:alice@a.example;tag=uri> ; tag = f-1 ;x=y\r\n\
    t: sip:+12125551234@b.example\r\n\
    i: call.1@a.example\r\n\
    CSEQ:\t 7  INVITE\r\n\
    Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n\
    record-route: <sip:p3.example>\r\n\
    m: <sip:a@192.0.2.4:5062;transport=tcp>;expires=60, \"B\" <sips:b@h>\r\n\
    Subject: folded\r\n  over\r\n\tlines\r\n\
    k: timer, 100rel\r\n\
    Require: timer\r\n\
    Allow: INVITE, ACK,BYE , CANCEL\r\n\
    x: 1800 ; refresher=UAS\r\n\
    Min-SE: 90\r\n\
    c: application/SDP;charset=utf-8\r\n\
    X-Unknown: a:b\r\n\
    l: 4\r\n\r\nbodyand more";

const BUSY: &str = "SIP/2.0 486 Besetzt ü\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;received=192.0.2.2;rport=9\r\n\
    From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
    Retry-After: 18000;duration=3600\r\n\
    Reason: SIP;cause=486, Q.850 ;cause=17;text=\"user; busy\"\r\n\r\n";

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Ok(SipMessage::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn response(text: &str) -> Response {
    match parse(text.as_bytes()) {
        Ok(SipMessage::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_a_request() {
    let read = request(INVITE);
    assert_eq!(read.method, Method::Invite);
    assert_eq!((read.uri.host(), read.uri.port()), ("192.0.2.9", Some(5080)));
    assert_eq!(read.uri.digits().as_deref(), Some("12125551234"));
    assert_eq!(&read.body[..], b"body");
    let head = &read.head;
    let top = Via {
        transport: "TCP".into(),
        host: "proxy.example".into(),
        port: Some(5061),
        branch: "z9hG4bKtop".into(),
        received: None,
        rport: Some(None),
    };
    assert_eq!((&head.via, head.vias().len()), (&top, 3));
    assert_eq!((head.from.uri.host(), head.from.tag.as_deref()), ("a.example", Some("f-1")));
    assert_eq!((head.to.uri.host(), &head.to.tag), ("b.example", &None));
    assert_eq!(
        (head.call_id.as_str(), head.cseq, &head.method),
        ("call.1@a.example", 7, &Method::Invite)
    );
    let route: Vec<_> = head.record_route().unwrap().iter().map(|u| u.host().to_owned()).collect();
    assert_eq!(route, ["p1.example", "p2.example", "p3.example"]);
    let contacts = head.contacts();
    assert_eq!(contacts.len(), 2);
    assert_eq!(contacts[0].uri.as_str(), "sip:a@192.0.2.4:5062;transport=tcp");
    assert_eq!(contacts[0].param("expires"), Some("60"));
    assert_eq!(head.get("subject"), Some("folded over lines"));
    assert!(head.supports("TIMER") && head.supports("100rel") && !head.supports("x"));
    assert_eq!(head.requires(), ["timer"]);
    assert!(head.allows(&Method::Bye) && !head.allows(&Method::Update));
    assert_eq!(head.session_expires(), Some((1800, Some(Refresher::Uas))));
    assert_eq!((head.min_se(), head.get("max-forwards")), (Some(90), Some("68")));
    assert!(head.content_type_is_sdp());
    assert_eq!(head.get("x-unknown"), Some("a:b"));
}

#[test]
fn reads_an_answer() {
    let read = response(BUSY);
    assert_eq!(read.status, 486);
    assert_eq!(read.head.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(read.head.q850(), Some(17));
    assert_eq!(read.head.via.received, Some("192.0.2.2".parse().unwrap()));
    assert_eq!(read.head.via.rport, Some(Some(9)));
    assert!(read.body.is_empty());
    // Blank lines before it, and no phrase.
    let bare = format!("\r\n\r\n{}", BUSY.replace("486 Besetzt ü", "200"));
    assert_eq!(response(&bare).status, 200);
}

#[test]
fn values_that_cannot_be_read_are_none() {
    let with =
        |lines: &str| response(&BUSY.replacen("Retry-After", &format!("{lines}\r\nX"), 1)).head;
    assert_eq!(with("Retry-After: 5 (soon)").retry_after(), Some(Duration::from_secs(5)));
    assert_eq!(with("Retry-After: -5").retry_after(), None);
    let long = with(&format!("Retry-After: {}", "9".repeat(40)));
    assert_eq!(long.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(with("Record-Route: <sip:a@>").record_route(), None);
    assert_eq!(with("Contact: *").contacts(), []);
    assert_eq!(with("Session-Expires: x").session_expires(), None);
    assert_eq!(with("Session-Expires: 90").session_expires(), Some((90, None)));
    let reason = |text: &str| response(&BUSY.replace("Q.850 ;cause=17", text)).head.q850();
    for none in ["Q.850", "Q.850;cause=300", "Q.850;cause=0", "Q.850;cause=x", "Q.85;cause=17"] {
        assert_eq!(reason(none), None, "{none}");
    }
}

#[test]
fn unknown_methods_can_be_answered() {
    let text = INVITE.replace("INVITE sip", "FROBNICATE sip").replace("7  INVITE", "7 FROBNICATE");
    assert_eq!(request(&text).method, Method::Other("FROBNICATE".into()));
    // Case matters (RFC 3261 section 7.1).
    let small = INVITE.replace("INVITE sip", "invite sip").replace("7  INVITE", "7 invite");
    assert_eq!(request(&small).method, Method::Other("invite".into()));
}

#[test]
fn refuses_what_is_no_message() {
    let cases: &[(Malformed, &str, &str)] = &[
        (Malformed::NoEnd, "\r\n\r\n", "\r\n"),
        (Malformed::StartLine, " SIP/2.0\r\nVia", "\r\nVia"),
        (Malformed::Version, "OPTIONS sip:", "OPTIONS  sip:"),
        (Malformed::Version, "OPTIONS sip:b@h", "OPTIONS sip:b@h h"),
        (Malformed::StartLine, "OPTIONS sip:", "OPT(IONS sip:"),
        (Malformed::StartLine, "OPTIONS sip:b@h", "OPTIONS <sip:b@h>"),
        (Malformed::StartLine, "OPTIONS sip:b@h", "OPTIONS\tsip:b@h"),
        (Malformed::Version, "h SIP/2.0\r\nVia", "h SIP/7.0\r\nVia"),
        (Malformed::NotText, "x: y", "x: \0y"),
        (Malformed::NotText, "x: y", "x: a\ry"),
        (Malformed::NotText, "x: y", "x: a\ny: z"),
        (Malformed::NotText, "x: y", "x: a\u{7f}"),
        (Malformed::Header, "x: y", "y"),
        (Malformed::Header, "x: y", ": y"),
        (Malformed::Header, "x: y", "x y: z"),
        (Malformed::Header, "Via: S", " folded\r\nVia: S"),
        (Malformed::Missing, "Call-ID: c\r\n", ""),
        (Malformed::Missing, "From: <sip:a@h>;tag=1\r\n", ""),
        (Malformed::Missing, "CSeq: 1 OPTIONS\r\n", ""),
        (Malformed::Twice, "x: y", "i: d"),
        (Malformed::Twice, "x: y", "To: <sip:c@h>"),
        (Malformed::Twice, "x: y", "l: 0"),
        (Malformed::Twice, "x: y", "CSeq: 1 OPTIONS"),
        (Malformed::Header, "Call-ID: c", "Call-ID: "),
        (Malformed::Header, "Call-ID: c", "Call-ID: c d"),
        (Malformed::Via, ";branch=z", ";x=z"),
        (Malformed::Via, ";branch=z", ";branch="),
        (Malformed::Via, "SIP/2.0/UDP", "HTTP/2.0/UDP"),
        (Malformed::Via, "SIP/2.0/UDP", "SIP/2.0/PIGEON"),
        (Malformed::Via, "UDP h", "UDP h h"),
        (Malformed::Via, "UDP h", "UDP \"h"),
        (Malformed::Address, "<sip:a@h>", "<sip:a@h"),
        (Malformed::Address, "<sip:a@h>", "<sip:a@>"),
        (Malformed::Address, "<sip:a@h>", "<sip:a@h>, <sip:a@h>"),
        (Malformed::CSeq, "1 OPTIONS", "1 INVITE"),
        (Malformed::CSeq, "1 OPTIONS", "OPTIONS"),
        (Malformed::CSeq, "1 OPTIONS", "-1 OPTIONS"),
        (Malformed::CSeq, "1 OPTIONS", "2147483648 OPTIONS"),
        (Malformed::CSeq, "1 OPTIONS", "1 OPTIONS x"),
        (Malformed::ContentLength, "Length: 0", "Length: 1"),
        (Malformed::ContentLength, "Length: 0", "Length: -1"),
        (Malformed::ContentLength, "Length: 0", "Length: 0x0"),
        (Malformed::ContentLength, "Length: 0", "Length: "),
        (Malformed::ContentLength, "Length: 0", "Length: 9999999999999999999999"),
        (Malformed::ContentLength, "Length: 0", "Length: 0\r\n 1"),
    ];
    let good = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nFrom: <sip:a@h>;tag=1\r\n\
                To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nx: y\r\n\
                Content-Length: 0\r\n\r\n";
    assert_eq!(request(good).method, Method::Options);
    for (why, from, to) in cases {
        assert!(good.contains(from), "{from:?}");
        let bad = good.replace(from, to);
        assert_eq!(parse(bad.as_bytes()).err(), Some(*why), "{bad}");
    }
    for status in ["99", "0100", "700", "+20", "2 0", "20x", ""] {
        let bad = BUSY.replace("486", status);
        assert_eq!(parse(bad.as_bytes()).err(), Some(Malformed::Status), "{status}");
    }
    let not_utf8 = good.replace("x: y", "x: ?").into_bytes();
    let not_utf8: Vec<_> = not_utf8.iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect();
    assert_eq!(parse(&not_utf8).err(), Some(Malformed::NotText));
}

#[test]
fn sizes_are_bounded() {
    let of = |line: &str| INVITE.replacen("X-Unknown: a:b", line, 1);
    let long = of(&format!("X: {}", "y".repeat(MAX_LINE)));
    assert_eq!(parse(long.as_bytes()).err(), Some(Malformed::LongLine));
    let fits = of(&format!("X: {}", "y".repeat(MAX_LINE - 3)));
    assert!(parse(fits.as_bytes()).is_ok());
    let folded = of(&format!("X: {}\r\n z", "y".repeat(MAX_LINE - 3)));
    assert_eq!(parse(folded.as_bytes()).err(), Some(Malformed::LongLine));
    let many = of(&"X: y\r\n".repeat(MAX_LINES));
    assert_eq!(parse(many.as_bytes()).err(), Some(Malformed::TooManyLines));
    let big = format!("{INVITE}{}", "y".repeat(MAX_MESSAGE));
    assert_eq!(parse(big.as_bytes()).err(), Some(Malformed::TooLong));
}

#[test]
fn a_stream_learns_the_length() {
    let of = |text: &str| content_length(text.as_bytes());
    assert_eq!(of("INVITE l:7 SIP/2.0\r\nContent-length :  12 \r\n\r\n"), Ok(Some(12)));
    assert_eq!(of("X\r\nY: content-length: 3\r\n\r\n"), Ok(None));
    assert_eq!(of("X\r\nl: 1\r\nL: 1\r\n\r\n"), Err(Malformed::Twice));
    assert_eq!(of("X\r\nl: \r\n 1\r\n\r\n"), Err(Malformed::ContentLength));
}

#[test]
fn where_an_answer_goes() {
    let mut read = request(INVITE);
    assert_eq!(read.reply_to(), None);
    read.set_received("[2001:db8::7]:9999".parse().unwrap());
    assert_eq!(read.reply_to(), Some("[2001:db8::7]:9999".parse().unwrap()));
    assert_eq!(
        read.head.vias()[0],
        "SIP/2.0/TCP proxy.example:5061;branch=z9hG4bKtop;received=2001:db8::7;rport=9999"
    );
    let answer = ResponseBuilder::to(&read, 200).to_tag("t").build().unwrap();
    let answer = response(std::str::from_utf8(&answer).unwrap());
    assert_eq!(answer.head.via, read.head.via);
    let plain = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z\r\n\
                 CSeq: 1 OPTIONS\r\n\
                 From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\n\r\n";
    assert_eq!(request(plain).reply_to(), Some("192.0.2.1:5060".parse().unwrap()));
}

#[test]
fn answers_copy_what_they_must() {
    let read = request(INVITE);
    let built = ResponseBuilder::to(&read, 183)
        .to_tag("mine")
        .header("Contact", "<sip:me@192.0.2.1>")
        .body("application/sdp", Bytes::from_static(b"v=0\r\n\xff"))
        .build()
        .unwrap();
    let Ok(SipMessage::Response(answer)) = parse(&built) else { panic!() };
    assert!(built.starts_with(b"SIP/2.0 183 Session Progress\r\n"));
    assert_eq!(answer.status, 183);
    assert_eq!(answer.head.vias(), read.head.vias());
    assert_eq!(answer.head.from.text(), read.head.from.text());
    assert_eq!(answer.head.to.tag.as_deref(), Some("mine"));
    assert_eq!((answer.head.cseq, &answer.head.method), (7, &Method::Invite));
    assert_eq!(answer.head.record_route(), read.head.record_route());
    assert_eq!(&answer.body[..], b"v=0\r\n\xff");
    // Refusals and 100 make no dialog; a tag that is there stays.
    let text = INVITE.replace("t: sip:+12125551234@b.example", "To: <sip:b@h>;tag=theirs");
    let built = ResponseBuilder::to(&request(&text), 486).to_tag("mine").build().unwrap();
    let Ok(SipMessage::Response(answer)) = parse(&built) else { panic!() };
    assert_eq!(answer.head.to.tag.as_deref(), Some("theirs"));
    assert_eq!(answer.head.record_route(), Some(vec![]));
    assert!(ResponseBuilder::to(&read, 99).build().is_err());
    assert!(ResponseBuilder::to(&read, 200).to_tag("a;b").build().is_err());
}

fn options() -> RequestBuilder {
    let uri = SipUri::new(Some("1"), "h", None).unwrap();
    RequestBuilder::new(&Method::Options, &uri)
        .header("Via", "SIP/2.0/UDP h;branch=z9hG4bKx;rport")
        .header("From", name_addr(&uri, Some("t")))
        .header("To", name_addr(&uri, None))
        .header("Call-ID", "c")
        .header("CSeq", format_args!("{} {}", 1, Method::Options))
}

#[test]
fn what_is_built_can_be_read() {
    let built = options().headers("Route", ["<sip:a;lr>", "<sip:b;lr>"]).build().unwrap();
    assert_eq!(
        std::str::from_utf8(&built).unwrap(),
        "OPTIONS sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx;rport\r\n\
         From: <sip:1@h>;tag=t\r\nTo: <sip:1@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
         Route: <sip:a;lr>\r\nRoute: <sip:b;lr>\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(request(std::str::from_utf8(&built).unwrap()).head.list("Route").len(), 2);
}

#[test]
fn nothing_that_is_not_text_gets_into_a_header() {
    for bad in ["a\r\nX: y", "a\n", "a\rb", "a\0b", "a\u{7f}", "a\u{85}b"] {
        assert!(options().header("X", bad).build().is_err(), "{bad:?}");
        assert!(options().header("X", quoted(bad)).build().is_err(), "{bad:?}");
        let other = Method::Other(bad.into());
        let uri = SipUri::new(None, "h", None).unwrap();
        assert!(RequestBuilder::new(&other, &uri).build().is_err(), "{bad:?}");
    }
    assert!(options().header("X y", "z").build().is_err());
    let big = Bytes::from(vec![0; MAX_MESSAGE]);
    assert!(options().body("x/y", big).build().is_err());
}

#[test]
fn what_is_shown_names_nobody() {
    let shown = format!("{:?} {:?}", parse(INVITE.as_bytes()), request(INVITE).head.to);
    assert!(!shown.contains("5551234") && !shown.contains("alice"), "{shown}");
}

fn touch_everything(message: &SipMessage) {
    let head = message.head();
    let _ = (head.contacts(), head.record_route(), head.retry_after(), head.q850());
    let _ = (head.session_expires(), head.min_se(), head.requires(), head.expires());
    let _ = (head.from.uri.digits(), head.to.uri.user());
    if let SipMessage::Request(request) = message {
        let mut request = request.clone();
        request.set_received("192.0.2.1:5060".parse().unwrap());
        // What was read can be answered, and the answer can be read.
        let answer = ResponseBuilder::to(&request, 180).to_tag("t").build().unwrap();
        assert!(matches!(parse(&answer), Ok(SipMessage::Response(_))), "{answer:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_makes_it_panic(
        of_two in any::<bool>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..6, prop_oneof![
                prop::collection::vec(any::<u8>(), 0..4),
                prop::sample::select(vec![
                    "\r\n", "\"", "<", ">", ";", ",", ":", "@", "%", "\\", "=", "[", "]", " ", "\0",
                    "tag=", "Via: ", "\r\n ", "ü", "9999999999", "l: 3\r\n", "sip:", ";branch=",
                ]).prop_map(|s| s.as_bytes().to_vec()),
            ]),
            0..6,
        ),
    ) {
        let mut bytes = if of_two { INVITE } else { BUSY }.as_bytes().to_vec();
        for (at, remove, with) in changes {
            let at = at.index(bytes.len());
            let end = (at + remove).min(bytes.len());
            bytes.splice(at..end, with);
            if bytes.is_empty() {
                return Ok(());
            }
        }
        if let Ok(message) = parse(&bytes) {
            touch_everything(&message);
        }
    }

    #[test]
    fn random_bytes_neither(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = content_length(&bytes);
    }

    #[test]
    fn any_user_stays_one(user in "\\PC{1,40}", value in ".*") {
        let uri = SipUri::new(Some(&user), "h", Some(5060)).unwrap();
        prop_assert_eq!(uri.user(), Some(user));
        let built = options().header("Subject", quoted(&value)).build();
        prop_assert_eq!(built.is_ok(), !value.chars().any(|c| c.is_control() && c != '\t'));
        if let Ok(bytes) = built {
            let read = parse(&bytes);
            if let Ok(SipMessage::Request(read)) = read {
                prop_assert_eq!(read.head.get("Subject").map(unquoted), Some(value));
            } else {
                prop_assert!(bytes.len() > MAX_LINE, "{:?}", read);
            }
        }
    }
}
