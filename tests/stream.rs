//! Stories of ingesting what commands print: only a command that ended well makes a snapshot.

mod support;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::repository::{TestRepository, now};
use support::stored::{StoredTree, assert_sound, stored_tree};
use support::watcher::Watcher;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::{Counters, Monitor, Recorder};
use yesterfs::repository::content::{ChunkClass, Content};
use yesterfs::repository::node::NodeKind;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotStatus};

fn command(name: &str, words: &[&str]) -> StreamSpec {
    let words = words.iter().map(OsString::from).collect();
    StreamSpec { name: name.into(), input: StreamInput::Command(words) }
}

fn shell(name: &str, line: &str) -> StreamSpec {
    StreamSpec { name: name.into(), input: StreamInput::Shell(line.into()) }
}

fn reader(name: &str, reader: impl Read + Send + 'static) -> StreamSpec {
    StreamSpec { name: name.into(), input: StreamInput::Reader(Box::new(reader)) }
}

fn options(streams: Vec<StreamSpec>, expect_end: Option<&str>) -> StreamOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    StreamOptions { common, streams, expect_end: expect_end.map(str::to_string), threads: 2 }
}

fn ingest_watched(place: &TestRepository, streams: Vec<StreamSpec>, monitor: &dyn Monitor) -> Result<IngestReport> {
    ingest_streams(&place.repository, options(streams, None), &now, monitor)
}

fn ingest(place: &TestRepository, streams: Vec<StreamSpec>) -> Result<StoredTree> {
    let report = ingest_watched(place, streams, &Recorder::default())?;
    stored_tree(&place.repository, &report.snapshot)
}

/// Asserts that it failed by the command, with these words, and left no snapshot.
#[track_caller]
fn assert_fails(place: &TestRepository, streams: Vec<StreamSpec>, words: &[&str]) {
    let before = place.reopen().unwrap().catalog().snapshots().count();
    let Err(error) = ingest(place, streams) else { panic!("it was to fail") };
    assert!(matches!(error, Error::Command { .. }), "{error:?}");
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)) && message.contains("no snapshot"), "{message}");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), before, "it left a snapshot");
}

#[test]
fn what_a_command_prints_becomes_a_file() {
    let place = TestRepository::new();
    let report = ingest_watched(
        &place,
        vec![command("dump.sql", &["printf", "%s;\\n", "CREATE TABLE t", "INSERT"])],
        &Recorder::default(),
    )
    .unwrap();
    let manifest = &report.snapshot.manifest;
    assert_eq!((manifest.kind, manifest.status), (SnapshotKind::Stream, SnapshotStatus::Complete));
    assert_eq!((manifest.files, manifest.problems), (1, 0));
    assert_eq!(manifest.origin, b"printf %s;\\n CREATE TABLE t INSERT");
    let tree = stored_tree(&place.reopen().unwrap(), &report.snapshot).unwrap();
    let (node, bytes) = &tree[&b"dump.sql"[..]];
    assert_eq!(bytes, b"CREATE TABLE t;\nINSERT;\n");
    // Dumps hold what permissions guarded in the database.
    assert_eq!((node.permissions, tree[&b""[..]].0.permissions), (0o600, 0o700));
    assert_eq!(tree.len(), 2);
}

#[test]
fn its_first_bytes_tell_how_a_stream_is_cut_and_that_stays() {
    let place = TestRepository::new();
    let streams = || vec![reader("noise", Cursor::new(support::noise(3, 100_000))), shell("text", "seq 30000")];
    let class = |tree: &StoredTree, name: &[u8]| match &tree[name].0.kind {
        NodeKind::File { content, .. } => content.class,
        _ => panic!("no file"),
    };
    let first = ingest(&place, streams()).unwrap();
    assert_eq!((class(&first, b"noise"), class(&first, b"text")), (ChunkClass::Large, ChunkClass::Small));
    // Or all of it would be stored anew.
    let zero_first = shell("text", r"printf '\0'; seq 30000");
    assert_eq!(class(&ingest(&place, vec![zero_first]).unwrap(), b"text"), ChunkClass::Small);
}

#[test]
fn a_source_that_was_of_another_kind_is_told() {
    let place = TestRepository::new();
    let notes = |streams| {
        let recorder = Recorder::default();
        ingest_watched(&place, streams, &recorder).unwrap();
        recorder.notes.into_inner().unwrap()
    };
    let streams = || vec![shell("dump.sql", "echo dump")];
    assert!(notes(streams()).is_empty() && notes(streams()).is_empty());
    fs::create_dir(place.path("source")).unwrap();
    let directory = place.ingest(&place.path("source"), "shop");
    assert_eq!(directory.snapshot.manifest.kind, SnapshotKind::Directory);
    let told = notes(streams());
    assert_eq!(told, ["the last snapshot of shop is of kind directory, this one will be of kind stream"]);
    assert!(notes(streams()).is_empty());
}

