//! Block: a part of a deflate stream with a code of its own.

use crate::compressed::deflate::bits::{BitReader, BitWriter};
use crate::compressed::deflate::huffman::{Code, read_codes};
use crate::compressed::deflate::{MATCH_MAX, Token};

/// Tokens and bytes of one block that is taken apart; compressors end blocks far earlier.
const TOKENS_MAX: usize = 4 << 20;
const BLOCK_PLAIN_MAX: usize = 64 << 20;

/// The symbol that ends a block; lengths come behind it.
const END: usize = 256;
const FIRST_LENGTH: usize = 257;

/// The smallest length of each symbol, and how many bits tell how much more it is.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The same of distances.
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// How the bytes of a block are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockCode {
    /// As they are, so many.
    Stored(u16),
    /// By the code that everybody knows.
    Fixed,
    /// By a code that these bits tell.
    Told { bits: Vec<u8>, count: usize },
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub is_last: bool,
    pub code: BlockCode,
    /// None of a stored one.
    pub tokens: Vec<Token>,
}

/// Reads one block, and adds what it holds to `plain`. `Ok(None)` where its end is missing; `plain` may hold more then.
pub fn read_block(bits: &mut BitReader, plain: &mut Vec<u8>) -> Result<Option<Block>, &'static str> {
    let (Some(is_last), Some(kind)) = (bits.take(1), bits.take(2)) else { return Ok(None) };
    let is_last = is_last == 1;
    let (code, codes) = match kind {
        0 => return read_stored(bits, plain).map(|code| code.map(|code| Block { is_last, code, tokens: Vec::new() })),
        1 => (BlockCode::Fixed, Code::fixed()),
        2 => {
            let before = bits.clone();
            let Some(codes) = read_codes(bits)? else { return Ok(None) };
            (told(before, bits.position()), Some(codes))
        }
        _ => return Err("it has a block of no known kind"),
    };
    let Some((literals, distances)) = codes else { return Err("it has no code") };
    let tokens = read_tokens(bits, &literals, &distances, plain)?;
    Ok(tokens.map(|tokens| Block { is_last, code, tokens }))
}

/// The bits from the place of a reader up to `end`.
fn told(mut from: BitReader, end: usize) -> BlockCode {
    let count = end - from.position();
    let mut writer = BitWriter::default();
    let mut left = count;
    while left > 0 {
        let piece = left.min(32);
        // They were read before.
        writer.put(from.take(piece).unwrap_or_default(), piece);
        left -= piece;
    }
    writer.fill_byte();
    BlockCode::Told { bits: writer.take(), count }
}

fn read_stored(bits: &mut BitReader, plain: &mut Vec<u8>) -> Result<Option<BlockCode>, &'static str> {
    let Some(filling) = bits.take_rest_of_byte() else { return Ok(None) };
    let Some(&[a, b, c, d]) = bits.take_bytes(4) else { return Ok(None) };
    let (length, complement) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if filling != 0 || length != !complement {
        return Err("it has a stored block of an unusual form");
    }
    let Some(bytes) = bits.take_bytes(length.into()) else { return Ok(None) };
    plain.extend_from_slice(bytes);
    Ok(Some(BlockCode::Stored(length)))
}

fn read_tokens(
    bits: &mut BitReader,
    literals: &Code,
    distances: &Code,
    plain: &mut Vec<u8>,
) -> Result<Option<Vec<Token>>, &'static str> {
    let start = plain.len();
    let mut tokens = Vec::new();
    loop {
        if tokens.len() >= TOKENS_MAX || plain.len() - start > BLOCK_PLAIN_MAX {
            return Err("it has a block of unusual length");
        }
        let Some(symbol) = literals.read(bits)? else { return Ok(None) };
        match symbol {
            0..END => {
                plain.push(symbol as u8);
                tokens.push(Token::LITERAL);
            }
            END => return Ok(Some(tokens)),
            _ => {
                let Some(length) = extended(bits, LENGTHS.get(symbol - FIRST_LENGTH))? else { return Ok(None) };
                let Some(far) = distances.read(bits)? else { return Ok(None) };
                let Some(distance) = extended(bits, DISTANCES.get(far))? else { return Ok(None) };
                if length == MATCH_MAX && symbol != END + LENGTHS.len() {
                    return Err("it has a length of an unusual form");
                }
                copy(plain, length, distance)?;
                tokens.push(Token { length: length as u16, distance: (distance - 1) as u16 });
            }
        }
    }
}

