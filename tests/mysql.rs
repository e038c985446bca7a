//! Stories of ingesting dumps of a real MariaDB: what a DBA finds in the snapshot, and what loads again.

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use support::dumped::{Dumped, command, escaped, in_database, kept_incomplete, options, reader};
use support::mariadb::MariaDb;
use support::mounted::{Stage, within};
use support::noise;
use support::repository::{TestRepository, now};
use support::stored::{assert_sound, chunk_starts, published_bytes, stored_tree};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::DumpOptions;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::{SnapshotKind, SnapshotSpec, SnapshotStatus};
use yesterfs::store::pack::PackKind;

const HOSTILE: &str = include_str!("mysql/hostile.sql");

/// The databases that it makes.
const DATABASES: [&str; 2] = ["shop", "we/ird .%d`b"];

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_mysql(&place.repository, options, &now, &Recorder::default())
}

fn dumped(place: &TestRepository, input: StreamInput) -> Dumped {
    Dumped::of(place, ingest(place, options(input)).unwrap())
}

/// Names from a query; line breaks in them come as `\n`.
fn names(server: &MariaDb, query: &str) -> Vec<String> {
    server.run("", query).lines().map(|line| line.replace("\\n", "\n")).collect()
}

fn tables_of(server: &MariaDb, database: &str) -> Vec<String> {
    let kind = "table_type = 'BASE TABLE'";
    names(
        server,
        &format!("SELECT table_name FROM information_schema.tables WHERE {kind} AND table_schema = '{database}'"),
    )
}

/// What tells the content of tables: a dump of them, without names of databases and dates.
fn content(server: &MariaDb, database: &str, tables: &[&str], options: &[&str]) -> String {
    let dump =
        server.dump(&[&["--skip-comments", "--hex-blob", "--order-by-primary"], options, &[database], tables].concat());
    String::from_utf8_lossy(&dump).into_owned()
}

#[test]
fn a_dump_becomes_directories() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", HOSTILE);
    let arguments = ["--routines", "--events", "--master-data=2", "--gtid", "--skip-dump-date", "--databases"];
    let arguments = [&arguments[..], &DATABASES].concat();
    let found = dumped(&place, command(&server.dump_command(&arguments)));
    found.assert_parts_are_the_dump(&server.dump(&arguments));
    assert_eq!((found.manifest.kind, found.manifest.status), (SnapshotKind::Mysql, SnapshotStatus::Complete));

    // Every table, with its rows, and with triggers where it has some.
    for database in DATABASES {
        let tables = tables_of(&server, database);
        let folder = escaped(database);
        assert_eq!(found.tables(&folder), tables.iter().map(|name| escaped(name)).collect(), "{database}");
        let triggers = format!(
            "SELECT DISTINCT event_object_table FROM information_schema.triggers WHERE trigger_schema = '{database}'"
        );
        let with_triggers = names(&server, &triggers);
        for table in tables {
            let own = format!("{folder}/tables/{}", escaped(&table));
            let count = server.run(database, format!("SELECT COUNT(*) FROM `{}`", table.replace('`', "``")));
            let data = found.parts().into_iter().find(|(.., path)| *path == format!("{own}/data.sql")).unwrap();
            assert_eq!(data.1.to_string(), count.trim(), "rows of {table}");
            let has_triggers = found.paths().contains(&format!("{own}/triggers.sql"));
            assert_eq!(has_triggers, with_triggers.contains(&table), "triggers of {table}");
        }
    }
    // All else that has a name.
    let procedure = "pro`cedure's \"%2F%0ADELIMITER ;%0A;;.sql";
    for (folder, files) in [
        ("routines/procedures", &["backslash.sql", "liar.sql", procedure][..]),
        ("routines/functions", &["fun`ction's \"%2F%0A;;.sql", "quo\"ted.sql", "twice.sql"]),
        ("routines/packages", &["pack.sql"]),
        ("routines/package-bodies", &["pack.sql"]),
        ("events", &["daily.sql", "e`vent's \"%2F%0ADELIMITER ;.sql", "other event.sql"]),
        ("sequences", &["numbers.sql", "se`quence's \"%2F%0A;.sql"]),
        ("views", &["a_view", "vi`ew's \"%2F%0A-- Dump completed on 2020-01-01%0A;", "view%2Fof view"]),
        ("views/vi`ew's \"%2F%0A-- Dump completed on 2020-01-01%0A;", &["stub.sql", "view.sql"]),
    ] {
        assert_eq!(found.names(&format!("shop/{folder}")), files, "{folder}");
    }
    assert!(found.text("shop/tables/orders/triggers.sql").contains("TRIGGER `tri``gger's \"/\n;;` AFTER"));
    assert!(
        found.text("shop/routines/procedures/liar.sql").contains("-- Dump completed on 2020-01-01\n;;\nDELIMITER ;\n")
    );

    assert_restores_name_what_they_need(&found);
    assert_private(&found);

    // Where the binary log stood.
    let status = server.run("", "SHOW MASTER STATUS");
    let (file, position) = (status.split('\t').next().unwrap(), status.split('\t').nth(1).unwrap());
    let gtid = server.run("", "SELECT @@gtid_binlog_pos");
    let fact = |name: &str| found.manifest.facts.get(name).map(String::as_str);
    assert_eq!((fact("binlog_file"), fact("binlog_position")), (Some(file), Some(position)));
    assert_eq!((fact("gtid"), fact("coordinates_of")), (Some(gtid.trim()), Some("server")));
    assert!(fact("server_version").unwrap().starts_with(server.run("", "SELECT @@version").trim()));
    assert_eq!((fact("character_set"), fact("tables")), (Some("utf8mb4"), Some("13")));
    let rows: u64 = found.parts().iter().map(|(_, rows, _)| rows).sum();
    assert_eq!(fact("rows"), Some(rows.to_string().as_str()));
    let coordinates = found.text("_meta/coordinates.json");
    assert!(coordinates.contains(&format!("\"binlog_position\": {position}")), "{coordinates}");
    assert!(found.text("_meta/status.json").contains("\"status\": \"complete\""));
    assert_sound(&place.reopen().unwrap());
}

