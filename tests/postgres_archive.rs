//! Stories of ingesting what `pg_dump` writes for `pg_restore`: the text that it stands for, and the same archive again.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::dumped::{Dumped, kept_incomplete, options, reader};
use support::mounted::Stage;
use support::postgres::{Postgres, content};
use support::repository::{TestRepository, now};
use support::server::{refused, restore_into, restored};
use support::stored::{assert_sound, stored_tree};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::postgres::archive::reader_of;
use yesterfs::dump::unpack::Output;
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpInput, DumpOptions, DumpRules, OriginalPolicy};
use yesterfs::ingest::postgres::ingest_postgres;
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Recorder;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::snapshot::SnapshotStatus;

const HOSTILE: &str = include_str!("postgres/hostile.sql");

fn ingest(place: &TestRepository, options: DumpOptions) -> Result<IngestReport> {
    ingest_postgres(&place.repository, options, &now, &Recorder::default())
}

fn server_with_shop(start: fn() -> Postgres) -> Postgres {
    let server = start();
    server.run("postgres", HOSTILE);
    server
}

/// An archive that a test made, and what it is called.
struct Made {
    path: PathBuf,
    is_directory: bool,
}

/// What `pg_dump` makes of a database with these options.
fn archive(server: &Postgres, database: &str, arguments: &[&str]) -> Made {
    let path = server.new_path("archive");
    let file = path.to_str().unwrap();
    server.dump("pg_dump", &[arguments, &["-f", file, database]].concat());
    Made { is_directory: path.is_dir(), path }
}

impl Made {
    fn options(&self) -> DumpOptions {
        options(StreamInput::File(self.path.clone()))
    }

    /// Its only file.
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// Its files by their names below `_original`.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
        let read = |path: PathBuf| (name(&path), std::fs::read(&path).unwrap());
        match self.is_directory {
            true => std::fs::read_dir(&self.path).unwrap().map(|entry| read(entry.unwrap().path())).collect(),
            false => BTreeMap::from([read(self.path.clone())]),
        }
    }
}

/// Text without what is another one each time.
fn without_keys(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.starts_with(b"\\restrict ") && !line.starts_with(b"\\unrestrict "))
        .flatten()
        .copied()
        .collect()
}

#[track_caller]
fn assert_same_text(found: &[u8], expected: &[u8], what: &str) {
    let (found, expected) = (without_keys(found), without_keys(expected));
    if found != expected {
        let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_string).collect::<Vec<_>>();
        let (found, expected) = (lines(&found), lines(&expected));
        let at = found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
        let near = |lines: &[String]| lines[at.saturating_sub(3)..(at + 5).min(lines.len())].join("\n");
        panic!("{what}, line {at}:\n{}\n--- is not ---\n{}", near(&found), near(&expected));
    }
}

/// Forms, and options that change what is in them.
const VARIANTS: &[&[&str]] = &[
    &["-Fd"],
    &["-Fd", "-Z0"],
    &["-Ft"],
    &["-Fc"],
    &["-Fc", "-Z0"],
    &["-Fc", "-Z9"],
    &["-Fd", "-Z0", "--inserts"],
    &["-Ft", "--column-inserts"],
    &["-Fc", "-Z0", "--rows-per-insert=7"],
    &["-Ft", "--schema-only"],
    &["-Fd", "-Z1", "--data-only"],
    &["-Fc", "--quote-all-identifiers"],
    &["-Ft", "--load-via-partition-root"],
    &["-Fd", "--section=pre-data"],
    &["-Fc", "--section=post-data"],
    &["-Ft", "--no-blobs", "--no-comments", "--no-privileges"],
    &["-Fd", "-j2"],
];

/// The same for version 18, which compresses in more ways.
const VARIANTS_OF_18: &[&[&str]] = &[
    &["-Fd"],
    &["-Fd", "--compress=none"],
    &["-Ft"],
    &["-Fc"],
    &["-Fc", "--compress=none"],
    &["-Fc", "--statistics"],
    &["-Fd", "--statistics", "--inserts"],
    &["-Ft", "--schema-only"],
];

#[test]
fn an_archive_is_the_text_that_pg_restore_makes_of_it() {
    assert_texts(&server_with_shop(Postgres::start), VARIANTS);
}

