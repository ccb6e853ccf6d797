//! Messages to the engine's model and back. Bounds of repeated fields are checked here, before anything is made of them.

use chronolith_codec::{Bitmap, TextBuf};
use chronolith_engine::Db;
use chronolith_engine::db::{RefusedRow, TableStats, WriteOutcome};
use chronolith_engine::limits::{FIELD_COUNT_MAX, TAG_COUNT_MAX};
use chronolith_engine::model::{
    Batch, Column, ColumnData, CommitMetadata, Comparison, Durability, FieldColumn, FieldFilter,
    FieldType, ImportMark, InvalidRows, MergeMode, OnPressure, Predicate, Producer, Rows,
    SchemaMode, Sequence, TableOptions, TableRows, TableSchema, TagColumn, TagDef, TagFilter,
    TagValues, TimeRange, Value,
};
use chronolith_engine::read::{AggregateFunction, AggregateRequest, Bucket, ScanRequest};
use chronolith_engine::tombstone::Tombstone;
use chronolith_proto::{
    AGGREGATE_COLUMNS_MAX, FIELD_FILTERS_MAX, FILTER_VALUES_MAX, REFUSED_ROWS_MAX,
    REQUEST_TABLES_MAX, TAG_FILTERS_MAX, v1,
};
use tonic::Status;

use crate::{ipc, status};

type Converted<T> = Result<T, Status>;

fn check_count(what: &str, found: usize, limit: usize) -> Converted<()> {
    if found > limit { Err(status::over_limit(what, found, limit, "entries")) } else { Ok(()) }
}

/// A batch. Arrow columns are told apart by the tables that are there.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn batch(db: &Db, request: v1::WriteRequest) -> Converted<Batch> {
    check_count("tables of a request", request.tables.len(), REQUEST_TABLES_MAX)?;
    let durability = match request.durability() {
        v1::Durability::Unspecified | v1::Durability::Fsync => Durability::Fsync,
        v1::Durability::Os => Durability::Os,
    };
    let invalid_rows = match request.invalid_rows() {
        v1::InvalidRows::Unspecified | v1::InvalidRows::AllOrNothing => InvalidRows::RefuseBatch,
        v1::InvalidRows::AcceptValid => InvalidRows::RefuseRows,
    };
    let mut tables = Vec::with_capacity(request.tables.len());
    for rows in request.tables {
        table_rows(db, rows, &mut tables)?;
    }
    let producer = request.producer.map(|one| Producer { id: one.id, number: one.number });
    let import = request.import.map(|mark| ImportMark {
        file: mark.file,
        row_count: mark.row_count,
        source_row_count: mark.source_row_count,
        finished: mark.is_finished,
    });
    let metadata = request.metadata.map(metadata).unwrap_or_default();
    // Waiting for memory holds the sender back; each waits on a thread of its own, which are bounded.
    let on_pressure = OnPressure::Wait;
    Ok(Batch { tables, durability, on_pressure, invalid_rows, producer, import, metadata })
}

fn metadata(from: v1::Metadata) -> CommitMetadata {
    CommitMetadata {
        principal: from.principal,
        source: from.source,
        event_id: from.event_id,
        pipeline_version: from.pipeline_version,
    }
}

fn table_rows(db: &Db, from: v1::TableRows, to: &mut Vec<TableRows>) -> Converted<()> {
    let create_if_missing =
        from.create_if_missing.map(|one| table_options(one, SchemaMode::Dynamic)).transpose()?;
    match from.rows {
        None => Err(status::invalid(format!("the rows for table {:?} are missing", from.table))),
        Some(v1::table_rows::Rows::Packed(rows)) => {
            to.push(packed_rows(from.table, create_if_missing, rows)?);
            Ok(())
        }
        Some(v1::table_rows::Rows::Arrow(rows)) => {
            let schema = db.table_schema(&from.table).ok();
            ipc::rows_of(&from.table, create_if_missing, schema.as_deref(), rows, to)
        }
    }
}

