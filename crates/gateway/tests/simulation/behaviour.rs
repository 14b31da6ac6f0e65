//! How a client behaves: how it splits its bytes into segments, reads, pauses and leaves.
//!
//! It knows neither the bytes nor the answers.

use std::time::Duration;

use fastrand::Rng;

use crate::script::Script;

/// The behaviour of one client.
#[derive(Debug)]
pub struct Behaviour {
    /// When it connects, counted from the start.
    pub comes_at: Duration,
    /// How its bytes are split into segments.
    pub splitting: Splitting,
    /// How it reads.
    pub reading: Reading,
    /// How many bytes of the script it sends; then it leaves as `leaving` says.
    pub says: usize,
    /// What it does after that.
    pub leaving: Leaving,
    /// Whether it waits for the 101 before its first frame.
    pub opening: Opening,
    /// A pause before the byte at this offset.
    pub rest: Option<(usize, Duration)>,
    /// What it does after the gateway's FIN.
    pub courtesy: Courtesy,
}

/// Segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splitting {
    /// All bytes at once.
    Whole,
    /// One byte each.
    Bytes,
    /// At most this many bytes each.
    AtMost(usize),
    /// One frame; the next one follows after all answers to it.
    Lockstep,
    /// One byte, each time this has passed.
    Drip(Duration),
}

/// How the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Reads all bytes at once.
    Freely,
    /// At most this many bytes per turn.
    AtMost(usize),
    /// This many bytes, each time this has passed.
    Sips(usize, Duration),
    /// Stops reading for a while, once it has sent this many bytes.
    Naps(usize, Duration),
    /// Stops reading for good, once it has sent this many bytes.
    Never(usize),
}

/// What the client does after it has sent its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It waits for the gateway's FIN, and answers pings.
    Stays,
    /// It waits, and sends nothing.
    FallsSilent,
    /// It sends FIN.
    HalfCloses,
    /// It sends RST.
    Resets,
    /// It closes its socket.
    Vanishes,
}

/// Whether the client waits for the 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// RFC 6455 §4.1: it waits.
    Patient,
    /// It sends its first frame at once.
    Eager,
}

/// Whether the client answers the gateway's FIN, and its Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Courtesy {
    /// It answers both.
    Polite,
    /// It answers neither, and the gateway's timeout must end the connection.
    Rude,
}

impl Behaviour {
    /// A client that sends all of `script` without errors of its own and stays.
    pub fn plain(script: &Script) -> Self {
        Self {
            comes_at: Duration::ZERO,
            splitting: Splitting::Whole,
            reading: Reading::Freely,
            says: script.bytes.len(),
            leaving: Leaving::Stays,
            opening: Opening::Patient,
            rest: None,
            courtesy: Courtesy::Polite,
        }
    }

    /// A random behaviour with which `script` can be completed. `patience` holds the silence that
    /// the gateway allows and its close timeout; no pause exceeds the first, no nap the second.
    pub fn any(script: &Script, patience: (Duration, Duration), rng: &mut Rng) -> Self {
        let (silence_max, close_timeout) = patience;
        let length = script.bytes.len();
        let mut behaviour = Self::plain(script);
        behaviour.comes_at = Duration::from_micros(rng.u64(0..50_000));
        behaviour.splitting = match rng.u8(0..8) {
            0 if length < 1_500 => Splitting::Bytes,
            1 => Splitting::Lockstep,
            2..5 => Splitting::AtMost(rng.usize(1 + length / 200..=2 + length)),
            _ => Splitting::Whole,
        };
        behaviour.reading = match rng.u8(0..8) {
            0 => Reading::AtMost(rng.usize(1 + length / 300..=2 + length / 10)),
            1 => Reading::Naps(rng.usize(0..=length), close_timeout.mul_f64(0.8 * rng.f64())),
            _ => Reading::Freely,
        };
        if rng.u8(0..3) == 0 {
            behaviour.opening = Opening::Eager;
        }
        if rng.u8(0..4) == 0 {
            behaviour.courtesy = Courtesy::Rude;
        }
        // A nap and a pause together would be too long.
        if behaviour.reading == Reading::Freely
            && rng.u8(0..3) == 0
            && let Some(end) = rng.choice(&script.frame_ends)
        {
            behaviour.rest = Some((*end, silence_max.mul_f64(0.8 * rng.f64())));
        }
        behaviour.leaving = match rng.u8(0..10) {
            0..3 => Leaving::HalfCloses,
            3 => Leaving::Resets,
            4 => Leaving::Vanishes,
            5 => Leaving::FallsSilent,
            _ if script.is_final => return behaviour,
            _ => Leaving::HalfCloses,
        };
        if rng.bool() {
            behaviour.says = rng.usize(0..=length);
        }
        behaviour
    }

    /// The offsets at which the client pauses, which no segment may cross; in any order.
    pub fn stops(&self, script: &Script) -> [usize; 4] {
        let never = usize::MAX;
        let opening = match self.opening {
            Opening::Patient => script.opening_end.unwrap_or(never),
            Opening::Eager => never,
        };
        let reading = match self.reading {
            Reading::Naps(at, _) | Reading::Never(at) => at,
            Reading::Freely | Reading::AtMost(_) | Reading::Sips(..) => never,
        };
        [self.says, opening, reading, self.rest.map_or(never, |(at, _)| at)]
    }
}
