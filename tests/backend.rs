//! What every backend must do, asked of each of them: create-only, whole or not at all, ranges, ordered listings.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;

use support::faulty::{Counts, FaultyBackend, Moment};
use yesterfs::error::{Error, ErrorKind};
use yesterfs::store::backend::{Backend, ByteRange, Created, LocalBackend, MemoryBackend, PutNew};

/// Runs each contract below against each backend.
macro_rules! every_backend_keeps {
    ($($contract:ident,)*) => {
        mod local {
            $(#[test] fn $contract() {
                let dir = tempfile::tempdir().unwrap();
                super::$contract(&super::LocalBackend::new(dir.path()));
            })*
        }
        mod memory {
            $(#[test] fn $contract() {
                super::$contract(&super::MemoryBackend::default());
            })*
        }
        mod recording {
            $(#[test] fn $contract() {
                let inner = std::sync::Arc::new(super::MemoryBackend::default());
                super::$contract(&super::FaultyBackend::recording(inner));
            })*
        }
    };
}

every_backend_keeps! {
    one_of_many_writers_creates_an_object,
    an_object_is_invisible_until_it_is_finished,
    an_object_that_is_dropped_leaves_nothing,
    ranges_are_what_they_say,
    a_range_beyond_the_end_is_corruption,
    an_object_that_is_not_there_is_missing,
    many_small_writes_make_the_same_object_as_one,
    listings_are_in_bytewise_order,
    listings_go_on_after_any_key,
    a_folder_that_does_not_exist_is_empty,
    readers_and_writers_work_at_once,
    a_deleted_object_is_gone,
    keys_cannot_leave_the_place,
}

fn put(backend: &dyn Backend, key: &str, bytes: &[u8]) -> Created {
    let mut object = backend.put_new(key).unwrap();
    object.write(bytes).unwrap();
    object.finish().unwrap()
}

