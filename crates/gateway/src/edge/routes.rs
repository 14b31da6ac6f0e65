//! The routes of the edge listener.
//!
//! It matches paths byte for byte, and never looks at a method or a query.

/// A route of the edge listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`: the demo page.
    Home,
    /// `/home.js`: the script of that page.
    HomeScript,
    /// `/home.css`: the style of that page.
    HomeStyle,
    /// `/echo`: every message is sent back.
    Echo,
    /// `/ws`: events over a WebSocket.
    Ws,
    /// `/sse`: events as Server-Sent Events.
    Sse,
    /// `/poll`: the events since a cursor, at once or as soon as there are some.
    Poll,
    /// `/stream`: events as one endless response.
    Stream,
    /// `/send`: commands from clients without a WebSocket.
    Send,
    /// `/ringway.js`: the client for browsers.
    Script,
    /// `/ringway.d.ts`: the types of that client.
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
