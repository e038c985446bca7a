//! What the files tell that programs leave beside copies of a server's data ([`BackupFile`]), gathered while a directory is
//! ingested.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use crate::dump::backup::{BACKUP_FILE_MAX_BYTES, BackupFacts, BackupFile};
use crate::dump::mysql::{Coordinates, CoordinatesOf};
use crate::progress::Monitor;
use crate::repository::metadata::{Captured, read_full_at, stat_fd};

/// Files below the ingested directory that are heard, and those in it.
const FILES_MAX: usize = 64;

/// Bytes of all facts; a snapshot's manifest is read with every listing of snapshots.
const FACTS_MAX_BYTES: usize = 64 << 10;

/// What one file tells, or why nothing.
pub(super) struct BackupTold {
    file: BackupFile,
    facts: Result<BackupFacts, &'static str>,
}

impl BackupTold {
    /// Whether a file of this name and size may tell something.
    pub fn is_expected(name: &[u8], size: u64) -> bool {
        size <= BACKUP_FILE_MAX_BYTES && BackupFile::named(name).is_some()
    }

    /// Hears a file that was just read, and was then as `captured` tells.
    pub fn of(name: &[u8], fd: BorrowedFd, captured: &Captured) -> Option<Box<BackupTold>> {
        let file = BackupFile::named(name).filter(|_| captured.size <= BACKUP_FILE_MAX_BYTES)?;
        let facts = match read_again(fd, captured) {
            Some(bytes) => file.read(&bytes),
            None => Err("it changed while it was read"),
        };
        Some(Box::new(BackupTold { file, facts }))
    }
}

/// All bytes of a file that is as it was.
fn read_again(fd: BorrowedFd, captured: &Captured) -> Option<Vec<u8>> {
    // One more tells that it grew.
    let mut bytes = vec![0; usize::try_from(captured.size).ok()? + 1];
    let length = read_full_at(fd, &mut bytes, 0).ok()?;
    bytes.truncate(length);
    let is_same = stat_fd(fd.as_fd()).is_ok_and(|now| now.changed == captured.changed);
    (is_same && length as u64 == captured.size).then_some(bytes)
}

/// What was told, by directories.
#[derive(Default)]
pub(super) struct Backups {
    directories: BTreeMap<Vec<u8>, Vec<(Vec<u8>, BackupTold)>>,
    below: usize,
    unheard: u64,
}

impl Backups {
    /// Takes what a file of a directory tells.
    pub fn note(&mut self, directory: &[u8], name: &[u8], told: BackupTold) {
        let heard = match directory {
            b"" => self.directories.get(directory).map_or(0, Vec::len),
            _ => self.below,
        };
        if heard == FILES_MAX {
            self.unheard += 1;
            return;
        }
        self.below += usize::from(!directory.is_empty());
        self.directories.entry(directory.to_vec()).or_default().push((name.to_vec(), told));
    }

    /// The facts of a snapshot: those of the ingested directory by their names alone, others behind their directories.
    pub fn facts(self, monitor: &dyn Monitor) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let (mut room, mut is_full) = (FACTS_MAX_BYTES, false);
        for (directory, files) in self.directories {
            let prefix = match &directory[..] {
                b"" => String::new(),
                path => format!("{}/", String::from_utf8_lossy(path)),
            };
            for (name, value) in facts_of(files, &prefix, monitor) {
                let name = prefix.clone() + &name;
                match room.checked_sub(name.len() + value.len()) {
                    Some(left) => room = left,
                    None => {
                        is_full = true;
                        continue;
                    }
                }
                all.insert(name, value);
            }
        }
        if self.unheard > 0 || is_full {
            monitor.note("more files tell of copies of servers than a snapshot has room for; the rest are files only");
        }
        all
    }
}

