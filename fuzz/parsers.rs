//! Every parser of bytes that others wrote, as a function of any bytes. Each panics where a promise is broken.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use yesterfs::codec::{Decoder, seal, seal_with_features};
use yesterfs::compressed::recipe::{RecipeMaker, RecipeReader};
use yesterfs::compressed::{UnwrapLimit, Unwrapper, Wrapping};
use yesterfs::dump::backup::BackupFile;
use yesterfs::dump::mongo::{Archive, Documents, Metadata, OplogReader, Prelude};
use yesterfs::dump::mysql::shell::{
    DoneManifest, DumpManifest, SchemaManifest, ShellDirectory, ShellStep, ShellTable, TableManifest,
};
use yesterfs::dump::mysql::tab::{Decoding, Field, FieldForm, InsertWriter, StatementFile, TabRows};
use yesterfs::dump::mysql::xml::XmlDump;
use yesterfs::dump::mysql::{self, MysqlDump, QuoteModes, Renamer, RowEvent, RowMarks, RowReader, table_schema};
use yesterfs::dump::postgres::archive::{DirectoryArchive, reader_of};
use yesterfs::dump::postgres::{self, PostgresDump, TableInSchema};
use yesterfs::dump::renaming::Rename;
use yesterfs::dump::unpack::{DirectoryReader, Output};
use yesterfs::id::{ChunkId, WriterId, WriterObject, hash};
use yesterfs::repository::catalog::Catalog;
use yesterfs::repository::content::{Content, Extent};
use yesterfs::repository::node::{Node, Xattrs};
use yesterfs::repository::page::{Page, PageKind};
use yesterfs::repository::record::Record;
use yesterfs::repository::snapshot::Manifest;
use yesterfs::repository::tree::Witness;
use yesterfs::store::backend::{Backend, MemoryBackend};
use yesterfs::store::chunk_record::ChunkRecord;
use yesterfs::store::delta::apply_delta;
use yesterfs::store::delta_group::DeltaGroup;
use yesterfs::store::listed_delta::ListedDelta;
use yesterfs::store::pack::{pack_key, read_damaged_ids, read_footer};
use yesterfs::store::segment::{SegmentRef, read_segment, segment_key};

/// A parser, and its name, which is that of its corpus and of its target.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 21] = [
    ("mysql_dump", mysql_dump),
    ("mysql_rows", mysql_rows),
    ("mysql_shell", mysql_shell),
    ("mysql_tab", mysql_tab),
    ("mysql_table", mysql_table),
    ("mysql_xml", mysql_xml),
    ("postgres_dump", postgres_dump),
    ("postgres_archive", postgres_archive),
    ("mongo_documents", mongo_documents),
    ("mongo_archive", mongo_archive),
    ("mongo_metadata", mongo_metadata),
    ("backup_files", backup_files),
    ("gzip", gzip),
    ("wrapped", wrapped),
    ("recipe", recipe),
    ("page", page),
    ("node", node),
    ("footer", footer),
    ("segment", segment),
    ("chunk_record", chunk_record),
    ("catalog", catalog),
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
    QuoteModes { plain_backslash: bits & 1 != 0, ansi_quotes: bits & 2 != 0 }
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
    let borrowed: Vec<_> = values.iter().map(|value| value.as_deref().map(Cow::Borrowed)).collect();
    assert!(writer.push(&borrowed, &mut text).is_ok());
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

/// With a new name and schema for a table; `None` where it is refused.
fn renamed_in_postgres(data: &[u8], length: usize) -> Option<Vec<u8>> {
    let table = |schema: &str, table: &str| TableInSchema { schema: schema.into(), table: table.into() };
    let mut renamer = Box::new(postgres::Renamer::new(table("sales", "orders"), table("other", "it's")));
    let mut out = Vec::new();
    data.chunks(length).try_for_each(|piece| renamer.push(piece, &mut out)).ok()?;
    renamer.finish(&mut out).ok().map(|()| out)
}

pub fn postgres_dump(data: &[u8]) {
    in_any_pieces(data, |length| renamed_in_postgres(data, length), "other pieces are renamed otherwise");
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
    // The same bytes as every file of a directory.
    let mut directory = DirectoryArchive::new("key".into());
    let mut tell = |_: Output| Ok(());
    for _ in 0..100 {
        if directory.next_file().is_none() {
            break;
        }
        let read = directory.begin_file(&mut tell).and_then(|()| directory.push(data, &mut tell));
        assert!(read.and_then(|()| directory.end_file(&mut tell)).is_ok());
    }
    assert!(Box::new(directory).finish(&mut tell).is_ok());
}

