//! What many processes have in common, kept once: a service in a restart loop is thousands of them.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// When there are so many it is looked which of them are still in use.
const FIRST_LOOK: usize = 1_024;

#[derive(Debug)]
pub(super) struct Pool<T> {
    kept: HashSet<Arc<T>>,
    look_at: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { kept: HashSet::new(), look_at: FIRST_LOOK }
    }
}

impl<T: Eq + Hash> Pool<T> {
    /// Puts the one that is kept in the place of an equal one.
    pub(super) fn share(&mut self, one: &mut Arc<T>) {
        if let Some(kept) = self.kept.get(one) {
            one.clone_from(kept);
            return;
        }
        if self.kept.len() >= self.look_at {
            self.kept.retain(|one| Arc::strong_count(one) > 1);
            self.look_at = FIRST_LOOK.max(2 * self.kept.len());
        }
        self.kept.insert(Arc::clone(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_one_and_what_nobody_uses_goes() {
        let mut pool = Pool::default();
        let [mut one, mut other] = [Arc::new("a".to_owned()), Arc::new("a".to_owned())];
        pool.share(&mut one);
        pool.share(&mut other);
        assert!(Arc::ptr_eq(&one, &other));
        for number in 0..10 * FIRST_LOOK {
            pool.share(&mut Arc::new(number.to_string()));
        }
        assert!(pool.kept.len() <= FIRST_LOOK && pool.kept.contains(&one), "{}", pool.kept.len());
    }
}
