//! Stories of compressed dumps: what real compressors made of them is stored as if it had come plain.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::dumped::{options, reader};
use support::mariadb::MariaDb;
use support::mounted::{Stage, need};
use support::repository::{TestRepository, now};
use support::stored::{StoredTree, assert_sound, stored_tree};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpOptions, DumpRules, OriginalPolicy};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Recorder;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::{Snapshot, SnapshotStatus};

/// Real compressors, as they compress their input.
const COMPRESSORS: [&[&str]; 9] = [
    &["gzip", "-1"],
    &["gzip", "-6"],
    &["gzip", "-9"],
    &["gzip", "--rsyncable"],
    &["pigz", "-p", "2"],
    &["python3", "-c", "import gzip, sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), mtime=1))"],
    &["zstd", "-3"],
    &["zstd", "-19"],
    &["zstd", "--fast", "--no-check"],
];

/// Those of which nothing is kept but what was in it.
const ONLY_UNWRAPPED: [&[&str]; 10] = [
    &["bzip2", "-9"],
    &["bzip2", "-1"],
    &["xz", "-1"],
    &["xz", "-9e"],
    &["xz", "--block-size=300000", "--check=sha256", "-T2"],
    &["xz", "-0", "--check=crc32"],
    &["lz4", "-1"],
    &["lz4", "-9", "-B4", "-BD", "--content-size"],
    &["lz4", "-B5", "-BX"],
    &["lz4", "--no-frame-crc"],
];

/// What a program makes of its input.
fn piped(words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("this test needs {}: {error}", words[0]));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{words:?}");
    output.stdout
}

fn with_rules(rules: DumpRules, input: StreamInput) -> DumpOptions {
    DumpOptions { rules, ..options(input) }
}

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_mysql(&place.repository, options, &now, &Recorder::default())
}

fn ingested(place: &TestRepository, input: StreamInput) -> (StoredTree, IngestReport) {
    let report = ingest(place, options(input)).unwrap();
    (stored_tree(&place.repository, &report.snapshot).unwrap(), report)
}

/// A database of some thousand rows, of which each is another one.
fn filled_server() -> MariaDb {
    let server = MariaDb::start();
    server.run(
        "",
        "CREATE DATABASE shop; USE shop; CREATE TABLE small (id INT); INSERT INTO small VALUES (1), (2);
         CREATE TABLE orders (id INT PRIMARY KEY, customer CHAR(32), note VARCHAR(200), placed DATETIME);
         INSERT INTO orders SELECT seq, MD5(seq DIV 7), CONCAT('order ', seq, ' ', REPEAT(MD5(seq), seq % 4)),
         '2026-01-01' + INTERVAL seq MINUTE FROM seq_1_to_20000",
    );
    server
}

#[test]
fn what_real_compressors_made_is_stored_plain() {
    need(&[("gzip", "gzip"), ("pigz", "pigz"), ("python3", "python3-minimal"), ("zstd", "zstd")]);
    need(&[("bzip2", "bzip2"), ("xz", "xz-utils"), ("lz4", "lz4")]);
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    let (expected, _) = ingested(&place, reader(&plain));
    let file = tempfile::NamedTempFile::new().unwrap();
    for words in COMPRESSORS.iter().chain(&ONLY_UNWRAPPED) {
        let compressed = piped(words, &plain);
        assert!(compressed.len() < plain.len() / 2, "{words:?}");
        std::fs::write(file.path(), &compressed).unwrap();
        let cat = StreamInput::Command(vec!["cat".into(), file.path().into()]);
        for input in [reader(&compressed), StreamInput::File(file.path().into()), cat] {
            let (found, report) = ingested(&place, input);
            assert_eq!(report.snapshot.manifest.status, SnapshotStatus::Complete, "{words:?}");
            let bytes =
                |tree: &StoredTree| tree.iter().map(|(path, it)| (path.clone(), it.1.clone())).collect::<Vec<_>>();
            let told_of_inputs = [&b"_meta/status.json"[..], b"_meta/inputs"];
            let differs = |path: &[u8]| !told_of_inputs.contains(&path) && !path.starts_with(b"_original");
            let relevant = |tree| bytes(tree).into_iter().filter(|(path, _)| differs(path)).collect::<Vec<_>>();
            assert!(relevant(&found) == relevant(&expected), "{words:?} came out as another dump");
            let is_kept = found.keys().any(|path| path.starts_with(b"_original"));
            assert_eq!(is_kept, !ONLY_UNWRAPPED.contains(words), "{words:?}");
        }
    }
    assert_sound(&place.reopen().unwrap());
}

