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

pub use self::custom::CustomArchive;
pub use self::directory::DirectoryArchive;
pub use self::tar::TarArchive;

/// The file of a directory that tells what all others are.
pub const TOC_FILE: &str = "toc.dat";

/// How an archive is written that is one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveForm {
    Custom,
    Tar,
}

impl ArchiveForm {
    /// What begins with these bytes; `None` for what is no archive.
    pub fn of(first: &[u8]) -> Option<ArchiveForm> {
        if first.starts_with(toc::MAGIC) {
            Some(ArchiveForm::Custom)
        } else if first.starts_with(b"toc.dat\0") {
            Some(ArchiveForm::Tar)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
