//! `system.segments`: one row a segment of the users' tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt64Array};
use arrow::datatypes::DataType;
use chronolith_engine::segment::SegmentInfo;
use chronolith_engine::snapshot::Snapshot;

use super::{times, user_tables};
use crate::convert::timestamp_type;

pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("table_name", DataType::Utf8),
        ("file_id", DataType::Utf8),
        ("window_start", timestamp_type()),
        ("window_end", timestamp_type()),
        ("row_count", DataType::UInt64),
        ("series_count", DataType::UInt64),
        ("bytes", DataType::UInt64),
        ("first_time", timestamp_type()),
        ("last_time", timestamp_type()),
        ("first_sequence", DataType::Utf8),
        ("last_sequence", DataType::Utf8),
        ("has_duplicates", DataType::Boolean),
        ("dense", DataType::Boolean),
    ]
}

pub(super) fn rows(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let mut segments: Vec<(String, Arc<SegmentInfo>)> = Vec::new();
    for table in user_tables(snapshot) {
        let view = snapshot.view().table(table.id);
        let infos = view.segments.iter().map(|one| (table.name.clone(), Arc::clone(one.info())));
        segments.extend(infos);
    }
    segments.sort_by(|(a, x), (b, y)| {
        (a, x.window.start_ns, x.file_id).cmp(&(b, y.window.start_ns, y.file_id))
    });
    let text = |of: &dyn Fn(&SegmentInfo) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(segments.iter().map(|(_, info)| of(info))))
    };
    let number = |of: &dyn Fn(&SegmentInfo) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(segments.iter().map(|(_, info)| of(info))))
    };
    let time = |of: &dyn Fn(&SegmentInfo) -> Option<i64>| -> ArrayRef {
        times(segments.iter().map(|(_, info)| of(info)))
    };
    let flag = |of: &dyn Fn(&SegmentInfo) -> bool| -> ArrayRef {
        let flags: Vec<bool> = segments.iter().map(|(_, info)| of(info)).collect();
        Arc::new(BooleanArray::from(flags))
    };
    vec![
        Arc::new(StringArray::from_iter_values(segments.iter().map(|(table, _)| table.as_str()))),
        text(&|info| info.file_id.to_string()),
        time(&|info| Some(info.window.start_ns)),
        time(&|info| Some(info.window.range().to)),
        number(&|info| info.row_count),
        number(&|info| u64::from(info.series_count)),
        number(&|info| info.len_bytes),
        time(&|info| Some(info.min_time)),
        time(&|info| Some(info.max_time)),
        text(&|info| info.min_sequence.to_string()),
        text(&|info| info.max_sequence.to_string()),
        flag(&|info| info.has_duplicates),
        flag(&|info| info.effort > 0),
    ]
}
