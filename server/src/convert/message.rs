//! The engine's model as messages.

use chronolith_engine::db::TableStats;
use chronolith_engine::model::{
    Column, ColumnData, CommitMetadata, FieldType, MergeMode, Rows, SchemaMode, TableSchema,
    TagDef, TagFilter, TimeRange,
};
use chronolith_engine::tombstone::Tombstone;
use chronolith_proto::v1;

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
