//! Many events in one request: each line holds an object, and is answered by a line with its
//! outcome.
//!
//! Lines are answered as they arrive, so that neither the request nor the answer is ever held
//! whole. If a client does not read the answers, reading from it stops, and then its connection is
//! closed.

use std::{fmt, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body_util::channel::{Channel, Sender};
use ringway_hub::Sequence;
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use crate::{
    auth::Caller,
    config::reference::ConfigReference,
    control::api::{
        Api, body,
        lines::{Line, Lines},
        post,
        problem::{Kind, Problem},
        submission::Verb,
    },
    limits::{
        AHEAD_INTERVAL, API_PAUSE_MAX, API_WAITS_MAX, BULK_ANSWER_BYTES, BULK_ANSWERS_QUEUED,
        TOPIC_PENDING_BYTES_MAX,
    },
};

/// The response, which is produced while it is sent.
pub fn answer(request: (Verb, Caller), api: Arc<Api>, body: Body) -> Response {
    let (sender, answer) = Channel::new(BULK_ANSWERS_QUEUED);
    tokio::spawn(carry_out(request, api, body, sender));
    let media = HeaderValue::from_static("application/x-ndjson");
    ([(header::CONTENT_TYPE, media)], Body::new(answer)).into_response()
}

/// The client that should read the response has gone, or reads nothing.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the answer is not read")
    }
}

impl std::error::Error for Unread {}

async fn carry_out(
    request: (Verb, Caller),
    api: Arc<Api>,
    mut body: Body,
    mut sender: Sender<Bytes, Unread>,
) {
    let mut answers =
        Answers { request, api: &api, line: 0, out: Vec::new(), pace: Pace::default() };
    match serve(&mut answers, &mut body, &mut sender).await {
        Ok(()) => {}
        // The response ends without its last chunk, so the client can tell that it is incomplete.
        Err(Unread) => sender.abort(Unread),
    }
    body::discard(body);
}

async fn serve(
    answers: &mut Answers<'_>,
    body: &mut Body,
    sender: &mut Sender<Bytes, Unread>,
) -> Result<(), Unread> {
    let api = answers.api;
    let mut lines = Lines::new(api.message_bytes_max());
    let Ok(mut held) = api.memory.hold(0) else {
        return answers.end(&body::out_of_memory(&api.memory), sender).await;
    };
    let limit = api.bulk_limit();
    let mut bytes = 0;
    loop {
        let piece = match body::piece(body).await {
            Ok(piece) => piece,
            Err(problem) => return answers.end(&problem, sender).await,
        };
        let Some(piece) = piece else { break };
        bytes += piece.len();
        if bytes > limit.bytes_max {
            return answers.end(&limit.too_large(), sender).await;
        }
        let mut input = &*piece;
        while let Some(line) = lines.next(&mut input) {
            answers.take(&line).await;
            if answers.out.len() >= BULK_ANSWER_BYTES {
                answers.flush(sender).await?;
            }
        }
        answers.flush(sender).await?;
        if held.resize(lines.held_bytes() as u64).is_err() {
            return answers.end(&body::out_of_memory(&api.memory), sender).await;
        }
    }
    if let Some(line) = lines.finish() {
        answers.take(&line).await;
    }
    answers.flush(sender).await
}

/// Answers that are not sent yet.
struct Answers<'a> {
    request: (Verb, Caller),
    api: &'a Api,
    /// The line of the body that is being answered, counted from 1.
    line: u64,
    out: Vec<u8>,
    pace: Pace,
}

/// How far the events of a body are ahead of what the cores have sent.
#[derive(Debug, Default)]
struct Pace {
    /// Bytes of lines in this window.
    bytes: usize,
    /// The last event of the window before.
    before: Sequence,
}

impl Pace {
    /// Waits until the cores have sent what came before this window, so that a long body does not
    /// delay the events of others. The wait is bounded, since a core may have stopped.
    async fn keep(&mut self, bytes: usize, api: &Api) {
        self.bytes += bytes;
        if self.bytes < TOPIC_PENDING_BYTES_MAX {
            return;
        }
        let progress = &api.broker.progress;
        let mut waits = 0;
        while progress.slowest() < self.before && waits < API_WAITS_MAX {
            api.wake_cores();
            sleep(AHEAD_INTERVAL).await;
            waits += 1;
        }
        (self.before, self.bytes) = (api.broker.log.head(), 0);
    }
}

impl Answers<'_> {
    async fn take(&mut self, line: &Line<'_>) {
        let start = self.out.len();
        self.pace.keep(line.bytes().map_or(0, <[u8]>::len), self.api).await;
        self.line += 1;
        let done = match line.bytes() {
            None if *line == Line::NoMemory => Err(body::out_of_memory(&self.api.memory)),
            Some(line) => post::submit(self.request, self.api, None, line, &mut self.out).await,
            None => {
                let bytes_max = self.api.message_bytes_max();
                let limit = ConfigReference::bytes(body::MESSAGE_BYTES_KEY, bytes_max);
                Err(Problem::of_limit(Kind::LineTooLong, "the line is too long", limit))
            }
        };
        if let Err(mut problem) = done {
            // The parser gets each line separately, and so counts it as line 1.
            let place = format!("at line {}", self.line);
            problem.detail = match problem.detail.contains("at line 1 column") {
                true => problem.detail.replace("at line 1", &place),
                false => format!("{} {place}", problem.detail),
            }
            .into();
            self.out.truncate(start);
            self.refuse(&problem);
        }
        self.out.push(b'\n');
    }

    fn refuse(&mut self, problem: &Problem) {
        self.out.extend_from_slice(b"{\"error\":");
        self.out.extend(problem.to_json());
        self.out.push(b'}');
    }

    /// Writes the last answer: the rest of the body is not read.
    async fn end(
        &mut self,
        problem: &Problem,
        sender: &mut Sender<Bytes, Unread>,
    ) -> Result<(), Unread> {
        self.refuse(problem);
        self.out.push(b'\n');
        self.flush(sender).await
    }

    async fn flush(&mut self, sender: &mut Sender<Bytes, Unread>) -> Result<(), Unread> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.api.wake_cores();
        let answers = Bytes::from(std::mem::take(&mut self.out));
        match timeout(API_PAUSE_MAX, sender.send_data(answers)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Unread),
        }
        // Other tasks use this thread, too.
        yield_now().await;
        Ok(())
    }
}
