//! The names of all tables of a dump, for whoever looks for one that is called nearly so.

use crate::dump::layout::TABLES_DIRECTORY;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::Manifest;
use crate::rows::collections::Collections;
use crate::rows::layout::TableLayout;
use crate::rows::tables::{TablePair, each_pair};

/// Tells the names of the tables or collections of a snapshot of a dump, as [`TablePair::name`] does. Nothing of the tables is read.
pub fn each_table_name(repository: &Repository, manifest: &Manifest, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let (layout, root) = (TableLayout::of(manifest), &manifest.root);
    if let TableLayout::Collections(form) = layout {
        let collections = Collections::named_only(repository, form, [None, Some(root)]).all()?;
        collections.iter().for_each(|pair| tell(&pair.name()));
        return Ok(());
    }
    each_below(repository, root, &mut Vec::new(), layout.levels(), tell)
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
