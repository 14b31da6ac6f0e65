//! Compares the report of the Autobahn suite with the cases that it was asked to run. The suite
//! exits with 0 even when no server answered, so only a complete report counts. Never accepts a
//! case that is absent or a verdict that is not listed here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The name under which the suite reports on the gateway.
pub const AGENT: &str = "ringway";

/// Cases in which the suite asks for no particular behaviour; RFC 6455 §7.1.1 and
/// §7.4.2 leave a Close after 256 KiB in flight and codes 5000 and 65535 open.
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

/// Cases that may pass as non-strict. None may: a fault is answered at once, so an entry here
/// needs a reason.
const NON_STRICT: [&str; 0] = [];

/// The client's Close carries no code, so neither does the answer (RFC 6455 §5.5.1).
const CLOSE_WITHOUT_CODE: [&str; 1] = ["7.3.1"];

/// One case in `index.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    behavior: String,
    behavior_close: String,
    remote_close_code: Option<u16>,
    reportfile: PathBuf,
}

/// One case in its own file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    description: String,
    expectation: String,
    result: Option<String>,
    result_close: Option<String>,
    expected_close: ExpectedClose,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedClose {
    close_code: Vec<u16>,
}

type Index = BTreeMap<String, BTreeMap<String, Entry>>;

/// A failed case, with the reason in full sentences.
#[derive(Debug)]
pub struct Failure {
    pub case: String,
    pub text: String,
}

/// Reads the report in `folder`; an error if it does not hold exactly `cases`.
pub fn judge(folder: &Path, cases: &[String]) -> Result<Vec<Failure>> {
    let path = folder.join("index.json");
    let mut index: Index = read(&path)?;
    let entries = index.remove(AGENT).unwrap_or_default();
    let missing: Vec<&str> =
        cases.iter().filter(|case| !entries.contains_key(*case)).map(String::as_str).collect();
    ensure!(
        missing.is_empty() && entries.len() == cases.len(),
        "the report {} holds {} cases where {} were asked for; absent: {}. \
         Either the gateway stopped answering, or the suite did not run to its end",
        path.display(),
        entries.len(),
        cases.len(),
        abridged(&missing)
    );
    let mut failures = Vec::new();
    for case in cases {
        let entry = &entries[case];
        let detail: Detail = read(&folder.join(&entry.reportfile))?;
        if let Some(fault) = fault(case, entry, &detail.expected_close) {
            failures.push(Failure { case: case.clone(), text: describe(&fault, &detail) });
        }
    }
    Ok(failures)
}

/// The fault of a case; `None` when it passed.
fn fault(case: &str, entry: &Entry, expected: &ExpectedClose) -> Option<String> {
    let informational = INFORMATIONAL.contains(&case);
    let accepted = match entry.behavior.as_str() {
        "OK" => true,
        "INFORMATIONAL" => informational,
        "NON-STRICT" => NON_STRICT.contains(&case),
        _ => false,
    };
    if !accepted {
        return Some(format!("behaviour {}", entry.behavior));
    }
    let accepted = match entry.behavior_close.as_str() {
        "OK" => true,
        "INFORMATIONAL" => informational,
        _ => false,
    };
    if !accepted {
        return Some(format!("closing {}", entry.behavior_close));
    }
    if informational {
        return None;
    }
    // The suite also accepts a dropped connection as a close, but the gateway must send the code.
    match entry.remote_close_code {
        Some(code) if expected.close_code.contains(&code) => None,
        None if CLOSE_WITHOUT_CODE.contains(&case) => None,
        Some(code) => Some(format!("closed with {code}, not {:?}", expected.close_code)),
        None => Some(format!("closed without a code, not with {:?}", expected.close_code)),
    }
}

