//! The start time of a run, as given on the command line.
//!
//! The time of day is in UTC, so that it means the same on hosts in different places.

use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);

/// A run can start at most this far ahead: opening connections never takes longer.
const AHEAD_MAX: Duration = Duration::from_secs(12 * 3600);

/// Parses seconds since 1970, or HH:MM:SS in UTC, which is the next such time of day.
pub fn at(text: &str) -> Result<SystemTime, String> {
    let now =
        SystemTime::UNIX_EPOCH.elapsed().map_err(|_| "the clock is before 1970".to_owned())?;
    let at = moment(text, now)
        .ok_or_else(|| "write seconds since 1970, or a time of day as HH:MM:SS".to_owned())?;
    match at.checked_sub(now) {
        None => Err("that time has passed".to_owned()),
        Some(ahead) if ahead > AHEAD_MAX => {
            Err(format!("that is in {} hours; the time is UTC", ahead.as_secs() / 3600))
        }
        Some(_) => Ok(SystemTime::UNIX_EPOCH + at),
    }
}

/// The time since 1970.
fn moment(text: &str, now: Duration) -> Option<Duration> {
    if !text.contains(':') {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    let mut parts = text.splitn(3, ':').map(|part| {
        let is_plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| is_plain)
    });
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let of_day = Duration::from_secs((hours * 60 + minutes) * 60 + seconds);
    let midnight = Duration::from_secs(now.as_secs() / DAY.as_secs() * DAY.as_secs());
    let today = midnight + of_day;
    Some(if today < now { today + DAY } else { today })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_means_its_next_occurrence() {
        // 1970-01-11 12:00:00.
        let noon = DAY * 10 + DAY / 2;
        assert_eq!(moment("12:00:01", noon), Some(noon + Duration::from_secs(1)));
        assert_eq!(moment("12:00:00", noon), Some(noon));
        assert_eq!(moment("11:59:59", noon), Some(noon + DAY - Duration::from_secs(1)));
        assert_eq!(moment("864001.5", noon), Some(DAY * 10 + Duration::from_millis(1500)));
        for bad in ["", "12:00", "24:00:00", "1:00:00", "12:00:60", "-5", "nan", "12:00:00:00"] {
            assert_eq!(moment(bad, noon), None, "{bad}");
        }
    }

    #[test]
    fn a_time_in_the_past_or_far_future_is_refused() {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(at(&(now + 60).to_string()).is_ok());
        assert!(at(&(now - 60).to_string()).unwrap_err().contains("passed"));
        assert!(at(&(now + 90_000).to_string()).unwrap_err().contains("UTC"));
    }
}
