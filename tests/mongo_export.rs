//! Stories of ingesting what `mongoexport` writes: JSON and CSV, from files, commands and standard input.

mod support;

use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use support::mongo::{Dumped, MongoServer, fixture};
use support::mounted::Stage;
use support::repository::TestRepository;
use support::stored::{assert_sound, chunk_starts};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::mongo::ExportForm;
use yesterfs::dump::part_line::CollectionLine;
use yesterfs::error::Error;
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::dump::OriginalPolicy;
use yesterfs::ingest::mongo::{ExportInput, ExportOf, MongoInput, MongoOptions};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::repository::content::ContentBody;
use yesterfs::repository::snapshot::SnapshotStatus;

const CSV: ExportForm = ExportForm::Csv { has_names: true };

/// What the real program wrote.
fn real(name: &str) -> Vec<u8> {
    std::fs::read(fixture("export").join(name)).unwrap()
}

/// The same with `--jsonArray`.
fn array(lines: &[u8]) -> Vec<u8> {
    let documents: Vec<&[u8]> = lines.trim_ascii_end().split(|&byte| byte == b'\n').collect();
    [b"[", &documents.join(&b","[..])[..], b"]\n"].concat()
}

/// The same with `--pretty`.
fn pretty(lines: &[u8]) -> Vec<u8> {
    let documents = lines.trim_ascii_end().split(|&byte| byte == b'\n');
    let pretty = documents.flat_map(|line| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        format!("{value:#}\n").into_bytes()
    });
    pretty.collect()
}

fn reader(bytes: &[u8]) -> StreamInput {
    StreamInput::Reader(Box::new(Cursor::new(bytes.to_vec())))
}

fn shell(line: &str) -> StreamInput {
    StreamInput::Command(["sh", "-c", line].map(Into::into).to_vec())
}

/// A command that prints these bytes.
fn printing(place: &TestRepository, bytes: &[u8], then: &str) -> StreamInput {
    let file = place.path("printed");
    std::fs::write(&file, bytes).unwrap();
    shell(&format!("cat '{}'; {then}", file.display()))
}

fn export(collection: &str, form: Option<ExportForm>, input: StreamInput) -> ExportInput {
    ExportInput {
        name: Some(format!("the {collection}")),
        input,
        of: ExportOf { database: "shop".into(), collection: collection.into(), form },
    }
}

fn options(exports: Vec<ExportInput>) -> MongoOptions {
    MongoOptions {
        common: IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() },
        input: MongoInput::Exports(exports),
        keep_incomplete: false,
        unwrap_limit: UnwrapLimit::NoBomb,
        original: OriginalPolicy::Rebuild,
        threads: 2,
    }
}

impl Dumped {
    /// A fact; nothing where there is none.
    fn told(&self, name: &str) -> &str {
        self.fact(name).unwrap_or_default()
    }
}

#[track_caller]
fn exported(place: &TestRepository, exports: Vec<ExportInput>) -> Dumped {
    Dumped::of(place, options(exports)).unwrap()
}

/// Why an export is refused. Kept nevertheless, nothing of it is lost.
#[track_caller]
fn refused(place: &TestRepository, form: ExportForm, bytes: &[u8]) -> String {
    let input = || vec![export("orders", Some(form), reader(bytes))];
    let Err(Error::Incomplete { reason, .. }) = Dumped::of(place, options(input())) else {
        panic!("it is taken for complete");
    };
    let kept = Dumped::of(place, MongoOptions { keep_incomplete: true, ..options(input()) }).unwrap();
    assert_eq!((kept.manifest.status, kept.told("status_reason")), (SnapshotStatus::Incomplete, reason.as_str()));
    assert!(kept.files[&format!("shop/orders{}", form.suffix())] == bytes);
    reason
}

