//! Stories of dumps in character sets in which a letter of two bytes may hold what looks like a backslash or a backtick.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Cursor;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use support::dumped::{in_database, kept_incomplete, options as dump_options, reader};
use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::Postgres;
use support::repository::{TestRepository, now};
use support::rows::{Dice, assert_same_dump, found, patch};
use support::server::{refused, restore_into, restored, succeed};
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
    let tellings = ["NAMES ", "CHARACTER SET ", "CHARSET ", "NAMES "];
    for (letters, telling) in SETS.into_iter().zip(tellings) {
        let (set, name, text, _) = letters;
        let stage = Stage::new();
        make_database(&server, letters);
        // Else the server takes strings of any bytes for text, and writes them in the set of the database.
        let more: &[&str] = if telling == "NAMES " { &[] } else { &["--hex-blob"] };
        let whole = dump(&server, set, more);
        let told = told_otherwise(&whole, &format!("SET NAMES {set}"), &format!("SET {telling}{set}"));
        std::fs::write(stage.path("shop.sql"), told).unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
        let table = format!("shop.{name}");
        let row = stage.succeed(&["rows", "shop", &table, "--key", "300"]);
        assert!(row.starts_with(&format!("{name}: 300\n")), "{set}: {row}");

        other.run("", "DROP DATABASE IF EXISTS shop");
        restored(&restore_into(&stage, &other.url(""), &[]));
        assert_same_dump(&dump(&other, set, more), &whole, set, b"");
        let copy = format!("shop.{text}");
        restored(&restore_into(&stage, &other.url(""), &["--table", &table, "--as", &copy]));
        restored(&restore_into(&stage, &other.url(""), &["--overwrite", "--table", &table]));
        let sums =
            |table: &str| other.run("shop", format!("SELECT COUNT(*), SUM(CRC32(t)), SUM(CRC32(b)) FROM `{table}`"));
        assert_eq!(sums(text), sums(name), "{set}");
        other.run("", format!("DROP TABLE shop.`{text}`"));
        assert_same_dump(&dump(&other, set, more), &whole, set, b"");
    }
}

