//! Snapshot: one point in time of one source, and how people name it. Its manifest stands in the catalog record that
//! added it. Format: `docs/format.md` section 10.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::{ChunkId, SnapshotId, hash};
use crate::repository::drill::DrillEnd;
use crate::repository::node::Node;
use crate::time::Timestamp;

/// Where snapshots of a kind come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    Directory,
    Stream,
    /// A dump of MySQL or MariaDB, with its databases and tables as directories.
    Mysql,
    /// One of PostgreSQL.
    Postgres,
    /// A dump of MongoDB, with its databases as directories.
    Mongo,
}

/// How far a snapshot can be trusted to hold what its source held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// All of it.
    Complete,
    /// Something was unreadable or changed while it was read; `problems` counts it.
    Partial,
    /// Standard input ended, but nobody knows whether its producer was done.
    Unverified,
    /// A dump that is known not to be whole. Neither `latest` nor a time ever means it.
    Incomplete,
}

/// One thing that went wrong during an ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestProblem {
    pub path: Vec<u8>,
    pub reason: String,
}

/// Problems listed in a manifest; the rest is only counted.
pub const MANIFEST_PROBLEMS_MAX: usize = 100;

/// Room that nearly all manifests fit into.
const MANIFEST_USUAL_BYTES: usize = 512;

/// Everything that is known of a snapshot when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The lineage it belongs to.
    pub source: String,
    /// Its directory in the mount: the start time, `.001` and so on behind it where that was taken.
    pub name: String,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub kind: SnapshotKind,
    pub status: SnapshotStatus,
    pub host: String,
    pub user: String,
    /// The path, or the commands, that it was made from.
    pub origin: Vec<u8>,
    /// The directory that the snapshot shows.
    pub root: Node,
    /// Root of the witnesses of `root`'s entries.
    pub witnesses: Option<ChunkId>,
    /// Snapshot that the ingest compared with.
    pub parent: Option<SnapshotId>,
    /// Regular files in it.
    pub files: u64,
    /// Whether any entry has extended attributes or ACLs.
    pub has_xattrs: bool,
    /// Plain bytes of chunks that it added to the repository, and what they take in packs.
    pub bytes_new: u64,
    pub bytes_stored: u64,
    pub problems: u64,
    /// The first of them, at most [`MANIFEST_PROBLEMS_MAX`].
    pub problem_list: Vec<ManifestProblem>,
    pub tags: BTreeSet<String>,
    /// Further facts by name, such as a consistency point; unknown ones are kept and shown.
    pub facts: BTreeMap<String, String>,
}

/// A snapshot as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: SnapshotId,
    /// Its place among all snapshots ever added, from 1: the upper part of inode numbers.
    pub sequence: u64,
    /// Tags at present.
    pub tags: BTreeSet<String>,
    /// How the last restore drill ended.
    pub drill: Option<DrillEnd>,
    pub manifest: Manifest,
}

impl SnapshotKind {
    /// The word that people see.
    pub fn name(self) -> &'static str {
        match self {
            SnapshotKind::Directory => "directory",
            SnapshotKind::Stream => "stream",
            SnapshotKind::Mysql => "mysql",
            SnapshotKind::Postgres => "postgres",
            SnapshotKind::Mongo => "mongo",
        }
    }
}

impl SnapshotStatus {
    /// The word that people see.
    pub fn name(self) -> &'static str {
        match self {
            SnapshotStatus::Complete => "complete",
            SnapshotStatus::Partial => "partial",
            SnapshotStatus::Unverified => "unverified",
            SnapshotStatus::Incomplete => "incomplete",
        }
    }
}

/// The fact that tells how long a dump is, of which the other files are parts.
pub const DUMP_BYTES: &str = "dump_bytes";

impl Manifest {
    /// How many bytes are in it, and without holes. What files of a dump share counts once.
    pub fn sizes_bytes(&self) -> [u64; 2] {
        let totals = self.root.totals();
        let of_dump = self.facts.get(DUMP_BYTES).and_then(|bytes| bytes.parse().ok());
        of_dump.map_or([totals.bytes, totals.data_bytes], |bytes| [bytes; 2])
    }

