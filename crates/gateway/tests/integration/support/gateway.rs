//! A running gateway, with methods for what the tests expect of it.
//!
//! Dropping it kills this process only; its log is printed if the test has failed.

use std::{
    ops::{Deref, DerefMut},
    process::{Command, ExitStatus},
    time::Duration,
};

use ringway_testbed::Server;

use super::{Client, Engine, Launch, PATIENCE, Response, eventually};

/// A running gateway.
pub struct Gateway {
    gateway: ringway_testbed::Gateway,
}

impl Gateway {
    /// Starts a gateway with the default settings, except for its ports.
    #[track_caller]
    pub fn start(engine: Engine) -> Self {
        Launch::on(engine).start()
    }

    /// Starts a gateway with these settings.
    #[track_caller]
    pub fn start_with(engine: Engine, settings: &[&str]) -> Self {
        Launch::on(engine).set(settings).start()
    }

    /// Takes charge of a process that has just been started, and waits until it serves.
    #[track_caller]
    pub fn watch(server: Server) -> Self {
        match ringway_testbed::Gateway::watch(server) {
            Ok(gateway) => Self { gateway },
            Err(error) => panic!("{error:#}"),
        }
    }

    /// The first log line that contains `text`, once there is one.
    #[track_caller]
    pub fn logs(&self, text: &str) -> String {
        let line = self.output().wait_for(text, PATIENCE);
        line.unwrap_or_else(|| panic!("no {text:?} in the log: {:#?}", self.log()))
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.output().lines()
    }

    /// Closes the reading end of the log: later writes of the gateway fail.
    #[track_caller]
    pub fn loses_its_log(&self) {
        self.output().close_after_next_line();
        self.signal("HUP");
        assert!(self.output().wait_for_end(PATIENCE), "not in time: the next line of the log");
    }

    /// Sends a signal: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let status = self.gateway.ends(PATIENCE).unwrap();
        status.expect("not in time: the gateway ends")
    }

    pub fn is_running(&mut self) -> bool {
        self.gateway.ends(Duration::ZERO).unwrap().is_none()
    }

    /// The response of the private API.
    #[track_caller]
    pub fn api(&self, path: &str) -> Response {
        let mut client = Client::connect_to(self.gateway.api);
        client
            .sends(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        client.receives_response()
    }

    /// The value of a metric; the sum over its labels if `name` has none.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.api("/metrics").body).unwrap();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<u64> =
            samples.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {name} in {text}");
        values.iter().sum()
    }

    /// Waits until the gateway holds this many connections.
    #[track_caller]
    pub fn holds(&self, connections: u64) {
        let what = format!("the gateway holds {connections} connections");
        eventually(&what, || self.metric("ringway_connections") == connections);
    }

    /// Waits until this many clients of the hub are on a transport.
    #[track_caller]
    pub fn serves(&self, clients: u64, transport: &str) {
        let metric = format!("ringway_sessions{{transport=\"{transport}\"}}");
        let what = format!("{clients} clients on {transport}");
        eventually(&what, || self.metric(&metric) == clients);
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.gateway.resident_bytes().unwrap()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        self.gateway.descriptors().unwrap()
    }

    /// Processor time used so far, by all threads.
    pub fn processor_time(&self) -> Duration {
        self.gateway.processor_time().unwrap()
    }
}

impl Deref for Gateway {
    type Target = ringway_testbed::Gateway;

    fn deref(&self) -> &Self::Target {
        &self.gateway
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.gateway
    }
}

/// Sends a signal to a process that the test has started.
#[track_caller]
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}
