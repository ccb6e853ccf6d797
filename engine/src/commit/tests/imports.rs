//! Imports: chunks with marks in the same atomic batch, found again after a restart.

use super::*;
use crate::commit::{IMPORT_PREFIX, IMPORTS_TABLE};
use crate::model::ImportMark;

fn name() -> String {
    format!("{IMPORT_PREFIX}abc")
}

fn chunk(number: u64, finished: bool) -> Batch {
    let rows = RowBuilder::new("t").create_if_missing(TableOptions::default());
    let rows = rows.row(number.cast_signed(), &[("tag", "a")], &[("x", Value::U64(number))]);
    Batch {
        import: Some(ImportMark {
            file: "ticks.csv".into(),
            row_count: number,
            source_row_count: number * 2,
            finished,
        }),
        ..batch(rows.build().unwrap()).producer(&name(), number)
    }
}

#[test]
fn an_import_goes_on_where_it_was() {
    let bench = Bench::new();
    assert_eq!(bench.db.import_progress(&name()).unwrap(), None);
    bench.db.write(chunk(1, false)).unwrap();
    let killed = Bench::open(bench.vfs.clone_running(), |_| {});
    let progress = killed.db.import_progress(&name()).unwrap().unwrap();
    assert_eq!((progress.chunk, progress.mark.finished), (1, false));
    assert_eq!((progress.mark.row_count, progress.mark.source_row_count), (1, 2));
    assert_eq!(progress.mark.file, "ticks.csv");
    assert_eq!(progress.commit_time_ns, 1_700_000_000_000_000_000);
    assert!(killed.db.write(chunk(1, false)).unwrap().already_applied);
    let gap = killed.db.write(chunk(3, false)).unwrap_err();
    assert!(matches!(gap, Error::SequenceGap { expected: 2, .. }), "{gap}");
    killed.db.write(chunk(2, false)).unwrap();
    killed.db.flush().unwrap();
    let bench = killed.reopen();
    bench.db.write(chunk(3, true)).unwrap();
    bench.db.compact().unwrap();
    let bench = bench.reopen();
    let progress = bench.db.import_progress(&name()).unwrap().unwrap();
    assert_eq!((progress.chunk, progress.mark.finished), (3, true));
    for number in 1..=3 {
        assert!(bench.db.write(chunk(number, true)).unwrap().already_applied, "{number}");
    }
    assert_eq!(bench.rows().len(), 3);
    assert_eq!(bench.db.import_progress("import:other").unwrap(), None);
    assert_eq!(bench.db.table_names(), ["t"], "the system's table is not shown");
    assert_eq!(rows_of(&bench.db, IMPORTS_TABLE).len(), 1, "one row an import");
}

#[test]
fn an_imports_number_is_bound_to_its_mark() {
    let bench = Bench::new();
    let nobody = Batch { producer: None, ..chunk(1, false) };
    let error = bench.db.write(nobody).unwrap_err();
    assert!(error.to_string().contains("needs a producer"), "{error}");
    // Without its mark nothing would remember the number over a restart.
    let unmarked = Batch { import: None, ..chunk(1, false) };
    let error = bench.db.write(unmarked).unwrap_err();
    assert!(error.to_string().contains(IMPORT_PREFIX), "{error}");
    let long = Batch {
        import: chunk(1, false).import.map(|mark| ImportMark { file: "f".repeat(2 << 20), ..mark }),
        ..chunk(1, false)
    };
    assert!(matches!(bench.db.write(long), Err(Error::OverLimit { .. })));
    bench.db.write(chunk(1, false)).unwrap();
}

#[test]
fn a_chunk_and_its_mark_fail_together() {
    use crate::vfs::sim::{Fault, FaultAt, IoOp};
    let bench = Bench::new();
    bench.db.write(chunk(1, false)).unwrap();
    let at = FaultAt::NthOn { op: IoOp::Write, path_part: "/wal/".into(), skip: 0 };
    bench.vfs.fail_at(at, Fault::Enospc, false);
    assert!(bench.db.write(chunk(2, false)).is_err());
    assert_eq!(bench.db.import_progress(&name()).unwrap().unwrap().chunk, 1);
    assert!(!bench.db.write(chunk(2, false)).unwrap().already_applied);
    assert!(bench.db.write(chunk(2, false)).unwrap().already_applied);
    // A reopened database knows the import by its table alone.
    let bench = bench.reopen();
    let at = FaultAt::NthOn { op: IoOp::Write, path_part: "/wal/".into(), skip: 0 };
    bench.vfs.fail_at(at, Fault::Enospc, false);
    assert!(bench.db.write(chunk(3, true)).is_err());
    assert!(bench.db.write(chunk(2, false)).unwrap().already_applied);
    assert!(!bench.db.write(chunk(3, true)).unwrap().already_applied);
    assert_eq!(bench.rows().len(), 3);
}
