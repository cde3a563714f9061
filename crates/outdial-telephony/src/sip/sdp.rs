//! Session descriptions: one stream of G.711 audio with keys, offered and answered (RFC 3264).
//!
//! Text is read and written by `sdp-types`. What cannot be used is `None`; it is never half used.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sdp_types::{Attribute, Connection, Media, MediaType, Origin, Session, Time, TransportProto};

/// The media type of a session description.
pub(crate) const CONTENT_TYPE: &str = "application/sdp";

/// The longest description that is read, in bytes.
const MAX_BODY: usize = 16_384;
/// The most streams of a description.
const MAX_STREAMS: usize = 8;
/// The payload type that we offer for keys (RFC 4733).
const KEYS: u8 = 101;

/// How sound is written: G.711 of 8 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// µ-law.
    Pcmu,
    /// A-law.
    Pcma,
}

impl Codec {
    const ALL: [Codec; 2] = [Self::Pcmu, Self::Pcma];

    /// Of RFC 3551.
    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
        }
    }
}

/// Which way sound may go, as we see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Both ways.
    SendRecv,
    /// Only from us.
    SendOnly,
    /// Only to us: we are on hold.
    RecvOnly,
    /// No way.
    Inactive,
}

impl Direction {
    /// We may send.
    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    const ALL: [Direction; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The same, seen from the other end.
    const fn turned(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }
}

/// The far end's sound, as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Where it wants its packets.
    pub(crate) addr: SocketAddr,
    /// How they are written.
    pub(crate) codec: Codec,
    /// The payload type of keys.
    pub(crate) dtmf: Option<u8>,
    /// What we may do.
    pub(crate) direction: Direction,
}

/// Our offer: sound in and out at `local`. A description that changes nothing keeps its `version`.
pub(crate) fn offer(session: u64, version: u64, local: SocketAddr) -> Bytes {
    let audio = ours(&Codec::ALL, Some(KEYS), Direction::SendRecv, local.port());
    write(session, version, local.ip(), vec![audio])
}

/// The far end's answer to our offer. None: there is nothing in it that we can use.
pub(crate) fn read_answer(body: &[u8]) -> Option<Remote> {
    let session = read(body)?;
    // An answer has the streams of the offer (RFC 3264 section 6): ours had one.
    read_stream(&session, session.medias.first()?)
}

/// Our answer to an offer, and what it agrees on. None: there is nothing in it that we can use.
pub(crate) fn answer(
    offer: &[u8],
    session: u64,
    version: u64,
    local: SocketAddr,
) -> Option<(Bytes, Remote)> {
    let offered = read(offer)?;
    let streams = || offered.medias.iter().enumerate();
    let (chosen, remote) = streams().find_map(|(i, m)| Some((i, read_stream(&offered, m)?)))?;
    let one = |(i, media): (usize, &Media)| {
        if i == chosen {
            ours(&[remote.codec], remote.dtmf, remote.direction, local.port())
        } else {
            refused(media)
        }
    };
    let medias = streams().map(one).collect();
    Some((write(session, version, local.ip(), medias), remote))
}

fn read(body: &[u8]) -> Option<Session> {
    if body.len() > MAX_BODY {
        return None;
    }
    let session = Session::parse(body).ok()?;
    (session.medias.len() <= MAX_STREAMS).then_some(session)
}

/// A stream of the far end, if it is one that we can use.
fn read_stream(session: &Session, media: &Media) -> Option<Remote> {
    let is_sound = media.media == MediaType::Audio.as_str()
        && media.proto == TransportProto::RtpAvp.to_string();
    if !is_sound || media.port == 0 {
        return None;
    }
    let formats = || media.fmt.split_ascii_whitespace().take(64);
    let codec = formats().find_map(|format| {
        Codec::ALL.into_iter().find(|codec| format == codec.payload_type().to_string())
    })?;
    let dtmf = formats().find(|format| is_keys(media, format)).and_then(|f| f.parse().ok());
    let connection = media.connections.first().or(session.connection.as_ref())?;
    let ip = connection.try_address().ok()?.ip;
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_multicast() || is_broadcast {
        return None;
    }
    let says = direction(&media.attributes).or_else(|| direction(&session.attributes));
    let theirs = says.unwrap_or(Direction::SendRecv);
    let direction = match theirs.turned() {
        // The old way to put on hold (RFC 2543): nowhere to send to.
        Direction::SendRecv if ip.is_unspecified() => Direction::RecvOnly,
        Direction::SendOnly if ip.is_unspecified() => Direction::Inactive,
        direction => direction,
    };
    Some(Remote { addr: SocketAddr::new(ip, media.port), codec, dtmf, direction })
}

