//! How fast dumps are read on one core: bytes in, what stands where out, in the pieces in which an ingest takes them. The same
//! rows stand in every form. Ends with exit code 1 where a reader is slower than [`LEAST_MB_A_SECOND`], or that of MySQL Shell than
//! [`LEAST_MB_A_SECOND_OF_SHELL`].
//!
//! `cargo bench --bench readers [-- WORD...]` reads the forms whose names have one of the words in them (default: all), each many
//! times, and prints the least processor time that it took. Other programs on the machine still show in it, if less.

#[path = "readers/forms.rs"]
mod forms;
mod support;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use yesterfs::dump::mongo::{self, Archive, Documents};
use yesterfs::dump::mysql::{self, MysqlDump};
use yesterfs::dump::postgres::{self, PostgresDump};

use support::Noise;
use support::bson::{document, element, number, text};

/// What every reader of [`FORMS`] must do.
const LEAST_MB_A_SECOND: f64 = 400.0;
/// What that of MySQL Shell must do: its rows are taken apart, written as SQL, and that is read.
const LEAST_MB_A_SECOND_OF_SHELL: f64 = 150.0;
/// Each dump is read so many times.
const TIMES: usize = 40;

/// Of every dump, about.
const DUMP_BYTES: usize = 8 << 20;
const PIECE_BYTES: usize = 512 << 10;
/// Of an `INSERT` of many rows: as much as a client sends at once.
const STATEMENT_BYTES: usize = 1 << 20;
const BLOCK_DOCUMENTS: usize = 1000;
/// Of what holds anything.
const BINARY_BYTES: usize = 200;

/// What the rows have.
#[derive(Clone, Copy)]
enum Rows {
    /// Some 80 bytes of numbers, times and text.
    Orders,
    /// Two numbers, as between tables of many-to-many: the most rows a byte.
    Links,
    /// Bytes that do not print.
    Binary,
}

const ROWS: [(&str, Rows); 3] = [("orders", Rows::Orders), ("links", Rows::Links), ("binary", Rows::Binary)];

/// A form: its name, what makes a dump of it, and what reads it and tells how many rows it has.
type Form = (&'static str, fn(Rows) -> Vec<u8>, fn(&[u8]) -> u64);

const FORMS: [Form; 16] = [
    ("mysql", |rows| of_mysql(rows, &ONE_LINE), read_mysql),
    ("mysql, a row a line", |rows| of_mysql(rows, &LINES), read_mysql),
    ("mysql, a row a statement", |rows| of_mysql(rows, &STATEMENTS), read_mysql),
    ("mydumper", |rows| of_mysql(rows, &MYDUMPER), read_mysql),
    ("postgres COPY", copy, read_postgres),
    ("postgres --inserts", inserts, read_postgres),
    ("postgres --column-inserts", column_inserts, read_postgres),
    ("postgres --rows-per-insert", rows_per_insert, read_postgres),
    ("bson", bson, read_bson),
    ("mongodump --archive", archive, read_archive),
    ("mongoexport", forms::json, forms::read_json),
    ("mongoexport --type=csv", forms::csv, forms::read_csv),
    ("mysqldump --tab", forms::tab, forms::read_tab),
    ("mysqldump --xml", forms::xml, forms::read_xml),
    ("pg_dump -Fc -Z0", forms::custom, forms::read_custom_or_tar),
    ("pg_dump -Ft", forms::tar, forms::read_custom_or_tar),
];

const SHELL: Form = ("MySQL Shell", forms::tab, forms::read_shell);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    support::print_machine(&std::env::temp_dir());
    let mut slow = 0;
    let all = FORMS.map(|form| (form, LEAST_MB_A_SECOND)).into_iter().chain([(SHELL, LEAST_MB_A_SECOND_OF_SHELL)]);
    for ((form, make, read), least) in all {
        for (of, rows) in ROWS {
            let name = format!("{form}, {of}");
            if words.is_empty() || words.iter().any(|word| name.contains(word)) {
                let dump = make(rows);
                let rows = read(&dump);
                let rate = dump.len() as f64 / 1e6 / fastest(|| read(&dump)).as_secs_f64();
                println!("{name:36} {rows:8} rows {rate:8.0} MB/s");
                slow += u32::from(rate < least);
            }
        }
    }
    std::process::exit(i32::from(slow > 0));
}

/// The least processor time that this takes.
fn fastest(mut read: impl FnMut() -> u64) -> Duration {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let time = |_| {
        let started = now();
        std::hint::black_box(read());
        now() - started
    };
    (0..TIMES).map(time).min().unwrap_or_default()
}

/// Of their columns.
const NAMES: [&str; 6] = ["id", "customer", "status", "at", "note", "price"];

enum Value {
    Number(u64),
    Text(String),
    Binary(Vec<u8>),
}

