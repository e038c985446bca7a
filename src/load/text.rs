//! SqlText: the SQL that a client is given: a file of a snapshot, or stretches of one, perhaps with its table renamed.

use std::ops::{ControlFlow, Range};

use crate::codec::DecodeError;
use crate::dump::postgres::TableInSchema;
use crate::dump::renaming::Rewrite;
use crate::dump::{mysql, postgres};
use crate::error::{Error, Result};
use crate::load::client::Taker;
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;

/// The first line of dumps of newer MariaDBs is a command that older clients, and those of MySQL, do not know. It forbids what
/// `--binary-mode` forbids too.
const SANDBOX_LINES: [&[u8]; 2] = [br"/*M!999999\-", br"/*!999999\-"];

/// Bytes of a stretch that are read at once.
const PIECE_BYTES: usize = 512 << 10;

/// What a text is made of, in order.
#[derive(Debug, Clone)]
pub enum Stretch {
    Statement(Vec<u8>),
    /// Bytes of the file.
    Of(Range<u64>),
}

/// What the table is called, where that is not as in the file.
#[derive(Default)]
pub enum NewName {
    #[default]
    None,
    Mysql {
        old: Vec<u8>,
        new: Vec<u8>,
    },
    Postgres {
        old: TableInSchema,
        new: TableInSchema,
    },
    /// No table is renamed, but tablespaces get their directories in this one.
    Tablespaces(Vec<u8>),
}

impl NewName {
    fn renamer(&self) -> Option<Box<dyn Rewrite>> {
        match self {
            NewName::None => None,
            NewName::Mysql { old, new } => Some(Box::new(mysql::Renamer::new(old, new))),
            NewName::Postgres { old, new } => Some(Box::new(postgres::Renamer::new(old.clone(), new.clone()))),
            NewName::Tablespaces(all) => Some(Box::new(postgres::Resettler::new(all))),
        }
    }

    fn refused(&self, error: DecodeError) -> Error {
        match self {
            NewName::Tablespaces(_) => Error::invalid("file", "dump.sql", error.reason),
            _ => Error::invalid("option", "--as", error.reason),
        }
    }
}

/// What text goes through.
struct Filter<'n> {
    filter: Box<dyn Rewrite>,
    /// What an error of it is.
    refused: Box<dyn Fn(DecodeError) -> Error + 'n>,
}

/// A text that can be read again and again.
pub struct SqlText<'a> {
    pub contents: ContentReader<'a>,
    pub content: Content,
    pub made_of: Vec<Stretch>,
    pub rename: NewName,
    /// Ends with an error at a command to `psql` that no dump has.
    pub forbids_commands: bool,
    /// Threads that decode.
    pub threads: usize,
}

impl<'a> SqlText<'a> {
    /// All of a file as it is.
    pub fn whole(contents: ContentReader<'a>, content: Content, threads: usize) -> SqlText<'a> {
        let made_of = vec![Stretch::Of(0..content.size)];
        SqlText { contents, content, made_of, rename: NewName::None, forbids_commands: false, threads }
    }

    pub fn bytes(&self) -> u64 {
        let bytes = |stretch: &Stretch| match stretch {
            Stretch::Statement(text) => text.len() as u64,
            Stretch::Of(range) => range.end - range.start,
        };
        self.made_of.iter().map(bytes).sum()
    }

    /// Gives all of it to `take`, until that has seen enough.
    pub fn each_piece(&self, take: Taker<'_>) -> Result<()> {
        for stretch in &self.made_of {
            if self.stretch(stretch, take)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What a stretch of the file goes through, and what an error of that means.
    fn filters(&self) -> Vec<Filter<'_>> {
        let of_dump = |error: DecodeError| Error::invalid("file", "dump.sql", error.reason);
        let guard = self
            .forbids_commands
            .then(|| Filter { filter: Box::new(postgres::CommandGuard::default()), refused: Box::new(of_dump) });
        let renamer = self.rename.renamer();
        let renamer = renamer.map(|filter| Filter { filter, refused: Box::new(|error| self.rename.refused(error)) });
        guard.into_iter().chain(renamer).collect()
    }

    /// Gives one stretch of it to `take`. Nothing of it waits for the next one.
    pub fn stretch(&self, stretch: &Stretch, take: Taker<'_>) -> Result<ControlFlow<()>> {
        let mut filters = self.filters();
        if filters.is_empty() || !matches!(stretch, Stretch::Of(_)) {
            return self.unchanged(stretch, take);
        }
        let flow = self.unchanged(stretch, &mut |piece| {
            let mut text = piece.to_vec();
            for Filter { filter, refused } in &mut filters {
                let mut out = Vec::new();
                filter.push(&text, &mut out).map_err(&*refused)?;
                text = out;
            }
            take(&text)
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        let mut text = Vec::new();
        for Filter { mut filter, refused } in filters {
            let mut out = Vec::new();
            filter.push(&text, &mut out).and_then(|()| filter.finish(&mut out)).map_err(refused)?;
            text = out;
        }
        take(&text)
    }

    /// The same, as it is in the file.
    fn unchanged(&self, stretch: &Stretch, take: Taker<'_>) -> Result<ControlFlow<()>> {
        let range = match stretch {
            Stretch::Statement(text) => return take(text),
            Stretch::Of(range) => range,
        };
        let mut is_first = range.start == 0;
        let mut flow = ControlFlow::Continue(());
        let mut give = |piece: &[u8]| {
            let piece = if std::mem::take(&mut is_first) { without_sandbox_line(piece) } else { piece };
            flow = take(piece)?;
            Ok(flow)
        };
        match *range == (0..self.content.size) {
            true => self.contents.each_piece(&self.content, self.threads, give)?,
            false => self.each_piece_in(range, &mut give)?,
        }
        Ok(flow)
    }

    fn each_piece_in(&self, range: &Range<u64>, take: Taker<'_>) -> Result<()> {
        let (mut piece, mut at) = (Vec::new(), range.start);
        while at < range.end {
            piece.clear();
            self.contents.read(&self.content, at, PIECE_BYTES.min((range.end - at) as usize), &mut piece)?;
            at += piece.len() as u64;
            if take(&piece)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn without_sandbox_line(text: &[u8]) -> &[u8] {
    let line = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
    if SANDBOX_LINES.iter().any(|known| text.starts_with(known)) { &text[line..] } else { text }
}
