//! What goes in comes out, bit for bit, whatever the plan and whatever the values.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use chronolith_codec::{
    Bitmap, Effort, TextBuf, decode_bool, decode_f64, decode_i64, decode_text, decode_validity,
    encode_bool, encode_f64, encode_i64, encode_text, plan_bool, plan_f64, plan_i64, plan_text,
};
use common::{
    LENGTHS, float_columns, float_plans, int_columns, int_plans, text_columns, text_plans,
};
use proptest::prelude::*;

const EFFORTS: [Effort; 2] = [Effort::Fast, Effort::Dense];

fn check_ints(values: &[i64], plan: &chronolith_codec::IntPlan, what: &str) {
    let mut page = vec![0xaa];
    encode_i64(values, plan, &mut page);
    assert_eq!(page[0], 0xaa, "the encoder appends");
    assert!(page.len() <= 66 + values.len() * 8, "{what} {plan:?}: {} bytes", page.len());
    let mut decoded = vec![42];
    decode_i64(&page[1..], values.len(), &mut decoded).expect(what);
    assert_eq!(decoded[0], 42, "the decoder appends");
    assert!(decoded[1..] == *values, "{what} of {} differs with {plan:?}", values.len());
}

fn check_floats(values: &[f64], plan: &chronolith_codec::FloatPlan, what: &str) {
    let mut page = Vec::new();
    encode_f64(values, plan, &mut page);
    assert!(page.len() <= 66 + values.len() * 8, "{what} {plan:?}: {} bytes", page.len());
    let mut decoded = vec![1.5];
    decode_f64(&page, values.len(), &mut decoded).expect(what);
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(&decoded[1..]) == bits(values), "{what} of {} with {plan:?}", values.len());
}

fn check_texts(texts: &TextBuf, plan: &chronolith_codec::TextPlan, what: &str) {
    let mut page = Vec::new();
    encode_text(texts.view(), plan, &mut page);
    let mut decoded: TextBuf = ["before"].into_iter().collect();
    decode_text(&page, texts.len(), texts.bytes.len(), &mut decoded).expect(what);
    assert_eq!(decoded.len(), texts.len() + 1);
    assert_eq!(decoded.get(0), Some("before"));
    for index in 0..texts.len() {
        assert_eq!(decoded.get(index + 1), texts.get(index), "{what} {index} {plan:?}");
    }
    if !texts.bytes.is_empty() {
        let less = texts.bytes.len() - 1;
        let before = decoded.clone();
        let refused = decode_text(&page, texts.len(), less, &mut decoded);
        assert!(refused.is_err(), "{what} {plan:?} passes its byte bound");
        assert_eq!(decoded, before, "an error changes nothing");
    }
}

#[test]
fn ints_of_every_plan_shape_and_length() {
    for count in LENGTHS {
        for (what, values) in int_columns(count) {
            for plan in int_plans() {
                check_ints(&values, &plan, what);
            }
        }
    }
}

#[test]
fn planned_ints_page_by_page() {
    for (what, values) in int_columns(65_536) {
        for effort in EFFORTS {
            let plan = plan_i64(&values, effort);
            values.chunks(4096).for_each(|page| check_ints(page, &plan, what));
        }
    }
}

#[test]
fn a_plan_made_for_other_values_still_fits() {
    let columns = int_columns(4096);
    for (what, values) in &columns {
        for effort in EFFORTS {
            let plan = plan_i64(values, effort);
            columns.iter().for_each(|(_, others)| check_ints(others, &plan, what));
        }
    }
}

#[test]
fn floats_of_every_plan_shape_and_length() {
    for count in LENGTHS.into_iter().filter(|count| *count < 65_536) {
        for (what, values) in float_columns(count) {
            for plan in float_plans() {
                check_floats(&values, &plan, what);
            }
        }
    }
}

#[test]
fn planned_floats_page_by_page() {
    let columns = float_columns(65_536);
    for (what, values) in &columns {
        for effort in EFFORTS {
            let plan = plan_f64(values, effort);
            for (other, values) in &columns {
                let what = format!("{other} by the plan of {what}");
                let pages = values.chunks(4096).step_by(7);
                pages.for_each(|page| check_floats(page, &plan, &what));
            }
        }
    }
}

#[test]
fn texts_of_every_plan_shape_and_length() {
    for count in LENGTHS {
        for (what, texts) in text_columns(count) {
            for plan in text_plans() {
                check_texts(&texts, &plan, what);
            }
            for effort in EFFORTS {
                check_texts(&texts, &plan_text(texts.view(), effort), what);
            }
        }
    }
}

#[test]
fn a_slice_of_texts_encodes_its_own_texts_only() {
    let texts: TextBuf = (0..100).map(|i| ["ab", "cd€", ""][i % 3]).collect();
    let mut page = Vec::new();
    encode_text(texts.view().slice(10, 20), &text_plans()[0], &mut page);
    let mut decoded = TextBuf::new();
    decode_text(&page, 20, 100, &mut decoded).unwrap();
    assert!((0..20).all(|i| decoded.get(i) == texts.get(i + 10)));
}

