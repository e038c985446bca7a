//! `diff` against the real rsync, on live directories and on snapshots of them.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{Gid, Uid};
use support::faulty::FaultyBackend;
use support::random_tree::{Random, set_modified};
use support::repository::{Ingested, TestRepository, now};
use support::stored::{no_hints, put_chunk};
use tempfile::TempDir;
use yesterfs::Error;
use yesterfs::diff::{Action, Change, DiffOptions, DiffSummary, Side, diff, rsync_name};
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::repository::content::{ChunkClass, Content, Extent, ExtentSource};
use yesterfs::repository::content_writer::ExtentWriter;
use yesterfs::repository::node::{DirectoryRoot, Node, NodeKind, RootPage, Xattrs};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::tree::{DirectoryWriter, Witness};
use yesterfs::store::backend::LocalBackend;
use yesterfs::time::Timestamp;

/// Two directories, `A` and `B`, in a place of their own.
struct Trees {
    place: TempDir,
}

impl Trees {
    fn new() -> Trees {
        assert!(rustix::process::geteuid().is_root(), "these tests make devices and foreign owners: run as root");
        let place = TempDir::new().unwrap();
        fs::create_dir(place.path().join("A")).unwrap();
        fs::create_dir(place.path().join("B")).unwrap();
        Trees { place }
    }

