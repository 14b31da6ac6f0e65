//! The terms that a server accepts, and the choice among a client's offers (RFC 7692 §5 and §7.1).
//!
//! Never fails a handshake: without an acceptable offer there is no agreement, and the connection
//! continues uncompressed.

use super::offer::{ClientWindow, Offer};
use super::{Agreement, Level, MemoryLevel, WindowBits};
use crate::extension::Extension;

/// Whether a side may refer back to earlier messages, which compresses better but costs a context
/// for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextTakeover {
    /// Contexts live as long as the connection, unless the client declines.
    Allowed,
    /// Each message is independent; idle connections hold no context, and one compressed message
    /// serves any number of recipients.
    Forbidden,
}

/// A server's terms for `permessage-deflate`. A server that does not support it has no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How hard the server compresses.
    pub level: Level,
    /// The memory level of the server's compressors.
    pub memory_level: MemoryLevel,
    /// Whether the server keeps its context between the messages that it sends.
    pub server_context_takeover: ContextTakeover,
    /// Whether the client may keep its context between messages.
    pub client_context_takeover: ContextTakeover,
    /// The largest window that the server compresses with.
    pub server_window_bits_max: WindowBits,
    /// The largest window that the server asks the client to use. It applies only to clients that
    /// offer `client_max_window_bits`; the others use 15.
    pub client_window_bits_max: WindowBits,
}

impl Default for Policy {
    /// No takeover in either direction, so that an idle connection holds no
    /// context; the widest windows; the fastest level.
    fn default() -> Self {
        Self {
            level: Level::FASTEST,
            memory_level: MemoryLevel::USUAL,
            server_context_takeover: ContextTakeover::Forbidden,
            client_context_takeover: ContextTakeover::Forbidden,
            server_window_bits_max: WindowBits::MAX,
            client_window_bits_max: WindowBits::MAX,
        }
    }
}

impl Policy {
    /// The agreement for the first acceptable offer among a client's extensions (RFC 7692 §5.1:
    /// they are in order of preference).
    ///
    /// ```
    /// use ringway_frame::{deflate::Policy, extension::Extension};
    /// let offer = Extension::parse(b"permessage-deflate; client_max_window_bits").unwrap();
    /// assert!(Policy::default().agree([offer]).is_some());
    /// ```
    pub fn agree<'h>(
        &self,
        extensions: impl IntoIterator<Item = Extension<'h>>,
    ) -> Option<Agreement> {
        let mut extensions = extensions.into_iter();
        let offer = extensions.find_map(|extension| Offer::parse(&extension))?;
        Some(self.answer(&offer))
    }

    fn answer(&self, offer: &Offer) -> Agreement {
        let agreement = Agreement {
            server_no_context_takeover: offer.server_no_context_takeover
                || self.server_context_takeover == ContextTakeover::Forbidden,
            client_no_context_takeover: offer.client_no_context_takeover
                || self.client_context_takeover == ContextTakeover::Forbidden,
            // RFC 7692 §7.1.2.1: an offered bound is accepted by stating it.
            server_max_window_bits: match offer.server_max_window_bits {
                Some(offered) => Some(offered.min(self.server_window_bits_max)),
                None => below_max(self.server_window_bits_max),
            },
            // RFC 7692 §7.1.2.2: only clients that offer the parameter can be bounded.
            client_max_window_bits: match offer.client_max_window_bits {
                ClientWindow::Fixed => None,
                ClientWindow::Any => below_max(self.client_window_bits_max),
                ClientWindow::AtMost(hint) => below_max(hint.min(self.client_window_bits_max)),
            },
        };
        assert!(agreement.answers(offer), "a server's own answer is legal");
        agreement
    }
}

// A window of 15 bits is the default and is not stated.
fn below_max(bits: WindowBits) -> Option<WindowBits> {
    (bits < WindowBits::MAX).then_some(bits)
}
