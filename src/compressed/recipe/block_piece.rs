//! BlockPiece: a block of Zstandard, told by what the predictor got wrong.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::compressed::sequences::block::{BlockForm, BlockParts, Tables};
use crate::compressed::sequences::predictor::{Predictor, Sight, WINDOW_MAX_BYTES};
use crate::compressed::sequences::{BLOCK_MAX_BYTES, COPY_MIN, Sequence};

/// Bytes in front of a block.
pub const HEAD_BYTES: usize = 3;

/// A job begins so many bytes behind the last one, or more.
pub const JOB_MIN_BYTES: u64 = 1 << 20;

/// Kinds of blocks.
const RAW: u8 = 0;
const REPEATED: u8 = 1;
const CODED: u8 = 2;

/// Longest descriptions: those of codes and of three tables are shorter.
const CODES_MAX_BYTES: usize = 256;
const TABLES_MAX_BYTES: usize = 512;

/// Steps that predictions may take in vain, for each byte of a block, and besides. A copy that is found again and again but not
/// taken costs its length each time.
const VAIN_STEPS_MAX: usize = 8;
const VAIN_STEPS_EXCUSED: usize = 4096;

/// Bytes of a copy that are compared in a step.
const STEP_BYTES: usize = 8;

/// Added for the last block of a frame, for one with which a job begins, and for one that sees a window in two pieces.
const LAST: u8 = 4;
const JOB: u8 = 8;
const SPLIT: u8 = 16;

/// What stands in front of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHead {
    pub is_last: bool,
    kind: u8,
    size: usize,
}

impl BlockHead {
    /// Reads one; `None` for what none can be.
    pub fn read(bytes: [u8; HEAD_BYTES]) -> Option<BlockHead> {
        let [low, middle, high] = bytes.map(usize::from);
        let number = low | middle << 8 | high << 16;
        let (kind, size) = ((number >> 1 & 3) as u8, number >> 3);
        (kind <= CODED && size <= BLOCK_MAX_BYTES).then_some(BlockHead { is_last: number & 1 != 0, kind, size })
    }

    /// Bytes of the block behind it.
    pub fn body_bytes(&self) -> usize {
        if self.kind == REPEATED { 1 } else { self.size }
    }

    fn write(&self) -> [u8; HEAD_BYTES] {
        let number = (self.size << 3) as u32 | u32::from(self.kind) << 1 | u32::from(self.is_last);
        let [low, middle, high, _] = number.to_le_bytes();
        [low, middle, high]
    }
}

/// What is in a block.
#[derive(Debug)]
pub enum BlockBody {
    /// Its plain bytes.
    Raw,
    /// One byte, again and again.
    Repeated(usize),
    Coded(BlockParts),
}

impl BlockBody {
    /// Reads what stands behind a head.
    pub fn read(head: &BlockHead, bytes: &[u8], tables: &mut Tables) -> Option<BlockBody> {
        Some(match head.kind {
            RAW => BlockBody::Raw,
            REPEATED => BlockBody::Repeated(head.size),
            _ => BlockBody::Coded(BlockParts::read(bytes, tables)?),
        })
    }
}

/// How a block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beginning {
    /// A job begins, and sees so many bytes before.
    pub job: Option<usize>,
    /// The window of the compressor is in two pieces.
    pub is_split: bool,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPiece {
    /// Bytes that come out of it.
    pub plain: usize,
    pub is_last: bool,
    pub beginning: Beginning,
    told: Told,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Raw,
    Repeated,
    Coded {
        form: BlockForm,
        count: usize,
        /// Sequences that are not as predicted: how many were, before each, and what it is.
        corrections: Vec<(u64, Sequence)>,
    },
}

