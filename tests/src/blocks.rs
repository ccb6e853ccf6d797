//! Damage at the level of blocks, exhaustively: every bit of every sealed piece, and every piece in the place of every other.
//!
//! What this shows: no single flipped bit, and no piece of another place, file or database, passes the check that stands before
//! decoding; and every byte of every segment and log file lies in a sealed piece, or is a seal itself. What it does not show: that
//! every reader makes the check. That is sampled with the whole database ([`crate::wreck`]): some damage of every piece.
//! Edits, checkpoints and commit times are under BLAKE3 as a whole, and take part there only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chronolith_engine::format::frame;
use chronolith_engine::model::FileId;
use chronolith_engine::planted::{Seal, seals_of};

use crate::check::Outcome;
use crate::golden::{Golden, is_log, is_segment};

/// What was tried.
#[derive(Debug, Default, Clone, Copy)]
pub struct Blocks {
    /// Sealed pieces.
    pub pieces: u64,
    /// Bits flipped, each refused.
    pub flips: u64,
    /// Pieces in the place of others, each refused.
    pub swaps: u64,
    /// The same, where the bytes are alike.
    pub alike: u64,
}

/// The sealed pieces of a database by file, found by verifying it, and the files' bytes.
#[must_use]
pub fn pieces(golden: &Golden) -> BTreeMap<PathBuf, (Vec<u8>, Vec<Seal>)> {
    let mut seals = seals_of(|| {
        if let Ok(db) = golden.open(&golden.disk.clone_running(), false) {
            _ = db.verify();
        }
    });
    seals.sort_unstable();
    seals.dedup();
    let mut files = BTreeMap::new();
    for path in golden.disk.paths() {
        if !is_log(&path) && !is_segment(&path) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = u128::from_str_radix(stem.rsplit('-').next().unwrap_or_default(), 16);
        let Ok(bytes) = golden.disk.read_raw(&path) else { continue };
        let of = |seal: &&Seal| Ok(seal.file_id) == id;
        let mut found: Vec<Seal> = seals.iter().filter(of).copied().collect();
        // What a search for witnesses looks at without finding one is no piece.
        found.retain(|seal| !is_log(&path) || is_stored(&bytes, seal));
        files.insert(path, (bytes, found));
    }
    files
}

/// Whether the seal of a piece of a log file is where it is kept: behind a header, or in the header before it.
fn is_stored(bytes: &[u8], seal: &Seal) -> bool {
    let end = seal.offset as usize + seal.len_bytes;
    let stored = |at: usize| bytes.get(at..at + 4) == Some(&seal.seal.to_le_bytes());
    stored(end) || (seal.offset >= 96 && stored(seal.offset as usize - 96 + 28))
}

/// Checks that every byte of the segment and log files is sealed, or a seal.
///
/// # Errors
/// The first byte that is not.
pub fn coverage(golden: &Golden) -> Outcome<u64> {
    let mut count = 0;
    for (path, (bytes, seals)) in pieces(golden) {
        let mut sealed = vec![false; bytes.len()];
        for seal in &seals {
            let end = seal.offset as usize + seal.len_bytes;
            sealed[seal.offset as usize..end].fill(true);
            // Headers and trailers are followed by their seals.
            if bytes.get(end..end + 4) == Some(&seal.seal.to_le_bytes()) {
                sealed[end..end + 4].fill(true);
            }
        }
        if let Some(at) = sealed.iter().position(|sealed| !sealed) {
            return Err(format!("byte {at} of {} is under no seal", path.display()));
        }
        count += bytes.len() as u64;
    }
    Ok(count)
}

/// Flips every bit of every piece.
///
/// # Errors
/// A flip that passes.
pub fn flip_all(golden: &Golden, blocks: &mut Blocks) -> Outcome {
    for (path, (bytes, seals)) in pieces(golden) {
        for seal in &seals {
            let from = seal.offset as usize;
            let mut piece = bytes[from..from + seal.len_bytes].to_vec();
            let passes =
                |piece: &[u8]| frame::check(FileId(seal.file_id), seal.offset, 0, piece, seal.seal);
            if !passes(&piece) {
                return Err(format!("{} at {from}: its own seal fails", path.display()));
            }
            blocks.pieces += 1;
            for bit in 0..piece.len() * 8 {
                piece[bit / 8] ^= 1 << (bit % 8);
                if passes(&piece) {
                    return Err(format!("bit {bit} of {} at {from} passes", path.display()));
                }
                piece[bit / 8] ^= 1 << (bit % 8);
                blocks.flips += 1;
            }
        }
    }
    Ok(())
}

/// Puts every piece of `from` in the place of every piece of `golden`, cut or continued to its length as a misdirected read would.
/// Of a pair of files with many pieces those in steps of `step` are taken.
///
/// # Errors
/// A piece that passes in another's place.
pub fn swap_all(golden: &Golden, from: &Golden, step: usize, blocks: &mut Blocks) -> Outcome {
    let (places, sources) = (pieces(golden), pieces(from));
    for (path, (own, seals)) in &places {
        for (source, (bytes, others)) in &sources {
            for seal in seals {
                let place = &own[seal.offset as usize..][..seal.len_bytes];
                for other in others.iter().step_by(step.max(1)) {
                    let at = other.offset as usize;
                    let Some(piece) = bytes.get(at..at + seal.len_bytes) else { continue };
                    if piece == place {
                        blocks.alike += 1;
                        continue;
                    }
                    let id = FileId(seal.file_id);
                    if frame::check(id, seal.offset, 0, piece, seal.seal) {
                        let (to, of) = (path.display(), source.display());
                        return Err(format!("{of} at {at} passes in {to} at {}", seal.offset));
                    }
                    blocks.swaps += 1;
                }
            }
        }
    }
    Ok(())
}
