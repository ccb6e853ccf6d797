//! What quickstart prints: what was killed and what is there; then answers of the server in SQL, each with the command
//! that gives it.

use std::fmt::Write as _;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::read::ScanRequest;
use chronolith_engine::{Db, Options};
use chronolith_query::format::{AnswerWriter, Format};
use chronolith_query::written_name;

use super::super::bars::VolumeKind;
use super::super::import::{count, seconds};
use super::super::place::{Place, Remote};
use super::super::{CtlError, CtlResult, print};
use super::server::Server;
use super::witness::Witnessed;

/// Bars, and series, that are shown.
const ROWS_SHOWN: usize = 8;

/// What is shown of a table.
pub(super) struct Columns {
    pub(super) table: String,
    pub(super) price: String,
    pub(super) volume: Option<(String, VolumeKind)>,
}

/// Tells of the kill; gives the rows that were acknowledged in a second.
pub(super) fn killed(rows: u64, what: &str, witnessed: &Witnessed) -> CtlResult<f64> {
    let seconds = seconds(witnessed.writing_ns).max(1e-9);
    let moment = if witnessed.was_writing { "in the middle of" } else { "right after" };
    let rate = count(rows) / seconds;
    print(&format!(
        "3. killed it (SIGKILL) {moment} writing, {seconds:.1} s after it began: {rows} rows in {what} \
         were acknowledged, {rate:.0} rows/s\n"
    ))?;
    Ok(rate)
}

/// Opens the database again, and measures that.
///
/// # Errors
/// The engine's.
pub(super) fn reopen(dir: &Path) -> CtlResult<(Db, i64)> {
    let clock = SystemClock::default();
    let start = clock.monotonic_ns();
    let db = Db::open(Options::new(dir).existing())?;
    Ok((db, clock.monotonic_ns() - start))
}

/// Tells that nothing is lost.
pub(super) fn intact(rows: u64, found: u64, open_ns: i64, more: &str) -> CtlResult<()> {
    print(&format!(
        "4. opened it again in {:.3} s: all {rows} acknowledged rows are there, compared one by one, {more} ({} more \
         were kept, though their acknowledgement was not heard)\n",
        seconds(open_ns),
        found.saturating_sub(rows)
    ))
}

/// The commands that a user would type for what is shown.
pub(super) struct Commands {
    program: String,
    data: String,
}

impl Commands {
    /// On the database in `dir`.
    pub(super) fn on(dir: &Path) -> Self {
        let program = std::env::args().next().unwrap_or_else(|| "chronolith".to_owned());
        Self { program: shell(&program), data: shell(&dir.display().to_string()) }
    }

    /// A line to copy: `command` with the database's directory.
    pub(super) fn line(&self, command: &str) -> String {
        format!("   $ {} {command} --data {}\n", self.program, self.data)
    }

    fn sql(&self, statement: &str) -> String {
        format!("   $ {} sql --data {} {}\n", self.program, self.data, shell(statement))
    }
}

/// `text` as one word of a shell.
fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else if text.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", text.replace('\'', "'\\''"))
    } else {
        format!("\"{text}\"")
    }
}

/// A question to the server: prints the command and the answer.
fn ask(remote: &Remote, commands: &Commands, statement: &str) -> CtlResult<()> {
    let answer = remote.sql(statement, "UTC")?;
    let failed = |error| CtlError::sql(error, "");
    let mut out = Vec::new();
    let mut writer =
        AnswerWriter::new(Format::Table, &mut out, &answer.schema, ROWS_SHOWN).map_err(failed)?;
    for batch in answer.batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    print(&format!("{}\n{}", commands.sql(statement), String::from_utf8_lossy(&out)))
}

/// How many rows the server says a table has.
///
/// # Errors
/// The client's.
pub(super) fn row_count(server: &Server, table: &str) -> CtlResult<u64> {
    let remote = Remote::connect(&server.url)?;
    let statement = format!("SELECT count(*) AS n FROM {}", written_name(table));
    let mut counted = 0;
    for batch in remote.sql(&statement, "UTC")?.batches {
        let batch = batch?;
        let column = batch.column_by_name("n");
        let values = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        counted += values.map_or(0, |values| values.values().iter().sum());
    }
    Ok(u64::try_from(counted).unwrap_or(0))
}

/// Asks the server for bars, latest values and the size on disk, then ends it and tells what to try. The first of these
/// steps is number `step`.
///
/// # Errors
/// The client's; `Failed` where the server does not close.
pub(super) fn results(dir: &Path, server: Server, columns: &Columns, step: u32) -> CtlResult<()> {
    let commands = Commands::on(dir);
    let place = Place::Server(Remote::connect(&server.url)?);
    let remote = Remote::connect(&server.url)?;
    let schema = place.table_schema(&columns.table)?;
    let tags: Vec<String> = schema.tags.iter().map(|tag| written_name(&tag.name)).collect();
    print(&format!(
        "{step}. one-minute bars, in SQL over gRPC (with a server of yours: --url in place of --data)\n"
    ))?;
    ask(&remote, &commands, &bars(&place, columns)?)?;
    print(&format!("\n{}. the latest values\n", step + 1))?;
    ask(&remote, &commands, &latest(columns, &tags))?;
    size(&place, &commands, columns, step + 2)?;
    ask(
        &remote,
        &commands,
        "SELECT table_name, row_count, segment_count, segment_bytes FROM system.tables",
    )?;
    drop((place, remote));
    server.close()?;
    next(&commands, columns, step + 3)
}

