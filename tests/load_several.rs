//! Stories of the recipe of one dump a database: several dumps that name no database come back as a whole, each into its own.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::server::{refused, restore_into, restored};

/// A directory with a compressed dump for each of these names.
fn zipped(stage: &Stage, dumps: &[(&str, Vec<u8>)]) -> PathBuf {
    let folder = stage.make_directory("dumps");
    for (name, dump) in dumps {
        fs::write(folder.join(name), dump).unwrap();
        assert!(Command::new("gzip").arg("--force").arg(folder.join(name)).status().unwrap().success());
    }
    folder
}

fn ingest(stage: &Stage, kind: &str, what: &Path) {
    stage.succeed(&["ingest", kind, "--source", "shop", what.to_str().unwrap()]);
}

/// What `verify` prints, which must find everything equal.
#[track_caller]
fn drilled(stage: &Stage, with: &str) -> String {
    stage.open_to_all();
    let place = stage.path("drills");
    fs::create_dir_all(&place).unwrap();
    stage.succeed(&["verify", "shop", "--with", with, "--tmp", place.to_str().unwrap()])
}

/// Asserts that the dumps of two snapshots have the same rows.
#[track_caller]
fn assert_same_rows(stage: &Stage) {
    let told = stage.succeed(&["diff", "shop~1", "shop", "--rows", "--json"]);
    assert!(told.contains("\"equal\":true"), "{told}");
}

const NORTH: &str = "CREATE DATABASE north; USE north; CREATE TABLE parents (id INT PRIMARY KEY);
    CREATE TABLE orders (id INT PRIMARY KEY, note TEXT, parent INT, FOREIGN KEY (parent) REFERENCES parents (id));
    INSERT INTO parents VALUES (1); INSERT INTO orders SELECT seq, REPEAT(MD5(seq), 8), 1 FROM seq_1_to_20000;
    CREATE TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'new'; CREATE VIEW v AS SELECT id FROM orders;";
const SOUTH: &str =
    "CREATE DATABASE `so uth`; USE `so uth`; CREATE TABLE orders (id INT); INSERT INTO orders VALUES (1), (2);";
/// Of this one, titles are all that comes before a routine.
const WEST: &str = "CREATE DATABASE west; USE west; CREATE PROCEDURE count_it() SELECT 1;";
const EAST: &str = "CREATE DATABASE east; USE east; CREATE TABLE t (id INT); INSERT INTO t VALUES (7);";

/// Dumps by `mariadb-dump`, of which that of `east` names its database.
fn dumps_of_mariadb(server: &MariaDb) -> Vec<(&'static str, Vec<u8>)> {
    // Titles of routines and events name no database.
    let others = ["--routines", "--events"];
    vec![
        ("1-north.sql", server.dump(&[&others[..], &["north"]].concat())),
        ("2-east.sql", server.dump(&["--databases", "east"])),
        ("3-south.sql", server.dump(&[&others[..], &["so uth"]].concat())),
        ("4-west.sql", server.dump(&[&others[..], &["west"]].concat())),
    ]
}

#[test]
fn each_dump_of_mariadb_goes_into_the_database_of_its_name() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", [NORTH, SOUTH, WEST, EAST].concat());
    let dumps = dumps_of_mariadb(&server);
    ingest(&stage, "mysql", &zipped(&stage, &dumps));
    let mut others = Vec::new();
    for threads in ["1", "3"] {
        let other = MariaDb::start();
        restored(&restore_into(&stage, &other.url(""), &["--threads", threads]));
        ingest(&stage, "mysql", &zipped(&stage, &dumps_of_mariadb(&other)));
        assert_same_rows(&stage);
        assert_eq!(other.run("north", "SELECT COUNT(*) FROM v").trim(), "20000");
        assert_eq!(other.run("so uth", "SHOW TABLES").trim(), "orders");
        assert_eq!(other.run("west", "CALL count_it()").trim(), "1");
        others.push(other);
    }
    // What is there stays, and nothing of the others is made.
    let other = &others[0];
    other.run("", "DROP DATABASE north; DELETE FROM `so uth`.orders");
    let message = refused(&restore_into(&stage, &other.url(""), &[]), 2);
    assert!(message.contains("already exists"), "{message}");
    assert_eq!(other.run("", "SHOW DATABASES LIKE 'north'"), "");
    restored(&restore_into(&stage, &other.url(""), &["--overwrite"]));
    assert_eq!(other.run("", "SELECT COUNT(*) FROM `so uth`.orders").trim(), "2");
    let printed = drilled(&stage, "mysql");
    assert!(printed.contains("north.orders: 20,000 rows, equal") && printed.contains("equal: 4 tables"), "{printed}");
}

