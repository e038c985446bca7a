//! Fse: tables of finite state entropy, and bits that are read from their end (RFC 8878, 4.1).

use crate::compressed::deflate::bits::{BitReader, BitWriter};

/// Bits that are read from their end, where a one stands in front of them.
#[derive(Debug, Clone)]
pub struct BackwardBits<'b> {
    bytes: &'b [u8],
    /// Bits that are left.
    pub left: usize,
}

impl<'b> BackwardBits<'b> {
    pub fn new(bytes: &'b [u8]) -> Option<BackwardBits<'b>> {
        let last = bytes.last()?.checked_ilog2()?;
        Some(BackwardBits { bytes, left: (bytes.len() - 1) * 8 + last as usize })
    }

    /// The next bits, 32 at most; behind the end are zeros.
    pub fn peek(&self, count: usize) -> u32 {
        let there = count.min(self.left);
        let at = self.left - there;
        let bits = BitReader::new(self.bytes, at).peek() & ((1 << there) - 1);
        (bits << (count - there)) as u32
    }

    pub fn take(&mut self, count: usize) -> Option<u32> {
        let bits = self.peek(count);
        self.left = self.left.checked_sub(count)?;
        Some(bits)
    }
}

/// Ends bits that are read from their end.
pub fn end_bits(bits: &mut BitWriter) -> Vec<u8> {
    bits.put(1, 1);
    bits.fill_byte();
    bits.take()
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    symbol: u8,
    /// How many bits tell the next state, from which one on.
    bits: u8,
    base: u16,
}

/// How a symbol is written: what makes the number of bits of a state, and finds the next one.
#[derive(Debug, Clone, Copy)]
struct Way {
    bits: u32,
    find: i32,
}

/// A table.
#[derive(Debug, Clone)]
pub struct FseTable {
    log: u32,
    states: Vec<State>,
    next: Vec<u16>,
    ways: Vec<Option<Way>>,
}

/// Reads counts of symbols, the logarithm of their sum, and how many bytes tell them.
fn read_counts(bytes: &[u8], symbol_max: u8, log_max: u32) -> Option<(Vec<i16>, u32, usize)> {
    let mut bits = BitReader::new(bytes, 0);
    let log = bits.take(4)? + 5;
    if log > log_max {
        return None;
    }
    let mut counts: Vec<i16> = Vec::new();
    let mut left = (1i32 << log) + 1;
    let mut threshold = 1i32 << log;
    let mut count_bits = log as usize + 1;
    while left > 1 {
        if counts.len() > usize::from(symbol_max) {
            return None;
        }
        let short_max = 2 * threshold - 1 - left;
        let next = bits.peek() as i32;
        let short = next & (threshold - 1);
        let number = if short < short_max {
            bits.pass(count_bits - 1)?;
            short
        } else {
            bits.pass(count_bits)?;
            let long = next & (2 * threshold - 1);
            if long >= threshold { long - short_max } else { long }
        };
        let count = number - 1;
        left -= count.abs();
        counts.push(count as i16);
        if count == 0 {
            loop {
                let zeros = bits.take(2)?;
                counts.extend((0..zeros).map(|_| 0));
                if zeros < 3 {
                    break;
                }
            }
        }
        while left < threshold && threshold > 1 {
            count_bits -= 1;
            threshold >>= 1;
        }
    }
    (left == 1 && counts.len() <= usize::from(symbol_max) + 1).then(|| (counts, log, bits.position().div_ceil(8)))
}

impl FseTable {
    /// Reads the description of one, and how long that is.
    pub fn read(bytes: &[u8], symbol_max: u8, log_max: u32) -> Option<(FseTable, usize)> {
        let (counts, log, length) = read_counts(bytes, symbol_max, log_max)?;
        Some((FseTable::of_counts(&counts, log)?, length))
    }

    /// One of a single symbol.
    pub fn of_one(symbol: u8) -> FseTable {
        let mut ways = vec![None; usize::from(symbol)];
        ways.push(Some(Way { bits: 0, find: 0 }));
        FseTable { log: 0, states: vec![State { symbol, bits: 0, base: 0 }], next: vec![0], ways }
    }

