//! Stories of ingesting directories with files of statements and of rows, which `mariadb-dump --tab` filled of a real MariaDB.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use support::dumped::{Dumped, escaped, in_database, kept_incomplete, of_directory, options};
use support::mariadb::MariaDb;
use support::mongo::{files_of, write_files};
use support::mounted::Stage;
use support::repository::{TestRepository, now};
use support::rows::{Change, diff};
use support::server::{restore_into, restored, succeed};
use support::stored::assert_sound;
use yesterfs::dump::mysql::tab::{FieldForm, FieldWords};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpOptions, DumpRules, OriginalPolicy};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotStatus};

const HOSTILE: &str = include_str!("mysql/hostile.sql");

/// What else rows and columns may hold.
const ROWS: &str = r#"
USE shop;
CREATE TABLE texts (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT, l VARCHAR(20) CHARACTER SET latin1, u VARCHAR(20) CHARACTER SET utf16,
  b VARBINARY(300), bits BIT(9), place POINT, ratio FLOAT, at TIMESTAMP NULL, hidden INT INVISIBLE DEFAULT 7,
  length INT AS (octet_length(t)) STORED, e ENUM('a', 'é') CHARACTER SET latin1);
INSERT INTO texts (id, t, l, u, b, bits, place, ratio, at, e) VALUES
  (1, 'tab\tline\nback\\slash', 'é', '慢', x'000102090a0b0d1a22275c5cff', b'100000001', POINT(1, 2), 1 / 3, '2026-11-26 10:00:00', 'é'),
  (2, '\\N', '', NULL, '', NULL, NULL, NULL, NULL, NULL),
  (3, 'NULL', NULL, 'x', NULL, b'0', NULL, -1e20, NULL, 'a'),
  (4, '', 'a"b,c''d', '', x'5c', NULL, NULL, 0, NULL, NULL),
  (5, '"\n"', '","', 'y', x'0d0a', NULL, NULL, 0, NULL, NULL);
UPDATE texts SET id = 0 WHERE id = 5;
"#;

fn server() -> MariaDb {
    let server = MariaDb::start();
    server.run("", format!("{HOSTILE}{ROWS}"));
    server
}

/// Dumps a database into a new directory; what is printed, as sequences are, becomes a file in it.
fn dump(server: &MariaDb, directory: &Path, options: &[&str]) {
    std::fs::create_dir_all(directory).unwrap();
    let tab = format!("--tab={}", directory.to_str().unwrap());
    let words = server.dump_command(&[&[&*tab, "--routines", "--events"], options, &["shop"]].concat());
    // Told a character set, it has the server put question marks in the place of bytes that are none of its.
    let words: Vec<_> = words.into_iter().filter(|word| word != "--default-character-set=utf8mb4").collect();
    let printed = succeed(Command::new(&words[0]).args(&words[1..]).output().unwrap(), "mariadb-dump").stdout;
    std::fs::write(directory.join("others.sql"), printed).unwrap();
}

fn report(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_mysql(&place.repository, options, &now, &Recorder::default())
}

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<Dumped> {
    Ok(Dumped::of(place, report(place, options)?))
}

/// What is in a database, without when it was dumped.
fn content(server: &MariaDb, database: &str) -> Vec<u8> {
    server.dump(&["--skip-comments", "--hex-blob", "--routines", "--events", database])
}

fn with_form(words: FieldWords, options: DumpOptions) -> DumpOptions {
    let rows = FieldForm::from_words(words).unwrap();
    DumpOptions { rules: DumpRules { rows, ..options.rules }, ..options }
}

#[test]
fn a_directory_for_each_database_makes_one_snapshot() {
    let (server, other, stage) = (MariaDb::start(), MariaDb::start(), Stage::new());
    server.run(
        "",
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2);
         CREATE DATABASE crm; CREATE TABLE crm.t (note TEXT); INSERT INTO crm.t VALUES ('a,b')",
    );
    let all = stage.make_directory("all");
    for database in ["shop", "crm"] {
        let directory = all.join(database);
        std::fs::create_dir(&directory).unwrap();
        let tab = format!("--tab={}", directory.display());
        let words = server.dump_command(&[&tab, "--fields-terminated-by=,", database]);
        let words: Vec<_> = words.into_iter().filter(|word| word != "--default-character-set=utf8mb4").collect();
        succeed(Command::new(&words[0]).args(&words[1..]).output().unwrap(), "mariadb-dump");
    }
    std::fs::write(all.join("notes.txt"), b"no dump").unwrap();
    let ingest = ["ingest", "mysql", "--source", "shop", "--fields-terminated-by=,", all.to_str().unwrap()];
    for told in [&[][..], &["--format", "tab"]] {
        stage.succeed(&[&ingest[..], told].concat());
        assert_eq!(stage.succeed(&["cat", "shop:/_meta/inputs"]).lines().count(), 2);
        assert!(stage.succeed(&["show", "shop", "--json"]).contains("\"status\":\"unverified\""));
        restored(&restore_into(&stage, &other.url(""), &[]));
        for (database, table) in [("shop", "SELECT * FROM t"), ("crm", "SELECT * FROM t")] {
            assert_eq!(other.run(database, table), server.run(database, table), "{database}");
            other.run("", format!("DROP DATABASE {database}"));
        }
    }
}