#[test]
fn an_archive_of_version_18_is_so_too() {
    assert_texts(&server_with_shop(Postgres::start_18), VARIANTS_OF_18);
}

fn assert_texts(server: &Postgres, variants: &[&[&str]]) {
    for &arguments in variants {
        let (place, made) = (TestRepository::new(), archive(server, "shop", arguments));
        let found = Dumped::of(&place, ingest(&place, made.options()).unwrap());
        let text = server.text_of(&made.path);
        assert_same_text(found.file("dump.sql"), &text, &format!("{arguments:?}"));
        found.assert_parts_are_the_dump(found.file("dump.sql"));
        assert_eq!(found.manifest.status, SnapshotStatus::Complete, "{arguments:?}");
        assert_originals(&place, &found, &made, server);
        assert_sound(&place.reopen().unwrap());
    }
}

#[test]
fn names_are_quoted_as_pg_restore_does() {
    for start in [Postgres::start, Postgres::start_18] {
        let (server, place) = (start(), TestRepository::new());
        server.run("postgres", "CREATE DATABASE shop; CREATE ROLE \"select\"");
        let made = "SELECT format('CREATE TABLE public.%I (); ALTER TABLE public.%I OWNER TO \"select\";', word, word) \
                    FROM (SELECT word FROM pg_get_keywords() UNION VALUES ('a1'), ('1a'), ('A'), ('a\"b'), ('a b')) AS words";
        let statements = server.run("shop", made);
        server.run("shop", statements);
        let made = archive(&server, "shop", &["-Fc"]);
        let found = Dumped::of(&place, ingest(&place, made.options()).unwrap());
        assert_same_text(found.file("dump.sql"), &server.text_of(&made.path), "keywords");
    }
}

#[test]
fn files_of_a_directory_may_be_compressed_in_every_way() {
    let (server, place) = (server_with_shop(Postgres::start), TestRepository::new());
    for (program, suffix) in [("gzip", "gz"), ("zstd", "zst"), ("lz4", "lz4")] {
        let made = archive(&server, "shop", &["-Fd", "-Z0"]);
        let text = server.text_of(&made.path);
        for (name, _) in made.files() {
            let path = made.path.join(&name);
            if name.ends_with(".dat") && name != "toc.dat" {
                let output = Command::new(program).arg("-c").arg(&path).output().unwrap();
                assert!(output.status.success(), "{output:?}");
                std::fs::write(made.path.join(format!("{name}.{suffix}")), output.stdout).unwrap();
                std::fs::remove_file(path).unwrap();
            }
        }
        let found = Dumped::of(&place, ingest(&place, made.options()).unwrap());
        assert_same_text(found.file("dump.sql"), &text, program);
        for (name, bytes) in made.files() {
            assert!(rebuilt(&place, &name) == bytes, "{name} is another one");
        }
        // What ends early is not whole.
        let cut =
            made.files().into_iter().find(|(name, bytes)| name.ends_with(suffix) && bytes.len() > 10_000).unwrap();
        std::fs::write(made.path.join(&cut.0), &cut.1[..cut.1.len() / 2]).unwrap();
        let refused = ingest(&place, made.options()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("is cut off after") && refused.contains(&cut.0), "{refused}");
    }
}

/// The file of this name that the last snapshot was made of.
fn rebuilt(place: &TestRepository, name: &str) -> Vec<u8> {
    let snapshot = place.repository.catalog().snapshots().next_back().unwrap().clone();
    let mut bytes = Vec::new();
    let take = &mut |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    rebuild_original(&place.repository, &snapshot, Some(name.as_bytes()), take).unwrap();
    bytes
}

/// What is kept makes the same archive again, which `pg_restore` takes.
fn assert_originals(place: &TestRepository, found: &Dumped, made: &Made, server: &Postgres) {
    let again = server.new_path("again");
    if made.is_directory {
        std::fs::create_dir(&again).unwrap();
    }
    for (name, bytes) in made.files() {
        let rebuilt = rebuilt(place, &name);
        assert!(rebuilt == bytes, "{name} came back as another one");
        std::fs::write(if made.is_directory { again.join(&name) } else { again.clone() }, rebuilt).unwrap();
        if !name.ends_with(".gz") && !found.paths().contains(&format!("_original/{name}.recipe")) {
            assert!(found.file(&format!("_original/{name}")) == bytes, "{name} is another one");
        }
    }
    assert!(!server.list_of(&again).is_empty());
}

