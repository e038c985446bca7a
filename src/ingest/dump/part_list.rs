//! PartList: the parts of a dump as they come, and in the order of the files that they make. A dump may have a million tables of
//! six parts each, so all is kept in little memory.

mod kept_parts;
mod objects;
mod order;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use self::kept_parts::{KeptPart, KeptParts};
pub use self::objects::ObjectPath;
use self::objects::Objects;
use self::order::PartOrder;
use crate::dump::layout::{GLOBALS_DIRECTORY, META_DIRECTORY, database_directory};
use crate::ingest::dump::few_names::FewNames;

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

impl Place {
    /// The path by which the object is known, and the file in it. What is not restored alone is known by its file, which may stand
    /// beside directories of other objects.
    fn path_and_file(&self) -> (Cow<'_, [u8]>, Option<&'static str>) {
        match self.file {
            Some(file) if !self.is_restorable => {
                (Cow::Owned([&self.object, &b"/"[..], file.as_bytes()].concat()), None)
            }
            file => (Cow::Borrowed(&self.object), file),
        }
    }
}

/// A part of the dump.
#[derive(Debug, Clone, Copy)]
pub struct ListedPart {
    pub start: u64,
    pub length: u64,
    pub rows: u64,
    /// What it is about, which may have several numbers.
    pub object: u32,
    /// Among the names of files, [`NO_FILE`] where the object is one.
    file: u8,
}

/// More than there are names of files.
const NO_FILE: u8 = u8::MAX;

impl ListedPart {
    fn new(part: KeptPart, end: u64) -> ListedPart {
        let KeptPart { start, rows, object, file } = part;
        ListedPart { start, length: end - start, rows, object, file }
    }

    /// Its bytes in the dump.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.length
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
    /// Neither names it.
    pub is_unnamed: bool,
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
    /// Names of files in the directories of objects.
    files: FewNames,
    /// All that have ended.
    parts: KeptParts,
    /// The one that has not.
    present: Option<KeptPart>,
    /// Where the last part ends.
    end: u64,
    /// Once all were told.
    order: OnceLock<PartOrder>,
}

impl PartList {
    /// A part begins, and the one before ends.
    pub fn begin(&mut self, start: u64, place: Place) {
        self.end_at(start);
        let (path, file) = place.path_and_file();
        let file = file.map_or(NO_FILE, |name| self.files.number_of(name));
        let path = ObjectPath::of(&path);
        if !self.objects.is_at(path) {
            self.tell_of(path.first());
            self.objects.turn_to(path, place.is_restorable);
        }
        self.present = Some(KeptPart { start, rows: 0, object: self.objects.present(), file });
    }

    /// The present part has one more row.
    pub fn add_row(&mut self) {
        self.present.iter_mut().for_each(|part| part.rows += 1);
    }

    /// Where the last part begins.
    pub fn last_start(&self) -> u64 {
        self.present.as_ref().or(self.parts.last()).map_or(0, |part| part.start)
    }

    /// The number of the present part.
    pub fn present_number(&self) -> u32 {
        self.parts.count()
    }

    /// What the present part is about.
    pub fn present_object(&self) -> u32 {
        self.objects.present()
    }

    /// The number of an object; it may get another one here than the parts that tell of it.
    pub fn number_of(&mut self, place: &Place) -> u32 {
        self.objects.number_of(ObjectPath::of(&place.path_and_file().0), place.is_restorable)
    }

    /// The last part reaches up to here. An empty one is none.
    fn end_at(&mut self, end: u64) {
        self.end = end;
        self.present.take().filter(|part| part.start != end).into_iter().for_each(|part| self.parts.push(part));
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
                self.told_twice = Some(ToldTwice {
                    database: directory.to_vec(),
                    dumps: [other, dump],
                    is_unnamed: directory.is_empty(),
                });
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
                let database = directory.clone();
                self.told_twice = Some(ToldTwice { database, dumps: [*told, dump], is_unnamed: false });
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
        let ends = self.parts.starting_with(1).map(|part| part.start).chain(std::iter::once(self.end));
        self.parts.starting_with(0).zip(ends).map(|(part, end)| ListedPart::new(part, end))
    }

