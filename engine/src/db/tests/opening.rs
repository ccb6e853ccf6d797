//! What opens, what does not, and what is said: foreign and empty folders, other versions, locks.

use std::path::{Path, PathBuf};

use super::*;
use crate::format::frame;
use crate::model::FileId;
use crate::vfs::{OsVfs, Vfs, publish_file};

fn error_of(result: Result<Db>) -> Error {
    result.map(|_| ()).unwrap_err()
}

fn on_os(dir: &Path) -> Options {
    Options { memory_bytes: Some(64 << 20), log_prepare_bytes: 4096, ..Options::new(dir) }
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let error = error_of(Db::open_read_only(on_os(&path)));
    assert!(
        matches!(&error, Error::NotADatabase { detail, .. } if detail.contains("no such")),
        "{error}"
    );
    let error = error_of(Db::open(on_os(&path).existing()));
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    assert!(!path.exists(), "looking makes nothing");
    OsVfs.create_dir_all(&path).unwrap();
    for error in
        [error_of(Db::open_read_only(on_os(&path))), error_of(Db::open(on_os(&path).existing()))]
    {
        assert!(
            matches!(&error, Error::NotADatabase { detail, .. } if detail.contains("empty")),
            "{error}"
        );
    }
    assert!(OsVfs.list(&path).unwrap().is_empty());
    publish_file(&OsVfs, &path.join("ticks.csv"), b"a,b\n").unwrap();
    for result in [Db::open(on_os(&path)), Db::open_read_only(on_os(&path))] {
        let text = error_of(result).to_string();
        assert!(
            text.contains("is not a chronolith database") && text.contains("ticks.csv"),
            "{text}"
        );
    }
    assert_eq!(OsVfs.list(&path).unwrap(), ["ticks.csv"]);
    let file = dir.path().join("file");
    publish_file(&OsVfs, &file, b"x").unwrap();
    assert!(Db::open(on_os(&file)).is_err() && Db::open_read_only(on_os(&file)).is_err());
    assert_eq!(OsVfs.map(&file).unwrap().bytes(), b"x");
    // What a fresh disk holds is no obstacle.
    let disk = dir.path().join("disk");
    OsVfs.create_dir_all(&disk.join("lost+found")).unwrap();
    Db::open(on_os(&disk)).unwrap().close().unwrap();
}

#[test]
fn one_writer_or_many_readers_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(on_os(dir.path())).unwrap();
    db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
    let id = std::process::id().to_string();
    for result in [Db::open(on_os(dir.path())), Db::open_read_only(on_os(dir.path()))] {
        let error = error_of(result);
        let Error::Locked { holder, path } = &error else { panic!("{error}") };
        assert!(holder.contains(&id), "{error}");
        assert!(path.starts_with(dir.path()), "{error}");
    }
    drop(db);
    let first = Db::open_read_only(on_os(dir.path())).unwrap();
    let second = Db::open_read_only(on_os(dir.path())).unwrap();
    assert_eq!((all(&first).len(), all(&second).len()), (1, 1));
    let error = error_of(Db::open(on_os(dir.path())));
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    for error in [
        first.write(Batch::new()).map(|_| ()).unwrap_err(),
        first.submit(Batch::new()).map(|_| ()).unwrap_err(),
        first.flush().unwrap_err(),
        first.compact().map(|_| ()).unwrap_err(),
        first.create_table("t", TableOptions::default()).map(|_| ()).unwrap_err(),
        first.drop_table("ticks").map(|_| ()).unwrap_err(),
        first.delete("ticks", &Predicate::all(), TimeRange::ALL).map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::ReadOnly(_)), "{error}");
    }
    first.close().unwrap();
    assert!(Db::open(on_os(dir.path())).is_err(), "the second reader is still there");
    drop(second);
    Db::open(on_os(dir.path())).unwrap();
}

fn files_in(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in OsVfs.list(dir).unwrap() {
        let path = dir.join(name);
        if path.is_dir() {
            found.extend(files_in(&path));
        } else {
            let bytes = OsVfs.map(&path).unwrap().bytes().to_vec();
            found.push((path, bytes));
        }
    }
    found
}

