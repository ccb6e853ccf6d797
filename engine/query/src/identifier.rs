//! How names that people type find names that exist: an exact match first, else the only match without regard to case, else none or
//! several. Quoted names follow the same rule: quotes only allow other characters. The whole rule: docs/SQL.md, "Names".

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

/// What a typed name means among the names that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one.
    One(String),
    /// Several that differ in case, sorted.
    Several(Vec<String>),
    /// None.
    None,
}

/// Looks for `typed` among `names`. The same name twice counts once.
pub(crate) fn find<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Found {
    let folded = typed.to_lowercase();
    let mut several: Vec<String> = Vec::new();
    for name in names {
        if name == typed {
            return Found::One(name.to_owned());
        }
        if name.to_lowercase() == folded && !several.iter().any(|one| one == name) {
            several.push(name.to_owned());
        }
    }
    several.sort_unstable();
    match several.len() {
        0 => Found::None,
        1 => several.pop().map_or(Found::None, Found::One),
        _ => Found::Several(several),
    }
}

/// Names that exist, nearest to `typed` first, at most eight.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let folded = typed.to_lowercase();
    let mut known: Vec<&str> = names.collect();
    known.sort_unstable();
    known.dedup();
    known.sort_by_key(|name| distance(&folded, &name.to_lowercase()));
    known.into_iter().take(8).map(str::to_owned).collect()
}

/// Edits between two texts (Levenshtein), of the first 64 characters of each.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, from) in a.chars().take(64).enumerate() {
        let mut corner = above;
        let mut left = above + 1;
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (corner + usize::from(from != *to)).min(*cell + 1).min(left + 1);
            corner = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The name as it is written in a statement: in double quotes where it would be read otherwise without them.
#[must_use]
pub fn quote(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    let upper = name.to_ascii_uppercase();
    // The column that every table has reads well without quotes, and parses.
    let keyword = name != "time" && ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok();
    if plain && !keyword { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Makes `ident` the exact name, with the place in the text that it had.
pub(crate) fn set(ident: &mut Ident, name: &str) {
    if ident.value != name {
        name.clone_into(&mut ident.value);
    }
    ident.quote_style = Some('"');
}

/// The parts of a name, where all of them are plain.
pub(crate) fn parts(name: &ObjectName) -> Option<Vec<&Ident>> {
    name.0.iter().map(ObjectNamePart::as_ident).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_wins_and_case_alone_may_be_ambiguous() {
        let names = || ["t", "T", "price", "Adj Close"].into_iter();
        assert_eq!(find("t", names()), Found::One("t".into()));
        assert_eq!(find("T", names()), Found::One("T".into()));
        assert_eq!(find("PRICE", names()), Found::One("price".into()));
        assert_eq!(find("adj close", names()), Found::One("Adj Close".into()));
        assert_eq!(find("volume", names()), Found::None);
        let several = ["Bid", "BID"].into_iter();
        assert_eq!(find("bid", several), Found::Several(vec!["BID".into(), "Bid".into()]));
        assert_eq!(find("bid", ["Bid", "Bid"].into_iter()), Found::One("Bid".into()));
    }

    #[test]
    fn the_nearest_name_comes_first() {
        let names = ["volume", "price", "prices", "side"];
        assert_eq!(nearest("prise", names.into_iter()).first().map(String::as_str), Some("price"));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("ab", "ab")), (3, 3, 0));
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quote("price"), "price");
        assert_eq!(quote("Adj Close"), "\"Adj Close\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote("select"), "\"select\"");
        assert_eq!(quote("1x"), "\"1x\"");
        assert_eq!(quote("_seq"), "_seq");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("time"), "time");
    }
}
