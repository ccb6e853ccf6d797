//! The server's figures, in Prometheus' text form. Every name is in docs/METRICS.md.

use std::sync::OnceLock;
use std::time::Duration;

use chronolith_engine::Db;
use chronolith_engine::db::Stats;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms' buckets, in seconds: 50 us to 30 s.
const SECONDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The one recorder of the process; none where another was installed before.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || PrometheusBuilder::new().set_buckets(&SECONDS).ok()?.install_recorder().ok();
    RECORDER.get_or_init(install).as_ref()
}

/// Makes figures count from now on.
pub(crate) fn start() {
    if recorder().is_none() {
        tracing::warn!("figures are recorded elsewhere: /metrics stays empty");
    }
}

/// A call began. Paths that are no method of ours are one.
pub(crate) fn request(path: &str) {
    let method = path.trim_start_matches('/');
    let method = if is_method(method) { method.to_owned() } else { "other".to_owned() };
    counter!("chronolith_requests_total", "method" => method).increment(1);
}

/// Clients choose paths: only names of methods become labels.
fn is_method(name: &str) -> bool {
    const METHODS: [&str; 19] = [
        "chronolith.v1.WriteService/Write",
        "chronolith.v1.WriteService/WriteStream",
        "chronolith.v1.WriteService/ImportProgress",
        "chronolith.v1.QueryService/Sql",
        "chronolith.v1.QueryService/Scan",
        "chronolith.v1.QueryService/Aggregate",
        "chronolith.v1.QueryService/Latest",
        "chronolith.v1.AdminService/CreateTable",
        "chronolith.v1.AdminService/DescribeTable",
        "chronolith.v1.AdminService/ListTables",
        "chronolith.v1.AdminService/DropTable",
        "chronolith.v1.AdminService/DeleteRows",
        "chronolith.v1.AdminService/Flush",
        "chronolith.v1.AdminService/Compact",
        "chronolith.v1.AdminService/Stats",
        "chronolith.v1.AdminService/Verify",
        "chronolith.v1.LogService/Tail",
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
    ];
    METHODS.contains(&name)
}

/// A request failed.
pub(crate) fn error(reason: &str) {
    counter!("chronolith_errors_total", "reason" => reason.to_owned()).increment(1);
}

/// Bytes of requests that are held change by so many.
pub(crate) fn in_flight(bytes: f64) {
    gauge!("chronolith_requests_in_flight_bytes").increment(bytes);
}

/// A batch was committed.
pub(crate) fn written(row_count: u64, took: Duration) {
    counter!("chronolith_write_batches_total").increment(1);
    counter!("chronolith_write_rows_total").increment(row_count);
    histogram!("chronolith_write_seconds").record(took.as_secs_f64());
}

/// A query begins (1) or ends (-1).
pub(crate) fn queries(change: f64) {
    gauge!("chronolith_queries_open").increment(change);
}

/// A query of the query service's `method` ended.
pub(crate) fn queried(method: &'static str, took: Duration) {
    histogram!("chronolith_query_seconds", "method" => method).record(took.as_secs_f64());
}

/// Bytes of an answer were sent.
pub(crate) fn answered(bytes: usize) {
    counter!("chronolith_query_bytes_total").increment(bytes as u64);
}

/// Everything, as text.
pub(crate) fn render(db: Option<&Db>, disk_free_bytes: Option<u64>) -> String {
    gauge!("chronolith_up").set(if db.is_some() { 1.0 } else { 0.0 });
    if let Some(db) = db {
        // Counting series would read every segment's dictionary.
        of_database(&db.stats_at_once());
    }
    if let Some(free) = disk_free_bytes {
        set("chronolith_disk_free_bytes", free);
    }
    recorder().map(PrometheusHandle::render).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
fn set(name: &'static str, value: u64) {
    gauge!(name).set(value as f64);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
fn of_database(stats: &Stats) {
    set("chronolith_log_bytes", stats.log_bytes);
    set("chronolith_log_files", stats.log_file_count);
    set("chronolith_memtable_bytes", stats.memtable_bytes);
    set("chronolith_memory_used_bytes", stats.memory_used_bytes);
    set("chronolith_memory_limit_bytes", stats.memory_limit_bytes);
    set("chronolith_manifest_number", stats.manifest_number);
    set("chronolith_sequence", stats.sequence.counter);
    set("chronolith_durable_sequence", stats.durable_sequence.counter);
    set("chronolith_tables", stats.tables.len() as u64);
    set("chronolith_poisoned", u64::from(stats.poisoned.is_some()));
    for table in stats.tables.iter().take(TABLES_MAX) {
        let of = |name: &'static str, value: u64| {
            gauge!(name, "table" => table.name.clone()).set(value as f64);
        };
        of("chronolith_table_rows", table.row_count);
        of("chronolith_table_memory_rows", table.memory_rows);
        of("chronolith_table_segments", table.segment_count);
        of("chronolith_table_segment_bytes", table.segment_bytes);
    }
}

/// Tables whose figures are given one by one.
const TABLES_MAX: usize = 1_000;
