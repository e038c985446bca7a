//! The entries of a directory of both sides, paired by name. Pages that the sides share are passed over unread.

use crate::diff::DiffSummary;
use crate::diff::listing::{Item, Listing, ListingHead};
use crate::error::Result;

/// Entries of one name: of A and of B.
pub(super) type Pair = [Option<Item>; 2];

/// The next entries by name; counts in `summary` what was read and what was not.
pub(super) fn next_pair(sides: &mut [Listing<'_>; 2], summary: &mut DiffSummary) -> Result<Option<Pair>> {
    let [a, b] = sides;
    loop {
        match (a.head()?, b.head()?) {
            (ListingHead::End, ListingHead::End) => return Ok(None),
            (ListingHead::Page(page, _), ListingHead::Page(other, _)) if page == other => {
                summary.pages_skipped += 1;
                summary.entries_skipped += a.descendants();
                a.pass();
                b.pass();
            }
            // The higher one first: what is below it may equal the lower one.
            (ListingHead::Page(_, Some(level)), ListingHead::Page(_, Some(other))) if level < other => {
                open_page(b, summary)?;
            }
            (ListingHead::Page(..), ListingHead::Page(..) | ListingHead::End) => open_page(a, summary)?,
            (ListingHead::End, ListingHead::Page(..)) => open_page(b, summary)?,
            (ListingHead::Page(..), ListingHead::Entry) => {
                if comes_before_page(b, a)? {
                    return Ok(Some([None, b.take()?]));
                }
                open_page(a, summary)?;
            }
            (ListingHead::Entry, ListingHead::Page(..)) => {
                if comes_before_page(a, b)? {
                    return Ok(Some([a.take()?, None]));
                }
                open_page(b, summary)?;
            }
            (ListingHead::Entry, ListingHead::End) => return Ok(Some([a.take()?, None])),
            (ListingHead::End, ListingHead::Entry) => return Ok(Some([None, b.take()?])),
            (ListingHead::Entry, ListingHead::Entry) => {
                let order = a.name()?.cmp(&b.name()?);
                let taken_a = if order.is_le() { a.take()? } else { None };
                let taken_b = if order.is_ge() { b.take()? } else { None };
                return Ok(Some([taken_a, taken_b]));
            }
        }
    }
}

fn open_page(listing: &mut Listing<'_>, summary: &mut DiffSummary) -> Result<()> {
    summary.pages_read += 1;
    listing.open()
}

/// Whether the entry that `entries` stands at has a name before all that `paged` has still to come.
fn comes_before_page(entries: &Listing<'_>, paged: &Listing<'_>) -> Result<bool> {
    Ok(matches!((entries.name()?, paged.name_before()?), (Some(name), Some(before)) if name <= before))
}
