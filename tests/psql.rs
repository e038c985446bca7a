//! Stories of texts in which a real `psql` finds a command where a reader might find a string or a row: none passes the gate.

mod support;

use support::postgres::Postgres;
use yesterfs::dump::postgres::CommandGuard;
use yesterfs::dump::renaming::Rewrite;

/// What `psql` is to find.
const COMMAND: &str = "\\echo found";

/// Strings are read in the usual way, and with `OFF` in the old one.
const ON: &str = "SET standard_conforming_strings = on;\n";
const OFF: &str = "SET standard_conforming_strings = off;\n";

/// A command that stands in a string where backslashes escape, and in none where they do not, and the other way round.
const IN_ESCAPED: &str = "SELECT '\\';\n\\echo found\n--'\n";
const IN_PLAIN: &str = "SELECT '\\' ';\n\\echo found\n--'\n";

/// The same behind a byte that begins a letter in Shift-JIS.
const IN_UTF8: &[u8] = b"SELECT E'\x95\\';\n\\echo found\n--'\n";

fn passes(text: &[u8], size: usize) -> Result<(), String> {
    let (mut guard, mut out) = (Box::new(CommandGuard::new(None)), Vec::new());
    for piece in text.chunks(size) {
        guard.push(piece, &mut out).map_err(|error| error.reason.to_string())?;
    }
    guard.finish(&mut out).map_err(|error| error.reason.to_string())
}

#[track_caller]
fn is_found_and_refused(server: &Postgres, database: &str, text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    assert!(server.printed(database, text).lines().any(|line| line == "found"), "psql finds nothing in {shown}");
    for size in [1, 7, text.len()] {
        assert!(passes(text, size).is_err(), "{shown} passes in pieces of {size}");
    }
}

#[test]
fn what_sets_how_strings_are_read_is_not_overlooked() {
    let server = Postgres::start();
    server.run("postgres", "CREATE TABLE t (a text)");
    let do_set = |value: &str| format!("DO $$BEGIN SET standard_conforming_strings = {value}; END$$;\n");
    let call = |value: &str| format!("SELECT set_config('standard_' || 'conforming_strings', '{value}', false);\n");
    let row = "INSERT INTO t VALUES (set_config('standard_conforming_strings', 'off', false));\n";
    let set_back = [
        format!("{OFF}RESET ALL;\n"),
        format!("{OFF}DISCARD ALL;\n"),
        format!("BEGIN;\n{OFF}ROLLBACK;\n"),
        "SET LOCAL standard_conforming_strings = off;\n".into(),
        format!("{OFF}{}", do_set("on")),
        format!("{OFF}{}", call("on")),
        // In the same line it does not hold yet.
        OFF.trim_end().into(),
    ];
    for text in set_back {
        is_found_and_refused(&server, "postgres", format!("{text}{IN_ESCAPED}").as_bytes());
    }
    let set_off = [
        do_set("off"),
        call("off"),
        row.to_string(),
        format!("{OFF}SELECT set_config('standard_conforming_strings', 'on', false) WHERE false;\n"),
        format!("{OFF}{}", ON.trim_end()),
        format!("{OFF}BEGIN;\n{ON}ROLLBACK;\n"),
        format!("{OFF}SET LOCAL standard_conforming_strings = on;\n"),
        "UPDATE pg_settings SET setting = 'off' WHERE name LIKE 'standard%';\n".into(),
    ];
    for text in set_off {
        is_found_and_refused(&server, "postgres", format!("{ON}{text}{IN_PLAIN}").as_bytes());
    }
    // Of the same name as one of the server's.
    let functions = ["set_config(text, text, boolean)", "setval(text)"].map(|function| {
        format!(
            "CREATE FUNCTION own.{function} RETURNS text LANGUAGE sql AS \
             $$SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false)$$;\n"
        )
    });
    server.run("postgres", format!("CREATE SCHEMA own;\n{}", functions.concat()));
    for call in ["own.set_config('standard_conforming_strings', 'on', false)", "own.setval('a')"] {
        is_found_and_refused(&server, "postgres", format!("{ON}SELECT {call};\n{IN_PLAIN}").as_bytes());
    }
    // A session begins as its role has it.
    let role = "ALTER ROLE postgres SET standard_conforming_strings = off;\n\\connect postgres\n";
    is_found_and_refused(&server, "postgres", format!("{ON}{role}{IN_PLAIN}").as_bytes());
}

