//! Tables of a dump's snapshot: found by name, or listed.

use crate::dump::name::{file_name, name_of_file};
use crate::error::{Error, Result};
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::tree::TreeReader;

/// Names beside the databases begin so, and so do no databases' directories.
const RESERVED: [&[u8]; 3] = [b"_meta", b"_globals", b"_original"];

const TABLES: &[u8] = b"tables";

/// The databases of a dump.
pub struct DumpTables<'a> {
    tree: TreeReader<'a>,
    databases: Vec<Database>,
}

/// One database: its name, and its directory.
pub struct Database {
    pub name: Vec<u8>,
    node: Node,
}

/// A table that was found.
pub struct FoundTable {
    pub database: Vec<u8>,
    pub table: Vec<u8>,
    /// Its `restore.sql`.
    pub content: Content,
}

impl<'a> DumpTables<'a> {
    pub fn of(tree: TreeReader<'a>, root: &Node) -> Result<DumpTables<'a>> {
        let mut databases = Vec::new();
        for entry in root.directory().into_iter().flat_map(|directory| tree.entries(directory)) {
            let entry = entry?;
            let is_database = entry.node.directory().is_some() && !RESERVED.contains(&&*entry.name);
            if let Some(name) = name_of_file(&entry.name).filter(|_| is_database) {
                databases.push(Database { name, node: entry.node });
            }
        }
        Ok(DumpTables { tree, databases })
    }

    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Whether the dump itself makes or uses it.
    pub fn is_named(&self, database: &Database) -> Result<bool> {
        Ok(self.tree.lookup_path(&database.node, b"_database.sql")?.is_some())
    }

    /// Whether the dump has this table.
    pub fn has(&self, database: &[u8], table: &[u8]) -> Result<bool> {
        Ok(self.restore_file(database, table)?.is_some())
    }

    /// The table that `database.table` means; either name may have dots in it.
    pub fn find(&self, name: &str) -> Result<FoundTable> {
        let mut found = Vec::new();
        for (at, _) in name.match_indices('.') {
            let (database, table) = (&name.as_bytes()[..at], &name.as_bytes()[at + 1..]);
            if let Some(content) = self.restore_file(database, table)? {
                found.push(FoundTable { database: database.to_vec(), table: table.to_vec(), content });
            }
        }
        match found.len() {
            0 if !name.contains('.') => Err(Error::invalid("table", name, "tables are named DATABASE.TABLE")),
            0 => Err(Error::invalid("table", name, "the dump has no such table")),
            1 => Ok(found.remove(0)),
            _ => Err(Error::invalid("table", name, "two tables of the dump can be meant by it")),
        }
    }

    fn restore_file(&self, database: &[u8], table: &[u8]) -> Result<Option<Content>> {
        let Some(database) = self.databases.iter().find(|known| known.name == database) else { return Ok(None) };
        let path = [TABLES, &file_name(table, ""), b"restore.sql"].join(&b'/');
        let found = self.tree.lookup_path(&database.node, &path)?;
        Ok(found.and_then(|node| node.content().cloned()))
    }
}
