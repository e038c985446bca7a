//! Deltas: a chunk as what it copies out of its bases, and the bytes that are not there. A row that was updated costs its
//! new bytes and a few numbers; everything around it is one long copy. Encoding: `docs/format.md` section 4.
//!
//! General compressors with the base as dictionary spend more: LZ4 writes a byte for every 255 of a long copy, Zstandard
//! headers and tables for every chunk (`docs/design.md` has the numbers).

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use crate::codec::{DecodeError, Decoder, Encoder, common_prefix};

/// A match at the place that the last copy leads to is taken from this length on: it costs two bytes.
const NEAR_MATCH_MIN_BYTES: usize = 6;

/// Elsewhere in the base it has to say where, and short ones are chance.
const FAR_MATCH_MIN_BYTES: usize = 16;

/// How many bytes may have changed, been inserted or been removed for the copy to be picked up again without a search of the
/// whole base.
const RESUME_WITHIN_BYTES: usize = 48;

/// The same for whole rows that were removed or inserted.
const EDIT_MAX_BYTES: usize = 1024;

/// Every so many bytes of a base are entered in the table of the search: matches of [`FAR_MATCH_MIN_BYTES`] are still found.
const TABLE_STEP_BYTES: usize = 8;

const TABLE_BITS: u32 = 14;

/// Shorter matches are not looked for.
const WORD_BYTES: usize = 8;

/// Places in the table are numbered with this many bits; the others tell which base they belong to.
const PLACE_BITS: u32 = 20;

/// The most bytes that the bases of one chunk may have together.
pub const BASES_MAX_BYTES: usize = 1 << PLACE_BITS;

/// A search that has found a match looks this much further for a longer one, ...
const LOOK_FURTHER_BYTES: usize = 64;

/// ... unless the match is so long: then it is no chance, as rows share dates and words.
const CONVINCING_MATCH_BYTES: usize = 24;

/// Where a copy goes on for so long no other edit can explain it better.
const CERTAIN_MATCH_BYTES: usize = 96;

/// Makes deltas. Keeps its table from one to the next.
#[derive(Default)]
pub struct DeltaEncoder {
    /// Hash of eight bytes of the base to their place, below the number of the base.
    table: Vec<u32>,
    base_number: u32,
    copied: Vec<Range<usize>>,
}

/// Equal bytes of target and base.
#[derive(Clone, Copy)]
struct Match {
    target: usize,
    base: usize,
    length: usize,
}

impl DeltaEncoder {
    /// Appends to `out` the operations that make `target` from `base`, at most `limit` bytes; where they would be more,
    /// `out` stays as it was and the answer is false. `start` is where in the base the target probably begins.
    pub fn encode(&mut self, base: &[u8], start: usize, target: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        self.copied.clear();
        let mut search = Search { encoder: self, base, target, is_entered: false };
        // Up to here the target is told; there in the base the last copy ended.
        let (mut told, mut base_at) = (0, 0);
        let mut found = search.first(start);
        while let Some(next) = found.or_else(|| search.next(told, base_at)) {
            put_copy(&target[told..next.target], base_at, next, out);
            (told, base_at) = (next.target + next.length, next.base + next.length);
            search.encoder.copied.push(next.base..base_at);
            if out.len() - begin > limit {
                break;
            }
            found = None;
        }
        if told < target.len() {
            put_rest(&target[told..], out);
        }
        let fits = out.len() - begin <= limit;
        if !fits {
            out.truncate(begin);
        }
        fits
    }

    /// What of its base the last delta copies.
    pub fn copied(&self) -> &[Range<usize>] {
        &self.copied
    }
}

/// `literals`, then a copy. Its place is told as the distance from where the copy before it would go on, had the literals
/// replaced as many bytes; that is 0 for most.
fn put_copy(literals: &[u8], base_at: usize, copy: Match, out: &mut Vec<u8>) {
    let expected = base_at + literals.len();
    let moved = copy.base as i64 - expected as i64;
    let mut encoder = Encoder { bytes: std::mem::take(out) };
    encoder.varint((literals.len() as u64) << 1 | u64::from(moved != 0)).raw(literals).varint(copy.length as u64);
    if moved != 0 {
        encoder.signed(moved);
    }
    *out = encoder.bytes;
}

fn put_rest(literals: &[u8], out: &mut Vec<u8>) {
    let mut encoder = Encoder { bytes: std::mem::take(out) };
    encoder.varint((literals.len() as u64) << 1).raw(literals);
    *out = encoder.bytes;
}

/// The search for matches of one target in one base.
struct Search<'e> {
    encoder: &'e mut DeltaEncoder,
    base: &'e [u8],
    target: &'e [u8],
    /// Whether the base is in the table.
    is_entered: bool,
}

