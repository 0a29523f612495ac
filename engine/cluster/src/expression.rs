//! Regular expressions that clients send. Their syntax is that of RE2 (KIP-848), and they match whole texts.

mod re2;

use regex::{Error, Regex, RegexBuilder};

use re2::translated;

/// The longest expression: the text comes from a client.
pub const EXPRESSION_BYTES_MAX: usize = 8 * 1024;
/// The most memory that a compiled expression may take.
const PROGRAM_BYTES_MAX: usize = 1024 * 1024;

/// Whether an expression can be matched: it is one, and takes neither too many bytes nor too much memory. Tells what is wrong.
pub fn check_expression(text: &str) -> Result<(), String> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("it has {} bytes, and may have {EXPRESSION_BYTES_MAX}", text.len()));
    }
    compile_whole(&translated(text)).map_err(|error| match error {
        Error::CompiledTooBig(most) => format!("it takes more than {most} bytes of memory"),
        // The last line says what is wrong; those before show where.
        other => {
            let told = other.to_string();
            let last = told.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    })?;
    Ok(())
}

/// A [valid](check_expression) expression, so that it matches whole texts only.
pub(crate) fn whole_match(text: &str) -> Option<Regex> {
    compile_whole(&translated(text)).ok()
}

/// An expression of Java, if it is one here as well, so that it matches whole texts only. Its classes have operators.
pub(crate) fn java_whole_match(text: &str) -> Option<Regex> {
    (text.len() <= EXPRESSION_BYTES_MAX).then(|| compile_whole(text).ok()).flatten()
}

fn compile_whole(text: &str) -> Result<Regex, Error> {
    // By itself as well: it must not end the brackets that go around it.
    compile(text)?;
    compile(&format!("^(?:{text})$"))
}

fn compile(text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(text).size_limit(PROGRAM_BYTES_MAX).build()
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
            let wrong = check_expression(text).expect_err(text);
            assert!(!wrong.is_empty() && !wrong.contains('\n'), "{wrong}");
        }
        assert_eq!(check_expression("("), Err("unclosed group".to_owned()));
        assert_eq!(check_expression(r"[\w.-]+"), Ok(()));
    }
}