/// The compressed file that a snapshot was made of.
fn rebuilt(place: &TestRepository, snapshot: &Snapshot, name: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    rebuild_original(&place.repository, snapshot, name, &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(file)
}

#[test]
fn the_compressed_file_comes_back_byte_for_byte() {
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    let several = [piped(&["gzip", "-9"], &plain[..700_000]), piped(&["pigz"], &plain[700_000..])].concat();
    let files = COMPRESSORS.iter().map(|words| (words.join(" "), piped(words, &plain)));
    // The last one is like nothing that a program of gzip's family writes.
    let unlike = flate_of_stored_blocks(&plain);
    for (what, compressed) in files.chain([("two files".into(), several), ("stored blocks".into(), unlike)]) {
        let (tree, report) = ingested(&place, reader(&compressed));
        let kept: Vec<_> = tree.iter().filter(|(path, _)| path.starts_with(b"_original/")).collect();
        let [(path, (_, bytes))] = &kept[..] else { panic!("{what}: {} files in _original", kept.len()) };
        println!("{what}: {} of {} bytes", bytes.len(), compressed.len());
        let suffix = if compressed.starts_with(&[0x1f, 0x8b]) { ".gz" } else { ".zst" };
        if what == "zstd -19" {
            assert!(path.as_slice() == b"_original/dump.sql.zst" && *bytes == compressed, "{what}");
        } else {
            assert_eq!(*path, format!("_original/dump.sql{suffix}.recipe").as_bytes(), "{what}");
            assert!(bytes.len() * 20 < compressed.len(), "{what}: {} of {} bytes", bytes.len(), compressed.len());
        }
        assert!(rebuilt(&place, &report.snapshot, None).unwrap() == compressed, "{what} came back as another file");
    }
    assert_sound(&place.reopen().unwrap());
}

/// What `zstd` is told besides a level.
const ZSTD_WAYS: [&[&str]; 5] = [&[], &["--single-thread"], &["-T0"], &["--no-check"], &["--long=23"]];

/// What is kept of a file in `_original`, its name and its bytes, and the file that is made of it again.
fn kept_of(place: &TestRepository, input: StreamInput) -> (String, Vec<u8>, Vec<u8>, IngestReport) {
    let (tree, report) = ingested(place, input);
    let mut kept = tree.into_iter().filter(|(path, _)| path.starts_with(b"_original/"));
    let (path, (_, bytes)) = kept.next().unwrap();
    let file = rebuilt(place, &report.snapshot, None).unwrap();
    (String::from_utf8(path).unwrap(), bytes, file, report)
}

#[test]
fn files_of_zstd_come_back_and_are_stored_once() {
    need(&[("zstd", "zstd")]);
    let (server, place) = (filled_server(), TestRepository::new());
    let small = server.dump(&["--databases", "shop"]);
    server.run(
        "shop",
        "INSERT INTO orders SELECT seq, MD5(seq DIV 7), CONCAT('order ', seq, ' ', REPEAT(MD5(seq), seq % 4)),
         '2026-01-01' + INTERVAL seq MINUTE FROM seq_20001_to_80000",
    );
    let plain = server.dump(&["--databases", "shop"]);
    // Threads begin jobs of 2 and of 8 MiB, at levels 1 and 3.
    assert!(plain.len() > 9 << 20, "{} bytes", plain.len());
    let every_level = (1..=12).map(|level| (level, ZSTD_WAYS[level % ZSTD_WAYS.len()], &small));
    let every_way = [1, 3].into_iter().flat_map(|level| ZSTD_WAYS.map(|way| (level, way, &plain)));
    let from = tempfile::NamedTempFile::new().unwrap();
    for (level, way, text) in every_level.chain(every_way) {
        std::fs::write(from.path(), text).unwrap();
        // Of the last levels more is told otherwise than predicted.
        let part = if level < 10 { 10 } else { 4 };
        let level = format!("-{level}");
        let words = [&["zstd", "-q", "-c", level.as_str()], way].concat();
        let of_file = [&words[..], &[from.path().to_str().unwrap()]].concat();
        for compressed in [piped(&words, text), piped(&of_file, b"")] {
            let (path, recipe, file, _) = kept_of(&place, reader(&compressed));
            println!("{words:?}: {} of {} bytes", recipe.len(), compressed.len());
            assert!(file == compressed, "{words:?} came back as another file");
            assert_eq!(path, "_original/dump.sql.zst.recipe", "{words:?}");
            assert!(recipe.len() * part < compressed.len(), "{words:?}: {} of {}", recipe.len(), compressed.len());
        }
    }
    let stored = |bytes: &[u8]| ingested(&TestRepository::new(), reader(bytes)).1.snapshot.manifest.bytes_stored;
    let plainly = stored(&plain);
    let compressed = piped(&["zstd", "-q"], &plain);
    let wrapped = stored(&compressed);
    println!("plain {plainly} bytes stored, zstd -3 {wrapped}, of {}", compressed.len());
    assert!(wrapped < plainly + compressed.len() as u64 / 50, "{wrapped} bytes stored, plain {plainly}");
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn files_of_zstd_that_are_unlike_any_come_back_too() {
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    let (first, second) = plain.split_at(700_000);
    let several = [piped(&["zstd", "-1"], first), piped(&["zstd", "-6", "--no-check"], second)].concat();
    let (path, recipe, file, _) = kept_of(&place, reader(&several));
    assert!(path.ends_with(".recipe") && file == several && recipe.len() * 20 < several.len());
    // A frame that is to be skipped is none that is told: all behind it stands as it is.
    let behind = [&piped(&["zstd", "-1"], &plain[..900])[..], &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]].concat();
    let skipped = [behind, piped(&["zstd"], &plain[900..])].concat();
    let (path, kept, file, _) = kept_of(&place, reader(&skipped));
    assert!(path == "_original/dump.sql.zst" && kept == skipped && file == skipped);
    // What breaks off, and what was altered where no checksum tells.
    let rules = || DumpRules { keep_incomplete: true, ..DumpRules::default() };
    let unchecked = piped(&["zstd", "--no-check"], &plain);
    for length in [unchecked.len() / 3, unchecked.len() / 2, unchecked.len() - 1] {
        let cut = &unchecked[..length];
        let report = ingest(&place, with_rules(rules(), reader(cut))).unwrap();
        assert!(rebuilt(&place, &report.snapshot, None).unwrap() == cut, "cut at {length}");
    }
    let mut came_back = 0;
    for at in (30..unchecked.len()).step_by(unchecked.len() / 40) {
        let mut flipped = unchecked.clone();
        flipped[at] ^= 1;
        if let Ok(report) = ingest(&place, with_rules(rules(), reader(&flipped))) {
            came_back += 1;
            assert!(rebuilt(&place, &report.snapshot, None).unwrap() == flipped, "flipped at {at}");
        }
    }
    println!("{came_back} flipped files came in, and back");
    assert_sound(&place.reopen().unwrap());
}

/// A file of gzip that does not compress.
fn flate_of_stored_blocks(plain: &[u8]) -> Vec<u8> {
    let script = "import sys, zlib; c = zlib.compressobj(0, zlib.DEFLATED, 31); sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())";
    piped(&["python3", "-c", script], plain)
}

#[test]
fn what_is_kept_of_the_compressed_file_can_be_chosen() {
    let (server, place) = (filled_server(), TestRepository::new());
    let compressed = piped(&["gzip"], &server.dump(&["--databases", "shop"]));
    let file = tempfile::Builder::new().prefix("shop").suffix(".sql.gz").tempfile().unwrap();
    std::fs::write(file.path(), &compressed).unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    let kept = |policy, compressed: StreamInput| {
        let report =
            ingest(&place, with_rules(DumpRules { original: policy, ..DumpRules::default() }, compressed)).unwrap();
        let tree = stored_tree(&place.repository, &report.snapshot).unwrap();
        let kept = tree.into_iter().filter(|(path, _)| path.starts_with(b"_original/"));
        let kept = kept.map(|(path, (_, bytes))| (String::from_utf8(path).unwrap(), bytes)).collect::<Vec<_>>();
        (kept, report.snapshot)
    };
    let named = || StreamInput::File(file.path().into());
    let (files, snapshot) = kept(OriginalPolicy::Keep, named());
    assert!(files == [(format!("_original/{name}"), compressed.clone())]);
    assert!(rebuilt(&place, &snapshot, Some(name.as_bytes())).unwrap() == compressed);
    let (files, snapshot) = kept(OriginalPolicy::Rebuild, named());
    assert_eq!(files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), [format!("_original/{name}.recipe")]);
    assert!(rebuilt(&place, &snapshot, Some(name.as_bytes())).unwrap() == compressed);
    let other = rebuilt(&place, &snapshot, Some(b"other.gz"));
    assert!(matches!(other, Err(Error::NotFound { .. })), "{other:?}");
    let (files, snapshot) = kept(OriginalPolicy::Drop, named());
    assert!(files.is_empty() && matches!(rebuilt(&place, &snapshot, None), Err(Error::NotFound { .. })));

    // What is only unwrapped is kept where that is wanted.
    let xz = piped(&["xz", "-0"], &server.dump(&["--databases", "shop"]));
    let (files, snapshot) = kept(OriginalPolicy::Keep, reader(&xz));
    assert!(files == [("_original/dump.sql.xz".to_string(), xz.clone())]);
    assert!(rebuilt(&place, &snapshot, None).unwrap() == xz);

    // What no recipe makes smaller is kept as it is: here, a compressor that nothing predicts.
    let unpredictable = piped(&["python3", "-c", UNPREDICTABLE], &server.dump(&["--databases", "shop"]));
    let (files, snapshot) = kept(OriginalPolicy::Rebuild, reader(&unpredictable));
    assert!(files == [("_original/dump.sql.gz".to_string(), unpredictable.clone())]);
    assert!(rebuilt(&place, &snapshot, None).unwrap() == unpredictable);
}

