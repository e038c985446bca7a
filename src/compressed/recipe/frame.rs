//! Frame: a frame of Zstandard on its way to a recipe. Its blocks are read, and told.

use std::collections::VecDeque;

use crate::compressed::recipe::block_piece::{Beginning, BlockBody, BlockHead, BlockPiece, HEAD_BYTES, JOB_MIN_BYTES};
use crate::compressed::recipe::window::Window;
use crate::compressed::sequences::block::Tables;
use crate::compressed::sequences::levels::searches;
use crate::compressed::sequences::predictor::{Predictor, Search, Sight, WINDOW_MAX_BYTES, Way};
use crate::compressed::sequences::{BLOCK_MAX_BYTES, Recent, Sequence};
use crate::compressed::zstandard;

/// A search is chosen by so many plain bytes, or more, or by so many blocks.
const SAMPLE_BYTES: usize = 512 << 10;
const SAMPLE_BLOCKS: usize = 4096;

/// A search that has no more mistakes than this part of the sequences is right.
const MISTAKES_FEW: usize = 200;

/// One that has more than this part is none.
const MISTAKES_MAX: usize = 2;

/// Jobs of threads are windows of so many times.
const JOB_WINDOWS: u64 = 4;

/// In two tables another way is tried at most once in so many bytes: it takes a copy of both.
const OTHER_WAY_BYTES: u64 = 8 << 10;

/// What stands in front of a frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameHead {
    pub length: usize,
    window_bytes: u64,
    content: Option<u64>,
    /// Bytes behind the last block.
    pub trailer_bytes: usize,
}

impl FrameHead {
    /// Reads what is there; `None` where more must come.
    pub fn read(bytes: &[u8]) -> Result<Option<FrameHead>, &'static str> {
        let magic = bytes.iter().zip(zstandard::MAGIC).all(|(byte, of_magic)| *byte == of_magic);
        if !magic {
            return Err("no frame");
        }
        let Some(&flags) = bytes.get(zstandard::MAGIC.len()) else { return Ok(None) };
        let is_whole = flags & 0x20 != 0;
        if flags & 0x0b != 0 {
            return Err("a frame with a dictionary, or of a later version");
        }
        let window_at = zstandard::MAGIC.len() + 1;
        let content_at = window_at + usize::from(!is_whole);
        let content_bytes = match flags >> 6 {
            0 => usize::from(is_whole),
            size => 1 << size,
        };
        let Some(content) = bytes.get(content_at..content_at + content_bytes) else { return Ok(None) };
        let number = content.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let content = match content_bytes {
            0 => None,
            2 => Some(number + 256),
            _ => Some(number),
        };
        let window = |told: u8| (1u64 << (10 + (told >> 3))) / 8 * (8 + u64::from(told & 7));
        let window_bytes = match content {
            Some(content) if is_whole => content,
            _ => window(bytes[window_at]),
        };
        if window_bytes > WINDOW_MAX_BYTES {
            return Err("a frame with a window that is too long");
        }
        let trailer_bytes = if flags & 4 != 0 { 4 } else { 0 };
        Ok(Some(FrameHead { length: content_at + content_bytes, window_bytes, content, trailer_bytes }))
    }
}

/// A block that was read.
struct Block {
    head: BlockHead,
    body: BlockBody,
    plain: usize,
}

/// A block that was told.
pub struct ToldBlock {
    /// How many compressed bytes it is.
    pub length: usize,
    pub piece: BlockPiece,
    /// The search of the frame, with its first block.
    pub search: Option<Search>,
}

/// A frame.
pub struct FrameStream {
    head: FrameHead,
    /// A window, and what waiting blocks hold.
    text: Vec<u8>,
    /// Where the first of the waiting blocks begins in it.
    start: usize,
    window: Window,
    waiting: VecDeque<Block>,
    /// Bytes of the buffer that blocks were read of.
    seen: usize,
    recent: Recent,
    read: Tables,
    /// What tells, and what proves it.
    predictors: Option<[Predictor; 2]>,
    made: Tables,
    /// Where in the frame another way may be tried again.
    other_way_at: u64,
    has_ended: bool,
}

