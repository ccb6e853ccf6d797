//! Read-only maps of whole files.
//! Invariant: only finished files are mapped; Chronolith neither changes nor truncates a file once it is finished.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// The bytes of a finished file, mapped for reading.
///
/// The map stays valid after the file is closed, renamed or removed.
#[derive(Debug)]
pub struct Map {
    /// None for an empty file: the kernel refuses a map of no bytes.
    mapped: Option<Mmap>,
}

impl Map {
    /// Maps the whole of `file`.
    ///
    /// The caller promises that the file is finished: nobody writes or truncates it while the map lives. A foreign
    /// process that truncates it makes reads beyond the new end die with SIGBUS, as with any map.
    ///
    /// # Errors
    /// What `fstat` and `mmap` report, and a file longer than the address space.
    pub fn open(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self { mapped: None });
        }
        // SAFETY: the bytes behind a `&[u8]` must not change while it lives. Mapped files are finished: the engine
        // publishes a file only after its last write, never opens a published file for writing, and never truncates
        // one; removal unlinks the name and leaves the pages. The data directory is locked against other processes.
        #[expect(unsafe_code, reason = "the invariant is above")]
        let mapped = unsafe { Mmap::map(file)? };
        Ok(Self { mapped: Some(mapped) })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.mapped.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Map;

    #[test]
    fn maps_the_bytes_of_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).unwrap();
        let map = Map::open(&file).unwrap();
        drop(file);
        assert_eq!(&map[..], &bytes[..]);
    }

    #[test]
    fn an_empty_file_is_an_empty_slice() {
        let file = tempfile::tempfile().unwrap();
        assert!(Map::open(&file).unwrap().is_empty());
    }

    #[test]
    fn a_map_survives_the_removal_of_its_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"still here").unwrap();
        let map = Map::open(file.as_file()).unwrap();
        file.close().unwrap();
        assert_eq!(&map[..], b"still here");
    }
}
