//! Crc64: the checksum that archives have for the documents of a collection. It is CRC-64/XZ; MongoDB calls it ECMA.

const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;

/// What a byte, and that many zeros behind it, do to a checksum: eight bytes are taken at once.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[zeros - 1][byte];
            tables[zeros][byte] = crc >> 8 ^ tables[0][crc as usize & 0xff];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// A checksum of the bytes so far.
#[derive(Debug, Clone)]
pub struct Crc64(u64);

impl Default for Crc64 {
    fn default() -> Self {
        Crc64(!0)
    }
}

impl Crc64 {
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for word in words {
            let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
            crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)]);
        }
        for &byte in rest {
            crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
        }
        self.0 = crc;
    }

    pub fn value(&self) -> u64 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_catalog_of_checksums() {
        let of = |pieces: &[&[u8]]| {
            let mut crc = Crc64::default();
            pieces.iter().for_each(|piece| crc.add(piece));
            crc.value()
        };
        assert_eq!(of(&[b"123456789"]), 0x995d_c9bb_df19_39fa);
        assert_eq!(of(&[b"1", b"2345678", b"9"]), 0x995d_c9bb_df19_39fa);
        assert_eq!(of(&[]), 0);
    }
}