/// A database whose name ends strings, names, comments and lines, so that `mariadb-dump` finds no routines and no events in it.
const ODD_DATABASE: &str = "da`ta'ba\"se\\/\n-- Current Database: `shop`\nUSE shop;";

#[test]
fn a_database_of_any_name_has_its_directory_and_loads_again() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    let quoted = format!("`{}`", ODD_DATABASE.replace('`', "``"));
    let objects =
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE VIEW v AS SELECT id FROM t;
        CREATE SEQUENCE s; CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @x = 1;";
    server.run(
        "",
        format!("CREATE DATABASE {quoted}; USE {quoted}; {objects} CREATE DATABASE shop; USE shop; {objects}"),
    );
    let dump = server.dump(&["--skip-dump-date", "--databases", ODD_DATABASE, "shop"]);
    let found = dumped(&place, reader(&dump));
    found.assert_parts_are_the_dump(&dump);
    let both = ["da`ta'ba\"se\\%2F%0A-- Current Database: `shop`%0AUSE shop;", "shop"];
    let mut top = found.paths();
    top.retain(|path| !path.is_empty() && !path.contains('/'));
    assert_eq!(top.into_iter().collect::<Vec<_>>(), ["_meta", both[0], "dump.sql", both[1]]);
    let other = MariaDb::start();
    for folder in both {
        assert_eq!(found.names(folder), ["_database.sql", "sequences", "tables", "views"]);
        other.make_empty("again");
        other.run("again", found.file(&format!("{folder}/tables/t/restore.sql")));
        assert_eq!(other.run("again", "SELECT SUM(id) FROM t").trim(), "3");
    }
    other.run("", found.file("dump.sql"));
    let again = other.dump(&["--skip-dump-date", "--databases", ODD_DATABASE, "shop"]);
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&dump));
}

#[test]
fn a_dump_of_a_replica_tells_where_its_primary_stood() {
    let ((primary, replica), place) = (MariaDb::start_pair(), TestRepository::new());
    primary
        .run("", "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)");
    let [file, position] = primary.log_position();
    replica.catch_up(&primary);
    let gtid = replica.run("", "SELECT @@gtid_slave_pos");
    let [own_file, own_position] = replica.log_position();
    assert_ne!(file, own_file);
    for (options, told) in [
        (&["--dump-slave=1", "--apply-slave-statements"][..], [&file, &position, gtid.trim(), "primary"]),
        (&["--dump-slave=2", "--include-master-host-port", "--gtid"], [&file, &position, gtid.trim(), "primary"]),
        // Its own come first, without a gtid.
        (&["--dump-slave=2", "--master-data=2"], [&own_file, &own_position, "", "server"]),
    ] {
        let found = dumped(&place, reader(&replica.dump(&[options, &["--databases", "shop"]].concat())));
        let fact = |name: &str| found.manifest.facts.get(name).map(String::as_str).unwrap_or_default();
        let facts = ["binlog_file", "binlog_position", "gtid", "coordinates_of"].map(fact);
        assert_eq!(facts, told, "{options:?}");
        assert!(!found.text("shop/tables/t/restore.sql").contains("SLAVE"), "{options:?}");
    }
}

/// What a table needs is told, and nothing would change a database of the dump's names.
fn assert_restores_name_what_they_need(found: &Dumped) {
    let numbered = found.text("shop/tables/numbered/restore.sql");
    assert!(numbered.starts_with("-- Loads one table") && numbered.contains("-- It needs sequence `shop`.`numbers`\n"));
    let orders = found.text("shop/tables/orders/restore.sql");
    assert!(orders.contains("-- It refers to table `customers`\n"));
    let called: Vec<&str> =
        orders.lines().filter_map(|line| line.strip_prefix("-- Its triggers need function ")).collect();
    assert_eq!(called, ["`Twice`", "`elsewhere`.`count (all)`"]);
    assert!(orders.contains("-- Its triggers need table `customers`\n"));
    assert!(found.text("shop/tables/large/restore.sql").contains("-- It needs nothing else.\n"));
    let counted = "we%2Fird .%25d`b/tables/customers";
    assert!(found.text(&format!("{counted}/triggers.sql")).contains("TRIGGER counted"));
    for path in found.paths().iter().filter(|path| path.ends_with("/restore.sql")) {
        let text = String::from_utf8_lossy(found.file(path));
        for word in ["\nUSE ", "CREATE DATABASE", "ALTER DATABASE", "CHANGE MASTER", "gtid_slave_pos"] {
            assert!(!text.contains(word), "{path} holds {word}");
        }
    }
}

fn assert_private(found: &Dumped) {
    let permissions = |path: &str| found.tree[path.as_bytes()].0.permissions;
    assert_eq!((permissions(""), permissions("shop/tables/orders"), permissions("dump.sql")), (0o700, 0o700, 0o600));
    assert_eq!(permissions("shop/tables/orders/restore.sql"), 0o600);
}

