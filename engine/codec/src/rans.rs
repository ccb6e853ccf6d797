//! Entropy coding of small symbols: range asymmetric numeral systems (Duda, arXiv:1311.2540,
//! section 3) with 32-bit states, 16-bit steps and four interleaved states (Giesen,
//! arXiv:1402.3392), so that four decoding chains run side by side.

use crate::error::{CodecError, corrupt};
use crate::num;
use crate::varint::Reader;

/// Weights of all symbols sum to 2^12.
pub(crate) const WEIGHT_BITS: u32 = 12;
/// The sum of all weights.
pub(crate) const WEIGHT_SUM: u32 = 1 << WEIGHT_BITS;
/// States stay at or above 2^16, where they also begin.
const STATE_MIN: u32 = 1 << 16;
const STATES: usize = 4;

/// A symbol's share of the states.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    /// The sum of the weights before.
    pub(crate) before: u32,
}

/// Shares from weights, whose sum must be [`WEIGHT_SUM`].
pub(crate) fn shares(weights: &[u32]) -> Vec<Share> {
    let next = |sum: &mut u32, weight: &u32| {
        let before = *sum;
        *sum += weight;
        Some(Share { weight: *weight, before })
    };
    weights.iter().scan(0, next).collect()
}

/// Scales counts, none of them 0 and at most 256, to weights of at least 1 that sum to
/// [`WEIGHT_SUM`].
pub(crate) fn weights(counts: &[usize]) -> Vec<u32> {
    let total: usize = counts.iter().sum::<usize>().max(1);
    let scale = |count: &usize| num::to_u32((count * WEIGHT_SUM as usize / total).max(1) as u64);
    let mut weights: Vec<u32> = counts.iter().map(scale).collect();
    let mut sum: u32 = weights.iter().sum();
    // Rounding leaves less than a weight a symbol to give or take: the heaviest bears it.
    while sum != WEIGHT_SUM {
        let Some(heaviest) = weights.iter_mut().max() else { break };
        let target = (*heaviest + WEIGHT_SUM).saturating_sub(sum).max(1);
        sum = sum + target - *heaviest;
        *heaviest = target;
    }
    weights
}

/// Appends the final states and the words of `symbols`, each an index into `shares`.
pub(crate) fn encode(symbols: &[u8], shares: &[Share], out: &mut Vec<u8>) {
    let mut states = [STATE_MIN; STATES];
    let mut words: Vec<u16> = Vec::with_capacity(symbols.len() / 2);
    // The decoder runs forward, so the encoder runs backward.
    for (index, symbol) in symbols.iter().enumerate().rev() {
        let Some(share) = shares.get(usize::from(*symbol)) else { continue };
        let Some(state) = states.get_mut(index % STATES) else { continue };
        if u64::from(*state) >= u64::from(share.weight) << (32 - WEIGHT_BITS) {
            words.push(low_half(*state));
            *state >>= 16;
        }
        let (quotient, rest) = (*state / share.weight, *state % share.weight);
        *state = (quotient << WEIGHT_BITS) + rest + share.before;
    }
    for state in states {
        out.extend_from_slice(&state.to_le_bytes());
    }
    crate::varint::put_u64(out, words.len() as u64);
    for word in words.iter().rev() {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// Fills `symbols` from what [`encode`] wrote with the same shares, 1 to 256 of them.
#[expect(clippy::indexing_slicing, reason = "masked to 4,096 slots; any byte is one of 256 shares")]
pub(crate) fn decode(
    input: &mut Reader<'_>,
    shares: &[Share],
    symbols: &mut [u8],
) -> Result<(), CodecError> {
    let mut slots = [0u8; WEIGHT_SUM as usize];
    let mut all = [Share::default(); 256];
    let mut free = &mut slots[..];
    for ((symbol, share), slot) in (0..=255u8).zip(shares).zip(&mut all) {
        *slot = *share;
        let weight = share.weight as usize;
        let (own, rest) =
            free.split_at_mut_checked(weight).ok_or(corrupt("symbol weights pass 4,096"))?;
        own.fill(symbol);
        free = rest;
    }
    if !free.is_empty() {
        return Err(corrupt("symbol weights do not sum to 4,096"));
    }
    let mut states = [0; STATES];
    for state in &mut states {
        *state = input.u32_le()?;
    }
    let words = num::to_usize(input.u64()?);
    let words = input.bytes(words.saturating_mul(2))?.as_chunks::<2>().0;
    let mut at = 0;
    let mut step = |state: &mut u32, symbol: &mut u8| {
        let slot = *state & (WEIGHT_SUM - 1);
        *symbol = slots[slot as usize];
        let Share { weight, before } = all[usize::from(*symbol)];
        // Below 2^32 for every state: weight * (state / 2^12) + weight at the most.
        let stepped = weight.wrapping_mul(*state >> WEIGHT_BITS).wrapping_add(slot - before);
        // Whether to refill is close to random: selecting is cheaper than branching.
        let word = words.get(at).copied().unwrap_or_default();
        let refilled = stepped << 16 | u32::from(u16::from_le_bytes(word));
        let refill = stepped < STATE_MIN;
        *state = std::hint::select_unpredictable(refill, refilled, stepped);
        at += usize::from(refill);
    };
    let (groups, last) = symbols.as_chunks_mut::<STATES>();
    for group in groups {
        for (state, symbol) in states.iter_mut().zip(group) {
            step(state, symbol);
        }
    }
    for (state, symbol) in states.iter_mut().zip(last) {
        step(state, symbol);
    }
    // Whatever was changed on the way, the chains end where the encoder began.
    if at == words.len() && states.iter().all(|state| *state == STATE_MIN) {
        return Ok(());
    }
    Err(corrupt("an entropy-coded stream does not end where it should"))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low_half(state: u32) -> u16 {
    state as u16
}
