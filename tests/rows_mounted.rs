//! Stories of the rows in `diff/A..B/rows`, through a mount.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use support::mariadb::MariaDb;
use support::mongo::{document, number, text};
use support::mounted::{Mount, Stage, errno, names};
use support::postgres::Postgres;

/// A server with two databases, of which three tables are going to differ.
fn server() -> MariaDb {
    let server = MariaDb::start();
    server.run(
        "",
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE orders (id INT PRIMARY KEY, customer CHAR(32), note VARCHAR(200));
         INSERT INTO orders SELECT seq, MD5(seq DIV 7), REPEAT(MD5(seq), 1 + seq % 4) FROM seq_1_to_20000;
         CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(50)); INSERT INTO customers VALUES (1, 'a'), (2, 'b');
         CREATE TABLE same (id INT PRIMARY KEY); INSERT INTO same VALUES (1);
         CREATE TABLE `o/d%d` (id INT PRIMARY KEY); INSERT INTO `o/d%d` VALUES (1);
         CREATE DATABASE quiet; USE quiet; CREATE TABLE idle (id INT PRIMARY KEY); INSERT INTO idle VALUES (1)",
    );
    server
}

const CHANGES: &str = "UPDATE orders SET note = REVERSE(note) WHERE id % 1000 = 7; DELETE FROM orders WHERE id = 500;
                       INSERT INTO orders VALUES (20001, 'new', 'row'); UPDATE customers SET name = 'c' WHERE id = 2;
                       INSERT INTO `o/d%d` VALUES (2)";

fn ingest(stage: &Stage, server: &MariaDb) {
    let dump = stage.path("dump.sql");
    fs::write(&dump, server.dump(&["--databases", "shop", "quiet"])).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", dump.to_str().unwrap()]);
}

/// Two dumps with changes between them, mounted.
fn staged() -> (MariaDb, Stage, Mount) {
    let (server, stage) = (server(), Stage::new());
    ingest(&stage, &server);
    server.run("shop", CHANGES);
    ingest(&stage, &server);
    let mount = stage.mount();
    (server, stage, mount)
}

fn rows(mount: &Mount) -> PathBuf {
    mount.path("diff/shop~1..shop/rows")
}

/// What `diff --rows` writes for a table, without what it tells people.
fn patch(stage: &Stage, [a, b]: [&str; 2], table: &str) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["diff", a, b, "--sql", "--rows", table]);
    command.output().unwrap().stdout
}

#[test]
fn a_patch_is_read_as_a_file() {
    let (server, stage, mount) = staged();
    let rows = rows(&mount);
    assert_eq!(names(mount.path("diff/shop~1..shop")), ["added", "changed", "removed", "rows"]);
    assert_eq!(names(&rows), ["shop"], "only databases with changes");
    assert_eq!(names(rows.join("shop")), ["customers.sql", "o%2Fd%25d.sql", "orders.sql"]);
    let orders = rows.join("shop/orders.sql");
    let expected = patch(&stage, ["shop~1", "shop"], "shop.orders");
    assert!(expected.len() > 1000 && fs::read(&orders).unwrap() == expected);
    assert_eq!(fs::metadata(&orders).unwrap().len(), expected.len() as u64, "its size is known then");
    let [copied, reverse] = ["copied.sql", "reverse.sql"].map(|name| stage.path(name));
    support::mounted::run(Command::new("cp").arg(rows.join("shop/customers.sql")).arg(&copied));
    assert!(fs::read(&copied).unwrap() == patch(&stage, ["shop~1", "shop"], "shop.customers"));
    support::mounted::run(Command::new("cp").arg(mount.path("diff/shop..shop~1/rows/shop/orders.sql")).arg(&reverse));
    assert!(fs::read(&reverse).unwrap() == patch(&stage, ["shop", "shop~1"], "shop.orders"));

    // What they say is what a server does.
    let all = |server: &MariaDb| server.run("shop", "SELECT * FROM orders ORDER BY id; SELECT * FROM customers");
    let after = all(&server);
    server.run("shop", fs::read(&reverse).unwrap());
    server.run("shop", "UPDATE customers SET name = 'b' WHERE id = 2");
    assert_ne!(all(&server), after);
    server.run("shop", fs::read(&orders).unwrap());
    server.run("shop", fs::read(&copied).unwrap());
    assert_eq!(all(&server), after);
    mount.unmount();
}

