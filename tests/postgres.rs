//! Stories of ingesting dumps of a real PostgreSQL: what a DBA finds in the snapshot, and what loads again.

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use support::dumped::{Dumped, command, escaped, in_database, kept_incomplete, options, reader};
use support::mounted::Stage;
use support::noise;
use support::postgres::{Postgres, content};
use support::repository::{TestRepository, now};
use support::stored::{assert_sound, chunk_starts, published_bytes};
use yesterfs::dump::postgres::{Event, PostgresDump};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpInput, DumpOptions};
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotStatus};
use yesterfs::store::pack::PackKind;

const HOSTILE: &str = include_str!("postgres/hostile.sql");

/// The databases that it makes.
const DATABASES: [&str; 2] = ["shop", "we/ird .%db 'n' \"q\""];

/// Dumps of one database do not name it.
fn of_shop(options: DumpOptions) -> DumpOptions {
    in_database(Some("shop"), options)
}

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_postgres(&place.repository, options, &now, &Recorder::default())
}

fn dumped(place: &TestRepository, options: DumpOptions) -> Dumped {
    Dumped::of(place, ingest(place, options).unwrap())
}

/// Schema and name of every table, foreign ones too.
fn tables_of(server: &Postgres, database: &str) -> BTreeSet<(String, String)> {
    let tables = "SELECT json_build_array(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^(pg_|information_schema)'";
    let pair = |line: &str| serde_json::from_str::<(String, String)>(line).unwrap();
    server.run(database, tables).lines().map(pair).collect()
}

/// The same as the snapshot has them, by their file names.
fn tables_in(found: &Dumped, database: &str) -> BTreeSet<(String, String)> {
    let mut tables = BTreeSet::new();
    for schema in found.names(database) {
        tables.extend(found.tables(&format!("{database}/{schema}")).into_iter().map(|table| (schema.clone(), table)));
    }
    tables
}

/// The file name of a schema. One of these is named as a directory beside those of schemas.
fn schema_directory(name: &str) -> String {
    if name == "_casts" { "%5Fcasts".into() } else { escaped(name) }
}

#[test]
fn a_dump_becomes_directories() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", HOSTILE);
    let report = ingest(&place, options(command(&server.dump_command("pg_dumpall", &[])))).unwrap();
    let found = Dumped::of(&place, report);
    found.assert_parts_are_the_dump(found.file("dump.sql"));
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Postgres, SnapshotStatus::Complete));

    for database in DATABASES {
        let tables = tables_of(&server, database);
        let files = tables.iter().map(|(schema, table)| (schema_directory(schema), escaped(table))).collect();
        assert_eq!(tables_in(&found, &escaped(database)), files, "{database}");
        for (schema, table) in tables {
            let own = format!("{}/{}/tables/{}", escaped(database), schema_directory(&schema), escaped(&table));
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let rows = found
                .parts()
                .into_iter()
                .filter(|(.., path)| path.starts_with(&format!("{own}/")))
                .map(|(_, rows, _)| rows);
            if table != "far" {
                let count = format!("SELECT COUNT(*) FROM ONLY {}.{}", quoted(&schema), quoted(&table));
                assert_eq!(rows.sum::<u64>().to_string(), server.run(database, count).trim(), "rows of {table}");
            }
        }
    }
    assert_everything_has_its_file(&found);
    assert_restores_name_what_they_need(&found);
    assert_private(&found);

    let fact = |name: &str| found.manifest.facts.get(name).map(String::as_str);
    let version = server.run("postgres", "SHOW server_version");
    assert_eq!(fact("server_version"), Some(version.trim()));
    assert!(fact("program").unwrap().starts_with("pg_dump "));
    assert_eq!((fact("character_set"), fact("tables")), (Some("UTF8"), Some("18")));
    let rows: u64 = found.parts().iter().map(|(_, rows, _)| rows).sum();
    assert_eq!(fact("rows"), Some(rows.to_string().as_str()));
    assert!(found.text("_meta/coordinates.json").contains("\"lsn\": null"));
    assert!(found.text("_meta/status.json").contains("\"status\": \"complete\""));
    assert_sound(&place.reopen().unwrap());
}

/// What some files hold.
const FILES: &[(&str, &[&str])] = &[
    ("shop/_database.sql", &["CREATE DATABASE shop", "COMMENT ON DATABASE shop", "ALTER ROLE alice IN DATABASE"]),
    (
        "shop/public/views/cheap.sql",
        &["CREATE VIEW", "OWNER TO alice", "ON COLUMN public.cheap.text", "INSTEAD OF", "GRANT"],
    ),
    ("shop/sales/views/sums.sql", &["CREATE MATERIALIZED VIEW", "CREATE UNIQUE INDEX", "REFRESH"]),
    (
        "shop/public/functions/total(integer).sql",
        &["CREATE AGGREGATE", "COMMENT ON AGGREGATE", "GRANT ALL ON FUNCTION"],
    ),
    ("shop/_large_objects.sql", &["lo_create('4711')", "COMMENT ON LARGE OBJECT", "lowrite", "GRANT SELECT ON LARGE"]),
    ("shop/public/types/positive.sql", &["CREATE DOMAIN", "ON DOMAIN", "GRANT ALL ON TYPE"]),
    ("_globals/roles.sql", &["CREATE ROLE alice", "SET work_mem"]),
    ("shop/sales/sequences/orders_id_seq.sql", &["setval('sales.orders_id_seq', 1006"]),
];

