//! `clients`: tests other people's clients against the real gateway, on each engine: WebSockets,
//! event streams, curl. Never judges by itself: the scripts do, by their exit status.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::checkout::Checkout;
use crate::process;
use crate::server::{self, Engines};
use crate::step::StepOutcome;
use crate::tools::{node, python};

const SCRIPT_LIMIT: Duration = Duration::from_secs(4 * 60);

/// Test Node's `ws` and `eventsource`, Python's `websockets`, and curl against the gateway.
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

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let node_scripts = node::scripts(checkout, &checkout.path("crates/xtask/clients"), "clients")?;
    let python = python::three(checkout, "clients")?.program("python");
    let python_scripts = checkout.path("crates/xtask/clients");
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let mut runs = Vec::new();
    for engine in options.io.each() {
        let server = server::start(&binary, *engine)?;
        let (edge, api) = (server.address.to_string(), server.api.to_string());
        let node = PathBuf::from("node");
        for (name, program, script, arguments) in [
            ("ws (Node)", &node, node_scripts.join("echo.mjs"), vec![server.echo_url()]),
            (
                "websockets (Python)",
                &python,
                python_scripts.join("echo.py"),
                vec![server.echo_url()],
            ),
            ("websockets on the hub", &python, python_scripts.join("story.py"), vec![edge.clone()]),
            (
                "eventsource (Node)",
                &node,
                node_scripts.join("eventsource.mjs"),
                vec![edge.clone(), api],
            ),
            ("curl", &python, python_scripts.join("curl.py"), vec![edge]),
        ] {
            println!("-- {name} on {engine}");
            let mut command = Command::new(program);
            command.arg(script).args(arguments);
            process::check(command, SCRIPT_LIMIT)
                .with_context(|| format!("{name} and the gateway on {engine} disagree"))?;
            runs.push(format!("{name} on {engine}"));
        }
        server.stop()?;
    }
    Ok(StepOutcome::Passed(runs.join(", ")))
}
