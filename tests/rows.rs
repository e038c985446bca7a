//! Stories of comparing the rows of two dumps: which rows changed, and what brings one state to the other in a real server.

mod support;

use std::io::Cursor;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use support::mariadb::MariaDb;
use support::repository::{TestRepository, now};
use support::rows::{
    Dice, MIB, assert_any_bytes_are_understood_or_invalid, assert_same_dump, diff, found, options, patch,
};
use yesterfs::error::{Error, ErrorKind};
use yesterfs::ingest::dump::{DumpInput, DumpOptions, DumpRules};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::Recorder;
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::{Direction, DumpSide, RowDiffOptions, find_rows};

fn ingest(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    let input = StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())));
    let inputs = vec![DumpInput { name: None, input, fallback_database: "shop".into() }];
    let rules = DumpRules { database: Some("shop".into()), keep_incomplete: true, ..DumpRules::default() };
    let options = DumpOptions { common, inputs, rules, threads: 2 };
    let IngestReport { snapshot } = ingest_mysql(&place.repository, options, &now, &Recorder::default()).unwrap();
    snapshot
}

/// A database with everything that makes rows hard to change.
const TABLES: &str = "
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE customers (
    id INT PRIMARY KEY AUTO_INCREMENT,
    email VARCHAR(100) UNIQUE,
    name VARCHAR(200) CHARACTER SET latin1,
    length INT GENERATED ALWAYS AS (octet_length(name)) STORED,
    double_length INT AS (octet_length(name) * 2) VIRTUAL,
    changed TIMESTAMP NOT NULL DEFAULT '2026-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP
);
CREATE TABLE orders (
    id BIGINT UNSIGNED PRIMARY KEY,
    customer INT,
    amount DECIMAL(20, 4),
    ratio FLOAT,
    exact DOUBLE,
    at DATETIME(6),
    span TIME(3),
    year YEAR,
    day DATE,
    FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE pairs (name VARCHAR(20), number INT, data LONGBLOB, place POINT, bits BIT(12), PRIMARY KEY (name, number));
CREATE TABLE keyless (number INT, ratio FLOAT, text VARCHAR(20), data VARBINARY(20), bits BIT(9), place POINT, day DATE, fixed BINARY(3));
CREATE TABLE slots (id INT PRIMARY KEY, slot INT NOT NULL, other INT, UNIQUE (slot), UNIQUE (other, id));
CREATE TABLE computed (id INT PRIMARY KEY, base INT, twice INT AS (base * 2) STORED UNIQUE);
CREATE TABLE documents (code VARCHAR(30) COLLATE utf8mb4_bin NOT NULL UNIQUE, body JSON, kind ENUM('a', 'b', '', 'it''s'), tags SET('x', 'y'));
CREATE TABLE floats (ratio FLOAT PRIMARY KEY, name TEXT);
CREATE TABLE large (id INT PRIMARY KEY, text VARCHAR(300), number INT);
CREATE TABLE longs (id INT PRIMARY KEY, text LONGTEXT);
CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT);
CREATE TABLE `we``ird ).,(` (`a,b` INT PRIMARY KEY, `values` TEXT, `c``d` TEXT);
INSERT INTO large SELECT seq, CONCAT(MD5(seq), ' ''', MD5(seq + 1), '\\\\'), seq % 7 FROM seq_1_to_4000;
INSERT INTO longs SELECT seq, REPEAT(CONCAT(MD5(seq), '\\n(1,NULL),(2,NULL);'), 1500) FROM seq_1_to_12;
DELIMITER //
CREATE TRIGGER logged AFTER UPDATE ON customers FOR EACH ROW INSERT INTO log (text) VALUES ('changed'), ('again')//
CREATE TRIGGER `log ``it` BEFORE INSERT ON slots FOR EACH ROW BEGIN SET NEW.other = NEW.other + 1000; END//
DELIMITER ;
";

/// A string that is hard to write down.
fn text(dice: &mut Dice) -> String {
    const PIECES: [&str; 16] = [
        "a",
        "B",
        "''",
        "\\\\",
        "\\n",
        "\\r",
        "\\0",
        "\\Z",
        "),(",
        "(1,",
        "\"",
        "`",
        "ä",
        "漢🐘",
        " ",
        "\\n(1,NULL),\\n",
    ];
    (0..dice.roll(6)).map(|_| PIECES[dice.roll(16) as usize]).collect()
}

fn bytes(dice: &mut Dice, most: u64) -> String {
    (0..dice.roll(most + 1)).map(|_| format!("{:02x}", dice.roll(256))).collect()
}

fn or_null(dice: &mut Dice, value: impl FnOnce(&mut Dice) -> String) -> String {
    if dice.roll(8) == 0 { "NULL".into() } else { value(dice) }
}

