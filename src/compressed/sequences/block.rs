//! Block: what stands in a compressed block (RFC 8878, 3.1.1.3), and how the same bytes are made again. Literals, copies and
//! descriptions of tables make all of them.

use std::sync::Arc;

use crate::compressed::deflate::bits::BitWriter;
use crate::compressed::sequences::codes::{FIELDS, Field};
use crate::compressed::sequences::fse::{BackwardBits, FseTable, end_bits};
use crate::compressed::sequences::huffman::Huffman;
use crate::compressed::sequences::{BLOCK_MAX_BYTES, COPY_MIN, Sequence};

/// How literals stand there.
const RAW: u8 = 0;
const REPEATED: u8 = 1;
const CODED: u8 = 2;
const CODED_AS_BEFORE: u8 = 3;

/// What tells of a table.
const DEFAULT: u8 = 0;
const ONE: u8 = 1;
const TOLD: u8 = 2;

/// Bytes that tell how long the first three of four streams are.
const LENGTHS_BYTES: usize = 6;

/// What a block has besides literals and copies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockForm {
    /// How literals stand there, and what tells how many they are: the low four bits of the block.
    pub literals: u8,
    /// How the codes of literals are described.
    pub codes: Vec<u8>,
    /// What tells of tables of copies; with no copies 0.
    pub modes: u8,
    /// How these are described.
    pub tables: Vec<u8>,
}

/// The tables that blocks go on with.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    huffman: Option<Arc<Huffman>>,
    fields: [Option<Arc<FseTable>>; FIELDS.len()],
}

/// What came out of a block.
#[derive(Debug, Default)]
pub struct BlockParts {
    pub form: BlockForm,
    pub literals: Vec<u8>,
    pub sequences: Vec<Sequence>,
}

/// Bytes that are read from their beginning.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

/// How a head of literals tells its lengths.
struct Lengths {
    head_bytes: usize,
    /// Bits of each length, and of what stands before them.
    bits: u32,
    before: u32,
    streams: usize,
}

impl Lengths {
    fn of(literals: u8) -> Lengths {
        let of = |head_bytes, bits, before, streams| Lengths { head_bytes, bits, before, streams };
        match (literals & 3, literals >> 2) {
            (RAW | REPEATED, 1) => of(2, 12, 4, 1),
            (RAW | REPEATED, 3) => of(3, 20, 4, 1),
            (RAW | REPEATED, _) => of(1, 5, 3, 1),
            (_, 0) => of(3, 10, 4, 1),
            (_, 1) => of(3, 10, 4, 4),
            (_, 2) => of(4, 14, 4, 4),
            (_, _) => of(5, 18, 4, 4),
        }
    }
}

impl BlockParts {
    /// Reads a compressed block.
    pub fn read(block: &[u8], tables: &mut Tables) -> Option<BlockParts> {
        let mut bytes = Bytes(block);
        let mut parts = BlockParts::default();
        parts.read_literals(&mut bytes, tables)?;
        parts.read_sequences(&mut bytes, tables)?;
        Some(parts)
    }

    fn read_literals(&mut self, bytes: &mut Bytes, tables: &mut Tables) -> Option<()> {
        let first = *bytes.0.first()?;
        // Where one bit tells, the other one is of the length.
        let is_short = first & 2 == 0 && first & 4 == 0;
        self.form.literals = if is_short { first & 7 } else { first & 15 };
        let lengths = Lengths::of(self.form.literals);
        let head = bytes.number(lengths.head_bytes)? >> lengths.before;
        let count = (head & ((1 << lengths.bits) - 1)) as usize;
        if count > BLOCK_MAX_BYTES {
            return None;
        }
        match first & 3 {
            RAW => self.literals = bytes.take(count)?.to_vec(),
            REPEATED => self.literals = vec![bytes.byte()?; count],
            kind => {
                let mut coded = Bytes(bytes.take((head >> lengths.bits) as usize)?);
                if kind == CODED {
                    let (huffman, length) = Huffman::read(coded.0)?;
                    tables.huffman = Some(Arc::new(huffman));
                    self.form.codes = coded.take(length)?.to_vec();
                }
                self.read_streams(&mut coded, count, lengths.streams, tables.huffman.as_ref()?)?;
            }
        }
        Some(())
    }

