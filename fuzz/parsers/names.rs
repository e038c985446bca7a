//! What names tell: those of files, and those that become names of files.

use std::collections::BTreeSet;

use yesterfs::dump::mongo::{collection_file_name, collection_of_file};
use yesterfs::dump::mysql::mydumper::{
    FileKind, MydumperMetadata, StatementFile, Titles, created_database, in_loading_order, makes_something,
    use_database,
};
use yesterfs::dump::name::{file_name, file_name_beside, name_of_file, quoted_name, split_at_dots};
use yesterfs::dump::part_line::PartLine;

/// Bytes of a file name.
const FILE_NAME_MAX_BYTES: usize = 255;

/// The lines are names of whatever a dump names.
pub fn file_names(data: &[u8]) {
    data.split(|&byte| byte == b'\n').chain([data]).for_each(look_at_name);
}

fn look_at_name(name: &[u8]) {
    const RESERVED: [&str; 2] = ["_meta", "dump.sql"];
    for suffix in ["", ".sql"] {
        let file = file_name(name, suffix);
        assert_is_file_name(&file);
        if let Some(read) = name_of_file(&file[..file.len() - suffix.len()]) {
            assert_eq!(read, name, "a file name tells another name");
        }
    }
    let beside = file_name_beside(name, &RESERVED);
    assert!(RESERVED.iter().all(|reserved| reserved.as_bytes() != beside), "a name is a reserved one");
    let collection = collection_file_name(name, ".bson");
    assert_is_file_name(&collection);
    // What is longer may end early.
    if !name.is_empty() && name.len() * 3 <= 238 {
        assert_eq!(collection_of_file(&collection[..collection.len() - 5]), name, "a file tells of another collection");
    }
    for (database, table) in split_at_dots(name) {
        assert_eq!([database, b".", table].concat(), name, "a name is not what stands around its dot");
    }
    let _ = (name_of_file(name), collection_of_file(name));
}

fn assert_is_file_name(file: &[u8]) {
    let is_name =
        !file.is_empty() && file.len() <= FILE_NAME_MAX_BYTES && !file.iter().any(|byte| matches!(byte, b'/' | 0));
    assert!(is_name && file != b"." && file != b"..", "{} is no name of a file", String::from_utf8_lossy(file));
}

/// What `mydumper` writes: its `metadata`, the names of its files, the beginning of one.
pub fn mydumper(data: &[u8]) {
    let metadata = MydumperMetadata::read(data);
    let lines = data.split(|&byte| byte == b'\n');
    assert!(metadata.rows.len() <= lines.clone().count(), "more tables than lines");
    let of_windows: Vec<&[u8]> = lines.clone().collect();
    assert!(MydumperMetadata::read(&of_windows.join(&b"\r\n"[..])) == metadata, "ends of lines change what is told");
    let _ = makes_something(data);
    if let Some(name) = created_database(data) {
        let again = [b"CREATE DATABASE ", &quoted_name(&name, b'`')[..], b";\n"].concat();
        assert!(
            created_database(&again).as_ref() == Some(&name),
            "a database has another name when it is written again"
        );
        assert!(created_database(&use_database(&name, b"")).is_none());
    }
    look_at_names(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect());
}

fn look_at_names(names: BTreeSet<Vec<u8>>) {
    let given = |names: Vec<Vec<u8>>| {
        let suffix = |name: &[u8]| [".gz", ".zst"].into_iter().find(|suffix| name.ends_with(suffix.as_bytes()));
        in_loading_order(names.into_iter().map(|name| (name.clone(), suffix(&name))).collect())
    };
    let (files, others) = given(names.iter().cloned().collect());
    let (backwards, _) = given(names.iter().rev().cloned().collect());
    assert!(files == backwards, "the order of files depends on that of their names");
    let found: BTreeSet<Vec<u8>> = files.iter().map(|file| file.name.clone()).chain(others.iter().cloned()).collect();
    assert!(found == names && files.len() + others.len() == names.len(), "the files are not those that were there");
    assert!(
        files.is_sorted_by_key(|file| (file.kind != FileKind::Tablespaces, file.is_late())),
        "a view comes too early"
    );
    let place = |file: &StatementFile| (file.database.clone(), file.object.clone(), file.kind);
    let of_tables =
        files.iter().filter(|file| matches!(file.kind, FileKind::Schema | FileKind::Data | FileKind::Triggers));
    assert!(of_tables.map(place).is_sorted(), "what makes a table comes behind its rows");
    let mut titles = Titles::default();
    for title in files.iter().map(|file| titles.next(file)) {
        assert!(title.lines().all(|line| line.is_empty() || line.starts_with("--")), "a title is more than a comment");
    }
}

/// The list of a dump's parts.
pub fn part_lines(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        if let Some(part) = PartLine::parse(line) {
            let again = part.line();
            assert!(again.ends_with(b"\n") && again.len() <= line.len() + 1, "a line that is longer than it was");
            assert!(
                PartLine::parse(&again[..again.len() - 1]) == Some(part),
                "a part that is not read as it was written"
            );
        }
    }
}
