//! Steps: a dump in the order in which several clients load it. One client gets all but the rows, and stays, as what it
//! was told holds for its session. Rows come from any number of clients, once all tables are made that can be, and before all that
//! would see them come: triggers, events, views.

use std::collections::HashMap;
use std::ffi::OsString;
use std::ops::Range;
use std::rc::Rc;

use crate::dump::layout::{
    DATA_FILE, DATABASE_FILE, HEADER_FILE, META_DIRECTORY, SCHEMA_FILE, SEQUENCES_DIRECTORY, STUB_FILE,
    TABLES_DIRECTORY, VIEWS_DIRECTORY,
};
use crate::dump::mysql::MysqlDump;
use crate::dump::name::name_of_file;
use crate::dump::part_line::PartLine;
use crate::error::Result;
use crate::load::client::MARK;
use crate::load::loader::{Load, Loader};
use crate::load::outline::{each_part, extend, text_at};
use crate::load::text::{Change, SqlText, Stretch};
use crate::repository::content::Content;

/// Rows of so many bytes are worth a client of their own, which has to be started.
const GROUP_BYTES: u64 = 4 << 20;

/// What is known of the dumps of one kind of server.
pub struct Dialect {
    way: for<'p> fn(&'p [u8]) -> Way<'p>,
    /// The settings of a session that a header sets up; `None` where its tables must be loaded in order.
    session: fn(&[u8]) -> Option<Rc<[u8]>>,
}

pub const MYSQL: Dialect = Dialect { way: Way::of_mysql, session: mysql_session };
pub const POSTGRES: Dialect = Dialect { way: Way::of_postgres, session: postgres_session };

/// A dump, in steps.
struct DumpSteps {
    steps: std::vec::IntoIter<Step>,
}

/// What is loaded before the next step begins: stretches of the dump, by the client that stays, then rows, by any, then other
/// stretches, by the one that stays.
#[derive(Debug, Default)]
struct Step {
    in_order: Vec<Range<u64>>,
    at_once: Vec<TableRows>,
    behind: Vec<Range<u64>>,
}

/// The rows of one table.
#[derive(Debug)]
struct TableRows {
    /// The names of the directories of its database, schema where there are such, and of itself.
    table: Vec<Vec<u8>>,
    /// What sets up a session for it.
    session: Rc<[u8]>,
    ranges: Vec<Range<u64>>,
}

impl TableRows {
    fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// Loads a whole dump, of which each of `loads` is a stretch, one after the other; by several clients where `parts` tells of those and
/// more than one may run. `arguments` tells what clients of a database are told, by the name of its directory.
pub fn load_dump(
    loader: &Loader,
    dialect: &Dialect,
    loads: Vec<Load<'_>>,
    parts: Option<Content>,
    arguments: &HashMap<Vec<u8>, Vec<OsString>>,
) -> Result<()> {
    let Some(parts) = parts.filter(|_| loader.threads > 1) else {
        return loads.into_iter().try_for_each(|load| loader.run_all(vec![load]));
    };
    let all_steps = DumpSteps::plan(dialect, &loads, &parts)?;
    for (mut load, mut steps) in loads.into_iter().zip(all_steps) {
        load.text.made_of = steps.in_order();
        loader.run_in_steps(&load, || loader.run_all(steps.next_loads(&load, arguments)))?;
    }
    Ok(())
}

impl DumpSteps {
    /// Reads the list of the parts of a dump: the steps of each of its loads.
    fn plan(dialect: &Dialect, loads: &[Load<'_>], parts: &Content) -> Result<Vec<DumpSteps>> {
        let Some(Load { text: dump, .. }) = loads.first() else { return Ok(Vec::new()) };
        let mut header_text = |range: &Range<u64>| {
            let text = text_at(&dump.contents, &dump.content, range)?;
            // What is left out of the dump is left out of sessions.
            let changes = dump
                .changes
                .iter()
                .filter(|change| matches!(change, Change::WithoutOwnership(_) | Change::WithoutReplication));
            changes.into_iter().try_fold(text, |text, change| change.applied_to(&text))
        };
        let starts: HashMap<u64, usize> =
            loads.iter().enumerate().filter_map(|(number, load)| Some((load.text.start()?, number))).collect();
        let (mut planners, mut present) = (loads.iter().map(|_| Planner::new(dialect)).collect::<Vec<_>>(), 0);
        each_part(dump.contents, &dump.content, parts, |part, range| {
            present = starts.get(&range.start).copied().unwrap_or(present);
            planners[present].push(part, range, &mut header_text)
        })?;
        Ok(planners.into_iter().map(Planner::finish).collect())
    }

    /// What the client that stays gets: behind each statement that tells how far it is come the rows of a step.
    fn in_order(&self) -> Vec<Stretch> {
        let mut made_of = Vec::new();
        for step in self.steps.as_slice() {
            made_of.extend(step.in_order.iter().cloned().map(Stretch::Of));
            if !step.at_once.is_empty() {
                made_of.push(Stretch::Statement(format!("SELECT '{MARK}';\n").into()));
            }
            made_of.extend(step.behind.iter().cloned().map(Stretch::Of));
        }
        made_of
    }

    /// The rows of the next step of a dump that has some, the largest first.
    fn next_loads<'a>(&mut self, dump: &Load<'a>, arguments: &HashMap<Vec<u8>, Vec<OsString>>) -> Vec<Load<'a>> {
        let Some(step) = self.steps.find(|step| !step.at_once.is_empty()) else { return Vec::new() };
        let groups = groups_of(step.at_once);
        groups.into_iter().map(|group| load_of(&group, dump, arguments)).collect()
    }
}

