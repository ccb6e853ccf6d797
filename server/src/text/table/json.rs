//! Rows as JSON objects (RFC 8259).

use super::{Cell, push_bare};

/// A column's name as it stands before each value: a string and a colon.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    push_string(&mut key, name);
    key.push(b':');
    key
}

/// Appends a row on a line of its own, after a comma if rows came before it.
pub(super) fn push_row(out: &mut Vec<u8>, keys: &[Vec<u8>], cells: &[Cell<'_>], before: u64) {
    out.extend_from_slice(if before == 0 { b"\n{" } else { b",\n{" });
    for (i, (key, cell)) in keys.iter().zip(cells).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        push_value(out, *cell);
    }
    out.push(b'}');
}

fn push_value(out: &mut Vec<u8>, cell: Cell<'_>) {
    let in_quotes = match cell {
        Cell::Null => return out.extend_from_slice(b"null"),
        Cell::Text(text) => return push_string(out, text),
        Cell::Time(_) => true,
        Cell::F64(value) => !value.is_finite(),
        Cell::I64(_) | Cell::U64(_) | Cell::Bool(_) | Cell::Decimal { .. } => false,
    };
    if in_quotes {
        out.push(b'"');
    }
    push_bare(out, cell);
    if in_quotes {
        out.push(b'"');
    }
}

/// RFC 8259, section 7: quotes, backslashes and control characters are escaped.
fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                let low = HEX.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
