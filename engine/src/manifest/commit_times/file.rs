//! The side file of commit times: a header, then blocks that are appended, each bound to the one before by its hash. The
//! manifest says how far the file counts; what lies beyond is an append that was not committed. Blocks fill whole sectors, so
//! an append never writes a sector that counts. Format: docs/format/commit-times.md.

use std::path::Path;

use chronolith_codec::CodecError;
use chronolith_codec::varint::{Reader, put_i64, put_u64};

use super::{CommitTimes, Entry, STEP_MAX, STEP_MIN, entry, put_entry};
use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::version::COMMIT_TIMES_VERSION as VERSION;
use crate::format::wire::{self, Decoded, corrupt};
use crate::limits::LOG_SECTOR_BYTES;
use crate::manifest::folder;
use crate::model::{FileId, Sequence};
use crate::rng::Rng;
use crate::vfs::{File, OpenMode, Vfs, read_exact};

const MAGIC: [u8; 8] = *b"CHRONTIM";
const ALGORITHM_BLAKE3: u8 = 1;
const HEADER_LEN_BYTES: usize = LOG_SECTOR_BYTES;
const HASH_LEN_BYTES: usize = 32;
/// Bytes of a block before its hash: content length, entry count, last sequence.
const BLOCK_HEAD_LEN_BYTES: usize = 4 + 4 + 4 + 8;
/// Entries of one block, inclusive: 30 bytes each at most.
const BLOCK_ENTRY_COUNT_MAX: usize = 64 << 10;
/// Bytes of a whole file, inclusive: years of writing without pause.
const FILE_BYTES_MAX: u64 = 2 << 30;
const WHAT: &str = "commit times";

/// A side file as far as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitTimesRef {
    /// The file's id, which is its name too.
    pub file_id: FileId,
    /// Bytes that count, from the beginning.
    pub len_bytes: u64,
    /// The hash of the last block that counts; it binds all before.
    pub hash: [u8; HASH_LEN_BYTES],
}

impl CommitTimesRef {
    /// Appends the reference.
    pub(in crate::manifest) fn encode(&self, out: &mut Vec<u8>) {
        wire::put_u128(out, self.file_id.0);
        put_u64(out, self.len_bytes);
        out.extend_from_slice(&self.hash);
    }

    /// Reads a reference.
    pub(in crate::manifest) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            file_id: FileId(wire::u128(reader)?),
            len_bytes: reader.u64()?,
            hash: wire::array(reader)?,
        })
    }
}

/// What is in the file.
#[derive(Debug, Clone)]
pub(super) struct FileState {
    reference: CommitTimesRef,
    entry_count: usize,
    last_sequence: Sequence,
}

impl CommitTimes {
    /// Makes what was pushed since the last call durable in the side file, a new one where there is none yet, in the database
    /// `dir`. Returns the reference that a manifest edit must take up for it to count; none where nothing is new.
    ///
    /// # Errors
    /// `Io`; what counts is unharmed. After a failed sync the file is given up: the next call writes all into a new one.
    pub fn append_to_file(
        &mut self,
        vfs: &dyn Vfs,
        rng: &dyn Rng,
        dir: &Path,
        database_id: u128,
    ) -> Result<Option<CommitTimesRef>> {
        let folder = dir.join(folder::FOLDER);
        let (mut state, mut bytes, file) = match self.file.take() {
            Some(state) if state.last_sequence == self.last_sequence => {
                self.file = Some(state);
                return Ok(None);
            }
            Some(state) => {
                let path = folder::times_path(&folder, state.reference.file_id);
                let opened = vfs.open(&path, OpenMode::Write);
                let file = opened.inspect_err(|_| self.file = Some(state.clone()))?;
                (state, Vec::new(), file)
            }
            None if self.last_sequence == Sequence::ZERO => return Ok(None),
            None => {
                let file_id = FileId(rng.next_u128());
                let header = header(file_id, database_id, self.forgotten);
                let file = vfs.open(&folder::times_path(&folder, file_id), OpenMode::Create)?;
                (fresh(file_id, &header), header, file)
            }
        };
        let is_new = !bytes.is_empty();
        let start = state.reference.len_bytes - bytes.len() as u64;
        let before = state.clone();
        self.put_blocks(&mut state, &mut bytes);
        if let Err(error) = file.write_at(&bytes, start) {
            // The next append writes over whatever this one left.
            self.file = (!is_new).then_some(before);
            return Err(error);
        }
        file.sync_data()?;
        if is_new {
            vfs.sync_dir(&folder)?;
        }
        let reference = state.reference.clone();
        self.file = Some(state);
        Ok(Some(reference))
    }

    /// Reads the side file as far as `reference` says, in the database `dir`.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedVersion`, `Io`.
    pub fn load(
        vfs: &dyn Vfs,
        dir: &Path,
        database_id: u128,
        reference: &CommitTimesRef,
    ) -> Result<Self> {
        Self::load_from(vfs, &dir.join(folder::FOLDER), database_id, reference)
    }

