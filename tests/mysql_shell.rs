//! Stories of ingesting directories as MySQL Shell fills them. No package has that program, so the directory is made here of what a
//! real MariaDB tells, in the forms that the program's own dumps have.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use support::dumped::{Dumped, escaped, kept_incomplete, of_directory, options, reader};
use support::mariadb::MariaDb;
use support::mongo::{files_of, write_files};
use support::mounted::Stage;
use support::repository::{TestRepository, now};
use support::rows::diff;
use support::server::{restore_into, restored, succeed};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpOptions, DumpRules, OriginalPolicy};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::SnapshotStatus;

const TABLES: &str = r#"
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4; USE shop;
CREATE TABLE customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) CHARACTER SET latin1, UNIQUE (name));
CREATE TABLE orders (id INT PRIMARY KEY, customer INT, note TEXT, at TIMESTAMP NOT NULL DEFAULT '2026-01-01 00:00:00',
  doubled INT AS (id * 2) STORED, FOREIGN KEY (customer) REFERENCES customers (id));
CREATE TABLE texts (b VARBINARY(300), id INT PRIMARY KEY, t TEXT, u VARCHAR(20) CHARACTER SET utf16, bits BIT(9), place POINT,
  ratio DOUBLE, hidden INT INVISIBLE DEFAULT 7, e ENUM('a', 'é'), body JSON);
CREATE TABLE nothing (id INT PRIMARY KEY);
CREATE TABLE `o@d/d %é` (`k,y` INT PRIMARY KEY, v TEXT);
INSERT INTO customers (name) VALUES ('ada'), ('böb'), ('tab	"''\\');
INSERT INTO orders (id, customer, note) SELECT seq, 1 + seq % 3, REPEAT(MD5(seq), 1 + seq % 5) FROM seq_1_to_5000;
INSERT INTO texts (b, id, t, u, bits, place, ratio, e, body) VALUES
  (x'000102090a0b0d1a22275c5cff', 1, 'tab\tline\nback\\slash', '慢', b'100000001', POINT(1, 2), 1 / 3, 'é', '{"a": "b"}'),
  ('', 2, '\\N', NULL, NULL, NULL, NULL, NULL, NULL), (NULL, 3, 'NULL', 'x', b'0', NULL, -1e20, 'a', '[]'),
  (x'5c', 4, '', '', NULL, NULL, 0, NULL, NULL);
INSERT INTO `o@d/d %é` VALUES (1, '-- x'), (2, NULL);
CREATE TRIGGER orders_told BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, ';');
CREATE FUNCTION twice (n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE VIEW sums AS SELECT customer, COUNT(*) AS count, twice(1) AS two FROM orders GROUP BY customer;
CREATE VIEW few AS SELECT * FROM sums WHERE count < 10;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM nothing;
CREATE DATABASE `other %é`; USE `other %é`; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2);
CREATE VIEW shop.wide AS SELECT id FROM t;
"#;

const DATABASES: [&str; 2] = ["shop", "other %é"];

fn server() -> MariaDb {
    let server = MariaDb::start();
    server.run("", TABLES);
    server
}

/// A directory that is being made.
struct ShellDump<'s> {
    server: &'s MariaDb,
    directory: &'s Path,
    /// Files of rows are compressed.
    is_compressed: bool,
    /// Rows that a file has of a table, but for its last one.
    chunk_rows: u64,
    file_bytes: Vec<String>,
}

fn encoded(name: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || !it.is_ascii() || "-._~".contains(it);
    name.chars().map(|it| if plain(it) { it.to_string() } else { format!("%{:02X}", it as u32) }).collect()
}

