//! Which requests may use a route: those with a key that has the route's scope. Their answers say where
//! the log was.
//!
//! The keys decide; this reads the field and writes the refusal.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    auth::{AccessFault, Caller},
    config::ApiScope,
    control::api::{
        Api, body,
        problem::{Kind, Problem},
    },
    edge::token,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody who can reach the listener: the answer contains nothing about clients or events.
    Open,
    /// A key with this scope.
    Scope(ApiScope),
}

/// The field with the cursor of the log's end when the request arrived. It is read before the request
/// is performed: an application that reads its own state after this answer has in it everything that it
/// published up to the cursor, so a client that gets both misses nothing.
const CURSOR: HeaderName = HeaderName::from_static("ringway-cursor");

/// Passes a request on if its key has the scope.
pub async fn guard(
    State((api, scope)): State<(Arc<Api>, ApiScope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match api.admit(request.headers(), Some(scope)) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let cursor = api.broker.cursor(api.broker.log.head()).to_string();
            let mut response = next.run(request).await;
            let cursor = HeaderValue::try_from(cursor).expect("it is ASCII");
            response.headers_mut().insert(CURSOR, cursor);
            response
        }
        Err(fault) => refuse(fault, request),
    }
}

impl Api {
    /// Whether the key in these fields has a scope; `None` needs any key.
    ///
    /// # Errors
    /// It has not.
    pub fn admit(
        &self,
        fields: &HeaderMap,
        needed: Option<ApiScope>,
    ) -> Result<Caller, AccessFault> {
        let values = fields.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let mut given = values.filter_map(token::bearer);
        let key = match (given.next(), given.next()) {
            (Some(_), Some(_)) => Some(&b""[..]),
            (key, _) => key,
        };
        self.keys.admit(key, needed)
    }
}

/// The answer to a request that may not use a route, with the fault for the log.
pub fn refuse(fault: AccessFault, request: Request) -> Response {
    body::discard(request.into_body());
    // RFC 6750 §3: no error code for a request without a key.
    let (kind, detail, challenge) = match fault {
        AccessFault::Missing => (
            Kind::KeyMissing,
            "send the key in the field Authorization, after \"Bearer \"".to_owned(),
            "Bearer".to_owned(),
        ),
        AccessFault::Invalid => (
            Kind::KeyInvalid,
            "the gateway does not have this key, or the request has several".to_owned(),
            "Bearer error=\"invalid_token\"".to_owned(),
        ),
        AccessFault::Scope(scope) => {
            let scope = scope.as_str();
            (
                Kind::ScopeMissing,
                format!("this route needs a key with the scope {scope:?}"),
                format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
            )
        }
    };
    let mut response = Problem::new(kind, detail).into_response();
    let challenge = HeaderValue::try_from(challenge).expect("it is ASCII");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response.extensions_mut().insert(fault);
    response
}
