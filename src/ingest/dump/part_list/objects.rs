//! Objects: what the parts of a dump are about, by number. A dump may have a million, so each takes 8 bytes more than its path.

/// Paths one behind the other.
#[derive(Debug, Default)]
pub struct Objects {
    paths: Vec<u8>,
    /// Where each path ends, and in the lowest bit whether its object is restorable.
    ends: Vec<u64>,
    /// By input: the number of its first object.
    firsts: Vec<u32>,
    /// The present one.
    at: u32,
}

/// So far from the present object, and behind the first one of its input, another is looked for.
const NEAR: u32 = 16;

impl Objects {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.ends.len() as u32
    }

    pub fn path(&self, object: u32) -> &[u8] {
        let end = |object: u32| (self.ends[object as usize] >> 1) as usize;
        &self.paths[object.checked_sub(1).map_or(0, end)..end(object)]
    }

    pub fn is_restorable(&self, object: u32) -> bool {
        self.ends[object as usize] & 1 == 1
    }

    /// The number of the input that tells of it.
    pub fn input(&self, object: u32) -> usize {
        self.firsts.partition_point(|&first| first <= object).saturating_sub(1)
    }

    pub fn begin_input(&mut self) {
        self.firsts.push(self.count());
    }

    /// The present one.
    pub fn present(&self) -> u32 {
        self.at
    }

    /// Whether the next part is about the present one, too.
    pub fn is_at(&self, path: &[u8]) -> bool {
        (self.first()..self.count()).contains(&self.at) && self.path(self.at) == path
    }

    /// The first one of the present input.
    fn first(&self) -> u32 {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// Turns to another. A dump that tells of its tables in several rounds, as of PostgreSQL, has them in the same order in each: they
    /// are found again nearby, and what is not is kept once more, which costs nothing but its room.
    pub fn turn_to(&mut self, path: &[u8], is_restorable: bool) {
        let first = self.first();
        let mut nearby = self.near(first.max(self.at.saturating_add(1))).chain(self.near(first));
        let known = nearby.find(|&known| self.path(known) == path);
        self.at = known.unwrap_or_else(|| self.add(path, is_restorable));
    }

    /// One that is probably a little before the present one. One that is not found gets another number.
    pub fn number_of(&mut self, path: &[u8], is_restorable: bool) -> u32 {
        let first = self.first();
        let mut nearby = self.near(first.max(self.at.saturating_sub(NEAR - 1))).rev().chain(self.near(first));
        let known = nearby.find(|&known| self.path(known) == path);
        known.unwrap_or_else(|| self.add(path, is_restorable))
    }

    fn near(&self, start: u32) -> std::ops::Range<u32> {
        start..self.count().min(start.saturating_add(NEAR))
    }

    fn add(&mut self, path: &[u8], is_restorable: bool) -> u32 {
        self.paths.extend_from_slice(path);
        self.ends.push((self.paths.len() as u64) << 1 | u64::from(is_restorable));
        self.count() - 1
    }
}
