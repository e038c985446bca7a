//! Triggers: what must be there when they run.

use crate::dump::mysql::part::{Need, NeedKind};
use crate::dump::mysql::statement::NEEDS_MAX;
use crate::dump::mysql::words::{QuoteModes, Word, Words};

/// What stands before brackets in most triggers, and is no function of a dump.
const NO_FUNCTIONS: [&str; 12] =
    ["AND", "COALESCE", "CONCAT", "CURRENT_TIMESTAMP", "IF", "IFNULL", "IN", "NOT", "NOW", "OR", "USER", "VALUES"];

/// Before the name of a table, with these between; some are functions, too, with brackets behind them.
const BEFORE_ONE_TABLE: [&str; 2] = ["INSERT", "REPLACE"];
const BEFORE_TABLES: [&str; 4] = ["FROM", "JOIN", "STRAIGHT_JOIN", "UPDATE"];
const BETWEEN_VERB_AND_TABLE: [&str; 5] = ["DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO", "LOW_PRIORITY"];

/// Behind these nothing is updated but columns, or rows are locked.
const BEFORE_OTHER_UPDATES: [&str; 2] = ["KEY", "FOR"];

/// Functions among whose arguments a `FROM` may stand that no table is behind.
const WITH_A_FROM: [&str; 5] = ["EXTRACT", "MID", "SUBSTR", "SUBSTRING", "TRIM"];

/// No table is called so.
const NO_TABLE: &[u8] = b"DUAL";

/// Rows of the trigger's own table.
const OWN_ROWS: [&[u8]; 2] = [b"NEW", b"OLD"];

/// The functions and procedures that a trigger calls, and the tables that it writes or reads. A variable that stands where a table may is
/// told as one.
pub fn needed_by_trigger(text: &[u8], modes: QuoteModes) -> Vec<Need> {
    let words = Words::new(text, modes);
    let own = words.clone().skip_to(&["ON"]).and_then(|mut words| words.qualified_name());
    let Some(words) = words.skip_to(&["EACH"]) else { return Vec::new() };
    let mut needs = Needs { own: own.map(|(_, name)| name), found: Vec::new() };
    needs.read(words);
    needs.found
}

struct Needs {
    /// The table that the trigger is of.
    own: Option<Vec<u8>>,
    found: Vec<Need>,
}

impl Needs {
    fn read(&mut self, mut words: Words) {
        let mut is_other_update = false;
        while self.found.len() < NEEDS_MAX {
            let mut ahead = words.clone();
            let Some(word) = words.next() else { break };
            let is_one_of = |all: &[&str]| all.iter().any(|it| word.is(it));
            if is_one_of(&WITH_A_FROM) {
                pass_own_from(&mut words);
            } else if word.is("INTO") {
                // A variable; the table of an `INSERT` was read with that.
                pass_name(&mut words);
            } else if is_one_of(&BEFORE_ONE_TABLE) || (is_one_of(&BEFORE_TABLES) && !is_other_update) {
                self.tables(&mut words, is_one_of(&BEFORE_TABLES));
            } else if word.is("CALL") {
                if let Some(name) = words.qualified_name() {
                    self.add(NeedKind::Procedure, name);
                }
            } else if matches!(word, Word::Plain(_) | Word::Name(_))
                && !is_one_of(&NO_FUNCTIONS)
                && let Some(name) = ahead.qualified_name()
                && ahead.pass_symbol(b'(')
            {
                self.add(NeedKind::Function, name);
                words = ahead;
            }
            is_other_update = is_one_of(&BEFORE_OTHER_UPDATES);
        }
    }

    /// The table whose name is next, or several with commas between them, each perhaps with another name behind it.
    fn tables(&mut self, words: &mut Words, are_several: bool) {
        while BETWEEN_VERB_AND_TABLE.iter().any(|it| words.pass(it)) {}
        loop {
            let mut ahead = words.clone();
            let Some(name) = ahead.qualified_name() else { return };
            if are_several && ahead.clone().pass_symbol(b'(') {
                return;
            }
            *words = ahead;
            let is_own = name.0.is_none() && Some(&name.1) == self.own.as_ref();
            let is_row = name.0.as_ref().is_some_and(|of| OWN_ROWS.iter().any(|row| of.eq_ignore_ascii_case(row)));
            let is_table = !name.1.eq_ignore_ascii_case(NO_TABLE) && !name.1.iter().all(u8::is_ascii_digit);
            if is_table && !is_own && !is_row {
                self.add(NeedKind::TableOfTrigger, name);
            }
            let mut ahead = words.clone();
            if !ahead.pass_symbol(b',') {
                let _ = ahead.pass("AS");
                if ahead.next().is_none_or(|word| word.name().is_none()) || !ahead.pass_symbol(b',') {
                    return;
                }
            }
            if !are_several {
                return;
            }
            *words = ahead;
        }
    }

    fn add(&mut self, kind: NeedKind, (database, name): (Option<Vec<u8>>, Vec<u8>)) {
        let need = Need { kind, database, name };
        if !self.found.contains(&need) {
            self.found.push(need);
        }
    }
}

/// Passes a `FROM` that stands among the arguments of the function whose name was read, and what is before it.
fn pass_own_from(words: &mut Words) {
    let mut ahead = words.clone();
    if !ahead.pass_symbol(b'(') {
        return;
    }
    let mut depth = 1;
    while let Some(word) = ahead.next() {
        match word {
            Word::Symbol(b'(') => depth += 1,
            Word::Symbol(b')') if depth == 1 => return,
            Word::Symbol(b')') => depth -= 1,
            word if depth == 1 && word.is("FROM") => {
                *words = ahead;
                return;
            }
            _ => {}
        }
    }
}

/// Passes a name, if one is next: brackets may follow it.
fn pass_name(words: &mut Words) {
    let mut ahead = words.clone();
    if ahead.qualified_name().is_some() {
        *words = ahead;
    }
}
