//! Stories of loading over what a server has: what is replaced, and what is refused before anything is changed.

mod support;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::server::{refused, restore_into, restored};

fn ingest(stage: &Stage, kind: &str, dump: &[u8]) {
    let file = stage.path("shop.sql");
    std::fs::write(&file, dump).unwrap();
    let database: &[&str] = if kind == "postgres" { &["--database", "shop"] } else { &[] };
    let file = [file.to_str().unwrap()];
    stage.succeed(&[&["ingest", kind, "--source", "shop"], database, &file].concat());
}

#[test]
fn what_is_of_another_kind_stops_a_load_into_mariadb() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run(
        "",
        "CREATE DATABASE shop; USE shop; CREATE TABLE a (id INT); CREATE TABLE t (id INT); CREATE VIEW v AS SELECT 1",
    );
    ingest(&stage, "mysql", &server.dump(&["--databases", "shop"]));
    let load = |options: &[&str]| restore_into(&stage, &server.url(""), options);
    let cases = [
        ("t", "DROP TABLE t; CREATE VIEW t AS SELECT 'mine'", "table \"shop.t\" cannot be loaded: a view of this name"),
        ("v", "DROP VIEW v; CREATE TABLE v (mine INT)", "view \"shop.v\" cannot be loaded: a table of this name"),
        ("t", "DROP TABLE t; CREATE SEQUENCE t", "table \"shop.t\" cannot be loaded: a sequence of this name"),
    ];
    for (name, statements, expected) in cases {
        server.run("shop", "INSERT INTO a VALUES (7)");
        server.run("shop", statements);
        for options in [&[][..], &["--overwrite"], &["--table", "shop.t"], &["--table", "shop.t", "--overwrite"]] {
            if name == "t" || options.len() < 2 {
                let message = refused(&load(options), 2);
                assert!(message.contains("hint: "), "{message}");
                let is_first = options.is_empty() && message.contains("\" already exists");
                assert!(is_first || message.contains(expected), "{message}");
            }
        }
        assert_eq!(server.run("shop", "SELECT id FROM a"), "7\n");
        let kind = if statements.contains("SEQUENCE") {
            "SEQUENCE"
        } else if name == "v" {
            "TABLE"
        } else {
            "VIEW"
        };
        server.run("shop", format!("DROP {kind} {name}"));
        restored(&load(&["--overwrite"]));
        assert_eq!(server.run("shop", "SELECT COUNT(*) FROM a"), "0\n");
    }
    // What is dropped with its database is in nobody's way, and a procedure and a function may have one name.
    ingest(&stage, "mysql", &server.dump(&["--add-drop-database", "--databases", "shop"]));
    server.run("shop", "DROP TABLE t; CREATE VIEW t AS SELECT 'mine'");
    restored(&load(&["--overwrite"]));
    server.run("shop", "CREATE PROCEDURE p() SELECT 1");
    ingest(&stage, "mysql", &server.dump(&["--routines", "--databases", "shop"]));
    server.run("", "DROP DATABASE shop; CREATE DATABASE shop");
    server.run("shop", "CREATE FUNCTION p() RETURNS INT RETURN 7");
    restored(&load(&[]));
    assert_eq!(server.run("shop", "SELECT p()"), "7\n");
}

#[test]
fn what_is_of_another_kind_stops_a_load_of_a_table_into_postgres() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE t (id int)");
    ingest(&stage, "postgres", &server.dump("pg_dump", &["shop"]));
    let kinds = [
        ("VIEW", "AS SELECT 1", "view"),
        ("MATERIALIZED VIEW", "AS SELECT 1", "materialized view"),
        ("SEQUENCE", "", "sequence"),
        ("TYPE", "AS (a int)", "type"),
        ("TYPE", "AS ENUM ('a')", "type"),
    ];
    for (kind, definition, shown) in kinds {
        server.run("shop", "DROP TABLE t");
        server.run("shop", format!("CREATE {kind} t {definition}"));
        for options in [&["--table", "public.t"][..], &["--table", "public.t", "--overwrite"], &[]] {
            let message = refused(&restore_into(&stage, &server.url("shop"), options), 2);
            let expected = format!("table \"shop.public.t\" cannot be loaded: a {shown} of this name is there");
            assert!(message.contains(&expected) && message.contains("hint: drop it first"), "{message}");
        }
        server.run("shop", format!("DROP {kind} t"));
        restored(&restore_into(&stage, &server.url("shop"), &["--table", "public.t"]));
    }
}

