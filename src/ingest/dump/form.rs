//! DumpForm: how a dump is written. That is recognised; where it is told too, both must agree.

use std::path::Path;

use crate::error::{Error, Result};

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpForm {
    /// Statements.
    Text,
    /// What `mysqldump --xml` prints.
    Xml,
    /// What `pg_dump -Fc` writes.
    Custom,
    /// What `pg_dump -Ft` writes.
    Tar,
    /// What `pg_dump -Fd` writes.
    Directory,
    Mydumper,
    /// What MySQL Shell writes.
    Shell,
    /// What `mysqldump --tab` writes.
    Tab,
}

impl DumpForm {
    /// Whether such a dump is a directory.
    pub fn is_directory(self) -> bool {
        matches!(self, DumpForm::Directory | DumpForm::Mydumper | DumpForm::Shell | DumpForm::Tab)
    }

    /// For people.
    fn name(self) -> &'static str {
        match self {
            DumpForm::Text => "statements of SQL",
            DumpForm::Xml => "XML",
            DumpForm::Custom => "an archive of pg_dump -Fc",
            DumpForm::Tar => "an archive of pg_dump -Ft",
            DumpForm::Directory => "a directory of pg_dump -Fd",
            DumpForm::Mydumper => "a directory of mydumper",
            DumpForm::Shell => "a directory of MySQL Shell",
            DumpForm::Tab => "a directory of --tab",
        }
    }

    /// Refuses an input that is of another form than it was told to be.
    pub fn expect(told: Option<DumpForm>, found: DumpForm, input: &str) -> Result<()> {
        match told.filter(|told| *told != found) {
            None => Ok(()),
            Some(told) => {
                let reason = format!("it is {}, and --format says that it is {}", found.name(), told.name());
                Err(Error::invalid("dump", input, reason))
            }
        }
    }

    /// Why a directory is refused that is not the dump that it was told to be.
    pub fn refuse_directory(told: Option<DumpForm>, directory: &Path) -> Error {
        let name = told.map_or("a dump", DumpForm::name);
        Error::invalid(
            "dump",
            directory.to_string_lossy(),
            format!("it is a directory, and not {name}, as --format says"),
        )
    }
}

/// A form of a directory, and what tells whether one has it.
pub type DirectoryForm = (DumpForm, fn(&Path) -> bool);

/// The first of these forms that a directory has; only the one that it was told to have, if it was.
pub fn form_of_directory(directory: &Path, told: Option<DumpForm>, forms: &[DirectoryForm]) -> Option<DumpForm> {
    let mut forms = forms.iter().filter(|(form, _)| told.is_none_or(|told| told == *form));
    forms.find(|(_, has_it)| has_it(directory)).map(|(form, _)| *form)
}
