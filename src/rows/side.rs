//! TableSide: a table as one snapshot has it, before its rows are read.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use crate::dump::layout::{DUMP_FILE, FORM, RESTORE_FILE, ROW_MARKS, XML};
use crate::dump::letters::Letters;
use crate::dump::mongo::DocumentForm;
use crate::dump::table::TableSchema;
use crate::dump::{mysql, postgres};
use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::rows::comparison::SideColumns;
use crate::rows::form::{Marks, RowForm, RowReader, Told};
use crate::rows::layout::TableLayout;
use crate::rows::tables::{TableFiles, TablePair};

/// Bytes that are read at a time.
pub const PIECE_BYTES: usize = 256 << 10;

/// At the end of a table's rows so much is looked at for what ends them.
const TAIL_BYTES: u64 = 4 << 10;

/// Longest definition of a table, or of all its triggers.
const SCHEMA_MAX_BYTES: u64 = 64 << 20;

/// A dump whose tables are compared.
pub struct DumpSide<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    monitor: &'a dyn Monitor,
    marks: OnceCell<FoundMarks>,
}

/// What a dump tells that is read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundMarks {
    Alike(DumpMarks),
    /// Rows are read alike, but for the letters of their character sets.
    OfSeveralSets,
    NotAlike,
}

impl FoundMarks {
    fn alike(self) -> Option<DumpMarks> {
        if let FoundMarks::Alike(marks) = self { Some(marks) } else { None }
    }
}

const NOT_ALIKE: &str = "its dump changes among its rows how strings are read";

/// How rows are read and found in a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpMarks {
    Mysql(mysql::RowMarks),
    Postgres(postgres::RowMarks),
    Mongo(DocumentForm),
}

impl DumpMarks {
    /// What a table's files say of it.
    pub fn schema(self, schema: &[u8], post: &[u8]) -> Option<TableSchema> {
        match self {
            DumpMarks::Mysql(marks) => mysql::table_schema(schema, marks.modes),
            DumpMarks::Postgres(marks) => {
                postgres::table_schema(schema, post).map(|schema| schema.in_utf8(marks.strings.letters))
            }
            DumpMarks::Mongo(_) => Some(TableSchema::of_documents()),
        }
    }

    /// Whether what tells of rows in a table of another dump tells of them in this one, too.
    pub fn agree_with(self, marks: &Marks) -> bool {
        match (self, marks) {
            (DumpMarks::Mysql(own), Marks::Mysql(other)) => own == *other && marks.are_known(),
            (DumpMarks::Postgres(_), Marks::Lines(_)) => true,
            _ => false,
        }
    }

    /// How rows are written, before any was seen.
    fn form(self) -> RowForm {
        match self {
            DumpMarks::Mysql(marks) => RowForm::Mysql(marks.modes),
            DumpMarks::Postgres(marks) => RowForm::Postgres(postgres::RowForm::Insert(marks.strings)),
            DumpMarks::Mongo(form) => RowForm::Document(form),
        }
    }
}

/// Whether a snapshot is of a dump, whose tables or collections have rows that can be told apart.
pub fn has_rows(snapshot: &Snapshot) -> bool {
    why_without_rows(snapshot).is_none()
}

fn why_without_rows(snapshot: &Snapshot) -> Option<&'static str> {
    match (snapshot.manifest.kind, snapshot.manifest.facts.get(FORM).map(String::as_str)) {
        (SnapshotKind::Directory | SnapshotKind::Stream, _) => {
            Some("only dumps of databases have rows that can be told apart")
        }
        (_, Some(XML)) => Some("rows of a dump in XML are not told apart"),
        _ => None,
    }
}

