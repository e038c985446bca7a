//! Stories of damage: whatever happens to a stored byte, reading gives the right bytes or says what is damaged, nothing
//! else is lost, and `check` finds it and names who suffers.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use support::repository::{TestRepository, now, open};
use support::stored::{StoredTree, bases_of, copy_of, record_of, stored_tree};
use support::{noise, wait_until_settled};
use tempfile::TempDir;
use yesterfs::check::{CheckOptions, CheckReport, check};
use yesterfs::codec::Encoder;
use yesterfs::id::{ChunkId, hash};
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::catalog::{Catalog, checkpoint_key};
use yesterfs::repository::node::{DirectoryRoot, Node, NodeKind, RootPage, Totals, Xattrs};
use yesterfs::repository::page::{Page, PageKind, PageSink};
use yesterfs::repository::record::record_key;
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::restore::{RestoreOptions, RestoreReport, restore};
use yesterfs::store::BaseHint;
use yesterfs::store::backend::{Backend, ByteRange, MemoryBackend};
use yesterfs::store::chunk_record::RecordPlace;
use yesterfs::store::pack::{PackSummary, pack_key, read_footer_of};
use yesterfs::store::segment::read_segment;
use yesterfs::{Error, ErrorKind, Result};

/// The stored objects by key.
type Objects = BTreeMap<String, Vec<u8>>;

/// A small repository with two snapshots of everything that matters, its objects, and what it must give back.
struct Sample {
    objects: Objects,
    /// The snapshots by name, in order.
    expected: Vec<(String, StoredTree)>,
    /// Has an index of the sound repository.
    indexed: TempDir,
}

fn sample() -> Sample {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir_all(source.join("many")).unwrap();
    fs::write(source.join("inline"), noise(1, 100)).unwrap();
    fs::write(source.join("medium"), noise(2, 30_000)).unwrap();
    fs::write(source.join("large"), noise(3, 300_000)).unwrap();
    fs::write(source.join("twice"), noise(3, 300_000)).unwrap();
    for number in 0..300 {
        fs::write(source.join(format!("many/entry-{number:03}")), format!("{number}\n").repeat(20)).unwrap();
    }
    let no_flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(source.join("medium"), "user.large", &noise(4, 1000), no_flags).unwrap();
    fs::hard_link(source.join("medium"), source.join("second-name")).unwrap();
    std::os::unix::fs::symlink("medium", source.join("symlink")).unwrap();
    wait_until_settled();
    place.ingest(&source, "lake");
    let mut changed = noise(3, 300_000);
    changed.splice(150_000..150_100, noise(5, 200));
    fs::write(source.join("large"), changed).unwrap();
    fs::write(source.join("new"), noise(6, 20_000)).unwrap();
    place.ingest(&source, "lake");

    let backend = copy_of(place.repository.backend().as_ref());
    let objects = backend.list_after("", None).unwrap().into_iter();
    let objects = objects.map(|it| (it.key.clone(), backend.get_range(&it.key, ByteRange::Whole).unwrap())).collect();
    let catalog = place.repository.catalog();
    let trees = catalog.snapshots().map(|it| (name_of(it), stored_tree(&place.repository, it).unwrap()));
    let expected = trees.collect();
    let indexed = TempDir::new().unwrap();
    let sample = Sample { objects, expected, indexed };
    sample.open(&sample.objects, sample.indexed.path()).unwrap().chunks().unwrap();
    sample
}

fn name_of(snapshot: &yesterfs::repository::snapshot::Snapshot) -> String {
    format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name)
}

fn backend_of(objects: &Objects) -> Arc<MemoryBackend> {
    let backend = Arc::new(MemoryBackend::default());
    for (key, bytes) in objects {
        put(backend.as_ref(), key, bytes);
    }
    backend
}

fn put(backend: &dyn Backend, key: &str, bytes: &[u8]) {
    let mut object = backend.put_new(key).unwrap();
    object.write(bytes).unwrap();
    object.finish().unwrap();
}

/// What became of reading a damaged repository.
#[derive(Default)]
struct Outcome {
    /// Why it could not be opened, or what could not be read.
    failures: Vec<Error>,
    opened: bool,
    /// Paths that could not be read, by snapshot.
    lost: BTreeSet<(String, String)>,
    report: CheckReport,
    notes: Vec<String>,
}

impl Outcome {
    #[track_caller]
    fn assert_sound(&self, what: &str) {
        assert!(self.opened && self.failures.is_empty(), "{what}: {:?}", self.failures);
        assert_eq!(self.report.damages, [], "{what}");
    }

    fn is_untouched(&self) -> bool {
        self.opened && self.failures.is_empty() && self.report.is_sound()
    }

    /// Everybody who cannot read something is told so, by a message that names something stored.
    #[track_caller]
    fn assert_told(&self, what: &str) {
        assert!(!self.opened || !self.report.is_sound(), "{what}: check found nothing");
        let newer = self.report.damages.iter().find(|damage| damage.reason.contains("newer yesterfs"));
        assert_eq!(newer, None, "{what}: damage is taken for a newer version");
        for failure in &self.failures {
            let message = failure.to_string();
            assert_eq!(failure.kind(), ErrorKind::Corrupt, "{what}: {message}");
            let object = ["pack", "chunk", "catalog", "segment", "config", "tree page", "checkpoint"];
            assert!(object.iter().any(|object| message.contains(object)), "{what}: {message}");
        }
        let named: BTreeSet<(String, String)> = self.report.damages.iter().filter_map(place_of).collect();
        for (snapshot, path) in &self.lost {
            let is_named = |path: &str| named.contains(&(snapshot.clone(), path.to_string()));
            // Whose directory's page is damaged, is lost with it.
            let told = is_named(path) || is_named("") || path.rmatch_indices('/').any(|(at, _)| is_named(&path[..at]));
            assert!(told || !self.opened, "{what}: check does not name {path:?} in {:#?}", self.report.damages);
        }
    }
}

