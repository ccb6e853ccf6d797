//! Repair: what of a damaged segment and a damaged log is kept, what is named, what is set aside.

use std::path::{Path, PathBuf};

use super::*;
use crate::limits::PAGE_ROWS;
use crate::manifest::Change;

const ROWS: i64 = 10_000;

/// A table of two series, `A` with 6,000 rows and `B` with 4,000, in one segment.
fn filled() -> (SimVfs, PathBuf) {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    let mut builder = RowBuilder::new("ticks").create_if_missing(table(MergeMode::Append));
    for row in 0..ROWS {
        let symbol = if row < 6_000 { "A" } else { "B" };
        let fields = [("price", Value::F64((row * 7 % 1_001) as f64)), ("size", Value::I64(row))];
        builder.push(row, &[("symbol", symbol)], &fields);
    }
    let batch = Batch::new().with(builder.build().unwrap()).producer("p", 1);
    db.write(batch).unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    let path = vfs.paths().into_iter().find(|path| is(path, "seg")).unwrap();
    (vfs, path)
}

fn is(path: &Path, ext: &str) -> bool {
    path.extension().is_some_and(|one| one == ext) && !path.starts_with("/db/quarantine")
}

/// Where each page of the column `size` lies.
fn pages(vfs: &SimVfs, column: &str) -> Vec<u64> {
    let db = Db::open_read_only(options(vfs, 2)).unwrap();
    let snapshot = db.snapshot();
    let schema = snapshot.table("ticks").unwrap();
    let field = schema.fields.iter().find(|field| field.name == column).unwrap();
    let view = snapshot.view().table(schema.id);
    let reader = view.segments[0].reader().unwrap();
    let block = reader.block(0, crate::segment::BlockId::Field(field.id)).unwrap().unwrap();
    block.pages.iter().map(|page| page.extent.offset).collect()
}

fn times(db: &Db) -> Vec<i64> {
    let batches = db.scan(&ScanRequest::new("ticks")).unwrap();
    batches.flat_map(|batch| batch.unwrap().time().to_vec()).collect()
}

fn run(vfs: &SimVfs, seed: u64) -> RepairReport {
    Db::repair(&options(vfs, seed), true, &mut |_| {}).unwrap()
}

#[test]
fn a_damaged_page_takes_its_rows_and_no_others() {
    let (vfs, path) = filled();
    let at = pages(&vfs, "size")[1];
    vfs.flip_bit(&path, at + 5, 2).unwrap();
    let bytes = vfs.read_raw(&path).unwrap();
    let report = run(&vfs, 3);
    let [step] = report.steps.as_slice() else { panic!("{report:?}") };
    let loss = step.loss.clone().unwrap();
    let page = PAGE_ROWS as i64;
    assert_eq!((loss.table.as_deref(), loss.row_count), (Some("ticks"), Some(PAGE_ROWS as u64)));
    // Between the last row before the page and the first behind it.
    assert_eq!((loss.range.from, loss.range.to), (page - 1, 2 * page + 1));
    let name = path.file_name().unwrap().to_str().unwrap();
    let kept_rows = Some((ROWS - page) as u64);
    assert_eq!(step.action, RepairAction::SetAside { name: name.to_owned(), kept_rows });
    assert_eq!(vfs.read_raw(&Path::new("/db/quarantine").join(name)).unwrap(), bytes);
    let note = vfs.read_raw(&Path::new("/db/quarantine").join(format!("{name}.txt"))).unwrap();
    let note = String::from_utf8(note).unwrap();
    assert!(note.contains("table: ticks") && note.contains("rows lost: 4096"), "{note}");
    let db = Db::open(options(&vfs, 4)).unwrap();
    let expected: Vec<i64> = (0..page).chain(2 * page..ROWS).collect();
    assert_eq!(times(&db), expected);
    assert_eq!(db.verify().unwrap().damage, []);
    let latest = db.latest(&ScanRequest::new("ticks")).unwrap();
    assert_eq!(latest.time(), [page - 1, ROWS - 1], "the strip of last rows is made anew");
    let [(table, known)] = db.quarantined().try_into().unwrap();
    assert_eq!((table.as_deref(), known.range), (Some("ticks"), loss.range));
    let again = db.write(rows(MergeMode::Append, &[(1, "A", 1.0)]).producer("p", 1)).unwrap();
    assert!(again.already_applied);
    assert_eq!(run_nothing(&vfs, db), RepairReport::default());
}

fn run_nothing(vfs: &SimVfs, db: Db) -> RepairReport {
    drop(db);
    run(vfs, 9)
}

#[test]
fn what_is_made_of_rows_is_made_anew() {
    let (vfs, path) = filled();
    let len = vfs.read_raw(&path).unwrap().len() as u64;
    let descriptors = {
        let last = pages(&vfs, "size");
        last[last.len() - 1]
    };
    let mut kept_count = 0;
    for offset in (0..len).filter(|at| *at < 64 || *at > descriptors) {
        let vfs = vfs.clone_running();
        vfs.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
        let report = run(&vfs, offset);
        let [step] = report.steps.as_slice() else { panic!("byte {offset}: {report:?}") };
        let db = Db::open(options(&vfs, 4)).unwrap();
        let lost = step.loss.as_ref().map_or(0, |loss| loss.row_count.unwrap());
        assert_eq!(times(&db).len() as u64, ROWS as u64 - lost, "byte {offset}");
        kept_count += u64::from(lost == 0);
        assert_eq!(db.verify().unwrap().damage, [], "byte {offset}");
    }
    // The header, the tag index, the last rows, the summary.
    assert!(kept_count > 100, "{kept_count}");
}

