//! Patches for MySQL and MariaDB. A table that is made in another way is made anew, before and after the transaction where
//! statements would end it.

use crate::dump::layout::DATABASE_FILE;
use crate::dump::mysql::{QuoteModes, trigger_names};
use crate::dump::table::TableSchema;
use crate::error::Result;
use crate::repository::content::Content;
use crate::rows::difference::required;
use crate::rows::patch::frame::Frame;
use crate::rows::patch::language::Language;
use crate::rows::patch::{PatchCounts, PatchWriter, TakeText};
use crate::rows::side::{DumpMarks, DumpSide};
use crate::rows::tables::{TableFiles, TablePair};

/// Before each trigger that goes. No statement makes MySQL pass over a trigger, and to drop one is in no transaction.
const TRIGGERS_REMARK: &[u8] =
    b"-- It is made again behind the rows. If a statement fails before that, run its CREATE TRIGGER by hand.\n";

/// A table and how the patch goes about it.
struct Plan<'p> {
    pair: &'p TablePair,
    database: Vec<u8>,
    table: Vec<u8>,
    /// How the patch is read.
    modes: QuoteModes,
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
        push_name(&self.database, self.modes, &mut text);
        text.extend_from_slice(b";\n");
        take(&text)
    }

    fn statement(&self, before: &str, behind: &str, take: &mut TakeText) -> Result<()> {
        let mut text = before.as_bytes().to_vec();
        push_name(&self.table, self.modes, &mut text);
        text.extend_from_slice(behind.as_bytes());
        take(&text)
    }
}

impl PatchWriter<'_> {
    /// Writes the patch for these tables.
    pub(super) fn write_mysql(&self, pairs: &[TablePair], take: &mut TakeText) -> Result<PatchCounts> {
        let mut counts = PatchCounts::default();
        let plans: Vec<Plan> = pairs.iter().map(|pair| self.plan(pair)).collect::<Result<_>>()?;
        let frame = Frame::new(self.dumps, self.direction.sides()[1])?;
        if plans.iter().any(|plan| !plan.is_remade) {
            frame.check_sides_agree()?;
        }
        pairs.iter().try_for_each(|pair| frame.check_set_of(self.dumps, pair))?;
        take(&frame.opening())?;
        let mut database = Vec::new();
        for plan in plans.iter().filter(|plan| plan.has_triggers_aside) {
            self.drop_triggers(plan, &mut database, take)?;
        }
        take(b"START TRANSACTION;\n")?;
        for plan in plans.iter().filter(|plan| !plan.is_remade) {
            let language = Language::Mysql { modes: plan.modes, character_set: frame.character_set().to_string() };
            let table = language.table(None, &plan.table);
            let begin = &mut |take: &mut TakeText| plan.use_database(&mut database, take);
            self.write_rows(plan.pair, table, language, begin, &mut counts, take)?;
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
            *schema = self.dumps[side].marks()?.schema(&text, b"");
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
        let modes = modes(self.dumps[to])?;
        Ok(Plan { pair, database, table, modes, schemas, is_remade, has_triggers_aside })
    }

    /// Triggers would change more than what the patch says.
    fn drop_triggers(&self, plan: &Plan, database: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        let [from, _] = self.direction.sides();
        let text = self.dumps[from].text(triggers_of(plan.pair, from))?;
        for name in trigger_names(&text, modes(self.dumps[from])?) {
            plan.use_database(database, take)?;
            let mut statement = TRIGGERS_REMARK.to_vec();
            statement.extend_from_slice(b"DROP TRIGGER IF EXISTS ");
            push_name(&name, plan.modes, &mut statement);
            statement.extend_from_slice(b";\n");
            take(&statement)?;
        }
        Ok(())
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
            let Some(TableFiles { schema, data, triggers, .. }) = &plan.pair.sides[to] else { return Ok(()) };
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
        let path = plan.pair.parent_path();
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

fn push_name(name: &[u8], modes: QuoteModes, text: &mut Vec<u8>) {
    Language::Mysql { modes, character_set: String::new() }.push_name(name, text);
}

/// How strings are read in a dump.
pub fn modes(dump: &DumpSide) -> Result<QuoteModes> {
    let modes = match dump.marks()? {
        DumpMarks::Mysql(marks) => marks.modes,
        DumpMarks::Postgres(_) | DumpMarks::Mongo(_) => QuoteModes::default(),
    };
    // Rows tell the letters, too, but not every dump has some.
    let letters = dump.letters();
    Ok(QuoteModes { letters, letters_of_session: letters, ..modes })
}
