//! What comments between statements, and commands for `psql`, say.

use crate::dump::postgres::words::{QualifiedName, Words};

/// What a title says. The statements behind it say it better, where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Title {
    /// The rows of this table follow, if it has any.
    Rows(QualifiedName),
    /// Something about an object that was made before.
    Addition,
    Other,
}

/// What a line of a comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    Title(Title),
    Begins {
        of_cluster: bool,
    },
    /// The dump is complete.
    Ends {
        of_cluster: bool,
    },
    Other,
}

/// What this comment says.
pub fn remark(text: &[u8]) -> Remark {
    match text {
        b"-- PostgreSQL database dump" => return Remark::Begins { of_cluster: false },
        b"-- PostgreSQL database cluster dump" => return Remark::Begins { of_cluster: true },
        b"-- PostgreSQL database dump complete" => return Remark::Ends { of_cluster: false },
        b"-- PostgreSQL database cluster dump complete" => return Remark::Ends { of_cluster: true },
        _ => {}
    }
    let starts: [&[u8]; 3] = [b"-- Name: ", b"-- Data for Name: ", b"-- Statistics for Name: "];
    match starts.iter().find_map(|start| text.strip_prefix(*start)) {
        Some(rest) => title(rest).map_or(Remark::Other, Remark::Title),
        None => Remark::Other,
    }
}

/// `name; Type: type; Schema: schema; Owner: owner`. Names may hold all of that; line breaks in them are spaces here.
fn title(text: &[u8]) -> Option<Title> {
    let (rest, schema_and_owner) = split_at_last(text, b"; Schema: ")?;
    let (name, kind) = split_at_last(rest, b"; Type: ")?;
    Some(match kind {
        b"TABLE DATA" => {
            let schema = split_at_last(schema_and_owner, b"; Owner: ").map_or(schema_and_owner, |(schema, _)| schema);
            let schema = Some(schema.to_vec()).filter(|schema| schema != b"-");
            Title::Rows(QualifiedName { schema, name: name.to_vec() })
        }
        b"COMMENT" | b"ACL" | b"SECURITY LABEL" => Title::Addition,
        _ => Title::Other,
    })
}

fn split_at_last<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::rfind(text, separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// The database that `\connect` goes to: `name`, `"name"`, or `-reuse-previous=on "dbname='name'"`.
pub fn connected_to(argument: &[u8]) -> Option<Vec<u8>> {
    let argument = argument.trim_ascii();
    let Some(options) = argument.strip_prefix(b"-reuse-previous=on") else {
        let mut words = Words::new(argument);
        return match argument.first()? {
            b'"' => words.take_name(),
            b'-' => None,
            _ => argument.split(u8::is_ascii_whitespace).next().map(<[u8]>::to_vec),
        };
    };
    let quoted = Words::new(options).take_name()?;
    let value = quoted.strip_prefix(b"dbname=")?;
    let inside = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'")).unwrap_or(value);
    let mut name = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        name.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_connected_to_in_every_form() {
        let name = |argument: &str| connected_to(argument.as_bytes()).map(|it| String::from_utf8(it).unwrap());
        assert_eq!(name("shop"), Some("shop".into()));
        assert_eq!(name("Shop-1.x alice"), Some("Shop-1.x".into()));
        assert_eq!(name("\"a \"\"b\""), Some("a \"b".into()));
        assert_eq!(
            name(r#"-reuse-previous=on "dbname='we/ird .%db \'n\' ""q""'""#),
            Some("we/ird .%db 'n' \"q\"".into())
        );
        assert_eq!(name("- alice"), None);
    }

    #[test]
    fn titles_are_read_from_their_ends() {
        let rows = |schema: Option<&str>, name: &str| {
            let name = QualifiedName { schema: schema.map(|it| it.into()), name: name.into() };
            Remark::Title(Title::Rows(name))
        };
        let data =
            b"-- Data for Name: x; Type: TABLE; Schema: y; Owner: z; Type: TABLE DATA; Schema: public; Owner: me";
        assert_eq!(remark(data), rows(Some("public"), "x; Type: TABLE; Schema: y; Owner: z"));
        assert_eq!(remark(b"-- Data for Name: a; Type: TABLE DATA; Schema: -; Owner: -"), rows(None, "a"));
        assert_eq!(remark(b"-- Name: a; Type: VIEW; Schema: b; Owner: c"), Remark::Title(Title::Other));
        assert_eq!(remark(b"-- Name: a"), Remark::Other);
    }
}
