//! Patches for PostgreSQL: one transaction a database. Triggers, rules and checks of foreign keys are off in it. Tables that are
//! defined in another way go and come again; nothing goes on which something depends that the patch does not know.
//!
//! `database`: what a dump has in a database. `plan`: how a table becomes the other. `dependents`: what hangs on tables that go.
//! `settle`: what of all that can be done. `remake`: the statements.

mod database;
mod dependents;
mod plan;
mod remake;
mod settle;

use std::path::PathBuf;

use crate::dump::layout::SEQUENCES_DIRECTORY;
use crate::dump::letters::Letters;
use crate::dump::name::name_of_file;
use crate::dump::postgres::{TableInSchema, owns_sequence, sequence_value};
use crate::error::{Error, Result};
use crate::progress::Problem;
use crate::repository::entry_cursor::EntryCursor;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::pairs::{PagesMet, next_pair};
use crate::rows::patch::language::Language;
use crate::rows::patch::postgres::database::DumpedDatabase;
use crate::rows::patch::postgres::plan::{Plan, Way};
use crate::rows::patch::postgres::settle::Settled;
use crate::rows::patch::{PatchCounts, PatchWriter, TakeText};
use crate::rows::side::DumpSide;
use crate::rows::tables::TablePair;

/// What `pg_dump` takes where it is told nothing.
const USUAL_ENCODING: &str = "UTF8";

/// Comes first where something else than `psql` cannot run the patch: it goes on behind an error else, be that in the next database,
/// or in what were rows.
const STOP: &[u8] = b"\\set ON_ERROR_STOP on\n";

/// A database, as the side has it that is changed, and as it becomes.
struct DatabasePatch<'p> {
    name: Vec<u8>,
    /// Those of the patch.
    letters: Letters,
    sides: [DumpedDatabase<'p>; 2],
    settled: Settled,
}

impl PatchWriter<'_> {
    /// Writes the patch for these tables.
    pub(super) fn write_postgres(&self, pairs: &[TablePair], take: &mut TakeText) -> Result<PatchCounts> {
        let mut counts = PatchCounts::default();
        let mut plans: Vec<Plan> = Vec::new();
        for pair in pairs {
            match self.plan_of(pair) {
                Ok(plan) => plans.extend(plan),
                Err(error @ Error::Invalid { .. }) => self.leave_out(pair, error, &mut counts),
                Err(error) => return Err(error),
            }
        }
        let key = |plan: &Plan| (plan.database.clone(), plan.name.schema.clone(), plan.name.table.clone());
        plans.sort_by_cached_key(key);
        let encoding = self.encoding()?;
        let mut patches = Vec::new();
        for of_database in plans.chunk_by(|a, b| a.database == b.database) {
            patches.push(self.database_patch(of_database, &mut counts)?);
        }
        let is_made = |plan: &Plan| plan.is_remade() && plan.pair.sides[self.direction.sides()[1]].is_some();
        if patches.len() > 1 || patches.iter().any(|patch| patch.settled.plans.iter().any(is_made)) {
            take(STOP)?;
        }
        for patch in &patches {
            if patches.len() > 1 {
                take(&connect(&patch.name))?;
            }
            take(&opening(&encoding))?;
            self.write_database(patch, &mut counts, take)?;
            take(b"COMMIT;\n")?;
        }
        Ok(counts)
    }

    fn leave_out(&self, pair: &TablePair, error: Error, counts: &mut PatchCounts) {
        counts.left_out += 1;
        self.monitor.problem(Problem { path: PathBuf::from(pair.name()), reason: error.to_string() });
    }

    fn database_patch(&self, plans: &[Plan], counts: &mut PatchCounts) -> Result<DatabasePatch<'_>> {
        let [from, to] = self.direction.sides();
        let directory = plans[0].pair.directories()[0].clone();
        let sides =
            [DumpedDatabase::new(self.dumps[from], &directory)?, DumpedDatabase::new(self.dumps[to], &directory)?];
        let settled = match sides[0].is_there() {
            true => self.settle(plans.to_vec(), [&sides[0], &sides[1]])?,
            false => {
                let reason = "only one dump has its database, and a patch for PostgreSQL makes none";
                Settled::nothing(plans.iter().map(|plan| (plan.clone(), reason.to_string())).collect())
            }
        };
        for (plan, reason) in &settled.left_out {
            self.leave_out(&plan.pair, Error::invalid("table", plan.pair.name(), reason.clone()), counts);
        }
        for plan in &settled.plans {
            if let Some(because) = &plan.because {
                let name = plan.pair.name();
                self.monitor.note(&format!("{name} is made anew, too: it is a part or an heir of {}", shown(because)));
            }
        }
        Ok(DatabasePatch { name: plans[0].database.clone(), letters: self.dumps[to].letters(), sides, settled })
    }

    /// What happens in the transaction of a database.
    fn write_database(&self, patch: &DatabasePatch, counts: &mut PatchCounts, take: &mut TakeText) -> Result<()> {
        self.take_away(patch, take)?;
        let stay: Vec<&Plan> = patch.settled.plans.iter().filter(|plan| !plan.is_remade()).collect();
        for plan in &stay {
            let begin = &mut |_: &mut TakeText| Ok(());
            self.write_rows(&plan.pair, plan.quoted(), Language::Postgres(patch.letters), begin, counts, take)?;
        }
        self.put_there(patch, take)?;
        counts.remade += (patch.settled.plans.len() - stay.len()) as u64;
        counts.altered += stay.iter().filter(|plan| matches!(plan.way, Way::Altered { .. })).count() as u64;
        self.set_sequences(&stay, take)
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
    fn set_sequences(&self, plans: &[&Plan], take: &mut TakeText) -> Result<()> {
        for of_schema in plans.chunk_by(|a, b| a.name.schema == b.name.schema) {
            let path = [&of_schema[0].pair.parent_path()[..], SEQUENCES_DIRECTORY.as_bytes()].join(&b'/');
            for (file, sequence) in self.changed_sequences(&path)? {
                let name = file.strip_suffix(b".sql").and_then(name_of_file).unwrap_or_default();
                let name = self.dumps[0].letters().encoded(&name).into_owned();
                let Some(value) = sequence_value(&sequence) else { continue };
                for plan in of_schema {
                    let [_, to] = self.direction.sides();
                    let files = plan.pair.sides[to].as_ref();
                    let schema = self.dumps[to].text(files.and_then(|files| files.schema.as_ref()))?;
                    let TableInSchema { schema: own, table } = &plan.name;
                    let (table, of_table) = ((&own[..], &table[..]), (&own[..], &name[..]));
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

/// The name of a table in a statement.
fn quoted_table(name: &TableInSchema) -> Vec<u8> {
    Language::Postgres(Letters::Plain).table(Some(&name.schema), &name.table)
}

/// It for people.
fn shown(name: &TableInSchema) -> String {
    [&name.schema, &name.table].map(|part| String::from_utf8_lossy(part).into_owned()).join(".")
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
        "BEGIN;\nSET LOCAL client_encoding = '{encoding}';\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL DateStyle = ISO;\n\
         SET LOCAL IntervalStyle = postgres;\nSET LOCAL extra_float_digits = 3;\nSET LOCAL bytea_output = hex;\n\
         SET LOCAL xmloption = content;\n"
    )
    .into_bytes()
}
