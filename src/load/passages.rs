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
    /// It is about databases to which it leads.
    is_led: bool,
    makes_globals: bool,
}

impl Passage {
    fn beginning(start: u64, input: String, unnamed: Option<Vec<u8>>) -> Passage {
        Passage { range: start..start, unnamed, input, is_led: false, makes_globals: false }
    }

    /// Whether it makes what is in no database, such as roles, and nothing else.
    pub fn is_global(&self) -> bool {
        self.makes_globals && self.unnamed.is_none() && !self.is_led
    }
}

/// How dumps of one kind of server lead a client to a database.
pub struct Leading {
    /// Parts in this file may do it.
    pub file: &'static str,
    pub leads: fn(&[u8]) -> bool,
    /// A header may be that of another dump, which says anew where it leads.
    pub is_told_anew: bool,
}

pub const BY_USE: Leading = Leading { file: DATABASE_FILE, leads: uses, is_told_anew: true };
pub const BY_CONNECT: Leading = Leading { file: HEADER_FILE, leads: connects, is_told_anew: false };

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
    /// Where what is in no database begins behind what is in one.
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
            self.is_led &= !self.leading.is_told_anew;
        }
        if !self.is_led && file == self.leading.file.as_bytes() && (self.leading.leads)(&read(&range)?) {
            self.is_led = true;
        }
        // What is said of a database itself names it, wherever a client is.
        if is_header || (file == DATABASE_FILE.as_bytes() && !self.is_led) {
            return Ok(());
        }
        let header = self.header.take();
        if directory == GLOBALS_DIRECTORY.as_bytes() {
            self.passages.last_mut().into_iter().for_each(|present| present.makes_globals = true);
        } else if directory != META_DIRECTORY.as_bytes() {
            self.database(directory, header.unwrap_or(range.start));
        }
        Ok(())
    }

    /// Something of this database comes, of a dump that begins there if it is another one than before.
    fn database(&mut self, directory: &[u8], start: u64) {
        // There is one from the beginning.
        let Some(present) = self.passages.last_mut() else { return };
        if self.is_led || self.led_to.contains(directory) {
            present.is_led = true;
            self.led_to.insert(directory.to_vec());
            return;
        }
        match &present.unnamed {
            Some(unnamed) if unnamed == directory => {}
            None if !present.is_led => present.unnamed = Some(directory.to_vec()),
            _ => {
                let input = present.input.clone();
                self.begin(start, input, Some(directory.to_vec()));
            }
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
