//! Stories of one row through all snapshots of a source.

mod support;

use std::sync::Arc;

use support::dumped::{in_database, kept_incomplete, options, reader};
use support::postgres::Postgres;
use support::repository::{TestRepository, now};
use yesterfs::error::{Error, ErrorKind, Result};
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::{DumpSide, find_rows, row_history};

const MIB: u64 = 1 << 20;

const DEFINITION: &str = "`id` int NOT NULL,\n  `state` varchar(20),\n  `text` longtext,\n  PRIMARY KEY (`id`)";

fn ingest(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let options = in_database(Some("shop"), kept_incomplete(options(reader(dump))));
    ingest_mysql(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

/// A dump of a table `t`, and of another one before it.
fn dump(definition: &str, rows: &[String]) -> Vec<u8> {
    let inserts = rows.chunks(900).map(|rows| format!("INSERT INTO `t` VALUES\n{};\n", rows.join(",\n")));
    format!(
        "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `t` (\n  {definition}\n);\n\
         LOCK TABLES `t` WRITE;\n{}UNLOCK TABLES;\n-- Dump completed\n",
        inserts.collect::<String>()
    )
    .into_bytes()
}

fn row(id: usize, state: &str) -> String {
    format!("({id},'{state}','{:<220}text {}')", "", id % 97)
}

fn rows(count: usize) -> Vec<String> {
    (0..count).map(|id| row(id, "new")).collect()
}

/// Steps as `NUMBER: BEFORE > AFTER`, where snapshots are numbered from 0, and the bytes that were read up to each.
#[derive(Debug, Default)]
struct History {
    has_row: bool,
    steps: Vec<String>,
    bytes: Vec<u64>,
    bytes_in_all: u64,
    notes: Vec<String>,
}

fn try_history(place: &TestRepository, table: &str, key: &str) -> Result<History> {
    let (monitor, mut history) = (Recorder::default(), History::default());
    let snapshots: Vec<Arc<Snapshot>> = place.repository.catalog().choices("shop").rev().cloned().collect();
    let values: Vec<Vec<u8>> = key.split(',').map(|value| value.as_bytes().to_vec()).collect();
    let mut give = |step: &yesterfs::rows::HistoryStep| -> Result<()> {
        let state = |side: usize| {
            let literal = step.sides[side].as_ref().map(|view| view.literal(1).unwrap_or_default());
            literal.map_or("-".to_string(), |it| String::from_utf8_lossy(it).into_owned())
        };
        let mark = if step.is_oldest { " (oldest)" } else { "" };
        let number = step.snapshot.sequence - 1;
        history.steps.push(format!("{number}: {} > {}{mark}", state(0), state(1)));
        history.bytes.push(Counters::get(&monitor.counters.bytes_read));
        Ok(())
    };
    let has_row = row_history(&place.repository, &snapshots, table.as_bytes(), None, &values, &monitor, &mut give)?;
    history.has_row = has_row;
    history.bytes_in_all = Counters::get(&monitor.counters.bytes_read);
    history.notes = monitor.notes.into_inner().unwrap();
    Ok(history)
}

#[track_caller]
fn history(place: &TestRepository, key: &str) -> History {
    try_history(place, "shop.t", key).unwrap()
}

#[test]
fn a_row_is_followed_by_reading_only_what_changed_near_it() {
    let place = TestRepository::new();
    let mut rows = rows(50_000);
    let make = |rows: &[String]| ingest(&place, &dump(DEFINITION, rows));
    let removed = rows.remove(31_415);
    make(&rows); // 0
    rows.insert(31_415, removed);
    make(&rows); // 1
    let first = rows.clone();
    rows[7] = row(7, "paid"); // far away
    rows[49_000] = row(49_000, "paid");
    make(&rows); // 2
    rows[31_415] = row(31_415, "paid");
    make(&rows); // 3
    make(&rows); // 4: nothing at all
    rows[31_420] = row(31_420, "paid"); // next to it
    make(&rows); // 5
    rows.drain(100..200); // all that follows moves
    make(&rows); // 6
    let at = rows.iter().position(|row| row.starts_with("(31415,")).unwrap();
    rows.remove(at);
    make(&rows); // 7
    make(&first); // 8: nearly all is other
    let found = history(&place, "31415");
    let expected = ["8: - > 'new'", "7: 'paid' > -", "3: 'new' > 'paid'", "1: - > 'new'"];
    assert_eq!(found.steps, expected);
    assert!(found.has_row, "some snapshots have it, if not the oldest");
    // Where it is missing, it is nowhere in what the snapshot does not share with the next one: of 7 nearly all.
    let is_of_unshared = |note: &String| note.contains("does not share with the next newer snapshot");
    assert!(found.notes.len() == 2 && found.notes.iter().all(is_of_unshared), "{:?}", found.notes);
    assert!(found.bytes_in_all < 17 * MIB, "the table has 12 MiB: {found:?}");
    // From snapshot 7 to 3 nothing near the row changed but in 6 and 5.
    assert!(found.bytes[2] - found.bytes[1] < MIB, "{found:?}");

    // A row that never changed, and one that never was.
    let found = history(&place, "20000");
    assert_eq!(found.steps, ["0: - > 'new' (oldest)"]);
    assert!(found.bytes_in_all < 3 * MIB, "{found:?}");
    let found = history(&place, "50000");
    assert!(found.steps.is_empty() && found.notes[0].contains("all of shop.t is read"), "{found:?}");
    assert!(!found.has_row);
}

#[test]
fn where_a_snapshot_shares_the_rows_nothing_is_read() {
    let place = TestRepository::new();
    let mut rows = rows(50_000);
    ingest(&place, &dump(DEFINITION, &rows));
    let read = history(&place, "31415").bytes_in_all;
    assert!(read > 0);
    for number in 0..20 {
        rows[number * 10] = row(number * 10, "paid");
        ingest(&place, &dump(DEFINITION, &rows));
    }
    assert_eq!(history(&place, "31415").bytes_in_all, read, "only the newest snapshot is read");
}

#[test]
fn history_tells_what_finding_the_row_in_every_snapshot_tells() {
    let mut dice = 0x2545_f491_4f6c_dd1du64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) as usize % sides
    };
    let place = TestRepository::new();
    let mut present: Vec<(usize, usize)> = (0..9_000).map(|id| (id, 0)).collect();
    let mut snapshots = Vec::new();
    for number in 0..25 {
        for _ in 0..roll(40) {
            let at = roll(present.len());
            let id = roll(9_100);
            match roll(5) {
                0 => drop(present.remove(at)),
                // As PostgreSQL updates.
                2 => {
                    let (id, _) = present.remove(at);
                    present.push((id, number));
                }
                1 if present.iter().all(|(known, _)| *known != id) => {
                    present.push((id, number));
                    // Now and then a table is not in the order of its keys.
                    if roll(12) > 0 {
                        present.sort();
                    }
                }
                _ => present[at].1 = number,
            }
        }
        let rows: Vec<String> = present.iter().map(|(id, version)| row(*id, &version.to_string())).collect();
        snapshots.push(ingest(&place, &dump(DEFINITION, &rows)));
    }
    for _ in 0..150 {
        let key = roll(9_100).to_string();
        let state = |snapshot: &Snapshot| {
            let (monitor, mut state) = (Recorder::default(), "-".to_string());
            let side = DumpSide::new(&place.repository, snapshot, &monitor).unwrap();
            find_rows(&side, b"shop.t", None, &[key.clone().into_bytes()], &monitor, &mut |found| {
                state = String::from_utf8_lossy(found.row.literal(1).unwrap()).into_owned();
                Ok(())
            })
            .unwrap();
            state
        };
        let states: Vec<String> = snapshots.iter().map(|snapshot| state(snapshot)).collect();
        let mut expected: Vec<String> = (1..states.len())
            .filter(|&at| states[at] != states[at - 1])
            .map(|at| format!("{at}: {} > {}", states[at - 1], states[at]))
            .rev()
            .collect();
        expected.extend((states[0] != "-").then(|| format!("0: - > {} (oldest)", states[0])));
        assert_eq!(history(&place, &key).steps, expected, "{key}");
    }
}

