//! Kinds of values that no single key shows in full.

use super::*;

#[test]
fn a_share_group_begins_at_an_end_or_some_time_ago() {
    for text in [
        "latest",
        "earliest",
        "by_duration:P1D",
        "by_duration:PT1H",
        "by_duration:PT0S",
        "by_duration:P1DT2H3M4.5S",
        "by_duration:p1dt1h",
        "by_duration:+PT1H",
    ] {
        assert!(is_offset_reset(text), "{text}");
    }
    for text in [
        "",
        "LATEST",
        "none",
        "by_duration:",
        "by_duration:1d",
        "by_duration:-PT1H",
        "by_duration:PT-1H",
        "by_duration:P",
        "by_duration:PT",
        "by_duration:P1",
        "by_duration:PT1.5H",
        "by_duration:PT1S1M",
        "by_duration:P1Y",
        "by_duration:PT\u{e9}",
        "by_duration:PT99999999999S",
    ] {
        assert!(!is_offset_reset(text), "{text}");
    }
}

#[test]
fn lists_may_refuse_blanks_and_repetitions() {
    let key = |valid| ConfigKey {
        name: "list",
        kind: Kind::List,
        default: None,
        valid,
        scope: Scope::ReadOnly,
        effect: Effect::Acts,
        internal: false,
        doc: "",
    };
    for (text, any, whole, distinct) in [
        ("", true, true, true),
        ("a, b", true, true, true),
        ("a,a", true, true, false),
        ("a,,b", true, false, false),
        (",", true, false, false),
    ] {
        for (valid, is_valid) in [(Valid::Any, any), (Valid::NotBlank, whole), (Valid::Distinct, distinct)] {
            assert_eq!(key(valid).parse(text).is_ok(), is_valid, "{valid:?} {text:?}");
        }
    }
}