/// All else that has a name.
fn assert_everything_has_its_file(found: &Dumped) {
    let names = |folder: &str| found.names(folder);
    assert_eq!(names("_globals"), ["grants.sql", "roles.sql", "tablespaces.sql"]);
    assert_eq!(
        names("shop"),
        [
            "%5Fcasts",
            "_casts",
            "_database.sql",
            "_default_privileges.sql",
            "_event_triggers",
            "_extensions",
            "_foreign_data_wrappers",
            "_large_objects.sql",
            "_publications",
            "_servers",
            "odd%0A-- Name: x; Type: TABLE; Schema: y; Owner: z%0A\"name",
            "public",
            "sales",
        ]
    );
    assert_eq!(names("shop/_casts"), ["(public.mood AS integer).sql"]);
    assert_eq!(names("shop/_publications"), ["news.sql"]);
    assert_eq!(
        names("shop/public"),
        [
            "_index_attachments.sql",
            "collations",
            "conversions",
            "functions",
            "operator_families",
            "operators",
            "sequences",
            "tables",
            "text_search_configurations",
            "text_search_dictionaries",
            "types",
            "views",
        ]
    );
    assert_eq!(
        names("shop/public/functions"),
        [
            "atomic(a integer).sql",
            "changed().sql",
            "instead().sql",
            "mood_number(public.mood).sql",
            "proceed(INOUT a integer).sql",
            "same(integer, integer).sql",
            "total(integer).sql",
            "twice(VARIADIC numbers numeric[]).sql",
            "twice(number integer, text text).sql",
        ]
    );
    assert_eq!(names("shop/public/types"), ["mood.sql", "pair.sql", "positive.sql", "span.sql"]);
    assert_eq!(names("shop/public/operators"), ["=%2F=.sql"]);
    assert_eq!(names("shop/public/views"), ["cheap.sql", "view%2Fof view.sql"]);
    assert_eq!(names("shop/sales/views"), ["sums.sql"]);
    assert_eq!(names("shop/sales/tables/orders"), ["data.sql", "post.sql", "restore.sql", "schema.sql"]);
    assert_eq!(names("shop/public/tables/north"), ["attach.sql", "data.sql", "post.sql", "restore.sql", "schema.sql"]);
    for (path, texts) in FILES {
        let file = found.text(path);
        for text in *texts {
            assert!(file.contains(text), "{path} lacks {text}: {file}");
        }
    }
    assert!(found.paths().iter().all(|path| !path.ends_with("_other.sql")), "{:?}", found.paths());
}

/// What a table needs is told, and nothing goes elsewhere or tells what only one dump knows.
fn assert_restores_name_what_they_need(found: &Dumped) {
    let restore = |table: &str| found.text(&format!("shop/{table}/restore.sql"));
    let customers = restore("public/tables/customers");
    for line in [
        "-- Loads one table",
        "-- It needs \"public\".\"mood\"\n",
        "-- It needs \"public\".\"pair\"\n",
        "-- It needs sequence \"public\".\"numbers\"\n",
        "\nCREATE SEQUENCE public.customers_id_seq\n",
        "\nSELECT pg_catalog.setval('public.customers_id_seq', 23, true);\n",
    ] {
        assert!(customers.contains(line), "no {line} in {}", &customers[..1000]);
    }
    assert!(!customers.contains("sequence \"public\".\"customers_id_seq\""));
    let orders = restore("sales/tables/orders");
    for line in [
        "-- It refers to table \"public\".\"customers\"\n",
        "-- It needs function \"sales\".\"stamp\"\n",
        "-- It needs role \"alice\"\n",
        "-- It needs role \"readers\"\n",
        "-- It needs role \"Bob; Type: TABLE\"\n",
        "\nCREATE SCHEMA IF NOT EXISTS \"sales\";\n",
        "\nSET default_tablespace = '';\n",
    ] {
        assert!(orders.contains(line), "no {line} in {}", &orders[..1000]);
    }
    let placed = restore("public/tables/placed");
    assert_eq!(placed.matches("\nSET default_tablespace = fast;\n").count(), 2, "{placed}");
    let large = restore("public/tables/large");
    let needed: Vec<&str> = large.lines().filter(|line| line.starts_with("-- It needs")).collect();
    assert_eq!(needed, ["-- It needs role \"postgres\""]);
    assert!(restore("public/tables/north").contains("-- It is part of another table"));
    assert!(!restore("public/tables/north").contains("ATTACH"));
    for path in found.paths().iter().filter(|path| path.ends_with("/restore.sql")) {
        let text = String::from_utf8_lossy(found.file(path));
        // One table's rows have such a line.
        let is_customers = path.contains("customers");
        for word in ["\n\\connect", "CREATE DATABASE", "restrict "] {
            assert!(!text.contains(word) || is_customers, "{path} holds {word}");
        }
    }
}

