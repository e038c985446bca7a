//! A MariaDB, or a MySQL, for a drill.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::dump::mysql::{Account, QuoteModes, Requirements, RequirementsFinder, quoted};
use crate::error::{Error, Result};
use crate::load::ServerUrl;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::verify::mysql::again::{Again, all_again};
use crate::verify::place::ScratchPlace;
use crate::verify::programs::Programs;
use crate::verify::row_options::each_piece_of_dump;
use crate::verify::server::{Engine, SecondDump};

mod again;

const PACKAGE: &str = "mariadb-server";

/// What makes the files of a server: MariaDB has the one, old ones and MySQL below 5.7 the other.
const INSTALLERS: [&str; 2] = ["mariadb-install-db", "mysql_install_db"];

/// Directories that the paths of many users lack.
const USUAL_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"];

/// Where the server's users are.
const USERS_DATABASE: &[u8] = b"mysql";

/// So many users are made by one run of the client: what one argument takes is limited.
const USERS_AT_ONCE: usize = 50;

/// The longest row that the protocol knows; dumpers take 24 MiB else.
const PACKET_OPTION: &str = "--max-allowed-packet=1073741824";

/// Nothing but the socket, nothing that outlives the drill, times as the dump tells them, and room for all letters where it does not
/// tell in which character set a table is.
const SERVER_OPTIONS: [&str; 13] = [
    "--skip-networking",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--event-scheduler=OFF",
    "--local-infile=0",
    "--skip-log-bin",
    "--log-bin-trust-function-creators=1",
    PACKET_OPTION,
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-fast-shutdown=2",
    "--loose-mysqlx=OFF",
    "--loose-secure-file-priv=",
];

pub struct MysqlEngine {
    server: PathBuf,
    /// What makes the files of a new one; MySQL's server does that itself.
    installer: Option<PathBuf>,
    base: Option<PathBuf>,
    client: OsString,
    dumper: OsString,
    requirements: Requirements,
}

impl MysqlEngine {
    /// One for a dump.
    pub fn new(
        bin: Option<&Path>,
        repository: &Repository,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<MysqlEngine> {
        let programs = Programs::new(bin, USUAL_PLACES.map(PathBuf::from).to_vec(), PACKAGE);
        let server = programs.require(&["mariadbd", "mysqld"])?;
        let installer = programs.find(&INSTALLERS);
        let base = bin.map(|bin| bin.join(".."));
        let client = programs.find_client(&["mariadb", "mysql"]);
        Ok(MysqlEngine {
            server,
            installer,
            base,
            client,
            dumper: programs.find_client(&["mariadb-dump", "mysqldump"]),
            requirements: requirements(repository, snapshot, monitor)?,
        })
    }

    fn places(&self, place: &ScratchPlace) -> Vec<OsString> {
        let path_option = |name: &[u8], path: &Path| option(name, path.as_os_str().as_bytes());
        let mut options =
            vec![path_option(b"--datadir=", &place.path("data")), path_option(b"--tmpdir=", &place.path("tmp"))];
        options.extend(self.base.as_ref().map(|base| path_option(b"--basedir=", base)));
        options
    }

    /// A program that is led to the server.
    fn at_server(&self, place: &ScratchPlace, program: &OsString) -> Command {
        let mut command = place.client(program);
        // An option file has to come first.
        command.arg(option(b"--defaults-file=", option_file(place).as_os_str().as_bytes()));
        command.arg(option(b"--socket=", socket(place).as_os_str().as_bytes())).arg("--user=root");
        command
    }

    /// What a client reads in place of all other option files; the empty password counts more than one in the environment.
    fn write_option_file(&self, place: &ScratchPlace) -> Result<()> {
        let path = option_file(place);
        let text = "[client]\npassword=\ndefault-character-set=utf8mb4\n";
        std::fs::write(&path, text).map_err(Error::io("write", &path))
    }
}

/// What the dump of a snapshot requires.
fn requirements(repository: &Repository, snapshot: &Snapshot, monitor: &dyn Monitor) -> Result<Requirements> {
    let mut finder = RequirementsFinder::default();
    each_piece_of_dump(repository, snapshot, monitor, |piece| finder.push(piece))?;
    Ok(finder.finish())
}

/// Makes a user who may do all that objects do which it defines. Servers before MySQL 5.7 and MariaDB 10.1 do not know `IF NOT EXISTS`
/// there, and make whoever is granted something.
fn statements_for(account: &Account) -> Vec<u8> {
    let account = account.quoted();
    let making = quoted(&[b"CREATE USER IF NOT EXISTS ", &account[..]].concat(), QuoteModes::default());
    let chosen = b"SET @making = IF(VERSION() REGEXP '^(5[.][0-6]|10[.]0)[.]', 'DO 0', ";
    let made = b"); PREPARE making FROM @making; EXECUTE making; GRANT ALL PRIVILEGES ON *.* TO ";
    [&chosen[..], &making, made, &account, b"; "].concat()
}

fn option_file(place: &ScratchPlace) -> PathBuf {
    place.path("client.cnf")
}

fn option(name: &[u8], value: &[u8]) -> OsString {
    OsString::from_vec([name, value].concat())
}

fn socket(place: &ScratchPlace) -> PathBuf {
    place.path("socket")
}

impl Engine for MysqlEngine {
    fn initialize(&self, place: &ScratchPlace) -> Result<()> {
        let mut make = place.command("mkdir");
        make.arg("tmp");
        place.run(make, "making a directory for the server")?;
        self.write_option_file(place)?;
        let command = match &self.installer {
            Some(installer) => {
                let mut command = place.command(installer);
                command.arg("--no-defaults").args(self.places(place)).arg("--force");
                // The older one gives what it does not know to the server, which ends then.
                if installer.ends_with(INSTALLERS[0]) {
                    command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
                }
                command
            }
            None => {
                let mut command = place.command(&self.server);
                command.args(["--no-defaults", "--initialize-insecure"]).args(self.places(place));
                command
            }
        };
        place.run(command, "making the files of a server")
    }

