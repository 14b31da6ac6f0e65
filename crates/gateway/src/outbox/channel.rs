//! What stands between a socket and its protocol: nothing, or a layer of records (TLS).
//!
//! A plain channel is a null pointer: bytes are neither copied nor counted twice, and nothing is
//! called. A layer is a trait object behind that pointer, called once for each record and each
//! write. A type parameter instead would save that call, which is nothing beside a cipher, but every
//! connection, transport and shard would be compiled once for each channel, and an idle plain
//! connection would pay for the size of the largest. The same pointer holds the input that was put
//! off, since both are rare and neither is worth eight bytes of each idle connection.
//!
//! It never looks at a protocol's bytes and never touches a socket.

mod deferred;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod xor;

use std::{fmt, sync::Arc};

pub use self::deferred::{Deferred, End};

/// A layer of records between a socket and its protocol. It is sans-IO, as all else is: bytes that
/// it wants to send are appended to a buffer that it is given.
///
/// It keeps no plain text: what it opens is handed on at once, and what is written before its
/// handshake is over is dropped ([`Self::is_established`]).
pub trait RecordLayer: Send {
    /// Opens the first record of `received` and takes it, or all of it if it is a part of a record,
    /// away from there. Called until nothing is left. `out` gets what the layer itself has to answer:
    /// its part of a handshake.
    ///
    /// # Errors
    /// Nothing more can be opened. What came before is still served, and the answers are sealed;
    /// then the layer is closed.
    fn open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, ChannelError>;

    /// Whether the handshake is over, so that plain text can be sealed.
    fn is_established(&self) -> bool;

    /// Replaces the plain text from `start` to the end of `out` by records, which take no more room
    /// than [`Self::sealed_bytes_max`] says.
    fn seal(&mut self, out: &mut Vec<u8>, start: usize);

    /// No fewer bytes than one call of [`Self::seal`] makes of so many; for none, those that each
    /// further call adds.
    fn sealed_bytes_max(&self, bytes: usize) -> usize;

    /// Whether the peer may end its stream here: otherwise a record was cut off.
    fn is_between_records(&self) -> bool;

    /// Writes the last record, before FIN: a farewell, or an alert if a record could not be opened.
    /// Before the handshake is over that is what the layer has to say then, if anything. Nothing is
    /// called after it.
    fn close(&mut self, out: &mut Vec<u8>);

    /// Bytes that it keeps of unfinished records.
    fn held_bytes(&self) -> usize;
}

/// What was opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'b> {
    /// No plain text: a part of a record, or one that is the layer's own.
    Nothing,
    /// Plain text, where the record was received.
    InPlace(&'b mut [u8]),
    /// Plain text of a record that was received in parts.
    Assembled(Vec<u8>),
    /// The peer has said that it sends no more; whatever follows is ignored.
    Ended,
}

/// Why nothing more can be read from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelError {
    /// The handshake failed.
    Handshake,
    /// A record is forged, damaged, or longer than it may be.
    Record,
    /// There is no memory to keep a part of a record.
    OutOfMemory,
}

/// Makes the layer of each connection that a listener accepts.
pub type MakeLayer = Arc<dyn Fn() -> Box<dyn RecordLayer> + Send + Sync>;

/// What each listener's connections pass through, by the listener's number. A listener without a
/// layer is plain.
#[derive(Clone, Default)]
pub struct Channels(Vec<Option<MakeLayer>>);

impl Channels {
    /// Gives a listener's connections a layer.
    pub fn set(&mut self, listener: u16, make: MakeLayer) {
        let listener = usize::from(listener);
        if self.0.len() <= listener {
            self.0.resize(listener + 1, None);
        }
        self.0[listener] = Some(make);
    }

