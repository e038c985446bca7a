//! Run: entries of a join in the order of their keys, in a file without a name, since they are too many for memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::rows::join::{Counted, Entry};

/// Bytes that are read of a run at a time.
const READ_BYTES: usize = 64 << 10;

/// A finished run.
pub struct Run {
    file: File,
    bytes: u64,
    folder: PathBuf,
}

/// Writes a run.
pub struct RunWriter {
    file: BufWriter<File>,
    bytes: u64,
    folder: PathBuf,
}

impl RunWriter {
    /// Begins a run in this directory. Nothing of it is left there, whatever happens.
    pub fn new(folder: &Path) -> Result<RunWriter> {
        let file = unnamed_file(folder).map_err(Error::io("make a temporary file in", folder))?;
        Ok(RunWriter { file: BufWriter::new(file), bytes: 0, folder: folder.to_path_buf() })
    }

    /// Adds the next entry.
    pub fn push(&mut self, key: &[u8], entry: &Entry) -> Result<()> {
        let mut encoder = Encoder::new();
        encoder.bytes(key);
        for side in &entry.rows {
            encoder.list(side, |encoder, counted| {
                encoder.varint(counted.count).bytes(&counted.row);
            });
        }
        let body = encoder.bytes;
        let length = (body.len() as u64).to_le_bytes();
        let written = self.file.write_all(&length).and_then(|()| self.file.write_all(&body));
        self.bytes += (length.len() + body.len()) as u64;
        written.map_err(Error::io("write a temporary file in", &self.folder))
    }

    pub fn finish(self) -> Result<Run> {
        let RunWriter { file, bytes, folder } = self;
        let file =
            file.into_inner().map_err(|error| Error::io("write a temporary file in", &folder)(error.into_error()))?;
        Ok(Run { file, bytes, folder })
    }
}

/// A file in a directory, without a name there: it goes with its last user.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(folder, flags, Mode::from_raw_mode(0o600)) {
        return Ok(File::from(file));
    }
    // Where a file system has no files without names.
    let name = format!(".yesterfs-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let path = folder.join(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))?;
    std::fs::remove_file(&path)?;
    Ok(File::from(file))
}

/// Reads a run from its beginning.
pub struct RunReader<'r> {
    run: &'r Run,
    at: u64,
    /// What was read and not used, from `used` on.
    buffer: Vec<u8>,
    used: usize,
}

impl<'r> RunReader<'r> {
    pub fn new(run: &'r Run) -> RunReader<'r> {
        RunReader { run, at: 0, buffer: Vec::new(), used: 0 }
    }

    /// The next entry.
    pub fn next_entry(&mut self) -> Result<Option<(Vec<u8>, Entry)>> {
        if self.used == self.buffer.len() && self.at == self.run.bytes {
            return Ok(None);
        }
        let mut length = [0; 8];
        length.copy_from_slice(self.take(8)?);
        let body = self.take(u64::from_le_bytes(length) as usize)?;
        decode(body).map(Some).map_err(DecodeError::of("a temporary file"))
    }

    /// The next bytes of the file.
    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let left = self.buffer.len() - self.used;
        if left < length {
            self.buffer.drain(..self.used);
            self.used = 0;
            let wanted = (length - left).max(READ_BYTES) as u64;
            let taken = wanted.min(self.run.bytes - self.at) as usize;
            self.buffer.resize(left + taken, 0);
            let read = self.run.file.read_exact_at(&mut self.buffer[left..], self.at);
            read.map_err(Error::io("read a temporary file in", &self.run.folder))?;
            self.at += taken as u64;
        }
        let part = self.buffer.get(self.used..self.used.saturating_add(length));
        self.used += length;
        part.ok_or_else(|| Error::corrupt("a temporary file", "it ends within an entry"))
    }
}

fn decode(body: &[u8]) -> Result<(Vec<u8>, Entry), DecodeError> {
    let mut decoder = Decoder::new(body);
    let key = decoder.bytes()?.to_vec();
    let mut side = || decoder.list(|decoder| Ok(Counted { count: decoder.varint()?, row: decoder.bytes()?.into() }));
    let rows = [side()?, side()?];
    decoder.end()?;
    Ok((key, Entry { rows }))
}
