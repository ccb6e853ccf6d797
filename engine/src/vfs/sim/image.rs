//! What a disk holds after a power cut: any subset of the pending changes, the rest kept old, torn, zeroed or garbled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::disk::Disk;
use super::inode::Inode;
use super::names::{Change, Folder, Names, ROOT};
use super::pages::{PAGE_SECTORS, Pages, SECTOR_BYTES, Sector, mix};
use crate::rng::{Rng, SeededRng};

/// Which pending changes a power cut leaves on the disk.
pub enum CrashChoice<'a> {
    /// None.
    Nothing,
    /// All but those of a failed sync.
    Everything,
    /// Some, by a seed. Beside independent coins it tries whole files, and everything up to a moment; in half of the
    /// images some of what did not persist is damaged.
    Random(u64),
    /// Those that a function chooses: it is asked about each and answers with an option's number.
    By(&'a mut dyn FnMut(&Question) -> usize),
}

impl std::fmt::Debug for CrashChoice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Everything => f.write_str("Everything"),
            Self::Random(seed) => f.debug_tuple("Random").field(seed).finish(),
            Self::By(_) => f.write_str("By(..)"),
        }
    }
}

/// What a question is about. Option 0 always is "as before", option 1 "as written".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pending {
    /// A sector: 2 zeros, 3 garbage, 4 torn (its first bytes as written, the others as before), 5 and on what was
    /// written and overwritten in between.
    Sector,
    /// A sector of a failed sync; the same options.
    LostSector,
    /// A file's length: 2 in between at a sector's end, 3 anywhere in between, 4 and on lengths it had in between.
    Length,
    /// A change of names.
    Entry,
    /// A change of names of a failed folder sync.
    LostEntry,
}

/// A question to [`CrashChoice::By`]: what becomes of one pending change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub pending: Pending,
    /// The mutating call that made the change, or made it last.
    pub call: u64,
    /// The file's number on this disk; 0 for changes of names.
    pub file: u64,
    /// The count of options; higher answers count as the last.
    pub options: usize,
}

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
        let mut cut =
            Cut { chooser: Chooser::new(choice, self), noise: SeededRng::new(noise_seed) };
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
struct Cut<'a> {
    chooser: Chooser<'a>,
    noise: SeededRng,
}

impl Cut<'_> {
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
            let page = first / PAGE_SECTORS;
            let (low, high) = (page * PAGE_SECTORS, (page + 1) * PAGE_SECTORS);
            let differing =
                file.dirty.range(low..high).count() + file.lost.range(low..high).count();
            if differing == fates.len() {
                content.share_page(&file.volatile, page);
                return;
            }
        }
        for (sector, fate) in fates {
            let new = || file.volatile.sector(*sector);
            let written = match fate {
                Fate::Old => continue,
                Fate::New => new(),
                Fate::Zeros => [0; SECTOR_BYTES],
                Fate::Garbage => self.garbage(),
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

    fn garbage(&self) -> Sector {
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

enum Chooser<'a> {
    Nothing,
    Everything,
    Random(RandomChooser),
    By(&'a mut dyn FnMut(&Question) -> usize),
}

impl<'a> Chooser<'a> {
    fn new(choice: CrashChoice<'a>, disk: &Disk) -> Self {
        match choice {
            CrashChoice::Nothing => Self::Nothing,
            CrashChoice::Everything => Self::Everything,
            CrashChoice::Random(seed) => Self::Random(RandomChooser::new(seed, disk)),
            CrashChoice::By(function) => Self::By(function),
        }
    }

    fn answer(&mut self, question: &Question) -> usize {
        let answer = match self {
            Self::Nothing => 0,
            Self::Everything => {
                usize::from(!matches!(question.pending, Pending::LostSector | Pending::LostEntry))
            }
            Self::Random(random) => random.answer(question),
            Self::By(function) => function(question),
        };
        answer.min(question.options - 1)
    }
}

struct RandomChooser {
    rng: SeededRng,
    style: Style,
    damages: bool,
}

/// How one image decides what persists: coins alone hardly ever give the images that real disks leave most often.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// Each change alone, with this chance of 16.
    Coins(u64),
    /// All changes of a file, or none.
    WholeFiles(u64),
    /// All changes of the calls before this one, and some of its own.
    UpTo(u64),
}

impl RandomChooser {
    fn new(seed: u64, disk: &Disk) -> Self {
        let rng = SeededRng::new(mix(disk.seed, seed));
        let style = match rng.next_u64() % 8 {
            0..3 => {
                let oldest = disk.oldest_pending().unwrap_or(disk.call_count);
                Style::UpTo(oldest + rng.next_u64() % (disk.call_count - oldest).max(1))
            }
            3 => Style::WholeFiles(rng.next_u64()),
            4 => Style::Coins(15),
            5 => Style::Coins(1),
            _ => Style::Coins(8),
        };
        let damages = rng.next_u64().is_multiple_of(2);
        Self { rng, style, damages }
    }

    fn answer(&mut self, question: &Question) -> usize {
        let coin = |chance: u64| self.rng.next_u64() % 16 < chance;
        let persists = match (question.pending, self.style) {
            (Pending::LostSector | Pending::LostEntry, _) => coin(4),
            (_, Style::Coins(chance)) => coin(chance),
            (Pending::Entry, Style::WholeFiles(_)) => coin(8),
            (_, Style::WholeFiles(key)) => mix(key, question.file) & 1 == 1,
            (_, Style::UpTo(call)) => question.call < call || (question.call == call && coin(8)),
        };
        if persists {
            return 1;
        }
        match question.options as u64 {
            more @ 3.. if self.damages && coin(4) => {
                usize::try_from(2 + self.rng.next_u64() % (more - 2)).unwrap_or_default()
            }
            _ => 0,
        }
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
