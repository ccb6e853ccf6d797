//! `chronolith bars`: open, high, low, close and volume by time bucket.

use std::io::Write;

use chronolith_engine::model::TableSchema;
use chronolith_engine::read::{
    AggregateBatch, AggregateFunction, AggregateRequest, Bucket, ScanRequest,
};
use clap::{Args, ValueEnum};

use super::cells::{self, column_cell, kind_of, out_column, tag_cell};
use super::place::{self, Place, PlaceArg};
use super::select::{ResultArgs, SelectArgs};
use super::{CtlError, CtlResult};
use crate::text::output::Output;
use crate::text::table::{Cell, ColumnKind, OutColumn, RowFormat, RowWriter};
use crate::text::time::parse_every;

/// Show bars: open, high, low, close, volume and count of each series and time bucket
///
/// Buckets are labelled by their left edge in UTC; weeks start on Monday; empty buckets are left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chronolith bars --data ./db --table trades --every 1m --price price --volume size --where symbol=ACME")]
pub(super) struct BarsArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table
    #[arg(long)]
    table: String,
    /// The width of a bar: a count and ns, us, ms, s, m, h, d or w, such as 1m
    #[arg(long, value_name = "WIDTH", value_parser = parse_every)]
    every: i64,
    /// The field with the price
    #[arg(long, value_name = "FIELD")]
    price: String,
    /// The field with the volume
    #[arg(long, value_name = "FIELD")]
    volume: Option<String>,
    /// What the volume is: of each trade, or cumulative: then a bar has the rises since the series' previous
    /// row, and the value itself at the first row and after a fall
    #[arg(long, value_enum, default_value_t = VolumeKind::Trade, requires = "volume")]
    volume_kind: VolumeKind,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    result: ResultArgs,
}

/// What a volume field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum VolumeKind {
    /// The volume of one trade
    Trade,
    /// The volume so far
    Cumulative,
}

/// What bars are made of.
pub(super) struct Bars<'a> {
    pub(super) scan: ScanRequest,
    pub(super) every_ns: i64,
    pub(super) price: &'a str,
    pub(super) volume: Option<(&'a str, VolumeKind)>,
}

pub(super) fn run(args: &BarsArgs) -> CtlResult<()> {
    place::read(&args.place, |db| show(db, args))
}

fn show(db: &Place, args: &BarsArgs) -> CtlResult<()> {
    let scan =
        ScanRequest::new(&args.table).predicate(args.select.predicate()).range(args.select.range());
    let volume = args.volume.as_deref().map(|name| (name, args.volume_kind));
    let bars = Bars { scan, every_ns: args.every, price: &args.price, volume };
    let schema = db.table_schema(&args.table)?;
    args.select.check(&schema)?;
    let computed = db.aggregate(&schema, &bars.request())?;
    write(args.result.file.open()?, args.result.format, &schema, &bars, computed)
}

impl Bars<'_> {
    /// What is to be computed.
    pub(super) fn request(&self) -> AggregateRequest {
        use AggregateFunction as F;
        let of_price = |function| (function, self.price.to_owned());
        let mut functions: Vec<_> = [F::First, F::Max, F::Min, F::Last].map(of_price).into();
        if let Some((name, kind)) = self.volume {
            let function = match kind {
                VolumeKind::Trade => F::Sum,
                VolumeKind::Cumulative => F::SumOfRises,
            };
            functions.push((function, name.to_owned()));
        }
        functions.push(of_price(F::Count));
        let bucket = Some(Bucket::new(self.every_ns));
        AggregateRequest { scan: self.scan.clone(), bucket, functions }
    }
}

/// Writes bars as a result, each batch as it comes.
///
/// # Errors
/// `Write`, `Output`; the engine's.
pub(super) fn write(
    output: Output,
    format: RowFormat,
    schema: &TableSchema,
    bars: &Bars<'_>,
    computed: impl Iterator<Item = CtlResult<AggregateBatch>>,
) -> CtlResult<()> {
    let columns = columns(schema, bars);
    cells::write_rows(output, format, &columns, |rows, name| {
        for batch in computed {
            write_batch(rows, &batch?, name)?;
        }
        Ok(())
    })
}

fn write_batch<W: Write>(
    rows: &mut RowWriter<W>,
    batch: &AggregateBatch,
    name: &str,
) -> CtlResult<()> {
    let failed = |source| CtlError::Write { name: name.to_owned(), source };
    let mut cells = Vec::new();
    for run in &batch.series {
        for bar in run.rows.clone() {
            cells.clear();
            cells.push(Cell::Time(batch.bucket_ns.get(bar).copied().unwrap_or_default()));
            let tags = 0..batch.schema.tags.len();
            cells.extend(tags.map(|position| tag_cell(run.key.tag(position))));
            let columns = batch.values.iter().zip(batch.types.iter());
            cells.extend(columns.map(|(column, of)| column_cell(column, bar, *of)));
            rows.row(&cells).map_err(failed)?;
        }
    }
    Ok(())
}

fn columns(schema: &TableSchema, bars: &Bars<'_>) -> Vec<OutColumn> {
    let kind = |name: &str| schema.field(name).map_or(ColumnKind::Null, |f| kind_of(f.field_type));
    let price = kind(bars.price);
    let mut columns = cells::key_columns(schema);
    columns.extend(["open", "high", "low", "close"].map(|name| out_column(name, price)));
    if let Some((name, _)) = bars.volume {
        columns.push(out_column("volume", kind(name)));
    }
    columns.push(out_column("count", ColumnKind::U64));
    columns
}
