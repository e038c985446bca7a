//! Archive: reads what `mongodump --archive` prints, and says which bytes of it are whose. It begins with a prelude, which lists
//! the collections; then come blocks of documents, those of all collections mixed. The last block of a collection is empty
//! and has a checksum of all its documents.

use std::collections::HashMap;

use crate::dump::mongo::bson::{Value, field, text};
use crate::dump::mongo::crc64::Crc64;
use crate::dump::mongo::documents::{DocumentCounts, Framing, Step};
use crate::dump::mongo::{BUCKETS_PREFIX, Fault, TIME_SERIES};

/// How every archive begins.
pub const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];

/// What stands at the end of a block, where a document's length would be.
const TERMINATOR: u32 = u32::MAX;

/// What the reader tells, in the order of the archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'p> {
    /// Bytes of the archive's own: its prelude, heads and ends of blocks, and whatever is not understood.
    Frame(&'p [u8]),
    /// A collection is there, the next in number from 0 on. Empty metadata is none.
    Collection { database: &'p [u8], name: &'p [u8], metadata: &'p [u8] },
    /// A document begins here, counted in bytes of the documents of its collection.
    Document { collection: usize, start: u64 },
    /// Bytes of the documents of a collection.
    Bytes { collection: usize, bytes: &'p [u8] },
    /// A collection has no more documents.
    End { collection: usize },
}

/// What the prelude says of the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveHeader {
    pub server_version: Option<String>,
    pub tool_version: Option<String>,
}

/// What is known of a collection at the end.
#[derive(Debug, Clone, Default)]
pub struct CollectionEnd {
    pub database: Vec<u8>,
    pub name: Vec<u8>,
    pub kind: Option<String>,
    pub counts: DocumentCounts,
    pub bytes: u64,
}

/// What is known of an archive at its end.
#[derive(Debug, Clone, Default)]
pub struct ArchiveEnd {
    pub header: ArchiveHeader,
    pub collections: Vec<CollectionEnd>,
    /// What shows that the archive is not whole, or that it is damaged; the first of it.
    pub fault: Option<Fault>,
}

/// Reads one archive.
#[derive(Default)]
pub struct Archive {
    framing: Framing,
    place: Place,
    /// The present document, where it belongs to the archive itself.
    document: Vec<u8>,
    /// Whose the bytes are that come.
    owner: Option<usize>,
    header: ArchiveHeader,
    collections: Vec<Listed>,
    /// By what `key_of` makes of their names.
    numbers: HashMap<Vec<u8>, usize>,
    fault: Option<Fault>,
}

/// Where in the archive the reader is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Magic,
    Header,
    Collections,
    BetweenBlocks,
    Block(usize),
    EndBlock,
    /// What comes is not understood.
    Lost,
}

#[derive(Default)]
struct Listed {
    end: CollectionEnd,
    checksum: Crc64,
    /// Where its first block begins.
    first_block: Option<u64>,
    has_ended: bool,
}

/// What tells a collection from all others: names may hold any byte.
fn key_of(database: &[u8], name: &[u8]) -> Vec<u8> {
    [&(database.len() as u64).to_le_bytes()[..], database, name].concat()
}

impl Listed {
    fn shown(&self) -> String {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.end.database.is_empty() {
            true => name(&self.end.name),
            false => format!("{}.{}", name(&self.end.database), name(&self.end.name)),
        }
    }
}

