//! Stories of restore drills with real servers: dumps that are good, that a server alters, that it does not take, and drills
//! that are ended in the middle.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::mariadb::MariaDb;
use support::mounted::{Stage, names, within};
use support::postgres::Postgres;
use support::server::{refused, succeed};

const HOSTILE_MYSQL: &str = include_str!("mysql/hostile.sql");
const HOSTILE_POSTGRES: &str = include_str!("postgres/hostile.sql");

const SMALL_MYSQL: &str = "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `t` (`id` int PRIMARY KEY);\n-- Dump completed\n";

const DATABASES: [&str; 3] = ["--databases", "shop", "we/ird .%d`b"];

fn ingest(stage: &Stage, kind: &str, dump: &[u8]) {
    fs::write(stage.path("shop.sql"), dump).unwrap();
    let file = stage.path("shop.sql");
    stage.succeed(&["ingest", kind, "--source", "shop", "--database", "shop", file.to_str().unwrap()]);
}

/// A drill of the latest snapshot, in a directory that whoever runs the server may pass.
fn drill(stage: &Stage, with: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["verify", "shop", "--with", with, "--tmp"]);
    // What a user has there is not for this server.
    command.arg(place(stage)).args(options).env("MYSQL_PWD", "of another server");
    command
}

fn place(stage: &Stage) -> PathBuf {
    stage.open_to_all();
    let place = stage.path("drills");
    fs::create_dir_all(&place).unwrap();
    place
}

fn run(stage: &Stage, with: &str, options: &[&str]) -> Output {
    let output = drill(stage, with, options).output().unwrap();
    assert_eq!(names(place(stage)), [""; 0], "something was left");
    assert_eq!(servers_in(&place(stage)), [""; 0], "a server was left");
    output
}

/// Command lines of processes that name a directory, but for drills themselves.
fn servers_in(place: &Path) -> Vec<String> {
    let below = place.join("yesterfs-drill-").to_str().unwrap().to_string();
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    let lines =
        processes.filter_map(|path| fs::read(path).ok()).map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(&below)).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a drill prints that finds everything equal.
#[track_caller]
fn equal(stage: &Stage, with: &str, options: &[&str]) -> String {
    let output = run(stage, with, options);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).lines().all(|line| !line.contains("DIFFERENT")), "{output:?}");
    text(&output)
}

/// What a drill prints that finds something different.
#[track_caller]
fn different(stage: &Stage, with: &str, options: &[&str]) -> String {
    let output = run(stage, with, options);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    text(&output)
}

