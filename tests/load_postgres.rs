//! Stories of bringing dumps, and tables of them, into a real PostgreSQL again.

mod support;

use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::server::{counting_client, picky_client, refused, restore_into, restored, restoring_into};

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
fn no_command_in_a_dump_reaches_the_client() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    let dump = String::from_utf8(server.dump("pg_dump", &["shop"])).unwrap();
    let mark = stage.path("was_here");
    let plain: String =
        dump.lines().filter(|line| !line.contains("restrict")).map(|line| format!("{line}\n")).collect();
    let command = format!("\\! touch {}", mark.display());
    let ways: [&[&str]; 3] = [&[], &["--threads", "1"], &["--table", "shop.public.t", "--as", "copy.public.t"]];
    // What ends a comment for psql, and what follows the rows for it, though it stands before them.
    for (hidden, ways, reason) in [
        (format!("-- Data for Name: t\n{command}\nCOPY public.t"), &ways[..], "command to psql that no dump has"),
        (format!("-- Data for Name: t\r{command}\nCOPY public.t"), &ways, "command to psql that no dump has"),
        (format!("-- t\0\n'\n{command}\n' AS x;\nCOPY public.t"), &ways[..1], "it holds a NUL"),
        (
            format!("COPY public.t FROM stdin; {command}\n\\.\nCOPY public.t"),
            &ways[..1],
            "command to psql that no dump has",
        ),
        ("\\connect \"host=/nowhere\"\nCOPY public.t".into(), &ways[..1], "command to psql that no dump has"),
    ] {
        ingest(&stage, plain.replacen("COPY public.t", &hidden, 1).as_bytes());
        for options in ways {
            let message = refused(&restore_into(&stage, &server.url("copy"), options), 2);
            assert!(message.contains(reason), "{hidden}: {message}");
            server.run("postgres", "DROP DATABASE IF EXISTS copy");
        }
    }
    assert!(!mark.exists(), "it was run");
}

#[test]
fn no_command_within_a_statement_is_run_either() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE \"sho p\"");
    server.run("sho p", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    let dump = String::from_utf8(server.dump("pg_dump", &["--create", "sho p"])).unwrap();
    let mark = stage.path("was_here");
    let within = format!("SELECT 1 \\g |touch {}\n;\nALTER TABLE", mark.display());
    // At once, and after the way to another database led by commands.
    let inside = dump.replacen("ALTER TABLE public.t ", &format!("{within} public.t "), 1);
    let (whole, table): (&[&[&str]], &[&str]) = (&[&[], &["--threads", "1"]], &["--table", "sho p.public.t"]);
    for (hostile, ways) in [(format!("{within} x;\n{dump}"), whole), (inside, &[whole[0], whole[1], table])] {
        ingest(&stage, hostile.as_bytes());
        for options in ways {
            server.run("postgres", "DROP DATABASE IF EXISTS \"sho p\"");
            let message = refused(&restore_into(&stage, &server.url(""), options), 6);
            assert!(message.contains("backslash commands are restricted"), "{message}");
        }
    }
    assert!(!mark.exists(), "it was run");
    // One that cannot be told so.
    ingest(&stage, dump.as_bytes());
    server.run("postgres", "DROP DATABASE IF EXISTS \"sho p\"");
    let old = stage.path("old-psql");
    std::fs::write(&old, "#!/bin/sh\ncase $1 in --help=commands) exit 0;; esac\nexec psql \"$@\"\n").unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = restore_into(&stage, &server.url(""), &["--client", old.to_str().unwrap()]);
    restored(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no \\restrict"), "{output:?}");
    assert_eq!(server.run("sho p", "SELECT count(*) FROM t").trim(), "1");
}

#[test]
fn a_database_that_the_dump_would_drop_is_left_alone() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE t (id int)");
    let dump = server.dump("pg_dump", &["--clean", "--create", "--if-exists", "shop"]);
    ingest(&stage, &dump);
    server.run("shop", "DROP TABLE t; CREATE TABLE precious (id int)");
    let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
    assert!(message.contains("database \"shop\" already exists"), "{message}");
    assert_eq!(server.run("shop", "SELECT count(*) FROM precious").trim(), "0");
    server.run("postgres", "DROP DATABASE shop");
    restored(&restore_into(&stage, &server.url(""), &[]));
    assert_eq!(server.run("shop", "SELECT count(*) FROM t").trim(), "0");
}

