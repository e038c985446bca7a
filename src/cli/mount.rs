//! `yesterfs mount`

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use yesterfs::error::Error;
use yesterfs::mount::daemon::{self, Background, Started};
use yesterfs::mount::{Ended, MountOptions, Mounted, ReaddirPlus, RowDiffs};
use yesterfs::rows::unnamed_file;
use yesterfs::view::{Owner, PATCHES_MIN, View};

use super::exit::{self, CommandResult, Failure, Outcome};
use super::invocation::{Invocation, clock};
use super::output::{Output, printable_path};
use super::progress::{Terminal, stderr_line};

const TREE: &str = "\
What it shows:
  snapshots/SOURCE/NAME/      the snapshots; latest is the newest
  at/TIME/SOURCE              the newest snapshot that began not after TIME
  ids/ID                      snapshots by id
  tags/TAG/SOURCE/NAME        snapshots by tag
  diff/A..B/                  what differs between two snapshots
  diff/A..B/rows/DATABASE/    for dumps: TABLE.sql, the statements that make B of A; of PostgreSQL
                              SCHEMA/TABLE.sql; of MongoDB COLLECTION.json, a line for each
                              document that differs

Examples:
  yesterfs mount /mnt/yester
  yesterfs mount /mnt/yester --allow-other --log-file /var/log/yesterfs.log
  yesterfs mount /mnt/yester -o allow_other,threads=4";

/// Mount the repository as a read-only directory
///
/// Returns when the mount answers, and serves it in the background. New snapshots appear by themselves, within a second. SIGTERM,
/// SIGINT and SIGHUP unmount, and so does yesterfs umount.
#[derive(Args)]
#[command(after_long_help = TREE)]
pub struct Mount {
    /// Where to mount; a directory that exists
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Stay in the foreground until unmounted
    #[arg(short, long)]
    foreground: bool,

    /// Let other users in, who see what owners, modes and ACLs let them see [default: only who mounted it]
    #[arg(long)]
    allow_other: bool,

    /// Append messages to this file once in the background [default: they are dropped]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// Whether listings bring along what stat(2) tells: always for ls -l and backup tools, auto for names alone
    #[arg(long, value_name = "WHEN", default_value = "always")]
    readdirplus: When,

    /// Threads that answer the kernel [default: by the number of processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// How far the kernel reads ahead in a file, in KiB; takes root to change
    #[arg(long, value_name = "KIB", default_value_t = 4096)]
    read_ahead: u32,

    #[command(flatten)]
    patches: Patches,

    /// Options as /etc/fstab and mount(8) write them: allow_other, cache=MIB, log_file=FILE, readdirplus=WHEN, threads=N,
    /// read_ahead=KIB, patch_dir=DIR, patch_memory=MIB, patches=N; those that every filesystem has are taken and change
    /// nothing
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<String>,

    /// What `-o` says in place of `--cache`.
    #[arg(skip)]
    cache_mib: Option<u64>,
}

/// What the files in `diff/A..B/rows` may take.
#[derive(Args)]
#[command(next_help_heading = "Rows of dumps")]
struct Patches {
    /// Where patches of rows are written, in files without names [default: the system's directory for temporary files]
    #[arg(long, value_name = "DIR")]
    patch_dir: Option<PathBuf>,

    /// Memory for rows that differ while a patch is written, in MiB; what is more waits in --patch-dir
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    patch_memory: usize,

    /// Patches that are kept; one that is not is written anew when it is read again
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = kept_patches)]
    patches: usize,
}

fn kept_patches(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count >= PATCHES_MIN)
        .ok_or_else(|| format!("expected a number from {PATCHES_MIN} on"))
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Always,
    Auto,
}

