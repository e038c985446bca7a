//! Catalog: the repository's history folded up to one record. It is a value; [`Repository`](crate::repository::Repository)
//! swaps it for a newer one when records were added.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder, seal, unknown_write_features, unseal};
use crate::error::{Error, Result};
use crate::id::{SnapshotId, hash};
use crate::repository::drill::{Drill, DrillEnd, FailedDrill};
use crate::repository::record::{Change, Record, decode_segment, encode_segment};
use crate::repository::snapshot::{Manifest, Snapshot, SnapshotSpec, SnapshotStatus, decode_label};
use crate::store::chunk_store::{Published, PublishedSegments};
use crate::store::compress::Compression;
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
    compression: Compression,
    /// A record that this version does not understand: it must not write after it.
    unknown_record: Option<u64>,
}

impl Catalog {
    /// Snapshots that exist, in the order in which they were added.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot>> {
        self.snapshots.values()
    }

    /// Those that were added after the one with this sequence.
    pub fn snapshots_behind(&self, sequence: u64) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.snapshots.range((Bound::Excluded(sequence), Bound::Unbounded)).map(|(_, snapshot)| snapshot)
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

    /// Those of them that `latest` and times choose from: all that are not known to be incomplete.
    pub fn choices<'a>(&'a self, source: &'a str) -> impl DoubleEndedIterator<Item = &'a Arc<Snapshot>> {
        self.of_source(source).filter(|snapshot| snapshot.manifest.status != SnapshotStatus::Incomplete)
    }

    /// Names of all sources that have snapshots.
    pub fn sources(&self) -> BTreeSet<&str> {
        self.snapshots.values().map(|snapshot| snapshot.manifest.source.as_str()).collect()
    }

    /// The newest snapshot of a source that started at or before `time`; of two that started together, the one added later.
    /// A start counts as its name tells it, in whole seconds: the time that people read there must find it.
    pub fn at<'a>(&'a self, source: &'a str, time: Timestamp) -> Option<&'a Arc<Snapshot>> {
        self.choices(source)
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
                (self.choices(source).rev().nth(*back), format!("{source}@latest{suffix}"))
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
                Err(Error::Ambiguous { what: "snapshot", name: prefix.into(), matches })
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

    /// How new chunks are to be compressed.
    pub fn compression(&self) -> Compression {
        self.compression
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
            Change::SnapshotAdded { .. } if self.snapshots_added >= SNAPSHOT_SEQUENCE_MAX => {
                return Err(Error::corrupt(object(), "it adds more snapshots than can be numbered"));
            }
            Change::SnapshotAdded { segments, manifest } => {
                self.publish(record.sequence, &segments);
                self.snapshots_added += 1;
                let (id, tags) = (manifest.id(), manifest.tags.clone());
                let snapshot = Snapshot { id, sequence: self.snapshots_added, tags, drill: None, manifest: *manifest };
                self.snapshots.insert(self.snapshots_added, Arc::new(snapshot));
            }
            Change::SnapshotsForgotten { snapshots, .. } => {
                self.snapshots.retain(|_, snapshot| !snapshots.contains(&snapshot.id));
            }
            Change::TagsChanged { snapshot, added, removed } => self.change_tags(&snapshot, &added, &removed),
            Change::SnapshotDrilled { snapshot, drill } => self.note_drill(&snapshot, DrillEnd::Compared(drill)),
            Change::DrillFailed { snapshot, failure } => self.note_drill(&snapshot, DrillEnd::Failed(failure)),
            Change::CompressionChanged { compression } => self.compression = compression,
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

    fn note_drill(&mut self, id: &SnapshotId, drill: DrillEnd) {
        // The snapshot may have been forgotten meanwhile.
        if let Some(snapshot) = self.snapshots.values_mut().find(|snapshot| snapshot.id == *id) {
            Arc::make_mut(snapshot).drill = Some(drill);
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
        self.compression.encode(&mut out);
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
        self.encode_drills(&mut out);
        seal(CHECKPOINT_MAGIC, &out.bytes)
    }

    /// Versions that know only the first of these lists, or none, read checkpoints in which nothing else is.
    fn encode_drills(&self, out: &mut Encoder) {
        let (mut compared, mut failed) = (Vec::new(), Vec::new());
        for (sequence, snapshot) in &self.snapshots {
            match &snapshot.drill {
                Some(DrillEnd::Compared(drill)) => compared.push((*sequence, drill)),
                Some(DrillEnd::Failed(failure)) => failed.push((*sequence, failure)),
                None => {}
            }
        }
        if !(compared.is_empty() && failed.is_empty()) {
            out.list(&compared, |out, (sequence, drill)| drill.encode(out.varint(*sequence)));
        }
        if !failed.is_empty() {
            out.list(&failed, |out, (sequence, failure)| failure.encode(out.varint(*sequence)));
        }
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
    let compression = Compression::decode(input)?;
    let segments: Vec<Published> =
        input.list(|item| Ok(Published { sequence: item.varint()?, segment: decode_segment(item)? }))?;
    let mut snapshots: Vec<(u64, Arc<Snapshot>)> = input.list(|item| {
        let sequence = item.varint()?;
        let bytes = item.bytes()?;
        let manifest = Manifest::decode(bytes)?;
        let tags = item.list(|tag| decode_label("tag", tag))?.into_iter().collect();
        Ok((sequence, Arc::new(Snapshot { id: SnapshotId(hash(bytes)), sequence, tags, drill: None, manifest })))
    })?;
    decode_drills(input, &mut snapshots)?;
    input.end()?;
    // Much relies on these orders, and a snapshot that is added must not take the number of another.
    let in_order = snapshots_added <= SNAPSHOT_SEQUENCE_MAX
        && snapshots.is_sorted_by(|(one, _), (next, _)| one < next)
        && snapshots.last().is_none_or(|(last, _)| *last <= snapshots_added)
        && segments.is_sorted_by_key(|published| published.sequence)
        && segments.last().is_none_or(|published| published.sequence <= sequence);
    if !in_order {
        return input.fail("its snapshots or segments are not in order");
    }
    let snapshots = snapshots.into_iter().collect();
    let segments = Arc::new(segments);
    Ok(Catalog { sequence, record_hash, snapshots, snapshots_added, segments, compression, unknown_record })
}

/// Reads how drills of snapshots ended: two lists that are not there where they and what is behind them would be empty.
fn decode_drills(input: &mut Decoder, snapshots: &mut [(u64, Arc<Snapshot>)]) -> Result<(), DecodeError> {
    if input.remaining() == 0 {
        return Ok(());
    }
    let compared = input.list(|item| Ok((item.varint()?, DrillEnd::Compared(Drill::decode(item)?))))?;
    let are_all = input.remaining() == 0;
    let failed = match are_all {
        true => Vec::new(),
        false => input.list(|item| Ok((item.varint()?, DrillEnd::Failed(FailedDrill::decode(item)?))))?,
    };
    let is_sorted = |drills: &[(u64, DrillEnd)]| drills.is_sorted_by(|(one, _), (next, _)| one < next);
    let is_last_empty = if are_all { compared.is_empty() } else { failed.is_empty() };
    if is_last_empty || !is_sorted(&compared) || !is_sorted(&failed) {
        return input.fail("its drills are not in order");
    }
    for (sequence, drill) in compared.into_iter().chain(failed) {
        match snapshots.binary_search_by_key(&sequence, |(sequence, _)| *sequence) {
            Ok(at) if snapshots[at].1.drill.is_none() => Arc::make_mut(&mut snapshots[at].1).drill = Some(drill),
            Ok(_) => return input.fail("a snapshot has two last drills"),
            Err(_) => return input.fail("a drill is of no snapshot"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{WriterId, WriterObject};
    use crate::repository::snapshot::tests::small_manifest;
    use crate::store::segment::SegmentRef;

    fn catalog_of(snapshots: impl IntoIterator<Item = u64>, added: u64, published: &[u64]) -> Catalog {
        let manifest = small_manifest();
        let snapshot = |sequence| {
            Arc::new(Snapshot {
                id: manifest.id(),
                sequence,
                tags: BTreeSet::new(),
                drill: None,
                manifest: manifest.clone(),
            })
        };
        let segment = SegmentRef { name: WriterObject { writer: WriterId([1; 8]), number: 0 }, file_hash: [2; 32] };
        Catalog {
            sequence: 10,
            snapshots: snapshots.into_iter().map(|sequence| (sequence, snapshot(sequence))).collect(),
            snapshots_added: added,
            segments: Arc::new(published.iter().map(|&sequence| Published { sequence, segment }).collect()),
            ..Catalog::default()
        }
    }

    #[test]
    fn a_checkpoint_out_of_order_is_refused() {
        let whole = catalog_of([1, 3], 4, &[2, 2, 5]);
        assert_eq!(Catalog::decode(&whole.encode(), 10).unwrap().encode(), whole.encode());
        let wrong = [
            catalog_of([1, 3], 2, &[]),
            catalog_of([1], SNAPSHOT_SEQUENCE_MAX + 1, &[]),
            catalog_of([], 0, &[5, 2]),
            catalog_of([], 0, &[11]),
        ];
        for catalog in wrong {
            let error = Catalog::decode(&catalog.encode(), 10).unwrap_err();
            assert!(error.to_string().contains("not in order"), "{error}");
        }
    }

    #[test]
    fn last_drills_in_a_checkpoint_are_of_snapshots_and_one_of_each() {
        let time = Timestamp { seconds: 9, nanos: 0 };
        let compared =
            || DrillEnd::Compared(Drill { time, server: "8".into(), tables: 1, rows: 2, tables_different: 0 });
        let failed = || DrillEnd::Failed(FailedDrill::new(time, "full".into()));
        let drilled = |ends: [Option<DrillEnd>; 2]| {
            let mut catalog = catalog_of([1, 3], 4, &[]);
            for (snapshot, end) in catalog.snapshots.values_mut().zip(ends) {
                Arc::make_mut(snapshot).drill = end;
            }
            catalog
        };
        let read = |bytes: &[u8]| Catalog::decode(&seal(CHECKPOINT_MAGIC, bytes), 10);
        let body = |catalog: &Catalog| unseal(CHECKPOINT_MAGIC, &catalog.encode(), "it").unwrap().to_vec();
        for ends in [[None, None], [Some(compared()), None], [None, Some(failed())], [Some(failed()), Some(compared())]]
        {
            let catalog = drilled(ends.clone());
            let again = Catalog::decode(&catalog.encode(), 10).unwrap();
            assert_eq!(again.snapshots().map(|it| it.drill.clone()).collect::<Vec<_>>(), ends);
        }
        // A list that is empty where nothing is behind it, drills of no snapshot, two of one.
        let (none, first) = (body(&drilled([None, None])), body(&drilled([Some(compared()), None])));
        let failure = &body(&drilled([Some(failed()), None]))[none.len() + 1..];
        for (wrong, told) in [
            ([&none[..], &[0]].concat(), "not in order"),
            ([&first[..], &[0]].concat(), "not in order"),
            ([&none[..], &[0], &[1, 2], &failure[2..]].concat(), "of no snapshot"),
            ([&first[..], failure].concat(), "two last drills"),
            ([&none[..], &[0, 2], &failure[1..], &failure[1..]].concat(), "not in order"),
        ] {
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{told} is not in {error}");
        }
    }

    #[test]
    fn no_more_snapshots_are_added_than_inode_numbers_have_room_for() {
        let add = |catalog: &mut Catalog| {
            let manifest = Box::new(small_manifest());
            let record = Record {
                sequence: catalog.sequence + 1,
                previous_hash: catalog.record_hash,
                writer: WriterId([1; 8]),
                time: Timestamp::default(),
                change: Change::SnapshotAdded { segments: Vec::new(), manifest },
            };
            let file = record.encode();
            catalog.follow(record, &file)
        };
        let mut catalog = catalog_of([], SNAPSHOT_SEQUENCE_MAX - 1, &[]);
        add(&mut catalog).unwrap();
        assert_eq!(catalog.snapshots().next_back().unwrap().sequence, SNAPSHOT_SEQUENCE_MAX);
        let error = add(&mut catalog).unwrap_err();
        assert!(error.to_string().contains("more snapshots than can be numbered"), "{error}");
    }
}