/// Some change of the database.
fn step(dice: &mut Dice) -> String {
    let id = |dice: &mut Dice| dice.roll(40) + 1;
    let number = |dice: &mut Dice| format!("{}", dice.roll(2000) as i64 - 1000);
    let decimal = |dice: &mut Dice| format!("{}.{}", dice.roll(2000) as i64 - 1000, dice.roll(10000));
    let string = |dice: &mut Dice| format!("'{}'", text(dice));
    let blob = |dice: &mut Dice| format!("x'{}'", bytes(dice, 12));
    let day = |dice: &mut Dice| format!("'20{:02}-{:02}-{:02}'", dice.roll(30), dice.roll(12) + 1, dice.roll(28) + 1);
    let point = |dice: &mut Dice| format!("POINT({}, {})", dice.roll(9), dice.roll(9));
    match dice.roll(25) {
        0 => format!("INSERT IGNORE INTO customers (email, name) VALUES ({}, {})", or_null(dice, string), or_null(dice, |dice| format!("'a{}'", dice.roll(99)))),
        1 => format!("UPDATE IGNORE customers SET name = 'näme {}', changed = changed WHERE id = {}", dice.roll(50), id(dice)),
        2 => format!("UPDATE IGNORE customers SET id = {} WHERE id = {}", id(dice) + 20, id(dice)),
        3 => format!("DELETE FROM customers WHERE id = {}", id(dice)),
        4 => format!("UPDATE IGNORE customers SET email = {} WHERE id = {}", or_null(dice, string), id(dice)),
        5 | 6 => format!(
            "INSERT IGNORE INTO orders SELECT {} + seq, NULL, {}, {}, {}e{}, '2026-01-01 00:00:00.5' + INTERVAL {} MICROSECOND, SEC_TO_TIME({}), 2000 + {}, {} FROM seq_1_to_3",
            dice.roll(60), decimal(dice), decimal(dice), decimal(dice), dice.roll(30) as i64 - 15, dice.roll(1000000), number(dice), dice.roll(99), day(dice)
        ),
        7 => format!("UPDATE orders SET customer = (SELECT MIN(id) FROM customers), exact = -0e0, ratio = {} WHERE id = {}", decimal(dice), id(dice)),
        8 => format!("DELETE FROM orders WHERE id % 9 = {}", dice.roll(9)),
        9 => format!("INSERT IGNORE INTO pairs VALUES ({}, {}, {}, {}, {})", string(dice), dice.roll(5), or_null(dice, blob), or_null(dice, point), dice.roll(4096)),
        10 => format!("UPDATE IGNORE pairs SET number = number + {}, data = {}, bits = {} WHERE number = {}", dice.roll(3), blob(dice), or_null(dice, |dice| dice.roll(4096).to_string()), dice.roll(5)),
        11 | 12 => {
            let values = format!(
                "({}, {}, {}, {}, {}, {}, {}, {})",
                or_null(dice, number), or_null(dice, decimal), or_null(dice, string), or_null(dice, blob), or_null(dice, |dice| dice.roll(512).to_string()), or_null(dice, point), or_null(dice, day), blob(&mut Dice(dice.roll(9) + 1)),
            );
            let values = vec![values; 1 + dice.roll(3) as usize].join(", ");
            format!("INSERT IGNORE INTO keyless VALUES {values}")
        }
        13 => format!("INSERT INTO keyless (text) VALUES ('a'), ('A'), ('a '), ('A'); DELETE FROM keyless WHERE number > {} LIMIT 1", number(dice)),
        14 => "UPDATE keyless SET text = CONCAT(text, 'x') WHERE CHAR_LENGTH(text) < 18 LIMIT 1; UPDATE keyless SET ratio = ratio * 1.1 LIMIT 2".into(),
        15 => format!("INSERT IGNORE INTO slots VALUES ({}, {}, {})", id(dice), id(dice), id(dice)),
        // Rows that exchange what must be unique.
        16 | 17 => {
            let (one, two) = (id(dice), id(dice));
            format!(
                "SET @a = (SELECT slot FROM slots WHERE id = {one}), @b = (SELECT slot FROM slots WHERE id = {two});
                 UPDATE slots SET slot = -1 WHERE id = {one} AND @b IS NOT NULL; UPDATE slots SET slot = @a WHERE id = {two} AND @a IS NOT NULL;
                 UPDATE slots SET slot = IFNULL(@b, slot) WHERE id = {one}"
            )
        }
        18 => format!("INSERT IGNORE INTO computed (id, base) VALUES ({}, {})", id(dice), or_null(dice, number)),
        19 => format!("UPDATE computed SET base = base + 1 ORDER BY base DESC; DELETE FROM computed WHERE id = {}", id(dice)),
        20 => format!("INSERT IGNORE INTO documents VALUES ({}, '{{\"a\": [{}, \"\\\\\\\\n\"]}}', {}, 'x,y')", string(dice), number(dice), 1 + dice.roll(4)),
        21 => format!("UPDATE IGNORE documents SET code = {}, tags = '' LIMIT 1; INSERT IGNORE INTO floats VALUES ({}, {})", string(dice), decimal(dice), string(dice)),
        22 => format!("UPDATE floats SET name = {} ORDER BY RAND({}) LIMIT 2; DELETE FROM floats LIMIT 1", string(dice), dice.roll(99)),
        23 => format!(
            "UPDATE large SET number = number + 1, text = CONCAT('x', text) WHERE id BETWEEN {} AND {}; DELETE FROM large WHERE id = {}; INSERT IGNORE INTO large VALUES ({}, {}, 0)",
            id(dice) * 50, id(dice) * 51, dice.roll(4000), dice.roll(6000), string(dice)
        ),
        _ => format!(
            "UPDATE longs SET text = CONCAT({}, text) WHERE id = {}; REPLACE INTO longs VALUES ({}, REPEAT({}, 20000)); INSERT IGNORE INTO `we``ird ).,(` VALUES ({}, {}, {})",
            string(dice), dice.roll(14), dice.roll(14), string(dice), id(dice), string(dice), string(dice)
        ),
    }
}

/// Ways to dump, none of which shows when.
const VARIANTS: [&[&str]; 12] = [
    &[],
    &["--hex-blob"],
    &["--complete-insert", "--skip-extended-insert"],
    &["--replace", "--skip-tz-utc", "--no-autocommit"],
    &["--hex-blob", "--compatible=ansi", "--skip-opt", "--create-options", "--quick"],
    &["--skip-comments", "--skip-add-locks", "--skip-disable-keys"],
    // Such a dump fails where a column is called `values`.
    &["--skip-quote-names", "--ignore-table=shop.we`ird ).,("],
    &["--default-character-set=binary"],
    &["--insert-ignore", "--skip-log-queries", "--order-by-primary"],
    &["--delayed-insert", "--replace"],
    &["--compatible=postgresql", "--skip-opt", "--create-options", "--quick"],
    &[
        "--skip-quote-names",
        "--complete-insert",
        "--skip-extended-insert",
        "--hex-blob",
        "--default-character-set=binary",
        "--ignore-table=shop.we`ird ).,(",
    ],
];

