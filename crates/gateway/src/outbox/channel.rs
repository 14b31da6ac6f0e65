//! What is between a socket and its protocol: nothing, or a layer of records (TLS).
//!
//! A plain channel is a null pointer: bytes are neither copied nor counted twice, and nothing is
//! called. A layer is a trait object behind that pointer, called once for each record and each
//! write. A type parameter would save that call, which costs little compared with a cipher. But
//! every connection, transport and shard would be compiled once for each channel, and an idle plain
//! connection would have the size of the largest one. The same pointer holds deferred input, since
//! both are rare and neither is worth eight bytes of each idle connection.
//!
//! It never looks at a protocol's bytes and never touches a socket.

mod deferred;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
pub(crate) mod xor;

use std::{fmt, net::SocketAddr, sync::Arc};

use ringway_tls::Reason;

use crate::limits::HANDSHAKE_FLIGHT_COST;

pub use self::{
    deferred::{Deferred, End},
    tls::{PLAIN_HTTP, client_layer, tls_layer},
};

/// A layer of records between a socket and its protocol. It is sans-IO: bytes that it wants to send
/// are appended to a buffer that it is given.
///
/// It keeps no plain text: text that it opens is passed on at once, and text that is written before
/// its handshake is complete is dropped ([`Self::is_established`]).
pub trait RecordLayer: Send {
    /// Opens the first record of `received` and removes it from there; removes everything if that
    /// is only a part of a record. Called until nothing remains. The layer's own answer, such as
    /// its part of a handshake, is appended to `out`.
    ///
    /// # Errors
    /// Nothing more can be opened. Earlier input is still served, and the answers are sealed; then
    /// the layer is closed.
    fn open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, ChannelError>;

    /// Writes the first message of the side that connects.
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    /// Whether the handshake is complete, so that plain text can be sealed.
    fn is_established(&self) -> bool;

    /// Whether it has answered a part of the handshake. The answers are what a handshake costs.
    fn has_answered(&self) -> bool;

    /// The cost of such an answer (`limits`).
    fn flight_cost(&self) -> usize {
        HANDSHAKE_FLIGHT_COST
    }

    /// Replaces the plain text from `start` to the end of `out` by records, which take at most
    /// [`Self::sealed_bytes_max`] bytes.
    fn seal(&mut self, out: &mut Vec<u8>, start: usize);

    /// An upper bound on the output of one call of [`Self::seal`] for this many bytes; for 0, the
    /// bytes that each further call adds.
    fn sealed_bytes_max(&self, bytes: usize) -> usize;

    /// Whether the peer may end its stream here; if not, a record is incomplete.
    fn is_between_records(&self) -> bool;

    /// Writes the last record, before FIN: a farewell, or an alert if a record could not be opened.
    /// Before the handshake is complete it may write a failure message, or nothing. Nothing is
    /// called after it.
    fn close(&mut self, out: &mut Vec<u8>);

    /// The name in the certificate that the peer has shown and that was verified.
    fn peer_name(&self) -> Option<String> {
        None
    }

    /// Bytes that it keeps of incomplete records.
    fn held_bytes(&self) -> usize;
}

/// The result of opening.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'b> {
    /// No plain text: a part of a record, or a record of the layer itself.
    Nothing,
    /// Plain text, at the place where the record was received.
    InPlace(&'b mut [u8]),
    /// Plain text of a record that was received in parts.
    Assembled(Vec<u8>),
    /// The peer has announced that it sends no more; everything after it is ignored.
    Ended,
}

/// Why nothing more can be read from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelError {
    /// The handshake failed, for this reason.
    Handshake(Reason),
    /// The client speaks HTTP in plain text; the layer's last bytes are an answer to that.
    PlainHttp,
    /// A record is forged, damaged, or too long.
    Record,
    /// There is no memory to keep a part of a record.
    OutOfMemory,
}

