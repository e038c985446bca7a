//! The tree above the snapshots: `snapshots/`, and the symlinks that lead there by time, id and tag; `diff/`; the facts
//! of a snapshot; and how news gets in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use yesterfs::time::Timestamp;

use crate::support::mounted::{Mount, Stage, errno, identity, names, run, run_quietly, text, within};

const SECOND: Duration = Duration::from_secs(1);

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// 2026-03-10T10:00:00Z, a Tuesday.
const TUESDAY_AT_TEN: i64 = 1_773_136_800;

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn present() -> i64 {
    Timestamp::from_system(std::time::SystemTime::now()).seconds
}

/// Where a symlink of the mount leads, as a path below the mount's root; `None` where it is absent.
fn leads_to(mount: &Mount, link: &str) -> Option<String> {
    let path = mount.path(link);
    let target = match fs::read_link(&path) {
        Ok(target) => target,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path:?}");
            return None;
        }
    };
    assert!(target.is_relative(), "{path:?} leads to {target:?}, so not in a mount elsewhere");
    let real = fs::canonicalize(&path).unwrap_or_else(|error| panic!("{path:?} -> {target:?}: {error}"));
    Some(real.strip_prefix(fs::canonicalize(mount.point()).unwrap()).unwrap().to_str().unwrap().to_string())
}

#[test]
fn the_root_holds_five_directories() {
    let stage = Stage::new();
    let mount = stage.mount();
    assert_eq!(names(mount.point()), ["at", "diff", "ids", "snapshots", "tags"]);
    for name in names(mount.point()) {
        assert_eq!(names(mount.path(&name)), [""; 0], "{name} of an empty repository");
    }
    assert_eq!(errno(fs::read_dir(mount.path("other"))), Some(Errno::NOENT));
}

#[test]
fn a_source_holds_its_snapshots_by_the_time_of_their_start_and_latest() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    for (when, expected) in [
        (TUESDAY_AT_TEN, "2026-03-10T100000Z"),
        (TUESDAY_AT_TEN, "2026-03-10T100000Z.001"),
        (TUESDAY_AT_TEN, "2026-03-10T100000Z.002"),
        (TUESDAY_AT_TEN + 5, "2026-03-10T100005Z"),
    ] {
        assert_eq!(stage.ingest_at(&source, "lake", at(when)), expected);
    }
    // By a clock that was set back: the newest is what was added last.
    let newest = stage.ingest_at(&source, "lake", at(TUESDAY_AT_TEN - HOUR));
    stage.ingest_at(&source, "Sea_2.x-1", at(TUESDAY_AT_TEN));
    let mount = stage.mount();
    assert_eq!(names(mount.path("snapshots")), ["Sea_2.x-1", "lake"]);
    let expected = [
        "2026-03-10T090000Z",
        "2026-03-10T100000Z",
        "2026-03-10T100000Z.001",
        "2026-03-10T100000Z.002",
        "2026-03-10T100005Z",
        "latest",
    ];
    assert_eq!(names(mount.path("snapshots/lake")), expected);
    assert_eq!(leads_to(&mount, "snapshots/lake/latest").unwrap(), format!("snapshots/lake/{newest}"));
    assert_eq!(fs::read_link(mount.path("snapshots/lake/latest")).unwrap(), Path::new(&newest));
    for absent in ["snapshots/sea", "snapshots/lake/2026-03-10T100001Z", "snapshots/lake/2026-03-10T10:00:00Z"] {
        assert_eq!(errno(fs::symlink_metadata(mount.path(absent))), Some(Errno::NOENT), "{absent}");
    }
}

