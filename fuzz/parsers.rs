//! Every parser of bytes that others wrote, as a function of any bytes. Each panics where a promise is broken.

#[path = "parsers/commands.rs"]
mod commands;
#[path = "parsers/compressed.rs"]
mod compressed;
#[path = "parsers/filters.rs"]
mod filters;
#[path = "parsers/mongo.rs"]
mod mongo;
#[path = "parsers/names.rs"]
mod names;
#[path = "parsers/postgres.rs"]
mod postgres;
#[path = "parsers/repository.rs"]
mod repository;
#[path = "parsers/rewriting.rs"]
mod rewriting;

use std::convert::Infallible;

use yesterfs::dump::backup::BackupFile;
use yesterfs::dump::letters::Letters;
use yesterfs::dump::mysql::shell::{
    DoneManifest, DumpManifest, SchemaManifest, ShellDirectory, ShellStep, ShellTable, TableManifest,
};
use yesterfs::dump::mysql::tab::{
    Decoding, Field, FieldForm, InsertWriter, StatementFile, TabDirectory, TabFile, TabRows,
};
use yesterfs::dump::mysql::xml::XmlDump;
use yesterfs::dump::mysql::{self, MysqlDump, QuoteModes, Renamer, RowEvent, RowMarks, RowReader, table_schema};
use yesterfs::dump::renaming::Rewrite;
use yesterfs::dump::unpack::{DirectoryReader, Output};
use yesterfs::id::hash;

pub use self::commands::postgres_commands;
pub use self::compressed::{gzip, recipe, wrapped};
pub use self::filters::{mysql_filters, postgres_filters};
pub use self::mongo::{
    mongo_archive, mongo_csv, mongo_documents, mongo_export, mongo_export_values, mongo_metadata, mongo_values,
};
pub use self::names::{file_names, mydumper, part_lines};
pub use self::postgres::{postgres_archive, postgres_dump, postgres_rows, postgres_table};
pub use self::repository::{catalog, checkpoint, chunk_record, codec, delta, delta_group, footer, node, page, segment};
pub use self::rewriting::{postgres_renaming, postgres_tablespaces};

/// A parser, and its name, which is that of its corpus and of its target.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 39] = [
    ("mysql_dump", mysql_dump),
    ("mysql_filters", mysql_filters),
    ("mysql_rows", mysql_rows),
    ("mysql_shell", mysql_shell),
    ("mysql_tab", mysql_tab),
    ("mysql_table", mysql_table),
    ("mysql_xml", mysql_xml),
    ("mydumper", mydumper),
    ("postgres_dump", postgres_dump),
    ("postgres_filters", postgres_filters),
    ("postgres_rows", postgres_rows),
    ("postgres_table", postgres_table),
    ("postgres_archive", postgres_archive),
    ("postgres_renaming", postgres_renaming),
    ("postgres_tablespaces", postgres_tablespaces),
    ("postgres_commands", postgres_commands),
    ("mongo_documents", mongo_documents),
    ("mongo_archive", mongo_archive),
    ("mongo_metadata", mongo_metadata),
    ("mongo_export", mongo_export),
    ("mongo_export_values", mongo_export_values),
    ("mongo_csv", mongo_csv),
    ("mongo_values", mongo_values),
    ("backup_files", backup_files),
    ("file_names", file_names),
    ("part_lines", part_lines),
    ("gzip", gzip),
    ("wrapped", wrapped),
    ("recipe", recipe),
    ("page", page),
    ("node", node),
    ("footer", footer),
    ("segment", segment),
    ("chunk_record", chunk_record),
    ("delta", delta),
    ("delta_group", delta_group),
    ("catalog", catalog),
    ("checkpoint", checkpoint),
    ("codec", codec),
];

/// The length of pieces that an input comes in: any, and always the same for one input.
fn piece_length(data: &[u8]) -> usize {
    1 + hash(data)[0] as usize % 97
}

/// What `read` makes of an input that comes in pieces of one length, whatever that is.
#[track_caller]
fn in_any_pieces<T: PartialEq>(data: &[u8], read: impl Fn(usize) -> T, otherwise: &str) -> T {
    let whole = read(data.len().max(1));
    assert!(whole == read(piece_length(data)), "{otherwise}");
    whole
}

