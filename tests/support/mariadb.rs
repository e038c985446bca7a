//! A real MariaDB, or an old MySQL, of a test's own: its data, its socket, and no network.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::packages;
use super::server::{stop, succeed};

const START_MAX: Duration = Duration::from_secs(60);

/// A server that ends with the test.
pub struct MariaDb {
    directory: TempDir,
    /// Where its programs are, if they are not Debian's.
    base: Option<PathBuf>,
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
        // A busy machine sees it on its way to its primary for a while.
        let started = Instant::now();
        while replica.run("", "SHOW SLAVE STATUS").split('\t').nth(10) != Some("Yes") {
            assert!(started.elapsed() < Duration::from_secs(60), "the replica does not follow its primary");
            std::thread::sleep(Duration::from_millis(10));
        }
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

    /// One of version 11.4.5, with programs of that version.
    pub fn start_11_4() -> MariaDb {
        MariaDb::start_of(packages::mariadb_11_4)
    }

    /// A MySQL 5.6.24, which Debian's client asks.
    pub fn start_mysql_5_6() -> MariaDb {
        MariaDb::start_of(packages::mysql_5_6)
    }

    fn start_of(package: impl Fn(&Path) -> PathBuf) -> MariaDb {
        let directory = TempDir::new().unwrap();
        // Whoever runs the server of a drill has to come by the programs.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let base = package(directory.path());
        MariaDb::start_in(directory, Some(base), &[])
    }

    fn start_with(options: &[&str]) -> MariaDb {
        MariaDb::start_in(TempDir::new().unwrap(), None, options)
    }

    fn start_in(directory: TempDir, base: Option<PathBuf>, options: &[&str]) -> MariaDb {
        let own = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
        std::fs::create_dir(own("tmp")).unwrap();
        let mut usual = vec![format!("--datadir={}", own("data")), format!("--tmpdir={}", own("tmp"))];
        usual.extend(rustix::process::geteuid().is_root().then(|| "--user=root".to_string()));
        usual.extend(base.iter().map(|base| format!("--basedir={}", base.display())));
        let installer = program_of(base.as_deref(), &["mariadb-install-db", "mysql_install_db"]);
        let mut install = Command::new(&installer);
        install.arg("--no-defaults").args(&usual).arg("--force");
        if installer.ends_with("mariadb-install-db") {
            install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        }
        succeed(install.output().unwrap(), "mariadb-install-db");
        let mut command = Command::new(program_of(base.as_deref(), &["mariadbd", "mysqld"]));
        command.arg("--no-defaults").args(&usual).args(["--skip-networking", "--innodb-fast-shutdown=2"]);
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
        let mut started = MariaDb { directory, base, server };
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
        let mut command = Command::new(program_of(self.base.as_deref(), &[name]));
        command.args(self.connection());
        command
    }

    /// The directory of its programs, where they are not Debian's.
    pub fn programs(&self) -> PathBuf {
        self.base.as_ref().unwrap().join("bin")
    }

    /// The words of a command that dumps.
    pub fn dump_command(&self, arguments: &[&str]) -> Vec<OsString> {
        let program = program_of(self.base.as_deref(), &["mariadb-dump"]).into_os_string();
        let words = self.connection().into_iter().chain(arguments.iter().map(|it| it.to_string()));
        std::iter::once(program).chain(words.map(OsString::from)).collect()
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

/// The first of these programs that is below this directory, or else Debian's.
fn program_of(base: Option<&Path>, names: &[&str]) -> PathBuf {
    let places = base.into_iter().flat_map(|base| ["bin", "scripts"].map(|place| base.join(place)));
    let mut paths = places.flat_map(|place| names.iter().map(move |name| place.join(name)));
    paths.find(|path| path.exists()).unwrap_or_else(|| names[0].into())
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        stop(&mut self.server, Signal::TERM);
    }
}
