//! `first(value, time)`, `last(value, time)`, `arg_min(value, by)`, `arg_max(value, by)`: the value of the row that comes first or last by the
//! second argument. Rows where either is NULL are left out. Among rows of one key the first counts, for `last` the last: within a scan's
//! part that is the order series, time, commit, and rows of one series and time never lie in two parts. Where rows of different parts
//! tie, the lesser value counts, so that the answer does not depend on which thread was faster.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array,
    PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{is_not_null, nullif};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, TimeUnit,
    TimestampNanosecondType, UInt64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::groups::nulls_of;
use super::keys::{Key, Keys, NUMBER_KEY, key_type, ordered_type};
use crate::error::SqlError;

/// Which row is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pick {
    First,
    Last,
    ArgMin,
    ArgMax,
}

impl Pick {
    pub(super) const ALL: [Self; 4] = [Self::First, Self::Last, Self::ArgMin, Self::ArgMax];

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::ArgMin => "arg_min",
            Self::ArgMax => "arg_max",
        }
    }

    fn is_least(self) -> bool {
        matches!(self, Self::First | Self::ArgMin)
    }

    /// Whether a row with key `new`, which comes after one with `old`, takes its place.
    fn replaces<K: Ord>(self, new: &K, old: &K) -> bool {
        match new.cmp(old) {
            Ordering::Less => self.is_least(),
            Ordering::Equal => self == Self::Last,
            Ordering::Greater => !self.is_least(),
        }
    }

    /// The same between parts, where none comes after the other.
    fn replaces_in_merge<K: Ord>(
        self,
        new: &K,
        old: &K,
        values: impl FnOnce() -> Ordering,
    ) -> bool {
        if new == old { values() == Ordering::Less } else { self.replaces(new, old) }
    }
}

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PickFunction {
    pick: Pick,
    signature: Signature,
}

