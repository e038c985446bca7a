//! Tables of a dump's snapshot: found by name, or listed.

use crate::dump::layout::{
    ATTACHMENT_FILE, DATABASE_FILE, DROPS_FILE, DUMP_FILE, INPUTS_FILE, META_DIRECTORY, PARTS_FILE, RESERVED,
    RESTORE_FILE, TABLES_DIRECTORY,
};
use crate::dump::letters::Letters;
use crate::dump::name::{file_name, name_of_file};
use crate::dump::postgres::{QualifiedName, attachment, each_statement};
use crate::error::{Error, Result};
use crate::load::inputs::{DumpInput, inputs_in};
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;
use crate::repository::node::Node;
use crate::repository::snapshot::{Snapshot, SnapshotStatus};
use crate::repository::tree::TreeReader;

/// What drops a database, in any case of letters.
const DROP_DATABASE: &[u8] = b"DROP DATABASE";

/// Of more than that nobody can look at what a dump says of a database, or of a table besides its rows.
const TEXT_MAX_BYTES: u64 = 64 << 20;

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

/// The names of a table; MySQL has no schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableName<'n> {
    pub database: &'n [u8],
    pub schema: Option<&'n [u8]>,
    pub table: &'n [u8],
}

/// A table that was found.
pub struct FoundTable<'n> {
    pub name: TableName<'n>,
    /// Its `restore.sql`.
    pub content: Content,
}

