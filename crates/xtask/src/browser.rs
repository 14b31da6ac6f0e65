//! `browser`: tests the demo page and every transport of `ringway.js` in real Chromium against the
//! real gateway, in plain text and over TLS, and the pure parts of `ringway.js` and its types without
//! a browser. Never judges by itself: the scripts do, by their exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ringway_testbed::{Engine, Gateway, Launch};
use serde_json::json;

use crate::checkout::Checkout;
use crate::process;
use crate::server::{self, Engines};
use crate::step::StepOutcome;
use crate::tools::{debian, node};

const UNIT_LIMIT: Duration = Duration::from_secs(60);
const SCENARIOS_LIMIT: Duration = Duration::from_secs(6 * 60);
/// The groups of `scenarios.mjs`, which run at the same time.
const GROUPS: [&str; 3] = ["page", "transports", "others"];
/// A history short enough that a short stream causes a gap, without shares that keep the stream from
/// displacing what pages say when they join, and heartbeats frequent enough for it.
const FORGETFUL: [&str; 4] = [
    "history.events_max=16",
    "history.client_share=100",
    "history.topic_share=100",
    "websocket.ping_interval=500ms",
];
/// A gateway that pages of any origin may use.
const OPEN: [&str; 1] = ["cors.allowed_origins=[\"*\"]"];

/// A key of the private API.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// A gateway whose private API asks for it.
const KEYED: &str =
    "[[server.api_key]]\nname = \"dashboard\"\nscopes = [\"read\"]\nsecret_env = \"KEY\"\n";
/// What a gateway shares with the application that makes tokens for its clients.
const SECRET: &str = "a secret that the scenarios know, too";

/// Test the demo page and `ringway.js` against the gateway, in Chromium.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask browser --only gap")]
pub struct Options {
    /// The engines to run the gateway on.
    #[arg(long, value_enum, default_value_t = Engines::Uring)]
    pub io: Engines,
    /// Test this program in place of the release build.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Run only the scenarios whose names contain this.
    #[arg(long, value_name = "WORDS")]
    pub only: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { io: Engines::Uring, binary: None, only: None }
    }
}

/// Installs what the scripts need, and returns their folder.
pub fn install(checkout: &Checkout) -> Result<PathBuf> {
    node::scripts(checkout, &checkout.path("crates/xtask/browser"), "browser")
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    debian::install_missing()?;
    let scripts = install(checkout)?;
    without_browser(checkout, &scripts)?;
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let artefacts = checkout.artefacts("browser")?;
    let only = options.only.as_deref().unwrap_or_default();
    let mut runs = vec!["units, types".to_owned()];
    for engine in options.io.each() {
        println!("-- scenarios in Chromium on {engine}");
        let run = |group| scenarios(&scripts, &binary, *engine, group, &artefacts, only);
        let results = thread::scope(|scope| {
            let all = GROUPS.map(|group| scope.spawn(move || run(group)));
            all.map(|one| one.join().expect("a group's thread does not panic"))
        });
        let mut ran = false;
        for (group, result) in GROUPS.iter().zip(results) {
            ran |= result.with_context(|| {
                format!("Chromium and the gateway on {engine} disagree in the group {group}")
            })?;
        }
        ensure!(ran, "there is no scenario whose name contains {only:?}");
        runs.push(format!("scenarios on {engine}"));
    }
    Ok(StepOutcome::Passed(format!("{}; pictures in {}", runs.join(", "), artefacts.display())))
}

/// Runs the scenarios of a group with gateways of their own, and prints what they say; whether there
/// were any.
fn scenarios(
    scripts: &Path,
    binary: &Path,
    engine: Engine,
    group: &str,
    artefacts: &Path,
    only: &str,
) -> Result<bool> {
    let authority = server::authority()?;
    let secret = authority.path("secret");
    fs::write(&secret, SECRET)?;
    let identity = format!(
        "[auth]\ncookie = \"ringway_token\"\n\
         [[auth.key]]\nalgorithms = [\"HS256\"]\nsecret_file = {secret:?}\n"
    );
    let server = server::start(binary, engine)?;
    let forgetful = server::start_with(binary, engine, &FORGETFUL)?;
    let open = server::start_with(binary, engine, &OPEN)?;
    let secure = server::start_tls(binary, engine, &authority, &identity)?;
    let file = authority.path("keyed.toml");
    fs::write(&file, KEYED)?;
    let keyed = Launch::of(binary).on(engine).variable("KEY", KEY);
    let keyed = keyed.flags(&["--cores", "1", "--config", &file.to_string_lossy()]).start()?;
    let listener = |gateway: &Gateway| format!("http://{}/", gateway.api);
    let world = json!({
        "gateway": server.page_url(),
        "listener": listener(&server),
        "forgetful": forgetful.page_url(),
        "forgetfulListener": listener(&forgetful),
        "open": open.page_url(),
        "secure": { "url": secure.page_url(), "secret": SECRET },
        "keyed": { "url": listener(&keyed), "key": KEY },
        "pictures": artefacts,
    });
    let mut scenarios = Command::new("node");
    scenarios.arg(scripts.join("scenarios.mjs")).args([&world.to_string(), group, only]);
    let captured = process::capture(scenarios, SCENARIOS_LIMIT)?;
    print!("{}", captured.output);
    ensure!(captured.status.success(), "some scenarios have failed");
    for gateway in [server, forgetful, open, secure, keyed] {
        gateway.stop()?;
    }
    Ok(captured.output.contains("\npassed ") || captured.output.starts_with("passed "))
}

/// Tests the pure parts of `ringway.js`, and its types.
fn without_browser(checkout: &Checkout, scripts: &Path) -> Result<()> {
    let web = checkout.path("crates/gateway/src/web");
    let mut units = Command::new("node");
    units.args(["--test", "--test-reporter", "spec"]).arg(scripts.join("ringway.test.mjs"));
    units.env("RINGWAY_WEB", &web);
    process::check(units, UNIT_LIMIT).context("the pure parts of ringway.js are not right")?;
    let mut types = Command::new("node");
    types
        .arg(scripts.join("node_modules/typescript/bin/tsc"))
        .args(["--noEmit", "--strict", "--target", "es2022"])
        .args(["--lib", "es2022,dom,dom.iterable"])
        .arg(checkout.path("crates/xtask/browser/types.ts"))
        .arg(web.join("ringway.d.ts"));
    process::check(types, UNIT_LIMIT).context("ringway.d.ts is not right")
}