#[test]
fn listing_computes_nothing() {
    let (_server, _stage, mount) = staged();
    let rows = rows(&mount);
    let list = || support::mounted::run(Command::new("ls").arg("-lR").arg(&rows));
    list();
    let (listed, counts) = mount.counted(list);
    assert!(
        String::from_utf8(listed)
            .unwrap()
            .lines()
            .filter(|line| line.ends_with(".sql"))
            .all(|line| { line.split_whitespace().nth(4) == Some("0") })
    );
    assert_eq!(counts["decoded"], 0, "{counts:?}");
    let (bytes, counts) = mount.counted(|| fs::read(rows.join("shop/orders.sql")).unwrap());
    assert!(!bytes.is_empty() && counts["decoded"] > 0, "{counts:?}");
    let (again, counts) = mount.counted(|| fs::read(rows.join("shop/orders.sql")).unwrap());
    assert!(again == bytes && counts["decoded"] == 0, "it is kept: {counts:?}");
    mount.unmount();
}

#[test]
fn many_read_at_once_and_more_than_are_kept() {
    let (_server, stage, mount) = staged();
    let expected = patch(&stage, ["shop~1", "shop"], "shop.orders");
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (mount, expected) = (&mount, &expected);
            // Each spelling of a pair is a directory of its own, and has patches of its own.
            scope.spawn(move || {
                for pair in ["shop~1..shop", "shop@latest~1..shop", "shop~1..shop@latest"].iter().cycle().take(9) {
                    let path = mount.path(&format!("diff/{pair}/rows/shop/orders.sql"));
                    assert!(fs::read(path).unwrap() == *expected, "reader {reader}");
                }
            });
        }
    });
    mount.unmount();
}

#[test]
fn only_dumps_have_rows() {
    let (stage, folder) = (Stage::new(), Stage::new());
    let files = folder.make_directory("files");
    for text in ["one", "two"] {
        fs::write(files.join("file"), text).unwrap();
        stage.ingest(&files, "files");
    }
    let mount = stage.mount();
    assert_eq!(names(mount.path("diff/files~1..files")), ["added", "changed", "removed"]);
    let missing = |path: &Path| errno(fs::metadata(path)) == Some(Errno::NOENT);
    assert!(missing(&mount.path("diff/files~1..files/rows")));
    mount.unmount();
}

#[test]
fn a_patch_that_cannot_be_written_fails_and_the_log_says_why() {
    let (server, stage) = (server(), Stage::new());
    ingest(&stage, &server);
    server.run("shop", CHANGES);
    let dump = stage.path("latin1.sql");
    fs::write(&dump, server.dump(&["--default-character-set=latin1", "--databases", "shop", "quiet"])).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", dump.to_str().unwrap()]);
    let mount = stage.mount();
    let rows = rows(&mount);
    assert_eq!(errno(fs::read(rows.join("shop/orders.sql"))), Some(Errno::INVAL));
    assert!(mount.log().contains("cannot write the patch"), "{}", mount.log());
    assert_eq!(errno(fs::metadata(rows.join("shop/same.sql.part"))), Some(Errno::NOENT));
    assert_eq!(errno(fs::metadata(rows.join("nowhere"))), Some(Errno::NOENT));
    mount.unmount();
}

/// Two schemas of PostgreSQL have tables that are going to differ, and one has none.
const OF_POSTGRES: &str = r#"
CREATE SCHEMA "od/d"; CREATE SCHEMA quiet; CREATE TABLE quiet.idle (id integer PRIMARY KEY); INSERT INTO quiet.idle VALUES (1);
CREATE TABLE orders (id serial PRIMARY KEY, note text);
INSERT INTO orders (note) SELECT repeat(md5(i::text), 1 + i % 4) FROM generate_series(1, 20000) i;
CREATE TABLE "od/d"."A.b" (id integer PRIMARY KEY, "N" text); INSERT INTO "od/d"."A.b" VALUES (1, E'\\.\n''');
CREATE TABLE held (id integer PRIMARY KEY); CREATE VIEW holding AS SELECT id FROM held;
CREATE TABLE altered (id integer PRIMARY KEY); CREATE TABLE refers (altered integer REFERENCES altered (id));
INSERT INTO altered VALUES (7); INSERT INTO refers VALUES (7); CREATE TABLE same (id integer PRIMARY KEY);
"#;

