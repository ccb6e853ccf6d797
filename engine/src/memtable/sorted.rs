//! All rows of a memtable in the order of segments. Chunks are read once, front to back, and scattered to where their series
//! lie: a thousand open places stay in the processor's cache, while following links from row to row would miss it at each step.

use std::ops::Range;

use chronolith_codec::{Bitmap, TextBuf};

use super::chunk::Chunk;
use super::{Inner, Memtable};
use crate::model::{
    Column, ColumnData, ColumnId, FieldType, RowChunk, Sequence, SeriesKey, TimeRange,
};

/// Rows that are looked at together: their places are held meanwhile.
const BLOCK_ROWS: usize = 16 << 10;
/// Where no row goes.
const NOWHERE: usize = usize::MAX;
/// Bytes of a row's place while its series is sorted by time.
const UNSORTED_BYTES: usize = 32;
/// Bytes of a row's origin, for columns of text.
const ORIGIN_BYTES: usize = 8;
/// Bytes of a series in the list of those that were sorted, and of its counters.
const SERIES_BYTES: usize = 96;

/// Rows by (series key, time, sequence, position in the batch).
pub struct SortedRows {
    /// The series by key, each with its rows and whether they are in the order of time already.
    series: Vec<(SeriesKey, Range<usize>, bool)>,
    rows: RowChunk,
}

/// What sorting would take, series by series.
pub struct SortCost {
    /// The series' numbers, by key.
    pub order: Vec<u32>,
    /// For each of `order` the bytes that its sorted rows take.
    pub bytes: Vec<usize>,
    /// Bytes of all.
    pub total_bytes: usize,
}

impl Memtable {
    /// All rows, with these fields.
    #[must_use]
    pub fn sorted(&self, columns: &[(ColumnId, FieldType)]) -> SortedRows {
        let inner = self.inner.read();
        let order = inner.order();
        inner.sorted(columns, &order, None)
    }

    /// The rows in `range` of the series with the numbers `series`, which are in the order of their keys; with these fields.
    #[must_use]
    pub fn sorted_part(
        &self,
        columns: &[(ColumnId, FieldType)],
        series: &[u32],
        range: TimeRange,
    ) -> SortedRows {
        self.inner.read().sorted(columns, series, Some(range))
    }

    /// What sorting the rows in `range` would take.
    #[must_use]
    pub fn sort_cost(&self, columns: &[(ColumnId, FieldType)], range: TimeRange) -> SortCost {
        let inner = self.inner.read();
        let of_series = inner.sort_bytes(columns, range);
        let order = inner.order();
        let bytes = |local: &u32| of_series.get(*local as usize).copied().unwrap_or_default();
        let bytes: Vec<usize> = order.iter().map(bytes).collect();
        let total_bytes = bytes.iter().sum();
        SortCost { order, bytes, total_bytes }
    }

    /// What sorting the rows of the series with the number `local` would take in each of `ranges`, which ascend.
    #[must_use]
    pub fn sort_cost_of(
        &self,
        columns: &[(ColumnId, FieldType)],
        local: u32,
        ranges: &[TimeRange],
    ) -> Vec<usize> {
        let inner = self.inner.read();
        let mut bytes = vec![0; ranges.len()];
        inner.each_cost(columns, &mut |series, time, cost| {
            let at = ranges.partition_point(|range| range.from <= time);
            let part = at.checked_sub(1).filter(|at| {
                series == local && ranges.get(*at).is_some_and(|range| range.contains(time))
            });
            if let Some(bytes) = part.and_then(|at| bytes.get_mut(at)) {
                *bytes += cost;
            }
        });
        bytes
    }

    /// The key of the series with the number `local`, and its least and greatest time.
    #[must_use]
    pub fn series_at(&self, local: u32) -> Option<(SeriesKey, (i64, i64))> {
        let inner = self.inner.read();
        let state = inner.series.get(local as usize)?;
        Some((inner.keys.get(local as usize)?.clone(), (state.min_time, state.max_time)))
    }
}

