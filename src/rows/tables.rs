//! The tables of two snapshots that may differ, and the files that each has.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::dump::layout::{DATA_FILE, SCHEMA_FILE, TABLES_DIRECTORY, TRIGGERS_FILE};
use crate::dump::name::{file_name, name_of_file, split_at_dots};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};

/// The files of a table that matter here, on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFiles {
    /// Its `CREATE TABLE`.
    pub schema: Option<Content>,
    /// Its rows.
    pub data: Option<Content>,
    pub triggers: Option<Content>,
}

/// A table that two snapshots do not both have in the same form.
#[derive(Debug, Clone)]
pub struct TablePair {
    /// Names of the directories of its database and its own.
    database: Vec<u8>,
    table: Vec<u8>,
    pub sides: [Option<TableFiles>; 2],
}

impl TablePair {
    /// `shop.orders`, for people.
    pub fn name(&self) -> String {
        let shown = |file: &[u8]| {
            let name = name_of_file(file).unwrap_or_else(|| file.to_vec());
            String::from_utf8_lossy(&name).into_owned()
        };
        format!("{}.{}", shown(&self.database), shown(&self.table))
    }

    /// The name of the database, which is not known where it was too long for a file.
    pub fn database(&self) -> Option<Vec<u8>> {
        name_of_file(&self.database)
    }

    /// The name of the table, likewise.
    pub fn table(&self) -> Option<Vec<u8>> {
        name_of_file(&self.table)
    }

    /// The name of its directory.
    pub fn directory_name(&self) -> &[u8] {
        &self.table
    }

    /// Where the directory of its database is in a snapshot.
    pub fn database_path(&self) -> Vec<u8> {
        self.database.clone()
    }

    /// Whether it is one of the server's own.
    pub fn is_of_server(&self) -> bool {
        [&b"mysql"[..], b"sys", b"performance_schema", b"information_schema"].contains(&&*self.database)
    }

    /// Where its directory is in a snapshot.
    pub fn path(&self) -> Vec<u8> {
        [&self.database, TABLES_DIRECTORY.as_bytes(), &self.table].join(&b'/')
    }

    /// Pairs of the tables of two roots, of which one list has A's sides and the other B's.
    pub fn joined(ours: Vec<TablePair>, theirs: Vec<TablePair>) -> Vec<TablePair> {
        let mut pairs: BTreeMap<(Vec<u8>, Vec<u8>), TablePair> = BTreeMap::new();
        for pair in ours.into_iter().chain(theirs) {
            let key = (pair.database.clone(), pair.table.clone());
            match pairs.entry(key) {
                Entry::Vacant(place) => drop(place.insert(pair)),
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.sides =
                        std::array::from_fn(|side| known.sides[side].take().or_else(|| pair.sides[side].clone()));
                }
            }
        }
        pairs.into_values().collect()
    }

    fn differs(&self) -> bool {
        self.sides[0] != self.sides[1]
    }
}

/// The tables that differ between two roots, each of which is that of a dump's snapshot, or nothing; only those of these names, if any are
/// given. Directories that both share are not read.
///
/// # Errors
/// [`Error::NotFound`] for a name that neither has.
pub fn changed_tables(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    wanted: &[Vec<u8>],
) -> Result<Vec<TablePair>> {
    let pairs = if wanted.is_empty() {
        all_tables(repository, roots)?
    } else {
        wanted.iter().map(|name| named_table(repository, roots, name)).collect::<Result<_>>()?
    };
    Ok(pairs.into_iter().filter(TablePair::differs).collect())
}

fn all_tables(repository: &Repository, roots: [Option<&Node>; 2]) -> Result<Vec<TablePair>> {
    let mut found = Vec::new();
    each_pair(repository, roots, &mut |database, sides| {
        found.extend(tables_below(repository, database, sides)?);
        Ok(())
    })?;
    Ok(found)
}

/// The directories of databases that have tables that may differ.
pub fn changed_databases(repository: &Repository, roots: [Option<&Node>; 2]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    each_pair(repository, roots, &mut |database, sides| {
        let [a, b] = tables_of(repository, sides)?;
        let page = |node: Option<Node>| node.and_then(|node| node.directory().map(|root| root.page));
        if page(a) != page(b) {
            found.push(database.to_vec());
        }
        Ok(())
    })?;
    Ok(found)
}

