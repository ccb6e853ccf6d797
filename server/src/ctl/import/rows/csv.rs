//! CSV: the records behind a file's header, counted; what is wrong with one record alone is a refusal.

use std::io::Read;

use super::super::super::{CtlError, CtlResult};
use super::super::args::Settings;
use super::super::refusals::Refusal;
use super::{Role, RowSource, SourceTable};
use crate::text::csv::{CsvReader, Header, Record};

/// The source rows of a file.
pub(super) struct CsvRows<R> {
    reader: CsvReader<R>,
    record: Record,
    /// The first record was read to learn the width, and still counts.
    pending: bool,
    count: u64,
    tables: [SourceTable; 1],
}

impl<R: Read> CsvRows<R> {
    /// Reads the header, or the first record where there is none, which then is the first row.
    ///
    /// # Errors
    /// `Csv`, `Invalid`.
    pub(super) fn open(source: R, name: &str, settings: &Settings) -> CtlResult<Self> {
        let mut reader = CsvReader::new(source, name, settings.delimiter);
        let mut record = Record::new();
        let header = if settings.has_header {
            Header::read(&mut reader)?
        } else {
            if !reader.read(&mut record)? {
                return Err(CtlError::Invalid(format!("{name} is empty: there is no row")));
            }
            Header::numbered(record.len())
        };
        let columns = header.names().iter().map(|name| (name.clone(), Role::Open));
        let tables = [SourceTable::of(columns)];
        Ok(Self { reader, record, pending: !settings.has_header, count: 0, tables })
    }
}

impl<R: Read> RowSource for CsvRows<R> {
    type Row = Record;

    #[inline(always)]
    fn tables(&self) -> &[SourceTable] {
        &self.tables
    }

    fn advance(&mut self) -> CtlResult<Option<Result<(), Refusal>>> {
        if std::mem::take(&mut self.pending) {
            self.count += 1;
            return Ok(Some(Ok(())));
        }
        match self.reader.read(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => self.count += 1,
            Err(error) if error.is_of_one_record() => {
                self.count += 1;
                return Ok(Some(Err(Refusal(error.to_string()))));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Ok(())))
    }

    #[inline(always)]
    fn row(&self) -> &Record {
        &self.record
    }

    #[inline(always)]
    fn count(&self) -> u64 {
        self.count
    }
}
