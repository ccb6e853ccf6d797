//! The arguments of `import`, and what they mean.

use std::path::{Path, PathBuf};

use chronolith_engine::model::MergeMode;
use clap::{Args, ValueEnum};

use super::super::create::{TypedNames, merge_mode};
use super::super::place::PlaceArg;
use super::super::{CtlError, CtlResult};
use super::format::Format;
use crate::text::csv::Delimiter;
use crate::text::infer::{NullWords, TextType, TypeError, parse_typed_names};
use crate::text::time::{TimeSpec, TimeUnit, Zone};

/// The value of a `--tag` that stands for the file's name.
const FILE_NAME_VALUE: &str = "@filename";

/// Import files into a table: CSV, NDJSON, line protocol, Arrow, Parquet
///
/// What a file holds is told by its name: .parquet; .arrow, .arrows, .feather, .ipc; .ndjson, .jsonl, .json; .lp, .line;
/// CSV otherwise, or by --format. All but Parquet may be plain, gzip or Zstandard (.gz, .zst). Every row is checked and
/// every type settled before the first row is committed. A table that is not there is made; it gains columns from later
/// imports. docs/IMPORT.md has each format's rules.
///
/// An import that was interrupted goes on where it was when it is run again, without doubles. A file that was
/// imported already is passed over; --again imports it once more. An interrupted --again goes on likewise: it passes
/// over those of its files that were imported more often than the others.
///
/// Standard input (-) and pipes are read once, as CSV unless --format says otherwise: types come from the first 100,000 rows, an interrupted import
/// cannot be resumed, and the database is made and held from before the first row is read.
#[derive(Debug, Args)]
#[command(
    name = "import",
    after_help = "\
Examples:
  chronolith import --data ./db --table trades --time ts --tags symbol trades.csv
  chronolith import --data ./db --table ticks --time ts:ms --tag symbol=@filename ticks/*.csv.gz
  chronolith import --url http://127.0.0.1:7401 --table bars --time date --tags symbol --merge last_row bars.csv"
)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The table. Line protocol without it: a table for each measurement
    #[arg(long)]
    table: Option<String>,
    /// What the files hold, where their names do not say it
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The column with the time, and how it is written: s, ms, us, ns since 1970, or iso (the default). It is
    /// called `time` from then on. Arrow and Parquet without it: a column of times called time, ts, timestamp,
    /// datetime or date, or the only one
    #[arg(long, value_name = "COLUMN[:UNIT]", value_parser = TimeSpec::parse)]
    time: Option<TimeSpec>,
    /// What the timestamps of line protocol count: ns, us, ms, s
    #[arg(long, value_name = "UNIT", default_value = "ns", value_parser = precision)]
    precision: TimeUnit,
    /// Columns that are tags, whose text is kept as it is
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    tags: Vec<String>,
    /// A tag of every row: a value, or @filename, which is the file's name without .gz, .zst and the
    /// ending of its format, such as .csv
    #[arg(long, value_name = "NAME=VALUE")]
    tag: Vec<String>,
    /// Types of columns, where they are not to be inferred: f64, i64, u64, bool, utf8, timestamp (also
    /// timestamp:ms and so on), decimal(precision,scale). A column that the table has keeps its type; what an
    /// interrupted import may be run again with is another way of reading it (timestamp:s for timestamp:ms), or types
    /// of columns that no committed row has. Rows that are committed stay as they were read: to change them,
    /// drop the table and import again
    #[arg(long, value_name = "COLUMN=TYPE,...", value_parser = typed_columns)]
    types: Option<TypedNames>,
    /// For a new table, what becomes of rows of one series and time: append (the default: all are kept),
    /// last_row (the later one replaces the earlier), last_non_null (the later one replaces the fields that it
    /// carries)
    #[arg(long, value_name = "MODE", value_parser = merge_mode)]
    merge: Option<MergeMode>,
    /// What to do with a row that cannot be taken
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    on_error: OnError,
    /// Import files once more that were imported already
    #[arg(long)]
    again: bool,
    /// Leave the rows in the log at the end, where the next flush finds them: for many small imports in a row, each
    /// of which would make segments of its own
    #[arg(long)]
    no_flush: bool,
    /// The character between fields of CSV; \t is a tabulator
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = Delimiter::parse)]
    delimiter: Delimiter,
    /// The CSV files have no header line; columns are called c1, c2 and so on
    #[arg(long)]
    no_header: bool,
    /// Words that stand for NULL in fields of CSV and NDJSON, besides nothing at all
    #[arg(long, value_name = "WORD,...")]
    null: Option<String>,
    /// The time zone of times without an offset, such as Europe/Berlin
    #[arg(long, alias = "time-zone", default_value = "UTC", value_parser = Zone::parse)]
    zone: Zone,
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Import nothing
    Fail,
    /// Leave it out, count it, and show the first ones
    Skip,
}

fn precision(text: &str) -> Result<TimeUnit, String> {
    TimeUnit::parse(text).ok_or_else(|| format!("{text:?} is no unit; there are ns, us, ms, s"))
}

fn typed_columns(text: &str) -> Result<TypedNames, TypeError> {
    parse_typed_names(text, '=').map(TypedNames)
}

/// The value of a tag that every row of a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConstantValue {
    /// This text.
    Literal(String),
    /// The file's name, see [`crate::text::input::file_tag`].
    FileName,
}

/// What is imported and how.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// None: line protocol says it.
    pub(crate) table: Option<String>,
    /// None: the names say it.
    pub(crate) format: Option<Format>,
    /// None: the files say it.
    pub(crate) time: Option<TimeSpec>,
    /// Of line protocol.
    pub(crate) precision: TimeUnit,
    pub(crate) zone: Zone,
    pub(crate) tag_columns: Vec<String>,
    pub(crate) constants: Vec<(String, ConstantValue)>,
    pub(crate) types: Vec<(String, TextType)>,
    pub(crate) merge: Option<MergeMode>,
    pub(crate) skip: bool,
    pub(crate) again: bool,
    pub(crate) flush: bool,
    pub(crate) delimiter: Delimiter,
    pub(crate) has_header: bool,
    pub(crate) null_text: Option<String>,
    pub(crate) nulls: NullWords,
}

impl Settings {
    /// An import of comma-separated files with a header, times in `time`.
    pub(crate) fn new(table: &str, time: TimeSpec) -> Self {
        Self {
            table: Some(table.to_owned()),
            format: None,
            time: Some(time),
            precision: TimeUnit::Ns,
            zone: Zone::Utc,
            tag_columns: Vec::new(),
            constants: Vec::new(),
            types: Vec::new(),
            merge: None,
            skip: false,
            again: false,
            flush: true,
            delimiter: Delimiter::COMMA,
            has_header: true,
            null_text: None,
            nulls: NullWords::default(),
        }
    }

    /// What a file holds.
    pub(crate) fn format_of(&self, path: &Path) -> Format {
        self.format.unwrap_or_else(|| Format::of(path))
    }

    /// The tags: those of columns, then the constant ones.
    pub(crate) fn tag_names(&self) -> impl Iterator<Item = &str> {
        let constants = self.constants.iter().map(|(name, _)| name);
        self.tag_columns.iter().chain(constants).map(String::as_str)
    }
}

impl ImportArgs {
    /// The database, the files, and the rest.
    ///
    /// # Errors
    /// `Invalid` for arguments that contradict one another.
    pub(super) fn resolve(self) -> CtlResult<(PlaceArg, Vec<PathBuf>, Settings)> {
        let constants: Vec<_> =
            self.tag.iter().map(|text| constant(text)).collect::<CtlResult<_>>()?;
        let settings = Settings {
            table: self.table,
            format: self.format,
            time: self.time,
            precision: self.precision,
            zone: self.zone,
            tag_columns: self.tags,
            constants,
            types: self.types.unwrap_or_default().0,
            merge: self.merge,
            skip: self.on_error == OnError::Skip,
            again: self.again,
            flush: !self.no_flush,
            delimiter: self.delimiter,
            has_header: !self.no_header,
            nulls: self.null.as_deref().map(NullWords::parse).unwrap_or_default(),
            null_text: self.null,
        };
        check(&settings)?;
        check_files(&settings, &self.files)?;
        Ok((self.place, self.files, settings))
    }
}

fn constant(text: &str) -> CtlResult<(String, ConstantValue)> {
    match text.split_once('=') {
        Some((name, FILE_NAME_VALUE)) if !name.is_empty() => {
            Ok((name.to_owned(), ConstantValue::FileName))
        }
        Some((name, value)) if !name.is_empty() => {
            chronolith_engine::model::check_tag_value(value)?;
            Ok((name.to_owned(), ConstantValue::Literal(value.to_owned())))
        }
        _ => Err(CtlError::Invalid(format!("--tag {text:?} is not NAME=VALUE"))),
    }
}

fn check(settings: &Settings) -> CtlResult<()> {
    let mut names: Vec<&str> = settings.tag_names().collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(CtlError::Invalid(format!("tag {twice:?} is given twice")));
    }
    let time = settings.time.as_ref().map(|spec| spec.column.as_str());
    if let Some(tag) = settings.tag_columns.iter().find(|tag| Some(tag.as_str()) == time) {
        return Err(CtlError::Invalid(format!(
            "column {tag:?} is the time, it cannot be a tag too"
        )));
    }
    for (name, _) in &settings.types {
        if Some(name.as_str()) == time {
            return Err(CtlError::Invalid(format!(
                "column {name:?} is the time, which has no type to choose; its unit is given as --time {name}:UNIT"
            )));
        }
        if settings.tag_columns.contains(name) {
            return Err(CtlError::Invalid(format!(
                "column {name:?} is a tag, whose text is kept as it is; --types cannot name it"
            )));
        }
    }
    Ok(())
}

/// Refuses options that no file has a use for, and a missing one that some file needs.
fn check_files(settings: &Settings, files: &[PathBuf]) -> CtlResult<()> {
    let formats: Vec<Format> = files.iter().map(|path| settings.format_of(path)).collect();
    let any = |of: &dyn Fn(Format) -> bool| formats.iter().any(|format| of(*format));
    let is_csv = |format| format == Format::Csv;
    let is_line = |format| format == Format::Line;
    let invalid = |text: &str| Err(CtlError::Invalid(text.to_owned()));
    if settings.table.is_none() && any(&|format| !is_line(format)) {
        return invalid("which table? --table NAME; only line protocol names its tables itself");
    }
    if settings.time.is_none() && any(&Format::has_words) {
        return invalid(
            "which column is the time? --time COLUMN, or COLUMN:s, ms, us, ns for numbers",
        );
    }
    if settings.time.is_some() && !any(&|format| !is_line(format)) {
        return invalid(
            "line protocol has its times at the end of each line: --precision says their unit, not --time",
        );
    }
    if !settings.tag_columns.is_empty() && any(&is_line) {
        return invalid(
            "line protocol says itself what is a tag: --tags is for other formats; --tag NAME=VALUE adds one",
        );
    }
    if settings.precision != TimeUnit::Ns && !any(&is_line) {
        return invalid(
            "--precision is for line protocol; --time COLUMN:UNIT says the unit of others",
        );
    }
    if settings.delimiter != Delimiter::COMMA && !any(&is_csv) {
        return invalid("--delimiter is for CSV, which none of the files is");
    }
    if !settings.has_header && !any(&is_csv) {
        return invalid("--no-header is for CSV, which none of the files is");
    }
    if settings.null_text.is_some() && !any(&Format::has_words) {
        return invalid(
            "--null is for CSV and NDJSON, which none of the files is: NULL is NULL there",
        );
    }
    Ok(())
}
