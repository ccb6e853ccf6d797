//! Doors for the fuzz targets: the manifest's files as bytes, read and written again.
#![doc(hidden)]

use std::path::Path;

use super::file::{self, Kind};
use super::recover::Chain;
use super::version::Version;
use crate::error::Result;

/// A file that was read: its bytes as they are written again, and the version that it makes of an empty one.
#[derive(Debug)]
pub struct Reread {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The version; none for an edit that does not fit.
    pub version: Option<Version>,
    /// A checkpoint of that version.
    pub checkpoint: Vec<u8>,
}

/// Reads the edit or checkpoint in `bytes`, under the name that it gives itself.
///
/// # Errors
/// Those of reading.
pub fn reread(bytes: &[u8]) -> Result<Reread> {
    let kind = if bytes.get(12) == Some(&2) { Kind::Checkpoint } else { Kind::Edit };
    let number = bytes.get(48..).and_then(|rest| rest.first_chunk());
    let number = number.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let path = Path::new("f");
    let content = file::decode(path, bytes, kind, number)?;
    let (written, _) = file::encode(&content.header, &content.changes)?;
    let header = content.header;
    let version = match kind {
        Kind::Checkpoint => Chain::at_checkpoint(path, content).ok().map(|c| c.version().clone()),
        Kind::Edit => Version::empty(header.database_id).apply(&content.changes).ok(),
    };
    let header = file::Header { kind: Kind::Checkpoint, ..header };
    let changes = version.as_ref().map(Version::to_changes).unwrap_or_default();
    let (checkpoint, _) = file::encode(&header, &changes)?;
    Ok(Reread { bytes: written, version, checkpoint })
}

pub use super::commit_times::reread_blocks;
