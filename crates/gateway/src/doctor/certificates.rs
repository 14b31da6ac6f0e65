//! The certificates of the configuration: whether they can be used, for how long, and what their
//! keys cost.
//!
//! It reads their files and changes nothing.

use std::time::{Duration, SystemTime};

use ringway_tls::certificates::{KeyKind, Pair};

use crate::{
    config::Config,
    doctor::finding::{Finding, Verdict},
};

/// How long before its end a certificate should have been renewed.
const NOTICE: Duration = Duration::from_secs(14 * 86_400);

const WANTED: &str = "an ECDSA key, valid for at least 14 days";

/// Measured by full handshakes of TLS 1.3 on one core, without the kernel's part.
const WHY: &str = "a full handshake with RSA costs the gateway five times the CPU of one with ECDSA \
                   (0.59 ms against 0.11 ms), which counts when all clients return at once";

/// One finding for each certificate.
pub fn findings(config: &Config) -> Vec<Finding> {
    let files = config.pair_files();
    let pairs: Vec<_> = files.iter().map(Pair::read).collect();
    let readable = || pairs.iter().filter_map(|pair| pair.as_ref().ok());
    let has_ecdsa = |names: &[String]| {
        readable().any(|pair| {
            let description = pair.description();
            description.names == names && !matches!(description.key, KeyKind::Rsa(_))
        })
    };
    let finding = |(files, pair): (_, &Result<Pair, _>)| {
        let files: &ringway_tls::certificates::PairFiles = files;
        let name = format!("certificate {}", files.certificate.display());
        let description = match pair {
            Err(error) => {
                let finding = Finding::good(&name, "it cannot be used", WANTED, WHY);
                return finding.judged(Verdict::Hurts, error);
            }
            Ok(pair) => pair.description(),
        };
        let date = httpdate::fmt_http_date(description.not_after);
        let found = format!("{}, until {date}", description.key);
        let finding = Finding::good(&name, found, WANTED, WHY);
        let now = SystemTime::now();
        if description.not_after <= now {
            finding.judged(Verdict::Hurts, "renew it: it has expired")
        } else if description.not_after < now + NOTICE {
            finding.judged(Verdict::Advice, "renew it: it expires soon")
        } else if matches!(description.key, KeyKind::Rsa(_)) && !has_ecdsa(&description.names) {
            let mend = "add an ECDSA certificate for the same names; clients that know only RSA \
                        still get this one";
            finding.judged(Verdict::Advice, mend)
        } else {
            finding
        }
    };
    files.iter().zip(&pairs).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command};

    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
    };

    use super::*;
    use crate::config::Certificate;

    fn issue(
        directory: &Path,
        file: &str,
        kind: &'static SignatureAlgorithm,
        year: i32,
    ) -> Certificate {
        // The library of the tests makes no key for RSA.
        let key = match kind == &PKCS_RSA_SHA256 {
            true => {
                let arguments = ["genpkey", "-algorithm", "RSA"];
                let made = Command::new("openssl").args(arguments).output().unwrap();
                KeyPair::from_pem(str::from_utf8(&made.stdout).unwrap()).unwrap()
            }
            false => KeyPair::generate_for(kind).unwrap(),
        };
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let text = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let path = directory.join(file);
        std::fs::write(&path, text).unwrap();
        Certificate { certificate_file: path.display().to_string(), key_file: None }
    }

    #[test]
    fn a_key_by_rsa_alone_is_advised_against_and_an_expired_one_hurts() {
        let directory = tempfile::TempDir::new().unwrap();
        let ecdsa = issue(directory.path(), "ecdsa", &PKCS_ECDSA_P256_SHA256, 3000);
        let rsa = issue(directory.path(), "rsa", &PKCS_RSA_SHA256, 3000);
        let old = issue(directory.path(), "old", &PKCS_ECDSA_P256_SHA256, 2001);
        let missing = Certificate { certificate_file: "/nowhere".to_owned(), key_file: None };
        let verdicts = |certificates: &[&Certificate]| {
            let certificates = certificates.iter().map(|one| (*one).clone()).collect();
            let config = Config { certificates, ..Config::default() };
            findings(&config).iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(&[]), []);
        assert_eq!(verdicts(&[&rsa]), [Verdict::Advice]);
        assert_eq!(verdicts(&[&rsa, &ecdsa]), [Verdict::Good, Verdict::Good]);
        assert_eq!(verdicts(&[&old, &missing]), [Verdict::Hurts, Verdict::Hurts]);
    }
}
