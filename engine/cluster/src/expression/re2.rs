//! RE2's syntax, where it differs from that of the crate that matches: what RE2 takes literally is escaped.

/// An expression of RE2 as one of `regex`. Some that are none in RE2 are one all the same; octal escapes, and groups whose
/// names begin with a digit, are none here.
pub(super) fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\\' => rest = quoted(rest, &mut out).unwrap_or_else(|| escape(rest, &mut out)),
            '[' => rest = class(rest, &mut out),
            '{' if !is_repetition(rest) => out.push_str("\\{"),
            _ => out.push(letter),
        }
    }
    out
}

/// Behind `\Q` everything is literal up to `\E`, or to the end; Java's `Pattern.quote` writes so. Answers the rest.
fn quoted<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let quoted = text.strip_prefix('Q')?;
    let (literal, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
    out.push_str(&regex::escape(literal));
    Some(rest)
}

/// What follows a backslash. Answers the rest.
fn escape<'a>(text: &'a str, out: &mut String) -> &'a str {
    let Some(letter) = text.chars().next() else {
        out.push('\\');
        return text;
    };
    let rest = &text[letter.len_utf8()..];
    if !letter.is_ascii() || matches!(letter, '<' | '>') {
        // It stands for itself.
        out.push(letter);
        return rest;
    }
    if matches!(letter, 'p' | 'P' | 'x')
        && let Some((name, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
    {
        let (letter, name) = match (letter, name.strip_prefix('^')) {
            ('p', Some(others)) => ('P', others),
            ('P', Some(those)) => ('p', those),
            _ => (letter, name),
        };
        out.extend(['\\', letter, '{']);
        out.push_str(name);
        out.push('}');
        return behind;
    }
    out.extend(['\\', letter]);
    rest
}

/// A class, behind its bracket. There are none within it but those between colons, and no operators: a minus is one unless
/// it stands between two letters. Answers the rest.
fn class<'a>(text: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    let mut rest = text;
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    // A bracket that comes first does not end it.
    let mut is_first = true;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(']').filter(|_| !is_first) {
            out.push(']');
            return behind;
        }
        is_first = false;
        if let Some(end) = rest.strip_prefix("[:").and_then(|inside| inside.find(":]")) {
            let (named, behind) = rest.split_at("[:".len() + end + ":]".len());
            out.push_str(named);
            rest = behind;
            continue;
        }
        let is_letter = !rest.starts_with('\\') || !rest[1..].starts_with(['d', 'D', 's', 'S', 'w', 'W', 'p', 'P']);
        rest = item(rest, out);
        let range = rest.strip_prefix('-').filter(|end| is_letter && !end.is_empty() && !end.starts_with(']'));
        if let Some(end) = range {
            out.push('-');
            rest = item(end, out);
        }
    }
    rest
}

/// One letter of a class, or a class of letters within it. Answers the rest.
fn item<'a>(text: &'a str, out: &mut String) -> &'a str {
    let Some(letter) = text.chars().next() else { return text };
    let rest = &text[letter.len_utf8()..];
    match letter {
        '\\' => return escape(rest, out),
        '[' | ']' | '&' | '~' | '-' => out.extend(['\\', letter]),
        _ => out.push(letter),
    }
    rest
}

/// Whether a brace begins a repetition: a number, or one and a comma, or two with a comma between.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests {
    use super::translated;
    use crate::expression::{check_expression, whole_match};

    fn check(text: &str, matches: &[&str], others: &[&str]) {
        assert_eq!(check_expression(text), Ok(()), "{text}");
        let expression = whole_match(text).expect("it is one");
        for name in matches {
            assert!(expression.is_match(name), "{text} does not match {name}, as {}", translated(text));
        }
        for name in others {
            assert!(!expression.is_match(name), "{text} matches {name}, as {}", translated(text));
        }
    }

    #[test]
    fn what_is_quoted_is_literal() {
        check(r"\Qa.b\E", &["a.b"], &["aab", "Qa.bE"]);
        check(r"\Qa.b", &["a.b"], &["aab"]);
        check(r"^t\Q1", &["t1"], &["t"]);
        check(r"\Q[x]\E-\d+\Q{1}", &["[x]-12{1}"], &["x-12"]);
        check(r"\\Q.", &[r"\Qx"], &["."]);
    }

    #[test]
    fn a_brace_that_repeats_nothing_is_one() {
        check("a{2}b{1,}c{0,1}", &["aabbbc", "aab"], &["ab"]);
        check("a{1", &["a{1"], &["a"]);
        check("{", &["{"], &[]);
        check("a{,2}", &["a{,2}"], &["aa"]);
        check(r"\x{61}\pL\p{Lu}\p{^Lu}", &["abAb", "azBc"], &["abAB"]);
    }

    #[test]
    fn classes_have_no_operators() {
        check("-[a&&b]", &["-a", "-b", "-&"], &["-c"]);
        check("-[a-c&&[^b]]", &["-a]", "-&]", "-^]"], &["-a"]);
        check("[[a]b]", &["[b]", "ab]"], &["a", "b"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[^]a]", &["b"], &["]", "a"]);
        check(r"[\d-z]", &["5", "-", "z"], &["y"]);
        check("[[:alpha:]~]+", &["ab~"], &["1", ":"]);
        check(r"[\w.-]+", &["a.b-c"], &["a b"]);
        check("[+--]", &["+", ",", "-"], &["."]);
        check("[--9]", &["-", ".", "5"], &["+", ","]);
        check("[a-c--b]", &["a", "b", "c", "-", "A"], &["d"]);
        check("[[:]a]", &["[a]", ":a]"], &["a", ":"]);
        check(r"[\pL-]+|\<\>", &["a-b", "<>"], &["a.b"]);
        check(r"\é", &["é"], &[]);
    }

    #[test]
    fn whatever_it_is_there_is_no_panic() {
        for text in ["\\", "[", "[^", "[\\", "[[:", "\\Q", "\\p{", "{", "a{1,2", "[]", "\\x{", "é[é\\é", "[a-\\d-]"]
        {
            let _ = check_expression(text);
        }
    }
}