/// Compresses without searching for anything but runs.
const UNPREDICTABLE: &str = "import sys, zlib; c = zlib.compressobj(6, zlib.DEFLATED, 31, 9, zlib.Z_HUFFMAN_ONLY); \
                             sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())";

#[test]
fn a_compressed_file_is_written_from_the_command_line() {
    let (server, stage) = (filled_server(), Stage::new());
    let compressed = piped(&["gzip"], &server.dump(&["--databases", "shop"]));
    let (file, again) = (stage.path("shop.sql.gz"), stage.path("again.gz"));
    std::fs::write(&file, &compressed).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", file.to_str().unwrap()]);
    let yesterfs = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository()).args(words).output().unwrap()
    };
    assert!(yesterfs(&["rebuild", "shop"]).stdout == compressed);
    let to = ["rebuild", "shop", "shop.sql.gz", "--output", again.to_str().unwrap()];
    assert!(yesterfs(&to).status.success() && std::fs::read(&again).unwrap() == compressed);
    assert_eq!(yesterfs(&to).status.code(), Some(2), "a file that is there must not be replaced");
    stage.succeed(&["ingest", "mysql", "--source", "shop", "--original", "drop", file.to_str().unwrap()]);
    let missing = yesterfs(&["rebuild", "shop"]);
    assert!(missing.status.code() == Some(2) && missing.stdout.is_empty(), "{missing:?}");
    let small = yesterfs(&["ingest", "mysql", "--source", "shop", "--max-unwrapped", "1K", file.to_str().unwrap()]);
    assert!(
        small.status.code() == Some(6) && String::from_utf8_lossy(&small.stderr).contains("--max-unwrapped"),
        "{small:?}"
    );
}

