//! TarArchive: reads an archive of `pg_dump -Ft`. Its first member is the table of contents; then come the rows of each table, and
//! large objects, as they are.

use crate::dump::postgres::archive::TOC_FILE;
use crate::dump::postgres::archive::text::ArchiveText;
use crate::dump::postgres::archive::toc::{Compression, TAR_FORMAT, TocReader};
use crate::dump::unpack::{ArchiveEnd, ArchiveReader, Output, Tell};
use crate::error::Result;

const BLOCK_BYTES: usize = 512;

/// Blocks of zeros at the end.
const LAST_BLOCKS: u32 = 2;

/// Reads one archive.
pub struct TarArchive {
    key: String,
    text: Option<ArchiveText>,
    place: Place,
    /// What came of a header.
    header: Vec<u8>,
    /// Blocks of zeros that came.
    last_blocks: u32,
    fault: Option<String>,
}

enum Place {
    Header,
    /// So many bytes of a member are to come, and then so many that fill its last block.
    Member {
        what: Member,
        left: u64,
        filling: u64,
    },
}

enum Member {
    Toc(Box<TocReader>),
    Rows,
    Object,
    /// It ends the large objects of an entry.
    Objects,
    Other,
}

impl TarArchive {
    pub fn new(key: String) -> TarArchive {
        TarArchive { key, text: None, place: Place::Header, header: Vec::new(), last_blocks: 0, fault: None }
    }

    /// Takes bytes of a header.
    fn header(&mut self, rest: &[u8], tell: &mut Tell) -> Result<usize> {
        let taken = rest.len().min(BLOCK_BYTES - self.header.len());
        self.header.extend_from_slice(&rest[..taken]);
        tell(Output::Frame(&rest[..taken]))?;
        if self.header.len() < BLOCK_BYTES {
            return Ok(taken);
        }
        let header = std::mem::take(&mut self.header);
        if header.iter().all(|&byte| byte == 0) {
            self.last_blocks += 1;
            return Ok(taken);
        }
        let member = match told_member(&header) {
            Some(member) if self.last_blocks == 0 => member,
            Some(_) => return self.fail(taken, "something follows the end of the archive"),
            None => return self.fail(taken, "the header of a member is damaged"),
        };
        let (name, left) = member;
        let filling = left.next_multiple_of(BLOCK_BYTES as u64) - left;
        let what = self.begin_member(&name, tell)?;
        self.place = Place::Member { what, left, filling };
        if left == 0 {
            self.end_member(tell)?;
        }
        Ok(taken)
    }

    fn fail(&mut self, taken: usize, fault: impl Into<String>) -> Result<usize> {
        self.fault = Some(fault.into());
        Ok(taken)
    }

