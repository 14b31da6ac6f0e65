//! The `ringway` binary: from the command line to a running gateway. It decides
//! nothing that is not about starting and stopping.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use ringway::{
    args::{self, Start},
    config::Config,
    control, log, server,
};

/// Allocates without locks between cores, and gives idle pages back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::start() {
        Start::Exit(code) => code,
        Start::Serve(config) => serve(&config).unwrap_or_else(|error| {
            log::last_words(format_args!("ringway: {error:#}"));
            ExitCode::FAILURE
        }),
    }
}

fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    log::start(&config.log);
    control::run(server::bind(config)?, config)
}