/// Bytes of a sorted row with these fields, texts left out.
fn sorted_row_bytes(columns: &[(ColumnId, FieldType)]) -> usize {
    let field = |(_, of): &(ColumnId, FieldType)| if *of == FieldType::Utf8 { 5 } else { 9 };
    let has_text = columns.iter().any(|(_, of)| *of == FieldType::Utf8);
    24 + columns.iter().map(field).sum::<usize>() + if has_text { ORIGIN_BYTES } else { 0 }
}

impl SortedRows {
    /// The series with their places, by key.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, usize)> {
        self.series.iter().zip(0..).map(|((key, ..), at)| (key, at))
    }

    /// The key of the series at place `at`.
    #[must_use]
    pub fn key(&self, at: usize) -> Option<&SeriesKey> {
        self.series.get(at).map(|(key, ..)| key)
    }

    /// The rows of the series at place `at` with times in `range`, ascending by (time, sequence, position in the batch).
    #[must_use]
    pub fn read(&self, at: usize, range: TimeRange) -> RowChunk {
        self.pieces(at, range).and_then(|mut pieces| pieces.next(usize::MAX)).unwrap_or_default()
    }

    /// The same, piece by piece; none where there are none.
    #[must_use]
    pub fn pieces(&self, at: usize, range: TimeRange) -> Option<SortedPieces<'_>> {
        let (_, rows, in_order) = self.series.get(at)?;
        let times = self.rows.time.get(rows.clone()).unwrap_or_default();
        let order = if *in_order {
            let from = times.partition_point(|time| *time < range.from);
            let to = times.partition_point(|time| *time < range.from || range.contains(*time));
            PieceOrder::Run(rows.start + from..rows.start + to)
        } else {
            let mut picked: Vec<(i64, usize)> = times.iter().copied().zip(rows.clone()).collect();
            picked.retain(|(time, _)| range.contains(*time));
            picked.sort_by_key(|(time, _)| *time);
            PieceOrder::Places(picked.into_iter())
        };
        let pieces = SortedPieces { rows: &self.rows, order };
        pieces.bounds().is_some().then_some(pieces)
    }
}

/// Rows of one series that are left.
pub struct SortedPieces<'a> {
    rows: &'a RowChunk,
    order: PieceOrder,
}

enum PieceOrder {
    Run(Range<usize>),
    /// Time and place of each row.
    Places(std::vec::IntoIter<(i64, usize)>),
}

impl SortedPieces<'_> {
    /// The times of the first and the last row that is left.
    #[must_use]
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match &self.order {
            PieceOrder::Run(rows) if rows.is_empty() => None,
            PieceOrder::Run(rows) => {
                let time = |row: usize| self.rows.time.get(row).copied();
                Some((time(rows.start)?, time(rows.end - 1)?))
            }
            PieceOrder::Places(places) => {
                let places = places.as_slice();
                Some((places.first()?.0, places.last()?.0))
            }
        }
    }

    /// The next rows, of about `bytes_max` bytes; none at the end.
    pub fn next(&mut self, bytes_max: usize) -> Option<RowChunk> {
        let mut out = self.rows.empty_like();
        let row_bytes = out.fields.len() * 8 + 24;
        match &mut self.order {
            PieceOrder::Run(rows) => {
                let mut count = (bytes_max / row_bytes).clamp(1, rows.len().max(1));
                count = count.min(rows.len());
                while count > 1 && texts_of(self.rows, rows.start..rows.start + count) > bytes_max {
                    count /= 2;
                }
                out.push_slice(self.rows, rows.start..rows.start + count);
                rows.start += count;
            }
            PieceOrder::Places(places) => {
                let mut bytes = 0;
                for (_, row) in places.by_ref() {
                    out.push_slice(self.rows, row..row + 1);
                    bytes += row_bytes + texts_of(self.rows, row..row + 1);
                    if bytes >= bytes_max {
                        break;
                    }
                }
            }
        }
        (out.row_count() > 0).then_some(out)
    }
}

/// Bytes of the texts of rows.
fn texts_of(chunk: &RowChunk, rows: Range<usize>) -> usize {
    let of = |column: &Column| match &column.data {
        ColumnData::Utf8(texts) => text_len(texts, rows.clone()),
        _ => 0,
    };
    chunk.fields.iter().map(of).sum()
}

fn text_len(texts: &TextBuf, rows: Range<usize>) -> usize {
    let at = |row: usize| texts.offsets.get(row).map_or(0, |offset| *offset as usize);
    at(rows.end).saturating_sub(at(rows.start))
}