fn quoted(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// What the program for dumps prints, but for what sets up the session, as MySQL Shell begins it.
fn statements(server: &MariaDb, options: &[&str]) -> String {
    let printed = String::from_utf8(server.dump(options)).unwrap();
    let is_of_session = |line: &str| {
        let marks = ["@OLD_", "SET NAMES", "SET TIME_ZONE='+00:00'", "-- Dump completed", "sandbox", "DROP TABLE"];
        marks.iter().any(|mark| line.contains(mark))
    };
    let lines = printed.lines().filter(|line| !is_of_session(line));
    let text = lines.map(|line| format!("{line}\n")).collect::<String>();
    let (_, text) = text.split_once('\n').unwrap();
    format!("-- MySQLShell dump 2.0.1  Distrib Ver 8.0.43 for Linux on x86_64\n{text}")
        .replace("CREATE TABLE `", "CREATE TABLE IF NOT EXISTS `")
}

impl ShellDump<'_> {
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.directory.join(name), text).unwrap();
    }

    fn names(&self, database: &str, kind: &str) -> Vec<String> {
        let query = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}' AND table_type = '{kind}' ORDER BY 1"
        );
        self.server.run("", query).lines().map(str::to_string).collect()
    }

    fn make(mut self) {
        std::fs::create_dir_all(self.directory).unwrap();
        for database in DATABASES {
            self.add_database(database);
        }
        let bases = DATABASES.map(|name| format!("{name:?}: {:?}", encoded(name))).join(", ");
        let schemas = quoted(DATABASES.map(str::to_string));
        self.write("@.json", format!(
            r#"{{"dumper": "mysqlsh Ver 8.0.43 for Linux on x86_64", "version": "2.0.1", "origin": "dumpSchemas", "schemas": [{schemas}],
                "basenames": {{{bases}}}, "defaultCharacterSet": "utf8mb4", "tzUtc": true, "serverVersion": "8.0.43",
                "binlogFile": "binlog.000042", "binlogPosition": 157, "gtidExecuted": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100,\n4f22fb58-71ca-11e1-9e33-c80aa9429563:1-5",
                "gtidExecutedInconsistent": false, "consistent": true, "begin": "2026-11-26 20:00:00"}}"#));
        let frame = "-- MySQLShell dump 2.0.1\n/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!50503 SET NAMES utf8mb4 */;\n\
                     /*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;\n/*!40103 SET TIME_ZONE='+00:00' */;\n";
        self.write("@.sql", frame);
        self.write("@.post.sql", "-- MySQLShell dump 2.0.1\n/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n");
        self.write(
            "@.done.json",
            format!(r#"{{"end": "2026-11-26 20:00:01", "chunkFileBytes": {{{}}}}}"#, self.file_bytes.join(", ")),
        );
    }

    fn add_database(&mut self, database: &str) {
        let (base, tables, views) =
            (encoded(database), self.names(database, "BASE TABLE"), self.names(database, "VIEW"));
        let options =
            ["--no-data", "--no-create-info", "--skip-triggers", "--routines", "--events", "--databases", database];
        self.write(&format!("{base}.sql"), statements(self.server, &options));
        let of = |name: &String| format!("{name:?}: {:?}", format!("{base}@{}", encoded(name)));
        let bases = tables.iter().chain(&views).map(of).collect::<Vec<_>>().join(", ");
        let (listed, views_listed) = (quoted(tables.clone()), quoted(views.clone()));
        self.write(&format!("{base}.json"), format!(
            r#"{{"schema": {database:?}, "includesDdl": true, "includesViewsDdl": true, "includesData": true, "tables": [{listed}], "views": [{views_listed}], "basenames": {{{bases}}}}}"#));
        tables.iter().for_each(|table| self.add_table(database, table, &format!("{base}@{}", encoded(table))));
        for view in views {
            let base = format!("{base}@{}", encoded(&view));
            let both = statements(self.server, &[database, &view]);
            let (stub, view) = both.split_once("--\n-- Final view structure").unwrap();
            self.write(&format!("{base}.pre.sql"), stub);
            self.write(
                &format!("{base}.sql"),
                format!("-- MySQLShell dump 2.0.1\n\n--\n-- Final view structure{view}"),
            );
        }
    }

    fn add_table(&mut self, database: &str, table: &str, base: &str) {
        let query = format!(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = '{database}' AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
        );
        let told = self.server.run("", query);
        let columns: Vec<(&str, &str)> = told.lines().map(|line| line.split_once('\t').unwrap()).collect();
        let (mut values, mut decodings) = (Vec::new(), Vec::new());
        for (name, kind) in &columns {
            values.push(match *kind {
                "varbinary" => format!("REPLACE(TO_BASE64(`{name}`), '\\n', '')"),
                "bit" => format!("TO_BASE64(UNHEX(LPAD(HEX(`{name}`), 4, '0')))"),
                "point" => format!("HEX(`{name}`)"),
                _ => format!("`{name}`"),
            });
            let decoding = if *kind == "point" { "UNHEX" } else { "FROM_BASE64" };
            let is_binary = ["varbinary", "bit", "point"].contains(kind);
            decodings.extend(is_binary.then(|| format!("{name:?}: {decoding:?}")));
        }
        let has_trigger = table == "orders";
        let columns = quoted(columns.iter().map(|(name, _)| name.to_string()));
        let (triggers, extension) = (if has_trigger { "\"orders_told\"" } else { "" }, self.extension());
        self.write(&format!("{base}.json"), format!(
            r#"{{"options": {{"schema": {database:?}, "table": {table:?}, "columns": [{columns}], "decodeColumns": {{{}}}, "defaultCharacterSet": "utf8mb4",
                "fieldsTerminatedBy": "\t", "fieldsEnclosedBy": "", "fieldsOptionallyEnclosed": false, "fieldsEscapedBy": "\\", "linesTerminatedBy": "\n"}},
                "triggers": [{triggers}], "includesData": true, "includesDdl": true, "extension": {extension:?}, "chunking": true, "partitions": [], "basenames": {{}}}}"#,
            decodings.join(", ")));
        self.write(&format!("{base}.sql"), statements(self.server, &["--no-data", "--skip-triggers", database, table]));
        if has_trigger {
            let options = ["--no-data", "--no-create-info", "--triggers", database, table];
            self.write(&format!("{base}.triggers.sql"), statements(self.server, &options));
        }
        self.add_rows(&format!("`{database}`.`{table}`"), &values.join(", "), base);
    }

    fn extension(&self) -> &'static str {
        if self.is_compressed { "tsv.zst" } else { "tsv" }
    }

    fn add_rows(&mut self, table: &str, values: &str, base: &str) {
        let count: u64 = self.server.run("", format!("SELECT COUNT(*) FROM {table}")).trim().parse().unwrap();
        let chunks = count.div_ceil(self.chunk_rows).max(1);
        for chunk in 0..chunks {
            let mark = if chunk + 1 == chunks { "@@" } else { "@" };
            let name = format!("{base}{mark}{chunk}.tsv");
            let (path, offset) = (self.directory.join(&name), chunk * self.chunk_rows);
            // Where files lie that this program may make and the server may write.
            let place = self.server.data().join("chunk.tsv");
            let _ = std::fs::remove_file(&place);
            self.server.run(
                "",
                format!(
                    "SELECT {values} FROM {table} LIMIT {} OFFSET {offset} INTO OUTFILE '{}' CHARACTER SET utf8mb4",
                    self.chunk_rows,
                    place.display()
                ),
            );
            std::fs::copy(&place, &path).unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            let name = format!("{base}{mark}{chunk}.{}", self.extension());
            self.file_bytes.push(format!("{name:?}: {bytes}"));
            if self.is_compressed {
                let mut command = Command::new("zstd");
                succeed(command.args(["--rm", "-q"]).arg(&path).output().unwrap(), "zstd");
                // One entry on the way, as of long files, and the last of all.
                self.write(&format!("{name}.idx"), [(bytes / 2).to_be_bytes(), bytes.to_be_bytes()].concat());
            }
        }
    }
}

