//! Entries that are in no snapshot: the directories above them, and symlinks to them. They are made when looked up; so
//! many are known by their numbers.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::id::hash;
use crate::repository::catalog::Catalog;
use crate::repository::node::DeviceNumber;
use crate::repository::snapshot::{ID_PREFIX_MIN, Snapshot, SnapshotSpec};
use crate::time::{Timestamp, parse_when};
use crate::view::difference::Part;
use crate::view::inode::{self, DifferencePlace, FIRST_NAMED, POSITION_MASK, not_a};
use crate::view::pair_table::SnapshotPair;
use crate::view::recent::Recent;
use crate::view::row_patches::RowsPlace;
use crate::view::snapshot_tree::DIRECTORY_BLOCK_BYTES;
use crate::view::{Attributes, Child, EntryKind, Listed, Owner, View};

/// The symlink to a source's newest snapshot.
pub(super) const LATEST: &[u8] = b"latest";

/// Entries known by number at a time, each of a few hundred bytes. One that fell out is found again by its name.
const KNOWN_MAX: usize = 16_384;

/// Virtual directories, files and symlinks: read and search for everyone.
const DIRECTORY_PERMISSIONS: u16 = 0o555;
const FILE_PERMISSIONS: u16 = 0o444;
const SYMLINK_PERMISSIONS: u16 = 0o777;

/// One entry that is in no snapshot.
#[derive(Debug, Clone)]
pub(super) struct VirtualEntry {
    /// What makes it this entry and no other; its number is made of it. For most their path in the mount.
    pub key: Vec<u8>,
    pub parent: u64,
    pub kind: VirtualKind,
}

#[derive(Debug, Clone)]
pub(super) enum VirtualKind {
    Root,
    Snapshots,
    Source {
        source: String,
    },
    At,
    AtTime {
        when: String,
    },
    Ids,
    Tags,
    Tag {
        tag: String,
    },
    TagSource {
        tag: String,
        source: String,
    },
    Diff,
    /// In `diff/A..B/rows`.
    Rows {
        pair: u64,
        place: RowsPlace,
    },
    Link {
        target: Vec<u8>,
    },
}

/// The number of `snapshots/<source>`.
pub(super) fn source_ino(source: &str) -> u64 {
    ino_of_key(&source_key(source))
}

fn source_key(source: &str) -> Vec<u8> {
    format!("snapshots/{source}").into_bytes()
}

/// A number for a key, the same in every mount.
fn ino_of_key(key: &[u8]) -> u64 {
    let mut low = [0u8; 8];
    low.copy_from_slice(&hash(key)[..8]);
    (u64::from_le_bytes(low) & POSITION_MASK).max(FIRST_NAMED)
}

impl VirtualEntry {
    fn source(source: &str) -> VirtualEntry {
        let kind = VirtualKind::Source { source: source.to_string() };
        VirtualEntry { key: source_key(source), parent: inode::SNAPSHOTS, kind }
    }

    /// A symlink. Its key holds its target: one that leads elsewhere is another inode, whatever the kernel remembers.
    fn link(parent: u64, name: &[u8], target: String) -> VirtualEntry {
        let key = [&parent.to_le_bytes()[..], name, b"\0", target.as_bytes()].concat();
        VirtualEntry { key, parent, kind: VirtualKind::Link { target: target.into_bytes() } }
    }

    pub fn link_target(&self) -> Result<Vec<u8>> {
        match &self.kind {
            VirtualKind::Link { target } => Ok(target.clone()),
            _ => Err(not_a("symlink", ino_of_key(&self.key))),
        }
    }

    /// Whether it is a file that is written when somebody reads it.
    pub fn is_patch(&self) -> bool {
        matches!(self.kind, VirtualKind::Rows { place: RowsPlace { is_patch: true, .. }, .. })
    }

    /// Whether what it lists depends on what time it is.
    pub fn follows_the_clock(&self) -> bool {
        matches!(self.kind, VirtualKind::AtTime { .. })
    }