/// What `show` tells of the last drill of the latest snapshot.
fn recorded(stage: &Stage) -> String {
    let shown = stage.succeed(&["show", "shop", "--json"]);
    shown.split_once(r#""drill":"#).map(|(_, drill)| drill.trim().to_string()).unwrap_or_default()
}

/// The dump with statements behind all others, that is, before its last line.
fn with_statements(dump: &[u8], mark: &str, statements: &str) -> Vec<u8> {
    let at = dump.windows(mark.len()).rposition(|window| window == mark.as_bytes()).unwrap();
    [&dump[..at], statements.as_bytes(), b"\n", &dump[at..]].concat()
}

#[test]
fn dumps_of_a_real_mariadb_come_back_equal() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", HOSTILE_MYSQL);
    server.run(
        "shop",
        "CREATE TABLE later (id INT PRIMARY KEY, t TEXT) ENGINE=MyISAM; INSERT INTO later SELECT seq, MD5(seq) FROM seq_1_to_3000",
    );
    let everything = ["--all-databases", "--flush-privileges", "--routines", "--events"];
    let replicated = ["--master-data=1", "--gtid", "--apply-slave-statements", "--single-transaction"];
    for options in [
        &DATABASES[..],
        &["--hex-blob", "--skip-tz-utc", "--complete-insert", "--databases", "shop"],
        &["--skip-extended-insert", "--skip-comments", "shop"],
        &["--default-character-set=latin1", "shop", "orders"],
        &["--default-character-set=binary", "shop"],
        &["--default-character-set=binary", "--hex-blob", "--no-autocommit", "shop"],
        // These say nothing of the character sets of tables.
        &["--skip-opt", "--routines", "shop"],
        &["--compatible=ansi", "shop"],
        &["--compatible=postgresql", "--skip-comments", "shop"],
        &["--skip-quote-names", "--order-by-primary", "--ignore-table=shop.values", "shop"],
        &["--delayed-insert", "--replace", "--skip-extended-insert", "shop"],
        &["--delayed-insert", "--insert-ignore", "--skip-add-locks", "--skip-disable-keys", "shop"],
        &["--skip-log-queries", "--system=all", "--insert-ignore", "--databases", "shop"],
        &["--no-data", "shop"],
        &[&replicated[..], &["--databases", "shop"]].concat(),
        &everything,
    ] {
        let dump = server.dump(options);
        // The password of another server's administrator locks out whoever loads it.
        let lock_out = "SET PASSWORD FOR 'root'@'localhost' = PASSWORD('secret');";
        let is_everything = options.contains(&"--all-databases");
        let locking = || with_statements(&dump, "-- Dump completed", lock_out);
        ingest(&stage, "mysql", &if is_everything { locking() } else { dump.clone() });
        assert_eq!(recorded(&stage), "");
        let printed = equal(&stage, "mysql", &[]);
        let last = printed.lines().last().unwrap();
        assert!(
            last.starts_with("equal: ") && last.contains("; server 10.") && printed.contains("shop.orders: "),
            "{printed}"
        );
        let drill = recorded(&stage);
        assert!(
            drill.contains(r#""equal":true"#)
                && drill.contains(r#""server":"10."#)
                && drill.contains(r#""tables_different":0"#),
            "{drill}"
        );
    }
    let listed = stage.succeed(&["snapshots"]);
    assert!(
        listed.lines().next().unwrap().contains("DRILL") && listed.lines().skip(1).all(|line| line.contains(" equal")),
        "{listed}"
    );
    let shown = stage.succeed(&["show", "shop"]);
    assert!(shown.lines().any(|line| line.starts_with("drill") && line.contains("equal at ")), "{shown}");
}

#[test]
fn what_a_server_alters_is_told_row_by_row_and_recorded() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", HOSTILE_MYSQL);
    server.run(
        "shop",
        "CREATE TABLE few (id INT PRIMARY KEY, note TEXT); INSERT INTO few VALUES (1,'a'),(2,'b'),(3,'c')",
    );
    server.run("shop", "CREATE TABLE gone (id INT PRIMARY KEY); INSERT INTO gone VALUES (1),(2)");
    server.run("shop", "CREATE TABLE numbers_of_it (id INT PRIMARY KEY); INSERT INTO numbers_of_it VALUES (1)");
    let dump = server.dump(&["--databases", "shop"]);
    // Not as statements of a dump: those would be the table's rows.
    let statements = "USE `shop`; UPDATE few SET note = 'x' WHERE id = 2; DELETE FROM few WHERE id = 3;
PREPARE s FROM 'INSERT INTO few VALUES (4,\\'d\\'),(5,\\'e\\')'; EXECUTE s;
PREPARE s FROM 'DROP TABLE gone'; EXECUTE s;
PREPARE s FROM 'ALTER TABLE numbers_of_it ADD COLUMN more INT'; EXECUTE s;
PREPARE s FROM 'CREATE TABLE came (id INT PRIMARY KEY)'; EXECUTE s;";
    ingest(&stage, "mysql", &with_statements(&dump, "-- Dump completed", statements));
    let printed = different(&stage, "mysql", &[]);
    for line in [
        "shop.few: 3 rows, DIFFERENT: 1 changed, 1 missing, 2 added",
        "shop.gone: 2 rows, DIFFERENT: 0 changed, 2 missing, 0 added; the server does not give it back",
        "shop.numbers_of_it: 1 row, DIFFERENT: 0 changed, 0 missing, 0 added; column more was added",
        "shop.came: 0 rows, DIFFERENT: 0 changed, 0 missing, 0 added; the snapshot does not have it",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    assert!(printed.lines().any(|line| line.starts_with("shop.orders: ") && line.ends_with(", equal")), "{printed}");
    assert!(printed.lines().last().unwrap().starts_with("4 tables different: "), "{printed}");
    assert!(recorded(&stage).contains(r#""equal":false"#) && recorded(&stage).contains(r#""tables_different":4"#));
    assert!(stage.succeed(&["snapshots"]).contains("DIFFERENT"));
    let json = different(&stage, "mysql", &["--json"]);
    let few = r#"{"type":"verified","table":"shop.few","equal":false,"rows":3,"changed":1,"missing":1,"added":2,"redefined":false}"#;
    assert!(json.lines().any(|line| line == few), "{json}");
    assert!(json.lines().last().unwrap().starts_with(r#"{"type":"verify","time":"#), "{json}");
}

#[test]
fn a_dump_that_the_server_does_not_take_is_named_by_its_statement() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", HOSTILE_MYSQL);
    let dump = server.dump(&["--skip-extended-insert", "--databases", "shop"]);
    let text = String::from_utf8_lossy(&dump).into_owned();
    let damaged = text.replace("INSERT INTO `large` VALUES (15000,", "INSERT INTO `large` VALUES (14999,");
    assert_ne!(damaged, text);
    ingest(&stage, "mysql", damaged.as_bytes());
    let message = refused(&run(&stage, "mysql", &[]), 6);
    for part in [
        "loading the rows of 12 tables of shop",
        "Duplicate entry '14999'",
        "in the statement: INSERT INTO `large` VALUES",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let drill_of_it = recorded(&stage);
    for part in [r#""equal":false,"failure":""#, "Duplicate entry '14999'", "in the statement: INSERT INTO `large`"] {
        assert!(drill_of_it.contains(part), "{part} is not in {drill_of_it}");
    }
    assert!(stage.succeed(&["snapshots"]).lines().any(|line| line.contains("FAILED")));
    let shown = stage.succeed(&["show", "shop"]);
    let line = shown.lines().find(|line| line.starts_with("drill")).unwrap();
    assert!(line.contains("FAILED at ") && line.contains("Duplicate entry '14999'"), "{line}");
    // What is left for a look goes with the stage.
    let output = drill(&stage, "mysql", &["--keep"]).output().unwrap();
    let message = refused(&output, 6);
    let kept = names(place(&stage));
    assert!(kept.len() == 1 && message.contains(&kept[0]), "{message}");
    assert!(place(&stage).join(&kept[0]).join("data/shop").is_dir());
    assert_eq!(servers_in(&place(&stage)), [""; 0]);
}

#[test]
fn users_who_define_objects_are_made_for_the_drill() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE shop; CREATE USER `gh``ost; DROP`@`%`, ghost@h; CREATE ROLE keeper");
    server.run("", "GRANT ALL ON *.* TO `gh``ost; DROP`@`%`; GRANT ALL ON *.* TO ghost@h; GRANT ALL ON *.* TO keeper");
    server.run(
        "shop",
        "CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2);
        CREATE DEFINER=`gh``ost; DROP`@`%` VIEW v AS SELECT * FROM t; CREATE DEFINER=ghost@h VIEW v2 AS SELECT v.id FROM v;
        CREATE VIEW v3 AS SELECT id FROM v2;
        CREATE DEFINER=keeper VIEW by_role AS SELECT * FROM t; CREATE VIEW of_role AS SELECT * FROM by_role;
        CREATE DEFINER=ghost@h FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1;
        CREATE VIEW called AS SELECT f(id) AS n FROM v;
        CREATE DEFINER=ghost@h TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = f(NEW.n);
        CREATE DEFINER=ghost@h EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    );
    let dump = || server.dump(&["--routines", "--events", "--single-transaction", "--databases", "shop"]);
    let users =
        "CREATE USER `ghost`@`h`, `gh``ost; DROP`@`%`;\nGRANT ALL ON *.* TO `ghost`@`h`, `gh``ost; DROP`@`%`;\n";
    let with_users = [users.as_bytes(), &dump()].concat();
    for dump in [dump(), with_users] {
        ingest(&stage, "mysql", &dump);
        assert!(equal(&stage, "mysql", &[]).contains("shop.t: 2 rows, equal\n"));
    }
    // Whoever restores the dump gets no user that it does not make.
    let other = MariaDb::start();
    ingest(&stage, "mysql", &dump());
    let output = Command::new(env!("CARGO_BIN_EXE_yesterfs"))
        .arg("--repo")
        .arg(stage.repository())
        .args(["restore", "shop", "--into", &other.url("")])
        .output()
        .unwrap();
    assert!(refused(&output, 6).contains("The user specified as a definer"), "{output:?}");
    assert_eq!(other.run("", "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'gh%' OR User = 'keeper'"), "0\n");
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let stage = Stage::new();
    ingest(&stage, "mysql", SMALL_MYSQL.as_bytes());
    let empty = stage.make_directory("empty");
    let message = refused(&run(&stage, "mysql", &["--server-bin", empty.to_str().unwrap()]), 6);
    let parts = ["mariadbd or mysqld", "install mariadb-server", "--server-bin"];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    let message = refused(&run(&stage, "postgres", &[]), 2);
    assert!(message.contains("a dump of MySQL or MariaDB: --with mysql"), "{message}");
    let message = refused(&run(&stage, "mongo", &[]), 2);
    assert!(message.contains("a dump of MySQL or MariaDB: --with mysql"), "{message}");
    let deep = place(&stage).join("x".repeat(90));
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["verify", "shop", "--with", "mysql", "--tmp"]).arg(deep);
    assert!(refused(&command.output().unwrap(), 2).contains("too long for the server's socket"));
    ingest(
        &stage,
        "postgres",
        b"SELECT pg_catalog.set_config('search_path', '', false);\n--\n-- PostgreSQL database dump complete\n--\n",
    );
    let message = refused(&run(&stage, "postgres", &["--server-bin", empty.to_str().unwrap()]), 6);
    assert!(message.contains("install postgresql"), "{message}");
}

/// A directory of programs of a MariaDB that is whole, but for these.
fn programs_but(stage: &Stage, missing: &[&str]) -> PathBuf {
    let (programs, sbin) = (stage.make_directory("server/bin"), stage.make_directory("server/sbin"));
    let all = ["mariadb", "mariadb-install-db", "my_print_defaults", "resolveip", "mariadb-dump"];
    for program in all.iter().filter(|program| !missing.contains(program)) {
        symlink(Path::new("/usr/bin").join(program), programs.join(program)).unwrap();
    }
    symlink("/usr/sbin/mariadbd", sbin.join("mariadbd")).unwrap();
    for directory in ["share", "lib"] {
        symlink(Path::new("/usr").join(directory), stage.path("server").join(directory)).unwrap();
    }
    programs
}

#[test]
fn programs_may_be_named_from_where_the_user_is() {
    let stage = Stage::new();
    ingest(&stage, "mysql", SMALL_MYSQL.as_bytes());
    programs_but(&stage, &[]);
    let output =
        drill(&stage, "mysql", &["--server-bin", "../server/bin"]).current_dir(place(&stage)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let dump =
        "SELECT pg_catalog.set_config('search_path', '', false);\n--\n-- PostgreSQL database dump complete\n--\n";
    ingest(&stage, "postgres", dump.as_bytes());
    symlink(support::postgres::programs_of_debian(), stage.path("programs")).unwrap();
    let output = drill(&stage, "postgres", &["--server-bin", "programs"]).current_dir(stage.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn an_older_server_has_another_program_that_makes_its_files() {
    let stage = Stage::new();
    ingest(&stage, "mysql", SMALL_MYSQL.as_bytes());
    let programs = programs_but(&stage, &["mariadb-install-db"]);
    let older = programs.join("mysql_install_db");
    let script = "#!/bin/sh\ncase \"$*\" in *auth-root*|*skip-test-db*) echo unknown option >&2; exit 1;; esac\n\
                  exec mariadb-install-db \"$@\" --auth-root-authentication-method=normal\n";
    fs::write(&older, script).unwrap();
    fs::set_permissions(&older, Permissions::from_mode(0o755)).unwrap();
    assert!(equal(&stage, "mysql", &["--server-bin", programs.to_str().unwrap()]).contains("shop.t: 0 rows, equal\n"));
}

#[test]
fn what_is_missing_on_the_machine_says_nothing_of_the_dump() {
    let stage = Stage::new();
    ingest(&stage, "mysql", SMALL_MYSQL.as_bytes());
    let programs = programs_but(&stage, &["mariadb"]);
    fs::write(programs.join("mariadb"), "not to be run").unwrap();
    let options = ["--server-bin", programs.to_str().unwrap()];
    let message = refused(&run(&stage, "mysql", &options), 6);
    assert!(message.contains("mariadb\" cannot be started: "), "{message}");
    assert_eq!(recorded(&stage), "");
    fs::remove_file(stage.path("server/sbin/mariadbd")).unwrap();
    let message = refused(&run(&stage, "mysql", &options), 6);
    assert!(message.contains("install mariadb-server"), "{message}");
    assert_eq!(recorded(&stage), "");
}

#[test]
fn a_second_dump_that_fails_says_nothing_of_the_first() {
    let stage = Stage::new();
    ingest(&stage, "mysql", SMALL_MYSQL.as_bytes());
    let programs = programs_but(&stage, &["mariadb-dump"]);
    let dumper = programs.join("mariadb-dump");
    let half = "printf '%s\\n' '-- MariaDB dump 10.19' 'CREATE TABLE `t` (`id` int);'";
    for (script, reason) in [
        ("exit 3", "it failed with exit status: 3"),
        ("exit 0", "it produced nothing"),
        (half, "what it printed is incomplete: "),
    ] {
        fs::write(&dumper, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&dumper, Permissions::from_mode(0o755)).unwrap();
        let message = refused(&run(&stage, "mysql", &["--server-bin", programs.to_str().unwrap()]), 6);
        let told = format!("/mariadb-dump\" failed dumping the server of the drill: {reason}");
        assert!(message.contains(&told), "{told} is not in {message}");
        assert!(!message.contains("no snapshot was made") && !message.contains("--keep-incomplete"), "{message}");
        assert_eq!(recorded(&stage), "");
    }
}

#[test]
fn rows_as_long_as_a_server_takes_come_back_equal() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "SET GLOBAL max_allowed_packet = 1 << 30; CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE t (id INT PRIMARY KEY, large LONGBLOB)");
    server.run("shop", "INSERT INTO t VALUES (1, REPEAT('x', 26000000)), (2, 'y')");
    ingest(&stage, "mysql", &server.dump(&["--max-allowed-packet=1G", "--databases", "shop"]));
    assert!(equal(&stage, "mysql", &[]).contains("shop.t: 2 rows, equal\n"));
}

#[test]
fn dumps_without_tables_come_back_equal() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE emptydb; CREATE DATABASE of_views; CREATE VIEW of_views.v AS SELECT 1 AS id");
    for options in
        [&["emptydb"][..], &["--databases", "emptydb", "of_views"], &["--system=servers"], &["--databases", "mysql"]]
    {
        ingest(&stage, "mysql", &server.dump(options));
        let printed = equal(&stage, "mysql", &[]);
        assert!(printed.starts_with("equal: 0 tables, 0 rows; server 10."), "{options:?}: {printed}");
        assert!(recorded(&stage).contains(r#""equal":true"#) && recorded(&stage).contains(r#""server":"10."#));
    }
}

#[test]
fn rows_that_were_dumped_with_their_history_come_back_with_it() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE shop");
    server.run(
        "shop",
        "CREATE TABLE t (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING; INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
        UPDATE t SET n = n + 10; UPDATE t SET n = 20 WHERE id = 1; DELETE FROM t WHERE id = 3;
        CREATE TABLE seen (id INT PRIMARY KEY, n INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
        e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
        INSERT INTO seen (id, n) VALUES (1, 1); UPDATE seen SET n = 2; CREATE TABLE plain (id INT PRIMARY KEY)",
    );
    let dump = server.dump(&["--dump-history", "--databases", "shop"]);
    ingest(&stage, "mysql", &dump);
    let printed = equal(&stage, "mysql", &[]);
    for line in ["shop.t: 7 rows, equal", "shop.seen: 2 rows, equal", "shop.plain: 0 rows, equal"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    let statements = "USE `shop`; DELETE HISTORY FROM t;";
    ingest(&stage, "mysql", &with_statements(&dump, "-- Dump completed", statements));
    let printed = different(&stage, "mysql", &[]);
    assert!(printed.contains("shop.t: 7 rows, DIFFERENT: 0 changed, 5 missing, 0 added\n"), "{printed}");
    // Without it, only what is now is compared.
    ingest(&stage, "mysql", &server.dump(&["--databases", "shop", "--ignore-table=shop.seen"]));
    assert!(equal(&stage, "mysql", &[]).contains("shop.t: 2 rows, equal\n"));
    ingest(&stage, "mysql", &server.dump(&["--databases", "shop"]));
    let printed = different(&stage, "mysql", &[]);
    assert!(printed.contains("shop.seen: 1 row, DIFFERENT: 1 changed, 0 missing, 0 added\n"), "{printed}");
}

#[test]
fn users_come_back_where_those_that_are_there_are_spared() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)");
    server.run("", "CREATE USER joe@localhost; CREATE ROLE clerks; GRANT SELECT ON shop.* TO clerks; GRANT clerks TO joe@localhost");
    let users = ["--system=users", "--databases", "shop"];
    ingest(&stage, "mysql", &server.dump(&[&["--insert-ignore"], &users[..]].concat()));
    assert!(equal(&stage, "mysql", &[]).contains("shop.t: 1 row, equal\n"));
    ingest(&stage, "mysql", &server.dump(&users));
    let message = refused(&run(&stage, "mysql", &[]), 6);
    assert!(message.contains("in the statement: CREATE USER `mariadb.sys`@`localhost`"), "{message}");
}

/// A drill in whose server a statement sleeps.
fn sleeping(stage: &Stage) -> Child {
    let dump = "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `t` (`id` int PRIMARY KEY);\n\
                CREATE TABLE `marked` (`id` int) ENGINE=InnoDB;\nDO SLEEP(300);\n-- Dump completed\n";
    ingest(stage, "mysql", dump.as_bytes());
    let child = drill(stage, "mysql", &[]).stderr(Stdio::piped()).spawn().unwrap();
    within(Duration::from_secs(60), "the load begins", || {
        names(place(stage)).first().is_some_and(|name| place(stage).join(name).join("data/shop/marked.ibd").exists())
    });
    assert!(!servers_in(&place(stage)).is_empty());
    child
}

#[test]
fn whoever_ends_a_drill_leaves_nothing_behind() {
    let stage = Stage::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let child = sleeping(&stage);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{signal:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("hint: nothing is kept of it"), "{ended:?}");
        assert_eq!(names(place(&stage)), [""; 0]);
        assert_eq!(servers_in(&place(&stage)), [""; 0]);
        assert_eq!(recorded(&stage), "");
    }
    // One that is killed can do nothing any more: somebody else does.
    let mut child = sleeping(&stage);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    within(Duration::from_secs(20), "all is gone", || {
        names(place(&stage)).is_empty() && servers_in(&place(&stage)).is_empty()
    });
}

#[test]
fn whoever_gives_up_while_a_server_is_made_waits_for_nothing() {
    let stage = Stage::new();
    let mysql =
        "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `t` (`id` int);\n-- Dump completed\n";
    let postgres =
        "SELECT pg_catalog.set_config('search_path', '', false);\n--\n-- PostgreSQL database dump complete\n--\n";
    for (with, dump, server, installer) in
        [("mysql", mysql, "mariadbd", "mariadb-install-db"), ("postgres", postgres, "postgres", "initdb")]
    {
        ingest(&stage, with, dump.as_bytes());
        let programs = stage.make_directory(&format!("slow {with}"));
        symlink("/bin/false", programs.join(server)).unwrap();
        // One that takes long, and so does what it started.
        fs::write(programs.join(installer), "#!/bin/sh\nsh -c ': > begun; sleep 300; :' \"$PWD\"\n").unwrap();
        fs::set_permissions(programs.join(installer), Permissions::from_mode(0o755)).unwrap();
        let options = ["--server-bin", programs.to_str().unwrap()];
        let mut child = drill(&stage, with, &options).stderr(Stdio::null()).spawn().unwrap();
        within(Duration::from_secs(60), "files of a server are made", || {
            names(place(&stage)).first().is_some_and(|name| place(&stage).join(name).join("begun").exists())
        });
        assert!(!servers_in(&place(&stage)).is_empty());
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let mut status = None;
        within(Duration::from_secs(20), "the drill ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(130), "{with}");
        within(Duration::from_secs(20), "what it started ends", || servers_in(&place(&stage)).is_empty());
        assert_eq!(names(place(&stage)), [""; 0]);
        assert_eq!(recorded(&stage), "");
    }
}

#[test]
fn dumps_of_a_real_postgresql_come_back_equal() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", HOSTILE_POSTGRES);
    let all = ["--no-role-passwords", "--no-tablespaces"];
    for (program, options) in [
        ("pg_dump", &["shop"][..]),
        ("pg_dump", &["--inserts", "shop"]),
        ("pg_dump", &["--column-inserts", "shop"]),
        ("pg_dump", &["--rows-per-insert=7", "shop"]),
        ("pg_dump", &["--load-via-partition-root", "shop"]),
        ("pg_dump", &["--create", "--no-owner", "--encoding=UTF8", "shop"]),
        ("pg_dumpall", &all),
    ] {
        ingest(&stage, "postgres", &server.dump(program, options));
        let printed = equal(&stage, "postgres", &[]);
        let last = printed.lines().last().unwrap();
        assert!(last.starts_with("equal: ") && printed.contains("shop.sales.orders: "), "{printed}");
        assert!(recorded(&stage).contains(r#""equal":true"#));
    }
}

#[test]
fn archives_of_a_real_postgresql_come_back_equal() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", HOSTILE_POSTGRES);
    for form in ["-Fc", "-Fd"] {
        let archive = stage.path("archive");
        let path = archive.to_str().unwrap();
        server.dump("pg_dump", &[form, "-f", path, "shop"]);
        stage.succeed(&["ingest", "postgres", "--source", "shop", path]);
        let printed = equal(&stage, "postgres", &[]);
        assert!(printed.lines().last().unwrap().starts_with("equal: "), "{printed}");
        assert!(printed.contains("shop.sales.orders: ") && recorded(&stage).contains(r#""equal":true"#), "{printed}");
        fs::remove_file(&archive).or_else(|_| fs::remove_dir_all(&archive)).unwrap();
    }
}

#[test]
fn a_dump_of_postgresql_18_comes_back_into_one() {
    let (server, stage) = (Postgres::start_18(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run(
        "shop",
        "CREATE TABLE orders (id int PRIMARY KEY, price int, twice int GENERATED ALWAYS AS (price * 2) VIRTUAL,
             CONSTRAINT given NOT NULL price);
         INSERT INTO orders SELECT i, i * 3 FROM generate_series(1, 2000) i",
    );
    let archive = stage.path("archive");
    let path = archive.to_str().unwrap();
    server.dump("pg_dump", &["-Fc", "-f", path, "shop"]);
    let options = ["--server-bin", server.programs().to_str().unwrap()];
    for ingested in ["text", "archive"] {
        match ingested {
            "text" => ingest(&stage, "postgres", &server.dump("pg_dump", &["shop"])),
            _ => drop(stage.succeed(&["ingest", "postgres", "--source", "shop", path])),
        }
        let printed = equal(&stage, "postgres", &options);
        assert!(printed.contains("shop.public.orders: 2,000 rows, equal\n"), "{printed}");
        assert!(printed.contains("equal: 1 table, 2,000 rows; server 18."), "{printed}");
        assert!(recorded(&stage).contains(r#""server":"18."#), "{}", recorded(&stage));
    }
    // That of 15 takes none.
    let message = refused(&run(&stage, "postgres", &[]), 6);
    assert!(message.contains("in the statement: SET transaction_timeout = 0"), "{message}");
}

#[test]
fn directories_that_were_dumped_of_a_real_mariadb_come_back_equal() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run(
        "",
        "CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop; CREATE TABLE parents (id INT PRIMARY KEY);
         CREATE TABLE orders (id INT PRIMARY KEY, parent INT, price DECIMAL(10,2), note TEXT, ratio FLOAT, bits BIT(9), raw VARBINARY(9),
             FOREIGN KEY (parent) REFERENCES parents (id));
         INSERT INTO parents VALUES (1);
         INSERT INTO orders SELECT seq, 1, seq / 100, CONCAT('käse\\t\\n', seq), seq / 3, b'100000001', x'0022275c0a' FROM seq_1_to_2000;
         CREATE TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'new'; CREATE VIEW v AS SELECT id FROM orders",
    );
    let tab = stage.make_directory("tab");
    let words = server.dump_command(&[&format!("--tab={}", tab.display()), "shop"]);
    // Told a character set, the server puts question marks in the place of bytes.
    let words: Vec<_> = words.into_iter().filter(|word| word != "--default-character-set=utf8mb4").collect();
    succeed(Command::new(&words[0]).args(&words[1..]).output().unwrap(), "mariadb-dump");
    let mydumper = stage.path("mydumper");
    succeed(server.mydumper(&mydumper, &["--database", "shop", "--triggers"]), "mydumper");
    for directory in [tab, mydumper] {
        let path = directory.to_str().unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "shop", "--database", "shop", path]);
        let printed = equal(&stage, "mysql", &[]);
        assert!(
            printed.contains("shop.orders: 2,000 rows, equal\n") && printed.contains("\nequal: 2 tables, "),
            "{path}: {printed}"
        );
    }
}

#[test]
fn tablespaces_of_a_real_postgresql_get_directories_of_the_drill() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE ROLE \"space owner\"; CREATE DATABASE shop TEMPLATE template0");
    server.run("postgres", "CREATE TABLESPACE \"fäst; space\" OWNER \"space owner\" LOCATION :'space'");
    server.run("postgres", "CREATE DATABASE within TEMPLATE template0 TABLESPACE \"fäst; space\"");
    server.run("within", "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1)");
    // Rows that look like statements stay rows.
    server.run(
        "shop",
        "CREATE TABLE t (id integer PRIMARY KEY, text text) TABLESPACE \"fäst; space\";
        CREATE TABLE lines (text text);
        INSERT INTO t SELECT i, 'CREATE TABLESPACE a LOCATION ''/nowhere'';' FROM generate_series(1, 900) i;
        INSERT INTO lines VALUES ('CREATE TABLESPACE a LOCATION ''/nowhere'';')",
    );
    let space = server.directory().join("space");
    let all = server.dump("pg_dumpall", &["--no-role-passwords"]);
    let location = format!("LOCATION '{}'", space.display());
    assert!(String::from_utf8_lossy(&all).contains(&location));
    let alone = server.dump("pg_dump", &["--create", "within"]);
    // The directory of the server that was dumped is there, and taken; later on one that is there, and could be taken.
    let before = names(space.clone());
    assert!(!before.is_empty());
    for (dump, threads) in [(&all, "1"), (&all, "3"), (&alone, "3")] {
        ingest(&stage, "postgres", dump);
        equal(&stage, "postgres", &["--threads", threads]);
        assert_eq!(names(space.clone()), before);
    }
    let empty = stage.make_directory("taken from nobody");
    let there = String::from_utf8(all).unwrap().replace(&location, &format!("LOCATION '{}'", empty.display()));
    fs::set_permissions(&empty, Permissions::from_mode(0o777)).unwrap();
    ingest(&stage, "postgres", there.as_bytes());
    equal(&stage, "postgres", &[]);
    assert_eq!(names(empty), [""; 0]);
}

/// Settings that lead elsewhere, or alter what is loaded or dumped.
fn hostile_settings(home: &Path) -> Vec<(&'static str, String)> {
    let elsewhere = "[client]\nhost=127.0.0.1\nport=1\nprotocol=tcp\n[mysqldump]\nno-data\n[mysqld]\nport=x\n";
    fs::write(home.join(".my.cnf"), elsewhere).unwrap();
    fs::write(home.join(".psqlrc"), "\\q\n").unwrap();
    fs::write(home.join("services"), "[elsewhere]\nhostaddr=127.0.0.1\n").unwrap();
    let below = |name: &str| home.join(name).to_str().unwrap().to_string();
    let places = [("HOME", below("")), ("MYSQL_HOME", below("")), ("PGSERVICEFILE", below("services"))];
    let words = [
        ("PGSERVICE", "elsewhere"),
        ("PGHOST", "127.0.0.1"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGDATABASE", "nowhere"),
        ("PGSSLMODE", "verify-full"),
        ("PGCLIENTENCODING", "nonsense"),
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
        ("MYSQL_HOST", "127.0.0.1"),
        ("MYSQL_TCP_PORT", "1"),
        ("MYSQL_UNIX_PORT", "/nowhere"),
        ("MYSQL_GROUP_SUFFIX", "_elsewhere"),
        ("LC_ALL", "de_DE.UTF-8"),
    ];
    places.into_iter().chain(words.map(|(name, value)| (name, value.to_string()))).collect()
}

#[test]
fn no_setting_of_the_user_reaches_a_drill() {
    let (mariadb, postgres, stage) = (MariaDb::start(), Postgres::start(), Stage::new());
    let settings = hostile_settings(&stage.make_directory("home"));
    postgres.run("postgres", "CREATE ROLE reader; CREATE DATABASE shop TEMPLATE template0");
    postgres
        .run("shop", "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1); GRANT SELECT ON t TO reader");
    mariadb.run("", "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)");
    for (with, dump) in
        [("postgres", postgres.dump("pg_dump", &["shop"])), ("mysql", mariadb.dump(&["--databases", "shop"]))]
    {
        ingest(&stage, with, &dump);
        let output = drill(&stage, with, &[]).envs(settings.clone()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output).contains(".t: 1 row, equal\n"), "{output:?}");
    }
}

#[test]
fn rows_that_a_real_postgresql_alters_are_counted() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", "CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 900) i");
    server.run("shop", "CREATE TABLE gone (id integer); INSERT INTO gone VALUES (1); CREATE TABLE empty (id integer)");
    server.run(
        "shop",
        "CREATE TABLE wider (id integer); CREATE TABLE keyless (text text); INSERT INTO keyless VALUES ('a'), ('a')",
    );
    let dump = server.dump("pg_dump", &["shop"]);
    let statements =
        "UPDATE public.t SET note = 'x' WHERE id = 7;\nDELETE FROM public.t WHERE id > 898;\nDROP TABLE public.gone;
ALTER TABLE public.wider ADD COLUMN more integer; DELETE FROM public.keyless WHERE ctid = '(0,1)'; UPDATE public.keyless SET text = 'b'; 
DO $$ BEGIN EXECUTE 'CREATE TABLE public.came ()'; END $$;\n";
    ingest(&stage, "postgres", &with_statements(&dump, "--\n-- PostgreSQL database dump complete", statements));
    let printed = different(&stage, "postgres", &[]);
    for line in [
        "shop.public.t: 900 rows, DIFFERENT: 1 changed, 2 missing, 0 added",
        "shop.public.gone: 1 row, DIFFERENT: 0 changed, 1 missing, 0 added; the server does not give it back",
        "shop.public.empty: 0 rows, equal",
        "shop.public.wider: 0 rows, DIFFERENT: 0 changed, 0 missing, 0 added; column more was added",
        "shop.public.keyless: 2 rows, DIFFERENT: 0 changed, 2 missing, 1 added",
        "shop.public.came: 0 rows, DIFFERENT: 0 changed, 0 missing, 0 added; the snapshot does not have it",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    assert!(recorded(&stage).contains(r#""tables_different":5"#));
    let damaged = String::from_utf8_lossy(&dump).replace("\n700\t", "\nnonsense\t");
    ingest(&stage, "postgres", damaged.as_bytes());
    let message = refused(&run(&stage, "postgres", &[]), 6);
    assert!(
        message.contains("loading the rows of 5 tables of shop") && message.contains("in the statement: COPY public.t"),
        "{message}"
    );
}
