//! What the tests' own servers have in common.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::mounted::Stage;

const STOP_MAX: Duration = Duration::from_secs(30);

/// Ends a server by this signal, and kills it where that does not help.
pub fn stop(server: &mut Child, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_child(server), signal);
    let begin = Instant::now();
    while matches!(server.try_wait(), Ok(None)) && begin.elapsed() < STOP_MAX {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = server.kill();
    let _ = server.wait();
}

#[track_caller]
pub fn succeed(output: Output, what: &str) -> Output {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Loads the latest snapshot of `shop` into the server that a URL names.
pub fn restore_into(stage: &Stage, url: &str, options: &[&str]) -> Output {
    restoring_into(stage, url, options).output().unwrap()
}

/// What does that.
pub fn restoring_into(stage: &Stage, url: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    command.arg("--repo").arg(stage.repository()).args(["restore", "shop", "--into", url]).args(options);
    command
}

/// A client that fails unless the environment is as a test of the shell wants it, else goes on as `program`.
pub fn picky_client(stage: &Stage, program: &str, condition: &str) -> String {
    let client = stage.path("picky client");
    fs::write(&client, format!("#!/bin/sh\n[ {condition} ] || exit 9\nexec {program} \"$@\"\n")).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    client.to_str().unwrap().to_string()
}

/// What a load that must succeed prints.
#[track_caller]
pub fn restored(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a load that must fail with this exit status says.
#[track_caller]
pub fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A client that takes down its arguments before it goes on as `program`; and what tells how many were given text since it was asked
/// last.
pub fn counting_client(stage: &Stage, program: &str) -> (String, impl Fn() -> usize) {
    let (client, log) = (stage.path("client"), stage.path("client.log"));
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\nexec {program} \"$@\"\n", log.display());
    fs::write(&client, script).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    let fed = move || {
        let lines = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        lines
            .lines()
            .filter(|line| !["--execute", "--command", "--help="].iter().any(|option| line.contains(option)))
            .count()
    };
    (client.to_str().unwrap().to_string(), fed)
}