impl FrameStream {
    pub fn new(head: FrameHead) -> FrameStream {
        FrameStream {
            head,
            text: Vec::new(),
            start: 0,
            window: Window::default(),
            waiting: VecDeque::new(),
            seen: 0,
            recent: Recent::default(),
            read: Tables::default(),
            predictors: None,
            made: Tables::default(),
            other_way_at: 0,
            has_ended: false,
        }
    }

    /// Reads blocks until one can be told; false where more bytes are needed.
    pub fn read_blocks(&mut self, buffer: &[u8]) -> Result<bool, &'static str> {
        while !self.has_ended && !self.has_enough() {
            let Some(head) = buffer.get(self.seen..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>()) else {
                return Ok(false);
            };
            let head = BlockHead::read(*head).ok_or("no such block")?;
            let at = self.seen + HEAD_BYTES;
            let Some(body) = buffer.get(at..at + head.body_bytes()) else { return Ok(false) };
            self.read_block(head, body).ok_or("a block that cannot be read")?;
            self.seen = at + head.body_bytes();
            self.has_ended = head.is_last;
        }
        Ok(true)
    }

    fn has_enough(&self) -> bool {
        let blocks = if self.predictors.is_some() { 1 } else { SAMPLE_BLOCKS };
        self.waiting.len() >= blocks || self.text.len() - self.start >= SAMPLE_BYTES
    }

    fn read_block(&mut self, head: BlockHead, bytes: &[u8]) -> Option<()> {
        let before = self.text.len();
        let body = BlockBody::read(&head, bytes, &mut self.read)?;
        match &body {
            BlockBody::Raw => self.text.extend_from_slice(bytes),
            // What is repeated is not in the text.
            BlockBody::Repeated(0) => return None,
            BlockBody::Repeated(count) => self.text.resize(before + count, *bytes.first()?),
            BlockBody::Coded(parts) => {
                let mut literals = &parts.literals[..];
                for sequence in &parts.sequences {
                    let (first, rest) = literals.split_at_checked(sequence.literals as usize)?;
                    self.text.extend_from_slice(first);
                    literals = rest;
                    self.copy(sequence, before)?;
                }
                self.text.extend_from_slice(literals);
            }
        }
        let plain = self.text.len() - before;
        self.waiting.push_back(Block { head, body, plain });
        (plain <= BLOCK_MAX_BYTES).then_some(())
    }

    fn copy(&mut self, sequence: &Sequence, block: usize) -> Option<()> {
        let distance = self.recent.pass(sequence)?;
        if u64::from(distance) > self.head.window_bytes {
            return None;
        }
        let distance = distance as usize;
        let mut left = sequence.length as usize;
        if self.text.len() - block + left > BLOCK_MAX_BYTES {
            return None;
        }
        while left > 0 {
            let first = self.text.len().checked_sub(distance)?;
            let count = left.min(distance);
            self.text.extend_from_within(first..first + count);
            left -= count;
        }
        Some(())
    }

    /// The search that makes the fewest mistakes about the first blocks; `None` where all make too many.
    fn choose_search(&self) -> Option<Search> {
        let sequences = self.waiting.iter().map(|block| match &block.body {
            BlockBody::Coded(parts) => parts.sequences.len(),
            _ => 0,
        });
        let sequences: usize = sequences.sum();
        let mut best: Option<(usize, Search)> = None;
        for search in searches(self.head.window_bytes, self.head.content) {
            let fewest = best.map_or(usize::MAX, |(fewest, _)| fewest);
            let Some(mistakes) = self.mistakes(search, fewest) else { continue };
            best = Some((mistakes, search));
            if mistakes <= sequences / MISTAKES_FEW {
                break;
            }
        }
        let (mistakes, search) = best?;
        (mistakes <= sequences / MISTAKES_MAX).then_some(search)
    }

    /// How many mistakes a search makes about the waiting blocks, if fewer than so many.
    fn mistakes(&self, search: Search, fewest: usize) -> Option<usize> {
        let mut predictor = Predictor::new(search);
        let (mut start, mut mistakes) = (self.start, 0);
        for block in &self.waiting {
            let sight = self.sight(start, start + block.plain);
            let piece = BlockPiece::of_block(&block.head, &block.body, Beginning::default(), sight, &mut predictor)?;
            mistakes += piece.mistakes();
            if mistakes >= fewest {
                return None;
            }
            start += block.plain;
        }
        Some(mistakes)
    }

    fn sight(&self, start: usize, end: usize) -> Sight<'_> {
        self.window.sight(&self.text[..end], start)
    }

    /// Tells the next block, with what it begins with in the buffer. `None` where that is of no use.
    pub fn tell_block(&mut self, buffer: &[u8]) -> Option<ToldBlock> {
        let is_new = self.predictors.is_none();
        if is_new {
            let search = self.choose_search()?;
            self.predictors = Some([Predictor::new(search), Predictor::new(search)]);
        }
        let block = self.waiting.pop_front()?;
        let [mut telling, mut proving] = self.predictors.take()?;
        let mut tables = std::mem::take(&mut self.made);
        let sight = self.window.sight(&self.text[..self.start + block.plain], self.start);
        let piece = piece_of(&block, sight, &mut telling, &proving, &mut self.other_way_at)?;
        let length = HEAD_BYTES + block.head.body_bytes();
        let made = piece.write(sight, &mut proving, &mut tables).ok()?;
        if buffer.get(..length) != Some(&made[..]) {
            return None;
        }
        let search = telling.search;
        (self.predictors, self.made) = (Some([telling, proving]), tables);
        self.start += block.plain;
        let dropped = self.window.pass(self.start, search.window_bytes.max(self.head.window_bytes) as usize);
        self.text.drain(..dropped);
        self.start -= dropped;
        self.seen -= length;
        Some(ToldBlock { length, piece, search: is_new.then_some(search) })
    }

    /// Whether all blocks were told, of all there are.
    pub fn has_ended(&self) -> bool {
        self.has_ended && self.waiting.is_empty()
    }
}

