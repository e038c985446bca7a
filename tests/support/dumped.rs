//! Snapshots of dumps, as their tests look at them.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Cursor;
use std::path::Path;

use yesterfs::ingest::dump::{DumpInput, DumpOptions, DumpRules};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::repository::snapshot::Manifest;

use super::repository::TestRepository;
use super::stored::{StoredTree, stored_tree};

pub fn options(input: StreamInput) -> DumpOptions {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    let inputs = vec![DumpInput { name: None, input, fallback_database: "fallback".into() }];
    DumpOptions { common, inputs, rules: DumpRules::default(), threads: 2 }
}

/// The same, where a dump that is not whole is to be kept.
pub fn kept_incomplete(options: DumpOptions) -> DumpOptions {
    DumpOptions { rules: DumpRules { keep_incomplete: true, ..options.rules }, ..options }
}

/// The same; what names no database is in this one.
pub fn in_database(name: Option<&str>, options: DumpOptions) -> DumpOptions {
    DumpOptions { rules: DumpRules { database: name.map(str::to_string), ..options.rules }, ..options }
}

pub fn of_directory(directory: &Path) -> DumpOptions {
    options(StreamInput::File(directory.to_path_buf()))
}

pub fn command(words: &[OsString]) -> StreamInput {
    StreamInput::Command(words.to_vec())
}

pub fn reader(dump: &[u8]) -> StreamInput {
    StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())))
}

/// A snapshot's files by path, and its manifest.
pub struct Dumped {
    pub tree: StoredTree,
    pub manifest: Manifest,
}

impl Dumped {
    /// What an ingest made.
    #[track_caller]
    pub fn of(place: &TestRepository, report: IngestReport) -> Dumped {
        let tree = stored_tree(&place.repository, &report.snapshot).unwrap();
        Dumped { tree, manifest: report.snapshot.manifest.clone() }
    }

    /// The files that are kept as they were, by name.
    pub fn originals(&self) -> BTreeMap<String, Vec<u8>> {
        let names = self.names("_original").into_iter();
        names.map(|name| (name.clone(), self.file(&format!("_original/{name}")).to_vec())).collect()
    }

    /// The same again, of which `again` was made, costs nothing, and nothing changes.
    #[track_caller]
    pub fn assert_is_again(&self, again: &Dumped) {
        assert!(again.manifest.bytes_new < 4096, "{}", again.manifest.bytes_new);
        let modified = |of: &Dumped, path: &str| of.tree[path.as_bytes()].0.modified;
        for path in ["shop/tables", "_original"] {
            assert_eq!(modified(self, path), modified(again, path), "{path}");
        }
    }

    #[track_caller]
    pub fn file(&self, path: &str) -> &[u8] {
        &self.tree.get(path.as_bytes()).unwrap_or_else(|| panic!("no {path} among {:?}", self.paths())).1
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.file(path).to_vec()).unwrap()
    }

    pub fn paths(&self) -> BTreeSet<String> {
        self.tree.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect()
    }

    /// The names in a directory.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let below = self.paths().into_iter();
        let below = below.filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_string));
        below.filter(|name| !name.contains('/')).collect()
    }

    /// Directories of the tables of a database or a schema, by name.
    pub fn tables(&self, folder: &str) -> BTreeSet<String> {
        self.names(&format!("{folder}/tables")).into_iter().collect()
    }

    /// Length, rows and path of every part, in the order of the dump.
    pub fn parts(&self) -> Vec<(usize, u64, String)> {
        let line = |line: &str| {
            let mut fields = line.splitn(3, ' ');
            let mut field = || fields.next().unwrap();
            (field().parse().unwrap(), field().parse().unwrap(), field().to_string())
        };
        self.text("_meta/parts").lines().map(line).collect()
    }

    /// Where to cut the dump: at the start and in the middle of the first part of each kind of file, and of every fifth of all parts.
    pub fn cuts(&self) -> Vec<usize> {
        let (mut start, mut kinds, mut cuts) = (0, BTreeSet::new(), Vec::new());
        for (number, (length, _, path)) in self.parts().into_iter().enumerate() {
            if kinds.insert(kind_of_file(&path).to_string()) || number % 5 == 0 {
                cuts.extend([start, start + length / 2]);
            }
            start += length;
        }
        // Nothing at all is no dump.
        cuts.retain(|&cut| cut > 0);
        cuts
    }

    /// Asserts that the parts, each taken from its file, are the dump.
    #[track_caller]
    pub fn assert_parts_are_the_dump(&self, dump: &[u8]) {
        self.assert_parts_are("dump.sql", dump);
    }

    /// The same of a dump that is called so.
    #[track_caller]
    pub fn assert_parts_are(&self, name: &str, dump: &[u8]) {
        assert!(self.file(name) == dump, "{name} is another one");
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut joined = Vec::new();
        for (length, _, path) in self.parts() {
            let start = taken.entry(path.clone()).or_default();
            joined.extend_from_slice(&self.file(&path)[*start..*start + length]);
            *start += length;
        }
        assert!(joined == dump, "the parts are another dump");
        for (path, end) in taken {
            assert_eq!(self.file(&path).len(), end, "{path} holds more than its parts");
        }
    }
}

/// What a path has behind the name of the object, else the directory of files of its kind.
fn kind_of_file(path: &str) -> &str {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    match ["/tables/", "/views/"].iter().any(|objects| path.contains(objects)) {
        true => file,
        false => directory.rsplit('/').next().unwrap_or_default(),
    }
}

/// The name of a file for a name of the database.
pub fn escaped(name: &str) -> String {
    let escape = |(at, byte): (usize, u8)| match byte {
        b'/' | b'%' | 0x7f | 0..=0x1f => format!("%{byte:02X}").into_bytes(),
        b'.' if at == 0 => b"%2E".to_vec(),
        byte => vec![byte],
    };
    String::from_utf8(name.bytes().enumerate().flat_map(escape).collect()).unwrap()
}
