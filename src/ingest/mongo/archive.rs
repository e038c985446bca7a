//! An archive is taken apart into the files that a dump in a directory has. The collections come mixed, so that contents are
//! written by turns.

use crate::compressed::Wrapping;
use crate::dump::mongo::{
    Archive, ArchiveEnd, DOCUMENTS_SUFFIX, Event, Fault, METADATA_SUFFIX, Metadata, OplogReader, Prelude, VIEW,
};
use crate::error::{Error, Result};
use crate::id::Hasher;
use crate::ingest::dump::{BEGINNING_BYTES, DumpReading, Ending, InputEnd, refuse_other_kind};
use crate::ingest::input::OpenInput;
use crate::ingest::mongo::archives::OpenArchive;
use crate::ingest::mongo::container::ContainerPart;
use crate::ingest::mongo::files::{Coordinates, MongoDump, MongoFile, Program, StoredArchive};
use crate::ingest::mongo::layout::{ArchivePlace, FilePath, OPLOG_FILE, collection_path, path_of};
use crate::ingest::mongo::older::OlderFiles;
use crate::ingest::mongo::originals::Originals;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::{ContentWriter, UnfinishedContent};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::SnapshotKind;
use crate::store::{DataLane, EncodeQueue};

/// Collections that may have begun and not ended; each takes up to half a megabyte. `mongodump` dumps four at a time.
const OPEN_MAX: usize = 256;

/// Parts of an archive, of 16 bytes each. Real ones have four for each collection, and two more for each 16 MiB.
const PARTS_MAX: usize = 4 << 20;

/// Bytes of the frame that are stored at once.
const FRAME_BYTES: usize = 256 << 10;

/// Stores an archive, which is to stand there, with threads that compress.
pub fn store(
    originals: &Originals,
    archive: OpenArchive,
    older: &OlderFiles,
    place: ArchivePlace,
    threads: usize,
) -> Result<MongoDump> {
    let reading = originals.reading;
    let OpenArchive { name: origin, input, wrapping, .. } = archive;
    std::thread::scope(|scope| {
        let queue = EncodeQueue::start(scope, reading.session.chunks(), threads);
        let text = place.container();
        let kept = [&place.file, wrapping.map_or("", Wrapping::suffix).as_bytes()].concat();
        let store = |input| store_plain(reading, input, &origin, older, place, queue.clone());
        let Some(wrapping) = wrapping else { return store(input) };
        let (dump, kept) = originals.beside(input, wrapping, [vec![kept], text], &queue, store)?;
        Ok(MongoDump { originals: kept.into_iter().collect(), ..dump })
    })
}

fn store_plain(
    reading: &DumpReading,
    mut input: OpenInput,
    origin: &str,
    older: &OlderFiles,
    place: ArchivePlace,
    queue: EncodeQueue,
) -> Result<MongoDump> {
    let (mut archive, mut hasher) = (Archive::default(), Hasher::default());
    let mut apart = Demultiplexer::new(reading, older, place, reading.session.chunks().data_lane(Some(queue)));
    let is_given_up = || reading.monitor.is_cancelled();
    let counters = reading.monitor.counters();
    refuse_other_kind(SnapshotKind::Mongo, &input.beginning(BEGINNING_BYTES, &is_given_up)?, origin)?;
    input.each_piece(reading.session, counters, reading.clock, &is_given_up, &mut |piece| {
        hasher.update(piece);
        archive.push(piece, &mut |event| apart.take(event))?;
        match archive.is_none() {
            true => {
                Err(Error::invalid("dump", origin, "it is no archive of mongodump; --format tells what else it is"))
            }
            false => Ok(()),
        }
    })?;
    let end = archive.finish(&mut |event| apart.take(event))?;
    let exit = input.ended(&is_given_up)?;
    if let Some(at) = input.cut_at().filter(|_| apart.parts.is_empty()) {
        let reason = format!("its compressed data is cut off after {at} bytes, before anything came out");
        return Err(Error::Incomplete { input: origin.into(), reason });
    }
    if apart.parts.is_empty() {
        return Err(input.gave_nothing(exit));
    }
    apart.finish(end, hasher, InputEnd::of(&input, exit))
}

/// How far the documents of a collection are.
enum Progress<'s, 'r> {
    Unseen,
    Open(Box<UnfinishedContent<'s, WriteSession<'r>>>),
    Done(Content),
}

struct Member<'s, 'r> {
    path: FilePath,
    is_view: bool,
    progress: Progress<'s, 'r>,
}

