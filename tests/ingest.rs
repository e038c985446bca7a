//! Stories of ingesting: what goes in comes out, once.

mod support;

use std::fs;

use support::repository::TestRepository;

#[test]
fn a_directory_comes_back_and_the_second_ingest_reads_nothing() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir_all(source.join("sub/deeper")).unwrap();
    fs::write(source.join("small"), b"hello").unwrap();
    fs::write(source.join("sub/large"), support::noise(7, 5_000_000)).unwrap();
    fs::write(source.join("sub/deeper/empty"), b"").unwrap();
    support::wait_until_settled();

    let first = place.ingest(&source, "lake");
    assert_eq!(first.read("small").unwrap(), b"hello");
    assert_eq!(first.read("sub/large").unwrap(), support::noise(7, 5_000_000));
    assert_eq!(first.read("sub/deeper/empty").unwrap(), b"");
    assert_eq!(first.snapshot.manifest.files, 3);

    let second = place.ingest(&source, "lake");
    assert_eq!(second.counters.bytes_read, 0);
    assert_eq!(second.counters.bytes_new, 0);
    assert_eq!(second.snapshot.manifest.root, first.snapshot.manifest.root);
}
