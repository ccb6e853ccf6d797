//! Quickstart with generated ticks: written by another process that is killed, then over the network to a server that is
//! killed too.

use std::path::Path;

use chronolith_engine::read::ScanRequest;

use super::super::bars::VolumeKind;
use super::super::import::{count, seconds};
use super::super::{CtlError, CtlResult, print};
use super::generator::{BATCH_ROWS, PRODUCER_COUNT, SYMBOLS, check};
use super::server::Server;
use super::show::{self, Columns, Commands};
use super::{TABLE, network, witness};

/// How long ticks are written.
const WRITE_NS: i64 = 2_500_000_000;

/// Writes, kills, checks; does the same over the network; shows.
pub(super) fn run(dir: &Path) -> CtlResult<()> {
    print(&format!(
        "2. another process writes ticks of {} symbols through {PRODUCER_COUNT} producers, in batches of \
         {BATCH_ROWS} rows, each acknowledged only once it is synced to the disk\n",
        SYMBOLS.as_flattened().len(),
    ))?;
    let witnessed = witness::watch(dir, &[], WRITE_NS)?;
    let acknowledged = acknowledged(&witnessed.lines);
    let batches: u64 = acknowledged.iter().sum();
    let rows = batches * BATCH_ROWS as u64;
    let embedded_rate = show::killed(rows, &format!("{batches} batches"), &witnessed)?;
    let (db, open_ns) = show::reopen(dir)?;
    let scanned = db.scan(&ScanRequest::new(TABLE).columns(&["price", "size"]))?;
    let there = check(scanned.map(|batch| Ok(batch?)), &acknowledged)?;
    show::intact(rows, rows_of(&there), open_ns, "nothing torn, nothing twice")?;
    db.close()?;
    let server = over_the_network(dir, &there, embedded_rate)?;
    let columns = Columns {
        table: TABLE.to_owned(),
        price: "price".to_owned(),
        volume: Some(("size".to_owned(), VolumeKind::Trade)),
    };
    show::results(dir, server, &columns, 8)
}

/// The producers go on over the network; gives the server that was started after the kill.
fn over_the_network(dir: &Path, there: &[u64], embedded_rate: f64) -> CtlResult<Server> {
    let server = Server::start(dir)?;
    print(&format!(
        "5. a server has the database, and the same producers go on through gRPC, a stream each\n{}",
        Commands::on(dir).line("serve")
    ))?;
    let streamed = network::stream(server, there)?;
    let (batches, seconds) = (streamed.acknowledged(), seconds(streamed.sending_ns).max(1e-9));
    let rows = batches * BATCH_ROWS as u64;
    print(&format!(
        "6. killed the server (SIGKILL) in the middle of the streams, {seconds:.1} s after they began: {rows} rows in \
         {batches} batches were acknowledged, {:.0} rows/s (in one process: {embedded_rate:.0} rows/s)\n",
        count(rows) / seconds
    ))?;
    let server = Server::start(dir)?;
    let found = network::compare(&server, there, &streamed)?;
    print(&format!(
        "7. started it again in {:.3} s: all {rows} rows that it had acknowledged are there exactly once, and all of \
         before, compared one by one over gRPC\n",
        self::seconds(server.start_ns)
    ))?;
    let repeated = network::send_again(&server, &streamed)?;
    let expected = rows_of(there) + (batches + streamed.unheard()) * BATCH_ROWS as u64;
    let total = show::row_count(&server, TABLE)?;
    if total != expected
        || rows_of(&found) + (streamed.unheard() - repeated) * BATCH_ROWS as u64 != total
    {
        return Err(CtlError::Failed(format!(
            "LOST: {expected} rows were sent, {total} are there after sending again"
        )));
    }
    print(&format!(
        "   {} batches whose acknowledgement was not heard were sent again: it had {repeated} of them; {total} rows in \
         all, none twice\n",
        streamed.unheard()
    ))?;
    Ok(server)
}

fn rows_of(batches: &[u64]) -> u64 {
    batches.iter().sum::<u64>() * BATCH_ROWS as u64
}

/// For each producer the greatest number that was acknowledged; a producer's numbers come in order.
fn acknowledged(lines: &[String]) -> Vec<u64> {
    let mut greatest = vec![0; PRODUCER_COUNT];
    for line in lines {
        let parts = line.split_once(' ');
        let parsed = parts.and_then(|(producer, number)| {
            Some((producer.parse::<usize>().ok()?, number.parse::<u64>().ok()?))
        });
        if let Some((slot, number)) = parsed.and_then(|(p, n)| Some((greatest.get_mut(p)?, n))) {
            *slot = number.max(*slot);
        }
    }
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_counted_by_producer() {
        let lines = ["0 1", "3 1", "0 2", "", "9 9", "x y"].map(str::to_owned);
        assert_eq!(acknowledged(&lines), [2, 0, 0, 1]);
    }
}
