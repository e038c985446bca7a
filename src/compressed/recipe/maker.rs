//! RecipeMaker: makes the recipe of a file of gzip while it comes. Each piece of it is made again at once and compared, so that a
//! recipe never fails; what cannot be made again stands in it as it is.

use crate::codec::Encoder;
use crate::compressed::deflate::WINDOW_BYTES;
use crate::compressed::deflate::bits::{BitReader, BitWriter};
use crate::compressed::deflate::block::{Block, read_block};
use crate::compressed::deflate::predictor::{LEVELS, Predictor};
use crate::compressed::gzip::{TRAILER_BYTES, header_length};
use crate::compressed::recipe::piece::{AHEAD_MAX, Piece, PieceText};
use crate::compressed::recipe::{MAGIC, VERSION, kind};
use crate::id::Hasher;

/// A piece is made of so many plain bytes, or more.
const PIECE_BYTES: usize = 1 << 20;

/// Compressed bytes of a block that are waited for; no compressor of gzip makes longer ones.
const BLOCK_MAX_BYTES: usize = 8 << 20;

/// Compressed bytes before a block is looked at; each time that it is not whole, twice as many.
const FIRST_LOOK_BYTES: usize = 128 << 10;

/// Bytes that stand in one record as they are.
const BYTES_RECORD_MAX: usize = 1 << 20;

/// The level is chosen by so many tokens.
const SAMPLE_TOKENS: usize = 40_000;

/// A piece that takes more than this part of what it stands for is no gain.
const GAIN_MIN: usize = 3;

/// Levels in the order in which they are tried; one that makes no mistake is taken.
const LEVELS_TRIED: [u8; LEVELS as usize] = [6, 1, 9, 8, 7, 5, 4, 3, 2];

/// Makes one recipe.
pub struct RecipeMaker {
    place: Place,
    /// Compressed bytes that no record has yet. In a stream, the first of them may be part of a record.
    buffer: Vec<u8>,
    look_at: usize,
    /// Bytes that are to stand in the recipe as they are.
    as_they_are: Vec<u8>,
    level: Option<u8>,
    hash: Hasher,
    compressed: u64,
    /// Bytes in the recipe as they are, of streams.
    missed: u64,
}

enum Place {
    Header,
    Stream(Box<Stream>),
    Trailer,
    /// The rest stands in the recipe as it is.
    Unknown,
}

/// A stream of deflate.
#[derive(Default)]
struct Stream {
    /// Bits of the buffer that blocks were made of.
    bits: usize,
    /// A window, and what the waiting blocks hold.
    text: Vec<u8>,
    start: usize,
    waiting: Vec<Block>,
    /// Where the last of the waiting blocks begins.
    last_start: usize,
    /// The last block came.
    has_ended: bool,
    /// What tells, and what proves it.
    predictors: Option<[Predictor; 2]>,
    writer: BitWriter,
}

impl RecipeMaker {
    /// Begins the recipe of a file whose plain bytes begin there, in the file of this path in the snapshot.
    pub fn new(path: &[u8], start: u64, out: &mut Vec<u8>) -> RecipeMaker {
        let mut head = Encoder::new();
        head.raw(&MAGIC).u8(VERSION).bytes(path).varint(start);
        out.extend_from_slice(&head.bytes);
        RecipeMaker {
            place: Place::Header,
            buffer: Vec::new(),
            look_at: FIRST_LOOK_BYTES,
            as_they_are: Vec::new(),
            level: None,
            hash: Hasher::default(),
            compressed: 0,
            missed: 0,
        }
    }

    /// Takes the next compressed bytes, and adds to the recipe. A few bytes may stand for many, so it is asked now and then
    /// whether anybody still wants the recipe.
    pub fn push(&mut self, bytes: &[u8], is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) {
        self.hash.update(bytes);
        self.compressed += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        self.go_on(false, is_given_up, out);
    }

