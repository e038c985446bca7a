//! What a user types and gets: results, exit codes, messages, JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");

/// A directory with a repository, and a directory `lake` to ingest.
struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage { directory: TempDir::new().unwrap() };
        stage.succeed(&["init"]);
        fs::create_dir_all(stage.lake().join("sub/deep")).unwrap();
        fs::write(stage.lake().join("a.txt"), "some text\n").unwrap();
        fs::write(stage.lake().join("sub/b.sql"), "insert into b values (1);\n".repeat(1000)).unwrap();
        fs::write(stage.lake().join("sub/deep/c.sql"), "").unwrap();
        symlink("a.txt", stage.lake().join("link")).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(YESTERFS);
        command.env("YESTERFS_REPO", self.path("repo")).current_dir(self.directory.path());
        command.args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// Standard output of a command that must succeed without a word on standard error.
    #[track_caller]
    fn succeed(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}: {}", ran.stdout);
        ran.stdout
    }

    /// Standard error of a command that must fail with this code and print nothing else.
    #[track_caller]
    fn fail(&self, code: i32, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{words:?}: {}", ran.stderr);
        ran.stderr
    }

    #[track_caller]
    fn records(&self, words: &[&str]) -> Vec<Value> {
        records(&self.succeed(words))
    }

    #[track_caller]
    fn ingest(&self) {
        self.succeed(&["ingest", "dir", "lake", "--source", "lake"]);
    }
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or_else(|| panic!("{}", output.status));
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Every line as a JSON object with a type.
#[track_caller]
fn records(text: &str) -> Vec<Value> {
    let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    let records: Vec<Value> = text.lines().map(parse).collect();
    records.iter().for_each(|record| assert!(record["type"].is_string(), "{record}"));
    records
}

#[track_caller]
fn lines_in_order(text: &str, expected: &[&str]) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_first_ten_minutes_without_a_mount() {
    let stage = Stage::new();
    let ingested = stage.succeed(&["ingest", "dir", "lake", "--source", "lake", "--tag", "first"]);
    assert!(ingested.contains("complete") && ingested.contains("3 files"), "{ingested}");
    let snapshots = stage.succeed(&["snapshots"]);
    assert!(snapshots.lines().nth(1).is_some_and(|row| row.contains("lake") && row.ends_with("first")), "{snapshots}");
    lines_in_order(&stage.succeed(&["ls", "lake"]), &["a.txt", "link", "sub"]);
    lines_in_order(&stage.succeed(&["ls", "-R", "lake:/sub"]), &["b.sql", "deep", "deep/c.sql"]);
    assert_eq!(stage.succeed(&["cat", "lake:/a.txt"]), "some text\n");
    assert_eq!(stage.succeed(&["cat", "lake:/sub/b.sql"]).len(), 26_000);
    let long = stage.succeed(&["ls", "-l", "lake:/link"]);
    assert!(long.starts_with("lrwxrwxrwx") && long.ends_with("link -> a.txt\n"), "{long}");
    let shown = stage.succeed(&["show", "lake"]);
    assert!(shown.contains(&format!("directory {}", stage.lake().display())), "{shown}");
}

#[test]
fn what_find_prints_is_what_cat_takes() {
    let stage = Stage::new();
    stage.ingest();
    fs::write(stage.path("lake/a.txt"), "other text\n").unwrap();
    stage.ingest();
    let found = stage.succeed(&["find", "--all", "a.txt"]);
    let contents: Vec<String> = found.lines().map(|place| stage.succeed(&["cat", place])).collect();
    assert_eq!(contents, ["some text\n", "other text\n"], "{found}");
    assert_eq!(stage.succeed(&["find", "lake", "*.sql"]).lines().count(), 2);
    assert_eq!(stage.succeed(&["find", "lake", "/sub/*.sql"]).lines().count(), 1);
    assert_eq!(stage.succeed(&["find", "lake", "/**/*.sql"]).lines().count(), 2);
    assert_eq!(stage.succeed(&["find", "nothing"]), "");
}

#[test]
fn snapshots_are_named_by_id_time_and_place_in_line() {
    let stage = Stage::new();
    stage.ingest();
    std::thread::sleep(Duration::from_millis(1100));
    stage.ingest();
    let all = stage.records(&["snapshots", "--json"]);
    let id_of = |name: &str| stage.records(&["show", name, "--json"])[0]["id"].clone();
    let (first, second) = (&all[0]["id"], &all[1]["id"]);
    assert_eq!(all.len(), 2);
    for name in ["lake", "lake@latest", "lake@now", "lake@today", "lake@0s-ago", second.as_str().unwrap()] {
        assert_eq!(id_of(name), *second, "{name}");
    }
    for name in ["lake~1", "lake@latest~1", "lake@latest~", &first.as_str().unwrap()[..12]] {
        assert_eq!(id_of(name), *first, "{name}");
    }
    for snapshot in &all {
        let by_name = format!("lake@{}", snapshot["name"].as_str().unwrap());
        let by_time = format!("lake@{}", snapshot["started"].as_str().unwrap());
        assert_eq!(id_of(&by_name), snapshot["id"], "{by_name}");
        assert_eq!(id_of(&by_time), snapshot["id"], "{by_time}");
    }
    let too_old = stage.fail(2, &["show", "lake@1990"]);
    assert!(too_old.contains("lake@1990") && too_old.contains("hint: "), "{too_old}");
}

/// The codecs of the first records of all data packs.
fn codecs(stage: &Stage) -> Vec<u8> {
    let packs = files_below(&stage.path("repo/packs"));
    let mut codecs: Vec<u8> =
        packs.iter().map(|pack| fs::read(pack).unwrap()).filter(|pack| pack[14] == b'd').map(|pack| pack[27]).collect();
    codecs.sort_unstable();
    codecs
}

