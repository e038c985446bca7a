//! Whose dump it is that begins so: what is of another kind is refused by its name, and not as a broken dump.

use crate::dump::mongo::MAGIC;
use crate::dump::postgres::archive;
use crate::error::{Error, Result};
use crate::repository::snapshot::SnapshotKind;

/// So many bytes tell what a dump is.
pub const BEGINNING_BYTES: usize = 256;

/// So many lines are looked at: a sandbox mode stands before the first comment of MariaDB, a bare one before that of PostgreSQL.
const LINES_MAX: usize = 3;

const MYSQL_LINES: [&str; 2] = ["-- MySQL dump ", "-- MariaDB dump "];
const POSTGRES_LINES: [&str; 2] = ["-- PostgreSQL database dump", "-- PostgreSQL database cluster dump"];

/// Refuses a dump that begins so where it is of another kind than `kind`.
pub fn refuse_other_kind(kind: SnapshotKind, first: &[u8], name: &str) -> Result<()> {
    let reason = match kind_of(first).filter(|found| *found != kind) {
        Some(SnapshotKind::Mysql) => "it is a dump of MySQL or MariaDB, which yesterfs ingest mysql takes",
        Some(SnapshotKind::Postgres) => "it is a dump of PostgreSQL, which yesterfs ingest postgres takes",
        Some(SnapshotKind::Mongo) => "it is a dump of MongoDB, which yesterfs ingest mongo takes",
        _ => return Ok(()),
    };
    Err(Error::invalid("dump", name, reason))
}

/// `None` where nothing tells.
fn kind_of(first: &[u8]) -> Option<SnapshotKind> {
    let has = |beginnings: &[&str]| {
        let mut lines = first.split(|&byte| byte == b'\n').take(LINES_MAX);
        lines.any(|line| beginnings.iter().any(|beginning| line.starts_with(beginning.as_bytes())))
    };
    if first.starts_with(&MAGIC) {
        Some(SnapshotKind::Mongo)
    } else if has(&POSTGRES_LINES) || archive::kind_of(first).is_some() {
        Some(SnapshotKind::Postgres)
    } else if has(&MYSQL_LINES) {
        Some(SnapshotKind::Mysql)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_told_by_how_they_begin() {
        let kinds = [
            (&b"-- MySQL dump 10.13  Distrib 8.0"[..], Some(SnapshotKind::Mysql)),
            (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19", Some(SnapshotKind::Mysql)),
            (b"--\n-- PostgreSQL database dump\n--\n", Some(SnapshotKind::Postgres)),
            (b"--\n-- PostgreSQL database cluster dump\n--\n", Some(SnapshotKind::Postgres)),
            (b"PGDMP\x01\x0e", Some(SnapshotKind::Postgres)),
            (b"\x6d\xe2\x99\x81....", Some(SnapshotKind::Mongo)),
            (b"INSERT INTO t VALUES ('\n\n\n-- MySQL dump 10.13", None),
            (b"root:x:0:0:", None),
            (b"", None),
        ];
        for (first, kind) in kinds {
            assert_eq!(kind_of(first), kind, "{}", String::from_utf8_lossy(first));
        }
    }
}
