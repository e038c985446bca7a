//! Which statement failed: clients tell the number of a line, which helps nobody who has no file with lines.

use std::ops::ControlFlow;

use crate::dump::mysql::{StatementStart, StatementStarts};
use crate::error::Result;
use crate::load::text::SqlText;

/// What is shown of a statement.
const SHOWN_CHARACTERS: usize = 160;

/// The beginning of the statement that a client complains about.
pub fn failed_statement(text: &SqlText<'_>, complaint: &str) -> Result<Option<String>> {
    let Some(line) = line_of(complaint) else { return Ok(None) };
    let mut starts = StatementStarts::default();
    let (mut lines, mut offset, mut wanted) = (1, 0, if line <= 1 { Some(0) } else { None });
    let mut found = None;
    text.each_piece(&mut |piece| {
        for (at, _) in piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            lines += 1;
            if lines == line {
                wanted = Some(offset + at as u64 + 1);
            }
        }
        offset += piece.len() as u64;
        starts.push(piece, &mut |statement: StatementStart| {
            if found.is_none() && wanted.is_some_and(|wanted| statement.start >= wanted) {
                found = Some(shown(statement.text));
            }
        });
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// `ERROR 1062 (23000) at line 51: Duplicate entry`.
fn line_of(complaint: &str) -> Option<u64> {
    let digits = complaint.split(" at line ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn shown(statement: &[u8]) -> String {
    let text = String::from_utf8_lossy(statement);
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(SHOWN_CHARACTERS) {
        words.truncate(end);
        words.push_str(" ...");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_complaints() {
        assert_eq!(line_of("ERROR 1062 (23000) at line 51: Duplicate entry 'at line 7'"), Some(51));
        assert_eq!(line_of("ERROR 2002 (HY000): Can't connect"), None);
    }

    #[test]
    fn long_statements_are_cut() {
        assert_eq!(shown(b"INSERT\n  INTO a"), "INSERT INTO a");
        assert_eq!(shown("ä".repeat(200).as_bytes()).chars().count(), SHOWN_CHARACTERS + 4);
    }
}
