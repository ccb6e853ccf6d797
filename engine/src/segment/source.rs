//! Checked reading of a segment file's sealed pieces.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use chronolith_codec::CodecError;

use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::version::SEGMENT_VERSION;
use crate::model::FileId;
use crate::planted::{Bug, is_on};
use crate::vfs::{File, read_exact};

use super::layout::Extent;

/// An open segment file of a known length and identity.
pub(crate) struct Source {
    file: Arc<dyn File>,
    file_id: FileId,
    len: u64,
    /// The file's last bytes, read at once when it is opened.
    tail: Vec<u8>,
}

impl Source {
    pub(crate) fn new(file: Arc<dyn File>, file_id: FileId, len: u64, tail: Vec<u8>) -> Self {
        Self { file, file_id, len, tail }
    }

    /// Forgets the tail: what lies there was parsed.
    pub(crate) fn drop_tail(&mut self) {
        self.tail = Vec::new();
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Damage at `offset`.
    pub(crate) fn damaged(
        &self,
        offset: u64,
        what: &'static str,
        detail: impl Into<String>,
    ) -> Error {
        Error::corrupt(self.path(), offset, what, detail)
    }

    /// Bytes at `offset` that do not decode.
    pub(crate) fn undecodable(
        &self,
        offset: u64,
        what: &'static str,
    ) -> impl Fn(CodecError) -> Error + Copy + '_ {
        move |error| self.damaged(offset, what, error.to_string())
    }

    /// Bytes without a check of their own. Allocates only what the file holds.
    pub(crate) fn read_raw(&self, offset: u64, len: u64, what: &'static str) -> Result<Vec<u8>> {
        if offset.saturating_add(len) > self.len {
            let detail = format!("{len} bytes end after the file's end at {}", self.len);
            return Err(self.damaged(offset, what, detail));
        }
        let bytes = usize::try_from(len).unwrap_or(usize::MAX);
        let tail_start = self.len - self.tail.len() as u64;
        if let Some(start) = offset.checked_sub(tail_start) {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            if let Some(part) = self.tail.get(start..start.saturating_add(bytes)) {
                return Ok(part.to_vec());
            }
        }
        read_exact(self.file.as_ref(), offset, bytes, what)
    }

    /// A sealed piece.
    pub(crate) fn read(&self, extent: Extent, what: &'static str) -> Result<Vec<u8>> {
        let bytes = self.read_raw(extent.offset, extent.len, what)?;
        self.check(extent, &bytes, what)?;
        Ok(bytes)
    }

    /// What `slot` holds, decoded from a sealed piece when it is first asked for.
    pub(crate) fn read_once<'a, T>(
        &self,
        slot: &'a OnceLock<T>,
        extent: Extent,
        what: &'static str,
        decode: impl FnOnce(&[u8]) -> std::result::Result<T, CodecError>,
    ) -> Result<&'a T> {
        if let Some(known) = slot.get() {
            return Ok(known);
        }
        let bytes = self.read(extent, what)?;
        let decoded = decode(&bytes).map_err(self.undecodable(extent.offset, what))?;
        Ok(slot.get_or_init(|| decoded))
    }

    /// Checks the seal of bytes that were read.
    pub(crate) fn check(&self, extent: Extent, bytes: &[u8], what: &'static str) -> Result<()> {
        let found = frame::seal(self.file_id, extent.offset, SEGMENT_VERSION, bytes);
        if found == extent.crc || is_on(Bug::SkipChecksum) || frame::trusts() {
            return Ok(());
        }
        let detail = format!(
            "expected the checksum {:08x} over {} bytes, found {found:08x}",
            extent.crc, extent.len
        );
        Err(self.damaged(extent.offset, what, detail))
    }
}
