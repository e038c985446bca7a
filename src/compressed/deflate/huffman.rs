//! Huffman codes, as the lengths of their words tell them.

use crate::compressed::deflate::bits::{BitReader, BitWriter};

/// Longest word of a code.
const WORD_MAX_BITS: usize = 15;

/// Symbols of the code of literals and lengths, and of that of distances.
pub const LITERALS_MAX: usize = 288;
pub const DISTANCES_MAX: usize = 30;

/// The order in which the lengths of the code for lengths stand.
const LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// A code: its words as they are written, and what each beginning of 15 bits means.
pub struct Code {
    /// By symbol: the word, its first bit lowest, and its length; 0 for a symbol that never comes.
    words: Vec<(u16, u8)>,
    /// By the next 15 bits: symbol and length of the word; 0 where none begins so.
    meanings: Vec<(u16, u8)>,
}

impl Code {
    /// The code of words of these lengths. `None` where there are more words than such lengths allow.
    pub fn of_lengths(lengths: &[u8]) -> Option<Code> {
        let mut counts = [0u32; WORD_MAX_BITS + 1];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        counts[0] = 0;
        let mut next = [0u32; WORD_MAX_BITS + 2];
        for length in 1..=WORD_MAX_BITS {
            next[length + 1] = (next[length] + counts[length]) << 1;
            if next[length] + counts[length] > 1 << length {
                return None;
            }
        }
        let mut words = vec![(0, 0); lengths.len()];
        let mut meanings = vec![(0, 0); 1 << WORD_MAX_BITS];
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let bits = usize::from(length);
            let word = (next[bits] as u16).reverse_bits() >> (16 - bits);
            next[bits] += 1;
            words[symbol] = (word, length);
            let same = meanings.iter_mut().skip(usize::from(word)).step_by(1 << bits);
            same.for_each(|meaning| *meaning = (symbol as u16, length));
        }
        Some(Code { words, meanings })
    }

    /// The codes of a block that tells none.
    pub fn fixed() -> Option<(Code, Code)> {
        let length = |symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        let literals: Vec<u8> = (0..LITERALS_MAX).map(length).collect();
        Some((Code::of_lengths(&literals)?, Code::of_lengths(&[5; DISTANCES_MAX])?))
    }

    /// The next symbol: `Ok(None)` where bits are missing, an error where no word begins so.
    pub fn read(&self, bits: &mut BitReader) -> Result<Option<usize>, &'static str> {
        let (symbol, length) = self.meanings[bits.peek() as usize % (1 << WORD_MAX_BITS)];
        if length == 0 {
            // Behind the end are zeros, which may begin no word.
            return if bits.clone().pass(WORD_MAX_BITS).is_some() { Err("it has words of no code") } else { Ok(None) };
        }
        Ok(bits.pass(usize::from(length)).map(|()| usize::from(symbol)))
    }

    /// Writes a symbol; false where it has no word.
    #[must_use]
    pub fn write(&self, symbol: usize, bits: &mut BitWriter) -> bool {
        let (word, length) = self.words.get(symbol).copied().unwrap_or_default();
        bits.put(word.into(), length.into());
        length > 0
    }
}

/// Reads the codes that a block tells: that of literals and lengths, and that of distances.
pub fn read_codes(bits: &mut BitReader) -> Result<Option<(Code, Code)>, &'static str> {
    let Some(lengths) = read_lengths(bits)? else { return Ok(None) };
    let (literals, distances) = lengths;
    match (Code::of_lengths(&literals), Code::of_lengths(&distances)) {
        (Some(literals), Some(distances)) => Ok(Some((literals, distances))),
        _ => Err("it has a code of too many words"),
    }
}

type Lengths = (Vec<u8>, Vec<u8>);

fn read_lengths(bits: &mut BitReader) -> Result<Option<Lengths>, &'static str> {
    let Some(counts) = bits.take(14) else { return Ok(None) };
    let (literals, distances) = (257 + counts as usize % 32, 1 + (counts >> 5) as usize % 32);
    let mut of_lengths = [0; LENGTH_ORDER.len()];
    for at in &LENGTH_ORDER[..4 + (counts >> 10) as usize] {
        let Some(length) = bits.take(3) else { return Ok(None) };
        of_lengths[*at] = length as u8;
    }
    let code = Code::of_lengths(&of_lengths).ok_or("it has a code of too many words")?;
    let mut lengths = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let Some(symbol) = code.read(bits)? else { return Ok(None) };
        let (value, count) = match symbol {
            0..16 => (symbol as u8, Some(1)),
            16 => (*lengths.last().ok_or("it repeats a length before the first")?, bits.take(2).map(|more| 3 + more)),
            17 => (0, bits.take(3).map(|more| 3 + more)),
            _ => (0, bits.take(7).map(|more| 11 + more)),
        };
        let Some(count) = count else { return Ok(None) };
        lengths.extend(std::iter::repeat_n(value, count as usize));
    }
    if lengths.len() > literals + distances || literals > LITERALS_MAX || distances > DISTANCES_MAX {
        return Err("it has more lengths than it tells");
    }
    let of_distances = lengths.split_off(literals);
    Ok(Some((lengths, of_distances)))
}
