//! Ingest: makes snapshots. Of a directory ([`directory`]), of a MySQL or MariaDB dump ([`mysql`]), or of the
//! output of commands ([`stream`]).

mod builder;
pub mod directory;
mod exclude;
mod file;
mod hard_links;
mod input;
mod listing;
pub mod mysql;
pub mod stream;
mod stretch;
mod walk;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::repository::snapshot::Snapshot;

/// What every kind of ingest is told.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// The lineage that the snapshot joins.
    pub source: String,
    /// Recorded in the snapshot, for people.
    pub host: String,
    pub user: String,
    pub tags: BTreeSet<String>,
}

/// What an ingest did.
#[derive(Debug, Clone)]
pub struct IngestReport {
    pub snapshot: Arc<Snapshot>,
}
