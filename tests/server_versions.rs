//! Stories of servers of other versions than Debian's, with the programs that these have: what a dump becomes, comes back.

mod support;

use std::fs;
use std::path::Path;

use support::mariadb::MariaDb;
use support::mounted::{Stage, names};

const HOSTILE: &str = include_str!("mysql/hostile.sql");

/// What a server knows that has neither sequences nor generated columns.
const OLD: &str = r#"
CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE customers (
    id INT PRIMARY KEY AUTO_INCREMENT,
    name VARCHAR(200) DEFAULT 'it''s ; -- none',
    kind ENUM('a', 'b''c;') NOT NULL DEFAULT 'a'
) COMMENT = 'quotes '' " ` \\ and -- and /* and ;';
INSERT INTO customers (name) VALUES
    ('plain'), (NULL), (''), ('it''s'), ('back\\slash'), ('end\\'), ('line\nbreak\r\n'), ('tab\t and \Z and \0'),
    ('"double"'), ('`back`'), (');\nINSERT INTO `x` VALUES (1);\n'), ('-- Dump completed on 2020-01-01\n'), ('Grüße, 世界, 🐘');
CREATE TABLE orders (
    id INT PRIMARY KEY,
    customer INT,
    amount DECIMAL(10, 2),
    placed TIMESTAMP(6) NOT NULL DEFAULT '2026-11-26 01:02:03.25',
    KEY (customer),
    FOREIGN KEY (customer) REFERENCES customers (id)
);
INSERT INTO orders (id, customer, amount) SELECT a.id * 100 + b.id, a.id, -b.id / 7 FROM customers a, customers b;
CREATE TABLE binaries (id INT PRIMARY KEY, fixed BINARY(4), data BLOB, bits BIT(9), place POINT);
INSERT INTO binaries SELECT id, UNHEX(LPAD(HEX(id), 8, '0')), UNHEX(CONCAT(MD5(id), '00275c220a0d1aff')), id, POINT(id, -id) FROM orders;
CREATE TABLE old (id INT, text VARCHAR(20), year YEAR) ENGINE=MyISAM CHARACTER SET latin1
    PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO old VALUES (1, 'Grüße', 1999), (1, 'Grüße', 1999), (2, 'é', NULL);
CREATE TABLE `we``ird
-- Table structure for table ``x``
;` (`a/b` INT);
INSERT INTO `we``ird
-- Table structure for table ``x``
;` VALUES (1), (2);
CREATE VIEW a_view AS SELECT id, name FROM customers WHERE name <> ';;';
DELIMITER //
CREATE TRIGGER before_order BEFORE INSERT ON orders FOR EACH ROW BEGIN
    SET NEW.amount = NEW.amount; -- it's a comment; with a delimiter
    IF @never THEN INSERT INTO customers (id) VALUES (twice(1)); END IF;
END//
CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 2//
CREATE PROCEDURE liar() BEGIN
    SELECT '
-- Dump completed on 2020-01-01
';
END//
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN SET @a = '; it''s'; SET @b = 1; END//
DELIMITER ;
CREATE DEFINER = gone@nowhere VIEW of_somebody AS SELECT id FROM orders;
"#;

/// Dumps `shop`, and makes a snapshot of that.
fn ingest(stage: &Stage, server: &MariaDb, options: &[&str]) {
    let file = stage.path("shop.sql");
    let usual = ["--routines", "--events", "--single-transaction"];
    fs::write(&file, server.dump(&[&usual, options, &["--databases", "shop"]].concat())).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", file.to_str().unwrap()]);
}

/// Loads each table's file from the mount into an empty database, and finds it equal to what was dumped.
#[track_caller]
fn assert_tables_come_back(stage: &Stage, server: &MariaDb) {
    let mount = stage.mount();
    let folder = mount.latest("shop").join("shop");
    server.make_empty("shop");
    let sequences = folder.join("sequences");
    if sequences.exists() {
        names(&sequences).iter().for_each(|name| load(server, &sequences.join(name)));
    }
    let tables = names(folder.join("tables"));
    assert!(tables.len() > 4, "{tables:?}");
    tables.iter().for_each(|name| load(server, &folder.join("tables").join(name).join("restore.sql")));
    mount.unmount();
    ingest(stage, server, &[]);
    let told = stage.succeed(&["diff", "shop~1", "shop", "--rows", "--json"]);
    assert!(told.contains("\"equal\":true"), "{told}");
}

fn load(server: &MariaDb, file: &Path) {
    server.run("shop", fs::read(file).unwrap());
}

/// Does a drill with a server of the same programs, which must find everything equal.
#[track_caller]
fn assert_drill(stage: &Stage, server: &MariaDb, version: &str) {
    stage.open_to_all();
    let place = stage.path("drills");
    fs::create_dir_all(&place).unwrap();
    let programs = server.programs();
    let options = ["--server-bin", programs.to_str().unwrap(), "--tmp", place.to_str().unwrap()];
    let printed = stage.succeed(&[&["verify", "shop", "--with", "mysql"][..], &options].concat());
    let last = printed.lines().last().unwrap();
    assert!(last.starts_with("equal: ") && last.contains(&format!("; server {version}")), "{printed}");
    assert!(printed.lines().any(|line| line.starts_with("shop.orders: ") && line.ends_with(", equal")), "{printed}");
}

#[test]
fn a_dump_of_mariadb_11_4_comes_back() {
    let (server, stage) = (MariaDb::start_11_4(), Stage::new());
    server.run("", HOSTILE);
    ingest(&stage, &server, &["--master-data=2", "--gtid"]);
    assert_drill(&stage, &server, "11.4.5");
    assert_tables_come_back(&stage, &server);
}

#[test]
fn a_dump_of_mysql_5_6_comes_back() {
    let (server, stage) = (MariaDb::start_mysql_5_6(), Stage::new());
    server.run("", OLD);
    ingest(&stage, &server, &["--master-data=2"]);
    assert_drill(&stage, &server, "5.6.24");
    assert_tables_come_back(&stage, &server);
}
