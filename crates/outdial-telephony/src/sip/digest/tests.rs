//! Digests against the values that the standards print, and against our own other side.

use super::*;
use crate::sip::message::{SipMessage, parse};

fn mufasa(password: &str) -> Credentials {
    Credentials { username: "Mufasa".into(), password: Secret(password.into()) }
}

/// An answer with these challenges.
fn refusal(status: u16, lines: &[String]) -> Response {
    let text = format!(
        "SIP/2.0 {status} No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{}\r\nContent-Length: 0\r\n\r\n",
        lines.join("\r\n")
    );
    match parse(text.as_bytes()).unwrap() {
        SipMessage::Response(response) => response,
        SipMessage::Request(_) => unreachable!(),
    }
}

fn www(parameters: &str) -> String {
    format!("WWW-Authenticate: Digest {parameters}")
}

fn challenges(lines: &[String]) -> Option<Challenges> {
    Challenges::of(&refusal(401, lines))
}

/// The parameters of the only header that is answered with.
fn only(answers: &[(&'static str, String)]) -> Parts {
    let [(_, value)] = answers else { panic!("{answers:?}") };
    Parts::parse(value).unwrap()
}

/// The values that RFC 7616 section 3.9.1 and RFC 2617 section 3.5 print.
#[test]
fn the_published_examples() {
    let get = Method::Other("GET".into());
    let realm = "http-auth@example.org";
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS";
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let line = www(&format!(
            "realm=\"{realm}\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"{nonce}\", \
             opaque=\"{opaque}\""
        ));
        let who = mufasa("Circle of Life");
        let made = challenges(&[line]).unwrap();
        let answers = made.authorize(&who, &get, "/dir/index.html", 1, cnonce);
        let parts = only(&answers);
        assert_eq!(parts.get("response"), Some(response));
        assert_eq!(parts.get("algorithm"), Some(algorithm));
        assert_eq!(parts.get("opaque"), Some(opaque));
        assert_eq!((parts.get("nc"), parts.get("cnonce")), (Some("00000001"), Some(cnonce)));
        // Bare, as RFC 7616 section 3.4 wants them.
        assert!(answers[0].1.contains(", qop=auth, nc=00000001, "), "{}", answers[0].1);
    }

    let line = www("realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"");
    let made = challenges(&[line]).unwrap();
    let who = mufasa("Circle Of Life");
    let parts = only(&made.authorize(&who, &get, "/dir/index.html", 1, "0a4f113b"));
    assert_eq!(parts.get("response"), Some("6629fae49393a05397450978507c4ef1"));
    assert_eq!(parts.get("algorithm"), None);
}

#[test]
fn a_peer_without_quality_of_protection() {
    let made = challenges(&[www("realm=\"r\", nonce=\"n\"")]).unwrap();
    let answers = made.authorize(&mufasa("p"), &Method::Register, "sip:h", 1, "c");
    let parts = only(&answers);
    let a1 = hex(&Md5::digest("Mufasa:r:p"));
    let a2 = hex(&Md5::digest("REGISTER:sip:h"));
    assert_eq!(parts.get("response"), Some(hex(&Md5::digest(format!("{a1}:n:{a2}"))).as_str()));
    for absent in ["qop", "nc", "cnonce", "algorithm", "opaque"] {
        assert_eq!(parts.get(absent), None);
    }
}

#[test]
fn the_strongest_that_we_know() {
    let of = |names: &[&str]| {
        let line = |name: &&str| {
            www(&format!("realm=\"r\", nonce=\"{name}\", qop=\"auth\", algorithm={name}"))
        };
        let lines: Vec<_> = names.iter().map(line).collect();
        let made = challenges(&lines)?;
        let parts = only(&made.authorize(&mufasa("p"), &Method::Invite, "sip:h", 1, "c"));
        Some(parts.get("nonce").unwrap().to_owned())
    };
    assert_eq!(of(&["MD5", "SHA-256"]).as_deref(), Some("SHA-256"));
    assert_eq!(of(&["SHA-256", "MD5"]).as_deref(), Some("SHA-256"));
    assert_eq!(of(&["SHA-512-256", "MD5"]).as_deref(), Some("MD5"));
    assert_eq!(of(&["md5", "sha-256-sess"]).as_deref(), Some("sha-256-sess"));
    assert_eq!(of(&["SHA-512-256", "token"]), None);
    // In one line, with another scheme between them.
    let line = "WWW-Authenticate: Digest realm=\"r\", nonce=\"a\", Basic realm=\"r\", \
                Digest realm=\"r\", nonce=\"b\", algorithm=SHA-256, qop=\"auth\"";
    let made = challenges(&[line.to_owned()]).unwrap();
    let parts = only(&made.authorize(&mufasa("p"), &Method::Invite, "sip:h", 1, "c"));
    assert_eq!(parts.get("nonce"), Some("b"));
}

#[test]
fn both_sides_and_realms_at_once() {
    let proxy = |realm: &str| {
        format!("Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"")
    };
    let lines = [proxy("one"), www("realm=\"one\", nonce=\"n\""), proxy("two")];
    let made = Challenges::of(&refusal(407, &lines)).unwrap();
    let answers = made.authorize(&mufasa("p"), &Method::Invite, "sip:h", 1, "c");
    let all: Vec<_> = answers
        .iter()
        .map(|(name, value)| (*name, Parts::parse(value).unwrap().get("realm").unwrap().to_owned()))
        .collect();
    let wanted = [
        ("Authorization", "one".to_owned()),
        ("Proxy-Authorization", "one".to_owned()),
        ("Proxy-Authorization", "two".to_owned()),
    ];
    assert_eq!(all, wanted);
}

#[test]
fn what_we_cannot_answer() {
    for parameters in [
        "nonce=\"n\"",
        "realm=\"r\"",
        "realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
        "realm=\"r\", nonce=\"n\", algorithm=SHA-256-sess",
        "realm=\"r\", nonce=\"n\", algorithm=x",
        "realm=\"r\", nonce",
    ] {
        assert_eq!(challenges(&[www(parameters)]), None, "{parameters}");
    }
    assert_eq!(challenges(&["WWW-Authenticate: Basic realm=\"r\"".into()]), None);
    assert_eq!(challenges(&["X: y".into()]), None);
    // What comes ninth is not looked at.
    let mut many = vec![www("realm=\"r\", nonce=\"n\""); 8];
    many.push(www("realm=\"late\", nonce=\"n\""));
    assert_eq!(challenges(&many).unwrap().0.len(), 1);
}

#[test]
fn a_stale_nonce_is_told() {
    let made =
        |stale: &str| challenges(&[www(&format!("realm=\"r\", nonce=\"n\"{stale}"))]).unwrap();
    assert!(made(", stale=TRUE").is_stale());
    assert!(!made(", stale=false").is_stale());
    assert!(!made("").is_stale());
}

#[test]
fn a_server_knows_who_knows_the_password() {
    for algorithm in Algorithm::ALL {
        let asked = challenge("a \"realm\"", "n", algorithm, true);
        let made = challenges(&[format!("WWW-Authenticate: {asked}")]).unwrap();
        assert!(made.is_stale());
        let right = mufasa("p\"w");
        let [(_, value)] = &made.authorize(&right, &Method::Invite, "sip:b@h", 2, "c\"n")[..]
        else {
            panic!();
        };
        let presented = Presented::parse(value).unwrap();
        assert_eq!((presented.nonce(), presented.realm()), ("n", "a \"realm\""));
        assert!(presented.is_right(&right, &Method::Invite));
        assert!(!presented.is_right(&right, &Method::Register));
        assert!(!presented.is_right(&mufasa("p"), &Method::Invite));
        let other = Credentials { username: "Scar".into(), ..right.clone() };
        assert!(!presented.is_right(&other, &Method::Invite));
    }
}

#[test]
fn secrets_and_names_stay_out_of_logs() {
    let who = mufasa("secret");
    let made = challenges(&[www("realm=\"r\", nonce=\"n\"")]).unwrap();
    let [(_, value)] = &made.authorize(&who, &Method::Invite, "sip:+12125551234@h", 1, "c")[..]
    else {
        panic!();
    };
    let shown = format!("{who:?} {made:?} {:?}", Presented::parse(value).unwrap());
    assert!(!shown.contains("secret") && !shown.contains("5551234"), "{shown}");
}
