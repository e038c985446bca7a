//! Extended attributes as rsync compares them: POSIX ACLs (`-A`) apart from all others (`-X`).

use crate::codec::{DecodeError, Decoder};
use crate::repository::node::Xattr;

const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Tags of entries that carry the permission bits, and of the mask; all others are named users and groups.
const TAG_OWNER: u16 = 0x01;
const TAG_GROUP: u16 = 0x04;
const TAG_MASK: u16 = 0x10;
const TAG_OTHER: u16 = 0x20;

/// An attribute value that is an ACL starts with this.
const ACL_VERSION: u32 = 2;

/// One entry of an ACL: tag, id, permissions.
type AclEntry = (u16, u32, u16);

/// Whether two lists of attributes of entries of one type hold the same ACLs.
///
/// Of an access ACL only what the permission bits do not tell counts: named users and groups, whether there is a
/// mask, and, where there is one, the owning group's own entry (the mask then is what the bits show). An ACL without
/// any of these is as good as none. Default ACLs count whole.
pub(super) fn same_acls(a: &[Xattr], b: &[Xattr]) -> bool {
    let access = |list| find(list, ACL_ACCESS);
    let default = |list| find(list, ACL_DEFAULT);
    same_acl(access(a), access(b), extended_entries) && same_acl(default(a), default(b), |entries| entries)
}

/// Whether two lists of attributes, sorted by name, hold the same besides ACLs. Like rsync, this leaves out all of
/// `system.`, and `trusted.` too where not `with_trusted`: only root sees those.
pub(super) fn same_others(a: &[Xattr], b: &[Xattr], with_trusted: bool) -> bool {
    let counts =
        |xattr: &&Xattr| !xattr.name.starts_with(b"system.") && (with_trusted || !xattr.name.starts_with(b"trusted."));
    a.iter().filter(counts).eq(b.iter().filter(counts))
}

fn find<'l>(list: &'l [Xattr], name: &[u8]) -> Option<&'l [u8]> {
    list.iter().find(|xattr| xattr.name == name).map(|xattr| xattr.value.as_slice())
}

fn same_acl(a: Option<&[u8]>, b: Option<&[u8]>, relevant: fn(Vec<AclEntry>) -> Vec<AclEntry>) -> bool {
    if a == b {
        return true;
    }
    let entries = |value: Option<&[u8]>| value.map_or(Ok(Vec::new()), decode_acl).map(relevant);
    match (entries(a), entries(b)) {
        (Ok(a), Ok(b)) => a == b,
        // What cannot be understood can only be compared byte for byte.
        _ => false,
    }
}

/// The entries of an ACL, sorted.
fn decode_acl(value: &[u8]) -> Result<Vec<AclEntry>, DecodeError> {
    let mut decoder = Decoder::new(value);
    if decoder.u32()? != ACL_VERSION {
        return decoder.fail("unknown version");
    }
    let mut entries = Vec::new();
    while decoder.remaining() > 0 {
        let (tag, permissions, id) = (decoder.u16()?, decoder.u16()?, decoder.u32()?);
        // The id of an entry that names nobody means nothing.
        let id = if matches!(tag, TAG_OWNER | TAG_GROUP | TAG_MASK | TAG_OTHER) { 0 } else { id };
        entries.push((tag, id, permissions));
    }
    entries.sort_unstable();
    Ok(entries)
}

/// What the permission bits do not tell.
fn extended_entries(mut entries: Vec<AclEntry>) -> Vec<AclEntry> {
    let has_mask = entries.iter().any(|(tag, _, _)| *tag == TAG_MASK);
    entries.retain(|(tag, _, _)| !matches!(*tag, TAG_OWNER | TAG_OTHER) && (has_mask || *tag != TAG_GROUP));
    for (tag, _, permissions) in &mut entries {
        if *tag == TAG_MASK {
            *permissions = 0;
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An access ACL from `(tag, permissions, id)`.
    fn acl(entries: &[(u16, u16, u32)]) -> Vec<Xattr> {
        let mut value = ACL_VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        vec![Xattr { name: ACL_ACCESS.to_vec(), value }]
    }

    const NOBODY: u32 = u32::MAX;

    fn with_user(owner: u16, user: u16, group: u16, mask: u16) -> Vec<Xattr> {
        let named = (0x02, user, 1000);
        acl(&[
            (TAG_OWNER, owner, NOBODY),
            named,
            (TAG_GROUP, group, NOBODY),
            (TAG_MASK, mask, NOBODY),
            (TAG_OTHER, 4, NOBODY),
        ])
    }

    #[test]
    fn what_the_permission_bits_show_is_no_difference_of_acls() {
        assert!(same_acls(&with_user(6, 6, 4, 6), &with_user(7, 6, 4, 7)));
        let minimal = acl(&[(TAG_OWNER, 6, NOBODY), (TAG_GROUP, 4, NOBODY), (TAG_OTHER, 4, NOBODY)]);
        assert!(same_acls(&minimal, &[]));
    }

    #[test]
    fn named_users_the_group_behind_a_mask_and_the_mask_itself_are() {
        let start = with_user(6, 6, 4, 6);
        assert!(!same_acls(&start, &with_user(6, 4, 4, 6)));
        assert!(!same_acls(&start, &with_user(6, 6, 6, 6)));
        assert!(!same_acls(&start, &[]));
        let only_mask =
            acl(&[(TAG_OWNER, 6, NOBODY), (TAG_GROUP, 4, NOBODY), (TAG_MASK, 4, NOBODY), (TAG_OTHER, 4, NOBODY)]);
        assert!(!same_acls(&only_mask, &[]));
    }

    #[test]
    fn an_acl_nobody_understands_equals_only_itself() {
        let odd = vec![Xattr { name: ACL_ACCESS.to_vec(), value: b"\x02\0\0".to_vec() }];
        assert!(same_acls(&odd, &odd));
        assert!(!same_acls(&odd, &[]));
    }

    #[test]
    fn trusted_attributes_count_only_where_both_could_be_read() {
        let xattr = |name: &str, value: &str| Xattr { name: name.into(), value: value.into() };
        let a = [xattr("system.nfs4_acl", "1"), xattr("trusted.t", "1"), xattr("user.u", "1")];
        let b = [xattr("user.u", "1")];
        assert!(!same_others(&a, &b, true));
        assert!(same_others(&a, &b, false));
        assert!(!same_others(&a, &[], false));
    }
}