/// What a dump with some options is good for.
#[derive(Clone, Copy, PartialEq)]
enum Restores {
    Everything,
    /// It leaves out options of tables, or makes none.
    Rows,
    Schema,
}

/// Options of `mariadb-dump` that change what a dump looks like.
const VARIANTS: [(&[&str], Restores); 43] = [
    (&["shop"], Restores::Everything),
    (&["--databases", "shop"], Restores::Everything),
    (&["--all-databases"], Restores::Everything),
    (&["--system=all", "--databases", "shop"], Restores::Everything),
    (&["--compact", "--routines", "--events", "shop"], Restores::Everything),
    (&["--skip-comments", "--routines", "--events", "shop"], Restores::Everything),
    (&["--skip-opt", "--routines", "shop"], Restores::Rows),
    (&["--compatible=ansi", "shop"], Restores::Rows),
    (&["--skip-extended-insert", "--complete-insert", "shop"], Restores::Everything),
    (&["--hex-blob", "--skip-tz-utc", "shop"], Restores::Everything),
    (&["--replace", "--no-autocommit", "shop"], Restores::Everything),
    (&["--insert-ignore", "--skip-add-locks", "--skip-disable-keys", "shop"], Restores::Everything),
    (&["--no-create-info", "--skip-triggers", "shop"], Restores::Rows),
    (&["--no-data", "shop"], Restores::Schema),
    (&["--skip-triggers", "--skip-add-drop-table", "shop"], Restores::Everything),
    (&["--add-drop-database", "--add-drop-trigger", "--databases", "shop"], Restores::Everything),
    (&["--no-create-db", "--skip-set-charset", "--databases", "shop"], Restores::Everything),
    (
        &["--master-data=1", "--apply-slave-statements", "--single-transaction", "--databases", "shop"],
        Restores::Everything,
    ),
    (&["--master-data=1", "--gtid", "--flush-logs", "--databases", "shop"], Restores::Everything),
    (&["--order-by-primary", "--quick", "--lock-all-tables", "shop"], Restores::Everything),
    (
        &["--default-character-set=latin1", "--skip-dump-date", "--tables", "shop", "orders", "binaries", "values"],
        Restores::Everything,
    ),
    (&["--events", "--routines", "--triggers", "--databases", "we/ird .%d`b", "shop"], Restores::Everything),
    // Such a dump names a table `values` so that no server takes it.
    (&["--skip-quote-names", "--ignore-table=shop.values", "shop"], Restores::Everything),
    (
        &["--skip-quote-names", "--skip-comments", "--complete-insert", "--ignore-table=shop.values", "shop"],
        Restores::Everything,
    ),
    (&["--skip-quote-names", "--compatible=ansi", "--ignore-table=shop.values", "shop"], Restores::Rows),
    (&["--delayed-insert", "shop"], Restores::Everything),
    (&["--delayed-insert", "--replace", "--skip-extended-insert", "shop"], Restores::Everything),
    (&["--delayed-insert", "--insert-ignore", "--skip-add-locks", "shop"], Restores::Everything),
    (&["--skip-log-queries", "shop"], Restores::Everything),
    (&["--skip-log-queries", "--skip-comments", "--no-autocommit", "shop"], Restores::Everything),
    (&["--default-character-set=binary", "shop"], Restores::Everything),
    (&["--default-character-set=binary", "--hex-blob", "--complete-insert", "shop"], Restores::Everything),
    (&["--no-autocommit", "--compact", "shop"], Restores::Everything),
    (&["--no-autocommit", "--skip-add-locks", "--skip-disable-keys", "shop"], Restores::Everything),
    (&["--order-by-primary", "--skip-extended-insert", "shop"], Restores::Everything),
    (&["--order-by-size", "--hex-blob", "shop"], Restores::Everything),
    // Without options of tables, since no server of today takes `TYPE=InnoDB`.
    (&["--compatible=mysql40,no_table_options", "shop"], Restores::Rows),
    (&["--compatible=postgresql", "shop"], Restores::Rows),
    (&["--compatible=oracle", "--complete-insert", "shop"], Restores::Rows),
    (&["--compatible=mssql", "--skip-extended-insert", "shop"], Restores::Rows),
    (&["--compatible=db2", "--hex-blob", "shop"], Restores::Rows),
    (&["--compatible=maxdb", "--skip-comments", "shop"], Restores::Rows),
    (&["--compatible=no_table_options,no_field_options,no_key_options", "shop"], Restores::Rows),
];

/// Users, roles and what they may do, with names that end other names.
const USERS: &str = r#"
CREATE USER `it's; -- me`@`10.%` IDENTIFIED BY 'CREATE ROLE x;';
CREATE ROLE readers;
CREATE ROLE `wri``ters
GRANT x TO y;`;
GRANT SELECT ON shop.* TO readers;
GRANT readers TO `it's; -- me`@`10.%`;
GRANT SELECT (id), INSERT ON shop.orders TO `it's; -- me`@`10.%`;
SET DEFAULT ROLE readers FOR `it's; -- me`@`10.%`;
"#;

