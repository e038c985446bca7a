//! Stories of bringing dumps, and tables of them, into a real PostgreSQL again.

mod support;

use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::server::{counting_client, refused, restore_into, restored};

const HOSTILE: &str = include_str!("postgres/hostile.sql");

/// A repository with a snapshot of what such a command prints, and the server that was dumped.
fn dumped(program: &str, arguments: &[&str]) -> (Postgres, Stage) {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", HOSTILE);
    ingest(&stage, &server.dump(program, arguments));
    (server, stage)
}

fn ingest(stage: &Stage, dump: &[u8]) {
    std::fs::write(stage.path("shop.sql"), dump).unwrap();
    let file = stage.path("shop.sql");
    stage.succeed(&["ingest", "postgres", "--source", "shop", "--database", "shop", file.to_str().unwrap()]);
}

#[test]
fn a_whole_dump_comes_back_into_a_new_database() {
    let (server, stage) = dumped("pg_dump", &["shop"]);
    assert!(restored(&restore_into(&stage, &server.url("copy"), &[])).starts_with("loaded the dump: "));
    assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]));
    // What is there is not touched.
    let message = refused(&restore_into(&stage, &server.url("copy"), &[]), 2);
    assert!(message.contains("already exists"), "{message}");
    // Without a database in the URL it is the one that was dumped.
    let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
    assert!(message.contains("\"shop.") && message.contains("already exists"), "{message}");
    let message = refused(&restore_into(&stage, &server.url("copy"), &["--overwrite"]), 2);
    assert!(message.contains("drop the database first"), "{message}");
}

#[test]
fn a_dump_of_all_databases_comes_back_into_another_server() {
    // Both servers are on this machine, where a tablespace's directory can be of one only.
    let options = ["--no-role-passwords", "--no-tablespaces"];
    let (server, stage) = dumped("pg_dumpall", &options);
    let other = Postgres::start();
    // The role of whoever loads it is there already, which is the one thing that such dumps cannot make.
    let dump = String::from_utf8(server.dump("pg_dumpall", &options)).unwrap();
    ingest(&stage, dump.replace("CREATE ROLE postgres;\n", "").as_bytes());
    restored(&restore_into(&stage, &other.url(""), &[]));
    let content = |server: &Postgres| content(server, "shop", &["--no-tablespaces"]);
    assert_eq!(content(&other), content(&server));
    let message = refused(&restore_into(&stage, &other.url(""), &[]), 2);
    assert!(message.contains("already exists"), "{message}");
}

#[test]
fn several_clients_load_the_rows_of_one_dump() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    let large = |name: &str| {
        let columns = "id serial PRIMARY KEY, parent integer, text text";
        let rows = "SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 20000) i";
        format!("CREATE TABLE {name} ({columns}); INSERT INTO {name} (parent, text) {rows};")
    };
    let small: String =
        (0..100).map(|n| format!("CREATE TABLE t{n} (id integer); INSERT INTO t{n} VALUES ({n});")).collect();
    let others = "
        CREATE TABLE journal (id serial, what integer);
        ALTER TABLE a ADD FOREIGN KEY (parent) REFERENCES c (id);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO journal (what) VALUES (NEW.id); RETURN NEW; END';
        CREATE TRIGGER note AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO a (parent, text) VALUES (1, 'last');
        CREATE MATERIALIZED VIEW rows_of_a AS SELECT count(*) FROM a;";
    let tables = ["a", "\"Odd.\".b", "c"].map(large).concat();
    server.run("shop", format!("CREATE SCHEMA \"Odd.\"; {tables}{small}{others}"));
    ingest(&stage, &server.dump("pg_dump", &["shop"]));
    let (client, clients) = counting_client(&stage, "psql");
    // One for what is no row, one for each of the large tables, one for all others.
    for (threads, expected) in [("3", 5), ("1", 1)] {
        let copy = format!("copy_{threads}");
        restored(&restore_into(&stage, &server.url(&copy), &["--client", &client, "--threads", threads]));
        assert_eq!(content(&server, &copy, &[]), content(&server, "shop", &[]));
        assert_eq!(server.run(&copy, "SELECT * FROM rows_of_a").trim(), "20001");
        assert_eq!(clients(), expected);
    }
}