/// Tells a block. Where it goes on otherwise than before, it is told in each way, and that with the fewest mistakes is taken. What
/// proves blocks is as what tells them was before.
fn piece_of(
    block: &Block,
    sight: Sight,
    telling: &mut Predictor,
    before: &Predictor,
    other_way_at: &mut u64,
) -> Option<BlockPiece> {
    let search = telling.search;
    let told = |predictor: &mut Predictor, beginning| {
        BlockPiece::of_block(&block.head, &block.body, beginning, sight, predictor)
    };
    let is_split = before.is_split;
    let mut piece = told(telling, Beginning { job: None, is_split });
    if piece.as_ref().is_some_and(|piece| piece.mistakes() <= piece.sequences() / MISTAKES_FEW) {
        return piece;
    }
    let mut better = |mut predictor: Predictor, beginning| {
        let Some(other) = told(&mut predictor, beginning) else { return };
        if piece.as_ref().is_none_or(|piece| other.mistakes() < piece.mistakes()) {
            (piece, *telling) = (Some(other), predictor);
        }
    };
    let at = sight.origin + sight.start as u64;
    if search.way == Way::Double && at >= *other_way_at {
        *other_way_at = at + OTHER_WAY_BYTES;
        better(before.clone(), Beginning { job: None, is_split: !is_split });
    }
    let job_bytes = (JOB_WINDOWS * search.window_bytes).max(JOB_MIN_BYTES);
    if at > 0 && at.is_multiple_of(job_bytes) {
        let overlap = search.window_bytes >> if search.way == (Way::Rows { ahead: 2 }) { 2 } else { 3 };
        better(Predictor::new(search), Beginning { job: Some(overlap as usize), is_split: false });
    }
    piece
}

#[cfg(test)]
mod tests;