impl<'a> DumpSide<'a> {
    /// # Errors
    /// [`Error::Invalid`] where the snapshot is of anything else.
    pub fn new(repository: &'a Repository, snapshot: &'a Snapshot, monitor: &'a dyn Monitor) -> Result<DumpSide<'a>> {
        if let Some(reason) = why_without_rows(snapshot) {
            let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
            return Err(Error::invalid("snapshot", name, reason));
        }
        Ok(DumpSide { repository, snapshot, monitor, marks: OnceCell::new() })
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        self.snapshot.manifest.facts.get(name).map(String::as_str)
    }

    /// The letters of the set that it tells of.
    pub fn letters(&self) -> Letters {
        let facts = &self.snapshot.manifest.facts;
        match self.kind() {
            SnapshotKind::Postgres => Letters::of_facts_of_postgres(facts),
            _ => Letters::of_facts(facts),
        }
    }

    /// Of which database it is.
    pub fn kind(&self) -> SnapshotKind {
        self.snapshot.manifest.kind
    }

    /// Where its tables are.
    pub fn layout(&self) -> TableLayout {
        TableLayout::of(&self.snapshot.manifest)
    }

    /// How the beginnings of rows are told, in all of its tables. Where the ingest did not say, the whole dump has to be read for it.
    pub fn marks(&self) -> Result<DumpMarks> {
        self.marks_of_all()?.alike().ok_or_else(|| Error::invalid("snapshot", self.name(), NOT_ALIKE))
    }

    /// The same of a table. Where tables differ in letters, what restores it has to be read, too.
    pub fn marks_of(&self, pair: &TablePair) -> Result<DumpMarks> {
        if self.marks_of_all()? != FoundMarks::OfSeveralSets {
            return self.marks();
        }
        // Of a table that only the other dump has there is nothing to read.
        let Some(file) = self.restore_file_of(pair)? else { return Ok(DumpMarks::Mysql(mysql::RowMarks::default())) };
        let found = self.read_marks(&file)?;
        found.alike().ok_or_else(|| Error::invalid("table", pair.name(), NOT_ALIKE))
    }

    fn restore_file_of(&self, pair: &TablePair) -> Result<Option<Content>> {
        self.content_of(&[&pair.path()[..], b"/", RESTORE_FILE.as_bytes()].concat())
    }

    /// # Errors
    /// [`Error::Invalid`] where a table of a dump of MySQL is in another character set than `set`, as one of several dumps may be:
    /// statements made of its rows would say something else.
    pub fn check_set_of(&self, pair: &TablePair, set: &str) -> Result<()> {
        let Some(file) = self.restore_file_of(pair)? else { return Ok(()) };
        let mut beginning = Vec::new();
        self.repository.contents()?.read(&file, 0, mysql::BEGINNING_MAX_BYTES, &mut beginning)?;
        match mysql::character_set_of(&beginning) {
            Some(told) if !told.eq_ignore_ascii_case(set) => {
                let reason = format!("its dump is in {told}, what tells how to read values is in {set}");
                Err(Error::invalid("table", pair.name(), reason))
            }
            _ => Ok(()),
        }
    }

    fn marks_of_all(&self) -> Result<FoundMarks> {
        if let TableLayout::Collections(form) = self.layout() {
            return Ok(FoundMarks::Alike(DumpMarks::Mongo(form)));
        }
        if let Some(words) = self.fact(ROW_MARKS) {
            return Ok(FoundMarks::Alike(match self.kind() {
                SnapshotKind::Postgres => DumpMarks::Postgres(postgres::RowMarks::from_words(words)),
                _ => DumpMarks::Mysql(mysql::RowMarks::from_words(words)),
            }));
        }
        if let Some(marks) = self.marks.get() {
            return Ok(*marks);
        }
        let name = self.name();
        self.monitor.note(&format!("reading all of the dump of {name}, which does not tell where its rows begin"));
        let dump = self.content_of(DUMP_FILE.as_bytes())?;
        let dump = dump.ok_or_else(|| Error::NotFound { what: "path", name: format!("{name}:/dump.sql") })?;
        let marks = self.read_marks(&dump)?;
        Ok(*self.marks.get_or_init(|| marks))
    }

    fn name(&self) -> String {
        format!("{}@{}", self.snapshot.manifest.source, self.snapshot.manifest.name)
    }

    fn content_of(&self, path: &[u8]) -> Result<Option<Content>> {
        let node = self.repository.tree()?.lookup_path(&self.snapshot.manifest.root, path)?;
        Ok(node.as_ref().and_then(Node::content).cloned())
    }

    fn read_marks(&self, dump: &Content) -> Result<FoundMarks> {
        let (mut of_mysql, mut of_postgres) = (mysql::MysqlDump::default(), postgres::PostgresDump::default());
        let is_mysql = self.kind() == SnapshotKind::Mysql;
        self.each_piece(dump, &mut |piece| {
            match is_mysql {
                true => of_mysql.push(piece, &mut |_| {}),
                false => of_postgres.push(piece, &mut |_| {}),
            }
            Counters::add(&self.monitor.counters().bytes_read, piece.len() as u64);
            Ok(())
        })?;
        let (marks, differs_in_letters) = if is_mysql {
            let facts = of_mysql.finish(&mut |_| {});
            (facts.row_marks.map(DumpMarks::Mysql), facts.differs_in_letters)
        } else {
            (of_postgres.finish(&mut |_| {}).row_marks.map(DumpMarks::Postgres), false)
        };
        let otherwise = if differs_in_letters { FoundMarks::OfSeveralSets } else { FoundMarks::NotAlike };
        Ok(marks.map_or(otherwise, FoundMarks::Alike))
    }

    /// # Errors
    /// [`Error::Interrupted`] once the user asked to stop.
    pub fn go_on(&self) -> Result<()> {
        if self.monitor.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Gives all bytes of a content to `take`, piece by piece, until the user asks to stop.
    pub fn each_piece(&self, content: &Content, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.repository.contents()?.each_piece(content, 1, |piece| {
            self.go_on()?;
            take(piece).map(ControlFlow::Continue)
        })
    }

    /// The text of a file of a table.
    pub fn text(&self, content: Option<&Content>) -> Result<Vec<u8>> {
        let Some(content) = content else { return Ok(Vec::new()) };
        if content.size > SCHEMA_MAX_BYTES {
            let reason = format!("a definition has {} bytes, more than any server takes", content.size);
            return Err(Error::invalid("snapshot", self.snapshot.manifest.source.clone(), reason));
        }
        let mut text = Vec::new();
        self.repository.contents()?.read(content, 0, content.size as usize, &mut text)?;
        Ok(text)
    }
}

/// A table on one side.
pub struct TableSide {
    pub schema: Option<TableSchema>,
    /// Its rows; empty where it has none.
    pub data: Content,
    /// The columns of its first rows.
    pub names: Vec<Vec<u8>>,
    /// They are named before them.
    pub has_list: bool,
    pub form: RowForm,
    pub marks: Marks,
}

impl TableSide {
    /// The table of one side of a pair, which may lack it.
    pub fn open(dump: &DumpSide, pair: &TablePair, side: usize) -> Result<TableSide> {
        let (files, table) = (pair.sides[side].as_ref(), &pair.name());
        let marks = dump.marks_of(pair)?;
        let text = |content: Option<&Option<Content>>| dump.text(content.and_then(Option::as_ref));
        let schema = text(files.map(|files| &files.schema))?;
        let schema = marks.schema(&schema, &text(files.map(|files| &files.post))?);
        let data = files.and_then(|files| files.data.clone()).unwrap_or_else(Content::empty);
        let form = if pair.is_csv() { form_of_csv(files, table)? } else { marks.form() };
        let first = First::find(dump, &data, form)?;
        let schema = match form {
            RowForm::Csv { .. } => first.names.as_deref().map(TableSchema::of_fields),
            _ => schema,
        };
        let (schema, names) = match &first.names {
            Some(names) => (schema, names.clone()),
            None => names_of_values(schema, first.values, table)?,
        };
        if first.is_no_row {
            return Err(Error::invalid("table", table, "its first row is none"));
        }
        let schema = schema.map(|schema| schema.with_columns(&names));
        let longest = files.and_then(|files| files.longest);
        let of_table = match marks {
            DumpMarks::Mysql(marks) => Marks::Mysql(marks),
            DumpMarks::Postgres(marks) => first.lines(dump, &data, marks)?.map_or(Marks::Unknown, Marks::Lines),
            DumpMarks::Mongo(_) => longest.map_or(Marks::Unknown, Marks::Documents),
        };
        Ok(TableSide { schema, data, names, has_list: first.names.is_some(), form: first.form, marks: of_table })
    }

    /// # Errors
    /// [`Error::Invalid`] where its rows are in other tables, and it can have none itself.
    pub fn refuse_without_rows(&self, table: &str) -> Result<()> {
        match self.schema.as_ref().is_some_and(|schema| schema.is_partitioned) && self.data.size == 0 {
            true => Err(Error::invalid(
                "table",
                table,
                "it is partitioned: its rows are in its parts, which are tables, too",
            )),
            false => Ok(()),
        }
    }

    /// Its columns, to compare its rows by.
    /// Whether its rows have these; where it has no rows, and nothing tells its columns, they might have.
    pub fn has_columns(&self, names: &[Vec<u8>]) -> bool {
        self.names.is_empty() || names.iter().all(|name| self.names.contains(name))
    }

    pub fn columns(&self) -> SideColumns<'_> {
        let TableSide { schema, names, has_list, form, .. } = self;
        SideColumns { schema: schema.as_ref(), names: names.clone(), has_list: *has_list, form: *form }
    }
}

/// How records of CSV stand in a file.
fn form_of_csv(files: Option<&TableFiles>, collection: &str) -> Result<RowForm> {
    match files {
        Some(TableFiles { names: None, data: Some(data), .. }) if data.size > 0 => {
            let reason = "its snapshot does not tell whether its first record has the names of fields";
            Err(Error::invalid("collection", collection, reason))
        }
        Some(TableFiles { names: Some(0), .. }) => Ok(RowForm::Csv { has_names: false }),
        _ => Ok(RowForm::Csv { has_names: true }),
    }
}

/// What is learned of the first row, and of what stands before it.
struct First {
    form: RowForm,
    names: Option<Vec<Vec<u8>>>,
    /// So many values it has, where nothing names them.
    values: Option<usize>,
    is_no_row: bool,
    /// Where it begins.
    start: Option<u64>,
}

/// The columns of rows with so many values that nothing names, and the definition, unless it does not name them either.
fn names_of_values(
    schema: Option<TableSchema>,
    count: Option<usize>,
    table: &str,
) -> Result<(Option<TableSchema>, Vec<Vec<u8>>)> {
    let numbers = || (1..=count.unwrap_or(0)).map(|number| number.to_string().into_bytes()).collect();
    let Some(schema) = schema else { return Ok((None, numbers())) };
    // An INSERT without a list has values for all columns that show; MySQL's dumps always have one where some are generated.
    let all = schema.columns.iter();
    let shown: Vec<Vec<u8>> = all.clone().filter(|it| !it.is_invisible).map(|it| it.name.clone()).collect();
    let all: Vec<Vec<u8>> = all.map(|it| it.name.clone()).collect();
    let names = match count {
        // Those of the other side, whatever they are.
        None if schema.inherits => Vec::new(),
        None => shown,
        Some(count) if count == shown.len() => shown,
        Some(count) if count == all.len() => all,
        // Where columns from elsewhere stand among its own, nothing tells.
        Some(_) if schema.inherits => return Ok((None, numbers())),
        // An empty line is a row without columns, or one of an empty string.
        Some(1) if all.is_empty() => all,
        Some(count) => {
            let reason = format!("its rows have {count} values, its definition {} columns", all.len());
            return Err(Error::invalid("table", table, reason));
        }
    };
    Ok((Some(schema), names))
}

impl First {
    /// Reads up to the first row. Before it is seen, rows are of this form.
    fn find(dump: &DumpSide, data: &Content, form: RowForm) -> Result<First> {
        let (mut reader, mut at, mut piece) = (RowReader::new(form, false), 0, Vec::new());
        let mut first = First { form, names: None, values: None, is_no_row: false, start: None };
        let mut tell = |told: Told| match told {
            Told::Columns(names, form) => {
                (first.names, first.form) = (names, form);
                Ok(())
            }
            Told::Row { start, text } => {
                let mut values = Vec::new();
                first.is_no_row = !first.form.split(text, &mut values);
                (first.values, first.start) = (Some(values.len()), Some(start));
                Err(())
            }
        };
        while at < data.size {
            dump.go_on()?;
            piece.clear();
            dump.repository.contents()?.read(data, at, PIECE_BYTES / 16, &mut piece)?;
            match reader.push(&piece, &mut tell) {
                Ok(true) => {}
                Ok(false) => return Ok(First { is_no_row: true, ..first }),
                Err(()) => return Ok(first),
            }
            at += piece.len() as u64;
        }
        let _ = reader.finish(&mut tell);
        Ok(first)
    }