fn keys_after(backend: &dyn Backend, prefix: &str, after: Option<&str>) -> Vec<String> {
    backend.list_after(prefix, after).unwrap().into_iter().map(|listed| listed.key).collect()
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn one_of_many_writers_creates_an_object(backend: &dyn Backend) {
    const WRITERS: u8 = 8;
    for round in 0..20 {
        let key = format!("catalog/{round}/record");
        let start = Barrier::new(WRITERS.into());
        let write = |writer: u8| {
            let mut object = backend.put_new(&key).unwrap();
            object.write(&[writer; 100]).unwrap();
            start.wait();
            (writer, object.finish().unwrap())
        };
        let created: Vec<(u8, Created)> = thread::scope(|scope| {
            let write = &write;
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<u8> =
            created.iter().filter(|(_, created)| *created == Created::New).map(|(writer, _)| *writer).collect();
        assert_eq!(winners.len(), 1, "{created:?}");
        assert_eq!(backend.get_range(&key, ByteRange::Whole).unwrap(), [winners[0]; 100]);
    }
}

fn an_object_is_invisible_until_it_is_finished(backend: &dyn Backend) {
    let mut object = backend.put_new("packs/ab/one").unwrap();
    object.write(&pattern(5 << 20)).unwrap();
    assert_eq!(keys_after(backend, "", None), [""; 0]);
    let error = backend.get_range("packs/ab/one", ByteRange::Whole).unwrap_err();
    assert!(matches!(error, Error::ObjectMissing { .. }), "{error}");
    assert_eq!(object.finish().unwrap(), Created::New);
    assert_eq!(keys_after(backend, "", None), ["packs/ab/one"]);
}

fn an_object_that_is_dropped_leaves_nothing(backend: &dyn Backend) {
    let mut object = backend.put_new("packs/ab/one").unwrap();
    object.write(&pattern(5 << 20)).unwrap();
    drop(object);
    drop(backend.put_new("packs/ab/two").unwrap());
    assert_eq!(keys_after(backend, "", None), [""; 0]);
    assert_eq!(put(backend, "packs/ab/one", b"later"), Created::New);
}

fn ranges_are_what_they_say(backend: &dyn Backend) {
    let bytes = pattern(3 << 20);
    put(backend, "pack", &bytes);
    put(backend, "empty", b"");
    let get = |key, range| backend.get_range(key, range).unwrap();
    let size = bytes.len() as u64;
    assert_eq!(get("pack", ByteRange::Whole), bytes);
    for (offset, length) in [(0, 0), (0, 1), (7, 4096), (size - 1, 1), (size, 0), (0, size), (12_345, 2 << 20)] {
        let expected = &bytes[offset as usize..][..length as usize];
        assert!(get("pack", ByteRange::At { offset, length }) == expected, "{length} bytes from {offset}");
    }
    for length in [0, 1, 4096, size - 1, size, size + 1, u64::MAX] {
        let expected = &bytes[size.saturating_sub(length) as usize..];
        assert!(get("pack", ByteRange::Last { length }) == expected, "the last {length} bytes");
    }
    assert_eq!(get("empty", ByteRange::Whole), b"");
    assert_eq!(get("empty", ByteRange::Last { length: 10 }), b"");
    assert_eq!(get("empty", ByteRange::At { offset: 0, length: 0 }), b"");
}

fn a_range_beyond_the_end_is_corruption(backend: &dyn Backend) {
    put(backend, "packs/ab/short", &pattern(1000));
    let far = 1 << 62;
    let beyond = [(0, 1001), (1000, 1), (1001, 0), (5000, 10), (0, far), (far, 1), (u64::MAX, 1), (1, u64::MAX)];
    for (offset, length) in beyond {
        let error = backend.get_range("packs/ab/short", ByteRange::At { offset, length }).unwrap_err();
        let Error::Corrupt { object, reason } = &error else { panic!("{length} bytes from {offset}: {error}") };
        assert!(object.contains("packs/ab/short") && reason.contains("1000"), "{error}");
    }
}

fn an_object_that_is_not_there_is_missing(backend: &dyn Backend) {
    put(backend, "packs/ab/one", b"one");
    for key in ["packs/ab/two", "packs/cd/one", "config"] {
        for range in [ByteRange::Whole, ByteRange::Last { length: 1 }, ByteRange::At { offset: 0, length: 1 }] {
            let error = backend.get_range(key, range).unwrap_err();
            assert!(matches!(&error, Error::ObjectMissing { key: missing, .. } if missing == key), "{error}");
        }
    }
}

fn many_small_writes_make_the_same_object_as_one(backend: &dyn Backend) {
    // Sizes around the megabyte at which writes stop being gathered.
    let sizes = [1, 3, 0, 70_000, (1 << 20) - 1, 1, 1 << 20, 5, (1 << 20) + 1, 2 << 20, 900_000, 900_000, 7];
    let bytes = pattern(sizes.iter().sum());
    let mut object = backend.put_new("packs/ab/one").unwrap();
    let mut rest = &bytes[..];
    for size in sizes {
        let (now, later) = rest.split_at(size);
        object.write(now).unwrap();
        rest = later;
    }
    for byte in &bytes[..10_000] {
        object.write(&[*byte]).unwrap();
    }
    object.finish().unwrap();
    let read = backend.get_range("packs/ab/one", ByteRange::Whole).unwrap();
    assert!(read == [&bytes[..], &bytes[..10_000]].concat());
}

/// In order: a folder sorts as if its name ended in a slash, so after `a-b`.
const KEYS: [&str; 10] = [
    "a-b",
    "a-b-c/x",
    "a/b",
    "a/b-c",
    "a0",
    "catalog/000/0001",
    "catalog/000/0002",
    "catalog/001/1000",
    "config",
    "packs/ab/0-1",
];

fn listings_are_in_bytewise_order(backend: &dyn Backend) {
    for (number, key) in KEYS.iter().rev().enumerate() {
        put(backend, key, &pattern(number));
    }
    let listed = backend.list_after("", None).unwrap();
    let found: Vec<_> = listed.iter().map(|listed| (listed.key.as_str(), listed.size_bytes)).collect();
    let expected: Vec<_> = KEYS.iter().zip((0..KEYS.len() as u64).rev()).map(|(key, size)| (*key, size)).collect();
    assert_eq!(found, expected);
    assert!(KEYS.is_sorted());
    assert_eq!(keys_after(backend, "a", None), ["a/b", "a/b-c"]);
    assert_eq!(keys_after(backend, "catalog", None), KEYS[5..8]);
    assert_eq!(keys_after(backend, "catalog/000", None), KEYS[5..7]);
}

fn listings_go_on_after_any_key(backend: &dyn Backend) {
    KEYS.iter().for_each(|key| assert_eq!(put(backend, key, b""), Created::New));
    let others =
        ["", "0", "a", "a/", "a/b-", "catalog", "catalog/", "catalog/000", "catalog/000/0001x", "zz", "a~", "."];
    for after in KEYS.iter().chain(&others) {
        for prefix in ["", "a", "catalog", "catalog/000", "packs", "nowhere"] {
            let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            let expected: Vec<_> = KEYS.iter().filter(|key| key.starts_with(&folder) && *key > after).collect();
            assert_eq!(
                keys_after(backend, prefix, Some(after)).iter().collect::<Vec<_>>(),
                expected,
                "{prefix} {after}"
            );
        }
    }
}

fn a_folder_that_does_not_exist_is_empty(backend: &dyn Backend) {
    assert_eq!(keys_after(backend, "", None), [""; 0]);
    assert_eq!(keys_after(backend, "catalog/000", None), [""; 0]);
    put(backend, "catalog/000/0001", b"");
    assert_eq!(keys_after(backend, "catalog/001", None), [""; 0]);
    assert_eq!(keys_after(backend, "catalog/000/0002", None), [""; 0]);
    assert_eq!(keys_after(backend, "cat", None), [""; 0]);
}

fn readers_and_writers_work_at_once(backend: &dyn Backend) {
    let bytes = pattern(300_000);
    put(backend, "packs/ab/0", &bytes);
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..20).for_each(|number| assert_eq!(put(backend, &format!("packs/ab/{number}"), &bytes), Created::New))
        });
        for reader in 0..4 {
            let bytes = &bytes;
            scope.spawn(move || {
                for round in 0..200u64 {
                    let (offset, length) = ((round * 7919 + reader * 104_729) % 200_000, 1 + round * 400);
                    let read = backend.get_range("packs/ab/0", ByteRange::At { offset, length }).unwrap();
                    assert!(read == bytes[offset as usize..][..length as usize]);
                    // Whatever is listed is whole.
                    let newest = backend.list_after("packs", None).unwrap().pop().unwrap();
                    assert_eq!(newest.size_bytes, bytes.len() as u64);
                }
            });
        }
    });
    assert_eq!(keys_after(backend, "packs", None).len(), 20);
}

