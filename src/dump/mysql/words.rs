//! Words: the words of a statement as far as a dump's structure is concerned. What version comments (`/*!50003 ... */`,
//! MariaDB's `/*M!100005 ... */`) enclose counts, other comments do not.

use std::borrow::Cow;

use crate::dump::letters::Letters;

/// One word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<'a> {
    /// A keyword, a number, a name without quotes, a variable with its `@`. All of it is ASCII.
    Plain(&'a [u8]),
    /// A name in quotes, without them, or one that is not ASCII; in UTF-8.
    Name(Cow<'a, [u8]>),
    /// A string, as it stands between its quotes.
    Text(&'a [u8]),
    Symbol(u8),
}

impl<'a> Word<'a> {
    /// Whether it is this keyword, which is given in upper case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Word::Plain(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// What it names, in quotes or without.
    pub fn name(&self) -> Option<Cow<'a, [u8]>> {
        match self {
            Word::Plain(word) => Some(Cow::Borrowed(word)),
            Word::Name(name) => Some(name.clone()),
            // Double quotes, in a dump that does not say that they enclose names.
            Word::Text(text) => Some(Cow::Borrowed(text)),
            Word::Symbol(_) => None,
        }
    }
}

/// How quotes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuoteModes {
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a string is a backslash.
    pub plain_backslash: bool,
    /// `ANSI_QUOTES`: double quotes enclose names.
    pub ansi_quotes: bool,
    /// What is in quotes and out of them is written in these letters.
    pub letters: Letters,
    /// Those of the session, in which dumps have the names of views that stand for others, among text in UTF-8.
    pub letters_of_session: Letters,
}

impl QuoteModes {
    /// Whether a backslash escapes what follows it between these quotes.
    pub fn escapes(self, quote: u8) -> bool {
        !self.plain_backslash && (quote == b'\'' || (quote == b'"' && !self.ansi_quotes))
    }
}

/// The words of `text`, which may be cut short.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a [u8],
    at: usize,
    modes: QuoteModes,
}

impl<'a> Words<'a> {
    pub fn new(text: &'a [u8], modes: QuoteModes) -> Words<'a> {
        Words { text, at: 0, modes }
    }

    /// Passes the next word if it is this keyword.
    pub fn pass(&mut self, keyword: &str) -> bool {
        let mut ahead = self.clone();
        let is_there = ahead.next().is_some_and(|word| word.is(keyword));
        if is_there {
            *self = ahead;
        }
        is_there
    }

    /// Passes the next word if it is this character.
    pub fn pass_symbol(&mut self, symbol: u8) -> bool {
        let mut ahead = self.clone();
        let is_there = ahead.next() == Some(Word::Symbol(symbol));
        if is_there {
            *self = ahead;
        }
        is_there
    }

    /// A name that may have its database in front: that, and the name.
    pub fn qualified_name(&mut self) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
        let first = self.next()?.name()?.into_owned();
        if !self.pass_symbol(b'.') {
            return Some((None, first));
        }
        Some((Some(first), self.next()?.name()?.into_owned()))
    }

    /// The words behind the first of these keywords.
    pub fn skip_to(mut self, keywords: &[&str]) -> Option<Self> {
        while let Some(word) = self.next() {
            if keywords.iter().any(|keyword| word.is(keyword)) {
                return Some(self);
            }
        }
        None
    }

    /// Passes `IF EXISTS` and `IF NOT EXISTS`.
    pub fn past_if_exists(mut self) -> Self {
        if self.pass("IF") {
            self.pass("NOT");
            self.pass("EXISTS");
        }
        self
    }

    /// The same words, in the letters of the session where those present are UTF-8.
    pub fn in_letters_of_session(mut self) -> Self {
        if self.modes.letters == Letters::Plain {
            self.modes.letters = self.modes.letters_of_session;
        }
        self
    }

    /// How quotes are read.
    pub fn modes(&self) -> QuoteModes {
        self.modes
    }

    /// Where the next word begins.
    pub fn place(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    /// Where the last word ended.
    pub fn end(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Passes white space, comments, and the marks around versioned code.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let length = match &rest[blank..] {
                [b'*', b'/', ..] => blank + 2,
                code @ ([b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..]) => blank + version_mark_length(code),
                [b'/', b'*', ..] => {
                    let inside = &rest[blank + 2..];
                    blank + 2 + inside.windows(2).position(|two| two == b"*/").map_or(inside.len(), |at| at + 2)
                }
                [b'#', ..] => blank + line_length(&rest[blank..]),
                [b'-', b'-', next, ..] if next.is_ascii_whitespace() => blank + line_length(&rest[blank..]),
                _ => {
                    self.at += blank;
                    return;
                }
            };
            self.at += length;
        }
    }

