//! Close codes and who may use them on the wire.
//!
//! Source: RFC 6455 §7.4 and the IANA WebSocket Close Code Number Registry. Never decides when to
//! close: the caller does.

use std::fmt;

/// A close code that is allowed in a close frame.
///
/// ```
/// use ringway_frame::CloseCode;
/// assert_eq!(CloseCode::new(1001), Some(CloseCode::GOING_AWAY));
/// assert_eq!(CloseCode::new(1006), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The connection has fulfilled its purpose.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away: the server shuts down, or the user leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// The data is of a kind that this endpoint does not accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The payload does not match its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a policy.
    pub const POLICY: Self = Self(1008);
    /// The message is too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// The endpoint met an unexpected condition.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts.
    pub const RESTART: Self = Self(1012);
    /// The service is overloaded.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code, if it is allowed in a close frame.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if Self::may_be_received(code) { Some(Self(code)) } else { None }
    }

    /// Whether a peer may send `code`: 1000-1003, 1007-1014 and 3000-4999.
    ///
    /// RFC 6455 §7.4.1 reserves 1004 and forbids 1005, 1006 and 1015 in a frame; §7.4.2
    /// leaves 3000-4999 to libraries and applications.
    #[must_use]
    pub const fn may_be_received(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether the application may ask this end to send `code`.
    ///
    /// The codes that may be received except 1010, which only a client sends (§7.4.1), and 1014,
    /// which only a gateway to another WebSocket server could mean.
    #[must_use]
    pub const fn may_be_sent(code: u16) -> bool {
        Self::may_be_received(code) && code != 1010 && code != 1014
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §7.4: every code on either side of every boundary.
    #[test]
    fn exactly_the_registered_and_the_application_codes_are_allowed_on_the_wire() {
        let received: Vec<u16> =
            (0..=u16::MAX).filter(|&code| CloseCode::may_be_received(code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(received, expected);

        let sent: Vec<u16> = (0..3000).filter(|&code| CloseCode::may_be_sent(code)).collect();
        assert_eq!(sent, [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013]);
        assert!((3000..=4999).all(CloseCode::may_be_sent));
    }
}
