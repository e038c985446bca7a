//! Settings: what `SET` sets where. A part of a dump that is loaded by itself needs what was set before it.

use std::collections::HashMap;

use crate::dump::postgres::words::{Word, Words};

/// Dumps set some twenty settings.
const NAMES_MAX: usize = 64;

/// Dumps set each to a handful of values; to as many as there are tablespaces and roles at most.
const STATEMENTS_MAX: usize = 1 << 16;

/// Longest statement that is kept.
const STATEMENT_MAX_BYTES: usize = 4 << 10;

/// What was set where in a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    tracked: Vec<Tracked>,
    statements: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tracked {
    name: Vec<u8>,
    /// Where which statement set it; none where a new session began.
    changes: Vec<(u64, Option<u32>)>,
}

impl Tracked {
    /// What set it last before this place.
    fn at(&self, place: u64) -> Option<u32> {
        let passed = self.changes.partition_point(|(start, _)| *start < place);
        self.changes[..passed].last().and_then(|(_, statement)| *statement)
    }

    fn change(&mut self, start: u64, to: Option<u32>) {
        if self.changes.last().and_then(|(_, last)| *last) != to {
            self.changes.push((start, to));
        }
    }
}

impl Settings {
    /// Takes note of a statement that may set something.
    pub fn note(&mut self, start: u64, text: &[u8]) {
        let Some(name) = name_of_setting(text).filter(|_| text.len() <= STATEMENT_MAX_BYTES) else { return };
        let known = self.tracked.iter().position(|tracked| tracked.name == name);
        let Some(statement) = self.number(text) else { return };
        let at = match known {
            Some(at) => at,
            None if self.tracked.len() == NAMES_MAX => return,
            None => {
                self.tracked.push(Tracked { name, changes: Vec::new() });
                self.tracked.len() - 1
            }
        };
        self.tracked[at].change(start, Some(statement));
    }

    fn number(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(&number) = self.numbers.get(text) {
            return Some(number);
        }
        if self.statements.len() == STATEMENTS_MAX {
            return None;
        }
        let number = self.statements.len() as u32;
        self.statements.push(text.into());
        self.numbers.insert(text.into(), number);
        Some(number)
    }

    /// A new session begins, in which nothing is set.
    pub fn reset(&mut self, start: u64) {
        self.tracked.iter_mut().for_each(|tracked| tracked.change(start, None));
    }

    /// The statements that set what is set at `place` and was not set so at `before`, if that is given.
    pub fn changed(&self, before: Option<u64>, place: u64) -> Vec<u8> {
        let mut statements = Vec::new();
        for tracked in &self.tracked {
            let (now, then) = (tracked.at(place), before.and_then(|before| tracked.at(before)));
            if let Some(statement) = now.filter(|_| now != then) {
                statements.extend_from_slice(&self.statements[statement as usize]);
                statements.extend_from_slice(b";\n");
            }
        }
        statements
    }
}

/// The name of the setting that a statement sets, if it is one that does.
pub fn name_of_setting(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    if words.pass("SELECT") {
        // SELECT pg_catalog.set_config('search_path', '', false)
        if words.qualified_name()?.name != b"set_config" || !words.pass_symbol(b'(') {
            return None;
        }
        return words.next()?.text().map(<[u8]>::to_vec);
    }
    if !words.pass("SET") && !words.pass("RESET") {
        return None;
    }
    if words.pass("LOCAL") || words.peek()?.is("CONSTRAINTS") || words.peek()?.is("TRANSACTION") {
        return None;
    }
    match words.next()? {
        word if word.is("SESSION") && words.pass("AUTHORIZATION") => Some(b"session authorization".to_vec()),
        word if word.is("SESSION") => words.take_name(),
        Word::Symbol(_) | Word::Text(_) => None,
        word => word.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_told() {
        let mut settings = Settings::default();
        settings.note(10, b"SET default_tablespace = ''");
        settings.note(20, b"SELECT pg_catalog.set_config('search_path', '', false)");
        settings.note(30, b"SET default_tablespace = fast");
        settings.note(40, b"SET SESSION AUTHORIZATION alice");
        settings.note(50, b"RESET SESSION AUTHORIZATION");
        settings.note(60, b"SELECT pg_catalog.setval('a', 1)");
        let shown = |before, place| String::from_utf8(settings.changed(before, place)).unwrap();
        assert_eq!(shown(None, 10), "");
        let path = "SELECT pg_catalog.set_config('search_path', '', false);\n";
        assert_eq!(shown(None, 25), format!("SET default_tablespace = '';\n{path}"));
        assert_eq!(shown(Some(25), 35), "SET default_tablespace = fast;\n");
        assert_eq!(shown(Some(45), 55), "RESET SESSION AUTHORIZATION;\n");
        let mut other = settings.clone();
        other.reset(70);
        assert_eq!(other.changed(None, 71), b"");
    }
}
