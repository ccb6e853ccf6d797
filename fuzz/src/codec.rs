//! Pages of the codec. Byte 0 chooses the kind of values, and whether what follows is a page or values; byte 1 the plan by which
//! values are encoded; bytes 2 and 3 how many values a page is said to have.

use chronolith_codec::{
    Bitmap, CodecError, Decimal, Effort, FloatEncoding, FloatPlan, IntEncoding, IntPlan, TextBuf,
    TextEncoding, TextPlan, decode_f64, decode_i64, decode_text, decode_validity, encode_f64,
    encode_i64, encode_text, encode_validity, plan_f64, plan_i64, plan_text,
};

use crate::input::Input;

/// Values that are encoded anew, at most: each is tried in many ways.
const AGAIN_MAX: usize = 256;
/// Bytes of texts, at most.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A page, or values to be one.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let (kind, plan, count) = (input.byte(), input.byte(), usize::from(input.u16()));
    let bytes = input.rest();
    match kind % 8 {
        0 => int_page(bytes, count, plan),
        1 => float_page(bytes, count, plan),
        2 => text_page(bytes, count, plan),
        3 => bit_page(bytes, count),
        4 => ints(&int_values(bytes, plan), int_plan(plan)),
        5 => floats(&float_values(bytes, plan), float_plan(plan)),
        6 => texts(&text_values(bytes), text_plan(plan)),
        _ => bits(&bit_values(bytes, count)),
    }
}

/// Encodings of integers.
pub(crate) const INTS: [IntEncoding; 10] = [
    IntEncoding::Plain,
    IntEncoding::RunLength,
    IntEncoding::Frame,
    IntEncoding::Delta,
    IntEncoding::Classes { second_order: false },
    IntEncoding::Classes { second_order: true },
    IntEncoding::Bins { differences: false },
    IntEncoding::Bins { differences: true },
    IntEncoding::Planes { differences: false },
    IntEncoding::Planes { differences: true },
];

/// Zstd now and then: it takes most of the time.
fn zstd_level(choice: u8) -> i32 {
    if choice > 250 { 1 } else { 0 }
}

pub(crate) fn int_plan(choice: u8) -> IntPlan {
    let encoding = INTS[usize::from(choice) % INTS.len()];
    let divisor = [0, 1, 5, u64::MAX][usize::from(choice) / INTS.len() % 4];
    IntPlan { encoding, divisor, zstd_level: zstd_level(choice) }
}

pub(crate) fn float_plan(choice: u8) -> FloatPlan {
    let at = usize::from(choice);
    let inner = INTS[at % INTS.len()];
    let encoding = match at / INTS.len() % 5 {
        0 => FloatEncoding::Xor,
        1 => FloatEncoding::Bits { inner },
        2 => FloatEncoding::Decimal { decimal: Decimal::divided(2), inner },
        3 => FloatEncoding::Decimal { decimal: Decimal::multiplied(14, 12), inner },
        _ => FloatEncoding::Decimal { decimal: Decimal::divided(0), inner },
    };
    FloatPlan { encoding, divisor: 0, zstd_level: zstd_level(choice) }
}

pub(crate) fn text_plan(choice: u8) -> TextPlan {
    let all = [TextEncoding::Plain, TextEncoding::Dictionary, TextEncoding::Front];
    TextPlan { encoding: all[usize::from(choice) % 3], zstd_level: zstd_level(choice) }
}

fn effort(choice: u8) -> Effort {
    if choice.is_multiple_of(64) { Effort::Dense } else { Effort::Fast }
}

/// Whether a page's values are also planned and encoded, which takes long.
fn is_planned(choice: u8) -> bool {
    choice.is_multiple_of(16)
}

/// On an error nothing was appended.
fn outcome<T>(result: Result<(), CodecError>, count: usize, len: usize, values: T) -> Option<T> {
    let expected = if result.is_ok() { 2 + count } else { 2 };
    assert_eq!(len, expected, "values after {result:?}");
    result.is_ok().then_some(values)
}

fn int_page(bytes: &[u8], count: usize, choice: u8) {
    let mut values = vec![7, 7];
    let result = decode_i64(bytes, count, &mut values);
    let Some(values) = outcome(result, count, values.len(), values) else { return };
    let values = &values[2..values.len().min(2 + AGAIN_MAX)];
    ints(values, int_plan(choice));
    if is_planned(choice) {
        ints(values, plan_i64(values, effort(choice)));
    }
}