    /// [`Self::load`] from the manifest's folder.
    pub(in crate::manifest) fn load_from(
        vfs: &dyn Vfs,
        folder: &Path,
        database_id: u128,
        reference: &CommitTimesRef,
    ) -> Result<Self> {
        let path = folder::times_path(folder, reference.file_id);
        let file = match vfs.open(&path, OpenMode::Read) {
            Err(error) if error.is_not_found() => {
                return Err(Error::corrupt(path, 0, WHAT, "the file is missing"));
            }
            opened => opened?,
        };
        let bytes = content(file.as_ref(), &path, reference.len_bytes)?;
        parse(&path, &bytes, database_id, reference)
    }

    /// Appends blocks of all that `state` lacks to `bytes`, and moves `state` on.
    fn put_blocks(&self, state: &mut FileState, bytes: &mut Vec<u8>) {
        // Whole anchors can be skipped without decoding.
        let anchor = state.entry_count / super::ANCHOR_ENTRY_COUNT;
        let skipped = state.entry_count - anchor * super::ANCHOR_ENTRY_COUNT;
        let mut entries = self.entries_from(anchor).skip(skipped).peekable();
        loop {
            let batch: Vec<Entry> = entries.by_ref().take(BLOCK_ENTRY_COUNT_MAX).collect();
            // The last sequence of a block that is not the last one is its last entry's.
            let last = match (entries.peek(), batch.last()) {
                (Some(_), Some(entry)) => entry.sequence,
                _ => self.last_sequence,
            };
            let block = block(&batch, last, state);
            state.reference.len_bytes += block.len() as u64;
            state.entry_count += batch.len();
            state.last_sequence = last;
            bytes.extend_from_slice(&block);
            if entries.peek().is_none() {
                return;
            }
        }
    }
}

/// The state of a file that holds its header alone.
fn fresh(file_id: FileId, header: &[u8]) -> FileState {
    let hash = header.last_chunk().copied().unwrap_or_default();
    let reference = CommitTimesRef { file_id, len_bytes: header.len() as u64, hash };
    FileState { reference, entry_count: 0, last_sequence: Sequence::ZERO }
}

fn header(file_id: FileId, database_id: u128, forgotten: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[ALGORITHM_BLAKE3, u8::from(forgotten), 0, 0]);
    wire::put_u128(&mut out, file_id.0);
    wire::put_u128(&mut out, database_id);
    out.resize(HEADER_LEN_BYTES - HASH_LEN_BYTES, 0);
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}

/// One block of `entries`; sets `state`'s hash to the block's.
fn block(entries: &[Entry], last_sequence: Sequence, state: &mut FileState) -> Vec<u8> {
    let mut content = Vec::new();
    let mut before = None;
    for one in entries {
        match before {
            None => {
                put_i64(&mut content, one.step);
                wire::put_sequence(&mut content, one.sequence);
            }
            Some(before) => put_entry(&mut content, before, *one),
        }
        before = Some(*one);
    }
    let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&size(content.len()));
    out.extend_from_slice(&size(entries.len()));
    out.extend_from_slice(&last_sequence.incarnation.to_le_bytes());
    out.extend_from_slice(&last_sequence.counter.to_le_bytes());
    let head = out.clone();
    let len =
        (BLOCK_HEAD_LEN_BYTES + HASH_LEN_BYTES + content.len()).next_multiple_of(LOG_SECTOR_BYTES);
    content.resize(len - BLOCK_HEAD_LEN_BYTES - HASH_LEN_BYTES, 0);
    state.reference.hash =
        block_hash(&state.reference.hash, state.reference.len_bytes, &head, &content);
    out.extend_from_slice(&state.reference.hash);
    out.extend_from_slice(&content);
    out
}

/// Binds a block to all before it (and so to the file's id and version), and to its place.
fn block_hash(before: &[u8; 32], offset: u64, head: &[u8], padded: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(&offset.to_le_bytes()).update(head).update(padded);
    *hasher.finalize().as_bytes()
}

/// The bytes that count.
fn content(file: &dyn File, path: &Path, len: u64) -> Result<Vec<u8>> {
    let there = file.len_bytes()?;
    let usable = len <= there && len <= FILE_BYTES_MAX && len >= HEADER_LEN_BYTES as u64;
    match usize::try_from(len) {
        Ok(len) if usable => read_exact(file, 0, len, WHAT),
        _ => {
            let detail = format!("it has {there} bytes, the manifest says {len}");
            Err(Error::corrupt(path, there, WHAT, detail))
        }
    }
}

