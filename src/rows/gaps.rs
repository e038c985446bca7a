//! Gaps: what two stored contents do not share, as pairs of ranges, one of each, in order. What lies between two gaps are the
//! same chunks on both sides. Pages that both have are not read.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::page::{Page, PageKind};
use crate::store::ChunkStore;

/// Extents and pages of one side that are looked at; where more differ, pages are not taken apart, and count as changed.
const ITEMS_MAX: usize = 1 << 18;

/// Pages that are fetched at a time.
const FETCH_PAGES: usize = 64;

/// A range of each side, between what both share. One of them may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub sides: [Range<u64>; 2],
}

/// What stands for a range of a content: equal ones stand for the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    Page {
        id: ChunkId,
        level: u8,
    },
    Chunk {
        id: ChunkId,
        offset: u32,
        length: u64,
    },
    Hole {
        length: u64,
    },
    /// Bytes that stand in the node.
    Inline,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    token: Token,
    start: u64,
    length: u64,
}

impl Item {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    fn level(&self) -> Option<u8> {
        match self.token {
            Token::Page { level, .. } => Some(level),
            _ => None,
        }
    }

    fn of(start: u64, extent: Extent) -> Item {
        let length = extent.length;
        let token = match extent.source {
            ExtentSource::Hole => Token::Hole { length },
            ExtentSource::Chunk { id, offset } => Token::Chunk { id, offset, length },
        };
        Item { token, start, length }
    }
}

/// The gaps between two contents, each of which has its chunks in a store.
pub fn gaps(stores: [&ChunkStore; 2], a: &Content, b: &Content) -> Result<Vec<Gap>> {
    let mut sides = [items(stores[0], a)?, items(stores[1], b)?];
    while let Some(level) = highest_unshared(&sides) {
        if sides.iter().map(Vec::len).max().unwrap_or(0) > ITEMS_MAX {
            break;
        }
        let shared = shared_tokens(&sides);
        for (side, chunks) in sides.iter_mut().zip(stores) {
            *side = opened(chunks, side, level, &shared)?;
        }
    }
    Ok(between(&sides, [a.size, b.size]))
}

/// All of both.
pub fn everything(a: &Content, b: &Content) -> Vec<Gap> {
    vec![Gap { sides: [0..a.size, 0..b.size] }]
}

fn items(chunks: &ChunkStore, content: &Content) -> Result<Vec<Item>> {
    Ok(match &content.body {
        ContentBody::Inline(bytes) if bytes.is_empty() => Vec::new(),
        ContentBody::Inline(bytes) => vec![Item { token: Token::Inline, start: 0, length: bytes.len() as u64 }],
        ContentBody::Extents(list) => {
            let mut start = 0u64;
            list.iter().map(|extent| placed(&mut start, *extent)).collect()
        }
        ContentBody::Tree { page, .. } => {
            let level = Page::open(*page, chunks.get(page)?, PageKind::Content)?.level();
            vec![Item { token: Token::Page { id: *page, level }, start: 0, length: content.size }]
        }
    })
}

fn placed(start: &mut u64, extent: Extent) -> Item {
    let item = Item::of(*start, extent);
    *start = item.end();
    item
}

type Shared = HashMap<Token, [u32; 2]>;

/// How often each side has each token.
fn shared_tokens(sides: &[Vec<Item>; 2]) -> Shared {
    let mut counts = Shared::new();
    for (side, items) in sides.iter().enumerate() {
        for item in items {
            counts.entry(item.token).or_default()[side] += 1;
        }
    }
    counts
}

fn is_shared(counts: &Shared, token: &Token) -> bool {
    counts.get(token).is_some_and(|[a, b]| *a > 0 && *b > 0)
}

/// The highest level of pages that only one side has.
fn highest_unshared(sides: &[Vec<Item>; 2]) -> Option<u8> {
    let counts = shared_tokens(sides);
    let pages = sides.iter().flatten().filter(|item| !is_shared(&counts, &item.token));
    pages.filter_map(Item::level).max()
}

/// The same items, with what the pages of this level list that only this side has.
fn opened(chunks: &ChunkStore, items: &[Item], level: u8, shared: &Shared) -> Result<Vec<Item>> {
    let is_opened = |item: &&Item| item.level() == Some(level) && !is_shared(shared, &item.token);
    let wanted: Vec<ChunkId> = items.iter().filter(is_opened).filter_map(page_id).collect();
    let mut batches = wanted.chunks(FETCH_PAGES);
    let (mut out, mut fetched) = (Vec::with_capacity(items.len()), 0);
    for item in items {
        let Some(id) = page_id(item).filter(|_| is_opened(&item)) else {
            out.push(*item);
            continue;
        };
        if fetched == 0 {
            let batch = batches.next().unwrap_or_default();
            chunks.fetch(batch)?;
            fetched = batch.len();
        }
        fetched = fetched.saturating_sub(1);
        let page = Page::open(id, chunks.get(&id)?, PageKind::Content)?;
        list_page(&page, item, &mut out)?;
    }
    Ok(out)
}

fn page_id(item: &Item) -> Option<ChunkId> {
    match item.token {
        Token::Page { id, .. } => Some(id),
        _ => None,
    }
}

/// Adds what a page lists.
fn list_page(page: &Page, item: &Item, out: &mut Vec<Item>) -> Result<()> {
    let (mut start, Some(level)) = (item.start, item.level()) else { return Ok(()) };
    if page.level() > level {
        return Err(page.corrupt("it is of a higher level than the page above says"));
    }
    for at in 0..page.len() {
        if page.level() == 0 {
            out.push(placed(&mut start, page.value(at, Extent::decode)?));
        } else {
            let child = page.child(at)?;
            let token = Token::Page { id: child.page, level: page.level() - 1 };
            let below = Item { token, start, length: child.totals.bytes };
            start = below.end();
            out.push(below);
        }
    }
    if start == item.end() { Ok(()) } else { Err(page.corrupt("its totals are not those of what it lists")) }
}

