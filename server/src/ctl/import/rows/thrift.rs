//! As much of Thrift's compact protocol as bounds what Parquet's structures announce, before a reader allocates by it.
//! Specification: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Deepest nesting; Parquet's own structures need six.
const DEPTH_MAX: usize = 32;
/// Most entries of one list.
const LIST_COUNT_MAX: u64 = 1 << 20;

/// A position in bytes.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were walked over.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn forward(&mut self, count: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(count).ok()?)?;
        self.at = at;
        (at <= self.bytes.len()).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Walks over a structure; `number` hears of the integers that are directly in it, by their field. None where it is
    /// not whole, too deep, or has a list that is too long for its bytes.
    pub(super) fn structure(&mut self, number: &mut dyn FnMut(i64, i64)) -> Option<()> {
        self.structure_at(0, number)
    }

    fn structure_at(&mut self, depth: usize, number: &mut dyn FnMut(i64, i64)) -> Option<()> {
        let mut field = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => self.zigzag()?,
                delta => field.checked_add(i64::from(delta))?,
            };
            match head & 15 {
                4..=6 => number(field, self.zigzag()?),
                // A truth value is its type.
                1 | 2 => {}
                kind => self.skip(kind, depth)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            1..=3 => self.forward(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.forward(8),
            8 => {
                let len = self.varint()?;
                self.forward(len)
            }
            9 | 10 => self.list(depth),
            11 => self.map(depth),
            12 => self.structure_at(depth + 1, &mut |_, _| ()),
            13 => self.forward(16),
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let left = (self.bytes.len() - self.at) as u64;
        if count > left.min(LIST_COUNT_MAX) {
            return None;
        }
        (0..count).try_for_each(|_| self.skip(head & 15, depth + 1))
    }

    fn map(&mut self, depth: usize) -> Option<()> {
        let count = self.varint()?;
        if count == 0 {
            return Some(());
        }
        let kinds = self.byte()?;
        let left = (self.bytes.len() - self.at) as u64;
        if count > left.min(LIST_COUNT_MAX) {
            return None;
        }
        (0..count).try_for_each(|_| {
            self.skip(kinds >> 4, depth + 1)?;
            self.skip(kinds & 15, depth + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_lists_and_ends() {
        // Field 1: i32 3; field 2: list of two i32; field 20: binary of two bytes; field 21: true; the end.
        let bytes = [0x15, 6, 0x19, 0x25, 2, 4, 0x08, 40, 2, b'x', b'y', 0x11, 0, 0xff];
        let mut seen = Vec::new();
        let mut walk = Walk::new(&bytes);
        assert_eq!(walk.structure(&mut |field, value| seen.push((field, value))), Some(()));
        assert_eq!((seen, walk.len()), (vec![(1, 3)], 13));
        for end in 0..13 {
            assert_eq!(Walk::new(&bytes[..end]).structure(&mut |_, _| ()), None, "{end}");
        }
    }

    #[test]
    fn what_announces_too_much_is_refused() {
        // A list of 2^31 - 1 structures in a few bytes.
        let list = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0];
        assert_eq!(Walk::new(&list).structure(&mut |_, _| ()), None);
        // Structures in structures.
        let deep = vec![0x1c; 100_000];
        assert_eq!(Walk::new(&deep).structure(&mut |_, _| ()), None);
        let lists = vec![0x19; 100_000];
        assert_eq!(Walk::new(&lists).structure(&mut |_, _| ()), None);
    }
}
