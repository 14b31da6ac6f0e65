//! `POST /v1/notify` and `POST /v1/publish`: one event in the body, or one on each line.
//!
//! It turns a request into a submission, whose content is checked elsewhere.

use crate::control::api::done::Done;

use crate::memory::{OutOfMemory, make_room};
use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use ringway_hub::First;

use crate::{
    auth::Caller,
    control::api::{
        Api,
        body::{self, Media},
        bulk,
        idempotency::{self, Key},
        parameters::none_in,
        problem::{Kind, Problem},
        submission::{Submission, Verb},
    },
    session::command_error::Fault,
    subprotocol::depth,
};

/// `POST /v1/notify`
pub async fn notify(State(api): State<Arc<Api>>, request: Request) -> Response {
    post(Verb::Notify, api, request).await
}

/// `POST /v1/publish`
pub async fn publish(State(api): State<Arc<Api>>, request: Request) -> Response {
    post(Verb::Publish, api, request).await
}

async fn post(verb: Verb, api: Arc<Api>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let caller = head.extensions.get::<Caller>().copied().unwrap_or_default();
    let answered = match examine(&head) {
        Ok((Media::Json, key)) => one((verb, caller), &api, key, &mut body).await,
        Ok((Media::Lines, None)) => match body::check_length(&body, &api.bulk_limit()) {
            Ok(()) => return bulk::answer((verb, caller), api, body),
            Err(problem) => Err(problem),
        },
        Ok((Media::Lines, Some(_))) => {
            let detail = "each line has a key of its own, in its field \"idempotency_key\"";
            Err(Problem::new(Kind::BadIdempotencyKey, detail))
        }
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| {
        body::discard(body);
        problem.into_response()
    })
}

/// Checks what can be checked before the body is read.
fn examine(head: &Parts) -> Result<(Media, Option<Key>), Problem> {
    none_in(head.uri.query())?;
    Ok((Media::of(&head.headers)?, Key::of_header(&head.headers)?))
}

async fn one(
    request: (Verb, Caller),
    api: &Api,
    key: Option<Key>,
    body: &mut Body,
) -> Result<Response, Problem> {
    let whole = body::whole(body, &api.message_limit(), &api.memory).await?;
    let mut answer = Vec::new();
    let first = submit(request, api, key, &whole.bytes, &mut answer).await?;
    api.wake_cores();
    let fields = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut response = (fields, answer).into_response();
    if first == First::No {
        let name = HeaderName::from_static(idempotency::REPLAYED);
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Performs the submission in one object, unless this was done before, and appends the answer to
/// `out`.
///
/// # Errors
/// The error in the object. Nothing was appended to `out`, and the event was not submitted or its
/// outcome is not known yet.
pub async fn submit(
    (verb, caller): (Verb, Caller),
    api: &Api,
    key: Option<Key>,
    object: &[u8],
    out: &mut Vec<u8>,
) -> Result<First, Problem> {
    let (submission, own_key) = Submission::read(verb, object, api.recipients_max())?;
    let depth_max = api.settings.clients.data_depth_max;
    if !depth::is_within(submission.data, depth_max) {
        return Err(Fault::too_deep(depth_max).into());
    }
    // Reserved before the event is appended, because its answer must be sent.
    make_room(out, Done::bytes_max(&submission))
        .map_err(|OutOfMemory| body::out_of_memory(&api.memory))?;
    let key = Key::agree(key, own_key)?;
    if api.mailbox.is_draining() {
        // This thread starts the drain, so no event is appended after it.
        let key = key.ok_or_else(going_away)?;
        let receipt = api.ledger.earlier(&key, &submission, api.now())?.ok_or_else(going_away)?;
        api.answer(&receipt.answer).await?.write(&submission, out);
        return Ok(First::No);
    }
    let Some(key) = key else {
        let answer = api.perform(&submission, caller, None)?;
        api.answer(&answer).await?.write(&submission, out);
        return Ok(First::Yes);
    };
    let perform = || api.perform(&submission, caller, Some(&key));
    let (receipt, first) = api.ledger.once(caller, &key, &submission, api.now(), perform)?;
    api.answer(&receipt.answer).await?.write(&submission, out);
    Ok(first)
}

/// The gateway is stopping.
pub fn going_away() -> Problem {
    let detail = "this gateway is stopping and accepts no more events; send the request to another \
                  one";
    Problem::new(Kind::GoingAway, detail)
}
