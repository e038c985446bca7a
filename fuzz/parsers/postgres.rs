//! What `pg_dump` and `pg_dumpall` write.

use std::convert::Infallible;
use std::ops::Range;

use super::{assert_cover, in_any_pieces, piece_length};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::letters::Letters;
use yesterfs::dump::postgres::archive::{DirectoryArchive, reader_of};
use yesterfs::dump::postgres::{
    self, Boundary, PostgresDump, RowEvent, RowForm, RowMarks, RowReader, Strings, columns_of_rows, owns_sequence,
    sequence_value, table_schema,
};
use yesterfs::dump::unpack::{DirectoryReader, Output};
use yesterfs::id::hash;

pub fn postgres_dump(data: &[u8]) {
    let read = |length: usize| {
        let (mut dump, mut events) = (PostgresDump::default(), Vec::new());
        data.chunks(length).for_each(|piece| dump.push(piece, &mut |event| events.push(event)));
        let facts = dump.finish(&mut |event| events.push(event));
        (events, facts)
    };
    let whole = in_any_pieces(data, read, "other pieces make another dump");
    let starts = whole.0.iter().filter_map(|event| match event {
        postgres::Event::Part(part) => Some(part.start),
        _ => None,
    });
    assert_cover(starts, data.len());
    let mut statements = postgres::StatementStarts::default();
    data.chunks(piece_length(data)).for_each(|piece| statements.push(piece, &mut |_, _| {}));
    statements.finish(&mut |_, _| {});
}

/// Itself, and its text where it is whole; `None` for what is no archive, and where more comes out than may. How far damaged data is read depends on pieces.
type ReadArchive = Option<(Vec<u8>, Option<Vec<u8>>)>;

fn read_archive(data: &[u8], length: usize) -> ReadArchive {
    let mut reader = reader_of(data, "key", UnwrapLimit::Bytes(1 << 20))?;
    let (mut text, mut archive) = (Vec::new(), Vec::new());
    let mut tell = |output: Output| {
        if let Output::Shared(bytes) | Output::Text(bytes) = output {
            text.extend_from_slice(bytes);
        }
        if let Output::Shared(bytes) | Output::Frame(bytes) = output {
            archive.extend_from_slice(bytes);
        }
        Ok(())
    };
    if data.chunks(length).any(|piece| reader.push(piece, &mut tell).is_err()) {
        return None;
    }
    let is_whole = reader.finish(&mut tell).ok()?.fault.is_none();
    Some((archive, is_whole.then_some(text)))
}

pub fn postgres_archive(data: &[u8]) {
    let whole = in_any_pieces(data, |length| read_archive(data, length), "other pieces make another text");
    assert!(whole.as_ref().is_none_or(|(archive, _)| archive == data), "an archive is another one");
    archive_of_files(data);
}

/// The same bytes as every file of a directory.
fn archive_of_files(data: &[u8]) {
    let mut directory = DirectoryArchive::new("key".into());
    for _ in 0..100 {
        if directory.next_file().is_none() {
            break;
        }
        let mut file = Vec::new();
        let mut tell = |output: Output| {
            if let Output::Shared(bytes) | Output::Frame(bytes) = output {
                file.extend_from_slice(bytes);
            }
            Ok(())
        };
        assert!(directory.begin_file(&mut tell).is_ok());
        assert!(data.chunks(piece_length(data)).all(|piece| directory.push(piece, &mut tell).is_ok()));
        assert!(directory.end_file(&mut tell).is_ok());
        assert!(file == data, "a file of an archive is another one");
    }
    assert!(Box::new(directory).finish(&mut |_: Output| Ok(())).is_ok());
}

/// Where each row begins and what it is, and whether the text ended where it may. A `COPY` or an `INSERT` that begins is a row
/// without a place.
pub type ReadRows = (Vec<(Option<u64>, Vec<u8>)>, bool);

pub fn read_rows(data: &[u8], strings: Strings, is_within_rows: bool, length: usize) -> ReadRows {
    let (mut reader, mut rows) = (RowReader::new(strings, is_within_rows), Vec::new());
    let mut form = RowForm::Copy(strings.letters);
    let mut tell = |event: RowEvent| {
        match event {
            RowEvent::Row { start, text } => {
                assert!(data[start as usize..].starts_with(text), "a row that does not stand there");
                look_at_row(text, form);
                rows.push((Some(start), text.to_vec()));
            }
            RowEvent::Begin { text, form: next } => {
                form = next;
                let _ = columns_of_rows(text);
                rows.push((None, text.to_vec()));
            }
        }
        Ok::<(), Infallible>(())
    };
    assert!(data.chunks(length).all(|piece| reader.push(piece, &mut tell) == Ok(true)));
    let Ok(is_whole) = reader.finish(&mut tell);
    (rows, is_whole)
}