pub fn run(mut args: Mount, invocation: &Invocation) -> CommandResult {
    args.apply_options()?;
    let invocation = &invocation.with_cache(args.cache_mib);
    if args.foreground || invocation.in_background {
        return serve(&args, invocation);
    }
    // The child says itself why it fails; asking for the repository here only saves starting it.
    invocation.repository_directory()?;
    let hides = fs::read_dir(&args.directory).is_ok_and(|mut entries| entries.next().is_some());
    let arguments: Vec<OsString> =
        std::iter::once(super::IN_BACKGROUND.into()).chain(std::env::args_os().skip(1)).collect();
    match daemon::start(&arguments)? {
        Started::Ready { process_id } => {
            let mut output = Output::default();
            if !invocation.quiet {
                let place = printable_path(&args.directory);
                output.line(format!("mounted on \"{place}\", served by process {process_id}"))?;
                if hides {
                    stderr_line(&format!(
                        "yesterfs: \"{place}\" is not empty; what it has is hidden until it is unmounted"
                    ));
                }
            }
            output.flush()?;
            Ok(Outcome::Done)
        }
        Started::Ended { exit_code } => Err(Failure::Reported(exit_code.and_then(|code| u8::try_from(code).ok()))),
    }
}

/// Mounts and serves until somebody unmounts or a signal comes.
fn serve(args: &Mount, invocation: &Invocation) -> CommandResult {
    yesterfs::mount::daemon::share_one_heap();
    require_directory(&args.directory)?;
    let background = match invocation.in_background {
        true => Some(Background::prepare(args.log_file.as_deref())?),
        false => None,
    };
    let directory = invocation.repository_directory()?;
    let repository = invocation.open(Arc::new(Terminal::silent(invocation.quiet)))?;
    let owner = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    let rows = args.patches.writer()?;
    let view = View::new(Arc::new(repository), owner, Box::new(clock))?;
    let view = Arc::new(view.showing_rows(Box::new(rows), args.patches.patches));
    let mut options = MountOptions::new(&args.directory, &directory);
    options.repository_directory = Some(directory);
    options.allow_other = args.allow_other;
    options.readdirplus = match args.readdirplus {
        When::Always => ReaddirPlus::Always,
        When::Auto => ReaddirPlus::Auto,
    };
    options.threads = args.threads;
    options.read_ahead_kib = args.read_ahead;
    // What was prefetched must not push itself out of the cache.
    options.prefetch_budget_bytes = options.prefetch_budget_bytes.min(invocation.cache_bytes / 2);
    // A signal must never find a mount that nobody takes away; until there is one, it simply ends the process.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot_watch)?;
    let mounted = yesterfs::mount::mount(view, &options)?;
    stop_on_signals(signals, &mounted)?;
    log::info!("mounted on \"{}\"", printable_path(mounted.point()));
    background.map(Background::ready).transpose()?;
    match mounted.wait()? {
        Ended::UnmountedOutside | Ended::Stopped => {}
        Ended::StoppedBusy => log::warn!("unmounted while files were open; reading them fails from now on"),
    }
    // At once, without the destructors of RocksDB's globals: threads that still serve open files, or look for news, use
    // them, and would end the process by a fault.
    signal_hook::low_level::exit(i32::from(exit::code(&Ok(Outcome::Done))))
}

/// Told at once: to open the repository may take its time. Whatever else is wrong with the place, the mount itself tells.
fn require_directory(directory: &Path) -> CommandResult<()> {
    match directory.symlink_metadata() {
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            let error = Error::Io { operation: "mount on", path: directory.to_path_buf(), source };
            Err(Failure::Hinted { error, hint: format!("make the directory first: mkdir -p {}", directory.display()) })
        }
        _ => Ok(()),
    }
}

