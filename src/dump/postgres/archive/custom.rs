//! CustomArchive: reads an archive of `pg_dump -Fc`: its table of contents, then blocks of data, each with the number of its entry
//! in front, and made of pieces with their lengths in front, of which an empty one is the last.

use crate::compressed::recipe::StreamForm;
use crate::compressed::{UnwrapError, UnwrapLimit, Unwrapper, Wrapping};
use crate::dump::postgres::archive::fields::{FieldError, Fields};
use crate::dump::postgres::archive::text::ArchiveText;
use crate::dump::postgres::archive::toc::{CUSTOM_FORMAT, Compression, Toc, TocReader};
use crate::dump::unpack::{ArchiveEnd, ArchiveReader, Output, Tell};
use crate::error::{Error, Result};

/// What blocks begin with.
const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Plain bytes that are made at once.
const PLAIN_BYTES: usize = 256 << 10;

/// Reads one archive.
pub struct CustomArchive {
    key: String,
    limit: UnwrapLimit,
    /// As its first bytes tell.
    compression: Option<Compression>,
    toc: Option<Box<TocReader>>,
    blocks: Option<Blocks>,
    fault: Option<String>,
}

/// What follows the table of contents.
struct Blocks {
    text: ArchiveText,
    compression: Compression,
    number_bytes: usize,
    place: Place,
    /// What came of a field.
    field: Vec<u8>,
    member: Option<Unwrapper>,
    plain: Vec<u8>,
    limit: UnwrapLimit,
    /// Bytes of all members, compressed and plain.
    taken: u64,
    given: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A block begins, or nothing follows.
    Block,
    /// The number of a large object, 0 behind the last.
    Object,
    /// The length of a piece, 0 for the last.
    Length,
    /// So many bytes of a piece are to come.
    Piece(usize),
}

/// What keeps an archive from being read on.
enum Failure {
    Elsewhere(Error),
    Fault(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Elsewhere(error)
    }
}

impl From<&str> for Failure {
    fn from(fault: &str) -> Failure {
        Failure::Fault(fault.into())
    }
}

impl CustomArchive {
    /// An archive out of whose members so much may come, and of which the first bytes may tell how they are compressed.
    pub fn new(key: String, limit: UnwrapLimit, compression: Option<Compression>) -> CustomArchive {
        CustomArchive { key, limit, compression, toc: Some(Box::default()), blocks: None, fault: None }
    }

    fn read(&mut self, piece: &[u8], tell: &mut Tell) -> Result<(), Failure> {
        let mut rest = piece;
        if let Some(reader) = &mut self.toc {
            let Some((toc, taken)) = reader.push(rest)? else { return Ok(()) };
            self.toc = None;
            tell(Output::Frame(&rest[..taken]))?;
            rest = &rest[taken..];
            self.blocks = Some(Blocks::begin(toc, &self.key, self.limit, tell)?);
        }
        self.blocks.as_mut().map_or(Ok(()), |blocks| blocks.read(rest, tell))
    }
}

impl ArchiveReader for CustomArchive {
    fn usual_name(&self) -> &'static str {
        "dump.custom"
    }

    fn has_streams(&self) -> bool {
        self.compression.and_then(stream_form).is_some()
    }

    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        let mut told = 0;
        let mut counting = |output: Output| {
            if let Output::Frame(bytes) = output {
                told += bytes.len();
            }
            tell(output)
        };
        if self.fault.is_none() {
            match self.read(piece, &mut counting) {
                Err(Failure::Fault(fault)) => self.fault = Some(fault),
                Err(Failure::Elsewhere(error)) => return Err(error),
                Ok(()) => {}
            }
        }
        tell(Output::Frame(&piece[told..]))
    }

    fn finish(self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd> {
        let CustomArchive { blocks, fault, .. } = *self;
        let Some(mut blocks) = blocks else {
            let fault = fault.unwrap_or_else(|| "the archive ends within its table of contents".into());
            return Ok(ArchiveEnd { fault: Some(fault), ..ArchiveEnd::default() });
        };
        let fault = match fault {
            Some(fault) => Some(fault),
            None if blocks.place != Place::Block || !blocks.field.is_empty() => {
                Some("the archive ends within its data".into())
            }
            None => blocks.text.finish(tell)?,
        };
        Ok(blocks.text.end("custom", fault))
    }
}

/// Streams that a recipe can tell of.
fn stream_form(compression: Compression) -> Option<StreamForm> {
    match compression {
        Compression::Gzip => Some(StreamForm::Zlib),
        Compression::None => Some(StreamForm::Plain),
        Compression::Lz4 | Compression::Zstd => None,
    }
}

impl Blocks {
    fn begin(toc: Toc, key: &str, limit: UnwrapLimit, tell: &mut Tell) -> Result<Blocks, Failure> {
        let header = &toc.header;
        if header.format != CUSTOM_FORMAT {
            return Err("its table of contents is none of one file".into());
        }
        let (compression, number_bytes) = (header.compression, header.number_bytes);
        Ok(Blocks {
            text: ArchiveText::begin(toc, key, tell)?,
            compression,
            number_bytes,
            place: Place::Block,
            field: Vec::new(),
            member: None,
            plain: Vec::new(),
            limit,
            taken: 0,
            given: 0,
        })
    }

