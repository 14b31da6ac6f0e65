//! `layering`: prints which module uses which, the cycles, and the uses against the gateway's
//! layers. Never fails because of them: the layering test does that.

use anyhow::Result;
use clap::Args;

use xtask::layering::{GATEWAY, Graph, Place, Workspace, cycles, graphs, upward_uses};

use crate::step::StepOutcome;

/// Show which module uses which, and the cycles.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask layering
  cargo xtask layering crates/gateway --all
  cargo xtask layering --cycles")]
pub struct Options {
    /// Only crates below these folders.
    #[arg(value_name = "FOLDER")]
    folders: Vec<String>,
    /// Every place of each use instead of the first.
    #[arg(long)]
    all: bool,
    /// Only the cycles and the uses of a higher layer.
    #[arg(long)]
    cycles: bool,
}

pub fn run(options: &Options) -> Result<StepOutcome> {
    let workspace = Workspace::read();
    let is_wanted = |path: &str| {
        options.folders.is_empty() || options.folders.iter().any(|folder| path.starts_with(folder))
    };
    let graphs = graphs(&workspace);
    for graph in graphs.iter().filter(|graph| is_wanted(&graph.root)) {
        if !options.cycles {
            println!("{}", graph.root);
            show(graph, options.all);
        }
        if graph.root == GATEWAY.root {
            for (from, to, places) in upward_uses(graph, &GATEWAY) {
                println!("  upward: {from} -> {to} ({})", shown(places, options.all));
            }
        }
    }
    let found = cycles(&workspace);
    for cycle in found.iter().filter(|cycle| is_wanted(cycle)) {
        println!("{cycle}");
    }
    Ok(StepOutcome::Passed(format!("{} libraries and programs", graphs.len())))
}

fn show(graph: &Graph, all: bool) {
    for (module, used) in &graph.uses {
        println!("  {module}");
        for (to, places) in used {
            println!("    -> {to} ({})", shown(places, all));
        }
    }
}

fn shown(places: &[Place], all: bool) -> String {
    let wanted = if all { places.len() } else { 1 };
    let mut text =
        places.iter().take(wanted).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if places.len() > wanted {
        text.push_str(&format!(" and {} more", places.len() - wanted));
    }
    text
}
