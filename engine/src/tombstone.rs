//! Tombstones: deletes that hide rows until compaction has removed them. Format: docs/format/manifest.md.

use chronolith_codec::varint::{Reader, put_i64, put_u64};

use crate::error::{Error, Result};
use crate::format::wire::{self, Decoded};
use crate::limits::{TAG_COUNT_MAX, TAG_VALUE_LEN_BYTES_MAX};
use crate::model::{Sequence, SeriesKey, TableId, TagFilter, TimeRange, check_tag_value, tag_of};
use crate::planted::{Bug, is_on};

/// Values of one tombstone's filter, inclusive.
const FILTER_VALUE_COUNT_MAX: usize = 1 << 20;

/// A delete: rows of `table` whose series passes every filter, whose time lies in `range`, and whose sequence is lower than the
/// tombstone's own. Rows of the tombstone's own batch and later ones are not hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The table.
    pub table: TableId,
    /// The delete's place in commit order.
    pub sequence: Sequence,
    /// Conditions by the tag's position in series keys; all must hold, none means every series.
    pub tags: Vec<(u32, TagFilter)>,
    /// The timestamps that are hidden.
    pub range: TimeRange,
}

impl Tombstone {
    /// Whether the row of `key` at `time`, written at `sequence`, is hidden.
    #[must_use]
    pub fn hides(&self, key: &SeriesKey, time: i64, sequence: Sequence) -> bool {
        (sequence < self.sequence || is_on(Bug::TombstoneHidesLater))
            && self.range.contains(time)
            && self.covers_series(key)
    }

    /// Whether the series passes every filter, so that its rows of the range are hidden.
    #[must_use]
    pub fn covers_series(&self, key: &SeriesKey) -> bool {
        self.covers_series_bytes(key.as_bytes())
    }

    /// [`Self::covers_series`] for the canonical bytes of a key.
    #[must_use]
    pub fn covers_series_bytes(&self, key: &[u8]) -> bool {
        self.tags.iter().all(|(position, filter)| {
            // A position beyond every key reads as absent, as a tag added later does.
            filter.accepts(tag_of(key, usize::try_from(*position).unwrap_or(usize::MAX)))
        })
    }

    /// Whether it can hide any row of `table` with times from `min_time` to `max_time`, both inclusive, and no sequence below
    /// `min_sequence`. False is certain, true is not.
    #[must_use]
    pub fn may_touch(
        &self,
        table: TableId,
        min_time: i64,
        max_time: i64,
        min_sequence: Sequence,
    ) -> bool {
        self.table == table
            && min_sequence < self.sequence
            && self.range.touches(min_time, max_time)
    }

    /// Checks that the conditions can be read back.
    ///
    /// # Errors
    /// `OverLimit`; `Invalid` for a value that no tag has.
    pub fn check(&self) -> Result<()> {
        let over = |what: &str, found: usize, limit: usize| {
            let (what, found, limit) = (what.to_owned(), found as u64, limit as u64);
            Err(Error::OverLimit { what, found, limit, unit: "of them", row: None })
        };
        if self.tags.len() > TAG_COUNT_MAX {
            return over("the count of a deletion's conditions", self.tags.len(), TAG_COUNT_MAX);
        }
        for (_, TagFilter::In(values) | TagFilter::NotIn(values)) in &self.tags {
            if values.len() > FILTER_VALUE_COUNT_MAX {
                return over(
                    "the count of values of a deletion's condition",
                    values.len(),
                    FILTER_VALUE_COUNT_MAX,
                );
            }
            values.iter().try_for_each(|value| check_tag_value(value))?;
        }
        Ok(())
    }

