//! What echoes carry: messages of our own, or a template that the server understands.
//!
//! It never sends and never counts.

use std::{collections::BTreeMap, sync::Arc};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

use super::EchoPlan;
use crate::wire::{
    delivery::{Deliveries, Found},
    message::{Corruption, Form, Messages},
    stamp::Stamp,
    template::{Draft, Template},
};

/// One thread's payloads.
pub enum Payloads {
    /// A stamp and a body, and nothing else.
    Plain(Messages),
    /// Text around them.
    Templated {
        /// What is sent.
        template: Arc<Template>,
        /// By connection, as each has its own number in it.
        drafts: BTreeMap<u32, Draft>,
        /// Finds what was sent in what comes back, whatever the server puts around it.
        deliveries: Deliveries,
        /// Each frame is masked by another key (RFC 6455 §5.3).
        keys: MaskKeys,
    },
}

impl Payloads {
    /// Those of a plan.
    pub fn new(plan: &EchoPlan) -> Self {
        match &plan.template {
            None => Self::Plain(Messages::new(plan.content, plan.bytes)),
            Some(template) => Self::Templated {
                template: template.clone(),
                drafts: BTreeMap::new(),
                deliveries: Deliveries::new(template.body()),
                keys: MaskKeys::new(),
            },
        }
    }

    /// Appends a message of this connection as one masked frame.
    #[inline]
    pub fn write(&mut self, connection: u32, stamp: Stamp, form: Form, out: &mut Vec<u8>) {
        match self {
            Self::Plain(messages) => messages.write(stamp, form, out),
            Self::Templated { template, drafts, keys, .. } => {
                let draft =
                    drafts.entry(connection).or_insert_with(|| template.draft(stamp.connection));
                emit_frame(out, Some(keys.draw()), Opcode::Text, draft.stamped(stamp));
            }
        }
    }

    /// The stamp of a message that is one of ours, whole.
    ///
    /// # Errors
    /// It is not.
    #[inline]
    pub fn check(&mut self, kind: DataKind, payload: &[u8]) -> Result<Stamp, Corruption> {
        match self {
            Self::Plain(messages) => messages.check(kind, payload),
            Self::Templated { deliveries, .. } => match deliveries.read(payload) {
                Found::Whole(stamp) => Ok(stamp),
                Found::Corrupted(stamp) => Err(Corruption::Body(stamp)),
                Found::Nothing => Err(Corruption::Stamp),
            },
        }
    }
}
