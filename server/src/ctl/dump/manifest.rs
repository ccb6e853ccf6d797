//! `dump.json`: what a dump consists of, under a hash of its own. The bytes are in docs/format/dump.md.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::{CtlError, CtlResult};

/// The format of dumps: raised when a program that reads the former one would read another dump wrongly.
pub(in super::super) const FORMAT: u32 = 1;
/// The manifest's name in its folder.
pub(in super::super) const MANIFEST: &str = "dump.json";
/// The name of the file with the definitions of the tables.
pub(in super::super) const SCHEMA: &str = "schema.sql";
/// Bytes of a manifest that are read.
const BYTES_MAX: u64 = 1 << 30;
/// What stands before the hash. It is the last member.
const SEAL: &str = "\"blake3\": \"";
const HASH_LEN: usize = 64;

/// What a dump consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Manifest {
    pub(in super::super) format: u32,
    /// The version of the program that wrote it.
    pub(in super::super) program: String,
    pub(in super::super) database_id: String,
    pub(in super::super) snapshot: SnapshotEntry,
    /// Which times, where it is not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) range: Option<RangeEntry>,
    pub(in super::super) schema: FileEntry,
    /// In the order of their definitions.
    pub(in super::super) tables: Vec<TableEntry>,
    blake3: String,
}

/// The one moment of all tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SnapshotEntry {
    pub(in super::super) incarnation: u32,
    pub(in super::super) counter: u64,
}

/// Times from `from_ns`, inclusive, to `to_ns`, exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RangeEntry {
    pub(in super::super) from_ns: i64,
    pub(in super::super) to_ns: i64,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TableEntry {
    pub(in super::super) name: String,
    pub(in super::super) rows: u64,
    /// In the order of the rows.
    pub(in super::super) files: Vec<FileEntry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileEntry {
    /// Below the dump's folder, with `/` between names.
    pub(in super::super) path: String,
    /// None for what is no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) rows: Option<u64>,
    pub(in super::super) bytes: u64,
    /// Of all bytes, 64 hex digits.
    pub(in super::super) blake3: String,
}

impl Manifest {
    /// A manifest of this format and program.
    pub(super) fn new(
        database_id: &str,
        snapshot: SnapshotEntry,
        range: Option<RangeEntry>,
        schema: FileEntry,
        tables: Vec<TableEntry>,
    ) -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            database_id: database_id.to_owned(),
            snapshot,
            range,
            schema,
            tables,
            blake3: String::new(),
        }
    }

    /// Rows of all tables.
    pub(in super::super) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Every file but the manifest.
    pub(in super::super) fn files(&self) -> impl Iterator<Item = &FileEntry> {
        std::iter::once(&self.schema).chain(self.tables.iter().flat_map(|table| &table.files))
    }

    /// Its hash, which names the dump.
    pub(in super::super) fn hash(&self) -> &str {
        &self.blake3
    }

    /// The file's bytes, with their hash.
    ///
    /// # Errors
    /// `Failed`, which does not happen.
    pub(in super::super) fn to_bytes(&self) -> CtlResult<Vec<u8>> {
        let bare = Self { blake3: String::new(), ..self.clone() };
        let text = serde_json::to_string_pretty(&bare);
        let mut text =
            text.map_err(|error| CtlError::Failed(format!("cannot write {MANIFEST}: {error}")))?;
        text.push('\n');
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let at = text.rfind(SEAL).map_or(text.len(), |at| at + SEAL.len());
        text.insert_str(at, hash.as_str());
        Ok(text.into_bytes())
    }

    /// Reads the manifest of `folder` and checks every byte of it.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Corrupt`; `Conflict` for a newer format.
    pub(in super::super) fn read(folder: &Path) -> CtlResult<Self> {
        let path = folder.join(MANIFEST);
        let name = path.display();
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => CtlError::NotFound(format!(
                "{} holds no {MANIFEST}: it is no dump, or only a part of one",
                folder.display()
            )),
            _ => CtlError::Write { name: name.to_string(), source },
        };
        let len = std::fs::metadata(&path).map_err(failed)?.len();
        if len > BYTES_MAX {
            let text = format!("{name} has {len} bytes, over the limit of {BYTES_MAX} bytes");
            return Err(CtlError::Corrupt(text));
        }
        let bytes = std::fs::read(&path).map_err(failed)?;
        Self::parse(&bytes, &name.to_string())
    }

    pub(in super::super) fn parse(bytes: &[u8], name: &str) -> CtlResult<Self> {
        let damaged = |what: &str| {
            CtlError::Corrupt(format!("{name} is damaged: {what}; copy the dump again"))
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not valid UTF-8"))?;
        let (head, found, tail) = unsealed(text).ok_or_else(|| damaged("it has no hash"))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(head.as_bytes()).update(tail.as_bytes());
        if hasher.finalize().to_hex().as_str() != found {
            return Err(damaged("its hash is another"));
        }
        // Whole, as written: what cannot be read now is of another format.
        let format = serde_json::from_str::<serde_json::Value>(text).ok();
        let format = format.and_then(|value| value.get("format")?.as_u64());
        match format {
            Some(format) if format <= u64::from(FORMAT) => {}
            Some(format) => {
                return Err(CtlError::Conflict(format!(
                    "{name} is of dump format {format}, this program reads up to {FORMAT}: load it with a newer program"
                )));
            }
            None => return Err(damaged("it names no format")),
        }
        serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))
    }
}

/// What stands before the hash, the hash, and what stands behind it.
fn unsealed(text: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = text.split_at_checked(text.rfind(SEAL)? + SEAL.len())?;
    let (hash, tail) = rest.split_at_checked(HASH_LEN)?;
    Some((head, hash, tail))
}

/// The text with the hash that it should have, for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(in super::super) fn sealed(text: &str) -> Option<String> {
    let (head, _, tail) = unsealed(text)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.as_bytes()).update(tail.as_bytes());
    Some(format!("{head}{}{tail}", hasher.finalize().to_hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = FileEntry { path: SCHEMA.into(), rows: None, bytes: 7, blake3: "00".into() };
        let table = TableEntry { name: "\"blake3\": \"ä\0".into(), rows: 3, files: Vec::new() };
        let snapshot = SnapshotEntry { incarnation: 1, counter: u64::MAX };
        let range = Some(RangeEntry { from_ns: i64::MIN, to_ns: 7 });
        Manifest::new("ff", snapshot, range, file, vec![table])
    }

    #[test]
    fn it_reads_back_and_every_changed_byte_is_seen() {
        let bytes = manifest().to_bytes().unwrap();
        let read = Manifest::parse(&bytes, "m").unwrap();
        assert_eq!(Manifest { blake3: String::new(), ..read.clone() }, manifest());
        assert_eq!(read.to_bytes().unwrap(), bytes);
        for at in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let error = Manifest::parse(&changed, "m").unwrap_err();
                assert_eq!(error.exit_code(), 5, "byte {at}: {error}");
            }
            assert!(Manifest::parse(&bytes[..at], "m").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let newer = Manifest { format: FORMAT + 1, ..manifest() };
        let error = Manifest::parse(&newer.to_bytes().unwrap(), "m").unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("is of dump format 2"), "{error}");
    }
}
