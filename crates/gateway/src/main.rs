//! The `ringway` binary: from the command line to a running gateway. It decides
//! nothing that is not about starting and stopping.

use std::process::ExitCode;

use ringway::args::{self, Start};

fn main() -> ExitCode {
    match args::start() {
        Start::Exit(code) => code,
        Start::Serve(config, _sources) => {
            for warning in config.warnings() {
                eprintln!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
    }
}
