//! `ohlc(price, time)`: the first, greatest, least and last price, as a struct with the fields `open`, `high`, `low`, `close`, reached by name:
//! `(ohlc(price, time)).open`, or `ohlc(price, time)['open']`. Four picks side by side; NaN is neither high nor low beside a number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::keys::{NUMBER_KEY, ordered_type};
use super::pick::{self, Pick};
use crate::error::SqlError;

const FIELDS: [(&str, Pick, Column); 4] = [
    ("open", Pick::First, Column::Time),
    ("high", Pick::ArgMax, Column::Price),
    ("low", Pick::ArgMin, Column::Price),
    ("close", Pick::Last, Column::Time),
];

/// What a field's pick is by.
#[derive(Clone, Copy)]
enum Column {
    Price,
    Time,
}

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ohlc {
    signature: Signature,
}

impl Ohlc {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn fields(price: &DataType) -> Fields {
    FIELDS.iter().map(|(name, ..)| Arc::new(Field::new(*name, price.clone(), true))).collect()
}

fn price_type(result: &DataType) -> Result<DataType> {
    match result {
        DataType::Struct(fields) => fields.first().map(|field| field.data_type().clone()),
        _ => None,
    }
    .ok_or_else(|| SqlError::internal("ohlc gives a struct").into())
}

impl AggregateUDFImpl for Ohlc {
    fn name(&self) -> &'static str {
        "ohlc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ordered: Option<Vec<_>> = types.iter().map(ordered_type).collect();
        match ordered.as_deref() {
            Some([price, time]) if price != &DataType::Utf8View && time != &DataType::Utf8View => {
                Ok(vec![price.clone(), time.clone()])
            }
            _ => {
                let given: Vec<_> = types.iter().map(ToString::to_string).collect();
                let given = given.join(", ");
                Err(SqlError::invalid(format!("ohlc takes (price, time), not ({given})")).into())
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [price, ..] => Ok(DataType::Struct(fields(price))),
            [] => Err(SqlError::internal("ohlc without a price").into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let price = price_type(args.return_type())?;
        let state = |(name, ..): &(&str, Pick, Column)| {
            let value = format_state_name(args.name, name);
            let key = format_state_name(args.name, &format!("{name} key"));
            [Field::new(value, price.clone(), true), Field::new(key, NUMBER_KEY, true)]
        };
        Ok(FIELDS.iter().flat_map(state).map(Arc::new).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let price = price_type(args.return_type())?;
        let picks = FIELDS.iter().map(|(_, pick, _)| pick::one(*pick, &price, NUMBER_KEY));
        Ok(Box::new(One { picks: picks.collect::<Result<_>>()?, fields: fields(&price) }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let price = price_type(args.return_type())?;
        let picks = FIELDS.iter().map(|(_, pick, _)| pick::groups(*pick, &price));
        Ok(Box::new(Groups { picks: picks.collect::<Result<_>>()?, fields: fields(&price) }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// What the pick of a field is given: the price, and what it is by.
fn inputs(values: &[ArrayRef], by: Column) -> Result<[ArrayRef; 2]> {
    match (values, by) {
        ([price, _], Column::Price) => Ok([Arc::clone(price), Arc::clone(price)]),
        ([price, time], Column::Time) => Ok([Arc::clone(price), Arc::clone(time)]),
        _ => Err(SqlError::internal("ohlc has two columns").into()),
    }
}

#[derive(Debug)]
struct One {
    picks: Vec<Box<dyn Accumulator>>,
    fields: Fields,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (pick, (_, _, by)) in self.picks.iter_mut().zip(FIELDS) {
            pick.update_batch(&inputs(values, by)?)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (pick, state) in self.picks.iter_mut().zip(states.chunks(2)) {
            pick.merge_batch(state)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states: Result<Vec<_>> = self.picks.iter_mut().map(|pick| pick.state()).collect();
        Ok(states?.into_iter().flatten().collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values: Result<Vec<_>> = self.picks.iter_mut().map(|pick| pick.evaluate()).collect();
        let arrays: Result<Vec<_>> = values?.iter().map(|value| value.to_array()).collect();
        Ok(ScalarValue::Struct(Arc::new(together(&self.fields, arrays?)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.picks.iter().map(|pick| pick.size()).sum::<usize>()
    }
}

/// The four columns as structs, NULL where there is no price.
fn together(fields: &Fields, arrays: Vec<ArrayRef>) -> Result<StructArray> {
    let nulls = arrays.first().and_then(|open| open.logical_nulls());
    Ok(StructArray::try_new(fields.clone(), arrays, nulls)?)
}

struct Groups {
    picks: Vec<Box<dyn GroupsAccumulator>>,
    fields: Fields,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        for (pick, (_, _, by)) in self.picks.iter_mut().zip(FIELDS) {
            let values = inputs(values, by)?;
            pick.update_batch(&values, group_indices, opt_filter, total_num_groups)?;
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        for (pick, state) in self.picks.iter_mut().zip(values.chunks(2)) {
            pick.merge_batch(state, group_indices, total_num_groups)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let arrays: Result<Vec<_>> =
            self.picks.iter_mut().map(|pick| pick.evaluate(emit_to)).collect();
        Ok(Arc::new(together(&self.fields, arrays?)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states: Result<Vec<_>> =
            self.picks.iter_mut().map(|pick| pick.state(emit_to)).collect();
        Ok(states?.into_iter().flatten().collect())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        for (pick, (_, _, by)) in self.picks.iter().zip(FIELDS) {
            states.extend(pick.convert_to_state(&inputs(values, by)?, opt_filter)?);
        }
        Ok(states)
    }

    fn size(&self) -> usize {
        self.picks.iter().map(|pick| pick.size()).sum()
    }
}
