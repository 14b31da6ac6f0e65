//! Tests of the whole configuration, from an operator's point of view. Here are valid
//! configurations; the rest is in `sources` and `faults`. Each part also has its own tests.

mod faults;
mod limits;
mod sources;

use crate::config::{error::Faults, *};

use std::time::Duration;

/// A configuration from the text of a file that is called `ringway.toml`.
fn load(text: &str, sources: &Sources) -> Result<Config, String> {
    let mut faults = Faults::default();
    let file = file::parse("ringway.toml", text, &mut faults);
    let resolved = resolve::resolve(file, sources, faults).map_err(|error| error.to_string());
    resolved.map(|(config, _)| config)
}

pub(super) fn from_file(text: &str) -> Result<Config, String> {
    load(text, &Sources::default())
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Sources { environment, ..Sources::default() }
}

fn settings(settings: &[&str]) -> Sources {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Sources { settings, ..Sources::default() }
}

fn flags(flags: &[(&'static str, &'static str, &str)]) -> Sources {
    let flag = |&(name, key, value): &(&'static str, &'static str, &str)| {
        let value = value.to_owned();
        Flag { name, key, value }
    };
    Sources { flags: flags.iter().map(flag).collect(), ..Sources::default() }
}

#[test]
fn a_configured_public_address_is_served_with_a_warning() {
    let public = "[server]\nallow_anonymous_on_public_address = true\n\
                  api_listen = \"0.0.0.0:8081\"\n";
    let listener = "[[listener]]\naddress = \"0.0.0.0:80\"\n";
    let key = "[[server.api_key]]\nname = \"a\"\n";
    let config = from_file(&format!("{public}{key}{listener}")).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "anonymous clients are allowed: every client that can reach 0.0.0.0:80 may connect \
             without credentials; there is no [[auth.key]], so each takes any name it likes, and \
             gets what is sent to that name",
            "server.api_listen = \"0.0.0.0:8081\" can be reached from other machines, and the \
             private API speaks plain text: its keys and events can be read on the way; set \
             server.api_speaks_tls = true, or use a network that nobody else reads",
        ]
    );
    // Nothing listens on the address if there is a unix socket.
    let socket = "api_socket = \"/run/ringway/api.sock\"\n";
    let config = from_file(&format!("{public}{socket}{listener}")).unwrap();
    assert_eq!(config.warnings().len(), 1);
    assert_eq!(Config::default().warnings().len(), 1);
}

#[test]
fn keys_fetched_over_plain_http_are_warned_of() {
    let warned = |url: &str| {
        let text = format!("[[auth.key]]\nalgorithms = [\"ES256\"]\njwks_url = \"{url}\"\n");
        let warnings = from_file(&text).unwrap().warnings();
        warnings.iter().any(|one| one.contains(url) && one.contains("fetched over plain http"))
    };
    for url in ["http://id.example.org/k", "HTTP://10.0.0.1:80/k", "http://[fd00::1]/k"] {
        assert!(warned(url), "{url}");
    }
    for host in ["s://id.example.org", "://localhost:8080", "://127.0.0.2", "://[::1]:80"] {
        assert!(!warned(&format!("http{host}/k")), "{host}");
    }
}

#[test]
fn with_a_key_a_public_address_needs_no_permission() {
    let key = "[[auth.key]]\nalgorithms = [\"HS256\"]\nsecret_env = \"A\"\n";
    let public = "[[listener]]\naddress = \"0.0.0.0:80\"\n";
    let config = from_file(&format!("{public}{key}")).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    let anonymous = "[auth]\nanonymous = true\n";
    let refused = from_file(&format!("{public}{key}{anonymous}")).unwrap_err();
    assert!(refused.contains("allow_anonymous_on_public_address"), "{refused}");
    let config = from_file(&format!("{key}{anonymous}")).unwrap();
    let [warning] = &config.warnings()[..] else { panic!("{:?}", config.warnings()) };
    assert!(warning.contains("anon-") && !warning.contains("any name"), "{warning}");
}

#[test]
fn port_zero_may_be_used_by_two_listeners() {
    let address = "127.0.0.1:0,127.0.0.1:0";
    let sources = environment(&[
        ("RINGWAY_LISTENER_ADDRESS", address),
        ("RINGWAY_SERVER_API_LISTEN", "127.0.0.1:0"),
    ]);
    assert_eq!(load("", &sources).unwrap().listeners.len(), 2);
}

#[test]
fn connections_max_fits_the_descriptor_limit() {
    let limits = |text: &str| from_file(text).unwrap().limits;
    let auto = limits("");
    assert_eq!(auto.connections_max_within(896), Ok(896));
    assert_eq!(auto.connections_max_within(u64::MAX), Ok(16_777_216));
    assert_eq!(
        auto.connections_max_within(0).unwrap_err().to_string(),
        "the limit of open files leaves no room for connections; raise it (LimitNOFILE= in the \
         unit, ulimit -n in a shell)"
    );
    let given = limits("limits.connections_max = 1000");
    assert_eq!(given.connections_max_within(1000), Ok(1000));
    assert_eq!(
        given.connections_max_within(896).unwrap_err().to_string(),
        "limits.connections_max = 1000, but the limit of open files leaves room for 896; raise \
         it (LimitNOFILE= in the unit, ulimit -n in a shell) by 104 or lower \
         limits.connections_max"
    );
}

