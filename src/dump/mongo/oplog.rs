//! OplogReader: which stretch of a server's log of operations a dump has.

use std::fmt;

use crate::dump::mongo::bson::{Value, field};
use crate::dump::mongo::documents::{Framing, Step};

/// When an operation was: seconds since 1970, and its place among those of the same second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OplogTime {
    pub seconds: u32,
    pub ordinal: u32,
}

impl fmt::Display for OplogTime {
    /// As `mongorestore --oplogLimit` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seconds, self.ordinal)
    }
}

/// The first and the last operation of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OplogWindow {
    pub first: OplogTime,
    pub last: OplogTime,
}

/// Reads the operations one after the other; holds one at a time. Damage is for others to tell.
#[derive(Default)]
pub struct OplogReader {
    framing: Framing,
    document: Vec<u8>,
    window: Option<OplogWindow>,
    is_lost: bool,
}

impl OplogReader {
    /// Takes the next piece, of any length.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && !self.is_lost {
            let (count, step) = self.framing.step(piece);
            match step {
                Step::PartOfWord => {}
                Step::BadEnd => self.is_lost = true,
                Step::Word(_) => {
                    self.is_lost = self.framing.begin().is_err();
                    self.document.clear();
                    self.document.extend_from_slice(&self.framing.word());
                }
                Step::Inside { is_end } => {
                    self.document.extend_from_slice(&piece[..count]);
                    if is_end {
                        self.note();
                    }
                }
            }
            piece = &piece[count..];
        }
    }

    fn note(&mut self) {
        if let Some(Value::Timestamp { seconds, ordinal }) = field(&self.document, "ts") {
            let last = OplogTime { seconds, ordinal };
            let first = self.window.map_or(last, |window| window.first);
            self.window = Some(OplogWindow { first, last });
        }
    }

    /// From when to when it reaches, as far as it was read. `None` where it has no operations.
    pub fn window(&self) -> Option<OplogWindow> {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPLOG: &[u8] = include_bytes!("../../../tests/fixtures/mongo/oplog/oplog.bson");

    #[test]
    fn the_window_is_that_of_first_and_last_operation() {
        let read = |bytes: &[u8], piece: usize| {
            let mut reader = OplogReader::default();
            bytes.chunks(piece).for_each(|piece| reader.push(piece));
            reader.window()
        };
        let window = read(OPLOG, usize::MAX).unwrap();
        assert!(window.first < window.last && window.first.seconds > 1_700_000_000, "{window:?}");
        assert_eq!(read(OPLOG, 3), Some(window));
        assert_eq!(read(&OPLOG[..OPLOG.len() - 1], 100).unwrap().first, window.first);
        assert_eq!(read(b"", 1), None);
        assert_eq!(read(&[0xff; 100], 7), None);
    }
}
