//! Fields out, by RFC 4180: quotes only where needed; NULL is nothing, which the caller
//! writes by writing nothing, and the empty text is `""`.

use super::Delimiter;
use memchr::{memchr, memchr_iter};

/// Appends the empty text, which differs from NULL by its quotes.
pub fn push_empty_text(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"\"");
}

/// Appends a text so that [`CsvReader`](super::CsvReader) gives back the same bytes and
/// does not take it for NULL.
pub fn push_text(out: &mut Vec<u8>, text: &str, delimiter: Delimiter) {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return push_empty_text(out);
    }
    if !needs_quotes(bytes, delimiter.byte()) {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    let mut from = 0;
    for at in memchr_iter(b'"', bytes) {
        out.extend_from_slice(bytes.get(from..=at).unwrap_or_default());
        out.push(b'"');
        from = at + 1;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    out.push(b'"');
}

fn needs_quotes(bytes: &[u8], delimiter: u8) -> bool {
    memchr::memchr3(b'"', b'\n', b'\r', bytes).is_some() || memchr(delimiter, bytes).is_some()
}
