//! A cursor is `epoch-sequence`: how far a client has read, in which life of the log. A gap is a
//! range of events that can no longer be read. Never says whether an event is still in the log.

use std::{fmt, str::FromStr};

/// The number of an event in the log's order. The first event is 1; 0 is before it.
pub type Sequence = u64;

const EPOCH_DIGITS: usize = 12;
const SEQUENCE_DIGITS: usize = 16;
const EPOCH_MASK: u64 = (1 << (4 * EPOCH_DIGITS)) - 1;

/// One life of a log: 48 bits that are unique to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// Takes the low 48 bits.
    ///
    /// ```
    /// use ringway_hub::Epoch;
    /// assert_eq!(Epoch::new(0x5_0000_0000_0042), Epoch::new(0x42));
    /// assert_eq!(Epoch::new(0x42).to_string(), "000000000042");
    /// ```
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits & EPOCH_MASK)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// How far a reader has come: it has seen all events for it up to `sequence`.
///
/// ```
/// use ringway_hub::{Cursor, Epoch};
/// let cursor = Cursor { epoch: Epoch::new(0x0193_c5f2_a1b4), sequence: 42 };
/// assert_eq!(cursor.to_string(), "0193c5f2a1b4-0000000000000042");
/// assert_eq!("0193c5f2a1b4-42".parse(), Ok(cursor));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The life of the log.
    pub epoch: Epoch,
    /// All events up to this one have been seen.
    pub sequence: Sequence,
}

impl Cursor {
    /// The length of every cursor's text.
    pub const TEXT_BYTES: usize = EPOCH_DIGITS + 1 + SEQUENCE_DIGITS;

    /// 12 hexadecimal digits, `-`, 16 decimal digits.
    #[must_use]
    pub fn text(self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [b'-'; Self::TEXT_BYTES];
        let mut bits = self.epoch.0;
        for digit in text[..EPOCH_DIGITS].iter_mut().rev() {
            *digit = b"0123456789abcdef"[(bits % 16) as usize];
            bits /= 16;
        }
        let digits = &mut text[EPOCH_DIGITS + 1..];
        // Two independent halves, so that their divisions can overlap. 10^16 events take 60 years
        // at five million a second.
        let (high, low) = (self.sequence / 100_000_000, self.sequence % 100_000_000);
        let (left, right) = digits.split_at_mut(SEQUENCE_DIGITS / 2);
        write_digits(left, (high % 100_000_000) as u32);
        write_digits(right, low as u32);
        text
    }
}

fn write_digits(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CursorFault {
    /// It is not two parts with a `-` between them.
    Shape,
    /// The first part is not 12 hexadecimal digits.
    Epoch,
    /// The second part is not 1 to 16 decimal digits.
    Sequence,
}

impl fmt::Display for CursorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a cursor is an epoch, '-' and a sequence",
            Self::Epoch => "a cursor's epoch has 12 hexadecimal digits",
            Self::Sequence => "a cursor's sequence has 1 to 16 decimal digits",
        })
    }
}

impl std::error::Error for CursorFault {}

impl FromStr for Cursor {
    type Err = CursorFault;

    /// Parses [`Cursor::text`], also with fewer digits in the sequence.
    fn from_str(text: &str) -> Result<Self, CursorFault> {
        let (epoch, sequence) = text.split_once('-').ok_or(CursorFault::Shape)?;
        // `from_str_radix` would accept a sign.
        if epoch.len() != EPOCH_DIGITS || !epoch.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CursorFault::Epoch);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| CursorFault::Epoch)?;
        if sequence.len() > SEQUENCE_DIGITS || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CursorFault::Sequence);
        }
        let sequence = sequence.parse().map_err(|_| CursorFault::Sequence)?;
        Ok(Self { epoch: Epoch::new(epoch), sequence })
    }
}

/// Events after `from` and up to `to` have left the log. Events after `to` can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last event that the reader has read.
    pub from: Sequence,
    /// The last event that has left the log.
    pub to: Sequence,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events after {} up to {} have left the log", self.from, self.to)
    }
}

impl std::error::Error for Gap {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_an_epoch_and_a_sequence_are_a_cursor() {
        for (text, fault) in [
            ("", CursorFault::Shape),
            ("0193c5f2a1b4", CursorFault::Shape),
            ("-", CursorFault::Epoch),
            ("-42", CursorFault::Epoch),
            ("0193c5f2a1b-42", CursorFault::Epoch),
            ("0193c5f2a1b44-42", CursorFault::Epoch),
            ("+193c5f2a1b4-42", CursorFault::Epoch),
            ("0193c5f2a1bg-42", CursorFault::Epoch),
            ("0193c5f2a1b\u{e9}-42", CursorFault::Epoch),
            ("0193c5f2a1b4-", CursorFault::Sequence),
            ("0193c5f2a1b4-+42", CursorFault::Sequence),
            ("0193c5f2a1b4-4 2", CursorFault::Sequence),
            ("0193c5f2a1b4-4-2", CursorFault::Sequence),
            ("0193c5f2a1b4-12345678901234567", CursorFault::Sequence),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back_from_its_text(bits: u64, sequence in 0..10u64.pow(16)) {
            let cursor = Cursor { epoch: Epoch::new(bits), sequence };
            let text = cursor.to_string();
            prop_assert_eq!(text.as_bytes(), cursor.text());
            prop_assert_eq!(&text, &format!("{:012x}-{sequence:016}", bits & EPOCH_MASK));
            prop_assert_eq!(text.parse(), Ok(cursor));
            prop_assert_eq!(format!("{}-{sequence}", cursor.epoch).parse(), Ok(cursor));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }
}
