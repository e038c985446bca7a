//! Archives: what `pg_dump` writes for `pg_restore`. All forms have a table of contents, of which the same text is made as
//! `pg_dump` itself would have printed, and data, which is the rest of that text.

mod custom;
mod directory;
mod fields;
mod keywords;
mod large_objects;
mod owner;
mod quote;
mod script;
mod tar;
mod text;
mod toc;

pub use self::directory::DirectoryArchive;

use self::custom::CustomArchive;
use self::tar::TarArchive;
use crate::compressed::UnwrapLimit;
use crate::dump::unpack::ArchiveReader;

/// The file of a directory that tells what all others are.
pub const TOC_FILE: &str = "toc.dat";

/// What kind of archive a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    Custom,
    Tar,
}

/// What kind of archive begins with these bytes; `None` for what is no archive.
pub fn kind_of(first: &[u8]) -> Option<ArchiveKind> {
    if first.starts_with(toc::MAGIC) {
        Some(ArchiveKind::Custom)
    } else if first.starts_with(b"toc.dat\0") {
        Some(ArchiveKind::Tar)
    } else {
        None
    }
}

/// Reads an archive that is one file and begins with these bytes; `None` for what is no archive. `key` stands in its text where
/// `pg_restore` would have a random word; what comes out of compressed data is limited.
pub fn reader_of(first: &[u8], key: &str, limit: UnwrapLimit) -> Option<Box<dyn ArchiveReader>> {
    Some(match kind_of(first)? {
        ArchiveKind::Custom => Box::new(CustomArchive::new(key.into(), limit, toc::compression(first))),
        ArchiveKind::Tar => Box::new(TarArchive::new(key.into())),
    })
}

#[cfg(test)]
mod tests;