/// The rows of these tables of a dump.
fn load_of<'a>(group: &[TableRows], dump: &Load<'a>, arguments: &HashMap<Vec<u8>, Vec<OsString>>) -> Load<'a> {
    let name = |file: &[u8]| String::from_utf8_lossy(&name_of_file(file).unwrap_or_default()).into_owned();
    // There is one at least.
    let (first, database) = (&group[0].table, &group[0].table[0]);
    let arguments = arguments.get(database).cloned().unwrap_or_default();
    let what = match group.len() {
        1 => format!("the rows of {}", first.iter().map(|file| name(file)).collect::<Vec<_>>().join(".")),
        more => format!("the rows of {more} tables of {}", name(database)),
    };
    let of = |rows: &TableRows| {
        let ranges = rows.ranges.iter().cloned().map(Stretch::Of);
        std::iter::once(Stretch::Statement(rows.session.to_vec())).chain(ranges).collect::<Vec<_>>()
    };
    let made_of = group.iter().flat_map(of).collect();
    let what = format!("{what} from {}", dump.what);
    let whole = SqlText::whole(dump.text.contents, dump.text.content.clone(), 1);
    // Rows make nothing that is to be changed, but who is to own them may be told before.
    let counts = |change: &&Change| matches!(change, Change::Commands(_) | Change::WithoutOwnership(_));
    let changes = dump.text.changes.iter().filter(counts).cloned().collect();
    let text = SqlText { made_of, changes, ..whole };
    Load { what, text, arguments }
}

/// Tables that one client loads one after the other. The largest come first, so that no client is busy long after the others.
fn groups_of(mut tables: Vec<TableRows>) -> Vec<Vec<TableRows>> {
    tables.sort_by(|a, b| a.table[0].cmp(&b.table[0]).then(b.bytes().cmp(&a.bytes())));
    let mut groups: Vec<(u64, Vec<TableRows>)> = Vec::new();
    for rows in tables {
        let bytes = rows.bytes();
        match groups.last_mut() {
            Some((so_far, group)) if *so_far + bytes <= GROUP_BYTES && group[0].table[0] == rows.table[0] => {
                *so_far += bytes;
                group.push(rows);
            }
            _ => groups.push((bytes, vec![rows])),
        }
    }
    groups.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The settings of a session that this text sets up, if it lets tables be loaded in any order, and its clients see what all see.
fn mysql_session(header: &[u8]) -> Option<Rc<[u8]>> {
    let mut dump = MysqlDump::default();
    dump.push(header, &mut |_| {});
    let settings = dump.finish(&mut |_| {}).session.settings;
    let has = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    has(&settings, b"FOREIGN_KEY_CHECKS=0").then(|| settings.into())
}

/// The same, of PostgreSQL, whose foreign keys come behind all rows. Commands are for the client that stays.
fn postgres_session(header: &[u8]) -> Option<Rc<[u8]>> {
    let lines = header.split_inclusive(|&byte| byte == b'\n');
    Some(lines.filter(|line| !line.starts_with(b"\\")).collect::<Vec<_>>().concat().into())
}

/// What a part of a dump is, to those who load it.
enum Way<'p> {
    /// Begins a dump.
    Header,
    Database,
    /// Rows do not matter to it.
    BesideRows,
    /// Makes this table, or is about its rows: the names of directories, from that of the database on.
    Schema(Vec<&'p [u8]>),
    Rows(Vec<&'p [u8]>),
    Triggers,
    /// May need all that was before it.
    BehindRows,
}

impl Way<'_> {
    fn of_mysql(path: &[u8]) -> Way<'_> {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        match names[..] {
            [top, file] if is(top, META_DIRECTORY) && is(file, HEADER_FILE) => Way::Header,
            // The server itself reads these.
            [database, ..] if is(database, "mysql") => Way::BehindRows,
            [_, file] if is(file, DATABASE_FILE) => Way::Database,
            [_, directory, _] if is(directory, SEQUENCES_DIRECTORY) => Way::BesideRows,
            [_, directory, _, file] if is(directory, VIEWS_DIRECTORY) && is(file, STUB_FILE) => Way::BesideRows,
            [database, directory, table, file] if is(directory, TABLES_DIRECTORY) => match file {
                file if is(file, SCHEMA_FILE) => Way::Schema(vec![database, table]),
                file if is(file, DATA_FILE) => Way::Rows(vec![database, table]),
                _ => Way::Triggers,
            },
            _ => Way::BehindRows,
        }
    }

    fn of_postgres(path: &[u8]) -> Way<'_> {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        match names[..] {
            [top, file] if is(top, META_DIRECTORY) && is(file, HEADER_FILE) => Way::Header,
            [_, _, directory, _] if is(directory, SEQUENCES_DIRECTORY) => Way::BesideRows,
            [database, schema, directory, table, file] if is(directory, TABLES_DIRECTORY) => match file {
                file if is(file, SCHEMA_FILE) => Way::Schema(vec![database, schema, table]),
                file if is(file, DATA_FILE) => Way::Rows(vec![database, schema, table]),
                _ => Way::BehindRows,
            },
            _ => Way::BehindRows,
        }
    }
}

