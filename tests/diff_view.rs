//! What a mount shows in `diff/A..B` is what `diff` prints, asked of the view without the kernel. `tests/diff_mounted.rs`
//! asks a real mount.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use support::random_tree::Random;
use support::repository::{TestRepository, commit, now};
use support::stored::{no_hints, put_chunk};
use yesterfs::diff::{Action, DiffOptions, Side, diff};
use yesterfs::error::Error;
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::repository::content::{ChunkClass, Extent, ExtentSource};
use yesterfs::repository::content_writer::ExtentWriter;
use yesterfs::repository::node::{Node, NodeKind, RootPage, Xattr, Xattrs};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::repository::tree::{DirectoryWriter, Witness};
use yesterfs::view::{Attributes, EntryKind, Listed, Lookup, Owner, View};

const ROOT: u64 = 1;
const PARTS: [&str; 3] = ["added", "changed", "removed"];

fn view_of(place: &TestRepository) -> View {
    let owner = Owner { uid: 7, gid: 8 };
    View::new(Arc::new(place.reopen().unwrap()), owner, Box::new(now)).unwrap()
}

/// What a path leads to, from the mount's root.
fn find(view: &View, path: &str) -> Option<Attributes> {
    walk_to(view, ROOT, path.as_bytes())
}

/// All entries of a directory but the dots, listed in pieces of `piece` entries.
fn list(view: &View, directory: u64, piece: usize) -> Vec<Listed> {
    let mut listed: Vec<Listed> = Vec::new();
    loop {
        let offset = listed.last().map_or(0, |last| last.next);
        let before = listed.len();
        view.list(directory, offset, &mut |entry| {
            let full = listed.len() - before == piece;
            if !full {
                listed.push(entry);
            }
            !full
        })
        .unwrap();
        if listed.len() == before {
            return listed.split_off(2.min(before));
        }
    }
}

