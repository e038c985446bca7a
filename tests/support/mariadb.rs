//! A real MariaDB of a test's own: its data, its socket, and no network.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::server::{stop, succeed};

const START_MAX: Duration = Duration::from_secs(60);

/// A server that ends with the test.
pub struct MariaDb {
    directory: TempDir,
    server: Child,
}

impl MariaDb {
    /// A new, empty server with a binary log.
    pub fn start() -> MariaDb {
        MariaDb::start_with(&[])
    }

    /// One that others on this machine reach at a port, and one with another number that replicates from it.
    pub fn start_pair() -> (MariaDb, MariaDb) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let reached = ["--skip-networking=0", "--bind-address=127.0.0.1", &format!("--port={port}")];
        let (primary, replica) = (MariaDb::start_with(&reached), MariaDb::start_with(&["--server-id=2"]));
        primary.run("", "CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'x'; GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'; FLUSH BINARY LOGS");
        let [file, position] = primary.log_position();
        let server = format!("MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='repl', MASTER_PASSWORD='x'");
        let place = format!("MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}");
        replica.run("", format!("CHANGE MASTER TO {server}, {place}; START SLAVE"));
        (primary, replica)
    }

    /// Waits until this replica has all that its primary has.
    pub fn catch_up(&self, primary: &MariaDb) {
        let [file, position] = primary.log_position();
        let waited = self.run("", format!("SELECT MASTER_POS_WAIT('{file}', {position}, 60)"));
        assert!(waited.trim().parse::<u64>().is_ok(), "the replica waits for {file} {position}: {waited}");
    }

    /// The file of its binary log, and the place in it, where it stands.
    pub fn log_position(&self) -> [String; 2] {
        let status = self.run("", "SHOW MASTER STATUS");
        let mut words = status.split('\t').map(str::to_string);
        std::array::from_fn(|_| words.next().unwrap())
    }

    fn start_with(options: &[&str]) -> MariaDb {
        let directory = TempDir::new().unwrap();
        let own = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
        let user: &[&str] = if rustix::process::geteuid().is_root() { &["--user=root"] } else { &[] };
        let data = format!("--datadir={}", own("data"));
        let mut install = Command::new("mariadb-install-db");
        std::fs::create_dir(own("tmp")).unwrap();
        let scratch = format!("--tmpdir={}", own("tmp"));
        install.arg("--no-defaults").args(user).args([&data, &scratch]);
        install.args(["--auth-root-authentication-method=normal", "--force", "--skip-test-db"]);
        succeed(install.output().unwrap(), "mariadb-install-db");
        let mut command = Command::new("mariadbd");
        command
            .arg("--no-defaults")
            .args(user)
            .args([&data, &scratch])
            .args(["--skip-networking", "--innodb-fast-shutdown=2"]);
        command.args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=64M",
        ]);
        command.args(["--server-id=1", "--log-bin-trust-function-creators=1"]);
        command.arg(format!("--log-bin={}", own("data/binlog")));
        command.args([format!("--socket={}", own("socket")), format!("--pid-file={}", own("pid"))]);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let server = command.args(options).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut started = MariaDb { directory, server };
        started.wait_until_ready();
        started
    }

    fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        let ping = |server: &MariaDb| server.program("mariadb-admin").arg("ping").output().unwrap().status.success();
        while !ping(self) {
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(self.server.try_wait().unwrap().is_none() && begin.elapsed() < START_MAX, "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where it is, for who takes a URL; nothing else on this machine tells more.
    pub fn url(&self, database: &str) -> String {
        let own = |name: &str| self.directory.path().join(name).to_str().unwrap().to_string();
        std::fs::write(own("client.cnf"), "[client]\ndefault-character-set=utf8mb4\n").unwrap();
        format!("mysql://root@/{database}?socket={}&defaults-file={}", own("socket"), own("client.cnf"))
    }

    fn connection(&self) -> [String; 4] {
        let socket: PathBuf = self.directory.path().join("socket");
        let socket = format!("--socket={}", socket.to_str().unwrap());
        ["--no-defaults".into(), "--user=root".into(), socket, "--default-character-set=utf8mb4".into()]
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(self.connection());
        command
    }

    /// The words of a command that dumps.
    pub fn dump_command(&self, arguments: &[&str]) -> Vec<OsString> {
        let words = std::iter::once("mariadb-dump".to_string()).chain(self.connection());
        words.chain(arguments.iter().map(|it| it.to_string())).map(OsString::from).collect()
    }

    /// What such a command prints.
    pub fn dump(&self, arguments: &[&str]) -> Vec<u8> {
        succeed(self.program("mariadb-dump").args(arguments).output().unwrap(), "mariadb-dump").stdout
    }

    /// What becomes of a dump into a new directory by `mydumper`.
    pub fn mydumper(&self, directory: &Path, options: &[&str]) -> Output {
        let mut command = Command::new("mydumper");
        command.arg("--outputdir").arg(directory).arg("--socket").arg(self.directory.path().join("socket"));
        command.args(["--user", "root", "--verbose", "0"]).args(options).env("HOME", self.directory.path());
        command.output().unwrap_or_else(|error| panic!("this test needs mydumper: {error}"))
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Copies its data, while it runs, into a new directory.
    #[track_caller]
    pub fn copy_to(&self, directory: &Path, options: &[&str]) {
        let mut command = Command::new("mariadb-backup");
        command.args(&self.connection()[..3]).args(["--backup", "--innodb-flush-method=nosync"]).args(options);
        command.arg(format!("--datadir={}", self.data().display()));
        command.arg(format!("--target-dir={}", directory.display()));
        std::fs::create_dir_all(directory).unwrap();
        succeed(command.output().unwrap(), "mariadb-backup");
    }

    /// Runs statements, with or without a database; gives what they print.
    #[track_caller]
    pub fn run(&self, database: &str, sql: impl AsRef<[u8]>) -> String {
        self.run_in("utf8mb4", database, sql)
    }

    /// The same of statements in another character set.
    #[track_caller]
    pub fn run_in(&self, set: &str, database: &str, sql: impl AsRef<[u8]>) -> String {
        let mut client = self.program("mariadb");
        client.args(["--batch", "--skip-column-names", &format!("--default-character-set={set}")]);
        client.args(Some(database).filter(|name| !name.is_empty()));
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        let sql = sql.as_ref().to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&sql));
        let output = client.wait_with_output().unwrap();
        // A client that failed stopped reading, which the next line tells better.
        let _ = writer.join().unwrap();
        String::from_utf8_lossy(&succeed(output, "mariadb").stdout).into_owned()
    }

    /// An empty database of this name.
    pub fn make_empty(&self, database: &str) {
        self.run(
            "",
            format!("DROP DATABASE IF EXISTS `{database}`; CREATE DATABASE `{database}` CHARACTER SET utf8mb4"),
        );
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        stop(&mut self.server, Signal::TERM);
    }
}
