//! The only file that drives rustls: one of its connections, in either role, step by step.
//!
//! It keeps no input; the session does.

use rustls::{
    CertificateError, Error, PeerIncompatible,
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};

use super::OVERHEAD_BYTES_MAX;
use crate::fault::{CertificateFault, Reason};

/// rustls in one of both roles.
pub(super) enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// The outcome of one step of rustls.
pub(super) enum Step {
    /// Plain text was appended to the output.
    Plain,
    /// Output was appended, or there is none; there may be more.
    Again,
    /// The peer sends no more.
    PeerEnded,
    /// More input is needed.
    Blocked,
    /// Plain text may be sent; more input may be read.
    Open,
}

impl Side {
    pub(super) fn step(
        &mut self,
        records: &mut [u8],
        out: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Server(server) => step(server.process_tls_records(records), out),
            Self::Client(client) => step(client.process_tls_records(records), out),
        }
    }

    fn wants_write(&self) -> bool {
        match self {
            Self::Server(server) => server.wants_write(),
            Self::Client(client) => client.wants_write(),
        }
    }

    /// Encrypts into `sealed`; `None` if that is not possible any more. `kept` is input that rustls
    /// has seen and not used up: it knows places in it.
    pub(super) fn encrypt(
        &mut self,
        kept: &mut [u8],
        plain: &[u8],
        sealed: &mut [u8],
    ) -> Option<usize> {
        match self {
            Self::Server(server) => match server.process_tls_records(kept).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    traffic.encrypt(plain, sealed).ok()
                }
                _ => None,
            },
            Self::Client(client) => match client.process_tls_records(kept).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    traffic.encrypt(plain, sealed).ok()
                }
                _ => None,
            },
        }
    }

    pub(super) fn close_notify(&mut self, kept: &mut [u8], out: &mut Vec<u8>) {
        let end = out.len();
        out.resize(end + OVERHEAD_BYTES_MAX, 0);
        let written = match self {
            Self::Server(server) => match server.process_tls_records(kept).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    traffic.queue_close_notify(&mut out[end..])
                }
                _ => Ok(0),
            },
            Self::Client(client) => match client.process_tls_records(kept).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    traffic.queue_close_notify(&mut out[end..])
                }
                _ => Ok(0),
            },
        };
        out.truncate(end + written.unwrap_or(0));
    }

    /// Appends what rustls still has to say, such as an alert, and ignores the error after it.
    pub(super) fn drain(&mut self, out: &mut Vec<u8>) {
        // Without output it would look at its input, which is gone.
        while self.wants_write()
            && let (_, Ok(Step::Again)) = self.step(&mut [], out)
        {}
    }
}

/// Handles one state of rustls; output and plain text are appended to `out`.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        out.extend_from_slice(record.payload);
                    }
                    Err(error) => return (discard, Err(error)),
                }
            }
            Ok(Step::Plain)
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let end = out.len();
            if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
                out.resize(end + needed.required_size, 0);
                let encoded = data.encode(&mut out[end..]);
                debug_assert!(encoded.is_ok_and(|bytes| end + bytes == out.len()));
            }
            Ok(Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerEnded),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Open),
        // `Closed`, and early data, which is never offered.
        Ok(_) => Ok(Step::Blocked),
        Err(error) => Err(error),
    };
    (discard, step)
}

/// The reason that a handshake failed.
pub(super) fn reason(error: &Error) -> Reason {
    match error {
        Error::AlertReceived(alert) => Reason::Alert(u8::from(*alert)),
        Error::InvalidMessage(_) => Reason::NotTls,
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => Reason::NothingInCommon,
        Error::PeerIncompatible(_) => Reason::Version,
        Error::NoApplicationProtocol => Reason::Protocol,
        Error::InvalidCertificate(error) => Reason::Certificate(certificate_fault(error)),
        Error::NoCertificatesPresented => Reason::Certificate(CertificateFault::Missing),
        _ => Reason::Other,
    }
}

fn certificate_fault(error: &CertificateError) -> CertificateFault {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => CertificateFault::UnknownIssuer,
        E::Expired | E::ExpiredContext { .. } => CertificateFault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => CertificateFault::NotValidYet,
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::OtherName,
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => CertificateFault::InvalidPurpose,
        E::BadSignature => CertificateFault::BadSignature,
        E::Revoked => CertificateFault::Revoked,
        // The verifier's own error, which rustls passes on without its type.
        E::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            CertificateFault::CaUsedAsEndEntity
        }
        _ => CertificateFault::Invalid,
    }
}
