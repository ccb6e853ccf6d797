//! `sum` and `avg`. Integers and decimals are added exactly, in 128 bits; a sum beyond its type is an error, never a wrap. Floats are added with
//! Neumaier's compensation (ZAMM 54, 1974), as docs/decisions/0009-floats.md asks. Every path is here: groups, one group, DISTINCT, windows
//! whose rows leave again, and the joining of partial sums.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, UInt64Type,
};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::groups::{nulls_of, passing};
use super::keys::NUMBER_KEY;
use crate::error::SqlError;

/// `sum`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    signature: Signature,
}

impl Sum {
    pub(super) fn new() -> Self {
        Self { signature: sum_udaf().signature().clone() }
    }
}

/// How a sum is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Exact,
    Float,
    /// Spans of time: as DataFusion does.
    Theirs,
}

fn way(result: &DataType) -> Way {
    match result {
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) => Way::Exact,
        DataType::Float64 => Way::Float,
        _ => Way::Theirs,
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        sum_udaf().return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name, data_type| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type, true))
        };
        Ok(match (way(args.return_type()), args.is_distinct) {
            (Way::Exact, false) => vec![field("sum", NUMBER_KEY)],
            (Way::Exact, true) => {
                vec![field("values", DataType::new_list(NUMBER_KEY, true))]
            }
            (Way::Float, false) => {
                vec![field("sum", DataType::Float64), field("rest", DataType::Float64)]
            }
            _ => return sum_udaf().inner().state_fields(args),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let result = args.return_type().clone();
        Ok(match (way(&result), args.is_distinct) {
            (Way::Exact, false) => Box::new(ExactSum { result, sum: 0, count: 0 }),
            (Way::Exact, true) => Box::new(DistinctSum { result, counts: HashMap::new() }),
            (Way::Float, false) => Box::new(FloatSum::default()),
            _ => return sum_udaf().inner().accumulator(args),
        })
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match (way(args.return_type()), args.is_distinct) {
            (Way::Exact, _) | (Way::Float, false) => self.accumulator(args),
            _ => sum_udaf().inner().create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let result = args.return_type().clone();
        match way(&result) {
            Way::Exact => Ok(Box::new(ExactGroups { result, sums: Vec::new(), set: Vec::new() })),
            Way::Float => Ok(Box::new(FloatGroups::default())),
            Way::Theirs => sum_udaf().inner().create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

fn one(arrays: &[ArrayRef]) -> Result<&ArrayRef> {
    arrays.first().ok_or_else(|| SqlError::internal("a sum has a column").into())
}

/// Integers and decimals as 128-bit units.
fn units(array: &ArrayRef) -> Result<Decimal128Array> {
    Ok(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().unary(i128::from),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().clone(),
        other => return Err(SqlError::internal(format!("{other} is not added exactly")).into()),
    })
}

fn beyond(result: &DataType) -> SqlError {
    SqlError::overflow(format!("a sum is beyond {result}: cast what is added to a wider type"))
}

fn add(sum: &mut i128, value: i128, result: &DataType) -> Result<()> {
    *sum = sum.checked_add(value).ok_or_else(|| beyond(result))?;
    Ok(())
}

fn scalar(result: &DataType, sum: Option<i128>) -> Result<ScalarValue> {
    let Some(sum) = sum else { return ScalarValue::try_new_null(result) };
    let beyond = |_| beyond(result);
    Ok(match result {
        DataType::Int64 => ScalarValue::Int64(Some(i64::try_from(sum).map_err(beyond)?)),
        DataType::UInt64 => ScalarValue::UInt64(Some(u64::try_from(sum).map_err(beyond)?)),
        DataType::Decimal128(precision, scale) => {
            ScalarValue::Decimal128(Some(within(sum, *precision, result)?), *precision, *scale)
        }
        other => return Err(SqlError::internal(format!("a sum is no {other}")).into()),
    })
}

fn within(sum: i128, precision: u8, result: &DataType) -> Result<i128> {
    let limit = 10_u128.checked_pow(precision.into()).unwrap_or(u128::MAX);
    if sum.unsigned_abs() < limit { Ok(sum) } else { Err(beyond(result).into()) }
}

/// One exact sum.
#[derive(Debug)]
struct ExactSum {
    result: DataType,
    sum: i128,
    /// Values in it, of which retracted ones are taken off; what was merged counts as one.
    count: u64,
}

impl Accumulator for ExactSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in units(one(values)?)?.iter().flatten() {
            add(&mut self.sum, value, &self.result)?;
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in units(one(values)?)?.iter().flatten() {
            self.sum = self.sum.checked_sub(value).ok_or_else(|| beyond(&self.result))?;
            self.count = self.count.saturating_sub(1);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128((self.count > 0).then_some(self.sum), 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar(&self.result, (self.count > 0).then_some(self.sum))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The exact sum of different values, with how often each is there.
#[derive(Debug)]
struct DistinctSum {
    result: DataType,
    counts: HashMap<i128, u64>,
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in units(one(values)?)?.iter().flatten() {
            *self.counts.entry(value).or_default() += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in units(one(values)?)?.iter().flatten() {
            if let Some(count) = self.counts.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&value);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: &ListArray = one(states)?.as_list();
        for list in lists.iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Decimal128Array::from_iter_values(self.counts.keys().copied());
        let values = values.with_data_type(NUMBER_KEY);
        let list = SingleRowListArrayBuilder::new(Arc::new(values)).with_nullable(true);
        Ok(vec![list.build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = 0;
        for value in self.counts.keys() {
            add(&mut sum, *value, &self.result)?;
        }
        scalar(&self.result, (!self.counts.is_empty()).then_some(sum))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * 32
    }
}

/// Exact sums of groups.
struct ExactGroups {
    result: DataType,
    sums: Vec<i128>,
    set: Vec<bool>,
}

impl ExactGroups {
    fn take(&mut self, emit: EmitTo) -> (Vec<i128>, Option<NullBuffer>) {
        let sums = emit.take_needed(&mut self.sums);
        (sums, nulls_of(&mut self.set, emit))
    }
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize(total_num_groups, 0);
        self.set.resize(total_num_groups, false);
        let values = units(one(values)?)?;
        for (row, group) in passing(&values, group_indices, opt_filter) {
            if let (Some(sum), Some(set), Some(value)) =
                (self.sums.get_mut(group), self.set.get_mut(group), values.values().get(row))
            {
                add(sum, *value, &self.result)?;
                *set = true;
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, nulls) = self.take(emit_to);
        let result = self.result.clone();
        let beyond = |_| beyond(&result);
        Ok(match &result {
            DataType::Int64 => {
                let sums = sums.into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>();
                Arc::new(Int64Array::new(sums.map_err(beyond)?.into(), nulls))
            }
            DataType::UInt64 => {
                let sums = sums.into_iter().map(u64::try_from).collect::<Result<Vec<_>, _>>();
                Arc::new(UInt64Array::new(sums.map_err(beyond)?.into(), nulls))
            }
            DataType::Decimal128(precision, _) => {
                for sum in &sums {
                    within(*sum, *precision, &result)?;
                }
                Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(result))
            }
            other => return Err(SqlError::internal(format!("a sum is no {other}")).into()),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, nulls) = self.take(emit_to);
        Ok(vec![Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(NUMBER_KEY))])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = units(one(values)?)?.with_data_type(NUMBER_KEY);
        Ok(vec![filtered(&values, opt_filter)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * 16 + self.set.capacity()
    }
}

/// The values, NULL where the filter leaves them out.
fn filtered(values: &dyn Array, filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let Some(filter) = filter else { return Ok(values.slice(0, values.len())) };
    let out = (0..filter.len()).map(|row| Some(!(filter.is_valid(row) && filter.value(row))));
    Ok(arrow::compute::nullif(values, &BooleanArray::from_iter(out))?)
}

/// A float sum with what its roundings lost. Values that are not finite are counted, so that they can leave again.
#[derive(Debug, Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    rest: f64,
}

impl Compensated {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.rest += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    /// The sum. An infinite one has no rest worth adding.
    fn total(self) -> f64 {
        if self.sum.is_finite() { self.sum + self.rest } else { self.sum }
    }
}

/// One float sum.
#[derive(Debug, Default)]
struct FloatSum {
    finite: Compensated,
    count: u64,
    nan_count: u64,
    rising_count: u64,
    falling_count: u64,
}

impl FloatSum {
    fn change(&mut self, values: &Float64Array, add: bool) {
        let step = |count: &mut u64| {
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
        };
        for value in values.iter().flatten() {
            step(&mut self.count);
            if value.is_nan() {
                step(&mut self.nan_count);
            } else if value == f64::INFINITY {
                step(&mut self.rising_count);
            } else if value == f64::NEG_INFINITY {
                step(&mut self.falling_count);
            } else {
                self.finite.add(if add { value } else { -value });
            }
        }
    }

    fn total(&self) -> Option<f64> {
        let total = match (self.nan_count, self.rising_count, self.falling_count) {
            (0, 0, 0) => self.finite.total(),
            (0, 1.., 0) => f64::INFINITY,
            (0, 0, 1..) => f64::NEG_INFINITY,
            _ => f64::NAN,
        };
        (self.count > 0).then_some(total)
    }
}

impl Accumulator for FloatSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(one(values)?.as_primitive::<Float64Type>(), true);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(one(values)?.as_primitive::<Float64Type>(), false);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, rests] = states else {
            return Err(SqlError::internal("a float sum has two parts").into());
        };
        self.change(sums.as_primitive::<Float64Type>(), true);
        self.finite.rest += rests.as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let plain = self.nan_count + self.rising_count + self.falling_count == 0;
        let (sum, rest) = match plain {
            true if self.finite.sum.is_finite() => (Some(self.finite.sum), self.finite.rest),
            _ => (self.total(), 0.0),
        };
        let sum = sum.filter(|_| self.count > 0);
        Ok(vec![ScalarValue::Float64(sum), ScalarValue::Float64(sum.map(|_| rest))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.total()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Float sums of groups. Nothing leaves a group, so what is not finite needs no counting.
#[derive(Default)]
struct FloatGroups {
    sums: Vec<Compensated>,
    set: Vec<bool>,
}

impl FloatGroups {
    fn take(&mut self, emit: EmitTo) -> (Vec<Compensated>, Option<NullBuffer>) {
        let sums = emit.take_needed(&mut self.sums);
        (sums, nulls_of(&mut self.set, emit))
    }

    fn resize(&mut self, count: usize) {
        self.sums.resize(count, Compensated::default());
        self.set.resize(count, false);
    }
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let values = one(values)?.as_primitive::<Float64Type>();
        for (row, group) in passing(values, group_indices, opt_filter) {
            if let (Some(sum), Some(set), Some(value)) =
                (self.sums.get_mut(group), self.set.get_mut(group), values.values().get(row))
            {
                sum.add(*value);
                *set = true;
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)?;
        let Some(rests) = values.get(1) else { return Ok(()) };
        let rests = rests.as_primitive::<Float64Type>();
        for (row, group) in passing(rests, group_indices, None) {
            if let (Some(sum), Some(rest)) = (self.sums.get_mut(group), rests.values().get(row)) {
                sum.rest += rest;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, nulls) = self.take(emit_to);
        let sums: Vec<f64> = sums.into_iter().map(Compensated::total).collect();
        Ok(Arc::new(Float64Array::new(sums.into(), nulls)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, nulls) = self.take(emit_to);
        let rest = |one: &Compensated| if one.sum.is_finite() { one.rest } else { 0.0 };
        let rests: Vec<f64> = sums.iter().map(rest).collect();
        let sums: Vec<f64> = sums.iter().map(|one| one.sum).collect();
        Ok(vec![
            Arc::new(Float64Array::new(sums.into(), nulls.clone())),
            Arc::new(Float64Array::new(rests.into(), nulls)),
        ])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let sums = filtered(one(values)?, opt_filter)?;
        let rests = sums.as_primitive::<Float64Type>().unary::<_, Float64Type>(|_| 0.0);
        Ok(vec![sums, Arc::new(rests)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * 16 + self.set.capacity()
    }
}