fn place_of(damage: &yesterfs::check::Damage) -> Option<(String, String)> {
    Some((damage.snapshot.clone()?, String::from_utf8_lossy(damage.path.as_ref()?).into_owned()))
}

const CHECK_ALL: CheckOptions = CheckOptions { read_data: true, threads: 2 };

impl Sample {
    fn open(&self, objects: &Objects, directory: &Path) -> Result<Repository> {
        // The index is made where its parent is.
        fs::create_dir_all(directory.join("repo")).unwrap();
        open(directory, backend_of(objects), Arc::new(Recorder::default()))
    }

    /// The objects with one of them changed.
    fn with(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> Objects {
        let mut objects = self.objects.clone();
        change(objects.get_mut(key).unwrap());
        objects
    }

    fn without(&self, key: &str) -> Objects {
        let mut objects = self.objects.clone();
        objects.remove(key).unwrap();
        objects
    }

    /// The codec of the record of a pack that byte `at` lies in; `None` outside of records.
    fn record_at(&self, key: &str, at: usize) -> Option<u8> {
        let backend = backend_of(&self.objects);
        let repository = self.open(&self.objects, self.indexed.path()).unwrap();
        let pack = published_packs(&repository).into_iter().find(|pack| pack_key(&pack.name) == key).unwrap();
        let entries = read_footer_of(backend.as_ref(), &pack).unwrap().entries.into_iter();
        let mut starts = entries.map(|entry| (entry.offset as usize, entry.record_bytes as usize));
        let (start, _) = starts.find(|(start, length)| (*start..start + length).contains(&at))?;
        Some(self.objects[key][start])
    }

    /// How many other chunks are lost with the one that byte `at` of a pack belongs to: those in the same group, those told
    /// against it, or against such a one.
    fn told_against(&self, key: &str, at: usize) -> usize {
        let backend = backend_of(&self.objects);
        let repository = self.open(&self.objects, self.indexed.path()).unwrap();
        let mut bases = Vec::new();
        for pack in published_packs(&repository) {
            let object = &self.objects[&pack_key(&pack.name)];
            for entry in read_footer_of(backend.as_ref(), &pack).unwrap().entries {
                let of_it = bases_of(object, &entry, &pack.name);
                bases.push(((pack_key(&pack.name), entry.offset as usize, entry.record_bytes as usize), of_it));
            }
        }
        let hit = |place: &(String, usize, usize)| place.0 == key && (place.1..place.1 + place.2).contains(&at);
        // All that share a record.
        let mut damaged: Vec<(String, usize, usize)> =
            bases.iter().map(|(place, _)| place.clone()).filter(hit).collect();
        let mut known = 0;
        while known < damaged.len() {
            let of = damaged[known].clone();
            known += 1;
            let is_base = |base: &RecordPlace| (pack_key(&base.pack), base.offset as usize) == (of.0.clone(), of.1);
            damaged.extend(bases.iter().filter(|(_, bases)| bases.iter().any(is_base)).map(|(place, _)| place.clone()));
        }
        damaged.len().saturating_sub(1)
    }

    fn keys(&self, folder: &str) -> Vec<String> {
        self.objects.keys().filter(|key| key.starts_with(folder)).cloned().collect()
    }

    /// Opens, reads everything, checks. Panics at any wrong byte, and at errors that are neither damage nor a refusal.
    #[track_caller]
    fn try_everything(&self, objects: &Objects, index: Option<&Path>) -> Outcome {
        let fresh = TempDir::new().unwrap();
        fs::create_dir(fresh.path().join("repo")).unwrap();
        let monitor = Arc::new(Recorder::default());
        let opened = open(index.unwrap_or(fresh.path()), backend_of(objects), monitor.clone());
        // Without its index a repository is opened all the way only when the first chunk is asked for.
        let opened = opened.and_then(|repository| repository.chunks().map(|_| ()).map(|()| repository));
        let mut outcome = Outcome::default();
        match opened {
            Err(error) => outcome.fail(error),
            Ok(repository) => {
                outcome.opened = true;
                self.read_everything(&repository, &mut outcome);
                outcome.report = check(&repository, CHECK_ALL, &Recorder::default()).unwrap();
            }
        }
        outcome.notes = monitor.notes.lock().unwrap().clone();
        outcome
    }

    #[track_caller]
    fn read_everything(&self, repository: &Repository, outcome: &mut Outcome) {
        let catalog = repository.catalog();
        let found: Vec<String> = catalog.snapshots().map(|it| name_of(it)).collect();
        let expected: Vec<String> = self.expected.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(found, expected, "no snapshot is lost or changed while the repository opens");
        for (snapshot, (name, tree)) in catalog.snapshots().zip(&self.expected) {
            for (path, (node, bytes)) in tree {
                let read = read_entry(repository, &snapshot.manifest.root, path);
                match read {
                    Ok((found, content)) => {
                        assert!(&found == node, "another entry at {path:?}");
                        assert!(&content == bytes, "wrong bytes at {path:?}");
                    }
                    Err(error) => {
                        outcome.lost.insert((name.clone(), String::from_utf8_lossy(path).into_owned()));
                        outcome.fail(error);
                    }
                }
            }
        }
    }
}

impl Outcome {
    #[track_caller]
    fn fail(&mut self, error: Error) {
        let is_told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported);
        assert!(is_told, "damage must be called damage: {error}");
        self.failures.push(error);
    }
}