    fn read(&mut self, mut rest: &[u8], tell: &mut Tell) -> Result<(), Failure> {
        while !rest.is_empty() {
            let taken = match self.place {
                Place::Piece(left) => {
                    let taken = rest.len().min(left);
                    self.place = if taken == left { Place::Length } else { Place::Piece(left - taken) };
                    tell(Output::Frame(&rest[..taken]))?;
                    self.piece(&rest[..taken], tell)?;
                    taken
                }
                _ => self.field(rest, tell)?,
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Takes bytes of a number, with what a block begins with.
    fn field(&mut self, rest: &[u8], tell: &mut Tell) -> Result<usize, Failure> {
        let length = usize::from(self.place == Place::Block) + 1 + self.number_bytes;
        let taken = rest.len().min(length - self.field.len());
        self.field.extend_from_slice(&rest[..taken]);
        tell(Output::Frame(&rest[..taken]))?;
        if self.field.len() < length {
            return Ok(taken);
        }
        let field = std::mem::take(&mut self.field);
        let number = |bytes| {
            Fields::new(bytes, self.number_bytes).count().map_err(|error| match error {
                FieldError::Wrong(reason) => Failure::from(reason),
                FieldError::More => Failure::from("it has a number that is cut short"),
            })
        };
        match self.place {
            Place::Block => {
                let id = number(&field[1..])?;
                self.begin_block(field[0], id, tell)?;
            }
            Place::Object => match number(&field)? {
                0 => self.end_block(tell)?,
                object => {
                    self.text.begin_object(object);
                    self.begin_member();
                }
            },
            Place::Length => match number(&field)? as usize {
                0 => self.end_member(tell)?,
                length => self.place = Place::Piece(length),
            },
            Place::Piece(_) => {}
        }
        Ok(taken)
    }

    fn begin_block(&mut self, kind: u8, id: u32, tell: &mut Tell) -> Result<(), Failure> {
        let script = self.text.script();
        let entry = script.toc().with_id(id).filter(|&at| script.toc().entries[at].has_data);
        let entry = entry.ok_or("it has data that its table of contents does not tell of")?;
        if script.has_come(entry) {
            return Err(Failure::Fault(format!("{} in it twice", self.text.data_of(entry))));
        }
        let is_known = matches!((kind, script.holds_large_objects(entry)), (DATA, false) | (LARGE_OBJECTS, true));
        if !is_known {
            return Err("it has data of no known kind".into());
        }
        self.text.begin_data(entry, tell)?;
        if kind == LARGE_OBJECTS {
            self.place = Place::Object;
            return Ok(());
        }
        self.begin_member();
        // Large objects are written in another way in the text.
        let form = stream_form(self.compression);
        form.map_or(Ok(()), |form| Ok(tell(Output::Stream { form, length_bytes: self.number_bytes })?))
    }

    fn end_block(&mut self, tell: &mut Tell) -> Result<(), Failure> {
        self.place = Place::Block;
        Ok(self.text.end_data(tell)?)
    }

    /// The rows of a table begin, or a large object.
    fn begin_member(&mut self) {
        self.place = Place::Length;
        // What comes out of all of them together is limited.
        let limit = UnwrapLimit::Bytes(u64::MAX);
        self.member = match self.compression {
            Compression::Gzip => Some(Unwrapper::of_zlib(limit)),
            Compression::Zstd => Some(Unwrapper::new(Wrapping::Zstd, limit)),
            Compression::Lz4 => Some(Unwrapper::new(Wrapping::Lz4, limit)),
            Compression::None => None,
        };
    }

    fn end_member(&mut self, tell: &mut Tell) -> Result<(), Failure> {
        if let Some(member) = self.member.take() {
            match member.finish() {
                Ok(None) => {}
                Ok(Some(_)) => return Err(self.damaged("compressed data ends early")),
                Err(error) => return Err(self.damaged(&error.to_string())),
            }
        }
        let is_object = self.text.present().is_some_and(|entry| self.text.script().holds_large_objects(entry));
        if is_object {
            self.place = Place::Object;
            return Ok(());
        }
        self.end_block(tell)
    }

    fn damaged(&self, reason: &str) -> Failure {
        let what = self.text.present().map_or_else(|| "data is".into(), |entry| self.text.data_of(entry));
        Failure::Fault(format!("{what} damaged: {reason}"))
    }

    /// Takes bytes of a member.
    fn piece(&mut self, mut bytes: &[u8], tell: &mut Tell) -> Result<(), Failure> {
        let Some(mut member) = self.member.take() else { return Ok(self.tell_plain(bytes, tell)?) };
        let mut plain = std::mem::take(&mut self.plain);
        plain.resize(PLAIN_BYTES, 0);
        loop {
            let step = member.step(bytes, &mut plain).map_err(|error| self.damaged(&error.to_string()))?;
            self.taken += step.taken as u64;
            self.given += step.given as u64;
            if !self.limit.allows(self.taken, self.given) {
                let reason = UnwrapError::TooLarge { taken: self.taken, limit: self.limit }.to_string();
                return Err(Error::invalid("archive", "of pg_dump", reason).into());
            }
            self.tell_plain(&plain[..step.given], tell)?;
            bytes = &bytes[step.taken..];
            if step.given < plain.len() && bytes.is_empty() {
                break;
            }
            if step.taken == 0 && step.given == 0 {
                return Err(self.damaged("something follows its compressed data"));
            }
        }
        (self.member, self.plain) = (Some(member), plain);
        Ok(())
    }

    fn tell_plain(&mut self, bytes: &[u8], tell: &mut Tell) -> Result<()> {
        let is_object = self.text.present().is_some_and(|entry| self.text.script().holds_large_objects(entry));
        match is_object {
            true => self.text.object_bytes(bytes, tell),
            false => tell(Output::Text(bytes)),
        }
    }
}