const ALL_KINDS: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE SEQUENCE numbers START 7;
    CREATE TABLE parents (id serial PRIMARY KEY, how mood);
    CREATE TABLE children (id int PRIMARY KEY, of int REFERENCES parents, n positive DEFAULT nextval('numbers'));
    INSERT INTO parents (how) VALUES ('good');
    INSERT INTO children SELECT i, 1 FROM generate_series(1, 100) i;
    CREATE VIEW happy AS SELECT id, how FROM parents GROUP BY id;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM children;
    CREATE FUNCTION add(a int, b int DEFAULT 1, VARIADIC c numeric[] DEFAULT '{}') RETURNS int LANGUAGE sql AS 'SELECT a + b';
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER noted BEFORE INSERT ON children FOR EACH ROW EXECUTE FUNCTION noted();
    CREATE AGGREGATE sum_of (int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
    CREATE RULE quiet AS ON DELETE TO parents DO INSTEAD NOTHING;
    ALTER TABLE parents ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_of_it ON parents USING (true);
    CREATE SCHEMA other;
    CREATE TABLE other.parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE other.part PARTITION OF other.parts FOR VALUES FROM (1) TO (10);
    SELECT lo_from_bytea(4711, 'large');";

#[test]
fn a_clean_dump_replaces_in_postgres_only_what_it_is_told_to() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", ALL_KINDS);
    for options in [&["--clean"][..], &["--clean", "--if-exists"]] {
        ingest(&stage, "postgres", &server.dump("pg_dump", &[options, &["shop"]].concat()));
        for threads in ["1", "3"] {
            let load = |options: &[&str]| {
                restore_into(&stage, &server.url("copy"), &[&["--threads", threads], options].concat())
            };
            // What is not there is not missed, be it allowed to go or not.
            for allowed in [&[][..], &["--overwrite"]] {
                server.run("postgres", "DROP DATABASE IF EXISTS copy");
                restored(&load(allowed));
                assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]));
            }
            server.run(
                "copy",
                "DELETE FROM children; DROP VIEW happy; DROP FUNCTION add; ALTER TYPE mood ADD VALUE 'ugly'",
            );
            restored(&load(&["--overwrite"]));
            assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]));
            // Something else needs what would go.
            server.run("copy", "DELETE FROM children; CREATE VIEW mine AS SELECT * FROM children");
            let message = refused(&load(&["--overwrite"]), 6);
            assert!(message.contains("other objects depend on it"), "{message}");
            assert_eq!(server.run("copy", "SELECT count(*) FROM mine, counted").trim(), "0");
            assert_eq!(
                server.run("copy", "SELECT add(1), tgname FROM pg_trigger WHERE tgname = 'noted'").trim(),
                "2|noted"
            );
        }
    }
}

#[test]
fn each_that_a_clean_dump_would_replace_in_postgres_is_told() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", ALL_KINDS);
    ingest(&stage, "postgres", &server.dump("pg_dump", &["--clean", "shop"]));
    let present = [
        ("CREATE TYPE mood AS ENUM ('mine')", "type \"copy.public.mood\" already exists"),
        ("CREATE DOMAIN positive AS text", "type \"copy.public.positive\" already exists"),
        ("CREATE SEQUENCE numbers", "sequence \"copy.public.numbers\" already exists"),
        ("CREATE VIEW happy AS SELECT 1", "view \"copy.public.happy\" already exists"),
        ("CREATE MATERIALIZED VIEW counted AS SELECT 1", "materialized view \"copy.public.counted\" already exists"),
        (
            "CREATE FUNCTION add(x int, int, VARIADIC numeric[]) RETURNS int LANGUAGE sql AS 'SELECT 0'",
            "function \"copy.public.add(integer, integer, numeric[])\" already exists",
        ),
        (
            "CREATE AGGREGATE sum_of (int) (SFUNC = int4mi, STYPE = int)",
            "function \"copy.public.sum_of(integer)\" already exists",
        ),
        ("CREATE TABLE happy (id int)", "view \"copy.public.happy\" cannot be loaded: a table of this name is there"),
        (
            "CREATE VIEW parents AS SELECT 1",
            "table \"copy.public.parents\" cannot be loaded: a view of this name is there",
        ),
    ];
    for (statement, expected) in present {
        server.make_empty("copy");
        server.run("copy", statement);
        let before = content(&server, "copy", &[]);
        let message = refused(&restore_into(&stage, &server.url("copy"), &[]), 2);
        assert!(message.contains(expected) && message.contains("hint: "), "{message}");
        if expected.contains("cannot") {
            let message = refused(&restore_into(&stage, &server.url("copy"), &["--overwrite"]), 2);
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(content(&server, "copy", &[]), before);
    }
    // What only has the name of something there is in nobody's way.
    server.make_empty("copy");
    server.run("copy", "CREATE FUNCTION add(text) RETURNS int LANGUAGE sql AS 'SELECT 0'; CREATE TABLE mine (id int)");
    restored(&restore_into(&stage, &server.url("copy"), &[]));
    assert_eq!(server.run("copy", "SELECT add('a'), add(1)").trim(), "0|2");
}

