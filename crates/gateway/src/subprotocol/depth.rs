//! How deeply JSON is nested.
//!
//! It reads text that was checked to be JSON, in one pass and without recursion.

/// Whether arrays and objects are nested at most `depth_max` levels deep; a string or a number has
/// none.
///
/// ```
/// use ringway::subprotocol::depth;
/// assert!(depth::is_within(r#"{"a":[1,"[["]}"#, 2));
/// assert!(!depth::is_within(r#"{"a":[[1]]}"#, 2));
/// ```
pub fn is_within(json: &str, depth_max: usize) -> bool {
    // Each level has two brackets.
    if json.len() / 2 <= depth_max {
        return true;
    }
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                depth += 1;
                if depth > depth_max {
                    return false;
                }
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_exactly_and_not_inside_strings() {
        let nested = |open: &str, close: &str, depth: usize| {
            format!("{}\"]}}\\\"[{{\"{}", open.repeat(depth), close.repeat(depth))
        };
        for (open, close, levels) in
            [("[", "]", 1), ("{\"[\\\\\":", "}", 1), ("[1,{\"a\":", "}]", 2)]
        {
            for depth in [1, 2, 64, 128, 129, 200_000] {
                let json = nested(open, close, depth);
                assert!(is_within(&json, depth * levels), "{open} {depth}");
                assert!(!is_within(&json, depth * levels - 1), "{open} {depth}");
            }
        }
        let wide = format!("[{}0]", "[[0]],{\"a\":[]},".repeat(1000));
        assert!(is_within(&wide, 3) && !is_within(&wide, 2));
        assert!(is_within(&format!("\"{}\"", "[".repeat(1000)), 0));
    }
}
