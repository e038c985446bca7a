//! Stories of ingesting what `mariadb-dump --xml` prints of a real MariaDB.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use support::dumped::{Dumped, command, kept_incomplete, options, reader};
use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::repository::{TestRepository, now};
use support::server::{refused, restore_into};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::DumpOptions;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::progress::Recorder;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotStatus};

/// Names and values that are hard to find the way in.
const SHOP: &str = r#"
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, note TEXT, data VARBINARY(300));
INSERT INTO orders VALUES (NULL, '</row>\n</table_data>\n</mysqldump>', x'003c3e26220d0a1aff5d5d3e'), (NULL, ']]><row>', NULL),
  (NULL, '<!-- x', ''), (NULL, NULL, x'3c726f773e');
CREATE TABLE `a/b "<c>& '` (a INT);
CREATE TABLE empty (a INT);
CREATE VIEW seen AS SELECT id FROM orders;
CREATE TRIGGER told BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = ']]><table_data name="x"><row>';
CREATE PROCEDURE twice(IN n INT) SELECT n * 2, '</mysqldump>';
CREATE FUNCTION half(n INT) RETURNS INT DETERMINISTIC RETURN n / 2;
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO SELECT ']]>';
CREATE DATABASE second;
CREATE TABLE second.orders (id INT);
INSERT INTO second.orders VALUES (1);
"#;

const BOTH: [&str; 5] = ["--xml", "--routines", "--events", "--databases", "shop"];

fn server() -> MariaDb {
    let server = MariaDb::start();
    server.run("", SHOP);
    server
}

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<Dumped> {
    let report = ingest_mysql(&place.repository, options, &now, &Recorder::default())?;
    Ok(Dumped::of(place, report))
}

#[test]
fn xml_becomes_the_tree_of_a_dump() {
    let (server, place) = (server(), TestRepository::new());
    for more in [&["second"][..], &["second", "--hex-blob"], &["second", "--order-by-primary", "--skip-comments"]] {
        let arguments = [&BOTH[..], more].concat();
        let dump = server.dump(&arguments);
        let found = ingest(&place, options(command(&server.dump_command(&arguments)))).unwrap();
        assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mysql, SnapshotStatus::Complete));
        found.assert_parts_are("dump.xml", &dump);
        let tables = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        assert_eq!(found.tables("shop"), tables(&["a%2Fb \"<c>& '", "empty", "orders", "seen"]));
        assert_eq!(found.tables("second"), tables(&["orders"]));
        assert_eq!(found.names("shop/tables/orders"), ["data.xml", "schema.xml", "triggers.xml"]);
        assert_eq!(found.names("shop/routines/procedures"), ["twice.xml"]);
        assert_eq!(found.names("shop/routines/functions"), ["half.xml"]);
        assert_eq!(found.names("shop/events"), ["daily.xml"]);
        assert_eq!(found.names("shop"), ["_database.xml", "events", "routines", "tables"]);
        assert_eq!(
            found.names("_meta"),
            ["coordinates.json", "footer.xml", "header.xml", "inputs", "parts", "status.json"]
        );
        let rows = |path: &str| found.parts().iter().filter(|part| part.2 == path).map(|part| part.1).sum::<u64>();
        assert_eq!((rows("shop/tables/orders/data.xml"), rows("second/tables/orders/data.xml")), (4, 1));
        let data = String::from_utf8_lossy(found.file("shop/tables/orders/data.xml")).into_owned();
        assert!(data.starts_with("\t<table_data name=\"orders\">\n") && data.ends_with("\t</table_data>\n"), "{data}");
        assert_eq!(found.manifest.facts["form"], "xml");
        assert_eq!((&*found.manifest.facts["tables"], &*found.manifest.facts["rows"]), ("5", "5"));
        let again = ingest(&place, options(reader(&dump))).unwrap();
        assert!(again.manifest.bytes_new < 4096, "{}", again.manifest.bytes_new);
    }
}

#[test]
fn compressed_xml_is_unwrapped_and_made_again() {
    let (server, place) = (server(), TestRepository::new());
    let dump = server.dump(&BOTH);
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    stdin.write_all(&dump).unwrap();
    drop(stdin);
    let wrapped = gzip.wait_with_output().unwrap().stdout;
    let found = ingest(&place, options(reader(&wrapped))).unwrap();
    found.assert_parts_are("dump.xml", &dump);
    let snapshot = place.repository.catalog().of_source("shop").next_back().cloned().unwrap();
    let mut rebuilt = Vec::new();
    let take = &mut |bytes: &[u8]| {
        rebuilt.extend_from_slice(bytes);
        Ok(())
    };
    rebuild_original(&place.repository, &snapshot, None, take).unwrap();
    assert!(rebuilt == wrapped);
}

#[test]
fn xml_without_its_last_tag_makes_no_snapshot_unless_it_is_to_be_kept() {
    let (server, place) = (server(), TestRepository::new());
    let dump = server.dump(&BOTH);
    let end = "</mysqldump>\n".len();
    let cuts = [(dump.len() - end, "it does not end with \"</mysqldump>\""), (dump.len() / 2, ""), (1, "")];
    for (cut, expected) in cuts {
        let Err(Error::Incomplete { reason, .. }) = ingest(&place, options(reader(&dump[..cut]))) else {
            panic!("cut at {cut}, it is taken for complete")
        };
        assert!(expected.is_empty() || reason == expected, "{reason}");
        let kept = ingest(&place, kept_incomplete(options(reader(&dump[..cut])))).unwrap();
        assert_eq!(kept.manifest.status, SnapshotStatus::Incomplete);
        kept.assert_parts_are("dump.xml", &dump[..cut]);
    }
}

#[test]
fn xml_and_sql_make_no_snapshot_together_and_no_rows() {
    let (server, place, stage) = (server(), TestRepository::new(), Stage::new());
    let mut both = options(reader(&server.dump(&["--databases", "second"])));
    both.inputs.extend(options(reader(&server.dump(&BOTH))).inputs);
    let error = ingest(&place, both).err().unwrap().to_string();
    assert!(error.contains("some dumps are XML"), "{error}");
    std::fs::write(stage.path("shop.xml"), server.dump(&BOTH)).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.xml").to_str().unwrap()]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["rows", "shop", "shop.orders", "--key", "1"]);
    let message = refused(&command.output().unwrap(), 2);
    assert!(message.contains("rows of a dump in XML"), "{message}");
    let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
    assert!(message.contains("which no client loads"), "{message}");
}