#[test]
fn check_prints_the_effective_values_and_their_sources() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(&path, "[server]\ncores = \"5-5\"\n").unwrap();
    let mut sources = environment(&[("RINGWAY_LOG_LEVEL", "warn"), ("PATH", "/bin")]);
    sources.file = Some(path.clone());
    sources.settings = settings(&["clients.may_publish=chat.*, news"]).settings;
    let text = check(&sources).unwrap();
    let written = |line: &str, origin: &str| format!("{line:<40} # {origin}");
    let path = path.display();
    let head = format!(
        "{path}: ok\n\
         warning: anonymous clients are allowed: every client that can reach 127.0.0.1:8080 may \
         connect without credentials; there is no [[auth.key]], so each takes any name it likes, \
         and gets what is sent to that name\n\
         note: the receive buffers of each core take 4MiB of memory\n\
         \n\
         [server]\n\
         {}\n\
         io = \"auto\"\n",
        written("cores = \"5,\"", &format!("{path}:2:9"))
    );
    assert!(text.starts_with(&head), "{text}");
    let publish = "may_publish = [\"chat.*\", \"news\"]";
    for line in [
        &written("level = \"warn\"", "RINGWAY_LOG_LEVEL"),
        &written(publish, "--set clients.may_publish=chat.*, news"),
        "may_subscribe = [\"*\"]",
        "address = \"127.0.0.1:8080\"",
        "drain_time = \"20s\"",
        "queue_bytes_max = \"64KiB\"",
        "connections_max = \"auto\"",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// The first lines are only for people, so they are skipped.
#[test]
fn the_output_of_check_is_the_configuration_that_it_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringway.toml");
    let listeners =
        "[[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"[::1]:2\"\n";
    let topic = "[[history.topic]]\npattern = \"news.*\"\nage_max = \"1m\"\n";
    std::fs::write(&path, format!("{listeners}{topic}")).unwrap();
    let mut sources = settings(&["listener.backlog=7", "cors.allowed_origins=https://a,*"]);
    sources.file = Some(path);
    let text = check(&sources).unwrap();
    let (_, toml) = text.split_once("\n\n").unwrap();
    assert_eq!(from_file(toml), Ok(Config::load(&sources).unwrap()));
}

#[test]
fn topics_may_keep_less_than_the_history() {
    let text = "history.age_max = \"2m\"\n[[history.topic]]\npattern = \"news.*\"\nevents_max = 5\n\
                age_max = \"1m\"\n[[history.topic]]\npattern = \"*\"\nage_max = \"2m\"\n";
    let topics = from_file(text).unwrap().history_topics;
    let topic = |pattern: &str, events_max, seconds| HistoryTopic {
        pattern: pattern.to_owned(),
        events_max,
        age_max: Some(Duration::from_secs(seconds)),
    };
    assert_eq!(topics, [topic("news.*", Some(5), 60), topic("*", None, 120)]);
    assert_eq!(Config::default().history_topics, []);
}

#[test]
fn an_application_is_asked_about_its_events() {
    let text = "[[hook]]\nurl = \"unix:/run/a.sock:/x\"\nevents = [\"connect\", \"request\"]\n\
                on_failure = \"allow\"\nheaders = [\"Cookie\"]\n";
    let [hook] = &from_file(text).unwrap().hooks[..] else { panic!("one hook") };
    assert_eq!(hook.events, [HookEvent::Connect, HookEvent::Request]);
    assert_eq!((hook.on_failure, hook.timeout), (OnFailure::Allow, Duration::from_secs(2)));
    assert_eq!(hook.headers.find("cookie"), Some("cookie"));
    assert_eq!(hook.headers.find("host"), None);
    assert_eq!(Config::default().hooks, []);
}

#[test]
fn one_application_is_asked_and_others_are_told() {
    use HookEvent::{Connect, Disconnect, Event, Request};
    let text = "[[hook]]\nurl = \"http://a/\"\nevents = [\"connect\", \"request\", \"disconnect\"]\n\
                [[hook]]\nurl = \"http://b/\"\nevents = [\"connect\", \"disconnect\", \"event\"]\n\
                waits = false\ntopics = [\"news.*\"]\n";
    let [asked, told] = &from_file(text).unwrap().hooks[..] else { panic!("two hooks") };
    let both = |event| [asked.is_asked(event), asked.is_told(event), told.is_told(event)];
    assert_eq!(both(Connect), [true, false, true]);
    assert_eq!(both(Request), [true, false, false]);
    assert_eq!(both(Disconnect), [false, true, true]);
    assert_eq!(both(Event), [false, false, true]);
    assert!(!told.is_asked(Connect));
    assert!(told.topics.allow("news.rain") && !told.topics.allow("rain"));
    assert!(asked.topics.allow("rain"));
}

/// Removes the comment marks from the example in the printed defaults.
#[test]
fn the_printed_example_of_a_topic_is_valid() {
    let text = defaults_text();
    let example = text.lines().skip_while(|line| *line != "# [[history.topic]]");
    let is_toml = |line: &&str| line.starts_with("# [[") || line.contains(" = ");
    let lines = example.take_while(|line| line.starts_with('#')).filter(is_toml);
    let toml: Vec<_> = lines.map(|line| line.trim_start_matches("# ")).collect();
    let topics = from_file(&toml.join("\n")).unwrap().history_topics;
    let (pattern, age_max) = ("news.*".to_owned(), Some(Duration::from_secs(60)));
    assert_eq!(topics, [HistoryTopic { pattern, events_max: Some(100), age_max }]);
}

/// Compares the list in README.md with the table.
#[test]
fn the_readme_lists_every_section_and_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    for section in table::SECTIONS {
        let names: Vec<_> = section.keys.iter().map(|key| format!("`{}`", key.name())).collect();
        let row = format!("| `{}` | {} |", section.header(), names.join(", "));
        assert!(readme.lines().any(|line| line == row), "README.md has no line {row}");
    }
}
