//! The servers: how each is installed, reports its version, and runs.
//! Never installs anything outside `target/`, and never measures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::cases::Load;
use super::table;
use crate::checkout::Checkout;
use crate::process;
use crate::tools::{debian, node};

const ASK_LIMIT: Duration = Duration::from_secs(20);
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// The folder of the scripts, the manifest and the configurations.
const SOURCES: &str = "benches/peers";
/// The folder of Node modules under `target/xtask/node/`, which the benches read, too.
const MODULES: &str = "peers";
/// Debian's packages of nginx and of its module.
const NGINX_PACKAGES: [&str; 2] = ["nginx", "libnginx-mod-nchan"];

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// The gateway on io_uring: the base of all ratios.
    Ringway,
    /// The least io_uring program that echoes frames and checks almost nothing.
    Floor,
    /// Bun's own WebSockets and topics, which are uWebSockets inside.
    Bun,
    /// Node's `ws`.
    Ws,
    /// `tokio-tungstenite`.
    Tungstenite,
    /// `fastwebsockets` on `hyper`.
    Fastwebsockets,
    /// nginx with nchan.
    Nchan,
}

/// The protocol that clients use with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Ringway's subprotocol.
    Ringway,
    /// Messages for `/publish` go to `/subscribe`; elsewhere they are echoed.
    Relay,
}

/// How a server is started.
#[derive(Debug)]
pub enum Launch {
    /// A program that prints the address that it listens on.
    Program { program: PathBuf, arguments: Vec<String>, dialect: Dialect },
    /// nginx, unpacked at `root`, with a configuration template.
    Nginx { root: PathBuf, template: PathBuf },
}

/// An installed server.
#[derive(Debug)]
pub struct Installed {
    pub peer: Peer,
    pub version: String,
    echo: Option<Launch>,
    fanout: Option<Launch>,
}

impl Installed {
    /// How it is started for this load; `None` if it cannot take part.
    pub fn launch(&self, load: Load) -> Option<&Launch> {
        match load {
            Load::Echo { .. } => self.echo.as_ref(),
            Load::Fanout { .. } => self.fanout.as_ref(),
            Load::LongPoll if !matches!(self.peer, Peer::Ringway | Peer::Nchan) => None,
            Load::LongPoll => self.fanout.as_ref(),
        }
    }
}

impl Peer {
    /// Its name in the table and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ringway => table::BASE,
            Self::Floor => table::FLOOR,
            Self::Bun => "bun",
            Self::Ws => "ws",
            Self::Tungstenite => "tungstenite",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Nchan => "nchan",
        }
    }

    /// Installs it, unless it is installed already.
    pub fn install(self, checkout: &Checkout) -> Result<Installed> {
        match self {
            Self::Ringway => ringway(checkout),
            Self::Bun => bun(checkout),
            Self::Ws => ws(checkout),
            Self::Floor => {
                let version = package_version(checkout, "ringway-peers")?;
                own(checkout, self, "floor", format!("{version} of this repository"), Both::Yes)
            }
            Self::Tungstenite => {
                let version = package_version(checkout, "tokio-tungstenite")?;
                own(checkout, self, "peer-tungstenite", version, Both::Yes)
            }
            Self::Fastwebsockets => {
                let (version, hyper) = (
                    package_version(checkout, "fastwebsockets")?,
                    package_version(checkout, "hyper")?,
                );
                let version = format!("{version}, hyper {hyper}");
                own(checkout, self, "peer-fastwebsockets", version, Both::EchoAlone)
            }
            Self::Nchan => nchan(checkout),
        }
    }
}

/// Whether a server also does fan-out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Both {
    Yes,
    EchoAlone,
}

fn ringway(checkout: &Checkout) -> Result<Installed> {
    let launch = || Launch::Program {
        program: checkout.release_binary(),
        arguments: [
            "--listen=127.0.0.1:0",
            "--api-listen=127.0.0.1:0",
            "--cores=0-0",
            "--io=uring",
            // The longest allowed interval, as only messages are to be counted.
            "--set=websocket.ping_interval=24h",
        ]
        .map(str::to_owned)
        .into(),
        dialect: Dialect::Ringway,
    };
    let version = said_by(&checkout.release_binary(), &["--version"])?;
    let (echo, fanout) = (Some(launch()), Some(launch()));
    Ok(Installed { peer: Peer::Ringway, version: last_word(&version), echo, fanout })
}

