//! The library's log as lines on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::progress::stderr_line;

struct StderrLogger;

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match record.level() {
            Level::Error => stderr_line(&format!("yesterfs: {}", record.args())),
            Level::Warn => stderr_line(&format!("yesterfs: warning: {}", record.args())),
            Level::Info => stderr_line(&format!("yesterfs: {}", record.args())),
            level => stderr_line(&format!("yesterfs: {level} {}: {}", record.target(), record.args())),
        }
    }

    fn flush(&self) {}
}

/// Begins to log: errors always, warnings unless `quiet`, more with each `-v`.
pub fn start(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, 2) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    // It fails only if there is a logger already; this is called once.
    if log::set_logger(&StderrLogger).is_ok() {
        log::set_max_level(level);
    }
}