#[test]
fn a_changed_compressed_dump_costs_what_the_plain_one_does() {
    let server = filled_server();
    let dump = || server.dump(&["--skip-dump-date", "--databases", "shop"]);
    let before = dump();
    server.run("shop", "UPDATE orders SET note = REVERSE(note) WHERE id % 100 = 7");
    let after = dump();
    let stored = |compress: &dyn Fn(&[u8]) -> Vec<u8>| {
        let place = TestRepository::new();
        let [_, second] = [&before, &after].map(|dump| ingested(&place, reader(&compress(dump))).1);
        let tree = stored_tree(&place.repository, &second.snapshot).unwrap();
        let kept = tree.iter().filter(|(path, _)| path.starts_with(b"_original/")).map(|(_, (_, bytes))| bytes.len());
        (second.snapshot.manifest.bytes_stored, kept.sum::<usize>() as u64)
    };
    let (plain, _) = stored(&|dump| dump.to_vec());
    let (compressed, recipe) = stored(&|dump| piped(&["gzip"], dump));
    println!("changed by 1 %: plain {plain} bytes, compressed {compressed}, recipe {recipe}");
    assert!(compressed <= plain + recipe + 2048, "{compressed} bytes, plain {plain}, recipe {recipe}");
}

#[test]
fn compressed_data_that_is_cut_off_is_an_incomplete_dump() {
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    for words in [&["gzip"][..], &["zstd"], &["bzip2", "-1"], &["xz", "-1"], &["lz4", "-B4"]] {
        let compressed = piped(words, &plain);
        for length in (5..compressed.len()).step_by(compressed.len() / 23).chain([compressed.len() - 1]) {
            let cut = &compressed[..length];
            let refused = ingest(&place, options(reader(cut))).err();
            let nothing = format!("is cut off: nothing can be read of its {length} compressed bytes");
            let nothing_came = matches!(&refused, Some(Error::Command { reason, .. }) if *reason == nothing);
            let told = format!("is cut off after {length} bytes");
            let is_told = matches!(&refused, Some(Error::Incomplete { reason, .. }) if reason.contains(&told));
            assert!(is_told || (nothing_came && length < 200 << 10), "{words:?} cut at {length}: {refused:?}");
        }
        let half = &compressed[..compressed.len() / 2];
        let kept =
            ingest(&place, with_rules(DumpRules { keep_incomplete: true, ..DumpRules::default() }, reader(half)))
                .unwrap()
                .snapshot;
        assert_eq!(kept.manifest.status, SnapshotStatus::Incomplete);
        let tree = stored_tree(&place.repository, &kept).unwrap();
        assert!(plain.starts_with(&tree[&b"dump.sql"[..]].1) && tree[&b"dump.sql"[..]].1.len() > plain.len() / 4);
    }
}

