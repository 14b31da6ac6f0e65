//! What is where on the edge listener.
//!
//! It matches paths byte for byte, and never looks at a method or a query.

/// A place on the edge listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`: a page that says what this is.
    Home,
    /// `/echo`: every message comes back.
    Echo,
}

/// The route of `path`, if there is one.
pub fn find(path: &str) -> Option<Route> {
    match path {
        "/" => Some(Route::Home),
        "/echo" => Some(Route::Echo),
        _ => None,
    }
}
