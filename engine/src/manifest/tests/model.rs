//! Versions against a naive list of everything, under random changes, right and wrong ones.

use super::*;
use crate::rng::Rng;

/// Everything in plain lists.
#[derive(Clone, Default)]
struct Naive {
    segments: Vec<Arc<SegmentInfo>>,
    flushed: Vec<(u32, Sequence)>,
    horizons: Vec<(u32, Sequence)>,
    tombstones: Vec<Arc<Tombstone>>,
    incarnations: Vec<(u32, Sequence)>,
    floor: u64,
    heads: Vec<(u64, u128)>,
    producers: Vec<ProducerState>,
    dropped: Vec<u32>,
    tables: Vec<u32>,
    next_table: u32,
    catalog_sequence: Sequence,
    times: Option<(u128, u64)>,
    quarantined: usize,
}

impl Naive {
    fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::SegmentAdded(new) => {
                let fresh = self.segments.iter().all(|known| known.file_id != new.file_id);
                self.segments.push(Arc::clone(new));
                fresh
            }
            Change::SegmentRemoved(file) => {
                let before = self.segments.len();
                self.segments.retain(|known| known.file_id != *file);
                self.segments.len() + 1 == before
            }
            Change::FlushedThrough { table, through } => {
                let fits = !self.flushed.iter().any(|(t, s)| *t == table.0 && s > through);
                self.flushed.retain(|(t, _)| *t != table.0);
                self.flushed.push((table.0, *through));
                fits
            }
            Change::Horizon { table, through } => {
                let fits = !self.horizons.iter().any(|(t, s)| *t == table.0 && s > through);
                self.horizons.retain(|(t, _)| *t != table.0);
                self.horizons.push((table.0, *through));
                fits
            }
            Change::TombstoneAdded(new) => {
                let fresh = !self.tombstones.contains(new);
                self.tombstones.push(Arc::clone(new));
                fresh
            }
            Change::TombstoneRemoved { table, sequence } => {
                let before = self.tombstones.len();
                self.tombstones.retain(|t| t.table != *table || t.sequence != *sequence);
                self.tombstones.len() < before
            }
            Change::Incarnation { number, previous_last } => {
                let above = self.incarnations.iter().all(|(n, s)| n < number && s <= previous_last);
                self.incarnations.push((*number, *previous_last));
                above && previous_last.incarnation < *number
            }
            Change::LogFloor(file) => std::mem::replace(&mut self.floor, *file) <= *file,
            Change::LogHead { number, file_id } => {
                let follows = self.heads.iter().all(|(known, _)| known < number) && *number > 0;
                self.heads.push((*number, file_id.0));
                follows
            }
            Change::Producers(all) => {
                self.producers.clone_from(all);
                all.windows(2).all(|pair| pair[0].id < pair[1].id)
            }
            Change::Catalog { catalog, through } => self.set_catalog(catalog, *through),
            Change::CommitTimes(new) => {
                let (file, len) = (new.file_id.0, new.len_bytes);
                self.times.replace((file, len)).is_none_or(|(f, l)| f != file || l <= len)
            }
            Change::Quarantined(_) => {
                self.quarantined += 1;
                true
            }
        }
    }

    fn set_catalog(&mut self, catalog: &Catalog, through: Sequence) -> bool {
        let tables: Vec<u32> = catalog.tables().map(|table| table.id.0).collect();
        let next = catalog.next_table().0;
        let fits = through >= self.catalog_sequence
            && next >= self.next_table
            && !tables.iter().any(|table| self.dropped.contains(table));
        self.dropped = (1..next).filter(|table| !tables.contains(table)).collect();
        self.flushed.retain(|(table, _)| !self.dropped.contains(table));
        self.horizons.retain(|(table, _)| !self.dropped.contains(table));
        (self.tables, self.next_table, self.catalog_sequence) = (tables, next, through);
        fits
    }

    fn check(&self, version: &Version) {
        for table in 0..6 {
            let mut expected: Vec<_> =
                self.segments.iter().filter(|s| s.table.0 == table).cloned().collect();
            expected.sort_by_key(|s| (s.window.start_ns, s.min_sequence, s.file_id));
            assert_eq!(version.segments_of(TableId(table)), expected);
            let flushed = self.flushed.iter().find(|(t, _)| *t == table).map(|(_, s)| *s);
            assert_eq!(version.flushed_through(TableId(table)), flushed.unwrap_or_default());
            let horizon = self.horizons.iter().find(|(t, _)| *t == table).map(|(_, s)| *s);
            assert_eq!(version.horizon(TableId(table)), horizon.unwrap_or_default());
            let mut tombstones: Vec<_> =
                self.tombstones.iter().filter(|t| t.table.0 == table).cloned().collect();
            tombstones.sort_by_key(|t| t.sequence);
            assert_eq!(version.tombstones_of(TableId(table)), tombstones);
        }
        assert_eq!(version.all_segments().count(), self.segments.len());
        assert_eq!(*version.incarnations, self.incarnations);
        assert_eq!(version.incarnation, self.incarnations.last().map_or(0, |last| last.0));
        assert_eq!(version.log_floor, self.floor);
        let head = version.log_head.map(|(number, file)| (number, file.0));
        assert_eq!(head, self.heads.last().copied());
        assert_eq!(*version.producers, self.producers);
        for producer in &self.producers {
            assert_eq!(version.producer(&producer.id), Some(producer));
        }
        let tables: Vec<u32> = version.catalog.tables().map(|table| table.id.0).collect();
        assert_eq!(tables, self.tables);
        assert_eq!(version.catalog_sequence, self.catalog_sequence);
        let times = version.commit_times.as_ref().map(|t| (t.file_id.0, t.len_bytes));
        assert_eq!(times, self.times);
        assert_eq!(version.quarantined.len(), self.quarantined);
    }
}

