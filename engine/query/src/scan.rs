//! A scan of an engine table as a DataFusion source: its order, its statistics, its counters, and the stream that decodes.
//!
//! The stream decodes where it is polled: on a thread of the query runtime, which does no network I/O, so that a batch is consumed by the
//! core that decoded it. Before each batch it asks the statement's switch.
//!
//! Fused operators (an aggregate or a last row computed while decoding) will come as a physical optimizer rule that puts a node of ours in
//! place of an Aggregate over `DataSourceExec`: it finds [`EngineSource`] by downcast and takes [`EngineSource::spec`], which has all it needs.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::datatypes::{Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use chronolith_engine::model::TableSchema;
use chronolith_engine::read::{Scan, ScanRequest, ScanStats};
use chronolith_engine::snapshot::Snapshot;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::source::DataSource;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{
    AcrossPartitions, ConstExpr, EquivalenceProperties, Partitioning, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder,
};
use futures::Stream;

use crate::control::Control;
use crate::convert::{Output, to_record_batch};
use crate::error::SqlError;
use crate::partition::{Extent, Part, Sources};
use crate::pushdown::Pushed;

/// What a scan reads, of which moment.
#[derive(Clone)]
pub(crate) struct ScanSpec {
    pub(crate) snapshot: Snapshot,
    pub(crate) table: Arc<TableSchema>,
    pub(crate) pushed: Pushed,
    /// The columns that are given, in this order. `Output::Field` counts the table's fields.
    pub(crate) outputs: Vec<Output>,
    /// Their schema.
    pub(crate) schema: SchemaRef,
    pub(crate) control: Arc<Control>,
}

/// The source in `DataSourceExec`.
#[derive(Clone)]
pub(crate) struct EngineSource {
    spec: ScanSpec,
    parts: Arc<[Part]>,
    extent: Extent,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for EngineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineSource of {:?}: {}", self.spec.table.name, self.spec.pushed)
    }
}

impl EngineSource {
    /// A source in as many parts as the session wants.
    pub(crate) fn new(
        mut spec: ScanSpec,
        fetch: Option<usize>,
        state: &dyn Session,
    ) -> std::result::Result<Self, SqlError> {
        // Before anything is answered from statistics.
        spec.snapshot.check_kept(&spec.table)?;
        let sources = Sources::new(&spec.snapshot, &spec.table, &spec.pushed);
        spec.schema = narrowed(&spec, &sources.absent_tags(&spec.pushed)?);
        let config = state.config();
        // A limit within one batch is reached before a second thread has begun.
        let small = fetch.is_some_and(|rows| rows <= config.batch_size());
        let count = if small { 1 } else { config.target_partitions() };
        Ok(Self {
            parts: sources.split(&spec.pushed, count)?.into(),
            extent: sources.extent(&spec.pushed),
            fetch,
            metrics: ExecutionPlanMetricsSet::new(),
            spec,
        })
    }

    /// What is read.
    #[expect(dead_code, reason = "the seam for fused operators")]
    pub(crate) fn spec(&self) -> &ScanSpec {
        &self.spec
    }

    fn position(&self, output: Output) -> Option<usize> {
        self.spec.outputs.iter().position(|one| *one == output)
    }

    fn column(&self, output: Output) -> Option<Arc<dyn PhysicalExpr>> {
        let at = self.position(output)?;
        let name = self.spec.schema.fields().get(at)?.name();
        Some(Arc::new(Column::new(name, at)))
    }

    /// The order that holds, as far as the columns are given: tags in sort order, then time, then commits, whose counter never
    /// begins anew. Absent tags come first.
    fn ordering(&self) -> Vec<PhysicalSortExpr> {
        let mut ordering = Vec::new();
        let tags = self.spec.table.tags.iter().enumerate();
        for (position, tag) in tags {
            if self.spec.pushed.fixes_tag(&tag.name) {
                continue;
            }
            let Some(expr) = self.column(Output::Tag(position)) else { return ordering };
            ordering.push(PhysicalSortExpr::new_default(expr).asc().nulls_first());
        }
        for output in [Output::Time, Output::Sequence] {
            let Some(expr) = self.column(output) else { return ordering };
            ordering.push(PhysicalSortExpr::new_default(expr).asc());
        }
        ordering
    }