/// Makes the layer of each connection that a listener accepts.
pub type MakeLayer = Arc<dyn Fn() -> Box<dyn RecordLayer> + Send + Sync>;

/// How each listener's connections begin, by the listener's number. Without an entry they are
/// plain.
#[derive(Clone, Default)]
pub struct Channels {
    listeners: Vec<Profile>,
    /// The layers of connections to servers, by address and authorities.
    servers: Vec<(ServerKey, MakeLayer)>,
}

/// A server that is spoken to through a layer: its address, and the file of its authorities.
pub type ServerKey = (SocketAddr, Option<String>);

#[derive(Clone, Default)]
struct Profile {
    make: Option<MakeLayer>,
    begins_with_proxy_header: bool,
}

impl Channels {
    /// Gives a listener's connections a layer.
    pub fn set(&mut self, listener: u16, make: MakeLayer) {
        self.profile(listener).make = Some(make);
    }

    /// Gives the connections to a server a layer.
    pub fn set_server(&mut self, server: ServerKey, make: MakeLayer) {
        self.servers.push((server, make));
    }

    /// The channel of a connection to this server; `None`: its layer is not known.
    pub fn connect(&self, server: &ServerKey) -> Option<Channel> {
        let (_, make) = self.servers.iter().find(|(known, _)| known == server)?;
        Some(Channel::of(Layer::Records(make())))
    }

    /// A listener's connections begin with a PROXY protocol header, before any layer.
    pub fn expect_proxy_header(&mut self, listener: u16) {
        self.profile(listener).begins_with_proxy_header = true;
    }

    fn profile(&mut self, listener: u16) -> &mut Profile {
        let listener = usize::from(listener);
        if self.listeners.len() <= listener {
            self.listeners.resize(listener + 1, Profile::default());
        }
        &mut self.listeners[listener]
    }

    /// The channel of a connection that this listener accepted.
    pub fn accept(&self, listener: u16) -> Channel {
        match self.listeners.get(usize::from(listener)) {
            Some(Profile { make, begins_with_proxy_header: true }) => {
                let (bytes, then) = (Vec::new(), make.clone());
                Channel::of(Layer::ProxyHeader { bytes, then })
            }
            Some(Profile { make: Some(make), .. }) => Channel::of(Layer::Records(make())),
            Some(_) | None => Channel::default(),
        }
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.listeners.fmt(formatter)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = if self.make.is_some() { "layer" } else { "plain" };
        formatter.write_str(layer)?;
        formatter.write_str(if self.begins_with_proxy_header { " behind a header" } else { "" })
    }
}

/// A connection's channel, with deferred input.
///
/// Invariant: a plain connection without deferred input keeps nothing here.
#[derive(Default)]
pub struct Channel(Option<Box<Kept>>);

struct Kept {
    layer: Layer,
    deferred: Option<Deferred>,
}

enum Layer {
    Plain,
    /// A PROXY protocol header comes first: the part that has arrived, and the layer after it.
    ProxyHeader {
        bytes: Vec<u8>,
        then: Option<MakeLayer>,
    },
    Records(Box<dyn RecordLayer>),
    /// Its last record was written, or it has failed.
    Ended,
}

/// How bytes currently pass.
pub enum Passage<'c> {
    /// Unchanged.
    Plain,
    /// Through a layer.
    Records(&'c mut dyn RecordLayer),
    /// Not at all: the layer has ended, or a PROXY protocol header is still to come.
    Shut,
}

impl Channel {
    fn of(layer: Layer) -> Self {
        Self(Some(Box::new(Kept { layer, deferred: None })))
    }

    /// The part of a PROXY protocol header that has arrived; `None` if no header is to come.
    pub fn proxy_header(&mut self) -> Option<&mut Vec<u8>> {
        match self.0.as_deref_mut() {
            Some(Kept { layer: Layer::ProxyHeader { bytes, .. }, .. }) => Some(bytes),
            _ => None,
        }
    }

