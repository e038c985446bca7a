//! Stories of comparing the documents of two dumps of MongoDB.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use support::mongo::{document, edges, files_of, fixture, ingest, number, orders, text, write_files};
use support::repository::TestRepository;
use support::rows::{Dice, MIB, diff, found, options, patch};
use yesterfs::error::{Error, ErrorKind};
use yesterfs::ingest::mongo::MongoInput;
use yesterfs::progress::Recorder;
use yesterfs::rows::{Direction, DumpSide, find_rows};

fn binary(name: &str, bytes: &[u8]) -> Vec<u8> {
    [b"\x05", name.as_bytes(), b"\0", &(bytes.len() as u32).to_le_bytes()[..], b"\0", bytes].concat()
}

/// Documents that hold documents, and some of which are long.
fn hostile(dice: &mut Dice, id: i32, longest: u64) -> Vec<u8> {
    let long = if dice.roll(40) == 0 { longest } else { 300 };
    let mut inner = Vec::new();
    let length = dice.roll(long);
    while (inner.len() as u64) < length {
        inner.extend(document(&[number("_id", id), text("a", &"x".repeat(dice.roll(60) as usize))]));
    }
    document(&[text("first", &format!("{}", dice.roll(1 << 40))), binary("inner", &inner), number("_id", id)])
}

#[test]
fn reading_what_differs_finds_what_reading_all_finds() {
    let (mut changes, mut quiet) = (0, 0);
    for seed in 1..50u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        // Where documents may be as long as chunks, no chunk is sure to end with one.
        let longest = [2_000, 12_000, 20_000, 90_000][seed as usize % 4];
        let mut documents: Vec<Vec<u8>> = (0..3000).map(|id| hostile(&mut dice, id, longest)).collect();
        let before = orders(&place, &documents);
        for _ in 0..1 + dice.roll(9) {
            let at = dice.roll(documents.len() as u64) as usize;
            match dice.roll(5) {
                0 => drop(documents.remove(at)),
                1 => documents.insert(at, hostile(&mut dice, 5000 + at as i32, longest)),
                2 => drop(documents.pop()),
                3 => documents.swap(at, 0),
                _ => documents[at] = hostile(&mut dice, at as i32, longest),
            }
        }
        let after = orders(&place, &documents);
        let differences = found(&place, &before, &after);
        changes += differences.changes.len();
        let has_note = differences.notes.iter().any(|note| note.contains("read from the first one on"));
        quiet += u64::from(!has_note);
        assert!(has_note || longest < 40_000, "{seed}");
    }
    assert!(changes > 100 && quiet > 10, "{changes} changes, {quiet} without a note");
}

#[test]
fn the_work_follows_the_changes() {
    let place = TestRepository::new();
    let of = |id: i32, status: &str| document(&[number("_id", id), text("status", status), number("n", id * 7)]);
    let mut documents: Vec<Vec<u8>> =
        (0..100_000).map(|id| of(id, &format!("{:016x}", i64::from(id) * 0x9e37_79b9_7f4a))).collect();
    let before = orders(&place, &documents);
    documents[61_234] = of(61_234, "another");
    documents.remove(20_000);
    let moved = documents.remove(5);
    documents.push(moved);
    let found = diff(&place, &before, &orders(&place, &documents), &options()).unwrap();
    assert_eq!((found.changes.len(), found.notes.len()), (2, 0), "{:?}", found.notes);
    assert!(found.bytes_read() < 600_000, "{} bytes", found.bytes_read());
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let place = TestRepository::new();
    let whole: Vec<Vec<u8>> = (0..200).map(|id| document(&[number("_id", id), text("a", "b")])).collect();
    let first = orders(&place, &whole);
    let directory = |bytes: Vec<u8>| {
        let folder = tempfile::TempDir::new().unwrap();
        write_files(folder.path(), &BTreeMap::from([("shop/orders.bson".to_string(), bytes)]));
        ingest(&place, MongoInput::Directory(folder.path().into()))
    };
    // What is cut has the documents before.
    let cut = directory(whole.concat()[..whole.concat().len() - 3].to_vec());
    let found = diff(&place, &first, &cut, &options()).unwrap();
    assert_eq!((found.changes.len(), found.changes[0].operation), (1, '-'));
    assert!(found.notes.iter().any(|note| note.contains("end in the middle on side B")), "{:?}", found.notes);
    let mut dice = Dice(9);
    let mut errors = 0;
    for _ in 0..40 {
        let mut bytes = whole.concat();
        for _ in 0..20 {
            let at = dice.roll(bytes.len() as u64) as usize;
            bytes[at] = dice.roll(256) as u8;
        }
        let broken = directory(bytes);
        for (a, b) in [(&first, &broken), (&broken, &first)] {
            if let Err(error) = diff(&place, a, b, &options()) {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                errors += 1;
            }
        }
    }
    assert!(errors > 10, "{errors}");
    let error = patch(&place, &first, &cut, Direction::Forward).unwrap_err();
    assert!(error.to_string().contains("MongoDB has no SQL"), "{error}");
}

/// What the real program dumped, changed by hand: the second document of every type is gone, and one has another value.
fn two_dumps(place: &TestRepository) -> Vec<u8> {
    let directory = fixture("directory");
    let mut files = files_of(&directory);
    let types = files["shop/types.bson"].clone();
    ingest(place, MongoInput::Directory(directory));
    let edges = edges(&types);
    let mut documents: Vec<Vec<u8>> = edges.windows(2).map(|two| types[two[0]..two[1]].to_vec()).collect();
    documents.remove(1);
    let object = documents.iter().position(|it| it.windows(6).any(|six| six == b"object")).unwrap();
    documents[object] = document(&[text("_id", "object"), number("v", 8), number("w", 9)]);
    files.insert("shop/types.bson".into(), documents.concat());
    let folder = tempfile::TempDir::new().unwrap();
    write_files(folder.path(), &files);
    ingest(place, MongoInput::Directory(folder.path().into()));
    types
}