#[test]
fn users_roles_and_grants_have_files_of_their_own_and_load_again() {
    const NAMES: [&str; 3] = ["`it's; -- me`@`10.%`", "readers", "`wri``ters\nGRANT x TO y;`"];
    let (server, other) = (MariaDb::start(), MariaDb::start());
    server.run("", HOSTILE);
    server.run("", USERS);
    other.run("", "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT)");
    let made = "SELECT COALESCE(CURRENT_ROLE(),'NONE') into @current_role;\n\
                CREATE ROLE IF NOT EXISTS mariadb_dump_import_role;\n\
                /*!80001 CREATE ROLE IF NOT EXISTS 'readers' */;\n\
                /*M!100005 CREATE ROLE IF NOT EXISTS 'readers' WITH ADMIN mariadb_dump_import_role */;\n\
                /*!80001 CREATE ROLE IF NOT EXISTS 'wri`ters\nGRANT x TO y;' */;\n\
                /*M!100005 CREATE ROLE IF NOT EXISTS 'wri`ters\nGRANT x TO y;' WITH ADMIN mariadb_dump_import_role */;\n";
    for system in ["--system=all", "--system=users"] {
        let place = TestRepository::new();
        let found = dumped(&place, reader(&server.dump(&[system, "--insert-ignore", "--databases", "shop"])));
        let file = |name: &str| found.text(&format!("_globals/{name}"));
        let (users, roles, grants) = (file("users.sql"), file("roles.sql"), file("grants.sql"));
        assert!(users.trim_end().lines().all(|line| line.starts_with("CREATE USER IF NOT EXISTS `")), "{users}");
        assert!(
            users.contains("\nCREATE USER IF NOT EXISTS `it's; -- me`@`10.%` IDENTIFIED BY PASSWORD '*"),
            "{users}"
        );
        assert_eq!(roles.trim_end(), made.trim_end());
        for granted in [
            "GRANT mariadb_dump_import_role TO CURRENT_USER();",
            "GRANT `readers` TO `it's; -- me`@`10.%`;",
            "GRANT SELECT (`id`), INSERT ON `shop`.`orders` TO `it's; -- me`@`10.%`;",
            "/*M!100005 SET DEFAULT ROLE 'readers' FOR 'it\\'s; -- me'@'10.%' */;",
            "GRANT SELECT ON `shop`.* TO `readers`;",
            "GRANT USAGE ON *.* TO `wri``ters",
            "DROP ROLE mariadb_dump_import_role;",
        ] {
            assert!(grants.lines().any(|line| line == granted), "{granted} is not in {grants}");
        }
        assert!(!grants.contains("CREATE"), "{grants}");
        other.run("", [users, roles, grants].concat());
        for name in NAMES {
            let granted = [&server, &other].map(|server| server.run("", format!("SHOW GRANTS FOR {name}")));
            assert_eq!(granted[0], granted[1]);
            other.run("", format!("DROP {} {name}", if name.contains('@') { "USER" } else { "ROLE" }));
        }
    }
}