    /// Two directories as a script makes them, in which `both COMMAND... PATH` runs a command for the path in `A` and
    /// in `B`, `put TEXT PATH` writes to a file in both, and `at TIME PATH...` sets modification times.
    fn made_by(script: &str) -> Trees {
        let trees = Trees::new();
        let prelude = "set -eu; umask 022
            both() { \"${@:1:$#-1}\" A/\"${@: -1}\"; \"${@:1:$#-1}\" B/\"${@: -1}\"; }
            put() { echo \"$1\" >A/\"$2\"; echo \"$1\" >B/\"$2\"; }
            at() { local time=$1; shift; touch --no-dereference --date=@\"$time\" \"$@\"; }
            socket() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \"$1\"; chmod 644 \"$1\"; }\n";
        let made =
            Command::new("bash").arg("-c").arg(format!("{prelude}{script}\n")).current_dir(trees.place.path()).output();
        let made = made.expect("bash runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        trees
    }

    fn a(&self) -> PathBuf {
        self.place.path().join("A")
    }

    fn b(&self) -> PathBuf {
        self.place.path().join("B")
    }

    /// What rsync prints, sorted.
    fn rsync(&self) -> Vec<String> {
        let mut source = self.b().into_os_string();
        source.push("/");
        let mut target = self.a().into_os_string();
        target.push("/");
        let output = Command::new("rsync")
            .args(["-aXAHn", "--checksum", "--delete", "-i", "--modify-window=-1"])
            .args([source, target])
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("rsync is installed");
        assert!(output.status.success(), "rsync: {}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        sorted(lines.map(shown).collect())
    }

    /// What `diff` prints for the live directories, sorted.
    fn live(&self) -> Vec<String> {
        sorted(lines(&compare(&Side::Live(self.a()), &Side::Live(self.b()))))
    }

    /// Compares with rsync: both live, both as snapshots, and one of each.
    fn assert_as_rsync(&self) -> Vec<String> {
        let expected = self.rsync();
        assert_same("live directories", &self.live(), &expected);
        let repository = TestRepository::new();
        let (a, b) = (repository.ingest(&self.a(), "a"), repository.ingest(&self.b(), "b"));
        assert_eq!((a.problems.len(), b.problems.len()), (0, 0));
        let (old, new) = (snapshot(&a), snapshot(&b));
        assert_same("snapshots", &sorted(lines(&compare(&old, &new))), &expected);
        assert_same("snapshot and live", &sorted(lines(&compare(&old, &Side::Live(self.b())))), &expected);
        assert_same("live and snapshot", &sorted(lines(&compare(&Side::Live(self.a()), &new))), &expected);
        expected
    }
}

fn snapshot<'r>(ingested: &Ingested<'r>) -> Side<'r> {
    let root = ingested.snapshot.manifest.root.clone();
    Side::Snapshot { repository: ingested.repository, root, path: Vec::new() }
}

/// What a comparison gave.
struct Compared {
    changes: Vec<Change>,
    summary: DiffSummary,
    problems: Vec<String>,
    bytes_read: u64,
}

fn compare(a: &Side, b: &Side) -> Compared {
    compare_with(a, b, &DiffOptions::default())
}

fn compare_with(a: &Side, b: &Side, options: &DiffOptions) -> Compared {
    let monitor = Recorder::default();
    let mut changes = Vec::new();
    let summary = diff(a, b, options, &monitor, &mut |change| {
        changes.push(change);
        Ok(())
    });
    let summary = summary.unwrap();
    let bytes_read = monitor.counters.bytes_read.load(Ordering::Relaxed);
    let problems = monitor.problems.into_inner().unwrap();
    let problems = problems.iter().map(|problem| format!("{}: {}", problem.path.display(), problem.reason)).collect();
    Compared { changes, summary, problems, bytes_read }
}

/// The printed lines in the order in which they came. Panics if anything could not be compared.
fn lines(compared: &Compared) -> Vec<String> {
    assert_eq!(compared.problems, [""; 0]);
    compared.changes.iter().map(|change| shown(&change.rsync_line())).collect()
}

/// A printed line, where names need not be UTF-8.
fn shown(line: &[u8]) -> String {
    line.escape_ascii().to_string().replace("\\\\", "\\")
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[track_caller]
fn assert_same(what: &str, ours: &[String], rsyncs: &[String]) {
    let (ours, rsyncs): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().collect(), rsyncs.iter().collect());
    let only_ours: Vec<_> = ours.difference(&rsyncs).collect();
    let only_rsyncs: Vec<_> = rsyncs.difference(&ours).collect();
    assert!(
        only_ours.is_empty() && only_rsyncs.is_empty(),
        "{what}: only diff says {only_ours:#?}, only rsync says {only_rsyncs:#?}"
    );
}

#[test]
fn equal_trees_have_no_differences() {
    let trees = Trees::made_by(
        "mkdir A/d; echo x >A/d/f; ln -s t A/l; mkfifo A/p; setfattr -n user.a -v 1 A/d; setfacl -m u:5:rw A/d/f
         ln A/d/f A/d/g; truncate -s 1M A/hole; rmdir B; cp -a A B",
    );
    assert_eq!(trees.assert_as_rsync(), [""; 0]);
}

#[test]
fn a_snapshot_of_everything_equals_its_source() {
    let trees = Trees::new();
    support::fidelity::build_fidelity_tree(&trees.b());
    let repository = TestRepository::new();
    let ingested = repository.ingest(&trees.b(), "b");
    let (stored, live) = (snapshot(&ingested), Side::Live(trees.b()));
    for (a, b) in [(&stored, &live), (&live, &stored), (&live, &live)] {
        assert_eq!(lines(&compare(a, b)), [""; 0]);
    }
    let removed = Command::new("rm").arg("-rf").arg(trees.b()).status().unwrap();
    assert!(removed.success(), "paths beyond PATH_MAX take more than remove_dir_all");
}

#[test]
fn what_was_added_is_listed_with_all_that_is_below() {
    let trees = Trees::made_by(
        "mkdir -p B/d/sub; echo x >B/d/f; echo y >B/d/sub/g; ln -s target B/link; mkfifo B/fifo; socket B/socket
         mknod B/character c 1 3; mknod B/block b 7 200000; setfattr -n user.a -v 1 B/d/f; at 100 A B",
    );
    let expected = [
        ">f+++++++++ d/f",
        ">f+++++++++ d/sub/g",
        "cD+++++++++ block",
        "cD+++++++++ character",
        "cL+++++++++ link -> target",
        "cS+++++++++ fifo",
        "cS+++++++++ socket",
        "cd+++++++++ d/",
        "cd+++++++++ d/sub/",
    ];
    assert_eq!(trees.assert_as_rsync(), expected);
}

#[test]
fn what_was_removed_is_listed_with_all_that_was_below() {
    let trees = Trees::made_by(
        "mkdir -p A/d/sub; echo x >A/d/f; ln -s t A/d/sub/l; mkfifo A/p; mknod A/c c 1 3; ln -s t A/l; at 100 A B",
    );
    let expected = [
        "*deleting   c",
        "*deleting   d/",
        "*deleting   d/f",
        "*deleting   d/sub/",
        "*deleting   d/sub/l",
        "*deleting   l",
        "*deleting   p",
    ];
    assert_eq!(trees.assert_as_rsync(), expected);
}

#[test]
fn every_change_of_type() {
    let trees = Trees::made_by(
        "make() {
             case $1 in
                 f) echo x >\"$2\" ;;
                 d) mkdir -p \"$2/sub\"; echo x >\"$2/sub/inner\" ;;
                 l) ln -s t \"$2\" ;;
                 p) mkfifo \"$2\" ;;
                 s) socket \"$2\" ;;
                 c) mknod \"$2\" c 1 3 ;;
                 b) mknod \"$2\" b 7 1 ;;
             esac
         }
         for old in f d l p s c b; do for new in f d l p s c b; do
             make $old A/$old-$new; make $new B/$old-$new
         done; done
         find A B -depth -exec touch --no-dereference --date=@100 {} +",
    );
    let printed = trees.assert_as_rsync();
    for line in [
        "*deleting   d-f/sub/",
        "*deleting   d-f/sub/inner",
        ">f+++++++++ d-f",
        "cd+++++++++ f-d/",
        ">f+++++++++ f-d/sub/inner",
        "cL+++++++++ p-l -> t",
        "cSc........ p-s",
        "cDc........ c-b",
    ] {
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
    }
    assert!(!printed.iter().any(|line| line.starts_with("*deleting   d-f/ ")), "it became a file");
}

#[test]
fn a_character_device_that_became_a_block_device_of_the_same_number_is_told_though_not_by_rsync() {
    let trees = Trees::made_by("mknod A/x c 1 3; mknod B/x b 1 3; at 100 A/x B/x A B");
    assert_eq!(trees.live(), ["cDc........ x"]);
    assert_eq!(trees.rsync(), [""; 0]);
}

