//! Narrowing casts whose range the caller has proven, zigzag and bit counts.

/// The low byte; callers pass values below 256.
#[expect(clippy::cast_possible_truncation, reason = "callers pass values below 256")]
pub(crate) const fn to_u8(value: u64) -> u8 {
    debug_assert!(value < 256);
    value as u8
}

/// The low 32 bits; callers pass values below 2^32.
#[expect(clippy::cast_possible_truncation, reason = "callers pass values below 2^32")]
pub(crate) const fn to_u32(value: u64) -> u32 {
    debug_assert!(value <= u32::MAX as u64);
    value as u32
}

/// A number read from bytes as a size; too large for this machine counts as the largest size.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Signed to unsigned so that small magnitudes stay small: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[expect(clippy::cast_possible_wrap, reason = "a bijection of bit patterns")]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Bits needed to write `value`: 0 for 0, 64 for the largest.
pub(crate) const fn bit_length(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// A mask of the `width` low bits; `width` is 0 to 64.
pub(crate) const fn low_mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}
