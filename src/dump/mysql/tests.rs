use super::lexer::LOOKAHEAD_BYTES;
use super::*;

use proptest::prelude::*;

/// What is said of a dump that comes in pieces of these lengths, over and over.
fn read(dump: &[u8], lengths: &[usize]) -> (Vec<Event>, DumpFacts) {
    let mut events = Vec::new();
    let mut reader = MysqlDump::default();
    let mut rest = dump;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min((*length).max(1)));
        reader.push(piece, &mut |event| events.push(event));
        rest = behind;
    }
    let facts = reader.finish(&mut |event| events.push(event));
    (events, facts)
}

fn parts(events: &[Event]) -> Vec<&Part> {
    events.iter().filter_map(|event| if let Event::Part(part) = event { Some(part) } else { None }).collect()
}

/// Kind and name of each part, and the text of it.
fn told(dump: &str) -> Vec<(PartKind, String, &str)> {
    let (events, _) = read(dump.as_bytes(), &[dump.len()]);
    let parts = parts(&events);
    let ends = parts.iter().skip(1).map(|part| part.start as usize).chain([dump.len()]);
    let text = |part: &Part, end: usize| &dump[part.start as usize..end];
    let name = |part: &Part| String::from_utf8_lossy(&part.name).into_owned();
    parts.iter().zip(ends).map(|(part, end)| (part.kind, name(part), text(part, end))).collect()
}

fn end_of(dump: &str) -> DumpEnd {
    read(dump.as_bytes(), &[dump.len()]).1.end
}

/// Kind, database and name of each part that is of an object, and the database that a banner tells of.
fn named(dump: &[u8]) -> (Vec<(PartKind, String, String)>, Option<String>) {
    let (events, facts) = read(dump, &[7]);
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let told = parts(&events).into_iter().filter(|part| !part.name.is_empty());
    let told = told.map(|part| (part.kind, part.database.as_deref().map_or(String::new(), shown), shown(&part.name)));
    (told.collect(), facts.banner_database.as_deref().map(shown))
}

#[test]
fn names_are_in_utf8_whichever_set_they_stand_in() {
    let dump = b"-- MariaDB dump 10.19  Distrib 10.11\n--\n-- Host: localhost    Database: b\xe9\n-- --\n\n\
        /*!40101 SET NAMES latin1 */;\n/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n\n\
        --\n-- Table structure for table `\xe9`\n--\n\nDROP TABLE IF EXISTS `\xe9`;\n\
        /*!40101 SET @saved_cs_client     = @@character_set_client */;\n\
        /*!40101 SET character_set_client = utf8mb4 */;\nCREATE TABLE `\xc3\xa9` (\n  `x` int\n);\n\
        /*!40101 SET character_set_client = @saved_cs_client */;\nLOCK TABLES \xe9 WRITE;\n\
        INSERT INTO \xe9 VALUES\n(1);\nUNLOCK TABLES;\n\
        SET @saved_cs_client     = @@character_set_client;\nSET character_set_client = utf8mb4;\n\
        /*!50001 CREATE VIEW `v\xe9` AS SELECT\n NULL AS `\xc3\xa9` */;\nSET character_set_client = @saved_cs_client;\n\
        USE `b\xe9`;\n/*!50003 SET character_set_client  = cp1251 */ ;\nDELIMITER ;;\n\
        CREATE PROCEDURE `\xe4\xee\xec`() SELECT 1;;\nDELIMITER ;\n";
    let (parts, banner) = named(dump);
    let expected = [
        (PartKind::Schema, "", "é"),
        (PartKind::Data, "", "é"),
        (PartKind::ViewStub, "", "vé"),
        (PartKind::Procedure, "bé", "дом"),
    ];
    let expected = expected.map(|(kind, database, name)| (kind, database.to_string(), name.to_string()));
    assert_eq!((parts, banner.as_deref()), (expected.to_vec(), Some("bé")));
}

