//! Stories of ingesting dumps of MongoDB: what is found in the snapshot, what it costs, and what is refused.

mod support;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use support::mongo::{
    Block, Collection, Dumped, MongoServer, archives, by_turns, collection, document, edges, files_of, fixture, number,
    pack, packed, prelude, text, write_files,
};
use support::mounted::Stage;
use support::noise;
use support::repository::{TestRepository, now};
use support::stored::{assert_sound, chunk_starts};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::dump::OriginalPolicy;
use yesterfs::ingest::mongo::{MongoInput, MongoOptions};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotSpec, SnapshotStatus};
use yesterfs::store::chunker::ChunkSizes;

const ARCHIVE: &str = "_original/dump.archive";

fn options(input: MongoInput) -> MongoOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    MongoOptions {
        common,
        input,
        keep_incomplete: false,
        unwrap_limit: UnwrapLimit::NoBomb,
        original: OriginalPolicy::Keep,
        threads: 2,
    }
}

fn archive(bytes: &[u8]) -> MongoInput {
    archives(vec![(None, reader(bytes))])
}

fn reader(bytes: &[u8]) -> StreamInput {
    StreamInput::Reader(Box::new(Cursor::new(bytes.to_vec())))
}

fn directory(path: &Path) -> MongoInput {
    MongoInput::Directory(path.to_path_buf())
}

#[track_caller]
fn dumped(place: &TestRepository, input: MongoInput) -> Dumped {
    Dumped::of(place, options(input)).unwrap()
}

/// Why a dump is refused. Kept nevertheless, nothing of it is lost.
#[track_caller]
fn refused(place: &TestRepository, archive_bytes: &[u8]) -> String {
    let Err(Error::Incomplete { reason, .. }) = Dumped::of(place, options(archive(archive_bytes))) else {
        panic!("it is taken for complete");
    };
    let kept = Dumped::of(place, MongoOptions { keep_incomplete: true, ..options(archive(archive_bytes)) }).unwrap();
    assert_eq!((kept.manifest.status, kept.fact("status_reason")), (SnapshotStatus::Incomplete, Some(reason.as_str())));
    kept.assert_parts_are(archive_bytes);
    reason
}

impl Dumped {
    /// Asserts that the parts, each taken from its file, are the archive, and that it can be read as a whole.
    #[track_caller]
    fn assert_parts_are(&self, archive: &[u8]) {
        assert!(self.files[ARCHIVE] == archive, "{ARCHIVE} is another one");
        assert!(self.joined_parts() == archive, "the parts are another archive");
    }
}

/// The directory that was dumped with the log of operations.
fn dump_with_oplog() -> BTreeMap<String, Vec<u8>> {
    let mut files = files_of(&fixture("directory"));
    files.extend(files_of(&fixture("oplog")));
    files
}

#[test]
fn a_directory_is_kept_as_it_is() {
    let place = TestRepository::new();
    let found = dumped(&place, directory(&fixture("directory")));
    assert_eq!(found.members(), files_of(&fixture("directory")));
    // Nothing in it tells that its program came to its end.
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mongo, SnapshotStatus::Unverified));
    assert!(found.fact("status_reason").unwrap().starts_with("such dumps have no mark at their end"));
    let facts = ["server_version", "program", "collections", "documents"].map(|name| found.fact(name).unwrap());
    assert_eq!(facts, ["8.2.11", "mongodump 100.18.0", "16", "2035"]);
    assert!(found.fact("consistency").unwrap().starts_with("none: it was dumped without --oplog"));
    let collections = found.text("_meta/collections");
    assert!(collections.contains("98693 300 410 shop/orders.bson\n"), "{collections}");
    assert_eq!(collections.lines().count(), 16);
    assert!(found.text("_meta/status.json").contains("\"status\": \"unverified\""));
    let permissions = |path: &str| found.nodes[path].permissions;
    assert_eq!((permissions(""), permissions("shop"), permissions("shop/orders.bson")), (0o700, 0o700, 0o600));
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn an_archive_becomes_the_files_of_a_directory() {
    let place = TestRepository::new();
    let bytes = std::fs::read(fixture("all.archive")).unwrap();
    let found = dumped(&place, archive(&bytes));
    assert_eq!(found.members(), files_of(&fixture("directory")));
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mongo, SnapshotStatus::Complete));
    found.assert_parts_are(&bytes);
    assert_eq!((found.fact("collections"), found.fact("documents")), (Some("16"), Some("2035")));
    // The same as a directory is the same data.
    let again = dumped(&place, directory(&fixture("directory")));
    assert!(again.manifest.bytes_new < 4096, "{} new bytes", again.manifest.bytes_new);
    let same = |path: &str| found.nodes[path].modified == again.nodes[path].modified;
    assert!(same("shop/orders.bson") && same("shop") && same("prelude.json") && !same("_meta"));
    let back = dumped(&place, archive(&bytes));
    assert!(back.manifest.bytes_new < 8192, "{} new bytes", back.manifest.bytes_new);
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn the_oplog_is_kept_and_tells_the_moment() {
    let place = TestRepository::new();
    let files = dump_with_oplog();
    let at = place.path("dump");
    write_files(&at, &files);
    let found = dumped(&place, directory(&at));
    assert_eq!(found.members(), files);
    let [first, last] = ["oplog_first", "oplog_last"].map(|name| found.fact(name).unwrap());
    assert!(first < last && last.contains(':'), "{first} to {last}");
    let consistency = format!("at {last} of the oplog, once oplog.bson was replayed");
    assert_eq!(found.fact("consistency"), Some(consistency.as_str()));
    assert!(found.text("_meta/coordinates.json").contains(&format!("\"oplog_last\": \"{last}\"")));
    assert_eq!(found.fact("documents"), Some("2035"), "operations are no documents");
    // In an archive it is a collection without a database.
    let mut oplog = collection("", "oplog", files["oplog.bson"].clone());
    oplog.metadata.clear();
    let listed = [collection("shop", "orders", files["shop/orders.bson"].clone()), oplog];
    let bytes = pack(&listed, &by_turns(&listed, &[1, 0], 3));
    let packed = dumped(&place, archive(&bytes));
    assert_eq!((packed.fact("oplog_first"), packed.fact("oplog_last")), (Some(first), Some(last)));
    assert_eq!(packed.files["oplog.bson"], files["oplog.bson"]);
    assert!(!packed.files.contains_key("oplog.metadata.json"));
    packed.assert_parts_are(&bytes);
    // Nothing happened meanwhile.
    let quiet = BTreeMap::from([("oplog.bson".to_string(), Vec::new())]);
    write_files(&at, &quiet);
    assert!(dumped(&place, directory(&at)).fact("consistency").unwrap().starts_with("one moment"));
}

