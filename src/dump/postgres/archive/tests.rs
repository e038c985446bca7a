//! Tests of what no program writes. Archives that one wrote are read in `tests/postgres_archive.rs`.

use super::*;
use crate::compressed::UnwrapLimit;
use crate::dump::unpack::{ArchiveReader, DirectoryReader, Output};

const CUSTOM: u8 = 1;
const TAR: u8 = 3;

/// `1` as the only row of a table, with what ends its rows; and the same compressed.
const ROWS: &[u8] = b"1\n\\.\n\n\n";
const COMPRESSED: &[u8] = b"\x78\x9c\x33\xe4\x8a\xd1\xe3\xe2\xe2\x02\x00\x04\x5a\x00\xe4";

/// A number as archives have it: its sign, and four bytes.
fn number(value: i32) -> Vec<u8> {
    [&[u8::from(value < 0)][..], &value.unsigned_abs().to_le_bytes()].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&number(text.len() as i32)[..], text].concat()
}

/// The header of an archive of this version, up to how many entries it has.
fn header(version: u8, entries: i32) -> Vec<u8> {
    header_of(CUSTOM, version, 0, entries)
}

fn header_of(format: u8, version: u8, compression: u8, entries: i32) -> Vec<u8> {
    let mut bytes = b"PGDMP".to_vec();
    bytes.extend([1, version, 0, 4, 8, format]);
    bytes.extend(if version < 15 { number(compression.into()) } else { vec![compression] });
    (0..7).for_each(|_| bytes.extend(number(1)));
    (0..3).for_each(|_| bytes.extend(number(-1)));
    bytes.extend(number(entries));
    bytes
}

/// An entry of a table of contents.
struct Entry {
    id: i32,
    has_data: bool,
    kind: &'static [u8],
    definition: &'static [u8],
    /// The file of its data, of a directory or of tar.
    file: &'static [u8],
}

const TABLE: Entry =
    Entry { id: 1, has_data: false, kind: b"TABLE", definition: b"CREATE TABLE t (a text);", file: b"" };
const DATA: Entry = Entry { id: 2, has_data: true, kind: b"TABLE DATA", definition: b"", file: b"2.dat" };
const OBJECTS: Entry = Entry { id: 3, has_data: true, kind: b"BLOBS", definition: b"", file: b"blobs.toc" };

/// A table of contents.
fn toc(format: u8, version: u8, compression: u8, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = header_of(format, version, compression, entries.len() as i32);
    for entry in entries {
        let copy: &[u8] = if entry.kind == b"TABLE DATA" { b"COPY t (a) FROM stdin;\n" } else { b"" };
        let texts = [text(entry.definition), text(b"DROP TABLE t;\n"), text(copy), text(b""), text(b"")].concat();
        let method = if version >= 14 { text(b"heap") } else { Vec::new() };
        let relation = if version >= 16 { number(0) } else { Vec::new() };
        let file = if format == TAR { text(entry.file) } else { vec![0; 9] };
        let none = number(-1);
        let id = [number(entry.id), number(entry.has_data.into()), text(b"0"), text(b"0")].concat();
        let named = [text(b"t"), text(entry.kind), number(2), texts, method, relation].concat();
        bytes.extend([id, named, text(b"me"), text(b"false"), none, file].concat());
    }
    bytes
}

/// Rows of an entry of a custom archive.
fn rows(kind: u8, id: i32, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], &number(id), &text(bytes), &number(0)].concat()
}

fn fault_of(bytes: &[u8]) -> Option<String> {
    read(Box::new(custom_archive()), bytes).1
}

fn custom_archive() -> CustomArchive {
    CustomArchive::new("key".into(), UnwrapLimit::NoBomb, None)
}

/// The text of an archive that is one file, and its fault.
fn read(mut reader: Box<dyn ArchiveReader>, bytes: &[u8]) -> (String, Option<String>) {
    let mut made = Vec::new();
    let mut tell = |output: Output| {
        if let Output::Text(bytes) | Output::Shared(bytes) = output {
            made.extend_from_slice(bytes);
        }
        Ok(())
    };
    reader.push(bytes, &mut tell).unwrap();
    let fault = reader.finish(&mut tell).unwrap().fault;
    (String::from_utf8(made).unwrap(), fault)
}