const CHANGES_OF_POSTGRES: &str = r#"
UPDATE orders SET note = reverse(note) WHERE id % 1000 = 7; DELETE FROM orders WHERE id = 500;
INSERT INTO orders (note) VALUES ('new'); UPDATE "od/d"."A.b" SET "N" = NULL; ALTER TABLE altered ADD more text;
ALTER TABLE held ADD more text; CREATE TABLE new (id integer PRIMARY KEY); INSERT INTO new VALUES (1);
"#;

#[test]
fn patches_for_postgresql_are_in_their_schemas() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.make_empty("shop");
    let ingest = || {
        let dump = stage.path("dump.sql");
        fs::write(&dump, server.dump("pg_dump", &["--create", "shop"])).unwrap();
        stage.succeed(&["ingest", "postgres", "--source", "shop", dump.to_str().unwrap()]);
    };
    server.run("shop", OF_POSTGRES);
    ingest();
    server.run("shop", CHANGES_OF_POSTGRES);
    ingest();
    let mount = stage.mount();
    let rows = rows(&mount);
    let list = || support::mounted::run(Command::new("ls").arg("-lR").arg(&rows));
    list();
    let (_, counts) = mount.counted(list);
    assert_eq!(counts["decoded"], 0, "{counts:?}");
    assert_eq!(names(&rows), ["shop"]);
    assert_eq!(names(rows.join("shop")), ["od%2Fd", "public"], "only schemas with changes");
    assert_eq!(names(rows.join("shop/public")), ["altered.sql", "held.sql", "new.sql", "orders.sql"]);
    assert_eq!(names(rows.join("shop/od%2Fd")), ["A.b.sql"]);
    for missing in
        ["nowhere", "shop/nowhere", "shop/quiet", "shop/public/same.sql", "shop/public/orders", "shop/orders.sql"]
    {
        assert_eq!(errno(fs::metadata(rows.join(missing))), Some(Errno::NOENT), "{missing}");
    }

    let content = |server: &Postgres| support::postgres::content(server, "shop", &[]);
    let after = content(&server);
    for (file, table) in [
        ("public/orders.sql", "shop.public.orders"),
        ("od%2Fd/A.b.sql", "shop.od/d.A.b"),
        ("public/altered.sql", "shop.public.altered"),
        ("public/new.sql", "shop.public.new"),
    ] {
        let patches = [["shop", "shop~1"], ["shop~1", "shop"]].map(|[a, b]| {
            let found = fs::read(mount.path(&format!("diff/{a}..{b}/rows/shop/{file}"))).unwrap();
            assert!(!found.is_empty() && found == patch(&stage, [a, b], table), "{table}");
            found
        });
        server.run("shop", &patches[0]);
        assert_ne!(content(&server), after);
        server.run("shop", &patches[1]);
        assert_eq!(content(&server), after);
    }
    assert_eq!(errno(fs::read(rows.join("shop/public/held.sql"))), Some(Errno::INVAL));
    assert!(mount.log().contains("a view needs it"), "{}", mount.log());
    mount.unmount();
}

