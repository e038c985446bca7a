//! Stories of ingesting directories that `mydumper` wrote of a real MariaDB, and some of newer versions by hand.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use support::dumped::{Dumped, escaped, kept_incomplete, of_directory};
use support::mariadb::MariaDb;
use support::mongo::{files_of, write_files};
use support::mounted::Stage;
use support::repository::{TestRepository, now};
use support::server::{restore_into, restored, succeed};
use support::stored::assert_sound;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::{DumpOptions, OriginalPolicy};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::progress::Recorder;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotStatus};

/// Two databases with all that this mydumper can dump.
const SHOP: &str = r#"
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), secret VARBINARY(20), notes TEXT);
INSERT INTO customers VALUES (NULL, 'käse; "x"', x'0022275c0a', '),(\n(1,\n'), (NULL, 'it''s', NULL, ''), (NULL, '\\', '', '; \n;');
UPDATE customers SET id = 0 WHERE id = 1;
CREATE TABLE orders (id INT PRIMARY KEY, customer INT, price DECIMAL(10,2), at TIMESTAMP NULL, ratio FLOAT,
  twice DECIMAL(12,2) AS (price * 2) STORED, FOREIGN KEY (customer) REFERENCES customers (id));
INSERT INTO orders (id, customer, price, at, ratio) SELECT seq, 2, seq / 100, '2026-11-26 10:00:00', seq / 3 FROM seq_1_to_5000;
CREATE TABLE empty (a INT);
CREATE TABLE `we ird.00001` (`a b` INT PRIMARY KEY, bits BIT(9));
INSERT INTO `we ird.00001` VALUES (1, b'100000001');
CREATE TABLE audit (line TEXT);
DELIMITER //
CREATE TRIGGER counted BEFORE INSERT ON customers FOR EACH ROW
BEGIN
  DECLARE found INT;
  SELECT COUNT(*) INTO found FROM orders;
  SET NEW.notes = CONCAT('; \'"', found);
END//
CREATE TRIGGER told AFTER UPDATE ON customers FOR EACH ROW INSERT INTO audit VALUES ('updated')//
CREATE PROCEDURE twice(IN n INT)
BEGIN
  -- it's; a "comment"
  SELECT n;
  SELECT n;
END//
CREATE FUNCTION half(n INT) RETURNS INT DETERMINISTIC RETURN n / 2//
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM audit; SELECT 1; END//
DELIMITER ;
CREATE VIEW a_view AS SELECT id, name FROM z_view;
CREATE VIEW z_view AS SELECT id, name FROM customers WHERE name <> ';';
CREATE DATABASE second CHARACTER SET latin1;
USE second;
CREATE TABLE orders (id INT, note VARCHAR(20)) CHARACTER SET latin1;
INSERT INTO orders VALUES (1, 'plain');
CREATE VIEW of_shop AS SELECT id FROM shop.orders;
"#;

/// Tables and rows that make dumps hard to read, as far as this mydumper gets along with them: it fails or crashes over names of tables
/// with a backtick, an apostrophe or a slash, and over whatever has to be quoted in those of triggers and routines.
const HOSTILE: &str = r#"
CREATE DATABASE hostile CHARACTER SET utf8mb4;
USE hostile;
CREATE TABLE customers (
    id INT PRIMARY KEY AUTO_INCREMENT,
    name VARCHAR(200) DEFAULT 'it''s ; -- none',
    length_stored INT GENERATED ALWAYS AS (octet_length(name)) STORED,
    length_virtual INT AS (octet_length(name) * 3) VIRTUAL,
    CONSTRAINT `check ``it` CHECK (name <> 'REFERENCES `nothing` (')
) COMMENT = 'quotes '' " ` \\ and -- and /* and ;';
INSERT INTO customers (name) VALUES
    ('plain'), (NULL), (''), ('it''s'), ('back\\slash'), ('end\\'), ('line\nbreak\r\n'), ('tab\t and \Z and \0'),
    ('"double"'), ('`back`'), ('),('), (');\nINSERT INTO `x` VALUES (1);\n'), ('-- Dump completed on 2020-01-01\n'),
    ('/*! '), ('*/'), ('#'), ('DELIMITER ;;\n'), ('Grüße, 世界, 🐘'), ('\\''');
