//! A real PostgreSQL of a test's own: its data, its socket, and no network.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::packages;
use super::server::{stop, succeed};

const START_MAX: Duration = Duration::from_secs(60);

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Where Debian has the programs of all versions.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server that ends with the test.
pub struct Postgres {
    directory: TempDir,
    programs: PathBuf,
    server: Child,
}

/// The programs of the newest version that Debian has installed.
pub fn programs_of_debian() -> PathBuf {
    let versions = std::fs::read_dir(DEBIAN).unwrap_or_else(|error| panic!("{DEBIAN}: {error}"));
    let has_server = |path: &PathBuf| path.join("initdb").exists();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.unwrap().path().join("bin")).filter(has_server).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no PostgreSQL in {DEBIAN}"))
}

impl Postgres {
    /// A new server without databases of its own, of the version that Debian has.
    pub fn start() -> Postgres {
        Postgres::start_of(|_| programs_of_debian())
    }

    /// The same of version 18.
    pub fn start_18() -> Postgres {
        Postgres::start_of(packages::postgres_18)
    }

    fn start_of(programs: impl Fn(&Path) -> PathBuf) -> Postgres {
        let directory = TempDir::new().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        succeed(as_nobody(Path::new("mkdir"), directory.path()).arg("space").output().unwrap(), "mkdir");
        let programs = programs(directory.path());
        let data = directory.path().join("data");
        let mut initdb = as_nobody(&programs.join("initdb"), directory.path());
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]);
        succeed(initdb.output().unwrap(), "initdb");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = as_nobody(&programs.join("postgres"), directory.path());
        command.arg("-D").arg(&data).arg("-k").arg(directory.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB"]);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut started = Postgres { directory, programs, server };
        started.wait_until_ready();
        started
    }

    fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        let answers =
            |server: &Postgres| server.program("psql").args(["-c", "SELECT 1"]).output().unwrap().status.success();
        while !answers(self) {
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(self.server.try_wait().unwrap().is_none() && begin.elapsed() < START_MAX, "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where it is, for who takes a URL.
    pub fn url(&self, database: &str) -> String {
        let host = self.directory.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@/{database}?host={host}")
    }

    /// Where its programs are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where its socket is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn words(&self, program: &str) -> [String; 3] {
        let place = |path: &Path| path.to_str().unwrap().to_string();
        let program = place(&self.programs.join(program));
        [program, format!("--host={}", place(self.directory.path())), "--username=postgres".into()]
    }

    fn program(&self, name: &str) -> Command {
        let [program, host, user] = self.words(name);
        let mut command = Command::new(program);
        command.args([host, user]);
        command
    }

    /// The words of a command that dumps: `pg_dump` or `pg_dumpall`, and its arguments.
    pub fn dump_command(&self, program: &str, arguments: &[&str]) -> Vec<OsString> {
        let words = self.words(program).into_iter();
        words.chain(arguments.iter().map(|it| it.to_string())).map(OsString::from).collect()
    }

    /// What such a command prints.
    #[track_caller]
    pub fn dump(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        succeed(self.program(program).args(arguments).output().unwrap(), program).stdout
    }

    /// Makes a base backup, while it runs, in a new directory.
    #[track_caller]
    pub fn copy_to(&self, directory: &Path) {
        let mut command = self.program("pg_basebackup");
        command.args(["--checkpoint=fast", "--wal-method=none", "--no-sync", "--label=nightly", "-D"]).arg(directory);
        succeed(command.output().unwrap(), "pg_basebackup");
    }

    /// A path that nothing has yet, and that its programs may write to.
    pub fn new_path(&self, stem: &str) -> PathBuf {
        let directory = self.directory.path();
        (0..).map(|number| directory.join(format!("{stem}-{number}"))).find(|path| !path.exists()).unwrap()
    }

    /// The text that `pg_restore` makes of an archive.
    #[track_caller]
    pub fn text_of(&self, archive: &Path) -> Vec<u8> {
        let mut command = Command::new(self.programs.join("pg_restore"));
        succeed(command.arg("--file=-").arg(archive).output().unwrap(), "pg_restore").stdout
    }

    /// What it lists of an archive.
    #[track_caller]
    pub fn list_of(&self, archive: &Path) -> String {
        let mut command = Command::new(self.programs.join("pg_restore"));
        let output = succeed(command.arg("--list").arg(archive).output().unwrap(), "pg_restore");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script; gives what it prints. The first error ends it. `:'space'` is an empty directory.
    #[track_caller]
    pub fn run(&self, database: &str, sql: impl AsRef<[u8]>) -> String {
        let output = self.psql(database, sql, &["-v", "ON_ERROR_STOP=1"]);
        String::from_utf8_lossy(&succeed(output, "psql").stdout).into_owned()
    }

    /// Runs a script to its end, whatever errors it meets; gives what it prints.
    #[track_caller]
    pub fn printed(&self, database: &str, sql: impl AsRef<[u8]>) -> String {
        String::from_utf8_lossy(&self.psql(database, sql, &[]).stdout).into_owned()
    }

    /// Runs a script to its end; gives the errors that it meets.
    #[track_caller]
    pub fn errors(&self, database: &str, sql: impl AsRef<[u8]>) -> Vec<String> {
        let output = self.psql(database, sql, &[]);
        let told = String::from_utf8_lossy(&succeed(output, "psql").stderr).into_owned();
        told.lines().filter(|line| line.contains("ERROR:") || line.contains("error:")).map(str::to_string).collect()
    }

    /// Runs a script that ends with an error; gives what it tells of it.
    #[track_caller]
    pub fn failing(&self, database: &str, sql: impl AsRef<[u8]>) -> String {
        let output = self.psql(database, sql, &[]);
        assert!(!output.status.success(), "it did not fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// `psql DATABASE < file`.
    #[track_caller]
    pub fn load(&self, database: &str, file: &Path) {
        let file = std::fs::File::open(file).unwrap();
        let mut client = self.program("psql");
        client.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", database]).stdin(file);
        succeed(client.output().unwrap(), "psql");
    }

    #[track_caller]
    fn psql(&self, database: &str, sql: impl AsRef<[u8]>, options: &[&str]) -> Output {
        let mut client = self.program("psql");
        client.args(["-X", "-q", "-A", "-t", "-d"]).arg(connection_to(database)).args(options);
        client.arg("-v").arg(format!("space={}", self.directory.path().join("space").to_str().unwrap()));
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        let sql = sql.as_ref().to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&sql));
        let output = client.wait_with_output().unwrap();
        // A client that failed stopped reading, which its exit status tells better.
        let _ = writer.join().unwrap();
        output
    }

    /// An empty database of this name.
    pub fn make_empty(&self, database: &str) {
        self.run("postgres", format!("DROP DATABASE IF EXISTS {database}"));
        self.run("postgres", format!("CREATE DATABASE {database} TEMPLATE template0"));
    }
}

/// What tells the content of a database, or with options, of a part of it.
pub fn content(server: &Postgres, database: &str, options: &[&str]) -> String {
    let dump = server.dump("pg_dump", &[options, &["-d", database]].concat());
    // What keeps psql from running what a hostile server slipped in is another one each time.
    let dump = String::from_utf8_lossy(&dump).into_owned();
    dump.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// A program as somebody who is not root.
fn as_nobody(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", home).env("LC_ALL", "C.UTF-8").current_dir(home);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The words that name a database of any name.
fn connection_to(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It asks nobody to end first.
        stop(&mut self.server, Signal::INT);
    }
}