#[test]
fn files_symlinks_and_specials_in_every_column() {
    let trees = Trees::made_by(
        "for name in c ct s st t n p o g all ctp; do put same \"$name\"; at 100 A/$name B/$name; done
         echo diff >B/c; at 100 B/c; echo diff >B/ct; at 101 B/ct; echo longer >B/s; at 100 B/s; echo longer >B/st
         at 101 B/t; at 100.000000001 B/n; chmod 4711 B/p; chown 5 B/o; chgrp 6 B/g
         chown 5:6 B/all; chmod 600 B/all; at -1.5 B/all; echo diff >B/ctp; chmod 600 B/ctp
         ln -s one A/l-c; ln -s two B/l-c; ln -s one A/l-ct; ln -s two-two B/l-ct; both ln -s one l-t; both ln -s one l-o
         at 100 {A,B}/l-*; at 101 B/l-t B/l-ct; chown -h 5:6 B/l-o
         mknod A/d-c c 1 3; mknod B/d-c c 1 5; both mkfifo p-t; both mkfifo p-p; at 100 {A,B}/{d-c,p-t,p-p}
         at 101 B/p-t; chmod 600 B/p-p
         for name in t p o; do both mkdir d$name; done; at 100 {A,B}/d?; at 101 B/dt; chmod 700 B/dp; chown 5 B/do
         at 100 A; at 101 B",
    );
    let printed = trees.assert_as_rsync();
    for line in [
        ".d..t...... ./",
        ">fc........ c",
        ">fc.t...... ct",
        ">fcs....... s",
        ">fcst...... st",
        ".f..t...... t",
        ".f..t...... n",
        ".f...p..... p",
        ".f..tpog... all",
        "cLc........ l-c -> two",
        "cLc.t...... l-ct -> two-two",
        ".L..t...... l-t -> one",
        ".L....og... l-o -> one",
        "cDc........ d-c",
        ".S..t...... p-t",
        ".d...p..... dp/",
    ] {
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
    }
}

#[test]
fn acls_and_attributes() {
    let trees = Trees::made_by(
        "for name in add remove value empty trusted large acl-add acl-remove acl-value acl-mask acl-group acl-minimal both; do
             put x f-$name; both mkdir d-$name
         done
         both mkdir d-default; both mkdir d-default-value; both mkfifo p; ln -s t A/l; ln -s t B/l
         for name in f d; do
             setfattr -n user.a -v 1 B/$name-add A/$name-remove A/$name-value B/$name-both
             setfattr -n user.a -v 2 B/$name-value
             setfattr -n user.a B/$name-empty
             setfattr -n trusted.a -v 1 B/$name-trusted
             both setfattr -n user.a -v $(printf 'x%.0s' {1..1000}) $name-large
             setfattr -n user.b -v $(printf 'y%.0s' {1..1001}) B/$name-large
             setfacl -m u:5:rw B/$name-acl-add A/$name-acl-remove {A,B}/$name-acl-{value,mask,group} B/$name-both
             setfacl -m u:5:r,m::rw B/$name-acl-value
             setfacl -m m::r B/$name-acl-mask
             setfacl -m g::rwx,m::rw B/$name-acl-group
             setfacl -m u:5:r A/$name-acl-minimal; setfacl -b A/$name-acl-minimal
         done
         setfacl -d -m u:5:rw B/d-default; setfacl -d -m u:5:rw A/d-default-value; setfacl -d -m u:6:rw B/d-default-value
         setfacl -m u:5:rw B/p; setfattr -h -n trusted.l -v 1 B/l
         setcap cap_net_raw+ep B/f-both
         find A B -depth -exec touch --no-dereference --date=@100 {} +",
    );
    let printed = trees.assert_as_rsync();
    for line in [
        ".f........x f-add",
        ".f...p...a. f-acl-add",
        ".f...p..... f-acl-mask",
        ".d.......a. d-default/",
        ".f...p...ax f-both",
        ".L........x l -> t",
    ] {
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in {printed:#?}");
    }
}

#[test]
fn names_are_printed_as_rsync_prints_them() {
    let trees = Trees::new();
    let names: [&[u8]; 20] = [
        b"plain",
        "caf\u{e9} \u{1f980}".as_bytes(),
        b"bad\xff",
        b"two\nlines",
        b"tab\tulator",
        b"\x1b[1m",
        b"del\x7f",
        "c1 \u{85}".as_bytes(),
        b"\\#012",
        b"\\#12",
        b"x\\#999y",
        b"\\#0123",
        b" around ",
        b"trunc\xe2\x82",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
        b"\xfe",
        b"percent%n",
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        fs::write(trees.b().join(name), "x").unwrap();
        fs::create_dir(trees.a().join([b"removed ".as_slice(), name.as_bytes()].concat().as_os_str())).unwrap();
        symlink(name, trees.b().join([b"link ".as_slice(), name.as_bytes()].concat().as_os_str())).unwrap();
    }
    [trees.a(), trees.b()].iter().for_each(|root| set_modified(root, 0, 0));
    assert_eq!(trees.assert_as_rsync().len(), 3 * names.len());
}

/// Bytes as a file name.
trait AsOsStr {
    fn as_os_str(&self) -> &OsStr;
}

impl AsOsStr for Vec<u8> {
    fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self)
    }
}

