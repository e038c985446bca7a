//! What is kept of the files of a directory that are no ranges of the dump: compressed ones, and those without statements.

use std::io::Read;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::compressed::Wrapping;
use crate::dump::layout::DUMP_FILE;
use crate::error::{Error, Result};
use crate::ingest::dump::{KeptForm, Original, OriginalPolicy, PIECES_WAITING_MAX, TextReading};
use crate::ingest::mysql::mydumper::Found;
use crate::ingest::mysql::mydumper::text::JoinedFile;
use crate::store::EncodeQueue;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Keeps them, with threads that compress.
pub fn keep_originals(
    texts: &TextReading,
    found: &Found,
    files: &[JoinedFile],
    threads: usize,
) -> Result<Vec<Original>> {
    let wrapped = files.iter().filter_map(|file| Some((&file.name, how_to_keep(texts.rules.original, file)?)));
    let all = found.others.iter().map(|name| (name, (KeptForm::File, 0))).chain(wrapped);
    std::thread::scope(|scope| {
        let queue = EncodeQueue::start(scope, texts.reading.session.chunks(), threads);
        all.map(|(name, kept)| keep(texts, found, name, kept, queue.clone())).collect()
    })
}

/// The form of one that is compressed, and where what is in it begins in the dump. No recipe is of one between whose statements
/// something was put.
fn how_to_keep(policy: OriginalPolicy, file: &JoinedFile) -> Option<(KeptForm, u64)> {
    let form = policy.form(Wrapping::split_name(&file.name).1?)?;
    Some(match &file.ranges[..] {
        [range] => (form, range.start),
        _ => (KeptForm::File, 0),
    })
}

fn keep(
    texts: &TextReading,
    found: &Found,
    name: &[u8],
    (form, start): (KeptForm, u64),
    queue: EncodeQueue,
) -> Result<Original> {
    let keeper = texts.reading.keeper(name.to_vec());
    std::thread::scope(|scope| {
        let (sender, pieces) = sync_channel(PIECES_WAITING_MAX);
        let reading = scope.spawn(move || read(found, name, sender));
        let original = keeper.keep(form, pieces, queue, DUMP_FILE.as_bytes(), start);
        reading.join().unwrap_or(Err(Error::Interrupted))?;
        original
    })
}

fn read(found: &Found, name: &[u8], sender: SyncSender<Vec<u8>>) -> Result<()> {
    let path = found.path_of(name);
    let mut file = std::fs::File::open(&path).map_err(Error::io("open", &path))?;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = file.read(&mut piece).map_err(Error::io("read", &path))?;
        piece.truncate(count);
        // Who no longer listens has failed, and tells so itself.
        if count == 0 || sender.send(piece).is_err() {
            return Ok(());
        }
    }
}
