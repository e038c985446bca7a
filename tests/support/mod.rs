//! The language that the tests speak.
#![allow(dead_code)]

pub mod dumped;
pub mod faulty;
pub mod fidelity;
pub mod mariadb;
pub mod mongo;
pub mod mounted;
pub mod packages;
pub mod postgres;
pub mod random_tree;
pub mod repository;
pub mod rows;
pub mod server;
pub mod stored;
pub mod watcher;

/// Bytes that look random and are the same in every run.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

/// Files younger than a clock tick are read again by the next ingest; tests that count reads wait that long.
pub fn wait_until_settled() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}
