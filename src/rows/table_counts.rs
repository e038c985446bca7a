//! How many rows and bytes each table of a dump has, as its snapshot tells it itself: nothing of the tables is read.

use std::collections::BTreeMap;

use crate::dump::layout::TABLES_DIRECTORY;
use crate::dump::mongo::collection_of_file;
use crate::dump::name::file_name;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::dump_counts::{DumpCounts, each_part};
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::rows::layout::TableLayout;
use crate::rows::tables::TablePair;

/// The tables or collections of a dump, by their names as [`TablePair::name`] tells them.
///
/// # Errors
/// [`Error::Invalid`] for a snapshot of no dump.
pub fn table_counts(repository: &Repository, snapshot: &Snapshot) -> Result<BTreeMap<String, DumpCounts>> {
    let kind = snapshot.manifest.kind;
    if matches!(kind, SnapshotKind::Directory | SnapshotKind::Stream) {
        return Err(Error::invalid("snapshot", &snapshot.manifest.name, "it is of no dump, and has no tables"));
    }
    let layout = TableLayout::of(&snapshot.manifest);
    let mut counts: BTreeMap<String, DumpCounts> = BTreeMap::new();
    each_part(repository, snapshot, |part| {
        if let Some(table) = table_of(layout, part.path) {
            counts.entry(table.name()).or_default().add(&part);
        }
        Ok(())
    })?;
    Ok(counts)
}

/// The table that a file of a dump is of.
fn table_of(layout: TableLayout, path: &[u8]) -> Option<TablePair> {
    let mut names = path.split(|&byte| byte == b'/').map(<[u8]>::to_vec);
    let directories: Vec<_> = names.by_ref().take(layout.levels()).collect();
    let table = match layout {
        TableLayout::Collections(_) => {
            let file = names.next()?;
            // `.bson`, or what an export is.
            let stem = file.iter().rposition(|&byte| byte == b'.').unwrap_or(file.len());
            file_name(&collection_of_file(&file[..stem]), "")
        }
        _ => names.next().filter(|name| name == TABLES_DIRECTORY.as_bytes()).and_then(|_| names.next())?,
    };
    Some(TablePair::new(directories, table, [None, None]))
}
