//! Writing: packed and Arrow rows, streams, numbers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, DictionaryArray, Float32Array, Int32Array, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use chronolith_client::v1::write_service_client::WriteServiceClient;
use chronolith_client::v1::{
    self, ArrowRows, Producer, TableOptions, TableRows, WriteStreamRequest, table_rows,
    write_stream_reply::Outcome,
};
use chronolith_client::{Client, Writer, WriterOptions};
use tokio_stream::StreamExt;

use crate::support::{Server, request, rows, runtime, scan, values};

fn arrow_rows() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = vec![Some("b"), None, Some("a")].into_iter().collect();
    let price = Decimal128Array::from(vec![Some(125), None, Some(-1)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3]))),
        ("s", Arc::new(tags)),
        ("x", Arc::new(Int32Array::from(vec![Some(7), Some(8), None]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
        ("note", Arc::new(StringArray::from(vec![Some("n"), Some(""), None]))),
        ("price", Arc::new(price.with_precision_and_scale(9, 2).unwrap())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

pub(crate) fn arrow_request(batch: &RecordBatch) -> TableRows {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    let ipc = writer.into_inner().unwrap().into();
    let arrow = ArrowRows { ipc, time_column: "when".into(), tag_columns: Vec::new() };
    TableRows {
        table: "t".into(),
        create_if_missing: Some(TableOptions::default()),
        rows: Some(table_rows::Rows::Arrow(arrow)),
    }
}

#[test]
fn arrow_rows_come_back_by_the_documented_types() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let done = client.write(request(arrow_request(&arrow_rows()))).await.unwrap();
        assert_eq!(done.row_count, 3);
        let answer = client.scan(scan("t")).await.unwrap();
        let types: Vec<String> = answer
            .schema()
            .fields()
            .iter()
            .map(|f| format!("{}:{}", f.name(), f.data_type()))
            .collect();
        assert_eq!(
            types,
            [
                "time:Timestamp(ns, \"UTC\")",
                "s:Dictionary(UInt32, Utf8)",
                "x:Int64",
                "f:Float64",
                "note:Utf8View",
                "price:Decimal128(9, 2)"
            ]
        );
        let batches = answer.collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        let expected = "\
+--------------------------+---+---+-----+------+-------+
| time                     | s | x | f   | note | price |
+--------------------------+---+---+-----+------+-------+
| 1970-01-01T00:00:00.002Z |   | 8 | 1.5 |      |       |
| 1970-01-01T00:00:00.003Z | a |   | 2.5 |      | -0.01 |
| 1970-01-01T00:00:00.001Z | b | 7 | 0.5 | n    | 1.25  |
+--------------------------+---+---+-----+------+-------+";
        assert_eq!(text, expected);
    });
}

#[test]
fn a_number_that_is_sent_again_is_applied_once_and_a_gap_tells_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let numbered = |number| {
            let mut one = request(rows(number as i64, 1));
            one.producer = Some(Producer { id: "p".into(), number });
            one
        };
        assert!(!client.write(numbered(1)).await.unwrap().already_applied);
        assert!(client.write(numbered(1)).await.unwrap().already_applied);
        let error = client.write(numbered(5)).await.unwrap_err();
        let detail = error.detail().unwrap();
        assert_eq!((error.reason(), detail.expected_number), ("sequence_gap", Some(2)));
        assert_eq!(values(&client).await, [1]);
    });
}

#[test]
fn several_tables_are_written_or_refused_together() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let mut unknown = rows(0, 1);
        unknown.table = "other".into();
        unknown.create_if_missing = None;
        let mut both = request(rows(0, 10));
        both.tables.push(unknown);
        let error = client.write(both.clone()).await.unwrap_err();
        assert_eq!(error.reason(), "unknown_table");
        assert_eq!(client.list_tables().await.unwrap().len(), 0);
        both.tables[1].create_if_missing = Some(TableOptions::default());
        assert_eq!(client.write(both).await.unwrap().row_count, 11);
        assert_eq!(client.list_tables().await.unwrap().len(), 2);
    });
}

