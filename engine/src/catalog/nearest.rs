//! Names near a misspelt one, for error messages.

/// Names that a message offers.
const NEAREST_COUNT_MAX: usize = 5;
/// Names that are compared: a database may have a hundred thousand tables.
const COMPARED_COUNT_MAX: usize = 10_000;
/// Characters of each name that are compared.
const COMPARED_CHARS_MAX: usize = 48;

/// The names nearest to `wanted`, nearest first, then by name.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = folded(wanted);
    let mut ranked: Vec<(usize, &str)> = names
        .take(COMPARED_COUNT_MAX)
        .map(|name| (distance(&wanted, &folded(name)), name))
        .collect();
    ranked.sort_unstable();
    ranked.truncate(NEAREST_COUNT_MAX);
    ranked.into_iter().map(|(_, name)| name.to_owned()).collect()
}

fn folded(name: &str) -> Vec<char> {
    name.chars().flat_map(char::to_lowercase).take(COMPARED_CHARS_MAX).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements, by the two-row method of Wagner and Fischer (1974).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        // `diagonal` is the cell up and left, `left` the one just written.
        let (mut diagonal, mut left) = (i, i + 1);
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (cell, to) in cells.zip(b) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recursive definition.
    fn naive(a: &[char], b: &[char]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a1 @ ..], [y, b1 @ ..]) => {
                let replaced = naive(a1, b1) + usize::from(x != y);
                replaced.min(naive(a1, b) + 1).min(naive(a, b1) + 1)
            }
        }
    }

    #[test]
    fn distance_is_the_recursive_definition() {
        let words = ["", "a", "trade", "trades", "tardes", "quote", "qoute", "bar_1m"];
        for a in words.map(folded) {
            for b in words.map(folded) {
                assert_eq!(distance(&a, &b), naive(&a, &b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn nearest_come_first_and_are_few() {
        let names = ["bars", "quotes", "trade", "TRADES", "x1", "x2", "x3"];
        let found = nearest("trades", names.into_iter());
        assert_eq!(found[..2], ["TRADES".to_owned(), "trade".to_owned()]);
        assert_eq!(found.len(), NEAREST_COUNT_MAX);
    }
}
