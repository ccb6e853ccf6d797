//! Batches on their way into the log, in the order in which they will be committed.

use std::sync::Arc;

use super::prepare::RefusedRow;
use super::producers::Producers;
use super::ticket::Duty;
use crate::budget::Grant;
use crate::catalog::Catalog;
use crate::limits::LOG_GROUP_BYTES_MAX;
use crate::model::{Durability, OnPressure};
use crate::wal::Record;

/// What the memory of a batch is for.
pub(super) const ROWS: &str = "rows in memory";

/// How a record is submitted.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) durability: Durability,
    pub(super) on_pressure: OnPressure,
    /// Whether the caller waits for the ticket, and so leads where nobody does.
    pub(super) waits: bool,
}

/// What waits for the log.
pub(super) struct Queue {
    pub(super) batches: Vec<Queued>,
    pub(super) bytes: usize,
    pub(super) leading: bool,
    /// The catalog after everything queued.
    pub(super) catalog: Arc<Catalog>,
    pub(super) producers: Producers,
}

/// A batch on its way into the log.
pub(super) struct Queued {
    pub(super) record: Record,
    pub(super) encoded: Vec<u8>,
    pub(super) refused: Vec<RefusedRow>,
    pub(super) durability: Durability,
    /// Whether somebody waits for it, and so leads where nobody does.
    pub(super) waits: bool,
    pub(super) duty: Duty,
    pub(super) grant: Grant,
}

impl Queued {
    pub(super) fn has_rows(&self) -> bool {
        !self.record.rows.is_empty()
    }
}

impl Queue {
    /// As many batches as a group takes, from the front.
    /// Rows and changes do not share one: on a full disk rows are refused, and changes may free space.
    pub(super) fn take_group(&mut self) -> Vec<Queued> {
        let has_rows = self.batches.first().is_some_and(Queued::has_rows);
        let alike = self.batches.iter().all(|batch| batch.has_rows() == has_rows);
        if alike && self.bytes <= LOG_GROUP_BYTES_MAX / 2 {
            self.bytes = 0;
            return std::mem::take(&mut self.batches);
        }
        let mut bytes = 0;
        let fits = |batch: &&Queued| {
            bytes += batch.encoded.len() + 4;
            bytes <= LOG_GROUP_BYTES_MAX / 2 && batch.has_rows() == has_rows
        };
        let count = self.batches.iter().take_while(fits).count().max(1);
        let rest = self.batches.split_off(count);
        let group = std::mem::replace(&mut self.batches, rest);
        self.bytes = self.batches.iter().map(|batch| batch.encoded.len()).sum();
        group
    }
}

/// The records of a group as the log has them.
pub(super) fn payload_of(group: &[Queued]) -> Vec<u8> {
    let bytes = group.iter().map(|batch| batch.encoded.len() + 4).sum();
    let mut payload = Vec::with_capacity(bytes);
    for batch in group {
        let len = u32::try_from(batch.encoded.len()).unwrap_or(u32::MAX);
        payload.extend_from_slice(&len.to_le_bytes());
        payload.extend_from_slice(&batch.encoded);
    }
    payload
}
