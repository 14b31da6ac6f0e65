//! The options of `calibrate` for the costs of the tester and of a server, and their cases.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::exit::{require, usage};

/// The server, and the cases.
#[derive(Debug, Clone, Args)]
pub struct CostArgs {
    /// Instead, measure what a message costs this tester and a server: the server's ws: URL for
    /// echoes. The exit status is 3 if the tester costs more in a case
    #[arg(long, value_name = "URL", requires = "pid")]
    pub echo_url: Option<String>,
    /// The server's process, on this host
    #[arg(long, value_name = "PID", requires = "echo_url")]
    pub pid: Option<u32>,
    /// Where subscribers of the fan-out connect, as --url of `fanout`
    #[arg(long, value_name = "URL", requires = "echo_url")]
    pub subscribe_url: Option<String>,
    /// Where its publisher connects, as in `fanout`
    #[arg(long, value_name = "URL", requires = "subscribe_url")]
    pub publish_url: Option<String>,
    /// The message to publish, as --message of `fanout`
    #[arg(long, value_name = "TEMPLATE", requires = "subscribe_url")]
    pub publish_message: Option<String>,
    /// Only these cases; by default all, and the fan-out if there is a --subscribe-url
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CASE")]
    pub case: Vec<CostCase>,
    /// Source addresses, such as 127.0.0.1-127.0.0.8
    #[arg(long, value_name = "ADDRESSES", requires = "echo_url")]
    pub source: Option<String>,
    /// Without stamps, in the cases of a closed loop of echoes
    #[arg(long, requires = "echo_url")]
    pub unstamped: bool,
}

impl CostArgs {
    /// The URL for echoes and the server's process.
    ///
    /// # Errors
    /// They are missing, or the fan-out is asked for without a URL.
    pub fn server(&self) -> Result<(&str, u32)> {
        require(self.subscribe_url.is_some() || !self.case.contains(&CostCase::Fanout), || {
            "--case fanout needs a --subscribe-url".to_owned()
        })?;
        let url = self.echo_url.as_deref().context("--echo-url is missing").map_err(usage)?;
        Ok((url, self.pid.context("--pid is missing").map_err(usage)?))
    }

    /// The cases to measure.
    pub fn cases(&self) -> Vec<CostCase> {
        let all = CostCase::value_variants().iter().copied();
        let is_possible =
            |case: &CostCase| *case != CostCase::Fanout || self.subscribe_url.is_some();
        match self.case.is_empty() {
            true => all.filter(is_possible).collect(),
            false => self.case.clone(),
        }
    }
}

/// A case in which servers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CostCase {
    /// 64 bytes on 100 connections.
    #[value(name = "echo-100")]
    Echo100,
    /// 64 bytes on 1,000 connections.
    #[value(name = "echo-1000")]
    Echo1000,
    /// 64 bytes on 10,000 connections.
    #[value(name = "echo-10000")]
    Echo10000,
    /// 16 messages outstanding on each of 100 connections.
    Pipelined,
    /// 1 KiB of text on 1,000 connections.
    Text,
    /// 16 KiB on 64 connections.
    #[value(name = "16k")]
    Large16k,
    /// 1 MiB on 64 connections.
    #[value(name = "1m")]
    Large1m,
    /// 40,000 messages per second on 1,000 connections.
    Fixed,
    /// One publisher and 1,000 subscribers.
    Fanout,
    /// 32 connections at a time, each with one echo.
    Churn,
}

impl CostCase {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo100 => "echo-100",
            Self::Echo1000 => "echo-1000",
            Self::Echo10000 => "echo-10000",
            Self::Pipelined => "pipelined",
            Self::Text => "text",
            Self::Large16k => "16k",
            Self::Large1m => "1m",
            Self::Fixed => "fixed",
            Self::Fanout => "fanout",
            Self::Churn => "churn",
        }
    }

    /// Its load, in words.
    pub fn load(self) -> &'static str {
        match self {
            Self::Echo100 => "echo 64 B, N=100",
            Self::Echo1000 => "echo 64 B, N=1,000",
            Self::Echo10000 => "echo 64 B, N=10,000",
            Self::Pipelined => "pipelined 16 deep, N=100",
            Self::Text => "1 KiB text, N=1,000",
            Self::Large16k => "16 KiB, N=64",
            Self::Large1m => "1 MiB, N=64",
            Self::Fixed => "40k/s, N=1,000",
            Self::Fanout => "fan-out 1->1,000",
            Self::Churn => "connect, echo, close",
        }
    }

    /// The options of `compare` that make it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Echo100 => &["-c", "100"],
            Self::Echo1000 => &["-c", "1000"],
            Self::Echo10000 => &["-c", "10000"],
            Self::Pipelined => &["-c", "100", "--pipeline", "16"],
            Self::Text => &["-c", "1000", "--size", "1024", "--text"],
            Self::Large16k => &["-c", "64", "--size", "16K"],
            Self::Large1m => &["-c", "64", "--size", "1M"],
            Self::Fixed => &["-c", "1000", "--rate", "40k"],
            Self::Fanout => &["-c", "1000", "--mode", "fanout", "--size", "128"],
            Self::Churn => &["-c", "32", "--mode", "churn"],
        }
    }

    /// Whether it is a closed loop of echoes.
    pub fn may_be_unstamped(self) -> bool {
        !matches!(self, Self::Fixed | Self::Fanout | Self::Churn)
    }
}