#[test]
fn at_takes_every_way_to_write_a_time() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let monday = stage.ingest_at(&source, "lake", at(TUESDAY_AT_TEN - DAY));
    let at_ten = stage.ingest_at(&source, "lake", Timestamp { seconds: TUESDAY_AT_TEN, nanos: 700_000_000 });
    let at_eleven = stage.ingest_at(&source, "lake", at(TUESDAY_AT_TEN + HOUR));
    let mount = stage.mount();
    let none = "";
    let cases = [
        ("2026-03-10T10:30:00Z", &*at_ten),
        ("2026-03-10T10:00:00Z", &at_ten),
        ("2026-03-10t10:00:00z", &at_ten),
        ("2026-03-10T09:59:59Z", &monday),
        ("2026-03-10T09:59:59.999999999Z", &monday),
        ("2026-03-10T10:00:00.7Z", &at_ten),
        ("2026-03-10T12:30:00+02:00", &at_ten),
        ("2026-03-10T06:00:00-05:00", &at_eleven),
        ("2026-03-10T103000Z", &at_ten),
        ("2026-03-10T1030", &at_ten),
        ("2026-03-10T103000", &at_ten),
        ("2026-03-10T1230+0200", &at_ten),
        ("2026-03-10T123000+02", &at_ten),
        ("2026-03-10 10:30", &at_ten),
        ("2026-03-10T10:30", &at_ten),
        // What a snapshot is called finds that snapshot.
        (&at_ten, &at_ten),
        ("2026-03-10", &at_eleven),
        ("2026-03-09", &monday),
        ("2026-03-08", none),
        ("2026-03", &at_eleven),
        ("2026-02", none),
        ("2026", &at_eleven),
        ("2025", none),
        ("now", &at_eleven),
        ("today", &at_eleven),
        ("Yesterday", &at_eleven),
        ("0s-ago", &at_eleven),
    ];
    for (when, expected) in cases {
        let expected = (!expected.is_empty()).then(|| format!("snapshots/lake/{expected}"));
        assert_eq!(leads_to(&mount, &format!("at/{when}/lake")), expected, "{when}");
        let listed = names(mount.path(&format!("at/{when}")));
        assert_eq!(listed.len(), usize::from(expected.is_some()), "{when}: {listed:?}");
    }
    for no_time in ["2026-3-10", "tomorrow", "10:00", "latest", "2026-02-30", "2026-03-10T25:00", "x"] {
        assert_eq!(errno(fs::read_dir(mount.path("at").join(no_time))), Some(Errno::NOENT), "{no_time}");
    }
    assert_eq!(names(mount.path("at")), ["2026-03-09", "2026-03-10"]);
}

#[test]
fn at_counts_back_from_now() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    // Days are UTC: whatever the hour, three days and an hour ago is before yesterday, and 80 minutes ago is after it began.
    let old = stage.ingest_at(&source, "lake", at(present() - 3 * DAY - HOUR));
    let before_midnight = stage.ingest_at(&source, "lake", at(present().div_euclid(DAY) * DAY - 60));
    let recent = stage.ingest_at(&source, "lake", at(present() - 80));
    let mount = stage.mount();
    let found = |when: &str| leads_to(&mount, &format!("at/{when}/lake"));
    let path = |name: &str| Some(format!("snapshots/lake/{name}"));
    assert_eq!(found("now"), path(&recent));
    assert_eq!(found("1m-ago"), path(&recent));
    assert_eq!(found("3d-ago"), path(&old));
    assert_eq!(found("2d24h-ago"), path(&old));
    assert_eq!(found("3d1h2m-ago"), None);
    assert_eq!(found("1w-ago"), None);
    assert_eq!(found("today"), path(&recent));
    if present().rem_euclid(DAY) > 200 {
        assert_eq!(found("yesterday"), path(&before_midnight));
    }
}

#[test]
fn ids_tags_and_diff_lead_to_the_same_snapshots() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("same"), "same").unwrap();
    fs::write(source.join("changed"), "before").unwrap();
    fs::create_dir_all(source.join("gone/deep")).unwrap();
    fs::write(source.join("gone/deep/file"), "gone").unwrap();
    fs::write(source.join("becomes-directory"), "file").unwrap();
    let first = stage.ingest_at(&source, "lake", at(TUESDAY_AT_TEN));
    fs::write(source.join("changed"), "after").unwrap();
    fs::remove_dir_all(source.join("gone")).unwrap();
    fs::remove_file(source.join("becomes-directory")).unwrap();
    fs::create_dir(source.join("becomes-directory")).unwrap();
    symlink("same", source.join("added")).unwrap();
    let second = stage.ingest_at(&source, "lake", at(TUESDAY_AT_TEN + DAY));
    stage.succeed(&["tag", &format!("lake@{first}"), "--add", "gold", "--add", "release-1.0"]);
    stage.succeed(&["tag", "lake", "--add", "gold"]);
    let mount = stage.mount();
    ids_are_listed_and_found_by_prefix(&stage, &mount);
    assert_eq!(names(mount.path("tags")), ["gold", "release-1.0"]);
    assert_eq!(names(mount.path("tags/gold")), ["lake"]);
    assert_eq!(names(mount.path("tags/gold/lake")), [&*first, &second]);
    assert_eq!(names(mount.path("tags/release-1.0/lake")), [&*first]);
    for link in [format!("tags/gold/lake/{first}"), format!("tags/release-1.0/lake/{first}")] {
        assert_eq!(leads_to(&mount, &link), Some(format!("snapshots/lake/{first}")));
    }
    for absent in [format!("tags/release-1.0/lake/{second}"), "tags/lead".into(), "tags/gold/sea".into()] {
        assert_eq!(errno(fs::symlink_metadata(mount.path(&absent))), Some(Errno::NOENT), "{absent}");
    }
    differences_are_shown_as_files(&mount, &first, &second);
}