#[test]
fn exports_of_every_form_are_kept_as_they_are() {
    let place = TestRepository::new();
    let (orders, types, users) = (real("orders.json"), real("types.canonical.json"), real("users.csv"));
    let forms = [
        ("orders.json", ExportForm::Json, orders.clone(), "300", SnapshotStatus::Unverified),
        ("orders.json", ExportForm::Json, array(&orders), "300", SnapshotStatus::Complete),
        ("orders.json", ExportForm::Json, pretty(&orders), "300", SnapshotStatus::Unverified),
        ("types.json", ExportForm::Json, types, "45", SnapshotStatus::Unverified),
        ("users.csv", CSV, users.clone(), "199", SnapshotStatus::Unverified),
        ("users.csv", ExportForm::Csv { has_names: false }, users, "200", SnapshotStatus::Unverified),
    ];
    for (file, form, bytes, documents, status) in forms {
        let collection = file.split('.').next().unwrap();
        let found = exported(&place, vec![export(collection, Some(form), reader(&bytes))]);
        let path = format!("shop/{file}");
        assert!(found.files[&path] == bytes, "{path}");
        let lines = found.text("_meta/collections");
        let line = CollectionLine::parse(lines.trim_end().as_bytes()).unwrap().part;
        assert_eq!(
            (line.length, line.rows.to_string(), line.path),
            (bytes.len() as u64, documents.into(), path.as_bytes())
        );
        assert_eq!(found.told("documents"), documents);
        assert_eq!((found.told("collections"), found.manifest.status), ("1", status), "{path} {form:?}");
        assert!(found.told("consistency").starts_with("none: others may have written"), "{:?}", found.manifest.facts);
        let permissions = |path: &str| found.nodes[path].permissions;
        assert_eq!((permissions("shop"), permissions(&path)), (0o700, 0o600));
    }
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn an_export_is_complete_where_its_command_or_its_array_ends_well() {
    let place = TestRepository::new();
    let orders = real("orders.json");
    let by_command = |bytes: &[u8], then: &str| {
        Dumped::of(&place, options(vec![export("orders", None, printing(&place, bytes, then))]))
    };
    let found = by_command(&orders, "exit 0").unwrap();
    assert_eq!(found.manifest.status, SnapshotStatus::Complete);
    assert!(found.text("_meta/status.json").contains("\"exit_status\": 0"));
    for (bytes, said) in [(&orders[..], "its command failed with exit status: 3"), (b"", "failed with exit status: 3")]
    {
        let error = by_command(bytes, "exit 3").err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    let json = Some(ExportForm::Json);
    // An empty collection, and nothing at all.
    let found = exported(&place, vec![export("orders", json, shell("exit 0"))]);
    assert_eq!((found.manifest.status, found.told("documents")), (SnapshotStatus::Complete, "0"));
    let error = Dumped::of(&place, options(vec![export("orders", json, reader(b""))])).err().unwrap().to_string();
    assert!(error.contains("standard input produced nothing"), "{error}");

    let cut = orders.len() - 100;
    let place_told = format!("shop/orders.json: it ends within a document (at byte {cut})");
    assert_eq!(refused(&place, ExportForm::Json, &orders[..cut]), place_told);
    let array = array(&orders);
    assert!(refused(&place, ExportForm::Json, &array[..array.len() - 2]).contains("its array has no end"));
    let users = real("users.csv");
    assert!(refused(&place, CSV, &users[..users.len() - 1]).contains("its last line has no end"));
    assert!(refused(&place, CSV, &[&users[..], b"too,few\n"].concat()).contains("another number of fields (2)"));
    let error = b"2026-11-26T10:00:00.000+0000\tFailed: not primary\n";
    assert!(refused(&place, ExportForm::Json, &[&orders[..], error].concat()).contains("no JSON object"));
}

#[test]
fn several_exports_make_one_snapshot() {
    let place = TestRepository::new();
    let (orders, users) = (real("orders.json"), real("users.csv"));
    let both = |then: &str| {
        let second = place.path("second");
        std::fs::write(&second, &users).unwrap();
        let second = shell(&format!("cat '{}'; {then}", second.display()));
        vec![export("orders", None, printing(&place, &orders, "true")), export("users", Some(CSV), second)]
    };
    let found = exported(&place, both("true"));
    assert!(found.files["shop/orders.json"] == orders && found.files["shop/users.csv"] == users);
    assert_eq!((found.manifest.status, found.told("documents")), (SnapshotStatus::Complete, "499"));
    assert_eq!(found.text("_meta/collections").lines().count(), 2);
    let error = Dumped::of(&place, options(both("exit 4"))).err().unwrap().to_string();
    assert!(error.contains("\"the users\": its command failed with exit status: 4"), "{error}");
    // One that nobody watched leaves all unverified.
    let mut inputs = both("true");
    inputs.push(export("more", None, reader(b"{}\n")));
    assert_eq!(exported(&place, inputs).manifest.status, SnapshotStatus::Unverified);
    let twice = vec![export("orders", None, reader(b"{}\n")), export("orders", None, reader(b"[]\n"))];
    let error = Dumped::of(&place, options(twice)).err().unwrap().to_string();
    assert!(error.contains("shop/orders.json") && error.contains("two collections make this file"), "{error}");
    let unknown = vec![export("orders", None, reader(b"{}\n")), export("users", None, reader(&users))];
    let error = Dumped::of(&place, options(unknown)).err().unwrap().to_string();
    assert!(error.contains("\"the users\"") && error.contains("--format"), "{error}");
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

#[test]
fn compressed_exports_are_unwrapped() {
    let place = TestRepository::new();
    let orders = array(&real("orders.json"));
    exported(&place, vec![export("orders", None, reader(&orders))]);
    for (program, suffix) in [("gzip", ".gz.recipe"), ("zstd", ".zst.recipe")] {
        let wrapped = piped(&[program, "-c"], &orders);
        // Its first byte is looked for behind the compression.
        let found = exported(&place, vec![export("orders", None, reader(&wrapped))]);
        assert!(found.files["shop/orders.json"] == orders, "{program}");
        assert_eq!((found.manifest.status, found.told("documents")), (SnapshotStatus::Complete, "300"));
        assert!(found.files.contains_key(&format!("_original/shop/orders.json{suffix}")), "{:?}", found.files.keys());
        let input = export("orders", None, reader(&wrapped[..wrapped.len() - 20]));
        let error = Dumped::of(&place, options(vec![input])).err().unwrap().to_string();
        assert!(error.contains("its compressed data is cut off"), "{error}");
    }
}

#[test]
fn nightly_exports_of_a_server_cost_what_changed() {
    let (server, place) = (MongoServer::start(), TestRepository::new());
    server.client(&["fill", "20000"]);
    let night = || export("orders", None, StreamInput::Command(server.client_command(&["export", "orders"])));
    let first = exported(&place, vec![night()]);
    assert_eq!((first.manifest.status, first.told("documents")), (SnapshotStatus::Complete, "20000"));
    server.client(&["change", "1"]);
    let second = exported(&place, vec![night()]);
    println!("{} bytes, then {}", first.manifest.bytes_stored, second.manifest.bytes_stored);
    assert!(second.manifest.bytes_stored < first.manifest.bytes_stored / 50, "{}", second.manifest.bytes_stored);
    let same = exported(&place, vec![night()]);
    assert_eq!(same.nodes["shop/orders.json"].modified, second.nodes["shop/orders.json"].modified);
    // What was exported is what the server has.
    let file = place.path("again.json");
    std::fs::write(&file, &second.files["shop/orders.json"]).unwrap();
    server.client(&["import", file.to_str().unwrap(), "restored"]);
    assert_eq!(server.client(&["compare", "orders", "restored"]), "same");
    std::fs::write(&file, &first.files["shop/orders.json"]).unwrap();
    server.client(&["import", file.to_str().unwrap(), "restored"]);
    assert_eq!(server.client(&["compare", "orders", "restored"]), "different");
}

#[test]
fn chunks_end_between_documents() {
    let place = TestRepository::new();
    let orders = real("orders.json").repeat(4);
    let found = exported(&place, vec![export("orders", None, reader(&orders))]);
    let content = found.nodes["shop/orders.json"].content().unwrap().clone();
    assert!(!matches!(content.body, ContentBody::Inline(_)));
    let starts = chunk_starts(&place.repository, &content).unwrap();
    assert!(starts.len() > 10, "{} chunks", starts.len());
    for start in &starts[1..] {
        assert_eq!(orders[start - 1], b'\n', "at {start}");
    }
}

/// A program of this name that behaves as `mongoexport` and `mongodump` do with `--out`: it writes there what `fixture` has.
fn stand_in(stage: &Stage, name: &str, line: &str) -> String {
    let folder = stage.make_directory("bin");
    let program = folder.join(name);
    std::fs::write(&program, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program.to_str().unwrap().to_string()
}

/// Runs an ingest in the directory of a stage.
fn ingest(stage: &Stage, words: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", "mongo", "--source", "nights"]).args(words);
    command.current_dir(stage.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that takes its own input does not read this one.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The same where it must succeed; gives the paths of the snapshot's collections.
#[track_caller]
fn collections(stage: &Stage, words: &[&str], input: &[u8]) -> String {
    let output = ingest(stage, words, input);
    assert!(output.status.success(), "{words:?}: {output:?}");
    let lines = stage.succeed(&["cat", "nights:/_meta/collections"]);
    let path = |line: &str| CollectionLine::parse(line.as_bytes()).unwrap().part.path.to_vec();
    String::from_utf8(lines.lines().map(path).collect::<Vec<_>>().join(&b' ')).unwrap()
}

/// What it says where it must fail with this exit status.
#[track_caller]
fn failed(stage: &Stage, words: &[&str], code: i32) -> String {
    let output = ingest(stage, words, b"");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_a_command_writes_to_a_file_is_taken_from_there() {
    let stage = Stage::new();
    let orders = fixture("export/orders.json");
    // It writes in the directory in which it runs, and prints only to standard error.
    let writing =
        format!("echo exported 300 records >&2; for out; do true; done; cat '{}' > \"$out\"", orders.display());
    let program = stand_in(&stage, "mongoexport", &writing);
    let words = ["--", &program, "--db", "shop", "--collection", "orders", "--out", "c.json"];
    assert_eq!(collections(&stage, &words, b""), "shop/orders.json");
    assert_eq!(stage.succeed(&["cat", "nights:/shop/orders.json"]).as_bytes(), std::fs::read(&orders).unwrap());
    let status = stage.succeed(&["cat", "nights:/_meta/status.json"]);
    assert!(status.contains("\"status\": \"complete\"") && status.contains("\"exit_status\": 0"), "{status}");
    assert!(stage.path("c.json").exists(), "it is where the command put it");
    // One that prints is taken as it is, whatever runs it.
    let printing = stand_in(&stage, "mongoexport", &format!("cat '{}'", orders.display()));
    let words = ["--", "nice", &printing, "--uri=mongodb://u:secret@host/lake?tls=true", "-c", "orders"];
    assert_eq!(collections(&stage, &words, b""), "lake/orders.json");

    let to_file = |program: &str| ["--", program, "--out", "c.json"].map(str::to_string);
    let fail = |line: &str, code: i32| {
        let words = to_file(&stand_in(&stage, "mongoexport", line));
        failed(&stage, &words.each_ref().map(String::as_str), code)
    };
    // The file of the night before is no export of today.
    assert!(fail("exit 0", 6).contains("ended well, but wrote no"));
    assert!(fail("exit 3", 6).contains("failed with exit status: 3"));
    assert!(fail("echo x; touch c.json", 6).contains("which of both is the dump"));
    let said = fail(&format!("head -c 1000 '{}' > c.json; exit 5", orders.display()), 6);
    assert!(said.contains("its command failed with exit status: 5"), "{said}");
    // A directory, where nothing says otherwise.
    let from = fixture("directory");
    let program = stand_in(&stage, "mongodump", &format!("rm -rf dump; cp -r '{}' dump", from.display()));
    assert!(collections(&stage, &["--", &program, "--db", "shop"], b"").contains("shop/orders.bson"));
    assert!(stage.succeed(&["show", "nights", "--json"]).contains("\"status\":\"complete\""));
    // The same of which nobody saw the end.
    assert!(collections(&stage, &["dump"], b"").contains("shop/orders.bson"));
    let shown = stage.succeed(&["show", "nights", "--json"]);
    assert!(shown.contains("\"status\":\"unverified\""), "{shown}");
    let program = stand_in(&stage, "mongodump", &format!("cp '{}' a.archive", fixture("all.archive").display()));
    assert!(collections(&stage, &["--", &program, "--archive=a.archive"], b"").contains("shop/orders.bson"));
    assert!(stage.succeed(&["ls", "nights:/_original"]).contains("dump.archive"));
}

#[test]
fn databases_collections_and_forms_are_told_by_options_names_and_first_bytes() {
    let stage = Stage::new();
    let (orders, users) = (real("orders.json"), real("users.csv"));
    let folder = stage.make_directory("exports");
    std::fs::write(folder.join("orders.json"), &orders).unwrap();
    std::fs::write(folder.join("users.csv.gz"), piped(&["gzip"], &users)).unwrap();
    std::fs::write(folder.join("notes.txt"), b"no export").unwrap();
    std::fs::write(stage.path("plain"), array(&orders)).unwrap();
    assert_eq!(collections(&stage, &["exports"], b""), "nights/orders.json nights/users.csv");
    assert_eq!(collections(&stage, &["--database", "shop", "exports/users.csv.gz"], b""), "shop/users.csv");
    let files = ["exports/users.csv.gz", "exports/orders.json"];
    assert_eq!(collections(&stage, &files, b""), "nights/orders.json nights/users.csv");
    assert_eq!(collections(&stage, &["--database", "shop", "--collection", "a/b", "plain"], b""), "shop/a%2Fb.json");
    assert_eq!(collections(&stage, &["plain"], b""), "nights/plain.json");
    assert_eq!(collections(&stage, &[], &orders), "nights/nights.json");
    assert_eq!(collections(&stage, &["-"], &piped(&["zstd"], &array(&orders))), "nights/nights.json");
    assert_eq!(collections(&stage, &["--format", "csv", "--collection", "u"], &users), "nights/u.csv");
    let streams = ["--stream", "orders.json=cat exports/orders.json", "--stream", "u.csv=zcat exports/users.csv.gz"];
    assert_eq!(collections(&stage, &streams, b""), "nights/orders.json nights/u.csv");
    let shown = stage.succeed(&["show", "nights", "--json"]);
    assert!(shown.contains("\"status\":\"complete\"") && shown.contains("\"documents\":\"499\""), "{shown}");
    // What is none says how to go on.
    let output = ingest(&stage, &["--collection", "users"], &users);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("no archive of mongodump; --format tells"), "{said}");
    let output = ingest(&stage, &["exports/orders.json"], b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("such dumps have no mark at their end") && said.contains("can run the command"), "{said}");
    let words = ["--collection", "x", "exports/orders.json", "plain"];
    assert!(failed(&stage, &words, 2).contains("--collection is for one export"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_is_lost_of_a_broken_export(
        is_csv: bool, cut: u16, flip: u32, garbage in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let place = TestRepository::new();
        let (name, form) = if is_csv { ("users.csv", CSV) } else { ("types.canonical.json", ExportForm::Json) };
        let mut bytes = real(name);
        bytes.truncate(usize::from(cut) % 3000 + 1);
        bytes.extend(garbage);
        let at = flip as usize % bytes.len();
        bytes[at] ^= 1 << (flip >> 29);
        let input = vec![export("orders", Some(form), reader(&bytes))];
        let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(input) }).unwrap();
        let path = format!("shop/orders{}", form.suffix());
        prop_assert!(kept.files[&path] == bytes);
    }
}