#[test]
fn nightly_dumps_of_a_server_cost_what_changed() {
    let (server, place) = (MongoServer::start(), TestRepository::new());
    server.client(&["fill", "20000"]);
    let first = server.dump("first", &[]);
    let whole = dumped(&place, directory(&first));
    assert_eq!(whole.members(), files_of(&first));
    let types = support::mongo::edges(&whole.files["shop/types.bson"]).len() - 1;
    let ids = support::mongo::edges(&whole.files["shop/ids.bson"]).len() - 1;
    assert_eq!((types, ids, whole.fact("documents")), (25, 10, Some("21138")));

    // One order in a hundred is updated; the dump of the night after is an archive.
    server.client(&["change", "1"]);
    let second = server.dump("second", &[]);
    let packed = |path: &Path, step: usize| {
        let listed = support::mongo::collections_of(path);
        // As many at once as mongodump has, and each time others first.
        let mut order: Vec<usize> = (0..listed.len()).collect();
        order.rotate_left(step % listed.len());
        let blocks: Vec<_> = order.chunks(4).flat_map(|four| by_turns(&listed, four, 1000 + step)).collect();
        pack(&listed, &blocks)
    };
    let bytes = packed(&second, 3);
    let changed = dumped(&place, archive(&bytes));
    changed.assert_parts_are(&bytes);
    let mut expected = files_of(&second);
    assert!(expected.remove("prelude.json").is_some());
    let members = changed.members();
    assert!(expected.iter().all(|(path, bytes)| members[path] == *bytes));
    println!("{} bytes, then {}", whole.manifest.bytes_stored, changed.manifest.bytes_stored);
    assert!(whole.manifest.bytes_stored > 1 << 20);
    assert!(changed.manifest.bytes_stored < whole.manifest.bytes_stored / 50, "{}", changed.manifest.bytes_stored);

    // And one with operations meanwhile, mixed otherwise.
    let third = server.dump("third", &["--oplog"]);
    let bytes = packed(&third, 7);
    let latest = dumped(&place, archive(&bytes));
    latest.assert_parts_are(&bytes);
    assert_eq!(latest.files["oplog.bson"], files_of(&third)["oplog.bson"]);
    assert!(latest.fact("oplog_last") > latest.fact("oplog_first"), "{:?}", latest.manifest.facts);
    println!("with operations: {}", latest.manifest.bytes_stored);
    assert!(latest.manifest.bytes_stored < 32 << 10, "{}", latest.manifest.bytes_stored);
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn a_collection_from_the_mount_is_what_the_server_had() {
    let (server, stage) = (MongoServer::start(), Stage::new());
    server.client(&["fill", "500"]);
    let dump = server.dump("dump", &[]);
    stage.succeed(&["ingest", "mongo", "--source", "shop", dump.to_str().unwrap()]);
    let mount = stage.mount();
    for name in ["orders", "types", "ids"] {
        let file = mount.latest("shop").join(format!("shop/{name}.bson"));
        server.client(&["load", file.to_str().unwrap(), "restored"]);
        assert_eq!(server.client(&["compare", name, "restored"]), "same", "{name}");
    }
    server.client(&["change", "1"]);
    server.client(&["load", mount.latest("shop").join("shop/orders.bson").to_str().unwrap(), "restored"]);
    assert_eq!(server.client(&["compare", "orders", "restored"]), "different");
}

/// A compressed file that the newest snapshot was made of.
fn rebuilt(place: &TestRepository, name: &str) -> Vec<u8> {
    try_rebuild(place, Some(name)).unwrap()
}

/// The same, and what came where no name is given.
fn try_rebuild(place: &TestRepository, name: Option<&str>) -> Result<Vec<u8>> {
    let snapshot = place.repository.catalog().snapshots().next_back().unwrap().clone();
    let mut bytes = Vec::new();
    let take = &mut |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    rebuild_original(&place.repository, &snapshot, name.map(str::as_bytes), take)?;
    Ok(bytes)
}

/// What a program makes of its input.
fn piped(words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(words[0]);
    let command = command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("this test needs {}: {error}", words[0]));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{words:?}");
    output.stdout
}

