//! What the user sees while a verb works: a bar on a terminal, a line now and then in a file, JSON for programs.
//! The verb only counts; a thread of its own draws from the counters.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use yesterfs::progress::{Counters, Monitor, Problem};

use super::exit;
use super::output::{Record, counted, human_ratio, human_size, human_whole_duration, printable_path, write_out};

/// Between two drawings of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
/// Between two lines of JSON.
const JSON_INTERVAL: Duration = Duration::from_secs(1);
/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The bar on the terminal while there is one; other lines must go above it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints one line on standard error, above the bar if there is one. A closed standard error is no failure.
pub fn stderr_line(line: &str) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let print = || {
        let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
    };
    match bar.as_ref() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// How a command tells of its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Only problems and notes.
    Nothing,
    /// A bar if standard error is a terminal, else a line now and then.
    Text,
    /// Objects of type `progress` and `problem` on standard output.
    Json,
}

/// The monitor of the command line.
pub struct Terminal {
    shared: Arc<Shared>,
    ticker: Mutex<Option<Ticker>>,
}

struct Ticker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    counters: Counters,
    problems: AtomicU64,
    cancelled: Arc<AtomicBool>,
    json: bool,
    quiet: bool,
    started: Instant,
}

impl Terminal {
    /// A monitor for commands that are done at once: it prints problems and notes, and leaves signals alone.
    pub fn silent(quiet: bool) -> Terminal {
        Terminal { shared: Arc::new(Shared::new(false, quiet)), ticker: Mutex::default() }
    }

    /// A monitor for long work. The first Ctrl-C, SIGTERM or SIGHUP (unless nohup(1) is at work) asks the verb to stop,
    /// the second ends the process.
    pub fn start(show: Show, json: bool, quiet: bool) -> io::Result<Terminal> {
        let shared = Arc::new(Shared::new(json, quiet));
        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
            // In this order: the flag that the first signal sets makes the second one end the process.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                i32::from(exit::INTERRUPTED),
                Arc::clone(&shared.cancelled),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&shared.cancelled))?;
        }
        let ticker = match show {
            Show::Nothing => None,
            _ if quiet => None,
            Show::Json => Some(Ticker::start(&shared, JSON_INTERVAL, Shared::print_json)?),
            Show::Text if io::stderr().is_terminal() => Some(start_bar(&shared)?),
            Show::Text => Some(Ticker::start(&shared, LINE_INTERVAL, Shared::print_line)?),
        };
        Ok(Terminal { shared, ticker: Mutex::new(ticker) })
    }

    /// Seconds since the work began.
    pub fn elapsed_seconds(&self) -> f64 {
        self.shared.started.elapsed().as_secs_f64()
    }

    /// Ends the drawing and takes the bar away.
    pub fn finish(&self) {
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ticker { stop, thread }) = ticker {
            drop(stop);
            // A panic in the drawing thread has been printed; the work itself is not touched by it.
            let _ = thread.join();
        }
        if let Some(bar) = BAR.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Monitor for Terminal {
    fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn problem(&self, problem: Problem) {
        self.shared.problems.fetch_add(1, Ordering::Relaxed);
        if self.shared.json {
            let record = Record::new("problem").put_path("path", &problem.path).put("reason", problem.reason);
            print_record(&record);
        } else {
            let path = format!("\"{}\"", printable_path(&problem.path));
            // An error of the library names its object, as a table.
            let is_named = problem.reason.split_once(' ').is_some_and(|(_, named)| named.starts_with(&path));
            let path = if is_named { String::new() } else { format!("{path}: ") };
            stderr_line(&format!("yesterfs: {path}{}", problem.reason));
        }
    }

    fn note(&self, text: &str) {
        if !self.shared.quiet {
            stderr_line(&format!("yesterfs: {text}"));
        }
    }

    fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }
}

impl Ticker {
    /// Calls `draw` at every `interval` until stopped.
    fn start(
        shared: &Arc<Shared>,
        interval: Duration,
        mut draw: impl FnMut(&Shared, &Rate) + Send + 'static,
    ) -> io::Result<Ticker> {
        let shared = Arc::clone(shared);
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name("progress".to_string()).spawn(move || {
            let mut rate = Rate::default();
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                rate.observe(Counters::get(&shared.counters.bytes), shared.started.elapsed());
                draw(&shared, &rate);
            }
        })?;
        Ok(Ticker { stop, thread })
    }
}

