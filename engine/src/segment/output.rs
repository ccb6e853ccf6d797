//! Appending to a new file: writes are coalesced, offsets and the hash of the whole file are kept.

use std::sync::Arc;

use crate::error::Result;
use crate::format::frame;
use crate::format::version::SEGMENT_VERSION;
use crate::model::FileId;
use crate::vfs::File;

use super::layout::Extent;

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// A file that grows at its end.
pub(crate) struct Output {
    file: Arc<dyn File>,
    file_id: FileId,
    pending: Vec<u8>,
    written: u64,
    hasher: blake3::Hasher,
}

impl Output {
    pub(crate) fn new(file: Arc<dyn File>, file_id: FileId) -> Self {
        let pending = Vec::with_capacity(WRITE_BYTES);
        Self { file, file_id, pending, written: 0, hasher: blake3::Hasher::new() }
    }

    /// Where the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Appends bytes that carry their own checksum.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    /// Appends a piece and seals it to its place.
    pub(crate) fn append_sealed(&mut self, bytes: &[u8]) -> Result<Extent> {
        let offset = self.offset();
        let crc = frame::seal(self.file_id, offset, SEGMENT_VERSION, bytes);
        self.append(bytes)?;
        Ok(Extent { offset, len: bytes.len() as u64, crc })
    }

    fn write(&mut self) -> Result<()> {
        self.hasher.update(&self.pending);
        self.file.write_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is pending. The file, its length and the hash of all its bytes.
    pub(crate) fn finish(mut self) -> Result<(Arc<dyn File>, u64, [u8; 32])> {
        self.write()?;
        Ok((self.file, self.written, *self.hasher.finalize().as_bytes()))
    }
}
