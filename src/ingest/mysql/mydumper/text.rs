//! MydumperText: the files of a directory, read as one text that a client can load. What is put between them is not theirs, so it is
//! told where each stands.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::compressed::UnwrapLimit;
use crate::dump::mysql::mydumper::{
    DELIMITER, FileKind, STATEMENT_END, StatementFile, TIME_ZONE_OF_EVENTS, Titles, created_database, makes_something,
    use_database,
};
use crate::dump::mysql::session::{FOOTER, header};
use crate::error::{Error, Result};
use crate::ingest::input::{OpenInput, StreamInput};

/// Bytes of a file that are looked at before the first of them is given.
const FIRST_BYTES: usize = 64 << 10;

/// The first line of the text.
const TITLE: &str = "The files of a directory that mydumper wrote, in the order in which they load";

/// Where the bytes of a file stand in the text.
pub struct JoinedFile {
    pub name: Vec<u8>,
    pub ranges: Vec<Range<u64>>,
}

/// What is told of a text that was read.
#[derive(Default)]
pub struct Told {
    /// In the order of the text.
    pub files: Vec<JoinedFile>,
    /// What shows that a file is not whole; the first of it.
    pub fault: Option<String>,
    /// Why the text could not be read any further.
    pub error: Option<Error>,
}

pub struct MydumperText {
    directory: PathBuf,
    files: std::vec::IntoIter<StatementFile>,
    open: Option<OpenFile>,
    limit: UnwrapLimit,
    /// What comes next, before anything of a file.
    made: Vec<u8>,
    /// Bytes so far.
    at: u64,
    has_ended: bool,
    titles: Titles,
    /// Databases by the names that files have for them.
    databases: HashMap<Vec<u8>, Vec<u8>>,
    /// The database that is present, among the tables or behind them all.
    used: Option<(bool, Vec<u8>)>,
    told: Arc<Mutex<Told>>,
}

/// A file that is being read.
struct OpenFile {
    file: StatementFile,
    input: OpenInput,
    ranges: Vec<Range<u64>>,
    /// What was read, of which the first bytes were given.
    buffer: Vec<u8>,
    filled: usize,
    taken: usize,
    last_byte: u8,
    /// The last byte that is no white space.
    last_sign: u8,
}

impl OpenFile {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..self.filled]
    }

    /// Reads more, once nothing is left; false at the end.
    fn fill(&mut self, least: usize) -> Result<bool> {
        (self.taken, self.filled) = (0, 0);
        while self.filled < least {
            match self.input.read(&mut self.buffer[self.filled..], &|| false)? {
                0 => break,
                got => self.filled += got,
            }
        }
        Ok(self.filled > 0)
    }

    /// Gives some of what was read, but nothing behind the end of a statement that may hold others; whether it ends there.
    fn give(&mut self, out: &mut [u8]) -> (usize, bool) {
        let rest = self.rest();
        let rest = &rest[..rest.len().min(out.len())];
        let end = match rest {
            _ if !self.file.kind.has_bodies() => None,
            [first, ..] if [self.last_byte, *first] == *STATEMENT_END => Some(1),
            _ => rest
                .windows(STATEMENT_END.len())
                .position(|two| two == STATEMENT_END)
                .map(|at| at + STATEMENT_END.len()),
        };
        let count = end.unwrap_or(rest.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        (count, end.is_some())
    }

    /// These of its bytes were given, and stand there.
    fn note(&mut self, bytes: &[u8], at: u64) {
        self.last_byte = bytes.last().copied().unwrap_or(self.last_byte);
        let sign = bytes.iter().rfind(|byte| !byte.is_ascii_whitespace());
        self.last_sign = sign.copied().unwrap_or(self.last_sign);
        let end = at + bytes.len() as u64;
        match self.ranges.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => self.ranges.push(at..end),
        }
    }

    /// What shows that it is not whole.
    fn fault(&self) -> Option<String> {
        let name = String::from_utf8_lossy(&self.file.name);
        match self.input.cut_at() {
            Some(at) => Some(format!("{name}: its compressed data is cut off after {at} bytes")),
            None if self.last_sign == b';' => None,
            None => Some(format!("{name} does not end with the end of a statement")),
        }
    }
}

impl MydumperText {
    /// The text of these files. What is learned of them is told to `told` as it is read.
    pub fn new(
        directory: &Path,
        files: Vec<StatementFile>,
        limit: UnwrapLimit,
        told: Arc<Mutex<Told>>,
    ) -> Result<MydumperText> {
        let mut text = MydumperText {
            directory: directory.to_path_buf(),
            files: files.into_iter(),
            open: None,
            limit,
            made: Vec::new(),
            at: 0,
            has_ended: false,
            titles: Titles::default(),
            databases: HashMap::new(),
            used: None,
            told,
        };
        text.made = text.header()?;
        Ok(text)
    }

