//! The cases of the Autobahn suite, by number: what a report must contain. They were counted from
//! the suite itself, so that a report that lost cases is detected. Never asks the suite at run
//! time.

use anyhow::{Result, ensure};

use crate::wildcard;

/// How many cases each group has: `1.1` with 8 stands for 1.1.1 to 1.1.8.
const CORE: [(&str, u32); 37] = [
    ("1.1", 8),
    ("1.2", 8),
    ("2", 11),
    ("3", 7),
    ("4.1", 5),
    ("4.2", 5),
    ("5", 20),
    ("6.1", 3),
    ("6.2", 4),
    ("6.3", 2),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 11),
    ("6.7", 4),
    ("6.8", 2),
    ("6.9", 4),
    ("6.10", 3),
    ("6.11", 5),
    ("6.12", 8),
    ("6.13", 5),
    ("6.14", 10),
    ("6.15", 1),
    ("6.16", 3),
    ("6.17", 5),
    ("6.18", 5),
    ("6.19", 5),
    ("6.20", 7),
    ("6.21", 8),
    ("6.22", 34),
    ("6.23", 7),
    ("7.1", 6),
    ("7.3", 6),
    ("7.5", 1),
    ("7.7", 13),
    ("7.9", 9),
    ("7.13", 2),
    ("10.1", 1),
];

/// Large messages: up to 16 MiB, in one frame, in fragments and in small writes.
const LIMITS: [(&str, u32); 8] = [
    ("9.1", 6),
    ("9.2", 6),
    ("9.3", 9),
    ("9.4", 9),
    ("9.5", 6),
    ("9.6", 6),
    ("9.7", 6),
    ("9.8", 6),
];

/// permessage-deflate: five kinds of data by default parameters (12), and the
/// seven combinations of offered parameters (13), each at 18 sizes.
const DEFLATE: [(&str, u32); 12] = [
    ("12.1", 18),
    ("12.2", 18),
    ("12.3", 18),
    ("12.4", 18),
    ("12.5", 18),
    ("13.1", 18),
    ("13.2", 18),
    ("13.3", 18),
    ("13.4", 18),
    ("13.5", 18),
    ("13.6", 18),
    ("13.7", 18),
];

/// 16, 64 and 256 bytes in one frame, and 8 KiB in fragments of 256 bytes.
const DEFLATE_SMALL: [u32; 4] = [1, 2, 3, 11];

fn expand(groups: &[(&str, u32)]) -> Vec<String> {
    groups
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}.{number}")))
        .collect()
}

/// Framing, ping, UTF-8, close: 247 cases.
pub fn core() -> Vec<String> {
    expand(&CORE)
}

/// Large messages: 54 cases.
pub fn limits() -> Vec<String> {
    expand(&LIMITS)
}

/// Every combination of data and parameters at small sizes: 48 cases.
pub fn deflate_subset() -> Vec<String> {
    DEFLATE
        .iter()
        .flat_map(|(group, _)| DEFLATE_SMALL.map(|number| format!("{group}.{number}")))
        .collect()
}

/// Those that depend on how records and frames lie to each other, and on how a connection ends.
const OVER_TLS: [(&str, u32); 9] = [
    ("1.1", 8),
    ("1.2", 8),
    ("2", 11),
    ("5", 20),
    ("7.1", 6),
    ("7.3", 6),
    ("7.5", 1),
    ("7.7", 13),
    ("10.1", 1),
];

/// 16 MiB in one frame and in fragments, 1 MiB in small writes, and compressed messages.
const LARGE_OVER_TLS: [&str; 7] =
    ["9.1.6", "9.2.6", "9.3.9", "9.5.6", "9.7.6", "12.1.11", "13.1.11"];

/// What is run over TLS by default: 81 cases.
pub fn over_tls() -> Vec<String> {
    expand(&OVER_TLS).into_iter().chain(LARGE_OVER_TLS.map(str::to_owned)).collect()
}

/// All 517 cases.
pub fn all() -> Vec<String> {
    [expand(&CORE), expand(&LIMITS), expand(&DEFLATE)].concat()
}

/// Whether a case tests permessage-deflate; these take longest.
pub fn is_deflate(case: &str) -> bool {
    case.starts_with("12.") || case.starts_with("13.")
}

/// The cases that match a list such as `1.*,7.7.1`.
pub fn matching(patterns: &str) -> Result<Vec<String>> {
    let all = all();
    let patterns: Vec<&str> = patterns.split(',').map(str::trim).collect();
    for pattern in &patterns {
        ensure!(
            all.iter().any(|case| wildcard::matches(pattern, '*', case)),
            "--cases: no case matches `{pattern}`; cases are numbered 1.1.1 to 13.7.18, \
             and `*` stands for anything, as in `6.*` or `12.1.*`"
        );
    }
    Ok(all
        .into_iter()
        .filter(|case| patterns.iter().any(|pattern| wildcard::matches(pattern, '*', case)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_have_the_sizes_of_the_suite() {
        assert_eq!(core().len(), 247);
        assert_eq!(limits().len(), 54);
        assert_eq!(expand(&DEFLATE).len(), 216);
        assert_eq!(all().len(), 517);
        assert_eq!(deflate_subset().len(), 48);
    }

    #[test]
    fn the_subset_covers_every_group_of_deflate() {
        let subset = deflate_subset();
        for (group, _) in DEFLATE {
            assert!(subset.contains(&format!("{group}.1")), "{group}");
        }
        assert!(subset.iter().all(|case| all().contains(case)));
    }

    #[test]
    fn the_cases_over_tls_are_cases_of_the_suite() {
        assert_eq!(over_tls().len(), 81);
        assert!(over_tls().iter().all(|case| all().contains(case)));
    }

    #[test]
    fn patterns_select_cases_by_number() {
        assert_eq!(matching("1.*").unwrap().len(), 16);
        assert_eq!(matching("10.*, 7.5.1").unwrap().len(), 2);
        assert_eq!(matching("*").unwrap().len(), 517);
        assert!(matching("8.*").unwrap_err().to_string().contains("`8.*`"));
        assert!(matching("1.*,").is_err());
    }
}
