//! What all files share: format numbers, checksums, file names, the hash of series keys.
//! Pages: docs/decisions/0006-checksums.md, docs/format/series-key.md.

pub mod frame;
pub mod hash;
pub mod names;
pub mod version;
pub(crate) mod wire;