    /// What comes before all files.
    fn header(&self) -> Result<Vec<u8>> {
        let Some(file) = self.files.as_slice().iter().find(|file| file.kind == FileKind::Data) else {
            return Ok(header(TITLE, b""));
        };
        let mut open = self.open(file.clone())?;
        open.fill(FIRST_BYTES)?;
        Ok(header(TITLE, open.rest()))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(|held| held.into_inner())
    }

    fn read_some(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            if !self.made.is_empty() {
                let count = self.made.len().min(out.len());
                out[..count].copy_from_slice(&self.made[..count]);
                self.made.drain(..count);
                self.at += count as u64;
                return Ok(count);
            }
            let Some(mut open) = self.open.take() else {
                match self.files.next() {
                    Some(file) => self.begin(file)?,
                    None if self.has_ended => return Ok(0),
                    None => {
                        self.made = [b"\n", FOOTER.as_bytes()].concat();
                        self.has_ended = true;
                    }
                }
                continue;
            };
            if open.rest().is_empty() && !open.fill(1)? {
                self.end(open);
                continue;
            }
            let (count, ends_statement) = open.give(out);
            open.note(&out[..count], self.at);
            self.at += count as u64;
            if ends_statement {
                self.made = format!("{DELIMITER}\n").into_bytes();
            }
            self.open = Some(open);
            return Ok(count);
        }
    }

    fn open(&self, file: StatementFile) -> Result<OpenFile> {
        let path = self.directory.join(std::ffi::OsStr::from_bytes(&file.name));
        let mut input = StreamInput::File(path).open()?;
        if let Some(wrapping) = input.wrapping(&|| false)? {
            input.unwrap_as(wrapping, self.limit, None);
        }
        Ok(OpenFile {
            file,
            input,
            ranges: Vec::new(),
            buffer: vec![0; FIRST_BYTES],
            filled: 0,
            taken: 0,
            last_byte: b'\n',
            last_sign: b';',
        })
    }

    /// Begins with the next file: says what comes before it.
    fn begin(&mut self, file: StatementFile) -> Result<()> {
        let mut open = self.open(file)?;
        let has_bytes = open.fill(FIRST_BYTES)?;
        if open.file.kind.makes_one() && !makes_something(open.rest()) {
            let name = String::from_utf8_lossy(&open.file.name).into_owned();
            self.told().fault.get_or_insert(format!("{name} makes nothing: no CREATE is in it"));
        }
        if has_bytes {
            self.made = self.before(&open.file, open.rest());
            self.open = Some(open);
        } else {
            self.end(open);
        }
        Ok(())
    }

    /// What comes before a file that begins so.
    fn before(&mut self, file: &StatementFile, first: &[u8]) -> Vec<u8> {
        let mut made = Vec::new();
        if file.kind == FileKind::Database {
            self.databases.extend(created_database(first).map(|name| (file.database.clone(), name)));
        } else if file.kind != FileKind::Tablespaces {
            let wanted = Some((file.is_late(), file.database.clone()));
            if self.used != wanted {
                self.used = wanted;
                made.push(b'\n');
                let name = self.databases.get(&file.database).unwrap_or(&file.database);
                made.extend(use_database(name, first));
            }
        }
        made.extend_from_slice(self.titles.next(file).as_bytes());
        if file.kind == FileKind::Routines {
            made.extend_from_slice(TIME_ZONE_OF_EVENTS.as_bytes());
        }
        if file.kind.has_bodies() {
            made.extend_from_slice(format!("DELIMITER {DELIMITER}\n").as_bytes());
        }
        made
    }

    fn end(&mut self, open: OpenFile) {
        if open.last_byte != b'\n' {
            self.made.push(b'\n');
        }
        if open.file.kind.has_bodies() && !open.ranges.is_empty() {
            self.made.extend_from_slice(b"DELIMITER ;\n");
        }
        let mut told = self.told();
        let fault = open.fault();
        told.fault = told.fault.take().or(fault);
        told.files.push(JoinedFile { name: open.file.name, ranges: open.ranges });
    }
}

impl Read for MydumperText {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_some(out).map_err(|error| {
            let shown = error.to_string();
            self.told().error = Some(error);
            io::Error::other(shown)
        })
    }
}