#[test]
fn what_is_read_in_another_way_is_not_taken_for_the_same() {
    let place = TestRepository::new();
    let mut rows = rows(5_000);
    rows[777] = row(777, r"a\\b");
    // In the header, so that the definition of the table is the same.
    let in_mode = |mode: &str, rows: &[String]| {
        let header = format!("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='{mode}' */;\n\nCREATE TABLE");
        String::from_utf8(dump(DEFINITION, rows)).unwrap().replacen("CREATE TABLE", &header, 1)
    };
    ingest(&place, in_mode("NO_BACKSLASH_ESCAPES", &rows).as_bytes()); // 0
    rows[4_000] = row(4_000, "paid");
    ingest(&place, in_mode("", &rows).as_bytes()); // 1: the same bytes mean something else
    assert_eq!(history(&place, "777").steps, [r"1: 'a\\b' > 'a\\b'", r"0: - > 'a\\b' (oldest)"]);
    assert_eq!(history(&place, "778").steps, ["0: - > 'new' (oldest)"]);
}

#[test]
fn rows_of_a_table_that_is_defined_in_another_way_are_other_rows() {
    let (place, rows) = (TestRepository::new(), rows(1_000));
    ingest(&place, &dump(DEFINITION, &rows)); // 0
    ingest(&place, &dump(&DEFINITION.replace("`state`", "`status`"), &rows)); // 1
    let found = history(&place, "777");
    assert!(found.steps.len() == 2 && found.steps[0].starts_with("1: "), "{found:?}");
}