fn mysql_starts(events: &[mysql::Event]) -> impl Iterator<Item = u64> {
    events.iter().filter_map(|event| match event {
        mysql::Event::Part(part) => Some(part.start),
        _ => None,
    })
}

/// Starts of parts: the first is that of the input, each comes behind the one before, and lies in the input.
fn assert_cover(starts: impl Iterator<Item = u64>, length: usize) {
    let mut expected = 0..=0;
    for start in starts {
        assert!(expected.contains(&start), "a part begins at {start}, where {expected:?} was due");
        expected = start + 1..=(length as u64).saturating_sub(1);
    }
    assert!(length == 0 || *expected.start() > 0, "an input without parts");
}

pub fn mysql_dump(data: &[u8]) {
    let read = |length: usize| {
        let (mut dump, mut events) = (MysqlDump::default(), Vec::new());
        data.chunks(length).for_each(|piece| dump.push(piece, &mut |event| events.push(event)));
        let facts = dump.finish(&mut |event| events.push(event));
        (events, facts)
    };
    let whole = in_any_pieces(data, read, "other pieces make another dump");
    assert_cover(mysql_starts(&whole.0), data.len());
    let mut statements = mysql::StatementStarts::default();
    let mut last = 0;
    let mut tell = |start, text: &[u8]| {
        assert!(start >= last && text.len() <= data.len());
        last = start;
    };
    data.chunks(piece_length(data)).for_each(|piece| statements.push(piece, &mut tell));
    statements.finish(&mut tell);
}

fn quote_modes(data: &[u8]) -> QuoteModes {
    let bits = hash(data)[1];
    let letters = [Letters::Plain, Letters::Sjis, Letters::Gb18030, Letters::Big5][usize::from(bits >> 3 & 3)];
    QuoteModes {
        plain_backslash: bits & 1 != 0,
        ansi_quotes: bits & 2 != 0,
        letters,
        letters_of_session: Letters::Plain,
    }
}

pub fn mysql_rows(data: &[u8]) {
    let read = |length: usize| {
        let (mut reader, mut rows) = (RowReader::new(quote_modes(data), hash(data)[1] & 4 != 0), Vec::new());
        let mut tell = |event: RowEvent| {
            if let RowEvent::Row { start, text, modes } = event {
                assert!(data[start as usize..].starts_with(text), "a row that does not stand there");
                rows.push((start, text.to_vec()));
                look_at_row(text, modes);
            } else if let RowEvent::Insert { text, modes } = event {
                let _ = mysql::columns_of_insert(text, modes);
            }
            Ok::<(), Infallible>(())
        };
        for piece in data.chunks(length) {
            let Ok(is_possible) = reader.push(piece, &mut tell);
            assert!(is_possible);
        }
        let Ok(is_whole) = reader.finish(&mut tell);
        (is_whole, rows)
    };
    in_any_pieces(data, read, "other pieces have other rows");
    let marks = RowMarks::from_words(&String::from_utf8_lossy(&data[..data.len().min(100)]));
    let places = [marks.first_row(data), marks.last_row(data)];
    assert!(places.iter().flatten().all(|&place| place <= data.len()));
}

/// The rows of a dump, and whether it ended where it may.
fn mysql_texts(data: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut reader, mut rows) = (RowReader::new(QuoteModes::default(), false), Vec::new());
    let mut tell = |event: RowEvent| {
        rows.extend(if let RowEvent::Row { text, .. } = event { Some(text.to_vec()) } else { None });
        Ok::<(), Infallible>(())
    };
    let Ok(_) = reader.push(data, &mut tell);
    let Ok(is_whole) = reader.finish(&mut tell);
    (rows, is_whole)
}

fn look_at_row(text: &[u8], modes: QuoteModes) {
    let mut values = Vec::new();
    if !mysql::split_row(text, modes, &mut values) {
        return;
    }
    for pair in values.windows(2) {
        assert!(pair[0].end <= pair[1].start, "values that overlap");
        let [a, b] = [&text[pair[0].clone()], &text[pair[1].clone()]];
        assert!(mysql::meaning(a, modes) == mysql::meaning(a, modes), "a value that is not itself");
        let _ = mysql::meaning(b, modes);
    }
    for value in values {
        let literal = &text[value];
        let _ = mysql::is_number(literal);
        if let Some(meaning) = mysql::meaning(literal, modes).filter(|_| literal.starts_with(b"'")) {
            let again = mysql::quoted(&meaning, modes);
            assert!(mysql::meaning(&again, modes).as_deref() == Some(&meaning[..]), "quoting changes a value");
        }
    }
}

