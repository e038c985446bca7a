//! Catalog: the repository's history folded up to one record. It is a value; [`Repository`](crate::repository::Repository)
//! swaps it for a newer one when records were added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder, seal, unknown_write_features, unseal};
use crate::error::{Error, Result};
use crate::id::{SnapshotId, hash};
use crate::repository::record::{Change, Record, decode_segment, encode_segment};
use crate::repository::snapshot::{Manifest, Snapshot, SnapshotSpec};
use crate::store::chunk_store::{Published, PublishedSegments};
use crate::store::index::AppliedMark;
use crate::time::{Timestamp, parse_when};

const CHECKPOINT_MAGIC: &[u8; 8] = b"YFS-CKPT";

/// The folder of checkpoints.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";

/// The key of the checkpoint that folds records 1 to `sequence`.
pub fn checkpoint_key(sequence: u64) -> String {
    format!("{CHECKPOINT_FOLDER}/{sequence:020}")
}

/// The largest snapshot sequence that inode numbers have room for.
pub const SNAPSHOT_SEQUENCE_MAX: u64 = (1 << 24) - 1;

/// The history up to record `sequence`.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The last record that is folded in; 0 for none.
    pub sequence: u64,
    /// BLAKE3 of that record's file.
    pub record_hash: [u8; 32],
    /// Snapshots that exist, by their sequence.
    snapshots: BTreeMap<u64, Arc<Snapshot>>,
    /// How many were ever added.
    snapshots_added: u64,
    segments: Arc<Vec<Published>>,
    /// A record that this version does not understand: it must not write after it.
    unknown_record: Option<u64>,
}