/// A dump with other words in place of some of its own.
fn told_otherwise(dump: &[u8], words: &str, others: &str) -> Vec<u8> {
    let at = dump.windows(words.len()).position(|window| window == words.as_bytes()).unwrap();
    [&dump[..at], others.as_bytes(), &dump[at + words.len()..]].concat()
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

/// Sets of which no byte of a letter looks like another character, and a name in each.
const PLAIN_SETS: [(&str, &str); 28] = [
    ("latin1", "éß"),
    ("latin2", "łő"),
    ("latin5", "ğş"),
    ("latin7", "ąė"),
    ("dec8", "éœ"),
    ("hp8", "éß"),
    ("cp850", "éß"),
    ("cp852", "łő"),
    ("keybcs2", "čř"),
    ("macce", "łő"),
    ("macroman", "éœ"),
    ("cp1250", "łő"),
    ("cp1251", "дом"),
    ("cp1256", "بيت"),
    ("cp1257", "ąė"),
    ("cp866", "дом"),
    ("koi8r", "дом"),
    ("koi8u", "їжак"),
    ("greek", "σπίτι"),
    ("hebrew", "בית"),
    ("tis620", "บาน"),
    ("armscii8", "տուն"),
    ("geostd8", "სახლი"),
    ("ujis", "表能"),
    ("eucjpms", "表能"),
    ("euckr", "집"),
    ("gb2312", "房子"),
    ("utf8mb3", "é表"),
];

/// A database that has this name and more of it, wherever `mariadb-dump` can dump it in other sets than UTF-8: it takes none of triggers
/// and routines.
fn make_named(server: &MariaDb, name: &str) {
    server.run(
        "",
        format!(
            "CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`;
             CREATE TABLE `{name}` (`{name}` INT PRIMARY KEY, t TEXT, KEY `{name}` (t(9))) COMMENT '{name}';
             CREATE TABLE `r{name}` (`{name}` INT, CONSTRAINT `{name}` FOREIGN KEY (`{name}`) REFERENCES `{name}` (`{name}`));
             INSERT INTO `{name}` SELECT seq, '{name}' FROM seq_1_to_50; INSERT INTO `r{name}` VALUES (7);
             CREATE TRIGGER g BEFORE UPDATE ON `{name}` FOR EACH ROW SET NEW.t = CONCAT(NEW.t, '{name}');
             CREATE SEQUENCE `s{name}`; CREATE EVENT `e{name}` ON SCHEDULE EVERY 1 DAY DO DELETE FROM `{name}`"
        ),
    );
}

/// The dump of this database, or of all with its events.
fn named_dump(server: &MariaDb, set: &str, database: Option<&str>, more: &[&str]) -> Vec<u8> {
    let set_option = format!("--default-character-set={set}");
    let usual = ["--all-databases", "--ignore-database=mysql", "--ignore-database=sys", "--events"];
    let options = if database.is_some() { &[][..] } else { &usual };
    let mut words = server.dump_command(&[&[&set_option, "--skip-dump-date"], options, more].concat());
    // The server is asked for it as it stands in the command.
    words.extend(database.map(|name| {
        let name = Letters::of(set.as_bytes()).encoded(name.as_bytes()).into_owned();
        OsString::from_vec(name)
    }));
    let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    succeed(output, "mariadb-dump").stdout
}

#[test]
fn a_name_of_mysql_is_the_same_wherever_a_dump_has_it() {
    let server = MariaDb::start();
    let variants: [&[&str]; 3] = [&[], &["--complete-insert", "--skip-comments"], &["--skip-quote-names"]];
    for ((set, name), more) in PLAIN_SETS.into_iter().zip(variants.into_iter().cycle()) {
        let place = TestRepository::new();
        make_named(&server, name);
        server.run(name, format!("CREATE VIEW `v{name}` AS SELECT `{name}` AS `{name}`, '{name}' FROM `{name}`"));
        let first = named_dump(&server, set, None, more);
        server.run(name, format!("DELETE FROM `{name}` WHERE `{name}` = 9"));
        let [a, b] = [ingest(&place, &first), ingest(&place, &named_dump(&server, set, None, more))];
        let tree = stored_tree(&place.repository, &a).unwrap();
        let found = |folder: &str| {
            let of_folder =
                |path: &Vec<u8>| path.strip_prefix(format!("{name}/{folder}/").as_bytes()).map(<[u8]>::to_vec);
            let first = |path: Vec<u8>| path.split(|&byte| byte == b'/').next().unwrap().to_vec();
            let names: BTreeSet<Vec<u8>> = tree.keys().filter_map(of_folder).map(first).collect();
            names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
        };
        let top: BTreeSet<&[u8]> = tree.keys().map(|path| path.split(|&byte| byte == b'/').next().unwrap()).collect();
        let top: Vec<_> =
            top.into_iter().filter(|it| !it.starts_with(b"_") && ![&b""[..], b"dump.sql"].contains(it)).collect();
        assert_eq!(top, [name.as_bytes()], "{set}");
        assert_eq!(
            found("tables"),
            BTreeSet::from([name.to_string(), format!("r{name}")]).into_iter().collect::<Vec<_>>(),
            "{set}"
        );
        assert_eq!(found("views"), [format!("v{name}")], "{set}");
        assert_eq!(found("sequences"), [format!("s{name}.sql")], "{set}");
        assert_eq!(found("events"), [format!("e{name}.sql")], "{set}");
        for file in ["schema.sql", "data.sql", "triggers.sql", "restore.sql"] {
            assert!(tree.contains_key(format!("{name}/tables/{name}/{file}").as_bytes()), "{set}: {file}");
        }
        let restore =
            String::from_utf8_lossy(&tree[format!("{name}/tables/r{name}/restore.sql").as_bytes()].1).into_owned();
        assert!(restore.lines().any(|line| line == format!("-- It refers to table `{name}`")), "{set}: {restore}");
        let changes = found_rows(&place, &a, &b);
        assert_eq!(changes, [(format!("{name}.{name}"), '-')], "{set}");
        server.run("", format!("DROP DATABASE `{name}`"));
    }
}

fn found_rows(place: &TestRepository, a: &Snapshot, b: &Snapshot) -> Vec<(String, char)> {
    let differences = found(place, a, b);
    assert!(differences.redefined.is_empty(), "{:?}", differences.redefined);
    differences.changes.into_iter().map(|change| (change.table, change.operation)).collect()
}

#[test]
fn a_dump_of_mysql_with_names_in_its_set_is_patched_and_comes_back() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    let some = ["latin1", "latin2", "cp852", "dec8", "koi8r", "tis620", "euckr", "ujis", "utf8mb3"];
    for (set, name) in PLAIN_SETS.into_iter().filter(|(set, _)| some.contains(set)) {
        let (place, stage) = (TestRepository::new(), Stage::new());
        make_named(&server, name);
        // The banner alone tells its database.
        let is_told = set != "ujis";
        let first = named_dump(&server, set, is_told.then_some(name), &[]);
        server.run(
            name,
            format!("UPDATE `{name}` SET t = 'x' WHERE `{name}` < 4; DELETE FROM `{name}` WHERE `{name}` = 9"),
        );
        let second = named_dump(&server, set, is_told.then_some(name), &[]);
        let [a, b] = [ingest(&place, &first), ingest(&place, &second)];
        let expected = ['*', '*', '*', '-'].map(|operation| (format!("{name}.{name}"), operation));
        assert_eq!(found_rows(&place, &a, &b), expected, "{set}");

        std::fs::write(stage.path("a.sql"), &first).unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("a.sql").to_str().unwrap()]);
        restored(&restore_into(&stage, &other.url(""), &[]));
        let patch = patch(&place, &a, &b, Direction::Forward).unwrap();
        other.run_in(set, "", patch);
        assert_same_dump(&named_dump(&other, set, is_told.then_some(name), &[]), &second, set, b"");

        let table = format!("{name}.{name}");
        restored(&restore_into(&stage, &other.url(""), &["--overwrite", "--table", &table]));
        restored(&restore_into(&stage, &other.url(""), &["--table", &table, "--as", &format!("{name}.{name}{name}")]));
        let sums =
            |table: &str| other.run(name, format!("SELECT COUNT(*), SUM(CRC32(t)), SUM(`{name}`) FROM `{table}`"));
        assert_eq!(sums(&format!("{name}{name}")), sums(name), "{set}");
        if Letters::of(set.as_bytes()) != Letters::Plain {
            let output = restore_into(&stage, &other.url(""), &["--table", &table, "--as", &format!("{name}.ᚠ")]);
            assert!(refused(&output, 2).contains("which has no such letters"), "{set}");
        }
        for server in [&server, &other] {
            server.run("", format!("DROP DATABASE `{name}`"));
        }
    }
}