fn gzip(option: &str, input: &[u8]) -> Vec<u8> {
    piped(&["gzip", option], input)
}

#[test]
fn a_compressed_directory_becomes_a_plain_one() {
    let place = TestRepository::new();
    let plain = files_of(&fixture("directory"));
    dumped(&place, directory(&fixture("directory")));
    let without = MongoOptions { original: OriginalPolicy::Drop, ..options(directory(&fixture("directory-gzip"))) };
    let found = Dumped::of(&place, without).unwrap();
    assert_eq!((found.members(), found.manifest.status), (plain.clone(), SnapshotStatus::Unverified));
    assert!(found.manifest.bytes_new < 4096, "{} new bytes", found.manifest.bytes_new);
    assert_eq!((found.fact("server_version"), found.fact("documents")), (Some("8.2.11"), Some("2035")));
    // Usually nothing is lost.
    let compressed = files_of(&fixture("directory-gzip"));
    let found = dumped(&place, directory(&fixture("directory-gzip")));
    assert_eq!(found.members(), plain);
    let originals = found.files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("_original/")?, bytes)));
    assert!(originals.eq(compressed.iter().map(|(path, bytes)| (path.as_str(), bytes))));

    // Or it can be made again.
    let rebuild = MongoOptions { original: OriginalPolicy::Rebuild, ..options(directory(&fixture("directory-gzip"))) };
    let found = Dumped::of(&place, rebuild).unwrap();
    assert!(found.files.contains_key("_original/shop/orders.bson.gz.recipe"), "{:?}", found.files.keys());
    for (path, bytes) in &compressed {
        assert!(rebuilt(&place, path) == *bytes, "{path} is another one");
    }
    let Err(Error::Ambiguous { what, matches, .. }) = try_rebuild(&place, None) else { panic!("one of many") };
    assert_eq!((what, matches.len()), ("compressed original", compressed.len().min(21)));
    assert!(matches.iter().all(|name| compressed.contains_key(name) || name == "more"), "{matches:?}");
    assert_sound(&place.reopen().unwrap());

    // The operations are compressed under their plain name.
    let at = place.path("dump");
    let oplog = dump_with_oplog()["oplog.bson"].clone();
    write_files(&at, &compressed);
    write_files(&at, &BTreeMap::from([("oplog.bson".to_string(), gzip("-6", &oplog))]));
    let found = dumped(&place, directory(&at));
    assert!(found.files["oplog.bson"] == oplog && found.files["_original/oplog.bson"] == gzip("-6", &oplog));
    assert!(found.fact("oplog_last").is_some());
    assert_eq!(found.manifest.status, SnapshotStatus::Complete, "the operations come last");
    // One file is cut short.
    let mut cut = compressed["shop/orders.bson.gz"].clone();
    cut.truncate(20_000);
    write_files(&at, &BTreeMap::from([("shop/orders.bson.gz".to_string(), cut.clone())]));
    let Err(Error::Incomplete { reason, .. }) = Dumped::of(&place, options(directory(&at))) else { panic!("taken") };
    assert!(reason.starts_with("shop/orders.bson: its compressed data is cut off after 20000 bytes"), "{reason}");
    let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(directory(&at)) }).unwrap();
    assert!(kept.files["_original/shop/orders.bson.gz"] == cut);
    assert!(plain["shop/orders.bson"].starts_with(&kept.files["shop/orders.bson"]));
    // One is damaged.
    cut[10_000] ^= 1;
    write_files(&at, &BTreeMap::from([("shop/orders.bson.gz".to_string(), cut)]));
    let error = Dumped::of(&place, options(directory(&at))).err().unwrap().to_string();
    assert!(error.contains("orders.bson.gz") || error.contains("orders.bson:"), "{error}");
}

