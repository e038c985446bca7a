//! Words: the words of a statement of PostgreSQL as far as a dump's structure is concerned.

use std::borrow::Cow;

/// One word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<'a> {
    /// A keyword, a number, a name without quotes.
    Plain(&'a [u8]),
    /// A name in quotes, without them.
    Name(Cow<'a, [u8]>),
    /// A string, without its quotes.
    Text(Cow<'a, [u8]>),
    Symbol(u8),
}

impl<'a> Word<'a> {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Word::Plain(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// What it names, in quotes or without.
    pub fn name(&self) -> Option<Vec<u8>> {
        match self {
            Word::Plain(word) => Some(word.to_ascii_lowercase()),
            Word::Name(name) => Some(name.to_vec()),
            Word::Text(_) | Word::Symbol(_) => None,
        }
    }

    /// What it says, if it is a string.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Word::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A name with its schema, where it has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName {
    pub schema: Option<Vec<u8>>,
    pub name: Vec<u8>,
}

/// The words of `text`, which may be cut short.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    pub fn new(text: &'a [u8]) -> Words<'a> {
        Words { text, at: 0 }
    }

    /// Passes the next word if it is this keyword.
    pub fn pass(&mut self, keyword: &str) -> bool {
        self.pass_if(|word| word.is(keyword))
    }

    /// Passes these keywords if all of them come next.
    pub fn pass_all(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        let are_there = keywords.iter().all(|keyword| ahead.pass(keyword));
        if are_there {
            *self = ahead;
        }
        are_there
    }

    /// Passes the next word if it is this character.
    pub fn pass_symbol(&mut self, symbol: u8) -> bool {
        self.pass_if(|word| *word == Word::Symbol(symbol))
    }

    fn pass_if(&mut self, is_wanted: impl Fn(&Word) -> bool) -> bool {
        let mut ahead = self.clone();
        let is_there = ahead.next().is_some_and(|word| is_wanted(&word));
        if is_there {
            *self = ahead;
        }
        is_there
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<Word<'a>> {
        self.clone().next()
    }

    /// The next word as a name.
    pub fn take_name(&mut self) -> Option<Vec<u8>> {
        self.next()?.name()
    }

    /// A name that may have its schema in front.
    pub fn qualified_name(&mut self) -> Option<QualifiedName> {
        let name = self.take_name()?;
        if !self.pass_symbol(b'.') {
            return Some(QualifiedName { schema: None, name });
        }
        Some(QualifiedName { schema: Some(name), name: self.take_name()? })
    }

    /// The words behind the first of this keyword that stands in no parentheses.
    pub fn skip_to(mut self, keyword: &str) -> Option<Self> {
        let mut depth = 0_u32;
        while let Some(word) = self.next() {
            match word {
                Word::Symbol(b'(') => depth += 1,
                Word::Symbol(b')') => depth = depth.saturating_sub(1),
                word if depth == 0 && word.is(keyword) => return Some(self),
                _ => {}
            }
        }
        None
    }

    /// The characters of an operator.
    pub fn operator(&mut self) -> Vec<u8> {
        self.skip_blanks();
        let length = self.rest().iter().take_while(|byte| b"+-*/<>=~!@#%^&|`?".contains(byte)).count();
        let found = self.rest()[..length].to_vec();
        self.at += length;
        found
    }

    /// Where the next word begins.
    pub fn place(&self) -> usize {
        let mut ahead = self.clone();
        ahead.skip_blanks();
        ahead.end()
    }

    /// Where the last word ended.
    pub fn end(&self) -> usize {
        self.at.min(self.text.len())
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    /// What stands between here and where `later` is.
    pub fn up_to(&self, later: &Words<'a>) -> &'a [u8] {
        &self.text[self.at.min(self.text.len())..later.at.min(self.text.len())]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let length = match &rest[blank..] {
                [b'-', b'-', ..] => rest[blank..].iter().take_while(|byte| !b"\n\r".contains(byte)).count(),
                [b'/', b'*', ..] => comment_length(&rest[blank..]),
                _ => {
                    self.at += blank;
                    return;
                }
            };
            self.at += blank + length;
        }
    }

    /// What stands between quotes that begin at the present place.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Cow<'a, [u8]> {
        let inside = &self.rest()[1..];
        let mut unquoted: Option<Vec<u8>> = None;
        let mut at = 0;
        while at < inside.len() {
            let is_doubled = inside[at] == quote && inside.get(at + 1) == Some(&quote);
            if is_doubled || (escapes && inside[at] == b'\\' && at + 1 < inside.len()) {
                unquoted.get_or_insert_with(|| inside[..at].to_vec()).push(inside[at + 1]);
                at += 2;
                continue;
            }
            if inside[at] == quote {
                break;
            }
            unquoted.iter_mut().for_each(|bytes| bytes.push(inside[at]));
            at += 1;
        }
        self.at += (at + 2).min(inside.len() + 1);
        unquoted.map_or(Cow::Borrowed(&inside[..at]), Cow::Owned)
    }

    /// A string between dollars, if one begins at the present place.
    fn between_dollars(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let name = rest[1..].iter().take_while(|&&byte| is_word_byte(byte) && byte != b'$').count();
        let tag = rest.get(..name + 2).filter(|tag| tag.ends_with(b"$") && !tag[1].is_ascii_digit())?;
        let inside = &rest[tag.len()..];
        let length = memchr::memmem::find(inside, tag);
        self.at += length.map_or(rest.len(), |length| length + 2 * tag.len());
        Some(&inside[..length.unwrap_or(inside.len())])
    }
}

fn comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Whether it may stand in a word.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// Whether `bytes` begin with this word, in whatever case.
pub fn begins_with(bytes: &[u8], word: &[u8]) -> bool {
    bytes.len() >= word.len()
        && bytes[..word.len()].eq_ignore_ascii_case(word)
        && bytes.get(word.len()).is_none_or(|&next| !is_word_byte(next))
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_blanks();
        let rest = self.rest();
        let first = *rest.first()?;
        Some(match first {
            b'"' => Word::Name(self.quoted(first, false)),
            b'\'' => Word::Text(self.quoted(first, false)),
            b'e' | b'E' if rest.get(1) == Some(&b'\'') => {
                self.at += 1;
                Word::Text(self.quoted(b'\'', true))
            }
            b'$' => match self.between_dollars() {
                Some(text) => Word::Text(Cow::Borrowed(text)),
                None => {
                    self.at += 1;
                    Word::Symbol(first)
                }
            },
            _ if is_word_byte(first) => {
                let length = rest.iter().take_while(|&&byte| is_word_byte(byte)).count();
                self.at += length;
                Word::Plain(&rest[..length])
            }
            _ => {
                self.at += 1;
                Word::Symbol(first)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word<'_>> {
        Words::new(text.as_bytes()).collect()
    }

    #[test]
    fn quotes_and_comments_are_read() {
        let text = "CREATE /* a /* nested */ ' */ \"a\"\"b\".c 'it''s' E'it\\'s' -- \"no\n$x$ $y$ ' $x$ $1";
        let text_of = |text: &'static str| Word::Text(Cow::Borrowed(text.as_bytes()));
        let expected = [
            Word::Plain(b"CREATE"),
            Word::Name(Cow::Borrowed(b"a\"b")),
            Word::Symbol(b'.'),
            Word::Plain(b"c"),
            text_of("it's"),
            text_of("it's"),
            text_of(" $y$ ' "),
            Word::Symbol(b'$'),
            Word::Plain(b"1"),
        ];
        assert_eq!(words(text), expected);
    }

    #[test]
    fn what_is_cut_short_ends_there() {
        for text in ["'abc", "\"", "E'x\\", "E", "/*", "/* /*", "--", "$", "$x", "$x$", "a\"", "$x$ $x"] {
            assert!(words(text).len() <= 3, "{text}");
        }
    }

    #[test]
    fn words_in_parentheses_are_not_skipped_to() {
        let words = Words::new(b"ON (EXTRACT(year FROM a)) FROM b.c");
        let name = words.skip_to("FROM").and_then(|mut words| words.qualified_name());
        assert_eq!(name, Some(QualifiedName { schema: Some(b"b".to_vec()), name: b"c".to_vec() }));
    }
}