#[test]
fn the_command_line_shows_documents_in_every_form() {
    let place = TestRepository::new();
    two_dumps(&place);
    let run = |arguments: &[&str]| place.yesterfs(&[&["diff", "shop@latest~1", "shop", "--rows"], arguments].concat());
    let counts = "shop.types: 0 rows inserted, 1 deleted, 1 updated\n";
    assert_eq!(run(&[]), (counts.into(), String::new(), Some(1)));
    assert_eq!(run(&["shop.types"]).0, counts);
    let text = "--- shop.types\n+++ shop.types\n@@ _id=\"object\" @@\n-{\"_id\":\"object\",\"v\":{\"a\":{\"b\":{\"c\":[{\"$numberInt\":\"1\"},{\"d\":null}]}}}}\n\
                +{\"_id\":\"object\",\"v\":{\"$numberInt\":\"8\"},\"w\":{\"$numberInt\":\"9\"}}\n@@ _id=\"negzero\" @@\n-{\"_id\":\"negzero\",\"v\":{\"$numberDouble\":\"-0.0\"}}\n";
    assert_eq!(run(&["--format", "text"]).0, text);
    let json = run(&["--json"]).0;
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"type":"row","table":"shop.types","op":"update","key":{"_id":"object"},"before":{"_id":"object","v":{"a":{"b":{"c":[{"$numberInt":"1"},{"d":null}]}}}},"after":{"_id":"object","v":{"$numberInt":"8"},"w":{"$numberInt":"9"}},"changed":["v","w"]}"#
    );
    assert_eq!(
        lines[1],
        r#"{"type":"row","table":"shop.types","op":"delete","key":{"_id":"negzero"},"before":{"_id":"negzero","v":{"$numberDouble":"-0.0"}}}"#
    );
    let (_, told, code) = run(&["--sql"]);
    assert!(told.contains("MongoDB has no SQL") && code == Some(2), "{told}");
    let (_, told, code) = run(&["shop.nothing"]);
    assert!(told.contains("no collection \"shop.nothing\"") && code == Some(2), "{told}");

    let rows = |arguments: &[&str]| place.yesterfs(&[&["rows", "shop", "shop.types", "--key"], arguments].concat());
    assert_eq!(
        rows(&["int32"]),
        ("{\"_id\":\"int32\",\"v\":{\"$numberInt\":\"2147483647\"}}\n".into(), String::new(), Some(0))
    );
    assert_eq!(
        rows(&["\"int32\"", "--json"]).0,
        "{\"type\":\"row\",\"table\":\"shop.types\",\"row\":{\"_id\":\"int32\",\"v\":{\"$numberInt\":\"2147483647\"}}}\n"
    );
    let (_, told, code) = rows(&["negzero"]);
    assert!(told.contains("no row \"negzero\"") && code == Some(2), "{told}");
    let (_, told, code) = rows(&["{"]);
    assert!(told.contains("it begins like JSON and is none") && code == Some(2), "{told}");
    assert_eq!(rows(&["int32", "--sql"]).2, Some(2));
}

#[test]
fn a_document_is_found_by_its_id() {
    let place = TestRepository::new();
    let id = |at: u32| [&b"\x07_id\0"[..], &at.to_be_bytes(), b"abcdefgh"].concat();
    // Chunks are cut by what is in them, so that it must not be the same all over.
    let filling = |at: u32| -> String {
        let mut dice = Dice(u64::from(at) + 1);
        (0..20).map(|_| format!("{:013x} ", dice.roll(1 << 52))).collect()
    };
    let of = |at: u32| document(&[text("text", &filling(at)), id(at)]);
    let mut documents: Vec<Vec<u8>> = (0..50_000).map(of).collect();
    documents.push(document(&[text("_id", "a,b")]));
    documents.push(document(&[[&b"\x03_id\0"[..], &document(&[number("a", 1)])].concat()]));
    documents.push(document(&[number("_id", 42)]));
    let snapshot = orders(&place, &documents);
    let monitor = Recorder::default();
    let dump = DumpSide::new(&place.repository, &snapshot, &monitor).unwrap();
    let find = |key: &str| {
        let (mut found, values) = (Vec::new(), [key.as_bytes().to_vec()]);
        let is_found = find_rows(&dump, b"shop.orders", None, &values, &monitor, &mut |row| {
            found.extend_from_slice(row.row.text());
            Ok(())
        });
        is_found.unwrap().then_some(found)
    };
    for at in [0, 31_415, 49_999] {
        assert_eq!(find(&format!("{at:08x}6162636465666768")), Some(of(at)));
    }
    assert_eq!(find(&format!(r#"{{"$oid":"{:08x}6162636465666768"}}"#, 777)), Some(of(777)));
    let (bytes, notes) = (monitor.counters.bytes_read.load(Relaxed), monitor.notes.lock().unwrap().len());
    assert!(bytes < 6 * MIB as u64 && notes == 0, "{bytes} bytes, {:?}", monitor.notes);
    assert_eq!(find("a,b"), Some(documents[50_000].clone()));
    assert_eq!(find(r#"{"a":{"$numberInt":"1"}}"#), Some(documents[50_001].clone()));
    assert_eq!(find("42"), Some(documents[50_002].clone()));
    assert_eq!(find("43"), None);
    let error = find_rows(&dump, b"shop.nothing", None, &[b"1".to_vec()], &monitor, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::NotFound { what: "collection", .. }), "{error}");
}
