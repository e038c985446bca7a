//! Archive: a dump that is no text. Text is made of it while it comes, and it is put together again of that and of what is no
//! text in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::dump::layout::{META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::unpack::Output;
use crate::error::{Error, Result};
use crate::id::Hasher;
use crate::ingest::dump::container::Container;
use crate::ingest::dump::{DumpReading, Original};
use crate::ingest::older_content;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::DataLane;

/// Parts of one archive, of 16 bytes each. Real ones have two for each table.
const PARTS_MAX: usize = 16 << 20;

/// A stretch of a file: of the text, or of what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: u64,
    /// Its length, twice; and one more where it is of the frame.
    length_and_kind: u64,
}

impl Part {
    fn length(self) -> u64 {
        self.length_and_kind >> 1
    }

    fn is_frame(self) -> bool {
        self.length_and_kind & 1 == 1
    }
}

/// What a file is put together of, once all is published.
pub struct Assembly {
    /// Below the directory of originals.
    pub name: Vec<u8>,
    frame: Content,
    parts: Vec<Part>,
    /// What came in.
    hasher: Hasher,
}

/// Takes down what a file is put together of.
pub struct AssemblyWriter<'l, 'w, 'a, 's, 'r> {
    name: Vec<u8>,
    frame: ContentWriter<'l, 'w, 'a, 's, WriteSession<'r>>,
    frame_bytes: u64,
    parts: Vec<Part>,
    hasher: Hasher,
}

impl<'l, 'w, 'a, 's, 'r> AssemblyWriter<'l, 'w, 'a, 's, 'r> {
    /// Begins with the file of this name. What it holds besides text is stored beside `older`.
    pub fn new(
        session: &'s WriteSession<'r>,
        lane: &'l mut DataLane<'w, 'a>,
        name: Vec<u8>,
        older: Option<&'s Content>,
    ) -> Self {
        let previous = older.map(|content| Predecessor::new(session.chunks().store(), content));
        let frame = ContentWriter::new(lane, session, ChunkClass::Small, previous);
        AssemblyWriter { name, frame, frame_bytes: 0, parts: Vec::new(), hasher: Hasher::default() }
    }

    /// Takes down what comes of the file, of which text goes there in that of the snapshot.
    pub fn note(&mut self, output: Output, text_at: u64) -> Result<()> {
        let (bytes, start, is_frame) = match output {
            Output::Text(_) | Output::Stream { .. } => return Ok(()),
            Output::Shared(bytes) => (bytes, text_at, false),
            Output::Frame(bytes) => (bytes, self.frame_bytes, true),
        };
        self.hasher.update(bytes);
        if is_frame {
            self.frame.write(bytes)?;
            self.frame_bytes += bytes.len() as u64;
        }
        let more = (bytes.len() as u64) << 1;
        let is_full = self.parts.len() == PARTS_MAX;
        match self.parts.last_mut() {
            Some(last) if last.is_frame() == is_frame && last.start + last.length() == start => {
                last.length_and_kind += more;
            }
            _ if is_full => {
                let name = String::from_utf8_lossy(&self.name);
                return Err(Error::invalid("archive", name, format!("it has more than {PARTS_MAX} parts")));
            }
            _ => self.parts.push(Part { start, length_and_kind: more | u64::from(is_frame) }),
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Assembly> {
        let AssemblyWriter { name, frame, parts, hasher, .. } = self;
        Ok(Assembly { name, frame: frame.finish()?, parts, hasher })
    }
}

impl Assembly {
    /// What the file holds besides text, to be kept by itself; `None` where it is all or nothing of it.
    pub fn frame(&self) -> Option<&Content> {
        let is_mixed = self.parts.iter().any(|part| part.is_frame()) && self.parts.iter().any(|part| !part.is_frame());
        is_mixed.then_some(&self.frame)
    }

    /// The file, of what was published. One that is mixed is read again.
    pub fn assemble(self, reading: &DumpReading, text: &Content) -> Result<Original> {
        let name = self.name.clone();
        let content = match self.parts.iter().all(|part| part.is_frame()) {
            true => self.frame,
            false => self.join(reading, text)?,
        };
        Ok(Original { name: name.clone(), file: name, content, is_poor: false })
    }

    fn join(&self, reading: &DumpReading, text: &Content) -> Result<Content> {
        let path = original_path(&self.name);
        let container = Container { reading, path: &path };
        let content = container.join(self.parts.iter().map(|part| {
            let content = if part.is_frame() { &self.frame } else { text };
            (content, part.start..part.start + part.length())
        }))?;
        if self.frame().is_some() {
            reading.session.publish_all((reading.clock)())?;
            container.verify(&content, &self.hasher)?;
        }
        Ok(content)
    }
}

/// The file, beside what is told about the dump, with what is in this archive besides text.
pub fn frame_name(number: usize) -> String {
    if number == 0 { "frame".into() } else { format!("frame-{}", number + 1) }
}

/// What the last snapshot has that is like what an archive of this name holds besides text, in the frame of this number if any.
pub fn older_frame(reading: &DumpReading, name: &[u8], number: Option<usize>) -> Option<Content> {
    let older = |path: &[u8]| older_content(reading.session.chunks().store(), reading.before(), path);
    let frame = number.and_then(|number| older([META_DIRECTORY, &frame_name(number)].join("/").as_bytes()));
    frame.or_else(|| older(&original_path(name)))
}

/// The path of what is kept under this name.
fn original_path(name: &[u8]) -> Vec<u8> {
    [ORIGINAL_DIRECTORY.as_bytes(), b"/", name].concat()
}

/// The files of a directory, by name.
pub fn files_in(directory: &Path) -> Result<BTreeMap<Vec<u8>, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        let path = entry.path();
        if !fs::metadata(&path).map_err(Error::io("look at", &path))?.is_file() {
            let reason = "it is no file, and such a dump has nothing else";
            return Err(Error::invalid("dump", path.to_string_lossy(), reason));
        }
        files.insert(entry.file_name().as_bytes().to_vec(), path);
    }
    Ok(files)
}
