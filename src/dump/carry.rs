//! Carry: what a reader of a dump could not look at yet, since too little followed it.

/// Bytes that are kept until more come.
#[derive(Debug, Clone, Default)]
pub struct Carry(Vec<u8>);

impl Carry {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is kept, which is kept no more.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Gives `run` what is kept and then `piece`, of which it says how much it used; it uses all but the last `lookahead`
    /// bytes or fewer. The rest is kept.
    pub fn feed(&mut self, mut piece: &[u8], lookahead: usize, mut run: impl FnMut(&[u8]) -> usize) {
        while !self.0.is_empty() && !piece.is_empty() {
            let mut joined = self.take();
            let carried = joined.len();
            let taken = piece.len().min(lookahead);
            joined.extend_from_slice(&piece[..taken]);
            let used = run(&joined);
            if used >= carried {
                piece = &piece[used - carried..];
            } else {
                joined.drain(..used);
                self.0 = joined;
                piece = &piece[taken..];
            }
        }
        if !piece.is_empty() {
            let used = run(piece);
            self.0.extend_from_slice(&piece[used..]);
        }
    }
}