impl Search<'_> {
    /// Where the target begins in the base: at `start`, unless what matches there is so short that it may be chance.
    fn first(&mut self, start: usize) -> Option<Match> {
        if self.target.is_empty() {
            return None;
        }
        let length = common_prefix(self.target, self.base.get(start..).unwrap_or_default());
        let there = Match { target: 0, base: start, length };
        if length >= CONVINCING_MATCH_BYTES || length == self.target.len() {
            return Some(there);
        }
        let elsewhere = self.searched(0);
        elsewhere.filter(|found| found.length > length).or((length >= NEAR_MATCH_MIN_BYTES).then_some(there))
    }

    /// The next match behind what is told: what the likely edits lead to, else whatever the whole base has. The edits compete:
    /// rows share dates and words, and the head of an INSERT statement stands before another row than it did.
    fn next(&mut self, told: usize, base_at: usize) -> Option<Match> {
        if told >= self.target.len() {
            return None;
        }
        let replaced = self.replaced(told, base_at);
        if replaced.is_some_and(|found| found.length >= CONVINCING_MATCH_BYTES) {
            return replaced;
        }
        let mut best = replaced;
        for edit in [Search::resumed, Search::removed, Search::inserted] {
            let Some(found) = edit(self, told, base_at) else { continue };
            let gain = |found: Match| found.length as i64 - (found.target - told) as i64;
            if best.is_none_or(|best| gain(found) > gain(best)) {
                best = Some(found);
            }
            if found.length >= CERTAIN_MATCH_BYTES {
                break;
            }
        }
        best.or_else(|| self.searched(told))
    }

    /// The match at these places if it is long enough to be taken without comparing it with others.
    fn far(&self, target: usize, base: usize) -> Option<Match> {
        let length = common_prefix(&self.target[target..], &self.base[base..]);
        let suffices = length >= FAR_MATCH_MIN_BYTES || target + length == self.target.len();
        suffices.then_some(Match { target, base, length })
    }

    /// Some bytes were replaced by as many others.
    fn replaced(&self, told: usize, base_at: usize) -> Option<Match> {
        (1..=RESUME_WITHIN_BYTES).find_map(|count| {
            let (target, base) = (told + count, base_at + count);
            let same = word_at(self.target, target)? == word_at(self.base, base)?;
            same.then(|| Match { target, base, length: common_prefix(&self.target[target..], &self.base[base..]) })
        })
    }

    /// Some bytes were replaced by fewer or more.
    fn resumed(&self, told: usize, base_at: usize) -> Option<Match> {
        let base = words_within(self.base, base_at, RESUME_WITHIN_BYTES);
        let words = WordSet::of(base);
        let target = words_within(self.target, told, RESUME_WITHIN_BYTES).windows(WORD_BYTES).enumerate();
        let mut known = target.filter(|(_, word)| words.may_hold(word));
        known.find_map(|(at, word)| find_word(base, word).find_map(|place| self.far(told + at, base_at + place)))
    }

    /// Whole rows were removed.
    fn removed(&self, told: usize, base_at: usize) -> Option<Match> {
        let word = self.target.get(told..told + WORD_BYTES)?;
        find_word(words_within(self.base, base_at, EDIT_MAX_BYTES), word).find_map(|at| self.far(told, base_at + at))
    }

    /// Whole rows were inserted.
    fn inserted(&self, told: usize, base_at: usize) -> Option<Match> {
        let word = self.base.get(base_at..base_at + WORD_BYTES)?;
        find_word(words_within(self.target, told, EDIT_MAX_BYTES), word).find_map(|at| self.far(told + at, base_at))
    }

    /// Anywhere in the base.
    fn searched(&mut self, told: usize) -> Option<Match> {
        self.enter_base();
        let mut best: Option<Match> = None;
        let mut target = told;
        while let Some(word) = word_at(self.target, target) {
            let is_enough =
                |best: Match| best.length >= CONVINCING_MATCH_BYTES || target > best.target + LOOK_FURTHER_BYTES;
            if best.is_some_and(is_enough) {
                break;
            }
            if let Some(base) = self.encoder.place_of(word) {
                let found = self.widened(told, target, base);
                let longest = best.map_or(FAR_MATCH_MIN_BYTES - 1, |best| best.length);
                if found.length > longest {
                    best = Some(found);
                }
            }
            target += 1;
        }
        best
    }

    /// The match at these places, with what matches in front of it.
    fn widened(&self, told: usize, target: usize, base: usize) -> Match {
        let behind = common_prefix(&self.target[target..], &self.base[base..]);
        let front = self.target[told..target].iter().rev().zip(self.base[..base].iter().rev());
        let before = front.take_while(|(a, b)| a == b).count();
        Match { target: target - before, base: base - before, length: before + behind }
    }

    fn enter_base(&mut self) {
        if std::mem::replace(&mut self.is_entered, true) {
            return;
        }
        self.encoder.next_base();
        let base = &self.base[..self.base.len().min(BASES_MAX_BYTES)];
        for (number, word) in base.windows(WORD_BYTES).step_by(TABLE_STEP_BYTES).enumerate() {
            if let Some(word) = word_at(word, 0) {
                self.encoder.enter(word, number * TABLE_STEP_BYTES);
            }
        }
    }
}

