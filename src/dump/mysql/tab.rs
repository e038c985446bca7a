//! TabDirectory: reads what `mysqldump --tab` and `mariadb-dump --tab` write: for each table a file of statements, and one of its
//! rows. It makes the text of them that is printed without that option, so that a client loads it.

mod form;
mod insert;
mod rows;
mod rows_text;
mod statements;

use std::collections::VecDeque;

pub use self::form::{Field, FieldForm, FieldWords};
pub use self::insert::InsertWriter;
pub use self::rows::TabRows;
pub use self::rows_text::{Decoding, RowsText};
pub use self::statements::{StatementFile, in_order_of_needs};

use crate::dump::mysql::session::{FOOTER, header, modes_behind};
use crate::dump::mysql::{bytes_of_bits, table_schema};
use crate::dump::unpack::{ArchiveEnd, DirectoryReader, Output, Tell};
use crate::error::Result;

/// Longest file of statements.
const STATEMENTS_MAX_BYTES: usize = 256 << 20;

/// Behind the lines that tell what was dumped.
const TITLE: &str = "Of a directory with files of statements and of rows";

/// Where a dump has none: the character set and the time zone that rows are in.
const USUAL_SETTINGS: &[u8] = b"/*!40101 SET NAMES utf8mb4 */;\n/*!40103 SET TIME_ZONE='+00:00' */;\n";

/// A file in such a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabFile {
    /// As it is called in the directory.
    pub name: Vec<u8>,
    /// It has rows, of the table that the last file of statements makes; else of this one.
    pub rows_of: Option<Vec<u8>>,
}

/// Reads one directory.
pub struct TabDirectory {
    form: FieldForm,
    files: VecDeque<TabFile>,
    present: Option<TabFile>,
    /// Of the present file, if it is one of statements.
    statements: Vec<u8>,
    /// The table whose rows come next, or are being read.
    table: Option<Table>,
    reading: Option<RowsText>,
    /// The settings that all files have, once one was read.
    settings: Option<Vec<u8>>,
    /// MySQL's own program wrote it.
    is_of_mysql: bool,
    text: Vec<u8>,
    fault: Option<String>,
}

/// A table that was made.
struct Table {
    name: Vec<u8>,
    definition: Vec<u8>,
    behind_rows: Vec<u8>,
    has_rows: bool,
}

impl TabDirectory {
    /// One for these files, in the order in which they load; the rows of a table stand behind what makes it.
    pub fn new(files: Vec<TabFile>, form: FieldForm) -> TabDirectory {
        TabDirectory {
            form,
            files: files.into(),
            present: None,
            statements: Vec::new(),
            table: None,
            reading: None,
            settings: None,
            is_of_mysql: false,
            text: Vec::new(),
            fault: None,
        }
    }

    fn fault_in_present(&mut self, what: &str) {
        let name = self.present.as_ref().map(|file| String::from_utf8_lossy(&file.name).into_owned());
        self.note(format!("{}: {what}", name.unwrap_or_default()));
    }

    fn give(&mut self, least: usize, tell: &mut Tell) -> Result<()> {
        if self.text.len() <= least {
            return Ok(());
        }
        tell(Output::Text(&std::mem::take(&mut self.text)))
    }

    /// The present file of statements has ended.
    fn end_statements(&mut self) {
        self.end_table();
        let file = StatementFile::read(std::mem::take(&mut self.statements));
        if let Some(fault) = file.fault() {
            self.fault_in_present(fault);
        }
        self.begin_text(&file);
        let before_rows = file.before_rows();
        self.text.push(b'\n');
        self.text.extend_from_slice(&before_rows);
        match &file.table {
            Some(name) => {
                let (name, behind_rows, has_rows) = (name.clone(), file.behind_rows(), file.has_rows());
                self.table = Some(Table { name, definition: before_rows, behind_rows, has_rows });
            }
            None => self.text.extend_from_slice(&file.behind_rows()),
        }
    }

    /// What comes before all files is told by the first that has it; all others must have the same.
    fn begin_text(&mut self, file: &StatementFile) {
        let told = file.settings();
        match &self.settings {
            _ if told.is_empty() => {}
            None => self.put_in_front(file.banner(), told),
            Some(settings) if *settings != told => {
                self.fault_in_present("its character set or time zone is another than that of the files before it");
            }
            Some(_) => {}
        }
    }

