//! Toc: the table of contents of an archive. It is read as it comes, and kept: what is behind the rows of tables is told by it too.

use std::collections::HashMap;

use crate::dump::postgres::archive::fields::{FieldError, FieldResult, Fields};

/// What every table of contents begins with.
pub const MAGIC: &[u8; 5] = b"PGDMP";

/// Longest table of contents. One of a hundred thousand tables takes some hundred megabytes.
const TOC_MAX_BYTES: usize = 1 << 30;

/// Most entries; a table has some six.
const ENTRIES_MAX: u32 = 8 << 20;

/// Formats that a header names; a directory has that of tar.
pub const CUSTOM_FORMAT: u8 = 1;
pub const TAR_FORMAT: u8 = 3;

/// Versions that are read: of `pg_dump` 9 to 18.
const OLDEST: (u8, u8) = (1, 12);
const NEWEST: (u8, u8) = (1, 16);

/// Relations that are partitioned tables.
pub const PARTITIONED_TABLE: u32 = b'p' as u32;

/// The section of what comes behind the rows.
const POST_DATA: i64 = 4;

/// How the members of an archive are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    /// A zlib stream in a custom archive, gzip in a directory.
    Gzip,
    Lz4,
    Zstd,
}

/// What the beginning of a table of contents tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// `(1, 14)`
    pub version: (u8, u8),
    /// Bytes of a number, besides its sign.
    pub number_bytes: usize,
    offset_bytes: usize,
    pub format: u8,
    pub compression: Compression,
    pub database: Option<Vec<u8>>,
    pub server_version: Option<Vec<u8>>,
    pub program_version: Option<Vec<u8>>,
}

/// A text of a table of contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    start: u32,
    /// [`ABSENT`] where there is none at all.
    length: u32,
}

const ABSENT: u32 = u32::MAX;

/// An object of the dump, or its rows.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: u32,
    pub has_data: bool,
    /// It belongs behind the rows of all tables.
    pub is_post_data: bool,
    pub tag: Text,
    /// What it is: `TABLE`, `TABLE DATA`.
    pub kind: Text,
    pub definition: Text,
    pub drop: Text,
    pub copy: Text,
    pub schema: Text,
    pub tablespace: Text,
    pub table_am: Text,
    pub relation_kind: u32,
    pub owner: Text,
    /// The first entry that it depends on.
    pub depends_on: Option<u32>,
    /// The member that has its data, of a directory or of tar.
    pub file: Text,
}

/// A table of contents.
#[derive(Debug, Clone, Default)]
pub struct Toc {
    pub header: Header,
    pub entries: Vec<Entry>,
    texts: Vec<u8>,
    by_id: HashMap<u32, usize>,
}

impl Toc {
    /// A text, which is empty where there is none.
    pub fn text(&self, text: Text) -> &[u8] {
        self.present(text).unwrap_or_default()
    }

    /// A text, if there is one.
    pub fn present(&self, text: Text) -> Option<&[u8]> {
        let start = text.start as usize;
        (text.length != ABSENT).then(|| &self.texts[start..start + text.length as usize])
    }

    /// The entry of this number.
    pub fn with_id(&self, id: u32) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    fn keep(&mut self, text: Option<&[u8]>) -> Text {
        let start = self.texts.len() as u32;
        let Some(text) = text else { return Text { start, length: ABSENT } };
        self.texts.extend_from_slice(text);
        Text { start, length: text.len() as u32 }
    }
}

/// Reads a table of contents.
#[derive(Default)]
pub struct TocReader {
    /// What came and was not read.
    bytes: Vec<u8>,
    /// Bytes that were read.
    passed: usize,
    toc: Toc,
    /// Entries that are to come, once the header was read.
    left: Option<u32>,
}

/// Why a table of contents cannot be read.
pub type TocFault = &'static str;

impl TocReader {
    /// Takes the next bytes. Where the table of contents ends in them, gives it, and how many bytes it took of them.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<(Toc, usize)>, TocFault> {
        if self.passed + self.bytes.len() + piece.len() > TOC_MAX_BYTES {
            // What follows it may come with it.
            return self.push_up_to(&piece[..(TOC_MAX_BYTES - self.passed - self.bytes.len()).min(piece.len())]);
        }
        self.push_up_to(piece)
    }

    fn push_up_to(&mut self, piece: &[u8]) -> Result<Option<(Toc, usize)>, TocFault> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        let mut at = 0;
        let is_whole = loop {
            match self.step(at) {
                Ok(Some(next)) => at = next,
                Ok(None) => break true,
                Err(FieldError::More) if self.passed + self.bytes.len() >= TOC_MAX_BYTES => {
                    return Err("its table of contents is too long");
                }
                Err(FieldError::More) => break false,
                Err(FieldError::Wrong(reason)) => return Err(reason),
            }
        };
        self.passed += at;
        self.bytes.drain(..at);
        // What was there before was not enough.
        Ok(is_whole.then(|| (std::mem::take(&mut self.toc), at.saturating_sub(before))))
    }

    /// Reads the header, or the next entry, which begins there: where that ends, or `None` behind the last.
    fn step(&mut self, at: usize) -> FieldResult<Option<usize>> {
        let bytes = &self.bytes[at..];
        let Some(left) = &mut self.left else {
            let mut fields = Fields::new(bytes, 0);
            self.toc.header = header(&mut fields)?;
            self.left = Some(fields.count()?);
            if self.left > Some(ENTRIES_MAX) {
                return Err(FieldError::Wrong("its table of contents has too many entries"));
            }
            return Ok(Some(at + fields.at));
        };
        if *left == 0 {
            return Ok(None);
        }
        let mut fields = Fields::new(bytes, self.toc.header.number_bytes);
        let told = ToldEntry::read(&mut fields, &self.toc.header)?;
        let read = fields.at;
        *left -= 1;
        let entry = told.keep(&mut self.toc);
        self.toc.by_id.entry(entry.id).or_insert(self.toc.entries.len());
        self.toc.entries.push(entry);
        Ok(Some(at + read))
    }
}

