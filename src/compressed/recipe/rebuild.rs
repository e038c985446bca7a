//! Rebuild: makes a compressed file again by its recipe.

use crate::codec::{DecodeError, Decoder};
use crate::compressed::deflate::WINDOW_BYTES;
use crate::compressed::deflate::bits::BitWriter;
use crate::compressed::deflate::predictor::Predictor;
use crate::compressed::recipe::block_piece::{BlockPiece, JOB_MIN_BYTES};
use crate::compressed::recipe::cut::{Cut, Cutter, NUMBER_MAX_BYTES};
use crate::compressed::recipe::lines::{LINE_MAX_BYTES, pieces_of};
use crate::compressed::recipe::piece::{PLAIN_MAX_BYTES, Piece, PieceText};
use crate::compressed::recipe::window::Window;
use crate::compressed::recipe::{
    ARCHIVE_VERSION, MAGIC, PATH_MAX_BYTES, RECORD_MAX_BYTES, VERSION, ZSTD_RECORD_MAX_BYTES, ZSTD_VERSION, kind,
};
use crate::compressed::sequences::block::Tables;
use crate::compressed::sequences::predictor::{Predictor as SequencePredictor, Search};
use crate::error::{Error, Result};
use crate::id::Hasher;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// Bytes that come from somewhere: gives some into the room, none at the end.
pub type Source<'s> = dyn FnMut(&mut Vec<u8>) -> Result<bool> + 's;

/// A recipe that is being read.
pub struct RecipeReader<'s> {
    /// For people.
    name: String,
    source: &'s mut Source<'s>,
    buffer: Vec<u8>,
    /// What of the buffer was read.
    at: usize,
    /// The file of the snapshot that holds the plain bytes, and where they begin in it.
    pub path: Vec<u8>,
    pub start: u64,
    version: u8,
}

impl<'s> RecipeReader<'s> {
    /// Reads how the recipe of this name begins.
    pub fn open(name: String, source: &'s mut Source<'s>) -> Result<RecipeReader<'s>> {
        let (buffer, path) = (Vec::new(), Vec::new());
        let mut reader = RecipeReader { name, source, buffer, at: 0, path, start: 0, version: VERSION };
        let magic = reader.take(MAGIC.len())?;
        if magic != MAGIC {
            return Err(reader.damaged("it does not begin as recipes do"));
        }
        let version = reader.take(1)?[0];
        reader.version = version;
        if ![VERSION, ARCHIVE_VERSION, ZSTD_VERSION].contains(&version) {
            let reason = format!("recipes of version {version} are unknown");
            return Err(Error::Unsupported { object: reader.name, reason });
        }
        let length = reader.varint()?;
        if length > PATH_MAX_BYTES as u64 {
            return Err(reader.damaged("its path is too long"));
        }
        reader.path = reader.take(length as usize)?;
        reader.start = reader.varint()?;
        Ok(reader)
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::corrupt(format!("\"{}\"", self.name), reason)
    }

    fn undecodable(&self, error: DecodeError) -> Error {
        self.damaged(error.reason)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        if self.at > READ_BYTES {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        while self.buffer.len() - self.at < count {
            if !(self.source)(&mut self.buffer)? {
                return Err(self.damaged("it ends early"));
            }
        }
        self.at += count;
        Ok(self.buffer[self.at - count..self.at].to_vec())
    }

    fn varint(&mut self) -> Result<u64> {
        let mut bytes = Vec::new();
        loop {
            bytes.extend(self.take(1)?);
            let is_last = bytes.last().is_none_or(|byte| byte & 0x80 == 0);
            if is_last || bytes.len() > 10 {
                return Decoder::new(&bytes).varint().map_err(|error| self.undecodable(error));
            }
        }
    }

    fn record(&mut self) -> Result<Vec<u8>> {
        let length = self.varint()?;
        let most = if self.version == ZSTD_VERSION { ZSTD_RECORD_MAX_BYTES } else { RECORD_MAX_BYTES };
        if length > most as u64 {
            return Err(self.damaged("it has a record that is too long"));
        }
        self.take(length as usize)
    }

    /// Nothing may follow.
    fn end(mut self) -> Result<()> {
        while self.at == self.buffer.len() {
            if !(self.source)(&mut self.buffer)? {
                return Ok(());
            }
        }
        Err(self.damaged("it has bytes behind its end"))
    }

    /// Makes the file again: `text` gives the plain bytes from where they begin, `out` takes what comes of them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where what came is not the file that the recipe was made of.
    pub fn rebuild(mut self, text: &mut Source, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut making = Making::new(self.version, text, out);
        loop {
            let record = self.record()?;
            let is_done = making.follow(&mut Decoder::new(&record)).map_err(|failure| match failure {
                Failure::Elsewhere(error) => error,
                Failure::Record(error) => self.undecodable(error),
                Failure::Told(reason) => self.damaged(reason),
            })?;
            if is_done {
                return self.end();
            }
        }
    }
}