    fn begin_member(&mut self, name: &[u8], tell: &mut Tell) -> Result<Member> {
        let Some(text) = &mut self.text else {
            if name != TOC_FILE.as_bytes() {
                self.fault = Some("its first member is not toc.dat".into());
            }
            return Ok(Member::Toc(Box::default()));
        };
        let number = |prefix: &[u8]| {
            let number = name.strip_prefix(prefix).and_then(|name| name.strip_suffix(b".dat"));
            number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok())
        };
        if let Some(number) = number(b"blob_") {
            if text.present().is_none() {
                let Some(entry) = text.script().next_with_large_objects() else {
                    self.fault = Some(format!("nothing tells of large object {number}"));
                    return Ok(Member::Other);
                };
                text.begin_data(entry, tell)?;
            }
            text.begin_object(number);
            return Ok(Member::Object);
        }
        if name.starts_with(b"blobs") && name.ends_with(b".toc") {
            return Ok(Member::Objects);
        }
        let script = text.script();
        let entry = number(b"").and_then(|id| script.toc().with_id(id));
        let Some(entry) = entry.filter(|&at| script.toc().entries[at].has_data && !script.has_come(at)) else {
            return Ok(Member::Other);
        };
        text.begin_data(entry, tell)?;
        Ok(Member::Rows)
    }

    /// Takes bytes of the present member, and of what fills its last block.
    fn member(&mut self, rest: &[u8], tell: &mut Tell) -> Result<usize> {
        let Place::Member { what, left, filling } = &mut self.place else { return Ok(0) };
        if *left == 0 {
            let taken = rest.len().min(*filling as usize);
            *filling -= taken as u64;
            if *filling == 0 {
                self.place = Place::Header;
            }
            tell(Output::Frame(&rest[..taken]))?;
            return Ok(taken);
        }
        let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
        let bytes = &rest[..taken];
        *left -= taken as u64;
        let is_last = *left == 0;
        tell(if matches!(what, Member::Rows) { Output::Shared(bytes) } else { Output::Frame(bytes) })?;
        match (what, &mut self.text) {
            (Member::Toc(reader), None) => match reader.push(bytes) {
                Ok(None) if is_last => self.fault = Some("its table of contents ends early".into()),
                Ok(None) => {}
                Ok(Some((toc, _)))
                    if toc.header.format != TAR_FORMAT || toc.header.compression != Compression::None =>
                {
                    self.fault = Some("its table of contents is none of an archive of tar".into());
                }
                Ok(Some((toc, _))) => self.text = Some(ArchiveText::begin(toc, &self.key, tell)?),
                Err(fault) => self.fault = Some(fault.into()),
            },
            (Member::Object, Some(text)) => text.object_bytes(bytes, tell)?,
            _ => {}
        }
        if is_last {
            self.end_member(tell)?;
        }
        Ok(taken)
    }

    fn end_member(&mut self, tell: &mut Tell) -> Result<()> {
        if let (Place::Member { what: Member::Rows | Member::Objects, .. }, Some(text)) = (&self.place, &mut self.text)
        {
            text.end_data(tell)?;
        }
        if let Place::Member { filling: 0, .. } = self.place {
            self.place = Place::Header;
        }
        Ok(())
    }
}

impl ArchiveReader for TarArchive {
    fn usual_name(&self) -> &'static str {
        "dump.tar"
    }

    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()> {
        let mut rest = piece;
        while !rest.is_empty() && self.fault.is_none() {
            let taken = match self.place {
                Place::Header => self.header(rest, tell)?,
                Place::Member { .. } => self.member(rest, tell)?,
            };
            rest = &rest[taken..];
        }
        if !rest.is_empty() {
            tell(Output::Frame(rest))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd> {
        let is_ended = matches!(self.place, Place::Header) && self.header.is_empty();
        if self.fault.is_none() && !(is_ended && self.last_blocks >= LAST_BLOCKS) {
            self.fault = Some("the archive ends early".into());
        }
        let Some(mut text) = self.text else {
            let fault = self.fault.or(Some("the archive has no table of contents".into()));
            return Ok(ArchiveEnd { fault, ..ArchiveEnd::default() });
        };
        let fault = match self.fault {
            None => text.finish(tell)?,
            fault => fault,
        };
        Ok(text.end("tar", fault))
    }
}

/// The name and the length of the member whose header this is; `None` where it is damaged.
fn told_member(header: &[u8]) -> Option<(Vec<u8>, u64)> {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let told = octal(&header[CHECKSUM])?;
    // Its own bytes count as blanks.
    let sum: u64 =
        header.iter().enumerate().map(|(at, &byte)| u64::from(if CHECKSUM.contains(&at) { b' ' } else { byte })).sum();
    if told != sum {
        return None;
    }
    let name = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
    Some((name.to_vec(), length(&header[124..136])?))
}

/// A number in octal digits, or where those do not suffice, in bytes behind one with its highest bit set.
fn length(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, high @ ..] => {
            let (zeros, number) = high.split_at(high.len() - 8);
            let number = u64::from_be_bytes(number.try_into().ok()?);
            zeros.iter().all(|&byte| byte == 0).then_some(number).filter(|&number| number < 1 << 62)
        }
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches(|c: char| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).ok()
}
