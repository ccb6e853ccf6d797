//! `chronolith load`: the tables of a dump. The path: check (every file is what was written), claim (which tables are there, and how
//! far), then rows, chunk by chunk.
//! Invariant: nothing is written before every file was checked; a chunk is committed with the note of how far its table has
//! come, so that a load goes on where it was interrupted.

mod check;
mod claim;
mod parquet_file;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chronolith_engine::clock::{Clock, SystemClock};
use chronolith_engine::model::{Batch, ImportProgress, Producer, TableSchema};
use chronolith_query::convert::{Mapping, rows_of};
use clap::Args;

use self::check::Dump;
use self::claim::{Claim, State, foreign};
use self::parquet_file::ParquetFile;
use super::dump::piece;
use super::import::{count, seconds};
use super::json::utc;
use super::place::{self, Place, PlaceArg};
use super::{CtlError, CtlResult, print};
use crate::text::progress::{Progress, ProgressUnit};

/// Make the tables of a dump
///
/// Every file is checked before anything is written. A database that has a table of the same name is refused. A load
/// that was interrupted goes on where it was when it is run again; one that is done changes nothing. With --table only
/// the files of these tables are read.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// Only these tables
    #[arg(long = "table", value_name = "A,B")]
    tables: Vec<String>,
    /// What `chronolith dump` wrote
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &LoadArgs) -> CtlResult<()> {
    let clock = SystemClock::default();
    let start_ns = clock.monotonic_ns();
    args.place.target()?;
    let dump = Dump::open(&args.folder, &args.tables)?;
    let db = place::or_create(&args.place)?;
    let find = |table| Claim::find(&db, &dump.hash, table);
    let claims: Vec<Claim<'_>> = dump.tables.iter().map(find).collect::<CtlResult<_>>()?;
    let others = claims.iter().filter(|claim| matches!(claim.state, State::Foreign));
    let mut others = others.map(|claim| claim.table.name.as_str()).peekable();
    if others.peek().is_some() {
        return Err(foreign(others));
    }
    let total = dump.tables.iter().map(|table| table.rows).sum();
    let progress = Progress::on_standard_error("loading", ProgressUnit::Rows, Some(total));
    let (mut rows, mut text) = (0, String::new());
    let mut is_changed = false;
    for claim in &claims {
        let name = claim.table.name.escape_debug();
        if let State::Loaded(done) = &claim.state {
            let at = utc(done.commit_time_ns);
            text.push_str(&format!("{name}: already loaded: {} rows at {at}\n", claim.table.rows));
            progress.add(claim.table.rows);
            continue;
        }
        is_changed = true;
        progress.relabel(&format!("loading {name}"));
        let (schema, before) = claim.begin()?;
        let resumed = match before.mark.row_count {
            0 => String::new(),
            there => format!(", resumed after {there} that were there"),
        };
        progress.add(before.mark.row_count);
        let loaded = load(&db, claim, &schema, before, &progress)?;
        text.push_str(&format!("{name}: {loaded} rows{resumed}\n"));
        rows += loaded;
    }
    progress.finish();
    if is_changed {
        db.flush()?;
    }
    db.close()?;
    let seconds = seconds(clock.monotonic_ns() - start_ns);
    text.push_str(&format!("loaded {rows} rows of {} tables in {seconds:.2} s", claims.len()));
    if rows > 0 && seconds > 0.0 {
        text.push_str(&format!(", {:.0} rows/s", count(rows) / seconds));
    }
    text.push('\n');
    print(&text)
}

/// Writes the rows behind those that are there; gives how many these were.
fn load(
    db: &Place,
    claim: &Claim<'_>,
    schema: &Arc<TableSchema>,
    before: ImportProgress,
    progress: &Progress,
) -> CtlResult<u64> {
    let there = before.mark.row_count;
    let mapping = Mapping::of(schema);
    let mut chunks = Chunks {
        db,
        claim,
        mapping,
        producer: claim.producer(schema.id),
        number: before.chunk,
        rows: there,
    };
    let mut skip = there;
    for (path, rows) in &claim.table.files {
        if skip >= *rows {
            skip -= rows;
            continue;
        }
        for batch in ParquetFile::open(path)?.rows(std::mem::take(&mut skip))? {
            let batch = batch?;
            chunks.write_all(&batch)?;
            progress.add(batch.num_rows() as u64);
        }
    }
    if chunks.rows != claim.table.rows {
        return Err(CtlError::Failed(format!(
            "table {:?}: {} rows were read, and {} were checked: the dump was changed while it was loaded",
            claim.table.name, chunks.rows, claim.table.rows
        )));
    }
    chunks.commit(Batch::default(), 0, true)?;
    Ok(chunks.rows - there)
}

/// The committing of one table's rows.
struct Chunks<'a> {
    db: &'a Place,
    claim: &'a Claim<'a>,
    mapping: Mapping,
    producer: String,
    /// Chunks that are committed.
    number: u64,
    /// Rows that are committed.
    rows: u64,
}

impl Chunks<'_> {
    fn write_all(&mut self, batch: &RecordBatch) -> CtlResult<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let (rows, _) = piece(batch, from);
            from = rows.end;
            let part = batch.slice(rows.start, rows.len());
            let rows = rows_of(&part, &self.mapping).map_err(|error| CtlError::sql(error, ""))?;
            self.commit(Batch::new().with(rows), part.num_rows() as u64, false)?;
        }
        Ok(())
    }

    fn commit(&mut self, mut batch: Batch, rows: u64, finished: bool) -> CtlResult<()> {
        self.number += 1;
        self.rows += rows;
        batch.producer = Some(Producer { id: self.producer.clone(), number: self.number });
        batch.import = Some(self.claim.mark(self.rows, finished));
        // Waits where memory is full.
        self.db.write(batch)
    }
}
