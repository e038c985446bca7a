//! Lines: rows within an archive of `pg_dump -Fc` that is not compressed: each line is a piece, with its length in front
//! (`compressed::recipe::cut`).

use crate::compressed::recipe::cut::{length_of, push_piece};

/// Longest line that is waited for.
pub const LINE_MAX_BYTES: usize = 16 << 20;

/// Takes pieces as long as each is a line.
#[derive(Debug)]
pub struct Lines {
    /// Bytes of a length, without the one in front.
    pub length_bytes: usize,
    /// Bytes of the lines that came.
    pub plain_bytes: u64,
    /// What came of the next, with its length.
    pending: Vec<u8>,
}

impl Lines {
    pub fn new(length_bytes: usize) -> Lines {
        Lines { length_bytes, plain_bytes: 0, pending: Vec::new() }
    }

    /// Takes bytes; gives those that are behind the lines, once something is there that is none.
    pub fn push(&mut self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let head = 1 + self.length_bytes;
        while !bytes.is_empty() {
            let length = self.pending.get(..head).and_then(length_of);
            let wanted = head + length.unwrap_or_default();
            let taken = bytes.len().min(wanted - self.pending.len());
            self.pending.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.pending.len() < wanted {
                return None;
            }
            let is_line = match length {
                None => length_of(&self.pending).is_some_and(|length| (1..=LINE_MAX_BYTES).contains(&length)),
                Some(length) => memchr::memchr(b'\n', &self.pending[head..]) == Some(length - 1),
            };
            if !is_line {
                return Some([&std::mem::take(&mut self.pending), bytes].concat());
            }
            if let Some(length) = length {
                self.plain_bytes += length as u64;
                self.pending.clear();
            }
        }
        None
    }

    /// What came of the next piece.
    pub fn begun(&self) -> Vec<u8> {
        self.pending.clone()
    }
}

/// The pieces of these lines.
pub fn pieces_of(lines: &[u8], length_bytes: usize) -> Vec<u8> {
    let mut pieces = Vec::with_capacity(lines.len() * 2);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        push_piece(&lines[start..=end], length_bytes, 0, &mut pieces);
        start = end + 1;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_pieces_again_and_what_is_none_stays(
            pieces in prop::collection::vec("[a\n]{0,3}", 0..20), cut: prop::sample::Index, step in 1..9usize
        ) {
            let mut bytes = Vec::new();
            pieces.iter().for_each(|piece| push_piece(piece.as_bytes(), 4, 0, &mut bytes));
            bytes.truncate(cut.index(bytes.len() + 1));
            let (mut lines, mut rest) = (Lines::new(4), None);
            for bytes in bytes.chunks(step) {
                match &mut rest {
                    None => rest = lines.push(bytes),
                    Some(rest) => rest.extend_from_slice(bytes),
                }
            }
            let count = lines.plain_bytes as usize;
            let rest = rest.unwrap_or_else(|| lines.begun());
            let text = pieces.concat();
            prop_assert_eq!([pieces_of(&text.as_bytes()[..count], 4), rest].concat(), bytes);
            let lines_in_front = pieces.iter().take_while(|piece| piece.find('\n') == piece.len().checked_sub(1));
            prop_assert!(count <= lines_in_front.map(String::len).sum());
        }
    }

    #[test]
    fn what_follows_lines_is_told() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.push(b"\0\x02\0\0\0a\n\0\x01\0\0\0\n\0\0\0\0"), None);
        assert_eq!(lines.push(b"\0rest").unwrap(), b"\0\0\0\0\0rest");
        assert_eq!(lines.plain_bytes, 3);
    }
}