/// The gaps around what both sides have once each, in the same order, and what is the same next to that.
fn between(sides: &[Vec<Item>; 2], sizes: [u64; 2]) -> Vec<Gap> {
    let [a, b] = sides;
    let counts = shared_tokens(sides);
    let is_single = |item: &Item| item.token != Token::Inline && counts.get(&item.token) == Some(&[1, 1]);
    let places: HashMap<Token, usize> =
        b.iter().enumerate().filter(|(_, item)| is_single(item)).map(|(at, item)| (item.token, at)).collect();
    let pairs: Vec<(usize, usize)> = a
        .iter()
        .enumerate()
        .filter(|(_, item)| is_single(item))
        .filter_map(|(at, item)| Some((at, *places.get(&item.token)?)))
        .collect();
    let mut gaps = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (anchor_a, anchor_b) in longest_increasing(&pairs) {
        if anchor_a < i || anchor_b < j {
            continue;
        }
        let (from_a, from_b) = gap_start(a, b, (i, j), (anchor_a, anchor_b));
        let (until_a, until_b) = gap_end(a, b, (from_a, from_b), (anchor_a, anchor_b));
        push_gap(&mut gaps, sides, [from_a..until_a, from_b..until_b]);
        (i, j) = (anchor_a + 1, anchor_b + 1);
    }
    let (from_a, from_b) = gap_start(a, b, (i, j), (a.len(), b.len()));
    let (until_a, until_b) = gap_end(a, b, (from_a, from_b), (a.len(), b.len()));
    push_gap(&mut gaps, sides, [from_a..until_a, from_b..until_b]);
    debug_assert!(sides.iter().zip(sizes).all(|(items, size)| items.last().map_or(0, Item::end) == size));
    gaps
}

fn is_same(a: &Item, b: &Item) -> bool {
    a.token == b.token && a.token != Token::Inline
}

/// Passes what is the same from `from` on.
fn gap_start(a: &[Item], b: &[Item], from: (usize, usize), until: (usize, usize)) -> (usize, usize) {
    let same = a[from.0..until.0].iter().zip(&b[from.1..until.1]).take_while(|(a, b)| is_same(a, b)).count();
    (from.0 + same, from.1 + same)
}

/// Passes what is the same before `until`.
fn gap_end(a: &[Item], b: &[Item], from: (usize, usize), until: (usize, usize)) -> (usize, usize) {
    let pairs = a[from.0..until.0].iter().rev().zip(b[from.1..until.1].iter().rev());
    let same = pairs.take_while(|(a, b)| is_same(a, b)).count();
    (until.0 - same, until.1 - same)
}

fn push_gap(gaps: &mut Vec<Gap>, sides: &[Vec<Item>; 2], [a, b]: [Range<usize>; 2]) {
    if a.is_empty() && b.is_empty() {
        return;
    }
    let range = |items: &[Item], range: Range<usize>| {
        let start = match items.get(range.start) {
            Some(item) => item.start,
            None => items.last().map_or(0, Item::end),
        };
        start..items[range].last().map_or(start, Item::end)
    };
    gaps.push(Gap { sides: [range(&sides[0], a), range(&sides[1], b)] });
}

/// The most of these pairs, whose first numbers increase, that increase in their second ones too.
fn longest_increasing(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // The last pair of the best chain of each length, and what came before each.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::with_capacity(pairs.len()));
    for (number, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&end| pairs[end].1 < pair.1);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(number);
        } else {
            ends[length] = number;
        }
    }
    let mut chain = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(number) = at {
        chain.push(pairs[number]);
        at = before[number];
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of ten bytes, named by letters.
    fn side(text: &str) -> Vec<Item> {
        let item = |(at, letter): (usize, u8)| Item {
            token: Token::Chunk { id: ChunkId([letter; 32]), offset: 0, length: 10 },
            start: 10 * at as u64,
            length: 10,
        };
        text.bytes().enumerate().map(item).collect()
    }

    #[track_caller]
    fn differ(a: &str, b: &str, expected: &[(&str, &str)]) {
        let sides = [side(a), side(b)];
        let found = between(&sides, [a.len() as u64 * 10, b.len() as u64 * 10]);
        let letters =
            |text: &str, range: &Range<u64>| text[range.start as usize / 10..range.end as usize / 10].to_string();
        let found: Vec<_> = found.iter().map(|gap| (letters(a, &gap.sides[0]), letters(b, &gap.sides[1]))).collect();
        let expected: Vec<_> = expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        assert_eq!(found, expected, "{a} {b}");
    }

    #[test]
    fn gaps_are_what_is_not_shared_in_order() {
        differ("", "", &[]);
        differ("abc", "abc", &[]);
        differ("abc", "axc", &[("b", "x")]);
        differ("abc", "xabc", &[("", "x")]);
        differ("abc", "ab", &[("c", "")]);
        differ("abcdef", "axcdyzf", &[("b", "x"), ("e", "yz")]);
        // What moved is on both sides.
        differ("abcd", "bcda", &[("a", ""), ("", "a")]);
        // The same chunk many times.
        differ("azzzzb", "azzzb", &[("z", "")]);
        differ("zzz", "zz", &[("z", "")]);
        differ("abc", "xyz", &[("abc", "xyz")]);
    }
}
