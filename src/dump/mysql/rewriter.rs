//! Rewriter: a dump that streams by, in which an editor changes what the lexer shows it.

use crate::codec::DecodeError;
use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::renaming::{Edits, Rewrite, Waiting};

/// Sees what a dump is made of, and decides what becomes of it.
pub trait Editor: Sink {
    /// What it wants changed of what it has seen.
    fn edits(&mut self) -> &mut Edits;
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
}

impl<E: Editor> Rewrite for Rewriter<E> {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.waiting.take(piece);
        self.lexer.push(piece, &mut self.editor);
        self.waiting.give_out(self.lexer.settled(), self.editor.edits(), out)
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.lexer.finish(&mut self.editor);
        self.waiting.give_out(u64::MAX, self.editor.edits(), out)
    }
}
