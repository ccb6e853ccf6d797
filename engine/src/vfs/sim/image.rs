//! What a disk holds after a power cut: any subset of the pending changes, the rest kept old, torn, zeroed or garbled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::choose::{Chooser, CrashChoice, Pending, Question};
use super::disk::Disk;
use super::inode::Inode;
use super::names::{Change, Folder, Names, ROOT};
use super::pages::{PAGE_SECTORS, Pages, SECTOR_BYTES, Sector, mix};
use crate::rng::{Rng, SeededRng};

/// What becomes of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Old,
    New,
    Zeros,
    Garbage,
    Torn,
    Earlier(usize),
}

/// Options of a sector before those of its earlier contents.
const FATE_COUNT: usize = 5;
/// Options of a length before those of earlier lengths.
const LENGTH_COUNT: usize = 4;

impl Fate {
    fn of(answer: usize) -> Self {
        match answer {
            0 => Self::Old,
            1 => Self::New,
            2 => Self::Zeros,
            3 => Self::Garbage,
            4 => Self::Torn,
            more => Self::Earlier(more - FATE_COUNT),
        }
    }
}

impl Disk {
    /// The disk after a power cut: nothing pending, only what has a name.
    pub(super) fn after_cut(&self, choice: CrashChoice<'_>) -> Self {
        let noise_seed = match choice {
            CrashChoice::Random(seed) => mix(mix(1, self.seed), seed),
            _ => self.seed,
        };
        let mut cut = Cut {
            disk: self,
            chooser: Chooser::new(choice, self),
            noise: SeededRng::new(noise_seed),
        };
        let mut persists = |change: &Change| cut.persists(change);
        let reached = reachable(self.names.after_cut(&mut persists));
        let mut files = BTreeMap::new();
        for number in &reached.files {
            if let Some(file) = self.files.get(number) {
                files.insert(*number, cut.file(*number, file));
            }
        }
        Self {
            seed: mix(self.seed, 1),
            names: Names { folders: reached.folders, pending: Vec::new() },
            files,
            next_number: self.next_number,
            call_count: 0,
            capacity_bytes: self.capacity_bytes,
        }
    }
}

struct Reached {
    folders: BTreeMap<u64, Arc<Folder>>,
    files: BTreeSet<u64>,
}

/// What has a durable name under the root, with the durable entries as the present ones.
fn reachable(mut folders: BTreeMap<u64, Arc<Folder>>) -> Reached {
    let mut reached = Reached { folders: BTreeMap::new(), files: BTreeSet::new() };
    let mut open = Vec::from_iter(folders.remove(&ROOT).map(|root| (ROOT, root)));
    let mut seen = BTreeSet::from([ROOT]);
    while let Some((number, mut folder)) = open.pop() {
        let mut twice = Vec::new();
        for (name, child) in &folder.durable {
            match folders.remove(child) {
                Some(found) => {
                    seen.insert(*child);
                    open.push((*child, found));
                }
                // A folder has one name only.
                None if seen.contains(child) => twice.push(name.clone()),
                None => {
                    reached.files.insert(*child);
                }
            }
        }
        if !twice.is_empty() || folder.volatile != folder.durable {
            let folder = Arc::make_mut(&mut folder);
            folder.durable.retain(|name, _| !twice.contains(name));
            folder.volatile.clone_from(&folder.durable);
        }
        reached.folders.insert(number, folder);
    }
    reached
}

/// One power cut: the decisions, and the noise for what is damaged.
struct Cut<'a, 'd> {
    disk: &'d Disk,
    chooser: Chooser<'a>,
    noise: SeededRng,
}

impl Cut<'_, '_> {
    fn persists(&mut self, change: &Change) -> bool {
        let pending = if change.lost { Pending::LostEntry } else { Pending::Entry };
        self.chooser.answer(&Question { pending, call: change.order, file: 0, options: 2 }) == 1
    }

    fn file(&mut self, number: u64, file: &Arc<Inode>) -> Arc<Inode> {
        if file.is_clean() {
            return Arc::clone(file);
        }
        let len = self.length(number, file);
        let mut content = file.durable.clone();
        let fates = self.fates(number, file, len);
        for of_page in fates.chunk_by(|a, b| a.0 / PAGE_SECTORS == b.0 / PAGE_SECTORS) {
            self.apply(file, of_page, &mut content);
        }
        content.clear_from(len);
        Arc::new(Inode {
            volatile: content.clone(),
            volatile_len: len,
            durable: content,
            durable_len: len,
            ..Inode::default()
        })
    }

    fn length(&mut self, number: u64, file: &Inode) -> u64 {
        let Some((last, earlier)) = file.lengths.split_last() else { return file.durable_len };
        let options = LENGTH_COUNT + earlier.len();
        let question =
            Question { pending: Pending::Length, call: last.order, file: number, options };
        match self.chooser.answer(&question) {
            0 => file.durable_len,
            1 => last.bytes,
            2 => self.length_between(file, SECTOR_BYTES as u64),
            3 => self.length_between(file, 1),
            more => earlier.get(more - LENGTH_COUNT).map_or(last.bytes, |length| length.bytes),
        }
    }