fn dump(server: &MariaDb, variant: &[&str]) -> Vec<u8> {
    server.dump(&[&["--skip-dump-date", "--add-drop-database", "--databases", "shop"], variant].concat())
}

/// As MySQL writes it: all rows of a statement on one line.
fn on_one_line(dump: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dump.len());
    for (at, &byte) in dump.iter().enumerate() {
        let is_break = byte == b'\n' && dump[at + 1..].starts_with(b"(");
        match is_break && (dump[..at].ends_with(b",") || dump[..at].ends_with(b"VALUES")) {
            true if out.ends_with(b"VALUES") => out.push(b' '),
            true => {}
            false => out.push(byte),
        }
    }
    out
}

#[test]
fn patches_make_each_state_of_the_other_in_a_real_server() {
    let server = MariaDb::start();
    for (seed, variant) in (1..).zip(VARIANTS.iter().cycle().take(12)) {
        let (place, mut dice) = (TestRepository::new(), Dice(seed * 0x9e37_79b9));
        server.run("", "DROP DATABASE IF EXISTS shop");
        server.run("", TABLES);
        let mut change = |count: usize| {
            let steps: Vec<String> = (0..count).map(|_| step(&mut dice)).collect();
            server.run("shop", format!("SET sql_mode = '';\n{};\n", steps.join(";\n")));
        };
        change(150);
        let dumps = [dump(&server, variant), {
            change(1 + 12 * seed as usize);
            dump(&server, variant)
        }];
        let [a, b] = [ingest(&place, &dumps[0]), ingest(&place, &dumps[1])];
        let differences = found(&place, &a, &b);
        assert!(!differences.changes.is_empty() && differences.redefined.is_empty(), "{:?}", differences.redefined);
        for direction in [Direction::Forward, Direction::Reverse] {
            let (from, to) = if direction == Direction::Forward { (0, 1) } else { (1, 0) };
            let patch = patch(&place, &a, &b, direction).unwrap();
            // The server would take values for them, and say nothing.
            let has = |name: &str| patch.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(!["`length`", "`double_length`", "`twice`"].into_iter().any(has), "a generated column is written");
            server.run("", &dumps[from]);
            server.run("", &patch);
            let what = format!("seed {seed}, {variant:?}, {direction:?}");
            let made = dump(&server, variant);
            assert_same_dump(&made, &dumps[to], &what, &patch);
            let again = ingest(&place, &made);
            let target = if to == 1 { &b } else { &a };
            assert_eq!(found(&place, &again, target).changes, [], "{what}");
        }
    }
}

/// A dump of one table, written here.
fn made_dump(definition: &str, rows: &[String], one_line: bool) -> Vec<u8> {
    let separator = if one_line { "," } else { ",\n" };
    let values = if one_line { "VALUES " } else { "VALUES\n" };
    let a_statement = if rows.len() > 50_000 { 25_000 } else { 700 };
    let inserts = rows.chunks(a_statement).map(|rows| format!("INSERT INTO `t` {values}{};\n", rows.join(separator)));
    format!(
        "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `t` (\n{definition}\n);\n\
         LOCK TABLES `t` WRITE;\n{}UNLOCK TABLES;\n-- Dump completed\n",
        inserts.collect::<String>()
    )
    .into_bytes()
}

const KEYED: &str = "  `id` int NOT NULL,\n  `text` longtext,\n  PRIMARY KEY (`id`)";

/// Rows whose strings look like rows, and some of which are long. `raw` ones have line breaks as they are.
fn hostile_rows(dice: &mut Dice, count: u64, raw: bool) -> Vec<String> {
    let pieces =
        ["(1,NULL),(2,NULL)", "),(", "\\n(7,'x')", "''", "\\\\", ";\\n", "INSERT INTO `t` VALUES", "abc", "--"];
    let raw_pieces = ["\n(3,NULL),\n(4,NULL),", "\n", ");\nINSERT INTO `t` VALUES\n(5,''"];
    let row = |id: u64| {
        let long = if dice.roll(40) == 0 { 9000 } else { 12 };
        let mut text = String::new();
        for _ in 0..dice.roll(long) {
            let pieces: &[&str] = if raw && dice.roll(3) == 0 { &raw_pieces } else { &pieces };
            text.push_str(pieces[dice.roll(pieces.len() as u64) as usize]);
        }
        format!("({id},'{text}')")
    };
    (0..count).map(row).collect()
}

