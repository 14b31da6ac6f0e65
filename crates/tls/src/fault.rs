//! What is wrong with a peer's bytes: small values that cost nothing to make.

/// Why nothing more can be read from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection begins with an HTTP request in plain text.
    PlainHttp,
    /// The handshake failed.
    Handshake(Reason),
    /// A record is forged, damaged or too long, or says something that it must not.
    Record,
    /// The peer has sent this alert (RFC 8446 §6) after the handshake.
    Alert(u8),
    /// There is no memory to keep a part of a record.
    OutOfMemory,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The input is not TLS, or is damaged.
    NotTls,
    /// The peer has no version of TLS that is allowed.
    Version,
    /// No cipher suite, group or signature is common to both.
    NothingInCommon,
    /// The peer does not speak HTTP/1.1 (ALPN, RFC 7301).
    Protocol,
    /// The peer's certificate is missing or not trusted.
    Certificate(CertificateFault),
    /// The peer has sent this alert (RFC 8446 §6): often because it does not trust the certificate.
    Alert(u8),
    /// Another violation of the protocol.
    Other,
}

impl Reason {
    /// The words of all reasons.
    pub const WORDS: [&'static str; 7] =
        ["not_tls", "version", "nothing_in_common", "protocol", "certificate", "alert", "other"];

    /// The place of its word in [`Self::WORDS`].
    pub fn number(self) -> usize {
        let word = self.as_str();
        Self::WORDS.iter().position(|known| *known == word).expect("a test looks for each")
    }

    /// A word for log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Version => "version",
            Self::NothingInCommon => "nothing_in_common",
            Self::Protocol => "protocol",
            Self::Certificate(_) => "certificate",
            Self::Alert(_) => "alert",
            Self::Other => "other",
        }
    }
}

/// Why a peer's certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// The peer has shown none.
    Missing,
    /// No trusted authority has signed it.
    UnknownIssuer,
    /// Its validity is over, or the clock of this host is wrong.
    Expired,
    /// Its validity has not begun, or the clock of this host is wrong.
    NotValidYet,
    /// It is for another name.
    OtherName,
    /// It is an authority's own (CA:TRUE), which a peer may not use.
    CaUsedAsEndEntity,
    /// It may not be used in this role (RFC 5280 §4.2.1.12).
    InvalidPurpose,
    /// Its signature is not its issuer's, or the peer does not have its key.
    BadSignature,
    /// It has been revoked.
    Revoked,
    /// It is damaged, or demands what is not supported.
    Invalid,
}

impl CertificateFault {
    /// A word for log lines and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotValidYet => "not_valid_yet",
            Self::OtherName => "other_name",
            Self::CaUsedAsEndEntity => "ca_used_as_end_entity",
            Self::InvalidPurpose => "invalid_purpose",
            Self::BadSignature => "bad_signature",
            Self::Revoked => "revoked",
            Self::Invalid => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_number_of_its_own() {
        let reasons = [
            Reason::NotTls,
            Reason::Version,
            Reason::NothingInCommon,
            Reason::Protocol,
            Reason::Certificate(CertificateFault::Expired),
            Reason::Alert(48),
            Reason::Other,
        ];
        for (number, reason) in reasons.into_iter().enumerate() {
            assert_eq!(reason.number(), number, "{reason:?}");
        }
        assert_eq!(reasons.len(), Reason::WORDS.len());
    }
}
