//! Keys as bytes, whose order is that of the keys: whole numbers by their size, all else by its bytes.

const NULL: u8 = 0;
const NEGATIVE: u8 = 1;
const NOT_NEGATIVE: u8 = 2;
const OTHER: u8 = 3;

/// Adds a value to a key, given as its bytes or the text of a number; `None` for NULL. Different values stay different.
pub fn push_value(key: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return key.push(NULL) };
    match whole_number(value) {
        Some((false, digits)) => {
            key.extend_from_slice(&[NOT_NEGATIVE, digits.len() as u8]);
            key.extend_from_slice(digits);
        }
        Some((true, digits)) => {
            key.extend_from_slice(&[NEGATIVE, u8::MAX - digits.len() as u8]);
            key.extend(digits.iter().map(|digit| u8::MAX - digit));
        }
        None => {
            key.push(OTHER);
            for &byte in value {
                key.push(byte);
                if byte == 0 {
                    key.push(1);
                }
            }
            key.extend_from_slice(&[0, 0]);
        }
    }
}

/// Whether it is negative, and its digits, where that is all that the text of a value holds.
fn whole_number(value: &[u8]) -> Option<(bool, &[u8])> {
    let (is_negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let is_plain = match digits {
        [] => false,
        [b'0'] => !is_negative,
        [b'0', ..] => false,
        _ => digits.len() < usize::from(u8::MAX) && digits.iter().all(u8::is_ascii_digit),
    };
    is_plain.then_some((is_negative, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[Option<&str>]) -> Vec<u8> {
        let mut key = Vec::new();
        values.iter().for_each(|value| push_value(&mut key, value.map(str::as_bytes)));
        key
    }

    #[test]
    fn keys_are_in_order_and_different() {
        let long = "9".repeat(300);
        let ordered = [
            vec![None],
            vec![None, Some("1")],
            vec![Some("-100")],
            vec![Some("-99")],
            vec![Some("-1")],
            vec![Some("0")],
            vec![Some("9")],
            vec![Some("9"), None],
            vec![Some("10")],
            vec![Some("18446744073709551616")],
            vec![Some("")],
            vec![Some(""), Some("a")],
            vec![Some("\0")],
            vec![Some("-0")],
            vec![Some("007")],
            vec![Some("1.5")],
            vec![Some(long.as_str())],
            vec![Some("a")],
            vec![Some("a"), Some("")],
            vec![Some("a\0")],
            vec![Some("ab")],
        ];
        for two in ordered.windows(2) {
            assert!(key(&two[0]) < key(&two[1]), "{two:?}");
        }
    }
}