#[test]
fn of_dumps_behind_one_another_each_tells_its_database_in_its_own_set() {
    let dump = |set: &str, name: &[u8]| {
        let banner = [b"-- MySQL dump 10.13\n--\n-- Host: localhost    Database: ", name, b"\n"].concat();
        let settings = format!("/*!40101 SET NAMES {set} */;\n/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES */;\n");
        [&banner, settings.as_bytes(), b"CREATE TABLE t (x int);\n-- Dump completed\n"].concat()
    };
    let all = [dump("utf8mb4", "ä".as_bytes()), dump("latin1", b"\xe9"), dump("koi8r", b"\xc4\xcf\xcd")].concat();
    let (parts, banner) = named(&all);
    let databases: Vec<_> = parts.iter().map(|(_, database, _)| database.as_str()).collect();
    assert_eq!((databases, banner.as_deref()), (vec!["", "é", "дом"], Some("ä")));
}

#[test]
fn of_many_needs_not_all_are_kept() {
    let needs = |count: usize| {
        let columns = |number| format!("  `c{number}` int REFERENCES `t{number}` (`x`),\n");
        let dump = format!("CREATE TABLE `a` (\n{});\n", (0..count).map(columns).collect::<String>());
        let (events, _) = read(dump.as_bytes(), &[100]);
        events.iter().find_map(|event| if let Event::Needs(needs) = event { Some(needs.len()) } else { None })
    };
    assert_eq!((needs(3), needs(1000), needs(1001)), (Some(3), Some(1000), Some(1000)));
}

/// What a trigger needs in its body that is of such a kind, or not.
fn needed(body: &str, is_wanted: impl Fn(NeedKind) -> bool) -> Vec<String> {
    let dump = format!("DELIMITER ;;\nCREATE TRIGGER f(x) BEFORE INSERT ON `a` FOR EACH ROW {body};;\n");
    let (events, _) = read(dump.as_bytes(), &[10]);
    let needs = events.iter().find_map(|event| if let Event::Needs(needs) = event { Some(needs) } else { None });
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let names = needs.into_iter().flatten().filter(|need| is_wanted(need.kind)).map(|need| {
        let database = need.database.as_deref().map_or(String::new(), |database| text(database) + ".");
        database + &text(&need.name)
    });
    names.collect()
}

#[test]
fn what_a_trigger_calls_is_found() {
    let called = |body: &str| needed(body, |kind| kind != NeedKind::TableOfTrigger);
    assert_eq!(called("SET NEW.x = f(1) + `f`(2) + s.g (h(NEW.y))"), ["f", "s.g", "h"]);
    assert_eq!(called("INSERT INTO t (x) VALUES (NOW()), ('k(1)'), (\"l(1)\") -- m(1)\n"), [""; 0]);
    let tables = "INSERT IGNORE INTO s.t (x) VALUES (REPLACE(f(1), 'a', 'b')); INSERT s . u (x) SELECT `INSERT`('a', 1, 2, s.g()); \
                  REPLACE `s`.`v` (x) VALUES (1); CALL s.p(h())";
    assert_eq!(called(&format!("BEGIN {tables}; END")), ["f", "INSERT", "s.g", "s.p", "h"]);
    assert_eq!(called("CALL p"), ["p"]);
    assert_eq!(called("BEGIN CALL `a``b` ; CALL s . q(f(1)); END"), ["a`b", "s.q", "f"]);
    assert_eq!(called("IF (NEW.x IN (1, 2)) THEN SET @a = (1); END IF /* n(1) */"), [""; 0]);
}

