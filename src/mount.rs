//! The edge to the kernel: a [`View`] as a mounted file system. It translates and replies; what is shown is decided in
//! [`crate::view`]. fuser is named in this folder only.
//!
//! - `fuse`: one method per kernel request; `errno`: which number for which error.
//! - `decode_pool`, `read_ahead`: reading off the loops, and ahead of the reader.
//! - `completion`, `row_diffs`: files that are written when they are read.
//! - `push`: small files into the kernel's page cache before they are read.
//! - `requests`: how often the kernel asked.
//! - `attachment`, `mount_table`: the mount itself, made and taken away.
//! - [`daemon`]: going to the background once the mount answers.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use fuser::{Config, INodeNo, Notifier, Session, SessionACL};

use self::completion::Completer;
use self::decode_pool::DecodePool;
use self::fuse::KernelEdge;
use self::push::{PushedFiles, Pusher};
use self::requests::Requests;
use crate::error::{Error, Result};
use crate::view::{Invalidation, View};

mod attachment;
mod attributes;
mod completion;
pub mod daemon;
mod decode_pool;
mod errno;
mod fuse;
mod mount_table;
mod push;
mod read_ahead;
mod requests;
mod row_diffs;

pub use self::attachment::{FUSE_DEVICE, Unmounted, unmount};
pub use self::row_diffs::RowDiffs;

/// How often the repository is asked for new and forgotten snapshots: they shall be seen within a second.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// How long a stopping mount whose files are still open goes on serving them.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Loops that answer the kernel, and as many threads that decode.
const MIN_LOOPS: usize = 4;
const MAX_LOOPS: usize = 16;

/// The first kernel that may open files by itself: before "fuse: fix readahead reclaim deadlock" (6.19, and 6.18
/// stable) its readahead could wait for this process while this process waited for its memory.
const OPENS_BY_KERNEL_SINCE: (u32, u32, u32) = (6, 18, 20);

/// Whether a listing brings every entry's attributes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReaddirPlus {
    /// Always: backup tools, `ls -l`, `du` and `find -size` need them.
    #[default]
    Always,
    /// The kernel guesses: names alone are listed four times as fast, attributes seven times as slowly.
    Auto,
}

/// Where and how to mount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    pub mountpoint: PathBuf,
    /// What the table of mounts shall name as mounted: the repository.
    pub source: OsString,
    /// The repository's directory, if it has one; a mount may not cover it or lie inside it.
    pub repository_directory: Option<PathBuf>,
    /// Let other users in, with access checked by the stored owners, modes and ACLs.
    pub allow_other: bool,
    pub readdirplus: ReaddirPlus,
    /// Loops that answer the kernel; `None` chooses by the number of processors.
    pub threads: Option<usize>,
    /// What the kernel reads ahead, in KiB. Takes root to change.
    pub read_ahead_kib: u32,
    /// Bytes prefetched into the cache at a time; 0 turns prefetching and pushing off. Well below the size of the cache.
    pub prefetch_budget_bytes: u64,
}

impl MountOptions {
    /// The usual options for mounting the repository called `source` at `mountpoint`.
    pub fn new(mountpoint: impl Into<PathBuf>, source: impl Into<OsString>) -> MountOptions {
        MountOptions {
            mountpoint: mountpoint.into(),
            source: source.into(),
            repository_directory: None,
            allow_other: false,
            readdirplus: ReaddirPlus::default(),
            threads: None,
            read_ahead_kib: 4096,
            prefetch_budget_bytes: 32 << 20,
        }
    }

    fn loops(&self) -> usize {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or((2 * processors).clamp(MIN_LOOPS, MAX_LOOPS)).clamp(1, MAX_LOOPS)
    }
}

/// Mounts `view`. When this returns, the mount answers.
///
/// # Errors
/// [`Error::Invalid`] where the mount point is not usable: no directory, in use, in or around the repository, or
/// refused by fusermount3. [`Error::Io`] where the kernel refuses.
pub fn mount(view: Arc<View>, options: &MountOptions) -> Result<Mounted> {
    let point = usable_point(options)?;
    let loops = options.loops();
    let pool = DecodePool::start(view.clone(), loops, options.prefetch_budget_bytes)?;
    let pushed = PushedFiles::default();
    let (watch, pusher) = push::watch(&pushed);
    let (completion, completer) = completion::queue(view.clone());
    let edge = KernelEdge {
        view: view.clone(),
        pool,
        completion,
        requests: Requests::default(),
        pushed,
        watch: (options.prefetch_budget_bytes > 0).then_some(watch),
        readdirplus: options.readdirplus,
        opens_by_kernel: kernel_version() >= OPENS_BY_KERNEL_SINCE,
        opens_directories_by_kernel: false,
        // Whoever may mount may read the repository anyway; access matters only where others are let in.
        enforce_acls: options.allow_other,
    };
    let connection = attachment::attach(&point, &options.source, options.allow_other)?;
    let attached = Attached::find(point)?;
    let mut config = Config::default();
    config.n_threads = Some(loops);
    config.clone_fd = attachment::can_clone(&connection);
    // The kernel lets only the mounting user in unless told otherwise; a second check would add nothing.
    let session = Session::from_fd(edge, connection, SessionACL::All, config)
        .map_err(Error::io("start the FUSE session of", &attached.point))?;
    attachment::raise_readahead(&attached.device, options.read_ahead_kib);
    let mounted = Mounted::start(attached, session, view, (pusher, completer))?;
    fs::metadata(&mounted.attached.point).map_err(Error::io("read back the new mount", &mounted.attached.point))?;
    Ok(mounted)
}

