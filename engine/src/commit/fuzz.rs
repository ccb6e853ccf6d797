//! A door for the fuzz targets: what a batch is checked for before it is queued.

use std::sync::Arc;

use super::prepare;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::model::Batch;
use crate::wal::Record;

/// The record that a batch becomes, the catalog after it, and how many of its rows were left out.
///
/// # Errors
/// Those of a batch.
pub fn prepared(batch: Batch, catalog: &Arc<Catalog>) -> Result<(Record, Arc<Catalog>, usize)> {
    let prepared = prepare::prepare(batch, catalog)?;
    Ok((prepared.record, prepared.catalog, prepared.refused.len()))
}
