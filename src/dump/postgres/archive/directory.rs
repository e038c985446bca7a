//! DirectoryArchive: reads what `pg_dump -Fd` writes, a file after the other, in the order of the text: it says which is next.

use std::collections::VecDeque;

use crate::dump::postgres::archive::TOC_FILE;
use crate::dump::postgres::archive::text::ArchiveText;
use crate::dump::postgres::archive::toc::{TAR_FORMAT, TocReader};
use crate::dump::unpack::{ArchiveEnd, DirectoryReader, Output, Tell};
use crate::error::Result;

/// Longest list of large objects.
const OBJECT_LIST_MAX_BYTES: usize = 256 << 20;

/// Reads one directory.
pub struct DirectoryArchive {
    key: String,
    text: Option<ArchiveText>,
    toc: TocReader,
    /// Entries before this one were read.
    next: usize,
    present: Present,
    /// Large objects of the present entry that are to come: their numbers and files.
    objects: VecDeque<(u32, Vec<u8>)>,
    fault: Option<String>,
}

/// The file that is being read.
enum Present {
    None,
    Toc,
    Rows(usize),
    /// A list of large objects.
    List(usize, Vec<u8>),
    Object(u32),
}

impl DirectoryArchive {
    pub fn new(key: String) -> DirectoryArchive {
        let (toc, objects) = Default::default();
        DirectoryArchive { key, text: None, toc, next: 0, present: Present::None, objects, fault: None }
    }

    /// A name that is one of a file in the directory.
    fn checked(&mut self, file: Vec<u8>) -> Option<Vec<u8>> {
        let is_name = !file.is_empty() && !file.starts_with(b".") && !file.iter().any(|byte| matches!(byte, b'/' | 0));
        if !is_name {
            self.fault = Some(format!("\"{}\" is no name of a file in it", String::from_utf8_lossy(&file)));
        }
        is_name.then_some(file)
    }
}

impl DirectoryReader for DirectoryArchive {
    fn next_file(&mut self) -> Option<Vec<u8>> {
        if self.fault.is_some() {
            return None;
        }
        let Some(text) = &self.text else {
            self.present = Present::Toc;
            return Some(TOC_FILE.into());
        };
        if let Some((number, file)) = self.objects.pop_front() {
            self.present = Present::Object(number);
            return self.checked(file);
        }
        let toc = text.script().toc();
        let at = (self.next..toc.entries.len()).find(|&at| toc.entries[at].has_data)?;
        self.next = at + 1;
        let file = toc.text(toc.entries[at].file).to_vec();
        self.present = match text.script().holds_large_objects(at) {
            true => Present::List(at, Vec::new()),
            false => Present::Rows(at),
        };
        self.checked(file)
    }

    fn is_missing(&mut self, file: &[u8]) {
        self.note(format!("{} is missing", String::from_utf8_lossy(file)));
    }

    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn begin_file(&mut self, tell: &mut Tell) -> Result<()> {
        let Some(text) = &mut self.text else { return Ok(()) };
        match self.present {
            Present::Rows(entry) | Present::List(entry, _) => text.begin_data(entry, tell),
            Present::Object(number) => {
                text.begin_object(number);
                Ok(())
            }
            Present::None | Present::Toc => Ok(()),
        }
    }

    fn is_in_text(&self) -> bool {
        matches!(self.present, Present::Rows(_))
    }

    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        if !self.is_in_text() {
            tell(Output::Frame(piece))?;
        }
        match (&mut self.present, &mut self.text) {
            (Present::Toc, None) => match self.toc.push(piece) {
                Ok(None) => {}
                Ok(Some((toc, _))) => {
                    if toc.header.format != TAR_FORMAT {
                        self.note("its table of contents is none of a directory".into());
                    }
                    self.text = Some(ArchiveText::begin(toc, &self.key, tell)?);
                }
                Err(fault) => self.note(fault.into()),
            },
            (Present::Rows(_), _) => tell(Output::Shared(piece))?,
            (Present::List(_, list), _) if list.len() + piece.len() <= OBJECT_LIST_MAX_BYTES => {
                list.extend_from_slice(piece);
            }
            (Present::List(..), _) => self.note("its list of large objects is too long".into()),
            (Present::Object(_), Some(text)) => text.object_bytes(piece, tell)?,
            _ => {}
        }
        Ok(())
    }

    fn end_file(&mut self, tell: &mut Tell) -> Result<()> {
        match std::mem::replace(&mut self.present, Present::None) {
            Present::Toc if self.text.is_none() => self.note("its table of contents ends early".into()),
            Present::List(_, list) => match listed_objects(&list) {
                Some(objects) => self.objects = objects,
                None => self.note("its list of large objects is damaged".into()),
            },
            _ => {}
        }
        match &mut self.text {
            Some(text) if self.objects.is_empty() => text.end_data(tell),
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd> {
        let Some(mut text) = self.text.take() else {
            return Ok(ArchiveEnd { fault: self.fault, ..ArchiveEnd::default() });
        };
        let fault = match self.fault {
            None => text.finish(tell)?,
            fault => fault,
        };
        Ok(text.end("directory", fault))
    }
}

/// The large objects of a list that has a line for each, with its number and its file.
fn listed_objects(list: &[u8]) -> Option<VecDeque<(u32, Vec<u8>)>> {
    if !list.is_empty() && !list.ends_with(b"\n") {
        return None;
    }
    let lines = list.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let blank = line.iter().position(|&byte| byte == b' ')?;
            let number = std::str::from_utf8(&line[..blank]).ok()?.parse().ok()?;
            Some((number, line[blank + 1..].to_vec()))
        })
        .collect()
}
