//! The seals of a database's files, computed anew from the format's pages alone: each must bind file, place, version and bytes.
//! Shares no code with the engine: its own CRC-32, its own walk (docs/format/segment.md, docs/format/wal.md).

use std::path::Path;

use chronolith_engine::vfs::sim::SimVfs;

use crate::check::Outcome;

/// CRC-32 of ISO 3309, bit by bit.
fn crc_32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A file with its identity.
struct Sealed<'a> {
    bytes: &'a [u8],
    id: u128,
    /// Seals that were looked at.
    count: u64,
}

impl Sealed<'_> {
    fn number(&self, at: usize, len: usize) -> u64 {
        self.bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn check(&mut self, what: &str, at: usize, len: usize, stored: u64) -> Outcome {
        let mut covered = self.id.to_le_bytes().to_vec();
        covered.extend_from_slice(&(at as u64).to_le_bytes());
        covered.extend_from_slice(&0_u32.to_le_bytes());
        covered.extend_from_slice(&self.bytes[at..at + len]);
        self.count += 1;
        let expected = u64::from(crc_32(&covered));
        if stored == expected {
            return Ok(());
        }
        Err(format!(
            "{what} at byte {at}: the seal is {stored:08x}, the format says {expected:08x}"
        ))
    }

    fn segment(&mut self) -> Outcome {
        self.check("header", 0, 60, self.number(60, 4))?;
        let trailer = self.bytes.len() - 32;
        self.check("trailer", trailer, 28, self.number(trailer + 28, 4))?;
        let footer = self.number(trailer, 8) as usize;
        self.check("footer", footer, trailer - footer, self.number(trailer + 12, 4))?;
        for section in 0..self.number(footer, 4) as usize {
            let at = footer + 4 + section * 24;
            let (kind, seal) = (self.number(at, 2), self.number(at + 4, 4));
            let place = (self.number(at + 8, 8) as usize, self.number(at + 16, 8) as usize);
            // Of these the pieces are sealed, one by one.
            if ![3, 5, 8, 10].contains(&kind) {
                self.check(&format!("section {kind}"), place.0, place.1, seal)?;
            }
        }
        Ok(())
    }

    fn log(&mut self) -> Outcome {
        self.check("header", 0, 508, self.number(508, 4))?;
        let mut at = 512;
        while at + 96 <= self.bytes.len() && self.bytes[at..at + 4] == *b"CLGR" {
            self.check("group header", at, 92, self.number(at + 92, 4))?;
            let end = (at + 96 + self.number(at + 8, 4) as usize).next_multiple_of(512);
            self.check("group", at + 96, end - at - 96, self.number(at + 28, 4))?;
            at = end;
        }
        Ok(())
    }
}

/// Checks every segment and log file of a disk whose files are whole. Returns how many seals there were.
///
/// # Errors
/// A seal that is not what the format says.
pub fn check(disk: &SimVfs) -> Outcome<u64> {
    let mut count = 0;
    for path in disk.paths() {
        let bytes = disk.read_raw(&path).map_err(|error| error.to_string())?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let hex = stem.rsplit('-').next().unwrap_or_default();
        let Ok(id) = u128::from_str_radix(hex, 16) else { continue };
        let mut sealed = Sealed { bytes: &bytes, id, count: 0 };
        match path.parent() {
            Some(folder) if folder == Path::new("/db/segments") => sealed.segment(),
            Some(folder) if folder == Path::new("/db/wal") => sealed.log(),
            _ => continue,
        }
        .map_err(|text| format!("{}: {text}", path.display()))?;
        count += sealed.count;
    }
    Ok(count)
}
