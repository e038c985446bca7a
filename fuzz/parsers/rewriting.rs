//! What changes a dump of PostgreSQL while it is loaded.

use super::in_any_pieces;
use super::postgres::read_rows;
use yesterfs::dump::postgres::{Renamer, Resettler, Strings, TableInSchema};
use yesterfs::dump::renaming::Rewrite;

/// Another schema, which no input has.
const ELSEWHERE: &str = "else\"where";

/// What comes of a text that passes in pieces of this length; `None` where it is refused.
pub fn rewritten(data: &[u8], length: usize, mut rewriter: Box<dyn Rewrite>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    data.chunks(length).try_for_each(|piece| rewriter.push(piece, &mut out)).ok()?;
    rewriter.finish(&mut out).ok().map(|()| out)
}

fn renamed(data: &[u8], length: usize, old: (&str, &str), new: (&str, &str)) -> Option<Vec<u8>> {
    let table = |(schema, table): (&str, &str)| TableInSchema { schema: schema.into(), table: table.into() };
    rewritten(data, length, Box::new(Renamer::new(table(old), table(new))))
}

/// Rows pass as they are, and what stands around them is read as the same.
fn assert_same_rows(before: &[u8], after: &[u8]) {
    let rows = |data: &[u8]| {
        let (rows, is_whole) = read_rows(data, Strings::default(), false, data.len().max(1));
        let texts = rows.into_iter().map(|(start, text)| start.map(|_| text));
        (texts.collect::<Vec<_>>(), is_whole)
    };
    assert!(rows(before) == rows(after), "other rows are loaded");
}

/// Gives a table another name, and another schema.
pub fn postgres_renaming(data: &[u8]) {
    const OLD: (&str, &str) = ("sales", "orders");
    let to = |new| in_any_pieces(data, |length| renamed(data, length, OLD, new), "other pieces are renamed otherwise");
    if let Some(after) = to(("other", "it's")) {
        assert_same_rows(data, &after);
    }
    let plain: Vec<u8> = data.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\\')).collect();
    if plain.to_ascii_lowercase().windows(9).any(|window| window == b"elsewhere") {
        return;
    }
    // There and back again it is called as if it had stayed.
    let (there, stayed) = (to((ELSEWHERE, "orders")), to(OLD));
    assert!(there.is_some() == stayed.is_some(), "where a table is brought decides whether it may");
    let Some((there, stayed)) = there.zip(stayed) else { return };
    let back = renamed(&there, there.len().max(1), (ELSEWHERE, "orders"), OLD);
    assert!(back.as_ref() == Some(&stayed), "a table that was brought to another schema is not found there");
    let again = renamed(&stayed, stayed.len().max(1), OLD, OLD);
    assert!(again.as_ref() == Some(&stayed), "a table that stays changes each time");
}

/// Gives tablespaces other directories.
pub fn postgres_tablespaces(data: &[u8]) {
    let resettled =
        |data: &[u8], all: &str, length: usize| rewritten(data, length, Box::new(Resettler::new(all.as_bytes())));
    let brought = |all| in_any_pieces(data, |length| resettled(data, all, length), "other pieces bring them elsewhere");
    let Some((there, elsewhere)) = brought("/a").zip(brought("/it's \\")) else { return };
    assert_same_rows(data, &there);
    let again = resettled(&elsewhere, "/a", elsewhere.len().max(1));
    assert!(again.as_ref() == Some(&there), "a tablespace that was brought elsewhere is not found there");
}
