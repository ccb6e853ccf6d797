//! The engine's model as messages of the interface, and its figures back.

use chronolith_client::v1;
use chronolith_engine::db::{DamagedPart, MemoryByUser, Stats, TableStats};
use chronolith_engine::model::{
    Batch, ColumnId, Comparison, Durability, FieldDef, FieldFilter, FieldType, InvalidRows,
    MergeMode, SchemaMode, Sequence, SeriesKey, TableId, TableOptions, TableRows, TableSchema,
    TagDef, TagValues, TimeRange, Value,
};
use chronolith_engine::read::{AggregateFunction, AggregateRequest, ScanRequest};

use super::super::{CtlError, CtlResult};
use crate::convert::{
    field_type_message, metadata_message, packed_field_message, tag_filter_message,
    time_range_message,
};

/// A batch, in packed columns.
pub(super) fn write_request(batch: Batch) -> v1::WriteRequest {
    let durability = match batch.durability {
        Durability::Fsync => v1::Durability::Fsync,
        Durability::Os => v1::Durability::Os,
    };
    let invalid_rows = match batch.invalid_rows {
        InvalidRows::RefuseBatch => v1::InvalidRows::AllOrNothing,
        InvalidRows::RefuseRows => v1::InvalidRows::AcceptValid,
    };
    v1::WriteRequest {
        metadata: (!batch.metadata.is_empty()).then(|| metadata_message(&batch.metadata)),
        tables: batch.tables.into_iter().map(table_rows).collect(),
        durability: durability.into(),
        invalid_rows: invalid_rows.into(),
        producer: batch.producer.map(|one| v1::Producer { id: one.id, number: one.number }),
        import: batch.import.map(|mark| v1::ImportMark {
            file: mark.file,
            row_count: mark.row_count,
            source_row_count: mark.source_row_count,
            is_finished: mark.finished,
        }),
    }
}

/// Rows of one table, packed.
pub(super) fn table_rows(rows: TableRows) -> v1::TableRows {
    let tags = rows.tags.into_iter().map(|tag| match tag.values {
        TagValues::Constant(value) => {
            v1::PackedTag { name: tag.name, values: vec![value], codes: Vec::new() }
        }
        TagValues::Dictionary { codes, values } => v1::PackedTag { name: tag.name, values, codes },
    });
    let fields = rows.fields.into_iter();
    let fields =
        fields.map(|field| packed_field_message(&field.name, field.field_type, field.column));
    let packed = v1::PackedRows { time: rows.time, tags: tags.collect(), fields: fields.collect() };
    v1::TableRows {
        table: rows.table,
        create_if_missing: rows.create_if_missing.as_ref().map(table_options),
        rows: Some(v1::table_rows::Rows::Packed(packed)),
    }
}

/// Properties of a new table.
pub(super) fn table_options(options: &TableOptions) -> v1::TableOptions {
    let merge = match options.merge {
        MergeMode::Append => v1::MergeMode::Append,
        MergeMode::LastRow => v1::MergeMode::LastRow,
        MergeMode::LastNonNull => v1::MergeMode::LastNonNull,
    };
    let mode = match options.mode {
        SchemaMode::Dynamic => v1::SchemaMode::Dynamic,
        SchemaMode::Strict => v1::SchemaMode::Strict,
    };
    let field = |(name, field_type): &(String, FieldType)| v1::Field {
        name: name.clone(),
        r#type: Some(field_type_message(*field_type)),
    };
    v1::TableOptions {
        tags: options.tags.clone(),
        fields: options.fields.iter().map(field).collect(),
        merge: merge.into(),
        mode: mode.into(),
        history_ns: options.history_ns,
        time_name: options.time_name.clone(),
    }
}

/// A selection of rows.
pub(super) fn scan_request(request: &ScanRequest) -> v1::ScanRequest {
    let tags = request.predicate.tags.iter();
    let columns = request.columns.as_ref();
    v1::ScanRequest {
        table: request.table.clone(),
        range: Some(time_range_message(request.range)),
        tags: tags.map(|(tag, filter)| tag_filter_message(tag, filter)).collect(),
        fields: request.predicate.fields.iter().map(field_filter).collect(),
        columns: columns.map(|names| v1::Names { names: names.clone() }),
        with_sequence: request.with_sequence,
        row_count_max: 0,
        at: None,
    }
}

fn field_filter(filter: &FieldFilter) -> v1::FieldFilter {
    use v1::field_filter::Comparison as Sent;
    let comparison = match filter.comparison {
        Comparison::Eq => Sent::Eq,
        Comparison::Ne => Sent::Ne,
        Comparison::Lt => Sent::Lt,
        Comparison::Le => Sent::Le,
        Comparison::Gt => Sent::Gt,
        Comparison::Ge => Sent::Ge,
    };
    let value = v1::Value { value: value(&filter.value) };
    v1::FieldFilter {
        field: filter.field.clone(),
        comparison: comparison.into(),
        value: Some(value),
    }
}