#[test]
fn what_cannot_be_unwrapped_is_refused() {
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    let refusal = |bytes: &[u8], limit| {
        let rules = DumpRules { unwrap_limit: limit, keep_incomplete: true, ..DumpRules::default() };
        let options = with_rules(rules, reader(bytes));
        ingest(&place, options).err().unwrap_or_else(|| panic!("it made a snapshot")).to_string()
    };
    for words in [&["gzip"][..], &["zstd"]] {
        let compressed = piped(words, &plain);
        let behind = refusal(&[&compressed[..], b"garbage"].concat(), UnwrapLimit::NoBomb);
        assert!(behind.contains(&format!("at byte {} is not compressed", compressed.len())), "{behind}");
        let mut damaged = compressed.clone();
        let last = damaged.len() - if words == ["gzip"] { 8 } else { 1 };
        damaged[last] ^= 1;
        let checksum = refusal(&damaged, UnwrapLimit::NoBomb);
        assert!(checksum.contains("checksum"), "{checksum}");
        let large = refusal(&compressed, UnwrapLimit::Bytes(plain.len() as u64 - 1));
        assert!(large.contains("--max-unwrapped"), "{large}");
        let enough = with_rules(
            DumpRules { unwrap_limit: UnwrapLimit::Bytes(plain.len() as u64), ..DumpRules::default() },
            reader(&compressed),
        );
        ingest(&place, enough).unwrap();
    }
    for words in [&["bzip2", "-1"][..], &["xz"], &["lz4", "-B4"]] {
        let compressed = piped(words, &plain);
        let behind = refusal(&[&compressed[..], b"garbage"].concat(), UnwrapLimit::NoBomb);
        assert!(behind.contains(&format!("at byte {} is not compressed", compressed.len())), "{behind}");
        let mut damaged = compressed.clone();
        damaged[compressed.len() / 2] ^= 1;
        let told = refusal(&damaged, UnwrapLimit::NoBomb);
        assert!(told.contains("it is damaged before byte"), "{words:?}: {told}");
    }
    let bomb = piped(&["gzip", "-9"], &vec![b'x'; 300 << 20]);
    let refused = refusal(&bomb, UnwrapLimit::NoBomb);
    assert!(refused.contains("looks like a bomb; --max-unwrapped"), "{refused}");
}