CREATE TABLE binaries (id INT PRIMARY KEY, data BLOB, bits BIT(9), place POINT);
INSERT INTO binaries
    SELECT seq, UNHEX(CONCAT(MD5(seq), '00275c220a0d1aff', LPAD(HEX(seq), 8, '0'))), seq, POINT(seq, -seq) FROM seq_0_to_255;
INSERT INTO binaries VALUES (1000, '', NULL, NULL), (1001, REPEAT('\\''', 1000), b'0', NULL);
CREATE TABLE `.hidden` (a INT);
CREATE TABLE `100%` (a INT);
CREATE TABLE `values` (`values` INT, `select` INT);
INSERT INTO `values` VALUES (1, 2), (3, 4);
CREATE TABLE `"quoted"
-- Table structure for table x
;` (a INT PRIMARY KEY, `b
;` TEXT);
INSERT INTO `"quoted"
-- Table structure for table x
;` VALUES (1, 'x'), (2, '\\');
CREATE TABLE `世世世` (a INT);
CREATE VIEW `"view"
;of` AS SELECT id, name FROM customers WHERE name <> ';;';
DELIMITER //
CREATE TRIGGER before_it BEFORE INSERT ON customers FOR EACH ROW BEGIN SET @x = ';;'; SET @y = '
DELIMITER ;
'; END//
CREATE PROCEDURE liar() BEGIN
    SELECT '
-- Dump completed on 2020-01-01
-- Table structure for table `fake`
;DELIMITER ;';
END//
DELIMITER ;
"#;

const HOSTILE_TABLES: [&str; 7] =
    [".hidden", "100%", "\"quoted\"\n-- Table structure for table x\n;", "binaries", "customers", "values", "世世世"];

/// Those of both.
const DATABASES: [&str; 3] = ["shop", "second", "hostile"];

/// One with all of them.
fn server() -> MariaDb {
    let server = plain_server();
    server.run("", HOSTILE);
    server
}

/// A view of a view is made before what it needs.
fn plain_server() -> MariaDb {
    let server = MariaDb::start();
    let (tables, views) = SHOP.split_once("CREATE VIEW a_view").unwrap();
    let (first, rest) = views.split_once('\n').unwrap();
    let (second, rest) = rest.split_once('\n').unwrap();
    server.run("", format!("{tables}{second}\nCREATE VIEW a_view{first}\n{rest}"));
    server
}

/// All these databases, and nothing of the server's own.
const OURS: [&str; 5] = ["--triggers", "--routines", "--events", "--regex", "^(shop|second|hostile)\\."];

fn dump(server: &MariaDb, directory: &Path, more: &[&str]) {
    succeed(server.mydumper(directory, &[&OURS[..], more].concat()), "mydumper");
    assert!(directory.join("metadata").exists(), "{:?}", files_of(directory).keys());
}

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<Dumped> {
    let report = ingest_mysql(&place.repository, options, &now, &Recorder::default())?;
    Ok(Dumped::of(place, report))
}

/// Why a directory is refused. Kept nevertheless, its files are there.
#[track_caller]
fn refused(place: &TestRepository, directory: &Path) -> String {
    let Err(Error::Incomplete { reason, .. }) = ingest(place, of_directory(directory)) else {
        panic!("it is taken for complete")
    };
    let kept = ingest(place, kept_incomplete(of_directory(directory))).unwrap();
    assert_eq!((kept.manifest.status, &kept.manifest.facts["status_reason"]), (SnapshotStatus::Incomplete, &reason));
    assert!(kept.text("_meta/status.json").contains("\"incomplete\""));
    kept.assert_parts_are_the_dump(kept.file("dump.sql"));
    let files = files_of(directory);
    if !files.keys().any(|name| name.ends_with(".gz")) {
        assert_eq!(kept.originals(), files);
    }
    reason
}