/// How the members of an archive are compressed that begins with these bytes, if these tell.
pub fn compression(first: &[u8]) -> Option<Compression> {
    start_of_header(&mut Fields::new(first, 0)).ok().map(|header| header.compression)
}

/// A header up to how members are compressed.
fn start_of_header(fields: &mut Fields) -> FieldResult<Header> {
    if fields.take(MAGIC.len())? != MAGIC {
        return Err(FieldError::Wrong("its table of contents does not begin with PGDMP"));
    }
    let version = (fields.byte()?, fields.byte()?);
    if !(OLDEST..=NEWEST).contains(&version) {
        return Err(FieldError::Wrong("archives of its version are not known"));
    }
    fields.byte()?;
    fields.number_bytes = fields.byte()?.into();
    let offset_bytes = fields.byte()?.into();
    let format = fields.byte()?;
    let compression = match version >= (1, 15) {
        true => algorithm(fields.byte()?)?,
        false if fields.number()? == 0 => Compression::None,
        false => Compression::Gzip,
    };
    let number_bytes = fields.number_bytes;
    Ok(Header { version, number_bytes, offset_bytes, format, compression, ..Header::default() })
}

fn header(fields: &mut Fields) -> FieldResult<Header> {
    let start = start_of_header(fields)?;
    // When it was made.
    for _ in 0..7 {
        fields.number()?;
    }
    let mut text = || fields.text(TOC_MAX_BYTES).map(|text| text.map(<[u8]>::to_vec));
    let (database, server_version, program_version) = (text()?, text()?, text()?);
    Ok(Header { database, server_version, program_version, ..start })
}

fn algorithm(number: u8) -> FieldResult<Compression> {
    match number {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Gzip),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        _ => Err(FieldError::Wrong("it is compressed in no known way")),
    }
}

/// An entry as its fields tell it.
struct ToldEntry<'b> {
    id: u32,
    has_data: bool,
    is_post_data: bool,
    tag: Option<&'b [u8]>,
    kind: Option<&'b [u8]>,
    /// Definition, drop statement, copy statement, schema, tablespace, access method.
    texts: [Option<&'b [u8]>; 6],
    relation_kind: u32,
    owner: Option<&'b [u8]>,
    depends_on: Option<u32>,
    file: Option<&'b [u8]>,
}

impl<'b> ToldEntry<'b> {
    fn read(fields: &mut Fields<'b>, header: &Header) -> FieldResult<ToldEntry<'b>> {
        let id = fields.count()?;
        let has_data = fields.number()? != 0;
        let text = |fields: &mut Fields<'b>| fields.text(TOC_MAX_BYTES);
        // Its numbers in the catalog.
        text(fields)?;
        text(fields)?;
        let (tag, kind) = (text(fields)?, text(fields)?);
        let is_post_data = fields.number()? == POST_DATA;
        let mut texts = [None; 6];
        let told = if header.version >= (1, 14) { 6 } else { 5 };
        for place in &mut texts[..told] {
            *place = text(fields)?;
        }
        let relation_kind = if header.version >= (1, 16) { fields.count()? } else { 0 };
        let owner = text(fields)?;
        // Whether it has object numbers, which no server has any more.
        text(fields)?;
        let mut depends_on = None;
        while let Some(number) = text(fields)? {
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            depends_on = depends_on.or(number);
        }
        let file = match header.format {
            CUSTOM_FORMAT => {
                fields.take(1 + header.offset_bytes)?;
                None
            }
            TAR_FORMAT => text(fields)?,
            _ => return Err(FieldError::Wrong("it has no known format")),
        };
        Ok(ToldEntry { id, has_data, is_post_data, tag, kind, texts, relation_kind, owner, depends_on, file })
    }

    fn keep(self, toc: &mut Toc) -> Entry {
        let [definition, drop, copy, schema, tablespace, table_am] = self.texts;
        Entry {
            id: self.id,
            has_data: self.has_data,
            is_post_data: self.is_post_data,
            tag: toc.keep(self.tag),
            kind: toc.keep(self.kind),
            definition: toc.keep(definition),
            drop: toc.keep(drop),
            copy: toc.keep(copy),
            schema: toc.keep(schema),
            tablespace: toc.keep(tablespace),
            table_am: toc.keep(table_am),
            relation_kind: self.relation_kind,
            owner: toc.keep(self.owner),
            depends_on: self.depends_on,
            file: toc.keep(self.file),
        }
    }
}
