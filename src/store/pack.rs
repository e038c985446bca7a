//! Pack: one immutable file of many chunks, `packs/<2 hex>/<writer>-<n>`; every chunk describes itself, and a footer
//! lists their ids. Format: `docs/format.md` section 4.

mod footer;

use std::collections::BTreeSet;

use crate::codec::{
    DecodeError, Decoder, Encoder, FORMAT_VERSION, seal_with_features, unseal_with_features, unverified_body,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, WriterId, WriterObject};
use crate::store::backend::{Backend, ByteRange, Created, PutNew};
use crate::store::chunk_record::{ChunkForm, EncodedChunk};
use crate::store::compress::Codec;
use crate::store::delta_group::GroupBuilder;

pub use footer::{Footer, FooterEntry};

const PACK_MAGIC: &[u8; 8] = b"YFS-PACK";
const FOOTER_MAGIC: &[u8; 8] = b"YFS-FOOT";
const TRAILER_MAGIC: &[u8; 8] = b"YFS-PEND";

/// The read feature of packs with groups, whose footers list records and chunks apart.
const GROUPS: u32 = 1;

/// The write feature of packs with pages that are told by differences.
const TOLD_PAGES: u32 = 1;

/// Bytes before the first record: magic, version, read features, kind, writer, number.
const HEADER_BYTES: usize = 8 + 2 + 4 + 1 + 8 + 4;

/// Bytes behind the footer: its length and the closing magic.
const TRAILER_BYTES: usize = 4 + 8;

/// How much of a pack's end is asked for when the footer's place is not known; most footers fit.
const FOOTER_GUESS_BYTES: u64 = 160 << 10;

/// What a pack holds: file data and tree pages never share one, so that walking trees reads little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackKind {
    Data,
    Pages,
}

impl PackKind {
    pub fn code(self) -> u8 {
        match self {
            PackKind::Data => b'd',
            PackKind::Pages => b'p',
        }
    }

    pub fn decode(decoder: &mut Decoder) -> Result<PackKind, DecodeError> {
        match decoder.u8()? {
            b'd' => Ok(PackKind::Data),
            b'p' => Ok(PackKind::Pages),
            _ => decoder.fail("unknown pack kind"),
        }
    }
}

/// The folder of all packs.
pub const PACK_FOLDER: &str = "packs";

/// The key of a pack in the backend. The folder mixes the number in, so that one large ingest spreads over all of them.
pub fn pack_key(pack: &WriterObject) -> String {
    let folder = pack.writer.0[0] ^ pack.number.to_le_bytes()[0];
    format!("{PACK_FOLDER}/{folder:02x}/{pack}")
}

/// What a segment says of a finished pack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackSummary {
    pub name: WriterObject,
    pub kind: PackKind,
    pub file_bytes: u64,
    /// Length of footer and trailer, which end the file.
    pub footer_bytes: u32,
    pub chunks: u32,
    pub plain_bytes: u64,
}

/// A finished pack with its footer still at hand.
#[derive(Debug, Clone)]
pub struct FinishedPack {
    pub summary: PackSummary,
    pub entries: Vec<FooterEntry>,
    /// Packs that it needs, as its footer tells them.
    pub base_packs: BTreeSet<WriterObject>,
}

/// A pack that is being written.
pub struct PackWriter {
    object: Box<dyn PutNew>,
    name: WriterObject,
    kind: PackKind,
    offset: u64,
    plain_bytes: u64,
    entries: Vec<FooterEntry>,
    group: GroupBuilder,
    /// The slots of the chunks of the group.
    grouped: Vec<usize>,
    /// The slots of the groups that were written.
    groups: Vec<Vec<usize>>,
    base_packs: BTreeSet<WriterObject>,
    write_features: u32,
}

impl PackWriter {
    /// Starts pack `name`. Nothing is visible before [`PackWriter::finish`].
    pub fn start(backend: &dyn Backend, name: WriterObject, kind: PackKind) -> Result<PackWriter> {
        let mut header = Encoder::new();
        header.raw(PACK_MAGIC).u16(FORMAT_VERSION).u32(GROUPS).u8(kind.code()).raw(&name.writer.0).u32(name.number);
        let mut object = backend.put_new(&pack_key(&name))?;
        object.write(&header.bytes)?;
        let (entries, group, grouped, groups, base_packs) = Default::default();
        let offset = header.bytes.len() as u64;
        let (plain_bytes, write_features) = (0, 0);
        Ok(PackWriter {
            object,
            name,
            kind,
            offset,
            plain_bytes,
            entries,
            group,
            grouped,
            groups,
            base_packs,
            write_features,
        })
    }