/// Writes what an archive holds.
struct Demultiplexer<'s, 'w, 'a, 'r> {
    reading: &'s DumpReading<'s, 'r>,
    older: &'s OlderFiles,
    place: ArchivePlace,
    lane: DataLane<'w, 'a>,
    /// By number.
    members: Vec<Member<'s, 'r>>,
    /// The one whose chunks the lane has.
    current: Option<usize>,
    open: usize,
    metadata: Vec<MongoFile>,
    frame: Option<UnfinishedContent<'s, WriteSession<'r>>>,
    /// What of the frame is not stored yet.
    frame_bytes: Vec<u8>,
    parts: Vec<ContainerPart>,
    oplog: Option<OplogReader>,
}

impl<'s, 'w, 'a, 'r> Demultiplexer<'s, 'w, 'a, 'r> {
    fn new(
        reading: &'s DumpReading<'s, 'r>,
        older: &'s OlderFiles,
        place: ArchivePlace,
        lane: DataLane<'w, 'a>,
    ) -> Self {
        let mut apart = Demultiplexer {
            reading,
            older,
            place,
            lane,
            members: Vec::new(),
            current: None,
            open: 0,
            metadata: Vec::new(),
            frame: None,
            frame_bytes: Vec::new(),
            parts: Vec::new(),
            oplog: None,
        };
        apart.frame = Some(apart.content_at(&apart.place.frame()));
        apart
    }

