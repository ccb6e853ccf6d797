//! Text in and text out of the command line, without the engine: files, CSV, NDJSON,
//! line protocol, times, types, numbers, result tables, progress. Nothing here prints by itself.

pub mod csv;
mod cursor;
pub mod infer;
pub mod input;
pub mod line_protocol;
pub mod lines;
pub mod ndjson;
pub mod number;
pub mod output;
pub mod progress;
pub mod table;
pub mod time;

/// Longest piece of somebody's text that an error message repeats, in characters.
pub const SHOWN_CHARS_MAX: usize = 40;

/// The start of `bytes` as it may stand in a message: at most [`SHOWN_CHARS_MAX`]
/// characters, what is not UTF-8 replaced, control characters escaped, `...` where cut.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    // Four bytes a character at most: a long field is not decoded whole for its start.
    let head = bytes.get(..SHOWN_CHARS_MAX * 4 + 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == SHOWN_CHARS_MAX {
            out.push_str("...");
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_cuts_escapes_and_replaces() {
        assert_eq!(shown(b"plain"), "plain");
        assert_eq!(shown(b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        let long = "\u{20ac}".repeat(1000);
        assert_eq!(shown(long.as_bytes()), format!("{}...", "\u{20ac}".repeat(40)));
        assert_eq!(shown("\u{20ac}".repeat(40).as_bytes()), "\u{20ac}".repeat(40));
    }
}
