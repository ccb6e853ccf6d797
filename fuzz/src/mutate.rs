//! Mutations without libFuzzer, the same for one seed: what an ordinary test can do in a second.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }
}

/// Numbers that decoders tend to trip over, as a byte each of them can be in.
const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x20];

/// One of `inputs`, changed in one to six ways, at most `len_max` bytes long.
///
/// # Panics
/// Without inputs.
#[must_use]
pub fn mutated(inputs: &[Vec<u8>], len_max: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = inputs[dice.below(inputs.len())].clone();
    for _ in 0..1 + dice.below(6) {
        change(&mut bytes, inputs, dice);
    }
    bytes.truncate(len_max);
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let few = 1 + dice.below(8);
    match dice.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = ODD[dice.below(ODD.len())],
        2 if at < bytes.len() => bytes[at] = dice.roll() as u8,
        3 => bytes.truncate(at),
        4 => {
            let end = bytes.len().min(at + few);
            bytes.drain(at..end);
        }
        5 => {
            let more: Vec<u8> = (0..few).map(|_| ODD[dice.below(ODD.len())]).collect();
            bytes.splice(at..at, more);
        }
        6 => {
            // A piece of another input in place of one here.
            let other = &inputs[dice.below(inputs.len())];
            let from = dice.below(other.len() + 1);
            let piece = &other[from..other.len().min(from + few * few)];
            let end = bytes.len().min(at + piece.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        7 => {
            let end = bytes.len().min(at + few * 4);
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {}
    }
}
