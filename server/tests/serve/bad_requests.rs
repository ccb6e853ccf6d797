//! Requests that are wrong are refused with a reason, and the server goes on.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, TimestampSecondArray};
use arrow::record_batch::RecordBatch;
use chronolith_client::v1::{self, PackedField, PackedTag, TableRows, packed_field, table_rows};
use chronolith_client::{Client, ClientError};

use crate::support::{Server, request, rows, runtime, scan, values};
use crate::writing::arrow_request;

fn packed(change: impl FnOnce(&mut v1::PackedRows)) -> TableRows {
    let mut made = rows(0, 3);
    if let Some(table_rows::Rows::Packed(packed)) = &mut made.rows {
        change(packed);
    }
    made
}

fn arrow(columns: Vec<(&str, ArrayRef)>) -> TableRows {
    arrow_request(&RecordBatch::try_from_iter(columns).unwrap())
}

fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampSecondArray::from(values))
}

#[test]
fn wrong_columns_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let list =
        ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![Some(vec![
            Some(1),
        ])]);
    let cases: Vec<(TableRows, &str)> = vec![
        (packed(|rows| rows.time.truncate(2)), "has 3 values, but there are 2 timestamps"),
        (
            packed(|rows| {
                rows.tags = vec![PackedTag {
                    name: "s".into(),
                    values: vec!["a".into()],
                    codes: vec![0, 1, 0],
                }]
            }),
            "has code 1, but 1 values",
        ),
        (packed(|rows| rows.tags[0].values.clear()), "tag|column \"s\""),
        (packed(|rows| rows.fields[0].validity = vec![255]), "one bit for each of 3 rows"),
        (packed(|rows| rows.fields[0].validity = vec![1, 0]), "one bit for each of 3 rows"),
        (packed(|rows| rows.fields[0].values = None), "has no values"),
        (
            packed(|rows| {
                rows.fields[0].r#type = Some(v1::FieldType {
                    kind: v1::field_type::Kind::F64.into(),
                    ..Default::default()
                })
            }),
            "is said to hold f64, but its values are i64",
        ),
        (
            packed(|rows| {
                rows.fields[0].r#type = Some(v1::FieldType {
                    kind: v1::field_type::Kind::Decimal.into(),
                    precision: 19,
                    scale: 2,
                })
            }),
            "precision 19",
        ),
        (
            packed(|rows| {
                rows.fields.extend((0..4_096).map(|at| PackedField {
                    name: format!("f{at}"),
                    values: Some(packed_field::Values::I64(packed_field::I64 {
                        values: vec![1, 2, 3],
                    })),
                    ..Default::default()
                }))
            }),
            "4097",
        ),
        (arrow(vec![("x", Arc::new(Int64Array::from(vec![1])))]), "have no column \"when\""),
        (arrow(vec![("when", Arc::new(StringArray::from(vec!["now"])))]), "which is no time"),
        (arrow(vec![("when", times(vec![i64::MAX]))]), "column \"when\""),
        (arrow(vec![("when", times(vec![1])), ("l", Arc::new(list))]), "List"),
        (TableRows { rows: None, ..rows(0, 1) }, "are missing"),
    ];
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        for (rows, expected) in cases {
            let error = client.write(request(rows)).await.unwrap_err();
            let text = error.to_string();
            assert!(expected.split('|').any(|part| text.contains(part)), "{expected}: {error:?}");
            let kind = error.detail().unwrap().kind();
            assert_eq!(kind, v1::error_detail::Kind::Invalid, "{text}");
        }
        assert_eq!(client.list_tables().await.unwrap().len(), 0);
        // Another type for a column that is there.
        client.write(request(rows(0, 1))).await.unwrap();
        let texts = packed_field::Values::Utf8(packed_field::Utf8 { values: vec!["x".into(); 3] });
        let error = client
            .write(request(packed(|rows| rows.fields[0].values = Some(texts))))
            .await
            .unwrap_err();
        let detail = error.detail().unwrap();
        assert_eq!((error.reason(), detail.column.as_str()), ("wrong_type", "x"), "{error}");
    });
}

