//! Stories of names in dumps of PostgreSQL that are in other character sets than UTF-8.

mod support;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use support::dumped::{in_database, options as dump_options, reader};
use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::repository::{TestRepository, now};
use support::rows::{found, patch};
use support::server::{refused, restore_into, restored};
use support::stored::stored_tree;
use yesterfs::dump::letters::Letters;
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::Direction;

/// A set, and a name in it.
const SETS: [(&str, &str); 16] = [
    ("LATIN1", "éß"),
    ("LATIN2", "łő"),
    ("LATIN5", "ğş"),
    ("LATIN9", "éœ"),
    ("WIN1252", "éß"),
    ("WIN1251", "дом"),
    ("WIN866", "дом"),
    ("ISO_8859_5", "дом"),
    ("KOI8R", "дом"),
    ("KOI8U", "їжак"),
    ("EUC_JP", "表能"),
    ("EUC_KR", "집"),
    ("EUC_CN", "房子"),
    ("SJIS", "表ソ"),
    ("BIG5", "功許"),
    ("GB18030", "誠ソ"),
];

fn ingest(place: &TestRepository, dump: &[u8]) -> Arc<Snapshot> {
    let options = in_database(Some("shop"), dump_options(reader(dump)));
    ingest_postgres(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

/// Makes the database, with this name for all that can have one.
fn make_named(server: &Postgres, name: &str) {
    server.make_empty("shop");
    server.run(
        "shop",
        format!(
            r#"CREATE ROLE "{name}"; CREATE SCHEMA "{name}"; SET search_path = "{name}";
             CREATE TYPE "{name}_e" AS ENUM ('{name}'); CREATE SEQUENCE "{name}_s";
             CREATE FUNCTION "{name}_f"("{name}_e") RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
             CREATE TABLE "{name}" ("{name}" serial PRIMARY KEY, t text DEFAULT '{name}', e "{name}_e",
                                    f integer CHECK (f > "{name}_f"('{name}')));
             CREATE TABLE "{name}_of" ("{name}" integer REFERENCES "{name}");
             CREATE TABLE "{name}_parts" ("{name}" integer) PARTITION BY RANGE ("{name}");
             CREATE TABLE "{name}_part" PARTITION OF "{name}_parts" DEFAULT;
             CREATE INDEX "{name}_i" ON "{name}" (t); COMMENT ON COLUMN "{name}"."{name}" IS '{name}';
             CREATE VIEW "{name}_v" AS SELECT "{name}" AS "{name}" FROM "{name}";
             INSERT INTO "{name}" (t) SELECT '{name}' || i FROM generate_series(1, 50) i;
             INSERT INTO "{name}_of" VALUES (7); INSERT INTO "{name}_parts" SELECT generate_series(1, 9);
             ALTER TABLE "{name}" OWNER TO "{name}"; GRANT USAGE ON SCHEMA "{name}" TO PUBLIC"#
        ),
    );
}

#[test]
fn a_name_of_postgresql_is_the_same_wherever_it_is_told() {
    let server = Postgres::start();
    let variants: [&[&str]; 3] = [&[], &["--inserts"], &["--column-inserts"]];
    for ((set, name), more) in SETS.into_iter().zip(variants.into_iter().cycle()) {
        let place = TestRepository::new();
        make_named(&server, name);
        let dump = || server.dump("pg_dump", &[&["--encoding", set, "shop"], more].concat());
        let first = dump();
        server.run(
            "shop",
            format!(
                r#"SET search_path = "{name}"; DELETE FROM "{name}" WHERE "{name}" = 9; UPDATE "{name}" SET t = 'x' WHERE "{name}" < 3;
                 ALTER TABLE "{name}_of" ADD u integer; DELETE FROM "{name}_parts" WHERE "{name}" = 3; CREATE INDEX "{name}_j" ON "{name}" (f);
                 SELECT nextval('"{name}_s"')"#
            ),
        );
        let second = dump();
        let [a, b] = [ingest(&place, &first), ingest(&place, &second)];
        let tree = stored_tree(&place.repository, &a).unwrap();
        let paths: BTreeSet<String> = tree.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
        for file in ["tables/=/schema.sql", "tables/=/data.sql", "tables/=/post.sql", "tables/=/restore.sql"] {
            let path = format!("shop/{name}/{}", file.replace('=', name));
            assert!(paths.contains(&path), "{set}: {path} among {paths:?}");
        }
        for file in ["views/=_v.sql", "sequences/=_s.sql", "types/=_e.sql", "functions/=_f(=.=_e).sql"] {
            let (path, other) = (file.replace('=', name), file.replace("=.=", "=.\"=").replace('=', name));
            let is_there = |path: &str| paths.contains(&format!("shop/{name}/{path}"));
            assert!(is_there(&path) || is_there(&other) || path.contains("_f("), "{set}: {path} among {paths:?}");
        }
        let restore = &tree[format!("shop/{name}/tables/{name}_of/restore.sql").as_bytes()].1;
        let told = format!(r#"-- It refers to table "{name}"."{name}""#);
        assert!(String::from_utf8_lossy(restore).lines().any(|line| line == told), "{set}");

        let differences = found(&place, &a, &b);
        let mut changes: Vec<_> = differences.changes.iter().map(|it| (&*it.table, it.operation)).collect();
        changes.sort_unstable();
        changes.dedup();
        let [table, part] = ["", "_part"].map(|suffix| format!("shop.{name}.{name}{suffix}"));
        assert_eq!(changes, [(&*table, '*'), (&*table, '-'), (&*part, '-')], "{set}");
        assert_eq!(differences.redefined, [format!("shop.{name}.{name}_of")], "{set}");

        let ways = [(Direction::Forward, &first, &second), (Direction::Reverse, &second, &first)];
        // Both ways of one set, then one of each other.
        let some = if set == "LATIN1" { &ways[..] } else { &ways[set.len() % 2..][..1] };
        for &(direction, from, to) in some {
            server.make_empty("copy");
            server.run("copy", from);
            server.run("copy", patch(&place, &a, &b, direction).unwrap());
            let made = ingest(&place, &server.dump("pg_dump", &[&["--encoding", set, "copy"], more].concat()));
            let target = ingest(&place, to);
            let left = found(&place, &made, &target);
            assert!(left.changes.is_empty() && left.redefined.is_empty(), "{set} {direction:?}: {left:?}");
        }
        server.run("postgres", format!(r#"DROP DATABASE shop; DROP DATABASE copy; DROP ROLE "{name}""#));
    }
}

#[test]
fn a_dump_of_postgresql_with_names_in_its_set_comes_back() {
    let server = Postgres::start();
    for (set, name) in SETS.into_iter().step_by(3) {
        let stage = Stage::new();
        make_named(&server, name);
        std::fs::write(stage.path("shop.sql"), server.dump("pg_dump", &["--encoding", set, "shop"])).unwrap();
        stage.succeed(&["ingest", "postgres", "--source", "shop", stage.path("shop.sql").to_str().unwrap()]);
        let table = format!("shop.{name}.{name}");
        let row = stage.succeed(&["rows", "shop", &table, "--key", "7"]);
        assert!(row.starts_with(&format!("{name}: 7\n")), "{set}: {row}");

        let url = server.url("copy");
        server.run("postgres", format!(r#"ALTER ROLE "{name}" RENAME TO other"#));
        assert!(refused(&restore_into(&stage, &url, &[]), 2).contains(name), "{set}");
        server.run("postgres", format!(r#"ALTER ROLE other RENAME TO "{name}""#));
        restored(&restore_into(&stage, &url, &[]));
        assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]), "{set}");
        assert!(refused(&restore_into(&stage, &url, &[]), 2).contains(name), "{set}");
        assert!(refused(&restore_into(&stage, &url, &["--table", &table]), 2).contains(name), "{set}");

        let tables = [table, format!("shop.{name}.{name}_of"), format!("shop.{name}.{name}_parts")];
        server.run("copy", format!(r#"DROP VIEW "{name}"."{name}_v""#));
        let named = tables.iter().flat_map(|table| ["--table", table]);
        restored(&restore_into(&stage, &url, &named.chain(["--overwrite"]).collect::<Vec<_>>()));
        let copy = format!("copy.new.{name}{name}");
        restored(&restore_into(&stage, &server.url(""), &["--table", &tables[0], "--as", &copy]));
        let sums = |schema: &str, table: &str| {
            server.run("copy", format!(r#"SELECT count(*), sum("{name}"), max(t) FROM "{schema}"."{table}""#))
        };
        assert_eq!(sums("new", &format!("{name}{name}")), sums(name, name), "{set}");
        if set.starts_with("LATIN") {
            let message =
                refused(&restore_into(&stage, &server.url(""), &["--table", &tables[0], "--as", "copy.new.表"]), 2);
            assert!(message.contains("which has no such letters"), "{set}: {message}");
        }
        server.run("postgres", format!(r#"DROP DATABASE shop; DROP DATABASE copy; DROP ROLE "{name}""#));
    }
}

/// What an older version made of a dump in LATIN1: its directories are called by the bytes that the dump has.
fn ingested_by_older(place: &TestRepository, columns: &str) -> Arc<Snapshot> {
    let dump = format!(
        "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'SQL_ASCII';\n\nCREATE TABLE public.\"é\" ({columns});\n\n\
         COPY public.\"é\" (id) FROM stdin;\n1\n\\.\n\n\
         ALTER TABLE ONLY public.\"é\"\n    ADD CONSTRAINT k PRIMARY KEY (id);\n\nCREATE INDEX i ON public.\"é\" USING btree (x);\n\n\
         ALTER TABLE ONLY public.\"é\"\n    ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES public.\"é\"(id);\n\n\
         --\n-- PostgreSQL database dump complete\n--\n"
    );
    let mut snapshot = (*ingest(place, &Letters::of_postgres(b"LATIN1").encoded(dump.as_bytes()))).clone();
    snapshot.manifest.facts.insert("character_set".into(), "LATIN1".into());
    Arc::new(snapshot)
}

#[test]
fn a_patch_finds_what_an_older_version_called_otherwise() {
    let place = TestRepository::new();
    let [a, b] = ["id integer NOT NULL, x text", "id bigint NOT NULL, x text"].map(|it| ingested_by_older(&place, it));
    let patch = String::from_utf8_lossy(&patch(&place, &a, &b, Direction::Forward).unwrap()).into_owned();
    for part in [
        "DROP TABLE",
        "id bigint",
        "ADD CONSTRAINT k PRIMARY KEY (id)",
        "CREATE INDEX i ON",
        "ADD CONSTRAINT f FOREIGN KEY",
    ] {
        assert!(patch.contains(part), "{part} is not in {patch}");
    }
}

/// What the server takes the bytes of each of these numbers for in a set; nothing where it takes them for none.
fn told_letters(server: &Postgres, set: &str, numbers: RangeInclusive<u16>) -> Vec<(u16, String)> {
    let (from, to) = numbers.clone().into_inner();
    let told = server.run("shop", format!("SELECT letter(i, '{set}') FROM generate_series({from}, {to}) i"));
    let told: Vec<(u16, String)> = numbers.clone().zip(told.split('\n').map(str::to_string)).collect();
    assert_eq!(told.len(), numbers.len(), "{set}");
    told
}

/// A server that can be asked for these.
fn server_of_letters() -> Postgres {
    let server = Postgres::start();
    server.make_empty("shop");
    server.run(
        "shop",
        "CREATE FUNCTION letter(number integer, set text) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN RETURN convert_from(decode(to_hex(number), 'hex'), set); EXCEPTION WHEN OTHERS THEN RETURN ''; END $$",
    );
    server
}

#[test]
fn letters_are_those_of_postgresql() {
    let server = server_of_letters();
    let of_one_byte = "LATIN1 LATIN2 LATIN3 LATIN4 LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 ISO_8859_5 ISO_8859_6 ISO_8859_7 \
                       ISO_8859_8 WIN1250 WIN1251 WIN1252 WIN1253 WIN1254 WIN1255 WIN1256 WIN1257 WIN1258 WIN866 WIN874 KOI8R KOI8U";
    for set in of_one_byte.split(' ') {
        let told = told_letters(&server, set, 0x80..=0xff);
        let letters = Letters::of_postgres(set.as_bytes());
        if set == "LATIN1" {
            let control = letters.name_in_utf8(b"\x99"[..].into()).into_owned();
            assert_eq!((&*told[0x19].1, &*control), ("\u{99}", "\u{99}".as_bytes()));
        }
        for (byte, letter) in told.into_iter().filter(|(_, letter)| is_letter(letter)) {
            let byte = byte as u8;
            let found = letters.name_in_utf8([byte][..].into()).into_owned();
            assert_eq!(String::from_utf8_lossy(&found), letter, "{set} {byte:x}");
            assert_eq!(*letters.encoded(letter.as_bytes()), [byte], "{set} {letter}");
        }
    }
}

/// Other names that the server takes for sets, all but those of which names of tables are not read.
const OTHER_NAMES: &str = "abc alt eucjp euc-cn euckr EUC_JIS_2004 gbk win936 Windows936 iso88591 ISO-8859-2 iso88593 iso88594 iso88595 \
                           iso88596 iso88597 iso88598 iso88599 iso885910 iso885913 iso885914 iso885915 iso885916 koi8 koi8r koi8u \
                           mskanji shiftjis Shift_JIS shiftjis2004 SHIFT-JIS-2004 tcvn tcvn5712 vscii uhc win949 windows949 win \
                           win1250 windows1250 windows1251 windows1252 windows1253 windows1254 windows1255 windows1256 windows1257 \
                           windows1258 windows866 windows874 win932 windows932 win950 Windows-950 johab";

#[test]
fn sets_are_known_by_every_name_that_postgresql_has_for_them() {
    let server = Postgres::start();
    for name in OTHER_NAMES.split_whitespace() {
        let told = server.run("postgres", format!("SET client_encoding TO '{name}'; SHOW client_encoding"));
        // These two have some names in other ways, and are one there.
        let of = |name: &str| match Letters::of_postgres(name.as_bytes()) {
            Letters::Cp932 => Letters::Sjis,
            letters => letters,
        };
        assert!(of(name) != Letters::Plain && of(name) == of(told.trim()), "{name}: {told}");
    }
}

#[test]
fn letters_of_two_bytes_are_those_of_postgresql() {
    let server = server_of_letters();
    for set in ["EUC_KR", "EUC_CN", "UHC", "GBK"] {
        let (told, letters) = (told_letters(&server, set, 0x8141..=0xfefe), Letters::of_postgres(set.as_bytes()));
        // Behind a letter of one byte stands another.
        for (pair, letter) in told.into_iter().filter(|(pair, _)| pair & 0x80 != 0) {
            let bytes = pair.to_be_bytes();
            let found = letters.name_in_utf8(bytes[..].into()).into_owned();
            if letter.is_empty() && set.starts_with("EUC") {
                assert_eq!(found, bytes, "{set} has no {pair:x}");
            } else if is_letter(&letter) {
                assert_eq!(String::from_utf8_lossy(&found), letter, "{set} {pair:x}");
            }
        }
    }
}

fn is_letter(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphabetic)
}
