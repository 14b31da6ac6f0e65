//! The command line of `merge`.
//!
//! It opens no connection, so it shares only the output options with the others.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

/// `merge`.
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// What the processes have written with --save
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Add up what was done to different URLs, or in different modes, too
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its own type has them")]
    pub output: OutputArgs,
}