    /// Which of its writer's packs it is.
    pub fn number(&self) -> u32 {
        self.name.number
    }

    /// Bytes written so far, without those of the group that is not full yet.
    pub fn len_bytes(&self) -> u64 {
        self.offset
    }

    /// Chunks appended so far.
    pub fn chunks(&self) -> usize {
        self.entries.len()
    }

    /// Appends one chunk: its record, or its delta to the group; a full one is written first. Returns its slot.
    pub fn append(&mut self, id: ChunkId, plain_bytes: u32, encoded: &EncodedChunk) -> Result<u32> {
        self.base_packs.extend(encoded.bases.iter().map(|base| base.pack));
        self.base_packs.extend(encoded.lists.iter().map(|run| run.pack));
        let slot = self.entries.len();
        let (mut offset, mut record_bytes, mut member) = (0, 0, 0);
        match encoded.form {
            ChunkForm::Record => {
                (offset, record_bytes) = self.write_record([encoded.bytes, encoded.plain])?;
                if encoded.bytes.first() == Some(&Codec::ToldPage.code()) {
                    self.write_features |= TOLD_PAGES;
                }
            }
            ChunkForm::Grouped => {
                if self.group.is_full() {
                    self.end_group()?;
                }
                member = self.grouped.len() as u32;
                self.group.push(plain_bytes as usize, encoded.bases, encoded.bytes);
                self.grouped.push(slot);
            }
        }
        self.entries.push(FooterEntry { id, offset, record_bytes, member, plain_bytes });
        self.plain_bytes += u64::from(plain_bytes);
        Ok(slot as u32)
    }

    /// Where the record lies that these parts make, and its length.
    fn write_record(&mut self, parts: [&[u8]; 2]) -> Result<(u64, u32)> {
        let (offset, mut record_bytes) = (self.offset, 0);
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            self.object.write(part)?;
            record_bytes += part.len() as u32;
        }
        self.offset += u64::from(record_bytes);
        Ok((offset, record_bytes))
    }

    /// Writes the group, full or not. After it no chunk waits to be written.
    pub fn end_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let record = self.group.take_record()?;
        let (offset, record_bytes) = self.write_record([&record, &[]])?;
        let group = std::mem::take(&mut self.grouped);
        for &slot in &group {
            (self.entries[slot].offset, self.entries[slot].record_bytes) = (offset, record_bytes);
        }
        self.groups.push(group);
        Ok(())
    }

    fn footer(&self) -> Vec<u8> {
        let base_packs: Vec<WriterObject> = self.base_packs.iter().copied().collect();
        let body = footer::encode(&self.entries, &self.groups, &base_packs);
        seal_with_features(FOOTER_MAGIC, GROUPS, self.write_features, &body)
    }

    /// Writes the group that is open, and the footer, and makes the pack durable and visible.
    pub fn finish(mut self) -> Result<FinishedPack> {
        self.end_group()?;
        let mut footer = Encoder { bytes: self.footer() };
        let frame_bytes = footer.bytes.len() as u32;
        footer.u32(frame_bytes).raw(TRAILER_MAGIC);
        self.object.write(&footer.bytes)?;
        if self.object.finish()? == Created::AlreadyThere {
            // Writer ids are random and numbers are never reused: another hand wrote there.
            return Err(Error::Exists { what: "pack", name: self.name.to_string() });
        }
        let summary = PackSummary {
            name: self.name,
            kind: self.kind,
            file_bytes: self.offset + footer.bytes.len() as u64,
            footer_bytes: footer.bytes.len() as u32,
            chunks: self.entries.len() as u32,
            plain_bytes: self.plain_bytes,
        };
        Ok(FinishedPack { summary, entries: self.entries, base_packs: self.base_packs })
    }
}

