//! Many producers and readers on one server for minutes: no error, memory that stays flat, and exact counts at the end.
//! `soak DIR [MINUTES] [PRODUCERS] [READERS]`: DIR must not exist; it is removed at the end. Needs the program: `cargo build --release -p chronolith -p chronolith-bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chronolith_bench::served::Server;
use chronolith_bench::ticks::{START_NS, STEP_NS, Ticks, symbol};
use chronolith_client::v1::{ScanRequest, SqlRequest};
use chronolith_client::{Client, Retry, Writer, WriterOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rows of a batch.
const BATCH_ROWS: i64 = 1_000;
/// Symbols of each producer.
const SYMBOLS: usize = 10;
/// The server's budget.
const MEMORY: &str = "1GiB";
/// Time between two looks at the server.
const LOOK: Duration = Duration::from_secs(15);
/// A producer rests after each batch, so that readers have their share: the whole load is what matters here, not the most.
const REST: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Counts {
    rows: AtomicU64,
    answers: AtomicU64,
}

/// Writes until the end; the rows that were acknowledged.
async fn produce(url: String, at: usize, end: Instant, counts: Arc<Counts>) -> Outcome<u64> {
    let client = Client::connect(&url).await?;
    let ticks = Ticks { table: "ticks", offset: at * SYMBOLS, symbol_count: SYMBOLS };
    let options = WriterOptions {
        producer: format!("producer-{at}"),
        retry: Retry::default(),
        ..WriterOptions::default()
    };
    let mut writer = Writer::new(client, options);
    let mut first = 0;
    while Instant::now() < end {
        writer.write(vec![ticks.packed(first, BATCH_ROWS)]).await?;
        first += BATCH_ROWS;
        counts.rows.fetch_add(BATCH_ROWS as u64, Ordering::Relaxed);
        tokio::time::sleep(REST).await;
    }
    Ok(writer.finish().await?.row_count)
}

/// Asks until the end: last rows, counts that never fall, bars.
async fn read(url: String, at: usize, end: Instant, counts: Arc<Counts>) -> Outcome<()> {
    let client = Client::connect(&url).await?;
    let name = symbol(at * SYMBOLS);
    let mut least = 0;
    while Instant::now() < end {
        let statement = format!("SELECT count(*) FROM ticks WHERE symbol = '{name}'");
        let found = count(&client, &statement).await?;
        if found < least {
            return Err(format!("{name} had {least} rows and has {found}").into());
        }
        least = found;
        let request = ScanRequest { table: "ticks".into(), ..ScanRequest::default() };
        client.latest(request).await?.collect().await?;
        let bars = "SELECT time_bucket('1 second', time) AS second, ohlc(price, time), sum(size) \
                    FROM ticks WHERE symbol = '";
        let statement = format!("{bars}{name}' GROUP BY second ORDER BY second DESC LIMIT 60");
        let request = SqlRequest { statement, ..SqlRequest::default() };
        client.sql(request).await?.collect().await?;
        counts.answers.fetch_add(3, Ordering::Relaxed);
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

/// The one number of an answer.
async fn count(client: &Client, statement: &str) -> Outcome<i64> {
    let request = SqlRequest { statement: statement.to_owned(), ..SqlRequest::default() };
    let batches = client.sql(request).await?.collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).ok_or("not one row")?;
    Ok(batch.column(0).as_primitive::<Int64Type>().value(0))
}

async fn run(dir: &Path, minutes: f64, producers: usize, readers: usize) -> Outcome<()> {
    let server = Server::start(dir, &["--memory", MEMORY])?;
    let counts = Arc::new(Counts::default());
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(minutes * 60.0);
    // The table comes with its first rows; readers wait for these.
    let url = || server.grpc().to_owned();
    let writing: Vec<_> = (0..producers)
        .map(|at| tokio::spawn(produce(url(), at, end, Arc::clone(&counts))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reading: Vec<_> =
        (0..readers).map(|at| tokio::spawn(read(url(), at, end, Arc::clone(&counts)))).collect();
    while Instant::now() < end {
        tokio::time::sleep(LOOK.min(end - Instant::now())).await;
        println!(
            "{:>5.0} s: {:>10} rows sent, {:>7} answers, server {:>5} MiB, {}",
            start.elapsed().as_secs_f64(),
            counts.rows.load(Ordering::Relaxed),
            counts.answers.load(Ordering::Relaxed),
            server.resident_bytes()? >> 20,
            server.health()?.trim()
        );
    }
    let mut acknowledged = 0;
    for (at, task) in writing.into_iter().enumerate() {
        let told = task.await?.map_err(|error| format!("producer {at}: {error}"));
        acknowledged += told?;
    }
    for (at, task) in reading.into_iter().enumerate() {
        task.await?.map_err(|error| format!("reader {at}: {error}"))?;
    }
    let client = Client::connect(server.grpc()).await?;
    let found = whole_symbols(&client).await;
    let found = found.map_err(|error| format!("the count at the end: {error}"))?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{acknowledged} rows acknowledged, {found} found, each once; {:.2} M rows/s, {:.0} answers/s",
        acknowledged as f64 / seconds / 1e6,
        counts.answers.load(Ordering::Relaxed) as f64 / seconds
    );
    if found == acknowledged { Ok(()) } else { Err("the counts differ".into()) }
}

/// How many rows there are. Of each symbol they must be the first of its ticks, without a gap: so say their count and sum.
async fn whole_symbols(client: &Client) -> Outcome<u64> {
    let number = format!("(CAST(time AS BIGINT) - {START_NS}) / {STEP_NS}");
    let statement =
        format!("SELECT symbol, count(*), sum({number}), max({number}) FROM ticks GROUP BY 1");
    let request = SqlRequest { statement, ..SqlRequest::default() };
    let mut found = 0;
    for batch in client.sql(request).await?.collect().await? {
        let numbers = |at: usize| batch.column(at).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (count, sum, last) =
                (numbers(1).value(row), numbers(2).value(row), numbers(3).value(row));
            let step = SYMBOLS as i64;
            let first = last - (count - 1) * step;
            if !(0..step).contains(&first) || sum != (first + last) * count / 2 {
                let told = format!("{count} rows up to tick {last} that add up to {sum}");
                return Err(format!("row {row} of the symbols: {told}").into());
            }
            found += count as u64;
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let minutes = args.get(1).map_or(Some(5.0), |text| text.parse().ok());
    let count = |at: usize, default| args.get(at).map_or(Some(default), |text| text.parse().ok());
    let (Some(dir), Some(minutes), Some(producers), Some(readers)) =
        (args.first(), minutes, count(2, 64_usize), count(3, 16_usize))
    else {
        eprintln!("usage: soak DIR [MINUTES] [PRODUCERS] [READERS]");
        return ExitCode::from(2);
    };
    let dir = Path::new(dir);
    if let Some(Ok(probe)) = dir.parent().map(chronolith_bench::probe::run) {
        println!("{probe}");
    }
    let done = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(dir, minutes, producers, readers)));
    let _ = std::fs::remove_dir_all(dir);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