#[test]
fn a_compressed_archive_is_taken_apart() {
    let place = TestRepository::new();
    let compressed = std::fs::read(fixture("all.archive.gz")).unwrap();
    let plain = gzip("-d", &compressed);
    let rebuild = MongoOptions { original: OriginalPolicy::Rebuild, ..options(archive(&compressed)) };
    let found = Dumped::of(&place, rebuild).unwrap();
    assert!(found.files["_original/dump.archive.gz.recipe"].len() < compressed.len() / 3);
    assert!(rebuilt(&place, "dump.archive.gz") == compressed);
    assert!(try_rebuild(&place, None).unwrap() == compressed, "what came is the compressed one");
    assert!(rebuilt(&place, "dump.archive") == plain);
    let found = dumped(&place, archive(&compressed));
    assert!(try_rebuild(&place, None).unwrap() == compressed);
    assert_eq!((found.members(), found.manifest.status), (files_of(&fixture("directory")), SnapshotStatus::Complete));
    found.assert_parts_are(&plain);
    assert!(found.files["_original/dump.archive.gz"] == compressed);
    let without = MongoOptions { original: OriginalPolicy::Drop, ..options(archive(&piped(&["zstd", "-3"], &plain))) };
    let found = Dumped::of(&place, without).unwrap();
    found.assert_parts_are(&plain);
    assert!(!found.files.contains_key("_original/dump.archive.zst"));
    let without = MongoOptions { original: OriginalPolicy::Drop, ..options(archive(&compressed)) };
    let found = Dumped::of(&place, without).unwrap();
    assert!(!found.files.contains_key("_original/dump.archive.gz"));
    // Cut short, of another kind, and more than may be.
    let Err(Error::Incomplete { reason, .. }) = Dumped::of(&place, options(archive(&compressed[..50_000]))) else {
        panic!("taken");
    };
    assert_eq!(reason, "its compressed data is cut off after 50000 bytes");
    let error = Dumped::of(&place, options(archive(&gzip("-1", b"CREATE TABLE a (b INT)")))).err().unwrap().to_string();
    assert!(error.contains("it is no archive of mongodump"), "{error}");
    let little = MongoOptions { unwrap_limit: UnwrapLimit::Bytes(100_000), ..options(archive(&compressed)) };
    let error = Dumped::of(&place, little).err().unwrap().to_string();
    assert!(error.contains("more than 100000 bytes come out of it"), "{error}");
}

#[test]
fn documents_that_look_compressed_are_none() {
    let place = TestRepository::new();
    // A document whose length begins as a file of gzip does.
    let looks = document(&[number("_id", 1), text("pad", &"x".repeat(0x8b1f - 24))]);
    assert!(looks.starts_with(&[0x1f, 0x8b]));
    let files = BTreeMap::from([
        ("shop/odd.bson".to_string(), looks.clone()),
        ("shop/odd.metadata.json".into(), b"{\"indexes\":[]}".to_vec()),
        ("oplog.bson".into(), looks),
    ]);
    let at = place.path("dump");
    write_files(&at, &files);
    assert_eq!(dumped(&place, directory(&at)).members(), files);
}

/// Documents with a number, a text, and some noise.
fn documents(seed: u64, count: usize, noise_bytes: usize) -> Vec<u8> {
    let one = |at: usize| {
        let noise: String =
            noise(seed * 1_000_003 + at as u64, noise_bytes).iter().map(|it| format!("{it:02x}")).collect();
        document(&[number("_id", at as i32), text("note", &noise)])
    };
    (0..count).flat_map(one).collect()
}

/// Four collections of some megabytes.
fn four(seed: u64) -> Vec<Collection> {
    (0..4)
        .map(|at| collection("shop", &format!("c{at}"), documents(seed + at, 4000 + 1000 * at as usize, 60)))
        .collect()
}

#[test]
fn collections_that_are_mixed_otherwise_cost_nothing() {
    let place = TestRepository::new();
    let listed = four(1);
    let first = pack(&listed, &by_turns(&listed, &[0, 1, 2, 3], 1700));
    let found = dumped(&place, archive(&first));
    found.assert_parts_are(&first);
    for listed in &listed {
        assert!(found.files[&format!("shop/{}.bson", listed.name)] == listed.documents);
    }
    // They are cut as if each had come alone.
    let alone = TestRepository::new();
    write_files(&alone.path("dump"), &found.members());
    let apart = dumped(&alone, directory(&alone.path("dump")));
    let content = |dumped: &Dumped, name: &str| dumped.nodes[&format!("shop/{name}.bson")].content().cloned();
    assert!(listed.iter().all(|it| content(&found, &it.name) == content(&apart, &it.name)), "cut otherwise");
    let other = pack(&listed, &by_turns(&listed, &[3, 0, 2, 1], 911));
    let again = dumped(&place, archive(&other));
    again.assert_parts_are(&other);
    println!("{} bytes, {} for another order", found.manifest.bytes_stored, again.manifest.bytes_stored);
    assert!(found.manifest.bytes_stored > 1 << 20);
    assert!(again.manifest.bytes_stored < 32 << 10, "{} bytes for another order", again.manifest.bytes_stored);
    // One document in a hundred is another one, in one more order.
    let mut changed = listed;
    for (at, listed) in changed.iter_mut().enumerate() {
        let edges = edges(&listed.documents);
        for document in (at..edges.len() - 1).step_by(100) {
            listed.documents[edges[document] + 30..edges[document] + 40].copy_from_slice(b"0123456789");
        }
    }
    let changed = pack(&changed, &by_turns(&changed, &[2, 3, 1, 0], 1300));
    let third = dumped(&place, archive(&changed));
    third.assert_parts_are(&changed);
    println!("{} bytes for one document in a hundred", third.manifest.bytes_stored);
    assert!(third.manifest.bytes_stored < found.manifest.bytes_stored / 20, "{}", third.manifest.bytes_stored);
    assert_sound(&place.reopen().unwrap());
}

