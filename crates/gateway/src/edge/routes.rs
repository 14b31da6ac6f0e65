//! What is where on the edge listener.
//!
//! It matches paths byte for byte, and never looks at a method or a query.

/// A place on the edge listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`: a page that says what this is.
    Home,
    /// `/home.js`: what makes that page work.
    HomeScript,
    /// `/home.css`: how it looks.
    HomeStyle,
    /// `/echo`: every message comes back.
    Echo,
    /// `/ws`: events over a WebSocket.
    Ws,
    /// `/sse`: events as Server-Sent Events.
    Sse,
    /// `/poll`: the events since a cursor, waited for or not.
    Poll,
    /// `/stream`: events as one endless response.
    Stream,
    /// `/send`: the way up for those without a WebSocket.
    Send,
    /// `/ringway.js`: the client for browsers.
    Script,
    /// `/ringway.d.ts`: its types.
    Types,
}

/// The route of `path`, if there is one.
pub fn find(path: &str) -> Option<Route> {
    Some(match path {
        "/" => Route::Home,
        "/home.js" => Route::HomeScript,
        "/home.css" => Route::HomeStyle,
        "/echo" => Route::Echo,
        "/ws" => Route::Ws,
        "/sse" => Route::Sse,
        "/poll" => Route::Poll,
        "/stream" => Route::Stream,
        "/send" => Route::Send,
        "/ringway.js" => Route::Script,
        "/ringway.d.ts" => Route::Types,
        _ => return None,
    })
}