#[test]
fn dumps_of_mariadb_that_follow_one_another_go_each_into_its_own() {
    let (server, other, stage) = (MariaDb::start(), MariaDb::start(), Stage::new());
    server.run("", [NORTH, SOUTH, WEST, EAST].concat());
    let dumps: Vec<Vec<u8>> = dumps_of_mariadb(&server).into_iter().map(|(_, dump)| dump).collect();
    fs::write(stage.path("all.sql"), dumps.concat()).unwrap();
    ingest(&stage, "mysql", &stage.path("all.sql"));
    restored(&restore_into(&stage, &other.url(""), &[]));
    fs::write(
        stage.path("all.sql"),
        dumps_of_mariadb(&other).into_iter().map(|(_, dump)| dump).collect::<Vec<_>>().concat(),
    )
    .unwrap();
    ingest(&stage, "mysql", &stage.path("all.sql"));
    assert_same_rows(&stage);
}

#[test]
fn several_dumps_that_name_no_database_are_not_poured_into_one() {
    let (server, other, stage) = (MariaDb::start(), MariaDb::start(), Stage::new());
    server.run("", [NORTH, SOUTH, WEST, EAST].concat());
    ingest(&stage, "mysql", &zipped(&stage, &dumps_of_mariadb(&server)));
    let message = refused(&restore_into(&stage, &other.url("north"), &[]), 2);
    assert!(message.contains("does not name its databases \"north\", \"so uth\", \"west\" itself"), "{message}");
    assert!(message.contains("leave \"north\" out of the URL"), "{message}");
    assert_eq!(other.run("", "SHOW DATABASES LIKE '%th'"), "");
    // One of several that fails is told by its statement, its dump and its database.
    let mut dumps = dumps_of_mariadb(&server);
    let text = String::from_utf8_lossy(&dumps[2].1).replace("CREATE TABLE `orders`", "CREATE TABL `orders`");
    dumps[2].1 = text.into_bytes();
    fs::remove_dir_all(stage.path("dumps")).unwrap();
    ingest(&stage, "mysql", &zipped(&stage, &dumps));
    for threads in ["1", "3"] {
        let message = refused(&restore_into(&stage, &other.url(""), &["--overwrite", "--threads", threads]), 6);
        for part in ["3-south.sql.gz\" into \"so uth\"", "in the statement: CREATE TABL `orders`"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }
}

#[test]
fn each_dump_of_postgresql_goes_into_the_database_of_its_name() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE ROLE app");
    for database in ["north", "south", "east", "west"] {
        server.run("postgres", format!("CREATE DATABASE {database} TEMPLATE template0"));
        let rows =
            "INSERT INTO orders SELECT i, repeat(md5(current_database() || i), 8) FROM generate_series(1, 20000) i";
        server.run(
            database,
            format!("CREATE TABLE orders (id serial PRIMARY KEY, note text); ALTER TABLE orders OWNER TO app; {rows}"),
        );
    }
    // The roles come last by the name of their file.
    let roles = server.dump("pg_dumpall", &["--roles-only", "--no-role-passwords"]);
    let clean = server.dump("pg_dump", &["--clean", "north"]);
    let named = server.dump("pg_dump", &["--create", "--clean", "east"]);
    let folder = zipped(&stage, &[("north.sql", clean), ("east.sql", named), ("zz-roles.sql", roles)]);
    fs::write(folder.join("south.dump"), server.dump("pg_dump", &["-Fc", "south"])).unwrap();
    fs::write(folder.join("west.tar"), server.dump("pg_dump", &["-Ft", "west"])).unwrap();
    ingest(&stage, "postgres", &folder);
    for threads in ["1", "3"] {
        let other = Postgres::start();
        restored(&restore_into(&stage, &other.url(""), &["--threads", threads]));
        for database in ["north", "south", "east", "west"] {
            assert_eq!(content(&other, database, &[]), content(&server, database, &[]), "{database}");
        }
        other.run("postgres", "DROP DATABASE west");
        other.run("north", "DELETE FROM orders");
        let message = refused(&restore_into(&stage, &other.url(""), &[]), 2);
        assert!(message.contains("already exists"), "{message}");
        assert_eq!(other.run("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'west'").trim(), "0");
        // What was dumped with --clean is replaced.
        other.run("postgres", "DROP DATABASE south");
        restored(&restore_into(&stage, &other.url(""), &["--overwrite", "--threads", threads]));
        assert_eq!(content(&other, "north", &[]), content(&server, "north", &[]));
    }
    let printed = drilled(&stage, "postgres");
    assert!(
        printed.contains("west.public.orders: 20,000 rows, equal") && printed.contains("equal: 4 tables"),
        "{printed}"
    );
}