/// An entry with its attributes and bytes. Whoever misses a directory of the path is told the same as of the entry.
fn read_entry(
    repository: &Repository,
    root: &yesterfs::repository::node::Node,
    path: &[u8],
) -> Result<(yesterfs::repository::node::Node, Vec<u8>)> {
    let tree = repository.tree()?;
    let node = tree.lookup_path(root, path)?.unwrap_or_else(|| panic!("{path:?} is said not to exist"));
    tree.xattrs(&node)?;
    let mut bytes = Vec::new();
    if let NodeKind::File { content, .. } = &node.kind {
        repository.contents()?.read(content, 0, content.size as usize, &mut bytes)?;
    }
    Ok((node, bytes))
}

/// Flips one bit, another one at every place.
fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1 << (at % 8);
}

#[test]
fn a_sound_repository_is_found_sound() {
    let sample = sample();
    let outcome = sample.try_everything(&sample.objects, None);
    outcome.assert_sound("untouched");
    let report = outcome.report;
    assert_eq!((report.snapshots, report.packs_unreferenced, report.rebuilt.len()), (2, 0, 0));
    assert_eq!(report.packs as usize, sample.keys("packs/").len());
    assert_eq!(report.chunks_read, report.chunks);
    let entries: usize = sample.expected.iter().map(|(_, tree)| tree.len()).sum();
    assert_eq!(report.entries, entries as u64);
    let stored: usize = sample.keys("packs/").iter().map(|key| sample.objects[key].len()).sum();
    assert_eq!(report.bytes, stored as u64);

    // What an interrupted ingest left is no damage.
    let mut objects = sample.objects.clone();
    let some_pack = sample.keys("packs/").pop().unwrap();
    let (writer, _) = some_pack.rsplit_once('-').unwrap();
    objects.insert(format!("{writer}-99"), b"half a pack".to_vec());
    let outcome = sample.try_everything(&objects, None);
    outcome.assert_sound("with a pack that nothing names");
    assert_eq!(outcome.report.packs_unreferenced, 1);
}

#[test]
fn a_bit_flipped_in_config_catalog_or_segment_is_told() {
    let sample = sample();
    let small = ["config", "catalog/", "segments/"].into_iter().flat_map(|folder| sample.keys(folder));
    for key in small {
        let length = sample.objects[&key].len();
        // Each of the first bytes, which tell what the object is, then every 13th.
        for at in (0..length).filter(|at| *at < 20 || at % 13 == 0 || *at == length - 1) {
            let what = format!("byte {at} of {key}");
            let outcome = sample.try_everything(&sample.with(&key, |bytes| flip(bytes, at)), None);
            outcome.assert_told(&what);
            assert!(!outcome.failures.is_empty(), "{what}: nobody noticed");
            assert_eq!(outcome.opened, key.starts_with("segments/"), "{what}");
        }
    }
}

#[test]
fn a_bit_flipped_in_a_pack_costs_only_what_is_there() {
    let sample = sample();
    let (mut tried, mut harmless) = (0, 0);
    for key in sample.keys("packs/") {
        let length = sample.objects[&key].len();
        // Header and trailer byte by byte, the rest here and there.
        let step = if length > 100_000 { 4999 } else { 499 };
        let places = (0..length).filter(|at| *at < 27 || at % step == 0 || *at + 12 >= length);
        for (number, at) in places.enumerate() {
            let what = format!("byte {at} of {length} of {key}");
            let objects = sample.with(&key, |bytes| flip(bytes, at));
            let index = (number % 2 == 0).then(|| sample.indexed.path());
            let outcome = sample.try_everything(&objects, index);
            assert!(outcome.opened, "{what}: {:?}", outcome.failures);
            tried += 1;
            if outcome.is_untouched() && matches!(sample.record_at(&key, at), Some(1 | 3 | 8)) {
                // Different lz4 blocks may give the same bytes, and so may different frames of Zstandard.
                harmless += 1;
                continue;
            }
            outcome.assert_told(&what);
            // Who knows where the chunks lie needs no footer.
            let damaged: BTreeSet<String> = outcome.failures.iter().map(|failure| failure.to_string()).collect();
            let lost = if damaged.len() > 1 { 1 + sample.told_against(&key, at) } else { 1 };
            assert!(index.is_none() || damaged.len() <= lost, "{what}: more is lost than {lost} chunks: {damaged:#?}");
        }
    }
    assert!(harmless * 20 < tried, "{harmless} of {tried} flips went unnoticed");
}

#[test]
fn a_pack_cut_short_or_gone_costs_only_what_it_held() {
    let sample = sample();
    for key in sample.keys("packs/") {
        let length = sample.objects[&key].len();
        for kept in [None, Some(0), Some(10), Some(length / 2), Some(length - 1)] {
            let objects = match kept {
                None => sample.without(&key),
                Some(kept) => sample.with(&key, |bytes| bytes.truncate(kept)),
            };
            for index in [None, Some(sample.indexed.path())] {
                let what = format!("{key} cut to {kept:?}, index {}", index.is_some());
                let outcome = sample.try_everything(&objects, index);
                assert!(outcome.opened, "{what}: {:?}", outcome.failures);
                outcome.assert_told(&what);
                let name = key.rsplit('/').next().unwrap();
                let told = outcome.report.damages.iter().any(|damage| damage.object.contains(name));
                assert!(told, "{what}: {:#?}", outcome.report.damages);
                // A pack of data costs nothing of what has no chunks of its own.
                let has_data = ["large", "twice", "medium", "second-name", "new"];
                let only_data = outcome.lost.iter().all(|(_, path)| has_data.contains(&path.as_str()));
                assert!(only_data || is_page_pack(&sample.objects[&key]), "{what}: {:?}", outcome.lost);
            }
        }
    }
}

