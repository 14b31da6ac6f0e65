//! `GET /v1/topics/{topic}/history`: the retained events of a topic, page by page.
//!
//! It reads the log and changes nothing. A page is bounded by count and by bytes. Without a cursor
//! it is the last page; `before` leads to the page before it, and `since` to the page after a
//! cursor.

use crate::control::api::body::out_of_memory;

use crate::memory::{OutOfMemory, make_room};
use std::{ops::ControlFlow, sync::Arc};

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use ringway_hub::{Complete, Cursor, Gap, Interest, Key, Sequence};

use crate::{
    control::api::{
        Api,
        parameters::{name_in, of_query},
        problem::{Kind, Problem},
    },
    encoding::native::{TIME_BYTES, event_with_time},
    limits::{HISTORY_PAGE_BYTES, HISTORY_PAGE_EVENTS, HISTORY_PAGE_EVENTS_MAX},
};

/// The parameters of the request.
struct Query {
    /// Events after this cursor.
    since: Option<Cursor>,
    /// Events before this cursor.
    before: Option<Cursor>,
    limit: usize,
    order: Order,
}

/// The order of the events on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// `GET /v1/topics/{topic}/history?since=&before=&limit=&order=`
pub async fn history(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let topic = name_in(path, "topic")?;
    let names = ["since", "before", "limit", "order"];
    let [since, before, limit, order] = of_query(query.as_deref(), names)?;
    let query = Query {
        since: cursor_of(since.as_deref())?,
        before: cursor_of(before.as_deref())?,
        limit: limit_of(limit.as_deref())?,
        order: order_of(order.as_deref())?,
    };
    let page = read(&api, &topic, &query).map_err(|OutOfMemory| out_of_memory(&api.memory))?;
    let media = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, media)], page).into_response())
}

fn cursor_of(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    let cursor = text.map(str::parse::<Cursor>).transpose();
    cursor.map_err(|fault| Problem::new(Kind::BadCursor, fault.to_string()))
}

fn order_of(text: Option<&str>) -> Result<Order, Problem> {
    match text {
        None | Some("asc") => Ok(Order::OldestFirst),
        Some("desc") => Ok(Order::NewestFirst),
        Some(_) => Err(Problem::new(Kind::BadParameter, "order is asc or desc")),
    }
}

fn limit_of(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(HISTORY_PAGE_EVENTS) };
    // `parse` would accept a sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|_| is_number);
    limit.filter(|limit| (1..=HISTORY_PAGE_EVENTS_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!("limit is a number from 1 to {HISTORY_PAGE_EVENTS_MAX}");
        Problem::new(Kind::BadParameter, detail)
    })
}

/// A page: `{"events":[…],"gap":{"from":…,"to":…},"before":…,"cursor":…}`.
///
/// # Errors
/// [`OutOfMemory`].
fn read(api: &Api, topic: &str, query: &Query) -> Result<Vec<u8>, OutOfMemory> {
    let log = &api.broker.log;
    let mut gap = None;
    let key = Key::Topic(topic);
    let through = match query.before.map(|before| api.broker.judge(before)) {
        None => log.reader().position(),
        Some(Ok(before)) => before.saturating_sub(1),
        // Events before a cursor of another process are lost.
        Some(Err(oldest)) => {
            gap = query.before.map(|before| (before, oldest));
            oldest
        }
    };
    let mut after = match query.since.map(|since| (since, api.broker.judge(since))) {
        None => {
            let most = (query.limit, HISTORY_PAGE_BYTES);
            log.before_last(key, through, most, api.now())
        }
        Some((_, Ok(after))) => after,
        Some((since, Err(oldest))) => {
            gap = Some((since, oldest));
            oldest
        }
    };
    let mut events: Vec<(Sequence, Vec<u8>)> = Vec::new();
    let mut room = Ok(());
    let complete = loop {
        let interest = Interest { key, after, live_after: None };
        let mut bytes = 0;
        let replayed = log.replay(&[interest], through, api.now(), |event| {
            let mut text = Vec::new();
            room = make_room(&mut text, event.text().len() + TIME_BYTES);
            if room.is_err() {
                return ControlFlow::Break(());
            }
            event_with_time(&mut text, event);
            bytes += text.len();
            events.push((event.sequence(), text));
            if events.len() < query.limit && bytes < HISTORY_PAGE_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match replayed {
            Ok(replayed) => break replayed.complete,
            Err(Gap { to, .. }) => {
                // Without a position in the request, no gap is reported.
                if let Some(since) = query.since {
                    gap = Some((since, to));
                }
                after = to;
            }
        }
    };
    room?;
    let last = events.last().map_or(after, |(last, _)| *last);
    let sequence: Sequence = match complete {
        Complete::Stopped => last,
        // The cursor may be from a core that has read further.
        Complete::All => through.max(after),
    };
    let first = events.first().map_or(after.min(through), |(first, _)| *first - 1);
    let is_oldest = log.before_last(key, first, (1, usize::MAX), api.now()) == first;
    let before = (!is_oldest).then(|| api.broker.cursor(first + 1));
    if query.order == Order::NewestFirst {
        events.reverse();
    }
    write(api, &events, gap, before, sequence)
}

fn write(
    api: &Api,
    events: &[(Sequence, Vec<u8>)],
    gap: Option<(Cursor, Sequence)>,
    before: Option<Cursor>,
    sequence: Sequence,
) -> Result<Vec<u8>, OutOfMemory> {
    let mut end = String::from("]");
    if let Some((from, to)) = gap {
        let to = api.broker.cursor(to);
        end += &format!(",\"gap\":{{\"from\":\"{from}\",\"to\":\"{to}\"}}");
    }
    if let Some(before) = before {
        end += &format!(",\"before\":\"{before}\"");
    }
    end += &format!(",\"cursor\":\"{}\"}}", api.broker.cursor(sequence));
    let begin = b"{\"events\":[";
    let mut page = Vec::new();
    let texts: usize = events.iter().map(|(_, text)| text.len() + 1).sum();
    make_room(&mut page, begin.len() + texts + end.len())?;
    page.extend_from_slice(begin);
    for (place, (_, text)) in events.iter().enumerate() {
        if place > 0 {
            page.push(b',');
        }
        page.extend_from_slice(text);
    }
    page.extend_from_slice(end.as_bytes());
    Ok(page)
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
