//! Property: the bytes that the driver keeps for a connection are bounded.

use ringway::config::settings::Settings;
use ringway_acceptor::{ConnectionId, Settings as DriverSettings, sim::Faults};
use ringway_frame::HEADER_BYTES_MAX;

use super::check;
use crate::decoder::Transport;

const PROPERTY: &str = "the memory that the driver keeps for a connection is bounded";

/// The most receives of one connection that the simulated driver starts in a turn.
const RECEIVES_PER_TURN: usize = 4;

/// More than the responses to all requests that a client sends together.
const RESPONSES_BYTES_MAX: usize = 8 * 2_048;

/// The gateway's own messages in addition to events: a head, a welcome, a gap, a heartbeat, and the
/// frame of a poll.
const WORDS_BYTES_MAX: usize = 4_096;

/// Checks that the driver keeps at most `bound` bytes; `None` if a client's own commands add to it.
pub fn check_backlog(connection: ConnectionId, unsent_bytes: usize, bound: Option<usize>) {
    let bound = bound.unwrap_or(usize::MAX);
    check!(unsent_bytes <= bound, "{unsent_bytes} of {bound} bytes for {connection:?}");
}

/// The bound of a client whose messages are echoed.
///
/// At the start of a turn at most `queue_bytes_max` are kept, or reading is paused. Then the bytes
/// in flight are added: those of one turn and of the turns for which a fault delays completions, as
/// many again until the pause takes effect, and one receive that it does not prevent. Each received
/// byte adds less than one sent byte, except for the last byte of a message that was assembled
/// before, and for responses.
pub fn of_echo(settings: &Settings, driver: &DriverSettings, faults: &Faults) -> usize {
    let receives = (faults.delay_turns_max as usize + 1) * RECEIVES_PER_TURN;
    let in_flight = receives * driver.receive_buffer_bytes as usize;
    let assembled = settings.websocket.echo_message_bytes_max + HEADER_BYTES_MAX;
    let late = driver.receive_buffer_bytes as usize;
    settings.clients.queue_bytes_max + 2 * in_flight + late + assembled + RESPONSES_BYTES_MAX
}

/// The bound of a client that receives events and sends no commands: the queue, the send that
/// exceeded it, and the gateway's own messages.
pub fn of_events(
    transport: Transport,
    settings: &Settings,
    event_bytes_max: usize,
) -> Option<usize> {
    let queue_bytes_max = settings.clients.queue_bytes_max;
    let queue = match transport {
        Transport::Poll => queue_bytes_max.max(settings.http.poll_bytes_max),
        Transport::Sse(_) | Transport::Lines | Transport::Iframe => queue_bytes_max,
        Transport::WebSocket(_) | Transport::Post | Transport::Echo => return None,
    };
    Some(queue + 2 * event_bytes_max + WORDS_BYTES_MAX)
}