    /// Where each line is a row, if that is so anywhere.
    fn lines(&self, dump: &DumpSide, data: &Content, marks: postgres::RowMarks) -> Result<Option<Range<u64>>> {
        let is_copied = matches!(self.form, RowForm::Postgres(postgres::RowForm::Copy(_)));
        let Some(start) = self.start.filter(|_| marks.lines && is_copied) else { return Ok(None) };
        let (at, mut text) = (data.size.saturating_sub(TAIL_BYTES), Vec::new());
        dump.repository.contents()?.read(data, at, TAIL_BYTES as usize, &mut text)?;
        let end = postgres::RowMarks::end_of_rows(&text).map(|end| at + end as u64);
        Ok(end.filter(|end| *end >= start).map(|end| start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::content::ContentBody;

    #[test]
    fn csv_is_not_read_where_nothing_tells_whether_it_has_names() {
        let data = Content { size: 2, body: ContentBody::Inline(b"1\n".to_vec()), ..Content::empty() };
        let files = |names| TableFiles { data: Some(data.clone()), is_csv: true, names, ..TableFiles::default() };
        let form = |names| form_of_csv(Some(&files(names)), "shop.orders").ok();
        assert_eq!(form(None), None);
        assert_eq!(form(Some(0)), Some(RowForm::Csv { has_names: false }));
        assert_eq!(form(Some(4)), Some(RowForm::Csv { has_names: true }));
        assert_eq!(form_of_csv(None, "shop.orders").ok(), Some(RowForm::Csv { has_names: true }));
    }
}
