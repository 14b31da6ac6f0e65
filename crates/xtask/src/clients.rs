//! `clients`: other people's WebSocket clients against the real gateway, on
//! each engine. Never judges by itself: the scripts do, by their exit status.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::checkout::Checkout;
use crate::process;
use crate::server::{self, Engines, Server};
use crate::step::Outcome;
use crate::tools::{node, python};

const SCRIPT_LIMIT: Duration = Duration::from_secs(4 * 60);

/// Hold Node's `ws` and Python's `websockets` against the gateway.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask clients --io epoll")]
pub struct Options {
    /// The engines to run the gateway on.
    #[arg(long, value_enum, default_value_t = Engines::Both)]
    pub io: Engines,
    /// Test this program in place of the release build.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { io: Engines::Both, binary: None }
    }
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<Outcome> {
    let node_script = node::scripts(checkout, "clients")?.join("echo.mjs");
    let python = python::three(checkout, "clients")?;
    let python_script = checkout.path("crates/xtask/clients/echo.py");
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let mut runs = Vec::new();
    for engine in options.io.each() {
        let server = Server::start(&binary, *engine)?;
        for (name, program, script) in [
            ("ws (Node)", PathBuf::from("node"), &node_script),
            ("websockets (Python)", python.program("python"), &python_script),
        ] {
            println!("-- {name} on {engine}");
            let mut command = Command::new(program);
            command.arg(script).arg(server.echo_url());
            process::check(command, SCRIPT_LIMIT)
                .with_context(|| format!("{name} and the gateway on {engine} disagree"))?;
            runs.push(format!("{name} on {engine}"));
        }
        server.stop()?;
    }
    Ok(Outcome::Passed(runs.join(", ")))
}