fn a_deleted_object_is_gone(backend: &dyn Backend) {
    put(backend, "packs/ab/one", b"one");
    put(backend, "packs/ab/two", b"two");
    backend.get_range("packs/ab/one", ByteRange::Last { length: 2 }).unwrap();
    backend.delete("packs/ab/one").unwrap();
    let error = backend.get_range("packs/ab/one", ByteRange::Last { length: 2 }).unwrap_err();
    assert!(matches!(error, Error::ObjectMissing { .. }), "{error}");
    assert_eq!(keys_after(backend, "", None), ["packs/ab/two"]);
    backend.delete("packs/ab/one").unwrap();
    backend.delete("nowhere/at-all").unwrap();
}

fn keys_cannot_leave_the_place(backend: &dyn Backend) {
    let wrong = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a//b",
        "a/",
        "/a",
        ".tmp-1",
        "a.b",
        "A",
        "a b",
        "é",
        "a\0",
    ];
    for key in wrong {
        let errors = [
            backend.put_new(key).err(),
            backend.get_range(key, ByteRange::Whole).err(),
            backend.delete(key).err(),
            // The empty prefix is the folder of all.
            if key.is_empty() { backend.delete(key).err() } else { backend.list_after(key, None).err() },
        ];
        for error in errors {
            assert!(matches!(&error, Some(error) if error.kind() == ErrorKind::Invalid), "{key:?}: {error:?}");
        }
    }
}

/// Every file and link below a folder, hidden ones too.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn local_leaves_no_files_but_finished_objects() {
    let dir = tempfile::tempdir().unwrap();
    let backend = LocalBackend::new(dir.path());
    put(&backend, "packs/ab/one", b"one");
    put(&backend, "packs/ab/one", b"again");
    let mut dropped = backend.put_new("packs/ab/two").unwrap();
    dropped.write(&pattern(3 << 20)).unwrap();
    drop(dropped);
    assert_eq!(files_below(dir.path()), [dir.path().join("packs/ab/one")]);
}

#[test]
fn local_is_found_again_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("srv/yester");
    put(&LocalBackend::new(&root), "packs/ab/one", b"one");
    let later = LocalBackend::new(&root);
    assert_eq!(later.get_range("packs/ab/one", ByteRange::Whole).unwrap(), b"one");
    assert_eq!(put(&later, "packs/ab/one", b"two"), Created::AlreadyThere);
    assert_eq!(later.name(), root.display().to_string());
}

#[test]
fn local_reads_only_folders_that_can_hold_later_keys() {
    let dir = tempfile::tempdir().unwrap();
    let backend = LocalBackend::new(dir.path());
    put(&backend, "catalog/003/3000", b"");
    put(&backend, "catalog/003/3001", b"");
    // Links that lead nowhere but to themselves: whoever looks at one gets an error, even root.
    for trap in ["catalog/001/1000", "catalog/002", "catalog/003/2998", "packs/ab/one"].map(|key| dir.path().join(key))
    {
        fs::create_dir_all(trap.parent().unwrap()).unwrap();
        symlink(&trap, &trap).unwrap();
    }
    for (prefix, after) in [("packs", None), ("catalog", Some("catalog/001/0999")), ("catalog", Some("catalog/002"))] {
        let error = backend.list_after(prefix, after).unwrap_err();
        assert!(matches!(&error, Error::Backend { operation: "list", key, .. } if key == prefix), "{error}");
    }
    assert_eq!(keys_after(&backend, "catalog", Some("catalog/003/2999")), ["catalog/003/3000", "catalog/003/3001"]);
    assert_eq!(keys_after(&backend, "catalog", Some("catalog/003/3000")), ["catalog/003/3001"]);
    assert_eq!(keys_after(&backend, "catalog", Some("catalog/004")), [""; 0]);
    assert_eq!(keys_after(&backend, "", Some("zz")), [""; 0]);
}