/// Those of a directory are cut as those of an archive, which the test above shows.
#[test]
fn chunks_begin_where_documents_do() {
    let place = TestRepository::new();
    let listed = four(9);
    let found = dumped(&place, archive(&packed(&listed)));
    let (mut all, mut within) = (0, 0);
    for Collection { name, documents, .. } in &listed {
        let content = found.nodes[&format!("shop/{name}.bson")].content().unwrap();
        let (starts, edges) = (chunk_starts(&place.repository, content).unwrap(), edges(documents));
        // Where nothing else bounds a chunk it is as long as may be, and ends anywhere.
        let is_cut_off = |pair: &&[usize]| pair[1] - pair[0] == ChunkSizes::SMALL.max_bytes;
        let of_pair = |pair: &&[usize]| edges.binary_search(&pair[1]).is_err() && !is_cut_off(pair);
        (all, within) = (all + starts.len(), within + starts.windows(2).filter(of_pair).count());
    }
    assert!(all > 100 && within == 0, "of {all} chunks {within} begin within documents");
}

#[test]
fn what_is_cut_anywhere_is_refused_or_kept_as_incomplete() {
    let place = TestRepository::new();
    let listed = [collection("a", "one", documents(1, 5, 200)), collection("b", "two", documents(2, 4, 10))];
    let whole = pack(&listed, &by_turns(&listed, &[0, 1], 2));
    dumped(&place, archive(&whole)).assert_parts_are(&whole);
    let ends = whole.windows(4).enumerate().filter(|(_, it)| *it == [0xff; 4]).map(|(at, _)| at);
    let edges: Vec<usize> = ends.flat_map(|at| [at, at + 1, at + 4]).filter(|&at| at < whole.len()).collect();
    assert!(edges.len() > 20);
    for cut in edges.into_iter().chain([1, 4, 50, whole.len() / 2, whole.len() - 1]) {
        let reason = refused(&place, &whole[..cut]);
        assert!(reason.starts_with("it ends ") && reason.contains(&format!("byte {cut}")), "{reason}");
    }
    // Nobody means one of those that were kept.
    let catalog = place.repository.catalog();
    let means = |text: &str| catalog.find(&SnapshotSpec::parse(text, now()).unwrap()).map(|it| it.manifest.status);
    assert!(catalog.snapshots().count() > 20 && means("shop@latest").unwrap() == SnapshotStatus::Complete);
    assert!(means("shop@latest~1").is_err());
    let before_last = whole.windows(4).rposition(|it| it == b"\x08EOF").unwrap() - 34;
    assert!(refused(&place, &whole[..before_last]).starts_with("it ends before the last block of b.two"));
}

#[test]
fn damage_is_told_with_its_place() {
    let place = TestRepository::new();
    let mut bytes = std::fs::read(fixture("all.archive")).unwrap();
    let orders = std::fs::read(fixture("directory/shop/orders.bson")).unwrap();
    let at = bytes.windows(64).position(|it| *it == orders[..64]).unwrap();
    bytes[at + 5000] ^= 0x20;
    let reason = refused(&place, &bytes);
    assert!(reason.starts_with("the documents of shop.orders, in blocks from byte"), "{reason}");
    // A length that leads nowhere.
    bytes[at + 3] = 0x7f;
    let reason = refused(&place, &bytes);
    let expected = format!("is no length of a document, among the documents of shop.orders (at byte {at})");
    assert!(reason.ends_with(&expected), "{reason}");
    // Bytes behind the end.
    let bytes = [&std::fs::read(fixture("all.archive")).unwrap()[..], b"garbage!"].concat();
    assert!(refused(&place, &bytes).contains("is no length of a document"));
    // Appended to one another they are none: whoever reads one ends there.
    let genuine = std::fs::read(fixture("all.archive")).unwrap();
    let reason = refused(&place, &[&genuine[..], &genuine].concat());
    assert!(reason.contains("several make one snapshot as files of their own"), "{reason}");
    assert!(reason.contains(&format!("(at byte {})", genuine.len())), "{reason}");
}