/// A change that may or may not fit.
fn random_change(random: &SeededRng, version: &Version) -> Change {
    let below = |bound: u64| random.next_u64() % bound;
    let table = u32::try_from(below(5)).unwrap() + 1;
    match below(22) {
        0..=6 => {
            let hour = i64::try_from(below(5)).unwrap() - 2;
            Change::SegmentAdded(segment(u128::from(below(400)), table, hour, below(30)))
        }
        7..=9 => {
            let all: Vec<_> = version.all_segments().map(|s| s.file_id).collect();
            let known = all.get(usize::try_from(below(1000)).unwrap() % all.len().max(1));
            let known = known.copied().filter(|_| below(8) > 0);
            Change::SegmentRemoved(known.unwrap_or(FileId(u128::from(below(400)))))
        }
        10 => {
            let at = version.flushed_through(TableId(table)).counter + below(20);
            Change::FlushedThrough { table: TableId(table), through: seq(1, at.max(4) - 4) }
        }
        11 | 12 => Change::TombstoneAdded(tombstone(table, below(50))),
        13 => Change::TombstoneRemoved { table: TableId(table), sequence: seq(1, below(50)) },
        14 => {
            let number = version.incarnation + u32::try_from(below(3)).unwrap();
            let last = seq(version.incarnation, u64::from(version.incarnation) * 10 + below(12));
            Change::Incarnation { number, previous_last: last }
        }
        15 => Change::LogFloor((version.log_floor + below(4)).max(1) - 1),
        16 => {
            let ids = (0..below(6)).map(|_| format!("p{}", below(30)));
            let mut all: Vec<_> = ids.map(|id| producer(&id, below(9) + 1)).collect();
            if below(8) > 0 {
                all.sort_by(|a, b| a.id.cmp(&b.id));
                all.dedup_by(|a, b| a.id == b.id);
            }
            Change::Producers(Arc::new(all))
        }
        17 => Change::Catalog {
            catalog: Arc::new(random_catalog(random, &version.catalog)),
            through: seq(1, (version.catalog_sequence.counter + below(5)).max(1) - 1),
        },
        18 => {
            let (file, len) = (u128::from(below(3)), below(100));
            let reference = CommitTimesRef { file_id: FileId(file), len_bytes: len, hash: [1; 32] };
            Change::CommitTimes(reference)
        }
        19 => {
            let number = version.log_head.map_or(0, |(number, _)| number) + below(3);
            Change::LogHead { number, file_id: FileId(u128::from(below(9))) }
        }
        20 => {
            let at = version.horizon(TableId(table)).counter + below(20);
            Change::Horizon { table: TableId(table), through: seq(1, at.max(4) - 4) }
        }
        _ => Change::Quarantined(quarantined("z")),
    }
}

/// The next catalog, or now and then one that forgets what was.
fn random_catalog(random: &SeededRng, known: &Catalog) -> Catalog {
    let mut catalog =
        if random.next_u64().is_multiple_of(10) { Catalog::default() } else { known.clone() };
    let first = catalog.tables().next().map(|table| table.id);
    if let Some(table) = first.filter(|_| random.next_u64().is_multiple_of(3)) {
        catalog = catalog.apply(&CatalogChange::DropTable { table }).unwrap();
    }
    let name = format!("t{}", catalog.next_table().0);
    let schema = catalog.plan_table(&name, &TableOptions::default());
    catalog.apply(&CatalogChange::CreateTable(schema)).unwrap()
}

#[test]
fn versions_agree_with_plain_lists() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..20 {
        let random = SeededRng::new(seed);
        let mut version = Version::empty(DATABASE);
        let mut naive = Naive { next_table: 1, ..Naive::default() };
        for _ in 0..400 {
            let mut next = naive.clone();
            let count = 1 + random.next_u64() % 3;
            let changes: Vec<_> = (0..count).map(|_| random_change(&random, &version)).collect();
            let fits = changes.iter().all(|change| next.apply(change));
            let applied = version.apply(&changes);
            assert_eq!(applied.is_ok(), fits, "seed {seed}: {changes:?}: {applied:?}");
            let Ok(applied) = applied else {
                refused += 1;
                continue;
            };
            accepted += 1;
            assert_eq!(applied.number, version.number + 1);
            next.check(&applied);
            // What a checkpoint holds gives the same again.
            let mut again = Version::empty(DATABASE).apply(&applied.to_changes()).unwrap();
            again.number = applied.number;
            assert_eq!(again, applied);
            (version, naive) = (applied, next);
        }
    }
    assert!(accepted > 2000 && refused > 500, "{accepted} {refused}");
}

#[test]
fn random_edits_survive_reopening() {
    for seed in 0..3 {
        let (disk, random) = (SimVfs::new(seed), SeededRng::new(seed + 100));
        let mut manifest = create(&disk);
        while manifest.version().number < 200 {
            let changes = [random_change(&random, &manifest.version())];
            let Ok(version) = manifest.commit(&changes) else { continue };
            if version.number.is_multiple_of(7) {
                manifest = open(&disk, true).unwrap();
            }
            assert_eq!(manifest.version(), version);
        }
    }
}
