//! Settle: what a patch does to the tables of one database, with all that goes and comes with them, but for those that it
//! cannot bring there.

use std::collections::{HashMap, HashSet};

use crate::dump::layout::{ATTACHMENT_FILE, POST_FILE, RESTORE_FILE, SCHEMA_FILE, TABLES_DIRECTORY};
use crate::dump::postgres::{
    Alteration, Need, NeedKind, QualifiedName, TableInSchema, attachment, each_statement, needs, owns_sequence, parents,
};
use crate::error::{Error, Result};
use crate::repository::node::Node;
use crate::rows::patch::PatchWriter;
use crate::rows::patch::postgres::database::DumpedDatabase;
use crate::rows::patch::postgres::dependents::{Dependents, HeldKey, Kinship, Search, gone, kinships};
use crate::rows::patch::postgres::plan::{Plan, Way};
use crate::rows::patch::postgres::shown;
use crate::rows::tables::{TablePair, table_at};

/// What happens in a database.
pub struct Settled {
    pub plans: Vec<Plan>,
    pub keys: Vec<HeldKey>,
    pub remarks: Vec<Alteration>,
    pub kinships: Vec<Kinship>,
    /// Tables that were planned, and cannot be brought there: which of them, and why.
    pub left_out: Vec<(Plan, String)>,
}

impl Settled {
    pub fn nothing(left_out: Vec<(Plan, String)>) -> Settled {
        Settled { plans: Vec::new(), keys: Vec::new(), remarks: Vec::new(), kinships: Vec::new(), left_out }
    }
}

/// Tables, and why each cannot be brought there.
type Reasons = Vec<(TableInSchema, String)>;

