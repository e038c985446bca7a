//! Dependents: what the dump of the side that is changed has besides, and depends on tables that go.

use std::collections::{HashMap, HashSet};

use crate::dump::layout::{
    ATTACHMENT_FILE, FUNCTIONS_DIRECTORY, POST_FILE, SCHEMA_FILE, TYPES_DIRECTORY, VIEWS_DIRECTORY,
};
use crate::dump::postgres::{
    Alteration, AlterationKind, QualifiedName, TableInSchema, Words, alterations, each_statement, needs, parents,
};
use crate::error::Result;
use crate::rows::patch::postgres::database::DumpedDatabase;
use crate::rows::patch::postgres::plan::{Plan, Way};
use crate::rows::patch::postgres::shown;

/// A table, and one that it is a part of or inherits from.
pub type Kinship = [TableInSchema; 2];

/// What has to be known before tables go.
#[derive(Default)]
pub struct Dependents {
    /// Foreign keys of tables that stay.
    pub keys: Vec<HeldKey>,
    /// What is to be said again of those that come again.
    pub remarks: Vec<Alteration>,
    /// Tables that cannot go, and why.
    pub held: Vec<(TableInSchema, String)>,
}

/// A foreign key that goes before the table that it refers to.
pub struct HeldKey {
    pub key: Alteration,
    /// It comes again behind all tables.
    pub comes_again: bool,
}

/// Every part of a table and every heir of one.
pub fn kinships(database: &DumpedDatabase) -> Result<Vec<Kinship>> {
    let mut found = Vec::new();
    let mut note = |child: &TableInSchema, names: Vec<QualifiedName>| {
        for name in names {
            let schema = name.schema.unwrap_or_else(|| child.schema.clone());
            found.push([child.clone(), TableInSchema { schema, table: name.name }]);
        }
    };
    database.each_table(SCHEMA_FILE, &mut |table, text| {
        note(&table, parents(text, b""));
        Ok(())
    })?;
    database.each_table(ATTACHMENT_FILE, &mut |table, text| {
        note(&table, parents(b"", text));
        Ok(())
    })?;
    Ok(found)
}

/// The tables that go, by plan.
pub fn gone(plans: &[Plan], from: usize) -> HashSet<TableInSchema> {
    let is_gone = |plan: &&Plan| plan.is_remade() && plan.pair.sides[from].is_some();
    plans.iter().filter(is_gone).map(|plan| plan.name.clone()).collect()
}

/// Looks for what depends on tables.
pub struct Search<'s> {
    sides: [&'s DumpedDatabase<'s>; 2],
    plans: HashMap<&'s TableInSchema, &'s Plan>,
    to: usize,
    gone: HashSet<TableInSchema>,
    /// Tables that foreign keys may not refer to meanwhile, beside those that go: their keys go, or one of their parts.
    keyless: HashSet<TableInSchema>,
}

