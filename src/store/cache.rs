//! A cache bounded by bytes, shared by threads: the door to `quick_cache`. Readers that miss the same key at once wait
//! for the one that loads it.

use std::hash::Hash;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

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

/// What may be kept for those that were used again. The rest is for what is new: prefetched chunks must stay until the
/// reader comes, and their window does not fit the 3 % that the crate leaves them.
const HOT_SHARE: f64 = 0.5;

/// Values by key; the least used ones leave when the bound is reached.
pub struct ByteCache<K, V> {
    cache: Cache<K, V, ByWeight>,
}

impl<K: Eq + Hash + Clone, V: Weight + Clone> ByteCache<K, V> {
    /// A cache of at most `bound_bytes`, for values of about `usual_bytes`.
    pub fn new(bound_bytes: u64, usual_bytes: u64) -> ByteCache<K, V> {
        let items = (bound_bytes / (usual_bytes + ENTRY_OVERHEAD_BYTES)).max(64) as usize;
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items)
            .weight_capacity(bound_bytes)
            .hot_allocation(HOT_SHARE)
            .build();
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            // Only where a capacity is missing.
            Err(_) => Cache::with_weighter(items, bound_bytes, ByWeight),
        };
        ByteCache { cache }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key)
    }

    pub fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value);
    }

    /// The task of loading a value that is not there. Never waits: whoever holds a slot may claim others.
    pub fn claim(&self, key: &K) -> Claim<'_, K, V> {
        match self.cache.get_value_or_guard(key, Some(Duration::ZERO)) {
            GuardResult::Value(_) => Claim::There,
            GuardResult::Guard(guard) => Claim::Ours(Slot(guard)),
            GuardResult::Timeout => Claim::Taken,
        }
    }

    /// The value, loaded by `load` if it is not there. A failed load leaves nothing behind.
    pub fn get_or_load<E>(&self, key: &K, load: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.cache.get_or_insert_with(key, load)
    }
}

/// What [`ByteCache::claim`] found.
pub enum Claim<'c, K, V> {
    There,
    /// It is not there, and others who want it wait for this slot.
    Ours(Slot<'c, K, V>),
    /// Somebody else is loading it.
    Taken,
}

/// The place of a value that is being loaded. Dropped unfilled, it leaves the task to the next one who asks.
pub struct Slot<'c, K, V>(PlaceholderGuard<'c, K, V, ByWeight, DefaultHashBuilder, DefaultLifecycle<K, V>>);

impl<K: Eq + Hash, V: Weight + Clone> Slot<'_, K, V> {
    pub fn fill(self, value: V) {
        // Refused only where the key was removed meanwhile: whoever waits has the value, and the next one loads it anew.
        let _ = self.0.insert(value);
    }
}