#[test]
fn a_clean_dump_of_all_databases_comes_back_over_a_server() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE ROLE app; CREATE TABLESPACE fast LOCATION :'space'");
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0 OWNER app TABLESPACE fast");
    server.run("shop", ALL_KINDS);
    server.run("postgres", "CREATE TABLE kept (id int)");
    for options in [&["--clean"][..], &["--clean", "--if-exists"]] {
        let before = content(&server, "shop", &["--create"]);
        ingest(&stage, "postgres", &server.dump("pg_dumpall", options));
        let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
        assert!(message.contains("table \"postgres.public.kept\" already exists"), "{message}");
        server.run("postgres", "DROP TABLE kept");
        let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
        assert!(
            message.contains("database \"shop\" already exists") && message.contains("hint: --overwrite"),
            "{message}"
        );
        server.run("shop", "DROP VIEW happy; CREATE TABLE more (id int)");
        let output = restore_into(&stage, &server.url(""), &["--overwrite"]);
        restored(&output);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("roles that the server has stay as they are: app, postgres\n"), "{told}");
        assert!(told.contains("tablespaces that the server has stay as they are: fast\n"), "{told}");
        assert_eq!(content(&server, "shop", &["--create"]), before);
        server.run("postgres", "DROP DATABASE shop; DROP TABLE kept");
        restored(&restore_into(&stage, &server.url(""), &[]));
        assert_eq!(content(&server, "shop", &["--create"]), before);
        assert_eq!(server.run("postgres", "SELECT count(*) FROM kept").trim(), "0");
        let templates = "SELECT datname FROM pg_database WHERE datistemplate ORDER BY 1";
        assert_eq!(server.run("postgres", templates), "template0\ntemplate1\n");
    }
}

#[test]
fn a_table_whose_rows_refer_to_some_that_are_gone_is_told_how_to_come_back() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    let tables = "CREATE TABLE customers (id int PRIMARY KEY); INSERT INTO customers VALUES (1), (2);
                  CREATE TABLE orders (id int PRIMARY KEY, of int REFERENCES customers); INSERT INTO orders VALUES (1, 1), (2, 2)";
    server.run("shop", tables);
    ingest(&stage, "postgres", &server.dump("pg_dump", &["shop"]));
    server.run("shop", "DELETE FROM orders; DELETE FROM customers WHERE id = 2");
    let orders = ["--table", "public.orders"];
    let beside = [&orders[..], &["--as", "shop.public.orders_before"]].concat();
    let message = refused(&restore_into(&stage, &server.url(""), &beside), 6);
    for part in
        ["Key (of)=(2) is not present", "in the statement: ALTER TABLE ONLY", "hint: nothing of it was loaded: "]
    {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(server.run("shop", "SELECT to_regclass('orders_before')").trim(), "");
    restored(&restore_into(
        &stage,
        &server.url("shop_restored"),
        &[&orders[..], &["--table", "public.customers"]].concat(),
    ));
    assert_eq!(server.run("shop_restored", "SELECT count(*) FROM orders").trim(), "2");
}