#[test]
fn compression_is_set_for_the_repository_and_changed_later() {
    let stage = Stage::new();
    assert!(stage.succeed(&["config"]).contains("compression  lz4\n"));
    stage.succeed(&["-q", "ingest", "dir", "lake", "--source", "one"]);
    assert_eq!(codecs(&stage), [1]);
    assert_eq!(stage.succeed(&["config", "--compression", "zstd"]), "");
    assert_eq!(records(&stage.succeed(&["config", "--json"]))[0]["compression"], "zstd:3");
    fs::write(stage.lake().join("new.sql"), "insert into new values (2);\n".repeat(1000)).unwrap();
    stage.succeed(&["-q", "ingest", "dir", "lake", "--source", "two"]);
    assert_eq!(codecs(&stage), [1, 3]);
    assert_eq!(stage.succeed(&["cat", "two:/new.sql"]).len(), 28_000);
    assert_eq!(stage.succeed(&["cat", "two:/sub/b.sql"]).len(), 26_000);
    let wrong = stage.run(&["config", "--compression", "zstd:20"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("zstd:1 to zstd:19"), "{}", wrong.stderr);
    stage.succeed(&["-q", "init", "--compression", "zstd:9", "other"]);
    assert!(stage.succeed(&["config", "--repo", "other"]).contains("compression  zstd:9\n"));
}

#[test]
fn tags_come_and_go_and_forgotten_snapshots_are_gone() {
    let stage = Stage::new();
    stage.ingest();
    stage.ingest();
    lines_in_order(&stage.succeed(&["tag", "lake", "--add", "keep", "--add", "audit"]), &["audit", "keep"]);
    lines_in_order(&stage.succeed(&["tag", "lake", "--remove", "audit"]), &["keep"]);
    assert_eq!(stage.records(&["snapshots", "--tag", "keep", "--json"]).len(), 1);
    let planned = stage.succeed(&["forget", "--dry-run", "lake~1"]);
    assert!(planned.starts_with("would forget "), "{planned}");
    assert_eq!(stage.records(&["snapshots", "--json"]).len(), 2);
    let forgotten = stage.succeed(&["forget", "lake~1", "lake~1", "--reason", "test"]);
    assert!(forgotten.contains("no room is reclaimed yet") && forgotten.matches("forgot ").count() == 1, "{forgotten}");
    assert_eq!(stage.records(&["snapshots", "--json"]).len(), 1);
    stage.fail(2, &["show", "lake~1"]);
    stage.fail(2, &["tag", "lake", "--add", "not/a/tag"]);
}

#[test]
fn streams_become_files_and_failed_commands_nothing() {
    let stage = Stage::new();
    let dump = ["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "sh", "-c"];
    let with = |line| [&dump[..], &[line]].concat();
    stage.succeed(&with("printf 'create table t;\\n'"));
    assert_eq!(stage.succeed(&["cat", "shop:/dump.sql"]), "create table t;\n");
    let failed = stage.fail(6, &with("echo half; exit 3"));
    assert!(failed.contains("exit status: 3") && failed.contains("no snapshot was made"), "{failed}");
    stage.fail(6, &with("true"));
    stage.fail(6, &["ingest", "stream", "--source", "shop", "--name", "x", "--", "no-such-program"]);
    stage.succeed(&["ingest", "stream", "--source", "shop", "--stream", "a=echo 1", "--stream", "b=echo 2 | cat"]);
    assert_eq!(stage.succeed(&["cat", "shop:/a", "shop:/b"]), "1\n2\n");
    assert_eq!(stage.records(&["snapshots", "--json"]).len(), 2);
}

#[test]
fn standard_input_is_unverified_unless_its_end_is_known() {
    let stage = Stage::new();
    let ingest = |more: &[&str]| {
        let words = [&["ingest", "stream", "--source", "shop", "--name", "dump.sql"], more].concat();
        let mut child =
            stage.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.as_mut().unwrap().stdin.take().unwrap().write_all(b"data\n-- Dump completed on a day\n").unwrap();
        Ran::of(child.unwrap().wait_with_output().unwrap())
    };
    let unverified = ingest(&[]);
    assert_eq!(unverified.code, 0);
    assert!(unverified.stdout.contains("unverified") && unverified.stderr.contains("--expect-end"));
    let verified = ingest(&["--expect-end", "-- Dump completed"]);
    assert!(verified.stdout.contains("complete") && verified.stderr.is_empty(), "{}", verified.stderr);
    assert!(ingest(&["--expect-end", "-- The end"]).stdout.contains("unverified"));
}

#[test]
fn names_that_are_not_utf_8_survive_every_output() {
    let stage = Stage::new();
    let name = std::ffi::OsString::from_vec(b"caf\xe9\n".to_vec());
    fs::write(stage.lake().join(&name), "x").unwrap();
    stage.ingest();
    assert!(stage.succeed(&["ls", "lake"]).contains("caf\\#351\\#012\n"));
    for words in [&["ls", "lake", "--json"], &["find", "caf*", "--json"]] {
        let records = stage.records(words);
        let entry = records.iter().find(|entry| !entry["path_hex"].is_null()).unwrap_or_else(|| panic!("{records:?}"));
        assert_eq!((&entry["path_hex"], &entry["path"]), (&"2f636166e90a".into(), &"/caf\u{fffd}\n".into()));
    }
    let place = [b"lake:/".as_slice(), b"caf\xe9\n"].concat();
    let output = stage.command(&["cat"]).arg(std::ffi::OsString::from_vec(place)).output().unwrap();
    assert_eq!(output.stdout, b"x");
}

#[test]
fn json_of_an_ingest_tells_progress_and_the_snapshot() {
    let stage = Stage::new();
    let words = ["ingest", "stream", "--source", "shop", "--name", "slow", "--json", "--"];
    let records = stage.records(&[&words[..], &["sh", "-c", "echo a; sleep 2; echo b"]].concat());
    let (last, before) = records.split_last().unwrap();
    assert!(!before.is_empty() && before.iter().all(|record| record["type"] == "progress"), "{before:?}");
    assert_eq!(before[0]["bytes_read"], 2);
    assert_eq!((&last["type"], &last["bytes"], &last["status"]), (&"snapshot".into(), &4.into(), &"complete".into()));
    assert_eq!(*last, {
        let mut shown = stage.records(&["show", "shop", "--json"])[0].clone();
        for name in ["bytes_read", "files_unchanged", "seconds"] {
            shown[name] = last[name].clone();
        }
        shown
    });
}

#[test]
fn json_has_the_types_and_fields_that_are_promised() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files away: run it as root");
    let printed = fields_of(every_sort_of_record());
    let promised = promised_fields();
    for (kind, fields) in &promised {
        assert_eq!(printed.get(kind), Some(fields), "{kind}: printed, and promised in docs/semantics.md");
    }
    assert_eq!(printed.len(), promised.len(), "{:?}", printed.keys());
}

/// By type; of the promised `summary` both, as if they were one.
type Fields = BTreeMap<String, BTreeSet<String>>;

/// What the table of section 9 has in backticks: a type in the first column, its fields in the third.
fn promised_fields() -> Fields {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let document = fs::read_to_string(document).unwrap();
    let section = document.split("\n## 9. JSON\n").nth(1).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `")).skip(1);
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>();
    let mut promised = Fields::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        promised.entry(quoted(cells[1]).remove(0)).or_default().extend(quoted(cells[3]));
    }
    promised
}

fn fields_of(records: Vec<Value>) -> Fields {
    let mut fields = Fields::new();
    for record in records {
        let of_type = fields.entry(record["type"].as_str().unwrap().to_string()).or_default();
        for (name, value) in record.as_object().unwrap() {
            of_type.insert(name.clone());
            // Facts and rows have the fields of what was ingested.
            let has_own = name == "facts" || record["type"] == "row" || record["type"] == "version";
            let inner = value.as_object().filter(|_| !has_own);
            of_type.extend(inner.into_iter().flat_map(|inner| inner.keys().cloned()));
        }
        of_type.remove("type");
    }
    fields
}

/// Everything that any command prints with `--json`, of trees that have everything.
fn every_sort_of_record() -> Vec<Value> {
    let stage = Stage::new();
    let mut all = Vec::new();
    let mut run = |words: &[&str]| all.extend(records(&stage.run(&[words, &["--json"]].concat()).stdout));
    run(&["--repo", "other", "init"]);
    run(&["config"]);
    run(&["ingest", "dir", "lake", "--source", "lake"]);
    fs::remove_file(stage.path("lake/link")).unwrap();
    symlink("sub", stage.path("lake/link")).unwrap();
    fs::hard_link(stage.path("lake/a.txt"), stage.path("lake/b.txt")).unwrap();
    fs::set_permissions(stage.path("lake/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    run(&["ingest", "dir", "lake", "--source", "lake"]);
    run(&["diff", "lake~1", "lake"]);
    run(&["ls", "-R", "lake"]);
    // The one device that every machine has.
    run(&["ingest", "dir", "/dev", "--source", "devices", "-x", "--exclude", "/*", "--exclude", "!/null"]);
    run(&["find", "devices", "null"]);
    run(&["forget", "devices"]);
    run(&["restore", "lake", "--to", "back", "--dry-run"]);
    run(&["forget", "lake~1"]);
    run(&["check"]);
    let slow = ["ingest", "stream", "--source", "slow", "--name", "x", "--json", "--", "sh", "-c", "echo a; sleep 2"];
    all.extend(stage.records(&slow));
    // What is root's cannot be given back by others; then all of it is theirs.
    all.extend(records(&as_ordinary_user(&stage, &["restore", "lake", "--to", "back", "--json"]).stdout));
    all.extend(records(&as_ordinary_user(&stage, &["ingest", "dir", "lake", "--source", "lake", "--json"]).stdout));
    all.extend(records_of_dumps(&stage));
    damage_packs(&stage);
    all.extend(records(&stage.run(&["check", "--json"]).stdout));
    all.extend(records(&stage.run(&["check", "--read-data", "--json"]).stdout));
    all
}

/// The same of dumps of which a row and a table's definition differ.
fn records_of_dumps(stage: &Stage) -> Vec<Value> {
    let dump = |columns: &str, rows: &str| {
        let table = format!(
            "DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n{columns}\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\n"
        );
        let rows = format!("LOCK TABLES `t` WRITE;\nINSERT INTO `t` VALUES\n{rows};\nUNLOCK TABLES;\n");
        format!(
            "-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\n{table}{rows}-- Dump completed on 2026-11-26  3:00:00\n"
        )
    };
    let columns = "  `id` int(11) NOT NULL,\n  `note` text,";
    for (columns, rows) in [(columns, "(1,'a'),\n(2,'b')"), (&columns.replace("text", "longtext"), "(1,'c'),\n(3,'b')")]
    {
        fs::write(stage.path("t.sql"), dump(columns, rows)).unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "dumps", "t.sql"]);
    }
    let mut all = Vec::new();
    // A client that loads nothing, and says so to nobody.
    let load = ["restore", "dumps", "--into", "mysql:", "--client", "true"];
    // One that its server alters: not all that is loaded comes out again.
    let altered = dump(columns, "(1,'a')").replace("-- Dump", "PREPARE s FROM 'DROP TABLE t';\nEXECUTE s;\n-- Dump");
    fs::write(stage.path("t.sql"), altered).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "altered", "t.sql"]);
    // One that no server takes.
    fs::write(stage.path("t.sql"), dump(columns, "(1,'a'),\n(1,'b')")).unwrap();
    stage.succeed(&["ingest", "mysql", "--source", "refused", "t.sql"]);
    stage.fail(6, &["verify", "refused", "--with", "mysql"]);
    for words in [
        &["diff", "dumps~1", "dumps", "--rows"][..],
        &["rows", "dumps", "t.t", "--key", "1"],
        &["history", "dumps", "t.t", "--key", "1"],
        &load,
        &["verify", "altered", "--with", "mysql"],
        &["show", "altered", "--tables"],
        &["show", "refused"],
    ] {
        all.extend(records(&stage.run(&[words, &["--json"]].concat()).stdout));
    }
    all
}

#[test]
fn what_cannot_be_read_makes_the_snapshot_partial() {
    let stage = Stage::new();
    fs::set_permissions(stage.path("lake/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = as_ordinary_user(&stage, &["ingest", "dir", "lake", "--source", "lake"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("a.txt\": ") && ran.stderr.contains("ermission denied"), "{}", ran.stderr);
    assert!(ran.stdout.contains("partial"), "{}", ran.stdout);
    let ran = as_ordinary_user(&stage, &["ingest", "dir", "lake", "--source", "lake", "--json"]);
    let records = records(&ran.stdout);
    let problem = records.iter().find(|record| record["type"] == "problem").unwrap();
    assert_eq!(problem["path"], "a.txt", "{problem}");
    assert_eq!(records.last().unwrap()["problems"], 1);
    let shown = as_ordinary_user(&stage, &["show", "lake"]);
    assert!(shown.stdout.contains("problems       1") && shown.stdout.contains("a.txt\": "), "{}", shown.stdout);
}

/// Runs a command as a user who is not root, and who owns the stage.
fn as_ordinary_user(stage: &Stage, words: &[&str]) -> Ran {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return stage.run(words);
    }
    // The directory that programs are built in may be closed to others.
    let program = stage.path("yesterfs");
    if !program.exists() {
        // Not by this process, whose other threads start programs: one that has it open for writing keeps it from running.
        assert!(Command::new("cp").arg(YESTERFS).arg(&program).status().unwrap().success());
        own_all(stage.directory.path(), NOBODY);
    }
    let mut command = Command::new(program);
    command.env("YESTERFS_REPO", stage.path("repo")).current_dir(stage.directory.path()).args(words);
    Ran::of(command.uid(NOBODY).gid(NOBODY).output().unwrap())
}

/// All that a repository is made of.
fn all_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], all_below(&path)].concat() } else { vec![path] })
        .collect()
}

#[test]
fn what_root_writes_belongs_to_the_owner_of_the_repository() {
    let stage = Stage::new();
    stage.ingest();
    let as_owner = |words: &[&str]| {
        let ran = as_ordinary_user(&stage, words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
    };
    // Now it is somebody else's. Where this test is not run by root, there is nobody else whose it could be: then it shows only
    // that what a user writes belongs to that user.
    as_owner(&["tag", "lake", "--add", "by-owner"]);
    let owner = fs::metadata(stage.path("repo")).unwrap();
    let us = rustix::process::geteuid();
    assert_eq!(owner.uid() != us.as_raw(), us.is_root());
    fs::remove_dir_all(stage.path("repo/index")).unwrap();
    fs::write(stage.path("lake/a.txt"), "other text, longer\n").unwrap();
    for words in [
        &["ingest", "dir", "lake", "--source", "lake"][..],
        &["ingest", "dir", "lake", "--source", "other"],
        &["tag", "lake", "--add", "by-root"],
        &["forget", "other@latest"],
        &["snapshots"],
    ] {
        assert_eq!(stage.run(words).code, 0, "{words:?}");
        for path in all_below(&stage.path("repo")) {
            let made = fs::symlink_metadata(&path).unwrap();
            assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()), "{} by {words:?}", path.display());
        }
    }
    let indexed = fs::read(stage.path("repo/index/current")).unwrap();
    fs::write(stage.path("lake/a.txt"), "text that is still longer\n").unwrap();
    as_owner(&["ingest", "dir", "lake", "--source", "lake"]);
    as_owner(&["tag", "lake", "--add", "by-owner-again"]);
    as_owner(&["ingest", "dir", "lake", "--source", "other"]);
    assert_ne!(fs::read(stage.path("repo/index/current")).unwrap(), indexed, "the owner's index stayed behind");
}

fn own_all(path: &Path, owner: u32) {
    if path.is_symlink() {
        return;
    }
    chown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| own_all(&entry.unwrap().path(), owner));
    }
}

#[test]
fn diff_ends_with_1_for_differences_and_with_nothing_else() {
    let stage = Stage::new();
    stage.ingest();
    fs::write(stage.path("lake/a.txt"), "other text, longer\n").unwrap();
    fs::write(stage.path("lake/sub/new"), "").unwrap();
    fs::remove_file(stage.path("lake/link")).unwrap();
    stage.ingest();
    let ran = stage.run(&["diff", "lake~1", "lake"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let expected =
        [".d..t...... ./", ">fcst...... a.txt", "*deleting   link", ".d..t...... sub/", ">f+++++++++ sub/new"];
    lines_in_order(&ran.stdout, &expected);
    assert!(ran.stderr.contains("1 entry added, 1 entry removed, 1 entry changed"), "{}", ran.stderr);
    assert_eq!(stage.run(&["diff", "lake", "lake"]).code, 0);
    assert_eq!(stage.run(&["diff", "lake", "./lake"]).code, 0, "nothing changed since the ingest");
    assert_eq!(stage.run(&["diff", "./lake", "./lake"]).code, 0);
    assert_eq!(stage.run(&["diff", "lake~1", "./lake", "sub"]).code, 1);
    lines_in_order(&stage.run(&["diff", "lake~1", "lake", "sub/new"]).stdout, &[">f+++++++++ new"]);
    lines_in_order(&stage.run(&["diff", "--name-only", "lake~1:/sub", "lake:/sub"]).stdout, &[".", "new"]);
    let records = records(&stage.run(&["diff", "--json", "lake~1", "lake"]).stdout);
    assert_eq!(records.len(), 6);
    assert_eq!(records[1]["after"]["size"], 19);
    assert_eq!(records[5]["equal"], false);
    let statistics = stage.run(&["diff", "--stat", "lake~1", "lake"]).stdout;
    assert!(statistics.starts_with("1 entry added\n"), "{statistics}");
    stage.fail(2, &["diff", "lake", "lake", "no/such/path"]);
    stage.fail(2, &["diff", "lake", "sea"]);
    stage.fail(2, &["diff", "lake", "./sea"]);
}

#[test]
fn a_restore_is_planned_shown_and_done() {
    let stage = Stage::new();
    stage.ingest();
    let planned = stage.succeed(&["restore", "lake", "--to", "back", "--dry-run"]);
    assert!(planned.contains("create       sub/deep/c.sql\n"), "{planned}");
    assert!(!stage.path("back").exists());
    stage.succeed(&["restore", "lake", "--to", "back", "--verify"]);
    assert_eq!(stage.run(&["diff", "lake", "./back"]).stdout, "");
    fs::write(stage.path("back/extra"), "").unwrap();
    let deleting = stage.succeed(&["restore", "lake", "--to", "back", "--delete", "-v"]);
    assert!(deleting.contains("delete       extra\n"), "{deleting}");
    stage.succeed(&["restore", "lake:/sub/b.sql", "--to", "one"]);
    assert_eq!(fs::metadata(stage.path("one/b.sql")).unwrap().len(), 26_000);
    let record = stage.records(&["restore", "lake", "--to", "back", "--json"]).pop().unwrap();
    assert_eq!((&record["type"], &record["bytes_written"]), (&"restore".into(), &0.into()));
    stage.fail(2, &["restore", "lake:/nowhere", "--to", "back"]);
}

#[test]
fn what_an_ordinary_user_cannot_set_is_listed_and_ends_with_3() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files away: run it as root");
    let stage = Stage::new();
    chown(stage.path("lake/a.txt"), Some(1234), Some(1234)).unwrap();
    stage.ingest();
    let ran = as_ordinary_user(&stage, &["restore", "lake", "--to", "back"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    // All belong to root, and that is one line.
    let owners: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("cannot set owner")).collect();
    let expected =
        "yesterfs: cannot set owner of 7 entries: only root may give files away: \".\", \"a.txt\", \"link\" and 4 more";
    assert_eq!(owners, [expected], "{}", ran.stderr);
    assert!(ran.stderr.contains("14 things could not be set\nhint: --verbose lists every entry"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(stage.path("back/a.txt")).unwrap(), "some text\n");
    let ran = as_ordinary_user(&stage, &["restore", "lake", "--to", "back", "--verbose"]);
    assert_eq!((ran.code, ran.stderr.matches("cannot set owner: ").count()), (3, 7), "{}", ran.stderr);
    assert!(ran.stderr.contains("yesterfs: \"sub/deep/c.sql\": cannot set owner: only root"), "{}", ran.stderr);
    let ran = as_ordinary_user(&stage, &["restore", "lake", "--to", "back", "--json"]);
    let records = records(&ran.stdout);
    let not_set = |what: &str| records.iter().filter(|it| it["type"] == "not_set" && it["what"] == what).count();
    assert_eq!((ran.code, not_set("owner"), not_set("group"), ran.stderr.as_str()), (3, 7, 7, ""));
    assert_eq!(records.last().unwrap()["not_set"], 14);
    // Few have a line each.
    let ran = as_ordinary_user(&stage, &["restore", "lake:/a.txt", "--to", "one"]);
    assert!(ran.stderr.contains("yesterfs: \"a.txt\": cannot set owner: "), "{}", ran.stderr);
}

#[test]
fn damage_ends_with_4_and_names_what_is_affected() {
    let stage = Stage::new();
    stage.ingest();
    assert_eq!(stage.run(&["check", "--read-data"]).code, 0);
    damage_packs(&stage);
    let listed = stage.run(&["cat", "lake:/sub/b.sql"]);
    assert_eq!(listed.code, 4, "{}", listed.stderr);
    assert!(listed.stderr.contains("is damaged") && listed.stderr.contains("hint: "), "{}", listed.stderr);
    let checked = stage.run(&["check", "--read-data"]);
    assert_eq!(checked.code, 4, "{}", checked.stderr);
    assert!(checked.stdout.contains("lake@"), "{}", checked.stdout);
    let damages = records(&stage.run(&["check", "--read-data", "--json"]).stdout);
    assert!(damages.iter().any(|record| record["type"] == "damage"), "{damages:?}");
}

#[test]
fn what_check_cannot_pass_is_to_be_put_back() {
    let stage = Stage::new();
    for name in ["repo/config", "repo/catalog/00000000000000000/00000000000000000001"] {
        stage.ingest();
        let whole = fs::read(stage.path(name)).unwrap();
        fs::remove_file(stage.path(name)).unwrap();
        fs::write(stage.path(name), &whole[..whole.len() - 1]).unwrap();
        for words in [&["check"], &["snapshots"]] {
            let said = stage.fail(4, words);
            assert!(said.contains("is damaged") && said.contains("\nhint: put "), "{said}");
        }
        fs::remove_file(stage.path(name)).unwrap();
        fs::write(stage.path(name), whole).unwrap();
        stage.succeed(&["check"]);
    }
}

/// Flips a bit in the first record of each pack.
fn damage_packs(stage: &Stage) {
    for pack in files_below(&stage.path("repo/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        // Behind the header and the first record's own header.
        bytes[60] ^= 1;
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&pack, bytes).unwrap();
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn cat_writes_a_large_file_with_holes_whole_and_a_damaged_one_up_to_the_damage() {
    let stage = Stage::new();
    let file = fs::File::create(stage.path("lake/large")).unwrap();
    for offset in [0, 20 << 20] {
        let mut noise = vec![0; 3 << 20];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
        file.write_all_at(&noise, offset).unwrap();
    }
    file.set_len((25 << 20) + 7).unwrap();
    stage.ingest();
    let cat = || stage.command(&["cat", "lake:/large"]).output().unwrap();
    let expected = fs::read(stage.path("lake/large")).unwrap();
    assert!(cat().stdout == expected, "other bytes");
    let packs = files_below(&stage.path("repo/packs")).into_iter();
    let (_, pack) = packs.map(|pack| (fs::metadata(&pack).unwrap().len(), pack)).max().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let damaged = cat();
    let message = String::from_utf8_lossy(&damaged.stderr);
    assert_eq!(damaged.status.code(), Some(4), "{message}");
    assert!(message.contains("chunk ") && message.contains(" is damaged"), "{message}");
    // Half of the data is before it; the holes are not in the pack.
    assert!(damaged.stdout.len() > 2 << 20 && expected.starts_with(&damaged.stdout), "{}", damaged.stdout.len());
}

#[test]
fn a_repository_of_the_future_is_refused_politely() {
    let stage = Stage::new();
    let config = stage.path("repo/config");
    let mut bytes = fs::read(&config).unwrap();
    // The format version stands behind the magic; the hash of all before it stands at the end.
    bytes[8] = 99;
    let body = bytes.len() - 32;
    let seal = yesterfs::id::hash(&bytes[..body]);
    bytes[body..].copy_from_slice(&seal);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&config, bytes).unwrap();
    let refused = stage.fail(5, &["snapshots"]);
    assert!(refused.contains("newer yesterfs") && refused.contains("hint: update"), "{refused}");
}

#[test]
fn wrong_words_end_with_2_and_say_what_is_wrong() {
    let stage = Stage::new();
    stage.ingest();
    let cases: [(&[&str], &str); 17] = [
        (&["frobnicate"], "frobnicate"),
        (&["init"], "already exists"),
        (&["show", "lake@sometime"], "expected a time"),
        (&["show", "dead"], "no snapshot \"dead\"\nhint: yesterfs snapshots lists the ids"),
        (&["cat", "lake:/sub"], "only regular files can be written out\nhint: yesterfs ls lake:/sub lists"),
        (&["find", "["], "pattern \"[\""),
        (&["ingest", "dir", "lake", "--source", "lake", "--exclude", "[z"], "exclude pattern \"[z\""),
        (&["ingest", "dir", "lake", "--source", "a/b"], "source \"a/b\""),
        (&["ingest", "stream", "--source", "shop"], "--name"),
        (&["mount", "-o", "bogus", "lake"], "mount option \"bogus\""),
        (&["show", "lake@2026-11-31"], "time \"2026-11-31\" is not usable: there is no such day"),
        (&["show", "lake@2026-02-30T10:00"], "there is no such day"),
        (&["restore", "lake"], "<--to <DIR>|--into <URL>>"),
        (&["restore", "lake", "--into", "mysql:///x?sokcet=/y"], "\"sokcet\" is none of its options"),
        (&["diff", "--rows", "shop.orders", "lake~1", "lake"], "A and B come before: yesterfs diff A B --rows"),
        (
            &["rebuild", "lake"],
            "\nhint: nothing is kept of what xz, bzip2 or lz4 compressed, of what was not compressed",
        ),
        (&["--repo", "nowhere", "snapshots"], "/nowhere\"\nhint: make one with: yesterfs init nowhere;"),
    ];
    for (words, told) in cases {
        let message = stage.fail(2, words);
        assert!(message.contains(told), "{words:?}: {message}");
    }
    let nameless = Ran::of(stage.command(&["snapshots"]).env_remove("YESTERFS_REPO").output().unwrap());
    assert_eq!(nameless.code, 2);
    assert!(nameless.stderr.contains("no repository is named\nhint: add --repo DIR, or"), "{}", nameless.stderr);
    fs::write(stage.path("patterns"), "*.o\n[z\n").unwrap();
    let words = ["ingest", "dir", "lake", "--source", "lake", "--exclude-file", "patterns"];
    let malformed = stage.fail(2, &words);
    assert!(malformed.contains("patterns: line 2: ") && malformed.contains("'[z'"), "{malformed}");
    let full = stage.fail(2, &["init", "lake"]);
    assert!(full.contains("not empty"), "{full}");
}

#[test]
fn a_command_without_dashes_before_it_is_known_for_one() {
    let stage = Stage::new();
    let tip = |words: &[&str]| {
        let message = stage.fail(2, &[&["ingest"], words].concat());
        message
            .split_once("to run a command, put -- before it: ")
            .map(|(_, rest)| rest.lines().next().unwrap().to_string())
    };
    for (words, told) in [
        (&["mysql", "--source", "x", "sh", "shop"][..], "-- sh shop"),
        (&["mysql", "--source", "x", "--json", "sh", "--databases", "shop"], "-- sh --databases shop"),
        (&["mysql", "--source", "x", "sh", "-uroot", "shop"], "-- sh -uroot shop"),
        (&["mysql", "--source", "x", "/bin/sh", "--databases", "shop"], "-- /bin/sh --databases shop"),
        (&["postgres", "--source", "x", "sh"], "-- sh"),
        (&["mongo", "--source", "x", "sh", "--db=shop"], "-- sh --db=shop"),
        (&["mongo", "--source", "x", "sh"], "-- sh"),
        (&["stream", "--source", "x", "--name", "y", "sh", "-c", "true"], "-- sh -c true"),
    ] {
        assert_eq!(tip(words).as_deref(), Some(told), "{words:?}");
    }
    for words in
        [&["mysql", "--source", "sh", "--databses", "y"][..], &["mysql", "--source", "x", "a.sql", "--databses"]]
    {
        assert_eq!(tip(words), None, "{words:?}");
    }
    // A file of that name is a dump.
    fs::write(stage.path("sh"), "").unwrap();
    let message = stage.fail(6, &["ingest", "mysql", "--source", "x", "sh"]);
    assert!(message.ends_with("/sh\" is empty; no snapshot was made\n") && message.contains(": file \""), "{message}");
}

#[test]
fn what_is_a_dump_of_another_kind_is_called_so() {
    let stage = Stage::new();
    let dumps: [(&[u8], &str, &str); 5] = [
        (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n", "MySQL or MariaDB", "mysql"),
        (b"--\n-- PostgreSQL database dump\n--\n", "PostgreSQL", "postgres"),
        (b"--\n-- PostgreSQL database cluster dump\n--\n", "PostgreSQL", "postgres"),
        (b"PGDMP\x01\x0e\x00", "PostgreSQL", "postgres"),
        (b"\x6d\xe2\x99\x81\x05\x00\x00\x00\x00\xff\xff\xff\xff", "MongoDB", "mongo"),
    ];
    for (dump, name, own) in dumps {
        fs::write(stage.path("a.dump"), dump).unwrap();
        for kind in ["mysql", "postgres", "mongo"].into_iter().filter(|kind| *kind != own) {
            for more in [&[][..], &["--keep-incomplete"]] {
                let message = stage.fail(2, &[&["ingest", kind, "--source", "x", "a.dump"], more].concat());
                let told =
                    format!("a.dump\" is not usable: it is a dump of {name}, which yesterfs ingest {own} takes\n");
                assert!(message.ends_with(&told), "{kind}: {message}");
            }
        }
    }
    // What was cut off may be kept; where a command failed, that is what is wrong.
    let said = |words: &[&str]| stage.fail(6, &[&["ingest", "mysql", "--source", "x"], words].concat());
    fs::write(stage.path("cut.sql"), "-- MariaDB dump 10.19\nCREATE TABLE").unwrap();
    assert!(said(&["cut.sql"]).contains("\nhint: --keep-incomplete keeps"));
    assert_eq!(stage.run(&["ingest", "mysql", "--source", "cut", "--keep-incomplete", "cut.sql"]).code, 3);
    let kept = stage.fail(2, &["show", "cut"]);
    let name = kept.rsplit_once(": ").map(|(hint, name)| {
        assert!(hint.contains("\nhint: all of cut is incomplete"), "{kept}");
        name.trim_end()
    });
    assert!(stage.succeed(&["show", name.unwrap()]).contains("incomplete"));
    let failed = said(&["--", "sh", "-c", "cat cut.sql; exit 2"]);
    assert!(failed.contains("its command failed with exit status: 2") && !failed.contains("hint"), "{failed}");
    fs::write(stage.path("bad.sql.gz"), b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff").unwrap();
    let bad = said(&["bad.sql.gz"]);
    assert!(bad.starts_with("yesterfs: file \"") && bad.contains("bad.sql.gz\" cannot be unwrapped: "), "{bad}");
}

#[test]
fn what_a_dump_shares_with_its_parts_counts_once() {
    let stage = Stage::new();
    let rows = (0..2000).map(|id| format!("INSERT INTO `orders` VALUES ({id});\n")).collect::<String>();
    let dump = format!(
        "-- MariaDB dump 10.19\nCREATE DATABASE shop;\nUSE `shop`;\nCREATE TABLE `orders` (\n  `id` int\n);\n{rows}-- Dump completed\n"
    );
    fs::write(stage.path("shop.sql"), &dump).unwrap();
    let ingested = stage.succeed(&["ingest", "mysql", "--source", "shop", "shop.sql"]);
    let size = format!("{:.1} KiB", dump.len() as f64 / 1024.0);
    assert!(ingested.contains(&format!(", {size}, in ")), "{size}: {ingested}");
    let listed = stage.succeed(&["snapshots"]);
    assert!(listed.contains(&size), "{size}: {listed}");
    assert!(stage.succeed(&["show", "shop"]).contains(&format!("{} bytes", dump.len())));
    let record = &stage.records(&["show", "shop", "--json"])[0];
    assert_eq!(record["facts"]["dump_bytes"], dump.len().to_string());
    assert!(record["bytes"].as_u64().unwrap() > 2 * dump.len() as u64, "{record}");
    let tables = stage.succeed(&["show", "shop", "--tables"]);
    let line = tables.lines().last().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line[..2], ["shop.orders", "2,000"], "{tables}");
    stage.ingest();
    assert!(stage.fail(2, &["show", "lake", "--tables"]).contains("it is of no dump, and has no tables"));
}

#[test]
fn whatever_a_table_is_called_it_is_found() {
    let stage = Stage::new();
    let long = "long_".repeat(60);
    let names = [long.as_str(), "a/b", "new\nline", "nul\0x", "..", "trail.", "dot.ted"];
    for note in ["old", "new"] {
        let table = |name: &&str| {
            format!(
                "CREATE TABLE `{name}` (\n  `id` int NOT NULL,\n  `note` text,\n  PRIMARY KEY (`id`)\n);\n\
                 INSERT INTO `{name}` VALUES\n(1,'{note}');\n"
            )
        };
        let tables: String = names.iter().map(table).collect();
        let dump = format!("-- MariaDB dump 10.19\nCREATE DATABASE shop;\nUSE `shop`;\n{tables}-- Dump completed\n");
        fs::write(stage.path("shop.sql"), dump).unwrap();
        stage.succeed(&["ingest", "mysql", "--source", "shop", "shop.sql"]);
    }
    let patch = stage.run(&["diff", "shop~1", "shop", "--rows", "--sql"]).stdout;
    for name in names {
        let statement = format!("\nUPDATE `{name}` SET `note`='new' WHERE `id`=1;\n");
        assert!(patch.contains(&statement), "{name:?}: {patch}");
        let table = format!("shop.{name}");
        if !name.contains('\0') {
            assert_eq!(stage.succeed(&["rows", "shop", &table, "--key", "1"]), "id: 1\nnote: 'new'\n", "{name:?}");
            assert_eq!(stage.run(&["diff", "shop~1", "shop", "--rows", &table]).code, 1, "{name:?}");
        }
    }
    for file in stage.succeed(&["ls", "shop:/shop/tables"]).lines() {
        let restore = stage.succeed(&["cat", &format!("shop:/shop/tables/{file}/restore.sql")]);
        assert!(file.len() <= 255 && restore.contains("\nCREATE TABLE `"), "{file}: {restore}");
    }
}