/// One of the small servers of `benches/peers`.
fn own(
    checkout: &Checkout,
    peer: Peer,
    binary: &str,
    version: String,
    both: Both,
) -> Result<Installed> {
    let build = ["build", "--release", "--package", "ringway-peers", "--bin", binary];
    process::check(checkout.cargo(&build), BUILD_LIMIT)?;
    let launch = || Launch::Program {
        program: checkout.release_folder().join(binary),
        arguments: vec!["--listen=127.0.0.1:0".to_owned()],
        dialect: Dialect::Relay,
    };
    let fanout = (both == Both::Yes).then(launch);
    Ok(Installed { peer, version, echo: Some(launch()), fanout })
}

fn bun(checkout: &Checkout) -> Result<Installed> {
    let modules = node::modules(checkout, &checkout.path(SOURCES), MODULES)?;
    let program = modules.join("node_modules/.bin/bun");
    let version = said_by(&program, &["--version"])?;
    let launch = |script: &str| Launch::Program {
        program: program.clone(),
        arguments: vec![checkout.path(SOURCES).join(script).to_string_lossy().into_owned()],
        dialect: Dialect::Relay,
    };
    let (echo, fanout) = (launch("echo.bun.js"), launch("fanout.bun.js"));
    Ok(Installed { peer: Peer::Bun, version, echo: Some(echo), fanout: Some(fanout) })
}

fn ws(checkout: &Checkout) -> Result<Installed> {
    let modules = node::scripts(checkout, &checkout.path(SOURCES), MODULES)?;
    let runtime = said_by(Path::new("node"), &["--version"])?;
    let manifest = modules.join("node_modules/ws/package.json");
    let manifest: serde_json::Value = serde_json::from_str(
        &fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?,
    )?;
    let own = manifest["version"].as_str().context("the module ws has no version")?;
    let launch = || Launch::Program {
        program: PathBuf::from("node"),
        arguments: vec![modules.join("ws.node.mjs").to_string_lossy().into_owned()],
        dialect: Dialect::Relay,
    };
    let version = format!("{own}, Node {runtime}");
    Ok(Installed { peer: Peer::Ws, version, echo: Some(launch()), fanout: Some(launch()) })
}

fn nchan(checkout: &Checkout) -> Result<Installed> {
    let root = checkout.scratch("debian/nchan")?;
    let packages = debian::unpack(&NGINX_PACKAGES, &root)?;
    let nginx = nginx_program(&root);
    ensure!(nginx.is_file(), "Debian's package has no {}", nginx.display());
    let template = checkout.path(SOURCES).join("nchan.conf");
    let launch = Launch::Nginx { root, template };
    let version = packages.join(", ");
    Ok(Installed { peer: Peer::Nchan, version, echo: None, fanout: Some(launch) })
}

/// nginx below the folder that it was unpacked into.
pub fn nginx_program(root: &Path) -> PathBuf {
    root.join("usr/sbin/nginx")
}

/// The module below the same folder.
pub fn nchan_module(root: &Path) -> PathBuf {
    root.join("usr/lib/nginx/modules/ngx_nchan_module.so")
}

fn said_by(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let captured = process::capture(command, ASK_LIMIT)?;
    ensure!(captured.status.success(), "{} does not run: {}", program.display(), captured.output);
    Ok(captured.output.trim().to_owned())
}

fn last_word(text: &str) -> String {
    text.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// The version of a package in Cargo.lock.
fn package_version(checkout: &Checkout, package: &str) -> Result<String> {
    let lock = fs::read_to_string(checkout.path("Cargo.lock")).context("cannot read Cargo.lock")?;
    locked_version(&lock, package).with_context(|| format!("Cargo.lock has no {package}"))
}

fn locked_version(lock: &str, package: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"hyper-util\"\nversion = \"0.1.21\"\n\n[[package]]\n\
                    name = \"hyper\"\nversion = \"1.12.0\"\nsource = \"registry\"\n";
        assert_eq!(locked_version(lock, "hyper").as_deref(), Some("1.12.0"));
        assert_eq!(locked_version(lock, "hyp"), None);
        let checkout = Checkout::of_this_crate();
        for package in ["tokio-tungstenite", "fastwebsockets", "hyper", "ringway-peers"] {
            assert!(package_version(&checkout, package).is_ok(), "{package}");
        }
    }
}
