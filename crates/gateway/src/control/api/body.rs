//! The body of a request to the private API: its media type, and how much of it is read.
//!
//! A sender may pause, but not for long. The content of the body is not interpreted here.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{
    config::reference::ConfigReference,
    control::api::problem::{Kind, Problem},
    limits::{API_DISCARDED_BYTES_MAX, API_PAUSE_MAX},
    memory::{self, Held, MemoryBudget, OutOfMemory},
};

/// The media type of a body, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One object.
    Json,
    /// One object on each line.
    Lines,
}

impl Media {
    /// Reads the header fields.
    ///
    /// # Errors
    /// The media type is not supported.
    pub fn of(fields: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |detail| Err(Problem::new(Kind::UnsupportedMediaType, detail));
        // RFC 9110 §8.4: an encoded body is not of the type in Content-Type.
        if fields.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return unsupported("a body has no content coding");
        }
        let mut values = fields.get_all(header::CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return unsupported("a body has one Content-Type");
        };
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        match &*essence.trim_matches([' ', '\t']).to_ascii_lowercase() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" => Ok(Self::Lines),
            _ => unsupported("a body is application/json, or application/x-ndjson for many events"),
        }
    }
}

/// Checks that the body is not already known to be longer than `bytes_max`.
///
/// # Errors
/// The declared length exceeds the limit.
pub fn check_length(body: &Body, limit: &BodyLimit) -> Result<(), Problem> {
    if body.size_hint().lower() > limit.bytes_max as u64 {
        return Err(limit.too_large());
    }
    Ok(())
}

/// The key that bounds one object.
pub const MESSAGE_BYTES_KEY: &str = "websocket.message_bytes_max";

/// The bound of a body's size.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit {
    /// In bytes.
    pub bytes_max: usize,
    /// The configuration key of the bound; `None` if it is fixed.
    pub key: Option<&'static str>,
}

impl BodyLimit {
    /// The problem of a larger body.
    pub fn too_large(&self) -> Problem {
        let Self { bytes_max, key } = *self;
        match key {
            Some(key) => {
                let limit = ConfigReference::bytes(key, bytes_max);
                Problem::of_limit(Kind::BodyTooLarge, "the body is too large", limit)
            }
            None => {
                let detail = format!("a body of many events has at most {bytes_max} bytes");
                Problem::new(Kind::BodyTooLarge, detail)
            }
        }
    }
}

/// The next piece of a body; `None` at its end.
///
/// # Errors
/// The piece does not arrive in time, or the body is incomplete.
pub async fn piece(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let Ok(frame) = timeout(API_PAUSE_MAX, body.frame()).await else {
            let detail = format!("no data arrived for {API_PAUSE_MAX:?}");
            return Err(Problem::new(Kind::BodyTimeout, detail));
        };
        match frame.transpose() {
            Ok(None) => return Ok(None),
            // A frame without data holds trailers.
            Ok(Some(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Err(_) => {
                let detail = "the body ended early, or its chunks are malformed";
                return Err(Problem::new(Kind::BodyBroken, detail));
            }
        }
    }
}

/// There is no memory for a body, or for a line of it.
pub fn out_of_memory(memory: &MemoryBudget) -> Problem {
    let detail = "the memory for buffers is used up, try again later";
    Problem::of_limit(Kind::OutOfMemory, detail, ConfigReference::memory(memory.limit()))
}

/// A complete body, counted against the memory budget until it is dropped.
pub struct Whole {
    /// The body.
    pub bytes: Vec<u8>,
    _held: Held,
}

/// Reads a whole body.
///
/// # Errors
/// The body is larger than `limit`, does not arrive, or there is no memory for it.
pub async fn whole(
    body: &mut Body,
    limit: &BodyLimit,
    memory: &Arc<MemoryBudget>,
) -> Result<Whole, Problem> {
    check_length(body, limit)?;
    let mut held = memory.hold(0).map_err(|OutOfMemory| out_of_memory(memory))?;
    let mut bytes = Vec::new();
    while let Some(piece) = piece(body).await? {
        if bytes.len() + piece.len() > limit.bytes_max {
            return Err(limit.too_large());
        }
        memory::append(&mut bytes, &piece)
            .and_then(|()| held.resize(bytes.capacity() as u64))
            .map_err(|OutOfMemory| out_of_memory(memory))?;
    }
    Ok(Whole { bytes, _held: held })
}

/// Reads and discards an unwanted body for a while: closing with unread input sends a reset, which
/// could overtake the answer.
pub fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(API_PAUSE_MAX, async move {
        let mut bytes = 0;
        while let Ok(Some(piece)) = piece(&mut body).await {
            bytes += piece.len();
            if bytes > API_DISCARDED_BYTES_MAX {
                break;
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn media(fields: &[(HeaderName, &'static str)]) -> Result<Media, Kind> {
        let fields = fields.iter().cloned();
        let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        fields.for_each(|(name, value)| {
            map.append(name, value);
        });
        Media::of(&map).map_err(|problem| problem.kind)
    }

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        for (value, expected) in [
            ("application/json", Some(Media::Json)),
            ("Application/JSON ; charset=utf-8", Some(Media::Json)),
            ("application/x-ndjson", Some(Media::Lines)),
            ("application/x-ndjson;a=b", Some(Media::Lines)),
            ("application/jsonl", None),
            ("text/plain", None),
            ("application/x-www-form-urlencoded", None),
            ("", None),
        ] {
            let got = media(&[(header::CONTENT_TYPE, value)]);
            assert_eq!(got.ok(), expected, "{value}");
        }
    }

    #[test]
    fn only_one_media_type_without_a_coding_is_accepted() {
        let json = (header::CONTENT_TYPE, "application/json");
        let wrong = Err(Kind::UnsupportedMediaType);
        assert_eq!(media(&[]), wrong);
        assert_eq!(media(&[json.clone(), json.clone()]), wrong);
        assert_eq!(media(&[json.clone(), (header::CONTENT_ENCODING, "gzip")]), wrong);
        assert_eq!(media(&[json, (header::CONTENT_ENCODING, "identity")]), Ok(Media::Json));
    }
}