/// What is in a server's databases, without what mydumper does not keep: with which modes and character sets triggers and
/// routines were made, and blanks at the ends of their lines.
fn content(server: &MariaDb, databases: &[&str]) -> Vec<String> {
    lines(server, &[&["--routines", "--events", "--databases"], databases].concat())
}

fn lines(server: &MariaDb, options: &[&str]) -> Vec<String> {
    let dump = server.dump(&[&["--skip-comments", "--hex-blob"], options].concat());
    let is_kept = |line: &str| !(line.starts_with("/*!") && line.contains(" SET "));
    let dump = String::from_utf8_lossy(&dump).into_owned();
    dump.lines().filter(|line| is_kept(line)).map(|line| line.trim_end().to_string()).collect()
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String], what: &str) {
    let first = found.iter().zip(expected).find(|(a, b)| a != b);
    assert_eq!(first, None, "{what}");
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[test]
fn a_directory_becomes_the_tree_of_a_dump() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("dump");
    dump(&server, &directory, &[]);
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mysql, SnapshotStatus::Unverified));
    assert_eq!(found.manifest.facts["status_reason"], "nothing in the directory tells which files there should be");
    found.assert_parts_are_the_dump(found.file("dump.sql"));
    assert_eq!(found.originals(), files_of(&directory));

    let tables = ["audit", "customers", "empty", "orders", "we ird.00001"];
    assert_eq!(found.tables("shop").into_iter().collect::<Vec<_>>(), tables);
    assert_eq!(found.tables("second").into_iter().collect::<Vec<_>>(), ["orders"]);
    assert_eq!(found.tables("hostile"), HOSTILE_TABLES.map(escaped).into());
    assert_eq!(found.names("hostile/views/\"view\"%0A;of"), ["stub.sql", "view.sql"]);
    assert_eq!(found.names("hostile/routines/procedures"), ["liar.sql"]);
    assert!(found.text("hostile/tables/customers/triggers.sql").contains("SET @y = '\nDELIMITER ;"));
    assert_eq!(found.names("shop/views"), ["a_view", "z_view"]);
    assert_eq!(found.names("shop/views/a_view"), ["stub.sql", "view.sql"]);
    assert_eq!(found.names("shop/routines/procedures"), ["twice.sql"]);
    assert_eq!(found.names("shop/routines/functions"), ["half.sql"]);
    assert_eq!(found.names("shop/events"), ["daily.sql"]);
    assert_eq!(found.names("shop/tables/customers"), ["data.sql", "restore.sql", "schema.sql", "triggers.sql"]);
    let rows = |path: &str| found.parts().iter().filter(|part| part.2 == path).map(|part| part.1).sum::<u64>();
    assert_eq!((rows("shop/tables/orders/data.sql"), rows("shop/tables/customers/data.sql")), (5000, 3));
    assert!(found.text("shop/tables/orders/restore.sql").contains("-- It refers to table `customers`\n"));

    let status = server.run("", "SHOW MASTER STATUS");
    let mut place_told = status.split('\t');
    let fact = |name: &str| found.manifest.facts.get(name).map_or("", String::as_str);
    assert_eq!(
        (fact("binlog_file"), fact("binlog_position")),
        (place_told.next().unwrap(), place_told.next().unwrap())
    );
    assert_eq!((fact("coordinates_of"), fact("tables"), fact("rows")), ("server", "13", "5286"));
    assert_eq!((fact("program"), fact("gtid")), ("mydumper", server.run("", "SELECT @@gtid_binlog_pos").trim()));

    found.assert_is_again(&ingest(&place, of_directory(&directory)).unwrap());
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn what_was_dumped_loads_again_whole_and_table_by_table() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("dump");
    dump(&server, &directory, &["--rows", "700"]);
    assert!(files_of(&directory).keys().filter(|name| name.starts_with("shop.orders.0")).count() > 4);
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert_eq!(found.originals(), files_of(&directory));
    // As one text, into an empty server.
    let other = MariaDb::start();
    other.run("", found.file("dump.sql"));
    assert_same(&content(&other, &DATABASES), &content(&server, &DATABASES), "all");
    // Each table by itself.
    let tables = ["audit", "customers", "orders", "empty", "we ird.00001"];
    for (database, tables) in [("shop", &tables[..]), ("second", &["orders"]), ("hostile", &HOSTILE_TABLES)] {
        for table in tables {
            other.make_empty("again");
            other.run("again", found.file(&format!("{database}/tables/{}/restore.sql", escaped(table))));
            let both = [(&other, "again"), (&server, database)].map(|(server, of)| lines(server, &[of, table]));
            assert_same(&both[0], &both[1], &format!("{database}.{table}"));
        }
    }
}