#[test]
fn a_whole_dump_comes_back_into_a_new_database() {
    let (server, stage) = dumped("pg_dump", &["shop"]);
    assert!(restored(&restore_into(&stage, &server.url("copy"), &[])).starts_with("loaded the dump: "));
    assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]));
    // What is there is not touched.
    let message = refused(&restore_into(&stage, &server.url("copy"), &[]), 2);
    assert!(message.contains("already exists"), "{message}");
    assert!(
        message
            .contains("hint: a dump that was made with --clean replaces it with --overwrite; else drop the database"),
        "{message}"
    );
    // Without a database in the URL it is the one that was dumped.
    let message = refused(&restore_into(&stage, &server.url(""), &[]), 2);
    assert!(message.contains("\"shop.") && message.contains("already exists"), "{message}");
    let message = refused(&restore_into(&stage, &server.url("copy"), &["--overwrite"]), 2);
    assert!(message.contains("drop the database first"), "{message}");
    // A dump that names its own database goes nowhere else.
    ingest(&stage, &server.dump("pg_dump", &["--create", "shop"]));
    let message = refused(&restore_into(&stage, &server.url("elsewhere"), &[]), 2);
    assert!(message.contains("names its database itself, \"shop\": leave \"elsewhere\" out"), "{message}");
    assert_eq!(server.run("postgres", "SELECT 1 FROM pg_database WHERE datname = 'elsewhere'"), "");
    let before = content(&server, "shop", &[]);
    server.run("postgres", "DROP DATABASE shop");
    restored(&restore_into(&stage, &server.url("postgres"), &[]));
    assert_eq!(content(&server, "shop", &[]), before);
}

/// The lines of a definition of a service, where `psql` finds it.
fn service(stage: &Stage, lines: &str) -> std::path::PathBuf {
    let file = stage.path("services");
    std::fs::write(&file, format!("[elsewhere]\n{lines}\n")).unwrap();
    file
}

#[test]
fn settings_of_the_user_alter_no_session() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", "CREATE TABLE t (id integer PRIMARY KEY, day date, \"Größe\" text)");
    server.run("shop", "INSERT INTO t VALUES (1, '2026-02-03', 'ü')");
    let dump = server.dump("pg_dump", &["shop"]);
    // What other programs wrote says nothing of the session.
    let dump = String::from_utf8(dump).unwrap().replace("2026-02-03", "03/02/2026");
    let bare = dump.replace("SET client_encoding", "-- SET client_encoding");
    for (dump, options) in [(&dump, "&options=-c%20datestyle%3DDMY"), (&bare, "&options=-c%20datestyle%3DDMY")] {
        ingest(&stage, dump.as_bytes());
        let client = picky_client(&stage, "psql", "\"$PGPASSWORD\" = secret");
        let url = format!("{}{options}", server.url("Kopie_%C3%BC"));
        let mut command = restoring_into(&stage, &url, &["--client", &client]);
        command.env("PGOPTIONS", "-c default_transaction_read_only=on").env("PGDATABASE", "nowhere");
        command.env("PGDATESTYLE", "MDY").env("PGTZ", "nowhere").env("PGGEQO", "nonsense");
        command.env("PGCLIENTENCODING", "LATIN1").env("PGPASSWORD", "secret");
        restored(&command.output().unwrap());
        assert_eq!(server.run("Kopie_ü", "SELECT day, \"Größe\" FROM public.t"), "2026-02-03|ü\n");
        server.run("postgres", "DROP DATABASE \"Kopie_ü\"");
    }
}