    pub fn attributes(&self, ino: u64, owner: Owner, modified: Timestamp) -> Attributes {
        let directory = directory_attributes(ino, owner, modified);
        match &self.kind {
            VirtualKind::Link { target } => Attributes {
                kind: EntryKind::Symlink,
                permissions: SYMLINK_PERMISSIONS,
                size: target.len() as u64,
                ..directory
            },
            VirtualKind::Rows { place: RowsPlace { is_patch: true, .. }, .. } => {
                Attributes { kind: EntryKind::File, permissions: FILE_PERMISSIONS, size: 0, ..directory }
            }
            _ => directory,
        }
    }
}

/// What stat tells of a directory that is in no snapshot.
pub(super) fn directory_attributes(ino: u64, owner: Owner, modified: Timestamp) -> Attributes {
    Attributes {
        ino,
        kind: EntryKind::Directory,
        permissions: DIRECTORY_PERMISSIONS,
        // Nobody counts the subdirectories beforehand; 1 tells find(1) not to rely on it.
        link_count: 1,
        uid: owner.uid,
        gid: owner.gid,
        size: 4096,
        blocks: 0,
        device: DeviceNumber { major: 0, minor: 0 },
        modified,
        block_size: DIRECTORY_BLOCK_BYTES,
        lasting: false,
    }
}

/// Virtual entries by number.
pub(super) struct VirtualEntries {
    known: Mutex<Recent<u64, Arc<VirtualEntry>>>,
}

