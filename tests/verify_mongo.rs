//! Stories of restore drills with dumps of MongoDB. No package has a `mongod`: a program that takes its options leads to a server
//! that speaks its protocol.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::mongo::{MongoServer, archive_of_each, document, number, text, write_files};
use support::mounted::{Stage, names};
use support::server::refused;

const STAND_IN: &str = include_str!("mongo/mongod.py");

fn ingest(stage: &Stage, directory: &Path) {
    stage.succeed(&["ingest", "mongo", "--source", "shop", directory.to_str().unwrap()]);
}

/// A directory with a `mongod` that leads to a server.
fn programs(stage: &Stage, server: &MongoServer, mode: &str) -> PathBuf {
    let directory = stage.make_directory(mode);
    let (script, program) = (directory.join("mongod.py"), directory.join("mongod"));
    fs::write(&script, STAND_IN).unwrap();
    let line = format!("#!/bin/sh\nexec python3 {} {} {mode} \"$@\"\n", script.display(), server.port());
    fs::write(&program, line).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A drill of the latest snapshot.
fn drill(stage: &Stage, programs: &Path, options: &[&str]) -> Output {
    // Whoever runs the server may come by.
    stage.open_to_all();
    let place = stage.make_directory("drills");
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["verify", "shop", "--with", "mongo", "--server-bin"]);
    let output = command.arg(programs).arg("--tmp").arg(&place).args(options).output().unwrap();
    assert_eq!(names(&place), [""; 0], "something was left");
    output
}

fn printed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `show` tells of the last drill.
fn recorded(stage: &Stage) -> String {
    let shown = stage.succeed(&["show", "shop", "--json"]);
    shown.split_once(r#""drill":"#).map(|(_, drill)| drill.trim().to_string()).unwrap_or_default()
}

#[test]
fn dumps_of_mongodb_come_back_equal() {
    let (server, other, stage) = (MongoServer::start(), MongoServer::start(), Stage::new());
    server.client(&["fill", "300"]);
    ingest(&stage, &server.dump("dump", &[]));
    let printed = printed(&drill(&stage, &programs(&stage, &other, "faithful"), &[]), 0);
    for line in [
        "shop.orders: 300 rows, equal",
        "shop.users: 1,000 rows, equal",
        "shop.empty: 0 rows, equal",
        "shop.dots.in.name: 1 row, equal",
        "other-db.things: 100 rows, equal",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    // A view has no documents of its own.
    assert!(!printed.contains("shop.cheap"), "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(last.starts_with("equal: 9 tables, ") && last.contains("; server "), "{printed}");
    let drill = recorded(&stage);
    assert!(drill.contains(r#""equal":true"#) && drill.contains(r#""tables":9"#), "{drill}");
}

#[test]
fn archives_of_several_databases_come_back_equal() {
    let (server, other, stage) = (MongoServer::start(), MongoServer::start(), Stage::new());
    server.client(&["fill", "300"]);
    let folder = stage.make_directory("archives");
    for (database, bytes) in archive_of_each(&server.dump("dump", &[])) {
        fs::write(folder.join(format!("{database}.archive")), bytes).unwrap();
    }
    ingest(&stage, &folder);
    let printed = printed(&drill(&stage, &programs(&stage, &other, "faithful"), &[]), 0);
    assert!(printed.lines().any(|line| line == "other-db.things: 100 rows, equal"), "{printed}");
    assert!(printed.lines().last().unwrap().starts_with("equal: 9 tables, "), "{printed}");
}

/// A snapshot of a dump of one collection.
fn ingest_few(stage: &Stage, documents: &[Vec<u8>]) {
    ingest_few_of(stage, "shop", documents);
}

fn ingest_few_of(stage: &Stage, database: &str, documents: &[Vec<u8>]) {
    let folder = tempfile::TempDir::new().unwrap();
    let metadata = br#"{"indexes":[],"collectionName":"few","type":"collection"}"#.to_vec();
    let files = [("few.bson", documents.concat()), ("few.metadata.json", metadata)];
    write_files(folder.path(), &BTreeMap::from(files.map(|(name, bytes)| (format!("{database}/{name}"), bytes))));
    ingest(stage, folder.path());
}

#[test]
fn documents_that_a_server_alters_are_counted() {
    let (server, stage) = (MongoServer::start(), Stage::new());
    let few = |id: &str, note: &str| document(&[text("_id", id), text("note", note), number("n", 1)]);
    ingest_few(&stage, &[few("a", "stays"), few("b", "to be changed"), few("absent", "stays"), few("c", "")]);
    let printed = printed(&drill(&stage, &programs(&stage, &server, "lossy"), &[]), 1);
    let line = "shop.few: 4 rows, DIFFERENT: 1 changed, 1 missing, 1 added";
    assert!(printed.lines().any(|printed| printed == line), "{printed}");
    assert!(printed.lines().last().unwrap().starts_with("1 table different: 1 table, 4 rows; "), "{printed}");
    assert!(recorded(&stage).contains(r#""equal":false"#));
}

#[test]
fn a_server_that_gives_nothing_back_has_lost_everything() {
    let (server, stage) = (MongoServer::start(), Stage::new());
    let documents: Vec<_> = ["a", "b"].map(|id| document(&[text("_id", id)])).into();
    ingest_few_of(&stage, "trade", &documents);
    let printed = printed(&drill(&stage, &programs(&stage, &server, "forgetful"), &[]), 1);
    let line = "trade.few: 2 rows, DIFFERENT: 0 changed, 2 missing, 0 added; the server does not give it back";
    assert!(printed.lines().any(|printed| printed == line), "{printed}");
    assert!(printed.lines().last().unwrap().starts_with("1 table different: 1 table, 2 rows; "), "{printed}");
    assert!(recorded(&stage).contains(r#""equal":false"#));
}

#[test]
fn documents_that_a_server_does_not_take_and_servers_that_do_not_start_are_told() {
    let (server, stage) = (MongoServer::start(), Stage::new());
    let twice = document(&[text("_id", "twice")]);
    ingest_few(&stage, &[twice.clone(), twice]);
    let message = refused(&drill(&stage, &programs(&stage, &server, "broken"), &[]), 6);
    assert!(message.contains("starting a server") && message.contains("its data is of another version"), "{message}");
    let message = refused(&drill(&stage, &stage.make_directory("empty"), &[]), 6);
    assert!(message.contains("mongod") && message.contains("--server-bin"), "{message}");
    assert_eq!(recorded(&stage), "");
    let message = refused(&drill(&stage, &programs(&stage, &server, "faithful"), &[]), 6);
    assert!(message.contains("loading shop.few") && message.contains("document 2"), "{message}");
    let drill = recorded(&stage);
    assert!(drill.contains(r#""failure":""#) && drill.contains("document 2"), "{drill}");
}