fn ids_are_listed_and_found_by_prefix(stage: &Stage, mount: &Mount) {
    let listed = stage.succeed(&["snapshots", "--json"]);
    for line in listed.lines() {
        let snapshot: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, name) = (snapshot["id"].as_str().unwrap(), snapshot["name"].as_str().unwrap());
        let expected = Some(format!("snapshots/lake/{name}"));
        for known in [id, &id[..12], &id[..8]] {
            assert_eq!(leads_to(mount, &format!("ids/{known}")), expected, "{known}");
        }
        let shown = names(mount.path("ids"));
        assert!(shown.iter().any(|shown| id.starts_with(shown)), "{id} is not in {shown:?}");
    }
    assert_eq!(names(mount.path("ids")).len(), listed.lines().count());
    for absent in ["ids/0", "ids/xyzw", "ids/ffffffffffffffff"] {
        assert_eq!(errno(fs::symlink_metadata(mount.path(absent))), Some(Errno::NOENT), "{absent}");
    }
}

fn differences_are_shown_as_files(mount: &Mount, first: &str, second: &str) {
    let directory = mount.path(&format!("diff/lake@{first}..lake@{second}"));
    let shown = |directory: &Path| {
        let listed = run_quietly(Command::new("find").args([".", "-printf", "%P %y\\n"]).current_dir(directory));
        let mut listed: Vec<String> = text(listed).lines().skip(1).map(str::to_string).collect();
        listed.sort();
        listed
    };
    let expected = [
        "added d",
        "added/added l",
        "added/becomes-directory d",
        "changed d",
        "changed/changed f",
        "removed d",
        "removed/becomes-directory f",
        "removed/gone d",
        "removed/gone/deep d",
        "removed/gone/deep/file f",
    ];
    assert_eq!(shown(&directory), expected);
    assert_eq!(fs::read_to_string(directory.join("changed/changed")).unwrap(), "after");
    assert_eq!(fs::read_to_string(directory.join("removed/gone/deep/file")).unwrap(), "gone");
    assert_eq!(fs::read_link(directory.join("added/added")).unwrap(), Path::new("same"));
    assert_eq!(shown(&mount.path("diff/lake~1..lake")), expected);
    assert_eq!(shown(&mount.path("diff/lake..lake")), ["added d", "changed d", "removed d"]);
    assert_eq!(names(mount.path("diff")), [""; 0], "pairs are made when asked for");
    for absent in ["lake", "lake..", "lake..sea", "lake~1..lake~9", "x"] {
        assert_eq!(errno(fs::read_dir(mount.path("diff").join(absent))), Some(Errno::NOENT), "{absent}");
    }
}

fn attribute(path: &Path, name: &str) -> Result<String, Errno> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, format!("user.yesterfs.{name}"), &mut value[..])?;
    value.truncate(length);
    Ok(String::from_utf8(value).unwrap())
}

fn listed_attributes(path: &Path) -> Result<Vec<u8>, Errno> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..])?;
    list.truncate(length);
    Ok(list)
}

#[test]
fn facts_of_a_snapshot_are_attributes_of_its_root_that_no_listing_shows() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("file"), "12345").unwrap();
    let without = stage.ingest_at(&source, "plain", at(TUESDAY_AT_TEN));
    rustix::fs::setxattr(&source, "user.own", b"1", XattrFlags::empty()).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let root = mount.latest("lake");
    let shown: serde_json::Value = serde_json::from_str(&stage.succeed(&["show", "lake", "--json"])).unwrap();
    for (fact, field) in [("id", "id"), ("source", "source"), ("name", "name"), ("status", "status"), ("kind", "kind")]
    {
        assert_eq!(attribute(&root, fact).unwrap(), shown[field].as_str().unwrap(), "{fact}");
    }
    assert_eq!(attribute(&root, "bytes").unwrap(), "5");
    assert_eq!(attribute(&root, "files").unwrap(), "1");
    assert_eq!(attribute(&root, "problems").unwrap(), "0");
    assert_eq!(attribute(&root, "origin").unwrap(), source.to_str().unwrap());
    assert_eq!(attribute(&root, "time").unwrap(), shown["started"].as_str().or(shown["time"].as_str()).unwrap());
    let plain = mount.path(&format!("snapshots/plain/{without}"));
    assert_eq!(attribute(&plain, "time").unwrap(), "2026-03-10T10:00:00Z");
    assert_eq!(attribute(&root, "no-such-fact"), Err(Errno::NODATA));
    assert_eq!(attribute(&root.join("file"), "id"), Err(Errno::NODATA));
    assert_eq!(listed_attributes(&root).unwrap(), b"user.own\0");
    assert!(matches!(listed_attributes(&plain), Err(Errno::OPNOTSUPP)), "it has none, so tools need not ask");
    let getfattr = Command::new("getfattr").args(["--only-values", "-n", "user.yesterfs.id"]).arg(&root).output();
    assert_eq!(text(getfattr.unwrap().stdout), shown["id"].as_str().unwrap());
}