use Value::{Binary, Number, Text};

impl Rows {
    fn row(self, number: u64) -> Vec<Value> {
        let mut noise = Noise(number + 1);
        let other = Number(noise.next() % 9973);
        match self {
            Rows::Links => vec![Number(number), other],
            Rows::Binary => vec![Number(number), Binary(noise.bytes(BINARY_BYTES))],
            Rows::Orders => {
                let time = format!("2026-11-{:02} 10:00:{:02}", noise.next() % 28 + 1, noise.next() % 60);
                let note = format!("{:016x} {:010}", noise.next(), noise.next() % 1_000_000_000);
                vec![Number(number), other, Text("open".into()), Text(time), Text(note), Number(noise.next() % 1000)]
            }
        }
    }

    /// Rows up to [`DUMP_BYTES`], of which `write` adds each with what is around it.
    fn dump(self, beginning: &str, mut write: impl FnMut(&mut Vec<u8>, u64, &[Value])) -> Vec<u8> {
        let mut out = beginning.as_bytes().to_vec();
        for number in 0.. {
            write(&mut out, number, &self.row(number));
            if out.len() >= DUMP_BYTES {
                break;
            }
        }
        out
    }
}

const MYSQL_HEAD: &str =
    "-- MySQL dump 10.13  Distrib 8.0.40, for Linux (x86_64)\n\nCREATE TABLE `orders` (\n  `id` bigint\n);\n";
const POSTGRES_HEAD: &str =
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.orders (\n    id bigint\n);\n\n";