impl Catalog {
    /// Snapshots that exist, in the order in which they were added.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot>> {
        self.snapshots.values()
    }

    /// The snapshot with this sequence.
    pub fn by_sequence(&self, sequence: u64) -> Option<&Arc<Snapshot>> {
        self.snapshots.get(&sequence)
    }

    /// The snapshot with this id.
    pub fn by_id(&self, id: &SnapshotId) -> Option<&Arc<Snapshot>> {
        self.snapshots.values().find(|snapshot| snapshot.id == *id)
    }

    /// Snapshots of one source, in the order in which they were added.
    pub fn of_source<'a>(&'a self, source: &'a str) -> impl DoubleEndedIterator<Item = &'a Arc<Snapshot>> {
        self.snapshots.values().filter(move |snapshot| snapshot.manifest.source == source)
    }

    /// Names of all sources that have snapshots.
    pub fn sources(&self) -> BTreeSet<&str> {
        self.snapshots.values().map(|snapshot| snapshot.manifest.source.as_str()).collect()
    }

    /// The newest snapshot of a source that started at or before `time`; of two that started together, the one added later.
    /// A start counts as its name tells it, in whole seconds: the time that people read there must find it.
    pub fn at<'a>(&'a self, source: &'a str, time: Timestamp) -> Option<&'a Arc<Snapshot>> {
        self.of_source(source)
            .filter(|snapshot| Timestamp { nanos: 0, ..snapshot.manifest.started } <= time)
            .max_by_key(|snapshot| (snapshot.manifest.started, snapshot.sequence))
    }

    /// The snapshot that people mean by `spec`.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Ambiguous`] where an id prefix fits several.
    pub fn find(&self, spec: &SnapshotSpec) -> Result<Arc<Snapshot>> {
        let (found, name) = match spec {
            SnapshotSpec::Id(prefix) => return self.by_prefix(prefix),
            SnapshotSpec::Latest { source, back } => {
                let suffix = if *back == 0 { String::new() } else { format!("~{back}") };
                (self.of_source(source).rev().nth(*back), format!("{source}@latest{suffix}"))
            }
            SnapshotSpec::At { source, time } => (self.at(source, *time), format!("{source}@{}", time.to_rfc3339())),
            SnapshotSpec::Name { source, name } => {
                let named = self.of_source(source).find(|snapshot| snapshot.manifest.name == *name);
                // Where no snapshot has it, it is a time like others; it does not depend on the present one.
                let time = || parse_when(name, Timestamp::default()).ok();
                (named.or_else(|| self.at(source, time()?)), format!("{source}@{name}"))
            }
        };
        found.cloned().ok_or(Error::NotFound { what: "snapshot", name })
    }

    fn by_prefix(&self, prefix: &str) -> Result<Arc<Snapshot>> {
        let fits: Vec<_> = self.snapshots.values().filter(|it| it.id.to_string().starts_with(prefix)).collect();
        match fits[..] {
            [only] => Ok(only.clone()),
            // A source may have a name that looks like an id.
            [] if self.sources().contains(prefix) => {
                self.find(&SnapshotSpec::Latest { source: prefix.into(), back: 0 })
            }
            [] => Err(Error::NotFound { what: "snapshot", name: prefix.into() }),
            _ => {
                let matches = fits.iter().map(|snapshot| snapshot.id.short()).collect();
                Err(Error::Ambiguous { name: prefix.into(), matches })
            }
        }
    }

    /// A name for a snapshot of `source` started at `started` that no other of its snapshots has.
    pub fn free_name(&self, source: &str, started: Timestamp) -> String {
        let stem = started.directory_name();
        let taken: BTreeSet<&str> = self.of_source(source).map(|snapshot| snapshot.manifest.name.as_str()).collect();
        let suffixed = (1u32..).map(|number| format!("{stem}.{number:03}"));
        std::iter::once(stem.clone()).chain(suffixed).find(|name| !taken.contains(name.as_str())).unwrap_or(stem)
    }

    /// What the chunk store must be able to find.
    pub fn published(&self) -> PublishedSegments {
        let mark = AppliedMark { sequence: self.sequence, record_hash: self.record_hash };
        PublishedSegments { mark, segments: self.segments.clone() }
    }

    /// Fails where a newer version wrote something that this one would not respect.
    pub fn check_writable(&self) -> Result<()> {
        match self.unknown_record {
            None => Ok(()),
            Some(sequence) => Err(Error::Unsupported {
                object: format!("catalog record {sequence}"),
                reason: "a newer version wrote it; this one can read the repository but must not write to it".into(),
            }),
        }
    }

    /// The catalog one record later. `file` is the record as it lies in the backend.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the record does not follow this history.
    pub fn follow(&mut self, record: Record, file: &[u8]) -> Result<()> {
        let object = || format!("catalog record {}", record.sequence);
        if record.sequence != self.sequence + 1 || record.previous_hash != self.record_hash {
            return Err(Error::corrupt(object(), "it does not continue the record before it"));
        }
        if unknown_write_features(file) != 0 {
            self.unknown_record = Some(record.sequence);
        }
        match record.change {
            Change::WriterOpened { .. } => {}
            Change::Unknown { .. } => self.unknown_record = Some(record.sequence),
            Change::SegmentsPublished { segments } => self.publish(record.sequence, &segments),
            Change::SnapshotAdded { segments, manifest } => {
                self.publish(record.sequence, &segments);
                self.snapshots_added += 1;
                let (id, tags) = (manifest.id(), manifest.tags.clone());
                let snapshot = Snapshot { id, sequence: self.snapshots_added, tags, manifest: *manifest };
                self.snapshots.insert(self.snapshots_added, Arc::new(snapshot));
            }
            Change::SnapshotsForgotten { snapshots, .. } => {
                self.snapshots.retain(|_, snapshot| !snapshots.contains(&snapshot.id));
            }
            Change::TagsChanged { snapshot, added, removed } => self.change_tags(&snapshot, &added, &removed),
        }
        self.sequence = record.sequence;
        self.record_hash = hash(file);
        Ok(())
    }

    fn publish(&mut self, sequence: u64, segments: &[crate::store::segment::SegmentRef]) {
        let published = segments.iter().map(|&segment| Published { sequence, segment });
        Arc::make_mut(&mut self.segments).extend(published);
    }

    fn change_tags(&mut self, id: &SnapshotId, added: &[String], removed: &[String]) {
        // A tag on a snapshot that was forgotten meanwhile has nothing to stand on.
        if let Some(snapshot) = self.snapshots.values_mut().find(|snapshot| snapshot.id == *id) {
            let snapshot = Arc::make_mut(snapshot);
            snapshot.tags.retain(|tag| !removed.contains(tag));
            snapshot.tags.extend(added.iter().cloned());
        }
    }

    /// How many snapshots were ever added.
    pub fn snapshots_added(&self) -> u64 {
        self.snapshots_added
    }

    /// The checkpoint file that holds this value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u64(self.sequence).raw(&self.record_hash).varint(self.snapshots_added);
        out.varint(self.unknown_record.unwrap_or(0));
        out.list(&self.segments, |out, published| {
            encode_segment(out.varint(published.sequence), &published.segment);
        });
        let snapshots: Vec<&Arc<Snapshot>> = self.snapshots.values().collect();
        out.list(&snapshots, |out, snapshot| {
            let tags: Vec<&String> = snapshot.tags.iter().collect();
            out.varint(snapshot.sequence).bytes(&snapshot.manifest.encode()).list(&tags, |out, tag| {
                out.bytes(tag.as_bytes());
            });
        });
        seal(CHECKPOINT_MAGIC, &out.bytes)
    }

    /// Reads a checkpoint file.
    pub fn decode(file: &[u8], sequence: u64) -> Result<Catalog> {
        let object = format!("checkpoint {sequence}");
        let mut input = Decoder::new(unseal(CHECKPOINT_MAGIC, file, &object)?);
        let catalog = decode_body(&mut input).map_err(DecodeError::of(&object))?;
        if catalog.sequence != sequence {
            return Err(Error::corrupt(object, format!("it calls itself checkpoint {}", catalog.sequence)));
        }
        Ok(catalog)
    }
}

fn decode_body(input: &mut Decoder) -> Result<Catalog, DecodeError> {
    let (sequence, record_hash) = (input.u64()?, input.array()?);
    let snapshots_added = input.varint()?;
    let unknown_record = Some(input.varint()?).filter(|&sequence| sequence != 0);
    let segments = input.list(|item| Ok(Published { sequence: item.varint()?, segment: decode_segment(item)? }))?;
    let snapshots = input.list(|item| {
        let sequence = item.varint()?;
        let bytes = item.bytes()?;
        let manifest = Manifest::decode(bytes)?;
        let tags = item.list(Decoder::text)?.into_iter().collect();
        Ok((sequence, Arc::new(Snapshot { id: SnapshotId(hash(bytes)), sequence, tags, manifest })))
    })?;
    input.end()?;
    let snapshots = snapshots.into_iter().collect();
    Ok(Catalog { sequence, record_hash, snapshots, snapshots_added, segments: Arc::new(segments), unknown_record })
}