/// The payload type `format` stands for keys; it is one that RFC 3551 leaves free.
fn is_keys(media: &Media, format: &str) -> bool {
    let is_free = format.parse().is_ok_and(|n: u8| (96..128).contains(&n));
    let maps = media.get_attribute_values("rtpmap").flatten();
    let is_its_map = |map: &str| {
        let (number, name) = map.split_once(' ').unwrap_or((map, ""));
        number == format && name.trim().eq_ignore_ascii_case("telephone-event/8000")
    };
    is_free && maps.take(64).any(is_its_map)
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    let find = |a: &Attribute| Direction::ALL.into_iter().find(|d| d.as_str() == a.attribute);
    attributes.iter().find_map(find)
}

fn ours(codecs: &[Codec], keys: Option<u8>, direction: Direction, port: u16) -> Media {
    let types = codecs.iter().map(|codec| codec.payload_type()).chain(keys);
    let formats: Vec<_> = types.map(|number| number.to_string()).collect();
    let mut media = Media::new(MediaType::Audio, port, TransportProto::RtpAvp, formats.join(" "));
    for codec in codecs {
        let map = format!("{} {}", codec.payload_type(), codec.name());
        media.add_attribute_with_value("rtpmap", map);
    }
    if let Some(keys) = keys {
        media.add_attribute_with_value("rtpmap", format!("{keys} telephone-event/8000"));
        media.add_attribute_with_value("fmtp", format!("{keys} 0-15"));
    }
    media.add_attribute_with_value("ptime", "20");
    media.add_attribute_from_str(direction.as_str());
    media
}

/// The far end's stream as it is turned down: without a port.
fn refused(media: &Media) -> Media {
    let mut refused = media.clone();
    refused.port = 0;
    refused.num_ports = None;
    refused.connections.clear();
    refused.attributes.clear();
    refused
}

