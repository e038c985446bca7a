//! DumpFiles: the files of a dump's snapshot, and what each is made of.

use std::collections::VecDeque;
use std::ops::Range;

use crate::dump::layout::{INPUTS_FILE, META_DIRECTORY, ORIGINAL_DIRECTORY, PARTS_FILE, RESTORE_FILE};
use crate::error::Result;
use crate::id::ChunkId;
use crate::ingest::dump::dump_tree::DumpTree;
use crate::ingest::dump::meta;
use crate::ingest::dump::part_list::PartList;
use crate::ingest::dump::ranges::{Piece, Ranges, store_chunk};
use crate::ingest::dump::reading::StoredDumps;
use crate::ingest::dump::verdict::Verdict;
use crate::ingest::dump::{DumpFormat, RestorePiece};
use crate::ingest::{older_content, private_node};
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::node::{DirectoryRoot, Node, NodeKind};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::DataLane;
use crate::time::{Clock, Timestamp};

/// Texts that are known to be stored: most tables have the same.
const RECENT_TEXTS: usize = 16;

/// Writes the files of one dump.
pub(super) struct DumpFiles<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    pub clock: &'a Clock,
    /// The root of the snapshot before.
    pub before: Option<&'a Node>,
    pub started: Timestamp,
}

/// A file, in the order of paths.
enum File<'p> {
    /// Its content is known.
    Made { path: Vec<Vec<u8>>, content: Content },
    /// The dump, by its name.
    Dump(&'static str),
    /// A file that the dump was put together of.
    Member { path: Vec<Vec<u8>>, ranges: &'p [Range<u64>] },
    /// Parts of the dump.
    Parts(&'p [u32]),
    /// What restores the object that these parts make.
    Restore(&'p [u32]),
}

impl DumpFiles<'_, '_> {
    /// Writes the tree: its root, and how many files it has.
    pub fn write<F: DumpFormat>(&self, dump: &StoredDumps<F>, verdict: &Verdict) -> Result<(Node, u64)> {
        let mut lane = self.session.chunks().list_lane();
        let made = self.made_files(dump, verdict, &mut lane)?;
        self.store_texts(dump, &mut lane)?;
        lane.release()?;
        drop(lane);
        // Ranges are cut out of the dump's list of extents, which can be read once it is published.
        self.session.publish_all((self.clock)())?;
        let ranges = Ranges::new(self.session, &dump.content);
        let new = |permissions| private_node(permissions, self.started, NodeKind::Directory(DirectoryRoot::default()));
        let mut tree = DumpTree::new(self.session, new(0o600), new(0o700), self.before);
        in_order(&dump.parts, made, &mut |file| {
            // A page for each of a million tables would wait in memory for the end.
            self.session.publish_if_due((self.clock)())?;
            let path = file.path(&dump.parts);
            let before = tree.go_to(&path)?;
            let older = before.as_ref().and_then(Node::content);
            let content = match &file {
                File::Made { content, .. } => content.clone(),
                File::Dump(_) => dump.content.clone(),
                File::Member { ranges: stretches, .. } => ranges.content(&pieces_of_ranges(stretches), older)?,
                File::Parts(parts) => ranges.content(&pieces_of_parts(&dump.parts, parts), older)?,
                File::Restore(parts) => {
                    let pieces = restore(dump, parts);
                    ranges.content(&pieces_of_restore(&pieces), older)?
                }
            };
            tree.push(path.last().copied().unwrap_or_default(), content, before)
        })?;
        tree.finish()
    }

    /// The files whose bytes are not the dump's.
    fn made_files<'p, F: DumpFormat>(
        &self,
        dump: &'p StoredDumps<F>,
        verdict: &Verdict,
        lane: &mut DataLane,
    ) -> Result<Vec<File<'p>>> {
        let coordinates = dump.inputs.iter().map(|input| input.format.coordinates()).collect();
        let coordinates = std::iter::once(meta::coordinates_of_all(coordinates));
        let exit = dump.inputs.iter().rev().find_map(|input| input.ended.exit);
        let status = std::iter::once(meta::status(verdict, exit));
        let mut files = vec![
            self.made_file("coordinates.json", coordinates, lane)?,
            self.made_file(INPUTS_FILE, meta::input_lines(&dump.inputs), lane)?,
            self.made_file(PARTS_FILE, meta::part_lines(&dump.parts), lane)?,
            self.made_file("status.json", status, lane)?,
        ];
        files.extend(dump.frames.iter().map(|(name, content)| {
            let path = vec![META_DIRECTORY.into(), name.clone().into_bytes()];
            File::Made { path, content: content.clone() }
        }));
        files.extend(dump.originals.iter().map(|original| {
            let content = original.content.clone();
            File::Made { path: original_path(&original.name), content }
        }));
        files.extend(dump.members.iter().map(|member| {
            let path = original_path(&member.name);
            File::Member { path, ranges: &member.ranges }
        }));
        files.push(File::Dump(dump.file));
        files.sort_by(|a, b| a.path(&dump.parts).cmp(&b.path(&dump.parts)));
        Ok(files)
    }

    fn made_file<'p>(
        &self,
        name: &'static str,
        lines: impl Iterator<Item = Vec<u8>>,
        lane: &mut DataLane,
    ) -> Result<File<'p>> {
        let chunks = self.session.chunks().store();
        let path: Vec<Vec<u8>> = vec![META_DIRECTORY.into(), name.into()];
        let previous = older_content(chunks, self.before, &path.join(&b'/'));
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut writer = ContentWriter::new(lane, self.session, ChunkClass::Small, previous);
        lines.into_iter().try_for_each(|line| writer.write(&line))?;
        Ok(File::Made { path, content: writer.finish()? })
    }

    /// Stores what the files that restore objects hold besides parts of the dump.
    fn store_texts<F: DumpFormat>(&self, dump: &StoredDumps<F>, lane: &mut DataLane) -> Result<()> {
        let mut recent = VecDeque::new();
        for object in dump.parts.objects() {
            if !dump.parts.is_restorable(&dump.parts.get(object[0])) {
                continue;
            }
            // Chunks wait in memory until they are published, and every table may have some of its own.
            self.session.publish_if_due((self.clock)())?;
            for piece in restore(dump, object) {
                let RestorePiece::Text(text) = piece else { continue };
                let id = ChunkId::of(&text);
                if !recent.contains(&id) {
                    store_chunk(lane, &text)?;
                    recent.push_back(id);
                    recent.drain(..recent.len().saturating_sub(RECENT_TEXTS));
                }
            }
        }
        Ok(())
    }
}

