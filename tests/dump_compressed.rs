//! Stories of compressed dumps: what real compressors made of them is stored as if it had come plain.

mod support;

use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use support::mariadb::MariaDb;
use support::mounted::need;
use support::repository::{TestRepository, now};
use support::stored::{StoredTree, assert_sound, stored_tree};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::DumpOptions;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::SnapshotStatus;

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

fn options(input: StreamInput) -> DumpOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    DumpOptions {
        common,
        input,
        database: None,
        fallback_database: "fallback".into(),
        keep_incomplete: false,
        unwrap_limit: UnwrapLimit::NoBomb,
        threads: 2,
    }
}

fn reader(dump: &[u8]) -> StreamInput {
    StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())))
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
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    let (expected, _) = ingested(&place, reader(&plain));
    let file = tempfile::NamedTempFile::new().unwrap();
    for words in COMPRESSORS {
        let compressed = piped(words, &plain);
        assert!(compressed.len() < plain.len() / 2, "{words:?}");
        std::fs::write(file.path(), &compressed).unwrap();
        let cat = StreamInput::Command(vec!["cat".into(), file.path().into()]);
        for input in [reader(&compressed), StreamInput::File(file.path().into()), cat] {
            let (found, report) = ingested(&place, input);
            assert_eq!(report.snapshot.manifest.status, SnapshotStatus::Complete, "{words:?}");
            let bytes =
                |tree: &StoredTree| tree.iter().map(|(path, it)| (path.clone(), it.1.clone())).collect::<Vec<_>>();
            let differs = |path: &[u8]| !path.starts_with(b"_meta/status");
            let relevant = |tree| bytes(tree).into_iter().filter(|(path, _)| differs(path)).collect::<Vec<_>>();
            assert!(relevant(&found) == relevant(&expected), "{words:?} came out as another dump");
        }
    }
    assert_sound(&place.reopen().unwrap());
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
        second.snapshot.manifest.bytes_stored
    };
    let plain = stored(&|dump| dump.to_vec());
    for words in [&["gzip"][..], &["zstd"]] {
        let compressed = stored(&|dump| piped(words, dump));
        println!("{words:?}: {compressed} bytes, plain {plain}");
        assert!(compressed <= plain + 512, "{words:?}: {compressed} bytes, plain {plain}");
    }
}

#[test]
fn compressed_data_that_is_cut_off_is_an_incomplete_dump() {
    let (server, place) = (filled_server(), TestRepository::new());
    let plain = server.dump(&["--databases", "shop"]);
    for words in [&["gzip"][..], &["zstd"]] {
        let compressed = piped(words, &plain);
        for length in (5..compressed.len()).step_by(compressed.len() / 23).chain([compressed.len() - 1]) {
            let cut = &compressed[..length];
            let refused = ingest(&place, options(reader(cut))).err();
            let nothing_came = matches!(&refused, Some(Error::Command { reason, .. }) if reason == "produced nothing");
            let told = format!("is cut off after {length} bytes");
            let is_told = matches!(&refused, Some(Error::Incomplete { reason, .. }) if reason.contains(&told));
            assert!(is_told || (nothing_came && length < 200 << 10), "{words:?} cut at {length}: {refused:?}");
        }
        let half = &compressed[..compressed.len() / 2];
        let kept = ingest(&place, DumpOptions { keep_incomplete: true, ..options(reader(half)) }).unwrap().snapshot;
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
        let options = DumpOptions { unwrap_limit: limit, keep_incomplete: true, ..options(reader(bytes)) };
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
        let enough =
            DumpOptions { unwrap_limit: UnwrapLimit::Bytes(plain.len() as u64), ..options(reader(&compressed)) };
        ingest(&place, enough).unwrap();
    }
    let bomb = piped(&["gzip", "-9"], &vec![b'x'; 300 << 20]);
    let refused = refusal(&bomb, UnwrapLimit::NoBomb);
    assert!(refused.contains("looks like a bomb; --max-unwrapped"), "{refused}");
}
