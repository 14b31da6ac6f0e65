//! The naive twin of `Inflater`: reads RFC 1951 bit by bit, enforces the window to the byte, and
//! measures every distance.
//!
//! Slow, and built only for tests.

use super::{FLUSH_TAIL, WindowBits};

/// Inflates messages of one direction; returns `None` for any violation of RFC 1951.
pub struct NaiveInflater {
    window_bytes: usize,
    // All bytes inflated since the last reset; later messages of the stream may refer to them.
    history: Vec<u8>,
    /// The longest distance of any match.
    pub distance_max: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    next_bit: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.next_bit / 8)?;
            value |= usize::from(byte >> (self.next_bit % 8) & 1) << place;
            self.next_bit += 1;
        }
        Some(value)
    }

    fn align(&mut self) {
        self.next_bit = self.next_bit.next_multiple_of(8);
    }

    fn is_at_end(&self) -> bool {
        self.next_bit == 8 * self.bytes.len()
    }
}

// RFC 1951 §3.2.2: the lengths define a code; shorter codes come first, then by symbol.
struct Code {
    by_length: [Vec<usize>; 16],
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut by_length: [Vec<usize>; 16] = Default::default();
        for (symbol, &length) in lengths.iter().enumerate() {
            if length != 0 {
                by_length[length].push(symbol);
            }
        }
        Self { by_length }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first) = (0, 0);
        for symbols in &self.by_length[1..] {
            code = code << 1 | bits.take(1)?;
            first <<= 1;
            if code - first < symbols.len() {
                return Some(symbols[code - first]);
            }
            first += symbols.len();
        }
        None
    }
}

impl NaiveInflater {
    pub fn new(window_bits: WindowBits) -> Self {
        Self { window_bytes: 1 << window_bits.bits(), history: Vec::new(), distance_max: 0 }
    }

    pub fn reset(&mut self) {
        self.history.clear();
    }

    /// Inflates one whole message.
    pub fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let whole = [payload, &FLUSH_TAIL].concat();
        let mut bits = Bits { bytes: &whole, next_bit: 0 };
        let mut message = Vec::new();
        while !bits.is_at_end() {
            let start = self.history.len();
            let is_final = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => self.stored(&mut bits)?,
                1 => {
                    let (literals, distances) = fixed_codes();
                    self.coded(&mut bits, &literals, &distances)?;
                }
                2 => {
                    let (literals, distances) = dynamic_codes(&mut bits)?;
                    self.coded(&mut bits, &literals, &distances)?;
                }
                _ => return None,
            }
            message.extend_from_slice(&self.history[start..]);
            // RFC 7692 §7.2.1: the block after a final block begins at a byte boundary. If there is
            // none, the sender removed no tail.
            if is_final {
                bits.align();
                self.history.clear();
                if bits.next_bit == 8 * payload.len() {
                    break;
                }
            }
        }
        Some(message)
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.align();
        let length = bits.take(16)?;
        if bits.take(16)? != !length & 0xffff {
            return None;
        }
        for _ in 0..length {
            self.history.push(bits.take(8)? as u8);
        }
        Some(())
    }

    fn coded(&mut self, bits: &mut Bits<'_>, literals: &Code, distances: &Code) -> Option<()> {
        loop {
            match literals.symbol(bits)? {
                literal @ 0..=255 => self.history.push(literal as u8),
                256 => return Some(()),
                symbol => {
                    let length = length(symbol, bits)?;
                    let distance = distance(distances.symbol(bits)?, bits)?;
                    if distance > self.window_bytes.min(self.history.len()) {
                        return None;
                    }
                    self.distance_max = self.distance_max.max(distance);
                    for _ in 0..length {
                        let byte = self.history[self.history.len() - distance];
                        self.history.push(byte);
                    }
                }
            }
        }
    }
}

// RFC 1951 §3.2.5.
fn length(symbol: usize, bits: &mut Bits<'_>) -> Option<usize> {
    match symbol {
        257..=264 => Some(symbol - 254),
        265..=284 => {
            let extra = (symbol - 261) / 4;
            Some(3 + ((4 + (symbol - 261) % 4) << extra) + bits.take(extra)?)
        }
        285 => Some(258),
        _ => None,
    }
}

// RFC 1951 §3.2.5.
fn distance(symbol: usize, bits: &mut Bits<'_>) -> Option<usize> {
    match symbol {
        0..=3 => Some(symbol + 1),
        4..=29 => {
            let extra = symbol / 2 - 1;
            Some(1 + ((2 + symbol % 2) << extra) + bits.take(extra)?)
        }
        _ => None,
    }
}

// RFC 1951 §3.2.6.
fn fixed_codes() -> (Code, Code) {
    let mut literals = [8; 288];
    literals[144..256].fill(9);
    literals[256..280].fill(7);
    (Code::new(&literals), Code::new(&[5; 30]))
}

// RFC 1951 §3.2.7.
fn dynamic_codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literal_count = bits.take(5)? + 257;
    let distance_count = bits.take(5)? + 1;
    let length_count = bits.take(4)? + 4;
    let mut lengths = [0; 19];
    for &place in &ORDER[..length_count] {
        lengths[place] = bits.take(3)?;
    }
    let code = Code::new(&lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literal_count + distance_count {
        let (length, times) = match code.symbol(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    let distances = lengths.get(literal_count..literal_count + distance_count)?;
    Some((Code::new(&lengths[..literal_count]), Code::new(distances)))
}
