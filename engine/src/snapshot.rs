//! What readers see: an immutable [`View`] of tables, memtables and segments, and the sequence up to which rows count.
//! Invariant: one lock guards both, so that a snapshot never mixes the view of one moment with the sequence of another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::budget::MemoryBudget;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::last_rows::KeptLastRows;
use crate::limits::PRODUCER_COUNT_MAX;
use crate::manifest::{CommitTimes, ProducerState};
use crate::memtable::Memtable;
use crate::model::{FileId, Sequence, TableId, TableSchema};
use crate::planted::{Bug, is_on};
use crate::segment::{SegmentInfo, SegmentReader};
use crate::tombstone::Tombstone;
use crate::vfs::Vfs;

/// A segment that the database has; its file is opened when it is first read.
pub struct SegmentHandle {
    info: Arc<SegmentInfo>,
    database_id: u128,
    vfs: Arc<dyn Vfs>,
    folder: PathBuf,
    reader: Mutex<Option<Arc<SegmentReader>>>,
}

impl SegmentHandle {
    /// The segment that `info` describes, in `folder`.
    #[must_use]
    pub fn new(
        vfs: Arc<dyn Vfs>,
        folder: PathBuf,
        database_id: u128,
        info: Arc<SegmentInfo>,
    ) -> Arc<Self> {
        Arc::new(Self { info, database_id, vfs, folder, reader: Mutex::new(None) })
    }

    /// What the manifest says of it.
    #[must_use]
    pub fn info(&self) -> &Arc<SegmentInfo> {
        &self.info
    }

    /// The open segment.
    ///
    /// # Errors
    /// `Corrupt` for a damaged or missing file; `Io`. The next call tries again.
    pub fn reader(&self) -> Result<Arc<SegmentReader>> {
        let mut reader = self.reader.lock();
        if let Some(open) = reader.as_ref() {
            return Ok(Arc::clone(open));
        }
        let open =
            SegmentReader::open(self.vfs.as_ref(), &self.folder, self.database_id, &self.info)?;
        *reader = Some(Arc::clone(&open));
        Ok(open)
    }
}

/// A table's rows: where they are.
#[derive(Clone, Default)]
pub struct TableView {
    /// Segments, in the manifest's order.
    pub segments: Vec<Arc<SegmentHandle>>,
    /// Frozen memtables, oldest first.
    pub frozen: Vec<Arc<Memtable>>,
    /// The memtable that takes new rows, once there was one.
    pub active: Option<Arc<Memtable>>,
    /// Deletions whose rows may still be there.
    pub tombstones: Arc<Vec<Tombstone>>,
    /// Merges have folded versions or applied deletions up to here, inclusive: no view below it is whole.
    pub horizon: Sequence,
    /// The last rows of `segments`, once they were asked for.
    pub last_rows: Arc<KeptLastRows>,
}

impl TableView {
    /// The memtables, oldest first.
    pub fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        self.frozen.iter().chain(&self.active)
    }
}

/// Everything that is committed, at one moment.
#[derive(Clone, Default)]
pub struct View {
    /// The tables and columns.
    pub catalog: Arc<Catalog>,
    /// Where each table's rows are; tables without rows may be missing.
    pub tables: BTreeMap<TableId, Arc<TableView>>,
}

impl View {
    /// The rows of a table.
    #[must_use]
    pub fn table(&self, id: TableId) -> Arc<TableView> {
        self.tables.get(&id).cloned().unwrap_or_default()
    }

    /// The same view with another state of one table.
    #[must_use]
    pub fn with_table(&self, id: TableId, table: TableView) -> Self {
        let mut next = self.clone();
        next.tables.insert(id, Arc::new(table));
        next
    }
}

/// A read view that never changes.
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<View>,
    through: Sequence,
    durable: Sequence,
    /// For each length of history, the first sequence that tables with it still serve; empty for the present.
    horizons: Arc<[(i64, Sequence)]>,
    /// The memory for reads.
    memory: Arc<MemoryBudget>,
}

