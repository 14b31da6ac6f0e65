//! A certificate authority for tests, in a folder that goes away: it issues the certificates of a
//! gateway and of its clients.
//!
//! It never changes what the system trusts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use ringway_tls::client::{Client, Trust};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority, and a folder with its certificate (`ca.pem`) and those that it has issued.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// On P-256.
    Ecdsa,
    /// Of 2,048 bits; `openssl` must be installed.
    Rsa,
}

impl Authority {
    /// An authority with its own key.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new() -> Result<Self> {
        let folder = TempDir::new().context("a folder for certificates")?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Python 3.13 refuses an authority that does not say what its key is for.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        fs::write(folder.path().join("ca.pem"), certificate.pem())?;
        Ok(Self { folder, issuer: Issuer::new(params, key) })
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `file.pem` and `file.key`, for these names or addresses, valid until some days from now
    /// or, with a negative number, before.
    ///
    /// # Errors
    /// A name is invalid, or there is no `openssl` for a key by RSA.
    pub fn issue(&self, file: &str, names: &[&str], key: Key, days: i32) -> Result<()> {
        let key = match key {
            Key::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            Key::Rsa => rsa_key()?,
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let (now, distance) = (rcgen::date_time_ymd(1970, 1, 1) + now, days.unsigned_abs() * DAY);
        params.not_after = if days < 0 { now - distance } else { now + distance };
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.path(&format!("{file}.pem")), certificate.pem())?;
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes a configuration file for a gateway with these certificates and lines, and returns its
    /// path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configuration(&self, files: &[&str], lines: &str) -> Result<String> {
        let mut text = lines.to_owned();
        for file in files {
            text += &format!(
                "[[tls.certificate]]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
                self.path(&format!("{file}.pem")).display(),
                self.path(&format!("{file}.key")).display()
            );
        }
        let config = self.path("ringway.toml");
        fs::write(&config, text)?;
        Ok(config.display().to_string())
    }

    /// A client that trusts this authority, for a server with this name.
    ///
    /// # Errors
    /// The name is invalid.
    pub fn client(&self, name: &str) -> Result<Client> {
        Client::new(name, &Trust::File(self.path("ca.pem"))).context("a client")
    }
}

/// rcgen makes no key for RSA with the library that the workspace uses.
fn rsa_key() -> Result<KeyPair> {
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let made = command.output().context("openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    Ok(KeyPair::from_pem(str::from_utf8(&made.stdout)?)?)
}