fn assert_private(found: &Dumped) {
    let permissions = |path: &str| found.tree[path.as_bytes()].0.permissions;
    assert_eq!(
        (permissions(""), permissions("shop/sales/tables/orders"), permissions("dump.sql")),
        (0o700, 0o700, 0o600)
    );
    assert_eq!(permissions("shop/sales/tables/orders/restore.sql"), 0o600);
}

/// What a dump with some options is good for.
#[derive(Clone, Copy, PartialEq)]
enum Restores {
    /// What these options of `pg_dump` show is as it was.
    All(&'static [&'static str]),
    /// Its rows are.
    Rows,
    Nothing,
}

/// A program, and options that change what its dump looks like.
type Variant = (&'static str, &'static [&'static str], Restores);

const VARIANTS: [Variant; 31] = [
    ("pg_dump", &[], Restores::All(&[])),
    ("pg_dump", &["--inserts"], Restores::All(&[])),
    ("pg_dump", &["--column-inserts"], Restores::All(&[])),
    ("pg_dump", &["--rows-per-insert=7"], Restores::All(&[])),
    ("pg_dump", &["--inserts", "--on-conflict-do-nothing"], Restores::All(&[])),
    ("pg_dump", &["--clean", "--if-exists"], Restores::All(&[])),
    ("pg_dump", &["--clean"], Restores::All(&[])),
    ("pg_dump", &["--create"], Restores::All(&[])),
    ("pg_dump", &["--clean", "--if-exists", "--create"], Restores::All(&[])),
    ("pg_dump", &["--no-comments"], Restores::All(&["--no-comments"])),
    ("pg_dump", &["--no-owner", "--no-privileges"], Restores::All(&["--no-owner", "--no-privileges"])),
    ("pg_dump", &["--use-set-session-authorization"], Restores::Nothing),
    ("pg_dump", &["--quote-all-identifiers"], Restores::All(&[])),
    ("pg_dump", &["--disable-dollar-quoting", "--verbose"], Restores::All(&[])),
    // Rows that come by way of a table's parts need these.
    ("pg_dump", &["--load-via-partition-root", "--no-tablespaces"], Restores::Nothing),
    ("pg_dump", &["--schema-only"], Restores::All(&["--schema-only"])),
    ("pg_dump", &["-T", "public.large"], Restores::All(&["-T", "public.large"])),
    ("pg_dump", &["--data-only"], Restores::Rows),
    ("pg_dump", &["--data-only", "--disable-triggers", "--superuser=postgres"], Restores::Rows),
    ("pg_dump", &["--data-only", "--column-inserts"], Restores::Rows),
    ("pg_dump", &["--section=pre-data"], Restores::Nothing),
    ("pg_dump", &["--section=data"], Restores::Nothing),
    ("pg_dump", &["--section=post-data"], Restores::Nothing),
    ("pg_dump", &["-Fc"], Restores::All(&[])),
    ("pg_dump", &["-Ft"], Restores::All(&[])),
    ("pg_dump", &["-Fd", "-Z0"], Restores::All(&[])),
    ("pg_dumpall", &[], Restores::All(&[])),
    ("pg_dumpall", &["--clean", "--if-exists"], Restores::All(&[])),
    ("pg_dumpall", &["--inserts", "--no-role-passwords"], Restores::All(&[])),
    ("pg_dumpall", &["--globals-only"], Restores::Nothing),
    ("pg_dumpall", &["--roles-only", "--clean"], Restores::Nothing),
];

/// The same for what version 18 writes otherwise.
const VARIANTS_OF_18: [Variant; 7] = [
    ("pg_dump", &[], Restores::All(&[])),
    ("pg_dump", &["--rows-per-insert=3", "--quote-all-identifiers"], Restores::All(&[])),
    ("pg_dump", &["--statistics"], Restores::All(&[])),
    ("pg_dump", &["--clean", "--if-exists", "--create"], Restores::All(&[])),
    ("pg_dump", &["-Fc"], Restores::All(&[])),
    ("pg_dump", &["-Fd"], Restores::All(&[])),
    ("pg_dumpall", &["--restrict-key=same"], Restores::All(&[])),
];

#[test]
fn every_table_of_every_variant_restores_into_another_database() {
    assert_tables_restore(&Postgres::start(), &VARIANTS);
}

#[test]
fn every_table_that_version_18_dumps_restores_too() {
    assert_tables_restore(&Postgres::start_18(), &VARIANTS_OF_18);
}

fn assert_tables_restore(server: &Postgres, variants: &[Variant]) {
    server.run("postgres", HOSTILE);
    for &(program, arguments, restores) in variants {
        let place = TestRepository::new();
        let database: &[&str] = if program == "pg_dump" { &["shop"] } else { &[] };
        let found = if arguments.contains(&"-Fd") {
            let path = server.new_path("dump");
            server.dump(program, &[arguments, &["-f", path.to_str().unwrap()], database].concat());
            dumped(&place, of_shop(options(StreamInput::File(path))))
        } else {
            let dump = server.dump(program, &[arguments, database].concat());
            let found = dumped(&place, of_shop(options(reader(&dump))));
            // Of an archive it is the text that is made of it.
            let is_archive = arguments.iter().any(|argument| argument.starts_with("-F"));
            assert!(is_archive || found.file("dump.sql") == dump, "dump.sql is another one");
            found
        };
        found.assert_parts_are_the_dump(found.file("dump.sql"));
        assert_eq!(found.manifest.status, SnapshotStatus::Complete, "{program} {arguments:?}");
        if arguments == ["--use-set-session-authorization"] {
            // Alice may not do there what she did here; but it is she who does it.
            let orders = found.text("shop/sales/tables/orders/restore.sql");
            let begins = |who: &str| orders.find(&format!("\nSET SESSION AUTHORIZATION '{who}';\n"));
            assert!(begins("alice").unwrap() < orders.find("\nCREATE TABLE").unwrap(), "{orders}");
        }
        let (Restores::All(_) | Restores::Rows) = restores else { continue };
        restore_and_compare(server, &found, arguments, restores);
    }
}

#[test]
fn rows_that_come_by_way_of_a_table_load_once_its_parts_are_there() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run(
        "shop",
        "CREATE TABLE parent (id integer, area text) PARTITION BY LIST (area);
         CREATE TABLE north PARTITION OF parent FOR VALUES IN ('north');
         INSERT INTO parent VALUES (1, 'north'), (2, 'north')",
    );
    let dump = server.dump("pg_dump", &["--load-via-partition-root", "shop"]);
    let found = dumped(&place, of_shop(options(reader(&dump))));
    let file = |path: &str| format!("{SETTINGS}{}", found.text(&format!("shop/public/tables/{path}")));
    assert!(file("parent/data.sql").contains("\n1\tnorth\n2\tnorth\n"), "{:?}", found.paths());
    server.make_empty("restored");
    for path in ["parent/schema.sql", "north/restore.sql", "north/attach.sql"] {
        server.run("restored", file(path));
    }
    assert_eq!(server.run("restored", "SELECT count(*) FROM north").trim(), "0");
    server.run("restored", file("parent/data.sql"));
    assert_eq!(server.run("restored", "SELECT sum(id) FROM north").trim(), "3");
}

/// What is loaded before the tables: whatever they may need.
fn is_needed_by_tables(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap();
    let in_schema = ["/types/", "/functions/", "/collations/", "/operators/", "/sequences/"];
    file == "_schema.sql"
        || in_schema.iter().any(|directory| path.contains(directory))
        || ["/_extensions/", "/_casts/", "/_foreign_data_wrappers/", "/_servers/"].iter().any(|it| path.contains(it))
}

/// What other databases have already, and what makes room for what is made.
fn is_of_the_original(path: &str) -> bool {
    !path.starts_with("shop/") || path.ends_with("/_database.sql") || path.ends_with("/_drop.sql")
}

/// Loads what tables need, each table's `restore.sql`, and then all that is left, into a database of another name, and
/// compares it with the original.
fn restore_and_compare(server: &Postgres, found: &Dumped, arguments: &[&str], restores: Restores) {
    server.make_empty("restored");
    if restores == Restores::Rows {
        server.run("restored", server.dump("pg_dump", &["--section=pre-data", "--no-blobs", "shop"]));
    }
    let tables: Vec<String> = found.paths().into_iter().filter(|path| is_restore_of_shop(path)).collect();
    assert!(tables.len() > 10, "{arguments:?}: {tables:?}");
    let restores_of_tables: String = tables.iter().map(|path| found.text(path)).collect();
    // Each part in its turn, without those that came with a table.
    let (mut first, mut last) = (SETTINGS.to_string(), SETTINGS.to_string());
    let mut taken = std::collections::BTreeMap::new();
    for (length, _, path) in found.parts() {
        let start: &mut usize = taken.entry(path.clone()).or_default();
        let part = String::from_utf8_lossy(&found.file(&path)[*start..*start + length]).into_owned();
        *start += length;
        let came_along = path.contains("/tables/") && !path.ends_with("/attach.sql");
        let is_owned = path.contains("/sequences/") && restores_of_tables.contains(&part);
        if is_of_the_original(&path) || came_along || is_owned {
            continue;
        }
        if is_needed_by_tables(&path) { &mut first } else { &mut last }.push_str(&part);
    }
    server.run("restored", first);
    load_in_order(server, found, tables);
    server.run("restored", last);
    if restores == Restores::Rows {
        server.run("restored", server.dump("pg_dump", &["--section=post-data", "shop"]));
    }
    let compared = match restores {
        Restores::All(options) => options,
        Restores::Rows | Restores::Nothing => &["--data-only"],
    };
    let (original, copy) = (content(server, "shop", compared), content(server, "restored", compared));
    let differing = original.lines().zip(copy.lines()).find(|(a, b)| a != b);
    assert!(original == copy, "{arguments:?}: something came back as another one: {differing:?}");
}

const SETTINGS: &str = "SET check_function_bodies = false;\nSET client_min_messages = warning;\n\
                        SELECT pg_catalog.set_config('search_path', '', false);\n";

fn is_restore_of_shop(path: &str) -> bool {
    path.starts_with("shop/") && path.ends_with("/restore.sql") && path.split('/').count() == 5
}

/// Loads tables, those first that others refer to.
fn load_in_order(server: &Postgres, found: &Dumped, mut tables: Vec<String>) {
    let name = |path: &str| {
        let mut names = path.split('/').skip(1);
        (names.next().unwrap().to_string(), names.nth(1).unwrap().to_string())
    };
    while !tables.is_empty() {
        let waiting: BTreeSet<_> = tables.iter().map(|path| name(path)).collect();
        let (ready, rest): (Vec<_>, Vec<_>) = tables.into_iter().partition(|path| {
            let text = found.text(path);
            let referred = text.lines().filter_map(|line| line.strip_prefix("-- It refers to table "));
            referred.into_iter().all(|line| {
                let (schema, table) = line.split_once("\".\"").unwrap();
                !waiting.contains(&(schema[1..].to_string(), table.trim_end_matches('"').to_string()))
            })
        });
        assert!(!ready.is_empty(), "tables wait for each other: {rest:?}");
        for path in &ready {
            server.run("restored", found.file(path));
        }
        tables = rest;
    }
}

#[test]
fn a_dump_is_the_same_in_whatever_pieces_it_comes_and_has_parts_wherever_it_ends() {
    let server = Postgres::start();
    server.run("postgres", HOSTILE);
    let dump = server.dump("pg_dumpall", &["--rows-per-insert=50", "--clean"]);
    let read = |dump: &[u8], length: usize| {
        let (mut reader, mut events) = (PostgresDump::default(), Vec::new());
        dump.chunks(length).for_each(|piece| reader.push(piece, &mut |event| events.push(event)));
        let facts = reader.finish(&mut |event| events.push(event));
        (events, facts)
    };
    let whole = read(&dump, dump.len());
    for length in [1, 2, 95, 96, 97, 4096] {
        assert!(read(&dump, length) == whole, "in pieces of {length} bytes");
    }
    let starts = |events: &[Event]| {
        let start = |event: &Event| if let Event::Part(part) = event { Some(part.start) } else { None };
        events.iter().filter_map(start).collect::<Vec<u64>>()
    };
    for end in (1..dump.len()).step_by(dump.len() / 500) {
        let (events, _) = read(&dump[..end], end);
        let found = starts(&events);
        assert!(found[0] == 0 && found.is_sorted() && found.iter().all(|&start| start < end as u64), "up to {end}");
        // The last part may be another one as long as its statement has not ended.
        let known = starts(&whole.0);
        assert!(found[..found.len() - 1].iter().all(|start| known.contains(start)), "up to {end}");
    }
}

#[test]
fn a_dump_that_is_cut_anywhere_has_parts_that_are_it() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", HOSTILE);
    server.run("shop", "DELETE FROM public.large WHERE id > 20; SELECT pg_catalog.lo_unlink(4712)");
    let dump = server.dump("pg_dumpall", &["--clean", "--if-exists"]);
    let cuts = dumped(&place, options(reader(&dump))).cuts();
    assert!(cuts.len() > 100, "{cuts:?}");
    for &cut in &cuts {
        let report = ingest(&place, kept_incomplete(options(reader(&dump[..cut])))).unwrap();
        let found = Dumped::of(&place, report);
        found.assert_parts_are_the_dump(&dump[..cut]);
        assert_eq!(found.manifest.status, SnapshotStatus::Incomplete, "{cut} of {} bytes", dump.len());
    }
}

