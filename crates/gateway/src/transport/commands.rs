//! The commands in a WebSocket's messages: reads them, performs them, and answers.
//!
//! It never reads a frame, and never decides what a command means (`session::perform` does).

use std::sync::Arc;

use crate::{
    auth::Secret,
    broker::Awaited,
    memory::OutOfMemory,
    outbox::Outbox,
    session::{
        command::{Command, CommandLimits},
        core_hub::CoreHub,
        delivery::{DeliveryContext, EventWriter, ServerMessage},
        perform::Caller,
    },
    subprotocol::{self, Codec, Verdict},
    transport::frames::Frames,
};

/// The token in a first message; `None`: it is another message.
pub fn token_in(codec: &dyn Codec, text: &str) -> Option<Secret> {
    match codec.decode(text, &FIRST_MESSAGE) {
        Ok(Command::Auth { token, .. }) => Some(token),
        _ => None,
    }
}

/// A first message has neither recipients nor data.
const FIRST_MESSAGE: CommandLimits = CommandLimits { recipients_max: 0, data_depth_max: 0 };

/// Performs a command and answers it, unless the answer comes later.
///
/// # Errors
/// [`OutOfMemory`] for the answer.
pub fn carry_out(
    codec: &dyn Codec,
    text: &str,
    caller: &mut Caller<'_>,
    mut frames: Frames<'_>,
    hub: &mut CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<Option<Arc<Awaited>>, OutOfMemory> {
    let mut answer = context.scratch.take_buffer();
    let (settings, now) = (context.settings, context.now);
    let verdict = subprotocol::serve(codec, text, caller, hub, settings, now, &mut answer);
    let answered = match &verdict {
        Verdict::Awaited(_) => Ok(()),
        _ => frames.answer(&answer, context.scratch, outbox),
    };
    match verdict {
        Verdict::DoneWithGap((from, to)) => {
            context.metrics.gaps.add(1);
            frames.server_message(ServerMessage::Gap { from, to }, context.scratch, outbox);
        }
        Verdict::Refused(code) => hub.served.refuse(code),
        Verdict::Done | Verdict::Awaited(_) => {}
    }
    context.scratch.put_buffer(answer);
    answered.map(|()| match verdict {
        Verdict::Awaited(awaited) => Some(awaited),
        _ => None,
    })
}
