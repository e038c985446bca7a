//! The first comment of a `restore.sql`: what it is for, and what its table needs.

/// Longest list of what a table needs.
const NEEDS_MAX_BYTES: usize = 64 << 10;

/// Something that a table needs, and a line of the comment: `-- It refers to table "shop"."orders"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedLine<'n> {
    /// What stands in front of the name.
    pub label: &'static str,
    /// The name, with what it is in before it.
    pub name: Vec<&'n [u8]>,
}

/// A comment that begins with `purpose`. Names are between such quotes.
pub fn needs_comment(purpose: &str, needs: &[NeedLine], quote: u8) -> Vec<u8> {
    let mut comment = format!("-- {purpose}\n").into_bytes();
    if needs.is_empty() {
        comment.extend_from_slice(b"-- It needs nothing else.\n");
    }
    for NeedLine { label, name } in needs {
        if comment.len() > NEEDS_MAX_BYTES {
            comment.extend_from_slice(b"-- and more.\n");
            break;
        }
        comment.extend_from_slice(b"-- ");
        comment.extend_from_slice(label.as_bytes());
        for (at, part) in name.iter().enumerate() {
            comment.extend_from_slice(if at == 0 { b" " } else { b"." });
            push_quoted(&mut comment, part, quote);
        }
        comment.push(b'\n');
    }
    comment
}

/// A name between quotes. A line break in it would end the comment.
fn push_quoted(comment: &mut Vec<u8>, name: &[u8], quote: u8) {
    comment.push(quote);
    for &byte in name {
        match byte {
            0..=0x1f | 0x7f => comment.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ if byte == quote => comment.extend_from_slice(&[quote; 2]),
            _ => comment.push(byte),
        }
    }
    comment.push(quote);
}
