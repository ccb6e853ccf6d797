//! `/health` and `/metrics`.
//!
//! `/health` says what the server is: `starting` (503), `ready` (200), `degraded` (200: it serves, and an operator
//! should look), `failed` (503: writes are refused until it is started again), `stopping` (503), with reasons.
//! `/health/live` is 200 while the process answers; `/health/ready` has the code of `/health`.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chronolith_engine::db::Vitals;
use chronolith_engine::manifest::Quarantined;
use serde_json::json;
use tokio::net::TcpListener;

use crate::meters;
use crate::shared::Shared;

/// Free bytes below which the disk counts as nearly full.
const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
/// Hundredths of the disk below which, too, it counts as nearly full.
const DISK_FREE_PERCENT_MIN: u64 = 3;
/// Hundredths of the memory budget from which on it counts as full.
const MEMORY_PERCENT_MAX: u64 = 95;
/// Nanoseconds from which on the clock counts as behind.
const CLOCK_BEHIND_NS_MAX: i64 = 1_000_000_000;

/// Serves until `end`.
///
/// # Errors
/// The system's.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/health/ready", get(health))
        .route("/health/live", get(live))
        .route("/metrics", get(metrics))
        .with_state(shared);
    axum::serve(listener, routes).with_graceful_shutdown(end).await
}

async fn live() -> &'static str {
    "{\"live\":true}\n"
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let reader = Arc::clone(&shared);
    // Looking at the disk and the tables may block.
    let state = shared.reads.run(move || (state_of(&reader), set_aside(&reader))).await;
    let ((word, reasons), set_aside) =
        state.unwrap_or_else(|status| (("failed", vec![status.message().to_owned()]), Vec::new()));
    let code = match word {
        "ready" | "degraded" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({
        "status": word, "live": true, "ready": code == StatusCode::OK, "reasons": reasons, "set_aside": set_aside,
    });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// What repairs have set aside, for as long as the database lives: rows may be missing where they were.
fn set_aside(shared: &Shared) -> Vec<String> {
    let Some(db) = shared.open_db() else { return Vec::new() };
    let text = |(table, one): &(Option<String>, Arc<Quarantined>)| {
        let table = table.as_ref().map_or_else(String::new, |table| format!(", table {table}"));
        format!("{}{table}: {}", one.path, one.reason)
    };
    db.quarantined().iter().map(text).collect()
}

/// What the server is, and why.
fn state_of(shared: &Shared) -> (&'static str, Vec<String>) {
    if shared.shutdown.is_begun() {
        return ("stopping", vec!["the server shuts down".to_owned()]);
    }
    let Some(db) = shared.open_db() else {
        return ("starting", vec!["the database is being opened".to_owned()]);
    };
    judge(&db.vitals(), shared.damage(), disk(shared))
}

/// What a server is whose database is open: by its vitals, the first damage that was met, and free and all bytes of the disk.
fn judge(
    vitals: &Vitals,
    damage: Option<String>,
    disk: Option<(u64, u64)>,
) -> (&'static str, Vec<String>) {
    let mut reasons = Vec::new();
    reasons.extend(damage.map(|damage| format!("damaged: {damage}")));
    let nearly_full = |(free, total): &(u64, u64)| {
        *free < DISK_FREE_BYTES_MIN.min(total / 10) || *free < total / 100 * DISK_FREE_PERCENT_MIN
    };
    if let Some((free, total)) = disk.filter(nearly_full) {
        reasons.push(format!("disk nearly full: {free} of {total} bytes are free"));
    }
    if vitals.memory_used_bytes > vitals.memory_limit_bytes / 100 * MEMORY_PERCENT_MAX {
        reasons.push(format!(
            "memory full: {} of {} bytes are held",
            vitals.memory_used_bytes, vitals.memory_limit_bytes
        ));
    }
    if vitals.clock_behind_ns > CLOCK_BEHIND_NS_MAX {
        reasons.push(format!(
            "clock behind: the system's clock is {} ms before the last commit's time; until it has caught up, commits have \
             that time, and reads as of a moment cannot tell them apart",
            vitals.clock_behind_ns / 1_000_000
        ));
    }
    if let Some(cause) = &vitals.poisoned {
        reasons.insert(
            0,
            format!("poisoned: writes are refused since {cause}; start the server again"),
        );
        return ("failed", reasons);
    }
    (if reasons.is_empty() { "ready" } else { "degraded" }, reasons)
}

/// Free and all bytes of the database's disk.
fn disk(shared: &Shared) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(&shared.dir).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let reader = Arc::clone(&shared);
    let render = move || meters::render(reader.open_db(), disk(&reader).map(|(free, _)| free));
    match shared.reads.run(render).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(status) => {
            (StatusCode::INTERNAL_SERVER_ERROR, status.message().to_owned()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_degraded_with_reasons_and_failed_when_it_is_poisoned() {
        let well = || Vitals { memory_limit_bytes: 1_000, ..Vitals::default() };
        let disk = Some((500 << 30, 1_000 << 30));
        assert_eq!(judge(&well(), None, disk), ("ready", Vec::new()));
        let reason = |vitals: &Vitals, damage, disk| {
            let (word, reasons) = judge(vitals, damage, disk);
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            (word, reasons[0].split(':').next().unwrap().to_owned())
        };
        let is = |word, reason: &str| (word, reason.to_owned());
        let behind = Vitals { clock_behind_ns: 1_000_000_001, ..well() };
        assert_eq!(reason(&behind, None, disk), is("degraded", "clock behind"));
        let hardly = Vitals { clock_behind_ns: 1_000_000_000, ..well() };
        assert_eq!(judge(&hardly, None, disk).0, "ready");
        let full = Vitals { memory_used_bytes: 960, memory_limit_bytes: 1_000, ..well() };
        assert_eq!(reason(&full, None, disk), is("degraded", "memory full"));
        assert_eq!(reason(&well(), Some("x".into()), disk), is("degraded", "damaged"));
        assert_eq!(reason(&well(), None, Some((1, 1 << 40))), is("degraded", "disk nearly full"));
        let poisoned = Vitals { poisoned: Some("a sync".into()), ..well() };
        assert_eq!(reason(&poisoned, None, disk), is("failed", "poisoned"));
    }
}
