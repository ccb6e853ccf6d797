//! The embedded database in one page: create a table, write a batch, read it back, make bars.
#![allow(clippy::print_stdout, clippy::indexing_slicing)]

use chronolith_engine::model::{Batch, FieldType, RowBuilder, TableOptions};
use chronolith_engine::read::{AggregateFunction, AggregateRequest, Bucket, ScanRequest};
use chronolith_engine::{Db, Options, Result};

/// Nanoseconds: every time is a count of them since 1970, in UTC.
const SECOND: i64 = 1_000_000_000;

fn main() -> Result<()> {
    run("market-data".as_ref())
}

/// Everything happens in the directory `dir`, which is made when it is missing.
pub(crate) fn run(dir: &std::path::Path) -> Result<()> {
    let db = Db::open(Options::new(dir))?;

    // A table has a time, tags (text that names a series) and typed fields.
    if !db.table_names().contains(&"trades".to_owned()) {
        let options = TableOptions {
            tags: vec!["symbol".into()],
            fields: vec![("price".into(), FieldType::F64), ("size".into(), FieldType::I64)],
            ..TableOptions::default()
        };
        db.create_table("trades", options)?;
    }

    // A batch is seen whole or not at all. `write` returns once it is synced to the disk. The producer's
    // number makes a repetition harmless: after a crash, send the last batch again.
    let mut rows = RowBuilder::new("trades");
    let start = 1_704_096_000 * SECOND; // 2024-01-01T08:00:00Z
    for (second, price, size) in [(0, 101.25, 200_i64), (30, 101.5, 100), (61, 101.0, 300)] {
        let fields = [("price", price.into()), ("size", size.into())];
        rows.push(start + second * SECOND, &[("symbol", "ACME")], &fields);
    }
    let outcome = db.write(Batch::new().with(rows.build()?).producer("feed-1", 1))?;
    assert!(outcome.row_count == 3 || outcome.already_applied);

    // A snapshot never changes, whatever is written meanwhile. Scans give columns, batch by batch.
    let snapshot = db.snapshot();
    for batch in snapshot.scan(&ScanRequest::new("trades").columns(&["price"]))? {
        let batch = batch?;
        for series in &batch.series {
            for row in series.rows.clone() {
                let (symbol, time) = (series.key.tag(0), batch.time()[row]);
                println!("{symbol} at {time} ns: {}", batch.value(0, row));
            }
        }
    }

    // One-minute bars of every symbol.
    let price = |function| (function, "price".to_owned());
    let bars = snapshot.aggregate(&AggregateRequest {
        scan: ScanRequest::new("trades"),
        bucket: Some(Bucket::new(60 * SECOND)),
        functions: vec![price(AggregateFunction::First), price(AggregateFunction::Last)],
    })?;
    let mut bar_count = 0;
    for batch in bars {
        let batch = batch?;
        for series in &batch.series {
            for bar in series.rows.clone() {
                let (symbol, time) = (series.key.tag(0), batch.bucket_ns[bar]);
                let (open, close) = (batch.value(0, bar), batch.value(1, bar));
                println!("{symbol} from {time} ns: opens {open}, closes {close}");
            }
        }
        bar_count += batch.bucket_count();
    }
    assert_eq!(bar_count, 2);

    db.close()
}
