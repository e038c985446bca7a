//! ShellDirectory: reads what MySQL Shell writes (`util.dumpInstance`, `dumpSchemas`, `dumpTables`): statements and rows in files of
//! their own, of which manifests tell. It makes the text that `mysqldump` would print, so that a client loads it.

mod manifest;

use std::collections::VecDeque;

pub use self::manifest::{DoneManifest, DumpManifest, SchemaManifest, TableManifest};

use crate::dump::mysql::session::{FOOTER, header, modes_behind, told_settings};
use crate::dump::mysql::tab::{Decoding, FieldForm, InsertWriter, RowsText, StatementFile, TabRows};
use crate::dump::mysql::table_schema;
use crate::dump::mysql::words::{QuoteModes, quoted_name};
use crate::dump::unpack::{ArchiveEnd, DirectoryReader, Output, Tell};
use crate::error::Result;

/// Longest file of statements.
const STATEMENTS_MAX_BYTES: usize = 256 << 20;

/// Behind the lines that tell what was dumped.
const TITLE: &str = "Of a directory that MySQL Shell filled";

/// A table whose rows are in files of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellTable {
    pub name: Vec<u8>,
    pub form: FieldForm,
    /// The columns of the values of its rows, and how these are written; none where that is not told.
    pub columns: Vec<Vec<u8>>,
    pub decodings: Vec<Option<Decoding>>,
}

/// What comes next in the order of loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellStep {
    /// What follows is in this database, which no file makes.
    Use(Vec<u8>),
    /// A file of statements.
    Statements { file: Vec<u8> },
    /// The next files have rows of this table.
    Table(ShellTable),
    /// Some of these rows, and how many bytes they are, if that is told.
    Rows { file: Vec<u8>, bytes: Option<u64> },
}

/// Reads one directory.
pub struct ShellDirectory {
    steps: VecDeque<ShellStep>,
    present: Option<ShellStep>,
    /// Bytes of the present file.
    length: u64,
    /// Of the present file, if it is one of statements.
    statements: Vec<u8>,
    /// What made the last table.
    definition: Vec<u8>,
    rows: Option<RowsText>,
    modes: QuoteModes,
    text: Vec<u8>,
    fault: Option<String>,
}

impl ShellDirectory {
    /// One that goes these steps. `preamble` is what the dump's file of settings has, `fault` what shows already that it is not whole.
    pub fn new(
        manifest: &DumpManifest,
        preamble: &[u8],
        steps: Vec<ShellStep>,
        fault: Option<String>,
    ) -> ShellDirectory {
        let settings = settings(manifest, preamble);
        ShellDirectory {
            steps: steps.into(),
            present: None,
            length: 0,
            statements: Vec::new(),
            definition: Vec::new(),
            rows: None,
            modes: modes_behind(&settings),
            text: front(manifest, &settings),
            fault,
        }
    }

    fn fault_in_present(&mut self, what: &str) {
        let file = match &self.present {
            Some(ShellStep::Statements { file } | ShellStep::Rows { file, .. }) => &file[..],
            _ => b"",
        };
        self.note(format!("{}: {what}", String::from_utf8_lossy(file)));
    }

    fn end_statements(&mut self) {
        let file = StatementFile::read(std::mem::take(&mut self.statements));
        if file.table.is_some() {
            self.definition = file.before_rows();
        }
        let content = file.content();
        self.text.push(b'\n');
        self.text.extend_from_slice(content.trim_ascii());
        self.text.push(b'\n');
    }

    fn begin_table(&mut self, table: ShellTable) {
        let definition = std::mem::take(&mut self.definition);
        let schema = table_schema(&definition, self.modes);
        let mut writer = InsertWriter::new(&table.name, schema.as_ref(), &definition).in_letters(self.modes.letters);
        if !table.columns.is_empty() {
            writer = writer.of_columns(table.columns);
        }
        let rows = TabRows::new(table.form, Vec::new());
        self.rows = Some(RowsText::new(&table.name, rows, writer, table.decodings));
    }

    fn end_table(&mut self) {
        if let Some(rows) = self.rows.take() {
            rows.finish(&mut self.text);
        }
    }

    fn end_rows(&mut self, bytes: Option<u64>) {
        if self.rows.as_ref().is_some_and(|rows| !rows.is_between()) {
            self.fault_in_present("it ends within a row");
            self.end_table();
        }
        if let Some(bytes) = bytes.filter(|bytes| *bytes != self.length) {
            self.fault_in_present(&format!("it has {} bytes of rows, and {bytes} are told", self.length));
        }
    }
}

