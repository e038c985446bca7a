//! Predictor: what libzstd would copy from where, at its levels that take one of the first good copies they find.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::compressed::sequences::{COPY_MIN, Sequence};

/// The farthest that is copied from.
pub const WINDOW_MAX_BYTES: u64 = 8 << 20;

/// Shortest window that the format has. Places that are not remembered yet lie within it.
pub const WINDOW_MIN_BYTES: u64 = 1 << 10;

/// Logarithm of places of the largest table.
const TABLE_LOG_MAX: u8 = 22;

/// Places begin with this: 0 is none.
const FIRST_PLACE: u64 = 2;

/// Of what comes before a job of one thread, each of so many places is remembered.
const FILL_STEP: usize = 3;

/// Bytes that are hashed, at most.
pub const HASHED_BYTES: usize = 8;

/// How copies are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In one table.
    Fast,
    /// In one of eight bytes, and one of fewer.
    Double,
    /// In rows of several places, looking so many places ahead for a longer copy.
    Rows { ahead: u8 },
}

/// What a predictor searches with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    pub way: Way,
    /// As libzstd does it from 1.5.5 on, in rows, or from 1.5.6 on, in two tables.
    pub is_new: bool,
    /// The farthest that is copied from.
    pub window_bytes: u64,
    /// Logarithms of the tables' places; of two tables the first is that of eight bytes.
    pub logs: [u8; 2],
    /// Logarithm of places that are tried.
    pub tried_log: u8,
    /// Bytes that are hashed.
    pub hashed_bytes: u8,
    /// Places that are passed over where nothing is found.
    pub step: u8,
}

impl Search {
    pub fn encode(&self, out: &mut Encoder) {
        let way = match self.way {
            Way::Fast => 1,
            Way::Double => 2,
            Way::Rows { ahead } => 3 + ahead,
        };
        out.u8(way).u8(self.is_new.into()).varint(self.window_bytes).raw(&self.logs);
        out.u8(self.tried_log).u8(self.hashed_bytes).u8(self.step);
    }

    pub fn decode(input: &mut Decoder) -> Result<Search, DecodeError> {
        let way = match input.u8()? {
            1 => Way::Fast,
            2 => Way::Double,
            way @ 3..=5 => Way::Rows { ahead: way - 3 },
            _ => return input.fail("no such way to search"),
        };
        let is_new = input.u8()? != 0;
        let window_bytes = input.varint()?;
        let logs = input.array()?;
        let [tried_log, hashed_bytes, step] = input.array()?;
        let search = Search { way, is_new, window_bytes, logs, tried_log, hashed_bytes, step };
        if search.can_be_used() { Ok(search) } else { input.fail("no such search") }
    }

    /// Whether it is within what readers take.
    pub fn can_be_used(&self) -> bool {
        let logs = 6..=TABLE_LOG_MAX;
        (WINDOW_MIN_BYTES..=WINDOW_MAX_BYTES).contains(&self.window_bytes)
            && self.logs.iter().all(|log| logs.contains(log))
            && (4..=8).contains(&self.hashed_bytes)
            && (1..=6).contains(&self.tried_log)
    }

    /// Logarithm of places of a row.
    pub fn row_log(&self) -> u32 {
        u32::from(self.tried_log).clamp(4, 6)
    }
}

/// What a predictor looks at: a block, and what comes before.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'t> {
    /// Up to the end of the block.
    pub text: &'t [u8],
    /// Where the block begins.
    pub start: usize,
    /// The first place of the text that may be copied from.
    pub low: usize,
    /// Where the text begins in the frame.
    pub origin: u64,
}

