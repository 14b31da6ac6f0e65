//! Why a client with a verified certificate is refused. None of these repeats its name.

/// What is wrong with the name in a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// No client may have it.
    Name,
    /// The request is for another client.
    OtherClient,
}

impl CertificateFault {
    /// The sentence for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Name => "The name in the client's certificate is not one that a client may have.",
            Self::OtherClient => "The client's certificate is for another client.",
        }
    }
}
