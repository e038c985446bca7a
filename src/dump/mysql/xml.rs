//! XmlDump: reads what `mysqldump --xml` and `mariadb-dump --xml` print, and says which part of it is about what. Whatever it does not
//! understand belongs to the part before it.

use memchr::{memchr, memchr2, memmem};

use crate::dump::carry::Carry;
use crate::dump::mysql::{DumpEnd, DumpFacts, Event, Part, PartKind};

/// So much of a tag is looked at.
const TAG_MAX_BYTES: usize = 64 << 10;

/// What ends what a `<` may begin that is no tag.
const COMMENT: (&[u8], &[u8]) = (b"<!--", b"-->");
const LITERAL: (&[u8], &[u8]) = (b"<![CDATA[", b"]]>");

/// The beginning of such a dump.
pub fn is_xml(first: &[u8]) -> bool {
    first.first() == Some(&b'<')
}

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between tags, and there only blanks since the line began.
    Blank,
    Text,
    /// In a tag, of which the beginning is kept: its end is in another piece.
    Tag,
    /// Up to these bytes.
    Until(&'static [u8]),
}

/// Reads one dump.
pub struct XmlDump {
    carry: Carry,
    /// Where the next byte stands.
    at: u64,
    place: Place,
    /// Where the present line or tag begins.
    line: u64,
    tag_start: u64,
    tag: Vec<u8>,
    database: Option<Vec<u8>>,
    /// What the present part tells of, once one has begun.
    present: Option<PartKind>,
    /// Dumps that have begun, whether the last one has not ended, and whether that was the last thing to be read.
    dumps: u64,
    is_open: bool,
    has_ended: bool,
    /// Another dump began before one had ended.
    was_open: bool,
}

impl Default for XmlDump {
    fn default() -> XmlDump {
        XmlDump {
            carry: Carry::default(),
            at: 0,
            place: Place::Blank,
            line: 0,
            tag_start: 0,
            tag: Vec::new(),
            database: None,
            present: None,
            dumps: 0,
            is_open: false,
            has_ended: false,
            was_open: false,
        }
    }
}

