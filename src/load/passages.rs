//! Passages: what of a dump one client is given after the other. Each input is one, and so is, among dumps that were appended to one
//! another, each that leads to no database itself: its client begins in the one that the snapshot calls it by.

use std::collections::HashSet;
use std::ops::Range;

use crate::dump::layout::{DATABASE_FILE, GLOBALS_DIRECTORY, HEADER_FILE, META_DIRECTORY};
use crate::dump::mysql::{Event, MysqlDump, PartKind};
use crate::dump::part_line::PartLine;
use crate::error::Result;
use crate::load::inputs::DumpInput;

/// A stretch of a dump, and where its client begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub range: Range<u64>,
    /// The directory of the database that it is about and does not lead to.
    pub unnamed: Option<Vec<u8>>,
    /// What it is part of.
    pub input: String,
    /// The directories of those to which it leads, or whose names stand in its statements.
    named: HashSet<Vec<u8>>,
    makes_globals: bool,
}

impl Passage {
    fn beginning(start: u64, input: String, unnamed: Option<Vec<u8>>) -> Passage {
        Passage { range: start..start, unnamed, input, named: HashSet::new(), makes_globals: false }
    }

    /// Whether it makes what is in no database, such as roles, and nothing else.
    pub fn is_global(&self) -> bool {
        self.makes_globals && self.unnamed.is_none() && self.named.is_empty()
    }

    /// Whether it is about the database of this directory.
    pub fn is_about(&self, directory: &[u8]) -> bool {
        self.unnamed.as_deref() == Some(directory) || self.named.contains(directory)
    }
}

/// How dumps of one kind of server lead a client to a database.
pub struct Leading {
    /// Parts in this file may do it.
    pub file: &'static str,
    pub leads: fn(&[u8]) -> bool,
}

pub const BY_USE: Leading = Leading { file: DATABASE_FILE, leads: uses };
pub const BY_CONNECT: Leading = Leading { file: HEADER_FILE, leads: connects };

/// `USE`, or `CREATE DATABASE` before it. Titles and `ALTER DATABASE` lead nowhere.
fn uses(text: &[u8]) -> bool {
    let (mut dump, mut found) = (MysqlDump::default(), false);
    let mut note = |event| {
        if let Event::Part(part) = event {
            found |= part.kind == PartKind::Database && part.database.is_some();
        }
    };
    dump.push(text, &mut note);
    dump.finish(&mut note);
    found
}

fn connects(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"\\connect ") || line.starts_with(b"\\c "))
}

/// Finds the passages of a dump whose parts it is shown in order.
pub struct PassageFinder<'d> {
    leading: &'d Leading,
    inputs: std::iter::Peekable<std::vec::IntoIter<DumpInput>>,
    passages: Vec<Passage>,
    /// Directories of databases to which the dump led.
    led_to: HashSet<Vec<u8>>,
    is_led: bool,
    /// Where the last header began, until something of a database follows it.
    header: Option<u64>,
}