#[test]
fn reading_what_differs_finds_what_reading_all_finds() {
    let mut changes = 0;
    for seed in 1..60u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        let (raw, one_line) = (seed % 3 == 0, seed % 2 == 0);
        let mut rows = hostile_rows(&mut dice, 1500, raw);
        let before = ingest(&place, &made_dump(KEYED, &rows, one_line));
        for _ in 0..1 + dice.roll(12) {
            let at = dice.roll(rows.len() as u64) as usize;
            let other =
                hostile_rows(&mut dice, 1, raw).remove(0).replacen("(0,", &format!("({},", 5000 + dice.roll(900)), 1);
            match dice.roll(6) {
                0 => drop(rows.remove(at)),
                1 => rows.insert(at, other),
                2 => rows[at] = other,
                // In the middle of a row that is longer than chunks.
                3 | 4 => {
                    let long = rows.iter_mut().filter(|row| row.len() > 40_000).nth(dice.roll(20) as usize);
                    let near = |row: &String| row[row.len() / 2..].find("abc").map(|at| row.len() / 2 + at);
                    if let Some((at, row)) = long.and_then(|row| Some((near(row)?, row))) {
                        row.replace_range(at..at + 3, "another");
                    }
                }
                // Longer than chunks, and like rows.
                _ => {
                    rows[at] =
                        format!("({},'{}')", 9000 + at, "(1,NULL),(2,NULL),".repeat(1 + dice.roll(9000) as usize))
                }
            }
        }
        let after = ingest(&place, &made_dump(KEYED, &rows, one_line));
        let differences = found(&place, &before, &after);
        changes += differences.changes.len();
        let has_note = differences.notes.iter().any(|note| note.contains("read from the first one on"));
        // On one line, rows are told by brackets only, which strings hold.
        assert_eq!(has_note, raw || one_line, "{seed}: {:?}", differences.notes);
    }
    assert!(changes > 200, "{changes}");
}

#[test]
fn the_work_follows_the_changes() {
    let place = TestRepository::new();
    let mut dice = Dice(77);
    let mut rows: Vec<String> = (0..100_000)
        .map(|id| format!("({id},'{:016x} {:016x} {id}')", dice.roll(1 << 50), dice.roll(1 << 50)))
        .collect();
    for one_line in [false, true] {
        let before = ingest(&place, &made_dump(KEYED, &rows, one_line));
        let size = before.manifest.root.totals().bytes;
        let count = |after: &Snapshot| {
            let decoded = || place.repository.chunks().unwrap().read_counts().decoded;
            let start = decoded();
            let found = diff(&place, &before, after, &options()).unwrap();
            (found.changes.len(), found.bytes_read(), decoded() - start)
        };
        let place_of = rows.iter().position(|row| row.starts_with("(61234,")).unwrap();
        rows[place_of] = format!("(61234,'another {one_line}')");
        let (changes, bytes, decoded) = count(&ingest(&place, &made_dump(KEYED, &rows, one_line)));
        assert_eq!(changes, 1);
        assert!(bytes < 150_000 && decoded < 60, "{bytes} bytes, {decoded} chunks of {size} bytes");
        rows.remove(20_000);
        rows.insert(90_000, format!("({},NULL)", 200_000 + u64::from(one_line)));
        let (changes, bytes, decoded) = count(&ingest(&place, &made_dump(KEYED, &rows, one_line)));
        assert_eq!(changes, 3);
        assert!(bytes < 450_000 && decoded < 120, "{bytes} bytes, {decoded} chunks of {size} bytes");
    }
}

#[test]
fn rows_that_do_not_fit_in_memory_wait_in_files() {
    let place = TestRepository::new();
    let rows = |word: &str| (0..60_000).map(|id| format!("({},'{word} {id}')", id * 7919 % 60_000)).collect::<Vec<_>>();
    let before = ingest(&place, &made_dump(KEYED, &rows("before"), false));
    let after = ingest(&place, &made_dump(KEYED, &rows("after"), false));
    let expected = diff(&place, &before, &after, &options()).unwrap();
    assert_eq!((expected.changes.len(), expected.counts[0].join.runs), (60_000, 0));
    let small = RowDiffOptions { memory_bytes: MIB / 4, ..options() };
    let found = diff(&place, &before, &after, &small).unwrap();
    let counts = found.counts[0].join;
    assert!(counts.runs > 20 && counts.bytes_max < MIB / 4 + 1000, "{counts:?}");
    assert!(found.changes == expected.changes);
    // Where files cannot be made, that is said.
    let nowhere = RowDiffOptions { temporary_directory: place.path("nowhere"), ..small };
    let error = diff(&place, &before, &after, &nowhere).unwrap_err();
    assert!(error.to_string().contains("nowhere") && error.kind() == ErrorKind::Io, "{error}");
}

#[test]
fn dumps_of_the_same_in_other_words_are_equal() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", TABLES);
    let mut dice = Dice(5);
    let steps: Vec<String> = (0..200).map(|_| step(&mut dice)).collect();
    server.run("shop", format!("SET sql_mode = '';\n{};\n", steps.join(";\n")));
    let plain = dump(&server, &[]);
    let first = ingest(&place, &plain);
    let others =
        [&["--hex-blob"][..], &["--complete-insert"], &["--skip-extended-insert", "--hex-blob"], &["--compact"]];
    for variant in others {
        let other = ingest(&place, &dump(&server, variant));
        assert_eq!(found(&place, &first, &other).changes, [], "{variant:?}");
        assert_eq!(found(&place, &other, &first).changes, [], "{variant:?}");
    }
    let one_line = on_one_line(&plain);
    assert!(one_line.len() < plain.len());
    assert_eq!(found(&place, &first, &ingest(&place, &one_line)).changes, []);
    // Columns in another order, which is another definition, but of the same rows.
    server.run("shop", "ALTER TABLE orders MODIFY exact DOUBLE FIRST; ALTER TABLE pairs MODIFY number INT FIRST");
    let moved = found(&place, &first, &ingest(&place, &dump(&server, &[])));
    assert_eq!((moved.changes, moved.redefined), (vec![], vec!["shop.orders".to_string(), "shop.pairs".into()]));
}

