//! Strings: how strings are read, and how surely. `psql` reads them as its server tells it to, from the line on that follows the
//! statement which changed that, whoever did: also a function that a statement calls.

use crate::dump::letters::Letters;
use crate::dump::postgres::words::{QualifiedName, Word, Words};

/// How strings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strings {
    /// Backslashes escape in all of them, or only in those that are marked.
    pub backslash_escapes: bool,
    pub letters: Letters,
}

impl Strings {
    /// Takes note of what a statement sets about them.
    pub fn follow(&mut self, statement: &[u8]) {
        Assignment::of(statement).iter().for_each(|set| self.take(set));
    }

    fn take(&mut self, set: &Assignment) {
        match (set.what(), &set.value) {
            (Some(What::Escapes), Value::Usual) => self.backslash_escapes = false,
            (Some(What::Escapes), Value::Of(value)) => {
                self.backslash_escapes = is_off(value).unwrap_or(self.backslash_escapes)
            }
            (Some(What::Letters), Value::Of(name)) => self.letters = Letters::of_postgres(name),
            (Some(What::Letters), Value::Usual) => self.letters = Letters::default(),
            _ => {}
        }
    }
}

/// The character set that a statement says the dump to be in; an empty name where it goes back to the usual one.
pub fn client_encoding(statement: &[u8]) -> Option<Vec<u8>> {
    let set = Assignment::of(statement)?;
    match (set.what()?, set.value) {
        (What::Letters, Value::Of(name)) => Some(name),
        (What::Letters, Value::Usual) => Some(Vec::new()),
        _ => None,
    }
}

/// Strings, as far as `psql` is known to read them so.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub strings: Strings,
    /// Backslashes escape in marked strings only, whatever happened unseen.
    is_standard: bool,
    /// The client's character set is known.
    are_letters_known: bool,
    /// What the present line changed holds from the next one on.
    is_line_old: bool,
}

impl Reading {
    /// For what begins with strings that are read so. What nothing set is as it is usual.
    pub fn new(strings: Strings) -> Reading {
        Reading { strings, is_standard: !strings.backslash_escapes, are_letters_known: true, is_line_old: false }
    }

    /// Whether unmarked strings are surely read as [`Strings`] says: never where backslashes escape in them, since `psql` has other
    /// marks than E, and since what sets that back may be hidden.
    pub fn is_sure(&self) -> bool {
        self.is_standard && !self.is_line_old
    }

    /// The same in the next line.
    pub fn is_standard(&self) -> bool {
        self.is_standard
    }

    pub fn are_letters_sure(&self) -> bool {
        self.are_letters_known && !self.is_line_old
    }

    /// Takes note of a statement.
    pub fn follow(&mut self, statement: &[u8]) {
        let set = Assignment::of(statement);
        set.iter().for_each(|set| self.strings.take(set));
        if acts(statement) {
            return self.lose();
        }
        let Some(set) = set else { return };
        let Some(what) = set.what() else { return };
        self.is_line_old = true;
        let lasts = !set.is_local;
        match (what, set.value) {
            // Outside of a transaction nothing is set `LOCAL`, and with it the other goes.
            (What::Escapes, Value::Of(value)) if is_off(&value) == Some(false) => self.is_standard |= lasts,
            (What::Escapes, _) => self.is_standard = false,
            (What::Letters, Value::Of(_)) => self.are_letters_known = lasts,
            (What::Letters, _) => self.are_letters_known = false,
            (What::All, _) => self.lose(),
        }
    }

    /// Takes note of a command to `psql`: a session begins as its server, database and role have it.
    pub fn follow_command(&mut self, text: &[u8]) {
        if text.starts_with(b"\\connect") {
            self.strings.backslash_escapes = false;
            self.lose();
        } else if let Some(name) = text.strip_prefix(b"\\encoding ") {
            self.strings.letters = Letters::of_postgres(name.trim_ascii());
            self.are_letters_known = true;
        }
    }

    /// From here on, anything may have been set.
    pub fn lose(&mut self) {
        (self.is_standard, self.are_letters_known) = (false, false);
    }

    /// A line ends between statements.
    pub fn end_line(&mut self) {
        self.is_line_old = false;
    }
}

/// What of the settings counts.
enum What {
    Escapes,
    Letters,
    All,
}

/// What a statement sets something to.
enum Value {
    Of(Vec<u8>),
    /// What it was when the session began.
    Usual,
    /// What the server refuses, or works out.
    Unknown,
}

/// `SET`, perhaps `LOCAL`, `RESET`, or `SELECT set_config('name', 'off', false)`.
struct Assignment {
    name: Vec<u8>,
    value: Value,
    is_local: bool,
}