#[test]
fn tables_of_a_trigger_are_found() {
    let tables = |body: &str| needed(body, |kind| kind == NeedKind::TableOfTrigger);
    for (body, expected) in [
        ("INSERT INTO audit VALUES (NEW.id, 'INSERT INTO no')", &["audit"][..]),
        ("INSERT IGNORE INTO s.`au``dit` (x) VALUES (1) ON DUPLICATE KEY UPDATE x = 2", &["s.au`dit"]),
        ("REPLACE audit SET x = REPLACE('a', 'b', 'c'), y = INSERT('a', 1, 2, 'b')", &["audit"]),
        ("BEGIN UPDATE LOW_PRIORITY t SET x = 1; DELETE QUICK FROM u WHERE x = OLD.id; END", &["t", "u"]),
        ("UPDATE t AS a, s.u b JOIN v ON v.id = b.id SET a.x = 1", &["t", "s.u", "v"]),
        ("DELETE b FROM t AS b LEFT JOIN u USING (id)", &["t", "u"]),
        ("INSERT INTO t SELECT x FROM u, (SELECT y FROM v ORDER BY y, z FOR UPDATE) w", &["t", "u", "v"]),
        ("BEGIN SELECT MAX(x) INTO @y FROM t; SELECT 1 INTO z; END", &["t"]),
        (
            "INSERT INTO t SELECT SUBSTRING(NEW.x FROM 2), TRIM(BOTH 'x' FROM (NEW.y)) FROM DUAL WHERE SUBSTR(a, (2)) > MID(b, 1)",
            &["t"],
        ),
        // Its own, and what is none.
        ("SET NEW.x = (SELECT MAX(x) FROM a), NEW.y = EXTRACT(YEAR FROM b), NEW.z = TRIM(' ' FROM NEW.z)", &[]),
        (
            "/* INSERT INTO t */ SET @x = 'FROM t', @y = (SELECT 1 FROM JSON_TABLE('[]', '$[*]' COLUMNS (x INT PATH '$')) t)",
            &[],
        ),
    ] {
        assert_eq!(tables(body), expected, "{body}");
    }
}

#[test]
fn the_definer_of_a_trigger_is_found() {
    let told = |definer: &str, behind: &str| {
        let before = "/*!50003 CREATE*/ /*!50017 ";
        let dump = format!(
            "DELIMITER ;;\n{before}{definer}{behind} /*!50003 TRIGGER t BEFORE INSERT ON `a` FOR EACH ROW SET @x = 1 */;;\n"
        );
        let (events, _) = read(dump.as_bytes(), &[10]);
        let found =
            events.iter().find_map(|event| if let Event::Definer(range) = event { Some(range.clone()) } else { None });
        found.map(|range| dump[range.start as usize..range.end as usize].to_string())
    };
    for definer in [
        "DEFINER=`r`@`%`",
        "DEFINER='a''b'@'h'",
        "DEFINER = `r`@localhost",
        "DEFINER=r@localhost",
        "DEFINER=r@`%`",
        "DEFINER=`role`",
        "DEFINER=CURRENT_USER()",
        "DEFINER=`a*/b`@`x`",
    ] {
        assert_eq!(told(definer, "*/").as_deref(), Some(definer));
    }
    assert_eq!(told("", "*/"), None);
}

/// Pieces of dumps, each of which changes how what follows is to be read, or looks as if it did.
const FRAGMENTS: [&str; 32] = [
    "--\n-- Table structure for table `a`\n--\n\n",
    "DROP TABLE IF EXISTS `a``b`;\n",
    "CREATE TABLE `a` (\n  `x` int REFERENCES `p` (`y`)\n) COMMENT='it''s; \\'';\n",
    "\n--\n-- Dumping data for table `a`\n--\n",
    "INSERT INTO `a` VALUES\n(1,'x\\'),(',-2),\n(2,NULL,3);\n",
    "INSERT INTO `a` (`values`, `b`) VALUES (1,'''');",
    "REPLACE INTO b SELECT 1;\n",
    "DELIMITER ;;\n",
    "DELIMITER //\n",
    "DELIMITER ;\n",
    "CREATE PROCEDURE `p`() BEGIN SELECT ';;'; -- it's\nEND ;;\n",
    "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON `a` FOR EACH ROW SET @x = 1 */;;\n",
    "/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;\n",
    "/*!50003 SET @saved_sql_mode = @@sql_mode */ ;\n",
    "/*!50003 SET sql_mode = @saved_sql_mode */ ;\n",
    "SELECT '\\';\n",
    "SELECT \"a'b\";\n",
    "# it's a comment\n",
    "/* a ' comment */",
    "/* * / **/\n",
    "/* a comment that is longer than what the reader looks ahead, with ' and ; and * / in it, to its last ** star **/\n",
    "SELECT /* the same in a statement: longer than what the reader looks ahead, with ' and ; and * / in it ****/ 1;\n",
    "-",
    "--",
    "/",
    "'",
    "`",
    "\\",
    "/*M!999999\\- enable the sandbox mode */ \n",
    "-- MariaDB dump 10.19\n",
    "-- Dump completed on 2026-11-26\n",
    "USE `d`;\n",
];

