//! The file names that `mongodump` gives to collections.

use sha1_smol::Sha1;

/// Longest file name without its ending, and what is kept of a longer one.
const NAME_MAX_BYTES: usize = 238;
const KEPT_BYTES: usize = 208;

/// Collections of users and roles in a dump of one database are begun so, and this is not escaped.
const USERS_PREFIX: &[u8] = b"$admin.system.";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The file name for a collection, with `suffix` behind it: written as in a URL's query; what is too long then ends early, with
/// an escaped `$` and a hash.
pub fn collection_file_name(collection: &[u8], suffix: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(collection.len() + suffix.len());
    let (prefix, rest) = match collection.strip_prefix(USERS_PREFIX) {
        Some(rest) => (USERS_PREFIX, rest),
        None => (&b""[..], collection),
    };
    name.extend_from_slice(prefix);
    for &byte in rest {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => name.push(byte),
            b' ' => name.push(b'+'),
            _ => name.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    if name.len() > NAME_MAX_BYTES {
        name.truncate(KEPT_BYTES);
        name.extend_from_slice(b"%24");
        push_base64(&mut name, &Sha1::from(collection).digest().bytes());
    }
    // A file that is only its ending would be hidden, and belong to nothing.
    if name.is_empty() {
        name.push(b'%');
    }
    name.extend_from_slice(suffix.as_bytes());
    name
}

/// The collection that a file is named after, given without its suffix; of a name that was too long, what is left of it.
pub fn collection_of_file(stem: &[u8]) -> Vec<u8> {
    let (mut name, mut rest) = (Vec::with_capacity(stem.len()), stem);
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        name.push(match (escaped, byte) {
            (Some(escaped), _) => escaped,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    name
}

/// Six bits a character, none to fill up.
fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        out.extend((0..=three.len()).map(|place| BASE64[bits >> (18 - 6 * place) & 63]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_mongodump() {
        let name = |name: &str| String::from_utf8(collection_file_name(name.as_bytes(), ".bson")).unwrap();
        for collection in ["orders", "with space", "slash/é%$x+", "$admin.system.users", "..", "%"] {
            let file = name(collection);
            assert_eq!(collection_of_file(file.strip_suffix(".bson").unwrap().as_bytes()), collection.as_bytes());
        }
        assert_eq!(name("orders"), "orders.bson");
        assert_eq!(name("with space"), "with+space.bson");
        assert_eq!(name("dots.in.name"), "dots.in.name.bson");
        assert_eq!(name("slash/é%$x"), "slash%2F%C3%A9%25%24x.bson");
        assert_eq!(name("$admin.system.users"), "$admin.system.users.bson");
        assert_eq!(name(".."), "...bson");
        assert_eq!(name(&"L".repeat(238)), "L".repeat(238) + ".bson");
        let long = name(&"L".repeat(239));
        assert_eq!(long, "L".repeat(208) + "%24" + "Yjnt1a18KEavyRrMsJzS-0Dr8lU.bson");
        assert!(name(&"/".repeat(255)).len() <= 255);
    }
}
