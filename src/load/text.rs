//! SqlText: the SQL that a client is given: a file of a snapshot, or stretches of one, perhaps with its table renamed.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::dump::layout::DUMP_FILE;
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
    /// All of another file.
    File(Content),
}

/// What is changed in a text on its way.
#[derive(Debug, Clone)]
pub enum Change {
    /// Commands to `psql` are kept out that no dump has.
    Commands(CommandRule),
    /// Roles and tablespaces that the server has are not made.
    WithoutGlobals(Arc<postgres::ServerGlobals>),
    /// What is dropped of PostgreSQL is dropped otherwise, or not at all.
    Drops(postgres::DropRule),
    /// Owners or privileges of PostgreSQL are left out.
    WithoutOwnership(postgres::Ownership),
    /// Definers of MySQL are.
    WithoutDefiners,
    /// What MySQL replicates and logs stays as it is.
    WithoutReplication,
    /// What makes foreign keys of PostgreSQL is left out.
    WithoutForeignKeys,
    /// Tablespaces get their directories in this one.
    Tablespaces(Vec<u8>),
    /// A table of MySQL is called otherwise.
    MysqlTable { old: Vec<u8>, new: Vec<u8> },
    /// A table of PostgreSQL is.
    PostgresTable { old: TableInSchema, new: TableInSchema },
}

impl Change {
    /// For text that begins there in the dump.
    fn filter(&self, start: u64) -> Filter {
        let (filter, about): (Box<dyn Rewrite>, _) = match self {
            Change::Commands(rule) => (Box::new(guard(rule, start)), DUMP),
            Change::WithoutGlobals(there) => (Box::new(postgres::GlobalsCutter::new(there)), DUMP),
            Change::Drops(rule) => (Box::new(postgres::DropEditor::new(rule, start > 0)), DUMP),
            Change::WithoutOwnership(what) => (Box::new(postgres::OwnershipCutter::new(*what)), DUMP),
            Change::WithoutDefiners => (Box::<mysql::DefinerCutter>::default(), DUMP),
            Change::WithoutReplication => (Box::<mysql::ReplicationCutter>::default(), DUMP),
            Change::WithoutForeignKeys => (Box::<postgres::ForeignKeyCutter>::default(), DUMP),
            Change::Tablespaces(all) => (Box::new(postgres::Resettler::new(all)), DUMP),
            Change::MysqlTable { old, new } => (Box::new(mysql::Renamer::new(old, new)), AS_OPTION),
            Change::PostgresTable { old, new } => {
                (Box::new(postgres::Renamer::new(old.clone(), new.clone())), AS_OPTION)
            }
        };
        Filter { filter, about }
    }

    /// A whole text so changed.
    pub fn applied_to(&self, text: &[u8]) -> Result<Vec<u8>> {
        self.filter(0).finish(text)
    }

    /// The key that `psql` is to be told first.
    fn key(&self) -> Option<&str> {
        match self {
            Change::Commands(rule) => rule.key(),
            _ => None,
        }
    }
}

/// A session that begins within a dump begins as what came before may have altered roles and databases.
fn guard(rule: &CommandRule, start: u64) -> postgres::CommandGuard {
    let guard = postgres::CommandGuard::new(rule.key());
    if start > 0 { guard.in_any_session() } else { guard }
}

/// How commands to `psql` are kept out.
#[derive(Debug, Clone)]
pub enum CommandRule {
    /// Lines that begin with one are looked at.
    Lines,
    /// `psql` itself takes none without this key.
    Key(String),
}

impl CommandRule {
    pub fn key(&self) -> Option<&str> {
        match self {
            CommandRule::Lines => None,
            CommandRule::Key(key) => Some(key),
        }
    }
}

/// What text goes through.
struct Filter {
    filter: Box<dyn Rewrite>,
    /// What is not usable where it refuses something: what that is, and its name.
    about: [&'static str; 2],
}

/// What an option, and a file, are called in errors.
const AS_OPTION: [&str; 2] = ["option", "--as"];
const DUMP: [&str; 2] = ["file", DUMP_FILE];

impl Filter {
    fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.filter.push(piece, &mut out).map_err(|error| refused(self.about, error))?;
        Ok(out)
    }