    /// Appends the tombstone.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.table.0));
        wire::put_sequence(out, self.sequence);
        put_i64(out, self.range.from);
        put_i64(out, self.range.to);
        put_u64(out, self.tags.len() as u64);
        for (position, filter) in &self.tags {
            put_u64(out, u64::from(*position));
            encode_filter(out, filter);
        }
    }

    /// Reads a tombstone.
    ///
    /// # Errors
    /// `CodecError` for bytes that no encoder writes.
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let table = TableId(wire::u32(reader)?);
        let sequence = wire::sequence(reader)?;
        let range = TimeRange::new(reader.i64()?, reader.i64()?);
        let count = wire::count(reader, "a tombstone's filters", TAG_COUNT_MAX)?;
        let mut tags = Vec::with_capacity(count);
        for _ in 0..count {
            tags.push((wire::u32(reader)?, decode_filter(reader)?));
        }
        Ok(Self { table, sequence, tags, range })
    }
}

fn encode_filter(out: &mut Vec<u8>, filter: &TagFilter) {
    let (kind, values) = match filter {
        TagFilter::In(values) => (1, values),
        TagFilter::NotIn(values) => (2, values),
    };
    out.push(kind);
    put_u64(out, values.len() as u64);
    for value in values {
        wire::put_text(out, value);
    }
}

fn decode_filter(reader: &mut Reader<'_>) -> Decoded<TagFilter> {
    let kind = reader.u8()?;
    let count = wire::count(reader, "a filter's values", FILTER_VALUE_COUNT_MAX)?;
    // Grown as read: a count may claim many more values than its bytes pay for in memory.
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(wire::text(reader, "a tag value's bytes", TAG_VALUE_LEN_BYTES_MAX)?);
    }
    match kind {
        1 => Ok(TagFilter::In(values)),
        2 => Ok(TagFilter::NotIn(values)),
        _ => Err(wire::corrupt("unknown kind of tag filter")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tags: &[&str]) -> SeriesKey {
        SeriesKey::from_tags(tags.iter().copied()).unwrap()
    }

    fn seq(counter: u64) -> Sequence {
        Sequence { incarnation: 1, counter }
    }

    fn sample() -> Tombstone {
        Tombstone {
            table: TableId(3),
            sequence: seq(10),
            tags: vec![
                (0, TagFilter::In(vec!["a".into(), "b".into()])),
                (2, TagFilter::NotIn(vec!["x".into(), String::new()])),
            ],
            range: TimeRange::new(100, 200),
        }
    }

    #[test]
    fn hides_earlier_rows_of_its_series_and_range_only() {
        let tombstone = sample();
        let covered = key(&["a", "", "y"]);
        assert!(tombstone.hides(&covered, 100, seq(9)));
        assert!(!tombstone.hides(&covered, 100, seq(10)), "its own batch stays");
        assert!(!tombstone.hides(&covered, 99, seq(9)));
        assert!(!tombstone.hides(&covered, 200, seq(9)), "the end is exclusive");
        assert!(!tombstone.hides(&key(&["c", "", "y"]), 150, seq(9)));
        assert!(!tombstone.hides(&key(&["a", "", "x"]), 150, seq(9)));
        assert!(!tombstone.hides(&key(&["a"]), 150, seq(9)), "absent is the empty value");
        let earlier = Sequence { incarnation: 0, counter: 99 };
        assert!(tombstone.hides(&covered, 150, earlier), "an earlier incarnation is earlier");
    }

    #[test]
    fn may_touch_is_false_only_where_nothing_can_be_hidden() {
        let tombstone = sample();
        assert!(tombstone.may_touch(TableId(3), 0, 100, seq(9)));
        assert!(!tombstone.may_touch(TableId(4), 0, 100, seq(9)));
        assert!(!tombstone.may_touch(TableId(3), 0, 99, seq(9)));
        assert!(!tombstone.may_touch(TableId(3), 200, 300, seq(9)));
        assert!(!tombstone.may_touch(TableId(3), 150, 150, seq(10)));
    }

    #[test]
    fn bytes_round_trip_and_no_prefix_decodes() {
        let everything = Tombstone { tags: vec![], range: TimeRange::ALL, ..sample() };
        for tombstone in [sample(), everything] {
            let mut bytes = Vec::new();
            tombstone.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Tombstone::decode(&mut reader).unwrap(), tombstone);
            reader.finish().unwrap();
            for len in 0..bytes.len() {
                assert!(Tombstone::decode(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
            }
        }
    }
}