impl BlockPiece {
    /// Tells a block by what `predictor` gets wrong; `None` where that would take too long.
    pub fn of_block(
        head: &BlockHead,
        body: &BlockBody,
        beginning: Beginning,
        sight: Sight,
        predictor: &mut Predictor,
    ) -> Option<BlockPiece> {
        let plain = sight.text.len() - sight.start;
        let sight = begin(beginning, sight, predictor);
        let told = match body {
            BlockBody::Raw => Told::Raw,
            BlockBody::Repeated(_) => Told::Repeated,
            BlockBody::Coded(parts) => {
                let corrections = corrections(&parts.sequences, sight, predictor)?;
                Told::Coded { form: parts.form.clone(), count: parts.sequences.len(), corrections }
            }
        };
        if !matches!(told, Told::Coded { .. }) {
            predictor.pass_untold(sight);
        }
        Some(BlockPiece { plain, is_last: head.is_last, beginning, told })
    }

    /// How often the predictor was wrong.
    pub fn mistakes(&self) -> usize {
        match &self.told {
            Told::Coded { corrections, .. } => corrections.len(),
            _ => 0,
        }
    }

    /// Of how many sequences.
    pub fn sequences(&self) -> usize {
        match &self.told {
            Told::Coded { count, .. } => *count,
            _ => 0,
        }
    }

    /// Makes the block again, with its head.
    pub fn write(&self, sight: Sight, predictor: &mut Predictor, tables: &mut Tables) -> Result<Vec<u8>, &'static str> {
        let sight = begin(self.beginning, sight, predictor);
        let plain = &sight.text[sight.start..];
        let (kind, size, body) = match &self.told {
            Told::Raw => (RAW, plain.len(), plain.to_vec()),
            Told::Repeated => (REPEATED, plain.len(), vec![*plain.first().ok_or("nothing is repeated")?]),
            Told::Coded { form, count, corrections } => {
                let sequences = sequences(*count, corrections, sight, predictor)?;
                let body = form.write(plain, &sequences, tables).ok_or("a block cannot be written as it was")?;
                (CODED, body.len(), body)
            }
        };
        if kind != CODED {
            predictor.pass_untold(sight);
        }
        if size > BLOCK_MAX_BYTES {
            return Err("a block is too long");
        }
        let mut out = BlockHead { is_last: self.is_last, kind, size }.write().to_vec();
        out.extend(body);
        Ok(out)
    }

    pub fn encode(&self, out: &mut Encoder) {
        let kind = match self.told {
            Told::Raw => RAW,
            Told::Repeated => REPEATED,
            Told::Coded { .. } => CODED,
        };
        let Beginning { job, is_split } = self.beginning;
        let flags = [(LAST, self.is_last), (JOB, job.is_some()), (SPLIT, is_split)];
        out.u8(flags.into_iter().filter(|(_, is_set)| *is_set).fold(kind, |kind, (flag, _)| kind | flag));
        out.varint(self.plain as u64);
        if let Some(overlap) = job {
            out.varint(overlap as u64);
        }
        let Told::Coded { form, count, corrections } = &self.told else { return };
        out.u8(form.literals).bytes(&form.codes).u8(form.modes).bytes(&form.tables).varint(*count as u64);
        out.list(corrections, |out, (before, sequence)| {
            let Sequence { literals, length, offset } = *sequence;
            out.varint(*before).varint(literals.into()).varint(length.into()).varint(offset.into());
        });
    }

    pub fn decode(input: &mut Decoder) -> Result<BlockPiece, DecodeError> {
        let flags = input.u8()?;
        let plain = input.varint()?;
        if plain > BLOCK_MAX_BYTES as u64 {
            return input.fail("a block is too long");
        }
        let job = if flags & JOB != 0 { Some(input.varint32()? as usize) } else { None };
        if job.is_some_and(|overlap| overlap as u64 > WINDOW_MAX_BYTES) {
            return input.fail("a job sees more than it may");
        }
        let beginning = Beginning { job, is_split: flags & SPLIT != 0 };
        let told = match flags & !(LAST | JOB | SPLIT) {
            RAW => Told::Raw,
            REPEATED => Told::Repeated,
            CODED => {
                let literals = input.u8()?;
                let codes = input.bytes()?;
                let modes = input.u8()?;
                let tables = input.bytes()?;
                if codes.len() > CODES_MAX_BYTES || tables.len() > TABLES_MAX_BYTES {
                    return input.fail("codes or tables of a block are described in too many bytes");
                }
                let count = input.varint()?;
                if count > plain / COPY_MIN as u64 || literals > 15 {
                    return input.fail("a block has too many sequences, or no such literals");
                }
                let corrected = input.varint()?;
                if corrected > count {
                    return input.fail("a block has more corrections than sequences");
                }
                let mut corrections = Vec::new();
                for _ in 0..corrected {
                    let before = input.varint()?;
                    let sequence =
                        Sequence { literals: input.varint32()?, length: input.varint32()?, offset: input.varint32()? };
                    corrections.push((before, sequence));
                }
                let form = BlockForm { literals, codes: codes.to_vec(), modes, tables: tables.to_vec() };
                Told::Coded { form, count: count as usize, corrections }
            }
            _ => return input.fail("no such kind of block"),
        };
        Ok(BlockPiece { plain: plain as usize, is_last: flags & LAST != 0, beginning, told })
    }
}