#[test]
fn compressed_directories_are_unwrapped_and_made_again() {
    let (server, place) = (server(), TestRepository::new());
    let (plain, packed) = (place.path("plain"), place.path("packed"));
    dump(&server, &plain, &[]);
    dump(&server, &packed, &["--compress"]);
    let found = ingest(&place, of_directory(&plain)).unwrap();
    let unwrapped = ingest(&place, of_directory(&packed)).unwrap();
    assert!(found.file("dump.sql") == unwrapped.file("dump.sql"));
    let snapshot = place.repository.catalog().snapshots().next_back().unwrap().clone();
    for (name, bytes) in files_of(&packed) {
        let kept = unwrapped.originals();
        if let Some(kept) = kept.get(&name) {
            assert!(*kept == bytes, "{name}");
            continue;
        }
        assert!(kept.contains_key(&format!("{name}.recipe")), "{name}");
        let mut rebuilt = Vec::new();
        let take = &mut |piece: &[u8]| {
            rebuilt.extend_from_slice(piece);
            Ok(())
        };
        rebuild_original(&place.repository, &snapshot, Some(name.as_bytes()), take).unwrap();
        assert!(rebuilt == bytes, "{name}");
    }
    let mut without = of_directory(&packed);
    without.rules.original = OriginalPolicy::Drop;
    assert_eq!(ingest(&place, without).unwrap().names("_original"), ["metadata"]);

    // One that was cut off, and one that is none.
    let orders = packed.join("shop.orders.sql.gz");
    let bytes = std::fs::read(&orders).unwrap();
    std::fs::write(&orders, &bytes[..bytes.len() / 2]).unwrap();
    let reason = refused(&place, &packed);
    assert_eq!(reason, format!("shop.orders.sql.gz: its compressed data is cut off after {} bytes", bytes.len() / 2));
    std::fs::write(&orders, [&bytes[..100], &[7; 50], &bytes[150..]].concat()).unwrap();
    let error = ingest(&place, of_directory(&packed)).err().unwrap().to_string();
    assert!(error.contains("shop.orders.sql.gz") && error.contains("cannot be unwrapped"), "{error}");
}

