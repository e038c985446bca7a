//! The text of decimal numbers of 128 bits, as the BSON specification wants it.

/// What is added to the exponent.
const EXPONENT_BIAS: i32 = 6176;

/// Decimal digits that a number has at most.
const DIGITS_MAX: u32 = 34;

/// The text of a number, given as its bits.
pub fn decimal_text(bits: u128) -> String {
    let sign = if bits >> 127 == 1 { "-" } else { "" };
    let high = (bits >> 122) as u32 & 0x1f;
    if high == 0x1f {
        return "NaN".into();
    }
    if high == 0x1e {
        return format!("{sign}Infinity");
    }
    let (exponent, digits) = match high >> 3 == 3 {
        // More digits than there can be: they count as none.
        true => ((bits >> 111) as i32 & 0x3fff, 0),
        false => ((bits >> 113) as i32 & 0x3fff, bits & ((1 << 113) - 1)),
    };
    let digits = if digits < 10u128.pow(DIGITS_MAX) { digits } else { 0 };
    let (exponent, digits) = (exponent - EXPONENT_BIAS, digits.to_string());
    let scientific = exponent + digits.len() as i32 - 1;
    if exponent > 0 || scientific < -6 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}E{scientific:+}");
    }
    let behind = -exponent as usize;
    if behind == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = behind + 1);
    let (whole, rest) = digits.split_at(digits.len() - behind);
    format!("{sign}{whole}.{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(digits: u128, exponent: i32) -> String {
        decimal_text(digits | ((exponent + EXPONENT_BIAS) as u128) << 113)
    }

    #[test]
    fn numbers_are_written_as_the_specification_wants() {
        assert_eq!(number(110, -2), "1.10");
        assert_eq!(number(0, 0), "0");
        assert_eq!(number(0, -2), "0.00");
        assert_eq!(number(0, 3), "0E+3");
        assert_eq!(number(12, -3), "0.012");
        assert_eq!(number(1, -6), "0.000001");
        assert_eq!(number(1, -7), "1E-7");
        assert_eq!(number(123, 1), "1.23E+3");
        assert_eq!(number(10u128.pow(34) - 1, 6111), format!("9.{}E+6144", "9".repeat(33)));
        assert_eq!(number(10u128.pow(34), 0), "0");
        assert_eq!(decimal_text(1 << 127 | (EXPONENT_BIAS as u128) << 113 | 5), "-5");
        assert_eq!(decimal_text(0x1f << 122), "NaN");
        assert_eq!(decimal_text(0x1e << 122 | 1 << 127), "-Infinity");
    }
}
