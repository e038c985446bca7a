//! DumpCounts: how many rows and bytes of a dump are in each of its files, as the snapshot tells it itself.

use crate::dump::layout::{COLLECTIONS_FILE, META_DIRECTORY, PARTS_FILE};
use crate::dump::part_line::{CollectionLine, PartLine};
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::{Snapshot, SnapshotKind};

/// What parts of a dump hold, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpCounts {
    /// Rows, or documents.
    pub rows: u64,
    /// Bytes of the dump.
    pub bytes: u64,
}

impl DumpCounts {
    pub fn add(&mut self, part: &PartLine) {
        self.rows = self.rows.saturating_add(part.rows);
        self.bytes = self.bytes.saturating_add(part.length);
    }
}

/// Calls `work` with each part of the dump that the snapshot is of, in the order of the dump; of MongoDB with each collection. A
/// snapshot of no dump has none.
///
/// # Errors
/// The first of `work`, or of reading the snapshot.
pub fn each_part(
    repository: &Repository,
    snapshot: &Snapshot,
    mut work: impl FnMut(PartLine) -> Result<()>,
) -> Result<()> {
    let list = match snapshot.manifest.kind {
        SnapshotKind::Directory | SnapshotKind::Stream => return Ok(()),
        SnapshotKind::Mysql | SnapshotKind::Postgres => PARTS_FILE,
        SnapshotKind::Mongo => COLLECTIONS_FILE,
    };
    let path = [META_DIRECTORY, list].join("/");
    let node = repository.tree()?.lookup_path(&snapshot.manifest.root, path.as_bytes())?;
    let Some(content) = node.as_ref().and_then(Node::content) else { return Ok(()) };
    repository.contents()?.each_line(content, |line| {
        let part = match list {
            PARTS_FILE => PartLine::parse(line),
            _ => CollectionLine::parse(line).map(|line| line.part),
        };
        part.map_or(Ok(()), &mut work)
    })?;
    Ok(())
}

/// What the file at a path of the snapshot holds of the dump, or all files below a directory; `None` where that is nothing.
pub fn counts_at(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Option<DumpCounts>> {
    let mut found = None;
    each_part(repository, snapshot, |part| {
        let rest = part.path.strip_prefix(path);
        if rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
            found.get_or_insert_with(DumpCounts::default).add(&part);
        }
        Ok(())
    })?;
    Ok(found)
}
