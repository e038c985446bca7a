//! Objects as files below one folder, of any POSIX filesystem.
//!
//! An object is written to a file without a name, synced, and only then linked to its final name. So no crash leaves
//! a torn object, and where the filesystem knows unnamed files it leaves no litter either.

mod put;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{Backend, ByteRange, Listed, PutNew, Space, check_key, is_key_component, too_short};
use crate::error::{Error, Result};
use crate::store::owner::Owner;
use put::{LocalPut, NewFile, start_named, start_unnamed};

/// Descriptors kept open for reading, so that a random read of a pack costs one system call.
const OPEN_OBJECTS_MAX: usize = 128;

/// Folders remembered as durable; beyond it they are forgotten and merely synced once more.
const DURABLE_FOLDERS_MAX: usize = 4096;

/// A range up to this long is read without asking for the object's size first. A longer one is checked against it
/// before memory is taken, because the range may come from a damaged reference.
const UNCHECKED_READ_BYTES: u64 = 1 << 20;

/// Objects as files below a folder. Any number of processes may use one folder at once.
///
/// The first object creates the folder where it is missing. What is written is never open to "others", and to the
/// group only as far as the folder itself is: a repository holds what its source kept secret. What root writes belongs to
/// whoever owns the folder, and else nobody but root could go on.
pub struct LocalBackend {
    place: Arc<Place>,
    open_objects: Mutex<OpenObjects>,
}

impl LocalBackend {
    /// Objects below the folder `root`. Nothing is read or created yet.
    pub fn new(root: impl Into<PathBuf>) -> LocalBackend {
        let root = root.into();
        // Absolute, because a daemon changes its working directory.
        let root = std::path::absolute(&root).unwrap_or(root);
        let place = Place { root, durable_folders: Mutex::default(), unnamed_files: AtomicBool::new(true) };
        LocalBackend { place: Arc::new(place), open_objects: Mutex::default() }
    }

    fn open_objects(&self) -> MutexGuard<'_, OpenObjects> {
        self.open_objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object's file. One that is read in pieces is kept open; a small one that is read once would only push
    /// others out.
    fn open(&self, key: &str, keep_open: bool) -> Result<Arc<File>> {
        if let Some(file) = self.open_objects().get(key) {
            return Ok(file);
        }
        let file = match File::open(self.place.path(key)) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::ObjectMissing { key: key.into(), backend: self.name() });
            }
            Err(error) => return Err(self.place.failed("open", key, error)),
        };
        if keep_open {
            self.open_objects().insert(key, &file);
        }
        Ok(file)
    }

    fn read(&self, file: &File, key: &str, range: ByteRange) -> Result<Vec<u8>> {
        let failed = |source| self.place.failed("read", key, source);
        let size = || file.metadata().map(|metadata| metadata.len()).map_err(failed);
        let (offset, length) = match range {
            ByteRange::Whole => (0, size()?),
            ByteRange::Last { length } => {
                let size = size()?;
                (size.saturating_sub(length), length.min(size))
            }
            ByteRange::At { offset, length } => {
                let trusted =
                    (1..=UNCHECKED_READ_BYTES).contains(&length) && offset <= i64::MAX.unsigned_abs() - length;
                if !trusted {
                    let size = size()?;
                    if offset.checked_add(length).is_none_or(|end| end > size) {
                        return Err(too_short(&self.name(), key, size, offset, length));
                    }
                }
                (offset, length)
            }
        };
        let bytes = read_at(file, offset, length).map_err(failed)?;
        if bytes.len() as u64 != length {
            return Err(too_short(&self.name(), key, size()?, offset, length));
        }
        Ok(bytes)
    }
}

impl Backend for LocalBackend {
    fn name(&self) -> String {
        self.place.name()
    }

    fn put_new(&self, key: &str) -> Result<Box<dyn PutNew>> {
        check_key(key)?;
        let (file, temporary) =
            self.place.start_file(key).map_err(|source| self.place.failed("create", key, source))?;
        let place = Arc::clone(&self.place);
        let file = NewFile { file, written_bytes: 0, started_bytes: 0 };
        Ok(Box::new(LocalPut { place, key: key.into(), file, temporary, buffer: Vec::new(), torn: false }))
    }

