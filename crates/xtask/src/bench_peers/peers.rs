//! The servers: how each is installed, reports its version, and runs.
//! Never installs anything outside `target/`, and never measures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::cases::{Case, Client, Form, Load, Service, Transport};
use super::dialect::Dialect;
use super::proxy::{Counted, ProxyKind};
use super::report;
use super::tls::Certificate;
use crate::checkout::Checkout;
use crate::tools::{debian, node};
use crate::{process, proxies};

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
    /// nginx that ends TLS in front of the floor.
    Nginx,
    /// HAProxy that does the same.
    Haproxy,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub enum Launch {
    /// A program that prints the address that it listens on.
    Program {
        program: PathBuf,
        arguments: Vec<String>,
        environment: &'static [(&'static str, &'static str)],
        dialect: Dialect,
        tls: Option<Keys>,
    },
    /// nginx, unpacked at `root`, with a configuration template.
    Nginx { root: PathBuf, template: PathBuf, tls: Option<Keys> },
    /// A proxy in front of another server: `program` is its program, or the folder that it was
    /// unpacked into.
    Proxy {
        kind: ProxyKind,
        program: PathBuf,
        template: PathBuf,
        environment: &'static [(&'static str, &'static str)],
        tls: Option<Keys>,
        upstream: Box<Launch>,
        counted: Counted,
    },
}

/// The certificate of a server that speaks TLS.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The path of its files without their endings.
    pub files: String,
    /// The file that clients trust.
    pub authority: PathBuf,
}

/// An installed server.
#[derive(Debug)]
pub struct Installed {
    pub peer: Peer,
    pub version: String,
    program: PathBuf,
    /// The folder of the scripts, or of nginx's packages.
    folder: PathBuf,
    /// The echo behind a proxy.
    upstream: Option<PathBuf>,
    /// The configuration of a server that can also be a proxy.
    relay_template: Option<PathBuf>,
}

impl Installed {
    /// How it is started for this case; `None` if it cannot take part.
    pub fn launch(&self, case: &Case, certificate: &Certificate) -> Option<Launch> {
        if !self.peer.takes_part(case) {
            return None;
        }
        let mut arguments = vec!["--listen=127.0.0.1:0".to_owned()];
        let mut environment: &[_] = &[];
        let mut dialect = Dialect::Relay;
        let keys = || Keys { files: certificate.files(), authority: certificate.authority() };
        let tls = case.tls.map(|_| keys());
        let script = |name: &str| {
            let path = self.folder.join(name).to_string_lossy().into_owned();
            let form = (case.form == Form::Deflate).then(|| "deflate".to_owned());
            let tls = tls.as_ref().map(|keys| format!("tls={}", keys.files));
            [path, "0".to_owned()].into_iter().chain(form).chain(tls).collect()
        };
        if case.service == Service::Relayed || matches!(self.peer, Peer::Nginx | Peer::Haproxy) {
            let (kind, template) = match self.peer {
                Peer::Ringway => (ProxyKind::Ringway, self.relay_template.clone()?),
                Peer::Nginx => (ProxyKind::Nginx, self.program.clone()),
                _ => (ProxyKind::Haproxy, self.program.clone()),
            };
            let program = match kind {
                ProxyKind::Ringway => self.program.clone(),
                ProxyKind::Nginx | ProxyKind::Haproxy => self.folder.clone(),
            };
            let upstream = Box::new(Launch::Program {
                program: self.upstream.clone()?,
                arguments,
                environment,
                dialect,
                tls: None,
            });
            let counted = match case.service {
                Service::Own => Counted::Both,
                Service::Relayed => Counted::Proxy,
            };
            if let (Peer::Ringway, Load::Idle(_)) = (self.peer, case.load) {
                environment = &SMALL_PAGES;
            }
            return Some(Launch::Proxy {
                kind,
                program,
                template,
                environment,
                tls,
                upstream,
                counted,
            });
        }
        match self.peer {
            Peer::Ringway => {
                dialect = Dialect::Ringway;
                arguments.extend(RINGWAY_ARGUMENTS.map(str::to_owned));
                if tls.is_some() {
                    arguments.push(format!("--config={}", certificate.configuration));
                    arguments.push("--set=listener.speaks_tls=true".to_owned());
                }
                if let Load::Idle(_) = case.load {
                    environment = &SMALL_PAGES;
                }
            }
            Peer::Bun => {
                let is_echo =
                    matches!(case.load, Load::Echo { .. } | Load::Churn | Load::Idle(Client::Bare));
                arguments = script(if is_echo { "echo.bun.js" } else { "fanout.bun.js" });
            }
            Peer::Ws => arguments = script("ws.node.mjs"),
            Peer::Floor | Peer::Tungstenite | Peer::Fastwebsockets => {}
            Peer::Nchan => {
                let (root, template) = (self.folder.clone(), self.program.clone());
                return Some(Launch::Nginx { root, template, tls });
            }
            Peer::Nginx | Peer::Haproxy => unreachable!("they are proxies"),
        }
        let program = self.program.clone();
        Some(Launch::Program { program, arguments, environment, dialect, tls })
    }
}

