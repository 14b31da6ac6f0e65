//! The one table of routes: the router is built from it, and the description is tested against it.
//!
//! The endpoints are elsewhere, except for the smallest.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};

use crate::control::api::{
    Api, body, clients, exposition, history, post,
    problem::{Kind, Problem},
};

/// The description of the API for programs: OpenAPI 3.1.
pub const DESCRIPTION: &str = include_str!("openapi.json");

/// A method on a path.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with the names of its parts in braces.
    pub path: &'static str,
    endpoint: fn(MethodFilter) -> MethodRouter<Arc<Api>>,
}

macro_rules! routes {
    ($($method:ident $path:literal $endpoint:expr;)*) => {
        [$(Route {
            method: Method::$method,
            path: $path,
            endpoint: |method| on(method, $endpoint),
        }),*]
    };
}

/// All routes.
pub static ROUTES: [Route; 13] = routes! {
    POST "/v1/notify" post::notify;
    POST "/v1/publish" post::publish;
    GET "/v1/topics/{topic}/history" history::history;
    GET "/v1/clients/{client}" clients::show;
    DELETE "/v1/clients/{client}" clients::close;
    GET "/v1/openapi.json" describe;
    GET "/problems/{code}" explain;
    GET "/" dashboard;
    GET "/dashboard.js" dashboard_script;
    GET "/dashboard.css" dashboard_style;
    GET "/metrics" metrics;
    GET "/healthz" live;
    GET "/readyz" ready;
};

impl Route {
    fn mount(&self, router: Router<Arc<Api>>) -> Router<Arc<Api>> {
        let method = MethodFilter::try_from(self.method.clone()).expect("it is a usual one");
        router.route(self.path, (self.endpoint)(method))
    }
}

/// The router of the whole API.
pub fn router(api: Arc<Api>) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| route.mount(router))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(api)
}

async fn not_found(request: Request) -> Problem {
    body::discard(request.into_body());
    Problem::new(Kind::NotFound, "the routes are in /v1/openapi.json")
}

async fn method_not_allowed(request: Request) -> Problem {
    body::discard(request.into_body());
    Problem::new(Kind::MethodNotAllowed, "the field Allow lists the methods of this path")
}

async fn describe() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DESCRIPTION)
}

/// RFC 9457 §3.1.1: the type of a problem is a URL that explains it.
async fn explain(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let kind = path.ok().and_then(|Path(code)| Kind::of_code(&code));
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such problem"))?;
    Ok(format!("{}\n\nStatus: {}\n", kind.title(), kind.status()))
}

/// The dashboard's content security policy: it may run the script and the style of this listener,
/// send requests to it, and not be framed. Inline scripts do not run.
const DASHBOARD_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

async fn dashboard() -> impl IntoResponse {
    let fields = [
        (header::CONTENT_SECURITY_POLICY, DASHBOARD_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (fields, Html(include_str!("../../web/dashboard.html")))
}

async fn dashboard_script() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", include_str!("../../web/dashboard.js"))
}

async fn dashboard_style() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("../../web/dashboard.css"))
}

/// A file of a page. A browser must not guess another type.
fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let fields =
        [(header::CONTENT_TYPE, content_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (fields, text)
}

async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, exposition::MEDIA_TYPE)], exposition::text(&api))
}

async fn live() -> &'static str {
    "ok\n"
}

/// Not ready during a drain, so that a load balancer sends no more clients.
async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.mailbox.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ready\n".into_response()
    }
}