fn dump(server: &MariaDb, directory: &Path, is_compressed: bool) {
    let dump = ShellDump { server, directory, is_compressed, chunk_rows: 1200, file_bytes: Vec::new() };
    dump.make();
}

fn report(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_mysql(&place.repository, options, &now, &Recorder::default())
}

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<Dumped> {
    Ok(Dumped::of(place, report(place, options)?))
}

/// The files of a directory, by the names that they are kept under.
fn originals_of(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    files_of(directory).into_iter().map(|(name, bytes)| (escaped(&name), bytes)).collect()
}

/// What is in both databases, without when it was dumped.
fn content(server: &MariaDb) -> String {
    let options = ["--skip-comments", "--hex-blob", "--routines", "--events", "--databases"];
    String::from_utf8(server.dump(&[&options[..], &DATABASES].concat())).unwrap()
}

#[test]
fn a_directory_of_mysql_shell_becomes_the_tree_of_a_dump() {
    let (server, place, other) = (server(), TestRepository::new(), MariaDb::start());
    let expected = content(&server);
    let printed = server.dump(&[&["--routines", "--events", "--databases"][..], &DATABASES].concat());
    let printed = report(&place, options(reader(&printed))).unwrap();
    for is_compressed in [true, false] {
        let directory = place.path(if is_compressed { "compressed" } else { "plain" });
        dump(&server, &directory, is_compressed);
        let made = report(&place, of_directory(&directory)).unwrap();
        let changes = diff(&place, &printed.snapshot, &made.snapshot, &support::rows::options()).unwrap().changes;
        assert_eq!(changes, [], "row by row, it is the dump that is printed");
        let found = Dumped::of(&place, made);
        assert_eq!(found.manifest.status, SnapshotStatus::Complete);
        found.assert_parts_are_the_dump(found.file("dump.sql"));
        assert!(found.originals() == originals_of(&directory));
        let facts = &found.manifest.facts;
        let told =
            ["binlog_file", "binlog_position", "gtid", "server_version", "character_set"].map(|it| facts[it].as_str());
        let gtid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100,4f22fb58-71ca-11e1-9e33-c80aa9429563:1-5";
        assert_eq!(told, ["binlog.000042", "157", gtid, "8.0.43", "utf8mb4"]);
        assert!(facts["program"].contains("mysqlsh Ver 8.0.43"), "{facts:?}");
        assert_eq!(found.names("shop/tables/orders"), ["data.sql", "restore.sql", "schema.sql", "triggers.sql"]);
        assert_eq!(found.names("shop/views/sums"), ["stub.sql", "view.sql"]);
        assert!(
            found.paths().contains("shop/routines/functions/twice.sql")
                && found.paths().contains("shop/events/nightly.sql")
        );
        assert!(found.paths().contains("shop/tables/o@d%2Fd %25é/data.sql"), "{:?}", found.paths());
        other.run("", "DROP DATABASE IF EXISTS shop; DROP DATABASE IF EXISTS `other %é`");
        other.run("", found.file("dump.sql"));
        assert_eq!(content(&other), expected);
        other.make_empty("again");
        other.run("again", found.file("shop/tables/texts/restore.sql"));
        let table = |server: &MariaDb, name: &str| server.dump(&["--skip-comments", "--hex-blob", name, "texts"]);
        assert!(table(&other, "again") == table(&server, "shop"));
    }
    let dropping = of_directory(&place.path("plain"));
    let rules = DumpRules { original: OriginalPolicy::Drop, ..dropping.rules };
    assert_eq!(ingest(&place, DumpOptions { rules, ..dropping }).unwrap().originals(), BTreeMap::new());
}

