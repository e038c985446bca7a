//! Renaming: a text that streams by, in which names of a table and of what belongs to it become others.

use std::ops::Range;

use crate::codec::DecodeError;
use crate::id::hash;

/// Bytes that may wait for the end of their statement. Rows do not wait.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// Digits of the hash that ends a name that was cut.
const HASH_DIGITS: usize = 8;

/// Changes a text that streams by.
pub trait Rewrite {
    /// Takes the next piece, and appends to `out` what is settled.
    ///
    /// # Errors
    /// A statement that cannot be understood, or is longer than any server takes.
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError>;

    /// Appends the rest.
    ///
    /// # Errors
    /// The same.
    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), DecodeError>;
}

/// Places of the input, and what stands there afterwards, in the order of the input.
pub type Edits = Vec<(Range<u64>, Vec<u8>)>;

/// Bytes that were taken and not given out.
#[derive(Default)]
pub struct Waiting {
    bytes: Vec<u8>,
    /// Where the first of them stands in the input.
    start: u64,
}

impl Waiting {
    pub fn take(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Appends to `out` what stands before `end`, edited.
    ///
    /// # Errors
    /// Too much waits still.
    pub fn give_out(&mut self, end: u64, edits: &mut Edits, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let start = self.start;
        let length = (end.saturating_sub(start)).min(self.bytes.len() as u64) as usize;
        let mut at = 0;
        for (range, text) in edits.drain(..) {
            let (from, to) = ((range.start - start) as usize, (range.end - start) as usize);
            out.extend_from_slice(&self.bytes[at..from]);
            out.extend_from_slice(&text);
            at = to;
        }
        out.extend_from_slice(&self.bytes[at..length]);
        self.bytes.drain(..length);
        self.start += length as u64;
        match self.bytes.len() {
            0..WAITING_MAX_BYTES => Ok(()),
            _ => Err(DecodeError { reason: "a statement is longer than 64 MiB", at: self.start as usize }),
        }
    }
}

/// How long a name may be.
#[derive(Debug, Clone, Copy)]
pub enum NameLimit {
    Characters(usize),
    Bytes(usize),
}

impl NameLimit {
    fn max(self) -> usize {
        match self {
            NameLimit::Characters(max) | NameLimit::Bytes(max) => max,
        }
    }

    fn length(self, text: &str) -> usize {
        match self {
            NameLimit::Characters(_) => text.chars().count(),
            NameLimit::Bytes(_) => text.len(),
        }
    }
}

/// The new name of what belongs to a table. As servers do when a table is renamed: what begins with its old name begins with the
/// new one then. The rest gets the new name in front.
pub fn dependent_name(name: &[u8], old: &[u8], new: &[u8], limit: NameLimit) -> Vec<u8> {
    let rest = name.strip_prefix(old).filter(|rest| rest.is_empty() || rest.starts_with(b"_"));
    let renamed = match rest {
        Some(rest) => [new, rest].concat(),
        None => [new, b"_", name].concat(),
    };
    let text = String::from_utf8_lossy(&renamed);
    if limit.length(&text) <= limit.max() {
        return renamed;
    }
    let digest: String = hash(&renamed).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut kept = text.into_owned();
    while limit.length(&kept) > limit.max() - HASH_DIGITS - 1 {
        kept.pop();
    }
    format!("{kept}_{}", &digest[..HASH_DIGITS]).into_bytes()
}