impl XmlDump {
    /// Takes the next piece, of any length.
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(Event)) {
        let mut carry = std::mem::take(&mut self.carry);
        carry.feed(piece, LITERAL.0.len(), |bytes| self.run(bytes, false, tell));
        self.carry = carry;
    }

    /// Tells that nothing follows, and what was learned.
    pub fn finish(mut self, tell: &mut impl FnMut(Event)) -> DumpFacts {
        let rest = self.carry.take();
        self.run(&rest, true, tell);
        if self.at > 0 {
            self.begin(tell);
        }
        let end = match self.place {
            _ if self.was_open => DumpEnd::NoTrailerInside,
            Place::Blank | Place::Text if self.has_ended => DumpEnd::Trailer,
            Place::Tag | Place::Until(_) => DumpEnd::InStatement,
            _ => DumpEnd::NoTrailer,
        };
        DumpFacts { end, ..DumpFacts::default() }
    }

    /// Reads bytes, of which it says how many it used: all, unless more may follow that tell what they are.
    fn run(&mut self, bytes: &[u8], is_all: bool, tell: &mut impl FnMut(Event)) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let used = self.step(&bytes[at..], is_all, tell);
            if used == 0 {
                break;
            }
            at += used;
            self.at += used as u64;
        }
        at
    }

    fn step(&mut self, bytes: &[u8], is_all: bool, tell: &mut impl FnMut(Event)) -> usize {
        match self.place {
            Place::Blank | Place::Text => self.between(bytes, is_all, tell),
            Place::Tag => self.in_tag(bytes, tell),
            Place::Until(end) => match memmem::find(bytes, end) {
                Some(found) => {
                    self.place = Place::Text;
                    found + end.len()
                }
                None if is_all => bytes.len(),
                // The rest may begin the end.
                None => bytes.len().saturating_sub(end.len() - 1),
            },
        }
    }

    fn between(&mut self, bytes: &[u8], is_all: bool, tell: &mut impl FnMut(Event)) -> usize {
        let Some(found) = memchr2(b'<', b'\n', bytes) else {
            self.pass_text(bytes);
            return bytes.len();
        };
        self.pass_text(&bytes[..found]);
        let rest = &bytes[found..];
        if rest[0] == b'\n' {
            (self.place, self.line) = (Place::Blank, self.at + found as u64 + 1);
            return found + 1;
        }
        let begins = |mark: &[u8]| rest.starts_with(mark);
        let may_begin = |mark: &[u8]| !is_all && rest.len() < mark.len() && mark.starts_with(rest);
        for (mark, end) in [COMMENT, LITERAL] {
            if begins(mark) {
                (self.place, self.has_ended) = (Place::Until(end), false);
                return found + mark.len();
            }
            if may_begin(mark) {
                return found;
            }
        }
        self.tag_start = if self.place == Place::Blank { self.line } else { self.at + found as u64 };
        if let Some(length) = memchr(b'>', &rest[1..]) {
            self.place = Place::Text;
            self.take_tag(&rest[1..][..length.min(TAG_MAX_BYTES)], tell);
            return found + 1 + length + 1;
        }
        self.place = Place::Tag;
        self.tag.clear();
        found + 1
    }

    fn pass_text(&mut self, text: &[u8]) {
        if !text.iter().all(u8::is_ascii_whitespace) {
            (self.place, self.has_ended) = (Place::Text, false);
        }
    }

    fn in_tag(&mut self, bytes: &[u8], tell: &mut impl FnMut(Event)) -> usize {
        let end = memchr(b'>', bytes);
        let inside = &bytes[..end.unwrap_or(bytes.len())];
        let room = TAG_MAX_BYTES.saturating_sub(self.tag.len());
        self.tag.extend_from_slice(&inside[..inside.len().min(room)]);
        let Some(end) = end else { return bytes.len() };
        self.place = Place::Text;
        let tag = std::mem::take(&mut self.tag);
        self.take_tag(&tag, tell);
        // What follows on the same line is of no line of its own; a line end makes a new one.
        end + 1
    }

    fn take_tag(&mut self, tag: &[u8], tell: &mut impl FnMut(Event)) {
        self.has_ended = false;
        // So most tags begin, and none that tells anything.
        if matches!(tag, [b'f', ..] | [b'/', b'f', ..]) {
            return;
        }
        let name_end = tag.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/').filter(|at| *at > 0);
        let (name, rest) = tag.split_at(name_end.unwrap_or(tag.len()));
        let start = self.tag_start;
        let named = |attribute: &str| attribute_of(rest, attribute);
        let name_of = || named("name").unwrap_or_default();
        match name {
            b"mysqldump" => self.begin_dump(tell),
            b"/mysqldump" => {
                self.part(start, PartKind::Footer, Vec::new(), tell);
                (self.has_ended, self.is_open) = (true, false);
            }
            b"database" => {
                self.database = named("name");
                self.part(start, PartKind::Database, Vec::new(), tell);
            }
            b"/database" | b"events" | b"routines" | b"/events" | b"/routines" => {
                self.part(start, PartKind::Database, Vec::new(), tell);
            }
            b"table_structure" => self.part(start, PartKind::Schema, name_of(), tell),
            b"table_data" => self.part(start, PartKind::Data, name_of(), tell),
            b"triggers" => self.part(start, PartKind::Triggers, name_of(), tell),
            b"event" => self.part(start, PartKind::Event, named("Event").unwrap_or_default(), tell),
            b"routine" => match (named("Procedure"), named("Function")) {
                (Some(name), _) => self.part(start, PartKind::Procedure, name, tell),
                (None, Some(name)) => self.part(start, PartKind::Function, name, tell),
                (None, None) => {}
            },
            b"row" if self.present == Some(PartKind::Data) => tell(Event::Row(start)),
            _ => {}
        }
    }

    fn begin_dump(&mut self, tell: &mut impl FnMut(Event)) {
        if self.dumps > 0 {
            tell(Event::NextDump);
        }
        self.was_open |= self.is_open;
        (self.dumps, self.is_open, self.database) = (self.dumps + 1, true, None);
    }

    /// What comes before all parts is one, too.
    fn begin(&mut self, tell: &mut impl FnMut(Event)) {
        if self.present.is_none() {
            self.present = Some(PartKind::Header);
            tell(Event::Part(Part { start: 0, kind: PartKind::Header, database: None, name: Vec::new() }));
        }
    }

    fn part(&mut self, start: u64, kind: PartKind, name: Vec<u8>, tell: &mut impl FnMut(Event)) {
        if start > 0 {
            self.begin(tell);
        }
        self.present = Some(kind);
        let database = self.database.clone().filter(|_| !kind.is_global());
        tell(Event::Part(Part { start, kind, database, name }));
        if kind == PartKind::Footer {
            self.database = None;
        }
    }
}

