//! When batches were committed, at steps of 100 ms: answers reads as of a moment. The first sequence of each step is kept, in
//! about three bytes an entry; a day of writing without pause is 864,000 entries.
//!
//! A batch's commit time is rounded **up** to a whole step. So a read as of T never sees what was committed after T, and may
//! miss what was committed in the last 100 ms before it. Format: docs/format/commit-times.md.

mod file;
#[cfg(test)]
mod tests;

pub use file::CommitTimesRef;
#[cfg(feature = "fuzz")]
pub use file::reread_blocks;

use chronolith_codec::varint::{Reader, put_u64};

use self::file::FileState;
use crate::format::wire::{self, Decoded, corrupt};
use crate::limits::COMMIT_TIME_STEP_NS;
use crate::model::Sequence;
use crate::planted::{Bug, is_on};

/// Entries between two anchors: a lookup decodes at most so many.
const ANCHOR_ENTRY_COUNT: usize = 256;

/// The first sequence of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    sequence: Sequence,
    /// The commit time in steps since the Unix epoch.
    step: i64,
}

/// A place in the encoded entries from which reading can begin.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    entry: Entry,
    /// Where the entry after it is encoded.
    offset: usize,
}

/// The commit times that are kept, in memory and, as far as [`CommitTimes::append_to_file`] went, in a side file.
#[derive(Debug, Clone, Default)]
pub struct CommitTimes {
    /// Every entry but those of the anchors, each as its difference from the one before.
    encoded: Vec<u8>,
    anchors: Vec<Anchor>,
    entry_count: usize,
    last: Option<Entry>,
    /// The greatest sequence that was pushed.
    last_sequence: Sequence,
    /// Whether entries before the first were forgotten.
    forgotten: bool,
    file: Option<FileState>,
}

impl CommitTimes {
    /// Of a database without commits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a database whose commit times were lost: every moment before the first that is pushed lies before what is kept.
    #[must_use]
    pub fn lost() -> Self {
        Self { forgotten: true, ..Self::default() }
    }

    /// Notes that commits up to `sequence` were made at moments that nobody knows any more.
    pub fn pass(&mut self, sequence: Sequence) {
        self.last_sequence = self.last_sequence.max(sequence);
    }

    /// Notes that `sequence` was committed at `time_ns`, nanoseconds since the Unix epoch. Push every batch in sequence order;
    /// a sequence that is not above the last is ignored, so the log may be replayed over what was loaded. Time never goes
    /// back: a time before the last entry's counts as that one's.
    pub fn push(&mut self, sequence: Sequence, time_ns: i64) {
        if sequence <= self.last_sequence {
            return;
        }
        self.last_sequence = sequence;
        let mut step = step_up(time_ns, COMMIT_TIME_STEP_NS);
        if is_on(Bug::RoundCommitTimesDown) {
            step = time_ns.div_euclid(COMMIT_TIME_STEP_NS);
        }
        if self.last.is_none_or(|last| step > last.step) {
            self.add(Entry { sequence, step });
        }
    }

    /// The last sequence whose commit time is at or before `time_ns`: the one before the first entry with a later time, or the
    /// last of all where no entry is later. It may name a place between two batches: `(i, 0 or the count before)` where
    /// incarnation i begins later. `Sequence::ZERO` without any commit. None where the moment lies before what is kept.
    #[must_use]
    pub fn sequence_at(&self, time_ns: i64) -> Option<Sequence> {
        let step = time_ns.div_euclid(COMMIT_TIME_STEP_NS);
        let first = self.anchors.first().map(|anchor| anchor.entry);
        if self.forgotten && first.is_none_or(|first| first.step > step) {
            return None;
        }
        let anchor = self.anchors.partition_point(|anchor| anchor.entry.step <= step);
        let later = self.entries_from(anchor.saturating_sub(1)).find(|entry| entry.step > step);
        Some(later.map_or(self.last_sequence, |entry| Sequence {
            incarnation: entry.sequence.incarnation,
            counter: entry.sequence.counter.saturating_sub(1),
        }))
    }

    /// The commit time of `sequence`, rounded up to a step, nanoseconds since the Unix epoch. None for one that was not
    /// pushed yet, or lies before what is kept.
    #[must_use]
    pub fn time_of(&self, sequence: Sequence) -> Option<i64> {
        if sequence > self.last_sequence {
            return None;
        }
        let anchor = self.anchors.partition_point(|anchor| anchor.entry.sequence <= sequence);
        let entries = self.entries_from(anchor.checked_sub(1)?);
        let entry = entries.take_while(|entry| entry.sequence <= sequence).last()?;
        Some(entry.step.saturating_mul(COMMIT_TIME_STEP_NS))
    }

    /// The last commit time, rounded up to a step, nanoseconds since the Unix epoch. None without any commit.
    #[must_use]
    pub fn last_time_ns(&self) -> Option<i64> {
        self.last.map(|last| last.step.saturating_mul(COMMIT_TIME_STEP_NS))
    }

