//! One manifest file as bytes: header, changes, closing hash. Format: docs/format/manifest.md.

use std::path::Path;

use chronolith_codec::CodecError;
use chronolith_codec::varint::{Reader, put_bytes, put_u64};

use super::change::{Change, KIND_MAX};
use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::version::MANIFEST_VERSION as VERSION;
use crate::format::wire::{self, Decoded, corrupt};
use crate::model::FileId;
use crate::vfs::{OpenMode, Vfs};

const MAGIC: [u8; 8] = *b"CHRONMAN";
/// Hash algorithm 1: BLAKE3.
const ALGORITHM_BLAKE3: u8 = 1;
const HEADER_LEN_BYTES: usize = 144;
const HASH_LEN_BYTES: usize = 32;
/// Bytes of one manifest file, inclusive.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Key id, nonce, tag and eight spare bytes: zero until files can be encrypted.
const RESERVED_LEN_BYTES: usize = 40;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Changes on top of the edit before.
    Edit = 1,
    /// All changes that make the state after the edit of the same number.
    Checkpoint = 2,
}

impl Kind {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Edit => "manifest edit",
            Self::Checkpoint => "manifest checkpoint",
        }
    }
}

/// A BLAKE3 hash.
pub(super) type Hash = [u8; HASH_LEN_BYTES];

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) file_id: FileId,
    pub(super) database_id: u128,
    pub(super) number: u64,
    /// The writer's epoch: its incarnation.
    pub(super) epoch: u64,
    /// The closing hash of the edit before (of the same number for a checkpoint); zeros for edit 1.
    pub(super) previous: Hash,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) header: Header,
    pub(super) changes: Vec<Change>,
    /// The closing hash: it binds every byte before it.
    pub(super) hash: Hash,
}

/// The bytes of a file, and its closing hash.
pub(super) fn encode(header: &Header, changes: &[Change]) -> Result<(Vec<u8>, Hash)> {
    let mut payload = Vec::new();
    put_u64(&mut payload, changes.len() as u64);
    let mut body = Vec::new();
    for change in changes {
        body.clear();
        change.encode(&mut body);
        payload.push(change.kind());
        put_bytes(&mut payload, &body);
    }
    let mut out = Vec::with_capacity(HEADER_LEN_BYTES + payload.len() + HASH_LEN_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[header.kind as u8, ALGORITHM_BLAKE3, 0, 0]);
    wire::put_u128(&mut out, header.file_id.0);
    wire::put_u128(&mut out, header.database_id);
    out.extend_from_slice(&header.number.to_le_bytes());
    out.extend_from_slice(&header.epoch.to_le_bytes());
    out.extend_from_slice(&header.previous);
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; RESERVED_LEN_BYTES]);
    out.extend_from_slice(&payload);
    let hash = *blake3::hash(&out).as_bytes();
    out.extend_from_slice(&hash);
    if out.len() as u64 > FILE_BYTES_MAX {
        let (what, found) = (header.kind.what().to_owned(), out.len() as u64);
        return Err(Error::OverLimit {
            what,
            found,
            limit: FILE_BYTES_MAX,
            unit: "bytes",
            row: None,
        });
    }
    Ok((out, hash))
}

/// Reads and checks the file at `path`, which must be of this kind and number.
///
/// # Errors
/// `Corrupt`, `UnsupportedVersion`, `UnsupportedFeature`, `Io`.
pub(super) fn read(vfs: &dyn Vfs, path: &Path, kind: Kind, number: u64) -> Result<Content> {
    let file = vfs.open(path, OpenMode::Read)?;
    let damaged = |detail: String| Error::corrupt(path, 0, kind.what(), detail);
    let len = file.len_bytes()?;
    if len > FILE_BYTES_MAX {
        return Err(damaged(format!("it has {len} bytes, at most {FILE_BYTES_MAX} are allowed")));
    }
    let len = usize::try_from(len).map_err(|_| damaged(format!("it has {len} bytes")))?;
    if len < HEADER_LEN_BYTES + HASH_LEN_BYTES {
        return Err(damaged(match len {
            0 => "it is empty".into(),
            _ => format!("it has {len} bytes, too few for a header and a hash"),
        }));
    }
    let bytes = crate::vfs::read_exact(file.as_ref(), 0, len, kind.what())?;
    decode(path, &bytes, kind, number)
}

