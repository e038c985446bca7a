//! The collections of a dump's snapshot, and what each is made of.

use std::collections::BTreeMap;

use crate::dump::layout::{META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::mongo::{BUCKETS_PREFIX, DOCUMENTS_SUFFIX, METADATA_SUFFIX, Metadata, VIEW, collection_of_file};
use crate::dump::name::{name_of_file, split_at_dots};
use crate::error::{Error, Result};
use crate::load::mongo::server::Definition;
use crate::load::tables::text_of;
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;

/// Longest definition of a collection.
const METADATA_MAX_BYTES: u64 = 64 << 20;

/// Databases of the server's own.
const SERVER_DATABASES: [&str; 3] = ["admin", "config", "local"];

/// Collections whose documents are what the server keeps of others, or of users.
const SERVER_PREFIXES: [&str; 2] = ["system.", "$admin."];

/// One that users made for their own functions.
const FUNCTIONS: &str = "system.js";

/// A collection or a view.
#[derive(Debug, Clone)]
pub struct DumpCollection {
    pub database: String,
    pub name: String,
    pub is_view: bool,
    metadata: Option<Content>,
    pub documents: Option<Content>,
    /// Its documents are in another collection, which belongs to it.
    is_in_buckets: bool,
}

impl DumpCollection {
    /// For people.
    pub fn shown(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// Whether a server makes it by itself.
    pub fn is_of_server(&self) -> bool {
        is_of_server(&self.database, &self.name)
    }

    /// The collection of the server that its documents go into, where it is called `name` there.
    pub fn documents_name(&self, name: &str) -> String {
        if self.is_in_buckets { format!("{BUCKETS_PREFIX}{name}") } else { name.to_string() }
    }

    pub fn definition(&self, repository: &Repository) -> Result<Definition> {
        let Some(content) = &self.metadata else { return Ok(Definition::default()) };
        let read = Definition::read(&text(repository, content, &self.shown())?);
        read.map_err(|reason| Error::invalid("metadata of collection", self.shown(), reason))
    }

    pub fn bytes(&self) -> u64 {
        self.documents.as_ref().map_or(0, |content| content.size)
    }
}

/// Whether servers make the collection of this name by themselves.
pub fn is_of_server(database: &str, collection: &str) -> bool {
    let is_own = SERVER_PREFIXES.iter().any(|prefix| collection.starts_with(prefix)) && collection != FUNCTIONS;
    is_own || SERVER_DATABASES.contains(&database)
}

/// Whether a dump loads the documents of the file that is called after this collection.
pub fn is_loaded(database: &str, collection: &str) -> bool {
    !is_of_server(database, collection.strip_prefix(BUCKETS_PREFIX).unwrap_or(collection))
}

fn text(repository: &Repository, content: &Content, name: &str) -> Result<Vec<u8>> {
    if content.size > METADATA_MAX_BYTES {
        let reason = format!("they have {} bytes, more than any server takes", content.size);
        return Err(Error::invalid("metadata of collection", name, reason));
    }
    let mut text = Vec::new();
    repository.contents()?.read(content, 0, content.size as usize, &mut text)?;
    Ok(text)
}

/// Metadata and documents of a database, by the beginning of their names.
type Files = BTreeMap<Vec<u8>, [Option<Content>; 2]>;

/// All collections of a dump, by database and name.
pub fn collections(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<DumpCollection>> {
    let (tree, mut found) = (repository.tree()?, Vec::new());
    let root = snapshot.manifest.root.directory();
    for entry in root.into_iter().flat_map(|directory| tree.entries(directory)) {
        let entry = entry?;
        let is_own = [META_DIRECTORY, ORIGINAL_DIRECTORY].iter().any(|own| own.as_bytes() == &*entry.name);
        if entry.node.directory().is_none() || is_own {
            continue;
        }
        let database = text_of(&name_of_file(&entry.name).unwrap_or_else(|| entry.name.to_vec()))?;
        let mut files = files(repository, &entry.node)?;
        let stems: Vec<Vec<u8>> = files.keys().cloned().collect();
        for stem in stems {
            found.extend(collection(repository, &database, &stem, &mut files)?);
        }
    }
    Ok(found)
}

fn files(repository: &Repository, database: &Node) -> Result<Files> {
    let (mut files, tree) = (Files::new(), repository.tree()?);
    for entry in database.directory().into_iter().flat_map(|directory| tree.entries(directory)) {
        let entry = entry?;
        let suffixes = [METADATA_SUFFIX, DOCUMENTS_SUFFIX];
        let kind = suffixes.iter().position(|suffix| entry.name.ends_with(suffix.as_bytes()));
        if let (Some(kind), Some(content)) = (kind, entry.node.content()) {
            let stem = entry.name[..entry.name.len() - suffixes[kind].len()].to_vec();
            files.entry(stem).or_default()[kind] = Some(content.clone());
        }
    }
    Ok(files)
}

/// The collection of files that begin so; `None` of those of buckets, which belong to another.
fn collection(
    repository: &Repository,
    database: &str,
    stem: &[u8],
    files: &mut Files,
) -> Result<Option<DumpCollection>> {
    let name = collection_of_file(stem);
    let is_listed = |stem: &[u8], files: &Files| files.get(stem).is_some_and(|[metadata, _]| metadata.is_some());
    if let Some(base) = stem.strip_prefix(BUCKETS_PREFIX.as_bytes())
        && is_listed(base, files)
    {
        return Ok(None);
    }
    let Some([metadata, own]) = files.get(stem).cloned() else { return Ok(None) };
    let shown = format!("{database}.{}", String::from_utf8_lossy(&name));
    let read = match &metadata {
        Some(content) => Metadata::read(&text(repository, content, &shown)?)
            .ok_or_else(|| Error::invalid("metadata of collection", shown, "they are no JSON object"))?,
        None => Metadata::default(),
    };
    // A long name is in the metadata only.
    let name = read.name.map_or_else(|| text_of(&name), Ok)?;
    let buckets = files.get(&[BUCKETS_PREFIX.as_bytes(), stem].concat()).and_then(|[_, documents]| documents.clone());
    Ok(Some(DumpCollection {
        database: database.to_string(),
        is_view: read.kind.as_deref() == Some(VIEW),
        metadata,
        is_in_buckets: own.is_none() && buckets.is_some(),
        documents: own.or(buckets),
        name,
    }))
}

/// The one collection that a name can mean: names may have dots.
pub fn find<'c>(all: &'c [DumpCollection], name: &str) -> Result<&'c DumpCollection> {
    let is_meant = |it: &&DumpCollection| {
        split_at_dots(name.as_bytes())
            .any(|(database, collection)| database == it.database.as_bytes() && collection == it.name.as_bytes())
    };
    let mut found = all.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::invalid("table", name, "two collections of the dump can be meant by it")),
        (None, _) if !name.contains('.') => {
            Err(Error::invalid("table", name, "collections are named DATABASE.COLLECTION"))
        }
        (None, _) => Err(Error::NotFound { what: "collection", name: name.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(database: &str, name: &str, is_in_buckets: bool) -> DumpCollection {
        let (database, name) = (database.to_string(), name.to_string());
        DumpCollection { database, name, is_view: false, metadata: None, documents: None, is_in_buckets }
    }

    #[test]
    fn documents_of_time_series_go_into_their_buckets() {
        assert_eq!(of("shop", "ts", true).documents_name("other.ts"), "system.buckets.other.ts");
        assert_eq!(of("shop", "ts", false).documents_name("other.ts"), "other.ts");
    }

    #[test]
    fn collections_are_found_by_names_that_mean_one() {
        let all = [of("a", "b.c", false), of("a.b", "c", false), of("a.b", "d.e", false)];
        assert_eq!(find(&all, "a.b.d.e").unwrap().shown(), "a.b.d.e");
        let refused = |name: &str| find(&all, name).unwrap_err().to_string();
        assert!(refused("a.b.c").contains("two collections of the dump can be meant by it"));
        assert!(refused("a.b").contains("no collection \"a.b\""));
        assert!(refused("b").contains("collections are named DATABASE.COLLECTION"));
    }

    #[test]
    fn what_a_server_makes_by_itself_is_its_own() {
        let own = [
            ("admin", "x"),
            ("shop", "system.views"),
            ("shop", "$admin.system.users"),
            ("config", "x"),
            ("local", "x"),
        ];
        assert!(own.iter().all(|(database, name)| of(database, name, false).is_of_server()));
        let others = [("shop", "system.js"), ("shop", "systems"), ("administration", "x")];
        assert!(!others.iter().any(|(database, name)| of(database, name, false).is_of_server()));
    }
}
