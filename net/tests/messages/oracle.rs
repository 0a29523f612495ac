//! Random messages through the `kafka-protocol` crate and through ours: every byte comes back. The crate gets nothing but
//! bytes of our own making, for it trusts the lengths in them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use ringlog_net::messages::ApiKey;

use crate::notation::{Kind, Message};
use crate::sample::{Random, sample};
use crate::schema::{api_messages, recoded};

const SEED: u64 = 0x0dd_ba11;

/// Messages in versions that the crate does not know: those that are new in 4.1 and later.
const UNKNOWN: usize = 41;

/// Messages per key, direction and version.
const SAMPLES: usize = 8;

#[test]
fn another_implementation_reads_and_writes_the_same_bytes() {
    let mut random = Random::new(SEED);
    let (mut checked, mut unknown) = (0, Vec::new());
    for (key, message) in api_messages() {
        for version in message.valid.min..=message.valid.max {
            for _ in 0..SAMPLES {
                let sample = sample(&message, version, &mut random);
                let name = &message.body().name;
                let Some(theirs) = theirs(key, &message, version, &sample.bytes) else {
                    unknown.push(format!("{name} {version}"));
                    break;
                };
                let theirs = theirs.unwrap_or_else(|error| panic!("{name} {version}, seed {SEED:#x}: {error:#}"));
                let (ours, _) = recoded(&message, version, &theirs).expect("the oracle wrote a message");
                assert_eq!(theirs, sample.bytes, "{name} {version}, theirs, seed {SEED:#x}");
                assert_eq!(ours, sample.bytes, "{name} {version}, ours, seed {SEED:#x}");
                checked += 1;
            }
        }
    }
    assert_eq!(unknown.len(), UNKNOWN, "{unknown:?}");
    println!("{checked} random messages come back the same from both; the oracle does not know {unknown:?}");
}

/// What the crate makes of the bytes, or `None` where it does not know the version.
fn theirs(key: ApiKey, message: &Message, version: i16, bytes: &[u8]) -> Option<anyhow::Result<Vec<u8>>> {
    let key = TheirKey::try_from(key.code()).ok()?;
    let known = key.valid_versions();
    if !(known.min..=known.max).contains(&version) {
        return None;
    }
    let mut bytes = Bytes::copy_from_slice(bytes);
    let mut written = BytesMut::new();
    let result = if message.kind == Kind::Request {
        RequestKind::decode(key, &mut bytes, version).and_then(|request| request.encode(&mut written, version))
    } else {
        ResponseKind::decode(key, &mut bytes, version).and_then(|response| response.encode(&mut written, version))
    };
    match result {
        // Its table of keys says more than its messages can.
        Err(error) if error.root_cause().to_string().contains("specified version not supported") => None,
        result => Some(result.map(|()| written.to_vec())),
    }
}
