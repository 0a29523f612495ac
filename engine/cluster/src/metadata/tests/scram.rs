//! Users of SCRAM.

use super::*;
use crate::image::ScramMechanism;

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

fn upsert(user: &str, mechanism: i8, iterations: i32) -> AlterScram {
    let upsertion = ScramUpsertion { iterations, salt: b"salt".to_vec(), salted_password: b"hashed".to_vec() };
    AlterScram { user: user.to_owned(), mechanism, upsertion: Some(upsertion) }
}

fn delete(user: &str, mechanism: i8) -> AlterScram {
    AlterScram { user: user.to_owned(), mechanism, upsertion: None }
}

fn alter(cluster: &mut Cluster, requests: &[AlterScram]) -> Vec<String> {
    let told = |(user, reply): (String, Result<(), ScramError>)| match reply {
        Ok(()) => format!("{user} ok"),
        Err(error) => format!("{user} {}", error.code().name()),
    };
    cluster.rehearsal.step(|metadata| metadata.alter_scram(requests)).into_iter().map(told).collect()
}

#[test]
fn credentials_are_set_replaced_and_taken_away() {
    let mut cluster = Cluster::started("");
    let of = |cluster: &Cluster, user| {
        let told = cluster.image().scram_credentials_of(user).map(|(mechanism, it)| (mechanism, it.iterations));
        told.collect::<Vec<_>>()
    };
    assert_eq!(
        alter(&mut cluster, &[upsert("bob", SHA_512, 4096), upsert("al", SHA_256, 16_384)]),
        ["bob ok", "al ok"]
    );
    assert_eq!(alter(&mut cluster, &[upsert("al", SHA_512, 5000)]), ["al ok"]);
    assert_eq!(of(&cluster, "al"), [(ScramMechanism::Sha256, 16_384), (ScramMechanism::Sha512, 5000)]);
    assert_eq!(alter(&mut cluster, &[upsert("al", SHA_256, 4096)]), ["al ok"]);
    assert_eq!(
        alter(&mut cluster, &[delete("al", SHA_512), delete("zoe", SHA_256)]),
        ["al ok", "zoe RESOURCE_NOT_FOUND"]
    );
    assert_eq!(of(&cluster, "al"), [(ScramMechanism::Sha256, 4096)]);
    let (_, credential) = cluster.image().scram_credentials_of("al").next().expect("it is there");
    assert_eq!((credential.stored_key.len(), credential.server_key.len()), (32, 32));
    assert_eq!(format!("{credential:?}"), "ScramCredential(4096 iterations)", "it is a secret");
    assert_eq!(cluster.image().scram_credential_count(), 2);
}

#[test]
fn a_user_who_is_refused_keeps_what_they_have() {
    let mut cluster = Cluster::started("");
    let long = "u".repeat(1025);
    let mut bad_secret = upsert("al", SHA_256, 4096);
    bad_secret.upsertion.as_mut().expect("it is one").salted_password.clear();
    for (requests, expected) in [
        (vec![upsert("al", SHA_256, 4095)], "al UNACCEPTABLE_CREDENTIAL"),
        (vec![upsert("al", SHA_256, 16_385)], "al UNACCEPTABLE_CREDENTIAL"),
        (vec![upsert("", SHA_256, 4096)], " UNACCEPTABLE_CREDENTIAL"),
        (vec![bad_secret], "al UNACCEPTABLE_CREDENTIAL"),
        (vec![upsert("al", 0, 4096)], "al UNSUPPORTED_SASL_MECHANISM"),
        (vec![delete("al", 3)], "al UNSUPPORTED_SASL_MECHANISM"),
        (vec![upsert("al", SHA_256, 4096), upsert("al", SHA_512, 4096)], "al DUPLICATE_RESOURCE"),
        (vec![upsert("al", SHA_256, 1), upsert("al", 9, 4096)], "al UNACCEPTABLE_CREDENTIAL"),
        (vec![delete("al", SHA_256), upsert("al", SHA_256, 4096)], "al RESOURCE_NOT_FOUND"),
        (vec![upsert(&long, SHA_256, 4096)], &format!("{long} UNACCEPTABLE_CREDENTIAL")),
    ] {
        assert_eq!(alter(&mut cluster, &requests), [expected]);
    }
    assert_eq!(cluster.image().scram_credential_count(), 0);
}
