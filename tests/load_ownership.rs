//! Stories of loading dumps that name owners, roles and definers, by users who may not make everything theirs.

mod support;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::server::{refused, restore_into, restored};

const LEFT_OUT: [&str; 2] = ["--no-owner", "--no-privileges"];

const OWNED: &str = "
    CREATE SCHEMA sales AUTHORIZATION app;
    SET ROLE app;
    CREATE TABLE sales.orders (id serial PRIMARY KEY, note text);
    INSERT INTO sales.orders (note) SELECT 'ALTER TABLE x OWNER TO y; ' || i FROM generate_series(1, 20000) i;
    CREATE VIEW sales.few AS SELECT * FROM sales.orders LIMIT 5;
    CREATE FUNCTION sales.total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM sales.orders';
    GRANT SELECT ON sales.orders TO web;
    ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO web;
    REVOKE ALL ON FUNCTION sales.total() FROM PUBLIC;";

/// A repository with a dump of a database that is not the superuser's own, and the server that was dumped.
fn owned(options: &[&str]) -> (Postgres, Stage) {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE ROLE app; CREATE ROLE web; CREATE DATABASE shop TEMPLATE template0");
    server.run("shop", OWNED);
    std::fs::write(stage.path("shop.sql"), server.dump("pg_dump", &[options, &["shop"]].concat())).unwrap();
    let file = stage.path("shop.sql");
    stage.succeed(&["ingest", "postgres", "--source", "shop", "--database", "shop", file.to_str().unwrap()]);
    (server, stage)
}

fn has_database(server: &Postgres, name: &str) -> bool {
    !server.run("postgres", format!("SELECT 1 FROM pg_database WHERE datname = '{name}'")).is_empty()
}

#[test]
fn roles_that_a_postgres_lacks_are_told_before_anything_is_made() {
    let (server, stage) = owned(&[]);
    let other = Postgres::start();
    let load = |options: &[&str]| restore_into(&stage, &other.url("copy"), options);
    let table = ["--table", "shop.sales.orders"];
    for options in [&[][..], &["--threads", "1"], &table] {
        let message = refused(&load(options), 2);
        assert!(message.contains("names roles that the server does not have: app, web\n"), "{message}");
        assert!(message.contains("hint: make them first; or --no-owner leaves out"), "{message}");
        let message = refused(&load(&[options, &["--no-owner"]].concat()), 2);
        assert!(message.contains("does not have: ") && message.contains("web\n"), "{message}");
        assert!(!has_database(&other, "copy"), "it was made");
    }
    for threads in ["1", "3"] {
        restored(&load(&["--threads", threads, LEFT_OUT[0], LEFT_OUT[1]]));
        assert_eq!(content(&other, "copy", &LEFT_OUT), content(&server, "shop", &LEFT_OUT));
        let owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'sales'";
        assert_eq!(other.run("copy", owners), "postgres\n");
        other.run("postgres", "DROP DATABASE copy");
    }
    restored(&load(&[&table[..], &LEFT_OUT].concat()));
    assert_eq!(
        other.run("copy", "SELECT count(*), min(note) FROM sales.orders").trim(),
        "20000|ALTER TABLE x OWNER TO y; 1"
    );
    // What is left out is in the snapshot all the same.
    let post = stage.succeed(&["cat", "shop:/shop/sales/tables/orders/post.sql"]);
    assert!(post.contains("TO web;"), "{post}");
}

#[test]
fn whoever_is_no_superuser_of_a_postgres_is_told_so_before_anything_is_made() {
    for options in [&[][..], &["--use-set-session-authorization"]] {
        let (_server, stage) = owned(options);
        let other = Postgres::start();
        other.run("postgres", "CREATE ROLE app; CREATE ROLE web; CREATE ROLE loader LOGIN CREATEDB");
        let url = other.url("copy").replace("postgres@", "loader@");
        for options in [&[][..], &["--table", "shop.sales.orders"]] {
            let message = refused(&restore_into(&stage, &url, options), 2);
            assert!(message.contains("owners that whoever loads it is neither nor a member of: app\n"), "{message}");
            assert!(message.contains("hint: --no-owner "), "{message}");
        }
        let message = refused(&restore_into(&stage, &url, &["--no-owner"]), 2);
        assert!(message.contains("nor a member of: app\nhint: --no-privileges "), "{message}");
        assert!(!has_database(&other, "copy"), "it was made");
        restored(&restore_into(&stage, &url, &LEFT_OUT));
        let told = "SELECT tableowner, has_table_privilege('web', 'sales.orders', 'SELECT') FROM pg_tables WHERE tablename = 'orders'";
        assert_eq!(other.run("copy", told), "loader|f\n");
        assert_eq!(other.run("copy", "SELECT sales.total()").trim(), "20000");
    }
}

const DEFINED: &str = "
    CREATE USER app@'%';
    CREATE DATABASE shop;
    USE shop;
    CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(100));
    INSERT INTO orders VALUES (1, 'CREATE DEFINER=`x`@`y` VIEW');
    CREATE DEFINER=app@'%' VIEW few AS SELECT * FROM orders;
    GRANT ALL ON shop.* TO app@'%';
    CREATE DEFINER=app@'%' TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'noted';
    CREATE DEFINER=app@'%' PROCEDURE total() SELECT COUNT(*) FROM orders;
    CREATE DEFINER=app@'%' EVENT yearly ON SCHEDULE EVERY 1 YEAR DO DELETE FROM orders;";

