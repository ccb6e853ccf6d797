//! `chronolith compact`: segments of one window become one.

use clap::Args;

use super::place::{self, PlaceArg};
use super::{CtlResult, print};

/// Flush, then merge segments: fewer files, and rows that were replaced or deleted go
#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    place: PlaceArg,
}

pub(super) fn run(args: &CompactArgs) -> CtlResult<()> {
    let db = place::for_writing(&args.place)?;
    let report = db.compact()?;
    db.close()?;
    print(&format!(
        "{} segments of {} bytes became {} segments of {} bytes\n",
        report.segments_before, report.bytes_before, report.segments_after, report.bytes_after
    ))
}