/// What is told of an archive that is one file, which comes in pieces of this length: its text, itself, and its fault.
fn read(bytes: &[u8], length: usize) -> (Vec<u8>, Vec<u8>, Option<String>) {
    let mut reader = reader_of(bytes, "key", UnwrapLimit::NoBomb).expect("an archive");
    let (mut text, mut container) = (Vec::new(), Vec::new());
    let mut tell = |output: Output| {
        if let Output::Shared(bytes) | Output::Text(bytes) = output {
            text.extend_from_slice(bytes);
        }
        if let Output::Shared(bytes) | Output::Frame(bytes) = output {
            container.extend_from_slice(bytes);
        }
        Ok(())
    };
    bytes.chunks(length).for_each(|piece| reader.push(piece, &mut tell).unwrap());
    let end = reader.finish(&mut tell).unwrap();
    (text, container, end.fault)
}

/// By these it is taken for an archive.
const MAGIC_BYTES: usize = 8;

#[test]
fn archives_that_end_anywhere_or_are_damaged_are_never_whole_and_never_lost() {
    let server = Postgres::start();
    server.run("postgres", "CREATE DATABASE shop");
    server.run(
        "shop",
        "CREATE TABLE a (x integer, y text); INSERT INTO a SELECT i, 'row ' || i FROM generate_series(1, 50) i",
    );
    server.run("shop", "CREATE VIEW v AS SELECT * FROM a; SELECT lo_from_bytea(7, 'large'); CREATE INDEX ON a (x)");
    for arguments in [&["-Fc"][..], &["-Fc", "-Z0"], &["-Ft"]] {
        let bytes = archive(&server, "shop", arguments).bytes();
        let whole = read(&bytes, bytes.len());
        assert!(whole.1 == bytes && whole.2.is_none(), "{arguments:?}: {:?}", whole.2);
        for length in [1, 7, 511, 4096] {
            assert!(read(&bytes, length) == whole, "{arguments:?} in pieces of {length} bytes");
        }
        for end in (MAGIC_BYTES..bytes.len()).step_by(bytes.len() / 3000 + 1).chain([bytes.len() - 1]) {
            let (_, container, fault) = read(&bytes[..end], 4096);
            assert!(container == bytes[..end], "{arguments:?}: {end} bytes are others");
            assert!(fault.is_some(), "{arguments:?}: {end} of {} bytes are whole", bytes.len());
        }
        // Whatever a bit changes, all bytes are there again.
        for at in (MAGIC_BYTES..bytes.len()).step_by(bytes.len() / 3000 + 1) {
            for bit in [0, 3, 7] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged, 4096).1 == damaged, "{arguments:?}: byte {at}");
            }
        }
    }
}

#[test]
fn an_archive_that_is_not_whole_makes_no_snapshot_unless_it_is_to_be_kept() {
    let (server, place) = (server_with_shop(Postgres::start), TestRepository::new());
    for arguments in [&["-Fc"][..], &["-Fc", "-Z0"], &["-Ft"]] {
        let bytes = archive(&server, "shop", arguments).bytes();
        for part in [3, 10, 60, 90] {
            let half = &bytes[..bytes.len() / 100 * part];
            let refused = ingest(&place, options(reader(half)));
            assert!(matches!(refused, Err(Error::Incomplete { .. })), "{arguments:?}: {part} %: {refused:?}");
            let kept = ingest(&place, kept_incomplete(options(reader(half)))).unwrap();
            assert_eq!(kept.snapshot.manifest.status, SnapshotStatus::Incomplete);
            let name = if arguments[0] == "-Ft" { "dump.tar" } else { "dump.custom" };
            assert!(rebuilt(&place, name) == half, "{arguments:?}: {part} %");
        }
    }
    // One that is damaged is kept so, wherever that is.
    for arguments in [&["-Fc"][..], &["-Fc", "-Z0"]] {
        let bytes = archive(&server, "shop", arguments).bytes();
        let contents = bytes.len() / 10;
        for at in (contents..bytes.len()).step_by((bytes.len() - contents) / 25) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            ingest(&place, kept_incomplete(options(reader(&damaged)))).unwrap();
            assert!(rebuilt(&place, "dump.custom") == damaged, "{arguments:?}: byte {at}");
        }
    }
    let directory = archive(&server, "shop", &["-Fd", "-Z0"]);
    let rows = directory.files().into_keys().find(|name| name.ends_with(".dat") && name.as_bytes()[0].is_ascii_digit());
    let rows = directory.path.join(rows.unwrap());
    std::fs::rename(&rows, directory.path.join("gone")).unwrap();
    let refused = ingest(&place, directory.options()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("is missing"), "{refused}");
    let kept = Dumped::of(&place, ingest(&place, kept_incomplete(directory.options())).unwrap());
    for (name, bytes) in directory.files() {
        assert!(kept.file(&format!("_original/{name}")) == bytes, "{name} is another one");
    }
    // A name that leads elsewhere.
    let toc = std::fs::read(directory.path.join("toc.dat")).unwrap();
    let name = rows.file_name().unwrap().to_str().unwrap();
    let at = toc.windows(name.len()).position(|it| it == name.as_bytes()).unwrap();
    let mut elsewhere = toc.clone();
    elsewhere[at..at + 3].copy_from_slice(b"../");
    std::fs::write(directory.path.join("toc.dat"), elsewhere).unwrap();
    let refused = ingest(&place, directory.options()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("is no name of a file"), "{refused}");
}

