//! Names of files that have several, on a live filesystem: which of them a walk met first.

use std::collections::HashMap;

use super::Identity;
use crate::codec::{DecodeError, Decoder, Encoder};

/// First names of files with several, each kept until as many names were met as the file has; where some lie outside of
/// what is walked, to the end. So it is made small: about 65 bytes a file (`docs/design.md`).
#[derive(Default)]
pub struct FirstNames {
    /// By device, then by inode.
    files: HashMap<u64, HashMap<u64, Met>>,
    paths: PathLog,
}

/// A file of which not all names were met.
struct Met {
    /// The first, by its number in the log.
    first: u32,
    names: u32,
}

impl FirstNames {
    /// The first name of `file`, which has `link_count` names, one of them at `path`. Names must be given in the order of
    /// the walk.
    pub fn of(&mut self, file: Identity, link_count: u32, path: &[u8]) -> Vec<u8> {
        let (device, inode) = file;
        let on_device = self.files.entry(device).or_default();
        let Some(met) = on_device.get_mut(&inode) else {
            // With four billion such files, memory has ended long before.
            if link_count > 1
                && let Some(first) = self.paths.push(path)
            {
                on_device.insert(inode, Met { first, names: 1 });
            }
            return path.to_vec();
        };
        met.names += 1;
        let first = self.paths.get(met.first);
        if met.names >= link_count {
            on_device.remove(&inode);
        }
        if self.files.values().all(HashMap::is_empty) {
            self.paths = PathLog::default();
        }
        first
    }
}

/// Every so many paths, one is written whole.
const WHOLE_EVERY: usize = 16;

/// Paths, each as what distinguishes it from the one before: neighbours in a walk share most of theirs.
#[derive(Default)]
struct PathLog {
    bytes: Encoder,
    /// Where the whole ones begin.
    whole: Vec<usize>,
    count: u32,
    last: Vec<u8>,
}

impl PathLog {
    /// The number by which the path is found again; `None` where numbers have run out.
    fn push(&mut self, path: &[u8]) -> Option<u32> {
        let number = self.count;
        self.count = number.checked_add(1)?;
        if (number as usize).is_multiple_of(WHOLE_EVERY) {
            self.whole.push(self.bytes.bytes.len());
            self.last.clear();
        }
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        self.bytes.varint(shared as u64).bytes(&path[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
        Some(number)
    }

    fn get(&self, number: u32) -> Vec<u8> {
        // It was written here, by the same rules.
        self.read(number as usize).expect("a path that was logged")
    }

    fn read(&self, number: usize) -> Result<Vec<u8>, DecodeError> {
        let mut path = Vec::new();
        let mut decoder = Decoder::new(&self.bytes.bytes[self.whole[number / WHOLE_EVERY]..]);
        for _ in 0..=number % WHOLE_EVERY {
            path.truncate(decoder.varint()? as usize);
            path.extend_from_slice(decoder.bytes()?);
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_told_the_first_one() {
        let mut names = FirstNames::default();
        let path = |number: u64| format!("{}/some/where/file-{number}", number / 100).into_bytes();
        for round in 0..3u32 {
            for number in 0..1000 {
                let own = [path(number), vec![b'0' + round as u8]].concat();
                // Two devices have files of the same number.
                let file = (number % 2, number / 2);
                assert_eq!(names.of(file, 4, &own), [path(number), b"0".to_vec()].concat());
            }
        }
        // The fourth name was the last that was waited for: after it, the number may belong to another file.
        for number in 0..1000 {
            names.of((number % 2, number / 2), 4, b"last");
        }
        assert!(names.files.values().all(HashMap::is_empty) && names.paths.count == 0);
        assert_eq!(names.of((0, 0), 2, b"another"), b"another");
    }

    #[test]
    fn a_million_files_with_names_elsewhere_take_what_the_documents_say() {
        const FILES: usize = 1_000_000;
        let mut names = FirstNames::default();
        for number in 0..FILES as u64 {
            let path = format!("usr/share/package-{:04}/documents/page-{:04}.html", number / 1000, number % 1000);
            names.of((7, 1000 + 13 * number), 2, path.as_bytes());
        }
        // A hash table has an eighth more slots than it fills, and a byte beside each.
        let slot = (size_of::<(u64, Met)>() + 1) * 8 / 7;
        let table: usize = names.files.values().map(|files| files.capacity() * slot).sum();
        let log = names.paths.bytes.bytes.capacity() + names.paths.whole.capacity() * size_of::<usize>();
        assert!((table + log) / FILES <= 65, "{} bytes a file", (table + log) / FILES);
    }

    #[test]
    fn paths_come_back_from_the_log() {
        let mut log = PathLog::default();
        let paths: Vec<Vec<u8>> = (0..5000u64)
            .map(|number| crate::id::hash(&number.to_le_bytes())[..(number % 33) as usize].to_vec())
            .chain((0..5000).map(|number| format!("directory/{}/{number}", number / 70).into_bytes()))
            .collect();
        let numbers: Vec<u32> = paths.iter().map(|path| log.push(path).unwrap()).collect();
        for (number, path) in numbers.iter().zip(&paths).rev() {
            assert_eq!(log.get(*number), *path);
        }
    }
}
