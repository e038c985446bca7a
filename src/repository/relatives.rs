//! Relatives: finds an older content that a new one is probably like, where no file of its name tells: a renamed or moved
//! file, the dump of another day, a file under a new source. A content is known by the ids of its first chunks.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::catalog::Catalog;
use crate::repository::content::{Content, ExtentSource};
use crate::repository::content_reader::ContentReader;
use crate::repository::node::{DirectoryRoot, NodeKind};
use crate::repository::predecessor::Predecessor;
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;

/// Shorter contents are stored whole: looking for relatives costs more than they do.
pub const RELATIVE_MIN_BYTES: u64 = 256 << 10;

/// Chunks by which a content is known. With one row in a hundred updated, two thirds of the chunks of a dump are other ones.
pub const FIRST_CHUNKS: usize = 32;

/// Contents that are surveyed at most: their first chunks take 20 MiB.
const CONTENTS_MAX: usize = 1 << 14;

/// Entries that a survey passes at most; it takes a second.
const ENTRIES_MAX: usize = 1 << 20;

/// Sources whose last snapshots are surveyed.
const SOURCES_MAX: usize = 16;

/// Where relatives are looked for. The survey is made when first asked for one.
pub struct Relatives<'r> {
    chunks: &'r ChunkStore,
    /// Directories to survey; the likeliest comes last.
    roots: Vec<DirectoryRoot>,
    survey: OnceLock<Survey>,
}

/// Contents, and where to find them by their chunks.
#[derive(Default)]
struct Survey {
    contents: Vec<Content>,
    /// What is entered later wins: of the dumps of several days, which share chunks, the last in order of names.
    by_chunk: HashMap<ChunkId, u32>,
    entries: usize,
}

impl<'r> Relatives<'r> {
    /// Relatives in the last snapshot of `source`, and in those of the sources that were ingested last.
    pub fn new(chunks: &'r ChunkStore, catalog: &Catalog, source: &str) -> Relatives<'r> {
        let mut met = HashSet::from([source]);
        let others = catalog.snapshots().rev().filter(|snapshot| met.insert(snapshot.manifest.source.as_str()));
        let last = catalog.of_source(source).next_back().into_iter().chain(others);
        let likely: Vec<_> = last.take(SOURCES_MAX).collect();
        let roots = likely.iter().rev().filter_map(|snapshot| snapshot.manifest.root.directory().cloned()).collect();
        Relatives { chunks, roots, survey: OnceLock::new() }
    }

    /// True where nobody can have a relative, so that nothing need be cut and hashed to look for one.
    pub fn is_empty(&self) -> bool {
        self.surveyed().contents.is_empty()
    }

    /// The content that has most of these chunks among its first ones. What cannot be read is nobody's relative.
    pub fn find(&self, first: &[ChunkId]) -> Option<Predecessor<'_>> {
        let survey = self.surveyed();
        let mut votes: HashMap<u32, usize> = HashMap::new();
        for number in first.iter().filter_map(|id| survey.by_chunk.get(id)) {
            *votes.entry(*number).or_default() += 1;
        }
        let (number, _) = votes.into_iter().max_by_key(|&(number, count)| (count, number))?;
        survey.contents.get(number as usize).map(|content| Predecessor::new(self.chunks, content))
    }

    fn surveyed(&self) -> &Survey {
        self.survey.get_or_init(|| {
            let mut survey = Survey::default();
            for root in &self.roots {
                if let Err(error) = survey.add_tree(self.chunks, root) {
                    log::warn!("looking for files that new ones are like: {error}");
                }
            }
            survey
        })
    }
}

impl Survey {
    fn is_full(&self) -> bool {
        self.contents.len() == CONTENTS_MAX || self.entries == ENTRIES_MAX
    }

    fn add_tree(&mut self, chunks: &ChunkStore, root: &DirectoryRoot) -> Result<()> {
        let mut waiting = vec![root.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in TreeReader::new(chunks).entries(&directory) {
                if self.is_full() {
                    return Ok(());
                }
                self.entries += 1;
                match entry?.node.kind {
                    NodeKind::Directory(below) if below.totals.data_bytes >= RELATIVE_MIN_BYTES => waiting.push(below),
                    NodeKind::File { content, .. } if content.data_bytes >= RELATIVE_MIN_BYTES => {
                        self.add_content(chunks, content)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add_content(&mut self, chunks: &ChunkStore, content: Content) -> Result<()> {
        let number = self.contents.len() as u32;
        for placed in ContentReader::new(chunks).extents_from(&content, 0).take(FIRST_CHUNKS) {
            if let ExtentSource::Chunk { id, offset: 0 } = placed?.extent.source {
                self.by_chunk.insert(id, number);
            }
        }
        self.contents.push(content);
        Ok(())
    }
}
