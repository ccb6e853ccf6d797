//! Which columns of a file of ticks are what, by their names and their first rows.

use std::path::Path;

use super::super::bars::VolumeKind;
use super::super::import::{ConstantValue, Settings};
use super::super::{CtlError, CtlResult};
use super::TABLE;
use super::show::Columns;
use crate::text::csv::{CsvReader, Delimiter, Header, Record};
use crate::text::input::Input;
use crate::text::time::{LooksLike, TimeFormat, TimeSpec, looks_like};

const TIME_NAMES: &[&str] = &[
    "time",
    "timestamp",
    "ts",
    "ts_s",
    "ts_ms",
    "ts_us",
    "ts_ns",
    "datetime",
    "date_time",
    "date",
    "local_ns",
    "transact_time",
    "open_time",
    "t",
];
const SYMBOL_NAMES: &[&str] = &["symbol", "ticker", "instrument", "sym"];
const PRICE_NAMES: &[&str] = &["price", "ltp", "last", "last_price", "close", "px", "p", "value"];
const VOLUME_NAMES: &[&str] = &["volume", "vol", "size", "qty", "quantity", "amount", "q"];
/// Rows from which it is judged whether volumes are cumulative.
const VOLUME_ROWS: usize = 1_000;

/// How the files are imported, and what is shown of them, judged by the first file.
///
/// # Errors
/// `Invalid` where no column of time or price is found; those of reading.
pub(super) fn guess(path: &Path) -> CtlResult<(Settings, Columns)> {
    let input = Input::open(path)?;
    let name = input.name().to_owned();
    let mut reader = CsvReader::new(input, &name, Delimiter::COMMA);
    let header = Header::read(&mut reader)?;
    let mut rows = Vec::new();
    let mut record = Record::new();
    while rows.len() < VOLUME_ROWS && reader.read(&mut record)? {
        rows.push(record.clone());
    }
    let find = |names: &[&str]| {
        let is = |known: &str| header.names().iter().position(|n| n.to_lowercase() == known);
        names.iter().find_map(|known| is(known))
    };
    let missing = |what: &str| {
        CtlError::Invalid(format!(
            "{name} has no column that looks like the {what}; there are: {}; `chronolith import` takes any file",
            header.names().join(", ")
        ))
    };
    let column = |at: usize| header.names().get(at).cloned().unwrap_or_default();
    let time = find(TIME_NAMES).ok_or_else(|| missing("time"))?;
    let price = find(PRICE_NAMES).filter(|at| *at != time).ok_or_else(|| missing("price"))?;
    let volume = find(VOLUME_NAMES).filter(|at| *at != time && *at != price);
    let mut settings =
        Settings::new(TABLE, TimeSpec { column: column(time), format: time_format(&rows, time) });
    match find(SYMBOL_NAMES) {
        Some(at) => settings.tag_columns.push(column(at)),
        None => settings.constants.push(("symbol".to_owned(), ConstantValue::FileName)),
    }
    settings.skip = true;
    let volume = volume.map(|at| (column(at), volume_kind(&rows, at)));
    let columns = Columns { table: TABLE.to_owned(), price: column(price), volume };
    Ok((settings, columns))
}

/// The unit that the first rows suggest: the last of them, as some feeds begin with times of zero.
fn time_format(rows: &[Record], at: usize) -> TimeFormat {
    let mut units = rows.iter().rev().filter_map(|row| match looks_like(row.get(at)?.bytes) {
        Some(LooksLike::Unit(unit)) => Some(unit),
        _ => None,
    });
    units.next().map_or(TimeFormat::Iso, TimeFormat::Unix)
}

/// Volumes that hardly ever fall are cumulative.
fn volume_kind(rows: &[Record], at: usize) -> VolumeKind {
    let texts = rows.iter().filter_map(|row| std::str::from_utf8(row.get(at)?.bytes).ok());
    let values: Vec<f64> = texts.filter_map(|text| text.parse().ok()).collect();
    let falls = values.windows(2).filter(|pair| matches!(pair, [a, b] if b < a)).count();
    if values.len() > 10 && falls * 100 < values.len() {
        VolumeKind::Cumulative
    } else {
        VolumeKind::Trade
    }
}
