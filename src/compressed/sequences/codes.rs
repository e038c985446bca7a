//! Codes: the symbols that lengths and distances are told by, and the bits behind them.

use crate::compressed::sequences::Sequence;

/// What the three tables of a block are of, in the order of their descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Literals,
    Offset,
    Length,
}

pub const FIELDS: [Field; 3] = [Field::Literals, Field::Offset, Field::Length];

/// How the first codes stand for themselves, and what the others begin at, with how many bits behind them.
struct Steps {
    plain: u32,
    /// What the first code stands for.
    least: u32,
    steps: &'static [(u32, u8)],
}

const LITERALS: Steps = Steps {
    plain: 16,
    least: 0,
    steps: &[
        (16, 1),
        (18, 1),
        (20, 1),
        (22, 1),
        (24, 2),
        (28, 2),
        (32, 3),
        (40, 3),
        (48, 4),
        (64, 6),
        (128, 7),
        (256, 8),
        (512, 9),
        (1024, 10),
        (2048, 11),
        (4096, 12),
        (8192, 13),
        (16_384, 14),
        (32_768, 15),
        (65_536, 16),
    ],
};

const LENGTHS: Steps = Steps {
    plain: 32,
    least: 3,
    steps: &[
        (35, 1),
        (37, 1),
        (39, 1),
        (41, 1),
        (43, 2),
        (47, 2),
        (51, 3),
        (59, 3),
        (67, 4),
        (83, 4),
        (99, 5),
        (131, 7),
        (259, 8),
        (515, 9),
        (1027, 10),
        (2051, 11),
        (4099, 12),
        (8195, 13),
        (16_387, 14),
        (32_771, 15),
        (65_539, 16),
    ],
};

/// A number told: a symbol, and so many bits of a number behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub symbol: u8,
    pub bits: u8,
    pub rest: u32,
}

impl Steps {
    fn tell(&self, value: u32) -> Option<Told> {
        let plain = value.checked_sub(self.least)?;
        if plain < self.plain {
            return Some(Told { symbol: plain as u8, bits: 0, rest: 0 });
        }
        let behind = self.steps.partition_point(|(start, _)| *start <= value);
        let (start, bits) = *self.steps.get(behind.checked_sub(1)?)?;
        let rest = value - start;
        (rest >> bits == 0).then_some(Told { symbol: (self.plain as usize + behind - 1) as u8, bits, rest })
    }

    /// What a symbol begins at, and the bits behind it.
    fn start(&self, symbol: u8) -> Option<(u32, u8)> {
        match u32::from(symbol).checked_sub(self.plain) {
            None => Some((u32::from(symbol) + self.least, 0)),
            Some(step) => self.steps.get(step as usize).copied(),
        }
    }
}

/// Highest bit that is set; of 0, the lowest.
pub fn high_bit(value: u32) -> u32 {
    value.checked_ilog2().unwrap_or(0)
}

impl Field {
    pub fn symbol_max(self) -> u8 {
        match self {
            Field::Literals => 35,
            Field::Offset => 31,
            Field::Length => 52,
        }
    }

    pub fn log_max(self) -> u32 {
        match self {
            Field::Literals | Field::Length => 9,
            Field::Offset => 8,
        }
    }

    /// The counts of the table that is not described, and its logarithm.
    pub fn default_counts(self) -> (&'static [i16], u32) {
        match self {
            Field::Literals => (
                &[
                    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
                    -1, -1, -1,
                ],
                6,
            ),
            Field::Offset => {
                (&[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1], 5)
            }
            Field::Length => (
                &[
                    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
                ],
                6,
            ),
        }
    }

    /// How a sequence tells this; `None` where it cannot.
    pub fn tell(self, sequence: &Sequence) -> Option<Told> {
        match self {
            Field::Literals => LITERALS.tell(sequence.literals),
            Field::Length => LENGTHS.tell(sequence.length),
            Field::Offset => {
                let symbol = sequence.offset.checked_ilog2()?;
                Some(Told { symbol: symbol as u8, bits: symbol as u8, rest: sequence.offset - (1 << symbol) })
            }
        }
    }

    /// What a symbol begins at, and the bits behind it.
    pub fn start(self, symbol: u8) -> Option<(u32, u8)> {
        match self {
            Field::Literals => LITERALS.start(symbol),
            Field::Length => LENGTHS.start(symbol),
            Field::Offset => Some((1u32.checked_shl(symbol.into())?, symbol)),
        }
    }
}
