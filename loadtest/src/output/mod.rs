//! Output of results: progress during a run, a table at its end, files.
//!
//! Nothing here measures or judges.

pub mod files;
pub mod html;
pub mod progress;
pub mod table;

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    args::OutputArgs,
    measure::timeline::Seen,
    report::Report,
    saved::{self, Saved},
};

/// Shows a report in each form that the user asked for.
///
/// # Errors
/// A file cannot be written; the others are written, and the result is on standard output.
pub fn show(report: &Report, args: &OutputArgs) -> Result<()> {
    finish_with(report, || table::render(report), args, || Ok(()))
}

/// Shows a report, and writes a histogram log if the user asked for one. `opening` has what was
/// counted while connections were opened.
///
/// # Errors
/// As [`show`].
pub fn finish(
    report: &Report,
    opening: Option<&Seen>,
    seen: &Seen,
    args: &OutputArgs,
) -> Result<()> {
    let log = || save_only(report, opening, seen, args);
    finish_with(report, || table::render(report), args, log)
}

/// Shows a report with the mode's own table, and then calls `log`, which writes further files.
///
/// # Errors
/// As [`show`].
pub fn finish_with(
    report: &Report,
    table: impl FnOnce() -> String,
    args: &OutputArgs,
    log: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let shown = write(report, table, args.json.as_deref());
    let page = args.html.as_ref().map_or(Ok(()), |path| {
        fs::write(path, html::render(report)).with_context(|| format!("writing {}", path.display()))
    });
    shown.and(page).and(log())
}

/// Writes a histogram log if the user asked for one, and shows nothing.
///
/// # Errors
/// The file cannot be written.
pub fn save_only(
    report: &Report,
    opening: Option<&Seen>,
    seen: &Seen,
    args: &OutputArgs,
) -> Result<()> {
    match &args.save {
        Some(path) => saved::write::save(&Saved::of(report, opening, seen), path),
        None => Ok(()),
    }
}

/// Writes a result as a table to standard output, and then as JSON to the file `json`; with `-` as
/// the file, only as JSON to standard output.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    result: &impl Serialize,
    table: impl FnOnce() -> String,
    json: Option<&Path>,
) -> Result<()> {
    let as_json = || -> Result<String> { Ok(serde_json::to_string_pretty(result)? + "\n") };
    match json {
        Some(path) if path == Path::new("-") => print(&as_json()?)?,
        Some(path) => {
            print(&table())?;
            fs::write(path, as_json()?).with_context(|| format!("writing {}", path.display()))?;
        }
        None => print(&table())?,
    }
    Ok(())
}

/// The reader may stop early, as `head` does.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