    pub fn encode(&self) -> Vec<u8> {
        // Ten thousand are encoded when a checkpoint of as many is read.
        let mut out = Encoder { bytes: Vec::with_capacity(MANIFEST_USUAL_BYTES) };
        out.bytes(self.source.as_bytes()).bytes(self.name.as_bytes()).time(self.started).time(self.finished);
        out.u8(match self.kind {
            SnapshotKind::Directory => b'd',
            SnapshotKind::Stream => b's',
            SnapshotKind::Mysql => b'm',
            SnapshotKind::Postgres => b'g',
            SnapshotKind::Mongo => b'o',
        });
        out.u8(match self.status {
            SnapshotStatus::Complete => b'c',
            SnapshotStatus::Partial => b'p',
            SnapshotStatus::Unverified => b'u',
            SnapshotStatus::Incomplete => b'i',
        });
        out.bytes(self.host.as_bytes()).bytes(self.user.as_bytes()).bytes(&self.origin);
        self.root.encode(&mut out);
        encode_optional(&mut out, self.witnesses.map(|id| id.0));
        encode_optional(&mut out, self.parent.map(|id| id.0));
        out.varint(self.files).u8(u8::from(self.has_xattrs)).varint(self.bytes_new).varint(self.bytes_stored);
        out.varint(self.problems).list(&self.problem_list, |out, problem| {
            out.bytes(&problem.path).bytes(problem.reason.as_bytes());
        });
        let tags: Vec<&String> = self.tags.iter().collect();
        out.list(&tags, |out, tag| {
            out.bytes(tag.as_bytes());
        });
        let facts: Vec<(&String, &String)> = self.facts.iter().collect();
        out.list(&facts, |out, (name, value)| {
            out.bytes(name.as_bytes()).bytes(value.as_bytes());
        });
        out.bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Manifest, DecodeError> {
        let mut input = Decoder::new(bytes);
        let manifest = Manifest {
            source: decode_label("source", &mut input)?,
            name: input.text()?,
            started: input.time()?,
            finished: input.time()?,
            kind: match input.u8()? {
                b'd' => SnapshotKind::Directory,
                b's' => SnapshotKind::Stream,
                b'm' => SnapshotKind::Mysql,
                b'g' => SnapshotKind::Postgres,
                b'o' => SnapshotKind::Mongo,
                _ => return input.fail("unknown kind of snapshot"),
            },
            status: match input.u8()? {
                b'c' => SnapshotStatus::Complete,
                b'p' => SnapshotStatus::Partial,
                b'u' => SnapshotStatus::Unverified,
                b'i' => SnapshotStatus::Incomplete,
                _ => return input.fail("unknown status of a snapshot"),
            },
            host: input.text()?,
            user: input.text()?,
            origin: input.bytes()?.to_vec(),
            root: Node::decode(&mut input)?,
            witnesses: decode_optional(&mut input)?.map(ChunkId),
            parent: decode_optional(&mut input)?.map(SnapshotId),
            files: input.varint()?,
            has_xattrs: input.u8()? != 0,
            bytes_new: input.varint()?,
            bytes_stored: input.varint()?,
            problems: input.varint()?,
            problem_list: input
                .list(|item| Ok(ManifestProblem { path: item.bytes()?.to_vec(), reason: item.text()? }))?,
            tags: input.list(|tag| decode_label("tag", tag))?.into_iter().collect(),
            facts: input.list(|item| Ok((item.text()?, item.text()?)))?.into_iter().collect(),
        };
        // A snapshot shows a directory; everything above relies on it.
        if manifest.root.directory().is_none() {
            return input.fail("the root of a snapshot is not a directory");
        }
        if !is_snapshot_name(&manifest.name) {
            return input.fail("the name of a snapshot is none");
        }
        input.end()?;
        // The id is the hash of these very bytes, and checkpoints hold them again.
        if manifest.encode() != bytes {
            return input.fail("a manifest is not in its one form");
        }
        Ok(manifest)
    }

    /// The id of the snapshot that has this manifest.
    pub fn id(&self) -> SnapshotId {
        SnapshotId(hash(&self.encode()))
    }
}

fn encode_optional(out: &mut Encoder, id: Option<[u8; 32]>) {
    out.u8(u8::from(id.is_some())).raw(id.as_ref().map_or(&[], |id| &id[..]));
}

fn decode_optional(input: &mut Decoder) -> Result<Option<[u8; 32]>, DecodeError> {
    match input.u8()? {
        0 => Ok(None),
        1 => input.array().map(Some),
        _ => input.fail("unknown form of an optional id"),
    }
}

/// The word for the newest snapshot of a source.
const LATEST: &str = "latest";

/// Longest name of a source or a tag.
const LABEL_MAX_BYTES: usize = 100;

/// Checks the name of a source or a tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,99}`, no `..`.
pub fn check_label(what: &'static str, label: &str) -> Result<()> {
    let starts_well = label.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if starts_well && plain && label.len() <= LABEL_MAX_BYTES && !label.contains("..") {
        return Ok(());
    }
    let reason = "use letters, digits, \".\", \"_\" and \"-\", a letter, digit or \"_\" first, no \"..\", at most 100";
    Err(Error::invalid(what, label, reason))
}

/// Reads the name of a source or a tag.
pub fn decode_label(what: &'static str, input: &mut Decoder) -> Result<String, DecodeError> {
    let label = input.text()?;
    check_label(what, &label).or_else(|_| input.fail("a name that no source or tag can have"))?;
    Ok(label)
}

/// Whether a snapshot's directory can have this name: all are made of a time (which may have a sign) and a number.
fn is_snapshot_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !matches!(name, "" | "." | ".." | LATEST)
}