/// The first signal unmounts, the second ends the process at once.
fn stop_on_signals(mut signals: Signals, mounted: &Mounted) -> CommandResult<()> {
    let stopper = mounted.stopper();
    let watch = move || {
        for (count, _) in signals.forever().enumerate() {
            match count {
                0 => stopper.stop(),
                _ => signal_hook::low_level::exit(i32::from(exit::INTERRUPTED)),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(watch).map_err(cannot_watch)?;
    Ok(())
}

fn cannot_watch(source: io::Error) -> Failure {
    Failure::System { operation: "watch for signals", source }
}

impl Patches {
    /// A directory that cannot take any is told now, and not to whoever reads the first one.
    fn writer(&self) -> CommandResult<RowDiffs> {
        let directory = self.patch_dir.clone().unwrap_or_else(std::env::temp_dir);
        if self.patch_dir.is_some() {
            unnamed_file(&directory).map_err(Error::io("make a temporary file in", &directory))?;
        }
        Ok(RowDiffs { temporary_directory: directory, memory_bytes: self.patch_memory.saturating_mul(1 << 20) })
    }
}

impl Mount {
    /// Takes over what `-o` says.
    fn apply_options(&mut self) -> CommandResult<()> {
        for option in std::mem::take(&mut self.options) {
            let refuse = |reason: &str| Error::invalid("mount option", &*option, reason);
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            match name {
                "allow_other" => self.allow_other = true,
                "cache" => self.cache_mib = Some(value.parse().map_err(|_| refuse("expected a number of MiB"))?),
                "log_file" => self.log_file = Some(value.into()),
                "readdirplus" => {
                    self.readdirplus = When::from_str(value, true).map_err(|_| refuse("expected always or auto"))?;
                }
                "threads" => self.threads = Some(value.parse().map_err(|_| refuse("expected a number"))?),
                "patch_dir" => self.patches.patch_dir = Some(value.into()),
                "patch_memory" => {
                    self.patches.patch_memory = value.parse().map_err(|_| refuse("expected a number of MiB"))?;
                }
                "patches" => self.patches.patches = kept_patches(value).map_err(|reason| refuse(&reason))?,
                "read_ahead" => self.read_ahead = value.parse().map_err(|_| refuse("expected a number of KiB"))?,
                _ if is_common_option(name) => {}
                _ => return Err(refuse("there is no such option").into()),
            }
        }
        Ok(())
    }
}

/// Options that mount(8) hands to every filesystem. The mount is read-only whatever they say.
fn is_common_option(name: &str) -> bool {
    const COMMON: &str = "ro rw defaults auto noauto user nouser users owner group nofail _netdev exec noexec suid \
         nosuid dev nodev sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime comment";
    name.is_empty()
        || COMMON.split(' ').any(|common| common == name)
        || name.starts_with("x-")
        || name.starts_with("X-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(options: &str) -> Mount {
        Mount {
            directory: PathBuf::from("/mnt"),
            foreground: false,
            allow_other: false,
            log_file: None,
            readdirplus: When::Always,
            threads: None,
            read_ahead: 4096,
            patches: Patches { patch_dir: None, patch_memory: 64, patches: 16 },
            options: options.split(',').map(str::to_string).collect(),
            cache_mib: None,
        }
    }

    #[test]
    fn an_fstab_line_says_what_the_options_say() {
        let mut args = mount(
            "ro,nofail,x-systemd.automount,allow_other,threads=3,readdirplus=auto,log_file=/var/log/y,cache=9,\
                   patch_dir=/var/tmp,patch_memory=8,patches=2",
        );
        assert!(args.apply_options().is_ok());
        assert!(args.allow_other && args.readdirplus == When::Auto);
        assert_eq!((args.threads, args.log_file), (Some(3), Some(PathBuf::from("/var/log/y"))));
        assert_eq!(args.cache_mib, Some(9));
        assert_eq!(args.patches.patch_dir, Some(PathBuf::from("/var/tmp")));
        assert_eq!((args.patches.patch_memory, args.patches.patches), (8, 2));
    }

    #[test]
    fn unknown_and_malformed_options_are_refused_by_name() {
        for option in ["allow_others", "threads=many", "readdirplus=never", "read_ahead=", "cache=lots", "patches=1"] {
            let failure = mount(&format!("ro,{option}")).apply_options().unwrap_err();
            assert!(format!("{failure:?}").contains(option), "{failure:?}");
        }
    }
}
