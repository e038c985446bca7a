//! Values by key, of which the latest used stay: a table that does not grow with what is visited.

use std::collections::HashMap;
use std::hash::Hash;

/// At most so many values. When there are more, the half that was not used for longest leaves.
pub(super) struct Recent<K, V> {
    values: HashMap<K, Used<V>>,
    max: usize,
    /// How often anything was used.
    uses: u64,
}

struct Used<V> {
    value: V,
    /// [`Recent::uses`] when it was last used.
    last: u64,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// A table of at most `max` values, at least 2.
    pub fn new(max: usize) -> Recent<K, V> {
        Recent { values: HashMap::new(), max, uses: 0 }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        let used = self.values.get_mut(key)?;
        self.uses += 1;
        used.last = self.uses;
        Some(used.value.clone())
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.uses += 1;
        self.values.insert(key, Used { value, last: self.uses });
        if self.values.len() > self.max {
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        let mut last: Vec<u64> = self.values.values().map(|used| used.last).collect();
        let (_, median, _) = last.select_nth_unstable(self.max / 2);
        let median = *median;
        self.values.retain(|_, used| used.last > median);
    }

    /// Key and value of what `is_wanted` wants, not counted as a use.
    pub fn find(&self, is_wanted: impl Fn(&V) -> bool) -> Option<(&K, &V)> {
        self.values.iter().map(|(key, used)| (key, &used.value)).find(|(_, value)| is_wanted(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stays_small_and_what_is_used_stays_in_it() {
        let mut table = Recent::new(100);
        for number in 0..10_000u32 {
            table.insert(number, number);
            assert_eq!(table.get(&0), Some(0), "after {number}");
            assert!(table.values.len() <= 100);
            for latest in number.saturating_sub(20)..=number {
                assert_eq!(table.get(&latest), Some(latest));
            }
        }
        assert_eq!(table.get(&5000), None);
    }
}