/// How people name a snapshot on the command line and in `diff/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotSpec {
    /// The start of an id, in hexadecimal; at least [`ID_PREFIX_MIN`] digits.
    Id(String),
    /// `source@latest~n`: the newest of the source, or the nth before it, in catalog order.
    Latest { source: String, back: usize },
    /// `source@<time>`: the newest of the source not after that time.
    At { source: String, time: Timestamp },
    /// `source@<name>`: by its directory name in the mount; where there is none of that name, the time that it tells.
    Name { source: String, name: String },
}

/// Fewest digits that name a snapshot.
pub const ID_PREFIX_MIN: usize = 4;

impl SnapshotSpec {
    /// Reads an id prefix, `source@time`, `source@latest`, `source@latest~2`, or a source alone for its latest.
    pub fn parse(text: &str, now: Timestamp) -> Result<SnapshotSpec> {
        let Some((source, when)) = text.split_once('@') else {
            let is_id = text.len() >= ID_PREFIX_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            return if is_id {
                Ok(SnapshotSpec::Id(text.to_ascii_lowercase()))
            } else {
                let (source, back) = split_back(text)?;
                check_label("source", source)?;
                Ok(SnapshotSpec::Latest { source: source.into(), back })
            };
        };
        check_label("source", source)?;
        let source = source.to_string();
        let (word, back) = split_back(when)?;
        if word == LATEST {
            return Ok(SnapshotSpec::Latest { source, back });
        }
        if let Some((stem, suffix)) = when.split_at_checked(NAME_STEM_BYTES)
            && stem.ends_with('Z')
            && (suffix.is_empty() || suffix.starts_with('.'))
            && crate::time::parse_when(stem, now).is_ok()
        {
            return Ok(SnapshotSpec::Name { source, name: when.into() });
        }
        Ok(SnapshotSpec::At { source, time: crate::time::parse_when(when, now)? })
    }
}

/// Length of `2026-11-22T100000Z`.
const NAME_STEM_BYTES: usize = 18;

