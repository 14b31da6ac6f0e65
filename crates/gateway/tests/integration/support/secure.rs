//! Certificates for a gateway that speaks TLS, and a client that speaks it, too.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use ringway_tls::{
    Opened, Session,
    client::{Client, Trust},
};
use tempfile::TempDir;

use super::{Engine, Gateway, Launch, PATIENCE};

/// A directory with an authority, certificates that it issued, and a configuration.
pub struct Certificates {
    directory: TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { directory, authority: Issuer::new(params, key) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `file.pem` and `file.key` for this name, valid for some days.
    pub fn issue(&self, file: &str, name: &str, days: u64) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let (year, month, day) = date_after(days);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    /// Starts a gateway with these certificates and further settings.
    #[track_caller]
    pub fn start(&self, engine: Engine, files: &[&str], settings: &[&str]) -> Gateway {
        self.start_beside("", engine, files, settings)
    }

    /// As [`Self::start`], with further text in the configuration file.
    #[track_caller]
    pub fn start_beside(
        &self,
        text: &str,
        engine: Engine,
        files: &[&str],
        settings: &[&str],
    ) -> Gateway {
        let mut text = text.to_owned();
        for file in files {
            let path = |suffix: &str| self.path(&format!("{file}.{suffix}")).display().to_string();
            text += &format!(
                "[[tls.certificate]]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
                path("pem"),
                path("key")
            );
        }
        let config = self.path("ringway.toml");
        std::fs::write(&config, text).unwrap();
        let config = config.display().to_string();
        Launch::on(engine)
            .flags(&["--config", &config])
            .set(&["listener.speaks_tls=true"])
            .set(settings)
            .start()
    }

    /// What `openssl s_client` prints when it sends this to a gateway and reads to the end.
    pub fn openssl(&self, gateway: &Gateway, flags: &[&str], sent: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &gateway.address.to_string(), "-verify_return_error"])
            .arg("-CAfile")
            .arg(self.path("ca.pem"))
            .args(["-ign_eof"])
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

    /// The flags of OpenSSL for a client with this certificate.
    pub fn shown(&self, file: &str) -> [String; 4] {
        let path = |suffix: &str| self.path(&format!("{file}.{suffix}")).display().to_string();
        ["-cert".to_owned(), path("pem"), "-key".to_owned(), path("key")]
    }

    /// What clients trust, and the name that they ask for.
    pub fn client(&self, name: &str) -> Client {
        Client::new(name, &Trust::File(self.path("ca.pem"))).unwrap()
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

    /// Reads to the end, which must be announced.
    pub fn ends(&mut self) {
        while self.reads().is_ok() {}
        assert!(self.session.has_peer_ended(), "a close_notify before FIN");
    }
}

/// The date (UTC) this many days from now.
fn date_after(days: u64) -> (i32, u8, u8) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // The days since 0000-03-01, so that a leap day is the last of its year.
    let days = (now.as_secs() / 86_400 + days + 719_468) as i64;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((year + era * 400 + carry) as i32, month as u8, day as u8)
}