    /// One of symbols that occur so often; -1 is less than once.
    pub fn of_counts(counts: &[i16], log: u32) -> Option<FseTable> {
        let size = 1usize << log;
        let symbols = spread(counts, size)?;
        let mut seen: Vec<u32> = counts.iter().map(|count| count.unsigned_abs().into()).collect();
        let states = symbols.iter().map(|&symbol| {
            let number = seen[usize::from(symbol)];
            seen[usize::from(symbol)] += 1;
            let bits = log - number.ilog2();
            State { symbol, bits: bits as u8, base: ((number << bits) - size as u32) as u16 }
        });
        let states = states.collect();
        let mut starts = Vec::with_capacity(counts.len());
        let mut ways = Vec::with_capacity(counts.len());
        let mut total = 0;
        for count in counts {
            starts.push(total);
            ways.push(way(*count, log, total));
            total += usize::from(count.unsigned_abs());
        }
        let mut next = vec![0; size];
        for (state, &symbol) in symbols.iter().enumerate() {
            let place = &mut starts[usize::from(symbol)];
            next[*place] = (size + state) as u16;
            *place += 1;
        }
        Some(FseTable { log, states, next, ways })
    }

    /// The state that bits begin with.
    pub fn first_state(&self, bits: &mut BackwardBits) -> Option<usize> {
        Some(bits.take(self.log as usize)? as usize)
    }

    pub fn symbol(&self, state: usize) -> u8 {
        self.states[state].symbol
    }

    /// How many bits tell the next state.
    pub fn bits(&self, state: usize) -> usize {
        self.states[state].bits.into()
    }

    pub fn next_state(&self, state: usize, bits: &mut BackwardBits) -> Option<usize> {
        Some(usize::from(self.states[state].base) + bits.take(self.bits(state))? as usize)
    }

    /// The state after the last symbol, which is written first.
    pub fn begin(&self, symbol: u8) -> Option<u32> {
        let way = (*self.ways.get(usize::from(symbol))?)?;
        let bits = (way.bits.wrapping_add(1 << 15)) >> 16;
        let value = (bits << 16).wrapping_sub(way.bits);
        self.find(value >> bits, way)
    }

    /// Writes a symbol.
    pub fn write(&self, symbol: u8, state: u32, out: &mut BitWriter) -> Option<u32> {
        let way = (*self.ways.get(usize::from(symbol))?)?;
        let bits = state.wrapping_add(way.bits) >> 16;
        out.put(state & ((1 << bits) - 1), bits as usize);
        self.find(state >> bits, way)
    }

    fn find(&self, part: u32, way: Way) -> Option<u32> {
        let place = usize::try_from(i64::from(part) + i64::from(way.find)).ok()?;
        self.next.get(place).map(|state| u32::from(*state))
    }

    /// Writes the state that is read first.
    pub fn end(&self, state: u32, out: &mut BitWriter) {
        out.put(state & ((1 << self.log) - 1), self.log as usize);
    }
}

/// The symbol of each state.
fn spread(counts: &[i16], size: usize) -> Option<Vec<u8>> {
    let mut symbols = vec![0; size];
    let mut high = size;
    for (symbol, _) in counts.iter().enumerate().filter(|(_, count)| **count == -1) {
        high = high.checked_sub(1)?;
        symbols[high] = symbol as u8;
    }
    let step = (size >> 1) + (size >> 3) + 3;
    let mut at = 0;
    for (symbol, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        for _ in 0..count {
            symbols[at] = symbol as u8;
            loop {
                at = (at + step) & (size - 1);
                if at < high || high == 0 {
                    break;
                }
            }
        }
    }
    (at == 0).then_some(symbols)
}

fn way(count: i16, log: u32, total: usize) -> Option<Way> {
    let size = 1u32 << log;
    Some(match count {
        0 => return None,
        -1 | 1 => Way { bits: (log << 16).wrapping_sub(size), find: total as i32 - 1 },
        _ => {
            let bits = log - (count as u32 - 1).ilog2();
            let least = (count as u32) << bits;
            Way { bits: (bits << 16).wrapping_sub(least), find: total as i32 - i32::from(count) }
        }
    })
}
