//! Stops: bytes at which a reader of a dump has to look closer; all others are passed over.

/// Whether each byte is one.
pub type Stops = [bool; 256];

pub const fn stops(bytes: &[u8]) -> Stops {
    let mut stops = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        stops[bytes[at] as usize] = true;
        at += 1;
    }
    stops
}

/// The first of these bytes from `at` on; the end where there is none.
#[inline]
pub fn next_stop(bytes: &[u8], at: usize, stops: &Stops) -> usize {
    bytes[at..].iter().position(|&byte| stops[usize::from(byte)]).map_or(bytes.len(), |length| at + length)
}

/// Bytes that are asked together whether they are stops.
pub const BLOCK_BYTES: usize = 64;

/// A bit for each of these bytes, the lowest for the first: whether it is a stop. Where `is_stop` has no branches, this becomes
/// instructions for many bytes.
#[inline(always)]
pub fn stops_of(block: &[u8; BLOCK_BYTES], is_stop: impl Fn(u8) -> bool) -> u64 {
    let mut are = [0; BLOCK_BYTES];
    are.iter_mut().zip(block).for_each(|(is, &byte)| *is = u8::from(is_stop(byte)));
    // The product has the lowest bits of eight bytes in its highest byte.
    let gathered =
        are.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56);
    gathered.enumerate().fold(0, |all, (number, bits)| all | bits << (8 * number))
}

/// The same for the bytes from `at` on, which may be fewer: the bits of those that are not there are not set.
#[inline(always)]
pub fn stops_from(bytes: &[u8], at: usize, is_stop: impl Fn(u8) -> bool) -> u64 {
    let rest = &bytes[at..];
    if let Some(block) = rest.first_chunk() {
        return stops_of(block, is_stop);
    }
    let mut block = [0; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    stops_of(&block, is_stop) & ((1 << rest.len()) - 1)
}

/// `bits` without the first `count` of them.
#[inline(always)]
pub fn behind(bits: u64, count: usize) -> u64 {
    if count < BLOCK_BYTES { bits & (u64::MAX << count) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_tell_of_the_bytes_at_their_places() {
        let bytes: Vec<u8> = (0..200u8).map(|number| number.wrapping_mul(37) % 11).collect();
        for at in 0..=bytes.len() {
            let expected = bytes[at..].iter().take(BLOCK_BYTES).enumerate();
            let expected = expected.fold(0u64, |bits, (place, byte)| bits | u64::from(matches!(byte, 0 | 7)) << place);
            assert_eq!(stops_from(&bytes, at, |byte| (byte == 7) | (byte == 0)), expected, "at {at}");
        }
        assert_eq!([0, 1, 63, 64].map(|count| behind(u64::MAX, count).count_zeros()), [0, 1, 63, 64]);
    }
}
