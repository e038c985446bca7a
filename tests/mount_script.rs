//! What is in `mount-scripts/` for machines that mount and ingest by themselves: the helper of mount(8), and units of
//! systemd.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::mounted::Stage;

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mount-scripts")
}

/// A repository with a snapshot of `lake`, and an empty directory `mnt`.
fn stage() -> Stage {
    let stage = Stage::new();
    let lake = stage.make_directory("lake");
    fs::write(lake.join("file"), "some text\n").unwrap();
    stage.ingest(&lake, "lake");
    stage.make_directory("mnt");
    stage
}

/// A command that finds `yesterfs`, in the stage's directory.
fn command(stage: &Stage, words: &[&str]) -> Command {
    let programs = Path::new(YESTERFS).parent().unwrap().display();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(stage.path("")).stdin(Stdio::null());
    command.env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"));
    command
}

fn output(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// Runs the helper, as mount(8) does.
fn helper(stage: &Stage, words: &[&str]) -> (i32, String) {
    let script = scripts().join("mount.yesterfs");
    output(&mut command(stage, &[&["sh", script.to_str().unwrap()], words].concat()))
}

#[test]
fn the_helper_takes_what_an_fstab_line_says() {
    let stage = stage();
    // Relative names, too, and not a word: "mount -a" prints nothing.
    let options = "rw,nofail,_netdev,x-systemd.automount,readdirplus=auto";
    assert_eq!(helper(&stage, &["repo", "mnt", "-n", "-o", options]), (0, String::new()));
    let file = stage.path("mnt/snapshots/lake/latest/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "some text\n");
    stage.succeed(&["umount", stage.path("mnt").to_str().unwrap()]);
    let (code, said) = helper(&stage, &["repo", "mnt", "-v"]);
    assert!(code == 0 && said.contains("mounted on \"mnt\""), "{said}");
    stage.succeed(&["umount", stage.path("mnt").to_str().unwrap()]);
    assert_eq!(helper(&stage, &["repo", "mnt", "-f"]), (0, String::new()));
    assert!(!file.exists(), "-f only pretends");
}

#[test]
fn the_exit_codes_of_the_helper_are_those_of_mount() {
    let stage = stage();
    let cases: [(i32, &[&str], &str); 8] = [
        (1, &["repo"], "usage: mount.yesterfs REPOSITORY DIRECTORY"),
        (1, &["repo", "mnt", "-q"], "usage: "),
        (1, &["repo", "mnt", "more"], "usage: "),
        (1, &["repo", "mnt", "-N", "1"], "namespace"),
        (32, &["nowhere", "mnt"], "no repository in "),
        (32, &["repo", "nowhere"], "hint: make the directory first"),
        (32, &["repo", "repo/packs"], "lies in the repository"),
        (32, &["repo", "mnt", "-o", "ro,no_such_option"], "no_such_option"),
    ];
    for (code, words, told) in cases {
        let (ended, said) = helper(&stage, words);
        assert!(ended == code && said.contains(told), "{words:?}: {ended}: {said}");
    }
    let script = scripts().join("mount.yesterfs");
    let empty = stage.make_directory("empty");
    let mut without = Command::new("/bin/sh");
    without.arg(script).args(["repo", "mnt"]).env("PATH", empty).stdin(Stdio::null());
    // Were it installed on this machine, it would be found: the helper looks where programs are.
    if !["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
        .iter()
        .any(|it| Path::new(it).join("yesterfs").exists())
    {
        let (code, said) = output(&mut without);
        assert!(code == 2 && said.contains("the program \"yesterfs\" is not in"), "{code}: {said}");
    }
}

/// What an administrator does with mount(8), in a mount namespace in which `/sbin` has one helper more: the machine's own
/// stays as it is.
const ADMINISTRATORS_STORY: &str = r#"
    sbin=$(readlink -f /sbin)
    mkdir real sbin
    mount --bind "$sbin" real
    ln -s "$PWD"/real/* sbin/
    install -m 755 "$scripts/mount.yesterfs" sbin/mount.yesterfs
    ln -s "$yesterfs" sbin/yesterfs
    mount --bind sbin "$sbin"

    mount --fstab fstab "$PWD/mnt"
    cat mnt/snapshots/lake/latest/file
    grep " $PWD/mnt " /proc/self/mounts
    umount mnt
    mount --fstab fstab --all
    cat mnt/snapshots/lake/latest/file
    umount --types fuse.yesterfs --all
    mount -t yesterfs repo mnt -o allow_other
    cat mnt/snapshots/lake/latest/file
    umount mnt
    mount -t yesterfs nowhere mnt || echo "it ended with $?"
    mount --fstab fstab "$PWD/absent" || echo "it ended with $?"
"#;

#[test]
fn an_fstab_line_and_mount_t_yesterfs_mount_a_repository() {
    assert!(rustix::process::geteuid().is_root(), "this test mounts by mount(8): run it as root");
    let stage = stage();
    let place = stage.path("");
    let place = place.to_str().unwrap().trim_end_matches('/');
    let lines = format!(
        "# as in fstab.example\n{place}/repo {place}/mnt yesterfs ro,allow_other,nofail 0 0\n{place}/gone {place}/absent yesterfs ro,noauto 0 0\n"
    );
    fs::write(stage.path("fstab"), lines).unwrap();
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ADMINISTRATORS_STORY];
    let (code, said) = output(command(&stage, &words).env("scripts", scripts()).env("yesterfs", YESTERFS));
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.matches("some text\n").count(), 3, "{said}");
    assert!(
        said.contains(&format!("{place}/repo {place}/mnt fuse.yesterfs ro,")) && said.contains(",allow_other"),
        "{said}"
    );
    assert_eq!(said.matches("it ended with 32\n").count(), 2, "{said}");
}

#[test]
fn the_units_of_systemd_are_well_formed() {
    let stage = Stage::new();
    let units = ["yesterfs-ingest@.service", "yesterfs-ingest@.timer", "mnt-yester.mount"];
    for unit in units {
        // They expect the program where it would be installed.
        let text = fs::read_to_string(scripts().join(unit)).unwrap();
        fs::write(stage.path(unit), text.replace("/usr/local/bin/yesterfs", YESTERFS)).unwrap();
    }
    let mut analyze = command(&stage, &[&["systemd-analyze", "verify", "--man=no"], &units[..]].concat());
    assert_eq!(output(&mut analyze), (0, String::new()), "systemd-analyze is in the package systemd");
}

#[test]
fn the_unit_that_ingests_does() {
    let stage = stage();
    let unit = fs::read_to_string(scripts().join("yesterfs-ingest@.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line.replace("/usr/local/bin/", "").replace("%i", "lake");
    fs::write(stage.path("lake/file.tmp"), "").unwrap();
    // systemd, too, takes $ARGUMENTS apart at spaces and expands nothing else.
    let (code, said) = output(
        command(&stage, &["sh", "-fec", &line])
            .env("YESTERFS_REPO", stage.repository())
            .envs([("KIND", "dir"), ("ARGUMENTS", "--exclude *.tmp lake")]),
    );
    assert_eq!(code, 0, "{said}");
    assert_eq!(stage.succeed(&["ls", "lake"]), "file\n");
    let dump = [("KIND", "stream"), ("ARGUMENTS", "--name dump.sql -- echo insert")];
    let (code, said) =
        output(command(&stage, &["sh", "-fec", &line]).env("YESTERFS_REPO", stage.repository()).envs(dump));
    assert_eq!(code, 0, "{said}");
    assert_eq!(stage.succeed(&["cat", "lake:/dump.sql"]), "insert\n");
}
