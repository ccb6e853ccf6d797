//! Parts of segments without a file around them, and deletions. Byte 0 chooses the part, byte 1 a type, bytes 2 and 3 a count
//! that a reader knows from elsewhere.

use chronolith_codec::varint::Reader;
use chronolith_engine::model::FieldType;
use chronolith_engine::segment::fuzz::{Part, rewritten};
use chronolith_engine::tombstone::Tombstone;

use crate::input::Input;

/// Types of fields, each with its own form in a block.
pub(crate) const TYPES: [FieldType; 7] = [
    FieldType::F64,
    FieldType::I64,
    FieldType::U64,
    FieldType::Bool,
    FieldType::Utf8,
    FieldType::Timestamp,
    FieldType::Decimal { precision: 9, scale: 2 },
];

/// Kinds of parts.
pub(crate) const PARTS: u8 = 13;

/// A part of a segment, or a deletion.
pub fn block(data: &[u8]) {
    let mut input = Input(data);
    let (kind, of, count) = (input.byte() % PARTS, input.one_of(&TYPES), input.u16());
    let bytes = input.rest();
    let part = match kind {
        0 => Part::Page(of),
        1 => Part::Descriptor(of),
        2 => Part::Directory,
        3 => Part::Zone(of),
        4 => Part::SeriesBlock,
        5 => Part::BlockIndex,
        6 => Part::TagBlock,
        7 => Part::LastRows(of),
        8 => Part::Commits,
        9 => Part::Footer,
        10 => Part::Schema,
        11 => Part::Info,
        _ => return deletion(bytes),
    };
    let Ok(Some((written, is_exact))) = rewritten(part, count, bytes) else { return };
    if is_exact {
        assert_eq!(written, bytes, "{part:?} is written in one way");
        return;
    }
    let again = rewritten(part, count, &written);
    let Ok(Some((again, _))) = again else { panic!("{part:?} that was written: {again:?}") };
    assert_eq!(again, written, "{part:?}, written again");
}

fn deletion(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(tombstone) = Tombstone::decode(&mut reader) else { return };
    let mut written = Vec::new();
    tombstone.encode(&mut written);
    assert_eq!(written, bytes[..written.len()], "a deletion is written in one way");
    assert_eq!(written.len() + reader.remaining(), bytes.len());
    let _ = tombstone.check();
    let _ = tombstone.covers_series_bytes(b"a\0b\0");
}