/// The content of the one stream, and what it holds.
fn content_of(tree: &StoredTree) -> (Content, Vec<u8>) {
    let (node, bytes) = &tree[&b"it"[..]];
    let NodeKind::File { content, .. } = &node.kind else { panic!("no file") };
    (content.clone(), bytes.clone())
}

#[test]
fn a_long_file_is_cut_as_if_it_came_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let row = |number: u32| format!("({number},'{}',{}),\n", number.wrapping_mul(2_654_435_761), number % 97);
    let text: Vec<u8> = (0..400_000).flat_map(|number| row(number).into_bytes()).collect();
    let noise = support::noise(5, 9 << 20);
    // Around where a thread of its own begins to read, and around the edges of what it reads at once.
    let lengths = [(4 << 20) - 1, 4 << 20, (4 << 20) + 1, (4 << 20) + (512 << 10), 9 << 20];
    for (bytes, length) in [&text, &noise].into_iter().flat_map(|bytes| lengths.map(|length| (bytes, length))) {
        let changed = [&bytes[..length / 3], b"something new", &bytes[length / 3 + 4000..length]].concat();
        let (by_pipe, by_file) = (TestRepository::new(), TestRepository::new());
        for version in [&bytes[..length], &changed] {
            fs::write(&path, version).unwrap();
            let piped = ingest(&by_pipe, vec![command("it", &["cat", path.to_str().unwrap()])]).unwrap();
            let mut standard = File::open(&path).unwrap();
            let inputs = [StreamInput::File(path.clone()), StreamInput::Standard(standard.try_clone().unwrap())];
            for input in inputs {
                let read = content_of(&ingest(&by_file, vec![StreamSpec { name: "it".into(), input }]).unwrap());
                assert!(read.1 == version, "{length} bytes came back as {}", read.1.len());
                assert!(read.0 == content_of(&piped).0, "{length} bytes are cut otherwise");
            }
            // Whoever else has it open finds it read.
            assert_eq!(standard.stream_position().unwrap(), version.len() as u64);
        }
    }
}

