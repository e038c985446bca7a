//! Where an ingest's bytes come from: a command whose exit status counts, or a reader that nobody watches.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::SyncSender;

use self::command::{LOOK_INTERVAL_AT_END, RunningCommand, has_bytes};
use self::passwords::{without_passwords, words_without_passwords};
use self::pipeline::hides_failures;
use self::wrapped::Wrapped;
use crate::compressed::{MAGIC_BYTES, UnwrapLimit, Unwrapper, Wrapping};
use crate::error::{Error, Result};
use crate::ingest::pieces_ahead::{AHEAD_MIN_BYTES, Piece, PiecesAhead, read_ahead};
use crate::progress::Counters;
use crate::repository::content_writer::ContentWriter;
use crate::repository::cut_marks::CutMarks;
use crate::repository::session::WriteSession;
use crate::time::Clock;

mod command;
mod passwords;
mod pipeline;
mod terminal;
mod wrapped;

/// Bytes that are read at once where they do not go to one writer.
const PIECE_BYTES: usize = 256 << 10;

/// So many bytes are looked at before all else; a block of zstd, of which nothing comes out before its end, is shorter.
const FIRST_BYTES_MAX: usize = 256 << 10;

/// Where a stream comes from.
pub enum StreamInput {
    /// A program and its arguments.
    Command(Vec<OsString>),
    /// A program that is made ready to run: with its arguments, its environment, its directory.
    Program(Box<Command>),
    /// A line for a shell; a pipeline fails when any part of it fails, where the machine has bash.
    Shell(String),
    /// A file.
    File(PathBuf),
    /// Standard input, whose producer nobody watches.
    Standard(File),
    /// Bytes of such a producer.
    Reader(Box<dyn Read + Send>),
}

impl StreamInput {
    /// How people would write it, without its passwords: it is kept in the snapshot for everyone who may read that.
    pub(super) fn describe(&self) -> String {
        match self {
            StreamInput::Command(words) => {
                words_without_passwords(words.iter().map(|word| word.to_string_lossy().into_owned()))
            }
            StreamInput::Program(command) => {
                let words = std::iter::once(command.get_program()).chain(command.get_args());
                words_without_passwords(words.map(|word| word.to_string_lossy().into_owned()))
            }
            StreamInput::Shell(line) => without_passwords(line),
            StreamInput::File(path) => path.to_string_lossy().into_owned(),
            StreamInput::Standard(_) | StreamInput::Reader(_) => "standard input".into(),
        }
    }

    /// Whether it tells by itself that something failed: a command by its exit status.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self, StreamInput::Standard(_) | StreamInput::Reader(_))
    }

    /// The name of a file.
    pub(super) fn file_name(&self) -> Option<&[u8]> {
        match self {
            StreamInput::File(path) => path.file_name().map(OsStrExt::as_bytes),
            _ => None,
        }
    }

    /// Starts it.
    pub(super) fn open(self) -> Result<OpenInput> {
        let hides_failures = matches!(&self, StreamInput::Command(words) if hides_failures(words));
        let opened = self.open_source()?;
        Ok(OpenInput { hides_failures, ..opened })
    }

    fn open_source(self) -> Result<OpenInput> {
        let described = self.describe();
        let command = match self {
            StreamInput::Standard(file) => return Ok(OpenInput::new(described, Source::Standard(file))),
            StreamInput::Reader(reader) => return Ok(OpenInput::new(described, Source::Reader(reader))),
            StreamInput::File(path) => {
                let file = File::open(&path).map_err(Error::io("open", &path))?;
                return Ok(OpenInput::new(described, Source::File(file)));
            }
            StreamInput::Command(words) => {
                let mut words = words.into_iter();
                let empty = || command_failed(&described, "is empty");
                let mut command = Command::new(words.next().ok_or_else(empty)?);
                command.args(words);
                command
            }
            StreamInput::Program(command) => *command,
            StreamInput::Shell(line) => {
                let mut command = shell();
                command.arg("-c").arg(line);
                command
            }
        };
        let failed = |cause| command_failed(&described, format!("cannot be started: {cause}"));
        let running = RunningCommand::start(command).map_err(failed)?;
        Ok(OpenInput::new(described, Source::Command(running)))
    }
}

/// The shell for command lines. One that lets a pipeline fail when any part of it fails, where there is one: a dump that
/// broke off must not look whole because the program that compresses it ended well.
fn shell() -> Command {
    if Path::new(PIPEFAIL_SHELL).exists() {
        let mut shell = Command::new(PIPEFAIL_SHELL);
        shell.args(["-o", "pipefail"]);
        return shell;
    }
    Command::new("/bin/sh")
}

const PIPEFAIL_SHELL: &str = "/bin/bash";

/// An input that is being read.
pub(super) struct OpenInput {
    described: String,
    source: Source,
    /// Its command may end well though what prints failed.
    hides_failures: bool,
    /// Bytes that were looked at, and are still to be read.
    first: Vec<u8>,
    wrapped: Option<Wrapped>,
    /// Bytes of what is in it that were looked at.
    looked_at: Vec<u8>,
}

