//! RecipeMaker: makes the recipe of a file of gzip or Zstandard, or of an archive, while it comes. Each piece of it is made again at
//! once and compared, so that a recipe never fails; what cannot be made again stands in it as it is.

use crate::codec::Encoder;
use crate::compressed::gzip::{TRAILER_BYTES, header_length};
use crate::compressed::recipe::cut::{Cutter, Joined, Joiner};
use crate::compressed::recipe::frame::{FrameHead, FrameStream};
use crate::compressed::recipe::gain::Gain;
use crate::compressed::recipe::lines::Lines;
use crate::compressed::recipe::pending::Pending;
use crate::compressed::recipe::piece::{AHEAD_MAX, Piece};
use crate::compressed::recipe::stream::Stream;
use crate::compressed::recipe::{ARCHIVE_VERSION, MAGIC, StreamForm, VERSION, ZSTD_VERSION, kind};
use crate::compressed::zlib;
use crate::id::Hasher;

/// Compressed bytes of a block that are waited for; no compressor of gzip makes longer ones.
const BLOCK_MAX_BYTES: usize = 8 << 20;

/// Compressed bytes before a block is looked at; each time that it is not whole, twice as many.
const FIRST_LOOK_BYTES: usize = 128 << 10;

/// Bytes that stand in one record as they are.
const BYTES_RECORD_MAX: usize = 1 << 20;

/// A piece that takes more than this part of what it stands for is no gain.
const GAIN_MIN: usize = 3;

/// A stream of an archive that has fewer compressed bytes stands as it is: the recipe would have about as many.
const STREAM_MIN_BYTES: usize = 256;

/// Makes one recipe.
pub struct RecipeMaker {
    around: Around,
    place: Place,
    /// Compressed bytes that no record has yet. In a stream, the first of them may be part of a record.
    buffer: Pending,
    look_at: usize,
    /// Bytes that are to stand in the recipe as they are.
    as_they_are: Vec<u8>,
    level: Option<u8>,
    hash: Hasher,
    compressed: u64,
    /// Bytes in the recipe as they are, but for headers and trailers of streams.
    missed: u64,
    /// By the blocks of Zstandard.
    gain: Gain,
    /// Up to where pieces took the plain bytes, and how many the next stream passes over.
    taken: u64,
    skip: u64,
    /// Up to where plain bytes are known to be there.
    text_end: u64,
}

/// What is around streams.
enum Around {
    /// One after the other, of gzip.
    Gzip,
    /// Frames of Zstandard, the present one with so many bytes behind it.
    Zstd(usize),
    /// An archive: the present stream, if any.
    Archive(Option<ArchiveStream>),
}

enum ArchiveStream {
    Cut(CutStream),
    Lines(Lines),
}

/// A stream that is cut into pieces.
struct CutStream {
    joiner: Joiner,
    /// How it is cut was told.
    is_told: bool,
}

enum Place {
    Header,
    Stream(Box<Stream>),
    Frame(Box<FrameStream>),
    Trailer,
    /// The rest stands in the recipe as it is.
    Unknown,
}

impl RecipeMaker {
    /// Begins the recipe of a file whose plain bytes begin there, in the file of this path in the snapshot.
    pub fn new(path: &[u8], start: u64, out: &mut Vec<u8>) -> RecipeMaker {
        RecipeMaker::begin(VERSION, Around::Gzip, path, start, out)
    }

    /// Begins the recipe of a file of Zstandard.
    pub fn of_zstd(path: &[u8], start: u64, out: &mut Vec<u8>) -> RecipeMaker {
        RecipeMaker::begin(ZSTD_VERSION, Around::Zstd(0), path, start, out)
    }

    /// Begins the recipe of an archive, which has streams where [`RecipeMaker::begin_stream`] says so.
    pub fn of_archive(path: &[u8], start: u64, out: &mut Vec<u8>) -> RecipeMaker {
        RecipeMaker::begin(ARCHIVE_VERSION, Around::Archive(None), path, start, out)
    }

    fn begin(version: u8, around: Around, path: &[u8], start: u64, out: &mut Vec<u8>) -> RecipeMaker {
        let mut head = Encoder::new();
        head.raw(&MAGIC).u8(version).bytes(path).varint(start);
        out.extend_from_slice(&head.bytes);
        RecipeMaker {
            around,
            place: Place::Header,
            buffer: Pending::default(),
            look_at: FIRST_LOOK_BYTES,
            as_they_are: Vec::new(),
            level: None,
            hash: Hasher::default(),
            compressed: 0,
            missed: 0,
            gain: Gain::default(),
            taken: start,
            skip: 0,
            text_end: u64::MAX,
        }
    }