/// By the kind that stands in its header.
fn is_page_pack(pack: &[u8]) -> bool {
    pack[14] == b'p'
}

#[test]
fn a_missing_segment_is_named_and_the_rest_is_read() {
    let sample = sample();
    for key in sample.keys("segments/") {
        let outcome = sample.try_everything(&sample.without(&key), None);
        assert!(outcome.opened);
        assert!(!outcome.failures.is_empty());
        outcome.assert_told(&key);
        let named = outcome
            .report
            .damages
            .iter()
            .any(|damage| damage.object.contains(&key) && damage.reason.contains("missing"));
        assert!(named, "{:#?}", outcome.report.damages);
        // With its index, nothing is lost yet, and check tells what would be.
        let outcome = sample.try_everything(&sample.without(&key), Some(sample.indexed.path()));
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert!(!outcome.report.is_sound());
    }
}

#[test]
fn a_gap_in_the_catalog_is_no_end_of_it() {
    let sample = sample();
    let records = sample.keys("catalog/");
    for (number, key) in records.iter().enumerate() {
        let sequence = number + 1;
        let outcome = sample.try_everything_but_snapshots(&sample.without(key), sequence == records.len());
        if let Some(error) = outcome {
            let message = error.to_string();
            assert!(message.contains(&format!("record {sequence} is missing")), "{message}");
        }
    }
    // A checkpoint behind the gap opens the repository; check tells of the gap.
    let last = records.len() as u64;
    let catalog = sample.open(&sample.objects, sample.indexed.path()).unwrap().catalog();
    let mut objects = sample.without(&record_key(2));
    objects.insert(checkpoint_key(last), catalog.encode());
    let outcome = sample.try_everything(&objects, None);
    assert!(outcome.opened && outcome.failures.is_empty(), "{:?}", outcome.failures);
    let [damage] = &outcome.report.damages[..] else { panic!("{:#?}", outcome.report.damages) };
    assert_eq!((damage.object.as_str(), damage.reason.as_str()), ("catalog record 2", "it is missing"));
}

impl Sample {
    /// Opens only; the last record may be missing, which is how the repository was before it.
    fn try_everything_but_snapshots(&self, objects: &Objects, is_last: bool) -> Option<Error> {
        match self.open(objects, TempDir::new().unwrap().path()) {
            Ok(_) if is_last => None,
            Ok(_) => panic!("a gap was taken for the end"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                Some(error)
            }
        }
    }
}

