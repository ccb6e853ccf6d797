//! The functions that users of time series expect, and the template of every statement's state: functions, rules, options.

mod extreme;
mod groups;
mod keys;
mod ohlc;
mod pick;
mod sum;
mod time_bucket;

use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionConfig;

use crate::catalog::{CATALOG, PUBLIC};
use crate::error::Result;
use crate::session::SqlOptions;

/// What a statement's state begins as. DataFusion's own functions are all there but those that read files; ours stand beside them, or in
/// their place where theirs answer otherwise than docs/decisions/0009-floats.md says or wrap an integer.
pub(crate) fn template(options: &SqlOptions) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions)
        .with_batch_size(options.batch_rows)
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    // A scan is in parts already, and dealing batches out would part rows of one time that must stay in commit order.
    config.options_mut().optimizer.enable_round_robin_repartition = false;
    // For the same reason, and because sums are exact: every row passes its part's partial aggregate.
    config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 2.0;
    // Places in the text are part of errors.
    config.options_mut().sql_parser.collect_spans = true;
    let tables = SessionStateDefaults::default_table_functions().into_iter();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(scalar_functions())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_functions(tables.map(|one| (one.name().to_owned(), one)).collect());
    Ok(state.build())
}

/// The names of all functions that a statement may call, sorted.
///
/// # Errors
/// `Internal`: a bug of ours.
pub fn names() -> Result<Vec<String>> {
    let state = template(&SqlOptions::default())?;
    let mut names: Vec<String> = state.scalar_functions().keys().cloned().collect();
    names.extend(state.aggregate_functions().keys().cloned());
    names.extend(state.window_functions().keys().cloned());
    names.extend(state.table_functions().keys().cloned());
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.push(Arc::new(ScalarUDF::from(time_bucket::TimeBucket::new())));
    functions
}

/// Theirs, with ours in place of those of the same name.
fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut ours: Vec<AggregateUDF> = pick::Pick::ALL
        .into_iter()
        .map(|one| AggregateUDF::from(pick::PickFunction::new(one)))
        .collect();
    ours.push(AggregateUDF::from(ohlc::Ohlc::new()));
    ours.push(AggregateUDF::from(sum::Sum::new()));
    ours.push(AggregateUDF::from(extreme::Extreme::new(min_udaf(), true)));
    ours.push(AggregateUDF::from(extreme::Extreme::new(max_udaf(), false)));
    let mut functions = SessionStateDefaults::default_aggregate_functions();
    functions.retain(|theirs| ours.iter().all(|one| one.name() != theirs.name()));
    functions.extend(ours.into_iter().map(Arc::new));
    functions
}