    /// Tells in front of all what was dumped, and its settings.
    fn put_in_front(&mut self, banner: Vec<u8>, settings: Vec<u8>) {
        self.is_of_mysql = memchr::memmem::find(&banner, b"MySQL dump").is_some();
        self.text = [banner, header(TITLE, &settings), std::mem::take(&mut self.text)].concat();
        self.settings = Some(settings);
    }

    fn put_usual_in_front(&mut self) {
        if self.settings.is_none() {
            self.put_in_front(Vec::new(), USUAL_SETTINGS.to_vec());
        }
    }

    fn begin_rows(&mut self, of: &[u8]) {
        self.put_usual_in_front();
        if self.table.as_ref().is_some_and(|table| table.has_rows) {
            self.fault_in_present("the statements beside it have rows themselves");
            return;
        }
        let (name, definition) = match &self.table {
            Some(table) => (&table.name[..], &table.definition[..]),
            None => (of, &[][..]),
        };
        let modes = modes_behind(self.settings.as_deref().unwrap_or_default());
        let schema = table_schema(definition, modes);
        let writer = InsertWriter::new(name, schema.as_ref(), definition).in_letters(modes.letters);
        let name = name.to_vec();
        let mut lengths = bytes_of_bits(definition, modes);
        if self.is_of_mysql {
            // It leaves out what it computes itself.
            let is_dumped = schema.iter().flat_map(|schema| &schema.columns).map(|column| !column.is_generated);
            lengths = lengths.into_iter().zip(is_dumped).filter(|(_, is)| *is).map(|(length, _)| length).collect();
        }
        self.reading = Some(RowsText::new(&name, TabRows::new(self.form.clone(), lengths), writer, Vec::new()));
    }

    fn push_rows(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        let Some(mut rows) = self.reading.take() else { return Ok(()) };
        match rows.push(piece, &mut self.text, tell)? {
            Some(fault) => {
                rows.finish(&mut self.text);
                self.fault_in_present(&fault);
            }
            None => self.reading = Some(rows),
        }
        Ok(())
    }

    fn end_rows(&mut self) {
        if let Some(rows) = self.reading.take() {
            if !rows.is_between() {
                self.fault_in_present("it ends within a row");
            }
            rows.finish(&mut self.text);
        }
        self.end_table();
    }

    /// All rows of the table were there.
    fn end_table(&mut self) {
        if let Some(table) = self.table.take() {
            self.text.push(b'\n');
            self.text.extend_from_slice(&table.behind_rows);
        }
    }
}

impl DirectoryReader for TabDirectory {
    fn next_file(&mut self) -> Option<Vec<u8>> {
        self.present = self.files.pop_front();
        self.present.as_ref().map(|file| file.name.clone())
    }

    fn is_missing(&mut self, file: &[u8]) {
        self.note(format!("{} is missing", String::from_utf8_lossy(file)));
    }

    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn begin_file(&mut self, _: &mut Tell) -> Result<()> {
        if let Some(TabFile { rows_of: Some(of), .. }) = self.present.clone() {
            self.begin_rows(&of);
        }
        Ok(())
    }

    fn is_in_text(&self) -> bool {
        false
    }

    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        tell(Output::Frame(piece))?;
        match &self.present {
            Some(TabFile { rows_of: Some(_), .. }) => self.push_rows(piece, tell)?,
            _ if self.statements.len() + piece.len() <= STATEMENTS_MAX_BYTES => {
                self.statements.extend_from_slice(piece)
            }
            _ => self.fault_in_present("so many statements are beside no rows"),
        }
        Ok(())
    }

    fn end_file(&mut self, tell: &mut Tell) -> Result<()> {
        match &self.present {
            Some(TabFile { rows_of: Some(_), .. }) => self.end_rows(),
            _ => self.end_statements(),
        }
        // Until its settings are known, nothing of the text can be given.
        if self.settings.is_some() { self.give(0, tell) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd> {
        self.put_usual_in_front();
        self.end_table();
        self.text.extend_from_slice(&[b"\n", FOOTER.as_bytes()].concat());
        if self.fault.is_none() {
            self.text.extend_from_slice(b"\n-- Dump completed\n");
        }
        self.give(0, tell)?;
        Ok(ArchiveEnd {
            fault: self.fault,
            database: None,
            form: Some("files of statements and of rows".into()),
            ..ArchiveEnd::default()
        })
    }
}
