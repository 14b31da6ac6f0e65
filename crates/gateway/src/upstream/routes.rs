//! Which route serves a request: the longest beginning of its path.

use std::sync::Arc;

use crate::config::Route;

/// The route of a path; `None`: the gateway itself serves it, or nobody.
pub fn find<'r>(routes: &'r [Arc<Route>], path: &str) -> Option<&'r Arc<Route>> {
    let serving = routes.iter().filter(|route| path.starts_with(&*route.path));
    serving.max_by_key(|route| route.path.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::pool::tests::route;

    #[test]
    fn the_longest_path_counts() {
        let routes = ["/", "/chat/", "/chat/room/"].map(|path| Arc::new(route(path, 1)));
        for (path, wanted) in
            [("/chat/room/1", "/chat/room/"), ("/chat/room", "/chat/"), ("/chat", "/"), ("/", "/")]
        {
            assert_eq!(find(&routes, path).map(|route| &*route.path), Some(wanted), "{path}");
        }
        assert!(find(&routes[1..], "/chats").is_none());
    }
}
