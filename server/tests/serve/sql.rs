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
