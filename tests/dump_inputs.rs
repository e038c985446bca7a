//! Stories of several dumps in one snapshot: per-database files, appended dumps, several commands.

mod support;

use std::io::Cursor;
use std::process::Command;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::Postgres;
use support::repository::{TestRepository, now};
use support::stored::{StoredTree, assert_sound, stored_tree};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::{DumpInput, DumpOptions, DumpRules};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::{Snapshot, SnapshotStatus};

fn named(name: &str, dump: &[u8]) -> DumpInput {
    let input = StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())));
    DumpInput { name: Some(name.into()), input, fallback_database: format!("of {name}") }
}

fn options(inputs: Vec<DumpInput>, rules: DumpRules) -> DumpOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    DumpOptions { common, inputs, rules, threads: 2 }
}

fn ingest(place: &TestRepository, inputs: Vec<DumpInput>, rules: DumpRules) -> Result<IngestReport> {
    ingest_mysql(&place.repository, options(inputs, rules), &now, &Recorder::default())
}

/// One file, of dumps of PostgreSQL that follow one another.
fn ingest_appended(place: &TestRepository, dumps: &[&[u8]], rules: DumpRules) -> Result<IngestReport> {
    let inputs = vec![named("all.sql", &dumps.concat())];
    ingest_postgres(&place.repository, options(inputs, rules), &now, &Recorder::default())
}

fn tree_of(place: &TestRepository, snapshot: &Snapshot) -> StoredTree {
    stored_tree(&place.repository, snapshot).unwrap()
}

fn text(tree: &StoredTree, path: &str) -> String {
    let (_, bytes) = tree.get(path.as_bytes()).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8_lossy(bytes).into_owned()
}

/// Two databases, and a table of the same name in each; one of them needs what only its own session has set.
fn server() -> MariaDb {
    let server = MariaDb::start();
    server.run(
        "",
        "CREATE DATABASE north; USE north; CREATE TABLE orders (id INT, note VARCHAR(50)); INSERT INTO orders VALUES (1, 'käse'), (2, 'b');
         CREATE VIEW open_orders AS SELECT * FROM orders;
         CREATE DATABASE south; USE south; CREATE TABLE orders (id INT, note VARCHAR(50)) CHARACTER SET latin1;
         INSERT INTO orders VALUES (7, 'grün')",
    );
    server
}

const NORTH: [&str; 2] = ["--databases", "north"];
const SOUTH: [&str; 3] = ["--default-character-set=latin1", "--databases", "south"];

/// Asserts that both tables load from their own files.
fn assert_both_load(server: &MariaDb, tree: &StoredTree) {
    for database in ["north", "south"] {
        server.make_empty("again");
        let (_, restore) = &tree[format!("{database}/tables/orders/restore.sql").as_bytes()];
        server.run("again", restore);
        let rows = |database: &str| server.run(database, "SELECT * FROM orders ORDER BY id");
        assert_eq!(rows("again"), rows(database), "{database}");
    }
    assert!(tree.contains_key(&b"north/views/open_orders/view.sql"[..]));
}