/// The failure to open a record, looked at again where it is an unknown codec: a damaged byte looks the same. Who uses
/// a codec of the future says so in the pack's footer, which has a checksum; in any other pack it is damage.
pub fn damage_or_newer(backend: &dyn Backend, id: &ChunkId, pack: &WriterObject, failure: Error) -> Error {
    let Error::Unsupported { reason, .. } = &failure else { return failure };
    let footer = read_footer_from(backend, pack, FOOTER_GUESS_BYTES);
    let footer_says = match footer {
        Ok(footer) if footer.frame.write_features & !TOLD_PAGES != 0 => return failure,
        Ok(_) => "its pack has none of a newer yesterfs".to_string(),
        Err(error) if error.kind() == ErrorKind::Corrupt => error.to_string(),
        Err(error) => return error,
    };
    Error::ChunkCorrupt { id: *id, pack: pack.to_string(), reason: format!("{reason}, and {footer_says}") }
}

/// Reads a pack's footer where only its name is known.
pub fn read_footer(backend: &dyn Backend, name: &WriterObject) -> Result<Footer> {
    read_footer_from(backend, name, FOOTER_GUESS_BYTES)
}

/// Reads the footer of a pack that a segment describes, in one call.
pub fn read_footer_of(backend: &dyn Backend, summary: &PackSummary) -> Result<Footer> {
    let footer = read_footer_from(backend, &summary.name, u64::from(summary.footer_bytes))?;
    let listed = footer.entries.len();
    if listed as u64 != u64::from(summary.chunks) {
        let reason = format!("its footer lists {listed} chunks, its segment {}", summary.chunks);
        return Err(Error::corrupt(format!("pack {}", summary.name), reason));
    }
    Ok(footer)
}

fn read_footer_from(backend: &dyn Backend, name: &WriterObject, last_bytes: u64) -> Result<Footer> {
    let object = format!("pack {name}");
    let frame = read_footer_frame(backend, name, last_bytes)?;
    let (frame_header, body) = unseal_with_features(FOOTER_MAGIC, GROUPS, &frame, &format!("the footer of {object}"))?;
    footer::decode(body, frame_header, &object)
}

/// The ids in a footer that is damaged: most of them are still right. For what is verified otherwise.
pub fn read_damaged_ids(backend: &dyn Backend, name: &WriterObject) -> Result<Vec<ChunkId>> {
    let frame = read_footer_frame(backend, name, FOOTER_GUESS_BYTES)?;
    let ids = Decoder::new(unverified_body(&frame)).list(|item| item.array().map(ChunkId));
    ids.map_err(DecodeError::of(format!("the footer of pack {name}")))
}

fn read_footer_frame(backend: &dyn Backend, name: &WriterObject, last_bytes: u64) -> Result<Vec<u8>> {
    let object = format!("pack {name}");
    let mut end = backend.get_range(&pack_key(name), ByteRange::Last { length: last_bytes })?;
    let frame_bytes = frame_length(&end, &object)?;
    let with_trailer = frame_bytes as u64 + TRAILER_BYTES as u64;
    if with_trailer > end.len() as u64 {
        if (end.len() as u64) < last_bytes || with_trailer <= last_bytes {
            return Err(Error::corrupt(object, "it is shorter than its footer"));
        }
        return read_footer_frame(backend, name, with_trailer);
    }
    end.truncate(end.len() - TRAILER_BYTES);
    Ok(end.split_off(end.len() - frame_bytes as usize))
}

/// Whether a published pack is still there and ends as a pack does. Cheap; `check` looks closer.
pub fn is_there(backend: &dyn Backend, name: &WriterObject) -> Result<bool> {
    let end = backend.get_range(&pack_key(name), ByteRange::Last { length: TRAILER_BYTES as u64 });
    match end.and_then(|end| frame_length(&end, &format!("pack {name}"))) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}

/// The footer's length from the trailer, which are the last bytes of `end`.
fn frame_length(end: &[u8], object: &str) -> Result<u32> {
    let trailer = end.len().checked_sub(TRAILER_BYTES).and_then(|at| end.get(at..));
    let mut trailer = Decoder::new(trailer.ok_or_else(|| Error::corrupt(object, "it is too short to be a pack"))?);
    let decoded = trailer.u32().and_then(|bytes| trailer.array::<8>().map(|magic| (bytes, magic)));
    let (frame_bytes, magic) = decoded.map_err(DecodeError::of(object))?;
    if &magic != TRAILER_MAGIC {
        return Err(Error::corrupt(object, "it does not end as a pack does; it may be cut short"));
    }
    Ok(frame_bytes)
}

