//! The results of a run as JSON, written after each case: an interrupted run loses nothing, and a
//! table can be printed again. Never renders.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::report::{Report, Row};

/// Writes the results in place of those that the file had.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    // An interruption leaves either the old results or the new ones.
    let beside = path.with_extension("json.new");
    fs::write(&beside, text).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))
}

pub fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("there are no saved results at {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} has another format", path.display()))
}

/// Takes over the rows of an earlier run. `order` has the names of all cases, as in the table.
///
/// # Errors
/// The earlier run cannot be continued by this one, because its figures are not comparable.
pub fn resume(report: &mut Report, earlier: Report, order: &[&str]) -> Result<()> {
    let (now, then) = (&report.machine, &earlier.machine);
    ensure!(
        (&now.processor, now.cores, &now.kernel) == (&then.processor, then.cores, &then.kernel),
        "the saved results are of another machine ({}); run without --resume",
        then.line()
    );
    ensure!(
        report.length == earlier.length,
        "the saved results are of a run of another length; run without --resume"
    );
    for one in &report.entrants {
        let before = earlier.entrants.iter().find(|entrant| entrant.name == one.name);
        ensure!(
            before.is_none_or(|before| before.version == one.version),
            "the saved results are of another version of {}; run without --resume",
            one.name
        );
    }
    report.rows = earlier.rows;
    report.rows.retain(|row| order.contains(&&row.name[..]));
    Ok(())
}

/// Puts a row in its place; an earlier one of the same case is replaced.
pub fn insert(rows: &mut Vec<Row>, row: Row, order: &[&str]) {
    rows.retain(|one| one.name != row.name);
    let place = |name: &str| order.iter().position(|one| *one == name);
    let at = rows.iter().position(|one| place(&one.name) > place(&row.name)).unwrap_or(rows.len());
    rows.insert(at, row);
}

#[cfg(test)]
mod tests {
    use super::super::report::example::report;
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let report = report();
        write(&report, &path).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(again.excerpt(), report.excerpt());
        assert_eq!(again.details(), report.details());
        fs::write(&path, "{}").unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn a_run_goes_on_where_another_one_ended() {
        let mut later = report();
        let rows = std::mem::take(&mut later.rows);
        resume(&mut later, report(), &["echo", "text"]).unwrap();
        let names = |report: &Report| -> Vec<String> {
            report.rows.iter().map(|row| row.name.clone()).collect()
        };
        assert_eq!(names(&later), ["echo", "text"], "a case that is gone is left out");
        for row in rows {
            insert(&mut later.rows, row, &["echo", "fan-out", "text"]);
        }
        assert_eq!(names(&later), ["echo", "fan-out", "text"]);
    }

    #[test]
    fn figures_of_other_machines_and_versions_are_not_mixed() {
        type Change = fn(&mut Report);
        let changes: [(Change, &str); 3] = [
            (|report| report.machine.kernel.push('1'), "another machine"),
            (|report| report.length = "quick".to_owned(), "another length"),
            (|report| report.entrants[1].version.push('1'), "another version of bun"),
        ];
        for (change, why) in changes {
            let mut earlier = report();
            change(&mut earlier);
            let error = resume(&mut report(), earlier, &[]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
