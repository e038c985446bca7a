//! A MongoDB for a drill.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::error::Result;
use crate::load::{MongoUrl, ServerUrl, unload};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::verify::place::ScratchPlace;
use crate::verify::programs::Programs;
use crate::verify::server::{Engine, SecondDump};

const PACKAGE: &str = "mongodb-org-server";

/// Directories that the paths of many users lack.
const USUAL_PLACES: [&str; 3] = ["/usr/local/bin", "/opt/mongodb/bin", "/usr/sbin"];

/// Part of the name of the socket that it makes besides the one that is asked for.
const PORT: &str = "27017";

/// Documents that are older than an index lets them be stay.
const SERVER_OPTIONS: [&str; 7] = [
    "--quiet",
    "--wiredTigerCacheSizeGB",
    "1",
    "--setParameter",
    "ttlMonitorEnabled=false",
    "--setParameter",
    "diagnosticDataCollectionEnabled=false",
];

pub struct MongoEngine {
    server: PathBuf,
}

impl MongoEngine {
    pub fn new(bin: Option<&Path>) -> Result<MongoEngine> {
        let programs = Programs::new(bin, USUAL_PLACES.map(PathBuf::from).to_vec(), PACKAGE);
        Ok(MongoEngine { server: programs.require(&["mongod"])? })
    }
}

fn socket(place: &ScratchPlace) -> PathBuf {
    place.path("mongod.sock")
}

impl Engine for MongoEngine {
    fn initialize(&self, place: &ScratchPlace) -> Result<()> {
        let mut make = place.command("mkdir");
        make.arg("data");
        place.run(make, "making a directory for the server")
    }

    fn server(&self, place: &ScratchPlace, _: bool) -> Command {
        let mut command = place.command(&self.server);
        command.arg("--dbpath").arg(place.path("data")).args(SERVER_OPTIONS);
        // An address that is a path is a socket; without others there is no network.
        command.arg("--bind_ip").arg(socket(place));
        command.arg("--unixSocketPrefix").arg(place.directory()).args(["--port", PORT]);
        command
    }

    fn is_ready(&self, place: &ScratchPlace) -> bool {
        UnixStream::connect(socket(place)).is_ok()
    }

    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    fn url(&self, place: &ScratchPlace) -> Result<ServerUrl> {
        Ok(ServerUrl::Mongo(MongoUrl::of_socket(&socket(place))))
    }

    /// None does.
    fn client(&self) -> OsString {
        OsString::new()
    }

    fn loads_over_what_is_there(&self) -> bool {
        false
    }

    fn prepare(&self, _: &ScratchPlace, _: &Repository, _: &Snapshot, _: &dyn Monitor) -> Result<()> {
        Ok(())
    }

    /// Users are not loaded.
    fn is_to_be_restarted(&self, _: &Repository, _: &Snapshot) -> Result<bool> {
        Ok(false)
    }

    fn dump(&self, place: &ScratchPlace, _: &Repository, _: &Snapshot, monitor: &dyn Monitor) -> Result<SecondDump> {
        let directory = place.path("dump");
        unload(&MongoUrl::of_socket(&socket(place)), &directory, monitor)?;
        Ok(SecondDump::Directory(directory))
    }
}
