//! Footer of a pack: which chunks it holds, and where. Format: `docs/format.md` section 4.

use super::PACK_HEADER_BYTES;
use crate::codec::{DecodeError, Decoder, Encoder, FrameHeader};
use crate::error::Result;
use crate::id::{ChunkId, WriterObject};

/// What is told of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterEntry {
    pub id: ChunkId,
    /// Where the chunk's record begins in the file. The chunks of a group have the same.
    pub offset: u64,
    pub record_bytes: u32,
    /// Which of the chunks of the record it is, from 0.
    pub member: u32,
    pub plain_bytes: u32,
}

/// A pack's footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Version and features; the pack's own header must have the same.
    pub frame: FrameHeader,
    /// In the order in which they came: a chunk's place here is its slot.
    pub entries: Vec<FooterEntry>,
    /// The slots, in the order in which their chunks lie in the file.
    by_place: Vec<u32>,
    /// Packs that bases of its records lie in: without them those records say nothing.
    pub base_packs: Vec<WriterObject>,
}

impl Footer {
    /// A footer that lists these.
    pub fn new(frame: FrameHeader, entries: Vec<FooterEntry>, base_packs: Vec<WriterObject>) -> Footer {
        let mut by_place: Vec<u32> = (0..entries.len() as u32).collect();
        by_place.sort_by_key(|&slot| (entries[slot as usize].offset, entries[slot as usize].member));
        Footer { frame, entries, by_place, base_packs }
    }

    /// The chunks as they lie in the file, those of a group side by side.
    pub fn by_place(&self) -> impl Iterator<Item = FooterEntry> {
        self.by_place.iter().map(|&slot| self.entries[slot as usize])
    }
}

/// The body of a footer. `groups` are the slots of each group.
pub fn encode(entries: &[FooterEntry], groups: &[Vec<usize>], base_packs: &[WriterObject]) -> Vec<u8> {
    let mut is_grouped = vec![false; entries.len()];
    groups.iter().flatten().for_each(|&slot| is_grouped[slot] = true);
    let mut runs: Vec<u64> = is_grouped.chunk_by(|a, b| a == b).map(|run| run.len() as u64).collect();
    if is_grouped.first() == Some(&false) {
        runs.insert(0, 0);
    }
    let mut body = Encoder::new();
    body.list(entries, |body, entry| {
        body.raw(&entry.id.0);
    });
    for entry in entries {
        body.varint(entry.plain_bytes.into());
    }
    body.list(groups, |body, group| {
        body.varint(entries[group[0]].record_bytes.into()).varint(group.len() as u64);
    });
    body.list(&runs, |body, run| {
        body.varint(*run);
    });
    for (entry, _) in entries.iter().zip(is_grouped).filter(|(_, is_grouped)| !is_grouped) {
        body.varint(entry.record_bytes.into());
    }
    body.list(base_packs, |body, pack| {
        body.writer_object(pack);
    });
    body.bytes
}

/// What the body of a footer lists. `object` names the pack in errors.
pub fn decode(body: &[u8], frame: FrameHeader, object: &str) -> Result<Footer> {
    let mut decoder = Decoder::new(body);
    let entries = match frame.read_features & super::GROUPS {
        0 => decode_entries(&mut decoder),
        _ => decode_chunks(&mut decoder),
    };
    let footer = entries.and_then(|entries| {
        let base_packs = decoder.list(Decoder::writer_object)?;
        decoder.end().map(|()| Footer::new(frame, entries, base_packs))
    });
    footer.map_err(DecodeError::of(format!("the footer of {object}")))
}

/// What a footer without groups lists: chunks, each with its record.
fn decode_entries(decoder: &mut Decoder) -> Result<Vec<FooterEntry>, DecodeError> {
    let mut offset = PACK_HEADER_BYTES;
    decoder.list(|item| {
        let id = ChunkId(item.array()?);
        let record_bytes = item.varint32()?;
        let entry = FooterEntry { id, offset, record_bytes, member: 0, plain_bytes: item.varint32()? };
        offset += u64::from(record_bytes);
        Ok(entry)
    })
}

