//! Relations: what is named like a table and is none. A dump may have a million sequences, so each is known by a hash of its name.

use std::collections::HashMap;

use crate::dump::postgres::part::PartKind;
use crate::dump::postgres::words::QualifiedName;
use crate::id::hash;

/// The first half of the hash of a name: no two names have the same.
type Key = [u8; 16];

fn key(name: &QualifiedName) -> Key {
    let schema = name.schema.as_deref().unwrap_or_default();
    let digest = hash(&[schema, &name.name].join(&0));
    std::array::from_fn(|at| digest[at])
}

/// Those of one database.
#[derive(Default)]
pub struct Relations {
    // In one piece, so that it is given back at the end of the dump, when the order of parts takes room.
    kinds: HashMap<Key, PartKind>,
}

impl Relations {
    /// There is one of this kind.
    pub fn add(&mut self, name: &QualifiedName, kind: PartKind) {
        self.kinds.insert(key(name), kind);
    }

    /// What has this name.
    pub fn kind(&self, name: &QualifiedName) -> Option<PartKind> {
        self.kinds.get(&key(name)).copied()
    }
}
