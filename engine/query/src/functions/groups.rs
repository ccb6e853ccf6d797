//! What the accumulators of groups share.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;
use datafusion::logical_expr::EmitTo;

/// Rows that are not NULL and pass the filter, with their groups.
pub(super) fn passing<'a>(
    values: &'a dyn Array,
    groups: &'a [usize],
    filter: Option<&'a BooleanArray>,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    groups.iter().copied().enumerate().filter(move |(row, _)| {
        values.is_valid(*row)
            && filter.is_none_or(|filter| filter.is_valid(*row) && filter.value(*row))
    })
}

/// The NULLs of the groups that are emitted: those without a value.
pub(super) fn nulls_of(set: &mut Vec<bool>, emit: EmitTo) -> Option<NullBuffer> {
    let nulls = NullBuffer::from(emit.take_needed(set));
    Some(nulls).filter(|nulls| nulls.null_count() > 0)
}