/// In MySQL's words.
fn literal(value: &Value, quote: u8) -> Vec<u8> {
    let quoted = |bytes: &[u8]| {
        let escaped = bytes.iter().flat_map(|&byte| match byte {
            0 => vec![b'\\', b'0'],
            b'\n' => vec![b'\\', b'n'],
            b'\r' => vec![b'\\', b'r'],
            26 => vec![b'\\', b'Z'],
            b'\\' | b'\'' | b'"' => vec![b'\\', byte],
            _ => vec![byte],
        });
        [quote].into_iter().chain(escaped).chain([quote]).collect::<Vec<u8>>()
    };
    match value {
        Number(number) => number.to_string().into_bytes(),
        Text(text) => quoted(text.as_bytes()),
        Binary(bytes) => [b"_binary ", &quoted(bytes)[..]].concat(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In PostgreSQL's words.
fn postgres_literal(value: &Value) -> Vec<u8> {
    match value {
        Number(number) => number.to_string().into_bytes(),
        Text(text) => format!("'{text}'").into_bytes(),
        Binary(bytes) => format!("'\\x{}'", hex(bytes)).into_bytes(),
    }
}

/// As a field of a line of `COPY`.
fn field(value: &Value) -> Vec<u8> {
    match value {
        Number(number) => number.to_string().into_bytes(),
        Text(text) => text.clone().into_bytes(),
        Binary(bytes) => format!("\\\\x{}", hex(bytes)).into_bytes(),
    }
}

/// `INSERT`s of MySQL: what one begins with, what comes between two of its rows, the quotes of strings, and how long one is.
struct Inserts {
    insert: &'static str,
    between: &'static str,
    quote: u8,
    bytes: usize,
}

/// As `mysqldump` writes them.
const ONE_LINE: Inserts =
    Inserts { insert: "INSERT INTO `orders` VALUES ", between: ",", quote: b'\'', bytes: STATEMENT_BYTES };
/// As `mariadb-dump` does.
const LINES: Inserts = Inserts { insert: "INSERT INTO `orders` VALUES\n", between: ",\n", ..ONE_LINE };
/// With `--skip-extended-insert`.
const STATEMENTS: Inserts = Inserts { bytes: 0, ..ONE_LINE };
const MYDUMPER: Inserts = Inserts { insert: "INSERT INTO `orders` VALUES", between: "\n,", quote: b'"', ..ONE_LINE };

fn of_mysql(rows: Rows, form: &Inserts) -> Vec<u8> {
    let mut begin = 0;
    let mut dump = rows.dump(MYSQL_HEAD, |out, number, row| {
        let is_first = number == 0 || out.len() - begin >= form.bytes;
        if is_first {
            out.extend_from_slice(if number == 0 { "" } else { ";\n" }.as_bytes());
            begin = out.len();
        }
        out.extend_from_slice(if is_first { form.insert } else { form.between }.as_bytes());
        let values: Vec<Vec<u8>> = row.iter().map(|value| literal(value, form.quote)).collect();
        out.extend([b"(", &values.join(&b',')[..], b")"].concat());
    });
    dump.extend_from_slice(b";\n");
    dump
}

fn read_mysql(dump: &[u8]) -> u64 {
    let (mut reader, mut rows) = (MysqlDump::default(), 0);
    let mut tell = |event| rows += u64::from(matches!(event, mysql::Event::Row(_)));
    dump.chunks(PIECE_BYTES).for_each(|piece| reader.push(piece, &mut tell));
    std::hint::black_box(reader.finish(&mut tell));
    rows
}

fn read_postgres(dump: &[u8]) -> u64 {
    let (mut reader, mut rows) = (PostgresDump::default(), 0);
    let mut tell = |event| rows += u64::from(matches!(event, postgres::Event::Row(_)));
    dump.chunks(PIECE_BYTES).for_each(|piece| reader.push(piece, &mut tell));
    std::hint::black_box(reader.finish(&mut tell));
    rows
}

fn copy(rows: Rows) -> Vec<u8> {
    let head = format!("{POSTGRES_HEAD}COPY public.orders FROM stdin;\n");
    let mut dump = rows.dump(&head, |out, _, row| {
        out.extend(row.iter().map(field).collect::<Vec<_>>().join(&b'\t'));
        out.push(b'\n');
    });
    dump.extend_from_slice(b"\\.\n");
    dump
}

fn values(row: &[Value]) -> Vec<u8> {
    let values: Vec<Vec<u8>> = row.iter().map(postgres_literal).collect();
    [b"(", &values.join(&b", "[..])[..], b")"].concat()
}

fn inserts(rows: Rows) -> Vec<u8> {
    rows.dump(POSTGRES_HEAD, |out, _, row| {
        out.extend([b"INSERT INTO public.orders VALUES ", &values(row)[..], b";\n"].concat());
    })
}

fn column_inserts(rows: Rows) -> Vec<u8> {
    rows.dump(POSTGRES_HEAD, |out, _, row| {
        let columns = NAMES[..row.len()].join(", ");
        out.extend(format!("INSERT INTO public.orders ({columns}) VALUES ").into_bytes());
        out.extend([&values(row)[..], b";\n"].concat());
    })
}

/// A thousand rows in each.
fn rows_per_insert(rows: Rows) -> Vec<u8> {
    let mut dump = rows.dump(POSTGRES_HEAD, |out, number, row| {
        let before = match number {
            0 => "INSERT INTO public.orders VALUES\n\t",
            number if number % 1000 == 0 => ";\n\nINSERT INTO public.orders VALUES\n\t",
            _ => ",\n\t",
        };
        out.extend_from_slice(before.as_bytes());
        out.extend(values(row));
    });
    dump.extend_from_slice(b";\n");
    dump
}

fn document_of(row: &[Value]) -> Vec<u8> {
    let elements = NAMES.into_iter().zip(row).map(|(name, value)| match value {
        Number(value) => number(name, *value),
        Text(value) => text(name, value),
        Binary(bytes) => element(5, name, &[&(bytes.len() as u32).to_le_bytes(), &[0][..], bytes].concat()),
    });
    document(&elements.collect::<Vec<_>>())
}

fn bson(rows: Rows) -> Vec<u8> {
    rows.dump("", |out, _, row| out.extend(document_of(row)))
}

fn read_bson(dump: &[u8]) -> u64 {
    let (mut reader, mut begun) = (Documents::default(), 0);
    dump.chunks(PIECE_BYTES).for_each(|piece| reader.push(piece, &mut |start| begun ^= start));
    std::hint::black_box(begun);
    reader.finish().0.documents
}

const COLLECTIONS: [&str; 4] = ["a", "b", "c", "d"];

fn of_collection(name: &str, more: &[Vec<u8>]) -> Vec<u8> {
    document(&[&[text("db", "shop"), text("collection", name)], more].concat())
}

/// Of collections that come by turns and are not ended.
fn archive(rows: Rows) -> Vec<u8> {
    let mut numbers = 0..;
    let mut out = [&mongo::MAGIC[..], &document(&[text("version", "0.1")])].concat();
    COLLECTIONS.iter().for_each(|name| out.extend(of_collection(name, &[text("metadata", "{}")])));
    for name in COLLECTIONS.iter().cycle() {
        out.extend([0xff; 4]);
        if out.len() >= DUMP_BYTES {
            break;
        }
        out.extend(of_collection(name, &[element(8, "EOF", &[0])]));
        numbers.by_ref().take(BLOCK_DOCUMENTS).for_each(|number| out.extend(document_of(&rows.row(number))));
    }
    out
}

fn read_archive(dump: &[u8]) -> u64 {
    let (mut reader, mut documents) = (Archive::default(), 0);
    let mut tell = |event: mongo::Event| -> Result<(), ()> {
        documents += u64::from(matches!(event, mongo::Event::Document { .. }));
        Ok(())
    };
    let pushed = dump.chunks(PIECE_BYTES).try_for_each(|piece| reader.push(piece, &mut tell));
    assert!(pushed.is_ok() && reader.finish(&mut tell).is_ok());
    documents
}
