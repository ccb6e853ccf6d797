//! `system.tables`: one row a users' table. Rows are counted as they lie there, superseded and deleted ones included.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::DataType;
use chronolith_engine::model::TableSchema;
use chronolith_engine::snapshot::Snapshot;

use super::{times, user_tables};
use crate::convert::timestamp_type;
use crate::statement::duration;

pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("table_name", DataType::Utf8),
        ("merge", DataType::Utf8),
        ("schema", DataType::Utf8),
        ("history", DataType::Utf8),
        ("row_count", DataType::UInt64),
        ("memory_rows", DataType::UInt64),
        ("segment_count", DataType::UInt64),
        ("segment_bytes", DataType::UInt64),
        ("tombstone_count", DataType::UInt64),
        ("first_time", timestamp_type()),
        ("last_time", timestamp_type()),
    ]
}

struct Figures {
    memory_rows: u64,
    segment_rows: u64,
    segment_count: u64,
    segment_bytes: u64,
    tombstone_count: u64,
    times: Option<(i64, i64)>,
}

fn figures(snapshot: &Snapshot, schema: &TableSchema) -> Figures {
    let view = snapshot.view().table(schema.id);
    let mut figures = Figures {
        memory_rows: 0,
        segment_rows: 0,
        segment_count: view.segments.len() as u64,
        segment_bytes: 0,
        tombstone_count: view.tombstones.len() as u64,
        times: None,
    };
    let widen = |times: Option<(i64, i64)>, first: i64, last: i64| {
        Some(times.map_or((first, last), |(a, b)| (a.min(first), b.max(last))))
    };
    for segment in &view.segments {
        let info = segment.info();
        figures.segment_rows += info.row_count;
        figures.segment_bytes += info.len_bytes;
        figures.times = widen(figures.times, info.min_time, info.max_time);
    }
    for memtable in view.memtables() {
        let stats = memtable.stats();
        figures.memory_rows += stats.row_count;
        if let Some((first, last)) = stats.times {
            figures.times = widen(figures.times, first, last);
        }
    }
    figures
}

pub(super) fn rows(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let tables = user_tables(snapshot);
    let figures: Vec<Figures> = tables.iter().map(|table| figures(snapshot, table)).collect();
    let text = |of: &dyn Fn(&TableSchema) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(tables.iter().map(|table| of(table))))
    };
    let number = |of: &dyn Fn(&Figures) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(figures.iter().map(of)))
    };
    vec![
        text(&|table| table.name.clone()),
        text(&|table| table.merge.to_string()),
        text(&|table| table.mode.to_string()),
        text(&|table| duration::format(table.history_ns)),
        number(&|one| one.segment_rows + one.memory_rows),
        number(&|one| one.memory_rows),
        number(&|one| one.segment_count),
        number(&|one| one.segment_bytes),
        number(&|one| one.tombstone_count),
        times(figures.iter().map(|one| one.times.map(|(first, _)| first))),
        times(figures.iter().map(|one| one.times.map(|(_, last)| last))),
    ]
}
