//! Reports as JSON, for scripts: times as ISO-8601 text in UTC.

use clap::ValueEnum;
use serde_json::Value;

use crate::text::time::push_utc;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// For eyes
    Table,
    /// One JSON object
    Json,
}

/// A time as ISO-8601 text in UTC.
pub(super) fn utc(ns: i64) -> String {
    let mut text = Vec::new();
    push_utc(&mut text, ns);
    String::from_utf8_lossy(&text).into_owned()
}

/// A time in JSON.
pub(super) fn time(ns: Option<i64>) -> Value {
    ns.map_or(Value::Null, |ns| Value::String(utc(ns)))
}

/// The text of a report, with a line end.
pub(super) fn text(value: &Value) -> String {
    format!("{value:#}\n")
}
