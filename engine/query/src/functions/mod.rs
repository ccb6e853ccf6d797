//! The functions that users of time series expect, and the template of every statement's state: functions, rules, options.

use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
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
    // Places in the text are part of errors.
    config.options_mut().sql_parser.collect_spans = true;
    let tables = SessionStateDefaults::default_table_functions().into_iter();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_functions(tables.map(|one| (one.name().to_owned(), one)).collect());
    Ok(state.build())
}