#[test]
fn a_missing_config_is_no_repository() {
    let sample = sample();
    let error = sample.open(&sample.without("config"), TempDir::new().unwrap().path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("repository"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_made_anew() {
    let sample = sample();
    let catalog = sample.open(&sample.objects, sample.indexed.path()).unwrap().catalog();
    let key = checkpoint_key(catalog.sequence);
    let file = catalog.encode();
    let places = (0..file.len()).filter(|at| *at < 20 || at % 37 == 0 || *at == file.len() - 1);
    for at in places {
        let mut objects = sample.objects.clone();
        let mut damaged = file.clone();
        flip(&mut damaged, at);
        objects.insert(key.clone(), damaged);
        let outcome = sample.try_everything(&objects, Some(sample.indexed.path()));
        outcome.assert_sound(&format!("byte {at} of the checkpoint"));
        assert!(outcome.notes.iter().any(|note| note.contains("checkpoint")), "{:?}", outcome.notes);
    }
    let mut objects = sample.objects.clone();
    objects.insert(key.clone(), b"damaged".to_vec());
    let backend = backend_of(&objects);
    let repository = open(sample.indexed.path(), backend.clone(), Arc::new(Recorder::default())).unwrap();
    let report = check(&repository, CHECK_ALL, &Recorder::default()).unwrap();
    assert!(report.is_sound() && report.rebuilt.len() == 1, "{report:#?}");
    assert_eq!(backend.get_range(&key, ByteRange::Whole).unwrap(), file);
}

#[test]
fn a_checkpoint_that_tells_another_history_is_found_by_check() {
    let sample = sample();
    let repository = sample.open(&sample.objects, sample.indexed.path()).unwrap();
    let first = repository.catalog().snapshots().next().unwrap().id;
    repository.forget(&[first], "to have another history", now()).unwrap();
    let mut other_history = Catalog::clone(&repository.catalog());
    // The same repository, where the same number stands for another change.
    let repository = sample.open(&sample.objects, sample.indexed.path()).unwrap();
    repository.change_tags(first, &["kept".into()], &[], now()).unwrap();
    // As a wrong version of yesterfs might have written it.
    other_history.record_hash = repository.catalog().record_hash;
    let backend = copy_of(repository.backend().as_ref());
    put(backend.as_ref(), &checkpoint_key(other_history.sequence), &other_history.encode());

    let misled = open(TempDir::new().unwrap().path(), backend.clone(), Arc::new(Recorder::default())).unwrap();
    assert_eq!(misled.catalog().snapshots().count(), 1);
    let report = check(&misled, CHECK_ALL, &Recorder::default()).unwrap();
    let [damage] = &report.damages[..] else { panic!("{:#?}", report.damages) };
    assert_eq!(damage.object, "the catalog");
    // From now on it is opened right.
    let repository = open(TempDir::new().unwrap().path(), backend, Arc::new(Recorder::default())).unwrap();
    assert_eq!(repository.catalog().snapshots().count(), 2);
    assert!(check(&repository, CHECK_ALL, &Recorder::default()).unwrap().is_sound());
}

#[test]
fn an_index_that_is_gone_or_damaged_is_built_anew() {
    let sample = sample();
    let build = || {
        let place = TempDir::new().unwrap();
        sample.open(&sample.objects, place.path()).unwrap().chunks().unwrap();
        place
    };
    let place = build();
    fs::remove_dir_all(place.path().join("repo/index")).unwrap();
    let outcome = sample.try_everything(&sample.objects, Some(place.path()));
    outcome.assert_sound("index gone");
    assert!(outcome.notes.iter().any(|note| note.contains("rebuilding the chunk index")), "{:?}", outcome.notes);

    for file in files_below(&place.path().join("repo/index")) {
        let length = fs::metadata(place.path().join("repo/index").join(&file)).unwrap().len();
        for change in ["gone", "emptied", "cut", "flipped"] {
            let place = build();
            // The names of some files are different each time.
            let Some(path) = files_below(&place.path().join("repo/index")).into_iter().find(|it| alike(it, &file))
            else {
                continue;
            };
            let path = place.path().join("repo/index").join(path);
            let mut bytes = fs::read(&path).unwrap();
            match change {
                "gone" => fs::remove_file(&path).unwrap(),
                "emptied" => fs::write(&path, b"").unwrap(),
                "cut" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    (0..bytes.len()).step_by(100).for_each(|at| flip(&mut bytes, at));
                    fs::write(&path, bytes).unwrap();
                }
            }
            let outcome = sample.try_everything(&sample.objects, Some(place.path()));
            outcome.assert_sound(&format!("index file {file} of {length} bytes {change}"));
        }
    }
}

fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// Whether two files of an index have the same part in it: names differ in their random and counted parts.
fn alike(a: &str, b: &str) -> bool {
    let shape = |path: &str| -> String {
        let name = path.rsplit('/').next().unwrap();
        name.chars().filter(|it| !it.is_ascii_digit()).collect()
    };
    shape(a) == shape(b)
}

#[test]
fn an_index_that_missed_a_pack_is_noticed_when_the_pack_is_back() {
    let sample = sample();
    let key = sample.keys("packs/").pop().unwrap();
    let place = TempDir::new().unwrap();
    // Built while the pack was away.
    sample.open(&sample.without(&key), place.path()).unwrap().chunks().unwrap();
    let repository = sample.open(&sample.objects, place.path()).unwrap();
    let report = check(&repository, CheckOptions { read_data: false, threads: 1 }, &Recorder::default()).unwrap();
    assert!(report.is_sound(), "{:#?}", report.damages);
    assert!(report.rebuilt.iter().any(|what| what.contains("index")), "{:?}", report.rebuilt);
    sample.try_everything(&sample.objects, Some(place.path())).assert_sound("after the check");
}

/// Overwrites every table of an index in place, so that whoever has it open suffers too.
fn damage_tables(index: &Path) {
    for file in files_below(index).iter().filter(|file| file.ends_with(".sst")) {
        let path = index.join(file);
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::File::options().write(true).open(path).unwrap().write_all_at(&vec![0x55; length], 0).unwrap();
    }
}

#[test]
fn an_index_damaged_while_it_is_used_is_built_anew_or_kept_in_memory() {
    let sample = sample();
    // A folder in the place of the lock: nobody can write the index, and not for want of permission.
    for can_rebuild in [true, false] {
        let place = TempDir::new().unwrap();
        sample.open(&sample.objects, place.path()).unwrap().chunks().unwrap();
        let index = place.path().join("repo/index");
        let (lock, current) = (index.join("lock"), index.join("current"));
        // Without a cache of its own, or all of the small index would be in memory.
        let options = OpenOptions { index_directory: index.clone(), cache_bytes: 1 << 20, index_cache_bytes: 0 };
        let backend = backend_of(&sample.objects);
        let repository = Repository::open(backend, options, Arc::new(Recorder::default())).unwrap();
        let chunks = repository.chunks().unwrap();
        let before = fs::read(&current).unwrap();
        damage_tables(&index);
        if !can_rebuild {
            fs::remove_file(&lock).unwrap();
            fs::create_dir(&lock).unwrap();
        }
        let wanted: Vec<ChunkId> = published_packs(&repository)
            .iter()
            .flat_map(|pack| read_footer_of(repository.backend().as_ref(), pack).unwrap().entries)
            .map(|entry| entry.id)
            .chain([ChunkId([9; 32])])
            .collect();
        // Many at once, as a mount's threads would.
        std::thread::scope(|scope| {
            let ask = || {
                for ids in wanted.chunks(7) {
                    let found = chunks.locate_many(ids).unwrap();
                    assert!(ids.iter().zip(&found).all(|(id, found)| found.is_some() == (*id != ChunkId([9; 32]))));
                    assert_eq!(chunks.locate(&ids[0]).unwrap(), found[0]);
                }
            };
            (0..4).for_each(|_| drop(scope.spawn(ask)));
        });
        assert_eq!(fs::read(&current).unwrap() == before, !can_rebuild);
        assert_eq!(chunks.lost_packs().unwrap(), []);
        let mut outcome = Outcome::default();
        sample.read_everything(&repository, &mut outcome);
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        if can_rebuild {
            continue;
        }
        // The next change makes it anew as soon as that is possible.
        let id = repository.catalog().snapshots().next().unwrap().id;
        repository.change_tags(id, &["once".into()], &[], now()).unwrap();
        fs::remove_dir(&lock).unwrap();
        repository.change_tags(id, &["twice".into()], &[], now()).unwrap();
        assert_ne!(fs::read(&current).unwrap(), before);
        sample.read_everything(&repository, &mut outcome);
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    }
}

/// Writes another format version into a sealed object, as a later yesterfs would.
fn from_the_future(bytes: &mut [u8], change: fn(&mut [u8])) {
    let frame = bytes.len() - 32;
    change(&mut bytes[..frame]);
    let sum = hash(&bytes[..frame]);
    bytes[frame..].copy_from_slice(&sum);
}

#[test]
fn what_a_later_version_wrote_is_refused_politely() {
    let sample = sample();
    let changes: [fn(&mut [u8]); 2] = [|frame| frame[8] = 9, |frame| frame[13] = 0x80];
    let last_record = sample.keys("catalog/").pop().unwrap();
    for change in changes {
        for key in ["config", &last_record] {
            let objects = sample.with(key, |bytes| from_the_future(bytes, change));
            let error = sample.open(&objects, TempDir::new().unwrap().path()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let named = if key == "config" { "config" } else { "catalog record" };
            let message = error.to_string();
            assert!(message.contains(named) && message.contains("newer yesterfs"), "{message}");
        }
    }
    // The footer of a pack is needed by nobody who has its chunks' places; check tells of it.
    let key = sample.keys("packs/").pop().unwrap();
    let objects = sample.with(&key, |pack| {
        pack[8] = 9;
        let end = pack.len() - 12;
        let frame_bytes = u32::from_le_bytes(pack[end..end + 4].try_into().unwrap()) as usize;
        from_the_future(&mut pack[end - frame_bytes..end], |frame| frame[8] = 9);
    });
    let outcome = sample.try_everything(&objects, Some(sample.indexed.path()));
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert!(outcome.report.damages.iter().any(|it| it.object.contains("pack") && it.reason.contains("newer yesterfs")));
}

#[test]
fn any_bit_flipped_in_a_record_is_damage_and_not_a_newer_version() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    // One that lz4 makes smaller, and one that it does not.
    fs::write(source.join("packed"), "a line like others\n".repeat(30)).unwrap();
    fs::write(source.join("raw"), noise(1, 300)).unwrap();
    // And pages of entries that are alike, and of entries that are not as long as the one before.
    fs::create_dir(source.join("sub")).unwrap();
    for number in 1..=20 {
        fs::write(source.join(format!("empty-{number:02}")), "").unwrap();
        fs::write(source.join("sub").join("x".repeat(number)), "").unwrap();
    }
    place.ingest(&source, "lake");
    // And two that are told against these, in one group.
    fs::write(source.join("packed"), "a line like others\n".repeat(29)).unwrap();
    fs::write(source.join("raw"), [&noise(1, 300)[..], b"more"].concat()).unwrap();
    place.ingest(&source, "lake");
    let backend = copy_of(place.repository.backend().as_ref());
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("repo")).unwrap();
    let repository = open(directory.path(), backend.clone(), Arc::new(Recorder::default())).unwrap();
    let chunks = repository.chunks().unwrap();
    let mut codecs = BTreeSet::new();
    for pack in published_packs(&repository) {
        let key = pack_key(&pack.name);
        let whole = backend.get_range(&key, ByteRange::Whole).unwrap();
        for entry in read_footer_of(backend.as_ref(), &pack).unwrap().entries {
            let plain = chunks.load(&entry.id).unwrap();
            let record = record_of(&whole, &entry);
            codecs.insert((record[0], entry.member));
            for (at, bit) in (0..record.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut flipped = record.to_vec();
                flipped[at] ^= 1 << bit;
                chunks.verify(&flipped, &[entry], &pack.name, &mut |_, read| match read {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit} of byte {at}: {error}");
                        assert!(error.to_string().contains("pack"), "{error}");
                    }
                    // The last token of an lz4 block has bits that mean nothing, and so has the descriptor of a frame of
                    // Zstandard; codec, lengths and bases have none.
                    Ok(bytes) => assert!(bytes == plain && at >= 6, "bit {bit} of byte {at}"),
                });
            }
        }
    }
    assert_eq!(codecs, BTreeSet::from([(0, 0), (1, 0), (2, 0), (3, 0), (6, 0), (6, 1), (8, 0)]));
    assert!(check(&repository, CHECK_ALL, &Recorder::default()).unwrap().is_sound());
}

