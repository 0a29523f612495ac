//! Rust source as the rules want to read it: without comments, strings and tests.

/// The text with every comment, string and character literal blanked, line for line, so that a word in a comment or
/// in a message is not taken for code.
pub fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped_until(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn skipped_until(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => position(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if !follows_word(chars, at) => raw_string_end(chars, at + 1).unwrap_or(at),
        'b' if next == Some('r') && !follows_word(chars, at) => raw_string_end(chars, at + 2).unwrap_or(at),
        '\'' => char_end(chars, at).unwrap_or(at),
        _ => at,
    }
}

fn position(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|c| wanted(*c)).map_or(chars.len(), |found| from + found)
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let open = position(chars, from, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - from;
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((open + 1..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + hashes))
}

/// A character literal, told from a lifetime by its closing quote.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        return Some((position(chars, at + 3, |c| c == '\'') + 1).min(chars.len()));
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// The part before the trailing `#[cfg(test)] mod … { … }`, if there is one: what a program runs.
pub fn without_tests(text: &str) -> &str {
    let mut from = 0;
    while let Some(found) = text[from..].find("#[cfg(test)]") {
        let at = from + found;
        let after = text[at + "#[cfg(test)]".len()..].trim_start();
        let at_line_start = at == 0 || text.as_bytes()[at - 1] == b'\n';
        let is_block = after.starts_with("mod ") && after.lines().next().is_some_and(|line| line.contains('{'));
        if at_line_start && is_block {
            return &text[..at];
        }
        from = at + 1;
    }
    text
}

/// Whether a file holds nothing but tests, by its place.
pub fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("bench/")
}

/// The files that a file brings in for tests alone: `#[cfg(test)] mod name;` in `src/lib.rs` is `src/name.rs` or
/// `src/name/mod.rs`.
pub fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = match path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    let mut lines = text.lines().map(str::trim);
    let mut modules = Vec::new();
    while let Some(line) = lines.next() {
        let declared = if line == "#[cfg(test)]" { lines.next() } else { None };
        let name = declared.and_then(|line| line.trim_start_matches("pub(crate) ").strip_prefix("mod "));
        if let Some(name) = name.and_then(|rest| rest.strip_suffix(';')) {
            modules.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
        }
    }
    modules
}

/// Every path that the code's `use` items bring in, groups expanded: `use std::{fs, io::Read}` is `std::fs` and
/// `std::io::Read`. Give it the code without comments and strings. Each comes with its line, counted from 1.
pub fn used_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut from = 0;
    while let Some(start) = find_word(&code[from..], "use").map(|at| at + from) {
        let line = code[..start].matches('\n').count() + 1;
        let body = &code[start + 3..];
        let end = body.find(';').unwrap_or(body.len());
        expand("", &body[..end], &mut |path| paths.push((line, path)));
        from = start + 3 + end;
    }
    paths
}

fn expand(prefix: &str, tree: &str, found: &mut dyn FnMut(String)) {
    let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(&tree).trim();
        if !path.is_empty() {
            found(format!("{prefix}{path}").replace(' ', ""));
        }
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inside[start..at], found);
                start = (at + 1).min(inside.len());
            }
            _ => {}
        }
    }
}

/// Where `word` stands in the code as a word of its own.
pub fn find_word(code: &str, word: &str) -> Option<usize> {
    let bytes = code.as_bytes();
    let apart = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|b| !is_word(char::from(*b)));
    let mut places = code.match_indices(word).map(|(at, _)| at);
    places.find(|at| apart(at.checked_sub(1)) && apart(Some(at + word.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_line_for_line() {
        let text = "a /* x /* y */ z */ b // c\n\"d \\\" e\" f r#\"g\" h\"# i br\"j\" 'k' '\\'' &'l m";
        let code = code_of(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "f", "i", "&'l", "m"]);
        assert_eq!(code.lines().count(), 2);
        assert_eq!(code_of("\"two\nlines\"x"), "    \n      x");
        assert_eq!(code_of("for\"x"), "for  ");
    }

    #[test]
    fn tests_at_the_end_are_cut_off_but_other_test_items_stay() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn a() {}\n");
        let sibling = "#[cfg(test)]\nmod tests;\nfn a() {}\n";
        assert_eq!(without_tests(sibling), sibling);
    }

    #[test]
    fn modules_for_tests_are_known_by_their_files() {
        let text = "mod log;\n#[cfg(test)]\nmod simulation;\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(
            test_modules("storage/src/lib.rs", text),
            ["storage/src/simulation.rs", "storage/src/simulation/mod.rs"]
        );
        assert_eq!(test_modules("net/src/wire.rs", "#[cfg(test)]\nmod x;")[0], "net/src/wire/x.rs");
    }

    #[test]
    fn groups_of_use_items_are_expanded() {
        let code = "use std::{fs, io::{self, Read as _}};\npub use a::b;\nfn user() {}";
        let expected = [(1, "std::fs"), (1, "std::io::self"), (1, "std::io::Read"), (2, "a::b")];
        let found = used_paths(code);
        assert_eq!(found.iter().map(|(line, path)| (*line, path.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert_eq!(find_word("reuse use", "use"), Some(6));
        assert_eq!(find_word("unsafe_code", "unsafe"), None);
    }
}
