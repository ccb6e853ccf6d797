//! Fits values to a column's type where that is exact, and keeps account of rows that do not fit.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::limits::TEXT_LEN_BYTES_MAX;
use crate::model::{
    Column, ColumnData, FieldColumn, FieldDef, FieldType, FieldValues, InvalidRows, Rows,
    TableSchema,
};
use crate::planted::{Bug, is_on};

/// The rows of a table that are left out, with the first reason of each.
pub(super) struct Refusals {
    mode: InvalidRows,
    row_count: usize,
    reasons: BTreeMap<u64, String>,
}

impl Refusals {
    pub(super) fn new(mode: InvalidRows, row_count: usize) -> Self {
        Self { mode, row_count, reasons: BTreeMap::new() }
    }

    /// Refuses one row, or the batch.
    pub(super) fn refuse(&mut self, row: usize, error: Error) -> Result<()> {
        if self.mode == InvalidRows::RefuseBatch {
            return Err(error);
        }
        self.reasons.entry(row as u64).or_insert_with(|| error.to_string());
        Ok(())
    }

    /// Refuses every row that is marked, or the batch. `error` may name a row: the first one where it is for the batch.
    pub(super) fn refuse_all(
        &mut self,
        error: impl FnOnce(Option<u64>) -> Error,
        rows: impl Iterator<Item = bool>,
    ) -> Result<()> {
        let mut marked = (0..).zip(rows).filter(|(_, refused)| *refused).map(|(row, _)| row);
        if self.mode == InvalidRows::RefuseBatch {
            return Err(error(marked.next()));
        }
        let reason = error(None).to_string();
        for row in marked {
            self.reasons.entry(row).or_insert_with(|| reason.clone());
        }
        Ok(())
    }

    /// The rows that stay, unless all do.
    pub(super) fn kept(&self) -> Option<Vec<usize>> {
        let all = 0..self.row_count;
        (!self.reasons.is_empty())
            .then(|| all.filter(|row| !self.reasons.contains_key(&(*row as u64))).collect())
    }

    pub(super) fn into_reasons(self) -> impl Iterator<Item = (u64, String)> {
        self.reasons.into_iter()
    }
}

/// The rows at these positions.
pub(super) fn keep_rows(rows: &Rows, kept: &[usize]) -> Rows {
    let pick = |row: &usize| (rows.series.get(*row).copied(), rows.time.get(*row).copied());
    let (series, time): (Vec<_>, Vec<_>) = kept.iter().map(pick).unzip();
    let fields = rows
        .fields
        .iter()
        .map(|field| FieldValues { column: field.column.take(kept), ..field.clone() });
    Rows {
        table: rows.table,
        keys: rows.keys.clone(),
        series: series.into_iter().flatten().collect(),
        time: time.into_iter().flatten().collect(),
        fields: fields.collect(),
    }
}

/// The values of `sent` as `def` holds them; values of refused rows become NULL.
pub(super) fn field(
    schema: &TableSchema,
    def: &FieldDef,
    sent: FieldColumn,
    refusals: &mut Refusals,
) -> Result<Column> {
    check_texts(schema, def, &sent.column, refusals)?;
    if sent.field_type == def.field_type && holds_its_digits(&sent) {
        return Ok(sent.column);
    }
    let wrong = |row: usize, found: String| Error::WrongType {
        table: schema.name.clone(),
        column: def.name.clone(),
        expected: def.field_type.to_string(),
        found,
        row: Some(row as u64),
    };
    let mut data = ColumnData::new(def.field_type);
    let mut validity = chronolith_codec::Bitmap::default();
    for row in 0..sent.column.len() {
        let fits = sent.column.is_valid(row)
            && push_exact(&mut data, def.field_type, &sent.column.data, sent.field_type, row);
        validity.push(fits);
        if fits {
            continue;
        }
        data.push_empty(1);
        if sent.column.is_valid(row) {
            let value = sent.column.value(row, sent.field_type);
            refusals.refuse(row, wrong(row, format!("{} {value}", sent.field_type)))?;
        }
    }
    Ok(Column::new(data, Some(validity)))
}

/// Whether no decimal has more digits than its type.
fn holds_its_digits(sent: &FieldColumn) -> bool {
    let FieldType::Decimal { precision, .. } = sent.field_type else { return true };
    let ColumnData::I64(units) = &sent.column.data else { return true };
    let limit = 10_i128.pow(u32::from(precision));
    let fits = |(row, units): (usize, &i64)| {
        i128::from(*units).abs() < limit || !sent.column.is_valid(row)
    };
    units.iter().enumerate().all(fits)
}

fn check_texts(
    schema: &TableSchema,
    def: &FieldDef,
    column: &Column,
    refusals: &mut Refusals,
) -> Result<()> {
    let ColumnData::Utf8(texts) = &column.data else { return Ok(()) };
    let lengths = texts.offsets.windows(2).map(|pair| match pair {
        [from, to] => (to - from) as usize,
        _ => 0,
    });
    for (row, len) in lengths.enumerate().filter(|(_, len)| *len > TEXT_LEN_BYTES_MAX) {
        let error = Error::OverLimit {
            what: format!("text in column {:?} of table {:?}", def.name, schema.name),
            found: len as u64,
            limit: TEXT_LEN_BYTES_MAX as u64,
            unit: "bytes",
            row: Some(row as u64),
        };
        refusals.refuse(row, error)?;
    }
    Ok(())
}

/// Adds the value at `row` where the target type holds it exactly.
fn push_exact(
    to: &mut ColumnData,
    target: FieldType,
    from: &ColumnData,
    source: FieldType,
    row: usize,
) -> bool {
    use FieldType as T;
    let signed = match from {
        ColumnData::I64(values) => values.get(row).map(|value| i128::from(*value)),
        ColumnData::U64(values) => values.get(row).map(|value| i128::from(*value)),
        _ => None,
    };
    let Some(value) = signed else { return false };
    match (to, target, source) {
        (ColumnData::F64(to), T::F64, T::I64 | T::U64) => exact_f64(value).map(|one| to.push(one)),
        (ColumnData::I64(to), T::I64, T::U64) => i64::try_from(value).ok().map(|one| to.push(one)),
        (ColumnData::U64(to), T::U64, T::I64) => u64::try_from(value).ok().map(|one| to.push(one)),
        (ColumnData::I64(to), T::Decimal { precision, scale }, T::I64 | T::U64) => {
            rescale(value, 0, precision, scale).map(|one| to.push(one))
        }
        (ColumnData::I64(to), T::Decimal { precision, scale }, T::Decimal { scale: found, .. }) => {
            let found = if is_on(Bug::DecimalScale) { scale } else { found };
            rescale(value, found, precision, scale).map(|one| to.push(one))
        }
        _ => None,
    }
    .is_some()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the way back shows whether it was exact"
)]
fn exact_f64(value: i128) -> Option<f64> {
    let float = value as f64;
    (float as i128 == value).then_some(float)
}

fn rescale(units: i128, from: u8, precision: u8, to: u8) -> Option<i64> {
    let scaled = if to >= from {
        units.checked_mul(10_i128.pow(u32::from(to - from)))?
    } else {
        let divisor = 10_i128.pow(u32::from(from - to));
        (units % divisor == 0).then_some(units / divisor)?
    };
    let limit = 10_i128.pow(u32::from(precision));
    (scaled.abs() < limit).then(|| i64::try_from(scaled).ok()).flatten()
}
