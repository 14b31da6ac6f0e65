//! Which route serves a request: the longest beginning of its path, then the one for its host.

use std::sync::Arc;

use crate::config::Route;

/// The route of a path on a host; `None`: the gateway itself serves it, or nobody.
pub fn find<'r>(
    routes: &'r [Arc<Route>],
    path: &str,
    host: Option<&[u8]>,
) -> Option<&'r Arc<Route>> {
    let name = host.map(without_port);
    let serves = |route: &Route| match &route.host {
        None => true,
        Some(own) => name.is_some_and(|name| name.eq_ignore_ascii_case(own.as_bytes())),
    };
    let serving = routes.iter().filter(|route| path.starts_with(&*route.path) && serves(route));
    serving.max_by_key(|route| (route.path.len(), route.host.is_some()))
}

/// RFC 3986 §3.2.2: colons inside brackets belong to an IPv6 address.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !host[colon..].contains(&b']') => &host[..colon],
        _ => host,
    }
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
            assert_eq!(find(&routes, path, None).map(|route| &*route.path), Some(wanted), "{path}");
        }
        assert!(find(&routes[1..], "/chats", None).is_none());
    }

    #[test]
    fn a_host_counts_after_the_path() {
        let on = |host: &str, path| Route { host: Some(host.to_owned()), ..route(path, 1) };
        let routes = [route("/a/", 1), on("x.y", "/a/"), on("[::1]", "/"), route("/a/b/", 1)];
        let routes = routes.map(Arc::new);
        for (host, path, place) in [
            (Some("X.Y:80"), "/a/", Some(1)),
            (Some("x.y"), "/a/b/", Some(3)),
            (Some("z.y"), "/a/", Some(0)),
            (None, "/a/", Some(0)),
            (Some("[::1]:80"), "/", Some(2)),
            (Some("[::1]"), "/", Some(2)),
            (Some("[::2]"), "/", None),
        ] {
            let found = find(&routes, path, host.map(str::as_bytes));
            let wanted = place.map(|place: usize| &routes[place]);
            assert!(found.map(Arc::as_ptr) == wanted.map(Arc::as_ptr), "{host:?} {path}");
        }
    }
}