fn is(name: &[u8], known: &str) -> bool {
    name == known.as_bytes()
}

/// Puts steps together out of the parts of a dump.
struct Planner<'d> {
    dialect: &'d Dialect,
    steps: Vec<Step>,
    /// What sets up sessions for the rows that come; `None` where those come in order.
    session: Option<Rc<[u8]>>,
    step: Step,
    /// Of tables that have rows the number of the last step that has some, and their place among its rows.
    tables: HashMap<Vec<Vec<u8>>, (usize, usize)>,
}

impl<'d> Planner<'d> {
    fn new(dialect: &'d Dialect) -> Planner<'d> {
        Planner { dialect, steps: Vec::new(), session: None, step: Step::default(), tables: HashMap::new() }
    }

    /// Takes the next part; `read` reads a stretch of the dump.
    fn push(
        &mut self,
        part: &PartLine,
        range: Range<u64>,
        read: &mut impl FnMut(&Range<u64>) -> Result<Vec<u8>>,
    ) -> Result<()> {
        match (self.dialect.way)(part.path) {
            Way::Rows(names) => {
                let table: Vec<_> = names.into_iter().map(<[u8]>::to_vec).collect();
                if let Some(session) = self.session.clone() {
                    self.push_rows(table, session, range);
                    return Ok(());
                }
            }
            Way::Triggers if self.has_rows() => {
                extend(&mut self.step.behind, range);
                return Ok(());
            }
            // Triggers are made under the collation that their database had once.
            Way::Database if self.has_rows() && read(&range)?.trim_ascii().starts_with(b"ALTER DATABASE ") => {
                extend(&mut self.step.behind, range);
                return Ok(());
            }
            Way::Header => {
                self.end_step();
                self.session = (self.dialect.session)(&read(&range)?);
            }
            Way::Schema(names) => {
                let table: Vec<_> = names.into_iter().map(<[u8]>::to_vec).collect();
                let step = self.steps.len();
                if self.tables.get(&table).is_some_and(|(of, _)| *of == step) {
                    self.end_step();
                }
            }
            Way::BehindRows | Way::Database => self.end_step(),
            Way::BesideRows | Way::Triggers => {}
        }
        extend(&mut self.step.in_order, range);
        Ok(())
    }

    fn finish(self) -> DumpSteps {
        let Planner { mut steps, step, .. } = self;
        steps.push(step);
        DumpSteps { steps: steps.into_iter() }
    }

    fn has_rows(&self) -> bool {
        !self.step.at_once.is_empty()
    }

    fn push_rows(&mut self, table: Vec<Vec<u8>>, session: Rc<[u8]>, range: Range<u64>) {
        let (step, rows) = (self.steps.len(), &mut self.step.at_once);
        let known = self.tables.get(&table).filter(|(of, _)| *of == step);
        match known.and_then(|(_, place)| rows.get_mut(*place)) {
            Some(rows) => extend(&mut rows.ranges, range),
            None => {
                self.tables.insert(table.clone(), (step, rows.len()));
                rows.push(TableRows { table, session, ranges: vec![range] });
            }
        }
    }

    /// What comes must wait for the rows that came, if any did.
    fn end_step(&mut self) {
        if self.has_rows() {
            self.steps.push(std::mem::take(&mut self.step));
        }
    }
}