    /// In an archive: the next bytes are a stream, cut into pieces with their lengths in front, of so many bytes each, and an
    /// empty one at the end. Its plain bytes begin there.
    pub fn begin_stream(&mut self, form: StreamForm, number_bytes: usize, text_at: u64) {
        // Text that lies before was passed over already.
        let skip = text_at.checked_sub(self.taken).filter(|_| matches!(self.around, Around::Archive(None)));
        let Some(skip) = skip else { return };
        self.skip = skip;
        self.place = Place::Header;
        self.look_at = FIRST_LOOK_BYTES;
        self.around = Around::Archive(Some(match form {
            StreamForm::Zlib => ArchiveStream::Cut(CutStream { joiner: Joiner::new(number_bytes), is_told: false }),
            StreamForm::Plain => ArchiveStream::Lines(Lines::new(number_bytes)),
        }));
    }

    /// In an archive: plain bytes are there up to this place, all those of the next bytes among them. Who reads a stream that is
    /// damaged may find less in it than its blocks hold.
    pub fn text_reaches(&mut self, text_end: u64) {
        self.text_end = text_end;
    }

    /// Takes the next compressed bytes, and adds to the recipe. A few bytes may stand for many, so it is asked now and then
    /// whether anybody still wants the recipe.
    pub fn push(&mut self, bytes: &[u8], is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) {
        self.hash.update(bytes);
        self.compressed += bytes.len() as u64;
        match self.around {
            Around::Gzip | Around::Zstd(_) => {
                self.buffer.push(bytes);
                self.go_on(false, is_given_up, out);
            }
            Around::Archive(_) => self.push_archive(bytes, is_given_up, out),
        }
    }

    fn push_archive(&mut self, mut bytes: &[u8], is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) {
        while let Around::Archive(Some(stream)) = &mut self.around {
            if bytes.is_empty() {
                return;
            }
            let stream = match stream {
                ArchiveStream::Cut(stream) => stream,
                ArchiveStream::Lines(lines) => match lines.push(bytes) {
                    None => return,
                    Some(behind) => return self.end_stream(&behind, is_given_up, out),
                },
            };
            let (taken, joined) = stream.joiner.step(bytes);
            bytes = &bytes[taken..];
            match joined {
                Some(Joined::Inside(inside)) => {
                    self.buffer.push(inside);
                    if stream.is_told || self.buffer.len() >= STREAM_MIN_BYTES {
                        self.tell_cut(out);
                        self.go_on(false, is_given_up, out);
                    }
                }
                Some(Joined::Ends(field)) => self.end_stream(&field, is_given_up, out),
                None => {}
            }
        }
        self.keep(bytes);
        if self.as_they_are.len() >= BYTES_RECORD_MAX {
            self.put_bytes(out);
        }
    }

    /// Tells how the present stream is cut, unless that was told.
    fn tell_cut(&mut self, out: &mut Vec<u8>) {
        let Around::Archive(Some(ArchiveStream::Cut(stream))) = &mut self.around else { return };
        if let (false, Some(cut)) = (stream.is_told, stream.joiner.cut()) {
            stream.is_told = true;
            let mut record = Encoder::new();
            cut.encode(record.u8(kind::CUT));
            self.put_bytes(out);
            put_record(&record, out);
        }
    }

