//! Keeps debug sections of the C++ under RocksDB out of what is linked: they are twenty times the program, and every
//! test binary would carry them. Symbols stay, so profilers and backtraces still name functions.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--strip-debug");
}
