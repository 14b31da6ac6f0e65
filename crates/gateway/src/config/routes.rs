//! The rules of `[[route]]`: paths, hosts and URLs; each route has servers, and no two have the same
//! path and host. Their keys are in the table with all others.

use toml::{Value, de::DeValue};

use crate::{
    config::{
        Route,
        balance::{Balance, UnknownBalance},
        error::Faults,
        page_origin,
        source::{Assigned, Values},
        upstream_url::UpstreamUrl,
        value,
    },
    limits,
};

const PATH: &str = "route.path";
const HOST: &str = "route.host";
const SEND_HOST: &str = "route.send_host";

/// The gateway's own paths, besides `/`. It answers requests for them itself, unless a route has
/// exactly that path.
pub const OWN_PATHS: [&str; 10] = [
    "/ws",
    "/echo",
    "/sse",
    "/poll",
    "/stream",
    "/send",
    "/ringway.js",
    "/ringway.d.ts",
    "/home.js",
    "/home.css",
];

/// Reports routes without servers, routes that can never be used, and too many routes.
pub(super) fn check(tables: &[Values], faults: &mut Faults) {
    for (place, table) in tables.iter().enumerate() {
        let Assigned { value: path, origin } = table.get(PATH).expect("it is its needed key");
        let path = path.as_str().expect("a path is a text");
        let text = value::quoted(path);
        if place as u64 == limits::ROUTES_MAX {
            let message = format!("route: there are more than {} sections", limits::ROUTES_MAX);
            return faults.add(origin.clone(), message);
        }
        if !table.contains_key("route.upstream") {
            let message = format!("{PATH} = {text} has no upstream; add the URLs of its servers");
            faults.add(origin.clone(), message);
        }
        let same =
            |other: &&Values| text_of(other, PATH) == Some(path) && host(other) == host(table);
        if let Some(other) = tables.iter().take(place).find(same) {
            let earlier = &other.get(PATH).expect("it is its needed key").origin;
            let which = match host(table) {
                Some(host) => format!(" for host = {}", value::quoted(&host)),
                None => String::new(),
            };
            let message = format!(
                "{PATH} = {text} is there twice{which} ({earlier}); write all its servers in one \
                 section"
            );
            faults.add(origin.clone(), message);
        }
        check_host(table, faults);
    }
}

fn check_host(table: &Values, faults: &mut Faults) {
    if let Some(host) = text_of(table, SEND_HOST)
        && !host.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let message = format!("{SEND_HOST} = {} is not a host", value::quoted(host));
        faults.add(table[SEND_HOST].origin.clone(), message);
    }
    let Some(host) = host(table) else { return };
    if !page_origin::is_host(&host) {
        let message = format!(
            "{HOST} = {} is not a host name without a port, such as \"chat.example.org\"",
            value::quoted(&host)
        );
        faults.add(table[HOST].origin.clone(), message);
    }
}

fn text_of<'v>(table: &'v Values, key: &str) -> Option<&'v str> {
    table.get(key)?.value.as_str()
}

/// RFC 9110 §4.2.3: a host is case-insensitive.
fn host(table: &Values) -> Option<String> {
    text_of(table, HOST).map(str::to_ascii_lowercase)
}

/// A route in one line, with the paths that it does not get although they begin with its path.
pub(super) fn describe(route: &Route) -> String {
    let host = route.host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
    let servers = match route.upstream.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers, {}", route.balance),
    };
    let is_under = |own: &&str| own.starts_with(&route.path) && *own != route.path;
    let own: Vec<_> = OWN_PATHS.into_iter().filter(is_under).collect();
    let own = match own.is_empty() {
        true => String::new(),
        false => format!("; the gateway itself answers {}", own.join(", ")),
    };
    format!("route {}{host}: {servers}{own}", route.path)
}

/// A route that takes one of the gateway's own paths, for a warning.
pub(super) fn hidden(route: &Route) -> Option<String> {
    OWN_PATHS.contains(&&*route.path).then(|| {
        format!(
            "{PATH} = {} hides the gateway's own {}: its clients are served by the servers of the \
             route",
            value::quoted(&route.path),
            route.path
        )
    })
}

/// How a route's requests are shared.
pub(super) fn balance(written: &DeValue<'_>) -> Result<Value, String> {
    let Some(text) = written.as_str() else {
        return Err(format!("is not a text; write {}", Balance::FORMS));
    };
    match text.parse::<Balance>() {
        Ok(balance) => Ok(Value::String(balance.to_string())),
        Err(UnknownBalance) => {
            Err(format!("is not a way to choose a server; write {}", Balance::FORMS))
        }
    }
}

/// The beginning of the paths of a route.
pub(super) fn path(example: &str, written: &DeValue<'_>) -> Result<Value, String> {
    // RFC 3986 §3.3: other characters are escaped in a request.
    let is_path = |text: &str| {
        text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
    };
    match written.as_str() {
        Some(text) if is_path(text) => Ok(Value::String(text.to_owned())),
        _ => Err(format!(
            "is not the beginning of a path; write one such as {}, with its special characters \
             escaped and without a query",
            value::quoted(example)
        )),
    }
}

/// The URLs of a route's servers.
pub(super) fn upstreams(example: &str, written: &DeValue<'_>) -> Result<Value, String> {
    let shape = format!("is not a list of URLs; write [{}]", value::quoted(example));
    let texts = value::texts(written, &shape)?;
    if texts.is_empty() {
        return Err(format!("is empty; write one or more, such as {}", value::quoted(example)));
    }
    if texts.len() as u64 > limits::UPSTREAMS_MAX {
        return Err(format!("has more than {} servers", limits::UPSTREAMS_MAX));
    }
    let url = |text: &str| match UpstreamUrl::parse(text) {
        Some(url) => Ok(Value::String(url.to_string())),
        None => Err(format!(
            "has {}, which is not the URL of a server; write one such as {}",
            value::quoted(text),
            value::quoted(example)
        )),
    };
    texts.into_iter().map(url).collect::<Result<_, _>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::from_file;

    #[test]
    fn a_route_is_described_with_the_paths_that_it_does_not_get() {
        let text = "[[route]]\npath = \"/s\"\nupstream = \"ws://[::1]:1\"\n\
                    [[route]]\npath = \"/app/\"\nhost = \"a.example\"\nbalance = \"hash(ip)\"\n\
                    upstream = [\"http://[::1]:1 weight=2\", \"http://[::1]:2\"]";
        let config = from_file(text).unwrap();
        assert!(config.routes.iter().all(|route| hidden(route).is_none()));
        let own = from_file("[[route]]\npath = \"/sse\"\nupstream = \"ws://[::1]:1\"").unwrap();
        let warning = "route.path = \"/sse\" hides the gateway's own /sse: its clients are served by \
                       the servers of the route";
        assert!(own.warnings().iter().any(|line| line == warning), "{:?}", own.warnings());
        let lines: Vec<_> = config.routes.iter().map(describe).collect();
        assert_eq!(
            lines,
            [
                "route /s: 1 server; the gateway itself answers /sse, /stream, /send",
                "route /app/ on a.example: 2 servers, hash(ip)",
            ]
        );
    }

    #[test]
    fn the_meaning_of_the_section_names_its_limit() {
        let most = format!("At most {}.", limits::ROUTES_MAX);
        assert!(Route::SECTION.meaning.ends_with(&most));
    }
}