    /// The same with one entry per `step_ns` up to the moment `below_ns`, to be written into a new file. Answers for moments
    /// from `below_ns` on stay exact; for earlier ones times are rounded up to `step_ns`, so still nothing later is seen.
    #[must_use]
    pub fn thin(&self, below_ns: i64, step_ns: i64) -> Self {
        let below = below_ns.div_euclid(COMMIT_TIME_STEP_NS);
        let width = step_up(step_ns, COMMIT_TIME_STEP_NS).max(1);
        let coarse = |step: i64| step_up(step, width).saturating_mul(width);
        self.rebuilt(
            self.forgotten,
            self.entries().map(|entry| match coarse(entry.step) {
                step if step <= below => Entry { step, ..entry },
                _ => entry,
            }),
        )
    }

    /// The same without what serves only moments before `below_ns`, to be written into a new file.
    #[must_use]
    pub fn forget(&self, below_ns: i64) -> Self {
        let below = below_ns.div_euclid(COMMIT_TIME_STEP_NS);
        let dropped = self.entries().take_while(|entry| entry.step <= below).count();
        let dropped = dropped.saturating_sub(1);
        self.rebuilt(self.forgotten || dropped > 0, self.entries().skip(dropped))
    }

    /// Takes up the side file of `written`, an earlier copy of this that was appended to it.
    pub fn adopt_file(&mut self, written: Self) {
        self.file = written.file;
    }

    /// How many entries are kept.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// The greatest sequence that was pushed.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last_sequence
    }

    /// Bytes that the entries take in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.encoded.capacity() + self.anchors.capacity() * size_of::<Anchor>()
    }

    fn rebuilt(&self, forgotten: bool, entries: impl Iterator<Item = Entry>) -> Self {
        let mut new = Self { forgotten, ..Self::default() };
        for entry in entries {
            if new.last.is_none_or(|last| entry.step > last.step) {
                new.add(entry);
            }
        }
        new.last_sequence = self.last_sequence;
        new
    }

    /// Adds an entry above the last in sequence and step.
    fn add(&mut self, entry: Entry) {
        match self.last {
            Some(last) if !self.entry_count.is_multiple_of(ANCHOR_ENTRY_COUNT) => {
                put_entry(&mut self.encoded, last, entry);
            }
            _ => self.anchors.push(Anchor { entry, offset: self.encoded.len() }),
        }
        self.entry_count += 1;
        self.last = Some(entry);
        self.last_sequence = self.last_sequence.max(entry.sequence);
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries_from(0)
    }

    /// The entries from the anchor at `index` on.
    fn entries_from(&self, index: usize) -> impl Iterator<Item = Entry> {
        let anchors = self.anchors.get(index..).unwrap_or_default();
        anchors.iter().enumerate().flat_map(move |(at, anchor)| {
            let end = anchors.get(at + 1).map_or(self.encoded.len(), |next| next.offset);
            let bytes = self.encoded.get(anchor.offset..end).unwrap_or_default();
            let (mut reader, mut last) = (Reader::new(bytes), anchor.entry);
            let rest = std::iter::from_fn(move || {
                // These bytes were made by `add`: they end where they end, and decode.
                last = entry(&mut reader, last).ok()?;
                Some(last)
            });
            std::iter::once(anchor.entry).chain(rest)
        })
    }
}

/// `value` in units of `width`, rounded up.
fn step_up(value: i64, width: i64) -> i64 {
    let down = value.div_euclid(width);
    if value.rem_euclid(width) == 0 { down } else { down + 1 }
}

/// Appends `entry` as its difference from `last`: twice the steps between, plus one where the incarnation changes; then the
/// counters' difference, or the new incarnation and its counter.
fn put_entry(out: &mut Vec<u8>, last: Entry, entry: Entry) {
    let steps = entry.step.abs_diff(last.step);
    if entry.sequence.incarnation == last.sequence.incarnation {
        put_u64(out, steps * 2);
        put_u64(out, entry.sequence.counter.saturating_sub(last.sequence.counter));
    } else {
        put_u64(out, steps * 2 + 1);
        wire::put_sequence(out, entry.sequence);
    }
}

/// Reads what [`put_entry`] wrote; the entry is above `last` in sequence and step.
fn entry(reader: &mut Reader<'_>, last: Entry) -> Decoded<Entry> {
    let code = reader.u64()?;
    let step = i64::try_from(code / 2).ok().and_then(|steps| last.step.checked_add(steps));
    let step = step.filter(|step| *step > last.step && *step <= STEP_MAX);
    let step = step.ok_or(corrupt("a commit time does not ascend"))?;
    let sequence = if code.is_multiple_of(2) {
        let counter = last.sequence.counter.checked_add(reader.u64()?);
        let counter = counter.ok_or(corrupt("a commit's counter passes 64 bits"))?;
        Sequence { incarnation: last.sequence.incarnation, counter }
    } else {
        wire::sequence(reader)?
    };
    if sequence <= last.sequence {
        return Err(corrupt("a commit's sequence does not ascend"));
    }
    Ok(Entry { sequence, step })
}

/// The greatest step of any timestamp.
const STEP_MAX: i64 = i64::MAX / COMMIT_TIME_STEP_NS + 1;
/// The least step of any timestamp.
const STEP_MIN: i64 = i64::MIN / COMMIT_TIME_STEP_NS;
