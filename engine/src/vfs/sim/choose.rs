//! Who decides what a power cut leaves: nothing, everything, a seed, or a function.

use super::disk::Disk;
use super::pages::mix;
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
    /// A sector: 2 zeros, 3 garbage or another file's sector, 4 torn (its first bytes as written, the others as before), 5 and on what was
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

/// Answers questions as a [`CrashChoice`] says.
pub(super) enum Chooser<'a> {
    Nothing,
    Everything,
    Random(RandomChooser),
    By(&'a mut dyn FnMut(&Question) -> usize),
}

impl<'a> Chooser<'a> {
    pub(super) fn new(choice: CrashChoice<'a>, disk: &Disk) -> Self {
        match choice {
            CrashChoice::Nothing => Self::Nothing,
            CrashChoice::Everything => Self::Everything,
            CrashChoice::Random(seed) => Self::Random(RandomChooser::new(seed, disk)),
            CrashChoice::By(function) => Self::By(function),
        }
    }

    pub(super) fn answer(&mut self, question: &Question) -> usize {
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

pub(super) struct RandomChooser {
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
