//! `chronolith flush`: rows in memory become segments.

use clap::Args;

use super::open::{self, DataArg};
use super::{CtlResult, print};

/// Write the rows that are only in the log as segments
#[derive(Debug, Args)]
pub(super) struct FlushArgs {
    #[command(flatten)]
    data: DataArg,
}

pub(super) fn run(args: &FlushArgs) -> CtlResult<()> {
    let db = open::for_writing(&args.data)?;
    let before = memory_rows(&db);
    db.flush()?;
    let stats = db.stats();
    db.close()?;
    let segments: u64 = stats.tables.iter().map(|table| table.segment_count).sum();
    let bytes: u64 = stats.tables.iter().map(|table| table.segment_bytes).sum();
    print(&format!("flushed {before} rows; {segments} segments hold {bytes} bytes\n"))
}

fn memory_rows(db: &chronolith_engine::Db) -> u64 {
    db.stats().tables.iter().map(|table| table.memory_rows).sum()
}