#[test]
fn archives_and_text_of_one_database_cost_as_much_as_one_of_them() {
    let (server, place) = (server_with_shop(Postgres::start), TestRepository::new());
    server.run(
        "shop",
        "INSERT INTO public.large SELECT i, md5(i::text) || md5((-i)::text) FROM generate_series(20001, 100000) i",
    );
    let bytes = |report: Result<IngestReport>| report.unwrap().snapshot.manifest.bytes_stored;
    let of_shop = |input: StreamInput| {
        let inputs = vec![DumpInput { name: None, input, fallback_database: "shop".into() }];
        DumpOptions { inputs, ..options(reader(b"")) }
    };
    let first = bytes(ingest(&place, of_shop(reader(&server.dump("pg_dump", &["shop"])))));
    for arguments in
        [&["-Fd", "-Z0"][..], &["-Ft"], &["-Fd"], &["-Fd", "-Z0"], &["-Fc"], &["-Fc", "-Z1"], &["-Fc", "-Z0"], &["-Fc"]]
    {
        let more = bytes(ingest(&place, archive(&server, "shop", arguments).options()));
        println!("{arguments:?}: {more} bytes, besides {first}");
        assert!(more < first / 20, "{arguments:?}: {more} bytes, besides {first}");
    }
    // The file itself, where nothing is to make it again.
    let made = archive(&server, "shop", &["-Fd"]);
    let rules = DumpRules { original: OriginalPolicy::Keep, ..DumpRules::default() };
    let kept = Dumped::of(&place, ingest(&place, DumpOptions { rules, ..made.options() }).unwrap());
    for (name, bytes) in made.files() {
        assert!(kept.file(&format!("_original/{name}")) == bytes, "{name} is another one");
    }
    let rules = DumpRules { original: OriginalPolicy::Drop, ..DumpRules::default() };
    let dropped = Dumped::of(&place, ingest(&place, DumpOptions { rules, ..made.options() }).unwrap());
    assert!(dropped.names("_original").is_empty() && dropped.file("dump.sql") == kept.file("dump.sql"));
    let made = archive(&server, "shop", &["-Fc"]);
    let rules = DumpRules { original: OriginalPolicy::Keep, ..DumpRules::default() };
    let kept = Dumped::of(&place, ingest(&place, DumpOptions { rules, ..made.options() }).unwrap());
    assert!(kept.file(&format!("_original/{}", kept.names("_original")[0])) == made.bytes());
    for arguments in [&["-Fc"][..], &["-Fc", "-Z0"]] {
        let rules = DumpRules { original: OriginalPolicy::Drop, ..DumpRules::default() };
        let options = DumpOptions { rules, ..archive(&server, "shop", arguments).options() };
        let dropped = Dumped::of(&place, ingest(&place, options).unwrap());
        assert!(dropped.names("_original").is_empty() && dropped.manifest.bytes_stored < first / 20, "{arguments:?}");
    }
}

