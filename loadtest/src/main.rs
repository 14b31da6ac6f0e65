//! `ringway-loadtest`: parses the command line, runs what it asks for, and exits with what that
//! found.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use ringway_loadtest::{
    args::{Arguments, Command},
    exit::Status,
    mode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let ended = match command {
        Command::Echo(args) => mode::echo::command::run(&args),
        Command::Calibrate(args) => mode::calibrate::command::run(&args),
    };
    match ended {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("ringway-loadtest: {error:#}");
            Status::of_error(&error).into()
        }
    }
}