/// Rows that are inserted later if the dump says so, names that end strings if double quotes enclose names and nobody knows, and
/// words that are names if nothing encloses them.
const MORE_TABLES: &str = r#"
CREATE TABLE later (id INT PRIMARY KEY, text VARCHAR(80)) ENGINE=MyISAM;
INSERT INTO later SELECT seq, CONCAT(seq, ' ''),(') FROM seq_1_to_2000;
CREATE TABLE `end\` (`end\` INT, `"` TEXT, period INT, type INT, PRIMARY KEY (period, type));
INSERT INTO `end\` VALUES (1, '"', 1, 1), (2, '\\"', 2, 2);
CREATE TABLE unsorted (name VARCHAR(40) COLLATE utf8mb4_bin PRIMARY KEY, at TIMESTAMP NULL) ENGINE=Aria;
INSERT INTO unsorted SELECT CONCAT(MD5(seq % 50), seq), '2026-01-01' + INTERVAL seq HOUR FROM seq_1_to_100;
"#;

#[test]
fn every_table_of_every_variant_restores_into_another_database() {
    let server = MariaDb::start();
    server.run("", HOSTILE);
    server.run("shop", MORE_TABLES);
    for (arguments, restores) in VARIANTS {
        let place = TestRepository::new();
        let found = dumped(&place, command(&server.dump_command(arguments)));
        let dump = found.file("dump.sql").to_vec();
        found.assert_parts_are_the_dump(&dump);
        assert_eq!(found.manifest.status, SnapshotStatus::Complete, "{arguments:?}");
        let database = if arguments.contains(&"--compact") || arguments.contains(&"--skip-comments") {
            "fallback"
        } else {
            "shop"
        };
        let tables = tables_of(&server, "shop");
        let tables: Vec<_> = tables.iter().filter(|table| found.tables(database).contains(&escaped(table))).collect();
        assert!(tables.len() > 10 || arguments.contains(&"--tables"), "{arguments:?}: {:?}", found.paths());
        restore_and_compare(&server, &found, database, &tables, arguments, restores);
    }
}

/// Loads each table's `restore.sql` into a database of another name, and compares with the original.
fn restore_and_compare(
    server: &MariaDb,
    found: &Dumped,
    folder: &str,
    tables: &[&String],
    arguments: &[&str],
    restores: Restores,
) {
    server.make_empty("restored");
    if arguments.contains(&"--no-create-info") {
        server.run("restored", server.dump(&["--no-data", "--skip-triggers", "shop"]));
    }
    // A compact dump does not set the mode in which it can be loaded.
    let settings: &[u8] = if arguments.contains(&"--compact") { b"SET sql_mode = '';\n" } else { b"" };
    for table in tables {
        let restore = found.file(&format!("{folder}/tables/{}/restore.sql", escaped(table)));
        server.run("restored", [settings, restore].concat());
    }
    let mut compared: Vec<&str> = match restores {
        Restores::Everything => Vec::new(),
        Restores::Rows => vec!["--no-create-info", "--skip-triggers"],
        Restores::Schema => vec!["--no-data"],
    };
    compared.extend(arguments.iter().filter(|it| **it == "--skip-triggers"));
    let tables: Vec<&str> = tables.iter().map(|table| table.as_str()).collect();
    let (original, copy) =
        (content(server, "shop", &tables, &compared), content(server, "restored", &tables, &compared));
    let differing = original.lines().zip(copy.lines()).find(|(a, b)| a != b);
    assert!(original == copy, "{arguments:?}: something came back as another one: {differing:?}");
}

#[test]
fn an_incomplete_dump_makes_no_snapshot_unless_it_is_to_be_kept() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", "CREATE DATABASE shop; USE shop; CREATE TABLE a (x INT); INSERT INTO a VALUES (1), (2); CREATE TABLE b (y TEXT)");
    let dump = server.dump(&["--databases", "shop"]);
    let whole = ingest(&place, options(reader(&dump))).unwrap().snapshot;
    assert_eq!(whole.manifest.status, SnapshotStatus::Complete);

    // Cut off anywhere: the last line counts, white space does not.
    let last_line = dump.windows(17).rposition(|it| it == b"-- Dump completed").unwrap();
    for length in (1..last_line + 17).step_by(7).chain([last_line, last_line + 16]) {
        let refused = ingest(&place, options(reader(&dump[..length])));
        assert!(matches!(refused, Err(Error::Incomplete { .. })), "{length} of {}", dump.len());
    }
    let more = [&dump[..], b"INSERT INTO a VALUES (3);\n"].concat();
    assert!(matches!(ingest(&place, options(reader(&more))), Err(Error::Incomplete { .. })));
    // Whatever was printed, a command that failed is no dump: mariadb-dump --force ends well-formed, and fails.
    let failing = server.dump_command(&["--force", "--databases", "shop", "missing"]);
    let error = ingest(&place, options(command(&failing))).err().unwrap();
    assert!(matches!(&error, Error::Incomplete { reason, .. } if reason.contains("exit status: 2")), "{error}");
    assert!(matches!(ingest(&place, options(reader(b""))), Err(Error::Command { .. })));
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 1);

    // Kept: it is there by name, and never chosen.
    let half = &dump[..dump.len() / 2];
    let kept = ingest(&place, kept_incomplete(options(reader(half)))).unwrap().snapshot;
    assert_eq!(kept.manifest.status, SnapshotStatus::Incomplete);
    let found = Dumped { tree: stored_tree(&place.repository, &kept).unwrap(), manifest: kept.manifest.clone() };
    found.assert_parts_are_the_dump(half);
    assert!(found.text("_meta/status.json").contains("\"status\": \"incomplete\""));
    assert!(found.manifest.facts["status_reason"].contains("within a statement"), "{:?}", found.manifest.facts);
    let catalog = place.reopen().unwrap().catalog();
    let means = |spec: &str| catalog.find(&SnapshotSpec::parse(spec, now()).unwrap()).map(|it| it.id);
    assert_eq!(means("shop").unwrap(), whole.id);
    assert_eq!(means("shop@now").unwrap(), whole.id);
    assert!(means("shop@latest~1").is_err());
    assert_eq!(means(&format!("shop@{}", kept.manifest.name)).unwrap(), kept.id);
    assert_eq!(means(&kept.id.to_string()).unwrap(), kept.id);
}

#[test]
fn a_dump_that_is_cut_anywhere_has_parts_that_are_it() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", HOSTILE);
    server.run("shop", "DELETE FROM large WHERE id > 20; DELETE FROM orders WHERE id > 20; DELETE FROM binaries WHERE id BETWEEN 9 AND 999");
    let arguments = ["--routines", "--events", "--system=users", "--master-data=2", "--databases"];
    let dump = server.dump(&[&arguments[..], &DATABASES].concat());
    let cuts = dumped(&place, reader(&dump)).cuts();
    assert!(cuts.len() > 40, "{cuts:?}");
    for &cut in &cuts {
        let report = ingest(&place, kept_incomplete(options(reader(&dump[..cut])))).unwrap();
        let found = Dumped::of(&place, report);
        found.assert_parts_are_the_dump(&dump[..cut]);
        assert_eq!(found.manifest.status, SnapshotStatus::Incomplete, "{cut} of {} bytes", dump.len());
    }
}

#[test]
fn a_changed_dump_costs_what_changed() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", HOSTILE);
    let arguments = ["--routines", "--events", "--databases", "shop"];
    let ingested = || {
        let report = ingest(&place, options(command(&server.dump_command(&arguments)))).unwrap();
        let tree = stored_tree(&place.repository, &report.snapshot).unwrap();
        (Dumped { tree, manifest: report.snapshot.manifest.clone() }, report.snapshot.manifest.bytes_stored)
    };
    let (first, first_bytes) = ingested();
    let (_, same_bytes) = ingested();
    // One row in two hundred of the large table, and all of a small one.
    server.run("shop", "UPDATE large SET text = REVERSE(text) WHERE id % 200 = 7; UPDATE `values` SET `select` = 9");
    let (second, changed_bytes) = ingested();
    println!("first {first_bytes}, again {same_bytes}, changed {changed_bytes} bytes");
    assert!(same_bytes < 8 << 10, "the same again took {same_bytes} bytes");
    assert!(changed_bytes < first_bytes / 20, "{changed_bytes} of {first_bytes} bytes for what changed");
    let time = |dumped: &Dumped, path: &str| dumped.tree[path.as_bytes()].0.modified;
    for path in
        ["shop/tables/binaries/data.sql", "shop/tables/binaries", "shop/routines", "shop/routines/functions/twice.sql"]
    {
        assert_eq!(time(&first, path), time(&second, path), "{path} did not change");
    }
    for path in
        ["shop/tables/large/data.sql", "shop/tables/large", "shop/tables/values/restore.sql", "dump.sql", "shop"]
    {
        assert_ne!(time(&first, path), time(&second, path), "{path} changed");
    }
}

#[test]
fn whatever_is_no_dump_is_refused() {
    let place = TestRepository::new();
    let refusal = |bytes: &[u8]| ingest(&place, options(reader(bytes))).err().map(|error| error.to_string());
    let long = [b"INSERT INTO `t` VALUES ('", &b"x".repeat(40 << 20)[..]].concat();
    let garbage = [noise(7, 3 << 20), b"`'".to_vec()].concat();
    for (bytes, what) in [(&long, "an INSERT without end"), (&garbage, "garbage"), (&b"words\n".to_vec(), "text")] {
        let message = refusal(bytes).unwrap_or_else(|| panic!("{what} made a snapshot"));
        assert!(message.contains("incomplete") && message.contains("within a statement"), "{what}: {message}");
    }
}

