//! The collections of two snapshots of dumps of MongoDB that may differ: files, not directories as tables are.

use std::collections::{BTreeSet, HashMap};

use crate::dump::layout::{COLLECTIONS_FILE, META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::mongo::{DOCUMENTS_SUFFIX, collection_file_name, collection_of_file};
use crate::dump::name::{file_name, split_at_dots};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};
use crate::rows::tables::{TableFiles, TablePair, directories_in, each_pair};

/// The bytes of the longest document of each file.
type Longest = HashMap<Vec<u8>, u64>;

/// Collections of two roots.
pub struct Collections<'r> {
    repository: &'r Repository,
    roots: [Option<&'r Node>; 2],
    longest: [Longest; 2],
}

impl<'r> Collections<'r> {
    pub fn new(repository: &'r Repository, roots: [Option<&'r Node>; 2]) -> Result<Collections<'r>> {
        Ok(Collections { repository, roots, longest: [longest(repository, roots[0])?, longest(repository, roots[1])?] })
    }

    /// All that differ.
    pub fn all(&self) -> Result<Vec<TablePair>> {
        let mut found = Vec::new();
        each_pair(self.repository, self.roots, &mut |database, sides| {
            if [META_DIRECTORY, ORIGINAL_DIRECTORY].iter().any(|own| own.as_bytes() == database) {
                return Ok(());
            }
            self.add_files(database, [sides[0].as_ref(), sides[1].as_ref()], &mut found)
        })?;
        Ok(found)
    }

    fn add_files(&self, database: &[u8], sides: [Option<&Node>; 2], found: &mut Vec<TablePair>) -> Result<()> {
        let (chunks, nothing) = (self.repository.chunks()?, DirectoryRoot::default());
        let directory = |node: Option<&Node>| node.and_then(Node::directory).copied().unwrap_or(nothing);
        let directories = sides.map(directory);
        let mut cursors = [0, 1].map(|side| EntryCursor::new(chunks, &directories[side]).reading_once());
        let mut met = PagesMet::default();
        while let Some([a, b]) = next_pair(&mut cursors, &mut met)? {
            let name = a.iter().chain(&b).map(|entry| entry.name.clone()).next().unwrap_or_default();
            let Some(stem) = name.strip_suffix(DOCUMENTS_SUFFIX.as_bytes()) else { continue };
            let sides = [a.map(|entry| entry.node), b.map(|entry| entry.node)];
            found.push(self.pair(database, &collection_of_file(stem), &name, sides));
        }
        Ok(())
    }

    fn pair(&self, database: &[u8], collection: &[u8], file: &[u8], nodes: [Option<Node>; 2]) -> TablePair {
        let path = [database, file].join(&b'/');
        let mut side = 0;
        let sides = nodes.map(|node| {
            let longest = self.longest[side].get(&path).copied();
            side += 1;
            let data = node.as_ref().and_then(Node::content).cloned();
            node.map(|_| TableFiles { data, longest, ..TableFiles::default() })
        });
        TablePair::new(vec![database.to_vec()], file_name(collection, ""), sides)
    }

    /// The one that is called `shop.orders`. Either name may have dots.
    pub fn named(&self, name: &[u8]) -> Result<TablePair> {
        let databases: BTreeSet<Vec<u8>> = directories_in(self.repository, self.roots)?;
        let tree = self.repository.tree()?;
        for (database, collection) in split_at_dots(name) {
            let database = file_name(database, "");
            let file = collection_file_name(collection, DOCUMENTS_SUFFIX);
            let path = [&database[..], &file].join(&b'/');
            let node = |root: Option<&Node>| root.map_or(Ok(None), |root| tree.lookup_path(root, &path));
            let nodes = [node(self.roots[0])?, node(self.roots[1])?];
            if databases.contains(&database) && nodes.iter().any(Option::is_some) {
                return Ok(self.pair(&database, collection, &file, nodes));
            }
        }
        Err(Error::NotFound { what: "collection", name: String::from_utf8_lossy(name).into_owned() })
    }
}

/// What a snapshot tells of its collections.
fn longest(repository: &Repository, root: Option<&Node>) -> Result<Longest> {
    let path = [META_DIRECTORY, COLLECTIONS_FILE].join("/");
    let node = root.map_or(Ok(None), |root| repository.tree()?.lookup_path(root, path.as_bytes()))?;
    let (mut found, mut text) = (Longest::new(), Vec::new());
    if let Some(content) = node.as_ref().and_then(Node::content) {
        repository.contents()?.read(content, 0, content.size as usize, &mut text)?;
    }
    for line in text.split(|&byte| byte == b'\n') {
        let mut words = line.splitn(4, |&byte| byte == b' ').skip(2);
        let number = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        if let (Some(number), Some(path)) = (number, words.next()) {
            found.insert(path.to_vec(), number);
        }
    }
    Ok(found)
}
