//! `yesterfs diff A B` and rsync, between the same two snapshots in a real mount, say the same.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::mounted::{Mount, Stage, need, need_root, run};

/// A tree with an entry for every change that [`change`] makes. No hard links: they follow a rule of our own.
fn build(tree: &Path) {
    for directory in ["kept/deep/er", "gone/below", "becomes-a-file/below", "chmodded", "with-acl"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    let files =
        ["same", "same-size", "grown", "touched", "chmodded-file", "chowned", "with-xattr", "becomes-a-directory"];
    let below = ["kept/deep/er/leaf", "gone/one", "gone/below/two", "becomes-a-file/below/leaf", "deleted\nname"];
    for file in files.iter().chain(&below) {
        fs::write(tree.join(file), format!("the first version of {file}")).unwrap();
    }
    fs::write(tree.join(OsStr::from_bytes(b"not \xff UTF-8")), "first").unwrap();
    fs::write(tree.join("large"), support::noise(1, 3_000_000)).unwrap();
    symlink("here", tree.join("link")).unwrap();
    symlink("kept", tree.join("same-link")).unwrap();
    run(Command::new("mkfifo").arg(tree.join("fifo")));
    run(Command::new("setfacl").args(["-m", "u:12345:r"]).arg(tree.join("with-acl")));
}

fn change(tree: &Path) {
    let path = |name: &str| tree.join(name);
    fs::write(path("same-size"), "the third version of same-size").unwrap();
    fs::write(path("grown"), "the first version of grown, and more").unwrap();
    fs::write(path("kept/deep/er/leaf"), "changed far below").unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"not \xff UTF-8")), "second").unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"new \xfe")), "new").unwrap();
    run(Command::new("touch").args(["-d", "1969-12-31 23:59:58.000000001 UTC"]).arg(path("touched")));
    fs::set_permissions(path("chmodded"), fs::Permissions::from_mode(0o2711)).unwrap();
    fs::set_permissions(path("chmodded-file"), fs::Permissions::from_mode(0o4755)).unwrap();
    run(Command::new("chown").arg("12345:54321").arg(path("chowned")));
    run(Command::new("setfattr").args(["-n", "user.color", "-v", "blue"]).arg(path("with-xattr")));
    run(Command::new("setfacl").args(["-m", "u:12345:rwx"]).arg(path("with-acl")));
    fs::remove_file(path("link")).unwrap();
    symlink("elsewhere", path("link")).unwrap();
    fs::remove_file(path("deleted\nname")).unwrap();
    fs::remove_dir_all(path("gone")).unwrap();
    fs::remove_dir_all(path("becomes-a-file")).unwrap();
    fs::write(path("becomes-a-file"), "now a file").unwrap();
    fs::remove_file(path("becomes-a-directory")).unwrap();
    fs::create_dir_all(path("becomes-a-directory/below")).unwrap();
    fs::create_dir_all(path("new/below")).unwrap();
    fs::write(path("new/below/file"), "new").unwrap();
    run(Command::new("mknod").arg(path("new/device")).args(["c", "1", "3"]));
    let mut large = support::noise(1, 3_000_000);
    large[1_500_000] ^= 1;
    fs::write(path("large"), large).unwrap();
}

/// Lines as `LC_ALL=C.UTF-8 sort` puts them: by bytes.
fn sorted(output: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = output.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

fn rsyncs_word(mount: &Mount, old: &str, new: &str) -> Vec<Vec<u8>> {
    let directory = |name: &str| format!("{}/", mount.path(&format!("snapshots/tree/{name}")).display());
    let mut rsync = Command::new("rsync");
    rsync.args(["-aXAHn", "--checksum", "--delete", "-i", "--modify-window=-1"]).env("LC_ALL", "C.UTF-8");
    sorted(&run(rsync.arg(directory(new)).arg(directory(old))))
}

/// What our diff prints, and its exit code.
fn our_word(stage: &Stage, old: &str, new: &str) -> (Vec<Vec<u8>>, Option<i32>) {
    let mut diff = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    diff.arg("--repo").arg(stage.repository()).arg("diff").args([format!("tree@{old}"), format!("tree@{new}")]);
    let output = diff.env("LC_ALL", "C.UTF-8").output().unwrap();
    (sorted(&output.stdout), output.status.code())
}

fn shown(lines: &[Vec<u8>]) -> String {
    lines.iter().map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

#[test]
fn two_mounted_snapshots_differ_as_rsync_says() {
    need_root();
    need(&[("rsync", "rsync"), ("setfacl", "acl"), ("setfattr", "attr")]);
    let stage = Stage::new();
    let tree = stage.make_directory("tree");
    build(&tree);
    let old = stage.ingest(&tree, "tree");
    change(&tree);
    let new = stage.ingest(&tree, "tree");
    let mount = stage.mount();

    for (a, b) in [(&old, &new), (&new, &old)] {
        // Two snapshots of one second have names that mean one time: by id there is no doubt.
        let (ours, code) = our_word(&stage, a, b);
        let rsyncs = rsyncs_word(&mount, a, b);
        assert_eq!(shown(&ours), shown(&rsyncs));
        assert_eq!(ours, rsyncs);
        assert_eq!(code, Some(1));
        assert!(ours.len() > 20, "{}", shown(&ours));
    }
    let (nothing, code) = our_word(&stage, &old, &old);
    assert_eq!((shown(&nothing).as_str(), code), ("", Some(0)));
}
