//! Damaged, missing, empty and cut files: what still works, and what is said.

use std::path::{Path, PathBuf};

use super::*;
use crate::error::Corruption;

/// Two tables over two segments each, and rows in the log.
fn filled() -> SimVfs {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    for part in 0..2 {
        for name in ["good", "ticks"] {
            let mut builder = RowBuilder::new(name).create_if_missing(table(MergeMode::Append));
            for row in 0..50 {
                let time = LATER_NS * part + row;
                let fields = [("price", Value::F64(row as f64)), ("size", Value::I64(row * row))];
                builder.push(time, &[("symbol", if row < 25 { "A" } else { "B" })], &fields);
            }
            db.write(Batch::new().with(builder.build().unwrap())).unwrap();
        }
        db.flush().unwrap();
    }
    db.write(rows(MergeMode::Append, &[(5, "C", 7.0)])).unwrap();
    db.write(rows(MergeMode::Append, &[(6, "C", 8.0)])).unwrap();
    db.close().unwrap();
    vfs
}

/// Ten days later: the two parts lie in windows of their own.
const LATER_NS: i64 = 864_000_000_000_000;

fn files(vfs: &SimVfs, ext: &str) -> Vec<PathBuf> {
    let paths = vfs.paths().into_iter();
    paths.filter(|path| path.extension().is_some_and(|one| one == ext)).collect()
}

/// The segments of `ticks`, by time.
fn segments_of_ticks(vfs: &SimVfs) -> Vec<PathBuf> {
    let db = Db::open_read_only(options(vfs, 9)).unwrap();
    let snapshot = db.snapshot();
    let schema = snapshot.table("ticks").unwrap();
    let table = snapshot.view().table(schema.id);
    let mut infos: Vec<_> = table.segments.iter().map(|one| Arc::clone(one.info())).collect();
    infos.sort_by_key(|info| info.min_time);
    let name = |info: &Arc<crate::segment::SegmentInfo>| {
        Path::new("/db/segments").join(crate::format::names::segment_file(info.file_id))
    };
    infos.iter().map(name).collect()
}

fn corruption(error: Error) -> Corruption {
    match error {
        Error::Corrupt(found) => *found,
        other => panic!("{other}"),
    }
}

fn count(db: &Db, request: &ScanRequest) -> Result<usize> {
    db.scan(request)?.map(|batch| batch.map(|batch| batch.row_count())).sum()
}

#[test]
fn a_damaged_segment_stops_what_needs_it_and_nothing_else() {
    for harm in ["flip", "cut", "empty", "gone"] {
        let vfs = filled();
        let segment = segments_of_ticks(&vfs).remove(0);
        let len = vfs.read_raw(&segment).unwrap().len() as u64;
        match harm {
            "flip" => vfs.flip_bit(&segment, len - 10, 3).unwrap(),
            "cut" => vfs.truncate_raw(&segment, len / 2).unwrap(),
            "empty" => vfs.truncate_raw(&segment, 0).unwrap(),
            _ => vfs.remove_raw(&segment).unwrap(),
        }
        let db = Db::open(options(&vfs, 2)).unwrap();
        assert_eq!(count(&db, &ScanRequest::new("good")).unwrap(), 100, "{harm}");
        let later = ScanRequest::new("ticks").range(TimeRange::new(LATER_NS, i64::MAX));
        assert_eq!(count(&db, &later).unwrap(), 50, "{harm}: other times of the table");
        let found = corruption(count(&db, &ScanRequest::new("ticks")).unwrap_err());
        assert_eq!(found.path, segment, "{harm}");
        let text = found.to_string();
        let part = match harm {
            "flip" => "expected",
            "cut" => "bytes",
            "empty" => "empty",
            _ => "missing",
        };
        assert!(text.contains(part), "{harm}: {text}");
        assert!(db.latest(&ScanRequest::new("ticks")).is_err());
        let report = db.verify().unwrap();
        assert!(!report.damage.is_empty());
        for part in &report.damage {
            assert_eq!(
                (part.path.as_path(), part.table.as_deref()),
                (segment.as_path(), Some("ticks"))
            );
        }
        // Writing goes on, and what can be merged is.
        db.write(rows(MergeMode::Append, &[(LATER_NS + 5, "A", 1.0)])).unwrap();
        let extra = RowBuilder::new("zzz").create_if_missing(table(MergeMode::Append));
        for part in 0..2 {
            let rows = extra.clone().row(part, &[("symbol", "A")], &[("price", Value::F64(1.0))]);
            db.write(Batch::new().with(rows.build().unwrap())).unwrap();
            db.flush().unwrap();
        }
        let error = db.compact().unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt, "{harm}: {error}");
        let merged = db.stats().tables.iter().find(|one| one.name == "zzz").unwrap().segment_count;
        assert_eq!(merged, 1, "{harm}: the tables behind the damaged one are merged too");
        drop(db);
        let db = Db::open(options(&vfs, 3)).unwrap();
        assert_eq!(count(&db, &later).unwrap(), 51);
    }
}

