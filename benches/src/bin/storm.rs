//! What does a stalled gateway cost the clients that connect meanwhile?
//!
//! The gateway is stopped (SIGSTOP), many clients connect simultaneously, and it continues after
//! the stall. The kernel drops handshakes that its backlog cannot hold, and these clients try again
//! after a second. Times count from the beginning of the storm to the complete 101.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ringway_acceptor::descriptors;
use ringway_benches::{
    gateway::{binary_beside_this_one, launch},
    handshake::{Handshake, HandshakeState, Target},
};
use ringway_testbed::Signal;

/// The pause between two checks of all clients, and so the precision of the times.
const NAP: Duration = Duration::from_millis(1);

/// A client without an answer by then counts as unanswered.
const STORM_TIME_MAX: Duration = Duration::from_secs(20);

/// Compare how soon a storm of clients is served after a stall
#[derive(Debug, Parser)]
struct Args {
    /// Clients that connect simultaneously
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// How long the gateway is stopped
    #[arg(long, default_value_t = 300)]
    stall_ms: u64,
    /// A gateway with its own settings; may be repeated
    #[arg(long, value_name = "NAME=KEY=VALUE,...", required = true)]
    variant: Vec<Variant>,
    /// Storms of each gateway
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The ringway binary [default: the one in the folder of this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// The gateway's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
}

/// A gateway that differs from the others by some settings: `NAME=KEY=VALUE,KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variant {
    /// Its name in the output.
    name: String,
    /// `KEY=VALUE` each.
    settings: Vec<String>,
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=KEY=VALUE or NAME=KEY=VALUE,KEY=VALUE");
        let (name, settings) = text.split_once('=').ok_or_else(wrong)?;
        let settings: Vec<String> = settings.split(',').map(str::to_owned).collect();
        if !settings.iter().all(|setting| setting.contains('=')) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), settings })
    }
}

/// The result of one storm.
struct StormResult {
    /// When each client was served, in order.
    served: Vec<Duration>,
    failed: usize,
    /// Handshakes that found the queue full (ListenOverflows of /proc/net/netstat).
    overflows: u64,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.rounds > 0, "at least one round");
    descriptors::raise_limit()?;
    let binary = args.server.clone().map_or_else(binary_beside_this_one, Ok)?;
    println!("{} clients simultaneously, {} ms of stall", args.connections, args.stall_ms);
    println!(
        "  {:<12} {:>5} {:>8} {:>10} {:>8} {:>8} {:>8}",
        "server", "round", "failed", "overflows", "p50 ms", "p99 ms", "last ms"
    );
    let mut is_good = true;
    for round in 1..=args.rounds {
        for variant in &args.variant {
            let result = storm(&args, &binary, variant)?;
            is_good &= result.failed == 0;
            let at = |share: f64| {
                let place = (result.served.len() as f64 * share) as usize;
                let time = result.served.get(place.min(result.served.len().saturating_sub(1)));
                time.copied().unwrap_or_default().as_millis()
            };
            println!(
                "  {:<12} {round:>5} {:>8} {:>10} {:>8} {:>8} {:>8}",
                variant.name,
                result.failed,
                result.overflows,
                at(0.50),
                at(0.99),
                at(1.0),
            );
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One client: its socket, its handshake, and whether it has sent its request.
struct Client<'a> {
    socket: TcpStream,
    request: Vec<u8>,
    handshake: Handshake<'a>,
    has_asked: bool,
}

fn storm(args: &Args, binary: &Path, variant: &Variant) -> Result<StormResult> {
    let settings: Vec<&str> = variant.settings.iter().map(String::as_str).collect();
    let gateway = launch(binary, args.server_core).set(&settings).start()?;
    let target = Target::parse(&gateway.echo_url())?;
    let overflows = overflows()?;
    gateway.signal(Signal::STOP)?;
    let start = Instant::now();
    let begun: Result<Vec<_>> = (0..args.connections).map(|_| begin(&target)).collect();
    // Continue it in any case: a stopped process cannot be told to end.
    thread::sleep(Duration::from_millis(args.stall_ms).saturating_sub(start.elapsed()));
    gateway.signal(Signal::CONT)?;
    let mut clients = begun?;
    let mut served = Vec::new();
    let mut failed = 0;
    while !clients.is_empty() && start.elapsed() < STORM_TIME_MAX {
        clients.retain_mut(|client| match client.proceed() {
            Ok(HandshakeState::Awaited) => true,
            Ok(HandshakeState::Open) => {
                served.push(start.elapsed());
                false
            }
            Err(_) => {
                failed += 1;
                false
            }
        });
        thread::sleep(NAP);
    }
    let overflows = self::overflows()? - overflows;
    Ok(StormResult { served, failed: failed + clients.len(), overflows })
}

fn begin(target: &Target) -> Result<Client<'_>> {
    let mut request = Vec::new();
    let handshake = target.request(&mut request)?;
    Ok(Client { socket: target.connect_later()?, request, handshake, has_asked: false })
}

impl Client<'_> {
    fn proceed(&mut self) -> Result<HandshakeState> {
        if !self.has_asked {
            match self.socket.write(&self.request) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return Ok(HandshakeState::Awaited);
                }
                written => ensure!(written? == self.request.len(), "a request is short"),
            }
            self.has_asked = true;
        }
        let mut buffer = [0; 1024];
        match self.socket.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(HandshakeState::Awaited),
            read => {
                let count = read?;
                ensure!(count > 0, "the gateway ends the connection");
                self.handshake.receive(&buffer[..count])
            }
        }
    }
}

fn overflows() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat").context("/proc/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let place = names.split_whitespace().position(|name| name == "ListenOverflows");
    let value = place.and_then(|place| values.split_whitespace().nth(place)?.parse().ok());
    value.context("/proc/net/netstat has no ListenOverflows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_a_name_and_settings() {
        let variant: Variant = "nagle=socket.nodelay=false,log.level=warn".parse().unwrap();
        assert_eq!(variant.name, "nagle");
        assert_eq!(variant.settings, ["socket.nodelay=false", "log.level=warn"]);
        assert!("nagle".parse::<Variant>().is_err());
        assert!("nagle=socket.nodelay".parse::<Variant>().is_err());
    }
}