#[test]
fn several_dumps_make_one_snapshot() {
    let (server, place) = (server(), TestRepository::new());
    let (north, south) = (server.dump(&NORTH), server.dump(&SOUTH));
    let inputs = vec![named("north.sql", &north), named("south.sql", &south)];
    let snapshot = ingest(&place, inputs, DumpRules::default()).unwrap().snapshot;
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
    let tree = tree_of(&place, &snapshot);
    assert!(tree[&b"dump.sql"[..]].1 == [&north[..], &south].concat());
    let inputs = text(&tree, "_meta/inputs");
    let lines: Vec<&str> = inputs.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("\"name\":\"north.sql\"") && lines[1].contains("\"status\":\"complete\""),
        "{inputs}"
    );
    assert!(
        lines[1].contains(&format!("\"start\":{}", north.len()))
            && lines[1].contains(&format!("\"length\":{}", south.len())),
        "{inputs}"
    );
    assert_both_load(&server, &tree);
    let lengths: usize =
        text(&tree, "_meta/parts").lines().map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(lengths, north.len() + south.len());
    // What differs between them is not told of all.
    let facts = &snapshot.manifest.facts;
    assert!(facts["tables"] == "2" && facts["rows"] == "3", "{facts:?}");
    assert!(facts.contains_key("server_version") && !facts.contains_key("character_set"), "{facts:?}");
    assert!(text(&tree, "_meta/coordinates.json").starts_with('['));
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn appended_dumps_make_one_snapshot() {
    let (server, place) = (server(), TestRepository::new());
    // Neither names its database but in its banner.
    let (north, south) = (server.dump(&["north"]), server.dump(&["--default-character-set=latin1", "south"]));
    let both = [&north[..], &south].concat();
    let snapshot = ingest(&place, vec![named("both.sql", &both)], DumpRules::default()).unwrap().snapshot;
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
    let tree = tree_of(&place, &snapshot);
    assert!(tree[&b"dump.sql"[..]].1 == both);
    assert_both_load(&server, &tree);

    // Each must end with its trailer, the first too.
    let cut = north.windows(17).rposition(|it| it == b"-- Dump completed").unwrap();
    let refused = ingest(&place, vec![named("both.sql", &[&north[..cut], &south].concat())], DumpRules::default());
    assert!(
        matches!(&refused, Err(Error::Incomplete { reason, .. }) if reason.contains("one of the dumps in it")),
        "{refused:?}"
    );
}

#[test]
fn one_incomplete_dump_makes_all_of_them_incomplete() {
    let (server, place) = (server(), TestRepository::new());
    let (north, south) = (server.dump(&NORTH), server.dump(&SOUTH));
    let inputs = || vec![named("north.sql", &north[..north.len() / 2]), named("south.sql", &south)];
    let refused = ingest(&place, inputs(), DumpRules::default());
    assert!(matches!(&refused, Err(Error::Incomplete { input, .. }) if input == "north.sql"), "{refused:?}");
    let kept = DumpRules { keep_incomplete: true, ..DumpRules::default() };
    let snapshot = ingest(&place, inputs(), kept).unwrap().snapshot;
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Incomplete);
    assert!(
        snapshot.manifest.facts["status_reason"].starts_with("\"north.sql\": it ends within"),
        "{:?}",
        snapshot.manifest.facts
    );
    let inputs = text(&tree_of(&place, &snapshot), "_meta/inputs");
    let status: Vec<bool> = inputs.lines().map(|line| line.contains("\"status\":\"complete\"")).collect();
    assert_eq!(status, [false, true], "{inputs}");
}