#[test]
fn sizes_are_what_the_encodings_promise() {
    let size = |values: &[i64], effort| {
        let mut page = Vec::new();
        encode_i64(values, &plan_i64(values, effort), &mut page);
        page.len()
    };
    let columns = int_columns(4096);
    let values = |name| &columns.iter().find(|(what, _)| *what == name).unwrap().1;
    let of = |name| size(values(name), Effort::Fast);
    assert!(of("equal") <= 3, "{}", of("equal"));
    assert!(of("stride") <= 64, "{}", of("stride"));
    assert!(of("runs") <= 100, "{}", of("runs"));
    // A quarter is drawn from nine ticks: 22% moves, by one of eight, so 0.76 + 0.66 bits a value.
    assert!(of("ticks") <= 4096 * 3 / 8, "{}", of("ticks"));
    let dense = size(values("ticks"), Effort::Dense);
    assert!(dense <= 4096 * 15 / 80 + 40, "{dense}");
    assert!(of("small") <= 4096 * 4 / 8 + 40, "{}", of("small"));
    assert!(of("random") <= 4096 * 8 + 64, "{}", of("random"));
    let cents: Vec<f64> = float_columns(4096).into_iter().find(|c| c.0 == "cents").unwrap().1;
    let mut page = Vec::new();
    encode_f64(&cents, &plan_f64(&cents, Effort::Fast), &mut page);
    assert!(page.len() <= 100, "{}", page.len());
}

fn any_ints() -> impl Strategy<Value = Vec<i64>> {
    let value = prop_oneof![
        any::<i64>(),
        -10..10i64,
        Just(i64::MIN),
        Just(i64::MAX),
        (0..1_000_000i64).prop_map(|n| n * 1_000_000_000),
    ];
    let step = prop_oneof![
        8 => Just(0i64),
        4 => -3..3i64,
        1 => any::<i64>(),
    ];
    let walk = (any::<i64>(), 1..1_000_000_000i64, prop::collection::vec(step, 0..3000));
    let walk = walk.prop_map(|(start, scale, steps)| {
        let next = |at: &mut i64, step: i64| {
            *at = at.wrapping_add(step.wrapping_mul(scale));
            Some(*at)
        };
        steps.into_iter().scan(start, next).collect()
    });
    prop_oneof![prop::collection::vec(value, 0..2500), walk]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_ints_any_plan(values in any_ints()) {
        for plan in int_plans() {
            check_ints(&values, &plan, "any ints");
        }
        for effort in EFFORTS {
            check_ints(&values, &plan_i64(&values, effort), "any ints");
        }
    }

    #[test]
    fn any_floats_any_plan(bits in prop::collection::vec(any::<u64>(), 0..300), decimals in
        prop::collection::vec((-1_000_000..1_000_000i64, 0..6i32), 0..1500)) {
        let decimals = decimals.into_iter().map(|(n, scale)| n as f64 / 10f64.powi(scale));
        let values: Vec<f64> = decimals.chain(bits.into_iter().map(f64::from_bits)).collect();
        for plan in float_plans() {
            check_floats(&values, &plan, "any floats");
        }
        for effort in EFFORTS {
            check_floats(&values, &plan_f64(&values, effort), "any floats");
        }
    }

    #[test]
    fn any_texts_any_plan(texts in prop::collection::vec(".{0,12}", 0..200)) {
        let texts: TextBuf = texts.iter().map(String::as_str).collect();
        for plan in text_plans() {
            check_texts(&texts, &plan, "any texts");
        }
    }

    #[test]
    fn any_bits(runs in prop::collection::vec((any::<bool>(), 1..200usize), 0..60), noise in
        prop::collection::vec(any::<bool>(), 0..2000)) {
        for values in [
            runs.iter().flat_map(|(bit, len)| vec![*bit; *len]).collect::<Vec<bool>>(),
            noise,
        ] {
            let mut page = Vec::new();
            encode_bool(&values, &plan_bool(&values, Effort::Fast), &mut page);
            prop_assert!(page.len() <= 1 + values.len().div_ceil(8));
            let mut decoded = vec![true];
            decode_bool(&page, values.len(), &mut decoded).unwrap();
            prop_assert_eq!(&decoded[1..], &values[..]);

            let mut bits: Bitmap = [true, false].into_iter().collect();
            decode_validity(&page, values.len(), &mut bits).unwrap();
            prop_assert!(bits.iter().skip(2).eq(values.iter().copied()));
        }
    }

    /// The bitmap against a vector of booleans.
    #[test]
    fn bitmap_is_a_vector_of_bits(parts in prop::collection::vec(
        (any::<bool>(), 0..40usize, prop::collection::vec(any::<bool>(), 0..40)), 0..12)) {
        let mut bitmap = Bitmap::new();
        let mut model: Vec<bool> = Vec::new();
        for (bit, run, bits) in parts {
            bitmap.push_run(bit, run);
            model.extend(vec![bit; run]);
            let other: Bitmap = bits.iter().copied().collect();
            bitmap.extend_from(&other);
            model.extend(&bits);
            let (start, len) = (bits.len() / 3, bits.len() / 2);
            prop_assert!(bitmap.append_slice(&other, start, len));
            model.extend(&bits[start..start + len]);
            prop_assert!(!bitmap.append_slice(&other, 1, bits.len()));
            if let Some(last) = model.len().checked_sub(1) {
                prop_assert!(bitmap.set(last / 2, bit));
                model[last / 2] = bit;
            }
        }
        prop_assert!(!bitmap.set(model.len(), true));
        prop_assert_eq!(bitmap.len(), model.len());
        prop_assert!(bitmap.iter().eq(model.iter().copied()));
        prop_assert_eq!(bitmap.get(model.len()), None);
        let ones: Vec<usize> = (0..model.len()).filter(|index| model[*index]).collect();
        prop_assert_eq!(bitmap.count_ones(), ones.len());
        prop_assert_eq!(bitmap.iter_ones().collect::<Vec<_>>(), ones);
        let same = Bitmap::from_fn(model.len(), |index| model[index]);
        prop_assert_eq!(&bitmap, &same);
        let again = Bitmap::from_bytes(bitmap.as_bytes().to_vec(), bitmap.len());
        prop_assert_eq!(again.as_ref(), Ok(&bitmap));
    }
}
