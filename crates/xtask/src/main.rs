//! `cargo xtask`: the commands of contributors and of continuous integration. Installs the test
//! tools, then checks the workspace and the real binary. Never shipped, and never installs anything
//! outside `target/` except Debian packages.

#![forbid(unsafe_code)]

mod bench_peers;
mod browser;
mod checkout;
mod clients;
mod conformance;
mod instructions;
mod module_graph;
mod process;
mod proxies;
mod readme;
mod server;
mod step;
mod test;
mod tools;
mod wildcard;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::checkout::Checkout;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Test(test::Options),
    Conformance(conformance::Options),
    Clients(clients::Options),
    Proxies(proxies::Options),
    Browser(browser::Options),
    Readme(readme::Options),
    BenchPeers(bench_peers::Options),
    LatencyPage(bench_peers::latency::Options),
    Instructions(instructions::Options),
    Layering(module_graph::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let checkout = Checkout::of_this_crate();
    let result = match &arguments.task {
        Task::Test(options) => test::run(&checkout, options),
        Task::Conformance(options) => step::alone(conformance::run(&checkout, options)),
        Task::Clients(options) => step::alone(clients::run(&checkout, options)),
        Task::Proxies(options) => step::alone(proxies::run(&checkout, options)),
        Task::Browser(options) => step::alone(browser::run(&checkout, options)),
        Task::Readme(options) => step::alone(readme::run(&checkout, options)),
        Task::BenchPeers(options) => step::alone(bench_peers::run(&checkout, options)),
        Task::LatencyPage(options) => step::alone(bench_peers::latency::run(&checkout, options)),
        Task::Instructions(options) => step::alone(instructions::run(&checkout, options)),
        Task::Layering(options) => step::alone(module_graph::run(options)),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_valid_and_every_task_shows_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for task in command.get_subcommands() {
            let shown = task.get_after_help().map(ToString::to_string);
            let name = task.get_name();
            let example = format!("cargo xtask {name}");
            assert!(shown.is_some_and(|text| text.contains(&example)), "{name}");
        }
    }
}
