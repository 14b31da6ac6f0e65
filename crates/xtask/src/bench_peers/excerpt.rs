//! README's copy of the table, between two markers. Never touches anything outside of them.

use anyhow::{Context, Result};

/// The marker lines.
const BEGIN: &str = "<!-- peers: begin -->";
const END: &str = "<!-- peers: end -->";

/// The parts before, between and after the markers.
fn split(document: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (inside, after) = rest.split_once(END)?;
    Some((before, inside.trim(), after))
}

/// The document with `excerpt` between the markers.
pub fn replace(document: &str, excerpt: &str) -> Result<String> {
    let (before, _, after) = split(document)
        .with_context(|| format!("there is no `{BEGIN}` with a `{END}` after it"))?;
    Ok(format!("{before}{}{after}", marked(excerpt)))
}

/// An excerpt with its markers.
pub fn marked(excerpt: &str) -> String {
    format!("{BEGIN}\n{excerpt}\n{END}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::checkout::Checkout;

    fn find(document: &str) -> Option<&str> {
        split(document).map(|(_, inside, _)| inside)
    }

    #[test]
    fn what_is_between_the_markers_is_replaced() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(find(&document), Some("old"));
        let renewed = replace(&document, "new\nlines").unwrap();
        assert_eq!(renewed, format!("a\n{BEGIN}\nnew\nlines\n{END}\nb\n"));
        assert_eq!(find("a\n"), None);
        assert!(replace(&format!("{END}{BEGIN}"), "new").is_err());
    }

    #[test]
    fn readme_shows_the_table_that_was_measured() {
        let checkout = Checkout::of_this_crate();
        let readme = fs::read_to_string(checkout.path("README.md")).unwrap();
        let shown = find(&readme).expect("README.md has the markers");
        // Before the first run there are no results.
        let results = fs::read_to_string(checkout.path("benches/peers/RESULTS.md"));
        let measured = results.as_deref().map_or("", |text| find(text).expect("its markers"));
        assert_eq!(shown, measured, "`cargo xtask bench-peers` writes both");
    }
}
