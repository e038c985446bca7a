//! PartList: the parts of a dump as they come, and in the order of the files that they make. A dump may have a million tables,
//! so a part takes 32 bytes, and an object 24 bytes more than its path.

use std::cmp::Ordering;
use std::collections::HashMap;
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

/// A part, as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct ListedPart {
    pub start: u64,
    pub length: u64,
    pub rows: u64,
    object: u32,
    /// Among the names of files, [`NO_FILE`] where the object is one.
    file: u32,
}

const NO_FILE: u32 = u32::MAX;

impl ListedPart {
    /// Its bytes in the dump.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.length
    }
}

/// What parts are about.
#[derive(Debug)]
struct Object {
    path: Box<[u8]>,
    is_restorable: bool,
    /// The number of its input.
    input: u32,
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
    objects: Vec<Object>,
    /// Names of files in the directories of objects: there are few.
    files: Vec<&'static str>,
    parts: Vec<ListedPart>,
}

impl PartList {
    /// A part begins, and the one before ends.
    pub fn begin(&mut self, start: u64, place: Place) {
        self.end_at(start);
        let file = place.file.map_or(NO_FILE, |name| self.file(name));
        let Dump { input, .. } = self.dumps.last().copied().unwrap_or_default();
        if self.objects.last().is_none_or(|last| *last.path != *place.object || last.input != input) {
            let Place { object, is_restorable, .. } = place;
            self.tell_of(object.split(|&byte| byte == b'/').next().unwrap_or_default());
            self.objects.push(Object { path: object.into_boxed_slice(), is_restorable, input });
        }
        let object = self.objects.len() as u32 - 1;
        self.parts.push(ListedPart { start, length: 0, rows: 0, object, file });
    }

    fn file(&mut self, name: &'static str) -> u32 {
        let known = self.files.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.files.push(name);
            self.files.len() - 1
        }) as u32
    }

    /// The present part has one more row.
    pub fn add_row(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.rows += 1;
        }
    }

    /// Where the last part begins.
    pub fn last_start(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.start)
    }

    /// The last part reaches up to here. An empty one is none.
    fn end_at(&mut self, end: u64) {
        if let Some(last) = self.parts.last_mut() {
            last.length = end - last.start;
            if last.length == 0 {
                self.parts.pop();
            }
        }
    }

    /// The next input begins with its first dump.
    pub fn begin_input(&mut self) {
        let input = self.unnamed.len() as u32;
        self.dumps.push(Dump { input, number: 0 });
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
    pub fn all(&self) -> &[ListedPart] {
        &self.parts
    }

    /// The part of this number in the order of the dump.
    pub fn get(&self, number: u32) -> &ListedPart {
        &self.parts[number as usize]
    }

    /// The part that begins there, if it has any bytes.
    pub fn starting_at(&self, start: u64) -> Option<&ListedPart> {
        self.parts.binary_search_by_key(&start, |part| part.start).ok().map(|at| &self.parts[at])
    }

    /// What a part is about: its path as the format of the dump named it.
    pub fn object(&self, part: &ListedPart) -> &[u8] {
        &self.objects[part.object as usize].path
    }

    /// Rows of all parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// The object's own path: its directory, or its only file.
    pub fn object_path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> {
        let object = &self.objects[part.object as usize];
        let unnamed = self.unnamed.get(object.input as usize).map_or(&[][..], Vec::as_slice);
        object.path.split(|&byte| byte == b'/').map(move |name| if name.is_empty() { unnamed } else { name })
    }

    /// The directories and the file that a part belongs to.
    pub fn path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> {
        self.object_path(part).chain(self.file_name(part).map(str::as_bytes))
    }

    /// The file in the directory of the part's object, if that has one.
    pub fn file_name(&self, part: &ListedPart) -> Option<&'static str> {
        self.files.get(part.file as usize).copied()
    }

    /// Whether the object of a part gets a file that restores it.
    pub fn is_restorable(&self, part: &ListedPart) -> bool {
        self.objects[part.object as usize].is_restorable
    }

    /// The parts by the paths of their files, and those of one file by their place in the dump.
    pub fn by_path(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.parts.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.compare(a, b));
        order
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (self.get(a), self.get(b));
        self.path(a).cmp(self.path(b)).then(a.start.cmp(&b.start))
    }
}
