//! Cut: a stream within an archive of `pg_dump -Fc`, which is cut into pieces of one length, the last of which may be shorter, with
//! their lengths in front: a byte 0, and the length in so many bytes, the lowest first. A length of 0 follows the last.

use crate::codec::{DecodeError, Decoder, Encoder};

/// Bytes of a length, at most.
pub const NUMBER_MAX_BYTES: usize = 8;

/// Longest pieces that are known to be of one length; `pg_dump` makes them of 4096 bytes.
const PIECE_MAX_BYTES: usize = 16 << 20;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a length, without the one in front.
    number_bytes: usize,
    piece_bytes: usize,
}

impl Cut {
    pub fn encode(&self, out: &mut Encoder) {
        out.u8(self.number_bytes as u8).varint(self.piece_bytes as u64);
    }

    pub fn decode(input: &mut Decoder) -> Result<Cut, DecodeError> {
        let (number_bytes, piece_bytes) = (usize::from(input.u8()?), input.varint()?);
        if !(1..=NUMBER_MAX_BYTES).contains(&number_bytes) || !(1..=PIECE_MAX_BYTES as u64).contains(&piece_bytes) {
            return input.fail("pieces of no such length");
        }
        Ok(Cut { number_bytes, piece_bytes: piece_bytes as usize })
    }

    fn push_piece(&self, piece: &[u8], missing: usize, out: &mut Vec<u8>) {
        push_piece(piece, self.number_bytes, missing, out);
    }
}

/// A piece with its length in front; it lacks so many of the bytes that this tells.
pub fn push_piece(piece: &[u8], number_bytes: usize, missing: usize, out: &mut Vec<u8>) {
    out.push(0);
    let length = (piece.len() as u64).saturating_add(missing as u64).to_le_bytes();
    out.extend_from_slice(&length[..number_bytes]);
    out.extend_from_slice(piece);
}

/// The length of a piece, of what stands in front of it; `None` for a negative one, and one too long for any.
pub fn length_of(field: &[u8]) -> Option<usize> {
    let (0, bytes) = field.split_first().map(|(sign, bytes)| (*sign, bytes))? else { return None };
    let length =
        bytes.iter().rev().try_fold(0usize, |length, &byte| Some(length.checked_mul(1 << 8)? | usize::from(byte)))?;
    (bytes.len() <= NUMBER_MAX_BYTES).then_some(length)
}

/// Cuts a stream.
#[derive(Debug)]
pub struct Cutter {
    cut: Cut,
    /// Less than a piece.
    waiting: Vec<u8>,
}

impl Cutter {
    pub fn new(cut: Cut) -> Cutter {
        Cutter { cut, waiting: Vec::new() }
    }

    /// Takes bytes of the stream, and gives the pieces that are whole.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.waiting.extend_from_slice(bytes);
        let whole = self.waiting.len() - self.waiting.len() % self.cut.piece_bytes;
        self.waiting[..whole].chunks(self.cut.piece_bytes).for_each(|piece| self.cut.push_piece(piece, 0, out));
        self.waiting.drain(..whole);
    }

    /// Gives the last piece, if it is shorter; it lacks so many of the bytes that its length tells.
    pub fn finish(self, missing: usize, out: &mut Vec<u8>) {
        if missing > 0 || !self.waiting.is_empty() {
            self.cut.push_piece(&self.waiting, missing, out);
        }
    }
}

/// Joins the pieces of a stream again.
#[derive(Debug)]
pub struct Joiner {
    number_bytes: usize,
    /// What came of a length.
    field: Vec<u8>,
    /// Bytes of the present piece that are to come.
    left: usize,
    cut: Option<Cut>,
    /// The last piece was shorter than the first.
    was_short: bool,
}

/// What came of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<'b> {
    /// Bytes of the stream.
    Inside(&'b [u8]),
    /// The stream ends before this length, or is cut in another way from there on.
    Ends(Vec<u8>),
}

impl Joiner {
    pub fn new(number_bytes: usize) -> Joiner {
        Joiner { number_bytes, field: Vec::new(), left: 0, cut: None, was_short: false }
    }

    /// How the stream is cut, once that is known.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// What came of a length.
    pub fn begun(&self) -> Vec<u8> {
        self.field.clone()
    }