#[test]
fn more_bytes_than_may_come_out_of_an_archive_are_an_error() {
    let (server, place) = (server_with_shop(Postgres::start), TestRepository::new());
    let made = archive(&server, "shop", &["-Fc"]);
    let allowed = |most| DumpRules { unwrap_limit: UnwrapLimit::Bytes(most), ..DumpRules::default() };
    let refused = ingest(&place, DumpOptions { rules: allowed(100_000), ..made.options() });
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("more than 100000 bytes come out of it"), "{refused}");
    ingest(&place, DumpOptions { rules: allowed(100 << 20), ..made.options() }).unwrap();
}

#[test]
fn an_archive_that_was_compressed_again_is_kept_so() {
    let (server, place) = (server_with_shop(Postgres::start), TestRepository::new());
    for form in ["-Fc", "-Ft"] {
        let made = archive(&server, "shop", &[form]);
        let gzip = Command::new("gzip").arg("--keep").arg(&made.path).output().unwrap();
        assert!(gzip.status.success(), "{gzip:?}");
        let wrapped = std::fs::read(made.path.with_extension("gz")).unwrap();
        let found = Dumped::of(&place, ingest(&place, options(reader(&wrapped))).unwrap());
        assert_same_text(found.file("dump.sql"), &server.text_of(&made.path), form);
        assert!(found.file("_original/dump.sql.gz") == wrapped);
    }
}

#[test]
fn an_archive_is_loaded_into_a_server_again() {
    let (server, stage) = (server_with_shop(Postgres::start), Stage::new());
    for form in ["-Fc", "-Ft", "-Fd"] {
        let made = archive(&server, "shop", &[form]);
        stage.succeed(&["ingest", "postgres", "--source", "shop", made.path.to_str().unwrap()]);
        restored(&restore_into(&stage, &server.url("copy"), &[]));
        assert_eq!(content(&server, "copy", &[]), content(&server, "shop", &[]), "{form}");
        server.run("postgres", "DROP DATABASE copy");
        let table = ["--table", "shop.public.large", "--as", "copy.public.large"];
        restored(&restore_into(&stage, &server.url(""), &table));
        let of_table = |database: &str| content(&server, database, &["-t", "public.large"]);
        assert_eq!(of_table("copy"), of_table("shop"), "{form}");
        server.run("postgres", "DROP DATABASE copy");
        let shown = stage.succeed(&["show", "shop", "--json"]);
        let kind = match form {
            "-Fc" => "custom",
            "-Ft" => "tar",
            _ => "directory",
        };
        assert!(shown.contains(&format!("\"archive\":\"{kind}, version 1.")), "{shown}");
    }
}

/// Databases that have a table of the same name each, and the forms in which they are dumped.
const DATABASES: [(&str, &[&str], &str); 6] = [
    ("north", &["-Fc"], "north.dump"),
    ("south", &["-Ft"], "south.tar"),
    ("east", &["-Ft"], "east.backup"),
    ("west", &["-Fd", "-Z0"], "west"),
    ("centre", &["-Fd"], "centre.dir"),
    ("abroad", &[], "abroad.sql"),
];

/// A directory with a dump of each of them.
fn dumps_of_all(server: &Postgres, stage: &Stage) -> PathBuf {
    let folder = stage.make_directory("dumps");
    for (database, form, name) in DATABASES {
        server.run("postgres", format!("CREATE DATABASE {database}"));
        let rows = "SELECT i, md5(current_database() || i) FROM generate_series(1, 3000) i";
        server.run(
            database,
            format!("CREATE TABLE orders (id serial PRIMARY KEY, note text); INSERT INTO orders {rows}"),
        );
        let to = folder.join(name);
        server.dump("pg_dump", &[form, &["-f", to.to_str().unwrap(), database]].concat());
    }
    let zipped = Command::new("gzip").arg(folder.join("north.dump")).status().unwrap();
    assert!(zipped.success());
    std::fs::write(folder.join("notes.txt"), "no dump").unwrap();
    std::fs::create_dir(folder.join("no dump")).unwrap();
    folder
}

fn ingested(stage: &Stage, words: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["ingest", "postgres", "--source", "shop"]).args(words);
    command.output().unwrap()
}

