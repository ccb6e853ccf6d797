//! All rows of a memtable in the order of segments. Chunks are read once, front to back, and scattered to where their series
//! lie: a thousand open places stay in the processor's cache, while following links from row to row would miss it at each step.

use std::ops::Range;

use chronolith_codec::{Bitmap, TextBuf};

use super::chunk::Chunk;
use super::{Inner, Memtable};
use crate::model::{
    Column, ColumnData, ColumnId, FieldType, RowChunk, Sequence, SeriesKey, TimeRange,
};

/// Rows by (series key, time, sequence, position in the batch).
pub struct SortedRows {
    /// The series by key, each with its rows and whether they are in the order of time already.
    series: Vec<(SeriesKey, Range<usize>, bool)>,
    rows: RowChunk,
}

impl Memtable {
    /// All rows, with these fields.
    #[must_use]
    pub fn sorted(&self, columns: &[(ColumnId, FieldType)]) -> SortedRows {
        self.inner.read().sorted(columns)
    }
}

impl SortedRows {
    /// The series with their places, by key.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, usize)> {
        self.series.iter().zip(0..).map(|((key, ..), at)| (key, at))
    }

    /// The rows of the series at place `at` with times in `range`, ascending by (time, sequence, position in the batch).
    #[must_use]
    pub fn read(&self, at: usize, range: TimeRange) -> RowChunk {
        let Some((_, rows, in_order)) = self.series.get(at) else { return RowChunk::default() };
        let mut out = self.rows.empty_like();
        let times = self.rows.time.get(rows.clone()).unwrap_or_default();
        if *in_order {
            let from = times.partition_point(|time| *time < range.from);
            let to = times.partition_point(|time| *time < range.from || range.contains(*time));
            out.push_slice(&self.rows, rows.start + from..rows.start + to);
            return out;
        }
        let mut picked: Vec<(i64, usize)> = times.iter().copied().zip(rows.clone()).collect();
        picked.retain(|(time, _)| range.contains(*time));
        picked.sort_by_key(|(time, _)| *time);
        for (_, row) in picked {
            out.push_slice(&self.rows, row..row + 1);
        }
        out
    }
}

impl Inner {
    fn sorted(&self, columns: &[(ColumnId, FieldType)]) -> SortedRows {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by(|a, b| self.keys.get(*a).cmp(&self.keys.get(*b)));
        let mut next = vec![0; self.keys.len()];
        let mut series = Vec::with_capacity(order.len());
        let mut end = 0;
        for local in order {
            let (Some(key), Some(state)) = (self.keys.get(local), self.series.get(local)) else {
                continue;
            };
            let rows = end..end + state.row_count as usize;
            if let Some(next) = next.get_mut(local) {
                *next = rows.start;
            }
            end = rows.end;
            series.push((key.clone(), rows, state.in_order));
        }
        let mut out = Scatter::new(end, columns, self);
        for chunk in self.chunks() {
            let places: Vec<usize> =
                chunk.series().iter().map(|local| place(&mut next, *local)).collect();
            out.chunk(chunk, &places, columns);
        }
        SortedRows { series, rows: out.finish() }
    }
}

/// The place of the next row of a series.
fn place(next: &mut [usize], local: u32) -> usize {
    match next.get_mut(local as usize) {
        None => usize::MAX,
        Some(next) => {
            *next += 1;
            *next - 1
        }
    }
}

/// Columns that are filled place by place.
struct Scatter<'a> {
    time: Vec<i64>,
    sequence: Vec<Sequence>,
    fields: Vec<Column>,
    /// For columns of text: where the row of each place is. They are gathered at the end.
    origins: Vec<(u32, u32)>,
    memtable: &'a Inner,
    columns: &'a [(ColumnId, FieldType)],
    chunk_count: u32,
}

