//! DumpTree: writes the directories of a dump's snapshot from files that come in the order of their paths. What is as it was
//! in the snapshot before keeps its time, so that two snapshots differ in nothing but what changed.

use crate::error::{Error, Result};
use crate::repository::comparison::{StoredBytes, same_bytes};
use crate::repository::content::Content;
use crate::repository::node::{DirectoryRoot, Node, NodeKind, RootPage};
use crate::repository::session::WriteSession;
use crate::repository::tree::{DirectoryWriter, Entries, Entry, OlderDirectory, TreeReader, Witness};
use crate::store::ChunkStore;

/// The directories that are being written.
pub struct DumpTree<'s, 'r> {
    session: &'s WriteSession<'r>,
    /// What new files and directories have in common.
    file: Node,
    directory: Node,
    stack: Vec<OpenDirectory<'s, 'r>>,
    files: u64,
}

struct OpenDirectory<'s, 'r> {
    name: Vec<u8>,
    writer: DirectoryWriter<'s, WriteSession<'r>>,
    older: Option<OlderEntries<'s>>,
    /// The node that it had before.
    before: Option<Node>,
}

/// The entries that a directory had before, beside those that it gets.
struct OlderEntries<'s> {
    entries: std::iter::Peekable<Entries<'s>>,
}

impl OlderEntries<'_> {
    /// The entry of this name. Names must be asked for in order. What cannot be read is not there.
    fn at(&mut self, name: &[u8]) -> Option<Entry> {
        while self.entries.next_if(|entry| entry.as_ref().is_ok_and(|entry| *entry.name < *name)).is_some() {}
        let found = self.entries.next_if(|entry| entry.as_ref().is_ok_and(|entry| *entry.name == *name));
        found.and_then(Result::ok)
    }
}

impl<'s, 'r> DumpTree<'s, 'r> {
    /// A tree whose entries have the metadata of these two; `before` is the root of the snapshot before.
    pub fn new(session: &'s WriteSession<'r>, file: Node, directory: Node, before: Option<&Node>) -> DumpTree<'s, 'r> {
        let mut tree = DumpTree { session, file, directory, stack: Vec::new(), files: 0 };
        tree.open(Vec::new(), before.cloned());
        tree
    }

    fn chunks(&self) -> &'s ChunkStore {
        self.session.chunks().store()
    }

    fn open(&mut self, name: Vec<u8>, before: Option<Node>) {
        let root = before.as_ref().and_then(|node| node.directory());
        let page = root.and_then(|root| root.page.as_ref());
        let older = OlderDirectory { entries: page.and_then(RootPage::stored), witnesses: None };
        let entries = root.map(|root| TreeReader::new(self.chunks()).entries(root).peekable());
        let writer = DirectoryWriter::new(self.session).beside(self.chunks(), older).without_witnesses();
        // Tables by the hundred thousand are directories of a few files each; only the root of all stands in a page of its own.
        let writer = if self.stack.is_empty() { writer } else { writer.inline_if_small() };
        self.stack.push(OpenDirectory { name, writer, older: entries.map(|entries| OlderEntries { entries }), before });
    }

    /// Opens the directories that lead to a file, and closes those that do not. Gives the content that the file had before.
    pub fn go_to(&mut self, path: &[&[u8]]) -> Result<Option<Node>> {
        let Some((name, directories)) = path.split_last() else { return Ok(None) };
        let shared = self.stack[1..].iter().zip(directories).take_while(|(open, name)| open.name == **name).count();
        while self.stack.len() > 1 + shared {
            self.close()?;
        }
        for directory in &directories[shared..] {
            let before = self.before(directory);
            self.open(directory.to_vec(), before);
        }
        Ok(self.before(name))
    }

    fn before(&mut self, name: &[u8]) -> Option<Node> {
        self.stack.last_mut()?.older.as_mut()?.at(name).map(|entry| entry.node)
    }

    /// Adds a file to the directory that [`DumpTree::go_to`] went to.
    pub fn push(&mut self, name: &[u8], content: Content, before: Option<Node>) -> Result<()> {
        let content = match before.as_ref().and_then(Node::content) {
            // The same bytes in chunks shared with neighbours that changed: what was there before need not be told again.
            Some(older) if self.is_same(older, &content) => older.clone(),
            _ => content,
        };
        let kind = NodeKind::File { content, torn: false };
        self.files += 1;
        self.add(name, Node { kind, ..self.file.clone() }, before)
    }

    /// Whether both hold the same bytes. Where that cannot be read, they do not.
    fn is_same(&self, older: &Content, content: &Content) -> bool {
        let stored = |content| StoredBytes { chunks: self.chunks(), content };
        is_known_as_same(same_bytes(stored(older), stored(content), &|| false))
    }

    fn add(&mut self, name: &[u8], mut node: Node, before: Option<Node>) -> Result<()> {
        let same_but_for_time = |before: &Node| Node { modified: before.modified, ..node.clone() } == *before;
        if let Some(before) = before.filter(same_but_for_time) {
            node.modified = before.modified;
        }
        match self.stack.last_mut() {
            Some(open) => open.writer.push(name, &node, &Witness::None),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(OpenDirectory { name, writer, before, .. }) = self.stack.pop() else { return Ok(()) };
        let (root, _) = writer.finish()?;
        let node = Node { kind: NodeKind::Directory(root), ..self.directory.clone() };
        self.add(&name, node, before)
    }

    /// Ends the tree: its root, and how many files it has.
    pub fn finish(mut self) -> Result<(Node, u64)> {
        while self.stack.len() > 1 {
            self.close()?;
        }
        let root = match self.stack.pop() {
            Some(open) => open.writer.finish()?.0,
            None => DirectoryRoot::default(),
        };
        Ok((Node { kind: NodeKind::Directory(root), ..self.directory }, self.files))
    }
}

/// What comparing with what was there before found. A new chunk that is in no published pack cannot be read yet, and no file had it
/// before.
pub(super) fn is_known_as_same(found: Result<bool>) -> bool {
    match found {
        Err(Error::ChunkMissing { .. }) => false,
        found => found.inspect_err(|error| log::warn!("reading what a file held before: {error}")).unwrap_or(false),
    }
}
