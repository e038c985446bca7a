//! What a user sees and types on a terminal: a real one, that script(1) makes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");
const COLUMNS: usize = 80;

struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage { directory: TempDir::new().unwrap() };
        assert_eq!(stage.run(&["init"]).0, 0);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A shell script of this name.
    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).env("YESTERFS_REPO", self.path("repo")).env("TERM", "xterm");
        command
    }

    /// A command without a terminal: its exit code and its output.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let output = self.command(YESTERFS).args(words).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// Starts what `line` says on a terminal of its own.
    fn type_in(&self, line: &str) -> Session {
        let line = format!("stty cols {COLUMNS} rows 24; {}", line.replace("yesterfs", YESTERFS));
        let mut script = self.command("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        let spawned = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut script = spawned.expect("script makes a terminal: install bsdutils");
        let screen = script.stdout.take().unwrap();
        Session { script, screen, shown: String::new() }
    }
}

/// A terminal at which something runs.
struct Session {
    script: Child,
    screen: ChildStdout,
    shown: String,
}

impl Session {
    /// Reads on until `text` was shown.
    #[track_caller]
    fn await_text(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.shown.contains(text) {
            let got = self.screen.read(&mut buffer).unwrap();
            assert!(got > 0, "it ended without {text:?}: {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..got]));
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// The exit code, and everything that was shown.
    fn end(mut self) -> (i32, String) {
        self.screen.read_to_string(&mut self.shown).unwrap();
        // Only now: the end of its input would be typed as Ctrl-D.
        let code = self.script.wait().unwrap().code().unwrap();
        (code, self.shown)
    }
}

/// What stood in single lines of the screen at some time, without what moves the cursor.
fn lines(shown: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = shown.chars();
    while let Some(next) = rest.next() {
        match next {
            '\u{1b}' => drop(rest.find(|it| it.is_ascii_alphabetic())),
            '\r' => plain.push('\n'),
            other => plain.push(other),
        }
    }
    // A line that is full goes on in the next.
    let wrapped = plain.lines().flat_map(|line| {
        let characters: Vec<char> = line.chars().collect();
        characters.chunks(COLUMNS).map(|row| row.iter().collect::<String>().trim_end().to_string()).collect::<Vec<_>>()
    });
    wrapped.filter(|line| !line.is_empty()).collect()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 10 seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose command line is exactly this.
fn running(words: &[&str]) -> usize {
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok()).filter(|line| *line == wanted).count()
}

/// Bytes that neither compress nor repeat.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn the_bar_has_room_for_the_time_left_and_for_what_is_new() {
    let stage = Stage::new();
    let ingest = "ingest stream --source shop --stream";
    fs::write(stage.path("first"), noise(1, 30 << 20)).unwrap();
    fs::write(stage.path("second"), noise(2, 30 << 20)).unwrap();
    // Nothing is known of how much there will be.
    let slowly = |name: &str| format!("'x=head -c 20M {name}; sleep 1; tail -c 10M {name}'");
    let (code, shown) = stage.type_in(&format!("yesterfs {ingest} {}", slowly("first"))).end();
    assert_eq!(code, 0, "{shown}");
    let before = lines(&shown);
    assert!(
        before.iter().any(|line| line.contains("20.0 MiB, ") && line.contains("/s, ") && line.ends_with("x)")),
        "{before:?}"
    );
    // Now it is known.
    let (code, shown) = stage.type_in(&format!("yesterfs {ingest} {}", slowly("second"))).end();
    assert_eq!(code, 0, "{shown}");
    let after = lines(&shown);
    let is_bar = |line: &&String| line.starts_with(" 67% [========>   ] 20.0 MiB of 30.0 MiB, ");
    let bars: Vec<&String> = after.iter().filter(is_bar).collect();
    assert!(bars.iter().any(|line| line.contains("/s, ") && line.ends_with(" s left")), "{after:?}");
    // Below it; cut off, nothing would stand there.
    assert!(
        after.iter().any(|line| line.starts_with("     ") && line.contains(" MiB new (") && line.ends_with("x)")),
        "{after:?}"
    );
    // The bar goes, the summary stays.
    assert!(after[after.len() - 3..].concat().contains(": complete1 file, 30.0 MiB, in "), "{after:?}");
}

#[test]
fn where_there_is_no_terminal_plain_lines_tell_of_the_progress() {
    let stage = Stage::new();
    let (code, said) =
        stage.run(&["ingest", "stream", "--source", "shop", "--stream", "x=echo 1234567; sleep 5.5; echo 8"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("yesterfs: 8 B, 1 B/s\n") || said.contains("yesterfs: 8 B, 0 B/s\n"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said}");
}

#[test]
fn ctrl_c_ends_an_ingest_and_all_that_its_command_started() {
    let stage = Stage::new();
    stage.script("dump", "sleep 71.0625 &\necho data\nwait");
    let mut session = stage.type_in("yesterfs ingest stream --source shop --name x -- ./dump");
    session.await_text("5 B, ");
    session.type_keys("\x03");
    let (code, shown) = session.end();
    assert!(code == 130 && shown.contains("yesterfs: interrupted"), "{code}: {shown}");
    eventually("the grandchild ends", || running(&["sleep", "71.0625"]) == 0);
    assert_eq!(stage.run(&["snapshots", "--json"]).1, "");
}

/// Asks for a word on the terminal, whatever its standard input and output are.
const ASK: &str = "stty -echo </dev/tty
    printf 'Password: ' >/dev/tty
    read -r word </dev/tty
    stty echo </dev/tty
    echo \"got $word\"";

#[test]
fn a_command_can_ask_for_a_password() {
    let stage = Stage::new();
    stage.script("dump", &format!("{ASK}\nsleep 72.0625"));
    stage.script("quick", ASK);
    let mut session = stage.type_in("yesterfs ingest stream --source shop --stream 'x=./quick | cat'");
    session.await_text("Password: ");
    session.type_keys("secret\n");
    let (code, shown) = session.end();
    assert!(code == 0 && !shown.contains("secret"), "{code}: {shown}");
    assert_eq!(stage.run(&["cat", "shop:/x"]).1, "got secret\n");
    // Afterwards Ctrl-C is ours again.
    let mut session = stage.type_in("yesterfs ingest stream --source other --name x -- ./dump");
    session.await_text("Password: ");
    session.type_keys("secret\n");
    session.await_text("11 B, ");
    session.type_keys("\x03");
    let (code, shown) = session.end();
    assert!(code == 130 && shown.contains("yesterfs: interrupted"), "{code}: {shown}");
    eventually("the grandchild ends", || running(&["sleep", "72.0625"]) == 0);
}

#[test]
fn ctrl_c_instead_of_a_password_ends_the_ingest() {
    let stage = Stage::new();
    stage.script("dump", ASK);
    let mut session = stage.type_in("yesterfs ingest stream --source shop --name x -- ./dump");
    session.await_text("Password: ");
    session.type_keys("\x03");
    let (code, shown) = session.end();
    assert!(code == 6 && shown.contains("no snapshot was made"), "{code}: {shown}");
    assert_eq!(stage.run(&["snapshots", "--json"]).1, "");
}

#[test]
fn ctrl_z_at_a_password_gives_the_shell_back_and_fg_the_password() {
    let stage = Stage::new();
    stage.script("dump", ASK);
    let mut session = stage.type_in("PS1='ready> ' exec bash --norc --noediting -i");
    session.await_text("ready> ");
    session.type_keys(&format!("{YESTERFS} ingest stream --source shop --name x -- ./dump\n"));
    session.await_text("Password: ");
    session.type_keys("\x1a");
    session.await_text("Stopped");
    session.type_keys("fg\n");
    session.await_text("fg\r\n");
    session.type_keys("secret\n");
    session.await_text(": complete");
    session.type_keys("exit\n");
    let (code, shown) = session.end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(stage.run(&["cat", "shop:/x"]).1, "got secret\n");
}

#[test]
fn a_terminal_that_hangs_up_interrupts_unless_nohup_is_at_work() {
    let stage = Stage::new();
    stage.script("dump", "echo data; sleep 3; echo more; echo end >end");
    let ingest = |nohup: bool| {
        // These tests may run under nohup themselves.
        let mut command = stage.command("env");
        command
            .arg("--default-signal=HUP")
            .args(nohup.then_some("nohup"))
            .arg(YESTERFS)
            .args(["ingest", "stream", "--source", "shop", "--name", "x", "--json", "--"]);
        let mut child =
            command.arg("./dump").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Its first word: the signals are watched for.
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
        child.wait_with_output().unwrap().status.code()
    };
    assert_eq!(ingest(false), Some(130));
    assert!(!stage.path("end").exists());
    assert_eq!(ingest(true), Some(0));
}
