//! Writes generated ticks into a fresh database, then flushes, merges, opens and scans it; prints one figure a line, beside the probe.
//! `ingest DIR [ROWS]`: DIR must not exist; it is removed at the end.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use chronolith_engine::model::{
    Batch, Column, ColumnData, FieldColumn, FieldType, TableOptions, TableRows, TagColumn,
    TagValues,
};
use chronolith_engine::read::{AggregateFunction, AggregateRequest, Bucket, ScanRequest};
use chronolith_engine::rng::{Rng, SeededRng};
use chronolith_engine::{Db, Options, Result};

const SYMBOLS: u32 = 1_000;
const BATCH_ROWS: usize = 64 << 10;
const MICROSECOND_NS: i64 = 1_000;

/// A day of ticks: random symbols, prices on a walk of cents, sizes of round lots.
struct Ticks {
    rng: SeededRng,
    time: i64,
    cents: Vec<i64>,
    symbols: Vec<String>,
}

impl Ticks {
    fn new(seed: u64) -> Self {
        Self {
            rng: SeededRng::new(seed),
            time: 1_700_000_000_000_000_000,
            cents: vec![10_000; SYMBOLS as usize],
            symbols: (0..SYMBOLS).map(|at| format!("SYM{at:04}")).collect(),
        }
    }

    fn batch(&mut self, rows: usize) -> Batch {
        let (mut time, mut codes) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let (mut price, mut size) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for _ in 0..rows {
            let bits = self.rng.next_u64();
            self.time += (bits % 3_456) as i64 * MICROSECOND_NS;
            let code = u32::try_from((bits >> 32) % u64::from(SYMBOLS)).unwrap_or(0);
            let steps = [-1, 0, 0, 1];
            let step = steps.get((bits >> 12) as usize % 4).copied().unwrap_or(0);
            let cents = self.cents.get_mut(code as usize);
            let cents = cents.map_or(0, |cents| {
                *cents = (*cents + step).max(1);
                *cents
            });
            time.push(self.time);
            codes.push(code);
            price.push(cents as f64 / 100.0);
            size.push(((bits >> 20) % 100) as i64 * 10 + 10);
        }
        let field = |name: &str, field_type, data| FieldColumn {
            name: name.into(),
            field_type,
            column: Column::new(data, None),
        };
        let options = TableOptions { tags: vec!["symbol".into()], ..TableOptions::default() };
        Batch::new().with(TableRows {
            table: "ticks".into(),
            create_if_missing: Some(options),
            time,
            tags: vec![TagColumn {
                name: "symbol".into(),
                values: TagValues::Dictionary { codes, values: self.symbols.clone() },
            }],
            fields: vec![
                field("price", FieldType::F64, ColumnData::F64(price)),
                field("size", FieldType::I64, ColumnData::I64(size)),
            ],
        })
    }
}

fn timed<T>(what: &str, rows: u64, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = run()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {seconds:.3} s, {:.2} M rows/s", rows as f64 / seconds / 1e6);
    Ok(done)
}

fn run(dir: &Path, rows: u64) -> Result<()> {
    let mut ticks = Ticks::new(7);
    let batches = usize::try_from(rows).unwrap_or(0).div_ceil(BATCH_ROWS);
    let batches: Vec<Batch> = (0..batches).map(|_| ticks.batch(BATCH_ROWS)).collect();
    let rows = (batches.len() * BATCH_ROWS) as u64;
    let db = Db::open(Options::new(dir))?;
    timed("durable bulk write", rows, || {
        batches.into_iter().try_for_each(|batch| db.write(batch).map(|_| ()))
    })?;
    timed("flush of the rest", rows, || db.flush())?;
    let bytes = |db: &Db| db.stats().tables.iter().map(|table| table.segment_bytes).sum::<u64>();
    println!("after flush: {:.2} bytes a row", bytes(&db) as f64 / rows as f64);
    scan_all(&db, rows)?;
    timed("merge", rows, || db.compact())?;
    println!("after merge: {:.2} bytes a row", bytes(&db) as f64 / rows as f64);
    db.close()?;
    drop(db);
    let start = Instant::now();
    let db = Db::open(Options::new(dir))?;
    println!("open: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    scan_all(&db, rows)?;
    let request = AggregateRequest {
        scan: ScanRequest::new("ticks"),
        bucket: Some(Bucket::new(60_000_000_000)),
        functions: [
            AggregateFunction::First,
            AggregateFunction::Max,
            AggregateFunction::Min,
            AggregateFunction::Last,
        ]
        .map(|function| (function, "price".to_owned()))
        .to_vec(),
    };
    let bars = timed("one-minute bars of all", rows, || {
        db.aggregate(&request)?.try_fold(0, |sum, batch| Ok(sum + batch?.bucket_count()))
    })?;
    println!("bars: {bars}");
    timed("latest of all", u64::from(SYMBOLS), || db.latest(&ScanRequest::new("ticks")))?;
    Ok(())
}

fn scan_all(db: &Db, rows: u64) -> Result<()> {
    let found = timed("scan of all", rows, || {
        db.scan(&ScanRequest::new("ticks"))?
            .try_fold(0, |sum, batch| Ok(sum + batch?.row_count() as u64))
    })?;
    println!("rows found: {found} of {rows}");
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(dir) = arguments.next() else {
        eprintln!("usage: ingest DIR [ROWS]");
        return ExitCode::from(2);
    };
    let rows = arguments.next().and_then(|rows| rows.parse().ok()).unwrap_or(8_000_000);
    let dir = Path::new(&dir);
    if let Some(Ok(probe)) = dir.parent().map(chronolith_bench::probe::run) {
        println!("{probe}");
    }
    let done = run(dir, rows);
    let _ = std::fs::remove_dir_all(dir);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ingest: {error}");
            ExitCode::FAILURE
        }
    }
}
