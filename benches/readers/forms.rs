//! Forms that are no SQL as a client takes it, or hold it in files of their own.

use std::convert::Infallible;

use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::mongo::{Export, ExportForm};
use yesterfs::dump::mysql::shell::{DumpManifest, ShellDirectory, ShellStep, ShellTable};
use yesterfs::dump::mysql::tab::{Decoding, Field, FieldForm, TabRows};
use yesterfs::dump::mysql::xml::XmlDump;
use yesterfs::dump::mysql::{self, MysqlDump};
use yesterfs::dump::postgres::archive::reader_of;
use yesterfs::dump::postgres::{self, PostgresDump};
use yesterfs::dump::unpack::{DirectoryReader, Output};

use super::Value::{Binary, Number, Text};
use super::{NAMES, PIECE_BYTES, Rows, Value, copy, hex};

const CSV: ExportForm = ExportForm::Csv { has_names: true };

/// As `mongoexport` writes it.
pub fn json(rows: Rows) -> Vec<u8> {
    let field = |(name, value): (&str, &Value)| match value {
        Number(number) => format!("\"{name}\":{number}"),
        Text(text) => format!("\"{name}\":\"{text}\""),
        Binary(bytes) => format!("\"{name}\":{{\"$binary\":{{\"base64\":\"{}\",\"subType\":\"00\"}}}}", hex(bytes)),
    };
    rows.dump("", |out, _, row| {
        let fields: Vec<String> = NAMES.into_iter().zip(row).map(field).collect();
        out.extend(format!("{{{}}}\n", fields.join(",")).into_bytes());
    })
}

/// The same with `--type=csv`.
pub fn csv(rows: Rows) -> Vec<u8> {
    let field = |value: &Value| match value {
        Number(number) => number.to_string(),
        Text(text) => text.clone(),
        Binary(bytes) => hex(bytes),
    };
    rows.dump("", |out, number, row| {
        out.extend(
            if number == 0 { format!("{}\n", NAMES[..row.len()].join(",")) } else { String::new() }.into_bytes(),
        );
        out.extend(row.iter().map(field).collect::<Vec<_>>().join(",").into_bytes());
        out.push(b'\n');
    })
}

fn read_export(form: ExportForm, dump: &[u8]) -> u64 {
    let (mut reader, mut begun) = (Export::new(form), 0);
    dump.chunks(PIECE_BYTES).for_each(|piece| reader.push(piece, &mut |start| begun ^= start));
    std::hint::black_box(begun);
    reader.finish().counts.documents
}

pub fn read_json(dump: &[u8]) -> u64 {
    read_export(ExportForm::Json, dump)
}

pub fn read_csv(dump: &[u8]) -> u64 {
    read_export(CSV, dump)
}

/// Lines of fields, as `--tab` and MySQL Shell write them, the latter with what does not print in hexadecimal digits here.
pub fn tab(rows: Rows) -> Vec<u8> {
    let field = |value: &Value| match value {
        Number(number) => number.to_string(),
        Text(text) => text.clone(),
        Binary(bytes) => hex(bytes),
    };
    rows.dump("", |out, _, row| {
        out.extend(row.iter().map(field).collect::<Vec<_>>().join("\t").into_bytes());
        out.push(b'\n');
    })
}

/// What makes the table, as servers tell it.
fn definition(fields: usize, is_binary: bool) -> String {
    let types = ["bigint", if is_binary { "blob" } else { "int" }, "varchar(8)", "datetime", "text", "decimal(10,0)"];
    let columns = NAMES.iter().zip(types).take(fields).map(|(name, kind)| format!("  `{name}` {kind} DEFAULT NULL"));
    format!("CREATE TABLE `orders` (\n{}\n) DEFAULT CHARSET=utf8mb4;\n", columns.collect::<Vec<_>>().join(",\n"))
}