#[test]
fn the_exit_status_decides() {
    let place = TestRepository::new();
    // It printed all that it should, and still failed.
    assert_fails(&place, vec![shell("dump.sql", "echo everything; exit 3")], &["echo everything", "exit status: 3"]);
    assert_fails(&place, vec![command("dump.sql", &["false"])], &["\"false\"", "exit status: 1"]);
    // It closed its output long before it failed.
    assert_fails(&place, vec![shell("dump.sql", "echo data; exec >&-; sleep 0.3; exit 4")], &["exit status: 4"]);
    assert_fails(&place, vec![shell("dump.sql", "echo data; kill -TERM $$")], &["signal: 15"]);
    assert_fails(&place, vec![shell("dump.sql", "head -c 3000000 /dev/zero; kill -KILL $$")], &["signal: 9"]);
    // Nothing is not a dump, however well it ended.
    assert_fails(&place, vec![command("dump.sql", &["true"])], &["\"true\"", "produced nothing"]);
    assert_fails(&place, vec![reader("dump.sql", io::empty())], &["standard input", "produced nothing"]);
    assert_fails(&place, vec![command("dump.sql", &["no-such-program-here"])], &["no-such-program-here", "started"]);
    assert_fails(&place, vec![command("dump.sql", &[])], &["empty"]);
    assert_fails(&place, vec![shell("dump.sql", "no-such-program-here")], &["exit status: 127"]);
    // A dump that broke off in front of the program that compresses it.
    assert_fails(&place, vec![shell("dump.gz", "(echo half; exit 6) | cat")], &["exit status: 6"]);
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn standard_input_is_unverified_unless_its_end_is_known() {
    let place = TestRepository::new();
    let dump = b"CREATE TABLE t;\n-- Dump completed on 2026-11-22\n".to_vec();
    let status = |dump: &[u8], expect_end| {
        let streams = vec![reader("dump.sql", Cursor::new(dump.to_vec()))];
        let report = ingest_streams(&place.repository, options(streams, expect_end), &now, &Recorder::default());
        report.unwrap().snapshot.manifest.status
    };
    assert_eq!(status(&dump, None), SnapshotStatus::Unverified);
    assert_eq!(status(&dump, Some("-- Dump completed")), SnapshotStatus::Complete);
    assert_eq!(status(&dump, Some("2026-11-22")), SnapshotStatus::Complete);
    // Cut off: its bytes are kept, but nobody vouches for them.
    assert_eq!(status(&dump[..20], Some("-- Dump completed")), SnapshotStatus::Unverified);
    assert_eq!(status(&[&dump[..], b"INSERT"].concat(), Some("-- Dump completed")), SnapshotStatus::Unverified);
    // The end is found across the pieces in which a stream is read.
    let long = [&b"x\n".repeat(500_000)[..], &dump].concat();
    assert_eq!(status(&long, Some("-- Dump completed")), SnapshotStatus::Complete);
}

#[test]
fn a_command_that_ends_otherwise_than_expected_failed() {
    let place = TestRepository::new();
    let run = |line: &str| {
        let options = options(vec![shell("dump.sql", line)], Some("-- Dump completed"));
        ingest_streams(&place.repository, options, &now, &Recorder::default())
    };
    assert_eq!(run("echo x; echo '-- Dump completed'").unwrap().snapshot.manifest.status, SnapshotStatus::Complete);
    let error = run("echo '-- Dump completed'; echo x").err().unwrap();
    assert!(matches!(&error, Error::Command { .. }) && error.to_string().contains("does not end with"), "{error}");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 1);
    // Everything ends with nothing.
    let empty = options(vec![shell("dump.sql", "echo x")], Some(" \n"));
    let error = ingest_streams(&place.repository, empty, &now, &Recorder::default()).err().unwrap();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[test]
fn several_streams_make_one_snapshot_or_none() {
    let place = TestRepository::new();
    let tree = ingest(
        &place,
        vec![
            shell("z.sql", "head -c 2000000 /dev/zero | tr '\\0' z"),
            command("a.sql", &["echo", "a"]),
            reader("m.sql", Cursor::new(support::noise(1, 500_000))),
        ],
    )
    .unwrap();
    assert_eq!(
        tree.keys().map(|path| String::from_utf8_lossy(path)).collect::<Vec<_>>(),
        ["", "a.sql", "m.sql", "z.sql"]
    );
    assert!(tree[&b"z.sql"[..]].1 == b"z".repeat(2_000_000) && tree[&b"m.sql"[..]].1 == support::noise(1, 500_000));

    assert_fails(&place, vec![shell("a", "echo well"), shell("b", "echo badly; exit 9")], &["exit status: 9"]);
    assert_fails(&place, vec![shell("a", "echo well"), command("b", &["true"])], &["produced nothing"]);
    for names in [&["same", "same"][..], &[""], &["a/b"], &[".."], &["nul\0"], &[&"n".repeat(256)]] {
        let streams = names.iter().map(|name| shell(name, "echo x")).collect();
        assert!(matches!(ingest(&place, streams), Err(Error::Invalid { what: "stream name", .. })), "{names:?}");
    }
    assert!(matches!(ingest(&place, Vec::new()), Err(Error::Invalid { .. })));
}

/// Processes whose command line is exactly this.
fn running(words: &[&str]) -> usize {
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let command_lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    command_lines.filter(|line| *line == wanted).count()
}

#[test]
fn one_that_fails_ends_the_others_at_once() {
    let place = TestRepository::new();
    // A number that nobody else sleeps.
    let sleeps = ["sleep", "61.0625"];
    let started = Instant::now();
    assert_fails(
        &place,
        vec![
            command("silent", &sleeps),
            shell("busy", "while :; do echo x; done"),
            shell("silent-at-its-end", "echo x; exec >&-; exec sleep 61.0625"),
            shell("failing", "sleep 0.2; echo x; exit 5"),
        ],
        &["exit status: 5"],
    );
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    assert_eq!(running(&sleeps), 0, "they are still running");
}

#[test]
fn a_cancelled_ingest_ends_its_commands() {
    let place = TestRepository::new();
    let sleeps = ["sleep", "62.0625"];
    let watcher = Watcher::new(|recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes) >= 2 {
            recorder.cancelled.store(true, Ordering::Relaxed);
        }
    });
    let started = Instant::now();
    let streams = vec![command("silent", &sleeps), command("quick", &["echo", "x"])];
    let result = ingest_watched(&place, streams, &watcher);
    assert!(matches!(result.err(), Some(Error::Interrupted)));
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    assert_eq!(running(&sleeps), 0, "it is still running");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 0);
}