    /// Takes the last piece.
    fn finish(mut self, piece: &[u8]) -> Result<Vec<u8>> {
        let mut out = self.push(piece)?;
        self.filter.finish(&mut out).map_err(|error| refused(self.about, error))?;
        Ok(out)
    }
}

fn refused([what, name]: [&'static str; 2], error: DecodeError) -> Error {
    Error::invalid(what, name, error.reason)
}

/// A text that can be read again and again.
pub struct SqlText<'a> {
    pub contents: ContentReader<'a>,
    pub content: Content,
    pub made_of: Vec<Stretch>,
    /// What stretches of files go through, in this order.
    pub changes: Vec<Change>,
    /// Threads that decode.
    pub threads: usize,
}

impl<'a> SqlText<'a> {
    /// All of a file as it is.
    pub fn whole(contents: ContentReader<'a>, content: Content, threads: usize) -> SqlText<'a> {
        let all = 0..content.size;
        SqlText::stretch_of(contents, content, all, threads)
    }

    /// These bytes of it.
    pub fn stretch_of(contents: ContentReader<'a>, content: Content, range: Range<u64>, threads: usize) -> SqlText<'a> {
        let made_of = vec![Stretch::Of(range)];
        SqlText { contents, content, made_of, changes: Vec::new(), threads }
    }

    /// Where in the file it begins.
    pub fn start(&self) -> Option<u64> {
        match self.made_of.first()? {
            Stretch::Of(range) => Some(range.start),
            Stretch::Statement(_) | Stretch::File(_) => None,
        }
    }

    pub fn bytes(&self) -> u64 {
        let bytes = |stretch: &Stretch| match stretch {
            Stretch::Statement(text) => text.len() as u64,
            Stretch::Of(range) => range.end - range.start,
            Stretch::File(content) => content.size,
        };
        self.made_of.iter().map(bytes).sum()
    }

    /// Gives all of it to `take`, until that has seen enough.
    pub fn each_piece(&self, take: Taker<'_>) -> Result<()> {
        if self.begin(take)?.is_break() {
            return Ok(());
        }
        for stretch in &self.made_of {
            if self.stretch(stretch, take)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Gives to `take` what comes before the first stretch.
    pub fn begin(&self, take: Taker<'_>) -> Result<ControlFlow<()>> {
        match self.changes.iter().find_map(Change::key) {
            Some(key) => take(postgres::restricted(key).as_bytes()),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// Gives one stretch of it to `take`. Nothing of it waits for the next one.
    pub fn stretch(&self, stretch: &Stretch, take: Taker<'_>) -> Result<ControlFlow<()>> {
        let start = if let Stretch::Of(range) = stretch { range.start } else { 0 };
        let mut filters: Vec<Filter> = self.changes.iter().map(|change| change.filter(start)).collect();
        if filters.is_empty() || matches!(stretch, Stretch::Statement(_)) {
            return self.unchanged(stretch, take);
        }
        let flow = self.unchanged(stretch, &mut |piece| {
            let mut text = piece.to_vec();
            for filter in &mut filters {
                text = filter.push(&text)?;
            }
            take(&text)
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        let mut text = Vec::new();
        for filter in filters {
            text = filter.finish(&text)?;
        }
        take(&text)
    }

    /// The same, as it is in the file.
    fn unchanged(&self, stretch: &Stretch, take: Taker<'_>) -> Result<ControlFlow<()>> {
        let (content, range) = match stretch {
            Stretch::Statement(text) => return take(text),
            Stretch::Of(range) => (&self.content, range.clone()),
            Stretch::File(content) => (content, 0..content.size),
        };
        // Several dumps begin in one file.
        let mut is_first = true;
        let mut flow = ControlFlow::Continue(());
        let mut give = |piece: &[u8]| {
            let piece = if std::mem::take(&mut is_first) { without_sandbox_line(piece) } else { piece };
            flow = take(piece)?;
            Ok(flow)
        };
        match range == (0..content.size) {
            true => self.contents.each_piece(content, self.threads, give)?,
            false => self.each_piece_in(&range, &mut give)?,
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
