//! Large objects: the statements that write them, and that tell of many at once.

use crate::dump::postgres::archive::script::push_all;

/// Bytes that one statement writes.
const WRITTEN_AT_ONCE: usize = 16 << 10;

/// To be opened for writing.
const FOR_WRITING: u32 = 0x2_0000;

/// Writes one large object as it comes.
pub struct ObjectWriter {
    /// What no statement has yet.
    waiting: Vec<u8>,
    is_standard: bool,
}

impl ObjectWriter {
    /// Begins the object of this number.
    pub fn begin(number: u32, is_standard: bool, out: &mut Vec<u8>) -> ObjectWriter {
        let statement = format!("SELECT pg_catalog.lo_open('{number}', {FOR_WRITING});\n");
        out.extend_from_slice(statement.as_bytes());
        ObjectWriter { waiting: Vec::new(), is_standard }
    }

    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.waiting.len() + bytes.len() >= WRITTEN_AT_ONCE {
            let (now, rest) = bytes.split_at(WRITTEN_AT_ONCE - self.waiting.len());
            self.waiting.extend_from_slice(now);
            self.write(out);
            bytes = rest;
        }
        self.waiting.extend_from_slice(bytes);
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let prefix: &[u8] = if self.is_standard { b"'\\x" } else { b"'\\\\x" };
        push_all(out, &[b"SELECT pg_catalog.lowrite(0, ", prefix]);
        out.extend(
            self.waiting.iter().flat_map(|&byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        );
        out.extend_from_slice(b"');\n");
        self.waiting.clear();
    }

    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.waiting.is_empty() {
            self.write(out);
        }
        out.extend_from_slice(b"SELECT pg_catalog.lo_close(0);\n\n");
    }
}

/// A statement for each of these objects, whose numbers are a line each.
pub fn for_each_object(objects: &[u8], begin: &[u8], end: &[u8], out: &mut Vec<u8>) {
    for line in objects.split_inclusive(|&byte| byte == b'\n') {
        if let Some(number) = line.strip_suffix(b"\n") {
            push_all(out, &[begin, number, end, b";\n"]);
        }
    }
    out.push(b'\n');
}

/// What every statement says of one object, for each of these.
pub fn privileges_of_each(statements: &[u8], objects: &[u8], out: &mut Vec<u8>) {
    const OBJECT: &[u8] = b" LARGE OBJECT ";
    let (mut start, mut name, mut is_quoted) = (0, None, false);
    for (at, &byte) in statements.iter().enumerate() {
        is_quoted ^= byte == b'"';
        if is_quoted || at < start {
            continue;
        }
        if name.is_none() && statements[at..].starts_with(OBJECT) {
            let begin = at + OBJECT.len();
            let digits = statements[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            name = Some((begin, begin + digits));
        } else if byte == b';' {
            if let Some((begin, end)) = name.take() {
                for_each_object(objects, &statements[start..begin], &statements[end..at], out);
            }
            start = at + 1 + statements[at + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        }
    }
    out.push(b'\n');
}