/// What a symbol and the bits behind it mean.
fn extended(bits: &mut BitReader, symbol: Option<&(u16, u8)>) -> Result<Option<usize>, &'static str> {
    let &(least, more) = symbol.ok_or("it has a symbol of no meaning")?;
    Ok(bits.take(more.into()).map(|more| usize::from(least) + more as usize))
}

fn copy(plain: &mut Vec<u8>, length: usize, distance: usize) -> Result<(), &'static str> {
    let from = plain.len().checked_sub(distance).ok_or("it copies from before its beginning")?;
    if distance >= length {
        plain.extend_from_within(from..from + length);
    } else {
        (from..from + length).for_each(|at| plain.push(plain[at]));
    }
    Ok(())
}

/// The symbol for a length or a distance.
fn symbol_of(value: usize, symbols: &[(u16, u8)]) -> usize {
    symbols.partition_point(|&(least, _)| usize::from(least) <= value) - 1
}

/// Writes blocks, token by token.
pub struct BlockWriter {
    codes: Option<(Code, Code)>,
}

impl BlockWriter {
    /// Writes what comes before the tokens, and the bytes of a stored block.
    pub fn begin(
        is_last: bool,
        code: &BlockCode,
        stored: &[u8],
        bits: &mut BitWriter,
    ) -> Result<BlockWriter, &'static str> {
        let kind = match code {
            BlockCode::Stored(_) => 0,
            BlockCode::Fixed => 1,
            BlockCode::Told { .. } => 2,
        };
        bits.put(u32::from(is_last) | kind << 1, 3);
        let codes = match code {
            BlockCode::Stored(length) => {
                bits.fill_byte();
                bits.put_bytes(&length.to_le_bytes());
                bits.put_bytes(&(!length).to_le_bytes());
                bits.put_bytes(stored);
                None
            }
            BlockCode::Fixed => Code::fixed(),
            BlockCode::Told { bits: told, count } => {
                let codes = read_codes(&mut BitReader::new(told, 0))?;
                let mut reader = BitReader::new(told, 0);
                let mut left = *count;
                while left > 0 {
                    let piece = left.min(32);
                    bits.put(reader.take(piece).ok_or("bits of a code are missing")?, piece);
                    left -= piece;
                }
                Some(codes.ok_or("bits of a code are missing")?)
            }
        };
        Ok(BlockWriter { codes })
    }

    /// Writes a token; `literal` is the byte at its place.
    pub fn token(&self, token: Token, literal: u8, bits: &mut BitWriter) -> Result<(), &'static str> {
        let (literals, distances) = self.codes.as_ref().ok_or("a stored block has tokens")?;
        let is_known = match usize::from(token.length) {
            0 => literals.write(literal.into(), bits),
            length => {
                let distance = usize::from(token.distance) + 1;
                let (by_length, by_distance) = (symbol_of(length, &LENGTHS), symbol_of(distance, &DISTANCES));
                let is_length = literals.write(FIRST_LENGTH + by_length, bits);
                put_more(length, LENGTHS[by_length], bits);
                let is_distance = distances.write(by_distance, bits);
                put_more(distance, DISTANCES[by_distance], bits);
                is_length && is_distance
            }
        };
        is_known.then_some(()).ok_or("a code lacks a word")
    }

    /// Writes the end of the block.
    pub fn finish(self, bits: &mut BitWriter) -> Result<(), &'static str> {
        match self.codes {
            None => Ok(()),
            Some((literals, _)) => literals.write(END, bits).then_some(()).ok_or("a code lacks a word"),
        }
    }
}

fn put_more(value: usize, (least, more): (u16, u8), bits: &mut BitWriter) {
    bits.put((value - usize::from(least)) as u32, more.into());
}
