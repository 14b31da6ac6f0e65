//! Finds the known name that an unknown name probably meant. It never decides what is known.

/// Longer names are compared with nothing: the work grows with their length, and a peer chooses it.
const NAME_BYTES_MAX: usize = 64;

/// The known name with the spelling nearest to `name`, if it is similar at all.
///
/// ```
/// use ringway::config::spelling::nearest;
/// assert_eq!(nearest("limt", ["since", "limit"]), Some("limit"));
/// assert_eq!(nearest("colour", ["since", "limit"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let distance_max = (name.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