#[test]
fn all_parts_in_order_load() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", HOSTILE);
    let found = dumped(&place, options(command(&server.dump_command("pg_dumpall", &["--clean", "--if-exists"]))));
    let mut taken = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for (length, _, path) in found.parts() {
        let start: &mut usize = taken.entry(path.clone()).or_default();
        all.extend_from_slice(&found.file(&path)[*start..*start + length]);
        *start += length;
    }
    let before = DATABASES.map(|database| content(&server, database, &[]));
    server.run("shop", "DROP TABLE public.large");
    // The role of the session, and the databases of the system, cannot be dropped.
    let errors = server.errors("postgres", all);
    assert!(
        errors.iter().all(|error| error.contains("current user") || error.contains("\"postgres\" already")),
        "{errors:?}"
    );
    assert!(DATABASES.map(|database| content(&server, database, &[])) == before);
}

#[test]
fn an_incomplete_dump_makes_no_snapshot_unless_it_is_to_be_kept() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE a (x integer); INSERT INTO a VALUES (1), (2); CREATE TABLE b (y text)");
    for program in ["pg_dump", "pg_dumpall"] {
        let arguments: &[&str] = if program == "pg_dump" { &["shop"] } else { &[] };
        let dump = server.dump(program, arguments);
        let last_words: &[u8] = if program == "pg_dump" { b"\n\\unrestrict " } else { b"cluster dump complete" };
        let whole = dump.trim_ascii_end().len();
        let end = dump.windows(last_words.len()).rposition(|it| it == last_words).unwrap() + last_words.len();
        let status =
            |length: usize| ingest(&place, options(reader(&dump[..length]))).map(|it| it.snapshot.manifest.status);
        for length in (1..end - 1).step_by(37).chain([end - 1]) {
            let refused = status(length);
            assert!(matches!(refused, Err(Error::Incomplete { .. })), "{program}: {length} of {}", dump.len());
        }
        assert_eq!(status(whole).unwrap(), SnapshotStatus::Complete);
    }
    // What another server's program prints.
    let other = b"-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\n-- Dump completed\n";
    let refused = ingest(&place, options(reader(other))).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("MariaDB"), "{refused}");
    // What is no dump at all.
    for bytes in
        [[b"INSERT INTO a VALUES ('", &b"x".repeat(40 << 20)[..]].concat(), noise(7, 3 << 20), b"words\n".to_vec()]
    {
        let refused = ingest(&place, options(reader(&bytes))).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("incomplete") && refused.contains("within a statement"), "{refused}");
    }
    let dump = server.dump("pg_dump", &["shop"]);
    let more = [&dump[..], b"INSERT INTO a VALUES (3);\n"].concat();
    assert!(matches!(ingest(&place, options(reader(&more))), Err(Error::Incomplete { .. })));
    let failing = server.dump_command("pg_dump", &["missing"]);
    assert!(matches!(ingest(&place, options(command(&failing))), Err(Error::Command { .. })));
    // What is not in the rows of a table, and what is.
    let half = &dump[..dump.windows(3).position(|it| it == b"\n2\n").unwrap()];
    let kept = ingest(&place, kept_incomplete(of_shop(options(reader(half))))).unwrap();
    assert_eq!(kept.snapshot.manifest.status, SnapshotStatus::Incomplete);
    let found = Dumped::of(&place, kept);
    found.assert_parts_are_the_dump(half);
    assert!(found.manifest.facts["status_reason"].contains("rows of a table"), "{:?}", found.manifest.facts);
    assert!(found.text("shop/public/tables/a/data.sql").ends_with("\n1"));
}

