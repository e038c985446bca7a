//! Stories of patches that make, drop and alter tables of a real PostgreSQL.

mod support;

use std::sync::Arc;

use support::dumped::{in_database, options as dump_options, reader};
use support::postgres::Postgres;
use support::repository::{TestRepository, now};
use support::rows::{Dice, assert_same_dump, found, patch};
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::Direction;

fn ingest(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let options = in_database(Some("shop"), dump_options(reader(dump)));
    ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

/// What `pg_dump` prints, without the key that is another one each time.
fn dump(server: &Postgres, variant: &[&str]) -> Vec<u8> {
    let dump = server.dump("pg_dump", &[variant, &["-d", "shop"]].concat());
    let lines = dump.split_inclusive(|&byte| byte == b'\n');
    let is_key = |line: &&[u8]| line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ");
    lines.filter(|line| !is_key(line)).flatten().copied().collect()
}

/// A server with roles, and an empty database.
fn server() -> Postgres {
    with_roles(Postgres::start())
}

fn with_roles(server: Postgres) -> Postgres {
    server.run("postgres", "CREATE ROLE seller; CREATE ROLE reader");
    server.make_empty("shop");
    server
}

/// Pairs of states that are made by chance.
const SEEDS: u64 = 9;

/// Two states of a database, and what was dumped of them.
struct States {
    place: TestRepository,
    snapshots: [Arc<Snapshot>; 2],
    dumps: [Vec<u8>; 2],
}

fn states(server: &Postgres, make: &str, change: &str, variant: &[&str]) -> States {
    let place = TestRepository::new();
    server.make_empty("shop");
    server.run("shop", make);
    let before = dump(server, variant);
    server.run("shop", change);
    let after = dump(server, variant);
    let snapshots = [ingest(&place, &before), ingest(&place, &after)];
    States { place, snapshots, dumps: [before, after] }
}

impl States {
    fn patch(&self, direction: Direction) -> Vec<u8> {
        patch(&self.place, &self.snapshots[0], &self.snapshots[1], direction).unwrap()
    }

    /// The command line's patch, what it tells, and its exit code.
    fn told(&self, arguments: &[&str]) -> (String, String, Option<i32>) {
        self.place.yesterfs(&[&["diff", "shop@latest~1", "shop", "--rows"], arguments, &["--sql"]].concat())
    }

    /// Asserts that a server with one of the dumps has the other one after the patch, both ways, and again.
    #[track_caller]
    fn assert_both_ways(&self, server: &Postgres, variant: &[&str]) {
        // Columns that are inherited stand in another order in what is loaded than in what grew.
        let loaded = [1, 0].map(|at| {
            server.make_empty("shop");
            server.run("shop", &self.dumps[at]);
            dump(server, variant)
        });
        let (there, back) = (self.patch(Direction::Forward), self.patch(Direction::Reverse));
        for (patch, at) in [(&there, 1), (&back, 0), (&there, 1)] {
            server.run("shop", patch);
            let reached = dump(server, variant);
            assert_same_dump(&reached, &loaded[1 - at], &format!("{variant:?} to {at}"), patch);
            let differences = found(&self.place, &self.snapshots[at], &ingest(&self.place, &reached));
            assert_eq!((differences.changes, differences.redefined), (vec![], vec![]));
        }
    }
}

/// Tables that refer to one another, with all that a table can have.
const TABLES: &str = r#"
CREATE SCHEMA "odd; ""s";
CREATE TYPE mood AS ENUM ('sad', 'it''s', 'happy; -- no');
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''stamped''; RETURN NEW; END';
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO reader;
CREATE TABLE kept (id serial PRIMARY KEY, note text UNIQUE);
CREATE TABLE redefined (
    id integer GENERATED ALWAYS AS IDENTITY (START WITH 5 INCREMENT BY 3) PRIMARY KEY,
    name text NOT NULL, kept integer REFERENCES kept (id), above integer REFERENCES redefined (id)
);
CREATE TABLE refers (id serial PRIMARY KEY, redefined integer, gone bigint);
CREATE TABLE gone (
    id bigserial PRIMARY KEY, kept integer REFERENCES kept (id) ON DELETE CASCADE, feeling mood DEFAULT 'it''s',
    total integer GENERATED ALWAYS AS (kept * 2) STORED, note text CHECK (note <> 'ADD CONSTRAINT x FOREIGN KEY'), twin integer
);
CREATE TABLE "odd; ""s"."Twin; ""t" ("the id" integer PRIMARY KEY, "select" text, gone bigint, data bytea);
ALTER TABLE refers ADD CONSTRAINT to_redefined FOREIGN KEY (redefined) REFERENCES redefined (id) ON DELETE CASCADE;
COMMENT ON CONSTRAINT to_redefined ON refers IS 'it''s a key';
ALTER TABLE refers ADD CONSTRAINT to_gone FOREIGN KEY (gone) REFERENCES gone (id);
COMMENT ON CONSTRAINT to_gone ON refers IS 'goes with it';
ALTER TABLE gone ADD FOREIGN KEY (twin) REFERENCES "odd; ""s"."Twin; ""t";
ALTER TABLE "odd; ""s"."Twin; ""t" ADD FOREIGN KEY (gone) REFERENCES gone (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX "by feeling" ON gone (feeling, lower(note)) WHERE id > 0;
CREATE UNIQUE INDEX ON gone (id, feeling);
ALTER TABLE gone CLUSTER ON gone_pkey;
CREATE STATISTICS shape ON kept, twin FROM gone;
CREATE TRIGGER stamped BEFORE INSERT ON gone FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER silent BEFORE INSERT ON gone FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE gone DISABLE TRIGGER silent;
CREATE POLICY few ON gone TO reader USING (EXISTS (SELECT FROM "odd; ""s"."Twin; ""t" t WHERE t.gone = id));
COMMENT ON POLICY few ON gone IS 'policy';
CREATE POLICY mutual ON "odd; ""s"."Twin; ""t" USING (EXISTS (SELECT FROM gone g WHERE g.twin = "the id"));
ALTER TABLE gone ENABLE ROW LEVEL SECURITY;
CREATE RULE ruled AS ON DELETE TO gone DO ALSO INSERT INTO kept (note) VALUES ('deleted');
COMMENT ON TABLE gone IS 'a ''table''';
COMMENT ON COLUMN gone.id IS 'its id';
COMMENT ON INDEX "by feeling" IS 'an index';
GRANT SELECT ON gone TO reader;
GRANT UPDATE (note) ON gone TO reader WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE gone_id_seq TO seller;
ALTER TABLE gone OWNER TO seller;
CREATE PUBLICATION sent FOR TABLE gone, kept, redefined (id, name);
INSERT INTO kept (note) SELECT 'note ' || i FROM generate_series(1, 30) i;
INSERT INTO redefined (name, kept, above) SELECT E'a\tb\\' || i, i, CASE WHEN i > 1 THEN 5 END FROM generate_series(1, 20) i;
INSERT INTO "odd; ""s"."Twin; ""t" VALUES (1, E'\\.\n\\! touch x\nCOMMIT;', NULL, '\x00ff5c'), (2, NULL, NULL, NULL);
INSERT INTO gone (kept, twin) SELECT i, 1 + i % 2 FROM generate_series(1, 25) i;
UPDATE "odd; ""s"."Twin; ""t" SET gone = 7 WHERE "the id" = 2;
INSERT INTO refers (redefined, gone) SELECT 5 + 3 * (i - 1), i FROM generate_series(1, 20) i;
"#;

/// The same later.
const LATER: &str = r#"
ALTER TABLE gone DROP CONSTRAINT gone_twin_fkey;
DROP POLICY few ON gone;
DROP TABLE "odd; ""s"."Twin; ""t";
ALTER TABLE refers DROP CONSTRAINT to_gone;
DROP TABLE gone;
ALTER TABLE redefined ADD more numeric DEFAULT 1.50, ALTER name DROP NOT NULL;
UPDATE redefined SET name = NULL WHERE id % 2 = 0;
DELETE FROM kept WHERE id = 30; UPDATE kept SET note = 'other' WHERE id = 3; INSERT INTO kept (note) VALUES ('new');
CREATE TABLE new (id integer PRIMARY KEY REFERENCES kept (id), redefined integer REFERENCES redefined (id));
INSERT INTO new VALUES (1, 5), (2, 8);
CREATE TABLE "odd; ""s".heir (own integer) INHERITS (new);
INSERT INTO "odd; ""s".heir VALUES (3, NULL, 4);
REVOKE INSERT ON new FROM reader;
CREATE INDEX ON kept (lower(note));
"#;

#[test]
fn tables_come_and_go_with_all_that_they_have() {
    let variants = [&[][..], &["--inserts"], &["--no-owner", "--no-privileges"]];
    let servers = [(server(), &variants[..]), (with_roles(Postgres::start_18()), &variants[..1])];
    for (server, variants) in &servers {
        for variant in *variants {
            let states = states(server, TABLES, LATER, variant);
            let (_, told, code) = states.told(&[]);
            assert_eq!(code, Some(1), "{told}");
            assert!(told.ends_with("5 tables made anew, 2 altered\n"), "{told}");
            states.assert_both_ways(server, variant);
            // What a sequence of a table that came gives next, none has.
            server.run("shop", states.patch(Direction::Reverse));
            assert_eq!(server.run("shop", "INSERT INTO refers DEFAULT VALUES RETURNING id"), "21\n");
            assert_eq!(server.run("shop", "INSERT INTO redefined (name) VALUES ('next') RETURNING id"), "65\n");
        }
    }
}

#[test]
fn what_was_added_to_a_table_changes_while_it_stays() {
    let server = server();
    let make = "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE big (id integer CONSTRAINT big_key PRIMARY KEY, code text, number integer, above integer);
        ALTER TABLE big ADD CONSTRAINT upward FOREIGN KEY (above) REFERENCES big (id);
        CREATE TABLE refers (big integer CONSTRAINT to_big REFERENCES big (id));
        INSERT INTO big SELECT i, 'code ' || i, i % 10, 1 FROM generate_series(1, 500) i; INSERT INTO refers VALUES (7);
        CREATE INDEX by_code ON big (code); COMMENT ON INDEX by_code IS 'same'; CREATE UNIQUE INDEX once ON big (code, number);
        ALTER TABLE big CLUSTER ON by_code; ALTER TABLE big REPLICA IDENTITY USING INDEX big_key;
        ALTER TABLE big ADD CONSTRAINT few EXCLUDE USING btree (id WITH =); CREATE STATISTICS shape ON code, number FROM big;
        CREATE TRIGGER one BEFORE INSERT ON big FOR EACH ROW EXECUTE FUNCTION stamp(); ALTER TABLE big DISABLE TRIGGER one;
        CREATE POLICY seen ON big USING (id > 0); ALTER TABLE big ENABLE ROW LEVEL SECURITY; ALTER TABLE big FORCE ROW LEVEL SECURITY;
        CREATE RULE quiet AS ON DELETE TO refers DO INSTEAD NOTHING; ALTER TABLE refers DISABLE RULE quiet;
        GRANT SELECT, INSERT ON big TO reader; GRANT UPDATE (code) ON big TO seller WITH GRANT OPTION;
        COMMENT ON COLUMN big.id IS 'before'; COMMENT ON COLUMN big.code IS 'before'; COMMENT ON CONSTRAINT upward ON big IS 'up'";
    let change = "ALTER TABLE refers DROP CONSTRAINT to_big; ALTER TABLE big DROP CONSTRAINT upward, DROP CONSTRAINT big_key, DROP CONSTRAINT few;
        ALTER TABLE big SET WITHOUT CLUSTER; DROP INDEX by_code, once; DROP STATISTICS shape; DROP TRIGGER one ON big; DROP POLICY seen ON big;
        ALTER TABLE big DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY; DROP RULE quiet ON refers;
        CREATE INDEX by_code ON big (code DESC); COMMENT ON INDEX by_code IS 'same';
        ALTER TABLE big ADD CONSTRAINT big_key PRIMARY KEY (id) INCLUDE (number), ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
        ALTER TABLE big ADD CONSTRAINT upward FOREIGN KEY (above) REFERENCES big (id); COMMENT ON CONSTRAINT upward ON big IS 'up';
        ALTER TABLE refers ADD CONSTRAINT to_big FOREIGN KEY (big) REFERENCES big (id);
        CREATE TRIGGER two BEFORE INSERT ON big FOR EACH ROW EXECUTE FUNCTION stamp(); ALTER TABLE big ENABLE ALWAYS TRIGGER two;
        REVOKE INSERT ON big FROM reader; REVOKE UPDATE (code) ON big FROM seller; COMMENT ON COLUMN big.id IS 'after';
        COMMENT ON COLUMN big.code IS NULL; ALTER TABLE big OWNER TO seller; UPDATE big SET number = 3 WHERE id = 9";
    let states = states(&server, make, change, &[]);
    let (_, told, code) = states.told(&[]);
    assert_eq!((&told[..], code), ("0 rows inserted, 0 deleted, 1 updated, 2 altered\n", Some(1)));
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    let number = || server.run("shop", "SELECT 'big'::regclass::oid");
    let before = number();
    server.run("shop", states.patch(Direction::Forward));
    server.run("shop", states.patch(Direction::Reverse));
    assert_eq!(number(), before, "the table is another one");
    states.assert_both_ways(&server, &[]);
}

#[test]
fn parts_and_heirs_go_and_come_with_their_tables() {
    let server = server();
    let make = "CREATE TABLE months (id integer, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE INDEX ON months (note);
        CREATE TABLE june PARTITION OF months FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
        CREATE TABLE rest PARTITION OF months DEFAULT;
        INSERT INTO months SELECT i, date '2026-06-01' + i, 'n' || i FROM generate_series(0, 80) i;
        CREATE TABLE refers (id integer, at date, FOREIGN KEY (id, at) REFERENCES months);
        COMMENT ON CONSTRAINT refers_id_at_fkey ON refers IS 'kept'; INSERT INTO refers VALUES (40, '2026-07-11');
        CREATE TABLE whole (id integer, kind integer, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
        CREATE TABLE first PARTITION OF whole FOR VALUES IN (1) PARTITION BY LIST (id);
        CREATE TABLE first_one PARTITION OF first FOR VALUES IN (1);
        CREATE TABLE second PARTITION OF whole FOR VALUES IN (2); CREATE INDEX extra ON second (id);
        INSERT INTO whole VALUES (1, 1), (5, 2);
        CREATE TABLE parent (id integer PRIMARY KEY, note text); CREATE TABLE heir (more text) INHERITS (parent);
        CREATE TABLE heir_of_heir () INHERITS (heir); INSERT INTO heir_of_heir VALUES (1, 'a', 'b'); INSERT INTO parent VALUES (2, 'c')";
    let change = "BEGIN; CREATE TEMP TABLE moved AS SELECT * FROM rest WHERE at < '2026-08-01'; ALTER TABLE refers DROP CONSTRAINT refers_id_at_fkey;
        DELETE FROM rest WHERE at < '2026-08-01'; DROP TABLE june;
        CREATE TABLE july PARTITION OF months FOR VALUES FROM ('2026-07-01') TO ('2026-08-01'); INSERT INTO july SELECT * FROM moved;
        ALTER TABLE refers ADD CONSTRAINT refers_id_at_fkey FOREIGN KEY (id, at) REFERENCES months; COMMIT;
        COMMENT ON CONSTRAINT refers_id_at_fkey ON refers IS 'kept';
        ALTER TABLE whole ADD note text; INSERT INTO whole VALUES (6, 2, 'x'); ALTER TABLE rest OWNER TO seller;
        ALTER TABLE parent ADD late integer; UPDATE parent SET late = 3";
    let states = states(&server, make, change, &[]);
    let (_, told, code) = states.told(&[]);
    assert_eq!(code, Some(1), "{told}");
    let expected = "shop.public.heir is made anew, too: it is a part or an heir of public.parent";
    assert!(told.contains(expected), "{told}");
    assert!(told.ends_with("9 tables made anew, 1 altered\n"), "{told}");
    states.assert_both_ways(&server, &[]);
}

#[test]
fn a_table_that_a_view_or_a_row_type_needs_is_left_out_and_told() {
    let server = server();
    let make = "CREATE TABLE seen (id integer PRIMARY KEY); CREATE TABLE returned (id integer); CREATE TABLE typed (id integer);
        CREATE TABLE parent (id integer); CREATE TABLE heir () INHERITS (parent); CREATE VIEW on_heir AS SELECT id FROM heir;
        CREATE TABLE checked (id integer); CREATE TABLE guarded (id integer); CREATE TABLE column_of (x typed);
        CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM checked));
        CREATE TABLE whole (id integer) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
        CREATE VIEW on_part AS SELECT id FROM part; CREATE VIEW on_seen AS SELECT s.id FROM seen s;
        CREATE FUNCTION all_of() RETURNS SETOF returned LANGUAGE sql AS 'SELECT 1';
        CREATE TABLE lot (id integer) PARTITION BY LIST (id); CREATE TABLE of_lot PARTITION OF lot FOR VALUES IN (1);
        CREATE VIEW on_lot AS SELECT id FROM lot; CREATE TABLE base (id integer); CREATE VIEW on_base AS SELECT id FROM base;
        CREATE TABLE of_base () INHERITS (base); INSERT INTO of_base VALUES (1);
        CREATE TABLE free (id integer, note text); INSERT INTO free VALUES (1, 'a'); INSERT INTO seen VALUES (1)";
    let change = "ALTER TABLE seen ADD x text; ALTER TABLE returned ADD x text; ALTER TABLE parent ADD x text;
        ALTER TABLE column_of DROP x; ALTER TABLE typed ADD x text; ALTER TABLE column_of ADD x typed; ALTER TABLE checked ADD x text;
        ALTER TABLE whole ADD x text; ALTER TABLE lot ADD x text; CREATE TABLE new_of_lot PARTITION OF lot FOR VALUES IN (2);
        ALTER TABLE base ADD x text; INSERT INTO of_base VALUES (2, 'x'); CREATE TABLE new_of_base () INHERITS (base); ALTER TABLE free ADD x text; INSERT INTO free VALUES (2, 'b', 'c')";
    let states = states(&server, make, change, &[]);
    let (sql, told, code) = states.told(&[]);
    assert_eq!(code, Some(3), "{told}");
    for reason in [
        "\"shop.public.seen\" is not usable: a view needs it, which a patch does not change: public.on_seen",
        "\"shop.public.returned\" is not usable: a function needs it, which a patch does not change: public.all_of()",
        "\"shop.public.typed\" is not usable: table public.column_of needs it",
        "\"shop.public.checked\" is not usable: table public.guarded needs it",
        "\"shop.public.lot\" is not usable: a view needs it",
        "\"shop.public.of_lot\" is not usable: it is a part or an heir of public.lot, which is left out",
        "\"shop.public.new_of_lot\" is not usable: it is a part or an heir of public.lot, which is left out",
        "\"shop.public.base\" is not usable: a view needs it",
        "\"shop.public.of_base\" is not usable: it is a part or an heir of public.base, which is left out",
        "\"shop.public.new_of_base\" is not usable: it is a part or an heir of public.base, which is left out",
        "\"shop.public.part\" is not usable: a view needs it, which a patch does not change: public.on_part",
        "\"shop.public.whole\" is not usable: public.part, a part or an heir of it, is left out",
        "\"shop.public.parent\" is not usable: public.heir goes with it: a view needs it",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    server.run("shop", sql);
    assert_eq!(server.run("shop", "SELECT * FROM free ORDER BY id"), "1|a|\n2|b|c\n");
}

#[test]
fn a_table_that_needs_what_the_server_lacks_is_left_out_and_told() {
    let server = server();
    let change = "CREATE TYPE mood AS ENUM ('sad'); CREATE FUNCTION f(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1';
        CREATE SEQUENCE loose; CREATE TABLE feels (id integer PRIMARY KEY, mood mood); CREATE TABLE counts (id integer DEFAULT nextval('loose'));
        CREATE TABLE computes (id integer); CREATE INDEX ON computes (f(id));
        CREATE TABLE refers (id integer REFERENCES feels (id)); ALTER TABLE there ADD FOREIGN KEY (id) REFERENCES feels (id);
        CREATE SCHEMA fresh AUTHORIZATION seller; COMMENT ON SCHEMA fresh IS 'new'; CREATE TABLE fresh.t (id serial PRIMARY KEY); INSERT INTO fresh.t VALUES (7);
        CREATE SCHEMA other; CREATE TABLE other.t (id integer)";
    let states = states(&server, "CREATE TABLE there (id integer PRIMARY KEY)", change, &[]);
    let (sql, told, code) = states.told(&[]);
    assert_eq!(code, Some(3), "{told}");
    for reason in [
        "feels\" is not usable: it needs public.mood, which is not there",
        "counts\" is not usable: it needs sequence public.loose",
        "computes\" is not usable: it needs function public.f",
        "refers\" is not usable: it needs table public.feels",
        "there\" is not usable: it needs table public.feels",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    server.run("shop", sql);
    assert_eq!(server.run("shop", "SELECT id, nextval('fresh.t_id_seq') FROM fresh.t"), "7|1\n");
    let owner = "SELECT r.rolname, obj_description(n.oid) FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE nspname = 'fresh'";
    assert_eq!(server.run("shop", owner), "seller|new\n");
}

#[test]
fn tables_that_are_partly_elsewhere_are_left_out_and_told() {
    let (server, place) = (server(), TestRepository::new());
    let make = "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (id integer) SERVER s;
        CREATE TABLE whole (id integer) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
        INSERT INTO whole VALUES (1)";
    let change =
        "ALTER FOREIGN TABLE far ADD x text; ALTER TABLE whole ADD x text; CREATE UNLOGGED TABLE quick (id integer)";
    let variant = ["--load-via-partition-root"];
    let states = states(&server, make, change, &variant);
    let (sql, told, code) = states.told(&[]);
    assert_eq!(code, Some(3), "{told}");
    for reason in [
        "far\" is not usable: its rows are those of another server",
        "whole\" is not usable: its rows come by way of it (--load-via-partition-root)",
        "part\" is not usable: it is a part or an heir of public.whole, which is left out",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    server.run("shop", sql);
    assert_eq!(server.run("shop", "SELECT relpersistence FROM pg_class WHERE relname = 'quick'"), "u\n");

    let all = |server: &Postgres| server.dump("pg_dumpall", &["--no-role-passwords"]);
    ingest(&place, &all(&server));
    server.run("postgres", "CREATE DATABASE later");
    server.run("later", "CREATE TABLE t (id integer)");
    ingest(&place, &all(&server));
    let (_, told, code) = place.yesterfs(&["diff", "shop@latest~1", "shop", "--rows", "--sql"]);
    let reason = "later.public.t\" is not usable: only one dump has its database";
    assert!(code == Some(3) && told.contains(reason), "{code:?} {told}");
}

#[test]
fn where_a_table_cannot_go_nothing_changes() {
    let server = server();
    let make = "CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE other (id integer PRIMARY KEY); INSERT INTO t VALUES (1);
        CREATE TABLE refers (id integer REFERENCES t (id)); CREATE TABLE whole (id integer) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1)";
    let change =
        "ALTER TABLE t ADD x text DEFAULT E'\\\\! touch x'; INSERT INTO other VALUES (1); INSERT INTO t VALUES (2)";
    let of_view = states(&server, make, change, &[]);
    let of_parts = states(&server, make, &format!("{change}; DROP TABLE whole"), &[]);
    for (states, since, reason) in [
        (
            &of_view,
            "CREATE VIEW since AS SELECT id FROM t",
            "cannot drop table public.t because other objects depend on it",
        ),
        (
            &of_view,
            "INSERT INTO t VALUES (9); INSERT INTO refers VALUES (9)",
            "violates foreign key constraint \"refers_id_fkey\"",
        ),
        (
            &of_parts,
            "CREATE TABLE since PARTITION OF whole FOR VALUES IN (2)",
            "table \"public\".\"whole\" has a part that the dump lacks",
        ),
    ] {
        server.make_empty("shop");
        server.run("shop", &states.dumps[0]);
        server.run("shop", since);
        let before = dump(&server, &[]);
        let told = server.failing("shop", states.patch(Direction::Forward));
        assert!(told.contains(reason) && told.matches("ERROR").count() == 1, "{told}");
        assert_same_dump(&dump(&server, &[]), &before, since, b"");
    }
}

#[test]
fn no_table_brings_commands_to_psql() {
    let server = server();
    server.run("shop", "CREATE TABLE t (id integer)");
    let before = dump(&server, &[]);
    server.run("shop", "CREATE TABLE u (id integer); CREATE INDEX i ON t (id)");
    let whole = String::from_utf8(dump(&server, &[])).unwrap();
    for (statement, hostile) in [
        ("id integer\n);\n\n\nALTER TABLE public.u", "id integer\n) \\! touch x\n;\n\n\nALTER TABLE public.u"),
        ("ALTER TABLE public.u OWNER", "\\! touch x\nALTER TABLE public.u OWNER"),
        ("public.t USING btree (id)", "public.t USING btree (id) \\! touch x\n"),
    ] {
        let place = TestRepository::new();
        ingest(&place, &before);
        assert!(whole.contains(statement), "{statement} is not in {whole}");
        ingest(&place, whole.replace(statement, hostile).as_bytes());
        let (_, told, code) = place.yesterfs(&["diff", "shop@latest~1", "shop", "--rows", "--sql"]);
        assert!(code == Some(2) && told.contains("command to psql"), "{hostile}: {code:?} {told}");
    }
}

#[test]
fn tables_come_as_the_roles_that_their_dump_acts_for() {
    let server = server();
    // Only a superuser makes a schema in a new database without a word of its owner.
    server.run("postgres", "ALTER ROLE seller SUPERUSER");
    let make = "CREATE SCHEMA zone AUTHORIZATION seller; SET SESSION AUTHORIZATION seller; CREATE TABLE zone.t (id serial PRIMARY KEY);
        CREATE TABLE zone.u (id integer PRIMARY KEY); INSERT INTO zone.t DEFAULT VALUES; GRANT SELECT ON zone.u TO reader;
        RESET SESSION AUTHORIZATION; CREATE TABLE v (id integer REFERENCES zone.t (id))";
    let change = "ALTER TABLE zone.t ADD x text; REVOKE SELECT ON zone.u FROM reader; ALTER TABLE v ADD x text; INSERT INTO v VALUES (1, 'a')";
    let variant = ["--use-set-session-authorization"];
    let states = states(&server, make, change, &variant);
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    server.run("postgres", "ALTER ROLE seller NOSUPERUSER");
    for (direction, at) in [(Direction::Forward, 1), (Direction::Reverse, 0)] {
        let patch = states.patch(direction);
        server.run("shop", &patch);
        assert_same_dump(&dump(&server, &variant), &states.dumps[at], "as others", &patch);
    }
}

#[test]
fn one_table_alone_is_made_or_dropped() {
    let server = server();
    let states = states(&server, TABLES, LATER, &[]);
    server.make_empty("shop");
    server.run("shop", &states.dumps[0]);
    let run = |arguments: &[&str]| {
        let (sql, told, code) = states.told(arguments);
        assert_eq!(code, Some(1), "{told}");
        let printed = server.run("shop", sql + "SHOW client_min_messages; SHOW check_function_bodies;");
        assert!(printed.ends_with("notice\non\n"), "what the dump sets holds in the transaction only: {printed}");
    };
    // Others refer to it, and stay.
    run(&["public.redefined"]);
    let more = "SELECT more FROM redefined WHERE id = 5";
    assert_eq!(server.run("shop", more), "1.50\n");
    let keys = "SELECT count(*) FROM pg_constraint WHERE conname = 'to_redefined' AND convalidated";
    assert_eq!(server.run("shop", keys), "1\n");
    run(&["public.new"]);
    assert_eq!(server.run("shop", "SELECT count(*) FROM new"), "2\n");
    // It refers to that.
    let (_, told, code) = states.told(&["heir", "--reverse"]);
    assert_eq!(code, Some(1), "{told}");
    let (_, told, code) = states.told(&["heir"]);
    assert!(code == Some(3) && told.contains("heir\" is not usable: it needs table public.new"), "{code:?} {told}");
}

fn named(table: u64) -> String {
    if table % 3 == 2 { format!("odd.\"T {table}\"") } else { format!("t{table}") }
}

/// Statements that make tables of any sort that refer to one another in any way. Those of the same number are often the same.
fn any_tables(seed: u64) -> String {
    let (mut made, mut added, mut filled) = (String::new(), String::new(), String::new());
    let mut own = Dice(seed * 0x51_7cc1 + 1);
    let tables: Vec<u64> = (0..9).filter(|_| own.roll(6) > 0).collect();
    for &table in &tables {
        // What differs between two seeds is the number of a variant.
        let mut dice = Dice(table * 0x9e_3779 + own.roll(2) * 0x61_0001 + 7);
        let name = named(table);
        let types = ["integer", "text DEFAULT 'a'", "numeric", "date", "text[]"];
        let columns: Vec<String> =
            types[..dice.roll(6) as usize].iter().zip(0..).map(|(it, at)| format!(", c{at} {it}")).collect();
        let id = ["integer NOT NULL", "serial NOT NULL", "integer GENERATED ALWAYS AS IDENTITY"][dice.roll(3) as usize];
        let columns = columns.concat();
        if dice.roll(4) == 0 {
            made +=
                &format!("CREATE TABLE {name} (id integer NOT NULL, up integer{columns}) PARTITION BY LIST (id);\n");
            for part in 1..=1 + dice.roll(3) {
                made += &format!("CREATE TABLE part_{table}_{part} PARTITION OF {name} FOR VALUES IN ({part});\n");
            }
            made += &format!("CREATE TABLE part_{table}_rest PARTITION OF {name} DEFAULT;\n");
        } else {
            made += &format!("CREATE TABLE {name} (id {id}, up integer{columns});\n");
        }
        // Rows come before what checks them; some are others each time.
        let always = if id.contains("ALWAYS") { "OVERRIDING SYSTEM VALUE" } else { "" };
        filled += &format!("INSERT INTO {name} (id) {always} SELECT i FROM generate_series(1, 5) i;\n");
        filled += &format!("UPDATE {name} SET up = {} WHERE id < 4;\n", 1 + own.roll(4));
        added += &format!("ALTER TABLE {name} ADD CONSTRAINT key_{table} PRIMARY KEY (id);\n");
        for at in 0..own.roll(3) {
            let to = named(tables[own.roll(tables.len() as u64) as usize]);
            added +=
                &format!("ALTER TABLE {name} ADD CONSTRAINT to_{table}_{at} FOREIGN KEY (up) REFERENCES {to} (id);#\n");
        }
        let more = [
            format!("CREATE INDEX by_{table} ON {name} (up DESC);"),
            format!("CREATE TRIGGER t BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION stamp();"),
            format!("COMMENT ON TABLE {name} IS 'seen'; COMMENT ON COLUMN {name}.up IS 'upward';"),
            format!("GRANT SELECT, UPDATE (up) ON {name} TO reader;"),
            format!("ALTER TABLE {name} OWNER TO seller;"),
            format!("CREATE POLICY p ON {name} USING (up > 0); ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"),
        ];
        added.extend(more.iter().filter(|_| own.roll(3) == 0).map(|it| format!("{it}\n")));
    }
    // Keys come before what refers to them.
    let (last, first): (Vec<&str>, Vec<&str>) = added.lines().partition(|line| line.ends_with('#'));
    let last = last.join("\n").replace('#', "");
    format!("{made}{filled}{}\n{last}\n", first.join("\n"))
}

#[test]
fn any_tables_become_any_others() {
    let server = server();
    let around =
        "CREATE SCHEMA odd; CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';\n";
    for seed in 1..SEEDS {
        let place = TestRepository::new();
        let dumps = [seed, seed + 1].map(|seed| {
            server.make_empty("shop");
            server.run("shop", format!("{around}{}", any_tables(seed)));
            dump(&server, &[])
        });
        let snapshots = dumps.each_ref().map(|dump| ingest(&place, dump));
        let states = States { place, snapshots, dumps };
        for arguments in [&[][..], &["--reverse"]] {
            let (_, told, code) = states.told(arguments);
            assert_eq!(code, Some(1), "{seed}: {told}");
        }
        states.assert_both_ways(&server, &[]);
    }
}