/// The last bars of the series that was written last.
fn bars(place: &Place, columns: &Columns) -> CtlResult<String> {
    let schema = place.table_schema(&columns.table)?;
    let request = ScanRequest::new(&columns.table).columns(&[]);
    let mut newest: Option<(i64, Vec<String>)> = None;
    for batch in place.latest(&schema, &request)?.batches {
        let batch = batch?;
        for run in &batch.series {
            let Some(&time) = batch.time().get(run.rows.start) else { continue };
            if newest.as_ref().is_none_or(|(known, _)| time > *known) {
                let tags = 0..schema.tags.len();
                newest = Some((time, tags.map(|at| run.key.tag(at).to_owned()).collect()));
            }
        }
    }
    let mut conditions = String::new();
    for (tag, value) in schema.tags.iter().zip(newest.map_or_else(Vec::new, |(_, tags)| tags)) {
        let word = if conditions.is_empty() { "WHERE" } else { "AND" };
        let name = written_name(&tag.name);
        // Writing to a String does not fail.
        let _ = match value.as_str() {
            "" => write!(conditions, " {word} {name} IS NULL"),
            value => write!(conditions, " {word} {name} = '{}'", value.replace('\'', "''")),
        };
    }
    let (table, price) = (written_name(&columns.table), written_name(&columns.price));
    let (of_volume, volume) = match &columns.volume {
        None => (String::new(), ""),
        Some((name, kind)) => {
            let name = written_name(name);
            let computed = match kind {
                VolumeKind::Trade => format!("sum({name})"),
                VolumeKind::Cumulative => format!("max({name}) - min({name})"),
            };
            (format!(", {computed} AS volume"), ", volume")
        }
    };
    Ok(format!(
        "SELECT minute, (o).open AS open, (o).high AS high, (o).low AS low, (o).close AS close{volume} \
         FROM (SELECT time_bucket('1 minute', time) AS minute, ohlc({price}, time) AS o{of_volume} \
         FROM {table}{conditions} GROUP BY minute) ORDER BY minute DESC LIMIT {ROWS_SHOWN}"
    ))
}

fn latest(columns: &Columns, tags: &[String]) -> String {
    let list = |more: &str| tags.iter().map(|tag| format!("{tag}{more}")).collect::<String>();
    let fields = std::iter::once(&columns.price).chain(columns.volume.iter().map(|(name, _)| name));
    let fields: Vec<String> = fields
        .map(|name| written_name(name))
        .map(|name| format!("last({name}, time) AS {name}"))
        .collect();
    let by = if tags.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {tags} ORDER BY {tags}", tags = tags.join(", "))
    };
    format!(
        "SELECT {}max(time) AS time, {} FROM {}{by}",
        list(", "),
        fields.join(", "),
        written_name(&columns.table)
    )
}

fn size(place: &Place, commands: &Commands, columns: &Columns, step: u32) -> CtlResult<()> {
    let clock = SystemClock::default();
    let start = clock.monotonic_ns();
    place.compact()?;
    let spent = clock.monotonic_ns() - start;
    let stats = place.stats()?;
    let table = stats.tables.iter().find(|table| table.name == columns.table);
    let (rows, bytes) = table.map_or((0, 0), |table| (table.row_count, table.segment_bytes));
    print(&format!(
        "\n{step}. on disk, flushed and compacted in {:.2} s: {rows} rows in {bytes} bytes, {:.2} bytes per row\n{}",
        seconds(spent),
        count(bytes) / count(rows.max(1)),
        commands.line("compact")
    ))
}

fn next(commands: &Commands, columns: &Columns, step: u32) -> CtlResult<()> {
    let volume = match &columns.volume {
        Some((name, VolumeKind::Cumulative)) => {
            format!(" --volume {} --volume-kind cumulative", shell(name))
        }
        Some((name, VolumeKind::Trade)) => format!(" --volume {}", shell(name)),
        None => String::new(),
    };
    let (table, price) = (&columns.table, shell(&columns.price));
    let Commands { program, data } = commands;
    print(&format!(
        "\n{step}. what to try next\n\n  \
         export CHRONOLITH_DATA={data}\n  \
         {program} sql                 (asks for statements; \\? helps)\n  \
         {program} bars --table {table} --every 1h --price {price}{volume}\n  \
         {program} export --table {table} -o {table}.csv\n  \
         {program} verify\n  \
         {program} import --help       (your own CSV files)\n  \
         {program} serve               (gRPC on 127.0.0.1:7401; the same commands with --url http://127.0.0.1:7401)\n\n\
         The database is kept; remove {data} when you are done.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_where_they_must_be() {
        assert_eq!(shell("a/b-1.csv"), "a/b-1.csv");
        assert_eq!(shell("SELECT 'x'"), "\"SELECT 'x'\"");
        assert_eq!(shell("SELECT \"a b\" = '$'"), "'SELECT \"a b\" = '\\''$'\\'''");
        assert_eq!(shell(""), "\"\"");
    }

    #[test]
    fn statements_name_what_the_table_has() {
        let columns = Columns {
            table: "ticks".to_owned(),
            price: "Last Price".to_owned(),
            volume: Some(("size".to_owned(), VolumeKind::Trade)),
        };
        assert_eq!(
            latest(&columns, &["a".to_owned(), "b".to_owned()]),
            "SELECT a, b, max(time) AS time, last(\"Last Price\", time) AS \"Last Price\", \
             last(size, time) AS size FROM ticks GROUP BY a, b ORDER BY a, b"
        );
    }
}
