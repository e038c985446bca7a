//! Tests of what no program writes. Archives that one wrote are read in `tests/postgres_archive.rs`.

use super::*;
use crate::compressed::UnwrapLimit;
use crate::dump::unpack::{ArchiveReader, Output};

/// A number as archives have it: its sign, and four bytes.
fn number(value: i32) -> Vec<u8> {
    [&[u8::from(value < 0)][..], &value.unsigned_abs().to_le_bytes()].concat()
}

/// The header of an archive of this version, up to how many entries it has.
fn header(version: u8, entries: i32) -> Vec<u8> {
    let mut bytes = b"PGDMP".to_vec();
    bytes.extend([1, version, 0, 4, 8, 1]);
    bytes.extend(if version < 15 { number(0) } else { vec![0] });
    (0..7).for_each(|_| bytes.extend(number(1)));
    (0..3).for_each(|_| bytes.extend(number(-1)));
    bytes.extend(number(entries));
    bytes
}

fn fault_of(bytes: &[u8]) -> Option<String> {
    let mut reader = Box::new(CustomArchive::new("key".into(), UnwrapLimit::NoBomb));
    let mut tell = |_: Output| Ok(());
    reader.push(bytes, &mut tell).unwrap();
    reader.finish(&mut tell).unwrap().fault
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
