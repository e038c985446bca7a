//! Stories of bringing dumps, and tables of them, into a real MariaDB again.

mod support;

use std::process::Output;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::server::{counting_client, picky_client, refused, restore_into, restored, restoring_into};

const HOSTILE: &str = include_str!("mysql/hostile.sql");

/// A repository with a snapshot of a dump, and the server that was dumped.
fn dumped(arguments: &[&str]) -> (MariaDb, Stage) {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", HOSTILE);
    ingest(&stage, &server.dump(arguments));
    (server, stage)
}

fn ingest(stage: &Stage, dump: &[u8]) {
    std::fs::write(stage.path("shop.sql"), dump).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
}

fn restore(stage: &Stage, server: &MariaDb, options: &[&str]) -> Output {
    restore_into(stage, &server.url(""), options)
}

/// A dump without the line that tells when, and by which server, and without how far counters are.
fn plain_dump(server: &MariaDb, arguments: &[&str]) -> String {
    let fixed = ["--skip-dump-date", "--skip-comments", "--hex-blob"];
    String::from_utf8_lossy(&server.dump(&[&fixed, arguments].concat())).into_owned()
}

#[test]
fn a_whole_dump_comes_back_into_another_server() {
    let databases = ["--routines", "--events", "--databases", "shop", "we/ird .%d`b"];
    let (server, stage) = dumped(&databases);
    let other = MariaDb::start();
    assert!(restored(&restore(&stage, &other, &[])).starts_with("loaded the dump: "));
    assert_eq!(plain_dump(&other, &databases), plain_dump(&server, &databases));

    // What is there is not replaced unawares.
    other.run("shop", "DELETE FROM orders");
    let message = refused(&restore(&stage, &other, &[]), 2);
    assert!(message.contains("already exists") && message.contains("hint: --overwrite replaces it; "), "{message}");
    assert_eq!(other.run("shop", "SELECT COUNT(*) FROM orders").trim(), "0");
    restored(&restore(&stage, &other, &["--overwrite", "--json"]));
    assert_eq!(plain_dump(&other, &databases), plain_dump(&server, &databases));
}

#[test]
fn a_load_tells_of_its_progress() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", "CREATE DATABASE shop; USE shop; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_9000");
    let dump = String::from_utf8(server.dump(&["--databases", "shop"])).unwrap();
    let slow = dump.replacen("UNLOCK TABLES;", "UNLOCK TABLES;\nDO SLEEP(2.5);", 1);
    ingest(&stage, slow.as_bytes());
    let other = MariaDb::start();
    let printed = restored(&restore(&stage, &other, &["--json"]));
    let records: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, before) = records.split_last().unwrap();
    assert_eq!((&last["type"], &last["bytes"]), (&"load".into(), &slow.len().into()));
    assert!(!before.is_empty() && before.iter().all(|record| record["type"] == "progress"), "{printed}");
    // All rows were given to a client before the last one was told.
    let told = before.last().unwrap();
    let [given, expected] = ["bytes", "bytes_expected"].map(|name| told[name].as_u64().unwrap());
    assert!(given > slow.len() as u64 / 2 && given <= expected && expected >= slow.len() as u64, "{printed}");
    // Without a terminal, as a line every few seconds.
    ingest(&stage, slow.replace("SLEEP(2.5)", "SLEEP(5.5)").as_bytes());
    let output = restore(&stage, &other, &["--overwrite"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_told = |line: &str| line.starts_with("yesterfs: ") && line.contains(" KiB of ") && line.contains(" KiB/s");
    assert!(said.lines().any(is_told), "{output:?}");
}

#[test]
fn what_only_the_server_has_is_not_dropped_and_what_both_have_is_not_replaced() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    let make =
        "CREATE DATABASE d1; USE d1; CREATE TABLE t (id INT); CREATE PROCEDURE p() SELECT 1; CREATE VIEW v AS SELECT 1;
        CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE SEQUENCE s";
    server.run("", make);
    ingest(&stage, &server.dump(&["--add-drop-database", "--routines", "--events", "--databases", "d1"]));
    server.run("d1", "DROP TABLE t; CREATE TABLE precious (id INT)");
    let message = refused(&restore(&stage, &server, &[]), 2);
    assert!(message.contains("database \"d1\" already exists"), "{message}");
    // One of all that the dump replaces, each time.
    ingest(&stage, &server.dump(&["--routines", "--events", "--databases", "d1"]));
    let kinds = [("PROCEDURE p", "procedure"), ("VIEW v", "view"), ("EVENT e", "event"), ("SEQUENCE s", "sequence")];
    for (own, what) in kinds {
        server.run("", "DROP DATABASE d1; CREATE DATABASE d1");
        let own_name = own.split_once(' ').unwrap().1;
        let statement = match own {
            "PROCEDURE p" => "CREATE PROCEDURE p() SELECT 'mine'",
            "VIEW v" => "CREATE VIEW v AS SELECT 'mine'",
            "EVENT e" => "CREATE EVENT e ON SCHEDULE EVERY 7 DAY DO SELECT 7",
            _ => "CREATE SEQUENCE s START WITH 777",
        };
        server.run("d1", statement);
        let message = refused(&restore(&stage, &server, &[]), 2);
        assert!(message.contains(&format!("{what} \"d1.{own_name}\" already exists")), "{message}");
    }
    restored(&restore(&stage, &server, &["--overwrite"]));
    assert_eq!(server.run("d1", "SELECT COUNT(*) FROM precious").trim(), "0");
}