impl Sight<'_> {
    pub fn word(&self, at: usize) -> u64 {
        let word = self.text.get(at..).and_then(|rest| rest.first_chunk::<8>());
        word.map_or(0, |word| u64::from_le_bytes(*word))
    }

    pub fn half(&self, at: usize) -> u32 {
        let half = self.text.get(at..).and_then(|rest| rest.first_chunk::<4>());
        half.map_or(0, |half| u32::from_le_bytes(*half))
    }

    /// How many bytes are the same at two places.
    pub fn common(&self, at: usize, earlier: usize) -> usize {
        let (mut ahead, mut behind) = (&self.text[at..], &self.text[earlier..]);
        let mut length = 0;
        while let (Some((a, rest)), Some((b, earlier))) =
            (ahead.split_first_chunk::<8>(), behind.split_first_chunk::<8>())
        {
            let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if differs != 0 {
                return length + differs.trailing_zeros() as usize / 8;
            }
            length += 8;
            (ahead, behind) = (rest, earlier);
        }
        length + ahead.iter().zip(behind).take_while(|(a, b)| a == b).count()
    }

    /// How many bytes before two places are the same, as far as a sequence may begin earlier.
    pub fn common_before(&self, at: usize, earlier: usize, anchor: usize) -> usize {
        let most = (at - anchor).min(earlier - self.low.min(earlier));
        (1..=most).take_while(|back| self.text[at - back] == self.text[earlier - back]).count()
    }

    /// The place that tables hold.
    pub fn place(&self, at: usize) -> u32 {
        (self.origin + at as u64 + FIRST_PLACE) as u32
    }

    /// What a place of a table is in the text, if it lies before, and not too far.
    pub fn earlier(&self, at: usize, place: u32) -> Option<usize> {
        let distance = self.place(at).wrapping_sub(place) as usize;
        (place != 0 && distance > 0 && distance <= at - self.low.min(at)).then(|| at - distance)
    }

    /// The same, but for the very first place.
    pub fn later_than_low(&self, at: usize, place: u32) -> Option<usize> {
        self.earlier(at, place).filter(|earlier| *earlier > self.low)
    }
}

/// A hash of the first bytes of a word.
pub fn hash(word: u64, bytes: u8, bits: u32) -> usize {
    const PRIME_4: u32 = 2_654_435_761;
    const PRIMES: [u64; 4] = [889_523_592_379, 227_718_039_650_203, 58_295_818_150_454_627, 0xcf1b_bcdc_b7a5_6463];
    match bytes {
        ..=4 => ((word as u32).wrapping_mul(PRIME_4) >> (32 - bits)) as usize,
        5..=8 => {
            let number = usize::from(bytes - 5);
            ((word << (24 - 8 * number)).wrapping_mul(PRIMES[number]) >> (64 - bits)) as usize
        }
        _ => 0,
    }
}

/// A copy that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub start: usize,
    pub length: usize,
    /// As a sequence tells it.
    pub offset: u32,
    /// The place at which it was found.
    pub at: usize,
}

impl Found {
    /// One that copies from a place.
    pub fn of(start: usize, length: usize, earlier: usize, at: usize) -> Found {
        Found { start, length, offset: (start - earlier) as u32 + 3, at }
    }

    pub fn sequence(&self, anchor: usize) -> Sequence {
        Sequence { literals: (self.start - anchor) as u32, length: self.length as u32, offset: self.offset }
    }
}

/// What a search is told that need not search, since the next sequence is known.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub start: usize,
    /// It copies from the last distance.
    pub is_repeat: bool,
}

/// Makes a table one of so many zeros, where it is, if it was as long.
fn clear<T: Copy + Default>(table: &mut Vec<T>, length: usize) {
    if table.len() == length {
        table.fill(T::default());
    } else {
        *table = vec![T::default(); length];
    }
}

/// What a table had before.
#[derive(Debug, Clone, Copy)]
pub enum Undo {
    Slot { table: u8, slot: u32, place: u32 },
    Row { slot: u32, place: u32, tag: u8, head: u8 },
}

/// Predicts the sequences of one frame. Each is predicted, then told; or it is told only.
#[derive(Debug, Clone)]
pub struct Predictor {
    pub search: Search,
    pub tables: [Vec<u32>; 2],
    /// Of rows: the bytes by which places are told apart, and the place that came last.
    pub tags: Vec<u8>,
    pub heads: Vec<u8>,
    /// Of rows: all before this place of the frame was remembered.
    pub remembered: u64,
    pub is_skipping: bool,
    /// The window of the compressor is in two pieces.
    pub is_split: bool,
    /// The last two distances; 0 is none.
    pub recent: [usize; 2],
    /// A sequence of this block came.
    is_behind_copy: bool,
    pub undo: Vec<Undo>,
    /// What was remembered before the last prediction.
    remembered_before: u64,
    /// Where the present job begins to see something, in the frame.
    job_start: u64,
}

impl Predictor {
    pub fn new(search: Search) -> Predictor {
        let mut predictor = Predictor {
            search,
            tables: [Vec::new(), Vec::new()],
            tags: Vec::new(),
            heads: Vec::new(),
            remembered: 0,
            is_skipping: false,
            is_split: false,
            recent: [1, 4],
            is_behind_copy: false,
            undo: Vec::new(),
            remembered_before: 0,
            job_start: 0,
        };
        predictor.clear();
        predictor
    }

