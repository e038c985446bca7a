//! A million files through the mount, and beside it the same on the disk: walking, comparing, asking for attributes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::fs::XattrFlags;

use crate::support::{Daemon, Noise, Size, Taken, Workplace, drain, drop_caches, print_heading, report};

const DIRECTORIES: u64 = 1000;
const FILES_A_DIRECTORY: u64 = 1000;
const MILLION: Size = Size::Entries(DIRECTORIES * (FILES_A_DIRECTORY + 1));
const LENGTH_MAX_BYTES: u64 = 2000;

const MARKED_DIRECTORIES: u64 = 100;
const MARKED: Size = Size::Entries(MARKED_DIRECTORIES * (FILES_A_DIRECTORY + 1));

/// "user:1:r--" beside the usual entries, as the kernel takes it: version, then tag, permissions and id of each.
const ACL: [(u16, u16, u32); 5] = [(1, 6, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 4, u32::MAX)];
const ACL_VERSION: u32 = 2;

pub fn run(workplace: &Workplace) {
    let (tree, copy) = (workplace.path("tree"), workplace.path("copy"));
    make_files(&tree, DIRECTORIES, |_| ());
    copy_tree(&tree, &copy);
    workplace.ingest(&tree, "tree");
    print_heading();
    for (step, options) in [("find", &[][..]), ("find -printf", &["-printf", "%p %s %m %T@\\n"])] {
        twice(workplace, "tree", &tree, step, MILLION, &|root| {
            let words: Vec<&OsStr> = std::iter::once(root.as_os_str()).chain(options.iter().map(OsStr::new)).collect();
            drain("find", &words);
        });
    }
    // The mount against the copy, then the tree itself against the copy.
    twice(workplace, "tree", &tree, "rsync -n -a", MILLION, &|root| {
        let from = root.join("");
        assert_eq!(drain("rsync", &["-n".as_ref(), "-ai".as_ref(), from.as_os_str(), copy.as_os_str()]), 0);
    });
    marked(workplace);
}

/// Extended attributes and ACLs make every program ask about every file.
fn marked(workplace: &Workplace) {
    let tree = workplace.path("marked");
    make_files(&tree, MARKED_DIRECTORIES, |path| {
        rustix::fs::setxattr(path, "user.origin", path.as_os_str().as_bytes(), XattrFlags::empty()).expect("an xattr");
        rustix::fs::setxattr(path, "system.posix_acl_access", &acl(), XattrFlags::empty()).expect("an ACL");
    });
    workplace.ingest(&tree, "marked");
    twice(workplace, "marked", &tree, "ls -lR, xattrs and ACLs", MARKED, &|root| {
        drain("ls", &["-lR".as_ref(), root.as_os_str()]);
    });
}

/// Runs a program on a source's newest snapshot and on what was ingested, cold and again.
fn twice(workplace: &Workplace, source: &str, native: &Path, step: &str, size: Size, program: &dyn Fn(&Path)) {
    let daemon = workplace.mount("mnt");
    let root = daemon.latest(source);
    for (place, daemon, root) in [("mount", Some(&daemon), &*root), ("disk", None, native)] {
        drop_caches();
        for temperature in ["cold", "again"] {
            let started = Instant::now();
            program(root);
            let taken = Taken { seconds: started.elapsed().as_secs_f64(), ..Taken::default() };
            let taken = daemon.map_or(taken, |daemon: &Daemon| daemon.taken(started.elapsed()));
            report(&format!("{place}: {step}, {temperature}"), size, &taken);
            if let Some(daemon) = daemon {
                println!("    {}", daemon.requests());
            }
        }
    }
    daemon.stop();
}

/// Files that are all hole, so that only their entries cost.
fn make_files(tree: &Path, directories: u64, mark: impl Fn(&Path)) {
    let mut noise = Noise(7);
    for directory in 0..directories {
        let directory = tree.join(format!("d{directory:04}"));
        fs::create_dir_all(&directory).expect("a directory of the tree");
        for number in 0..FILES_A_DIRECTORY {
            let path = directory.join(format!("file-{number:06}"));
            let length = noise.next() % LENGTH_MAX_BYTES;
            File::create(&path).and_then(|file| file.set_len(length)).expect("a file of the tree");
            mark(&path);
        }
    }
}

fn copy_tree(tree: &Path, copy: &Path) {
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).args([tree, copy]).status();
    assert!(copied.expect("cp").success());
}

fn acl() -> Vec<u8> {
    let entries = ACL.iter().flat_map(|(tag, permissions, id)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    ACL_VERSION.to_le_bytes().into_iter().chain(entries).collect()
}