    /// A length between the shortest and the longest that the file had since its last sync, cut to a multiple of `step`.
    fn length_between(&self, file: &Inode, step: u64) -> u64 {
        let lengths = file.lengths.iter().map(|length| length.bytes);
        let (low, high) = lengths
            .fold((file.durable_len, file.durable_len), |(low, high), bytes| {
                (low.min(bytes), high.max(bytes))
            });
        let drawn = low + self.noise.next_u64() % (high - low).saturating_add(1);
        // Not below the shortest: that much is durable.
        (drawn - drawn % step).max(low)
    }

    /// What becomes of each sector that may differ, below the length.
    fn fates(&mut self, number: u64, file: &Inode, len: u64) -> Vec<(u64, Fate)> {
        let end = len.div_ceil(SECTOR_BYTES as u64);
        let mut fates = Vec::with_capacity(file.dirty.len() + file.lost.len());
        for (sector, dirty) in file.dirty.range(..end) {
            let options = FATE_COUNT + dirty.earlier.len();
            let question =
                Question { pending: Pending::Sector, call: dirty.order, file: number, options };
            fates.push((*sector, Fate::of(self.chooser.answer(&question))));
        }
        for sector in file.lost.range(..end) {
            let pending = Pending::LostSector;
            let question = Question { pending, call: 0, file: number, options: FATE_COUNT };
            fates.push((*sector, Fate::of(self.chooser.answer(&question))));
        }
        fates.sort_unstable_by_key(|(sector, _)| *sector);
        fates
    }

    /// Applies the fates of one page's sectors.
    fn apply(&mut self, file: &Inode, fates: &[(u64, Fate)], content: &mut Pages) {
        if let Some((first, _)) = fates.first()
            && fates.iter().all(|(_, fate)| *fate == Fate::New)
        {
            // All that differs in the page has a fate, or lies beyond the length and is cleared later.
            content.share_page(&file.volatile, first / PAGE_SECTORS);
            return;
        }
        for (sector, fate) in fates {
            let new = || file.volatile.sector(*sector);
            let written = match fate {
                Fate::Old => continue,
                Fate::New => new(),
                Fate::Zeros => [0; SECTOR_BYTES],
                Fate::Garbage => self.garbage(*sector),
                Fate::Torn => self.torn(new(), &file.durable.sector(*sector)),
                Fate::Earlier(index) => {
                    let earlier =
                        file.dirty.get(sector).and_then(|dirty| dirty.earlier.get(*index));
                    earlier.copied().unwrap_or_else(new)
                }
            };
            content.set_sector(*sector, &written);
        }
    }

    /// Noise, or what another file has there: disks give the blocks of removed files to new ones.
    fn garbage(&self, index: u64) -> Sector {
        if self.noise.next_u64().is_multiple_of(2) {
            let others = self.disk.files.values().map(|file| file.volatile.sector(index));
            let stale: Vec<Sector> = others.filter(|found| *found != [0; SECTOR_BYTES]).collect();
            let count = stale.len() as u64;
            let at = self.noise.next_u64() % count.max(1);
            if let Some(found) = usize::try_from(at).ok().and_then(|at| stale.get(at)) {
                return *found;
            }
        }
        let mut sector = [0; SECTOR_BYTES];
        for word in sector.as_chunks_mut::<8>().0 {
            *word = self.noise.next_u64().to_le_bytes();
        }
        sector
    }

    fn torn(&self, mut new: Sector, old: &Sector) -> Sector {
        let keep = 1 + self.noise.next_u64() % (SECTOR_BYTES as u64 - 1);
        for ((_, new), old) in (0..).zip(&mut new).zip(old).filter(|((at, _), _)| *at >= keep) {
            *new = *old;
        }
        new
    }
}

/// All images of a disk with given limits, in a fixed order.
#[derive(Debug)]
pub(super) struct Enumeration {
    disk: Disk,
    option_count_max: usize,
    /// Each question's answer and count of options, as far as they were asked the last time; None before the first.
    script: Option<Vec<(usize, usize)>>,
}

impl Enumeration {
    pub(super) fn new(disk: Disk, option_count_max: usize) -> Self {
        Self { disk, option_count_max: option_count_max.max(1), script: None }
    }

    /// Steps to the next script. Returns None after the last.
    fn next_script(&mut self) -> Option<Vec<(usize, usize)>> {
        let Some(mut script) = self.script.take() else { return Some(Vec::new()) };
        while let Some((answer, options)) = script.pop() {
            if answer + 1 < options {
                script.push((answer + 1, options));
                return Some(script);
            }
        }
        self.script = Some(script);
        None
    }
}

impl Iterator for Enumeration {
    type Item = Disk;

    fn next(&mut self) -> Option<Disk> {
        let mut script = self.next_script()?;
        let mut asked = 0;
        let option_count_max = self.option_count_max;
        let mut choose = |question: &Question| {
            if asked == script.len() {
                script.push((0, question.options.min(option_count_max)));
            }
            asked += 1;
            script.get(asked - 1).map_or(0, |(answer, _)| *answer)
        };
        let image = self.disk.after_cut(CrashChoice::By(&mut choose));
        self.script = Some(script);
        Some(image)
    }
}
