//! `GET /v1/topics/{topic}/history`: the events of a topic that are kept, page by page.
//!
//! It reads the log and changes nothing. A page is bounded by count and by bytes; whoever wants
//! all goes on from each page's cursor until there are no events.

use std::{io::Write, ops::ControlFlow, sync::Arc};

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use ringway_hub::{Complete, Cursor, Gap, Interest, Key, Sequence};

use super::{
    Api,
    parameters::{name_in, of_query},
    problem::{Kind, Problem},
};
use crate::{
    limits::{HISTORY_PAGE_BYTES, HISTORY_PAGE_EVENTS, HISTORY_PAGE_EVENTS_MAX},
    transport::encoding::Frame,
};

/// `GET /v1/topics/{topic}/history?since=&limit=`
pub async fn history(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let topic = name_in(path, "topic")?;
    let [since, limit] = of_query(query.as_deref(), ["since", "limit"])?;
    let since = since.map(|since| since.parse::<Cursor>());
    let since = since.transpose().map_err(|fault| Problem::new(Kind::BadCursor, fault.to_string()));
    let page = read(&api, &topic, since?, limit_of(limit.as_deref())?);
    let media = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, media)], page).into_response())
}

fn limit_of(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(HISTORY_PAGE_EVENTS) };
    // `parse` would take a sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|_| is_number);
    limit.filter(|limit| (1..=HISTORY_PAGE_EVENTS_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!("limit is a number from 1 to {HISTORY_PAGE_EVENTS_MAX}");
        Problem::new(Kind::BadParameter, detail)
    })
}

/// A page: `{"cursor":…,"events":[…],"gap":{"from":…,"to":…}}`.
fn read(api: &Api, topic: &str, since: Option<Cursor>, limit: usize) -> Vec<u8> {
    let log = &api.exchange.log;
    let (mut after, mut gap) = match since.map(|since| (since, api.exchange.judge(since))) {
        None => (log.first() - 1, None),
        Some((_, Ok(after))) => (after, None),
        Some((since, Err(oldest))) => (oldest, Some((since, oldest))),
    };
    let through = log.reader().position();
    let mut page = b"{\"events\":[".to_vec();
    let mut last = after;
    let complete = loop {
        let interest = Interest { key: Key::Topic(topic), after, live_after: None };
        let mut count = 0;
        let replayed = log.replay(&[interest], through, api.now(), |event| {
            if count > 0 {
                page.push(b',');
            }
            count += 1;
            page.extend_from_slice(Frame::of(event, log.epoch()).text().as_bytes());
            last = event.sequence();
            if count < limit && page.len() < HISTORY_PAGE_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match replayed {
            Ok(replayed) => break replayed.complete,
            Err(Gap { to, .. }) => {
                // Whoever named no place misses nothing.
                if let Some(since) = since {
                    gap = Some((since, to));
                }
                after = to;
            }
        }
    };
    let sequence: Sequence = match complete {
        Complete::Stopped => last,
        // A cursor may be of a core that has read further.
        Complete::All => through.max(after),
    };
    let fits = "memory takes it";
    page.push(b']');
    if let Some((from, to)) = gap {
        let to = api.exchange.cursor(to);
        write!(page, ",\"gap\":{{\"from\":\"{from}\",\"to\":\"{to}\"}}").expect(fits);
    }
    write!(page, ",\"cursor\":\"{}\"}}", api.exchange.cursor(sequence)).expect(fits);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_within_its_bounds() {
        for (text, limit) in [(None, 100), (Some("1"), 1), (Some("1000"), 1000), (Some("007"), 7)] {
            assert_eq!(limit_of(text), Ok(limit));
        }
        for text in ["", "0", "1001", "-1", "+1", "1.0", "a", "18446744073709551616"] {
            assert_eq!(limit_of(Some(text)).unwrap_err().kind, Kind::BadParameter, "{text}");
        }
    }
}
