//! The faults of a simulated network.
//!
//! Numbers only; the network and the driver draw from them.

/// Probabilities (0 to 1) and bounds of faults.
///
/// ```
/// use ringway_acceptor::sim::Faults;
/// let lossless = Faults { reset: 0.0, refusal: 0.0, ..Faults::harsh() };
/// assert!(lossless.short_receive > 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// Probability that a receive is cut at a random byte, per receive.
    pub short_receive: f64,
    /// Probability that a socket takes only part of the bytes that fit, per send and turn.
    pub short_send: f64,
    /// Probability that a receive finds no buffer (`ENOBUFS`), per receive.
    pub shortage: f64,
    /// Probability that a connection is reset, per connection and turn.
    pub reset: f64,
    /// Probability that a completion is held back, per completion. Above zero, completions of
    /// different connections also overtake each other.
    pub delay: f64,
    /// The most turns that it is held back.
    pub delay_turns_max: u32,
    /// Probability that bytes were in flight already when a pause or a close is submitted.
    pub late_cancel: f64,
    /// Probability that a client is refused as if descriptors had run out, per client.
    pub refusal: f64,
    /// Probability that an attempt to connect fails although the target listens, per attempt.
    pub connect_failure: f64,
    /// The size of the socket's send buffer.
    pub send_buffer_bytes: usize,
}

impl Faults {
    /// A perfect network with an ordinary send buffer.
    pub fn none() -> Self {
        Self {
            short_receive: 0.0,
            short_send: 0.0,
            shortage: 0.0,
            reset: 0.0,
            delay: 0.0,
            delay_turns_max: 0,
            late_cancel: 0.0,
            refusal: 0.0,
            connect_failure: 0.0,
            send_buffer_bytes: 64 << 10,
        }
    }

    /// Everything goes wrong all the time.
    pub fn harsh() -> Self {
        Self {
            short_receive: 0.9,
            short_send: 0.6,
            shortage: 0.2,
            reset: 0.01,
            delay: 0.5,
            delay_turns_max: 12,
            late_cancel: 0.9,
            refusal: 0.1,
            connect_failure: 0.1,
            send_buffer_bytes: 1 << 10,
        }
    }
}

impl Default for Faults {
    /// A bad day on the open internet.
    fn default() -> Self {
        Self {
            short_receive: 0.2,
            short_send: 0.1,
            shortage: 0.02,
            reset: 0.0005,
            delay: 0.1,
            delay_turns_max: 4,
            late_cancel: 0.3,
            refusal: 0.01,
            connect_failure: 0.01,
            send_buffer_bytes: 16 << 10,
        }
    }
}
