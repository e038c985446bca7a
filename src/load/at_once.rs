//! AtOnce: things that are loaded at the same time.

use std::sync::Mutex;

use crate::error::Result;

/// So many threads take one after the other, until one fails.
pub fn each_at_once<T: Send>(all: Vec<T>, threads: usize, load: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let threads = threads.clamp(1, all.len().max(1));
    let (waiting, failed) = (Mutex::new(all.into_iter()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Poisoned, both still hold what they held.
                let next = || waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                let first_failure = || failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                while first_failure().is_none()
                    && let Some(one) = next()
                {
                    if let Err(error) = load(one) {
                        first_failure().get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).map_or(Ok(()), Err)
}