#[test]
fn a_dump_without_a_database_goes_where_it_is_told() {
    let (server, stage) = dumped(&["shop", "orders", "customers"]);
    restored(&restore_into(&stage, &server.url("copy of shop".replace(' ', "%20").as_str()), &[]));
    let rows = |database: &str| plain_dump(&server, &[database, "orders", "customers"]);
    assert_eq!(rows("copy of shop"), rows("shop"));
    // One that names its own goes nowhere else, and nothing is made or replaced.
    ingest(&stage, &server.dump(&["--databases", "shop"]));
    let message = refused(&restore_into(&stage, &server.url("scratch"), &["--overwrite"]), 2);
    assert!(message.contains("names its database itself, \"shop\": leave \"scratch\" out of the URL"), "{message}");
    assert!(!server.run("", "SHOW DATABASES").contains("scratch"));
    restored(&restore_into(&stage, &server.url("shop"), &["--overwrite"]));
    ingest(&stage, &server.dump(&["shop", "orders", "customers"]));
    // Else into the one that was dumped.
    let other = MariaDb::start();
    restored(&restore(&stage, &other, &[]));
    assert_eq!(plain_dump(&other, &["shop", "orders", "customers"]), rows("shop"));
}

#[test]
fn one_table_comes_back_under_another_name() {
    let (server, stage) = dumped(&["--databases", "shop"]);
    let before = plain_dump(&server, &["--databases", "shop"]);
    // Beside the first in its own database: neither its triggers nor its foreign keys may have the same names.
    restored(&restore(&stage, &server, &["--table", "`shop`.`orders`", "--as", "shop.orders_before"]));
    let rows = |table: &str| server.run("shop", format!("SELECT * FROM `{table}` ORDER BY id"));
    assert_eq!(rows("orders_before"), rows("orders"));
    let triggers = |table: &str| {
        let query = "SELECT trigger_name FROM information_schema.triggers WHERE event_object_table";
        server.run("", format!("{query} = '{table}' ORDER BY trigger_name"))
    };
    let own: String = triggers("orders").lines().map(|name| format!("orders_before_{name}\n")).collect();
    assert_eq!((triggers("orders_before"), own.lines().count()), (own.clone(), 4));
    let keys = "SELECT constraint_name, table_name, referenced_table_name FROM information_schema.referential_constraints \
                WHERE constraint_schema = 'shop' ORDER BY 1";
    assert_eq!(
        server.run("", keys),
        "orders_before_ibfk_1\torders_before\tcustomers\norders_ibfk_1\torders\tcustomers\n"
    );
    server.run("shop", "DROP TABLE orders_before");
    assert_eq!(plain_dump(&server, &["--databases", "shop"]), before, "all else stayed as it was");

    // Into another database, which is made; a second time only when told.
    let elsewhere = ["--table", "shop.customers", "--as", "shop_restored.customers"];
    restored(&restore(&stage, &server, &elsewhere));
    let content = |database: &str| plain_dump(&server, &["--triggers", database, "customers"]);
    assert_eq!(content("shop_restored"), content("shop"));
    let message = refused(&restore(&stage, &server, &elsewhere), 2);
    assert!(message.contains("\"shop_restored.customers\" already exists"), "{message}");
    restored(&restore(&stage, &server, &[&elsewhere[..], &["--overwrite"]].concat()));
}

