//! An event of the log: one text, the places of its fields, how long it is kept, and encodings made
//! from it.
//!
//! The caller writes the text once and leaves room for the cursor, which only the log knows. The
//! log does not know what the text means or which encodings exist: both are ranges and numbers
//! here.

use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::address::{Address, Recipients};
use crate::cursor::{Cursor, Epoch, Sequence};
use crate::publisher::Publisher;

/// Bytes of an event in the log besides its text: its slot, and the cores that it concerns.
const EVENT_BYTES: usize = size_of::<OnceLock<Event>>() + size_of::<AtomicU64>();

const _: () = assert!(EVENT_BYTES <= 176, "a log of 100,000 small events stays below 32 MiB");

/// Spare capacity that a text may keep in the log; with more it is reallocated.
const SPARE_BYTES_MAX: usize = 64;

/// The number of encodings that an event can keep besides its text. Each takes 24 bytes of every
/// event.
pub const ENCODING_SLOTS: usize = 1;

const _: () = assert!(ENCODING_SLOTS <= u8::BITS as usize, "each slot has one bit of a byte");

/// How long an event is kept for clients that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// As long as the log keeps it.
    Window,
    /// Until this time at the latest, on the clock passed to [`crate::Log::append`].
    Until(Duration),
    /// Not at all: it is for clients that are connected now. They may still read it from the log if
    /// it could not be sent at once.
    Never,
}

/// The event is counted in the shares.
const COUNTED: u8 = 1;
/// It has begun to leave the log.
const LEAVING: u8 = 2;
/// It was counted before that, so its removal discounts it.
const DISCOUNTING: u8 = 4;

/// How long after disconnecting a recipient may still get an event that is not kept: it was
/// connected when the event came, but its connection ended before the event was sent.
pub const UNKEPT_GRACE: Duration = Duration::from_secs(5);

/// Where a field is in an event's text, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The first byte.
    #[must_use]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The byte after the last one.
    #[must_use]
    pub fn end(self) -> usize {
        self.end as usize
    }

    fn range(self) -> Range<usize> {
        self.start()..self.end()
    }
}

impl From<Range<usize>> for Span {
    /// # Panics
    /// The range ends past 4 GiB, which no text in the log does.
    fn from(range: Range<usize>) -> Self {
        let place = |at| u32::try_from(at).expect("a text is shorter than 4 GiB");
        Self { start: place(range.start), end: place(range.end) }
    }
}

/// The addressees of an event, as a place in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The subscribers of the topic named here.
    Topic(Span),
    /// The clients listed here by [`Recipients::list`], and how many there are.
    Recipients(Span, u32),
}

/// Where the fields are in an event's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// The end of the first encoding, which begins the text. After it come fields that it does not
    /// contain verbatim.
    pub encoded: usize,
    /// Where the [`Cursor::TEXT_BYTES`] of the cursor begin; the log overwrites them.
    pub cursor: usize,
    /// The sender.
    pub from: Option<Span>,
    /// The event's name.
    pub name: Option<Span>,
    /// The event's data.
    pub data: Span,
    /// The addressees.
    pub audience: Audience,
}

/// Whether the client that sent an event gets it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToSender {
    /// It does, like all other addressees.
    Sent,
    /// It does not.
    LeftOut,
}

/// An event that is not in the log yet.
#[derive(Debug)]
pub struct Draft {
    /// The first encoding, followed by fields that it does not contain verbatim.
    pub text: String,
    /// Where its fields are.
    pub fields: Fields,
    /// Whether the sender gets the event.
    pub to_sender: ToSender,
    /// How long it is kept.
    pub keep: Expiry,
    /// The wall-clock time, in milliseconds since 1970. The log only passes it on.
    pub time_ms: u64,
    /// Who is responsible for it.
    pub publisher: Publisher,
}

impl Draft {
    /// A draft with this text, which is entirely the first encoding; its cursor begins at byte
    /// `cursor`. It is kept for the whole window and has no name and no sender. It still needs an
    /// audience.
    ///
    /// ```
    /// use ringway_hub::{Address, Audience, Draft};
    /// let draft = Draft::new("a place for the cursor.......: hello", 0);
    /// assert_eq!(draft.text.len(), draft.fields.encoded);
    /// let draft = draft.to_topic("news");
    /// assert_eq!(draft.fields.audience, Audience::Topic((36..40).into()));
    /// ```
    #[must_use]
    pub fn new(text: impl Into<String>, cursor: usize) -> Self {
        let text = text.into();
        let encoded = text.len();
        let (data, audience) = ((0..encoded).into(), Audience::Topic(Span::default()));
        let fields = Fields { encoded, cursor, from: None, name: None, data, audience };
        let (to_sender, keep) = (ToSender::Sent, Expiry::Window);
        Self { text, fields, to_sender, keep, time_ms: 0, publisher: Publisher::APPLICATION }
    }