/// What one with groups lists: chunks as they came, and what tells where they lie.
fn decode_chunks(decoder: &mut Decoder) -> Result<Vec<FooterEntry>, DecodeError> {
    let ids = decoder.list(|item| item.array().map(ChunkId))?;
    let entry = |id: &ChunkId, plain_bytes| FooterEntry { id: *id, offset: 0, record_bytes: 0, member: 0, plain_bytes };
    let entries = ids.iter().map(|id| decoder.varint32().map(|plain_bytes| entry(id, plain_bytes)));
    let mut entries = entries.collect::<Result<Vec<FooterEntry>, DecodeError>>()?;
    let groups = decoder.list(|item| Ok((item.varint32()?, item.varint32()?)))?;
    let runs = decoder.list(Decoder::varint)?;
    let (mut layout, mut slot) = (Layout { groups: groups.into_iter(), ..Layout::default() }, 0);
    for (number, run) in runs.into_iter().enumerate() {
        for _ in 0..run {
            let placed = match number % 2 {
                _ if slot == entries.len() => None,
                0 => layout.grouped(slot, &mut entries),
                _ => layout.alone(decoder.varint32()?, &mut entries[slot]),
            };
            if placed.is_none() {
                return decoder.fail("it lists other records than chunks");
            }
            slot += 1;
        }
    }
    match layout.end(&mut entries) && slot == entries.len() {
        true => Ok(entries),
        false => decoder.fail("it lists fewer records than chunks"),
    }
}

/// Finds out where records lie, as they were written: that of a chunk alone when the chunk came, that of a group before the
/// first chunk of the next group, or at the end.
struct Layout {
    offset: u64,
    groups: std::vec::IntoIter<(u32, u32)>,
    /// Slots of the group that is open, its length, and how many more it has.
    open: Vec<usize>,
    open_bytes: u32,
    open_left: u32,
}

impl Default for Layout {
    fn default() -> Layout {
        let (groups, open) = Default::default();
        Layout { offset: PACK_HEADER_BYTES, groups, open, open_bytes: 0, open_left: 0 }
    }
}

impl Layout {
    fn alone(&mut self, record_bytes: u32, entry: &mut FooterEntry) -> Option<()> {
        (entry.offset, entry.record_bytes) = (self.offset, record_bytes);
        self.offset += u64::from(record_bytes);
        Some(())
    }

    fn grouped(&mut self, slot: usize, entries: &mut [FooterEntry]) -> Option<()> {
        if self.open_left == 0 {
            self.place_group(entries);
            (self.open_bytes, self.open_left) = self.groups.next()?;
        }
        self.open_left = self.open_left.checked_sub(1)?;
        entries[slot].member = self.open.len() as u32;
        self.open.push(slot);
        Some(())
    }

    fn place_group(&mut self, entries: &mut [FooterEntry]) {
        for slot in self.open.drain(..) {
            (entries[slot].offset, entries[slot].record_bytes) = (self.offset, self.open_bytes);
        }
        self.offset += u64::from(std::mem::take(&mut self.open_bytes));
    }

    /// Whether no group is left.
    fn end(&mut self, entries: &mut [FooterEntry]) -> bool {
        self.place_group(entries);
        self.open_left == 0 && self.groups.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WriterId;

    #[test]
    fn a_changed_byte_is_refused_or_another_footer_and_never_a_panic() {
        let entry = |slot: u32| FooterEntry {
            id: ChunkId([slot as u8; 32]),
            offset: 27,
            record_bytes: 100,
            member: 0,
            plain_bytes: 200,
        };
        let entries: Vec<FooterEntry> = (0..20).map(entry).collect();
        let groups = [vec![1, 2, 3, 7], vec![8, 10, 19]];
        let body = encode(&entries, &groups, &[WriterObject { writer: WriterId([1; 8]), number: 7 }]);
        let frame = FrameHeader { magic: [0; 8], version: 1, read_features: super::super::GROUPS, write_features: 0 };
        assert_eq!(decode(&body, frame, "a pack").unwrap().entries.len(), 20);
        for (at, bit) in (0..body.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            let _ = decode(&changed, frame, "a pack");
        }
        assert!((0..body.len()).all(|length| decode(&body[..length], frame, "a pack").is_err()));
    }
}