#[test]
fn tables_that_are_made_in_another_way_are_made_anew() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", TABLES);
    server.run("shop", "INSERT INTO customers (email) VALUES ('a'), ('b'); INSERT INTO slots VALUES (1, 1, 1), (2, 2, 2); INSERT INTO documents VALUES ('x', '1', 'a', '')");
    let dump_both = || {
        let databases: &[&str] = if server.run("", "SHOW DATABASES").contains("other") { &["other"] } else { &[] };
        dump(&server, databases)
    };
    let first = dump(&server, &[]);
    server.run(
        "shop",
        "ALTER TABLE customers ADD phone VARCHAR(9) DEFAULT '1', DROP email; UPDATE customers SET name = 'n' WHERE id = 2;
         ALTER TABLE documents COMMENT = 'other'; DROP TABLE log; CREATE TABLE `new one` (a INT); INSERT INTO `new one` VALUES (1), (1);
         DROP TRIGGER `log ``it`; CREATE TRIGGER other AFTER DELETE ON pairs FOR EACH ROW SET @a = 1; DELETE FROM slots WHERE id = 1;
         CREATE DATABASE other CHARACTER SET latin1; CREATE TABLE other.t (a INT PRIMARY KEY); INSERT INTO other.t VALUES (5)",
    );
    let second = dump_both();
    let (a, b) = (ingest(&place, &first), ingest(&place, &second));
    let differences = found(&place, &a, &b);
    let customers = differences.of("shop.customers");
    assert!(
        customers.iter().all(|(operation, .., changed)| *operation == '*' && changed.starts_with("name,length")),
        "{customers:?}"
    );
    assert_eq!(customers.len(), 1);
    assert_eq!(differences.redefined, ["other.t", "shop.customers", "shop.documents", "shop.log", "shop.new one"]);
    for (direction, [from, to]) in [(Direction::Forward, [&first, &second]), (Direction::Reverse, [&second, &first])] {
        let patch = patch(&place, &a, &b, direction).unwrap();
        server.run("", "DROP DATABASE IF EXISTS other");
        server.run("", from);
        server.run("", &patch);
        if direction == Direction::Reverse {
            // Databases stay, without tables.
            assert_eq!(server.run("", "SHOW TABLES FROM other; DROP DATABASE other"), "");
        }
        assert_same_dump(&dump_both(), to, "made anew", &patch);
    }
}

#[test]
fn tables_whose_names_are_in_double_quotes_are_made_anew() {
    let server = MariaDb::start();
    for compatible in ["--compatible=ansi", "--compatible=postgresql"] {
        let place = TestRepository::new();
        server.run("", "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; CREATE TABLE shop.gone (a INT)");
        server.run(
            "shop",
            "CREATE TABLE t (id INT PRIMARY KEY, `a\"b` TEXT); INSERT INTO t VALUES (1, 'x'), (2, '\"\\\\')",
        );
        let first = dump(&server, &[compatible]);
        server.run("shop", "ALTER TABLE t ADD more INT; INSERT INTO t VALUES (3, '`', 1); DROP TABLE gone");
        server.run("shop", "CREATE TABLE new (a INT); INSERT INTO new VALUES (1)");
        server.run("shop", "CREATE TRIGGER changed BEFORE INSERT ON new FOR EACH ROW SET NEW.a = \"1\"");
        let second = dump(&server, &[compatible]);
        let (a, b) = (ingest(&place, &first), ingest(&place, &second));
        assert_eq!(found(&place, &a, &b).redefined, ["shop.gone", "shop.new", "shop.t"]);
        for (direction, [from, to]) in
            [(Direction::Forward, [&first, &second]), (Direction::Reverse, [&second, &first])]
        {
            let patch = patch(&place, &a, &b, direction).unwrap();
            server.run("", from);
            server.run("", &patch);
            assert_same_dump(&dump(&server, &[compatible]), to, compatible, &patch);
        }
    }
}

#[test]
fn rows_are_joined_by_what_tells_them_apart() {
    let place = TestRepository::new();
    let rows = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let changes = |definition: &str, before: &[&str], after: &[&str], key: Option<&[&str]>| {
        let a = ingest(&place, &made_dump(definition, &rows(before), false));
        let b = ingest(&place, &made_dump(definition, &rows(after), false));
        let key = key.map(|key| key.iter().map(|name| name.as_bytes().to_vec()).collect());
        let found = diff(&place, &a, &b, &RowDiffOptions { key, ..options() }).unwrap();
        found
            .changes
            .iter()
            .map(|it| format!("{}{}>{}:{}", it.operation, it.before, it.after, it.changed))
            .collect::<Vec<_>>()
    };
    let (before, after) = (["(1,2,'x')", "(2,3,'y')"], ["(1,2,'z')", "(4,3,'y')"]);
    let columns = "`a` int NOT NULL,\n`b` int NOT NULL,\n`c` text";
    let by_a = ["*(1,2,'x')>(1,2,'z'):c", "-(2,3,'y')>:", "+>(4,3,'y'):"];
    let by_b = ["*(1,2,'x')>(1,2,'z'):c", "*(2,3,'y')>(4,3,'y'):a"];
    assert_eq!(changes(&format!("{columns},\nPRIMARY KEY (`a`),\nUNIQUE KEY (`b`)"), &before, &after, None), by_a);
    assert_eq!(
        changes(&format!("{columns},\nUNIQUE KEY `x` (`c`(5)),\nUNIQUE KEY `y` (`b`)"), &before, &after, None),
        by_b
    );
    assert_eq!(changes(columns, &before, &after, Some(&["b"])), by_b);
    let whole = ["-(1,2,'x')>:", "+>(1,2,'z'):", "-(2,3,'y')>:", "+>(4,3,'y'):"];
    assert_eq!(changes(columns, &before, &after, None), whole);
    // As many times as they are there, whatever the order.
    assert_eq!(changes(columns, &["(1,1,NULL)"; 5], &["(1,1,NULL)"; 3], None), ["-(1,1,NULL)>:", "-(1,1,NULL)>:"]);
    assert!(changes(columns, &before, &["(2,3,'y')", "(1,2,'x')"], None).is_empty());
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let place = TestRepository::new();
    let rows = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let whole = made_dump(KEYED, &rows(&["(1,'a')", "(2,'b')", "(3,'c')"]), false);
    let first = ingest(&place, &whole);
    #[track_caller]
    fn fails(place: &TestRepository, a: &Snapshot, b: &Snapshot, reason: &str) {
        let error = diff(place, a, b, &options()).unwrap_err();
        assert!(error.to_string().contains(reason) && error.kind() == ErrorKind::Invalid, "{error}");
    }
    let more = ingest(&place, &made_dump(KEYED, &rows(&["(1,'a')", "(2,'b',3)"]), false));
    fails(&place, &first, &more, "table \"shop.t\" is not usable: the row \"(2,'b',3)\" has 3 values for 2 columns");
    let other = ingest(&place, &made_dump(KEYED, &rows(&["(1)"]), false));
    fails(&place, &other, &first, "its rows have 1 values, its definition 2 columns");
    let unquoted = ingest(&place, &made_dump(KEYED, &rows(&["(1,'a')", "(4,`),(5,`)"]), false));
    fails(&place, &first, &unquoted, "is no row");
    // A dump that ends in a row has the rows before it.
    let end = whole.windows(6).position(|six| six == b"(3,'c'").unwrap();
    for end in [end, end + 2, end + 4] {
        let cut = ingest(&place, &whole[..end]);
        let found = diff(&place, &first, &cut, &options()).unwrap();
        assert_eq!(found.of("shop.t"), [('-', "(3,'c')", "", "")], "{end}");
        assert!(found.notes.iter().any(|note| note.contains("end in the middle on side B")), "{:?}", found.notes);
    }
    assert_any_bytes_are_understood_or_invalid(&place, &first, &whole, ingest);
    let key = Some(vec![b"nothing".to_vec()]);
    let two = ingest(&place, &made_dump(KEYED, &rows(&["(1,'b')"]), false));
    let error = diff(&place, &first, &two, &RowDiffOptions { key, ..options() }).unwrap_err();
    assert!(
        error.to_string().contains("column \"nothing\" is not usable: table \"shop.t\" has no such column; it has "),
        "{error}"
    );
}