#[test]
fn a_long_row_whose_key_became_another_is_found_where_it_was() {
    let place = TestRepository::new();
    let mut rows = rows(4_000);
    let mut number = 1u64;
    // No two of its chunks are the same, and only the first has its key.
    let long: String = (0..30_000)
        .map(|_| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:08x} ", number >> 32)
        })
        .collect();
    let of = |id: usize| format!("({id},'new','{long}')");
    rows[777] = of(777);
    ingest(&place, &dump(DEFINITION, &rows)); // 0
    rows[777] = of(99_777);
    ingest(&place, &dump(DEFINITION, &rows)); // 1
    assert_eq!(history(&place, "777").steps, ["1: 'new' > -", "0: - > 'new' (oldest)"]);
    assert_eq!(history(&place, "99777").steps, ["1: - > 'new'"]);
}

#[test]
fn rows_are_understood_by_the_columns_that_stand_before_them() {
    let place = TestRepository::new();
    let of = |state: &str| {
        let rows = format!(
            "INSERT INTO `t` (`id`,`state`,`text`) VALUES (1,'a','x');\nINSERT INTO `t` (`text`,`state`,`id`) VALUES ('2','{state}',7);\n"
        );
        String::from_utf8(dump(DEFINITION, &[])).unwrap().replacen("UNLOCK", &format!("{rows}UNLOCK"), 1)
    };
    ["new", "new", "paid"].iter().for_each(|state| drop(ingest(&place, of(state).as_bytes())));
    let (text, told, code) = place.yesterfs(&["history", "shop", "shop.t", "--key", "7", "--json"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), code), (2, Some(0)), "{told}");
    let end =
        r#""before":{"id":7,"state":"new","text":"2"},"after":{"id":7,"state":"paid","text":"2"},"changed":["state"]}"#;
    assert!(lines[0].ends_with(end), "{text}");
    assert!(lines[1].contains(r#""after":{"id":7,"state":"new","text":"2"}"#), "{text}");
}

#[test]
fn dumps_of_another_kind_are_left_out() {
    let place = TestRepository::new();
    let of_postgres = b"--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (id integer);\n\n--\n-- PostgreSQL database dump complete\n--\n";
    ingest(&place, &dump(DEFINITION, &[row(1, "new")])); // 0
    let options = in_database(Some("shop"), options(reader(of_postgres)));
    ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap(); // 1
    ingest(&place, &dump(DEFINITION, &[row(1, "paid")])); // 2
    assert_eq!(history(&place, "1").steps, ["2: 'new' > 'paid'", "0: - > 'new' (oldest)"]);
}

#[test]
fn a_table_that_nothing_orders_is_scanned_and_that_is_said() {
    let place = TestRepository::new();
    let shuffled = |state: &str| -> Vec<String> {
        let all = (0..20_000).map(|number| number * 7919 % 20_000);
        all.map(|id| if id == 777 { row(id, state) } else { row(id, "new") }).collect()
    };
    ingest(&place, &dump(DEFINITION, &shuffled("new")));
    ingest(&place, &dump(DEFINITION, &shuffled("paid")));
    let found = history(&place, "777");
    assert_eq!(found.steps, ["1: 'new' > 'paid'", "0: - > 'new' (oldest)"]);
    assert!(found.notes.iter().any(|note| note.contains("all of shop.t is read")), "{found:?}");
    let found = history(&place, "20001");
    assert!(found.steps.is_empty() && !found.notes.is_empty(), "{found:?}");
}

#[test]
fn a_row_without_a_key_is_found_by_the_columns_that_are_named() {
    let place = TestRepository::new();
    let table = "`day` date,\n  `host` varchar(20),\n  `load` int";
    let make =
        |definition: &str, rows: &[String]| format!("shop@{}", ingest(&place, &dump(definition, rows)).manifest.name);
    let found = |words: &[&str]| place.yesterfs(&[&["history", "shop", "shop.t"], words].concat());
    // More than is looked at around a place.
    let mut rows: Vec<String> =
        (0..40_000).map(|at| format!("('2026-11-20','db{}',{at})", at * 7919 % 40_000)).collect();
    let at = rows.iter().position(|row| row.contains("'db777'")).unwrap();
    let first = make(table, &rows);
    rows[at] = "('2026-11-20','db777',5)".into();
    let second = make(table, &rows);
    rows.remove(10);
    let _third = make(table, &rows);
    rows.swap(100, at - 1);
    rows[100] = "('2026-11-20','db777',6)".into();
    let fourth = make(table, &rows);
    let (told, notes, code) = found(&["--by", "day,host", "--key", "2026-11-20,db777"]);
    let lines: Vec<&str> = told.lines().collect();
    let seen = rows_seen(&lines);
    assert_eq!(seen, [format!("{fourth}: updated"), format!("{second}: updated"), format!("{first}: seen")], "{told}");
    assert!(lines.contains(&"    load: 5 -> 6") && code == Some(0), "{told}");
    assert!(notes.contains("reading all of shop.t: nothing tells where the row would be"), "{notes}");
    // What it was named by is not enough, there is no such column, or as many values.
    let refused = |words: &[&str], part: &str| {
        let (_, told, code) = found(words);
        assert!(told.contains(part) && code == Some(2), "{words:?}: {told}");
    };
    refused(&["--by", "day", "--key", "2026-11-20"], "several of its rows have these values; name more columns");
    refused(&["--by", "hast", "--key", "db777"], "no such column; it has day, host, load");
    refused(&["--by", "day,host", "--key", "db777"], "the key of shop.t is day, host");
    refused(&["--by", "host", "--key", "db40001"], "no row \"db40001\"");
    refused(&["--key", "db777"], "name the columns to find the row by: --by");
    // Where an older snapshot has no such column, the history ends.
    let place = TestRepository::new();
    let make = |definition: &str, row: &str| ingest(&place, &dump(definition, &[row.into()]));
    make("`day` date", "('2026-11-20')");
    make(table, "('2026-11-20','db1',1)");
    let (told, notes, _) = place.yesterfs(&["history", "shop.t", "--by", "host", "--key", "db1"]);
    assert!(
        told.contains(": seen\n") && notes.contains("shop.t lacks columns, by which the row cannot be found"),
        "{told}{notes}"
    );
}

/// The lines that say what happened in a snapshot.
fn rows_seen<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    lines.iter().copied().filter(|line| line.starts_with("shop@")).collect()
}