enum Source {
    Command(RunningCommand),
    File(File),
    Standard(File),
    Reader(Box<dyn Read + Send>),
}

impl Source {
    /// Reads some bytes. A wait for a producer is interrupted now and then.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Command(running) => running.read(room),
            Source::File(file) => file.read(room),
            Source::Standard(file) => match has_bytes(file)? {
                true => file.read(room),
                false => Err(io::ErrorKind::Interrupted.into()),
            },
            Source::Reader(reader) => reader.read(room),
        }
    }
}

impl OpenInput {
    fn new(described: String, source: Source) -> OpenInput {
        OpenInput { described, source, hides_failures: false, first: Vec::new(), wrapped: None, looked_at: Vec::new() }
    }

    /// What it is called.
    pub fn described(&self) -> &str {
        &self.described
    }

    /// Looks at the first bytes: how they are compressed, if they are. To be asked once, before all else.
    pub fn wrapping(&mut self, is_given_up: &dyn Fn() -> bool) -> Result<Option<Wrapping>> {
        let mut first = [0; MAGIC_BYTES];
        let mut length = 0;
        while length < MAGIC_BYTES {
            match self.read_as_it_is(&mut first[length..], is_given_up)? {
                0 => break,
                got => length += got,
            }
        }
        self.first = first[..length].to_vec();
        Ok(Wrapping::of(&self.first))
    }

    /// The first byte of what is in it, if that is found among the first [`FIRST_BYTES_MAX`] that come. To be asked behind
    /// [`OpenInput::wrapping`].
    pub fn first_byte(&mut self, wrapping: Option<Wrapping>, is_given_up: &dyn Fn() -> bool) -> Result<Option<u8>> {
        let Some(wrapping) = wrapping else { return Ok(self.first.first().copied()) };
        let mut unwrapper = Unwrapper::new(wrapping, UnwrapLimit::NoBomb);
        let (mut taken, mut byte) = (0, [0]);
        while self.first.len() < FIRST_BYTES_MAX {
            let Ok(step) = unwrapper.step(&self.first[taken..], &mut byte) else { return Ok(None) };
            taken += step.taken;
            if step.given > 0 {
                return Ok(Some(byte[0]));
            }
            let mut room = [0; PIECE_BYTES / 64];
            match self.read_source(&mut room, is_given_up)? {
                0 => return Ok(None),
                got => self.first.extend_from_slice(&room[..got]),
            }
        }
        Ok(None)
    }

    /// From now on gives what is in it. Nothing may have been read before. `listener` gets the
    /// bytes as they come.
    pub fn unwrap_as(&mut self, wrapping: Wrapping, limit: UnwrapLimit, listener: Option<SyncSender<Vec<u8>>>) {
        self.wrapped = Some(Wrapped::new(wrapping, limit, listener));
    }

    /// Looks at the first bytes of what is in it. Nothing may have been read before.
    pub fn beginning(&mut self, count: usize, is_given_up: &dyn Fn() -> bool) -> Result<Vec<u8>> {
        let mut first = vec![0; count];
        let mut length = 0;
        while length < count {
            match self.read(&mut first[length..], is_given_up)? {
                0 => break,
                got => length += got,
            }
        }
        first.truncate(length);
        self.looked_at.clone_from(&first);
        Ok(first)
    }

    /// Whether its command may end well though what prints failed.
    pub fn hides_failures(&self) -> bool {
        self.hides_failures
    }

    /// Where compressed data ended before its end, if it did. Known once all was read.
    pub fn cut_at(&self) -> Option<u64> {
        self.wrapped.as_ref().and_then(Wrapped::cut_at)
    }

    /// Fails because of the input, with this reason.
    pub fn failed(&self, reason: impl Into<String>) -> Error {
        let origin = match &self.source {
            Source::Command(_) => return command_failed(&self.described, reason),
            Source::File(_) => format!("file \"{}\"", self.described),
            Source::Standard(_) | Source::Reader(_) => self.described.clone(),
        };
        Error::Command { origin, reason: reason.into() }
    }

    /// Fails because nothing came, and its command ended so.
    pub fn gave_nothing(&self, exit: Option<ExitStatus>) -> Error {
        match (&self.source, exit, self.cut_at()) {
            (_, Some(exit), _) if !exit.success() => self.failed(format!("failed with {exit}")),
            (_, _, Some(at)) => self.failed(format!("is cut off: nothing can be read of its {at} compressed bytes")),
            (Source::File(_), ..) => self.failed("is empty"),
            _ => self.failed("produced nothing"),
        }
    }

