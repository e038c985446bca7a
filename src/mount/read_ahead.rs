//! Who reads in sequence, and what will be read next. Per inode, not per open file, because opens are not told to us
//! where the kernel does without them.

use std::collections::HashMap;
use std::ops::Range;

/// Streams remembered at once; the least recently read one makes room.
const MAX_STREAMS: usize = 64;

/// Reads in sequence before the first window opens: a file read in one or two requests never gets one.
const ADVANCES_BEFORE_WINDOW: u32 = 3;

const WINDOW_MIN_BYTES: u64 = 2 << 20;
const WINDOW_MAX_BYTES: u64 = 16 << 20;

/// How far a request may lie from where the stream stands. The kernel sends the parts of its own readahead (4 MiB) to
/// several loops at once, so they arrive in any order.
const SLACK_BYTES: u64 = 4 << 20;

/// The streams being read.
#[derive(Debug)]
pub(super) struct ReadAhead {
    streams: HashMap<u64, Stream>,
    clock: u64,
    window_max_bytes: u64,
}

#[derive(Debug)]
struct Stream {
    /// Behind the highest byte read so far.
    position: u64,
    /// Reads that moved `position` since the last jump.
    advances: u32,
    window_bytes: u64,
    /// Behind the highest byte already handed out for prefetching.
    prefetched: u64,
    last_used: u64,
}

impl ReadAhead {
    /// One that keeps at most `budget_bytes` ahead of a reader, with the window before, which it still reads.
    pub fn new(budget_bytes: u64) -> ReadAhead {
        let window_max_bytes = (budget_bytes / 2).min(WINDOW_MAX_BYTES);
        ReadAhead { streams: HashMap::new(), clock: 0, window_max_bytes }
    }

    /// Notes one read, and returns which bytes of the same inode to prefetch now, if any.
    pub fn observe(&mut self, ino: u64, read: Range<u64>) -> Option<Range<u64>> {
        self.clock += 1;
        let clock = self.clock;
        match self.streams.get_mut(&ino) {
            Some(stream) if stream.is_near(read.start) => {
                stream.last_used = clock;
                stream.advance(read.end, self.window_max_bytes)
            }
            _ => {
                self.make_room(ino);
                self.streams.insert(ino, Stream::starting_at(read.end, clock));
                None
            }
        }
    }

    fn make_room(&mut self, ino: u64) {
        if self.streams.len() < MAX_STREAMS || self.streams.contains_key(&ino) {
            return;
        }
        let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.last_used).map(|(&ino, _)| ino);
        oldest.and_then(|oldest| self.streams.remove(&oldest));
    }
}

impl Stream {
    fn starting_at(position: u64, clock: u64) -> Stream {
        Stream { position, advances: 1, window_bytes: 0, prefetched: position, last_used: clock }
    }

    fn is_near(&self, offset: u64) -> bool {
        offset.abs_diff(self.position) <= SLACK_BYTES
    }

    /// The stream was read up to `end`. A new window is handed out once half of the last one was read.
    fn advance(&mut self, end: u64, window_max_bytes: u64) -> Option<Range<u64>> {
        if end <= self.position {
            return None;
        }
        self.position = end;
        self.advances = self.advances.saturating_add(1);
        let ahead_bytes = self.prefetched.saturating_sub(end);
        if self.advances < ADVANCES_BEFORE_WINDOW || ahead_bytes > self.window_bytes / 2 {
            return None;
        }
        self.window_bytes = (self.window_bytes * 2).max(WINDOW_MIN_BYTES).min(window_max_bytes);
        let window = self.prefetched.max(end)..end.saturating_add(self.window_bytes);
        self.prefetched = window.end;
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: u64 = 128 << 10;

    /// What is prefetched while `offsets` are read, one request each.
    fn windows(offsets: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
        let mut read_ahead = ReadAhead::new(u64::MAX);
        offsets.into_iter().filter_map(|offset| read_ahead.observe(1, offset..offset + REQUEST)).collect()
    }

    #[test]
    fn a_sequential_reader_gets_windows_that_grow_and_never_overlap() {
        let windows = windows((0..1000).map(|request| request * REQUEST));
        assert_eq!(windows[0].start, 3 * REQUEST);
        for pair in windows.windows(2) {
            assert_eq!(pair[0].end, pair[1].start);
        }
        let longest = windows.iter().map(|window| window.end - window.start).max().unwrap();
        assert!(longest > WINDOW_MIN_BYTES && longest <= WINDOW_MAX_BYTES, "{longest}");
        let last = windows.last().unwrap().end;
        assert!((1000 * REQUEST..=1000 * REQUEST + WINDOW_MAX_BYTES).contains(&last));
    }

    #[test]
    fn a_small_budget_keeps_the_reader_close() {
        let mut read_ahead = ReadAhead::new(6 << 20);
        for request in 0..1000 {
            let window = read_ahead.observe(1, request * REQUEST..(request + 1) * REQUEST);
            assert!(window.is_none_or(|window| window.end <= (request + 1) * REQUEST + (3 << 20)));
        }
    }

    #[test]
    fn requests_out_of_order_are_still_one_stream() {
        let shuffled = (0..64).flat_map(|group: u64| [2, 0, 3, 1].map(|part| (group * 4 + part) * REQUEST));
        assert!(windows(shuffled).last().unwrap().end >= 256 * REQUEST);
    }

    #[test]
    fn jumps_get_nothing() {
        assert_eq!(windows((0..500).map(|turn| (turn * 7919 % 500) * (64 << 20))), []);
    }

    #[test]
    fn a_small_file_gets_nothing() {
        assert_eq!(windows([0, REQUEST]), []);
    }

    #[test]
    fn the_table_stays_small_and_the_active_stream_stays_in_it() {
        let mut read_ahead = ReadAhead::new(u64::MAX);
        let mut prefetched = 0;
        for turn in 0..10_000u64 {
            read_ahead.observe(1000 + turn, 0..REQUEST);
            prefetched += read_ahead
                .observe(1, turn * REQUEST..(turn + 1) * REQUEST)
                .map_or(0, |window| window.end - window.start);
        }
        assert!(read_ahead.streams.len() <= MAX_STREAMS);
        assert!(prefetched >= 9_000 * REQUEST, "{prefetched}");
    }

    #[test]
    fn offsets_at_the_end_of_the_number_range_do_not_overflow() {
        let mut read_ahead = ReadAhead::new(u64::MAX);
        for turn in 0..10 {
            read_ahead.observe(1, u64::MAX - 100 + turn..u64::MAX - 50 + turn);
        }
    }
}