pub const RINGWAY_ARGUMENTS: [&str; 4] = [
    "--api-listen=127.0.0.1:0",
    "--cores=0-0",
    "--io=uring",
    // The longest allowed interval, as only messages are to be counted.
    "--set=websocket.ping_interval=24h",
];

/// A huge page is resident as a whole, so it would hide what connections take.
const SMALL_PAGES: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

impl Peer {
    /// Its name in the table and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ringway => report::BASE,
            Self::Floor => report::FLOOR,
            Self::Bun => "bun",
            Self::Ws => "ws",
            Self::Tungstenite => "tungstenite",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Nchan => "nchan",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
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
                own(checkout, self, "floor", format!("{version} of this repository"))
            }
            Self::Tungstenite => {
                let version = package_version(checkout, "tokio-tungstenite")?;
                own(checkout, self, "peer-tungstenite", version)
            }
            Self::Fastwebsockets => {
                let (version, hyper) = (
                    package_version(checkout, "fastwebsockets")?,
                    package_version(checkout, "hyper")?,
                );
                own(checkout, self, "peer-fastwebsockets", format!("{version}, hyper {hyper}"))
            }
            Self::Nchan => nchan(checkout),
            Self::Nginx => proxy(checkout, self, "nginx-proxy.conf"),
            Self::Haproxy => proxy(checkout, self, "haproxy-proxy.cfg"),
        }
    }

    /// Whether it can do what the case asks for.
    pub fn takes_part(self, case: &Case) -> bool {
        let is_deflate = case.form == Form::Deflate;
        match (self, case.load) {
            (Self::Ringway, _) => true,
            (_, Load::Log) => false,
            (Self::Nginx | Self::Haproxy, load) => {
                let is_echo =
                    matches!(load, Load::Echo { .. } | Load::Churn | Load::Idle(Client::Bare));
                is_echo && (case.tls.is_some() || case.service == Service::Relayed)
            }
            _ if case.service == Service::Relayed => false,
            (peer, _) if case.tls.is_some() && !matches!(peer, Self::Bun | Self::Nchan) => false,
            (Self::Bun | Self::Ws, Load::Echo { .. }) => true,
            (Self::Floor | Self::Tungstenite | Self::Fastwebsockets, Load::Echo { .. }) => {
                !is_deflate
            }
            (Self::Nchan, Load::Echo { .. } | Load::Churn | Load::Idle(Client::Bare)) => false,
            (_, Load::Churn | Load::Idle(Client::Bare)) => true,
            (Self::Fastwebsockets, _) => false,
            (_, Load::Idle(Client::Subscriber)) => true,
            (Self::Floor | Self::Tungstenite, Load::Fanout { transport, .. }) => {
                transport == Transport::WebSocket && !is_deflate
            }
            (Self::Bun | Self::Ws, Load::Fanout { transport, .. }) => {
                transport == Transport::WebSocket
            }
            (Self::Nchan, Load::Fanout { .. } | Load::Return { .. }) => true,
            // It takes one event with each request.
            (Self::Nchan, Load::Post { lines }) => lines == 1,
            (_, Load::Direct) => self == Self::Bun,
            (_, Load::Post { .. } | Load::Return { .. }) => false,
        }
    }
}

fn ringway(checkout: &Checkout) -> Result<Installed> {
    let program = checkout.release_binary();
    let version = last_word(&said_by(&program, &["--version"])?);
    let folder = checkout.release_folder();
    let upstream = Some(Peer::Floor.install(checkout)?.program);
    let relay_template = Some(checkout.path(SOURCES).join("ringway-proxy.toml"));
    Ok(Installed { peer: Peer::Ringway, version, program, folder, upstream, relay_template })
}

/// One of the small servers of `benches/peers`.
fn own(checkout: &Checkout, peer: Peer, binary: &str, version: String) -> Result<Installed> {
    let build = ["build", "--release", "--package", "ringway-peers", "--bin", binary];
    process::check(checkout.cargo(&build), BUILD_LIMIT)?;
    let folder = checkout.release_folder();
    Ok(Installed {
        peer,
        version,
        program: folder.join(binary),
        folder,
        upstream: None,
        relay_template: None,
    })
}

