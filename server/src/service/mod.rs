//! The gRPC services, one a file: decode, call the engine, reply.

mod admin;
mod log;
mod query;
mod write;

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tokio::time::Instant;
use tonic::{Request, Status};

pub(crate) use admin::Admin;
pub(crate) use log::Log;
pub(crate) use query::Query;
pub(crate) use write::Write;

/// The answers of a call that streams.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// When the caller wants an answer at the latest, by `grpc-timeout`; `longest` from now at most.
fn deadline_of<T>(request: &Request<T>, longest: Duration) -> Instant {
    let asked = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
    let asked = asked.and_then(parse_timeout).unwrap_or(longest);
    Instant::now() + asked.min(longest)
}

/// `grpc-timeout`: at most eight digits, and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.get(..text.len() - unit.len_utf8())?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(count * 3_600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_others_are_none() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2H"), Some(Duration::from_secs(7_200)));
        for bad in ["", "m", "123456789m", "-1S", "1s", "1 S", "\u{e9}"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