#[test]
fn a_dump_that_names_no_database_gets_one() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE a (x integer)");
    let (unnamed, named) = (server.dump("pg_dump", &["shop"]), server.dump("pg_dump", &["--create", "shop"]));
    for (dump, database, expected) in [
        (&unnamed, None, "fallback"),
        (&unnamed, Some("other"), "other"),
        (&unnamed, Some("_meta"), "%5Fmeta"),
        (&named, None, "shop"),
        (&named, Some("other"), "shop"),
    ] {
        let found = dumped(&place, in_database(database, options(reader(dump))));
        found.file(&format!("{expected}/public/tables/a/schema.sql"));
    }
}

#[test]
fn a_changed_dump_costs_what_changed() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run("postgres", HOSTILE);
    let ingested = || {
        let report = ingest(&place, of_shop(options(command(&server.dump_command("pg_dump", &["shop"]))))).unwrap();
        let stored = report.snapshot.manifest.bytes_stored;
        (Dumped::of(&place, report), stored)
    };
    let (first, first_bytes) = ingested();
    // Other tokens for psql.
    let (_, same_bytes) = ingested();
    // One row in a hundred of the large table: PostgreSQL writes them elsewhere.
    server.run(
        "shop",
        "UPDATE public.large SET text = reverse(text) WHERE id % 100 = 7; UPDATE public.vacant SET id = 9",
    );
    let (second, changed_bytes) = ingested();
    println!("first {first_bytes}, again {same_bytes}, changed {changed_bytes} bytes");
    assert!(same_bytes < 8 << 10, "the same again took {same_bytes} bytes");
    assert!(changed_bytes < first_bytes / 20, "{changed_bytes} of {first_bytes} bytes for what changed");
    let time = |dumped: &Dumped, path: &str| dumped.tree[path.as_bytes()].0.modified;
    for path in ["shop/sales/tables/orders", "shop/sales", "shop/public/functions/changed().sql"] {
        assert_eq!(time(&first, path), time(&second, path), "{path} did not change");
    }
    for path in ["shop/public/tables/large/data.sql", "shop/public/tables/large/restore.sql", "dump.sql", "shop"] {
        assert_ne!(time(&first, path), time(&second, path), "{path} changed");
    }
}

