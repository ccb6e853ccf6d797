//! Puts one record into the state: schema changes, rows, deletions. The same code serves commits and replay.

use std::sync::Arc;

use crate::budget::{Grant, MemoryBudget};
use crate::catalog::CatalogChange;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::model::{Rows, Sequence, TableId};
use crate::snapshot::{TableView, View};
use crate::wal::Record;

/// Puts `record` into the memtables of `view`, and gives the next view where more than rows changed.
///
/// # Errors
/// Those of the catalog for changes that do not fit it: the log and the manifest contradict each other.
pub fn apply(
    view: &View,
    record: Record,
    sequence: Sequence,
    budget: &Arc<MemoryBudget>,
    mut grant: Option<&mut Grant>,
) -> Result<Option<View>> {
    let mut next: Option<View> = None;
    if !record.catalog.is_empty() {
        let mut changed = view.clone();
        changed.catalog = Arc::new(view.catalog.apply_system_all(&record.catalog)?);
        for change in &record.catalog {
            if let CatalogChange::DropTable { table } = change {
                // Its segments stay until a flush removes them from the manifest: their files go then.
                let segments = changed.table(*table).segments.clone();
                let dropped = TableView { segments, ..TableView::default() };
                changed.tables.insert(*table, Arc::new(dropped));
            }
        }
        next = Some(changed);
    }
    for rows in record.rows {
        let table = rows.table;
        let memtable = match active(next.as_ref().unwrap_or(view), table, &rows) {
            Some(memtable) => memtable,
            None => {
                let memtable = Arc::new(Memtable::new(table, budget.empty_grant()));
                let base = next.as_ref().unwrap_or(view);
                next = Some(activate(base, table, &memtable));
                memtable
            }
        };
        memtable.insert(rows, sequence);
        memtable.note(sequence, record.metadata.clone());
        memtable.hold(grant.as_deref_mut());
    }
    for deletion in record.deletions {
        let base = next.as_ref().unwrap_or(view);
        let mut table = TableView::clone(&base.table(deletion.table));
        let id = deletion.table;
        let mut tombstones = Vec::clone(&table.tombstones);
        tombstones.push(crate::tombstone::Tombstone { sequence, ..deletion });
        table.tombstones = Arc::new(tombstones);
        next = Some(base.with_table(id, table));
    }
    Ok(next)
}

/// The memtable that takes these rows, if there is one with room.
fn active(view: &View, table: TableId, rows: &Rows) -> Option<Arc<Memtable>> {
    let memtable = view.tables.get(&table)?.active.clone()?;
    (memtable.room_rows() > rows.row_count() as u64).then_some(memtable)
}

/// The view with `memtable` as the active one of its table; the one before it is frozen.
fn activate(view: &View, id: TableId, memtable: &Arc<Memtable>) -> View {
    let mut table = TableView::clone(&view.table(id));
    table.frozen.extend(table.active.replace(Arc::clone(memtable)));
    view.with_table(id, table)
}
