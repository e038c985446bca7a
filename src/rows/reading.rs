//! Reading: the rows of a table that may differ. Both sides are read where they do not share chunks, from the beginning of the
//! row that such a place is in up to where both are again before a row: there what both share begins, and so the rest is the
//! same until the next such place.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::repository::content_reader::PlacedExtent;
use crate::rows::ahead::Ahead;
use crate::rows::comparison::Comparison;
use crate::rows::form::{Marks, RowForm, RowReader, Told};
use crate::rows::gaps::Gap;
use crate::rows::join::Join;
use crate::rows::nearby::Nearby;
use crate::rows::side::{PIECE_BYTES, TableSide};
use crate::rows::window::Window;
use crate::store::ChunkStore;

/// Bytes that wait to be compared with those of the other side; what is more is joined.
const WINDOW_MAX_BYTES: usize = 4 << 20;

/// The first look back for a row; each next one is this many times as long.
const LOOK_BACK_BYTES: u64 = 4 << 10;
const LOOK_BACK_FACTOR: u64 = 16;
const LOOK_BACK_MAX_BYTES: u64 = 4 << 20;

/// What reading took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadingCounts {
    /// Bytes of both sides that were read.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Places where the sides differ.
    pub gaps: u64,
}

/// One side on its way.
struct Reader<'t> {
    bytes: Nearby<'t>,
    rows: RowReader,
    form: RowForm,
    /// Where rows may be.
    range: Range<u64>,
    /// Up to where it was read.
    at: u64,
    layout: u16,
}

/// Reads both sides.
pub struct Reading<'t, 's> {
    comparison: &'t Comparison,
    monitor: &'t dyn Monitor,
    marks: Marks,
    readers: [Reader<'t>; 2],
    window: Window,
    join: Join<'s>,
    /// A row's key, for a moment.
    key: Vec<u8>,
    piece: Vec<u8>,
    counts: ReadingCounts,
    /// Both sides are before the same row.
    is_settled: bool,
    /// Rows were read only because nothing told of one nearer to what differs.
    passed_unmarked: bool,
    ends_in_statement: [bool; 2],
}

/// What reading gave.
pub struct WasRead<'s> {
    pub join: Join<'s>,
    pub counts: ReadingCounts,
    /// Where a side ends within a statement.
    pub ends_in_statement: [bool; 2],
    /// Rows were read only because nothing told of one nearer to what differs.
    pub passed_unmarked: bool,
}

impl<'t, 's> Reading<'t, 's> {
    pub fn new(
        stores: [&'t ChunkStore; 2],
        comparison: &'t Comparison,
        sides: &'t [TableSide; 2],
        monitor: &'t dyn Monitor,
        join: Join<'s>,
    ) -> Reading<'t, 's> {
        let [a, b] = sides;
        let marks = a.marks.and(&b.marks);
        let reader = |side: usize| Reader {
            bytes: Nearby::new(stores[side], &sides[side].data),
            rows: RowReader::new(sides[side].form, false),
            form: sides[side].form,
            range: sides[side].marks.range(),
            at: 0,
            layout: 0,
        };
        Reading {
            comparison,
            monitor,
            marks,
            readers: [reader(0), reader(1)],
            window: Window::default(),
            join,
            key: Vec::new(),
            piece: Vec::new(),
            counts: ReadingCounts::default(),
            is_settled: true,
            passed_unmarked: false,
            ends_in_statement: [false; 2],
        }
    }

    /// Reads all gaps, which come in order, and whose chunks are brought ahead.
    pub fn run(mut self, gaps: &[Gap], ahead: Ahead) -> Result<WasRead<'s>> {
        let sizes = [self.readers[0].bytes.content.size, self.readers[1].bytes.content.size];
        let end = Gap { sides: [sizes[0]..sizes[0], sizes[1]..sizes[1]] };
        ahead.run(gaps, &mut |number| {
            let gap = &gaps[number];
            self.counts.gaps += 1;
            self.begin(gap)?;
            self.read_to([gap.sides[0].end, gap.sides[1].end])?;
            self.settle(gaps.get(number + 1).unwrap_or(&end))
        })?;
        for (side, size) in sizes.into_iter().enumerate() {
            if self.readers[side].at == size {
                self.finish(side)?;
            }
        }
        self.give(true)?;
        let Reading { join, counts, ends_in_statement, passed_unmarked, .. } = self;
        Ok(WasRead { join, counts, ends_in_statement, passed_unmarked })
    }

    /// Brings both sides to a gap: there by reading, or before the row that it begins in.
    fn begin(&mut self, gap: &Gap) -> Result<()> {
        let starts = [gap.sides[0].start, gap.sides[1].start];
        let back = if self.is_settled { self.row_before(gap)? } else { Some(0) };
        for (reader, start) in self.readers.iter_mut().zip(starts).filter(|_| self.is_settled) {
            let at = start - back.unwrap_or(start);
            if at > reader.at {
                reader.rows = RowReader::new(reader.form, true);
                (reader.at, reader.layout) = (at, 0);
            }
        }
        self.is_settled = false;
        let before = self.counts.rows;
        self.read_to(starts)?;
        // The row that the gap is in may be the first one.
        self.passed_unmarked |= back.is_none() && self.counts.rows - before > 2;
        Ok(())
    }

