//! The canonical bytes of a series within its table.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::{SERIES_KEY_LEN_BYTES_MAX, TAG_VALUE_LEN_BYTES_MAX};

/// One combination of tag values, as bytes whose order is the order of the tags: the value of each tag in the table's tag order,
/// each followed by a zero byte, without trailing empty tags. So an empty and an absent tag are the same, and keys stay as they
/// are when a tag is added (last). Tag values hold no zero byte. Shape: docs/format/series-key.md.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesKey(Arc<[u8]>);

impl SeriesKey {
    /// The key of `values`, in tag order; empty text for an absent tag.
    ///
    /// # Errors
    /// `OverLimit` for a value over [`TAG_VALUE_LEN_BYTES_MAX`] or a key over [`SERIES_KEY_LEN_BYTES_MAX`]; `Invalid` for a zero byte.
    pub fn from_tags<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut end = 0;
        for value in values {
            check_tag_value(value)?;
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
            if !value.is_empty() {
                end = bytes.len();
            }
        }
        bytes.truncate(end);
        if bytes.len() > SERIES_KEY_LEN_BYTES_MAX {
            return Err(Error::OverLimit {
                what: "series key".into(),
                found: bytes.len() as u64,
                limit: SERIES_KEY_LEN_BYTES_MAX as u64,
                unit: "bytes",
                row: None,
            });
        }
        Ok(Self(bytes.into()))
    }

    /// The key that `bytes` are, if they are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let well_formed = bytes.len() <= SERIES_KEY_LEN_BYTES_MAX
            && std::str::from_utf8(bytes).is_ok()
            && matches!(bytes, [] | [.., 1..=u8::MAX, 0]);
        well_formed.then(|| Self(bytes.into()))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of the tag at `position`; empty where absent.
    #[must_use]
    pub fn tag(&self, position: usize) -> &str {
        tag_of(&self.0, position)
    }

    /// Bytes that this key takes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.len() + 16
    }
}

/// The value of the tag at `position` in the key `bytes`; empty where absent.
#[must_use]
pub fn tag_of(bytes: &[u8], position: usize) -> &str {
    let value = bytes.split(|&byte| byte == 0).nth(position).unwrap_or_default();
    std::str::from_utf8(value).unwrap_or_default()
}

/// Checks one tag value.
///
/// # Errors
/// As [`SeriesKey::from_tags`].
pub fn check_tag_value(value: &str) -> Result<()> {
    if value.len() > TAG_VALUE_LEN_BYTES_MAX {
        return Err(Error::OverLimit {
            what: format!("tag value {:?}...", value.chars().take(32).collect::<String>()),
            found: value.len() as u64,
            limit: TAG_VALUE_LEN_BYTES_MAX as u64,
            unit: "bytes",
            row: None,
        });
    }
    if value.as_bytes().contains(&0) {
        return Err(Error::invalid(format!(
            "tag value {value:?} holds a zero byte, which tags cannot"
        )));
    }
    Ok(())
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.split(|&b| b == 0).map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tags: &[&str]) -> SeriesKey {
        SeriesKey::from_tags(tags.iter().copied()).unwrap()
    }

    #[test]
    fn empty_and_absent_tags_are_the_same() {
        assert_eq!(key(&["a", ""]), key(&["a"]));
        assert_eq!(key(&["", ""]), key(&[]));
        assert_ne!(key(&["", "a"]), key(&["a"]));
        assert_eq!(key(&["", "a"]).tag(1), "a");
        assert_eq!(key(&["", "a"]).tag(7), "");
    }

    #[test]
    fn byte_order_is_tag_order() {
        let sorted = [
            vec![],
            vec!["", "b"],
            vec!["a"],
            vec!["a", "", "c"],
            vec!["a", "b"],
            vec!["a!", "a"],
            vec!["ab"],
            vec!["\u{e9}"],
        ];
        for pair in sorted.windows(2) {
            assert!(key(&pair[0]) < key(&pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn bytes_round_trip_and_malformed_bytes_are_refused() {
        let whole = key(&["x", "", "z"]);
        assert_eq!(SeriesKey::from_bytes(whole.as_bytes()), Some(whole));
        for bad in [&b"x"[..], b"x\0\0", b"\xff\0", b"\0"] {
            assert_eq!(SeriesKey::from_bytes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn long_values_and_zero_bytes_are_refused() {
        let long = "x".repeat(TAG_VALUE_LEN_BYTES_MAX + 1);
        assert!(matches!(SeriesKey::from_tags([long.as_str()]), Err(Error::OverLimit { .. })));
        assert!(matches!(SeriesKey::from_tags(["a\0b"]), Err(Error::Invalid(_))));
    }
}
