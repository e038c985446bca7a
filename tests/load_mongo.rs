//! Stories of bringing dumps of MongoDB, and collections of them, into a server that speaks its protocol.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::mongo::{MongoServer, document, files_of, fixture, number, text, write_files};
use support::mounted::Stage;
use support::server::{refused, restore_into, restored};

/// A repository with a snapshot of a dump, the server that was dumped, and the files of the dump.
fn dumped() -> (MongoServer, Stage, BTreeMap<String, Vec<u8>>) {
    let (server, stage) = (MongoServer::start(), Stage::new());
    server.client(&["fill", "3000"]);
    let directory = server.dump("dump", &[]);
    ingest(&stage, &directory);
    let files = files_of(&directory);
    (server, stage, files)
}

fn ingest(stage: &Stage, directory: &Path) {
    stage.succeed(&["ingest", "mongo", "--source", "shop", directory.to_str().unwrap()]);
}

/// A snapshot of files that are written here.
fn ingest_files(stage: &Stage, files: &[(&str, Vec<u8>)]) {
    let folder = tempfile::TempDir::new().unwrap();
    let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect();
    write_files(folder.path(), &files);
    ingest(stage, folder.path());
}

/// Without what every server gives another collection of the same kind. All else stays as it is written.
fn without_uuids(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    const UUID: &str = ",\"uuid\":\"";
    let plain = |(path, bytes): (&String, &Vec<u8>)| {
        let at = bytes.windows(UUID.len()).position(|window| window == UUID.as_bytes());
        let end = at.filter(|_| path.ends_with(".metadata.json")).map(|at| at + UUID.len() + 33);
        let rest = end.map_or(&bytes[..0], |end| &bytes[end..]);
        (path.clone(), [&bytes[..end.and(at).unwrap_or(bytes.len())], rest].concat())
    };
    files.iter().map(plain).collect()
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    let (found, expected) = (without_uuids(found), without_uuids(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, bytes) in &expected {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        assert!(found[path] == *bytes, "{path}: {} instead of {}", shown(&found[path]), shown(bytes));
    }
}

#[test]
fn a_whole_dump_comes_back_into_another_server() {
    let (_server, stage, before) = dumped();
    let other = MongoServer::start();
    let text = restored(&restore_into(&stage, &other.url(), &[]));
    assert!(text.starts_with("loaded the dump: ") && text.contains(" of BSON; "), "{text}");
    assert_same(&files_of(&other.dump("again", &[])), &before);

    // What is there is not replaced unawares.
    other.client(&["change", "10"]);
    let message = refused(&restore_into(&stage, &other.url(), &[]), 2);
    assert!(message.contains("collection \"") && message.contains("already exists"), "{message}");
    assert!(message.contains("hint: --overwrite replaces it; "), "{message}");
    let changed = files_of(&other.dump("changed", &[]));
    assert_ne!(changed["shop/orders.bson"], before["shop/orders.bson"]);
    let json = restored(&restore_into(&stage, &other.url(), &["--overwrite", "--json"]));
    assert!(json.contains("\"type\":\"load\"") && json.contains("\"bytes\":"), "{json}");
    assert_same(&files_of(&other.dump("replaced", &[])), &before);
}

#[test]
fn a_collection_comes_back_beside_itself() {
    let (server, stage, before) = dumped();
    server.client(&["change", "10"]);
    let changed = files_of(&server.dump("changed", &[]));
    let one = ["--table", "shop.orders", "--as", "restored.orders.of yesterday"];
    assert!(restored(&restore_into(&stage, &server.url(), &one)).starts_with("loaded 1 collection: "));
    let after = files_of(&server.dump("after", &[]));
    assert_eq!(after["restored/orders.of+yesterday.bson"], before["shop/orders.bson"]);
    let metadata = |files: &BTreeMap<String, Vec<u8>>, path: &str| -> serde_json::Value {
        serde_json::from_slice::<serde_json::Value>(&files[path]).unwrap()["indexes"].clone()
    };
    let indexes = metadata(&after, "restored/orders.of+yesterday.metadata.json");
    assert_eq!((indexes.as_array().unwrap().len(), &indexes), (2, &metadata(&before, "shop/orders.metadata.json")));
    assert_eq!(after["shop/orders.bson"], changed["shop/orders.bson"], "all else stays as it was");
    assert!(refused(&restore_into(&stage, &server.url(), &one), 2).contains("already exists"));

    // A database in the URL is no place for it.
    let elsewhere = server.url().replace("/?", "/elsewhere?");
    let message = refused(&restore_into(&stage, &elsewhere, &["--table", "shop.orders", "--overwrite"]), 2);
    assert!(message.contains("\"shop\": leave \"elsewhere\" out of the URL"), "{message}");
    // Several, one of which has a long name, and a view.
    let long = format!("shop.{}", "L".repeat(200));
    let names = ["shop.dots.in.name", &long, "other-db.things", "shop.cheap"];
    let options: Vec<&str> = names.iter().flat_map(|name| ["--table", name]).collect();
    let other = MongoServer::start();
    assert!(restored(&restore_into(&stage, &other.url(), &options)).starts_with("loaded 4 collections: "));
    let files = files_of(&other.dump("some", &[]));
    assert_eq!(files["shop/dots.in.name.bson"], before["shop/dots.in.name.bson"]);
    assert!(files.contains_key("shop/cheap.metadata.json") && !files.contains_key("shop/orders.bson"));

    let message = refused(&restore_into(&stage, &server.url(), &["--table", "shop.none"]), 2);
    assert!(message.contains("no collection \"shop.none\""), "{message}");
    let message = refused(&restore_into(&stage, &server.url(), &["--table", "orders"]), 2);
    assert!(message.contains("DATABASE.COLLECTION"), "{message}");
}

/// What the real program wrote, of collections with indexes and options of every kind.
#[test]
fn a_dump_of_the_real_program_comes_back() {
    let (stage, server) = (Stage::new(), MongoServer::start());
    ingest(&stage, &fixture("directory"));
    restored(&restore_into(&stage, &server.url(), &[]));
    // Which tells of the server, and of who dumped.
    let of_dump = |mut files: BTreeMap<String, Vec<u8>>| {
        assert!(files.remove("prelude.json").is_some());
        files
    };
    let before = of_dump(files_of(&fixture("directory")));
    assert_same(&of_dump(files_of(&server.dump("again", &[]))), &before);
    let told = |(path, bytes): (&String, &Vec<u8>)| {
        path.ends_with(".metadata.json").then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    let metadata = before.iter().filter_map(told).collect::<String>();
    for kind in [
        "unique",
        "sparse",
        "hidden",
        "expireAfterSeconds",
        "partialFilterExpression",
        "2dsphereIndexVersion",
        "$**",
        "strength",
        "capped",
        "clusteredIndex",
        "locale",
        "timeseries",
        "validator",
        "viewOn",
    ] {
        assert!(
            metadata.contains(&format!("{kind}\":")) || metadata.contains(&format!("{kind}\"")),
            "no collection of the dump has {kind}"
        );
    }
}

#[test]
fn options_of_collections_come_back_and_validators_stop_nothing() {
    let (stage, server) = (Stage::new(), MongoServer::start());
    let documents: Vec<u8> = (0..100).flat_map(|id| document(&[number("_id", id), text("a", "b")])).collect();
    let capped = br#"{"options":{"capped":true,"size":{"$numberInt":"65536"}},"indexes":[],"collectionName":"log","type":"collection"}"#;
    let checked = br#"{"options":{"validator":{"$jsonSchema":{"required":["z"]}},"validationLevel":"strict"},"indexes":[],"collectionName":"checked","type":"collection"}"#;
    ingest_files(
        &stage,
        &[
            ("shop/log.bson", documents.clone()),
            ("shop/log.metadata.json", capped.to_vec()),
            ("shop/checked.bson", documents.clone()),
            ("shop/checked.metadata.json", checked.to_vec()),
            ("admin/system.version.bson", document(&[text("_id", "featureCompatibilityVersion")])),
            ("admin/system.version.metadata.json", br#"{"indexes":[],"collectionName":"system.version"}"#.to_vec()),
        ],
    );
    let output = restore_into(&stage, &server.url(), &[]);
    restored(&output);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("servers keep these for themselves: admin.system.version"), "{told}");
    let files = files_of(&server.dump("again", &[]));
    for name in ["log", "checked"] {
        assert_eq!(files[&format!("shop/{name}.bson")], documents, "{name}");
    }
    let options = |name: &str| -> String {
        let value: serde_json::Value = serde_json::from_slice(&files[&format!("shop/{name}.metadata.json")]).unwrap();
        value["options"].to_string()
    };
    assert!(options("log").contains(r#""capped":true"#), "{}", options("log"));
    assert!(options("checked").contains(r#""required":["z"]"#), "{}", options("checked"));
}

#[test]
fn a_load_that_fails_says_where() {
    let (stage, server) = (Stage::new(), MongoServer::start());
    let of = |id: i32| document(&[number("_id", id), text("filling", &"x".repeat(900))]);
    // The same key twice, in the second batch.
    let mut documents: Vec<Vec<u8>> = (0..9000).map(of).collect();
    documents[8000] = of(77);
    ingest_files(
        &stage,
        &[("shop/orders.bson", documents.concat()), ("shop/orders.metadata.json", b"{\"indexes\":[]}".to_vec())],
    );
    let message = refused(&restore_into(&stage, &server.url(), &[]), 6);
    for part in ["loading shop.orders", "document 8001", r#"_id is {"$numberInt":"77"}"#, "mongodb://127.0.0.1"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let loaded = files_of(&server.dump("half", &[]))["shop/orders.bson"].clone();
    assert_eq!(loaded, documents[..8000].concat(), "what came before is loaded");

    // An index that cannot be made.
    let index = br#"{"indexes":[{"key":{"filling":{"$numberInt":"1"}},"name":"alone","unique":true}]}"#;
    ingest_files(&stage, &[("shop/twice.bson", [of(1), of(2)].concat()), ("shop/twice.metadata.json", index.to_vec())]);
    let message = refused(&restore_into(&stage, &server.url(), &[]), 6);
    assert!(message.contains("making the index alone of shop.twice"), "{message}");

    // A server that is not there, passwords, and what nothing can be done with.
    let nowhere = "mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=300";
    let message = refused(&restore_into(&stage, nowhere, &[]), 6);
    assert!(message.contains("asking the server") && message.contains("127.0.0.1:1"), "{message}");
    let message = refused(&restore_into(&stage, "mongodb://me:secret@db/", &[]), 2);
    assert!(message.contains("MONGODB_PASSWORD") && !message.contains("secret"), "{message}");
    let message = refused(&restore_into(&stage, "mongodb+srv://db/", &[]), 2);
    assert!(message.contains("mongodb://HOST,HOST"), "{message}");
    let message = refused(&restore_into(&stage, "mysql://db/", &[]), 2);
    assert!(message.contains("URLs begin with mongodb:"), "{message}");
    let message = refused(&restore_into(&stage, &server.url(), &["--client", "mongorestore"]), 2);
    assert!(message.contains("without a program"), "{message}");
}

#[test]
fn passwords_come_from_files_and_the_environment() {
    let (stage, mut server) = (Stage::new(), MongoServer::start());
    let documents = document(&[number("_id", 1)]);
    ingest_files(&stage, &[("shop/t.bson", documents), ("shop/t.metadata.json", b"{\"indexes\":[]}".to_vec())]);
    let password = "s'cr et/@%:\u{e9}";
    server.client(&["user", "bob", password]);
    server.restart_closed();
    let config = stage.path("config.yaml");
    fs::write(&config, format!("password: \"{password}\"\n")).unwrap();
    let url = server.url_of("bob", &format!("&config={}", config.display()));
    restored(&restore_into(&stage, &url, &[]));
    let url = server.url_of("bob", "");
    let with = |password: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository()).args(["restore", "shop", "--overwrite", "--into", &url]);
        command.env("MONGODB_PASSWORD", password).output().unwrap()
    };
    restored(&with(password));
    let message = refused(&with("another"), 6);
    assert!(message.contains("asking the server") && !message.contains("another"), "{message}");
    let message = refused(&restore_into(&stage, &server.url(), &["--overwrite"]), 6);
    assert!(message.contains("asking the server"), "{message}");
}

#[test]
fn operations_and_exports_are_told_of() {
    let (stage, server) = (Stage::new(), MongoServer::start());
    server.client(&["fill", "500"]);
    let directory = server.dump("with-oplog", &["--oplog"]);
    ingest(&stage, &directory);
    let other = MongoServer::start();
    let output = restore_into(&stage, &other.url(), &[]);
    restored(&output);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("oplog.bson has the operations until"), "{told}");
    let before = files_of(&directory);
    assert_eq!(files_of(&other.dump("again", &[]))["shop/orders.bson"], before["shop/orders.bson"]);

    let export = stage.path("orders.json");
    fs::write(&export, "{\"_id\":1}\n").unwrap();
    let words = ["ingest", "mongo", "--source", "shop", "--keep-incomplete", export.to_str().unwrap()];
    stage.succeed(&words);
    let message = refused(&restore_into(&stage, &other.url(), &[]), 2);
    assert!(message.contains("mongoimport loads"), "{message}");
}
