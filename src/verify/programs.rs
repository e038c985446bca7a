//! Programs: where those of a server are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Directories in which programs are looked for.
pub struct Programs {
    directories: Vec<PathBuf>,
    /// What to install, for people.
    package: &'static str,
}

impl Programs {
    /// Those below `named`, or else those that the system knows, and these.
    pub fn new(named: Option<&Path>, usual: Vec<PathBuf>, package: &'static str) -> Programs {
        let directories = match named {
            Some(named) => {
                vec![named.to_path_buf(), named.join("../scripts"), named.join("../sbin"), named.join("../bin")]
            }
            None => {
                let places = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&places).chain(usual).collect()
            }
        };
        Programs { directories, package }
    }

    /// The first of these that is there.
    pub fn find(&self, names: &[&str]) -> Option<PathBuf> {
        let mut places = names.iter().flat_map(|name| self.directories.iter().map(move |place| place.join(name)));
        places.find(|place| place.is_file())
    }

    /// The same.
    ///
    /// # Errors
    /// [`Error::Load`] where none is there.
    pub fn require(&self, names: &[&str]) -> Result<PathBuf> {
        self.find(names).ok_or_else(|| {
            let looked_in: Vec<_> = self.directories.iter().map(|place| place.display().to_string()).collect();
            let reason = format!(
                "it is in none of {}; install {}, or name the directory of the server's programs with --server-bin",
                looked_in.join(", "),
                self.package
            );
            Error::Load { what: "starting a server".into(), client: names.join(" or "), reason }
        })
    }

    /// The same, or where none is there, the first of these, which the system may find.
    pub fn find_client(&self, names: &[&str]) -> OsString {
        self.find(names).map(PathBuf::into_os_string).or_else(|| names.first().map(OsString::from)).unwrap_or_default()
    }
}