#[test]
fn every_table_comes_back_by_its_name() {
    let (server, stage) = dumped(&["--databases", "shop"]);
    let query =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_type = 'BASE TABLE'";
    let names: Vec<String> = server.run("", query).lines().map(|name| name.replace("\\n", "\n")).collect();
    // It needs a sequence of the database.
    let names: Vec<&String> = names.iter().filter(|name| *name != "numbered").collect();
    assert_eq!(names.len(), 11, "{names:?}");
    let options: Vec<String> = names.iter().flat_map(|name| ["--table".into(), format!("shop.{name}")]).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let url = server.url("shop_restored");
    assert!(restored(&restore_into(&stage, &url, &options)).starts_with("loaded 11 tables: "));
    let tables: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let content = |database: &str| plain_dump(&server, &[&[database], &tables[..]].concat());
    assert_eq!(content("shop_restored"), content("shop"));
}

#[test]
fn nothing_is_made_where_one_of_several_tables_is_there() {
    let (server, stage) = dumped(&["--databases", "shop", "we/ird .%d`b"]);
    let query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'we/ird .%d`b' LIMIT 1";
    let other = format!("we/ird .%d`b.{}", server.run("", query).trim());
    server.run("", "DROP DATABASE shop");
    let message = refused(&restore(&stage, &server, &["--table", "shop.orders", "--table", &other]), 2);
    assert!(message.contains(&format!("\"{other}\" already exists")), "{message}");
    let databases = server.run("", "SHOW DATABASES");
    assert!(!databases.lines().any(|name| name == "shop"), "{databases}");
}

#[test]
fn whoever_interrupts_a_load_is_told_what_stays() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    let rows: String = (0..200_000).map(|id| format!("INSERT INTO `t` VALUES ({id},'some text');\n")).collect();
    let table = "CREATE DATABASE d;\nUSE `d`;\nCREATE TABLE `t` (`id` int, `note` text);\n";
    ingest(&stage, format!("-- MariaDB dump 10.19\n{table}{rows}-- Dump completed\n").as_bytes());
    // A client that has whoever started it interrupted before it takes anything.
    let client =
        picky_client(&stage, "mariadb", "-n \"$(case $* in *--execute*) ;; *) kill -INT $PPID ;; esac; echo x)\"");
    let message = refused(&restore(&stage, &server, &["--client", &client]), 130);
    assert!(message.contains("hint: what was loaded stays in the server; drop it, or run the command"), "{message}");
}