impl<'s> Search<'s> {
    /// `sides` are that which is changed and what it becomes; `to` is the number of the second.
    pub fn new(sides: [&'s DumpedDatabase<'s>; 2], to: usize, plans: &'s [Plan], kinships: &[Kinship]) -> Search<'s> {
        let gone = gone(plans, 1 - to);
        let mut keyless: HashSet<TableInSchema> =
            plans.iter().filter(|it| loses_key(it)).map(|it| it.name.clone()).collect();
        let mut affected = gone.clone();
        loop {
            let above =
                kinships.iter().filter(|[child, parent]| affected.contains(child) && !affected.contains(parent));
            let above: Vec<TableInSchema> = above.map(|[_, parent]| parent.clone()).collect();
            if above.is_empty() {
                break;
            }
            keyless.extend(above.iter().cloned());
            affected.extend(above);
        }
        Search { sides, plans: plans.iter().map(|plan| (&plan.name, plan)).collect(), to, gone, keyless }
    }

    pub fn run(&self) -> Result<Dependents> {
        let mut found = Dependents::default();
        if self.gone.is_empty() && self.keyless.is_empty() {
            return Ok(found);
        }
        let [from, _] = self.sides;
        from.each_table(POST_FILE, &mut |table, text| {
            let (before, all) = (found.keys.len(), alterations(text, &table));
            for alteration in &all {
                self.look_at(&table, alteration, &mut found)?;
            }
            // With what comes to a table that is altered, all is said again.
            let is_altered = self.plans.get(&table).is_some_and(|plan| matches!(plan.way, Way::Altered { .. }));
            if found.keys[before..].iter().any(|held| held.comes_again) && !is_altered {
                let is_remark = |it: &Alteration| it.kind == AlterationKind::Repeatable { waits: true };
                found.remarks.extend(all.into_iter().filter(is_remark));
            }
            Ok(())
        })?;
        from.each_table(SCHEMA_FILE, &mut |table, text| {
            if !self.gone.contains(&table) {
                each_statement(text, &mut |text| self.look_at_needs("table", &table, text, &mut found));
            }
            Ok(())
        })?;
        let others = [("a view", VIEWS_DIRECTORY), ("a function", FUNCTIONS_DIRECTORY), ("a type", TYPES_DIRECTORY)];
        for (what, directory) in others {
            from.each_file(directory, &mut |name, text| {
                each_statement(text, &mut |text| self.look_at_names(what, &name, text, &mut found));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// What was added to a table.
    fn look_at(&self, table: &TableInSchema, alteration: &Alteration, found: &mut Dependents) -> Result<()> {
        let goes = self.gone.contains(table);
        let plan = self.plans.get(table);
        let is_taken_away = plan.is_some_and(|plan| match &plan.way {
            Way::Altered { gone, .. } => gone.iter().any(|it| it.words == alteration.words),
            Way::Rows | Way::Remade => false,
        });
        if is_taken_away {
            return Ok(());
        }
        match &alteration.kind {
            AlterationKind::ForeignKey(other) => {
                let is_held = self.keyless.contains(other) || (self.gone.contains(other) && !goes);
                if is_held {
                    let comes_again = !goes && self.comes_again(table, other, alteration)?;
                    found.keys.push(HeldKey { key: alteration.clone(), comes_again });
                }
            }
            _ if !goes => self.look_at_needs("table", table, &alteration.text, found),
            _ => {}
        }
        Ok(())
    }

    /// Whether a foreign key is there afterwards. Where nothing tells of its table, it stays as it is.
    fn comes_again(&self, table: &TableInSchema, other: &TableInSchema, key: &Alteration) -> Result<bool> {
        let [_, to] = self.sides;
        if to.has_table(table)? {
            let post = to.text_of(table, POST_FILE)?;
            return Ok(alterations(&post, table).iter().any(|it| it.words == key.words));
        }
        Ok(self.plans.get(other).is_none_or(|plan| plan.pair.sides[self.to].is_some()))
    }

    fn look_at_needs(&self, what: &str, table: &TableInSchema, text: &[u8], found: &mut Dependents) {
        let own = QualifiedName { schema: Some(table.schema.clone()), name: table.table.clone() };
        for need in needs(text, &own) {
            let needed = TableInSchema { schema: need.schema, table: need.name };
            if self.gone.contains(&needed) {
                found.held.push((needed, format!("{what} {} needs it, and is not changed with it", shown(table))));
            }
        }
    }

    /// The same of a statement in which any name may be that of a table.
    fn look_at_names(&self, what: &str, name: &TableInSchema, text: &[u8], found: &mut Dependents) {
        let mut words = Words::new(text);
        if !words.pass("CREATE") {
            return;
        }
        loop {
            let named = words.clone().qualified_name();
            if let Some(QualifiedName { schema: Some(schema), name: table }) = named {
                let needed = TableInSchema { schema, table };
                if self.gone.contains(&needed) {
                    let reason = format!("{what} needs it, which a patch does not change: {}", shown(name));
                    found.held.push((needed, reason));
                }
            }
            if words.next().is_none() {
                return;
            }
        }
    }
}

/// Whether it loses what foreign keys may refer to.
fn loses_key(plan: &Plan) -> bool {
    match &plan.way {
        Way::Altered { gone, .. } => gone.iter().any(|it| it.kind == AlterationKind::Key),
        Way::Rows | Way::Remade => false,
    }
}
