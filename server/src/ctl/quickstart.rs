//! stub
use super::CtlResult;
use clap::Args;
/// q
#[derive(Debug, Args)]
pub(super) struct QuickstartArgs {}
/// w
#[derive(Debug, Args)]
pub(super) struct WriterArgs {}
pub(super) fn run(_: &QuickstartArgs) -> CtlResult<()> { Ok(()) }
pub(super) fn run_writer(_: &WriterArgs) -> CtlResult<()> { Ok(()) }
