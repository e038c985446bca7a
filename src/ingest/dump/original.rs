//! Original: what is kept of a dump that came compressed, besides the dump. A recipe is made while the compressed bytes come, and
//! proven at once, so that they need not be kept until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::compressed::recipe::{RecipeMaker, RecipeReader, StreamForm};
use crate::compressed::{UnwrapLimit, Wrapping};
use crate::dump::layout::{ORIGINAL_DIRECTORY, RECIPE_SUFFIX};
use crate::dump::unpack::Output;
use crate::error::{Error, Result};
use crate::ingest::input::OpenInput;
use crate::ingest::older_content;
use crate::progress::Monitor;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_reader::ContentReader;
use crate::repository::content_writer::ContentWriter;
use crate::repository::node::Node;
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::EncodeQueue;

/// Pieces of a compressed dump that wait to be looked at.
pub const PIECES_WAITING_MAX: usize = 16;

/// Bytes of an archive that are given on at a time.
const ARCHIVE_PIECE_BYTES: usize = 64 << 10;

/// A recipe that holds more than this part of its file is no gain over the file.
const MISSED_MAX: u64 = 2;

/// Takes bytes of what is kept.
type Write<'w> = dyn FnMut(&[u8]) -> Result<()> + 'w;

/// What is kept of a dump that came compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginalPolicy {
    /// What makes it again; where nothing does, the file itself.
    #[default]
    Rebuild,
    /// The file itself.
    Keep,
    /// Nothing but what was in it.
    Drop,
}

/// In which form a dump that came compressed is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptForm {
    /// What makes a file again that is compressed so.
    Recipe(Wrapping),
    File,
}

impl OriginalPolicy {
    /// The form for a dump that is compressed so; `None` where it is only unwrapped.
    pub fn form(self, wrapping: Wrapping) -> Option<KeptForm> {
        match (self, wrapping) {
            (OriginalPolicy::Drop, _) => None,
            (OriginalPolicy::Keep, _) => Some(KeptForm::File),
            (OriginalPolicy::Rebuild, Wrapping::Gzip | Wrapping::Zstd) => Some(KeptForm::Recipe(wrapping)),
            (OriginalPolicy::Rebuild, Wrapping::Bzip2 | Wrapping::Xz | Wrapping::Lz4) => None,
        }
    }
}

/// What is kept of one dump: a file of the snapshot.
pub struct Original {
    pub name: Vec<u8>,
    /// The name of the file that it is, or that it makes.
    pub file: Vec<u8>,
    pub content: Content,
    /// A recipe that is of little use: the file itself is to take its place.
    pub is_poor: bool,
}

/// A compressed file that is to be kept, while what is in it is read.
pub struct WrappedOriginal<'a> {
    pub form: KeptForm,
    /// Its bytes as they come.
    pub pieces: Receiver<Vec<u8>>,
    /// The file of the snapshot that has what is in it, from `text_at` on.
    pub text: &'a [u8],
    pub text_at: u64,
}

/// What comes of an archive, in its order.
pub enum ArchivePiece {
    /// What text comes of it, and of all before, ends there in the file of the snapshot.
    Bytes { bytes: Vec<u8>, text_end: u64 },
    /// A stream begins: see [`Output::Stream`].
    Stream {
        form: StreamForm,
        length_bytes: usize,
        /// Where the text of it begins, in the file of the snapshot.
        text_at: u64,
    },
}

/// Tells whoever makes the recipe of an archive what comes of it.
pub struct ArchiveTeller {
    listener: SyncSender<ArchivePiece>,
    bytes: Vec<u8>,
    text_end: u64,
}

impl ArchiveTeller {
    /// One, and what is told.
    pub fn new() -> (ArchiveTeller, Receiver<ArchivePiece>) {
        let (listener, pieces) = sync_channel(PIECES_WAITING_MAX);
        (ArchiveTeller { listener, bytes: Vec::new(), text_end: 0 }, pieces)
    }

