//! `min` and `max` of floats by docs/decisions/0009-floats.md: NaN only where there is nothing else, and then the one NaN 0x7ff8000000000000.
//! Of two zeros `min` gives -0.0 and `max` 0.0, so that no order of rows or threads shows. Other types are DataFusion's.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};

use super::groups::{nulls_of, passing};

/// The one NaN of answers.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// `min` or `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    theirs: Arc<AggregateUDF>,
    is_least: bool,
}

impl Extreme {
    pub(super) fn new(theirs: Arc<AggregateUDF>, is_least: bool) -> Self {
        Self { theirs, is_least }
    }
}

/// What takes its place beside `old`: any value but NaN before NaN, then the lesser or greater, zeros told apart.
fn better(is_least: bool, new: f64, old: f64) -> bool {
    if old.is_nan() || new.is_nan() {
        return old.is_nan() && !new.is_nan();
    }
    let order = new.total_cmp(&old);
    if is_least { order.is_lt() } else { order.is_gt() }
}

fn canonical(value: f64) -> f64 {
    if value.is_nan() { NAN } else { value }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.theirs.name()
    }

    fn signature(&self) -> &Signature {
        self.theirs.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let types = self.theirs.coerce_types(types)?;
        let widened = types.into_iter().map(|one| match one {
            DataType::Float16 | DataType::Float32 => DataType::Float64,
            other => other,
        });
        Ok(widened.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.theirs.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.theirs.inner().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.return_type() != &DataType::Float64 {
            return self.theirs.inner().accumulator(args);
        }
        Ok(Box::new(One { is_least: self.is_least, value: None }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if args.return_type() != &DataType::Float64 {
            return self.theirs.inner().create_sliding_accumulator(args);
        }
        Ok(Box::new(Sliding { is_least: self.is_least, counts: BTreeMap::new(), nan_count: 0 }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        args.return_type() == &DataType::Float64
            || self.theirs.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if args.return_type() != &DataType::Float64 {
            return self.theirs.inner().create_groups_accumulator(args);
        }
        Ok(Box::new(Groups { is_least: self.is_least, values: Vec::new(), set: Vec::new() }))
    }

    fn is_descending(&self) -> Option<bool> {
        // Asked for the pruning of top groups, which orders NaN as DataFusion does.
        None
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        let _: &Statistics = args.statistics;
        match args.return_type {
            // Statistics do not say whether there is a NaN.
            DataType::Float64 => None,
            _ => self.theirs.inner().value_from_stats(args),
        }
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        match data_type {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                SetMonotonicity::NotMonotonic
            }
            other => self.theirs.inner().set_monotonicity(other),
        }
    }
}

#[derive(Debug)]
struct One {
    is_least: bool,
    value: Option<f64>,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for new in values.as_primitive::<Float64Type>().iter().flatten() {
            if self.value.is_none_or(|old| better(self.is_least, new, old)) {
                self.value = Some(canonical(new));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.value))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The values of a window, by what total order makes of their bits.
#[derive(Debug)]
struct Sliding {
    is_least: bool,
    counts: BTreeMap<i64, u64>,
    nan_count: u64,
}

/// Its own inverse.
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            if value.is_nan() {
                self.nan_count += 1;
            } else {
                *self.counts.entry(ordered(value.to_bits().cast_signed())).or_default() += 1;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            if value.is_nan() {
                self.nan_count = self.nan_count.saturating_sub(1);
                continue;
            }
            let key = ordered(value.to_bits().cast_signed());
            if let Some(count) = self.counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&key);
                }
            }
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
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let key = match self.is_least {
            true => self.counts.first_key_value(),
            false => self.counts.last_key_value(),
        };
        let value = key.map(|(key, _)| f64::from_bits(ordered(*key).cast_unsigned()));
        Ok(ScalarValue::Float64(value.or((self.nan_count > 0).then_some(NAN))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.len() * 32
    }
}

struct Groups {
    is_least: bool,
    values: Vec<f64>,
    set: Vec<bool>,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.values.resize(total_num_groups, 0.0);
        self.set.resize(total_num_groups, false);
        let Some(values) = values.first() else { return Ok(()) };
        let values = values.as_primitive::<Float64Type>();
        for (row, group) in passing(values, group_indices, opt_filter) {
            if let (Some(old), Some(set), Some(new)) =
                (self.values.get_mut(group), self.set.get_mut(group), values.values().get(row))
                && (!*set || better(self.is_least, *new, *old))
            {
                (*old, *set) = (canonical(*new), true);
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
        let values = emit_to.take_needed(&mut self.values);
        let nulls = nulls_of(&mut self.set, emit_to);
        Ok(Arc::new(Float64Array::new(values.into(), nulls)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return Ok(Vec::new()) };
        let Some(filter) = opt_filter else { return Ok(vec![Arc::clone(values)]) };
        let out = (0..filter.len()).map(|row| Some(!(filter.is_valid(row) && filter.value(row))));
        Ok(vec![arrow::compute::nullif(values, &BooleanArray::from_iter(out))?])
    }

    fn size(&self) -> usize {
        self.values.capacity() * 8 + self.set.capacity()
    }
}