    fn get_range(&self, key: &str, range: ByteRange) -> Result<Vec<u8>> {
        check_key(key)?;
        let file = self.open(key, range != ByteRange::Whole)?;
        self.read(&file, key, range)
    }

    fn list_after(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let mut listed = Vec::new();
        self.place.list_folder(prefix, after, &mut listed).map_err(|error| self.place.failed("list", prefix, error))?;
        Ok(listed)
    }

    fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        match fs::remove_file(self.place.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.place.failed("delete", key, error)),
            _ => {
                self.open_objects().forget(key);
                Ok(())
            }
        }
    }

    fn space(&self) -> Result<Option<Space>> {
        let stat = rustix::fs::statvfs(&self.place.root)
            .map_err(|errno| self.place.failed("find the free space of", ".", errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        // A filesystem that makes inodes as it needs them has room for as many as there are blocks.
        let available_files = if stat.f_files == 0 { stat.f_bavail } else { stat.f_favail };
        let (total_bytes, available_bytes) = (bytes(stat.f_blocks), bytes(stat.f_bavail));
        Ok(Some(Space { total_bytes, available_bytes, available_files }))
    }
}

/// `length` bytes from `offset`, fewer only where the file ends.
fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.try_reserve_exact(length)?;
    while bytes.len() < length {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // The allocator may have given more room than was asked for.
    bytes.truncate(length);
    Ok(bytes)
}

/// Descriptors of objects read lately. An object that another process deletes stays readable through one, and its
/// room stays taken; names are never used twice, so the bytes are right all the same.
#[derive(Default)]
struct OpenObjects {
    uses: u64,
    by_key: HashMap<String, OpenObject>,
}

struct OpenObject {
    last_use: u64,
    file: Arc<File>,
}

impl OpenObjects {
    fn get(&mut self, key: &str) -> Option<Arc<File>> {
        let object = self.by_key.get_mut(key)?;
        self.uses += 1;
        object.last_use = self.uses;
        Some(Arc::clone(&object.file))
    }

    fn insert(&mut self, key: &str, file: &Arc<File>) {
        if self.by_key.len() >= OPEN_OBJECTS_MAX {
            let oldest = self.by_key.iter().min_by_key(|(_, object)| object.last_use).map(|(key, _)| key.clone());
            oldest.map(|key| self.by_key.remove(&key));
        }
        self.uses += 1;
        self.by_key.insert(key.into(), OpenObject { last_use: self.uses, file: Arc::clone(file) });
    }

    fn forget(&mut self, key: &str) {
        self.by_key.remove(key);
    }
}

/// The folder and what this process knows about it.
struct Place {
    root: PathBuf,
    /// Folders whose own entries, up to the root, this process has synced.
    durable_folders: Mutex<HashSet<PathBuf>>,
    /// False once the filesystem turned out not to do unnamed files, or not safely.
    unnamed_files: AtomicBool,
}

impl Place {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn path(&self, key: &str) -> PathBuf {
        // An empty key is the root; joining it would add a slash.
        if key.is_empty() { self.root.clone() } else { self.root.join(key) }
    }

    /// The folder that holds the object's file.
    fn folder(&self, key: &str) -> PathBuf {
        key.rsplit_once('/').map_or_else(|| self.root.clone(), |(folder, _)| self.root.join(folder))
    }

    fn failed(&self, operation: &'static str, key: &str, source: io::Error) -> Error {
        Error::Backend { operation, key: key.into(), backend: self.name(), source }
    }

    fn durable_folders(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permission bits for something new: the `widest` ones, less what the root itself keeps from its group; and its owner.
    fn access(&self, widest: u32) -> io::Result<(u32, Owner)> {
        let root = fs::metadata(&self.root)?;
        Ok((widest & (root.mode() | 0o700), Owner::of(&root)))
    }

    /// A new empty file in the folder of `key`, and its name where it needs one.
    fn start_file(&self, key: &str) -> io::Result<(File, Option<PathBuf>)> {
        let folder = self.folder(key);
        match self.start_file_in(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folder(&folder)?;
                self.start_file_in(&folder)
            }
            started => started,
        }
    }

    fn start_file_in(&self, folder: &Path) -> io::Result<(File, Option<PathBuf>)> {
        let (mode, owner) = self.access(0o640)?;
        if self.unnamed_files.load(Ordering::Relaxed) {
            match start_unnamed(folder, mode)? {
                Some(file) => return owner.give_to(&file).map(|()| (file, None)),
                None => self.unnamed_files.store(false, Ordering::Relaxed),
            }
        }
        let (file, name) = start_named(folder, mode)?;
        if let Err(error) = owner.give_to(&file) {
            // Left behind it is only litter under a hidden name.
            let _ = fs::remove_file(name);
            return Err(error);
        }
        Ok((file, Some(name)))
    }

    /// Makes `folder` and those above it that are missing, durably.
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let Some(parent) = folder.parent().filter(|_| !folder.is_dir()) else { return Ok(()) };
        self.create_folder(parent)?;
        let (mode, owner) = match folder.strip_prefix(&self.root) {
            Ok(below) if below.as_os_str().is_empty() => (0o700, None),
            Ok(_) => self.access(0o770).map(|(mode, owner)| (mode, Some(owner)))?,
            Err(_) => (0o777, None),
        };
        match rustix::fs::mkdir(folder, Mode::from_raw_mode(mode)) {
            Ok(()) => owner.map_or(Ok(()), |owner| owner.give_path(folder))?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        sync_folder(parent)
    }

    /// Makes the entries of `folder` durable, and the way down to it from the root. This process may not have made
    /// the folders on that way, and whoever did may not have come to sync them.
    fn sync_way_to(&self, folder: &Path) -> io::Result<()> {
        sync_folder(folder)?;
        let mut synced = Vec::new();
        for below in folder.ancestors() {
            let Some(parent) = below.parent().filter(|parent| parent.starts_with(&self.root)) else { break };
            if self.durable_folders().contains(below) {
                break;
            }
            sync_folder(parent)?;
            synced.push(below.to_path_buf());
        }
        let mut durable = self.durable_folders();
        if durable.len() + synced.len() > DURABLE_FOLDERS_MAX {
            durable.clear();
        }
        durable.extend(synced);
        Ok(())
    }

    /// Adds the objects below `folder` (a key, or empty for the root) that come after `after`, in order of keys.
    fn list_folder(&self, folder: &str, after: Option<&str>, listed: &mut Vec<Listed>) -> io::Result<()> {
        for (mut key, size_bytes) in self.entries_after(folder, after)? {
            match size_bytes {
                Some(size_bytes) => listed.push(Listed { key, size_bytes }),
                None => {
                    key.pop();
                    self.list_folder(&key, after, listed)?;
                }
            }
        }
        Ok(())
    }

    /// What in one folder can matter, in order: objects after `after` with their sizes, and, with a slash at the
    /// end and no size, folders that can hold such objects. The slash makes the order that of whole keys.
    fn entries_after(&self, folder: &str, after: Option<&str>) -> io::Result<Vec<(String, Option<u64>)>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            // Without a root there is no "no objects": the disk may just not be mounted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return fs::metadata(&self.root).map(|_| vec![]),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            // Other names cannot be keys: temporary files, the index, lost+found.
            let Some(name) = name.to_str().filter(|name| is_key_component(name)) else { continue };
            let key = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
            let as_folder = format!("{key}/");
            let is_after = after.is_none_or(|after| key.as_str() > after);
            let can_hold = after.is_none_or(|after| as_folder.as_str() > after || after.starts_with(&as_folder));
            if !is_after && !can_hold {
                continue;
            }
            match kind_of(&entry)? {
                Some(Kind::Folder) if can_hold => found.push((as_folder, None)),
                Some(Kind::Object { size_bytes }) if is_after => found.push((key, Some(size_bytes))),
                _ => {}
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

enum Kind {
    Object { size_bytes: u64 },
    Folder,
}

/// What an entry is, through symbolic links (folders of packs are moved to other disks that way); `None` for an entry
/// that is gone by now, and for what is neither file nor folder.
fn kind_of(entry: &fs::DirEntry) -> io::Result<Option<Kind>> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return Ok(Some(Kind::Folder));
    }
    let metadata = if kind.is_file() { entry.metadata() } else { fs::metadata(entry.path()) };
    match metadata {
        Ok(metadata) if metadata.is_dir() => Ok(Some(Kind::Folder)),
        Ok(metadata) if metadata.is_file() => Ok(Some(Kind::Object { size_bytes: metadata.len() })),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