#[test]
fn dumps_of_several_databases_in_every_form_make_one_snapshot() {
    let (server, stage) = (Postgres::start(), Stage::new());
    let folder = dumps_of_all(&server, &stage);
    let output = ingested(&stage, &[folder.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("\": no dump, notes.txt\n"), "{output:?}");
    let repository = stage.open();
    let snapshot = repository.catalog().snapshots().next_back().unwrap().clone();
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
    let tree = stored_tree(&repository, &snapshot).unwrap();
    let has = |path: &str, bytes: &[u8]| tree.get(path.as_bytes()).is_some_and(|(_, found)| found == bytes);
    // Each archive is there as it came, two of them put together of frames of their own.
    let original = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for name in ["north.dump.gz", "south.tar", "east.backup"] {
        assert!(has(&format!("_original/{name}"), &original(name)), "{name} is another one");
    }
    assert!(tree.contains_key(&b"_meta/frame"[..]) && tree.contains_key(&b"_meta/frame-2"[..]));
    let ends_so = |suffix: &str| tree.keys().filter(|path| path.ends_with(suffix.as_bytes())).count();
    assert_eq!(ends_so("toc.dat"), 2, "those of both directories");
    for path in std::fs::read_dir(folder.join("west")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(tree.values().any(|(_, found)| *found == bytes), "{} is lost", path.display());
    }
    let (_, inputs) = &tree[&b"_meta/inputs"[..]];
    assert_eq!(String::from_utf8_lossy(inputs).lines().count(), DATABASES.len());

    for (database, ..) in DATABASES {
        let table = ["--table", &format!("{database}.public.orders"), "--as", "copy.public.orders"];
        restored(&restore_into(&stage, &server.url(""), &table));
        let of_table = |database: &str| content(&server, database, &["-t", "public.orders"]);
        assert_eq!(of_table("copy"), of_table(database), "{database}");
        server.run("postgres", "DROP DATABASE copy");
    }
    // In one database they would all be mixed up; each has its own.
    let said = refused(&restore_into(&stage, &server.url("copy"), &[]), 2);
    assert!(
        said.contains("does not name its databases \"abroad\", \"centre\", \"east\"") && said.contains("--table"),
        "{said}"
    );
    assert_eq!(server.run("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'copy'").trim(), "0");
    let other = Postgres::start();
    restored(&restore_into(&stage, &other.url(""), &[]));
    for (database, ..) in DATABASES {
        assert_eq!(content(&other, database, &[]), content(&server, database, &[]), "{database}");
    }
}

#[test]
fn a_database_in_two_archives_of_postgresql_is_refused() {
    let (server, stage) = (Postgres::start(), Stage::new());
    server.run("postgres", "CREATE DATABASE shop");
    server.run("shop", "CREATE TABLE orders (id integer)");
    let made = ["-Fc", "-Ft", "-Fd"].map(|form| archive(&server, "shop", &[form]).path);
    for [first, second] in [[0, 1], [1, 2], [2, 0]] {
        let [first, second] = [&made[first], &made[second]].map(|path| path.to_str().unwrap());
        let said = refused(&ingested(&stage, &[first, second]), 2);
        let expected = format!("database \"shop\" is not usable: both \"{first}\" and \"{second}\" dump it");
        assert!(said.contains(&expected), "{said}");
    }
    // One that is not whole makes all of them incomplete, and is told.
    let south = stage.path("south.dump");
    server.run("postgres", "CREATE DATABASE south");
    server.run("south", "CREATE TABLE orders AS SELECT i FROM generate_series(1, 100) i");
    server.dump("pg_dump", &["-Fc", "-f", south.to_str().unwrap(), "south"]);
    let whole = std::fs::read(&south).unwrap();
    std::fs::write(&south, &whole[..whole.len() - 20]).unwrap();
    let words = [made[0].to_str().unwrap(), south.to_str().unwrap()];
    let said = refused(&ingested(&stage, &words), 6);
    assert!(said.contains("south.dump\" is incomplete"), "{said}");
    let kept = ingested(&stage, &[&words[..], &["--keep-incomplete"]].concat());
    assert_eq!(kept.status.code(), Some(3), "{kept:?}");
    let repository = stage.open();
    let snapshot = repository.catalog().snapshots().next_back().unwrap().clone();
    let reason = &snapshot.manifest.facts["status_reason"];
    assert!(reason.starts_with(&format!("\"{}\": ", words[1])), "{reason}");
}
