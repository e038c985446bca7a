//! Pending: bytes of a file that no record tells yet.

use std::ops::Deref;

/// Bytes that come at the end and go at the beginning, at no more than some moves of each, however few go at a time.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
    /// How many went, and are still in front.
    gone: usize,
}

impl Pending {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Lets the first bytes go, which must be there.
    pub fn pass(&mut self, count: usize) {
        self.gone += count;
        if self.gone >= self.bytes.len() - self.gone {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }
}

impl Deref for Pending {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_as_they_came() {
        let mut pending = Pending::default();
        let bytes: Vec<u8> = (0..200_000).map(|at| (at % 251) as u8).collect();
        let mut gone = 0;
        for piece in bytes.chunks(10_000) {
            pending.push(piece);
            while pending.len() > 100 {
                assert!(pending[..3] == bytes[gone..gone + 3]);
                pending.pass(3);
                gone += 3;
                // Little more than what is left is kept.
                assert!(pending.bytes.len() <= pending.len() * 2);
            }
        }
        pending.pass(pending.len());
        assert!(pending.is_empty() && pending.bytes.is_empty());
    }
}
