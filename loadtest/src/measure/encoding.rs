//! Histograms as text: V2 of the HdrHistogram format, deflated and in base64, as in histogram logs.
//!
//! The input may come from anywhere: decoding never takes more memory than its bounds allow.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::quantiles::Times;

/// More than a histogram of one hour needs, in nanoseconds to five digits.
const INFLATED_BYTES_MAX: u64 = 64 << 20;

/// The first bytes of a compressed histogram.
const COMPRESSED_COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];

/// The header of the compressed form: the cookie and a length.
const COMPRESSED_HEAD_BYTES: usize = 8;

/// Where the uncompressed form has the length of its counts, and where the counts begin.
const LENGTH_AT: usize = 4;
const COUNTS_AT: usize = 40;

/// Encodes a histogram.
///
/// ```
/// use ringway_loadtest::measure::{encoding, quantiles};
/// let mut times = quantiles::times(3);
/// times.record(1_234_567).unwrap();
/// assert_eq!(encoding::decode(&encoding::encode(&times)).unwrap(), times);
/// ```
pub fn encode(times: &Times) -> String {
    let mut bytes = Vec::new();
    let encoded = V2DeflateSerializer::new().serialize(times, &mut bytes);
    encoded.expect("writing to a Vec cannot fail");
    BASE64_STANDARD.encode(bytes)
}

/// Decodes the output of [`encode`], or of any other writer of histogram logs.
///
/// # Errors
/// The text is not a complete histogram.
pub fn decode(text: &str) -> Result<Times> {
    let bytes = BASE64_STANDARD.decode(text).context("it is not base64, or was cut")?;
    ensure!(bytes.starts_with(&COMPRESSED_COOKIE), "it is not a compressed V2 histogram");
    let body = bytes.get(COMPRESSED_HEAD_BYTES..).context("the histogram was cut")?;
    let mut inflated = Vec::new();
    ZlibDecoder::new(body)
        .take(INFLATED_BYTES_MAX)
        .read_to_end(&mut inflated)
        .context("the histogram was cut or changed")?;
    let length = inflated.get(LENGTH_AT..LENGTH_AT + 4).context("the histogram has no head")?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    // The library allocates the declared length before it reads.
    ensure!(inflated.len() == COUNTS_AT + length, "the histogram's length is not what it says");
    let mut rest = &inflated[..];
    Deserializer::new().deserialize(&mut rest).context("the histogram is not well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::quantiles::{record, times};
    use std::time::Duration;

    fn recorded() -> Times {
        let (mut recorded, mut random) = (times(3), fastrand::Rng::with_seed(5));
        for _ in 0..10_000 {
            record(&mut recorded, Duration::from_nanos(random.u64(..) >> random.u32(12..64)));
        }
        recorded
    }

    #[test]
    fn a_histogram_is_read_back_unchanged() {
        for one in [recorded(), times(3)] {
            let again = decode(&encode(&one)).unwrap();
            assert_eq!(again, one);
            assert_eq!((again.max(), again.len()), (one.max(), one.len()));
        }
    }

    #[test]
    fn a_cut_or_changed_encoding_is_refused_or_harmless() {
        let whole = encode(&recorded());
        for end in (0..whole.len()).step_by(97) {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
        let mut random = fastrand::Rng::with_seed(6);
        let bytes = BASE64_STANDARD.decode(&whole).unwrap();
        for _ in 0..300 {
            let mut changed = bytes.clone();
            let at = random.usize(..changed.len());
            changed[at] ^= 1 << random.u32(..8);
            // The result may still be a histogram; decoding must not panic or take all memory.
            let _ = decode(&BASE64_STANDARD.encode(changed));
        }
    }

    #[test]
    fn a_declared_length_reserves_no_memory() {
        use std::io::Write;
        let mut head = vec![0x1c, 0x84, 0x93, 0x13];
        head.extend(u32::MAX.to_be_bytes());
        head.extend([0; 32]);
        let mut bytes = COMPRESSED_COOKIE.to_vec();
        bytes.extend(u32::MAX.to_be_bytes());
        let mut deflater = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::fast());
        deflater.write_all(&head).unwrap();
        let text = BASE64_STANDARD.encode(deflater.finish().unwrap());
        let said = format!("{:#}", decode(&text).unwrap_err());
        assert!(said.contains("length"), "{said}");
    }
}