#[test]
fn marks_are_read_as_psql_reads_them() {
    let server = Postgres::start();
    for mark in [":E", "1.E"] {
        is_found_and_refused(&server, "postgres", IN_ESCAPED.replacen('\'', &format!("{mark}'"), 1).as_bytes());
    }
    is_found_and_refused(&server, "postgres", format!("SELECT 1$$ ' $$;\n{COMMAND}\n--'\n").as_bytes());
    for mark in ["B", "x", "U&"] {
        let text = IN_ESCAPED.replacen('\'', &format!("{mark}'"), 1);
        is_found_and_refused(&server, "postgres", format!("{OFF}{text}").as_bytes());
    }
    // What is read on in what a variable holds.
    server.run("postgres", "CREATE DATABASE \"a'b\"");
    for colon in [":", ":::"] {
        let text = format!("SELECT {colon}DBNAME ' ;\n{COMMAND}\n--'\n");
        is_found_and_refused(&server, "a'b", text.as_bytes());
    }
    // It waits for the end of a block, and takes what looks like rows for more of it.
    for almost in ["CREATE . FUNCTION", "CREATE OR, REPLACE 1 PROCEDURE", "CREATE :a FUNCTION", "CREATE B'' FUNCTION"] {
        let text = format!("{almost} BEGIN;\nCOPY t FROM stdin;\n{COMMAND}\n\\.\n");
        is_found_and_refused(&server, "postgres", text.as_bytes());
    }
    // Versions differ in whether that is white space.
    assert!(passes(format!("COPY t FROM\x0bstdin;\n'\n\\.\n{COMMAND}\n--'\n").as_bytes(), 7).is_err());
}

#[test]
fn letters_are_read_as_psql_reads_them() {
    let server = Postgres::start();
    for sets in [
        "\\encoding SJIS\n",
        "SET NAMES 'SJIS';\n",
        "SET SESSION client_encoding TO sjis;\n",
        "SELECT pg_catalog.set_config('client_encoding', 'SJIS', false);\n",
        "DO $$BEGIN SET client_encoding = 'SJIS'; END$$;\n",
    ] {
        is_found_and_refused(&server, "postgres", &[sets.as_bytes(), IN_UTF8].concat());
    }
    // A first byte alone takes the quote along.
    for (set, first) in
        [("SJIS", 0x83), ("GBK", 0xb0), ("BIG5", 0xb0), ("UHC", 0xb0), ("GB18030", 0xb0), ("JOHAB", 0xb0)]
    {
        let begin = format!("\\encoding {set}\nSELECT '");
        let text = [begin.as_bytes(), &[first], b"' ';\n\\echo found\n--'\n"].concat();
        is_found_and_refused(&server, "postgres", &text);
    }
}

#[test]
fn what_dumps_have_passes() {
    for text in [
        format!(
            "{ON}COMMENT ON TABLE a IS 'C:\\';\nSELECT pg_catalog.setval('a.b', 1, true);\nCOMMENT ON TABLE a IS 'C:\\';\n"
        ),
        format!("{ON}INSERT INTO a VALUES (1, 'C:\\'), (B'1', '\\');\nINSERT INTO a VALUES (2, '\\');\n"),
        format!(
            "{ON}SELECT * FROM pg_catalog.pg_restore_relation_stats(\n\t'version', '180000'::integer,\n\t'schemaname', 'public',\n\t\
             'relpages', '-1'::integer\n);\nSELECT * FROM pg_catalog.pg_restore_attribute_stats(\n\t'most_common_vals', \
             '{{\"José\\\"\"}}'::text\n);\nCOMMENT ON TABLE a IS 'C:\\';\n"
        ),
        format!(
            "{ON}SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '123';\n\
             COMMENT ON TABLE a IS 'C:\\';\n"
        ),
        format!("{ON}BEGIN;\nSELECT pg_catalog.lo_create('1');\nCOMMIT;\nCOMMENT ON TABLE a IS '\\';\n"),
        format!("{OFF}SELECT 'C:\\\\', E'\\'', B'1', 'a\\nb', 'it''s';\n"),
        format!("{OFF}\\connect a\n{ON}COMMENT ON TABLE a IS 'C:\\';\n"),
        format!("{ON}COMMENT ON TABLE a IS a[1:2], a[b:c], d::text, '1'::text::USER, e1$x, 1 AS \"f1$$g\";\n"),
        "CREATE TRIGGER a BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION c();\n".into(),
    ] {
        for size in [1, 7, text.len()] {
            assert_eq!(passes(text.as_bytes(), size), Ok(()), "{text} in pieces of {size}");
        }
    }
    let in_sjis = b"SET client_encoding = 'SJIS';\nSELECT '\x95\x5c\x83\x5c\xb1', E'\x83\x5c\\\\';\n-- \x83\x5c\n";
    assert_eq!(passes(in_sjis, 7), Ok(()));
}
