//! Instants: what is stored, what is printed, and the many ways people write them. "Now" is always passed in.

use std::time::SystemTime;

use jiff::civil::Date;

use crate::error::{Error, Result};

/// An instant: seconds since 1970-01-01T00:00:00Z, and nanoseconds (0 to 999,999,999) after that second.
/// Negative seconds lie before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

/// Tells the present instant; handed in by the caller, since the library does not read clocks.
pub type Clock = dyn Fn() -> Timestamp + Send + Sync;

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

const NO_SUCH_DAY: &str = "there is no such day";

/// What [`parse_when`] takes, as its error says it.
const ACCEPTED: &str = "expected a time such as 2026-11-20T10:00:00Z, 2026-11-20T1000+02:00 or 2026-11-20T100000, \
     a date, month or year (its end), now, today, yesterday, 2h-ago or 1h30m-ago (units w, d, h, m, s); \
     without a zone it is UTC";

impl Timestamp {
    /// The instant of a system clock or file time; saturates where 64-bit seconds end.
    pub fn from_system(time: SystemTime) -> Timestamp {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => {
                Timestamp { seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX), nanos: after.subsec_nanos() }
            }
            Err(error) => {
                let before = error.duration();
                let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
                match before.subsec_nanos() {
                    0 => Timestamp { seconds, nanos: 0 },
                    nanos => Timestamp { seconds: seconds.saturating_sub(1), nanos: NANOS_PER_SECOND - nanos },
                }
            }
        }
    }

    /// UTC as RFC 3339, with as many digits of a fraction as it needs: `2026-11-22T10:00:00.25Z`.
    /// Years that RFC 3339 cannot write get a sign: `+12026-11-22T10:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        let (date, [hour, minute, second]) = self.date_and_clock();
        let fraction = match self.nanos {
            0 => String::new(),
            nanos => format!(".{nanos:09}").trim_end_matches('0').to_string(),
        };
        format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }

    /// UTC to the whole second and without colons, which Hadoop, rsync and tar stumble over: `2026-11-22T100000Z`.
    pub fn directory_name(self) -> String {
        let (date, [hour, minute, second]) = self.date_and_clock();
        format!("{date}T{hour:02}{minute:02}{second:02}Z")
    }

    /// The date in UTC as text, and hour, minute and second.
    ///
    /// File times reach years that no calendar library takes, so the days are counted here: in eras of 400 years
    /// (146,097 days) and in years that begin in March, which puts the leap day last.
    fn date_and_clock(self) -> (String, [i64; 3]) {
        let since_march_of_year_0 = self.seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
        let era = since_march_of_year_0.div_euclid(146_097);
        let day_of_era = since_march_of_year_0.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let date = match year {
            0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
            _ => format!("{year:+05}-{month:02}-{day:02}"),
        };
        let second_of_day = self.seconds.rem_euclid(SECONDS_PER_DAY);
        (date, [second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60])
    }
}

/// The instant that `text` names: any RFC 3339 time, also with a space for the `T`, without colons, seconds or zone
/// (then it is UTC); a date, month or year, which means its last nanosecond; `now`; `today` and `yesterday`, which
/// mean the end of that day; `2h-ago`, `1h30m-ago`. Upper and lower case are the same.
///
/// Fails with [`Error::Invalid`] for anything else, impossible dates such as February 30 among them.
pub fn parse_when(text: &str, now: Timestamp) -> Result<Timestamp> {
    let lower = text.to_ascii_lowercase();
    relative_to_now(&lower, now)
        .or_else(|| absolute(&mut Cursor { rest: lower.as_bytes() }))
        .ok_or_else(|| Error::invalid("time", text, if names_no_day(text) { NO_SUCH_DAY } else { ACCEPTED }))
}

/// Whether it begins as a date does, but there is no such date.
fn names_no_day(text: &str) -> bool {
    let mut cursor = Cursor { rest: text.as_bytes() };
    let mut date = || {
        let year = cursor.digits(4)?;
        cursor.take(b"-")?;
        let month = cursor.digits(2)?;
        cursor.take(b"-")?;
        Some([year, month, cursor.digits(2)?])
    };
    date().is_some_and(|[year, month, day]| day_number(year, month, day).is_none())
}

fn relative_to_now(text: &str, now: Timestamp) -> Option<Timestamp> {
    let today = now.seconds.div_euclid(SECONDS_PER_DAY);
    match text {
        "now" => Some(now),
        "today" => end_before_day(today.checked_add(1)?),
        "yesterday" => end_before_day(today),
        _ => {
            let seconds = now.seconds.checked_sub(seconds_of_span(text.strip_suffix("-ago")?)?)?;
            Some(Timestamp { seconds, nanos: now.nanos })
        }
    }
}

