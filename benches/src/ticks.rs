//! Ticks: rows of several symbols in turn, for the engine, as packed columns, or as Arrow.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use arrow::array::{DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::Int32Type;
use arrow::error::Result as ArrowResult;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use chronolith_client::v1::{
    ArrowRows, PackedField, PackedRows, PackedTag, TableOptions, TableRows, packed_field,
    table_rows,
};
use chronolith_engine::model::{
    self, Batch, Column, ColumnData, FieldColumn, FieldType, TagColumn, TagValues,
};

/// The first tick's time, in nanoseconds.
pub const START_NS: i64 = 1_700_000_000_000_000_000;
/// Nanoseconds from a tick to the next.
pub const STEP_NS: i64 = 1_000_000;

/// The name of a symbol.
#[must_use]
pub fn symbol(at: usize) -> String {
    format!("SYM{at:06}")
}

/// Ticks `first..first + count`: tick `n` is of symbol `offset + n % symbol_count`, at the `n`-th millisecond.
pub struct Ticks {
    /// The table.
    pub table: &'static str,
    /// The first symbol.
    pub offset: usize,
    /// How many symbols take turns.
    pub symbol_count: usize,
}

impl Ticks {
    fn values(&self) -> Vec<String> {
        (self.offset..self.offset + self.symbol_count).map(symbol).collect()
    }

    fn time(first: i64, count: i64) -> Vec<i64> {
        (first..first + count).map(|tick| START_NS + tick * STEP_NS).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "prices are small")]
    fn price(first: i64, count: i64) -> Vec<f64> {
        (first..first + count).map(|tick| (tick * 7 % 100_000) as f64 / 100.0).collect()
    }

    fn size(first: i64, count: i64) -> Vec<i64> {
        (first..first + count).map(|tick| tick % 97 * 10).collect()
    }

    fn symbol_numbers(&self, first: i64, count: i64) -> impl Iterator<Item = i64> {
        let symbols = i64::try_from(self.symbol_count).unwrap_or(1);
        (first..first + count).map(move |tick| tick % symbols)
    }

    fn rows(&self, rows: table_rows::Rows) -> TableRows {
        let options = TableOptions { tags: vec!["symbol".into()], ..TableOptions::default() };
        TableRows { table: self.table.into(), create_if_missing: Some(options), rows: Some(rows) }
    }

    /// As a batch of the engine's.
    #[must_use]
    pub fn batch(&self, first: i64, count: i64) -> Batch {
        let codes = self.symbol_numbers(first, count);
        let tag = TagValues::Dictionary {
            codes: codes.filter_map(|code| u32::try_from(code).ok()).collect(),
            values: self.values(),
        };
        let field = |name: &str, field_type, data| FieldColumn {
            name: name.into(),
            field_type,
            column: Column::new(data, None),
        };
        let options =
            model::TableOptions { tags: vec!["symbol".into()], ..model::TableOptions::default() };
        Batch::new().with(model::TableRows {
            table: self.table.into(),
            create_if_missing: Some(options),
            time: Self::time(first, count),
            tags: vec![TagColumn { name: "symbol".into(), values: tag }],
            fields: vec![
                field("price", FieldType::F64, ColumnData::F64(Self::price(first, count))),
                field("size", FieldType::I64, ColumnData::I64(Self::size(first, count))),
            ],
        })
    }

    /// As packed columns.
    #[must_use]
    pub fn packed(&self, first: i64, count: i64) -> TableRows {
        let codes = self.symbol_numbers(first, count);
        let tag = PackedTag {
            name: "symbol".into(),
            values: self.values(),
            codes: codes.filter_map(|code| u32::try_from(code).ok()).collect(),
        };
        let field = |name: &str, values| PackedField {
            name: name.into(),
            values: Some(values),
            ..PackedField::default()
        };
        let price = packed_field::F64 { values: Self::price(first, count) };
        let size = packed_field::I64 { values: Self::size(first, count) };
        self.rows(table_rows::Rows::Packed(PackedRows {
            time: Self::time(first, count),
            tags: vec![tag],
            fields: vec![
                field("price", packed_field::Values::F64(price)),
                field("size", packed_field::Values::I64(size)),
            ],
        }))
    }

    /// As bytes of Arrow's IPC stream format.
    ///
    /// # Errors
    /// Arrow's.
    pub fn arrow(&self, first: i64, count: i64) -> ArrowResult<TableRows> {
        let codes = self.symbol_numbers(first, count).filter_map(|code| i32::try_from(code).ok());
        let symbols = DictionaryArray::<Int32Type>::try_new(
            Int32Array::from_iter_values(codes),
            Arc::new(StringArray::from(self.values())),
        )?;
        let columns: [(&str, ArrayRef); 4] = [
            ("time", Arc::new(TimestampNanosecondArray::from(Self::time(first, count)))),
            ("symbol", Arc::new(symbols)),
            ("price", Arc::new(Float64Array::from(Self::price(first, count)))),
            ("size", Arc::new(Int64Array::from(Self::size(first, count)))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(&batch)?;
        writer.finish()?;
        let ipc = writer.into_inner()?.into();
        Ok(self.rows(table_rows::Rows::Arrow(ArrowRows { ipc, ..ArrowRows::default() })))
    }
}
