//! A hundred versions of a dump, of which each has other values in a thousandth of its rows than the one before: what they
//! take, and whether the last reads as fast as the first.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use crate::median;
use crate::support::{
    Daemon, Noise, Size, Taken, Workplace, drain, drop_caches, megabytes, print_heading, report, stored_bytes,
};

const VERSIONS: usize = 100;
const ROWS: usize = 1_000_000;
const UPDATED_ROWS: usize = ROWS / 1000;
/// In one statement.
const ROWS_A_STATEMENT: usize = 6000;

const STATES: [&str; 5] = ["new", "paid", "packed", "shipped", "refunded"];

pub fn run(workplace: &Workplace) {
    print_heading();
    let (table, dump) = (Table::new(), workplace.path("dump.sql"));
    let bytes = ingest_all(workplace, table, &dump);
    fs::remove_file(&dump).expect("the dump");
    let size = Size::Bytes(bytes);
    let versions = [("first", VERSIONS - 1), ("middle", VERSIONS / 2), ("last", 0)];
    for (version, back) in versions {
        let words = ["cat".to_string(), format!("shop@latest~{back}:/dump.sql")];
        report(&format!("cat of the {version} version"), size, &median(|| workplace.run(&words, 0)));
        let cold = || {
            drop_caches();
            workplace.run(&words, 0)
        };
        report(&format!("cat of the {version} version, cold"), size, &median(cold));
    }
    for (version, back) in versions {
        let taken = median(|| read_mounted(workplace, back));
        report(&format!("mount, read the {version} version, cold"), size, &taken);
    }
}

/// Ingests version after version; returns the length of the last.
fn ingest_all(workplace: &Workplace, mut table: Table, dump: &Path) -> u64 {
    let words: Vec<_> =
        ["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "cat"].map(AsRef::as_ref).into();
    let words = [&words[..], &[dump.as_os_str()]].concat();
    let (mut steps, mut stored, mut bytes) = (Vec::new(), Vec::new(), 0);
    for version in 0..VERSIONS {
        if version > 0 {
            table.update(version);
        }
        table.write(dump);
        bytes = fs::metadata(dump).expect("the dump").len();
        let before = stored_bytes(&workplace.path("repository"));
        let taken = workplace.run(&words, 0);
        let added = stored_bytes(&workplace.path("repository")) - before;
        if version == 0 {
            report("ingest stream, first", Size::Bytes(bytes), &taken);
            println!("{:<36} {:>13.2} MB stored", "", megabytes(added));
        } else {
            steps.push(taken);
            stored.push(added);
        }
    }
    steps.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = steps.swap_remove(steps.len() / 2);
    report("ingest stream, 0.1 % of rows updated", Size::Bytes(bytes), &middle);
    let all: u64 = stored.iter().sum();
    let (early, late) = (stored[..10].iter().sum::<u64>() / 10, stored[stored.len() - 10..].iter().sum::<u64>() / 10);
    println!("{:<36} {:>13.2} MB stored by {} of them", "", megabytes(all), VERSIONS - 1);
    println!("{:<36} {:>13.3} MB a step among the first ten", "", megabytes(early));
    println!("{:<36} {:>13.3} MB a step among the last ten", "", megabytes(late));
    let total = stored_bytes(&workplace.path("repository"));
    println!(
        "{:<36} {:>13.2} MB stored in all, of {:.1} GB",
        "",
        megabytes(total),
        bytes as f64 * VERSIONS as f64 / 1e9
    );
    bytes
}

fn read_mounted(workplace: &Workplace, back: usize) -> Taken {
    let daemon = workplace.mount("mnt");
    let dump = snapshot(workplace, back).join("dump.sql");
    drop_caches();
    let started = Instant::now();
    drain("cat", &[dump.as_os_str()]);
    let taken = daemon.taken(started.elapsed());
    Daemon::stop(daemon);
    taken
}

/// In the mount, the snapshot that is `back` before the latest.
fn snapshot(workplace: &Workplace, back: usize) -> std::path::PathBuf {
    let directory = workplace.path("mnt/snapshots/shop");
    let names = fs::read_dir(&directory).expect("the snapshots").map(|entry| entry.expect("a snapshot").file_name());
    let mut names: Vec<_> = names.filter(|name| name != "latest").collect();
    names.sort();
    directory.join(&names[names.len() - 1 - back])
}

/// A table whose rows are updated in place.
struct Table {
    noise: Noise,
    /// Of each row, the last version that updated it, and its state.
    rows: Vec<(u8, u8)>,
}

impl Table {
    fn new() -> Table {
        Table { noise: Noise(17), rows: vec![(0, 0); ROWS] }
    }

    fn update(&mut self, version: usize) {
        for _ in 0..UPDATED_ROWS {
            let (row, state) = (self.noise.next() as usize % ROWS, self.noise.next() as usize % STATES.len());
            self.rows[row] = (version as u8, state as u8);
        }
    }

    /// As mariadb-dump writes it.
    fn write(&self, path: &Path) {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a dump"));
        // The same for a row in every version.
        let mut noise = Noise(3);
        for (row, (version, state)) in self.rows.iter().enumerate() {
            let start = if row % ROWS_A_STATEMENT == 0 { "INSERT INTO `orders` VALUES\n(" } else { "(" };
            let is_last = row % ROWS_A_STATEMENT == ROWS_A_STATEMENT - 1 || row == ROWS - 1;
            let end = if is_last { ");\n" } else { "),\n" };
            let (a, b) = (noise.next(), noise.next());
            let (day, hour) = (version / 24 + 1, version % 24);
            writeln_row(&mut out, start, row, STATES[usize::from(*state)], (a, b), (day, hour));
            out.write_all(end.as_bytes()).expect("a row");
        }
        out.write_all(b"-- Dump completed\n").and_then(|()| out.flush()).expect("the dump's end");
    }
}

fn writeln_row(out: &mut impl Write, start: &str, row: usize, state: &str, (a, b): (u64, u64), (day, hour): (u8, u8)) {
    let (customer, price, cents) = (a % 1_000_000, a >> 40, b % 100);
    let (month, created) = (b % 12 + 1, (b >> 8) % 28 + 1);
    write!(
        out,
        "{start}{row},{customer},'{state}',{}.{cents:02},'customer-{customer:07}@example.org','{a:016x}',\
         '2025-{month:02}-{created:02} 08:{cents:02}:00','2026-01-{day:02} {hour:02}:00:00','note {b:016x}',NULL",
        price % 10_000,
        cents = cents % 60,
    )
    .expect("a row");
}