#[test]
fn tables_of_contents_have_limits() {
    assert_eq!(fault_of(&header(14, 0)), None);
    assert_eq!(fault_of(&header(16, 0)), None);
    let told = |bytes: &[u8]| fault_of(bytes).unwrap_or_default();
    assert!(told(&header(14, (8 << 20) + 1)).contains("too many entries"));
    assert!(told(&header(14, -1)).contains("out of range"));
    assert!(told(&header(11, 0)).contains("version") && told(&header(17, 0)).contains("version"));
    // An entry whose first text is longer than all may be, and one whose text is to come.
    let entry = |length: i32| [header(14, 1), number(1), number(0), number(length)].concat();
    assert!(told(&entry(i32::MAX)).contains("too long"));
    assert!(told(&entry(1 << 29)).contains("within its table of contents"));
    assert!(told(b"PGDMP").contains("within its table of contents"));
}

#[test]
fn data_of_a_custom_archive_is_what_its_table_of_contents_tells() {
    let contents = |compression| toc(CUSTOM, 14, compression, &[TABLE, DATA]);
    for (compression, bytes) in [(0, ROWS), (6, COMPRESSED)] {
        let whole = [contents(compression), rows(1, 2, bytes)].concat();
        let (made, fault) = read(Box::new(custom_archive()), &whole);
        assert!(made.contains("COPY t (a) FROM stdin;\n1\n\\.\n\n\n") && fault.is_none(), "{fault:?}: {made}");
    }
    let told = |compression, data: &[Vec<u8>]| {
        fault_of(&[contents(compression), data.concat()].concat()).unwrap_or_else(|| "nothing".into())
    };
    let all = rows(1, 2, ROWS);
    for (compression, data, reason) in [
        (0, vec![all.clone(), all.clone()], "twice"),
        (0, vec![rows(3, 2, ROWS)], "no known kind"),
        (0, vec![rows(7, 2, ROWS)], "no known kind"),
        (0, vec![rows(1, 1, ROWS), all.clone()], "does not tell of"),
        (0, vec![rows(1, 9, ROWS), all], "does not tell of"),
        (6, vec![rows(1, 2, &COMPRESSED[..COMPRESSED.len() - 5])], "ends early"),
        (6, vec![rows(1, 2, b"")], "ends early"),
        (6, vec![rows(1, 2, &[COMPRESSED, b"1\n"].concat())], "is not compressed"),
        (6, vec![rows(1, 2, ROWS)], "damaged"),
        (0, vec![], "missing"),
    ] {
        let found = told(compression, &data);
        assert!(found.contains(reason), "{reason}: {found}");
    }
}

#[test]
fn tables_of_contents_of_every_version_are_read() {
    for version in 12..=16 {
        let bytes = [toc(CUSTOM, version, 0, &[TABLE, DATA]), rows(1, 2, ROWS)].concat();
        let (made, fault) = read(Box::new(custom_archive()), &bytes);
        let is_whole = made.contains("CREATE TABLE t (a text);") && made.contains("OWNER TO me;") && fault.is_none();
        assert!(is_whole, "version 1.{version}, {fault:?}: {made}");
        assert_eq!(made.contains("default_table_access_method = heap"), version >= 14, "version 1.{version}: {made}");
    }
}

#[test]
fn large_objects_are_written_as_strings_are_read() {
    for (setting, written) in [("on", r"lowrite(0, '\x4100')"), ("off", r"lowrite(0, '\\x4100')")] {
        let definition: &[u8] = match setting {
            "on" => b"SET standard_conforming_strings = 'on';\n",
            _ => b"SET standard_conforming_strings = 'off';\n",
        };
        let strings = Entry { id: 9, has_data: false, kind: b"STDSTRINGS", definition, file: b"" };
        let object = [&[3][..], &number(3), &number(4711), &text(b"A\0"), &number(0), &number(0)].concat();
        let bytes = [toc(CUSTOM, 15, 0, &[strings, OBJECTS]), object].concat();
        let (made, fault) = read(Box::new(custom_archive()), &bytes);
        let is_set = made.contains(&format!("SET standard_conforming_strings = {setting};\n"));
        assert!(is_set && made.contains(written) && fault.is_none(), "{fault:?}: {made}");
    }
}

/// A member of tar, with a length that is written in octal digits, or in bytes.
fn member(name: &str, bytes: &[u8], has_octal_length: bool) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    match has_octal_length {
        true => header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes()),
        false => {
            header[124] = 0x80;
            header[128..136].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
    }
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let filling = vec![0; bytes.len().next_multiple_of(512) - bytes.len()];
    [&header, bytes, &filling].concat()
}

