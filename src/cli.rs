//! The command line: words become calls of the library, results become text or JSON, failures become exit codes.
//! Nothing else prints, exits or reads the clock.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use self::exit::CommandResult;
use self::invocation::Invocation;

mod cat;
mod check;
mod completions;
mod config;
mod diff;
mod document;
mod entry;
mod exit;
mod find;
mod forget;
mod hint;
mod history;
mod ingest;
mod init;
mod invocation;
mod logger;
mod ls;
mod man;
mod mount;
mod output;
mod progress;
mod rebuild;
mod restore;
mod rows;
mod show;
mod snapshots;
mod tag;
mod tip;
mod umount;
mod verify;
mod walk;

/// Snapshots of databases and directories that you can mount
///
/// Yesterfs keeps point-in-time snapshots of databases and directory trees in a repository, and mounts them as
/// ordinary read-only directories. Each command tells more with --help.
///
/// A snapshot SNAP is named by the start of its id (4 digits or more), as SOURCE@TIME for the newest of a source that
/// began not after TIME, as SOURCE@latest, or as SOURCE@latest~2 for the second before the latest; SOURCE alone means
/// its latest. TIME is an RFC 3339 time (colons, seconds and zone may be left out; then it is UTC), a date, month or
/// year (its end), now, today, yesterday, or a span such as 2h-ago or 1h30m-ago. SNAP:/PATH names a path in it.
///
/// Sizes are in bytes, or in binary units: 1 KiB is 1024 bytes.
#[derive(Parser)]
#[command(name = "yesterfs", version, after_help = exit::TABLE, after_long_help = details(), max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  export YESTERFS_REPO=/srv/yester; yesterfs init
  yesterfs ingest dir /export/lake --source lake
  yesterfs ingest stream --source shop --name dump.sql -- mariadb-dump --single-transaction shop
  yesterfs mount /mnt/yester; ls /mnt/yester/at/yesterday/lake/";

fn details() -> String {
    format!("{}\n\n{EXAMPLES}", exit::TABLE)
}

#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Directory of the repository; every command but umount, completions and man needs one
    #[arg(long, global = true, env = "YESTERFS_REPO", hide_env_values = true, value_name = "DIR")]
    pub repo: Option<PathBuf>,

    /// Memory for decoded chunks and directories, in MiB; a mount takes at most 256 MiB in all with the default
    #[arg(long, global = true, value_name = "MIB", default_value_t = 48)]
    pub cache: u64,

    /// Tell more: what is done, and each entry of what is otherwise counted; -vv and -vvv are for debugging
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Print only results and failures: no progress, no notes, no warnings, no summaries
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// True in the process that serves a mount in the background.
    #[arg(skip)]
    pub in_background: bool,
}

/// Declares each command once: its module, its arguments, and the call that runs it.
macro_rules! commands {
    ($($name:ident => $module:ident),* $(,)?) => {
        #[derive(Subcommand)]
        enum Command {
            $($name($module::$name),)*
        }

        impl Command {
            fn run(self, invocation: &Invocation) -> CommandResult {
                match self {
                    $(Command::$name(args) => $module::run(args, invocation),)*
                }
            }
        }
    };
}

commands! {
    Init => init,
    Config => config,
    Ingest => ingest,
    Snapshots => snapshots,
    Show => show,
    Ls => ls,
    Cat => cat,
    Find => find,
    Tag => tag,
    Forget => forget,
    Check => check,
    Diff => diff,
    Rows => rows,
    History => history,
    Restore => restore,
    Rebuild => rebuild,
    Verify => verify,
    Mount => mount,
    Umount => umount,
    Completions => completions,
    Man => man,
}

/// The first word where a mount has started this program again, to serve in the background. It is no option, which help and
/// completions would offer.
const IN_BACKGROUND: &str = "--in-background";

/// Runs the command that the command line asks for, and reports how it ended.
pub fn main() -> ExitCode {
    raise_open_files_limit();
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let in_background = words.get(1).is_some_and(|word| word == IN_BACKGROUND);
    if in_background {
        words.remove(1);
    }
    let mut cli = Cli::try_parse_from(&words).unwrap_or_else(|error| tip::with_tip(error, &words).exit());
    cli.global.in_background = in_background;
    logger::start(cli.global.quiet, cli.global.verbose);
    let invocation = Invocation::new(cli.global);
    let result = cli.command.run(&invocation);
    if let Err(failure) = &result {
        exit::report(failure);
    }
    ExitCode::from(exit::code(&result))
}

/// Packs and index files are kept open; the usual soft limit of 1024 is for programs that use `select(2)`.
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, the old limit stays, and whoever runs into it says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{Command, CommandFactory};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Words as a shell takes them apart; only single quotes, and only at the ends of words or after `=`.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (at, part) in line.split('\'').enumerate() {
            match at % 2 {
                1 => words.last_mut().unwrap().push_str(part),
                _ => {
                    for (at, piece) in part.split(' ').enumerate() {
                        if at > 0 {
                            words.push(String::new());
                        }
                        words.last_mut().unwrap().push_str(piece);
                    }
                }
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    fn assert_examples_parse(command: &Command, count: &mut usize) {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.split("Examples:\n").nth(1);
        assert!(examples.is_some(), "{} has no examples", command.get_name());
        // A part of a pipeline, or of a list of commands.
        let calls = examples.unwrap_or_default().split(['\n', '|', ';']).map(str::trim);
        for call in calls.filter(|call| call.starts_with("yesterfs ")) {
            let words = words(call.split(" > ").next().unwrap());
            let parsed = Cli::command().try_get_matches_from(&words);
            let wrong = parsed.err().filter(|error| error.kind() != ErrorKind::DisplayHelp);
            assert!(wrong.is_none(), "{call}: {wrong:?}");
            *count += 1;
        }
        command.get_subcommands().for_each(|below| assert_examples_parse(below, count));
    }

    #[test]
    fn every_command_has_examples_and_they_are_understood() {
        let mut count = 0;
        assert_examples_parse(&Cli::command(), &mut count);
        assert!(count > 30, "{count}");
    }
}
