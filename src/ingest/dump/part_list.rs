//! PartList: the parts of a dump as they come, and in the order of the files that they make. A dump may have a million tables,
//! so a part takes 16 bytes, and an object 8 bytes more than its path.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::dump::layout::{GLOBALS_DIRECTORY, META_DIRECTORY, database_directory};

/// Where a part of a dump belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path of the object's directory, or of its only file: file names with `/` between them. An empty first one stands
    /// for the database that the dump does not name.
    pub object: Vec<u8>,
    /// The file in the object's directory.
    pub file: Option<&'static str>,
    /// The object gets a file that restores it alone.
    pub is_restorable: bool,
}

/// A part of the dump.
#[derive(Debug, Clone, Copy)]
pub struct ListedPart {
    pub start: u64,
    pub length: u64,
    pub rows: u64,
    object: u32,
    /// Among the names of files, [`NO_FILE`] where the object is one.
    file: u8,
}

/// More than there are names of files.
const NO_FILE: u8 = u8::MAX;

impl ListedPart {
    /// Its bytes in the dump.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.length
    }
}

/// A part, as it is kept. It ends where the next one begins.
#[derive(Debug, Clone, Copy)]
struct KeptPart {
    /// Where it begins, and in the lowest byte its file.
    start_and_file: u64,
    object: u32,
    /// [`MANY_ROWS`] where that or more is told elsewhere.
    rows: u32,
}

const FILE_BITS: u32 = u8::BITS;
const MANY_ROWS: u32 = u32::MAX;

impl KeptPart {
    fn new(start: u64, file: u8, object: u32) -> KeptPart {
        KeptPart { start_and_file: start << FILE_BITS | u64::from(file), object, rows: 0 }
    }

    fn start(&self) -> u64 {
        self.start_and_file >> FILE_BITS
    }
}

/// What parts are about: paths one behind the other.
#[derive(Debug, Default)]
struct Objects {
    paths: Vec<u8>,
    /// Where each path ends, and in the lowest bit whether its object is restorable.
    ends: Vec<u64>,
    /// By input: the number of its first object.
    firsts: Vec<u32>,
    /// The present one.
    at: u32,
}

/// So far behind the present object, and behind the first one of its input, another is looked for.
const NEAR: u32 = 16;

impl Objects {
    fn path(&self, object: u32) -> &[u8] {
        let end = |object: u32| (self.ends[object as usize] >> 1) as usize;
        &self.paths[object.checked_sub(1).map_or(0, end)..end(object)]
    }

    fn is_restorable(&self, object: u32) -> bool {
        self.ends[object as usize] & 1 == 1
    }

    /// The number of the input that tells of it.
    fn input(&self, object: u32) -> usize {
        self.firsts.partition_point(|&first| first <= object).saturating_sub(1)
    }

    fn begin_input(&mut self) {
        self.firsts.push(self.ends.len() as u32);
    }

    /// Whether the next part is about the present one, too.
    fn is_at(&self, path: &[u8]) -> bool {
        let first = self.firsts.last().copied().unwrap_or_default();
        self.at >= first && self.at < self.ends.len() as u32 && self.path(self.at) == path
    }

    /// Turns to another. A dump that tells of its tables in several rounds, as of PostgreSQL, has them in the same order in each: they
    /// are found again nearby, and what is not is kept once more, which costs nothing but its room.
    fn turn_to(&mut self, path: &[u8], is_restorable: bool) {
        let (first, count) = (self.firsts.last().copied().unwrap_or_default(), self.ends.len() as u32);
        let near = |start: u32| start..count.min(start.saturating_add(NEAR));
        let mut nearby = near(first.max(self.at.saturating_add(1))).chain(near(first));
        self.at = nearby.find(|&known| self.path(known) == path).unwrap_or_else(|| {
            self.paths.extend_from_slice(path);
            self.ends.push((self.paths.len() as u64) << 1 | u64::from(is_restorable));
            count
        });
    }
}

/// A dump of an input, by its place among those of the same input.
#[derive(Debug, Clone, Copy, Default)]
struct Dump {
    input: u32,
    number: u32,
}

/// A database that two dumps tell of, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTwice {
    pub database: Vec<u8>,
    pub dumps: [u32; 2],
}

