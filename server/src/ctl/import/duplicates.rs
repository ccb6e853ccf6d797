//! How many rows of an import have the series and time of another of its rows: in a replacing merge mode they
//! replace one another, which a wrong mode or a forgotten tag shows by.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows that are compared, at most: 128 MiB of hashes.
const COMPARED_ROWS_MAX: usize = 16 << 20;

/// Hashes of (series, time). Two rows share one by accident about once in 100,000 full counts.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    hashes: Vec<u64>,
    is_cut: bool,
}

impl Duplicates {
    /// Takes in a row.
    pub(super) fn add<'a>(
        &mut self,
        table: &str,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
        time: i64,
    ) {
        if self.hashes.len() >= COMPARED_ROWS_MAX {
            self.is_cut = true;
            return;
        }
        let mut hasher = DefaultHasher::new();
        table.hash(&mut hasher);
        for tag in tags {
            tag.hash(&mut hasher);
        }
        time.hash(&mut hasher);
        self.hashes.push(hasher.finish());
    }

    /// Rows that another one replaced, and whether some rows were not compared.
    pub(super) fn count(mut self) -> (u64, bool) {
        let all = self.hashes.len();
        self.hashes.sort_unstable();
        self.hashes.dedup();
        ((all - self.hashes.len()) as u64, self.is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_series_and_time_count_once() {
        let mut duplicates = Duplicates::default();
        for (tag, time) in [("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 1)] {
            duplicates.add("t", [("symbol", tag)].into_iter(), time);
        }
        duplicates.add("u", [("symbol", "a")].into_iter(), 1);
        assert_eq!(duplicates.count(), (2, false));
    }
}