impl DeltaEncoder {
    /// Makes everything in the table out of date.
    fn next_base(&mut self) {
        self.base_number += 1;
        if self.table.is_empty() || self.base_number == 1 << (u32::BITS - PLACE_BITS) {
            self.table.clear();
            self.table.resize(1 << TABLE_BITS, 0);
            self.base_number = 1;
        }
    }

    fn enter(&mut self, word: u64, place: usize) {
        if place < BASES_MAX_BYTES {
            self.table[slot_of(word)] = self.base_number << PLACE_BITS | place as u32;
        }
    }

    fn place_of(&self, word: u64) -> Option<usize> {
        let entry = self.table[slot_of(word)];
        (entry >> PLACE_BITS == self.base_number).then_some((entry & ((1 << PLACE_BITS) - 1)) as usize)
    }
}

/// Multiplicative hashing, by the golden ratio (Knuth, The Art of Computer Programming, volume 3, section 6.4).
fn slot_of(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - TABLE_BITS)) as usize
}

/// The bytes of words that begin at one of so many places from `from` on.
fn words_within(bytes: &[u8], from: usize, count: usize) -> &[u8] {
    let end = bytes.len().min(from + count + WORD_BYTES - 1);
    bytes.get(from..end).unwrap_or_default()
}

/// The places of a word, overlapping ones too.
fn find_word<'b>(bytes: &'b [u8], word: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let finder = memmem::Finder::new(word);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(bytes.get(from..)?)?;
        from = at + 1;
        Some(at)
    })
}

/// Tells of most words that they do not occur in a few dozen bytes.
#[derive(Default)]
struct WordSet([u64; 16]);

impl WordSet {
    fn of(bytes: &[u8]) -> WordSet {
        let mut set = WordSet::default();
        for word in bytes.windows(WORD_BYTES) {
            let (at, bit) = WordSet::bit_of(word);
            set.0[at] |= bit;
        }
        set
    }

    fn bit_of(word: &[u8]) -> (usize, u64) {
        let slot = word_at(word, 0).map_or(0, slot_of) % (16 * u64::BITS as usize);
        (slot / u64::BITS as usize, 1 << (slot % u64::BITS as usize))
    }

    fn may_hold(&self, word: &[u8]) -> bool {
        let (at, bit) = WordSet::bit_of(word);
        self.0[at] & bit != 0
    }
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<WORD_BYTES>()?;
    Some(u64::from_le_bytes(*word))
}

/// The chunk that `operations` make from `base`. `plain_bytes` is what the record promises; the caller bounds it.
pub fn apply_delta(base: &[u8], operations: &[u8], plain_bytes: usize) -> Result<Arc<[u8]>, DecodeError> {
    let mut plain: Arc<[u8]> = std::iter::repeat_n(0, plain_bytes).collect();
    // Nobody else has it yet.
    if let Some(mut room) = Arc::get_mut(&mut plain) {
        each_piece(base, operations, plain_bytes, |piece| {
            if let Some((part, rest)) = std::mem::take(&mut room).split_at_mut_checked(piece.len()) {
                part.copy_from_slice(piece);
                room = rest;
            }
        })?;
    }
    Ok(plain)
}

/// Whether `operations` make just this from `base`.
pub fn makes(base: &[u8], operations: &[u8], plain: &[u8]) -> bool {
    let (mut rest, mut is_same) = (plain, true);
    let told = each_piece(base, operations, plain.len(), |piece| {
        let (part, behind) = rest.split_at(piece.len().min(rest.len()));
        is_same &= part == piece;
        rest = behind;
    });
    told.is_ok() && is_same && rest.is_empty()
}