proptest! {
    /// However a dump is cut into pieces, and wherever it ends, its parts are the same, and they are the dump.
    #[test]
    fn parts_do_not_depend_on_pieces_and_leave_nothing_out(
        chosen in prop::collection::vec(0..FRAGMENTS.len(), 0..40),
        lengths in prop::collection::vec(1usize..90, 1..8),
        cut in 0.0..1.0f64,
    ) {
        let whole: String = chosen.iter().map(|&at| FRAGMENTS[at]).collect();
        let dump = &whole.as_bytes()[..(whole.len() as f64 * cut) as usize];
        let (events, facts) = read(dump, &[dump.len()]);
        prop_assert_eq!(&read(dump, &lengths), &(events.clone(), facts.clone()));
        prop_assert_eq!(&read(dump, &[1]), &(events.clone(), facts));
        let starts: Vec<u64> = parts(&events).iter().map(|part| part.start).collect();
        prop_assert_eq!(starts.first(), Some(&0));
        let is_ascending = starts.is_sorted_by(|one, next| one < next);
        prop_assert!(is_ascending && starts.iter().skip(1).all(|&start| start < dump.len() as u64), "{:?}", starts);
    }

    #[test]
    fn any_bytes_are_read(dump in prop::collection::vec(any::<u8>(), 0..2000), length in 1usize..300) {
        prop_assert_eq!(read(&dump, &[dump.len()]), read(&dump, &[length]));
    }
}

#[test]
fn statements_go_to_what_they_make() {
    let dump = "-- MySQL dump 10.13\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE */;\n\n--\n-- Table structure for table `a`\n--\n\n\
                CREATE TABLE `a` (x int);\n\n--\n-- Dumping data for table `a`\n--\n\nINSERT INTO `a` VALUES (1),(2);\n\
                /*!50003 SET @saved_cs_client = 1 */ ;\nDELIMITER ;;\nCREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN END ;;\n\
                DELIMITER ;\n/*!50003 SET x = @saved_cs_client */ ;\n/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n-- Dump completed\n";
    let found = told(dump);
    let kinds: Vec<PartKind> = found.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [PartKind::Header, PartKind::Schema, PartKind::Data, PartKind::Triggers, PartKind::Footer]);
    assert!(found[1].2.starts_with("--\n-- Table structure") && found[2].2.starts_with("--\n-- Dumping data"));
    assert!(found[3].2.starts_with("/*!50003 SET @saved") && found[3].2.ends_with("@saved_cs_client */ ;\n"));
    assert_eq!(found.iter().map(|(.., text)| *text).collect::<String>(), dump);
    assert_eq!(end_of(dump), DumpEnd::Trailer);
}

