//! A page told by differences: entries that follow each other in a tree page are mostly alike but for numbers that grow evenly,
//! such as where the files of a table begin in a dump. Told against the entry before, such a number is the same in each, so that
//! Zstandard finds whole entries again. Encoding: `docs/format.md` section 4.

use crate::codec::{DecodeError, Decoder};

/// Kind and level of a page; the count of its entries and their lengths follow.
const KIND_BYTES: usize = 1 + 1;

/// The top bit of a byte says that its number goes on.
const GOES_ON: u8 = 0x80;

/// A word of bytes, told at once where all are as they were.
const WORD_BYTES: usize = 8;

/// Where entries begin that are as long as the one before, and how long these are.
fn alike(page: &[u8]) -> Result<Vec<(usize, usize)>, DecodeError> {
    let mut header = Decoder::new(page);
    header.raw(KIND_BYTES)?;
    let count = header.u32()?;
    let table = header.raw(usize::try_from(count).ok().and_then(|count| count.checked_mul(4)).unwrap_or(usize::MAX))?;
    let (mut start, mut found, mut before) = (header.position(), Vec::new(), None);
    for length in table.as_chunks::<4>().0 {
        let length = u32::from_le_bytes(*length) as usize;
        if before == Some(length) {
            found.push((start, length));
        }
        header.raw(length)?;
        start = header.position();
        before = Some(length);
    }
    Ok(found)
}

/// The page told by differences, of the same length. Nothing where that does not pay, or the bytes are no page.
pub fn tell(page: &[u8]) -> Option<Vec<u8>> {
    let alike = alike(page).ok()?;
    let mut told = page.to_vec();
    let mut same_bytes = 0;
    for (start, length) in alike {
        let (before, entry) = page[start - length..start + length].split_at(length);
        let room = &mut told[start..start + length];
        tell_entry(before, entry, room);
        same_bytes += room.iter().filter(|&&byte| byte == 0).count();
    }
    // Where few are the same, as among files of many sizes, Zstandard knows better without.
    (same_bytes >= page.len() / 2).then_some(told)
}

fn tell_entry(before: &[u8], entry: &[u8], room: &mut [u8]) {
    let mut borrow = 0;
    for ((room, &was), &is) in room.iter_mut().zip(before).zip(entry) {
        let difference = (is & !GOES_ON).wrapping_sub(was & !GOES_ON).wrapping_sub(borrow);
        *room = (difference & !GOES_ON) | ((is ^ was) & GOES_ON);
        borrow = (difference & is & was) >> 7;
    }
}

/// Makes the page of what [`tell`] told, in place.
///
/// # Errors
/// Where the bytes are not laid out as a page.
pub fn untell(told: &mut [u8]) -> Result<(), DecodeError> {
    for (start, length) in alike(told)? {
        let (before, entry) = told[start - length..start + length].split_at_mut(length);
        untell_entry(before, entry);
    }
    Ok(())
}

fn untell_entry(before: &[u8], entry: &mut [u8]) {
    let mut borrow = 0;
    let (words_before, rest_before) = before.as_chunks::<WORD_BYTES>();
    let (words, rest) = entry.as_chunks_mut::<WORD_BYTES>();
    for (was, room) in words_before.iter().zip(words) {
        if borrow == 0 && *room == [0; WORD_BYTES] {
            *room = *was;
        } else {
            untell_bytes(was, room, &mut borrow);
        }
    }
    untell_bytes(rest_before, rest, &mut borrow);
}

fn untell_bytes(before: &[u8], told: &mut [u8], borrow: &mut u8) {
    for (room, &was) in told.iter_mut().zip(before) {
        let low = (*room & !GOES_ON).wrapping_add(was & !GOES_ON).wrapping_add(*borrow);
        let is = (low & !GOES_ON) | ((*room ^ was) & GOES_ON);
        // It was taken from the next byte where the sum went past seven bits.
        *borrow = (low & is & was) >> 7;
        *room = is;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Encoder;
    use proptest::prelude::*;

    fn page(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut page = Encoder::new();
        page.u8(b'D').u8(0).u32(entries.len() as u32);
        for entry in entries {
            page.u32(entry.len() as u32);
        }
        page.raw(&entries.concat());
        page.bytes
    }

    fn told(page: &[u8]) -> Vec<u8> {
        let mut told = page.to_vec();
        for (start, length) in alike(page).unwrap() {
            let (before, entry) = page[start - length..start + length].split_at(length);
            tell_entry(before, entry, &mut told[start..start + length]);
        }
        told
    }

    proptest! {
        #[test]
        fn pages_come_back(lengths in prop::collection::vec(0..3usize, 0..40), bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            let mut bytes = bytes.iter().cycle();
            let entries: Vec<Vec<u8>> =
                lengths.iter().map(|length| bytes.by_ref().take(length * 9).copied().collect()).collect();
            let page = page(&entries);
            let mut made = told(&page);
            prop_assert_eq!(made.len(), page.len());
            untell(&mut made).unwrap();
            prop_assert_eq!(made, page);
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9), cut: prop::sample::Index) {
            let whole = page(&entries);
            let _ = (tell(&bytes), tell(&whole[..cut.index(whole.len())]));
            let _ = untell(&mut bytes);
            let _ = untell(&mut whole[..cut.index(whole.len())].to_vec());
        }
    }

    #[test]
    fn numbers_that_grow_evenly_are_told_alike() {
        let entries: Vec<Vec<u8>> = (0..20u64)
            .map(|number| {
                let mut entry = Encoder::new();
                entry.raw(b"a name that is always the same").varint(1000 + number * 709).raw(b"and the end");
                entry.bytes
            })
            .collect();
        let page = page(&entries);
        let told = tell(&page).unwrap();
        let first = page.len() - 19 * entries[0].len();
        let (second, rest) = told[first..].split_at(entries[0].len());
        assert!(rest.chunks(second.len()).all(|entry| entry == second), "{told:?}");
    }

    #[test]
    fn entries_of_other_lengths_stay_as_they_are() {
        assert_eq!(tell(&page(&[vec![7; 30], vec![7; 31], vec![7; 32]])), None);
    }
}
