use super::*;

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

/// Made by the real program of a real server.
const GENUINE: &[u8] = include_bytes!("../../../../tests/fixtures/mongo/all.archive");
const ORDERS: &[u8] = include_bytes!("../../../../tests/fixtures/mongo/directory/shop/orders.bson");
const ORDERS_METADATA: &[u8] = include_bytes!("../../../../tests/fixtures/mongo/directory/shop/orders.metadata.json");

/// What the events of an archive amount to.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// All bytes, in order.
    joined: Vec<u8>,
    names: Vec<String>,
    metadata: Vec<Vec<u8>>,
    bytes: BTreeMap<usize, Vec<u8>>,
    begins: BTreeMap<usize, Vec<u64>>,
    ended: Vec<usize>,
}

fn read(archive: &[u8], lengths: &[usize]) -> (Told, ArchiveEnd) {
    let (mut told, mut reader, mut rest) = (Told::default(), Archive::default(), archive);
    let mut tell = |event: Event| -> Result<(), Infallible> {
        match event {
            Event::Frame(bytes) => told.joined.extend_from_slice(bytes),
            Event::Collection { database, name, metadata } => {
                told.names.push(format!("{}.{}", String::from_utf8_lossy(database), String::from_utf8_lossy(name)));
                told.metadata.push(metadata.to_vec());
            }
            Event::Document { collection, start } => told.begins.entry(collection).or_default().push(start),
            Event::Bytes { collection, bytes } => {
                assert!(!told.ended.contains(&collection));
                told.joined.extend_from_slice(bytes);
                told.bytes.entry(collection).or_default().extend_from_slice(bytes);
            }
            Event::End { collection } => told.ended.push(collection),
        }
        Ok(())
    };
    for length in lengths.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min((*length).max(1)));
        reader.push(piece, &mut tell).unwrap();
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let end = reader.finish(&mut tell).unwrap();
    (told, end)
}

fn fault(archive: &[u8]) -> Option<Fault> {
    let (told, end) = read(archive, &[archive.len()]);
    assert!(told.joined == archive, "bytes are lost");
    end.fault
}

/// A document with these fields, each encoded.
fn document(fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&(body.len() as u32 + 5).to_le_bytes()[..], &body, b"\0"].concat()
}

fn text_field(name: &str, value: &str) -> Vec<u8> {
    let length = value.len() as u32 + 1;
    [b"\x02", name.as_bytes(), b"\0", &length.to_le_bytes(), value.as_bytes(), b"\0"].concat()
}

fn head(database: &str, name: &str, end: Option<u64>) -> Vec<u8> {
    let crc = [b"\x12CRC\0", &end.unwrap_or(0).to_le_bytes()[..]].concat();
    let is_end = [b"\x08EOF\0", &[u8::from(end.is_some())][..]].concat();
    document(&[&text_field("db", database), &text_field("collection", name), &is_end, &crc])
}

fn number(value: i32) -> Vec<u8> {
    document(&[b"\x10_id\0", &value.to_le_bytes()])
}

/// An archive of these blocks: a collection's number and its documents; without documents the collection ends.
fn packed(collections: &[(&str, &str, &str)], blocks: &[(usize, &[i32])]) -> Vec<u8> {
    let mut out = [&MAGIC[..], &document(&[&text_field("server_version", "8.2.11")])].concat();
    for (database, name, kind) in collections {
        let metadata = if database.is_empty() { "" } else { "{}" };
        let fields = [("db", *database), ("collection", *name), ("metadata", metadata), ("type", *kind)];
        let fields = fields.map(|(name, value)| text_field(name, value));
        out.extend(document(&fields.each_ref().map(|field| &field[..])));
    }
    out.extend([0xff; 4]);
    let mut sums = vec![Crc64::default(); collections.len()];
    for (collection, numbers) in blocks {
        let (database, name, kind) = collections[*collection];
        let name = if kind == TIME_SERIES { format!("{BUCKETS_PREFIX}{name}") } else { name.to_string() };
        let documents: Vec<u8> = numbers.iter().flat_map(|it| number(*it)).collect();
        sums[*collection].add(&documents);
        out.extend(head(database, &name, numbers.is_empty().then(|| sums[*collection].value())));
        out.extend(documents);
        out.extend([0xff; 4]);
    }
    out
}

const COLLECTIONS: [(&str, &str, &str); 3] = [("shop", "orders", "collection"), ("", "oplog", ""), ("x", "y", "view")];

fn small() -> Vec<u8> {
    packed(&COLLECTIONS, &[(0, &[1, 2]), (1, &[3]), (0, &[4]), (2, &[]), (0, &[]), (1, &[5, 6]), (1, &[])])
}

#[test]
fn a_genuine_archive_is_taken_apart() {
    let (told, end) = read(GENUINE, &[GENUINE.len()]);
    assert_eq!(end.fault, None);
    assert_eq!(
        (end.header.server_version.as_deref(), end.header.tool_version.as_deref()),
        (Some("8.2.11"), Some("100.18.0"))
    );
    assert_eq!((told.names.len(), told.ended.len()), (17, 17));
    let orders = told.names.iter().position(|name| name == "shop.orders").unwrap();
    assert!(told.bytes[&orders] == ORDERS && told.metadata[orders] == ORDERS_METADATA);
    let listed = &end.collections[orders];
    assert_eq!(
        (listed.counts.documents, listed.bytes, listed.kind.as_deref()),
        (300, ORDERS.len() as u64, Some("collection"))
    );
    for lengths in [&[1][..], &[3], &[4096], &[7, 1, 400]] {
        assert!(read(GENUINE, lengths).0 == told, "in pieces of {lengths:?}");
    }
}

