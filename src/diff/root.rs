//! The compared entries themselves, as the user names them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::diff::Side;
use crate::diff::listing::{Item, Listing, LiveDirectory, Own};
use crate::error::{Error, Result};

/// The compared entry of one side, and the place where it is found.
pub(super) fn open_root<'a>(side: &Side<'a>, own: Own) -> Result<(Option<Item>, Listing<'a>)> {
    let path = match side {
        Side::Nothing => return Ok((None, Listing::Nothing)),
        Side::Snapshot { root, .. } => return Ok((Some(Item::stored(Vec::new(), root.clone())), Listing::Nothing)),
        Side::Live(path) => path,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (place, name) = match rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => (fd, b".".to_vec()),
        // Some other entry: it is found by its name in the directory that it is in.
        Err(Errno::NOTDIR) => {
            let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let fd = rustix::fs::open(parent, flags, Mode::empty());
            (fd.map_err(|errno| Error::io("open the directory", parent)(errno.into()))?, name)
        }
        Err(Errno::NOENT) => return Err(Error::NotFound { what: "directory", name: path.display().to_string() }),
        Err(errno) => return Err(Error::io("open the directory", path)(errno.into())),
    };
    let place = LiveDirectory::unlisted(place, own).map_err(Error::io("look at", path))?;
    let item = place.fd().and_then(|fd| Item::live(fd, name)).map_err(Error::io("look at", path))?;
    Ok((Some(item), Listing::Live(place)))
}
