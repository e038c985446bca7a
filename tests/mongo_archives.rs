//! Stories of several archives of MongoDB in one snapshot, each of databases of its own.

mod support;

use std::fs;
use std::io::{Cursor, Write};
use std::process::{Command, Output, Stdio};

use support::mongo::{
    Collection, Dumped, MongoServer, archive_of_each, archives, collection, document, files_of, fixture, number, packed,
};
use support::mounted::Stage;
use support::repository::TestRepository;
use support::server::{refused, restore_into, restored};
use support::stored::assert_sound;
use yesterfs::compressed::UnwrapLimit;
use yesterfs::error::Error;
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::dump::OriginalPolicy;
use yesterfs::ingest::mongo::{MongoInput, MongoOptions};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::SnapshotStatus;

fn options(input: MongoInput) -> MongoOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    MongoOptions {
        common,
        input,
        keep_incomplete: false,
        unwrap_limit: UnwrapLimit::NoBomb,
        original: OriginalPolicy::Rebuild,
        threads: 2,
    }
}

/// Archives by their names.
fn named(inputs: &[(&str, &[u8])]) -> MongoInput {
    let reader = |bytes: &[u8]| StreamInput::Reader(Box::new(Cursor::new(bytes.to_vec())));
    archives(inputs.iter().map(|&(name, bytes)| (Some(name), reader(bytes))).collect())
}