#[test]
fn what_looks_like_a_part_in_a_string_or_a_name_is_none() {
    let dump = "INSERT INTO `x\n-- Table structure for table `` y` VALUES ('\n-- Dump completed\n;\nDELIMITER //\n');\n\
                DELIMITER ;;\nCREATE PROCEDURE `p`()\nSELECT '\n;;\nDELIMITER ;\nCREATE TABLE `no` (a int);\n';;\nDELIMITER ;\n";
    let kinds: Vec<_> = told(dump).into_iter().map(|(kind, name, _)| (kind, name)).collect();
    let data = (PartKind::Data, "x\n-- Table structure for table ` y".to_string());
    assert_eq!(kinds, [data, (PartKind::Procedure, "p".to_string())]);
}

#[test]
fn a_table_without_rows_and_statements_still_has_its_part() {
    let dump = "--\n-- Dumping data for table `a``b`\n--\n\n--\n-- Dumping data for table `c`\n--\n\nINSERT INTO c VALUES (1);\n";
    let found = told(dump);
    assert_eq!((found[0].0, found[0].1.as_str()), (PartKind::Data, "a`b"));
    assert_eq!((found[1].0, found[1].1.as_str()), (PartKind::Data, "c"));
}

#[test]
fn the_end_shows_whether_a_dump_is_whole() {
    let banner = "-- MariaDB dump 10.19\n";
    let notes = "/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n";
    let reset = "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n";
    let table = "CREATE TABLE a (x int);\n";
    let trailer = "-- Dump completed\n";
    assert_eq!(end_of(&[banner, notes, table, reset, "\n", trailer].concat()), DumpEnd::Trailer);
    assert_eq!(end_of(&[banner, notes, table, reset].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[banner, trailer, table].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[notes, table, reset].concat()), DumpEnd::Trailer);
    assert_eq!(end_of(&[notes, table].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(table), DumpEnd::Unmarked);
    // The newer setting of MariaDB.
    let verbosity = "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n";
    let verbosity_reset = "/*M!100616 SET NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY */;\n";
    assert_eq!(end_of(&[verbosity, table, verbosity_reset].concat()), DumpEnd::Trailer);
    assert_eq!(end_of(&[verbosity, table].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[notes, table, notes, table, reset].concat()), DumpEnd::NoTrailerInside);
    assert_eq!(end_of(&[notes, table, banner, notes, table, reset, trailer].concat()), DumpEnd::NoTrailerInside);
    assert_eq!(end_of(&[notes, table, reset, banner, notes, table, reset, trailer].concat()), DumpEnd::Trailer);
    assert_eq!(end_of("CREATE TABLE a"), DumpEnd::InStatement);
    assert_eq!(end_of("INSERT INTO a VALUES (1),"), DumpEnd::InStatement);
    assert_eq!(end_of("SELECT '-- Dump completed\n"), DumpEnd::InStatement);
}

#[test]
fn coordinates_are_read_in_every_form() {
    let coordinates = |text: &str| read(text.as_bytes(), &[7]).1.coordinates;
    let own = Coordinates { of: Some(CoordinatesOf::Server), ..Default::default() };
    let at = |file: &str, position| Coordinates { file: Some(file.into()), position: Some(position), ..own.clone() };
    assert_eq!(coordinates("-- CHANGE MASTER TO MASTER_LOG_FILE='b.01', MASTER_LOG_POS=42;\n"), at("b.01", 42));
    assert_eq!(coordinates("CHANGE MASTER TO MASTER_LOG_FILE='b.01', MASTER_LOG_POS=42;\n"), at("b.01", 42));
    let source = "CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='b.01', SOURCE_LOG_POS=42;\n";
    assert_eq!(coordinates(source), at("b.01", 42));
    let primary = "--\n-- Position to start replication or point-in-time recovery from (the master of this slave)\n--\n\n\
                   -- CHANGE MASTER TO MASTER_LOG_FILE='b.01', MASTER_LOG_POS=42;\n";
    assert_eq!(coordinates(primary), Coordinates { of: Some(CoordinatesOf::Primary), ..at("b.01", 42) });
    let followed = "-- The following is the SQL position of the replication taken from SHOW SLAVE STATUS at the time of backup.\n\n\
                    -- CHANGE MASTER '' TO MASTER_LOG_FILE='far.01', MASTER_LOG_POS=7;\n-- SET GLOBAL gtid_slave_pos='0-1-5';\n";
    let far = Coordinates { of: Some(CoordinatesOf::Primary), gtid: Some("0-1-5".into()), ..at("far.01", 7) };
    assert_eq!(coordinates(followed), far);
    // Of both, the server's own are told first.
    let both = format!(
        "-- CHANGE MASTER TO MASTER_LOG_FILE='b.01', MASTER_LOG_POS=42;\n-- SET GLOBAL gtid_slave_pos='';\n{followed}"
    );
    assert_eq!(coordinates(&both), Coordinates { gtid: Some(String::new()), ..at("b.01", 42) });
    let gtid = Coordinates { gtid: Some("0-1-45".into()), ..own.clone() };
    assert_eq!(coordinates("USE a;\n-- SET GLOBAL gtid_slave_pos='0-1-45';\n"), gtid);
    let purged = "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-2,\nb:1';\n";
    let purged_before = Coordinates { gtid: Some("a:1-2,b:1".into()), ..own };
    assert_eq!(coordinates(purged), purged_before);
    // `--set-gtid-purged=COMMENTED`.
    assert_eq!(coordinates("/* SET @@GLOBAL.GTID_PURGED='+a:1-2,\nb:1';*/\n"), purged_before);
    assert_eq!(coordinates("/* that is no CHANGE MASTER TO MASTER_LOG_POS=42 */\n"), Coordinates::default());
}

#[test]
fn settings_hold_nothing_about_logs_and_replication() {
    let dump = "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n/*!40101 SET NAMES utf8 */;\n\
                /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE */;\nSET @@GLOBAL.GTID_PURGED='a:1';\nCHANGE MASTER TO MASTER_LOG_POS=4;\n\
                USE d;\nSET @saved_cs_client = 1;\nCREATE TABLE a (x int);\n\
                /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\nSET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;\n";
    let (events, facts) = read(dump.as_bytes(), &[11]);
    let settings = String::from_utf8(facts.session.settings).unwrap();
    assert_eq!(settings, "/*!40101 SET NAMES utf8 */;\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE */;\n");
    assert_eq!(facts.session.resettings, b"/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n");
    let kinds: Vec<PartKind> = parts(&events).iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [PartKind::Header, PartKind::Database, PartKind::Schema, PartKind::Footer]);
}