#[test]
fn a_database_in_two_dumps_is_refused() {
    let (server, place) = (server(), TestRepository::new());
    let (north, alone) = (server.dump(&NORTH), server.dump(&["north"]));
    let all = server.dump(&["--all-databases"]);
    let refusal = |inputs: Vec<DumpInput>| match ingest(&place, inputs, DumpRules::default()) {
        Err(error @ Error::Invalid { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = "database \"north\" is not usable: both \"a.sql\" and \"b.sql\" dump it";
    assert_eq!(refusal(vec![named("a.sql", &north), named("b.sql", &north)]), said);
    assert_eq!(refusal(vec![named("a.sql", &north), named("b.sql", &alone)]), said);
    assert_eq!(refusal(vec![named("a.sql", &alone), named("b.sql", &all)]), said);
    let appended = refusal(vec![named("a.sql", &[&all[..], &north].concat())]);
    assert!(appended.contains("both \"a.sql\" and dump 2 in \"a.sql\" dump it"), "{appended}");
    // Two that name none, and are to have the same.
    let nameless = server.dump(&["--skip-comments", "north"]);
    let rules = DumpRules { database: Some("x".into()), ..DumpRules::default() };
    let error = ingest(&place, vec![named("a", &nameless), named("b", &nameless)], rules).err().unwrap().to_string();
    assert!(error.contains("database \"x\""), "{error}");
    // Each in its own.
    let inputs = vec![named("a", &nameless), named("b", &nameless)];
    let snapshot = ingest(&place, inputs, DumpRules::default()).unwrap().snapshot;
    let tree = tree_of(&place, &snapshot);
    assert!(["of a/tables/orders", "of b/tables/orders"].iter().all(|path| tree.contains_key(path.as_bytes())));
    // That a dump tells of a database twice is no matter.
    assert_eq!(
        ingest(&place, vec![named("all", &all)], DumpRules::default()).unwrap().snapshot.manifest.status,
        SnapshotStatus::Complete
    );
}

/// Two databases of PostgreSQL, and a table of the same name in each.
fn postgres() -> Postgres {
    let server = Postgres::start();
    for (database, note) in [("north", "käse"), ("south", "grün")] {
        server.run("postgres", format!("CREATE DATABASE {database} TEMPLATE template0"));
        server
            .run(database, format!("CREATE TABLE orders (id int, note text); INSERT INTO orders VALUES (1, '{note}')"));
    }
    server
}

/// A dump without its last lines: all from the one on that says that it is complete.
fn without_end(dump: &[u8]) -> &[u8] {
    let end = b"--\n-- PostgreSQL database dump complete";
    &dump[..dump.windows(end.len()).rposition(|it| it == end).unwrap()]
}

#[test]
fn appended_dumps_of_postgresql_make_one_snapshot() {
    let (server, place) = (postgres(), TestRepository::new());
    let globals = server.dump("pg_dumpall", &["--globals-only", "--no-role-passwords"]);
    let [north, south] = ["north", "south"].map(|name| server.dump("pg_dump", &["--create", name]));
    let alone = server.dump("pg_dump", &["south"]);
    let rows = |tree: &StoredTree, database: &str| text(tree, &format!("{database}/public/tables/orders/data.sql"));
    // One of them may be called by what else names it.
    for (second, name) in [(&south, "south"), (&alone, "of all.sql")] {
        let dumps = [&globals[..], &north, second];
        let snapshot = ingest_appended(&place, &dumps, DumpRules::default()).unwrap().snapshot;
        assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
        let tree = tree_of(&place, &snapshot);
        assert!(tree[&b"dump.sql"[..]].1 == dumps.concat());
        assert!(rows(&tree, "north").contains("käse") && !rows(&tree, "north").contains("grün"));
        assert!(rows(&tree, name).contains("grün"));
        assert!(tree.contains_key(&b"_globals/roles.sql"[..]));
        // What was set for one dump is not set for the table of the other.
        let (_, restore) = &tree[format!("{name}/public/tables/orders/restore.sql").as_bytes()];
        server.make_empty("again");
        server.run("again", restore);
        assert_eq!(server.run("again", "SELECT note FROM orders").trim(), "grün");
    }
    // A script that says itself where each goes.
    let plain = server.dump("pg_dump", &["north"]);
    let led: [&[u8]; 4] = [b"\\connect north\n", &plain, b"\\connect south\n", &alone];
    let snapshot = ingest_appended(&place, &led, DumpRules::default()).unwrap().snapshot;
    let tree = tree_of(&place, &snapshot);
    assert!(rows(&tree, "north").contains("käse") && rows(&tree, "south").contains("grün"));
}

#[test]
fn appended_dumps_of_postgresql_are_complete_only_if_each_is() {
    let (server, place) = (postgres(), TestRepository::new());
    let [north, south] = ["north", "south"].map(|name| server.dump("pg_dump", &["--create", name]));
    let all = server.dump("pg_dumpall", &["--no-role-passwords"]);
    let all = String::from_utf8(all).unwrap();
    let (before, inner) = all.split_at(all.rfind("-- PostgreSQL database dump complete").unwrap());
    let (_, behind) = inner.split_at(inner.find("--\n-- PostgreSQL database cluster dump complete").unwrap());
    let first = all.find("-- PostgreSQL database dump complete").unwrap();
    let (until_first, from_first) = all.split_at(first);
    let (_, from_second) = from_first.split_at(from_first.find("-- Database \"").unwrap());
    // Without its line but with the end of its restriction, and the other way round.
    let [without_line, without_key] = ["-- PostgreSQL database dump complete\n", "\n\\unrestrict "].map(|text| {
        let north = String::from_utf8_lossy(&north);
        let (before, behind) = north.split_at(north.rfind(text).unwrap());
        [before, &behind[if text.starts_with("--") { text.len() } else { behind.len() }..]].concat().into_bytes()
    });
    let cut: [&[&[u8]]; 6] = [
        &[without_end(&north), &south],
        &[&without_line, &south],
        &[&without_key, &south],
        &[before.as_bytes(), behind.as_bytes()],
        &[until_first.as_bytes(), from_second.as_bytes()],
        &[without_end(all.as_bytes()), all.as_bytes()],
    ];
    for (number, dumps) in cut.iter().enumerate() {
        let refused = ingest_appended(&place, dumps, DumpRules::default());
        assert!(
            matches!(&refused, Err(Error::Incomplete { reason, .. }) if reason.contains("one of the dumps in it does not end")),
            "{number}: {refused:?}"
        );
    }
    let kept = DumpRules { keep_incomplete: true, ..DumpRules::default() };
    let alone = server.dump("pg_dump", &["south"]);
    let snapshot = ingest_appended(&place, &[without_end(&north), &alone], kept).unwrap().snapshot;
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Incomplete);
    assert!(text(&tree_of(&place, &snapshot), "of all.sql/public/tables/orders/data.sql").contains("grün"));
}

#[test]
fn a_database_of_postgresql_in_two_appended_dumps_is_refused() {
    let (server, place) = (postgres(), TestRepository::new());
    let named = server.dump("pg_dump", &["--create", "north"]);
    let alone = server.dump("pg_dump", &["north"]);
    let all = server.dump("pg_dumpall", &["--no-role-passwords"]);
    let refusal = |dumps: &[&[u8]]| match ingest_appended(&place, dumps, DumpRules::default()) {
        Err(error @ Error::Invalid { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = "database \"north\" is not usable: both \"all.sql\" and dump 2 in \"all.sql\" dump it";
    assert_eq!(refusal(&[&named, &named]), said);
    assert_eq!(refusal(&[&all, &named]), said);
    assert_eq!(refusal(&[&named, &all]), said);
    let nameless = refusal(&[&alone, &alone]);
    assert!(nameless.starts_with(&said.replace("north", "of all.sql")), "{nameless}");
    assert!(nameless.contains("files of their own") && nameless.contains("--database"), "{nameless}");
}

/// A dump of a table of so many rows.
fn long_dump(rows: u64) -> Vec<u8> {
    let row =
        |id: u64| format!("({id},'{:032x}')", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let rows: Vec<String> = (0..rows).map(row).collect();
    let inserts = rows.chunks(3000).map(|rows| format!("INSERT INTO `orders` VALUES\n{};\n", rows.join(",\n")));
    let table = "-- MariaDB dump 10.19\n-- Host: h    Database: shop\nCREATE TABLE `orders` (`id` int, `text` text);\n";
    [table.to_string(), inserts.collect(), "-- Dump completed on 2026-11-26 10:00:00\n".into()].concat().into_bytes()
}

#[test]
fn a_long_dump_is_cut_at_the_same_rows_whether_it_is_a_file_or_comes_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sql");
    let dump = long_dump(200_000);
    assert!(dump.len() > 8 << 20);
    std::fs::write(&path, &dump).unwrap();
    let content_of = |input: StreamInput| {
        let place = TestRepository::new();
        let inputs = vec![DumpInput { name: Some("shop.sql".into()), input, fallback_database: "shop".into() }];
        let snapshot = ingest(&place, inputs, DumpRules::default()).unwrap().snapshot;
        let tree = tree_of(&place, &snapshot);
        assert!(tree[&b"dump.sql"[..]].1 == dump);
        ["dump.sql", "shop/tables/orders/data.sql", "_meta/parts"].map(|path| tree[path.as_bytes()].0.kind.clone())
    };
    let by_pipe = content_of(StreamInput::Reader(Box::new(Cursor::new(dump.clone()))));
    assert!(content_of(StreamInput::File(path)) == by_pipe);
}

#[test]
fn directories_files_and_streams_are_named_on_the_command_line() {
    let (server, stage) = (server(), Stage::new());
    let folder = stage.path("dumps");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("b.sql"), server.dump(&["--skip-comments", "north"])).unwrap();
    let south = server.dump(&["--skip-comments", "south"]);
    std::fs::write(folder.join("a.sql"), &south).unwrap();
    assert!(Command::new("gzip").arg(folder.join("a.sql")).status().unwrap().success());
    std::fs::write(folder.join("notes.txt"), b"no dump").unwrap();
    // It is no file of rows of --tab.
    std::fs::write(folder.join("b.txt"), b"2\tb\n").unwrap();
    let mut refused = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    refused.arg("--repo").arg(stage.repository()).args(["ingest", "mysql", "--source", "shop"]).arg(&folder);
    let output = refused.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(6) && said.contains("b.txt: the statements beside it have rows"),
        "{output:?}"
    );
    std::fs::remove_file(folder.join("b.txt")).unwrap();
    let dash = |path: &str| stage.succeed(&["cat", &format!("shop:/{path}")]);
    let folder_name = folder.to_str().unwrap();
    let [a, b] = ["a.sql.gz", "b.sql"].map(|name| folder.join(name).to_str().unwrap().to_string());
    let streams = [format!("a.sql=zcat {a}"), format!("b.sql=cat {b}")];
    let by_directory: &[&str] = &[folder_name];
    let by_name: &[&str] = &[&a, &b];
    let by_stream: &[&str] = &["--stream", &streams[0], "--stream", &streams[1]];
    for words in [by_directory, by_name, by_stream] {
        stage.succeed(&[&["ingest", "mysql", "--source", "shop"], words].concat());
        assert!(dash("dump.sql").as_bytes().starts_with(&south), "{words:?}");
        assert!(dash("a/tables/orders/schema.sql").contains("latin1"), "{words:?}");
        assert!(dash("b/tables/orders/data.sql").contains("(2,'b')"), "{words:?}");
        assert_eq!(dash("_meta/inputs").lines().count(), 2, "{words:?}");
    }
    let failing = ["ingest", "mysql", "--source", "shop", "--stream", &streams[0], "--stream", "c.sql=exit 7"];
    let output = Command::new(env!("CARGO_BIN_EXE_yesterfs"))
        .arg("--repo")
        .arg(stage.repository())
        .args(failing)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[test]
fn restores_leave_out_definers_where_that_is_asked_for() {
    let (server, place) = (server(), TestRepository::new());
    server.run(
        "south",
        "CREATE DEFINER=`somebody`@`else` TRIGGER one BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = UPPER(NEW.note);
         CREATE DEFINER=`some*/body`@`%` TRIGGER two BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = 'DEFINER=`x`@`y`'",
    );
    let inputs = || vec![named("north.sql", &server.dump(&NORTH)), named("south.sql", &server.dump(&SOUTH))];
    let with = tree_of(&place, &ingest(&place, inputs(), DumpRules::default()).unwrap().snapshot);
    let rules = DumpRules { restore_without_definer: true, ..DumpRules::default() };
    let without = tree_of(&place, &ingest(&place, inputs(), rules).unwrap().snapshot);
    let [restore, triggers] = ["south/tables/orders/restore.sql", "south/tables/orders/triggers.sql"];
    assert!(text(&with, restore).contains("DEFINER=`somebody`@`else`"));
    assert_eq!(text(&with, triggers), text(&without, triggers));
    let text = text(&without, restore);
    assert!(!text.contains("somebody") && !text.contains("some*/body") && text.contains("'DEFINER=`x`@`y`'"), "{text}");
    server.make_empty("again");
    server.run("again", &text);
    let triggers = "SELECT trigger_name, definer, action_statement FROM information_schema.triggers WHERE trigger_schema = 'again' ORDER BY 1";
    let found = server.run("", triggers);
    assert!(found.lines().count() == 2 && found.lines().all(|line| line.contains("root@localhost")), "{found}");
    assert_eq!(
        server.run("again", "INSERT INTO orders VALUES (9, 'loud'); SELECT note FROM orders WHERE id = 9").trim(),
        "LOUD"
    );
}
