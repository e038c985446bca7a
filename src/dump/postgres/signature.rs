//! Signatures: the names of functions with their arguments.

/// What may stand before an argument.
const MODES: [&[u8]; 4] = [b"IN ", b"INOUT ", b"VARIADIC ", b"OUT "];

/// Whether a function of a dump, which is named with its arguments, is that of a server that has this name and takes these types:
/// no two of those can be there. Arguments have names or none, and those that only return something count, or do not.
pub fn takes(function: &[u8], name: &[u8], types: &[&[u8]]) -> bool {
    let arguments = function.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"("));
    let Some(arguments) = arguments.and_then(|rest| rest.strip_suffix(b")")) else { return false };
    let all = split(arguments);
    let is_out = |argument: &&&[u8]| argument.starts_with(b"OUT ");
    let fit = |arguments: &[&[u8]]| {
        arguments.len() == types.len() && arguments.iter().zip(types).all(|(argument, own)| is_of_type(argument, own))
    };
    fit(&all) || fit(&all.iter().filter(|argument| !is_out(argument)).copied().collect::<Vec<_>>())
}

/// `type`, `name type`, `MODE name type`.
fn is_of_type(argument: &[u8], own: &[u8]) -> bool {
    let argument = MODES.iter().find_map(|mode| argument.strip_prefix(*mode)).unwrap_or(argument);
    argument.strip_suffix(own).is_some_and(|name| name.is_empty() || name.ends_with(b" "))
}

/// What stands between commas, but for those in quotes and parentheses.
fn split(arguments: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut start, mut depth, mut is_quoted) = (Vec::new(), 0, 0, false);
    for (at, byte) in arguments.iter().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                found.push(arguments[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(arguments[start..].trim_ascii());
    found.retain(|argument| !argument.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_the_types_that_they_take() {
        let is = |function: &str, name: &str, types: &[&str]| {
            let types: Vec<&[u8]> = types.iter().map(|own| own.as_bytes()).collect();
            takes(function.as_bytes(), name.as_bytes(), &types)
        };
        assert!(is("f()", "f", &[]) && is("f(integer)", "f", &["integer"]) && is("f(\"a, b\" text)", "f", &["text"]));
        assert!(is("f(a integer, VARIADIC b public.\"my, type\"[])", "f", &["integer", "public.\"my, type\"[]"]));
        assert!(is("f(IN a double precision, OUT b text)", "f", &["double precision"]));
        assert!(is("p(IN a text, OUT b text)", "p", &["text", "text"]) && is("f(x(integer)", "f(x", &["integer"]));
        for other in ["f(integer)", "f(text, text)", "g(text)", "f(my_text)", "f", "f(text"] {
            assert!(!is(other, "f", &["text"]), "{other}");
        }
    }
}
