//! Drill: a snapshot of a dump was loaded into a server and compared with what came out of it again. Format:
//! `docs/format.md` section 9.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::time::Timestamp;

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
