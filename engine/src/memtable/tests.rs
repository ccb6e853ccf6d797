//! A memtable against a list of rows.

use proptest::prelude::*;

use super::*;
use crate::budget::MemoryBudget;
use crate::model::{Column, ColumnData, FieldValues, Value};

const FIELD: (ColumnId, FieldType) = (ColumnId(3), FieldType::I64);
const LATE_FIELD: (ColumnId, FieldType) = (ColumnId(4), FieldType::F64);

fn key(series: u8) -> SeriesKey {
    SeriesKey::from_tags([format!("s{series}").as_str()]).unwrap()
}

/// One row: series, time, the first field (absent in the whole batch when None).
type Row = (u8, i64, Option<i64>);

fn rows(batch: &[Row]) -> Rows {
    let mut keys: Vec<SeriesKey> = Vec::new();
    let mut series = Vec::new();
    for (one, ..) in batch {
        let at = keys.iter().position(|known| *known == key(*one)).unwrap_or_else(|| {
            keys.push(key(*one));
            keys.len() - 1
        });
        series.push(u32::try_from(at).unwrap());
    }
    let values: Vec<Value> =
        batch.iter().map(|row| row.2.map_or(Value::Null, Value::I64)).collect();
    let mut fields = Vec::new();
    if values.iter().any(|value| *value != Value::Null) {
        let mut data = ColumnData::new(FieldType::I64);
        let mut validity = chronolith_codec::Bitmap::default();
        for value in &values {
            assert!(data.push_value(value, FieldType::I64));
            validity.push(*value != Value::Null);
        }
        let column = Column::new(data, Some(validity));
        fields.push(FieldValues { id: FIELD.0, field_type: FIELD.1, column });
    }
    Rows { table: TableId(1), keys, series, time: batch.iter().map(|row| row.1).collect(), fields }
}

/// Time, sequence and values of each row.
fn cells(rows: &RowChunk) -> Vec<(i64, Sequence, Value, Value)> {
    (0..rows.row_count())
        .map(|at| {
            let (one, two) =
                (rows.fields[0].value(at, FIELD.1), rows.fields[1].value(at, LATE_FIELD.1));
            (rows.time[at], rows.sequence[at], one, two)
        })
        .collect()
}

fn sequence(counter: usize) -> Sequence {
    Sequence { incarnation: 1, counter: counter as u64 }
}

proptest! {
    #[test]
    fn reads_are_the_rows_in_order(
        batches in prop::collection::vec(
            prop::collection::vec((0..4_u8, -20..20_i64, prop::option::of(any::<i64>())), 1..30), 1..20),
        repeat in 1..100_usize,
        from in -25..25_i64, len in 0..50_i64, through in 0..22_usize,
    ) {
        let memtable = Memtable::new(TableId(1), MemoryBudget::new(0).empty_grant());
        // A few batches are long enough for chunks of their own.
        let batches: Vec<Vec<Row>> = batches
            .into_iter()
            .enumerate()
            .map(|(index, batch)| if index % 5 == 4 { batch.repeat(repeat) } else { batch })
            .collect();
        for (index, batch) in batches.iter().enumerate() {
            memtable.insert(rows(batch), sequence(index + 1));
        }
        let range = TimeRange::new(from, from + len);
        let through = sequence(through);
        for series in memtable.select(TimeRange::ALL, &|_| true) {
            let mut expected: Vec<(i64, Sequence, Option<i64>)> = Vec::new();
            for (index, batch) in batches.iter().enumerate() {
                for row in batch.iter().filter(|row| key(row.0) == series.key) {
                    if row.1 >= from && row.1 < from + len && sequence(index + 1) <= through {
                        expected.push((row.1, sequence(index + 1), row.2));
                    }
                }
            }
            expected.sort_by_key(|row| row.0);
            let read = memtable.read(series.local, range, through, &[FIELD, LATE_FIELD]);
            prop_assert_eq!(read.row_count(), expected.len());
            for (at, row) in expected.iter().enumerate() {
                prop_assert_eq!(read.time[at], row.0);
                prop_assert_eq!(read.sequence[at], row.1);
                let value = row.2.map_or(Value::Null, Value::I64);
                prop_assert_eq!(read.fields[0].value(at, FIELD.1), value);
                prop_assert_eq!(read.fields[1].value(at, LATE_FIELD.1), Value::Null);
            }
        }
        let sorted = memtable.sorted(&[FIELD, LATE_FIELD]);
        let places: Vec<_> = sorted.series().map(|(key, at)| (key.clone(), at)).collect();
        for (series, (key, at)) in memtable.select(TimeRange::ALL, &|_| true).iter().zip(places) {
            prop_assert_eq!(&series.key, &key);
            let columns = [FIELD, LATE_FIELD];
            let read = memtable.read(series.local, range, Sequence::MAX, &columns);
            prop_assert_eq!(cells(&sorted.read(at, range)), cells(&read));
        }
        let total: usize = batches.iter().map(Vec::len).sum();
        prop_assert_eq!(memtable.stats().row_count, total as u64);
    }
}

#[test]
fn a_selection_is_sorted_and_bounded_by_time() {
    let memtable = Memtable::new(TableId(1), MemoryBudget::new(0).empty_grant());
    memtable.insert(rows(&[(3, 10, Some(1)), (1, 20, None), (2, 90, Some(5))]), sequence(1));
    let picked = memtable.select(TimeRange::new(0, 50), &|_| true);
    let keys: Vec<_> = picked.iter().map(|series| series.key.clone()).collect();
    assert_eq!(keys, [key(1), key(3)]);
    assert_eq!(memtable.select(TimeRange::ALL, &|one| *one == key(2)).len(), 1);
}
