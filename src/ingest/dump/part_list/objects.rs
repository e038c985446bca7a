//! Objects: what the parts of a dump are about, by number. A dump may have a million, so each takes 8 bytes more than its name, and
//! what many are in is told once.

/// The path of an object, taken apart at its last `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectPath<'p> {
    directory: Option<&'p [u8]>,
    name: &'p [u8],
}

impl<'p> ObjectPath<'p> {
    pub fn of(path: &'p [u8]) -> ObjectPath<'p> {
        match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => ObjectPath { directory: Some(&path[..at]), name: &path[at + 1..] },
            None => ObjectPath { directory: None, name: path },
        }
    }

    /// The names that it is made of.
    pub fn names(self) -> impl Iterator<Item = &'p [u8]> {
        let above = self.directory.into_iter().flat_map(|directory| directory.split(|&byte| byte == b'/'));
        above.chain(std::iter::once(self.name))
    }

    /// What it is in at the top, or itself.
    pub fn first(self) -> &'p [u8] {
        self.names().next().unwrap_or_default()
    }
}

/// Texts one behind the other, and where each ends.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Texts {
    fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u64);
    }
}

/// What is known of an object in 8 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry(u64);

impl Entry {
    const DIRECTORY_BITS: u32 = 23;
    /// A directory of this number is none: the object is kept with its whole path.
    const NO_DIRECTORY: usize = (1 << Entry::DIRECTORY_BITS) - 1;

    /// Names take less than a terabyte: they are in memory.
    fn new(name_end: usize, directory: Option<usize>, is_restorable: bool) -> Entry {
        let directory = directory.unwrap_or(Entry::NO_DIRECTORY) as u64;
        Entry((name_end as u64) << (Entry::DIRECTORY_BITS + 1) | directory << 1 | u64::from(is_restorable))
    }

    /// Where its name ends among all.
    fn name_end(self) -> usize {
        (self.0 >> (Entry::DIRECTORY_BITS + 1)) as usize
    }

    fn directory(self) -> Option<usize> {
        let number = (self.0 >> 1) as usize & Entry::NO_DIRECTORY;
        Some(number).filter(|&number| number != Entry::NO_DIRECTORY)
    }

    fn is_restorable(self) -> bool {
        self.0 & 1 == 1
    }
}

/// All of a dump, in the order in which it tells of them.
#[derive(Debug, Default)]
pub struct Objects {
    /// Names one behind the other.
    names: Vec<u8>,
    entries: Vec<Entry>,
    directories: Texts,
    /// By input: the number of its first object.
    firsts: Vec<u32>,
    /// The present one.
    at: u32,
}

/// So far from the present object, and behind the first one of its input, another is looked for; a directory among so many.
const NEAR: u32 = 16;

impl Objects {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    pub fn path(&self, object: u32) -> ObjectPath<'_> {
        let start = object.checked_sub(1).map_or(0, |before| self.entries[before as usize].name_end());
        let entry = self.entries[object as usize];
        let name = &self.names[start..entry.name_end()];
        match entry.directory() {
            Some(number) => ObjectPath { directory: Some(self.directories.get(number)), name },
            None => ObjectPath::of(name),
        }
    }

    pub fn is_restorable(&self, object: u32) -> bool {
        self.entries[object as usize].is_restorable()
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
    pub fn is_at(&self, path: ObjectPath) -> bool {
        (self.first()..self.count()).contains(&self.at) && self.path(self.at) == path
    }

    /// The first one of the present input.
    fn first(&self) -> u32 {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// Turns to another. A dump that tells of its tables in several rounds, as of PostgreSQL, has them in the same order in each: they
    /// are found again nearby, and what is not is kept once more, which costs nothing but its room.
    pub fn turn_to(&mut self, path: ObjectPath, is_restorable: bool) {
        let first = self.first();
        let mut nearby = self.near(first.max(self.at.saturating_add(1))).chain(self.near(first));
        let known = nearby.find(|&known| self.path(known) == path);
        self.at = known.unwrap_or_else(|| self.add(path, is_restorable));
    }

    /// One that is probably a little before the present one. One that is not found gets another number.
    pub fn number_of(&mut self, path: ObjectPath, is_restorable: bool) -> u32 {
        let first = self.first();
        let mut nearby = self.near(first.max(self.at.saturating_sub(NEAR - 1))).rev().chain(self.near(first));
        let known = nearby.find(|&known| self.path(known) == path);
        known.unwrap_or_else(|| self.add(path, is_restorable))
    }

    fn near(&self, start: u32) -> std::ops::Range<u32> {
        start..self.count().min(start.saturating_add(NEAR))
    }

    fn add(&mut self, path: ObjectPath, is_restorable: bool) -> u32 {
        let directory = path.directory.and_then(|directory| self.directory(directory));
        if let (Some(whole), None) = (path.directory, directory) {
            self.names.extend_from_slice(whole);
            self.names.push(b'/');
        }
        self.names.extend_from_slice(path.name);
        self.entries.push(Entry::new(self.names.len(), directory, is_restorable));
        self.count() - 1
    }

    /// The number of a directory, of which few are told by turns. `None` where there are too many.
    fn directory(&mut self, directory: &[u8]) -> Option<usize> {
        let count = self.directories.ends.len();
        let mut nearby = (count.saturating_sub(NEAR as usize)..count).rev();
        let known = nearby.find(|&known| self.directories.get(known) == directory);
        known.or_else(|| {
            (count < Entry::NO_DIRECTORY).then(|| {
                self.directories.push(directory);
                count
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_from_their_directories_and_names() {
        let paths = ["a", "/a", "", "/", "shop/tables/a", "shop/tables/a/b", "shop/tables/", "other/tables/a"];
        let mut objects = Objects::default();
        objects.begin_input();
        for round in 0..3 {
            for (number, path) in (0..).zip(paths) {
                objects.turn_to(ObjectPath::of(path.as_bytes()), number % 2 == 0);
                assert_eq!(objects.present(), number, "{path} in round {round}");
            }
        }
        for (number, path) in (0..).zip(paths) {
            let names: Vec<&[u8]> = objects.path(number).names().collect();
            assert_eq!(names.join(&b'/'), path.as_bytes());
            assert_eq!(names[0], objects.path(number).first());
            assert_eq!(objects.is_restorable(number), number % 2 == 0);
        }
        assert_eq!(objects.directories.ends.len(), 4);
    }

    #[test]
    fn an_object_of_no_kept_directory_has_its_whole_path() {
        let mut objects = Objects::default();
        objects.names.extend_from_slice(b"shop/tables/a");
        objects.entries.push(Entry::new(13, None, true));
        assert_eq!(objects.path(0), ObjectPath::of(b"shop/tables/a"));
        assert!(objects.is_restorable(0));
    }
}
