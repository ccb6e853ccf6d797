//! `chronolith dump`: tables as a folder of SQL and Parquet, all at one moment. The folder is docs/format/dump.md.
//! Invariant: a folder of the name that was asked for is whole; before, it is `FOLDER.partial` (target.rs).

mod files;
mod manifest;
mod pieces;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use chronolith_engine::model::{TableSchema, TimeRange};
use chronolith_query::show_create;
use clap::Args;

#[cfg(feature = "fuzz")]
pub(super) use self::manifest::sealed;
pub(super) use self::manifest::{FileEntry, MANIFEST, Manifest, SCHEMA, TableEntry};
pub(super) use self::pieces::piece;
pub(super) use self::target::{INCOMPLETE, failed, partial};

use self::files::{TableFiles, folder_name};
use self::manifest::{RangeEntry, SnapshotEntry};
use self::target::Target;
use super::place::{self, Moment, Place, PlaceArg};
use super::{CtlError, CtlResult, print};
use crate::text::progress::{Progress, ProgressUnit};
use crate::text::time::parse_bound;

/// Write tables to a folder, as SQL and Parquet
///
/// For the way to another version of the program, and to other programs. All tables show one moment, whatever others
/// write meanwhile. The folder appears when it is whole; `chronolith load` makes the tables of it again. Rows are in
/// the order series, time, commit; of rows that others replaced, the last is written, as reads show it. Numbers of
/// producers, and what was imported, are not written.
#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    place: PlaceArg,
    /// The folder, which must not be there or be empty
    #[arg(short = 'o', long = "output", value_name = "FOLDER")]
    output: PathBuf,
    /// Only these tables
    #[arg(long = "table", value_name = "A,B")]
    tables: Vec<String>,
    /// Only rows from this time on (inclusive): ISO-8601, UTC unless it has an offset
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    from: Option<i64>,
    /// Only rows before this time (exclusive)
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    to: Option<i64>,
    /// Rows of one Parquet file at most; it ends at about 256 MiB before
    #[arg(long, value_name = "COUNT", default_value_t = 4 << 20, value_parser = clap::value_parser!(u64).range(1..))]
    file_rows: u64,
}

/// The names among `known` that were asked for, in the order of `known`; all where nothing was.
///
/// # Errors
/// `NotFound`.
pub(super) fn chosen<'a>(wanted: &[String], known: &[&'a str]) -> CtlResult<Vec<&'a str>> {
    if wanted.is_empty() {
        return Ok(known.to_vec());
    }
    let mut names: Vec<&str> = Vec::new();
    for text in wanted {
        // A name may hold a comma.
        match known.iter().any(|name| name == text) {
            true => names.push(text),
            false => names.extend(text.split(',')),
        }
    }
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(known.iter().copied().filter(|name| names.contains(name)).collect()),
        Some(name) => {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(CtlError::NotFound(format!("unknown table {name:?}; there are: {known}")))
        }
    }
}

pub(super) fn run(args: &DumpArgs) -> CtlResult<()> {
    let place = place::for_reading(&args.place)?;
    if let Place::Here(db) = &place
        && db.recovery().damage.is_some()
    {
        return Err(CtlError::Incomplete);
    }
    let moment = Moment::of(&place)?;
    let names: Vec<&str> = moment.tables.iter().map(|table| table.name.as_str()).collect();
    let names = chosen(&args.tables, &names)?;
    let is_chosen = |table: &&Arc<TableSchema>| names.contains(&table.name.as_str());
    let tables: Vec<_> = moment.tables.iter().filter(is_chosen).collect();
    let target = Target::create(&args.output)?;
    let of_tables =
        place.stats()?.tables.into_iter().filter(|one| names.contains(&one.name.as_str()));
    let total = of_tables.map(|one| one.row_count).sum();
    let progress = Progress::on_standard_error("dumping", ProgressUnit::Rows, Some(total));
    let written = write(args, &moment, &tables, &target, &progress);
    progress.finish();
    let told = match written {
        Ok((manifest, folders)) => target.publish(&folders).map(|()| told(args, &manifest)),
        Err(error) => {
            drop(target);
            Err(error)
        }
    };
    let told = told.map_err(|source| CtlError::Partly {
        source: Box::new(source),
        done: "nothing was dumped, and what was written of it is removed".to_owned(),
    });
    let told = told?;
    target::sync_parent(&args.output)?;
    print(&told)?;
    place.close()
}

/// Writes every file; gives the manifest and the folders of tables.
fn write(
    args: &DumpArgs,
    moment: &Moment<'_>,
    tables: &[&Arc<TableSchema>],
    target: &Target,
    progress: &Progress,
) -> CtlResult<(Manifest, Vec<String>)> {
    let all = TimeRange::ALL;
    let range = TimeRange::new(args.from.unwrap_or(all.from), args.to.unwrap_or(all.to));
    let definitions: String =
        tables.iter().map(|table| format!("{};\n\n", show_create(table))).collect();
    target.write(SCHEMA, definitions.as_bytes())?;
    let schema = FileEntry {
        path: SCHEMA.to_owned(),
        rows: None,
        bytes: definitions.len() as u64,
        blake3: blake3::hash(definitions.as_bytes()).to_hex().to_string(),
    };
    let (mut entries, mut folders) = (Vec::new(), Vec::new());
    for (number, table) in (1..).zip(tables) {
        let folder = folder_name(number, tables.len(), &table.name);
        progress.relabel(&format!("dumping {}", table.name.escape_debug()));
        let (columns, batches) = moment.scan(table, range)?;
        let mut files = TableFiles::new(target.path(), &folder, columns, args.file_rows)?;
        for batch in batches {
            let batch = batch?;
            files.write(&batch)?;
            progress.add(batch.num_rows() as u64);
        }
        let files = files.finish()?;
        let rows = files.iter().filter_map(|file| file.rows).sum();
        entries.push(TableEntry { name: table.name.clone(), rows, files });
        folders.push(folder);
    }
    let snapshot = SnapshotEntry {
        incarnation: moment.sequence.incarnation,
        counter: moment.sequence.counter,
    };
    let range = (range != all).then_some(RangeEntry { from_ns: range.from, to_ns: range.to });
    let manifest = Manifest::new(&moment.database_id, snapshot, range, schema, entries);
    // The last of all files: without it nothing is a dump.
    target.write(MANIFEST, &manifest.to_bytes()?)?;
    Ok((manifest, folders))
}

fn told(args: &DumpArgs, manifest: &Manifest) -> String {
    let mut text: String = manifest
        .tables
        .iter()
        .map(|one| format!("{}: {} rows\n", one.name.escape_debug(), one.rows))
        .collect();
    let bytes: u64 = manifest.files().map(|file| file.bytes).sum();
    text.push_str(&format!(
        "dumped {} rows of {} tables as of commit {} to {} ({bytes} bytes)\n",
        manifest.rows(),
        manifest.tables.len(),
        manifest.snapshot.counter,
        args.output.display(),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_chosen_by_name_also_with_a_comma() {
        let known = ["a", "a,b", "b"];
        let chosen = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|one| (*one).to_owned()).collect();
            chosen(&wanted, &known)
        };
        assert_eq!(chosen(&[]).unwrap(), known);
        assert_eq!(chosen(&["b,a"]).unwrap(), ["a", "b"]);
        assert_eq!(chosen(&["a,b"]).unwrap(), ["a,b"]);
        let error = chosen(&["a", "A"]).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("unknown table \"A\"; there are: a, a,b, b"));
    }
}