/// The text of files, which goes on to what reads that.
fn read_files(mut directory: Box<dyn DirectoryReader>, files: [&[u8]; 2]) -> u64 {
    let (mut reader, mut rows) = (MysqlDump::default(), 0);
    let mut count = |event| rows += u64::from(matches!(event, mysql::Event::Row(_)));
    let mut tell = |output: Output| {
        reader.push(if let Output::Text(bytes) | Output::Shared(bytes) = output { bytes } else { b"" }, &mut count);
        Ok(())
    };
    for bytes in files {
        assert!(directory.next_file().is_some() && directory.begin_file(&mut tell).is_ok());
        assert!(bytes.chunks(PIECE_BYTES).all(|piece| directory.push(piece, &mut tell).is_ok()));
        assert!(directory.end_file(&mut tell).is_ok());
    }
    assert!(directory.finish(&mut tell).is_ok());
    std::hint::black_box(reader.finish(&mut count));
    rows
}

pub fn read_tab(dump: &[u8]) -> u64 {
    let (mut reader, mut rows) = (TabRows::new(FieldForm::default(), Vec::new()), 0);
    let mut tell = |_: &FieldForm, row: &[u8], fields: &[Field]| {
        std::hint::black_box((row, fields));
        rows += 1;
        Ok::<(), Infallible>(())
    };
    assert!(dump.chunks(PIECE_BYTES).all(|piece| reader.push(piece, &mut tell) == Ok(true)));
    rows
}

pub fn read_shell(dump: &[u8]) -> u64 {
    let fields = dump.iter().take_while(|&&byte| byte != b'\n').filter(|&&byte| byte == b'\t').count() + 1;
    let columns: Vec<Vec<u8>> = NAMES[..fields].iter().map(|name| name.as_bytes().to_vec()).collect();
    // Only what does not print has a column of these two.
    let is_binary = fields == 2 && dump.iter().any(u8::is_ascii_lowercase);
    let decodings = vec![None, is_binary.then_some(Decoding::Hexadecimal)];
    let decodings = if is_binary { decodings } else { vec![None; fields] };
    let table = ShellTable { name: b"orders".to_vec(), form: FieldForm::default(), columns, decodings };
    let statements = ShellStep::Statements { file: b"orders.sql".to_vec() };
    let rows = ShellStep::Rows { file: b"orders.tsv".to_vec(), bytes: None };
    let steps = vec![ShellStep::Use(b"shop".to_vec()), statements, ShellStep::Table(table), rows];
    let definition = definition(fields, is_binary);
    let directory = ShellDirectory::new(&DumpManifest::default(), b"", steps, None);
    read_files(Box::new(directory), [definition.as_bytes(), dump])
}

/// As `mysqldump --xml` writes it, with what does not print in hexadecimal digits.
pub fn xml(rows: Rows) -> Vec<u8> {
    let head = "<?xml version=\"1.0\"?>\n<mysqldump xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n\
                <database name=\"shop\">\n\t<table_data name=\"orders\">\n";
    let field = |(name, value): (&str, &Value)| match value {
        Number(number) => format!("\t\t<field name=\"{name}\">{number}</field>\n"),
        Text(text) => format!("\t\t<field name=\"{name}\">{text}</field>\n"),
        Binary(bytes) => format!("\t\t<field name=\"{name}\" xsi:type=\"xs:hexBinary\">{}</field>\n", hex(bytes)),
    };
    let mut dump = rows.dump(head, |out, _, row| {
        let fields: String = NAMES.into_iter().zip(row).map(field).collect();
        out.extend(format!("\t<row>\n{fields}\t</row>\n").into_bytes());
    });
    dump.extend_from_slice(b"\t</table_data>\n</database>\n</mysqldump>\n");
    dump
}

pub fn read_xml(dump: &[u8]) -> u64 {
    let (mut reader, mut rows) = (XmlDump::default(), 0);
    let mut tell = |event| rows += u64::from(matches!(event, mysql::Event::Row(_)));
    dump.chunks(PIECE_BYTES).for_each(|piece| reader.push(piece, &mut tell));
    std::hint::black_box(reader.finish(&mut tell));
    rows
}

