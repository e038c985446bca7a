//! Segment: what a writer publishes of its packs, `segments/<writer>-<n>`, immutable. It lists packs; their footers
//! list the chunks. Dedup trusts a segment only once a catalog record names it. Format: `docs/format.md` section 5.

use crate::codec::{DecodeError, Decoder, Encoder, seal, unseal};
use crate::error::{Error, Result};
use crate::id::{WriterId, WriterObject, hash};
use crate::store::backend::{Backend, ByteRange, Created};
use crate::store::pack::{PackKind, PackSummary};

const SEGMENT_MAGIC: &[u8; 8] = b"YFS-SEGM";

/// A segment as a catalog record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRef {
    pub name: WriterObject,
    /// BLAKE3 of the whole file, so that another file under its name is noticed.
    pub file_hash: [u8; 32],
}

/// The key of a segment in the backend.
pub fn segment_key(name: &WriterObject) -> String {
    format!("segments/{name}")
}

/// Writes the segment that publishes `packs`.
pub fn write_segment(backend: &dyn Backend, name: WriterObject, packs: &[PackSummary]) -> Result<SegmentRef> {
    let mut body = Encoder::new();
    body.raw(&name.writer.0).u32(name.number);
    body.list(packs, |body, pack| {
        body.u8(pack.kind.code()).writer_object(&pack.name);
        body.varint(pack.file_bytes).varint(u64::from(pack.footer_bytes));
        body.varint(u64::from(pack.chunks)).varint(pack.plain_bytes);
    });
    let file = seal(SEGMENT_MAGIC, &body.bytes);
    let mut object = backend.put_new(&segment_key(&name))?;
    object.write(&file)?;
    if object.finish()? == Created::AlreadyThere {
        return Err(Error::Exists { what: "segment", name: name.to_string() });
    }
    Ok(SegmentRef { name, file_hash: hash(&file) })
}

/// Reads a segment that a catalog record names.
pub fn read_segment(backend: &dyn Backend, segment: &SegmentRef) -> Result<Vec<PackSummary>> {
    let object = format!("segment {}", segment.name);
    let file = backend.get_range(&segment_key(&segment.name), ByteRange::Whole)?;
    if hash(&file) != segment.file_hash {
        return Err(Error::corrupt(object, "it is not the file that the catalog names"));
    }
    let mut decoder = Decoder::new(unseal(SEGMENT_MAGIC, &file, &object)?);
    let packs = (|| {
        let name = WriterObject { writer: WriterId(decoder.array()?), number: decoder.u32()? };
        let packs = decoder.list(decode_pack)?;
        decoder.end().map(|()| (name, packs))
    })();
    match packs.map_err(DecodeError::of(&object))? {
        (name, packs) if name == segment.name => Ok(packs),
        (name, _) => Err(Error::corrupt(object, format!("it calls itself segment {name}"))),
    }
}

fn decode_pack(item: &mut Decoder) -> Result<PackSummary, DecodeError> {
    Ok(PackSummary {
        kind: PackKind::decode(item)?,
        name: item.writer_object()?,
        file_bytes: item.varint()?,
        footer_bytes: item.varint32()?,
        chunks: item.varint32()?,
        plain_bytes: item.varint()?,
    })
}