/// Properties of a new table; `mode` where none is given.
///
/// # Errors
/// `INVALID_ARGUMENT` for a type that is none.
pub(crate) fn table_options(from: v1::TableOptions, mode: SchemaMode) -> Converted<TableOptions> {
    check_count("tags of a table", from.tags.len(), TAG_COUNT_MAX)?;
    check_count("fields of a table", from.fields.len(), FIELD_COUNT_MAX)?;
    let merge = match from.merge() {
        v1::MergeMode::Unspecified | v1::MergeMode::Append => MergeMode::Append,
        v1::MergeMode::LastRow => MergeMode::LastRow,
        v1::MergeMode::LastNonNull => MergeMode::LastNonNull,
    };
    let mode = match from.mode() {
        v1::SchemaMode::Unspecified => mode,
        v1::SchemaMode::Dynamic => SchemaMode::Dynamic,
        v1::SchemaMode::Strict => SchemaMode::Strict,
    };
    let field = |field: v1::Field| Ok((field.name.clone(), field_type(&field.name, field.r#type)?));
    let fields = from.fields.into_iter().map(field).collect::<Converted<_>>()?;
    let (history_ns, time_name) = (from.history_ns, from.time_name);
    Ok(TableOptions { tags: from.tags, fields, merge, mode, history_ns, time_name })
}

/// A field's type.
///
/// # Errors
/// `INVALID_ARGUMENT` for a type that is none.
pub(crate) fn field_type(name: &str, from: Option<v1::FieldType>) -> Converted<FieldType> {
    use v1::field_type::Kind;
    let from = from.unwrap_or_default();
    let digits = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
    let found = match from.kind() {
        Kind::Unspecified => None,
        Kind::F64 => Some(FieldType::F64),
        Kind::I64 => Some(FieldType::I64),
        Kind::U64 => Some(FieldType::U64),
        Kind::Bool => Some(FieldType::Bool),
        Kind::Utf8 => Some(FieldType::Utf8),
        Kind::Timestamp => Some(FieldType::Timestamp),
        Kind::Decimal => FieldType::decimal(digits(from.precision), digits(from.scale)),
    };
    found.ok_or_else(|| {
        status::invalid(format!(
            "the type of field {name:?} is none: kind {}, precision {}, scale {}",
            from.kind, from.precision, from.scale
        ))
    })
}

/// A field's type as a message.
pub(crate) fn field_type_message(from: FieldType) -> v1::FieldType {
    use v1::field_type::Kind;
    let (kind, precision, scale) = match from {
        FieldType::F64 => (Kind::F64, 0, 0),
        FieldType::I64 => (Kind::I64, 0, 0),
        FieldType::U64 => (Kind::U64, 0, 0),
        FieldType::Bool => (Kind::Bool, 0, 0),
        FieldType::Utf8 => (Kind::Utf8, 0, 0),
        FieldType::Timestamp => (Kind::Timestamp, 0, 0),
        FieldType::Decimal { precision, scale } => (Kind::Decimal, precision, scale),
    };
    v1::FieldType { kind: kind.into(), precision: precision.into(), scale: scale.into() }
}

fn packed_rows(
    table: String,
    create_if_missing: Option<TableOptions>,
    from: v1::PackedRows,
) -> Converted<TableRows> {
    check_count("tags of a request's rows", from.tags.len(), TAG_COUNT_MAX)?;
    check_count("fields of a request's rows", from.fields.len(), FIELD_COUNT_MAX)?;
    let row_count = from.time.len();
    let tags = from.tags.into_iter().map(|tag| packed_tag(&table, tag, row_count));
    let tags = tags.collect::<Converted<_>>()?;
    let mut fields = Vec::with_capacity(from.fields.len());
    for field in from.fields {
        fields.push(packed_field(&table, field, row_count)?);
    }
    Ok(TableRows { table, create_if_missing, time: from.time, tags, fields })
}

fn wrong_len(table: &str, column: &str, found: usize, expected: usize) -> Status {
    status::invalid(format!(
        "column {column:?} of table {table:?} has {found} values, but there are {expected} timestamps"
    ))
}

fn packed_tag(table: &str, from: v1::PackedTag, row_count: usize) -> Converted<TagColumn> {
    let v1::PackedTag { name, mut values, codes } = from;
    if codes.is_empty() && values.len() == 1 {
        let value = values.pop().unwrap_or_default();
        return Ok(TagColumn { name, values: TagValues::Constant(value) });
    }
    if codes.len() != row_count {
        return Err(wrong_len(table, &name, codes.len(), row_count));
    }
    if let Some(code) = codes.iter().find(|code| **code as usize >= values.len()) {
        return Err(status::invalid(format!(
            "tag {name:?} of table {table:?} has code {code}, but {} values",
            values.len()
        )));
    }
    Ok(TagColumn { name, values: TagValues::Dictionary { codes, values } })
}

fn packed_field(table: &str, from: v1::PackedField, row_count: usize) -> Converted<FieldColumn> {
    use v1::packed_field::Values;
    let v1::PackedField { name, r#type, validity, values } = from;
    let (data, natural) = match values {
        None => {
            return Err(status::invalid(format!(
                "field {name:?} of table {table:?} has no values"
            )));
        }
        Some(Values::F64(values)) => (ColumnData::F64(values.values), FieldType::F64),
        Some(Values::I64(values)) => (ColumnData::I64(values.values), FieldType::I64),
        Some(Values::U64(values)) => (ColumnData::U64(values.values), FieldType::U64),
        Some(Values::Bool(values)) => {
            (ColumnData::Bool(values.values.into_iter().collect()), FieldType::Bool)
        }
        Some(Values::Utf8(values)) => {
            let mut texts = TextBuf::new();
            for value in &values.values {
                texts.push(value).map_err(|error| status::invalid(error.to_string()))?;
            }
            (ColumnData::Utf8(texts), FieldType::Utf8)
        }
    };
    if data.len() != row_count {
        return Err(wrong_len(table, &name, data.len(), row_count));
    }
    let field_type = match r#type {
        Some(given) if given.kind() != v1::field_type::Kind::Unspecified => {
            field_type(&name, Some(given))?
        }
        _ => natural,
    };
    if !data.fits(field_type) {
        return Err(status::invalid(format!(
            "field {name:?} of table {table:?} is said to hold {field_type}, but its values are {natural}"
        )));
    }
    let validity = if validity.is_empty() {
        None
    } else {
        let wrong = |_| {
            status::invalid(format!(
                "the validity of field {name:?} of table {table:?} is not one bit for each of {row_count} rows, \
                 followed by zeros"
            ))
        };
        Some(Bitmap::from_bytes(validity, row_count).map_err(wrong)?)
    };
    Ok(FieldColumn { name, field_type, column: with_empty_nulls(Column::new(data, validity)) })
}

/// The slots of NULLs hold zero or empty text in the engine's columns, whatever was sent.
pub(crate) fn with_empty_nulls(column: Column) -> Column {
    let Column { mut data, validity } = column;
    let Some(bits) = validity.as_ref().filter(|bits| bits.count_ones() < bits.len()) else {
        return Column::new(data, validity);
    };
    let nulls = || bits.iter().enumerate().filter(|(_, valid)| !valid).map(|(row, _)| row);
    fn zero<T: Default>(values: &mut [T], nulls: impl Iterator<Item = usize>) {
        for row in nulls {
            if let Some(value) = values.get_mut(row) {
                *value = T::default();
            }
        }
    }
    match &mut data {
        ColumnData::F64(values) => zero(values, nulls()),
        ColumnData::I64(values) => zero(values, nulls()),
        ColumnData::U64(values) => zero(values, nulls()),
        ColumnData::Bool(values) => nulls().for_each(|row| {
            values.set(row, false);
        }),
        ColumnData::Utf8(texts) => {
            if nulls().any(|row| texts.get(row) != Some("")) {
                let all = (0..texts.len()).map(|row| match bits.get(row) {
                    Some(true) => texts.get(row).unwrap_or_default(),
                    _ => "",
                });
                *texts = all.collect();
            }
        }
    }
    Column::new(data, validity)
}

/// A committed batch as a message.
pub(crate) fn write_reply(outcome: WriteOutcome) -> v1::WriteReply {
    let refused_count = outcome.refused.len() as u64;
    let refused = outcome.refused.into_iter().take(REFUSED_ROWS_MAX);
    v1::WriteReply {
        sequence: Some(sequence(outcome.sequence)),
        durable_sequence: Some(sequence(outcome.durable_sequence)),
        row_count: outcome.row_count,
        refused: refused.map(refused_row).collect(),
        refused_count,
        already_applied: outcome.already_applied,
    }
}

fn refused_row(from: RefusedRow) -> v1::RefusedRow {
    v1::RefusedRow { table: from.table, row: from.row, reason: from.reason }
}

/// A sequence as a message.
pub(crate) fn sequence(from: Sequence) -> v1::Sequence {
    v1::Sequence { incarnation: from.incarnation, counter: from.counter }
}

/// A range of times.
pub(crate) fn time_range(from: Option<v1::TimeRange>) -> TimeRange {
    let from = from.unwrap_or_default();
    let all = TimeRange::ALL;
    TimeRange::new(from.from.unwrap_or(all.from), from.to.unwrap_or(all.to))
}

/// Conditions on tags.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn tag_predicate(from: Vec<v1::TagFilter>) -> Converted<Predicate> {
    check_count("conditions on tags", from.len(), TAG_FILTERS_MAX)?;
    let mut predicate = Predicate::all();
    for filter in from {
        check_count("values of a condition", filter.values.len(), FILTER_VALUES_MAX)?;
        let values = filter.values;
        let condition =
            if filter.is_negated { TagFilter::NotIn(values) } else { TagFilter::In(values) };
        predicate.tags.push((filter.tag, condition));
    }
    Ok(predicate)
}

fn field_filter(from: v1::FieldFilter) -> Converted<FieldFilter> {
    use v1::field_filter::Comparison as Sent;
    let comparison = match from.comparison() {
        Sent::Eq => Comparison::Eq,
        Sent::Ne => Comparison::Ne,
        Sent::Lt => Comparison::Lt,
        Sent::Le => Comparison::Le,
        Sent::Gt => Comparison::Gt,
        Sent::Ge => Comparison::Ge,
        Sent::Unspecified => {
            return Err(status::invalid(format!(
                "the condition on field {:?} has no comparison",
                from.field
            )));
        }
    };
    let value = value(&from.field, from.value.and_then(|value| value.value))?;
    Ok(FieldFilter { field: from.field, comparison, value })
}

fn value(field: &str, from: Option<v1::value::Value>) -> Converted<Value> {
    use v1::value::Value as Sent;
    Ok(match from {
        None => Value::Null,
        Some(Sent::F64(value)) => Value::F64(value),
        Some(Sent::I64(value)) => Value::I64(value),
        Some(Sent::U64(value)) => Value::U64(value),
        Some(Sent::Bool(value)) => Value::Bool(value),
        Some(Sent::Utf8(value)) => Value::Utf8(value),
        Some(Sent::Timestamp(value)) => Value::Timestamp(value),
        Some(Sent::Decimal(value)) => match u8::try_from(value.scale) {
            Ok(scale) if scale <= 18 => Value::Decimal { units: value.units, scale },
            _ => {
                return Err(status::invalid(format!(
                    "the condition on field {field:?} has a decimal of scale {}, the limit is 18",
                    value.scale
                )));
            }
        },
    })
}

/// A selection of rows.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn scan_request(from: v1::ScanRequest) -> Converted<ScanRequest> {
    check_count("conditions on fields", from.fields.len(), FIELD_FILTERS_MAX)?;
    let mut predicate = tag_predicate(from.tags)?;
    predicate.fields = from.fields.into_iter().map(field_filter).collect::<Converted<_>>()?;
    let columns = from.columns.map(|columns| columns.names);
    check_count("columns", columns.as_ref().map_or(0, Vec::len), FIELD_COUNT_MAX)?;
    Ok(ScanRequest {
        table: from.table,
        predicate,
        range: time_range(from.range),
        columns,
        with_sequence: from.with_sequence,
    })
}

/// An aggregate, and the names of its columns.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn aggregate_request(
    from: v1::AggregateRequest,
) -> Converted<(AggregateRequest, Vec<String>)> {
    check_count("aggregates", from.columns.len(), AGGREGATE_COLUMNS_MAX)?;
    let scan = scan_request(from.scan.unwrap_or_default())?;
    let bucket = from.bucket.map(|bucket| {
        let made = Bucket::new(bucket.width_ns);
        Bucket { origin_ns: bucket.origin_ns.unwrap_or(made.origin_ns), ..made }
    });
    let (mut functions, mut names) = (Vec::new(), Vec::new());
    for column in from.columns {
        let (function, word) = aggregate_function(&column)?;
        names.push(match column.name.as_str() {
            "" => format!("{word}({})", column.field),
            name => name.to_owned(),
        });
        functions.push((function, column.field));
    }
    Ok((AggregateRequest { scan, bucket, functions }, names))
}

