//! Two dumps of a million rows of which few differ. The time shall follow what differs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::support::{Noise, Size, Workplace, report};
use crate::{median, print_heading};

const ROWS: u64 = 1_000_000;
/// As long as `mariadb-dump` makes a statement.
const STATEMENT_BYTES: usize = 1_046_528;

/// How many rows differ between the first dump and the ones after it.
const CHANGED: [u64; 3] = [1, 1_000, 10_000];

pub fn run(workplace: &Workplace) {
    print_heading();
    let dump = workplace.path("shop.sql");
    for changed in [0].into_iter().chain(CHANGED) {
        write_dump(&dump, changed).expect("room for a dump");
        let words = ["ingest".as_ref(), "mysql".as_ref(), "--source".as_ref(), "shop".as_ref(), dump.as_os_str()];
        let taken = workplace.run(&words as &[&OsStr], 0);
        report(
            &format!("ingest, {changed} rows updated"),
            Size::Bytes(dump.metadata().map_or(0, |it| it.len())),
            &taken,
        );
    }
    for (number, changed) in CHANGED.into_iter().enumerate() {
        let (old, new) =
            (format!("shop@latest~{}", CHANGED.len()), format!("shop@latest~{}", CHANGED.len() - 1 - number));
        let taken = median(|| workplace.run(&["diff", "--rows", "--", &old, &new], 1));
        report(&format!("diff --rows, {changed} differ"), Size::Entries(changed), &taken);
        let taken = median(|| workplace.run(&["diff", "--rows", "--sql", &old, &new], 1));
        report(&format!("diff --rows --sql, {changed} differ"), Size::Entries(changed), &taken);
    }
}

/// Writes a dump in which so many rows, spread over all, have another status.
fn write_dump(path: &Path, changed: u64) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let columns =
        "`id` int NOT NULL, `customer` int, `status` varchar(9), `at` datetime, `text` text, PRIMARY KEY (`id`)";
    writeln!(out, "-- MariaDB dump 10.19\n-- Host: h    Database: shop\nCREATE TABLE `orders` ({columns});")?;
    let (mut noise, mut statement) = (Noise(5), Vec::new());
    for id in 0..ROWS {
        let (a, b, c) = (noise.next(), noise.next(), noise.next());
        // 7919 is prime to the number of rows, so no row is counted twice.
        let status = if id * 7919 % ROWS < changed { "sent" } else { "open" };
        let separator = if statement.is_empty() { "INSERT INTO `orders` VALUES\n" } else { ",\n" };
        statement.extend_from_slice(separator.as_bytes());
        let (customer, day) = (a % 9973, b % 28 + 1);
        write!(
            statement,
            "({id},{customer},'{status}','2026-11-{day:02} 10:00:00','{a:016x} {b:016x} {c:016x} {:0>120}')",
            c % 1_000_000_000
        )?;
        if statement.len() > STATEMENT_BYTES || id + 1 == ROWS {
            statement.extend_from_slice(b";\n");
            out.write_all(&statement)?;
            statement.clear();
        }
    }
    writeln!(out, "-- Dump completed on 2026-11-26 10:00:00")?;
    out.flush()
}