#[test]
fn a_flipped_bit_in_a_column_is_found_with_its_table_column_and_times() {
    let vfs = filled();
    let segment = segments_of_ticks(&vfs).remove(1);
    let len = vfs.read_raw(&segment).unwrap().len() as u64;
    let mut columns = std::collections::BTreeSet::new();
    for offset in (0..len).step_by(7) {
        vfs.flip_bit(&segment, offset, (offset % 8) as u8).unwrap();
        let db = Db::open_read_only(options(&vfs, 2)).unwrap();
        let report = db.verify().unwrap();
        assert!(!report.damage.is_empty(), "byte {offset} is not checked");
        for part in report.damage {
            assert_eq!(part.table.as_deref(), Some("ticks"), "byte {offset}: {part:?}");
            assert_eq!(part.path, segment);
            let range = part.range.unwrap();
            assert!(range.touches(LATER_NS, LATER_NS + 49), "byte {offset}: {range:?}");
            let at = part.offset.unwrap();
            assert!(at <= offset, "byte {offset}: said to be at {at}");
            if let Some(column) = part.column {
                assert_eq!((part.row_group, part.page), (Some(0), Some(0)), "byte {offset}");
                let (first, last) = part.series.unwrap();
                assert!(first <= last, "byte {offset}: {first:?} to {last:?}");
                columns.insert(column);
            }
        }
        vfs.flip_bit(&segment, offset, (offset % 8) as u8).unwrap();
    }
    assert!(columns.contains("price") && columns.contains("size"), "{columns:?}");
    assert!(columns.iter().any(|one| one.contains("time")), "{columns:?}");
}

#[test]
fn verify_finds_a_flipped_bit_in_every_kind_of_file_while_the_database_is_open() {
    let vfs = filled();
    let db = Db::open(options(&vfs, 2)).unwrap();
    db.write(rows(MergeMode::Append, &[(7, "C", 9.0)])).unwrap();
    assert_eq!(db.verify().unwrap().damage, []);
    for path in vfs.paths() {
        let name = path.to_string_lossy().into_owned();
        if name.ends_with("LOCK") || name.ends_with("RESERVE") {
            continue;
        }
        let bytes = vfs.read_raw(&path).unwrap();
        // The last byte that was written: of a log file the last group's.
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        // Zeros that fill a sector belong to nobody.
        let middle = bytes.iter().skip(last / 2).position(|byte| *byte != 0).unwrap();
        for offset in [8, last / 2 + middle, last] {
            let offset = offset as u64;
            vfs.flip_bit(&path, offset, 0).unwrap();
            let damage = db.verify().unwrap().damage;
            assert!(!damage.is_empty(), "{name}: byte {offset} of {}", bytes.len());
            let named = damage.iter().any(|part| part.path == path || part.detail.contains(&name));
            assert!(named, "{name}: {damage:?}");
            vfs.flip_bit(&path, offset, 0).unwrap();
        }
    }
    assert_eq!(db.verify().unwrap().damage, []);
}