#[test]
fn who_only_looks_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(on_os(dir.path())).unwrap();
    db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
    db.flush().unwrap();
    db.write(rows(MergeMode::Append, &[(2, "A", 2.0)])).unwrap();
    drop(db);
    let before = files_in(dir.path());
    for writable in [false, true] {
        let open = if writable { Db::open } else { Db::open_read_only };
        let db = open(on_os(dir.path())).unwrap();
        assert_eq!(all(&db).len(), 2);
        assert_eq!(db.verify().unwrap().damage, []);
        db.close().unwrap();
        let after = files_in(dir.path());
        let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            files.iter().map(|(path, _)| path.clone()).collect()
        };
        assert_eq!(names(&after), names(&before), "writable: {writable}");
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b);
        let changed: Vec<_> = changed.map(|(a, _)| a.0.file_name().unwrap().to_owned()).collect();
        assert!(changed.iter().all(|name| name == "LOCK"), "writable: {writable}: {changed:?}");
    }
}

/// The little-endian version behind the magic of a file, replaced, with the checksum that belongs to it.
fn as_version(bytes: &mut [u8], version: u32, file_id: FileId, ext: &str) {
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    match ext {
        "log" => {
            let crc = frame::seal(file_id, 0, version, &bytes[..508]);
            bytes[508..512].copy_from_slice(&crc.to_le_bytes());
        }
        "seg" => {
            let crc = frame::seal(file_id, 0, version, &bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        }
        _ => {
            let end = bytes.len() - 32;
            let hash = *blake3::hash(&bytes[..end]).as_bytes();
            bytes[end..].copy_from_slice(&hash);
        }
    }
}

#[test]
fn a_file_of_another_version_is_named_with_both_versions() {
    for ext in ["edit", "log", "seg"] {
        let vfs = SimVfs::new(1);
        let db = Db::open(options(&vfs, 1)).unwrap();
        db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
        db.flush().unwrap();
        db.write(rows(MergeMode::Append, &[(2, "A", 1.0)])).unwrap();
        db.close().unwrap();
        let paths = vfs.paths();
        let path =
            paths.iter().rfind(|path| path.extension().is_some_and(|one| one == ext)).unwrap();
        let mut bytes = vfs.read_raw(path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let id = stem.rsplit('-').next().unwrap();
        let id = FileId(u128::from_str_radix(id, 16).unwrap());
        as_version(&mut bytes, 77, id, ext);
        vfs.write_raw(path, &bytes).unwrap();
        let found = match ext {
            "seg" => {
                let db = Db::open(options(&vfs, 2)).unwrap();
                db.scan(&ScanRequest::new("ticks")).map(|_| ()).unwrap_err()
            }
            _ => error_of(Db::open(options(&vfs, 2))),
        };
        let Error::UnsupportedVersion { path: named, found, supported } = &found else {
            panic!("{ext}: {found}")
        };
        assert_eq!((named, *found, *supported), (path, 77, 0), "{ext}");
    }
}

#[test]
fn figures_are_what_was_done() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    assert_eq!(db.stats().tables, []);
    db.write(rows(MergeMode::LastRow, &[(20, "B", 2.0), (10, "A", 1.0), (10, "A", 2.0)])).unwrap();
    let stats = db.stats();
    let ticks = &stats.tables[0];
    assert_eq!((ticks.name.as_str(), ticks.row_count, ticks.memory_rows), ("ticks", 3, 3));
    assert_eq!(
        (ticks.series_count, ticks.segment_count, ticks.times),
        (Some(2), 0, Some((10, 20)))
    );
    assert!(stats.memtable_bytes > 0 && stats.memory_used_bytes > 0 && stats.log_bytes > 0);
    db.flush().unwrap();
    db.delete("ticks", &Predicate::tag("symbol", "B"), TimeRange::ALL).unwrap();
    db.write(rows(MergeMode::LastRow, &[(5, "C", 2.0)])).unwrap();
    let stats = db.stats();
    let ticks = &stats.tables[0];
    assert_eq!((ticks.row_count, ticks.memory_rows, ticks.segment_count), (4, 1, 1));
    assert_eq!((ticks.times, ticks.tombstone_count), (Some((5, 20)), 1));
    let on_disk: usize = vfs
        .paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|one| one == "seg"))
        .map(|path| vfs.read_raw(path).unwrap().len())
        .sum();
    assert_eq!(ticks.segment_bytes, on_disk as u64);
    assert_eq!(stats.sequence, db.snapshot().sequence());
    assert_eq!(stats.durable_sequence, stats.sequence);
    assert_eq!(stats.poisoned, None);
    let id = stats.database_id;
    drop(db);
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert_eq!(db.stats().database_id, id);
    let report = db.verify().unwrap();
    assert!(report.file_count >= 4 && report.byte_count > on_disk as u64, "{report:?}");
}
