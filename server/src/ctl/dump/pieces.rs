//! Batches in pieces of bounded size, whatever their texts are.

use std::ops::Range;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

/// Rows of a piece at most.
const ROWS_MAX: usize = 64 << 10;
/// Bytes at which a piece ends, as [`row_bytes`] counts them; a row may be larger.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of a value, roughly.
const VALUE_BYTES: usize = 8;

/// The piece that begins at `from`, and its bytes.
pub(in super::super) fn piece(batch: &RecordBatch, from: usize) -> (Range<usize>, usize) {
    let rows = batch.num_rows();
    let fixed = batch.num_columns() * VALUE_BYTES;
    let texts: Vec<_> = batch.columns().iter().filter_map(|column| texts(column)).collect();
    let (mut to, mut bytes) = (from, 0);
    while to < rows && to - from < ROWS_MAX {
        let of_texts: usize = texts.iter().map(|text| text(to)).sum();
        if to > from && bytes + fixed + of_texts > BYTES_MAX {
            break;
        }
        bytes += fixed + of_texts;
        to += 1;
    }
    (from..to, bytes)
}

/// For a column of texts: the bytes of each.
fn texts(column: &dyn Array) -> Option<Box<dyn Fn(usize) -> usize + '_>> {
    let len = |text: &str| text.len();
    Some(match column.data_type() {
        DataType::Utf8View => {
            let texts = column.as_string_view();
            Box::new(move |row| if texts.is_valid(row) { len(texts.value(row)) } else { 0 })
        }
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            Box::new(move |row| if texts.is_valid(row) { len(texts.value(row)) } else { 0 })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    fn pieces(batch: &RecordBatch) -> Vec<(Range<usize>, usize)> {
        let mut pieces = Vec::new();
        let mut from = 0;
        while from < batch.num_rows() {
            let piece = piece(batch, from);
            from = piece.0.end;
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn long_texts_and_many_rows_are_cut() {
        let long = "x".repeat(6 << 20);
        let texts = StringViewArray::from(vec![Some(&*long), None, Some(&*long), Some(&*long)]);
        let whole = RecordBatch::try_from_iter([("s", Arc::new(texts) as _)]).unwrap();
        let cut: Vec<_> = pieces(&whole).into_iter().map(|(rows, _)| rows).collect();
        assert_eq!(cut, [0..3, 3..4]);
        let numbers = Int64Array::from_iter_values(0..150_000);
        let whole = RecordBatch::try_from_iter([("x", Arc::new(numbers) as _)]).unwrap();
        let cut = pieces(&whole);
        assert_eq!(cut[0], (0..65_536, 65_536 * 8));
        assert_eq!((cut.len(), cut[2].0.clone()), (3, 131_072..150_000));
    }
}
