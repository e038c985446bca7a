//! Outline: the parts of a dump, as the snapshot lists them, and what it says besides rows.

use std::ops::Range;

use crate::dump::layout::{DATA_FILE, TABLES_DIRECTORY};
use crate::dump::part_line::PartLine;
use crate::error::{Error, Result};
use crate::load::text::{SqlText, Stretch};
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;

/// Longer parts hold large objects, or what else is no statement that anybody wrote.
const PART_MAX_BYTES: u64 = 64 << 20;

/// Calls `work` with each part of a dump, and where it stands.
///
/// # Errors
/// [`Error::Corrupt`] where they are not all of the dump.
pub fn each_part(
    contents: ContentReader<'_>,
    dump: &Content,
    parts: &Content,
    mut work: impl FnMut(&PartLine, Range<u64>) -> Result<()>,
) -> Result<()> {
    let corrupt = |reason: &str| Error::corrupt("_meta/parts", reason);
    let mut end = 0u64;
    let is_ended = contents.each_line(parts, |line| {
        let part = PartLine::parse(line).ok_or_else(|| corrupt("a line tells of no part"))?;
        let start = end;
        end = end.checked_add(part.length).ok_or_else(|| corrupt("its parts are not all of the dump"))?;
        work(&part, start..end)
    })?;
    match end == dump.size && is_ended {
        true => Ok(()),
        false => Err(corrupt("its parts are not all of the dump")),
    }
}

/// The bytes of a dump there.
pub fn text_at(contents: &ContentReader, dump: &Content, range: &Range<u64>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    contents.read(dump, range.start, length, &mut text)?;
    Ok(text)
}

/// What a dump holds besides the rows of tables.
pub fn beside_rows<'a>(contents: ContentReader<'a>, dump: &Content, parts: &Content) -> Result<SqlText<'a>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    each_part(contents, dump, parts, |part, range| {
        if !is_rows(part.path) && part.length <= PART_MAX_BYTES {
            extend(&mut ranges, range);
        }
        Ok(())
    })?;
    let made_of = ranges.into_iter().map(Stretch::Of).collect();
    Ok(SqlText { made_of, ..SqlText::whole(contents, dump.clone(), 1) })
}

fn is_rows(path: &[u8]) -> bool {
    let mut names = path.rsplit(|&byte| byte == b'/');
    names.next() == Some(DATA_FILE.as_bytes()) && names.nth(1) == Some(TABLES_DIRECTORY.as_bytes())
}

/// Adds a stretch; one that goes on where the last one ended lengthens it.
pub fn extend(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}