fn aggregate_function(
    column: &v1::AggregateColumn,
) -> Converted<(AggregateFunction, &'static str)> {
    use AggregateFunction as F;
    use v1::aggregate_column::Function as Sent;
    Ok(match column.function() {
        Sent::Count => (F::Count, "count"),
        Sent::First => (F::First, "first"),
        Sent::Last => (F::Last, "last"),
        Sent::Min => (F::Min, "min"),
        Sent::Max => (F::Max, "max"),
        Sent::Sum => (F::Sum, "sum"),
        Sent::Avg => (F::Avg, "avg"),
        Sent::SumOfRises => (F::SumOfRises, "sum_of_rises"),
        Sent::Unspecified => {
            return Err(status::invalid(format!(
                "the aggregate of field {:?} has no function",
                column.field
            )));
        }
    })
}

/// A table as a message.
pub(crate) fn table(schema: &TableSchema, stats: Option<&TableStats>) -> v1::Table {
    let tags = schema.tags.iter();
    let fields = schema.fields.iter();
    v1::Table {
        name: schema.name.clone(),
        id: schema.id.0,
        tags: tags.map(|tag| v1::TagColumn { name: tag.name.clone(), id: tag.id.0 }).collect(),
        fields: fields
            .map(|field| v1::FieldColumn {
                name: field.name.clone(),
                r#type: Some(field_type_message(field.field_type)),
                id: field.id.0,
            })
            .collect(),
        merge: match schema.merge {
            MergeMode::Append => v1::MergeMode::Append,
            MergeMode::LastRow => v1::MergeMode::LastRow,
            MergeMode::LastNonNull => v1::MergeMode::LastNonNull,
        }
        .into(),
        mode: match schema.mode {
            SchemaMode::Dynamic => v1::SchemaMode::Dynamic,
            SchemaMode::Strict => v1::SchemaMode::Strict,
        }
        .into(),
        history_ns: schema.history_ns,
        time_name: schema.time_name.clone(),
        stats: stats.map(table_stats),
    }
}

