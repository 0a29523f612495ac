//! Regular expressions that clients send. Their syntax is that of RE2 (KIP-848), and they match whole texts.

use regex::{Regex, RegexBuilder};

/// The most memory that a compiled expression may take: the text comes from a client.
const EXPRESSION_BYTES_MAX: usize = 1024 * 1024;

/// Whether an expression can be matched.
pub fn is_valid_expression(text: &str) -> bool {
    whole_match(text).is_some()
}

/// The expression, so that it matches whole texts only. `None` if it is none, or takes too much memory.
pub(crate) fn whole_match(text: &str) -> Option<Regex> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build().ok();
    // By itself as well: it must not end the brackets around it.
    build(text)?;
    build(&format!("^(?:{text})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_names() {
        let is_match = |text: &str, name: &str| whole_match(text).expect("it is one").is_match(name);
        assert!(is_match("a|bc", "bc") && !is_match("a|bc", "abc") && !is_match("a", "ab"));
        assert!(is_match("^order.*$", "orders"));
    }

    #[test]
    fn what_is_no_expression_or_takes_too_much_memory_is_refused() {
        for text in ["(", "[a", "*", r"(?=a)", r"(a)\1", "a{1000}{1000}{1000}", "a)(b"] {
            assert!(!is_valid_expression(text), "{text}");
        }
        assert!(is_valid_expression(r"[\w.-]+"));
    }
}
