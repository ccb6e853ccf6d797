//! One aggregate function over the open bucket of a series. Rows come as columns, cut into runs of one bucket each: every function
//! goes over all runs of a piece at once. Floats are added in row order, with Neumaier's compensation (Neumaier, ZAMM 54, 1974), so
//! that a sum of n values is off by a few units in the last place, not n of them.

use std::ops::Range;

use chronolith_codec::Bitmap;

use super::AggregateFunction;
use super::number::{Number, Total};
use crate::error::{Error, Result};
use crate::model::{Column, ColumnData, FieldType, Value};

/// One function over one bucket.
pub(super) struct State {
    pub(super) function: AggregateFunction,
    pub(super) column: usize,
    pub(super) field_type: FieldType,
    pub(super) name: String,
    fold: Fold,
}

/// What is known of the open bucket.
enum Fold {
    Count(u64),
    F64(Numbers<f64>),
    I64(Numbers<i64>),
    U64(Numbers<u64>),
    /// The first or last truth value or text: a column of one value at most.
    Other(Option<Column>),
}

impl State {
    /// The function over the field `name` of `field_type`, which is read as the column at `column`.
    ///
    /// # Errors
    /// `Invalid` for a function that the type does not have.
    pub(super) fn new(
        function: AggregateFunction,
        column: usize,
        field_type: FieldType,
        name: &str,
    ) -> Result<Self> {
        use AggregateFunction as F;
        let numeric = !matches!(field_type, FieldType::Bool | FieldType::Utf8);
        let summable = numeric && field_type != FieldType::Timestamp;
        let allowed = match function {
            F::Count | F::First | F::Last => true,
            F::Min | F::Max => numeric,
            F::Sum | F::Avg | F::SumOfRises => summable,
        };
        if !allowed {
            return Err(Error::invalid(format!(
                "{function:?} of {name:?} is not defined: the field holds {field_type}"
            )));
        }
        let fold = match ColumnData::new(field_type) {
            _ if function == F::Count => Fold::Count(0),
            ColumnData::F64(_) => Fold::F64(Numbers::default()),
            ColumnData::I64(_) => Fold::I64(Numbers::default()),
            ColumnData::U64(_) => Fold::U64(Numbers::default()),
            ColumnData::Bool(_) | ColumnData::Utf8(_) => Fold::Other(None),
        };
        Ok(Self { function, column, field_type, name: name.to_owned(), fold })
    }

    /// The type of the values that it gives.
    pub(super) fn output_type(&self) -> FieldType {
        match self.function {
            AggregateFunction::Count => FieldType::U64,
            AggregateFunction::Avg => FieldType::F64,
            _ => self.field_type,
        }
    }

    /// Begins a series, whose last value before the rows that follow is `previous`.
    pub(super) fn begin_series(&mut self, previous: Option<&Value>) {
        match &mut self.fold {
            Fold::F64(numbers) => numbers.previous = previous.and_then(f64::of_value),
            Fold::I64(numbers) => numbers.previous = previous.and_then(i64::of_value),
            Fold::U64(numbers) => numbers.previous = previous.and_then(u64::of_value),
            Fold::Count(_) | Fold::Other(_) => {}
        }
    }

    /// Adds the rows from `from` on: those up to each of `ends` are of one bucket. Every bucket but the last is closed: its value goes
    /// to `out`.
    ///
    /// # Errors
    /// `Invalid` for a sum beyond its type.
    pub(super) fn add(
        &mut self,
        column: &Column,
        from: usize,
        ends: &[usize],
        out: &mut Column,
    ) -> Result<()> {
        let Some((last, closed)) = ends.split_last() else { return Ok(()) };
        let mut at = from;
        for end in closed {
            self.add_run(column, at..*end);
            self.close(out)?;
            at = *end;
        }
        self.add_run(column, at..*last);
        Ok(())
    }

    fn add_run(&mut self, column: &Column, rows: Range<usize>) {
        let validity = column.validity.as_ref();
        match (&mut self.fold, &column.data) {
            (Fold::Count(count), _) => *count += valid_count(validity, rows),
            (Fold::F64(numbers), ColumnData::F64(values)) => {
                numbers.add(self.function, values, validity, rows);
            }
            (Fold::I64(numbers), ColumnData::I64(values)) => {
                numbers.add(self.function, values, validity, rows);
            }
            (Fold::U64(numbers), ColumnData::U64(values)) => {
                numbers.add(self.function, values, validity, rows);
            }
            (Fold::Other(kept), _) => {
                let mut rows = rows;
                let found = match self.function {
                    AggregateFunction::First if kept.is_some() => None,
                    AggregateFunction::First => rows.find(|row| column.is_valid(*row)),
                    _ => rows.rfind(|row| column.is_valid(*row)),
                };
                if let Some(row) = found {
                    *kept = Some(column.slice(row..row + 1));
                }
            }
            _ => {}
        }
    }

