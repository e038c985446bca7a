//! What is learned of a dump besides its parts.

use crate::dump::postgres::row_marks::RowMarks;
use crate::dump::postgres::settings::Settings;
use crate::dump::postgres::words::Words;

/// What the end of a dump shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DumpEnd {
    /// It ends within a statement or a comment.
    InStatement,
    /// It ends within the rows of a table.
    InRows,
    /// It does not have the line that such dumps end with.
    NoTrailer,
    /// It has neither the first line of dumps nor the last.
    #[default]
    Unmarked,
    /// It ends as complete dumps do.
    Trailer,
}

/// What a dump tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpFacts {
    pub server_version: Option<String>,
    pub program: Option<String>,
    pub character_set: Option<String>,
    /// How many tables it makes.
    pub tables: u64,
    pub settings: Settings,
    /// How the beginning of a row is told; `None` where not all rows are read the same way.
    pub row_marks: Option<RowMarks>,
    pub end: DumpEnd,
    /// What it is, if it is no text of PostgreSQL.
    pub other: Option<Other>,
}

/// What may be taken for a dump of PostgreSQL as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// What `pg_dump` writes for `pg_restore`.
    Archive,
    /// A dump of MySQL or MariaDB.
    Mysql,
}

/// What others begin with.
const BEGINNINGS: [(&[u8], Other); 6] = [
    (b"PGDMP", Other::Archive),
    (b"toc.dat\0", Other::Archive),
    (b"-- MySQL dump ", Other::Mysql),
    (b"-- MariaDB dump ", Other::Mysql),
    (b"/*!999999\\-", Other::Mysql),
    (b"/*M!999999\\-", Other::Mysql),
];

/// So many bytes tell what begins with them.
pub const BEGINNING_BYTES: usize = 16;

impl Other {
    /// What begins with these bytes.
    pub fn beginning_with(bytes: &[u8]) -> Option<Other> {
        BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, other)| *other)
    }
}

impl DumpFacts {
    /// Takes note of a comment.
    pub fn note_comment(&mut self, text: &[u8]) {
        if let Some(version) = text.strip_prefix(b"-- Dumped from database version ") {
            self.server_version.get_or_insert_with(|| shown(version));
        }
        if let Some(program) = text.strip_prefix(b"-- Dumped by ") {
            self.program.get_or_insert_with(|| shown(program).replacen(" version", "", 1));
        }
    }

    /// Takes note of a `SET`.
    pub fn note_setting(&mut self, start: u64, text: &[u8]) {
        self.settings.note(start, text);
        let mut words = Words::new(text);
        if self.character_set.is_none() && words.pass_all(&["SET", "client_encoding"]) {
            self.character_set = words.find_map(|word| word.text().map(shown));
        }
    }
}

/// The longest text that is shown.
const SHOWN_MAX_BYTES: usize = 256;

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(SHOWN_MAX_BYTES)]).trim().to_string()
}