/// A number as archives of `pg_dump` have it: its sign, and four bytes.
fn number(value: i32) -> Vec<u8> {
    [&[u8::from(value < 0)][..], &value.unsigned_abs().to_le_bytes()].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&number(text.len() as i32)[..], text].concat()
}

/// The table of contents of an archive of version 1.14 with one table, whose rows are behind it, or in this file.
fn contents(format: u8, file: &[u8]) -> Vec<u8> {
    let mut out = [b"PGDMP\x01\x0e\x00\x04\x08", &[format][..], &number(0)].concat();
    (0..7).for_each(|_| out.extend(number(1)));
    (0..3).for_each(|_| out.extend(number(-1)));
    out.extend(number(2));
    let table: &[u8] = b"CREATE TABLE public.orders (id bigint);";
    for (id, kind, definition, copy) in
        [(1, &b"TABLE"[..], table, &b""[..]), (2, b"TABLE DATA", b"", b"COPY public.orders FROM stdin;\n")]
    {
        let (has_data, name) = (id == 2, if id == 2 { file } else { b"" });
        let told =
            [number(id), number(has_data.into()), text(b"0"), text(b"0"), text(b"orders"), text(kind), number(2)];
        let texts = [text(definition), text(b""), text(copy), text(b"public"), text(b""), text(b"heap"), text(b"me")];
        let place = if format == TAR { text(name) } else { vec![0; 9] };
        out.extend([told.concat(), texts.concat(), text(b"false"), number(-1), place].concat());
    }
    out
}

const CUSTOM: u8 = 1;
const TAR: u8 = 3;

/// What `COPY` says, with its end.
fn copied(rows: Rows) -> Vec<u8> {
    let dump = copy(rows);
    let start = dump.windows(7).position(|window| window == b"stdin;\n").map_or(0, |at| at + 7);
    [&dump[start..], b"\n\n"].concat()
}

/// As with `-Fc -Z0`.
pub fn custom(rows: Rows) -> Vec<u8> {
    let pieces = copied(rows).chunks(16 << 10).map(text).collect::<Vec<_>>().concat();
    [contents(CUSTOM, b""), vec![1], number(2), pieces, number(0)].concat()
}

/// As with `-Ft`.
pub fn tar(rows: Rows) -> Vec<u8> {
    let members = [("toc.dat", contents(TAR, b"2.dat")), ("2.dat", copied(rows))];
    let mut out: Vec<u8> = members.iter().flat_map(|(name, bytes)| member(name, bytes)).collect();
    out.resize(out.len() + 1024, 0);
    out
}

fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    let fields =
        [(0, name.to_string()), (100, "0000600 ".into()), (124, format!("{:011o} ", bytes.len())), (156, "0".into())];
    for (at, field) in fields.into_iter().chain([(257, "ustar\x0000".into()), (148, " ".repeat(8))]) {
        head[at..][..field.len()].copy_from_slice(field.as_bytes());
    }
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = vec![0; bytes.len().next_multiple_of(512) - bytes.len()];
    [head, bytes.to_vec(), padding].concat()
}

/// The text of an archive, which goes on to what reads that.
pub fn read_custom_or_tar(dump: &[u8]) -> u64 {
    let mut reader = reader_of(&dump[..512], "key", UnwrapLimit::NoBomb).expect("an archive");
    let (mut sql, mut rows) = (PostgresDump::default(), 0);
    let mut count = |event| rows += u64::from(matches!(event, postgres::Event::Row(_)));
    let mut tell = |output: Output| {
        sql.push(if let Output::Text(bytes) | Output::Shared(bytes) = output { bytes } else { b"" }, &mut count);
        Ok(())
    };
    assert!(dump.chunks(PIECE_BYTES).all(|piece| reader.push(piece, &mut tell).is_ok()));
    let end = reader.finish(&mut tell);
    assert!(end.is_ok_and(|end| end.fault.is_none()), "an archive that is not whole");
    std::hint::black_box(sql.finish(&mut count));
    rows
}
