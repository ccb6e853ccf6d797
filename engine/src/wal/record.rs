//! One batch as a log record. The record holds ids, never names, and no sequence: its place in its group gives that.
//! Format: docs/format/wal.md, "Record".

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{Bitmap, CodecError, TextBuf};

use crate::catalog::CatalogChange;
use crate::limits::{BATCH_ROWS_MAX, FIELD_COUNT_MAX};
use crate::model::{
    Column, ColumnData, ColumnId, CommitMetadata, FieldType, FieldValues, Producer, Rows,
    SeriesKey, TableId, text_from_parts,
};
use crate::tombstone::Tombstone;

/// Everything that one sequence commits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Where the batch comes from.
    pub metadata: CommitMetadata,
    /// The producer's number.
    pub producer: Option<Producer>,
    /// Schema changes, applied before the rows.
    pub catalog: Vec<CatalogChange>,
    /// Rows, at most one entry a table.
    pub rows: Vec<Rows>,
    /// Deletions; their sequence is zero here, the record's own counts.
    pub deletions: Vec<Tombstone>,
}

const HAS_METADATA: u8 = 1;
const HAS_PRODUCER: u8 = 2;

fn corrupt(what: &'static str) -> CodecError {
    CodecError::Corrupt { what }
}

impl Record {
    /// The number of rows over all tables.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.row_count() as u64).sum()
    }

    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has = |present: bool, flag| if present { flag } else { 0 };
        out.push(
            has(!self.metadata.is_empty(), HAS_METADATA)
                | has(self.producer.is_some(), HAS_PRODUCER),
        );
        if !self.metadata.is_empty() {
            let CommitMetadata { principal, source, event_id, pipeline_version } = &self.metadata;
            for text in [principal, source, event_id, pipeline_version] {
                varint::put_bytes(out, text.as_bytes());
            }
        }
        if let Some(producer) = &self.producer {
            varint::put_bytes(out, producer.id.as_bytes());
            varint::put_u64(out, producer.number);
        }
        varint::put_u64(out, self.catalog.len() as u64);
        for change in &self.catalog {
            change.encode(out);
        }
        varint::put_u64(out, self.rows.len() as u64);
        for rows in &self.rows {
            encode_rows(rows, out);
        }
        varint::put_u64(out, self.deletions.len() as u64);
        for deletion in &self.deletions {
            deletion.encode(out);
        }
    }

    /// Reads a record that fills `bytes`.
    ///
    /// # Errors
    /// `CodecError` where the bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & !(HAS_METADATA | HAS_PRODUCER) != 0 {
            return Err(corrupt("record flags"));
        }
        let mut record = Self::default();
        if flags & HAS_METADATA != 0 {
            record.metadata = CommitMetadata {
                principal: text(&mut reader)?,
                source: text(&mut reader)?,
                event_id: text(&mut reader)?,
                pipeline_version: text(&mut reader)?,
            };
        }
        if flags & HAS_PRODUCER != 0 {
            record.producer = Some(Producer { id: text(&mut reader)?, number: reader.u64()? });
        }
        for _ in 0..count(&mut reader)? {
            record.catalog.push(CatalogChange::decode(&mut reader)?);
        }
        for _ in 0..count(&mut reader)? {
            record.rows.push(decode_rows(&mut reader)?);
        }
        for _ in 0..count(&mut reader)? {
            record.deletions.push(Tombstone::decode(&mut reader)?);
        }
        reader.finish()?;
        Ok(record)
    }
}

/// A count of things that take at least a byte each, so that it is bounded by the bytes that are left.
fn count(reader: &mut Reader<'_>) -> Result<usize, CodecError> {
    let count = usize::try_from(reader.u64()?).map_err(|_| corrupt("count"))?;
    if count > reader.remaining() {
        return Err(CodecError::Truncated);
    }
    Ok(count)
}

fn text(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let bytes = reader.prefixed_bytes()?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| corrupt("text that is not UTF-8"))
}

fn id(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    u32::try_from(reader.u64()?).map_err(|_| corrupt("id above 32 bits"))
}

fn encode_rows(rows: &Rows, out: &mut Vec<u8>) {
    varint::put_u64(out, u64::from(rows.table.0));
    varint::put_u64(out, rows.keys.len() as u64);
    for key in &rows.keys {
        varint::put_bytes(out, key.as_bytes());
    }
    varint::put_u64(out, rows.row_count() as u64);
    if rows.keys.len() > 1 {
        put_words(out, &rows.series, u32::to_le_bytes);
    }
    put_words(out, &rows.time, i64::to_le_bytes);
    varint::put_u64(out, rows.fields.len() as u64);
    for field in &rows.fields {
        varint::put_u64(out, u64::from(field.id.0));
        out.extend_from_slice(&field.field_type.code());
        out.push(u8::from(field.column.validity.is_some()));
        if let Some(validity) = &field.column.validity {
            out.extend_from_slice(validity.as_bytes());
        }
        encode_data(&field.column.data, out);
    }
}