fn parse(
    path: &Path,
    bytes: &[u8],
    database_id: u128,
    reference: &CommitTimesRef,
) -> Result<CommitTimes> {
    let damaged = |offset: usize, detail: String| Error::corrupt(path, offset as u64, WHAT, detail);
    let reader = &mut Reader::new(bytes);
    let head = reader.bytes(HEADER_LEN_BYTES).map_err(|e| damaged(0, e.to_string()))?;
    let version = head.get(MAGIC.len()..).and_then(|rest| rest.first_chunk());
    let version = version.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    // The header's hash is where it is in every version, so that a flipped bit is not taken for another version.
    let is_whole = head
        .split_last_chunk::<HASH_LEN_BYTES>()
        .is_some_and(|(covered, hash)| blake3::hash(covered).as_bytes() == hash);
    if head.starts_with(&MAGIC) && version != VERSION && is_whole {
        let path = path.to_path_buf();
        return Err(Error::UnsupportedVersion { path, found: version, supported: VERSION });
    }
    let forgotten = [false, true]
        .into_iter()
        .find(|forgotten| head == header(reference.file_id, database_id, *forgotten))
        .ok_or_else(|| damaged(0, "the header is not that of this file and database".into()))?;
    let mut times = CommitTimes { forgotten, ..CommitTimes::default() };
    let mut state = fresh(reference.file_id, head);
    while reader.remaining() > 0 {
        let offset = bytes.len() - reader.remaining();
        read_block(reader, &mut times, &mut state).map_err(|e| damaged(offset, e.to_string()))?;
    }
    if state.reference != *reference {
        let detail = "its last block is not the one that the manifest names";
        return Err(damaged(bytes.len(), detail.into()));
    }
    times.file = Some(state);
    Ok(times)
}

fn read_block(
    reader: &mut Reader<'_>,
    times: &mut CommitTimes,
    state: &mut FileState,
) -> Decoded<()> {
    let head = reader.bytes(BLOCK_HEAD_LEN_BYTES)?;
    let hash: [u8; HASH_LEN_BYTES] = wire::array(reader)?;
    let mut fields = Reader::new(head);
    let (len, count) = (fields.u32_le()?, fields.u32_le()?);
    let last = Sequence { incarnation: fields.u32_le()?, counter: fields.u64_le()? };
    let len = usize::try_from(len).map_err(|_| CodecError::Truncated)?;
    let before = BLOCK_HEAD_LEN_BYTES + HASH_LEN_BYTES;
    let total = before.checked_add(len).and_then(|n| n.checked_next_multiple_of(LOG_SECTOR_BYTES));
    let total = total.ok_or(CodecError::Truncated)?;
    let padded = reader.bytes(total - before)?;
    let expected = block_hash(&state.reference.hash, state.reference.len_bytes, head, padded);
    if hash != expected && !frame::trusts() {
        return Err(corrupt("a block's hash is not that of its content"));
    }
    let mut content = Reader::new(padded.get(..len).unwrap_or_default());
    let count_max = BLOCK_ENTRY_COUNT_MAX.min(len);
    let count = usize::try_from(count).ok().filter(|count| *count <= count_max);
    for at in 0..count.ok_or(corrupt("a block has too many entries"))? {
        let one = match times.last {
            Some(last) if at > 0 => entry(&mut content, last)?,
            last => first_entry(&mut content, last)?,
        };
        times.add(one);
    }
    content.finish()?;
    if last < times.last_sequence {
        return Err(corrupt("a block's last sequence does not ascend"));
    }
    times.last_sequence = last;
    state.reference.hash = hash;
    state.reference.len_bytes += total as u64;
    state.entry_count = times.entry_count;
    state.last_sequence = last;
    Ok(())
}

/// Reads the first entry of a block, which stands by itself.
fn first_entry(reader: &mut Reader<'_>, last: Option<Entry>) -> Decoded<Entry> {
    let (step, sequence) = (reader.i64()?, wire::sequence(reader)?);
    let ascends = last.is_none_or(|last| step > last.step && sequence > last.sequence);
    if !ascends || !(STEP_MIN..=STEP_MAX).contains(&step) {
        return Err(corrupt("a block does not begin after the one before"));
    }
    Ok(Entry { sequence, step })
}

/// The commit times in the blocks `bytes`, and the same from blocks that were written of them.
///
/// # Errors
/// Those of reading `bytes`.
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub fn reread_blocks(bytes: &[u8]) -> Decoded<(CommitTimes, Decoded<CommitTimes>)> {
    fn all(bytes: &[u8]) -> Decoded<CommitTimes> {
        let mut times = CommitTimes::default();
        let mut state = fresh(FileId(7), &header(FileId(7), 9, false));
        let mut reader = Reader::new(bytes);
        while reader.remaining() > 0 {
            read_block(&mut reader, &mut times, &mut state)?;
        }
        Ok(times)
    }
    let times = all(bytes)?;
    let mut written = Vec::new();
    let mut state = fresh(FileId(7), &header(FileId(7), 9, false));
    times.put_blocks(&mut state, &mut written);
    Ok((times, all(&written)))
}
