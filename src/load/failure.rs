//! Which statement failed: clients tell the number of a line, which helps nobody who has no file with lines.

use std::ops::ControlFlow;

use crate::dump::{mysql, postgres};
use crate::error::Result;
use crate::load::text::SqlText;

/// What is shown of a statement.
const SHOWN_CHARACTERS: usize = 160;

/// How a client counts lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementLines {
    /// `mariadb` and `mysql` tell where a statement begins.
    Mysql,
    /// `psql` tells where it ends.
    Postgres,
}

/// The beginning of the statement that a client complains about.
pub fn failed_statement(text: &SqlText<'_>, complaint: &str, lines: StatementLines) -> Result<Option<String>> {
    let Some(line) = line_of(complaint, lines) else { return Ok(None) };
    let mut place = LinePlace { line, lines: 1, offset: 0, start: Some(0).filter(|_| line <= 1), end: None };
    let mut found = None;
    match lines {
        StatementLines::Mysql => {
            let mut starts = mysql::StatementStarts::default();
            text.each_piece(&mut |piece| {
                place.pass(piece);
                starts.push(piece, &mut |start, text| place.note_beginning(start, text, &mut found));
                Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            starts.finish(&mut |start, text| place.note_beginning(start, text, &mut found));
        }
        StatementLines::Postgres => {
            let mut starts = postgres::StatementStarts::default();
            text.each_piece(&mut |piece| {
                place.pass(piece);
                starts.push(piece, &mut |start, text| place.note_end(start, text, &mut found));
                Ok(ControlFlow::Continue(()))
            })?;
            starts.finish(&mut |start, text| place.note_end(start, text, &mut found));
        }
    }
    Ok(found)
}

/// Where a line is.
struct LinePlace {
    line: u64,
    /// Lines that have begun.
    lines: u64,
    offset: u64,
    /// Where the line begins and where it ends, as soon as that was passed.
    start: Option<u64>,
    end: Option<u64>,
}

impl LinePlace {
    /// The first statement that begins in the line or behind it is the one.
    fn note_beginning(&self, start: u64, text: &[u8], found: &mut Option<String>) {
        if found.is_none() && self.start.is_some_and(|wanted| start >= wanted) {
            *found = Some(shown(text));
        }
    }

    /// The last statement that begins before the end of the line is the one.
    fn note_end(&self, start: u64, text: &[u8], found: &mut Option<String>) {
        if self.end.is_none_or(|end| start < end) {
            *found = Some(shown(text));
        }
    }

    fn pass(&mut self, piece: &[u8]) {
        for (at, _) in piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            self.lines += 1;
            let behind = Some(self.offset + at as u64 + 1);
            if self.lines == self.line {
                self.start = behind;
            } else if self.lines == self.line + 1 {
                self.end = behind;
            }
        }
        self.offset += piece.len() as u64;
    }
}

/// `ERROR 1062 (23000) at line 51: Duplicate entry`; `psql:<stdin>:51: ERROR:  duplicate key`.
fn line_of(complaint: &str, lines: StatementLines) -> Option<u64> {
    let mark = match lines {
        StatementLines::Mysql => " at line ",
        StatementLines::Postgres => "<stdin>:",
    };
    let line = error_line(complaint);
    let digits = line.split(mark).nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The line that tells the error, and what follows it: `psql` may have warned before.
pub fn error_line(complaint: &str) -> &str {
    const WARNINGS: [&str; 3] = ["WARNING:", "NOTICE:", "INFO:"];
    let is_error = |rest: &str| {
        let told = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' ');
        !WARNINGS.iter().any(|warning| told.starts_with(warning))
    };
    let mark = "psql:<stdin>:";
    let error = complaint.match_indices(mark).find(|(at, _)| is_error(&complaint[at + mark.len()..]));
    error.map_or(complaint, |(at, _)| &complaint[at..])
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
        assert_eq!(
            line_of("ERROR 1062 (23000) at line 51: Duplicate entry 'at line 7'", StatementLines::Mysql),
            Some(51)
        );
        assert_eq!(line_of("ERROR 2002 (HY000): Can't connect", StatementLines::Mysql), None);
        assert_eq!(line_of("psql:<stdin>:7: ERROR:  syntax error", StatementLines::Postgres), Some(7));
        let warned =
            "psql:<stdin>:3: WARNING:  wal_level is small\nHINT:  set it\npsql:<stdin>:9: ERROR:  no role\nLINE 1: x";
        assert_eq!(line_of(warned, StatementLines::Postgres), Some(9));
        assert_eq!(error_line(warned), "psql:<stdin>:9: ERROR:  no role\nLINE 1: x");
    }

    #[test]
    fn long_statements_are_cut() {
        assert_eq!(shown(b"INSERT\n  INTO a"), "INSERT INTO a");
        assert_eq!(shown("ä".repeat(200).as_bytes()).chars().count(), SHOWN_CHARACTERS + 4);
    }
}