/// Why a record cannot be followed.
enum Failure {
    /// Reading the text or writing the file failed.
    Elsewhere(Error),
    Record(DecodeError),
    Told(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Elsewhere(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure::Record(error)
    }
}

impl From<&'static str> for Failure {
    fn from(reason: &'static str) -> Failure {
        Failure::Told(reason)
    }
}

/// A frame of Zstandard that is being made again.
struct Frame {
    predictor: SequencePredictor,
    tables: Tables,
    window: Window,
    /// Bytes since it began, or since the last job did.
    job_bytes: u64,
}

/// A file that is being made again.
struct Making<'t, 's> {
    /// Of the recipe.
    version: u8,
    source: &'t mut Source<'s>,
    out: &'t mut dyn FnMut(&[u8]) -> Result<()>,
    /// A window, and what is not used yet.
    text: Vec<u8>,
    start: usize,
    predictor: Option<Predictor>,
    bits: BitWriter,
    frame: Option<Frame>,
    /// What is made is cut into pieces.
    cutter: Option<Cutter>,
    hash: Hasher,
    made: u64,
}

impl<'t, 's> Making<'t, 's> {
    fn new(version: u8, source: &'t mut Source<'s>, out: &'t mut dyn FnMut(&[u8]) -> Result<()>) -> Making<'t, 's> {
        let (predictor, frame, cutter, bits) = (None, None, None, BitWriter::default());
        let (text, hash) = (Vec::new(), Hasher::default());
        Making { version, source, out, text, start: 0, predictor, bits, frame, cutter, hash, made: 0 }
    }

    /// Does what a record tells; true at the last one.
    fn follow(&mut self, record: &mut Decoder) -> Result<bool, Failure> {
        let kind = record.u8()?;
        if !self.may_have(kind) {
            return Err("it has a record of another version".into());
        }
        match kind {
            kind::BYTES => {
                // A stream that broke off had come so far.
                self.bits = BitWriter::default();
                let bytes = record.raw(record.remaining())?;
                self.give(bytes)?;
            }
            kind::BEGIN => {
                self.predictor = Some(Predictor::new(record.u8()?).ok_or("it has a stream of no known level")?);
                self.bits = BitWriter::default();
            }
            kind::BLOCKS => {
                let piece = Piece::decode(record)?;
                self.make(&piece)?;
            }
            kind::END => {
                let (length, hash) = (record.varint()?, record.array()?);
                record.end()?;
                if self.cutter.is_some() || length != self.made || hash != self.hash.finish() {
                    return Err("what comes of it is not the file that it was made of".into());
                }
                return Ok(true);
            }
            kind::LINES if self.cutter.is_none() => {
                let (length_bytes, plain_bytes) = (record.u8()?.into(), record.varint()?);
                self.lines(length_bytes, plain_bytes)?;
            }
            kind::FRAME => {
                let predictor = SequencePredictor::new(Search::decode(record)?);
                let (tables, window) = (Tables::default(), Window::new(self.start));
                self.frame = Some(Frame { predictor, tables, window, job_bytes: 0 });
            }
            kind::BLOCK => self.make_block(&BlockPiece::decode(record)?)?,
            kind::SKIP => self.skip(record.varint()?)?,
            kind::CUT if self.cutter.is_none() => self.cutter = Some(Cutter::new(Cut::decode(record)?)),
            kind::CUT_END => {
                let (mut last, missing) = (Vec::new(), record.varint()? as usize);
                self.cutter.take().ok_or("nothing is cut where it ends")?.finish(missing, &mut last);
                self.give_out(&last)?;
            }
            _ => return Err("it has a record of no known kind, or where that cannot be".into()),
        }
        record.end()?;
        Ok(false)
    }