    /// The channel of a connection that this listener has accepted.
    pub fn accept(&self, listener: u16) -> Channel {
        match self.0.get(usize::from(listener)) {
            Some(Some(make)) => {
                Channel(Some(Box::new(Kept { layer: Layer::Records(make()), deferred: None })))
            }
            Some(None) | None => Channel::default(),
        }
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.0.iter().map(|make| if make.is_some() { "layer" } else { "plain" });
        formatter.debug_list().entries(layers).finish()
    }
}

/// A connection's channel, with the input that its protocol has put off.
///
/// Invariant: nothing is kept for a plain connection whose input is served.
#[derive(Default)]
pub struct Channel(Option<Box<Kept>>);

struct Kept {
    layer: Layer,
    deferred: Option<Deferred>,
}

enum Layer {
    Plain,
    Records(Box<dyn RecordLayer>),
    /// Its last record was written, or it has failed.
    Ended,
}

/// How bytes pass at the moment.
pub enum Passage<'c> {
    /// As they are.
    Plain,
    /// Through a layer.
    Records(&'c mut dyn RecordLayer),
    /// Not at all: the layer has ended.
    Shut,
}

impl Channel {
    /// How received bytes pass.
    #[inline]
    pub fn inward(&mut self) -> Passage<'_> {
        match &mut self.0 {
            None => Passage::Plain,
            Some(kept) => match &mut kept.layer {
                Layer::Plain => Passage::Plain,
                Layer::Records(layer) => Passage::Records(&mut **layer),
                Layer::Ended => Passage::Shut,
            },
        }
    }

    /// How what is to be sent passes: not at all before a handshake is over, as there is nobody yet
    /// who could read it.
    #[inline]
    pub fn outward(&mut self) -> Passage<'_> {
        match self.inward() {
            Passage::Records(layer) if !layer.is_established() => Passage::Shut,
            passage => passage,
        }
    }

    /// Whether there is a layer that has not ended.
    pub fn has_layer(&mut self) -> bool {
        matches!(self.inward(), Passage::Records(_))
    }

    /// Whether the peer's FIN cut a record off.
    pub fn is_cut(&mut self) -> bool {
        matches!(self.inward(), Passage::Records(layer) if !layer.is_between_records())
    }

    /// Ends the layer, if there is one that has not ended: nothing passes any more. It may have a
    /// last record to write.
    pub fn end(&mut self) -> Option<Box<dyn RecordLayer>> {
        let kept = self.0.as_mut()?;
        let Layer::Records(_) = &kept.layer else { return None };
        match std::mem::replace(&mut kept.layer, Layer::Ended) {
            Layer::Records(layer) => Some(layer),
            Layer::Plain | Layer::Ended => None,
        }
    }

    /// Bytes that are kept of what was received.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        let Some(kept) = &self.0 else { return 0 };
        let deferred = kept.deferred.as_ref().map_or(0, |deferred| deferred.bytes.capacity());
        match &kept.layer {
            Layer::Records(layer) => layer.held_bytes() + deferred,
            Layer::Plain | Layer::Ended => deferred,
        }
    }

    /// The input that waits for its turn, if there is some.
    #[inline]
    pub fn deferred(&self) -> Option<&Deferred> {
        self.0.as_ref()?.deferred.as_ref()
    }

    /// As [`Self::deferred`], to be added to.
    #[inline]
    pub fn deferred_mut(&mut self) -> Option<&mut Deferred> {
        self.0.as_mut()?.deferred.as_mut()
    }

    /// The input that waits for its turn, to be added to; none so far, if there was none.
    pub fn deferred_or_default(&mut self) -> &mut Deferred {
        let kept =
            self.0.get_or_insert_with(|| Box::new(Kept { layer: Layer::Plain, deferred: None }));
        kept.deferred.get_or_insert_default()
    }

    /// Takes the input that was put off.
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        let kept = self.0.as_mut()?;
        let deferred = kept.deferred.take();
        if let Layer::Plain = kept.layer {
            self.0 = None;
        }
        deferred
    }
}

/// A pointer, which is null for a plain connection.
const _: () = assert!(size_of::<Channel>() == size_of::<usize>());
