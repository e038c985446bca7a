//! DumpedDatabase: what one dump has in a database, looked up by names.

use std::collections::HashMap;

use crate::dump::layout::{
    DEFAULT_PRIVILEGES_FILE, FUNCTIONS_DIRECTORY, META_DIRECTORY, OF_SCHEMA_FILE, PARTS_FILE, PUBLICATIONS_DIRECTORY,
    SCHEMA_FILE, SEQUENCES_DIRECTORY, TABLES_DIRECTORY, VIEWS_DIRECTORY,
};
use crate::dump::letters::Letters;
use crate::dump::name::{file_name, name_of_file};
use crate::dump::part_line::PartLine;
use crate::dump::postgres::{Need, NeedKind, TableInSchema};
use crate::error::Result;
use crate::repository::node::Node;
use crate::rows::side::DumpSide;

/// A database of a dump.
pub struct DumpedDatabase<'d> {
    dump: &'d DumpSide<'d>,
    /// Names are as its statements have them.
    letters: Letters,
    /// The name of its directory.
    directory: Vec<u8>,
    node: Option<Node>,
    schemas: Vec<Schema>,
}

struct Schema {
    name: Vec<u8>,
    directory: Vec<u8>,
    node: Node,
}

/// Takes a name and a text.
pub type TakeText<'t> = dyn FnMut(TableInSchema, &[u8]) -> Result<()> + 't;

