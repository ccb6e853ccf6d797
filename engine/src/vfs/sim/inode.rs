//! One simulated file: what reads see, what a power cut is sure to keep, and which changes lie between.
//! Invariant: bytes at and beyond a content's length are zeros, and a sector in which `volatile` and `durable`
//! differ is in `dirty` or `lost` (or lies beyond both lengths).

use std::collections::{BTreeMap, BTreeSet};

use super::pages::{PAGE_SECTORS, Pages, SECTOR_BYTES, Sector, mix, sectors};

/// Earlier contents of a sector, written and overwritten between two syncs, that are remembered.
const EARLIER_COUNT_MAX: usize = 4;
/// Lengths between two syncs that are remembered.
const LENGTH_COUNT_MAX: usize = 8;

/// A sector written since the last sync.
#[derive(Debug, Clone)]
pub(super) struct Dirty {
    /// The call that wrote it last.
    pub(super) order: u64,
    /// What it held in between; a disk may have written any of them.
    pub(super) earlier: Vec<Sector>,
}

/// A length that the file took since the last sync.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub(super) order: u64,
    pub(super) bytes: u64,
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) volatile: Pages,
    pub(super) volatile_len: u64,
    pub(super) durable: Pages,
    pub(super) durable_len: u64,
    pub(super) dirty: BTreeMap<u64, Dirty>,
    /// Sectors of a failed sync: held to be clean, so that no later sync writes them.
    pub(super) lost: BTreeSet<u64>,
    pub(super) lengths: Vec<Length>,
}

impl Inode {
    /// A file that is `bytes`, durably.
    pub(super) fn durable_file(bytes: &[u8]) -> Self {
        let mut volatile = Pages::default();
        volatile.write(bytes, 0);
        let len = bytes.len() as u64;
        Self {
            durable: volatile.clone(),
            volatile,
            volatile_len: len,
            durable_len: len,
            ..Self::default()
        }
    }

    /// Whether a power cut can change nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.lost.is_empty() && self.lengths.is_empty()
    }

    /// The first change that is not durable.
    pub(super) fn oldest_pending(&self) -> Option<u64> {
        let sectors = self.dirty.values().map(|dirty| dirty.order);
        sectors.chain(self.lengths.iter().map(|length| length.order)).min()
    }

    /// Reads up to the end of the file. Returns the bytes read.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let present = self.volatile_len.saturating_sub(offset);
        let len = usize::try_from(present).unwrap_or(usize::MAX).min(buf.len());
        if let Some(buf) = buf.get_mut(..len) {
            self.volatile.read(buf, offset);
        }
        len
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, order: u64) {
        if bytes.is_empty() {
            return;
        }
        self.touch(sectors(offset, bytes.len()), order);
        self.volatile.write(bytes, offset);
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.volatile_len {
            self.note_length(end, order);
        }
    }

    pub(super) fn set_len(&mut self, len: u64, order: u64) {
        if len < self.volatile_len {
            let first = len / SECTOR_BYTES as u64;
            // These are to become zeros; all others beyond the new end are zeros, or dirty already.
            let mut held = self.volatile.nonzero_sectors_from(first);
            held.extend(self.lost.range(first..));
            for sector in held {
                self.touch(sector..sector + 1, order);
            }
            self.volatile.clear_from(len);
        }
        if len != self.volatile_len {
            self.note_length(len, order);
        }
    }

    pub(super) fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for sector in dirty.into_keys() {
            let page = sector / PAGE_SECTORS;
            if self.lost.range(page * PAGE_SECTORS..(page + 1) * PAGE_SECTORS).next().is_none() {
                self.durable.share_page(&self.volatile, page);
            } else {
                self.durable.set_sector(sector, &self.volatile.sector(sector));
            }
        }
        self.durable_len = self.volatile_len;
        self.lengths.clear();
    }

    /// A sync that failed: as Linux does, what it should have written counts as clean from now on.
    pub(super) fn fail_sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        self.lost.extend(dirty.into_keys());
    }

    /// Sectors of a failed sync are read from the disk again: it has the old ones.
    pub(super) fn forget_lost(&mut self) {
        for sector in std::mem::take(&mut self.lost) {
            self.volatile.set_sector(sector, &self.durable.sector(sector));
        }
    }

    /// A hash of what a power cut is sure to keep.
    pub(super) fn durable_hash(&self) -> u64 {
        mix(self.durable.hash(), self.durable_len)
    }

    /// Sets the length of both contents at once, as damage does.
    pub(super) fn damage_len(&mut self, len: u64) {
        self.volatile.clear_from(len);
        self.durable.clear_from(len);
        self.volatile_len = len;
        self.durable_len = len;
        self.lengths.clear();
        let end = len.div_ceil(SECTOR_BYTES as u64);
        self.dirty.retain(|sector, _| *sector < end);
        self.lost.retain(|sector| *sector < end);
    }

    /// Flips bits of both contents at once, as damage does; `offset` is below the length.
    pub(super) fn damage_byte(&mut self, offset: u64, mask: u8) {
        flip(&mut self.volatile, offset, mask);
        if offset < self.durable_len {
            flip(&mut self.durable, offset, mask);
        }
    }

    fn touch(&mut self, sectors: std::ops::Range<u64>, order: u64) {
        for index in sectors {
            let was_lost = self.lost.remove(&index);
            let known = self.dirty.contains_key(&index);
            let dirty =
                self.dirty.entry(index).or_insert_with(|| Dirty { order, earlier: Vec::new() });
            dirty.order = order;
            if known || was_lost {
                if dirty.earlier.len() == EARLIER_COUNT_MAX {
                    dirty.earlier.remove(0);
                }
                dirty.earlier.push(self.volatile.sector(index));
            }
        }
    }

    fn note_length(&mut self, bytes: u64, order: u64) {
        self.volatile_len = bytes;
        if self.lengths.len() == LENGTH_COUNT_MAX {
            // The ends of the history matter most.
            self.lengths.remove(LENGTH_COUNT_MAX / 2);
        }
        self.lengths.push(Length { order, bytes });
    }
}

fn flip(pages: &mut Pages, offset: u64, mask: u8) {
    let mut byte = [0];
    pages.read(&mut byte, offset);
    pages.write(&byte.map(|byte| byte ^ mask), offset);
}
