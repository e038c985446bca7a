//! Chains of deltas that are as long as they may be, and where a new page joins them instead of making them longer.
//!
//! A page that was told against the end of such a chain's last link but one, and the next one again, would soon tell all that
//! has changed since. So short links are made one, which begins where a link that is as long as they are together ends: of
//! pages that change alike, chains have some links of many versions at their beginning and some of one at their end.

use super::ChunkStore;
use crate::error::Result;
use crate::id::ChunkId;
use crate::store::chunk_record::{ChunkRecord, DELTA_DEPTH_MAX, RecordPlace};
use crate::store::listed_delta::IdRun;

/// At least so many links become one, so that the next versions make links of one version again.
const MERGED_LINKS_MIN: u32 = DELTA_DEPTH_MAX / 2;

/// Chains of several pages that meet and part are followed no further where they have become so many: of those, few are needed.
const PLACES_MAX: usize = 16;

/// Where a new page joins a chain.
#[derive(Debug, Default)]
pub(super) struct Junction {
    /// What it is told against.
    pub places: Vec<RecordPlace>,
    /// The ids that the links that it is told in place of left to footers.
    pub listed: Vec<IdRun>,
}

/// A delta and what it is told against; of several pages, all deltas that are as far from the end of the chain.
#[derive(Debug, Default)]
struct Link {
    bases: Vec<RecordPlace>,
    record_bytes: u64,
    listed: Vec<IdRun>,
}

impl Link {
    fn add(&mut self, record: &ChunkRecord, place: &RecordPlace) {
        if record.bases.is_empty() {
            self.add_base(place);
            return;
        }
        record.bases.iter().for_each(|base| self.add_base(base));
        self.record_bytes += u64::from(place.record_bytes);
        // One that cannot be read costs the page that needs it, not this one.
        self.listed.extend(record.listed().ok().flatten().map(|delta| delta.runs).unwrap_or_default());
    }

    fn add_base(&mut self, place: &RecordPlace) {
        if !self.bases.contains(place) {
            self.bases.push(*place);
        }
    }
}

impl ChunkStore {
    /// Where a page joins the chain that ends with `record` of chunk `id`, which lies at `place`.
    pub(super) fn junction(&self, record: &ChunkRecord, place: &RecordPlace, id: &ChunkId) -> Result<Junction> {
        let mut link = Link::default();
        link.add(record, place);
        let (mut listed, mut merged_bytes) = (Vec::new(), 0);
        for merged in 1..=DELTA_DEPTH_MAX {
            listed.append(&mut link.listed);
            merged_bytes += link.record_bytes;
            let next = self.link_of(&link.bases, id)?;
            let is_end = next.record_bytes == 0 || next.bases.len() > PLACES_MAX;
            if is_end || merged >= MERGED_LINKS_MIN && 2 * next.record_bytes > merged_bytes {
                break;
            }
            link = next;
        }
        Ok(Junction { places: link.bases, listed })
    }

    /// The link that ends with these records.
    fn link_of(&self, places: &[RecordPlace], id: &ChunkId) -> Result<Link> {
        let mut link = Link::default();
        for place in places {
            let bytes = self.read_record(place)?;
            link.add(&self.open_record(&bytes, id, &place.pack)?, place);
        }
        Ok(link)
    }
}