#[test]
fn what_is_no_dump_is_refused() {
    let place = TestRepository::new();
    for (bytes, expected) in [
        (
            &b"-- MySQL dump 10.13"[..],
            "is not usable: it is a dump of MySQL or MariaDB, which yesterfs ingest mysql takes",
        ),
        (b"", "standard input produced nothing; no snapshot was made"),
        (&noise(1, 100_000), "it is no archive of mongodump"),
    ] {
        let error = Dumped::of(&place, options(archive(bytes))).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let at = place.path("dump");
    let files = |paths: &[&str]| paths.iter().map(|path| (path.to_string(), Vec::new())).collect();
    write_files(&at, &files(&["readme"]));
    let refused = |input| Dumped::of(&place, options(input)).err().unwrap().to_string();
    assert!(refused(directory(&at)).contains("no collections are in it"));
    write_files(&at, &files(&["orders.bson"]));
    assert!(refused(directory(&at)).contains("name the one above"));
    assert!(refused(directory(&place.path("missing"))).contains("cannot list"));
    assert_eq!(place.repository.catalog().snapshots().count(), 0);
}

#[test]
fn a_directory_that_is_not_whole_is_refused() {
    let place = TestRepository::new();
    let whole = files_of(&fixture("directory"));
    type Change = fn(&mut BTreeMap<String, Vec<u8>>);
    let changes: [(Change, &str); 5] = [
        (|files| drop(files.remove("shop/orders.metadata.json")), "shop/orders.bson has no .metadata.json beside it"),
        (|files| drop(files.remove("shop/users.bson")), "shop/users.metadata.json has no .bson beside it"),
        (
            |files| files.get_mut("shop/users.bson").unwrap().truncate(100_000),
            "shop/users.bson: it ends within a document",
        ),
        (
            |files| files.get_mut("shop/ids.metadata.json").unwrap().truncate(20),
            "shop/ids.metadata.json: it is no JSON",
        ),
        (|files| files.get_mut("shop/ids.bson").unwrap()[0] = 2, "shop/ids.bson: 2 bytes is no length of a document"),
    ];
    for (at, (change, expected)) in changes.into_iter().enumerate() {
        let mut files = whole.clone();
        change(&mut files);
        let at = place.path(&format!("dump{at}"));
        write_files(&at, &files);
        let Err(Error::Incomplete { reason, .. }) = Dumped::of(&place, options(directory(&at))) else {
            panic!("taken: {expected}");
        };
        assert!(reason.starts_with(expected), "{reason}");
        let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(directory(&at)) }).unwrap();
        assert_eq!((kept.members(), kept.manifest.status), (files, SnapshotStatus::Incomplete));
    }
}