/// Takes `~n` off the end; `~` alone means 1.
fn split_back(text: &str) -> Result<(&str, usize)> {
    let Some((stem, count)) = text.split_once('~') else { return Ok((text, 0)) };
    let back = if count.is_empty() { Ok(1) } else { count.parse() };
    let back = back.map_err(|_| Error::invalid("snapshot", text, "after \"~\" comes how many snapshots to go back"))?;
    Ok((stem, back))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::repository::node::tests::empty_directory;

    /// A snapshot of an empty directory.
    pub fn small_manifest() -> Manifest {
        let started = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        Manifest {
            source: "lake".into(),
            name: started.directory_name(),
            started,
            finished: started,
            kind: SnapshotKind::Directory,
            status: SnapshotStatus::Complete,
            host: "here".into(),
            user: "me".into(),
            origin: b"/lake".to_vec(),
            root: empty_directory(),
            witnesses: None,
            parent: None,
            files: 0,
            has_xattrs: false,
            bytes_new: 0,
            bytes_stored: 0,
            problems: 0,
            problem_list: Vec::new(),
            tags: BTreeSet::new(),
            facts: BTreeMap::new(),
        }
    }

    /// Why a manifest is refused.
    fn refusal(bytes: &[u8]) -> &'static str {
        Manifest::decode(bytes).unwrap_err().reason
    }

    #[test]
    fn a_manifest_has_one_form_or_its_id_would_have_two() {
        let manifest = Manifest { tags: ["a".into(), "b".into()].into(), ..small_manifest() };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        // The end: a list of two tags of one letter each, and no facts.
        let (start, end) = bytes.split_at(bytes.len() - 6);
        assert_eq!(end, [2, 1, b'a', 1, b'b', 0]);
        for other in [[2, 1, b'b', 1, b'a', 0].as_slice(), &[2, 1, b'a', 1, b'a', 0], &[2, 1, b'a', 1, b'b', 0x80, 0]] {
            assert_eq!(refusal(&[start, other].concat()), "a manifest is not in its one form");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for source in ["", "..", "a/b", ".hidden", "x\0"] {
            let manifest = Manifest { source: source.into(), ..small_manifest() };
            assert_eq!(refusal(&manifest.encode()), "a name that no source or tag can have", "{source:?}");
        }
        for tag in ["", "../up"] {
            let manifest = Manifest { tags: [tag.into()].into(), ..small_manifest() };
            assert_eq!(refusal(&manifest.encode()), "a name that no source or tag can have", "{tag:?}");
        }
        for name in ["", ".", "..", "latest", "a/b", "2026-11-20T10:00:00Z"] {
            let manifest = Manifest { name: name.into(), ..small_manifest() };
            assert_eq!(refusal(&manifest.encode()), "the name of a snapshot is none", "{name:?}");
        }
        for seconds in [i64::MIN, -62_200_000_000, 0, 400_000_000_000, i64::MAX] {
            let started = Timestamp { seconds, nanos: 0 };
            let manifest = Manifest { name: started.directory_name() + ".001", started, ..small_manifest() };
            assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }
    }

    #[test]
    fn labels_follow_the_rule() {
        for good in ["shop", "_x", "A-b.c_1", &"x".repeat(100)] {
            assert!(check_label("source", good).is_ok(), "{good}");
        }
        for bad in ["", ".hidden", "-x", "a/b", "a..b", "käse", "a b", &"x".repeat(101)] {
            assert!(check_label("source", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn specs_are_read_as_documented() {
        let now = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        let parse = |text: &str| SnapshotSpec::parse(text, now).unwrap();
        assert_eq!(parse("DEADbeef"), SnapshotSpec::Id("deadbeef".into()));
        assert_eq!(parse("shop"), SnapshotSpec::Latest { source: "shop".into(), back: 0 });
        assert_eq!(parse("shop@latest~2"), SnapshotSpec::Latest { source: "shop".into(), back: 2 });
        assert_eq!(parse("shop~"), SnapshotSpec::Latest { source: "shop".into(), back: 1 });
        assert!(matches!(parse("shop@2026-11-20"), SnapshotSpec::At { .. }));
        for name in ["2026-11-20T100000Z", "2026-11-20T100000Z.001"] {
            assert_eq!(parse(&format!("shop@{name}")), SnapshotSpec::Name { source: "shop".into(), name: name.into() });
        }
        assert!(SnapshotSpec::parse("shop@sometime", now).is_err());
    }
}
