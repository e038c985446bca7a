//! Which pages of an older tree a new page is probably like: those that tell of the same stretch.

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::page::{Page, PageKind};
use crate::store::ChunkStore;

/// Pages that a new one is compared with at most: as many as it may have bases.
const PAGES_MAX: usize = 4;

/// A stretch of a tree.
#[derive(Debug, Clone, Copy)]
pub enum Span<'k> {
    /// Of a content.
    Bytes { from: u64, to: u64 },
    /// Of a list without keys.
    Entries { from: u64, to: u64 },
    /// Of a directory: from the first name to the last.
    Names { first: &'k [u8], last: &'k [u8] },
}

/// The pages of one level that cover the span. Empty where the old tree is lower, or cannot be read: a base is a luxury.
pub fn pages_at(chunks: &ChunkStore, kind: PageKind, root: ChunkId, level: u8, span: &Span) -> Vec<ChunkId> {
    let mut found = Vec::new();
    let collected = chunks.get(&root).and_then(|bytes| Page::open(root, bytes, kind)).and_then(|page| {
        found.extend((page.level() == level).then_some(root));
        collect_below(chunks, &page, level, span, 0, &mut found)
    });
    if let Err(error) = collected {
        log::warn!("storing a page without its base: {error}");
        found.clear();
    }
    found
}

/// `before` is how much of the tree lies before the page.
fn collect_below(
    chunks: &ChunkStore,
    page: &Page,
    level: u8,
    span: &Span,
    mut before: u64,
    found: &mut Vec<ChunkId>,
) -> Result<()> {
    if page.level() <= level {
        return Ok(());
    }
    for at in 0..page.len() {
        let child = page.child(at)?;
        let size = match span {
            Span::Bytes { .. } => child.totals.bytes,
            Span::Entries { .. } => child.totals.entries,
            Span::Names { .. } => 0,
        };
        let (begin, end) = (before, before.saturating_add(size));
        before = end;
        let covers = match span {
            Span::Bytes { from, to } | Span::Entries { from, to } => begin < *to && *from < end,
            Span::Names { first, last } => page.key(at)? >= *first && (at == 0 || page.key(at - 1)? < *last),
        };
        if !covers || found.len() == PAGES_MAX {
            continue;
        }
        if page.level() == level + 1 {
            found.push(child.page);
        } else {
            let below = Page::open(child.page, chunks.get(&child.page)?, page.kind())?;
            // Levels must fall, or a page that names itself would never end.
            if below.level() >= page.level() {
                return Err(page.corrupt("a page below it is not of a lower level"));
            }
            collect_below(chunks, &below, level, span, begin, found)?;
        }
    }
    Ok(())
}