#[test]
fn a_dump_that_does_not_tell_the_key_is_followed_by_what_is_named() {
    let place = TestRepository::new();
    let of = |state: &str| {
        let whole = String::from_utf8(dump(DEFINITION, &[row(7, state), row(8, "new")])).unwrap();
        let (start, end) = (whole.find("CREATE TABLE").unwrap(), whole.find("INSERT").unwrap());
        [&whole[..start], &whole[end..]].concat()
    };
    ["new", "paid"].iter().for_each(|state| drop(ingest(&place, of(state).as_bytes())));
    let (_, told, code) = place.yesterfs(&["history", "shop.t", "--key", "7"]);
    assert!(told.contains("--by") && code == Some(2), "{told}");
    let (told, notes, code) = place.yesterfs(&["history", "shop.t", "--by", "1", "--key", "7"]);
    assert!(told.contains("'new' -> 'paid'") && code == Some(0), "{told}{notes}");
}

#[test]
fn rows_of_postgres_are_followed_alike() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run(
        "postgres",
        "CREATE TABLE t (id int PRIMARY KEY, state text, more text);
         INSERT INTO t SELECT id, 'new', repeat(md5(id::text), 4) FROM generate_series(1, 20000) id",
    );
    let ingest = || {
        // In the order of the key, as few tables stay.
        server.run("postgres", "CLUSTER t USING t_pkey");
        let options = in_database(Some("shop"), options(reader(&server.dump("pg_dump", &["postgres"]))));
        ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap();
    };
    ingest(); // 0
    server.run("postgres", "UPDATE t SET state = 'paid' WHERE id = 777");
    ingest(); // 1
    server.run("postgres", "UPDATE t SET state = 'moved' WHERE id > 19000; DELETE FROM t WHERE id = 5");
    ingest(); // 2
    server.run("postgres", "DELETE FROM t WHERE id = 777; INSERT INTO t VALUES (5, NULL, 'again')");
    ingest(); // 3
    let found = try_history(&place, "shop.public.t", "777").unwrap();
    assert_eq!(found.steps, ["3: paid > -", "1: new > paid", "0: - > new (oldest)"], "{found:?}");
    assert!(found.bytes_in_all < 5 * MIB, "{found:?}");
    assert_eq!(try_history(&place, "t", "5").unwrap().steps, ["3: - > \\N", "2: new > -", "0: - > new (oldest)"]);
    assert!(try_history(&place, "t", "20001").unwrap().steps.is_empty());
}