#[test]
fn a_dump_that_did_not_come_to_its_end_is_refused() {
    let (server, place) = (plain_server(), TestRepository::new());
    let directory = place.path("dump");
    dump(&server, &directory, &[]);
    let whole = files_of(&directory);
    let with = |change: &dyn Fn(&mut Files)| {
        let (mut files, place_of) = (whole.clone(), place.path("changed"));
        change(&mut files);
        let _ = std::fs::remove_dir_all(&place_of);
        write_files(&place_of, &files);
        refused(&place, &place_of)
    };
    assert!(with(&|files| drop(files.remove("metadata"))).contains("no metadata is there"));
    let partial = with(&|files| {
        let metadata = files.remove("metadata").unwrap();
        files.insert("metadata.partial".into(), metadata);
    });
    assert!(partial.contains("did not come to its end"), "{partial}");
    for cut in [100, 5000, 12345] {
        let said = with(&|files| files.get_mut("shop.orders.sql").unwrap().truncate(cut));
        assert!(said.starts_with("shop.orders.sql does not end with the end of a statement"), "{said}");
    }
    // A name in quotes is more than this mydumper can take, which says so only by its exit status.
    server.run("shop", "CREATE TABLE `quo``ted` (a INT)");
    let odd = place.path("odd");
    assert!(!server.mydumper(&odd, &OURS).status.success() && odd.join("metadata").exists());
    assert_eq!(refused(&place, &odd), "shop.quo`ted-schema.sql makes nothing: no CREATE is in it");
    // In pieces, it crashes over it.
    let broken = place.path("broken");
    assert!(!server.mydumper(&broken, &[&OURS[..], &["--rows", "700"]].concat()).status.success());
    assert!(broken.join("metadata.partial").exists(), "{:?}", files_of(&broken).keys());
    assert!(refused(&place, &broken).contains("did not come to its end"));
}

#[test]
fn rows_are_those_of_mysqldump() {
    let (server, stage) = (server(), Stage::new());
    let directory = stage.path("dump");
    dump(&server, &directory, &["--rows", "1000"]);
    let of_directory = ["ingest", "mysql", "--source", "shop", directory.to_str().unwrap()];
    stage.succeed(&of_directory);
    let file = stage.path("dump.sql");
    std::fs::write(&file, server.dump(&[&["--databases"][..], &DATABASES].concat())).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", file.to_str().unwrap()]);
    let difference = |options: &[&str]| stage.succeed(&[&["diff", "shop~1", "shop"], options].concat());
    let told = difference(&["--rows", "--json"]);
    assert!(!told.contains("\"op\""), "{}", &told[..told.len().min(2000)]);
    // One order less, and one that costs more.
    server.run("shop", "DELETE FROM orders WHERE id = 7; UPDATE orders SET price = 99.5 WHERE id = 4000");
    let later = stage.path("later");
    dump(&server, &later, &[]);
    stage.succeed(&["ingest", "mysql", "--source", "shop", later.to_str().unwrap()]);
    // Only dumps of the same character set make a patch, and mydumper writes each column in its own.
    let patch = |before: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository()).args(["diff", before, "shop", "--sql", "--rows", "shop.orders"]);
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let between = patch("shop~2");
    let statements = "DELETE FROM `orders` WHERE `id`=7;\nUPDATE `orders` SET `price`=99.50 WHERE `id`=4000;\n";
    assert!(between.contains(statements) && between.contains("SET NAMES binary;\n"), "{between}");
    assert!(patch("shop~1").contains("\"character set\" is not usable"), "{}", patch("shop~1"));
    let row = stage.succeed(&["rows", "shop", "shop.orders", "--key", "4000"]);
    assert!(row.contains("99.50"), "{row}");
}

#[test]
fn a_directory_loads_into_a_server() {
    let (server, stage) = (server(), Stage::new());
    let directory = stage.path("dump");
    dump(&server, &directory, &["--compress"]);
    stage.succeed(&["ingest", "mysql", "--source", "shop", directory.to_str().unwrap()]);
    let other = MariaDb::start();
    restored(&restore_into(&stage, &other.url(""), &[]));
    assert_same(&content(&other, &DATABASES), &content(&server, &DATABASES), "all");
    let into = ["--table", "shop.customers", "--as", "other.clients"];
    other.make_empty("other");
    restored(&restore_into(&stage, &other.url(""), &into));
    assert_eq!(other.run("other", "SELECT COUNT(*) FROM clients").trim(), "3");
}