/// Path, and whether it is a directory, of everything below a directory.
fn everything_below(view: &View, directory: u64, piece: usize) -> BTreeSet<(Vec<u8>, bool)> {
    let mut found = BTreeSet::new();
    let mut open = vec![(Vec::new(), directory)];
    while let Some((path, ino)) = open.pop() {
        for entry in list(view, ino, piece) {
            assert_eq!(view.lookup(ino, &entry.name).unwrap(), Lookup::Found(entry.attributes));
            assert_eq!(view.attributes(entry.attributes.ino).unwrap(), entry.attributes);
            let is_directory = entry.attributes.kind == EntryKind::Directory;
            let below = join(&path, &entry.name);
            if is_directory {
                let Lookup::Found(parent) = view.lookup(entry.attributes.ino, b"..").unwrap() else { panic!("no ..") };
                assert_eq!(parent.ino, ino, "{}", below.escape_ascii());
                open.push((below.clone(), entry.attributes.ino));
            }
            assert!(found.insert((below.clone(), is_directory)), "{} is listed twice", below.escape_ascii());
        }
    }
    found
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The paths that `diff` prints, by the part of `diff/A..B` that shows them; the compared root itself is none of them.
fn printed(repository: &Repository, a: &Snapshot, b: &Snapshot) -> [BTreeSet<Vec<u8>>; 3] {
    let side = |snapshot: &Snapshot| Side::Snapshot { repository, root: snapshot.manifest.root.clone(), path: vec![] };
    let mut parts: [BTreeSet<Vec<u8>>; 3] = Default::default();
    let monitor = Recorder::default();
    diff(&side(a), &side(b), &DiffOptions::default(), &monitor, &mut |change| {
        let [added, changed, removed] = &mut parts;
        match change.itemized.action {
            _ if change.path.is_empty() => {}
            Action::Delete => drop(removed.insert(change.path)),
            Action::Create => {
                if change.before.is_some() {
                    removed.insert(change.path.clone());
                }
                added.insert(change.path);
            }
            Action::Transfer | Action::Remake | Action::Adjust => drop(changed.insert(change.path)),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(monitor.problems.into_inner().unwrap(), []);
    parts
}

/// `diff/A..B` shows what is printed and the directories that lead there, and finds nothing else.
#[track_caller]
fn assert_shown_as_printed(view: &View, a: &Snapshot, b: &Snapshot, piece: usize) {
    let top = find(view, &format!("diff/{}..{}", a.id, b.id)).unwrap();
    let names: Vec<Vec<u8>> = list(view, top.ino, piece).into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, PARTS.map(|part| part.as_bytes().to_vec()));
    for (part, printed) in PARTS.into_iter().zip(printed(view.repository(), a, b)) {
        let Lookup::Found(directory) = view.lookup(top.ino, part.as_bytes()).unwrap() else { panic!("no {part}") };
        let shown = everything_below(view, directory.ino, piece);
        let leading: BTreeSet<Vec<u8>> = printed.iter().flat_map(|path| directories_above(path)).collect();
        let paths: BTreeSet<Vec<u8>> = shown.iter().map(|(path, _)| path.clone()).collect();
        let expected: BTreeSet<Vec<u8>> = printed.union(&leading).cloned().collect();
        let words = |paths: &BTreeSet<Vec<u8>>, others: &BTreeSet<Vec<u8>>| -> Vec<String> {
            paths.difference(others).map(|path| path.escape_ascii().to_string()).collect()
        };
        let (missing, unexpected) = (words(&expected, &paths), words(&paths, &expected));
        assert!(
            missing.is_empty() && unexpected.is_empty(),
            "{part}: {missing:?} not shown, {unexpected:?} not printed"
        );
        assert!(shown.iter().all(|(path, is_directory)| *is_directory || printed.contains(path)));
        assert_as_in_snapshot(view, if part == "removed" { a } else { b }, directory.ino, &shown);
        for snapshot in [a, b] {
            assert_nothing_else_is_found(view, snapshot, directory.ino, &paths);
        }
    }
}

fn directories_above(path: &[u8]) -> Vec<Vec<u8>> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.map(|end| path[..end].to_vec()).collect()
}

fn walk_to(view: &View, from: u64, path: &[u8]) -> Option<Attributes> {
    let mut at = view.attributes(from).unwrap();
    for name in path.split(|byte| *byte == b'/') {
        if at.kind != EntryKind::Directory {
            return None;
        }
        match view.lookup(at.ino, name).unwrap() {
            Lookup::Found(attributes) => at = attributes,
            Lookup::Absent { .. } => return None,
        }
    }
    Some(at)
}

/// Files are the very inodes of the snapshot; directories have its metadata and attributes.
fn assert_as_in_snapshot(view: &View, snapshot: &Snapshot, directory: u64, shown: &BTreeSet<(Vec<u8>, bool)>) {
    let root = find(view, &format!("snapshots/{}/{}", snapshot.manifest.source, snapshot.manifest.name)).unwrap().ino;
    for (path, is_directory) in shown {
        let (here, there) = (walk_to(view, directory, path).unwrap(), walk_to(view, root, path).unwrap());
        let names = |ino| view.xattr_names(ino).unwrap();
        assert_eq!(names(here.ino), names(there.ino), "{}", path.escape_ascii());
        match is_directory {
            true => {
                assert_ne!(here.ino, there.ino);
                assert_eq!(here, Attributes { ino: here.ino, link_count: 1, ..there }, "{}", path.escape_ascii());
            }
            false => assert_eq!(here, there, "{}", path.escape_ascii()),
        }
    }
}

/// Names of a snapshot that a listing does not show are not there when they are asked for.
fn assert_nothing_else_is_found(view: &View, snapshot: &Snapshot, directory: u64, shown: &BTreeSet<Vec<u8>>) {
    support::stored::visit(view.repository(), snapshot, |path, _| {
        if !path.is_empty() {
            assert_eq!(walk_to(view, directory, path).is_some(), shown.contains(path), "{}", path.escape_ascii());
        }
    })
    .unwrap();
}

#[test]
fn random_trees_are_shown_as_they_are_printed() {
    for seed in 1..=45 {
        println!("seed {seed}");
        let place = TestRepository::new();
        let (a, b) = (place.path("a"), place.path("b"));
        fs::create_dir(&a).unwrap();
        let mut random = if seed % 3 == 0 { Random::new(seed) } else { Random::with_links(seed) };
        for _ in 0..random.below(70) {
            random.make_entry(&a);
        }
        run(Command::new("cp").arg("-a").args([&a, &b]));
        for _ in 0..random.below(30) {
            random.change_something(&b);
        }
        random.set_times(&a, 1);
        random.set_times(&b, 8);
        place.ingest(&a, "a");
        place.ingest(&b, "b");
        let view = view_of(&place);
        let (old, new) = (latest(&view, "a"), latest(&view, "b"));
        let piece = *random.pick(&[1, 2, 7, 1000]);
        assert_shown_as_printed(&view, &old, &new, piece);
        assert_shown_as_printed(&view, &new, &old, piece);
        assert_shown_as_printed(&view, &new, &new, piece);
    }
}

fn latest(view: &View, source: &str) -> Arc<Snapshot> {
    view.repository().find(source, now()).unwrap()
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Ingests what `script` makes of the empty directories `a` and `b`.
fn made_by(script: &str) -> (TestRepository, View) {
    let place = TestRepository::new();
    for name in ["a", "b"] {
        fs::create_dir(place.path(name)).unwrap();
    }
    run(Command::new("bash").args(["-euc", script]).current_dir(place.path("")));
    for name in ["a", "b"] {
        place.ingest(&place.path(name), name);
    }
    let view = view_of(&place);
    (place, view)
}

/// Paths below one part of `diff/a..b`.
fn shown(view: &View, part: &str) -> Vec<String> {
    let directory = find(view, &format!("diff/a..b/{part}")).unwrap();
    everything_below(view, directory.ino, 3).into_iter().map(|(path, _)| String::from_utf8(path).unwrap()).collect()
}

#[test]
fn what_is_stored_otherwise_but_the_same_is_not_shown() {
    let (_place, view) = made_by(
        "for t in a b; do
             echo x >$t/linked; ln -s target $t/link; echo x >$t/acl; truncate -s 100000 $t/hole; mkdir $t/d
         done
         # Another number of names; a hole that is written; an ACL that says what the mode says.
         ln b/linked outside; head -c 100000 /dev/zero >b/hole
         setfacl -m u:5:r a/acl; setfacl -b a/acl
         find a b -depth -exec touch --no-dereference --date=@100 {} +",
    );
    for part in PARTS {
        assert_eq!(shown(&view, part), [""; 0], "{part}");
    }
    assert_shown_as_printed(&view, &latest(&view, "a"), &latest(&view, "b"), 5);
}

#[test]
fn types_are_those_that_diff_tells_apart() {
    let (_place, view) = made_by(
        "mkfifo a/pipe-socket; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"b/pipe-socket\")'
         mknod a/device c 1 3; mknod b/device b 7 1
         mkdir -p a/directory-file/below; echo x >a/directory-file/below/file; echo x >b/directory-file
         find a b -depth -exec touch --no-dereference --date=@100 {} +",
    );
    assert_eq!(shown(&view, "changed"), ["device", "pipe-socket"]);
    assert_eq!(shown(&view, "added"), ["directory-file"]);
    let removed = ["directory-file", "directory-file/below", "directory-file/below/file"];
    assert_eq!(shown(&view, "removed"), removed);
    assert_shown_as_printed(&view, &latest(&view, "a"), &latest(&view, "b"), 5);
}

#[test]
fn hard_links_follow_the_documented_rule() {
    let (_place, view) = made_by(
        "for t in a b; do
             mkdir $t/d; for name in became-one/1 became-one/2 became-two/1 stayed/1 moved/1 moved/2; do
                 mkdir -p $t/${name%/*}; echo x >$t/$name
             done
             ln $t/stayed/1 $t/stayed/2
         done
         ln -f b/became-one/1 b/became-one/2; ln a/became-two/1 a/became-two/2; echo x >b/became-two/2
         # Named by another file before.
         ln a/moved/2 a/moved/3; ln b/moved/1 b/moved/3
         find a b -depth -exec touch --no-dereference --date=@100 {} +",
    );
    assert_eq!(shown(&view, "changed"), ["became-one", "became-one/2", "moved", "moved/3"]);
    assert_shown_as_printed(&view, &latest(&view, "a"), &latest(&view, "b"), 5);
    assert_shown_as_printed(&view, &latest(&view, "b"), &latest(&view, "a"), 5);
}

fn file_in(session: &WriteSession<'_>, like: &Node, bytes: &[u8], cut: usize) -> Node {
    let mut lane = session.chunks().data_lane(None);
    let mut writer = ExtentWriter::new(session, ChunkClass::Large);
    for chunk in bytes.chunks(cut) {
        let source = ExtentSource::Chunk { id: put_chunk(&mut lane, chunk), offset: 0 };
        writer.push(Extent { length: chunk.len() as u64, source }, &no_hints).unwrap();
    }
    let kind = NodeKind::File { content: writer.finish(&no_hints).unwrap(), torn: false };
    Node { xattrs: Default::default(), hard_link: None, kind, ..like.clone() }
}

fn empty_snapshot(place: &TestRepository) -> Arc<Snapshot> {
    fs::create_dir(place.path("empty")).unwrap();
    place.ingest(&place.path("empty"), "lake").snapshot
}

#[test]
fn the_same_bytes_in_other_chunks_are_not_shown() {
    let place = TestRepository::new();
    let like = empty_snapshot(&place);
    let bytes = support::noise(1, 300_000);
    let mut others = bytes.clone();
    others[299_999] ^= 1;
    let write = |cut: usize, bytes: &[u8]| {
        commit(&place.repository, &like, |session| {
            vec![(b"file".to_vec(), file_in(session, &like.manifest.root, bytes, cut))]
        })
    };
    let (a, b, c) = (write(10_000, &bytes), write(70_000, &bytes), write(70_000, &others));
    let view = view_of(&place);
    for (a, b, expected) in [(&a, &b, false), (&b, &a, false), (&a, &c, true), (&b, &c, true)] {
        let found = find(&view, &format!("diff/{}..{}/changed/file", a.id, b.id));
        assert_eq!(found.is_some(), expected);
        assert_shown_as_printed(&view, a, b, 1);
    }
}

#[test]
fn metadata_that_does_not_count_is_not_shown() {
    type Change<'c> = &'c dyn Fn(&mut Node);
    let place = TestRepository::new();
    let like = empty_snapshot(&place);
    let write = |change: Change, link_permissions: u16| {
        commit(&place.repository, &like, |session| {
            let mut file = file_in(session, &like.manifest.root, b"text", 100);
            change(&mut file);
            let target = NodeKind::Symlink { target: b"target".to_vec() };
            let link = Node { permissions: link_permissions, kind: target, ..like.manifest.root.clone() };
            vec![(b"file".to_vec(), file), (b"link".to_vec(), link)]
        })
    };
    let plain = write(&|_| {}, 0o777);
    // No kernel stores an ACL that says what the mode says; elsewhere they may.
    let minimal = |node: &mut Node| {
        let mut value = vec![2, 0, 0, 0];
        for (tag, shift) in [(1u16, 6), (4, 3), (0x20, 0)] {
            value.extend(tag.to_le_bytes());
            value.extend((node.permissions >> shift & 7).to_le_bytes());
            value.extend(u32::MAX.to_le_bytes());
        }
        node.xattrs = Xattrs::Inline(vec![Xattr { name: b"system.posix_acl_access".to_vec(), value }]);
    };
    let other_owner_name = |node: &mut Node| node.owner = b"somebody".to_vec();
    let other_system = |node: &mut Node| {
        node.xattrs = Xattrs::Inline(vec![Xattr { name: b"system.other".to_vec(), value: b"1".to_vec() }]);
    };
    let user = |node: &mut Node| {
        node.xattrs = Xattrs::Inline(vec![Xattr { name: b"user.u".to_vec(), value: b"1".to_vec() }]);
    };
    let cases: [(Change, u16, bool); 5] = [
        (&minimal, 0o777, false),
        (&other_owner_name, 0o777, false),
        (&other_system, 0o777, false),
        (&|_| {}, 0o700, false),
        (&user, 0o777, true),
    ];
    let others: Vec<_> = cases.iter().map(|(change, permissions, _)| write(*change, *permissions)).collect();
    let view = view_of(&place);
    for (other, (_, _, counts)) in others.iter().zip(cases) {
        let changed = find(&view, &format!("diff/{}..{}/changed", plain.id, other.id)).unwrap();
        assert_eq!(list(&view, changed.ino, 10).len(), usize::from(counts));
        assert_shown_as_printed(&view, &plain, other, 1);
    }
}

#[test]
fn what_cannot_be_compared_is_shown_and_the_rest_stays_right() {
    let place = TestRepository::new();
    let like = empty_snapshot(&place);
    let lost = yesterfs::id::ChunkId([7; 32]);
    let small = |session: &WriteSession<'_>, text: &str| file_in(session, &like.manifest.root, text.as_bytes(), 100);
    let lost_file = |session: &WriteSession<'_>| {
        let mut writer = ExtentWriter::new(session, ChunkClass::Large);
        writer.push(Extent { length: 3, source: ExtentSource::Chunk { id: lost, offset: 0 } }, &no_hints).unwrap();
        let kind = NodeKind::File { content: writer.finish(&no_hints).unwrap(), torn: false };
        Node { kind, ..small(session, "x") }
    };
    let directory = |session: &WriteSession<'_>, name: &[u8]| {
        let mut writer = DirectoryWriter::new(session);
        writer.push(name, &small(session, "x"), &Witness::None).unwrap();
        Node { kind: NodeKind::Directory(writer.finish().unwrap().0), ..like.manifest.root.clone() }
    };
    let lost_directory = |session: &WriteSession<'_>| {
        let mut node = directory(session, b"same");
        if let NodeKind::Directory(root) = &mut node.kind {
            root.page = Some(RootPage::Stored(lost));
        }
        node
    };
    let a = commit(&place.repository, &like, |session| {
        vec![
            (b"directory".to_vec(), directory(session, b"same")),
            (b"file".to_vec(), small(session, "abc")),
            (b"same".to_vec(), small(session, "same")),
        ]
    });
    let b = commit(&place.repository, &like, |session| {
        vec![
            (b"directory".to_vec(), lost_directory(session)),
            (b"file".to_vec(), lost_file(session)),
            (b"same".to_vec(), small(session, "same")),
        ]
    });
    let view = view_of(&place);
    let names = |part: &str| -> Vec<String> {
        let part = find(&view, &format!("diff/{}..{}/{part}", a.id, b.id)).unwrap();
        list(&view, part.ino, 10).into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
    };
    // Nobody knows what was in the lost directory, so it may lead anywhere.
    assert_eq!([names("added"), names("removed")], [["directory"], ["directory"]]);
    assert_eq!(names("changed"), ["directory", "file"]);
    let inside = find(&view, &format!("diff/{}..{}/added/directory", a.id, b.id)).unwrap();
    let listed = view.list(inside.ino, 2, &mut |_| true);
    assert!(matches!(listed, Err(Error::ChunkMissing { .. })), "{listed:?}");
}

#[test]
fn a_pair_that_fell_out_is_stale_by_number_and_found_again_by_name() {
    let (place, view) = made_by("mkdir -p b/new/below; echo x >b/new/below/file");
    let wanted = "diff/a..b/added/new/below";
    let first = find(&view, wanted).unwrap();
    assert_eq!(find(&view, wanted).unwrap().ino, first.ino);
    // Each name of a pair is a directory of its own.
    let a = latest(&view, "a");
    let others: BTreeSet<u64> = (0..5000u64)
        .map(|number| {
            let name = format!("a..b@30{:02}-01-01T{:02}:{:02}:00Z", number / 1440, number / 60 % 24, number % 60);
            find(&view, &format!("diff/{name}")).unwrap().ino
        })
        .collect();
    assert_eq!(others.len(), 5000);
    assert!(!others.contains(&first.ino));
    assert!(matches!(view.attributes(first.ino), Err(Error::Stale { .. })));
    assert!(matches!(view.lookup(first.ino, b"file"), Err(Error::Stale { .. })));
    let again = find(&view, wanted).unwrap();
    assert_ne!(again.ino, first.ino);
    assert!(matches!(view.lookup(again.ino, b"file").unwrap(), Lookup::Found(_)));
    // So is one of whose snapshots one was forgotten.
    place.repository.forget(&[a.id], "test", now()).unwrap();
    view.refresh().unwrap();
    assert!(matches!(view.attributes(again.ino), Err(Error::Stale { .. })));
    assert_eq!(find(&view, "diff/a..b"), None);
}

#[test]
fn numbers_that_were_never_given_are_stale() {
    let (_place, view) = made_by("mkdir b/d; echo x >b/d/file; echo x >b/e");
    let directory = find(&view, "diff/a..b/added/d").unwrap().ino;
    // Of a file, of nothing, of another pair, and of another part.
    for ino in [directory + 1, directory + 1000, directory | 1 << 60, directory ^ 1 << 39] {
        assert!(matches!(view.attributes(ino), Err(Error::Stale { .. })), "{ino:x}");
    }
}

#[test]
fn every_way_to_differ_by_a_page_boundary_wherever_a_listing_goes_on() {
    let place = TestRepository::new();
    let like = empty_snapshot(&place);
    let mut random = Random::new(3);
    for _ in 0..12 {
        let count = *random.pick(&[2, 300, 3000]);
        let mut states = [vec![Some(b'x'); count], vec![Some(b'x'); count]];
        for _ in 0..random.below(6) {
            let from = random.below(count as u64) as usize;
            let longest = *random.pick(&[1, 10, count as u64]);
            let length = 1 + random.below(longest) as usize;
            let change = *random.pick(&[None, Some(b'y')]);
            let state = &mut states[random.below(2) as usize];
            state[from..(from + length).min(count)].fill(change);
        }
        let [a, b] = states.map(|state| {
            commit(&place.repository, &like, |session| {
                let entries = state.iter().enumerate().filter_map(|(number, byte)| Some((number, (*byte)?)));
                let file = |byte| file_in(session, &like.manifest.root, &[byte], 1);
                let (x, y) = (file(b'x'), file(b'y'));
                let node = |byte| if byte == b'x' { x.clone() } else { y.clone() };
                entries.map(|(number, byte)| (format!("entry-{number:08}").into_bytes(), node(byte))).collect()
            })
        });
        let view = view_of(&place);
        let piece = *random.pick(&[1, 13, 128, 1000]);
        assert_shown_as_printed(&view, &a, &b, piece);
    }
}
