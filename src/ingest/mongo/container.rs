//! Container: an archive put together again out of the files that it was taken apart into, which costs a list of extents.

use crate::error::Result;
use crate::id::Hasher;
use crate::ingest::dump::{Container, DumpReading};
use crate::ingest::mongo::files::MongoFile;
use crate::ingest::mongo::layout::FilePath;
use crate::repository::content::Content;

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
pub struct MongoContainer<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    pub path: &'a FilePath,
    pub frame: &'a Content,
    pub files: &'a [MongoFile],
}

impl MongoContainer<'_, '_> {
    /// The archive, once it was read again and is what came in.
    pub fn rebuild(&self, parts: &[ContainerPart], came_in: &Hasher) -> Result<Content> {
        let path = self.path.join(&b'/');
        let container = Container { reading: self.reading, path: &path };
        let mut ends = vec![0; self.files.len() + 1];
        let content = container.join(parts.iter().map(|part| {
            let end = &mut ends[part.file().unwrap_or(self.files.len())];
            let range = *end..*end + part.length;
            *end = range.end;
            (part.file().map_or(self.frame, |file| &self.files[file].content), range)
        }))?;
        self.reading.session.publish_all((self.reading.clock)())?;
        container.verify(&content, came_in)?;
        Ok(content)
    }
}