#[test]
fn changes_come_in_tree_order() {
    let trees = Trees::made_by(
        "mkdir B/a B/a.b; echo x >B/a/z; echo x >B/a-; echo x >B/a.b/y; echo x >B/b; mkdir A/b; echo x >A/b/inner; echo x >A/Z
         at 100 A B",
    );
    let expected = [
        "*deleting   Z",
        "cd+++++++++ a/",
        ">f+++++++++ a/z",
        ">f+++++++++ a-",
        "cd+++++++++ a.b/",
        ">f+++++++++ a.b/y",
        ">f+++++++++ b",
        "*deleting   b/inner",
    ];
    let (a, b) = (Side::Live(trees.a()), Side::Live(trees.b()));
    assert_eq!(lines(&compare(&a, &b)), expected);
    let repository = TestRepository::new();
    let (a, b) = (repository.ingest(&trees.a(), "a"), repository.ingest(&trees.b(), "b"));
    let compared = compare(&snapshot(&a), &snapshot(&b));
    assert_eq!(lines(&compared), expected);
    let summary = compared.summary;
    assert_eq!((summary.added, summary.removed, summary.changed, summary.metadata_only), (5, 2, 1, 0));
    assert_eq!((summary.bytes_before, summary.bytes_after), (4, 8));
    assert!(!summary.is_equal());
}

#[test]
fn hard_links_follow_the_documented_rule() {
    let cases: [(&str, &str, &[&str]); 12] = [
        ("another name for what was there", "put x a; ln B/a B/b", &["hf+++++++++ b => a"]),
        ("a name before the one that was there", "put x b; ln B/b B/a", &[">f+++++++++ a", "hf          b => a"]),
        (
            "a new file with three names",
            "echo x >B/a; ln B/a B/b; mkdir B/d; ln B/a B/d/c",
            &[">f+++++++++ a", "hf+++++++++ b => a", "cd+++++++++ d/", "hf+++++++++ d/c => a"],
        ),
        ("two equal files became one", "put x a; echo x >A/b; ln B/a B/b", &["hf          b => a"]),
        ("two different files became one", "put x a; echo y >A/b; ln B/a B/b", &["hfc........ b => a"]),
        ("one file became two equal ones", "put x a; ln A/a A/b; echo x >B/b", &[]),
        ("one file became two different ones", "put x a; ln A/a A/b; echo y >B/b", &[">fc........ b"]),
        (
            "one file with two names and new bytes",
            "echo x >A/a; ln A/a A/b; echo y >B/a; ln B/a B/b",
            &[">fc........ a", "hfc........ b"],
        ),
        (
            "one file with two names and another mode",
            "put x a; ln A/a A/b; ln B/a B/b; chmod 600 B/a",
            &[".f...p..... a", "hf...p..... b"],
        ),
        (
            "the first of three names went",
            "echo x >A/a; ln A/a A/b; ln A/a A/c; echo x >B/b; ln B/b B/c",
            &["*deleting   a"],
        ),
        ("a name moved from one file to another", "put x a; put x b; ln A/b A/c; ln B/a B/c", &["hf          c => a"]),
        (
            "another name of a symlink and of a fifo",
            "both ln -s t l; both mkfifo p; ln B/l B/m; ln B/p B/q",
            &["hL+++++++++ m => l", "hS+++++++++ q => p"],
        ),
    ];
    let repository = TestRepository::new();
    for (what, script, expected) in cases {
        let trees = Trees::made_by(&format!(
            "{script}\nfind A B -depth -exec touch --no-dereference --date=@100 {{}} +; [ -z \"$(ls A B)\" ] || at 100 A B"
        ));
        let (a, b) = (repository.ingest(&trees.a(), "a"), repository.ingest(&trees.b(), "b"));
        let (live_a, live_b) = (Side::Live(trees.a()), Side::Live(trees.b()));
        let (stored_a, stored_b) = (snapshot(&a), snapshot(&b));
        for (sides, a, b) in [
            ("live", &live_a, &live_b),
            ("stored", &stored_a, &stored_b),
            ("live, stored", &live_a, &stored_b),
            ("stored, live", &stored_a, &live_b),
        ] {
            assert_eq!(lines(&compare(a, b)), *expected, "{what} ({sides})");
        }
    }
}

#[test]
fn links_into_a_subtree_count_inside_of_it_only() {
    let trees = Trees::made_by(
        "mkdir {A,B}/sub; put x a; for t in A B; do ln $t/a $t/sub/p; ln $t/a $t/sub/q; done
         ln B/a B/sub/r; at 100 {A,B}/sub/p {A,B}/sub",
    );
    let repository = TestRepository::new();
    let (a, b) = (repository.ingest(&trees.a(), "a"), repository.ingest(&trees.b(), "b"));
    let sub = |ingested: &Ingested| {
        let root = &ingested.snapshot.manifest.root;
        ingested.repository.tree().unwrap().lookup_path(root, b"sub").unwrap().unwrap()
    };
    let (repository, path) = (&repository.repository, b"sub".to_vec());
    let stored_a = Side::Snapshot { repository, root: sub(&a), path: path.clone() };
    let stored_b = Side::Snapshot { repository, root: sub(&b), path };
    let (live_a, live_b) = (Side::Live(trees.a().join("sub")), Side::Live(trees.b().join("sub")));
    for (a, b) in [(&stored_a, &stored_b), (&live_a, &live_b), (&stored_a, &live_b), (&live_a, &stored_b)] {
        assert_eq!(lines(&compare(a, b)), ["hf+++++++++ r => p"]);
    }
}

