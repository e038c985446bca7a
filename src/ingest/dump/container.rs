//! Container: a file put together of ranges of others, which costs a list of extents.

use std::ops::{ControlFlow, Range};

use crate::error::{Error, Result};
use crate::id::{ChunkId, Hasher};
use crate::ingest::dump::{DumpReading, extents_of, store_chunk};
use crate::ingest::older_content;
use crate::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource};
use crate::repository::content_reader::ContentReader;
use crate::repository::content_writer::{ExtentWriter, page_hints};
use crate::repository::page::PageHints;
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::DataLane;

/// Threads that read a file again to compare it.
const VERIFY_THREADS: usize = 2;

/// What a file is put together of. All of it must have been published.
pub struct Container<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    /// Its path in the snapshot.
    pub path: &'a [u8],
}

impl Container<'_, '_> {
    /// The file of these ranges.
    pub fn join<'c>(&self, ranges: impl Iterator<Item = (&'c Content, Range<u64>)>) -> Result<Content> {
        let session = self.reading.session;
        let chunks = session.chunks().store();
        let older = older_content(chunks, self.reading.before(), self.path);
        let older = older.as_ref().map(|content| Predecessor::new(chunks, content));
        let hints = page_hints(&older);
        let mut lane = session.chunks().data_lane(None);
        let mut writer = ExtentWriter::new(session, ChunkClass::Small);
        for (content, range) in ranges {
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

    /// Reads the file, which must have been published.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it reads as something else than what came in.
    pub fn verify(&self, content: &Content, came_in: &Hasher) -> Result<()> {
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
        Err(Error::corrupt(String::from_utf8_lossy(self.path), "put together again, the archive is another one"))
    }
}

/// Adds bytes of a content so short that it has no chunks.
fn push_little(
    writer: &mut ExtentWriter<WriteSession>,
    bytes: &[u8],
    lane: &mut DataLane,
    hints: &PageHints,
) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    store_chunk(lane, bytes)?;
    let source = ExtentSource::Chunk { id: ChunkId::of(bytes), offset: 0 };
    writer.push(Extent { length: bytes.len() as u64, source }, hints)
}
