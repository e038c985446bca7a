//! Window: rows of two sides that come in about the same order. What is the same on both goes at once; what is left goes on to
//! be joined.

use std::ops::Range;

/// So far ahead a row of one side is looked for on the other.
const AHEAD: usize = 16;

/// Rows of one side that were not compared yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    rows: Vec<Range<usize>>,
    /// Rows before it are done with.
    at: usize,
}

impl Waiting {
    fn push(&mut self, parts: [&[u8]; 2]) {
        let start = self.bytes.len();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.rows.push(start..self.bytes.len());
    }

    fn left(&self) -> usize {
        self.rows.len() - self.at
    }

    fn get(&self, ahead: usize) -> Option<&[u8]> {
        self.rows.get(self.at + ahead).map(|range| &self.bytes[range.clone()])
    }

    /// Forgets what is done with.
    fn compact(&mut self) {
        let start = self.rows.get(self.at).map_or(self.bytes.len(), |range| range.start);
        self.bytes.drain(..start);
        self.rows.drain(..self.at);
        self.rows.iter_mut().for_each(|range| *range = range.start - start..range.end - start);
        self.at = 0;
    }
}

/// Rows that wait for each other.
#[derive(Default)]
pub struct Window {
    sides: [Waiting; 2],
}

impl Window {
    /// Adds a row, given in two parts.
    pub fn push(&mut self, side: usize, parts: [&[u8]; 2]) {
        self.sides[side].push(parts);
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.sides.iter().map(|side| side.bytes.len()).sum()
    }

    /// Drops what is the same on both sides, and gives what it passes over to `give`: all, if nothing more is to come that it
    /// could be compared with.
    pub fn settle<E>(&mut self, all: bool, give: &mut impl FnMut(usize, &[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.sides[0].left() > 0 && self.sides[1].left() > 0 {
            if self.sides[0].get(0) == self.sides[1].get(0) {
                self.sides.iter_mut().for_each(|side| side.at += 1);
                continue;
            }
            let is_at_end = self.sides.iter().any(|side| side.left() <= AHEAD);
            if is_at_end && !all {
                break;
            }
            let passed = self.distance();
            for (side, passed) in passed.into_iter().enumerate() {
                self.give(side, passed, give)?;
            }
        }
        for side in 0..2 {
            self.sides[side].compact();
        }
        if all { self.give_all(give) } else { Ok(()) }
    }

    /// Gives all, without comparing.
    pub fn give_all<E>(&mut self, give: &mut impl FnMut(usize, &[u8]) -> Result<(), E>) -> Result<(), E> {
        for side in 0..2 {
            self.give(side, self.sides[side].left(), give)?;
            self.sides[side].compact();
        }
        Ok(())
    }

    /// How many rows of each side to pass so that the same row comes next on both; one of each where it is not near.
    fn distance(&self) -> [usize; 2] {
        let [a, b] = &self.sides;
        let same = |ahead: usize, other: usize| a.get(ahead).is_some_and(|row| b.get(other) == Some(row));
        let near = (0..=AHEAD).flat_map(|sum| [[0, sum], [sum, 0], [sum, sum]]);
        near.filter(|&[ahead, other]| ahead + other > 0).find(|&[ahead, other]| same(ahead, other)).unwrap_or([1, 1])
    }

    fn give<E>(
        &mut self,
        side: usize,
        count: usize,
        give: &mut impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let waiting = &mut self.sides[side];
        for _ in 0..count {
            if let Some(row) = waiting.get(0) {
                give(side, row)?;
            }
            waiting.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn left(a: &str, b: &str, expected: [&str; 2]) {
        let (mut window, mut found) = (Window::default(), [String::new(), String::new()]);
        let mut give = |side: usize, row: &[u8]| {
            found[side].push_str(std::str::from_utf8(row).unwrap());
            Ok::<(), ()>(())
        };
        let row = |text: &str, at: usize| text.as_bytes().get(at).copied();
        for at in 0..a.len().max(b.len()) {
            row(a, at).iter().for_each(|row| window.push(0, [&[], &[*row]]));
            row(b, at).iter().for_each(|row| window.push(1, [&[*row], &[]]));
            window.settle(false, &mut give).unwrap();
        }
        window.settle(true, &mut give).unwrap();
        assert_eq!(window.bytes(), 0);
        assert_eq!(found, expected, "{a} {b}");
    }

    #[test]
    fn what_is_the_same_in_the_same_order_goes() {
        left("", "", ["", ""]);
        left("abcdef", "abcdef", ["", ""]);
        left("abcdef", "abXdef", ["c", "X"]);
        left("abcdef", "abcXYZdef", ["", "XYZ"]);
        left("abcdef", "af", ["bcde", ""]);
        left("abc", "", ["abc", ""]);
        left("", "abc", ["", "abc"]);
        left("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmNopqrstuvwxy", ["nz", "N"]);
    }
}
