//! A small memory and much data: every step works or is refused as overloaded, and gives back what it took.

use chronolith_codec::TextBuf;

use super::*;
use crate::model::{
    Column, ColumnData, FieldColumn, FieldType, OnPressure, TableRows, TagColumn, TagValues,
};
use crate::read::{AggregateFunction, AggregateRequest, Bucket};

const LIMIT_BYTES: usize = 8 << 20;
const SECOND_NS: i64 = 1_000_000_000;

fn small(vfs: &SimVfs) -> Options {
    let options = options(vfs, 1);
    Options {
        memory_bytes: Some(LIMIT_BYTES),
        background: true,
        window_rows_min: 50_000,
        ..options
    }
}

/// Rows of `table` from the number `first` on, in `series_count` series, with a text and `wide` numbers.
fn rows(table: &str, first: i64, count: i64, series_count: i64, wide: usize) -> TableRows {
    let numbers: Vec<i64> = (first..first + count).collect();
    // Every other row comes late, by up to 50 s.
    let time = numbers.iter().map(|at| at * SECOND_NS - (at % 2) * (at % 50) * SECOND_NS);
    let codes = numbers.iter().map(|at| u32::try_from(at.rem_euclid(series_count)).unwrap());
    let texts: TextBuf =
        numbers.iter().map(|at| if at % 3 == 0 { "some text of a row" } else { "" }).collect();
    let field = |name: String, field_type, data| FieldColumn {
        name,
        field_type,
        column: Column::new(data, None),
    };
    let of = |at: usize| field(format!("n{at}"), FieldType::I64, ColumnData::I64(numbers.clone()));
    let mut fields: Vec<FieldColumn> = (0..wide).map(of).collect();
    fields.push(field("text".into(), FieldType::Utf8, ColumnData::Utf8(texts)));
    TableRows {
        table: table.into(),
        create_if_missing: Some(TableOptions {
            tags: vec!["tag".into()],
            merge: MergeMode::Append,
            ..TableOptions::default()
        }),
        time: time.collect(),
        tags: vec![TagColumn {
            name: "tag".into(),
            values: TagValues::Dictionary {
                codes: codes.collect(),
                values: (0..series_count).map(|at| format!("series {at:06}")).collect(),
            },
        }],
        fields,
    }
}

fn count(db: &Db, table: &str) -> u64 {
    let scan = db.scan(&ScanRequest::new(table)).unwrap();
    scan.map(|batch| batch.unwrap().row_count() as u64).sum()
}

/// Rows in all buckets of a second, of every series.
fn bucketed(db: &Db, table: &str) -> u64 {
    let functions = [AggregateFunction::First, AggregateFunction::Max, AggregateFunction::Sum];
    let request = AggregateRequest {
        scan: ScanRequest::new(table),
        bucket: Some(Bucket::new(SECOND_NS)),
        functions: functions.map(|function| (function, "n0".to_owned())).to_vec(),
    };
    let batches = db.aggregate(&request).unwrap();
    batches.map(|batch| batch.unwrap().row_count.iter().sum::<u64>()).sum()
}

#[test]
fn a_small_memory_takes_much_data_of_every_shape() {
    let vfs = SimVfs::new(3);
    let db = Db::open(small(&vfs)).unwrap();
    // (table, rows a batch, batches, series, numbers)
    let shapes = [
        ("narrow", 5_000, 16, 200, 1),
        ("one", 5_000, 16, 1, 2),
        ("many", 2_000, 8, 16_000, 1),
        ("wide", 200, 6, 3, 200),
    ];
    let mut merged = 0;
    for (table, batch_rows, batches, series, wide) in shapes {
        for at in 0..batches {
            let rows = rows(table, at * batch_rows, batch_rows, series, wide);
            db.write(Batch::new().with(rows)).unwrap();
        }
        let rows = u64::try_from(batch_rows * batches).unwrap();
        assert_eq!((count(&db, table), bucketed(&db, table)), (rows, rows), "{table}, in memory");
        db.flush().unwrap();
        assert_eq!((count(&db, table), bucketed(&db, table)), (rows, rows), "{table}, flushed");
        match db.compact() {
            Ok(_) => merged += 1,
            // Such as the indexes of many series.
            Err(Error::Overloaded { what, .. }) => assert!(what.contains("a merge"), "{what}"),
            Err(error) => panic!("{table}: {error}"),
        }
        assert_eq!((count(&db, table), bucketed(&db, table)), (rows, rows), "{table}, merged");
    }
    assert!(merged > 0, "nothing was merged");
    let stats = db.stats();
    assert!(stats.memory_peak_bytes <= LIMIT_BYTES as u64, "{stats:?}");
    assert!(stats.memory_peak_bytes > LIMIT_BYTES as u64 / 4, "{stats:?}");
    assert_eq!(stats.memory_used_bytes, 0, "{stats:?}");
    assert_eq!(db.verify().unwrap().damage, []);
    db.close().unwrap();
}