#[test]
fn a_load_that_fails_says_where() {
    let (server, stage) = dumped(&["--databases", "shop"]);
    // The same key twice, far into the rows; each row is a statement of its own.
    let dump = server.dump(&["--skip-extended-insert", "--databases", "shop"]);
    let text = String::from_utf8_lossy(&dump).into_owned();
    let damaged = text.replace("INSERT INTO `large` VALUES (15000,", "INSERT INTO `large` VALUES (14999,");
    assert_ne!(damaged, text);
    ingest(&stage, damaged.as_bytes());
    server.make_empty("target");
    let options = ["--table", "shop.large", "--as", "target.large"];
    let message = refused(&restore(&stage, &server, &options), 6);
    for part in ["loading shop.large", "Duplicate entry '14999'", "in the statement: INSERT INTO `large` VALUES"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    // A server that is not there, a table that the dump does not have, a client that is not installed.
    let message = refused(&restore_into(&stage, "mysql://root@/?socket=/nowhere", &[]), 6);
    assert!(message.contains("failed asking the server") && message.contains("/nowhere"), "{message}");
    let message = refused(&restore(&stage, &server, &["--table", "shop.missing"]), 2);
    assert!(message.contains("\"shop.missing\"") && message.contains("no table"), "{message}");
    let message = refused(&restore(&stage, &server, &["--table", "shop.order"]), 2);
    assert!(message.contains("hint: did you mean shop.orders?"), "{message}");
    let message = refused(&restore(&stage, &server, &["--client", "no-such-client"]), 6);
    assert!(message.contains("\"no-such-client\" cannot be started"), "{message}");
    let message = refused(&restore_into(&stage, "mysql://me:secret@/shop", &[]), 2);
    assert!(message.contains("MYSQL_PWD") && !message.contains("secret"), "{message}");
    let message = refused(&restore_into(&stage, &server.url(""), &["--to", "/tmp"]), 2);
    assert!(message.contains("cannot be used with"), "{message}");
}

#[test]
fn settings_of_the_user_count_where_the_url_says_nothing() {
    let (server, stage) = dumped(&["--databases", "shop"]);
    let own = stage.path("own.cnf");
    std::fs::write(&own, "[client]\ndefault-character-set=utf8mb4\nhost=127.0.0.1\nport=1\nprotocol=tcp\n").unwrap();
    let url = server.url("");
    let (socket, _) = url.split_once("&defaults-file=").unwrap();
    let with_own = format!("{socket}&defaults-file={}", own.display());
    server.run("", "CREATE USER loader@localhost IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO loader@localhost");
    for url in [&with_own, &url] {
        let mut command = restoring_into(&stage, &url.replace("root@", "loader@"), &["--overwrite"]);
        restored(&command.env("MYSQL_HOST", "127.0.0.1").env("MYSQL_PWD", "secret").output().unwrap());
    }
    // Without a socket or a host it is as the user set it.
    let left_out = format!("mysql://root@/?defaults-file={}", own.display());
    let message = refused(&restore_into(&stage, &left_out, &["--overwrite"]), 6);
    assert!(message.contains("'127.0.0.1'"), "{message}");
}

/// Three tables that are worth a client each, many that are not, and what must come behind rows.
const WIDE: &str = "
CREATE DATABASE wide;
USE wide;
CREATE TABLE journal (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(20));
CREATE TABLE a (id INT PRIMARY KEY, text VARCHAR(300), parent INT, FOREIGN KEY (parent) REFERENCES c (id));
CREATE TABLE b (id INT PRIMARY KEY, text VARCHAR(300));
CREATE TABLE c (id INT PRIMARY KEY, text VARCHAR(300));
INSERT INTO a SELECT seq, REPEAT(MD5(seq), 8), seq FROM seq_1_to_20000;
INSERT INTO b SELECT id, text FROM a;
INSERT INTO c SELECT id, text FROM a;
CREATE TRIGGER a_journal AFTER INSERT ON a FOR EACH ROW INSERT INTO journal (what) VALUES (NEW.id);
INSERT INTO a VALUES (20001, 'last', 1);
CREATE VIEW rows_of_a AS SELECT COUNT(*) AS count FROM a;
CREATE PROCEDURE count_a() SELECT COUNT(*) FROM a;
CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR DO DELETE FROM a;
";

#[test]
fn several_clients_load_the_rows_of_one_dump() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    let small: String =
        (0..300).map(|n| format!("CREATE TABLE t{n} (id INT); INSERT INTO t{n} VALUES ({n});")).collect();
    server.run("", format!("SET foreign_key_checks = 0;{WIDE}{small}"));
    let databases = ["--routines", "--events", "--databases", "wide"];
    let (dump, plain) = (server.dump(&databases), plain_dump(&server, &databases));
    assert!(
        plain.contains("EVENT `yearly`") && plain.contains("PROCEDURE `count_a`"),
        "the dump lacks what it should have"
    );
    ingest(&stage, &dump);
    let (client, clients) = counting_client(&stage, "mariadb");
    let load_with = |threads: &str| {
        let other = MariaDb::start();
        restored(&restore(&stage, &other, &["--client", &client, "--threads", threads]));
        assert_eq!(plain_dump(&other, &databases), plain);
        clients()
    };
    // One for what is no row, one for each of the large tables, one for all others.
    assert_eq!(load_with("3"), 5);
    assert_eq!(load_with("1"), 1);
    // What one session is not to log is logged all the same, in all of them; and with foreign keys the order matters.
    let text = String::from_utf8_lossy(&server.dump(&["wide", "b", "c"])).into_owned();
    let unlogged = text.replacen("/*!40101 SET NAMES", "SET @@SESSION.SQL_LOG_BIN=0;\n/*!40101 SET NAMES", 1);
    let checked = text.replacen("FOREIGN_KEY_CHECKS=0", "FOREIGN_KEY_CHECKS=1", 1);
    for (text, expected) in [(&text, 3), (&unlogged, 3), (&checked, 1)] {
        ingest(&stage, text.as_bytes());
        let url = server.url("wide_restored");
        restored(&restore_into(&stage, &url, &["--client", &client, "--threads", "2", "--overwrite"]));
        assert_eq!(clients(), expected);
        assert_eq!(plain_dump(&server, &["wide_restored", "b", "c"]), plain_dump(&server, &["wide", "b", "c"]));
    }
    assert_ne!((&text, &text), (&unlogged, &checked));
}