impl<'a> Scatter<'a> {
    fn new(len: usize, columns: &'a [(ColumnId, FieldType)], memtable: &'a Inner) -> Self {
        let has_text = columns.iter().any(|(_, kind)| *kind == FieldType::Utf8);
        let empty = |kind: &FieldType| match ColumnData::new(*kind) {
            ColumnData::F64(_) => ColumnData::F64(vec![0.0; len]),
            ColumnData::I64(_) => ColumnData::I64(vec![0; len]),
            ColumnData::U64(_) => ColumnData::U64(vec![0; len]),
            ColumnData::Bool(_) => ColumnData::Bool(Bitmap::filled(len, false)),
            text @ ColumnData::Utf8(_) => text,
        };
        let fields = columns.iter().map(|(_, kind)| Column { data: empty(kind), validity: None });
        Self {
            time: vec![0; len],
            sequence: vec![Sequence::ZERO; len],
            fields: fields.collect(),
            origins: vec![(0, 0); if has_text { len } else { 0 }],
            memtable,
            columns,
            chunk_count: 0,
        }
    }

    fn chunk(&mut self, chunk: &Chunk, places: &[usize], columns: &[(ColumnId, FieldType)]) {
        scatter(&mut self.time, places, chunk.times());
        for ((first, sequence), rows) in chunk.batches() {
            let places = places.get(first..first + rows).unwrap_or_default();
            for place in places {
                if let Some(slot) = self.sequence.get_mut(*place) {
                    *slot = sequence;
                }
            }
        }
        for ((id, _), to) in columns.iter().zip(&mut self.fields) {
            match chunk.field(*id) {
                Some(from) => scatter_column(to, places, from, self.time.len()),
                None => clear(to, places.iter().copied(), self.time.len()),
            }
        }
        if !self.origins.is_empty() {
            for (row, place) in (0..).zip(places) {
                if let Some(slot) = self.origins.get_mut(*place) {
                    *slot = (self.chunk_count, row);
                }
            }
        }
        self.chunk_count += 1;
    }

    fn finish(mut self) -> RowChunk {
        let chunks: Vec<&Chunk> = self.memtable.chunks().collect();
        for ((id, kind), to) in self.columns.iter().zip(&mut self.fields) {
            if *kind == FieldType::Utf8 {
                to.data = ColumnData::Utf8(gather_text(&chunks, *id, &self.origins));
            }
        }
        RowChunk { time: self.time, sequence: self.sequence, fields: self.fields }
    }
}

fn scatter<T: Copy>(to: &mut [T], places: &[usize], from: &[T]) {
    for (place, value) in places.iter().zip(from) {
        if let Some(slot) = to.get_mut(*place) {
            *slot = *value;
        }
    }
}

fn scatter_column(to: &mut Column, places: &[usize], from: &Column, len: usize) {
    match (&mut to.data, &from.data) {
        (ColumnData::F64(to), ColumnData::F64(from)) => scatter(to, places, from),
        (ColumnData::I64(to), ColumnData::I64(from)) => scatter(to, places, from),
        (ColumnData::U64(to), ColumnData::U64(from)) => scatter(to, places, from),
        (ColumnData::Bool(to), ColumnData::Bool(from)) => {
            for (place, value) in places.iter().zip(from.iter()) {
                to.set(*place, value);
            }
        }
        // Text is gathered at the end.
        _ => {}
    }
    if let Some(validity) = &from.validity {
        let nulls = places.iter().zip(validity.iter()).filter(|(_, valid)| !valid);
        clear(to, nulls.map(|(place, _)| *place), len);
    }
}

/// Makes the values at these places NULL.
fn clear(to: &mut Column, places: impl Iterator<Item = usize>, len: usize) {
    let bits = to.validity.get_or_insert_with(|| Bitmap::filled(len, true));
    for place in places {
        bits.set(place, false);
    }
}

fn gather_text(chunks: &[&Chunk], id: ColumnId, origins: &[(u32, u32)]) -> TextBuf {
    let texts: Vec<Option<&TextBuf>> = chunks
        .iter()
        .map(|chunk| match chunk.field(id).map(|column| &column.data) {
            Some(ColumnData::Utf8(texts)) => Some(texts),
            _ => None,
        })
        .collect();
    let mut out = TextBuf::default();
    for (chunk, row) in origins {
        let text = texts.get(*chunk as usize).copied().flatten();
        let text = text.and_then(|texts| texts.get(*row as usize)).unwrap_or_default();
        // A memtable holds less than 4 GiB of one column: its batches are bounded, and it is flushed long before.
        let _ = out.push(text);
    }
    out
}
