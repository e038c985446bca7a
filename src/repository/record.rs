//! Catalog records: the numbered, create-once history of the repository, `catalog/<group>/<sequence>`, and the checkpoints
//! folded from it. Format: `docs/format.md` sections 9 and 11.

use crate::codec::{DecodeError, Decoder, Encoder, seal, unseal};
use crate::error::{Error, Result};
use crate::id::{SnapshotId, WriterId};
use crate::repository::drill::{Drill, FailedDrill};
use crate::repository::snapshot::{Manifest, decode_label};
use crate::store::compress::Compression;
use crate::store::segment::SegmentRef;
use crate::time::Timestamp;

const RECORD_MAGIC: &[u8; 8] = b"YFS-RCRD";

/// Records a folder: small enough to list at every look for news.
const RECORDS_A_GROUP: u64 = 1000;

/// The folder of all records.
pub const CATALOG_FOLDER: &str = "catalog";

/// The key of record `sequence`.
pub fn record_key(sequence: u64) -> String {
    format!("{CATALOG_FOLDER}/{:017}/{sequence:020}", sequence / RECORDS_A_GROUP)
}

/// Whether two records lie in one folder.
pub fn same_group(a: u64, b: u64) -> bool {
    a / RECORDS_A_GROUP == b / RECORDS_A_GROUP
}

/// The sequence in a record's key; `None` for a key of another form.
pub fn sequence_of_key(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.parse().ok().filter(|&sequence| record_key(sequence) == key)
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// BLAKE3 of the whole file of the record before; zeros for the first.
    pub previous_hash: [u8; 32],
    /// The session that appended it.
    pub writer: WriterId,
    /// When, by that writer's clock; nothing relies on it.
    pub time: Timestamp,
    pub change: Change,
}

/// What a record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A session begins to write packs under its id.
    WriterOpened {
        host: String,
        purpose: String,
    },
    /// These segments count from now on, so that dedup may trust their packs.
    SegmentsPublished {
        segments: Vec<SegmentRef>,
    },
    /// A snapshot exists from now on; `segments` publishes the last of its packs.
    SnapshotAdded {
        segments: Vec<SegmentRef>,
        manifest: Box<Manifest>,
    },
    /// These snapshots exist no longer.
    SnapshotsForgotten {
        snapshots: Vec<SnapshotId>,
        reason: String,
    },
    TagsChanged {
        snapshot: SnapshotId,
        added: Vec<String>,
        removed: Vec<String>,
    },
    /// New chunks are compressed so from now on.
    CompressionChanged {
        compression: Compression,
    },
    /// A snapshot went through a restore drill.
    SnapshotDrilled {
        snapshot: SnapshotId,
        drill: Drill,
    },
    /// A snapshot did not come through one: the server did not take it.
    DrillFailed {
        snapshot: SnapshotId,
        failure: FailedDrill,
    },
    /// Something from the future that one may pass over when reading, but not write after.
    Unknown {
        code: u8,
    },
}

const WRITER_OPENED: u8 = 1;
const SEGMENTS_PUBLISHED: u8 = 2;
const SNAPSHOT_ADDED: u8 = 3;
const SNAPSHOTS_FORGOTTEN: u8 = 4;
const TAGS_CHANGED: u8 = 5;
const COMPRESSION_CHANGED: u8 = 6;
const SNAPSHOT_DRILLED: u8 = 7;
const DRILL_FAILED: u8 = 8;

/// Changes with codes from here on must be understood by readers; below, unknown ones are passed over.
const FIRST_ESSENTIAL_CODE: u8 = 128;

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u64(self.sequence).raw(&self.previous_hash).raw(&self.writer.0).time(self.time);
        self.change.encode(&mut out);
        seal(RECORD_MAGIC, &out.bytes)
    }

    /// Reads the record that must have number `sequence`.
    pub fn decode(file: &[u8], sequence: u64) -> Result<Record> {
        let object = format!("catalog record {sequence}");
        let mut input = Decoder::new(unseal(RECORD_MAGIC, file, &object)?);
        let record = (|| {
            let record = Record {
                sequence: input.u64()?,
                previous_hash: input.array()?,
                writer: WriterId(input.array()?),
                time: input.time()?,
                change: Change::decode(&mut input)?,
            };
            Ok(record)
        })()
        .map_err(DecodeError::of(&object))?;
        match record.change {
            Change::Unknown { code } if code >= FIRST_ESSENTIAL_CODE => {
                Err(Error::Unsupported { object, reason: format!("it makes a change of unknown kind {code}") })
            }
            _ if record.sequence != sequence => {
                Err(Error::corrupt(object, format!("it calls itself record {}", record.sequence)))
            }
            _ => Ok(record),
        }
    }
}