/// The mount point without symbolic links, if it can be used.
fn usable_point(options: &MountOptions) -> Result<PathBuf> {
    let refuse = |reason: String| Error::invalid("mount point", options.mountpoint.display().to_string(), reason);
    let point = mount_table::resolve(&options.mountpoint)?;
    if let Some(entry) = mount_table::mounted_at(&point)?.filter(mount_table::TableEntry::is_fuse) {
        let (kind, source) = (&entry.file_system_type, entry.source.to_string_lossy());
        // What stat(2) tells is cached.
        let is_dead = fs::read_dir(&point).is_err_and(|error| error.kind() == io::ErrorKind::NotConnected);
        let rest = if is_dead { ", but its process is gone: unmount it first" } else { "" };
        return Err(refuse(format!("in use: {kind} of \"{source}\" is mounted there{rest}")));
    }
    if !fs::metadata(&point).map_err(Error::io("mount on", &point))?.is_dir() {
        return Err(refuse("it is not a directory".into()));
    }
    if let Some(repository) = &options.repository_directory {
        if mount_table::holds(repository, &point) {
            return Err(refuse("it lies in the repository".into()));
        }
        if mount_table::holds(&point, repository) {
            return Err(refuse("it would cover the repository".into()));
        }
    }
    Ok(point)
}

/// Version, patch level and sublevel of the running kernel; zeros where it does not say.
fn kernel_version() -> (u32, u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    parse_kernel_version(&release)
}

fn parse_kernel_version(release: &str) -> (u32, u32, u32) {
    let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let mut parts = release.trim().splitn(3, '.').map(|part| number(part).unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// Our mount in the tree of mounts. Takes it away when dropped, if it is still there.
#[derive(Debug)]
struct Attached {
    point: PathBuf,
    /// `<major>:<minor>`, by which it is told from other mounts at the same place.
    device: String,
    /// Set once it was taken away: from then on the number may belong to another mount.
    gone: bool,
}

impl Attached {
    fn find(point: PathBuf) -> Result<Attached> {
        match mount_table::mounted_at(&point)? {
            Some(entry) => Ok(Attached { point, device: entry.device, gone: false }),
            None => Err(Error::invalid("mount point", point.display().to_string(), "the new mount vanished at once")),
        }
    }

    /// Unmounts, lazily where it is busy. Nothing happens where somebody already did, or mounted over it: then the
    /// end of the session leaves a dead mount below.
    fn detach(&mut self) -> Result<()> {
        if self.gone {
            return Ok(());
        }
        if mount_table::mounted_at(&self.point)?.is_some_and(|entry| entry.device == self.device) {
            attachment::detach(&self.point, false)?;
        }
        self.gone = true;
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            log::error!("{error}");
        }
    }
}

/// A mount being served by threads of this process. Unmounts when dropped; [`Mounted::wait`] is the polite way.
#[derive(Debug)]
pub struct Mounted {
    attached: Attached,
    session: Option<JoinHandle<io::Result<()>>>,
    /// Threads that tell the kernel what it did not ask for. They end when the session does.
    helpers: Vec<JoinHandle<()>>,
    /// Closed when the session has ended.
    ended: Receiver<()>,
    stop_requests: Receiver<()>,
    stopper: Stopper,
}

/// Asks a [`Mounted`] to end, from any thread and any number of times.
#[derive(Debug, Clone)]
pub struct Stopper(Sender<()>);

impl Stopper {
    /// Returns at once; [`Mounted::wait`] does the rest.
    pub fn stop(&self) {
        // A full channel already holds a request, a closed one belongs to a mount that has ended.
        let _ = self.0.try_send(());
    }
}

/// Why [`Mounted::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Somebody unmounted it, with `umount` or [`unmount`].
    UnmountedOutside,
    /// A [`Stopper`] ended it; nobody was using it.
    Stopped,
    /// A [`Stopper`] ended it although files were open. They fail from the end of this process on.
    StoppedBusy,
}

