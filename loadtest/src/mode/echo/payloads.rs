//! The payloads of echoes: plain messages, or a template that the server understands.
//!
//! It never sends and never counts.

use std::{collections::BTreeMap, sync::Arc};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

use super::EchoPlan;
use crate::wire::{
    addressed::Addressed,
    delivery::{Deliveries, Found},
    message::{Corruption, Form, Messages},
    stamp::Stamp,
    template::{Draft, Template},
};

/// One thread's payloads.
pub enum Payloads {
    /// A stamp and a body, and nothing else.
    Plain(Messages),
    /// A template with a recipient.
    Addressed {
        /// The template to send.
        template: Addressed,
        /// The message that is sent.
        message: Vec<u8>,
        /// Finds the stamp and the body in a delivery, whatever the server puts around them.
        deliveries: Deliveries,
        /// Each frame has its own masking key (RFC 6455 §5.3).
        keys: MaskKeys,
    },
    /// A template with a stamp and a body.
    Templated {
        /// The template to send.
        template: Arc<Template>,
        /// By connection, because each has its own number.
        drafts: BTreeMap<u32, Draft>,
        /// Finds the stamp and the body in a reply, whatever the server puts around them.
        deliveries: Deliveries,
        /// Each frame has its own masking key (RFC 6455 §5.3).
        keys: MaskKeys,
    },
}

impl Payloads {
    /// The payloads of a plan.
    pub fn new(plan: &EchoPlan) -> Self {
        if let Some(addressed) = plan.addressed() {
            let deliveries = Deliveries::new(plan.template.as_ref().map_or("", |one| one.body()));
            let (message, keys) = (Vec::new(), MaskKeys::new());
            return Self::Addressed { template: addressed, message, deliveries, keys };
        }
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

    /// The messages, if there is no template around them.
    #[inline]
    pub fn plain(&mut self) -> Option<&mut Messages> {
        match self {
            Self::Plain(messages) => Some(messages),
            Self::Addressed { .. } | Self::Templated { .. } => None,
        }
    }

    /// Appends a message of this connection as one masked frame; `to` is the number of its
    /// recipient, if the messages have one.
    #[inline]
    pub fn write(&mut self, connection: u32, stamp: Stamp, to: u32, form: Form, out: &mut Vec<u8>) {
        match self {
            Self::Plain(messages) => messages.write(stamp, form, out),
            Self::Addressed { template, message, keys, .. } => {
                message.clear();
                template.write(stamp, to, message);
                emit_frame(out, Some(keys.draw()), Opcode::Text, message);
            }
            Self::Templated { template, drafts, keys, .. } => {
                let draft =
                    drafts.entry(connection).or_insert_with(|| template.draft(stamp.connection));
                emit_frame(out, Some(keys.draw()), Opcode::Text, draft.stamped(|_| stamp));
            }
        }
    }

    /// The stamp of a complete message that is ours.
    ///
    /// # Errors
    /// The message is not ours.
    #[inline]
    pub fn check(&mut self, kind: DataKind, payload: &[u8]) -> Result<Stamp, Corruption> {
        match self {
            Self::Plain(messages) => messages.check(kind, payload),
            Self::Templated { deliveries, .. } | Self::Addressed { deliveries, .. } => {
                match deliveries.read(payload) {
                    Found::Whole(stamp) => Ok(stamp),
                    Found::Corrupted(stamp) => Err(Corruption::Body(stamp)),
                    Found::Nothing => Err(Corruption::Stamp),
                }
            }
        }
    }
}