fn describe(fault: &str, detail: &Detail) -> String {
    let mut text = fault.to_owned();
    for (label, value) in [
        ("case", Some(&detail.description)),
        ("expected", Some(&detail.expectation)),
        ("result", detail.result.as_ref()),
        ("close", detail.result_close.as_ref()),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("\n      {label}: {}", plain(value)));
        }
    }
    text
}

/// The suite writes its descriptions in HTML.
fn plain(html: &str) -> String {
    let html = ["<br/>", "<br>", "<b>", "</b>"]
        .iter()
        .fold(html.to_owned(), |text, tag| text.replace(tag, " "));
    html.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn abridged(cases: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = cases[..cases.len().min(SHOWN)].join(" ");
    if cases.len() > SHOWN {
        text.push_str(&format!(" and {} more", cases.len() - SHOWN));
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| {
        format!(
            "no report at {}; the suite did not run to its end: run again with --keep and \
             read its output in wstest.log beside it",
            path.display()
        )
    })?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a report of the suite", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    fn report(cases: &[(&str, Value)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = serde_json::Map::new();
        for (case, outcome) in cases {
            let reportfile = format!("{case}.json");
            entries.insert(
                (*case).to_owned(),
                json!({
                    "behavior": outcome[0], "behaviorClose": outcome[1],
                    "remoteCloseCode": outcome[2], "duration": 1, "reportfile": reportfile,
                }),
            );
            let detail = json!({
                "description": "Send<br/>a frame", "expectation": "An echo",
                "result": "Nothing came", "resultClose": null,
                "expectedClose": {"closeCode": [1002], "requireClean": false},
            });
            fs::write(folder.path().join(&reportfile), detail.to_string()).unwrap();
        }
        let index = json!({ AGENT: entries });
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        folder
    }

    fn failures(case: &str, outcome: Value) -> Vec<Failure> {
        let folder = report(&[(case, outcome)]);
        judge(folder.path(), &[case.to_owned()]).unwrap()
    }

    #[test]
    fn a_passed_case_passes() {
        assert!(failures("3.1", json!(["OK", "OK", 1002])).is_empty());
        assert!(failures("7.3.1", json!(["OK", "OK", null])).is_empty());
        let informational = json!(["INFORMATIONAL", "INFORMATIONAL", 1000]);
        assert!(failures("7.13.1", informational).is_empty());
    }

    #[test]
    fn a_failed_case_fails_with_its_expectation() {
        let failures = failures("3.1", json!(["FAILED", "OK", 1002]));
        assert!(failures[0].text.contains("expected: An echo"));
        assert!(failures[0].text.contains("case: Send a frame"));
    }

    #[test]
    fn late_dropped_and_unknown_verdicts_fail() {
        for outcome in [
            json!(["NON-STRICT", "OK", 1002]),
            json!(["UNIMPLEMENTED", "OK", 1002]),
            json!(["INFORMATIONAL", "INFORMATIONAL", 1002]),
            json!(["OK", "UNCLEAN", 1002]),
            json!(["OK", "WRONG CODE", 1002]),
            json!(["OK", "OK", 1000]),
            json!(["OK", "OK", null]),
        ] {
            assert_eq!(failures("3.1", outcome.clone()).len(), 1, "{outcome}");
        }
    }

    #[test]
    fn a_short_empty_or_foreign_report_is_an_error() {
        let wanted = ["3.1".to_owned(), "3.2".to_owned()];
        let short = report(&[("3.1", json!(["OK", "OK", 1002]))]);
        let error = judge(short.path(), &wanted).unwrap_err().to_string();
        assert!(error.contains("holds 1 cases where 2"), "{error}");
        assert!(error.contains("absent: 3.2"), "{error}");
        assert!(judge(report(&[]).path(), &wanted).is_err());
        let folder = tempfile::tempdir().unwrap();
        assert!(judge(folder.path(), &wanted).is_err());
        fs::write(folder.path().join("index.json"), "{}").unwrap();
        assert!(judge(folder.path(), &wanted).is_err());
    }
}
