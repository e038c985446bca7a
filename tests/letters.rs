//! Stories of dumps in character sets in which a letter of two bytes may hold what looks like a backslash or a backtick.

mod support;

use std::io::Cursor;
use std::sync::Arc;

use support::dumped::{in_database, kept_incomplete, options as dump_options, reader};
use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::Postgres;
use support::repository::{TestRepository, now};
use support::rows::{Dice, assert_same_dump, found, patch};
use support::server::{restore_into, restored};
use support::stored::stored_tree;
use yesterfs::dump::letters::Letters;
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::dump::{DumpInput, DumpOptions, DumpRules};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::Direction;

/// A set, a name and a text in it whose letters hold backslashes, and a text with backticks.
const SETS: [(&str, &str, &str, &str); 4] = [
    ("sjis", "表ソ", "能ソ", "チ"),
    ("cp932", "表ソ", "十ソ", "チ"),
    ("gbk", "誠誠", "乗誠", "乣"),
    ("big5", "功功", "蓋功", "乙"),
];

fn ingest(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    let input = StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())));
    let inputs = vec![DumpInput { name: None, input, fallback_database: "shop".into() }];
    let options = DumpOptions { common, inputs, rules: DumpRules::default(), threads: 2 };
    ingest_mysql(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

/// Makes a database that has such letters wherever `mariadb-dump` can dump them: it takes none with backticks in names of tables, and an
/// even number of those with backslashes.
fn make_database(server: &MariaDb, (set, name, text, ticks): (&str, &str, &str, &str)) {
    let mut dice = Dice(7);
    let mut blob = || (0..dice.roll(40)).map(|_| format!("{:02x}", dice.roll(256))).collect::<String>();
    let odd = ["bf27", "bf5c", "83", "8127", "815c27", "81308130", "a5", "a55c", "8300830ae0", "83c327"];
    let rows = (0..300).map(|id| format!(r"({id}, '{text}\\{ticks}\'\n{text}', x'{}')", blob()));
    let more = (300..).zip(odd).map(|(id, odd)| format!("({id}, '{text}', x'{odd}')"));
    let rows: Vec<String> = rows.collect::<Vec<_>>().into_iter().chain(more).collect();
    server.run(
        "",
        format!(
            "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
             CREATE TABLE `{name}` (`{name}` INT PRIMARY KEY, t TEXT, b BLOB) COMMENT '{text}';
             CREATE TABLE keyless (`{name}` TEXT, b VARBINARY(50));
             INSERT INTO `{name}` VALUES {};
             INSERT INTO keyless SELECT t, b FROM `{name}`",
            rows.join(",")
        ),
    );
    let trigger = format!(
        "CREATE TRIGGER g BEFORE UPDATE ON `{name}` FOR EACH ROW SET @`{ticks}` = 1, NEW.t = CONCAT(NEW.t, '{text}')"
    );
    server.run_in(set, "shop", Letters::of(set.as_bytes()).encoded(trigger.as_bytes()));
}

fn dump(server: &MariaDb, set: &str, more: &[&str]) -> Vec<u8> {
    let set = format!("--default-character-set={set}");
    server.dump(&[&[&set, "--skip-dump-date", "--add-drop-database", "--databases", "shop"], more].concat())
}

#[test]
fn dumps_of_mysql_in_letters_of_two_bytes_are_read_and_patched() {
    let server = MariaDb::start();
    let variants: [&[&str]; 3] = [&[], &["--complete-insert", "--skip-comments"], &["--hex-blob"]];
    for (letters, more) in SETS.into_iter().zip(variants.into_iter().cycle()) {
        let (set, name, text, ticks) = letters;
        let place = TestRepository::new();
        make_database(&server, letters);
        let first = dump(&server, set, more);
        server.run(
            "shop",
            format!(
                r"UPDATE `{name}` SET t = '{text}' WHERE `{name}` % 50 = 1; DELETE FROM `{name}` WHERE `{name}` % 50 = 2;
                 INSERT INTO `{name}` VALUES (900, '{text}', x'83'), (901, '\'{ticks}', x'a527');
                 DELETE FROM keyless LIMIT 20; INSERT INTO keyless VALUES ('{text}', x'a5'), ('{ticks}\\', NULL)"
            ),
        );
        let second = dump(&server, set, more);
        let [a, b] = [ingest(&place, &first), ingest(&place, &second)];
        assert_eq!(a.manifest.facts["rows"], "620", "{set}");
        let tree = stored_tree(&place.repository, &a).unwrap();
        for file in ["schema.sql", "data.sql", "triggers.sql", "restore.sql"] {
            assert!(tree.contains_key(format!("shop/tables/{name}/{file}").as_bytes()), "{set}: {file}");
        }
        let differences = found(&place, &a, &b);
        assert!(differences.redefined.is_empty(), "{set}: {:?}", differences.redefined);
        let of_table = differences.changes.iter().filter(|it| it.table == format!("shop.{name}")).count();
        assert_eq!(of_table, 7 + 7 + 2, "{set}");
        for (direction, from, target) in [(Direction::Forward, &first, &b), (Direction::Reverse, &second, &a)] {
            let patch = patch(&place, &a, &b, direction).unwrap();
            server.run_in(set, "", from);
            server.run_in(set, "", &patch);
            let made = ingest(&place, &dump(&server, set, more));
            assert_eq!(found(&place, &made, target).changes, [], "{set} {direction:?}");
        }
    }
}

#[test]
fn dumps_of_mysql_in_letters_of_two_bytes_come_back() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    for letters in SETS {
        let (set, name, text, _) = letters;
        let stage = Stage::new();
        make_database(&server, letters);
        let whole = dump(&server, set, &[]);
        std::fs::write(stage.path("shop.sql"), &whole).unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
        let table = format!("shop.{name}");
        let row = stage.succeed(&["rows", "shop", &table, "--key", "300"]);
        assert!(row.starts_with(&format!("{name}: 300\n")), "{set}: {row}");

        other.run("", "DROP DATABASE IF EXISTS shop");
        restored(&restore_into(&stage, &other.url(""), &[]));
        assert_same_dump(&dump(&other, set, &[]), &whole, set, b"");
        let copy = format!("shop.{text}");
        restored(&restore_into(&stage, &other.url(""), &["--table", &table, "--as", &copy]));
        restored(&restore_into(&stage, &other.url(""), &["--overwrite", "--table", &table]));
        let sums =
            |table: &str| other.run("shop", format!("SELECT COUNT(*), SUM(CRC32(t)), SUM(CRC32(b)) FROM `{table}`"));
        assert_eq!(sums(text), sums(name), "{set}");
        other.run("", format!("DROP TABLE shop.`{text}`"));
        assert_same_dump(&dump(&other, set, &[]), &whole, set, b"");
    }
}

