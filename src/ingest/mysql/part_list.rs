//! PartList: the parts of a dump as they come, and in the order of the files that they make. A dump may have a million tables,
//! so a part takes 32 bytes, and an object some more than its name.

use std::cmp::Ordering;

use crate::dump::mysql::{Event, Need, Part, PartKind};
use crate::ingest::mysql::layout::{database_directory, object_name, place_of};

/// A part, as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct ListedPart {
    pub start: u64,
    pub length: u64,
    pub rows: u64,
    pub kind: PartKind,
    object: u32,
}

/// What parts are about.
#[derive(Debug)]
struct Object {
    /// Among the databases, or none that the dump names.
    database: Option<u32>,
    /// Its name as a file name.
    name: Box<[u8]>,
    kind: PartKind,
    needs: Vec<Need>,
}

/// The parts of one dump.
#[derive(Debug, Default)]
pub struct PartList {
    /// Names of the databases' directories.
    databases: Vec<Vec<u8>>,
    /// The directory of what is in no database that the dump names.
    unnamed: Vec<u8>,
    objects: Vec<Object>,
    parts: Vec<ListedPart>,
    /// The database that was named last, as the dump has it.
    last_database: Option<(Vec<u8>, u32)>,
}

impl PartList {
    /// Takes note of what the reader of the dump tells.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Part(part) => self.begin(part),
            Event::Row(_) => self.parts.iter_mut().next_back().into_iter().for_each(|part| part.rows += 1),
            Event::Needs(needs) if needs.is_empty() => {}
            Event::Needs(needs) => self.objects.iter_mut().next_back().into_iter().for_each(|object| {
                let new = needs.iter().filter(|need| !object.needs.contains(need)).cloned().collect::<Vec<_>>();
                object.needs.extend(new);
            }),
        }
    }

    fn begin(&mut self, part: Part) {
        self.end_at(part.start);
        let database = part.database.map(|name| self.database(name));
        let name = object_name(part.kind, &part.name);
        let goes_on = self.objects.last().is_some_and(|last| {
            (last.database, &*last.name) == (database, &*name) && directory_of(last.kind) == directory_of(part.kind)
        });
        if !goes_on {
            let name = name.into_boxed_slice();
            self.objects.push(Object { database, name, kind: part.kind, needs: Vec::new() });
        }
        let object = self.objects.len() as u32 - 1;
        self.parts.push(ListedPart { start: part.start, length: 0, rows: 0, kind: part.kind, object });
    }

    fn database(&mut self, name: Vec<u8>) -> u32 {
        if let Some((last, number)) = &self.last_database
            && *last == name
        {
            return *number;
        }
        let directory = database_directory(&name);
        let number = self.databases.iter().position(|known| *known == directory).unwrap_or_else(|| {
            self.databases.push(directory);
            self.databases.len() - 1
        }) as u32;
        self.last_database = Some((name, number));
        number
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

    /// Ends the list of a dump of this length. What names no database is in the one called `unnamed`.
    pub fn finish(&mut self, length: u64, unnamed: &[u8]) {
        self.end_at(length);
        self.unnamed = database_directory(unnamed);
    }

    /// All parts in the order of the dump.
    pub fn parts(&self) -> &[ListedPart] {
        &self.parts
    }

    /// The directories and the file that a part belongs to.
    pub fn path(&self, part: &ListedPart) -> Vec<&[u8]> {
        let place = place_of(part.kind);
        let mut path = self.directory(part);
        path.extend(place.file.map(str::as_bytes));
        path
    }

    /// The object's own path: a directory, or its only file.
    pub fn directory(&self, part: &ListedPart) -> Vec<&[u8]> {
        let (place, object) = (place_of(part.kind), &self.objects[part.object as usize]);
        let database = object.database.map_or(&self.unnamed, |number| &self.databases[number as usize]);
        let mut path: Vec<&[u8]> = vec![place.top.map_or(database, str::as_bytes)];
        path.extend(place.directories.iter().map(|name| name.as_bytes()));
        path.extend(Some(&*object.name).filter(|name| !name.is_empty()));
        path
    }

    /// What the object of a part needs.
    pub fn needs(&self, part: &ListedPart) -> &[Need] {
        &self.objects[part.object as usize].needs
    }

    /// The parts by the paths of their files, and those of one file by their place in the dump.
    pub fn by_path(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.parts.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.compare(a, b));
        order
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.parts[a as usize], &self.parts[b as usize]);
        self.path(a).cmp(&self.path(b)).then(a.start.cmp(&b.start))
    }
}

fn directory_of(kind: PartKind) -> (Option<&'static str>, &'static [&'static str]) {
    let place = place_of(kind);
    (place.top, place.directories)
}
