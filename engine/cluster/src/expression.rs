//! Regular expressions that clients send. Their syntax is that of RE2 (KIP-848), and they match whole texts.

use regex::{Regex, RegexBuilder};

/// The longest expression: the text comes from a client.
pub const EXPRESSION_BYTES_MAX: usize = 8 * 1024;
/// The most memory that a compiled expression may take.
const PROGRAM_BYTES_MAX: usize = 1024 * 1024;

/// Whether an expression can be matched: it is one, and takes neither too many bytes nor too much memory.
pub fn is_valid_expression(text: &str) -> bool {
    // By itself as well: it must not end the brackets that [`whole_match`] puts around it.
    text.len() <= EXPRESSION_BYTES_MAX && compile(text).is_some() && whole_match(text).is_some()
}

/// A [valid](is_valid_expression) expression, so that it matches whole texts only.
pub(crate) fn whole_match(text: &str) -> Option<Regex> {
    compile(&format!("^(?:{text})$"))
}

fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(PROGRAM_BYTES_MAX).build().ok()
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
        let long = "a".repeat(EXPRESSION_BYTES_MAX + 1);
        for text in ["(", "[a", "*", r"(?=a)", r"(a)\1", "a{1000}{1000}{1000}", "a)(b", &long] {
            assert!(!is_valid_expression(text), "{text}");
        }
        assert!(is_valid_expression(r"[\w.-]+"));
    }
}
