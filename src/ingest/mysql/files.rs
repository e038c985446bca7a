//! DumpFiles: the files of a dump's snapshot, and what each is made of.

use std::collections::HashMap;

use crate::dump::mysql::PartKind;
use crate::error::Result;
use crate::ingest::mysql::dump_tree::DumpTree;
use crate::ingest::mysql::layout::{DUMP_FILE, META_DIRECTORY, RESTORE_FILE};
use crate::ingest::mysql::meta;
use crate::ingest::mysql::part_list::ListedPart;
use crate::ingest::mysql::ranges::{Piece, Ranges, store_chunk};
use crate::ingest::mysql::{StoredDump, Verdict};
use crate::ingest::{older_content, private_node};
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::node::{DirectoryRoot, Node, NodeKind};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::DataLane;
use crate::time::{Clock, Timestamp};

/// Writes the files of one dump.
pub(super) struct DumpFiles<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    pub clock: &'a Clock,
    /// The root of the snapshot before.
    pub before: Option<&'a Node>,
    pub started: Timestamp,
}

/// What every `restore.sql` has around the parts of its table.
struct RestoreFrame {
    /// Comment and settings of a table that needs nothing.
    plain: Piece,
    /// The settings alone.
    settings: Option<Piece>,
    /// The comments of tables that need something, by the first part of each.
    comments: HashMap<u64, Piece>,
    resettings: Option<Piece>,
}

/// A file, in the order of paths.
enum File<'p> {
    /// Its bytes are known.
    Made { path: [&'static str; 2], content: Content },
    /// The dump.
    Dump,
    /// Parts of the dump.
    Parts(&'p [u32]),
    /// The `restore.sql` of the table that these parts make.
    Restore(&'p [u32]),
}

impl DumpFiles<'_, '_> {
    /// Writes the tree: its root, and how many files it has.
    pub fn write(&self, dump: &StoredDump, verdict: &Verdict) -> Result<(Node, u64)> {
        let mut lane = self.session.chunks().data_lane(None);
        let made = self.made_files(dump, verdict, &mut lane)?;
        let frame = self.restore_frame(dump, &mut lane)?;
        lane.release()?;
        drop(lane);
        // Ranges are cut out of the dump's list of extents, which can be read once it is published.
        self.session.publish_all((self.clock)())?;
        let order = dump.parts.by_path();
        let ranges = Ranges::new(self.session, &dump.content);
        let new = |permissions| private_node(permissions, self.started, NodeKind::Directory(DirectoryRoot::default()));
        let mut tree = DumpTree::new(self.session, new(0o600), new(0o700), self.before);
        in_order(dump, &order, made, &mut |file| {
            let path = file.path(dump);
            let before = tree.go_to(&path)?;
            let content = match &file {
                File::Made { content, .. } => content.clone(),
                File::Dump => dump.content.clone(),
                File::Parts(parts) => ranges.content(&pieces(dump, parts), before.as_ref().and_then(Node::content))?,
                File::Restore(parts) => {
                    ranges.content(&frame.pieces(dump, parts), before.as_ref().and_then(Node::content))?
                }
            };
            tree.push(path.last().copied().unwrap_or_default(), content, before)
        })?;
        tree.finish()
    }

    /// The files whose bytes are not the dump's.
    fn made_files<'p>(&self, dump: &StoredDump, verdict: &Verdict, lane: &mut DataLane) -> Result<Vec<File<'p>>> {
        let coordinates = std::iter::once(meta::coordinates(&dump.facts));
        let status = std::iter::once(meta::status(dump, verdict));
        Ok(vec![
            self.made_file("coordinates.json", coordinates, lane)?,
            self.made_file("parts", meta::part_lines(dump), lane)?,
            self.made_file("status.json", status, lane)?,
        ])
    }

    fn made_file<'p>(
        &self,
        name: &'static str,
        lines: impl Iterator<Item = Vec<u8>>,
        lane: &mut DataLane,
    ) -> Result<File<'p>> {
        let chunks = self.session.chunks().store();
        let path = [META_DIRECTORY, name];
        let previous = older_content(chunks, self.before, path.join("/").as_bytes());
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut writer = ContentWriter::new(lane, self.session, ChunkClass::Small, previous);
        lines.into_iter().try_for_each(|line| writer.write(&line))?;
        Ok(File::Made { path, content: writer.finish()? })
    }

    fn restore_frame(&self, dump: &StoredDump, lane: &mut DataLane) -> Result<RestoreFrame> {
        let settings = &dump.facts.settings;
        let stored = |lane: &mut DataLane, bytes: &[u8]| {
            if bytes.is_empty() { Ok(None) } else { store_chunk(lane, bytes).map(Some) }
        };
        let plain = store_chunk(lane, &[&meta::restore_comment(&[]), &settings[..], b"\n"].concat())?;
        let mut frame = RestoreFrame {
            plain,
            settings: stored(lane, settings)?,
            comments: HashMap::new(),
            resettings: stored(lane, &dump.facts.resettings)?,
        };
        for part in dump.parts.parts().iter().filter(|part| part.kind.is_of_table()) {
            let needs = dump.parts.needs(part);
            if !needs.is_empty() {
                frame.comments.insert(part.start, store_chunk(lane, &meta::restore_comment(needs))?);
            }
        }
        Ok(frame)
    }
}

/// Gives each file to `take`, in the order of paths. `order` has the parts in that order, `made` the other files.
fn in_order<'p>(
    dump: &StoredDump,
    order: &'p [u32],
    made: Vec<File<'p>>,
    take: &mut impl FnMut(File<'p>) -> Result<()>,
) -> Result<()> {
    let mut others = made.into_iter().chain([File::Dump]).peekable();
    let mut rest = order;
    while !rest.is_empty() {
        let (object, behind) = first_object(dump, rest);
        for file in files_of(dump, object) {
            while let Some(other) = others.next_if(|other| other.path(dump) < file.path(dump)) {
                take(other)?;
            }
            take(file)?;
        }
        rest = behind;
    }
    others.try_for_each(take)
}

/// The parts that are about the same table, or in the same file, as the first; and the rest.
fn first_object<'p>(dump: &StoredDump, parts: &'p [u32]) -> (&'p [u32], &'p [u32]) {
    let part = |number: u32| &dump.parts.parts()[number as usize];
    let own = |number: u32| match part(number).kind.is_of_table() {
        true => dump.parts.directory(part(number)),
        false => dump.parts.path(part(number)),
    };
    let first = own(parts[0]);
    let length = parts.iter().take_while(|&&number| own(number) == first).count();
    parts.split_at(length)
}