/// Why a directory is refused; kept nevertheless, its files are there.
#[track_caller]
fn refused(place: &TestRepository, directory: &Path) -> String {
    let Err(Error::Incomplete { reason, .. }) = ingest(place, of_directory(directory)) else {
        panic!("it is taken for complete")
    };
    let kept = ingest(place, kept_incomplete(of_directory(directory))).unwrap();
    assert_eq!((kept.manifest.status, &kept.manifest.facts["status_reason"]), (SnapshotStatus::Incomplete, &reason));
    assert!(kept.originals() == originals_of(directory));
    kept.assert_parts_are_the_dump(kept.file("dump.sql"));
    assert!(!kept.file("dump.sql").ends_with(b"-- Dump completed\n"), "its text is taken for complete");
    reason
}

#[test]
fn a_directory_in_which_anything_is_missing_makes_no_snapshot() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("shell");
    dump(&server, &directory, true);
    let files = files_of(&directory);
    // These tell how to read others, or of nothing that must be there.
    let is_needed =
        |name: &&String| !["@.json", "@.sql", "@.post.sql", "shop@nothing@@0.tsv.zst"].contains(&name.as_str());
    for name in files.keys().filter(is_needed).filter(|name| !name.ends_with(".idx")) {
        std::fs::remove_file(directory.join(name)).unwrap();
        let reason = refused(&place, &directory);
        let shown = name.strip_suffix(".zst").unwrap_or(name);
        assert!(reason.contains(shown) && reason.contains("missing"), "{name}: {reason}");
        write_files(&directory, &files);
    }
    // Of some tables only, nothing makes the database, and what has no rows need have no file.
    std::fs::remove_file(directory.join("shop@nothing@@0.tsv.zst")).unwrap();
    std::fs::remove_file(directory.join("shop.sql")).unwrap();
    let of_tables = String::from_utf8_lossy(&files["@.json"]).replace("dumpSchemas", "dumpTables");
    std::fs::write(directory.join("@.json"), of_tables).unwrap();
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert!(found.names("shop/tables").contains(&"nothing".to_string()) && !found.paths().contains("shop/events"));
    write_files(&directory, &files);
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = files.clone();
        change(changed.get_mut(name).unwrap());
        write_files(&directory, &changed);
        refused(&place, &directory)
    };
    let index = with("shop@orders@@4.tsv.zst.idx", &|bytes| bytes[15] ^= 1);
    assert!(index.starts_with("shop@orders@@4.tsv.zst.idx tells of ") && index.contains("@.done.json of"), "{index}");
    for rest in [&[][..], &[0; 7], &[0; 15]] {
        let index = with("shop@orders@@4.tsv.zst.idx", &|bytes| *bytes = rest.to_vec());
        assert_eq!(index, format!("shop@orders@@4.tsv.zst.idx has {} bytes, and entries have 8", rest.len()));
    }
    let left = with("@.done.json", &|bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace(r#""shop@orders@@4"#, r#""shop@other@@0"#).into_bytes();
    });
    assert_eq!(left, "shop@other@@0.tsv.zst has rows, @.done.json tells, and no manifest tells of which table");
    let cut = with("shop@orders@1.tsv.zst", &|bytes| bytes.truncate(bytes.len() - 9));
    assert!(cut.contains("shop@orders@1.tsv"), "{cut}");
    let other = with("shop@texts.json", &|bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace(r#", "body""#, "").into_bytes();
    });
    assert_eq!(other, "shop@texts@@0.tsv: its rows have 10 values, and 9 columns are told");
    let decoding = with("shop@texts.json", &|bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace(r#""b": "FROM_BASE64""#, r#""b": "UNHEX""#).into_bytes();
    });
    assert_eq!(decoding, "shop@texts@@0.tsv: value 1 of a row is not written as it should be");
    write_files(&directory, &files);
    for name in ["@.json", "shop.json", "shop@orders.json"] {
        std::fs::write(directory.join(name), "[1]").unwrap();
        let error = ingest(&place, of_directory(&directory)).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("not what MySQL Shell writes"), "{error}");
        write_files(&directory, &files);
    }
    assert_eq!(ingest(&place, of_directory(&directory)).unwrap().manifest.status, SnapshotStatus::Complete);
}