    /// Stores all that comes. `see` looks at each piece before it is taken, and may tell where else it is to be cut.
    pub fn store(
        &mut self,
        writer: &mut ContentWriter<WriteSession>,
        session: &WriteSession,
        counters: &Counters,
        clock: &Clock,
        is_given_up: &dyn Fn() -> bool,
        see: &mut dyn FnMut(&[u8], &mut CutMarks),
    ) -> Result<()> {
        let note = |got: usize| {
            Counters::add(&counters.bytes_read, got as u64);
            Counters::add(&counters.bytes, got as u64);
            session.publish_if_due(clock())
        };
        loop {
            if let Some((mut file, range)) = self.long_rest() {
                let (headroom_bytes, mut at) = (writer.headroom_bytes(), range.start);
                let failed = |cause| self.failed(format!("cannot be read: {cause}"));
                let work = |pieces: &PiecesAhead| {
                    while let Some(Piece { buffer, range }) = pieces.next().map_err(failed)? {
                        refuse_given_up(is_given_up)?;
                        let got = range.len();
                        see(&buffer[range.clone()], writer.marks());
                        pieces.give_back(writer.take_buffer(buffer, range)?);
                        at += got as u64;
                        note(got)?;
                    }
                    Ok(())
                };
                if let Some(taken) = read_ahead(file.as_fd(), range, headroom_bytes, work) {
                    taken?;
                    // As if it had been read from there: others may have it open too.
                    file.seek(SeekFrom::Start(at)).map_err(failed)?;
                    return Ok(());
                }
            }
            let (room, marks) = writer.room_and_marks();
            let got = self.read(room, is_given_up)?;
            if got == 0 {
                return Ok(());
            }
            see(&room[..got], marks);
            writer.advance(got)?;
            note(got)?;
        }
    }

    /// The file, and where in it what is unread lies, if that is long and to be taken as it is.
    fn long_rest(&self) -> Option<(&File, Range<u64>)> {
        let (Source::File(file) | Source::Standard(file)) = &self.source else { return None };
        let is_plain = self.wrapped.is_none() && self.first.is_empty() && self.looked_at.is_empty();
        if !is_plain {
            return None;
        }
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut position = file;
        let at = position.stream_position().ok()?;
        (metadata.len().saturating_sub(at) >= AHEAD_MIN_BYTES).then_some((file, at..u64::MAX))
    }

    /// Gives all that comes to `take`, piece by piece.
    pub fn each_piece(
        &mut self,
        session: &WriteSession,
        counters: &Counters,
        clock: &Clock,
        is_given_up: &dyn Fn() -> bool,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut room = vec![0; PIECE_BYTES];
        loop {
            let got = self.read(&mut room, is_given_up)?;
            if got == 0 {
                return Ok(());
            }
            take(&room[..got])?;
            Counters::add(&counters.bytes_read, got as u64);
            Counters::add(&counters.bytes, got as u64);
            session.publish_if_due(clock())?;
        }
    }

    /// Reads some bytes; 0 are the end.
    pub fn read(&mut self, room: &mut [u8], is_given_up: &dyn Fn() -> bool) -> Result<usize> {
        if !self.looked_at.is_empty() {
            return Ok(take_first(&mut self.looked_at, room));
        }
        let Some(mut wrapped) = self.wrapped.take() else { return self.read_as_it_is(room, is_given_up) };
        let given = loop {
            let given = wrapped.give(room).map_err(|error| self.failed(format!("cannot be unwrapped: {error}")))?;
            if given > 0 || wrapped.has_ended() {
                break given;
            }
            let got = self.read_as_it_is(wrapped.room(), is_given_up)?;
            wrapped.advance(got);
        };
        self.wrapped = Some(wrapped);
        Ok(given)
    }

    /// The same of bytes as they come.
    fn read_as_it_is(&mut self, room: &mut [u8], is_given_up: &dyn Fn() -> bool) -> Result<usize> {
        if !self.first.is_empty() {
            return Ok(take_first(&mut self.first, room));
        }
        self.read_source(room, is_given_up)
    }

    /// The same of bytes that nobody has looked at. It is looked now and then whether anybody still wants them.
    fn read_source(&mut self, room: &mut [u8], is_given_up: &dyn Fn() -> bool) -> Result<usize> {
        loop {
            refuse_given_up(is_given_up)?;
            match self.source.read(room) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                got => return got.map_err(|cause| self.failed(format!("cannot be read: {cause}"))),
            }
        }
    }

    /// Waits for the end of a command, and tells how it ended. `None` where nobody knows.
    pub fn ended(&mut self, is_given_up: &dyn Fn() -> bool) -> Result<Option<ExitStatus>> {
        let Source::Command(running) = &mut self.source else { return Ok(None) };
        loop {
            match running.ended() {
                Ok(Some(status)) => return Ok(Some(status)),
                Ok(None) if is_given_up() => return Err(Error::Interrupted),
                Ok(None) => std::thread::sleep(LOOK_INTERVAL_AT_END),
                Err(cause) => return Err(self.failed(format!("cannot be waited for: {cause}"))),
            }
        }
    }
}

fn refuse_given_up(is_given_up: &dyn Fn() -> bool) -> Result<()> {
    if is_given_up() { Err(Error::Interrupted) } else { Ok(()) }
}

fn command_failed(described: &str, reason: impl Into<String>) -> Error {
    Error::Command { origin: format!("command \"{described}\""), reason: reason.into() }
}

/// Moves the first bytes into `room`.
fn take_first(bytes: &mut Vec<u8>, room: &mut [u8]) -> usize {
    let count = room.len().min(bytes.len());
    room[..count].copy_from_slice(&bytes[..count]);
    bytes.drain(..count);
    count
}
