//! The one table of routes: the router is built from it, and the description is tested against it.
//!
//! The endpoints are elsewhere, except for the smallest.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::from_fn_with_state,
    response::{Html, IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};

use crate::{
    config::ApiScope::{Admin, Publish, Read},
    control::api::{
        Api,
        access::{
            self,
            Access::{self, Open, Scope},
        },
        body, clients, exposition, history, post,
        problem::{Kind, Problem},
    },
};

/// The description of the API for programs: OpenAPI 3.1.
pub const DESCRIPTION: &str = include_str!("openapi.json");

/// A method on a path.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with the names of its parts in braces.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    endpoint: fn(MethodFilter) -> MethodRouter<Arc<Api>>,
}

macro_rules! routes {
    ($($method:ident $path:literal, $access:expr, $endpoint:expr;)*) => {
        [$(Route {
            method: Method::$method,
            path: $path,
            access: $access,
            endpoint: |method| on(method, $endpoint),
        }),*]
    };
}

/// All routes. A page cannot send a key when it is opened, and a load balancer has none: the pages
/// and checks that are open to everybody say nothing about clients and events.
pub static ROUTES: [Route; 14] = routes! {
    POST "/v1/notify", Scope(Publish), post::notify;
    POST "/v1/publish", Scope(Publish), post::publish;
    GET "/v1/topics/{topic}/history", Scope(Read), history::history;
    GET "/v1/clients/{client}", Scope(Read), clients::show;
    DELETE "/v1/clients/{client}", Scope(Admin), clients::close;
    POST "/v1/clients/{client}/revoke", Scope(Admin), clients::revoke;
    GET "/v1/openapi.json", Scope(Read), describe;
    GET "/problems/{code}", Open, explain;
    GET "/", Open, dashboard;
    GET "/dashboard.js", Open, dashboard_script;
    GET "/dashboard.css", Open, dashboard_style;
    GET "/metrics", Scope(Read), metrics;
    GET "/healthz", Open, live;
    GET "/readyz", Open, ready;
};

impl Route {
    fn mount(&self, router: Router<Arc<Api>>, api: &Arc<Api>) -> Router<Arc<Api>> {
        let method = MethodFilter::try_from(self.method.clone()).expect("it is a usual one");
        let endpoint = (self.endpoint)(method);
        let guarded = match self.access {
            Open => endpoint,
            Scope(scope) => {
                let state = (Arc::clone(api), scope);
                endpoint.route_layer(from_fn_with_state(state, access::guard))
            }
        };
        router.route(self.path, guarded)
    }
}

/// The router of the whole API.
pub fn router(api: Arc<Api>) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| route.mount(router, &api))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(api)
}

async fn not_found(State(api): State<Arc<Api>>, request: Request) -> Response {
    let detail = "the routes are in /v1/openapi.json";
    nowhere(&api, request, Problem::new(Kind::NotFound, detail))
}

async fn method_not_allowed(State(api): State<Arc<Api>>, request: Request) -> Response {
    let detail = "the field Allow lists the methods of this path";
    nowhere(&api, request, Problem::new(Kind::MethodNotAllowed, detail))
}

/// Without a key, nobody learns which routes there are.
fn nowhere(api: &Api, request: Request, problem: Problem) -> Response {
    match api.admit(request.headers(), None) {
        Ok(_) => {
            body::discard(request.into_body());
            problem.into_response()
        }
        Err(fault) => access::refuse(fault, request),
    }
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
