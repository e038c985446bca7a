//! What a statement, or a comment between statements, means for the structure of a dump.

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::part::{Need, NeedKind, PartKind};
use crate::dump::mysql::words::{QuoteModes, Word, Words};

/// Where a statement belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs {
    /// To a part of this kind, of the object of this name; where it names its database too, to that one's.
    To { kind: PartKind, database: Option<Vec<u8>>, name: Vec<u8> },
    /// To the part about this database; what follows is in it.
    ToDatabase(Vec<u8>),
    /// To the part about the present database, unless it is among what comes before an object.
    AroundObject,
    /// To whatever the next statement belongs to that tells.
    ToNext,
    /// To whatever the one before belongs to.
    ToPrevious,
}

/// The statement `text` begins so; a long one may be cut.
pub fn statement(text: &[u8], modes: QuoteModes) -> Belongs {
    let mut words = Words::new(text, modes);
    let Some(first) = words.next() else { return Belongs::ToPrevious };
    let Word::Plain(verb) = first else { return Belongs::ToPrevious };
    match verb.to_ascii_uppercase().as_slice() {
        b"INSERT" | b"REPLACE" => inserted(words),
        b"SET" => set(words),
        b"CREATE" => created(words),
        b"DROP" => dropped(words),
        b"LOCK" => named(PartKind::Data, words.skip_to(&["TABLES", "TABLE"])),
        b"ALTER" => altered(words),
        b"USE" => words
            .next()
            .and_then(|word| word.name())
            .map_or(Belongs::ToPrevious, |name| Belongs::ToDatabase(name.into_owned())),
        b"DO" | b"SELECT" => selected(words),
        b"GRANT" | b"REVOKE" => of_all(PartKind::Grants),
        b"CHANGE" | b"START" | b"STOP" => of_all(PartKind::Coordinates),
        b"INSTALL" => of_all(PartKind::Plugins),
        _ => Belongs::ToPrevious,
    }
}

fn of_all(kind: PartKind) -> Belongs {
    Belongs::To { kind, database: None, name: Vec::new() }
}

/// What belongs to the object whose name comes next.
fn named(kind: PartKind, words: Option<Words>) -> Belongs {
    match words.and_then(|mut words| words.qualified_name()) {
        Some((database, name)) => Belongs::To { kind, database, name },
        None => Belongs::ToPrevious,
    }
}

fn inserted(words: Words) -> Belongs {
    named(PartKind::Data, words.skip_to(&["INTO"]))
}

/// Only the words around the name of what is created are looked at.
fn created(mut words: Words) -> Belongs {
    let whole = words.clone();
    let mut is_plain = true;
    while let Some(word) = words.next() {
        let Word::Plain(word) = word else { continue };
        let kind = match word.to_ascii_uppercase().as_slice() {
            b"TABLE" => PartKind::Schema,
            b"VIEW" if is_plain => {
                return named(PartKind::ViewStub, Some(words.in_letters_of_session().past_if_exists()));
            }
            b"VIEW" => PartKind::View,
            b"TRIGGER" => return triggered(words),
            b"PROCEDURE" => PartKind::Procedure,
            b"FUNCTION" if whole.clone().any(|word| word.is("SONAME")) => return of_all(PartKind::Plugins),
            b"FUNCTION" => PartKind::Function,
            b"PACKAGE" if words.pass("BODY") => PartKind::PackageBody,
            b"PACKAGE" => PartKind::Package,
            b"EVENT" => PartKind::Event,
            b"SEQUENCE" => PartKind::Sequence,
            b"USER" => return of_all(PartKind::Users),
            b"ROLE" => return of_all(PartKind::Roles),
            b"SERVER" => return of_all(PartKind::Servers),
            b"TABLESPACE" | b"LOGFILE" => return of_all(PartKind::Tablespaces),
            b"DATABASE" | b"SCHEMA" => {
                return match named(PartKind::Database, Some(words.past_if_exists())) {
                    Belongs::To { name, .. } => Belongs::ToDatabase(name),
                    other => other,
                };
            }
            // A view that is final says how and for whom it is.
            _ => {
                is_plain = false;
                continue;
            }
        };
        return named(kind, Some(words.past_if_exists()));
    }
    Belongs::ToPrevious
}

