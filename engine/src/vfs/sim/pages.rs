//! Sparse file content in shared pages: copies of a file share every page that neither has changed since.
//! Pages that were never written read as zeros. Offsets have no upper bound but u64.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// Bytes of a page, the unit of sharing.
pub(super) const PAGE_BYTES: usize = 4 << 10;
/// Bytes of a sector, the unit in which a disk writes.
pub(super) const SECTOR_BYTES: usize = 512;
/// Sectors of a page.
pub(super) const PAGE_SECTORS: u64 = (PAGE_BYTES / SECTOR_BYTES) as u64;

const _: () = assert!(PAGE_BYTES.is_multiple_of(SECTOR_BYTES));

/// The content of one sector.
pub(super) type Sector = [u8; SECTOR_BYTES];

/// A page with its hash, computed once however many disks share it.
#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE_BYTES],
    hash: OnceLock<u64>,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        // Cloned to be changed, so the hash is left behind.
        Self { bytes: self.bytes, hash: OnceLock::new() }
    }
}

impl Page {
    fn zeroed() -> Self {
        Self { bytes: [0; PAGE_BYTES], hash: OnceLock::new() }
    }

    /// 0 for a page of zeros, so that it equals an absent one.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            if self.bytes.iter().all(|byte| *byte == 0) { 0 } else { hash_bytes(1, &self.bytes) }
        })
    }
}

/// The pages of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Pages {
    /// Fills `buf` with the bytes from `offset`.
    #[expect(
        clippy::indexing_slicing,
        reason = "`pieces` cuts within the buffer and within a page"
    )]
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) {
        for piece in pieces(offset, buf.len()) {
            let out = &mut buf[piece.at..piece.at + piece.len];
            match self.pages.get(&piece.page) {
                Some(page) => out.copy_from_slice(&page.bytes[piece.within..][..piece.len]),
                None => out.fill(0),
            }
        }
    }

    /// Puts `bytes` at `offset`.
    #[expect(
        clippy::indexing_slicing,
        reason = "`pieces` cuts within the buffer and within a page"
    )]
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for piece in pieces(offset, bytes.len()) {
            let page = self.page_mut(piece.page);
            page[piece.within..][..piece.len].copy_from_slice(&bytes[piece.at..][..piece.len]);
        }
    }

    /// Makes everything from `offset` on zeros.
    #[expect(clippy::indexing_slicing, reason = "`within` is below the page's size")]
    pub(super) fn clear_from(&mut self, offset: u64) {
        let (page, within) = locate(offset);
        if within == 0 {
            self.pages.split_off(&page);
            return;
        }
        self.pages.split_off(&page.saturating_add(1));
        if self.pages.contains_key(&page) {
            self.page_mut(page)[within..].fill(0);
        }
    }

    /// The numbers, from `first` on, of the sectors that are not all zeros.
    pub(super) fn nonzero_sectors_from(&self, first: u64) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for (page, content) in self.pages.range(first / PAGE_SECTORS..) {
            let (sectors, _) = content.bytes.as_chunks::<SECTOR_BYTES>();
            let numbered = (page * PAGE_SECTORS..).zip(sectors);
            let held =
                numbered.filter(|(index, sector)| *index >= first && **sector != [0; SECTOR_BYTES]);
            found.extend(held.map(|(index, _)| index));
        }
        found
    }

    /// The sector of number `index`.
    pub(super) fn sector(&self, index: u64) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        self.read(&mut sector, index.saturating_mul(SECTOR_BYTES as u64));
        sector
    }

    /// Replaces the sector of number `index`.
    pub(super) fn set_sector(&mut self, index: u64, sector: &Sector) {
        self.write(sector, index.saturating_mul(SECTOR_BYTES as u64));
    }

    /// Takes page `index` from `other`, shared.
    pub(super) fn share_page(&mut self, other: &Self, index: u64) {
        match other.pages.get(&index) {
            Some(page) => self.pages.insert(index, Arc::clone(page)),
            None => self.pages.remove(&index),
        };
    }

    /// A hash of the content; pages of zeros do not count.
    pub(super) fn hash(&self) -> u64 {
        let nonzero = self.pages.iter().map(|(index, page)| (index, page.hash()));
        nonzero
            .filter(|(_, hash)| *hash != 0)
            .fold(0, |hash, (index, page)| mix(mix(hash, *index), page))
    }

    fn page_mut(&mut self, index: u64) -> &mut [u8; PAGE_BYTES] {
        let page = self.pages.entry(index).or_insert_with(|| Arc::new(Page::zeroed()));
        let page = Arc::make_mut(page);
        page.hash = OnceLock::new();
        &mut page.bytes
    }
}

/// The numbers of the sectors that `len` bytes at `offset` touch.
pub(super) fn sectors(offset: u64, len: usize) -> std::ops::Range<u64> {
    let sector_bytes = SECTOR_BYTES as u64;
    let end = offset.saturating_add(len as u64);
    if len == 0 { 0..0 } else { offset / sector_bytes..end.div_ceil(sector_bytes) }
}

/// Folds `value` into `hash`.
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// A 64-bit hash of `bytes`, good enough to count distinct images.
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte))), bytes.len() as u64)
}

/// A part of a buffer that lies within one page.
struct Piece {
    /// Where in the buffer.
    at: usize,
    len: usize,
    page: u64,
    /// Where in the page.
    within: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == len {
            return None;
        }
        let (page, within) = locate(offset.saturating_add(at as u64));
        let piece = Piece { at, len: (len - at).min(PAGE_BYTES - within), page, within };
        at += piece.len;
        Some(piece)
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder is below the page's size")]
fn locate(offset: u64) -> (u64, usize) {
    let page_bytes = PAGE_BYTES as u64;
    (offset / page_bytes, (offset % page_bytes) as usize)
}