pub(super) fn decode(path: &Path, bytes: &[u8], kind: Kind, number: u64) -> Result<Content> {
    let damaged =
        |offset: usize, detail: String| Error::corrupt(path, offset as u64, kind.what(), detail);
    let mut reader = Reader::new(bytes);
    let start = |reader: &mut Reader<'_>| -> Decoded<([u8; 8], u32)> {
        Ok((wire::array(reader)?, reader.u32_le()?))
    };
    let (magic, version) = start(&mut reader).map_err(|e| damaged(0, e.to_string()))?;
    if magic != MAGIC {
        return Err(damaged(0, format!("it begins with {magic:02x?}, not with the magic bytes")));
    }
    let (head, closing) = bytes
        .split_last_chunk::<HASH_LEN_BYTES>()
        .ok_or_else(|| damaged(0, "it is too short for a hash".into()))?;
    let hash = *blake3::hash(head).as_bytes();
    if hash != *closing && !frame::trusts() {
        return Err(damaged(
            head.len(),
            format!("its hash is {}, its content has {}", hex(closing), hex(&hash)),
        ));
    }
    // Every version has its magic bytes, its number and its closing hash here, so that another version is told from a flipped bit.
    if version != VERSION {
        let path = path.to_path_buf();
        return Err(Error::UnsupportedVersion { path, found: version, supported: VERSION });
    }
    // From here on the bytes are what some writer wrote; what follows finds another writer's rules, or a file out of place.
    let (header, payload) = header(head).map_err(|e| damaged(0, e.to_string()))?;
    if (header.kind, header.number) != (kind, number) {
        let (other, found) = (header.kind.what(), header.number);
        return Err(damaged(
            0,
            format!("its name says number {number}, but it is {other} {found}"),
        ));
    }
    let changes = changes(path, kind, payload)?;
    Ok(Content { header, changes, hash })
}

fn header(head: &[u8]) -> Decoded<(Header, &[u8])> {
    let mut reader = Reader::new(head);
    reader.bytes(MAGIC.len() + 4)?;
    let kind = match reader.u8()? {
        1 => Kind::Edit,
        2 => Kind::Checkpoint,
        _ => return Err(corrupt("unknown kind of manifest file")),
    };
    if reader.u8()? != ALGORITHM_BLAKE3 || reader.u16_le()? != 0 {
        return Err(corrupt("unknown hash algorithm, or a reserved field is not zero"));
    }
    let header = Header {
        kind,
        file_id: FileId(wire::u128(&mut reader)?),
        database_id: wire::u128(&mut reader)?,
        number: reader.u64_le()?,
        epoch: reader.u64_le()?,
        previous: wire::array(&mut reader)?,
    };
    let len = reader.u64_le()?;
    if wire::array::<RESERVED_LEN_BYTES>(&mut reader)? != [0; RESERVED_LEN_BYTES] {
        return Err(corrupt("a reserved field is not zero: the file may be encrypted"));
    }
    if len != reader.remaining() as u64 {
        return Err(corrupt("the content's length is not the file's"));
    }
    Ok((header, reader.rest()))
}

fn changes(path: &Path, kind: Kind, payload: &[u8]) -> Result<Vec<Change>> {
    let reader = &mut Reader::new(payload);
    let damaged = |left: usize, error: CodecError| {
        let offset = HEADER_LEN_BYTES + (payload.len() - left);
        Error::corrupt(path, offset as u64, kind.what(), error.to_string())
    };
    let count =
        wire::count(reader, "changes", usize::MAX).map_err(|e| damaged(payload.len(), e))?;
    // Grown as read: a change takes more memory than the two bytes that claim it.
    let mut changes = Vec::new();
    for _ in 0..count {
        let left = reader.remaining();
        let code = reader.u8().map_err(|e| damaged(left, e))?;
        let body = reader.prefixed_bytes().map_err(|e| damaged(left, e))?;
        if code == 0 || code > KIND_MAX {
            let feature = format!("manifest change of kind {code}");
            return Err(Error::UnsupportedFeature { path: path.to_path_buf(), feature });
        }
        changes.push(Change::decode(code, body).map_err(|e| damaged(left, e))?);
    }
    let left = reader.remaining();
    reader.finish().map_err(|e| damaged(left, e))?;
    Ok(changes)
}

/// The first bytes of a hash, for messages.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).chain(["...".to_owned()]).collect()
}
