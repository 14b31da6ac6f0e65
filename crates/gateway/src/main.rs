//! The `ringway` binary: from the command line to a running gateway. It only starts and stops the
//! gateway.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context;
use ringway::{
    config::Config,
    control::{self, EarlySignals},
    log,
    process::{
        args::{self, Start},
        inherited::Inherited,
        server,
    },
};

/// Allocates without locks between cores, and gives idle pages back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::start() {
        Start::Exit(code) => code,
        Start::Serve(config) => {
            let code = serve(&config).unwrap_or_else(|error| {
                log::last_words(format_args!("ringway: {error:#}"));
                ExitCode::FAILURE
            });
            log::flush();
            code
        }
    }
}

fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    let inherited = Inherited::take()?;
    let early = EarlySignals::catch().context("catching signals")?;
    log::start(&config.log).context("starting the log")?;
    match server::bind(config, inherited) {
        // A signal asked it to end while it was starting, so this is not a failure.
        Err(_) if early.is_to_end() => Ok(ExitCode::SUCCESS),
        bound => control::run(bound?, config, &early),
    }
}
