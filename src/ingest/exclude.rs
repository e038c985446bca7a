//! What an ingest leaves out, in gitignore syntax: the door to the crate `ignore`.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Result};

/// Patterns relative to the ingested directory.
pub(super) struct Excludes {
    patterns: Gitignore,
}

impl Excludes {
    /// Reads patterns from the command line and from files of patterns.
    pub fn new(patterns: &[String], files: &[PathBuf]) -> Result<Excludes> {
        // All paths asked for are relative; a root would be stripped off those that happen to begin like it.
        let mut builder = GitignoreBuilder::new(".");
        // A pattern that matches nothing of what it was written for would let in what was to stay out.
        builder.allow_unclosed_class(false);
        for file in files {
            if let Some(error) = builder.add(file) {
                let value = file.display().to_string();
                return Err(Error::Invalid { what: "exclude file", value, reason: error.to_string() });
            }
        }
        for pattern in patterns {
            let added = builder.add_line(None, pattern);
            added.map_err(|error| Error::invalid("exclude pattern", pattern, reason(error)))?;
        }
        let built = builder.build();
        let patterns = built.map_err(|error| Error::invalid("exclude pattern", "", error.to_string()))?;
        Ok(Excludes { patterns })
    }

    /// Whether the entry at `path` (relative to the ingested directory) is left out. What lies below an excluded
    /// directory is not asked for.
    pub fn excludes(&self, path: &Path, is_directory: bool) -> bool {
        !self.patterns.is_empty() && self.patterns.matched(path, is_directory).is_ignore()
    }
}

/// Why a pattern is refused; the pattern itself is told by the caller.
fn reason(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    }
}