#[test]
fn a_local_listing_that_cannot_be_read_never_looks_empty() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("srv");
    let backend = LocalBackend::new(&root);
    // The disk is not mounted.
    backend.list_after("catalog", None).unwrap_err();
    put(&backend, "catalog/000/0001", b"");
    assert_eq!(keys_after(&backend, "packs", None), [""; 0]);
    // A file where a folder should be.
    fs::write(root.join("packs"), b"").unwrap();
    backend.list_after("packs", None).unwrap_err();
    backend.list_after("packs/ab", None).unwrap_err();
    fs::remove_dir_all(&root).unwrap();
    backend.list_after("catalog", None).unwrap_err();
}

#[test]
fn local_ignores_what_is_no_object_and_follows_moved_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (root, other_disk) = (dir.path().join("srv"), dir.path().join("other-disk"));
    fs::create_dir_all(other_disk.join("ab")).unwrap();
    fs::create_dir_all(root.join("lost+found/x")).unwrap();
    symlink(&other_disk, root.join("packs")).unwrap();
    symlink(root.join("nowhere"), root.join("dangling")).unwrap();
    for name in [".tmp-0123", "README", "000012.sst", "lost+found/x/y"] {
        fs::write(root.join(name), b"").unwrap();
    }
    let backend = LocalBackend::new(&root);
    put(&backend, "packs/ab/one", b"one");
    assert_eq!(keys_after(&backend, "", None), ["packs/ab/one"]);
    assert_eq!(files_below(&other_disk), [other_disk.join("ab/one")]);
}

#[test]
fn local_tells_the_space_left() {
    let dir = tempfile::tempdir().unwrap();
    let space = LocalBackend::new(dir.path()).space().unwrap().unwrap();
    assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes, "{space:?}");
    assert!(space.available_files > 0, "{space:?}");
    LocalBackend::new(dir.path().join("nowhere")).space().unwrap_err();
}

#[test]
fn a_recording_counts_every_call() {
    let backend = FaultyBackend::recording(Arc::new(MemoryBackend::default()));
    put(&backend, "one", b"one");
    put(&backend, "one", b"one");
    drop(backend.put_new("two").unwrap());
    backend.get_range("one", ByteRange::Whole).unwrap();
    backend.get_range("two", ByteRange::Whole).unwrap_err();
    backend.list_after("", None).unwrap();
    backend.delete("one").unwrap();
    backend.space().unwrap();
    let expected = Counts { put_new: 3, write: 2, finish: 2, get_range: 2, list_after: 1, delete: 1, space: 1 };
    assert_eq!((backend.counts(), backend.calls()), (expected, 12));
}

/// Puts two objects and deletes one: 1 put, 2 write, 3 finish, 4 put, 5 write, 6 finish, 7 delete.
fn two_objects_less_one(backend: &dyn Backend) -> Result<(), Error> {
    let put = |key: &str| {
        let mut object = backend.put_new(key)?;
        object.write(b"bytes")?;
        object.finish()
    };
    put("one")?;
    put("two")?;
    backend.delete("one")
}

#[test]
fn a_machine_dies_before_or_after_a_call_and_stays_dead() {
    let left = |n: u64, moment: Moment| {
        let inner = Arc::new(MemoryBackend::default());
        let backend = FaultyBackend::stop_at(inner.clone(), n, moment);
        let outcome = two_objects_less_one(&backend);
        assert_eq!(outcome.is_err(), n <= 7);
        assert_eq!(backend.calls(), n.min(7));
        assert_eq!(backend.list_after("", None).is_err(), n <= 8);
        assert_eq!(backend.space().is_err(), n <= 9);
        keys_after(&*inner, "", None).join(" ")
    };
    let before: Vec<_> = (1..=8).map(|n| left(n, Moment::Before)).collect();
    assert_eq!(before, ["", "", "", "one", "one", "one", "one two", "two"]);
    let after: Vec<_> = (1..=8).map(|n| left(n, Moment::After)).collect();
    assert_eq!(after, ["", "", "one", "one", "one", "one two", "two", "two"]);
}

#[test]
fn an_object_begun_before_the_end_cannot_be_finished_after_it() {
    let inner = Arc::new(MemoryBackend::default());
    let backend = FaultyBackend::stop_at(inner.clone(), 2, Moment::Before);
    let object: Box<dyn PutNew> = backend.put_new("one").unwrap();
    backend.space().unwrap_err();
    object.finish().unwrap_err();
    assert_eq!(keys_after(&*inner, "", None), [""; 0]);
}