/// The parts of all dumps of a snapshot.
#[derive(Debug, Default)]
pub struct PartList {
    /// By input: the directory of the database that its dumps do not name.
    unnamed: Vec<Vec<u8>>,
    dumps: Vec<Dump>,
    /// The dump that tells of each database; an empty name stands for the one that the present input does not name.
    databases: HashMap<Vec<u8>, u32>,
    told_twice: Option<ToldTwice>,
    objects: Objects,
    /// Names of files in the directories of objects: there are few.
    files: Vec<&'static str>,
    parts: Vec<KeptPart>,
    /// Where the last part ends.
    end: u64,
    /// Rows of parts that have very many, by their numbers.
    many_rows: BTreeMap<u32, u64>,
}

impl PartList {
    /// A part begins, and the one before ends.
    pub fn begin(&mut self, start: u64, place: Place) {
        self.end_at(start);
        let file = place.file.map_or(NO_FILE, |name| self.file(name));
        let Place { object, is_restorable, .. } = place;
        if !self.objects.is_at(&object) {
            self.tell_of(object.split(|&byte| byte == b'/').next().unwrap_or_default());
            self.objects.turn_to(&object, is_restorable);
        }
        self.parts.push(KeptPart::new(start, file, self.objects.at));
    }

    fn file(&mut self, name: &'static str) -> u8 {
        let known = self.files.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.files.push(name);
            self.files.len() - 1
        }) as u8
    }

    /// The present part has one more row.
    pub fn add_row(&mut self) {
        let number = self.parts.len().saturating_sub(1) as u32;
        let Some(part) = self.parts.last_mut() else { return };
        if part.rows < MANY_ROWS {
            part.rows += 1;
        }
        if part.rows == MANY_ROWS {
            *self.many_rows.entry(number).or_insert(u64::from(MANY_ROWS) - 1) += 1;
        }
    }

    /// Where the last part begins.
    pub fn last_start(&self) -> u64 {
        self.parts.last().map_or(0, KeptPart::start)
    }

    /// The last part reaches up to here. An empty one is none.
    fn end_at(&mut self, end: u64) {
        self.end = end;
        self.parts.pop_if(|last| last.start() == end);
    }

    /// The next input begins with its first dump.
    pub fn begin_input(&mut self) {
        let input = self.unnamed.len() as u32;
        self.dumps.push(Dump { input, number: 0 });
        self.objects.begin_input();
    }

    /// Another dump begins in the same input.
    pub fn next_dump(&mut self) {
        let Dump { input, number } = self.dumps.last().copied().unwrap_or_default();
        self.dumps.push(Dump { input, number: number + 1 });
    }

    /// The present dump tells of what is in this directory.
    fn tell_of(&mut self, directory: &[u8]) {
        if directory == META_DIRECTORY.as_bytes() || directory == GLOBALS_DIRECTORY.as_bytes() {
            return;
        }
        let dump = self.dumps.len().saturating_sub(1) as u32;
        match self.databases.get(directory) {
            None => {
                self.databases.insert(directory.to_vec(), dump);
            }
            Some(&other) if other != dump && self.told_twice.is_none() => {
                self.told_twice = Some(ToldTwice { database: directory.to_vec(), dumps: [other, dump] });
            }
            Some(_) => {}
        }
    }

    /// The present input ends there. What it names no database for is in the one called `unnamed`.
    pub fn end_input(&mut self, end: u64, unnamed: &[u8]) {
        self.end_at(end);
        let directory = database_directory(unnamed);
        if let Some(dump) = self.databases.remove(&[][..]) {
            let told = self.databases.entry(directory.clone()).or_insert(dump);
            if *told != dump && self.told_twice.is_none() {
                self.told_twice = Some(ToldTwice { database: directory.clone(), dumps: [*told, dump] });
            }
        }
        if let Some(twice) = self.told_twice.as_mut().filter(|twice| twice.database.is_empty()) {
            twice.database.clone_from(&directory);
        }
        self.unnamed.push(directory);
    }

    /// A database that two dumps tell of.
    pub fn told_twice(&self) -> Option<&ToldTwice> {
        self.told_twice.as_ref()
    }

    /// The input of a dump, and its number among the dumps of that.
    pub fn dump_in_input(&self, dump: u32) -> (u32, u32) {
        let Dump { input, number } = self.dumps.get(dump as usize).copied().unwrap_or_default();
        (input, number)
    }

    /// All parts in the order of the dump.
    pub fn all(&self) -> impl Iterator<Item = ListedPart> + '_ {
        (0..self.parts.len() as u32).map(|number| self.get(number))
    }

    /// The part of this number in the order of the dump.
    pub fn get(&self, number: u32) -> ListedPart {
        let kept = self.parts[number as usize];
        let start = kept.start();
        let end = self.parts.get(number as usize + 1).map_or(self.end, KeptPart::start);
        let rows = match kept.rows {
            MANY_ROWS => self.many_rows.get(&number).copied().unwrap_or_default(),
            few => u64::from(few),
        };
        let file = (kept.start_and_file & u64::from(u8::MAX)) as u8;
        ListedPart { start, length: end - start, rows, object: kept.object, file }
    }

    /// The part that begins there, if it has any bytes.
    pub fn starting_at(&self, start: u64) -> Option<ListedPart> {
        self.parts.binary_search_by_key(&start, KeptPart::start).ok().map(|at| self.get(at as u32))
    }

    /// What a part is about: its path as the format of the dump named it.
    pub fn object(&self, part: &ListedPart) -> &[u8] {
        self.objects.path(part.object)
    }

    /// Rows of all parts.
    pub fn rows(&self) -> u64 {
        self.all().map(|part| part.rows).sum()
    }

    /// The object's own path: its directory, or its only file.
    pub fn object_path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> + use<'_> {
        let unnamed = self.unnamed.get(self.objects.input(part.object)).map_or(&[][..], Vec::as_slice);
        self.objects
            .path(part.object)
            .split(|&byte| byte == b'/')
            .map(move |name| if name.is_empty() { unnamed } else { name })
    }

    /// The directories and the file that a part belongs to.
    pub fn path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> + use<'_> {
        self.object_path(part).chain(self.file_name(part).map(str::as_bytes))
    }

    /// The file in the directory of the part's object, if that has one.
    pub fn file_name(&self, part: &ListedPart) -> Option<&'static str> {
        self.files.get(part.file as usize).copied()
    }

    /// Whether the object of a part gets a file that restores it.
    pub fn is_restorable(&self, part: &ListedPart) -> bool {
        self.objects.is_restorable(part.object)
    }

    /// The parts by the paths of their files, and those of one file by their place in the dump.
    pub fn by_path(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.parts.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.compare(a, b));
        order
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (self.get(a), self.get(b));
        self.path(&a).cmp(self.path(&b)).then(a.start.cmp(&b.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Place {
        Place { object: format!("shop/tables/{name}").into_bytes(), file: Some("data.sql"), is_restorable: true }
    }

    #[test]
    fn tables_told_of_in_several_rounds_are_kept_once() {
        const TABLES: u64 = 1000;
        let mut list = PartList::default();
        list.begin_input();
        for round in 0..3 {
            for number in 0..TABLES {
                list.begin((round * TABLES + number) * 10, table(&number.to_string()));
            }
        }
        list.end_input(3 * TABLES * 10, b"");
        assert_eq!((list.parts.len(), list.objects.ends.len()), (3000, 1000));
        let part = list.starting_at(15_000).unwrap();
        assert_eq!((list.object(&part), part.range()), (&b"shop/tables/500"[..], 15_000..15_010));
        let order = list.by_path();
        let starts: Vec<u64> = order[..3].iter().map(|&number| list.get(number).start).collect();
        assert_eq!(starts, [0, 10_000, 20_000]);
    }

    #[test]
    fn another_dump_with_the_same_table_is_noticed() {
        let mut list = PartList::default();
        list.begin_input();
        list.begin(0, table("a"));
        list.begin(10, table("b"));
        list.next_dump();
        list.begin(20, table("a"));
        list.end_input(30, b"");
        assert_eq!(list.told_twice(), Some(&ToldTwice { database: b"shop".into(), dumps: [0, 1] }));
    }

    #[test]
    fn rows_are_counted_beyond_what_a_part_has_room_for() {
        let mut list = PartList::default();
        list.begin_input();
        list.begin(0, table("a"));
        list.parts[0].rows = MANY_ROWS - 2;
        for _ in 0..5 {
            list.add_row();
        }
        list.begin(1 << 50, table("b"));
        list.add_row();
        list.end_input(1 << 51, b"");
        assert_eq!(list.all().map(|part| part.rows).collect::<Vec<_>>(), [u64::from(MANY_ROWS) + 3, 1]);
        assert_eq!(list.get(0).length, 1 << 50);
        assert_eq!(list.rows(), u64::from(MANY_ROWS) + 4);
    }
}
