//! What is mounted where, by `/proc/self/mountinfo`. Looking there touches no mount, so a dead one neither blocks nor
//! fails the look.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The kernel's name of the kind of file system that a yesterfs mount is.
pub(super) const FILE_SYSTEM_TYPE: &str = "fuse.yesterfs";

const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableEntry {
    pub point: PathBuf,
    /// `<major>:<minor>` of the file system, as `/sys/class/bdi` names it too.
    pub device: String,
    /// Such as `ext4` or `fuse.yesterfs`.
    pub file_system_type: String,
    /// What is mounted, as its mounter called it.
    pub source: OsString,
}

impl TableEntry {
    /// True for every FUSE file system, ours among them.
    pub fn is_fuse(&self) -> bool {
        self.file_system_type == "fuse" || self.file_system_type.starts_with("fuse.")
    }
}

/// What is mounted exactly at `point` (an absolute path without symbolic links); the topmost, if there are several.
pub(super) fn mounted_at(point: &Path) -> Result<Option<TableEntry>> {
    let table = fs::read(MOUNT_TABLE).map_err(Error::io("read", MOUNT_TABLE))?;
    // Later lines lie on top of earlier ones.
    Ok(table.split(|&byte| byte == b'\n').rev().filter_map(parse_line).find(|entry| entry.point == point))
}

/// `36 35 98:0 /root /point options optional-fields... - type source super-options`
fn parse_line(line: &[u8]) -> Option<TableEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let device = fields.nth(2)?;
    let point = fields.nth(1)?;
    let mut after_separator = fields.skip_while(|&field| field != b"-").skip(1);
    let file_system_type = after_separator.next()?;
    let source = after_separator.next()?;
    Some(TableEntry {
        point: PathBuf::from(unescape(point)),
        device: String::from_utf8(device.to_vec()).ok()?,
        file_system_type: String::from_utf8_lossy(file_system_type).into_owned(),
        source: unescape(source),
    })
}

/// The table writes space, tab, newline and backslash as a backslash and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}

/// `path` made absolute and free of symbolic links, also where a dead mount at its end answers nothing.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let whole = fs::canonicalize(path);
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return whole.map_err(Error::io("find", path)),
    };
    match (whole, path.file_name()) {
        (Ok(resolved), _) => Ok(resolved),
        (Err(error), Some(name)) if error.kind() != std::io::ErrorKind::NotFound => {
            Ok(fs::canonicalize(parent).map_err(Error::io("find", path))?.join(name))
        }
        (Err(error), _) => Err(Error::io("find", path)(error)),
    }
}

/// True where `inner` is `outer` or lies anywhere below it, also by another name for the same directory.
pub(super) fn holds(outer: &Path, inner: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let wanted = identity(outer);
    inner.ancestors().any(|ancestor| {
        ancestor.as_os_str().as_bytes() == outer.as_os_str().as_bytes()
            || (wanted.is_some() && identity(ancestor) == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_spaces_in_its_names_is_understood() {
        let line = br"36 35 0:52 / /mnt/with\040space\134 ro shared:1 master:2 - fuse.yesterfs /srv/my\040repo ro";
        let entry = parse_line(line).unwrap();
        assert_eq!(entry.point, Path::new("/mnt/with space\\"));
        assert_eq!(entry.device, "0:52");
        assert_eq!(entry.file_system_type, FILE_SYSTEM_TYPE);
        assert_eq!(entry.source, "/srv/my repo");
        assert!(entry.is_fuse());
    }

    #[test]
    fn half_a_line_is_no_entry() {
        for line in ["", "36 35 0:52", "36 35 0:52 / /mnt ro", "36 35 0:52 / /mnt ro shared:1 - ext4"] {
            assert_eq!(parse_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_root_of_this_machine_is_mounted() {
        assert!(mounted_at(Path::new("/")).unwrap().is_some());
        assert!(mounted_at(Path::new("/proc/no-such-mount")).unwrap().is_none());
    }

    #[test]
    fn a_directory_holds_itself_and_what_is_below_by_any_name() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let other_name = outer.path().join("link");
        std::os::unix::fs::symlink("a", &other_name).unwrap();
        assert!(holds(outer.path(), outer.path()));
        assert!(holds(outer.path(), &inner));
        assert!(holds(&outer.path().join("a"), &other_name.join("b")));
        assert!(!holds(&inner, outer.path()));
    }
}
