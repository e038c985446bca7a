//! Entries of a directory of either side, in order of names, as the walk takes them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::Dir;

use crate::error::{Error, Result};
use crate::id::RepositoryId;
use crate::repository::comparison::EntryFacts;
use crate::repository::entry_cursor::{EntryCursor, SameEntries};
use crate::repository::metadata::{FileType, Identity, open_again, open_directory_at, read_link_at, stat_at, stat_fd};
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::page_cursor::Head;
use crate::repository::pairs::EntriesByName;
use crate::store::ChunkStore;

/// An entry of one side.
pub(super) struct Item {
    pub name: Vec<u8>,
    pub facts: EntryFacts,
    pub source: ItemSource,
}

/// Where the rest of an entry is found.
pub(super) enum ItemSource {
    Stored(Box<Node>),
    /// In a live directory, under its name; it had this device and inode number.
    Live {
        inode: Identity,
    },
}

impl Item {
    pub fn stored(name: Vec<u8>, node: Node) -> Item {
        Item { name, facts: EntryFacts::of(&node), source: ItemSource::Stored(Box::new(node)) }
    }

    /// The entry `name` of a live directory.
    pub fn live(directory: BorrowedFd<'_>, name: Vec<u8>) -> io::Result<Item> {
        let captured = stat_at(directory, OsStr::from_bytes(&name))?;
        let target = match captured.file_type {
            FileType::Symlink => Some(read_link_at(directory, OsStr::from_bytes(&name))?),
            _ => None,
        };
        let is_directory = captured.file_type == FileType::Directory;
        let size = match (&target, captured.file_type) {
            (Some(target), _) => target.len() as u64,
            (None, FileType::File) => captured.size,
            (None, _) => 0,
        };
        let facts = EntryFacts {
            file_type: captured.file_type,
            permissions: captured.permissions,
            uid: captured.uid,
            gid: captured.gid,
            modified: captured.modified,
            size,
            link_count: if is_directory { 1 } else { captured.link_count },
            target,
        };
        Ok(Item { name, facts, source: ItemSource::Live { inode: captured.identity() } })
    }

    /// The stored directory that this is.
    pub fn stored_directory(&self) -> Option<&DirectoryRoot> {
        match &self.source {
            ItemSource::Stored(node) => node.directory(),
            ItemSource::Live { .. } => None,
        }
    }
}

/// What is left of one directory of one side.
pub(super) enum Listing<'a> {
    /// That side has no directory here.
    Nothing,
    Stored(EntryCursor<'a>),
    Live(LiveDirectory),
}

impl<'a> Listing<'a> {
    pub fn stored(chunks: &'a ChunkStore, directory: &DirectoryRoot) -> Listing<'a> {
        Listing::Stored(EntryCursor::new(chunks, directory).reading_once())
    }
}

impl EntriesByName for Listing<'_> {
    type Entry = Item;

    fn head(&mut self) -> Result<Head> {
        match self {
            Listing::Nothing => Ok(Head::End),
            Listing::Stored(cursor) => cursor.head(),
            Listing::Live(directory) => {
                directory.look_ahead()?;
                Ok(if directory.next.is_some() { Head::Entry } else { Head::End })
            }
        }
    }

    fn name(&self) -> Result<Option<&[u8]>> {
        match self {
            Listing::Nothing => Ok(None),
            Listing::Stored(cursor) => cursor.name(),
            Listing::Live(directory) => Ok(directory.next.as_ref().map(|item| item.name.as_slice())),
        }
    }

    fn name_before(&self) -> Result<Option<&[u8]>> {
        match self {
            Listing::Stored(cursor) => cursor.name_before(),
            _ => Ok(None),
        }
    }

    fn open(&mut self) -> Result<()> {
        match self {
            Listing::Stored(cursor) => cursor.open(),
            _ => Ok(()),
        }
    }

    fn pass_same(&mut self, other: &mut Self) -> Result<SameEntries> {
        match (self, other) {
            (Listing::Stored(cursor), Listing::Stored(other)) => cursor.pass_same(other),
            _ => Ok(SameEntries::default()),
        }
    }

    fn pass(&mut self) -> Result<u64> {
        match self {
            Listing::Nothing => Ok(0),
            Listing::Stored(cursor) => cursor.pass(),
            Listing::Live(directory) => Ok(u64::from(directory.next.take().is_some())),
        }
    }

