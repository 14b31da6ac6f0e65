//! Values on the command line: times, counts, rates, bytes, headers.
//!
//! An error message shows the right form.

use std::time::Duration;

/// A time such as 30s, 500ms or 2m.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write 30s, 500ms or 2m"))?;
    if time <= TIME_MAX { Ok(time) } else { Err("it may be at most 12 days".to_owned()) }
}

/// Messages carry times modulo 13 days, so a run must end before the times wrap around.
const TIME_MAX: Duration = Duration::from_secs(12 * 24 * 3600);

/// A number of things: 10000, 10_000 or 10k. At least one.
pub fn count(text: &str) -> Result<u32, String> {
    let number = scaled(text)?;
    if number.fract() != 0.0 || !(1.0..=f64::from(u32::MAX)).contains(&number) {
        return Err("it must be a whole number, 1 or more".to_owned());
    }
    Ok(number as u32)
}

/// A number of threads: at least one, and not many more than the machine can use.
pub fn threads(text: &str) -> Result<u32, String> {
    let (number, cores) = (count(text)?, ringway_acceptor::cores::allowed());
    let max = cores.map_or(0, |cores| cores.len() as u32).max(THREADS_ALWAYS);
    if number <= max {
        return Ok(number);
    }
    Err(format!(
        "it may be at most {max} here: more threads than cores take the CPU from one another, and \
         each has buffers of its own of up to 64 MiB and hands over histograms four times a second"
    ))
}

/// This many threads are allowed even on a machine with fewer cores.
const THREADS_ALWAYS: u32 = 64;

/// A number per second: 50000, 50k or 0.5. More than 0.
pub fn rate(text: &str) -> Result<f64, String> {
    let number = scaled(text)?;
    if number > 0.0 && number <= RATE_MAX {
        Ok(number)
    } else {
        Err("it must be more than 0 and at most 100M".to_owned())
    }
}

/// No machine can send more.
const RATE_MAX: f64 = 1e8;

/// Bytes: 65536, 64k (of 1,024) or 1M.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number: usize = digits.parse().map_err(|_| "write 64, 16k or 1M".to_owned())?;
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes <= MESSAGE_BYTES_MAX);
    bytes.ok_or_else(|| "it may be at most 64M".to_owned())
}

/// The maximum size of a message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

fn scaled(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let number: f64 = digits
        .replace('_', "")
        .parse()
        .map_err(|_| "write a number, such as 500, 10_000, 10k or 1M".to_owned())?;
    if number.is_finite() { Ok(number * factor) } else { Err("it must be finite".to_owned()) }
}

/// The headers that handshakes and requests set themselves (RFC 6455 §4.1).
const HEADERS_OURS: [&str; 7] = [
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// A header such as `Name: value`, or `@FILE` with one in its only line: a secret on the command line
/// would be in the list of processes.
pub fn header(text: &str) -> Result<(String, String), String> {
    if let Some(path) = text.strip_prefix('@') {
        let line = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        return match line.contains(['\r', '\n']) || line.starts_with('@') {
            true => Err(format!("{path}: write one header, in one line")),
            // What is wrong with it is not said: it would show the secret.
            false => header(line).map_err(|_| format!("{path}: write it as 'Name: value'")),
        };
    }
    let (name, value) =
        text.split_once(':').ok_or_else(|| "write it as 'Name: value'".to_owned())?;
    let name = name.trim();
    let lower = name.to_ascii_lowercase();
    if lower == "sec-websocket-protocol" {
        return Err("ask for a subprotocol with --subprotocol NAME".to_owned());
    }
    if HEADERS_OURS.contains(&&*lower) {
        return Err(format!("{name} is sent by this program itself, and would be sent twice"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_header_replaces_ours() {
        assert_eq!(header("X-A : b:c "), Ok(("X-A".to_owned(), "b:c".to_owned())));
        for name in HEADERS_OURS {
            let said = header(&format!("{} : x", name.to_uppercase())).unwrap_err();
            assert!(said.contains("twice"), "{said}");
        }
        assert!(header("Sec-WebSocket-Protocol: chat").unwrap_err().contains("--subprotocol"));
    }

    #[test]
    fn a_header_in_a_file_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let given = format!("@{}", file.path().display());
        std::fs::write(&file, "Authorization: Bearer hunter2\n").unwrap();
        let wanted = ("Authorization".to_owned(), "Bearer hunter2".to_owned());
        assert_eq!(header(&given), Ok(wanted));
        for wrong in
            ["hunter2", "A: hunter2\nB: c", "A: hunter2\r\n", "Upgrade: hunter2", "@hunter2"]
        {
            std::fs::write(&file, wrong).unwrap();
            let said = header(&given).unwrap_err();
            assert!(said.contains("write") && !said.contains("hunter2"), "{said}");
        }
        assert!(header("@/nowhere").unwrap_err().contains("/nowhere"));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1.5k"), Ok(1500));
        assert_eq!(count("10_000"), Ok(10_000));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(bytes("16k"), Ok(16_384));
        for bad in ["", "k", "0", "-1", "0.5", "1e99", "nan"] {
            assert!(count(bad).is_err(), "{bad}");
        }
        for bad in ["0", "-5", "inf", "1e9"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["", "65M", "x", "18446744073709551615k"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
