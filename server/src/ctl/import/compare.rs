//! A file's rows as hashes, for a comparison of what is in the table with what was read.

use std::hash::{DefaultHasher, Hash, Hasher};

use chronolith_engine::model::{Column, FieldType, TagValues, Value};

use super::super::CtlResult;
use super::args::Settings;
use super::cell::Row;
use super::chunk::ChunkBuilder;
use super::load::{Part, parts_of};
use super::rows::{Opening, RowSource, Visit};
use super::source::{Opened, open};
use super::{CHUNK_BYTES, Prepared, identity};

/// How far a file has come.
pub(in super::super) struct FileProgress {
    pub(in super::super) name: String,
    /// Source rows that are committed.
    pub(in super::super) source_rows: u64,
}

/// How far the first import of each file has come.
///
/// # Errors
/// The engine's.
pub(in super::super) fn progress(
    prepared: &Prepared,
    settings: &Settings,
) -> CtlResult<Vec<FileProgress>> {
    let of = |survey: &super::survey::Survey| {
        let identity = identity::find(&prepared.db, survey, settings, &prepared.destinations, 0)?;
        Ok(FileProgress { name: survey.name.clone(), source_rows: identity.source_rows() })
    };
    prepared.surveys.iter().map(of).collect()
}

/// For each row among the first `source_rows` of the file `name`: its source row, counted from 1, and its hash.
///
/// # Errors
/// Those of reading.
pub(in super::super) fn row_hashes(
    prepared: &Prepared,
    settings: &Settings,
    name: &str,
    source_rows: u64,
) -> CtlResult<Vec<(u64, u64)>> {
    let Some(survey) = prepared.surveys.iter().find(|survey| survey.name == name) else {
        return Ok(Vec::new());
    };
    let file = (name, survey.format);
    let parts = parts_of(&prepared.destinations, &survey.seen, file, settings)?;
    let known = &survey.seen.sources;
    let opening = Opening { format: survey.format, name, settings, known, is_settled: true };
    let pass = Hashes { parts: &parts, source_rows };
    match open(&survey.path, survey.format)? {
        Opened::Bytes(input, _) => opening.bytes(input, pass),
        Opened::Stored(stored) => opening.stored(&stored, pass),
    }
}

struct Hashes<'a> {
    parts: &'a [Part<'a>],
    source_rows: u64,
}

impl Visit for Hashes<'_> {
    type Out = Vec<(u64, u64)>;

    fn visit<S: RowSource>(self, mut rows: S) -> CtlResult<Self::Out> {
        let mut hashes = Vec::new();
        let chunks = self.parts.iter();
        let chunks = chunks.map(|part| ChunkBuilder::new(part.table, &part.rules, part.plan));
        let mut chunks: Vec<_> = chunks.map(|chunk| (chunk, Vec::new())).collect();
        let mut bytes = 0;
        while rows.count() < self.source_rows {
            let number = rows.count() + 1;
            let Some(next) = rows.advance()? else { break };
            let Some((chunk, at)) = chunks.get_mut(rows.row().table()) else { continue };
            let Some(added) = next.ok().and_then(|()| chunk.push(rows.row()).ok()) else {
                continue;
            };
            at.push(number);
            bytes += added;
            if bytes >= CHUNK_BYTES {
                hash_chunk(chunk, at, &mut hashes);
                bytes = 0;
            }
        }
        for (chunk, at) in &mut chunks {
            hash_chunk(chunk, at, &mut hashes);
        }
        Ok(hashes)
    }
}

fn hash_chunk(chunk: &mut ChunkBuilder<'_>, at: &mut Vec<u64>, hashes: &mut Vec<(u64, u64)>) {
    let (_, rows) = chunk.take();
    let fields = rows.fields.iter();
    let fields: Vec<_> =
        fields.map(|field| (field.name.as_str(), field.field_type, &field.column)).collect();
    for (row, (number, time)) in at.drain(..).zip(&rows.time).enumerate() {
        let tags = rows.tags.iter().map(|tag| {
            let value = match &tag.values {
                TagValues::Constant(value) => value.as_str(),
                TagValues::Dictionary { codes, values } => {
                    let code = codes.get(row).copied().unwrap_or(u32::MAX);
                    values.get(code as usize).map_or("", String::as_str)
                }
            };
            (tag.name.as_str(), value)
        });
        hashes.push((number, row_hash(*time, tags, &fields, row)));
    }
}

/// The hash of a row: its time, its tags that are not absent, its fields that are not NULL. The order of columns
/// does not count.
pub(in super::super) fn row_hash<'a>(
    time: i64,
    tags: impl Iterator<Item = (&'a str, &'a str)>,
    fields: &[(&str, FieldType, &Column)],
    row: usize,
) -> u64 {
    let one = |name: &str, value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        value(&mut hasher);
        hasher.finish()
    };
    let tags = tags.filter(|(_, value)| !value.is_empty());
    let mut sum = tags.fold(0_u64, |sum, (name, value)| {
        sum.wrapping_add(one(name, &|hasher| value.hash(hasher)))
    });
    for (name, field_type, column) in fields {
        let value = column.value(row, *field_type);
        if value != Value::Null {
            sum = sum.wrapping_add(one(name, &|hasher| hash_value(&value, hasher)));
        }
    }
    let mut hasher = DefaultHasher::new();
    (time, sum).hash(&mut hasher);
    hasher.finish()
}

fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => {}
        Value::F64(value) => value.to_bits().hash(hasher),
        Value::I64(value) | Value::Timestamp(value) | Value::Decimal { units: value, .. } => {
            value.hash(hasher);
        }
        Value::U64(value) => value.hash(hasher),
        Value::Bool(value) => value.hash(hasher),
        Value::Utf8(value) => value.hash(hasher),
    }
}
