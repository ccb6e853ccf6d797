//! Which tables of a database come from a dump, and how far each has come. Two imports note it, each in the batch that it is
//! about. The **making** of a table, under the dump's hash and the table's name, is open from the batch that makes the table until its
//! rows are begun. The **rows**, under the table's number too, count the rows that are there. So a table is known as the dump's by its
//! number, and one that was made and not begun by the making that is open.

use std::sync::Arc;

use chronolith_engine::model::{
    Batch, ImportMark, ImportProgress, Producer, TableId, TableRows, TableSchema,
};
use chronolith_engine::read::ScanRequest;

use super::super::place::Place;
use super::super::{CtlError, CtlResult};
use super::check::DumpTable;

/// What a database has of a table.
pub(super) enum State {
    /// Nothing.
    Absent,
    /// The table, made by this dump, and its rows so far.
    Begun(Arc<TableSchema>, Option<ImportProgress>),
    /// All of it.
    Loaded(ImportProgress),
    /// A table of that name that is not the dump's.
    Foreign,
}

/// A table of a dump in a database.
pub(super) struct Claim<'a> {
    db: &'a Place,
    dump: &'a str,
    pub(super) table: &'a DumpTable,
    making: Option<ImportProgress>,
    pub(super) state: State,
}

impl<'a> Claim<'a> {
    /// Looks what is there.
    ///
    /// # Errors
    /// Those of reads.
    pub(super) fn find(db: &'a Place, dump: &'a str, table: &'a DumpTable) -> CtlResult<Self> {
        let making = db.import_progress(&making(dump, &table.name))?;
        let mut claim = Self { db, dump, table, making, state: State::Absent };
        let Some(schema) = db.find_table(&table.name)? else { return Ok(claim) };
        let progress = db.import_progress(&claim.producer(schema.id))?;
        claim.state = match progress {
            Some(progress) if progress.mark.finished => State::Loaded(progress),
            Some(progress) => State::Begun(schema, Some(progress)),
            None if claim.is_open() && claim.is_untouched(&schema)? => State::Begun(schema, None),
            None => State::Foreign,
        };
        Ok(claim)
    }

    /// Makes the table where it is not there, and gives it with its rows so far, marked as the dump's.
    ///
    /// # Errors
    /// Those of writes; `Conflict` where another made such a table meanwhile.
    pub(super) fn begin(&self) -> CtlResult<(Arc<TableSchema>, ImportProgress)> {
        if let State::Begun(schema, Some(progress)) = &self.state {
            if self.is_open() {
                self.note_making(true)?;
            }
            return Ok((Arc::clone(schema), progress.clone()));
        }
        if matches!(self.state, State::Absent) {
            self.note_making(false)?;
        }
        let schema = self.db.table_schema(&self.table.name)?;
        if !self.is_untouched(&schema)? {
            return Err(foreign([self.table.name.as_str()].into_iter()));
        }
        let mark = self.mark(0, false);
        let producer = Producer { id: self.producer(schema.id), number: 1 };
        let import = Some(mark.clone());
        self.db.write(Batch { producer: Some(producer), import, ..Batch::default() })?;
        self.note_making(true)?;
        Ok((schema, ImportProgress { chunk: 1, mark, commit_time_ns: 0 }))
    }

    /// The producer of the rows.
    pub(super) fn producer(&self, table: TableId) -> String {
        let id = table.0.to_le_bytes();
        name(&[b"chronolith load: rows", self.dump.as_bytes(), self.table.name.as_bytes(), &id])
    }

    /// What stands beside rows up to `rows`.
    pub(super) fn mark(&self, rows: u64, finished: bool) -> ImportMark {
        let file = format!("dump {}", self.dump);
        ImportMark { file, row_count: rows, source_row_count: rows, finished }
    }

    fn is_open(&self) -> bool {
        self.making.as_ref().is_some_and(|making| !making.mark.finished)
    }

    /// The making's next step: with the table itself, or the end.
    fn note_making(&self, finished: bool) -> CtlResult<()> {
        let mut before = self.making.as_ref().map_or(0, |making| making.chunk);
        let mut batch = Batch::default();
        if finished {
            before += u64::from(matches!(self.state, State::Absent));
        } else {
            batch = batch.with(TableRows {
                table: self.table.name.clone(),
                create_if_missing: Some(self.table.options.clone()),
                time: Vec::new(),
                tags: Vec::new(),
                fields: Vec::new(),
            });
        }
        let id = making(self.dump, &self.table.name);
        batch.producer = Some(Producer { id, number: before + 1 });
        batch.import = Some(self.mark(0, finished));
        self.db.write(batch)
    }

    /// Whether it is as the dump makes it: its definition, and no rows.
    fn is_untouched(&self, schema: &Arc<TableSchema>) -> CtlResult<bool> {
        let options = &self.table.options;
        let same = schema.name == self.table.name
            && schema.merge == options.merge
            && schema.mode == options.mode
            && options.history_ns.is_none_or(|history_ns| history_ns == schema.history_ns)
            && schema.time_name == options.time_name
            && schema.tags.iter().map(|tag| &tag.name).eq(&options.tags)
            && schema
                .fields
                .iter()
                .map(|one| (&one.name, one.field_type))
                .eq(options.fields.iter().map(|(name, field_type)| (name, *field_type)));
        if !same {
            return Ok(false);
        }
        for batch in self.db.scan(schema, &ScanRequest::new(&schema.name))?.batches {
            if batch?.row_count() > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Tables that are there and not the dump's.
pub(super) fn foreign<'a>(names: impl Iterator<Item = &'a str>) -> CtlError {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    CtlError::Conflict(format!(
        "the database has tables of these names already: {}; nothing was loaded: choose others with --table, or load into \
         another database",
        names.join(", ")
    ))
}

fn making(dump: &str, table: &str) -> String {
    name(&[b"chronolith load: table", dump.as_bytes(), table.as_bytes()])
}

fn name(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    format!("import:{}", hasher.finalize().to_hex())
}
