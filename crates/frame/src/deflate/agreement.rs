//! The outcome of a handshake for `permessage-deflate`: exactly the parameters of the server's
//! response, for a server to emit or for a client to verify.
//!
//! Never decides on parameters: the server's policy does.

use super::WindowBits;
use super::offer::{ClientWindow, Offer, Parameters, Window};
use crate::extension::Extension;

/// The parameters of the accepted `permessage-deflate` (RFC 7692 §7.1).
///
/// A window that is `None` is absent from the response, which means 32 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// The server forgets its context after each message that it sends.
    pub server_no_context_takeover: bool,
    /// The client forgets its context after each message that it sends.
    pub client_no_context_takeover: bool,
    /// The bound on the server's window, if the response states one.
    pub server_max_window_bits: Option<WindowBits>,
    /// The bound on the client's window, if the response states one.
    pub client_max_window_bits: Option<WindowBits>,
}

/// The server accepted something that the client did not offer
/// (RFC 6455 §4.1, RFC 7692 §7.1): the client fails the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unacceptable;

impl Agreement {
    /// The window that the server compresses with.
    pub fn server_window_bits(&self) -> WindowBits {
        self.server_max_window_bits.unwrap_or(WindowBits::MAX)
    }

    /// Appends the value of the response's `Sec-WebSocket-Extensions`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let parameters = Parameters {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.into(),
            client_max_window_bits: self.client_max_window_bits.into(),
        };
        parameters.emit(out);
    }

    /// Reads a server's response and checks it against the offers.
    ///
    /// # Errors
    ///
    /// [`Unacceptable`] if it is another extension, has an unknown, repeated or invalid parameter,
    /// or does not match any of the offers.
    pub fn verify(response: &Extension<'_>, offered: &[Offer]) -> Result<Self, Unacceptable> {
        let parameters = Parameters::parse(response).ok_or(Unacceptable)?;
        let agreement = Self {
            server_no_context_takeover: parameters.server_no_context_takeover,
            client_no_context_takeover: parameters.client_no_context_takeover,
            server_max_window_bits: stated(parameters.server_max_window_bits)?,
            client_max_window_bits: stated(parameters.client_max_window_bits)?,
        };
        match offered.iter().any(|offer| agreement.answers(offer)) {
            true => Ok(agreement),
            false => Err(Unacceptable),
        }
    }

    /// Whether a server may answer `offer` with this agreement.
    pub(super) fn answers(&self, offer: &Offer) -> bool {
        // RFC 7692 §7.1.1.1: accepted by repeating it; the server may also add it unasked.
        let takeover = self.server_no_context_takeover || !offer.server_no_context_takeover;
        // RFC 7692 §7.1.2.1: the same or a smaller window; the server may also add it unasked.
        let server_window = match (offer.server_max_window_bits, self.server_max_window_bits) {
            (None, _) => true,
            (Some(offered), stated) => stated.is_some_and(|bits| bits <= offered),
        };
        // RFC 7692 §7.1.2.2: only if offered. A value in the offer states what the client will do
        // in any case, so a larger answer contradicts it.
        let client_window = match (offer.client_max_window_bits, self.client_max_window_bits) {
            (_, None) | (ClientWindow::Any, Some(_)) => true,
            (ClientWindow::Fixed, Some(_)) => false,
            (ClientWindow::AtMost(offered), Some(bits)) => bits <= offered,
        };
        takeover && server_window && client_window
    }
}

// RFC 7692 §7.1.2: in a response, each window parameter has a value.
fn stated(window: Window) -> Result<Option<WindowBits>, Unacceptable> {
    match window {
        Window::Absent => Ok(None),
        Window::Bare => Err(Unacceptable),
        Window::Bits(bits) => Ok(Some(bits)),
    }
}