#[test]
fn services_and_addresses_of_the_user_count_less_than_the_url() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", "CREATE TABLE t (id integer PRIMARY KEY)");
    ingest(&stage, &server.dump("pg_dump", &["shop"]));
    let services = service(&stage, "hostaddr=127.0.0.1\nport=1");
    let mut command = restoring_into(&stage, &server.url("copy"), &[]);
    command.env("PGHOSTADDR", "127.0.0.1").env("PGSERVICE", "elsewhere").env("PGSERVICEFILE", &services);
    restored(&command.output().unwrap());
    // Without a host it is as the user set it.
    let mut command = restoring_into(&stage, "postgres://postgres@/other", &[]);
    command.env("PGSERVICE", "elsewhere").env("PGSERVICEFILE", &services);
    let message = refused(&command.output().unwrap(), 6);
    assert!(message.contains("127.0.0.1") && message.contains("port 1 "), "{message}");
    let mut command = restoring_into(&stage, "postgres://postgres@/other?service=elsewhere", &[]);
    command
        .env("PGSERVICEFILE", service(&stage, &format!("host={}", server.directory().display())))
        .env("PGHOSTADDR", "127.0.0.1");
    restored(&command.output().unwrap());
}

#[test]
fn a_dump_of_all_databases_comes_back_into_another_server() {
    // Both servers are on this machine, where a tablespace's directory can be of one only.
    let options = ["--no-role-passwords", "--no-tablespaces"];
    let (server, stage) = dumped("pg_dumpall", &options);
    let other = Postgres::start();
    // The role of whoever loads it is there already, and stays as it is.
    other.run("postgres", "ALTER ROLE postgres CONNECTION LIMIT 77");
    let output = restore_into(&stage, &other.url(""), &[]);
    restored(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("stay as they are: postgres\n"), "{output:?}");
    assert_eq!(other.run("postgres", "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'postgres'").trim(), "77");
    let roles = |server: &Postgres| server.run("postgres", "SELECT rolname FROM pg_roles ORDER BY 1");
    assert_eq!(roles(&other), roles(&server));
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
    for name in
        ["public.plain_table", "shop.public.plain_table", "\"public\".\"plain_table\"", "shop.public.\"plain_table\""]
    {
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
}

#[test]
fn tables_that_refer_to_one_another_come_back_together_or_not_at_all() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run(
        "shop",
        "CREATE SCHEMA s; CREATE SCHEMA other; CREATE TABLE s.orders (id int PRIMARY KEY, last int);
         CREATE TABLE other.lines (id int PRIMARY KEY, of int REFERENCES s.orders, CHECK (id > 0));
         INSERT INTO s.orders SELECT i, i FROM generate_series(1, 100) i; INSERT INTO other.lines SELECT i, i FROM generate_series(1, 100) i;
         ALTER TABLE s.orders ADD CONSTRAINT \"the last\" FOREIGN KEY (last) REFERENCES other.lines;
         COMMENT ON CONSTRAINT \"the last\" ON s.orders IS 'each needs the other'",
    );
    ingest(&stage, &server.dump("pg_dump", &["shop"]));
    let [orders, lines] = [["--table", "shop.s.orders"], ["--table", "shop.other.lines"]];
    for (database, options) in [("one", [orders, lines].concat()), ("two", [lines, orders].concat())] {
        assert!(restored(&restore_into(&stage, &server.url(database), &options)).starts_with("loaded 2 tables: "));
        assert_eq!(content(&server, database, &[]), content(&server, "shop", &[]), "{database}");
        server.run(database, "DELETE FROM other.lines WHERE false; UPDATE s.orders SET last = 7");
        restored(&restore_into(&stage, &server.url(database), &[&options[..], &["--overwrite"]].concat()));
        assert_eq!(content(&server, database, &[]), content(&server, "shop", &[]), "{database}");
    }
    // Where one does not load, nothing is lost.
    server.run("one", "UPDATE s.orders SET last = 7; CREATE VIEW needs AS SELECT * FROM other.lines");
    let before = content(&server, "one", &[]);
    refused(&restore_into(&stage, &server.url("one"), &[&orders[..], &lines, &["--overwrite"]].concat()), 6);
    assert_eq!(content(&server, "one", &[]), before);
    server.run("two", "DROP TABLE s.orders CASCADE");
    let message = refused(&restore_into(&stage, &server.url("two"), &[orders, lines].concat()), 2);
    assert!(message.contains("\"two.other.lines\" already exists"), "{message}");
    assert_eq!(server.run("two", "SELECT to_regclass('s.orders')").trim(), "");
}