#[test]
fn a_new_first_name_shows_at_names_that_are_stored_as_before() {
    let trees = Trees::made_by(
        "mkdir A/{old,new}; echo x >A/old/p; echo y >A/new/z; cp -a A/new/z A/old/z
         for name in old/q new/o new/p new/q; do ln A/old/p A/$name; done; at 100 A/old A/new",
    );
    let repository = TestRepository::new();
    let a = repository.ingest(&trees.a(), "a");
    let sub = |path: &str| {
        let (repository, root) = (&repository.repository, &a.snapshot.manifest.root);
        let root = repository.tree().unwrap().lookup_path(root, path.as_bytes()).unwrap().unwrap();
        Side::Snapshot { repository, root, path: path.as_bytes().to_vec() }
    };
    // "p" and "q" have the same nodes in both: that of the file whose first name is outside, "new/o".
    let live = |path: &str| Side::Live(trees.a().join(path));
    let expected = [">f+++++++++ o", "hf          p => o", "hf          q => o"];
    assert_eq!(lines(&compare(&live("old"), &live("new"))), expected);
    assert_eq!(lines(&compare(&sub("old"), &sub("new"))), expected);
}

#[test]
fn a_single_file_and_nothing_at_all_can_be_compared() {
    let trees = Trees::made_by(
        "echo x >A/f; echo yy >B/f; mkdir B/d; echo x >B/d/g; echo x >B/d/h; ln -s d B/to-d; at 100 A/f B/f",
    );
    let options = DiffOptions { root_name: b"f".to_vec(), ..DiffOptions::default() };
    let (a, b) = (Side::Live(trees.a().join("f")), Side::Live(trees.b().join("f")));
    assert_eq!(lines(&compare_with(&a, &b, &options)), [">fcs....... f"]);
    let directory = Side::Live(trees.b().join("d"));
    let added = ["cd+++++++++ ./", ">f+++++++++ g", ">f+++++++++ h"];
    assert_eq!(lines(&compare(&Side::Nothing, &directory)), added);
    assert_eq!(lines(&compare(&directory, &Side::Nothing)), ["*deleting   ./", "*deleting   g", "*deleting   h"]);
    assert_eq!(
        lines(&compare_with(&a, &directory, &options)),
        ["cd+++++++++ f/", ">f+++++++++ f/g", ">f+++++++++ f/h"]
    );
    let link = Side::Live(trees.b().join("to-d"));
    assert_eq!(
        lines(&compare_with(&directory, &link, &options)),
        ["cL+++++++++ f -> d", "*deleting   f/g", "*deleting   f/h"]
    );
    assert!(compare(&Side::Nothing, &Side::Nothing).summary.is_equal());
    let missing = Side::Live(trees.a().join("missing"));
    let failed = diff(&missing, &a, &options, &Recorder::default(), &mut |_| Ok(()));
    assert!(matches!(failed, Err(Error::NotFound { .. })), "{failed:?}");
}

#[test]
fn random_changes_of_random_trees() {
    for seed in 1..=40 {
        let trees = Trees::new();
        let mut random = Random::new(seed);
        for _ in 0..random.below(60) {
            random.make_entry(&trees.a());
        }
        fs::remove_dir(trees.b()).unwrap();
        let copied = Command::new("cp").arg("-a").arg(trees.a()).arg(trees.b()).status().unwrap();
        assert!(copied.success());
        for _ in 0..random.below(25) {
            random.change_something(&trees.b());
        }
        random.set_times(&trees.a(), 1);
        random.set_times(&trees.b(), 8);
        let expected = trees.rsync();
        assert_same(&format!("seed {seed}"), &trees.live(), &expected);
        // Slower: not every time.
        if seed % 4 == 0 {
            trees.assert_as_rsync();
        }
    }
}

/// A node of a file with an inline content of one byte.
fn node_of(byte: u8) -> Node {
    let mut content = Content::empty();
    content.body = yesterfs::repository::content::ContentBody::Inline(vec![byte]);
    (content.size, content.data_bytes) = (1, 1);
    node(NodeKind::File { content, torn: false })
}

fn node(kind: NodeKind) -> Node {
    Node {
        permissions: 0o755,
        uid: 0,
        gid: 0,
        owner: Vec::new(),
        group: Vec::new(),
        modified: Timestamp::default(),
        xattrs: Xattrs::None,
        hard_link: None,
        kind,
    }
}

/// Writes a directory of numbered entries; `byte` says what is in each, or that it is not there.
fn write_directory(session: &WriteSession<'_>, count: u32, byte: impl Fn(u32) -> Option<u8>) -> DirectoryRoot {
    let mut writer = DirectoryWriter::new(session);
    for number in 0..count {
        if let Some(byte) = byte(number) {
            writer.push(format!("entry-{number:08}").as_bytes(), &node_of(byte), &Witness::None).unwrap();
        }
    }
    writer.finish().unwrap().0
}