/// Whether this process was started with a signal that does nothing.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// What a bar shows while the end is known: the second line for what has no room in 80 columns.
const WITH_TOTAL: &str = "{percent:>3}% [{bar:12}] {wide_msg}\n     {prefix}";
const WITHOUT_TOTAL: &str = "{spinner} {wide_msg}";

fn start_bar(shared: &Arc<Shared>) -> io::Result<Ticker> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    let mut knew_total = None;
    Ticker::start(shared, BAR_INTERVAL, move |shared, rate| {
        let Some(amounts) = shared.amounts() else { return };
        let total = amounts.expected;
        if knew_total != Some(total.is_some()) {
            bar.set_style(style(if total.is_some() { WITH_TOTAL } else { WITHOUT_TOTAL }));
            knew_total = Some(total.is_some());
        }
        bar.set_position(amounts.bytes);
        let (speed, gain) = (amounts.speed(rate), amounts.gain());
        match total {
            Some(total) => {
                bar.set_length(total);
                bar.set_prefix(gain.join(", "));
                bar.set_message(speed.join(", "));
            }
            None => {
                bar.unset_length();
                bar.set_message([speed, gain].concat().join(", "));
            }
        }
        bar.tick();
    })
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a wrong one shows as a default bar, not as a failure.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// Prints a record on standard output. If that is closed, the end of the command tells.
fn print_record(record: &Record) {
    if let Ok(mut line) = serde_json::to_vec(record) {
        line.push(b'\n');
        let _ = write_out(&line);
    }
}

impl Shared {
    fn new(json: bool, quiet: bool) -> Shared {
        Shared {
            counters: Counters::default(),
            problems: AtomicU64::new(0),
            cancelled: Arc::default(),
            json,
            quiet,
            started: Instant::now(),
        }
    }

    fn print_line(&self, rate: &Rate) {
        let Some(amounts) = self.amounts() else { return };
        stderr_line(&format!("yesterfs: {}", [amounts.speed(rate), amounts.gain()].concat().join(", ")));
    }

    fn print_json(&self, rate: &Rate) {
        let amounts = self.amounts().unwrap_or_default();
        let record = counters_record(Record::new("progress"), &self.counters, self.started.elapsed().as_secs_f64());
        let left = amounts.expected.and_then(|expected| rate.seconds_left(amounts.bytes, expected));
        print_record(&record.put("bytes_per_second", rate.bytes_per_second as u64).put("seconds_left", left));
    }

    /// What was counted; `None` before anything was, when a command may still be asking its user for a password.
    fn amounts(&self) -> Option<Amounts> {
        let get = Counters::get;
        let counters = &self.counters;
        let amounts = Amounts {
            bytes: get(&counters.bytes),
            // Once it is exceeded, it tells nothing.
            expected: Some(get(&counters.bytes_expected)).filter(|it| *it > 0 && *it >= get(&counters.bytes)),
            entries: get(&counters.entries),
            new: get(&counters.bytes_new),
            stored: get(&counters.bytes_stored),
            stopping: self.cancelled.load(Ordering::Relaxed),
        };
        (amounts.bytes > 0 || amounts.entries > 0).then_some(amounts)
    }
}

/// What was done at one moment.
#[derive(Default)]
struct Amounts {
    bytes: u64,
    expected: Option<u64>,
    entries: u64,
    new: u64,
    stored: u64,
    stopping: bool,
}

impl Amounts {
    /// Bytes, rate, time left.
    fn speed(&self, rate: &Rate) -> Vec<String> {
        let bytes = match self.expected {
            None => human_size(self.bytes),
            Some(expected) => format!("{} of {}", human_size(self.bytes), human_size(expected)),
        };
        let speed = format!("{}/s", human_size(rate.bytes_per_second as u64));
        let seconds = self.expected.and_then(|expected| rate.seconds_left(self.bytes, expected));
        let left = seconds.map(|seconds| format!("{} left", human_whole_duration(seconds.ceil() as u64)));
        [bytes, speed].into_iter().chain(left).collect()
    }

    /// Whether it is stopping, entries, new bytes, and how many times more there is than is stored for it.
    fn gain(&self) -> Vec<String> {
        let stopping = self.stopping.then(|| "stopping".to_string());
        let entries = (self.entries > 0).then(|| counted(self.entries, "entry", "entries"));
        let ratio = human_ratio(self.bytes, self.stored).map(|ratio| format!(" ({ratio})")).unwrap_or_default();
        let new = (self.new > 0).then(|| format!("{} new{ratio}", human_size(self.new)));
        [stopping, entries, new].into_iter().flatten().collect()
    }
}