/// The character set and the time zone of a dump whose file of settings has this.
fn settings(manifest: &DumpManifest, preamble: &[u8]) -> Vec<u8> {
    let mut settings = told_settings(preamble);
    if settings.is_empty() {
        let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let character_set = Some(&manifest.character_set[..]).filter(is_name).unwrap_or("utf8mb4");
        settings = format!("/*!50503 SET NAMES {character_set} */;\n").into_bytes();
        if manifest.is_in_utc {
            settings.extend_from_slice(b"/*!40103 SET TIME_ZONE='+00:00' */;\n");
        }
    }
    settings
}

/// What comes before all files.
fn front(manifest: &DumpManifest, settings: &[u8]) -> Vec<u8> {
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let (dumper, version) = (one_line(&manifest.dumper), one_line(&manifest.server_version));
    let banner = format!("-- MySQL dump by {dumper}\n-- Server version\t{version}\n\n");
    [banner.as_bytes(), &header(TITLE, settings), &coordinates(manifest)].concat()
}

/// Where the binary log stood, in the words of `mysqldump`, as comments.
fn coordinates(manifest: &DumpManifest) -> Vec<u8> {
    let is_plain = |text: &str| !text.contains(['\'', '\\', '\n', '\r']);
    let mut text = String::new();
    if let Some((file, position)) = manifest.binlog.as_ref().filter(|(file, _)| is_plain(file)) {
        text.push_str("\n--\n-- Position to start replication or point-in-time recovery from\n--\n\n");
        text.push_str(&format!("-- CHANGE MASTER TO MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position};\n"));
    }
    let gtid = manifest.gtid.as_ref().map(|gtid| gtid.split_ascii_whitespace().collect::<String>());
    if let Some(gtid) = gtid.filter(|gtid| is_plain(gtid)) {
        text.push_str("\n--\n-- GTID state at the beginning of the backup\n--\n\n");
        text.push_str(&format!("-- SET @@GLOBAL.GTID_PURGED='{gtid}';\n"));
    }
    text.into_bytes()
}

impl DirectoryReader for ShellDirectory {
    fn next_file(&mut self) -> Option<Vec<u8>> {
        while let Some(step) = self.steps.pop_front() {
            if !matches!(step, ShellStep::Rows { .. }) {
                self.end_table();
            }
            match step {
                ShellStep::Use(database) => {
                    let name = quoted_name(&database, b'`', self.modes.letters);
                    let parts: [&[u8]; 5] = [b"\n--\n-- Current Database: ", &name, b"\n--\n\nUSE ", &name, b";\n"];
                    self.text.extend(parts.concat());
                }
                ShellStep::Table(table) => self.begin_table(table),
                ShellStep::Statements { ref file } | ShellStep::Rows { ref file, .. } => {
                    let file = file.clone();
                    (self.present, self.length) = (Some(step), 0);
                    return Some(file);
                }
            }
        }
        self.end_table();
        None
    }

    fn is_missing(&mut self, file: &[u8]) {
        self.note(format!("{} is missing", String::from_utf8_lossy(file)));
    }

    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn begin_file(&mut self, _: &mut Tell) -> Result<()> {
        Ok(())
    }

    fn is_in_text(&self) -> bool {
        false
    }

    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        tell(Output::Frame(piece))?;
        self.length += piece.len() as u64;
        match &self.present {
            Some(ShellStep::Rows { .. }) => {
                let Some(rows) = &mut self.rows else { return Ok(()) };
                if let Some(fault) = rows.push(piece, &mut self.text, tell)? {
                    self.end_table();
                    self.fault_in_present(&fault);
                }
            }
            _ if self.statements.len() + piece.len() <= STATEMENTS_MAX_BYTES => {
                self.statements.extend_from_slice(piece)
            }
            _ => self.fault_in_present("no file of statements is so long"),
        }
        Ok(())
    }

    fn end_file(&mut self, tell: &mut Tell) -> Result<()> {
        match self.present {
            Some(ShellStep::Rows { bytes, .. }) => self.end_rows(bytes),
            _ => self.end_statements(),
        }
        tell(Output::Text(&std::mem::take(&mut self.text)))
    }

    fn finish(mut self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd> {
        self.end_table();
        self.text.extend_from_slice(&[b"\n", FOOTER.as_bytes()].concat());
        if self.fault.is_none() {
            self.text.extend_from_slice(b"\n-- Dump completed\n");
        }
        tell(Output::Text(&self.text))?;
        let form = Some("a directory of MySQL Shell".into());
        Ok(ArchiveEnd { fault: self.fault, form, lists_files: true, ..ArchiveEnd::default() })
    }
}
