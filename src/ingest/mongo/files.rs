//! MongoFiles: the files of a snapshot of MongoDB, and what each is made of.

use crate::dump::layout::{COLLECTIONS_FILE, INPUTS_FILE, META_DIRECTORY, PARTS_FILE};
use crate::dump::mongo::{DocumentCounts, OplogWindow, PRELUDE_FILE, Prelude};
use crate::error::{Error, Result};
use crate::id::Hasher;
use crate::ingest::dump::{DumpTree, Ending, InputEnd, Verdict, status};
use crate::ingest::mongo::container::{ContainerPart, MongoContainer};
use crate::ingest::mongo::layout::{ArchivePlace, FilePath, OPLOG_FILE, path_of, shown};
use crate::ingest::mongo::meta;
use crate::ingest::mongo::originals::{KeptOriginal, Originals};
use crate::ingest::{older_content, private_node};
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::node::{DirectoryRoot, Node, NodeKind};
use crate::repository::predecessor::Predecessor;
use crate::store::DataLane;

/// A file of a dump.
pub struct MongoFile {
    pub path: FilePath,
    pub content: Content,
    /// Which documents it has, where it is made of documents.
    pub documents: Option<DocumentCounts>,
}

impl MongoFile {
    /// Whether it holds the documents of a collection, not operations.
    pub fn is_collection(&self) -> bool {
        self.documents.is_some() && self.path != path_of(&[OPLOG_FILE])
    }
}

/// An archive around the files.
pub struct StoredArchive {
    pub place: ArchivePlace,
    /// What it has besides documents.
    pub frame: Content,
    /// Its parts in order; files count as in the dump.
    pub parts: Vec<ContainerPart>,
    pub hasher: Hasher,
}

/// What wrote a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Mongodump,
    Mongoexport,
}

/// What a dump tells of itself.
#[derive(Default)]
pub struct Coordinates {
    pub prelude: Prelude,
    /// `None` where the dump has no log of operations; `Some(None)` where that is empty.
    pub oplog: Option<Option<OplogWindow>>,
    /// Where that is kept, unless it is at [`OPLOG_FILE`].
    pub other_oplog: Option<String>,
}

/// A dump that was stored.
pub struct MongoDump {
    pub made_by: Program,
    /// In any order.
    pub files: Vec<MongoFile>,
    pub archives: Vec<StoredArchive>,
    pub originals: Vec<KeptOriginal>,
    /// A line for each archive, where there are several.
    pub inputs: Vec<Vec<u8>>,
    /// One, but for each archive one.
    pub coordinates: Vec<Coordinates>,
    /// What shows that the dump is not whole.
    pub fault: Option<String>,
    /// What its end shows otherwise.
    pub ending: Ending,
    pub ended: InputEnd,
}

impl MongoDump {
    /// How whole it is: its command tells first, then what was found in it.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.ending, &self.ended).with_fault(self.fault.as_deref())
    }
}

/// Writes the files of one dump.
pub struct MongoFiles<'a, 'r> {
    pub originals: &'a Originals<'a, 'r>,
}

impl MongoFiles<'_, '_> {
    /// Writes the tree: its root, and how many files it has.
    pub fn write(&self, dump: MongoDump, verdict: &Verdict) -> Result<(Node, u64)> {
        let reading = self.originals.reading;
        let mut made = self.made_files(&dump, verdict)?;
        // An archive is put together of lists of extents, which can be read once they are published.
        reading.session.publish_all((reading.clock)())?;
        let MongoDump { mut files, archives, originals, .. } = dump;
        for StoredArchive { place, frame, parts, hasher } in archives {
            let path = place.container();
            let container = MongoContainer { reading, path: &path, frame: &frame, files: &files };
            let content = container.rebuild(&parts, &hasher)?;
            made.push(MongoFile { path, content, documents: None });
            made.push(MongoFile { path: place.frame(), content: frame, documents: None });
        }
        files.append(&mut made);
        for kept in originals {
            let text = files.iter().find(|file| file.path == kept.text).map(|file| file.content.clone());
            files.push(self.originals.settle(kept, &text.unwrap_or_else(Content::empty))?);
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if let Some(twice) = files.windows(2).find(|two| two[0].path == two[1].path) {
            return Err(Error::invalid("dump", shown(&twice[0].path), "two collections make this file"));
        }
        let new =
            |permissions| private_node(permissions, reading.started, NodeKind::Directory(DirectoryRoot::default()));
        let mut tree = DumpTree::new(reading.session, new(0o600), new(0o700), reading.before());
        for MongoFile { path, content, .. } in files {
            let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let before = tree.go_to(&names)?;
            tree.push(names.last().copied().unwrap_or_default(), content, before)?;
        }
        tree.finish()
    }

    /// The files about the dump.
    fn made_files(&self, dump: &MongoDump, verdict: &Verdict) -> Result<Vec<MongoFile>> {
        let mut lane = self.originals.reading.session.chunks().list_lane();
        let mut order: Vec<&MongoFile> = dump.files.iter().collect();
        order.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut made = vec![
            self.made_file(&[META_DIRECTORY, COLLECTIONS_FILE], meta::collection_lines(&order), &mut lane)?,
            self.made_file(&[META_DIRECTORY, "coordinates.json"], [meta::coordinates(dump)].into_iter(), &mut lane)?,
            self.made_file(
                &[META_DIRECTORY, "status.json"],
                [status(verdict, dump.ended.exit)].into_iter(),
                &mut lane,
            )?,
        ];
        if !dump.archives.is_empty() {
            let prelude = dump.coordinates.iter().take(1).map(|first| first.prelude.to_json());
            made.push(self.made_file(&[PRELUDE_FILE], prelude, &mut lane)?);
            made.push(self.made_file(&[META_DIRECTORY, PARTS_FILE], meta::part_lines(dump), &mut lane)?);
        }
        if !dump.inputs.is_empty() {
            made.push(self.made_file(&[META_DIRECTORY, INPUTS_FILE], dump.inputs.iter().cloned(), &mut lane)?);
        }
        lane.release()?;
        Ok(made)
    }

    fn made_file(&self, path: &[&str], lines: impl Iterator<Item = Vec<u8>>, lane: &mut DataLane) -> Result<MongoFile> {
        let chunks = self.originals.reading.session.chunks().store();
        let previous = older_content(chunks, self.originals.reading.before(), path.join("/").as_bytes());
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut writer = ContentWriter::new(lane, self.originals.reading.session, ChunkClass::Small, previous);
        lines.into_iter().try_for_each(|line| writer.write(&line))?;
        Ok(MongoFile { path: path_of(path), content: writer.finish()?, documents: None })
    }
}