/// A table's figures as a message.
pub(crate) fn table_stats(from: &TableStats) -> v1::TableStats {
    let (first_time, last_time) = from.times.unzip();
    v1::TableStats {
        table: from.name.clone(),
        row_count: from.row_count,
        memory_row_count: from.memory_rows,
        segment_count: from.segment_count,
        segment_bytes: from.segment_bytes,
        series_count: from.series_count,
        tombstone_count: from.tombstone_count,
        first_time,
        last_time,
    }
}

/// Where a batch comes from, as a message.
pub(crate) fn metadata_message(from: &CommitMetadata) -> v1::Metadata {
    v1::Metadata {
        principal: from.principal.clone(),
        source: from.source.clone(),
        event_id: from.event_id.clone(),
        pipeline_version: from.pipeline_version.clone(),
    }
}

/// The values of a field, packed.
pub(crate) fn packed_field_message(
    name: &str,
    field_type: FieldType,
    column: Column,
) -> v1::PackedField {
    use v1::packed_field::{self as packed, Values};
    let values = match column.data {
        ColumnData::F64(values) => Values::F64(packed::F64 { values }),
        ColumnData::I64(values) => Values::I64(packed::I64 { values }),
        ColumnData::U64(values) => Values::U64(packed::U64 { values }),
        ColumnData::Bool(bits) => Values::Bool(packed::Bool { values: bits.iter().collect() }),
        ColumnData::Utf8(texts) => {
            let one = |row| texts.get(row).unwrap_or_default().to_owned();
            Values::Utf8(packed::Utf8 { values: (0..texts.len()).map(one).collect() })
        }
    };
    let validity = column.validity.map(|bits| bits.as_bytes().to_vec()).unwrap_or_default();
    v1::PackedField {
        name: name.to_owned(),
        r#type: Some(field_type_message(field_type)),
        validity,
        values: Some(values),
    }
}