    /// Gives the value of the open bucket to `out`; the next bucket is then open.
    ///
    /// # Errors
    /// `Invalid` for a sum beyond its type.
    pub(super) fn close(&mut self, out: &mut Column) -> Result<()> {
        match &mut self.fold {
            Fold::Count(count) => u64::push(out, Some(std::mem::take(count))),
            Fold::Other(kept) => match kept.take() {
                Some(value) => out.push_slice(&value, 0..1),
                None => out.push_nulls(1),
            },
            Fold::F64(numbers) => numbers.close(self.function, self.field_type, &self.name, out)?,
            Fold::I64(numbers) => numbers.close(self.function, self.field_type, &self.name, out)?,
            Fold::U64(numbers) => numbers.close(self.function, self.field_type, &self.name, out)?,
        }
        Ok(())
    }
}

fn valid_count(validity: Option<&Bitmap>, rows: Range<usize>) -> u64 {
    match validity {
        None => rows.len() as u64,
        Some(bits) => rows.filter(|row| bits.get(*row) == Some(true)).count() as u64,
    }
}

/// A function over numbers of one layout.
struct Numbers<T: Number> {
    kept: Option<T>,
    count: u64,
    total: T::Total,
    previous: Option<T>,
}

impl<T: Number> Default for Numbers<T> {
    fn default() -> Self {
        Self { kept: None, count: 0, total: T::Total::default(), previous: None }
    }
}

impl<T: Number> Numbers<T> {
    fn add(
        &mut self,
        function: AggregateFunction,
        values: &[T],
        validity: Option<&Bitmap>,
        rows: Range<usize>,
    ) {
        let Some(part) = values.get(rows.clone()) else { return };
        let Some(bits) = validity else { return self.add_valid(function, part) };
        // Runs of values between NULLs.
        let is_valid = |row: &usize| bits.get(*row) == Some(true);
        let mut at = rows.start;
        while at < rows.end {
            at += (at..rows.end).take_while(|row| !is_valid(row)).count();
            let count = (at..rows.end).take_while(is_valid).count();
            self.add_valid(function, values.get(at..at + count).unwrap_or_default());
            at += count;
        }
    }

    fn add_valid(&mut self, function: AggregateFunction, values: &[T]) {
        use AggregateFunction as F;
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
        match function {
            F::First => {
                self.kept.get_or_insert(*first);
            }
            F::Last => self.kept = Some(*last),
            F::Min => self.kept = Some(T::least(self.kept.unwrap_or(*first), values)),
            F::Max => self.kept = Some(T::greatest(self.kept.unwrap_or(*first), values)),
            F::Sum | F::Avg => {
                values.iter().for_each(|value| self.total.add(*value));
                self.count += values.len() as u64;
            }
            F::SumOfRises => {
                for value in values {
                    self.total.add_rise(self.previous, *value);
                    self.previous = Some(*value);
                }
                self.count += values.len() as u64;
            }
            F::Count => {}
        }
    }

    fn close(
        &mut self,
        function: AggregateFunction,
        field_type: FieldType,
        name: &str,
        out: &mut Column,
    ) -> Result<()> {
        use AggregateFunction as F;
        let kept = self.kept.take();
        let count = std::mem::take(&mut self.count);
        let total = std::mem::take(&mut self.total);
        match function {
            F::Sum | F::SumOfRises if count > 0 => {
                let sum = total.sum().map_err(|sum| {
                    Error::invalid(format!("the sum of {name:?} is {sum}, beyond {field_type}"))
                })?;
                T::push(out, Some(sum));
            }
            F::Avg if count > 0 => {
                #[expect(clippy::cast_precision_loss, reason = "a mean is a double")]
                let mean = total.scaled(field_type) / count as f64;
                f64::push(out, Some(mean));
            }
            F::Sum | F::SumOfRises | F::Avg => out.push_nulls(1),
            F::First | F::Last | F::Min | F::Max | F::Count => T::push(out, kept),
        }
        Ok(())
    }
}