    /// Appends a field that the first encoding does not contain verbatim.
    pub fn push(&mut self, field: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(field);
        (start..self.text.len()).into()
    }

    /// This draft, addressed to the subscribers of a topic, whose name is appended.
    #[must_use]
    pub fn to_topic(mut self, topic: &str) -> Self {
        self.fields.audience = Audience::Topic(self.push(topic));
        self
    }

    /// This draft, addressed to these clients, whose names are appended and must be distinct.
    ///
    /// # Panics
    /// As [`Recipients::list`].
    #[must_use]
    pub fn to_recipients<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let start = self.text.len();
        let count = Recipients::list(&mut self.text, names);
        self.fields.audience = Audience::Recipients((start..self.text.len()).into(), count);
        self
    }
}

/// An event in the log.
#[derive(Debug)]
pub struct Event {
    sequence: Sequence,
    /// In nanoseconds, which takes half the bytes of a `Duration`; at most 584 years.
    at_ns: u64,
    time_ms: u64,
    keep: Expiry,
    text: String,
    fields: Fields,
    to_sender: ToSender,
    publisher: Publisher,
    /// The encodings that are counted in the segment's size, one bit each.
    charged: AtomicU8,
    /// Whether it is counted in the shares: [`COUNTED`], [`LEAVING`], [`DISCOUNTING`].
    sharing: AtomicU8,
    /// Encodings made from the event. An empty one could not be made.
    encodings: [OnceLock<Box<[u8]>>; ENCODING_SLOTS],
}

impl Event {
    /// Does everything that can fail, so that nothing can fail once a slot has been claimed.
    /// # Panics
    /// There is no room for a cursor, or a field is outside the text.
    pub(crate) fn new(draft: Draft, at: Duration) -> Self {
        let Draft { mut text, fields, to_sender, keep, time_ms, publisher } = draft;
        let Fields { encoded, cursor, from, name, data, audience } = fields;
        let room = cursor..cursor.saturating_add(Cursor::TEXT_BYTES);
        assert!(
            room.end <= encoded && text.get(room).is_some(),
            "an encoding has room for its cursor"
        );
        let to = match audience {
            Audience::Topic(span) | Audience::Recipients(span, _) => span,
        };
        let spans = [Some(Span::from(0..encoded)), from, name, Some(data), Some(to)];
        let mut spans = spans.into_iter().flatten();
        assert!(spans.all(|span| text.get(span.range()).is_some()), "a field is in the text");
        if text.capacity() - text.len() > SPARE_BYTES_MAX + text.len() / 4 {
            text.shrink_to_fit();
        }
        let (charged, sharing, encodings) = <(AtomicU8, AtomicU8, _)>::default();
        let at_ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        Self {
            sequence: 0,
            at_ns,
            time_ms,
            keep,
            text,
            fields,
            to_sender,
            publisher,
            charged,
            sharing,
            encodings,
        }
    }

    /// Gives the event its place in the order. Cannot fail, because `new` has checked the room.
    pub(crate) fn stamp(&mut self, epoch: Epoch, sequence: Sequence) {
        self.sequence = sequence;
        let digits = Cursor { epoch, sequence }.text();
        let digits = str::from_utf8(&digits).expect("a cursor is ASCII");
        self.text.replace_range(self.cursor_range(), digits);
    }

    /// A copy that keeps no segment of the log alive.
    ///
    /// # Errors
    /// Out of memory. If only the memory for an encoding is missing, the copy has no encoding.
    pub fn try_copy(&self) -> Result<Self, TryReserveError> {
        let mut text = String::new();
        text.try_reserve_exact(self.text.len())?;
        text.push_str(&self.text);
        let encodings: [OnceLock<Box<[u8]>>; ENCODING_SLOTS] = Default::default();
        for (copy, made) in encodings.iter().zip(&self.encodings) {
            let mut bytes = Vec::new();
            if let Some(made) = made.get()
                && bytes.try_reserve_exact(made.len()).is_ok()
            {
                bytes.extend_from_slice(made);
                let _ = copy.set(bytes.into());
            }
        }
        let Self { sequence, at_ns, time_ms, keep, fields, to_sender, publisher, .. } = *self;
        let (charged, sharing) = Default::default();
        Ok(Self {
            sequence,
            at_ns,
            time_ms,
            keep,
            text,
            fields,
            to_sender,
            publisher,
            charged,
            sharing,
            encodings,
        })
    }