#[test]
fn one_table_comes_back_into_another_database_or_in_place() {
    let (server, stage) = dumped("pg_dump", &["shop"]);
    let of_table = |database: &str| content(&server, database, &["-t", "public.plain_table"]);
    server.run("shop", "CREATE TABLE IF NOT EXISTS public.plain_table (id serial PRIMARY KEY, note text UNIQUE)");
    server.run("shop", "INSERT INTO public.plain_table (note) SELECT 'note ' || i FROM generate_series(1, 100) i");
    ingest(&stage, &server.dump("pg_dump", &["shop"]));
    let before = of_table("shop");
    for name in ["public.plain_table", "shop.public.plain_table"] {
        let elsewhere = ["--table", name, "--as", "shop_restored.public.plain_table"];
        restored(&restore_into(&stage, &server.url(""), &elsewhere));
        assert_eq!(of_table("shop_restored"), before, "{name}");
        let message = refused(&restore_into(&stage, &server.url(""), &elsewhere), 2);
        assert!(message.contains("\"shop_restored.public.plain_table\" already exists"), "{message}");
        server.run("postgres", "DROP DATABASE shop_restored");
    }
    // In place of the present one, all or nothing.
    server.run("shop", "DELETE FROM plain_table WHERE id > 50; UPDATE plain_table SET note = 'lost ' || id");
    let in_place = ["--table", "shop.public.plain_table"];
    refused(&restore_into(&stage, &server.url(""), &in_place), 2);
    restored(&restore_into(&stage, &server.url(""), &[&in_place[..], &["--overwrite"]].concat()));
    assert_eq!(of_table("shop"), before);
    server.run("shop", "CREATE VIEW on_it AS SELECT * FROM plain_table");
    let message = refused(&restore_into(&stage, &server.url(""), &[&in_place[..], &["--overwrite"]].concat()), 6);
    assert!(message.contains("other objects depend on it"), "{message}");
    assert_eq!(server.run("shop", "SELECT count(*) FROM on_it").trim(), "100");

    let message =
        refused(&restore_into(&stage, &server.url(""), &[&in_place[..], &["--as", "shop.public.other"]].concat()), 2);
    assert!(message.contains("under its own name"), "{message}");
}

#[test]
fn nothing_is_made_where_one_of_several_tables_is_there() {
    let (server, stage) = (Postgres::start(), Stage::new());
    for database in ["shop", "other"] {
        server.run("postgres", format!("CREATE DATABASE {database} TEMPLATE template0"));
        server.run(database, "CREATE TABLE t (id integer)");
    }
    ingest(&stage, &server.dump("pg_dumpall", &["--no-role-passwords"]));
    server.run("postgres", "DROP DATABASE other");
    let tables = ["--table", "other.public.t", "--table", "shop.public.t"];
    let message = refused(&restore_into(&stage, &server.url(""), &tables), 2);
    assert!(message.contains("\"shop.public.t\" already exists"), "{message}");
    let databases = server.run("postgres", "SELECT datname FROM pg_database");
    assert!(!databases.lines().any(|name| name == "other"), "{databases}");
}

#[test]
fn a_load_that_fails_says_where() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", "CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t SELECT i, 'n' FROM generate_series(1, 900) i");
    for (options, damage, with) in [
        (&["--inserts", "shop"][..], "INSERT INTO public.t VALUES (700,", "INSERT INTO public.t VALUES (699,"),
        (&["shop"][..], "\n700\t", "\nnonsense\t"),
    ] {
        let dump = String::from_utf8(server.dump("pg_dump", options)).unwrap();
        let damaged = dump.replace(damage, with);
        assert_ne!(damaged, dump);
        ingest(&stage, damaged.as_bytes());
        let message =
            refused(&restore_into(&stage, &server.url(""), &["--table", "public.t", "--as", "other.public.t"]), 6);
        let statement = if damage.starts_with("INSERT") {
            "statement: ALTER TABLE ONLY public.t"
        } else {
            "statement: COPY public.t (id, note)"
        };
        for part in ["loading public.t", "ERROR:", statement] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        assert_eq!(server.run("other", "SELECT count(*) FROM pg_class WHERE relname = 't'").trim(), "0");
    }
    let message = refused(&restore_into(&stage, "postgres:///shop?host=/nowhere", &[]), 6);
    assert!(message.contains("failed asking the server") && message.contains("/nowhere"), "{message}");
    let message = refused(&restore_into(&stage, "mysql://root@/", &[]), 2);
    assert!(message.contains("a dump of PostgreSQL"), "{message}");
}