fn published_packs(repository: &Repository) -> Vec<PackSummary> {
    let segments = repository.catalog().published().segments;
    let packs = segments.iter().flat_map(|it| read_segment(repository.backend().as_ref(), &it.segment).unwrap());
    packs.collect()
}

#[test]
fn check_names_every_snapshot_and_path_that_suffers() {
    let sample = sample();
    let repository = sample.open(&sample.objects, sample.indexed.path()).unwrap();
    let first = repository.catalog().snapshots().next().unwrap().clone();
    let [first_name, second_name] = [0, 1].map(|at| sample.expected[at].0.clone());
    let tree = repository.tree().unwrap();
    let node = tree.lookup_path(&first.manifest.root, b"twice").unwrap().unwrap();
    let NodeKind::File { content, .. } = &node.kind else { panic!() };
    let extent = repository.contents().unwrap().extents_from(content, 0).next().unwrap().unwrap().extent;
    let yesterfs::repository::content::ExtentSource::Chunk { id, .. } = extent.source else { panic!() };
    let objects = damage_chunk(&sample, &repository, &id);

    // The beginning of "twice" is that of "large" too, in both snapshots.
    let outcome = sample.try_everything(&objects, Some(sample.indexed.path()));
    let everywhere = [&first_name, &second_name].into_iter().flat_map(|name| ["large", "twice"].map(|it| (name, it)));
    let everywhere: BTreeSet<(String, String)> = everywhere.map(|(name, path)| (name.clone(), path.into())).collect();
    assert_eq!(outcome.lost, everywhere);
    let named: BTreeSet<(String, String)> = outcome.report.damages.iter().filter_map(place_of).collect();
    assert_eq!(named, everywhere);
    assert!(outcome.report.damages.iter().all(|damage| damage.object.contains(&id.to_string())));

    // Without reading the data, a damaged byte in the middle of a pack is not seen.
    let repository = sample.open(&objects, sample.indexed.path()).unwrap();
    let quick = CheckOptions { read_data: false, threads: 1 };
    assert!(check(&repository, quick, &Recorder::default()).unwrap().is_sound());

    // Forgotten snapshots suffer no more; the chunk is damaged all the same.
    let all: Vec<_> = repository.catalog().snapshots().map(|snapshot| snapshot.id).collect();
    repository.forget(&all, "test", now()).unwrap();
    let report = check(&repository, CHECK_ALL, &Recorder::default()).unwrap();
    let [damage] = &report.damages[..] else { panic!("{:#?}", report.damages) };
    assert_eq!((&damage.snapshot, &damage.path), (&None, &None));
    assert!(damage.object.contains(&id.to_string()), "{damage:?}");
}

