//! What servers and their clients need for the cases over TLS: one certificate for all of them, with
//! an ECDSA key. Never starts anything.

use std::path::PathBuf;

use anyhow::Result;
use ringway_testbed::{Authority, Key};

/// The files of the certificate, without their endings.
const FILES: &str = "server";

/// A certificate for 127.0.0.1, and the authority that has issued it.
pub struct Certificate {
    authority: Authority,
    /// A configuration of Ringway that names the certificate.
    pub configuration: String,
}

impl Certificate {
    pub fn new() -> Result<Self> {
        let authority = Authority::new()?;
        authority.issue(FILES, &["127.0.0.1"], Key::Ecdsa, 90)?;
        // HAProxy reads the chain and the key from one file.
        let [pem, key] = ["pem", "key"].map(|end| authority.path(&format!("{FILES}.{end}")));
        let both = [std::fs::read(&pem)?, std::fs::read(&key)?].concat();
        std::fs::write(authority.path(&format!("{FILES}.pair")), both)?;
        let configuration = authority.configuration(&[FILES], "")?;
        Ok(Self { authority, configuration })
    }

    /// The path that becomes its files with `.pem`, `.key`, and `.pair` for both in one.
    pub fn files(&self) -> String {
        self.authority.path(FILES).display().to_string()
    }

    /// What clients trust.
    pub fn authority(&self) -> PathBuf {
        self.authority.path("ca.pem")
    }
}
