//! What is heard at the callee: the pace of the packets, and the sound in them.

use std::net::UdpSocket;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, LIMIT, all_at_once, ended, home};
use super::sipp::Play;
use crate::harness::{Home, monotonic};

/// How long the callee listens.
const TALK: Duration = Duration::from_secs(6);
/// What a packet holds.
const FRAME: f64 = 0.02;
/// The two tones of the file, in Hz: each fits whole into a frame.
const TONES: [f64; 2] = [1_000.0, 600.0];
/// How long each lasts, in frames.
const LASTS: usize = 25;
/// How loud they are, of 32,767.
const LOUD: f64 = 8_000.0;

#[test]
fn sip_audio() {
    let silent = home(&[]);
    let mut loud = home(&[]);
    let file = tones(&loud);
    loud.set("OUTDIAL_SIP_SOUND", &file);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let server = silent.serve();
            let cases: &[super::bench::Case] = &[("PCMU, silence", |b| silence(b, 0, 0xff))];
            all_at_once(&silent, &server, cases);
        });
        scope.spawn(|| {
            let server = loud.serve();
            let cases: &[super::bench::Case] =
                &[("PCMU, a file", |b| sound(b, 0)), ("PCMA, a file", |b| sound(b, 8))];
            all_at_once(&loud, &server, cases);
        });
    });
}

fn silence(bench: &Bench<'_>, payload: u8, quiet: u8) {
    let heard = call(bench, payload);
    check_stream(&heard, payload);
    assert!(heard.iter().all(|p| p.sound().iter().all(|byte| *byte == quiet)), "not a sound");
}

/// The tones of the file, one after the other and over again, in every packet one.
fn sound(bench: &Bench<'_>, payload: u8) {
    let heard = call(bench, payload);
    check_stream(&heard, payload);
    let tones: Vec<usize> = heard.iter().map(|p| tone_of(&p.samples(payload))).collect();
    assert_eq!(tones[0], 0, "from the beginning");
    let runs: Vec<(usize, usize)> =
        tones.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    // The last one is cut off by the end of the call.
    let (_, whole) = runs.split_last().unwrap();
    assert!(whole.len() > 8, "{runs:?}");
    assert!(whole.iter().all(|(_, frames)| *frames == LASTS), "{runs:?}");
}

/// The packets of a call to a callee that takes this payload type only.
fn call(bench: &Bench<'_>, payload: u8) -> Vec<Packet> {
    let ear = Ear::open();
    let play = Play::of("answer-bye").hold(u32::try_from(TALK.as_millis()).unwrap());
    let play = play.fill("rtp", ear.port.to_string()).fill("payload", payload.to_string());
    let callee = play.start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
    ear.heard()
}

/// RFC 3550: one source, numbers without a gap, time that goes on by what was sent; and as fast as
/// time goes by.
fn check_stream(heard: &[Packet], payload: u8) {
    let (first, last) = (&heard[0], heard.last().unwrap());
    let wanted = TALK.as_secs_f64() / FRAME;
    // None is made up; a machine that stands still loses some.
    let count = heard.len() as f64 / wanted;
    assert!((0.90..=1.02).contains(&count), "{} packets in {TALK:?}", heard.len());
    let real = (last.at - first.at).as_secs_f64();
    let pace = real / FRAME / (heard.len() - 1) as f64;
    assert!((0.97..=1.10).contains(&pace), "{} packets in {real} s", heard.len());
    let said = f64::from(last.time().wrapping_sub(first.time())) / 8_000.0;
    assert!((0.97..=1.03).contains(&(said / real)), "{said} s of sound in {real} s");

    assert!(first.starts_anew(), "it begins");
    let mut gaps = 0;
    for pair in heard.windows(2) {
        assert_eq!(pair[1].number(), pair[0].number().wrapping_add(1));
        let step = pair[1].time().wrapping_sub(pair[0].time());
        // A pause of a machine that is too busy is said to be one.
        gaps += usize::from(step != 160);
        assert_eq!((step % 160, step != 160), (0, pair[1].starts_anew()), "a step of {step}");
        assert_eq!(pair[0].bytes[8..12], pair[1].bytes[8..12], "one source");
    }
    assert!(gaps <= 3, "{gaps} pauses");
    for packet in heard {
        let (version, kind) = (packet.bytes[0] >> 6, packet.bytes[1] & 0x7f);
        assert_eq!((version, kind, packet.sound().len()), (2, payload, 160), "20 ms");
    }
}