impl<'a> DumpTables<'a> {
    pub fn of(tree: TreeReader<'a>, root: &Node) -> Result<DumpTables<'a>> {
        let mut databases = Vec::new();
        for entry in root.directory().into_iter().flat_map(|directory| tree.entries(directory)) {
            let entry = entry?;
            let is_database =
                entry.node.directory().is_some() && !RESERVED.iter().any(|name| name.as_bytes() == &*entry.name);
            if let Some(name) = name_of_file(&entry.name).filter(|_| is_database) {
                databases.push(Database { name, node: entry.node });
            }
        }
        Ok(DumpTables { tree, databases })
    }

    /// All of the dump.
    pub fn dump(&self, root: &Node) -> Result<Content> {
        let node = self.tree.lookup_path(root, DUMP_FILE.as_bytes())?;
        node.and_then(|node| node.content().cloned())
            .ok_or_else(|| Error::corrupt("the snapshot", "it has no dump.sql"))
    }

    /// The list of its parts, of a dump that is whole: of a table that is cut off, whatever followed would end the statement.
    pub fn parts(&self, snapshot: &Snapshot) -> Result<Option<Content>> {
        match snapshot.manifest.status {
            SnapshotStatus::Incomplete => Ok(None),
            _ => self.parts_of_any(&snapshot.manifest.root).map(Some),
        }
    }

    /// The same of one that need not be whole.
    pub fn parts_of_any(&self, root: &Node) -> Result<Content> {
        let path = [META_DIRECTORY.as_bytes(), PARTS_FILE.as_bytes()].join(&b'/');
        let node = self.tree.lookup_path(root, &path)?;
        node.and_then(|node| node.content().cloned())
            .ok_or_else(|| Error::corrupt("the snapshot", "it has no _meta/parts"))
    }

    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    fn database(&self, name: &[u8]) -> Option<&Database> {
        self.databases.iter().find(|known| known.name == name)
    }

    /// Whether the dump drops it, with all that the server has in it, before it makes it.
    pub fn is_dropped(&self, database: &Database, contents: &ContentReader) -> Result<bool> {
        let node = self.tree.lookup_path(&database.node, DATABASE_FILE.as_bytes())?;
        let text = text_in(contents, node.as_ref().and_then(Node::content))?;
        Ok(text.windows(DROP_DATABASE.len()).any(|words| words.eq_ignore_ascii_case(DROP_DATABASE)))
    }

    /// Whether it removes what it makes in a database before it makes it.
    pub fn has_drops(&self, database: &Database) -> Result<bool> {
        self.has_path(database, &[DROPS_FILE.as_bytes()])
    }

    /// Whether a database of the dump has something there.
    pub fn has_path(&self, database: &Database, names: &[&[u8]]) -> Result<bool> {
        Ok(self.tree.lookup_path(&database.node, &names.join(&b'/'))?.is_some())
    }

    /// The names of those that have a file each in this directory; none of those whose names are too long for files.
    pub fn names_in(&self, database: &Database, directory: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        let node = self.tree.lookup_path(&database.node, &directory.join(&b'/'))?;
        let mut names = Vec::new();
        for entry in node.as_ref().and_then(Node::directory).into_iter().flat_map(|found| self.tree.entries(found)) {
            names.extend(entry?.name.strip_suffix(b".sql").and_then(name_of_file));
        }
        Ok(names)
    }

    /// Whether the dump has something of this name in this directory of a database.
    pub fn has_in(&self, database: &Database, directory: &str, name: &[u8]) -> Result<bool> {
        for suffix in ["", ".sql"] {
            if self.has_path(database, &[directory.as_bytes(), &file_name(name, suffix)])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the dump came from.
    pub fn inputs(&self, root: &Node, contents: &ContentReader) -> Result<Vec<DumpInput>> {
        let node = self.tree.lookup_path(root, &[META_DIRECTORY.as_bytes(), INPUTS_FILE.as_bytes()].join(&b'/'))?;
        inputs_in(&text_in(contents, node.as_ref().and_then(Node::content))?)
    }

    /// Each table of a database that is a part of a partitioned one, behind that.
    pub fn partitions(&self, database: &[u8], contents: &ContentReader) -> Result<Vec<[QualifiedName; 2]>> {
        let mut found = Vec::new();
        let schemas = self.database(database).and_then(|database| database.node.directory());
        for schema in schemas.into_iter().flat_map(|directory| self.tree.entries(directory)) {
            let tables = self.tree.lookup_path(&schema?.node, TABLES_DIRECTORY.as_bytes())?;
            let tables = tables.as_ref().and_then(Node::directory);
            for table in tables.into_iter().flat_map(|directory| self.tree.entries(directory)) {
                let file = self.tree.lookup_path(&table?.node, ATTACHMENT_FILE.as_bytes())?;
                let Some(content) = file.as_ref().and_then(Node::content) else { continue };
                let text = text_in(contents, Some(content))?;
                each_statement(&text, &mut |statement| found.extend(attachment(statement)));
            }
        }
        Ok(found)
    }

    /// The one table among those that a name can mean, which the caller tells: names may have dots in them. Where none of them is
    /// there, it is what the name means with its quotes taken off.
    pub fn find<'n>(
        &self,
        name: &'n str,
        usual: &'static str,
        meant: impl Iterator<Item = TableName<'n>>,
        unquoted: Option<TableName<'n>>,
    ) -> Result<FoundTable<'n>> {
        let mut found = Vec::new();
        for name in meant {
            found.extend(self.file_of(name, RESTORE_FILE)?.map(|content| FoundTable { name, content }));
        }
        if let Some(name) = unquoted.filter(|_| found.is_empty()) {
            found.extend(self.file_of(name, RESTORE_FILE)?.map(|content| FoundTable { name, content }));
        }
        let refuse = |reason: &str| Err(Error::invalid("table", name, reason));
        match found.pop() {
            None if !name.contains('.') => refuse(usual),
            None => Err(Error::NotFound { what: "table", name: name.to_string() }),
            Some(_) if !found.is_empty() => refuse("two tables of the dump can be meant by it"),
            Some(table) => Ok(table),
        }
    }

    /// A file of a table.
    pub fn file_of(&self, name: TableName, file: &str) -> Result<Option<Content>> {
        let Some(database) = self.database(name.database) else { return Ok(None) };
        let schema = name.schema.map(|schema| file_name(schema, ""));
        let table = file_name(name.table, "");
        let names = schema.as_deref().into_iter().chain([TABLES_DIRECTORY.as_bytes(), &table, file.as_bytes()]);
        let found = self.tree.lookup_path(&database.node, &names.collect::<Vec<_>>().join(&b'/'))?;
        Ok(found.and_then(|node| node.content().cloned()))
    }
}

/// What a file tells that is no table's rows; nothing where there is none.
pub fn text_in(contents: &ContentReader, content: Option<&Content>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    match content {
        Some(content) if content.size > TEXT_MAX_BYTES => {
            return Err(Error::invalid("file", DUMP_FILE, "what it tells of a table or a database has over 64 MiB"));
        }
        Some(content) => contents.read(content, 0, content.size as usize, &mut text)?,
        None => {}
    }
    Ok(text)
}

/// A name for programs that take text only.
pub fn text_of(name: &[u8]) -> Result<String> {
    String::from_utf8(name.to_vec())
        .map_err(|_| Error::invalid("name", String::from_utf8_lossy(name), "it is not UTF-8"))
}

/// Looks whether a dump in these letters can have these names, which `--as` gives.
pub fn refuse_other_letters(letters: Letters, names: &[&str]) -> Result<()> {
    let (Some(set), false) = (letters.name(), names.iter().all(|name| letters.have(name.as_bytes()))) else {
        return Ok(());
    };
    Err(Error::invalid("option", "--as", format!("the dump is in {set}, which has no such letters")))
}

/// The bytes that these digits tell, as servers print them.
pub fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
