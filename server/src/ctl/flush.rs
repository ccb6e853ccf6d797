//! `chronolith flush`: rows in memory become segments.

use clap::Args;

use super::place::{self, PlaceArg};
use super::{CtlResult, print};

/// Write the rows that are only in the log and in memory into segments now
#[derive(Debug, Args)]
pub(super) struct FlushArgs {
    #[command(flatten)]
    place: PlaceArg,
}

pub(super) fn run(args: &FlushArgs) -> CtlResult<()> {
    let db = place::for_writing(&args.place)?;
    let before: u64 = db.stats()?.tables.iter().map(|table| table.memory_rows).sum();
    db.flush()?;
    let stats = db.stats()?;
    db.close()?;
    let segments: u64 = stats.tables.iter().map(|table| table.segment_count).sum();
    let bytes: u64 = stats.tables.iter().map(|table| table.segment_bytes).sum();
    print(&format!("flushed {before} rows; {segments} segments hold {bytes} bytes\n"))
}