#[test]
fn a_missing_an_empty_and_a_cut_file_are_told_apart() {
    for ext in ["log", "edit"] {
        let mut texts = Vec::new();
        for harm in ["gone", "empty", "cut"] {
            let vfs = filled();
            let path = files(&vfs, ext).pop().unwrap();
            match harm {
                "gone" if ext == "log" => vfs.remove_raw(&path).unwrap(),
                // The last edit may be missing: the one before the last may not.
                "gone" => {
                    let all = files(&vfs, ext);
                    vfs.remove_raw(&all[all.len() - 2]).unwrap();
                }
                "empty" => vfs.truncate_raw(&path, 0).unwrap(),
                _ => vfs.truncate_raw(&path, 100).unwrap(),
            }
            let error = Db::open(options(&vfs, 2)).map(|_| ()).unwrap_err();
            let found = corruption(error);
            assert!(found.path.extension().is_some_and(|one| one == ext), "{found}");
            texts.push(found.detail.clone());
        }
        assert!(texts[0].contains("missing"), "{texts:?}");
        assert!(texts[1].contains("empty"), "{texts:?}");
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        // A log file that ends within its header is told as an empty one.
        assert_eq!(distinct.len(), if ext == "log" { 2 } else { 3 }, "{ext}: {texts:?}");
    }
}

#[test]
fn damage_in_the_middle_of_the_log_refuses_writers_and_shows_readers_the_rest() {
    let vfs = filled();
    let path = files(&vfs, "log").pop().unwrap();
    let bytes = vfs.read_raw(&path).unwrap();
    // The last two batches are in the last groups before the witness: the price of the last but one.
    let at = bytes.windows(8).rposition(|part| part == 7.0_f64.to_le_bytes()).unwrap();
    vfs.flip_bit(&path, at as u64, 1).unwrap();
    let found = corruption(Db::open(options(&vfs, 2)).map(|_| ()).unwrap_err());
    assert_eq!(found.path, path);
    let reader = Db::open_read_only(options(&vfs, 2)).unwrap();
    let damage = reader.recovery().damage.clone().unwrap();
    assert!(damage.contains(path.to_str().unwrap()), "{damage}");
    assert_eq!(count(&reader, &ScanRequest::new("ticks")).unwrap(), 100, "the rows before it");
    assert_eq!(count(&reader, &ScanRequest::new("good")).unwrap(), 100);
    let report = reader.verify().unwrap();
    assert!(report.damage.iter().any(|part| part.path == path), "{report:?}");
}

#[test]
fn a_torn_tail_is_kept_aside_and_told() {
    let vfs = filled();
    let db = Db::open(options(&vfs, 2)).unwrap();
    db.write(rows(MergeMode::Append, &[(8, "C", 1.0)])).unwrap();
    let killed = vfs.clone_running();
    drop(db);
    let path = files(&killed, "log").pop().unwrap();
    let bytes = killed.read_raw(&path).unwrap();
    let at = bytes.windows(8).rposition(|part| part == 1.0_f64.to_le_bytes()).unwrap();
    killed.flip_bit(&path, at as u64, 1).unwrap();
    let db = Db::open(options(&killed, 3)).unwrap();
    let torn = db.recovery().torn_tail.clone().unwrap();
    assert_eq!(torn.0, path);
    assert_eq!(count(&db, &ScanRequest::new("ticks")).unwrap(), 102);
    assert!(!killed.paths().iter().any(|path| path.starts_with("/db/quarantine")));
    db.write(rows(MergeMode::Append, &[(9, "C", 1.0)])).unwrap();
    let kept: Vec<_> =
        killed.paths().into_iter().filter(|path| path.starts_with("/db/quarantine")).collect();
    assert_eq!(kept.len(), 1);
    assert!(killed.read_raw(&kept[0]).unwrap().windows(8).count() > 0);
    drop(db);
    let db = Db::open(options(&killed, 4)).unwrap();
    assert_eq!(db.recovery().torn_tail, None);
    assert_eq!(count(&db, &ScanRequest::new("ticks")).unwrap(), 103);
    assert_eq!(db.verify().unwrap().damage, []);
}

#[test]
fn segments_stay_where_the_manifest_lost_its_end() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    for time in 0..3 {
        db.write(rows(MergeMode::Append, &[(time, "A", 1.0)])).unwrap();
        db.flush().unwrap();
    }
    db.compact().unwrap();
    db.close().unwrap();
    drop(db);
    let with = |ending: &str| -> Vec<PathBuf> {
        vfs.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    };
    let merged = with(".seg");
    assert_eq!(merged.len(), 1);
    vfs.remove_raw(with(".edit").last().unwrap()).unwrap();
    let db = Db::open(options(&vfs, 2)).unwrap();
    assert_eq!(with(".seg"), merged, "the merged segment has the only copy of the rows");
    assert!(!db.verify().unwrap().damage.is_empty());
}
