//! Which files a pattern means: `*` stands for any characters of one name, `?` for one. A file that is called so is meant itself.

use std::path::{Path, PathBuf};

use crate::error::{Result, SqlError, SqlErrorKind, Unknown};

/// The files that `pattern` means, by name.
///
/// # Errors
/// `Unknown(Table)` where there is none; `Invalid` for a folder.
pub(super) fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(pattern);
    if path.is_dir() {
        return Err(SqlError::invalid(format!(
            "{pattern} is a folder: name its files, such as '{}/*.csv'",
            pattern.trim_end_matches('/')
        )));
    }
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // A folder that cannot be read has no files that could be.
            let Ok(entries) = std::fs::read_dir(listed) else { continue };
            for entry in entries.flatten() {
                let entry = entry.file_name();
                let text = entry.to_string_lossy();
                let is_hidden = text.starts_with('.') && !name.starts_with('.');
                if !is_hidden && matches(&name, &text) {
                    next.push(folder.join(&entry));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found.sort();
    if found.is_empty() {
        let text = format!("there is no file {pattern:?}");
        return Err(SqlError::new(SqlErrorKind::Unknown(Unknown::Table), text));
    }
    Ok(found)
}

/// Whether `name` is one that `pattern` stands for.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star stood, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match (pattern.get(at), name.get(from)) {
            (Some('*'), _) => {
                star = Some((at, from));
                at += 1;
            }
            (Some(wanted), Some(found)) if *wanted == '?' || wanted == found => {
                (at, from) = (at + 1, from + 1);
            }
            _ => match star {
                Some((place, reached)) => {
                    (at, from) = (place + 1, reached + 1);
                    star = Some((place, reached + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, fits) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("??.x", "äb.x", true),
            ("??.x", "abc.x", false),
            ("*", "", true),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
