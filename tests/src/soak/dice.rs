//! Random choices that a seed repeats: `SplitMix64`, small enough to read.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed and stream give the same numbers.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        // Neighbouring seeds must not begin alike.
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The upper half, so that the remainder fits; the bias is far below what a soak could notice.
        u32::try_from((self.roll() >> 32) % u64::from(bound.max(1))).unwrap_or(0)
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let index = self.below(u32::try_from(of.len()).unwrap_or(u32::MAX));
        of.get(usize::try_from(index).unwrap_or(0)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    fn rolls(seed: u64, stream: u64) -> Vec<u32> {
        let mut dice = Dice::new(seed, stream);
        (0..64).map(|_| dice.below(1_000)).collect()
    }

    #[test]
    fn a_seed_repeats_and_its_neighbours_differ() {
        assert_eq!(rolls(7, 0), rolls(7, 0));
        assert_ne!(rolls(7, 0), rolls(8, 0));
        assert_ne!(rolls(7, 0), rolls(7, 1));
    }

    #[test]
    fn every_choice_comes_up() {
        let mut dice = Dice::new(1, 1);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[dice.pick(&[0_usize, 1, 2, 3, 4]).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| times > 100), "{seen:?}");
        assert_eq!(dice.pick::<u32>(&[]), None);
    }
}