fn piped(program: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// A file that the newest snapshot was made of.
fn rebuilt(place: &TestRepository, name: &str) -> Vec<u8> {
    let snapshot = place.repository.catalog().snapshots().next_back().unwrap().clone();
    let mut bytes = Vec::new();
    rebuild_original(&place.repository, &snapshot, Some(name.as_bytes()), &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    bytes
}

/// The lines about inputs.
fn inputs_of(found: &Dumped) -> Vec<serde_json::Value> {
    found.text("_meta/inputs").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_archive_for_each_database_makes_one_snapshot_of_all() {
    let (server, place) = (MongoServer::start(), TestRepository::new());
    server.client(&["fill", "3000"]);
    let directory = server.dump("dump", &[]);
    let each = archive_of_each(&directory);
    let [other, shop] = ["other-db", "shop"].map(|database| each[database].clone());
    let compressed = piped("gzip", &shop);
    let found =
        Dumped::of(&place, options(named(&[("other.archive", &other), ("shop.archive.gz", &compressed)]))).unwrap();
    assert_eq!(found.manifest.status, SnapshotStatus::Complete);
    let (mut members, mut expected) = (found.members(), files_of(&directory));
    // Each tells the version of the program that packed it.
    assert!(members.remove("prelude.json") != expected.remove("prelude.json"));
    assert_eq!(members, expected);
    assert_eq!(found.fact("documents"), Some((3000 + 1000 + 25 + 10 + 3 + 100).to_string().as_str()));
    assert!(found.fact("consistency").unwrap().starts_with("none: it was dumped without --oplog"));

    // Each is there as it came, and the parts are one behind the other.
    assert!(found.files["_original/other.archive"] == other && found.files["_original/shop.archive"] == shop);
    assert!(found.files.contains_key("_meta/frame") && found.files.contains_key("_meta/frame-2"));
    assert!(rebuilt(&place, "shop.archive.gz") == compressed && rebuilt(&place, "other.archive") == other);
    assert!(found.joined_parts() == [&other[..], &shop].concat());
    let inputs = inputs_of(&found);
    assert_eq!((&inputs[1]["name"], &inputs[1]["status"]), (&"shop.archive.gz".into(), &"complete".into()));
    assert_eq!((&inputs[1]["start"], &inputs[1]["length"]), (&other.len().into(), &shop.len().into()));
    let coordinates: serde_json::Value = serde_json::from_str(&found.text("_meta/coordinates.json")).unwrap();
    assert_eq!(coordinates.as_array().unwrap().len(), 2, "{coordinates}");

    // In another order, and under names that others have, they cost nothing.
    let again = Dumped::of(&place, options(named(&[("a", &shop), ("a", &other)]))).unwrap();
    assert!(again.files["_original/a"] == shop && again.files["_original/2-a"] == other);
    assert!(again.manifest.bytes_stored < 16 << 10, "{}", again.manifest.bytes_stored);
    let same = |path: &str| found.nodes[path].modified == again.nodes[path].modified;
    assert!(same("shop") && same("other-db/things.bson"));
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn what_the_real_program_wrote_goes_together_with_others() {
    let place = TestRepository::new();
    let (real, compressed) = ["all.archive", "all.archive.gz"].map(|name| fs::read(fixture(name)).unwrap()).into();
    let trade = packed(&[collection("trade", "deals", document(&[number("_id", 1)]))]);
    for (inputs, originals) in [
        (named(&[("all.archive", &real), ("trade.archive", &trade)]), ["all.archive", "trade.archive"]),
        (named(&[("trade.archive", &trade), ("all.archive.gz", &compressed)]), ["trade.archive", "all.archive.gz"]),
    ] {
        let found = Dumped::of(&place, options(inputs)).unwrap();
        let mut members = found.members();
        assert!(members.remove("trade/deals.bson").is_some() && members.remove("trade/deals.metadata.json").is_some());
        let mut expected = files_of(&fixture("directory"));
        // That of the first.
        let [prelude, of_real] = [members.remove("prelude.json"), expected.remove("prelude.json")];
        assert_eq!(prelude == of_real, originals[0] == "all.archive");
        assert_eq!(members, expected);
        for (name, bytes) in [("all.archive", &real), ("all.archive.gz", &compressed), ("trade.archive", &trade)] {
            if originals.contains(&name) {
                assert!(rebuilt(&place, name) == *bytes, "{name} is another one");
            }
        }
        assert_eq!(
            (found.fact("documents"), found.fact("server_version")),
            (Some("2036"), None),
            "what differs is no fact"
        );
        let coordinates = found.text("_meta/coordinates.json");
        assert!(coordinates.contains("\"8.2.11\"") && coordinates.contains("\"8.0.1\""), "{coordinates}");
    }
}

#[test]
fn a_database_in_two_archives_is_refused() {
    let place = TestRepository::new();
    let one = |name: &str| packed(&[collection("shop", name, document(&[number("_id", 1)]))]);
    let (orders, users) = (one("orders"), one("users"));
    let elsewhere = packed(&[collection("else", "orders", Vec::new())]);
    let inputs = [("else.archive", &elsewhere[..]), ("a.archive", &orders), ("b.archive", &users)];
    let error = Dumped::of(&place, options(named(&inputs))).err().unwrap();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    let said = error.to_string();
    assert_eq!(said, "database \"shop\" is not usable: both \"a.archive\" and \"b.archive\" dump it");
    // Which is not one of the databases of another name.
    assert!(Dumped::of(&place, options(named(&inputs[..2]))).is_ok());
}

#[test]
fn one_archive_that_is_not_whole_makes_all_of_them_incomplete() {
    let place = TestRepository::new();
    let of = |database: &str| {
        let documents = (0..40).flat_map(|at| document(&[number("_id", at)])).collect();
        packed(&[collection(database, "orders", documents)])
    };
    let (north, south) = (of("north"), of("south"));
    let cut = &north[..north.len() - 50];
    let inputs = || named(&[("south.archive", &south), ("north.archive", cut)]);
    let Err(Error::Incomplete { input, reason }) = Dumped::of(&place, options(inputs())) else { panic!("taken") };
    assert!(input == "north.archive" && reason.starts_with("it ends "), "{input}: {reason}");
    let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(inputs()) }).unwrap();
    assert_eq!(kept.manifest.status, SnapshotStatus::Incomplete);
    assert_eq!(kept.fact("status_reason"), Some(format!("\"north.archive\": {reason}").as_str()));
    let inputs = inputs_of(&kept);
    assert_eq!((&inputs[0]["status"], &inputs[1]["status"]), (&"complete".into(), &"incomplete".into()));
    assert!(kept.files["_original/north.archive"] == cut && kept.files["_original/south.archive"] == south);
    assert!(kept.joined_parts() == [&south, cut].concat());

    // A command that fails is not whole either, whatever it printed.
    let file = place.path("north.archive");
    fs::write(&file, &north).unwrap();
    let failing = || {
        let line = format!("cat '{}'; exit 3", file.display());
        archives(vec![
            (Some("south"), StreamInput::Reader(Box::new(Cursor::new(south.clone())))),
            (Some("north"), StreamInput::Shell(line)),
        ])
    };
    let Err(Error::Incomplete { input, reason }) = Dumped::of(&place, options(failing())) else { panic!("taken") };
    assert_eq!((&input[..], &reason[..]), ("north", "its command failed with exit status: 3"));
    let kept = Dumped::of(&place, MongoOptions { keep_incomplete: true, ..options(failing()) }).unwrap();
    assert_eq!(inputs_of(&kept)[1]["exit_status"], 3);
}

#[test]
fn operations_of_two_archives_are_both_kept() {
    let place = TestRepository::new();
    let real = fs::read(fixture("oplog/oplog.bson")).unwrap();
    let oplog = |bytes: &[u8]| {
        let oplog = collection("", "oplog", bytes.to_vec());
        Collection { metadata: String::new(), kind: "", ..oplog }
    };
    let edges = support::mongo::edges(&real);
    let fewer = &real[..edges[edges.len() - 2]];
    let of = |database: &str, operations: &[u8]| {
        packed(&[collection(database, "orders", document(&[number("_id", 1)])), oplog(operations)])
    };
    let (north, south) = (of("north", &real), of("south", fewer));
    let found = Dumped::of(&place, options(named(&[("north", &north), ("south", &south)]))).unwrap();
    assert!(found.files["oplog.bson"] == real && found.files["_meta/oplog-2.bson"] == fewer);
    assert!(found.joined_parts() == [&north[..], &south].concat());
    assert!(found.files["_original/south"] == south);
    assert_eq!(found.fact("documents"), Some("2"), "operations are no documents");
    let coordinates: serde_json::Value = serde_json::from_str(&found.text("_meta/coordinates.json")).unwrap();
    let last = |at: usize| coordinates[at]["oplog_last"].as_str().unwrap().to_string();
    assert!(last(0) > last(1), "{coordinates}");
    let consistency = format!("at {} of the oplog, once _meta/oplog-2.bson was replayed", last(1));
    assert_eq!(coordinates[1]["consistency"], consistency.as_str());
    assert_eq!((found.fact("oplog_last"), found.fact("consistency")), (Some(last(0).as_str()), None));
}

fn yesterfs(stage: &Stage, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", "mongo", "--source", "shop"]).args(words);
    command.output().unwrap()
}

#[test]
fn archives_are_named_as_files_a_directory_or_streams_and_loaded_again() {
    let (server, stage) = (MongoServer::start(), Stage::new());
    server.client(&["fill", "500"]);
    let directory = server.dump("dump", &[]);
    let before = files_of(&directory);
    let folder = stage.path("archives");
    fs::create_dir(&folder).unwrap();
    for (database, bytes) in archive_of_each(&directory) {
        fs::write(folder.join(format!("{database}.archive")), bytes).unwrap();
    }
    let zipped = Command::new("gzip").arg(folder.join("shop.archive")).status().unwrap();
    assert!(zipped.success());
    fs::write(folder.join("notes.txt"), "no dump").unwrap();
    let folder_name = folder.to_str().unwrap();
    let [other, shop] =
        ["other-db.archive", "shop.archive.gz"].map(|name| folder.join(name).to_str().unwrap().to_string());
    let streams = [format!("other=cat '{other}'"), format!("shop.archive=zcat '{shop}'")];
    let by_directory: &[&str] = &[folder_name];
    let by_name: &[&str] = &["--format", "archive", &shop, &other];
    let by_stream: &[&str] = &["--stream", &streams[0], "--stream", &streams[1]];
    for words in [by_stream, by_name, by_directory] {
        let output = yesterfs(&stage, words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told.contains("not taken from") && told.contains("notes.txt"), words == by_directory, "{told}");
        assert_eq!(stage.succeed(&["cat", "shop:/_meta/inputs"]).lines().count(), 2, "{words:?}");
        let listed = stage.succeed(&["show", "shop", "--tables"]);
        assert!(listed.contains("shop.orders") && listed.contains("other-db.things"), "{listed}");
    }
    let text = stage.succeed(&["show", "shop", "--json"]);
    assert!(text.contains("\"status\":\"complete\""), "{text}");

    let other_server = MongoServer::start();
    restored(&restore_into(&stage, &other_server.url(), &[]));
    let mut again = files_of(&other_server.dump("again", &[]));
    for (path, bytes) in before.iter().filter(|(path, _)| path.ends_with(".bson")) {
        assert!(again.remove(path).as_ref() == Some(bytes), "{path} came back as another one");
    }
    assert!(again.keys().all(|path| !path.ends_with(".bson")), "{:?}", again.keys());

    // An export among them is none.
    let export = folder.join("queue.json");
    fs::write(&export, "{\"_id\":1}\n").unwrap();
    let said = refused(&yesterfs(&stage, by_directory), 2);
    assert!(said.contains("queue.json") && said.contains("archives come before it"), "{said}");
    let said = refused(&yesterfs(&stage, &[export.to_str().unwrap(), &other]), 2);
    assert!(said.contains("other-db.archive") && said.contains("it does not begin as JSON does"), "{said}");
}
