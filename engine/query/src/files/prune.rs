//! Which row groups of a Parquet file can hold rows of a condition, by their least and greatest values. Not by those of floats: statistics
//! leave NaN out, which conditions here do not.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

/// Whether the condition is about columns alone whose statistics can be believed.
pub(super) fn narrows(schema: &SchemaRef, filter: &Expr) -> bool {
    let is_ordered = |column: &&Column| {
        let field = schema.field_with_name(column.name());
        field.is_ok_and(|field| is_ordered(field.data_type()))
    };
    !filter.is_volatile() && filter.column_refs().iter().all(is_ordered)
}

fn is_ordered(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64 | DataType::UInt64 | DataType::Timestamp(..) | DataType::Utf8View
    )
}

/// A condition.
#[derive(Debug)]
pub(super) struct Pruning {
    schema: SchemaRef,
    predicate: PruningPredicate,
}

impl Pruning {
    /// None where nothing can be told from the filters.
    pub(super) fn of(schema: &SchemaRef, filters: &[Expr], state: &dyn Session) -> Option<Self> {
        let whole = conjunction(filters.iter().cloned())?;
        let columns = DFSchema::try_from(Arc::clone(schema)).ok()?;
        let whole = state.create_physical_expr(whole, &columns).ok()?;
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        let predicate = builder.try_build(whole).ok()?;
        Some(Self { schema: Arc::clone(schema), predicate })
    }

    /// The row groups to read; none: all.
    pub(super) fn groups(
        &self,
        builder: &ParquetRecordBatchReaderBuilder<File>,
    ) -> Option<Vec<usize>> {
        let metadata = builder.metadata();
        let statistics = Groups {
            schema: &self.schema,
            count: metadata.num_row_groups(),
            converter: &|name| {
                StatisticsConverter::try_new(name, builder.schema(), builder.parquet_schema()).ok()
            },
            groups: metadata.row_groups(),
        };
        let kept = self.predicate.prune(&statistics).ok()?;
        let kept = kept.iter().enumerate().filter(|(_, kept)| **kept);
        Some(kept.map(|(group, _)| group).collect())
    }
}

struct Groups<'a> {
    schema: &'a SchemaRef,
    count: usize,
    converter: &'a dyn Fn(&'a str) -> Option<StatisticsConverter<'a>>,
    groups: &'a [datafusion::parquet::file::metadata::RowGroupMetaData],
}

impl Groups<'_> {
    /// The statistics of a column, in the type in which it is given.
    fn values(
        &self,
        column: &Column,
        take: impl FnOnce(&StatisticsConverter<'_>) -> Option<ArrayRef>,
    ) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        if !is_ordered(field.data_type()) {
            return None;
        }
        let values = take(&(self.converter)(field.name())?)?;
        cast(&values, field.data_type()).ok()
    }
}

impl PruningStatistics for Groups<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |converter| converter.row_group_mins(self.groups).ok())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |converter| converter.row_group_maxes(self.groups).ok())
    }

    fn num_containers(&self) -> usize {
        self.count
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        let counts = (self.converter)(field.name())?.row_group_null_counts(self.groups).ok()?;
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.groups.iter().map(|group| u64::try_from(group.num_rows()).ok());
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(
        &self,
        _column: &Column,
        _values: &std::collections::HashSet<datafusion::common::ScalarValue>,
    ) -> Option<arrow::array::BooleanArray> {
        None
    }
}