impl Mounted {
    /// Starts the loops, and the threads beside them.
    fn start(
        attached: Attached,
        session: Session<KernelEdge>,
        view: Arc<View>,
        (pusher, completer): (Pusher, Completer),
    ) -> Result<Mounted> {
        let [notifier, push_notifier, complete_notifier] = [(); 3].map(|()| session.notifier());
        let (alive, ended) = bounded::<()>(0);
        let watched = ended.clone();
        let spawn =
            |name: &str| (thread::Builder::new().name(name.into()), Error::io("start a thread for", &attached.point));
        let (builder, failed) = spawn("fuse-session");
        let session = builder
            .spawn(move || {
                let _alive = alive;
                session.run()
            })
            .map_err(failed)?;
        let (builder, failed) = spawn("fuse-push");
        let pushed = view.clone();
        let push = builder.spawn(move || pusher.run(&pushed, &push_notifier)).map_err(failed)?;
        let (builder, failed) = spawn("fuse-complete");
        let completed = view.clone();
        let complete = builder.spawn(move || completer.run(&completed, &complete_notifier)).map_err(failed)?;
        let (builder, failed) = spawn("fuse-refresh");
        let refresh = builder.spawn(move || refresh_until(&watched, &view, &notifier)).map_err(failed)?;
        let (session, helpers) = (Some(session), vec![push, complete, refresh]);
        let (stopper, stop_requests) = bounded(1);
        Ok(Mounted { attached, session, helpers, ended, stop_requests, stopper: Stopper(stopper) })
    }

    /// The mount point, absolute and without symbolic links.
    pub fn point(&self) -> &Path {
        &self.attached.point
    }

    /// What to call, in a signal handler's thread for example, to end the mount.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until somebody unmounts or a [`Stopper`] is used. In the second case it unmounts; files still open are
    /// served for two more seconds.
    ///
    /// # Errors
    /// [`Error::Io`] where unmounting failed, or serving did.
    pub fn wait(mut self) -> Result<Ended> {
        let stopped = select! {
            recv(self.ended) -> _ => false,
            recv(self.stop_requests) -> _ => true,
        };
        if !stopped {
            self.attached.gone = true;
            return self.join().map(|()| Ended::UnmountedOutside);
        }
        self.attached.detach()?;
        match self.ended.recv_timeout(STOP_GRACE) {
            Err(RecvTimeoutError::Timeout) => Ok(Ended::StoppedBusy),
            _ => self.join().map(|()| Ended::Stopped),
        }
    }

    /// What the ended session said. No thread of the mount runs afterwards.
    fn join(&mut self) -> Result<()> {
        let session = self.session.take().map(JoinHandle::join);
        // They have nothing to say; one that panicked has ended too.
        for helper in self.helpers.drain(..) {
            let _ = helper.join();
        }
        let said = match session {
            None | Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(error))) => error,
            Some(Err(_panic)) => io::Error::other("a thread panicked"),
        };
        Err(Error::io("serve the mount on", &self.attached.point)(said))
    }
}

/// Tells the kernel of new and forgotten snapshots until the session has ended.
fn refresh_until(ended: &Receiver<()>, view: &View, notifier: &Notifier) {
    let mut last_failure = String::new();
    while ended.recv_timeout(REFRESH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        match view.refresh() {
            Ok(changes) => {
                last_failure.clear();
                changes.iter().for_each(|change| invalidate(notifier, change));
            }
            Err(error) => {
                // Storage that is away for an hour shall not fill a log.
                let failure = error.to_string();
                if failure != last_failure {
                    log::error!("cannot look for new snapshots: {failure}");
                    last_failure = failure;
                }
            }
        }
    }
}

/// Makes the kernel forget a name, and what it keeps of the file behind it.
fn invalidate(notifier: &Notifier, change: &Invalidation) {
    let name = OsStr::from_bytes(&change.name);
    let of_entry = notifier.inval_entry(INodeNo(change.parent), name);
    let of_file = change.ino.map_or(Ok(()), |ino| notifier.inval_inode(INodeNo(ino), 0, 0));
    if let Err(error) = of_entry.and(of_file) {
        log::debug!("the kernel kept {name:?} of inode {}: {error}", change.parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_understood() {
        assert_eq!(parse_kernel_version("6.18.44-fc-v595\n"), (6, 18, 44));
        assert_eq!(parse_kernel_version("6.1.0-13-amd64"), (6, 1, 0));
        assert_eq!(parse_kernel_version("7.0-rc1"), (7, 0, 0));
        assert_eq!(parse_kernel_version("6.19.0"), (6, 19, 0));
        assert_eq!(parse_kernel_version(""), (0, 0, 0));
    }

    #[test]
    fn mount_points_that_cannot_be_used_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().join("repository");
        let inside = repository.join("packs");
        fs::create_dir_all(&inside).unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        let refusal = |point: &Path| {
            let mut options = MountOptions::new(point, "test");
            options.repository_directory = Some(repository.clone());
            usable_point(&options).unwrap_err().to_string()
        };
        assert!(refusal(&file).contains("not a directory"));
        assert!(refusal(&inside).contains("lies in the repository"));
        assert!(refusal(&repository).contains("lies in the repository"));
        assert!(refusal(directory.path()).contains("would cover the repository"));
        assert!(refusal(&directory.path().join("absent")).contains("absent"));
    }
}
