//! The collections of two snapshots of dumps of MongoDB that may differ: files, not directories as tables are.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use crate::dump::layout::{COLLECTIONS_FILE, META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::mongo::{CSV_SUFFIX, DocumentCounts, DocumentForm, collection_file_name, collection_of_file};
use crate::dump::name::{file_name, name_of_file, split_at_dots};
use crate::dump::part_line::CollectionLine;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};
use crate::rows::tables::{TableFiles, TablePair, TakePair, directories_in, each_pair, nodes_at};

/// What is known of the documents of each file.
type Counts = HashMap<Vec<u8>, DocumentCounts>;

/// Collections of two roots.
pub struct Collections<'r> {
    repository: &'r Repository,
    form: DocumentForm,
    roots: [Option<&'r Node>; 2],
    /// Not known where it is not asked how to read them.
    counts: [Counts; 2],
}

impl<'r> Collections<'r> {
    pub fn new(
        repository: &'r Repository,
        form: DocumentForm,
        roots: [Option<&'r Node>; 2],
    ) -> Result<Collections<'r>> {
        let counts = [counts(repository, roots[0])?, counts(repository, roots[1])?];
        Ok(Collections { repository, form, roots, counts })
    }

    /// The same to tell only which differ.
    pub fn named_only(repository: &'r Repository, form: DocumentForm, roots: [Option<&'r Node>; 2]) -> Collections<'r> {
        Collections { repository, form, roots, counts: Default::default() }
    }

    /// All that may differ.
    pub fn all(&self) -> Result<Vec<TablePair>> {
        let mut found = Vec::new();
        self.each_database(&mut |database, sides| {
            self.each_file(database, sides.each_ref().map(Option::as_ref), &mut |pair| {
                found.push(pair);
                ControlFlow::Continue(())
            })
        })?;
        Ok(found)
    }

    /// The names of the directories of databases that differ.
    pub fn databases(&self) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        self.each_database(&mut |database, sides| {
            let differs = self.differ(database, sides.each_ref().map(Option::as_ref))?;
            found.extend(differs.then(|| database.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    /// Whether the directory of a database differs.
    pub fn is_changed(&self, database: &[u8]) -> Result<bool> {
        let nodes = nodes_at(self.repository, self.roots, &[database.to_vec()])?;
        Ok(!is_own(database) && self.differ(database, nodes.each_ref().map(Option::as_ref))?)
    }

    fn differ(&self, database: &[u8], sides: [Option<&Node>; 2]) -> Result<bool> {
        let mut differs = false;
        self.each_file(database, sides, &mut |pair| {
            differs = pair.differs();
            if differs { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(differs)
    }

    /// Those of a database that may differ.
    pub fn of_database(&self, database: &[u8]) -> Result<Vec<TablePair>> {
        let (nodes, mut found) = (nodes_at(self.repository, self.roots, &[database.to_vec()])?, Vec::new());
        self.each_file(database, nodes.each_ref().map(Option::as_ref), &mut |pair| {
            found.push(pair);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// The one about whose rows a file would be called so ([`TablePair::rows_name`]).
    pub fn in_database(&self, database: &[u8], name: &[u8]) -> Result<Option<TablePair>> {
        // What ends like a file may be the name of a collection.
        let stems =
            [CSV_SUFFIX, self.form.suffix()].into_iter().filter_map(|suffix| name.strip_suffix(suffix.as_bytes()));
        for stem in std::iter::once(name).chain(stems) {
            let found = match name_of_file(stem) {
                Some(collection) => self.at(database, &collection)?,
                None => self.of_database(database)?,
            };
            if let Some(pair) = found.into_iter().find(|pair| pair.rows_name() == name) {
                return Ok(Some(pair));
            }
        }
        Ok(None)
    }

    fn each_database(&self, each: &mut TakePair) -> Result<()> {
        each_pair(self.repository, self.roots, &mut |database, sides| {
            if is_own(database) { Ok(()) } else { each(database, sides) }
        })
    }

    /// Gives the files of documents of a database that may differ, until `each` breaks off.
    fn each_file(
        &self,
        database: &[u8],
        sides: [Option<&Node>; 2],
        each: &mut dyn FnMut(TablePair) -> ControlFlow<()>,
    ) -> Result<()> {
        let (chunks, nothing) = (self.repository.chunks()?, DirectoryRoot::default());
        let directories = sides.map(|node| node.and_then(Node::directory).unwrap_or(&nothing));
        let mut cursors = directories.map(|directory| EntryCursor::new(chunks, directory).reading_once());
        let mut met = PagesMet::default();
        while let Some([a, b]) = next_pair(&mut cursors, &mut met)? {
            let name = a.iter().chain(&b).map(|entry| entry.name.clone()).next().unwrap_or_default();
            let mut stems = self.suffixes().filter_map(|suffix| name.strip_suffix(suffix.as_bytes()));
            let Some(stem) = stems.next() else { continue };
            let sides = [a.map(|entry| entry.node), b.map(|entry| entry.node)];
            if each(self.pair(database, &collection_of_file(stem), &name, sides)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// How the names of files of documents end.
    fn suffixes(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.form.suffix()).chain((self.form == DocumentForm::Json).then_some(CSV_SUFFIX))
    }

    /// A collection of a database, in each form that it has there.
    fn at(&self, database: &[u8], collection: &[u8]) -> Result<Vec<TablePair>> {
        let mut found = Vec::new();
        for suffix in self.suffixes() {
            let file = collection_file_name(collection, suffix);
            let nodes = nodes_at(self.repository, self.roots, &[database.to_vec(), file.clone()])?;
            if nodes.iter().any(Option::is_some) {
                found.push(self.pair(database, collection, &file, nodes));
            }
        }
        Ok(found)
    }

    fn pair(&self, database: &[u8], collection: &[u8], file: &[u8], nodes: [Option<Node>; 2]) -> TablePair {
        let path = [database, file].join(&b'/');
        let is_csv = !file.ends_with(self.form.suffix().as_bytes());
        let mut side = 0;
        let sides = nodes.map(|node| {
            let counts = self.counts[side].get(&path);
            let (longest, documents) = (counts.map(|it| it.longest), counts.map(|it| it.documents));
            let names = counts.and_then(|it| it.names);
            side += 1;
            let data = node.as_ref().and_then(Node::content).cloned();
            node.map(|_| TableFiles { data, longest, documents, is_csv, names, ..TableFiles::default() })
        });
        let name = file_name(collection, "");
        let rows_name = self.rows_name(&name, is_csv);
        TablePair::new(vec![database.to_vec()], name, sides).with_rows_in(rows_name)
    }

    /// What a file about the rows of a collection is called: that of an export as CSV as its own file, beside which there may be one as
    /// JSON; and that of one as JSON which is called as if it were CSV, so that nothing as CSV is.
    fn rows_name(&self, name: &[u8], is_csv: bool) -> Vec<u8> {
        let mut stem = name;
        while let Some(shorter) = stem.strip_suffix(self.form.suffix().as_bytes()) {
            stem = shorter;
        }
        let suffix = match self.form {
            DocumentForm::Json if is_csv => CSV_SUFFIX,
            DocumentForm::Json if stem.ends_with(CSV_SUFFIX.as_bytes()) => self.form.suffix(),
            _ => "",
        };
        [name, suffix.as_bytes()].concat()
    }

    /// The one that is called `shop.orders`, in each form that it has. Either name may have dots.
    pub fn named(&self, name: &[u8]) -> Result<Vec<TablePair>> {
        let databases: BTreeSet<Vec<u8>> = directories_in(self.repository, self.roots)?;
        for (database, collection) in split_at_dots(name) {
            let database = file_name(database, "");
            if databases.contains(&database) {
                let found = self.at(&database, collection)?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        Err(Error::NotFound { what: "collection", name: String::from_utf8_lossy(name).into_owned() })
    }
}

/// Whether a directory is of the snapshot itself, and of no database.
fn is_own(directory: &[u8]) -> bool {
    [META_DIRECTORY, ORIGINAL_DIRECTORY].iter().any(|own| own.as_bytes() == directory)
}

/// What a snapshot tells of its collections.
fn counts(repository: &Repository, root: Option<&Node>) -> Result<Counts> {
    let path = [META_DIRECTORY, COLLECTIONS_FILE].join("/");
    let node = root.map_or(Ok(None), |root| repository.tree()?.lookup_path(root, path.as_bytes()))?;
    let (mut found, mut text) = (Counts::new(), Vec::new());
    if let Some(content) = node.as_ref().and_then(Node::content) {
        repository.contents()?.read(content, 0, content.size as usize, &mut text)?;
    }
    for line in text.split(|&byte| byte == b'\n') {
        if let Some(CollectionLine { part, longest: Some(longest), names }) = CollectionLine::parse(line) {
            found.insert(part.path.to_vec(), DocumentCounts { documents: part.rows, longest, names });
        }
    }
    Ok(found)
}