#[test]
fn a_patch_of_tables_without_rows_is_in_the_set_of_the_dump() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.make_empty("shop");
    let first = {
        server.run("shop", "CREATE TABLE `éß` (`é` INT); CREATE TABLE `ß` (`é` INT)");
        named_dump(&server, "latin1", Some("shop"), &[])
    };
    server.run("shop", "ALTER TABLE `éß` ADD `ü` INT; DROP TABLE `ß`");
    let second = named_dump(&server, "latin1", Some("shop"), &[]);
    let [a, b] = [ingest(&place, &first), ingest(&place, &second)];
    let patch = patch(&place, &a, &b, Direction::Forward).unwrap();
    server.make_empty("shop");
    server.run_in("latin1", "shop", first);
    server.run_in("latin1", "", patch);
    assert_same_dump(&named_dump(&server, "latin1", Some("shop"), &[]), &second, "patched", b"");
}

#[test]
fn what_stands_for_a_view_is_in_two_sets_at_once() {
    let server = MariaDb::start();
    for (name, is_taken) in [("v", true), ("vé", false)] {
        let stage = Stage::new();
        server.make_empty("shop");
        server.run("shop", format!("CREATE VIEW `{name}` AS SELECT 1 AS `é`"));
        std::fs::write(stage.path("a.sql"), named_dump(&server, "latin1", Some("shop"), &[])).unwrap();
        server.make_empty("shop");
        stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("a.sql").to_str().unwrap()]);
        let output = restore_into(&stage, &server.url(""), &[]);
        assert_eq!(output.status.success(), is_taken, "{name}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).contains("Invalid utf8mb4 character string"), !is_taken);
        assert!(stage.succeed(&["ls", &format!("shop:/shop/views/{name}")]).contains("view.sql"));
    }
}