fn ints(values: &[i64], plan: IntPlan) {
    let mut page = Vec::new();
    encode_i64(values, &plan, &mut page);
    assert!(page.len() <= 64 + values.len() * 8 + 16, "{} bytes by {plan:?}", page.len());
    let mut read = Vec::new();
    decode_i64(&page, values.len(), &mut read).expect("a page that was written is read");
    assert_eq!(read, values, "{plan:?}");
}

fn float_page(bytes: &[u8], count: usize, choice: u8) {
    let mut values = vec![7.0, 7.0];
    let result = decode_f64(bytes, count, &mut values);
    let Some(values) = outcome(result, count, values.len(), values) else { return };
    let values = &values[2..values.len().min(2 + AGAIN_MAX)];
    floats(values, float_plan(choice));
    if is_planned(choice) {
        floats(values, plan_f64(values, effort(choice)));
    }
}

fn floats(values: &[f64], plan: FloatPlan) {
    let mut page = Vec::new();
    encode_f64(values, &plan, &mut page);
    assert!(page.len() <= 64 + values.len() * 8 + 16, "{} bytes by {plan:?}", page.len());
    let mut read = Vec::new();
    decode_f64(&page, values.len(), &mut read).expect("a page that was written is read");
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(values), "{plan:?}");
}

fn text_page(bytes: &[u8], count: usize, choice: u8) {
    let mut values: TextBuf = ["é", ""].into_iter().collect();
    let result = decode_text(bytes, count, TEXT_BYTES_MAX, &mut values);
    let Some(values) = outcome(result, count, values.len(), values) else { return };
    assert!(values.bytes.len() <= 2 + TEXT_BYTES_MAX);
    assert_eq!(values.offsets.last().map(|end| *end as usize), Some(values.bytes.len()));
    let few = values.len().min(2 + AGAIN_MAX);
    let values: TextBuf = (2..few).map(|at| values.get(at).expect("each text is UTF-8")).collect();
    texts(&values, text_plan(choice));
    if is_planned(choice) {
        texts(&values, plan_text(values.view(), effort(choice)));
    }
}

fn texts(values: &TextBuf, plan: TextPlan) {
    let mut page = Vec::new();
    encode_text(values.view(), &plan, &mut page);
    let mut read = TextBuf::new();
    decode_text(&page, values.len(), values.bytes.len(), &mut read)
        .expect("a page that was written is read");
    assert_eq!(read, *values, "{plan:?}");
}

fn bit_page(bytes: &[u8], count: usize) {
    let mut values = Bitmap::filled(2, true);
    let result = decode_validity(bytes, count, &mut values);
    let len = values.len();
    let Some(values) = outcome(result, count, len, values) else { return };
    assert_eq!(values.iter().filter(|bit| *bit).count(), values.count_ones());
    bits(&(2..len).map(|at| values.get(at).expect("within")).collect());
}

fn bits(values: &Bitmap) {
    let mut page = Vec::new();
    encode_validity(values, &mut page);
    let mut read = Bitmap::new();
    decode_validity(&page, values.len(), &mut read).expect("a page that was written is read");
    assert_eq!(read, *values);
}

/// Integers: as they stand, or as sums of small ones.
fn int_values(bytes: &[u8], choice: u8) -> Vec<i64> {
    if choice.is_multiple_of(2) {
        return bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    }
    let step = i64::from(choice) * 1_000;
    let mut sum = i64::MAX - 100_000;
    let next = |byte: &u8| {
        sum = sum.wrapping_add(i64::from(byte.cast_signed()).wrapping_mul(step));
        sum
    };
    bytes.iter().map(next).collect()
}

fn float_values(bytes: &[u8], choice: u8) -> Vec<f64> {
    if choice.is_multiple_of(2) {
        return bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    }
    let two = bytes.as_chunks::<2>().0.iter();
    two.map(|bytes| f64::from(i16::from_le_bytes(*bytes)) / 100.0).collect()
}

fn text_values(bytes: &[u8]) -> TextBuf {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n').collect()
}

fn bit_values(bytes: &[u8], count: usize) -> Bitmap {
    let bit =
        |at: usize| bytes.get(at / 8 % bytes.len().max(1)).is_some_and(|b| b >> (at % 8) & 1 == 1);
    Bitmap::from_fn(count.min(bytes.len() * 64), bit)
}
