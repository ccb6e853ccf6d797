//! Reading: snapshots, aggregates, slow and impatient readers, the log's tail.

use std::time::Duration;

use chronolith_client::v1::query_service_client::QueryServiceClient;
use chronolith_client::v1::{self, TailRequest};
use chronolith_client::{Client, ScanRequest};
use tonic::Request;

use crate::support::{Server, column_x, request, rows, runtime, scan, values};

#[test]
fn a_snapshot_id_gives_the_same_rows_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 10))).await.unwrap();
        let first = client.scan(scan("t")).await.unwrap();
        let id = first.header().snapshot_id.clone();
        assert_eq!(column_x(first).await.len(), 10);
        client.write(request(rows(10, 10))).await.unwrap();
        assert_eq!(values(&client).await.len(), 20);
        let at = Some(v1::ReadAt { at: Some(v1::read_at::At::SnapshotId(id)) });
        let again = client.scan(ScanRequest { at, ..scan("t") }).await.unwrap();
        assert_eq!(column_x(again).await, (0..10).collect::<Vec<_>>());
        let few = client.scan(ScanRequest { row_count_max: 3, ..scan("t") }).await.unwrap();
        assert_eq!(column_x(few).await, [0, 1, 2]);
        let last = client.latest(scan("t")).await.unwrap();
        assert_eq!(column_x(last).await, [19]);
    });
}

#[test]
fn aggregates_are_by_series_and_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 10))).await.unwrap();
        let column = |function: v1::aggregate_column::Function, name: &str| v1::AggregateColumn {
            function: function.into(),
            field: "x".into(),
            name: name.into(),
        };
        use v1::aggregate_column::Function as F;
        let answer = client.aggregate(v1::AggregateRequest {
            scan: Some(scan("t")),
            bucket: Some(v1::Bucket { width_ns: 4, origin_ns: None }),
            columns: vec![column(F::Sum, ""), column(F::Max, "top"), column(F::Avg, "")],
        });
        let batches = answer.await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        for line in [
            "| a | 4     | 6      | 3   | 1.5    |",
            "| a | 2     | 17     | 9   | 8.5    |",
            "sum(x) | top | avg(x)",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    });
}

/// Rows whose answer is far more than what lies between server and client.
fn fill(client: &Client, runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for part in 0..16 {
            client.write(request(rows(part * 250_000, 250_000))).await.unwrap();
        }
    });
}

#[test]
fn a_slow_reader_holds_a_few_messages_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(
        dir.path(),
        &["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--memory", "1GiB"],
    );
    let runtime = runtime();
    let client = runtime.block_on(Client::connect(&server.grpc)).unwrap();
    fill(&client, &runtime);
    runtime.block_on(async {
        client.flush().await.unwrap();
        let before = server.resident_kib();
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut one = QueryServiceClient::connect(server.grpc.clone()).await.unwrap();
            let mut messages = one.scan(scan("t")).await.unwrap().into_inner();
            assert!(messages.message().await.unwrap().unwrap().header.is_some());
            slow.push(messages);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let grown = server.resident_kib().saturating_sub(before);
        // 20 answers of 64 MB; each holds its messages, one batch, and what the network buffers.
        assert!(grown < 600_000, "{grown} KiB");
        assert_eq!(column_x(client.latest(scan("t")).await.unwrap()).await, [3_999_999]);
        client.write(request(rows(4_000_000, 1))).await.unwrap();
        // One of them reads on, and gets everything.
        let mut bytes = 0;
        let mut one = slow.pop().unwrap();
        while let Some(message) = one.message().await.unwrap() {
            bytes += message.arrow_ipc.len();
        }
        assert!(bytes > 60_000_000, "{bytes}");
        drop(slow);
    });
    let open = || server.get("/metrics").1.lines().any(|line| line == "chronolith_queries_open 0");
    assert!(
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            open()
        }),
        "queries of clients that hung up are still open"
    );
}

#[test]
fn a_deadline_ends_a_query_that_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let runtime = runtime();
    let client = runtime.block_on(Client::connect(&server.grpc)).unwrap();
    fill(&client, &runtime);
    runtime.block_on(async {
        let mut queries = QueryServiceClient::connect(server.grpc.clone()).await.unwrap();
        let mut request = Request::new(scan("t"));
        request.set_timeout(Duration::from_millis(700));
        let mut messages = queries.scan(request).await.unwrap().into_inner();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let mut ended = None;
        while let Ok(Some(_)) = messages.message().await.map_err(|status| ended = Some(status)) {}
        let code = ended.map(|status| status.code());
        assert!(
            matches!(code, Some(tonic::Code::DeadlineExceeded | tonic::Code::Cancelled)),
            "{code:?}"
        );
    });
}

#[test]
fn the_tail_gives_what_was_committed_then_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        for part in 0..3 {
            client.write(request(rows(part * 10, 10))).await.unwrap();
        }
        let from = |is_finite| TailRequest {
            after: Some(v1::Sequence::default()),
            is_finite,
            tables: Vec::new(),
        };
        let mut finite = client.tail(from(true)).await.unwrap();
        let mut times = Vec::new();
        while let Some(reply) = finite.message().await.unwrap() {
            times.extend(times_of(&reply));
        }
        assert_eq!(times, (0..30).collect::<Vec<_>>());
        let mut endless = client.tail(from(false)).await.unwrap();
        let mut last = 0;
        for part in 0..5 {
            if part >= 3 {
                client.write(request(rows(part * 10, 10))).await.unwrap();
            }
            let reply = endless.message().await.unwrap().unwrap();
            let counter = reply.sequence.unwrap().counter;
            assert!(counter > last);
            last = counter;
            assert_eq!(times_of(&reply), (part * 10..part * 10 + 10).collect::<Vec<_>>());
            assert_eq!(reply.tables.len(), usize::from(part == 0) * reply.tables.len());
        }
        let beyond = v1::Sequence { incarnation: 9, counter: 99 };
        let request = TailRequest { after: Some(beyond), ..TailRequest::default() };
        assert_eq!(client.tail(request).await.err().unwrap().reason(), "snapshot_lost");
    });
}

fn times_of(reply: &v1::TailReply) -> Vec<i64> {
    let rows = reply.rows.iter().filter(|rows| rows.table == "t");
    rows.flat_map(|rows| match &rows.rows {
        Some(v1::table_rows::Rows::Packed(packed)) => packed.time.clone(),
        _ => Vec::new(),
    })
    .collect()
}
