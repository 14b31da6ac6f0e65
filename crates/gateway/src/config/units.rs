//! Parses and writes durations ("10s", "250ms", "5m", "1h") and sizes (4096, "64KiB", "1MiB") as
//! operators write them. It never checks a range and never knows which key it reads.

/// Units of a duration with their milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size with their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a text is not a duration or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// A bare number where a unit is needed.
    NoUnit,
    /// No whole number before the unit.
    NoNumber,
    /// An unknown unit.
    UnknownUnit,
    /// The value does not fit in 64 bits.
    TooLarge,
}

/// Milliseconds of a duration such as `"250ms"`; a bare number has no unit.
pub(super) fn parse_duration_ms(text: &str) -> Result<u64, UnitError> {
    match split(text)? {
        (_, "") => Err(UnitError::NoUnit),
        (number, unit) => scale(number, unit, &DURATION_UNITS),
    }
}

/// Bytes of a size such as `"64KiB"`; a bare number is bytes.
pub(super) fn parse_size_bytes(text: &str) -> Result<u64, UnitError> {
    match split(text)? {
        (number, "") => Ok(number),
        (number, unit) => scale(number, unit, &SIZE_UNITS),
    }
}

/// The shortest exact way to write a duration: `"90s"`, `"2m"`, `"0s"`.
pub(super) fn duration_text(milliseconds: u64) -> String {
    match milliseconds {
        0 => "0s".to_owned(),
        _ => largest_exact(milliseconds, &DURATION_UNITS),
    }
}

/// The shortest exact way to write a size: `"64KiB"`, `"125B"`.
pub(super) fn size_text(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        _ => largest_exact(bytes, &SIZE_UNITS),
    }
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    // The text is all digits, so the only possible error is its size.
    let number = number.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, unit.trim_start()))
}

fn scale(number: u64, unit: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit)?;
    number.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

fn largest_exact(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| value.is_multiple_of(*factor))
        .map(|(name, factor)| format!("{}{name}", value / factor))
        .expect("the smallest unit divides every value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let table = [
            ("0s", Ok(0)),
            ("250ms", Ok(250)),
            ("10s", Ok(10_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            (" 10 s ", Ok(10_000)),
            ("10", Err(UnitError::NoUnit)),
            ("", Err(UnitError::NoNumber)),
            ("s", Err(UnitError::NoNumber)),
            ("-5s", Err(UnitError::NoNumber)),
            ("1.5s", Err(UnitError::UnknownUnit)),
            ("5M", Err(UnitError::UnknownUnit)),
            ("5 minutes", Err(UnitError::UnknownUnit)),
            ("99999999999999999999s", Err(UnitError::TooLarge)),
            ("18446744073709551615s", Err(UnitError::TooLarge)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration_ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let table = [
            ("0", Ok(0)),
            ("4096", Ok(4096)),
            ("125B", Ok(125)),
            ("64KiB", Ok(65_536)),
            ("64 KiB", Ok(65_536)),
            ("1MiB", Ok(1 << 20)),
            ("2GiB", Ok(2 << 30)),
            ("64KB", Err(UnitError::UnknownUnit)),
            ("64k", Err(UnitError::UnknownUnit)),
            ("KiB", Err(UnitError::NoNumber)),
            ("17179869184GiB", Err(UnitError::TooLarge)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_written_value_is_read_back() {
        for value in [0, 1, 125, 999, 1000, 1024, 60_000, 65_536, 90_000, 3_600_000, 1 << 30] {
            assert_eq!(parse_duration_ms(&duration_text(value)), Ok(value));
            assert_eq!(parse_size_bytes(&size_text(value)), Ok(value));
        }
        assert_eq!(duration_text(90_000), "90s");
        assert_eq!(size_text(1 << 20), "1MiB");
    }
}