    fn clear(&mut self) {
        let [first, second] = self.search.logs.map(|log| 1usize << log);
        clear(&mut self.tables[0], first);
        match self.search.way {
            Way::Fast => {}
            Way::Double => clear(&mut self.tables[1], second),
            Way::Rows { .. } => {
                clear(&mut self.tags, first);
                clear(&mut self.heads, first >> self.search.row_log());
            }
        }
    }

    /// What of the frame a block sees that begins and ends there.
    pub fn low(&self, end: u64) -> u64 {
        self.job_start.max(end.saturating_sub(self.search.window_bytes))
    }

    /// A thread begins a job with a block: it forgets all but so many bytes before.
    pub fn begin_job(&mut self, sight: Sight, overlap: usize) {
        self.clear();
        self.recent = [0, 0];
        let overlap = overlap.min(self.search.window_bytes as usize);
        let first = sight.start - overlap.min(sight.start);
        self.job_start = sight.origin + first as u64;
        self.remembered = self.job_start;
        let Some(end) = sight.start.checked_sub(HASHED_BYTES).filter(|end| *end > first) else { return };
        match self.search.way {
            Way::Fast => (first..end - 1).step_by(FILL_STEP).for_each(|at| self.fill(0, sight, at)),
            Way::Double => (first..end - 1).step_by(FILL_STEP).for_each(|at| {
                self.fill(0, sight, at);
                self.fill(1, sight, at);
            }),
            Way::Rows { .. } => self.fill_rows(sight, first, end),
        }
    }

    fn fill(&mut self, table: usize, sight: Sight, at: usize) {
        let slot = self.slot(table, sight.word(at));
        self.tables[table][slot] = sight.place(at);
    }

    /// The slot of a table for a word.
    pub fn slot(&self, table: usize, word: u64) -> usize {
        let bytes = match (self.search.way, table) {
            (Way::Double, 0) => HASHED_BYTES as u8,
            _ => self.search.hashed_bytes,
        };
        hash(word, bytes, self.search.logs[table].into())
    }

    /// Puts a place into a slot of a table.
    pub fn put(&mut self, table: usize, slot: usize, place: u32) {
        let old = std::mem::replace(&mut self.tables[table][slot], place);
        self.undo.push(Undo::Slot { table: table as u8, slot: slot as u32, place: old });
    }

    /// Puts a place into a table.
    pub fn put_at(&mut self, table: usize, sight: Sight, at: usize) {
        self.put(table, self.slot(table, sight.word(at)), sight.place(at));
    }

    /// Begins a block.
    pub fn begin_block(&mut self, sight: Sight) {
        self.is_behind_copy = false;
        self.is_skipping = false;
        self.undo.clear();
        let start = sight.origin + sight.start as u64;
        if let Some(late) = start.checked_sub(self.remembered + 384).filter(|late| *late > 0) {
            self.remembered = start - late.min(192);
        }
    }

    /// What the next sequence is, if libzstd is what makes them; `None` where only literals follow.
    pub fn predict(&mut self, sight: Sight, anchor: usize) -> Option<Found> {
        self.undo.clear();
        self.remembered_before = self.remembered;
        if let Some(found) = self.repeated_at_once(sight, anchor) {
            return Some(found);
        }
        match self.search.way {
            Way::Fast => self.search_fast(sight, anchor, None),
            Way::Double => self.search_double(sight, anchor, None),
            Way::Rows { ahead } => self.search_rows(sight, anchor, ahead),
        }
    }

    /// Right behind a copy, one from the distance before the last is looked for.
    fn repeated_at_once(&self, sight: Sight, anchor: usize) -> Option<Found> {
        let distance = self.recent[1];
        if !self.is_behind_copy || !self.can_repeat(sight, anchor, distance) {
            return None;
        }
        let length = sight.common(anchor, anchor - distance);
        Some(Found { start: anchor, length, offset: 1, at: anchor })
    }

    /// The last place that is looked at.
    pub fn limit(&self, sight: Sight) -> usize {
        let behind = if matches!(self.search.way, Way::Rows { .. }) { 2 * HASHED_BYTES } else { HASHED_BYTES };
        sight.text.len().saturating_sub(behind)
    }

