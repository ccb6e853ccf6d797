//! Doors for the fuzz targets: requests as bytes, up to what the engine is given.

use std::sync::Arc;

use chronolith_engine::Db;
use chronolith_engine::catalog::Catalog;
use chronolith_engine::commit::fuzz::prepared;
use chronolith_engine::model::{Column, OnPressure, SchemaMode};
use chronolith_engine::wal::Record;
use chronolith_proto::v1;
use prost::Message;
use prost::bytes::Bytes;
use tonic::Status;

use crate::convert;

/// Decodes a request of `kind`, and converts it to the engine's model. What a batch becomes is checked for `catalog`, and
/// written as a record of the log.
///
/// # Errors
/// Those of a request, in words.
pub fn request(kind: u8, bytes: &[u8], db: &Db, catalog: &Arc<Catalog>) -> Result<(), String> {
    let bytes = Bytes::copy_from_slice(bytes);
    match kind % 8 {
        0 | 1 => write(decoded(bytes)?, db, catalog),
        2 => {
            let request: v1::WriteStreamRequest = decoded(bytes)?;
            request.request.map_or(Ok(()), |request| write(request, db, catalog))
        }
        3 => {
            let request: v1::CreateTableRequest = decoded(bytes)?;
            let options = request.options.unwrap_or_default();
            words(convert::table_options(options, SchemaMode::Strict)).map(drop)
        }
        4 => {
            let request: v1::DeleteRowsRequest = decoded(bytes)?;
            let _ = convert::time_range(request.range);
            words(convert::tag_predicate(request.tags)).map(drop)
        }
        5 => words(convert::scan_request(decoded(bytes)?)).map(drop),
        6 => words(convert::aggregate_request(decoded(bytes)?)).map(drop),
        _ => {
            decoded::<v1::SqlRequest>(bytes.clone())?;
            decoded::<v1::TailRequest>(bytes.clone())?;
            decoded::<v1::DescribeTableRequest>(bytes.clone())?;
            decoded::<v1::ImportProgressRequest>(bytes.clone())?;
            decoded::<v1::ErrorDetail>(bytes.clone())?;
            decoded::<v1::TailReply>(bytes.clone())?;
            decoded::<v1::QueryReply>(bytes).map(drop)
        }
    }
}

/// Rows that come as an Arrow IPC stream for the table "t".
///
/// # Errors
/// Those of a request, in words.
pub fn arrow_rows(ipc: &[u8], choice: u8, db: &Db, catalog: &Arc<Catalog>) -> Result<(), String> {
    let tag_columns = if choice & 1 == 0 { Vec::new() } else { vec!["sym".to_owned()] };
    let time_column = if choice & 2 == 0 { String::new() } else { "ts".to_owned() };
    let rows = v1::ArrowRows { ipc: Bytes::copy_from_slice(ipc), time_column, tag_columns };
    let rows = v1::TableRows {
        table: if choice & 4 == 0 { "t" } else { "ticks" }.to_owned(),
        create_if_missing: (choice & 4 == 0).then(v1::TableOptions::default),
        rows: Some(v1::table_rows::Rows::Arrow(rows)),
    };
    let request = v1::WriteRequest { tables: vec![rows], ..v1::WriteRequest::default() };
    write(request, db, catalog)
}

fn decoded<M: Message + Default + PartialEq>(bytes: Bytes) -> Result<M, String> {
    let message = M::decode(bytes).map_err(|error| error.to_string())?;
    let written = message.encode_to_vec();
    let read = M::decode(written.as_slice()).map_err(|error| error.to_string())?;
    // NaN is not itself.
    assert_eq!(read.encode_to_vec(), written, "a message, written and read again");
    Ok(message)
}

fn words<T>(result: Result<T, Status>) -> Result<T, String> {
    result.map_err(|status| status.message().to_owned())
}

fn write(request: v1::WriteRequest, db: &Db, catalog: &Arc<Catalog>) -> Result<(), String> {
    let batch = words(convert::batch(db, request, OnPressure::Refuse))?;
    for column in batch.tables.iter().flat_map(|rows| &rows.fields) {
        assert!(column.column.is_well_formed(), "{}: {:?}", column.name, column.column);
        back(column.field_type, &column.column);
    }
    let (record, catalog, _) = prepared(batch, catalog).map_err(|error| error.to_string())?;
    let mut written = Vec::new();
    record.encode(&mut written);
    let read = Record::decode(&written).map_err(|error| error.to_string());
    let mut again = Vec::new();
    read.as_ref().map(|read| read.encode(&mut again)).unwrap_or_default();
    assert_eq!(again, written, "a record of the log, read again: {read:?}");
    for rows in record.rows {
        if let Some(schema) = catalog.by_id(rows.table) {
            let _ = convert::logged_rows(schema, rows);
        }
    }
    Ok(())
}

/// The column as a message, and out of it again.
fn back(field_type: chronolith_engine::model::FieldType, column: &Column) {
    let message = convert::packed_field_message("f", field_type, column.clone());
    let rows = v1::PackedRows { time: vec![0; column.len()], tags: vec![], fields: vec![message] };
    let rows = v1::TableRows {
        table: "t".to_owned(),
        create_if_missing: None,
        rows: Some(v1::table_rows::Rows::Packed(rows)),
    };
    let batch = convert::packed(rows).map(|rows| rows.fields);
    let same = |found: &Column| found == column || format!("{found:?}") == format!("{column:?}");
    let is_same = batch.as_ref().is_ok_and(|fields| {
        fields.iter().all(|field| field.field_type == field_type && same(&field.column))
    });
    assert!(is_same, "{column:?} became {batch:?}");
}