    /// Tells what came, of which text goes there in the file of the snapshot. Whether anybody listens they tell themselves.
    pub fn note(&mut self, output: Output, text_at: u64) {
        match output {
            Output::Text(bytes) => self.text_end = text_at + bytes.len() as u64,
            Output::Frame(bytes) | Output::Shared(bytes) => {
                // All text of what came before was told.
                if self.bytes.len() >= ARCHIVE_PIECE_BYTES {
                    self.give();
                }
                self.bytes.extend_from_slice(bytes);
            }
            Output::Stream { form, length_bytes } => {
                self.give();
                let _ = self.listener.send(ArchivePiece::Stream { form, length_bytes, text_at });
            }
        }
    }

    fn give(&mut self) {
        let (bytes, text_end) = (std::mem::take(&mut self.bytes), self.text_end);
        let _ = self.listener.send(ArchivePiece::Bytes { bytes, text_end });
    }

    /// Nothing follows.
    pub fn finish(mut self) {
        self.give();
    }
}

/// Unwraps an input from now on, and gives what comes of it as it is. Whoever wants that takes it meanwhile: reading waits for it.
pub fn unwrap_and_listen(input: &mut OpenInput, (wrapping, limit): (Wrapping, UnwrapLimit)) -> Receiver<Vec<u8>> {
    let (listener, pieces) = sync_channel(PIECES_WAITING_MAX);
    input.unwrap_as(wrapping, limit, Some(listener));
    pieces
}

/// Keeps one.
pub struct OriginalKeeper<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    /// The root of the snapshot before.
    pub before: Option<&'a Node>,
    pub monitor: &'a dyn Monitor,
    /// The file's name.
    pub name: Vec<u8>,
    /// What was in it could not be stored: nobody wants it any more.
    pub has_failed: AtomicBool,
}

impl OriginalKeeper<'_, '_> {
    /// Has `store` store what is in a compressed file, and keeps that meanwhile.
    pub fn beside<T>(
        &self,
        wrapped: WrappedOriginal,
        queue: EncodeQueue,
        store: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Original)> {
        let WrappedOriginal { form, pieces, text, text_at } = wrapped;
        self.meanwhile(|| self.keep(form, pieces, queue, text, text_at), store)
    }

    /// Has `store` store the text of an archive, from `start` on in the file `text`, and makes the recipe of the archive meanwhile.
    pub fn beside_archive<T>(
        &self,
        pieces: Receiver<ArchivePiece>,
        queue: EncodeQueue,
        (text, start): (&[u8], u64),
        store: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Original)> {
        let make = || {
            self.make_recipe(queue, |write| {
                let mut recipe = Vec::new();
                let mut maker = RecipeMaker::of_archive(text, start, &mut recipe);
                for piece in pieces {
                    match piece {
                        ArchivePiece::Stream { form, length_bytes, text_at } => {
                            maker.begin_stream(form, length_bytes, text_at);
                        }
                        ArchivePiece::Bytes { bytes, text_end } => {
                            maker.text_reaches(text_end);
                            self.push(&mut maker, &bytes, &mut recipe, write)?;
                        }
                    }
                }
                self.finish(maker, recipe, write)
            })
        };
        self.meanwhile(make, store)
    }

    fn meanwhile<T>(
        &self,
        keep: impl FnOnce() -> Result<Original> + Send,
        store: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Original)> {
        std::thread::scope(|scope| {
            let keeping = scope.spawn(keep);
            let stored = store();
            self.has_failed.store(stored.is_err(), Ordering::Relaxed);
            let original = keeping.join().unwrap_or(Err(Error::Interrupted));
            Ok((stored?, original?))
        })
    }

    /// Keeps what comes, which is the file `text` from `start` on.
    pub fn keep(
        &self,
        form: KeptForm,
        pieces: Receiver<Vec<u8>>,
        queue: EncodeQueue,
        text: &[u8],
        start: u64,
    ) -> Result<Original> {
        match form {
            KeptForm::Recipe(wrapping) => {
                self.make_recipe(queue, |write| self.write_recipe(wrapping, pieces, (text, start), write))
            }
            KeptForm::File => self.keep_file(pieces, queue),
        }
    }

