//! Where a stream of bytes is cut into chunks: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking
//! for Data Deduplication Based Storage Systems", IEEE TPDS 2020). The door to the crate of that name.
//! The parameters are part of the format (`docs/format.md` section 3): changing them would end all sharing with old snapshots.

use fastcdc::v2020::{FastCDC, Normalization};

/// Sizes of one class of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    pub min_bytes: usize,
    pub average_bytes: usize,
    pub max_bytes: usize,
}

impl ChunkSizes {
    /// Dumps and text. At most 32 KiB, so that a chunk and its delta base fit lz4's window of 64 KiB together.
    pub const SMALL: ChunkSizes = ChunkSizes { min_bytes: 4 << 10, average_bytes: 16 << 10, max_bytes: 32 << 10 };
    /// Binary files, where index entries cost more than finer sharing gains.
    pub const LARGE: ChunkSizes = ChunkSizes { min_bytes: 16 << 10, average_bytes: 64 << 10, max_bytes: 256 << 10 };

    /// Length of the first chunk of `bytes`. Where `bytes` is not the end of its stream it must hold at least
    /// [`ChunkSizes::max_bytes`], or the cut would depend on how the stream was buffered.
    pub fn first_cut(&self, bytes: &[u8]) -> usize {
        if bytes.len() <= self.min_bytes {
            return bytes.len();
        }
        let cutter =
            FastCDC::with_level(bytes, self.min_bytes, self.average_bytes, self.max_bytes, Normalization::Level2);
        let (_, cut) = cutter.cut(0, bytes.len());
        cut.clamp(1, bytes.len())
    }
}

/// The largest chunk that any class makes, and thus the most that a record may unpack to. Tree pages stay below it too.
pub const CHUNK_MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random and are the same in every run.
    fn noise(len: usize) -> Vec<u8> {
        (0u64..).flat_map(|n| crate::id::hash(&n.to_le_bytes())).take(len).collect()
    }

    fn cuts(sizes: &ChunkSizes, mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let cut = sizes.first_cut(bytes);
            lengths.push(cut);
            bytes = &bytes[cut..];
        }
        lengths
    }

    #[test]
    fn sizes_stay_in_their_bounds_and_near_their_average() {
        for sizes in [ChunkSizes::SMALL, ChunkSizes::LARGE] {
            let lengths = cuts(&sizes, &noise(8 << 20));
            let inner = &lengths[..lengths.len() - 1];
            assert!(inner.iter().all(|&len| len >= sizes.min_bytes && len <= sizes.max_bytes));
            let average = (8 << 20) / lengths.len();
            assert!(average > sizes.average_bytes / 2 && average < sizes.average_bytes * 2, "{average}");
        }
    }

    #[test]
    fn an_insertion_moves_only_cuts_near_it() {
        let before = noise(4 << 20);
        let mut after = before.clone();
        after.splice(1_000_000..1_000_000, *b"inserted");
        let ends = |bytes: &[u8]| {
            let mut end = bytes.len();
            // Measured from the end, so that the insertion in front does not count.
            cuts(&ChunkSizes::SMALL, bytes)
                .into_iter()
                .map(|len| {
                    end -= len;
                    end
                })
                .collect::<Vec<_>>()
        };
        let (old, new) = (ends(&before), ends(&after));
        let moved = new.iter().filter(|end| !old.contains(end) && **end < before.len() - 1_000_000).count();
        assert!(moved < 8, "{moved} cuts moved");
    }

    #[test]
    fn the_first_cuts_are_part_of_the_format() {
        assert_eq!(cuts(&ChunkSizes::SMALL, &noise(200_000))[..4], FIRST_CUTS_OF_NOISE);
    }

    /// Fixed for ever: if an update of the crate changes these, old repositories stop sharing with new snapshots.
    const FIRST_CUTS_OF_NOISE: [usize; 4] = [16746, 20444, 22926, 25768];
}
