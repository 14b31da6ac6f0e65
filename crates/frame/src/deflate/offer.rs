//! One offer of `permessage-deflate`, as a client writes it and a server reads
//! it (RFC 7692 §7.1): four parameters, each at most once.
//!
//! Never an error: an offer that is not understood is `None`, which declines it, and the next one
//! is tried (RFC 7692 §5.1).

use super::{EXTENSION, WindowBits};
use crate::extension::{Extension, Value};

/// What an offer says about the client's own window (RFC 7692 §7.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientWindow {
    /// The parameter is absent: the server must not ask for a smaller window.
    #[default]
    Fixed,
    /// The parameter has no value: the server may choose.
    Any,
    /// The client will use no larger window than this; the server may still
    /// choose a smaller one.
    AtMost(WindowBits),
}

/// An offer of `permessage-deflate` (RFC 7692 §7.1). The default one has no
/// parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The server must forget its context after each message (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client will forget its context after each message (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The server must use no larger window than this (§7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// Whether the server may bound the client's window (§7.1.2.2).
    pub client_max_window_bits: ClientWindow,
}

impl Offer {
    /// The offer that `extension` makes; `None` if it is another extension, or has a parameter that
    /// is unknown, repeated or invalid (RFC 7692 §7.1: such an offer is declined).
    ///
    /// ```
    /// use ringway_frame::{deflate::Offer, extension::Extension};
    /// let extension = Extension::parse(b"permessage-deflate").unwrap();
    /// assert_eq!(Offer::parse(&extension), Some(Offer::default()));
    /// ```
    pub fn parse(extension: &Extension<'_>) -> Option<Self> {
        let parameters = Parameters::parse(extension)?;
        Some(Self {
            server_no_context_takeover: parameters.server_no_context_takeover,
            client_no_context_takeover: parameters.client_no_context_takeover,
            // RFC 7692 §7.1.2.1: this parameter must have a value.
            server_max_window_bits: match parameters.server_max_window_bits {
                Window::Absent => None,
                Window::Bare => return None,
                Window::Bits(bits) => Some(bits),
            },
            // RFC 7692 §7.1.2.2: this one may have a value in an offer.
            client_max_window_bits: match parameters.client_max_window_bits {
                Window::Absent => ClientWindow::Fixed,
                Window::Bare => ClientWindow::Any,
                Window::Bits(bits) => ClientWindow::AtMost(bits),
            },
        })
    }

    /// Appends the offer as one element of a `Sec-WebSocket-Extensions` value.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let parameters = Parameters {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.into(),
            client_max_window_bits: match self.client_max_window_bits {
                ClientWindow::Fixed => Window::Absent,
                ClientWindow::Any => Window::Bare,
                ClientWindow::AtMost(bits) => Window::Bits(bits),
            },
        };
        parameters.emit(out);
    }
}

/// The four parameters as they appear in an offer or a response, before the rules that differ
/// between the two.
#[derive(Default)]
pub(super) struct Parameters {
    pub server_no_context_takeover: bool,
    pub client_no_context_takeover: bool,
    pub server_max_window_bits: Window,
    pub client_max_window_bits: Window,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Window {
    #[default]
    Absent,
    Bare,
    Bits(WindowBits),
}

impl From<Option<WindowBits>> for Window {
    fn from(bits: Option<WindowBits>) -> Self {
        bits.map_or(Self::Absent, Self::Bits)
    }
}

impl Parameters {
    /// Returns `None` for another extension, and for a parameter that is unknown, repeated or out
    /// of range.
    pub fn parse(extension: &Extension<'_>) -> Option<Self> {
        if extension.name() != EXTENSION {
            return None;
        }
        let mut found = Self::default();
        for parameter in extension.parameters() {
            match parameter.name {
                "server_no_context_takeover" => {
                    set_flag(&mut found.server_no_context_takeover, parameter.value)?;
                }
                "client_no_context_takeover" => {
                    set_flag(&mut found.client_no_context_takeover, parameter.value)?;
                }
                "server_max_window_bits" => {
                    set_window(&mut found.server_max_window_bits, parameter.value)?;
                }
                "client_max_window_bits" => {
                    set_window(&mut found.client_max_window_bits, parameter.value)?;
                }
                _ => return None,
            }
        }
        Some(found)
    }

    /// Appends the extension with these parameters to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(EXTENSION.as_bytes());
        if self.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        emit_window("server_max_window_bits", self.server_max_window_bits, out);
        emit_window("client_max_window_bits", self.client_max_window_bits, out);
    }
}

// RFC 7692 §7.1.1: the takeover parameters must have no value.
fn set_flag(flag: &mut bool, value: Option<Value<'_>>) -> Option<()> {
    (value.is_none() && !*flag).then(|| *flag = true)
}

fn set_window(window: &mut Window, value: Option<Value<'_>>) -> Option<()> {
    if *window != Window::Absent {
        return None;
    }
    *window = match value {
        None => Window::Bare,
        Some(value) => Window::Bits(parse_bits(value)?),
    };
    Some(())
}

// RFC 7692 §7.1.2: a decimal integer without leading zeroes, 8 to 15.
fn parse_bits(value: Value<'_>) -> Option<WindowBits> {
    let mut digits = value.bytes();
    let bits = match (digits.next()?, digits.next(), digits.next()) {
        (ones @ b'8'..=b'9', None, None) => ones - b'0',
        (b'1', Some(ones @ b'0'..=b'5'), None) => 10 + ones - b'0',
        _ => return None,
    };
    WindowBits::new(bits)
}

fn emit_window(name: &str, window: Window, out: &mut Vec<u8>) {
    if window == Window::Absent {
        return;
    }
    out.extend_from_slice(b"; ");
    out.extend_from_slice(name.as_bytes());
    if let Window::Bits(bits) = window {
        out.push(b'=');
        if bits.bits() >= 10 {
            out.push(b'1');
        }
        out.push(b'0' + bits.bits() % 10);
    }
}