impl Inner {
    /// The numbers of all series, by key.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(self.keys.len()).collect();
        let key = |local: &u32| self.keys.get(*local as usize);
        order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        order
    }

    /// For each series what its sorted rows in `range` take.
    fn sort_bytes(&self, columns: &[(ColumnId, FieldType)], range: TimeRange) -> Vec<usize> {
        let row_bytes = sorted_row_bytes(columns);
        let mut bytes = vec![0; self.keys.len()];
        let whole = self.times.is_none_or(|(min, max)| range.covers(min, max));
        let has_text = columns.iter().any(|(_, of)| *of == FieldType::Utf8);
        if whole && !has_text {
            for (bytes, state) in bytes.iter_mut().zip(&self.series) {
                let row_bytes = row_bytes + if state.in_order { 0 } else { UNSORTED_BYTES };
                *bytes = SERIES_BYTES + state.row_count as usize * row_bytes;
            }
            return bytes;
        }
        self.each_cost(columns, &mut |local, time, cost| {
            if let Some(bytes) = bytes.get_mut(local as usize)
                && range.contains(time)
            {
                *bytes += if *bytes == 0 { SERIES_BYTES + cost } else { cost };
            }
        });
        bytes
    }

    /// Hands the series, the time, and what sorting it takes of every row to `visit`.
    fn each_cost(&self, columns: &[(ColumnId, FieldType)], visit: &mut dyn FnMut(u32, i64, usize)) {
        let row_bytes = sorted_row_bytes(columns);
        for chunk in self.chunks() {
            let texts: Vec<&TextBuf> =
                columns.iter().filter_map(|(id, _)| text(chunk, *id)).collect();
            for (row, (local, time)) in chunk.series().iter().zip(chunk.times()).enumerate() {
                let in_order = self.series.get(*local as usize).is_some_and(|one| one.in_order);
                // Growing buffers of text are copied to others of twice the length.
                let texts: usize =
                    texts.iter().map(|texts| 2 * text_len(texts, row..row + 1)).sum();
                let unsorted = if in_order { 0 } else { UNSORTED_BYTES };
                visit(*local, *time, row_bytes + unsorted + texts);
            }
        }
    }

    /// The rows of the series `order`, which are in the order of their keys: all, or those in `range`.
    fn sorted(
        &self,
        columns: &[(ColumnId, FieldType)],
        order: &[u32],
        range: Option<TimeRange>,
    ) -> SortedRows {
        let range =
            range.filter(|range| self.times.is_some_and(|(min, max)| !range.covers(min, max)));
        let mut next = vec![NOWHERE; self.keys.len()];
        let mut counts = Vec::new();
        if let Some(range) = range {
            counts = vec![0_u32; self.keys.len()];
            for chunk in self.chunks() {
                for (local, time) in chunk.series().iter().zip(chunk.times()) {
                    if let Some(count) = counts.get_mut(*local as usize) {
                        *count += u32::from(range.contains(*time));
                    }
                }
            }
        }
        let mut series = Vec::with_capacity(order.len());
        let mut end = 0;
        for local in order.iter().map(|local| *local as usize) {
            let (Some(key), Some(state)) = (self.keys.get(local), self.series.get(local)) else {
                continue;
            };
            let count = range.map_or(state.row_count, |_| counts.get(local).copied().unwrap_or(0));
            if count == 0 {
                continue;
            }
            let rows = end..end + count as usize;
            if let Some(next) = next.get_mut(local) {
                *next = rows.start;
            }
            end = rows.end;
            series.push((key.clone(), rows, state.in_order));
        }
        drop(counts);
        let mut out = Scatter::new(end, columns, self);
        let mut places = Vec::with_capacity(BLOCK_ROWS);
        for chunk in self.chunks() {
            for from in (0..chunk.row_count()).step_by(BLOCK_ROWS) {
                let rows = from..chunk.row_count().min(from + BLOCK_ROWS);
                let locals = chunk.series().get(rows.clone()).unwrap_or_default();
                let times = chunk.times().get(rows.clone()).unwrap_or_default();
                places.clear();
                match range {
                    None => places.extend(locals.iter().map(|local| place(&mut next, *local))),
                    Some(range) => places.extend(locals.iter().zip(times).map(|(local, time)| {
                        if range.contains(*time) { place(&mut next, *local) } else { NOWHERE }
                    })),
                }
                out.rows(chunk, rows, &places, columns);
            }
            out.chunk_count += 1;
        }
        SortedRows { series, rows: out.finish() }
    }
}

