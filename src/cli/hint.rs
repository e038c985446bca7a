//! The one thing to do next after a failure: by the error alone, or by what was typed and what the repository has.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use yesterfs::error::{Error, ErrorKind};
use yesterfs::ingest::dump::COMMAND_FAILED;
use yesterfs::mount::FUSE_DEVICE;
use yesterfs::repository::Repository;
use yesterfs::repository::catalog::Catalog;
use yesterfs::repository::snapshot::{ID_PREFIX_MIN, Snapshot};
use yesterfs::rows::each_table_name;

use super::exit::Failure;
use super::invocation::{SnapshotPath, snapshot_name};
use super::output::{counted, printable};

/// Names in one hint; of more, only the number is told.
const NAMES_MAX: usize = 8;

/// A name that differs in more is another name; two letters that changed places differ in two.
const EDITS_MAX: usize = 2;

/// Tables that may have been meant.
const TABLES_MEANT_MAX: usize = 3;

/// What an error itself tells of the next step.
pub fn of(error: &Error) -> Option<&'static str> {
    let hint = match error {
        Error::NotFound { what: "snapshot", .. } => "yesterfs snapshots lists what there is",
        Error::NotFound { what: "path", .. } => "yesterfs ls SNAP:/PATH lists what there is",
        Error::NotFound { what: "compressed original", .. } => {
            "nothing is kept of what xz, bzip2 or lz4 compressed, of what was not compressed, or with --original=drop; \
             yesterfs cat SNAP:/dump.sql prints what was in it"
        }
        Error::NotFound { what: "command", .. } => "yesterfs --help lists the commands",
        Error::Ambiguous { what: "snapshot", .. } => "write more digits of the id",
        Error::Ambiguous { .. } => "name one of them: yesterfs rebuild SNAP NAME",
        Error::Unsupported { .. } => "update yesterfs on this machine",
        // It says itself what it lacks.
        Error::Incomplete { reason, .. } if reason.contains(COMMAND_FAILED) => return None,
        Error::Incomplete { .. } => "--keep-incomplete keeps what there is; latest and times will not choose it",
        Error::Interrupted => "run the same command again; what it has written so far is kept",
        Error::Io { path, .. } if path == Path::new(FUSE_DEVICE) => {
            "nothing can be mounted without it: modprobe fuse, and chmod 666 /dev/fuse; a container has to be started \
             with --device /dev/fuse --cap-add SYS_ADMIN"
        }
        Error::Io { source, .. } | Error::Backend { source, .. } => return of_system(source),
        // Check stops there too.
        Error::Corrupt { object, .. } if object.starts_with("the catalog") || object.starts_with("catalog record") => {
            "put the record back from a copy of the repository: what came after it can only be read with it"
        }
        Error::Corrupt { object, .. } if object == "the repository's config" => {
            "put it back from a copy of the repository: all the rest is still there"
        }
        _ if error.kind() == ErrorKind::Corrupt => {
            "yesterfs check --read-data names every snapshot and path that is affected"
        }
        _ => return None,
    };
    Some(hint)
}

fn of_system(source: &io::Error) -> Option<&'static str> {
    match source.kind() {
        io::ErrorKind::PermissionDenied => Some("run it as a user who may, or as root"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("nothing that was stored is lost; make room, then run the same command again")
        }
        io::ErrorKind::ResourceBusy => Some("somebody uses it: close what is open there; umount has --lazy"),
        io::ErrorKind::ReadOnlyFilesystem => Some("this filesystem is mounted read-only"),
        _ => None,
    }
}

/// The failure of finding the snapshot that was named `typed`.
pub fn unknown_snapshot(error: Error, typed: &str, catalog: &Catalog) -> Failure {
    let is_path = typed.contains('/');
    let error = match error {
        // That a path is no name of a source is not what is wrong with it.
        Error::Invalid { what: "source", .. } if is_path || typed.contains(':') => {
            Error::NotFound { what: "snapshot", name: typed.to_string() }
        }
        error => error,
    };
    match error {
        Error::NotFound { what: "snapshot", .. } if is_path => Failure::Hinted { error, hint: as_path(typed) },
        Error::NotFound { what: "snapshot", .. } => Failure::Hinted { error, hint: instead_of(typed, catalog) },
        error => error.into(),
    }
}

/// How a path is written that was typed where a snapshot belongs.
fn as_path(typed: &str) -> String {
    if let Some((snapshot, _)) = typed.split_once(":/") {
        return format!("this takes a snapshot without a path: {snapshot}");
    }
    match typed.split_once('/') {
        Some(("", path)) => format!("a path comes after its snapshot: SNAP:/{path}"),
        Some((start, path)) => match start.rsplit_once(':') {
            // Other colons stand in a time, before digits.
            Some((snapshot, name)) if !snapshot.contains('@') || !name.starts_with(|it: char| it.is_ascii_digit()) => {
                format!("a path begins with a slash: {snapshot}:/{name}/{path}")
            }
            _ => format!("a path comes after its snapshot, with a colon between: {start}:/{path}"),
        },
        None => "a path is written SNAP:/PATH".to_string(),
    }
}

