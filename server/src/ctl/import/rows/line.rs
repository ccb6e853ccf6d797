//! Line protocol: a measurement is a table; its first column is the time, then tags and fields as they are met. A
//! field has the type that its first value has.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use super::super::super::CtlResult;
use super::super::cell::{Cell, Row};
use super::super::refusals::Refusal;
use super::{Opening, Role, RowSource, SourceColumn, SourceTable};
use crate::text::infer::{TextType, Value};
use crate::text::line_protocol::{FieldValue, Point};
use crate::text::lines::LineReader;
use crate::text::shown;
use crate::text::time::{TimeUnit, parse_unix};

/// The column of the time.
const TIME: &str = "time";
/// Most measurements of one file.
const TABLE_COUNT_MAX: usize = 1_000;
/// Most columns of one measurement.
const COLUMN_COUNT_MAX: usize = 4_160;

/// The source rows of a file.
pub(super) struct LineRows<R> {
    lines: LineReader<R>,
    point: Point,
    row: LineRow,
    tables: Vec<SourceTable>,
    numbers: HashMap<String, usize>,
    /// For each table the positions of its columns.
    positions: Vec<HashMap<String, usize>>,
    precision: TimeUnit,
    /// All rows go to the table that was named, so there can be one measurement only.
    is_one_table: bool,
    is_settled: bool,
    count: u64,
}

/// One line.
#[derive(Default)]
pub(super) struct LineRow {
    number: u64,
    table: usize,
    cells: Vec<Held>,
    text: String,
}

#[derive(Clone)]
enum Held {
    Nothing,
    Text(Range<usize>),
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Time(i64),
}

impl<R: Read> LineRows<R> {
    pub(super) fn open(source: R, opening: &Opening<'_>) -> Self {
        let tables = opening.known.to_vec();
        let positions = |table: &SourceTable| {
            let columns = table.columns.iter().enumerate();
            columns.map(|(at, column)| (column.name.clone(), at)).collect()
        };
        let names = tables.iter().enumerate();
        Self {
            lines: LineReader::new(source, opening.name),
            point: Point::new(),
            row: LineRow::default(),
            numbers: names
                .map(|(at, table)| (table.name.clone().unwrap_or_default(), at))
                .collect(),
            positions: tables.iter().map(positions).collect(),
            tables,
            precision: opening.settings.precision,
            is_one_table: opening.settings.table.is_some(),
            is_settled: opening.is_settled,
            count: 0,
        }
    }

    fn place(&mut self) -> Result<(), String> {
        let time = self.point.timestamp().ok_or_else(|| {
            "the line has no timestamp; an import that is run again must give the same rows, so \
             write one to each line"
                .to_owned()
        })?;
        let time = time_ns(time, self.precision)?;
        let table = self.table()?;
        let row = &mut self.row;
        row.table = table;
        row.text.clear();
        row.cells.clear();
        let (Some(columns), Some(positions)) =
            (self.tables.get_mut(table), self.positions.get_mut(table))
        else {
            return Err("a measurement is lost".to_owned());
        };
        let columns = &mut columns.columns;
        row.cells.resize(columns.len(), Held::Nothing);
        let tags = self.point.tags().map(|(key, value)| (key, None, FieldValue::Text(value)));
        let fields = self.point.fields().map(|(key, value)| (key, Some(type_of(value)), value));
        for (key, field_type, value) in tags.chain(fields) {
            let role = field_type.map_or(Role::Tag, Role::Typed);
            let at = match positions.get(key) {
                Some(at) => *at,
                None => {
                    let shown = shown(key.as_bytes());
                    if self.is_settled {
                        return Err(format!(
                            "{shown:?} is in none of the first rows, from which columns are found; a file is read \
                             twice, so that it may have them anywhere"
                        ));
                    }
                    if columns.len() >= COLUMN_COUNT_MAX {
                        return Err(format!("{shown:?} is one over {COLUMN_COUNT_MAX} columns"));
                    }
                    positions.insert(key.to_owned(), columns.len());
                    columns.push(SourceColumn { name: key.to_owned(), role, is_met: true });
                    row.cells.push(Held::Nothing);
                    columns.len() - 1
                }
            };
            check_role(key, role, columns.get(at).map_or(Role::Time, |column| column.role))?;
            let held = row.hold(value);
            if let Some(cell) = row.cells.get_mut(at) {
                *cell = held;
            }
        }
        if let Some(cell) = row.cells.first_mut() {
            *cell = Held::Time(time);
        }
        Ok(())
    }

