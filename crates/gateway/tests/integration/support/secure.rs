//! Certificates for a gateway that speaks TLS, and a client that speaks it, too.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use ringway_testbed::{Authority, Key};
use ringway_tls::{Opened, Session, client::Client};

use super::{Engine, Gateway, Launch, PATIENCE};

/// The certificates of a gateway and of its clients.
pub struct Certificates(Authority);

impl Certificates {
    pub fn new() -> Self {
        Self(Authority::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// The path of a file, as text for a setting or an argument.
    pub fn name(&self, file: &str) -> String {
        self.0.path(file).display().to_string()
    }

    /// Writes `file.pem` and `file.key` for this name, valid for some days.
    pub fn issue(&self, file: &str, name: &str, days: i32) {
        self.0.issue(file, &[name], Key::Ecdsa, days).unwrap();
    }

    /// The same with a key for RSA.
    pub fn issue_rsa(&self, file: &str, name: &str) {
        self.0.issue(file, &[name], Key::Rsa, 90).unwrap();
    }

    /// Starts a gateway with these certificates and further settings.
    #[track_caller]
    pub fn start(&self, engine: Engine, files: &[&str], settings: &[&str]) -> Gateway {
        Launch::on(engine)
            .flags(&["--config", &self.0.configuration(files, "").unwrap()])
            .set(&["listener.speaks_tls=true"])
            .set(settings)
            .start()
    }

    /// The configuration file of [`Self::start`], for commands.
    pub fn configuration(&self, files: &[&str]) -> String {
        self.0.configuration(files, "").unwrap()
    }

    /// What `openssl s_client` prints when it sends this and reads to the end.
    pub fn openssl(&self, gateway: &Gateway, flags: &[&str], sent: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &gateway.address.to_string(), "-verify_return_error"])
            .args(["-CAfile", &self.name("ca.pem"), "-ign_eof"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // It may have ended because its handshake failed.
        let _ = input.write_all(sent);
        let output = child.wait_with_output().unwrap();
        drop(input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text + &String::from_utf8_lossy(&output.stderr)
    }

    /// What clients trust, and the name that they ask for.
    pub fn client(&self, name: &str) -> Client {
        self.0.client(name).unwrap()
    }
}

/// One connection over TLS.
pub struct Secure {
    stream: TcpStream,
    session: Session,
    plain: Vec<u8>,
}

impl Secure {
    /// Connects, and completes the handshake.
    pub fn connect(address: SocketAddr, client: &Client) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut secure = Self { stream, session: client.connect(), plain: Vec::new() };
        let mut out = Vec::new();
        secure.session.start(&mut out).map_err(|fault| format!("{fault:?}"))?;
        secure.stream.write_all(&out).map_err(|error| error.to_string())?;
        while !secure.session.is_established() {
            secure.reads()?;
        }
        Ok(secure)
    }

    pub fn sends(&mut self, bytes: &[u8]) {
        let mut out = bytes.to_vec();
        self.session.seal(&mut out, 0);
        self.stream.write_all(&out).unwrap();
    }

    /// Reads once; fails at the end of the stream.
    fn reads(&mut self) -> Result<(), String> {
        let (mut buffer, mut out) = ([0; 16_384], Vec::new());
        let count = self.stream.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the end of the stream".to_owned());
        }
        let mut received = &mut buffer[..count];
        while !received.is_empty() {
            match self.session.open(&mut received, &mut out).map_err(|f| format!("{f:?}"))? {
                Opened::Nothing | Opened::Ended => {}
                Opened::InPlace(plain) => self.plain.extend_from_slice(plain),
                Opened::Assembled(plain) => self.plain.extend(plain),
            }
        }
        if !out.is_empty() {
            self.stream.write_all(&out).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Reads until `text` has come; returns everything up to it.
    pub fn receives(&mut self, text: &[u8]) -> Vec<u8> {
        loop {
            let found = self.plain.windows(text.len()).position(|window| window == text);
            if let Some(start) = found {
                let rest = self.plain.split_off(start + text.len());
                return std::mem::replace(&mut self.plain, rest);
            }
            if let Err(error) = self.reads() {
                panic!("{error} instead of {:?}", String::from_utf8_lossy(text));
            }
        }
    }

    /// Announces that nothing more is sent.
    pub fn closes(&mut self) {
        let mut out = Vec::new();
        self.session.close(&mut out);
        self.stream.write_all(&out).unwrap();
    }

    /// Reads to the end, which must be announced.
    pub fn ends(&mut self) {
        while self.reads().is_ok() {}
        assert!(self.session.has_peer_ended(), "a close_notify before FIN");
    }
}
