//! Pairs: the entries of two directories side by side, by name. Pages that both share are passed over unread.

use crate::error::Result;
use crate::repository::entry_cursor::{Entry, EntryCursor, SameEntries};
use crate::repository::page_cursor::Head;

/// Entries in order of names, of whatever holds a directory.
pub trait EntriesByName {
    type Entry;

    /// What it stands at.
    fn head(&mut self) -> Result<Head>;

    /// Name of the entry that it stands at.
    fn name(&self) -> Result<Option<&[u8]>>;

    /// All entries still to come have greater names than this one. `None` where nothing is known.
    fn name_before(&self) -> Result<Option<&[u8]>>;

    /// Reads the page that it stands at.
    fn open(&mut self) -> Result<()>;

    /// As [`EntryCursor::pass_same`]; entries that are not stored are never known to be the same.
    fn pass_same(&mut self, other: &mut Self) -> Result<SameEntries>;

    /// Passes over the page or entry that it stands at; tells how many entries that are, at any depth.
    fn pass(&mut self) -> Result<u64>;

    /// Takes the entry that it stands at.
    fn take(&mut self) -> Result<Option<Self::Entry>>;
}

impl EntriesByName for EntryCursor<'_> {
    type Entry = Entry;

    fn head(&mut self) -> Result<Head> {
        EntryCursor::head(self)
    }

    fn name(&self) -> Result<Option<&[u8]>> {
        EntryCursor::name(self)
    }

    fn name_before(&self) -> Result<Option<&[u8]>> {
        EntryCursor::name_before(self)
    }

    fn open(&mut self) -> Result<()> {
        EntryCursor::open(self)
    }

    fn pass_same(&mut self, other: &mut Self) -> Result<SameEntries> {
        EntryCursor::pass_same(self, other)
    }

    fn pass(&mut self) -> Result<u64> {
        EntryCursor::pass(self)
    }

    fn take(&mut self) -> Result<Option<Entry>> {
        EntryCursor::take(self)
    }
}

/// Entries of one name: of A and of B.
pub type Pair<E> = [Option<E>; 2];

/// What going through two trees took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PagesMet {
    pub read: u64,
    /// Pages and subdirectories shared by both, and passed over unread.
    pub skipped: u64,
    /// Entries in those, at any depth, and single ones that are the same in both.
    pub entries_skipped: u64,
}

/// The next entries by name, without stored ones that are the same in both; counts what was read and what was not.
pub fn next_pair<S: EntriesByName>(sides: &mut [S; 2], met: &mut PagesMet) -> Result<Option<Pair<S::Entry>>> {
    let [a, b] = sides;
    loop {
        match (a.head()?, b.head()?) {
            (Head::End, Head::End) => return Ok(None),
            (Head::Page(page), Head::Page(other)) if page.id == other.id => {
                met.skipped += 1;
                met.entries_skipped += a.pass()?;
                b.pass()?;
            }
            (Head::Page(page), Head::Page(other)) => match (page.level, other.level) {
                // The higher one first: what is below it may equal the lower one.
                (Some(level), Some(other)) if level < other => open_page(b, met)?,
                _ => open_page(a, met)?,
            },
            (Head::Page(_), Head::End) => open_page(a, met)?,
            (Head::End, Head::Page(_)) => open_page(b, met)?,
            (Head::Page(_), Head::Entry) => {
                if comes_before_page(b, a)? {
                    return Ok(Some([None, b.take()?]));
                }
                open_page(a, met)?;
            }
            (Head::Entry, Head::Page(_)) => {
                if comes_before_page(a, b)? {
                    return Ok(Some([a.take()?, None]));
                }
                open_page(b, met)?;
            }
            (Head::Entry, Head::End) => return Ok(Some([a.take()?, None])),
            (Head::End, Head::Entry) => return Ok(Some([None, b.take()?])),
            (Head::Entry, Head::Entry) => {
                // Most entries of pages that differ are the same: decoding them would take longer than all else.
                let same = a.pass_same(b)?;
                if same.entries > 0 {
                    met.skipped += same.directories;
                    met.entries_skipped = met.entries_skipped.saturating_add(same.descendants);
                    continue;
                }
                let order = a.name()?.cmp(&b.name()?);
                let taken_a = if order.is_le() { a.take()? } else { None };
                let taken_b = if order.is_ge() { b.take()? } else { None };
                return Ok(Some([taken_a, taken_b]));
            }
        }
    }
}

fn open_page<S: EntriesByName>(entries: &mut S, met: &mut PagesMet) -> Result<()> {
    met.read += 1;
    entries.open()
}

/// Whether the entry that `entries` stands at has a name before all that `paged` has still to come.
fn comes_before_page<S: EntriesByName>(entries: &S, paged: &S) -> Result<bool> {
    Ok(matches!((entries.name()?, paged.name_before()?), (Some(name), Some(before)) if name <= before))
}
