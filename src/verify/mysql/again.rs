//! What a server is asked to dump again: each database in the character set in which the snapshot has it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::dump::layout::{CHARACTER_SET, RESERVED, RESTORE_FILE, TABLES_DIRECTORY, VIEWS_DIRECTORY};
use crate::dump::letters::Letters;
use crate::dump::mysql::SERVER_DATABASES;
use crate::dump::name::name_of_file;
use crate::error::Result;
use crate::load::character_set_at;
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;
use crate::repository::tree::TreeReader;
use crate::verify::mysql::option;

/// Databases that are in one character set, and what one run of the dumper is told of them.
pub struct Again {
    set: Option<String>,
    databases: Vec<OsString>,
    ignored: Vec<OsString>,
}

impl Again {
    fn new(set: Option<String>) -> Again {
        Again { set, databases: Vec::new(), ignored: Vec::new() }
    }

    /// It takes its arguments to be in the set.
    fn encoded(&self, name: &[u8]) -> Vec<u8> {
        let letters = self.set.as_ref().map_or(Letters::Plain, |set| Letters::of(set.as_bytes()));
        letters.encoded(name).into_owned()
    }

    fn add(&mut self, database: &[u8], views: &[Vec<u8>]) {
        self.databases.push(OsString::from_vec(self.encoded(database)));
        // A view that cannot be asked, since its definer is not there say, would end the dump.
        let ignored = |view: &Vec<u8>| option(b"--ignore-table=", &self.encoded(&[database, b".", view].concat()));
        self.ignored.extend(views.iter().map(ignored).collect::<Vec<_>>());
    }

    pub fn arguments(self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        arguments.extend(self.set.map(|set| option(b"--default-character-set=", set.as_bytes())));
        arguments.extend(self.ignored);
        // It wants to be told what to dump: else something of the server's, and of that no more than who made the dump.
        let nothing = ["--no-data", "--no-create-info", "mysql"].map(OsString::from);
        if self.databases.is_empty() {
            arguments.extend(nothing);
        } else {
            arguments.extend(["--databases", "--"].map(OsString::from).into_iter().chain(self.databases));
        }
        arguments
    }
}

/// What has to be dumped again to compare a server with a snapshot that was loaded into it.
pub fn all_again(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<Again>> {
    let told = snapshot.manifest.facts.get(CHARACTER_SET);
    let (tree, mut by_set) = (repository.tree()?, BTreeMap::new());
    for (database, node) in databases_of(tree, &snapshot.manifest.root)? {
        let views = names_in(tree, &node, VIEWS_DIRECTORY.as_bytes())?;
        let set = set_of(repository, &node)?.or_else(|| told.cloned());
        by_set.entry(set.clone()).or_insert_with(|| Again::new(set)).add(&database, &views);
    }
    if by_set.is_empty() {
        return Ok(vec![Again::new(told.cloned())]);
    }
    Ok(by_set.into_values().collect())
}

/// Databases of a dump, but for the server's own.
fn databases_of(tree: TreeReader, root: &Node) -> Result<Vec<(Vec<u8>, Node)>> {
    let mut databases = Vec::new();
    for entry in root.directory().into_iter().flat_map(|directory| tree.entries(directory)) {
        let entry = entry?;
        let is_ours = RESERVED.iter().any(|name| name.as_bytes() == &*entry.name);
        if let Some(name) = name_of_file(&entry.name)
            && !is_ours
            && !SERVER_DATABASES.contains(&&*name)
            && entry.node.directory().is_some()
        {
            databases.push((name, entry.node));
        }
    }
    Ok(databases)
}

/// The set that a table of a database tells: one dump has all of them.
fn set_of(repository: &Repository, database: &Node) -> Result<Option<String>> {
    let tree = repository.tree()?;
    let found = tree.lookup_path(database, TABLES_DIRECTORY.as_bytes())?;
    for entry in found.iter().filter_map(Node::directory).flat_map(|directory| tree.entries(directory)) {
        let file = tree.lookup_path(&entry?.node, RESTORE_FILE.as_bytes())?;
        if let Some(content) = file.as_ref().and_then(Node::content) {
            return character_set_at(&repository.contents()?, content, 0);
        }
    }
    Ok(None)
}

/// What the entries of a directory below a node stand for.
fn names_in(tree: TreeReader, node: &Node, directory: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let found = tree.lookup_path(node, directory)?;
    for entry in found.iter().filter_map(Node::directory).flat_map(|directory| tree.entries(directory)) {
        names.extend(name_of_file(&entry?.name));
    }
    Ok(names)
}