#[test]
fn dumps_without_comments_are_as_complete_as_can_be_told() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", "CREATE DATABASE shop; USE shop; CREATE TABLE a (x INT); INSERT INTO a VALUES (1)");
    let status = |input| ingest(&place, options(input)).unwrap().snapshot.manifest.status;
    // What sets back the session ends a dump as well as a comment does.
    let plain = server.dump(&["--skip-comments", "shop"]);
    assert_eq!(status(reader(&plain)), SnapshotStatus::Complete);
    let cut = plain.windows(9).rposition(|it| it == b"SQL_NOTES").unwrap() - 20;
    assert!(matches!(ingest(&place, options(reader(&plain[..cut]))), Err(Error::Incomplete { .. })));
    // Nothing ends a compact dump but its command.
    let compact = ["--compact", "shop"];
    assert_eq!(status(reader(&server.dump(&compact))), SnapshotStatus::Unverified);
    let command_line = server.dump_command(&compact);
    assert_eq!(status(command(&command_line)), SnapshotStatus::Complete);
    // Nor does that of a pipeline, which ends well if its last program does.
    let line = command_line.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ") + " | cat";
    let piped = |shell: &[&str]| {
        command(&shell.iter().copied().chain([line.as_str()]).map(std::ffi::OsString::from).collect::<Vec<_>>())
    };
    assert_eq!(status(piped(&["sh", "-c"])), SnapshotStatus::Unverified);
    assert_eq!(status(piped(&["bash", "-o", "pipefail", "-c"])), SnapshotStatus::Complete);
}

#[test]
fn what_is_cut_between_statements_shows_by_what_was_to_follow() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    let table =
        "CREATE TABLE a (x INT); INSERT INTO a VALUES (1); CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1";
    server.run("", format!("CREATE DATABASE north; USE north; {table}; CREATE DATABASE south; USE south; {table}"));
    let dump = |options: &[&str], database| server.dump(&[options, &["--databases", database][..]].concat());
    let ends = |dump: &[u8]| (1..dump.len()).filter(|&at| dump[..at].ends_with(b";\n")).collect::<Vec<_>>();
    let place_of = |dump: &[u8], text: &[u8]| dump.windows(text.len()).position(|window| window == text).unwrap();
    let status =
        |bytes: &[u8]| ingest(&place, kept_incomplete(options(reader(bytes)))).unwrap().snapshot.manifest.status;
    // Without comments, in front of another one.
    let (north, south) = (dump(&["--skip-comments"], "north"), dump(&["--skip-comments"], "south"));
    let opened = place_of(&north, b"@OLD_SQL_NOTES=");
    let cuts: Vec<_> = ends(&north).into_iter().filter(|&at| at > opened).collect();
    for &at in &cuts {
        let expected =
            if at == north.trim_ascii_end().len() + 1 { SnapshotStatus::Complete } else { SnapshotStatus::Incomplete };
        assert_eq!(status(&[&north[..at], &south].concat()), expected, "{}", String::from_utf8_lossy(&north[..at]));
    }
    assert!(cuts.len() > 10, "{cuts:?}");
    // In front of one with comments.
    let last = cuts[cuts.len() - 2];
    assert_eq!(status(&[&north[..last], &dump(&[], "south")[..]].concat()), SnapshotStatus::Incomplete);
    // Compact, within a table, and within what locks it.
    let compact = dump(&["--compact", "--add-locks"], "north");
    let within = |open: &[u8], shut: &[u8]| place_of(&compact, open) + open.len()..=place_of(&compact, shut);
    let open = [within(b"SET @saved_cs_client", b"= @saved_cs_client"), within(b"LOCK TABLES", b"UNLOCK TABLES")];
    let trigger = place_of(&compact, b"SET @saved_cs_client      =")..=place_of(&compact, b"= @saved_sql_mode");
    for at in ends(&compact) {
        let is_open = open.iter().any(|open| open.contains(&at)) || trigger.contains(&at);
        let expected = if is_open { SnapshotStatus::Incomplete } else { SnapshotStatus::Unverified };
        assert_eq!(status(&compact[..at]), expected, "{}", String::from_utf8_lossy(&compact[..at]));
    }
}

