//! What grows with the repository, and what must not: many snapshots, many entries, many versions, many chunks.
//!
//! `cargo bench --bench scale [-- PART... DIRECTORY]` runs the parts that are named (all where none is) in a new directory
//! below DIRECTORY (an absolute path; default: the system's temporary one), prints one line a step, and removes everything.
//!
//! - `snapshots`: 10,000 snapshots of 10,000 entries each
//! - `diff`: snapshots of a million files of which few differ
//! - `files`: a million files through the mount and on the disk, 100,000 with xattrs and ACLs; needs root, rsync, 2 GB of disk
//! - `hourly`: a hundred versions of a dump; cold steps drop the kernel's caches, which needs root
//! - `index`: an index of 10 million chunks, or as many as YESTERFS_BENCH_CHUNKS tells; needs 60 bytes of disk a chunk
//! - `dumps`: a dump of 50 GB, of which one table is wanted; drops the kernel's caches, which needs root; 5 GB of disk
//! - `rows`: dumps of a million rows of which few differ; needs 600 MB of disk
//!
//! Where a part has a goal and misses it, the bench says so and fails at its end.

mod diff;
mod dumps;
mod files;
mod hourly;
mod index;
mod made;
mod rows;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use support::{Taken, Workplace, print_heading, print_machine};

/// What is run under a name.
type Named = (&'static str, fn(&Workplace));

/// Each in a repository of its own.
const PARTS: [Named; 7] = [
    ("snapshots", snapshots::run),
    ("diff", diff::run),
    ("files", files::run),
    ("hourly", hourly::run),
    ("index", index::run),
    ("dumps", dumps::run),
    ("rows", rows::run),
];

/// What is done by processes of their own, for the peak of a process is handed down to the programs that it starts.
const MAKERS: [Named; 4] = [
    ("make-snapshots", snapshots::make),
    ("make-diff", diff::make),
    ("make-index", index::make),
    ("print-dump", dumps::print),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [maker, place] = &words[..]
        && let Some((_, make)) = MAKERS.iter().find(|(name, _)| name == maker)
    {
        make(&Workplace { place: place.into() });
        return ExitCode::SUCCESS;
    }
    let (directories, wanted): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word.starts_with('/'));
    let base = directories.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let is_part = |word: &String| PARTS.iter().any(|(name, _)| name == word);
    assert!(wanted.iter().all(is_part), "the parts are {}", PARTS.map(|(name, _)| name).join(", "));
    print_machine(&base);
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            let place = tempfile::Builder::new().prefix("yesterfs-bench-").tempdir_in(&base).expect("a directory");
            println!("\n{name}");
            run(&Workplace::new(place.path()));
        }
    }
    if IS_MISSED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether a goal was missed.
static IS_MISSED: AtomicBool = AtomicBool::new(false);

/// Says so where it took longer than it should.
fn expect_within(what: &str, milliseconds: f64, goal_milliseconds: f64) {
    if milliseconds > goal_milliseconds {
        println!("{what}: missed: {milliseconds:.1} ms, not {goal_milliseconds}");
        IS_MISSED.store(true, Ordering::Relaxed);
    }
}

/// Has one of [`MAKERS`] fill the repository of a workplace.
fn make(maker: &str, workplace: &Workplace) {
    let started = Instant::now();
    let program = std::env::current_exe().expect("this program");
    let made = Command::new(program).arg(maker).arg(&workplace.place).status().expect("this program again");
    assert!(made.success(), "{maker} failed");
    println!("made in {:.1} s", started.elapsed().as_secs_f64());
    print_heading();
}

/// The median of five.
fn median(mut once: impl FnMut() -> Taken) -> Taken {
    let mut taken: Vec<Taken> = (0..5).map(|_| once()).collect();
    taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    taken.swap_remove(2)
}