/// One RTP packet, and when it came.
struct Packet {
    at: Duration,
    bytes: Vec<u8>,
}

impl Packet {
    fn number(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    fn time(&self) -> u32 {
        u32::from_be_bytes(self.bytes[4..8].try_into().unwrap())
    }

    /// The marker.
    fn starts_anew(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    fn sound(&self) -> &[u8] {
        &self.bytes[12..]
    }

    fn samples(&self, payload: u8) -> Vec<f64> {
        let read = if payload == 0 { of_mu_law } else { of_a_law };
        self.sound().iter().map(|byte| f64::from(read(*byte))).collect()
    }
}

/// A port where a thread notes what comes, as it comes, until nothing has come for a while after
/// the first.
struct Ear {
    port: u16,
    thread: JoinHandle<Vec<Packet>>,
}

impl Ear {
    fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut heard = Vec::new();
            let mut buffer = [0; 2_048];
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                heard.push(Packet { at: monotonic(), bytes: buffer[..length].to_vec() });
                socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            }
            heard
        });
        Self { port, thread }
    }

    fn heard(self) -> Vec<Packet> {
        let heard = self.thread.join().unwrap();
        assert!(heard.len() > 1, "{} packets", heard.len());
        heard
    }
}

/// Which of the tones these samples are: all of their power is at its frequency.
#[track_caller]
fn tone_of(samples: &[f64]) -> usize {
    let power = samples.iter().map(|s| s * s).sum::<f64>();
    // A sine of this loudness has half its square.
    let wanted = samples.len() as f64 * LOUD * LOUD / 2.0;
    assert!((power / wanted - 1.0).abs() < 0.05, "power {power}, {wanted} was sent");
    let shares = TONES.map(|hz| goertzel(samples, hz) / power);
    let tone = usize::from(shares[1] > shares[0]);
    assert!(shares[tone] > 0.98 && shares[1 - tone] < 0.01, "shares of {TONES:?}: {shares:?}");
    tone
}

/// The power of the samples at a frequency.
fn goertzel(samples: &[f64], hz: f64) -> f64 {
    let factor = 2.0 * (hz / 8_000.0 * std::f64::consts::TAU).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (two, one) = (one, sample + factor * one - two);
    }
    (one * one + two * two - factor * one * two) * 2.0 / samples.len() as f64
}

/// ITU-T G.711, of the recommendation: not of the code under test.
fn of_mu_law(byte: u8) -> i32 {
    let plain = i32::from(!byte);
    let size = ((((plain & 15) << 3) + 132) << ((plain >> 4) & 7)) - 132;
    if plain & 0x80 == 0 { size } else { -size }
}

fn of_a_law(byte: u8) -> i32 {
    let plain = i32::from(byte ^ 0x55);
    let (segment, step) = ((plain >> 4) & 7, (plain & 15) << 4);
    let size = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    if plain & 0x80 == 0 { -size } else { size }
}

/// A WAV file of both tones, 16-bit: its path.
fn tones(home: &Home) -> String {
    let mut data = Vec::new();
    for hz in TONES {
        for i in 0..LASTS * 160 {
            let angle = i as f64 * hz / 8_000.0 * std::f64::consts::TAU;
            data.extend(((angle.sin() * LOUD).round() as i16).to_le_bytes());
        }
    }
    let length = u32::try_from(data.len()).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    let path = home.path("tones.wav");
    std::fs::write(&path, file).unwrap();
    path.display().to_string()
}