    fn is_given_up(&self) -> bool {
        self.monitor.is_cancelled() || self.has_failed.load(Ordering::Relaxed)
    }

    fn keep_file(&self, pieces: Receiver<Vec<u8>>, queue: EncodeQueue) -> Result<Original> {
        let content = self.store(&self.name, Some(queue), |write| pieces.iter().try_for_each(|piece| write(&piece)))?;
        Ok(Original { name: self.name.clone(), file: self.name.clone(), content, is_poor: false })
    }

    fn write_recipe(
        &self,
        wrapping: Wrapping,
        pieces: Receiver<Vec<u8>>,
        (text, start): (&[u8], u64),
        write: &mut Write,
    ) -> Result<bool> {
        let mut recipe = Vec::new();
        let mut maker = match wrapping {
            Wrapping::Zstd => RecipeMaker::of_zstd(text, start, &mut recipe),
            _ => RecipeMaker::new(text, start, &mut recipe),
        };
        for piece in pieces {
            self.push(&mut maker, &piece, &mut recipe, write)?;
        }
        self.finish(maker, recipe, write)
    }

    /// Stores what `make` writes, which tells whether it is of little use.
    fn make_recipe(&self, queue: EncodeQueue, make: impl FnOnce(&mut Write) -> Result<bool>) -> Result<Original> {
        let name = [&self.name, RECIPE_SUFFIX.as_bytes()].concat();
        let mut is_poor = false;
        let content = self.store(&name, Some(queue), |write| {
            is_poor = make(write)?;
            Ok(())
        })?;
        Ok(Original { name, file: self.name.clone(), content, is_poor })
    }

    /// Adds bytes of a file to its recipe, of which it writes what is there.
    fn push(&self, maker: &mut RecipeMaker, bytes: &[u8], recipe: &mut Vec<u8>, write: &mut Write) -> Result<()> {
        let is_given_up = || self.is_given_up();
        maker.push(bytes, &is_given_up, recipe);
        if is_given_up() {
            return Err(Error::Interrupted);
        }
        write(recipe)?;
        recipe.clear();
        Ok(())
    }

    /// Ends a recipe, and tells whether it is of little use.
    fn finish(&self, maker: RecipeMaker, mut recipe: Vec<u8>, write: &mut Write) -> Result<bool> {
        let length = maker.length();
        let missed = maker.finish(&|| self.is_given_up(), &mut recipe);
        write(&recipe)?;
        Ok(missed > length / MISSED_MAX)
    }

    /// Puts the file itself in the place of a recipe that is of little use. All must have been published.
    pub fn settle(&self, original: Original, text: &Content) -> Result<Original> {
        if !original.is_poor {
            return Ok(original);
        }
        let contents = ContentReader::new(self.session.chunks().store());
        let content = self.store(&self.name, None, |write| {
            let mut recipe = contents.pieces(&original.content, 0);
            let reader = RecipeReader::open(String::from_utf8_lossy(&original.name).into_owned(), &mut recipe)?;
            let mut text = contents.pieces(text, reader.start);
            reader.rebuild(&mut text, write)
        })?;
        Ok(Original { name: self.name.clone(), file: self.name.clone(), content, is_poor: false })
    }

    /// Stores what `make` writes, beside what the file of this name held before.
    fn store(
        &self,
        name: &[u8],
        queue: Option<EncodeQueue>,
        make: impl FnOnce(&mut Write) -> Result<()>,
    ) -> Result<Content> {
        let chunks = self.session.chunks().store();
        let path = [ORIGINAL_DIRECTORY.as_bytes(), b"/", name].concat();
        let previous = older_content(chunks, self.before, &path);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut lane = self.session.chunks().data_lane(queue);
        let mut writer = ContentWriter::new(&mut lane, self.session, ChunkClass::Small, previous);
        make(&mut |bytes| writer.write(bytes))?;
        let content = writer.finish()?;
        lane.release()?;
        Ok(content)
    }
}
