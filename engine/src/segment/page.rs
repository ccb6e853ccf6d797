//! Blocks and pages: a column's values to sealed bytes and back. A page is the length of its validity, the validity (none when
//! no value is NULL) and the values that are not NULL, densely. Format: docs/format/segment.md.

use std::borrow::Cow;
use std::ops::Range;

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{
    Bitmap, CodecError, Effort, FloatPlan, IntPlan, TextBuf, TextPlan, decode_f64, decode_i64,
    decode_text, decode_validity, encode_f64, encode_i64, encode_text, encode_validity, plan_f64,
    plan_i64, plan_text,
};

use crate::limits::PAGE_ROWS;
use crate::model::{Column, ColumnData};

use super::zone::{ALL_BOUNDS, Gather, Zone, ZoneValues};

/// A block's values without its NULLs.
enum Dense<'a> {
    Ints(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
    Floats(Cow<'a, [f64]>),
    Bits(Cow<'a, Bitmap>),
    Texts(Cow<'a, TextBuf>),
}

/// How a block's pages are encoded.
enum Plan {
    Ints(IntPlan),
    Unsigned(IntPlan, Vec<i64>),
    Floats(FloatPlan),
    Bits,
    Texts(TextPlan),
}

/// One column of a row group, ready to be cut into pages.
pub(crate) struct BlockEncoder<'a> {
    dense: Dense<'a>,
    plan: Plan,
    validity: Option<&'a Bitmap>,
    /// For each page its rows, and where its values lie in `dense`.
    pages: Vec<(Range<usize>, Range<usize>)>,
}

impl<'a> BlockEncoder<'a> {
    /// Plans the encoding of `column`.
    pub(crate) fn new(column: &'a Column, effort: Effort) -> Self {
        let validity = column.validity.as_ref();
        let dense = dense(column);
        let plan = plan(&dense, effort);
        Self { dense, plan, validity, pages: pages(column) }
    }

    /// How many pages there are.
    pub(crate) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Appends the page `index` to `out`. Bytes of text in it, 0 for other types.
    #[expect(clippy::indexing_slicing, reason = "pages lie within the values they were cut from")]
    pub(crate) fn encode(&self, index: usize, out: &mut Vec<u8>) -> usize {
        let (rows, values) = self.pages[index].clone();
        let mut validity = Vec::new();
        if let Some(bits) = self.validity.filter(|_| values.len() < rows.len()) {
            let mut part = Bitmap::new();
            part.append_slice(bits, rows.start, rows.len());
            encode_validity(&part, &mut validity);
        }
        varint::put_bytes(out, &validity);
        if values.is_empty() {
            return 0;
        }
        match (&self.dense, &self.plan) {
            (Dense::Ints(all), Plan::Ints(plan)) => encode_i64(&all[values], plan, out),
            (Dense::Unsigned(_), Plan::Unsigned(plan, all)) => encode_i64(&all[values], plan, out),
            (Dense::Floats(all), Plan::Floats(plan)) => encode_f64(&all[values], plan, out),
            (Dense::Texts(all), Plan::Texts(plan)) => {
                encode_text(all.view().slice(values.start, values.len()), plan, out);
                return (all.offsets[values.end] - all.offsets[values.start]) as usize;
            }
            (Dense::Bits(all), _) => {
                let mut part = Bitmap::new();
                part.append_slice(all, values.start, values.len());
                encode_validity(&part, out);
            }
            _ => {}
        }
        0
    }

    /// The block's zone map, and the coarse bounds of its pages.
    #[expect(clippy::indexing_slicing, reason = "pages lie within the values they were cut from")]
    pub(crate) fn zone(&self) -> (Zone, Vec<(u8, u8)>) {
        let rows = self.pages.last().map_or(0, |(rows, _)| rows.end);
        let values = self.pages.last().map_or(0, |(_, values)| values.end);
        let parts = self.pages.iter().map(|(_, values)| values.clone());
        let (stats, nan_count, coarse) = match &self.dense {
            Dense::Ints(all) => {
                let mut gather = Gather::<i64, i128>::new();
                parts.for_each(|values| gather.page(&all[values]));
                gather.finish()
            }
            Dense::Unsigned(all) => {
                let mut gather = Gather::<u64, i128>::new();
                parts.for_each(|values| gather.page(&all[values]));
                gather.finish()
            }
            Dense::Floats(all) => {
                let mut gather = Gather::<f64, f64>::new();
                parts.for_each(|values| gather.page(&all[values]));
                gather.finish()
            }
            _ => (ZoneValues::None, 0, vec![ALL_BOUNDS; self.pages.len()]),
        };
        let zone = Zone {
            row_count: small(rows),
            null_count: small(rows - values),
            nan_count: small(nan_count),
            values: stats,
        };
        (zone, coarse)
    }
}

/// A count within a row group.
fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The rows of each page, and how many values before it are not NULL.
fn pages(column: &Column) -> Vec<(Range<usize>, Range<usize>)> {
    let len = column.len();
    let mut before = 0;
    let cut = |start: usize| {
        let rows = start..len.min(start + PAGE_ROWS);
        let valid = column.validity.as_ref().map_or(rows.len(), |bits| {
            let mut part = Bitmap::new();
            part.append_slice(bits, rows.start, rows.len());
            part.count_ones()
        });
        before += valid;
        (rows, before - valid..before)
    };
    (0..len).step_by(PAGE_ROWS).map(cut).collect()
}

fn dense(column: &Column) -> Dense<'_> {
    let Some(validity) = &column.validity else {
        return match &column.data {
            ColumnData::I64(values) => Dense::Ints(Cow::Borrowed(values)),
            ColumnData::U64(values) => Dense::Unsigned(Cow::Borrowed(values)),
            ColumnData::F64(values) => Dense::Floats(Cow::Borrowed(values)),
            ColumnData::Bool(bits) => Dense::Bits(Cow::Borrowed(bits)),
            ColumnData::Utf8(texts) => Dense::Texts(Cow::Borrowed(texts)),
        };
    };
    match &column.data {
        ColumnData::I64(values) => Dense::Ints(Cow::Owned(valid(values, validity))),
        ColumnData::U64(values) => Dense::Unsigned(Cow::Owned(valid(values, validity))),
        ColumnData::F64(values) => Dense::Floats(Cow::Owned(valid(values, validity))),
        ColumnData::Bool(bits) => {
            let set = |index: usize| bits.get(index).unwrap_or_default();
            Dense::Bits(Cow::Owned(validity.iter_ones().map(set).collect()))
        }
        ColumnData::Utf8(texts) => Dense::Texts(Cow::Owned(valid_texts(texts, validity))),
    }
}

fn valid<T: Copy>(values: &[T], validity: &Bitmap) -> Vec<T> {
    validity.iter_ones().filter_map(|index| values.get(index).copied()).collect()
}

fn valid_texts(texts: &TextBuf, validity: &Bitmap) -> TextBuf {
    let mut dense = TextBuf { offsets: vec![0], bytes: Vec::with_capacity(texts.bytes.len()) };
    let view = texts.view();
    for index in validity.iter_ones() {
        dense.bytes.extend_from_slice(view.get_bytes(index).unwrap_or_default());
        dense.offsets.push(small(dense.bytes.len()));
    }
    dense
}

fn plan(dense: &Dense<'_>, effort: Effort) -> Plan {
    match dense {
        Dense::Ints(values) => Plan::Ints(plan_i64(values, effort)),
        Dense::Unsigned(values) => {
            let bits = as_signed(values);
            Plan::Unsigned(plan_i64(&bits, effort), bits)
        }
        Dense::Floats(values) => Plan::Floats(plan_f64(values, effort)),
        Dense::Bits(_) => Plan::Bits,
        Dense::Texts(texts) => Plan::Texts(plan_text(texts.view(), effort)),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "unsigned values are stored as their bit patterns")]
fn as_signed(values: &[u64]) -> Vec<i64> {
    values.iter().map(|value| *value as i64).collect()
}

/// Appends the `count` values of a page to `out`. Text in it is at most `text_bytes` long. `out` keeps its layout, but may hold
/// some of the page's values after an error.
///
/// # Errors
/// For bytes that no encoder writes for so many values.
pub(crate) fn decode(
    page: &[u8],
    count: usize,
    text_bytes: usize,
    out: &mut Column,
) -> Result<(), CodecError> {
    let mut reader = Reader::new(page);
    let validity = reader.prefixed_bytes()?;
    if validity.is_empty() {
        if let Some(bits) = &mut out.validity {
            bits.push_run(true, count);
        }
        return decode_dense(reader.rest(), count, text_bytes, &mut out.data);
    }
    let mut bits = Bitmap::new();
    decode_validity(validity, count, &mut bits)?;
    let valid = bits.count_ones();
    let mut dense = out.empty_data();
    if valid > 0 {
        decode_dense(reader.rest(), valid, text_bytes, &mut dense)?;
    } else {
        reader.finish()?;
    }
    let before = out.data.len();
    scatter(&dense, &bits, &mut out.data)?;
    let all = out.validity.get_or_insert_with(|| Bitmap::filled(before, true));
    all.extend_from(&bits);
    Ok(())
}

fn decode_dense(
    bytes: &[u8],
    count: usize,
    text_bytes: usize,
    out: &mut ColumnData,
) -> Result<(), CodecError> {
    match out {
        ColumnData::I64(values) => decode_i64(bytes, count, values),
        ColumnData::F64(values) => decode_f64(bytes, count, values),
        ColumnData::Bool(bits) => decode_validity(bytes, count, bits),
        ColumnData::Utf8(texts) => decode_text(bytes, count, text_bytes, texts),
        ColumnData::U64(values) => {
            let mut signed = Vec::with_capacity(count);
            decode_i64(bytes, count, &mut signed)?;
            values.extend(signed.iter().map(|value| *value as u64));
            Ok(())
        }
    }
}

/// Appends a slot for each bit: the next value where it is set, an empty one where it is not.
fn scatter(dense: &ColumnData, bits: &Bitmap, out: &mut ColumnData) -> Result<(), CodecError> {
    let base = out.len();
    match (dense, out) {
        (ColumnData::I64(dense), ColumnData::I64(out)) => spread(dense, bits, base, out),
        (ColumnData::U64(dense), ColumnData::U64(out)) => spread(dense, bits, base, out),
        (ColumnData::F64(dense), ColumnData::F64(out)) => spread(dense, bits, base, out),
        (ColumnData::Bool(dense), ColumnData::Bool(out)) => {
            out.push_run(false, bits.len());
            for (row, bit) in bits.iter_ones().zip(dense.iter()) {
                out.set(base + row, bit);
            }
        }
        (ColumnData::Utf8(dense), ColumnData::Utf8(out)) => {
            let texts = dense.view();
            let mut next = 0;
            for valid in bits.iter() {
                if valid {
                    out.bytes.extend_from_slice(texts.get_bytes(next).unwrap_or_default());
                    next += 1;
                }
                let end = u32::try_from(out.bytes.len());
                out.offsets.push(end.map_err(|_| CodecError::TooLarge {
                    what: "bytes of a text column",
                    value: out.bytes.len() as u64,
                    max: u64::from(u32::MAX),
                })?);
            }
        }
        _ => {}
    }
    Ok(())
}

fn spread<T: Copy + Default>(dense: &[T], bits: &Bitmap, base: usize, out: &mut Vec<T>) {
    out.resize(base + bits.len(), T::default());
    let slots = out.get_mut(base..).unwrap_or_default();
    for (row, value) in bits.iter_ones().zip(dense) {
        if let Some(slot) = slots.get_mut(row) {
            *slot = *value;
        }
    }
}
