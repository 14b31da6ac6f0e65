//! A command of the README that keeps running while others use it. Its output is kept; it is
//! stopped by its process id. Never waits for ever.

use std::net::{TcpStream, ToSocketAddrs};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ringway_testbed::Server;

use crate::process;

const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A running command and what it has printed so far.
pub struct Background {
    name: String,
    server: Server,
}

impl Background {
    pub fn start(name: &str, command: Command) -> Result<Self> {
        Ok(Self { name: name.to_owned(), server: Server::start(command)? })
    }

    /// Its output up to now.
    pub fn output(&self) -> String {
        self.server.output().lines().iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits until a TCP connection to the address that it prints is accepted.
    pub fn wait_until_listening(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let mut places = addresses(&self.name);
            places.extend(addresses(&self.output()));
            if places.iter().any(|address| accepts(address)) {
                return Ok(());
            }
            if let Some(status) = self.server.ends(Duration::ZERO)? {
                thread::sleep(POLL);
                bail!("it ended with {status} before it listened:\n{}", self.output());
            }
            if Instant::now() >= deadline {
                bail!(
                    "it names no address of this machine that accepts connections after {} s:\n{}",
                    limit.as_secs(),
                    self.output()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Sends SIGTERM and waits for the end. A server must end with status 0.
    pub fn stop(mut self) -> Result<()> {
        self.server.stop(STOP_LIMIT).with_context(|| format!("`{}`", self.name))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.server.ends(Duration::ZERO), Ok(None)) {
            process::end_with_descendants(self.server.process());
        }
    }
}

/// All addresses of this machine with a port in a text.
fn addresses(text: &str) -> Vec<String> {
    const HOSTS: [&str; 4] = ["127.0.0.1:", "localhost:", "[::1]:", "0.0.0.0:"];
    let mut found = Vec::new();
    for host in HOSTS {
        for (at, _) in text.match_indices(host) {
            let rest = &text[at + host.len()..];
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            if rest[..digits].parse::<u16>().is_ok_and(|port| port > 0) {
                let host = if host == "0.0.0.0:" { "127.0.0.1:" } else { host };
                found.push(format!("{host}{}", &rest[..digits]));
            }
        }
    }
    found
}

fn accepts(address: &str) -> bool {
    address
        .to_socket_addrs()
        .is_ok_and(|mut all| all.any(|one| TcpStream::connect_timeout(&one, POLL).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_output() {
        assert_eq!(
            addresses("listening on ws://127.0.0.1:8080/ws, http://localhost:9; 10.0.0.1:5"),
            ["127.0.0.1:8080", "localhost:9"]
        );
        assert!(addresses("127.0.0.1:0 127.0.0.1:99999 127.0.0.1:").is_empty());
        assert_eq!(addresses("--listen 0.0.0.0:81"), ["127.0.0.1:81"]);
    }
}
