//! Which names belong to one file, on each side.

use std::collections::HashMap;

use crate::repository::metadata::{self, Identity};
use crate::repository::node::HardLink;

/// First names, in the order of the walk, of the files of one side that have several.
pub(super) struct FirstNames {
    /// Path of the compared directory in its snapshot, by whose root stored links name their first path.
    prefix: Vec<u8>,
    live: metadata::FirstNames,
    /// Files whose first name in the snapshot lies outside of what is compared: their first name inside.
    outside: HashMap<Vec<u8>, Vec<u8>>,
}

impl FirstNames {
    pub fn new(prefix: Vec<u8>) -> FirstNames {
        FirstNames { prefix, live: metadata::FirstNames::default(), outside: HashMap::new() }
    }

    /// The first name of the stored file that `path` is a name of.
    pub fn of_stored(&mut self, link: &HardLink, path: &[u8]) -> Vec<u8> {
        let inside = match self.prefix.is_empty() {
            true => Some(link.first_path.as_slice()),
            false => link.first_path.strip_prefix(&self.prefix[..]).and_then(|rest| rest.strip_prefix(b"/")),
        };
        match inside {
            Some(first) => first.to_vec(),
            None => self.outside.entry(link.first_path.clone()).or_insert_with(|| path.to_vec()).clone(),
        }
    }

    /// The first name of the live file `inode` (device and inode number) with `link_count` names, of which `path` is
    /// one. Names must be given in the order of the walk.
    pub fn of_live(&mut self, inode: Identity, link_count: u32, path: &[u8]) -> Vec<u8> {
        self.live.of(inode, link_count, path)
    }
}

/// Files of B whose first name had, on side A, another first name: by the name in B.
#[derive(Default)]
pub(super) struct MovedFirstNames {
    moved: HashMap<Vec<u8>, Vec<u8>>,
}

impl MovedFirstNames {
    /// Notes that `first`, the first name of a file of B, was a name of the file of A whose first name is `before`.
    pub fn note(&mut self, first: &[u8], before: Option<&Vec<u8>>) {
        if let Some(before) = before.filter(|before| *before != first) {
            self.moved.insert(first.to_vec(), before.clone());
        }
    }

    /// Whether a name whose first name is `first` in B, and was `before` in A, was a name of the same file as `first`
    /// already in A.
    pub fn were_one(&self, first: &[u8], before: Option<&Vec<u8>>) -> bool {
        before.is_some_and(|before| self.moved.get(first).map_or(first, Vec::as_slice) == before)
    }
}
