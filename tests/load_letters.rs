//! Stories of bringing back dumps whose databases are called by letters of two bytes, and dumps in several sets at once.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::server::{restore_into, restored, succeed};
use yesterfs::dump::letters::Letters;

/// Sets, and a name in them. What the server takes for a backslash in a name `mariadb-dump` cannot ask for.
const SETS: [(&str, &str); 4] = [("sjis", "商店"), ("gbk", "商店"), ("big5", "商店"), ("latin1", "é")];

/// Letters that hold a backslash before what ends a string.
const TEXT: &str = "ソ能表";

fn make(server: &MariaDb, name: &str, text: &str) {
    let rows = (0..50).map(|id| format!("({id}, '{text}')")).collect::<Vec<_>>().join(",");
    server.run(
        "",
        format!(
            "CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`; CREATE TABLE t (id INT PRIMARY KEY, v TEXT);
             INSERT INTO t VALUES {rows}; CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t"
        ),
    );
}

/// The dump of a database, which names it or not.
fn dump(server: &MariaDb, set: &str, name: &str, is_named: bool) -> Vec<u8> {
    let set_option = format!("--default-character-set={set}");
    let options = ["--skip-dump-date", &set_option, "--databases"];
    let mut words = server.dump_command(&options[..if is_named { 3 } else { 2 }]);
    words.push(OsString::from_vec(Letters::of(set.as_bytes()).encoded(name.as_bytes()).into_owned()));
    succeed(Command::new(&words[0]).args(&words[1..]).output().unwrap(), "mariadb-dump").stdout
}

fn rows(server: &MariaDb, name: &str) -> String {
    server.run("", format!("SELECT * FROM `{name}`.t ORDER BY id; SELECT * FROM `{name}`.u ORDER BY id"))
}

#[test]
fn a_database_in_letters_of_the_dump_comes_back_in_every_way() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    for (set, name) in SETS {
        let stage = Stage::new();
        make(&server, name, if set == "latin1" { name } else { "商\\\\" });
        let expected = rows(&server, name);
        for is_named in [true, false] {
            let file = stage.path(&format!("{name}.sql"));
            std::fs::write(&file, dump(&server, set, name, is_named)).unwrap();
            stage.succeed(&["ingest", "mysql", "--source", "shop", file.to_str().unwrap()]);
            for options in [&["--threads", "1"][..], &["--threads", "3"], &["--table", &format!("{name}.t")]] {
                other.run("", format!("DROP DATABASE IF EXISTS `{name}`"));
                restored(&restore_into(&stage, &other.url(""), options));
                if options[0] == "--table" {
                    other.run(name, "CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t");
                }
                assert_eq!(rows(&other, name), expected, "{set} {is_named} {options:?}");
            }
            assert!(stage.succeed(&["verify", "shop", "--with", "mysql"]).contains("equal: "), "{set} {is_named}");
        }
        server.run("", format!("DROP DATABASE `{name}`"));
        other.run("", format!("DROP DATABASE `{name}`"));
    }
}

#[test]
fn each_of_several_dumps_is_loaded_in_its_own_set() {
    let (server, other, stage) = (MariaDb::start(), MariaDb::start(), Stage::new());
    let dumps = stage.make_directory("dumps");
    for (name, set, text) in [("a", "utf8mb4", "あ\\'b"), ("b", "sjis", TEXT), ("c", "gbk", "誠"), ("d", "latin1", "é")]
    {
        make(&server, name, text);
        std::fs::write(dumps.join(format!("{name}.sql")), dump(&server, set, name, name == "c")).unwrap();
    }
    stage.succeed(&["ingest", "mysql", "--source", "shop", dumps.to_str().unwrap()]);
    for threads in ["1", "3"] {
        restored(&restore_into(&stage, &other.url(""), &["--overwrite", "--threads", threads]));
        for name in ["a", "b", "c", "d"] {
            assert_eq!(rows(&other, name), rows(&server, name), "{name} by {threads}");
        }
    }
    assert_drill(&stage, 8);
    // Sets in which rows are read alike, which a directory or one file has.
    ["b.sql", "c.sql"].iter().for_each(|name| std::fs::remove_file(dumps.join(name)).unwrap());
    let appended = stage.path("appended.sql");
    std::fs::write(&appended, ["a.sql", "d.sql"].map(|name| std::fs::read(dumps.join(name)).unwrap()).concat())
        .unwrap();
    for place in [dumps, appended] {
        stage.succeed(&["ingest", "mysql", "--source", "shop", place.to_str().unwrap()]);
        assert_drill(&stage, 4);
    }
}

/// Does a drill, which has to dump each database in its set to find these tables equal.
#[track_caller]
fn assert_drill(stage: &Stage, tables: usize) {
    let printed = stage.succeed(&["verify", "shop", "--with", "mysql"]);
    assert_eq!(printed.matches(": 50 rows, equal\n").count(), tables, "{printed}");
    assert!(printed.contains(&format!("equal: {tables} tables, ")), "{printed}");
}

/// The dump of a table of one row, as `mariadb-dump` writes it.
fn small_dump(set: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let head = format!(
        "-- MariaDB dump 10.19\n\n/*!40101 SET NAMES {set} */;\nCREATE TABLE `{name}` (\n  `id` int NOT NULL,\n  `v` text,\n  \
         PRIMARY KEY (`id`)\n);\nINSERT INTO `{name}` VALUES (1,'"
    );
    [head.as_bytes(), value, b"');\n-- Dump completed on 2026-11-28  1:00:00\n"].concat()
}

#[test]
fn statements_are_made_only_of_tables_in_the_set_that_they_are_read_in() {
    let stage = Stage::new();
    let dumps = stage.make_directory("dumps");
    let write = |name: &str, dump: Vec<u8>| std::fs::write(dumps.join(format!("{name}.sql")), dump).unwrap();
    let ingest = || stage.succeed(&["ingest", "mysql", "--source", "shop", dumps.to_str().unwrap()]);
    write("a", small_dump("utf8mb4", "t", "é".as_bytes()));
    write("b", small_dump("latin1", "t", b"\xe9"));
    ingest();
    write("a", small_dump("utf8mb4", "t", "è".as_bytes()));
    ingest();
    let printed = |words: &[&str]| String::from_utf8(stage.command(words).output().unwrap().stdout).unwrap();
    let between = ["diff", "shop@latest~1", "shop@latest", "--rows"];
    assert!(printed(&[&between[..], &["--sql"]].concat()).contains("è"));
    assert!(stage.succeed(&["rows", "shop", "a.t", "--key", "1", "--sql"]).contains("è"));
    write("b", small_dump("latin1", "t", b"\xe8"));
    ingest();
    assert!(printed(&between).contains("b.t"));
    for words in [&[&between[..], &["--sql"]].concat()[..], &["rows", "shop", "b.t", "--key", "1", "--sql"]] {
        let output = stage.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}: {said}");
        assert!(said.contains("b.t") && said.contains("its dump is in latin1"), "{said}");
    }
    // One that only one of them has, beside those of a set that is read letter by letter.
    write("c", small_dump("sjis", "t", b"\x83\x5c"));
    ingest();
    write("d", small_dump("sjis", "t", b"\x83\x5c"));
    ingest();
    let said = printed(&between);
    assert!(said.contains("d.t") && !said.contains("c.t"), "{said}");
}