/// Gives what `operations` make, piece by piece: exactly `plain_bytes` where all is well, and never more.
fn each_piece(
    base: &[u8],
    operations: &[u8],
    plain_bytes: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), DecodeError> {
    let mut operations = Decoder::new(operations);
    let (mut missing, mut base_at) = (plain_bytes, 0usize);
    let mut give = |piece: &[u8], missing: &mut usize, operations: &Decoder| {
        let Some(rest) = missing.checked_sub(piece.len()) else {
            return operations.fail("a delta makes more than its chunk");
        };
        *missing = rest;
        take(piece);
        Ok(())
    };
    while missing > 0 {
        let tag = operations.varint()?;
        let literals = operations.raw(usize::try_from(tag >> 1).unwrap_or(usize::MAX))?;
        give(literals, &mut missing, &operations)?;
        if missing == 0 {
            break;
        }
        let length = operations.varint()?;
        let moved = if tag & 1 == 1 { operations.signed()? } else { 0 };
        let from = (base_at + literals.len()).checked_add_signed(isize::try_from(moved).unwrap_or(isize::MAX));
        let copied = from.and_then(|from| base.get(from..)?.get(..usize::try_from(length).ok()?));
        let (Some(from), Some(copied)) = (from, copied.filter(|copied| !copied.is_empty())) else {
            return operations.fail("a delta copies what is not there");
        };
        give(copied, &mut missing, &operations)?;
        base_at = from + copied.len();
    }
    operations.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(base: &[u8], start: usize, target: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(DeltaEncoder::default().encode(base, start, target, usize::MAX, &mut out));
        assert_eq!(&apply_delta(base, &out, target.len()).unwrap()[..], target);
        assert!(makes(base, &out, target));
        if let Some((last, others)) = target.split_last() {
            assert!(!makes(base, &out, others) && !makes(base, &out, &[others, &[!last][..]].concat()));
        }
        out
    }

    fn rows(count: usize) -> Vec<u8> {
        let word = |n: usize| crate::id::hash(&n.to_le_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
        (0..count).flat_map(|n| format!("({n},'paid','{}',7),\n", word(n)).into_bytes()).collect()
    }

    #[test]
    fn nothing_is_made_of_no_operations() {
        assert!(delta(b"", 0, b"").is_empty() && delta(b"base", 2, b"").is_empty());
    }

    #[test]
    fn an_updated_row_costs_its_new_bytes_and_a_few_numbers() {
        let base = rows(200);
        let at = base.len() / 2;
        let mut target = base.clone();
        target[at..at + 4].copy_from_slice(b"#new");
        assert!(delta(&base, 0, &target).len() <= 12);
        target.splice(at..at + 4, *b"much longer than it was");
        assert!(delta(&base, 0, &target).len() <= 40);
    }

    #[test]
    fn equal_bytes_cost_nothing_to_speak_of() {
        let base = rows(200);
        assert!(delta(&base, 0, &base).len() <= 4);
        assert!(delta(&base, 1000, &base[1000..]).len() <= 7);
    }

    #[test]
    fn moved_rows_are_found_without_a_hint() {
        let base = rows(200);
        let (front, back) = base.split_at(5000);
        assert!(delta(&base, 0, &[back, front].concat()).len() < 40);
    }

    #[test]
    fn what_has_nothing_in_common_is_refused_and_leaves_nothing() {
        let mut out = vec![1, 2, 3];
        let (base, target) = (rows(10), vec![0xff; 4000]);
        assert!(!DeltaEncoder::default().encode(&base, 0, &target, 2000, &mut out));
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn many_bases_in_turn_do_not_mix() {
        let mut encoder = DeltaEncoder::default();
        for n in 0..5000usize {
            let base: Vec<u8> = crate::id::hash(&n.to_le_bytes()).repeat(3);
            let target = [&base[40..], b"between", &base[..40]].concat();
            let mut out = Vec::new();
            assert!(encoder.encode(&base, 0, &target, usize::MAX, &mut out));
            assert_eq!(&apply_delta(&base, &out, target.len()).unwrap()[..], target);
        }
    }

    proptest! {
        #[test]
        fn deltas_come_back(
            base in proptest::collection::vec(0..4u8, 0..600),
            target in proptest::collection::vec(0..4u8, 0..600),
            start in 0..700usize,
        ) {
            delta(&base, start, &target);
        }

        #[test]
        fn edits_come_back(edits in proptest::collection::vec((0..20_000usize, 0..60usize, 0..60usize), 0..20)) {
            let base = rows(250);
            let mut target = base.clone();
            for (at, removed, added) in edits {
                let at = at.min(target.len());
                let end = (at + removed).min(target.len());
                target.splice(at..end, crate::id::hash(&at.to_le_bytes()).into_iter().cycle().take(added));
            }
            delta(&base, 0, &target);
        }

        #[test]
        fn garbage_never_panics(base: Vec<u8>, operations: Vec<u8>, plain_bytes in 0..100_000usize) {
            let _ = apply_delta(&base, &operations, plain_bytes);
        }
    }
}