#[test]
fn mixed_collections_come_apart_and_every_cut_shows() {
    let archive = small();
    let (told, end) = read(&archive, &[5]);
    assert_eq!(end.fault, None);
    let numbers = |numbers: &[i32]| numbers.iter().flat_map(|it| number(*it)).collect::<Vec<u8>>();
    assert_eq!((&told.bytes[&0], &told.bytes[&1]), (&numbers(&[1, 2, 4]), &numbers(&[3, 5, 6])));
    assert_eq!((&told.begins[&0], &told.begins[&1]), (&vec![0, 14, 28], &vec![0, 14, 28]));
    assert_eq!((&told.ended, end.collections[2].counts.documents), (&vec![2, 0, 1], 0));
    for cut in 0..archive.len() {
        let fault = fault(&archive[..cut]).unwrap_or_else(|| panic!("nothing is missing of {cut} bytes"));
        assert!(fault.what.starts_with("it ends") && fault.at == cut as u64, "{cut}: {fault}");
    }
    let inside = fault(&archive[..archive.len() - 90]).unwrap();
    assert!(inside.what.contains("within a block of oplog"), "{inside}");
    let before = archive.windows(4).rposition(|window| window == b"\x08EOF").unwrap() - 40;
    assert!(fault(&archive[..before]).unwrap().what.contains("oplog"));
}

#[test]
fn every_flipped_bit_of_the_documents_shows() {
    let archive = small();
    let begins =
        archive.windows(9).enumerate().filter(|(_, window)| window == b"\x0e\0\0\0\x10_id\0").map(|(at, _)| at);
    let bytes: Vec<usize> = begins.flat_map(|begin| begin..begin + 14).collect();
    assert_eq!(bytes.len(), 6 * 14);
    for (at, bit) in bytes.into_iter().flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut broken = archive.clone();
        broken[at] ^= 1 << bit;
        assert!(fault(&broken).is_some(), "bit {bit} of byte {at}");
    }
    let mut broken = archive.clone();
    let place = archive.windows(4).position(|window| window == b"_id\0").unwrap() + 4;
    broken[place] ^= 64;
    let fault = fault(&broken).unwrap();
    assert!(fault.what.contains("the documents of shop.orders, in blocks from byte"), "{fault}");
}

#[test]
fn what_is_no_archive_is_told() {
    let small = small();
    let with = |place: usize, bytes: &[u8]| [&small[..place], bytes, &small[place..]].concat();
    let first_block = small.windows(4).position(|window| window == [0xff; 4]).unwrap() + 4;
    let twice = packed(&[COLLECTIONS[0], COLLECTIONS[0]], &[]);
    let behind = packed(&COLLECTIONS, &[(0, &[]), (0, &[1])]);
    let cases = [
        (b"CREATE TABLE".to_vec(), 0, "does not begin as an archive"),
        (with(4, &[0xff; 4]), 4, "without a header"),
        (with(first_block, &[0xff; 4]), first_block, "without a header"),
        (with(first_block, &head("shop", "other", None)), first_block, "other, which the prelude does not list"),
        (with(first_block, &number(7)), first_block, "without the name"),
        (with(first_block, &i32::MAX.to_le_bytes()), first_block, "2147483647 bytes is no length"),
        (twice.clone(), twice.len() - 4 - 79, "listed twice"),
        ([&small[..], &small].concat(), small.len(), "another archive follows it"),
        (behind.clone(), behind.len() - 14 - 4 - head("shop", "orders", None).len(), "behind its last one"),
    ];
    for (archive, at, expected) in cases {
        let fault = fault(&archive).unwrap();
        assert!(fault.what.contains(expected), "{expected}: {fault}");
        assert_eq!(fault.at, at as u64, "{fault}");
    }
}

#[test]
fn the_documents_of_a_time_series_are_in_a_collection_that_is_not_listed() {
    let series = [("shop", "ts", TIME_SERIES)];
    let archive = packed(&series, &[(0, &[1]), (0, &[2]), (0, &[])]);
    let (told, end) = read(&archive, &[archive.len()]);
    assert_eq!((end.fault, told.names), (None, vec!["shop.ts".to_string(), "shop.system.buckets.ts".into()]));
    assert_eq!((told.bytes[&1].len(), told.bytes.get(&0)), (28, None));
    let without = packed(&series, &[(0, &[1]), (0, &[2])]);
    assert!(fault(&without).unwrap().what.contains("before the last block of shop.system.buckets.ts"));
}

proptest! {
    #[test]
    fn nothing_is_lost_of_whatever_comes(bytes: Vec<u8>, lengths in prop::collection::vec(1usize..40, 1..5), cut: u16, flip: u16) {
        let mut archive = small();
        archive.truncate(usize::from(cut) % archive.len());
        archive.extend(bytes);
        if let Some(byte) = (!archive.is_empty()).then(|| usize::from(flip) % archive.len()) {
            archive[byte] ^= 1 << (flip % 8);
        }
        let (told, end) = read(&archive, &lengths);
        prop_assert_eq!(&told.joined, &archive);
        let (whole, whole_end) = read(&archive, &[archive.len().max(1)]);
        prop_assert_eq!(&told.bytes, &whole.bytes);
        prop_assert_eq!(end.fault, whole_end.fault);
    }
}
