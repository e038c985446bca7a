//! Piece: some blocks of a stream, told by what the predictor got wrong.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::compressed::deflate::bits::BitWriter;
use crate::compressed::deflate::block::{Block, BlockCode, BlockWriter};
use crate::compressed::deflate::predictor::{Predictor, Sight};
use crate::compressed::deflate::{MATCH_MAX, MATCH_MIN, Token, WINDOW_BYTES};

/// The predictor sees so many bytes behind a piece, where there are so many: more than any token can stand for, twice.
pub const AHEAD_MAX: usize = 1024;

/// Most plain bytes of a piece.
pub const PLAIN_MAX_BYTES: usize = 128 << 20;

/// Most blocks of a piece.
const BLOCKS_MAX: u64 = 1 << 20;

/// Kinds of blocks, with [`LAST`] added for the last one.
const STORED: u8 = 0;
const FIXED: u8 = 1;
const TOLD: u8 = 2;
const LAST: u8 = 4;

/// A block without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    is_last: bool,
    code: BlockCode,
    tokens: u64,
}

/// Some blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes that come out of it.
    pub plain: usize,
    /// Bytes behind it that the predictor sees.
    pub ahead: usize,
    frames: Vec<Frame>,
    /// Tokens that are not as predicted: how many were, before each, and what it is.
    corrections: Vec<(u64, Token)>,
}

/// The text of a piece: what comes before, itself, and what the predictor sees behind it.
#[derive(Clone, Copy)]
pub struct PieceText<'t> {
    pub text: &'t [u8],
    /// Where the piece begins.
    pub start: usize,
}

impl Piece {
    /// Tells blocks by what `predictor` gets wrong. The text must end with what is seen behind them.
    pub fn of_blocks(blocks: Vec<Block>, text: PieceText, plain: usize, predictor: &mut Predictor) -> Piece {
        let mut sight = Sight { text: text.text, at: text.start };
        let mut corrections = Vec::new();
        let mut right = 0;
        let mut frames = Vec::with_capacity(blocks.len());
        for block in blocks {
            for &token in &block.tokens {
                if predictor.predict(sight) == token {
                    right += 1;
                } else {
                    corrections.push((right, token));
                    right = 0;
                }
                predictor.pass(token, sight);
                sight.at += token.bytes();
            }
            if let BlockCode::Stored(length) = block.code {
                predictor.pass_stored(length.into(), sight);
                sight.at += usize::from(length);
            }
            frames.push(Frame { is_last: block.is_last, code: block.code, tokens: block.tokens.len() as u64 });
        }
        Piece { plain, ahead: text.text.len() - text.start - plain, frames, corrections }
    }

    /// How often the predictor was wrong.
    pub fn mistakes(&self) -> usize {
        self.corrections.len()
    }

    /// Writes the blocks.
    pub fn write(&self, text: PieceText, predictor: &mut Predictor, bits: &mut BitWriter) -> Result<(), &'static str> {
        let mut sight = Sight { text: text.text, at: text.start };
        let end = text.start + self.plain;
        let mut corrections = self.corrections.iter();
        let mut next = corrections.next();
        let mut right = 0;
        for frame in &self.frames {
            let stored = match frame.code {
                BlockCode::Stored(length) => usize::from(length),
                _ => 0,
            };
            let bytes = text.text[..end].get(sight.at..sight.at + stored).ok_or("a block is longer than its piece")?;
            let writer = BlockWriter::begin(frame.is_last, &frame.code, bytes, bits)?;
            predictor.pass_stored(stored, sight);
            sight.at += stored;
            for _ in 0..frame.tokens {
                if sight.at >= end {
                    return Err("a block is longer than its piece");
                }
                let predicted = predictor.predict(sight);
                let token = match next.filter(|(before, _)| *before == right) {
                    Some((_, token)) => {
                        (next, right) = (corrections.next(), 0);
                        *token
                    }
                    None => {
                        right += 1;
                        predicted
                    }
                };
                if token.bytes() > end - sight.at {
                    return Err("a token is longer than its piece");
                }
                writer.token(token, text.text[sight.at], bits)?;
                predictor.pass(token, sight);
                sight.at += token.bytes();
            }
            writer.finish(bits)?;
        }
        let ends_stream = self.frames.last().is_some_and(|frame| frame.is_last);
        if ends_stream {
            bits.fill_byte();
        }
        if sight.at == end && next.is_none() { Ok(()) } else { Err("a piece is longer than its blocks") }
    }

    /// Whether it is within what readers take.
    pub fn can_be_read(&self) -> bool {
        self.plain <= PLAIN_MAX_BYTES && self.frames.len() as u64 <= BLOCKS_MAX
    }

    pub fn encode(&self, out: &mut Encoder) {
        out.varint(self.plain as u64).varint(self.ahead as u64);
        out.list(&self.frames, |out, frame| {
            let last = if frame.is_last { LAST } else { 0 };
            match &frame.code {
                BlockCode::Stored(length) => out.u8(STORED | last).u16(*length),
                BlockCode::Fixed => out.u8(FIXED | last).varint(frame.tokens),
                BlockCode::Told { bits, count } => {
                    out.u8(TOLD | last).varint(*count as u64).bytes(bits).varint(frame.tokens)
                }
            };
        });
        out.list(&self.corrections, |out, (before, token)| {
            out.varint(*before).varint(token.length.into());
            if token.length > 0 {
                out.u16(token.distance);
            }
        });
    }

    pub fn decode(input: &mut Decoder) -> Result<Piece, DecodeError> {
        let plain = input.varint()? as usize;
        let ahead = input.varint()? as usize;
        if ahead > AHEAD_MAX {
            return input.fail("a piece sees more than it may");
        }
        let mut frames = Vec::new();
        let blocks = input.varint()?;
        if blocks > BLOCKS_MAX {
            return input.fail("a piece has too many blocks");
        }
        for _ in 0..blocks {
            let kind = input.u8()?;
            let is_last = kind & LAST != 0;
            let (code, tokens) = match kind & !LAST {
                STORED => (BlockCode::Stored(input.u16()?), 0),
                FIXED => (BlockCode::Fixed, input.varint()?),
                TOLD => {
                    let count = input.varint()? as usize;
                    (BlockCode::Told { bits: input.bytes()?.to_vec(), count }, input.varint()?)
                }
                _ => return input.fail("no such kind of block"),
            };
            frames.push(Frame { is_last, code, tokens });
        }
        let mut corrections = Vec::new();
        for _ in 0..input.varint()? {
            let (before, length) = (input.varint()?, input.varint()? as usize);
            let token = match length {
                0 => Token::LITERAL,
                MATCH_MIN..=MATCH_MAX => Token { length: length as u16, distance: input.u16()? },
                _ => return input.fail("a token of no such length"),
            };
            if usize::from(token.distance) >= WINDOW_BYTES {
                return input.fail("a token from too far");
            }
            corrections.push((before, token));
        }
        Ok(Piece { plain, ahead, frames, corrections })
    }
}
