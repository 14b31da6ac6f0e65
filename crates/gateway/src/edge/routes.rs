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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::routes::OWN_PATHS;

    #[test]
    fn the_configuration_knows_the_paths_of_these_routes() {
        assert!(OWN_PATHS.iter().all(|path| find(path).is_some()));
        let routes = include_str!("routes.rs").matches("=> Route::").count();
        // `/` may be the path of a route in the configuration.
        assert_eq!(OWN_PATHS.len() + 1, routes - 1, "the last match is in this test");
    }
}
