//! What the configuration promises as a whole, in the words of an operator. Here
//! is what a sound configuration means; `sources` and `faults` hold the rest.
//! Each part has its own tests beside it.

mod faults;
mod sources;

use crate::config::{error::Faults, *};

/// A configuration from the text of a file that is called `ringway.toml`.
fn load(text: &str, sources: &Sources) -> Result<Config, String> {
    let mut faults = Faults::default();
    let file = file::parse("ringway.toml", text, &mut faults);
    resolve::resolve(file, sources, faults).map_err(|error| error.to_string())
}

fn from_file(text: &str) -> Result<Config, String> {
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
fn a_public_address_is_served_when_the_config_says_so_and_a_warning_says_it() {
    let text = "[server]\nallow_anonymous_on_public_address = true\n\
                api_listen = \"0.0.0.0:8081\"\n[[listener]]\naddress = \"0.0.0.0:80\"\n";
    let config = from_file(text).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "anonymous clients are allowed: whoever can reach 0.0.0.0:80 may connect without \
             credentials",
            "server.api_listen = \"0.0.0.0:8081\" can be reached from other machines, and the \
             API asks for no credentials; let a firewall keep clients away from it",
        ]
    );
    assert_eq!(Config::default().warnings().len(), 1);
}

#[test]
fn port_zero_may_be_listened_on_twice() {
    let address = "127.0.0.1:0,127.0.0.1:0";
    let sources = environment(&[
        ("RINGWAY_LISTENER_ADDRESS", address),
        ("RINGWAY_SERVER_API_LISTEN", "127.0.0.1:0"),
    ]);
    assert_eq!(load("", &sources).unwrap().listeners.len(), 2);
}

#[test]
fn connections_fit_in_the_descriptors() {
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
fn check_says_who_may_do_what() {
    let text = |setting: &[&str]| check(&settings(setting)).unwrap();
    let narrow = text(&[
        "clients.may_notify=[]",
        "clients.may_publish=chat.*, news",
        "clients.may_subscribe=a,b,c,d,e",
        "cors.allowed_origins=https://a,http://b:81",
        "clients.slow_reader=close",
    ]);
    assert!(narrow.contains(" notify nobody, publish to chat.* news, subscribe to 5 patterns\n"));
    assert!(narrow.contains(", pages of https://a, http://b:81\n"), "{narrow}");
    assert!(narrow.contains(", slow readers are closed, "), "{narrow}");
    assert!(text(&["cors.allowed_origins=https://a,*"]).contains(", pages of every origin\n"));
}

#[test]
fn check_says_what_would_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(&path, "[server]\ncores = \"5-5\"\n").unwrap();
    let mut sources = environment(&[("RINGWAY_LOG_LEVEL", "warn"), ("PATH", "/bin")]);
    sources.file = Some(path.clone());
    let text = check(&sources).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(format!("{}: ok", path.display()).as_str()));
    let expected = [
        "  listen       127.0.0.1:8080, backlog 4096",
        "  socket       nodelay, 32KiB unsent, keepalive after 30s, probes every 5s, acknowledged within 30s, the rest as the kernel has it",
        "  private API  127.0.0.1:8081",
        "  engine       io auto, wait adaptive, cores 5, 128 receive buffers of 32KiB (4MiB) on each",
        "  websocket    messages to 1MiB (/echo 16MiB) within 1m, ping after 25s, pong within 10s, close within 5s",
        "  deflate      level 1, memory level 8, no context takeover, window bits 15 (server) and 15 (client)",
        "  clients      queues to 64KiB, slow readers are told of gaps, 1000 recipients an event, 100 subscriptions, the last 100 events",
        "  clients may  notify *, publish to *, subscribe to *",
        "  history      100000 events, 64MiB, 5m",
        "  http         polls wait 25s (at most 1m) for up to 1MiB, retry after 2s, pages of no other origin",
        "  limits       connections as NOFILE allows (1024 an address), handshake 10s, keep-alive 75s, heads to 16KiB and 64 fields, targets to 8KiB",
        "  memory       buffers to half of what the process may take, less the history",
        "  drain        over 20s after SIGTERM",
        "  environment  RINGWAY_LOG_LEVEL",
        "  warning      anonymous clients are allowed: whoever can reach 127.0.0.1:8080 may connect without credentials",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn topics_may_keep_less_than_the_history() {
    let text = "history.age_max = \"2m\"\n[[history.topic]]\npattern = \"news.*\"\nevents_max = 5\n\
                age_max = \"1m\"\n[[history.topic]]\npattern = \"*\"\nage_max = \"2m\"\n";
    let history = from_file(text).unwrap().history;
    let topic = |pattern: &str, events_max, seconds| TopicHistory {
        pattern: pattern.to_owned(),
        events_max,
        age_max: Some(Duration::from_secs(seconds)),
    };
    assert_eq!(history.topics, [topic("news.*", Some(5), 60), topic("*", None, 120)]);
    assert_eq!(topics::text(&history.topics), "; news.* 5 events and 1m; * 2m");
    assert_eq!(Config::default().history.topics, []);
}

/// The example of the printed defaults, without the marks of a comment.
#[test]
fn the_printed_example_of_a_topic_can_be_used() {
    let text = defaults_text();
    let example = text.lines().skip_while(|line| *line != "# [[history.topic]]");
    let is_toml = |line: &&str| line.starts_with("# [[") || line.contains(" = ");
    let lines = example.take_while(|line| line.starts_with('#')).filter(is_toml);
    let toml: Vec<_> = lines.map(|line| line.trim_start_matches("# ")).collect();
    let topics = from_file(&toml.join("\n")).unwrap().history.topics;
    assert_eq!(topics::text(&topics), "; news.* 100 events and 1m");
}