#[test]
fn a_row_of_postgres_that_moved_is_followed() {
    let (server, place) = (Postgres::start(), TestRepository::new());
    server.run(
        "postgres",
        "CREATE TABLE t (id int PRIMARY KEY, state text, more text) WITH (autovacuum_enabled = off);
         INSERT INTO t SELECT id, 'new', repeat(md5(id::text), 4) FROM generate_series(1, 20000) id",
    );
    let ingest = |change: &str| {
        server.run("postgres", change);
        let options = in_database(Some("shop"), options(reader(&server.dump("pg_dump", &["postgres"]))));
        ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap();
    };
    ingest("SELECT 1"); // 0
    ingest("UPDATE t SET state = 'paid' WHERE id = 777"); // 1: it is the last one now
    ingest("UPDATE t SET state = 'paid' WHERE id = 778"); // 2
    ingest("DELETE FROM t WHERE id = 779"); // 3
    ingest("UPDATE t SET state = 'sent' WHERE id IN (777, 9000)"); // 4
    ingest("DELETE FROM t WHERE id = 777"); // 5
    ingest("UPDATE t SET state = 'many' WHERE id > 5000"); // 6: nearly all is elsewhere
    let found = try_history(&place, "t", "777").unwrap();
    let expected = ["5: sent > -", "4: paid > sent", "1: new > paid", "0: - > new (oldest)"];
    assert_eq!(found.steps, expected, "{found:?}");
    // All of the newest table, of which each key must be looked at, and of the one before it what is elsewhere.
    assert!(found.notes.len() == 2 && found.bytes_in_all < 8 * MIB, "{found:?}");
    assert_eq!(try_history(&place, "t", "778").unwrap().steps, ["2: new > paid", "0: - > new (oldest)"]);
    assert_eq!(try_history(&place, "t", "779").unwrap().steps, ["3: new > -", "0: - > new (oldest)"]);
    assert_eq!(try_history(&place, "t", "6000").unwrap().steps, ["6: new > many", "0: - > new (oldest)"]);
}

