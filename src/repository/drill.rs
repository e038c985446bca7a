//! Drill: a snapshot of a dump was loaded into a server and compared with what came out of it again, or not even loaded.
//! Format: `docs/format.md` section 9.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::time::Timestamp;

/// Longest reason of a failure.
pub const FAILURE_MAX_BYTES: usize = 4096;

/// How a restore drill ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillEnd {
    Compared(Drill),
    Failed(FailedDrill),
}

/// A drill whose server did not take the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDrill {
    /// When it ended.
    pub time: Timestamp,
    /// What failed, for people: at most [`FAILURE_MAX_BYTES`].
    reason: String,
}

impl FailedDrill {
    /// What is longer is cut.
    pub fn new(time: Timestamp, mut reason: String) -> FailedDrill {
        let end = (0..=FAILURE_MAX_BYTES.min(reason.len())).rfind(|&end| reason.is_char_boundary(end));
        reason.truncate(end.unwrap_or_default());
        FailedDrill { time, reason }
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub fn encode(&self, out: &mut Encoder) {
        out.time(self.time).bytes(self.reason.as_bytes());
    }

    pub fn decode(input: &mut Decoder) -> Result<FailedDrill, DecodeError> {
        let (time, reason) = (input.time()?, input.text()?);
        match reason.len() {
            0..=FAILURE_MAX_BYTES => Ok(FailedDrill { time, reason }),
            _ => input.fail("the reason of a failed drill is too long"),
        }
    }
}

/// What a restore drill found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// When it ended.
    pub time: Timestamp,
    /// The server that it was loaded into, for people.
    pub server: String,
    /// How many tables the snapshot has, how many rows these have, and in how many of them anything differed.
    pub tables: u64,
    pub rows: u64,
    pub tables_different: u64,
}

impl Drill {
    /// Whether the server gave back what the snapshot holds.
    pub fn is_equal(&self) -> bool {
        self.tables_different == 0
    }

    pub fn encode(&self, out: &mut Encoder) {
        out.time(self.time).bytes(self.server.as_bytes());
        out.varint(self.tables).varint(self.rows).varint(self.tables_different);
    }

    pub fn decode(input: &mut Decoder) -> Result<Drill, DecodeError> {
        Ok(Drill {
            time: input.time()?,
            server: input.text()?,
            tables: input.varint()?,
            rows: input.varint()?,
            tables_different: input.varint()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_failures_are_bounded() {
        let time = Timestamp { seconds: -1, nanos: 7 };
        let through = |failure: &FailedDrill| {
            let mut out = Encoder::new();
            failure.encode(&mut out);
            FailedDrill::decode(&mut Decoder::new(&out.bytes))
        };
        for (text, bytes) in [("no", 2), (&*"x".repeat(4097), 4096), (&*format!("x{}", "ä".repeat(3000)), 4095)] {
            let failure = FailedDrill::new(time, text.to_string());
            assert_eq!((failure.reason(), failure.reason().len()), (&text[..bytes], bytes));
            assert_eq!(through(&failure).unwrap(), failure);
        }
        assert!(through(&FailedDrill { time, reason: "x".repeat(4097) }).is_err());
    }
}