    /// The header is complete: the layer begins, if there is one.
    pub fn end_proxy_header(&mut self) {
        let Some(kept) = &mut self.0 else { return };
        let Layer::ProxyHeader { then, .. } = &kept.layer else { return };
        match then {
            Some(make) => kept.layer = Layer::Records(make()),
            None => self.0 = None,
        }
    }

    /// How received bytes pass.
    #[inline]
    pub fn inward(&mut self) -> Passage<'_> {
        match &mut self.0 {
            None => Passage::Plain,
            Some(kept) => match &mut kept.layer {
                Layer::Plain => Passage::Plain,
                Layer::Records(layer) => Passage::Records(&mut **layer),
                Layer::ProxyHeader { .. } | Layer::Ended => Passage::Shut,
            },
        }
    }

    /// How output passes. Before a handshake is complete it does not pass, as the client could not
    /// read it yet.
    #[inline]
    pub fn outward(&mut self) -> Passage<'_> {
        match self.inward() {
            Passage::Records(layer) if !layer.is_established() => Passage::Shut,
            passage => passage,
        }
    }

    /// Whether received bytes are the protocol's next input as they are: nothing is opened, and
    /// nothing waits before them.
    pub fn is_direct(&self) -> bool {
        self.0.is_none()
    }

    /// Whether there is a layer that has not ended.
    pub fn has_layer(&mut self) -> bool {
        matches!(self.inward(), Passage::Records(_))
    }

    /// The name in the certificate that the peer has shown, if its layer has verified one.
    pub fn peer_name(&mut self) -> Option<String> {
        match self.inward() {
            Passage::Records(layer) => layer.peer_name(),
            Passage::Plain | Passage::Shut => None,
        }
    }

    /// Whether the peer's FIN cut off a record.
    pub fn is_cut(&mut self) -> bool {
        matches!(self.inward(), Passage::Records(layer) if !layer.is_between_records())
    }

    /// Ends the layer, if there is one that has not ended: nothing passes any more. A layer that has
    /// begun is returned so that its last record can be written.
    pub fn end(&mut self) -> Option<Box<dyn RecordLayer>> {
        let kept = self.0.as_mut()?;
        if let Layer::Plain = &kept.layer {
            return None;
        }
        match std::mem::replace(&mut kept.layer, Layer::Ended) {
            Layer::Records(layer) => Some(layer),
            Layer::Plain | Layer::ProxyHeader { .. } | Layer::Ended => None,
        }
    }

    /// Bytes that are kept of the input.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        let Some(kept) = &self.0 else { return 0 };
        let deferred = kept.deferred.as_ref().map_or(0, |deferred| deferred.bytes.capacity());
        match &kept.layer {
            Layer::Records(layer) => layer.held_bytes() + deferred,
            Layer::ProxyHeader { bytes, .. } => bytes.capacity() + deferred,
            Layer::Plain | Layer::Ended => deferred,
        }
    }

    /// The deferred input, if there is some.
    #[inline]
    pub fn deferred(&self) -> Option<&Deferred> {
        self.0.as_ref()?.deferred.as_ref()
    }

    /// As [`Self::deferred`], mutable.
    #[inline]
    pub fn deferred_mut(&mut self) -> Option<&mut Deferred> {
        self.0.as_mut()?.deferred.as_mut()
    }

    /// The deferred input, mutable; empty if there was none.
    pub fn deferred_or_default(&mut self) -> &mut Deferred {
        let kept =
            self.0.get_or_insert_with(|| Box::new(Kept { layer: Layer::Plain, deferred: None }));
        kept.deferred.get_or_insert_default()
    }

    /// Takes the deferred input.
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        let kept = self.0.as_mut()?;
        let deferred = kept.deferred.take();
        if let Layer::Plain = kept.layer {
            self.0 = None;
        }
        deferred
    }
}

/// One pointer, which is null for a plain connection.
const _: () = assert!(size_of::<Channel>() == size_of::<usize>());