fn encode_segments(out: &mut Encoder, segments: &[SegmentRef]) {
    out.list(segments, encode_segment);
}

/// A segment's name and hash, as records and checkpoints hold it.
pub fn encode_segment(out: &mut Encoder, segment: &SegmentRef) {
    out.writer_object(&segment.name).raw(&segment.file_hash);
}

/// The reverse of [`encode_segment`].
pub fn decode_segment(input: &mut Decoder) -> Result<SegmentRef, DecodeError> {
    let name = input.writer_object()?;
    Ok(SegmentRef { name, file_hash: input.array()? })
}

impl Change {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Change::WriterOpened { host, purpose } => {
                out.u8(WRITER_OPENED).bytes(host.as_bytes()).bytes(purpose.as_bytes());
            }
            Change::SegmentsPublished { segments } => encode_segments(out.u8(SEGMENTS_PUBLISHED), segments),
            Change::SnapshotAdded { segments, manifest } => {
                encode_segments(out.u8(SNAPSHOT_ADDED), segments);
                out.bytes(&manifest.encode());
            }
            Change::SnapshotsForgotten { snapshots, reason } => {
                out.u8(SNAPSHOTS_FORGOTTEN).list(snapshots, |out, id| {
                    out.raw(&id.0);
                });
                out.bytes(reason.as_bytes());
            }
            Change::TagsChanged { snapshot, added, removed } => {
                out.u8(TAGS_CHANGED).raw(&snapshot.0);
                for labels in [added, removed] {
                    out.list(labels, |out, label| {
                        out.bytes(label.as_bytes());
                    });
                }
            }
            Change::CompressionChanged { compression } => compression.encode(out.u8(COMPRESSION_CHANGED)),
            Change::SnapshotDrilled { snapshot, drill } => drill.encode(out.u8(SNAPSHOT_DRILLED).raw(&snapshot.0)),
            Change::DrillFailed { snapshot, failure } => failure.encode(out.u8(DRILL_FAILED).raw(&snapshot.0)),
            Change::Unknown { code } => {
                out.u8(*code);
            }
        }
    }

    fn decode(input: &mut Decoder) -> Result<Change, DecodeError> {
        let code = input.u8()?;
        let change = match code {
            WRITER_OPENED => Change::WriterOpened { host: input.text()?, purpose: input.text()? },
            SEGMENTS_PUBLISHED => Change::SegmentsPublished { segments: input.list(decode_segment)? },
            SNAPSHOT_ADDED => Change::SnapshotAdded {
                segments: input.list(decode_segment)?,
                manifest: Box::new(Manifest::decode(input.bytes()?)?),
            },
            SNAPSHOTS_FORGOTTEN => Change::SnapshotsForgotten {
                snapshots: input.list(|item| item.array().map(SnapshotId))?,
                reason: input.text()?,
            },
            TAGS_CHANGED => Change::TagsChanged {
                snapshot: SnapshotId(input.array()?),
                added: input.list(|tag| decode_label("tag", tag))?,
                removed: input.list(Decoder::text)?,
            },
            COMPRESSION_CHANGED => Change::CompressionChanged { compression: Compression::decode(input)? },
            SNAPSHOT_DRILLED => {
                Change::SnapshotDrilled { snapshot: SnapshotId(input.array()?), drill: Drill::decode(input)? }
            }
            DRILL_FAILED => {
                Change::DrillFailed { snapshot: SnapshotId(input.array()?), failure: FailedDrill::decode(input)? }
            }
            code => return Ok(Change::Unknown { code }),
        };
        input.end().map(|()| change)
    }
}
