//! The common divisor of a page's differences, and fast exact division by it: timestamps in
//! nanoseconds are mostly whole milliseconds or seconds, prices whole ticks.

/// A divisor with what exact division by multiplication needs: the odd part's inverse modulo 2^64
/// (Granlund and Montgomery, PLDI 1994, section 9).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Divisor {
    value: u64,
    shift: u32,
    inverse: u64,
    quotient_max: u64,
}

impl Divisor {
    /// A divisor of at least 1; 0 counts as 1.
    pub(crate) fn new(value: u64) -> Self {
        let value = value.max(1);
        let shift = value.trailing_zeros();
        let odd = value >> shift;
        // Newton: each step doubles the correct low bits; 3 are right at the start.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { value, shift, inverse, quotient_max: u64::MAX / value }
    }

    pub(crate) const fn value(&self) -> u64 {
        self.value
    }

    /// `value / divisor` where the division is exact; otherwise some other number.
    #[inline]
    pub(crate) const fn quotient(&self, value: u64) -> u64 {
        value.wrapping_mul(self.inverse).rotate_right(self.shift)
    }

    /// Whether the division is exact.
    #[inline]
    pub(crate) const fn divides(&self, value: u64) -> bool {
        self.quotient(value) <= self.quotient_max
    }

    /// Exact division of a signed value.
    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "a magnitude of 2^63 wraps to the right sign")]
    pub(crate) const fn quotient_signed(&self, value: i64) -> i64 {
        let sign = value >> 63;
        let quotient = self.quotient(value.unsigned_abs()) as i64;
        (quotient ^ sign).wrapping_sub(sign)
    }
}

/// The greatest common divisor of `seed` and all of `values`, where 0 is divisible by everything;
/// at least 1. A `seed` that already divides them all makes this one multiplication a value.
pub(crate) fn common(seed: u64, values: impl IntoIterator<Item = u64>) -> Divisor {
    if seed == 1 {
        return Divisor::new(1);
    }
    let mut gcd_so_far = seed;
    let mut divisor = Divisor::new(seed);
    for value in values {
        if gcd_so_far == 0 || !divisor.divides(value) {
            gcd_so_far = gcd(gcd_so_far, value);
            divisor = Divisor::new(gcd_so_far);
            if gcd_so_far == 1 {
                break;
            }
        }
    }
    divisor
}

/// Euclid's algorithm; `gcd(0, x)` is `x`.
pub(crate) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