#[test]
fn patches_that_would_be_wrong_are_refused() {
    let place = TestRepository::new();
    let row = |text: &str| vec![format!("(1,'{text}')")];
    let dump = |text: &str| made_dump(KEYED, &row(text), false);
    let with = |setting: &str, text: &str| [setting.as_bytes(), &dump(text)].concat();
    #[track_caller]
    fn refused(place: &TestRepository, a: &[u8], b: &[u8], reason: &str) {
        let (a, b) = (ingest(place, a), ingest(place, b));
        let error = patch(place, &a, &b, Direction::Forward).unwrap_err();
        assert!(error.to_string().contains(reason) && error.kind() == ErrorKind::Invalid, "{error}");
    }
    let latin = with("/*!40101 SET NAMES latin1 */;\n", "b");
    refused(&place, &dump("a"), &latin, "one dump was made with utf8mb4, the other with latin1");
    let zoned = with("/*!40103 SET TIME_ZONE='+00:00' */;\n", "b");
    refused(&place, &dump("a"), &zoned, "one dump was made with the server's, the other with +00:00");
    let without_definition = |text: &str| {
        let text = String::from_utf8(dump(text)).unwrap();
        let (before, rest) = text.split_once("CREATE").unwrap();
        format!("{before}{}", rest.split_once(";\n").unwrap().1).into_bytes()
    };
    refused(&place, &without_definition("a"), &without_definition("b"), "statements need its CREATE TABLE");
    // What is cut off is not gone.
    let whole = dump("a");
    let cut = &whole[..whole.len() - 30];
    refused(&place, &dump("b"), cut, "it is incomplete");
    // Without a definition rows are told all the same, columns by their numbers.
    let [a, b] = ["a", "b"].map(|text| ingest(&place, &without_definition(text)));
    let by_first = RowDiffOptions { key: Some(vec![b"1".to_vec()]), ..options() };
    let found = diff(&place, &a, &b, &by_first).unwrap();
    assert_eq!(found.of("shop.t"), [('*', "(1,'a')", "(1,'b')", "2")]);
}

#[test]
fn dumps_that_read_strings_in_different_ways_are_compared_and_patched() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    let create = "DROP DATABASE IF EXISTS `shop`;\nCREATE DATABASE `shop`;\nUSE `shop`;\n";
    let usual =
        [create.as_bytes(), &made_dump(KEYED, &["(1,'a\\\\b''c')".into(), "(2,'\\\\')".into()], false)].concat();
    let plain = "SET SQL_MODE='NO_BACKSLASH_ESCAPES';\n";
    let rows = ["(1,'a\\b''c')".to_string(), "(2,'\\n')".into(), "(3,'\\')".into()];
    let plain = [create.as_bytes(), plain.as_bytes(), &made_dump(KEYED, &rows, false)].concat();
    let (a, b) = (ingest(&place, &usual), ingest(&place, &plain));
    let differences = found(&place, &a, &b);
    assert_eq!(differences.of("shop.t"), [('*', "(2,'\\\\')", "(2,'\\n')", "text"), ('+', "", "(3,'\\')", "")]);
    for (direction, [from, to]) in [(Direction::Forward, [&usual, &plain]), (Direction::Reverse, [&plain, &usual])] {
        let patch = patch(&place, &a, &b, direction).unwrap();
        server.run("", from);
        server.run("", &patch);
        let made = server.run("shop", "SELECT HEX(text) FROM t ORDER BY id");
        server.run("", to);
        assert_eq!(made, server.run("shop", "SELECT HEX(text) FROM t ORDER BY id"));
    }
}

