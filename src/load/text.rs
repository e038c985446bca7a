//! SqlText: the SQL that a client is given: a file of a snapshot, perhaps with its table renamed.

use crate::dump::mysql::Renamer;
use crate::error::{Error, Result};
use crate::load::client::Taker;
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;

/// The first line of dumps of newer MariaDBs is a command that older clients, and those of MySQL, do not know. It forbids what
/// `--binary-mode` forbids too.
const SANDBOX_LINES: [&[u8]; 2] = [br"/*M!999999\-", br"/*!999999\-"];

/// What is other than in the file.
pub enum Change {
    None,
    /// The name of the table.
    Rename {
        old: Vec<u8>,
        new: Vec<u8>,
    },
    /// A statement comes first.
    Begin(Vec<u8>),
}

/// A text that can be read again and again.
pub struct SqlText<'a> {
    pub contents: ContentReader<'a>,
    pub content: Content,
    pub change: Change,
    /// Threads that decode.
    pub threads: usize,
}

impl SqlText<'_> {
    /// Gives all of it to `take`, until that has seen enough.
    pub fn each_piece(&self, take: Taker<'_>) -> Result<()> {
        let mut renamer = match &self.change {
            Change::Rename { old, new } => Some(Renamer::new(old, new)),
            Change::Begin(statement) if take(statement)?.is_break() => return Ok(()),
            Change::Begin(_) | Change::None => None,
        };
        let mut is_first = true;
        let mut renamed = Vec::new();
        self.contents.each_piece(&self.content, self.threads, |piece| {
            let piece = if std::mem::take(&mut is_first) { without_sandbox_line(piece) } else { piece };
            let Some(renamer) = &mut renamer else { return take(piece) };
            renamed.clear();
            renamer.push(piece, &mut renamed).map_err(|error| Error::corrupt("the dump", error.reason))?;
            take(&renamed)
        })?;
        let Some(renamer) = renamer else { return Ok(()) };
        renamed.clear();
        renamer.finish(&mut renamed);
        take(&renamed).map(|_| ())
    }
}

fn without_sandbox_line(text: &[u8]) -> &[u8] {
    let line = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
    if SANDBOX_LINES.iter().any(|known| text.starts_with(known)) { &text[line..] } else { text }
}
