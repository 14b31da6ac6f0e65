//! The error responses of the private API: RFC 9457, one JSON object.
//!
//! The types are part of the API: they never change their meaning. Nothing here detects errors.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{config::reference::ConfigReference, session::command_error::ErrorCode};

/// RFC 9457 §3.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The path of a type, before its code.
pub const TYPES: &str = "/problems/";

/// An error of a request, with its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// For programs.
    pub kind: Kind,
    /// For people.
    pub detail: Cow<'static, str>,
    /// The configuration key that caused it, which `detail` names, too.
    pub reference: Option<ConfigReference>,
}

/// The type of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body, or the line, is not JSON.
    NotJson,
    /// A field, or the body, has the wrong type.
    WrongType,
    /// A required field is missing.
    MissingField,
    /// The field does not exist.
    UnknownField,
    /// A name is not valid.
    BadName,
    /// More recipients than the gateway allows.
    TooManyRecipients,
    /// The cursor is not valid.
    BadCursor,
    /// A parameter of the query is not valid.
    BadParameter,
    /// The idempotency key is not valid, or not allowed there.
    BadIdempotencyKey,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The body is incomplete.
    BodyBroken,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body exceeds its limit.
    BodyTooLarge,
    /// A line exceeds its limit.
    LineTooLong,
    /// The body's type or content coding is not supported.
    UnsupportedMediaType,
    /// No client of this name is known.
    UnknownClient,
    /// The request has no key.
    KeyMissing,
    /// The key is unknown.
    KeyInvalid,
    /// The key does not have the scope of the route.
    ScopeMissing,
    /// The route does not exist.
    NotFound,
    /// The route does not allow this method.
    MethodNotAllowed,
    /// The gateway is stopping and accepts no more events.
    GoingAway,
    /// There is no memory for the body.
    OutOfMemory,
    /// The log refuses the event now.
    Unavailable,
    /// The table of revoked clients is full.
    RevocationsFull,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 25] = [
        Self::NotJson,
        Self::WrongType,
        Self::MissingField,
        Self::UnknownField,
        Self::BadName,
        Self::TooManyRecipients,
        Self::BadCursor,
        Self::BadParameter,
        Self::BadIdempotencyKey,
        Self::IdempotencyKeyReused,
        Self::BodyBroken,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::LineTooLong,
        Self::UnsupportedMediaType,
        Self::UnknownClient,
        Self::KeyMissing,
        Self::KeyInvalid,
        Self::ScopeMissing,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::GoingAway,
        Self::OutOfMemory,
        Self::Unavailable,
        Self::RevocationsFull,
    ];

    /// The last part of the type, and its title.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotJson => ("not-json", "This is not JSON."),
            Self::WrongType => ("wrong-type", "A field has the wrong type."),
            Self::MissingField => ("missing-field", "A field is missing."),
            Self::UnknownField => ("unknown-field", "A field is unknown."),
            Self::BadName => ("bad-name", "This is not a valid name."),
            Self::TooManyRecipients => ("too-many-recipients", "There are too many recipients."),
            Self::BadCursor => ("bad-cursor", "This is not a valid cursor."),
            Self::BadParameter => ("bad-parameter", "A query parameter is invalid."),
            Self::BadIdempotencyKey => {
                ("bad-idempotency-key", "This is not a valid idempotency key.")
            }
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                "This idempotency key has been used for another request.",
            ),
            Self::BodyBroken => ("body-broken", "The body is incomplete."),
            Self::BodyTimeout => ("body-timeout", "The body did not arrive in time."),
            Self::BodyTooLarge => ("body-too-large", "The body is too large."),
            Self::LineTooLong => ("line-too-long", "A line is too long."),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "A body of this type is not accepted here.")
            }
            Self::UnknownClient => ("unknown-client", "This client is unknown."),
            Self::KeyMissing => ("key-missing", "The request has no key."),
            Self::KeyInvalid => ("key-invalid", "The key is not valid."),
            Self::ScopeMissing => ("scope-missing", "The key is not for this."),
            Self::NotFound => ("not-found", "Nothing is here."),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "This path does not support this method.")
            }
            Self::GoingAway => ("going-away", "The gateway is stopping."),
            Self::OutOfMemory => ("out-of-memory", "The gateway has no memory for this now."),
            Self::RevocationsFull => ("revocations-full", "Too many clients are revoked."),
            Self::Unavailable => ("unavailable", "The log cannot accept the event now."),
        }
    }

    /// The last part of the type.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// The type in a sentence.
    pub fn title(self) -> &'static str {
        self.words().1
    }

    /// The type with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The type's status code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotJson
            | Self::WrongType
            | Self::MissingField
            | Self::UnknownField
            | Self::BadName
            | Self::TooManyRecipients
            | Self::BadCursor
            | Self::BadParameter
            | Self::BadIdempotencyKey
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge | Self::LineTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyMissing | Self::KeyInvalid => StatusCode::UNAUTHORIZED,
            Self::ScopeMissing => StatusCode::FORBIDDEN,
            Self::UnknownClient | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::GoingAway | Self::OutOfMemory | Self::Unavailable | Self::RevocationsFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl From<ErrorCode> for Kind {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotJson => Self::NotJson,
            ErrorCode::WrongType => Self::WrongType,
            ErrorCode::MissingField => Self::MissingField,
            ErrorCode::UnknownField => Self::UnknownField,
            ErrorCode::BadName => Self::BadName,
            ErrorCode::BadCursor => Self::BadCursor,
            ErrorCode::TooManyRecipients => Self::TooManyRecipients,
            ErrorCode::GoingAway => Self::GoingAway,
            ErrorCode::OutOfMemory => Self::OutOfMemory,
            ErrorCode::Unavailable => Self::Unavailable,
            ErrorCode::UnknownType
            | ErrorCode::TooManySubscriptions
            | ErrorCode::NotAllowed
            | ErrorCode::TokenRefused
            | ErrorCode::NotOnThisTransport
            | ErrorCode::Rate => {
                unreachable!("the application has no types of commands, subscriptions or bounds")
            }
        }
    }
}