impl<'d> PassageFinder<'d> {
    pub fn new(leading: &'d Leading, inputs: Vec<DumpInput>) -> PassageFinder<'d> {
        PassageFinder {
            leading,
            inputs: inputs.into_iter().peekable(),
            passages: vec![Passage::beginning(0, String::new(), None)],
            led_to: HashSet::new(),
            is_led: false,
            header: None,
        }
    }

    /// Takes the next part; `read` reads a stretch of the dump.
    pub fn push(
        &mut self,
        part: &PartLine,
        range: Range<u64>,
        read: impl FnOnce(&Range<u64>) -> Result<Vec<u8>>,
    ) -> Result<()> {
        while let Some(input) = self.inputs.next_if(|input| input.start <= range.start) {
            (self.is_led, self.header) = (false, None);
            self.begin(range.start, input.name, None);
        }
        let mut names = part.path.split(|&byte| byte == b'/');
        let (directory, file) = (names.next().unwrap_or_default(), names.next_back().unwrap_or_default());
        let is_header = directory == META_DIRECTORY.as_bytes() && file == HEADER_FILE.as_bytes();
        if is_header && self.header.is_none() {
            self.header = Some(range.start);
            // It may be that of another dump, which says anew where it leads.
            self.is_led = false;
        }
        if !self.is_led && file == self.leading.file.as_bytes() && (self.leading.leads)(&read(&range)?) {
            self.is_led = true;
        }
        // What is said of a database itself names it, wherever a client is.
        if is_header || (file == DATABASE_FILE.as_bytes() && !self.is_led) {
            return Ok(());
        }
        if directory == GLOBALS_DIRECTORY.as_bytes() {
            self.passages.last_mut().into_iter().for_each(|present| present.makes_globals = true);
        } else if directory != META_DIRECTORY.as_bytes() {
            let header = self.header.take();
            self.database(directory, header);
        }
        Ok(())
    }

    /// Something of this database comes; `header` tells where a dump may have begun that it is of. Where none did, the session goes
    /// on, with all that it was told, and statements name the database themselves.
    fn database(&mut self, directory: &[u8], header: Option<u64>) {
        // There is one from the beginning.
        let Some(present) = self.passages.last_mut() else { return };
        if self.is_led || self.led_to.contains(directory) {
            if !present.named.contains(directory) {
                present.named.insert(directory.to_vec());
                self.led_to.insert(directory.to_vec());
            }
            return;
        }
        match &present.unnamed {
            Some(unnamed) if unnamed == directory => {}
            None if present.named.is_empty() => present.unnamed = Some(directory.to_vec()),
            _ => match header {
                Some(start) => {
                    let input = present.input.clone();
                    self.begin(start, input, Some(directory.to_vec()));
                }
                None => drop(present.named.insert(directory.to_vec())),
            },
        }
    }

    fn begin(&mut self, start: u64, input: String, unnamed: Option<Vec<u8>>) {
        self.end(start);
        self.passages.push(Passage::beginning(start, input, unnamed));
    }

    /// The present passage ends there. An empty one is none.
    fn end(&mut self, end: u64) {
        self.passages.last_mut().into_iter().for_each(|last| last.range.end = end);
        self.passages.pop_if(|last| last.range.is_empty());
    }

    /// The dump ends there.
    pub fn finish(mut self, end: u64) -> Vec<Passage> {
        self.end(end);
        self.passages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "_meta/header.sql";

    /// The passages of parts of ten bytes, given their paths and what they say: where each begins, and its database.
    fn passages(leading: &Leading, inputs: &[u64], parts: &[(&str, &str)]) -> Vec<(u64, Option<String>)> {
        let inputs = inputs.iter().map(|&start| DumpInput { name: format!("{start}.sql"), start }).collect();
        let mut finder = PassageFinder::new(leading, inputs);
        for (at, (path, text)) in (0..).step_by(10).zip(parts) {
            let part = PartLine { length: 10, rows: 0, path: path.as_bytes() };
            finder.push(&part, at..at + 10, |_| Ok(text.as_bytes().to_vec())).unwrap();
        }
        let found = finder.finish(10 * parts.len() as u64);
        assert!(found.windows(2).all(|pair| pair[0].range.end == pair[1].range.start), "{found:?}");
        let name = |unnamed: Vec<u8>| String::from_utf8(unnamed).unwrap();
        assert!(found.iter().all(|passage| passage.unnamed.as_ref().is_none_or(|name| passage.is_about(name))));
        found.into_iter().map(|passage| (passage.range.start, passage.unnamed.map(name))).collect()
    }

    fn unnamed(start: u64, name: &str) -> (u64, Option<String>) {
        (start, Some(name.into()))
    }

    #[test]
    fn each_dump_that_names_no_database_is_a_passage() {
        let [north, south] = ["north/tables/t/schema.sql", "south/tables/t/schema.sql"].map(|path| (path, ""));
        let appended = [(HEADER, ""), north, ("_meta/footer.sql", ""), (HEADER, ""), south, ("_meta/footer.sql", "")];
        assert_eq!(passages(&BY_USE, &[], &appended), [unnamed(0, "north"), unnamed(30, "south")]);
        // Users stand behind the header of their dump.
        let users = [(HEADER, ""), north, (HEADER, ""), ("_globals/users.sql", ""), south];
        assert_eq!(passages(&BY_USE, &[], &users), [unnamed(0, "north"), unnamed(20, "south")]);
        assert_eq!(passages(&BY_USE, &[0, 20], &users), [unnamed(0, "north"), unnamed(20, "south")]);
    }

    #[test]
    fn what_names_its_database_itself_stays_in_its_session() {
        let [north, crm] = ["north/tables/t/schema.sql", "crm/tables/t/schema.sql"].map(|path| (path, ""));
        assert_eq!(passages(&BY_USE, &[], &[(HEADER, ""), north, crm, north]), [unnamed(0, "north")]);
        let led = [(HEADER, ""), ("north/_database.sql", "USE `north`;\n"), north, crm];
        assert_eq!(passages(&BY_USE, &[], &led), [(0, None)]);
    }

    #[test]
    fn a_dump_that_leads_to_its_databases_is_one_passage() {
        let [a, b] = ["a", "b"].map(|name| (format!("{name}/_database.sql"), format!("USE `{name}`;\n")));
        let parts = [
            (HEADER, ""),
            (&a.0[..], &a.1[..]),
            ("a/tables/t/data.sql", ""),
            (&b.0, &b.1),
            ("b/tables/t/data.sql", ""),
        ];
        assert_eq!(passages(&BY_USE, &[], &parts), [(0, None)]);
        let connected =
            [(HEADER, ""), ("_globals/roles.sql", ""), (HEADER, "\\connect a\n"), ("a/public/types.sql", "")];
        assert_eq!(passages(&BY_CONNECT, &[], &connected), [(0, None)]);
        // Behind it, one that does not.
        let more = [&parts[..], &[(HEADER, ""), ("c/tables/t/schema.sql", "")]].concat();
        assert_eq!(passages(&BY_USE, &[], &more), [(0, None), unnamed(50, "c")]);
        let nameless = [(HEADER, ""), ("c/public/types.sql", ""), ("_meta/footer.sql", "")];
        let both = [&connected[..], &[("_meta/footer.sql", "")], &nameless].concat();
        assert_eq!(passages(&BY_CONNECT, &[], &both), [(0, None), unnamed(50, "c")]);
        let both = [&nameless[..], &connected].concat();
        assert_eq!(passages(&BY_CONNECT, &[], &both), [unnamed(0, "c")]);
    }
}