#[test]
fn a_trigger_in_letters_of_two_bytes_is_read_in_a_dump_of_others() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    let tables = "CREATE TABLE a (x INT, t TEXT); CREATE TABLE b (x INT); INSERT INTO b VALUES (2)";
    server.run(
        "",
        format!("CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop; {tables}; INSERT INTO a VALUES (1, 'ソ')"),
    );
    let trigger = b"CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET NEW.t = '\x83\x5c', NEW.x = 2";
    server.run_in("sjis", "shop", trigger);
    let snapshot = ingest(&place, &dump(&server, "utf8mb4", &[]));
    let tree = stored_tree(&place.repository, &snapshot).unwrap();
    for file in ["a/triggers.sql", "a/data.sql", "b/schema.sql", "b/data.sql"] {
        assert!(tree.contains_key(format!("shop/tables/{file}").as_bytes()), "{file}");
    }
    assert_eq!(snapshot.manifest.facts["rows"], "2");
}

fn ingest_of_postgres(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let options = kept_incomplete(in_database(Some("shop"), dump_options(reader(dump))));
    ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

#[test]
fn dumps_of_postgresql_in_letters_of_two_bytes_are_read_and_patched() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    let sets = [
        ("SJIS", "表ソ", "能ソ"),
        ("SHIFT_JIS_2004", "表ソ", "ソ"),
        ("GBK", "誠", "乗誠"),
        ("GB18030", "誠ソ", "乗😀"),
        ("BIG5", "功許", "蓋功"),
        ("UHC", "가", "똠방각하"),
    ];
    let variants: [&[&str]; 3] = [&[], &["--inserts"], &["--column-inserts"]];
    for ((set, name, text), more) in sets.into_iter().zip(variants.into_iter().cycle()) {
        let fresh = || {
            server.run("postgres", "DROP DATABASE IF EXISTS shop");
            server.run("postgres", "CREATE DATABASE shop ENCODING 'UTF8' TEMPLATE template0");
        };
        let dump = || server.dump("pg_dump", &[&["--encoding", set, "shop"], more].concat());
        fresh();
        server.run(
            "shop",
            format!(
                r#"CREATE TABLE "{name}" ("{name}" integer PRIMARY KEY, t text); CREATE TABLE keyless ("{name}" text);
                 CREATE VIEW v AS SELECT "{name}", '{text}\'::text AS "{text}" FROM "{name}";
                 INSERT INTO "{name}" SELECT i, '{text}' || E'\\\n\t''' || '{text}' || i FROM generate_series(1, 300) i;
                 INSERT INTO keyless SELECT t FROM "{name}""#
            ),
        );
        let first = dump();
        server.run(
            "shop",
            format!(
                r#"UPDATE "{name}" SET t = '{text}' WHERE "{name}" % 50 = 1; DELETE FROM "{name}" WHERE "{name}" = 2;
                 INSERT INTO "{name}" VALUES (900, '\{text}\'); DELETE FROM keyless WHERE "{name}" LIKE '%7'"#
            ),
        );
        let second = dump();
        let [a, b] = [ingest_of_postgres(&place, &first), ingest_of_postgres(&place, &second)];
        assert_eq!(a.manifest.facts["rows"], "600", "{set}");
        let differences = found(&place, &a, &b);
        assert_eq!(differences.changes.len(), 6 + 1 + 1 + 30, "{set}");
        for (direction, from, to) in [(Direction::Forward, &first, &b), (Direction::Reverse, &second, &a)] {
            let patch = patch(&place, &a, &b, direction).unwrap();
            fresh();
            server.run("shop", from);
            server.run("shop", &patch);
            let made = ingest_of_postgres(&place, &dump());
            assert_eq!(found(&place, &made, to).changes, [], "{set} {direction:?}");
        }
    }
}
