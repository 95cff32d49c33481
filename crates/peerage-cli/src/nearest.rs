//! What somebody may have meant.

/// The name nearest to what was written, unless none is near.
pub(crate) fn nearest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let nearest = known.into_iter().min_by_key(|name| distance(wrong, name))?;
    let near = distance(wrong, nearest) <= wrong.len().div_ceil(2);
    near.then_some(nearest)
}

/// `; did you mean NAME?`, or nothing.
pub(crate) fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = nearest(wrong, known);
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// How many letters must be changed, added or left out (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_may_have_been_meant() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(
            hint("mainet", ["testnet", "mainnet"]),
            "; did you mean mainnet?"
        );
        assert_eq!(hint("quux", ["network", "limits"]), "");
        assert_eq!(hint("quux", []), "");
    }
}