impl Snapshot {
    /// The last sequence that is seen, inclusive.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.through
    }

    /// The last sequence that was durable when the snapshot was taken, inclusive.
    #[must_use]
    pub fn durable_sequence(&self) -> Sequence {
        self.durable
    }

    /// The part of the memory budget that reads take grants of.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// What it sees.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The tables and columns.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.view.catalog
    }

    /// The table `name`.
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn table(&self, name: &str) -> Result<Arc<TableSchema>> {
        self.view.catalog.get(name).cloned()
    }

    /// The same view up to an earlier sequence, whatever the tables' history.
    #[must_use]
    pub fn back_to(&self, through: Sequence) -> Self {
        Self { through: through.min(self.through), ..self.clone() }
    }

    /// The same view up to an earlier sequence, for tables whose history reaches back so far. `horizons` holds, for each length of
    /// history, the first sequence that is served.
    #[must_use]
    pub fn back_within(&self, through: Sequence, horizons: Vec<(i64, Sequence)>) -> Self {
        Self { horizons: horizons.into(), ..self.back_to(through) }
    }

    /// Whether the rows of `schema` are still told apart as of this snapshot.
    ///
    /// # Errors
    /// `SnapshotExpired` where the snapshot lies below the table's history, or below what a merge has folded.
    pub fn check_kept(&self, schema: &TableSchema) -> Result<()> {
        let policy = self.horizons.iter().find(|(history_ns, _)| *history_ns == schema.history_ns);
        let mut folded = self.view.table(schema.id).horizon;
        if is_on(Bug::SkipHorizonCheck) {
            folded = Sequence::ZERO;
        }
        let horizon = folded.max(policy.map(|(_, first)| *first).unwrap_or_default());
        if self.through >= horizon {
            return Ok(());
        }
        Err(expired(self.through, horizon, &schema.name))
    }
}

/// The one place that publishes: the present view, and how far it counts.
pub struct StateCell {
    inner: RwLock<Inner>,
    /// Held while a batch goes into memtables, and while they freeze: a batch never straddles two.
    insert: Mutex<()>,
    /// When batches were committed.
    times: Mutex<CommitTimes>,
    /// The memory for reads.
    memory: Arc<MemoryBudget>,
}

#[derive(Default)]
struct Inner {
    view: Arc<View>,
    inserted: Sequence,
    published: Sequence,
    durable: Sequence,
    producers: BTreeMap<String, ProducerState>,
}

/// Memtables that were frozen together, with the state that goes with them.
pub struct Frozen {
    /// The tables with their frozen memtables, oldest first.
    pub tables: Vec<(TableId, Vec<Arc<Memtable>>)>,
    /// Every row up to here is in these memtables or in segments.
    pub through: Sequence,
    /// The catalog as of `through`.
    pub catalog: Arc<Catalog>,
    /// The tombstones as of `through`.
    pub tombstones: Vec<Tombstone>,
    /// The producers as of `through`, by id.
    pub producers: Vec<ProducerState>,
}

/// What a flush or merge changes of the view.
#[derive(Clone, Copy)]
pub struct Install<'a> {
    /// Segments that come.
    pub added: &'a [Arc<SegmentHandle>],
    /// Segments that go.
    pub removed: &'a [FileId],
    /// Memtables whose rows are in segments now.
    pub done: &'a [Arc<Memtable>],
    /// Whether a tombstone hides nothing any more.
    pub applied: &'a dyn Fn(&Tombstone) -> bool,
    /// The horizon of a table, where it moves.
    pub horizon: Option<(TableId, Sequence)>,
}

impl StateCell {
    /// A cell that begins with `view`, of which everything up to `last` is durable. Reads take grants of `memory`.
    #[must_use]
    pub fn new(
        view: View,
        last: Sequence,
        producers: BTreeMap<String, ProducerState>,
        times: CommitTimes,
        memory: Arc<MemoryBudget>,
    ) -> Self {
        let inner = Inner {
            view: Arc::new(view),
            inserted: last,
            published: last,
            durable: last,
            producers,
        };
        let (insert, times) = (Mutex::new(()), Mutex::new(times));
        Self { inner: RwLock::new(inner), insert, times, memory }
    }

    /// Says what is durable, once, at opening.
    pub fn set_durable(&self, durable: Sequence) {
        self.inner.write().durable = durable;
    }

