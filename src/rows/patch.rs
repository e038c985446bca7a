//! Patch: statements that make of one snapshot's tables those of another.
//!
//! Rows change in one transaction: first rows go, then rows change in columns that no unique key has, then rows come. So no
//! row ever meets another one with a value that must be unique: what changes in such a column goes and comes again. A table
//! that is made in another way is made anew, before and after the transaction where statements would end it.

use crate::dump::layout::DATABASE_FILE;
use crate::dump::mysql::{TableSchema, trigger_names};
use crate::error::Result;
use crate::progress::Monitor;
use crate::repository::content::Content;
use crate::rows::difference::{RowDiffOptions, TableChange, diff_table, required};
use crate::rows::side::DumpSide;
use crate::rows::tables::{TableFiles, TablePair};

mod frame;
mod statements;

use frame::Frame;
use statements::Statements;
pub use statements::push_name;

/// Which snapshot becomes the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A becomes B.
    Forward,
    /// B becomes A again.
    Reverse,
}

impl Direction {
    /// The side that is changed, and the one that it becomes.
    fn sides(self) -> [usize; 2] {
        match self {
            Direction::Forward => [0, 1],
            Direction::Reverse => [1, 0],
        }
    }
}

/// Takes the text of a patch, piece by piece.
pub type TakeText<'t> = dyn FnMut(&[u8]) -> Result<()> + 't;

/// What a patch makes of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchCounts {
    pub inserted: u64,
    pub deleted: u64,
    pub updated: u64,
    /// Tables that are made anew, or dropped.
    pub remade: u64,
}

/// Writes a patch.
pub struct PatchWriter<'p> {
    pub dumps: [&'p DumpSide<'p>; 2],
    pub direction: Direction,
    pub options: &'p RowDiffOptions,
    pub monitor: &'p dyn Monitor,
}

/// A table and how the patch goes about it.
struct Plan<'p> {
    pair: &'p TablePair,
    database: Vec<u8>,
    table: Vec<u8>,
    schemas: [Option<TableSchema>; 2],
    is_remade: bool,
    /// Its triggers go before its rows change, and come behind that.
    has_triggers_aside: bool,
}

impl Plan<'_> {
    fn use_database(&self, present: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        if *present == self.database {
            return Ok(());
        }
        present.clone_from(&self.database);
        let mut text = b"USE ".to_vec();
        push_name(&mut text, &self.database);
        text.extend_from_slice(b";\n");
        take(&text)
    }

    fn statement(&self, before: &str, behind: &str, take: &mut TakeText) -> Result<()> {
        let mut text = before.as_bytes().to_vec();
        push_name(&mut text, &self.table);
        text.extend_from_slice(behind.as_bytes());
        take(&text)
    }
}