#[test]
fn attributes_of_the_source_are_shown_even_where_a_fact_has_their_name() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    rustix::fs::setxattr(&source, "user.yesterfs.id", b"of the source", XattrFlags::empty()).unwrap();
    stage.ingest(&source, "lake");
    let root = stage.mount();
    let root = root.latest("lake");
    assert_eq!(listed_attributes(&root).unwrap(), b"user.yesterfs.id\0");
    assert_eq!(attribute(&root, "id").unwrap(), "of the source");
}

#[test]
fn a_new_snapshot_is_everywhere_within_a_second_and_a_forgotten_one_nowhere() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("file"), "first").unwrap();
    let first = stage.ingest(&source, "lake");
    let mount = stage.mount();
    let list_all = || run(Command::new("ls").arg("-lR").arg(mount.point()));
    list_all();
    // What is not there yet is asked for, and may be remembered as absent.
    for absent in ["snapshots/sea/latest/file", "at/now/sea/file", "tags/gold/sea"] {
        assert!(!mount.path(absent).exists());
    }
    fs::write(source.join("file"), "second").unwrap();
    let second = stage.ingest(&source, "lake");
    for path in ["snapshots/lake/latest/file", "at/now/lake/file", "at/today/lake/file"] {
        fs::read(mount.path(path)).unwrap();
    }
    stage.succeed(&["ingest", "dir", source.to_str().unwrap(), "--source", "sea", "--tag", "gold"]);
    std::thread::sleep(SECOND);
    assert_eq!(names(mount.path("snapshots")), ["lake", "sea"]);
    assert_eq!(names(mount.path("snapshots/lake")), [&*first, &second, "latest"]);
    assert_eq!(names(mount.path("ids")).len(), 3);
    assert_eq!(names(mount.path("at/now")), ["lake", "sea"]);
    let now = ["snapshots/lake/latest/file", "at/now/lake/file", "at/today/lake/file", "at/now/sea/file"];
    for path in now.into_iter().chain(["snapshots/sea/latest/file"]) {
        assert_eq!(fs::read_to_string(mount.path(path)).unwrap(), "second", "{path}");
    }
    assert_eq!(names(mount.path("tags/gold")), ["sea"]);
    list_all();
    let forgotten = mount.path(&format!("snapshots/lake/{second}"));
    stage.succeed(&["forget", &format!("lake@{second}")]);
    stage.succeed(&["forget", "sea@latest"]);
    std::thread::sleep(SECOND);
    assert_eq!(errno(fs::metadata(&forgotten)), Some(Errno::NOENT));
    assert_eq!(errno(fs::read(forgotten.join("file"))), Some(Errno::NOENT));
    assert_eq!(names(mount.path("snapshots")), ["lake"]);
    assert_eq!(names(mount.path("snapshots/lake")), [&*first, "latest"]);
    assert_eq!(names(mount.path("ids")).len(), 1);
    assert_eq!(names(mount.path("tags")), [""; 0]);
    assert_eq!(names(mount.path("at/now")), ["lake"]);
    for path in ["snapshots/lake/latest/file", "at/now/lake/file"] {
        assert_eq!(fs::read_to_string(mount.path(path)).unwrap(), "first", "{path}");
    }
    assert_eq!(identity(mount.path("snapshots/lake/latest")), identity(mount.path("at/now/lake")));
}

#[test]
fn tags_appear_and_disappear_without_a_new_snapshot() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let name = stage.ingest(&source, "lake");
    let mount = stage.mount();
    let tagged: PathBuf = mount.path("tags/gold/lake").join(&name);
    assert!(!tagged.exists());
    stage.succeed(&["tag", "lake", "--add", "gold"]);
    within(SECOND, "the tag appears", || tagged.exists() && names(mount.path("tags")) == ["gold"]);
    stage.succeed(&["tag", "lake", "--remove", "gold"]);
    within(SECOND, "the tag disappears", || !tagged.exists() && names(mount.path("tags")).is_empty());
}

#[test]
fn several_mounts_of_one_repository_show_the_same() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("file"), "text").unwrap();
    let mounts = [stage.mount_with("one", &[]), stage.mount_with("two", &[])];
    let name = stage.ingest(&source, "lake");
    for mount in &mounts {
        within(SECOND, "the snapshot", || mount.path(&format!("snapshots/lake/{name}/file")).exists());
    }
    let [one, two] = mounts;
    assert_eq!(identity(one.path("snapshots")).1, identity(two.path("snapshots")).1);
    one.unmount();
    assert_eq!(fs::read_to_string(two.latest("lake").join("file")).unwrap(), "text");
}
