//! Measures `latest`: one symbol, 1,000 symbols of 2,000 rows, 200,000 series of 10 rows; from memory, after a flush, after a merge and
//! after opening anew. Prints the first answer and the median of those after it, beside the probe.
//! `latest DIR`: DIR must not exist; it is removed at the end.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chronolith_engine::model::{
    Batch, Column, ColumnData, FieldColumn, FieldType, Predicate, TableOptions, TableRows,
    TagColumn, TagValues,
};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::{Db, Options, Result};

const BATCH_ROWS: usize = 50_000;
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Rows of `series_count` series in turn, a millisecond apart.
struct Ticks {
    table: &'static str,
    series_count: usize,
    next: usize,
}

impl Ticks {
    fn batch(&mut self, rows: usize) -> Batch {
        let from = self.next;
        self.next += rows;
        let numbers = from..self.next;
        let distinct = self.series_count.min(rows);
        let values =
            numbers.clone().take(distinct).map(|row| symbol(row % self.series_count)).collect();
        let codes = (0..rows).map(|row| u32::try_from(row % distinct).unwrap_or(0)).collect();
        let field = |name: &str, field_type, data| FieldColumn {
            name: name.into(),
            field_type,
            column: Column::new(data, None),
        };
        let price = numbers.clone().map(|row| (row * 7 % 100_000) as f64 / 100.0).collect();
        let size = numbers.clone().map(|row| (row % 97) as i64 * 10).collect();
        let options = TableOptions { tags: vec!["symbol".into()], ..TableOptions::default() };
        Batch::new().with(TableRows {
            table: self.table.into(),
            create_if_missing: Some(options),
            time: numbers.map(|row| START_NS + row as i64 * 1_000_000).collect(),
            tags: vec![TagColumn {
                name: "symbol".into(),
                values: TagValues::Dictionary { codes, values },
            }],
            fields: vec![
                field("price", FieldType::F64, ColumnData::F64(price)),
                field("size", FieldType::I64, ColumnData::I64(size)),
            ],
        })
    }

    fn load(&mut self, db: &Db, rows: usize) -> Result<()> {
        for _ in 0..rows / BATCH_ROWS {
            db.write(self.batch(BATCH_ROWS))?;
        }
        Ok(())
    }
}

fn symbol(at: usize) -> String {
    format!("SYM{at:06}")
}

/// The first answer and the median of the others.
fn measure(db: &Db, what: &str, request: &ScanRequest, count: usize) -> Result<()> {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..=count {
        let start = Instant::now();
        let last = db.latest(request)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        rows = last.row_count();
    }
    let first = times.remove(0);
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(first);
    println!("  {what:<28} first {first:>11.1} us, median {median:>11.1} us ({rows} rows)");
    Ok(())
}

fn all(db: &Db, state: &str) -> Result<()> {
    println!("{state}");
    let one =
        |table: &str, at| ScanRequest::new(table).predicate(Predicate::tag("symbol", &symbol(at)));
    // The one series first: afterwards what the others found is kept.
    measure(db, "one of 1,000 symbols", &one("ticks", 500), 16)?;
    measure(db, "1,000 symbols", &ScanRequest::new("ticks"), 100)?;
    measure(db, "one of 1,000 symbols, kept", &one("ticks", 500), 1_000)?;
    measure(db, "one of 200,000 series", &one("many", 123_456), 200)?;
    measure(db, "200,000 series", &ScanRequest::new("many"), 5)?;
    measure(db, "one of 200,000 series, kept", &one("many", 123_456), 200)
}

/// How long small batches take while another thread reads everything again and again, or not.
fn beside_reader(db: &Db, ticks: &mut Ticks, read: bool) -> Result<()> {
    let stop = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        if read {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(scan) = db.scan(&ScanRequest::new("ticks")) else { return };
                    let _ = scan.count();
                }
            });
        }
        for _ in 0..3_000 {
            let batch = ticks.batch(100);
            let start = Instant::now();
            if let Err(error) = db.write(batch) {
                eprintln!("latest: {error}");
                break;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        stop.store(true, Ordering::Relaxed);
    });
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 1_000).copied().unwrap_or(0.0);
    let what = if read { "beside a reader" } else { "alone" };
    println!("  100 rows, {what}: p50 {:.1} p99 {:.1} p99.9 {:.1} us", at(500), at(990), at(999));
    Ok(())
}

fn run(dir: &Path) -> Result<()> {
    let options =
        || Options { background: false, memory_bytes: Some(3 << 30), ..Options::new(dir) };
    let mut few = Ticks { table: "ticks", series_count: 1_000, next: 0 };
    let mut many = Ticks { table: "many", series_count: 200_000, next: 0 };
    let db = Db::open(options())?;
    few.load(&db, 2_000_000)?;
    many.load(&db, 2_000_000)?;
    all(&db, "in memory")?;
    beside_reader(&db, &mut few, false)?;
    beside_reader(&db, &mut few, true)?;
    db.flush()?;
    all(&db, "after a flush")?;
    db.compact()?;
    all(&db, "after a merge")?;
    db.close()?;
    drop(db);
    let db = Db::open(options())?;
    all(&db, "after opening")
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: latest DIR");
        return ExitCode::from(2);
    };
    let dir = Path::new(&dir);
    if let Some(Ok(probe)) = dir.parent().map(chronolith_bench::probe::run) {
        println!("{probe}");
    }
    let done = run(dir);
    let _ = std::fs::remove_dir_all(dir);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latest: {error}");
            ExitCode::FAILURE
        }
    }
}
