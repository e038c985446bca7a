//! ScratchServer: a server that a drill starts and ends. What is to be known of one kind of server is an [`Engine`].

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{Error, Result};
use crate::load::ServerUrl;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::verify::place::{LOOK_INTERVAL, ScratchPlace, end_of};

/// So often it is looked before a server counts as stuck: two minutes.
const LOOKS_MAX: u32 = 6000;

/// One kind of server.
pub trait Engine: Sync {
    /// Makes the files of a new, empty server.
    fn initialize(&self, place: &ScratchPlace) -> Result<()>;

    /// What runs it, reached by a socket in the place and by nothing else.
    fn server(&self, place: &ScratchPlace, is_restarted: bool) -> Command;

    fn is_ready(&self, place: &ScratchPlace) -> bool;

    /// What ends it soon.
    fn stop_signal(&self) -> Signal;

    fn url(&self, place: &ScratchPlace) -> Result<ServerUrl>;

    /// The program that loads.
    fn client(&self) -> OsString;

    /// A new server has tables of its own that a dump may replace.
    fn loads_over_what_is_there(&self) -> bool;

    /// Makes what the dump of a snapshot needs and does not make.
    fn prepare(
        &self,
        place: &ScratchPlace,
        repository: &Repository,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<()>;

    /// Where tablespaces go that the dump makes, if it can make any.
    fn tablespaces(&self, _place: &ScratchPlace) -> Option<PathBuf> {
        None
    }

    /// Whether the dump may have locked its user out.
    fn is_to_be_restarted(&self, repository: &Repository, snapshot: &Snapshot) -> Result<bool>;

    /// What dumps all that came from the snapshot.
    fn dump(
        &self,
        place: &ScratchPlace,
        repository: &Repository,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<SecondDump>;
}

/// The dump of the server that was loaded.
pub enum SecondDump {
    /// What commands print, each a dump.
    Commands(Vec<Command>),
    /// Files as `mongodump` writes them.
    Directory(PathBuf),
}

/// A server that ends with its owner.
pub struct ScratchServer<'a> {
    engine: &'a dyn Engine,
    place: &'a ScratchPlace<'a>,
    running: Option<(Child, Pid)>,
}

impl<'a> ScratchServer<'a> {
    /// A new, empty one that answers.
    pub fn start(
        engine: &'a dyn Engine,
        place: &'a ScratchPlace<'a>,
        monitor: &dyn Monitor,
    ) -> Result<ScratchServer<'a>> {
        engine.initialize(place)?;
        let mut server = ScratchServer { engine, place, running: None };
        server.run(false, monitor)?;
        Ok(server)
    }

    /// Ends it and starts it again, so that whoever was locked out may come in.
    pub fn restart(&mut self, monitor: &dyn Monitor) -> Result<()> {
        self.stop();
        self.run(true, monitor)
    }

    fn run(&mut self, is_restarted: bool, monitor: &dyn Monitor) -> Result<()> {
        let mut command = self.engine.server(self.place, is_restarted);
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |reason: String| Error::Load { what: "starting a server".into(), client: program.clone(), reason };
        let path = self.place.path("log");
        let log = File::create(&path).map_err(Error::io("make", &path))?;
        // Some tell why they end where others print nothing.
        let printed = log.try_clone().map_err(Error::io("open again", &path))?;
        // A group of its own: what ends this process from a terminal does not reach it before it is asked to end.
        command.process_group(0).stdout(printed).stderr(log);
        let child = command.spawn().map_err(|cause| failed(cause.to_string()))?;
        let id = Pid::from_child(&child);
        self.place.set_server(Some(id));
        let (child, _) = self.running.insert((child, id));
        for _ in 0..LOOKS_MAX {
            if monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let log = || end_of(&std::fs::read(&path).unwrap_or_default());
            if let Some(status) = child.try_wait().map_err(|cause| failed(cause.to_string()))? {
                return Err(failed(format!("it ended with {status}; {}", log())));
            }
            if self.engine.is_ready(self.place) {
                return Ok(());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err(failed("it does not answer".into()))
    }

    /// Ends it as soon as the user asks to stop, unless that is not needed any more.
    pub fn end_if_cancelled(&self, monitor: &dyn Monitor, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            if monitor.is_cancelled() {
                // Nobody waits for it meanwhile, so that the number is its own.
                self.running.iter().for_each(|(_, id)| self.ask_to_end(*id));
                return;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Itself only: it ends what it started. One that is gone needs no signal.
    fn ask_to_end(&self, id: Pid) {
        let _ = kill_process(id, self.engine.stop_signal());
    }

    /// Asks it to end, and kills it where that does not help.
    pub fn stop(&mut self) {
        let Some((mut child, id)) = self.running.take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            self.ask_to_end(id);
        }
        let mut looks = 0;
        while matches!(child.try_wait(), Ok(None)) {
            looks += 1;
            if looks == LOOKS_MAX {
                let _ = kill_process_group(id, Signal::KILL);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.place.set_server(None);
    }
}

impl Drop for ScratchServer<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