#[test]
fn a_dba_restores_one_table_from_the_mount() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", HOSTILE);
    let words = server.dump_command("pg_dump", &["shop"]);
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    stage.succeed(&[&["ingest", "postgres", "--source", "shop", "--database", "shop", "--"], &words[..]].concat());
    let table = ["-t", "public.large"];
    let before = content(&server, "shop", &table);
    server.run("shop", "DELETE FROM public.large WHERE id > 100; ALTER TABLE public.large DROP CONSTRAINT large_pkey");
    server.make_empty("shop_restored");

    let mount = stage.mount();
    let snapshot = mount.path("snapshots/shop/latest");
    server.load("shop_restored", &snapshot.join("shop/public/tables/large/restore.sql"));
    assert!(content(&server, "shop_restored", &table) == before);
    // A table in a schema that the database does not have yet.
    let other = "shop/%5Fcasts/tables/Ünï 世界/restore.sql";
    server.load("shop_restored", &snapshot.join(other));
    let sum = "SELECT sum(\"Größe\"), nextval('\"_casts\".\"Ünï 世界_id_seq\"') FROM \"_casts\".\"Ünï 世界\"";
    assert_eq!(server.run("shop_restored", sum), server.run("shop", sum));
    // Facts of the dump can be asked of the snapshot's directory.
    let mut ask = Command::new("getfattr");
    ask.args(["--only-values", "-n", "user.yesterfs.server_version"]).arg(&snapshot);
    let answer = ask.stderr(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), server.run("postgres", "SHOW server_version").trim());
    let shown = stage.succeed(&["show", "shop", "--json"]);
    assert!(shown.contains("\"kind\":\"postgres\"") && shown.contains("\"server_version\""), "{shown}");
}