impl PatchWriter<'_> {
    /// Leaves out tables until nothing hinders the others. `sides` are that which is changed, and what it becomes.
    pub(super) fn settle(&self, planned: Vec<Plan>, sides: [&DumpedDatabase; 2]) -> Result<Settled> {
        let [from, _] = self.direction.sides();
        let kinships = if gone(&planned, from).is_empty() { Vec::new() } else { kinships(sides[0])? };
        let mut left_out: HashMap<TableInSchema, String> = HashMap::new();
        loop {
            let mut plans: Vec<Plan> =
                planned.iter().filter(|plan| !left_out.contains_key(&plan.name)).cloned().collect();
            let mut reasons = self.follow(&mut plans, &kinships, &left_out, sides[0])?;
            let dependents = Search::new(sides, self.direction.sides()[1], &plans, &kinships).run()?;
            reasons.extend(dependents.held.iter().cloned());
            reasons.extend(self.lacking(&plans, sides)?);
            reasons.extend(self.orphaned(&plans, &left_out)?);
            if reasons.is_empty() {
                let mut left = Vec::new();
                for plan in planned {
                    left.extend(left_out.remove(&plan.name).map(|reason| (plan, reason)));
                }
                let Dependents { keys, remarks, .. } = dependents;
                return Ok(Settled { plans, keys, remarks, kinships, left_out: left });
            }
            for (table, reason) in reasons {
                let cause = cause(&plans, &table);
                let reason = if cause == table { reason } else { format!("{} goes with it: {reason}", shown(&table)) };
                left_out.entry(cause).or_insert(reason);
            }
        }
    }

    /// Plans for all parts and heirs of tables that go: they go with them.
    fn follow(
        &self,
        plans: &mut Vec<Plan>,
        kinships: &[Kinship],
        left_out: &HashMap<TableInSchema, String>,
        database: &DumpedDatabase,
    ) -> Result<Reasons> {
        let [from, _] = self.direction.sides();
        let (mut gone, mut reasons) = (gone(plans, from), Vec::new());
        let mut children: HashMap<&TableInSchema, Vec<&TableInSchema>> = HashMap::new();
        for [child, parent] in kinships {
            children.entry(parent).or_default().push(child);
        }
        let mut places: HashMap<TableInSchema, usize> = plans.iter().map(|plan| plan.name.clone()).zip(0..).collect();
        let mut parents: Vec<TableInSchema> = gone.iter().cloned().collect();
        while let Some(parent) = parents.pop() {
            for child in children.get(&parent).into_iter().flatten().copied() {
                if !gone.insert(child.clone()) {
                    continue;
                }
                parents.push(child.clone());
                if left_out.contains_key(child) {
                    reasons.push((parent.clone(), format!("{}, a part or an heir of it, is left out", shown(child))));
                    continue;
                }
                let place = places.get(child).copied();
                let known = place.map(|at| plans[at].pair.clone());
                let Some(pair) = known.map_or_else(|| self.pair_of(child, database), |pair| Ok(Some(pair)))? else {
                    continue;
                };
                match (self.plan_for(&pair, &parent), place) {
                    (Ok(plan), Some(at)) => plans[at] = plan,
                    (Ok(plan), None) => {
                        places.insert(child.clone(), plans.len());
                        plans.push(plan);
                    }
                    (Err(error @ Error::Invalid { .. }), _) => reasons.push((parent.clone(), error.to_string())),
                    (Err(error), _) => return Err(error),
                }
            }
        }
        Ok(reasons)
    }

    /// A table whether it differs or not.
    fn pair_of(&self, table: &TableInSchema, database: &DumpedDatabase) -> Result<Option<TablePair>> {
        let Some(directories) = database.directories_of(table) else { return Ok(None) };
        let roots = self.dumps.map(|dump| Some(&dump.snapshot.manifest.root));
        for own in database.file_names(&table.table, "") {
            let path = [&directories.join(&b'/'), TABLES_DIRECTORY.as_bytes(), &own].join(&b'/');
            let pair = table_at(self.dumps[0].repository, roots, &path, directories.clone(), &own)?;
            if pair.is_some() {
                return Ok(pair);
            }
        }
        Ok(None)
    }

    /// Tables whose columns are those of one that stays as it is.
    fn orphaned(&self, plans: &[Plan], left_out: &HashMap<TableInSchema, String>) -> Result<Reasons> {
        let mut reasons = Vec::new();
        for plan in plans.iter().filter(|_| !left_out.is_empty()) {
            let mut names = Vec::new();
            for (side, files) in plan.pair.sides.iter().enumerate() {
                let text = |content| self.dumps[side].text(content);
                let Some(files) = files else { continue };
                names.extend(parents(&text(files.schema.as_ref())?, &text(files.attachment.as_ref())?));
            }
            let whole = names.into_iter().map(|QualifiedName { schema, name: table }| {
                let schema = schema.unwrap_or_else(|| plan.name.schema.clone());
                TableInSchema { schema, table }
            });
            for parent in whole.into_iter().filter(|parent| left_out.contains_key(parent)).take(1) {
                let reason = format!("it is a part or an heir of {}, which is left out", shown(&parent));
                reasons.push((plan.name.clone(), reason));
            }
        }
        Ok(reasons)
    }

    /// Tables that need what the server lacks.
    fn lacking(&self, plans: &[Plan], sides: [&DumpedDatabase; 2]) -> Result<Reasons> {
        let [_, to] = self.direction.sides();
        let is_made = |plan: &&Plan| plan.is_remade() && plan.pair.sides[to].is_some();
        let made: HashSet<&TableInSchema> = plans.iter().filter(is_made).map(|plan| &plan.name).collect();
        let mut reasons = Vec::new();
        for plan in plans {
            let reason = match &plan.way {
                Way::Rows => None,
                Way::Altered { come, .. } => {
                    let text = come.iter().map(|it| [&it.text[..], b";\n"].concat()).collect::<Vec<_>>().concat();
                    self.missing(plan, &text, &made, sides)?
                }
                Way::Remade if plan.pair.sides[to].is_none() => None,
                Way::Remade => self.hindrance(plan, &made, sides)?,
            };
            reasons.extend(reason.map(|reason| (plan.name.clone(), reason)));
        }
        Ok(reasons)
    }

    /// Why a table cannot be made.
    fn hindrance(
        &self,
        plan: &Plan,
        made: &HashSet<&TableInSchema>,
        sides: [&DumpedDatabase; 2],
    ) -> Result<Option<String>> {
        let [_, to] = self.direction.sides();
        let has_rows = plan.pair.sides[to].as_ref().is_some_and(|files| files.data.is_some());
        if has_rows && plan.schemas[to].as_ref().is_some_and(|schema| schema.is_partitioned) {
            let reason = "its rows come by way of it (--load-via-partition-root), which only the whole dump loads";
            return Ok(Some(reason.into()));
        }
        if self.restoring(plan)?.is_none() {
            return Ok(Some("its dump has nothing that loads it by itself".into()));
        }
        let mut text = Vec::new();
        for file in [SCHEMA_FILE, POST_FILE, ATTACHMENT_FILE] {
            text.extend(sides[1].text_of(&plan.name, file)?);
            text.push(b'\n');
        }
        self.missing(plan, &text, made, sides)
    }

    /// What loads a table by itself.
    pub(super) fn restoring(&self, plan: &Plan) -> Result<Option<Node>> {
        let dump = self.dumps[self.direction.sides()[1]];
        let path = [&plan.pair.path()[..], RESTORE_FILE.as_bytes()].join(&b'/');
        let node = dump.repository.tree()?.lookup_path(&dump.snapshot.manifest.root, &path)?;
        Ok(node.filter(|node| node.content().is_some()))
    }

    /// What statements need that only the dump has which they are of.
    fn missing(
        &self,
        plan: &Plan,
        text: &[u8],
        made: &HashSet<&TableInSchema>,
        [from, to]: [&DumpedDatabase; 2],
    ) -> Result<Option<String>> {
        let own = QualifiedName { schema: Some(plan.name.schema.clone()), name: plan.name.table.clone() };
        let mut all: Vec<Need> = Vec::new();
        each_statement(text, &mut |text| {
            all.extend(needs(text, &own));
            let whole = attachment(text).map(|[whole, _]| whole);
            let schema = |name: &QualifiedName| name.schema.clone().unwrap_or_else(|| plan.name.schema.clone());
            all.extend(whole.map(|name| Need { kind: NeedKind::Table, schema: schema(&name), name: name.name }));
        });
        for need in all {
            let is_made = made.contains(&TableInSchema { schema: need.schema.clone(), table: need.name.clone() });
            if is_made || from.has(&need)? || !to.has(&need)? || self.comes_with(plan, &need, text, made, to)? {
                continue;
            }
            let what = match need.kind {
                NeedKind::Table => "table ",
                NeedKind::Sequence => "sequence ",
                NeedKind::Function => "function ",
                NeedKind::Other | NeedKind::Role => "",
            };
            let name = shown(&TableInSchema { schema: need.schema, table: need.name });
            return Ok(Some(format!("it needs {what}{name}, which is not there and is not made by the patch")));
        }
        Ok(None)
    }

    /// Whether a sequence comes with a table that is made.
    fn comes_with(
        &self,
        plan: &Plan,
        need: &Need,
        text: &[u8],
        made: &HashSet<&TableInSchema>,
        to: &DumpedDatabase,
    ) -> Result<bool> {
        // That of an identity column is named as anything may be.
        if !matches!(need.kind, NeedKind::Sequence | NeedKind::Other) {
            return Ok(false);
        }
        let (file, name) = (to.sequence(&need.schema, &need.name)?, (&need.schema[..], &need.name[..]));
        let owns = |text: &[u8], table: &TableInSchema| {
            owns_sequence(text, &file, (&table.schema[..], &table.table[..]), name)
        };
        Ok((plan.is_remade() && owns(text, &plan.name)) || made.iter().any(|table| owns(b"", table)))
    }
}

/// The table for which another one goes, which may be that itself.
fn cause(plans: &[Plan], table: &TableInSchema) -> TableInSchema {
    let mut table = table.clone();
    while let Some(because) = plans.iter().find(|plan| plan.name == table).and_then(|plan| plan.because.as_ref()) {
        table = because.clone();
    }
    table
}
