//! Every plan there is, adversarial values, and a seeded generator, shared by the test binaries.
#![allow(dead_code, missing_docs, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use chronolith_codec::{
    Decimal, FloatEncoding, FloatPlan, IntEncoding, IntPlan, TextBuf, TextEncoding, TextPlan,
};

pub(crate) const LENGTHS: [usize; 12] =
    [0, 1, 2, 63, 1023, 1024, 1025, 2048, 4095, 4096, 4097, 65_536];

pub(crate) fn int_encodings() -> Vec<IntEncoding> {
    use IntEncoding::*;
    vec![
        Plain,
        RunLength,
        Frame,
        Delta,
        Classes { second_order: false },
        Classes { second_order: true },
        Bins { differences: false },
        Bins { differences: true },
        Planes { differences: false },
        Planes { differences: true },
    ]
}

pub(crate) fn int_plans() -> Vec<IntPlan> {
    let mut plans = Vec::new();
    for encoding in int_encodings() {
        for (divisor, zstd_level) in [(0, 0), (1, 0), (1_000_000, 3), (5, 0), (u64::MAX, 0)] {
            plans.push(IntPlan { encoding, divisor, zstd_level });
        }
    }
    plans
}

pub(crate) fn float_plans() -> Vec<FloatPlan> {
    let mut encodings = vec![FloatEncoding::Xor];
    for inner in int_encodings() {
        encodings.push(FloatEncoding::Bits { inner });
        encodings.push(FloatEncoding::Decimal { decimal: Decimal::divided(2), inner });
        encodings.push(FloatEncoding::Decimal { decimal: Decimal::multiplied(14, 12), inner });
    }
    let plan = |encoding| [0, 3].map(|zstd_level| FloatPlan { encoding, divisor: 0, zstd_level });
    encodings.into_iter().flat_map(plan).collect()
}

pub(crate) fn text_plans() -> Vec<TextPlan> {
    let encodings = [TextEncoding::Plain, TextEncoding::Dictionary, TextEncoding::Front];
    let plan = |encoding| [0, 3].map(|zstd_level| TextPlan { encoding, zstd_level });
    encodings.into_iter().flat_map(plan).collect()
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a seed gives the same numbers for ever.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Shapes of integer columns, `count` values each.
pub(crate) fn int_columns(count: usize) -> Vec<(&'static str, Vec<i64>)> {
    let mut r = Random(7);
    let walk = |r: &mut Random, step: u64, scale: i64| {
        let mut at = 1_600_000_000i64;
        (0..count)
            .map(|_| {
                if r.below(4) == 0 {
                    at += (r.below(step) as i64 - step as i64 / 2) * scale;
                }
                at
            })
            .collect::<Vec<_>>()
    };
    vec![
        ("equal", vec![-5; count]),
        (
            "stride",
            (0..count as i64).map(|i| 1_700_000_000_000_000_000 + i * 60_000_000_000).collect(),
        ),
        ("random", (0..count).map(|_| r.next() as i64).collect()),
        (
            "extremes",
            (0..count).map(|_| [i64::MIN, i64::MAX, 0, -1][r.below(4) as usize]).collect(),
        ),
        ("ticks", walk(&mut r, 9, 5)),
        ("millis", walk(&mut r, 99, 1_000_000)),
        ("small", (0..count).map(|_| r.below(10) as i64 - 5).collect()),
        (
            "outliers",
            (0..count).map(|_| if r.below(50) == 0 { r.next() as i64 } else { 3 }).collect(),
        ),
        ("runs", (0..count).map(|i| (i as i64 / 100) * 7 - 1000).collect()),
        ("wrapping", (0..count as i64).map(|i| i.wrapping_mul(0x7fff_ffff_ffff_fff1)).collect()),
        ("min walk", (0..count as i64).map(|i| i64::MIN.wrapping_add(i % 3)).collect()),
    ]
}

/// Shapes of columns of doubles.
pub(crate) fn float_columns(count: usize) -> Vec<(&'static str, Vec<f64>)> {
    let mut r = Random(11);
    let odd: [u64; 12] = [
        f64::NAN.to_bits(),
        0x7ff0_0000_0000_0001, // signalling NaN
        0xfff8_dead_beef_0001, // negative NaN with a payload
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        (-0.0f64).to_bits(),
        0,
        1, // the least subnormal
        f64::MAX.to_bits(),
        f64::MIN.to_bits(),
        f64::MIN_POSITIVE.to_bits(),
        ((1u64 << 53) as f64).to_bits(),
    ];
    let mut columns: Vec<(&'static str, Vec<f64>)> = vec![
        ("odd", (0..count).map(|_| f64::from_bits(odd[r.below(12) as usize])).collect()),
        ("bits", (0..count).map(|_| f64::from_bits(r.next())).collect()),
        ("all nan", vec![f64::from_bits(odd[2]); count]),
        ("minus zero", (0..count).map(|_| [0.0, -0.0][r.below(2) as usize]).collect()),
        ("cents", (0..count).map(|i| (190_000 + i as i64 % 977) as f64 / 100.0).collect()),
        ("product", (0..count).map(|i| (190_000 + i as i64 % 977) as f64 * 0.01).collect()),
        ("sine", (0..count).map(|i| (i as f64 / 50.0).sin() * 1e3).collect()),
        (
            "mixed",
            (0..count)
                .map(|_| match r.below(20) {
                    0 => f64::from_bits(odd[r.below(12) as usize]),
                    _ => r.below(1000) as f64 / 10.0,
                })
                .collect(),
        ),
    ];
    let halves = |i: usize| {
        if i < 500 { i as f64 / 4.0 } else { f64::from_bits(odd[2].wrapping_mul(i as u64)) }
    };
    columns.push(("halves", (0..count).map(halves).collect()));
    columns
}

pub(crate) fn text_columns(count: usize) -> Vec<(&'static str, TextBuf)> {
    let mut r = Random(13);
    let names = ["", "NSE", "é", "RELIANCE", "日本", "a\u{0}b", "🙂🙃", "RELIANCE-EQ"];
    let of = |texts: Vec<String>| texts.iter().map(String::as_str).collect::<TextBuf>();
    vec![
        ("empty", of(vec![String::new(); count])),
        ("equal", of(vec!["xyz".into(); count])),
        ("names", of((0..count).map(|_| names[r.below(8) as usize].to_string()).collect())),
        ("numbered", of((0..count).map(|i| format!("host-{i:06}.local")).collect())),
        ("random", of((0..count).map(|_| format!("{:x}é", r.next())).collect())),
    ]
}
