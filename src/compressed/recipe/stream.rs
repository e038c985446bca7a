//! Stream: a stream of deflate on its way to a recipe: its blocks are read, and made pieces of.

use crate::compressed::deflate::WINDOW_BYTES;
use crate::compressed::deflate::bits::{BitReader, BitWriter};
use crate::compressed::deflate::block::{Block, read_block};
use crate::compressed::deflate::predictor::{LEVELS, Predictor};
use crate::compressed::recipe::piece::{AHEAD_MAX, Piece, PieceText};

/// A piece is made of so many plain bytes, or more.
const PIECE_BYTES: usize = 1 << 20;

/// The level is chosen by so many tokens.
const SAMPLE_TOKENS: usize = 40_000;

/// Levels in the order in which they are tried; one that makes no mistake is taken.
const LEVELS_TRIED: [u8; LEVELS as usize] = [6, 1, 9, 8, 7, 5, 4, 3, 2];

/// A stream of deflate.
#[derive(Default)]
pub struct Stream {
    /// Bits of the buffer that blocks were made of.
    pub bits: usize,
    /// A window, and what the waiting blocks hold.
    text: Vec<u8>,
    start: usize,
    waiting: Vec<Block>,
    /// Where the last of the waiting blocks begins.
    last_start: usize,
    /// The last block came.
    pub has_ended: bool,
    /// What tells, and what proves it.
    pub predictors: Option<[Predictor; 2]>,
    writer: BitWriter,
}

impl Stream {
    /// Reads blocks until there are enough for a piece; false where more bytes are needed.
    pub fn read_blocks(&mut self, buffer: &[u8]) -> Result<bool, &'static str> {
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
    pub fn choose_level(&self, last: Option<u8>) -> Option<(u8, [Predictor; 2])> {
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
    pub fn take_piece(&mut self) -> Option<(Piece, Vec<u8>)> {
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