    fn take(&mut self) -> Result<Option<Item>> {
        match self {
            Listing::Nothing => Ok(None),
            Listing::Stored(cursor) => Ok(cursor.take()?.map(|entry| Item::stored(entry.name, entry.node))),
            Listing::Live(directory) => Ok(directory.next.take()),
        }
    }
}

/// An open live directory: its names are read at once, its entries looked at one by one.
pub(super) struct LiveDirectory {
    /// Closed while the walk is far below; see [`LiveDirectory::reopen_from`].
    fd: Option<OwnedFd>,
    identity: Identity,
    /// Names still to come, the next one last.
    names: Vec<Vec<u8>>,
    /// The next entry, looked at already.
    next: Option<Item>,
    own: Own,
}

/// The attribute by which the root of a mount tells whose it is.
const MOUNT_ATTRIBUTE: &str = "user.yesterfs.repository";

/// What a live side has of the repository itself: as an ingest does, the walk passes over it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    /// Device and inode number of the repository's directory.
    pub directory: Option<(u64, u64)>,
    /// Its id, by which a mount of it is recognised.
    pub repository: Option<RepositoryId>,
}

impl Own {
    /// Whether `item`, in the directory `parent` of device `parent_device`, is the repository or a mount of it.
    fn has(&self, parent: BorrowedFd<'_>, parent_device: u64, item: &Item) -> bool {
        let ItemSource::Live { inode } = item.source else { return false };
        if item.facts.file_type != FileType::Directory {
            return false;
        }
        let Some(repository) = self.repository.filter(|_| inode.0 != parent_device) else {
            return self.directory == Some(inode);
        };
        let mut value = [0u8; 2 * RepositoryId::LEN];
        let is_mount = open_directory_at(parent, OsStr::from_bytes(&item.name)).is_ok_and(|fd| {
            rustix::fs::fgetxattr(&fd, MOUNT_ATTRIBUTE, &mut value[..]).is_ok_and(|length| length == value.len())
        });
        self.directory == Some(inode) || is_mount && value == repository.to_string().as_bytes()
    }
}

impl LiveDirectory {
    /// The directory that `fd` is open on, without its entries: a place to look at single names.
    pub fn unlisted(fd: OwnedFd, own: Own) -> io::Result<LiveDirectory> {
        let captured = stat_fd(fd.as_fd())?;
        Ok(LiveDirectory { fd: Some(fd), identity: captured.identity(), names: Vec::new(), next: None, own })
    }

    /// The directory `name` in this one, with its names; `inode` is what it had when it was looked at.
    pub fn enter(&self, name: &[u8], inode: (u64, u64)) -> io::Result<LiveDirectory> {
        let fd = open_directory_at(self.fd()?, OsStr::from_bytes(name))?;
        let mut directory = LiveDirectory::unlisted(fd, self.own)?;
        if directory.identity != inode {
            return Err(io::Error::other("another directory took its place meanwhile"));
        }
        directory.names = read_names(directory.fd()?)?;
        directory.names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(directory)
    }

    /// The open directory.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(|| io::Error::other("the directory is closed"))
    }

    /// Closes the directory until [`LiveDirectory::reopen_from`].
    pub fn close(&mut self) {
        self.fd = None;
    }

    /// Opens the directory again, if it was closed: from the directory `below` in it, or by its path below `top`.
    pub fn reopen_from(&mut self, below: &LiveDirectory, top: &LiveDirectory, path: &[u8]) -> io::Result<()> {
        if self.fd.is_none() {
            self.fd = Some(open_again(self.identity, below.fd().ok(), top.fd()?, path)?);
        }
        Ok(())
    }

    /// Looks at the next entry that is still there.
    fn look_ahead(&mut self) -> Result<()> {
        while self.next.is_none() {
            let Some(name) = self.names.pop() else { return Ok(()) };
            let fd = self.fd().map_err(Error::io("look at an entry", ""))?;
            match Item::live(fd, name) {
                Ok(item) if self.own.has(fd, self.identity.0, &item) => {}
                Ok(item) => self.next = Some(item),
                // It went since the directory was listed.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(Error::io("look at an entry", "")(cause)),
            }
        }
        Ok(())
    }
}

fn read_names(fd: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