/// The objects with another length in a chunk's record: bits of a payload may mean nothing.
fn damage_chunk(sample: &Sample, repository: &Repository, id: &ChunkId) -> Objects {
    let place = repository.chunks().unwrap().locate(id).unwrap().unwrap();
    sample.with(&pack_key(&place.pack), |bytes| bytes[place.offset as usize + 1] ^= 1)
}

/// Restores a snapshot of damaged objects, and compares what is there with what must be. Gives the report and the paths
/// that are missing.
fn restore_what_is_left(sample: &Sample, objects: &Objects, which: usize) -> (RestoreReport, BTreeSet<String>) {
    let repository = sample.open(objects, sample.indexed.path()).unwrap();
    let target = TempDir::new().unwrap();
    let options = RestoreOptions {
        to: target.path().to_path_buf(),
        dry_run: false,
        delete: true,
        verify: false,
        numeric_ids: true,
        threads: 2,
        protected: Vec::new(),
    };
    let monitor = Recorder::default();
    let snapshot = repository.catalog().snapshots().nth(which).unwrap().clone();
    let report = restore(&repository, &snapshot.manifest.root, b"", &options, &monitor, &mut |_| {}).unwrap();
    assert_eq!(report.problems as usize, monitor.problems.lock().unwrap().len());
    let mut missing = BTreeSet::new();
    for (path, (node, bytes)) in &sample.expected[which].1 {
        let path = String::from_utf8(path.clone()).unwrap();
        let there = target.path().join(&path);
        match (&node.kind, fs::symlink_metadata(&there)) {
            (_, Err(_)) => {
                missing.insert(path);
            }
            (NodeKind::File { .. }, Ok(_)) => assert!(fs::read(&there).unwrap() == *bytes, "wrong bytes in {path}"),
            _ => {}
        }
    }
    (report, missing)
}

#[test]
fn a_damaged_page_of_a_directory_costs_its_own_entries_only() {
    let sample = sample();
    let repository = sample.open(&sample.objects, sample.indexed.path()).unwrap();
    let snapshot = repository.catalog().snapshots().next().unwrap().clone();
    let many = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"many").unwrap().unwrap();
    let root = many.directory().unwrap().page.as_ref().unwrap().id();
    let page = Page::open(root, repository.chunks().unwrap().get(&root).unwrap(), PageKind::Directory).unwrap();
    assert!(page.level() > 0, "the directory has several pages");
    let child = page.child(0).unwrap();
    let first_names: BTreeSet<String> =
        (0..child.totals.entries).map(|number| format!("many/entry-{number:03}")).collect();

    let objects = damage_chunk(&sample, &repository, &child.page);
    let outcome = sample.try_everything_by_path(&objects);
    let damages = &outcome.damages;
    assert!(
        damages.iter().any(|it| it.path.as_deref() == Some(b"many") && it.reason.contains("entries")),
        "{damages:#?}"
    );
    let (report, missing) = restore_what_is_left(&sample, &objects, 0);
    assert_eq!(missing, first_names, "the other pages are read");
    assert_eq!((report.problems, report.damaged), (1, 1));
}

impl Sample {
    fn try_everything_by_path(&self, objects: &Objects) -> CheckReport {
        let repository = self.open(objects, self.indexed.path()).unwrap();
        check(&repository, CHECK_ALL, &Recorder::default()).unwrap()
    }
}

#[test]
fn restoring_gives_right_bytes_or_none() {
    let sample = sample();
    for key in sample.keys("packs/") {
        let length = sample.objects[&key].len();
        for at in (40..length).step_by(length / 8 + 1) {
            let objects = sample.with(&key, |bytes| flip(bytes, at));
            for which in [0, 1] {
                let (report, missing) = restore_what_is_left(&sample, &objects, which);
                assert!(missing.is_empty() || report.problems > 0, "byte {at} of {key}: {report:?}");
            }
        }
        for objects in [sample.without(&key), sample.with(&key, |bytes| bytes.truncate(length / 3))] {
            let (report, missing) = restore_what_is_left(&sample, &objects, 1);
            assert!(missing.is_empty() || report.problems > 0, "{key}: {report:?}");
        }
    }
}