impl PickFunction {
    pub(super) fn new(pick: Pick) -> Self {
        Self { pick, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PickFunction {
    fn name(&self) -> &str {
        self.pick.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.pick.name();
        let [value, by] = types else {
            let by = if matches!(self.pick, Pick::First | Pick::Last) { "time" } else { "by" };
            return Err(SqlError::invalid(format!(
                "{name} takes two arguments, {name}(value, {by}); given are {}",
                types.len()
            ))
            .into());
        };
        let Some(by) = ordered_type(by) else {
            return Err(SqlError::invalid(format!("{name} cannot order by {by}")).into());
        };
        Ok(vec![value.clone(), by])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let value = types.first().cloned();
        value.ok_or_else(|| SqlError::internal("a pick without a value").into())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let by = args.input_fields.get(1).map_or(NUMBER_KEY, |field| key_type(field.data_type()));
        Ok(vec![
            Arc::new(Field::new(
                format_state_name(args.name, "value"),
                args.return_type().clone(),
                true,
            )),
            Arc::new(Field::new(format_state_name(args.name, "key"), by, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let by = args.expr_fields.get(1).map_or(NUMBER_KEY, |field| key_type(field.data_type()));
        one(self.pick, args.return_type(), by)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        let by = args.expr_fields.get(1).map(|field| key_type(field.data_type()));
        by == Some(NUMBER_KEY) && has_groups(args.return_type()) && !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        groups(self.pick, args.return_type())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A pick of values of `data_type`.
pub(super) fn one(
    pick: Pick,
    data_type: &DataType,
    key_type: DataType,
) -> Result<Box<dyn Accumulator>> {
    let value = ScalarValue::try_new_null(data_type)?;
    Ok(Box::new(One { pick, value, key: None, key_type }))
}

/// Picks for groups, of values of a primitive type, by numbers.
pub(super) fn groups(pick: Pick, data_type: &DataType) -> Result<Box<dyn GroupsAccumulator>> {
    macro_rules! of {
        ($t:ty) => {
            Ok(Box::new(Groups::<$t>::new(pick, data_type.clone())))
        };
    }
    match data_type {
        DataType::Int64 => of!(Int64Type),
        DataType::UInt64 => of!(UInt64Type),
        DataType::Float64 => of!(Float64Type),
        DataType::Decimal128(..) => of!(Decimal128Type),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of!(TimestampNanosecondType),
        other => Err(SqlError::internal(format!("no groups of {other}")).into()),
    }
}

/// Whether [`groups`] has this type; others are picked one by one.
fn has_groups(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64
            | DataType::UInt64
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Timestamp(TimeUnit::Nanosecond, _)
    )
}

/// One group.
#[derive(Debug)]
struct One {
    pick: Pick,
    value: ScalarValue,
    key: Option<Key>,
    key_type: DataType,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [value, by] = two(values)?;
        let keys = Keys::of(by, self.pick.is_least())?;
        let valid = value.logical_nulls();
        let mut best = None;
        for row in 0..value.len() {
            if valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
                continue;
            }
            let Some(key) = keys.key(row) else { continue };
            if self.key.as_ref().is_none_or(|old| self.pick.replaces(&key, old)) {
                self.key = Some(key);
                best = Some(row);
            }
        }
        if let Some(row) = best {
            self.value = ScalarValue::try_from_array(value, row)?;
            self.value.compact();
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let key = match &self.key {
            None => ScalarValue::try_new_null(&self.key_type)?,
            Some(Key::Number(key)) => ScalarValue::Decimal128(Some(*key), 38, 0),
            Some(Key::Text(key)) => ScalarValue::Utf8View(Some(key.clone())),
        };
        Ok(vec![self.value.clone(), key])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [value, keys] = two(states)?;
        let keys = Keys::of_state(keys);
        for row in 0..value.len() {
            let Some(key) = keys.key(row) else { continue };
            let other = ScalarValue::try_from_array(value, row)?;
            let takes = self.key.as_ref().is_none_or(|old| {
                let values = || other.partial_cmp(&self.value).unwrap_or(Ordering::Equal);
                self.pick.replaces_in_merge(&key, old, values)
            });
            if takes {
                (self.key, self.value) = (Some(key), other);
                self.value.compact();
            }
        }
        Ok(())
    }
}

/// Many groups.
struct Groups<T: ArrowPrimitiveType> {
    pick: Pick,
    data_type: DataType,
    values: Vec<T::Native>,
    keys: Vec<i128>,
    set: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Groups<T> {
    fn new(pick: Pick, data_type: DataType) -> Self {
        Self { pick, data_type, values: Vec::new(), keys: Vec::new(), set: Vec::new() }
    }

    fn resize(&mut self, count: usize) {
        self.values.resize(count, T::Native::default());
        self.keys.resize(count, 0);
        self.set.resize(count, false);
    }

    /// Takes what `takes` says, of rows whose value and key are not NULL.
    fn each(
        &mut self,
        values: &ArrayRef,
        keys: &Decimal128Array,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        takes: impl Fn((&i128, &T::Native), (&i128, &T::Native)) -> bool,
    ) {
        let values = values.as_primitive::<T>();
        let nulls = NullBuffer::union(values.nulls(), keys.nulls());
        let rows = values.values().iter().zip(keys.values()).zip(groups).enumerate();
        for (row, ((value, key), group)) in rows {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
                || filter.is_some_and(|filter| !filter.is_valid(row) || !filter.value(row))
            {
                continue;
            }
            let (Some(old_value), Some(old_key), Some(set)) =
                (self.values.get_mut(*group), self.keys.get_mut(*group), self.set.get_mut(*group))
            else {
                continue;
            };
            if !*set || takes((key, value), (old_key, old_value)) {
                (*old_value, *old_key, *set) = (*value, *key, true);
            }
        }
    }

    fn take(&mut self, emit: EmitTo) -> (PrimitiveArray<T>, Vec<i128>, Option<NullBuffer>) {
        let values = emit.take_needed(&mut self.values);
        let keys = emit.take_needed(&mut self.keys);
        let nulls = nulls_of(&mut self.set, emit);
        let array = PrimitiveArray::<T>::new(values.into(), nulls.clone());
        (array.with_data_type(self.data_type.clone()), keys, nulls)
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let [value, by] = two(values)?;
        let keys = numbers(by, self.pick)?;
        let pick = self.pick;
        self.each(value, &keys, group_indices, opt_filter, |new, old| pick.replaces(new.0, old.0));
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let [value, keys] = two(values)?;
        let keys = keys.as_primitive::<Decimal128Type>();
        let pick = self.pick;
        self.each(value, keys, group_indices, None, |new, old| {
            pick.replaces_in_merge(new.0, old.0, || new.1.compare(*old.1))
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.take(emit_to).0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, keys, nulls) = self.take(emit_to);
        let keys = Decimal128Array::new(keys.into(), nulls).with_data_type(NUMBER_KEY);
        Ok(vec![Arc::new(values), Arc::new(keys)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [value, by] = two(values)?;
        let keys = numbers(by, self.pick)?;
        let mut left_out = arrow::compute::not(&is_not_null(value)?)?;
        if let Some(filter) = opt_filter {
            let passes = BooleanArray::from_iter(
                (0..filter.len()).map(|row| Some(!(filter.is_valid(row) && filter.value(row)))),
            );
            left_out = arrow::compute::or(&left_out, &passes)?;
        }
        Ok(vec![nullif(value, &left_out)?, nullif(&keys, &left_out)?])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>()
            + self.keys.capacity() * 16
            + self.set.capacity()
    }
}

fn numbers(by: &ArrayRef, pick: Pick) -> Result<Decimal128Array> {
    match Keys::of(by, pick.is_least())? {
        Keys::Numbers(keys) => Ok(keys),
        Keys::Texts(_) => Err(SqlError::internal("groups by text are picked one by one").into()),
    }
}

fn two(arrays: &[ArrayRef]) -> Result<[&ArrayRef; 2]> {
    match arrays {
        [a, b, ..] => Ok([a, b]),
        _ => Err(SqlError::internal("a pick has two columns").into()),
    }
}