#[test]
fn many_small_tables_cost_little_more_than_their_dump() {
    const TABLES: u64 = 20_000;
    let place = TestRepository::new();
    let dump = made_dump(TABLES);
    let spec = StreamSpec { name: "dump.sql".into(), input: reader(&dump) };
    let common = IngestOptions { source: "unsplit".into(), ..options(reader(b"")).common };
    let unsplit = StreamOptions { common, streams: vec![spec], expect_end: None, threads: 2 };
    ingest_streams(&place.repository, unsplit, &now, &Recorder::default()).unwrap();
    let chunks = published_bytes(&place.repository, PackKind::Data);
    let unsplit_bytes = place.stored_bytes();
    let place = TestRepository::new();
    let split = ingest(&place, options(reader(&dump))).unwrap().snapshot.manifest.clone();
    assert!(split.facts["tables"] == TABLES.to_string() && split.files == TABLES * 5 + 7, "{} files", split.files);
    let [data, pages] = [PackKind::Data, PackKind::Pages].map(|kind| published_bytes(&place.repository, kind));
    println!("chunks of the unsplit dump of {} bytes {chunks}, of the split one {data}, pages {pages}", dump.len());
    let bytes = place.stored_bytes();
    println!("the repository of the unsplit dump {unsplit_bytes}, of the split one {bytes}");
    assert!(bytes * 10 <= unsplit_bytes * 12);
    // The files of each table are told by what differs from the table before.
    assert!(pages < TABLES * 40, "{} bytes of pages a table", pages / TABLES);
    // One row of one table: nothing else is told again.
    let row = dump.windows(10).position(|it| it == b"\n1\t17777-0").unwrap() + 3;
    let mut changed = dump.clone();
    changed[row] = b'x';
    let again = ingest(&place, options(reader(&changed))).unwrap().snapshot.manifest.clone();
    println!("again with another row: {} bytes", again.bytes_stored);
    assert!(again.bytes_stored < 8 << 10, "{} bytes for one row", again.bytes_stored);
}

