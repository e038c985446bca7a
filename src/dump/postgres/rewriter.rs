//! Rewriter: a dump that streams by, in which an editor changes what the lexer shows it.

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::renaming::{Edits, Rewrite, Waiting};

/// Sees what a dump is made of, and decides what becomes of it.
pub trait Editor: Sink {
    /// What it wants changed of what it has seen, or why that may not pass.
    fn edits(&mut self) -> Result<&mut Edits, DecodeError>;
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

    pub fn editor(&self) -> &E {
        &self.editor
    }

    fn is_sure(&self) -> Result<(), DecodeError> {
        let (reason, at) = ("a tag between dollars is longer than any in a dump", self.lexer.position() as usize);
        if self.lexer.is_sure() { Ok(()) } else { Err(DecodeError { reason, at }) }
    }
}

impl<E: Editor> Rewrite for Rewriter<E> {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.waiting.take(piece);
        self.editor.look(piece);
        self.lexer.push(piece, &mut self.editor);
        self.is_sure()?;
        self.waiting.give_out(self.lexer.settled(), self.editor.edits()?, out)
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.lexer.finish(&mut self.editor);
        self.is_sure()?;
        self.waiting.give_out(u64::MAX, self.editor.edits()?, out)
    }
}