/// What a newer version writes, as its source says: names of files that are made up, numbers of pieces, modes in each file.
fn newer() -> Files {
    let head = "/*!40101 SET NAMES utf8mb4*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\
                /*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'*/;\n/*!40103 SET TIME_ZONE='+00:00' */;\n";
    let metadata = "# Started dump at: 2026-11-26 11:00:00\n[config]\nquote-character = BACKTICK\n\n\
                    [myloader_session_variables]\nSQL_MODE='NO_AUTO_VALUE_ON_ZERO' /*!40101\n\n[source]\n# Channel_Name = ''\n\
                    File = bin.000002\nPosition = 777\nExecuted_Gtid_Set = 0-1-9\n\n[`shop`.`mydumper_0`]\n\
                    real_table_name=we.ird\nrows = 3\n\n[`shop`.`orders`]\nreal_table_name=orders\nrows = 0\n\
                    # Finished dump at: 2026-11-26 11:00:05\n";
    let rows = |rows: &str| format!("{head}INSERT INTO `we.ird` VALUES({rows});\n");
    let files = [
        ("metadata", metadata.to_string()),
        ("shop-schema-create.sql", format!("{head}CREATE DATABASE /*!32312 IF NOT EXISTS*/ `the shop`;\n")),
        ("shop.mydumper_0-schema.sql", format!("{head}CREATE TABLE `we.ird` (\n  `a` int,\n  `b` text\n);\n")),
        ("shop.mydumper_0.00000.sql", rows("1,CONVERT(\"{\\\"x\\\": 1}\" USING UTF8MB4)")),
        ("shop.mydumper_0.00001.sql", rows("2,\"b\")\n,(3,NULL")),
        ("shop.orders-schema.sql", format!("{head}CREATE TABLE `orders` (\n  `id` int\n);\n")),
        ("shop.orders.00000.sql", String::new()),
    ];
    files.into_iter().map(|(name, text)| (name.to_string(), text.into_bytes())).collect()
}

#[test]
fn newer_versions_name_their_files_otherwise_and_tell_how_many_rows_there_are() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    let directory = place.path("dump");
    let mut files = newer();
    let metadata = String::from_utf8(files["metadata"].clone()).unwrap().replace("`shop`", "`the shop`");
    files.insert("metadata".into(), metadata.into_bytes());
    write_files(&directory, &files);
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert_eq!(found.originals(), files);
    assert_eq!(found.tables("the shop").into_iter().collect::<Vec<_>>(), ["orders", "we.ird"]);
    assert_eq!(found.manifest.facts["binlog_position"], "777");
    server.make_empty("again");
    server.run("again", found.file("the shop/tables/we.ird/restore.sql"));
    assert_eq!(server.run("again", "SELECT COUNT(*), MAX(b) FROM `we.ird`").trim(), "3\t{\"x\": 1}");
    server.run("", found.file("dump.sql"));
    assert_eq!(server.run("the shop", "SELECT COUNT(*) FROM `we.ird`").trim(), "3");

    files.insert("shop.mydumper_0.00001.sql".into(), b"INSERT INTO `we.ird` VALUES(2,\"b\");\n".to_vec());
    write_files(&directory, &files);
    assert_eq!(refused(&place, &directory), "table the shop.we.ird has 2 rows, and metadata tells of 3");
    files.insert("shop.mydumper_0.00001.dat".into(), b"1\t2\n".to_vec());
    write_files(&directory, &files);
    let error = ingest(&place, of_directory(&directory)).err().unwrap().to_string();
    assert!(error.contains("00001.dat") && error.contains("--load-data"), "{error}");
}

#[test]
fn a_directory_of_mydumper_is_no_directory_of_dumps() {
    let (place, directory) = (TestRepository::new(), TestRepository::new());
    let at = directory.path("dump");
    write_files(&at, &newer());
    let mut options = of_directory(&at);
    options.inputs.extend(of_directory(&at).inputs);
    let error = ingest(&place, options).err().unwrap().to_string();
    assert!(error.contains("makes a snapshot of its own"), "{error}");
    std::fs::create_dir(at.join("more")).unwrap();
    let error = ingest(&place, of_directory(&at)).err().unwrap().to_string();
    assert!(error.contains("more") && error.contains("only files"), "{error}");
}