    /// Ends the recipe. Gives how many bytes of the file stand in it because nothing else makes them again.
    pub fn finish(mut self, is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) -> u64 {
        self.go_on(true, is_given_up, out);
        self.give_up(out);
        self.put_bytes(out);
        let mut end = Encoder::new();
        end.u8(kind::END).varint(self.compressed).raw(&self.hash.finish());
        put_record(&end, out);
        self.missed
    }

    fn go_on(&mut self, is_end: bool, is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) {
        while !is_given_up() {
            let goes_on = match &mut self.place {
                Place::Header => self.header(),
                Place::Stream(_) => self.stream(is_end, out),
                Place::Trailer => self.trailer(),
                Place::Unknown => false,
            };
            if matches!(self.place, Place::Unknown) {
                self.give_up(out);
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Lets the first bytes of the buffer stand as they are.
    fn take_as_they_are(&mut self, count: usize) {
        self.as_they_are.extend(self.buffer.drain(..count));
    }

    /// Writes what stands as it is.
    fn put_bytes(&mut self, out: &mut Vec<u8>) {
        for bytes in self.as_they_are.chunks(BYTES_RECORD_MAX) {
            let mut record = Encoder::new();
            put_record(record.u8(kind::BYTES).raw(bytes), out);
        }
        self.as_they_are.clear();
    }

    /// All that is there, and all that comes, stands as it is.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        self.missed += self.buffer.len() as u64;
        self.place = Place::Unknown;
        self.take_as_they_are(self.buffer.len());
        self.put_bytes(out);
    }

    fn header(&mut self) -> bool {
        match header_length(&self.buffer) {
            Ok(Some(length)) => {
                self.take_as_they_are(length);
                self.place = Place::Stream(Box::default());
                self.look_at = FIRST_LOOK_BYTES;
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.place = Place::Unknown;
                false
            }
        }
    }

    fn trailer(&mut self) -> bool {
        if self.buffer.len() < TRAILER_BYTES {
            return false;
        }
        self.take_as_they_are(TRAILER_BYTES);
        self.place = Place::Header;
        true
    }

    /// Reads blocks, and makes pieces of them.
    fn stream(&mut self, is_end: bool, out: &mut Vec<u8>) -> bool {
        let Place::Stream(stream) = &mut self.place else { return false };
        if self.buffer.len() < self.look_at && !is_end {
            return false;
        }
        let Ok(is_enough) = stream.read_blocks(&self.buffer) else {
            self.place = Place::Unknown;
            return false;
        };
        if !is_enough {
            self.look_at = self.buffer.len() * 2;
            // A stream that goes on nowhere else.
            if is_end || self.buffer.len() > BLOCK_MAX_BYTES {
                self.place = Place::Unknown;
            }
            return false;
        }
        self.look_at = FIRST_LOOK_BYTES;
        self.make_piece(out)
    }

    /// Makes a piece of the waiting blocks, all but the last of them, which the predictor sees.
    fn make_piece(&mut self, out: &mut Vec<u8>) -> bool {
        let Place::Stream(stream) = &mut self.place else { return false };
        let is_new = stream.predictors.is_none();
        if is_new {
            let Some((level, predictors)) = stream.choose_level(self.level) else {
                self.place = Place::Unknown;
                return false;
            };
            (self.level, stream.predictors) = (Some(level), Some(predictors));
        }
        let has_ended = stream.has_ended;
        let piece = stream.take_piece();
        let made =
            piece.as_ref().and_then(|(piece, made)| Some((piece, made)).filter(|_| self.buffer.starts_with(made)));
        let mut record = Encoder::new();
        record.u8(kind::BLOCKS);
        let Some((piece, made)) = made else {
            self.place = Place::Unknown;
            return false;
        };
        piece.encode(&mut record);
        if record.bytes.len() * GAIN_MIN > made.len() + AHEAD_MAX {
            self.place = Place::Unknown;
            return false;
        }
        let length = made.len();
        self.put_bytes(out);
        if let (true, Some(level)) = (is_new, self.level) {
            put_record(Encoder::new().u8(kind::BEGIN).u8(level), out);
        }
        put_record(&record, out);
        self.buffer.drain(..length);
        if let Place::Stream(stream) = &mut self.place {
            stream.bits -= length * 8;
        }
        if has_ended {
            self.place = Place::Trailer;
        }
        true
    }
}

fn put_record(record: &Encoder, out: &mut Vec<u8>) {
    let mut framed = Encoder::new();
    framed.bytes(&record.bytes);
    out.extend_from_slice(&framed.bytes);
}

impl Stream {
    /// Reads blocks until there are enough for a piece; false where more bytes are needed.
    fn read_blocks(&mut self, buffer: &[u8]) -> Result<bool, &'static str> {
        while !self.has_ended && self.last_start - self.start < PIECE_BYTES {
            let mut bits = BitReader::new(buffer, self.bits);
            let before = self.text.len();
            let Some(block) = read_block(&mut bits, &mut self.text)? else {
                self.text.truncate(before);
                return Ok(false);
            };
            self.bits = bits.position();
            self.has_ended = block.is_last;
            self.last_start = before;
            self.waiting.push(block);
        }
        if self.has_ended {
            self.bits = self.bits.next_multiple_of(8);
            self.last_start = self.text.len();
        }
        Ok(true)
    }

    /// The blocks of the next piece, and where their text ends.
    fn next_blocks(&self) -> (usize, usize) {
        match self.has_ended {
            true => (self.waiting.len(), self.text.len()),
            false => (self.waiting.len() - 1, self.last_start),
        }
    }

    fn piece_text(&self, end: usize) -> PieceText<'_> {
        PieceText { text: &self.text[..self.text.len().min(end + AHEAD_MAX)], start: self.start }
    }

