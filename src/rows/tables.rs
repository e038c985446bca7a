//! The tables of two snapshots that may differ, and the files that each has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::dump::layout::{ATTACHMENT_FILE, DATA_FILE, POST_FILE, SCHEMA_FILE, TABLES_DIRECTORY, TRIGGERS_FILE};
use crate::dump::mysql::SERVER_DATABASES;
use crate::dump::name::{file_name, name_of_file, split_at_dots, split_quoted};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};
use crate::rows::collections::Collections;
use crate::rows::layout::TableLayout;

/// The files of a table that matter here, on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFiles {
    /// Its `CREATE TABLE`.
    pub schema: Option<Content>,
    /// Its rows.
    pub data: Option<Content>,
    pub triggers: Option<Content>,
    /// Its constraints and indexes, where these come behind the rows.
    pub post: Option<Content>,
    /// What makes it a part of another table.
    pub attachment: Option<Content>,
    /// The bytes of the longest row, where that is known.
    pub longest: Option<u64>,
    /// How many documents a collection has, where that is known.
    pub documents: Option<u64>,
    /// Its rows are records of CSV.
    pub is_csv: bool,
    /// Bytes of the record of names before them, where that is known.
    pub names: Option<u64>,
}

impl TableFiles {
    fn files(&self) -> [&Option<Content>; 5] {
        [&self.schema, &self.data, &self.triggers, &self.post, &self.attachment]
    }
}

/// A table that two snapshots do not both have in the same form.
#[derive(Debug, Clone)]
pub struct TablePair {
    /// Names of the directories that it is in: of its database, and of its schema where there are some.
    directories: Vec<Vec<u8>>,
    /// Name of its own directory.
    table: Vec<u8>,
    rows_name: Vec<u8>,
    pub sides: [Option<TableFiles>; 2],
}

impl TablePair {
    /// One of this name in these directories.
    pub(super) fn new(directories: Vec<Vec<u8>>, table: Vec<u8>, sides: [Option<TableFiles>; 2]) -> TablePair {
        let rows_name = table.clone();
        TablePair { directories, table, rows_name, sides }
    }

    /// The same, of which a file about its rows is called so, without a suffix.
    pub(super) fn with_rows_in(self, rows_name: Vec<u8>) -> TablePair {
        TablePair { rows_name, ..self }
    }

    /// `shop.orders`, or `shop.public.orders`, for people.
    pub fn name(&self) -> String {
        let shown = |file: &Vec<u8>| {
            let name = name_of_file(file).unwrap_or_else(|| file.clone());
            String::from_utf8_lossy(&name).into_owned()
        };
        self.directories.iter().chain([&self.table]).map(shown).collect::<Vec<_>>().join(".")
    }

    /// The name of the database, which is not known where it was too long for a file.
    pub fn database(&self) -> Option<Vec<u8>> {
        name_of_file(self.directories.first()?)
    }

    /// The name of the schema, likewise.
    pub fn schema(&self) -> Option<Vec<u8>> {
        name_of_file(self.directories.get(1)?)
    }

    /// The name of the table, likewise.
    pub fn table(&self) -> Option<Vec<u8>> {
        name_of_file(&self.table)
    }

    /// The names of the directories that it is in.
    pub(super) fn directories(&self) -> &[Vec<u8>] {
        &self.directories
    }

    /// Whether it is a collection that was exported as CSV.
    pub fn is_csv(&self) -> bool {
        self.sides.iter().flatten().any(|files| files.is_csv)
    }

    /// What a file about its rows is called, without a suffix: as its directory, or so that two collections of one name, or almost, have
    /// files of their own.
    pub fn rows_name(&self) -> &[u8] {
        &self.rows_name
    }

    /// Where the directory that its database or schema has is in a snapshot.
    pub fn parent_path(&self) -> Vec<u8> {
        self.directories.join(&b'/')
    }

    /// Whether it is one of the server's own.
    pub fn is_of_server(&self) -> bool {
        self.directories.len() == 1 && SERVER_DATABASES.contains(&&*self.directories[0])
    }