#[test]
fn malformed_arrow_streams_are_refused_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", times(vec![1, 2, 3])),
        ("x", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("n", Arc::new(StringArray::from(vec!["a", "bc", ""]))),
    ];
    let good = arrow(columns);
    let bytes = match &good.rows {
        Some(table_rows::Rows::Arrow(arrow)) => arrow.ipc.clone(),
        _ => unreachable!(),
    };
    let with = |ipc: Vec<u8>| {
        let mut bad = good.clone();
        if let Some(table_rows::Rows::Arrow(arrow)) = &mut bad.rows {
            arrow.ipc = ipc.into();
        }
        request(bad)
    };
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let mut refused = 0;
        for end in (0..bytes.len() - 8).step_by(7) {
            let error = client.write(with(bytes[..end].to_vec())).await.unwrap_err();
            assert!(error.detail().is_some(), "{end}: {error:?}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0x81;
            // A changed value is a value: only that the server answers is certain.
            match client.write(with(bad)).await {
                Ok(_) => {}
                Err(ClientError::Refused(_)) => refused += 1,
                Err(other) => panic!("byte {at}: {other:?}"),
            }
        }
        assert!(refused > 50, "{refused}");
        // Compressed bodies announce what they become.
        let options = arrow::ipc::writer::IpcWriteOptions::default()
            .try_with_compression(Some(arrow::ipc::CompressionType::ZSTD))
            .unwrap();
        let times = times(vec![1; 1_000]);
        let batch = RecordBatch::try_from_iter([("when", times)]).unwrap();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new_with_options(
            Vec::new(),
            &batch.schema(),
            options,
        )
        .unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let error = client.write(with(writer.into_inner().unwrap())).await.unwrap_err();
        assert!(error.to_string().contains("compressed"), "{error}");
        // A length of two gigabytes in front of nothing.
        let mut huge = vec![0xff; 4];
        huge.extend_from_slice(&i32::MAX.to_le_bytes());
        huge.extend_from_slice(&[0; 64]);
        assert!(client.write(with(huge)).await.unwrap_err().to_string().contains("malformed"));
        assert!(server.resident_kib() < 400_000, "{} KiB", server.resident_kib());
        client.write(with(bytes.to_vec())).await.unwrap();
    });
}

#[test]
fn a_message_beyond_the_limit_is_refused_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let long =
            packed_field::Values::Utf8(packed_field::Utf8 { values: vec!["x".repeat(66 << 20)] });
        let mut large = rows(0, 1);
        if let Some(table_rows::Rows::Packed(packed)) = &mut large.rows {
            packed.fields[0].values = Some(long);
        }
        let error = client.write(request(large)).await.unwrap_err();
        assert!(!error.is_retryable(), "{error:?}");
        client.write(request(rows(0, 3))).await.unwrap();
        assert_eq!(values(&client).await.len(), 3);
    });
}

#[test]
fn reads_of_what_is_not_there_name_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 3))).await.unwrap();
        let error = client.scan(scan("tt")).await.err().unwrap();
        assert_eq!(error.reason(), "unknown_table");
        assert_eq!(error.detail().unwrap().known, ["t"]);
        let mut request = scan("t");
        request.columns = Some(v1::Names { names: vec!["y".into()] });
        let error = client.scan(request).await.err().unwrap();
        assert_eq!(
            (error.reason(), error.detail().unwrap().column.as_str()),
            ("unknown_column", "y")
        );
        let mut request = scan("t");
        request.at = Some(v1::ReadAt { at: Some(v1::read_at::At::SnapshotId(vec![1, 2])) });
        assert_eq!(client.scan(request).await.err().unwrap().reason(), "invalid");
        let mut aggregate = v1::AggregateRequest { scan: Some(scan("t")), ..Default::default() };
        aggregate.columns = vec![v1::AggregateColumn { field: "x".into(), ..Default::default() }];
        assert!(
            client.aggregate(aggregate).await.err().unwrap().to_string().contains("no function")
        );
    });
}
