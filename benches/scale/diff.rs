//! Snapshots of a million files of which some differ. The time shall follow what differs.

use std::process::Stdio;

use yesterfs::id::ChunkId;
use yesterfs::progress::Counters;
use yesterfs::repository::Repository;
use yesterfs::repository::node::{DirectoryRoot, NodeKind};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::tree::Witness;

use crate::made::{at_hour, content, manifest, node, open, put_file, writer_beside};
use crate::support::{Noise, Size, Workplace, report};
use crate::{expect_within, median};

const DIRECTORIES: usize = 1000;
const FILES: usize = 1000;
/// Every so many files one has bytes of its own, and may change; the others share theirs.
const CHANGEABLE_EVERY: usize = 10;
/// Of a file: the same before and after, so that sizes tell nothing.
const FILE_BYTES: usize = 300;

/// How many files differ between the first snapshot and the ones after it.
const CHANGED: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// So many that differ shall take less than so many milliseconds.
const GOAL: (usize, f64) = (1_000, 100.0);

pub fn run(workplace: &Workplace) {
    crate::make("make-diff", workplace);
    for (number, changed) in CHANGED.into_iter().enumerate() {
        let (old, new) =
            (format!("tree@latest~{}", CHANGED.len()), format!("tree@latest~{}", CHANGED.len() - 1 - number));
        let taken = median(|| workplace.run(&["diff", "--stat", &old, &new], 1));
        report(&format!("diff, {changed} of a million differ"), Size::Entries(changed as u64), &taken);
        if changed == GOAL.0 {
            expect_within("diff", taken.seconds * 1e3, GOAL.1);
        }
        let mut command = workplace.command(["diff", "--json", &old, &new]);
        let output = command.stdout(Stdio::piped()).output().expect("the binary").stdout;
        let text = String::from_utf8_lossy(&output);
        let summary = text.lines().last().unwrap_or_default();
        assert!(summary.contains(&format!("\"changed\":{changed},")), "{summary}");
        let (_, pages) = summary.split_once("\"pages_read\":").expect("a count of pages");
        println!("{:<36} {:>16} pages read", "", pages.split(',').next().unwrap_or_default());
    }
}

/// Makes the snapshots.
pub fn make(workplace: &Workplace) {
    let repository = open(workplace);
    let mut noise = Noise(7);
    let mut tree = Tree { directories: vec![DirectoryRoot::default(); DIRECTORIES], root: DirectoryRoot::default() };
    let mut files = Vec::new();
    tree.add_snapshot(&repository, 0, |session| {
        let shared = put_file(session, &mut noise, FILE_BYTES);
        let count = DIRECTORIES * FILES;
        let mut of =
            |file| if file % CHANGEABLE_EVERY == 0 { put_file(session, &mut noise, FILE_BYTES) } else { shared };
        files = (0..count).map(&mut of).collect();
        files.clone()
    });
    for (number, changed) in CHANGED.into_iter().enumerate() {
        tree.add_snapshot(&repository, number + 1, |session| {
            let mut files = files.clone();
            // Spread over the whole tree, in no order.
            let changeable = files.len() / CHANGEABLE_EVERY;
            for change in 0..changed {
                let file = change * 7919 % changeable * CHANGEABLE_EVERY;
                files[file] = put_file(session, &mut noise, FILE_BYTES);
            }
            files
        });
    }
}

/// The tree as its last snapshot has it.
struct Tree {
    directories: Vec<DirectoryRoot>,
    root: DirectoryRoot,
}

impl Tree {
    fn add_snapshot(
        &mut self,
        repository: &Repository,
        hour: usize,
        files: impl FnOnce(&WriteSession) -> Vec<ChunkId>,
    ) {
        let counters = Counters::default();
        let session = WriteSession::open(repository, &counters, "here", "bench", at_hour(hour)).expect("a session");
        let files = files(&session);
        for (number, files) in files.chunks(FILES).enumerate() {
            self.write_directory(&session, number, files);
        }
        let mut writer = writer_beside(&session, &self.root);
        for (number, root) in self.directories.iter().enumerate() {
            let node = node(NodeKind::Directory(root.clone()), at_hour(0));
            writer.push(format!("directory-{number:03}").as_bytes(), &node, &Witness::None).expect("an entry");
        }
        self.root = writer.finish().expect("the root").0;
        session.commit(manifest("tree", self.root.clone(), at_hour(hour)), at_hour(hour)).expect("a snapshot");
    }

    fn write_directory(&mut self, session: &WriteSession, number: usize, files: &[ChunkId]) {
        let mut writer = writer_beside(session, &self.directories[number]);
        for (file, &chunk) in files.iter().enumerate() {
            let node = node(NodeKind::File { content: content(chunk, FILE_BYTES), torn: false }, at_hour(0));
            writer.push(format!("file-{file:03}").as_bytes(), &node, &Witness::None).expect("an entry");
        }
        self.directories[number] = writer.finish().expect("a directory").0;
    }
}
