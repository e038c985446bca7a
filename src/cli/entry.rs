//! One entry of a snapshot as a line of `ls -l`, or as a JSON object.

use yesterfs::repository::node::{Node, NodeKind};
use yesterfs::time::Timestamp;

use super::output::{Record, printable};

/// The columns of `ls -l` before the name: mode, links, owner, group, size or device, time in UTC.
pub fn long_columns(node: &Node) -> String {
    let links = node.hard_link.as_ref().map_or(1, |link| link.count);
    let modified = Timestamp { nanos: 0, ..node.modified }.to_rfc3339();
    let (owner, group) = (identity(&node.owner, node.uid), identity(&node.group, node.gid));
    format!("{} {links:>2} {owner:<8} {group:<8} {:>12} {modified}", mode_text(node), size_text(node))
}

/// What stands behind a name: the target of a symlink.
pub fn target_suffix(node: &Node) -> String {
    match &node.kind {
        NodeKind::Symlink { target } => format!(" -> {}", printable(target)),
        _ => String::new(),
    }
}

/// The name of an owner or group, or its number where it has none.
fn identity(name: &[u8], id: u32) -> String {
    if name.is_empty() { id.to_string() } else { printable(name) }
}

fn size_text(node: &Node) -> String {
    match &node.kind {
        NodeKind::CharacterDevice(device) | NodeKind::BlockDevice(device) => {
            format!("{}, {}", device.major, device.minor)
        }
        NodeKind::Directory(root) => root.totals.entries.to_string(),
        _ => node.size().to_string(),
    }
}

/// `-rwxr-sr-t` and the like.
fn mode_text(node: &Node) -> String {
    let letter = match node.kind {
        NodeKind::File { .. } => '-',
        _ => char::from(node.kind.letter()),
    };
    let mut text = String::from(letter);
    // Each class: its shift, its special bit (set-user-id, set-group-id, sticky), and that bit's letter.
    for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = node.permissions >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, node.permissions & special != 0) {
            (true, true) => mark,
            (false, true) => mark.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// An entry as a JSON object; `path` begins with a slash, which is the snapshot's root.
pub fn entry_record(path: &[u8], node: &Node) -> Record {
    let record = Record::new("entry")
        .put_bytes("path", &[b"/", path].concat())
        .put("file_type", type_name(node.kind.letter()))
        .put("permissions", format!("{:04o}", node.permissions))
        .put("uid", node.uid)
        .put("gid", node.gid)
        .put_bytes("owner", &node.owner)
        .put_bytes("group", &node.group)
        .put_time("modified", node.modified)
        .put("links", node.hard_link.as_ref().map_or(1, |link| link.count));
    let record = match &node.hard_link {
        Some(link) => record.put_bytes("first_link", &[b"/", &link.first_path[..]].concat()),
        None => record,
    };
    match &node.kind {
        NodeKind::File { content, torn } => {
            record.put("size", content.size).put("data_bytes", content.data_bytes).put("torn", *torn)
        }
        NodeKind::Directory(root) => record.put("entries", root.totals.entries).put("bytes", root.totals.bytes),
        NodeKind::Symlink { target } => record.put("size", target.len()).put_bytes("target", target),
        NodeKind::Fifo | NodeKind::Socket => record,
        NodeKind::CharacterDevice(device) | NodeKind::BlockDevice(device) => {
            record.put("device_major", device.major).put("device_minor", device.minor)
        }
    }
}

/// The word for a type that `find -type` names by this letter.
pub fn type_name(letter: u8) -> &'static str {
    match letter {
        b'f' => "file",
        b'd' => "directory",
        b'l' => "symlink",
        b'p' => "fifo",
        b's' => "socket",
        b'c' => "character_device",
        b'b' => "block_device",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use yesterfs::repository::node::{DeviceNumber, Xattrs};

    use super::*;

    fn node(permissions: u16, kind: NodeKind) -> Node {
        Node {
            permissions,
            uid: 1000,
            gid: 100,
            owner: b"ann".to_vec(),
            group: Vec::new(),
            modified: Timestamp { seconds: 0, nanos: 5 },
            xattrs: Xattrs::None,
            hard_link: None,
            kind,
        }
    }

    #[test]
    fn a_long_line_reads_as_that_of_ls() {
        let null = node(0o666, NodeKind::CharacterDevice(DeviceNumber { major: 1, minor: 3 }));
        let expected = "crw-rw-rw-  1 ann      100              1, 3 1970-01-01T00:00:00Z";
        assert_eq!(long_columns(&null), expected);
        let link = node(0o777, NodeKind::Symlink { target: b"a\nb".to_vec() });
        assert_eq!(target_suffix(&link), " -> a\\#012b");
    }

    #[test]
    fn special_bits_show_as_ls_shows_them() {
        assert_eq!(mode_text(&node(0o4755, NodeKind::Fifo)), "prwsr-xr-x");
        assert_eq!(mode_text(&node(0o2644, NodeKind::Socket)), "srw-r-Sr--");
        assert_eq!(mode_text(&node(0o1777, NodeKind::Fifo)), "prwxrwxrwt");
        assert_eq!(mode_text(&node(0o1000, NodeKind::Fifo)), "p--------T");
    }

    #[test]
    fn a_record_holds_what_the_entry_is() {
        let link = node(0o777, NodeKind::Symlink { target: b"x".to_vec() });
        let text = serde_json::to_string(&entry_record(b"a/b", &link)).unwrap();
        assert_eq!(
            text,
            r#"{"type":"entry","path":"/a/b","file_type":"symlink","permissions":"0777","uid":1000,"gid":100,"owner":"ann","group":"","modified":"1970-01-01T00:00:00.000000005Z","links":1,"size":1,"target":"x"}"#
        );
    }
}
