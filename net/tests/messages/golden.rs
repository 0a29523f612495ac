//! What Apache Kafka's own classes wrote (`golden/Golden.java`) is read field by field, and written again byte by byte.

use std::fs;

use crate::notation::Field;
use crate::sample::{Values, sample, without_names};
use crate::schema::{all_messages, crate_folder, recoded};

/// The rule by which the Java program fills fields.
struct Rule;

impl Values for Rule {
    fn number(&mut self, field: &Field, place: usize) -> i64 {
        let sum: usize = field.name.to_lowercase().bytes().map(usize::from).sum();
        (place + 1 + sum % 97).try_into().expect("at most 100")
    }

    fn text(&mut self, field: &Field, place: usize) -> String {
        format!("{}{place}", field.name.to_lowercase())
    }

    fn elements(&mut self) -> usize {
        2
    }

    fn null(&mut self) -> bool {
        false
    }
}

#[test]
fn messages_of_the_java_classes_keep_every_field_and_byte() {
    let text = fs::read_to_string(crate_folder().join("golden/golden.txt")).expect("the golden file is committed");
    let mut lines: Vec<_> = text.lines().collect();
    let mut checked = 0;
    for message in all_messages() {
        let name = &message.body().name;
        for version in message.valid.min..=message.valid.max {
            let head = format!("{name} {version} ");
            let position = lines.iter().position(|line| line.starts_with(&head)).unwrap_or_else(|| panic!("no {head}"));
            let bytes = hex(&lines.swap_remove(position)[head.len()..]);
            let expected = sample(&message, version, &mut Rule);
            let (recoded, shown) = recoded(&message, version, &bytes).unwrap_or_else(|error| panic!("{head}: {error}"));
            assert_eq!(without_names(&shown), expected.text, "{head}");
            assert_eq!(recoded, bytes, "{head}");
            assert_eq!(expected.bytes, bytes, "{head}, by the encoder of the tests");
            checked += 1;
        }
    }
    assert!(lines.is_empty(), "{} golden lines of messages that the notation lacks: {}", lines.len(), lines[0]);
    println!("{checked} messages of the Java classes, every field and every byte the same");
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("the golden file has hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}