#[test]
fn ten_changes_among_a_million_entries_cost_tens_of_pages() {
    const COUNT: u32 = 1_000_000;
    let repository = TestRepository::new();
    let counters = Default::default();
    let session = WriteSession::open(&repository.repository, &counters, "here", "test", now()).unwrap();
    let (removed, inserted) = ([0, 500_000, 500_001, COUNT - 1], [123_456, 777_777]);
    let changed = [1, 42, 250_000, 999_000];
    let before = write_directory(&session, COUNT, |number| (!inserted.contains(&number)).then_some(b'x'));
    let after = write_directory(&session, COUNT, |number| match number {
        _ if removed.contains(&number) => None,
        _ if changed.contains(&number) => Some(b'y'),
        _ => Some(b'x'),
    });
    session.abandon(now()).unwrap();
    let side = |root: &DirectoryRoot| Side::Snapshot {
        repository: &repository.repository,
        root: node(NodeKind::Directory(root.clone())),
        path: Vec::new(),
    };
    let compared = compare(&side(&before), &side(&after));
    let mut expected: Vec<(u32, String)> = Vec::new();
    expected.extend(removed.map(|number| (number, format!("*deleting   entry-{number:08}"))));
    expected.extend(inserted.map(|number| (number, format!(">f+++++++++ entry-{number:08}"))));
    expected.extend(changed.map(|number| (number, format!(">fc........ entry-{number:08}"))));
    expected.sort();
    assert_eq!(lines(&compared), expected.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
    let summary = compared.summary;
    assert!(summary.pages_read < 100, "{summary:?}");
    // Also beside one that differs, what is the same is not looked at.
    let looked_at = (removed.len() + changed.len()) as u64;
    assert_eq!(summary.entries_skipped, before.totals.descendants - looked_at);
    let equal = compare(&side(&before), &side(&before)).summary;
    assert_eq!((equal.pages_read, equal.pages_skipped, equal.entries_skipped), (0, 1, before.totals.descendants));
}

#[test]
fn every_way_to_differ_by_a_page_boundary() {
    let repository = TestRepository::new();
    let counters = Default::default();
    let session = WriteSession::open(&repository.repository, &counters, "here", "test", now()).unwrap();
    let mut random = Random::new(7);
    let mut cases = Vec::new();
    for _ in 0..60 {
        let count = *random.pick(&[1, 2, 100, 1000, 20_000]);
        // Whole runs go or come, so that trees of different heights and pages that do not line up are met.
        let mut states = [vec![true; count as usize], vec![true; count as usize]];
        for _ in 0..random.below(5) {
            let from = random.below(u64::from(count));
            let longest = *random.pick(&[1, 10, u64::from(count)]);
            let length = 1 + random.below(longest);
            let state = &mut states[random.below(2) as usize];
            (from..(from + length).min(u64::from(count))).for_each(|at| state[at as usize] = false);
        }
        let [before, after] = &states;
        let write =
            |state: &Vec<bool>| write_directory(&session, count, |number| state[number as usize].then_some(b'x'));
        cases.push((write(before), write(after), states.clone()));
    }
    session.abandon(now()).unwrap();
    for (before, after, [was, is]) in cases {
        let side = |root| Side::Snapshot {
            repository: &repository.repository,
            root: node(NodeKind::Directory(root)),
            path: Vec::new(),
        };
        let expected = was.iter().zip(&is).enumerate().filter_map(|(number, states)| match states {
            (true, false) => Some(format!("*deleting   entry-{number:08}")),
            (false, true) => Some(format!(">f+++++++++ entry-{number:08}")),
            _ => None,
        });
        assert_eq!(lines(&compare(&side(before), &side(after))), expected.collect::<Vec<_>>());
    }
}

/// Chunks of these bytes, as extents of the given lengths.
fn write_extents(session: &WriteSession<'_>, bytes: &[u8], lengths: &[usize], class: ChunkClass) -> Content {
    let mut lane = session.chunks().data_lane(None);
    let mut writer = ExtentWriter::new(session, class);
    let mut rest = bytes;
    for length in lengths.iter().cycle() {
        let (chunk, behind) = rest.split_at((*length).min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        let source = match chunk.iter().all(|byte| *byte == 0) && length % 2 == 0 {
            true => ExtentSource::Hole,
            false => ExtentSource::Chunk { id: put_chunk(&mut lane, chunk), offset: 0 },
        };
        writer.push(Extent { length: chunk.len() as u64, source }, &no_hints).unwrap();
        rest = behind;
    }
    writer.finish(&no_hints).unwrap()
}

#[test]
fn the_same_bytes_in_other_chunks_are_the_same() {
    let repository = TestRepository::new();
    let counters = Default::default();
    let session = WriteSession::open(&repository.repository, &counters, "here", "test", now()).unwrap();
    let mut bytes = support::noise(1, 300_000);
    bytes.extend([0; 50_000]);
    bytes.extend(support::noise(2, 100_000));
    let mut others = bytes.clone();
    others[449_999] ^= 1;
    let mut not_zero = bytes.clone();
    not_zero[320_000] = 1;
    let cuts: [&[usize]; 4] = [&[10_000], &[7_001, 13], &[100_000, 50_000], &[450_000]];
    let write = |bytes: &[u8]| cuts.map(|cut| write_extents(&session, bytes, cut, ChunkClass::Large));
    let (same, other, third) = (write(&bytes), write(&others), write(&not_zero));
    session.abandon(now()).unwrap();
    let trees = Trees::new();
    fs::write(trees.b().join("f"), &bytes).unwrap();
    set_modified(&trees.b().join("f"), 0, 0);
    fs::set_permissions(trees.b().join("f"), fs::Permissions::from_mode(0o755)).unwrap();
    let side = |content: &Content| Side::Snapshot {
        repository: &repository.repository,
        root: node(NodeKind::File { content: content.clone(), torn: false }),
        path: Vec::new(),
    };
    let options = DiffOptions { root_name: b"f".to_vec(), ..DiffOptions::default() };
    let live = Side::Live(trees.b().join("f"));
    for content in &same {
        for equal in &same {
            assert_eq!(lines(&compare_with(&side(content), &side(equal), &options)), [""; 0]);
        }
        for different in other.iter().chain(&third) {
            assert_eq!(lines(&compare_with(&side(content), &side(different), &options)), [">fc........ f"]);
            assert_eq!(lines(&compare_with(&side(different), &live, &options)), [">fc........ f"]);
        }
        assert_eq!(lines(&compare_with(&side(content), &live, &options)), [""; 0]);
    }
}

/// The repository opened once more, its index too, over a backend that counts.
fn open_counting(repository: &TestRepository) -> (Arc<FaultyBackend>, Repository) {
    let backend = Arc::new(FaultyBackend::recording(Arc::new(LocalBackend::new(repository.path("repo")))));
    let opened = support::repository::open(&repository.path(""), backend.clone(), Default::default()).unwrap();
    opened.chunks().unwrap();
    (backend, opened)
}

fn latest<'r>(repository: &'r Repository, source: &str) -> Side<'r> {
    let root = repository.find(source, now()).unwrap().manifest.root.clone();
    Side::Snapshot { repository, root, path: Vec::new() }
}