    /// What stands between quotes; doubled quotes are one.
    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        let inside = &self.text[self.at + 1..];
        let escapes = self.modes.escapes(quote);
        let mut at = 0;
        while at < inside.len() {
            match inside[at] {
                b'\\' if escapes => at += 2,
                byte if byte == quote && inside.get(at + 1) == Some(&quote) => at += 2,
                byte if byte == quote => break,
                _ => at += self.modes.letters.first_length_of_all(&inside[at..]),
            }
        }
        let end = at.min(inside.len());
        self.at += (end + 2).min(inside.len() + 1);
        &inside[..end]
    }
}

/// Bytes of `/*!50003` or `/*M!100005`.
fn version_mark_length(code: &[u8]) -> usize {
    let mark = code.iter().position(|&byte| byte == b'!').map_or(code.len(), |at| at + 1);
    mark + code[mark..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1)
}

/// How long a word is that `rest` begins with.
fn word_length(rest: &[u8], letters: Letters) -> usize {
    let is_of_word = |letter: &&[u8]| letter.len() > 1 || is_word_byte(letter[0]);
    match letters.are_plain() {
        true => rest.iter().take_while(|&&byte| is_word_byte(byte)).count(),
        false => letters.each(rest).take_while(is_of_word).map(<[u8]>::len).sum(),
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@') || byte >= 0x80
}

/// A name with its doubled quotes made one, in UTF-8.
pub fn unquoted_name(inside: &[u8], quote: u8, letters: Letters) -> Cow<'_, [u8]> {
    if !inside.contains(&quote) {
        return letters.name_in_utf8(inside.into());
    }
    let mut name = Vec::with_capacity(inside.len());
    let mut each = letters.each(inside);
    while let Some(letter) = each.next() {
        name.extend_from_slice(letter);
        if letter == [quote] {
            each.next();
        }
    }
    letters.name_in_utf8(name.into())
}

/// A name of UTF-8 between quotes as a statement in these letters has it.
pub fn quoted_name(name: &[u8], quote: u8, letters: Letters) -> Vec<u8> {
    let name = letters.encoded(name);
    let mut quoted = vec![quote];
    for letter in letters.each(&name) {
        quoted.extend_from_slice(letter);
        if letter == [quote] {
            quoted.push(quote);
        }
    }
    quoted.push(quote);
    quoted
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_blanks();
        let rest = self.rest();
        let first = *rest.first()?;
        Some(match first {
            b'`' => Word::Name(unquoted_name(self.quoted(first), first, self.modes.letters)),
            b'"' if self.modes.ansi_quotes => Word::Name(unquoted_name(self.quoted(first), first, self.modes.letters)),
            b'\'' | b'"' => Word::Text(self.quoted(first)),
            _ if is_word_byte(first) => {
                let length = word_length(rest, self.modes.letters);
                self.at += length;
                match &rest[..length] {
                    word if word.is_ascii() => Word::Plain(word),
                    name => Word::Name(self.modes.letters.name_in_utf8(name.into())),
                }
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
        Words::new(text.as_bytes(), QuoteModes::default()).collect()
    }

    #[test]
    fn versioned_code_counts_and_comments_do_not() {
        let text = "/*!50003 CREATE*/ /* `no` */ /*M!100005 TRIGGER */ -- it's\n`a``b` # it's\n.'x\\'y''z' --5";
        let expected = [
            Word::Plain(b"CREATE"),
            Word::Plain(b"TRIGGER"),
            Word::Name(b"a`b".as_slice().into()),
            Word::Symbol(b'.'),
            Word::Text(b"x\\'y''z"),
            Word::Symbol(b'-'),
            Word::Symbol(b'-'),
            Word::Plain(b"5"),
        ];
        assert_eq!(words(text), expected);
    }

    #[test]
    fn what_is_cut_short_ends_there() {
        for text in ["'abc", "`", "\"x\\", "/*", "/*!", "--", "a'"] {
            assert!(words(text).len() <= 2, "{text}");
        }
    }

    #[test]
    fn modes_decide_about_backslashes_and_double_quotes() {
        let modes = QuoteModes { plain_backslash: true, ansi_quotes: true, ..QuoteModes::default() };
        let found: Vec<_> = Words::new(br#"'\' "a""b""#, modes).collect();
        assert_eq!(found, [Word::Text(b"\\"), Word::Name(br#"a"b"#.as_slice().into())]);
    }
}