    /// Bytes of the present piece that did not come yet.
    pub fn missing(&self) -> usize {
        self.left
    }

    /// Takes the first of some bytes, tells how many, and what comes of them.
    pub fn step<'b>(&mut self, bytes: &'b [u8]) -> (usize, Option<Joined<'b>>) {
        if self.left > 0 {
            let inside = &bytes[..bytes.len().min(self.left)];
            self.left -= inside.len();
            return (inside.len(), Some(Joined::Inside(inside)));
        }
        let taken = bytes.len().min(1 + self.number_bytes - self.field.len());
        self.field.extend_from_slice(&bytes[..taken]);
        let is_whole = self.field.len() > self.number_bytes;
        (taken, if is_whole { self.length() } else { None })
    }

    /// Takes note of a length, or ends before it.
    fn length(&mut self) -> Option<Joined<'static>> {
        let field = std::mem::take(&mut self.field);
        let longest = self.cut.map_or(PIECE_MAX_BYTES, |cut| cut.piece_bytes);
        let length = length_of(&field).filter(|length| !self.was_short && (1..=longest).contains(length));
        let Some(length) = length else { return Some(Joined::Ends(field)) };
        self.left = length;
        self.was_short = length < longest && self.cut.is_some();
        self.cut.get_or_insert(Cut { number_bytes: self.number_bytes, piece_bytes: length });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is in the pieces, how they are cut, how many bytes the last one lacks, and what is left.
    fn joined(mut bytes: &[u8], step: usize) -> (Vec<u8>, Option<Cut>, usize, Vec<u8>) {
        let (mut joiner, mut inside) = (Joiner::new(4), Vec::new());
        while !bytes.is_empty() {
            let (taken, found) = joiner.step(&bytes[..bytes.len().min(step)]);
            bytes = &bytes[taken..];
            match found {
                Some(Joined::Inside(more)) => inside.extend_from_slice(more),
                Some(Joined::Ends(field)) => return (inside, joiner.cut(), 0, [&field, bytes].concat()),
                None => {}
            }
        }
        (inside, joiner.cut(), joiner.missing(), joiner.begun())
    }

    fn cut(stream: &[u8], cut: Cut, missing: usize, step: usize) -> Vec<u8> {
        let (mut cutter, mut out) = (Cutter::new(cut), Vec::new());
        stream.chunks(step).for_each(|bytes| cutter.push(bytes, &mut out));
        cutter.finish(missing, &mut out);
        out
    }

    proptest! {
        #[test]
        fn what_was_joined_is_cut_again(
            lengths in prop::collection::vec(0..9u8, 0..20), kept: prop::sample::Index, step in 1..20usize
        ) {
            let mut bytes = Vec::new();
            for (at, length) in lengths.into_iter().enumerate() {
                bytes.extend_from_slice(&[0, length, 0, 0, 0]);
                bytes.extend(std::iter::repeat_n(at as u8, length.into()));
            }
            bytes.truncate(kept.index(bytes.len() + 1));
            let (inside, found, missing, rest) = joined(&bytes, step);
            let again = found.map_or_else(Vec::new, |found| cut(&inside, found, missing, step));
            prop_assert_eq!([again, rest].concat(), bytes);
        }
    }

    #[test]
    fn pieces_are_of_one_length_but_for_the_last() {
        let bytes = b"\0\x03\0\0\0abc\0\x03\0\0\0def\0\x01\0\0\0g\0\0\0\0\0rest";
        let (inside, found, _, rest) = joined(bytes, 4);
        assert_eq!((&inside[..], &rest[..]), (&b"abcdefg"[..], &b"\0\0\0\0\0rest"[..]));
        assert_eq!(found, Some(Cut { number_bytes: 4, piece_bytes: 3 }));
        // Behind a shorter one, or where one is longer, nothing is sure.
        assert_eq!(joined(b"\0\x03\0\0\0abc\0\x01\0\0\0d\0\x03\0\0\0efg", 99).3, b"\0\x03\0\0\0efg");
        assert_eq!(joined(b"\0\x01\0\0\0a\0\x02\0\0\0bc", 99).3, b"\0\x02\0\0\0bc");
        assert_eq!(joined(b"\x01\x01\0\0\0a", 99).3, b"\x01\x01\0\0\0a");
    }
}
