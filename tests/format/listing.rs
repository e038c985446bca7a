//! What a tree is, entry by entry, as text: taken from a live directory, from the library and from the reader of this
//! test, so that the three can be compared, and kept in a file for the fixtures.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use rustix::fs::SeekFrom;
use yesterfs::repository::Repository;
use yesterfs::repository::content::ExtentSource;
use yesterfs::repository::node::{Node, NodeKind};
use yesterfs::repository::snapshot::Snapshot;

use crate::reader::{hash, hex};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub letter: char,
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub owner: Vec<u8>,
    pub group: Vec<u8>,
    pub modified: (i64, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub first_path: Option<Vec<u8>>,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Nothing,
    File { size: u64, hash: String, runs: Runs },
    Target(Vec<u8>),
    Device(u32, u32),
}

/// Where a file has data: begin and end of each run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs(Vec<(u64, u64)>);

impl Runs {
    pub fn of(start: u64, length: u64) -> Runs {
        let mut runs = Runs::default();
        runs.add(start, length);
        runs
    }

    /// Adds the next run; one that begins where the last one ends makes that longer.
    pub fn add(&mut self, start: u64, length: u64) {
        match self.0.last_mut() {
            Some(last) if last.1 == start => last.1 += length,
            _ if length > 0 => self.0.push((start, start + length)),
            _ => {}
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04o} {}:{} ", self.letter, self.permissions, self.uid, self.gid)?;
        write!(f, "{}:{} ", self.owner.escape_ascii(), self.group.escape_ascii())?;
        write!(f, "{}.{:09}", self.modified.0, self.modified.1)?;
        match &self.body {
            Body::Nothing => {}
            Body::File { size, hash, runs } => write!(f, " size={size} data={:?} blake3={hash}", runs.0)?,
            Body::Target(target) => write!(f, " -> {}", target.escape_ascii())?,
            Body::Device(major, minor) => write!(f, " {major},{minor}")?,
        }
        for (name, value) in &self.xattrs {
            write!(f, " {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        match &self.first_path {
            Some(path) => write!(f, " link={}", path.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// A tree as text, a line for each entry, in order of paths.
pub fn text_of(lines: &BTreeMap<Vec<u8>, Line>) -> String {
    let mut text = String::new();
    for (path, line) in lines {
        writeln!(text, "/{}: {line}", path.escape_ascii()).unwrap();
    }
    text
}

/// Compares two trees; the message shows only lines that differ.
#[track_caller]
pub fn assert_same(left: &str, right: &str, what: &str) {
    let only = |here: &str, there: &str| {
        let there: Vec<&str> = there.lines().collect();
        here.lines().filter(|line| !there.contains(line)).take(10).map(|line| format!("  {line}\n")).collect::<String>()
    };
    assert!(left == right, "{what}\nleft:\n{}right:\n{}", only(left, right), only(right, left));
}

/// A live directory, as the operating system tells it.
pub fn of_directory(root: &Path) -> BTreeMap<Vec<u8>, Line> {
    let mut walk = Walk::default();
    walk.visit(root, Vec::new());
    walk.lines
}

#[derive(Default)]
struct Walk {
    lines: BTreeMap<Vec<u8>, Line>,
    /// By inode: the tree lies on one file system.
    first_paths: HashMap<u64, Vec<u8>>,
    names: HashMap<(&'static str, u32), Vec<u8>>,
}

impl Walk {
    fn visit(&mut self, at: &Path, path: Vec<u8>) {
        let metadata = fs::symlink_metadata(at).unwrap();
        let kind = metadata.file_type();
        let (letter, body) = match () {
            () if kind.is_file() => ('f', of_file(at, &metadata)),
            () if kind.is_dir() => ('d', Body::Nothing),
            () if kind.is_symlink() => ('l', Body::Target(fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec())),
            () if kind.is_fifo() => ('p', Body::Nothing),
            () if kind.is_socket() => ('s', Body::Nothing),
            () => panic!("{} is a device", at.display()),
        };
        let is_linked = metadata.nlink() > 1 && !kind.is_dir();
        let line = Line {
            letter,
            permissions: (metadata.mode() & 0o7777) as u16,
            uid: metadata.uid(),
            gid: metadata.gid(),
            owner: self.name_of("passwd", metadata.uid()),
            group: self.name_of("group", metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
            xattrs: xattrs_of(at),
            first_path: is_linked.then(|| self.first_paths.entry(metadata.ino()).or_insert(path.clone()).clone()),
            body,
        };
        self.lines.insert(path.clone(), line);
        if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            for name in names {
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                self.visit(&at.join(&name), [&path, separator, name.as_bytes()].concat());
            }
        }
    }

    /// The name that the system's database has for an id; empty where it has none.
    fn name_of(&mut self, database: &'static str, id: u32) -> Vec<u8> {
        let ask = || {
            let output = Command::new("getent").args([database, &id.to_string()]).output().unwrap();
            output.stdout.split(|&byte| byte == b':').next().unwrap().to_vec()
        };
        self.names.entry((database, id)).or_insert_with(ask).clone()
    }
}

fn of_file(at: &Path, metadata: &fs::Metadata) -> Body {
    let size = metadata.len();
    let mut runs = Runs::default();
    if metadata.blocks() * 512 >= size {
        runs.add(0, size);
    } else {
        let file = File::open(at).unwrap();
        let mut end = 0;
        while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(end)) {
            end = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap();
            runs.add(start, end - start);
        }
    }
    Body::File { size, hash: hex(&hash(&fs::read(at).unwrap())), runs }
}

fn xattrs_of(at: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(at, &mut names[..]).unwrap();
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut list: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(at, OsStr::from_bytes(name), &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect();
    list.sort();
    list
}

/// A snapshot, as the library reads it.
pub fn of_library(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Line> {
    let mut lines = BTreeMap::new();
    of_node(repository, Vec::new(), &snapshot.manifest.root, &mut lines);
    lines
}

fn of_node(repository: &Repository, path: Vec<u8>, node: &Node, lines: &mut BTreeMap<Vec<u8>, Line>) {
    let tree = repository.tree().unwrap();
    let body = match &node.kind {
        NodeKind::File { content, .. } => {
            let contents = repository.contents().unwrap();
            let mut bytes = Vec::new();
            contents.read(content, 0, usize::MAX, &mut bytes).unwrap();
            let mut runs = Runs::default();
            for placed in contents.extents_from(content, 0) {
                let placed = placed.unwrap();
                if placed.extent.source != ExtentSource::Hole {
                    runs.add(placed.start, placed.extent.length);
                }
            }
            // Inline contents have no extents.
            if content.size == content.data_bytes {
                runs = Runs::of(0, content.size);
            }
            Body::File { size: content.size, hash: hex(&hash(&bytes)), runs }
        }
        NodeKind::Directory(root) => {
            for entry in tree.entries(root) {
                let entry = entry.unwrap();
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                of_node(repository, [&path, separator, &entry.name].concat(), &entry.node, lines);
            }
            Body::Nothing
        }
        NodeKind::Symlink { target } => Body::Target(target.clone()),
        NodeKind::Fifo | NodeKind::Socket => Body::Nothing,
        NodeKind::CharacterDevice(device) | NodeKind::BlockDevice(device) => Body::Device(device.major, device.minor),
    };
    let line = Line {
        letter: node.kind.letter().into(),
        permissions: node.permissions,
        uid: node.uid,
        gid: node.gid,
        owner: node.owner.clone(),
        group: node.group.clone(),
        modified: (node.modified.seconds, node.modified.nanos),
        xattrs: tree.xattrs(node).unwrap().into_iter().map(|xattr| (xattr.name, xattr.value)).collect(),
        first_path: node.hard_link.as_ref().map(|link| link.first_path.clone()),
        body,
    };
    lines.insert(path, line);
}
