//! The cores that the gateway runs on, as an operator writes them: `"auto"`, a count (`2`) or a
//! list (`"0,2-3"`). It never asks the kernel which cores exist.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// The cores to run on, one shard each.
///
/// A bare number is a count. A list has a comma or a dash, so core 5 alone is
/// written `5-5` (or `5,`).
///
/// ```
/// use ringway::config::Cores;
/// assert_eq!("2".parse(), Ok(Cores::Count(2)));
/// assert_eq!("0,2-3".parse(), Ok(Cores::List(vec![0, 2, 3])));
/// assert_eq!("5-5".parse(), Ok(Cores::List(vec![5])));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// Every core that the process may run on.
    Auto,
    /// This number of cores: the first ones that the process may run on.
    Count(usize),
    /// These cores, by the kernel's numbers, ascending and without repeats.
    List(Vec<usize>),
}

/// Why a text is not a choice of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoresError(String);

impl fmt::Display for CoresError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for CoresError {}

impl FromStr for Cores {
    type Err = CoresError;

    fn from_str(text: &str) -> Result<Self, CoresError> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        if !text.contains([',', '-']) {
            let count = number(text)?;
            let most = limits::CORE_NUMBER_MAX + 1;
            return if (1..=most).contains(&(count as u64)) {
                Ok(Self::Count(count))
            } else {
                let reason = "the kernel's core sets have as many entries";
                Err(CoresError(format!("a count of cores is from 1 to {most} ({reason})")))
            };
        }
        let mut cores = Vec::new();
        for part in text.trim_end_matches(',').split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(CoresError(format!("{first}-{last} runs backwards")));
            }
            if last as u64 > limits::CORE_NUMBER_MAX {
                let most = limits::CORE_NUMBER_MAX;
                return Err(CoresError(format!("the highest core number is {most}")));
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        if let Some(pair) = cores.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CoresError(format!("core {} is listed twice", pair[0])));
        }
        Ok(Self::List(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::List(cores) => {
                for core in cores {
                    write!(formatter, "{core},")?;
                }
                Ok(())
            }
        }
    }
}

fn number(text: &str) -> Result<usize, CoresError> {
    let text = text.trim();
    text.parse().map_err(|_| {
        CoresError(format!(
            "{text:?} is not a core number; write \"auto\", a count such as 2, \
             or a list such as \"0,2-3\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        let table = [
            ("auto", Cores::Auto),
            ("1", Cores::Count(1)),
            ("1024", Cores::Count(1024)),
            ("5,", Cores::List(vec![5])),
            ("5-5", Cores::List(vec![5])),
            ("3,0-1", Cores::List(vec![0, 1, 3])),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), Ok(expected.clone()), "{text:?}");
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
    }

    #[test]
    fn an_invalid_choice_of_cores_is_explained() {
        let count =
            "a count of cores is from 1 to 1024 (the kernel's core sets have as many entries)";
        let shape = "; write \"auto\", a count such as 2, or a list such as \"0,2-3\"";
        let table = [
            ("", format!("\"\" is not a core number{shape}")),
            ("all", format!("\"all\" is not a core number{shape}")),
            ("0", count.to_owned()),
            ("1025", count.to_owned()),
            ("3-1", "3-1 runs backwards".to_owned()),
            ("0,1024", "the highest core number is 1023".to_owned()),
            ("0-2,1", "core 1 is listed twice".to_owned()),
            ("-1", format!("\"\" is not a core number{shape}")),
            (",", format!("\"\" is not a core number{shape}")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Cores>(), Err(CoresError(expected)), "{text:?}");
        }
    }
}
