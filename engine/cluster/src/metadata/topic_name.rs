//! Which names a topic may have.

use thiserror::Error;

/// The longest name of a topic, in bytes. The folder of its partitions, and Kafka's, has it in its name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Why a name is not a topic's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum InvalidTopicName {
    /// No name at all.
    #[error("the topic name is empty")]
    Empty,
    /// `.` and `..` mean something else in a path.
    #[error("the topic name must not be \".\" or \"..\"")]
    Dots,
    /// More than [`TOPIC_NAME_BYTES_MAX`].
    #[error("the topic name is longer than {TOPIC_NAME_BYTES_MAX} characters")]
    TooLong,
    /// A character that names do not have.
    #[error("the topic name has characters other than ASCII letters and digits, '.', '_' and '-'")]
    Character,
}

/// Looks at the name of a topic that is to be made.
pub fn check_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match name {
        "" => Err(InvalidTopicName::Empty),
        "." | ".." => Err(InvalidTopicName::Dots),
        name if name.len() > TOPIC_NAME_BYTES_MAX => Err(InvalidTopicName::TooLong),
        name if !name.bytes().all(is_legal) => Err(InvalidTopicName::Character),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "a".repeat(249);
        for (name, expected) in [
            ("a", Ok(())),
            ("...", Ok(())),
            ("A.b_c-9", Ok(())),
            (longest.as_str(), Ok(())),
            (&format!("{longest}a"), Err(InvalidTopicName::TooLong)),
            ("", Err(InvalidTopicName::Empty)),
            (".", Err(InvalidTopicName::Dots)),
            ("..", Err(InvalidTopicName::Dots)),
            ("a b", Err(InvalidTopicName::Character)),
            ("a/b", Err(InvalidTopicName::Character)),
            ("é", Err(InvalidTopicName::Character)),
        ] {
            assert_eq!(check_topic_name(name), expected, "{name:?}");
        }
    }
}