/// Seconds in a span such as `1h30m`.
fn seconds_of_span(text: &str) -> Option<i64> {
    let mut cursor = Cursor { rest: text.as_bytes() };
    let mut total = 0i64;
    loop {
        let amount = cursor.number()?;
        let unit = match cursor.next()? {
            b'w' => 7 * SECONDS_PER_DAY,
            b'd' => SECONDS_PER_DAY,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(amount.checked_mul(unit)?)?;
        if cursor.rest.is_empty() {
            return Some(total);
        }
    }
}

/// A year, month, date, or date with time.
fn absolute(cursor: &mut Cursor) -> Option<Timestamp> {
    let year = cursor.digits(4)?;
    if cursor.rest.is_empty() {
        return end_before_day(day_number(year, 12, 31)? + 1);
    }
    cursor.take(b"-")?;
    let month = cursor.digits(2)?;
    if cursor.rest.is_empty() {
        let last_day = [31, 30, 29, 28].into_iter().find_map(|day| day_number(year, month, day))?;
        return end_before_day(last_day + 1);
    }
    cursor.take(b"-")?;
    let day = day_number(year, month, cursor.digits(2)?)?;
    if cursor.rest.is_empty() {
        return end_before_day(day + 1);
    }
    cursor.take(b"t ")?;
    time_of_day(cursor, day)
}

/// The clock time and the zone after the date of day `day`.
fn time_of_day(cursor: &mut Cursor, day: i64) -> Option<Timestamp> {
    let hour = cursor.digits_up_to(23)?;
    let with_colons = cursor.take(b":").is_some();
    let minute = cursor.digits_up_to(59)?;
    let has_second =
        if with_colons { cursor.take(b":").is_some() } else { cursor.rest.first().is_some_and(u8::is_ascii_digit) };
    let second = if has_second { cursor.digits_up_to(60)? } else { 0 };
    let nanos = if has_second && cursor.take(b".").is_some() { cursor.fraction()? } else { 0 };
    let offset = offset_seconds(cursor)?;
    if !cursor.rest.is_empty() {
        return None;
    }
    let seconds = day * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset;
    // A leap second ends a day in UTC; it is the same instant as the second after it.
    if second == 60 && seconds.rem_euclid(SECONDS_PER_DAY) != 0 {
        return None;
    }
    Some(Timestamp { seconds, nanos })
}

/// Seconds east of UTC: nothing or `z`, `+02:00`, `-0200`, `+02`.
fn offset_seconds(cursor: &mut Cursor) -> Option<i64> {
    if cursor.rest.is_empty() || cursor.take(b"z").is_some() {
        return Some(0);
    }
    let sign = if cursor.take(b"+-")? == b'-' { -1 } else { 1 };
    let hours = cursor.digits_up_to(23)?;
    let minutes = if cursor.rest.is_empty() {
        0
    } else {
        cursor.take(b":");
        cursor.digits_up_to(59)?
    };
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(i64::from(Date::constant(1970, 1, 1).until(date).ok()?.get_days()))
}

/// The last nanosecond before day number `day` begins.
fn end_before_day(day: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: day.checked_mul(SECONDS_PER_DAY)?.checked_sub(1)?, nanos: NANOS_PER_SECOND - 1 })
}