pub fn mysql_tab(data: &[u8]) {
    let bits = hash(data)[2];
    let form = match bits & 3 {
        0 => FieldForm { separator: b",".to_vec(), enclosing: Some(b'"'), ..FieldForm::default() },
        1 => FieldForm { separator: b"<>".to_vec(), line_end: b"<|>".to_vec(), escape: None, ..FieldForm::default() },
        _ => FieldForm::default(),
    };
    let lengths = if bits & 4 == 0 { Vec::new() } else { vec![None, Some(2)] };
    let read = |length: usize| {
        let (mut rows, mut found) = (TabRows::new(form.clone(), lengths.clone()), Vec::new());
        let mut tell = |form: &FieldForm, row: &[u8], fields: &[Field]| {
            let value = |field: &Field| form.value(row, field).map(|value| value.into_owned());
            found.push(fields.iter().map(value).collect::<Vec<_>>());
            Ok::<(), Infallible>(())
        };
        for piece in data.chunks(length) {
            let Ok(is_possible) = rows.push(piece, &mut tell);
            assert!(is_possible);
        }
        (rows.is_between(), found)
    };
    let whole = in_any_pieces(data, read, "other pieces have other rows");
    whole.1.iter().for_each(|values| look_at_insert(values));
    let file = StatementFile::read(data.to_vec());
    let _ = (file.fault(), file.banner(), file.settings());
    assert!(file.before_rows().len() + file.behind_rows().len() <= data.len(), "more than there was");
    in_any_pieces(data, |length| text_of_directory(data, &form, length), "other pieces make another text");
}

/// A directory of one table: its statements, and behind the last of them its rows. Its text, and what is wrong with it.
fn text_of_directory(data: &[u8], form: &FieldForm, length: usize) -> (Vec<u8>, Option<String>) {
    let statements = data.windows(2).rposition(|end| end == b";\n").map_or(0, |at| at + 2);
    let file = |name: &str, rows_of: Option<Vec<u8>>| TabFile { name: name.into(), rows_of };
    let files = vec![file("t.sql", None), file("t.txt", Some(b"t".to_vec()))];
    let (mut directory, mut text, mut read) = (TabDirectory::new(files, form.clone()), Vec::new(), Vec::new());
    let mut tell = |output: Output| {
        match output {
            Output::Text(bytes) => text.extend_from_slice(bytes),
            Output::Shared(bytes) | Output::Frame(bytes) => read.extend_from_slice(bytes),
            Output::Stream { .. } => {}
        }
        Ok(())
    };
    for bytes in [&data[..statements], &data[statements..]] {
        assert!(directory.next_file().is_some() && directory.begin_file(&mut tell).is_ok());
        assert!(bytes.chunks(length).all(|piece| directory.push(piece, &mut tell).is_ok()));
        assert!(directory.end_file(&mut tell).is_ok());
    }
    let end = Box::new(directory).finish(&mut tell).expect("memory");
    assert!(read == data, "the files of a directory are other ones");
    (text, end.fault)
}

