//! Reading: bind a request, prune, join, resolve, filter, and give batches of columns. The path: plan, scan, source, merge, batch.

mod aggregate;
mod batch;
mod filter;
mod latest;
mod memory;
mod part;
mod plan;
mod scan;
mod series;
mod source;
#[cfg(test)]
mod tests;

pub use aggregate::{AggregateBatch, AggregateFunction, AggregateRequest, Aggregation, Bucket};
pub use batch::{ScanBatch, SeriesRun};
pub use filter::{BoundFilter, compare_f64};
pub use part::{ScanPart, ScanStats};
pub use plan::{ScanPlan, ScanRequest, bind_tags};
pub use scan::Scan;