    /// The level that makes the fewest mistakes about the first blocks, and two predictors of it.
    fn choose_level(&self, last: Option<u8>) -> Option<(u8, [Predictor; 2])> {
        let (count, end) = self.next_blocks();
        let mut tokens = 0;
        let sample: Vec<Block> = self.waiting[..count]
            .iter()
            .map_while(|block| {
                let room = SAMPLE_TOKENS.checked_sub(tokens)?;
                tokens += block.tokens.len();
                let few = block.tokens[..block.tokens.len().min(room)].to_vec();
                Some(Block { tokens: few, ..block.clone() })
            })
            .collect();
        let mut best: Option<(usize, u8)> = None;
        for level in last.into_iter().chain(LEVELS_TRIED) {
            let text = self.piece_text(end);
            let mistakes =
                Piece::of_blocks(sample.clone(), text, end - self.start, &mut Predictor::new(level)?).mistakes();
            if best.is_none_or(|(fewest, _)| mistakes < fewest) {
                best = Some((mistakes, level));
            }
            if mistakes == 0 {
                break;
            }
        }
        let (_, level) = best?;
        Some((level, [Predictor::new(level)?, Predictor::new(level)?]))
    }

    /// The next piece, and what is made again by it: whole bytes. `None` where that fails.
    fn take_piece(&mut self) -> Option<(Piece, Vec<u8>)> {
        let (count, end) = self.next_blocks();
        let blocks: Vec<Block> = self.waiting.drain(..count).collect();
        let text = PieceText { text: &self.text[..self.text.len().min(end + AHEAD_MAX)], start: self.start };
        let [telling, proving] = self.predictors.as_mut()?;
        let piece = Piece::of_blocks(blocks, text, end - self.start, telling);
        piece.write(text, proving, &mut self.writer).ok()?;
        let window = end.saturating_sub(WINDOW_BYTES);
        self.text.drain(..window);
        (self.start, self.last_start) = (end - window, self.last_start - window);
        Some((piece, self.writer.take()))
    }
}