#[test]
fn what_has_its_documents_or_metadata_elsewhere_is_whole() {
    let place = TestRepository::new();
    let metadata = |kind: &str| format!(r#"{{"indexes":[],"type":"{kind}"}}"#).into_bytes();
    let one = documents(1, 3, 10);
    let files = BTreeMap::from([
        ("shop/ts.metadata.json".to_string(), metadata("timeseries")),
        ("shop/system.buckets.ts.bson".into(), one.clone()),
        ("shop/view.metadata.json".into(), metadata("view")),
        ("shop/$admin.system.users.bson".into(), one.clone()),
        ("old/system.indexes.bson".into(), one.clone()),
        ("shop/prelude.json".into(), br#"{"ServerVersion":"7.0.1","ToolVersion":"100.9.0"}"#.to_vec()),
    ]);
    let at = place.path("dump");
    write_files(&at, &files);
    let found = dumped(&place, directory(&at));
    assert_eq!((found.members(), found.manifest.status), (files, SnapshotStatus::Unverified));
    assert_eq!(found.fact("server_version"), Some("7.0.1"));
    let mut series = collection("shop", "ts", one.clone());
    series.kind = "timeseries";
    let buckets = collection("shop", "system.buckets.ts", one.clone());
    // Only the blocks tell of the buckets.
    let mut bytes = pack(&[series.clone(), buckets], &[Block::Documents(1, 9), Block::End(1)]);
    let listed = prelude(&[series, collection("shop", "system.buckets.ts", Vec::new())]).len();
    let prelude = prelude(&[collection("shop", "x", Vec::new())]);
    assert!(listed > prelude.len());
    let mut series = collection("shop", "ts", Vec::new());
    series.kind = "timeseries";
    bytes.splice(..listed, support::mongo::prelude(&[series]));
    let found = dumped(&place, archive(&bytes));
    found.assert_parts_are(&bytes);
    let paths: Vec<&str> = found.files.keys().filter(|path| path.starts_with("shop/")).map(String::as_str).collect();
    assert_eq!(paths, ["shop/system.buckets.ts.bson", "shop/ts.metadata.json"]);
}

#[test]
fn names_become_those_of_mongodump() {
    let place = TestRepository::new();
    let long = "n".repeat(255);
    let names = ["with space", "sl/ash%", "é$x", ".", "", "a\0b", &long];
    let mut listed: Vec<_> = names.iter().map(|name| collection("shop", name, documents(1, 2, 300))).collect();
    listed.extend(["a/b", "_meta", "prelude.json", ""].map(|name| collection(name, "c", documents(2, 1, 5))));
    // Another one than "a\0b" of "shop".
    listed.push(collection("shop\0a", "b", documents(3, 1, 5)));
    let order: Vec<usize> = (0..listed.len()).collect();
    let bytes = pack(&listed, &by_turns(&listed, &order, 1));
    let found = dumped(&place, archive(&bytes));
    found.assert_parts_are(&bytes);
    let long = format!("shop/{}%24qoAhuhIUgG0upmoPvB2pdX8BKHw.bson", "n".repeat(208));
    let escaped = ["shop/with+space.bson", "shop/sl%2Fash%25.bson", "shop/%C3%A9%24x.bson", "shop/a%00b.bson"];
    let odd = ["shop/..bson", "shop/%.bson", &long];
    let databases = ["a%2Fb/c.bson", "%5Fmeta/c.bson", "%70relude.json/c.bson", "%/c.bson", "shop%00a/b.bson"];
    for path in escaped.into_iter().chain(odd).chain(databases) {
        assert!(found.files.contains_key(path), "no {path} among {:?}", found.files.keys());
    }
    let documents_of = |database: &str, name: &str| {
        &listed.iter().find(|it| it.database == database && it.name == name).unwrap().documents
    };
    assert!(&found.files["shop/a%00b.bson"] == documents_of("shop", "a\0b"));
    assert!(&found.files["shop%00a/b.bson"] == documents_of("shop\0a", "b"));
    // Directories keep the names that they have.
    let at = place.path("dump");
    let files: BTreeMap<_, _> = found.members();
    write_files(&at, &files);
    assert_eq!(dumped(&place, directory(&at)).members(), files);
}

#[test]
fn many_collections_may_be_open_but_not_any_number() {
    let place = TestRepository::new();
    let listed: Vec<_> = (0..300).map(|at| collection("shop", &format!("c{at}"), documents(at, 40, 40))).collect();
    let order: Vec<usize> = (0..200).collect();
    let bytes = pack(&listed[..200], &by_turns(&listed[..200], &order, 7));
    let found = dumped(&place, archive(&bytes));
    found.assert_parts_are(&bytes);
    for listed in &listed[..200] {
        assert!(found.files[&format!("shop/{}.bson", listed.name)] == listed.documents);
    }
    let order: Vec<usize> = (0..300).collect();
    let bytes = pack(&listed, &by_turns(&listed, &order, 7));
    let error = Dumped::of(&place, options(archive(&bytes))).err().unwrap().to_string();
    assert!(error.contains("more than 256 collections have begun and not ended"), "{error}");
    // One after the other there may be any number.
    let blocks = (0..300).flat_map(|at| [Block::Documents(at, 40), Block::End(at)]).collect::<Vec<_>>();
    let bytes = pack(&listed, &blocks);
    let found = dumped(&place, archive(&bytes));
    found.assert_parts_are(&bytes);
    assert_eq!(found.fact("collections"), Some("300"));
}

/// An archive whose blocks do not end.
struct Endless {
    prelude: Cursor<Vec<u8>>,
    blocks: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let first = self.prelude.read(out)?;
        for byte in &mut out[first..] {
            *byte = self.blocks[self.at];
            self.at = (self.at + 1) % self.blocks.len();
        }
        Ok(out.len())
    }
}

#[test]
fn an_archive_of_endless_blocks_is_refused() {
    let place = TestRepository::new();
    let one = collection("s", "c", document(&[]));
    let prelude = prelude(std::slice::from_ref(&one));
    let blocks = pack(&[one], &[Block::Documents(0, 1)])[prelude.len()..].to_vec();
    let endless = Endless { prelude: Cursor::new(prelude), blocks, at: 0 };
    let input = archives(vec![(None, StreamInput::Reader(Box::new(endless)))]);
    let error = Dumped::of(&place, options(input)).err().unwrap().to_string();
    assert!(error.contains("it has more than 4194304 parts"), "{error}");
}

#[test]
fn large_documents_and_empty_collections_are_taken() {
    let place = TestRepository::new();
    let large = document(&[number("_id", 1), text("pad", &"x".repeat((16 << 20) - 64))]);
    let metadata = r#"{"options":{"viewOn":"large","pipeline":[]},"indexes":[]}"#.to_string();
    let view = Collection { metadata, kind: "", ..collection("shop", "view", Vec::new()) };
    let listed = [collection("shop", "large", large.clone()), collection("shop", "empty", Vec::new()), view];
    let blocks = [Block::Documents(1, 0), Block::Documents(0, 1), Block::End(1), Block::Documents(2, 0)];
    let blocks = blocks.into_iter().chain([Block::End(2), Block::End(0)]).collect::<Vec<_>>();
    let bytes = pack(&listed, &blocks);
    let found = dumped(&place, archive(&bytes));
    found.assert_parts_are(&bytes);
    assert!(found.files["shop/large.bson"] == large && found.files["shop/empty.bson"].is_empty());
    assert!(!found.files.contains_key("shop/view.bson") && found.files.contains_key("shop/view.metadata.json"));
}

#[test]
fn the_status_of_a_command_counts() {
    let place = TestRepository::new();
    let shell =
        |line: String| archives(vec![(None, StreamInput::Command(["sh", "-c", &line].map(Into::into).to_vec()))]);
    let cat = format!("cat '{}'", fixture("all.archive").display());
    let found = dumped(&place, shell(cat.clone()));
    assert_eq!(found.manifest.status, SnapshotStatus::Complete);
    let failed = || shell(format!("{cat}; exit 3"));
    let Err(Error::Incomplete { reason, .. }) = Dumped::of(&place, options(failed())) else { panic!("taken") };
    assert!(reason.contains("its command failed with exit status: 3"), "{reason}");
    let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(failed()) }).unwrap();
    assert!(kept.text("_meta/status.json").contains("\"exit_status\": 3"));
    let error = Dumped::of(&place, options(shell("exit 4".into()))).err().unwrap().to_string();
    assert!(error.contains("failed with exit status: 4"), "{error}");
}