/// What the files of one directory tell together. Of the server that was copied rather than of its primary, and of files of
/// one kind, the first.
fn facts_of(mut files: Vec<(Vec<u8>, BackupTold)>, prefix: &str, monitor: &dyn Monitor) -> BTreeMap<String, String> {
    files.sort_by_key(|(_, told)| told.file);
    let mut facts = BTreeMap::new();
    for (name, told) in files {
        let name = String::from_utf8_lossy(&name).into_owned();
        match told.facts {
            Ok(BackupFacts { coordinates, others }) => {
                let all = coordinate_facts(coordinates, &name, facts.contains_key(COORDINATES_OF)).into_iter();
                for (fact, value) in all.chain(others.into_iter().map(|(fact, value)| (fact.to_string(), value))) {
                    facts.entry(fact).or_insert(value);
                }
            }
            Err(reason) => {
                monitor.note(&format!("\"{prefix}{name}\" tells nothing of a server's log: {reason}"));
                facts.entry("coordinates_problem".to_string()).or_insert(format!("{name}: {reason}"));
            }
        }
    }
    facts
}

const COORDINATES_OF: &str = "coordinates_of";

/// Coordinates as facts; those of a primary have names of their own where the copied server's are known.
fn coordinate_facts(told: Coordinates, file: &str, known: bool) -> Vec<(String, String)> {
    let Some(of) = told.of else { return Vec::new() };
    let places =
        [("binlog_file", told.file), ("binlog_position", told.position.map(|at| at.to_string())), ("gtid", told.gtid)];
    let places = places.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match (of, known) {
        (CoordinatesOf::Primary, true) => places.map(|(name, value)| (format!("primary_{name}"), value)).collect(),
        _ => {
            let whose = [(COORDINATES_OF, of.name().to_string()), ("coordinates_from", file.to_string())];
            places.chain(whose).map(|(name, value)| (name.to_string(), value)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Recorder;

    fn told(files: &[(&str, &str, &str)]) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut backups, monitor) = (Backups::default(), Recorder::default());
        for (directory, name, text) in files {
            let file = BackupFile::named(name.as_bytes()).unwrap();
            let facts = file.read(text.as_bytes());
            backups.note(directory.as_bytes(), name.as_bytes(), BackupTold { file, facts });
        }
        let facts = backups.facts(&monitor);
        (facts, monitor.notes.into_inner().unwrap())
    }

    const MASTER_INFO: &str = "33\nfar.000003\n1234\ndb.example\nrepl\nsecret\n3306\n60\n";

    #[test]
    fn the_copied_server_comes_before_its_primary() {
        let (facts, notes) =
            told(&[("", "master.info", MASTER_INFO), ("", "xtrabackup_binlog_info", "own.000001\t4\t0-1-5\n")]);
        let expected = [
            ("binlog_file", "own.000001"),
            ("binlog_position", "4"),
            ("coordinates_from", "xtrabackup_binlog_info"),
            ("coordinates_of", "server"),
            ("gtid", "0-1-5"),
            ("primary_binlog_file", "far.000003"),
            ("primary_binlog_position", "1234"),
            ("primary_host", "db.example"),
            ("primary_port", "3306"),
        ];
        assert_eq!(facts, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
        assert_eq!(notes, [""; 0]);
        let (facts, _) =
            told(&[("night", "master.info", MASTER_INFO), ("night", "relay-log.info", "5\nr\n1\nfar.000002\n9\n")]);
        assert_eq!(facts["night/binlog_file"], "far.000002", "what was applied, not what was fetched");
        assert_eq!(facts["night/coordinates_of"], "primary");
        assert_eq!(facts["night/coordinates_from"], "relay-log.info");
    }

    #[test]
    fn no_tree_makes_facts_without_end() {
        let long = format!("own.000001\t4\t{}", "x".repeat(2000));
        let names: Vec<String> = (0..1000).map(|at| format!("{at:03}")).collect();
        let mut files: Vec<(&str, &str, &str)> =
            names.iter().map(|name| (name.as_str(), "xtrabackup_binlog_info", long.as_str())).collect();
        files.push(("", "backup_label", "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"));
        let (facts, notes) = told(&files);
        assert_eq!(facts["wal_position"], "0/2000028");
        let bytes: usize = facts.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= FACTS_MAX_BYTES && facts.len() < FILES_MAX * 6, "{bytes} bytes");
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}
