//! Records: bytes and back, and bytes that are none.

use chronolith_codec::{Bitmap, TextBuf};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::catalog::CatalogChange;
use crate::model::{
    Column, ColumnData, ColumnId, CommitMetadata, FieldDef, FieldType, FieldValues, MergeMode,
    Producer, Rows, SchemaMode, SeriesKey, TableId, TableSchema, TagDef, TagFilter, TimeRange,
};
use crate::tombstone::Tombstone;

fn field_type() -> impl Strategy<Value = FieldType> {
    prop_oneof![
        Just(FieldType::F64),
        Just(FieldType::I64),
        Just(FieldType::U64),
        Just(FieldType::Bool),
        Just(FieldType::Utf8),
        Just(FieldType::Timestamp),
        (1_u8..=18)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_map(|(precision, scale)| FieldType::decimal(precision, scale).unwrap()),
    ]
}

fn data(of: FieldType, rows: usize) -> BoxedStrategy<ColumnData> {
    match of {
        // Every bit pattern, the NaNs among them.
        FieldType::F64 => vec(any::<u64>(), rows)
            .prop_map(|bits| ColumnData::F64(bits.into_iter().map(f64::from_bits).collect()))
            .boxed(),
        FieldType::U64 => vec(any::<u64>(), rows).prop_map(ColumnData::U64).boxed(),
        FieldType::Bool => vec(any::<bool>(), rows)
            .prop_map(|bits| ColumnData::Bool(Bitmap::from_fn(bits.len(), |at| bits[at])))
            .boxed(),
        FieldType::Utf8 => vec(".{0,12}", rows)
            .prop_map(|texts| {
                let mut buffer = TextBuf::new();
                texts.iter().for_each(|text| buffer.push(text).unwrap());
                ColumnData::Utf8(buffer)
            })
            .boxed(),
        _ => vec(any::<i64>(), rows).prop_map(ColumnData::I64).boxed(),
    }
}

fn column(rows: usize) -> impl Strategy<Value = (FieldType, Column)> {
    field_type().prop_flat_map(move |of| {
        let validity = proptest::option::of(vec(any::<bool>(), rows));
        (Just(of), data(of, rows), validity).prop_map(|(of, data, valid)| {
            let valid = valid.map(|bits| Bitmap::from_fn(bits.len(), |at| bits[at]));
            (of, Column::new(data, valid))
        })
    })
}

fn rows() -> impl Strategy<Value = Rows> {
    let keys = vec(vec("[a-z\u{e9}]{0,6}", 0..3), 1..4);
    (1_usize..40, keys, 1_u32..9).prop_flat_map(|(count, keys, table)| {
        let keys: Vec<SeriesKey> = keys
            .iter()
            .map(|tags| SeriesKey::from_tags(tags.iter().map(String::as_str)).unwrap())
            .collect();
        let series = vec(0..u32::try_from(keys.len()).unwrap(), count);
        let time = vec(any::<i64>(), count);
        (Just(keys), series, time, vec(column(count), 0..4)).prop_map(
            move |(keys, series, time, columns)| {
                let fields = (1..).zip(columns).map(|(id, (field_type, column))| FieldValues {
                    id: ColumnId(id),
                    field_type,
                    column,
                });
                Rows { table: TableId(table), keys, series, time, fields: fields.collect() }
            },
        )
    })
}

fn schema() -> TableSchema {
    let mut schema = TableSchema::new(TableId(4), "quotes");
    schema.tags.push(TagDef { id: ColumnId(1), name: "symbol".into() });
    let field_type = FieldType::Decimal { precision: 12, scale: 4 };
    schema.fields.push(FieldDef { id: ColumnId(2), name: "bid".into(), field_type });
    schema.next_column = 3;
    schema.merge = MergeMode::LastNonNull;
    schema
}

fn change() -> impl Strategy<Value = CatalogChange> {
    let table = TableId(4);
    prop_oneof![
        Just(CatalogChange::CreateTable(schema())),
        Just(CatalogChange::DropTable { table }),
        "[a-z]{1,9}".prop_map(move |name| CatalogChange::RenameTable { table, name }),
        (field_type(), "[a-z]{1,9}").prop_map(move |(field_type, name)| CatalogChange::AddField {
            table,
            field: FieldDef { id: ColumnId(9), name, field_type },
        }),
        Just(CatalogChange::SetMode { table, mode: SchemaMode::Strict }),
        (0_i64..).prop_map(move |history_ns| CatalogChange::SetHistory { table, history_ns }),
    ]
}

fn deletion() -> impl Strategy<Value = Tombstone> {
    let values = || vec("[a-z]{0,5}", 0..3);
    let filter = prop_oneof![values().prop_map(TagFilter::In), values().prop_map(TagFilter::NotIn)];
    (any::<i64>(), any::<i64>(), vec((0_u32..64, filter), 0..3)).prop_map(|(from, to, tags)| {
        Tombstone {
            table: TableId(4),
            sequence: Sequence::ZERO,
            tags,
            range: TimeRange::new(from, to),
        }
    })
}

