//! `check`: does everything that the repository needs still stand there, and say the same?
//!
//! It reads the whole history, every segment, the header and footer of every pack, and every page of every tree, and
//! looks up every chunk that a file refers to; with [`CheckOptions::read_data`] it also reads and verifies every chunk.
//! Damage is named by the snapshots and paths that suffer from it. What is derived (checkpoints, the chunk index) is no
//! damage: it is made anew. Nothing else is written, and other processes may go on working meanwhile.
//!
//! A page is read once, however many snapshots share it. The pages found whole are remembered by 16 bytes each, at most
//! [`VISITED_MAX`] of them (about 140 MB); beyond that the set starts anew, and shared pages are read again.

mod history;
mod packs;
mod trees;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::catalog::Catalog;

pub use trees::VISITED_MAX;

/// Entries of [`CheckReport::damages`]; further damage is only counted.
pub const DAMAGES_MAX: usize = 10_000;

/// Places that are named for one damaged object; further ones are only counted.
pub const PLACES_MAX: u32 = 100;

/// How thoroughly is checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Read and verify every chunk.
    pub read_data: bool,
    /// Threads that read chunks.
    pub threads: usize,
}

/// One thing that is not as it was written, and where that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// `source@name` of a snapshot that suffers; `None` where the damage concerns none, or all.
    pub snapshot: Option<String>,
    /// Path in it, from its root, names joined by `/`; empty for the root itself.
    pub path: Option<Vec<u8>>,
    /// "pack ...", "chunk ...", "catalog record 7", ...
    pub object: String,
    pub reason: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// At most [`DAMAGES_MAX`], and of one object at most [`PLACES_MAX`].
    pub damages: Vec<Damage>,
    /// All of it, counted.
    pub damage_count: u64,
    /// What was derived, wrong, and is made anew.
    pub rebuilt: Vec<String>,
    pub records: u64,
    pub snapshots: u64,
    /// Entries of all snapshots.
    pub entries: u64,
    /// Tree pages read.
    pub pages: u64,
    /// Packs that segments name, chunks in them, and bytes of their files.
    pub packs: u64,
    pub chunks: u64,
    pub bytes: u64,
    /// Chunks that were read and verified.
    pub chunks_read: u64,
    /// Packs that no record names: an ingest that runs, or one that was interrupted, has written them.
    pub packs_unreferenced: u64,
}

impl CheckReport {
    /// True where nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage_count == 0
    }
}

/// Checks a repository.
///
/// # Errors
/// Only what ends the check: [`Error::Interrupted`], or an index that can be neither read nor rebuilt. Damage is in the
/// report.
pub fn check(repository: &Repository, options: CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport> {
    repository.refresh()?;
    let mut check = Check {
        repository,
        catalog: repository.catalog(),
        options,
        monitor,
        report: CheckReport::default(),
        places: HashMap::new(),
        writers: HashSet::new(),
    };
    check.history()?;
    let packs = check.packs()?;
    check.trees(packs)?;
    Ok(check.report)
}

/// One check under way.
struct Check<'r> {
    repository: &'r Repository,
    /// The history when the check began; what is added later is not looked at.
    catalog: Arc<Catalog>,
    options: CheckOptions,
    monitor: &'r dyn Monitor,
    report: CheckReport,
    /// How often each damaged object was named.
    places: HashMap<String, u32>,
    /// Writers that a record opened.
    writers: HashSet<WriterId>,
}

impl Check<'_> {
    fn check_cancelled(&self) -> Result<()> {
        if self.monitor.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Notes damage that concerns no path.
    fn damaged(&mut self, object: impl Into<String>, reason: impl Into<String>) {
        self.note(Damage { snapshot: None, path: None, object: object.into(), reason: reason.into() });
    }

    /// Notes a failed reading as damage, or hands on what must end the check.
    fn failed(&mut self, error: Error) -> Result<()> {
        let (object, reason) = object_and_reason(error)?;
        self.damaged(object, reason);
        Ok(())
    }

    fn note(&mut self, damage: Damage) {
        self.report.damage_count += 1;
        if self.report.damages.len() >= DAMAGES_MAX {
            return;
        }
        let named = self.places.entry(damage.object.clone()).or_default();
        *named = named.saturating_add(1);
        if *named <= PLACES_MAX {
            self.report.damages.push(damage);
        }
    }

    /// True once no more damage can be named.
    fn is_full(&self) -> bool {
        self.report.damages.len() >= DAMAGES_MAX
    }

    /// Notes that something derived was made anew.
    fn rebuilt(&mut self, what: String) {
        self.monitor.note(&what);
        self.report.rebuilt.push(what);
    }
}

/// What an error is about, and what is wrong with it; errors that are about no stored object end the check.
fn object_and_reason(error: Error) -> Result<(String, String)> {
    match error {
        Error::Corrupt { object, reason } => Ok((object, reason)),
        Error::Unsupported { object, reason } => Ok((object, format!("it needs a newer yesterfs: {reason}"))),
        Error::ChunkCorrupt { id, pack, reason } => Ok((format!("chunk {id} in pack {pack}"), reason)),
        Error::ChunkMissing { id } => Ok((format!("chunk {id}"), "no published pack holds it".into())),
        Error::ObjectMissing { key, .. } => Ok((format!("\"{key}\""), "it is missing".into())),
        Error::Backend { operation, key, source, .. } => {
            Ok((format!("\"{key}\""), format!("cannot {operation} it: {source}")))
        }
        other => Err(other),
    }
}
