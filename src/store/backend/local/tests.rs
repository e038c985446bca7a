//! What LocalBackend does with files and folders, beyond what every backend does.

use super::put::{TEMPORARY_PREFIX, WRITE_BUFFER_BYTES};
use super::*;
use crate::store::backend::Created;

/// A place on a filesystem that has no unnamed files.
fn without_unnamed_files(root: &Path) -> LocalBackend {
    let backend = LocalBackend::new(root);
    backend.place.unnamed_files.store(false, Ordering::Relaxed);
    backend
}

fn put(backend: &LocalBackend, key: &str, bytes: &[u8]) -> Created {
    let mut object = backend.put_new(key).unwrap();
    object.write(bytes).unwrap();
    object.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn temporary_names_are_hidden_and_go_away() {
    let dir = tempfile::tempdir().unwrap();
    let backend = without_unnamed_files(dir.path());
    let mut object = backend.put_new("packs/one").unwrap();
    object.write(b"first").unwrap();
    let visible = names(&dir.path().join("packs"));
    assert!(matches!(&visible[..], [name] if name.starts_with(TEMPORARY_PREFIX)), "{visible:?}");
    assert_eq!(backend.list_after("", None).unwrap(), []);
    assert_eq!(object.finish().unwrap(), Created::New);
    assert_eq!(put(&backend, "packs/one", b"second"), Created::AlreadyThere);
    drop(backend.put_new("packs/two").unwrap());
    assert_eq!(names(&dir.path().join("packs")), ["one"]);
    assert_eq!(backend.get_range("packs/one", ByteRange::Whole).unwrap(), b"first");
}

#[test]
fn a_temporary_name_left_by_a_crash_is_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let backend = without_unnamed_files(dir.path());
    put(&backend, "packs/one", b"one");
    // The names that the next objects would take.
    for number in 0..1000 {
        fs::write(dir.path().join(format!("packs/.tmp-{}-{number}", std::process::id())), b"litter").unwrap();
    }
    assert_eq!(put(&backend, "packs/two", b"two"), Created::New);
    let keys: Vec<_> = backend.list_after("packs", None).unwrap().into_iter().map(|listed| listed.key).collect();
    assert_eq!(keys, ["packs/one", "packs/two"]);
}

#[test]
fn an_object_whose_write_failed_is_never_published() {
    let dir = tempfile::tempdir().unwrap();
    let backend = LocalBackend::new(dir.path());
    put(&backend, "packs/one", b"one");
    let (_, temporary) = backend.place.start_file("packs/two").unwrap();
    let mut object = Box::new(LocalPut {
        place: Arc::clone(&backend.place),
        key: "packs/two".into(),
        // Not open for writing, so that every write fails.
        file: NewFile { file: File::open(dir.path().join("packs/one")).unwrap(), written_bytes: 0, started_bytes: 0 },
        temporary,
        buffer: Vec::new(),
        torn: false,
    });
    object.write(&vec![1; WRITE_BUFFER_BYTES]).unwrap_err();
    object.write(b"small enough for the buffer").unwrap();
    object.finish().unwrap_err();
    assert_eq!(backend.list_after("packs", None).unwrap().len(), 1);
}

#[test]
fn few_descriptors_stay_open_and_the_latest_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let backend = LocalBackend::new(dir.path());
    let last_byte = ByteRange::Last { length: 1 };
    for number in 0..2 * OPEN_OBJECTS_MAX {
        put(&backend, &format!("packs/{number}"), b"bytes");
        backend.get_range(&format!("packs/{number}"), last_byte).unwrap();
        backend.get_range("packs/0", last_byte).unwrap();
    }
    let open = backend.open_objects();
    assert_eq!(open.by_key.len(), OPEN_OBJECTS_MAX);
    let newest = format!("packs/{}", 2 * OPEN_OBJECTS_MAX - 1);
    assert!(open.by_key.contains_key("packs/0") && open.by_key.contains_key(&newest));
    assert!(!open.by_key.contains_key("packs/1"));
}

#[test]
fn the_way_to_every_object_is_synced_once() {
    let dir = tempfile::tempdir().unwrap();
    let backend = LocalBackend::new(dir.path());
    put(&backend, "catalog/0000000000012/0000000012345", b"record");
    let durable = backend.place.durable_folders().clone();
    let expected = HashSet::from([dir.path().join("catalog"), dir.path().join("catalog/0000000000012")]);
    assert_eq!(durable, expected);
}

#[test]
fn the_group_gets_no_more_than_the_root_grants_and_others_nothing() {
    use std::os::unix::fs::PermissionsExt;
    for (root_mode, folder_mode, file_mode) in [(0o700, 0o700, 0o600), (0o755, 0o750, 0o640)] {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(root_mode)).unwrap();
        put(&LocalBackend::new(dir.path()), "packs/one", b"bytes");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        // The umask may take more away, never the owner's.
        assert_eq!(mode("packs") & !folder_mode, 0);
        assert_eq!(mode("packs/one") & !file_mode, 0);
        assert_eq!((mode("packs") & 0o700, mode("packs/one") & 0o600), (0o700, 0o600));
    }
}
