//! The records behind a file's header, counted; what is wrong with one record alone is a refusal.

use std::io::Read;

use super::super::CtlResult;
use super::refusals::Refusal;
use crate::text::csv::{CsvReader, Record};

/// The source rows of a file.
pub(super) struct Records<R> {
    reader: CsvReader<R>,
    record: Record,
    /// The first record was read to learn the width, and still counts.
    pending: bool,
    count: u64,
}

impl<R: Read> Records<R> {
    /// What `reader` still has, after `first` if there is one.
    pub(super) fn new(reader: CsvReader<R>, first: Option<Record>) -> Self {
        Self { reader, pending: first.is_some(), record: first.unwrap_or_default(), count: 0 }
    }

    /// Reads the next source row; none at the end.
    ///
    /// # Errors
    /// What ends the file: `Csv`.
    pub(super) fn next(&mut self) -> CtlResult<Option<Result<&Record, Refusal>>> {
        if std::mem::take(&mut self.pending) {
            self.count += 1;
            return Ok(Some(Ok(&self.record)));
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
        Ok(Some(Ok(&self.record)))
    }

    /// Source rows read, refused ones included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