impl Archive {
    /// Takes the next piece, of any length. What `tell` fails with comes back.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        // What is before `run` has been told.
        let (mut run, mut at) = (0, 0);
        while at < piece.len() && self.place != Place::Lost {
            let held = self.framing.held();
            let (count, step) = self.framing.step(&piece[at..]);
            match step {
                Step::PartOfWord => {
                    self.give(&piece[run..at], tell)?;
                    (run, at) = (piece.len(), piece.len());
                }
                Step::Word(word) => {
                    let owner = self.begin(word);
                    if owner != self.owner || held > 0 {
                        self.give(&piece[run..at], tell)?;
                        run = at;
                        self.owner = owner;
                    }
                    if let Some(collection) = owner {
                        let listed = &mut self.collections[collection].end;
                        listed.counts.add(word);
                        tell(Event::Document { collection, start: listed.bytes + (at - run) as u64 })?;
                    }
                    at += count;
                    if held > 0 {
                        self.give(&self.framing.word(), tell)?;
                        run = at;
                    }
                }
                Step::BadEnd => {
                    at += count;
                    self.lose(self.framing.bad_end());
                }
                Step::Inside { is_end } => {
                    if self.owner.is_none() {
                        self.document.extend_from_slice(&piece[at..at + count]);
                    }
                    at += count;
                    if is_end && self.owner.is_none() {
                        self.end_of_own_document(tell)?;
                    }
                }
            }
        }
        self.give(&piece[run..at], tell)?;
        if at < piece.len() {
            self.owner = None;
            self.give(&piece[at..], tell)?;
        }
        Ok(())
    }

    /// Whether its first bytes showed that it is no archive.
    pub fn is_none(&self) -> bool {
        self.place == Place::Lost && self.framing.at <= MAGIC.len() as u64
    }

    /// Tells of bytes whose they are.
    fn give<E>(&mut self, bytes: &[u8], tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        match self.owner {
            _ if bytes.is_empty() => Ok(()),
            None => tell(Event::Frame(bytes)),
            Some(collection) => {
                let listed = &mut self.collections[collection];
                listed.checksum.add(bytes);
                listed.end.bytes += bytes.len() as u64;
                tell(Event::Bytes { collection, bytes })
            }
        }
    }

    fn lose(&mut self, fault: Fault) {
        self.note(fault);
        self.place = Place::Lost;
    }

    fn note(&mut self, fault: Fault) {
        let inside = match self.place {
            Place::Block(collection) => format!(", among the documents of {}", self.collections[collection].shown()),
            _ => String::new(),
        };
        self.fault.get_or_insert(Fault { what: fault.what + &inside, ..fault });
    }

    /// Four bytes stand where something begins or ends: whose they are.
    fn begin(&mut self, word: u32) -> Option<usize> {
        let at = self.framing.at - 4;
        match (self.place, word) {
            (Place::Magic, word) if word == u32::from_le_bytes(MAGIC) => self.place = Place::Header,
            (Place::Magic, _) => self.lose(Fault::new(at, "it does not begin as an archive")),
            (Place::Header, TERMINATOR) => self.lose(Fault::new(at, "a prelude without a header")),
            (Place::BetweenBlocks, word) if word == u32::from_le_bytes(MAGIC) => {
                let what = "another archive follows it; several make one snapshot as files of their own";
                self.lose(Fault::new(at, what));
            }
            (Place::BetweenBlocks, TERMINATOR) => self.lose(Fault::new(at, "a block without a header")),
            (Place::Collections | Place::Block(_) | Place::EndBlock, TERMINATOR) => self.place = Place::BetweenBlocks,
            (Place::EndBlock, _) => self.lose(Fault::new(at, "documents in the last block of a collection")),
            _ => match (self.framing.begin(), self.place) {
                (Err(fault), _) => self.lose(fault),
                (Ok(()), Place::Block(collection)) => return Some(collection),
                (Ok(()), _) => {
                    self.document.clear();
                    self.document.extend_from_slice(&word.to_le_bytes());
                }
            },
        }
        None
    }

    /// A document of the archive itself has come.
    fn end_of_own_document<E>(&mut self, tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        let document = std::mem::take(&mut self.document);
        let told = match self.place {
            Place::Header => {
                let shown = |name| text(&document, name).map(|text| String::from_utf8_lossy(text).into_owned());
                self.header =
                    ArchiveHeader { server_version: shown("server_version"), tool_version: shown("tool_version") };
                self.place = Place::Collections;
                Ok(())
            }
            Place::Collections => self.list(&document, tell),
            _ => self.begin_block(&document, tell),
        };
        self.document = document;
        told
    }

    /// Where the document begins that has just come.
    fn start_of(&self, document: &[u8]) -> u64 {
        self.framing.at - document.len() as u64
    }

    /// A collection of the prelude.
    fn list<E>(&mut self, document: &[u8], tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        let start = self.start_of(document);
        let (Some(database), Some(name)) = (text(document, "db"), text(document, "collection")) else {
            self.lose(Fault::new(start, "a collection without a name in the prelude"));
            return Ok(());
        };
        let key = key_of(database, name);
        if self.numbers.contains_key(&key) {
            self.lose(Fault::new(start, "a collection that is listed twice"));
            return Ok(());
        }
        let kind = text(document, "type").filter(|kind| !kind.is_empty());
        let kind = kind.map(|kind| String::from_utf8_lossy(kind).into_owned());
        self.add(key, database, name, kind);
        tell(Event::Collection { database, name, metadata: text(document, "metadata").unwrap_or_default() })
    }

    fn add(&mut self, key: Vec<u8>, database: &[u8], name: &[u8], kind: Option<String>) -> usize {
        let number = self.collections.len();
        self.numbers.insert(key, number);
        let end = CollectionEnd { database: database.to_vec(), name: name.to_vec(), kind, ..CollectionEnd::default() };
        self.collections.push(Listed { end, ..Listed::default() });
        number
    }

    /// The head of a block.
    fn begin_block<E>(&mut self, head: &[u8], tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        let start = self.start_of(head);
        let (Some(database), Some(name)) = (text(head, "db"), text(head, "collection")) else {
            self.lose(Fault::new(start, "a block without the name of a collection"));
            return Ok(());
        };
        let Some(number) = self.number_of(database, name, tell)? else {
            let shown = String::from_utf8_lossy(name);
            self.lose(Fault::new(start, format!("a block of {shown}, which the prelude does not list")));
            return Ok(());
        };
        let listed = &mut self.collections[number];
        if listed.has_ended {
            let what = format!("a block of {} behind its last one", listed.shown());
            self.lose(Fault::new(start, what));
            return Ok(());
        }
        let from = *listed.first_block.get_or_insert(start);
        if field(head, "EOF") != Some(Value::Bool(true)) {
            self.place = Place::Block(number);
            return Ok(());
        }
        listed.has_ended = true;
        let (told, real) = (field(head, "CRC"), listed.checksum.value());
        if told != Some(Value::Int(real as i64)) {
            let what = format!(
                "the documents of {}, in blocks from byte {from} on, do not have the checksum of its last block",
                listed.shown()
            );
            self.note(Fault::new(start, what));
        }
        self.place = Place::EndBlock;
        tell(Event::End { collection: number })
    }

    /// The collection of this name. That of a time series' documents is not listed, but the time series is.
    fn number_of<E>(
        &mut self,
        database: &[u8],
        name: &[u8],
        tell: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let key = key_of(database, name);
        if let Some(&number) = self.numbers.get(&key) {
            return Ok(Some(number));
        }
        let Some(series) = name.strip_prefix(BUCKETS_PREFIX.as_bytes()) else { return Ok(None) };
        let Some(&series) = self.numbers.get(&key_of(database, series)) else { return Ok(None) };
        let listed = &mut self.collections[series];
        if listed.end.kind.as_deref() != Some(TIME_SERIES) {
            return Ok(None);
        }
        // It ends with its documents.
        listed.has_ended = true;
        tell(Event::Collection { database, name, metadata: b"" })?;
        Ok(Some(self.add(key, database, name, None)))
    }

    /// Tells that nothing follows, and what was learned.
    pub fn finish<E>(mut self, tell: &mut impl FnMut(Event) -> Result<(), E>) -> Result<ArchiveEnd, E> {
        let end = self.framing.at;
        // What was held may be anything.
        let held = self.framing.held();
        self.owner = None;
        self.give(&self.framing.word()[..held], tell)?;
        let inside = match self.place {
            Place::BetweenBlocks if !self.framing.is_inside() => None,
            Place::Magic | Place::Header | Place::Collections => Some("it ends within its prelude".to_string()),
            Place::Block(collection) => {
                Some(format!("it ends within a block of {}", self.collections[collection].shown()))
            }
            Place::BetweenBlocks | Place::EndBlock | Place::Lost => Some("it ends within a block".into()),
        };
        let unended = || {
            let listed = self.collections.iter().find(|listed| !listed.has_ended)?;
            Some(format!("it ends before the last block of {}", listed.shown()))
        };
        let missing = inside.or_else(unended).map(|what| Fault::new(end, what));
        let fault = self.fault.take().or(missing);
        let collections = self.collections.into_iter().map(|listed| listed.end).collect();
        Ok(ArchiveEnd { header: self.header, collections, fault })
    }
}

#[cfg(test)]
mod tests;