    /// Ends the present stream of an archive, behind which this stands.
    fn end_stream(&mut self, behind: &[u8], is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.around, Around::Archive(None)) {
            Around::Archive(Some(ArchiveStream::Cut(CutStream { joiner, is_told: true }))) => {
                self.go_on(true, is_given_up, out);
                self.give_up(out);
                self.put_bytes(out);
                put_record(Encoder::new().u8(kind::CUT_END).varint(joiner.missing() as u64), out);
            }
            Around::Archive(Some(ArchiveStream::Cut(CutStream { joiner, is_told: false }))) => {
                self.missed += self.buffer.len() as u64;
                if let Some(cut) = joiner.cut() {
                    let mut cutter = Cutter::new(cut);
                    cutter.push(&self.buffer, &mut self.as_they_are);
                    cutter.finish(joiner.missing(), &mut self.as_they_are);
                }
                self.buffer.pass(self.buffer.len());
            }
            Around::Archive(Some(ArchiveStream::Lines(lines))) if lines.plain_bytes > 0 => {
                self.put_bytes(out);
                self.put_skip(out);
                let mut record = Encoder::new();
                record.u8(kind::LINES).u8(lines.length_bytes as u8).varint(lines.plain_bytes);
                put_record(&record, out);
                self.taken += lines.plain_bytes;
            }
            _ => {}
        }
        self.keep(behind);
    }

    /// Lets bytes of an archive that are of no stream stand as they are.
    fn keep(&mut self, bytes: &[u8]) {
        self.missed += bytes.len() as u64;
        self.as_they_are.extend_from_slice(bytes);
    }

    /// Tells how many plain bytes are passed over before the present stream, if any.
    fn put_skip(&mut self, out: &mut Vec<u8>) {
        if self.skip > 0 {
            put_record(Encoder::new().u8(kind::SKIP).varint(self.skip), out);
        }
        self.taken += std::mem::take(&mut self.skip);
    }

    /// How many bytes of the file came.
    pub fn length(&self) -> u64 {
        self.compressed
    }

    /// Ends the recipe. Gives how many bytes of the file stand in it because nothing else makes them again.
    pub fn finish(mut self, is_given_up: &dyn Fn() -> bool, out: &mut Vec<u8>) -> u64 {
        let begun = match &mut self.around {
            Around::Gzip | Around::Zstd(_) => {
                self.go_on(true, is_given_up, out);
                Vec::new()
            }
            Around::Archive(None) => Vec::new(),
            Around::Archive(Some(ArchiveStream::Cut(stream))) => stream.joiner.begun(),
            Around::Archive(Some(ArchiveStream::Lines(lines))) => lines.begun(),
        };
        if matches!(self.around, Around::Archive(_)) {
            self.end_stream(&begun, is_given_up, out);
        }
        self.give_up(out);
        self.put_bytes(out);
        self.missed += self.gain.judge();
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
                Place::Frame(_) => self.frame(is_end, out),
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
        self.as_they_are.extend_from_slice(&self.buffer[..count]);
        self.buffer.pass(count);
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
        if self.as_they_are.len() >= BYTES_RECORD_MAX {
            self.put_bytes(out);
        }
    }

    fn header(&mut self) -> bool {
        if let Around::Zstd(_) = self.around {
            return self.frame_header();
        }
        let length = match self.around {
            Around::Archive(_) => zlib::header_length(&self.buffer),
            _ => header_length(&self.buffer),
        };
        match length {
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
        let (length, behind) = match self.around {
            Around::Gzip => (TRAILER_BYTES, Place::Header),
            Around::Zstd(length) => (length, Place::Header),
            Around::Archive(_) => (zlib::TRAILER_BYTES, Place::Unknown),
        };
        if self.buffer.len() < length {
            return false;
        }
        self.take_as_they_are(length);
        self.place = behind;
        true
    }

    fn frame_header(&mut self) -> bool {
        match FrameHead::read(&self.buffer) {
            Ok(Some(head)) => {
                self.take_as_they_are(head.length);
                self.place = Place::Frame(Box::new(FrameStream::new(head)));
                self.around = Around::Zstd(head.trailer_bytes);
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.place = Place::Unknown;
                false
            }
        }
    }

    /// Reads blocks of Zstandard, and tells the next one.
    fn frame(&mut self, is_end: bool, out: &mut Vec<u8>) -> bool {
        let Place::Frame(frame) = &mut self.place else { return false };
        let told = match frame.read_blocks(&self.buffer) {
            Ok(false) if !is_end => return false,
            Ok(true) => frame.tell_block(&self.buffer),
            _ => None,
        };
        let has_ended = frame.has_ended();
        let Some(told) = told else {
            self.place = Place::Unknown;
            return false;
        };
        let (length, out_before) = (self.as_they_are.len() + told.length, out.len());
        self.put_bytes(out);
        let mut record = Encoder::new();
        if let Some(search) = told.search {
            search.encode(record.u8(kind::FRAME));
            put_record(&record, out);
            record = Encoder::new();
        }
        told.piece.encode(record.u8(kind::BLOCK));
        put_record(&record, out);
        self.missed += self.gain.add(out.len() - out_before, length);
        self.buffer.pass(told.length);
        if self.gain.is_lost() {
            self.place = Place::Unknown;
            return false;
        }
        if has_ended {
            self.place = Place::Trailer;
        }
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
        let text_left = self.text_end.checked_sub(self.taken).and_then(|left| left.checked_sub(self.skip));
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
        let can_be_followed = |piece: &Piece| {
            let seen = (piece.plain + piece.ahead) as u64;
            text_left.is_some_and(|left| seen <= left) && piece.can_be_read()
        };
        let Some((piece, made)) = made.filter(|(piece, _)| can_be_followed(piece)) else {
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
            self.put_skip(out);
            put_record(Encoder::new().u8(kind::BEGIN).u8(level), out);
        }
        self.taken += piece.plain as u64;
        put_record(&record, out);
        self.buffer.pass(length);
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