pub fn mongo_documents(data: &[u8]) {
    let read = |length: usize| {
        let (mut documents, mut starts) = (Documents::default(), Vec::new());
        let mut oplog = OplogReader::default();
        for piece in data.chunks(length) {
            documents.push(piece, &mut |start| starts.push(start));
            oplog.push(piece);
        }
        let (count, fault) = documents.finish();
        (starts, count, format!("{fault:?}"), oplog.window().map(|it| (it.first.to_string(), it.last.to_string())))
    };
    let whole = in_any_pieces(data, read, "other pieces are other documents");
    assert!(whole.0.is_sorted() && whole.0.iter().all(|&start| start < data.len() as u64));
}

pub fn mongo_archive(data: &[u8]) {
    use yesterfs::dump::mongo::Event;
    let read = |length: usize| {
        let (mut archive, mut all, mut told) = (Archive::default(), Vec::new(), Vec::new());
        let mut tell = |event: Event| {
            match event {
                Event::Frame(bytes) | Event::Bytes { bytes, .. } => all.extend_from_slice(bytes),
                other => told.push(format!("{other:?}")),
            }
            Ok::<(), Infallible>(())
        };
        for piece in data.chunks(length) {
            let Ok(()) = archive.push(piece, &mut tell);
        }
        let Ok(end) = archive.finish(&mut tell);
        (all, told, format!("{end:?}"))
    };
    let whole = in_any_pieces(data, read, "other pieces make another archive");
    assert!(whole.0 == data, "frame and documents are not the archive");
}

