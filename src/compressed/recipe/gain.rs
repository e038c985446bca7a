//! Gain: whether records are shorter than what they stand for.

/// Records that take more than this part of what they stand for are no gain.
const GAIN_MIN: u64 = 3;

/// But for so many bytes, which the first ones take.
const EXCUSED_BYTES: u64 = 1024;

/// Records are judged together that stand for so many bytes, or more.
const JUDGED_BYTES: u64 = 4096;

/// Where all are longer by this than what they stand for, nothing is to be gained.
const LOSS_MAX_BYTES: u64 = 64 << 10;

/// Bytes of records, and of what they stand for.
#[derive(Debug, Default, Clone, Copy)]
struct Balance {
    records: u64,
    told: u64,
}

/// What was gained so far.
#[derive(Debug, Default)]
pub struct Gain {
    all: Balance,
    /// Since it was judged.
    last: Balance,
}

impl Gain {
    /// Adds bytes of records, and of the file that they stand for. Gives how many bytes of records turned out to be of no use.
    pub fn add(&mut self, records: usize, told: usize) -> u64 {
        for balance in [&mut self.all, &mut self.last] {
            balance.records += records as u64;
            balance.told += told as u64;
        }
        if self.last.told < JUDGED_BYTES { 0 } else { self.judge() }
    }

    /// How many bytes of the last records are of no use.
    pub fn judge(&mut self) -> u64 {
        let Balance { records, told } = std::mem::take(&mut self.last);
        if records * GAIN_MIN > told + EXCUSED_BYTES { records } else { 0 }
    }

    /// Whether the recipe would become longer than the file.
    pub fn is_lost(&self) -> bool {
        self.all.records > self.all.told + LOSS_MAX_BYTES
    }
}