fn bun(checkout: &Checkout) -> Result<Installed> {
    let modules = node::modules(checkout, &checkout.path(SOURCES), MODULES)?;
    let program = modules.join("node_modules/.bin/bun");
    let version = said_by(&program, &["--version"])?;
    let folder = checkout.path(SOURCES);
    Ok(Installed {
        peer: Peer::Bun,
        version,
        program,
        folder,
        upstream: None,
        relay_template: None,
    })
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
    let version = format!("{own}, Node {runtime}");
    let (program, folder) = ("node".into(), modules);
    Ok(Installed { peer: Peer::Ws, version, program, folder, upstream: None, relay_template: None })
}

fn nchan(checkout: &Checkout) -> Result<Installed> {
    let root = checkout.scratch("debian/nchan")?;
    let packages = debian::unpack(&NGINX_PACKAGES, &root)?;
    let nginx = nginx_program(&root);
    ensure!(nginx.is_file(), "Debian's package has no {}", nginx.display());
    let template = checkout.path(SOURCES).join("nchan.conf");
    Ok(Installed {
        peer: Peer::Nchan,
        version: packages.join(", "),
        program: template,
        folder: root,
        upstream: None,
        relay_template: None,
    })
}

/// A proxy of Debian with a configuration of ours, in front of the floor.
fn proxy(checkout: &Checkout, peer: Peer, template: &str) -> Result<Installed> {
    let echo = Peer::Floor.install(checkout)?;
    let (root, packages) = proxies::unpack(checkout)?;
    let package = format!("{} ", peer.name());
    let version = packages.iter().find_map(|one| one.strip_prefix(&package));
    let version = version.with_context(|| format!("no package {package}"))?.to_owned();
    let program = checkout.path(SOURCES).join(template);
    let (folder, upstream) = (root, Some(echo.program));
    Ok(Installed { peer, version, program, folder, upstream, relay_template: None })
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
    use super::super::cases::CASES;
    use super::*;

    #[test]
    fn ringway_takes_part_in_every_case_and_the_others_where_they_can() {
        let part = |peer: Peer| -> Vec<&str> {
            CASES.iter().filter(|case| peer.takes_part(case)).map(|case| case.name).collect()
        };
        assert_eq!(part(Peer::Ringway).len(), CASES.len());
        assert_eq!(
            part(Peer::Nchan),
            [
                "fanout-1000",
                "fanout-9000",
                "fanout-8",
                "fanout-deflate",
                "sse",
                "long-poll",
                "post",
                "return",
                "idle-subscriber",
                "wss-fanout-1000"
            ]
        );
        let bun = part(Peer::Bun);
        assert!(
            bun.contains(&"notify") && bun.contains(&"fanout-deflate") && !bun.contains(&"sse")
        );
        let floor = part(Peer::Floor);
        assert!(!floor.contains(&"echo-deflate") && floor.contains(&"churn"));
        assert!(!part(Peer::Fastwebsockets).contains(&"fanout-1000"));
        let over_tls =
            |peer| part(peer).into_iter().filter(|name| name.starts_with("wss-")).count();
        assert_eq!([Peer::Bun, Peer::Nginx, Peer::Haproxy, Peer::Ws].map(over_tls), [6, 7, 7, 0]);
        assert!(
            part(Peer::Nginx)
                .iter()
                .all(|name| name.starts_with("wss-") || name.starts_with("relay-"))
        );
        assert!(!part(Peer::Bun).iter().any(|name| name.contains("relay")));
    }

    #[test]
    fn a_compressed_case_and_an_idle_one_are_started_differently() {
        let one = |peer| Installed {
            peer,
            version: String::new(),
            program: "program".into(),
            folder: "/folder".into(),
            upstream: Some("floor".into()),
            relay_template: Some("relay.toml".into()),
        };
        let certificate = Certificate::new().unwrap();
        let launch = |peer, name: &str| {
            let case = CASES.iter().find(|case| case.name == name).unwrap();
            match one(peer).launch(case, &certificate).unwrap() {
                Launch::Program { arguments, environment, .. } => (arguments, environment.len()),
                other => panic!("{other:?}"),
            }
        };
        let (arguments, _) = launch(Peer::Bun, "fanout-deflate");
        assert_eq!(arguments, ["/folder/fanout.bun.js", "0", "deflate"]);
        assert_eq!(launch(Peer::Ws, "churn").0, ["/folder/ws.node.mjs", "0"]);
        assert_eq!(launch(Peer::Ringway, "idle").1, SMALL_PAGES.len());
        assert_eq!(launch(Peer::Ringway, "echo-100").1, 0);
        let (arguments, _) = launch(Peer::Bun, "wss-churn");
        assert_eq!(arguments[2], format!("tls={}", certificate.files()));
        let (arguments, _) = launch(Peer::Ringway, "wss-churn");
        assert!(arguments.contains(&format!("--config={}", certificate.configuration)));
    }

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