#[test]
fn a_partitioned_table_comes_back_with_its_partitions() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run(
        "shop",
        "CREATE SCHEMA old; CREATE TABLE rooms (id int PRIMARY KEY); INSERT INTO rooms VALUES (1), (2);
         CREATE TABLE measure (id serial, day date, room int REFERENCES rooms, PRIMARY KEY (id, day, room)) PARTITION BY RANGE (day);
         CREATE INDEX by_day ON measure (day);
         CREATE TABLE measure_2026 PARTITION OF measure FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (room);
         CREATE TABLE measure_2026_1 PARTITION OF measure_2026 FOR VALUES IN (1);
         CREATE TABLE measure_2026_2 PARTITION OF measure_2026 FOR VALUES IN (2);
         CREATE TABLE old.measure PARTITION OF measure DEFAULT; CREATE TABLE another (id int, day date) PARTITION BY LIST (id);
         CREATE TABLE another_1 PARTITION OF another FOR VALUES IN (1); INSERT INTO another VALUES (1, '2026-01-01');
         INSERT INTO measure (day, room) SELECT '2025-12-01'::date + i, 1 + i % 2 FROM generate_series(1, 99) i",
    );
    let whole = server.dump("pg_dump", &["shop"]);
    ingest(&stage, &whole);
    let options = ["--table", "shop.public.measure", "--table", "shop.public.rooms"];
    for (database, options) in
        [("first", &options[..]), ("second", &[&["--table", "shop.old.measure"], &options[..]].concat())]
    {
        assert!(restored(&restore_into(&stage, &server.url(database), options)).starts_with("loaded 6 tables: "));
        let of = |database: &str| content(&server, database, &["--exclude-table=another*"]);
        assert_eq!(of(database), of("shop"), "{database}");
        let invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid";
        assert_eq!(server.run(database, invalid), "");
        restored(&restore_into(&stage, &server.url(database), &[options, &["--overwrite"]].concat()));
        assert_eq!(of(database), of("shop"), "{database}");
    }
    // A part by itself is a table.
    restored(&restore_into(&stage, &server.url("part"), &["--table", "shop.public.another_1"]));
    let rows = |database: &str| server.run(database, "SELECT * FROM another_1");
    assert_eq!((rows("part"), rows("part").trim()), (rows("shop"), "1|2026-01-01"));
    let message = refused(
        &restore_into(&stage, &server.url(""), &["--table", "shop.public.measure", "--as", "shop.public.m"]),
        2,
    );
    assert!(message.contains("has partitions, which keep their names"), "{message}");
    ingest(&stage, &server.dump("pg_dump", &["--load-via-partition-root", "shop"]));
    let message = refused(&restore_into(&stage, &server.url("third"), &options), 2);
    assert!(message.contains("which only the whole dump loads"), "{message}");
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

