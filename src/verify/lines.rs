//! Rows of PostgreSQL as lines, which both dumps write in the same way: what is compared are the lines, each as often as it is
//! there, in whatever order.

use crate::dump::layout::DATA_FILE;
use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;
use crate::rows::Join;
use crate::verify::compare::part_rows;

/// Bytes that are read of one side before the other one is.
const PIECE_BYTES: usize = 256 << 10;

/// How a dump writes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStyle {
    Copy,
    Inserts,
    ColumnInserts,
}

/// How the first table of a snapshot that has rows has them written.
pub fn row_style(repository: &Repository, snapshot: &Snapshot) -> Result<RowStyle> {
    let rows = part_rows(repository, snapshot)?;
    let Some((path, _)) = rows.iter().find(|(path, rows)| **rows > 0 && path.ends_with(DATA_FILE.as_bytes())) else {
        return Ok(RowStyle::Copy);
    };
    let mut text = Vec::new();
    if let Some(content) = content_of(repository, snapshot, path)? {
        repository.contents()?.read(&content, 0, PIECE_BYTES, &mut text)?;
    }
    let Some(line) = text.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"INSERT INTO ")) else {
        return Ok(RowStyle::Copy);
    };
    let line = String::from_utf8_lossy(line).into_owned();
    Ok(match line.split_once(" VALUES") {
        Some((before, _)) if before.ends_with(')') => RowStyle::ColumnInserts,
        _ => RowStyle::Inserts,
    })
}

/// The content of a file of a snapshot, if it is there.
pub fn content_of(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Option<Content>> {
    let node = repository.tree()?.lookup_path(&snapshot.manifest.root, path)?;
    Ok(node.as_ref().and_then(Node::content).cloned())
}

/// Gives the lines of both contents to a join, in turns.
pub fn join_lines(
    repositories: [&Repository; 2],
    contents: [Option<&Content>; 2],
    join: &mut Join,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut sides = contents.map(|content| Lines { content, at: 0, text: Vec::new(), is_in_copy: false });
    while sides.iter().any(|side| !side.is_at_end()) {
        if monitor.is_cancelled() {
            return Err(Error::Interrupted);
        }
        for (number, side) in sides.iter_mut().enumerate() {
            let read = side.read(repositories[number], &mut |line| join.add(number, line, b""))?;
            Counters::add(&monitor.counters().bytes_read, read);
        }
    }
    Ok(())
}

struct Lines<'c> {
    content: Option<&'c Content>,
    at: u64,
    /// The beginning of a line that was not read to its end.
    text: Vec<u8>,
    is_in_copy: bool,
}

impl Lines<'_> {
    fn is_at_end(&self) -> bool {
        self.content.is_none_or(|content| self.at == content.size)
    }

    /// Reads on, and gives the lines that tell of rows; tells how many bytes were read.
    fn read(&mut self, repository: &Repository, give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let Some(content) = self.content.filter(|_| !self.is_at_end()) else { return Ok(0) };
        let length = (content.size - self.at).min(PIECE_BYTES as u64);
        repository.contents()?.read(content, self.at, length as usize, &mut self.text)?;
        self.at += length;
        let text = std::mem::take(&mut self.text);
        let mut lines = text.split_inclusive(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let is_cut = lines.peek().is_none() && !line.ends_with(b"\n") && !self.is_at_end();
            if is_cut {
                self.text = line.to_vec();
            } else if self.tells_of_rows(line) {
                give(line.strip_suffix(b"\n").unwrap_or(line))?;
            }
        }
        Ok(length)
    }

    fn tells_of_rows(&mut self, line: &[u8]) -> bool {
        if self.is_in_copy {
            self.is_in_copy = line != b"\\.\n";
            return self.is_in_copy;
        }
        self.is_in_copy = line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;\n");
        let is_other = line.starts_with(b"--") || line.starts_with(b"SET ") || line == b"\n" || line.is_empty();
        !is_other && !self.is_in_copy
    }
}