/// The values of a row do not overlap, and mean the same when they are written again.
fn look_at_row(row: &[u8], form: RowForm) {
    let mut places: Vec<Range<usize>> = Vec::new();
    if !postgres::split_row(row, form, &mut places) {
        return;
    }
    assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start), "values that overlap");
    let meanings: Vec<_> = places.iter().map(|place| postgres::meaning(&row[place.clone()], form)).collect();
    let letters = form.strings().letters;
    let literals = meanings.iter().map(|it| it.as_ref().map_or(b"NULL".to_vec(), |it| postgres::quoted(it, letters)));
    let again = [b"(", &literals.collect::<Vec<_>>().join(&b", "[..])[..], b")"].concat();
    for backslash_escapes in [false, true].into_iter().filter(|_| !places.is_empty()) {
        let form = RowForm::Insert(Strings { backslash_escapes, letters });
        let mut places = Vec::new();
        assert!(postgres::split_row(&again, form, &mut places), "no row was written");
        let read: Vec<_> = places.iter().map(|place| postgres::meaning(&again[place.clone()], form)).collect();
        assert!(read == meanings, "another row was written");
    }
}

pub fn postgres_rows(data: &[u8]) {
    let bits = hash(data)[1];
    let letters = [Letters::Plain, Letters::Sjis, Letters::Gb18030, Letters::Big5][usize::from(bits >> 3 & 3)];
    let (strings, is_within_rows) = (Strings { backslash_escapes: bits & 1 != 0, letters }, bits & 2 != 0);
    let read = |length: usize| read_rows(data, strings, is_within_rows, length);
    let (rows, _) = in_any_pieces(data, read, "other pieces have other rows");
    look_at_row(data, RowForm::Copy(letters));
    look_at_row(data, RowForm::Insert(strings));
    read_from_a_row_on(data, &rows, strings, is_within_rows);
    let marks = RowMarks { lines: bits & 4 != 0, strings };
    assert!(RowMarks::from_words(&marks.to_words()) == marks, "marks that are not read as they were written");
    let places = [RowMarks::first_row(data), RowMarks::last_row(data), RowMarks::end_of_rows(data)];
    assert!(places.iter().flatten().all(|&place| place <= data.len()));
}

/// Who begins to read where a row does finds what all read who came by there, up to the end of these rows.
fn read_from_a_row_on(data: &[u8], rows: &[(Option<u64>, Vec<u8>)], strings: Strings, is_within_rows: bool) {
    let cut = data.len() - data.len() / (1 + piece_length(data) % 7);
    let mut reader = RowReader::new(strings, is_within_rows);
    let mut passed = 0;
    let mut count = |_: RowEvent| {
        passed += 1;
        Ok::<(), Infallible>(())
    };
    let Ok(_) = reader.push(&data[..cut], &mut count);
    if reader.boundary() == Some(Boundary::Row) {
        let (rest, _) = read_rows(&data[cut..], strings, true, piece_length(data));
        let moved = rest.into_iter().map(|(start, text)| (start.map(|start| start + cut as u64), text));
        let those = |(start, _): &(Option<u64>, Vec<u8>)| start.is_some();
        let expected = rows[passed..].iter().take_while(|row| those(row)).cloned();
        assert!(moved.take_while(those).eq(expected), "other rows follow a place before a row");
    }
}

/// What makes a table, and what comes behind its rows.
pub fn postgres_table(data: &[u8]) {
    let (schema, post) = data.split_at(data.len() / 2);
    for (schema, post) in [(data, &b""[..]), (schema, post)] {
        let table = table_schema(schema, post);
        let behind_comment = table_schema(&[b"-- Name: t\n", schema].concat(), post);
        assert!(table == behind_comment, "a comment changes a table");
        let Some(table) = table else { continue };
        table.columns.iter().for_each(|column| assert!(table.column(&column.name).is_some()));
        assert!(
            table.identifying_keys().is_sorted_by_key(|key| !key.is_primary),
            "another key comes before the primary one"
        );
        assert!(table.definition.len() <= 2 * schema.len() + 2, "a definition that is longer than what was told");
    }
    let _ = owns_sequence(schema, post, (b"sales", b"orders"), (b"sales", b"orders_id_seq"));
    if let Some(value) = sequence_value(data) {
        assert!(memmem(data, &value), "a statement that does not stand there");
    }
}

fn memmem(data: &[u8], wanted: &[u8]) -> bool {
    data.windows(wanted.len().max(1)).any(|window| window == wanted)
}
