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