    /// The part of this number in the order of the dump.
    pub fn get(&self, number: u32) -> ListedPart {
        let mut parts = self.parts.starting_with(number);
        let part = parts.next().unwrap_or_default();
        ListedPart::new(part, parts.next().map_or(self.end, |next| next.start))
    }

    /// What is about this: its path as the format of the dump named it.
    pub fn object(&self, object: u32) -> ObjectPath<'_> {
        self.objects.path(object)
    }

    /// Rows of all parts.
    pub fn rows(&self) -> u64 {
        self.all().map(|part| part.rows).sum()
    }

    /// The object's own path: its directory, or its only file.
    pub fn object_path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> + use<'_> {
        self.path_of_object(part.object)
    }

    fn path_of_object(&self, object: u32) -> impl Iterator<Item = &[u8]> + use<'_> {
        let unnamed = self.unnamed.get(self.objects.input(object)).map_or(&[][..], Vec::as_slice);
        self.objects.path(object).names().map(move |name| if name.is_empty() { unnamed } else { name })
    }

    /// The directories and the file that a part belongs to.
    pub fn path(&self, part: &ListedPart) -> impl Iterator<Item = &[u8]> + use<'_> {
        self.object_path(part).chain(self.file_name(part).map(str::as_bytes))
    }

    /// The file in the directory of the part's object, if that has one.
    pub fn file_name(&self, part: &ListedPart) -> Option<&'static str> {
        self.files.get(part.file)
    }

    /// Whether the object of a part gets a file that restores it.
    pub fn is_restorable(&self, part: &ListedPart) -> bool {
        self.objects.is_restorable(part.object)
    }

    /// The parts of each object in the order of paths: by their files, and those of one file by their place in the dump. All must
    /// have been told.
    pub fn objects(&self) -> impl Iterator<Item = &[u32]> {
        self.order().objects()
    }

    /// The rank of an object among all paths, which is the same for all its numbers.
    pub fn rank(&self, object: u32) -> u32 {
        self.order().rank(object)
    }

    /// All parts about an object.
    pub fn parts_of(&self, object: u32) -> &[u32] {
        self.order().parts(self.rank(object))
    }

    fn order(&self) -> &PartOrder {
        self.order.get_or_init(|| PartOrder::of(self))
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
        assert_eq!((list.parts.count(), list.objects.count()), (3000, 1000));
        let part = list.get(1500);
        assert_eq!((list.object(part.object), part.range()), (ObjectPath::of(b"shop/tables/500"), 15_000..15_010));
        let first: Vec<u64> = list.objects().next().unwrap().iter().map(|&number| list.get(number).start).collect();
        assert_eq!(first, [0, 10_000, 20_000]);
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
        let twice = ToldTwice { database: b"shop".into(), dumps: [0, 1], is_unnamed: false };
        assert_eq!(list.told_twice(), Some(&twice));
    }

    #[test]
    fn parts_stand_in_the_order_of_their_files() {
        let place = |object: &str, file, is_restorable| Place { object: object.into(), file, is_restorable };
        let told = [
            place("shop", Some("_other.sql"), false),
            table("b"),
            place("shop/_casts/a.sql", None, false),
            place("", Some("_other.sql"), false),
            Place { file: Some("a.sql"), ..table("b") },
            table("a"),
            table("b"),
        ];
        let mut list = PartList::default();
        list.begin_input();
        (0..).zip(told).for_each(|(start, place)| list.begin(start, place));
        // Too far away: it gets another number.
        let again = list.number_of(&table("c"));
        list.end_input(7, b"shop");
        assert_eq!(list.objects().collect::<Vec<_>>(), [&[2][..], &[0, 3], &[5], &[4, 1, 6]]);
        assert_eq!(list.parts_of(list.get(6).object), [4, 1, 6]);
        assert!(list.parts_of(again).is_empty());
        let path: Vec<&[u8]> = list.path(&list.get(3)).collect();
        assert_eq!(path, [&b"shop"[..], b"_other.sql"]);
    }
}
