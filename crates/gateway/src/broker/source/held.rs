//! A log source for tests: it keeps each submission until the test places or refuses it.

use std::{sync::Mutex, time::Duration};

use ringway_hub::{Appender, Draft, Log};

use super::{LogSource, Submitted, Token, Unavailable};

/// Submissions that have no outcome yet, oldest first.
#[derive(Default)]
pub struct Held(pub Mutex<Vec<(Token, Draft)>>);

impl LogSource for Held {
    fn submit(
        &self,
        _: &Log,
        _: &mut Appender,
        draft: Draft,
        token: Token,
        _: Duration,
    ) -> Result<Submitted, Unavailable> {
        self.0.lock().expect("no test panics while it holds this lock").push((token, draft));
        Ok(Submitted::Pending)
    }
}
