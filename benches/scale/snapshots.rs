//! 10,000 snapshots of 10,000 entries: a hundred million paths. Opening, listing and mounting must not feel them.

use std::fs;
use std::path::Path;
use std::time::Instant;

use yesterfs::id::ChunkId;
use yesterfs::progress::Counters;
use yesterfs::repository::Repository;
use yesterfs::repository::node::{DirectoryRoot, NodeKind};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::tree::Witness;
use yesterfs::time::Timestamp;

use crate::made::{at_hour, content, manifest, node, open, put_file, writer_beside};
use crate::median;
use crate::support::{Noise, Size, Workplace, drain, report};

const SNAPSHOTS: usize = 10_000;
const SOURCES: usize = 4;
/// Of each snapshot, and the files in each of these.
const DIRECTORIES: usize = 100;
const FILES: usize = 100;
/// A file that changed is this long, and new as a whole.
const FILE_BYTES: usize = 500;

pub fn run(workplace: &Workplace) {
    crate::make("make-snapshots", workplace);
    let all = Size::Entries(SNAPSHOTS as u64);
    report("snapshots", all, &median(|| workplace.run(&["snapshots"], 0)));
    report("snapshots of one source", all, &median(|| workplace.run(&["snapshots", "source-0"], 0)));
    let directory = ["ls", "source-0@latest:/directory-50"];
    report("ls of a directory", Size::Entries(FILES as u64), &median(|| workplace.run(&directory, 0)));
    mount(workplace);
    let empty = workplace.path("empty");
    fs::create_dir(&empty).expect("a source");
    report("ingest dir of nothing", all, &median(|| workplace.ingest(&empty, "empty")));
}

fn mount(workplace: &Workplace) {
    let all = Size::Entries(SNAPSHOTS as u64);
    let ready = median(|| {
        let started = Instant::now();
        let daemon = workplace.mount("mnt");
        let taken = daemon.taken(started.elapsed());
        daemon.stop();
        taken
    });
    report("mount answers", all, &ready);
    let daemon = workplace.mount("mnt");
    let list = |step: &str, words: &[&str], directory: &Path, entries: usize| {
        let started = Instant::now();
        drain("ls", &[&words.iter().map(AsRef::as_ref).collect::<Vec<_>>()[..], &[directory.as_os_str()]].concat());
        report(step, Size::Entries(entries as u64), &daemon.taken(started.elapsed()));
    };
    let snapshots = workplace.path("mnt/snapshots");
    list("first ls -l in the newest snapshot", &["-l"], &snapshots.join("source-0/latest/directory-50"), FILES);
    list("ls snapshots/", &[], &snapshots, SOURCES);
    for step in ["ls -l of a source's snapshots, first", "ls -l of a source's snapshots, again"] {
        list(step, &["-l"], &snapshots.join("source-1"), SNAPSHOTS / SOURCES);
    }
    daemon.stop();
}

/// One source as its last snapshot has it.
struct State {
    name: String,
    directories: Vec<DirectoryRoot>,
    root: DirectoryRoot,
    /// Of each file, its bytes' chunk and when it changed.
    files: Vec<Vec<(ChunkId, Timestamp)>>,
}

/// Makes the snapshots, in each of which but the first of its source one file differs from the one before.
pub fn make(workplace: &Workplace) {
    let repository = open(workplace);
    let mut sources: Vec<State> = (0..SOURCES).map(|number| State::new(format!("source-{number}"))).collect();
    let mut noise = Noise(7);
    let mut entries = 0;
    for hour in 0..SNAPSHOTS {
        let source = &mut sources[hour % SOURCES];
        entries += source.add_snapshot(&repository, at_hour(hour / SOURCES), &mut noise);
    }
    println!("{SNAPSHOTS} snapshots, {entries} entries in all");
}

impl State {
    fn new(name: String) -> State {
        let nothing = DirectoryRoot::default();
        State { name, directories: vec![nothing.clone(); DIRECTORIES], root: nothing, files: Vec::new() }
    }

    fn add_snapshot(&mut self, repository: &Repository, now: Timestamp, noise: &mut Noise) -> u64 {
        let counters = Counters::default();
        let session = WriteSession::open(repository, &counters, "here", "bench", now).expect("a session");
        let file = put_file(&session, noise, FILE_BYTES);
        if self.files.is_empty() {
            self.files = vec![vec![(file, now); FILES]; DIRECTORIES];
            (0..DIRECTORIES).for_each(|number| self.write_directory(&session, number));
        } else {
            let (directory, number) = (noise.next() as usize % DIRECTORIES, noise.next() as usize % FILES);
            self.files[directory][number] = (file, now);
            self.write_directory(&session, directory);
        }
        self.write_root(&session, now);
        session.commit(manifest(&self.name, self.root.clone(), now), now).expect("a snapshot");
        self.root.totals.descendants + 1
    }

    fn write_directory(&mut self, session: &WriteSession, number: usize) {
        let mut writer = writer_beside(session, &self.directories[number]);
        for (file, &(chunk, modified)) in self.files[number].iter().enumerate() {
            let node = node(NodeKind::File { content: content(chunk, FILE_BYTES), torn: false }, modified);
            let witness = Witness::Seen { changed: modified, inode: file as u64 };
            writer.push(format!("file-{file:02}").as_bytes(), &node, &witness).expect("an entry");
        }
        self.directories[number] = writer.finish().expect("a directory").0;
    }

    fn write_root(&mut self, session: &WriteSession, now: Timestamp) {
        let mut writer = writer_beside(session, &self.root);
        for (number, root) in self.directories.iter().enumerate() {
            let node = node(NodeKind::Directory(root.clone()), now);
            writer.push(format!("directory-{number:02}").as_bytes(), &node, &Witness::None).expect("an entry");
        }
        self.root = writer.finish().expect("the root").0;
    }
}