#[test]
fn rows_of_which_some_are_lost_make_no_snapshot() {
    let (server, place) = (server(), TestRepository::new());
    let (plain, indexed) = (place.path("plain"), place.path("indexed"));
    dump(&server, &plain, false);
    // The last row goes, so that what is left ends with a row.
    let file = plain.join("shop@orders@1.tsv");
    let rows = std::fs::read(&file).unwrap();
    let length = rows[..rows.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(&file, &rows[..length]).unwrap();
    let reason = format!("shop@orders@1.tsv: it has {length} bytes of rows, and {} are told", rows.len());
    assert_eq!(refused(&place, &plain), reason);
    // The first dumps of MySQL Shell tell of no file's bytes, so that only the index does.
    dump(&server, &indexed, true);
    std::fs::write(indexed.join("@.done.json"), "{}").unwrap();
    assert_eq!(ingest(&place, of_directory(&indexed)).unwrap().manifest.status, SnapshotStatus::Complete);
    let index = indexed.join("shop@orders@@4.tsv.zst.idx");
    let entries = std::fs::read(&index).unwrap();
    std::fs::write(&index, &entries[..8]).unwrap();
    assert!(refused(&place, &indexed).starts_with("shop@orders@@4.tsv: it has "));
    // Without an index, the numbers of files and the ends of rows do.
    std::fs::write(plain.join("@.done.json"), "{}").unwrap();
    std::fs::write(&file, &rows[..rows.len() - 1]).unwrap();
    assert_eq!(refused(&place, &plain), "shop@orders@1.tsv: it ends within a row");
    std::fs::write(&file, &rows).unwrap();
    assert_eq!(ingest(&place, of_directory(&plain)).unwrap().manifest.status, SnapshotStatus::Complete);
    // One before others, and the one before the last.
    for number in [1, 3] {
        let name = format!("shop@orders@{number}.tsv");
        let rows = std::fs::read(plain.join(&name)).unwrap();
        std::fs::remove_file(plain.join(&name)).unwrap();
        assert_eq!(refused(&place, &plain), format!("{name} is missing"));
        std::fs::write(plain.join(&name), rows).unwrap();
    }
}

#[test]
fn manifests_tell_what_is_there() {
    let (server, place) = (server(), TestRepository::new());
    let directory = place.path("shell");
    dump(&server, &directory, false);
    let change = |name: &str, old: &str, new: &str| {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(text.contains(old), "{name} has no {old}");
        std::fs::write(directory.join(name), text.replace(old, new)).unwrap();
    };
    let remove = |name: &str| std::fs::remove_file(directory.join(name)).unwrap();
    // Views, rows, or what makes a table, may have been left out.
    change("shop.json", r#""includesViewsDdl": true"#, r#""includesViewsDdl": false"#);
    ["sums", "few", "wide"].iter().for_each(|view| {
        remove(&format!("shop@{view}.sql"));
        remove(&format!("shop@{view}.pre.sql"));
    });
    change("shop@texts.json", r#""includesData": true"#, r#""includesData": false"#);
    remove("shop@texts@@0.tsv");
    // No number of bytes.
    change("@.done.json", "shop@texts@@0.tsv\": ", "shop@texts@@0.tsv\": 0.");
    change("shop@o%40d%2Fd%20%25é.json", r#""includesDdl": true"#, r#""includesDdl": false"#);
    remove("shop@o%40d%2Fd%20%25é.sql");
    // All rows may be in one file, whose name does not tell of others.
    change("shop@customers.json", r#""chunking": true"#, r#""chunking": false"#);
    change("@.done.json", "shop@customers@@0.tsv", "shop@customers.tsv");
    std::fs::rename(directory.join("shop@customers@@0.tsv"), directory.join("shop@customers.tsv")).unwrap();
    let users = "-- MySQLShell dump 2.0.1\n--\n-- begin user 'joe'@'%'\nCREATE USER IF NOT EXISTS 'joe'@'%';\n-- end user 'joe'@'%'\n";
    std::fs::write(directory.join("@.users.sql"), users).unwrap();
    remove("@.sql");
    let found = ingest(&place, of_directory(&directory)).unwrap();
    assert_eq!(found.manifest.status, SnapshotStatus::Complete);
    assert!(!found.paths().iter().any(|path| path.starts_with("shop/views")), "{:?}", found.paths());
    assert!(!found.names("shop/tables/texts").contains(&"data.sql".to_string()));
    assert!(!found.names("shop/tables/o@d%2Fd %25é").contains(&"schema.sql".to_string()));
    assert!(found.text("shop/tables/customers/data.sql").contains("'ada'"));
    assert!(found.text("_globals/users.sql").contains("'joe'"));
    let settings = |found: &Dumped| {
        let text = found.text("_meta/header.sql");
        (
            text.contains("SET NAMES utf8mb4 "),
            text.contains("SET NAMES latin1 "),
            text.contains("SET TIME_ZONE='+00:00'"),
        )
    };
    assert_eq!(settings(&found), (true, false, true));
    change("@.json", r#""tzUtc": true"#, r#""tzUtc": false"#);
    change("@.json", r#""defaultCharacterSet": "utf8mb4""#, r#""defaultCharacterSet": "latin1""#);
    assert_eq!(settings(&ingest(&place, of_directory(&directory)).unwrap()), (false, true, false));
    change(
        "@.json",
        r#""defaultCharacterSet": "latin1""#,
        r#""defaultCharacterSet": "latin1 */; DROP DATABASE shop; /*""#,
    );
    assert_eq!(settings(&ingest(&place, of_directory(&directory)).unwrap()), (true, false, false));
}

#[test]
fn rows_of_two_nights_are_compared_and_brought_back() {
    let (server, place, stage) = (server(), TestRepository::new(), Stage::new());
    let ingest = |name: &str| {
        dump(&server, &place.path(name), true);
        stage.succeed(&["ingest", "mysql", "--source", "shop", place.path(name).to_str().unwrap()]);
    };
    ingest("monday");
    let before = content(&server);
    server.run("shop", "UPDATE texts SET t = 'new\\t', b = x'ff' WHERE id = 2; DELETE FROM texts WHERE id = 3");
    ingest("tuesday");
    let differing = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository()).args(["diff", "shop~1", "shop", "--rows", "shop.texts"]);
        let output = command.args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(differing(&[]), "shop.texts: 0 rows inserted, 1 deleted, 1 updated\n");
    server.run("shop", differing(&["--sql", "--reverse"]));
    assert!(content(&server) == before);
    let other = MariaDb::start();
    restored(&restore_into(&stage, &other.url(""), &[]));
    assert_eq!(other.run("shop", "SELECT HEX(b) FROM texts WHERE id = 2").trim(), "FF");
    restored(&restore_into(&stage, &other.url(""), &["--table", "shop.texts", "--as", "copy.texts_before"]));
    assert_eq!(other.run("copy", "SELECT COUNT(*) FROM texts_before").trim(), "3");
}