/// The files that the parts of one object make.
fn files_of<'p>(dump: &StoredDump, object: &'p [u32]) -> Vec<File<'p>> {
    let part = |number: u32| &dump.parts.parts()[number as usize];
    let same_file = |a: &u32, b: &u32| part(*a).kind == part(*b).kind;
    let mut files: Vec<File> = object.chunk_by(same_file).map(File::Parts).collect();
    if part(object[0]).kind.is_of_table() {
        // Behind `data.sql`, before `schema.sql` and `triggers.sql`.
        let place = usize::from(part(object[0]).kind == PartKind::Data);
        files.insert(place, File::Restore(object));
    }
    files
}

impl RestoreFrame {
    fn pieces(&self, dump: &StoredDump, parts: &[u32]) -> Vec<Piece> {
        let mut parts: Vec<&ListedPart> = parts.iter().map(|&number| &dump.parts.parts()[number as usize]).collect();
        parts.sort_by_key(|part| part.start);
        let comment = parts.iter().find_map(|part| self.comments.get(&part.start));
        let mut pieces = match comment {
            Some(comment) => std::iter::once(*comment).chain(self.settings).collect(),
            None => vec![self.plain],
        };
        for part in parts {
            extend(&mut pieces, part);
        }
        pieces.extend(self.resettings);
        pieces
    }
}

/// Adds a part; one that goes on where the last one ended lengthens it.
fn extend(pieces: &mut Vec<Piece>, part: &ListedPart) {
    match pieces.last_mut() {
        Some(Piece::Dump { start, length }) if *start + *length == part.start => *length += part.length,
        _ => pieces.push(Piece::Dump { start: part.start, length: part.length }),
    }
}

fn pieces(dump: &StoredDump, parts: &[u32]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for &number in parts {
        extend(&mut pieces, &dump.parts.parts()[number as usize]);
    }
    pieces
}

impl File<'_> {
    fn path<'d>(&self, dump: &'d StoredDump) -> Vec<&'d [u8]> {
        let part = |parts: &[u32]| parts.first().map(|&number| &dump.parts.parts()[number as usize]);
        match self {
            File::Made { path, .. } => path.iter().map(|name| name.as_bytes()).collect(),
            File::Dump => vec![DUMP_FILE.as_bytes()],
            File::Parts(parts) => part(parts).map(|part| dump.parts.path(part)).unwrap_or_default(),
            File::Restore(parts) => {
                let mut path = part(parts).map(|part| dump.parts.directory(part)).unwrap_or_default();
                path.push(RESTORE_FILE.as_bytes());
                path
            }
        }
    }
}
