//! SQL over the network.

use std::time::Duration;

use chronolith_client::v1::query_service_client::QueryServiceClient;
use chronolith_client::{Client, SqlRequest, v1};
use tonic::Request;

use crate::support::{Server, column_x, request, rows, runtime, values};

fn sql(statement: &str) -> SqlRequest {
    SqlRequest { statement: statement.into(), ..SqlRequest::default() }
}

#[test]
fn statements_read_and_write_and_name_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 100))).await.unwrap();
        let answer =
            client.sql(sql("SELECT x FROM t WHERE x >= 90 ORDER BY x DESC")).await.unwrap();
        let id = answer.header().snapshot_id.clone();
        assert_eq!(column_x(answer).await, (90..100).rev().collect::<Vec<_>>());
        let done = client.sql(sql("DELETE FROM t WHERE s = 'a'")).await.unwrap();
        assert_eq!(done.header().affected_rows, Some(100));
        assert_eq!(
            done.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>(),
            0
        );
        assert!(values(&client).await.is_empty());
        let at = Some(v1::ReadAt { at: Some(v1::read_at::At::SnapshotId(id)) });
        let before = client.sql(SqlRequest { at, ..sql("SELECT x FROM t") }).await.unwrap();
        assert_eq!(column_x(before).await.len(), 100);
        for (statement, reason) in [
            ("SELEKT 1", "sql_syntax"),
            ("SELECT x FROM tt", "unknown_table"),
            ("SELECT y FROM t", "unknown_column"),
            ("SELECT nosuch(x) FROM t", "unknown_function"),
            ("SELECT * FROM read_csv('/etc/passwd')", "sql_refused"),
            ("SELECT * FROM read_parquet('/etc/*')", "sql_refused"),
            ("SELECT * FROM '/etc/x.csv'", "sql_refused"),
        ] {
            let error = client.sql(sql(statement)).await.err().unwrap();
            assert!(reason.split('|').any(|one| one == error.reason()), "{statement}: {error:?}");
        }
        let shown = server.ctl(&["sql", "--format", "csv", "SELECT 1 + 1 AS two"]);
        assert_eq!(String::from_utf8_lossy(&shown.stdout), "two\n2\n", "{shown:?}");
        let error = client.sql(sql("SELECT x\nFROM t WHERE ,")).await.err().unwrap();
        assert_eq!(error.detail().unwrap().line, 2, "{error:?}");
    });
}

#[test]
fn a_statement_ends_at_its_deadline_and_with_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 20_000))).await.unwrap();
        let long = "SELECT count(*) AS x FROM t a, t b, t c WHERE a.x + b.x + c.x = -1";
        let mut queries = QueryServiceClient::connect(server.grpc.clone()).await.unwrap();
        let mut timed = Request::new(sql(long));
        timed.set_timeout(Duration::from_millis(500));
        let begun = std::time::Instant::now();
        let ended = match queries.sql(timed).await {
            Ok(answer) => answer.into_inner().message().await.err(),
            Err(status) => Some(status),
        };
        let code = ended.map(|status| status.code());
        assert!(
            matches!(code, Some(tonic::Code::DeadlineExceeded | tonic::Code::Cancelled)),
            "{code:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
        let gone = tokio::time::timeout(Duration::from_millis(300), client.sql(sql(long))).await;
        drop(gone);
    });
    let open = || server.get("/metrics").1.lines().any(|line| line == "chronolith_queries_open 0");
    let ended = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        open()
    });
    assert!(ended, "{}", server.get("/metrics").1);
}

#[test]
fn a_time_zone_that_is_set_holds_for_the_statements_that_follow() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 1))).await.unwrap();
        let zone = |request: SqlRequest| {
            let client = client.clone();
            async move { client.sql(request).await.unwrap().header().time_zone.clone() }
        };
        assert_eq!(zone(sql("SELECT 1")).await, "UTC");
        assert_eq!(zone(sql("SET TIME ZONE 'Asia/Kolkata'")).await, "Asia/Kolkata");
        // The server keeps no session.
        assert_eq!(zone(sql("SELECT 1")).await, "UTC");
        let berlin = SqlRequest { time_zone: "Europe/Berlin".into(), ..sql("SELECT 1") };
        assert_eq!(zone(berlin).await, "Europe/Berlin");
        let error = client.sql(sql("SET TIME ZONE 'Nowhere/Land'")).await.err().unwrap();
        assert_eq!(error.reason(), "invalid", "{error:?}");
    });
    let script = "SELECT time FROM t; SET TIME ZONE 'Asia/Kolkata'; SELECT time FROM t; SET TIME ZONE DEFAULT; \
                  SELECT time FROM t";
    let shown = server.ctl(&["sql", "--format", "csv", script]);
    let times =
        "time\n1970-01-01T00:00:00Z\ntime\n1970-01-01T05:30:00+05:30\ntime\n1970-01-01T00:00:00Z\n";
    assert_eq!(String::from_utf8_lossy(&shown.stdout), times, "{shown:?}");
    let zone = ["sql", "--format", "csv", "--zone", "Asia/Kolkata", "SELECT time FROM t"];
    let shown = server.ctl(&zone);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "time\n1970-01-01T05:30:00+05:30\n");
}

#[test]
fn an_error_points_at_its_place_over_the_network_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    runtime().block_on(async {
        let client = Client::connect(&server.grpc).await.unwrap();
        client.write(request(rows(0, 1))).await.unwrap();
    });
    for (statement, code, lines) in [
        ("SELECT 1; SELECT z\nFROM t", 3, "\nSELECT z\n       ^"),
        ("SELECT x\nFROM t WHERE ,", 2, "\nFROM t WHERE ,\n             ^"),
    ] {
        let output = server.ctl(&["sql", "--format", "csv", statement]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(lines), "{text}");
    }
}
