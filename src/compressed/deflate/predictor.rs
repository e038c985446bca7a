//! Predictor: what zlib and gzip would copy from where, at each of their levels. Both search the same way; what they do
//! differently (where blocks end, and with which codes) is not predicted.

use crate::compressed::deflate::{MATCH_MAX, MATCH_MIN, Token, WINDOW_BYTES};

/// Levels, from 1.
pub const LEVELS: u8 = 9;

/// Bits of a hash of three bytes, and by how many each byte shifts it.
const HASH_BITS: u32 = 15;
const HASH_SHIFT: u32 = 5;

/// They copy from no farther.
const DISTANCE_MAX: u32 = (WINDOW_BYTES - MATCH_MAX - MATCH_MIN - 1) as u32;

/// Three bytes from farther than this are literals.
const TOO_FAR: u32 = 4096;

/// They hold twice the window, and drop the older half when the place is so far in it.
const SLIDE_AT: u32 = 2 * WINDOW_BYTES as u32 - (MATCH_MAX + MATCH_MIN) as u32;

/// Places count from a new beginning when they reach this: early enough that it is no rare event.
const REBASE_AT: u32 = 1 << 21;

/// How hard a level searches.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// After a match of this length, only a quarter of the places is tried.
    good: usize,
    /// A match of this length is taken without looking at the next place. Without that look: the longest one of which every
    /// place is remembered.
    lazy: usize,
    /// A match of this length is long enough.
    nice: usize,
    /// Places that are tried.
    chain: u32,
    /// Whether the next place is looked at before a match is taken.
    is_lazy: bool,
}

const fn effort(good: usize, lazy: usize, nice: usize, chain: u32, is_lazy: bool) -> Effort {
    Effort { good, lazy, nice, chain, is_lazy }
}

const EFFORTS: [Effort; LEVELS as usize] = [
    effort(4, 4, 8, 4, false),
    effort(4, 5, 16, 8, false),
    effort(4, 6, 32, 32, false),
    effort(4, 4, 16, 16, true),
    effort(8, 16, 32, 32, true),
    effort(8, 16, 128, 128, true),
    effort(8, 32, 128, 256, true),
    effort(32, 128, 258, 1024, true),
    effort(32, 258, 258, 4096, true),
];

/// Predicts one stream, token by token. Each token is first predicted, then told.
pub struct Predictor {
    effort: Effort,
    /// By hash: the last place. Places count from 0, which is none.
    head: Vec<u32>,
    /// By place: the one before with the same hash.
    previous: Vec<u32>,
    /// The next token's place.
    at: u32,
    /// Places before this are remembered, or were left out.
    remembered: u32,
    /// What is older was dropped.
    base: u32,
    /// A match at the next token's place, where one was found while the place before was looked at.
    found: Option<Match>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Match {
    length: usize,
    distance: u32,
}

/// What a predictor looks at: the text around its place.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'t> {
    /// From at least a window before the place, if there is so much.
    pub text: &'t [u8],
    /// The place of the next token in it.
    pub at: usize,
}

impl Sight<'_> {
    fn ahead(&self) -> usize {
        self.text.len() - self.at
    }
}

impl Predictor {
    /// A predictor of this level, from 1 to [`LEVELS`].
    pub fn new(level: u8) -> Option<Predictor> {
        let effort = *EFFORTS.get(usize::from(level).checked_sub(1)?)?;
        let head = vec![0; 1 << HASH_BITS];
        let previous = vec![0; WINDOW_BYTES];
        Some(Predictor { effort, head, previous, at: 0, remembered: 0, base: 0, found: None })
    }

    /// What the next token is, if the compressor is one that is known. The sight is never at its end.
    pub fn predict(&mut self, sight: Sight) -> Token {
        while self.at - self.base >= SLIDE_AT {
            self.base += WINDOW_BYTES as u32;
        }
        let here = match self.found.take() {
            Some(found) => found,
            None => {
                self.remember_to(self.at + 1, sight);
                self.search(sight, MATCH_MIN - 1)
            }
        };
        if here.length < MATCH_MIN {
            return Token::LITERAL;
        }
        if self.effort.is_lazy && sight.ahead() > 1 && self.is_better_behind(here, sight) {
            return Token::LITERAL;
        }
        Token { length: here.length as u16, distance: (here.distance - 1) as u16 }
    }