#[test]
fn documents_that_differ_are_lines_of_json() {
    let stage = Stage::new();
    let ingest = |files: &[(&str, Vec<u8>)]| {
        let folder = tempfile::TempDir::new().unwrap();
        let files: BTreeMap<_, _> = files.iter().map(|(path, bytes)| (path.to_string(), bytes.clone())).collect();
        support::mongo::write_files(folder.path(), &files);
        for path in files.keys() {
            fs::write(folder.path().join(path.replace(".bson", ".metadata.json")), "{}").unwrap();
        }
        stage.succeed(&["ingest", "mongo", "--source", "shop", folder.path().to_str().unwrap()]);
    };
    let of = |id: i32, status: &str| document(&[number("_id", id), text("status", status)]);
    let orders =
        |changed: &str| (0..3000).flat_map(|id| of(id, if id % 1000 == 7 { changed } else { "new" })).collect();
    let quiet = ("quiet/idle.bson", of(1, "x"));
    let odd = |status: &str| ("shop/o%2Fd.bson", of(1, status));
    let users = |status: &str| ("admin/system.users.bson", of(1, status));
    ingest(&[("shop/orders.bson", orders("old")), ("shop/same.bson", of(1, "x")), odd("a"), quiet.clone(), users("x")]);
    let with_gone =
        [("shop/orders.bson", orders("a \"b\"\n")), ("shop/same.bson", of(1, "x")), odd("b"), quiet, users("y")];
    ingest(&with_gone);
    let mount = stage.mount();
    let rows = rows(&mount);
    let list = || support::mounted::run(Command::new("ls").arg("-lR").arg(&rows));
    list();
    let (_, counts) = mount.counted(list);
    assert_eq!(counts["decoded"], 0, "{counts:?}");
    assert_eq!(names(&rows), ["admin", "shop"], "only databases with changes");
    assert_eq!(names(rows.join("shop")), ["o%2Fd.json", "orders.json"]);
    for missing in ["quiet", "_meta", "shop/same.json", "shop/orders.sql", "shop/orders", "shop/nothing.json"] {
        assert_eq!(errno(fs::metadata(rows.join(missing))), Some(Errno::NOENT), "{missing}");
    }
    for (file, collection, count) in [("orders", "shop.orders", 3), ("o%2Fd", "shop.o/d", 1)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(stage.repository());
        command.args(["diff", "shop~1", "shop", "--json", "--rows", collection]);
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let lines: String =
            printed.split_inclusive('\n').filter(|line| line.starts_with(r#"{"type":"row","#)).collect();
        let found = fs::read_to_string(rows.join(format!("shop/{file}.json"))).unwrap();
        assert_eq!((&found, found.lines().count()), (&lines, count));
    }
    let first = r#"{"type":"row","table":"shop.orders","op":"update","key":{"_id":{"$numberInt":"7"}},"before":{"_id":{"$numberInt":"7"},"status":"old"},"after":{"_id":{"$numberInt":"7"},"status":"a \"b\"\n"},"changed":["status"]}"#;
    assert!(fs::read_to_string(rows.join("shop/orders.json")).unwrap().lines().any(|line| line == first));
    mount.unmount();
}

#[test]
fn what_patches_take_is_told_by_flags() {
    let (server, stage) = (server(), Stage::new());
    ingest(&stage, &server);
    server.run("shop", "UPDATE orders SET note = REVERSE(note)");
    server.run("shop", CHANGES);
    ingest(&stage, &server);
    let folder = stage.make_directory("patches").canonicalize().unwrap();
    let flags = ["--patch-dir", folder.to_str().unwrap(), "--patch-memory", "1", "--patches", "2"];
    let written = |mount: &Mount| {
        let before = mount.bytes_written();
        fs::read(mount.path("diff/shop~1..shop/rows/shop/orders.sql")).unwrap();
        mount.bytes_written() - before
    };
    let ample = stage.mount_with("ample", &[]);
    let written_by_ample = written(&ample);
    ample.unmount();
    let mount = stage.mount_with("mount", &flags);
    assert!(written(&mount) > written_by_ample + (2 << 20), "rows that differ do not wait in files");
    let expected = patch(&stage, ["shop~1", "shop"], "shop.orders");
    assert!(expected.len() > 2 << 20);
    for pair in ["shop~1..shop", "shop@latest~1..shop", "shop~1..shop@latest"] {
        for table in ["orders", "customers"] {
            let found = fs::read(mount.path(&format!("diff/{pair}/rows/shop/{table}.sql"))).unwrap();
            assert!(table != "orders" || found == expected, "{pair}");
            assert!((1..=2).contains(&mount.unnamed_files(&folder)));
        }
    }
    assert_eq!(names(&folder), [""; 0]);
    mount.unmount();

    let nowhere = stage.path("nowhere");
    let mut refused = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    refused.arg("--repo").arg(stage.repository()).arg("mount").arg(stage.make_directory("other"));
    let output = refused.arg("--patch-dir").arg(&nowhere).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(nowhere.to_str().unwrap()), "{said}");
}