/// Statements and rows, with an empty line between them, and manifests.
pub fn mysql_shell(data: &[u8]) {
    let _ = (DoneManifest::read(data), SchemaManifest::read(data).map(|schema| schema.base_name("a", "b/c")));
    let manifest = DumpManifest::read(data).unwrap_or_default();
    if let Ok(Some(table)) = TableManifest::read(data, "a@b") {
        assert!(table.columns.len() == table.decodings.len() && !table.base_names.is_empty());
    }
    for decoding in [Decoding::Base64, Decoding::Hexadecimal] {
        assert!(decoding.decode(data).is_none_or(|bytes| bytes.len() <= data.len() * 3 / 4), "more than there was");
    }
    let middle = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (statements, rows) = data.split_at(middle);
    let decodings = if hash(data)[3] & 1 == 0 { Vec::new() } else { vec![None, Some(Decoding::Base64)] };
    let columns = decodings.iter().enumerate().map(|(number, _)| vec![b'a' + number as u8]).collect();
    let table = ShellTable { name: b"t".to_vec(), form: FieldForm::default(), columns, decodings };
    let files = [ShellStep::Statements { file: b"s".to_vec() }, ShellStep::Rows { file: b"r".to_vec(), bytes: None }];
    let [first, second] = files;
    let steps = vec![ShellStep::Use(b"d`".to_vec()), first, ShellStep::Table(table), second];
    let read = |length: usize| {
        let mut reader = Box::new(ShellDirectory::new(&manifest, b"", steps.clone(), None));
        let mut text = Vec::new();
        let mut tell = |output: Output| {
            text.extend_from_slice(if let Output::Text(bytes) = output { bytes } else { b"" });
            Ok(())
        };
        for bytes in [statements, rows.trim_ascii_start()] {
            reader.next_file().unwrap();
            reader.begin_file(&mut tell).unwrap();
            bytes.chunks(length).for_each(|piece| reader.push(piece, &mut tell).unwrap());
            reader.end_file(&mut tell).unwrap();
        }
        assert_eq!(reader.next_file(), None);
        let end = reader.finish(&mut tell).unwrap();
        (text, end)
    };
    in_any_pieces(data, read, "other pieces have another text");
}

/// What is written for values means the same.
fn look_at_insert(values: &[Option<Vec<u8>>]) {
    let (mut writer, mut text) = (InsertWriter::new(b"t", None, b""), Vec::new());
    assert!(writer.begin_row(values.len(), &mut text).is_ok());
    let numbered = values.iter().enumerate();
    numbered.for_each(|(number, value)| writer.push_value(number, value.as_deref(), &mut text));
    writer.end_row(0, &mut text);
    let row = &text[text.iter().position(|byte| *byte == b'(').unwrap_or_default()..];
    let mut places = Vec::new();
    assert!(mysql::split_row(row, QuoteModes::default(), &mut places), "no row was written");
    let meanings = places.iter().map(|place| mysql::meaning(&row[place.clone()], QuoteModes::default()));
    let meanings = meanings.map(|meaning| meaning.map(|it| it.into_owned()));
    assert!(meanings.eq(values.iter().cloned()), "another row was written");
}

pub fn mysql_xml(data: &[u8]) {
    let read = |length: usize| {
        let (mut dump, mut events) = (XmlDump::default(), Vec::new());
        data.chunks(length).for_each(|piece| dump.push(piece, &mut |event| events.push(event)));
        let facts = dump.finish(&mut |event| events.push(event));
        (events, facts)
    };
    let whole = in_any_pieces(data, read, "other pieces make another dump");
    assert_cover(mysql_starts(&whole.0), data.len());
}

pub fn mysql_table(data: &[u8]) {
    let modes = quote_modes(data);
    let _ = mysql::trigger_names(data, modes);
    let _ = mysql::setting(data, "sql_mode");
    let schema = table_schema(data, modes);
    if let Some(schema) = &schema {
        schema.columns.iter().for_each(|column| assert!(schema.column(&column.name).is_some()));
        let _ = schema.identifying_keys().count();
    }
    let old = schema.map_or(b"orders".to_vec(), |schema| schema.name);
    let renamed = |length: usize| {
        let (mut renamer, mut out) = (Box::new(Renamer::new(&old, b"orders_2")), Vec::new());
        let failure = data.chunks(length).find_map(|piece| renamer.push(piece, &mut out).err());
        assert!(failure.is_none(), "{failure:?}");
        renamer.finish(&mut out).unwrap();
        out
    };
    in_any_pieces(data, renamed, "other pieces are renamed otherwise");
}

pub fn backup_files(data: &[u8]) {
    let names = "xtrabackup_binlog_info xtrabackup_info xtrabackup_slave_info relay-log.info master.info backup_label";
    for name in names.split(' ') {
        let file = BackupFile::named(name.as_bytes()).expect("one of the names");
        if let Ok(facts) = file.read(data) {
            assert!(facts.others.iter().map(|(_, value)| value.len()).sum::<usize>() <= 3 * data.len());
        }
    }
}