    /// Where its directory is in a snapshot.
    pub fn path(&self) -> Vec<u8> {
        [&self.parent_path(), TABLES_DIRECTORY.as_bytes(), &self.table].join(&b'/')
    }

    /// Pairs of the tables of two roots, of which one list has A's sides and the other B's.
    pub fn joined(ours: Vec<TablePair>, theirs: Vec<TablePair>) -> Vec<TablePair> {
        let mut pairs: BTreeMap<(Vec<Vec<u8>>, Vec<u8>), TablePair> = BTreeMap::new();
        for pair in ours.into_iter().chain(theirs) {
            let key = (pair.directories.clone(), pair.rows_name.clone());
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

    pub(super) fn differs(&self) -> bool {
        let [Some(a), Some(b)] = &self.sides else { return true };
        a.files() != b.files()
    }
}

/// The tables that differ between two roots, each of which is that of a snapshot of a dump of this layout, or nothing; only those of
/// these names, if any are given. Directories that both share are not read.
///
/// # Errors
/// [`Error::NotFound`] for a name that neither has; [`Error::Ambiguous`] for one that several tables have.
pub fn changed_tables(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    wanted: &[Vec<u8>],
) -> Result<Vec<TablePair>> {
    let pairs = if let TableLayout::Collections(form) = layout {
        let collections = Collections::new(repository, form, roots)?;
        match wanted.is_empty() {
            true => collections.all()?,
            false => wanted.iter().map(|name| collections.named(name)).collect::<Result<Vec<_>>>()?.concat(),
        }
    } else if wanted.is_empty() {
        let mut found = Vec::new();
        add_tables(repository, roots, &mut Vec::new(), layout.levels(), &mut found)?;
        found
    } else {
        wanted.iter().map(|name| named_table(repository, layout, roots, name)).collect::<Result<_>>()?
    };
    Ok(pairs.into_iter().filter(TablePair::differs).collect())
}

/// The names of the directories in the one at `path` that have tables that may differ: of databases, or of schemas.
pub fn changed_directories(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>> {
    if let TableLayout::Collections(form) = layout {
        return Collections::named_only(repository, form, roots).databases();
    }
    let (nodes, mut found) = (nodes_at(repository, roots, path)?, Vec::new());
    let further = layout.levels().saturating_sub(path.len() + 1);
    each_pair(repository, nodes.each_ref().map(Option::as_ref), &mut |name, sides| {
        if leads_to_changes(repository, sides.each_ref().map(Option::as_ref), further)? {
            found.push(name.to_vec());
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether the directory at `path`, of a database or a schema, has tables that may differ.
pub fn is_changed_directory(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
) -> Result<bool> {
    if let TableLayout::Collections(form) = layout {
        let collections = Collections::named_only(repository, form, roots);
        return path.last().map_or(Ok(false), |database| collections.is_changed(database));
    }
    let nodes = nodes_at(repository, roots, path)?;
    leads_to_changes(repository, nodes.each_ref().map(Option::as_ref), layout.levels().saturating_sub(path.len()))
}

/// Whether tables may differ so many levels further down.
fn leads_to_changes(repository: &Repository, sides: [Option<&Node>; 2], levels: usize) -> Result<bool> {
    if levels == 0 {
        let page = |node: Option<Node>| node.and_then(|node| node.directory().map(|root| root.page.clone()));
        let [a, b] = tables_of(repository, sides)?.map(page);
        return Ok(a != b);
    }
    let mut found = false;
    each_pair(repository, sides, &mut |_, sides| {
        found = found || leads_to_changes(repository, sides.each_ref().map(Option::as_ref), levels - 1)?;
        Ok(())
    })?;
    Ok(found)
}

/// The tables that differ of a database or a schema, which is named by directories.
pub fn changed_tables_of(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
) -> Result<Vec<TablePair>> {
    let found = match (layout, path) {
        (TableLayout::Collections(form), [database]) => {
            Collections::named_only(repository, form, roots).of_database(database)?
        }
        _ => {
            let (nodes, mut found) = (nodes_at(repository, roots, path)?, Vec::new());
            add_tables_in(repository, nodes.each_ref().map(Option::as_ref), path, &mut found)?;
            found
        }
    };
    Ok(found.into_iter().filter(TablePair::differs).collect())
}

/// A table by the directories that it is in and its own, if it differs.
pub fn changed_table(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
    table: &[u8],
) -> Result<Option<TablePair>> {
    if let (TableLayout::Collections(form), [database]) = (layout, path) {
        let collection = Collections::new(repository, form, roots)?.in_database(database, table)?;
        return Ok(collection.filter(TablePair::differs));
    }
    let below = [&path.join(&b'/'), TABLES_DIRECTORY.as_bytes(), table].join(&b'/');
    let pair = table_at(repository, roots, &below, path.to_vec(), table)?;
    Ok(pair.filter(TablePair::differs))
}

/// Whether there is such a table.
pub fn is_changed_table(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
    table: &[u8],
) -> Result<bool> {
    if let (TableLayout::Collections(form), [database]) = (layout, path) {
        let collection = Collections::named_only(repository, form, roots).in_database(database, table)?;
        return Ok(collection.is_some_and(|pair| pair.differs()));
    }
    Ok(changed_table(repository, layout, roots, path, table)?.is_some())
}

/// What both have at a path.
pub(super) fn nodes_at(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    path: &[Vec<u8>],
) -> Result<[Option<Node>; 2]> {
    let (tree, path) = (repository.tree()?, path.join(&b'/'));
    let node = |root: Option<&Node>| root.map_or(Ok(None), |root| tree.lookup_path(root, &path));
    Ok([node(roots[0])?, node(roots[1])?])
}

/// The directories of tables of a database or a schema.
fn tables_of(repository: &Repository, sides: [Option<&Node>; 2]) -> Result<[Option<Node>; 2]> {
    let tree = repository.tree()?;
    let tables = |node: Option<&Node>| match node {
        Some(node) => tree.lookup_path(node, TABLES_DIRECTORY.as_bytes()),
        None => Ok(None),
    };
    Ok([tables(sides[0])?, tables(sides[1])?])
}

/// Adds the tables in directories of this path, so many levels further down.
fn add_tables(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    path: &mut Vec<Vec<u8>>,
    levels: usize,
    found: &mut Vec<TablePair>,
) -> Result<()> {
    each_pair(repository, roots, &mut |name, sides| {
        path.push(name.to_vec());
        let nodes = [sides[0].as_ref(), sides[1].as_ref()];
        match levels {
            1 => add_tables_in(repository, nodes, path, found)?,
            _ => add_tables(repository, nodes, path, levels - 1, found)?,
        }
        path.pop();
        Ok(())
    })
}

/// Adds the tables of two directories of a database or a schema.
fn add_tables_in(
    repository: &Repository,
    parents: [Option<&Node>; 2],
    path: &[Vec<u8>],
    found: &mut Vec<TablePair>,
) -> Result<()> {
    let tables = tables_of(repository, parents)?;
    each_pair(repository, [tables[0].as_ref(), tables[1].as_ref()], &mut |table, sides| {
        let [a, b] = &sides;
        let sides = [files(repository, a.as_ref())?, files(repository, b.as_ref())?];
        found.push(TablePair::new(path.to_vec(), table.to_vec(), sides));
        Ok(())
    })
}

/// Takes a name, and the directories of this name.
pub(super) type TakePair<'t> = dyn FnMut(&[u8], [Option<Node>; 2]) -> Result<()> + 't;

/// Gives the directories of two directories that differ, by name.
pub(super) fn each_pair(repository: &Repository, sides: [Option<&Node>; 2], each: &mut TakePair) -> Result<()> {
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
    Ok(Some(TableFiles {
        schema: content(SCHEMA_FILE)?,
        data: content(DATA_FILE)?,
        triggers: content(TRIGGERS_FILE)?,
        post: content(POST_FILE)?,
        attachment: content(ATTACHMENT_FILE)?,
        ..TableFiles::default()
    }))
}

/// The table that is called `shop.orders`, or of PostgreSQL `shop.public.orders`, `public.orders` or `orders`. Each name may have
/// dots; where no table is called so, names may stand in quotes as the database has them.
fn named_table(
    repository: &Repository,
    layout: TableLayout,
    roots: [Option<&Node>; 2],
    name: &[u8],
) -> Result<TablePair> {
    let missing = || Error::NotFound { what: "table", name: String::from_utf8_lossy(name).into_owned() };
    let whole = layout.levels() + 1;
    let (least, quote) = if layout == TableLayout::Schemas { (1, b'"') } else { (whole, b'`') };
    let quoted = split_quoted(name, quote).filter(|names| (least..=whole).contains(&names.len()));
    let plain = (least..=whole).rev().map(|parts| split_in(name, parts));
    for meant in plain.chain(quoted.map(|names| vec![names])) {
        let mut found = Vec::new();
        for names in meant {
            add_named(repository, roots, &mut Vec::new(), whole, &names, &mut found)?;
        }
        if found.len() > 1 {
            let matches = found.iter().map(TablePair::name).collect();
            return Err(Error::Ambiguous { what: "table", name: String::from_utf8_lossy(name).into_owned(), matches });
        }
        if let Some(pair) = found.pop() {
            return Ok(pair);
        }
    }
    Err(missing())
}

/// All ways to take a name apart into so many names.
fn split_in(name: &[u8], parts: usize) -> Vec<Vec<&[u8]>> {
    if parts == 1 {
        return vec![vec![name]];
    }
    let with_rest =
        |(first, rest)| split_in(rest, parts - 1).into_iter().map(move |names| [vec![first], names].concat());
    split_at_dots(name).flat_map(with_rest).collect()
}

/// Adds the tables of this name; of which the first parts may be missing, and are any then. `left` counts the parts of whole names that
/// are not in `path`.
fn add_named(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    path: &mut Vec<Vec<u8>>,
    left: usize,
    names: &[&[u8]],
    found: &mut Vec<TablePair>,
) -> Result<()> {
    let tree = repository.tree()?;
    let node = |path: &[u8]| {
        let [a, b] = roots.map(|root| root.map_or(Ok(None), |root| tree.lookup_path(root, path)));
        Ok::<_, Error>([a?, b?])
    };
    if names.len() < left {
        for name in directories_in(repository, roots)? {
            let [a, b] = node(&name)?;
            path.push(name);
            add_named(repository, [a.as_ref(), b.as_ref()], path, left - 1, names, found)?;
            path.pop();
        }
        return Ok(());
    }
    let names: Vec<Vec<u8>> = names.iter().map(|name| file_name(name, "")).collect();
    let Some((table, parents)) = names.split_last() else { return Ok(()) };
    let below: Vec<&[u8]> = parents.iter().map(Vec::as_slice).chain([TABLES_DIRECTORY.as_bytes(), table]).collect();
    let directories = path.iter().chain(parents).cloned().collect();
    found.extend(table_at(repository, roots, &below.join(&b'/'), directories, table)?);
    Ok(())
}

/// The names of directories that one of two directories has, or both.
pub(super) fn directories_in(repository: &Repository, roots: [Option<&Node>; 2]) -> Result<BTreeSet<Vec<u8>>> {
    let mut names = BTreeSet::new();
    for root in roots {
        each_pair(repository, [root, None], &mut |name, _| {
            names.insert(name.to_vec());
            Ok(())
        })?;
    }
    Ok(names)
}

/// A table by where its directory is, if there is one.
pub(super) fn table_at(
    repository: &Repository,
    roots: [Option<&Node>; 2],
    path: &[u8],
    directories: Vec<Vec<u8>>,
    table: &[u8],
) -> Result<Option<TablePair>> {
    let tree = repository.tree()?;
    let node = |root: Option<&Node>| root.map_or(Ok(None), |root| tree.lookup_path(root, path));
    let nodes = [node(roots[0])?, node(roots[1])?];
    if nodes.iter().all(Option::is_none) {
        return Ok(None);
    }
    let sides = [files(repository, nodes[0].as_ref())?, files(repository, nodes[1].as_ref())?];
    Ok(Some(TablePair::new(directories, table.to_vec(), sides)))
}