#[test]
fn garbage_in_place_of_a_catalog_is_refused() {
    for garbage in [vec![], vec![0; 10], noise(1, 5000)] {
        assert_eq!(Catalog::decode(&garbage, 1).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// A page of a directory, of entries as they are given, right or wrong.
fn directory_page(level: u8, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut table, mut bytes) = (Encoder::new(), Encoder::new());
    table.u8(b'D').u8(level).u32(entries.len() as u32);
    for (key, value) in entries {
        let start = bytes.bytes.len();
        bytes.bytes(key.as_bytes()).raw(value);
        table.u32((bytes.bytes.len() - start) as u32);
    }
    [table.bytes, bytes.bytes].concat()
}

fn node_of(kind: NodeKind) -> Node {
    let (owner, group) = (Vec::new(), Vec::new());
    let (modified, xattrs) = (now(), Xattrs::None);
    Node { permissions: 0o644, uid: 0, gid: 0, owner, group, modified, xattrs, hard_link: None, kind }
}

fn encoded(node: &Node) -> Vec<u8> {
    let mut encoder = Encoder::new();
    node.encode(&mut encoder);
    encoder.bytes
}

fn totals_of(entries: u64) -> Totals {
    Totals { entries, descendants: entries, ..Totals::default() }
}

/// What `check` says of a snapshot whose root has this page, which `make` stores with those below it.
fn reasons_of(entries: u64, make: impl Fn(&dyn Fn(&[u8]) -> ChunkId) -> ChunkId) -> Vec<String> {
    reasons_of_root(totals_of(entries), make)
}

fn reasons_of_root(totals: Totals, make: impl Fn(&dyn Fn(&[u8]) -> ChunkId) -> ChunkId) -> Vec<String> {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let mut manifest = place.ingest(&source, "lake").snapshot.manifest.clone();
    let counters = Counters::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let page = make(&|page| session.put_page(page, false, &BaseHint::default).unwrap());
    manifest.root = node_of(NodeKind::Directory(DirectoryRoot { page: Some(RootPage::Stored(page)), totals }));
    session.commit(manifest, now()).unwrap();
    let report = check(&place.repository, CHECK_ALL, &Recorder::default()).unwrap();
    report.damages.into_iter().map(|damage| damage.reason).collect()
}

/// A page of a directory with a directory in it, whose only page stands in its node.
fn page_with_page_in_node(page: &[u8], entries: u64) -> Vec<u8> {
    let root = DirectoryRoot { page: Some(RootPage::Inline(page.into())), totals: totals_of(entries) };
    directory_page(0, &[("below", encoded(&node_of(NodeKind::Directory(root))))])
}

#[test]
fn a_page_in_a_node_that_no_writer_puts_there_is_damage() {
    let fifo = || encoded(&node_of(NodeKind::Fifo));
    let leaf = directory_page(0, &[("a", fifo()), ("b", fifo())]);
    let reasons = |page: &[u8]| {
        let page = page_with_page_in_node(page, 2);
        let totals = Totals { entries: 1, directories: 1, descendants: 3, ..Totals::default() };
        reasons_of_root(totals, |put| put(&page))
    };
    assert_eq!(reasons(&leaf), [""; 0]);
    let inner = [&[leaf[0], 1][..], &leaf[2..]].concat();
    let cut = &leaf[..leaf.len() - 1];
    let other = directory_page(0, &[("b", fifo()), ("a", fifo())]);
    let long = directory_page(0, &[("a", fifo()), (&"b".repeat(1024), fifo())]);
    let expected = ["is no leaf", "ends too early", "not in order", "too long", "ends too early"];
    for (page, expected) in [&inner[..], cut, &other, &long, b"Dx"].into_iter().zip(expected) {
        let found = reasons(page);
        assert!(found.iter().any(|reason| reason.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn pages_that_no_writer_makes_are_found_by_check() {
    let fifo = || encoded(&node_of(NodeKind::Fifo));
    let leaf = |names: &[&str]| directory_page(0, &names.iter().map(|name| (*name, fifo())).collect::<Vec<_>>());
    let child = |page: ChunkId, entries: u64| {
        let mut encoder = Encoder::new();
        totals_of(entries).encode(encoder.raw(&page.0));
        encoder.bytes
    };
    let two_leaves = |one: &[&str], other: &[&str]| {
        let (one, other) = (one.to_vec(), other.to_vec());
        reasons_of((one.len() + other.len()) as u64, |put| {
            let below =
                [&one, &other].map(|names| (*names.last().unwrap(), child(put(&leaf(names)), names.len() as u64)));
            put(&directory_page(1, &below))
        })
    };
    let one_leaf = |page: Vec<u8>| reasons_of(2, |put| put(&page));

    assert_eq!(one_leaf(leaf(&["a", "b"])), [""; 0]);
    assert_eq!(two_leaves(&["a", "b"], &["c", "d"]), [""; 0]);
    let unordered = |reasons: Vec<String>| {
        assert!(reasons.iter().any(|reason| reason.contains("not in order")), "{reasons:?}");
    };
    unordered(one_leaf(leaf(&["b", "a"])));
    unordered(one_leaf(leaf(&["a", "a"])));
    unordered(two_leaves(&["a", "c"], &["b", "d"]));
    unordered(two_leaves(&["a", "b"], &["b", "d"]));
    unordered(two_leaves(&["c", "d"], &["a", "b"]));

    // Bytes between and behind the entries.
    let between = directory_page(0, &[("a", [fifo(), vec![0]].concat()), ("b", fifo())]);
    let behind = [leaf(&["a", "b"]), vec![0]].concat();
    for page in [between, behind] {
        let reasons = one_leaf(page);
        assert!(reasons.iter().any(|reason| reason.contains("not back to back")), "{reasons:?}");
    }
}