/// Begins a block, and maybe a job.
fn begin<'t>(beginning: Beginning, sight: Sight<'t>, predictor: &mut Predictor) -> Sight<'t> {
    if let Some(overlap) = beginning.job {
        predictor.begin_job(sight, overlap);
    }
    let low = predictor.low(sight.origin + sight.text.len() as u64).saturating_sub(sight.origin);
    let sight = Sight { low: (low as usize).min(sight.start), ..sight };
    predictor.is_split = beginning.is_split;
    predictor.begin_block(sight);
    sight
}

/// What is predicted otherwise; `None` where looking for that would take too long.
fn corrections(sequences: &[Sequence], sight: Sight, predictor: &mut Predictor) -> Option<Vec<(u64, Sequence)>> {
    let mut corrections = Vec::new();
    let mut steps_left = (sight.text.len() - sight.start) * VAIN_STEPS_MAX + VAIN_STEPS_EXCUSED;
    let (mut right, mut anchor) = (0, sight.start);
    for sequence in sequences {
        match predictor.predict(sight, anchor) {
            Some(found) if found.sequence(anchor) == *sequence => {
                predictor.pass_predicted(sight, anchor, &found);
                right += 1;
            }
            found => {
                let length = found.map_or(0, |found| found.length);
                steps_left = steps_left.checked_sub(predictor.undo.len() + length / STEP_BYTES)?;
                predictor.correct(sight, anchor, sequence);
                corrections.push((right, *sequence));
                right = 0;
            }
        }
        anchor += sequence.bytes();
    }
    predictor.pass_rest(sight, anchor);
    Some(corrections)
}

/// The sequences of a block, as they are predicted and corrected.
fn sequences(
    count: usize,
    corrections: &[(u64, Sequence)],
    sight: Sight,
    predictor: &mut Predictor,
) -> Result<Vec<Sequence>, &'static str> {
    let mut sequences = Vec::with_capacity(count);
    let mut corrections = corrections.iter().peekable();
    let (mut right, mut anchor) = (0, sight.start);
    for _ in 0..count {
        let sequence = match corrections.next_if(|(before, _)| *before == right) {
            Some((_, sequence)) => {
                right = 0;
                if (sequence.length as usize) < COPY_MIN || sequence.bytes() > sight.text.len() - anchor {
                    return Err("a sequence is longer than its block, or too short");
                }
                predictor.pass_known(sight, anchor, sequence);
                *sequence
            }
            None => {
                right += 1;
                let found = predictor.predict(sight, anchor).ok_or("a block has more sequences than are found")?;
                predictor.pass_predicted(sight, anchor, &found);
                found.sequence(anchor)
            }
        };
        anchor += sequence.bytes();
        sequences.push(sequence);
    }
    if corrections.next().is_some() {
        return Err("a block has fewer sequences than corrections tell");
    }
    predictor.pass_rest(sight, anchor);
    Ok(sequences)
}