fn instead_of(typed: &str, catalog: &Catalog) -> String {
    let end = typed.find(['@', '~', ':']).unwrap_or(typed.len());
    let (source, rest) = typed.split_at(end);
    let mut own = catalog.of_source(source);
    match own.next() {
        _ if catalog.snapshots().next().is_none() => {
            "the repository has no snapshots; make one with: yesterfs ingest dir PATH --source SOURCE".to_string()
        }
        Some(_) if rest.starts_with(':') => format!("a path begins with a slash: {source}:/{}", &rest[1..]),
        Some(oldest) if rest.is_empty() && catalog.choices(source).next().is_none() => format!(
            "all of {source} is incomplete, which nothing but its own name means: {}",
            snapshot_name(own.next_back().unwrap_or(oldest))
        ),
        Some(oldest) => format!(
            "{source} has {}, the oldest is {}; yesterfs snapshots {source} lists them",
            counted(1 + own.count() as u64, "snapshot", "snapshots"),
            snapshot_name(oldest)
        ),
        None if rest.is_empty() && source.len() >= ID_PREFIX_MIN && source.bytes().all(|it| it.is_ascii_hexdigit()) => {
            "yesterfs snapshots lists the ids".to_string()
        }
        None => {
            let sources: Vec<&str> = catalog.sources().into_iter().collect();
            among("sources are", source, &sources, |near| format!("{near}{rest}"))
        }
    }
}

/// What may have been meant by `typed`, which is none of `names`, or which names there are.
pub fn among(title: &str, typed: &str, names: &[&str], suggest: impl Fn(&str) -> String) -> String {
    if let Some(near) = nearest(typed, names) {
        return format!("did you mean {}?", suggest(near));
    }
    let listed = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 if names.is_empty() => format!("{title}: none"),
        0 => format!("{title}: {listed}"),
        more => format!("{title}: {listed}, and {more} more"),
    }
}

/// The failure of finding a path in a snapshot: tells which snapshot it is, and how much of the path there is.
pub fn unknown_path(typed: &str, wanted: &SnapshotPath, found: &str, directory: &[u8]) -> Failure {
    let error = Error::NotFound { what: "path", name: typed.to_string() };
    let hint = format!("in {found}, yesterfs ls {}:/{} lists what there is", wanted.snapshot, printable(directory));
    Failure::Hinted { error, hint }
}

/// The failure of finding a table in these snapshots, with the names of tables that may have been meant.
pub fn unknown_table(error: Error, repository: &Repository, snapshots: &[&Snapshot]) -> Failure {
    let Error::NotFound { what: "table" | "collection", name: typed } = &error else { return error.into() };
    let mut near: BTreeSet<(usize, String)> = BTreeSet::new();
    for Snapshot { manifest, .. } in snapshots {
        let mut see = |name: &str| {
            if let Some(distance) = table_distance(typed, name) {
                near.insert((distance, name.to_string()));
            }
            while near.len() > TABLES_MEANT_MAX {
                near.pop_last();
            }
        };
        // Names that cannot be read are no news: the failure is another one.
        let _ = each_table_name(repository, manifest, &mut see);
    }
    if near.is_empty() {
        return error.into();
    }
    let names: Vec<String> = near.into_iter().map(|(_, name)| printable(name.as_bytes())).collect();
    Failure::Hinted { error, hint: format!("did you mean {}?", names.join(" or ")) }
}

/// How far the name of a table is from what was typed, of which the first parts may be missing; one of another database is farther.
fn table_distance(typed: &str, name: &str) -> Option<usize> {
    let ends = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    let of_ends = std::iter::once(name).chain(ends).filter_map(|end| distance(typed, end));
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
    let elsewhere = distance(&last(typed), &last(name)).map(|distance| distance + 1);
    of_ends.chain(elsewhere).min()
}

/// The name that differs least from what was typed, if it differs little.
fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let close = names.iter().filter_map(|name| Some((distance(typed, name)?, *name)));
    close.min().map(|(_, name)| name)
}

/// How much a name differs from what was typed, if it is little.
fn distance(typed: &str, name: &str) -> Option<usize> {
    let (typed, name) = (typed.to_ascii_lowercase(), name.to_ascii_lowercase());
    let far = (typed.len() / 2).clamp(1, EDITS_MAX);
    if typed == name {
        return Some(0);
    }
    if typed.len() >= 2 && name.starts_with(&typed) {
        return Some(1);
    }
    if typed.len().abs_diff(name.len()) > far {
        return None;
    }
    Some(edits(&typed, &name)).filter(|edits| *edits <= far)
}

/// How many characters must be put in, left out or changed to make one text of the other.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_the_nearest_name_unless_all_are_far() {
        let names = ["lake", "shop", "shop-eu"];
        for (typed, meant) in [("laek", Some("lake")), ("lak", Some("lake")), ("Lake", Some("lake")), ("sea", None)] {
            assert_eq!(nearest(typed, &names), meant, "{typed}");
        }
        for (typed, meant) in [("shop-us", Some("shop-eu")), ("sho", Some("shop")), ("lakes", Some("lake"))] {
            assert_eq!(nearest(typed, &names), meant, "{typed}");
        }
        assert_eq!(nearest("orders", &names), None);
        assert_eq!(nearest("x", &names), None);
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (0..10).map(|number| format!("source-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = among("sources are", "orders", &names, str::to_string);
        assert!(hint.starts_with("sources are: source-0, ") && hint.ends_with(", and 2 more"), "{hint}");
        assert_eq!(among("tags are", "x", &[], str::to_string), "tags are: none");
    }

    #[test]
    fn a_path_in_place_of_a_snapshot_is_written_as_one() {
        for (typed, instead) in
            [("lake/sub/x", "lake:/sub/x"), ("lake@latest/x", "lake@latest:/x"), ("/sub/x", "SNAP:/sub/x")]
        {
            assert!(as_path(typed).ends_with(instead), "{}", as_path(typed));
        }
        for (typed, instead) in [
            ("lake:sub/x", ": lake:/sub/x"),
            ("lake@latest:sub/x", ": lake@latest:/sub/x"),
            ("lake@2026-11-20T10:00:00/x", ": lake@2026-11-20T10:00:00:/x"),
        ] {
            assert!(as_path(typed).ends_with(instead), "{}", as_path(typed));
        }
        assert!(as_path("lake:/sub").ends_with(": lake"));
    }
}
