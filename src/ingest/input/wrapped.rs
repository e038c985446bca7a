//! Wrapped: compressed bytes that are being unwrapped as they come.

use std::sync::mpsc::SyncSender;

use crate::compressed::{UnwrapError, UnwrapLimit, Unwrapper, Wrapping};

/// Compressed bytes that are read at once.
pub const BUFFER_BYTES: usize = 256 << 10;

pub(super) struct Wrapped {
    unwrapper: Unwrapper,
    buffer: Vec<u8>,
    /// What of the buffer is still to be unwrapped.
    at: usize,
    end: usize,
    /// Nothing follows.
    ended: bool,
    cut_at: Option<u64>,
    /// Who wants the compressed bytes too.
    listener: Option<SyncSender<Vec<u8>>>,
}

impl Wrapped {
    pub fn new(wrapping: Wrapping, limit: UnwrapLimit, listener: Option<SyncSender<Vec<u8>>>) -> Wrapped {
        let unwrapper = Unwrapper::new(wrapping, limit);
        Wrapped { unwrapper, buffer: vec![0; BUFFER_BYTES], at: 0, end: 0, ended: false, cut_at: None, listener }
    }

    /// Gives what comes of the bytes that are there. Where that is nothing, all were taken.
    pub fn give(&mut self, out: &mut [u8]) -> Result<usize, UnwrapError> {
        let step = self.unwrapper.step(&self.buffer[self.at..self.end], out)?;
        self.at += step.taken;
        if self.ended && step.given == 0 {
            self.cut_at = self.unwrapper.finish()?;
        }
        Ok(step.given)
    }

    /// Where the next compressed bytes belong, once all that were there are taken.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// So many came; none are the end.
    pub fn advance(&mut self, count: usize) {
        (self.at, self.end, self.ended) = (0, count, count == 0);
        if let Some(listener) = self.listener.as_ref().filter(|_| count > 0) {
            // A listener that is gone has failed, and tells so itself.
            let _ = listener.send(self.buffer[..count].to_vec());
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn cut_at(&self) -> Option<u64> {
        self.cut_at
    }
}