    /// The number of the line's table.
    fn table(&mut self) -> Result<usize, String> {
        let name = self.point.measurement();
        // Lines of one measurement tend to follow one another.
        let last = self.tables.get(self.row.table);
        if last.is_some_and(|table| table.name.as_deref() == Some(name)) {
            return Ok(self.row.table);
        }
        if let Some(at) = self.numbers.get(name) {
            return Ok(*at);
        }
        let shown = shown(name.as_bytes());
        if self.is_settled {
            return Err(format!(
                "measurement {shown:?} is in none of the first rows, from which tables are found; a file is read \
                 twice, so that it may have them anywhere"
            ));
        }
        if let Some(first) = self.tables.first().filter(|_| self.is_one_table) {
            return Err(format!(
                "measurement {shown:?} is another one than {:?}, and --table names one table for all: leave it \
                 out, and each measurement is a table",
                first.name.as_deref().unwrap_or_default()
            ));
        }
        if self.tables.len() >= TABLE_COUNT_MAX {
            return Err(format!("measurement {shown:?} is one over {TABLE_COUNT_MAX} of the file"));
        }
        let at = self.tables.len();
        let time = SourceColumn { name: TIME.to_owned(), role: Role::Time, is_met: true };
        self.tables.push(SourceTable { name: Some(name.to_owned()), columns: vec![time] });
        self.numbers.insert(name.to_owned(), at);
        self.positions.push(HashMap::from([(TIME.to_owned(), 0)]));
        Ok(at)
    }
}

/// Refuses what is a tag on one line and a field on another.
fn check_role(key: &str, here: Role, first: Role) -> Result<(), String> {
    let what = match (here, first) {
        (_, Role::Time) => "is the name of the time, which no tag or field can have; rename it",
        (Role::Tag, Role::Typed(_)) => "is a tag here and a field where it is first",
        (Role::Typed(_), Role::Tag) => "is a field here and a tag where it is first",
        _ => return Ok(()),
    };
    Err(format!("{:?} {what}", shown(key.as_bytes())))
}

fn type_of(value: FieldValue<'_>) -> TextType {
    match value {
        FieldValue::F64(_) => TextType::F64,
        FieldValue::I64(_) => TextType::I64,
        FieldValue::U64(_) => TextType::U64,
        FieldValue::Bool(_) => TextType::Bool,
        FieldValue::Text(_) => TextType::Utf8,
    }
}

/// An integer of `precision` as nanoseconds.
fn time_ns(text: &str, precision: TimeUnit) -> Result<i64, String> {
    if text.contains('.') {
        return Err(format!("the timestamp {:?} is no integer", shown(text.as_bytes())));
    }
    parse_unix(text.as_bytes(), precision).map_err(|error| {
        format!("{error}; timestamps are read as {precision}, --precision says otherwise")
    })
}

impl LineRow {
    fn hold(&mut self, value: FieldValue<'_>) -> Held {
        match value {
            FieldValue::F64(value) => Held::F64(value),
            FieldValue::I64(value) => Held::I64(value),
            FieldValue::U64(value) => Held::U64(value),
            FieldValue::Bool(value) => Held::Bool(value),
            FieldValue::Text(text) => {
                let from = self.text.len();
                self.text.push_str(text);
                Held::Text(from..self.text.len())
            }
        }
    }
}

impl<R: Read> RowSource for LineRows<R> {
    type Row = LineRow;

    fn tables(&self) -> &[SourceTable] {
        &self.tables
    }

    fn advance(&mut self) -> CtlResult<Option<Result<(), Refusal>>> {
        loop {
            if !self.lines.advance()? {
                return Ok(None);
            }
            if !Point::is_nothing(self.lines.line()) {
                break;
            }
        }
        self.count += 1;
        self.row.number = self.lines.number();
        let read = self.point.read(self.lines.line()).map_err(|error| error.to_string());
        let placed = read.and_then(|()| self.place());
        let number = self.row.number;
        Ok(Some(placed.map_err(|why| Refusal::at(self.lines.name(), "line", number, why))))
    }

    fn row(&self) -> &LineRow {
        &self.row
    }

    fn count(&self) -> u64 {
        self.count
    }
}

impl Row for LineRow {
    fn table(&self) -> usize {
        self.table
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn cell(&self, at: usize) -> Cell<'_> {
        match self.cells.get(at) {
            None | Some(Held::Nothing) => Cell::Null,
            Some(Held::Text(range)) => {
                Cell::Value(Value::Utf8(self.text.get(range.clone()).unwrap_or_default()))
            }
            Some(Held::F64(value)) => Cell::Value(Value::F64(*value)),
            Some(Held::I64(value)) => Cell::Value(Value::I64(*value)),
            Some(Held::U64(value)) => Cell::Value(Value::U64(*value)),
            Some(Held::Bool(value)) => Cell::Value(Value::Bool(*value)),
            Some(Held::Time(ns)) => Cell::Value(Value::Timestamp(*ns)),
        }
    }

    fn text_bytes(&self) -> usize {
        self.text.len()
    }
}