/// Gives each file to `take`, in the order of paths. `made` are those that are no parts.
fn in_order<'p>(list: &'p PartList, made: Vec<File<'p>>, take: &mut impl FnMut(File<'p>) -> Result<()>) -> Result<()> {
    let mut others = made.into_iter().peekable();
    for object in list.objects() {
        for file in files_of(list, object) {
            while let Some(other) = others.next_if(|other| other.path(list) < file.path(list)) {
                take(other)?;
            }
            take(file)?;
        }
    }
    others.try_for_each(take)
}

/// The files that the parts of one object make.
fn files_of<'p>(list: &PartList, object: &'p [u32]) -> Vec<File<'p>> {
    let name = |number: u32| list.file_name(&list.get(number));
    let mut files: Vec<File> = object.chunk_by(|&a, &b| name(a) == name(b)).map(File::Parts).collect();
    if list.is_restorable(&list.get(object[0])) {
        let is_before = |file: &File| matches!(file, File::Parts(parts) if name(parts[0]) < Some(RESTORE_FILE));
        files.insert(files.partition_point(is_before), File::Restore(object));
    }
    files
}

/// What restores the object that these parts are about.
fn restore<F: DumpFormat>(dump: &StoredDumps<F>, parts: &[u32]) -> Vec<RestorePiece> {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    dump.input_at(dump.parts.get(parts[0]).start).format.restore(&dump.parts, &parts)
}

fn pieces_of_restore(made_of: &[RestorePiece]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for piece in made_of {
        match piece {
            RestorePiece::Text(text) => pieces.push(Piece::Chunk { id: ChunkId::of(text), length: text.len() as u64 }),
            RestorePiece::Dump(range) => extend(&mut pieces, range.start, range.end - range.start),
        }
    }
    pieces
}

/// The path of what is kept under this name, which may have directories in front.
fn original_path(name: &[u8]) -> Vec<Vec<u8>> {
    let below = name.split(|&byte| byte == b'/').map(<[u8]>::to_vec);
    std::iter::once(ORIGINAL_DIRECTORY.into()).chain(below).collect()
}

fn pieces_of_ranges(ranges: &[Range<u64>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    ranges.iter().for_each(|range| extend(&mut pieces, range.start, range.end - range.start));
    pieces
}

fn pieces_of_parts(list: &PartList, parts: &[u32]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for part in parts.iter().map(|&number| list.get(number)) {
        extend(&mut pieces, part.start, part.length);
    }
    pieces
}

/// Adds a stretch of the dump; one that goes on where the last one ended lengthens it.
fn extend(pieces: &mut Vec<Piece>, start: u64, length: u64) {
    match pieces.last_mut() {
        Some(Piece::Dump { start: last, length: so_far }) if *last + *so_far == start => *so_far += length,
        _ => pieces.push(Piece::Dump { start, length }),
    }
}

impl File<'_> {
    fn path<'d>(&'d self, list: &'d PartList) -> Vec<&'d [u8]> {
        match self {
            File::Made { path, .. } | File::Member { path, .. } => path.iter().map(Vec::as_slice).collect(),
            File::Dump(name) => vec![name.as_bytes()],
            File::Parts(parts) => list.path(&list.get(parts[0])).collect(),
            File::Restore(parts) => {
                list.object_path(&list.get(parts[0])).chain(std::iter::once(RESTORE_FILE.as_bytes())).collect()
            }
        }
    }
}
