//! Joining and resolving against a sort and a fold of all rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Column, ColumnData, Value};

/// Time, sequence counter, value.
type Row = (i64, u64, Option<i64>);

struct List {
    chunks: std::vec::IntoIter<RowChunk>,
    bounds: (i64, i64),
}

impl RowSource for List {
    fn next_chunk(&mut self) -> Result<Option<RowChunk>> {
        Ok(self.chunks.next())
    }
    fn bounds(&self) -> (i64, i64) {
        self.bounds
    }
}

fn chunk(rows: &[Row]) -> RowChunk {
    let mut column = Column::empty(FieldType::I64);
    for row in rows {
        match row.2 {
            None => column.push_nulls(1),
            Some(value) => {
                let one = Column::new(ColumnData::I64(vec![value]), None);
                column.push_slice(&one, 0..1);
            }
        }
    }
    RowChunk {
        time: rows.iter().map(|row| row.0).collect(),
        sequence: rows.iter().map(|row| Sequence { incarnation: 1, counter: row.1 }).collect(),
        fields: vec![column],
    }
}

fn rows_of(chunk: &RowChunk) -> Vec<Row> {
    (0..chunk.row_count())
        .map(|at| {
            let value = match chunk.fields[0].value(at, FieldType::I64) {
                Value::I64(value) => Some(value),
                _ => None,
            };
            (chunk.time[at], chunk.sequence[at].counter, value)
        })
        .collect()
}

/// Expected rows: folded up to `through`, all kept after it.
fn resolved(rows: &[Row], mode: MergeMode, through: u64) -> Vec<Row> {
    if mode == MergeMode::Append {
        return rows.to_vec();
    }
    let mut by_time: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_time.entry(row.0).or_default().push(*row);
    }
    let mut out = Vec::new();
    for (_, versions) in by_time {
        let mut kept: Option<Row> = None;
        for version in &versions {
            if version.1 > through {
                continue;
            }
            let older = kept.and_then(|row| row.2);
            let value =
                if mode == MergeMode::LastNonNull { version.2.or(older) } else { version.2 };
            kept = Some((version.0, version.1, value));
        }
        out.extend(kept);
        out.extend(versions.iter().filter(|version| version.1 > through));
    }
    out
}

proptest! {
    #[test]
    fn joined_and_resolved_rows_equal_the_naive_ones(
        // Sources with disjoint sequences, as segments and memtables have.
        sources in prop::collection::vec(
            prop::collection::vec((0..40_i64, prop::option::of(any::<i64>())), 1..40), 1..5),
        widen in 0..3_i64, cut in 1..7_usize, through in 0..220_u64,
        mode in prop::sample::select(vec![MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull]),
    ) {
        let mut all: Vec<Row> = Vec::new();
        let mut boxed: Vec<Box<dyn RowSource>> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let mut rows: Vec<Row> = source
                .iter()
                .enumerate()
                .map(|(at, row)| (row.0, (index * 40 + at) as u64 + 1, row.1))
                .collect();
            rows.sort_by_key(|row| (row.0, row.1));
            all.extend(&rows);
            let bounds = (rows[0].0 - widen, rows[rows.len() - 1].0 + widen);
            let chunks: Vec<RowChunk> = rows.chunks(cut).map(chunk).collect();
            boxed.push(Box::new(List { chunks: chunks.into_iter(), bounds }));
        }
        all.sort_by_key(|row| (row.0, row.1));
        let mut merge = SeriesMerge::new(vec![FieldType::I64], 1 << 20, boxed);
        let sequence = Sequence { incarnation: 1, counter: through };
        let mut resolver = Resolver::new(mode, sequence);
        let mut found = Vec::new();
        while let Some(chunk) = merge.next_chunk().unwrap() {
            if let Some(chunk) = resolver.push(chunk) {
                found.extend(rows_of(&chunk));
            }
        }
        if let Some(chunk) = resolver.finish() {
            found.extend(rows_of(&chunk));
        }
        prop_assert_eq!(found, resolved(&all, mode, through));
    }
}

#[test]
fn touching_bounds_overlap() {
    assert!(overlap([(0, 5), (5, 9)].into_iter()));
    assert!(!overlap([(6, 9), (0, 5)].into_iter()));
}