/// Three batches in the log, the second of which also makes a table; a flush was before the first.
fn logged() -> (SimVfs, PathBuf, Vec<u8>) {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
    db.flush().unwrap();
    db.write(rows(MergeMode::Append, &[(2, "A", 2.0)]).producer("p", 1)).unwrap();
    let mut other = RowBuilder::new("other").create_if_missing(table(MergeMode::Append));
    other.push(5, &[("symbol", "A")], &[("price", Value::F64(77.0))]);
    let both = rows(MergeMode::Append, &[(3, "A", 3.0)]).with(other.clone().build().unwrap());
    db.write(both.producer("p", 2)).unwrap();
    let mut more = RowBuilder::new("other").create_if_missing(table(MergeMode::Append));
    more.push(6, &[("symbol", "A")], &[("price", Value::F64(78.0))]);
    let both = rows(MergeMode::Append, &[(4, "A", 4.0)]).with(more.build().unwrap());
    db.write(both.producer("p", 3)).unwrap();
    db.close().unwrap();
    let path = vfs.paths().into_iter().rfind(|path| is(path, "log")).unwrap();
    let bytes = vfs.read_raw(&path).unwrap();
    (vfs, path, bytes)
}

fn flip(vfs: &SimVfs, path: &Path, bytes: &[u8], value: f64) {
    let at = bytes.windows(8).rposition(|part| part == value.to_le_bytes()).unwrap();
    vfs.flip_bit(path, at as u64, 1).unwrap();
}

#[test]
fn commits_behind_a_hole_in_the_log_are_kept_as_far_as_they_fit() {
    let (vfs, path, bytes) = logged();
    flip(&vfs, &path, &bytes, 77.0);
    assert!(Db::open(options(&vfs, 2)).is_err());
    let report = run(&vfs, 3);
    let [step] = report.steps.as_slice() else { panic!("{report:?}") };
    let loss = step.loss.clone().unwrap();
    assert_eq!((loss.commits.0.counter, loss.commits.1.counter), (3, 4), "{step:?}");
    assert!(step.found.contains("1 rows of table 2, which a lost commit made"), "{}", step.found);
    let db = Db::open(options(&vfs, 4)).unwrap();
    assert_eq!(times(&db), [1, 2, 4]);
    assert_eq!(db.table_names(), ["ticks"]);
    let sequence = db.write(rows(MergeMode::Append, &[(9, "A", 9.0)])).unwrap().sequence;
    assert_eq!((sequence.incarnation, sequence.counter), (2, 5), "no number is given twice");
    let again = db.write(rows(MergeMode::Append, &[(4, "A", 4.0)]).producer("p", 3)).unwrap();
    assert!(again.already_applied);
    assert_eq!(db.verify().unwrap().damage, []);
}

#[test]
fn damage_to_commits_that_are_in_segments_loses_nothing() {
    let vfs = SimVfs::new(1);
    let db = Db::open(options(&vfs, 1)).unwrap();
    db.write(rows(MergeMode::Append, &[(1, "A", 1.0)])).unwrap();
    db.write(rows(MergeMode::Append, &[(2, "A", 2.0)])).unwrap();
    db.flush().unwrap();
    db.write(rows(MergeMode::Append, &[(3, "A", 3.0)])).unwrap();
    db.close().unwrap();
    drop(db);
    let path = vfs.paths().into_iter().rfind(|path| is(path, "log")).unwrap();
    flip(&vfs, &path, &vfs.read_raw(&path).unwrap(), 1.0);
    let report = run(&vfs, 3);
    assert_eq!((report.steps.len(), report.loss_count()), (1, 0), "{report:?}");
    let db = Db::open(options(&vfs, 4)).unwrap();
    assert_eq!(times(&db), [1, 2, 3]);
}

#[test]
fn an_opening_moves_what_a_repair_let_go_of() {
    let (vfs, path) = filled();
    let bytes = vfs.read_raw(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let db = Db::open(options(&vfs, 2)).unwrap();
    let maintenance = &db.inner.maintenance;
    let info = Arc::clone(maintenance.manifest.version().all_segments().next().unwrap());
    let one = Quarantined {
        path: format!("quarantine/{name}"),
        reason: "a test".into(),
        table: None,
        range: TimeRange::new(0, 0),
        min_sequence: Sequence::ZERO,
        max_sequence: Sequence::ZERO,
        at_ns: 0,
    };
    let removed = Change::SegmentRemoved(info.file_id);
    maintenance.commit(&[removed, Change::Quarantined(Arc::new(one))]).unwrap();
    drop(db);
    drop(Db::open(options(&vfs, 3)).unwrap());
    assert!(vfs.read_raw(&path).is_err());
    assert_eq!(vfs.read_raw(&Path::new("/db/quarantine").join(name)).unwrap(), bytes);
}

#[test]
fn a_repair_needs_the_database_for_itself_and_a_dry_run_changes_nothing() {
    let (vfs, path) = filled();
    vfs.flip_bit(&path, 10, 1).unwrap();
    let reader = Db::open_read_only(options(&vfs, 2)).unwrap();
    let busy = Db::repair(&options(&vfs, 3), true, &mut |_| {}).unwrap_err();
    assert!(matches!(busy, Error::Locked { .. }), "{busy}");
    let hash = vfs.content_hash();
    let plan = Db::repair(&options(&vfs, 3), false, &mut |_| {}).unwrap();
    assert_eq!(vfs.content_hash(), hash);
    drop(reader);
    assert_eq!(run(&vfs, 4), plan);
}