/// The same snapshot as an ingest that knew of no marks made it.
fn without_marks(place: &TestRepository, snapshot: &Snapshot) -> Arc<Snapshot> {
    let counters = Default::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let mut manifest = snapshot.manifest.clone();
    assert!(manifest.facts.remove("row_marks").is_some());
    manifest.name = String::new();
    session.commit(manifest, now()).unwrap()
}

#[test]
fn snapshots_that_do_not_tell_where_rows_begin_are_read_for_it() {
    let place = TestRepository::new();
    let mut dice = Dice(3);
    let mut rows = hostile_rows(&mut dice, 3000, false);
    let before = ingest(&place, &made_dump(KEYED, &rows, false));
    rows[1700] = "(1700,'other')".into();
    let after = ingest(&place, &made_dump(KEYED, &rows, false));
    let old = without_marks(&place, &before);
    let found = found(&place, &old, &after);
    assert_eq!(found.changes.len(), 1);
    assert!(found.notes.iter().any(|note| note.contains("reading all of the dump of shop@")), "{:?}", found.notes);
    // Where strings are read in different ways there is nothing to go by.
    let mixed = [
        made_dump(KEYED, &rows, false),
        b"SET SQL_MODE='NO_BACKSLASH_ESCAPES';\nCREATE TABLE `u` (`a` int);\nINSERT INTO `u` VALUES (1);\n".to_vec(),
    ];
    let mixed = ingest(&place, &mixed.concat());
    assert!(!mixed.manifest.facts.contains_key("row_marks"));
    let error = diff(&place, &before, &mixed, &options()).unwrap_err();
    assert!(error.to_string().contains("changes among its rows how strings are read"), "{error}");
}

#[test]
fn a_row_is_found_by_its_key() {
    let place = TestRepository::new();
    let row = |id: u64| format!("({id},'{:<200}text {}')", "", id % 10);
    let rows: Vec<String> = (0..50_000).map(row).collect();
    let snapshot = ingest(&place, &made_dump(KEYED, &rows, false));
    let monitor = Recorder::default();
    let count = |monitor: &Recorder| (monitor.counters.bytes_read.load(Relaxed), monitor.notes.lock().unwrap().len());
    let dump = DumpSide::new(&place.repository, &snapshot, &monitor).unwrap();
    let find = |key: Option<&str>, value: &str| {
        let key = key.map(|key| vec![key.as_bytes().to_vec()]);
        let mut found = Vec::new();
        let values = [value.as_bytes().to_vec()];
        let is_found = find_rows(&dump, b"shop.t", key.as_deref(), &values, &monitor, &mut |row| {
            found.push(String::from_utf8(row.insert()).unwrap());
            Ok(())
        });
        is_found.map(|is_found| (is_found, found))
    };
    for id in [0, 31_415, 49_999] {
        let insert = format!("INSERT INTO `t` (`id`,`text`) VALUES {};", row(id));
        assert_eq!(find(None, &id.to_string()).unwrap(), (true, vec![insert]));
    }
    let (bytes, notes) = count(&monitor);
    assert!(bytes < 4 * MIB as u64 && notes == 0, "{bytes} bytes, {notes} notes");
    assert_eq!(find(None, "50000").unwrap(), (false, vec![]));
    let (bytes, notes) = count(&monitor);
    assert!(bytes > 10 * MIB as u64 && notes == 1, "a row that is not where it would be is looked for everywhere");
    assert_eq!(find(Some("text"), &format!("{:<200}text 3", "")).unwrap().1.len(), 5000);
    assert!(find(Some("nothing"), "1").unwrap_err().to_string().contains("column \"nothing\""));
    let error = find_rows(&dump, b"shop.u", None, &[b"1".to_vec()], &monitor, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::NotFound { what: "table", .. }), "{error}");
    let error = find_rows(&dump, b"shop.t", None, &[b"1".to_vec(), b"2".to_vec()], &monitor, &mut |_| Ok(()));
    assert!(error.unwrap_err().to_string().contains("the key of shop.t is id"));
    // In whatever order the rows are.
    let rows: Vec<String> = (0..20_000).map(|number| row(number * 7919 % 20_000)).collect();
    let snapshot = ingest(&place, &made_dump(KEYED, &rows, true));
    let dump = DumpSide::new(&place.repository, &snapshot, &monitor).unwrap();
    for id in [0, 5, 777, 19_999] {
        let (key, mut found) = ([id.to_string().into_bytes()], String::new());
        let is_found = find_rows(&dump, b"shop.t", None, &key, &monitor, &mut |row| {
            found = String::from_utf8_lossy(row.row.text()).into_owned();
            Ok(())
        });
        assert_eq!((is_found.unwrap(), found), (true, row(id)));
    }
}