    /// Looks at the next place; a longer match there is kept.
    fn is_better_behind(&mut self, here: Match, sight: Sight) -> bool {
        self.remember_to(self.at + 2, sight);
        if here.length >= self.effort.lazy {
            return false;
        }
        self.at += 1;
        let next = self.search(Sight { at: sight.at + 1, ..sight }, here.length);
        self.at -= 1;
        self.found = Some(next).filter(|next| next.length > here.length);
        self.found.is_some()
    }

    /// Tells what the token at this sight really is.
    pub fn pass(&mut self, token: Token, sight: Sight) {
        let bytes = token.bytes() as u32;
        if bytes > 1 {
            self.found = None;
        }
        let end = self.at + bytes;
        if self.effort.is_lazy || bytes as usize <= self.effort.lazy {
            self.remember_to(end, sight);
        } else {
            self.remember_to(self.at + 1, sight);
            self.remembered = self.remembered.max(end);
        }
        self.at = end;
        if self.at >= REBASE_AT {
            self.rebase();
        }
    }

    /// Tells of bytes that were not made of tokens.
    pub fn pass_stored(&mut self, count: usize, mut sight: Sight) {
        for _ in 0..count {
            self.pass(Token::LITERAL, sight);
            self.found = None;
            sight.at += 1;
        }
    }

    /// Remembers places up to `end`, which lie at most some bytes from the sight's.
    fn remember_to(&mut self, end: u32, sight: Sight) {
        while self.remembered < end {
            let at = sight.at + (self.remembered - self.at) as usize;
            let Some(&[a, b, c]) = sight.text.get(at..at + MATCH_MIN) else {
                self.remembered = end;
                return;
            };
            let hash = (u32::from(a) << (2 * HASH_SHIFT) ^ u32::from(b) << HASH_SHIFT ^ u32::from(c)) as usize;
            let head = &mut self.head[hash % (1 << HASH_BITS)];
            self.previous[self.remembered as usize % WINDOW_BYTES] = *head;
            *head = self.remembered;
            self.remembered += 1;
        }
    }

    /// The first of the longest matches at the present place that are longer than `least`.
    fn search(&self, sight: Sight, least: usize) -> Match {
        let mut best = Match { length: least, distance: 0 };
        let ahead = sight.ahead();
        if ahead < MATCH_MIN {
            return Match::default();
        }
        let limit = self.base.max(self.at.saturating_sub(DISTANCE_MAX));
        let mut tries = if least >= self.effort.good { self.effort.chain >> 2 } else { self.effort.chain };
        let nice = self.effort.nice.min(ahead);
        let here = &sight.text[sight.at..];
        let mut place = self.previous[self.at as usize % WINDOW_BYTES];
        if place <= self.base || self.at - place > DISTANCE_MAX {
            return Match::default();
        }
        while best.length < ahead {
            let distance = self.at - place;
            let Some(start) = sight.at.checked_sub(distance as usize) else { break };
            let there = &sight.text[start..];
            // Most places end here.
            if there[best.length] == here[best.length] && there[best.length - 1] == here[best.length - 1] {
                let length = shared(here, there);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= nice {
                        break;
                    }
                }
            }
            place = self.previous[place as usize % WINDOW_BYTES];
            tries -= 1;
            if place <= limit || tries == 0 {
                break;
            }
        }
        let is_too_far = self.effort.is_lazy && best.length == MATCH_MIN && best.distance > TOO_FAR;
        if best.distance == 0 || is_too_far { Match::default() } else { best }
    }

    /// Lets places count from a later beginning.
    fn rebase(&mut self) {
        let by = self.at / WINDOW_BYTES as u32 * WINDOW_BYTES as u32 - 4 * WINDOW_BYTES as u32;
        self.head.iter_mut().chain(&mut self.previous).for_each(|place| *place = place.saturating_sub(by));
        (self.at, self.remembered, self.base) = (self.at - by, self.remembered - by, self.base - by);
    }
}

/// How many bytes two texts begin with alike, of those that one token can stand for.
fn shared(here: &[u8], there: &[u8]) -> usize {
    let most = here.len().min(MATCH_MAX);
    let (here, there) = (&here[..most], &there[..most]);
    let mut at = 0;
    while let (Some(a), Some(b)) = (here[at..].first_chunk::<8>(), there[at..].first_chunk::<8>()) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return at + differing.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + here[at..].iter().zip(&there[at..]).take_while(|(a, b)| a == b).count()
}