#[test]
fn rows_that_fail_are_named_and_nothing_follows_them() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", format!("SET foreign_key_checks = 0;{WIDE}"));
    let dump = server.dump(&["--skip-extended-insert", "--routines", "--databases", "wide"]);
    let text = String::from_utf8_lossy(&dump).into_owned();
    let damaged = text.replace("INSERT INTO `b` VALUES\n(15000,", "INSERT INTO `b` VALUES\n(14999,");
    let damaged = damaged.replace("INSERT INTO `b` VALUES (15000,", "INSERT INTO `b` VALUES (14999,");
    assert_ne!(damaged, text);
    ingest(&stage, damaged.as_bytes());
    let other = MariaDb::start();
    let message = refused(&restore(&stage, &other, &["--threads", "2"]), 6);
    for part in ["loading the rows of wide.b", "Duplicate entry '14999'", "in the statement: INSERT INTO `b` VALUES"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(
        other.run("wide", "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = 'wide'").trim(),
        "0"
    );
    // What comes in order is told, too.
    let damaged =
        text.replace("CREATE DEFINER=`root`@`localhost` PROCEDURE", "CREATE DEFINER=`root`@`localhost` PROCEDUR");
    assert_ne!(damaged, text);
    ingest(&stage, damaged.as_bytes());
    let message = refused(&restore(&stage, &MariaDb::start(), &["--threads", "2"]), 6);
    assert!(message.contains("loading the dump") && message.contains("PROCEDUR `count_a`"), "{message}");
}

#[test]
fn what_a_server_replicates_and_logs_stays_as_it_is() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", format!("SET foreign_key_checks = 0;{WIDE}"));
    let provisioning = ["--master-data=1", "--gtid", "--apply-slave-statements", "--databases", "wide"];
    let dump = String::from_utf8_lossy(&server.dump(&provisioning)).into_owned();
    // As `mysqldump` has it of a server with GTIDs.
    let unlogged = "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n";
    let dump = dump.replacen("/*!40101 SET NAMES", &format!("{unlogged}/*!40101 SET NAMES"), 1);
    for statement in
        ["\nSTOP ALL SLAVES;", "\nCHANGE MASTER TO", "\nSET GLOBAL gtid_slave_pos=", "\nSTART ALL SLAVES;", unlogged]
    {
        assert!(dump.contains(statement), "{statement} is not in the dump");
    }
    ingest(&stage, dump.as_bytes());
    let (primary, replica) = MariaDb::start_pair();
    let follows = || {
        let status = replica.run("", "SHOW SLAVE STATUS");
        let words: Vec<&str> = status.split('\t').collect();
        [words[1], words[3], words[10], words[11]].map(str::to_string)
    };
    let before = (follows(), replica.run("", "SELECT @@GLOBAL.gtid_slave_pos"));
    for threads in ["1", "2"] {
        let output = restore(&stage, &replica, &["--threads", threads, "--overwrite"]);
        restored(&output);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let left_out = "left out, so that the server replicates and logs as before: CHANGE MASTER, SET GTID_SLAVE_POS, \
                        SET SQL_LOG_BIN, START ALL, STOP ALL;";
        assert!(told.contains(left_out), "{told}");
        assert_eq!((follows(), replica.run("", "SELECT @@GLOBAL.gtid_slave_pos")), before);
    }
    // What a primary is given reaches its replicas.
    replica.run("", "DROP DATABASE wide");
    restored(&restore(&stage, &primary, &["--threads", "2"]));
    replica.catch_up(&primary);
    assert_eq!(plain_dump(&replica, &["--databases", "wide"]), plain_dump(&server, &["--databases", "wide"]));
    // And a dump that leaves all that alone is told nothing of.
    ingest(&stage, &server.dump(&["--master-data=2", "--databases", "wide"]));
    let output = restore(&stage, &primary, &["--overwrite"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("left out"), "{output:?}");
    // One that does more than that stays, and is told.
    let mixed = "SET SQL_LOG_BIN = 1, @x = 1;\n/*!40101 SET NAMES";
    ingest(&stage, dump.replacen("/*!40101 SET NAMES", mixed, 1).as_bytes());
    let output = restore(&stage, &primary, &["--overwrite"]);
    restored(&output);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let stays = "loaded as it is, since the same statement sets something else: SET SQL_LOG_BIN";
    assert!(told.contains(stays), "{told}");
}
