//! The names of all tables of a dump, for whoever looks for one that is called nearly so.

use crate::dump::layout::TABLES_DIRECTORY;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::SnapshotKind;
use crate::rows::collections::Collections;
use crate::rows::tables::{TablePair, each_pair, levels};

/// Tells the names of the tables or collections of a dump of this kind, as [`TablePair::name`] does. Nothing of the tables is read.
pub fn each_table_name(
    repository: &Repository,
    kind: SnapshotKind,
    root: &Node,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    if kind == SnapshotKind::Mongo {
        let collections = Collections::named_only(repository, [None, Some(root)]).all()?;
        collections.iter().for_each(|pair| tell(&pair.name()));
        return Ok(());
    }
    each_below(repository, root, &mut Vec::new(), levels(kind), tell)
}

/// The same below a directory of this path, so many levels above those that have tables.
fn each_below(
    repository: &Repository,
    directory: &Node,
    path: &mut Vec<Vec<u8>>,
    levels: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    if levels == 0 {
        let tables = repository.tree()?.lookup_path(directory, TABLES_DIRECTORY.as_bytes())?;
        return each_pair(repository, [None, tables.as_ref()], &mut |table, _| {
            tell(&TablePair::new(path.clone(), table.to_vec(), [None, None]).name());
            Ok(())
        });
    }
    each_pair(repository, [None, Some(directory)], &mut |name, [_, below]| {
        let Some(below) = below else { return Ok(()) };
        path.push(name.to_vec());
        each_below(repository, &below, path, levels - 1, tell)?;
        path.pop();
        Ok(())
    })
}
