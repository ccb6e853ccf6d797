//! Measures small queries and last rows in process, through SQL in process, and over gRPC; then writing in a stream. Beside the probe.
//! `served DIR`: DIR must not exist; it is removed at the end. Needs the program: `cargo build --release -p chronolith -p chronolith-bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use chronolith_bench::served::Server;
use chronolith_bench::ticks::{START_NS, STEP_NS, Ticks, symbol};
use chronolith_client::v1;
use chronolith_client::{Client, Retry, Writer, WriterOptions};
use chronolith_engine::model::{Predicate, TimeRange};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::{Db, Options};
use chronolith_query::{Session, SqlEngine, SqlOptions};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SYMBOLS: usize = 1_000;
const ROWS: i64 = 5_000_000;
const BATCH_ROWS: i64 = 50_000;
/// Times that each call is measured.
const CALLS: usize = 2_000;
/// Milliseconds of ticks that a small query asks for: a hundred rows of one symbol.
const SPAN: i64 = 100_000;
/// Batches of a stream that is measured.
const STREAM_BATCHES: i64 = 200;
/// Rows of each.
const STREAM_ROWS: i64 = 10_000;

/// Nanoseconds of `count` calls, sorted.
struct Times(Vec<f64>);

impl Times {
    fn of<T>(count: usize, mut call: impl FnMut(usize) -> Outcome<T>) -> Outcome<Self> {
        let mut times = Vec::with_capacity(count);
        for at in 0..count + count / 10 {
            let start = Instant::now();
            call(at * 7919 % SYMBOLS)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        // The first ones open files and find what is kept.
        let mut times = times.split_off(count / 10);
        times.sort_by(f64::total_cmp);
        Ok(Self(times))
    }

    fn print(&self, what: &str) {
        let at = |part: usize| self.0.get(self.0.len() * part / 1_000).copied().unwrap_or(0.0);
        println!("{what:<34} p50 {:>9.1} p99 {:>9.1} us", at(500), at(990));
    }
}

/// The times of a small query about the symbol `at`.
fn span(at: usize) -> (i64, i64) {
    let from = START_NS + (at as i64 % 40) * SPAN * STEP_NS;
    (from, from + SPAN * STEP_NS)
}

fn small_sql(at: usize) -> String {
    let (from, to) = span(at);
    let micros = |ns: i64| ns / 1_000;
    let times = format!(
        "time >= to_timestamp_micros({}) AND time < to_timestamp_micros({})",
        micros(from),
        micros(to)
    );
    format!("SELECT time, price, size FROM ticks WHERE symbol = '{}' AND {times}", symbol(at))
}

fn latest_sql(at: usize) -> String {
    format!("SELECT * FROM ticks WHERE symbol = '{}' ORDER BY time DESC LIMIT 1", symbol(at))
}

fn load(dir: &Path) -> Outcome<Db> {
    let db = Db::open(Options::new(dir))?;
    let ticks = Ticks { table: "ticks", offset: 0, symbol_count: SYMBOLS };
    for batch in 0..ROWS / BATCH_ROWS {
        db.write(ticks.batch(batch * BATCH_ROWS, BATCH_ROWS))?;
    }
    db.flush()?;
    db.compact()?;
    Ok(db)
}

fn in_process(db: &Db) -> Outcome<()> {
    let of = |at: usize| ScanRequest::new("ticks").predicate(Predicate::tag("symbol", &symbol(at)));
    let scanned = Times::of(CALLS, |at| {
        let (from, to) = span(at);
        let mut rows = 0;
        for batch in db.scan(&of(at).range(TimeRange::new(from, to)))? {
            rows += batch?.row_count();
        }
        expect(rows, 100)
    })?;
    scanned.print("engine: 100 rows of a symbol");
    Times::of(CALLS, |at| expect(db.latest(&of(at))?.row_count(), 1))?
        .print("engine: last row of a symbol");
    Ok(())
}

fn expect(found: usize, rows: usize) -> Outcome<()> {
    if found == rows { Ok(()) } else { Err(format!("{found} rows instead of {rows}").into()) }
}

fn sql_in_process(db: &Db, runtime: &Runtime) -> Outcome<()> {
    let session = SqlEngine::new(db.clone(), SqlOptions::default())?.session();
    let rows = |session: &Session, sql: &str| -> Outcome<usize> {
        runtime.block_on(async {
            let batches = session.execute(sql).await?.collect().await?;
            Ok(batches.iter().map(|batch| batch.num_rows()).sum())
        })
    };
    Times::of(CALLS, |at| expect(rows(&session, &small_sql(at))?, 100))?
        .print("SQL in process: 100 rows");
    Times::of(CALLS, |at| expect(rows(&session, &latest_sql(at))?, 1))?
        .print("SQL in process: last row");
    Ok(())
}

fn over_grpc(server: &Server, runtime: &Runtime) -> Outcome<()> {
    let client = runtime.block_on(Client::connect(server.grpc()))?;
    let tag = |at: usize| v1::TagFilter {
        tag: "symbol".into(),
        values: vec![symbol(at)],
        is_negated: false,
    };
    let request = |at: usize| v1::ScanRequest {
        table: "ticks".into(),
        tags: vec![tag(at)],
        ..v1::ScanRequest::default()
    };
    let rows = |answer: chronolith_client::Answer| async {
        let batches = answer.collect().await?;
        Outcome::Ok(batches.iter().map(|batch| batch.num_rows()).sum::<usize>())
    };
    Times::of(CALLS, |_| Ok(runtime.block_on(client.import_progress("import:none"))?))?
        .print("gRPC: a call that does nothing");
    Times::of(CALLS, |at| {
        let (from, to) = span(at);
        let range = Some(v1::TimeRange { from: Some(from), to: Some(to) });
        let request = v1::ScanRequest { range, ..request(at) };
        expect(runtime.block_on(async { rows(client.scan(request).await?).await })?, 100)
    })?
    .print("gRPC scan: 100 rows");
    Times::of(CALLS, |at| {
        expect(runtime.block_on(async { rows(client.latest(request(at)).await?).await })?, 1)
    })?
    .print("gRPC latest: last row");
    let sql = |statement: String| v1::SqlRequest { statement, ..v1::SqlRequest::default() };
    Times::of(CALLS, |at| {
        let request = sql(small_sql(at));
        expect(runtime.block_on(async { rows(client.sql(request).await?).await })?, 100)
    })?
    .print("gRPC SQL: 100 rows");
    Times::of(CALLS, |at| {
        let request = sql(latest_sql(at));
        expect(runtime.block_on(async { rows(client.sql(request).await?).await })?, 1)
    })?
    .print("gRPC SQL: last row");
    Ok(())
}

/// Rows a second of `producers` streams at once. The messages are made before.
fn streamed(server: &Server, runtime: &Runtime, producers: usize, arrow: bool) -> Outcome<()> {
    let mut streams = Vec::new();
    for producer in 0..producers {
        let table = if arrow { "streamed_arrow" } else { "streamed_packed" };
        let ticks = Ticks { table, offset: producer * 100, symbol_count: 100 };
        let first = |batch: i64| batch * STREAM_ROWS;
        let batches = (0..STREAM_BATCHES / producers as i64).map(|batch| {
            if arrow {
                ticks.arrow(first(batch), STREAM_ROWS)
            } else {
                Ok(ticks.packed(first(batch), STREAM_ROWS))
            }
        });
        streams.push(batches.collect::<Result<Vec<_>, _>>()?);
    }
    let start = Instant::now();
    let url = server.grpc();
    let row_count: u64 = runtime.block_on(async {
        let mut tasks = Vec::new();
        for (at, batches) in streams.into_iter().enumerate() {
            let client = Client::connect(url).await?;
            let producer = format!("{arrow}-{producers}-{at}");
            tasks.push(tokio::spawn(async move {
                let retry = Retry::default();
                let options = WriterOptions { producer, retry, ..WriterOptions::default() };
                let mut writer = Writer::new(client, options);
                for batch in batches {
                    writer.write(vec![batch]).await?;
                }
                Outcome::Ok(writer.finish().await?.row_count)
            }));
        }
        let mut row_count = 0;
        for task in tasks {
            row_count += task.await??;
        }
        Outcome::Ok(row_count)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let kind = if arrow { "Arrow" } else { "packed columns" };
    println!(
        "streamed durable write, {producers} producers, {kind}: {:.2} M rows/s ({row_count} rows)",
        row_count as f64 / seconds / 1e6
    );
    Ok(())
}

fn run(dir: &Path) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let db = load(dir)?;
    in_process(&db)?;
    sql_in_process(&db, &runtime)?;
    db.close()?;
    drop(db);
    let server = Server::start(dir, &[])?;
    over_grpc(&server, &runtime)?;
    for arrow in [false, true] {
        for producers in [1, 4] {
            streamed(&server, &runtime, producers, arrow)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: served DIR");
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
            eprintln!("served: {error}");
            ExitCode::FAILURE
        }
    }
}