#[test]
fn members_of_tar_are_read_once_and_only_whole() {
    let told = |bytes: &[u8]| read(Box::new(TarArchive::new("key".into())), bytes);
    let contents = |format, compression| member("toc.dat", &toc(format, 14, compression, &[TABLE, DATA]), true);
    let (contents, custom, packed) = (contents(TAR, 0), contents(CUSTOM, 0), contents(TAR, 6));
    let (end, data) = (vec![0; 1024], member("2.dat", ROWS, true));
    let (made, fault) = told(&[&contents[..], &data, &end].concat());
    assert!(made.contains("COPY t (a) FROM stdin;\n1\n\\.\n") && fault.is_none(), "{fault:?}: {made}");
    let long = [&contents[..], &member("2.dat", ROWS, false), &end].concat();
    assert_eq!(told(&long), (made.clone(), None), "a length that is in bytes");
    let twice = [&contents[..], &data, &data, &end].concat();
    assert_eq!(told(&twice), (made, None), "pg_restore takes the first of them");
    let damaged = |at: usize| {
        let mut bytes = [&contents[..], &data, &end].concat();
        bytes[contents.len() + at] ^= 1;
        bytes
    };
    for (bytes, reason) in [
        (damaged(0), "header of a member is damaged"),
        (damaged(134), "header of a member is damaged"),
        ([&contents[..], &end, &data].concat(), "follows the end"),
        ([&custom[..], &data, &end].concat(), "none of an archive of tar"),
        ([&packed[..], &data, &end].concat(), "none of an archive of tar"),
        ([&data[..], &contents, &end].concat(), "first member is not toc.dat"),
        ([&contents[..], &end].concat(), "missing"),
    ] {
        let found = told(&bytes).1.unwrap_or_else(|| "nothing".into());
        assert!(found.contains(reason), "{reason}: {found}");
    }
}

/// The text of a directory with these files, and its fault.
fn read_directory(files: &[(&[u8], &[u8])]) -> (String, Option<String>) {
    let (mut directory, mut made) = (Box::new(DirectoryArchive::new("key".into())), Vec::new());
    let mut tell = |output: Output| {
        if let Output::Text(bytes) | Output::Shared(bytes) = output {
            made.extend_from_slice(bytes);
        }
        Ok(())
    };
    while let Some(name) = directory.next_file() {
        match files.iter().find(|(known, _)| *known == name) {
            Some((_, bytes)) => {
                directory.begin_file(&mut tell).unwrap();
                directory.push(bytes, &mut tell).unwrap();
                directory.end_file(&mut tell).unwrap();
            }
            None => directory.is_missing(&name),
        }
    }
    let fault = directory.finish(&mut tell).unwrap().fault;
    (String::from_utf8(made).unwrap(), fault)
}

#[test]
fn files_of_a_directory_are_read_only_whole() {
    let contents = toc(TAR, 15, 0, &[TABLE, DATA, OBJECTS]);
    let hidden = toc(TAR, 15, 0, &[TABLE, Entry { file: b".2.dat", ..DATA }]);
    let (custom, list) = (toc(CUSTOM, 15, 0, &[TABLE, DATA]), b"4711 blob_4711.dat\n4712 blob_4712.dat\n");
    let files = |contents: &[u8], list: &[u8]| {
        let objects: [(&[u8], &[u8]); 2] = [(b"blob_4711.dat", b"A"), (b"blob_4712.dat", b"B")];
        read_directory(&[&[(&b"toc.dat"[..], contents), (b"2.dat", ROWS), (b"blobs.toc", list)], &objects[..]].concat())
    };
    let (made, fault) = files(&contents, list);
    let is_whole = made.contains("stdin;\n1\n\\.\n") && made.contains("x41'") && made.contains("x42'");
    assert!(is_whole && fault.is_none(), "{fault:?}: {made}");
    for (contents, list, reason) in [
        (&contents[..contents.len() - 1], &list[..], "table of contents ends early"),
        (b"", list, "table of contents ends early"),
        (&contents, &list[..list.len() - 1], "list of large objects is damaged"),
        (&contents, b"4711 blob_4711.dat\n47\n", "list of large objects is damaged"),
        (&contents, b"4711 blob_4713.dat\n", "blob_4713.dat is missing"),
        (&custom, list, "none of a directory"),
        (&hidden, list, "no name of a file"),
    ] {
        let found = files(contents, list).1.unwrap_or_else(|| "nothing".into());
        assert!(found.contains(reason), "{reason}: {found}");
    }
}