/// `CREATE TRIGGER name BEFORE INSERT ON table`.
fn triggered(mut words: Words) -> Belongs {
    words = words.past_if_exists();
    words.qualified_name();
    named(PartKind::Triggers, words.skip_to(&["ON"]))
}

/// The triggers that these statements make.
pub fn trigger_names(text: &[u8], modes: QuoteModes) -> Vec<Vec<u8>> {
    let mut names = Names::default();
    let mut lexer = Lexer::reading(modes, false);
    lexer.push(text, &mut names);
    lexer.finish(&mut names);
    names.0
}

/// The text that the first statement sets a variable of this name to, given in upper case.
pub fn setting(text: &[u8], variable: &str) -> Option<Vec<u8>> {
    let mut words = Words::new(text, QuoteModes::default());
    while let Some(word) = words.next() {
        if word.is(variable)
            && words.pass_symbol(b'=')
            && let Some(Word::Text(value)) = words.next()
        {
            return Some(value.to_vec());
        }
    }
    None
}

/// Names of triggers.
#[derive(Default)]
struct Names(Vec<Vec<u8>>);

impl Sink for Names {
    fn statement(&mut self, _: u64, text: &[u8], modes: QuoteModes) {
        let mut words = Words::new(text, modes);
        if words.pass("CREATE") {
            let name = words.skip_to(&["TRIGGER"]).and_then(|words| words.past_if_exists().qualified_name());
            self.0.extend(name.map(|(_, name)| name));
        }
    }
}

fn dropped(mut words: Words) -> Belongs {
    // The role that a dump of users makes for itself.
    if words.pass("ROLE") { Belongs::ToPrevious } else { Belongs::ToNext }
}

fn altered(mut words: Words) -> Belongs {
    if words.pass("DATABASE") {
        return Belongs::AroundObject;
    }
    let is_about_keys = words.clone().any(|word| word.is("KEYS"));
    if words.pass("TABLE") && is_about_keys { named(PartKind::Data, Some(words)) } else { Belongs::ToPrevious }
}

/// `DO SETVAL(name, 10, 0)`, and what a dump of roles begins with.
fn selected(mut words: Words) -> Belongs {
    if words.pass("SETVAL") && words.pass_symbol(b'(') {
        return named(PartKind::Sequence, Some(words));
    }
    if words.any(|word| word.is("CURRENT_ROLE")) { of_all(PartKind::Roles) } else { Belongs::ToPrevious }
}

fn set(words: Words) -> Belongs {
    let first = words.clone().next();
    if first.is_some_and(|word| word.is("ROLE") || word.is("DEFAULT") || word.is("PASSWORD")) {
        return Belongs::ToPrevious;
    }
    if is_about_replication(words.clone()) {
        return of_all(PartKind::Coordinates);
    }
    let mut is_assigned = false;
    let mut found = Belongs::ToNext;
    for word in words {
        if word == Word::Symbol(b'=') {
            is_assigned = true;
            continue;
        }
        let Word::Plain(variable) = word else { continue };
        let variable = variable.to_ascii_uppercase();
        match (variable.starts_with(b"@OLD_"), is_assigned) {
            // Rows come after what saves the mode, and before what sets it back.
            _ if variable == b"AUTOCOMMIT" => return Belongs::ToPrevious,
            _ if variable.ends_with(b"AUTOCOMMIT") => return found,
            (true, false) => return of_all(PartKind::Header),
            (true, true) => return of_all(PartKind::Footer),
            // What mysqldump and mydumper set back behind a routine or a trigger.
            (false, true) if variable.starts_with(b"@SAVE") || variable.starts_with(b"@PREV_") => {
                found = Belongs::ToPrevious
            }
            _ => {}
        }
    }
    found
}

/// Whether a `SET` is about logs and replication, or the whole server: it must never be part of what restores a table.
fn is_about_replication(words: Words) -> bool {
    replication_variable(words.clone()).is_some() || has_variable(words, "GLOBAL")
}

/// The variable about logs and replication that a `SET` names behind that word.
pub fn replication_variable(words: Words) -> Option<&'static str> {
    const VARIABLES: [&str; 5] =
        ["GTID_SLAVE_POS", "GTID_PURGED", "SQL_LOG_BIN", "SQL_LOG_OFF", "MYSQLDUMP_TEMP_LOG_BIN"];
    VARIABLES.into_iter().find(|variable| has_variable(words.clone(), variable))
}