impl Assignment {
    fn of(statement: &[u8]) -> Option<Assignment> {
        let mut words = Words::new(statement);
        match words.next()? {
            word if word.is("SELECT") => Assignment::called(words),
            word if word.is("RESET") => {
                Some(Assignment { name: text_of(words.next()?), value: Value::Usual, is_local: false })
            }
            word if word.is("SET") => {
                let is_local = words.pass("LOCAL");
                let _ = is_local || words.pass("SESSION");
                let name = text_of(words.next()?);
                let _ = words.pass("TO") || words.pass_symbol(b'=');
                let value = words.next().map(|word| value_of(&word)).unwrap_or(Value::Unknown);
                // The server takes no list.
                let value = if words.next().is_none() { value } else { Value::Unknown };
                Some(Assignment { name, value, is_local })
            }
            _ => None,
        }
    }

    fn called(mut words: Words) -> Option<Assignment> {
        words.qualified_name().filter(|function| is_of_server(function) && function.name == b"set_config")?;
        words.pass_symbol(b'(');
        let Word::Text(name) = words.next()? else { return None };
        words.pass_symbol(b',');
        let value = words.next()?.text().map(<[u8]>::to_vec);
        words.pass_symbol(b',');
        let is_local = !words.pass("false");
        // What follows may keep it from being called.
        let is_all = words.pass_symbol(b')') && words.next().is_none();
        let value = value.filter(|_| is_all).map_or(Value::Unknown, Value::Of);
        Some(Assignment { name: name.to_ascii_lowercase(), value, is_local })
    }

    fn what(&self) -> Option<What> {
        match self.name.to_ascii_lowercase().as_slice() {
            b"standard_conforming_strings" => Some(What::Escapes),
            b"client_encoding" | b"names" => Some(What::Letters),
            b"all" => Some(What::All),
            _ => None,
        }
    }
}

fn text_of(word: Word) -> Vec<u8> {
    word.text().map(<[u8]>::to_vec).or_else(|| word.name()).unwrap_or_default()
}

fn value_of(word: &Word) -> Value {
    match word {
        Word::Symbol(_) => Value::Unknown,
        word if word.is("DEFAULT") => Value::Usual,
        word => Value::Of(text_of(word.clone())),
    }
}

/// Whether this value of `standard_conforming_strings` is off; `None` where the server refuses it, and nothing changes. Any beginning
/// that only one of the words has will do.
fn is_off(value: &[u8]) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let is_one_of = |all: [&[u8]; 4]| !value.is_empty() && value != b"o" && all.iter().any(|it| it.starts_with(&value));
    match is_one_of([b"off", b"false", b"no", b"0"]) {
        true => Some(true),
        false => is_one_of([b"on", b"true", b"yes", b"1"]).then_some(false),
    }
}

/// Statements that no dump has, and that may set anything: they undo what was set, or run what was written elsewhere.
const ACTING: [&str; 19] = [
    "ABORT", "CALL", "DECLARE", "DELETE", "DISCARD", "DO", "EXECUTE", "EXPLAIN", "FETCH", "INSERT", "LOAD", "MERGE",
    "MOVE", "PREPARE", "ROLLBACK", "TABLE", "UPDATE", "VALUES", "WITH",
];

/// Functions of the server's that dumps call.
const CALLED: [&[u8]; 6] = [b"set_config", b"setval", b"lo_", b"lowrite", b"pg_restore_", b"binary_upgrade_"];

/// Whether a statement may set anything. An `INSERT` is one that has no `VALUES`.
fn acts(statement: &[u8]) -> bool {
    let mut words = Words::new(statement);
    if words.pass("COPY") {
        return words.pass_symbol(b'(');
    }
    if !words.pass("SELECT") {
        return ACTING.iter().any(|verb| words.peek().is_some_and(|word| word.is(verb)));
    }
    let _ = words.pass_symbol(b'*') && words.pass("FROM");
    let is_called = |it: &QualifiedName| CALLED.iter().any(|name| it.name.starts_with(name));
    let calls = words.qualified_name().is_some_and(|it| is_of_server(&it) && is_called(&it));
    let mut parentheses = 0;
    let works_out = words.any(|word| match word {
        Word::Symbol(b'(') => {
            parentheses += 1;
            parentheses > 1
        }
        Word::Symbol(symbol) => !b"),:[].-+=".contains(&symbol),
        _ => false,
    });
    !calls || works_out
}

/// Dumps name the schema of the server's functions; another one may have functions of these names that do anything.
fn is_of_server(function: &QualifiedName) -> bool {
    function.schema.as_deref() == Some(b"pg_catalog")
}