fn value(value: &Value) -> Option<v1::value::Value> {
    use v1::value::{Decimal, Value as Sent};
    Some(match value {
        Value::Null => return None,
        Value::F64(value) => Sent::F64(*value),
        Value::I64(value) => Sent::I64(*value),
        Value::U64(value) => Sent::U64(*value),
        Value::Bool(value) => Sent::Bool(*value),
        Value::Utf8(value) => Sent::Utf8(value.clone()),
        Value::Timestamp(value) => Sent::Timestamp(*value),
        Value::Decimal { units, scale } => {
            Sent::Decimal(Decimal { units: *units, scale: u32::from(*scale) })
        }
    })
}

/// An aggregate. Its columns are named by their place.
pub(super) fn aggregate_request(request: &AggregateRequest) -> v1::AggregateRequest {
    use v1::aggregate_column::Function as Sent;
    let column = |(at, (function, field)): (usize, &(AggregateFunction, String))| {
        let function = match function {
            AggregateFunction::Count => Sent::Count,
            AggregateFunction::First => Sent::First,
            AggregateFunction::Last => Sent::Last,
            AggregateFunction::Min => Sent::Min,
            AggregateFunction::Max => Sent::Max,
            AggregateFunction::Sum => Sent::Sum,
            AggregateFunction::Avg => Sent::Avg,
            AggregateFunction::SumOfRises => Sent::SumOfRises,
        };
        let name = format!("{at}");
        v1::AggregateColumn { function: function.into(), field: field.clone(), name }
    };
    v1::AggregateRequest {
        scan: Some(scan_request(&request.scan)),
        bucket: request.bucket.map(|bucket| v1::Bucket {
            width_ns: bucket.width_ns,
            origin_ns: Some(bucket.origin_ns),
        }),
        columns: request.functions.iter().enumerate().map(column).collect(),
    }
}

/// A table as the server describes it.
///
/// # Errors
/// `Failed` for a type that this program does not know.
pub(super) fn schema(table: &v1::Table) -> CtlResult<TableSchema> {
    let mut schema = TableSchema::new(TableId(table.id), &table.name);
    schema.time_name.clone_from(&table.time_name);
    schema.history_ns = table.history_ns;
    schema.merge = match table.merge() {
        v1::MergeMode::Unspecified | v1::MergeMode::Append => MergeMode::Append,
        v1::MergeMode::LastRow => MergeMode::LastRow,
        v1::MergeMode::LastNonNull => MergeMode::LastNonNull,
    };
    schema.mode = match table.mode() {
        v1::SchemaMode::Strict => SchemaMode::Strict,
        _ => SchemaMode::Dynamic,
    };
    let tag = |tag: &v1::TagColumn| TagDef { id: ColumnId(tag.id), name: tag.name.clone() };
    schema.tags = table.tags.iter().map(tag).collect();
    for field in &table.fields {
        let field_type = crate::convert::field_type(&field.name, field.r#type);
        let field_type = field_type.map_err(|status| {
            CtlError::Failed(format!("{}; use a program of the server's version", status.message()))
        })?;
        schema.fields.push(FieldDef {
            id: ColumnId(field.id),
            name: field.name.clone(),
            field_type,
        });
    }
    Ok(schema)
}

/// A place in commit order.
pub(super) fn sequence(from: Option<v1::Sequence>) -> Sequence {
    let from = from.unwrap_or_default();
    Sequence { incarnation: from.incarnation, counter: from.counter }
}

/// Figures.
pub(super) fn stats(from: v1::StatsReply) -> Stats {
    Stats {
        tables: from.tables.into_iter().map(table_stats).collect(),
        database_id: from.database_id,
        sequence: sequence(from.sequence),
        durable_sequence: sequence(from.durable_sequence),
        log_file_count: from.log_file_count,
        log_bytes: from.log_bytes,
        memtable_bytes: from.memtable_bytes,
        memory_used_bytes: from.memory_used_bytes,
        memory_peak_bytes: from.memory_peak_bytes,
        memory_limit_bytes: from.memory_limit_bytes,
        memory_by_user: MemoryByUser {
            rows_bytes: from.memory_rows_bytes,
            reads_bytes: from.memory_reads_bytes,
            flush_bytes: from.memory_flush_bytes,
            merges_bytes: from.memory_merges_bytes,
        },
        manifest_number: from.manifest_number,
        poisoned: Some(from.poisoned).filter(|cause| !cause.is_empty()),
    }
}

fn table_stats(from: v1::TableStats) -> TableStats {
    TableStats {
        name: from.table,
        row_count: from.row_count,
        memory_rows: from.memory_row_count,
        segment_count: from.segment_count,
        segment_bytes: from.segment_bytes,
        series_count: from.series_count,
        times: from.first_time.zip(from.last_time),
        tombstone_count: from.tombstone_count,
    }
}

/// Damage.
pub(super) fn damaged_part(from: v1::DamagedPart) -> DamagedPart {
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let all = TimeRange::ALL;
    let place = |at: Option<u64>| at.and_then(|at| usize::try_from(at).ok());
    let first = SeriesKey::from_bytes(&from.first_series);
    let last = SeriesKey::from_bytes(&from.last_series);
    DamagedPart {
        path: from.path.into(),
        table: said(from.table),
        column: said(from.column),
        range: from.range.map(|range| {
            TimeRange::new(range.from.unwrap_or(all.from), range.to.unwrap_or(all.to))
        }),
        offset: from.offset,
        row_group: place(from.row_group),
        page: place(from.page),
        series: first.zip(last).filter(|_| from.has_series),
        detail: from.detail,
    }
}