#[test]
fn a_dba_takes_the_dump_out_of_the_mount_and_out_of_the_repository() {
    let stage = Stage::new();
    let path = fixture("all.archive");
    stage.succeed(&["ingest", "mongo", "--source", "shop", path.to_str().unwrap()]);
    let bytes = std::fs::read(&path).unwrap();
    let mount = stage.mount();
    assert!(std::fs::read(mount.latest("shop").join(ARCHIVE)).unwrap() == bytes);
    let orders = std::fs::read(mount.latest("shop").join("shop/orders.bson")).unwrap();
    assert!(orders == std::fs::read(fixture("directory/shop/orders.bson")).unwrap());
    let mut ask = Command::new("getfattr");
    ask.args(["--only-values", "-n", "user.yesterfs.documents"]).arg(mount.path("snapshots/shop/latest/"));
    assert_eq!(ask.output().unwrap().stdout, b"2035");
    let mut ask = Command::new("getfattr");
    ask.args(["--only-values", "-n", "user.yesterfs.rows"]).arg(mount.latest("shop").join("shop/orders.bson"));
    let documents = String::from_utf8(ask.output().unwrap().stdout).unwrap();
    let told = stage.succeed(&["show", "shop", "--tables", "--json"]);
    let told = told.lines().find(|line| line.contains("\"shop.orders\"")).unwrap();
    assert!(
        documents.parse::<u64>().unwrap() > 0
            && told.contains(&format!("\"rows\":{documents},\"bytes\":{}}}", orders.len())),
        "{documents}: {told}"
    );
    mount.unmount();
    let to = stage.path("restored");
    stage.succeed(&["restore", "shop", "--to", to.to_str().unwrap()]);
    let mut restored = files_of(&to);
    assert!(restored.remove(ARCHIVE).unwrap() == bytes);
    restored.retain(|path, _| !path.starts_with("_meta/"));
    assert_eq!(restored, files_of(&fixture("directory")));
    // What is left to do is told, where something is.
    let dump = stage.path("dump");
    write_files(&dump, &dump_with_oplog());
    stage.succeed(&["ingest", "mongo", "--source", "whole", dump.to_str().unwrap()]);
    let mut restore = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    restore.arg("--repo").arg(stage.repository()).args(["restore", "whole", "--to"]).arg(stage.path("whole"));
    let said = String::from_utf8(restore.output().unwrap().stderr).unwrap();
    assert!(said.contains("mongorestore --oplogReplay replays them"), "{said}");
    assert!(files_of(&stage.path("whole"))["oplog.bson"] == dump_with_oplog()["oplog.bson"]);
    let shown = stage.succeed(&["show", "shop", "--json"]);
    assert!(shown.contains("\"kind\":\"mongo\"") && shown.contains("\"program\":\"mongodump 100.18.0\""), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn nothing_is_lost_of_a_broken_archive(cut: u16, flip: u32, garbage in prop::collection::vec(any::<u8>(), 0..600)) {
        let place = TestRepository::new();
        let listed = [collection("a", "one", documents(1, 30, 200)), collection("b", "two", documents(2, 40, 10))];
        let mut bytes = pack(&listed, &by_turns(&listed, &[0, 1], 11));
        bytes.truncate(usize::from(cut).max(4));
        bytes.extend(garbage);
        let at = 4 + flip as usize % (bytes.len() - 4).max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (flip >> 29);
        }
        let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(archive(&bytes)) }).unwrap();
        kept.assert_parts_are(&bytes);
    }
}