    /// The bytes charged for the event when it is appended.
    pub(crate) fn size(&self) -> u64 {
        (EVENT_BYTES + self.text.capacity()) as u64
    }

    /// The number of keys that the event has in the index.
    pub(crate) fn keys(&self) -> u64 {
        match self.fields.audience {
            Audience::Topic(_) => 1,
            Audience::Recipients(_, count) => u64::from(count),
        }
    }

    /// The bytes of encodings that have not been charged yet; the caller must charge them.
    #[inline]
    pub(crate) fn uncharged(&self) -> Option<u64> {
        let mut bytes = None;
        for (slot, made) in self.encodings.iter().enumerate() {
            let Some(made) = made.get() else { continue };
            let bit = 1 << slot;
            if self.charged.load(Ordering::Relaxed) & bit == 0
                && self.charged.fetch_or(bit, Ordering::Relaxed) & bit == 0
            {
                bytes = Some(bytes.unwrap_or(0) + made.len() as u64);
            }
        }
        bytes
    }

    /// Who is responsible for it.
    pub(crate) fn publisher(&self) -> Publisher {
        self.publisher
    }

    /// Notes that it is counted in the shares; returns whether it has left the log meanwhile.
    pub(crate) fn note_counted(&self) -> bool {
        self.sharing.fetch_or(COUNTED, Ordering::AcqRel) & LEAVING != 0
    }

    /// Notes that it leaves the log, part by part; returns whether it was counted before it began to.
    pub(crate) fn note_leaving(&self, is_first_part: bool) -> bool {
        if is_first_part && self.sharing.fetch_or(LEAVING, Ordering::AcqRel) == COUNTED {
            self.sharing.fetch_or(DISCOUNTING, Ordering::Relaxed);
        }
        self.sharing.load(Ordering::Relaxed) & DISCOUNTING != 0
    }

    pub(crate) fn has_expired(&self, now: Duration) -> bool {
        matches!(self.keep, Expiry::Until(end) if end <= now)
    }

    /// Whether a client that connects now would get the event, if it were in the log. An event that
    /// is not kept is also for clients whose connection has just ended.
    pub(crate) fn is_wanted(&self, now: Duration) -> bool {
        match self.keep {
            Expiry::Window => true,
            Expiry::Until(end) => end > now,
            Expiry::Never => self.at() + UNKEPT_GRACE > now,
        }
    }

    /// Its number in the log's order.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// When it was appended, on the clock that retention uses.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at_ns)
    }

    /// When it was appended, in wall-clock time, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// How long it is kept.
    #[must_use]
    pub fn keep(&self) -> Expiry {
        self.keep
    }

    /// The first encoding, with its cursor.
    #[inline]
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text[..self.fields.encoded]
    }

    /// Its cursor, as written in the text.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.text[self.cursor_range()]
    }

    /// The addressees.
    #[must_use]
    pub fn address(&self) -> Address<'_> {
        match self.fields.audience {
            Audience::Topic(span) => Address::Topic(&self.text[span.range()]),
            Audience::Recipients(span, count) => {
                Address::Recipients(Recipients::listed(&self.text[span.range()], count))
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.fields.name.map(|span| &self.text[span.range()])
    }

    /// The client that sent it; `None`: the application did, in no client's name.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        self.fields.from.map(|span| &self.text[span.range()])
    }

    /// The client that must not get the event because it sent it.
    #[must_use]
    pub fn except(&self) -> Option<&str> {
        self.sender().filter(|_| self.to_sender == ToSender::LeftOut)
    }

    /// Where its data is in the text.
    #[must_use]
    pub fn data(&self) -> Span {
        self.fields.data
    }

    /// The encoding in a slot, if it has been made.
    #[must_use]
    pub fn encoding(&self, slot: usize) -> Option<&[u8]> {
        self.encodings[slot].get().map(|bytes| &**bytes).filter(|bytes| !bytes.is_empty())
    }

    /// The encoding in a slot. The first caller makes it from the text; concurrent callers wait for
    /// it. It is kept as long as the event and counts in the log's bytes.
    ///
    /// If `make` fails, there is no encoding, and it is not tried again.
    pub fn encode(
        &self,
        slot: usize,
        make: impl FnOnce(&str) -> Option<Box<[u8]>>,
    ) -> Option<&[u8]> {
        self.encodings[slot].get_or_init(|| make(self.text()).unwrap_or_default());
        self.encoding(slot)
    }

    fn cursor_range(&self) -> Range<usize> {
        self.fields.cursor..self.fields.cursor + Cursor::TEXT_BYTES
    }
}
