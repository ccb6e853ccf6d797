//! A run of consecutive rows of a memtable in columns. Append-only until sealed.

use crate::model::{Column, ColumnId, FieldType, FieldValues, RowChunk, Rows, Sequence};

/// The link of a series' first row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// Rows `base..base + row_count` of a memtable.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    base: u32,
    /// For each row the number of its series.
    series: Vec<u32>,
    time: Vec<i64>,
    /// For each row the row of the same series before it, [`NO_ROW`] for the first.
    previous: Vec<u32>,
    /// The first row, from `base`, of each batch, with its sequence.
    batches: Vec<(u32, Sequence)>,
    fields: Vec<FieldValues>,
}

impl Chunk {
    pub(super) fn starting_at(base: u32) -> Self {
        Self { base, ..Self::default() }
    }

    pub(super) fn from_rows(base: u32, rows: Rows, previous: Vec<u32>, sequence: Sequence) -> Self {
        Self {
            base,
            series: rows.series,
            time: rows.time,
            previous,
            batches: vec![(0, sequence)],
            fields: rows.fields,
        }
    }

    pub(super) fn base(&self) -> u32 {
        self.base
    }

    pub(super) fn row_count(&self) -> usize {
        self.time.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.time
    }

    pub(super) fn series(&self) -> &[u32] {
        &self.series
    }

    /// The values of a field; none where no row of the chunk carries it.
    pub(super) fn field(&self, id: ColumnId) -> Option<&Column> {
        self.fields.iter().find(|field| field.id == id).map(|field| &field.column)
    }

    /// The batches: the first row of each, from the chunk's start, its sequence, and how many rows it has.
    pub(super) fn batches(&self) -> impl Iterator<Item = ((usize, Sequence), usize)> {
        let ends = self.batches.iter().skip(1).map(|(first, _)| *first as usize);
        let ends = ends.chain([self.row_count()]);
        self.batches.iter().zip(ends).map(|((first, sequence), end)| {
            let first = *first as usize;
            ((first, *sequence), end.saturating_sub(first))
        })
    }

    pub(super) fn append(&mut self, rows: &Rows, previous: &[u32], sequence: Sequence) {
        let (before, added) = (self.row_count(), rows.row_count());
        self.batches.push((u32::try_from(before).unwrap_or(u32::MAX), sequence));
        self.series.extend_from_slice(&rows.series);
        self.time.extend_from_slice(&rows.time);
        self.previous.extend_from_slice(previous);
        for values in &rows.fields {
            let field = self.field_mut(values.id, values.field_type, before);
            field.push_slice(&values.column, 0..added);
        }
        for field in &mut self.fields {
            let missing = before + added - field.column.len();
            field.column.push_nulls(missing);
        }
    }

    fn field_mut(&mut self, id: ColumnId, field_type: FieldType, before: usize) -> &mut Column {
        let at = self.fields.iter().position(|field| field.id == id).unwrap_or_else(|| {
            let column = Column::nulls(field_type, before);
            self.fields.push(FieldValues { id, field_type, column });
            self.fields.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was just found or made")]
        &mut self.fields[at].column
    }

    /// Time, sequence and link of `row`, if it lies in this chunk.
    pub(super) fn link_at(&self, row: u32) -> Option<(i64, Sequence, u32)> {
        let at = row.checked_sub(self.base)?;
        let time = *self.time.get(at as usize)?;
        let previous = *self.previous.get(at as usize)?;
        Some((time, self.sequence_at(at), previous))
    }

    fn sequence_at(&self, at: u32) -> Sequence {
        if let [(_, only)] = self.batches.as_slice() {
            return *only;
        }
        let batch = self.batches.partition_point(|(first, _)| *first <= at);
        self.batches.get(batch.wrapping_sub(1)).map_or(Sequence::ZERO, |(_, sequence)| *sequence)
    }

    /// How many rows the chunk has from `row` on.
    pub(super) fn rows_from(&self, row: u32) -> usize {
        self.row_count().saturating_sub(row.saturating_sub(self.base) as usize)
    }

    /// Appends `count` rows from `first` on, which must lie in this chunk, to `out`.
    pub(super) fn copy_to(
        &self,
        first: u32,
        count: usize,
        columns: &[(ColumnId, FieldType)],
        out: &mut RowChunk,
    ) {
        let at = first.saturating_sub(self.base);
        let from = at as usize;
        let rows = from..from + count;
        out.time.extend_from_slice(self.time.get(rows.clone()).unwrap_or_default());
        out.sequence.extend((at..).take(count).map(|row| self.sequence_at(row)));
        for ((id, _), to) in columns.iter().zip(&mut out.fields) {
            match self.field(*id) {
                Some(column) => to.push_slice(column, rows.clone()),
                None => to.push_nulls(count),
            }
        }
    }
}