#[test]
fn a_dump_that_names_no_database_gets_one() {
    let (server, place) = (MariaDb::start(), TestRepository::new());
    server.run("", "CREATE DATABASE shop; USE shop; CREATE TABLE a (x INT)");
    let (banner, nothing) = (server.dump(&["shop"]), server.dump(&["--skip-comments", "shop"]));
    let named = server.dump(&["--databases", "shop"]);
    for (dump, database, expected) in [
        (&banner, None, "shop"),
        (&banner, Some("other"), "other"),
        (&nothing, None, "fallback"),
        (&nothing, Some("_meta"), "%5Fmeta"),
        (&named, Some("other"), "shop"),
    ] {
        let snapshot = ingest(&place, in_database(database, options(reader(dump)))).unwrap().snapshot;
        let tree = stored_tree(&place.repository, &snapshot).unwrap();
        let schema = format!("{expected}/tables/a/schema.sql");
        assert!(tree.contains_key(schema.as_bytes()), "{database:?} gave no {schema}");
    }
}

#[test]
fn a_dba_restores_one_table_from_the_mount() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", HOSTILE);
    let words = server.dump_command(&["--single-transaction", "--databases", "shop"]);
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    stage.succeed(&[&["ingest", "mysql", "--source", "shop", "--"], &words[..]].concat());
    let before = content(&server, "shop", &["orders"], &[]);
    let rows = server.run("", "SELECT COUNT(*) FROM shop.orders").trim().to_string();
    server.run("shop", "DELETE FROM orders WHERE id > 100; UPDATE orders SET amount = 0");
    server.make_empty("shop_restored");

    let mount = stage.mount();
    let restore = mount.path("snapshots/shop/latest/shop/tables/orders/restore.sql");
    server.run("shop_restored", std::fs::read(restore).unwrap());
    assert_eq!(content(&server, "shop_restored", &["orders"], &[]), before);
    // Facts of the dump can be asked of the snapshot's directory.
    let mut ask = Command::new("getfattr");
    ask.args(["--only-values", "-n", "user.yesterfs.server_version"]).arg(mount.path("snapshots/shop/latest/"));
    let answer = ask.stderr(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&answer.stdout).starts_with(server.run("", "SELECT @@version").trim()));
    // And of a table, a file and a database how much of the dump is in them.
    let fact = |name: &str, path: &str| {
        let mut ask = Command::new("getfattr");
        ask.args(["--only-values", "-n", &format!("user.yesterfs.{name}")]);
        ask.arg(mount.path("snapshots/shop/latest").join(path)).stderr(Stdio::null());
        String::from_utf8(ask.output().unwrap().stdout).unwrap()
    };
    let rows_of = |path: &str| fact("rows", path);
    let table = "shop/tables/orders";
    assert_eq!([rows_of(table), rows_of(&format!("{table}/data.sql"))], [(); 2].map(|()| rows.clone()));
    assert_eq!(rows_of(&format!("{table}/schema.sql")), "0");
    assert_eq!(rows_of("shop"), fact("rows", ""));
    let sizes = ["schema.sql", "data.sql", "triggers.sql"].map(|file| fact("bytes", &format!("{table}/{file}")));
    let sum: u64 = sizes.iter().filter_map(|size| size.parse::<u64>().ok()).sum();
    assert_eq!(fact("bytes", table), sum.to_string());
    assert_eq!([rows_of("_meta/status.json"), rows_of("shop/tables/order")], ["", ""]);
    let told = stage.succeed(&["show", "shop", "--tables", "--json"]);
    let told = told.lines().find(|line| line.contains("\"shop.orders\"")).unwrap();
    assert_eq!(told, format!("{{\"type\":\"table\",\"table\":\"shop.orders\",\"rows\":{rows},\"bytes\":{sum}}}"));
    // A dump that was cut short, kept all the same, is what no name of the newest leads to.
    let latest = std::fs::read_link(mount.path("snapshots/shop/latest")).unwrap();
    let short = stage.path("short.sql");
    std::fs::write(&short, &std::fs::read(mount.path("snapshots/shop/latest/dump.sql")).unwrap()[..5000]).unwrap();
    let mut ingest = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    ingest.arg("--repo").arg(stage.repository()).args(["ingest", "mysql", "--source", "shop"]).arg(&short);
    let refused = ingest.output().unwrap();
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: --keep-incomplete"), "{refused:?}");
    assert_eq!(ingest.arg("--keep-incomplete").output().unwrap().status.code(), Some(3));
    let listed = stage.succeed(&["snapshots", "shop"]);
    assert_eq!(listed.matches(" incomplete ").count(), 1);
    let reason = listed.lines().last().unwrap_or_default();
    assert!(reason.starts_with("shop@") && reason.contains(" is incomplete: it "), "{listed}");
    let incomplete = || std::fs::read_dir(mount.path("snapshots/shop")).unwrap().count() == 3;
    within(Duration::from_secs(3), "the incomplete one is listed", incomplete);
    assert_eq!(std::fs::read_link(mount.path("snapshots/shop/latest")).unwrap(), latest);
    assert!(mount.path("at/now/shop/shop/tables/orders/restore.sql").exists());

    let shown = stage.succeed(&["show", "shop", "--json"]);
    assert!(shown.contains("\"kind\":\"mysql\"") && shown.contains("\"server_version\""), "{shown}");
}

