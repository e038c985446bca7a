//! `yesterfs man`

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use yesterfs::error::Error;

use super::Cli;
use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::write_out;

const EXAMPLES: &str = "\
Examples:
  yesterfs man ingest dir | man -l -
  yesterfs man --out /usr/local/share/man/man1";

/// Write manual pages
///
/// Without --out, the page of one command goes to standard output.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Man {
    /// The command, in one or two words; without it, the page of yesterfs itself
    #[arg(conflicts_with = "out")]
    command: Vec<String>,

    /// Write the pages of all commands as files into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: Man, _: &Invocation) -> CommandResult {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    match args.out {
        Some(directory) => {
            std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
            write_pages(&root, &directory)?;
        }
        None => write_out(&page(find_command(&root, &args.command)?)?)?,
    }
    Ok(Outcome::Done)
}

/// The subcommand that these words name.
fn find_command<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Error> {
    words.iter().try_fold(root, |command, word| {
        let not_found = || Error::NotFound { what: "command", name: words.join(" ") };
        command.find_subcommand(word).ok_or_else(not_found)
    })
}

/// The page of a command and of all below it, each as a file.
fn write_pages(command: &Command, directory: &Path) -> CommandResult<()> {
    let path = directory.join(format!("{}.1", page_name(command)));
    std::fs::write(&path, page(command)?).map_err(Error::io("write", &path))?;
    command.get_subcommands().try_for_each(|below| write_pages(below, directory))
}

/// `yesterfs-ingest-dir`
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = page_name(command).to_string();
    let page = Page::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("yesterfs ", env!("CARGO_PKG_VERSION")))
        .manual("Yesterfs");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    details(&command.get_after_long_help().map(ToString::to_string).unwrap_or_default()).to_writer(&mut text)?;
    if name != "yesterfs" {
        let mut see_also = Roff::new();
        see_also.control("SH", ["SEE ALSO"]).text([bold("yesterfs"), roman("(1), for what every command shares")]);
        see_also.to_writer(&mut text)?;
    }
    Ok(text)
}

/// Every option with its value, and what comes after them. clap_mangen names no values, and takes what is required for
/// a positional argument.
fn synopsis(command: &Command) -> Roff {
    let own = |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help";
    let mut words = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let options = command.get_opts().filter(own);
    let (required, optional): (Vec<&Arg>, Vec<&Arg>) = options.partition(|arg| arg.is_required_set());
    let flags =
        command.get_arguments().filter(own).filter(|arg| !arg.is_positional() && !arg.get_action().takes_values());
    for arg in required.into_iter().chain(flags).chain(optional) {
        words.extend(option_words(arg));
    }
    words.extend([roman(" ["), italic("GLOBAL OPTIONS"), roman("]")]);
    command.get_positionals().filter(own).for_each(|arg| words.extend(positional_words(arg)));
    if command.has_subcommands() {
        words.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
    }
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]).text(words);
    section
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string)
}

/// ` [-x|--one-file-system]`, ` --source SOURCE`, ` [--tag TAG]...`
fn option_words(arg: &Arg) -> Vec<Inline> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = [short, long].into_iter().flatten().collect::<Vec<_>>().join("|");
    let mut words = vec![roman(if arg.is_required_set() { " " } else { " [" }), bold(names)];
    if arg.get_action().takes_values() {
        words.extend([roman(" "), italic(value_name(arg))]);
    }
    words.push(roman(match (arg.is_required_set(), arg.get_action()) {
        (false, ArgAction::Append) => "]...",
        (false, _) => "]",
        (true, _) => "",
    }));
    words
}

/// ` DIR`, ` [PATH]`, ` SNAP...`, ` [-- COMMAND...]`
fn positional_words(arg: &Arg) -> [Inline; 3] {
    let open = match (arg.is_required_set(), arg.is_last_set()) {
        (true, _) => " ",
        (false, false) => " [",
        (false, true) => " [-- ",
    };
    let dots = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
    let close = if arg.is_required_set() { "" } else { "]" };
    [roman(open), italic(value_name(arg)), roman(format!("{dots}{close}"))]
}

/// What stands behind the options of `--help`: paragraphs with a title each, whose lines stay as they are.
fn details(text: &str) -> Roff {
    let mut sections = Roff::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let (title, lines) = paragraph.split_once(":\n").unwrap_or(("Notes", paragraph));
        sections.control("SH", [title.to_uppercase().as_str()]).control("nf", []);
        for line in lines.lines() {
            sections.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        sections.control("fi", []);
    }
    sections
}