    fn constants(&self) -> Vec<ConstExpr> {
        let tags = self.spec.table.tags.iter().enumerate();
        let fixed = tags.filter(|(_, tag)| self.spec.pushed.fixes_tag(&tag.name));
        let columns = fixed.filter_map(|(position, _)| self.column(Output::Tag(position)));
        columns.map(|column| ConstExpr::new(column, AcrossPartitions::Uniform(None))).collect()
    }

    fn request(&self, part: &Part) -> (ScanRequest, Vec<Output>) {
        let fields = &self.spec.table.fields;
        let mut columns: Vec<String> = Vec::new();
        let mut with_sequence = false;
        let outputs = self.spec.outputs.iter().map(|output| match *output {
            Output::Field(at) => {
                columns.extend(fields.get(at).map(|field| field.name.clone()));
                Output::Field(columns.len().saturating_sub(1))
            }
            Output::Sequence => {
                with_sequence = true;
                Output::Sequence
            }
            other => other,
        });
        let outputs = outputs.collect();
        let request = ScanRequest {
            table: self.spec.table.name.clone(),
            predicate: self.spec.pushed.predicate.clone(),
            range: part.range,
            columns: Some(columns),
            with_sequence,
        };
        (request, outputs)
    }
}

impl DataSource for EngineSource {
    fn open(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(part) = self.parts.get(partition) else {
            return Err(SqlError::internal(format!("the scan has no part {partition}")).into());
        };
        let (request, outputs) = self.request(part);
        let mut series = part.series.clone();
        series.batch_rows = self.fetch;
        let reservation = MemoryConsumer::new(format!("scan of {:?}", self.spec.table.name))
            .register(context.memory_pool());
        Ok(Box::pin(EngineStream {
            scan: None,
            begin: Some((self.spec.snapshot.clone(), request, series)),
            outputs,
            schema: Arc::clone(&self.spec.schema),
            control: Arc::clone(&self.spec.control),
            left: self.fetch,
            reservation,
            baseline: BaselineMetrics::new(&self.metrics, partition),
            counters: Counters::new(&self.metrics, partition),
        }))
    }

    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.spec.schema.fields().iter().map(|field| field.name()).collect();
        write!(f, "table={:?}, columns={names:?}", self.spec.table.name)?;
        let pushed = self.spec.pushed.to_string();
        if !pushed.is_empty() {
            write!(f, ", where=[{pushed}]")?;
        }
        if let Some(fetch) = self.fetch {
            write!(f, ", fetch={fetch}")?;
        }
        write!(f, ", partitions={}", self.parts.len())?;
        let properties = self.eq_properties();
        match properties.output_ordering() {
            Some(ordering) => write!(f, ", output_ordering=[{ordering}]"),
            None => Ok(()),
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.parts.len())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        let orderings = Some(self.ordering()).filter(|ordering| !ordering.is_empty());
        let schema = Arc::clone(&self.spec.schema);
        let mut properties = EquivalenceProperties::new_with_orderings(schema, orderings);
        if let Err(error) = properties.add_constants(self.constants()) {
            tracing::debug!(%error, "constants of a scan are not used");
        }
        properties
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.spec.schema);
        if partition.is_some() && self.parts.len() > 1 {
            return Ok(Arc::new(statistics));
        }
        let rows = usize::try_from(self.extent.row_count).unwrap_or(usize::MAX);
        let is_whole = self.fetch.is_none_or(|fetch| fetch >= rows);
        // Each part gives as many rows as are fetched at most.
        let is_exact = self.extent.is_exact && (is_whole || self.parts.len() == 1);
        let fetched = self.fetch.map_or(rows, |fetch| rows.min(fetch));
        statistics.num_rows = exactly(is_exact, fetched);
        if let (Some((least, greatest)), Some(at)) =
            (self.extent.times, self.position(Output::Time))
            && let Some(column) = statistics.column_statistics.get_mut(at)
        {
            let bound = |time| {
                let value = ScalarValue::TimestampNanosecond(Some(time), Some("UTC".into()));
                exactly(self.extent.is_exact && is_whole, value)
            };
            *column = ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: bound(least),
                max_value: bound(greatest),
                ..ColumnStatistics::new_unknown()
            };
        }
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        let metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(Self { fetch: limit, metrics, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(
        &self,
        _projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}

/// The schema in which a tag that no row lacks is NOT NULL: so it is sorted as `ORDER BY tag` asks for, which has NULLs last.
fn narrowed(spec: &ScanSpec, absent: &[bool]) -> SchemaRef {
    let columns = spec.schema.fields().iter().zip(&spec.outputs);
    let columns = columns.map(|(field, output)| match *output {
        Output::Tag(position) if absent.get(position) == Some(&false) => {
            Arc::new(field.as_ref().clone().with_nullable(false))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(columns.collect::<Fields>()))
}

fn exactly<T>(exact: bool, value: T) -> Precision<T>
where
    T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd,
{
    if exact { Precision::Exact(value) } else { Precision::Inexact(value) }
}

/// What `EXPLAIN ANALYZE` shows of a scan.
struct Counters {
    segments_total: Count,
    segments_pruned: Count,
    segments_read: Count,
    blocks_pruned: Count,
    blocks_read: Count,
    rows_decoded: Count,
    bytes_decoded: Count,
}

impl Counters {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            segments_total: counter("segments_total"),
            segments_pruned: counter("segments_pruned"),
            segments_read: counter("segments_read"),
            blocks_pruned: counter("blocks_pruned"),
            blocks_read: counter("blocks_read"),
            rows_decoded: counter("rows_decoded"),
            bytes_decoded: counter("bytes_decoded"),
        }
    }

    fn set(&self, stats: &ScanStats) {
        let raise = |count: &Count, value: u64| {
            let value = usize::try_from(value).unwrap_or(usize::MAX);
            count.add(value.saturating_sub(count.value()));
        };
        raise(&self.segments_total, stats.segments());
        raise(&self.segments_pruned, stats.segments_pruned());
        raise(&self.segments_read, stats.segments() - stats.segments_pruned());
        raise(&self.blocks_pruned, stats.groups_pruned());
        raise(&self.blocks_read, stats.groups_read());
        raise(&self.rows_decoded, stats.rows_decoded());
        raise(&self.bytes_decoded, stats.bytes_decoded());
    }
}

/// The batches of one part.
struct EngineStream {
    scan: Option<Scan>,
    /// What to open at the first poll; none after it.
    begin: Option<(Snapshot, ScanRequest, chronolith_engine::read::ScanPart)>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    control: Arc<Control>,
    /// Rows that are still wanted; none: all.
    left: Option<usize>,
    reservation: MemoryReservation,
    baseline: BaselineMetrics,
    counters: Counters,
}

impl EngineStream {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        self.control.check()?;
        if self.left == Some(0) {
            return Ok(None);
        }
        if let Some((snapshot, request, part)) = self.begin.take() {
            let scan = snapshot.scan_part(&request, part).map_err(SqlError::from)?;
            self.scan = Some(scan);
        }
        let Some(scan) = &mut self.scan else { return Ok(None) };
        let batch = scan.next();
        self.counters.set(scan.stats());
        let Some(batch) = batch else { return Ok(None) };
        let batch = to_record_batch(batch.map_err(SqlError::from)?, &self.outputs, &self.schema)?;
        self.reservation.try_resize(batch.get_array_memory_size())?;
        let rows = batch.num_rows();
        let Some(left) = self.left else { return Ok(Some(batch)) };
        self.left = Some(left.saturating_sub(rows));
        Ok(Some(if rows > left { batch.slice(0, left) } else { batch }))
    }
}

impl Stream for EngineStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let timer = self.baseline.elapsed_compute().clone();
        let timer = timer.timer();
        let batch = self.next_batch();
        timer.done();
        if !matches!(batch, Ok(Some(_))) {
            self.scan = None;
            self.left = Some(0);
            self.reservation.free();
        }
        self.baseline.record_poll(Poll::Ready(batch.transpose()))
    }
}

impl RecordBatchStream for EngineStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