/// Checks a pack's first bytes: kind and name must be what the segment says, version and features what the footer says,
/// since the header has no checksum. Used by `check`.
pub fn verify_header(header: &[u8], summary: &PackSummary, footer: &Footer) -> Result<()> {
    let object = format!("pack {}", summary.name);
    let mut decoder = Decoder::new(header);
    let parts = (|| {
        let magic = decoder.array::<8>()?;
        let (version, features) = (decoder.u16()?, decoder.u32()?);
        let kind = PackKind::decode(&mut decoder)?;
        let name = WriterObject { writer: WriterId(decoder.array()?), number: decoder.u32()? };
        Ok((magic, version, features, kind, name))
    })();
    let (magic, version, features, kind, name) = parts.map_err(DecodeError::of(&object))?;
    if &magic != PACK_MAGIC {
        return Err(Error::corrupt(object, "it does not start with the magic of a pack"));
    }
    if (version, features) != (footer.frame.version, footer.frame.read_features) {
        return Err(Error::corrupt(object, "its header and its footer tell different versions"));
    }
    if (kind, name) != (summary.kind, summary.name) {
        return Err(Error::corrupt(object, format!("its header names pack {name}")));
    }
    Ok(())
}

/// Bytes that [`verify_header`] needs.
pub const PACK_HEADER_BYTES: u64 = HEADER_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::backend::MemoryBackend;
    use crate::store::chunk_record::RecordPlace;
    use crate::store::delta_group::DeltaGroup;
    use proptest::prelude::*;

    const NAME: WriterObject = WriterObject { writer: WriterId([1; 8]), number: 7 };
    const BASE: RecordPlace =
        RecordPlace { pack: WriterObject { writer: WriterId([2; 8]), number: 3 }, offset: 27, record_bytes: 400 };

    /// A pack of chunks in groups (`Some`: so many literal bytes) and alone (`None`).
    fn pack_of(chunks: &[Option<u8>]) -> (MemoryBackend, FinishedPack) {
        let backend = MemoryBackend::default();
        let mut pack = PackWriter::start(&backend, NAME, PackKind::Data).unwrap();
        for (number, literals) in (0u32..).zip(chunks) {
            let id = ChunkId::of(&number.to_le_bytes());
            let slot = match literals {
                Some(literals) => {
                    let plain_bytes = u32::from(*literals) * 30;
                    let mut operations = Encoder::new();
                    if plain_bytes > 0 {
                        operations.varint(u64::from(plain_bytes) * 2).raw(&vec![number as u8; plain_bytes as usize]);
                    }
                    let (form, bytes) = (ChunkForm::Grouped, &operations.bytes[..]);
                    pack.append(id, plain_bytes, &EncodedChunk { form, bytes, plain: &[], bases: &[BASE], lists: &[] })
                }
                None => {
                    let bytes = number.to_le_bytes().repeat(1 + number as usize % 5);
                    pack.append(
                        id,
                        9,
                        &EncodedChunk { form: ChunkForm::Record, bytes: &bytes, plain: &[], bases: &[], lists: &[] },
                    )
                }
            };
            assert_eq!(slot.unwrap(), number);
        }
        let finished = pack.finish().unwrap();
        (backend, finished)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_footer_tells_where_every_chunk_lies(chunks in prop::collection::vec(any::<Option<u8>>(), 1..700)) {
            let (backend, finished) = pack_of(&chunks);
            let footer = read_footer_of(&backend, &finished.summary).unwrap();
            prop_assert_eq!(&footer.entries, &finished.entries);
            let file = backend.get_range(&pack_key(&NAME), ByteRange::Whole).unwrap();
            let mut end = HEADER_BYTES as u64;
            let by_place: Vec<FooterEntry> = footer.by_place().collect();
            for record in by_place.chunk_by(|a, b| a.offset == b.offset) {
                prop_assert_eq!(record[0].offset, end);
                end += u64::from(record[0].record_bytes);
                let group = DeltaGroup::open(&file[record[0].offset as usize..end as usize]).ok();
                for entry in record {
                    let member = group.as_ref().and_then(|group| group.member(entry.member));
                    let told = member.map(|member| member.plain_bytes);
                    let number = footer.entries.iter().position(|other| other == entry).unwrap();
                    prop_assert_eq!(told, chunks[number].map(|literals| usize::from(literals) * 30));
                }
            }
            prop_assert_eq!(end + u64::from(finished.summary.footer_bytes), finished.summary.file_bytes);
        }
    }
}
