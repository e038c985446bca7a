//! Two dumps of a million rows of which few differ. The time shall follow what differs.

use std::fs::File;
use std::io::{BufWriter, Write};

use crate::support::bson::{document, number, text};
use crate::support::{Noise, Size, Workplace, report};
use crate::{expect_within, median, print_heading};

const ROWS: u64 = 1_000_000;
/// As long as `mariadb-dump` makes a statement.
const STATEMENT_BYTES: usize = 1_046_528;

/// How many rows differ between the first dump and the ones after it.
const CHANGED: [u64; 3] = [1, 1_000, 10_000];

/// Of so many that differ it may take so long to tell which they are.
const GOAL: (u64, f64) = (1_000, 200.0);

type Out = BufWriter<File>;

/// What can be ingested, by the name of the command.
type Form = (&'static str, &'static str, fn(&mut Out, &mut dyn Iterator<Item = Row>) -> std::io::Result<()>);

/// By kind: how the file is called, and who writes it.
const FORMS: [Form; 3] = [
    ("mysql", "shop.sql", write_mysql),
    ("postgres", "shop.sql", write_postgres),
    ("mongo", "orders.bson", write_bson),
];

pub fn run(workplace: &Workplace) {
    for form in FORMS {
        println!("{}", form.0);
        print_heading();
        ingest(workplace, &form);
        diff(workplace, form.0);
    }
}

fn ingest(workplace: &Workplace, (kind, name, write): &Form) {
    let input = workplace.path(kind);
    let directory = input.join("shop");
    std::fs::create_dir_all(&directory).expect("a directory");
    let dump = directory.join(name);
    let input = if *kind == "mongo" { &input } else { &dump };
    for changed in [0].into_iter().chain(CHANGED) {
        let mut out = BufWriter::new(File::create(&dump).expect("a file"));
        write(&mut out, &mut rows(changed)).and_then(|()| out.flush()).expect("room for a dump");
        if *kind == "mongo" {
            std::fs::write(directory.join("orders.metadata.json"), METADATA).expect("a file");
        }
        let words = ["ingest".as_ref(), kind.as_ref(), "--source".as_ref(), kind.as_ref(), input.as_os_str()];
        let taken = workplace.run(&words, 0);
        let bytes = dump.metadata().map_or(0, |it| it.len());
        report(&format!("ingest, {changed} rows updated"), Size::Bytes(bytes), &taken);
    }
}

fn diff(workplace: &Workplace, kind: &str) {
    for (number, changed) in CHANGED.into_iter().enumerate() {
        let before = |number: usize| format!("{kind}@latest~{number}");
        let (old, new) = (before(CHANGED.len()), before(CHANGED.len() - 1 - number));
        let forms: &[&[&str]] = if kind == "mongo" { &[&[]] } else { &[&[], &["--sql"]] };
        for form in forms {
            let words = [&["diff", "--rows"], *form, &["--", &old, &new]].concat();
            let taken = median(|| workplace.run(&words, 1));
            let step = format!("{}, {changed} differ", words[..words.len() - 3].join(" "));
            report(&step, Size::Entries(changed), &taken);
            if changed == GOAL.0 {
                expect_within(&format!("{kind}: {step}"), taken.seconds * 1e3, GOAL.1);
            }
        }
    }
}

/// What a row holds.
struct Row {
    id: u64,
    customer: u64,
    status: &'static str,
    day: u64,
    text: String,
}

/// All, of which so many, spread over them, have another status.
fn rows(changed: u64) -> impl Iterator<Item = Row> {
    let mut noise = Noise(5);
    (0..ROWS).map(move |id| {
        let (a, b, c) = (noise.next(), noise.next(), noise.next());
        // 7919 is prime to the number of rows, so no row is counted twice.
        let status = if id * 7919 % ROWS < changed { "sent" } else { "open" };
        let text = format!("{a:016x} {b:016x} {c:016x} {:0>120}", c % 1_000_000_000);
        Row { id, customer: a % 9973, status, day: b % 28 + 1, text }
    })
}

fn write_mysql(out: &mut Out, rows: &mut dyn Iterator<Item = Row>) -> std::io::Result<()> {
    let columns =
        "`id` int NOT NULL, `customer` int, `status` varchar(9), `at` datetime, `text` text, PRIMARY KEY (`id`)";
    writeln!(out, "-- MariaDB dump 10.19\n-- Host: h    Database: shop\nCREATE TABLE `orders` ({columns});")?;
    let mut statement = Vec::new();
    for Row { id, customer, status, day, text } in rows {
        let separator = if statement.is_empty() { "INSERT INTO `orders` VALUES\n" } else { ",\n" };
        write!(statement, "{separator}({id},{customer},'{status}','2026-11-{day:02} 10:00:00','{text}')")?;
        if statement.len() > STATEMENT_BYTES || id + 1 == ROWS {
            statement.extend_from_slice(b";\n");
            out.write_all(&statement)?;
            statement.clear();
        }
    }
    writeln!(out, "-- Dump completed on 2026-11-26 10:00:00")
}

fn write_postgres(out: &mut Out, rows: &mut dyn Iterator<Item = Row>) -> std::io::Result<()> {
    let columns = "id integer NOT NULL, customer integer, status text, at timestamp, text text";
    writeln!(out, "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.orders ({columns});\n")?;
    writeln!(out, "COPY public.orders (id, customer, status, at, text) FROM stdin;")?;
    for Row { id, customer, status, day, text } in rows {
        writeln!(out, "{id}\t{customer}\t{status}\t2026-11-{day:02} 10:00:00\t{text}")?;
    }
    writeln!(out, "\\.\n\nALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);\n")?;
    writeln!(out, "--\n-- PostgreSQL database dump complete\n--\n")
}

const METADATA: &str = r#"{"indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"}],"uuid":"","collectionName":"orders","type":"collection"}"#;

fn write_bson(out: &mut Out, rows: &mut dyn Iterator<Item = Row>) -> std::io::Result<()> {
    for Row { id, customer, status, day, text: note } in rows {
        let day = format!("2026-11-{day:02} 10:00:00");
        let numbers = [("_id", id), ("customer", customer)].map(|(name, value)| number(name, value));
        let texts = [("status", status), ("at", &day), ("text", &note)].map(|(name, value)| text(name, value));
        out.write_all(&document(&[&numbers[..], &texts].concat()))?;
    }
    Ok(())
}
