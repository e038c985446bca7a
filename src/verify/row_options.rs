//! How a dump of PostgreSQL writes rows, so that the server's is written in the same way: a boolean, say, is another word in a COPY
//! than in an INSERT, and rows of a partition may stand with the table that it is a part of.

use std::ops::ControlFlow;

use crate::dump::layout::{DATA_FILE, DUMP_FILE, SCHEMA_FILE};
use crate::dump::postgres::table_schema;
use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;
use crate::verify::compare::part_rows;

/// Bytes that are looked at of a table's definition, or of its rows.
const PIECE_BYTES: usize = 256 << 10;

/// The options of `pg_dump` that a dump must have been made with.
pub fn row_options(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<&'static str>> {
    let rows = part_rows(repository, snapshot)?;
    let begun = |path: &[u8]| begin_of(repository, snapshot, path);
    let mut with_rows = rows.iter().filter(|(path, rows)| **rows > 0 && path.ends_with(DATA_FILE.as_bytes()));
    let first = with_rows.clone().next().map_or(Ok(None), |(path, _)| begun(path))?;
    let style = style_of(&first.unwrap_or_default());
    let by_root = with_rows.try_fold((), |(), (path, _)| {
        let schema = [&path[..path.len() - DATA_FILE.len()], SCHEMA_FILE.as_bytes()].concat();
        match begun(&schema).map(|text| text.and_then(|text| table_schema(&text, b""))) {
            Ok(Some(table)) if table.is_partitioned => ControlFlow::Break(Ok("--load-via-partition-root")),
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    });
    Ok(style.into_iter().chain(by_root.break_value().transpose()?).collect())
}

fn begin_of(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(content) = content_of(repository, snapshot, path)? else { return Ok(None) };
    let mut text = Vec::new();
    repository.contents()?.read(&content, 0, PIECE_BYTES, &mut text)?;
    Ok(Some(text))
}

/// What makes `pg_dump` write rows as these.
fn style_of(rows: &[u8]) -> Option<&'static str> {
    let line = rows.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"INSERT INTO "))?;
    let line = String::from_utf8_lossy(line).into_owned();
    Some(match line.split_once(" VALUES") {
        Some((before, _)) if before.ends_with(')') => "--column-inserts",
        _ => "--inserts",
    })
}

/// The content of a file of a snapshot, if it is there.
pub fn content_of(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Option<Content>> {
    let node = repository.tree()?.lookup_path(&snapshot.manifest.root, path)?;
    Ok(node.as_ref().and_then(Node::content).cloned())
}

/// Gives all of a snapshot's dump to `take`, until somebody interrupts that; nothing where there is no dump.
pub fn each_piece_of_dump(
    repository: &Repository,
    snapshot: &Snapshot,
    monitor: &dyn Monitor,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let Some(content) = content_of(repository, snapshot, DUMP_FILE.as_bytes())? else { return Ok(()) };
    repository.contents()?.each_piece(&content, 1, |piece| {
        if monitor.is_cancelled() {
            return Err(Error::Interrupted);
        }
        take(piece);
        Ok(ControlFlow::Continue(()))
    })
}
