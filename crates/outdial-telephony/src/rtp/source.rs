//! What is sent: silence, or sound from memory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::g711;
use crate::sip::sdp::Codec;

/// The longest file that is read: ten minutes of 16-bit sound.
const MAX_FILE: u64 = 10 * 60 * 8_000 * 2 + 4_096;

/// What is sent in a call.
#[derive(Clone, Debug, Default)]
pub(crate) enum Source {
    /// Nothing to hear.
    #[default]
    Silence,
    /// These samples, 8 kHz, over and over.
    Again(Arc<[i16]>),
}

/// Why a file is no sound that can be sent.
#[derive(Debug, Error)]
pub(crate) enum SoundError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("longer than ten minutes")]
    TooLong,
    /// It is no WAV file of 8 kHz, one channel, as µ-law, A-law or 16 bits.
    #[error("not a WAV file with one channel of 8 kHz as µ-law, A-law or 16-bit PCM")]
    Format,
}

/// The sound of a WAV file: 8 kHz, one channel, as µ-law, A-law or 16-bit PCM.
pub(crate) fn read_sound(path: &Path) -> Result<Arc<[i16]>, SoundError> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(SoundError::TooLong);
    }
    Ok(read_wav(&std::fs::read(path)?).ok_or(SoundError::Format)?.into())
}

impl Source {
    /// A tone of 440 Hz, not loud.
    pub(crate) fn tone() -> Self {
        // 11 periods fit exactly into 200 samples.
        let sample = |i: u32| {
            let angle = f64::from(i * 11) / 200.0 * std::f64::consts::TAU;
            // The range of the sine keeps this within 16 bits.
            #[expect(clippy::cast_possible_truncation, reason = "at most 4000")]
            let sample = (angle.sin() * 4_000.0) as i16;
            sample
        };
        Self::Again((0..200).map(sample).collect())
    }

    /// The bytes from sample `from` on.
    pub(super) fn fill(&self, codec: Codec, from: usize, frame: &mut [u8]) {
        frame.fill(g711::silence(codec));
        let Self::Again(samples) = self else { return };
        if samples.is_empty() {
            return;
        }
        let rest = samples.iter().cycle().skip(from % samples.len());
        for (byte, sample) in frame.iter_mut().zip(rest) {
            *byte = g711::encode(codec, *sample);
        }
    }
}

fn read_wav(bytes: &[u8]) -> Option<Vec<i16>> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut format = None;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        // Writers that cannot seek back leave a length that is too long.
        let (chunk, next) = after.split_at(length.min(after.len()));
        match name {
            b"fmt " => format = Some(read_format(chunk)?),
            b"data" => return Some(decode(format?, chunk)),
            _ => {}
        }
        rest = next.get(length % 2..)?;
    }
}

#[derive(Clone, Copy)]
enum Format {
    Linear,
    G711(Codec),
}

fn read_format(chunk: &[u8]) -> Option<Format> {
    let two = |at: usize| Some(u16::from_le_bytes([*chunk.get(at)?, *chunk.get(at + 1)?]));
    let rate = (two(4)?, two(6)?);
    if two(2)? != 1 || rate != (8_000, 0) {
        return None;
    }
    match (two(0)?, two(14)?) {
        (1, 16) => Some(Format::Linear),
        (6, 8) => Some(Format::G711(Codec::Pcma)),
        (7, 8) => Some(Format::G711(Codec::Pcmu)),
        _ => None,
    }
}

fn decode(format: Format, data: &[u8]) -> Vec<i16> {
    match format {
        Format::Linear => {
            let (samples, _) = data.as_chunks::<2>();
            samples.iter().map(|two| i16::from_le_bytes(*two)).collect()
        }
        Format::G711(codec) => data.iter().map(|byte| g711::decode(codec, *byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut all = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        all.extend(format.to_le_bytes());
        all.extend(channels.to_le_bytes());
        all.extend(rate.to_le_bytes());
        all.extend([0; 6]);
        all.extend(bits.to_le_bytes());
        all.extend(b"data");
        all.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        all.extend(data);
        all
    }

    #[test]
    fn reads_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wav");
        std::fs::write(&path, wav(1, 1, 8_000, 16, &[1, 0, 0xff, 0xff])).unwrap();
        assert_eq!(read_sound(&path).unwrap()[..], [1, -1]);
        assert_eq!(read_wav(&wav(7, 1, 8_000, 8, &[0xff, 0])).unwrap(), [0, -32_124]);
        assert_eq!(read_wav(&wav(6, 1, 8_000, 8, &[0xd5])).unwrap(), [8]);
        for bad in [
            wav(1, 2, 8_000, 16, &[]),
            wav(1, 1, 16_000, 16, &[]),
            wav(1, 1, 8_000, 8, &[]),
            wav(3, 1, 8_000, 32, &[]),
            b"RIFF".to_vec(),
            wav(1, 1, 8_000, 16, &[])[..40].to_vec(),
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(read_sound(&path), Err(SoundError::Format)));
        }
        let huge = std::fs::File::create(&path).unwrap();
        huge.set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(read_sound(&path), Err(SoundError::TooLong)));
        assert!(matches!(read_sound(dir.path()), Err(SoundError::Io(_))));
    }

    #[test]
    fn sound_goes_on() {
        let samples: Arc<[i16]> = [1_000, -1_000, 2_000].into();
        let heard = |source: &Source, from| {
            let mut frame = [0; 5];
            source.fill(Codec::Pcma, from, &mut frame);
            frame.map(|byte| i32::from(g711::decode(Codec::Pcma, byte)) / 900)
        };
        assert_eq!(heard(&Source::Again(samples), 1), [-1, 2, 1, -1, 2]);
        assert_eq!(heard(&Source::Silence, 0), [0; 5]);
        assert_eq!(heard(&Source::Again([].into()), 0), [0; 5]);
    }

    #[test]
    fn a_tone_is_one() {
        let Source::Again(samples) = Source::tone() else { panic!() };
        let crossings = samples.windows(2).filter(|two| two[0] <= 0 && two[1] > 0).count();
        assert_eq!((samples.len(), crossings), (200, 11));
    }
}
