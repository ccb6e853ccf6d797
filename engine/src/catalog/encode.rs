//! The catalog's bytes. What is read is checked by the same rules as what users ask for. Format: docs/format/catalog.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use chronolith_codec::varint::{Reader, put_i64, put_u64};

use super::{Catalog, check};
use crate::format::wire::{self, Decoded, corrupt};
use crate::limits::{FIELD_COUNT_MAX, NAME_LEN_BYTES_MAX, TABLE_COUNT_MAX, TAG_COUNT_MAX};
use crate::model::{
    ColumnId, FieldDef, FieldType, MergeMode, SchemaMode, TableId, TableSchema, TagDef,
};

/// The kind of table that has a time column: the only one so far.
const KIND_TIME_SERIES: u8 = 0;

impl Catalog {
    /// Appends the whole catalog.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.next_table));
        put_u64(out, self.tables.len() as u64);
        for schema in self.tables.values() {
            put_table(out, schema);
        }
    }

    /// Reads a whole catalog.
    ///
    /// # Errors
    /// `CodecError` for bytes that no encoder writes.
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let next_table = wire::u32(reader)?;
        let count = wire::count(reader, "tables of a database", TABLE_COUNT_MAX)?;
        let (mut tables, mut names) = (BTreeMap::new(), BTreeMap::new());
        let mut last = 0;
        for _ in 0..count {
            let schema = table(reader)?;
            if schema.id.0 <= last || schema.id.0 >= next_table {
                return Err(corrupt("table numbers do not ascend below the next one"));
            }
            last = schema.id.0;
            if names.insert(schema.name.clone(), schema.id).is_some() {
                return Err(corrupt("two tables have one name"));
            }
            tables.insert(schema.id, Arc::new(schema));
        }
        if next_table == 0 {
            return Err(corrupt("the next table number is zero"));
        }
        Ok(Self { tables, names: Arc::new(names), next_table })
    }
}

pub(super) fn put_table(out: &mut Vec<u8>, schema: &TableSchema) {
    out.push(KIND_TIME_SERIES);
    put_u64(out, u64::from(schema.id.0));
    wire::put_text(out, &schema.name);
    wire::put_text(out, &schema.time_name);
    out.push(merge_code(schema.merge));
    out.push(mode_code(schema.mode));
    put_i64(out, schema.history_ns);
    put_u64(out, u64::from(schema.next_column));
    put_u64(out, schema.tags.len() as u64);
    for tag in &schema.tags {
        put_tag(out, tag);
    }
    put_u64(out, schema.fields.len() as u64);
    for field in &schema.fields {
        put_field(out, field);
    }
}

pub(super) fn table(reader: &mut Reader<'_>) -> Decoded<TableSchema> {
    if reader.u8()? != KIND_TIME_SERIES {
        return Err(corrupt("a kind of table that this version does not know"));
    }
    let id = TableId(wire::u32(reader)?);
    let name = wire::text(reader, "a table name's bytes", NAME_LEN_BYTES_MAX)?;
    let time_name = wire::text(reader, "a time column name's bytes", NAME_LEN_BYTES_MAX)?;
    let (merge, mode) = (merge(reader)?, mode(reader)?);
    let history_ns = reader.i64()?;
    let next_column = wire::u32(reader)?;
    let tag_count = wire::count(reader, "tags of a table", TAG_COUNT_MAX)?;
    let tags = (0..tag_count).map(|_| tag(reader)).collect::<Decoded<Vec<_>>>()?;
    let field_count = wire::count(reader, "fields of a table", FIELD_COUNT_MAX)?;
    let fields = (0..field_count).map(|_| field(reader)).collect::<Decoded<Vec<_>>>()?;
    let schema =
        TableSchema { id, name, time_name, tags, fields, merge, mode, history_ns, next_column };
    check::table(&schema)
        .map_err(|_| corrupt("a table's definition breaks the catalog's rules"))?;
    Ok(schema)
}

pub(super) fn put_tag(out: &mut Vec<u8>, tag: &TagDef) {
    put_u64(out, u64::from(tag.id.0));
    wire::put_text(out, &tag.name);
}

pub(super) fn tag(reader: &mut Reader<'_>) -> Decoded<TagDef> {
    let id = ColumnId(wire::u32(reader)?);
    Ok(TagDef { id, name: wire::text(reader, "a tag name's bytes", NAME_LEN_BYTES_MAX)? })
}

pub(super) fn put_field(out: &mut Vec<u8>, field: &FieldDef) {
    put_u64(out, u64::from(field.id.0));
    wire::put_text(out, &field.name);
    out.extend_from_slice(&field.field_type.code());
}

pub(super) fn field(reader: &mut Reader<'_>) -> Decoded<FieldDef> {
    let id = ColumnId(wire::u32(reader)?);
    let name = wire::text(reader, "a field name's bytes", NAME_LEN_BYTES_MAX)?;
    let field_type = FieldType::from_code(wire::array(reader)?)
        .ok_or(corrupt("a field type that this version does not know"))?;
    Ok(FieldDef { id, name, field_type })
}

fn merge_code(merge: MergeMode) -> u8 {
    match merge {
        MergeMode::Append => 0,
        MergeMode::LastRow => 1,
        MergeMode::LastNonNull => 2,
    }
}

fn merge(reader: &mut Reader<'_>) -> Decoded<MergeMode> {
    Ok(match reader.u8()? {
        0 => MergeMode::Append,
        1 => MergeMode::LastRow,
        2 => MergeMode::LastNonNull,
        _ => return Err(corrupt("unknown merge mode")),
    })
}

pub(super) fn mode_code(mode: SchemaMode) -> u8 {
    match mode {
        SchemaMode::Dynamic => 0,
        SchemaMode::Strict => 1,
    }
}

pub(super) fn mode(reader: &mut Reader<'_>) -> Decoded<SchemaMode> {
    match reader.u8()? {
        0 => Ok(SchemaMode::Dynamic),
        1 => Ok(SchemaMode::Strict),
        _ => Err(corrupt("unknown schema mode")),
    }
}