fn encode_data(data: &ColumnData, out: &mut Vec<u8>) {
    match data {
        ColumnData::F64(values) => put_words(out, values, f64::to_le_bytes),
        ColumnData::I64(values) => put_words(out, values, i64::to_le_bytes),
        ColumnData::U64(values) => put_words(out, values, u64::to_le_bytes),
        ColumnData::Bool(values) => out.extend_from_slice(values.as_bytes()),
        ColumnData::Utf8(values) => {
            put_words(out, &values.offsets, u32::to_le_bytes);
            out.extend_from_slice(&values.bytes);
        }
    }
}

fn put_words<T: Copy, const N: usize>(out: &mut Vec<u8>, values: &[T], bytes: fn(T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    if let Some(room) = out.get_mut(start..) {
        for (slot, value) in room.chunks_exact_mut(N).zip(values) {
            slot.copy_from_slice(&bytes(*value));
        }
    }
}

fn words<T, const N: usize>(
    reader: &mut Reader<'_>,
    count: usize,
    value: fn([u8; N]) -> T,
) -> Result<Vec<T>, CodecError> {
    let bytes = reader.bytes(count.checked_mul(N).ok_or_else(|| corrupt("count"))?)?;
    let (chunks, _) = bytes.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| value(*chunk)).collect())
}

fn decode_rows(reader: &mut Reader<'_>) -> Result<Rows, CodecError> {
    let table = TableId(id(reader)?);
    let mut keys = Vec::new();
    for _ in 0..count(reader)? {
        let key = SeriesKey::from_bytes(reader.prefixed_bytes()?);
        keys.push(key.ok_or_else(|| corrupt("series key"))?);
    }
    let row_count = usize::try_from(reader.u64()?).map_err(|_| corrupt("row count"))?;
    if row_count > BATCH_ROWS_MAX || row_count > reader.remaining() {
        return Err(corrupt("row count"));
    }
    let series = match keys.len() {
        0 => return Err(corrupt("rows without a series")),
        1 => vec![0; row_count],
        _ => words(reader, row_count, u32::from_le_bytes)?,
    };
    if series.iter().any(|index| *index as usize >= keys.len()) {
        return Err(corrupt("series index"));
    }
    let time = words(reader, row_count, i64::from_le_bytes)?;
    let field_count = count(reader)?;
    if field_count > FIELD_COUNT_MAX {
        return Err(corrupt("field count"));
    }
    let mut fields = Vec::with_capacity(field_count);
    for _ in 0..field_count {
        fields.push(decode_field(reader, row_count)?);
    }
    let mut ids: Vec<ColumnId> = fields.iter().map(|field| field.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(corrupt("field that is there twice"));
    }
    Ok(Rows { table, keys, series, time, fields })
}

fn decode_field(reader: &mut Reader<'_>, row_count: usize) -> Result<FieldValues, CodecError> {
    let id = ColumnId(id(reader)?);
    let code = [reader.u8()?, reader.u8()?, reader.u8()?];
    let field_type = FieldType::from_code(code).ok_or_else(|| corrupt("field type"))?;
    let validity = match reader.u8()? {
        0 => None,
        1 => Some(bitmap(reader, row_count)?),
        _ => return Err(corrupt("validity flag")),
    };
    let data = match ColumnData::new(field_type) {
        ColumnData::F64(_) => ColumnData::F64(words(reader, row_count, f64::from_le_bytes)?),
        ColumnData::I64(_) => ColumnData::I64(words(reader, row_count, i64::from_le_bytes)?),
        ColumnData::U64(_) => ColumnData::U64(words(reader, row_count, u64::from_le_bytes)?),
        ColumnData::Bool(_) => ColumnData::Bool(bitmap(reader, row_count)?),
        ColumnData::Utf8(_) => ColumnData::Utf8(text_column(reader, row_count)?),
    };
    Ok(FieldValues { id, field_type, column: Column::new(data, validity) })
}

fn bitmap(reader: &mut Reader<'_>, len: usize) -> Result<Bitmap, CodecError> {
    let bytes = reader.bytes(len.div_ceil(8))?;
    Bitmap::from_bytes(bytes.to_vec(), len)
}

fn text_column(reader: &mut Reader<'_>, row_count: usize) -> Result<TextBuf, CodecError> {
    let offsets = words(reader, row_count + 1, u32::from_le_bytes)?;
    let len = offsets.last().copied().unwrap_or_default() as usize;
    let bytes = reader.bytes(len)?.to_vec();
    text_from_parts(offsets, bytes).ok_or_else(|| corrupt("text column"))
}