#[test]
fn only_what_differs_of_a_long_file_is_read() {
    let trees = Trees::new();
    let mut bytes = support::noise(1, 20 << 20);
    fs::write(trees.a().join("f"), &bytes).unwrap();
    bytes[15 << 20] ^= 1;
    fs::write(trees.b().join("f"), &bytes).unwrap();
    let repository = TestRepository::new();
    repository.ingest(&trees.a(), "a");
    repository.ingest(&trees.b(), "b");
    let (backend, opened) = open_counting(&repository);
    let (a, b) = (latest(&opened, "a"), latest(&opened, "b"));
    let before = backend.counts().get_range;
    let compared = compare(&a, &b);
    assert_eq!(compared.changes.iter().filter(|change| change.itemized.action == Action::Transfer).count(), 1);
    let read = backend.counts().get_range - before;
    assert!(read < 20, "{read} reads for one changed chunk of some 300");
}

#[test]
fn files_of_one_chunk_and_one_size_are_told_apart_unread() {
    let trees = Trees::new();
    for file in 0..50 {
        fs::write(trees.a().join(format!("f{file:02}")), support::noise(file, 3000)).unwrap();
        fs::write(trees.b().join(format!("f{file:02}")), support::noise(100 + file, 3000)).unwrap();
    }
    let repository = TestRepository::new();
    repository.ingest(&trees.a(), "a");
    repository.ingest(&trees.b(), "b");
    let (backend, opened) = open_counting(&repository);
    let (a, b) = (latest(&opened, "a"), latest(&opened, "b"));
    let before = backend.counts().get_range;
    let summary = compare(&a, &b).summary;
    assert_eq!((summary.changed, summary.pages_read), (50, 2));
    // Besides, the footer of each pack, which tells where its chunks lie.
    let reads = backend.counts().get_range - before;
    assert!(reads <= summary.pages_read + 2, "{reads} reads");
}

#[test]
fn a_terabyte_of_hole_takes_no_time() {
    let trees = Trees::made_by(
        "for t in A B; do truncate -s 1T $t/f; for at in 0 500000000000 1099511627770; do
             printf data | dd of=$t/f bs=1 seek=$at conv=notrunc status=none
         done; cp --sparse=always $t/f $t/g; done
         printf DATA | dd of=B/g bs=1 seek=700000000000 conv=notrunc status=none
         find A B -depth -exec touch --date=@100 {} +",
    );
    let repository = TestRepository::new();
    let (a, b) = (repository.ingest(&trees.a(), "a"), repository.ingest(&trees.b(), "b"));
    let (live_a, live_b) = (Side::Live(trees.a()), Side::Live(trees.b()));
    let (stored_a, stored_b) = (snapshot(&a), snapshot(&b));
    for (a, b) in [(&live_a, &live_b), (&stored_a, &stored_b), (&stored_a, &live_b), (&live_a, &stored_b)] {
        let compared = compare(a, b);
        assert_eq!(lines(&compared), [">fc........ g"]);
        assert!(compared.bytes_read < 10 << 20, "{} bytes read", compared.bytes_read);
    }
}