/// The counters as fields of `record`.
pub fn counters_record(record: Record, counters: &Counters, seconds: f64) -> Record {
    record
        .put("entries", Counters::get(&counters.entries))
        .put("files", Counters::get(&counters.files))
        .put("files_unchanged", Counters::get(&counters.files_unchanged))
        .put("bytes", Counters::get(&counters.bytes))
        .put("bytes_expected", Counters::get(&counters.bytes_expected))
        .put("bytes_read", Counters::get(&counters.bytes_read))
        .put("bytes_new", Counters::get(&counters.bytes_new))
        .put("bytes_stored", Counters::get(&counters.bytes_stored))
        .put("seconds", seconds)
}

/// Bytes a second, smoothed over some seconds.
#[derive(Default)]
struct Rate {
    bytes_per_second: f64,
    last_bytes: u64,
    last_seconds: f64,
}

impl Rate {
    /// A burst fades to a third in this time.
    const SMOOTHING_SECONDS: f64 = 5.0;

    fn observe(&mut self, bytes: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64() - self.last_seconds;
        if seconds <= 0.0 {
            return;
        }
        let present = bytes.saturating_sub(self.last_bytes) as f64 / seconds;
        let weight = if self.last_seconds == 0.0 { 1.0 } else { 1.0 - (-seconds / Self::SMOOTHING_SECONDS).exp() };
        self.bytes_per_second += weight * (present - self.bytes_per_second);
        self.last_bytes = bytes;
        self.last_seconds = elapsed.as_secs_f64();
    }

    /// `None` while the end is not known.
    fn seconds_left(&self, bytes: u64, expected: u64) -> Option<f64> {
        let left = expected.checked_sub(bytes).filter(|left| *left > 0)?;
        (self.bytes_per_second >= 1.0).then(|| left as f64 / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_speed_and_tells_the_time_left() {
        let mut rate = Rate::default();
        rate.observe(1_000, Duration::from_secs(1));
        assert_eq!(rate.bytes_per_second, 1_000.0);
        assert_eq!(rate.seconds_left(1_000, 3_000), Some(2.0));
        assert_eq!(rate.seconds_left(1_000, 0), None);
        for second in 2..60 {
            rate.observe(1_000 + 500 * (second - 1), Duration::from_secs(second));
        }
        assert!((rate.bytes_per_second - 500.0).abs() < 1.0, "{}", rate.bytes_per_second);
    }

    #[test]
    fn what_is_told_is_what_is_known() {
        let shared = Shared::new(false, false);
        let rate = Rate { bytes_per_second: 1024.0, ..Rate::default() };
        assert!(shared.amounts().is_none());
        Counters::add(&shared.counters.bytes, 2_048);
        let amounts = shared.amounts().unwrap();
        assert_eq!((amounts.speed(&rate).join(", ").as_str(), amounts.gain().len()), ("2.0 KiB, 1.0 KiB/s", 0));
        Counters::add(&shared.counters.entries, 1_200);
        Counters::add(&shared.counters.bytes_expected, 4_096);
        Counters::add(&shared.counters.bytes_new, 1_024);
        Counters::add(&shared.counters.bytes_stored, 512);
        let amounts = shared.amounts().unwrap();
        assert_eq!(amounts.speed(&rate), ["2.0 KiB of 4.0 KiB", "1.0 KiB/s", "2 s left"]);
        assert_eq!(amounts.gain(), ["1,200 entries", "1.0 KiB new (4.0x)"]);
        Counters::add(&shared.counters.bytes, 2_049);
        assert_eq!(shared.amounts().unwrap().expected, None, "more than was expected");
    }

    #[test]
    fn the_longest_lines_have_room_on_a_terminal_of_80_columns() {
        let huge = 1023 << 40;
        let rate = Rate { bytes_per_second: 1.0e15 / 60_000.0, ..Rate::default() };
        let mut amounts = Amounts {
            bytes: huge / 2,
            expected: Some(huge),
            entries: 999_999_999,
            new: huge,
            stored: huge,
            stopping: true,
        };
        let left = "100% [============] ".len();
        assert!(left + amounts.speed(&rate).join(", ").len() <= 80, "{:?}", amounts.speed(&rate));
        assert!(amounts.gain().join(", ").len() <= 75, "{:?}", amounts.gain());
        (amounts.expected, amounts.stopping) = (None, false);
        let line = [amounts.speed(&rate), amounts.gain()].concat().join(", ");
        assert!("- ".len() + line.len() <= 80, "{line}");
    }
}