/// The value of an attribute in a tag.
fn attribute_of(tag: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mark = format!(" {wanted}=\"");
    let start = memmem::find(tag, mark.as_bytes())? + mark.len();
    let end = memchr(b'"', &tag[start..])?;
    Some(unescaped(&tag[start..start + end]))
}

/// Text with what stands in it for characters that mean something else.
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    const ENTITIES: [(&[u8], u8); 5] =
        [(b"&lt;", b'<'), (b"&gt;", b'>'), (b"&amp;", b'&'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = memchr(b'&', rest) {
        bytes.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let known = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity));
        let (length, byte) = known.map_or((1, b'&'), |(entity, byte)| (entity.len(), *byte));
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "<?xml version=\"1.0\"?>\n<mysqldump xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n\
        <database name=\"shop\">\nCREATE SEQUENCE `n`;\n\t<table_structure name=\"a&quot;&lt;b\">\n\
        \t\t<field Field=\"id\" Type=\"int(11)\" Comment=\"\" />\n\t</table_structure>\n\t<table_data name=\"a&quot;&lt;b\">\n\
        \t<row>\n\t\t<field name=\"id\">1 &lt;row&gt;\n&lt;/mysqldump&gt;</field>\n\t</row>\n\t<row>\n\t\t<field name=\"id\" xsi:nil=\"true\" />\n\
        \t</row>\n\t</table_data>\n\t<triggers name=\"t\">\n<![CDATA[\n<table_data name=\"x\"><row>\n]]>\n\t</triggers>\n\
        <!-- <table_data name=\"y\"> -->\n\t<events>\n\t\t<event Event=\"e\">\n\t\t</event>\n\t</events>\n\t<routines>\n\
        \t\t<routine Function=\"f\">\n\t\t</routine>\n\t</routines>\n</database>\n</mysqldump>\n";

    fn read(text: &[u8], piece: usize) -> (Vec<Event>, DumpEnd) {
        let (mut dump, mut events) = (XmlDump::default(), Vec::new());
        text.chunks(piece).for_each(|piece| dump.push(piece, &mut |event| events.push(event)));
        let facts = dump.finish(&mut |event| events.push(event));
        (events, facts.end)
    }

    #[test]
    fn parts_are_found_however_they_come() {
        let whole = read(SHOP.as_bytes(), SHOP.len());
        let parts = whole.0.iter().filter_map(|event| match event {
            Event::Part(part) => Some((part.kind, String::from_utf8(part.name.clone()).unwrap())),
            _ => None,
        });
        use PartKind::{Data, Database, Event as Daily, Footer, Function, Header, Schema, Triggers};
        let none = String::new;
        let expected = [
            (Header, none()),
            (Database, none()),
            (Schema, "a\"<b".into()),
            (Data, "a\"<b".into()),
            (Triggers, "t".into()),
            (Database, none()),
            (Daily, "e".into()),
            (Database, none()),
            (Database, none()),
            (Function, "f".into()),
            (Database, none()),
            (Database, none()),
            (Footer, none()),
        ];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
        assert_eq!(whole.0.iter().filter(|event| matches!(event, Event::Row(_))).count(), 2);
        assert_eq!(whole.1, DumpEnd::Trailer);
        for piece in 1..40 {
            assert_eq!(read(SHOP.as_bytes(), piece), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn only_the_last_tag_shows_that_it_is_whole() {
        for cut in 1..SHOP.len() {
            let is_whole = cut >= SHOP.len() - 1;
            assert_eq!(read(&SHOP.as_bytes()[..cut], 7).1 == DumpEnd::Trailer, is_whole, "cut at {cut}");
        }
        assert_eq!(read(format!("{SHOP}x").as_bytes(), 7).1, DumpEnd::NoTrailer);
        let twice = format!("{SHOP}{SHOP}");
        let (events, end) = read(twice.as_bytes(), 7);
        assert_eq!((events.contains(&Event::NextDump), end), (true, DumpEnd::Trailer));
        let open = format!("{}{SHOP}", SHOP.replace("</mysqldump>", ""));
        assert_eq!(read(open.as_bytes(), 7).1, DumpEnd::NoTrailerInside);
    }
}