impl<'d> DumpedDatabase<'d> {
    pub fn new(dump: &'d DumpSide<'d>, directory: &[u8]) -> Result<DumpedDatabase<'d>> {
        let node = dump.repository.tree()?.lookup_path(&dump.snapshot.manifest.root, directory)?;
        let (directory, letters) = (directory.to_vec(), dump.letters());
        let mut found = DumpedDatabase { dump, letters, directory, node, schemas: Vec::new() };
        let schemas = found.node.as_ref().map_or(Ok(Vec::new()), |node| found.entries(node))?;
        for (directory, node) in schemas {
            let name = found.name_of(&directory).filter(|_| node.directory().is_some());
            found.schemas.extend(name.map(|name| Schema { name, directory, node }));
        }
        Ok(found)
    }

    /// The names that a file for this name may have: snapshots of older versions have names as the dump has them.
    pub fn file_names(&self, name: &[u8], suffix: &str) -> Vec<Vec<u8>> {
        let mut names = vec![file_name(&self.letters.name_in_utf8(name.into()), suffix), file_name(name, suffix)];
        names.dedup();
        names
    }

    /// The name that a file has its name of.
    fn name_of(&self, file: &[u8]) -> Option<Vec<u8>> {
        name_of_file(file).map(|name| self.letters.encoded(&name).into_owned())
    }

    pub fn is_there(&self) -> bool {
        self.node.is_some()
    }

    /// What is in a directory.
    fn entries(&self, node: &Node) -> Result<Vec<(Vec<u8>, Node)>> {
        let mut found = Vec::new();
        let Some(root) = node.directory() else { return Ok(found) };
        for entry in self.dump.repository.tree()?.entries(root) {
            let entry = entry?;
            found.push((entry.name, entry.node));
        }
        Ok(found)
    }

    /// What is in a directory below one, if it is there.
    fn entries_in(&self, node: &Node, directory: &str) -> Result<Vec<(Vec<u8>, Node)>> {
        let below = self.below(node, &[directory.as_bytes()])?;
        below.map_or(Ok(Vec::new()), |below| self.entries(&below))
    }

    fn below(&self, node: &Node, path: &[&[u8]]) -> Result<Option<Node>> {
        self.dump.repository.tree()?.lookup_path(node, &path.join(&b'/'))
    }

    fn schema(&self, name: &[u8]) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.name == name)
    }

    /// What makes a schema, if the dump tells.
    pub fn schema_file(&self, name: &[u8]) -> Result<Option<Node>> {
        self.schema(name).map_or(Ok(None), |schema| self.below(&schema.node, &[OF_SCHEMA_FILE.as_bytes()]))
    }

    pub fn has_schema(&self, name: &[u8]) -> bool {
        self.schema(name).is_some()
    }

    pub fn has_default_privileges(&self) -> Result<bool> {
        let node = self.node.as_ref();
        let file = node.map_or(Ok(None), |node| self.below(node, &[DEFAULT_PRIVILEGES_FILE.as_bytes()]))?;
        Ok(file.is_some())
    }

    /// The directories that lead to a table, if its schema is there.
    pub fn directories_of(&self, table: &TableInSchema) -> Option<Vec<Vec<u8>>> {
        self.schema(&table.schema).map(|schema| vec![self.directory.clone(), schema.directory.clone()])
    }

    pub fn has_table(&self, table: &TableInSchema) -> Result<bool> {
        Ok(self.in_schema(&table.schema, TABLES_DIRECTORY, (&table.table, ""))?.is_some())
    }

    /// What has this name in a directory of a schema, with this suffix.
    fn in_schema(&self, schema: &[u8], directory: &str, (name, suffix): (&[u8], &str)) -> Result<Option<Node>> {
        let Some(schema) = self.schema(schema) else { return Ok(None) };
        for file in self.file_names(name, suffix) {
            let found = self.below(&schema.node, &[directory.as_bytes(), &file])?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A file of a table, empty where it has none.
    pub fn text_of(&self, table: &TableInSchema, file: &str) -> Result<Vec<u8>> {
        let directory = self.in_schema(&table.schema, TABLES_DIRECTORY, (&table.table, ""))?;
        self.text(directory.map_or(Ok(None), |directory| self.below(&directory, &[file.as_bytes()]))?)
    }

    fn text(&self, node: Option<Node>) -> Result<Vec<u8>> {
        self.dump.text(node.as_ref().and_then(Node::content))
    }

    /// The file of a sequence.
    pub fn sequence(&self, schema: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        self.text(self.in_schema(schema, SEQUENCES_DIRECTORY, (name, ".sql"))?)
    }

    /// Gives the names of all tables, with this file of each.
    pub fn each_table(&self, file: &str, take: &mut TakeText) -> Result<()> {
        for schema in &self.schemas {
            for (directory, node) in self.entries_in(&schema.node, TABLES_DIRECTORY)? {
                self.dump.go_on()?;
                let Some(table) = self.name_of(&directory) else { continue };
                let text = self.text(self.below(&node, &[file.as_bytes()])?)?;
                take(TableInSchema { schema: schema.name.clone(), table }, &text)?;
            }
        }
        Ok(())
    }

    /// Gives the names of everything that has a file in these directories of schemas, and the files.
    pub fn each_file(&self, directory: &str, take: &mut TakeText) -> Result<()> {
        for schema in &self.schemas {
            for (file, node) in self.entries_in(&schema.node, directory)? {
                self.dump.go_on()?;
                let name = file.strip_suffix(b".sql").and_then(|name| self.name_of(name)).unwrap_or(file);
                take(TableInSchema { schema: schema.name.clone(), table: name }, &self.dump.text(node.content())?)?;
            }
        }
        Ok(())
    }

    /// The files of publications, by name.
    pub fn publications(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        let Some(node) = &self.node else { return Ok(found) };
        for (file, node) in self.entries_in(node, PUBLICATIONS_DIRECTORY)? {
            found.push((file, self.dump.text(node.content())?));
        }
        Ok(found)
    }

    /// Whether the dump makes what is needed.
    pub fn has(&self, need: &Need) -> Result<bool> {
        let Need { kind, schema, name } = need;
        let in_any = |directories: &[&str]| {
            for directory in directories {
                let suffix = if *directory == TABLES_DIRECTORY { "" } else { ".sql" };
                if self.in_schema(schema, directory, (name, suffix))?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match kind {
            NeedKind::Role => Ok(false),
            NeedKind::Table => in_any(&[TABLES_DIRECTORY, VIEWS_DIRECTORY]),
            NeedKind::Sequence => in_any(&[SEQUENCES_DIRECTORY]),
            NeedKind::Function => self.has_function(schema, name),
            NeedKind::Other => {
                let Some(schema) = self.schema(schema) else { return Ok(false) };
                let directories = self.entries(&schema.node)?;
                let named = |(directory, _): &(Vec<u8>, Node)| String::from_utf8(directory.clone()).unwrap_or_default();
                let directories: Vec<String> = directories.iter().map(named).collect();
                in_any(&directories.iter().map(String::as_str).collect::<Vec<_>>())
            }
        }
    }

    /// Functions have their arguments in the names of their files.
    fn has_function(&self, schema: &[u8], name: &[u8]) -> Result<bool> {
        let Some(schema) = self.schema(schema) else { return Ok(false) };
        let starts = self.file_names(&[name, b"("].concat(), "");
        let is_it = |(file, _): &(Vec<u8>, Node)| starts.iter().any(|start| file.starts_with(start));
        Ok(self.entries_in(&schema.node, FUNCTIONS_DIRECTORY)?.iter().any(is_it))
    }

    /// These tables in the order in which the dump makes them, by the paths of their directories.
    pub fn order(&self, paths: &[Vec<u8>]) -> Result<Vec<usize>> {
        let place = [META_DIRECTORY, PARTS_FILE].join("/");
        let root = &self.dump.snapshot.manifest.root;
        let parts = self.dump.repository.tree()?.lookup_path(root, place.as_bytes())?;
        let files = paths.iter().map(|path| [&path[..], SCHEMA_FILE.as_bytes()].join(&b'/'));
        let mut waiting: HashMap<Vec<u8>, usize> = files.zip(0..).collect();
        let (mut order, mut rest) = (Vec::new(), Vec::new());
        let Some(content) = parts.as_ref().and_then(Node::content) else { return Ok((0..paths.len()).collect()) };
        self.dump.each_piece(content, &mut |piece| {
            rest.extend_from_slice(piece);
            let end = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            for line in rest[..end].split(|&byte| byte == b'\n') {
                order.extend(PartLine::parse(line).and_then(|part| waiting.remove(part.path)));
            }
            rest.drain(..end);
            Ok(())
        })?;
        let mut left: Vec<usize> = waiting.into_values().collect();
        left.sort_unstable();
        order.extend(left);
        Ok(order)
    }
}
