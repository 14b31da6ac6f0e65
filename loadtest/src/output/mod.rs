//! How results are shown: progress while a run is under way, a table at its end, files.
//!
//! Nothing here measures or judges.

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

/// Shows a report wherever it was asked for.
///
/// # Errors
/// A file cannot be written.
pub fn show(report: &Report, args: &OutputArgs) -> Result<()> {
    show_with(report, || table::render(report), args)
}

/// The same with a table of the mode's own.
///
/// # Errors
/// A file cannot be written.
pub fn show_with(report: &Report, table: impl FnOnce() -> String, args: &OutputArgs) -> Result<()> {
    if let Some(path) = &args.html {
        fs::write(path, html::render(report))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    write(report, table, args.json.as_deref())
}

/// Writes a histogram log if one was asked for. What was seen while connections were opened is in
/// `opening`.
///
/// # Errors
/// The file cannot be written.
pub fn save(report: &Report, opening: Option<&Seen>, seen: &Seen, args: &OutputArgs) -> Result<()> {
    match &args.save {
        Some(path) => saved::write::save(&Saved::of(report, opening, seen), path),
        None => Ok(()),
    }
}

/// Writes a result as JSON to the file `json`, and as a table to standard output; with `-` as the
/// file, only as JSON there.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    result: &impl Serialize,
    table: impl FnOnce() -> String,
    json: Option<&Path>,
) -> Result<()> {
    let on_stdout = json == Some(Path::new("-"));
    if let Some(path) = json {
        let mut text = serde_json::to_string_pretty(result)?;
        text.push('\n');
        if on_stdout {
            print(&text)?;
        } else {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    if !on_stdout {
        print(&table())?;
    }
    Ok(())
}

/// Whoever reads it may have read enough, as `head` does.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