/// The tables that differ of a database, which is named as its directory.
pub fn changed_tables_of(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    database: &[u8],
) -> Result<Vec<TablePair>> {
    let tree = repository.tree()?;
    let node = |root: Option<&Node>| root.map_or(Ok(None), |root| tree.lookup_path(root, database));
    let tables = tables_below(repository, database, [node(roots[0])?, node(roots[1])?])?;
    Ok(tables.into_iter().filter(TablePair::differs).collect())
}

/// A table by the directories of its database and its own, if it differs.
pub fn changed_table(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    database: &[u8],
    table: &[u8],
) -> Result<Option<TablePair>> {
    Ok(table_at(repository, roots, database, table)?.filter(TablePair::differs))
}

/// The directories of tables of a database.
fn tables_of(repository: &Repository, sides: [Option<Node>; 2]) -> Result<[Option<Node>; 2]> {
    let tree = repository.tree()?;
    let tables = |node: &Option<Node>| match node {
        Some(node) => tree.lookup_path(node, TABLES_DIRECTORY.as_bytes()),
        None => Ok(None),
    };
    Ok([tables(&sides[0])?, tables(&sides[1])?])
}

/// The tables of a database whose directories differ.
fn tables_below(repository: &Repository, database: &[u8], sides: [Option<Node>; 2]) -> Result<Vec<TablePair>> {
    let (mut found, tables) = (Vec::new(), tables_of(repository, sides)?);
    each_pair(repository, [tables[0].as_ref(), tables[1].as_ref()], &mut |table, sides| {
        let [a, b] = &sides;
        let sides = [files(repository, a.as_ref())?, files(repository, b.as_ref())?];
        found.push(TablePair { database: database.to_vec(), table: table.to_vec(), sides });
        Ok(())
    })?;
    Ok(found)
}

/// Takes a name, and the directories of this name.
type TakePair<'t> = dyn FnMut(&[u8], [Option<Node>; 2]) -> Result<()> + 't;

/// Gives the directories of two directories that differ, by name.
fn each_pair(repository: &Repository, sides: [Option<&Node>; 2], each: &mut TakePair) -> Result<()> {
    let chunks = repository.chunks()?;
    let nothing = DirectoryRoot::default();
    let mut cursors =
        sides.map(|node| EntryCursor::new(chunks, node.and_then(Node::directory).unwrap_or(&nothing)).reading_once());
    let mut met = PagesMet::default();
    while let Some([a, b]) = next_pair(&mut cursors, &mut met)? {
        let name = a.iter().chain(&b).map(|entry| entry.name.clone()).next().unwrap_or_default();
        let directory = |node: Node| Some(node).filter(|node| node.directory().is_some());
        let sides = [a, b].map(|entry| entry.and_then(|entry| directory(entry.node)));
        if sides.iter().any(Option::is_some) {
            each(&name, sides)?;
        }
    }
    Ok(())
}

fn files(repository: &Repository, table: Option<&Node>) -> Result<Option<TableFiles>> {
    let (Some(table), tree) = (table, repository.tree()?) else { return Ok(None) };
    let content = |name: &str| {
        let node = tree.lookup_path(table, name.as_bytes())?;
        Ok::<_, Error>(node.as_ref().and_then(Node::content).cloned())
    };
    Ok(Some(TableFiles { schema: content(SCHEMA_FILE)?, data: content(DATA_FILE)?, triggers: content(TRIGGERS_FILE)? }))
}

/// The table that is called `shop.orders`. Either name may have dots.
fn named_table(repository: &Repository, roots: [Option<&Node>; 2], name: &[u8]) -> Result<TablePair> {
    for (database, table) in split_at_dots(name) {
        let (database, table) = (file_name(database, ""), file_name(table, ""));
        if let Some(found) = table_at(repository, roots, &database, &table)? {
            return Ok(found);
        }
    }
    Err(Error::NotFound { what: "table", name: String::from_utf8_lossy(name).into_owned() })
}

/// A table by the directories of its database and its own, if there is one.
fn table_at(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    database: &[u8],
    table: &[u8],
) -> Result<Option<TablePair>> {
    let path = [database, TABLES_DIRECTORY.as_bytes(), table].join(&b'/');
    let tree = repository.tree()?;
    let node = |root: Option<&Node>| root.map_or(Ok(None), |root| tree.lookup_path(root, &path));
    let nodes = [node(roots[0])?, node(roots[1])?];
    if nodes.iter().all(Option::is_none) {
        return Ok(None);
    }
    let sides = [files(repository, nodes[0].as_ref())?, files(repository, nodes[1].as_ref())?];
    Ok(Some(TablePair { database: database.to_vec(), table: table.to_vec(), sides }))
}