#[test]
fn tables_come_go_and_are_made_in_another_way() {
    let place = TestRepository::new();
    let other =
        b"-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\nCREATE TABLE `u` (`id` int);\n-- Dump completed\n";
    let keyed = |key: &str| format!("`id` int NOT NULL,\n  `state` varchar(20),\n  `other` int NOT NULL,\n  {key}");
    ingest(&place, &dump(&keyed("PRIMARY KEY (`other`)"), &["(9,'x',1)".into()])); // 0: another key
    ingest(&place, &dump(&keyed("PRIMARY KEY (`id`)"), &["(1,'a',1)".into()])); // 1
    ingest(&place, other); // 2
    ingest(&place, &dump(&keyed("PRIMARY KEY (`id`)"), &["(1,'a',1)".into(), "(2,'b',1)".into()])); // 3
    ingest(&place, &dump(&keyed("`more` int,\n  PRIMARY KEY (`id`)"), &["(1,'a',1,NULL)".into()])); // 4
    let found = history(&place, "1");
    assert_eq!(found.steps, ["4: 'a' > 'a'", "3: - > 'a'", "2: 'a' > -", "1: - > 'a' (oldest)"]);
    assert!(found.notes[0].contains("shop.t has another key"), "{found:?}");
    // The oldest of all lacks the table.
    let place = TestRepository::new();
    ingest(&place, other); // 0
    ingest(&place, &dump(&keyed("PRIMARY KEY (`id`)"), &["(1,'a',1)".into()])); // 1
    assert_eq!(history(&place, "1").steps, ["1: - > 'a'"]);
    let error = try_history(&place, "shop.t", "1,2").unwrap_err();
    assert!(error.to_string().contains("the key of shop.t is id"), "{error}");
    let snapshots: Vec<Arc<Snapshot>> = place.repository.catalog().choices("shop").rev().cloned().collect();
    let missing = row_history(
        &place.repository,
        &snapshots,
        b"shop.none",
        None,
        &[b"1".to_vec()],
        &Recorder::default(),
        &mut |_| Ok(()),
    );
    let error = missing.unwrap_err();
    assert!(matches!(error, Error::NotFound { what: "table", .. }) && error.kind() == ErrorKind::NotFound, "{error}");
}

#[test]
fn the_command_line_shows_the_newest_first() {
    let place = TestRepository::new();
    let two = "`id` int NOT NULL,\n  `state` varchar(20),\n  PRIMARY KEY (`id`)";
    let three = "`id` int NOT NULL,\n  `state` varchar(20),\n  `note` text,\n  PRIMARY KEY (`id`)";
    let make = |definition: &str, rows: &[&str]| {
        let rows: Vec<String> = rows.iter().map(|row| row.to_string()).collect();
        let snapshot = ingest(&place, &dump(definition, &rows));
        format!("shop@{}", snapshot.manifest.name)
    };
    let names = [
        make(two, &["(41,'x')", "(42,'new')"]),
        make(two, &["(42,'new')"]),
        make(two, &["(42,'paid')"]),
        make(two, &["(41,'x')"]),
        make(three, &["(41,'x',NULL)", "(42,'it''s',NULL)"]),
    ];
    let (text, told, code) = place.yesterfs(&["history", "shop", "shop.t", "--key", "42"]);
    let [first, _, paid, gone, again] = &names;
    let expected = format!(
        "{again}: inserted\n    id: 42\n    state: 'it''s'\n    note: NULL\n\
         {gone}: deleted\n    id: 42\n    state: 'paid'\n\
         {paid}: updated\n    state: 'new' -> 'paid'\n\
         {first}: seen\n    id: 42\n    state: 'new'\n"
    );
    assert_eq!((text, told, code), (expected, String::new(), Some(0)));
    // A column that came is told; the source can be left out where there is but one.
    let (text, ..) = place.yesterfs(&["history", "shop.t", "--key", "41"]);
    assert!(
        text.starts_with(&format!("{again}: updated\n    note: no such column -> NULL\n{gone}: inserted\n")),
        "{text}"
    );
    let (json, ..) = place.yesterfs(&["history", "shop", "shop.t", "--key", "42", "--json"]);
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[2].starts_with(r#"{"type":"version","snapshot":""#), "{json}");
    let end = r#""table":"shop.t","op":"update","before":{"id":42,"state":"new"},"after":{"id":42,"state":"paid"},"changed":["state"]}"#;
    assert!(lines[2].ends_with(end), "{json}");
    let ops = ["insert", "delete", "update", "seen"];
    assert!(lines.iter().zip(ops).all(|(line, op)| line.contains(&format!(r#""op":"{op}""#))), "{json}");

    let failed = |words: &[&str], part: &str| {
        let (_, told, code) = place.yesterfs(&[&["history"], words].concat());
        assert!(told.contains(part) && code == Some(2), "{words:?}: {told}");
    };
    failed(&["shop", "shop.t", "--key", "43"], "no row \"43\"");
    failed(&["shop", "shop.u", "--key", "43"], "no table \"shop.u\"");
    failed(&["shep", "shop.t", "--key", "43"], "did you mean shop?");
    failed(&["shop.t"], "--key");
}
