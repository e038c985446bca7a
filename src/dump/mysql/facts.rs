//! What a dump says of itself: by which program and server it was made, where the server's binary log stood, whether it is
//! complete.

use crate::dump::letters::Letters;
use crate::dump::mysql::modes::tells_set;
use crate::dump::mysql::row_marks::RowMarks;
use crate::dump::mysql::words::{QuoteModes, Word, Words};

/// Longest fact that is kept; a set of GTIDs can be long.
const FACT_MAX_BYTES: usize = 64 << 10;

/// Longest collection of settings that is kept.
const SETTINGS_MAX_BYTES: usize = 64 << 10;

/// Whose binary log the coordinates are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatesOf {
    /// The server that was dumped.
    Server,
    /// The one that it replicates from.
    Primary,
}

impl CoordinatesOf {
    /// The word that people see.
    pub fn name(self) -> &'static str {
        match self {
            CoordinatesOf::Server => "server",
            CoordinatesOf::Primary => "primary",
        }
    }
}

/// Where replication would go on from this dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coordinates {
    /// With both servers' coordinates, those that are told first count: that is the server's own.
    pub of: Option<CoordinatesOf>,
    pub file: Option<String>,
    pub position: Option<u64>,
    /// Empty where the server has none of its own, and its primary's may follow.
    pub gtid: Option<String>,
}

/// What is known of a dump at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpFacts {
    /// `MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)`.
    pub program: Option<String>,
    pub server_version: Option<String>,
    pub character_set: Option<String>,
    /// The one database that the banner names, or the first of several.
    pub banner_database: Option<Vec<u8>>,
    pub coordinates: Coordinates,
    /// The session of the last dump, or of all.
    pub session: Session,
    /// Those of dumps before it that had other settings.
    pub sessions_before: Vec<Session>,
    /// How the beginning of a row is told; `None` where not all rows are read the same way.
    pub row_marks: Option<RowMarks>,
    /// They are not, but for letters alone.
    pub differs_in_letters: bool,
    pub end: DumpEnd,
}

/// What a dump sets for its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Where the first dump begins that has it.
    pub start: u64,
    /// The settings at the beginning, and what sets them back, as statements. Nothing about logs and replication.
    pub settings: Vec<u8>,
    pub resettings: Vec<u8>,
}

/// How a dump ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DumpEnd {
    /// With the line or the statement that end every dump of its kind.
    Trailer,
    /// Between statements, and nothing shows that anything is missing: such dumps have no trailer.
    Unmarked,
    /// Without the trailer that its beginning promises.
    #[default]
    NoTrailer,
    /// Another dump follows one without the trailer that its beginning promises.
    NoTrailerInside,
    /// Within a statement.
    InStatement,
}

/// Of more sessions that differ, the oldest count as part of the one behind them.
const SESSIONS_MAX: usize = 1000;

impl DumpFacts {
    /// The session of a dump ends, and that of the next begins.
    pub fn next_session(&mut self, start: u64) {
        let ended = std::mem::replace(&mut self.session, Session { start, ..Session::default() });
        let is_other = |last: &Session| (&last.settings, &last.resettings) != (&ended.settings, &ended.resettings);
        if self.sessions_before.last().is_none_or(is_other) {
            self.sessions_before.push(ended);
            let more = self.sessions_before.len().saturating_sub(SESSIONS_MAX);
            self.sessions_before.drain(..more);
        }
    }

    /// The session that is present at a place.
    pub fn session_at(&self, place: u64) -> &Session {
        if self.session.start <= place {
            return &self.session;
        }
        let behind = self.sessions_before.partition_point(|session| session.start <= place);
        self.sessions_before.get(behind.saturating_sub(1)).unwrap_or(&self.session)
    }

    /// Keeps a statement for the settings, or for what sets them back.
    pub fn keep_setting(settings: &mut Vec<u8>, statement: &[u8]) {
        if settings.len() + statement.len() < SETTINGS_MAX_BYTES {
            settings.extend_from_slice(statement.trim_ascii());
            settings.extend_from_slice(b";\n");
        }
    }

    /// Reads `SET NAMES`, or `SET CHARACTER SET`, and gives the letters that it tells of.
    pub fn note_character_set(&mut self, statement: &[u8]) -> Option<Letters> {
        let mut words = Words::new(statement, QuoteModes::default());
        if !words.pass("SET") || !words.next().is_some_and(|word| tells_set(&word, &mut words)) {
            return None;
        }
        let name = character_set(&mut words)?;
        self.character_set.get_or_insert_with(|| shown(name));
        Some(Letters::of(name))
    }
}

/// The character set that the next word names.
fn character_set<'a>(words: &mut Words<'a>) -> Option<&'a [u8]> {
    match words.next() {
        Some(Word::Plain(name) | Word::Text(name)) => Some(name),
        _ => None,
    }
}

impl Coordinates {
    /// Reads a statement about replication, or a comment that holds one or tells of the next.
    pub fn note(&mut self, text: &[u8]) {
        let contains = |needle: &str| text.windows(needle.len()).any(|window| window == needle.as_bytes());
        if ["of this slave", "of this replica", "SHOW SLAVE STATUS"].into_iter().any(contains) {
            self.of.get_or_insert(CoordinatesOf::Primary);
        }
        let mut words = Words::new(text, QuoteModes::default());
        while let Some(word) = words.next() {
            let Word::Plain(word) = word else { continue };
            let name = word.to_ascii_uppercase();
            if (name.ends_with(b"_LOG_FILE") || name.ends_with(b"_LOG_POS")) && words.pass_symbol(b'=') {
                self.note_place(&name, words.next());
            } else if name == b"GTID_SLAVE_POS" || name.ends_with(b"GTID_PURGED") {
                let gtid = words.find_map(|word| match word {
                    // `GTID_PURGED=/*!80000 '+'*/ '...'`, and `'+...'`, which add to what the server has.
                    Word::Text(gtid) if gtid != b"+" => Some(without_breaks(gtid.strip_prefix(b"+").unwrap_or(gtid))),
                    _ => None,
                });
                self.gtid = self.gtid.take().or(gtid);
                self.of.get_or_insert(CoordinatesOf::Server);
                return;
            }
        }
    }

    fn note_place(&mut self, name: &[u8], value: Option<Word>) {
        // The first is that of the server; with several primaries, that of the first.
        match value {
            Some(Word::Text(file)) if name.ends_with(b"FILE") && self.file.is_none() => self.file = Some(shown(file)),
            Some(Word::Plain(digits)) if name.ends_with(b"POS") && self.position.is_none() => {
                self.position = shown(digits).parse().ok();
            }
            _ => {}
        }
        self.of.get_or_insert(CoordinatesOf::Server);
    }
}

/// A fact as text.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(FACT_MAX_BYTES)]).into_owned()
}

/// A set of GTIDs may stand on several lines.
fn without_breaks(gtid: &[u8]) -> String {
    let compact: Vec<u8> = gtid.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    shown(&compact)
}
