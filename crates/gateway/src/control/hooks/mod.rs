//! Asks applications: takes the questions of the cores from their queues, and sends the answers to the
//! mailboxes of the cores. Each question has its answer within the application's time-out.
//!
//! It never decides what an answer means for a client.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc::Receiver},
    time::timeout_at,
};
use tracing::{info, warn};

use crate::{
    broker::mailbox::{CoreMessage, Mailbox},
    control::application::Client,
    hooks::{Answer, Application, Applications, Failure, Pending},
};

/// Asks all applications until the process ends.
///
/// # Errors
/// An application cannot be asked at its URL on this system.
pub fn start(applications: &Arc<Applications>, mailbox: &Mailbox) -> anyhow::Result<()> {
    for (place, application) in applications.iter().enumerate() {
        let client = Client::new(&application.hook)?;
        let Some(questions) = application.take_questions().filter(|_| application.hook.waits)
        else {
            continue;
        };
        let asking = Asking {
            applications: Arc::clone(applications),
            place,
            client,
            mailbox: mailbox.clone(),
            state: State::default(),
        };
        tokio::spawn(Arc::new(asking).serve(questions));
    }
    Ok(())
}

/// Asks one application.
struct Asking {
    applications: Arc<Applications>,
    place: usize,
    client: Client,
    mailbox: Mailbox,
    state: State,
}

/// Whether the application answers, so that the log says when that changes.
#[derive(Default)]
struct State(std::sync::atomic::AtomicU64);

impl Asking {
    fn application(&self) -> &Application {
        self.applications.get(self.place)
    }

    async fn serve(self: Arc<Self>, mut questions: Receiver<Pending>) {
        let in_flight = Arc::new(Semaphore::new(self.application().hook.in_flight_max));
        while let Some(pending) = questions.recv().await {
            let turn = Arc::clone(&in_flight).acquire_owned();
            let Ok(Ok(turn)) = timeout_at(pending.deadline.into(), turn).await else {
                self.answer(&pending, Answer::Failed(Failure::Timeout), None);
                continue;
            };
            let asking = Arc::clone(&self);
            tokio::spawn(async move {
                let (answer, time) = asking.ask(&pending).await;
                drop(turn);
                asking.answer(&pending, answer, time);
            });
        }
    }

    async fn ask(&self, pending: &Pending) -> (Answer, Option<std::time::Duration>) {
        let body = pending.question.body().to_vec();
        let response = timeout_at(pending.deadline.into(), self.client.ask(body)).await;
        match response.unwrap_or(Err(Failure::Timeout)) {
            Ok((status, body)) => Answer::read(pending.question.event, status, &body),
            Err(failure) => (Answer::Failed(failure), None),
        }
    }

    fn answer(&self, pending: &Pending, answer: Answer, time: Option<std::time::Duration>) {
        self.log(&answer);
        self.application().note(&pending.question, &answer, time);
        let ticket = pending.question.ticket;
        self.mailbox.tell(ticket.core, CoreMessage::Decided { ticket, answer });
    }

    /// Logs the first failure after an answer, and the first answer after failures.
    fn log(&self, answer: &Answer) {
        use std::sync::atomic::Ordering::Relaxed;
        let url = &self.application().hook.url;
        match answer {
            Answer::Failed(failure) if self.state.0.fetch_add(1, Relaxed) == 0 => {
                warn!(%url, failure = failure.as_str(), "the application does not answer as it should");
            }
            Answer::Failed(_) => {}
            _ => match self.state.0.swap(0, Relaxed) {
                0 => {}
                failures => info!(%url, failures, "the application answers again"),
            },
        }
    }
}
