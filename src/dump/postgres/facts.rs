//! What is learned of a dump besides its parts.

use crate::dump::letters::Letters;
use crate::dump::postgres::row_marks::RowMarks;
use crate::dump::postgres::settings::Settings;
use crate::dump::postgres::strings::client_encoding;

/// What the end of a dump shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DumpEnd {
    /// It ends within a statement or a comment.
    InStatement,
    /// It ends within the rows of a table.
    InRows,
    /// It does not have the line that such dumps end with.
    NoTrailer,
    /// Another dump, or the end of all of them, follows one that has no such line.
    NoTrailerInside,
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
    /// It is a dump of MySQL or MariaDB.
    pub is_of_mysql: bool,
}

/// What dumps of MySQL and MariaDB begin with.
const BEGINNINGS_OF_MYSQL: [&[u8]; 4] = [b"-- MySQL dump ", b"-- MariaDB dump ", b"/*!999999\\-", b"/*M!999999\\-"];

/// So many bytes tell what begins with them.
pub const BEGINNING_BYTES: usize = 16;

/// Whether a dump of MySQL or MariaDB begins so.
pub fn is_of_mysql(first: &[u8]) -> bool {
    BEGINNINGS_OF_MYSQL.iter().any(|beginning| first.starts_with(beginning))
}

impl DumpFacts {
    /// Those that the dump is in.
    pub fn letters(&self) -> Letters {
        self.character_set.as_ref().map_or(Letters::Plain, |name| Letters::of_postgres(name.as_bytes()))
    }

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
        if self.character_set.is_none() {
            let told = client_encoding(text);
            self.character_set = told.map(|name| shown(&name)).filter(|name| !name.is_empty());
        }
    }
}

/// The longest text that is shown.
const SHOWN_MAX_BYTES: usize = 256;

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(SHOWN_MAX_BYTES)]).trim().to_string()
}
