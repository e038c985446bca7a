//! The names in one live directory.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Read at once: about a thousand names.
const LISTING_BYTES: usize = 32 << 10;

/// What an entry is, as far as the listing tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Other,
    /// Some filesystems do not tell in a listing.
    Unknown,
}

/// Names in order, taken one after the other. Together in one piece of memory: there may be millions.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// The last name first. Start and length of each.
    entries: Vec<(usize, u16, Kind)>,
}

/// Reads names of directories, into memory that is used again.
pub(super) struct NameReader {
    buffer: Box<[MaybeUninit<u8>]>,
}

impl NameReader {
    pub fn new() -> NameReader {
        NameReader { buffer: Box::new_uninit_slice(LISTING_BYTES) }
    }

    /// The names in the open directory for which `keep` is true. Where not all can be read, those that were, and why.
    pub fn read(
        &mut self,
        directory: BorrowedFd<'_>,
        mut keep: impl FnMut(&[u8], &mut Kind) -> bool,
    ) -> (Names, Option<Errno>) {
        let mut names = Names::default();
        let mut listing = RawDir::new(directory, &mut self.buffer);
        let mut failure = None;
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // It was removed after it was opened, which only an empty one can be.
                Err(Errno::NOENT) => break,
                Err(cause) => {
                    failure = Some(cause);
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            let mut kind = kind_of(entry.file_type());
            if name != b"." && name != b".." && keep(name, &mut kind) {
                names.push(name, kind);
            }
        }
        names.sort();
        (names, failure)
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Unknown => Kind::Unknown,
        _ => Kind::Other,
    }
}

impl Names {
    fn push(&mut self, name: &[u8], kind: Kind) {
        // The kernel's own entries are no longer than that.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.entries.push((self.bytes.len(), length, kind));
        self.bytes.extend_from_slice(name);
    }

    fn sort(&mut self) {
        let name = |start: usize, length: u16| &self.bytes[start..start + usize::from(length)];
        self.entries.sort_unstable_by(|a, b| name(b.0, b.1).cmp(name(a.0, a.1)));
        // A listing may tell a name twice that was taken by another entry meanwhile.
        self.entries.dedup_by(|a, b| name(a.0, a.1) == name(b.0, b.1));
    }

    /// The next name.
    pub fn pop(&mut self) -> Option<(Vec<u8>, Kind)> {
        let (start, length, kind) = self.entries.pop()?;
        Some((self.bytes[start..start + usize::from(length)].to_vec(), kind))
    }
}