/// A dump of so many tables, each with a sequence, two rows and a key, in the words of `pg_dump`.
fn made_dump(tables: u64) -> Vec<u8> {
    use std::fmt::Write as _;
    let title = |dump: &mut String, start: &str, name: &str, kind: &str| {
        let _ = write!(dump, "--\n-- {start}: {name}; Type: {kind}; Schema: public; Owner: postgres\n--\n\n");
    };
    let mut dump = String::from(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\n\n\
         SET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
         SET default_tablespace = '';\n\n",
    );
    for table in 0..tables {
        let (name, sequence) = (format!("t{table:06}"), format!("t{table:06}_id_seq"));
        title(&mut dump, "Name", &name, "TABLE");
        let _ = write!(dump, "CREATE TABLE public.{name} (\n    id integer NOT NULL,\n    name text\n);\n\n\n");
        let _ = write!(dump, "ALTER TABLE public.{name} OWNER TO postgres;\n\n");
        title(&mut dump, "Name", &sequence, "SEQUENCE");
        let _ = write!(dump, "CREATE SEQUENCE public.{sequence}\n    AS integer\n    START WITH 1;\n\n\n");
        title(&mut dump, "Name", &sequence, "SEQUENCE OWNED BY");
        let _ = write!(dump, "ALTER SEQUENCE public.{sequence} OWNED BY public.{name}.id;\n\n\n");
    }
    for table in 0..tables {
        title(&mut dump, "Name", &format!("t{table:06} id"), "DEFAULT");
        let default = format!("SET DEFAULT nextval('public.t{table:06}_id_seq'::regclass)");
        let _ = write!(dump, "ALTER TABLE ONLY public.t{table:06} ALTER COLUMN id {default};\n\n\n");
    }
    let noise = |row: u64| (row ^ 0x5555_5555_5555_5555).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for table in 0..tables {
        title(&mut dump, "Data for Name", &format!("t{table:06}"), "TABLE DATA");
        let (first, second) = (noise(table), noise(noise(table)));
        let rows = format!("1\t{table}-0{first:016x}\n2\t{second:016x}");
        let _ = write!(dump, "COPY public.t{table:06} (id, name) FROM stdin;\n{rows}\n\\.\n\n\n");
    }
    for table in 0..tables {
        title(&mut dump, "Name", &format!("t{table:06}_id_seq"), "SEQUENCE SET");
        let _ = write!(dump, "SELECT pg_catalog.setval('public.t{table:06}_id_seq', 2, true);\n\n\n");
    }
    for table in 0..tables {
        let key = format!("t{table:06}_pkey");
        title(&mut dump, "Name", &format!("t{table:06} {key}"), "CONSTRAINT");
        let _ = write!(dump, "ALTER TABLE ONLY public.t{table:06}\n    ADD CONSTRAINT {key} PRIMARY KEY (id);\n\n\n");
    }
    dump.push_str("--\n-- PostgreSQL database dump complete\n--\n\n");
    dump.into_bytes()
}

/// The rows of so many tables, each of so many rows, in the words of `pg_dump`.
fn made_rows(tables: u64, rows: u64) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut dump = String::from("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n");
    for table in 0..tables {
        let title =
            format!("--\n-- Data for Name: t{table}; Type: TABLE DATA; Schema: public; Owner: postgres\n--\n\n");
        let _ = writeln!(dump, "{title}COPY public.t{table} (id, name) FROM stdin;");
        for row in 0..rows {
            let noise = (table * rows + row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let _ = writeln!(dump, "{row}\t{noise:016x}{:016x}", noise.reverse_bits());
        }
        dump.push_str("\\.\n\n\n");
    }
    dump.push_str("--\n-- PostgreSQL database dump complete\n--\n\n");
    dump.into_bytes()
}

#[test]
fn chunks_begin_where_tables_and_rows_do() {
    let place = TestRepository::new();
    let dump = made_rows(5, 3000);
    let found = dumped(&place, of_shop(options(reader(&dump))));
    let starts = chunk_starts(&place.repository, found.tree[&b"dump.sql"[..]].0.content().unwrap()).unwrap();
    let tables = starts.iter().filter(|&&start| dump[start..].starts_with(b"--\n-- Data for Name")).count();
    // The first table's chunk begins with the header.
    assert_eq!(tables, 4, "chunks begin at {starts:?}");
    let within = starts[1..].iter().filter(|&&start| dump[start - 1] != b'\n').count();
    assert!(starts.len() > 20 && within == 0, "{within} of {} chunks begin within rows", starts.len());
}

#[test]
fn dumps_of_several_databases_make_one_snapshot() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    let input = |name: &str| {
        server.run("postgres", format!("CREATE DATABASE {name}"));
        server.run(name, "CREATE SCHEMA s; CREATE TABLE s.a (x serial, y text); CREATE VIEW v AS SELECT x FROM s.a");
        server.run(name, format!("INSERT INTO s.a (y) VALUES ('of {name}')"));
        let input = reader(&server.dump("pg_dump", &[name]));
        DumpInput { name: Some(format!("{name}.sql")), input, fallback_database: name.into() }
    };
    let inputs = vec![input("north"), input("south")];
    let found = dumped(&place, DumpOptions { inputs, ..options(reader(b"")) });
    assert_eq!(found.manifest.status, SnapshotStatus::Complete);
    found.assert_parts_are_the_dump(found.file("dump.sql"));
    for name in ["north", "south"] {
        server.run("postgres", format!("CREATE DATABASE again_{name}"));
        let again = format!("again_{name}");
        server.run(&again, found.text(&format!("{name}/s/tables/a/restore.sql")));
        assert_eq!(
            server.run(&again, "INSERT INTO s.a DEFAULT VALUES; SELECT x, y FROM s.a").trim(),
            format!("1|of {name}\n2|")
        );
    }
    let inputs = vec![input("east"), input("west")];
    let one = DumpOptions { inputs, ..in_database(Some("x"), options(reader(b""))) };
    let refused = ingest(&place, one);
    assert!(matches!(&refused, Err(Error::Invalid { value, .. }) if value == "x"), "{refused:?}");
}
