//! Where the prompt keeps what was typed: one file, of its user alone, that several prompts share.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Statements that are kept, the newest.
pub(super) const ENTRIES_MAX: usize = 10_000;
/// How a history file begins whose entries may have several lines.
const BEGINNING: &[u8] = b"#V2\n";

/// The file, by the environment that `get` reads: `CHRONOLITH_HISTORY`, which is none where it is empty; else in
/// `XDG_STATE_HOME`, else in `~/.local/state`.
pub(super) fn path(get: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = get("CHRONOLITH_HISTORY") {
        return (!path.is_empty()).then(|| path.into());
    }
    // Relative ones are to be ignored, as the specification of base directories says.
    let absolute = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("chronolith").join("history"))
}

/// Makes the file, readable by its user alone, where there is none.
///
/// # Errors
/// The system's.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => io::Write::write_all(&mut file, BEGINNING),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_where_the_environment_says() {
        let of = |set: &[(&str, &str)]| {
            path(&|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(of(&[("CHRONOLITH_HISTORY", ""), ("HOME", "/h")]), None);
        assert_eq!(of(&[("CHRONOLITH_HISTORY", "x"), ("HOME", "/h")]), Some("x".into()));
        let in_home = Some("/h/.local/state/chronolith/history".into());
        assert_eq!(of(&[("HOME", "/h"), ("XDG_STATE_HOME", "relative")]), in_home);
        assert_eq!(
            of(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]),
            Some("/s/chronolith/history".into())
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_file_is_its_user_s_alone_and_an_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").join("b").join("history");
        prepare(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "#V2\nSELECT 1;\n").unwrap();
        prepare(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "#V2\nSELECT 1;\n");
    }
}