#[test]
fn dumps_of_postgresql_that_follow_one_another_go_each_into_its_own() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE ROLE app");
    for database in ["north", "south", "east"] {
        server.run("postgres", format!("CREATE DATABASE {database} TEMPLATE template0"));
        let rows =
            "INSERT INTO orders SELECT i, repeat(md5(current_database() || i), 8) FROM generate_series(1, 20000) i";
        let table = "CREATE TABLE orders (id serial PRIMARY KEY, note text)";
        server.run(database, format!("{table}; ALTER TABLE orders OWNER TO app; {rows}"));
    }
    let globals = server.dump("pg_dumpall", &["--globals-only", "--no-role-passwords"]);
    let [north, east] = ["north", "east"].map(|name| server.dump("pg_dump", &["--create", name]));
    let file = stage.path("south.sql");
    let south = server.dump("pg_dump", &["south"]);
    for dumps in [[&globals, &north, &south, &east], [&south, &globals, &east, &north]] {
        fs::write(&file, dumps.map(|dump| &dump[..]).concat()).unwrap();
        // What comes first may need roles that come later.
        let first = std::ptr::eq(dumps[0], &south);
        ingest(&stage, "postgres", &file);
        for threads in ["1", "3"] {
            let other = Postgres::start();
            if first {
                other.run("postgres", "CREATE ROLE app");
            }
            restored(&restore_into(&stage, &other.url(""), &["--threads", threads]));
            for database in ["north", "south", "east"] {
                assert_eq!(content(&other, database, &[]), content(&server, database, &[]), "{database}");
            }
        }
    }
    fs::write(&file, [&globals[..], &north, &south, &east].concat()).unwrap();
    ingest(&stage, "postgres", &file);
    let printed = drilled(&stage, "postgres");
    assert!(
        printed.contains("south.public.orders: 20,000 rows, equal") && printed.contains("equal: 3 tables"),
        "{printed}"
    );
}

#[test]
fn a_database_that_is_called_like_an_option_is_none() {
    let (server, other, stage) = (MariaDb::start(), MariaDb::start(), Stage::new());
    server.run("", EAST);
    let file = stage.path("east.sql");
    fs::write(&file, server.dump(&["east"])).unwrap();
    let told = stage.path("told");
    let name = format!("--tee={}", told.file_name().unwrap().display());
    stage.succeed(&["ingest", "mysql", "--source", "shop", &format!("--database={name}"), file.to_str().unwrap()]);
    for options in [&[][..], &["--overwrite"], &["--overwrite", &format!("--table={name}.t")]] {
        restored(&restore_into(&stage, &other.url(""), options));
        assert_eq!(other.run("", format!("SELECT id FROM `{name}`.t")).trim(), "7");
    }
    let printed = drilled(&stage, "mysql");
    assert!(printed.contains("equal: 1 table"), "{printed}");
    assert!(!told.exists() && !Path::new("told").exists());
}
