use super::*;
use std::fs;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(b"<flushed>");
        Ok(())
    }
}

fn open(path: &Path) -> Result<Output, OutputError> {
    Output::open(Some(path), Box::new(io::sink()))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    let mut output = open(&path).unwrap();
    output.write_all(b"half").unwrap();
    assert!(!path.exists());
    assert_eq!(names(dir.path()).len(), 1);
    drop(output);
    assert!(names(dir.path()).is_empty());

    let mut output = open(&path).unwrap();
    output.write_all(b"whole").unwrap();
    output.finish().unwrap();
    assert_eq!(names(dir.path()), ["out.csv"]);
    assert_eq!(fs::read(&path).unwrap(), b"whole");

    let mut output = open(&path).unwrap();
    output.write_all(b"other").unwrap();
    drop(output);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
}

#[test]
fn two_outputs_of_one_name_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let (mut first, mut second) = (open(&path).unwrap(), open(&path).unwrap());
    first.write_all(b"1").unwrap();
    second.write_all(b"2").unwrap();
    second.finish().unwrap();
    first.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"1");
    assert_eq!(names(dir.path()), ["out"]);
}

#[cfg(unix)]
#[test]
fn links_permissions_and_devices_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    let mut output = open(&link).unwrap();
    output.write_all(b"new").unwrap();
    output.finish().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"new");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);

    let null = Path::new("/dev/null");
    let mut output = open(null).unwrap();
    output.write_all(b"gone").unwrap();
    output.finish().unwrap();
    assert!(fs::metadata(null).unwrap().file_type().is_char_device());
}

#[test]
fn refusals_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(dir.path()), Err(OutputError::Directory { .. })));
    let absent = dir.path().join("no").join("out");
    let error = open(&absent).unwrap_err();
    assert!(error.to_string().contains(absent.to_str().unwrap()), "{error}");
}

#[test]
fn without_a_file_the_writer_is_used_and_flushed() {
    for path in [None, Some(Path::new("-"))] {
        let shared = Shared::default();
        let mut output = Output::open(path, Box::new(shared.clone())).unwrap();
        output.write_all(b"rows").unwrap();
        output.finish().unwrap();
        assert_eq!(*shared.0.lock().unwrap(), b"rows<flushed>");
    }
}