/// A table with all that a table can have, in a schema of any name.
const OF_ALL_KINDS: &str = r#"
CREATE EXTENSION btree_gist;
CREATE ROLE clerk; CREATE ROLE reader;
CREATE SCHEMA "S.1 ""x";
CREATE TABLE customers (id integer PRIMARY KEY); INSERT INTO customers SELECT generate_series(1, 50);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := NEW.note || TG_ARGV[0]; RETURN NEW; END';
CREATE TABLE orders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number serial UNIQUE, customer integer REFERENCES customers,
    parent integer REFERENCES orders, note text CHECK (note <> 'public.orders'), "orders" text DEFAULT 'public.orders',
    during int4range, room integer, kind oid DEFAULT 'public.orders'::regclass::oid, "O.""q" integer,
    CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&), CONSTRAINT "Uniq.""1" UNIQUE (id, number)
);
CREATE INDEX orders_note_idx ON orders (lower(note)) WHERE id > 3; CREATE INDEX note_idx ON orders (note DESC);
CREATE UNIQUE INDEX "Ind.ex ""y" ON orders ((id + 1)) INCLUDE (note); ALTER TABLE orders CLUSTER ON note_idx;
CREATE STATISTICS orders_stat ON room, customer FROM orders; CREATE SCHEMA stats; ALTER
STATISTICS orders_stat SET STATISTICS 77; CREATE STATISTICS stats.other ON room, id FROM orders; COMMENT ON STATISTICS stats.other IS 'elsewhere'; ALTER TABLE orders REPLICA IDENTITY USING INDEX orders_pkey;
COMMENT ON TABLE orders IS 'public.orders'; COMMENT ON COLUMN orders.note IS 'it''s COPY public.orders FROM stdin;';
COMMENT ON CONSTRAINT orders_pkey ON orders IS 'key'; COMMENT ON INDEX note_idx IS $$ALTER TABLE public.orders$$;
COMMENT ON SEQUENCE orders_number_seq IS 'of public.orders'; COMMENT ON STATISTICS orders_stat IS 'stat';
GRANT SELECT, INSERT ON orders TO reader; GRANT UPDATE (note) ON orders TO reader; GRANT USAGE ON SEQUENCE orders_number_seq TO reader;
ALTER TABLE orders OWNER TO clerk; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (id IN (SELECT orders_1.parent FROM public.orders orders_1 WHERE orders_1.room = orders.room));
CREATE RULE kept AS ON DELETE TO orders WHERE OLD.id < 5 DO INSTEAD UPDATE public.orders SET note = 'kept' WHERE orders.id = OLD.id;
INSERT INTO orders (customer, note, during, room) SELECT i, 'INSERT INTO public.orders VALUES ' || i, int4range(i, i + 1), i % 3 FROM generate_series(1, 50) i;
UPDATE orders SET parent = id - 1, note = note || E'\n\\.\nALTER TABLE public.orders' WHERE id > 1;
CREATE TRIGGER noted BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION noted('public.orders');
CREATE TABLE lines (id integer PRIMARY KEY, order_id integer REFERENCES orders); INSERT INTO lines SELECT i, i FROM generate_series(1, 50) i;
CREATE TABLE "S.1 ""x"."T.2 ""y" ("Id" serial PRIMARY KEY, "a.b" text UNIQUE); INSERT INTO "S.1 ""x"."T.2 ""y" ("a.b") VALUES ('x'), (E'\\');
CREATE TABLE parted (id integer, kind integer, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE INDEX ON parted (kind); CREATE TABLE unparted (id integer, kind integer, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE INDEX ON unparted (kind);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES IN (1); INSERT INTO parted SELECT i, 1 FROM generate_series(1, 9) i;
"#;

/// How many of everything a table has, whatever it is called.
fn shape(server: &Postgres, database: &str, table: &str) -> String {
    let table = format!("'{}'::regclass", table.replace('\'', "''"));
    server.run(
        database,
        format!(
            "SELECT count(*), sum(indisunique::int), sum(indisclustered::int), sum(indisreplident::int), sum((indpred IS NOT NULL)::int)
             FROM pg_index WHERE indrelid = {table};
             SELECT contype, convalidated, count(*) FROM pg_constraint WHERE conrelid = {table} GROUP BY 1, 2 ORDER BY 1;
             SELECT tgname, pg_get_triggerdef(oid) ~ 'noted' FROM pg_trigger WHERE tgrelid = {table} AND NOT tgisinternal ORDER BY 1;
             SELECT count(*) FROM pg_policy WHERE polrelid = {table}; SELECT count(*) FROM pg_rewrite WHERE ev_class = {table};
             SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = {table};
             SELECT relkind, relacl, relrowsecurity, pg_get_userbyid(relowner) FROM pg_class WHERE oid = {table};
             SELECT attname, attidentity, atthasdef, attacl, col_description({table}, attnum) FROM pg_attribute
             WHERE attrelid = {table} AND attnum > 0 ORDER BY attnum;
             SELECT deptype, relkind, relacl, obj_description(c.oid) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
             WHERE refobjid = {table} AND relkind = 'S' ORDER BY c.oid;
             SELECT obj_description({table}), (SELECT count(*) FROM pg_description d JOIN pg_constraint c ON c.oid = d.objoid
             WHERE conrelid = {table}), (SELECT count(*) FROM pg_description d JOIN pg_index i ON i.indexrelid = d.objoid WHERE indrelid = {table});"
        ),
    )
}

fn come_back_beside_themselves(server: &Postgres, arguments: &[&str]) {
    let stage = Stage::new();
    ingest(&stage, &server.dump("pg_dump", arguments));
    let before = content(server, "shop", &[]);
    let tables = [
        ("public.orders", "public.Orders_old", "public.\"Orders_old\"", "id"),
        ("public.orders", "archive.\"or.d \"\"2\"", "archive.\"or.d \"\"2\"", "id"),
        ("public.orders", "archive.orders", "archive.orders", "id"),
        ("S.1 \"x.T.2 \"y", "\"S.1 \"\"x\".\"T.2 \"\"z\"", "\"S.1 \"\"x\".\"T.2 \"\"z\"", "\"Id\""),
        ("S.1 \"x.T.2 \"y", "public.t2", "public.t2", "\"Id\""),
        ("public.unparted", "public.unparted_old", "public.unparted_old", "id"),
        ("public.parted_one", "public.one_old", "public.one_old", "id"),
    ];
    for (name, place, copy, key) in tables {
        let original = match name.starts_with('S') {
            true => "\"S.1 \"\"x\".\"T.2 \"\"y\"",
            false => name,
        };
        let goes_to = format!("shop.{place}");
        let output = restore_into(&stage, &server.url(""), &["--table", name, "--as", &goes_to]);
        restored(&output);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            name == "public.orders" && place == "archive.orders" || said.contains("get names that begin with"),
            "{said}"
        );
        let rows = |table: &str| server.run("shop", format!("SELECT * FROM ONLY {table} ORDER BY {key}"));
        let same_kind = |rows: String| rows.replace(&format!("|{}|", oid(server, original)), "|oid|");
        assert_eq!(same_kind(rows(copy)), same_kind(rows(original)), "{place}");
        let is_part = name == "public.parted_one";
        let [ours, theirs] = [copy, original].map(|table| shape(server, "shop", table));
        assert!(is_part || ours == theirs, "{place}: {ours}\n{theirs}");
        // Its sequences go on where those of the original stand, and are its own.
        if name == "public.orders" {
            let next = format!(
                "INSERT INTO {copy} (customer, note) VALUES (1, 'new') RETURNING id, number, kind = '{copy}'::regclass"
            );
            assert_eq!(server.run("shop", next).trim(), "51|51|t");
        }
        server.run("shop", format!("DROP TABLE {copy} CASCADE; DROP SCHEMA IF EXISTS archive"));
        assert_eq!(content(server, "shop", &[]), before, "{place}");
    }
}

fn oid(server: &Postgres, table: &str) -> String {
    server.run("shop", format!("SELECT '{table}'::regclass::oid")).trim().to_string()
}

#[test]
fn a_table_of_postgresql_comes_back_beside_itself() {
    for server in [Postgres::start(), Postgres::start_18()] {
        server.make_empty("shop");
        server.run("shop", OF_ALL_KINDS);
        come_back_beside_themselves(&server, &["shop"]);
        come_back_beside_themselves(&server, &["--inserts", "shop"]);
        come_back_beside_themselves(&server, &["--column-inserts", "--rows-per-insert=7", "shop"]);
    }
}

#[test]
fn names_that_tell_no_place_for_a_table_are_refused() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.make_empty("shop");
    server.run("shop", "CREATE TABLE orders (id integer PRIMARY KEY)");
    ingest(&stage, &server.dump("pg_dump", &["shop"]));
    for place in [
        "orders_old",
        "public.orders_old",
        "shop.a.b.c",
        "shop..orders_old",
        "shop.\"public.orders",
        "shop.\"a\"b.c",
        "",
    ] {
        let message = refused(&restore_into(&stage, &server.url(""), &["--table", "public.orders", "--as", place]), 2);
        assert!(message.contains("DATABASE.SCHEMA.TABLE"), "{message}");
    }
    server.run("shop", "CREATE TABLE other (id integer)");
    let there = ["--table", "public.orders", "--as", "shop.public.other"];
    let message = refused(&restore_into(&stage, &server.url(""), &there), 2);
    assert!(message.contains("already exists"), "{message}");
    restored(&restore_into(&stage, &server.url(""), &[&there[..], &["--overwrite"]].concat()));
    let indexes = server.run("shop", "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1");
    assert_eq!(indexes.lines().collect::<Vec<_>>(), ["orders_pkey", "other_pkey"]);
}