pub fn mongo_metadata(data: &[u8]) {
    let _ = Metadata::read(data);
    if let Some(prelude) = Prelude::read(data) {
        assert!(Prelude::read(&prelude.to_json()).is_some(), "a prelude that cannot be read again");
    }
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

/// Most that may come out of an input: some kilobytes of which most bytes come out again and again.
const PLAIN_MAX_BYTES: u64 = 4 << 20;

/// What comes out of an input in pieces, and how that ended.
fn unwrapped(wrapping: Wrapping, data: &[u8], length: usize, room: usize) -> (Vec<u8>, String) {
    let mut unwrapper = Unwrapper::new(wrapping, UnwrapLimit::Bytes(PLAIN_MAX_BYTES));
    let (mut plain, mut out) = (Vec::new(), vec![0; room]);
    for mut input in data.chunks(length) {
        loop {
            let step = match unwrapper.step(input, &mut out) {
                Ok(step) => step,
                Err(error) => return (plain, format!("{error:?}")),
            };
            plain.extend_from_slice(&out[..step.given]);
            input = &input[step.taken..];
            if input.is_empty() && step.given < room {
                break;
            }
        }
    }
    (plain, format!("{:?}", unwrapper.finish().map_err(|error| error.to_string())))
}

fn unwrap(wrapping: Wrapping, data: &[u8]) -> (Vec<u8>, String) {
    let whole = unwrapped(wrapping, data, data.len().max(1), 64 << 10);
    let pieces = unwrapped(wrapping, data, piece_length(data), 1 + hash(data)[2] as usize);
    let is_whole = |end: &str| end == "Ok(None)";
    assert!(is_whole(&whole.1) == is_whole(&pieces.1), "{} in one piece, {} in several", whole.1, pieces.1);
    assert!(!is_whole(&whole.1) || whole.0 == pieces.0, "something else comes out of other pieces");
    whole
}

/// Whatever is not gzip.
pub fn wrapped(data: &[u8]) {
    if let Some(wrapping) = Wrapping::of(data).filter(|&wrapping| wrapping != Wrapping::Gzip) {
        unwrap(wrapping, data);
    }
}

pub fn gzip(data: &[u8]) {
    let (plain, end) = unwrap(Wrapping::Gzip, data);
    let mut made = Vec::new();
    let mut maker = RecipeMaker::new(b"dump.sql", 0, &mut made);
    data.chunks(piece_length(data)).for_each(|piece| maker.push(piece, &|| false, &mut made));
    maker.finish(&|| false, &mut made);
    // What breaks off has more plain bytes than came out of it.
    if end == "Ok(None)" {
        assert!(follow(&made, &plain).as_deref() == Some(data), "the recipe makes another file");
    }
}

/// Follows a recipe.
fn follow(recipe: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let source = |bytes: &[u8]| {
        let mut rest: Vec<Vec<u8>> = bytes.chunks(1000).rev().map(<[u8]>::to_vec).collect();
        move |out: &mut Vec<u8>| {
            let next = rest.pop();
            Ok(next.map(|next| out.extend(next)).is_some())
        }
    };
    let (mut recipe, mut text) = (source(recipe), source(text));
    let mut made = Vec::new();
    let reader = RecipeReader::open("a.recipe".into(), &mut recipe).ok()?;
    let followed = reader.rebuild(&mut text, &mut |bytes| {
        made.extend_from_slice(bytes);
        Ok(())
    });
    followed.ok().map(|()| made)
}

pub fn recipe(data: &[u8]) {
    let _ = follow(data, &data.repeat(3));
}

/// Names of a chunk and a pack.
const CHUNK: ChunkId = ChunkId([7; 32]);
const PACK: WriterObject = WriterObject { writer: WriterId([7; 8]), number: 7 };

pub fn page(data: &[u8]) {
    let bytes: Arc<[u8]> = data.into();
    for kind in [PageKind::Directory, PageKind::Content, PageKind::Witness] {
        let Ok(page) = Page::open(CHUNK, bytes.clone(), kind) else { continue };
        for at in 0..page.len().min(2000) {
            let (_, _, _) = (page.entry_bytes(at).is_ok(), page.key(at).is_ok(), page.child(at).is_ok());
            let _ = page.value(at, Node::decode);
            let _ = page.value_in_place(at, Extent::decode);
            let _ = page.value(at, Witness::decode);
        }
        assert!(page.lower_bound(b"m").is_ok_and(|place| place <= page.len()) || page.lower_bound(b"m").is_err());
    }
}

pub fn node(data: &[u8]) {
    let mut input = Decoder::new(data);
    if let Ok(node) = Node::decode(&mut input) {
        let mut again = yesterfs::codec::Encoder::new();
        node.encode(&mut again);
        let read = Node::decode(&mut Decoder::new(&again.bytes));
        assert!(read.as_ref() == Ok(&node), "a node that is not read as it was written");
        let (_, _) = (node.totals(), node.size());
    }
    let _ = Content::decode(&mut Decoder::new(data));
    let _ = Xattrs::decode_chunk(&CHUNK, data);
    let _ = Node::decode_has_hard_link(&mut Decoder::new(data));
}

/// A store that has one object.
fn store(key: &str, bytes: &[u8]) -> MemoryBackend {
    let backend = MemoryBackend::default();
    let mut object = backend.put_new(key).expect("a key");
    object.write(bytes).and_then(|()| object.finish()).expect("memory");
    backend
}

pub fn footer(data: &[u8]) {
    for features in [0, 1] {
        let frame = seal_with_features(b"YFS-FOOT", features, data);
        let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
        let pack = [&[0; 27][..], &frame, &length, b"YFS-PEND"].concat();
        let backend = store(&pack_key(&PACK), &pack);
        if let Ok(footer) = read_footer(&backend, &PACK) {
            assert_eq!(footer.by_place().count(), footer.entries.len());
            footer.entries.iter().for_each(|entry| assert!(footer.at(entry.offset).is_some()));
        }
        let _ = read_damaged_ids(&backend, &PACK);
    }
    // What no checksum guards.
    let _ = read_footer(&store(&pack_key(&PACK), data), &PACK);
}

pub fn segment(data: &[u8]) {
    let file = seal(b"YFS-SEGM", data);
    let segment = SegmentRef { name: PACK, file_hash: hash(&file) };
    let _ = read_segment(&store(&segment_key(&PACK), &file), &segment);
}

pub fn chunk_record(data: &[u8]) {
    let base = &data[..data.len() / 2];
    if let Ok(record) = ChunkRecord::open(data, &CHUNK, &PACK) {
        let plain = record.decode(base);
        assert!(plain.is_err() || plain.is_ok_and(|plain| plain.len() == record.plain_bytes));
        if let Ok(Some(listed)) = record.listed() {
            let ids: usize = listed.runs.iter().map(|run| run.count as usize).sum();
            let _ = listed.apply(base, &vec![CHUNK; ids], record.plain_bytes);
        }
    }
    if let Ok(group) = DeltaGroup::open(data) {
        for number in 0..1000 {
            let Some(record) = group.member(number) else { break };
            let _ = record.decode(base);
        }
    }
    let _ = apply_delta(base, data, data.len());
    let _ = ListedDelta::open(data);
}

pub fn catalog(data: &[u8]) {
    // Where a record begins with its number.
    let sequence = data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if let Ok(record) = Record::decode(&seal(b"YFS-RCRD", data), sequence) {
        let again = Record::decode(&record.encode(), sequence);
        assert!(again.is_ok_and(|again| again == record), "a record that is not read as it was written");
    }
    let _ = Catalog::decode(&seal(b"YFS-CKPT", data), sequence);
    if let Ok(manifest) = Manifest::decode(data) {
        assert!(manifest.encode() == data, "a manifest of two forms");
    }
}