    fn read_streams(&mut self, coded: &mut Bytes, count: usize, streams: usize, huffman: &Huffman) -> Option<()> {
        if streams == 1 {
            return huffman.decode(coded.0, count, &mut self.literals);
        }
        let lengths = coded.take(LENGTHS_BYTES)?;
        let each = count.div_ceil(streams);
        for pair in lengths.chunks(2) {
            let length = usize::from(pair[0]) | usize::from(pair[1]) << 8;
            huffman.decode(coded.take(length)?, each, &mut self.literals)?;
        }
        huffman.decode(coded.0, count.checked_sub(each * (streams - 1))?, &mut self.literals)
    }

    fn read_sequences(&mut self, bytes: &mut Bytes, tables: &mut Tables) -> Option<()> {
        let count = match bytes.byte()? {
            0 => return bytes.0.is_empty().then_some(()),
            short @ ..128 => usize::from(short),
            255 => bytes.number(2)? as usize + 0x7f00,
            long => usize::from(long - 128) << 8 | usize::from(bytes.byte()?),
        };
        self.form.modes = bytes.byte()?;
        if self.form.modes & 3 != 0 {
            return None;
        }
        let described = tables.read(self.form.modes, bytes.0)?;
        self.form.tables = bytes.take(described)?.to_vec();
        let [literals, offset, length] = tables.all()?;
        let mut bits = BackwardBits::new(bytes.0)?;
        let mut states =
            [literals.first_state(&mut bits)?, offset.first_state(&mut bits)?, length.first_state(&mut bits)?];
        for number in 0..count {
            let value = |field: Field, table: &FseTable, state, bits: &mut BackwardBits| {
                let (start, count) = field.start(table.symbol(state))?;
                start.checked_add(bits.take(count.into())?)
            };
            let offset_value = value(Field::Offset, offset, states[1], &mut bits)?;
            let length_value = value(Field::Length, length, states[2], &mut bits)?;
            let literals_value = value(Field::Literals, literals, states[0], &mut bits)?;
            self.sequences.push(Sequence { literals: literals_value, length: length_value, offset: offset_value });
            if number + 1 < count {
                states[0] = literals.next_state(states[0], &mut bits)?;
                states[2] = length.next_state(states[2], &mut bits)?;
                states[1] = offset.next_state(states[1], &mut bits)?;
            }
        }
        (bits.left == 0).then_some(())
    }
}

impl Tables {
    /// Reads what describes the tables of copies, and tells how long that is.
    fn read(&mut self, modes: u8, described: &[u8]) -> Option<usize> {
        let mut bytes = Bytes(described);
        for (number, field) in FIELDS.into_iter().enumerate() {
            let table = match modes >> (6 - 2 * number) & 3 {
                DEFAULT => {
                    let (counts, log) = field.default_counts();
                    FseTable::of_counts(counts, log)?
                }
                ONE => {
                    let symbol = bytes.byte()?;
                    if symbol > field.symbol_max() {
                        return None;
                    }
                    FseTable::of_one(symbol)
                }
                TOLD => {
                    let (table, length) = FseTable::read(bytes.0, field.symbol_max(), field.log_max())?;
                    bytes.take(length)?;
                    table
                }
                _ => continue,
            };
            self.fields[number] = Some(Arc::new(table));
        }
        Some(described.len() - bytes.0.len())
    }

    fn all(&self) -> Option<[&FseTable; FIELDS.len()]> {
        let [literals, offset, length] = &self.fields;
        Some([literals.as_deref()?, offset.as_deref()?, length.as_deref()?])
    }
}

impl BlockForm {
    /// Writes a block. The plain bytes are those of the sequences, and the literals behind them.
    pub fn write(&self, plain: &[u8], sequences: &[Sequence], tables: &mut Tables) -> Option<Vec<u8>> {
        let mut literals = Vec::with_capacity(plain.len());
        let mut at = 0;
        for sequence in sequences {
            if (sequence.length as usize) < COPY_MIN {
                return None;
            }
            literals.extend_from_slice(plain.get(at..at + sequence.literals as usize)?);
            at += sequence.bytes();
        }
        literals.extend_from_slice(plain.get(at..)?);
        let mut out = Vec::with_capacity(plain.len() / 2);
        self.write_literals(&literals, tables, &mut out)?;
        self.write_sequences(sequences, tables, &mut out)?;
        Some(out)
    }

