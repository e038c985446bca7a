//! A cache bounded by bytes, shared by threads: the door to `quick_cache`. Readers that miss the same key at once wait
//! for the one that loads it.

use std::hash::Hash;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What a value takes in memory.
pub trait Weight {
    /// Bytes, near enough; what the cache itself needs is added by it.
    fn weight_bytes(&self) -> u64;
}

impl Weight for std::sync::Arc<[u8]> {
    fn weight_bytes(&self) -> u64 {
        self.len() as u64
    }
}

#[derive(Clone)]
struct ByWeight;

/// Key, hash table slot and queue entry of one value.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

impl<K, V: Weight> Weighter<K, V> for ByWeight {
    fn weight(&self, _: &K, value: &V) -> u64 {
        value.weight_bytes() + ENTRY_OVERHEAD_BYTES
    }
}

/// Values by key; the least used ones leave when the bound is reached.
pub struct ByteCache<K, V> {
    cache: Cache<K, V, ByWeight>,
}

impl<K: Eq + Hash + Clone, V: Weight + Clone> ByteCache<K, V> {
    /// A cache of at most `bound_bytes`, for values of about `usual_bytes`.
    pub fn new(bound_bytes: u64, usual_bytes: u64) -> ByteCache<K, V> {
        let items = (bound_bytes / (usual_bytes + ENTRY_OVERHEAD_BYTES)).max(64) as usize;
        ByteCache { cache: Cache::with_weighter(items, bound_bytes, ByWeight) }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key)
    }

    pub fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value);
    }

    /// The value, loaded by `load` if it is not there. A failed load leaves nothing behind.
    pub fn get_or_load<E>(&self, key: &K, load: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.cache.get_or_insert_with(key, load)
    }
}
