//! The checksum of every sealed piece of a file: CRC-32 over where the piece belongs, then its bytes, so that a piece
//! that moved, or came from another file or format, does not pass. Format: docs/decisions/0006-checksums.md.

use crate::model::FileId;
use crate::planted::{Bug, is_on, note_seal};

/// The number of this checksum in file headers: CRC-32 (ISO 3309), bound to its place.
pub const CHECKSUM_CRC32: u8 = 1;

/// The checksum of `bytes` that lie at `offset` of the file `file_id`, whose format is `version`: CRC-32 over the file id
/// (16 bytes), the offset (8), the version (4), all little-endian, and then the bytes.
#[must_use]
pub fn seal(file_id: FileId, offset: u64, version: u32, bytes: &[u8]) -> u32 {
    let mut place = [0; 28];
    let (id, rest) = place.split_at_mut(16);
    let (at, of) = rest.split_at_mut(8);
    if !is_on(Bug::ChecksumWithoutFile) {
        id.copy_from_slice(&file_id.0.to_le_bytes());
    }
    if !is_on(Bug::ChecksumWithoutOffset) {
        at.copy_from_slice(&offset.to_le_bytes());
    }
    of.copy_from_slice(&version.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place);
    hasher.update(bytes);
    let seal = hasher.finalize();
    note_seal(file_id.0, offset, bytes.len(), seal);
    seal
}

/// Whether `checksum` is the one of `bytes` at this place.
#[must_use]
pub fn check(file_id: FileId, offset: u64, version: u32, bytes: &[u8], checksum: u32) -> bool {
    trusts() || seal(file_id, offset, version, bytes) == checksum
}

#[cfg(feature = "fuzz")]
mod trust {
    use std::cell::Cell;

    thread_local! {
        static TRUSTS: Cell<bool> = const { Cell::new(false) };
    }

    /// From now on this thread takes every stored checksum and hash for the right one, or no longer does: mutated bytes
    /// reach the decoders behind them.
    pub fn trust(every: bool) {
        TRUSTS.set(every);
    }

    /// Whether this thread takes every checksum for the right one.
    pub(crate) fn trusts() -> bool {
        TRUSTS.get()
    }
}

#[cfg(not(feature = "fuzz"))]
mod trust {
    /// Whether checksums hold whatever is stored: never.
    #[inline]
    pub(crate) const fn trusts() -> bool {
        false
    }
}

#[cfg(feature = "fuzz")]
pub use trust::trust;
pub(crate) use trust::trusts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_one_place_only() {
        let (id, other) = (FileId(7), FileId(7 << 64));
        let crc = seal(id, 64, 0, b"page");
        assert!(check(id, 64, 0, b"page", crc));
        assert!(!check(other, 64, 0, b"page", crc));
        assert!(!check(id, 65, 0, b"page", crc));
        assert!(!check(id, 64, 1, b"page", crc));
        assert!(!check(id, 64, 0, b"pagf", crc));
    }

    #[test]
    fn the_checksum_is_a_plain_crc_32_of_place_and_bytes() {
        let mut whole = vec![7];
        whole.resize(16, 0);
        whole.extend_from_slice(&[64, 0, 0, 0, 0, 0, 0, 0]);
        whole.extend_from_slice(&[0; 4]);
        whole.extend_from_slice(b"page");
        assert_eq!(seal(FileId(7), 64, 0, b"page"), bitwise_crc_32(&whole));
    }

    fn bitwise_crc_32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }
}
