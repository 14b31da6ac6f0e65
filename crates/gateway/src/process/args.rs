//! The command line and the commands that only print. It turns flags into configuration sources and
//! never checks a value, which is the configuration's task.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    config::{self, Config, Flag, Sources},
    doctor, log,
    process::token_args::{Answer, TokenCommand},
};

/// The exit code for an invalid command line or configuration. A clean stop is 0; a failure while
/// running is 1.
pub const EXIT_WRONG_CONFIG: u8 = 2;

const AFTER_HELP: &str = "\
EXAMPLES
  ringway                                    on 127.0.0.1:8080, with the defaults
  ringway --listen 127.0.0.1:9000 --cores 2
  ringway --config /etc/ringway/ringway.toml
  ringway --set limits.handshake_timeout=5s --set websocket.deflate.level=3
  RINGWAY_SERVER_DRAIN_TIME=5s ringway
  ringway defaults > ringway.toml            a commented file to start from
  ringway check ringway.toml                 before a restart
  ringway token create --key issuer.secret --sub ann

CONFIGURATION
  The later source wins: defaults, the file, RINGWAY_ variables, --set, the flags
  above. The variable of the key limits.handshake_timeout is
  RINGWAY_LIMITS_HANDSHAKE_TIMEOUT; RINGWAY_CONFIG stands for --config.

EXIT STATUS
  0  a clean stop, or a good file
  1  a failure while running, such as an address in use
  2  a wrong command line or configuration";

const DOCTOR_AFTER_HELP: &str = "\
EXAMPLES
  ringway doctor
  ringway doctor --config /etc/ringway/ringway.toml
  ringway doctor --set limits.connections_max=100000
  ringway doctor --json
  ringway doctor --dry-run                   what --apply would change
  sudo ringway doctor --apply
  sudo ringway doctor --undo

FILES
  /etc/sysctl.d/60-ringway.conf              what --apply raised, for the next start
  /var/lib/ringway/doctor-undo.json          the values from before
  /var/lib/ringway/doctor.lock               locked while --apply or --undo runs

EXIT STATUS
  0  nothing hurts, and every requested change was made
  1  something hurts, NOFILE or memory is unknown, or a change was refused
  2  a wrong command line or configuration";

/// A WebSocket edge gateway for Linux
#[derive(Debug, Parser)]
#[command(name = "ringway", version, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// The command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway; the default without a command
    #[command(after_help = AFTER_HELP)]
    Serve(ServeArgs),
    /// Check a configuration file and the environment, and print the resulting configuration
    Check {
        /// The file to check
        file: PathBuf,
    },
    /// Print every configuration key with its default and its meaning
    Defaults,
    /// Examine this host: what it has, what the gateway needs and why, and how many connections it
    /// holds
    #[command(after_help = DOCTOR_AFTER_HELP)]
    Doctor(DoctorArgs),
    /// Make a token for tests, or explain one
    #[command(subcommand)]
    Token(TokenCommand),
}

/// The flags of `ringway doctor`.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Use this TOML file, as `ringway serve` would
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key, such as limits.connections_max=100000; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Raise the sysctls that are too low, now and for every start of the host (needs root)
    #[arg(long, conflicts_with = "undo")]
    apply: bool,
    /// Restore what --apply has changed (needs root)
    #[arg(long)]
    undo: bool,
    /// Show what --apply (or --undo) would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Read the host's files below this directory, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// The flags of `ringway serve`.
