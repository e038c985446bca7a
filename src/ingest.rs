//! Ingest: makes snapshots. Of a directory ([`directory`]), of a dump of MySQL or MariaDB ([`mysql`]),
//! PostgreSQL ([`postgres`]) or MongoDB ([`mongo`]), or of the output of commands ([`stream`]).

mod backups;
mod builder;
pub mod directory;
pub mod dump;
mod exclude;
mod file;
mod hard_links;
mod input;
mod listing;
pub mod mongo;
pub mod mysql;
mod pieces_ahead;
pub mod postgres;
pub mod stream;
mod stretch;
mod walk;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::metadata::OwnerNames;
use crate::repository::node::{Node, NodeKind, Xattrs};
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;
use crate::time::Timestamp;

/// What every kind of ingest is told.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// The lineage that the snapshot joins.
    pub source: String,
    /// Recorded in the snapshot, for people.
    pub host: String,
    pub user: String,
    pub tags: BTreeSet<String>,
    /// Of when the data is, if not of when the ingest starts.
    pub time: Option<Timestamp>,
}

impl IngestOptions {
    /// Of when the snapshot is, whose ingest starts now.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time that is yet to come: no question for a time would find the snapshot before.
    fn time_of_data(&self, now: Timestamp) -> Result<Timestamp> {
        match self.time {
            Some(time) if time > now => Err(Error::invalid("time of the data", time.to_rfc3339(), "it is yet to come")),
            time => Ok(time.unwrap_or(now)),
        }
    }
}

/// Tells that the snapshot to be made is of another kind than the last one of its source: mostly one of them has the wrong name, and
/// what is asked of the latest will not be found in it. A dump may come as a stream of any kind.
fn note_other_kind(repository: &Repository, source: &str, kind: SnapshotKind, monitor: &dyn Monitor) {
    let last = repository.catalog().of_source(source).next_back().map(|last| last.manifest.kind);
    let may_be_one = |last: SnapshotKind| {
        let is_dump = |kind| kind != SnapshotKind::Directory;
        let has_stream = [last, kind].contains(&SnapshotKind::Stream);
        last == kind || (has_stream && is_dump(last) && is_dump(kind))
    };
    if let Some(last) = last.filter(|last| !may_be_one(*last)) {
        let (last, kind) = (last.name(), kind.name());
        monitor.note(&format!("the last snapshot of {source} is of kind {last}, this one will be of kind {kind}"));
    }
}

/// What a file of an older snapshot held, whose root this is. That it cannot be read is no reason to give up.
fn older_content(chunks: &ChunkStore, root: Option<&Node>, path: &[u8]) -> Option<Content> {
    let found = TreeReader::new(chunks).lookup_path(root?, path);
    let name = || String::from_utf8_lossy(path);
    let found = found.inspect_err(|error| log::warn!("reading \"{}\" of the last snapshot: {error}", name()));
    found.ok()??.content().cloned()
}

/// A new file or directory of whoever runs this, for nobody else: dumps hold what permissions guarded in the database.
fn private_node(permissions: u16, modified: Timestamp, kind: NodeKind) -> Node {
    let owners = OwnerNames::new();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Node {
        permissions,
        uid,
        gid,
        owner: owners.user_name(uid),
        group: owners.group_name(gid),
        modified,
        xattrs: Xattrs::None,
        hard_link: None,
        kind,
    }
}

/// What an ingest did.
#[derive(Debug, Clone)]
pub struct IngestReport {
    pub snapshot: Arc<Snapshot>,
}
