//! TableLayout: where the snapshot of a dump has its tables.

use crate::dump::layout::{EXPORT, FORM};
use crate::dump::mongo::DocumentForm;
use crate::repository::snapshot::{Manifest, SnapshotKind};

/// Where tables are. Those of two snapshots are compared where it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableLayout {
    /// Directories in those of databases.
    Databases,
    /// Directories in those of schemas, which are in those of databases.
    Schemas,
    /// Files of documents in directories of databases.
    Collections(DocumentForm),
}

impl TableLayout {
    /// Of a snapshot of a dump.
    pub fn of(manifest: &Manifest) -> TableLayout {
        let is_export = || manifest.facts.get(FORM).is_some_and(|form| form == EXPORT);
        match manifest.kind {
            SnapshotKind::Postgres => TableLayout::Schemas,
            SnapshotKind::Mongo if is_export() => TableLayout::Collections(DocumentForm::Json),
            SnapshotKind::Mongo => TableLayout::Collections(DocumentForm::Bson),
            SnapshotKind::Mysql | SnapshotKind::Stream | SnapshotKind::Directory => TableLayout::Databases,
        }
    }

    /// Directories between the root and tables.
    pub fn levels(self) -> usize {
        match self {
            TableLayout::Databases | TableLayout::Collections(_) => 1,
            TableLayout::Schemas => 2,
        }
    }
}