    /// Whether recipes of this version have such records.
    fn may_have(&self, kind: u8) -> bool {
        match kind {
            kind::BYTES | kind::END => true,
            kind::BEGIN | kind::BLOCKS => self.version != ZSTD_VERSION,
            kind::FRAME | kind::BLOCK => self.version == ZSTD_VERSION,
            _ => self.version == ARCHIVE_VERSION,
        }
    }

    /// Makes a block of Zstandard.
    fn make_block(&mut self, piece: &BlockPiece) -> Result<(), Failure> {
        let end = self.start + piece.plain;
        while self.text.len() < end {
            if !(self.source)(&mut self.text)? {
                return Err("the text that it was made of ends early".into());
            }
        }
        let Some(frame) = &mut self.frame else { return Err("it has a block of no frame".into()) };
        if piece.beginning.job.is_some() && std::mem::take(&mut frame.job_bytes) < JOB_MIN_BYTES {
            return Err("it has a job that is too short".into());
        }
        frame.job_bytes += piece.plain as u64;
        let sight = frame.window.sight(&self.text[..end], self.start);
        let made = piece.write(sight, &mut frame.predictor, &mut frame.tables)?;
        let dropped = frame.window.pass(end, frame.predictor.search.window_bytes as usize);
        self.text.drain(..dropped);
        self.start = end - dropped;
        self.give(&made)?;
        Ok(())
    }

    fn make(&mut self, piece: &Piece) -> Result<(), Failure> {
        let Some(predictor) = &mut self.predictor else { return Err("it has blocks of no stream".into()) };
        if piece.plain > PLAIN_MAX_BYTES {
            return Err("it has a piece that is too long".into());
        }
        let end = self.start + piece.plain;
        while self.text.len() < end + piece.ahead {
            if !(self.source)(&mut self.text)? {
                return Err("the text that it was made of ends early".into());
            }
        }
        let text = PieceText { text: &self.text[..end + piece.ahead], start: self.start };
        piece.write(text, predictor, &mut self.bits)?;
        let window = end.saturating_sub(WINDOW_BYTES);
        self.text.drain(..window);
        self.start = end - window;
        let made = self.bits.take();
        self.give(&made)?;
        Ok(())
    }

    /// Makes pieces of lines of the text.
    fn lines(&mut self, length_bytes: usize, plain_bytes: u64) -> Result<(), Failure> {
        if !(1..=NUMBER_MAX_BYTES).contains(&length_bytes) {
            return Err("it has pieces of no such length".into());
        }
        self.skip(0)?;
        let mut left = plain_bytes;
        while left > 0 {
            let there = usize::try_from(left).map_or(self.text.len(), |left| self.text.len().min(left));
            let Some(last) = memchr::memrchr(b'\n', &self.text[..there]) else {
                let is_too_long = there as u64 == left || there > LINE_MAX_BYTES;
                if is_too_long || !(self.source)(&mut self.text)? {
                    return Err("it has lines that the text has not".into());
                }
                continue;
            };
            let pieces = pieces_of(&self.text[..=last], length_bytes);
            self.text.drain(..=last);
            left -= last as u64 + 1;
            self.give_out(&pieces)?;
        }
        Ok(())
    }

    /// Passes over so many bytes of the text.
    fn skip(&mut self, mut count: u64) -> Result<(), Failure> {
        loop {
            let there = self.text.len() - self.start;
            if let Some(passed) = usize::try_from(count).ok().filter(|count| *count <= there) {
                self.text.drain(..self.start + passed);
                self.start = 0;
                return Ok(());
            }
            count -= there as u64;
            self.text.clear();
            self.start = 0;
            if !(self.source)(&mut self.text)? {
                return Err("the text that it was made of ends early".into());
            }
        }
    }

    fn give(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(mut cutter) = self.cutter.take() else { return self.give_out(bytes) };
        // Pieces of one byte would take nine times as much memory.
        for bytes in bytes.chunks(READ_BYTES) {
            let mut pieces = Vec::new();
            cutter.push(bytes, &mut pieces);
            self.give_out(&pieces)?;
        }
        self.cutter = Some(cutter);
        Ok(())
    }

    fn give_out(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.made += bytes.len() as u64;
        (self.out)(bytes)
    }
}