    fn server(&self, place: &ScratchPlace, is_restarted: bool) -> Command {
        let mut command = place.command(&self.server);
        command.arg("--no-defaults").args(self.places(place)).args(SERVER_OPTIONS);
        command.arg(option(b"--socket=", socket(place).as_os_str().as_bytes()));
        command.arg(option(b"--pid-file=", place.path("pid").as_os_str().as_bytes()));
        if is_restarted {
            command.arg("--skip-grant-tables");
        }
        command
    }

    fn is_ready(&self, place: &ScratchPlace) -> bool {
        UnixStream::connect(socket(place)).is_ok()
    }

    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    fn url(&self, place: &ScratchPlace) -> Result<ServerUrl> {
        let text = |path: PathBuf| Some(path.to_string_lossy().into_owned());
        Ok(ServerUrl::Mysql(crate::load::MysqlUrl {
            user: Some("root".into()),
            socket: text(socket(place)),
            defaults_file: text(option_file(place)),
            ..Default::default()
        }))
    }

    fn client(&self) -> OsString {
        self.client.clone()
    }

    fn loads_over_what_is_there(&self) -> bool {
        true
    }

    fn prepare(&self, place: &ScratchPlace, _: &Repository, _: &Snapshot, _: &dyn Monitor) -> Result<()> {
        let definers: Vec<Vec<u8>> = self.requirements.definers.iter().map(statements_for).collect();
        for statements in definers.chunks(USERS_AT_ONCE) {
            let mut command = self.at_server(place, &self.client);
            command.arg("--execute").arg(OsString::from_vec(statements.concat()));
            place.run(command, "making users who define objects of the dump")?;
        }
        Ok(())
    }

    fn is_to_be_restarted(&self, repository: &Repository, snapshot: &Snapshot) -> Result<bool> {
        let users = repository.tree()?.lookup_path(&snapshot.manifest.root, USERS_DATABASE)?;
        Ok(users.is_some_and(|node| node.directory().is_some()))
    }

    fn dump(
        &self,
        place: &ScratchPlace,
        repository: &Repository,
        snapshot: &Snapshot,
        _: &dyn Monitor,
    ) -> Result<SecondDump> {
        let command = |again: Again| {
            let mut command = self.at_server(place, &self.dumper);
            let usual =
                ["--skip-lock-tables", "--single-transaction", "--quick", "--skip-dump-date", "--skip-triggers"];
            command.args(usual).arg(PACKET_OPTION).args(self.requirements.has_history.then_some("--dump-history"));
            command.args(again.arguments());
            command
        };
        Ok(SecondDump::Commands(all_again(repository, snapshot)?.into_iter().map(command).collect()))
    }
}