#[test]
fn a_stream_answers_each_request_in_order_and_goes_on_after_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let mut client = WriteServiceClient::connect(server.grpc.clone()).await.unwrap();
        let mut requests: Vec<WriteStreamRequest> = (0..200)
            .map(|number| WriteStreamRequest {
                number,
                request: Some(request(rows(number as i64, 1))),
            })
            .collect();
        requests[50].request.as_mut().unwrap().tables[0].rows = None;
        let replies = client.write_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
        let replies: Vec<v1::WriteStreamReply> = replies.map(Result::unwrap).collect().await;
        assert!(
            matches!(replies[0].outcome, Some(Outcome::Window(w)) if w.requests > 0 && w.bytes > 0)
        );
        let numbers: Vec<u64> = replies[1..].iter().map(|reply| reply.number).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        let refused = replies[1..].iter().filter(|r| matches!(r.outcome, Some(Outcome::Error(_))));
        assert_eq!(refused.map(|reply| reply.number).collect::<Vec<_>>(), [50]);
        let client = Client::connect(&server.grpc).await.unwrap();
        assert_eq!(values(&client).await.len(), 199);
    });
}

#[test]
fn a_writer_writes_each_batch_once_and_a_repeat_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        for pass in 0..2 {
            let options = WriterOptions { producer: "w".into(), ..WriterOptions::default() };
            let mut writer = Writer::new(client.clone(), options);
            for batch in 0..100 {
                writer.write(vec![rows(batch * 10, 10)]).await.unwrap();
            }
            let written = writer.finish().await.unwrap();
            assert_eq!((written.batch_count, written.repeated_count), (100, pass * 100));
        }
        assert_eq!(values(&client).await, (0..1_000).collect::<Vec<_>>());
        let options = WriterOptions {
            producer: "os".into(),
            durability: v1::Durability::Os,
            ..WriterOptions::default()
        };
        let mut writer = Writer::new(client.clone(), options);
        writer.write(vec![rows(5_000, 3)]).await.unwrap();
        let last = writer.finish().await.unwrap().last.unwrap();
        let durable = client.stats().await.unwrap().durable_sequence.unwrap();
        assert!((durable.incarnation, durable.counter) >= (last.incarnation, last.counter));
    });
}

#[test]
fn a_client_that_hangs_up_in_the_middle_leaves_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let runtime = runtime();
    runtime.block_on(async {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let mut client = WriteServiceClient::connect(server.grpc.clone()).await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut replies = client.write_stream(stream).await.unwrap().into_inner();
        for number in 0..50 {
            let one = WriteStreamRequest {
                number,
                request: Some(request(rows(number as i64 * 100, 100))),
            };
            sender.send(one).await.unwrap();
        }
        // The window, and some answers.
        for _ in 0..5 {
            replies.message().await.unwrap().unwrap();
        }
        drop((replies, sender, client));
    });
    runtime.block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        let found = values(&client).await;
        assert!(found.len() >= 400 && found.len() % 100 == 0, "{}", found.len());
        client.write(request(rows(1_000_000, 1))).await.unwrap();
    });
    let figures = || server.get("/metrics").1;
    let let_go = || figures().lines().any(|line| line == "chronolith_requests_in_flight_bytes 0");
    assert!(
        (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let_go()
        }),
        "bytes are still held:\n{}",
        figures()
    );
}

#[test]
fn writes_wait_while_memory_is_full_or_are_refused_as_the_server_is_told() {
    for (choice, may_refuse) in [("wait", false), ("refuse", true)] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.toml");
        std::fs::write(&file, format!("memory = \"64MiB\"\n[write]\non_pressure = \"{choice}\"\n"))
            .unwrap();
        let args =
            ["--config", file.to_str().unwrap(), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let server = Server::start_with(&dir.path().join("db"), &args);
        let refused = runtime().block_on(async {
            let client = Client::connect(&server.grpc).await.unwrap();
            client.write(request(rows(0, 1))).await.unwrap();
            let write = |part: i64| {
                let client = client.clone();
                async move { client.write(request(rows(1 + part * 200_000, 200_000))).await }
            };
            let mut refused = 0;
            for outcome in futures::future::join_all((0..40).map(write)).await {
                if let Err(error) = outcome {
                    assert_eq!(error.reason(), "overloaded", "{error:?}");
                    assert!(error.is_retryable());
                    refused += 1;
                }
            }
            let kept = 1 + (40 - refused) * 200_000;
            assert_eq!(values(&client).await.len(), kept);
            refused
        });
        assert_eq!(refused > 0, may_refuse, "{choice}: {refused}");
    }
}
