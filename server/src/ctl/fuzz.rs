//! Doors for the fuzz targets: files that commands read, from memory.

pub use super::import::fuzz::import;

use super::dump::Manifest;

/// Reads the manifest of a dump; its files and rows.
///
/// # Errors
/// Those of reading, in words.
pub fn dump_manifest(bytes: &[u8]) -> Result<(usize, u64), String> {
    let manifest = Manifest::parse(bytes, "f").map_err(|error| error.to_string())?;
    let written = manifest.to_bytes().map_err(|error| error.to_string())?;
    let read = Manifest::parse(&written, "f").map_err(|error| error.to_string());
    assert_eq!(read.as_ref().map(Manifest::rows), Ok(manifest.rows()), "written and read again");
    let again = read.and_then(|read| read.to_bytes().map_err(|error| error.to_string()));
    assert_eq!(again.as_ref(), Ok(&written), "a manifest is written in one way");
    Ok((manifest.files().count(), manifest.rows()))
}

/// The bytes with the hash that they should have.
#[must_use]
pub fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    super::dump::sealed(text).map(String::into_bytes)
}
