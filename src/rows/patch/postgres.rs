//! Patches for PostgreSQL: one transaction a database. Triggers, rules and checks of foreign keys are off in it. Tables are not
//! made, dropped or altered: others may depend on them.

use std::path::PathBuf;

use crate::dump::layout::SEQUENCES_DIRECTORY;
use crate::dump::name::name_of_file;
use crate::dump::postgres::{owns_sequence, sequence_value};
use crate::error::{Error, Result};
use crate::progress::Problem;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};
use crate::rows::difference::required;
use crate::rows::patch::language::Language;
use crate::rows::patch::{PatchCounts, PatchWriter, TakeText};
use crate::rows::side::{DumpSide, TableSide};
use crate::rows::tables::TablePair;

/// What `pg_dump` takes where it is told nothing.
const USUAL_ENCODING: &str = "UTF8";

/// A table whose rows are changed.
struct Plan<'p> {
    pair: &'p TablePair,
    database: Vec<u8>,
    schema: Vec<u8>,
    table: Vec<u8>,
}

impl PatchWriter<'_> {
    /// Writes the patch for these tables.
    pub(super) fn write_postgres(&self, pairs: &[TablePair], take: &mut TakeText) -> Result<PatchCounts> {
        let mut counts = PatchCounts::default();
        let mut plans: Vec<Plan> = Vec::new();
        for pair in pairs {
            match self.plan_rows(pair) {
                Ok(plan) => plans.extend(plan),
                Err(error @ Error::Invalid { .. }) => {
                    counts.left_out += 1;
                    let path = PathBuf::from(pair.name());
                    self.monitor.problem(Problem { path, reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        plans.sort_by(|a, b| (&a.database, &a.schema, &a.table).cmp(&(&b.database, &b.schema, &b.table)));
        let encoding = self.encoding()?;
        let has_several = plans.windows(2).any(|two| two[0].database != two[1].database);
        if has_several {
            // What begins with a command is run on behind an error else, in the next database too.
            take(b"\\set ON_ERROR_STOP on\n")?;
        }
        for of_database in plans.chunk_by(|a, b| a.database == b.database) {
            if has_several {
                take(&connect(&of_database[0].database))?;
            }
            take(&opening(&encoding))?;
            for plan in of_database {
                let table = Language::Postgres.table(Some(&plan.schema), &plan.table);
                let begin = &mut |_: &mut TakeText| Ok(());
                self.write_rows(plan.pair, table, Language::Postgres, begin, &mut counts, take)?;
            }
            self.set_sequences(of_database, take)?;
            take(b"COMMIT;\n")?;
        }
        Ok(counts)
    }

    /// How to go about a table; `None` where its rows are the same.
    fn plan_rows<'p>(&self, pair: &'p TablePair) -> Result<Option<Plan<'p>>> {
        let name = pair.name();
        let [Some(a), Some(b)] = &pair.sides else {
            return Err(Error::invalid(
                "table",
                name,
                "only one dump has it, and a patch for PostgreSQL makes no tables",
            ));
        };
        if a.data == b.data && a.schema == b.schema {
            return Ok(None);
        }
        let mut schemas = [None, None];
        for (side, files) in [a, b].into_iter().enumerate() {
            let text = self.dumps[side].text(files.schema.as_ref())?;
            schemas[side] = self.dumps[side].marks()?.schema(&text, b"");
        }
        let [Some(a), Some(b)] = schemas else {
            return Err(Error::invalid("table", name, "statements need its CREATE TABLE, and a dump lacks it"));
        };
        if a.definition != b.definition {
            let reason = "it is defined in another way, and a patch for PostgreSQL alters no tables";
            return Err(Error::invalid("table", name, reason));
        }
        for (side, files) in pair.sides.iter().enumerate().filter(|_| a.inherits) {
            let reason = "its INSERTs do not name their columns, some of which it has from elsewhere; pg_dump --column-inserts \
                          names them, and so does COPY";
            required(TableSide::open(self.dumps[side], files.as_ref(), &name)?.schema, &name, reason)?;
        }
        let too_long = "its name or that of its schema or database is too long for a file";
        let database = required(pair.database(), &name, too_long)?;
        let schema = required(pair.schema(), &name, too_long)?;
        Ok(Some(Plan { pair, database, schema, table: a.name }))
    }

    /// The character set that both dumps are in.
    fn encoding(&self) -> Result<String> {
        let of = |side: usize| self.dumps[side].fact("character_set").unwrap_or(USUAL_ENCODING).to_string();
        let [a, b] = [of(0), of(1)];
        if a == b {
            return Ok(a);
        }
        let reason = format!("one dump was made with {a}, the other with {b}");
        Err(Error::invalid("patch", "character set", reason))
    }

    /// Sets the sequences of these tables that stand at another number.
    fn set_sequences(&self, plans: &[Plan], take: &mut TakeText) -> Result<()> {
        for of_schema in plans.chunk_by(|a, b| a.schema == b.schema) {
            let path = [&of_schema[0].pair.parent_path()[..], SEQUENCES_DIRECTORY.as_bytes()].join(&b'/');
            for (file, sequence) in self.changed_sequences(&path)? {
                let name = file.strip_suffix(b".sql").and_then(name_of_file).unwrap_or_default();
                let Some(value) = sequence_value(&sequence) else { continue };
                for plan in of_schema {
                    let [_, to] = self.direction.sides();
                    let files = plan.pair.sides[to].as_ref();
                    let schema = self.dumps[to].text(files.and_then(|files| files.schema.as_ref()))?;
                    let (table, of_table) = ((&plan.schema[..], &plan.table[..]), (&plan.schema[..], &name[..]));
                    if owns_sequence(&schema, &sequence, table, of_table) {
                        take(&[&value[..], b";\n"].concat())?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of a directory that both sides have, and differ: their names, and what the target has in them.
    fn changed_sequences(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let [from, to] = self.direction.sides();
        let mut nodes = Vec::new();
        for side in [from, to] {
            let root = &self.dumps[side].snapshot.manifest.root;
            nodes.push(self.dumps[side].repository.tree()?.lookup_path(root, path)?);
        }
        let (chunks, nothing) = (self.dumps[0].repository.chunks()?, DirectoryRoot::default());
        let directory = |side: usize| nodes[side].as_ref().and_then(Node::directory).unwrap_or(&nothing);
        let mut cursors = [0, 1].map(|side| EntryCursor::new(chunks, directory(side)).reading_once());
        let (mut met, mut found) = (PagesMet::default(), Vec::new());
        while let Some(entries) = next_pair(&mut cursors, &mut met)? {
            let [Some(before), Some(after)] = entries else { continue };
            if before.node.content() != after.node.content() {
                found.push((after.name, self.dumps[to].text(after.node.content())?));
            }
        }
        Ok(found)
    }
}

/// Goes to another database, whatever its name.
fn connect(database: &[u8]) -> Vec<u8> {
    let mut text = b"\\connect -reuse-previous=on \"dbname='".to_vec();
    for &byte in database {
        match byte {
            b'\'' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            b'"' => text.extend_from_slice(b"\"\""),
            byte => text.push(byte),
        }
    }
    text.extend_from_slice(b"'\"\n");
    text
}

/// What comes first. Values are written as in dumps, and so all is set that decides how they are read.
fn opening(encoding: &str) -> Vec<u8> {
    let more =
        "SET LOCAL search_path = '';\nSET LOCAL row_security = off;\nSET LOCAL session_replication_role = replica;\n";
    [&reading(encoding)[..], more.as_bytes()].concat()
}

/// The same for rows of one dump, with what comes last. Triggers run, and find what they look for.
pub fn around_rows(dump: &DumpSide) -> [Vec<u8>; 2] {
    [reading(dump.fact("character_set").unwrap_or(USUAL_ENCODING)), b"COMMIT;\n".to_vec()]
}

/// Begins a transaction in which values are read as dumps have them.
fn reading(encoding: &str) -> Vec<u8> {
    let encoding = encoding.replace('\'', "''");
    format!(
        "BEGIN;\nSET LOCAL client_encoding = '{encoding}';\nSET LOCAL DateStyle = ISO;\n\
         SET LOCAL IntervalStyle = postgres;\nSET LOCAL extra_float_digits = 3;\nSET LOCAL bytea_output = hex;\n\
         SET LOCAL xmloption = content;\n"
    )
    .into_bytes()
}