impl PatchWriter<'_> {
    /// Writes the patch for these tables.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] where statements cannot tell what to change; those of reading, and of `take`.
    pub fn write(&self, pairs: &[TablePair], take: &mut TakeText) -> Result<PatchCounts> {
        let mut counts = PatchCounts::default();
        if pairs.is_empty() {
            return Ok(counts);
        }
        let plans: Vec<Plan> = pairs.iter().map(|pair| self.plan(pair)).collect::<Result<_>>()?;
        let frame = Frame::new(self.dumps, self.direction.sides()[1])?;
        if plans.iter().any(|plan| !plan.is_remade) {
            frame.check_sides_agree()?;
        }
        take(&frame.opening())?;
        let mut database = Vec::new();
        for plan in plans.iter().filter(|plan| plan.has_triggers_aside) {
            self.drop_triggers(plan, &mut database, take)?;
        }
        take(b"START TRANSACTION;\n")?;
        for plan in plans.iter().filter(|plan| !plan.is_remade) {
            self.write_rows(plan, &frame, &mut database, &mut counts, take)?;
        }
        take(b"COMMIT;\n")?;
        for plan in &plans {
            self.complete(plan, &mut database, &mut counts, take)?;
        }
        take(&frame.closing())?;
        Ok(counts)
    }

    fn plan<'p>(&self, pair: &'p TablePair) -> Result<Plan<'p>> {
        let name = pair.name();
        let mut schemas = [None, None];
        for (side, schema) in schemas.iter_mut().enumerate() {
            let files = pair.sides[side].as_ref();
            let text = self.dumps[side].text(files.and_then(|files| files.schema.as_ref()))?;
            *schema = TableSchema::read(&text, self.dumps[side].marks()?.modes);
        }
        let [a, b] = &schemas;
        let is_remade = pair.sides.iter().any(Option::is_none)
            || a.as_ref().map(|it| &it.definition) != b.as_ref().map(|it| &it.definition);
        let [from, to] = self.direction.sides();
        let has_definition = pair.sides[to].is_none() || schemas[to].is_some();
        let lacking = "statements need its CREATE TABLE, and a dump lacks it";
        required(Some(()).filter(|()| has_definition), &name, lacking)?;
        let triggers = |side: usize| self.dumps[side].text(triggers_of(pair, side));
        let data = |side: usize| pair.sides[side].as_ref().and_then(|files| files.data.as_ref());
        let has_triggers_aside = !is_remade && (data(from) != data(to) || triggers(from)? != triggers(to)?);
        let known = schemas.iter().flatten().map(|schema| schema.name.clone()).next();
        let table = required(
            known.or_else(|| pair.table()),
            &name,
            "its name is too long for a file, and no CREATE TABLE tells it",
        )?;
        let database = required(pair.database(), &name, "the name of its database is too long for a file")?;
        Ok(Plan { pair, database, table, schemas, is_remade, has_triggers_aside })
    }

    /// Triggers would change more than what the patch says.
    fn drop_triggers(&self, plan: &Plan, database: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        let [from, _] = self.direction.sides();
        let text = self.dumps[from].text(triggers_of(plan.pair, from))?;
        for name in trigger_names(&text, self.dumps[from].marks()?.modes) {
            plan.use_database(database, take)?;
            let mut statement = b"DROP TRIGGER IF EXISTS ".to_vec();
            push_name(&mut statement, &name);
            statement.extend_from_slice(b";\n");
            take(&statement)?;
        }
        Ok(())
    }

    fn write_rows(
        &self,
        plan: &Plan,
        frame: &Frame,
        database: &mut Vec<u8>,
        counts: &mut PatchCounts,
        take: &mut TakeText,
    ) -> Result<()> {
        let [from, to] = self.direction.sides();
        let modes = self.dumps[to].marks()?.modes;
        diff_table(self.dumps, plan.pair, self.options, self.monitor, &mut |change: &TableChange| {
            let mut is_empty = true;
            change.each(&mut |_| {
                is_empty = false;
                Ok(())
            })?;
            if is_empty {
                return Ok(());
            }
            plan.use_database(database, take)?;
            let Some(schema) = change.schemas[to] else { return Ok(()) };
            let has_own_key = self.options.key.is_none();
            let target =
                Statements::new(change.comparison, schema, &plan.table, [from, to], modes, frame, has_own_key)?;
            target.write(change, counts, take)
        })
    }

    /// What statements do that would end the transaction.
    fn complete(
        &self,
        plan: &Plan,
        database: &mut Vec<u8>,
        counts: &mut PatchCounts,
        take: &mut TakeText,
    ) -> Result<()> {
        let [from, to] = self.direction.sides();
        if plan.is_remade {
            self.make_database(plan, database, take)?;
            plan.use_database(database, take)?;
            counts.remade += 1;
            plan.statement("DROP TABLE IF EXISTS ", ";\n", take)?;
            let Some(TableFiles { schema, data, triggers }) = &plan.pair.sides[to] else { return Ok(()) };
            for content in [schema, data, triggers].into_iter().flatten() {
                self.dumps[to].each_piece(content, take)?;
            }
            return Ok(());
        }
        let next = |side: usize| plan.schemas[side].as_ref().and_then(|schema| schema.auto_increment.as_deref());
        if next(from) != next(to) {
            plan.use_database(database, take)?;
            let number = String::from_utf8_lossy(next(to).unwrap_or(b"1")).into_owned();
            plan.statement("ALTER TABLE ", &format!(" AUTO_INCREMENT={number};\n"), take)?;
        }
        if let Some(triggers) = triggers_of(plan.pair, to).filter(|_| plan.has_triggers_aside) {
            plan.use_database(database, take)?;
            self.dumps[to].each_piece(triggers, take)?;
        }
        Ok(())
    }

    /// A database that only the target has.
    fn make_database(&self, plan: &Plan, database: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        let [from, to] = self.direction.sides();
        let path = plan.pair.database_path();
        let node = |side: usize, path: &[u8]| {
            let root = &self.dumps[side].snapshot.manifest.root;
            self.dumps[side].repository.tree()?.lookup_path(root, path)
        };
        if *database == plan.database || node(from, &path)?.is_some() {
            return Ok(());
        }
        let file = node(to, &[&path[..], DATABASE_FILE.as_bytes()].join(&b'/'))?;
        database.clear();
        file.as_ref().and_then(|node| node.content()).map_or(Ok(()), |content| self.dumps[to].each_piece(content, take))
    }
}

fn triggers_of(pair: &TablePair, side: usize) -> Option<&Content> {
    pair.sides[side].as_ref().and_then(|files| files.triggers.as_ref())
}
