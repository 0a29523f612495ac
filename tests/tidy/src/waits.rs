//! Nothing sleeps and hopes: tests await an event, the broker sets a timer in the reactor.

use crate::Fault;
use crate::source::{code_of, find_word};
use crate::tree::has_extension;

/// Sleeps in one file, in whatever language it is.
pub fn check(path: &str, text: &str) -> Vec<Fault> {
    let finds: fn(&str) -> bool = match path {
        _ if has_extension(path, "rs") => {
            |line| line.contains("thread::sleep") || find_word(line, "sleep_ms").is_some()
        }
        _ if has_extension(path, "py") => |line| line.contains("time.sleep("),
        _ if has_extension(path, "go") => |line| line.contains("time.Sleep(") || line.contains("time.After("),
        _ if has_extension(path, "java") => |line| line.contains("Thread.sleep(") || line.contains(".sleep("),
        _ if has_extension(path, "js") || has_extension(path, "mjs") => |line| line.contains("setTimeout("),
        _ if has_extension(path, "sh") || is_shell(text) => shell_sleeps,
        _ => return Vec::new(),
    };
    let code = if has_extension(path, "rs") { code_of(text) } else { text.to_owned() };
    let sleeping = (1..).zip(code.lines()).filter(|(_, line)| finds(line));
    sleeping.map(|(number, _)| Fault::at(path, number, "sleeps: await the event instead")).collect()
}

fn is_shell(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("sh"))
}

/// `sleep` as a command: followed by a number or a variable, outside of a comment.
fn shell_sleeps(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or(line);
    !line.trim_start().starts_with('#')
        && find_word(line, "sleep").is_some_and(|at| {
            line[at + "sleep".len()..].trim_start().starts_with(|c: char| c.is_ascii_digit() || "$\".".contains(c))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_are_found_in_every_language() {
        for (path, text) in [
            ("a/tests.rs", "std::thread::sleep(d);"),
            ("a.py", "time.sleep(1)"),
            ("a.go", "time.Sleep(time.Second)"),
            ("A.java", "Thread.sleep(10);"),
            ("a.mjs", "await new Promise((done) => setTimeout(done, 100));"),
            ("tests/run", "#!/usr/bin/env bash\nwhile ! ready; do sleep 0.1; done\n"),
            ("a.sh", "sleep \"$seconds\""),
        ] {
            assert_eq!(check(path, text).len(), 1, "{path}");
        }
    }

    #[test]
    fn timers_and_talk_of_sleep_are_fine() {
        for (path, text) in [
            ("a.rs", "reactor.sleep(d).await; // no thread::sleep here"),
            ("a.sh", "# sleep 1 would hide it"),
            ("a.sh", "echo 'no sleep here'"),
            ("a.md", "sleep 1"),
        ] {
            assert_eq!(check(path, text), [], "{path}");
        }
    }
}