    /// So many bytes before a gap a row begins, the nearest that is known of; none behind where the sides were settled.
    fn row_before(&mut self, gap: &Gap) -> Result<Option<u64>> {
        let start = gap.sides[0].start;
        let shared = start - self.readers[0].at;
        let ranges = || self.readers.iter().zip(&gap.sides);
        // Behind the last row is where all rows end.
        let least = ranges().map(|(reader, gap)| gap.start.saturating_sub(reader.range.end)).max().unwrap_or(0);
        let most = ranges().map(|(reader, gap)| gap.start.checked_sub(reader.range.start)).min().flatten();
        let Some(most) = most.filter(|most| shared > 0 && least <= shared.min(*most) && self.marks.are_known()) else {
            return Ok(None);
        };
        if least > 0 {
            return Ok(Some(least));
        }
        if let Marks::Documents(longest) = self.marks {
            return self.readers[0].bytes.document_before(start, shared.min(LOOK_BACK_MAX_BYTES), longest);
        }
        let back = self.row_in_text_before(gap, shared)?;
        Ok(back.filter(|back| *back <= most))
    }

    /// The same, by what stands there, no further back than `shared` bytes.
    fn row_in_text_before(&mut self, gap: &Gap, shared: u64) -> Result<Option<u64>> {
        let start = gap.sides[0].start;
        // A row may begin with the gap itself.
        let mut first_byte = Vec::new();
        for (reader, range) in self.readers.iter_mut().zip(&gap.sides) {
            if !range.is_empty() && first_byte != b"(" {
                first_byte.clear();
                reader.bytes.read(range.start, 1, &mut first_byte)?;
            }
        }
        first_byte.retain(|&byte| byte == b'(');
        let mut length = 2;
        loop {
            let taken = shared.min(length);
            self.piece.clear();
            self.readers[0].bytes.read(start - taken, taken as usize, &mut self.piece)?;
            self.piece.extend_from_slice(&first_byte);
            if let Some(at) = self.marks.last_row(&self.piece) {
                return Ok(Some(taken - at as u64));
            }
            if taken == shared || taken == LOOK_BACK_MAX_BYTES {
                return Ok(None);
            }
            length = if length < LOOK_BACK_BYTES { LOOK_BACK_BYTES } else { length * LOOK_BACK_FACTOR };
            length = length.min(LOOK_BACK_MAX_BYTES);
        }
    }

    /// Reads what both share behind a gap, until both are before a row. The next gap bounds it.
    fn settle(&mut self, next: &Gap) -> Result<()> {
        let shared = next.sides[0].start - self.readers[0].at;
        let until = [self.readers[0].at + shared, self.readers[1].at + shared];
        loop {
            let [a, b] = [0, 1].map(|side| self.readers[side].rows.boundary());
            if a.is_some() && a == b {
                self.is_settled = true;
                return self.give(true);
            }
            if self.readers[0].at == until[0] {
                return Ok(());
            }
            let at = self.readers[0].at;
            let next = self.readers[0].bytes.extents(at, 1)?.first().map(PlacedExtent::end);
            let end = next.unwrap_or(until[0]).min(until[0]);
            let step = end - at;
            self.read_to([end, self.readers[1].at + step])?;
        }
    }

    /// Reads on to these places, in turns.
    fn read_to(&mut self, ends: [u64; 2]) -> Result<()> {
        while self.readers.iter().zip(ends).any(|(reader, end)| reader.at < end) {
            if self.monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            for (side, end) in ends.into_iter().enumerate() {
                self.read_piece(side, end)?;
            }
            self.give(self.window.bytes() > WINDOW_MAX_BYTES)?;
        }
        Ok(())
    }

    fn read_piece(&mut self, side: usize, end: u64) -> Result<()> {
        let reader = &mut self.readers[side];
        let length = (end - reader.at).min(PIECE_BYTES as u64) as usize;
        if length == 0 {
            return Ok(());
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        reader.bytes.read(reader.at, length, &mut piece)?;
        reader.at += length as u64;
        self.counts.bytes += length as u64;
        Counters::add(&self.monitor.counters().bytes_read, length as u64);
        let (window, comparison, layout, rows) =
            (&mut self.window, self.comparison, &mut reader.layout, &mut self.counts.rows);
        let is_short = reader.rows.push(&piece, &mut |told| take(told, side, window, comparison, layout, rows))?;
        self.piece = piece;
        if is_short { Ok(()) } else { Err(self.comparison.unusable(&reader.rows.refusal())) }
    }

    fn finish(&mut self, side: usize) -> Result<()> {
        let reader = &mut self.readers[side];
        let rows = std::mem::replace(&mut reader.rows, RowReader::new(reader.form, true));
        let (window, comparison, layout, count) =
            (&mut self.window, self.comparison, &mut reader.layout, &mut self.counts.rows);
        let is_whole = rows.finish(&mut |told| take(told, side, window, comparison, layout, count))?;
        self.ends_in_statement[side] = !is_whole;
        Ok(())
    }

    /// Joins the rows that the window has no use for.
    fn give(&mut self, all: bool) -> Result<()> {
        let (comparison, join, key) = (self.comparison, &mut self.join, &mut self.key);
        if !comparison.reads_alike() {
            return self.window.give_all(&mut |side, row| add(comparison, join, key, side, row));
        }
        self.window.settle(all, &mut |side, row| add(comparison, join, key, side, row))
    }
}

fn add(comparison: &Comparison, join: &mut Join, key: &mut Vec<u8>, side: usize, row: &[u8]) -> Result<()> {
    key.clear();
    comparison.push_key(side, row, key)?;
    join.add(side, key, row)
}

/// Takes what a reader tells.
fn take(
    told: Told,
    side: usize,
    window: &mut Window,
    comparison: &Comparison,
    layout: &mut u16,
    rows: &mut u64,
) -> Result<()> {
    match told {
        Told::Columns(names, form) => *layout = comparison.layout(side, names.as_deref(), form)?,
        Told::Row { text, .. } => {
            *rows += 1;
            window.push(side, [&layout.to_le_bytes(), text]);
        }
    }
    Ok(())
}
