//! `clients`: tests other people's clients against the real gateway, on each engine: WebSockets,
//! event streams, curl, in plain text and over TLS; tokens that other libraries have made; and
//! CloudEvents that another library reads. Never judges by itself: the scripts do, by their exit status.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::checkout::Checkout;
use crate::process;
use crate::server::{self, Engines, Layer};
use crate::step::StepOutcome;
use crate::tools::{node, python};

const SCRIPTS: &str = "crates/xtask/clients";
const SCRIPT_LIMIT: Duration = Duration::from_secs(4 * 60);

/// Test Node's `ws` and `eventsource`, Python's `websockets`, and curl against the gateway, in plain
/// text and over TLS, tokens made by PyJWT and `jose`, and CloudEvents with Python's `cloudevents`.
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

/// Installs the clients; returns the folder of Node's scripts and the Python that has the others.
pub fn install(checkout: &Checkout) -> Result<(PathBuf, PathBuf)> {
    let node_scripts = node::scripts(checkout, &checkout.path(SCRIPTS), "clients")?;
    Ok((node_scripts, python::three(checkout, "clients")?.program("python")))
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let (node_scripts, python) = install(checkout)?;
    let python_scripts = checkout.path(SCRIPTS);
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let authority = server::authority()?;
    let trusted = authority.path("ca.pem");
    let node = PathBuf::from("node");
    let mut runs = Vec::new();
    let layers = [Layer::Plain, Layer::Tls];
    for (engine, layer) in
        options.io.each().iter().flat_map(|engine| layers.map(|layer| (*engine, layer)))
    {
        let (server, what) = (layer.start(&binary, engine, &authority)?, layer.on(engine));
        let (edge, api) = (server.page_url(), server.api.to_string());
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
            println!("-- {name} on {what}");
            let mut command = Command::new(program);
            command.arg(script).args(arguments);
            // Each client learns of the authority in its own way.
            for variable in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE"] {
                command.env(variable, &trusted);
            }
            process::check(command, SCRIPT_LIMIT)
                .with_context(|| format!("{name} and the gateway on {what} disagree"))?;
            runs.push(format!("{name} on {what}"));
        }
        server.stop()?;
    }
    for (name, program, script) in [
        ("PyJWT", &python, python_scripts.join("tokens.py")),
        ("jose (Node)", &node, node_scripts.join("tokens.mjs")),
        ("cloudevents (Python)", &python, python_scripts.join("cloud_events.py")),
    ] {
        // The script makes keys, and a configuration of the gateway that has them.
        let keys = checkout.scratch("tokens")?.join(name);
        let run = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.arg(&script).args([arguments[0], &keys.to_string_lossy()]);
            command.args(&arguments[1..]);
            process::check(command, SCRIPT_LIMIT)
        };
        run(&["keys"])?;
        for engine in options.io.each() {
            println!("-- {name} on {engine}");
            let server = server::start_configured(&binary, *engine, &keys.join("ringway.toml"))?;
            run(&["check", &server.page_url()])
                .with_context(|| format!("{name} and the gateway on {engine} disagree"))?;
            runs.push(format!("{name} on {engine}"));
            server.stop()?;
        }
    }
    Ok(StepOutcome::Passed(runs.join(", ")))
}
