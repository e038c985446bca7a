//! A PostgreSQL for a drill.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::dump::name::quoted_name;
use crate::dump::postgres::tablespace_directory;
use crate::error::{Error, Result};
use crate::load::ServerUrl;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::verify::globals::{NeededGlobals, needed_globals};
use crate::verify::place::ScratchPlace;
use crate::verify::programs::Programs;
use crate::verify::row_options::row_options;
use crate::verify::server::{Engine, SecondDump};

const PACKAGE: &str = "postgresql";

/// Where Debian and others have a directory for each version.
const VERSIONS: [&str; 2] = ["/usr/lib/postgresql", "/usr/lib64/pgsql"];

/// Who owns the new server. A dump of a whole cluster makes the usual one.
const OWNER: &str = "yesterfs_drill";

/// Nothing but the socket, and nothing that outlives the drill.
const SERVER_OPTIONS: [&str; 7] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "max_wal_size=4GB",
    "unix_socket_permissions=0700",
];

pub struct PostgresEngine {
    server: PathBuf,
    installer: PathBuf,
    client: OsString,
    dumper: OsString,
}

impl PostgresEngine {
    pub fn new(bin: Option<&Path>) -> Result<PostgresEngine> {
        let programs = Programs::new(bin, newest_first(), PACKAGE);
        let server = programs.require(&["postgres"])?;
        // Its companions lie beside it; those on the path may be of another version, or look for one.
        let beside = Programs::new(server.parent(), Vec::new(), PACKAGE);
        Ok(PostgresEngine {
            installer: beside.require(&["initdb"])?,
            client: beside.find_client(&["psql"]),
            dumper: beside.find_client(&["pg_dumpall"]),
            server,
        })
    }
}

/// The directories of programs of all versions.
fn newest_first() -> Vec<PathBuf> {
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.split('.').next()?.parse().ok() };
    let entries = VERSIONS.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| version(path).is_some()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found.into_iter().map(|path| path.join("bin")).collect()
}

/// Where all tablespaces are.
fn tablespaces(place: &ScratchPlace) -> PathBuf {
    place.path("tablespaces")
}

fn directory_of(place: &ScratchPlace, tablespace: &[u8]) -> Vec<u8> {
    tablespace_directory(tablespaces(place).as_os_str().as_bytes(), tablespace)
}

/// Those of tablespaces, which the server must own.
fn make_directories<'n>(place: &ScratchPlace, names: impl Iterator<Item = &'n Vec<u8>>) -> Result<()> {
    let mut make = place.command("mkdir");
    make.arg(tablespaces(place)).args(names.map(|name| OsString::from_vec(directory_of(place, name))));
    place.run(make, "making directories for tablespaces")
}

impl Engine for PostgresEngine {
    fn initialize(&self, place: &ScratchPlace) -> Result<()> {
        let mut command = place.command(&self.installer);
        command.arg("-D").arg(place.path("data")).args(["-U", OWNER, "-A", "trust", "--no-sync", "-E", "UTF8"]);
        command.arg("--locale=C.UTF-8");
        place.run(command, "making the files of a server")
    }

    fn server(&self, place: &ScratchPlace, _: bool) -> Command {
        let mut command = place.command(&self.server);
        command.arg("-D").arg(place.path("data")).arg("-k").arg(place.directory());
        command.args(SERVER_OPTIONS.iter().flat_map(|option| ["-c", option]));
        command
    }

    fn is_ready(&self, place: &ScratchPlace) -> bool {
        // What pg_ctl looks at: the last line of this file is the state.
        let state = std::fs::read_to_string(place.path("data/postmaster.pid")).unwrap_or_default();
        state.lines().nth(7).is_some_and(|line| line.trim() == "ready")
    }

    fn stop_signal(&self) -> Signal {
        // It asks nobody to end first.
        Signal::INT
    }

    fn url(&self, place: &ScratchPlace) -> Result<ServerUrl> {
        let encode = |&byte: &u8| match byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        let host: String = place.directory().as_os_str().as_bytes().iter().map(encode).collect();
        format!("postgres://{OWNER}@/?host={host}").parse()
    }

    fn client(&self) -> OsString {
        self.client.clone()
    }

    fn loads_over_what_is_there(&self) -> bool {
        false
    }

    fn prepare(
        &self,
        place: &ScratchPlace,
        repository: &Repository,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let NeededGlobals { missing, own_tablespaces } = needed_globals(repository, snapshot, monitor)?;
        make_directories(place, missing.tablespaces.union(&own_tablespaces))?;
        let role = |name: &Vec<u8>| [b"CREATE ROLE ", &quoted_name(name, b'"')[..], b" SUPERUSER;\n"].concat();
        let mut text: Vec<u8> = missing.roles.iter().flat_map(role).collect();
        for name in &missing.tablespaces {
            let place = quoted_name(&directory_of(place, name), b'\'');
            text.extend([b"CREATE TABLESPACE ", &quoted_name(name, b'"')[..], b" LOCATION ", &place, b";\n"].concat());
        }
        let path = place.path("globals.sql");
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        // As whoever may read that file.
        let mut command = place.client(&self.client);
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--username", OWNER, "--dbname=postgres"]);
        command.arg("--host").arg(place.directory()).arg("--file").arg(path);
        place.run(command, "making roles and tablespaces")
    }

    /// Whether or not it was seen to make any: none may touch a directory of the machine.
    fn tablespaces(&self, place: &ScratchPlace) -> Option<PathBuf> {
        Some(tablespaces(place))
    }

    fn is_to_be_restarted(&self, _: &Repository, _: &Snapshot) -> Result<bool> {
        Ok(false)
    }

    fn dump(
        &self,
        place: &ScratchPlace,
        repository: &Repository,
        snapshot: &Snapshot,
        _: &dyn Monitor,
    ) -> Result<SecondDump> {
        let mut command = place.client(&self.dumper);
        command.arg("--host").arg(place.directory());
        command.args(["--username", OWNER, "--no-role-passwords", "--database=postgres"]);
        if let Some(set) = snapshot.manifest.facts.get("character_set") {
            command.arg(format!("--encoding={set}"));
        }
        command.args(row_options(repository, snapshot)?);
        Ok(SecondDump::Commands(vec![command]))
    }
}