#[derive(clap::Args, Debug, Default)]
pub struct ServeArgs {
    /// Read this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of on the file's addresses; may be repeated
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Serve the private API here
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<String>,
    /// Kernel interface: auto, uring or epoll
    #[arg(long, value_name = "IO")]
    io: Option<String>,
    /// Cores: a count (2) or a list (0,2-3; core 5 alone is 5-5)
    #[arg(long, value_name = "N|LIST")]
    cores: Option<String>,
    /// Log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Set any key, such as log.format=json; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Args {
    /// The command; `serve` if none is given.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl ServeArgs {
    /// Only this file.
    pub fn of_file(config: Option<PathBuf>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The configuration sources of these flags and this environment.
    pub fn sources(self, environment: Vec<(OsString, OsString)>) -> Sources {
        let mut flags = Vec::new();
        let mut flag = |name, key, values: &mut dyn Iterator<Item = String>| {
            flags.extend(values.map(|value| Flag { name, key, value }));
        };
        flag("--listen", "listener.address", &mut self.listen.into_iter());
        flag("--api-listen", "server.api_listen", &mut self.api_listen.into_iter());
        flag("--io", "server.io", &mut self.io.into_iter());
        flag("--cores", "server.cores", &mut self.cores.into_iter());
        flag("--log", "log.level", &mut self.log.into_iter());
        let file = self.config.or_else(|| file_of(&environment));
        Sources { file, environment, settings: self.set, flags }
    }
}

fn file_of(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let variable = environment.iter().find(|(name, _)| name == config::FILE_VARIABLE);
    variable.map(|(_, path)| PathBuf::from(path))
}

/// What to do once the command line has been processed.
#[derive(Debug)]
pub enum Start {
    /// Run the gateway.
    Serve(Box<Config>),
    /// Exit: the command is done.
    Exit(ExitCode),
}

/// Reads the command line and the environment, runs the commands that only print, and loads the
/// configuration for `serve`. Errors are on standard error when this returns.
pub fn start() -> Start {
    // Variables without the prefix are not read: they may hold secrets.
    let is_ours =
        |name: &OsString| name.as_encoded_bytes().starts_with(config::VARIABLE_PREFIX.as_bytes());
    let environment: Vec<_> = std::env::vars_os().filter(|(name, _)| is_ours(name)).collect();
    match Args::parse().command() {
        Command::Serve(serve) => match Config::load(&serve.sources(environment)) {
            Ok(config) => match config.check_tls() {
                Ok(()) => Start::Serve(Box::new(config)),
                Err(error) => Start::Exit(refuse(&error)),
            },
            Err(error) => Start::Exit(refuse(&error)),
        },
        Command::Check { file } => {
            let sources = Sources { file: Some(file), environment, ..Sources::default() };
            let checked = config::check(&sources);
            // The file may have changed in between; then the first answer counts.
            let tls = Config::load(&sources).map(|config| config.check_tls());
            Start::Exit(match (checked, tls) {
                (Err(error), _) => refuse(&error),
                (Ok(_), Ok(Err(error))) => refuse(&error),
                (Ok(text), _) => print(&text),
            })
        }
        Command::Defaults => Start::Exit(print(&config::defaults_text())),
        Command::Doctor(doctor) => Start::Exit(doctor.run(environment)),
        Command::Token(command) => Start::Exit(match command.run(environment) {
            Ok(Answer { text, is_good }) => match print(&text) {
                ExitCode::SUCCESS if !is_good => ExitCode::FAILURE,
                code => code,
            },
            Err(error) => refuse(&format_args!("ringway token: {error:#}")),
        }),
    }
}

impl DoctorArgs {
    fn run(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let task = match (self.apply, self.undo) {
            (true, _) => doctor::Task::Apply,
            (_, true) => doctor::Task::Undo,
            _ => doctor::Task::Examine,
        };
        let rigour = if self.dry_run { doctor::Rigour::DryRun } else { doctor::Rigour::ForReal };
        let form = if self.json { doctor::Form::Json } else { doctor::Form::Text };
        let root = self.root;
        let serve = ServeArgs { config: self.config, set: self.set, ..ServeArgs::default() };
        let config = match Config::load(&serve.sources(environment)) {
            Ok(config) => config,
            Err(error) => return refuse(&error),
        };
        match doctor::run(&root, &config, task, rigour, form) {
            Ok(answer) => match print(&answer.text) {
                ExitCode::SUCCESS if answer.hurts => ExitCode::FAILURE,
                code => code,
            },
            Err(error) => {
                log::last_words(format_args!("ringway doctor: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    log::last_words(error);
    ExitCode::from(EXIT_WRONG_CONFIG)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that stops early, such as `head`, is not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            log::last_words(format_args!("standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, clap::error::ErrorKind> {
        let arguments = ["ringway"].iter().chain(arguments);
        Args::try_parse_from(arguments).map(Args::command).map_err(|error| error.kind())
    }

    fn sources(arguments: &[&str], environment: &[(&str, &str)]) -> Sources {
        let environment =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        match parse(arguments).unwrap() {
            Command::Serve(serve) => serve.sources(environment),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clap_accepts_the_definition() {
        use clap::CommandFactory;
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        let flags = [
            "--listen",
            "127.0.0.1:9000",
            "--listen",
            "[::1]:9000",
            "--api-listen",
            "127.0.0.1:9001",
            "--io",
            "epoll",
            "--cores",
            "0,2-3",
            "--log",
            "warn",
            "--set",
            "server.wait=latency",
            "--config",
            "ringway.toml",
        ];
        let with_serve: Vec<_> = ["serve"].into_iter().chain(flags).collect();
        let found = sources(&flags, &[]);
        assert_eq!(found, sources(&with_serve, &[]));

        let flag = |name, key, value: &str| Flag { name, key, value: value.to_owned() };
        assert_eq!(found.file, Some("ringway.toml".into()));
        assert_eq!(found.settings, ["server.wait=latency"]);
        assert_eq!(
            found.flags,
            [
                flag("--listen", "listener.address", "127.0.0.1:9000"),
                flag("--listen", "listener.address", "[::1]:9000"),
                flag("--api-listen", "server.api_listen", "127.0.0.1:9001"),
                flag("--io", "server.io", "epoll"),
                flag("--cores", "server.cores", "0,2-3"),
                flag("--log", "log.level", "warn"),
            ]
        );
    }

    #[test]
    fn the_config_flag_takes_precedence_over_the_variable() {
        let environment = [("RINGWAY_CONFIG", "a.toml")];
        assert_eq!(sources(&[], &environment).file, Some("a.toml".into()));
        assert_eq!(sources(&["--config", "b.toml"], &environment).file, Some("b.toml".into()));
        assert_eq!(sources(&[], &[]).file, None);
    }

    #[test]
    fn the_other_commands_are_parsed() {
        assert!(matches!(parse(&["check", "a.toml"]), Ok(Command::Check { .. })));
        assert!(matches!(parse(&["defaults"]), Ok(Command::Defaults)));
        assert!(matches!(parse(&["token", "explain", "a"]), Ok(Command::Token(_))));
        let doctor = parse(&["doctor", "--undo", "--dry-run", "--config", "a.toml"]);
        assert!(matches!(
            doctor,
            Ok(Command::Doctor(DoctorArgs { undo: true, dry_run: true, .. }))
        ));
    }

    #[test]
    fn unusable_arguments_are_refused() {
        use clap::error::ErrorKind;
        let table: [(&[&str], ErrorKind); 7] = [
            (&["check"], ErrorKind::MissingRequiredArgument),
            (&["doctor", "--apply", "--undo"], ErrorKind::ArgumentConflict),
            (&["--io", "epoll", "check", "a.toml"], ErrorKind::ArgumentConflict),
            (&["serv"], ErrorKind::InvalidSubcommand),
            (&["--lisen", "x"], ErrorKind::UnknownArgument),
            (&["--help"], ErrorKind::DisplayHelp),
            (&["--version"], ErrorKind::DisplayVersion),
        ];
        for (arguments, expected) in table {
            assert_eq!(parse(arguments).unwrap_err(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn every_flag_in_the_help_has_an_effect() {
        let flags = [
            "--listen=127.0.0.1:1",
            "--api-listen=127.0.0.1:2",
            "--io=epoll",
            "--cores=1",
            "--log=debug",
        ];
        for flag in flags {
            let config = Config::load(&sources(&[flag], &[])).unwrap();
            assert_ne!(config, Config::default(), "{flag}");
        }
    }
}
