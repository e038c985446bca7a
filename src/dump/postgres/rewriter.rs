//! Rewriter: a dump that streams by, in which an editor changes what the lexer shows it.

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::renaming::{Edits, Rewrite, Waiting};

/// Sees what a dump is made of, and decides what becomes of it.
pub trait Editor: Sink {
    /// What it wants changed of what it has seen, or why that may not pass.
    fn edits(&mut self) -> Result<&mut Edits, DecodeError>;
    /// Sees where `psql` would first find a command within a statement.
    fn command_within(&mut self, _at: u64) {}
    /// Whether nothing may pass that `psql` may read otherwise than it was read here: it would see commands where none were seen.
    fn heeds_doubts(&self) -> bool {
        false
    }
    /// Sees all bytes as they come, whatever they are part of.
    fn look(&mut self, _piece: &[u8]) {}
}

/// Takes a dump, and gives it out as its editor wants it.
#[derive(Default)]
pub struct Rewriter<E> {
    lexer: Lexer,
    waiting: Waiting,
    editor: E,
}

impl<E: Editor> Rewriter<E> {
    pub fn with(editor: E) -> Rewriter<E> {
        Rewriter { lexer: Lexer::default(), waiting: Waiting::default(), editor }
    }

    /// The same with another lexer, before anything came.
    pub fn with_lexer(self, lexer: Lexer) -> Rewriter<E> {
        Rewriter { lexer, ..self }
    }

    pub fn lexer(&self) -> &Lexer {
        &self.lexer
    }

    pub fn editor(&self) -> &E {
        &self.editor
    }

    /// Takes note that nothing follows, and gives out what is left.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.lexer.finish(&mut self.editor);
        self.check()?;
        self.waiting.give_out(u64::MAX, self.editor.edits()?, out)
    }

    /// Fails where `psql` may read something otherwise than it was read here, and that counts.
    fn check(&mut self) -> Result<(), DecodeError> {
        self.lexer.command_within().into_iter().for_each(|at| self.editor.command_within(at));
        let at = self.lexer.position() as usize;
        self.lexer
            .doubt()
            .filter(|_| self.editor.heeds_doubts())
            .map_or(Ok(()), |reason| Err(DecodeError { reason, at }))
    }
}

impl<E: Editor> Rewrite for Rewriter<E> {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.waiting.take(piece);
        self.editor.look(piece);
        self.lexer.push(piece, &mut self.editor);
        self.check()?;
        self.waiting.give_out(self.lexer.settled(), self.editor.edits()?, out)
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.end(out)
    }
}
