//! Where a stream of bytes is cut into chunks: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking
//! for Data Deduplication Based Storage Systems", IEEE TPDS 2020). The door to the crate of that name, whose tables and cuts
//! these are.
//! The parameters are part of the format (`docs/format.md` section 3): changing them would end all sharing with old snapshots.

use std::sync::LazyLock;

use fastcdc::v2020::{Normalization, get_gear_with_seed, select_masks};

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
        let bytes = &bytes[..bytes.len().min(self.max_bytes)];
        // Bytes are looked at in pairs, so that an odd last one never ends a chunk by what it is.
        let [center, end] = [bytes.len().min(self.average_bytes), bytes.len()].map(|at| at & !1);
        let (strict, relaxed) = select_masks(self.average_bytes, Normalization::Level2);
        let (mut hash, start) = (0, self.min_bytes.min(center));
        let near = scan(&bytes[start..center], strict, &mut hash).map(|at| start + at);
        let cut = near.or_else(|| scan(&bytes[center..end], relaxed, &mut hash).map(|at| center + at));
        cut.unwrap_or(bytes.len())
    }
}

/// A random number for each byte.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let (gear, _) = get_gear_with_seed(0);
    std::array::from_fn(|byte| gear[byte])
});

/// Where the hash of all bytes so far has no bit of the mask, first. Each byte shifts the hash and adds its number. Four at a time are
/// taken together before the hash is: one by one, each would wait for the one before it (1.9 GB/s, where this makes 2.6).
fn scan(bytes: &[u8], mask: u64, hash: &mut u64) -> Option<usize> {
    let gear = &*GEAR;
    let shift = |sum: u64, byte: u8| (sum << 1).wrapping_add(gear[usize::from(byte)]);
    let (fours, rest) = bytes.as_chunks::<4>();
    for (number, &[first, second, third, fourth]) in fours.iter().enumerate() {
        let one = shift(0, first);
        let two = shift(one, second);
        let three = shift(two, third);
        let four = shift(three, fourth);
        let hits = |bytes: u32, sum: u64| (*hash << bytes).wrapping_add(sum) & mask == 0;
        if hits(1, one) {
            return Some(number * 4);
        }
        if hits(2, two) {
            return Some(number * 4 + 1);
        }
        if hits(3, three) {
            return Some(number * 4 + 2);
        }
        *hash = (*hash << 4).wrapping_add(four);
        if *hash & mask == 0 {
            return Some(number * 4 + 3);
        }
    }
    let at = rest.iter().position(|&byte| {
        *hash = shift(*hash, byte);
        *hash & mask == 0
    });
    at.map(|at| fours.len() * 4 + at)
}

/// The largest chunk that any class makes, and thus the most that a record may unpack to. Tree pages stay below it too.
pub const CHUNK_MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use fastcdc::v2020::FastCDC;
    use proptest::prelude::*;

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

    /// As the crate cuts, which defines the format.
    fn cut_of_crate(sizes: &ChunkSizes, bytes: &[u8]) -> usize {
        let ChunkSizes { min_bytes, average_bytes, max_bytes } = *sizes;
        FastCDC::with_level(bytes, min_bytes, average_bytes, max_bytes, Normalization::Level2).cut(0, bytes.len()).1
    }

    proptest! {
        /// Of few different bytes, so that cuts come late and sums repeat, and of many.
        #[test]
        fn cuts_are_those_of_the_crate(seed: u64, distinct in 1u64..=256, large: bool, length in 0usize..600_000) {
            let sizes = if large { ChunkSizes::LARGE } else { ChunkSizes::SMALL };
            let mut state = seed | 1;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % distinct) as u8
            })
            .take(length)
            .collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let cut = sizes.first_cut(rest);
                prop_assert_eq!(cut, cut_of_crate(&sizes, rest), "{} bytes are left", rest.len());
                rest = &rest[cut..];
            }
        }
    }

    #[test]
    fn lengths_near_a_bound_are_cut_as_by_the_crate() {
        let bytes = noise(1 << 20);
        for sizes in [ChunkSizes::SMALL, ChunkSizes::LARGE] {
            for bound in [0, sizes.min_bytes, sizes.average_bytes, sizes.max_bytes] {
                for length in bound.saturating_sub(9)..bound + 9 {
                    // The second is cut by its length alone.
                    for rest in [&bytes[..length], &vec![b'x'; length]] {
                        assert_eq!(sizes.first_cut(rest), cut_of_crate(&sizes, rest), "{length} bytes");
                    }
                }
            }
        }
    }

    /// The bytes before a cut and behind it decide; a last byte without a second one does not.
    #[test]
    fn bytes_that_end_at_a_cut_are_cut_as_by_the_crate() {
        let bytes = noise(4 << 20);
        for sizes in [ChunkSizes::SMALL, ChunkSizes::LARGE] {
            let mut rest = &bytes[..];
            while rest.len() > 2 * sizes.max_bytes {
                let cut = sizes.first_cut(rest);
                for length in cut - 3..=cut + 3 {
                    assert_eq!(
                        sizes.first_cut(&rest[..length]),
                        cut_of_crate(&sizes, &rest[..length]),
                        "{length} bytes"
                    );
                }
                rest = &rest[cut..];
            }
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
        assert_eq!(cuts(&ChunkSizes::LARGE, &noise(600_000))[..4], FIRST_LARGE_CUTS_OF_NOISE);
    }

    /// Fixed for ever: if an update of the crate changes these, old repositories stop sharing with new snapshots.
    const FIRST_CUTS_OF_NOISE: [usize; 4] = [16746, 20444, 22926, 25768];
    const FIRST_LARGE_CUTS_OF_NOISE: [usize; 4] = [85884, 115938, 84456, 67463];
}