#[test]
fn a_directory_of_rows_becomes_the_tree_of_a_dump() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("tab");
    dump(&server, &directory, &[]);
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mysql, SnapshotStatus::Unverified));
    assert_eq!(found.manifest.facts["status_reason"], "nothing in the directory tells which files there should be");
    found.assert_parts_are_the_dump(found.file("dump.sql"));
    assert_eq!(found.originals(), files_of(&directory));

    let query =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_type = 'BASE TABLE'";
    let names = server.run("", query).lines().map(|name| escaped(&name.replace("\\n", "\n"))).collect();
    assert_eq!(found.tables("shop"), names);
    assert_eq!(found.names("shop/tables/texts"), ["data.sql", "restore.sql", "schema.sql"]);
    let rows = |path: &str| found.parts().iter().filter(|part| part.2 == path).map(|part| part.1).sum::<u64>();
    assert_eq!(rows("shop/tables/texts/data.sql"), 5);
    assert_eq!(found.manifest.facts["row_marks"].split(' ').next(), Some("lines"));
    found.assert_is_again(&ingest(&place, of_directory(&directory)).unwrap());
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn files_of_rows_of_every_form_load_again() {
    let (server, place) = (server(), TestRepository::new());
    let other = MariaDb::start();
    let plain = server.dump(&["--routines", "--events", "shop"]);
    let usual = FieldWords::default();
    let quoted = FieldWords { fields_terminated_by: Some(","), fields_enclosed_by: Some("\""), ..usual };
    let lines = FieldWords { lines_terminated_by: Some("\\r\\n"), ..quoted };
    let long = FieldWords { fields_terminated_by: Some("0x3c7c3e"), fields_escaped_by: Some("^"), ..usual };
    let variants: [(FieldWords, &[&str]); 6] = [
        (usual, &[]),
        (usual, &["--compact"]),
        (usual, &["--skip-comments", "--skip-tz-utc"]),
        (quoted, &["--fields-terminated-by=,", "--fields-optionally-enclosed-by=\""]),
        (lines, &["--fields-terminated-by=,", "--fields-enclosed-by=\"", "--lines-terminated-by=\\r\\n"]),
        (long, &["--fields-terminated-by=0x3c7c3e", "--fields-escaped-by=^"]),
    ];
    for (number, (words, told)) in variants.into_iter().enumerate() {
        let directory = place.path(&format!("tab{number}"));
        dump(&server, &directory, told);
        let found = report(&place, with_form(words, in_database(Some("shop"), of_directory(&directory)))).unwrap();
        // Row by row, it is the dump that is printed.
        let without = report(&place, in_database(Some("shop"), options(support::dumped::reader(&plain)))).unwrap();
        let changes = diff(&place, &without.snapshot, &found.snapshot, &support::rows::options()).unwrap().changes;
        // But for text that has the bytes of its own character set.
        let of_others = |column: &str| ["l", "u", "e"].contains(&column);
        let is_same = |it: &Change| it.table == "shop.texts" && it.changed.split(',').all(of_others);
        assert!(changes.iter().all(is_same), "{told:?}: {changes:?}");
        let found = Dumped::of(&place, found);
        assert_eq!(found.originals(), files_of(&directory), "{told:?}");
        other.make_empty("shop");
        other.run("shop", found.file("dump.sql"));
        assert_eq!(
            String::from_utf8_lossy(&content(&other, "shop")),
            String::from_utf8_lossy(&content(&server, "shop")),
            "{told:?}"
        );
        other.make_empty("again");
        other.run("again", found.file("shop/tables/texts/restore.sql"));
        let table =
            |server: &MariaDb, database: &str| server.dump(&["--skip-comments", "--hex-blob", database, "texts"]);
        assert!(table(&other, "again") == table(&server, "shop"), "{told:?}");
    }
}

#[test]
fn rows_of_two_directories_are_compared_and_brought_back() {
    let (server, place) = (server(), TestRepository::new());
    let stage = Stage::new();
    let ingest = |name: &str| {
        dump(&server, &place.path(name), &[]);
        stage.succeed(&["ingest", "mysql", "--source", "shop", place.path(name).to_str().unwrap()]);
    };
    ingest("monday");
    let before = content(&server, "shop");
    server.run("shop", "UPDATE texts SET t = 'new\\t' WHERE id = 2; DELETE FROM texts WHERE id = 3");
    ingest("tuesday");
    let differing = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository()).args(["diff", "shop~1", "shop", "--rows", "shop.texts"]);
        let output = command.args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(differing(&[]), "shop.texts: 0 rows inserted, 1 deleted, 1 updated\n");
    let row = stage.succeed(&["rows", "shop~1", "shop.texts", "--key", "3"]);
    assert!(row.contains("'NULL'"), "{row}");
    let history = stage.succeed(&["history", "shop", "shop.texts", "--key", "2"]);
    assert!(history.contains("new"), "{history}");
    // Undone by statements.
    server.run("shop", differing(&["--sql", "--reverse"]));
    assert!(content(&server, "shop") == before);
    // And into another server, whole and one table.
    let other = MariaDb::start();
    restored(&restore_into(&stage, &other.url(""), &[]));
    assert_eq!(other.run("shop", "SELECT t FROM texts WHERE id = 2").trim(), "new\\t");
    restored(&restore_into(&stage, &other.url(""), &["--table", "shop.texts", "--as", "copy.texts_before"]));
    assert_eq!(other.run("copy", "SELECT COUNT(*) FROM texts_before").trim(), "4");
}