#[test]
fn reads_that_take_all_memory_are_refused_and_stop_no_write() {
    let vfs = SimVfs::new(4);
    let db = Db::open(small(&vfs)).unwrap();
    db.write(Batch::new().with(rows("t", 0, 4_000, 10, 4))).unwrap();
    db.flush().unwrap();
    db.write(Batch::new().with(rows("t", 4_000, 4_000, 10, 4))).unwrap();
    let mut open = Vec::new();
    let error = loop {
        let mut scan = db.scan(&ScanRequest::new("t")).unwrap();
        match scan.next().unwrap() {
            Ok(_) => open.push(scan),
            Err(error) => break error,
        }
        assert!(open.len() < 1_000, "no read is refused");
    };
    let Error::Overloaded { what, used, limit } = &error else { panic!("{error}") };
    assert!(what.contains("a read of table \"t\"") && used <= limit, "{error}");
    assert!(db.stats().memory_by_user.reads_bytes > 0);
    // Rows in memory stay as long as a reader has them: what is written from here on goes elsewhere.
    db.flush().unwrap();
    for at in 2..30 {
        db.write(Batch::new().with(rows("t", at * 4_000, 4_000, 10, 4))).unwrap();
    }
    db.flush().unwrap();
    let seen: u64 =
        open.pop().map(|scan| scan.map(|one| one.unwrap().row_count() as u64).sum()).unwrap();
    assert!(seen > 0, "a read that runs goes on");
    drop(open);
    assert_eq!(count(&db, "t"), 120_000);
    assert_eq!(db.stats().memory_used_bytes, 0);
    db.close().unwrap();
}

#[test]
fn many_reads_at_once_take_less_each() {
    let vfs = SimVfs::new(5);
    let db = Db::open(Options { memory_bytes: Some(64 << 20), ..small(&vfs) }).unwrap();
    db.write(Batch::new().with(rows("t", 0, 100_000, 2, 4))).unwrap();
    db.flush().unwrap();
    let mut open = Vec::new();
    for at in 0..32 {
        let mut scan = db.scan(&ScanRequest::new("t")).unwrap();
        let rows = scan.next().unwrap().unwrap_or_else(|error| panic!("read {at}: {error}"));
        open.push((rows.row_count() as u64, scan));
    }
    for (first, scan) in open {
        let rest: u64 = scan.map(|batch| batch.unwrap().row_count() as u64).sum();
        assert_eq!(first + rest, 100_000);
    }
    assert_eq!(db.stats().memory_used_bytes, 0);
    db.close().unwrap();
}

/// One series with long texts, in batches of 100 rows whose times lie between those of other flushes.
fn long_texts(first: i64, len: usize) -> Batch {
    let mut builder = RowBuilder::new("texts").create_if_missing(table(MergeMode::Append));
    for at in 0..100 {
        // Digits that no encoding makes short.
        let mut state = (first + at).unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut text = String::new();
        while text.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{:x}", state >> 20));
        }
        builder.push(at * 16 + first, &[("symbol", "A")], &[("text", Value::Utf8(text))]);
    }
    Batch::new().with(builder.build().unwrap())
}

#[test]
fn overlapping_segments_of_long_texts_are_read_and_merged() {
    let vfs = SimVfs::new(1);
    let db = Db::open(Options { background: false, ..options(&vfs, 1) }).unwrap();
    for flush in 0..8 {
        for batch in 0..3 {
            db.write(long_texts(flush + batch * 1_600, 3_200)).unwrap();
        }
        db.flush().unwrap();
        assert_eq!(count(&db, "texts"), (u64::try_from(flush).unwrap() + 1) * 300);
    }
    let report = db.compact().unwrap();
    assert_eq!((report.segments_before, report.segments_after), (8, 1));
    assert_eq!(count(&db, "texts"), 2_400);
    assert_eq!(db.stats().memory_used_bytes, 0);
}

#[test]
fn new_series_ask_for_a_flush_before_memory_is_full() {
    let vfs = SimVfs::new(1);
    let db = Db::open(Options { background: false, ..options(&vfs, 1) }).unwrap();
    let mut refused = 0;
    let mut asked = false;
    for batch in 0..400 {
        let mut builder = RowBuilder::new("ticks").create_if_missing(table(MergeMode::Append));
        for at in 0..500 {
            let symbol = format!("symbol {batch} {at}");
            builder.push(batch, &[("symbol", &symbol)], &[("price", Value::F64(1.0))]);
        }
        let batch = Batch::new().with(builder.build().unwrap()).on_pressure(OnPressure::Refuse);
        match db.submit(batch) {
            Ok(ticket) => drop(ticket.wait().unwrap()),
            Err(_) => refused += 1,
        }
        asked = db.inner.maintenance.pipeline.wants_flush();
        if asked {
            break;
        }
    }
    assert!(asked, "no flush was asked for");
    assert_eq!(refused, 0);
}