#[test]
fn deep_trees_need_few_open_directories() {
    const LEVELS: usize = 3000;
    let trees = Trees::made_by(&format!(
        "python3 -c '
import os
for tree in (\"A\", \"B\"):
    back = os.getcwd()
    os.chdir(tree)
    for level in range({LEVELS}):
        open(\"z\", \"w\").close()
        os.utime(\"z\", (level, level if tree == \"A\" or level % 1000 else 1))
        os.mkdir(\"d\")
        os.chdir(\"d\")
    os.chdir(back)
'"
    ));
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut most_open = 0;
    let mut changed = Vec::new();
    let monitor = Recorder::default();
    let (a, b) = (Side::Live(trees.a()), Side::Live(trees.b()));
    diff(&a, &b, &DiffOptions::default(), &monitor, &mut |change| {
        most_open = most_open.max(open_files());
        if change.after.as_ref().is_some_and(|after| after.size == 0 && change.itemized.letter == 'f') {
            changed.push(change.path.len());
        }
        Ok(())
    })
    .unwrap();
    assert!(monitor.problems.into_inner().unwrap().is_empty());
    // The way back up comes by each of them, the deepest first.
    assert_eq!(changed, [2 * 2000 + 1, 2 * 1000 + 1, 1]);
    assert!(most_open < 1000, "{most_open} files open");
    let mut found = 0;
    diff(&Side::Nothing, &b, &DiffOptions::default(), &Recorder::default(), &mut |_| {
        found += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(found, 1 + 2 * LEVELS);
    let removed = Command::new("rm").arg("-rf").arg(trees.a()).arg(trees.b()).status().unwrap();
    assert!(removed.success());
}

/// Runs `work` in a thread that is an ordinary user.
fn as_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn what_cannot_be_read_is_a_problem_and_never_a_deletion() {
    let trees = Trees::made_by(
        "mkdir {A,B}/{closed,open}; put x closed/f; put x open/f
         put secret f; echo x >A/g; setfattr -n trusted.t -v 1 A/open
         find A B -depth -exec touch --date=@100 {} +; chmod 000 B/closed B/f; chmod 755 . A B",
    );
    let repository = TestRepository::new();
    let a = repository.ingest(&trees.a(), "a");
    let (a, b) = (snapshot(&a), Side::Live(trees.b()));
    let compared = as_user(12_345, || compare(&a, &b));
    let printed: Vec<_> = compared.changes.iter().map(|change| shown(&change.rsync_line())).collect();
    assert_eq!(printed, [".d...p..... closed/", ".f...p..... f", "*deleting   g"]);
    let told: Vec<_> = compared.problems.iter().map(|problem| problem.split(" (").next().unwrap()).collect();
    let expected =
        ["closed: cannot open the directory: Permission denied", "f: cannot open the file: Permission denied"];
    assert_eq!(told, expected);
    assert_eq!((compared.summary.problems, compared.summary.damaged), (2, 0));
}

#[test]
fn damage_is_told_by_path_and_the_rest_is_compared() {
    let trees =
        Trees::made_by("mkdir A/d; head -c 100000 /dev/zero | tr '\\0' x >A/d/f; echo x >A/z; at 100 A/d/f A/d A/z A");
    let repository = TestRepository::new();
    let a = repository.ingest(&trees.a(), "a");
    let mut root = a.snapshot.manifest.root.clone();
    // A directory whose page no pack holds.
    let page = RootPage::Stored(yesterfs::id::ChunkId([7; 32]));
    let lost = DirectoryRoot { page: Some(page), totals: root.directory().unwrap().totals };
    let counters = Default::default();
    let session = WriteSession::open(&repository.repository, &counters, "here", "test", now()).unwrap();
    let mut writer = DirectoryWriter::new(&session);
    writer.push(b"d", &node(NodeKind::Directory(lost)), &Witness::None).unwrap();
    let (directory, _) = writer.finish().unwrap();
    session.abandon(now()).unwrap();
    root.kind = NodeKind::Directory(directory);
    let damaged = Side::Snapshot { repository: &repository.repository, root, path: Vec::new() };
    let compared = compare(&snapshot(&a), &damaged);
    let printed: Vec<_> = compared.changes.iter().map(|change| shown(&change.rsync_line())).collect();
    assert_eq!(printed, [".d..t...... d/", "*deleting   z"]);
    assert_eq!((compared.summary.problems, compared.summary.damaged), (1, 1));
    assert!(compared.problems[0].starts_with("d: chunk 0707"), "{:?}", compared.problems);
}

#[test]
fn the_repository_inside_of_a_live_side_is_passed_over() {
    use std::os::unix::fs::MetadataExt;
    let trees = Trees::made_by("mkdir -p B/repo/packs; at 100 A B");
    let metadata = fs::metadata(trees.b().join("repo")).unwrap();
    let options = DiffOptions { own_directory: Some((metadata.dev(), metadata.ino())), ..DiffOptions::default() };
    let (a, b) = (Side::Live(trees.a()), Side::Live(trees.b()));
    assert_eq!(lines(&compare_with(&a, &b, &options)), [""; 0]);
    assert_eq!(lines(&compare(&a, &b)).len(), 2);
}

#[test]
fn it_stops_when_asked_to_and_when_nobody_listens() {
    let trees = Trees::made_by("echo x >B/f");
    let (a, b) = (Side::Live(trees.a()), Side::Live(trees.b()));
    let monitor = Recorder::default();
    monitor.cancelled.store(true, Ordering::Relaxed);
    let stopped = diff(&a, &b, &DiffOptions::default(), &monitor, &mut |_| Ok(()));
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let deaf = diff(&a, &b, &DiffOptions::default(), &Recorder::default(), &mut |change| {
        Err(Error::invalid("change", String::from_utf8_lossy(&rsync_name(&change.path)), "nobody listens"))
    });
    assert!(matches!(deaf, Err(Error::Invalid { .. })), "{deaf:?}");
}
