//! How a client behaves: how it splits what it sends, how it reads, when it rests, how it leaves.
//!
//! It knows no bytes and no answers.

use std::time::Duration;

use fastrand::Rng;

use crate::script::Script;

/// The behaviour of one client.
#[derive(Debug)]
pub struct Behaviour {
    /// How long after the start it connects.
    pub comes_at: Duration,
    /// How its bytes are split into segments.
    pub splitting: Splitting,
    /// How it reads.
    pub reading: Reading,
    /// Bytes of the script that it says; then it leaves as `leaving` says.
    pub says: usize,
    /// What it does then.
    pub leaving: Leaving,
    /// Whether it waits for the 101 before its first frame.
    pub opening: Opening,
    /// A rest before the byte at this offset.
    pub rest: Option<(usize, Duration)>,
    /// What it does after the gateway's FIN.
    pub courtesy: Courtesy,
}

/// Segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splitting {
    /// All that there is.
    Whole,
    /// One byte.
    Bytes,
    /// Up to this many bytes.
    AtMost(usize),
    /// A frame; the next one after all answers to it.
    Lockstep,
    /// A byte each time this has passed.
    Drip(Duration),
}

/// How the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All that comes.
    Freely,
    /// This many bytes a turn.
    AtMost(usize),
    /// This many bytes each time this has passed.
    Sips(usize, Duration),
    /// Nothing for a while, once it has sent this many bytes.
    Naps(usize, Duration),
    /// Nothing any more, once it has sent this many bytes.
    Never(usize),
}

/// What the client does when it has said what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It waits for the gateway's FIN, and answers pings.
    Stays,
    /// It waits, and says nothing at all.
    FallsSilent,
    /// FIN.
    HalfCloses,
    /// RST.
    Resets,
    /// It closes its socket.
    Vanishes,
}

/// Whether the client waits for the 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// RFC 6455 §4.1: it does.
    Patient,
    /// It does not.
    Eager,
}

/// Whether the client answers the gateway's FIN, and its Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Courtesy {
    /// It does.
    Polite,
    /// It leaves that to the gateway's time-out.
    Rude,
}

impl Behaviour {
    /// A client that says all of `script` without faults of its own and stays.
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

    /// Any behaviour with which `script` comes to an end. No rest exceeds the first of
    /// `patience`, the silence that the gateway allows and its close time-out, no nap the second.
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
        // A nap and a rest together would be too long.
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

    /// Where the client stops for a moment, so that no segment runs across; in any order.
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