    /// Everything published by now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner.read();
        let (through, durable) = (inner.published, inner.durable);
        let (view, memory) = (Arc::clone(&inner.view), Arc::clone(&self.memory));
        Snapshot { view, through, durable, horizons: Arc::default(), memory }
    }

    /// The present view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.inner.read().view)
    }

    /// The last sequence that is in the memtables, published or not.
    #[must_use]
    pub fn inserted(&self) -> Sequence {
        self.inner.read().inserted
    }

    /// Puts one batch in, whole: `insert` gets the view and gives the next one where it changes.
    pub fn insert(
        &self,
        sequence: Sequence,
        commit_time_ns: i64,
        producer: Option<ProducerState>,
        insert: impl FnOnce(&View) -> Option<View>,
    ) {
        let _whole = self.insert.lock();
        self.times.lock().push(sequence, commit_time_ns);
        let view = self.view();
        let next = insert(&view);
        let mut inner = self.inner.write();
        if let Some(next) = next {
            inner.view = Arc::new(next);
        }
        inner.inserted = sequence;
        if let Some(state) = producer {
            inner.producers.insert(state.id.clone(), state);
            forget_idle(&mut inner.producers);
        }
    }

    /// The producers whose batches are committed, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerState> {
        self.inner.read().producers.values().cloned().collect()
    }

    /// Asks or changes the commit times.
    pub fn with_times<T>(&self, ask: impl FnOnce(&mut CommitTimes) -> T) -> T {
        ask(&mut self.times.lock())
    }

    /// Shows readers everything up to `published`, of which what is up to `durable` is durable. Never moves back.
    pub fn publish(&self, published: Sequence, durable: Sequence) {
        let mut inner = self.inner.write();
        inner.published = inner.published.max(published);
        inner.durable = inner.durable.max(durable);
    }

    /// Freezes the memtables of every table that `pick` takes, between two batches.
    pub fn freeze(&self, pick: &dyn Fn(TableId) -> bool) -> Frozen {
        let _whole = self.insert.lock();
        let mut inner = self.inner.write();
        let mut next = View::clone(&inner.view);
        let mut tables = Vec::new();
        for (id, table) in &mut next.tables {
            if !pick(*id) {
                continue;
            }
            let mut frozen = TableView::clone(table);
            frozen.frozen.extend(frozen.active.take().filter(|one| one.stats().row_count > 0));
            tables.push((*id, frozen.frozen.clone()));
            *table = Arc::new(frozen);
        }
        let tombstones =
            next.tables.values().flat_map(|table| table.tombstones.iter().cloned()).collect();
        let catalog = Arc::clone(&next.catalog);
        inner.view = Arc::new(next);
        let producers = inner.producers.values().cloned().collect();
        Frozen { tables, through: inner.inserted, catalog, tombstones, producers }
    }

    /// Shows the outcome of a flush or merge in one step. Returns the segments that are no longer part of the view.
    pub fn install(&self, install: &Install<'_>) -> Vec<Arc<SegmentHandle>> {
        let Install { added, removed, done, applied, horizon } = *install;
        let _whole = self.insert.lock();
        let mut inner = self.inner.write();
        let mut next = View::clone(&inner.view);
        let mut gone = Vec::new();
        let mut tables: Vec<TableId> = next.tables.keys().copied().collect();
        tables.extend(added.iter().map(|segment| segment.info().table));
        tables.sort_unstable();
        tables.dedup();
        for id in tables {
            let mut table = TableView::clone(&next.table(id));
            let (before, gone_before) = (table.segments.len(), gone.len());
            table.segments.retain(|segment| {
                let stays = !removed.contains(&segment.info().file_id);
                if !stays {
                    gone.push(Arc::clone(segment));
                }
                stays
            });
            table.segments.extend(added.iter().filter(|one| one.info().table == id).cloned());
            if gone.len() > gone_before || table.segments.len() > before {
                table.last_rows = table.last_rows.next();
            }
            table.frozen.retain(|one| !done.iter().any(|done| Arc::ptr_eq(one, done)));
            if table.tombstones.iter().any(applied) {
                let kept = table.tombstones.iter().filter(|one| !applied(one)).cloned();
                table.tombstones = Arc::new(kept.collect());
            }
            if let Some((_, through)) = horizon.filter(|(table, _)| *table == id) {
                table.horizon = table.horizon.max(through);
            }
            // The rest of a dropped table.
            if table.segments.is_empty() && next.catalog.by_id(id).is_none() {
                next.tables.remove(&id);
            } else {
                next.tables.insert(id, Arc::new(table));
            }
        }
        inner.view = Arc::new(next);
        gone
    }
}

/// Forgets the tenth of the producers that is idle longest where there are more than the manifest takes.
fn forget_idle(producers: &mut BTreeMap<String, ProducerState>) {
    if producers.len() <= PRODUCER_COUNT_MAX {
        return;
    }
    let mut sequences: Vec<Sequence> = producers.values().map(|one| one.sequence).collect();
    sequences.sort_unstable();
    let first_kept = sequences.get(PRODUCER_COUNT_MAX / 10).copied();
    producers.retain(|_, one| Some(one.sequence) >= first_kept);
}

/// The error for a sequence that is not kept any more.
#[must_use]
pub fn expired(sequence: Sequence, horizon: Sequence, table: &str) -> Error {
    Error::SnapshotExpired {
        sequence,
        detail: format!("table {table:?} keeps versions from {horizon} on"),
    }
}