fn has_variable(mut words: Words, variable: &str) -> bool {
    words.any(|word| match word {
        Word::Plain(word) => {
            let name = word.rsplit(|&byte| byte == b'@').next().unwrap_or_default();
            name.eq_ignore_ascii_case(variable.as_bytes())
        }
        _ => false,
    })
}

/// Of more needs of one table the rest is left out: no server allows so many.
pub const NEEDS_MAX: usize = 1000;

/// What must be there before a table can be made: the tables that its foreign keys name, and sequences.
pub fn needs_of_table(text: &[u8], modes: QuoteModes) -> Vec<Need> {
    let mut words = Words::new(text, modes);
    let mut needs = Vec::new();
    while needs.len() < NEEDS_MAX
        && let Some(word) = words.next()
    {
        let kind = if word.is("REFERENCES") {
            NeedKind::Table
        } else if (word.is("NEXTVAL") || word.is("LASTVAL")) && words.pass_symbol(b'(') {
            NeedKind::Sequence
        } else {
            continue;
        };
        if let Some((database, name)) = words.qualified_name() {
            let need = Need { kind, database, name };
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
    }
    needs
}

/// What a comment between statements says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark<'a> {
    /// A part of this kind follows, of the object of this name (as far as its line tells).
    Opens {
        kind: PartKind,
        name: &'a [u8],
    },
    /// The dump begins; this tells with what program it was made.
    Banner(&'a [u8]),
    /// It turns on the client's sandbox mode, before all else.
    Sandbox,
    ServerVersion(&'a [u8]),
    DatabaseOfBanner(&'a [u8]),
    /// The dump is complete.
    Trailer,
    /// It is about replication.
    Replication(&'a [u8]),
    Other,
}

const TITLES: [(&str, PartKind); 9] = [
    ("-- Current Database: ", PartKind::Database),
    ("-- Sequence structure for ", PartKind::Sequence),
    ("-- Table structure for table ", PartKind::Schema),
    ("-- Dumping data for table ", PartKind::Data),
    ("-- Temporary table structure for view ", PartKind::ViewStub),
    ("-- Temporary view structure for view ", PartKind::ViewStub),
    ("-- Final view structure for view ", PartKind::View),
    ("-- Dumping events for database ", PartKind::Database),
    ("-- Dumping routines for database ", PartKind::Database),
];

/// What this comment says.
pub fn remark(text: &[u8]) -> Remark<'_> {
    for (title, kind) in TITLES {
        if let Some(name) = text.strip_prefix(title.as_bytes()) {
            return Remark::Opens { kind, name: name.trim_ascii_end() };
        }
    }
    if text.starts_with(b"/*") {
        return Remark::Sandbox;
    }
    if let Some(title) = text.strip_prefix(b"-- ") {
        if title.starts_with(b"MySQL dump ") || title.starts_with(b"MariaDB dump ") {
            return Remark::Banner(title.trim_ascii_end());
        }
        if let Some(version) = title.strip_prefix(b"Server version") {
            return Remark::ServerVersion(version.trim_ascii());
        }
        if title.starts_with(b"Host: ") {
            let database =
                title.windows(10).position(|ten| ten == b"Database: ").map(|at| title[at + 10..].trim_ascii());
            return Remark::DatabaseOfBanner(database.unwrap_or_default());
        }
        if title.starts_with(b"Dump completed") {
            return Remark::Trailer;
        }
        if is_replication_comment(title) {
            return Remark::Replication(title);
        }
    }
    Remark::Other
}

/// Whether a comment is about replication, by what stands behind its mark.
pub fn is_replication_comment(title: &[u8]) -> bool {
    const STARTS: [&str; 18] = [
        "CHANGE MASTER ",
        "CHANGE REPLICATION SOURCE ",
        "SET GLOBAL gtid_slave_pos",
        "SET @@GLOBAL.GTID_PURGED",
        "Position to start replication",
        "A corresponding to the above",
        "A corresponding to the below",
        "The following is the SQL position",
        "Use this position when creating",
        "This new server will connect",
        "Use only the MASTER_USE_GTID",
        "Alternately, following is",
        "Use this when creating a slave",
        "The new server will be connecting",
        "The deferred gtid setting",
        "Preferably use GTID",
        "GTID position to start replication",
        "GTID state at",
    ];
    STARTS.iter().any(|start| title.starts_with(start.as_bytes()))
}