    /// A content that is to be at this path.
    fn content_at(&self, path: &FilePath) -> UnfinishedContent<'s, WriteSession<'r>> {
        let chunks = self.reading.session.chunks().store();
        let previous = self.older.at(path).map(|content| Predecessor::new(chunks, content));
        UnfinishedContent::new(self.reading.session, ChunkClass::Small, previous)
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Frame(bytes) => {
                self.part(None)?.length += bytes.len() as u64;
                self.frame_bytes.extend_from_slice(bytes);
                if self.frame_bytes.len() < FRAME_BYTES { Ok(()) } else { self.store_frame() }
            }
            Event::Collection { database, name, metadata } => self.add(database, name, metadata),
            Event::Document { collection, start } => {
                self.part(Some(collection))?.documents += 1;
                self.open(collection)?.marks().row(start);
                Ok(())
            }
            Event::Bytes { collection, bytes } => {
                self.part(Some(collection))?.length += bytes.len() as u64;
                self.write(collection, bytes)
            }
            Event::End { collection } => {
                self.open(collection)?;
                self.end(collection)
            }
        }
    }

    /// The present part, of this collection or of the frame.
    fn part(&mut self, collection: Option<usize>) -> Result<&mut ContainerPart> {
        if self.parts.last().is_none_or(|part| part.file() != collection) {
            if self.parts.len() == PARTS_MAX {
                let reason = format!("it has more than {PARTS_MAX} parts");
                return Err(Error::invalid("archive", "of mongodump", reason));
            }
            self.parts.push(ContainerPart::of(collection));
        }
        let last = self.parts.len() - 1;
        Ok(&mut self.parts[last])
    }

    fn add(&mut self, database: &[u8], name: &[u8], metadata: &[u8]) -> Result<()> {
        let path = collection_path(database, name, DOCUMENTS_SUFFIX);
        if path == path_of(&[OPLOG_FILE]) {
            self.oplog = Some(OplogReader::default());
        }
        let is_view = Metadata::read(metadata).is_some_and(|metadata| metadata.kind.as_deref() == Some(VIEW));
        self.members.push(Member { path, is_view, progress: Progress::Unseen });
        if metadata.is_empty() {
            return Ok(());
        }
        let path = collection_path(database, name, METADATA_SUFFIX);
        let content = self.write_whole(&path, metadata)?;
        self.metadata.push(MongoFile { path, content, documents: None });
        Ok(())
    }

    /// A content that is there at once.
    fn write_whole(&mut self, path: &FilePath, bytes: &[u8]) -> Result<Content> {
        self.pause()?;
        let content = self.content_at(path);
        let mut writer = ContentWriter::go_on(&mut self.lane, content);
        writer.write(bytes)?;
        writer.finish()
    }

    /// The content of a collection, which begins here if it did not before.
    fn open(&mut self, collection: usize) -> Result<&mut UnfinishedContent<'s, WriteSession<'r>>> {
        if let Progress::Unseen = self.members[collection].progress {
            if self.open == OPEN_MAX {
                let reason = format!("more than {OPEN_MAX} collections have begun and not ended");
                return Err(Error::invalid("archive", "of mongodump", reason));
            }
            self.open += 1;
            let content = self.content_at(&self.members[collection].path);
            let content = content.with_relatives(&self.reading.relatives);
            self.members[collection].progress = Progress::Open(Box::new(content));
        }
        match &mut self.members[collection].progress {
            Progress::Open(content) => Ok(content),
            _ => Err(Error::corrupt("an archive", "documents come after the end of their collection")),
        }
    }

    /// Takes the content of a collection, to be put back.
    fn lift(&mut self, collection: usize) -> Option<UnfinishedContent<'s, WriteSession<'r>>> {
        match std::mem::replace(&mut self.members[collection].progress, Progress::Unseen) {
            Progress::Open(content) => Some(*content),
            other => {
                self.members[collection].progress = other;
                None
            }
        }
    }

    fn write(&mut self, collection: usize, bytes: &[u8]) -> Result<()> {
        self.turn_to(collection)?;
        let member = &mut self.members[collection];
        if let Some(oplog) = self.oplog.as_mut().filter(|_| member.path.len() == 1) {
            oplog.push(bytes);
        }
        let Some(content) = self.lift(collection) else { return Ok(()) };
        let mut writer = ContentWriter::go_on(&mut self.lane, content);
        writer.write(bytes)?;
        self.members[collection].progress = Progress::Open(Box::new(writer.leave()));
        Ok(())
    }

    /// Gives the lane to this collection.
    fn turn_to(&mut self, collection: usize) -> Result<()> {
        if self.current != Some(collection) {
            self.pause()?;
            self.current = Some(collection);
        }
        Ok(())
    }

    /// Leaves the lane to others.
    fn pause(&mut self) -> Result<()> {
        let Some(collection) = self.current.take() else { return Ok(()) };
        let Some(content) = self.lift(collection) else { return Ok(()) };
        let content = ContentWriter::go_on(&mut self.lane, content).pause()?;
        self.members[collection].progress = Progress::Open(Box::new(content));
        Ok(())
    }

    fn end(&mut self, collection: usize) -> Result<()> {
        self.turn_to(collection)?;
        self.current = None;
        let Some(content) = self.lift(collection) else { return Ok(()) };
        self.open -= 1;
        let content = ContentWriter::go_on(&mut self.lane, content).finish()?;
        self.members[collection].progress = Progress::Done(content);
        Ok(())
    }

    fn store_frame(&mut self) -> Result<()> {
        self.pause()?;
        if let Some(frame) = self.frame.take() {
            let mut writer = ContentWriter::go_on(&mut self.lane, frame);
            writer.write(&self.frame_bytes)?;
            self.frame = Some(writer.pause()?);
        }
        self.frame_bytes.clear();
        Ok(())
    }

    /// Ends all that is open.
    fn finish(mut self, end: ArchiveEnd, hasher: Hasher, ended: InputEnd) -> Result<MongoDump> {
        self.store_frame()?;
        let frame = self.frame.take().map(|frame| ContentWriter::go_on(&mut self.lane, frame).finish());
        let frame = frame.transpose()?.unwrap_or_else(Content::empty);
        (0..self.members.len()).try_for_each(|collection| self.end(collection))?;
        let ArchiveEnd { header, collections, fault } = end;
        let prelude = Prelude { server_version: header.server_version, tool_version: header.tool_version };
        self.lane.release()?;
        let mut files = self.metadata;
        let mut numbers = vec![None; self.members.len()];
        for (number, (member, told)) in self.members.into_iter().zip(collections).enumerate() {
            // A view has metadata only, and a time series has its documents elsewhere.
            let Progress::Done(content) = member.progress else { continue };
            if content.size == 0 && member.is_view {
                continue;
            }
            numbers[number] = Some(files.len());
            files.push(MongoFile { path: member.path, content, documents: Some(told.counts) });
        }
        let mut parts = self.parts;
        parts.iter_mut().for_each(|part| part.renumber(|member| numbers[member]));
        let oplog = self.oplog.map(|oplog| oplog.window());
        Ok(MongoDump {
            made_by: Program::Mongodump,
            files,
            archives: vec![StoredArchive { place: self.place, frame, parts, hasher }],
            originals: Vec::new(),
            inputs: Vec::new(),
            coordinates: vec![Coordinates { prelude, oplog, other_oplog: None }],
            fault: fault.as_ref().map(Fault::to_string),
            ending: Ending::Marked,
            ended,
        })
    }
}
