//! `yesterfs diff A B` and rsync, between the same two snapshots in a real mount, say the same.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::mounted::{Mount, Stage, need, need_root, run, run_quietly};

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

/// What [`build`] and [`change`] leave out.
fn link(tree: &Path) {
    for name in ["linked/a", "linked/b"] {
        fs::create_dir_all(tree.join("linked")).unwrap();
        fs::write(tree.join(name), "one text").unwrap();
    }
}

fn change_links(tree: &Path) {
    fs::remove_file(tree.join("linked/b")).unwrap();
    fs::hard_link(tree.join("linked/a"), tree.join("linked/b")).unwrap();
    fs::hard_link(tree.join("same"), tree.join("new/name")).unwrap();
    fs::hard_link(tree.join("same-link"), tree.join("linked/link")).unwrap();
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

/// What `yesterfs diff` prints with an option, lines or records.
fn printed(stage: &Stage, old: &str, new: &str, option: &str) -> Vec<u8> {
    let mut diff = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
    diff.arg("--repo").arg(stage.repository()).arg("diff").args([format!("tree@{old}"), format!("tree@{new}")]);
    let output = diff.arg(option).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    output.stdout
}

/// The bytes of a field that need not be UTF-8.
fn bytes_of(record: &serde_json::Value, field: &str) -> Vec<u8> {
    match record[format!("{field}_hex")].as_str() {
        Some(hex) => (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect(),
        None => record[field].as_str().unwrap().into(),
    }
}

/// Paths that the part of `diff/` must show, by the records that `diff --json` prints.
fn paths_printed(records: &[u8], part: &str) -> BTreeSet<Vec<u8>> {
    let records = records.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let records = records.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
    let belongs = |record: &serde_json::Value| match (part, record["action"].as_str()) {
        (_, None) => false,
        ("added", Some(action)) => action == "create",
        ("removed", Some(action)) => action == "delete" || action == "create" && record.get("before").is_some(),
        (_, Some(action)) => action != "create" && action != "delete",
    };
    let paths = records.filter(belongs).map(|record| bytes_of(&record, "path"));
    paths.filter(|path| !path.is_empty()).collect()
}

/// Paths below a directory of the mount: those of directories, and all others.
fn paths_shown(directory: &Path) -> [BTreeSet<Vec<u8>>; 2] {
    let kinds: [&[&str]; 2] = [&["-type", "d"], &["-not", "-type", "d"]];
    kinds.map(|kind| {
        let mut find = Command::new("find");
        find.args([".", "-mindepth", "1"]).args(kind).args(["-printf", "%P\\0"]).current_dir(directory);
        let found = run_quietly(&mut find);
        found.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()
    })
}

#[test]
fn a_mounted_difference_shows_what_diff_prints() {
    need_root();
    need(&[("setfacl", "acl"), ("setfattr", "attr")]);
    let stage = Stage::new();
    let tree = stage.make_directory("tree");
    build(&tree);
    link(&tree);
    let old = stage.ingest(&tree, "tree");
    change(&tree);
    change_links(&tree);
    let new = stage.ingest(&tree, "tree");
    let mount = stage.mount();
    for (a, b) in [(&old, &new), (&new, &old)] {
        let records = printed(&stage, a, b, "--json");
        let mut all = BTreeSet::new();
        for part in ["added", "changed", "removed"] {
            let printed = paths_printed(&records, part);
            let [directories, others] = paths_shown(&mount.path(&format!("diff/tree@{a}..tree@{b}/{part}")));
            let shown: BTreeSet<Vec<u8>> = directories.union(&others).cloned().collect();
            assert!(printed.len() > 3, "{printed:?}");
            assert!(printed.is_subset(&shown), "{part} of {a}..{b}: {printed:?} printed, {shown:?} shown");
            // What is shown beyond leads to something.
            for path in shown.difference(&printed) {
                assert!(directories.contains(path), "{part}: {path:?} is not printed");
                let below = [&path[..], b"/"].concat();
                assert!(printed.iter().any(|path| path.starts_with(&below)), "{part}: {path:?} leads nowhere");
            }
            all.extend(printed);
        }
        let names = printed(&stage, a, b, "--name-only");
        let names: BTreeSet<Vec<u8>> = sorted(&names).into_iter().filter(|name| name != b".").collect();
        assert_eq!(names, all.iter().map(|path| yesterfs::diff::rsync_name(path)).collect());
    }
}

#[test]
fn a_difference_left_behind_is_found_again_by_its_path() {
    let stage = Stage::new();
    let tree = stage.make_directory("tree");
    let old = stage.ingest(&tree, "tree");
    fs::create_dir_all(tree.join("new/below")).unwrap();
    fs::write(tree.join("new/below/file"), "text").unwrap();
    let new = stage.ingest(&tree, "tree");
    let mount = stage.mount();
    let below = mount.path(&format!("diff/tree@{old}..tree@{new}/added/new/below"));
    let open = fs::File::open(&below).unwrap();
    for number in 0..5000 {
        let (minute, second) = (number / 60, number % 60);
        let pair = format!("diff/tree@{old}..tree@3000-01-01T{:02}{:02}{second:02}Z", minute / 60, minute % 60);
        fs::metadata(mount.path(&pair)).unwrap();
    }
    let stale = rustix::fs::statat(&open, "absent", rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    assert_eq!(stale.err(), Some(rustix::io::Errno::STALE));
    assert_eq!(fs::read_to_string(below.join("file")).unwrap(), "text");
    assert_eq!(support::mounted::names(&below), ["file"]);
}
