//! `ringway-loadtest`: parses the command line, runs the command, and exits with its status.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use ringway_loadtest::{
    args::{Arguments, Command},
    exit::Status,
    mode, output,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let ended = output::files::check(&command).and_then(|()| run(&command));
    match ended {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("ringway-loadtest: {error:#}");
            Status::of_error(&error).into()
        }
    }
}

fn run(command: &Command) -> anyhow::Result<Status> {
    match command {
        Command::Echo(args) => mode::echo::command::run(args),
        Command::Calibrate(args) => mode::calibrate::command::run(args),
        Command::Fanout(args) => mode::fanout::command::run(args),
        Command::Sweep(args) => mode::sweep::command::run(args),
        Command::Compare(args) => mode::compare::command::run(args),
        Command::Merge(args) => mode::merge::command::run(args),
        Command::Tester(args) => mode::compare::serve::run(args),
        Command::Idle(args) => mode::idle::command::run(args),
        Command::Churn(args) => mode::churn::command::run(args),
        Command::Storm(args) => mode::storm::command::run(args),
    }
}
