//! How a command of the README is run: as a server that runs until it is stopped, not at all
//! because it is a check that runs already, or as a plain command. Never runs anything.

/// How a command is run.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end.
    Plain,
    /// The gateway in the foreground: waited for, then stopped by SIGTERM. A second one replaces
    /// the first.
    Server,
    /// The gateway followed by `&`, started in addition to those that run already.
    ServerBeside,
    /// Anything else followed by `&`: ended when the README ends.
    Background,
    /// A step of `cargo xtask test`: not run from within another one.
    OwnStep,
}

/// `cargo xtask test` and the steps that it runs.
const OWN_STEPS: [&str; 4] = ["test", "conformance", "clients", "readme"];

/// The role of a command, and the command without its trailing `&`.
pub fn of(command: &str) -> (Role, &str) {
    let command = command.trim();
    let (simple, ampersand) = match command.strip_suffix('&') {
        Some(rest) if !rest.ends_with('&') => (rest.trim_end(), true),
        _ => (command, false),
    };
    let words: Vec<&str> = simple
        .split_whitespace()
        .filter(|word| *word != "\\")
        .skip_while(|word| is_assignment(word))
        .collect();
    if words.starts_with(&["cargo", "xtask"])
        && words.get(2).is_some_and(|task| OWN_STEPS.contains(task))
    {
        return (Role::OwnStep, simple);
    }
    let role = match (serves(&words), ampersand) {
        (true, false) => Role::Server,
        (true, true) => Role::ServerBeside,
        (false, false) => Role::Plain,
        (false, true) => Role::Background,
    };
    (role, simple)
}

/// Whether these words run the gateway as a server, in one simple command.
fn serves(words: &[&str]) -> bool {
    let compound = |word: &str| word.contains(['|', ';', '<', '>']) || word == "&&";
    if words.iter().any(|word| compound(word)) {
        return false;
    }
    let arguments = match words {
        ["cargo", "run", rest @ ..] => {
            let split = rest.iter().position(|word| *word == "--");
            let (own, passed) = match split {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &[][..]),
            };
            if names_another_package(own) {
                return false;
            }
            passed
        }
        [program, rest @ ..] if program.rsplit('/').next() == Some("ringway") => rest,
        _ => return false,
    };
    let asks_only = ["--help", "-h", "--version", "-V"];
    if arguments.iter().any(|word| asks_only.contains(word)) {
        return false;
    }
    arguments.first().is_none_or(|first| *first == "serve" || first.starts_with('-'))
}

fn names_another_package(words: &[&str]) -> bool {
    let chooses = |word: &str| ["-p", "--package", "--bin", "--example"].contains(&word);
    words.windows(2).any(|pair| chooses(pair[0]) && pair[1] != "ringway")
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_recognised_by_their_words() {
        for (command, role) in [
            ("cargo run --release", Role::Server),
            ("cargo run --release -- serve --listen 127.0.0.1:9000", Role::Server),
            ("cargo run --release -- --help", Role::Plain),
            ("cargo run --release -- check ringway.toml", Role::Plain),
            ("cargo run --release -p ringway-loadtest -- echo", Role::Plain),
            ("cargo run --release -p ringway", Role::Server),
            ("RINGWAY_LOG=debug target/release/ringway serve", Role::Server),
            ("./target/release/ringway serve \\\n  --io epoll", Role::Server),
            ("ringway", Role::Server),
            ("ringway --version", Role::Plain),
            ("ringway serve &", Role::ServerBeside),
            ("timeout 5 ringway serve", Role::Plain),
            ("ringway serve | head -1", Role::Plain),
            ("curl -N localhost:8080/sse &", Role::Background),
            ("true && true", Role::Plain),
            ("cargo xtask test", Role::OwnStep),
            ("CI=true cargo xtask conformance --all", Role::OwnStep),
            ("cargo xtask --help", Role::Plain),
            ("cargo test", Role::Plain),
        ] {
            assert_eq!(of(command).0, role, "{command}");
        }
    }

    #[test]
    fn the_ampersand_is_removed() {
        assert_eq!(of("ringway serve &").1, "ringway serve");
        assert_eq!(of("a && b").1, "a && b");
    }
}
