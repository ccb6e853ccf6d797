//! The same producers over the network: each goes on in a stream of its own until the server is killed; then all that was
//! acknowledged is looked for, and what was not is sent again under the same numbers.

use std::thread;
use std::time::Duration;

use chronolith_client::{Client, ClientError, Retry, Writer, WriterOptions, Written};
use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::rng::{Rng, SeededRng};
use tokio::runtime::Runtime;

use super::super::place::{self, Place, Remote};
use super::super::{CtlError, CtlResult};
use super::generator::{Stream, check, producer_name};
use super::server::Server;
use super::writer::BATCHES_MAX;
use super::{SEED, TABLE};

/// How long ticks are sent.
const SEND_NS: u64 = 2_500_000_000;
/// Up to so much later the server is killed, so that the moment is not foreseen.
const SPREAD_NS: u64 = 300_000_000;

/// What one producer sent, in batches.
#[derive(Debug)]
struct Sent {
    /// The number of its first batch.
    first: u64,
    sent: u64,
    /// Of them, the first so many were acknowledged.
    acknowledged: u64,
    /// Why it ended before it was told to.
    error: Option<ClientError>,
}

/// What became of the streams.
pub(super) struct Streamed {
    each: Vec<Sent>,
    /// From the first batch to the kill.
    pub(super) sending_ns: i64,
}

impl Streamed {
    /// Batches that were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.each.iter().map(|one| one.acknowledged).sum()
    }

    /// Batches whose acknowledgement was not heard.
    pub(super) fn unheard(&self) -> u64 {
        self.each.iter().map(|one| one.sent - one.acknowledged).sum()
    }
}

fn runtime() -> CtlResult<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let failed = |error| CtlError::Failed(format!("cannot start the network's threads: {error}"));
    runtime.worker_threads(2).enable_all().build().map_err(failed)
}

/// Sends for a while, then kills the server. Producers go on behind `there`, the batches of each that are there.
///
/// # Errors
/// `Client`; `Failed` where the server ends by itself or refuses a batch.
#[expect(
    clippy::disallowed_methods,
    reason = "a command that watches its children, not the engine"
)]
pub(super) fn stream(server: Server, there: &[u64]) -> CtlResult<Streamed> {
    let runtime = runtime()?;
    let clock = SystemClock::default();
    let mut tasks = Vec::new();
    for (producer, there) in there.iter().enumerate() {
        let client = runtime.block_on(Client::connect(&server.url))?;
        tasks.push((client, producer, there + 1));
    }
    let start_ns = clock.monotonic_ns();
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|(client, producer, first)| runtime.spawn(produce(client, producer, first)))
        .collect();
    let spread = SeededRng::from_system().next_u64() % SPREAD_NS;
    thread::sleep(Duration::from_nanos(SEND_NS + spread));
    let sending_ns = clock.monotonic_ns() - start_ns;
    server.kill()?;
    let mut each = Vec::new();
    for task in tasks {
        let sent = runtime.block_on(task);
        let sent = sent.map_err(|_| CtlError::Failed("a producer's task died".to_owned()))?;
        match sent.error {
            Some(error @ ClientError::Refused(_)) => return Err(error.into()),
            _ => each.push(sent),
        }
    }
    let streamed = Streamed { each, sending_ns };
    if streamed.acknowledged() == 0 {
        return Err(CtlError::Failed("the server acknowledged nothing".to_owned()));
    }
    Ok(streamed)
}

fn writer(client: Client, producer: usize, first: u64, retry: Retry) -> Writer {
    let producer = producer_name(producer);
    Writer::new(
        client,
        WriterOptions { producer, first_number: first, retry, ..Default::default() },
    )
}

/// Sends one producer's batches until the server is gone.
async fn produce(client: Client, producer: usize, first: u64) -> Sent {
    let mut stream = Stream::new(SEED, producer);
    stream.pass(first - 1);
    // A server that is gone is not waited for.
    let mut writer = writer(client, producer, first, Retry::for_at_most(Duration::ZERO));
    let (mut sent, mut error) = (0, None);
    while error.is_none() && sent < BATCHES_MAX {
        let rows = place::rows_message(stream.next_rows(TABLE));
        error = writer.write(vec![rows]).await.err();
        // One that failed may have been sent as well.
        sent += 1;
    }
    Sent { first, sent, acknowledged: writer.written().batch_count, error }
}

/// Compares every row that a server has with what was generated; gives the batches of each producer that are there.
/// `before`: the batches of each that were there before the streams.
///
/// # Errors
/// `Failed` where anything is lost; the client's.
pub(super) fn compare(server: &Server, before: &[u64], streamed: &Streamed) -> CtlResult<Vec<u64>> {
    let place = Place::Server(Remote::connect(&server.url)?);
    let schema = place.table_schema(TABLE)?;
    let request = ScanRequest::new(TABLE).columns(&["price", "size"]);
    let promised: Vec<u64> =
        before.iter().zip(&streamed.each).map(|(there, one)| there + one.acknowledged).collect();
    check(place.scan(&schema, &request)?.batches, &promised)
}

/// Sends again what was not acknowledged, under the same numbers; gives how many batches the server had already.
///
/// # Errors
/// `Client`.
pub(super) fn send_again(server: &Server, streamed: &Streamed) -> CtlResult<u64> {
    let runtime = runtime()?;
    let mut repeated = 0;
    for (producer, sent) in streamed.each.iter().enumerate() {
        let written = runtime.block_on(async {
            let client = Client::connect(&server.url).await?;
            again(client, producer, sent).await
        })?;
        repeated += written.repeated_count;
    }
    Ok(repeated)
}

async fn again(client: Client, producer: usize, sent: &Sent) -> Result<Written, ClientError> {
    let first = sent.first + sent.acknowledged;
    let mut stream = Stream::new(SEED, producer);
    stream.pass(first - 1);
    let mut writer = writer(client, producer, first, Retry::default());
    for _ in sent.acknowledged..sent.sent {
        writer.write(vec![place::rows_message(stream.next_rows(TABLE))]).await?;
    }
    writer.finish().await
}
