//! G.711: one byte for a sample, µ-law and A-law.

use crate::sip::sdp::Codec;

/// What is added to a µ-law magnitude, so that its segments begin at powers of two.
const BIAS: u16 = 132;
/// The loudest that µ-law can say.
const LOUDEST: u16 = 32_635;

/// A linear sample as a byte.
pub(crate) fn encode(codec: Codec, sample: i16) -> u8 {
    match codec {
        Codec::Pcmu => {
            let sign = if sample < 0 { 0x80 } else { 0 };
            let magnitude = sample.unsigned_abs().min(LOUDEST) + BIAS;
            // At least 132, at most 32767: the highest bit is one of 7 to 14.
            let segment = 8 - magnitude.leading_zeros().clamp(1, 8);
            let step = low_bits(magnitude >> (segment + 3));
            !(sign | (low_byte(segment) << 4) | step)
        }
        Codec::Pcma => {
            let sign = if sample < 0 { 0 } else { 0x80 };
            // -1 is as far from the middle as 0 is.
            let magnitude = (if sample < 0 { !sample } else { sample }).unsigned_abs() >> 4;
            // Below 2048: the highest bit is one of 0 to 10; what is below 16 is the first segment.
            let segment = 12 - magnitude.leading_zeros().clamp(5, 12);
            let step = low_bits(magnitude >> segment.saturating_sub(1));
            (sign | (low_byte(segment) << 4) | step) ^ 0x55
        }
    }
}

/// A byte as a linear sample.
pub(crate) fn decode(codec: Codec, byte: u8) -> i16 {
    let (is_negative, magnitude) = match codec {
        Codec::Pcmu => {
            let plain = !byte;
            let (segment, step) = (u32::from((plain >> 4) & 7), i16::from(plain & 15));
            (plain >= 0x80, (((step << 3) + 132) << segment) - 132)
        }
        Codec::Pcma => {
            let plain = byte ^ 0x55;
            let (segment, step) = (u32::from((plain >> 4) & 7), i16::from(plain & 15));
            let within = if segment == 0 { step } else { step + 16 };
            (plain < 0x80, ((within << 4) + 8) << segment.saturating_sub(1))
        }
    };
    if is_negative { -magnitude } else { magnitude }
}

/// The byte of nothing to hear.
pub(crate) const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
    }
}

fn low_bits(value: u16) -> u8 {
    low_byte(u32::from(value) & 15)
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    #[test]
    fn every_byte_stays_itself() {
        for codec in BOTH {
            for byte in 0..=255 {
                let again = encode(codec, decode(codec, byte));
                // µ-law has two zeros.
                assert!(
                    again == byte || (codec, byte, again) == (Codec::Pcmu, 0x7f, 0xff),
                    "{byte}"
                );
            }
        }
    }

    #[test]
    fn known_values() {
        assert_eq!((encode(Codec::Pcmu, 0), encode(Codec::Pcma, 0)), (0xff, 0xd5));
        for codec in BOTH {
            assert_eq!(encode(codec, 0), silence(codec));
        }
        assert_eq!((decode(Codec::Pcmu, 0x80), decode(Codec::Pcmu, 0x00)), (32_124, -32_124));
        assert_eq!((decode(Codec::Pcma, 0xaa), decode(Codec::Pcma, 0x2a)), (32_256, -32_256));
        assert_eq!((decode(Codec::Pcma, 0xd5), decode(Codec::Pcma, 0x55)), (8, -8));
    }

    #[test]
    fn no_sample_is_far_off_and_order_stays() {
        for codec in BOTH {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = decode(codec, encode(codec, sample));
                assert!(heard >= before, "{codec:?} {sample}");
                before = heard;
                let off = (i32::from(heard) - i32::from(sample)).unsigned_abs();
                let allowed = u32::from(sample.unsigned_abs()) / 30 + 16;
                assert!(off <= allowed, "{codec:?} {sample} {heard}");
            }
        }
    }
}