#[test]
fn what_was_made_before_is_found_by_its_time() {
    let stage = Stage::new();
    fs::write(stage.path("old.sql"), "-- MariaDB dump 10.19\nCREATE DATABASE shop;\n-- Dump completed\n").unwrap();
    let kinds: [(&str, &[&str]); 3] = [
        ("2026-11-18T09:30", &["dir", "lake"]),
        ("2026-11-19", &["mysql", "old.sql"]),
        ("2026-11-20T00:00:00Z", &["stream", "--name", "x", "--", "echo", "x"]),
    ];
    for (time, words) in kinds {
        let (kind, words) = words.split_first().unwrap();
        let ended = stage.run(&[&["ingest", kind, "--source", "shop", "--time", time], words].concat());
        let told = "yesterfs: the last snapshot of shop is of kind directory, this one will be of kind mysql\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (0, if kind == &"mysql" { told } else { "" }));
    }
    let name = |spec: &str| stage.records(&["show", spec, "--json"])[0]["name"].clone();
    let names = ["2026-11-18T093000Z", "2026-11-19T235959Z", "2026-11-20T000000Z"];
    assert_eq!(["shop@2026-11-18", "shop@2026-11-19", "shop@2026-11-20"].map(name), names);
    let late = stage.run(&["ingest", "dir", "lake", "--source", "shop", "--time", "2026-11-01T12:00"]);
    let kind = "yesterfs: the last snapshot of shop is of kind stream, this one will be of kind directory\n";
    let note = "yesterfs: shop@2026-11-20T000000Z is newer, but shop@latest will be this one, which is added last; times find each\n";
    let mut told: Vec<String> = late.stderr.lines().map(|line| format!("{line}\n")).collect();
    told.sort_unstable();
    assert_eq!((late.code, told), (0, vec![note.to_string(), kind.to_string()]));
    assert_eq!(name("shop@now"), names[2]);
    assert_eq!(name("shop"), "2026-11-01T120000Z");
    for (time, reason) in [("9999-01-01", "it is yet to come"), ("sometime", "expected a time such as")] {
        let message = stage.fail(2, &["ingest", "dir", "lake", "--source", "shop", "--time", time]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn tables_and_columns_that_are_not_there_lead_to_those_that_are() {
    let stage = Stage::new();
    let table = |name: &str| {
        format!("CREATE TABLE `{name}` (\n  `id` int NOT NULL,\n  `note` text,\n  PRIMARY KEY (`id`)\n);\n")
    };
    let rows = "INSERT INTO `orders` VALUES\n(1,'a'),\n(2,'a'),\n(3,'b');\n";
    let text = [&table("orders"), rows, &table("products"), &table("a.b")].concat();
    let dump = format!("-- MariaDB dump 10.19\nCREATE DATABASE shop;\nUSE `shop`;\n{text}-- Dump completed\n");
    fs::write(stage.path("shop.sql"), dump).unwrap();
    for _ in 0..2 {
        stage.succeed(&["ingest", "mysql", "--source", "shop", "shop.sql"]);
    }
    for (name, meant) in [
        ("shop.order", "shop.orders"),
        ("products", "shop.products"),
        ("shop.prodcuts", "shop.products"),
        ("store.orders", "shop.orders"),
        ("shop.AB", "shop.a.b"),
    ] {
        let told = format!("no table \"{name}\"\nhint: did you mean {meant}?\n");
        for words in [
            &["rows", "shop", name, "--key", "1"][..],
            &["diff", "shop~1", "shop", "--rows", name],
            &["history", "shop", name, "--key", "1"],
        ] {
            let message = stage.fail(2, words);
            assert!(message.ends_with(&told), "{words:?}: {message}");
        }
    }
    let unknown = stage.fail(2, &["rows", "shop", "employees", "--key", "1"]);
    assert_eq!(unknown, "yesterfs: no table \"employees\"\n");
    let column = stage.fail(2, &["rows", "shop", "shop.orders", "--key", "a", "--by", "text"]);
    assert!(
        column.contains("column \"text\"") && column.ends_with("has no such column; it has id, note\n"),
        "{column}"
    );
    assert_eq!(stage.succeed(&["rows", "shop", "`shop`.`orders`", "--key", "3"]), "id: 3\nnote: 'b'\n");
    let several = stage.succeed(&["rows", "shop", "shop.orders", "--key", "a", "--by", "note"]);
    assert_eq!(several, "id: 1\nnote: 'a'\n\nid: 2\nnote: 'a'\n");
    let same = stage.run(&["diff", "shop~1", "shop", "--rows"]);
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", "no difference\n"));
    for option in ["--json", "--quiet"] {
        assert_eq!(stage.run(&["diff", "shop~1", "shop", "--rows", option]).stderr, "", "{option}");
    }
}

#[test]
fn a_snapshot_that_is_not_there_is_called_as_it_was_typed() {
    let stage = Stage::new();
    let empty = stage.fail(2, &["show", "lake"]);
    assert!(empty.contains("no snapshot \"lake\"\nhint: the repository has no snapshots; make one with: "), "{empty}");
    stage.ingest();
    stage.succeed(&["ingest", "dir", "lake", "--source", "shop-eu", "--tag", "monthly"]);
    let name = stage.records(&["show", "lake", "--json"])[0]["name"].as_str().unwrap().to_string();
    let oldest = format!("lake has 1 snapshot, the oldest is lake@{name}; yesterfs snapshots lake lists them");
    let found = format!("in lake@{name}, yesterfs ls ");
    let cases: [(&[&str], &str, &str); 18] = [
        (&["show", "lake@yesterday"], "no snapshot \"lake@yesterday\"", &oldest),
        (&["cat", "lake@30d-ago:/a.txt"], "no snapshot \"lake@30d-ago\"", &oldest),
        (&["forget", "lake~7"], "no snapshot \"lake~7\"", &oldest),
        (&["ls", "laek@yesterday"], "no snapshot \"laek@yesterday\"", "did you mean lake@yesterday?"),
        (&["ls", "Shop-EU:/sub"], "no snapshot \"Shop-EU\"", "did you mean shop-eu?"),
        (&["tag", "orders"], "no snapshot \"orders\"", "sources are: lake, shop-eu"),
        (&["find", "orders", "*"], "no snapshot \"orders\"", "sources are: lake, shop-eu"),
        (&["snapshots", "lak"], "no snapshot of source \"lak\"", "did you mean lake?"),
        (&["snapshots", "--tag", "yearly"], "no snapshot with tag \"yearly\"", "tags are: monthly"),
        (&["ls", "lake/sub"], "no snapshot \"lake/sub\"", "with a colon between: lake:/sub"),
        (&["cat", "lake:a.txt"], "no snapshot \"lake:a.txt\"", "a path begins with a slash: lake:/a.txt"),
        (&["cat", "/sub/b.sql"], "no snapshot \"/sub/b.sql\"", "a path comes after its snapshot: SNAP:/sub/b.sql"),
        (&["show", "lake:/sub"], "no snapshot \"lake:/sub\"", "a snapshot without a path: lake"),
        (&["ls", "lake:/nowhere"], "no path \"lake:/nowhere\"", &format!("{found}lake:/ lists what there is")),
        (&["restore", "lake:/sub/x/y", "--to", "x"], "no path \"lake:/sub/x/y\"", &format!("{found}lake:/sub lists")),
        (&["cat", "lake@now:/a.txt/x"], "no path \"lake@now:/a.txt/x\"", &format!("{found}lake@now:/ lists")),
        (&["diff", "lake", "repo"], "no snapshot \"repo\"", "the directory here is written ./repo"),
        (&["man", "ingest", "hdfs"], "no command \"ingest hdfs\"", "yesterfs --help lists"),
    ];
    for (words, told, hint) in cases {
        let message = stage.fail(2, words);
        let (error, hinted) = message.trim_end().split_once("\nhint: ").unwrap_or_else(|| panic!("{message}"));
        assert!(error == format!("yesterfs: {told}") && hinted.contains(hint), "{words:?}: {message}");
    }
    let unmade = stage.fail(6, &["mount", "no/where"]);
    assert!(
        unmade.contains("cannot mount on \"no/where\"")
            && unmade.contains("hint: make the directory first: mkdir -p no/where"),
        "{unmade}"
    );
}

#[test]
fn quiet_commands_print_results_and_failures_only() {
    let stage = Stage::new();
    let prints = |code: i32, words: &[&str], stdout: &str| {
        let ran = stage.run(&[&["--quiet"], words].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{words:?}: {}", ran.stdout);
        let expected: Vec<&str> = stdout.lines().collect();
        let lines = ran.stdout.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), expected.len(), "{words:?}: {}", ran.stdout);
        let fits = lines.iter().zip(&expected).all(|(line, start)| line.starts_with(start));
        assert!(fits, "{words:?}: {}", ran.stdout);
    };
    prints(0, &["init", "other"], "");
    prints(0, &["ingest", "dir", "lake", "--source", "lake"], "");
    prints(0, &["ingest", "stream", "--source", "shop", "--name", "x", "--", "echo", "x"], "");
    fs::write(stage.path("lake/a.txt"), "other text\n").unwrap();
    // The index goes, and comes back without a word.
    fs::remove_dir_all(stage.path("repo/index")).unwrap();
    prints(0, &["ingest", "dir", "lake", "--source", "lake", "--reread"], "");
    prints(0, &["snapshots", "shop"], "ID\n\n");
    prints(0, &["tag", "lake", "--add", "keep"], "keep");
    prints(0, &["ls", "lake:/sub"], "b.sql\ndeep");
    prints(0, &["cat", "lake:/a.txt"], "other text");
    prints(0, &["find", "lake", "c.sql"], "lake@");
    prints(0, &["check", "--read-data"], "");
    prints(1, &["diff", "lake~1", "lake"], ">fcst...... a.txt");
    prints(1, &["diff", "--stat", "lake~1", "lake"], "0 entries\n0 entries\n1 entry changed\n0 entries\n10 B before");
    prints(
        0,
        &["restore", "lake:/sub", "--to", "back", "--dry-run"],
        "create       .\ncreate       b.sql\ncreate       deep\ncreate       deep/c.sql",
    );
    prints(0, &["restore", "lake", "--to", "back", "--verify"], "");
    prints(0, &["forget", "lake~1"], "forgot ");
    fs::create_dir(stage.path("mnt")).unwrap();
    prints(0, &["mount", "mnt"], "");
    prints(0, &["umount", "mnt"], "");
    assert!(stage.succeed(&["--quiet", "show", "lake"]).starts_with("id "));
    assert!(stage.succeed(&["--quiet", "completions", "bash"]).contains("yesterfs"));
    assert!(stage.succeed(&["--quiet", "man", "init"]).contains(".TH"));
    assert_eq!(stage.fail(2, &["--quiet", "show", "sea"]).lines().count(), 2);
}

#[test]
fn quiet_commands_still_print_what_failed() {
    let stage = Stage::new();
    fs::set_permissions(stage.path("lake/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = as_ordinary_user(&stage, &["--quiet", "ingest", "dir", "lake", "--source", "lake"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
    assert!(ran.stderr.starts_with("yesterfs: \"a.txt\": ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    let unverified = stage.command(&["--quiet", "ingest", "stream", "--source", "shop", "--name", "x"]);
    let mut unverified = { unverified };
    let mut child = unverified.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

#[test]
fn a_closed_standard_output_ends_a_command_quietly() {
    let stage = Stage::new();
    fs::write(stage.path("lake/large"), vec![b'x'; 4 << 20]).unwrap();
    stage.ingest();
    let mut child =
        stage.command(&["cat", "lake:/large"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0u8; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (141, ""));
    let full = Ran::of(stage.command(&["ls", "lake"]).stdout(fs::File::create("/dev/full").unwrap()).output().unwrap());
    assert_eq!(full.code, 6);
    assert!(full.stderr.contains("No space left"), "{}", full.stderr);
}

#[test]
fn an_interrupted_ingest_ends_with_130_and_leaves_no_snapshot() {
    let stage = Stage::new();
    let words = ["ingest", "stream", "--source", "shop", "--name", "endless", "--json", "--", "sh", "-c"];
    let endless = [&words[..], &["while :; do echo line; done"]].concat();
    let mut child = stage.command(&endless).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut progress).unwrap();
    assert!(progress.contains("progress"), "{progress}");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let since = Instant::now();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("interrupted") && ran.stderr.contains("same command again"), "{}", ran.stderr);
    assert_eq!(stage.succeed(&["snapshots", "--json"]), "");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_silent_producer() {
    let stage = Stage::new();
    let words = ["ingest", "stream", "--source", "shop", "--name", "silent", "--json"];
    let mut command = stage.command(&words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held open: nothing comes, and no end.
    let producer = child.stdin.take().unwrap();
    let mut progress = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut progress).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(producer);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
}

#[test]
fn help_completions_and_manual_cover_every_command() {
    let stage = Stage::new();
    let help = stage.succeed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        "init",
        "config",
        "ingest",
        "snapshots",
        "show",
        "ls",
        "cat",
        "find",
        "tag",
        "forget",
        "check",
        "diff",
        "rows",
        "history",
        "restore",
        "rebuild",
        "verify",
        "mount",
        "umount",
        "completions",
        "man",
        "help",
    ];
    assert_eq!(commands, expected);
    assert!(help.contains("Exit status:") && help.contains("130  interrupted"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = stage.succeed(&["completions", shell]);
        assert!(expected.iter().all(|command| script.contains(command)), "{shell}");
        assert!(!script.contains("in-background"), "{shell} offers what is no option");
    }
    stage.succeed(&["man", "--out", "manual"]);
    for command in expected.iter().filter(|command| **command != "help") {
        let page = fs::read_to_string(stage.path(&format!("manual/yesterfs-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{command}");
        stage.succeed(&[command, "--help"]);
    }
}

#[test]
fn manual_pages_render_without_warnings_and_tell_how_to_type() {
    let stage = Stage::new();
    stage.succeed(&["man", "--out", "manual"]);
    let render = |page: &[u8]| {
        let words = ["-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", "-rLL=400n"];
        let mut groff = Command::new("groff")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let groff = groff.as_mut().expect("groff renders manual pages: install groff-base");
        groff.stdin.take().unwrap().write_all(page).unwrap();
        let mut text = String::new();
        groff.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let mut warnings = String::new();
        groff.stderr.take().unwrap().read_to_string(&mut warnings).unwrap();
        assert!(groff.wait().unwrap().success() && warnings.is_empty(), "{warnings}");
        text
    };
    let pages = files_below(&stage.path("manual"));
    assert_eq!(pages.len(), 27, "{pages:?}");
    pages.iter().for_each(|page| drop(render(&fs::read(page).unwrap())));
    let synopses = [
        ("", "yesterfs [-V|--version] [GLOBAL OPTIONS] COMMAND ..."),
        ("ingest", "yesterfs ingest [GLOBAL OPTIONS] COMMAND ..."),
        (
            "ingest dir",
            "yesterfs ingest dir --source SOURCE [--json] [-x|--one-file-system] [--reread] [--tag TAG]... [--time TIME] [--exclude PATTERN]... [--exclude-file FILE]... [--threads N] [GLOBAL OPTIONS] PATH",
        ),
        (
            "ingest stream",
            "yesterfs ingest stream --source SOURCE [--json] [--tag TAG]... [--time TIME] [--name NAME] [--stream NAME=COMMAND]... [--expect-end TEXT] [GLOBAL OPTIONS] [-- COMMAND...]",
        ),
        ("cat", "yesterfs cat [GLOBAL OPTIONS] SNAP:/PATH..."),
        ("find", "yesterfs find [--all] [-i|--ignore-case] [-l|--long] [--json] [GLOBAL OPTIONS] [SNAP] PATTERN"),
        (
            "restore",
            "yesterfs restore [-n|--dry-run] [--delete] [--delete-unread] [--verify] [--numeric-ids] [--json] [--overwrite] [--no-owner] [--no-privileges] [--without-definer] [--to DIR] [--threads N] [--into URL] [--table DATABASE.TABLE]... [--as DATABASE.TABLE] [--client PROGRAM] [GLOBAL OPTIONS] SNAP[:/PATH]",
        ),
        ("umount", "yesterfs umount [-l|--lazy] [GLOBAL OPTIONS] DIR"),
        ("man", "yesterfs man [--out DIR] [GLOBAL OPTIONS] [COMMAND...]"),
    ];
    for (command, synopsis) in synopses {
        let words: Vec<&str> = ["man"].into_iter().chain(command.split_whitespace()).collect();
        let page = render(stage.succeed(&words).as_bytes());
        let shown = page.split_once("SYNOPSIS\n").unwrap().1.lines().next().unwrap();
        assert_eq!(shown.split_whitespace().collect::<Vec<_>>().join(" "), synopsis);
        assert!(page.contains("\nEXAMPLES\n"), "{page}");
    }
}

#[test]
fn the_readme_names_only_options_that_are_there() {
    let stage = Stage::new();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, table) = readme.split_once("| Command | |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with("| `"));
    let mut commands = 0;
    for row in rows {
        let (usage, rest) = row[3..].split_once('`').unwrap();
        let words: Vec<&str> =
            usage.split_whitespace().take_while(|word| word.bytes().all(|it| it.is_ascii_lowercase())).collect();
        let help = stage.succeed(&[&words[..], &["--help"]].concat());
        // In backticks, here and in the second column: options, not the dashes of prose.
        let code = usage.split(' ').chain(rest.split('`').skip(1).step_by(2).flat_map(|code| code.split(' ')));
        for option in code.filter(|word| word.starts_with('-') && *word != "--") {
            let option = option.trim_end_matches([',', ']']);
            let is_there = help.split_whitespace().any(|word| word.trim_end_matches(',') == option);
            assert!(is_there || option == "-i", "{usage}: {option} is not in its help");
        }
        commands += 1;
    }
    assert!(commands >= 16, "{commands}");
}
