//! A dump that was looked at: every file is there, is what was written, and fits its table's definition. Nothing is loaded of
//! what was not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use chronolith_engine::model::{ColumnId, FieldDef, TableId, TableOptions, TableSchema, TagDef};
use chronolith_query::{definition, statements};

use super::super::dump::{
    FileEntry, INCOMPLETE, MANIFEST, Manifest, SCHEMA, TableEntry, chosen, failed, partial,
};
use super::super::{CtlError, CtlResult};
use super::parquet_file::ParquetFile;
use crate::ipc;
use crate::text::progress::{Progress, ProgressUnit};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of definitions that are read.
const SCHEMA_BYTES_MAX: u64 = 1 << 30;

/// A dump, and the tables of it that are wanted.
pub(super) struct Dump {
    /// Names the dump.
    pub(super) hash: String,
    pub(super) tables: Vec<DumpTable>,
}

/// A table of a dump.
pub(super) struct DumpTable {
    pub(super) name: String,
    pub(super) options: TableOptions,
    pub(super) rows: u64,
    /// In order, with their rows.
    pub(super) files: Vec<(PathBuf, u64)>,
}

fn corrupt(path: &Path, what: &str) -> CtlError {
    CtlError::Corrupt(format!("{}: {what}", path.display()))
}

impl Dump {
    /// Looks at the dump in `folder`; of tables that are not `wanted` no file is read.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a newer format, `Corrupt`: each names the file.
    pub(super) fn open(folder: &Path, wanted: &[String]) -> CtlResult<Self> {
        check_whole(folder)?;
        let manifest = Manifest::read(folder)?;
        check_others(folder, &manifest)?;
        let names: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
        let names = chosen(wanted, &names)?;
        let tables = manifest.tables.iter();
        let tables: Vec<_> = tables.filter(|one| names.contains(&one.name.as_str())).collect();
        let files = tables.iter().flat_map(|table| &table.files);
        let files: Vec<_> = std::iter::once(&manifest.schema).chain(files).collect();
        let total = files.iter().map(|file| file.bytes).sum();
        let progress = Progress::on_standard_error("checking", ProgressUnit::Bytes, Some(total));
        files.iter().try_for_each(|file| check_bytes(&folder.join(&file.path), file, &progress))?;
        progress.finish();
        let options = definitions(folder, &manifest)?;
        let of_name = |name: &str| options.iter().find(|(one, _)| one == name);
        let tables = tables.iter().map(|table| {
            let found = of_name(&table.name).map(|(_, options)| options.clone());
            let options = found.ok_or_else(|| {
                corrupt(&folder.join(SCHEMA), &format!("table {:?} is missing", table.name))
            })?;
            check_table(folder, table, options)
        });
        let tables = tables.collect::<CtlResult<_>>()?;
        Ok(Self { hash: manifest.hash().to_owned(), tables })
    }
}

/// Refuses what is not there, and what is not finished.
fn check_whole(folder: &Path) -> CtlResult<()> {
    let name = folder.display();
    match fs::metadata(folder) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => {
            return Err(CtlError::Invalid(format!("{name} is a file, not the folder of a dump")));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let partial = partial(folder).filter(|partial| partial.exists());
            let hint = partial.map_or(String::new(), |partial| {
                format!(
                    "; {} is a dump that was not finished: run `chronolith dump` again",
                    partial.display()
                )
            });
            return Err(CtlError::NotFound(format!("there is no dump at {name}{hint}")));
        }
        Err(error) => return Err(failed(folder)(error)),
    }
    if folder.join(INCOMPLETE).exists() {
        return Err(CtlError::Corrupt(format!(
            "{name} is a dump that was not finished: run `chronolith dump` again"
        )));
    }
    Ok(())
}

/// Refuses files that the dump does not have.
fn check_others(folder: &Path, manifest: &Manifest) -> CtlResult<()> {
    let mut known: BTreeSet<PathBuf> = BTreeSet::new();
    for file in manifest.files() {
        let is_plain = |name: &str| {
            !name.starts_with('.')
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !file.path.split('/').all(is_plain) {
            let what = format!("it names a file {:?}, which no dump has", file.path);
            return Err(corrupt(&folder.join(MANIFEST), &what));
        }
        if !known.insert(folder.join(&file.path)) {
            let what = format!("it names the file {:?} twice", file.path);
            return Err(corrupt(&folder.join(MANIFEST), &what));
        }
    }
    known.insert(folder.join(MANIFEST));
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            let path = entry.path();
            if entry.file_type().map_err(failed(&path))?.is_dir() {
                folders.push(path);
            } else if !known.contains(&path) {
                return Err(corrupt(
                    &path,
                    "the dump has no such file: remove it, or copy the dump again",
                ));
            }
        }
    }
    Ok(())
}

/// Reads every byte of a file.
fn check_bytes(path: &Path, file: &FileEntry, progress: &Progress) -> CtlResult<()> {
    let mut from = match File::open(path) {
        Ok(from) => from,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(corrupt(path, "the file is missing: copy the dump again"));
        }
        Err(error) => return Err(failed(path)(error)),
    };
    let found = from.metadata().map_err(failed(path))?.len();
    if found != file.bytes {
        let what = format!("the file has {found} bytes, and {} were written", file.bytes);
        return Err(corrupt(path, &format!("{what}: copy the dump again")));
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).map_err(failed(path))?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        progress.add(count as u64);
    }
    if hasher.finalize().to_hex().as_str() != file.blake3 {
        return Err(corrupt(path, "the file is damaged, its hash is another: copy the dump again"));
    }
    Ok(())
}

/// The definitions of every table, by name.
fn definitions(folder: &Path, manifest: &Manifest) -> CtlResult<Vec<(String, TableOptions)>> {
    let path = folder.join(&manifest.schema.path);
    if manifest.schema.bytes > SCHEMA_BYTES_MAX {
        return Err(corrupt(&path, "the file is larger than definitions are"));
    }
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    let list = statements(&text);
    let read = |sql: &&str| definition(sql).map_err(|error| corrupt(&path, &error.to_string()));
    list.iter().map(read).collect()
}

/// The columns of the table's files, as `options` have them.
fn columns(name: &str, options: &TableOptions) -> SchemaRef {
    let mut schema = TableSchema::new(TableId(0), name);
    let tags = options.tags.iter();
    schema.tags = tags.map(|tag| TagDef { id: ColumnId(0), name: tag.clone() }).collect();
    let field = |(name, field_type): &(String, _)| FieldDef {
        id: ColumnId(0),
        name: name.clone(),
        field_type: *field_type,
    };
    schema.fields = options.fields.iter().map(field).collect();
    ipc::schema_of(&schema, &schema.fields, false)
}

/// Looks whether the files have the table's columns and rows.
fn check_table(folder: &Path, table: &TableEntry, options: TableOptions) -> CtlResult<DumpTable> {
    let columns = columns(&table.name, &options);
    let mut files = Vec::new();
    for file in &table.files {
        let path = folder.join(&file.path);
        let rows = file.rows.unwrap_or_default();
        ParquetFile::open(&path)?.check(&columns, rows)?;
        files.push((path, rows));
    }
    let rows: u64 = files.iter().map(|(_, rows)| rows).sum();
    if rows != table.rows {
        let what =
            format!("the files of table {:?} have {rows} rows, not {}", table.name, table.rows);
        return Err(corrupt(&folder.join(MANIFEST), &what));
    }
    Ok(DumpTable { name: table.name.clone(), options, rows, files })
}
