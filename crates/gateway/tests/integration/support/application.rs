//! An application that uses the private API over one kept connection.
//!
//! Requests are written by hand, so that tests can make them invalid.

use serde_json::Value;

use super::{Client, Gateway, Request, Response};

/// An application.
pub struct Application {
    pub client: Client,
}

impl Application {
    #[track_caller]
    pub fn of(gateway: &Gateway) -> Self {
        Self { client: Client::connect_to(gateway.api) }
    }

    /// The answer to a GET, or to a request with another method before its path.
    #[track_caller]
    pub fn asks(&mut self, target: &str) -> Response {
        let line = match target.split_once(' ') {
            Some(_) => format!("{target} HTTP/1.1"),
            None => format!("GET {target} HTTP/1.1"),
        };
        self.client.requests(&Request::of_api("/").line(&line))
    }

    /// The answer to a JSON body.
    #[track_caller]
    pub fn posts(&mut self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.posts_with(path, &[("Content-Type", "application/json")], body)
    }

    /// The answer to a body sent with these fields.
    #[track_caller]
    pub fn posts_with(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        self.sends(path, fields, body);
        self.client.receives_response()
    }

    /// The lines of the answer to a body of lines.
    #[track_caller]
    pub fn posts_lines(&mut self, path: &str, body: impl AsRef<[u8]>) -> Vec<Value> {
        self.sends(path, &[("Content-Type", "application/x-ndjson")], body);
        let response = self.client.receives_chunked_response();
        assert_eq!(response.status, 200);
        assert_eq!(response.field("Content-Type"), Some("application/x-ndjson"));
        response.lines()
    }

    /// Sends a complete request.
    #[track_caller]
    pub fn sends(&mut self, path: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut bytes = post(path, fields).and("Content-Length", &body.len().to_string()).bytes();
        bytes.extend_from_slice(body);
        self.client.sends(bytes);
    }
}

/// The head of a POST with these fields.
pub fn post(path: &str, fields: &[(&str, &str)]) -> Request {
    let request = Request::of_api("/").line(&format!("POST {path} HTTP/1.1"));
    fields.iter().fold(request, |request, (name, value)| request.and(name, value))
}

impl Response {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}{text}", self.head))
    }

    /// The body as lines of JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// RFC 9457: checks that it is a problem of this type, with the status in it.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.field("Content-Type"), Some("application/problem+json"));
        is_problem(&self.json(), status, kind);
    }
}

/// Checks that the object is a problem of this type.
#[track_caller]
pub fn is_problem(problem: &Value, status: u16, kind: &str) {
    assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string());
}
