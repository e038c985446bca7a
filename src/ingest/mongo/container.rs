//! Container: an archive put together again out of the files that it was taken apart into, which costs a list of extents.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::id::{ChunkId, Hasher};
use crate::ingest::dump::{DumpReading, extents_of, store_chunk};
use crate::ingest::mongo::files::MongoFile;
use crate::ingest::mongo::layout::CONTAINER_PATH;
use crate::ingest::older_content;
use crate::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource};
use crate::repository::content_reader::ContentReader;
use crate::repository::content_writer::{ExtentWriter, page_hints};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::DataLane;

/// Threads that read an archive again to compare it.
const VERIFY_THREADS: usize = 2;

/// A stretch of an archive: the next so many bytes of a file, or of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerPart {
    pub length: u64,
    /// Documents that begin in it.
    pub documents: u32,
    file: u32,
}

/// The number that no file has.
const FRAME: u32 = u32::MAX;

impl ContainerPart {
    /// An empty part of a file, or of the frame.
    pub fn of(file: Option<usize>) -> ContainerPart {
        ContainerPart { length: 0, documents: 0, file: file.map_or(FRAME, |file| file as u32) }
    }

    /// Numbers its file anew.
    pub fn renumber(&mut self, number: impl FnOnce(usize) -> Option<usize>) {
        self.file = self.file().and_then(number).map_or(FRAME, |file| file as u32);
    }

    /// The file that it is of; `None` for the frame.
    pub fn file(&self) -> Option<usize> {
        (self.file != FRAME).then_some(self.file as usize)
    }
}

/// What an archive is put together of. All of it must have been published.
pub struct Container<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    pub frame: &'a Content,
    pub files: &'a [MongoFile],
}

impl Container<'_, '_> {
    /// The archive, once it was read again and is what came in.
    pub fn rebuild(&self, parts: &[ContainerPart], came_in: &Hasher) -> Result<Content> {
        let content = self.join(parts)?;
        self.reading.session.publish_all((self.reading.clock)())?;
        self.verify(&content, came_in)?;
        Ok(content)
    }

    fn join(&self, parts: &[ContainerPart]) -> Result<Content> {
        let session = self.reading.session;
        let chunks = session.chunks().store();
        let older = older_content(chunks, self.reading.before(), CONTAINER_PATH.join("/").as_bytes());
        let older = older.as_ref().map(|content| Predecessor::new(chunks, content));
        let hints = page_hints(&older);
        let mut lane = session.chunks().data_lane(None);
        let mut writer = ExtentWriter::new(session, ChunkClass::Small);
        let mut ends = vec![0; self.files.len() + 1];
        for part in parts {
            let end = &mut ends[part.file().map_or(self.files.len(), |file| file)];
            let range = *end..*end + part.length;
            *end = range.end;
            let content = part.file().map_or(self.frame, |file| &self.files[file].content);
            if let ContentBody::Inline(bytes) = &content.body {
                let bytes = &bytes[range.start as usize..range.end as usize];
                push_little(&mut writer, bytes, &mut lane, &hints)?;
                continue;
            }
            for extent in extents_of(chunks, content, range) {
                writer.push(extent?, &hints)?;
            }
        }
        lane.release()?;
        writer.finish(&hints)
    }

    /// # Errors
    /// [`Error::Corrupt`] where it reads as something else than what came in.
    fn verify(&self, content: &Content, came_in: &Hasher) -> Result<()> {
        let reader = ContentReader::new(self.reading.session.chunks().store());
        let mut hasher = Hasher::default();
        reader.stream(content, VERIFY_THREADS, |_, bytes| -> Result<_> {
            if self.reading.monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            hasher.update(bytes);
            Ok(ControlFlow::Continue(()))
        })?;
        if hasher.finish() == came_in.finish() {
            return Ok(());
        }
        Err(Error::corrupt(CONTAINER_PATH.join("/"), "put together again, the archive is another one"))
    }
}

/// Adds bytes of a content so short that it has no chunks.
fn push_little(
    writer: &mut ExtentWriter<WriteSession>,
    bytes: &[u8],
    lane: &mut DataLane,
    hints: &crate::repository::page::PageHints,
) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    store_chunk(lane, bytes)?;
    let source = ExtentSource::Chunk { id: ChunkId::of(bytes), offset: 0 };
    writer.push(Extent { length: bytes.len() as u64, source }, hints)
}