#[test]
fn the_command_line_shows_rows_in_every_form() {
    let place = TestRepository::new();
    let dump = |rows: &[&str]| made_dump(KEYED, &rows.iter().map(|row| row.to_string()).collect::<Vec<_>>(), false);
    ingest(&place, &dump(&["(1,'a')", "(2,NULL)", "(3,'\\r\u{1}é')"]));
    ingest(&place, &dump(&["(1,'b')", "(3,'\\r\u{1}é')", "(10,'it''s')"]));
    let (a, b) = ("shop@latest~1", "shop");
    let run = |arguments: &[&str]| place.yesterfs(&[&["diff", a, b, "--rows"], arguments].concat());
    assert_eq!(run(&[]), ("shop.t: 1 row inserted, 1 deleted, 1 updated\n".into(), String::new(), Some(1)));
    assert_eq!(run(&["shop.t"]).0, run(&[]).0);
    let (text, told, code) = run(&["--format", "text"]);
    let expected =
        "--- shop.t\n+++ shop.t\n@@ id=1 @@\n-(1,'a')\n+(1,'b')\n@@ id=2 @@\n-(2,NULL)\n@@ id=10 @@\n+(10,'it''s')\n";
    assert_eq!((text.as_str(), code), (expected, Some(1)));
    assert!(told.contains("shop.t: 1 row inserted"), "{told}");
    let (json, _, code) = run(&["--json"]);
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"type":"row","table":"shop.t","op":"update","key":{"id":1},"before":{"id":1,"text":"a"},"after":{"id":1,"text":"b"},"changed":["text"]}"#
    );
    assert_eq!(
        lines[1],
        r#"{"type":"row","table":"shop.t","op":"delete","key":{"id":2},"before":{"id":2,"text":null}}"#
    );
    assert!(lines[3].starts_with(r#"{"type":"table","table":"shop.t","inserted":1,"deleted":1,"updated":1,"#));
    assert!(lines[4].starts_with(r#"{"type":"summary","equal":false,"tables":1,"#), "{json}");
    assert_eq!(code, Some(1));
    let (sql, told, code) = run(&["--sql"]);
    let statements = "START TRANSACTION;\nUSE `shop`;\nDELETE FROM `t` WHERE `id`=2;\nUPDATE `t` SET `text`='b' WHERE `id`=1;\n\
                      INSERT INTO `t` (`id`,`text`) VALUES\n(10,'it''s');\nCOMMIT;\n";
    assert!(
        sql.contains(statements) && told.starts_with("1 row inserted, 1 deleted, 1 updated") && code == Some(1),
        "{sql}{told}"
    );
    let (undo, _, _) = run(&["--sql", "--reverse"]);
    assert!(undo.contains("DELETE FROM `t` WHERE `id`=10;\nUPDATE `t` SET `text`='a' WHERE `id`=1;\nINSERT INTO `t` (`id`,`text`) VALUES\n(2,NULL);\n"), "{undo}");

    assert_eq!(place.yesterfs(&["diff", b, b, "--rows"]), (String::new(), "no difference\n".to_string(), Some(0)));
    assert_eq!(place.yesterfs(&["diff", b, b, "--rows", "--sql"]).0, "");
    let (_, told, code) = run(&["shop.nothing"]);
    assert!(told.contains("no table \"shop.nothing\"") && code == Some(2), "{told}");
    let (_, told, code) = place.yesterfs(&["diff", "./somewhere", b, "--rows"]);
    assert!(told.contains("directories have no rows") && code == Some(2), "{told}");

    let rows = |arguments: &[&str]| place.yesterfs(&[&["rows", "shop", "shop.t", "--key"], arguments].concat());
    assert_eq!(rows(&["10"]), ("id: 10\ntext: 'it''s'\n".into(), String::new(), Some(0)));
    let insert = "INSERT INTO `t` (`id`,`text`) VALUES (10,'it''s');\n";
    let (sql, _, _) = rows(&["10", "--sql"]);
    assert!(
        sql.contains(&format!("SQL_MODE='NO_AUTO_VALUE_ON_ZERO';\n{insert}SET SQL_MODE=@YESTERFS_MODE;\n")),
        "{sql}"
    );
    assert_eq!(rows(&["11", "--sql"]).0, "", "no row, and nothing around it");
    assert_eq!(rows(&["1", "--json"]).0, "{\"type\":\"row\",\"table\":\"shop.t\",\"row\":{\"id\":1,\"text\":\"b\"}}\n");
    let (_, told, code) = rows(&["2"]);
    assert!(told.contains("no row \"2\"") && code == Some(2), "{told}");
}

#[test]
fn a_row_comes_back_as_it_was_whatever_its_session_reads() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run(
        "",
        "CREATE DATABASE shop; USE shop; SET NAMES utf8mb4; SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
         CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(9) CHARACTER SET utf8mb4, at TIMESTAMP);
         INSERT INTO t VALUES (0, '\u{1f600}é', '2026-01-02 03:04:05'), (6, 'six', NOW())",
    );
    ingest(&place, &server.dump(&["--databases", "shop"]));
    let row = || server.run("shop", "SELECT id, HEX(text), UNIX_TIMESTAMP(at) FROM t WHERE id <> 6");
    let before = row();
    let (sql, _, code) = place.yesterfs(&["rows", "shop", "shop.t", "--key", "0", "--sql"]);
    assert_eq!(code, Some(0));
    let session = "SET NAMES latin1; SET time_zone = '+05:00'; SET sql_mode = '';";
    let modes = "SELECT @@time_zone, @@sql_mode, @@character_set_client";
    let told = server.run("shop", format!("{session} DELETE FROM t WHERE id = 0; {sql}{modes}"));
    assert_eq!(row(), before);
    assert_eq!(told.trim_end(), "+05:00\t\tlatin1");
}

#[test]
fn memory_does_not_grow_with_the_rows() {
    let place = TestRepository::new();
    let rows = |word: &str| (0..700_000).map(|id| format!("({id},'{word} {id:0>60}')")).collect::<Vec<_>>();
    for word in ["before", "after"] {
        ingest(&place, &made_dump(KEYED, &rows(word), false));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    let most = ["diff", "shop@latest~1", "shop", "--rows", "--memory", "8", "--cache", "8"];
    command.arg("--repo").arg(place.path("repo")).args(most);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", running.id());
    let mut peak_kib = 0;
    while running.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib = line.map_or(peak_kib, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = running.wait_with_output().unwrap();
    assert!(peak_kib > 0 && peak_kib < 100 << 10, "{peak_kib} KiB");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "shop.t: 0 rows inserted, 0 deleted, 700000 updated\n");
}