impl VirtualEntries {
    pub fn new() -> VirtualEntries {
        VirtualEntries { known: Mutex::new(Recent::new(KNOWN_MAX)) }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<u64, Arc<VirtualEntry>>> {
        // A table whose holder panicked is still a whole table.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry with a number.
    pub fn get(&self, ino: u64) -> Result<Arc<VirtualEntry>> {
        if let Some((kind, parent)) = fixed(ino) {
            return Ok(Arc::new(VirtualEntry { key: Vec::new(), parent, kind }));
        }
        self.lock().get(&ino).ok_or(Error::Stale { what: "entry with inode number", number: ino })
    }

    /// Makes an entry known by number.
    pub fn enter(&self, entry: VirtualEntry) -> (u64, Arc<VirtualEntry>) {
        let mut known = self.lock();
        let mut ino = ino_of_key(&entry.key);
        loop {
            match known.get(&ino) {
                Some(same) if same.key == entry.key => return (ino, same),
                // Two keys of one number: the later one moves on.
                Some(_) => ino = ((ino + 1) & POSITION_MASK).max(FIRST_NAMED),
                None => break,
            }
        }
        let entry = Arc::new(entry);
        known.insert(ino, entry.clone());
        (ino, entry)
    }
}

/// The directories that are always there, and their parents.
fn fixed(ino: u64) -> Option<(VirtualKind, u64)> {
    let kind = match ino {
        inode::ROOT => VirtualKind::Root,
        inode::SNAPSHOTS => VirtualKind::Snapshots,
        inode::AT => VirtualKind::At,
        inode::IDS => VirtualKind::Ids,
        inode::TAGS => VirtualKind::Tags,
        inode::DIFF => VirtualKind::Diff,
        _ => return None,
    };
    Some((kind, inode::ROOT))
}

/// The directories in the mount's root.
const TOP: [(&str, u64); 5] = [
    ("at", inode::AT),
    ("diff", inode::DIFF),
    ("ids", inode::IDS),
    ("snapshots", inode::SNAPSHOTS),
    ("tags", inode::TAGS),
];

/// A child, its name, and where a listing goes on behind it.
type Named = (Vec<u8>, u64, Child);

impl View {
    /// The virtual entry with a number. A source is found even where nobody looked it up: a snapshot that is opened by its
    /// number, as NFS does, leads up to it.
    pub(super) fn virtual_entry(&self, ino: u64) -> Result<Arc<VirtualEntry>> {
        let found = self.virtual_entries.get(ino);
        if !matches!(found, Err(Error::Stale { .. })) {
            return found;
        }
        let catalog = self.repository.catalog();
        let source = catalog.sources().into_iter().find(|source| source_ino(source) == ino);
        source.map_or(found, |source| Ok(self.virtual_entries.enter(VirtualEntry::source(source)).1))
    }

    /// The child `name` of a virtual directory.
    pub(super) fn virtual_child(&self, own_ino: u64, entry: &VirtualEntry, name: &[u8]) -> Result<Option<Child>> {
        let catalog = self.repository.catalog();
        let Ok(text) = std::str::from_utf8(name) else { return Ok(None) };
        Ok(match &entry.kind {
            VirtualKind::Root => match TOP.iter().find(|(top, _)| *top == text) {
                Some((_, ino)) => Some(Child::Located(self.attributes(*ino)?)),
                None => None,
            },
            VirtualKind::Snapshots => {
                catalog.of_source(text).next().map(|_| Child::Virtual(VirtualEntry::source(text)))
            }
            VirtualKind::Source { source } if name == LATEST => {
                let newest = catalog.choices(source).next_back();
                newest.map(|it| Child::Virtual(VirtualEntry::link(own_ino, LATEST, it.manifest.name.clone())))
            }
            VirtualKind::Source { source } => {
                catalog.of_source(source).find(|it| it.manifest.name == text).cloned().map(Child::Snapshot)
            }
            VirtualKind::At => parse_when(text, (self.clock)()).ok().map(|_| at_time(text)),
            VirtualKind::AtTime { when } => {
                let time = parse_when(when, (self.clock)())?;
                catalog.at(text, time).map(|it| link_to(own_ino, name, "../../", it))
            }
            VirtualKind::Ids => self.by_id(&catalog, own_ino, text),
            VirtualKind::Tags => has_tag(&catalog, text).then(|| Child::Virtual(tag_directory(text))),
            VirtualKind::Tag { tag } => catalog
                .of_source(text)
                .any(|it| it.tags.contains(tag))
                .then(|| Child::Virtual(tag_source_directory(own_ino, tag, text))),
            VirtualKind::TagSource { tag, source } => catalog
                .of_source(source)
                .find(|it| it.tags.contains(tag) && it.manifest.name == text)
                .map(|it| link_to(own_ino, name, "../../../", it)),
            VirtualKind::Diff => self.difference(&catalog, text)?,
            VirtualKind::Rows { pair, place } => self.rows_child(own_ino, *pair, place, name)?,
            VirtualKind::Link { .. } => return Err(not_a("directory", own_ino)),
        })
    }

    fn by_id(&self, catalog: &Catalog, own_ino: u64, text: &str) -> Option<Child> {
        let is_prefix = text.len() >= ID_PREFIX_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = text.to_ascii_lowercase();
        let mut fits = catalog.snapshots().filter(|it| is_prefix && it.id.to_string().starts_with(&prefix));
        let first = fits.next()?;
        fits.next().is_none().then(|| link_to(own_ino, text.as_bytes(), "../", first))
    }

    /// `diff/A..B`: both named as on the command line.
    fn difference(&self, catalog: &Catalog, text: &str) -> Result<Option<Child>> {
        let Some((a, b)) = text.split_once("..") else { return Ok(None) };
        let now = (self.clock)();
        let found = SnapshotSpec::parse(a, now)
            .and_then(|a| catalog.find(&a))
            .and_then(|a| Ok((a, catalog.find(&SnapshotSpec::parse(b, now)?)?)));
        match found {
            Ok((a, b)) => {
                let pair = SnapshotPair { name: text.to_string(), a: a.sequence, b: b.sequence };
                let pair = self.differences.pairs.number_of(pair)?;
                let top = DifferencePlace { pair, part: Part::Whole, position: 0 };
                self.attributes(top.ino()).map(Child::Located).map(Some)
            }
            // Whatever does not name two snapshots is no entry of this directory.
            Err(Error::NotFound { .. } | Error::Ambiguous { .. } | Error::Invalid { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists a virtual directory from behind the entry whose place is `offset`.
    pub(super) fn list_virtual(&self, ino: u64, offset: u64, emit: &mut dyn FnMut(Listed) -> bool) -> Result<()> {
        let (catalog, entry) = (self.repository.catalog(), self.virtual_entry(ino)?);
        let children = match self.children_by_sequence(&catalog, ino, &entry.kind, offset) {
            Some(children) => children,
            None => Box::new(self.children_by_place(&catalog, ino, &entry.kind)?.into_iter()),
        };
        for (name, next, child) in children {
            self.listing_steps.fetch_add(1, Ordering::Relaxed);
            if next <= offset {
                continue;
            }
            let attributes = self.enter(child)?;
            if !emit(Listed { name, next, attributes }) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Children behind `offset` of a directory of snapshots, if this is one. Their place is their sequence, so that a long
    /// listing, which takes many requests, goes through them once.
    fn children_by_sequence<'c>(
        &'c self,
        catalog: &'c Catalog,
        ino: u64,
        kind: &'c VirtualKind,
        offset: u64,
    ) -> Option<Box<dyn Iterator<Item = Named> + 'c>> {
        let behind = catalog.snapshots_behind(offset);
        let of_source = |source: &'c String| move |it: &&Arc<Snapshot>| it.manifest.source == *source;
        match kind {
            VirtualKind::Source { source } => {
                let roots = behind.filter(of_source(source));
                let roots =
                    roots.map(|it| (it.manifest.name.clone().into_bytes(), it.sequence, Child::Snapshot(it.clone())));
                let latest = std::iter::once_with(move || self.latest_of(catalog, ino, source)).flatten();
                Some(Box::new(roots.chain(latest)))
            }
            VirtualKind::Ids => Some(Box::new(behind.map(move |it| named_link(ino, it.id.short(), "../", it)))),
            VirtualKind::TagSource { tag, source } => {
                let tagged = behind.filter(of_source(source)).filter(|it| it.tags.contains(tag));
                Some(Box::new(tagged.map(move |it| named_link(ino, it.manifest.name.clone(), "../../../", it))))
            }
            _ => None,
        }
    }

    /// All children of another directory. Their place follows from their name, so that a listing stays right while some come
    /// and go.
    fn children_by_place(&self, catalog: &Catalog, ino: u64, kind: &VirtualKind) -> Result<Vec<Named>> {
        let by_place = |names: BTreeSet<String>, child: &dyn Fn(&str) -> Child| {
            let place = |name: &str| ino_of_key(name.as_bytes());
            let named = names.iter().map(|name| (name.clone().into_bytes(), place(name), child(name)));
            let mut named: Vec<Named> = named.collect();
            named.sort_by_key(|(_, place, _)| *place);
            named
        };
        Ok(match kind {
            VirtualKind::Root => {
                let top = (1u64..).zip(TOP);
                let named = top.map(|(place, (name, top_ino))| {
                    Ok((name.as_bytes().to_vec(), place, Child::Located(self.attributes(top_ino)?)))
                });
                named.collect::<Result<_>>()?
            }
            VirtualKind::Snapshots => {
                let sources = catalog.sources().into_iter().map(str::to_string).collect();
                by_place(sources, &|source| Child::Virtual(VirtualEntry::source(source)))
            }
            VirtualKind::At => {
                let days = catalog.snapshots().map(|it| it.manifest.started.to_rfc3339()[..DATE_BYTES].to_string());
                by_place(days.collect(), &at_time)
            }
            VirtualKind::AtTime { when } => {
                let time = parse_when(when, (self.clock)())?;
                let newest = catalog.sources().into_iter().filter_map(|source| catalog.at(source, time));
                let newest: HashMap<&str, &Arc<Snapshot>> =
                    newest.map(|it| (it.manifest.source.as_str(), it)).collect();
                let names = newest.keys().map(|source| source.to_string()).collect();
                by_place(names, &|source| link_to(ino, source.as_bytes(), "../../", newest[source]))
            }
            VirtualKind::Tags => {
                let tags = catalog.snapshots().flat_map(|it| it.tags.iter().cloned()).collect();
                by_place(tags, &|tag| Child::Virtual(tag_directory(tag)))
            }
            VirtualKind::Tag { tag } => {
                let tagged = catalog.snapshots().filter(|it| it.tags.contains(tag));
                let sources = tagged.map(|it| it.manifest.source.clone()).collect();
                by_place(sources, &|source| Child::Virtual(tag_source_directory(ino, tag, source)))
            }
            // Any two snapshots can be named; listing all pairs would help nobody.
            VirtualKind::Diff => Vec::new(),
            VirtualKind::Rows { pair, place } => {
                let mut named: Vec<Named> = Vec::new();
                for (name, child) in self.rows_children(ino, *pair, place)? {
                    named.push((name.clone(), ino_of_key(&name), child));
                }
                named.sort_by_key(|(_, place, _)| *place);
                named
            }
            VirtualKind::Source { .. } | VirtualKind::Ids | VirtualKind::TagSource { .. } => Vec::new(),
            VirtualKind::Link { .. } => return Err(not_a("directory", ino)),
        })
    }

    /// `latest` comes behind every snapshot of its source.
    fn latest_of(&self, catalog: &Catalog, ino: u64, source: &str) -> Option<Named> {
        let newest = catalog.choices(source).next_back()?;
        let link = VirtualEntry::link(ino, LATEST, newest.manifest.name.clone());
        Some((LATEST.to_vec(), LATEST_PLACE, Child::Virtual(link)))
    }
}

/// Behind every sequence that a snapshot can have.
const LATEST_PLACE: u64 = 1 << 40;

/// Length of `2026-11-22`.
const DATE_BYTES: usize = 10;

fn at_time(when: &str) -> Child {
    let kind = VirtualKind::AtTime { when: when.to_string() };
    Child::Virtual(VirtualEntry { key: format!("at/{when}").into_bytes(), parent: inode::AT, kind })
}

fn tag_directory(tag: &str) -> VirtualEntry {
    let kind = VirtualKind::Tag { tag: tag.to_string() };
    VirtualEntry { key: format!("tags/{tag}").into_bytes(), parent: inode::TAGS, kind }
}

fn tag_source_directory(parent: u64, tag: &str, source: &str) -> VirtualEntry {
    let kind = VirtualKind::TagSource { tag: tag.to_string(), source: source.to_string() };
    VirtualEntry { key: format!("tags/{tag}/{source}").into_bytes(), parent, kind }
}

fn has_tag(catalog: &Catalog, tag: &str) -> bool {
    catalog.snapshots().any(|it| it.tags.contains(tag))
}

/// A symlink to a snapshot; `up` leads from its directory to the mount's root.
fn link_to(parent: u64, name: &[u8], up: &str, snapshot: &Snapshot) -> Child {
    let target = format!("{up}snapshots/{}/{}", snapshot.manifest.source, snapshot.manifest.name);
    Child::Virtual(VirtualEntry::link(parent, name, target))
}

/// The same, as an entry of a listing in order of snapshots.
fn named_link(parent: u64, name: String, up: &str, snapshot: &Snapshot) -> Named {
    let name = name.into_bytes();
    (name.clone(), snapshot.sequence, link_to(parent, &name, up, snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stays_small_and_what_fell_out_comes_back_by_the_same_number() {
        let entries = VirtualEntries::new();
        let (ino, _) = entries.enter(VirtualEntry::source("lake"));
        assert!(entries.get(ino).is_ok());
        for number in 0..2 * KNOWN_MAX {
            entries.enter(VirtualEntry::source(&format!("visited-{number}")));
        }
        assert!(matches!(entries.get(ino), Err(Error::Stale { .. })));
        assert_eq!(entries.enter(VirtualEntry::source("lake")).0, ino);
        assert!(entries.get(inode::DIFF).is_ok());
    }
}
