//! Text of `server.properties`: it is read to its end, and what was read means the same when every character is escaped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_cluster::config::{PropertiesFile, Sources, StaticConfig, parse_properties};
use std::fmt::Write;

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for unit in text.encode_utf16() {
        write!(escaped, "\\u{unit:04x}").expect("writing to a string succeeds");
    }
    escaped
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for property in parse_properties(&text).into_iter().flatten() {
        let line = format!("{}={}", escaped(&property.key), escaped(&property.value));
        let again = parse_properties(&line);
        assert_eq!(again.len(), 1, "{property:?}");
        let again = again[0].as_ref().expect("all escapes are good");
        assert_eq!((&again.key, &again.value), (&property.key, &property.value));
    }
    let set: Vec<String> = text.lines().take(4).map(str::to_owned).collect();
    for sources in [
        Sources { file: Some(PropertiesFile { name: "server.properties", text: &text }), ..Sources::default() },
        Sources { set: &set, ..Sources::default() },
    ] {
        // Whatever is wrong is told in words.
        match StaticConfig::load(&sources) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    assert!(!warning.to_string().is_empty());
                }
                assert!(config.settings().all(|(key, _)| config.setting(key).is_some()));
            }
            Err(errors) => {
                assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty()));
            }
        }
    }
});
