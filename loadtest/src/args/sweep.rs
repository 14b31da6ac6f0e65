//! The command line of `sweep`.
//!
//! It has no `--rate` and no `--duration`, because `sweep` searches for the rate.

use std::time::Duration;

use clap::Args;

use super::{ArrivalsArg, CommonArgs, MessageArgs, TrafficArgs, count, rate, time};

/// The options of `sweep`.
#[derive(Debug, Clone, Args)]
pub struct SweepArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    /// The latency that 99 in 100 messages must not exceed
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = time)]
    pub p99: Duration,
    /// Messages per second at first; if that is too much, lower rates are tried
    #[arg(long, value_name = "RATE", default_value = "1k", value_parser = rate)]
    pub from: f64,
    /// The highest rate to try
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub to: Option<f64>,
    /// Search until the rate is known to this precision, such as 5%
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub precision: f64,
    /// How long to try each rate; the result is confirmed for three times as long
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time)]
    pub step: Duration,
    /// Pause between two rates
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    pub settle: Duration,
    /// A rate is too high if it fails this many times in a row
    #[arg(long, value_name = "TIMES", default_value = "2", value_parser = count)]
    pub tries: u32,
    /// How messages are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Constant)]
    pub arrivals: ArrivalsArg,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub message: MessageArgs,
}

impl SweepArgs {
    /// The options with which `echo` would measure one step.
    pub fn traffic(&self) -> TrafficArgs {
        TrafficArgs {
            rate: self.from,
            closed: false,
            arrivals: self.arrivals,
            duration: self.step,
            message: self.message.clone(),
        }
    }
}

/// Parses a share from 0.1% to 50% as a number from 0 to 1.
fn percent(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.strip_suffix('%').unwrap_or(text).parse();
    match number {
        Ok(percent) if (0.1..=50.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("write a number of percent from 0.1% to 50%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_a_number_of_percent() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert_eq!(percent("0.5"), Ok(0.005));
        for bad in ["", "%", "0", "51%", "-5%", "nan"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
