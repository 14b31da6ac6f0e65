//! The command `merge`, from its arguments to its exit status.

use std::{collections::BTreeMap, env};

use anyhow::{Result, bail, ensure};

use super::merge;
use crate::{
    args::MergeArgs,
    exit::Status,
    output,
    saved::{Saved, read, write},
};

/// Runs the command.
///
/// # Errors
/// A file is not valid, or the files do not belong together.
pub fn run(args: &MergeArgs) -> Result<Status> {
    let mut parts = Vec::new();
    for path in &args.files {
        parts.push(read::load(path)?);
    }
    check(args, &parts)?;
    let command = env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let merged = merge(&parts, command)?;
    let shown = output::show(&merged.report, &args.output);
    let saved = args.output.save.as_ref().map_or(Ok(()), |path| write::save(&merged, path));
    shown.and(saved)?;
    Ok(Status::of(&merged.report))
}

fn check(args: &MergeArgs, parts: &[Saved]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (path, part) in args.files.iter().zip(parts) {
        for run in &part.runs {
            if let Some(other) = seen.insert(run, path) {
                bail!(
                    "the same run is in {} and in {}: it would count twice",
                    other.display(),
                    path.display()
                );
            }
        }
        ensure!(
            part.report.mode != "sweep",
            "{} is from a sweep, whose rates depend on the results of one process; save runs of \
             `echo` at the same time instead",
            path.display()
        );
    }
    let first = &parts[0].report;
    for (path, part) in args.files.iter().zip(parts).skip(1) {
        let other = &part.report;
        ensure!(
            args.force || (other.mode == first.mode && other.url == first.url),
            "{} is of {} with {}, and {} of {} with {}; add them up anyway with --force",
            args.files[0].display(),
            first.mode,
            first.url,
            path.display(),
            other.mode,
            other.url
        );
    }
    Ok(())
}