/// What is left of the text.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte, if it is one of `wanted`.
    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let first = self.rest.first().filter(|first| wanted.contains(first))?;
        self.rest = &self.rest[1..];
        Some(*first)
    }

    /// A number of exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        decimal(digits)
    }

    /// A number of two digits that is not above `max`.
    fn digits_up_to(&mut self, max: i64) -> Option<i64> {
        self.digits(2).filter(|value| *value <= max)
    }

    /// A number of as many digits as there are, at least one.
    fn number(&mut self) -> Option<i64> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { None } else { self.digits(count) }
    }

    /// Nanoseconds from the digits of a fraction; digits after the ninth are dropped.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let padded = digits.iter().map(|digit| u32::from(digit - b'0')).chain(std::iter::repeat(0)).take(9);
        Some(padded.fold(0, |nanos, digit| nanos * 10 + digit))
    }
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T10:20:30.5Z, a Sunday.
    const NOW: Timestamp = Timestamp { seconds: 1_795_342_830, nanos: 500_000_000 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    #[track_caller]
    fn means(text: &str, expected: &str) {
        let parsed = parse_when(text, NOW).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parsed.to_rfc3339(), expected, "{text}");
    }

    #[test]
    fn prints_known_instants() {
        assert_eq!(at(0).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(NOW.to_rfc3339(), "2026-11-22T10:20:30.5Z");
        assert_eq!(NOW.directory_name(), "2026-11-22T102030Z");
        assert_eq!(Timestamp { seconds: -1, nanos: 1 }.to_rfc3339(), "1969-12-31T23:59:59.000000001Z");
        assert_eq!(at(951_782_400).to_rfc3339(), "2000-02-29T00:00:00Z");
        assert_eq!(at(-2_203_891_200).to_rfc3339(), "1900-03-01T00:00:00Z");
        assert_eq!(at(-62_167_219_200).to_rfc3339(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn prints_years_that_rfc_3339_cannot_write() {
        assert_eq!(at(-62_167_219_201).to_rfc3339(), "-0001-12-31T23:59:59Z");
        assert_eq!(at(253_402_300_800).to_rfc3339(), "+10000-01-01T00:00:00Z");
        assert_eq!(at(i64::MAX).directory_name(), "+292277026596-12-04T153007Z");
        assert_eq!(at(i64::MIN).to_rfc3339(), "-292277022657-01-27T08:29:52Z");
    }

    #[test]
    fn reads_rfc_3339() {
        means("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z");
        means("2026-11-20t10:00:00z", "2026-11-20T10:00:00Z");
        means("2026-11-20 10:00:00Z", "2026-11-20T10:00:00Z");
        means("2026-11-20T10:00:00.25+02:00", "2026-11-20T08:00:00.25Z");
        means("2026-11-20T00:30:00-01:15", "2026-11-20T01:45:00Z");
        means("2026-11-20T10:00:00-00:00", "2026-11-20T10:00:00Z");
        means("2026-11-20T10:00:00.1234567899Z", "2026-11-20T10:00:00.123456789Z");
        means("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
        means("2017-01-01T01:59:60+02:00", "2017-01-01T00:00:00Z");
    }

    #[test]
    fn reads_times_without_colons_seconds_or_zone() {
        means("2026-11-20T1000", "2026-11-20T10:00:00Z");
        means("2026-11-20T100001", "2026-11-20T10:00:01Z");
        means("2026-11-20T100000Z", "2026-11-20T10:00:00Z");
        means("2026-11-20T100000.5Z", "2026-11-20T10:00:00.5Z");
        means("2026-11-20T10:00", "2026-11-20T10:00:00Z");
        means("2026-11-20T10:00+02:00", "2026-11-20T08:00:00Z");
        means("2026-11-20T1000+0200", "2026-11-20T08:00:00Z");
        means("2026-11-20 1000-02", "2026-11-20T12:00:00Z");
        means("2026-11-20T10:00:30", "2026-11-20T10:00:30Z");
    }

    #[test]
    fn dates_months_and_years_mean_their_end() {
        means("2026-11-20", "2026-11-20T23:59:59.999999999Z");
        means("2026-11", "2026-11-30T23:59:59.999999999Z");
        means("2024-02", "2024-02-29T23:59:59.999999999Z");
        means("2026-12", "2026-12-31T23:59:59.999999999Z");
        means("2026", "2026-12-31T23:59:59.999999999Z");
        means("1969", "1969-12-31T23:59:59.999999999Z");
        means("9999", "9999-12-31T23:59:59.999999999Z");
        means("9999-12-31", "9999-12-31T23:59:59.999999999Z");
        means("0000-01-01", "0000-01-01T23:59:59.999999999Z");
    }

    #[test]
    fn reads_words_and_spans() {
        means("now", "2026-11-22T10:20:30.5Z");
        means("today", "2026-11-22T23:59:59.999999999Z");
        means("Yesterday", "2026-11-21T23:59:59.999999999Z");
        means("2h-ago", "2026-11-22T08:20:30.5Z");
        means("30m-ago", "2026-11-22T09:50:30.5Z");
        means("3d-ago", "2026-11-19T10:20:30.5Z");
        means("1w-ago", "2026-11-15T10:20:30.5Z");
        means("90s-ago", "2026-11-22T10:19:00.5Z");
        means("1h30m-ago", "2026-11-22T08:50:30.5Z");
        means("1w2d3h4m5s-AGO", "2026-11-13T07:16:25.5Z");
    }

    #[test]
    fn refuses_what_is_no_time_and_says_what_is() {
        let texts = [
            "",
            " ",
            "2",
            "202",
            "20261120",
            "2026-",
            "2026-13",
            "2026-00",
            "2026-1",
            "2026-11-20T",
            "2026-11-20T10",
            "2026-11-20T1",
            "2026-11-20T24:00",
            "2026-11-20T10:60",
            "2026-11-20T10:00:61Z",
            "2026-11-20T10:00:60Z",
            "2026-11-20T10:0000",
            "2026-11-20T1000:00",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00.5",
            "2026-11-20T10:00:00+24:00",
            "2026-11-20T10:00:00+02:60",
            "2026-11-20T10:00:00+2",
            "2026-11-20T10:00:00Zx",
            "2026-11-20T10:00:00 Z",
            "2026-11-20x",
            "+2026-11-20",
            "-001-01-01",
            "2026-11-20T1\u{0660}:00",
            "ago",
            "-ago",
            "h-ago",
            "2-ago",
            "2y-ago",
            "2h",
            "-2h-ago",
            "2h-ago-ago",
            "99999999999999999999s-ago",
            "9223372036854775807w-ago",
            "tomorrow",
            "latest",
        ];
        for text in texts {
            match parse_when(text, NOW) {
                Ok(time) => panic!("{text:?} was taken as {}", time.to_rfc3339()),
                Err(error) => {
                    let message = error.to_string();
                    assert!(matches!(error, Error::Invalid { .. }), "{message}");
                    assert!(message.contains(text) && message.contains("2026-11-20T10:00:00Z"), "{message}");
                }
            }
        }
    }

    #[test]
    fn a_day_that_no_month_has_is_called_so() {
        for text in ["2026-11-31", "2026-02-29", "1900-02-29", "2026-11-31T10:00"] {
            let message = parse_when(text, NOW).unwrap_err().to_string();
            assert!(message.contains(text) && message.ends_with(NO_SUCH_DAY), "{message}");
        }
    }

    #[test]
    fn system_times_before_1970_count_backwards() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(Timestamp::from_system(epoch + Duration::new(5, 6)), Timestamp { seconds: 5, nanos: 6 });
        assert_eq!(Timestamp::from_system(epoch - Duration::from_secs(5)), at(-5));
        let half = Timestamp::from_system(epoch - Duration::from_millis(1_500));
        assert_eq!(half, Timestamp { seconds: -2, nanos: 500_000_000 });
    }

    /// First second of the year 0, and of the year 10000.
    const WRITABLE: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

    proptest! {
        #[test]
        fn what_is_printed_reads_back(seconds in WRITABLE, nanos in prop_oneof![Just(0), 0..NANOS_PER_SECOND]) {
            let time = Timestamp { seconds, nanos };
            prop_assert_eq!(parse_when(&time.to_rfc3339(), NOW).unwrap(), time);
            prop_assert_eq!(parse_when(&time.directory_name(), NOW).unwrap(), at(seconds));
        }

        #[test]
        fn an_offset_names_the_same_instant(
            seconds in WRITABLE.start + 86_400..WRITABLE.end - 86_400, minutes in -1_439i64..1_440, colon: bool
        ) {
            let local = at(seconds + minutes * 60).to_rfc3339();
            let (sign, size) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
            let colon = if colon { ":" } else { "" };
            let text = format!("{}{sign}{:02}{colon}{:02}", local.trim_end_matches('Z'), size / 60, size % 60);
            prop_assert_eq!(parse_when(&text, NOW).unwrap(), at(seconds));
        }

        #[test]
        fn later_prints_later(a in WRITABLE, b in WRITABLE) {
            prop_assert_eq!(a.cmp(&b), at(a).to_rfc3339().cmp(&at(b).to_rfc3339()));
        }

        #[test]
        fn the_calendar_agrees_with_jiff(seconds in WRITABLE.start..253_402_207_200) {
            let theirs = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(at(seconds).to_rfc3339(), theirs);
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,40}", timelike in "[0-9tz:+. -]{0,32}", seconds: i64, nanos in 0..NANOS_PER_SECOND) {
            let time = Timestamp { seconds, nanos };
            let _ = parse_when(&text, time);
            let _ = parse_when(&timelike, time);
            for word in ["today", "yesterday", "1s-ago"] {
                let _ = parse_when(word, time);
            }
            let _ = (time.to_rfc3339(), time.directory_name());
        }
    }
}