#[test]
fn files_of_tab_with_names_in_a_set_come_back() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    for (set, name) in [("latin1", "éß"), ("cp1251", "дом"), ("euckr", "집")] {
        let (stage, directory) = (Stage::new(), tempfile::TempDir::new().unwrap());
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        server.run("", format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`; CREATE TABLE `{name}` (`{name}` INT, t TEXT, b BIT(9));
                                INSERT INTO `{name}` VALUES (1, '{name}', b'1'), (2, NULL, NULL)"));
        let tab = format!("--tab={}", directory.path().to_str().unwrap());
        named_dump(&server, set, Some(name), &[&tab, "--complete-insert"]);
        let path = directory.path().to_str().unwrap();
        stage.succeed(&["ingest", "mysql", "--format", "tab", "--database", name, "--source", "shop", path]);
        let table = format!("{name}.{name}");
        let rows = stage.succeed(&["rows", "shop", &table, "--by", name, "--key", "1"]);
        assert!(rows.starts_with(&format!("{name}: 1\n")), "{set}: {rows}");
        restored(&restore_into(&stage, &other.url(""), &["--table", &table]));
        let whole = |server: &MariaDb| server.run(name, format!("SELECT `{name}`, t, HEX(b) FROM `{name}`"));
        assert_eq!(whole(&other), whole(&server), "{set}");
        other.run("", format!("DROP DATABASE `{name}`"));
        restored(&restore_into(&stage, &other.url(""), &[]));
        assert_eq!(whole(&other), whole(&server), "{set}");
    }
}

#[test]
fn letters_are_those_of_servers() {
    let mariadb = MariaDb::start();
    for (set, _) in
        PLAIN_SETS.into_iter().filter(|(set, _)| !matches!(*set, "ujis" | "eucjpms" | "euckr" | "gb2312" | "utf8mb3"))
    {
        let bytes = |byte: u8| format!("SELECT HEX(CONVERT(CONVERT(x'{byte:02x}' USING {set}) USING utf8mb4));");
        let told = mariadb.run("", (0x80..=0xff).map(bytes).collect::<String>());
        assert_letters(set, told.lines().map(|line| Some(line.to_string())));
    }
}

#[test]
fn letters_of_two_bytes_are_those_of_servers() {
    let mariadb = MariaDb::start();
    for set in ["gb2312", "euckr"] {
        let pairs = || (0xa1a1..=0xfefe_u16).step_by(3).filter(|pair| pair & 0xff > 0xa0);
        let bytes = |pair: u16| {
            format!("SELECT COALESCE(HEX(CONVERT(CONVERT(x'{pair:04x}' USING {set}) USING utf8mb4)), '3F');")
        };
        let told = mariadb.run("", pairs().map(bytes).collect::<String>());
        let letters = Letters::of(set.as_bytes());
        for (pair, told) in pairs().zip(told.lines()) {
            let (bytes, told) = (pair.to_be_bytes(), text_of_digits(told));
            let found = letters.name_in_utf8(bytes[..].into()).into_owned();
            if told.contains('?') {
                assert_eq!(found, bytes, "{set} has no {pair:x}");
            } else if told.chars().all(char::is_alphabetic) {
                assert_eq!(String::from_utf8_lossy(&found), told, "{set} {pair:x}");
            }
        }
    }
}

fn text_of_digits(digits: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    String::from_utf8((0..digits.len()).step_by(2).map(byte).collect()).unwrap()
}

/// The letters that a server has for the bytes from 128 on, in hexadecimal digits of UTF-8.
fn assert_letters(set: &str, told: impl Iterator<Item = Option<String>>) {
    let letters = Letters::of(set.as_bytes());
    for (byte, told) in (0x80..=0xff_u8).zip(told) {
        let Some(told) = told else { continue };
        let told = text_of_digits(&told);
        // Of signs some servers have other ones.
        if told.chars().all(|it| it.is_alphabetic() && !matches!(it, 'ʰ'..='˿' | 'ⁿ')) {
            let found = letters.name_in_utf8([byte][..].into()).into_owned();
            assert_eq!(String::from_utf8_lossy(&found), told, "{set} {byte:x}");
            assert_eq!(*letters.encoded(told.as_bytes()), [byte], "{set} {told}");
        }
    }
}

fn ingest_of_postgres(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let options = kept_incomplete(in_database(Some("shop"), dump_options(reader(dump))));
    ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

#[test]
fn dumps_of_postgresql_in_letters_of_two_bytes_are_read_and_patched() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    let sets = [
        ("SJIS", "表ソ", "能ソ", "TO shift_jis"),
        ("SHIFT_JIS_2004", "表ソ", "ソ", "= 'shift-jis-2004'"),
        ("GBK", "誠", "乗誠", "TO windows936"),
        ("GB18030", "誠ソ", "乗😀", "= gb18030"),
        ("BIG5", "功許", "蓋功", "TO 'Windows-950'"),
        ("UHC", "가", "똠방각하", "TO win949"),
    ];
    let variants: [&[&str]; 3] = [&[], &["--inserts"], &["--column-inserts"]];
    for ((set, name, text, telling), more) in sets.into_iter().zip(variants.into_iter().cycle()) {
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
        let usual = format!("SET client_encoding = '{set}'");
        let told = told_otherwise(&second, &usual, &format!("SET client_encoding {telling}"));
        fresh();
        server.run("shop", &told);
        for same in [told, dump()] {
            assert_eq!(found(&place, &b, &ingest_of_postgres(&place, &same)).changes, [], "{set} {telling}");
        }
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