impl Problem {
    /// A problem of this type.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), reference: None }
    }

    /// A limit was exceeded: `detail` is completed by the limit.
    pub fn of_limit(kind: Kind, detail: &str, reference: ConfigReference) -> Self {
        let detail = format!("{detail}: {reference}").into();
        Self { kind, detail, reference: Some(reference) }
    }

    /// The JSON object.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and a number are JSON")
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let limit = self.reference.and_then(|reference| reference.limit);
        let members = 4 + usize::from(self.reference.is_some()) + usize::from(limit.is_some());
        let mut object = serializer.serialize_struct("Problem", members)?;
        object.serialize_field("type", &format_args!("{TYPES}{}", self.kind.code()))?;
        object.serialize_field("title", self.kind.title())?;
        object.serialize_field("status", &self.kind.status().as_u16())?;
        object.serialize_field("detail", &self.detail)?;
        if let Some(reference) = self.reference {
            object.serialize_field("key", reference.key)?;
        }
        if let Some(limit) = limit {
            object.serialize_field("limit", &limit.to_number())?;
        }
        object.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let fields = [(header::CONTENT_TYPE, MEDIA_TYPE)];
        let mut response = (self.kind.status(), fields, Body::from(self.to_json())).into_response();
        if self.kind == Kind::UnsupportedMediaType {
            // RFC 9110 §15.5.16: the types that are supported.
            let accept = HeaderValue::from_static("application/json, application/x-ndjson");
            response.headers_mut().insert(header::ACCEPT, accept);
        }
        if self.kind.status() == StatusCode::SERVICE_UNAVAILABLE {
            // RFC 9110 §10.2.3: another gateway may accept it at once, or this one soon.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_problem_type_has_a_unique_code() {
        let codes: HashSet<&str> = Kind::ALL.into_iter().map(Kind::code).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(Kind::of_code(kind.code()), Some(kind));
            assert!(kind.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            let is_passing = matches!(
                kind,
                Kind::GoingAway | Kind::OutOfMemory | Kind::Unavailable | Kind::RevocationsFull
            );
            assert!(kind.status().is_client_error() || is_passing);
        }
        assert_eq!(Kind::of_code("none"), None);
    }

    /// RFC 9457 §3.1
    #[test]
    fn a_problem_is_an_object_of_four_members() {
        let problem = Problem::new(Kind::BadName, "\"topic\" is empty");
        let expected = r#"{"type":"/problems/bad-name","title":"This is not a valid name.","status":400,"detail":"\"topic\" is empty"}"#;
        assert_eq!(String::from_utf8(problem.to_json()).unwrap(), expected);
    }
}