fn write(session: u64, version: u64, local: IpAddr, medias: Vec<Media>) -> Bytes {
    let mut all = Session::new(Origin::with_ip_addr(session, version, local), "-");
    all.connection = Some(Connection::from_ip_addr(local));
    all.times = vec![Time::new(0, 0)];
    all.medias = medias;
    let mut bytes = Vec::new();
    all.write(&mut bytes).expect("a vector takes all that is written");
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local() -> SocketAddr {
        "192.0.2.1:40000".parse().unwrap()
    }

    fn description(lines: &str) -> Vec<u8> {
        let head =
            "v=0\r\no=- 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n";
        format!("{head}{}", lines.replace('\n', "\r\n")).into_bytes()
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn our_offer_is_what_it_says() {
        assert_eq!(
            text(&offer(12, 1, local())),
            "v=0\r\no=- 12 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        let six = text(&offer(1, 1, "[2001:db8::1]:4000".parse().unwrap()));
        assert!(six.contains("c=IN IP6 2001:db8::1\r\n"), "{six}");
    }

    #[test]
    fn two_of_us_agree() {
        let theirs = "198.51.100.1:5000".parse().unwrap();
        let (answer, remote) = answer(&offer(1, 1, local()), 2, 1, theirs).unwrap();
        let wanted = Remote {
            addr: local(),
            codec: Codec::Pcmu,
            dtmf: Some(101),
            direction: Direction::SendRecv,
        };
        assert_eq!(remote, wanted);
        assert_eq!(read_answer(&answer), Some(Remote { addr: theirs, ..wanted }));
    }

    #[test]
    fn the_far_end_chooses_the_codec() {
        let read = |lines: &str| read_answer(&description(lines));
        let one = read("m=audio 5000 RTP/AVP 8 0 96\na=rtpmap:96 telephone-event/8000\n").unwrap();
        assert_eq!((one.codec, one.dtmf), (Codec::Pcma, Some(96)));
        let two = read("m=audio 5000 RTP/AVP 18 0\na=rtpmap:18 G729/8000\n").unwrap();
        assert_eq!((two.codec, two.dtmf), (Codec::Pcmu, None));
        let own = read("m=audio 5000 RTP/AVP 0\nc=IN IP4 203.0.113.5\n").unwrap();
        assert_eq!(own.addr, "203.0.113.5:5000".parse().unwrap());
    }

    #[test]
    fn hold_and_its_end() {
        for (theirs, ours) in [
            ("sendrecv", Direction::SendRecv),
            ("sendonly", Direction::RecvOnly),
            ("recvonly", Direction::SendOnly),
            ("inactive", Direction::Inactive),
        ] {
            let offer = description(&format!("m=audio 5000 RTP/AVP 0\na={theirs}\n"));
            let (answer, remote) = answer(&offer, 1, 2, local()).unwrap();
            assert_eq!(remote.direction, ours);
            assert!(text(&answer).ends_with(&format!("a={}\r\n", ours.as_str())));
            assert_eq!(ours.sends(), theirs.contains("recv"));
        }
        let session_wide = description("a=sendonly\nm=audio 5000 RTP/AVP 0\n");
        assert_eq!(answer(&session_wide, 1, 2, local()).unwrap().1.direction, Direction::RecvOnly);
        let old = description("m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n");
        let (_, remote) = answer(&old, 1, 2, local()).unwrap();
        assert_eq!(remote.direction, Direction::RecvOnly);
        assert!(!remote.direction.sends());
    }

    #[test]
    fn an_answer_has_the_streams_of_the_offer() {
        let offer = description(
            "m=video 6000 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 5000 RTP/AVP 8 111\n\
             a=rtpmap:111 telephone-event/8000\nm=audio 5002 RTP/AVP 0\n",
        );
        let (answer, remote) = answer(&offer, 1, 1, local()).unwrap();
        assert_eq!((remote.codec, remote.dtmf), (Codec::Pcma, Some(111)));
        let answer = text(&answer);
        let streams: Vec<_> = answer.lines().filter(|l| l.starts_with("m=")).collect();
        let wanted = ["m=video 0 RTP/AVP 96", "m=audio 40000 RTP/AVP 8 111", "m=audio 0 RTP/AVP 0"];
        assert_eq!(streams, wanted);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for lines in [
            "",
            "m=video 5000 RTP/AVP 0\n",
            "m=audio 0 RTP/AVP 0\n",
            "m=audio 5000 RTP/SAVP 0\n",
            "m=audio 5000 RTP/AVP 18\na=rtpmap:18 G729/8000\n",
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 224.0.0.1\n",
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 255.255.255.255\n",
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 media.example.com\n",
            "m=audio 70000 RTP/AVP 0\n",
        ] {
            assert_eq!(read_answer(&description(lines)), None, "{lines}");
            assert!(answer(&description(lines), 1, 1, local()).is_none(), "{lines}");
        }
        assert_eq!(read_answer(b""), None);
        assert_eq!(read_answer(b"v=1\r\n"), None);
        let many = description(&"m=audio 5000 RTP/AVP 0\n".repeat(9));
        assert_eq!(read_answer(&many), None);
        let long = description(&format!("m=audio 5000 RTP/AVP 0\na={}\n", "x".repeat(MAX_BODY)));
        assert_eq!(read_answer(&long), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            cut in 0_usize..400,
            at in 0_usize..400,
            with in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut bytes = description(
                "m=audio 5000 RTP/AVP 8 0 96\nc=IN IP4 203.0.113.5\n\
                 a=rtpmap:96 telephone-event/8000\n\
                 a=sendonly\nm=video 5000/2 RTP/AVP 1\nb=AS:1\n",
            );
            let at = at.min(bytes.len());
            bytes.splice(at..at, with);
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = read_answer(&bytes);
            if let Some((answer, remote)) = answer(&bytes, 1, 1, local()) {
                prop_assert!(!remote.addr.ip().is_multicast());
                prop_assert!(read(&answer).is_some());
            }
        }
    }
}
