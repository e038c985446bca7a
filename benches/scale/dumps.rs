//! A dump of 50 GB. What is wanted of one table shall not feel the others.

use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::support::{Noise, Size, Taken, Workplace, drop_caches, report};
use crate::{median, print_heading};

const TABLES: u64 = 2_000;
/// Of each table, all of them with the same rows: so few new chunks take little room, and what the parts are made of is real.
const TABLE_BYTES: usize = 25_000_000;
/// As long as `mariadb-dump` makes a statement.
const STATEMENT_BYTES: usize = 1_046_528;

const ALL: Size = Size::Bytes(TABLES * TABLE_BYTES as u64);

/// The table that is looked at, and others, which nobody has looked at before.
const TABLE: &str = "t1234";

pub fn run(workplace: &Workplace) {
    print_heading();
    let program = std::env::current_exe().expect("this program");
    let ingest = ["ingest".as_ref(), "mysql".as_ref(), "--source".as_ref(), "shop".as_ref(), "--".as_ref()];
    let command = [program.as_os_str(), "print-dump".as_ref(), workplace.place.as_os_str()];
    report("ingest mysql", ALL, &workplace.run(&[&ingest[..], &command[..]].concat(), 0));
    let cat = || first_byte_by_cat(workplace);
    report("cat, first byte of a table, warm", ALL, &median(cat));
    report("cat, first byte of a table, cold", ALL, &median(|| cold(cat)));
    let daemon = workplace.mount("mnt");
    let tables = daemon.latest("shop").join("shop/tables");
    let mut number = 0;
    let mut by_mount = |file: &str| {
        number += 100;
        let started = Instant::now();
        first_byte(&tables.join(format!("t{number:04}/{file}")));
        daemon.taken(started.elapsed())
    };
    report("mount, first byte of data.sql, warm", ALL, &median(|| by_mount("data.sql")));
    report("mount, first byte of data.sql, cold", ALL, &median(|| cold(|| by_mount("data.sql"))));
    report("mount, first byte of restore.sql", ALL, &median(|| by_mount("restore.sql")));
    daemon.stop();
}

fn cold(mut step: impl FnMut() -> Taken) -> Taken {
    drop_caches();
    step()
}

fn first_byte(path: &Path) {
    let mut byte = [0];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut byte)).expect("a byte of the table");
}

fn first_byte_by_cat(workplace: &Workplace) -> Taken {
    let started = Instant::now();
    let path = format!("shop:/shop/tables/{TABLE}/data.sql");
    let mut child = workplace.command(["cat", &path]).stdout(Stdio::piped()).spawn().expect("the binary");
    let mut byte = [0];
    child.stdout.take().expect("a pipe").read_exact(&mut byte).expect("a byte of the table");
    let seconds = started.elapsed().as_secs_f64();
    // It ends as nobody reads on.
    child.wait().expect("its end");
    Taken { seconds, peak_bytes: 0 }
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
