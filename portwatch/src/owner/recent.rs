//! Answers about a range that are given again for a moment, because those who are refused a port try again and again.

use crate::correlate::WantedRange;
use std::fmt;
use std::time::{Duration, Instant};

/// An answer is as good as a new one for so long.
const FRESH: Duration = Duration::from_secs(1);
/// And for so many times as long as it took: a million sockets must not keep the correlator from its work.
const REST: u32 = 20;
/// Answers that are remembered.
const REMEMBERED: usize = 16;

/// The answers of late.
pub(super) struct Recent<T>(Vec<(WantedRange, Instant, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recent").field(&self.0.len()).finish()
    }
}

impl<T> Recent<T> {
    /// The answer of late, or a new one.
    pub(super) fn get(&mut self, range: WantedRange, find: impl FnOnce() -> Option<T>) -> Option<&T> {
        let now = Instant::now();
        self.0.retain(|(_, until, _)| *until > now);
        if let Some(at) = self.0.iter().position(|(of, ..)| *of == range) {
            return self.0.get(at).map(|(.., answer)| answer);
        }
        let answer = find()?;
        let end = Instant::now();
        self.0.truncate(REMEMBERED - 1);
        self.0.insert(0, (range, end + FRESH.max((end - now) * REST), answer));
        self.0.first().map(|(.., answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_answered_from_one_look() {
        let range = |netns| WantedRange { netns, protocol: 6, low: 1, high: 2 };
        let mut recent = Recent::default();
        assert_eq!(recent.get(range(1), || None::<u32>), None);
        assert_eq!(recent.get(range(1), || Some(7)), Some(&7));
        assert_eq!(recent.get(range(1), || panic!("looked again at once")), Some(&7));
        assert_eq!(recent.get(range(2), || Some(8)), Some(&8), "another namespace");
        (10..100).for_each(|netns| assert_eq!(recent.get(range(netns), || Some(netns)), Some(&netns)));
        assert_eq!(recent.0.len(), REMEMBERED);
        recent.0.iter_mut().for_each(|(_, until, _)| *until = Instant::now());
        assert_eq!(recent.get(range(99), || Some(1)), Some(&1), "a new look when it is old");
    }
}
