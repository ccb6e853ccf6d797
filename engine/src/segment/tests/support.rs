//! Random rows, the naive oracle, and writing both ways.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronolith_codec::Effort;

use crate::model::{
    Column, ColumnData, ColumnId, FieldType, FileId, RowChunk, Sequence, SeriesKey, TableId, Value,
    Window,
};
use crate::segment::{SegmentInfo, SegmentReader, SegmentSpec, SegmentWriter};
use crate::vfs::Vfs;
use crate::vfs::sim::SimVfs;

pub(super) const DATABASE: u128 = 0xdb << 64;

/// A small generator of its own (SplitMix64), so that a failure names one number.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One row of the oracle.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) tags: Vec<String>,
    pub(super) time: i64,
    pub(super) sequence: Sequence,
    pub(super) values: Vec<Value>,
}

impl Row {
    pub(super) fn key(&self) -> SeriesKey {
        SeriesKey::from_tags(self.tags.iter().map(String::as_str)).unwrap()
    }
}

/// A value of every type.
pub(super) const TYPES: [FieldType; 7] = [
    FieldType::F64,
    FieldType::I64,
    FieldType::U64,
    FieldType::Bool,
    FieldType::Utf8,
    FieldType::Timestamp,
    FieldType::Decimal { precision: 9, scale: 2 },
];

pub(super) fn columns(types: &[FieldType]) -> Vec<(ColumnId, FieldType)> {
    (10..).map(ColumnId).zip(types.iter().copied()).collect()
}

pub(super) fn value(random: &mut Random, of: FieldType) -> Value {
    let raw = random.next();
    let small = (raw % 2000) as i64 - 1000;
    let wide = random.one_in(50);
    match of {
        FieldType::F64 => Value::F64(match raw % 97 {
            0 => f64::NAN,
            1 => -0.0,
            2 if wide => f64::INFINITY,
            3 if wide => f64::NEG_INFINITY,
            _ => small as f64 / 4.0,
        }),
        FieldType::I64 => Value::I64(if wide { raw as i64 } else { small }),
        FieldType::U64 => Value::U64(if wide { raw } else { raw % 1000 }),
        FieldType::Bool => Value::Bool(raw.is_multiple_of(3)),
        FieldType::Utf8 => Value::Utf8("x\u{e9}y".repeat((raw % 5) as usize)),
        FieldType::Timestamp => Value::Timestamp(small * 1_000_000_007),
        FieldType::Decimal { scale, .. } => Value::Decimal { units: small, scale },
    }
}

/// What random rows look like.
pub(super) struct Shape<'a> {
    pub(super) tag_values: &'a [u64],
    pub(super) rows_per_series: u64,
    pub(super) null_one_in: u64,
    pub(super) repeat_one_in: u64,
    pub(super) types: &'a [FieldType],
}

/// Sorted random rows of `series` series in the window of hour 0 to 2^16 hours.
pub(super) fn rows(random: &mut Random, series: usize, shape: &Shape<'_>) -> Vec<Row> {
    let mut keys: Vec<Vec<String>> = Vec::new();
    for _ in 0..series {
        let tag = |count: &u64| match random.below(*count) {
            0 => String::new(),
            number => format!("v{number}"),
        };
        keys.push(shape.tag_values.iter().map(tag).collect());
    }
    let mut rows = Vec::new();
    for tags in keys {
        let mut time = random.below(1_000_000) as i64;
        for _ in 0..1 + random.below(shape.rows_per_series * 2) {
            if !random.one_in(shape.repeat_one_in) {
                time += 1 + random.below(1_000_000_000) as i64;
            }
            let sequence =
                Sequence { incarnation: 1 + random.below(2) as u32, counter: random.below(9) };
            let mut one = |of: &FieldType| {
                let is_null = random.one_in(shape.null_one_in);
                if is_null { Value::Null } else { value(random, *of) }
            };
            let values = shape.types.iter().map(&mut one).collect();
            rows.push(Row { tags: tags.clone(), time, sequence, values });
        }
    }
    rows.sort_by_key(|row| (row.key(), row.time, row.sequence));
    rows
}

/// Rows as a chunk.
pub(super) fn chunk(rows: &[Row], types: &[FieldType]) -> RowChunk {
    let column = |(index, of): (usize, &FieldType)| {
        let mut data = ColumnData::new(*of);
        let mut bits = chronolith_codec::Bitmap::new();
        for row in rows {
            assert!(data.push_value(&row.values[index], *of));
            bits.push(row.values[index] != Value::Null);
        }
        Column::new(data, Some(bits))
    };
    RowChunk {
        time: rows.iter().map(|row| row.time).collect(),
        sequence: rows.iter().map(|row| row.sequence).collect(),
        fields: types.iter().enumerate().map(column).collect(),
    }
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from("/db/segments")
}

pub(super) fn disk() -> Arc<dyn Vfs> {
    let vfs = SimVfs::new(1);
    vfs.create_dir_all(&folder()).unwrap();
    Arc::new(vfs)
}

pub(super) fn spec(id: u128, tags: usize, types: &[FieldType], effort: Effort) -> SegmentSpec {
    SegmentSpec {
        file_id: FileId(id),
        database_id: DATABASE,
        table: TableId(4),
        window: Window::of(0, 16),
        tag_count: tags,
        columns: columns(types),
        effort,
        tombstones_through: Sequence { incarnation: 1, counter: 3 },
        group_bytes_max: crate::limits::ROW_GROUP_BYTES_MAX,
    }
}

/// Writes rows, each series in pieces of up to `piece` rows.
pub(super) fn write(
    vfs: &Arc<dyn Vfs>,
    folder: &Path,
    spec: SegmentSpec,
    rows: &[Row],
    piece: usize,
) -> SegmentInfo {
    let types: Vec<FieldType> = spec.columns.iter().map(|(_, of)| *of).collect();
    let mut writer = SegmentWriter::create(vfs.as_ref(), folder, spec).unwrap();
    for series in rows.chunk_by(|a, b| a.tags == b.tags || a.key() == b.key()) {
        let key = series[0].key();
        for piece in series.chunks(piece) {
            writer.push(&key, &chunk(piece, &types)).unwrap();
        }
    }
    writer.finish().unwrap()
}

pub(super) fn open(vfs: &Arc<dyn Vfs>, info: &SegmentInfo) -> Arc<SegmentReader> {
    SegmentReader::open(vfs.as_ref(), &folder(), DATABASE, info).unwrap()
}

/// Whether two values are the same, floats bit by bit.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::F64(one), Value::F64(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

/// That a chunk holds these rows, with these of their columns.
pub(super) fn assert_rows(found: &RowChunk, rows: &[Row], types: &[FieldType], picks: &[usize]) {
    assert_eq!(found.time, rows.iter().map(|row| row.time).collect::<Vec<_>>());
    if !found.sequence.is_empty() {
        assert_eq!(found.sequence, rows.iter().map(|row| row.sequence).collect::<Vec<_>>());
    }
    assert_eq!(found.fields.len(), picks.len());
    for (column, pick) in found.fields.iter().zip(picks) {
        assert_eq!(column.len(), rows.len());
        for (at, row) in rows.iter().enumerate() {
            let value = column.value(at, types[*pick]);
            assert!(
                same(&value, &row.values[*pick]),
                "row {at}: {value:?}, {:?}",
                row.values[*pick]
            );
        }
    }
}
