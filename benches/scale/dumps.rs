//! A dump of 50 GB. What is wanted of one table shall not feel the others.

use std::collections::HashSet;
use std::io::{BufWriter, Read, Write};
use std::process::Stdio;
use std::time::Instant;

use crate::support::{Daemon, Noise, Reads, Size, Workplace, drop_caches, megabytes, report, stored_bytes};
use crate::{expect_within, print_heading};

const TABLES: u64 = 2_000;
/// Of each table, all of them with the same rows: so few new chunks take little room, and what the parts are made of is real.
const TABLE_BYTES: usize = 25_000_000;
/// As long as `mariadb-dump` makes a statement.
const STATEMENT_BYTES: usize = 1_046_528;

const ALL: Size = Size::Bytes(TABLES * TABLE_BYTES as u64);

/// What the first byte of a table may take in the middle.
const GOAL_MILLISECONDS: f64 = 50.0;

/// Tables that are looked at in each way, each only once.
const LOOKS: usize = 20;

pub fn run(workplace: &Workplace) {
    print_heading();
    let program = std::env::current_exe().expect("this program");
    let ingest = ["ingest".as_ref(), "mysql".as_ref(), "--source".as_ref(), "shop".as_ref(), "--".as_ref()];
    let command = [program.as_os_str(), "print-dump".as_ref(), workplace.place.as_os_str()];
    report("ingest mysql", ALL, &workplace.run(&[&ingest[..], &command[..]].concat(), 0));
    println!("{:<36} {:>13.2} MB stored", "", megabytes(stored_bytes(&workplace.path("repository"))));
    println!(
        "{:<36} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "first byte of a table", "median ms", "max ms", "reads", "KB", "asked"
    );
    let mut tables = random_tables();
    let mut tables = move || tables.next().expect("more tables than looks");
    // Nearly all of this is the kernel reading the program from the disk, which a mount has done before.
    looks("cat", || look_by_cat(workplace, &format!("{}/data.sql", tables())));
    let took = looks("new mount", || {
        let daemon = workplace.mount("mnt");
        let look = look_by_mount(&daemon, &format!("{}/data.sql", tables()));
        daemon.stop();
        look
    });
    expect_within("new mount", took, GOAL_MILLISECONDS);
    let daemon = workplace.mount("mnt");
    for file in ["data.sql", "restore.sql"] {
        let way = format!("mount, {file}");
        let took = looks(&way, || look_by_mount(&daemon, &format!("{}/{file}", tables())));
        expect_within(&way, took, GOAL_MILLISECONDS);
    }
    daemon.stop();
}

/// Names of tables in no order, each once.
fn random_tables() -> impl Iterator<Item = String> {
    let (mut noise, mut seen) = (Noise(21), HashSet::new());
    std::iter::from_fn(move || Some(noise.next() % TABLES))
        .filter(move |&number| seen.insert(number))
        .map(|number| format!("shop/tables/t{number:04}"))
}

/// What it took to get the first byte of a file.
struct Look {
    seconds: f64,
    reads: Reads,
    /// Requests of the kernel.
    requests: u64,
}

/// Looks several times, each time without the kernel's caches, prints the medians, and returns that of milliseconds.
fn looks(way: &str, mut look: impl FnMut() -> Look) -> f64 {
    let all: Vec<Look> = (0..LOOKS)
        .map(|_| {
            drop_caches();
            look()
        })
        .collect();
    let median = |of: &dyn Fn(&Look) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[values.len() - 1])
    };
    let (middle, longest) = median(&|it| it.seconds * 1e3);
    let (reads, kilobytes) = (median(&|it| it.reads.calls as f64).0, median(&|it| it.reads.bytes as f64 / 1e3).0);
    let requests = median(&|it| it.requests as f64).0;
    println!("{way:<36} {middle:>9.1} {longest:>9.1} {reads:>9.0} {kilobytes:>9.0} {requests:>9.0}");
    middle
}

fn look_by_mount(daemon: &Daemon, path: &str) -> Look {
    let path = daemon.latest("shop").join(path);
    let (reads, requests, started) = (daemon.reads(), daemon.request_count(), Instant::now());
    let mut byte = [0];
    std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut byte)).expect("a byte of the table");
    let seconds = started.elapsed().as_secs_f64();
    let after = daemon.reads();
    let reads = Reads { calls: after.calls - reads.calls, bytes: after.bytes - reads.bytes };
    Look { seconds, reads, requests: daemon.request_count() - requests }
}

fn look_by_cat(workplace: &Workplace, path: &str) -> Look {
    let started = Instant::now();
    let mut child =
        workplace.command(["cat", &format!("shop:/{path}")]).stdout(Stdio::piped()).spawn().expect("the binary");
    let mut byte = [0];
    let mut output = child.stdout.take().expect("a pipe");
    output.read_exact(&mut byte).expect("a byte of the table");
    let (seconds, reads) = (started.elapsed().as_secs_f64(), Reads::of(child.id()));
    // It ends as nobody reads on.
    drop(output);
    child.wait().expect("its end");
    Look { seconds, reads, requests: 0 }
}

/// Prints the dump.
pub fn print(_: &Workplace) {
    let statements = statements();
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut write = |text: &[u8]| out.write_all(text).expect("somebody who reads");
    write(b"-- MariaDB dump 10.19\n-- Host: h    Database: shop\n");
    for table in 0..TABLES {
        let columns = "`id` int NOT NULL, `text` text, PRIMARY KEY (`id`)";
        write(
            format!("--\n-- Table structure for table `t{table:04}`\n--\n\nDROP TABLE IF EXISTS `t{table:04}`;\n")
                .as_bytes(),
        );
        write(format!("CREATE TABLE `t{table:04}` ({columns});\n\n").as_bytes());
        write(
            format!("--\n-- Dumping data for table `t{table:04}`\n--\n\nLOCK TABLES `t{table:04}` WRITE;\n").as_bytes(),
        );
        for statement in &statements {
            write(format!("INSERT INTO `t{table:04}` VALUES\n").as_bytes());
            write(statement);
        }
        write(b"UNLOCK TABLES;\n\n");
    }
    write(b"-- Dump completed on 2026-11-26 10:00:00\n");
    out.flush().expect("somebody who reads");
}

/// The rows of a table, as statements that lack their beginning.
fn statements() -> Vec<Vec<u8>> {
    let (mut noise, mut id, mut bytes, mut all) = (Noise(11), 0, 0, Vec::new());
    while bytes < TABLE_BYTES {
        let mut statement = Vec::with_capacity(STATEMENT_BYTES + 300);
        while statement.len() < STATEMENT_BYTES.min(TABLE_BYTES - bytes) {
            let separator: &[u8] = if statement.is_empty() { b"" } else { b",\n" };
            statement.extend_from_slice(separator);
            id += 1;
            let (a, b) = (noise.next(), noise.next());
            statement.extend_from_slice(format!("({id},'{a:016x} {b:016x} {:0>180}')", a % 1_000_000_000).as_bytes());
        }
        statement.extend_from_slice(b";\n");
        bytes += statement.len();
        all.push(statement);
    }
    all
}
