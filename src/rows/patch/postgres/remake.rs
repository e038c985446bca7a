//! Remake: the statements that drop and make tables, and that take away and put there what was added to tables which stay.

use std::collections::HashSet;

use crate::codec::DecodeError;
use crate::dump::layout::POST_FILE;
use crate::dump::letters::Letters;
use crate::dump::name::quoted_name;
use crate::dump::postgres::{
    Alteration, AlterationKind, CommandGuard, TableInSchema, TableMaker, Words, alterations, each_statement,
    holds_command, quoted,
};
use crate::dump::renaming::Rewrite;
use crate::error::{Error, Result};
use crate::repository::content::Content;
use crate::rows::difference::required;
use crate::rows::patch::postgres::DatabasePatch;
use crate::rows::patch::postgres::plan::{Plan, Way};
use crate::rows::patch::{PatchWriter, TakeText};

/// Ends what tables that were made set, for statements behind them.
const USUAL_PLACE: &[u8] = b"SET LOCAL default_tablespace = '';\n";

const USUAL_STRINGS: &[u8] = b"SET LOCAL standard_conforming_strings = on;\n";

impl PatchWriter<'_> {
    /// What goes: what is said of something before that, and foreign keys before what they refer to.
    pub(super) fn take_away(&self, patch: &DatabasePatch, take: &mut TakeText) -> Result<()> {
        let plans = &patch.settled.plans;
        let mut undo = |alteration: &Alteration| match &alteration.undo {
            Some(text) if !text.is_empty() => statement(text, patch.letters, take),
            _ => Ok(()),
        };
        let gone = || plans.iter().flat_map(gone_of);
        let is_said = |it: &&Alteration| matches!(it.kind, AlterationKind::Repeatable { .. });
        gone().filter(is_said).try_for_each(&mut undo)?;
        let is_key = |it: &&Alteration| matches!(it.kind, AlterationKind::ForeignKey(_));
        gone().filter(is_key).try_for_each(&mut undo)?;
        patch.settled.keys.iter().try_for_each(|held| undo(&held.key))?;
        gone().filter(|it| !is_said(it) && !is_key(it)).try_for_each(&mut undo)?;
        self.drop_tables(patch, take)
    }

    fn drop_tables(&self, patch: &DatabasePatch, take: &mut TakeText) -> Result<()> {
        let [from, _] = self.direction.sides();
        let is_gone = |plan: &&Plan| plan.is_remade() && plan.pair.sides[from].is_some();
        let gone: Vec<&Plan> = patch.settled.plans.iter().filter(is_gone).collect();
        for plan in &gone {
            if plan.schemas[from].as_ref().is_some_and(|schema| schema.is_partitioned) {
                take(&check_of_parts(plan, patch))?;
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        // In one statement, they may refer to one another.
        let names: Vec<Vec<u8>> = gone.iter().map(|plan| plan.quoted()).collect();
        take(&[b"DROP TABLE ", &names.join(&b",\n    "[..])[..], b";\n"].concat())
    }

    /// What comes, once the rows of tables that stay are those of the target: first what needs nothing but its table.
    pub(super) fn put_there(&self, patch: &DatabasePatch, take: &mut TakeText) -> Result<()> {
        let [_, to] = self.direction.sides();
        let plans = &patch.settled.plans;
        let come: Vec<&Alteration> = plans.iter().flat_map(come_of).collect();
        if !come.is_empty() {
            take(USUAL_PLACE)?;
        }
        come.iter().filter(|it| !it.kind.waits()).try_for_each(|it| statement(&it.text, patch.letters, take))?;
        let made: Vec<&Plan> = plans.iter().filter(|plan| plan.is_remade() && plan.pair.sides[to].is_some()).collect();
        let paths: Vec<Vec<u8>> = made.iter().map(|plan| plan.pair.path()).collect();
        let made: Vec<&Plan> = patch.sides[1].order(&paths)?.into_iter().map(|at| made[at]).collect();
        self.make_tables(patch, &made, take)?;
        for plan in &made {
            let post = patch.sides[1].text_of(&plan.name, POST_FILE)?;
            let waiting = alterations(&post, &plan.name).into_iter().filter(|it| it.kind.waits());
            waiting.into_iter().try_for_each(|it| statement(&it.text, patch.letters, take))?;
        }
        let again = patch.settled.keys.iter().filter(|held| held.comes_again).map(|held| &held.key);
        again.chain(&patch.settled.remarks).try_for_each(|it| statement(&it.text, patch.letters, take))?;
        come.iter().filter(|it| it.kind.waits()).try_for_each(|it| statement(&it.text, patch.letters, take))?;
        self.publish(patch, &made, take)
    }

    /// Makes tables, fills them, and makes them parts of others.
    fn make_tables(&self, patch: &DatabasePatch, made: &[&Plan], take: &mut TakeText) -> Result<()> {
        let [_, to] = self.direction.sides();
        let has_default_privileges = patch.sides[0].has_default_privileges()?;
        let mut schemas: HashSet<&[u8]> = HashSet::new();
        for plan in made {
            let schema = &plan.name.schema[..];
            let is_new = !patch.sides[0].has_schema(schema) && schema != b"public";
            if is_new && schemas.insert(schema) {
                let file = patch.sides[1].schema_file(schema)?;
                match file.as_ref().and_then(|node| node.content()) {
                    Some(content) => self.pass_on(
                        plan,
                        content,
                        TableMaker::of_table(plan.name.clone(), false, patch.letters),
                        take,
                    )?,
                    None => take(&[b"CREATE SCHEMA ", &quoted_name(schema, b'"')[..], b";\n"].concat())?,
                }
            }
            let file = self.restoring(plan)?;
            let content = required(file.as_ref().and_then(|node| node.content()), &plan.pair.name(), "it went away")?;
            let maker = TableMaker::of_table(plan.name.clone(), has_default_privileges, patch.letters);
            self.pass_on(plan, content, maker, take)?;
        }
        for plan in made {
            let attachment = plan.pair.sides[to].as_ref().and_then(|files| files.attachment.as_ref());
            let mut found = Vec::new();
            each_statement(&self.dumps[to].text(attachment)?, &mut |text| found.push(text.to_vec()));
            found.iter().try_for_each(|text| statement(text, patch.letters, take))?;
        }
        Ok(())
    }

    /// Passes on what the dump has, as `maker` makes it, but for commands to `psql` that no dump has.
    fn pass_on(&self, plan: &Plan, content: &Content, mut maker: TableMaker, take: &mut TakeText) -> Result<()> {
        let invalid = |error: DecodeError| Error::invalid("table", plan.pair.name(), error.reason);
        let mut guard = Box::new(CommandGuard::new(None));
        let (mut guarded, mut made) = (Vec::new(), Vec::new());
        self.dumps[self.direction.sides()[1]].each_piece(content, &mut |piece| {
            guard.push(piece, &mut guarded).map_err(invalid)?;
            maker.push(&guarded, &mut made).map_err(invalid)?;
            guarded.clear();
            take(&std::mem::take(&mut made))
        })?;
        guard.finish(&mut guarded).map_err(invalid)?;
        maker.push(&guarded, &mut made).map_err(invalid)?;
        maker.end(&mut made).map_err(invalid)?;
        made.push(b'\n');
        made.extend(maker.resets());
        take(&made)
    }

    /// A table that goes is no longer sent to other servers, without a word. Publications that both dumps have get those that come.
    fn publish(&self, patch: &DatabasePatch, made: &[&Plan], take: &mut TakeText) -> Result<()> {
        let made: HashSet<&TableInSchema> = made.iter().map(|plan| &plan.name).collect();
        if made.is_empty() {
            return Ok(());
        }
        let known = patch.sides[0].publications()?;
        for (name, text) in patch.sides[1].publications()? {
            if !known.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let mut found = Vec::new();
            each_statement(&text, &mut |text| {
                let added = published(text).filter(|table| made.contains(table));
                found.extend(added.map(|_| text.to_vec()));
            });
            found.iter().try_for_each(|text| statement(text, patch.letters, take))?;
        }
        Ok(())
    }
}

fn gone_of(plan: &Plan) -> &[Alteration] {
    match &plan.way {
        Way::Altered { gone, .. } => gone,
        Way::Rows | Way::Remade => &[],
    }
}

fn come_of(plan: &Plan) -> &[Alteration] {
    match &plan.way {
        Way::Altered { come, .. } => come,
        Way::Rows | Way::Remade => &[],
    }
}

/// A statement of a dump.
fn statement(text: &[u8], letters: Letters, take: &mut TakeText) -> Result<()> {
    if holds_command(text, letters) {
        let shown = String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned();
        return Err(Error::invalid("statement", shown, "it holds a command to psql"));
    }
    // What a function of the dump may have set meanwhile decides how it is read.
    let before: &[u8] = if text.contains(&b'\\') { USUAL_STRINGS } else { b"" };
    take(&[before, text, b";\n"].concat())
}

/// Fails where a table that goes has other parts than the dump tells of: these would go with it.
fn check_of_parts(plan: &Plan, patch: &DatabasePatch) -> Vec<u8> {
    let known = patch.settled.kinships.iter().filter(|[_, whole]| *whole == plan.name);
    let known: Vec<Vec<u8>> = known.map(|[part, _]| quoted(&super::quoted_table(part), patch.letters)).collect();
    let name = quoted(&plan.quoted(), patch.letters);
    let code = [
        b"BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = ",
        &name[..],
        b"::pg_catalog.regclass AND inhrelid <> ALL (ARRAY[",
        &known.join(&b", "[..]),
        b"]::pg_catalog.regclass[])) THEN RAISE EXCEPTION 'table % has a part that the dump lacks', ",
        &name,
        b"; END IF; END",
    ];
    [b"DO ", &quoted(&code.concat(), patch.letters)[..], b";\n"].concat()
}

/// `ALTER PUBLICATION name ADD TABLE ONLY schema.table`: the table.
fn published(text: &[u8]) -> Option<TableInSchema> {
    let mut words = Words::new(text);
    if !words.pass_all(&["ALTER", "PUBLICATION"]) {
        return None;
    }
    words.take_name()?;
    if !words.pass_all(&["ADD", "TABLE"]) {
        return None;
    }
    words.pass("ONLY");
    let name = words.qualified_name()?;
    Some(TableInSchema { schema: name.schema?, table: name.name })
}