/// Waits until nothing with this command line runs any more.
#[track_caller]
fn assert_ends(words: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while running(words) > 0 {
        assert!(Instant::now() < deadline, "{words:?} is still running");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_a_command_started_ends_with_it() {
    let place = TestRepository::new();
    let is_written = |recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes) >= 2 {
            recorder.cancelled.store(true, Ordering::Relaxed);
        }
    };
    // The user stops it. The second line does not end when asked to.
    for line in ["sleep 63.0625 & echo x; wait", "trap '' TERM; sleep 63.0625 & echo x; wait; wait; exec sleep 63.0625"]
    {
        let started = Instant::now();
        let result = ingest_watched(&place, vec![shell("dump.sql", line)], &Watcher::new(is_written));
        assert!(matches!(result.err(), Some(Error::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
        assert_ends(&["sleep", "63.0625"]);
    }
    // It fails, and leaves something behind.
    assert_fails(&place, vec![shell("dump.sql", "sleep 64.0625 >&- & echo x; exit 5")], &["exit status: 5"]);
    assert_ends(&["sleep", "64.0625"]);
    // Another stream fails.
    let streams = vec![shell("a", "sleep 65.0625 | cat & echo x; wait"), shell("b", "sleep 0.3; exit 7")];
    assert_fails(&place, streams, &["exit status: 7"]);
    assert_ends(&["sleep", "65.0625"]);
}

#[test]
fn what_a_command_leaves_behind_that_ended_well_is_left_alone() {
    let place = TestRepository::new();
    let tree = ingest(&place, vec![shell("number", "sleep 66.0625 >&- & echo $!")]).unwrap();
    let number: i32 = String::from_utf8(tree[&b"number"[..]].1.clone()).unwrap().trim().parse().unwrap();
    assert_eq!(running(&["sleep", "66.0625"]), 1);
    let process = rustix::process::Pid::from_raw(number).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn as_much_as_last_time_is_expected() {
    let place = TestRepository::new();
    let expected = |line: &str| {
        let recorder = Recorder::default();
        ingest_watched(&place, vec![shell("dump.sql", line)], &recorder).unwrap();
        Counters::get(&recorder.counters.bytes_expected)
    };
    assert_eq!(expected("printf 12345"), 0);
    assert_eq!(expected("printf 1234567"), 5);
    assert_eq!(expected("printf 1"), 7);
}

#[test]
fn a_reader_that_fails_makes_no_snapshot() {
    struct Broken(u32);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                2..5 => {
                    buffer[..1000].fill(b'x');
                    Ok(1000)
                }
                _ => Err(io::Error::other("the line is dead")),
            }
        }
    }
    let place = TestRepository::new();
    assert_fails(&place, vec![reader("dump.sql", Broken(0))], &["standard input", "the line is dead"]);
}

#[test]
fn a_second_dump_stores_only_what_is_new() {
    let place = TestRepository::new();
    let line = |number: u32| format!("INSERT INTO t VALUES ({number}, '{:x}');\n", number.wrapping_mul(2_654_435_761));
    let dump: String = (0..200_000).map(line).collect();
    let new_bytes = |dump: String| {
        let recorder = Recorder::default();
        ingest_watched(&place, vec![reader("dump.sql", Cursor::new(dump))], &recorder).unwrap();
        Counters::get(&recorder.counters.bytes_new)
    };
    assert!(new_bytes(dump.clone()) > dump.len() as u64);
    assert!(new_bytes(dump.clone()) < 2000, "only the page with the time of the file");
    let grown = dump + &line(7) + &line(8);
    // The last chunk, and one chain of pages.
    assert!(new_bytes(grown) < 100_000);
}

#[test]
fn huge_output_takes_little_memory() {
    const BYTES: u64 = 3_000_000_000;
    const RANDOM_BYTES: u64 = 300_000_000;
    let place = TestRepository::new();
    // Most of it is the same over and over, the rest never comes again.
    let line = format!("head -c {} /dev/zero; head -c {RANDOM_BYTES} /dev/urandom", BYTES - RANDOM_BYTES);
    // A process of its own, of which the kernel tells the peak as long as it runs.
    let mut child = Command::new(env!("CARGO_BIN_EXE_yesterfs"))
        .args(["--quiet", "--repo"])
        .arg(place.path("repo"))
        .args(["ingest", "stream", "--source", "shop", "--stream"])
        .arg(format!("huge={line}"))
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let status = fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:")) {
            peak_bytes = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success());
    assert!((1 << 20..200 << 20).contains(&peak_bytes), "it took {peak_bytes} bytes");
    let repository = place.reopen().unwrap();
    let manifest = repository.find("shop", now()).unwrap().manifest.clone();
    assert_eq!(manifest.root.totals().bytes, BYTES);
    let new = RANDOM_BYTES..RANDOM_BYTES + 30_000_000;
    assert!(new.contains(&manifest.bytes_new), "{} bytes are new", manifest.bytes_new);
}