    fn write_literals(&self, literals: &[u8], tables: &mut Tables, out: &mut Vec<u8>) -> Option<()> {
        let lengths = Lengths::of(self.literals);
        let kind = self.literals & 3;
        let body = match kind {
            RAW => literals.to_vec(),
            REPEATED => literals.get(..1)?.to_vec(),
            _ => self.coded(literals, lengths.streams, tables)?,
        };
        let second = if kind < CODED { 0 } else { (body.len() as u64) << lengths.bits };
        if literals.len() >> lengths.bits != 0 || second >> (2 * lengths.bits) != 0 {
            return None;
        }
        let head = u64::from(self.literals) | (literals.len() as u64 | second) << lengths.before;
        out.extend_from_slice(&head.to_le_bytes()[..lengths.head_bytes]);
        out.extend_from_slice(&body);
        Some(())
    }

    fn coded(&self, literals: &[u8], streams: usize, tables: &mut Tables) -> Option<Vec<u8>> {
        if self.literals & 3 != CODED_AS_BEFORE {
            tables.huffman = Some(Arc::new(Huffman::read(&self.codes)?.0));
        }
        let huffman = tables.huffman.as_ref()?;
        let mut out = self.codes.clone();
        if streams == 1 {
            out.extend(huffman.encode(literals)?);
            return Some(out);
        }
        let each = literals.len().div_ceil(streams);
        let mut bodies = Vec::new();
        for number in 0..streams {
            let end = if number + 1 == streams { literals.len() } else { (number + 1) * each };
            bodies.push(huffman.encode(literals.get(number * each..end)?)?);
        }
        for body in &bodies[..streams - 1] {
            out.extend_from_slice(&u16::try_from(body.len()).ok()?.to_le_bytes());
        }
        bodies.iter().for_each(|body| out.extend_from_slice(body));
        Some(out)
    }

    fn write_sequences(&self, sequences: &[Sequence], tables: &mut Tables, out: &mut Vec<u8>) -> Option<()> {
        match sequences.len() {
            0 => {
                out.push(0);
                return Some(());
            }
            count @ ..128 => out.push(count as u8),
            count @ ..0x7f00 => out.extend_from_slice(&[(count >> 8) as u8 + 128, count as u8]),
            count => {
                out.push(255);
                out.extend_from_slice(&u16::try_from(count - 0x7f00).ok()?.to_le_bytes());
            }
        }
        out.push(self.modes);
        out.extend_from_slice(&self.tables);
        tables.read(self.modes, &self.tables)?;
        out.extend(write_bits(sequences, tables.all()?)?);
        Some(())
    }
}

/// The bits of sequences, of which the last is written first.
fn write_bits(sequences: &[Sequence], tables: [&FseTable; FIELDS.len()]) -> Option<Vec<u8>> {
    let [literals, offset, length] = tables;
    let mut bits = BitWriter::default();
    let mut states: Option<[u32; FIELDS.len()]> = None;
    for sequence in sequences.iter().rev() {
        let [of_literals, of_offset, of_length] =
            [Field::Literals.tell(sequence)?, Field::Offset.tell(sequence)?, Field::Length.tell(sequence)?];
        states = Some(match states {
            None => {
                [literals.begin(of_literals.symbol)?, offset.begin(of_offset.symbol)?, length.begin(of_length.symbol)?]
            }
            Some([literals_state, offset_state, length_state]) => {
                let offset_state = offset.write(of_offset.symbol, offset_state, &mut bits)?;
                let length_state = length.write(of_length.symbol, length_state, &mut bits)?;
                [literals.write(of_literals.symbol, literals_state, &mut bits)?, offset_state, length_state]
            }
        });
        for told in [of_literals, of_length, of_offset] {
            bits.put(told.rest, told.bits.into());
        }
    }
    let [literals_state, offset_state, length_state] = states?;
    length.end(length_state, &mut bits);
    offset.end(offset_state, &mut bits);
    literals.end(literals_state, &mut bits);
    Some(end_bits(&mut bits))
}