/// Who defines what there is in a database.
fn definers(server: &MariaDb) -> String {
    let of =
        |what: &str, schema: &str| format!("SELECT DEFINER FROM information_schema.{what} WHERE {schema} = 'shop'");
    let all = [
        ("VIEWS", "TABLE_SCHEMA"),
        ("TRIGGERS", "TRIGGER_SCHEMA"),
        ("ROUTINES", "ROUTINE_SCHEMA"),
        ("EVENTS", "EVENT_SCHEMA"),
    ];
    let all: Vec<String> = all.into_iter().map(|(what, schema)| of(what, schema)).collect();
    server.run("", all.join(" UNION ALL "))
}

#[test]
fn definers_that_a_user_of_mariadb_may_not_name_are_told_before_anything_is_made() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", DEFINED);
    std::fs::write(stage.path("shop.sql"), server.dump(&["--routines", "--events", "--databases", "shop"])).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
    let other = MariaDb::start();
    other.run("", "CREATE USER loader@localhost; GRANT ALL ON shop.* TO loader@localhost");
    let url = other.url("").replace("root@", "loader@");
    let table = ["--table", "shop.orders"];
    for options in [&[][..], &["--threads", "1"], &table] {
        let message = refused(&restore_into(&stage, &url, options), 2);
        assert!(message.contains("names definers that only a user with SUPER, SET USER"), "{message}");
        assert!(message.contains(": `app`@`%`\nhint: --without-definer makes"), "{message}");
        assert!(!other.run("", "SHOW DATABASES").contains("shop"), "it was made");
        restored(&restore_into(&stage, &url, &[options, &["--without-definer"]].concat()));
        let count = if options == table { 1 } else { 4 };
        assert_eq!(definers(&other), "loader@localhost\n".repeat(count));
        assert_eq!(other.run("shop", "SELECT note FROM orders"), "CREATE DEFINER=`x`@`y` VIEW\n");
        other.run("", "DROP DATABASE shop");
    }
    // Who may is told that they are not there.
    let output = restore_into(&stage, &other.url(""), &[]);
    restored(&output);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("does not have these definers") && told.contains(": `app`@`%`; --without-definer"), "{told}");
    assert_eq!(definers(&other).matches("app@%").count(), 4);
    other.run("", "CREATE USER app@'%'");
    let output = restore_into(&stage, &other.url(""), &["--overwrite"]);
    restored(&output);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("definers"), "{output:?}");
}

#[test]
fn triggers_and_functions_that_a_binary_log_forbids_are_told_before_anything_is_changed() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", DEFINED);
    std::fs::write(stage.path("shop.sql"), server.dump(&["--routines", "--databases", "shop"])).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
    let users = "CREATE USER loader@localhost; GRANT ALL ON shop.* TO loader@localhost;
        CREATE USER strong@localhost; GRANT ALL ON shop.* TO strong@localhost; GRANT SUPER ON *.* TO strong@localhost;";
    server.run(
        "shop",
        format!("{users} UPDATE orders SET note = 'of today'; SET GLOBAL log_bin_trust_function_creators = 0"),
    );
    let as_user = |user: &str| server.url("").replace("root@", &format!("{user}@"));
    for options in [&[][..], &["--table", "shop.orders"]] {
        let options = [options, &["--overwrite", "--without-definer"]].concat();
        let message = refused(&restore_into(&stage, &as_user("loader"), &options), 2);
        let expected =
            "user \"loader@localhost\" is not usable: the server has a binary log, and only a user with SUPER";
        assert!(message.contains(expected), "{message}");
        assert_eq!(server.run("shop", "SELECT note FROM orders"), "of today\n");
        restored(&restore_into(&stage, &as_user("strong"), &options));
        assert_eq!(server.run("shop", "SELECT note FROM orders"), "CREATE DEFINER=`x`@`y` VIEW\n");
        server.run("shop", "DROP TRIGGER noted; UPDATE orders SET note = 'of today'");
    }
    // Without triggers and functions there is nothing to refuse.
    std::fs::write(stage.path("few.sql"), server.dump(&["--databases", "shop"])).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "few", stage.path("few.sql").to_str().unwrap()]);
    let options = ["--overwrite", "--without-definer"];
    let url = as_user("loader");
    let words = [&["restore", "few", "--into", &url][..], &options].concat();
    restored(&stage.command(&words).output().unwrap());
}

#[test]
fn a_restore_sql_without_definers_needs_no_right_to_name_them() {
    let (server, stage) = (MariaDb::start(), Stage::new());
    server.run("", DEFINED);
    std::fs::write(stage.path("shop.sql"), server.dump(&["--databases", "shop"])).unwrap();
    let file = stage.path("shop.sql");
    stage.succeed(&["ingest", "mysql", "--source", "shop", "--restore-without-definer", file.to_str().unwrap()]);
    server.run("", "CREATE USER loader@localhost; GRANT ALL ON copy.* TO loader@localhost");
    let url = server.url("copy").replace("root@", "loader@");
    restored(&restore_into(&stage, &url, &["--table", "shop.orders"]));
    let definer = "SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'copy'";
    assert_eq!(server.run("", definer), "loader@localhost\n");
    let message = refused(&restore_into(&stage, &url, &["--no-owner"]), 2);
    assert!(message.contains("\"--no-owner\" is not usable: only dumps of PostgreSQL"), "{message}");
}