#[test]
fn files_of_rows_may_be_compressed() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("tab");
    dump(&server, &directory, &[]);
    let plain = ingest(&place, of_directory(&directory)).unwrap();
    let programs = [("gzip", "texts.txt"), ("zstd", "texts.sql"), ("gzip", "others.sql"), ("zstd", "orders.txt")];
    for (program, name) in programs {
        let mut command = Command::new(program);
        command.args(if program == "zstd" { &["--rm", "-q"][..] } else { &[] }).arg(directory.join(name));
        succeed(command.output().unwrap(), program);
    }
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert!(found.file("dump.sql") == plain.file("dump.sql"));
    assert_eq!(found.originals(), files_of(&directory));
    let dropping = of_directory(&directory);
    let rules = DumpRules { original: OriginalPolicy::Drop, ..dropping.rules };
    let dropped = ingest(&place, DumpOptions { rules, ..dropping }).unwrap();
    assert_eq!(dropped.originals(), BTreeMap::new());
    assert!(dropped.file("dump.sql") == plain.file("dump.sql"));
    std::fs::write(directory.join("texts.txt"), b"").unwrap();
    let error = ingest(&place, of_directory(&directory)).err().unwrap().to_string();
    assert!(error.contains("texts.txt") && error.contains("there twice"), "{error}");
}

/// Why a directory is refused; kept nevertheless, its files are there.
#[track_caller]
fn refused(place: &TestRepository, directory: &Path) -> String {
    let Err(Error::Incomplete { reason, .. }) = ingest(place, of_directory(directory)) else {
        panic!("it is taken for complete")
    };
    let kept = ingest(place, kept_incomplete(of_directory(directory))).unwrap();
    assert_eq!((kept.manifest.status, &kept.manifest.facts["status_reason"]), (SnapshotStatus::Incomplete, &reason));
    assert_eq!(kept.originals(), files_of(directory));
    kept.assert_parts_are_the_dump(kept.file("dump.sql"));
    reason
}

#[test]
fn a_directory_that_is_not_whole_makes_no_snapshot_unless_it_is_to_be_kept() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("tab");
    dump(&server, &directory, &[]);
    let files = files_of(&directory);
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = files.clone();
        change(changed.get_mut(name).unwrap());
        write_files(&directory, &changed);
        refused(&place, &directory)
    };
    let reasons = [
        with("texts.txt", &|text| text.truncate(text.len() - 1)),
        with("texts.txt", &|text| text.extend_from_slice(b"1\t2\n")),
        with("texts.sql", &|text| text.truncate(text.len() - 42)),
        with("texts.sql", &|text| text.truncate(1000)),
        with("texts.sql", &|text| {
            let other = String::from_utf8_lossy(text).replace("TIME_ZONE='+00:00'", "TIME_ZONE='+01:00'");
            *text = other.into_bytes();
        }),
        with("others.sql", &|text| text.truncate(200)),
    ];
    assert_eq!(
        reasons,
        [
            "texts.txt: it ends within a row",
            "texts.txt: a row has 2 values, the first 12",
            "texts.sql: it does not end with \"-- Dump completed\"",
            "texts.sql: it ends within a statement",
            "texts.sql: its character set or time zone is another than that of the files before it",
            "others.sql: it ends within a statement",
        ]
    );
    write_files(&directory, &files);
    assert_eq!(ingest(&place, of_directory(&directory)).unwrap().manifest.status, SnapshotStatus::Unverified);
}

fn run(stage: &Stage, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", "mysql", "--source", "shop"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn the_form_of_rows_is_told_as_it_was_told_to_the_dump() {
    let (server, stage, place) = (server(), Stage::new(), TestRepository::new());
    let directory = place.path("tab");
    dump(&server, &directory, &["--fields-terminated-by=|", "--fields-optionally-enclosed-by='"]);
    let path = directory.to_str().unwrap();
    let output = run(&stage, &[path]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() != Some(0) && message.contains("its rows have 1 values"), "{message}");
    let told = ["--fields-terminated-by=|", "--fields-optionally-enclosed-by='", path];
    assert_eq!(run(&stage, &told).status.code(), Some(0));
    let rows = stage.succeed(&["rows", "shop", "shop.texts", "--key", "4"]);
    assert!(rows.contains(r#"a\"b,c\'d"#), "{rows}");
    let output = run(&stage, &["--fields-terminated-by=", path]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("--fields-terminated-by") && message.contains("fixed length"), "{message}");
}
