//! The command line of `merge`.
//!
//! It opens no connection, so it shares only the output options with the others.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

/// The options of `merge`.
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// Files that the processes wrote with --save
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Also add up runs of different URLs or modes
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub output: OutputArgs,
}
