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

use crate::{args::OutputArgs, report::Report};

/// Shows a report wherever it was asked for.
///
/// # Errors
/// A file cannot be written.
pub fn show(report: &Report, args: &OutputArgs) -> Result<()> {
    let on_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(report)?;
        text.push('\n');
        if on_stdout {
            print(&text)?;
        } else {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    if let Some(path) = &args.html {
        fs::write(path, html::render(report))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if !on_stdout {
        print(&table::render(report))?;
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