fn metadata() -> impl Strategy<Value = CommitMetadata> {
    ("[a-z]{0,3}", "[a-z]{0,3}", ".{0,8}", "[0-9.]{0,3}").prop_map(
        |(principal, source, event_id, pipeline_version)| CommitMetadata {
            principal,
            source,
            event_id,
            pipeline_version,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let producer = ("[a-z]{1,9}", 1_u64..).prop_map(|(id, number)| Producer { id, number });
    (
        metadata(),
        proptest::option::of(producer),
        vec(change(), 0..3),
        vec(rows(), 0..3),
        vec(deletion(), 0..3),
    )
        .prop_map(|(metadata, producer, catalog, rows, deletions)| Record {
            metadata,
            producer,
            catalog,
            rows,
            deletions,
        })
}

/// The record with its doubles as their bits, so that NaNs compare.
fn comparable(mut record: Record) -> (Record, Vec<u64>) {
    let mut bits = Vec::new();
    for rows in &mut record.rows {
        if rows.keys.len() == 1 {
            rows.series.fill(0);
        }
        for field in &mut rows.fields {
            if let ColumnData::F64(values) = &mut field.column.data {
                bits.extend(values.iter().map(|value| value.to_bits()));
                values.fill(0.0);
            }
        }
    }
    (record, bits)
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_round_trip(record in record()) {
        let bytes = encoded(&record);
        let read = Record::decode(&bytes).unwrap();
        prop_assert_eq!(comparable(read), comparable(record));
    }

    #[test]
    fn no_part_of_a_record_is_a_record(record in record(), extra in any::<u8>()) {
        let mut bytes = encoded(&record);
        for len in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
            prop_assert!(Record::decode(&bytes[..len]).is_err(), "the first {} bytes", len);
        }
        bytes.push(extra);
        prop_assert!(Record::decode(&bytes).is_err());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Record::decode(&bytes);
    }

    #[test]
    fn damaged_records_are_refused_or_sound_enough_for_a_memtable(
        record in record(),
        flips in vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
    ) {
        let mut bytes = encoded(&record);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let Ok(read) = Record::decode(&bytes) else { return Ok(()) };
        let budget = crate::budget::MemoryBudget::new(1 << 30);
        let memtable = crate::memtable::Memtable::new(TableId(1), budget.empty_grant());
        for rows in &read.rows {
            memtable.insert(rows.clone(), seq(1));
            prop_assert_eq!(rows.series.len(), rows.time.len());
            prop_assert!(rows.series.iter().all(|series| (*series as usize) < rows.keys.len()));
            for field in &rows.fields {
                prop_assert_eq!(field.column.len(), rows.time.len());
                prop_assert!(field.column.data.fits(field.field_type));
                let validity = field.column.validity.as_ref();
                prop_assert!(validity.is_none_or(|bits| bits.len() == rows.time.len()));
            }
        }
        let rows: usize = read.rows.iter().map(Rows::row_count).sum();
        prop_assert_eq!(memtable.stats().row_count, rows as u64);
    }
}

fn one_row() -> Record {
    let field = |id, value| FieldValues {
        id: ColumnId(id),
        field_type: FieldType::F64,
        column: Column::new(ColumnData::F64(vec![value]), None),
    };
    let rows = Rows {
        table: TableId(1),
        keys: vec![SeriesKey::from_tags(["A"]).unwrap()],
        series: vec![0],
        time: vec![5],
        fields: vec![field(2, 1.5), field(3, 2.5)],
    };
    Record { rows: vec![rows], ..Record::default() }
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let mut record = one_row();
    assert!(Record::decode(&encoded(&record)).is_ok());
    record.rows[0].fields[1].id = ColumnId(2);
    assert!(Record::decode(&encoded(&record)).is_err());
}

#[test]
fn a_row_of_a_series_that_is_not_there_is_refused() {
    let mut record = one_row();
    record.rows[0].keys.push(SeriesKey::from_tags(["B"]).unwrap());
    for (series, sound) in [(0, true), (1, true), (2, false), (u32::MAX, false)] {
        record.rows[0].series[0] = series;
        assert_eq!(Record::decode(&encoded(&record)).is_ok(), sound, "{series}");
    }
}

#[test]
fn counts_beyond_the_bytes_are_refused_before_they_are_believed() {
    // No flags; then counts of changes, tables, deletions that claim more than there is.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x7f];
    for lead in [&[0][..], &[0, 0], &[0, 0, 0], &[0, 0, 1, 1], &[0, 0, 1, 1, 1, 0]] {
        let bytes = [lead, &huge].concat();
        assert!(Record::decode(&bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_row_costs_its_values_its_key_and_a_few_bytes() {
    // Flags, three counts; table, keys, length and key, rows, time, fields; then two fields of 1 + 3 + 1 + 8.
    assert_eq!(encoded(&one_row()).len(), 4 + (1 + 1 + 1 + 2 + 1 + 8 + 1) + 2 * 13);
}