#[test]
fn an_insert_that_comes_again_is_read_as_the_first() {
    // Longer than what is seen of a statement that comes byte by byte: of that, none is known again.
    let insert = format!("INSERT INTO `{}` VALUES", "t".repeat(LOOKAHEAD_BYTES));
    let plain = "SET sql_mode = 'NO_BACKSLASH_ESCAPES'";
    let behind = ["(1),(2)", " (3)", "\n('\\'4'),\n('5')", &format!("(6);\n-- x\n{plain};\n{plain}"), "('\\'),(8)"];
    let dump = behind.map(|rows| format!("{insert}{rows};\n")).concat();
    let (events, facts) = read(dump.as_bytes(), &[dump.len()]);
    assert_eq!((events.clone(), facts), read(dump.as_bytes(), &[1]));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Row(_))).count(), 8);
    // It is known again until something else comes.
    let sets = "INSERT INTO a VALUES (1);\nSET @a = 1;\nSET @a = 1 + (2);\n";
    let (events, _) = read(sets.as_bytes(), &[sets.len()]);
    assert_eq!(events, read(sets.as_bytes(), &[1]).0);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Row(_))).count(), 1);
    // A word may only begin like what came before.
    let names =
        told("INSERT INTO values VALUES (1);\nINSERT INTO values_b VALUES (2);\n").into_iter().map(|part| part.1);
    assert_eq!(names.collect::<Vec<_>>(), ["values", "values_b"]);
}