/// A dump of so many tables of so many rows, in the words of `mariadb-dump`.
fn made_dump(tables: u32, rows: u32) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut dump = String::from(
        "-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n--\n\
         /*!40101 SET NAMES utf8mb4 */;\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n",
    );
    for table in 0..tables {
        let _ = write!(
            dump,
            "\n--\n-- Table structure for table `t{table:06}`\n--\n\nDROP TABLE IF EXISTS `t{table:06}`;\n\
             /*!40101 SET @saved_cs_client     = @@character_set_client */;\n\
             /*!40101 SET character_set_client = utf8mb4 */;\n\
             CREATE TABLE `t{table:06}` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `name` varchar(50) DEFAULT NULL,\n  \
             PRIMARY KEY (`id`)\n) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;\n\
             /*!40101 SET character_set_client = @saved_cs_client */;\n\n\
             --\n-- Dumping data for table `t{table:06}`\n--\n\nLOCK TABLES `t{table:06}` WRITE;\n\
             /*!40000 ALTER TABLE `t{table:06}` DISABLE KEYS */;\nINSERT INTO `t{table:06}` VALUES\n"
        );
        for row in 0..rows {
            let noise = u64::from(table * 31 + row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let _ = write!(dump, "({row},'{noise:016x}'){}", if row + 1 < rows { ",\n" } else { ";\n" });
        }
        let _ = write!(dump, "/*!40000 ALTER TABLE `t{table:06}` ENABLE KEYS */;\nUNLOCK TABLES;\n");
    }
    dump.push_str("/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\n-- Dump completed on 2026-11-26  3:00:00\n");
    dump.into_bytes()
}

#[test]
fn chunks_begin_where_tables_and_rows_do() {
    let place = TestRepository::new();
    let dump = made_dump(5, 3000);
    let snapshot = ingest(&place, options(reader(&dump))).unwrap().snapshot;
    let node = place.repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"dump.sql").unwrap().unwrap();
    let starts = chunk_starts(&place.repository, node.content().unwrap()).unwrap();
    let tables = starts.iter().filter(|&&start| dump[start..].starts_with(b"--\n-- Table structure")).count();
    // The first table's chunk begins with the header.
    assert_eq!(tables, 4, "chunks begin at {starts:?}");
    let elsewhere = starts[1..].iter().filter(|&&start| dump[start] != b'(').count() - tables;
    // The end of the last table, with the footer.
    assert!(elsewhere <= 1, "{elsewhere} of {} chunks begin within rows", starts.len());
}

#[test]
fn many_small_tables_cost_little_more_than_their_dump() {
    let place = TestRepository::new();
    let dump = made_dump(100_000, 2);
    let spec = StreamSpec { name: "dump.sql".into(), input: reader(&dump) };
    let common = IngestOptions { source: "unsplit".into(), ..options(reader(b"")).common };
    let unsplit = StreamOptions { common, streams: vec![spec], expect_end: None, threads: 2 };
    let unsplit =
        ingest_streams(&place.repository, unsplit, &now, &Recorder::default()).unwrap().snapshot.manifest.clone();
    let chunks = published_bytes(&place.repository, PackKind::Data);
    let unsplit_bytes = place.stored_bytes();
    let place = TestRepository::new();
    let split = ingest(&place, options(reader(&dump))).unwrap().snapshot.manifest.clone();
    let per_table = (split.bytes_stored - unsplit.bytes_stored) / 100_000;
    println!(
        "dump {}, unsplit {}, split {} bytes: {per_table} a table",
        dump.len(),
        unsplit.bytes_stored,
        split.bytes_stored
    );
    assert!(split.bytes_stored < dump.len() as u64);
    assert!(split.facts["tables"] == "100000" && split.files == 300_007, "{} files", split.files);
    let [data, pages] = [PackKind::Data, PackKind::Pages].map(|kind| published_bytes(&place.repository, kind));
    println!("chunks of the unsplit dump {chunks}, of the split one {data}, pages {pages}");
    let bytes = place.stored_bytes();
    println!("the repository of the unsplit dump {unsplit_bytes}, of the split one {bytes}");
    assert!(bytes * 10 <= unsplit_bytes * 12);
    // One row of one table: nothing else is told again.
    let number = dump.windows(8).position(|it| it == b"t050000`").unwrap();
    let row = number + dump[number..].windows(5).position(|it| it == b"\n(1,'").unwrap() + 6;
    let mut changed = dump.clone();
    changed[row] = b'x';
    let again = ingest(&place, options(reader(&changed))).unwrap().snapshot.manifest.clone();
    println!("again with another row: {} bytes", again.bytes_stored);
    assert!(again.bytes_stored < 8 << 10, "{} bytes for one row", again.bytes_stored);
}

#[test]
fn the_first_byte_of_a_table_costs_little_more_among_many_tables() {
    let cost = |tables: u32| {
        let place = TestRepository::new();
        let snapshot = ingest(&place, options(reader(&made_dump(tables, 2)))).unwrap().snapshot;
        // Another process has nothing at hand.
        let repository = place.reopen().unwrap();
        let chunks = repository.chunks().unwrap();
        let before = chunks.read_counts();
        let path = format!("fallback/tables/t{:06}/data.sql", tables / 2);
        let node = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, path.as_bytes()).unwrap().unwrap();
        let mut byte = Vec::new();
        repository.contents().unwrap().read(node.content().unwrap(), 0, 1, &mut byte).unwrap();
        assert_eq!(byte.len(), 1);
        let after = chunks.read_counts();
        println!("among {tables} tables: {after:?}");
        (after.calls - before.calls, after.records - before.records)
    };
    let (few, many) = (cost(1000), cost(16_000));
    // Each step down to the table is a page, and the list of tables has one more level, at most two.
    assert!(few.0 <= 8 && few.1 <= 8, "{few:?}");
    assert!(many.0 <= few.0 + 2 && many.1 <= few.1 + 2, "{many:?} after {few:?}");
}