    fn can_repeat(&self, sight: Sight, at: usize, distance: usize) -> bool {
        at <= self.limit(sight) && self.repeats(sight, at, distance)
    }

    /// Whether four bytes come again at this distance.
    pub fn repeats(&self, sight: Sight, at: usize, distance: usize) -> bool {
        distance > 0 && distance <= at - sight.low.min(at) && sight.half(at) == sight.half(at - distance)
    }

    /// The sequence was as it was predicted.
    pub fn pass_predicted(&mut self, sight: Sight, anchor: usize, found: &Found) {
        self.pass(sight, anchor, &found.sequence(anchor), found.at);
    }

    /// The sequence is another one than was predicted just now.
    pub fn correct(&mut self, sight: Sight, anchor: usize, sequence: &Sequence) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Slot { table, slot, place } => self.tables[usize::from(table)][slot as usize] = place,
                Undo::Row { slot, place, tag, head } => {
                    let slot = slot as usize;
                    self.tables[0][slot] = place;
                    self.tags[slot] = tag;
                    self.heads[slot >> self.search.row_log()] = head;
                }
            }
        }
        self.remembered = self.remembered_before;
        self.is_skipping = false;
        self.pass_known(sight, anchor, sequence);
    }

    /// The sequence is this one.
    pub fn pass_known(&mut self, sight: Sight, anchor: usize, sequence: &Sequence) {
        self.undo.clear();
        let start = anchor + sequence.literals as usize;
        let is_at_once = self.is_at_once(sequence);
        let known = Some(Known { start, is_repeat: sequence.offset == 1 });
        let found = match self.search.way {
            _ if is_at_once => None,
            Way::Fast => self.search_fast(sight, anchor, known),
            Way::Double => self.search_double(sight, anchor, known),
            Way::Rows { .. } => {
                self.remember_all(sight, start.min(self.limit(sight)));
                None
            }
        };
        self.pass(sight, anchor, sequence, found.map_or(start, |found| found.at));
    }

    fn is_at_once(&self, sequence: &Sequence) -> bool {
        self.is_behind_copy && sequence.literals == 0 && sequence.offset == 1
    }

    /// Only literals follow.
    pub fn pass_rest(&mut self, sight: Sight, anchor: usize) {
        self.undo.clear();
        let known = Some(Known { start: sight.text.len(), is_repeat: false });
        match self.search.way {
            Way::Fast => self.search_fast(sight, anchor, known),
            Way::Double => self.search_double(sight, anchor, known),
            Way::Rows { .. } => {
                self.remember_all(sight, self.limit(sight));
                None
            }
        };
    }

    /// The block does not tell its sequences: most likely they were those that are predicted, and then dropped.
    pub fn pass_untold(&mut self, sight: Sight) {
        let recent = self.recent;
        let mut anchor = sight.start;
        while let Some(found) = self.predict(sight, anchor) {
            self.pass_predicted(sight, anchor, &found);
            anchor = found.start + found.length;
        }
        self.recent = recent;
    }

    fn pass(&mut self, sight: Sight, anchor: usize, sequence: &Sequence, at: usize) {
        let start = anchor + sequence.literals as usize;
        let end = start + (sequence.length as usize).max(COPY_MIN);
        self.is_skipping = false;
        if self.is_at_once(sequence) {
            self.recent.swap(0, 1);
            match self.search.way {
                Way::Fast => self.put_at(0, sight, start),
                Way::Double => {
                    self.put_at(1, sight, start);
                    self.put_at(0, sight, start);
                }
                Way::Rows { .. } => {}
            }
        } else {
            match sequence.offset {
                1 => {}
                2 => self.recent.swap(0, 1),
                offset => self.recent = [offset.saturating_sub(3) as usize, self.recent[0]],
            }
            if end <= self.limit(sight) {
                self.put_behind(sight, at, end);
            }
        }
        self.is_behind_copy = true;
    }

    /// Puts some places of a copy into the tables.
    fn put_behind(&mut self, sight: Sight, at: usize, end: usize) {
        match self.search.way {
            Way::Fast => {
                self.put_at(0, sight, at + 2);
                self.put_at(0, sight, end - 2);
            }
            Way::Double => {
                self.put_at(0, sight, at + 2);
                self.put_at(0, sight, end - 2);
                self.put_at(1, sight, at + 2);
                self.put_at(1, sight, end - 1);
            }
            Way::Rows { .. } => {}
        }
    }
}
