//! Stories of dumps of which is told how they are written.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::mariadb::MariaDb;
use support::mongo::fixture;
use support::mounted::Stage;
use support::postgres::Postgres;
use support::server::{refused, succeed};

/// What an ingest of this path says, which is told to be in this form.
fn ingest(stage: &Stage, kind: &str, path: &Path, format: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", kind, "--source", "shop"]).arg(path);
    command.args(["--format", format]).output().unwrap()
}

#[track_caller]
fn taken(stage: &Stage, kind: &str, path: &Path, format: &str) {
    succeed(ingest(stage, kind, path, format), format);
}

#[track_caller]
fn assert_refused(stage: &Stage, kind: &str, path: &Path, format: &str, reason: &str) {
    let said = refused(&ingest(stage, kind, path, format), 2);
    assert!(said.contains(reason), "{format}: {said}");
}

const OF_FORMS: [(&str, &str); 5] = [
    ("sql", "statements of SQL"),
    ("xml", "XML"),
    ("tab", "a directory of --tab"),
    ("mydumper", "a directory of mydumper"),
    ("shell", "a directory of MySQL Shell"),
];

#[test]
fn a_dump_of_mysql_is_what_it_was_told_to_be_or_refused() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE north; CREATE TABLE north.orders (id INT); INSERT INTO north.orders VALUES (7)");
    let [sql, xml] = ["dump.sql", "dump.xml"].map(|name| stage.path(name));
    fs::write(&sql, server.dump(&["north"])).unwrap();
    fs::write(&xml, server.dump(&["--xml", "north"])).unwrap();
    for (path, own) in [(&sql, "sql"), (&xml, "xml")] {
        for (format, name) in OF_FORMS {
            match format == own {
                true => taken(&stage, "mysql", path, format),
                false => assert_refused(&stage, "mysql", path, format, &format!("and --format says that it is {name}")),
            }
        }
    }
    // A command tells only what it prints.
    let line = format!("dump=cat {}", sql.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", "mysql", "--source", "shop", "--stream", &line]);
    let said = refused(&command.args(["--format", "xml"]).output().unwrap(), 2);
    assert!(said.contains("dump \"dump\" is not usable: it is statements of SQL"), "{said}");
}

#[test]
fn a_directory_that_could_be_several_is_what_it_was_told_to_be() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE north; CREATE TABLE north.orders (id INT); INSERT INTO north.orders VALUES (7)");
    server.run("", "CREATE DATABASE south; CREATE TABLE south.orders (id INT); INSERT INTO south.orders VALUES (8)");
    // Rows beside their statements, as --tab has them, or dumps with a note beside them.
    let folder = stage.make_directory("dumps");
    for database in ["north", "south"] {
        fs::write(folder.join(format!("{database}.sql")), server.dump(&[database])).unwrap();
    }
    fs::write(folder.join("south.txt"), "8\n").unwrap();
    let as_it_looks = Command::new(env!("CARGO_BIN_EXE_yesterfs"))
        .arg("--repo")
        .arg(stage.repository())
        .args(["ingest", "mysql", "--source", "shop"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(refused(&as_it_looks, 6).contains("south.txt: the statements beside it have rows"), "{as_it_looks:?}");
    assert!(refused(&ingest(&stage, "mysql", &folder, "tab"), 6).contains("south.txt"));
    taken(&stage, "mysql", &folder, "sql");
    assert!(stage.succeed(&["cat", "shop:/south/tables/orders/data.sql"]).contains("(8)"));
    assert_refused(&stage, "mysql", &folder, "xml", "north.sql\" is not usable: it is statements of SQL");
    for (format, name) in &OF_FORMS[3..] {
        assert_refused(
            &stage,
            "mysql",
            &folder,
            format,
            &format!("it is a directory, and not {name}, as --format says"),
        );
    }
    // One of mydumper is no other, though its files are statements.
    let mydumper = stage.path("mydumper");
    succeed(server.mydumper(&mydumper, &["--database", "north"]), "mydumper");
    taken(&stage, "mysql", &mydumper, "mydumper");
    assert!(stage.succeed(&["cat", "shop:/north/tables/orders/data.sql"]).contains("(7)"));
    for (format, name) in [OF_FORMS[2], OF_FORMS[4]] {
        assert_refused(&stage, "mysql", &mydumper, format, &format!("it is a directory, and not {name}"));
    }
}

#[test]
fn a_dump_of_postgresql_is_what_it_was_told_to_be_or_refused() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE orders AS SELECT 7 AS id");
    let folder = stage.make_directory("dumps");
    let forms = [
        ("plain", "statements of SQL", "shop.sql"),
        ("custom", "an archive of pg_dump -Fc", "shop.dump"),
        ("tar", "an archive of pg_dump -Ft", "shop.tar"),
        ("directory", "a directory of pg_dump -Fd", "shop.dir"),
    ];
    for (form, _, file) in forms {
        let path = folder.join(file);
        server.dump("pg_dump", &["--format", form, "-f", path.to_str().unwrap(), "shop"]);
        for (told, name, _) in forms {
            match (form == told, form) {
                (true, _) => taken(&stage, "postgres", &path, told),
                // None of its files is taken for a dump.
                (false, "directory") => assert_refused(&stage, "postgres", &path, told, "it holds no *.sql"),
                _ => assert_refused(&stage, "postgres", &path, told, &format!("and --format says that it is {name}")),
            }
        }
    }
    // Of a directory of all of them, those that cannot be of that form are not taken, and others refused.
    taken(&stage, "postgres", &folder, "directory");
    assert!(stage.succeed(&["cat", "shop:/_meta/inputs"]).contains("shop.dir"));
    assert_refused(&stage, "postgres", &folder, "tar", "shop.dump\" is not usable: it is an archive of pg_dump -Fc");
    // A dump of another kind is one whatever is told.
    let mysql = stage.path("mysql.sql");
    fs::write(&mysql, "-- MySQL dump 10.13\n").unwrap();
    assert_refused(&stage, "postgres", &mysql, "plain", "which yesterfs ingest mysql takes");
}

#[test]
fn a_dump_of_mongodb_is_what_it_was_told_to_be_or_refused() {
    let stage = Stage::new();
    for format in ["archive", "json", "csv"] {
        let reason = "it is no directory of archives or exports";
        assert_refused(&stage, "mongo", &fixture("directory"), format, reason);
    }
    let export = stage.path("orders.json");
    fs::write(&export, "{\"_id\":1}\n").unwrap();
    assert_refused(&stage, "mongo", &export, "archive", "it is no archive of mongodump");
    taken(&stage, "mongo", &fixture("all.archive"), "archive");
    let said = refused(&ingest(&stage, "mongo", &fixture("all.archive"), "json"), 6);
    assert!(said.contains("is incomplete"), "{said}");
}
