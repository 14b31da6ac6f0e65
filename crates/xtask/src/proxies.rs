//! `proxies`: the gateway behind nginx, HAProxy and Caddy from Debian, which tell it the addresses
//! of their clients. Never judges by itself: the script does, and the gateway's log.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ringway_testbed::{Engine, Gateway, Server};
use rustix::process::Signal;

use crate::checkout::Checkout;
use crate::process;
use crate::server::{self, Engines};
use crate::step::StepOutcome;
use crate::tools::debian;

/// The proxies, and the libraries that HAProxy needs and a Debian may lack.
const PACKAGES: [&str; 6] =
    ["nginx", "haproxy", "caddy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];

const SOURCES: &str = "crates/xtask/proxies";
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Test the gateway behind nginx, HAProxy (PROXY protocol 1 and 2, X-Forwarded-For) and Caddy.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask proxies --io epoll")]
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

/// A proxy in one configuration.
struct Proxy {
    name: &'static str,
    program: &'static str,
    template: &'static str,
    /// Replacements in the template besides the addresses and the folder.
    words: &'static [(&'static str, &'static str)],
    arguments: fn(&Path, &Path) -> Vec<String>,
    /// A further setting of the gateway.
    setting: Option<&'static str>,
    /// The proxy reads its clients' requests, or passes their bytes on.
    speaks: &'static str,
}

const HAPROXY: Proxy = Proxy {
    name: "HAProxy",
    program: "usr/sbin/haproxy",
    template: "haproxy.cfg",
    words: &[],
    arguments: |config, _| vec!["-db".to_owned(), "-f".to_owned(), config.display().to_string()],
    setting: None,
    speaks: "http",
};

const PROXY_PROTOCOL: Option<&str> = Some("listener.proxy_protocol=true");

const PROXIES: [Proxy; 5] = [
    Proxy {
        name: "nginx",
        program: "usr/sbin/nginx",
        template: "nginx.conf",
        words: &[],
        arguments: |config, prefix| {
            let (config, prefix) = (config.display(), prefix.display());
            ["-p", &prefix.to_string(), "-c", &config.to_string()].map(str::to_owned).into()
        },
        setting: None,
        speaks: "http",
    },
    Proxy {
        name: "HAProxy with X-Forwarded-For",
        words: &[("MODE", "http"), ("OPTION", "option forwardfor"), ("SEND", "")],
        ..HAPROXY
    },
    Proxy {
        name: "HAProxy with PROXY protocol 1",
        words: &[("MODE", "tcp"), ("OPTION", ""), ("SEND", "send-proxy")],
        setting: PROXY_PROTOCOL,
        speaks: "tcp",
        ..HAPROXY
    },
    Proxy {
        name: "HAProxy with PROXY protocol 2",
        words: &[("MODE", "tcp"), ("OPTION", ""), ("SEND", "send-proxy-v2")],
        setting: PROXY_PROTOCOL,
        speaks: "tcp",
        ..HAPROXY
    },
    Proxy {
        name: "Caddy",
        program: "usr/bin/caddy",
        template: "Caddyfile",
        words: &[],
        arguments: |config, _| {
            let config = config.display().to_string();
            ["run", "--adapter", "caddyfile", "--config", &config].map(str::to_owned).into()
        },
        setting: None,
        speaks: "http",
    },
];

/// Unpacks the proxies; returns the folder, and each package with its version.
pub fn unpack(checkout: &Checkout) -> Result<(PathBuf, Vec<String>)> {
    let root = checkout.scratch("debian/proxies")?;
    let packages = debian::unpack(&PACKAGES, &root)?;
    Ok((root, packages))
}

/// The folder of the libraries that HAProxy needs, for `LD_LIBRARY_PATH`.
pub fn libraries(root: &Path) -> PathBuf {
    root.join("usr/lib/x86_64-linux-gnu")
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let (root, _) = unpack(checkout)?;
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let mut runs = Vec::new();
    for engine in options.io.each() {
        for proxy in &PROXIES {
            println!("-- {} on {engine}", proxy.name);
            check(checkout, proxy, &root, &binary, *engine)
                .with_context(|| format!("{} in front of the gateway on {engine}", proxy.name))?;
            runs.push(format!("{} on {engine}", proxy.name));
        }
    }
    Ok(StepOutcome::Passed(runs.join(", ")))
}

fn check(
    checkout: &Checkout,
    proxy: &Proxy,
    root: &Path,
    binary: &Path,
    engine: Engine,
) -> Result<()> {
    let mut settings = vec![
        "server.trusted_proxies=[\"127.0.0.1/32\"]",
        "limits.connections_per_address_exempt=[]",
        "limits.connections_per_address_max=2",
        "log.level=debug",
        // HAProxy notices at the next heartbeat that a stream's client has left.
        "websocket.ping_interval=1s",
        "websocket.pong_timeout=1s",
    ];
    settings.extend(proxy.setting);
    let gateway = server::start_with(binary, engine, &settings)?;
    let folder = tempfile::tempdir()?;
    let (mut running, address) = start(checkout, proxy, root, folder.path(), &gateway)?;
    let mut script = Command::new("python3");
    script.arg(checkout.path(SOURCES).join("check.py"));
    script.args([&address.to_string(), proxy.speaks]);
    process::check(script, SCRIPT_LIMIT)?;
    for client in ["127.0.0.5", "127.0.0.6"] {
        let named = gateway.output().wait_for(&format!("address={client}"), STOP_LIMIT);
        ensure!(named.is_some(), "the log does not name {client}:\n{}", gateway.last_lines());
    }
    let lies = gateway.output().lines().into_iter().find(|line| line.contains("192.0.2.7"));
    ensure!(lies.is_none(), "a client chose its address: {}", lies.unwrap_or_default());
    // HAProxy ends by the signal, the others with status 0.
    running.signal(Signal::TERM)?;
    ensure!(running.ends(STOP_LIMIT)?.is_some(), "it does not end:\n{}", running.last_lines());
    gateway.stop()
}

/// Starts a proxy on a free port; the port may be taken again in between, so it is tried twice.
fn start(
    checkout: &Checkout,
    proxy: &Proxy,
    root: &Path,
    folder: &Path,
    gateway: &Gateway,
) -> Result<(Server, SocketAddr)> {
    let template = fs::read_to_string(checkout.path(SOURCES).join(proxy.template))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let prefix = folder.display().to_string();
    let (listen, upstream) = (address.to_string(), gateway.address.to_string());
    let places = [("PREFIX", &*prefix), ("LISTEN", &*listen), ("GATEWAY", &*upstream)];
    let text = places
        .iter()
        .chain(proxy.words)
        .fold(template, |text, (place, value)| text.replace(place, value));
    let config = folder.join(proxy.template);
    fs::write(&config, text)?;
    let mut command = Command::new(root.join(proxy.program));
    command.args((proxy.arguments)(&config, folder)).env("HOME", folder);
    command.env("LD_LIBRARY_PATH", libraries(root));
    let running = Server::start(command)?;
    let end = Instant::now() + START_LIMIT;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > end {
            bail!("it does not listen:\n{}", running.last_lines());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok((running, address))
}