/// The texts of a chunk in the column `id`.
fn text(chunk: &Chunk, id: ColumnId) -> Option<&TextBuf> {
    match chunk.field(id).map(|column| &column.data) {
        Some(ColumnData::Utf8(texts)) => Some(texts),
        _ => None,
    }
}

/// The place of the next row of a series.
fn place(next: &mut [usize], local: u32) -> usize {
    match next.get_mut(local as usize) {
        None => NOWHERE,
        Some(next) if *next == NOWHERE => NOWHERE,
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

    /// Puts the rows `rows` of a chunk to `places`.
    fn rows(
        &mut self,
        chunk: &Chunk,
        rows: Range<usize>,
        places: &[usize],
        columns: &[(ColumnId, FieldType)],
    ) {
        scatter(&mut self.time, places, chunk.times().get(rows.clone()).unwrap_or_default());
        for ((first, sequence), count) in chunk.batches() {
            let (from, to) = (first.max(rows.start), (first + count).min(rows.end));
            if from >= to {
                continue;
            }
            let places = places.get(from - rows.start..to - rows.start).unwrap_or_default();
            for place in places {
                if let Some(slot) = self.sequence.get_mut(*place) {
                    *slot = sequence;
                }
            }
        }
        for ((id, _), to) in columns.iter().zip(&mut self.fields) {
            match chunk.field(*id) {
                Some(from) => scatter_column(to, places, from, rows.start, self.time.len()),
                None => clear(to, places.iter().copied(), self.time.len()),
            }
        }
        if !self.origins.is_empty() {
            let first = u32::try_from(rows.start).unwrap_or(u32::MAX);
            for (row, place) in (first..).zip(places) {
                if let Some(slot) = self.origins.get_mut(*place) {
                    *slot = (self.chunk_count, row);
                }
            }
        }
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

/// Puts the values of `from`, from the row `first` on, to `places`.
fn scatter_column(to: &mut Column, places: &[usize], from: &Column, first: usize, len: usize) {
    match (&mut to.data, &from.data) {
        (ColumnData::F64(to), ColumnData::F64(from)) => scatter(to, places, behind(from, first)),
        (ColumnData::I64(to), ColumnData::I64(from)) => scatter(to, places, behind(from, first)),
        (ColumnData::U64(to), ColumnData::U64(from)) => scatter(to, places, behind(from, first)),
        (ColumnData::Bool(to), ColumnData::Bool(from)) => {
            for (place, row) in places.iter().zip(first..) {
                to.set(*place, from.get(row) == Some(true));
            }
        }
        // Text is gathered at the end.
        _ => {}
    }
    if let Some(validity) = &from.validity {
        let nulls = places.iter().zip(first..);
        let nulls = nulls.filter(|(_, row)| validity.get(*row) == Some(false));
        clear(to, nulls.map(|(place, _)| *place), len);
    }
}

fn behind<T>(values: &[T], first: usize) -> &[T] {
    values.get(first..).unwrap_or_default()
}

/// Makes the values at these places NULL.
fn clear(to: &mut Column, places: impl Iterator<Item = usize>, len: usize) {
    let bits = to.validity.get_or_insert_with(|| Bitmap::filled(len, true));
    for place in places {
        bits.set(place, false);
    }
}

fn gather_text(chunks: &[&Chunk], id: ColumnId, origins: &[(u32, u32)]) -> TextBuf {
    let texts: Vec<Option<&TextBuf>> = chunks.iter().map(|chunk| text(chunk, id)).collect();
    let mut out = TextBuf::default();
    for (chunk, row) in origins {
        let text = texts.get(*chunk as usize).copied().flatten();
        let text = text.and_then(|texts| texts.get(*row as usize)).unwrap_or_default();
        // A memtable holds less than 4 GiB of one column: its batches are bounded, and it is flushed long before.
        let _ = out.push(text);
    }
    out
}
