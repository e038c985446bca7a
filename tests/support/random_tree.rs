//! Random trees, and random changes of them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, makedev};

use super::noise;

/// Numbers that are the same in every run, and what is made from them.
pub struct Random {
    state: u64,
    /// Whether files get further names.
    links: bool,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: seed, links: false }
    }

    /// The same, with hard links.
    pub fn with_links(seed: u64) -> Random {
        Random { state: seed, links: true }
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// All entries below a directory, itself first, parents before children.
    pub fn everything(root: &Path) -> Vec<PathBuf> {
        let mut found = vec![root.to_path_buf()];
        let mut at = 0;
        while at < found.len() {
            if found[at].symlink_metadata().unwrap().is_dir() {
                let mut below: Vec<_> = fs::read_dir(&found[at]).unwrap().map(|entry| entry.unwrap().path()).collect();
                below.sort();
                found.extend(below);
            }
            at += 1;
        }
        found
    }

    pub fn make_entry(&mut self, root: &Path) {
        const NAMES: [&str; 12] = ["a", "a.b", "a-", "ab", "b", "c", "d e", "\u{e9}", "new\nline", "Z", "~", "\\#012"];
        let directories: Vec<_> = Random::everything(root)
            .into_iter()
            .filter(|path| path.symlink_metadata().unwrap().is_dir() && path.components().count() < 12)
            .collect();
        let path = self.pick(&directories).join(self.pick(&NAMES));
        if path.symlink_metadata().is_ok() {
            return;
        }
        if self.links && self.chance(3) {
            return self.make_link(root, &path);
        }
        let device = |kind, major, minor| {
            rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o640), makedev(major, minor)).unwrap();
        };
        match self.below(14) {
            0..5 => fs::create_dir(&path).unwrap(),
            5..9 => self.write(&path),
            9 | 10 => symlink(self.pick(&["x", "yy", "\u{e9}\n"]), &path).unwrap(),
            // Devices of both kinds never have the same number here.
            11 => device(FileType::CharacterDevice, 1, 3 + self.below(2) as u32),
            12 => device(FileType::BlockDevice, 7, self.below(2) as u32),
            _ => device(if self.chance(2) { FileType::Fifo } else { FileType::Socket }, 0, 0),
        }
        if self.chance(3) {
            self.change_attributes(&path);
        }
    }

    /// Makes `path` a further name of some file, fifo or whatever else can have several.
    fn make_link(&mut self, root: &Path, path: &Path) {
        let linkable = |path: &PathBuf| !path.symlink_metadata().unwrap().is_dir();
        let files: Vec<_> = Random::everything(root).into_iter().filter(linkable).collect();
        if !files.is_empty() {
            fs::hard_link(self.pick(&files), path).unwrap();
        }
    }

    fn write(&mut self, path: &Path) {
        let content = match self.below(4) {
            0 => Vec::new(),
            1 => noise(self.below(3), 100),
            2 => noise(self.below(3), 100_000),
            _ => noise(1, 100 + self.below(3) as usize),
        };
        fs::write(path, content).unwrap();
    }

    fn change_attributes(&mut self, path: &Path) {
        let is_symlink = path.symlink_metadata().unwrap().is_symlink();
        match self.below(6) {
            0 if !is_symlink => {
                let mode = *self.pick(&[0o600, 0o644, 0o755, 0o4711, 0o1770]);
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            1 => chown(path, Some(self.below(3) as u32), None),
            2 => chown(path, None, Some(self.below(3) as u32)),
            3 => self.set_xattr(path, "trusted.t"),
            4 if path.is_file() || path.is_dir() => self.set_xattr(path, "user.u"),
            5 if !is_symlink => self.set_acl(path),
            _ => {}
        }
    }

    fn set_xattr(&mut self, path: &Path, name: &str) {
        match self.below(4) {
            // It may have none.
            0 => drop(rustix::fs::lremovexattr(path, name)),
            number => {
                let value = noise(number, 10 * number as usize);
                rustix::fs::lsetxattr(path, name, &value, XattrFlags::empty()).unwrap();
            }
        }
    }

    fn set_acl(&mut self, path: &Path) {
        let named = format!("u:{}:{},m::{}", self.below(3), self.pick(&["r", "rw"]), self.pick(&["r", "rwx"]));
        let arguments: &[&str] = match self.below(4) {
            0 => &["-b"],
            1 if path.is_dir() => &["-d", "-m", &named],
            2 => &["-m", "g::rwx"],
            _ => &["-m", &named],
        };
        let set = Command::new("setfacl").args(arguments).arg("--").arg(path).status().expect("setfacl is installed");
        assert!(set.success());
    }

    pub fn change_something(&mut self, root: &Path) {
        let all = Random::everything(root);
        let path = self.pick(&all).clone();
        if path == root || self.chance(4) {
            return self.make_entry(root);
        }
        let file_type = path.symlink_metadata().unwrap().file_type();
        match self.below(8) {
            0 if file_type.is_dir() => fs::remove_dir_all(&path).unwrap(),
            0 => fs::remove_file(&path).unwrap(),
            1 if file_type.is_dir() && self.chance(2) => {
                fs::remove_dir_all(&path).unwrap();
                self.write(&path);
            }
            1 if !file_type.is_dir() => {
                fs::remove_file(&path).unwrap();
                symlink("other", &path).unwrap();
            }
            2 if self.links && file_type.is_file() => {
                // A file of its own again, perhaps with the same bytes.
                let bytes = fs::read(&path).unwrap();
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
            }
            2 | 3 if file_type.is_file() => self.write(&path),
            4 if root.join("renamed").symlink_metadata().is_err() => fs::rename(&path, root.join("renamed")).unwrap(),
            _ => self.change_attributes(&path),
        }
    }

    /// Gives every entry a time that follows from its path, and one in `other_one_in` another one.
    pub fn set_times(&mut self, root: &Path, other_one_in: u64) {
        for path in Random::everything(root).into_iter().rev() {
            let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            let usual = relative.iter().map(|byte| i64::from(*byte)).sum::<i64>();
            let other = if other_one_in > 1 && self.chance(other_one_in) { 1 + self.below(2) as i64 } else { 0 };
            set_modified(&path, usual % 1000 - 500, other);
        }
    }
}

fn chown(path: &Path, uid: Option<u32>, gid: Option<u32>) {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn set_modified(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
