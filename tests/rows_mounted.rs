//! Stories of the rows in `diff/A..B/rows`, through a mount.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use support::mariadb::MariaDb;
use support::mounted::{Mount, Stage, errno, names};

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
