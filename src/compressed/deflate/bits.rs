//! Bits in the order of deflate: the low ones of a byte first.

/// Reads bits of some bytes.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits that were passed.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> BitReader<'a> {
        BitReader { bytes, at }
    }

    /// Bits that were passed since the first byte.
    pub fn position(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// The next 57 bits or more; behind the end are zeros.
    pub fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        word >> (self.at % 8)
    }

    /// Passes so many bits, unless they are not there.
    pub fn pass(&mut self, count: usize) -> Option<()> {
        (count <= self.left()).then(|| self.at += count)
    }

    /// The number in the next bits, 32 at most.
    pub fn take(&mut self, count: usize) -> Option<u32> {
        let number = self.peek() & ((1 << count) - 1);
        self.pass(count)?;
        Some(number as u32)
    }

    /// Passes the rest of a byte, which is given.
    pub fn take_rest_of_byte(&mut self) -> Option<u32> {
        self.take(self.at.next_multiple_of(8) - self.at)
    }

    /// The next bytes, behind whole ones.
    pub fn take_bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let start = self.at / 8;
        let bytes = self.bytes.get(start..start + count)?;
        self.at += count * 8;
        Some(bytes)
    }
}

/// Writes bits.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that make no byte yet.
    rest: u64,
    count: usize,
}

impl BitWriter {
    /// Adds the low bits of a number, 32 at most.
    pub fn put(&mut self, number: u32, count: usize) {
        self.rest |= u64::from(number) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.rest as u8);
            self.rest >>= 8;
            self.count -= 8;
        }
    }

    /// Zeros up to the end of the byte.
    pub fn fill_byte(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }

    /// Adds bytes behind whole ones.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The whole bytes so far; they are forgotten.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