/// Rows of the log, packed, under the names that columns have now.
pub(crate) fn logged_rows(schema: &TableSchema, rows: Rows) -> v1::TableRows {
    let tag = |(position, def): (usize, &TagDef)| {
        let mut values: Vec<String> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let of_key: Vec<u32> = rows
            .keys
            .iter()
            .map(|key| {
                let value = key.tag(position);
                *known.entry(value.to_owned()).or_insert_with(|| {
                    values.push(value.to_owned());
                    u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        let code = |series: &u32| of_key.get(*series as usize).copied().unwrap_or_default();
        let codes = rows.series.iter().map(code).collect();
        v1::PackedTag { name: def.name.clone(), values, codes }
    };
    let tags = schema.tags.iter().enumerate().map(tag).collect();
    let fields = rows.fields.into_iter().filter_map(|field| {
        let def = schema.field_by_id(field.id)?;
        Some(packed_field_message(&def.name, field.field_type, field.column))
    });
    let packed = v1::PackedRows { tags, fields: fields.collect(), time: rows.time };
    v1::TableRows {
        table: schema.name.clone(),
        create_if_missing: None,
        rows: Some(v1::table_rows::Rows::Packed(packed)),
    }
}

/// A deletion of the log.
pub(crate) fn deletion(schema: &TableSchema, from: &Tombstone) -> v1::Deletion {
    let tags = from.tags.iter().filter_map(|(position, filter)| {
        let tag = schema.tags.get(*position as usize)?;
        Some(tag_filter_message(&tag.name, filter))
    });
    v1::Deletion {
        table: schema.name.clone(),
        range: Some(time_range_message(from.range)),
        tags: tags.collect(),
    }
}

/// A condition on a tag as a message.
pub(crate) fn tag_filter_message(tag: &str, filter: &TagFilter) -> v1::TagFilter {
    let (values, is_negated) = match filter {
        TagFilter::In(values) => (values.clone(), false),
        TagFilter::NotIn(values) => (values.clone(), true),
    };
    v1::TagFilter { tag: tag.to_owned(), values, is_negated }
}

/// A range of times as a message; an end that is not there is left out.
pub(crate) fn time_range_message(from: TimeRange) -> v1::TimeRange {
    let all = TimeRange::ALL;
    v1::TimeRange {
        from: (from.from != all.from).then_some(from.from),
        to: (from.to != all.to).then_some(from.to),
    }
}
