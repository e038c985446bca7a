//! TableSide: a table as one snapshot has it, before its rows are read.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use crate::dump::layout::DUMP_FILE;
use crate::dump::mysql::{
    MysqlDump, ROW_MARKS, RowEvent, RowMarks, RowReader, TableSchema, columns_of_insert, split_row,
};
use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::{ChunkClass, Content, ContentBody};
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::rows::comparison::SideColumns;
use crate::rows::tables::TableFiles;

/// Bytes that are read at a time.
pub const PIECE_BYTES: usize = 256 << 10;

/// Longest definition of a table, or of all its triggers.
const SCHEMA_MAX_BYTES: u64 = 64 << 20;

/// A dump whose tables are compared.
pub struct DumpSide<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    monitor: &'a dyn Monitor,
    marks: OnceCell<RowMarks>,
}

/// Whether a snapshot is of a dump whose tables statements can change.
pub fn has_statements(snapshot: &Snapshot) -> bool {
    snapshot.manifest.kind == SnapshotKind::Mysql
}

impl<'a> DumpSide<'a> {
    /// Whether a snapshot has rows that can be told apart.
    pub fn has_rows(snapshot: &Snapshot) -> bool {
        snapshot.manifest.kind == SnapshotKind::Mysql
    }

    /// # Errors
    /// [`Error::Invalid`] where the snapshot is of anything else.
    pub fn new(repository: &'a Repository, snapshot: &'a Snapshot, monitor: &'a dyn Monitor) -> Result<DumpSide<'a>> {
        if !DumpSide::has_rows(snapshot) {
            let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
            return Err(Error::invalid(
                "snapshot",
                name,
                "only dumps of MySQL and MariaDB have rows that can be told apart",
            ));
        }
        Ok(DumpSide { repository, snapshot, monitor, marks: OnceCell::new() })
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        self.snapshot.manifest.facts.get(name).map(String::as_str)
    }

    /// How the beginnings of rows are told. Where the ingest did not say, the whole dump has to be read for it.
    pub fn marks(&self) -> Result<RowMarks> {
        if let Some(words) = self.fact(ROW_MARKS) {
            return Ok(RowMarks::from_words(words));
        }
        if let Some(marks) = self.marks.get() {
            return Ok(*marks);
        }
        let marks = self.read_marks()?;
        Ok(*self.marks.get_or_init(|| marks))
    }

    fn read_marks(&self) -> Result<RowMarks> {
        let manifest = &self.snapshot.manifest;
        let name = format!("{}@{}", manifest.source, manifest.name);
        self.monitor.note(&format!("reading all of the dump of {name}, which does not tell where its rows begin"));
        let dump = self.repository.tree()?.lookup_path(&manifest.root, DUMP_FILE.as_bytes())?;
        let dump = dump.as_ref().and_then(|node| node.content());
        let content = dump.ok_or_else(|| Error::NotFound { what: "path", name: format!("{name}:/dump.sql") })?;
        let mut reader = MysqlDump::default();
        self.each_piece(content, &mut |piece| {
            reader.push(piece, &mut |_| {});
            Counters::add(&self.monitor.counters().bytes_read, piece.len() as u64);
            Ok(())
        })?;
        let reason = "its dump changes among its rows how strings are read";
        reader.finish(&mut |_| {}).row_marks.ok_or_else(|| Error::invalid("snapshot", name, reason))
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
    pub marks: RowMarks,
}

impl TableSide {
    pub fn open(dump: &DumpSide, files: Option<&TableFiles>, table: &str) -> Result<TableSide> {
        let marks = dump.marks()?;
        let schema = files.and_then(|files| files.schema.as_ref());
        let schema = TableSchema::read(&dump.text(schema)?, marks.modes);
        let nothing =
            Content { size: 0, data_bytes: 0, class: ChunkClass::Small, body: ContentBody::Inline(Vec::new()) };
        let data = files.and_then(|files| files.data.clone()).unwrap_or(nothing);
        let (has_list, names) = match first_row(dump, &data, marks)? {
            Some(Found::Columns(names)) => (true, names),
            Some(Found::Values(count)) => (false, names_of_values(schema.as_ref(), Some(count), table)?),
            Some(Found::NoRow) => return Err(Error::invalid("table", table, "its first row is none")),
            None => (false, names_of_values(schema.as_ref(), None, table)?),
        };
        Ok(TableSide { schema, data, names, has_list, marks })
    }

    /// Its columns, to compare its rows by.
    pub fn columns(&self) -> SideColumns<'_> {
        let TableSide { schema, names, has_list, marks, .. } = self;
        SideColumns { schema: schema.as_ref(), names: names.clone(), has_list: *has_list, modes: marks.modes }
    }
}

/// What ends the search for the first row.
enum Found {
    Columns(Vec<Vec<u8>>),
    /// The INSERT names none; so many values the first row has.
    Values(usize),
    NoRow,
}

/// The columns of rows with so many values whose INSERT names none.
fn names_of_values(schema: Option<&TableSchema>, count: Option<usize>, table: &str) -> Result<Vec<Vec<u8>>> {
    let Some(schema) = schema else {
        return Ok((1..=count.unwrap_or(0)).map(|number| number.to_string().into_bytes()).collect());
    };
    // An INSERT without a list has values for all columns that show; MySQL's dumps always have one where some are generated.
    let all = schema.columns.iter();
    let shown: Vec<Vec<u8>> = all.clone().filter(|it| !it.is_invisible).map(|it| it.name.clone()).collect();
    let all: Vec<Vec<u8>> = all.map(|it| it.name.clone()).collect();
    match count {
        None => Ok(shown),
        Some(count) if count == shown.len() => Ok(shown),
        Some(count) if count == all.len() => Ok(all),
        Some(count) => {
            let reason = format!("its rows have {count} values, its definition {} columns", all.len());
            Err(Error::invalid("table", table, reason))
        }
    }
}

/// Reads up to the first row; `None` where there is none.
fn first_row(dump: &DumpSide, data: &Content, marks: RowMarks) -> Result<Option<Found>> {
    let (mut reader, mut at, mut piece) = (RowReader::new(marks.modes, false), 0, Vec::new());
    let mut found = None;
    let mut tell = |event: RowEvent| {
        found = Some(match event {
            RowEvent::Insert { text, modes } => match columns_of_insert(text, modes) {
                Some(columns) => Found::Columns(columns),
                None => return Ok(()),
            },
            RowEvent::Row { text, modes, .. } => {
                let mut values = Vec::new();
                if split_row(text, modes, &mut values) { Found::Values(values.len()) } else { Found::NoRow }
            }
        });
        Err(())
    };
    while at < data.size {
        dump.go_on()?;
        piece.clear();
        dump.repository.contents()?.read(data, at, PIECE_BYTES / 16, &mut piece)?;
        if reader.push(&piece, &mut tell).is_err() {
            return Ok(found);
        }
        at += piece.len() as u64;
    }
    let _ = reader.finish(&mut tell);
    Ok(found)
}
