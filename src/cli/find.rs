//! `yesterfs find`

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use yesterfs::error::Error;
use yesterfs::id::ChunkId;
use yesterfs::repository::Repository;
use yesterfs::repository::node::{DirectoryRoot, Node};
use yesterfs::repository::snapshot::Snapshot;

use super::entry::{entry_record, long_columns, target_suffix};
use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, lossy, snapshot_name};
use super::ls::report_damage;
use super::output::{Output, printable};
use super::walk::{Step, Walk};

/// Directories that are remembered to hold no match; a page is 32 bytes here.
const BARREN_PAGES_MAX: usize = 1_000_000;

const EXAMPLES: &str = "\
Examples:
  yesterfs find '*.sql'
  yesterfs find lake@yesterday '/etc/**/*.conf'
  yesterfs find --all --long part-0001";

/// Find entries by name
///
/// Looks in the snapshot SNAP, in all with --all, or else in the latest of each source. Prints SOURCE@NAME:/PATH,
/// which other commands take.
#[derive(Args)]
#[command(after_long_help = EXAMPLES, allow_missing_positional = true)]
pub struct Find {
    /// The snapshot to look in: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP", conflicts_with = "all")]
    snapshot: Option<String>,

    /// What to look for: * ? [a-z] {a,b} match within a name; with a slash in it, the pattern must match the whole
    /// path, and ** matches any number of directories
    #[arg(value_name = "PATTERN")]
    pattern: OsString,

    /// Look in every snapshot
    #[arg(long)]
    all: bool,

    /// Ignore the case of ASCII letters
    #[arg(short, long)]
    ignore_case: bool,

    /// Print what ls -l prints, too
    #[arg(short, long)]
    long: bool,

    /// Print a JSON object an entry
    #[arg(long)]
    json: bool,
}

pub fn run(args: Find, invocation: &Invocation) -> CommandResult {
    let pattern = Pattern::parse(&args.pattern, args.ignore_case)?;
    let repository = invocation.open_quietly()?;
    let mut search = Search {
        repository: &repository,
        pattern,
        args: &args,
        output: Output::default(),
        barren: HashSet::new(),
        damaged: false,
    };
    for snapshot in snapshots(&args, invocation, &repository)? {
        search.look_in(&snapshot)?;
    }
    search.output.flush()?;
    Ok(if search.damaged { Outcome::Damaged } else { Outcome::Done })
}

fn snapshots(args: &Find, invocation: &Invocation, repository: &Repository) -> CommandResult<Vec<Arc<Snapshot>>> {
    let catalog = repository.catalog();
    if let Some(name) = &args.snapshot {
        return Ok(vec![invocation.snapshot(repository, name)?]);
    }
    if args.all {
        return Ok(catalog.snapshots().cloned().collect());
    }
    let sources = catalog.sources();
    Ok(sources.iter().filter_map(|source| catalog.choices(source).next_back().cloned()).collect())
}

/// A glob for names, or for whole paths.
struct Pattern {
    matcher: GlobMatcher,
    is_path: bool,
}

impl Pattern {
    fn parse(text: &OsStr, ignore_case: bool) -> Result<Pattern, Error> {
        let refuse = |reason: String| Error::invalid("pattern", lossy(text), reason);
        let glob = text.to_str().ok_or_else(|| refuse("it is not UTF-8; use ? for other bytes".to_string()))?;
        let is_path = glob.contains('/');
        let glob = GlobBuilder::new(glob.strip_prefix('/').unwrap_or(glob))
            .literal_separator(true)
            .case_insensitive(ignore_case)
            .build()
            .map_err(|error| refuse(error.kind().to_string()))?;
        Ok(Pattern { matcher: glob.compile_matcher(), is_path })
    }

    fn fits(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let subject = if self.is_path { path } else { name };
        self.matcher.is_match(Path::new(OsStr::from_bytes(subject)))
    }
}

struct Search<'a> {
    repository: &'a Repository,
    pattern: Pattern,
    args: &'a Find,
    output: Output,
    /// Root pages of directories that were seen whole and hold no match: snapshots share most of theirs.
    barren: HashSet<ChunkId>,
    damaged: bool,
}

impl Search<'_> {
    fn look_in(&mut self, snapshot: &Snapshot) -> CommandResult<()> {
        let Some(root) = snapshot.manifest.root.directory() else { return Ok(()) };
        let mut walk = Walk::new(self.repository.tree()?, root.clone(), b"");
        // Matches before each directory that the walk is in; a failure to read counts as one.
        let mut found = 0u64;
        let mut found_before = vec![found];
        while let Some(step) = walk.next() {
            match step {
                Ok(Step::Entry { path, node }) => {
                    if self.pattern.fits(&path) {
                        found += 1;
                        self.print(snapshot, &path, &node)?;
                    }
                    match node.directory() {
                        Some(directory) if self.is_barren(directory) => walk.skip_below(),
                        Some(_) => found_before.push(found),
                        None => {}
                    }
                }
                Ok(Step::Leave(directory)) => {
                    if found_before.pop() == Some(found) {
                        self.remember_barren(&directory);
                    }
                }
                Err(error) => {
                    found += 1;
                    self.damaged |= report_damage(error)?;
                }
            }
        }
        Ok(())
    }

    fn is_barren(&self, directory: &DirectoryRoot) -> bool {
        directory.page.as_ref().is_some_and(|page| self.barren.contains(&page.id()))
    }

    /// What a directory holds tells of its names, not of its own path.
    fn remember_barren(&mut self, directory: &DirectoryRoot) {
        if let Some(page) = &directory.page
            && !self.pattern.is_path
            && self.barren.len() < BARREN_PAGES_MAX
        {
            self.barren.insert(page.id());
        }
    }

    fn print(&mut self, snapshot: &Snapshot, path: &[u8], node: &Node) -> CommandResult<()> {
        if self.args.json {
            let record = entry_record(path, node).put("snapshot", snapshot.id.to_string());
            self.output.record(&record)?;
            return Ok(());
        }
        let place = format!("{}:/{}", snapshot_name(snapshot), printable(path));
        if self.args.long {
            self.output.line(format!("{} {place}{}", long_columns(node), target_suffix(node)))?;
        } else {
            self.output.line(place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(pattern: &[u8], path: &[u8], expected: bool) {
        let pattern = Pattern::parse(OsStr::from_bytes(pattern), false).unwrap();
        assert_eq!(pattern.fits(path), expected);
    }

    #[test]
    fn a_pattern_without_slash_is_for_names() {
        fits(b"*.sql", b"a/dump.sql", true);
        fits(b"*.sql", b"dump.sql/x", false);
        fits(b"part-000[12]", b"lake/part-0002", true);
        fits(b"{a,b}?", b"b1", true);
        fits(b"caf?", b"caf\xe9", true);
    }

    #[test]
    fn a_pattern_with_slash_is_for_whole_paths() {
        fits(b"/a/*.sql", b"a/dump.sql", true);
        fits(b"/a/*.sql", b"a/b/dump.sql", false);
        fits(b"/a/**/*.sql", b"a/b/c/dump.sql", true);
        fits(b"b/*.sql", b"a/b/dump.sql", false);
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        let refused = Pattern::parse(OsStr::new("a[b"), false).err().unwrap();
        assert!(refused.to_string().contains("a[b"), "{refused}");
    }
}
