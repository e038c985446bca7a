//! Huffman: the codes of literals (RFC 8878, 4.2).

use crate::compressed::deflate::bits::BitWriter;
use crate::compressed::sequences::fse::{BackwardBits, FseTable, end_bits};

/// Longest code.
const BITS_MAX: u32 = 11;

/// Logarithm of the largest table that weights are told by.
const WEIGHTS_LOG_MAX: u32 = 6;
const WEIGHT_MAX: u8 = 12;

#[derive(Debug, Clone, Copy, Default)]
struct Code {
    value: u16,
    /// 0 for a symbol without.
    bits: u8,
}

/// Codes of bytes.
#[derive(Debug, Clone)]
pub struct Huffman {
    bits_max: u32,
    codes: Vec<Code>,
    /// By the next bits: the symbol, and the bits of its code.
    symbols: Vec<(u8, u8)>,
}

impl Huffman {
    /// Reads the description of codes, and how long that is.
    pub fn read(bytes: &[u8]) -> Option<(Huffman, usize)> {
        let head = *bytes.first()?;
        let (weights, length) = match head {
            ..128 => {
                let length = usize::from(head);
                (told_weights(bytes.get(1..1 + length)?)?, length)
            }
            _ => {
                let count = usize::from(head - 127);
                let told = bytes.get(1..1 + count.div_ceil(2))?;
                let both = told.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                (both.take(count).collect(), told.len())
            }
        };
        Some((Huffman::of_weights(weights)?, 1 + length))
    }

    fn of_weights(mut weights: Vec<u8>) -> Option<Huffman> {
        let mut sum = 0u32;
        for &weight in &weights {
            if weight > WEIGHT_MAX {
                return None;
            }
            sum += (1 << weight) >> 1;
        }
        let bits_max = sum.checked_ilog2()? + 1;
        let rest = (1 << bits_max) - sum;
        if bits_max > BITS_MAX || !rest.is_power_of_two() || weights.len() > 255 {
            return None;
        }
        weights.push(rest.ilog2() as u8 + 1);
        let mut codes = vec![Code::default(); 256];
        let mut symbols = Vec::with_capacity(1 << bits_max);
        for weight in 1..=bits_max as u8 {
            for (symbol, _) in weights.iter().enumerate().filter(|(_, other)| **other == weight) {
                let bits = bits_max as u8 + 1 - weight;
                let value = symbols.len() >> (weight - 1);
                codes[symbol] = Code { value: value as u16, bits };
                symbols.extend((0..1usize << (weight - 1)).map(|_| (symbol as u8, bits)));
            }
        }
        (symbols.len() == 1 << bits_max).then_some(Huffman { bits_max, codes, symbols })
    }

    /// Reads so many literals of a stream, all of it.
    pub fn decode(&self, stream: &[u8], count: usize, out: &mut Vec<u8>) -> Option<()> {
        let mut bits = BackwardBits::new(stream)?;
        for _ in 0..count {
            let (symbol, length) = self.symbols[bits.peek(self.bits_max as usize) as usize];
            bits.left = bits.left.checked_sub(length.into())?;
            out.push(symbol);
        }
        (bits.left == 0).then_some(())
    }

    /// Writes a stream.
    pub fn encode(&self, literals: &[u8]) -> Option<Vec<u8>> {
        let mut bits = BitWriter::default();
        for &byte in literals.iter().rev() {
            let code = self.codes[usize::from(byte)];
            if code.bits == 0 {
                return None;
            }
            bits.put(code.value.into(), code.bits.into());
        }
        Some(end_bits(&mut bits))
    }
}

/// Weights that are told by a table, of two states by turns.
fn told_weights(bytes: &[u8]) -> Option<Vec<u8>> {
    let (table, length) = FseTable::read(bytes, WEIGHT_MAX, WEIGHTS_LOG_MAX)?;
    let mut bits = BackwardBits::new(&bytes[length..])?;
    let mut states = [table.first_state(&mut bits)?, table.first_state(&mut bits)?];
    let mut weights = Vec::new();
    loop {
        weights.push(table.symbol(states[0]));
        let Some(next) = table.next_state(states[0], &mut bits) else {
            weights.push(table.symbol(states[1]));
            return Some(weights);
        };
        states = [states[1], next];
        if weights.len() > 255 {
            return None;
        }
    }
}
