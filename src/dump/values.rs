//! Values: where those of a row stand that is written as SQL has it, between parentheses.

use std::ops::Range;

use crate::dump::stops::{Stops, next_stop, stops};

const STOPS: Stops = stops(b"(),'\"");

/// Where the values of a row stand, given with its parentheses. False where it is none. `end_of_string` tells where a string ends
/// whose quote stands in front of a place; `None` where it does not.
pub fn split_values(
    row: &[u8],
    values: &mut Vec<Range<usize>>,
    end_of_string: impl Fn(usize, u8) -> Option<usize>,
) -> bool {
    let (mut at, mut depth, mut start) = (0, 0u32, 1);
    while at < row.len() {
        at = next_stop(row, at, &STOPS);
        let Some(&byte) = row.get(at) else { break };
        at += 1;
        match byte {
            b'(' => depth += 1,
            b',' if depth == 1 => {
                values.push(trimmed(row, start..at - 1));
                start = at;
            }
            b')' if depth == 1 => {
                values.push(trimmed(row, start..at - 1));
                return at == row.len();
            }
            b')' => depth = depth.saturating_sub(1),
            quote @ (b'\'' | b'"') => match end_of_string(at, quote) {
                Some(end) => at = end,
                None => return false,
            },
            _ => {}
        }
    }
    false
}

fn trimmed(row: &[u8], mut range: Range<usize>) -> Range<usize> {
    while range.start < range.end && row[range.start].is_ascii_whitespace() {
        range.start += 1;
    }
    while range.start < range.end && row[range.end - 1].is_ascii_whitespace() {
        range.end -= 1;
    }
    range
}
