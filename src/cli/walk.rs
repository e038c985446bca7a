//! Walk: a directory of a snapshot and everything below it, in order of names. Memory grows with the depth only.

use yesterfs::error::Result;
use yesterfs::repository::node::{DirectoryRoot, Node};
use yesterfs::repository::tree::{Entries, TreeReader};

/// What a walk comes by.
pub enum Step {
    /// An entry; what is below it comes next, unless [`Walk::skip_below`] is called.
    Entry { path: Vec<u8>, node: Box<Node> },
    /// The end of a directory that was entered.
    Leave(DirectoryRoot),
}

/// Depth-first walk. After an error it goes on behind what could not be read.
pub struct Walk<'a> {
    tree: TreeReader<'a>,
    stack: Vec<Level<'a>>,
    /// The directory that was handed out last and is not entered yet.
    below: Option<(DirectoryRoot, Vec<u8>)>,
}

struct Level<'a> {
    root: DirectoryRoot,
    path: Vec<u8>,
    entries: Entries<'a>,
}

impl<'a> Walk<'a> {
    /// A walk below the directory `root`, whose own path is `path`.
    pub fn new(tree: TreeReader<'a>, root: DirectoryRoot, path: &[u8]) -> Walk<'a> {
        Walk { tree, stack: Vec::new(), below: Some((root, path.to_vec())) }
    }

    /// Passes over what is below the directory that was handed out last.
    pub fn skip_below(&mut self) {
        self.below = None;
    }

    fn enter(&mut self) {
        if let Some((root, path)) = self.below.take() {
            let entries = self.tree.entries(&root);
            self.stack.push(Level { root, path, entries });
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Result<Step>> {
        self.enter();
        let level = self.stack.last_mut()?;
        match level.entries.next() {
            Some(Ok(entry)) => {
                let path = join(&level.path, &entry.name);
                self.below = entry.node.directory().map(|root| (root.clone(), path.clone()));
                Some(Ok(Step::Entry { path, node: Box::new(entry.node) }))
            }
            Some(Err(error)) => Some(Err(error)),
            None => self.stack.pop().map(|level| Ok(Step::Leave(level.root))),
        }
    }
}

/// `directory/name`; the root's path is empty.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
