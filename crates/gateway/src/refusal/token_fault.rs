//! Why a token is refused. None of these repeats a part of the token.

/// A fault of a token, or of how it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// There is no token, and clients need one.
    Missing,
    /// RFC 6750 §2: there is more than one.
    Several,
    /// It has more bytes than are read.
    TooLong,
    /// It is not a JWT, or a claim has the wrong type or is given twice.
    Malformed,
    /// Its algorithm is none, unknown, or not one of its key's.
    Algorithm,
    /// No key has its `kid`.
    UnknownKey,
    /// No key has its `kid`, but its issuer may have published one since the keys were fetched.
    KeyAwaited,
    /// Its signature is not that of its key.
    Signature,
    /// It has no `exp`.
    NoExpiry,
    /// Its `exp` has passed.
    Expired,
    /// Its `nbf` has not come.
    NotYetValid,
    /// Its `iss` is another one.
    Issuer,
    /// Its `aud` does not name this gateway.
    Audience,
    /// Its `sub` is absent, not a valid name, or in the namespace of anonymous clients.
    Subject,
    /// A pattern or a topic in its claim `ringway` is not valid, or there are too many.
    Grants,
    /// Its claim `ringway.meta` has too many bytes.
    Meta,
    /// It is for another client than the request or the session.
    OtherClient,
}

impl TokenFault {
    /// The faults that a client sees in the same way.
    pub const ALL: [Self; 17] = [
        Self::Missing,
        Self::Several,
        Self::TooLong,
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::KeyAwaited,
        Self::Signature,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::Issuer,
        Self::Audience,
        Self::Subject,
        Self::Grants,
        Self::Meta,
        Self::OtherClient,
    ];

    /// The sentence for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => {
                "A token is needed: in the field Authorization (Bearer), in the parameter token, \
                 or in a subprotocol that begins with ringway.token."
            }
            Self::Several => "The request has more than one token.",
            Self::TooLong => "The token is too long.",
            Self::Malformed => {
                "The token is not a JWT, or one of its claims has the wrong type or comes twice."
            }
            Self::Algorithm => "The token's algorithm is not accepted for its key.",
            Self::UnknownKey => "The token's key is not known.",
            Self::KeyAwaited => {
                "The token's key is not known yet; the issuer's keys are fetched again shortly."
            }
            Self::Signature => "The token's signature is not valid.",
            Self::NoExpiry => "The token has no exp.",
            Self::Expired => "The token has expired.",
            Self::NotYetValid => "The token is not valid yet.",
            Self::Issuer => "The token's iss is not accepted.",
            Self::Audience => "The token's aud does not name this server.",
            Self::Subject => "The token's sub is not a name that a client with a token may have.",
            Self::Grants => "A name in the token's claim ringway is not valid.",
            Self::Meta => "The token's claim ringway.meta is too long.",
            Self::OtherClient => "The token is for another client.",
        }
    }

    /// The stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Expired => "token_expired",
            Self::KeyAwaited => "token_key_awaited",
            _ => "token_invalid",
        }
    }
}
