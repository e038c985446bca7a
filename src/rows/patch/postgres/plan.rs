//! Plan: how a table of one dump of PostgreSQL becomes that of the other.

use std::collections::HashSet;

use crate::dump::postgres::{Alteration, AlterationKind, TableInSchema, alterations, manner_of_table};
use crate::dump::table::TableSchema;
use crate::error::{Error, Result};
use crate::rows::difference::required;
use crate::rows::patch::PatchWriter;
use crate::rows::side::TableSide;
use crate::rows::tables::{TableFiles, TablePair};

/// A table, and how the patch goes about it.
#[derive(Clone)]
pub struct Plan {
    pub pair: TablePair,
    pub database: Vec<u8>,
    pub name: TableInSchema,
    pub schemas: [Option<TableSchema>; 2],
    pub way: Way,
    /// The table for which it is made anew, if it need not be for itself.
    pub because: Option<TableInSchema>,
}

#[derive(Clone)]
pub enum Way {
    /// Only its rows change.
    Rows,
    /// What was added to it changes, too: what goes, and what comes, with all that has to be said again then.
    Altered { gone: Vec<Alteration>, come: Vec<Alteration> },
    /// It is dropped where it is there, and made where it is to be.
    Remade,
}

impl Plan {
    pub fn is_remade(&self) -> bool {
        matches!(self.way, Way::Remade)
    }

    /// The statement's name for it.
    pub fn quoted(&self) -> Vec<u8> {
        super::quoted_table(&self.name)
    }
}

/// What a table's files say on one side.
struct Texts {
    manner: Vec<u8>,
    /// The words that make it a part of another table.
    attachment: Vec<Vec<u8>>,
    alterations: Vec<Alteration>,
}

impl PatchWriter<'_> {
    /// How to go about a table; `None` where it is the same.
    pub(super) fn plan_of(&self, pair: &TablePair) -> Result<Option<Plan>> {
        if !pair.differs() {
            return Ok(None);
        }
        let plan = self.described(pair)?;
        let way = self.way(&plan)?;
        match way {
            Way::Remade => self.refuse_foreign(pair)?,
            Way::Rows | Way::Altered { .. } => self.check_columns_are_named(&plan)?,
        }
        Ok(Some(Plan { way, ..plan }))
    }

    /// The same of one that has to go, and comes again if it is to be there, for another one.
    pub(super) fn plan_for(&self, pair: &TablePair, because: &TableInSchema) -> Result<Plan> {
        self.refuse_foreign(pair)?;
        let plan = self.described(pair)?;
        Ok(Plan { way: Way::Remade, because: Some(because.clone()), ..plan })
    }

    fn described(&self, pair: &TablePair) -> Result<Plan> {
        let name = pair.name();
        let mut schemas = [None, None];
        for (side, schema) in schemas.iter_mut().enumerate() {
            let Some(files) = &pair.sides[side] else { continue };
            let text = self.dumps[side].text(files.schema.as_ref())?;
            *schema = self.dumps[side].marks()?.schema(&text, b"");
            required(schema.as_ref(), &name, "statements need its CREATE TABLE, and a dump lacks it")?;
        }
        let too_long = "its name or that of its schema or database is too long for a file";
        let database = required(pair.database(), &name, too_long)?;
        let known = schemas.iter().flatten().map(|schema| schema.name.clone()).next();
        let [schema, table] = [required(pair.schema(), &name, too_long)?, required(known, &name, too_long)?];
        // As statements have them.
        let [schema, table] = [schema, table].map(|name| self.dumps[0].letters().encoded(&name).into_owned());
        let name = TableInSchema { schema, table };
        Ok(Plan { pair: pair.clone(), database, name, schemas, way: Way::Rows, because: None })
    }

    fn texts(&self, files: &TableFiles, side: usize, name: &TableInSchema) -> Result<Texts> {
        let text = |content| self.dumps[side].text(content);
        let (schema, post) = (text(files.schema.as_ref())?, text(files.post.as_ref())?);
        let of_both = [&schema[..], b"\n", &post].concat();
        let attachment = alterations(&text(files.attachment.as_ref())?, name).into_iter().map(|it| it.words).collect();
        Ok(Texts { manner: manner_of_table(&schema), attachment, alterations: alterations(&of_both, name) })
    }

    fn way(&self, plan: &Plan) -> Result<Way> {
        let ([Some(_), Some(_)], [Some(a), Some(b)]) = (&plan.pair.sides, &plan.schemas) else {
            return Ok(Way::Remade);
        };
        let texts = |side: usize| {
            let files = plan.pair.sides[side].clone().unwrap_or_default();
            self.texts(&files, side, &plan.name)
        };
        let [from, to] = self.direction.sides();
        let [before, after] = [texts(from)?, texts(to)?];
        let is_other =
            a.definition != b.definition || before.attachment != after.attachment || before.manner != after.manner;
        if is_other {
            return Ok(Way::Remade);
        }
        let is_in_family = a.is_partitioned || !before.attachment.is_empty();
        Ok(way_of(before.alterations, after.alterations, is_in_family))
    }

    /// A table of another server is neither dropped nor made.
    fn refuse_foreign(&self, pair: &TablePair) -> Result<()> {
        for (side, files) in pair.sides.iter().enumerate() {
            let schema = self.dumps[side].text(files.as_ref().and_then(|files| files.schema.as_ref()))?;
            if manner_of_table(&schema) == b"FOREIGN" {
                return Err(Error::invalid("table", pair.name(), "its rows are those of another server"));
            }
        }
        Ok(())
    }

    /// Statements that change rows name columns.
    fn check_columns_are_named(&self, plan: &Plan) -> Result<()> {
        let inherits = plan.schemas.iter().flatten().any(|schema| schema.inherits);
        for side in (0..2).filter(|_| inherits) {
            let reason = "its INSERTs do not name their columns, some of which it has from elsewhere; pg_dump --column-inserts \
                          names them, and so does COPY";
            required(TableSide::open(self.dumps[side], &plan.pair, side)?.schema, &plan.pair.name(), reason)?;
        }
        Ok(())
    }
}

/// What becomes of what was added to a table. Indexes and constraints of one that is partitioned, or a part of one, are those of
/// others, too.
fn way_of(before: Vec<Alteration>, after: Vec<Alteration>, is_in_family: bool) -> Way {
    let [gone, new] = [missing_in(&before, &after), missing_in(&after, &before)];
    if gone.is_empty() && new.is_empty() {
        return Way::Rows;
    }
    let is_repeatable = |it: &Alteration| matches!(it.kind, AlterationKind::Repeatable { .. });
    let is_easy = |it: &Alteration| {
        let is_its_own = matches!(it.kind, AlterationKind::ForeignKey(_)) || is_repeatable(it);
        it.undo.is_some() && (is_its_own || !is_in_family)
    };
    let acts_for_others = before.iter().chain(&after).any(|it| it.kind == AlterationKind::Session);
    if acts_for_others || !gone.iter().chain(&new).all(is_easy) {
        return Way::Remade;
    }
    let new: HashSet<Vec<u8>> = new.into_iter().map(|it| it.words).collect();
    let come = after.into_iter().filter(|it| is_repeatable(it) || new.contains(&it.words)).collect();
    Way::Altered { gone, come }
}

fn missing_in(these: &[Alteration], others: &[Alteration]) -> Vec<Alteration> {
    let others: HashSet<&[u8]> = others.iter().map(|it| &it.words[..]).collect();
    these.iter().filter(|it| !others.contains(&it.words[..])).cloned().collect()
}
